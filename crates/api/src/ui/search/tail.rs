//! Rows as they arrive. The page asks again every two seconds; each time is a read of its own, under
//! the grants and quotas of that moment, and recorded.

use super::hits;
use super::question::SearchQuestion;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use crate::ui::frame::{self, Page, Section};
use engine::Caller;
use maud::{Markup, html};
use model::Table;
use serde_json::{Value, json};
use std::sync::Arc;

/// So many rows of before the page was opened.
const BEFORE: u64 = 25;
/// So many rows in one look; what arrives faster is left out, and the page says so.
const AT_ONCE: u64 = 200;

/// `GET /_ui/search/tail`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || render(call, caller))
}

/// `GET /_ui/search/tail/rows`: the rows behind `after`, for the script that puts them in place.
pub(in crate::ui) fn rows(call: &Call<'_>, caller: &Caller) -> Answer {
    let (question, table) = read(call, caller)?;
    let after = call.request.param("after").and_then(|after| after.parse().ok());
    let found = newest(call, caller, &question, &table, after)?;
    Ok(Reply::page(stretch(&question, &table, &found, after.unwrap_or(0)).into_string()))
}

fn read(call: &Call<'_>, caller: &Caller) -> Result<(SearchQuestion, Arc<Table>), ApiError> {
    let mut question = SearchQuestion::read(call.request).map_err(ApiError::illegal_argument)?;
    let tables = backend::tables(&call.app.engine, caller, &question.table)?;
    let table = tables.first().ok_or_else(|| ApiError::not_found("There is no such table."))?;
    // What arrives has no time to be in.
    question.range.span = None;
    question.columns.retain(|column| table.schema.find(column).is_some());
    Ok((question, Arc::clone(table)))
}

fn render(call: &Call<'_>, caller: &Caller) -> Answer {
    let (question, table) = read(call, caller)?;
    let found = newest(call, caller, &question, &table, None)?;
    let title = format!("Live · {}", question.table);
    let rows = question.link().at("/_ui/search/tail/rows");
    let content = html! {
        div.page-head {
            p.crumbs { a href=(question.link()) { "Search " (question.table) } }
            h1 { "Live" }
            p.sub {
                @if question.query.is_empty() { "Every row of " strong { (question.table) } }
                @else { "Rows that fit " code { (question.query) } }
                " as it arrives, the newest first. Each look is a recorded read."
            }
        }
        div.result-head {
            p #tail-state role="status" { "Looking every 2 seconds." }
            button.button type="button" data-pause hidden { "Pause" }
        }
        noscript { p.notice { "Without JavaScript: load the page again to see newer rows." } }
        (hits::head(&question, &table))
        div.hits.tail data-tail=(rows) { (stretch(&question, &table, &found, 0)) }
    };
    Ok(Page::new(caller, Section::Search, &title).reply(content))
}

/// The newest hits, the newest first; behind `after`, if that is known, the oldest of them.
fn newest(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
    after: Option<u64>,
) -> Result<Vec<Value>, ApiError> {
    let mut body = question.body(table, None);
    body["track_total_hits"] = json!(false);
    body.as_object_mut().map(|members| members.shift_remove("from"));
    match after {
        None => {
            body["size"] = json!(BEFORE);
            body["sort"] = json!([{ "_seq_no": "desc" }]);
        }
        Some(after) => {
            body["size"] = json!(AT_ONCE);
            body["sort"] = json!([{ "_seq_no": "asc" }]);
            body["search_after"] = json!([after]);
        }
    }
    let mut answer = backend::search(&call.app.engine, caller, &question.table, Some(body), &[])?;
    let hits = answer.pointer_mut("/hits/hits").map(Value::take);
    let mut hits = hits.and_then(|hits| hits.as_array().cloned()).unwrap_or_default();
    if after.is_some() {
        hits.reverse();
    }
    Ok(hits)
}

/// Rows, with the number behind which the next ones come.
fn stretch(question: &SearchQuestion, table: &Table, hits: &[Value], after: u64) -> Markup {
    let last = hits.first().and_then(|hit| hit["sort"][0].as_u64()).unwrap_or(after);
    let is_full = hits.len() as u64 == AT_ONCE;
    html! {
        div.stretch data-after=(last) data-full[is_full] {
            @for hit in hits { (hits::one(question, table, hit)) }
        }
    }
}
