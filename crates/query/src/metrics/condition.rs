//! Conditions on rows, as files and questions write them, as filters and as SQL.

use crate::leaf::field::{self, Kind};
use crate::{QueryError, sql};
use model::{Table, Value};
use protection::Pseudonyms;
use serde::Deserialize;
use std::sync::Arc;
use storage::Filter;

/// Which rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    /// A condition in SQL.
    Sql(String),
    /// Every field has one of its values.
    Fields(Vec<(String, Vec<Literal>)>),
}

/// A value as somebody wrote it.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(untagged)]
pub(super) enum Literal {
    /// True or false.
    Bool(bool),
    /// Integer.
    Long(i64),
    /// Float.
    Double(f64),
    /// Anything else.
    Text(String),
}

impl std::fmt::Debug for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Literal(…)")
    }
}

/// The condition as a filter, with pseudonyms in the place of personal values.
pub(super) fn filter(
    condition: &Condition,
    table: &Arc<Table>,
    pseudonyms: &Pseudonyms,
) -> Result<Filter, QueryError> {
    match condition {
        Condition::Sql(text) => sql::condition(text, table, pseudonyms),
        Condition::Fields(fields) => {
            let mut all = Filter::All;
            for (name, values) in fields {
                all = all.and(one_of(name, values, table, pseudonyms)?);
            }
            Ok(all)
        }
    }
}

fn one_of(
    name: &str,
    values: &[Literal],
    table: &Arc<Table>,
    pseudonyms: &Pseudonyms,
) -> Result<Filter, QueryError> {
    let tables = std::slice::from_ref(table);
    let kind = field::column_kind(tables, name)?.ok_or_else(|| field::unknown(tables, name))?;
    let Some(found) = field::find(table, name) else { return Err(field::unknown(tables, name)) };
    let stored = |literal: &Literal| {
        let text = literal.text();
        let value = match kind {
            Kind::Keyword => Some(Value::Str(pseudonyms.literal(found.field, &text))),
            Kind::Long => text.parse().ok().map(Value::Long),
            Kind::Double => text.parse().ok().filter(|v: &f64| v.is_finite()).map(Value::Double),
            Kind::Bool => text.parse().ok().map(Value::Bool),
            Kind::Date => chrono::DateTime::parse_from_rfc3339(&text)
                .ok()
                .map(|time| Value::Long(time.timestamp_millis())),
            Kind::Text | Kind::Sealed => None,
        };
        value.ok_or_else(|| {
            QueryError::Invalid(format!("field `{name}` cannot have the value `{text}`"))
        })
    };
    let mut values = values.iter().map(stored).collect::<Result<Vec<_>, _>>()?;
    Ok(match values.len() {
        1 => Filter::Term(name.to_owned(), values.swap_remove(0)),
        _ => Filter::Terms(name.to_owned(), values),
    })
}

impl Literal {
    /// As somebody would write it.
    pub(super) fn text(&self) -> String {
        match self {
            Literal::Bool(value) => value.to_string(),
            Literal::Long(value) => value.to_string(),
            Literal::Double(value) => value.to_string(),
            Literal::Text(text) => text.clone(),
        }
    }

    fn sql(&self) -> String {
        match self {
            Literal::Text(text) => quote(text),
            other => other.text(),
        }
    }
}

/// A string of SQL.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name of SQL.
pub(super) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The condition as SQL.
pub(super) fn sql_text(condition: &Condition) -> String {
    match condition {
        Condition::Sql(text) => text.trim().to_owned(),
        Condition::Fields(fields) => {
            let parts: Vec<String> = fields
                .iter()
                .map(|(field, values)| {
                    let values: Vec<String> = values.iter().map(Literal::sql).collect();
                    match values.as_slice() {
                        [value] => format!("{} = {value}", name(field)),
                        values => format!("{} IN ({})", name(field), values.join(", ")),
                    }
                })
                .collect();
            parts.join(" AND ")
        }
    }
}
