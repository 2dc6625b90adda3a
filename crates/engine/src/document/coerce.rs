//! From what a document says to what its field takes, with Elasticsearch's coercions.

use super::date::{looks_like_date, parse_date};
use model::{Field, FieldType};
use std::net::IpAddr;

/// The longest keyword, in bytes: Elasticsearch's (Lucene's) limit for one term.
pub(crate) const KEYWORD_BYTES_MAX: usize = 32_766;

/// What the values of a field must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(super) ty: FieldType,
    min: i64,
    max: i64,
    keyword_up_to: u32,
}

impl Rule {
    pub(super) fn of(field: &Field) -> Rule {
        let (min, max) = match field.es_type.as_str() {
            "byte" => (i64::from(i8::MIN), i64::from(i8::MAX)),
            "short" => (i64::from(i16::MIN), i64::from(i16::MAX)),
            "integer" => (i64::from(i32::MIN), i64::from(i32::MAX)),
            "unsigned_long" => (0, i64::MAX),
            _ => (i64::MIN, i64::MAX),
        };
        Rule { ty: field.ty, min, max, keyword_up_to: field.keyword_up_to.unwrap_or(0) }
    }
}

/// A value as JSON has it.
#[derive(Clone, Copy)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    Int(i64),
    /// Beyond `i64`.
    Huge,
    Float(f64),
    Text(&'a str),
}

/// A value as its field has it.
pub(super) enum Coerced {
    /// The text itself.
    SameText,
    Text(String),
    Long(i64),
    Double(f64),
    Bool(bool),
    /// Counts as null: an empty text for a number.
    Null,
}

/// How a value was written, where that differs from how we write it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Plainly,
    AsText,
    AsMillis,
    WithPlusZero,
    /// A number or boolean, for a field that keeps text.
    AsNumber,
}

/// Turns `scalar` into a value of the field, or says why it is none.
pub(super) fn coerce(rule: &Rule, scalar: Scalar<'_>) -> Result<(Coerced, Written), &'static str> {
    match rule.ty {
        FieldType::Keyword => {
            let text = as_text(scalar)?;
            if text_of(&text, scalar).len() > KEYWORD_BYTES_MAX {
                return Err("the value is longer than 32766 bytes; map the field as text");
            }
            Ok((text, written_text(scalar)))
        }
        FieldType::Text => {
            let coerced = as_text(scalar)?;
            let text = text_of(&coerced, scalar);
            if text.len() > KEYWORD_BYTES_MAX
                && text.chars().nth(rule.keyword_up_to as usize).is_none()
            {
                return Err(
                    "the value is longer than 32766 bytes, which its keyword cannot hold; \
                            give the keyword a smaller ignore_above",
                );
            }
            Ok((coerced, written_text(scalar)))
        }
        FieldType::Long => as_long(rule, scalar),
        FieldType::Double => as_double(scalar),
        FieldType::Boolean => as_bool(scalar),
        FieldType::Date => as_date(scalar),
        FieldType::Ip => as_ip(scalar),
        FieldType::GeoPoint => match scalar {
            Scalar::Text(text) => {
                let point = super::geo::parse_point(text)?;
                Ok((Coerced::Text(point), Written::Plainly))
            }
            _ => {
                Err("a position is an object with lat and lon, a text `lat,lon` or an array of two")
            }
        },
    }
}

/// The type that dynamic mapping gives to a field with this first value.
pub(super) fn dynamic_type(scalar: Scalar<'_>) -> FieldType {
    match scalar {
        Scalar::Bool(_) => FieldType::Boolean,
        Scalar::Int(_) | Scalar::Huge => FieldType::Long,
        Scalar::Float(_) => FieldType::Double,
        Scalar::Text(text) if looks_like_date(text) => FieldType::Date,
        Scalar::Text(_) => FieldType::Text,
    }
}

fn as_text(scalar: Scalar<'_>) -> Result<Coerced, &'static str> {
    Ok(match scalar {
        Scalar::Text(text) if text.contains('\0') => {
            return Err("the value contains a NUL character");
        }
        Scalar::Text(_) => Coerced::SameText,
        Scalar::Bool(value) => Coerced::Text(value.to_string()),
        Scalar::Int(value) => Coerced::Text(value.to_string()),
        Scalar::Huge => return Err(OUT_OF_RANGE),
        Scalar::Float(value) => Coerced::Text(format!("{value:?}")),
    })
}

fn written_text(scalar: Scalar<'_>) -> Written {
    if matches!(scalar, Scalar::Text(_)) { Written::Plainly } else { Written::AsNumber }
}

fn text_of<'a>(coerced: &'a Coerced, scalar: Scalar<'a>) -> &'a str {
    match (coerced, scalar) {
        (Coerced::Text(text), _) => text,
        (_, Scalar::Text(text)) => text,
        _ => "",
    }
}

const OUT_OF_RANGE: &str = "the value is out of range";

fn as_long(rule: &Rule, scalar: Scalar<'_>) -> Result<(Coerced, Written), &'static str> {
    let (value, written) = match scalar {
        Scalar::Int(value) => (value, Written::Plainly),
        Scalar::Huge => return Err(OUT_OF_RANGE),
        Scalar::Float(value) => (truncate(value)?, Written::Plainly),
        Scalar::Text("") => return Ok((Coerced::Null, Written::Plainly)),
        Scalar::Text(text) => match text.parse::<i64>() {
            Ok(value) => (value, Written::AsText),
            Err(_) => (truncate(parse_float(text)?)?, Written::AsText),
        },
        Scalar::Bool(_) => return Err("the value is a boolean, not a number"),
    };
    if value < rule.min || value > rule.max {
        return Err(OUT_OF_RANGE);
    }
    Ok((Coerced::Long(value), written))
}

/// Cuts the fraction off, as Elasticsearch's `coerce` does.
fn truncate(value: f64) -> Result<i64, &'static str> {
    // 2^63 as a float: the first number that an i64 cannot hold.
    let limit = -(i64::MIN as f64);
    if value >= -limit && value < limit { Ok(value as i64) } else { Err(OUT_OF_RANGE) }
}

fn parse_float(text: &str) -> Result<f64, &'static str> {
    let numeric = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(numeric) {
        return Err("the value is not a number");
    }
    let value: f64 = text.parse().map_err(|_| "the value is not a number")?;
    if value.is_finite() { Ok(value) } else { Err(OUT_OF_RANGE) }
}

fn as_double(scalar: Scalar<'_>) -> Result<(Coerced, Written), &'static str> {
    Ok(match scalar {
        Scalar::Int(value) => (Coerced::Double(value as f64), Written::Plainly),
        Scalar::Huge => return Err(OUT_OF_RANGE),
        Scalar::Float(value) if value.is_finite() => (Coerced::Double(value), Written::Plainly),
        Scalar::Float(_) => return Err(OUT_OF_RANGE),
        Scalar::Text("") => (Coerced::Null, Written::Plainly),
        Scalar::Text(text) => (Coerced::Double(parse_float(text)?), Written::AsText),
        Scalar::Bool(_) => return Err("the value is a boolean, not a number"),
    })
}

fn as_bool(scalar: Scalar<'_>) -> Result<(Coerced, Written), &'static str> {
    match scalar {
        Scalar::Bool(value) => Ok((Coerced::Bool(value), Written::Plainly)),
        Scalar::Text("true") => Ok((Coerced::Bool(true), Written::AsText)),
        Scalar::Text("false") => Ok((Coerced::Bool(false), Written::AsText)),
        Scalar::Text("") => Ok((Coerced::Bool(false), Written::Plainly)),
        _ => Err("only true and false are allowed"),
    }
}

fn as_date(scalar: Scalar<'_>) -> Result<(Coerced, Written), &'static str> {
    match scalar {
        Scalar::Int(millis) => Ok((Coerced::Long(millis), Written::AsMillis)),
        Scalar::Float(millis) => Ok((Coerced::Long(truncate(millis)?), Written::AsMillis)),
        Scalar::Huge => Err(OUT_OF_RANGE),
        Scalar::Bool(_) => Err("the value is a boolean, not a date"),
        Scalar::Text(text) => {
            let date = parse_date(text).ok_or(
                "the value is no date in the format [strict_date_optional_time||epoch_millis]",
            )?;
            let written = if date.plus_zero { Written::WithPlusZero } else { Written::Plainly };
            Ok((Coerced::Long(date.millis), written))
        }
    }
}

fn as_ip(scalar: Scalar<'_>) -> Result<(Coerced, Written), &'static str> {
    let Scalar::Text(text) = scalar else { return Err("the value is no IP address") };
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => Ok((Coerced::SameText, Written::Plainly)),
        Ok(address) => Ok((Coerced::Text(address.to_string()), Written::Plainly)),
        Err(_) => Err("the value is no IP address"),
    }
}
