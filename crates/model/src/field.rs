use crate::{Class, FieldId, Timestamp};
use std::fmt;
use std::sync::Arc;

/// The full path of a field inside a document, such as `user.email`.
///
/// Invariant: 1 to 512 bytes, no leading, trailing or doubled dot, no control character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldName(Arc<str>);

impl FieldName {
    /// The longest path that is taken, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Checks `path` once, so that no later code has to.
    pub fn parse(path: &str) -> Result<FieldName, FieldNameError> {
        if path.len() > Self::BYTES_MAX {
            return Err(FieldNameError::TooLong);
        }
        if path.split('.').any(|part| part.trim().is_empty()) {
            return Err(FieldNameError::EmptyPart);
        }
        if path.chars().any(char::is_control) {
            return Err(FieldNameError::ControlCharacter);
        }
        Ok(FieldName(path.into()))
    }

    /// The path with its dots.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the last dot.
    pub fn leaf(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or(&self.0)
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no field name. Carries no text: an unknown key counts as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldNameError {
    /// A part between two dots is empty or blank.
    #[error("field name has an empty part; use names such as `user.email`")]
    EmptyPart,
    /// Longer than [`FieldName::BYTES_MAX`].
    #[error("field name is longer than 512 bytes")]
    TooLong,
    /// NUL, line feed and their like.
    #[error("field name contains a control character")]
    ControlCharacter,
}

/// What a field holds. Elasticsearch's narrower numbers are kept as the widest of their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// One exact string: filtered, sorted, grouped.
    Keyword,
    /// Words: searched with `match`; not sorted or grouped (its `.keyword` companion is).
    Text,
    /// 64-bit integer (`long`, `integer`, `short`, `byte`).
    Long,
    /// 64-bit float (`double`, `float`, `half_float`, `scaled_float`).
    Double,
    /// True or false.
    Boolean,
    /// A moment, in milliseconds since 1970 in UTC.
    Date,
    /// An IP address, kept as text.
    Ip,
    /// A position, kept as the text `lat,lon`.
    GeoPoint,
}

/// One entry in the history of a field: from when on it has which class, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Who ruled: [`Ruling::CLASSIFIER`] or a person's name.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why: the rule of the classifier that matched, or the person's words. Never a value.
    pub reason: String,
    /// The class from then on; `None`: withheld until a person rules.
    pub class: Option<Class>,
    /// The kind of value from then on; empty where there is none.
    pub kind: String,
    /// The [`Schema::rules`](crate::Schema::rules) with which it took effect.
    pub rules: u32,
}

impl Ruling {
    /// Who ruled where no person did.
    pub const CLASSIFIER: &'static str = "classifier";

    /// Whether no person has looked at it.
    pub fn is_by_classifier(&self) -> bool {
        self.by == Ruling::CLASSIFIER
    }

    /// Whether values are stored the same way under both.
    fn stores_as(&self, other: &Ruling) -> bool {
        self.class == other.class && self.kind == other.kind
    }
}

/// One field of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path.
    pub name: FieldName,
    /// What it holds.
    pub ty: FieldType,
    /// Elasticsearch's own word for the type, as the mapping said it (`integer`, `float`, …).
    pub es_type: String,
    /// For [`FieldType::Text`]: values up to this many characters are also kept as the exact
    /// string `NAME.keyword` (Elasticsearch's multi-field with `ignore_above`).
    pub keyword_up_to: Option<u32>,
    /// The field of whose values this one tells the part that many share (`email.domain` of
    /// `email`). No writer can write it, and it is no part of a document.
    pub companion_of: Option<FieldId>,
    /// Its class; `None` until the first value was seen and the classifier ruled.
    pub class: Option<Class>,
    /// The kind of personal or secret value, such as `email` or `ip`: the prefix of its
    /// pseudonyms. Fields with the same kind can be joined. Empty for open fields.
    pub kind: String,
    /// Held back (sealed, unread) until a guardian rules: a new field of a closed table.
    pub withheld: bool,
    /// Who gave which class, when and why, oldest first; the last one holds. Changed by
    /// [`Schema::rule`](crate::Schema::rule) alone.
    pub rulings: Vec<Ruling>,
}

impl Field {
    /// An unruled field.
    pub fn new(name: FieldName, ty: FieldType, es_type: &str) -> Field {
        Field {
            name,
            ty,
            es_type: es_type.to_owned(),
            keyword_up_to: None,
            companion_of: None,
            class: None,
            kind: String::new(),
            withheld: false,
            rulings: Vec::new(),
        }
    }

    /// The ruling that holds; `None` while nobody ruled.
    pub fn ruling(&self) -> Option<&Ruling> {
        self.rulings.last()
    }

    /// Whether a person has still to look at it: it is withheld, or only the classifier ruled.
    pub fn awaits_review(&self) -> bool {
        self.ruling().is_some_and(|ruling| ruling.class.is_none() || ruling.is_by_classifier())
    }

    /// Whether a person made it open, so that values that are personal as a whole stay. Agreeing
    /// with the classifier is not that: nothing is stored otherwise because of it.
    pub fn is_opened_by_person(&self) -> bool {
        let first = self.current_run().first();
        self.class == Some(Class::Open) && first.is_some_and(|ruling| !ruling.is_by_classifier())
    }

    /// The [`Schema::rules`](crate::Schema::rules) from which on its values are stored as they
    /// are now; rows of earlier rules hold them in another form.
    pub fn stored_since(&self) -> u32 {
        self.current_run().first().map_or(0, |ruling| ruling.rules)
    }

    /// The newest rulings that agree on how values are stored.
    fn current_run(&self) -> &[Ruling] {
        let Some(last) = self.rulings.last() else { return &[] };
        let others = self.rulings.iter().rposition(|ruling| !ruling.stores_as(last));
        &self.rulings[others.map_or(0, |place| place + 1)..]
    }

    /// The field as it was under earlier rules: how rows of that time hold it.
    pub fn as_of(&self, rules: u32) -> Field {
        let mut before = self.clone();
        if self.rulings.is_empty() {
            return before;
        }
        before.rulings.retain(|ruling| ruling.rules <= rules);
        before.take_from_ruling();
        before
    }

    /// The class that it had at a moment, the first ruling for all that was before; `None` while
    /// it was withheld or unruled.
    pub fn class_at(&self, at: Timestamp) -> Option<Class> {
        let then = self.rulings.iter().rfind(|ruling| ruling.at <= at);
        then.or(self.rulings.first()).map_or(self.class, |ruling| ruling.class)
    }

    /// Sets class, kind and withholding as the last ruling says.
    pub(crate) fn take_from_ruling(&mut self) {
        let last = self.rulings.last();
        self.class = last.and_then(|ruling| ruling.class);
        self.withheld = last.is_some_and(|ruling| ruling.class.is_none());
        self.kind = last.map_or_else(String::new, |ruling| ruling.kind.clone());
    }

    /// What the store keeps for this field.
    pub fn stored(&self) -> StoredType {
        match (self.class, self.ty) {
            _ if self.withheld => StoredType::Sealed,
            (Some(Class::Special), _) => StoredType::Sealed,
            (Some(Class::Personal | Class::Secret), FieldType::Text) => StoredType::Text,
            (Some(Class::Personal | Class::Secret), _) => StoredType::Keyword,
            (_, FieldType::Keyword | FieldType::Ip | FieldType::GeoPoint) => StoredType::Keyword,
            (_, FieldType::Text) => StoredType::Text,
            (_, FieldType::Long | FieldType::Date) => StoredType::Long,
            (_, FieldType::Double) => StoredType::Double,
            (_, FieldType::Boolean) => StoredType::Bool,
        }
    }
}

/// How the sealed values of a field lie in a batch and in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoredType {
    /// Dictionary column and look-up index: open keywords, pseudonyms, tags.
    Keyword,
    /// Words with positions, the text itself in the compressed store; companion keyword column
    /// if [`Field::keyword_up_to`] says so.
    Text,
    /// Column of 64-bit integers.
    Long,
    /// Column of 64-bit floats.
    Double,
    /// Column of booleans.
    Bool,
    /// Opaque sealed bytes in the compressed store.
    Sealed,
}
