//! Walks over one document with serde_json, without building it.

use super::coerce::{Coerced, Scalar, Written, coerce, dynamic_type};
use super::error::DocumentError;
use super::geo;
use super::tree::{NodeKind, Step, Tree};
use model::{FieldId, FieldType};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::ops::Range;

/// What was met on the way through a document, for its shape; keys are `KEY` + their number.
pub(super) mod event {
    pub(in crate::document) const VALUE: u32 = 0;
    pub(in crate::document) const AS_TEXT: u32 = 1;
    pub(in crate::document) const AS_MILLIS: u32 = 2;
    pub(in crate::document) const WITH_PLUS_ZERO: u32 = 3;
    pub(in crate::document) const NULL: u32 = 4;
    pub(in crate::document) const OPEN_OBJECT: u32 = 5;
    pub(in crate::document) const CLOSE_OBJECT: u32 = 6;
    pub(in crate::document) const OPEN_ARRAY: u32 = 7;
    pub(in crate::document) const CLOSE_ARRAY: u32 = 8;
    pub(in crate::document) const AS_NUMBER: u32 = 9;
    pub(in crate::document) const KEY: u32 = 16;
}

/// One value on its way into a column.
#[derive(Clone)]
pub(super) enum Raw<'de> {
    /// A piece of the body.
    Text(&'de str),
    /// A piece of [`Reader::copied`]: it had escapes, or was no text.
    Copied(Range<usize>),
    Long(i64),
    Double(f64),
    Bool(bool),
}

/// One document while it is read. Nothing of it is kept until the whole of it is good.
pub(super) struct Reader<'de, 'b> {
    pub(super) tree: &'b mut Tree,
    /// Whether fields that are not in the mapping are taken.
    pub(super) dynamic: bool,
    pub(super) values: Vec<(FieldId, Raw<'de>)>,
    pub(super) copied: &'b mut String,
    pub(super) events: &'b mut Vec<u32>,
    /// Numbers the objects of a batch.
    pub(super) objects: &'b mut u64,
    /// The plain rule of [`model::Row::shape`] rebuilds the document.
    pub(super) plain: bool,
    pub(super) failure: Option<DocumentError>,
}

impl<'de> Reader<'de, '_> {
    /// Reads a whole document.
    pub(super) fn read(&mut self, json: &'de str) -> Result<(), DocumentError> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read = Document { reader: self }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end());
        match (self.failure.take(), read) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(DocumentError::syntax(&error)),
            (None, Ok(())) => Ok(()),
        }
    }

    /// Reads a value that stands at `node`.
    pub(super) fn read_at(&mut self, node: u32, json: &'de str) -> Result<(), DocumentError> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read = Member { reader: self, node, in_array: false }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end());
        match (self.failure.take(), read) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(DocumentError::syntax(&error)),
            (None, Ok(())) => Ok(()),
        }
    }

    fn fail<E: Error>(&mut self, failure: DocumentError) -> E {
        self.failure = Some(failure);
        E::custom("refused")
    }

    fn scalar(
        &mut self,
        node: u32,
        scalar: Scalar<'_>,
        text: Option<&'de str>,
    ) -> Result<(), DocumentError> {
        let id = match self.tree.kind(node) {
            NodeKind::Leaf(id) => id,
            NodeKind::Unknown => self.new_field(node, scalar)?,
            NodeKind::Object => {
                let what = self.tree.describe(node);
                let (before, after) = match what.strip_prefix("field ") {
                    Some(name) => (format!("object mapping for {name}"), what.as_str()),
                    None => ("object mapping".to_owned(), what.as_str()),
                };
                return Err(DocumentError::parsing(format!(
                    "{before} tried to parse {after} as object, but found a concrete value"
                )));
            }
        };
        let rule = self.tree.rule(id);
        let (coerced, written) =
            coerce(&rule, scalar).map_err(|why| self.not_of_type(node, id, why))?;
        let raw = match (coerced, scalar, text) {
            (Coerced::Null, ..) => {
                self.put_null();
                return Ok(());
            }
            (Coerced::SameText, _, Some(text)) => Raw::Text(text),
            (Coerced::SameText, Scalar::Text(text), None) => self.copy(text),
            (Coerced::SameText, ..) => unreachable!("only text stays the same text"),
            (Coerced::Text(text), ..) => self.copy(&text),
            (Coerced::Long(value), ..) => Raw::Long(value),
            (Coerced::Double(value), ..) => Raw::Double(value),
            (Coerced::Bool(value), ..) => Raw::Bool(value),
        };
        self.plain &= written == Written::Plainly;
        self.events.push(match written {
            Written::Plainly => event::VALUE,
            Written::AsText => event::AS_TEXT,
            Written::AsMillis => event::AS_MILLIS,
            Written::WithPlusZero => event::WITH_PLUS_ZERO,
            Written::AsNumber => event::AS_NUMBER,
        });
        self.values.push((id, raw));
        Ok(())
    }

    fn copy(&mut self, text: &str) -> Raw<'de> {
        let start = self.copied.len();
        self.copied.push_str(text);
        Raw::Copied(start..self.copied.len())
    }

    fn new_field(&mut self, node: u32, scalar: Scalar<'_>) -> Result<FieldId, DocumentError> {
        if !self.dynamic {
            return Err(self.strict(node));
        }
        self.tree.add_field(node, dynamic_type(scalar))
    }

    fn strict(&self, node: u32) -> DocumentError {
        DocumentError::strict(format!(
            "mapping set to strict, dynamic introduction of {} is not allowed",
            self.tree.describe(node)
        ))
    }

    fn not_of_type(&self, node: u32, id: FieldId, why: &str) -> DocumentError {
        DocumentError::parsing(format!(
            "failed to parse {} of type [{}]: {why}",
            self.tree.describe(node),
            self.tree.field(id).es_type
        ))
    }

    pub(super) fn put_null(&mut self) {
        self.plain = false;
        self.events.push(event::NULL);
    }

    pub(super) fn put_text(&mut self, id: FieldId, text: &str) {
        let raw = self.copy(text);
        self.values.push((id, raw));
        self.events.push(event::VALUE);
    }

    /// Returns where the array starts among the events.
    pub(super) fn open_array(&mut self) -> usize {
        self.events.push(event::OPEN_ARRAY);
        self.events.len() - 1
    }

    pub(super) fn close_array(&mut self, elements: usize) {
        self.plain &= elements > 1;
        self.events.push(event::CLOSE_ARRAY);
    }

    pub(super) fn forget_array(&mut self, start: usize) {
        self.events.truncate(start);
    }

    fn object<A: MapAccess<'de>>(&mut self, node: u32, mut map: A) -> Result<(), A::Error> {
        self.events.push(event::OPEN_OBJECT);
        *self.objects += 1;
        let object = *self.objects;
        let mut expected = 0;
        let mut empty = true;
        while let Some(step) =
            map.next_key_seed(Key { reader: &mut *self, node, expected, object })?
        {
            empty = false;
            expected = step.next;
            self.plain &= !step.dotted;
            self.events.push(event::KEY + step.edge);
            map.next_value_seed(Member { reader: &mut *self, node: step.node, in_array: false })?;
        }
        self.plain &= !empty || node == 0;
        self.events.push(event::CLOSE_OBJECT);
        Ok(())
    }
}

/// Refuses a value of a field, from outside the walk.
pub(super) fn refuse<E: Error>(reader: &mut Reader<'_, '_>, id: FieldId, why: &str) -> E {
    let node = reader.tree.node_of(id);
    let failure = reader.not_of_type(node, id, why);
    reader.fail(failure)
}

/// The document itself: an object.
struct Document<'r, 'de, 'b> {
    reader: &'r mut Reader<'de, 'b>,
}

impl<'de> DeserializeSeed<'de> for Document<'_, 'de, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, 'de, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.reader.object(0, map)
    }
}

/// A key of the object at `node`.
struct Key<'r, 'de, 'b> {
    reader: &'r mut Reader<'de, 'b>,
    node: u32,
    expected: u32,
    object: u64,
}

impl<'de> DeserializeSeed<'de> for Key<'_, 'de, '_> {
    type Value = Step;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Step, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_, '_> {
    type Value = Step;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: Error>(self, key: &str) -> Result<Step, E> {
        let step = self.reader.tree.step(self.node, key, self.expected, self.object);
        step.map_err(|failure| self.reader.fail(failure))
    }
}

/// What stands behind a key or in an array.
struct Member<'r, 'de, 'b> {
    reader: &'r mut Reader<'de, 'b>,
    node: u32,
    in_array: bool,
}

impl<'de> Member<'_, 'de, '_> {
    fn scalar<E: Error>(self, scalar: Scalar<'_>, text: Option<&'de str>) -> Result<(), E> {
        let put = self.reader.scalar(self.node, scalar, text);
        put.map_err(|failure| self.reader.fail(failure))
    }

    fn geo_point(&self) -> Option<FieldId> {
        match self.reader.tree.kind(self.node) {
            NodeKind::Leaf(id) if self.reader.tree.rule(id).ty == FieldType::GeoPoint => Some(id),
            _ => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Member<'_, 'de, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value), None)
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Int(value), None)
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(i64::try_from(value).map_or(Scalar::Huge, Scalar::Int), None)
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(value), None)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(text), None)
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        self.scalar(Scalar::Text(text), Some(text))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if !self.reader.dynamic && self.reader.tree.kind(self.node) == NodeKind::Unknown {
            let failure = self.reader.strict(self.node);
            return Err(self.reader.fail(failure));
        }
        self.reader.put_null();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if let Some(id) = self.geo_point() {
            return geo::read_array(self.reader, id, seq);
        }
        self.reader.plain &= !self.in_array;
        self.reader.open_array();
        let mut elements = 0;
        while seq
            .next_element_seed(Member {
                reader: &mut *self.reader,
                node: self.node,
                in_array: true,
            })?
            .is_some()
        {
            elements += 1;
        }
        self.reader.close_array(elements);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if let Some(id) = self.geo_point() {
            return geo::read_object(self.reader, id, map);
        }
        match self.reader.tree.kind(self.node) {
            NodeKind::Leaf(id) => {
                let failure =
                    self.reader.not_of_type(self.node, id, "found an object, not a concrete value");
                return Err(self.reader.fail(failure));
            }
            NodeKind::Unknown if !self.reader.dynamic => {
                let failure = self.reader.strict(self.node);
                return Err(self.reader.fail(failure));
            }
            _ => {}
        }
        self.reader.plain &= !self.in_array;
        self.reader.object(self.node, map)
    }
}
