use crate::{Field, FieldId, TableId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The name of a table (Elasticsearch: index).
///
/// Invariant: Elasticsearch's rules: 1 to 255 bytes of lower case, no `\ / * ? " < > | , # :`
/// or blank, does not start with `-`, `_` or `+`, is not `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName(Arc<str>);

impl TableName {
    /// Checks `name` once.
    pub fn parse(name: &str) -> Result<TableName, TableNameError> {
        if name.is_empty() || name.len() > 255 {
            return Err(TableNameError::Length);
        }
        if name.starts_with(['-', '_', '+']) || name == "." || name == ".." {
            return Err(TableNameError::Start);
        }
        if name.chars().any(char::is_uppercase) {
            return Err(TableNameError::Uppercase);
        }
        let forbidden =
            |c: char| c.is_whitespace() || c.is_control() || "\\/*?\"<>|,#:".contains(c);
        if name.chars().any(forbidden) {
            return Err(TableNameError::Character);
        }
        Ok(TableName(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no table name; the words are Elasticsearch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableNameError {
    /// Empty, or more than 255 bytes.
    #[error("must be 1 to 255 bytes long")]
    Length,
    /// Starts with `_`, `-` or `+`, or is `.` or `..`.
    #[error("must not start with '_', '-', or '+', and must not be '.' or '..'")]
    Start,
    /// Not lower case.
    #[error("must be lowercase")]
    Uppercase,
    /// A character that Elasticsearch forbids.
    #[error(
        "must not contain the following characters ['\\\\','/','*','?','\"','<','>','|',' ',',','#',':']"
    )]
    Character,
}

/// What kind of rows a table keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// Only grows and is cut by time.
    Events,
    /// Things with an `_id` that are updated: users, devices.
    Entities,
}

/// Who rules on new fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intake {
    /// A guardian: a new field is withheld (sealed, unread) until ruled on.
    Closed,
    /// The classifier, at once; a guardian reviews.
    Classified,
}

/// The order of rows inside a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortOrder {
    /// The field; numbers and dates only.
    pub field: String,
    /// Largest first.
    pub descending: bool,
}

/// A table and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Never used twice.
    pub id: TableId,
    /// What people call it.
    pub name: TableName,
    /// Events or entities.
    pub kind: TableKind,
    /// Who rules on new fields.
    pub intake: Intake,
    /// The field that says when, a [`FieldType::Date`](crate::FieldType::Date).
    pub time_field: Option<String>,
    /// The order of rows inside a segment. Default: the time field, oldest first.
    pub sort: Option<SortOrder>,
    /// Rows older than this many milliseconds (by the time field) are dropped.
    pub retention_ms: Option<i64>,
    /// False: a field that is not in the mapping is refused (`"dynamic": "strict"`).
    pub dynamic: bool,
    /// Its fields.
    pub schema: Schema,
}

/// The fields of a table. Append-only: a [`FieldId`] means the same field for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    fields: Vec<Field>,
    by_name: HashMap<String, FieldId>,
}

impl Schema {
    /// A schema with these fields, numbered in order. A name that comes twice keeps its first.
    pub fn from_fields(fields: Vec<Field>) -> Schema {
        let mut schema = Schema::default();
        for field in fields {
            schema.push(field);
        }
        schema
    }

    /// Adds a field and returns its id; the id of the field that is there if the name is known.
    pub fn push(&mut self, field: Field) -> FieldId {
        if let Some(&id) = self.by_name.get(field.name.as_str()) {
            return id;
        }
        let id = FieldId(self.fields.len() as u32);
        self.by_name.insert(field.name.as_str().to_owned(), id);
        self.fields.push(field);
        id
    }

    /// All fields; the place of each is its [`FieldId`].
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field with this id.
    ///
    /// # Panics
    /// If the id belongs to another schema.
    pub fn field(&self, id: FieldId) -> &Field {
        &self.fields[id.0 as usize]
    }

    /// The field with this id, to change its class, ruling or withholding.
    ///
    /// # Panics
    /// If the id belongs to another schema.
    pub fn field_mut(&mut self, id: FieldId) -> &mut Field {
        &mut self.fields[id.0 as usize]
    }

    /// The field called `name`.
    pub fn find(&self, name: &str) -> Option<(FieldId, &Field)> {
        let id = *self.by_name.get(name)?;
        Some((id, self.field(id)))
    }
}
