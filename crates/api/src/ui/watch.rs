//! What somebody who watches over the house sees first: each figure and each alarm leads to its
//! cause.

use super::audit::checkpoint_of;
use super::link::Link;
use super::number;
use super::shown::{list, text, time, whole, with_short_times};
use super::time_range::DAY;
use crate::backend;
use crate::route::Call;
use engine::{Action, AuditState, Caller};
use maud::{Markup, html};
use model::{Class, Clock, SystemClock, Table, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The figures and alarms of the first page; for those who watch over nothing, what everybody is
/// told.
pub(super) fn panel(call: &Call<'_>, caller: &Caller, known: &[Arc<Table>]) -> Markup {
    let audit = backend::audit_state(&call.app.engine, caller).ok();
    let mut figures = Vec::new();
    let mut alarms = Vec::new();
    let changes = backend::changes(&call.app.engine, caller).ok();
    // Everybody is told of broken glass, also who has no say.
    if let Ok(told) = backend::notices(&call.app.engine, caller) {
        alarms.extend(of_notices(&told, changes.as_ref(), SystemClock.now()));
    }
    figures.extend(changes.as_ref().map(waiting));
    if let Ok(policy) = backend::policy(&call.app.engine, caller)
        && let Ok(matrix) = backend::reach(&call.app.engine, caller, None, None)
    {
        figures.push(reaching(&matrix));
        alarms.extend(of_settings(&policy));
    }
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
    /// Its cause; `None` for those who are told and have no say.
    to: Option<Link>,
}

fn shown(figures: &[Figure], alarms: &[Alarm]) -> Markup {
    html! {
        @if !figures.is_empty() || !alarms.is_empty() {
            section aria-labelledby="now" {
                h2 #now { "Protection now" }
                @if !alarms.is_empty() {
                    ul.panel.alarm-list { @for alarm in alarms {
                        li {
                            span.dot.bad {}
                            @match &alarm.to {
                                Some(cause) => a href=(cause) { (alarm.text) },
                                None => span { (alarm.text) },
                            }
                        }
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

fn waiting(changes: &Value) -> Figure {
    let waits = |change: &&Value| text(change, "state") == "waiting";
    let waiting = list(changes, "changes").iter().filter(waits).count();
    Figure {
        figure: html! { (number::count(waiting as u64)) },
        what: "changes wait for a second person",
        to: Link::to("/_ui/changes"),
    }
}

/// How many people may read values of persons somewhere; counting in groups does not count.
fn reaching(matrix: &Value) -> Figure {
    let reads = |row: &&Value| {
        [Class::Personal, Class::Special]
            .iter()
            .any(|class| matches!(text(&row[class.as_str()], "action"), "read" | "export"))
    };
    let people: BTreeSet<&str> =
        list(matrix, "reach").iter().filter(reads).map(|row| text(row, "person")).collect();
    Figure {
        figure: html! { (number::count(people.len() as u64)) },
        what: "people may read personal or special fields",
        to: Link::to("/_ui/access"),
    }
}

/// Glass that was broken within a day, and what waits with nobody to say no.
fn of_notices(told: &Value, changes: Option<&Value>, now: Timestamp) -> Vec<Alarm> {
    let is_fresh = |notice: &Value| {
        Timestamp::parse_rfc3339(text(notice, "at")).is_some_and(|at| now.0 - at.0 < DAY)
    };
    // Who has no say does not see what became of a change, and could not stop it.
    let waits = |id: u64| {
        changes.is_some_and(|changes| {
            let mut changes = list(changes, "changes").iter();
            changes.any(|change| whole(change, "id") == id && text(change, "state") == "waiting")
        })
    };
    let is_alarm = |notice: &&Value| match text(notice, "kind") {
        "broken_glass" => is_fresh(notice),
        "time_lock" => waits(whole(notice, "change")),
        _ => false,
    };
    let alarm = |notice: &Value| Alarm {
        text: with_short_times(text(notice, "text")),
        to: changes.map(|_| super::changes::link_to(whole(notice, "change"))),
    };
    list(told, "notices").iter().filter(is_alarm).map(alarm).collect()
}

/// Settings under which an alarm reaches nobody.
fn of_settings(policy: &Value) -> Vec<Alarm> {
    let mut settings = list(policy, "settings").iter();
    let notify = settings.find(|setting| text(setting, "name") == "notify");
    let tells_nobody = notify.is_some_and(|notify| list(notify, "value").is_empty());
    let alarm = || Alarm {
        text: "Nobody outside is told of alarms: the setting “notify” is empty.".to_owned(),
        to: Some(Link::to("/_ui/changes/new").with("do", "setting").with("name", "notify")),
    };
    tells_nobody.then(alarm).into_iter().collect()
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
        Some(Alarm { text, to: Some(Link::to("/_ui/audit")) })
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
    use serde_json::json;

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

    #[test]
    fn broken_glass_is_an_alarm_for_a_day() {
        let told = json!({ "notices": [
            { "kind": "broken_glass", "at": "2026-11-23T08:00:00.000Z", "change": 7, "text": "ann broke the glass" },
            { "kind": "applied", "at": "2026-11-23T08:00:00.000Z", "change": 6, "text": "in force" },
        ] });
        let at = |text: &str| of_notices(&told, None, Timestamp::parse_rfc3339(text).unwrap());
        let alarms = at("2026-11-23T09:00:00Z");
        assert_eq!(alarms.len(), 1);
        assert!(alarms[0].to.is_none(), "who has no say is told, and led nowhere");
        assert!(at("2026-11-24T09:00:00Z").is_empty());
    }

    #[test]
    fn a_time_lock_is_an_alarm_while_its_change_waits() {
        let told =
            json!({ "notices": [{ "kind": "time_lock", "at": "", "change": 2, "text": "x" }] });
        let of = |state: &str| json!({ "changes": [{ "id": 2, "state": state }] });
        let alarms = of_notices(&told, Some(&of("waiting")), Timestamp(0));
        let causes: Vec<String> =
            alarms.iter().filter_map(|alarm| Some(alarm.to.as_ref()?.to_string())).collect();
        assert_eq!(causes, ["/_ui/changes/2"]);
        assert!(of_notices(&told, Some(&of("withdrawn")), Timestamp(0)).is_empty());
        assert!(of_notices(&told, None, Timestamp(0)).is_empty());
    }

    #[test]
    fn whoever_only_counts_does_not_reach_a_person() {
        let cell = |action: &str| json!({ "action": action });
        let matrix = json!({ "reach": [
            { "person": "ann", "table": "a", "personal": cell("read"), "special": cell("aggregate") },
            { "person": "ann", "table": "b", "personal": cell("read"), "special": cell("aggregate") },
            { "person": "bob", "table": "a", "personal": cell("aggregate"), "special": cell("aggregate") },
        ] });
        assert_eq!(reaching(&matrix).figure.into_string(), "1");
        let policy = |value: Value| json!({ "settings": [{ "name": "notify", "value": value }] });
        assert_eq!(of_settings(&policy(json!([]))).len(), 1);
        assert!(of_settings(&policy(json!(["mail:x"]))).is_empty());
    }
}
