//! What a guardian is shown of a field before ruling on it: what the classifier thinks, and what
//! its values look like, without a value.

use super::{SealError, Sealer, text_of};
use crate::classify::{FieldFacts, Verdict};
use model::{Class, Column, FieldType, Table, Values};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// So many shapes of a field are shown.
const SHAPES_MAX: usize = 5;
/// A shape is cut after so many characters.
const SHAPE_CHARS_MAX: usize = 32;

/// What a ruling could be, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The class that the classifier would give.
    pub class: Class,
    /// The kind of value; empty if open.
    pub kind: String,
    /// Why. Never a value.
    pub reason: String,
    /// Whether a rule or most values said so; false: open because nothing spoke against it.
    pub by_rule: bool,
    /// What the sampled values look like, the most frequent first.
    pub shapes: Vec<Shape>,
    /// How many values were looked at.
    pub sampled: u64,
}

/// What some values look like: `a` for a small letter, `A` for a capital, `9` for a digit, and
/// what stands between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Such as `aaa@aaaaaa.aa`.
    pub shape: String,
    /// How many of the sampled values have it.
    pub values: u64,
}

impl Sealer {
    /// What to rule on a field, from a sample of its stored values: `stored`, read under the
    /// table as it is.
    ///
    /// # Errors
    /// If a sealed value does not open, or the column is of another table.
    pub fn propose(&self, table: &Table, stored: &Column) -> Result<Proposal, SealError> {
        let field = table.schema.fields().get(stored.field.0 as usize).ok_or(SealError::Misfit)?;
        let opened;
        let values = match &stored.values {
            Values::Bytes(_) => {
                let raw = self.open(table, stored.field, field, &stored.values)?;
                opened = as_values(field.ty, &raw);
                &opened
            }
            values => values,
        };
        let facts = FieldFacts { name: field.name.as_str(), ty: field.ty, values };
        let Verdict { class, kind, reason, by_rule } = self.classifier.rule_on_field(&facts);
        let mut shapes: BTreeMap<String, u64> = BTreeMap::new();
        if field.ty != FieldType::Boolean {
            for place in 0..values.len() {
                if let Some(text) = text_of(values, place, field.ty) {
                    *shapes.entry(shape_of(&text)).or_default() += 1;
                }
            }
        }
        let mut shapes: Vec<Shape> =
            shapes.into_iter().map(|(shape, values)| Shape { shape, values }).collect();
        shapes.sort_by_key(|shape| std::cmp::Reverse(shape.values));
        shapes.truncate(SHAPES_MAX);
        let sampled = values.len() as u64;
        Ok(Proposal { class, kind: kind.to_owned(), reason, by_rule, shapes, sampled })
    }
}

fn as_values(ty: FieldType, raw: &[Json]) -> Values {
    match ty {
        FieldType::Long | FieldType::Date => {
            Values::Longs(raw.iter().filter_map(Json::as_i64).collect())
        }
        FieldType::Double => Values::Doubles(raw.iter().filter_map(Json::as_f64).collect()),
        FieldType::Boolean => Values::Bools(raw.iter().filter_map(Json::as_bool).collect()),
        _ => {
            let mut builder = super::StringsBuilder::default();
            for text in raw.iter().filter_map(Json::as_str) {
                let id = builder.distinct(text);
                builder.strings.ids.push(id);
            }
            Values::Strings(builder.strings)
        }
    }
}

/// Every letter and digit gives way to one that stands for all of its kind.
fn shape_of(text: &str) -> String {
    let mut shape: String = text.chars().take(SHAPE_CHARS_MAX).map(stand_in).collect();
    let cut = text.chars().count().saturating_sub(SHAPE_CHARS_MAX);
    if cut > 0 {
        shape.push_str(&format!("…+{cut}"));
    }
    shape
}

fn stand_in(character: char) -> char {
    match character {
        c if c.is_numeric() => '9',
        c if c.is_uppercase() => 'A',
        c if c.is_alphabetic() => 'a',
        c if c.is_whitespace() => ' ',
        c if c.is_ascii_punctuation() => c,
        _ => '·',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_shows_no_letter_and_no_digit_of_the_value() {
        for (text, shape) in [
            ("ada@example.org", "aaa@aaaaaaa.aaa"),
            ("+49 30 1234-5", "+99 99 9999-9"),
            ("Grüße, 日本 ٣ 🦀", "Aaaaa, aa 9 ·"),
            ("a\tb\u{7}", "a a·"),
            ("", ""),
        ] {
            assert_eq!(shape_of(text), shape);
        }
        assert_eq!(shape_of(&"x".repeat(40)), format!("{}…+8", "a".repeat(32)));
    }
}
