//! Reading JSON values as what Elasticsearch takes for them.

use super::EsError;
use serde_json::{Map, Value};

/// Elasticsearch's name for the token that a value starts with.
pub(super) fn token(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "START_OBJECT",
        Value::Array(_) => "START_ARRAY",
        Value::String(_) => "VALUE_STRING",
        Value::Number(_) => "VALUE_NUMBER",
        Value::Bool(_) => "VALUE_BOOLEAN",
        Value::Null => "VALUE_NULL",
    }
}

/// The members of an object, or an error that names `what`.
pub(super) fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, EsError> {
    value.as_object().ok_or_else(|| {
        EsError::parsing(format!(
            "Expected [START_OBJECT] in [{what}] but found [{}]",
            token(value)
        ))
    })
}

/// A text; numbers and booleans are taken as they are written.
pub(super) fn text(value: &Value, key: &str) -> Result<String, EsError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        other => Err(EsError::parsing(format!(
            "Expected [VALUE_STRING] for [{key}] but found [{}]",
            token(other)
        ))),
    }
}

/// A boolean, also as a string.
pub(super) fn boolean(value: &Value, key: &str) -> Result<bool, EsError> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) => flag(text),
        other => Err(EsError::parsing(format!(
            "Expected [VALUE_BOOLEAN] for [{key}] but found [{}]",
            token(other)
        ))),
    }
}

/// `true`, `false` or nothing (`?pretty` means true).
pub(super) fn flag(text: &str) -> Result<bool, EsError> {
    match text {
        "true" | "" => Ok(true),
        "false" => Ok(false),
        other => Err(EsError::illegal(format!(
            "Failed to parse value [{other}] as only [true] or [false] are allowed."
        ))),
    }
}

/// A whole number, also as a string or as a float without a fraction.
pub(super) fn integer(value: &Value, key: &str) -> Result<i64, EsError> {
    let number = match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            number
                .as_f64()
                .filter(|float| float.fract() == 0.0 && float.abs() < 9e15)
                .map(|float| float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| EsError::illegal(format!("Failed to parse [{key}] as an integer")))
}

/// A finite number, also as a string.
pub(super) fn number(value: &Value, key: &str) -> Result<f64, EsError> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| EsError::illegal(format!("Failed to parse [{key}] as a number")))
}

/// A factor for the score: finite and not negative.
pub(super) fn boost(value: &Value) -> Result<f32, EsError> {
    let boost = number(value, "boost")?;
    if boost < 0.0 {
        return Err(EsError::illegal(format!(
            "negative [boost] are not allowed in [{boost}], use a value between 0 and 1 to deboost"
        )));
    }
    Ok(boost.min(f64::from(f32::MAX)) as f32)
}

/// One text or a list of texts.
pub(super) fn texts(value: &Value, key: &str) -> Result<Vec<String>, EsError> {
    match value {
        Value::Array(list) => list.iter().map(|item| text(item, key)).collect(),
        Value::Null => Ok(Vec::new()),
        one => Ok(vec![text(one, key)?]),
    }
}

/// Whether `text` matches `pattern`, where `*` stands for any characters.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The word of `known` that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let best = known.iter().map(|&candidate| (distance(word, candidate), candidate)).min()?;
    (best.0 <= 2 && best.0 * 2 <= word.len()).then_some(best.1)
}

fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.chars().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_word() {
        assert_eq!(nearest("mtch", &["match", "term"]), Some("match"));
        assert_eq!(nearest("geo_shape", &["match", "term"]), None);
    }
}
