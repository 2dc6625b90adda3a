//! What was asked, in the words of the API and of SQL; how it is planned, and how long it took.

use super::as_sql::as_sql;
use super::question::SearchQuestion;
use crate::backend;
use crate::route::Call;
use crate::ui::frame;
use crate::ui::link::Link;
use engine::Caller;
use maud::{Markup, html};
use model::Table;
use serde_json::Value;

/// The box under the hits. The plan is made only if the question asks for it.
pub(super) fn box_of(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
    body: &Value,
    answer: &Value,
) -> Markup {
    let sql = as_sql(question, table);
    let dsl = format!("{:#}", without_marks(body));
    let path = Link::to("").part(table.name.as_str()).part("_search");
    let request = call.request;
    let curl = frame::curl(&frame::host(request), request.peer.secure, "POST", &path, &dsl);
    let here = question.page_link(question.page);
    html! {
        details.code-box.inspect open[question.inspects] {
            summary { "Inspect" }
            h3 { "Search" }
            (frame::code_frame(&curl))
            p.hint {
                "Asks under your name, with an API key of yours: "
                code { "clerestory key create shell" } "."
            }
            h3 { "SQL" }
            @match &sql {
                Ok(sql) => {
                    (frame::code_frame(sql))
                    p.hint { a href=(Link::to("/_ui/sql").with("q", sql.as_str())) { "Open in SQL" } }
                },
                Err(why) => p.hint { (why) },
            }
            h3 { "Plan" }
            @match (question.inspects, &sql) {
                (true, Ok(sql)) => (plan(call, caller, sql)),
                (false, Ok(_)) => p.hint { a href=(here.with("inspect", "1")) { "Show the plan" } },
                (_, Err(_)) => p.hint { "The plan is that of the SQL form." },
            }
            h3 { "Time" }
            p { (answer["took"].as_u64().unwrap_or(0)) " ms for the hits and the histogram." }
        }
    }
}

fn plan(call: &Call<'_>, caller: &Caller, sql: &str) -> Markup {
    let explained = backend::sql(&call.app.engine, caller, &format!("EXPLAIN {sql}"), &[]);
    match explained {
        Err(error) => frame::failure(&error),
        Ok(answer) => {
            let text = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
            let rows: Vec<String> = answer
                .rows
                .iter()
                .map(|row| row.iter().map(text).collect::<Vec<_>>().join("\n"))
                .collect();
            frame::code_frame(&rows.join("\n\n"))
        }
    }
}

/// The body without what only this page needs.
fn without_marks(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(members) = body.as_object_mut() {
        members.shift_remove("highlight");
    }
    body
}
