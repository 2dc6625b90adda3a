//! Writes a JSON value as YAML, for `format=yaml`. Strings and keys are always quoted, so that
//! no text is ever read back as a number, a date or a boolean.

use serde_json::Value;
use std::fmt::Write;

/// The value as a YAML document.
pub(crate) fn to_yaml(value: &Value) -> String {
    let mut out = String::from("---\n");
    write(value, 0, &mut out);
    out
}

/// Writes a value that starts on a line of its own.
fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                indent(depth, out);
                write_member(name, value, depth, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(depth, out);
                out.push('-');
                write_behind(item, depth, out);
            }
        }
        leaf => {
            indent(depth, out);
            write_leaf(leaf, out);
            out.push('\n');
        }
    }
}

fn write_member(name: &str, value: &Value, depth: usize, out: &mut String) {
    write_leaf(&Value::String(name.to_owned()), out);
    out.push(':');
    write_behind(value, depth, out);
}

/// Writes a value behind `-` or `name:`: a leaf on the same line, all else below.
fn write_behind(value: &Value, depth: usize, out: &mut String) {
    let has_children = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if has_children {
        out.push('\n');
        write(value, depth + 1, out);
    } else {
        out.push(' ');
        write_leaf(value, out);
        out.push('\n');
    }
}

/// JSON's way of writing a leaf, an empty object or an empty array is also YAML's.
fn write_leaf(value: &Value, out: &mut String) {
    write!(out, "{value}").expect("writing to a string does not fail");
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nests_by_indentation() {
        let value = json!({ "a": 1, "b": [{ "c": "x: y" }, "no"], "d": {}, "e": { "f": null } });
        let expected = "---\n\"a\": 1\n\"b\":\n  -\n    \"c\": \"x: y\"\n  - \"no\"\n\"d\": {}\n\"e\":\n  \"f\": null\n";
        assert_eq!(to_yaml(&value), expected);
    }
}
