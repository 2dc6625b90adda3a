//! `filter_path`: keeps only the parts of an answer that a caller asked for.
//!
//! Paths as in Elasticsearch: parts between dots, `*` inside a part for any characters, `**` for
//! any number of parts, a leading `-` to take something away. Arrays are stepped into.

use serde_json::{Map, Value};

/// A parsed `filter_path`.
#[derive(Debug)]
pub(crate) struct FilterPath {
    keep: Vec<Vec<String>>,
    drop: Vec<Vec<String>>,
}

impl FilterPath {
    /// Reads the parameter; `None` if it asks for nothing in particular.
    pub(crate) fn parse(text: &str) -> Option<FilterPath> {
        let mut filter = FilterPath { keep: Vec::new(), drop: Vec::new() };
        for path in text.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            match path.strip_prefix('-') {
                Some(path) => filter.drop.push(parts(path)),
                None => filter.keep.push(parts(path)),
            }
        }
        let asks = !filter.keep.is_empty() || !filter.drop.is_empty();
        asks.then_some(filter)
    }

    /// What is left of `value`; an answer of which nothing is left is `{}`.
    pub(crate) fn apply(&self, value: Value) -> Value {
        let mut left = Some(value);
        if !self.keep.is_empty() {
            let paths: Vec<&[String]> = self.keep.iter().map(Vec::as_slice).collect();
            left = left.and_then(|value| kept(value, &paths));
        }
        if !self.drop.is_empty() {
            let paths: Vec<&[String]> = self.drop.iter().map(Vec::as_slice).collect();
            left = left.and_then(|value| dropped(value, &paths));
        }
        left.unwrap_or_else(|| Value::Object(Map::new()))
    }
}

fn parts(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

/// What is left to match below the member `name`, for each path that goes through it. An empty
/// rest means that a path ends here.
fn below<'a>(paths: &[&'a [String]], name: &str) -> Vec<&'a [String]> {
    let mut rests: Vec<&[String]> = Vec::new();
    for &path in paths {
        let Some((part, rest)) = path.split_first() else { continue };
        if part == "**" {
            rests.push(path);
            // `**` may also stand for no part at all.
            rests.extend(below(&[rest], name));
        } else if matches(part, name) {
            rests.push(rest);
        }
    }
    rests
}

/// Whether a path ends here: nothing is left of it, or only a `**`.
fn ends(paths: &[&[String]]) -> bool {
    paths.iter().any(|path| path.is_empty() || (path.len() == 1 && path[0] == "**"))
}

fn kept(value: Value, paths: &[&[String]]) -> Option<Value> {
    if ends(paths) {
        return Some(value);
    }
    if paths.is_empty() {
        return None;
    }
    match value {
        Value::Object(members) => {
            let left: Map<String, Value> = members
                .into_iter()
                .filter_map(|(name, value)| {
                    let value = kept(value, &below(paths, &name))?;
                    Some((name, value))
                })
                .collect();
            (!left.is_empty()).then_some(Value::Object(left))
        }
        Value::Array(items) => {
            let left: Vec<Value> = items.into_iter().filter_map(|item| kept(item, paths)).collect();
            (!left.is_empty()).then_some(Value::Array(left))
        }
        _ => None,
    }
}

fn dropped(value: Value, paths: &[&[String]]) -> Option<Value> {
    if ends(paths) {
        return None;
    }
    if paths.is_empty() {
        return Some(value);
    }
    match value {
        Value::Object(members) => {
            let had_members = !members.is_empty();
            let left: Map<String, Value> = members
                .into_iter()
                .filter_map(|(name, value)| {
                    let value = dropped(value, &below(paths, &name))?;
                    Some((name, value))
                })
                .collect();
            (!left.is_empty() || !had_members).then_some(Value::Object(left))
        }
        Value::Array(items) => {
            let had_items = !items.is_empty();
            let left: Vec<Value> =
                items.into_iter().filter_map(|item| dropped(item, paths)).collect();
            (!left.is_empty() || !had_items).then_some(Value::Array(left))
        }
        scalar => Some(scalar),
    }
}

/// Whether `pattern`, in which `*` stands for any characters, is the whole of `name`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(filter: &str, expected: Value) {
        let answer = json!({
            "took": 3,
            "hits": {
                "total": { "value": 2, "relation": "eq" },
                "hits": [
                    { "_id": "1", "_score": 1.5, "_source": { "a": 1, "b": { "c": 2 } } },
                    { "_id": "2", "_score": 1.0, "_source": { "b": { "c": 3, "d": 4 } } },
                ],
            },
        });
        let left = match FilterPath::parse(filter) {
            Some(filter) => filter.apply(answer),
            None => answer,
        };
        assert_eq!(left, expected, "{filter}");
    }

    #[test]
    fn keeps_what_is_named() {
        check("took", json!({ "took": 3 }));
        check("hits.total.value,took", json!({ "took": 3, "hits": { "total": { "value": 2 } } }));
        check("hits.hits._id", json!({ "hits": { "hits": [{ "_id": "1" }, { "_id": "2" }] } }));
        check("hits.hits._source.a", json!({ "hits": { "hits": [{ "_source": { "a": 1 } }] } }));
        check("nothing", json!({}));
    }

    #[test]
    fn wildcards() {
        check("t*k", json!({ "took": 3 }));
        check("hits.t*.v*", json!({ "hits": { "total": { "value": 2 } } }));
        check(
            "**.c",
            json!({ "hits": { "hits": [
                { "_source": { "b": { "c": 2 } } },
                { "_source": { "b": { "c": 3 } } },
            ] } }),
        );
        check("hits.**.d", json!({ "hits": { "hits": [{ "_source": { "b": { "d": 4 } } }] } }));
    }

    #[test]
    fn takes_away() {
        check("-hits", json!({ "took": 3 }));
        check("hits.hits,-**._source,-**._score", {
            json!({ "hits": { "hits": [{ "_id": "1" }, { "_id": "2" }] } })
        });
        check("-took,-hits.hits", json!({ "hits": { "total": { "value": 2, "relation": "eq" } } }));
    }

    #[test]
    fn patterns() {
        assert!(matches("*", "anything") && matches("a*c", "abc") && matches("a*", "a"));
        assert!(matches("*b*", "abc") && matches("a*b*c", "a1b2c") && matches("abc", "abc"));
        assert!(!matches("a*c", "ab") && !matches("abc", "abcd") && !matches("a*a", "a"));
    }
}
