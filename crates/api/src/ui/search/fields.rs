//! The fields of the table beside the hits, and the most frequent values of one.

use super::question::{SearchQuestion, condition, sort_field};
use super::value;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use crate::ui::{badge, frame, number};
use engine::Caller;
use maud::{Markup, html};
use model::{Class, Field, StoredType, Table};
use serde_json::{Value, json};

/// So many values of a field.
const VALUES: usize = 10;

/// `GET /_ui/search/values`: the values of one field, for the script that puts them in place.
pub(in crate::ui) fn values(call: &Call<'_>, caller: &Caller) -> Answer {
    let question = SearchQuestion::read(call.request).map_err(ApiError::illegal_argument)?;
    let tables = backend::tables(&call.app.engine, caller, &question.table)?;
    let table = tables.first().ok_or_else(|| ApiError::not_found("There is no such table."))?;
    let content = top_values(call, caller, &question, table);
    Ok(Reply::page(content.into_string()))
}

/// The list of fields.
pub(super) fn list(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
) -> Markup {
    let mut fields: Vec<&Field> = table.schema.fields().iter().collect();
    fields.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    html! {
        aside.fields-list aria-label="Fields" {
            details.fields-fold open {
                summary { "Fields " span.faint { (fields.len()) } }
                ul {
                    @for field in fields { (item(call, caller, question, table, field)) }
                }
            }
        }
    }
}

fn item(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
    field: &Field,
) -> Markup {
    let name = field.name.as_str();
    let is_open = question.field.as_deref() == Some(name);
    let is_column = question.columns.iter().any(|column| column == name);
    let here = question.page_link(question.page);
    let link = if is_open { here } else { here.with("field", name) };
    html! {
        li.field-item {
            div.field-row {
                a.field-link href=(link) data-values=(name) aria-expanded=(is_open) {
                    (badge::type_sign(field.ty)) span.field-name { (name) }
                }
                (badge::field_if_protected(field))
                @if sort_field(table, name).is_some() || field.stored() == StoredType::Text {
                    a.icon-button.field-add href=(question.toggle_column_link(name))
                        title=(if is_column { "Remove this column" } else { "Show as a column" })
                        aria-label={ (if is_column { "Remove the column " } else { "Show as a column: " }) (name) } {
                        (if is_column { "−" } else { "+" })
                    }
                }
            }
            @if is_open { (top_values(call, caller, question, table)) }
        }
    }
}

/// The most frequent values of the field that the question names, or why there are none.
fn top_values(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
) -> Markup {
    let name = question.field.as_deref().unwrap_or("");
    let field = table.schema.find(name).map(|(_, field)| field);
    let content = match (field, sort_field(table, name)) {
        (None, _) => html! { p.hint { "There is no such field." } },
        (Some(field), _) if field.withheld => {
            html! { p.hint.withheld-note data-state="withheld" { "Withheld: sealed and unread until a guardian rules on it." } }
        }
        (Some(field), None) if field.class == Some(Class::Special) => {
            html! { p.hint.withheld-note data-state="withheld" { "Sealed value by value. It is only counted in groups and never shown." } }
        }
        (Some(_), None) => {
            html! { p.hint { "Text. Search for words in it: " code { (name) ":word" } } }
        }
        (Some(_), Some(grouped)) => {
            let body = json!({
                "size": 0,
                "track_total_hits": true,
                "query": question.query_json(table),
                "aggs": {
                    "values": { "terms": { "field": grouped, "size": VALUES } },
                    "with": { "value_count": { "field": grouped } },
                    "rows": { "filter": { "exists": { "field": name } } },
                },
            });
            let engine = &call.app.engine;
            match backend::search(engine, caller, table.name.as_str(), Some(body), &[]) {
                Ok(answer) => bars(question, field, name, &answer),
                Err(error) => frame::failure(&error),
            }
        }
    };
    html! { div.values aria-live="polite" { (content) } }
}

/// `in 93 % of hits`: in how many of them the field has a value.
fn coverage(answer: &Value) -> String {
    let hits = answer["hits"]["total"]["value"].as_u64().unwrap_or(0).max(1);
    let with = answer["aggregations"]["rows"]["doc_count"].as_u64().unwrap_or(0);
    match with * 100 / hits {
        100 => "in every hit".to_owned(),
        0 => format!("in {}", number::of(with, "hit", "hits")),
        share => format!("in {share} % of hits"),
    }
}

fn bars(question: &SearchQuestion, field: Option<&Field>, name: &str, answer: &Value) -> Markup {
    let values = &answer["aggregations"]["values"];
    let buckets = values["buckets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = answer["aggregations"]["with"]["value"].as_f64().unwrap_or(0.0) as u64;
    let others = values["sum_other_doc_count"].as_u64().unwrap_or(0);
    html! {
        @if buckets.is_empty() {
            p.hint { "No hit has a value here." }
        } @else {
            ol.value-list {
                @for bucket in buckets {
                    @let count = bucket["doc_count"].as_u64().unwrap_or(0);
                    @let share = count * 1000 / all.max(count).max(1);
                    @let text = value::key(bucket);
                    @let condition = condition(name, &text);
                    li {
                        span.value-text title=(text) { (value::one(field, &text, true)) }
                        span.value-count title={ (number::count(count)) " hits" } { @if share < 10 { (number::count(count)) } @else { (share / 10) " %" } }
                        span.value-links {
                            a.icon-button href=(question.link_and(&condition)) title="Only hits with this value" aria-label={ "Only hits with " (text) } { "+" }
                            a.icon-button href=(question.link_and(&format!("NOT {condition}"))) title="Only hits without this value" aria-label={ "Only hits without " (text) } { "−" }
                        }
                        svg.share viewBox="0 0 1000 4" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                            rect.share-back width="1000" height="4" {}
                            rect.share-bar width=(share) height="4" {}
                        }
                    }
                }
            }
            p.hint {
                (coverage(answer)) " · "
                (number::of(all, "value", "values"))
                @if others > 0 { ", " (number::count(others)) " beyond these" }
            }
        }
    }
}
