//! One field of a mapping.

use super::{add_field, is_empty, is_true, mapper_error, read_dynamic};
use crate::EngineError;
use crate::document::{DEPTH_MAX, METADATA_FIELDS};
use model::{Field, FieldName, FieldType};
use serde_json::{Map, Value};

/// Elasticsearch's types and what we keep them as.
const TYPES: [(&str, FieldType); 20] = [
    ("keyword", FieldType::Keyword),
    ("wildcard", FieldType::Keyword),
    ("version", FieldType::Keyword),
    ("text", FieldType::Text),
    ("match_only_text", FieldType::Text),
    ("long", FieldType::Long),
    ("integer", FieldType::Long),
    ("short", FieldType::Long),
    ("byte", FieldType::Long),
    ("unsigned_long", FieldType::Long),
    ("double", FieldType::Double),
    ("float", FieldType::Double),
    ("half_float", FieldType::Double),
    ("scaled_float", FieldType::Double),
    ("boolean", FieldType::Boolean),
    ("date", FieldType::Date),
    ("date_nanos", FieldType::Date),
    ("ip", FieldType::Ip),
    ("geo_point", FieldType::GeoPoint),
    ("object", FieldType::Keyword), // Never a field itself; here for the list in the error.
];

/// Date formats that the reader of documents understands, each on its own.
const DATE_FORMATS: [&str; 22] = [
    "strict_date_optional_time",
    "date_optional_time",
    "strict_date_optional_time_nanos",
    "iso8601",
    "epoch_millis",
    "strict_date",
    "date",
    "strict_date_time",
    "date_time",
    "strict_date_time_no_millis",
    "date_time_no_millis",
    "strict_date_hour_minute_second",
    "date_hour_minute_second",
    "strict_date_hour_minute_second_millis",
    "strict_year_month",
    "strict_year_month_day",
    "yyyy-MM-dd",
    "yyyy-MM",
    "yyyy-MM-dd HH:mm:ss",
    "yyyy-MM-dd HH:mm:ss.SSS",
    "yyyy-MM-dd'T'HH:mm:ss",
    "yyyy-MM-dd'T'HH:mm:ssZ",
];

/// Parameters that change nothing here: everything has columns, an index where it pays, and is
/// in `_source`.
const HARMLESS: [&str; 19] = [
    "doc_values",
    "index",
    "store",
    "norms",
    "meta",
    "index_options",
    "term_vector",
    "position_increment_gap",
    "fielddata",
    "eager_global_ordinals",
    "index_phrases",
    "index_prefixes",
    "split_queries_on_whitespace",
    "locale",
    "scaling_factor",
    "time_series_dimension",
    "time_series_metric",
    "ignore_z_value",
    "print_format",
];

/// Reads the object behind `properties`.
pub(super) fn read_properties(
    properties: &Value,
    above: &str,
    fields: &mut Vec<Field>,
) -> Result<(), EngineError> {
    let Some(properties) = properties.as_object() else {
        return Err(mapper_error("Expected map for property [properties]"));
    };
    for (key, definition) in properties {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let name = FieldName::parse(&path)
            .map_err(|error| mapper_error(&format!("field [{}]: {error}", path.escape_debug())))?;
        if METADATA_FIELDS.contains(&path.as_str()) {
            let reason = format!("field [{path}] is a metadata field and cannot be mapped");
            return Err(mapper_error(&reason));
        }
        if path.split('.').count() > DEPTH_MAX {
            let reason = format!("Limit of mapping depth [{DEPTH_MAX}] has been exceeded");
            return Err(super::illegal(&reason));
        }
        let Some(definition) = definition.as_object() else {
            let reason = format!("Expected map for property [fields] on field [{path}]");
            return Err(mapper_error(&reason));
        };
        match definition.get("type").map(|ty| (ty, ty.as_str())) {
            None => read_object(&path, definition, fields)?,
            Some((_, Some("object"))) => read_object(&path, definition, fields)?,
            Some((_, Some(es_type))) => add_field(fields, read_field(name, es_type, definition)?)?,
            Some((_, None)) => {
                return Err(mapper_error(&format!("[type] of field [{path}] must be a text")));
            }
        }
    }
    Ok(())
}

fn read_object(
    path: &str,
    definition: &Map<String, Value>,
    fields: &mut Vec<Field>,
) -> Result<(), EngineError> {
    for (key, value) in definition {
        match key.as_str() {
            "type" => {}
            "properties" => read_properties(value, path, fields)?,
            "enabled" | "subobjects" if is_true(value) => {}
            "dynamic" if read_dynamic(value)? => {}
            "dynamic" => {
                let reason = format!("[dynamic] is set for the whole mapping, not for [{path}]");
                return Err(mapper_error(&reason));
            }
            key => return Err(unknown_parameter(key, path, "object")),
        }
    }
    if !definition.contains_key("properties") && !definition.contains_key("type") {
        return Err(mapper_error(&format!("No type specified for field [{path}]")));
    }
    Ok(())
}

fn read_field(
    name: FieldName,
    es_type: &str,
    definition: &Map<String, Value>,
) -> Result<Field, EngineError> {
    let Some((_, ty)) = TYPES.iter().find(|(known, _)| *known == es_type) else {
        let known: Vec<&str> = TYPES.iter().map(|(known, _)| *known).collect();
        return Err(mapper_error(&format!(
            "No handler for type [{es_type}] declared on field [{name}]; supported are [{}]",
            known.join(", ")
        )));
    };
    let mut field = Field::new(name, *ty, es_type);
    for (key, value) in definition {
        let path = field.name.as_str();
        match key.as_str() {
            "type" => {}
            "fields" => field.keyword_up_to = read_multi_fields(&field, value)?,
            "format" if *ty == FieldType::Date => check_format(path, value)?,
            "ignore_above" if *ty == FieldType::Keyword && value.is_u64() => {}
            "analyzer" | "search_analyzer" | "search_quote_analyzer"
                if *ty == FieldType::Text && value == "standard" => {}
            "analyzer" | "search_analyzer" | "search_quote_analyzer" if *ty == FieldType::Text => {
                return Err(mapper_error(&format!(
                    "analyzer {value} has not been configured in mappings for [{path}]; there is \
                     only [standard]"
                )));
            }
            "similarity" if value == "BM25" => {}
            "coerce" if is_true(value) => {}
            "ignore_malformed" if !is_true(value) => {}
            "copy_to" if is_empty(value) => {}
            "null_value" if value.is_null() => {}
            key if HARMLESS.contains(&key) => {}
            key => return Err(unknown_parameter(key, path, es_type)),
        }
    }
    Ok(field)
}

/// The one multi-field there is: `keyword` of type `keyword` beside a text.
fn read_multi_fields(field: &Field, value: &Value) -> Result<Option<u32>, EngineError> {
    if is_empty(value) {
        return Ok(None);
    }
    let refused = || {
        mapper_error(&format!(
            "field [{}]: the only multi-field is [keyword] of type [keyword] beside a [text]",
            field.name
        ))
    };
    let multi = value.as_object().ok_or_else(refused)?;
    let keyword = multi.get("keyword").and_then(Value::as_object).ok_or_else(refused)?;
    let is_keyword = keyword.get("type").is_some_and(|ty| ty == "keyword");
    if multi.len() > 1 || !is_keyword || field.ty != FieldType::Text {
        return Err(refused());
    }
    let mut up_to = i32::MAX as u32;
    for (key, value) in keyword {
        match key.as_str() {
            "type" => {}
            "ignore_above" => {
                let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
                up_to = number.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| {
                    mapper_error(&format!(
                        "[ignore_above] of field [{}.keyword] must be a positive number",
                        field.name
                    ))
                })?;
            }
            key if HARMLESS.contains(&key) => {}
            key => {
                return Err(unknown_parameter(key, &format!("{}.keyword", field.name), "keyword"));
            }
        }
    }
    Ok(Some(up_to))
}

fn check_format(path: &str, value: &Value) -> Result<(), EngineError> {
    let format = value.as_str().unwrap_or_default();
    for part in format.split("||") {
        if !DATE_FORMATS.contains(&part) {
            return Err(mapper_error(&format!(
                "field [{path}]: date format [{part}] is not supported; use \
                 [strict_date_optional_time||epoch_millis]"
            )));
        }
    }
    Ok(())
}

fn unknown_parameter(key: &str, path: &str, es_type: &str) -> EngineError {
    mapper_error(&format!(
        "unknown or unsupported parameter [{key}] on mapper [{path}] of type [{es_type}]"
    ))
}
