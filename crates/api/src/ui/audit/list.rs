//! The newest records that fit, newest first.

use super::{about, kind, link_to, state};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form::asked;
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::number;
use crate::ui::shown::{text, time, whole, words};
use crate::ui::time_range::TimeRange;
use engine::{AuditQuestion, Caller, EventKind};
use maud::{Markup, html};
use model::{Clock, SystemClock, Timestamp};
use serde_json::Value;

/// So many records at first, and after each "more".
const LIMITS: [usize; 4] = [100, 500, 2_000, 10_000];

/// `GET /_ui/audit`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Audit, || {
        let asked = Asked::read(call)?;
        let engine = &call.app.engine;
        let records = backend::audit(engine, caller, &asked.question())?;
        let audit = backend::audit_state(engine, caller)?;
        let content = html! {
            div.page-head {
                h1 { "Audit" }
                p.sub { "Every read, log-in and change. Looking into it is on record, too." }
            }
            (state::panel(&audit, backend::audit_length(engine, caller)))
            (filters(&asked))
            @if records.is_empty() {
                (frame::empty("No record fits", html! { "Take a filter away, or choose a longer time." }))
            } @else {
                (table(&records, &asked))
                @if let Some(more) = asked.more(records.len()) {
                    p.pager { a.button href=(more) { "More" } }
                }
            }
        };
        Ok(Page::new(caller, Section::Audit, "Audit").reply(content))
    })
}

/// Which records somebody wants, as the URL says it.
struct Asked {
    who: String,
    table: String,
    kind: String,
    range: TimeRange,
    limit: usize,
}

impl Asked {
    fn read(call: &Call<'_>) -> Result<Asked, ApiError> {
        let request = call.request;
        let text = |name: &str| asked(request, name).unwrap_or_default().to_owned();
        let now = SystemClock.now().0;
        let range = TimeRange::read(request.param("from"), request.param("to"), "all", now);
        let limit = asked(request, "limit").and_then(|limit| limit.parse().ok());
        Ok(Asked {
            who: text("who"),
            table: text("table"),
            kind: text("kind"),
            range: range.map_err(ApiError::illegal_argument)?,
            limit: limit.filter(|limit| LIMITS.contains(limit)).unwrap_or(LIMITS[0]),
        })
    }

    fn question(&self) -> AuditQuestion {
        let word = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        AuditQuestion {
            from: self.range.span.map(|(from, _)| Timestamp(from)),
            // The picker's end is this moment: what was recorded in it belongs to the answer.
            to: self.range.span.map(|(_, to)| Timestamp(to.saturating_add(1))),
            who: word(&self.who),
            table: word(&self.table),
            kind: word(&self.kind),
            limit: self.limit,
            ..AuditQuestion::default()
        }
    }

    /// This page again.
    fn link(&self) -> Link {
        let link = Link::to("/_ui/audit")
            .with("kind", self.kind.as_str())
            .with("who", self.who.as_str())
            .with("table", self.table.as_str());
        self.range.put_into(link)
    }

    /// This page with more records, if there may be more.
    fn more(&self, shown: usize) -> Option<Link> {
        let next = LIMITS.into_iter().find(|limit| *limit > self.limit)?;
        (shown >= self.limit).then(|| self.link().with("limit", next.to_string()))
    }
}

fn filters(asked: &Asked) -> Markup {
    html! {
        div.bar {
            form.filters method="get" action="/_ui/audit" {
                label { span { "What" }
                    select name="kind" data-submit {
                        option value="" { "everything" }
                        @for kind in EventKind::ALL {
                            option value=(kind.as_str()) selected[kind.as_str() == asked.kind] { (words(kind.as_str())) }
                        }
                    }
                }
                label { span { "Who" }
                    input name="who" value=(asked.who) placeholder="anybody" autocomplete="off" spellcheck="false" autocapitalize="none";
                }
                label { span { "Table" }
                    input name="table" value=(asked.table) placeholder="any" autocomplete="off" spellcheck="false" autocapitalize="none";
                }
                @if asked.range.is_chosen {
                    input type="hidden" name="from" value=(asked.range.from);
                    @if !asked.range.to.is_empty() { input type="hidden" name="to" value=(asked.range.to); }
                }
                button.button type="submit" { "Show" }
            }
            (asked.range.picker(&asked.link()))
        }
    }
}

fn table(records: &[Value], asked: &Asked) -> Markup {
    html! {
        div.framed.scroll-x {
            table.grid.stacks.audit {
                caption.unseen { "Records, newest first" }
                thead { tr {
                    th scope="col" { "Time, UTC" }
                    th scope="col" { "What" }
                    th scope="col" { "Who" }
                    th scope="col" { "About" }
                    th scope="col" { "Outcome" }
                    th.num scope="col" { "Rows" }
                    th.num scope="col" { "Record" }
                } }
                tbody { @for record in records { (row(record, asked)) } }
            }
        }
    }
}

fn row(record: &Value, asked: &Asked) -> Markup {
    let id = whole(record, "id");
    let who = text(record, "who");
    let times = whole(record, "times");
    html! {
        tr {
            td data-label="Time" { (time(text(record, "@timestamp"))) }
            td data-label="What" {
                (kind(text(record, "kind")))
                @if times > 1 { span.faint { " × " (number::count(times)) } }
            }
            td data-label="Who" {
                @if who.is_empty() { span.faint { "nobody known" } }
                @else { a href=(asked.link().with("who", who)) title="Only these" { (who) } }
            }
            td data-label="About" { (about(record)) }
            td.why data-label="Outcome" { (text(record, "outcome")) }
            td.num data-label="Rows" { @match record["rows"].as_u64() { Some(rows) => (number::count(rows)), None => span.faint { "–" } } }
            td.num data-label="Record" { a href=(link_to(id)) { (id) } }
        }
    }
}
