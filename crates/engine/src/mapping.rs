//! `mappings` and `settings` of a table: read as Elasticsearch writes them, and written back.
//!
//! What Elasticsearch knows and we cannot keep is refused by name, never dropped in silence;
//! what changes nothing here (`doc_values`, `norms`, `number_of_shards`, …) is accepted.

mod field;
mod render;
mod settings;

#[cfg(test)]
mod tests;

pub use render::{render_index, render_mapping, render_settings};

use crate::EngineError;
use crate::document::{FIELDS_MAX, is_below};
use field::read_properties;
use model::{Field, FieldName, FieldType, Table, TableKind};
use serde_json::{Map, Value};
use settings::TableSettings;

/// What `PUT /{index}` asks for.
#[derive(Debug)]
pub(crate) struct TableSpec {
    pub(crate) settings: TableSettings,
    pub(crate) dynamic: bool,
    pub(crate) fields: Vec<Field>,
}

/// What a mapping says.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    /// `None`: not said.
    pub(crate) dynamic: Option<bool>,
    pub(crate) fields: Vec<Field>,
}

impl TableSpec {
    /// What a table is if nobody said anything, with `@timestamp` as its time if `has_timestamp`.
    pub(crate) fn for_first_write(has_timestamp: bool) -> TableSpec {
        let mut spec =
            TableSpec { settings: TableSettings::default(), dynamic: true, fields: Vec::new() };
        if has_timestamp {
            spec.fields.push(Field::new(timestamp(), FieldType::Date, "date"));
            spec.settings.time_field = Some(timestamp().as_str().to_owned());
        }
        spec
    }

    /// Reads the body of `PUT /{index}`; `null` counts as empty.
    pub(crate) fn parse(body: &Value) -> Result<TableSpec, EngineError> {
        let nothing = Map::new();
        let body = match body {
            Value::Null => &nothing,
            Value::Object(body) => body,
            _ => return Err(parse_error("the body of a create index request must be an object")),
        };
        let mut mapping = Mapping::default();
        let mut settings = TableSettings::default();
        for (key, value) in body {
            match key.as_str() {
                "mappings" => mapping = Mapping::parse(value)?,
                "settings" => settings = TableSettings::parse(value)?,
                "aliases" if is_empty(value) => {}
                "aliases" => {
                    return Err(illegal(
                        "leave [aliases] out here and send them to [POST /_aliases]",
                    ));
                }
                key => return Err(parse_error(&format!("unknown key [{key}] for create index"))),
            }
        }
        let mut spec = TableSpec {
            settings,
            dynamic: mapping.dynamic.unwrap_or(true),
            fields: mapping.fields,
        };
        spec.settle_time()?;
        Ok(spec)
    }

    /// Decides on the time field and checks what stands on it.
    fn settle_time(&mut self) -> Result<(), EngineError> {
        let type_of = |fields: &[Field], name: &str| {
            fields.iter().find(|field| field.name.as_str() == name).map(|field| field.ty)
        };
        match self.settings.time_field.clone() {
            None => {
                let timestamp = timestamp();
                let is_date = type_of(&self.fields, timestamp.as_str()) == Some(FieldType::Date);
                if is_date && self.settings.kind == TableKind::Events {
                    self.settings.time_field = Some(timestamp.as_str().to_owned());
                }
            }
            Some(name) => match type_of(&self.fields, &name) {
                Some(FieldType::Date) => {}
                Some(_) => {
                    return Err(illegal(&format!("time_field [{name}] must be of type [date]")));
                }
                None => {
                    let path = FieldName::parse(&name)
                        .map_err(|error| illegal(&format!("time_field: {error}")))?;
                    add_field(&mut self.fields, Field::new(path, FieldType::Date, "date"))?;
                }
            },
        }
        if let Some(sort) = &self.settings.sort {
            let name = &sort.field;
            match type_of(&self.fields, name.as_str()) {
                Some(FieldType::Date | FieldType::Long | FieldType::Double) => {}
                Some(_) => {
                    let reason =
                        format!("invalid index sort field:[{name}]: only numbers and dates");
                    return Err(illegal(&reason));
                }
                None => return Err(illegal(&format!("unknown index sort field:[{name}]"))),
            }
        }
        if self.settings.retention_ms.is_some() && self.settings.time_field.is_none() {
            return Err(illegal("retention needs a time_field"));
        }
        Ok(())
    }
}

impl Mapping {
    /// Reads `{"properties": …}`; `null` counts as empty.
    pub(crate) fn parse(body: &Value) -> Result<Mapping, EngineError> {
        let mut mapping = Mapping::default();
        let body = match body {
            Value::Null => return Ok(mapping),
            Value::Object(body) => body,
            _ => return Err(mapper_error("a mapping must be an object")),
        };
        for (key, value) in body {
            match key.as_str() {
                "properties" => read_properties(value, "", &mut mapping.fields)?,
                "dynamic" => mapping.dynamic = Some(read_dynamic(value)?),
                "_meta" => {}
                "date_detection" if is_true(value) => {}
                "numeric_detection" if !is_true(value) => {}
                "_source" if value.get("enabled").is_none_or(is_true) => {}
                "_routing" if !value.get("required").is_some_and(is_true) => {}
                "dynamic_templates" | "runtime" if is_empty(value) => {}
                key => {
                    return Err(mapper_error(&format!(
                        "Root mapping definition has unsupported parameters: [{key}]; supported are \
                         [properties] and [dynamic]"
                    )));
                }
            }
        }
        Ok(mapping)
    }

    /// Adds what this mapping says to a table. Types never change.
    pub(crate) fn add_to(self, table: &mut Table) -> Result<(), EngineError> {
        for field in self.fields {
            let name = field.name.as_str();
            let Some((id, known)) = table.schema.find(name) else {
                check_new(table.schema.fields(), &field)?;
                table.schema.push(field);
                continue;
            };
            if known.es_type != field.es_type {
                return Err(illegal(&format!(
                    "mapper [{name}] cannot be changed from type [{}] to [{}]",
                    known.es_type, field.es_type
                )));
            }
            if field.keyword_up_to.is_some() {
                table.schema.field_mut(id).keyword_up_to = field.keyword_up_to;
            }
        }
        if let Some(dynamic) = self.dynamic {
            table.dynamic = dynamic;
        }
        Ok(())
    }
}

/// Adds a field to those of a mapping.
fn add_field(fields: &mut Vec<Field>, field: Field) -> Result<(), EngineError> {
    if fields.iter().any(|known| known.name == field.name) {
        return Err(mapper_error(&format!("field [{}] is mapped twice", field.name)));
    }
    check_new(fields, &field)?;
    fields.push(field);
    Ok(())
}

/// Checks a field that is not among `fields` yet against them.
fn check_new(fields: &[Field], field: &Field) -> Result<(), EngineError> {
    if fields.len() >= FIELDS_MAX {
        return Err(illegal(&format!("Limit of total fields [{FIELDS_MAX}] has been exceeded")));
    }
    let name = field.name.as_str();
    for known in fields.iter().map(|known| known.name.as_str()) {
        let (above, below) = if is_below(name, known) {
            (known, name)
        } else if is_below(known, name) {
            (name, known)
        } else {
            continue;
        };
        return Err(illegal(&format!(
            "can't merge a non object mapping [{above}] with an object mapping [{below}]"
        )));
    }
    Ok(())
}

fn read_dynamic(value: &Value) -> Result<bool, EngineError> {
    match value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str() {
        "true" => Ok(true),
        "strict" => Ok(false),
        // Elasticsearch would keep such values unindexed in `_source`; here every stored value
        // belongs to a field, because a field is what is classified.
        "false" | "runtime" => Err(mapper_error(
            "[dynamic] must be [true] or [strict]: a value without a field cannot be classified \
             and so is not kept",
        )),
        other => Err(mapper_error(&format!("Could not parse [dynamic]: [{other}]"))),
    }
}

fn timestamp() -> FieldName {
    FieldName::parse("@timestamp").expect("a good name")
}

fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value.as_str() == Some("true")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.is_empty(),
        Value::Array(array) => array.is_empty(),
        _ => false,
    }
}

fn illegal(reason: &str) -> EngineError {
    error("illegal_argument_exception", reason)
}

fn mapper_error(reason: &str) -> EngineError {
    error("mapper_parsing_exception", reason)
}

fn parse_error(reason: &str) -> EngineError {
    error("parse_exception", reason)
}

fn error(kind: &str, reason: &str) -> EngineError {
    EngineError::new(400, kind, reason)
}
