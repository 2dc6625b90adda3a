//! Hits: a line each, that opens into a table of its fields and its JSON.

use super::question::{SearchQuestion, condition, sort_field};
use super::value::{self, Shown};
use crate::ui::{badge, frame};
use maud::{Markup, html};
use model::{Class, Field, FieldType, StoredType, Table};
use serde_json::Value;

/// A line shows so many fields of a hit; the rest is inside.
const LINE_FIELDS_MAX: usize = 14;
/// A line shows so many characters of a value.
const LINE_VALUE_MAX: usize = 240;

/// All hits of an answer.
pub(super) fn list(question: &SearchQuestion, table: &Table, answer: &Value) -> Markup {
    let hits = answer["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
    let order = question.order(table);
    let sortable = |name: &str| sort_field(table, name).is_some();
    let head = |name: &str, label: &str| {
        let sorted = order.as_ref().filter(|sort| sort.field == name);
        let arrow = sorted.map_or("", |sort| if sort.descending { " ↓" } else { " ↑" });
        html! {
            @if sortable(name) {
                a href=(question.sort_link(name, order.as_ref())) title={ "Order by " (name) } { (label) (arrow) }
            } @else { (label) }
        }
    };
    html! {
        div.hits {
            (heads(question, table, &head, true))
            @for hit in hits { (one(question, table, hit)) }
        }
    }
}

/// The names above hits that stand in an order of their own.
pub(super) fn head(question: &SearchQuestion, table: &Table) -> Markup {
    html! { div.hits { (heads(question, table, &|_, label| html! { (label) }, false)) } }
}

fn heads(
    question: &SearchQuestion,
    table: &Table,
    head: &dyn Fn(&str, &str) -> Markup,
    can_be_removed: bool,
) -> Markup {
    html! {
        div.hits-head {
            span.hit-time {
                @if let Some(field) = table.time_field.as_deref() { (head(field, "Time (UTC)")) } @else { "Id" }
            }
            @if question.columns.is_empty() {
                span.hit-line { "Document" }
            }
            @for column in &question.columns {
                span.hit-cell.wide[is_wide(table, column)] {
                    (head(column, column))
                    @if let Some((_, field)) = table.schema.find(column) { " " (badge::field_if_protected(field)) }
                    @if can_be_removed {
                        a.quiet href=(question.toggle_column_link(column)) title="Remove this column" aria-label={ "Remove the column " (column) } { "×" }
                    }
                }
            }
        }
    }
}

/// One hit, folded.
pub(super) fn one(question: &SearchQuestion, table: &Table, hit: &Value) -> Markup {
    let mut shown = value::flatten(table, &hit["_source"]);
    mark(&mut shown, &hit["highlight"]);
    let id = hit["_id"].as_str().unwrap_or("");
    let time = table.time_field.as_deref();
    let time = time.and_then(|name| shown.iter().find(|shown| shown.name == name));
    html! {
        details.hit {
            summary {
                span.hit-time {
                    @match time {
                        Some(time) => (time.values.first().map(|at| value::date(at)).unwrap_or_default()),
                        None => span.mono { (id) },
                    }
                }
                @if question.columns.is_empty() { (line(table, &shown)) }
                @for column in &question.columns {
                    span.hit-cell.wide[is_wide(table, column)] {
                        @if let Some(found) = shown.iter().find(|shown| shown.name == *column) { (values(found, true)) }
                        @else { span.faint { "–" } }
                    }
                }
            }
            (inside(question, table, id, &shown, hit))
        }
    }
}

/// Puts the texts with marked words in the place of those without.
fn mark(shown: &mut [Shown<'_>], highlight: &Value) {
    for shown in shown {
        if let Some(marked) = highlight.get(&shown.name).and_then(Value::as_array)
            && marked.len() == shown.values.len()
        {
            shown.values = marked.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
    }
}

/// The hit as the API gives it, without the marks.
fn plain(hit: &Value) -> Value {
    let mut hit = hit.clone();
    if let Some(members) = hit.as_object_mut() {
        members.shift_remove("highlight");
    }
    hit
}

/// Whether a column holds sentences, which need more room than words.
fn is_wide(table: &Table, column: &str) -> bool {
    table.schema.find(column).is_some_and(|(_, field)| field.ty == FieldType::Text)
}

/// The fields of a hit one after the other.
fn line(table: &Table, shown: &[Shown<'_>]) -> Markup {
    let is_time = |shown: &&Shown<'_>| table.time_field.as_deref() == Some(shown.name.as_str());
    html! {
        span.hit-line {
            @for shown in shown.iter().filter(|shown| !is_time(shown)).take(LINE_FIELDS_MAX) {
                span.pair { span.pair-name { (shown.name) } " " (values(shown, true)) } " "
            }
        }
    }
}

/// The open hit: every field, and the document as the API gives it.
fn inside(
    question: &SearchQuestion,
    table: &Table,
    id: &str,
    shown: &[Shown<'_>],
    hit: &Value,
) -> Markup {
    let hidden = hidden(table);
    html! {
        div.hit-inside {
            table.fields {
                caption.unseen { "Fields of " (id) }
                thead.unseen { tr { th scope="col" { "Field" } th scope="col" { "Value" } th scope="col" { "Narrow down" } } }
                tbody {
                    tr {
                        th scope="row" { "_id" }
                        td.mono { (id) }
                        td {}
                    }
                    @for shown in shown {
                        tr {
                            th scope="row" {
                                (shown.name)
                                @if let Some(field) = shown.field { " " (badge::field_if_protected(field)) }
                            }
                            td { (values(shown, false)) }
                            td.narrow {
                                @if let Some(value) = narrowing(shown) {
                                    @let condition = condition(&shown.name, value);
                                    a.icon-button href=(question.link_and(&condition)) title="Only hits with this value" aria-label={ "Only hits with this " (shown.name) } { "+" }
                                    a.icon-button href=(question.link_and(&format!("NOT {condition}"))) title="Only hits without this value" aria-label={ "Only hits without this " (shown.name) } { "−" }
                                }
                            }
                        }
                    }
                }
            }
            @if !hidden.is_empty() {
                p.hint { "Never shown: " @for field in hidden { (field.name.as_str()) " " (badge::field(field)) " " } }
            }
            @if table.time_field.is_some() {
                p { a href=(question.around_link(id)) { "Rows before and after this one" } }
            }
            details.json {
                summary { "JSON" }
                (frame::code_frame(&format!("{:#}", plain(hit))))
            }
        }
    }
}

/// The fields that no hit shows: their values are sealed or were never stored.
fn hidden(table: &Table) -> Vec<&Field> {
    let is_hidden = |field: &&Field| {
        field.withheld || matches!(field.class, Some(Class::Special | Class::Secret))
    };
    table.schema.fields().iter().filter(is_hidden).collect()
}

/// The value that a link can narrow the hits to, if the field can be looked up by it.
fn narrowing<'a>(shown: &'a Shown<'_>) -> Option<&'a str> {
    let is_exact = |field: &Field| !matches!(field.stored(), StoredType::Text | StoredType::Sealed);
    let value = shown.values.first()?;
    shown.field.filter(|field| is_exact(field)).map(|_| value.as_str())
}

fn values(shown: &Shown<'_>, short: bool) -> Markup {
    html! {
        @for (place, value) in shown.values.iter().enumerate() {
            @if place > 0 { ", " }
            @if short { (value::one(shown.field, &cut(value), true)) }
            @else { (value::one(shown.field, value, false)) }
        }
    }
}

fn cut(value: &str) -> String {
    match value.char_indices().nth(LINE_VALUE_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
