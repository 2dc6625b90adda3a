//! The SQL page as a whole. The statement stands in the URL.

use super::chart::{self, Chart};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form;
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::saved::{self, Kept};
use crate::ui::search::{attachment, csv_cell, is_stand_in, link_to};
use crate::ui::{badge, number};
use engine::{Caller, SqlAnswer, SqlColumn};
use maud::{Markup, html};
use model::Table;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The parameters of the page.
pub(in crate::ui) const PARAMS: &[&str] = &["q", "saved"];

/// So many rows in the grid; the CSV has them all.
const ROWS_MAX: usize = 500;
/// A longer statement does not fit into a URL that every proxy lets through.
const STATEMENT_BYTES_MAX: usize = 6000;

/// `GET /_ui/sql`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Sql, || render(call, caller))
}

/// `GET /_ui/sql/csv`: all rows of the answer.
pub(in crate::ui) fn download(call: &Call<'_>, caller: &Caller) -> Answer {
    let answer = backend::sql(&call.app.engine, caller, statement(call)?, &[])?;
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let failed = |error: csv::Error| ApiError::internal(format!("writing rows: {error}"));
    writer.write_record(answer.columns.iter().map(|column| &column.name)).map_err(failed)?;
    for row in &answer.rows {
        writer.write_record(row.iter().map(|value| csv_cell(&text(value)))).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    attachment(bytes, "answer")
}

fn statement<'a>(call: &'a Call<'_>) -> Result<&'a str, ApiError> {
    let statement = call.request.param("q").map(str::trim).unwrap_or("");
    match statement.len() <= STATEMENT_BYTES_MAX {
        true => Ok(statement),
        false => Err(ApiError::illegal_argument(format!(
            "The statement is longer than {STATEMENT_BYTES_MAX} bytes. Send it to POST /_sql, or with `clerestory sql`."
        ))),
    }
}

fn render(call: &Call<'_>, caller: &Caller) -> Answer {
    let statement = statement(call)?;
    let tables = backend::tables(&call.app.engine, caller, "*")?;
    if tables.is_empty() {
        let page = Page::new(caller, Section::Sql, "SQL");
        return Ok(page.reply(html! { div.page-head { h1 { "SQL" } } (frame::no_tables(caller)) }));
    }
    let started = Instant::now();
    let asked = match statement {
        "" => None,
        statement => Some(backend::sql(&call.app.engine, caller, statement, &[])),
    };
    let took = started.elapsed();
    let chart = asked.iter().flatten().find_map(chart::of);
    let saved_id = form::asked(call.request, "saved");
    let content = html! {
        h1.unseen { "SQL" }
        @if let Some(id) = saved_id { (saved::bar(call, caller, id, &Kept::of_sql(statement))) }
        (editor(statement, saved_id, asked.as_ref().and_then(|asked| asked.as_ref().err())))
        div.search-body {
            (schema(&tables))
            div.search-main {
                @match &asked {
                    None => (beginning(&tables)),
                    Some(Err(error)) => (frame::failure(error)),
                    Some(Ok(answer)) => (answered(statement, answer, chart.as_ref(), took)),
                }
            }
        }
    };
    let has_chart = matches!(chart, Some(Chart::OverTime(_)));
    Ok(Page { has_chart, ..Page::new(caller, Section::Sql, "SQL") }.reply(content))
}

fn editor(statement: &str, saved: Option<&str>, error: Option<&ApiError>) -> Markup {
    html! {
        form.sql-form method="get" action="/_ui/sql" {
            label.unseen for="q" { "Statement" }
            textarea.sql-editor id="q" name="q" rows="6" data-focus data-run spellcheck="false"
                autocapitalize="none" autocomplete="off" aria-invalid=[error.map(|_| "true")]
                placeholder="SELECT kind, count(*) FROM events GROUP BY kind ORDER BY 2 DESC" { (statement) }
            @if let Some(id) = saved { input type="hidden" name="saved" value=(id); }
            div.sql-actions {
                button.button.primary type="submit" { "Run" }
                span.hint { kbd { "Ctrl" } " + " kbd { "Enter" } }
                @if !statement.is_empty() && !statement.to_ascii_uppercase().starts_with("EXPLAIN") {
                    a href=(link(&format!("EXPLAIN {statement}"))) { "Plan" }
                }
            }
        }
    }
}

fn link(statement: &str) -> Link {
    Link::to("/_ui/sql").with("q", statement)
}

/// Tables and their columns; a column goes into the statement where the cursor stands.
fn schema(tables: &[Arc<Table>]) -> Markup {
    html! {
        aside.fields-list aria-label="Tables" {
            details.fields-fold open {
                summary { "Tables " span.faint { (tables.len()) } }
                @for table in tables {
                    details.schema-table open[tables.len() == 1] {
                        summary { (table.name.as_str()) }
                        ul {
                            li.field-row {
                                button.insert type="button" data-insert=(quoted(table.name.as_str())) title="Put it into the statement" {
                                    span.faint { "the table" }
                                }
                            }
                            @for field in table.schema.fields() {
                                li.field-row {
                                    button.insert type="button" data-insert=(quoted(field.name.as_str())) title="Put it into the statement" {
                                        (badge::type_sign(field.ty)) span.field-name { (field.name.as_str()) }
                                    }
                                    (badge::field_if_protected(field))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_owned() } else { format!("\"{name}\"") }
}

fn beginning(tables: &[Arc<Table>]) -> Markup {
    let usual = tables.iter().find(|table| table.name.as_str() == "events").or(tables.first());
    html! {
        div.empty {
            p.empty-title { "Ask in SQL" }
            p { "SELECT over every table you may read; joins, groups, windows. Personal fields are pseudonyms here: compare them with the real value and it is looked up." }
            @if let Some(table) = usual {
                @let name = quoted(table.name.as_str());
                ul.syntax {
                    li { a href=(link(&format!("SELECT * FROM {name} LIMIT 20"))) { "The first rows of " (table.name.as_str()) } }
                    li { a href=(link(&format!("DESCRIBE {name}"))) { "Its columns" } }
                    @if let Some(time) = &table.time_field {
                        @let time = quoted(time);
                        li { a href=(link(&format!("SELECT date_trunc('day', {time}) AS day, count(*) AS n\nFROM {name}\nGROUP BY 1\nORDER BY 1"))) { "Rows a day, as a chart" } }
                    }
                    li { a href=(link_to(table.name.as_str(), "")) { "Search it instead" } }
                }
            }
        }
    }
}

fn answered(statement: &str, answer: &SqlAnswer, chart: Option<&Chart>, took: Duration) -> Markup {
    let rows = answer.rows.len();
    html! {
        div.result-head {
            p role="status" {
                strong { (number::of(rows as u64, "row", "rows")) }
                span.faint { " · " (took.as_millis()) " ms" }
            }
            nav.result-actions aria-label="With this answer" {
                @if rows > 0 { a.button href=(link(statement).at("/_ui/sql/csv")) { "CSV" } }
                (saved::save_form(&Kept::of_sql(statement)))
            }
        }
        @match chart {
            Some(Chart::OverTime(told)) => {
                section.panel aria-label="Chart" {
                    div.chart data-chart=(told) {}
                    noscript { p.hint { "The chart needs JavaScript; the rows below are the same." } }
                }
            },
            Some(Chart::Bars(bars)) => section.panel aria-label="Chart" { (bars) },
            None => {},
        }
        @if rows == 0 {
            (frame::empty("No row", html! { "The statement is right, and nothing fits it. Widen a condition." }))
        } @else { (grid(answer)) }
    }
}

fn grid(answer: &SqlAnswer) -> Markup {
    html! {
        div.framed.scroll-both tabindex="0" role="region" aria-label="Rows" {
            table.grid.sql-grid {
                thead { tr {
                    @for column in &answer.columns {
                        th scope="col" class=[chart::is_number(column).then_some("num")] title=(column.ty) { (column.name) }
                    }
                } }
                tbody {
                    @for row in answer.rows.iter().take(ROWS_MAX) {
                        tr {
                            @for (column, value) in answer.columns.iter().zip(row) { (cell(column, value)) }
                        }
                    }
                }
            }
        }
        @if answer.rows.len() > ROWS_MAX {
            p.hint { "The first " (number::count(ROWS_MAX as u64)) " rows; the CSV has all." }
        }
    }
}

fn cell(column: &SqlColumn, value: &Value) -> Markup {
    html! {
        td class=[chart::is_number(column).then_some("num")] {
            @match value {
                Value::Null => span.faint { "null" },
                Value::String(text) if text.contains('\n') => pre { (text) },
                Value::String(text) if is_stand_in(text) => span.token.token-personal title="Stands for the value of a person or a credential" { (text) },
                value => (text(value)),
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
