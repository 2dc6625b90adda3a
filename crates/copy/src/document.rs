//! JSON documents on their way in: whether a text is one, and its `_id`.

use crate::{Cell, ColumnType, CopiedRows, SourceColumn};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// Checks documents and takes their `_id` out of them.
#[derive(Debug)]
pub struct Ids<'k> {
    key: &'k [String],
    parts: Vec<Option<String>>,
}

impl<'k> Ids<'k> {
    /// The `_id` is the value of these members; of none: the store makes one.
    pub fn new(key: &'k [String]) -> Ids<'k> {
        Ids { key, parts: vec![None; key.len()] }
    }

    /// Whether `text` is one whole JSON object with the members of the key.
    ///
    /// # Errors
    /// Says where and what is wrong, never the text around it.
    pub fn check(&mut self, text: &[u8]) -> Result<(), String> {
        if text.first() != Some(&b'{') {
            return Err("not a JSON object".to_owned());
        }
        // A reader that ignores what it reads does not look at the bytes of strings either.
        let text = std::str::from_utf8(text)
            .map_err(|error| format!("is no UTF-8 from byte {}", error.valid_up_to() + 1))?;
        self.parts.fill(None);
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = reader.deserialize_map(Members { key: self.key, parts: &mut self.parts });
        read.and_then(|()| reader.end()).map_err(|error| malformed(&error))?;
        match self.parts.iter().position(Option::is_none) {
            None => Ok(()),
            Some(place) => {
                Err(format!("`{}` is not there, or neither text nor a number", self.key[place]))
            }
        }
    }

    /// The `_id` of the document that was checked last; `None` if the store makes one.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        match self.parts.as_slice() {
            [] => None,
            [part] => Some(part.as_deref().unwrap_or_default().into()),
            parts => {
                let parts: Vec<String> = parts.iter().flatten().map(|part| escaped(part)).collect();
                Some(parts.join("|").into())
            }
        }
    }

    /// Adds the `_id` of the document that was checked last.
    pub(crate) fn push(&self, rows: &mut CopiedRows) {
        match self.id() {
            None => rows.push(Cell::Null),
            Some(id) => rows.push_text(&id),
        }
    }
}

/// A part of an `_id` of several, as a copy of columns writes it too.
fn escaped(part: &str) -> String {
    part.replace('\\', "\\\\").replace('|', "\\|")
}

/// The members that a sample of documents has, with those of objects inside by their path.
pub(crate) fn seen_columns(documents: &CopiedRows) -> Vec<SourceColumn> {
    let mut seen: Vec<SourceColumn> = Vec::new();
    for row in 0..documents.len() {
        let text = documents.text(documents.row(row)[1]).unwrap_or("{}");
        let members: Value = serde_json::from_str(text).unwrap_or_default();
        see("", &members, &mut seen);
    }
    seen
}

fn see(path: &str, value: &Value, seen: &mut Vec<SourceColumn>) {
    let (ty, native) = match value {
        Value::Null => return,
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                see(&path, value, seen);
            }
            return;
        }
        Value::Array(items) => return items.iter().for_each(|item| see(path, item, seen)),
        Value::Bool(_) => (ColumnType::Bool, "boolean"),
        Value::Number(number) if number.is_f64() => (ColumnType::Double, "number"),
        Value::Number(_) => (ColumnType::Long, "whole number"),
        Value::String(text) if model::Timestamp::parse_rfc3339(text).is_some() => {
            (ColumnType::Date, "date")
        }
        Value::String(text) => (crate::files::text_type(std::iter::once(text.as_str())), "text"),
    };
    match seen.iter_mut().find(|column| column.name == path) {
        None => {
            let native = native.to_owned();
            seen.push(SourceColumn { name: path.to_owned(), ty, native });
        }
        Some(column) => column.ty = both(column.ty, ty),
    }
}

/// What holds values of two types.
fn both(one: ColumnType, other: ColumnType) -> ColumnType {
    use ColumnType::{Double, Keyword, Long, Text};
    match (one, other) {
        _ if one == other => one,
        (Long, Double) | (Double, Long) => Double,
        (Text, _) | (_, Text) => Text,
        _ => Keyword,
    }
}

fn malformed(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "ends too early",
        _ => "is no JSON",
    };
    format!("{what} at column {}", error.column())
}

struct Members<'m> {
    key: &'m [String],
    parts: &'m mut [Option<String>],
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = members.next_key()? {
            match self.key.iter().position(|key| *key == name) {
                Some(place) => self.parts[place] = members.next_value::<Part>()?.0,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a member, without a copy where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Name<'de>, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Text)
    }
}

/// A part of an `_id`: a text or a number; anything else is none.
struct Part(Option<String>);

impl<'de> serde::Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Part, D::Error> {
        let value = Value::deserialize(from).map_err(D::Error::custom)?;
        Ok(Part(match value {
            Value::String(text) => Some(text).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Op;

    fn id(text: &str, key: &[&str]) -> Result<Option<String>, String> {
        let key: Vec<String> = key.iter().map(|&name| name.to_owned()).collect();
        let mut ids = Ids::new(&key);
        ids.check(text.as_bytes())?;
        let mut rows = CopiedRows::new(1);
        rows.start(Op::Put);
        ids.push(&mut rows);
        Ok(rows.text(rows.row(0)[0]).map(str::to_owned))
    }

    #[test]
    fn only_whole_objects_pass() {
        assert_eq!(id(r#"{"a":1}"#, &[]), Ok(None));
        for bad in ["[1]", r#"{"a":1"#, r#"{"a":1}{"b":2}"#, "hello", "", r#"{"a":tru}"#] {
            assert!(id(bad, &[]).is_err(), "{bad}");
        }
        assert!(Ids::new(&[]).check(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn reasons_carry_no_value() {
        let reason = id(r#"{"email": "ada@example.org", "x": secret}"#, &[]).unwrap_err();
        assert!(reason.starts_with("is no JSON at column 3"), "{reason}");
    }

    #[test]
    fn the_id_is_text_or_a_number() {
        assert_eq!(id(r#"{"k":"a","v":1}"#, &["k"]), Ok(Some("a".to_owned())));
        assert_eq!(id(r#"{"\u006b":17}"#, &["k"]), Ok(Some("17".to_owned())));
        assert_eq!(id(r#"{"v":{"k":2},"b":"x","k":1}"#, &["k", "b"]), Ok(Some("1|x".to_owned())));
        for bad in [r#"{"k":[1]}"#, r#"{"v":1}"#, r#"{"k":null}"#, r#"{"k":""}"#] {
            assert!(id(bad, &["k"]).is_err(), "{bad}");
        }
    }
}
