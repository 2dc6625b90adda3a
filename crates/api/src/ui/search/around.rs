//! What was written just before and after a row, whatever the question was that found it.

use super::hits;
use super::question::{PAGE_HITS, SearchQuestion};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::frame::{self, Page, Section};
use crate::ui::number;
use engine::Caller;
use maud::html;
use model::Table;
use serde_json::{Value, json};

/// So many rows before and after, unless more are asked for.
const ROWS: u64 = 10;

/// `GET /_ui/search/around`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || render(call, caller))
}

fn render(call: &Call<'_>, caller: &Caller) -> Answer {
    let question = SearchQuestion::read(call.request).map_err(ApiError::illegal_argument)?;
    let tables = backend::tables(&call.app.engine, caller, &question.table)?;
    let table = tables.first().ok_or_else(|| ApiError::not_found("There is no such table."))?;
    let Some(time) = &table.time_field else {
        return Err(ApiError::illegal_argument("The rows of this table have no time to stand in."));
    };
    let id = call.request.param("id").unwrap_or("");
    let asked = call.request.param("rows").and_then(|rows| rows.parse().ok());
    let rows: u64 = asked.unwrap_or(ROWS).clamp(1, PAGE_HITS * 2);
    let ask =
        |body: Value| backend::search(&call.app.engine, caller, &question.table, Some(body), &[]);
    let order = |direction: &str| json!([{ time: direction }, { "_seq_no": direction }]);
    let anchor = ask(json!({
        "size": 1, "query": { "ids": { "values": [id] } }, "sort": order("asc"),
    }))?;
    let Some(row) = anchor.pointer("/hits/hits/0") else {
        return Err(ApiError::not_found("There is no such row, or it is not yours to read."));
    };
    let beside = |direction: &str| -> Result<Vec<Value>, ApiError> {
        let body = json!({
            "size": rows, "sort": order(direction), "search_after": row["sort"],
            "track_total_hits": false,
        });
        let mut found = ask(body)?;
        let hits = found.pointer_mut("/hits/hits").map(Value::take);
        Ok(hits.and_then(|hits| hits.as_array().cloned()).unwrap_or_default())
    };
    let mut later = beside("asc")?;
    let earlier = beside("desc")?;
    later.reverse();
    let title = format!("Around a row · {}", question.table);
    let page = Page::new(caller, Section::Search, &title);
    Ok(page.reply(shown(&question, table, id, rows, &later, row, &earlier)))
}

fn shown(
    question: &SearchQuestion,
    table: &Table,
    id: &str,
    rows: u64,
    later: &[Value],
    row: &Value,
    earlier: &[Value],
) -> maud::Markup {
    let more = question.around_link(id).with("rows", (rows * 2).to_string());
    let all = later.iter().chain([row]).chain(earlier);
    html! {
        div.page-head {
            p.crumbs { a href=(question.link()) { "Search " (question.table) } }
            h1 { "Around a row" }
            p.sub {
                (number::of(later.len() as u64, "row", "rows")) " after it, "
                (number::of(earlier.len() as u64, "row", "rows")) " before it, the newest first, whatever was searched for. "
                @if rows < PAGE_HITS * 2 { a href=(more) { "More" } }
            }
        }
        (hits::head(question, table))
        div.hits {
            @for hit in all {
                @if hit["_id"] == row["_id"] { div.anchor-row aria-current="true" { (hits::one(question, table, hit)) } }
                @else { (hits::one(question, table, hit)) }
            }
        }
    }
}
