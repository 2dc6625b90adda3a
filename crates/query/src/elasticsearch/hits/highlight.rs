//! `highlight`: the words of the question marked in the texts of a hit.

use super::super::bind::Binder;
use super::super::fields::Kind;
use super::super::{EsError, json};
use model::Value as Stored;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};
use storage::{Filter, analyze};

/// `highlight`, as it was typed.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Highlight {
    /// Patterns of fields, with the most fragments of each.
    pub(in super::super) fields: Vec<(String, Option<usize>)>,
    before: String,
    after: String,
    fragments: usize,
    fragment_chars: usize,
    /// Only words that were asked of this very field.
    same_field: bool,
}

/// The words to mark, by field.
pub(super) struct Highlighter {
    pub(super) fields: BTreeMap<String, Marks>,
    before: String,
    after: String,
    fragment_chars: usize,
}

/// What is marked in a field.
#[derive(Default)]
pub(super) struct Marks {
    words: HashSet<String>,
    beginnings: Vec<String>,
    fragments: usize,
}

impl Highlight {
    pub(super) fn parse(value: &Value) -> Result<Highlight, EsError> {
        let mut highlight = Highlight {
            fields: Vec::new(),
            before: "<em>".to_owned(),
            after: "</em>".to_owned(),
            fragments: 5,
            fragment_chars: 100,
            same_field: true,
        };
        for (key, value) in json::object(value, "highlight")? {
            match key.as_str() {
                "fields" => highlight.fields = fields(value)?,
                "pre_tags" => highlight.before = first(value, key)?,
                "post_tags" => highlight.after = first(value, key)?,
                "number_of_fragments" => highlight.fragments = size(value, key)?,
                "fragment_size" => highlight.fragment_chars = size(value, key)?,
                "require_field_match" => highlight.same_field = json::boolean(value, key)?,
                "type"
                | "encoder"
                | "order"
                | "tags_schema"
                | "boundary_scanner"
                | "boundary_chars"
                | "boundary_max_scan"
                | "boundary_scanner_locale"
                | "no_match_size"
                | "phrase_limit"
                | "fragmenter"
                | "max_analyzed_offset"
                | "highlight_query" => {}
                other => {
                    return Err(EsError::parsing(format!("[highlight] unknown field [{other}]")));
                }
            }
        }
        Ok(highlight)
    }
}

fn first(value: &Value, key: &str) -> Result<String, EsError> {
    Ok(json::texts(value, key)?.into_iter().next().unwrap_or_default())
}

fn size(value: &Value, key: &str) -> Result<usize, EsError> {
    usize::try_from(json::integer(value, key)?)
        .map_err(|_| EsError::illegal(format!("[{key}] cannot be negative")))
}

fn fields(value: &Value) -> Result<Vec<(String, Option<usize>)>, EsError> {
    let one = |(name, options): (&String, &Value)| -> Result<(String, Option<usize>), EsError> {
        let fragments = options.get("number_of_fragments");
        let fragments = fragments.map(|value| size(value, "number_of_fragments")).transpose()?;
        Ok((name.clone(), fragments))
    };
    match value {
        Value::Array(list) => {
            let mut fields = Vec::new();
            for item in list {
                for entry in json::object(item, "fields")? {
                    fields.push(one(entry)?);
                }
            }
            Ok(fields)
        }
        other => json::object(other, "fields")?.iter().map(one).collect(),
    }
}

impl Highlighter {
    /// Finds the words of `filter` for the text fields that are asked for.
    pub(super) fn plan(binder: &Binder<'_>, asked: &Highlight, filter: &Filter) -> Highlighter {
        let mut words: BTreeMap<String, Marks> = BTreeMap::new();
        collect(filter, &mut words);
        let mut fields: BTreeMap<String, Marks> = BTreeMap::new();
        for (pattern, fragments) in &asked.fields {
            let names = if pattern.contains('*') {
                binder.fields.expand(pattern)
            } else {
                vec![pattern.clone()]
            };
            for name in names {
                let Ok(Some(found)) = binder.fields.resolve(&name) else { continue };
                if found.kind != Kind::Text {
                    continue;
                }
                let mut marks =
                    Marks { fragments: fragments.unwrap_or(asked.fragments), ..Marks::default() };
                for (field, found) in &words {
                    if !asked.same_field || *field == name {
                        marks.words.extend(found.words.iter().cloned());
                        marks.beginnings.extend(found.beginnings.iter().cloned());
                    }
                }
                if !marks.words.is_empty() || !marks.beginnings.is_empty() {
                    fields.insert(name, marks);
                }
            }
        }
        Highlighter {
            fields,
            before: asked.before.clone(),
            after: asked.after.clone(),
            fragment_chars: asked.fragment_chars.max(18),
        }
    }

    /// `highlight` of a hit, from the texts of its fields.
    pub(super) fn mark(&self, texts: &Value) -> Map<String, Value> {
        let mut out = Map::new();
        for (name, marks) in &self.fields {
            let Some(Value::Array(values)) = texts.get(name) else { continue };
            let mut fragments = Vec::new();
            for text in values.iter().filter_map(Value::as_str) {
                fragments.extend(self.fragments(text, marks));
            }
            if marks.fragments > 0 {
                fragments.truncate(marks.fragments);
            }
            if !fragments.is_empty() {
                out.insert(name.clone(), json!(fragments));
            }
        }
        out
    }

    /// The pieces of a text that have marked words; the whole text if no number is given.
    fn fragments(&self, text: &str, marks: &Marks) -> Vec<String> {
        let found: Vec<(usize, usize)> =
            words(text).into_iter().filter(|&(from, to)| marks.hold(&text[from..to])).collect();
        if found.is_empty() {
            return Vec::new();
        }
        let pieces = if marks.fragments == 0 {
            vec![(0, text.len())]
        } else {
            pieces(text, self.fragment_chars)
        };
        let mut out = Vec::new();
        for (start, end) in pieces {
            let inside: Vec<&(usize, usize)> =
                found.iter().filter(|(from, to)| *from >= start && *to <= end).collect();
            if inside.is_empty() {
                continue;
            }
            let (mut piece, mut at) = (String::new(), start);
            for &&(from, to) in &inside {
                piece.push_str(&text[at..from]);
                piece.push_str(&self.before);
                piece.push_str(&text[from..to]);
                piece.push_str(&self.after);
                at = to;
            }
            piece.push_str(&text[at..end]);
            out.push(piece.trim().to_owned());
        }
        out
    }
}

impl Marks {
    fn hold(&self, word: &str) -> bool {
        analyze(word).iter().any(|(_, term)| {
            self.words.contains(term)
                || self.beginnings.iter().any(|beginning| term.starts_with(beginning.as_str()))
        })
    }
}

/// Runs of characters that a term can be made of.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut start = None;
    for (place, c) in text.char_indices() {
        let inside = c.is_alphanumeric() || matches!(c, '_' | '.' | '\'' | ':');
        match (inside, start) {
            (true, None) => start = Some(place),
            (false, Some(from)) => {
                words.push((from, place));
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|from| (from, text.len())));
    for (from, to) in &mut words {
        let trimmed = text[*from..*to].trim_end_matches(['.', '\'', ':']);
        *to = *from + trimmed.len();
    }
    words
}

/// Cuts a text between words into pieces of about `chars` characters.
fn pieces(text: &str, chars: usize) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let (mut start, mut count) = (0, 0);
    for (place, c) in text.char_indices() {
        count += 1;
        if count > chars && c.is_whitespace() {
            pieces.push((start, place));
            (start, count) = (place, 0);
        }
    }
    pieces.push((start, text.len()));
    pieces
}

/// The words that a filter looks for, by field.
fn collect(filter: &Filter, words: &mut BTreeMap<String, Marks>) {
    match filter {
        Filter::Term(field, Stored::Str(term)) => {
            words.entry(field.clone()).or_default().words.insert(term.clone());
        }
        Filter::Words { field, terms, .. } => {
            words.entry(field.clone()).or_default().words.extend(terms.iter().cloned());
        }
        Filter::Phrase { field, terms, last_is_prefix, .. } => {
            let marks = words.entry(field.clone()).or_default();
            let mut terms: Vec<String> = terms.iter().map(|(_, term)| term.clone()).collect();
            if *last_is_prefix {
                marks.beginnings.extend(terms.pop());
            }
            marks.words.extend(terms);
        }
        Filter::Prefix { field, prefix, .. } => {
            words.entry(field.clone()).or_default().beginnings.push(prefix.clone());
        }
        Filter::And(of) | Filter::Or { of, .. } | Filter::Best { of, .. } => {
            of.iter().for_each(|part| collect(part, words));
        }
        Filter::Boost(inner, _) | Filter::Score(inner, _) => collect(inner, words),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_marked_where_they_stand() {
        let marks = Marks {
            words: HashSet::from(["failed".to_owned(), "wifi".to_owned()]),
            beginnings: vec!["conn".to_owned()],
            fragments: 2,
        };
        let highlighter = Highlighter {
            fields: BTreeMap::from([("message".to_owned(), marks)]),
            before: "<b>".to_owned(),
            after: "</b>".to_owned(),
            fragment_chars: 20,
        };
        let texts =
            json!({"message": ["WiFi: connection failed. Nothing else was wrong, failed."]});
        assert_eq!(
            Value::Object(highlighter.mark(&texts)),
            json!({"message": [
                "<b>WiFi</b>: <b>connection</b> <b>failed</b>.",
                "<b>failed</b>."
            ]})
        );
    }
}
