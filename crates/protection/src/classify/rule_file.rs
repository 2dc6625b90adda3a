//! Rules as they are written: YAML, read, compiled, and held to their own examples. The words of
//! the format are explained at the top of `rules/fields.yaml` and `rules/texts.yaml`.

use super::kind;
use super::names::Names;
use super::rule::{FieldRule, FieldWord, HintWords, Place, RuleSet, TextRule, Types, ValueCheck};
use super::text::{self, TextScanner};
use super::{Hints, checks};
use model::{Class, FieldType};
use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A file of rules, not yet compiled.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    #[serde(default)]
    pub(super) fields: Vec<FieldText>,
    #[serde(default)]
    pub(super) texts: Vec<TextText>,
    pub(super) words: Option<HintWords>,
}

/// A rule on fields as it is written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldText {
    pub(super) name: String,
    #[serde(default)]
    pub(super) kind: String,
    pub(super) class: String,
    pub(super) fields: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) check: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_text: bool,
    pub(super) takes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) leaves: Vec<String>,
}

/// A rule on text as it is written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextText {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) class: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) anchors: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unless_after: Vec<String>,
    #[serde(default, rename = "value")]
    place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) check: Option<String>,
    pub(super) takes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) leaves: Vec<String>,
}

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1_000;
/// How much memory a compiled pattern may take. The engine runs in linear time whatever the
/// pattern says, so that this bounds what is left: the time to compile it.
const PATTERN_SIZE_MAX: usize = 1 << 20;

impl FieldText {
    /// The rule, or why it makes no sense.
    pub(super) fn compile(&self) -> Result<FieldRule, String> {
        let class = class_called(&self.class)?;
        let kind = match (class, self.kind.as_str()) {
            (Class::Open, "") => "",
            (Class::Open, _) => return Err("what is open has no `kind`".to_owned()),
            (_, kind) => kind::intern(kind).map_err(|error| error.to_string())?,
        };
        let check = match (&self.check, &self.pattern) {
            (None, None) => None,
            (Some(check), None) => Some(ValueCheck::Named(value_check(check)?)),
            (None, Some(pattern)) => Some(ValueCheck::Pattern(compile(pattern, "")?)),
            (Some(_), Some(_)) => return Err("`check` and `pattern` exclude each other".to_owned()),
        };
        if self.fields.is_empty() {
            return Err("`fields` is empty; name at least one field".to_owned());
        }
        let fields = self.fields.iter().map(|name| field_word(name)).collect::<Result<_, _>>()?;
        let types = self.types.as_deref().map_or(Ok(Types::ANY), types_called)?;
        let name = self.name.clone();
        Ok(FieldRule { name, kind, class, fields, types, check, in_text: self.in_text })
    }

    /// Why the rule, alone, does not do what its examples say.
    pub(super) fn check_examples(
        &self,
        rule: &Arc<FieldRule>,
        noise: &[String],
    ) -> Result<(), String> {
        let names = Names::new(vec![Arc::clone(rule)], noise.to_vec());
        let is_taken = |example: &str| {
            let (field, value) = example.split_once('=')?;
            let (field, ty) = match field.rsplit_once(' ') {
                Some((field, word)) => (field, *types_named(word)?.first()?),
                None => (field, FieldType::Keyword),
            };
            Some(names.find(field, ty, |rule| rule.takes_value(value)).is_some())
        };
        hold_to(&self.takes, &self.leaves, is_taken, "write it as `FIELD TYPE=VALUE`")
    }
}

impl TextText {
    /// The rule, or why it makes no sense.
    pub(super) fn compile(&self) -> Result<TextRule, String> {
        let class = class_called(&self.class)?;
        if class == Class::Open {
            return Err("nothing is found to be open; raise `class`".to_owned());
        }
        let kind = kind::intern(&self.kind).map_err(|error| error.to_string())?;
        let needs_pattern = self.place != Place::WordBefore || self.anchors.is_empty();
        let at_anchor = if self.anchors.is_empty() { "" } else { r"\A" };
        let pattern = match &self.pattern {
            None if needs_pattern => return Err("`pattern` is missing".to_owned()),
            None => None,
            Some(pattern) => Some(compile(pattern, at_anchor)?),
        };
        if self.anchors.is_empty() && pattern.as_ref().is_some_and(|any| any.is_match(b"")) {
            return Err(
                "`pattern` matches the empty text; ask for at least one character".to_owned()
            );
        }
        Ok(TextRule {
            kind,
            class,
            anchors: self.anchors.clone(),
            after: self.after.clone(),
            unless_after: self.unless_after.clone(),
            place: self.place,
            pattern,
            check: self.check.as_deref().map_or(Ok(anything as fn(&[u8]) -> bool), text_check)?,
        })
    }

    /// Why the rule, alone, does not do what its examples say.
    pub(super) fn check_examples(&self, rule: &Arc<TextRule>) -> Result<(), String> {
        let scanner =
            TextScanner::new(&RuleSet { fields: Vec::new(), texts: vec![Arc::clone(rule)] });
        let mut found = Vec::new();
        let is_taken = |example: &str| {
            let (plain, marks) = unmark(example);
            scanner.find_plain(&plain, Hints::TEXT, &mut found);
            found.retain(|one| one.kind == rule.kind && one.class == rule.class);
            text::settle(&mut found);
            let spans: Vec<_> = found.iter().map(|one| (one.start, one.end)).collect();
            Some(if marks.is_empty() { !spans.is_empty() } else { spans == marks })
        };
        hold_to(&self.takes, &self.leaves, is_taken, "mark the value as ‹value›")
    }
}

/// The text without marks, and where they stood.
pub(super) fn unmark(example: &str) -> (String, Vec<(usize, usize)>) {
    let mut plain = String::with_capacity(example.len());
    let mut marks = Vec::new();
    for part in example.split('‹') {
        match part.split_once('›') {
            Some((value, rest)) => {
                marks.push((plain.len(), plain.len() + value.len()));
                plain.push_str(value);
                plain.push_str(rest);
            }
            None => plain.push_str(part),
        }
    }
    (plain, marks)
}

/// Examples are told by their number: somebody may have taken them from life.
fn hold_to(
    takes: &[String],
    leaves: &[String],
    mut is_taken: impl FnMut(&str) -> Option<bool>,
    form: &str,
) -> Result<(), String> {
    if takes.is_empty() {
        return Err("`takes` has no example".to_owned());
    }
    for (list, wanted, examples) in [("takes", true, takes), ("leaves", false, leaves)] {
        for (number, example) in examples.iter().enumerate() {
            let place = number + 1;
            match is_taken(example) {
                None => return Err(format!("example {place} of `{list}` cannot be read; {form}")),
                Some(taken) if taken != wanted => {
                    let does = if taken { "takes it" } else { "does not take it" };
                    return Err(format!("example {place} of `{list}`: the rule {does}"));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

fn class_called(word: &str) -> Result<Class, String> {
    word.parse().map_err(|_| "`class` is one of open, personal, special, secret".to_owned())
}

fn types_called(words: &[String]) -> Result<Types, String> {
    let mut types = Types::NONE;
    for word in words {
        let known = types_named(word).ok_or(
            "`types` is made of string, keyword, text, long, double, boolean, date, ip, geo_point",
        )?;
        types = known.iter().fold(types, |types, &ty| types.with(ty));
    }
    Ok(types)
}

fn types_named(word: &str) -> Option<&'static [FieldType]> {
    Some(match word {
        "string" => &[FieldType::Keyword, FieldType::Text],
        "keyword" => &[FieldType::Keyword],
        "text" => &[FieldType::Text],
        "long" => &[FieldType::Long],
        "double" => &[FieldType::Double],
        "boolean" => &[FieldType::Boolean],
        "date" => &[FieldType::Date],
        "ip" => &[FieldType::Ip],
        "geo_point" => &[FieldType::GeoPoint],
        _ => return None,
    })
}

fn field_word(name: &str) -> Result<FieldWord, String> {
    let bare = name.strip_prefix('=');
    let joined: String = bare
        .unwrap_or(name)
        .chars()
        .filter(|c| c.is_alphanumeric() || !c.is_ascii())
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if joined.is_empty() {
        return Err("a name in `fields` has no letter".to_owned());
    }
    Ok(FieldWord { joined, whole: bare.is_some() })
}

fn value_check(name: &str) -> Result<fn(&str) -> bool, String> {
    Ok(match name {
        "age" => checks::looks_like_age,
        "card" => checks::is_card_text,
        "identifier" => checks::looks_like_identifier,
        "no_folder" => checks::is_no_folder,
        "person" => checks::looks_like_person,
        "phone" => checks::looks_like_phone,
        "position" => checks::looks_like_position,
        "random" => checks::looks_random,
        _ => {
            return Err("`check` of a field is one of age, card, identifier, no_folder, person, \
                        phone, position, random"
                .to_owned());
        }
    })
}

fn text_check(name: &str) -> Result<fn(&[u8]) -> bool, String> {
    Ok(match name {
        "basic_header" => checks::is_basic_header,
        "header_token" => checks::is_header_token,
        "user" => checks::is_user,
        _ => return Err("`check` of a text is one of basic_header, header_token, user".to_owned()),
    })
}

fn compile(pattern: &str, start: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("`pattern` is longer than {PATTERN_BYTES_MAX} bytes"));
    }
    RegexBuilder::new(&format!("{start}(?-u:{pattern})"))
        .size_limit(PATTERN_SIZE_MAX)
        .dfa_size_limit(PATTERN_SIZE_MAX)
        .nest_limit(50)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                "`pattern` grows too large; repeat less in it".to_owned()
            }
            _ => "`pattern` is not a regular expression as the crate `regex` reads it".to_owned(),
        })
}

fn anything(_: &[u8]) -> bool {
    true
}
