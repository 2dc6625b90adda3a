//! Which fields a name means, over all tables of a question.

use super::{EsError, json};
use model::{Class, Field, FieldType, StoredType, Table, TableId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The ending of a text field's exact companion.
const COMPANION: &str = ".keyword";

/// The tables of a question, and which of their fields may be looked at.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) tables: &'a [Arc<Table>],
    pub(super) may_read: &'a dyn Fn(TableId, &Field) -> bool,
}

/// How the values of a field are compared and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Keyword,
    Ip,
    Text,
    Long,
    Double,
    Bool,
    Date,
    /// Sealed value by value: nothing but its presence can be asked for.
    Sealed,
}

impl Kind {
    fn of(field: &Field) -> Kind {
        match (field.stored(), field.ty) {
            (StoredType::Sealed, _) => Kind::Sealed,
            (StoredType::Text, _) => Kind::Text,
            (StoredType::Keyword, FieldType::Ip) => Kind::Ip,
            (StoredType::Keyword, _) => Kind::Keyword,
            (StoredType::Long, FieldType::Date) => Kind::Date,
            (StoredType::Long, _) => Kind::Long,
            (StoredType::Double, _) => Kind::Double,
            (StoredType::Bool, _) => Kind::Bool,
        }
    }

    /// What holds values of both kinds, if anything does.
    fn with(self, other: Kind) -> Option<Kind> {
        match (self, other) {
            (same, again) if same == again => Some(same),
            (Kind::Keyword, Kind::Ip) | (Kind::Ip, Kind::Keyword) => Some(Kind::Keyword),
            (Kind::Long, Kind::Double) | (Kind::Double, Kind::Long) => Some(Kind::Double),
            (Kind::Sealed, known) | (known, Kind::Sealed) => Some(known),
            _ => None,
        }
    }

    /// Elasticsearch's word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Keyword => "keyword",
            Kind::Ip => "ip",
            Kind::Text => "text",
            Kind::Long => "long",
            Kind::Double => "double",
            Kind::Bool => "boolean",
            Kind::Date => "date",
            Kind::Sealed => "sealed",
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Kind::Long | Kind::Double | Kind::Bool | Kind::Date)
    }
}

/// A name that at least one table knows.
#[derive(Clone, Debug)]
pub(super) struct Found<'a> {
    /// As it was asked for.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The fields behind it, one for each table that has it.
    pub(super) fields: Vec<(&'a Table, &'a Field)>,
}

impl Found<'_> {
    /// Whether some table keeps pseudonyms or tags in the place of the values.
    pub(super) fn is_pseudonymised(&self) -> bool {
        self.fields.iter().any(|(_, field)| pseudonymised(field))
    }

    /// The name of the first table that has the field.
    pub(super) fn table(&self) -> &str {
        self.fields.first().map_or("", |(table, _)| table.name.as_str())
    }
}

/// Whether a field keeps pseudonyms or tags in the place of its values.
pub(super) fn pseudonymised(field: &Field) -> bool {
    matches!(field.class, Some(Class::Personal | Class::Secret))
}

/// The field behind a name: itself, or the text field whose exact companion it names.
fn find<'a>(table: &'a Table, name: &str) -> Option<(&'a Field, bool)> {
    if let Some((_, field)) = table.schema.find(name) {
        return Some((field, false));
    }
    let (_, field) = table.schema.find(name.strip_suffix(COMPANION)?)?;
    (field.ty == FieldType::Text && field.keyword_up_to.is_some()).then_some((field, true))
}

impl<'a> Fields<'a> {
    /// What `name` means; `None` if no table has it.
    pub(super) fn resolve(&self, name: &str) -> Result<Option<Found<'a>>, EsError> {
        let mut found: Option<Found<'a>> = None;
        for table in self.tables {
            let Some((field, companion)) = find(table, name) else { continue };
            let kind = match Kind::of(field) {
                Kind::Text if companion => Kind::Keyword,
                kind => kind,
            };
            match &mut found {
                None => {
                    let fields = vec![(&**table, field)];
                    found = Some(Found { name: name.to_owned(), kind, fields });
                }
                Some(found) => {
                    found.kind = found.kind.with(kind).ok_or_else(|| {
                        EsError::illegal(format!(
                            "field [{name}] is a [{}] in [{}] and a [{}] in [{}]; ask for them one \
                             at a time",
                            found.kind.as_str(),
                            found.table(),
                            kind.as_str(),
                            table.name
                        ))
                    })?;
                    found.fields.push((table, field));
                }
            }
        }
        Ok(found)
    }

    /// The names that match a pattern and may be looked at, in order, each once.
    pub(super) fn expand(&self, pattern: &str) -> Vec<String> {
        let mut names = BTreeSet::new();
        for table in self.tables {
            for field in table.schema.fields() {
                if !(self.may_read)(table.id, field) {
                    continue;
                }
                let name = field.name.as_str();
                if json::matches(pattern, name) {
                    names.insert(name.to_owned());
                } else if pattern.ends_with(COMPANION) && field.keyword_up_to.is_some() {
                    let companion = format!("{name}{COMPANION}");
                    if json::matches(pattern, &companion) {
                        names.insert(companion);
                    }
                }
            }
        }
        names.into_iter().collect()
    }

    /// The fields below an object, such as `user.name` below `user`.
    pub(super) fn below(&self, object: &str) -> Vec<String> {
        let inside =
            |name: &str| name.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'));
        let mut names: BTreeSet<String> = BTreeSet::new();
        for table in self.tables {
            let fields = table.schema.fields().iter();
            names.extend(
                fields
                    .filter(|field| inside(field.name.as_str()))
                    .filter(|field| (self.may_read)(table.id, field))
                    .map(|field| field.name.as_str().to_owned()),
            );
        }
        names.into_iter().collect()
    }
}

/// The fields of `tables` that `name` stands for: itself, or the text field behind a companion.
pub(super) fn behind(tables: &[Arc<Table>], name: &str) -> Vec<(TableId, String)> {
    tables
        .iter()
        .filter_map(|table| {
            find(table, name).map(|(field, _)| (table.id, field.name.as_str().to_owned()))
        })
        .collect()
}
