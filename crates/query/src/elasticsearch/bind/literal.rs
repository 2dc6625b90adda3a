//! Literals as they are stored, by the type of the field.

use super::super::date_format::DateFormat;
use super::super::fields::{Found, Kind};
use super::super::parse::Literal;
use super::super::zone::UTC;
use super::{Binder, EsError, bound, constant};
use model::Value;
use std::net::IpAddr;
use storage::{Filter, Pattern};

impl Binder<'_> {
    /// Rows where one value of a field equals a literal.
    pub(in super::super) fn term_of(
        &self,
        found: &Found<'_>,
        value: &Literal,
        ignore_case: bool,
    ) -> Result<Filter, EsError> {
        let field = found.name.clone();
        match found.kind {
            Kind::Date => {
                let (format, text) = (DateFormat::default(), value.to_text());
                let from = self.date(&text, &format, UTC, false)?;
                let to = self.date(&text, &format, UTC, true)?;
                let (from, to) = (bound(Value::Long(from), true), bound(Value::Long(to), true));
                return Ok(constant(Filter::Range { field, from, to }));
            }
            Kind::Ip => {
                if let Some(network) = network(found, &value.to_text())? {
                    return Ok(network);
                }
            }
            Kind::Keyword | Kind::Text if ignore_case && !found.is_pseudonymised() => {
                let pattern = Pattern::Wildcard(escape(&value.to_text()));
                return Ok(constant(Filter::Pattern { field, pattern, ignore_case: true }));
            }
            _ => {}
        }
        let mut values = self.stored_values(found, value)?;
        Ok(match (values.len(), found.kind) {
            (0, _) => Filter::Nothing,
            (1, Kind::Keyword | Kind::Ip | Kind::Text) => Filter::Term(field, values.remove(0)),
            (1, _) => constant(Filter::Term(field, values.remove(0))),
            _ => constant(Filter::Terms(field, values)),
        })
    }

    /// A literal as it is stored: several values if the tables keep it differently, none if no
    /// row can hold it.
    pub(in super::super) fn stored_values(
        &self,
        found: &Found<'_>,
        value: &Literal,
    ) -> Result<Vec<Value>, EsError> {
        Ok(match found.kind {
            Kind::Long => long(value)?.map(Value::Long).into_iter().collect(),
            Kind::Double => vec![Value::Double(double(value)?)],
            Kind::Bool => vec![Value::Bool(boolean(value)?)],
            Kind::Date => {
                vec![Value::Long(self.date(
                    &value.to_text(),
                    &DateFormat::default(),
                    UTC,
                    false,
                )?)]
            }
            Kind::Keyword | Kind::Ip | Kind::Text | Kind::Sealed => {
                self.stored_texts(found, &value.to_text()).into_iter().map(Value::Str).collect()
            }
        })
    }

    /// A text as it is stored, once for each way in which the tables keep it.
    pub(super) fn stored_texts(&self, found: &Found<'_>, text: &str) -> Vec<String> {
        let mut texts: Vec<String> = Vec::with_capacity(1);
        for (_, field) in &found.fields {
            let stored = self.literals.literal(field, text);
            if !texts.contains(&stored) {
                texts.push(stored);
            }
        }
        texts
    }
}

/// A network such as `10.0.0.0/8` as the beginning of addresses; `None`: a single address.
fn network(found: &Found<'_>, text: &str) -> Result<Option<Filter>, EsError> {
    let not_an_address =
        || EsError::query(format!("failed to create query: '{text}' is not an IP string literal."));
    let Some((address, bits)) = text.split_once('/') else {
        let known = text.parse::<IpAddr>().is_ok() || found.is_pseudonymised();
        return if known { Ok(None) } else { Err(not_an_address()) };
    };
    let bits: u8 = bits.parse().map_err(|_| not_an_address())?;
    if found.is_pseudonymised() {
        return Err(EsError::query(format!(
            "failed to create query: [{}] keeps pseudonyms, which can only be found by the whole \
             address",
            found.name
        )));
    }
    let address: IpAddr = address.parse().map_err(|_| not_an_address())?;
    match (address, bits) {
        (IpAddr::V4(address), 8 | 16 | 24) => {
            let parts = address.octets();
            let prefix: String =
                parts[..usize::from(bits / 8)].iter().map(|part| format!("{part}.")).collect();
            let field = found.name.clone();
            Ok(Some(constant(Filter::Prefix { field, prefix, ignore_case: false })))
        }
        (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => {
            let field = found.name.clone();
            Ok(Some(Filter::Term(field, Value::Str(address.to_string()))))
        }
        _ => Err(EsError::query(format!(
            "failed to create query: network [{text}] is not supported; use /8, /16, /24 or /32"
        ))),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn not_a_number(text: &str) -> EsError {
    let shown: String = text.chars().take(100).collect();
    EsError::query(format!("failed to create query: For input string: \"{shown}\""))
}

/// An integer; `None`: a number that no integer equals.
fn long(value: &Literal) -> Result<Option<i64>, EsError> {
    match value {
        Literal::Long(number) => Ok(Some(*number)),
        Literal::Text(text) if text.trim().parse::<i64>().is_ok() => Ok(text.trim().parse().ok()),
        _ => {
            let number = double(value)?;
            let whole = number.fract() == 0.0 && number.abs() < 9.2e18;
            Ok(whole.then_some(number as i64))
        }
    }
}

/// The first or last integer of a range; `None`: there is none.
pub(super) fn long_end(
    value: &Literal,
    included: bool,
    is_from: bool,
) -> Result<Option<i64>, EsError> {
    if let Some(number) = long(value)? {
        return Ok(match (included, is_from) {
            (true, _) => Some(number),
            (false, true) => number.checked_add(1),
            (false, false) => number.checked_sub(1),
        });
    }
    let number = double(value)?;
    let number = if is_from { number.ceil() } else { number.floor() };
    Ok(if number >= 9.2e18 {
        (!is_from).then_some(i64::MAX)
    } else if number <= -9.2e18 {
        is_from.then_some(i64::MIN)
    } else {
        Some(number as i64)
    })
}

/// A finite number.
pub(in super::super) fn double(value: &Literal) -> Result<f64, EsError> {
    let number = match value {
        Literal::Long(number) => Some(*number as f64),
        Literal::Double(number) => Some(*number),
        Literal::Text(text) => text.trim().parse().ok(),
        Literal::Bool(_) => None,
    };
    number.filter(|number: &f64| number.is_finite()).ok_or_else(|| not_a_number(&value.to_text()))
}

/// True or false.
pub(super) fn boolean(value: &Literal) -> Result<bool, EsError> {
    match value {
        Literal::Bool(flag) => Ok(*flag),
        Literal::Text(text) if text == "true" => Ok(true),
        Literal::Text(text) if text == "false" || text.is_empty() => Ok(false),
        other => Err(EsError::query(format!(
            "failed to create query: Can't parse boolean value [{}], expected [true] or [false]",
            other.to_text()
        ))),
    }
}
