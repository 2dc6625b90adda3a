//! A request without its literals.

use serde_json::{Map, Value};

/// Beyond this many bytes a shape is cut.
const BYTES_MAX: usize = 16 * 1024;

/// The JSON of a request with every literal replaced by `?`. Lists of alike things are shown
/// once, so that the shape of a question does not grow with its literals.
pub(super) fn of(body: &Value, params: &[(String, String)]) -> String {
    let mut shape = if body.is_null() { Value::Object(Map::new()) } else { without_literals(body) };
    if let Value::Object(members) = &mut shape {
        for (name, _) in params.iter().filter(|(name, _)| matches!(name.as_str(), "q" | "sort")) {
            members.insert(format!("?{name}"), Value::from("?"));
        }
    }
    let mut text = shape.to_string();
    if text.len() > BYTES_MAX {
        let end = (0..=BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn without_literals(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.iter().map(|(key, value)| (key.clone(), without_literals(value))).collect(),
        ),
        Value::Array(list) => {
            let mut shapes: Vec<Value> = Vec::new();
            for shape in list.iter().map(without_literals) {
                if !shapes.contains(&shape) && shapes.len() < 64 {
                    shapes.push(shape);
                }
            }
            Value::Array(shapes)
        }
        _ => Value::from("?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_literal_is_left() {
        let body = json!({
            "query": {"terms": {"user": ["ada", "bob"]}},
            "size": 5,
            "sort": [{"at": "desc"}, "name"]
        });
        let params = [("q".to_owned(), "secret".to_owned())];
        assert_eq!(
            of(&body, &params),
            r#"{"query":{"terms":{"user":["?"]}},"size":"?","sort":[{"at":"?"},"?"],"?q":"?"}"#
        );
    }
}
