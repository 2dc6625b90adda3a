//! What somebody who watches over the house sees first: each figure and each alarm leads to its
//! cause.

use super::audit::checkpoint_of;
use super::link::Link;
use super::number;
use super::shown::time;
use crate::backend;
use crate::route::Call;
use engine::{Action, AuditState, Caller};
use maud::{Markup, html};
use model::Table;
use std::sync::Arc;

/// The figures and alarms of the first page; nothing for those who watch over nothing.
pub(super) fn panel(call: &Call<'_>, caller: &Caller, known: &[Arc<Table>]) -> Markup {
    let audit = backend::audit_state(&call.app.engine, caller).ok();
    let mut figures = Vec::new();
    let mut alarms = Vec::new();
    if backend::may(caller, Action::Rule) {
        figures.push(rulings(known));
    }
    if let Some(audit) = &audit {
        alarms.extend(of_record(audit));
        figures.push(record(audit));
    }
    shown(&figures, &alarms)
}

/// A number that leads to its cause.
struct Figure {
    figure: Markup,
    what: &'static str,
    to: Link,
}

/// Something that a person has to look at.
struct Alarm {
    text: String,
    to: Link,
}

fn shown(figures: &[Figure], alarms: &[Alarm]) -> Markup {
    html! {
        @if !figures.is_empty() {
            section aria-labelledby="now" {
                h2 #now { "Protection now" }
                @if !alarms.is_empty() {
                    ul.panel.alarm-list { @for alarm in alarms {
                        li { span.dot.bad {} a href=(alarm.to) { (alarm.text) } }
                    } }
                }
                div.figures {
                    @if alarms.is_empty() {
                        div.figure { strong { span.dot.good {} "Quiet" } span.hint { "no alarm" } }
                    }
                    @for figure in figures {
                        a.figure href=(figure.to) { strong { (figure.figure) } span.hint { (figure.what) } }
                    }
                }
            }
        }
    }
}

fn rulings(known: &[Arc<Table>]) -> Figure {
    let fields = known.iter().flat_map(|table| table.schema.fields());
    let waiting = fields.filter(|field| field.awaits_review()).count();
    Figure {
        figure: html! { (number::count(waiting as u64)) },
        what: "fields wait for a person's ruling",
        to: Link::to("/_ui/rulings"),
    }
}

fn record(audit: &AuditState) -> Figure {
    let checkpoint = audit.checkpoint.as_deref().and_then(checkpoint_of);
    Figure {
        figure: match &checkpoint {
            Some(checkpoint) => html! { (number::count(checkpoint.records)) },
            None => html! { "None" },
        },
        what: "records under the last checkpoint",
        to: Link::to("/_ui/audit"),
    }
}

fn of_record(audit: &AuditState) -> Vec<Alarm> {
    let trouble = |(folder, trouble): &(String, Option<String>)| {
        let trouble = trouble.as_ref()?;
        let text = format!("The audit record is not written to {folder}: {trouble}");
        Some(Alarm { text, to: Link::to("/_ui/audit") })
    };
    audit.sinks.iter().filter_map(trouble).collect()
}

/// When the last checkpoint was signed, for the panel about the record.
pub(super) fn last_checkpoint(call: &Call<'_>, caller: &Caller) -> Option<Markup> {
    let audit = backend::audit_state(&call.app.engine, caller).ok()?;
    let checkpoint = audit.checkpoint.as_deref().and_then(checkpoint_of)?;
    Some(html! { "Last checkpoint " (time(&checkpoint.at)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_with_a_folder_is_an_alarm_that_leads_to_the_record() {
        let state = AuditState {
            checkpoint: Some("o\n12\nroot\ntime 2026-11-23T08:00:00.000Z\n".to_owned()),
            verifier: String::new(),
            sinks: vec![("/b".to_owned(), Some("no space".to_owned())), ("/a".to_owned(), None)],
        };
        let page = shown(&[record(&state)], &of_record(&state)).into_string();
        assert!(page.contains("not written to /b: no space") && page.contains("/_ui/audit"));
        assert!(page.contains("12") && !page.contains("Quiet"), "{page}");
        assert!(shown(&[record(&state)], &[]).into_string().contains("Quiet"));
        assert_eq!(shown(&[], &[]).into_string(), "");
    }
}
