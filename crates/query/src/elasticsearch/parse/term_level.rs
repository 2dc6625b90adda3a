//! `term`, `terms`, `range`, `exists`, `ids`, `prefix`, `wildcard`, `regexp`.

use super::super::date_format::DateFormat;
use super::super::zone::Zone;
use super::super::{EsError, json};
use super::{Node, Query, Range, literal, single_field, unknown_option};
use serde_json::Value;

/// The most values of one `terms` query.
const TERMS_MAX: usize = 65_536;

/// The longest regular expression, in characters.
const REGEX_CHARS_MAX: usize = 1_000;

pub(super) fn match_all(body: &Value, node: Node, name: &str) -> Result<Query, EsError> {
    let mut boost = 1.0;
    for (key, value) in json::object(body, name)? {
        match key.as_str() {
            "boost" => boost = json::boost(value)?,
            "_name" => {}
            other => return Err(EsError::parsing(format!("[{name}] unknown field [{other}]"))),
        }
    }
    Ok(Query { node, boost })
}

pub(super) fn term(body: &Value) -> Result<Query, EsError> {
    let (field, options) = single_field("term", body)?;
    let field = field.to_owned();
    let Value::Object(map) = options else {
        if options.is_array() {
            return Err(EsError::parsing("[term] query does not support array of values"));
        }
        let value = literal(options, "term")?;
        return Ok(Query { node: Node::Term { field, value, ignore_case: false }, boost: 1.0 });
    };
    let (mut value, mut boost, mut ignore_case) = (None, 1.0, false);
    for (key, option) in map {
        match key.as_str() {
            "value" | "term" => value = Some(literal(option, "term")?),
            "boost" => boost = json::boost(option)?,
            "case_insensitive" => ignore_case = json::boolean(option, key)?,
            "_name" => {}
            other => return Err(unknown_option("term", other)),
        }
    }
    let value = value.ok_or_else(|| EsError::illegal("value cannot be null"))?;
    Ok(Query { node: Node::Term { field, value, ignore_case }, boost })
}

pub(super) fn terms(body: &Value) -> Result<Query, EsError> {
    let mut boost = 1.0;
    let mut found = None;
    for (key, value) in json::object(body, "terms")? {
        match (key.as_str(), value) {
            ("_name", Value::String(_)) => {}
            ("boost", Value::Number(_)) => boost = json::boost(value)?,
            (field, Value::Array(list)) => {
                if let Some((other, _)) = found {
                    return Err(EsError::parsing(format!(
                        "[terms] query doesn't support multiple fields, found [{other}] and [{field}]"
                    )));
                }
                found = Some((field, list));
            }
            (_, Value::Object(_)) => {
                return Err(EsError::parsing(
                    "[terms] query does not support a lookup in another table",
                ));
            }
            (other, _) => return Err(unknown_option("terms", other)),
        }
    }
    let Some((field, list)) = found else {
        return Err(EsError::parsing(
            "[terms] query requires a field name, followed by array of terms",
        ));
    };
    if list.len() > TERMS_MAX {
        return Err(EsError::illegal(format!(
            "The number of terms [{}] used in the Terms Query request has exceeded the allowed \
             maximum of [{TERMS_MAX}]. This maximum can be set by changing the \
             [index.max_terms_count] index level setting.",
            list.len()
        )));
    }
    let values = list.iter().map(|value| literal(value, "terms")).collect::<Result<_, _>>()?;
    Ok(Query { node: Node::Terms { field: field.to_owned(), values }, boost })
}

pub(super) fn range(body: &Value) -> Result<Query, EsError> {
    let (field, options) = single_field("range", body)?;
    let Some(map) = options.as_object() else {
        return Err(unknown_option("range", field));
    };
    let mut range =
        Range { field: field.to_owned(), from: None, to: None, format: None, zone: None };
    let mut boost = 1.0;
    let end = |value: &Value, included: bool| -> Result<_, EsError> {
        Ok(if value.is_null() { None } else { Some((literal(value, "range")?, included)) })
    };
    for (key, value) in map {
        match key.as_str() {
            "gt" => range.from = end(value, false)?,
            "gte" | "from" => range.from = end(value, true)?,
            "lt" => range.to = end(value, false)?,
            "lte" | "to" => range.to = end(value, true)?,
            "include_lower" => {
                let included = json::boolean(value, key)?;
                range.from = range.from.map(|(literal, _)| (literal, included));
            }
            "include_upper" => {
                let included = json::boolean(value, key)?;
                range.to = range.to.map(|(literal, _)| (literal, included));
            }
            "format" => {
                let format = json::text(value, key)?;
                DateFormat::parse(&format)?;
                range.format = Some(format);
            }
            "time_zone" => range.zone = Some(Zone::parse(&json::text(value, key)?)?),
            "boost" => boost = json::boost(value)?,
            "relation" | "_name" => {}
            other => return Err(unknown_option("range", other)),
        }
    }
    Ok(Query { node: Node::Range(Box::new(range)), boost })
}

pub(super) fn exists(body: &Value) -> Result<Query, EsError> {
    let (mut field, mut boost) = (None, 1.0);
    for (key, value) in json::object(body, "exists")? {
        match key.as_str() {
            "field" => field = Some(json::text(value, key)?),
            "boost" => boost = json::boost(value)?,
            "_name" => {}
            other => return Err(unknown_option("exists", other)),
        }
    }
    match field {
        Some(field) if !field.is_empty() => Ok(Query { node: Node::Exists(field), boost }),
        _ => Err(EsError::parsing("[exists] must be provided with a [field]")),
    }
}

pub(super) fn ids(body: &Value) -> Result<Query, EsError> {
    let (mut ids, mut boost) = (None, 1.0);
    for (key, value) in json::object(body, "ids")? {
        match key.as_str() {
            "values" => ids = Some(json::texts(value, key)?),
            "boost" => boost = json::boost(value)?,
            "_name" => {}
            other => return Err(EsError::parsing(format!("[ids] unknown field [{other}]"))),
        }
    }
    match ids {
        Some(ids) if ids.len() <= TERMS_MAX => Ok(Query { node: Node::Ids(ids), boost }),
        Some(ids) => Err(EsError::illegal(format!(
            "[ids] query has [{}] values, more than the allowed maximum of [{TERMS_MAX}]",
            ids.len()
        ))),
        None => Err(EsError::illegal("[ids] requires providing a [values] array")),
    }
}

pub(super) fn pattern(name: &str, body: &Value) -> Result<Query, EsError> {
    let (field, options) = single_field(name, body)?;
    let (mut text, mut boost, mut ignore_case) = (None, 1.0, false);
    match options {
        Value::Object(map) => {
            for (key, value) in map {
                match key.as_str() {
                    "value" => text = Some(json::text(value, key)?),
                    "wildcard" if name == "wildcard" => text = Some(json::text(value, key)?),
                    "boost" => boost = json::boost(value)?,
                    "case_insensitive" => ignore_case = json::boolean(value, key)?,
                    "rewrite" | "flags" | "max_determinized_states" | "_name" => {}
                    other => return Err(unknown_option(name, other)),
                }
            }
        }
        other => text = Some(json::text(other, name)?),
    }
    let text = text.ok_or_else(|| EsError::illegal("value cannot be null"))?;
    let field = field.to_owned();
    let node = match name {
        "prefix" => Node::Prefix { field, value: text, ignore_case },
        "wildcard" => Node::Wildcard { field, pattern: text, ignore_case },
        _ => regexp(field, text, ignore_case)?,
    };
    Ok(Query { node, boost })
}

/// A regular expression of a bearable length.
pub(in super::super) fn regexp(
    field: String,
    pattern: String,
    ignore_case: bool,
) -> Result<Node, EsError> {
    let length = pattern.chars().count();
    if length > REGEX_CHARS_MAX {
        return Err(EsError::illegal(format!(
            "The length of regex [{length}] used in the Regexp Query request has exceeded the \
             allowed maximum of [{REGEX_CHARS_MAX}]. This maximum can be set by changing the \
             [index.max_regex_length] index level setting."
        )));
    }
    Ok(Node::Regexp { field, pattern, ignore_case })
}
