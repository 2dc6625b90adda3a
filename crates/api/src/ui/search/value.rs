//! A value of a document as people see it.

use super::question::MARKS;
use crate::ui::number;
use crate::ui::time_range::millisecond;
use chrono::DateTime;
use maud::{Markup, html};
use model::{Class, Field, FieldType, Table};
use serde_json::Value;

/// One field of a document with its values as text.
pub(super) struct Shown<'a> {
    /// The path, with dots.
    pub(super) name: String,
    /// What the table knows of it.
    pub(super) field: Option<&'a Field>,
    pub(super) values: Vec<String>,
}

/// The fields of a document, flat, texts first because they say most.
pub(super) fn flatten<'a>(table: &'a Table, source: &Value) -> Vec<Shown<'a>> {
    let mut shown = Vec::new();
    walk(table, String::new(), source, &mut shown);
    shown.sort_by_key(|shown| !shown.field.is_some_and(|field| field.ty == FieldType::Text));
    shown
}

fn walk<'a>(table: &'a Table, path: String, value: &Value, out: &mut Vec<Shown<'a>>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(table, path, member, out);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for item in items {
                walk(table, path.clone(), item, out);
            }
        }
        Value::Array(items) => put(table, path, items.iter().filter_map(text).collect(), out),
        other => put(table, path, text(other).into_iter().collect(), out),
    }
}

fn put<'a>(table: &'a Table, name: String, values: Vec<String>, out: &mut Vec<Shown<'a>>) {
    if values.is_empty() {
        return;
    }
    if let Some(known) = out.iter_mut().find(|known| known.name == name) {
        known.values.extend(values);
        return;
    }
    let field = table.schema.find(&name).map(|(_, field)| field);
    out.push(Shown { name, field, values });
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// One value. A pseudonym is marked, and shortened where space is short.
pub(super) fn one(field: Option<&Field>, value: &str, short: bool) -> Markup {
    let class = field.and_then(|field| field.class);
    if matches!(class, Some(Class::Personal | Class::Secret)) {
        let word = class.map_or("", Class::as_str);
        let kept = if short { shortened(value) } else { value.to_owned() };
        return html! { span class={ "token token-" (word) } title=(value) { (kept) } };
    }
    match field.map(|field| field.ty) {
        Some(FieldType::Date) => html! { span.nowrap { (date(value)) } },
        _ if value.contains(MARKS[0]) => marked(value),
        _ => html! { (value) },
    }
}

/// Whether a text is what stands for the value of a person or a credential, where no field says so:
/// a kind and 16 bytes in base 32.
pub(in crate::ui) fn is_stand_in(text: &str) -> bool {
    let is_kind = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let is_code = |c: char| c.is_ascii_digit() || ('a'..='v').contains(&c);
    text.split_once(':').is_some_and(|(kind, code)| {
        !kind.is_empty()
            && kind.chars().all(is_kind)
            && code.len() == 26
            && code.chars().all(is_code)
    })
}

/// A text with the words that were asked for marked.
fn marked(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split(MARKS[0]).enumerate() {
            @match part.split_once(MARKS[1]) {
                Some((word, rest)) if place > 0 => { mark { (word) } (rest) },
                _ => (part),
            }
        }
    }
}

/// A date as every page writes it, or as it is if it is none.
pub(super) fn date(value: &str) -> String {
    match DateTime::parse_from_rfc3339(value) {
        Ok(time) => millisecond(time.timestamp_millis()),
        Err(_) => match value.parse::<i64>() {
            Ok(ms) if value.len() >= 12 => millisecond(ms),
            _ => value.to_owned(),
        },
    }
}

/// `email:0a1b2c…`: enough to tell two apart.
fn shortened(value: &str) -> String {
    match value.split_once(':') {
        Some((kind, rest))
            if rest.chars().count() > 10 && rest.chars().all(char::is_alphanumeric) =>
        {
            format!("{kind}:{}…", rest.chars().take(8).collect::<String>())
        }
        _ => value.to_owned(),
    }
}

/// The key of a bucket as text.
pub(super) fn key(bucket: &Value) -> String {
    match (&bucket["key_as_string"], &bucket["key"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
        (_, Value::Number(number)) => {
            number.as_f64().map_or_else(|| number.to_string(), number::plain)
        }
        (_, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FieldName, Intake, Schema, TableId, TableKind, TableName};
    use serde_json::json;

    fn table() -> Table {
        let field = |name: &str, ty| Field::new(FieldName::parse(name).unwrap(), ty, "");
        Table {
            id: TableId(1),
            name: TableName::parse("logs").unwrap(),
            kind: TableKind::Events,
            intake: Intake::Classified,
            time_field: None,
            sort: None,
            retention_ms: None,
            dynamic: true,
            schema: Schema::from_fields(vec![
                field("a", FieldType::Long),
                field("words", FieldType::Text),
            ]),
        }
    }

    #[test]
    fn documents_lie_flat_texts_first() {
        let source = json!({ "a": [1, 2], "b": { "c": null, "d": true }, "words": "hello",
                             "list": [{ "x": 1 }, { "x": 2 }] });
        let table = table();
        let shown = flatten(&table, &source);
        let lines: Vec<String> = shown
            .iter()
            .map(|shown| format!("{}={}", shown.name, shown.values.join("|")))
            .collect();
        assert_eq!(lines, ["words=hello", "a=1|2", "b.d=true", "list.x=1|2"]);
    }

    #[test]
    fn pseudonyms_are_shortened_and_others_are_not() {
        assert_eq!(shortened("email:0123456789abcdefghijklmnop"), "email:01234567…");
        assert_eq!(shortened("a: long sentence with a colon"), "a: long sentence with a colon");
        assert_eq!(date("2026-11-01T08:00:00Z"), "2026-11-01 08:00:00.000");
        let [before, after] = MARKS;
        let text = one(None, &format!("a <{before}b{after}> c"), true).into_string();
        assert_eq!(text, "a &lt;<mark>b</mark>&gt; c");
        assert!(is_stand_in("email:0123456789abcdefghijklmnop"));
        assert!(!is_stand_in("email:ada@example.org") && !is_stand_in("2026-11-01T08:00:00Z"));
        assert_eq!(date("soon"), "soon");
        assert_eq!(key(&json!({ "key": 12.5 })), "12.5");
        assert_eq!(key(&json!({ "key": 1, "key_as_string": "true" })), "true");
    }
}
