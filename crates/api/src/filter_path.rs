//! `filter_path`: keeps only the parts of an answer that a caller asked for.
//!
//! Paths as in Elasticsearch: parts between dots, `*` inside a part for any characters, `**` for
//! any number of parts, a leading `-` to take something away. Arrays are stepped into.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

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

    /// Reads an answer and keeps what is left of it, without ever holding the rest: a bulk answer
    /// may be large where one member of it is asked for. Of nothing, `{}` is left.
    ///
    /// # Errors
    /// If the answer is no JSON.
    pub(crate) fn read<'de, D: Deserializer<'de>>(&self, answer: D) -> Result<Value, D::Error> {
        let keep: Vec<&[String]> = self.keep.iter().map(Vec::as_slice).collect();
        let drop = self.drop.iter().map(Vec::as_slice).collect();
        let part = Part { keep: (!keep.is_empty()).then_some(keep), drop };
        Ok(match part.deserialize(answer)? {
            Left::Value(value) => value,
            Left::Unkept | Left::Dropped => Value::Object(Map::new()),
        })
    }
}

/// A part of an answer that is being read, with the paths that go through it.
struct Part<'p> {
    /// `None`: all of it is kept.
    keep: Option<Vec<&'p [String]>>,
    drop: Vec<&'p [String]>,
}

/// What is left of a part.
enum Left {
    /// No path keeps it.
    Unkept,
    /// It was taken away, or all that was in it.
    Dropped,
    Value(Value),
}

impl<'p> Part<'p> {
    /// The member `name` of this part.
    fn member(&self, name: &str) -> Part<'p> {
        let keep = self.keep.as_ref().map(|keep| below(keep, name));
        let keep = keep.filter(|keep| !ends(keep));
        Part { keep, drop: below(&self.drop, name) }
    }

    /// An item of this part, which is an array: it is stepped into.
    fn item(&self) -> Part<'p> {
        Part { keep: self.keep.clone(), drop: self.drop.clone() }
    }

    /// What is left of an object or array, of whose parts `kept` were kept and `left` are left.
    fn whole(&self, kept: usize, left: usize, value: Value) -> Left {
        match (kept, left) {
            (0, _) if self.keep.is_some() => Left::Unkept,
            (1.., 0) => Left::Dropped,
            _ => Left::Value(value),
        }
    }

    fn scalar(&self, value: impl Into<Value>) -> Left {
        match self.keep {
            Some(_) => Left::Unkept,
            None => Left::Value(value.into()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Left;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Left, D::Error> {
        if ends(&self.drop) {
            from.deserialize_ignored_any(IgnoredAny)?;
            return Ok(Left::Dropped);
        }
        match &self.keep {
            Some(keep) if keep.is_empty() => {
                from.deserialize_ignored_any(IgnoredAny)?;
                Ok(Left::Unkept)
            }
            None if self.drop.is_empty() => Value::deserialize(from).map(Left::Value),
            _ => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Left;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Left, A::Error> {
        let (mut left, mut kept) = (Map::new(), 0);
        while let Some(name) = members.next_key::<String>()? {
            match members.next_value_seed(self.member(&name))? {
                Left::Unkept => {}
                Left::Dropped => kept += 1,
                Left::Value(value) => {
                    kept += 1;
                    left.insert(name, value);
                }
            }
        }
        Ok(self.whole(kept, left.len(), Value::Object(left)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Left, A::Error> {
        let (mut left, mut kept) = (Vec::new(), 0);
        while let Some(item) = items.next_element_seed(self.item())? {
            match item {
                Left::Unkept => {}
                Left::Dropped => kept += 1,
                Left::Value(value) => {
                    kept += 1;
                    left.push(value);
                }
            }
        }
        Ok(self.whole(kept, left.len(), Value::Array(left)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Left, E> {
        Ok(self.scalar(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Left, E> {
        Ok(self.scalar(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Left, E> {
        Ok(self.scalar(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Left, E> {
        Ok(self.scalar(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Left, E> {
        Ok(self.scalar(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Left, E> {
        Ok(self.scalar(value))
    }

    fn visit_unit<E>(self) -> Result<Left, E> {
        Ok(self.scalar(Value::Null))
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
        let filter = FilterPath::parse(filter).unwrap();
        let written = answer.to_string();
        let read = filter.read(&mut serde_json::Deserializer::from_str(&written)).unwrap();
        assert_eq!(read, expected, "{filter:?}");
        assert_eq!(filter.read(answer).unwrap(), expected, "{filter:?}");
    }

    #[test]
    fn keeps_what_is_named() {
        check("took", json!({ "took": 3 }));
        check("hits.total.value,took", json!({ "took": 3, "hits": { "total": { "value": 2 } } }));
        check("hits.hits._id", json!({ "hits": { "hits": [{ "_id": "1" }, { "_id": "2" }] } }));
        check("hits.hits._source.a", json!({ "hits": { "hits": [{ "_source": { "a": 1 } }] } }));
        check("nothing", json!({}));
        check("hits.total.value.deeper", json!({}));
        check("took,-took", json!({}));
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
