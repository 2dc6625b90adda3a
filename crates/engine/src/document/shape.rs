//! Shapes: how a document looked where the plain rule of [`model::Row::shape`] does not say it.

use super::reader::event;
use super::tree::Tree;
use serde_json::{Map, Value};

/// Writes the shape that `events` describe.
pub(super) fn render(events: &[u32], tree: &Tree) -> String {
    let mut out = String::with_capacity(events.len() * 8);
    for &code in events {
        let closes = matches!(code, event::CLOSE_OBJECT | event::CLOSE_ARRAY);
        if !closes && !out.is_empty() && !out.ends_with(['{', '[', ':']) {
            out.push(',');
        }
        match code {
            event::VALUE => out.push_str("\"v\""),
            event::AS_TEXT => out.push_str("\"s\""),
            event::AS_MILLIS => out.push_str("\"k\""),
            event::WITH_PLUS_ZERO => out.push_str("\"z\""),
            event::AS_NUMBER => out.push_str("\"n\""),
            event::NULL => out.push_str("null"),
            event::OPEN_OBJECT => out.push('{'),
            event::CLOSE_OBJECT => out.push('}'),
            event::OPEN_ARRAY => out.push('['),
            event::CLOSE_ARRAY => out.push(']'),
            key => {
                out.push_str(&Value::from(tree.key(key - event::KEY)).to_string());
                out.push(':');
            }
        }
    }
    out
}

/// The shape that the plain rule gives to a document with `count` values at each path.
pub(crate) fn plain<'a>(paths: impl Iterator<Item = (&'a str, usize)>) -> Value {
    let mut shape = Map::new();
    for (path, count) in paths {
        let value = match count {
            0 => continue,
            1 => Value::from("v"),
            _ => Value::from(vec!["v"; count]),
        };
        let (above, leaf) = path.rsplit_once('.').unwrap_or(("", path));
        let mut object = &mut shape;
        for part in above.split('.').filter(|part| !part.is_empty()) {
            let below = object.entry(part).or_insert_with(|| Value::Object(Map::new()));
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            object = below.as_object_mut().expect("it was just made one");
        }
        object.insert(leaf.to_owned(), value);
    }
    Value::Object(shape)
}

/// Whether the plain rule gives this shape.
pub(crate) fn is_plain(shape: &Value) -> bool {
    fn inner(value: &Value) -> bool {
        match value {
            Value::String(placeholder) => placeholder == "v",
            Value::Array(values) => {
                values.len() > 1 && values.iter().all(|value| value.as_str() == Some("v"))
            }
            Value::Object(object) => {
                !object.is_empty()
                    && object.iter().all(|(key, value)| !key.contains('.') && inner(value))
            }
            _ => false,
        }
    }
    shape.as_object().is_some_and(|object| object.is_empty()) || inner(shape)
}

/// Puts the shape of a partial document over the shape of the stored one, as `_update` merges:
/// objects key by key, anything else replaces. Adds to `replaced` the paths whose stored values
/// go, each with all that lies below it.
pub(crate) fn merge(stored: &mut Value, patch: &Value, replaced: &mut Vec<String>) {
    let first = replaced.len();
    replaced_by(patch, stored, "", replaced);
    for path in &replaced[first..] {
        remove(stored, "", path);
    }
    overlay(stored, patch);
}

/// Collects what `patch` replaces: where it has no object, or where `stored` has none.
fn replaced_by(patch: &Value, stored: &Value, prefix: &str, replaced: &mut Vec<String>) {
    let Some(object) = patch.as_object() else {
        replaced.push(prefix.to_owned());
        return;
    };
    for (key, value) in object {
        let path = join(prefix, key);
        let stored_below = stored.get(key).unwrap_or(&Value::Null);
        if !stored_below.is_object() && !stored_below.is_null() && value.is_object() {
            replaced.push(path.clone());
        }
        replaced_by(value, stored_below, &path, replaced);
    }
}

/// Takes what lies at `path` out of a shape, however its keys are dotted.
fn remove(shape: &mut Value, prefix: &str, path: &str) {
    let Some(object) = shape.as_object_mut() else {
        if let Some(values) = shape.as_array_mut() {
            values.iter_mut().for_each(|value| remove(value, prefix, path));
        }
        return;
    };
    object.retain(|key, value| {
        let here = join(prefix, key);
        if here == path || is_below(&here, path) {
            return false;
        }
        let was_empty = is_empty_object(value);
        if is_below(path, &here) {
            remove(value, &here, path);
        }
        was_empty || !is_empty_object(value)
    });
}

fn overlay(stored: &mut Value, patch: &Value) {
    match (stored, patch) {
        (Value::Object(stored), Value::Object(patch)) => {
            for (key, value) in patch {
                match stored.get_mut(key) {
                    Some(below) => overlay(below, value),
                    None => {
                        stored.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (stored, patch) => *stored = patch.clone(),
    }
}

fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// Whether `path` lies below `above`.
pub(crate) fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(mut stored: Value, patch: Value, expected: Value, gone: &[&str]) {
        let mut replaced = Vec::new();
        merge(&mut stored, &patch, &mut replaced);
        assert_eq!(stored, expected);
        assert_eq!(replaced, gone);
    }

    #[test]
    fn a_patch_replaces_all_but_objects() {
        check(
            json!({"a": "v", "b": {"c": "v", "d": "z"}}),
            json!({"b": {"c": ["v"]}, "e": null}),
            json!({"a": "v", "b": {"c": ["v"], "d": "z"}, "e": null}),
            &["b.c", "e"],
        );
        check(
            json!({"a": [{"b": "v"}, {"b": "v", "c": "v"}]}),
            json!({"a": {"b": "v"}}),
            json!({"a": {"b": "v"}}),
            &["a", "a.b"],
        );
        check(
            json!({"a.b": "v", "c": "v"}),
            json!({"a": {"b": "s"}}),
            json!({"c": "v", "a": {"b": "s"}}),
            &["a.b"],
        );
        check(json!({"a": {"b": "v"}}), json!({"a": {}}), json!({"a": {"b": "v"}}), &[]);
        check(json!({"a": {"b": "v"}}), json!({"a": null}), json!({"a": null}), &["a"]);
    }

    #[test]
    fn the_plain_rule() {
        let paths = [("a", 1), ("b.c", 2), ("b.d.e", 1), ("f", 0)];
        let shape = plain(paths.into_iter());
        assert_eq!(shape, json!({"a": "v", "b": {"c": ["v", "v"], "d": {"e": "v"}}}));
        assert!(is_plain(&shape));
        assert!(is_plain(&json!({})));
        for other in [
            json!({"a": null}),
            json!({"a": ["v"]}),
            json!({"a": []}),
            json!({"a": {}}),
            json!({"a": "z"}),
            json!({"a.b": "v"}),
            json!({"a": [{"b": "v"}, {"b": "v"}]}),
        ] {
            assert!(!is_plain(&other), "{other}");
        }
    }
}
