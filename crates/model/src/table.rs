use crate::{Field, FieldId, Ruling, TableId};
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
    rules: u32,
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

    /// The same fields with the number that [`Schema::rules`] had when they were written down.
    pub fn with_rules(mut self, rules: u32) -> Schema {
        self.rules = rules;
        self
    }

    /// How often a ruling changed how the values of a field are stored. Rows are sealed under the
    /// number of their day, and rows of an older one are written again.
    pub fn rules(&self) -> u32 {
        self.rules
    }

    /// Gives a field its class, or withholds it ([`Ruling::class`] `None`), and keeps what was.
    ///
    /// The number in `ruling` is set here: a field that has values, and will keep them in another
    /// form, gets the next one. The first ruling of a field does not: no row holds a value of it.
    ///
    /// # Panics
    /// If the id belongs to another schema.
    pub fn rule(&mut self, id: FieldId, mut ruling: Ruling) {
        let field = &mut self.fields[id.0 as usize];
        let may_have_values = field.class.is_some() || field.withheld;
        if may_have_values && field.rulings.is_empty() {
            field.rulings.push(Ruling {
                by: Ruling::CLASSIFIER.to_owned(),
                at: ruling.at,
                reason: "as it was before rulings were kept".to_owned(),
                class: field.class.filter(|_| !field.withheld),
                kind: field.kind.clone(),
                rules: 0,
            });
        }
        let is_same = field
            .ruling()
            .is_some_and(|last| last.class == ruling.class && last.kind == ruling.kind);
        if may_have_values && !is_same {
            self.rules += 1;
        }
        ruling.rules = self.rules;
        field.rulings.push(ruling);
        field.take_from_ruling();
    }

    /// The schema as it was under earlier rules, with the fields of today: how to read rows of
    /// that time.
    pub fn as_of(&self, rules: u32) -> Schema {
        Schema {
            fields: self.fields.iter().map(|field| field.as_of(rules)).collect(),
            by_name: self.by_name.clone(),
            rules,
        }
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

    /// The field with this id, to change what its mapping says; rulings go by [`Schema::rule`].
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, FieldName, FieldType, Timestamp};

    fn ruling(by: &str, at: i64, class: Option<Class>, kind: &str) -> Ruling {
        let (by, reason, kind) = (by.to_owned(), "because".to_owned(), kind.to_owned());
        Ruling { by, at: Timestamp(at), reason, class, kind, rules: 99 }
    }

    fn one_field() -> (Schema, FieldId) {
        let mut schema = Schema::default();
        let name = FieldName::parse("contact").unwrap();
        let id = schema.push(Field::new(name, FieldType::Keyword, "keyword"));
        (schema, id)
    }

    #[test]
    fn rulings_that_change_how_values_are_stored_are_numbered() {
        let (mut schema, id) = one_field();
        let by = Ruling::CLASSIFIER;
        schema.rule(id, ruling(by, 1, None, ""));
        assert_eq!((schema.rules(), schema.field(id).withheld), (0, true), "no value yet");
        schema.rule(id, ruling("grace", 2, Some(Class::Open), ""));
        schema.rule(id, ruling("grace", 3, Some(Class::Open), ""));
        assert_eq!(
            (schema.rules(), schema.field(id).stored_since()),
            (1, 1),
            "agreed, not changed"
        );
        schema.rule(id, ruling("grace", 4, Some(Class::Personal), "email"));
        assert_eq!((schema.rules(), schema.field(id).stored_since()), (2, 2));
        assert_eq!(schema.field(id).rulings.len(), 4);

        let states: Vec<_> = (0..3)
            .map(|rules| {
                let field = schema.as_of(rules).field(id).clone();
                (field.class, field.withheld, field.kind)
            })
            .collect();
        let expected = [
            (None, true, String::new()),
            (Some(Class::Open), false, String::new()),
            (Some(Class::Personal), false, "email".to_owned()),
        ];
        assert_eq!(states, expected);
        let classes = [0, 1, 2, 3, 4, 9].map(|at| schema.field(id).class_at(Timestamp(at)));
        let open = Some(Class::Open);
        let personal = Some(Class::Personal);
        assert_eq!(classes, [None, None, open, open, personal, personal]);
    }

    #[test]
    fn agreeing_with_the_classifier_opens_nothing() {
        let (mut schema, id) = one_field();
        schema.rule(id, ruling(Ruling::CLASSIFIER, 1, Some(Class::Open), ""));
        assert!(schema.field(id).awaits_review());
        schema.rule(id, ruling("grace", 2, Some(Class::Open), ""));
        let field = schema.field(id);
        assert!(!field.awaits_review() && !field.is_opened_by_person() && schema.rules() == 0);
        schema.rule(id, ruling("grace", 3, Some(Class::Special), ""));
        schema.rule(id, ruling("grace", 4, Some(Class::Open), ""));
        assert!(schema.field(id).is_opened_by_person());
    }

    #[test]
    fn a_class_without_history_is_kept_as_its_beginning() {
        let (mut schema, id) = one_field();
        schema.field_mut(id).class = Some(Class::Open);
        schema.rule(id, ruling("grace", 7, Some(Class::Personal), "user"));
        assert_eq!(schema.as_of(0).field(id).class, Some(Class::Open));
        assert_eq!((schema.rules(), schema.field(id).rulings.len()), (1, 2));
    }
}
