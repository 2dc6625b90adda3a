//! From the name of a field in a question to what the tables keep under it.

use crate::QueryError;
use crate::error::nearest;
use arrow::datatypes::DataType;
use model::{Field, FieldType, StoredType, Table};
use std::sync::Arc;

/// The ending of a text field's keyword companion.
pub(crate) const COMPANION: &str = ".keyword";

/// A field of a table under the name that the question uses.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    /// The field itself, also for its companion.
    pub(crate) field: &'a Field,
    /// Whether the name means the keyword companion of a text.
    pub(crate) companion: bool,
}

/// Finds a field or the keyword companion of a text field.
pub(crate) fn find<'a>(table: &'a Table, name: &str) -> Option<Found<'a>> {
    if let Some((_, field)) = table.schema.find(name) {
        return Some(Found { field, companion: false });
    }
    let (_, field) = table.schema.find(name.strip_suffix(COMPANION)?)?;
    let has_companion = field.stored() == StoredType::Text && field.keyword_up_to.is_some();
    has_companion.then_some(Found { field, companion: true })
}

/// What a field holds, over all tables of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Exact strings.
    Keyword,
    /// Words; the text is in the store, there is no column.
    Text,
    /// Integers.
    Long,
    /// Floats.
    Double,
    /// Truth.
    Bool,
    /// Milliseconds.
    Date,
    /// Sealed: only counted.
    Sealed,
}

impl Kind {
    /// What one table keeps.
    pub(crate) fn of(found: Found<'_>) -> Kind {
        match found.field.stored() {
            _ if found.companion => Kind::Keyword,
            StoredType::Keyword => Kind::Keyword,
            StoredType::Text => Kind::Text,
            StoredType::Long if found.field.ty == FieldType::Date => Kind::Date,
            StoredType::Long => Kind::Long,
            StoredType::Double => Kind::Double,
            StoredType::Bool => Kind::Bool,
            StoredType::Sealed => Kind::Sealed,
        }
    }

    /// The Arrow type of its values in an answer of the leaf.
    pub(crate) fn arrow(self) -> DataType {
        match self {
            Kind::Keyword | Kind::Text | Kind::Sealed => DataType::Utf8,
            Kind::Long | Kind::Date => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Bool => DataType::Boolean,
        }
    }

    /// Whether it can be added up.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Kind::Long | Kind::Double | Kind::Bool | Kind::Date)
    }
}

/// What the field holds over all these tables; `None` if none has it.
///
/// # Errors
/// If two tables disagree in a way that no common type holds.
pub(crate) fn kind(tables: &[Arc<Table>], name: &str) -> Result<Option<Kind>, QueryError> {
    let mut common: Option<Kind> = None;
    for found in tables.iter().filter_map(|table| find(table, name)) {
        let here = Kind::of(found);
        common = Some(match (common, here) {
            (None, here) => here,
            (Some(before), here) if before == here => here,
            (Some(Kind::Long | Kind::Double), Kind::Long | Kind::Double) => Kind::Double,
            (Some(Kind::Keyword | Kind::Text), Kind::Keyword | Kind::Text) => Kind::Text,
            _ => {
                return Err(QueryError::Invalid(format!(
                    "field `{name}` has different types in the tables of this question; \
                     ask one table at a time"
                )));
            }
        });
    }
    Ok(common)
}

/// The kind of a field that has to have a column to be grouped, sorted or measured by.
///
/// # Errors
/// If it is a text, with the name of the companion.
pub(crate) fn column_kind(tables: &[Arc<Table>], name: &str) -> Result<Option<Kind>, QueryError> {
    match kind(tables, name)? {
        Some(Kind::Text) => Err(QueryError::Invalid(format!(
            "field `{name}` is a text: it is searched by words, not grouped, sorted or measured; \
             use `{name}{COMPANION}` or map it as a keyword"
        ))),
        Some(Kind::Sealed) => Err(QueryError::NotPermitted {
            field: name.to_owned(),
            why: "is special: its values are only counted, with count or exists",
        }),
        other => Ok(other),
    }
}

/// The kind of a field that has to hold numbers.
///
/// # Errors
/// If it holds anything else.
pub(crate) fn number_kind(tables: &[Arc<Table>], name: &str) -> Result<Option<Kind>, QueryError> {
    match column_kind(tables, name)? {
        Some(kind) if !kind.is_number() => Err(QueryError::Invalid(format!(
            "field `{name}` holds strings, and this needs numbers"
        ))),
        other => Ok(other),
    }
}

/// The error for a name that no table has.
pub(crate) fn unknown(tables: &[Arc<Table>], name: &str) -> QueryError {
    let fields = tables.iter().flat_map(|table| table.schema.fields());
    let names: Vec<&str> =
        fields.filter(|field| !field.withheld).map(|f| f.name.as_str()).collect();
    QueryError::UnknownField { name: name.to_owned(), hint: nearest(name, names.into_iter()) }
}
