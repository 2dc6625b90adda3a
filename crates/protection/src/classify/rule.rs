//! What a rule is, once it was read and checked.

use model::{Class, FieldType};
use regex::bytes::Regex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// All rules that are asked together.
#[derive(Clone, Default)]
pub(super) struct RuleSet {
    pub(super) fields: Vec<Arc<FieldRule>>,
    pub(super) texts: Vec<Arc<TextRule>>,
}

/// One rule on fields.
pub(super) struct FieldRule {
    /// What people read in a ruling.
    pub(super) name: String,
    /// The kind of value, prefix of pseudonyms and tags; empty if open.
    pub(super) kind: &'static str,
    pub(super) class: Class,
    pub(super) fields: Vec<FieldWord>,
    pub(super) types: Types,
    /// What most values must look like; `None`: the name says enough.
    pub(super) check: Option<ValueCheck>,
    /// Whether `name=value` and `"name": "value"` inside free text count as well.
    pub(super) in_text: bool,
}

impl FieldRule {
    /// Whether a value looks as the rule expects.
    pub(super) fn takes_value(&self, value: &str) -> bool {
        match &self.check {
            None => true,
            Some(ValueCheck::Named(looks_right)) => looks_right(value),
            Some(ValueCheck::Pattern(pattern)) => pattern.is_match(value.as_bytes()),
        }
    }
}

/// A name of fields, in lower case without what parts its words.
pub(super) struct FieldWord {
    pub(super) joined: String,
    /// Must be the whole last part of the path.
    pub(super) whole: bool,
}

/// A question about one value.
pub(super) enum ValueCheck {
    Named(fn(&str) -> bool),
    Pattern(Regex),
}

/// A set of field types.
#[derive(Clone, Copy)]
pub(super) struct Types(u16);

impl Types {
    pub(super) const NONE: Types = Types(0);
    pub(super) const ANY: Types = Types(u16::MAX);

    pub(super) fn with(self, ty: FieldType) -> Types {
        Types(self.0 | 1 << ty as u16)
    }

    pub(super) fn has(self, ty: FieldType) -> bool {
        self.0 & (1 << ty as u16) != 0
    }
}

/// One rule on text.
pub(super) struct TextRule {
    pub(super) kind: &'static str,
    pub(super) class: Class,
    /// What stands at the place; empty: the pattern is looked for everywhere.
    pub(super) anchors: Vec<String>,
    /// What must stand before the anchor; empty: anything but a letter or digit.
    pub(super) after: Vec<String>,
    /// What must not stand before the anchor.
    pub(super) unless_after: Vec<String>,
    pub(super) place: Place,
    /// Must match at the place; each group that takes part is a value, without groups the whole.
    pub(super) pattern: Option<Regex>,
    /// The last word on each value.
    pub(super) check: fn(&[u8]) -> bool,
}

/// Where the pattern of a rule is asked.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// From the start of the anchor on.
    #[default]
    Anchor,
    /// From its end on.
    Behind,
    /// Nowhere: the value is the word that ends where the anchor starts.
    WordBefore,
}

/// Words in the names of fields that say how to read their values; see `rules/fields.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HintWords {
    pub(super) noise: Vec<String>,
    pub(super) version: Vec<String>,
    pub(super) web: Vec<String>,
    pub(super) card: Vec<String>,
    pub(super) secret: Vec<String>,
}
