//! `match` and its relatives, `multi_match`, `query_string`, `simple_query_string`.

use super::super::query_string::{self, Dialect};
use super::super::zone::Zone;
use super::super::{EsError, json};
use super::{
    Across, AtLeast, Literal, Match, MultiMatch, Node, Parser, Query, Style, TextQuery, Weighted,
    Words, literal, single_field, unknown_option,
};
use serde_json::Value;

/// The longest text of a query, in bytes: what is longer is no question.
const TEXT_BYTES_MAX: usize = 64 * 1024;

pub(super) fn match_one(name: &str, body: &Value) -> Result<Query, EsError> {
    let (field, options) = single_field(name, body)?;
    let (mut text, mut slop, mut boost) = (None, 0, 1.0);
    let mut words = Words::default();
    match options {
        Value::Object(map) => {
            for (key, value) in map {
                match key.as_str() {
                    "query" => text = Some(literal(value, name)?),
                    "slop" if name.starts_with("match_phrase") => slop = read_slop(value)?,
                    "boost" => boost = json::boost(value)?,
                    _ if name == "match_phrase" && key == "zero_terms_query" => {
                        words.empty_is_all = read_empty(value)?;
                    }
                    _ if name.starts_with("match_phrase") && !is_common(key) => {
                        return Err(unknown_option(name, key));
                    }
                    _ => word_option(name, key, value, &mut words)?,
                }
            }
        }
        Value::Array(_) => {
            return Err(EsError::parsing(format!(
                "[{name}] unknown token [START_ARRAY] after [{field}]"
            )));
        }
        value => text = Some(literal(value, name)?),
    }
    let text = text.ok_or_else(|| EsError::parsing("No text specified for text query"))?;
    let style = match name {
        "match_phrase" => Style::Phrase { slop },
        "match_phrase_prefix" => Style::PhrasePrefix { slop },
        "match_bool_prefix" => Style::BoolPrefix,
        _ => Style::Anywhere,
    };
    let text = bearable(text)?;
    let found = Match { field: field.to_owned(), text, style, words };
    Ok(Query { node: Node::Match(Box::new(found)), boost })
}

fn is_common(key: &str) -> bool {
    matches!(key, "analyzer" | "_name" | "max_expansions" | "zero_terms_query")
}

/// The options that all full-text queries share.
fn word_option(query: &str, key: &str, value: &Value, words: &mut Words) -> Result<(), EsError> {
    match key {
        "operator" | "default_operator" => words.all = read_operator(value)?,
        "minimum_should_match" => words.at_least = AtLeast::from_json(value)?,
        "lenient" => words.lenient = json::boolean(value, key)?,
        "zero_terms_query" => words.empty_is_all = read_empty(value)?,
        "fuzziness" => refuse_fuzziness(value)?,
        "analyzer" => read_analyzer(value)?,
        "prefix_length"
        | "max_expansions"
        | "fuzzy_transpositions"
        | "fuzzy_rewrite"
        | "auto_generate_synonyms_phrase_query"
        | "cutoff_frequency"
        | "_name" => {}
        other => return Err(unknown_option(query, other)),
    }
    Ok(())
}

fn read_operator(value: &Value) -> Result<bool, EsError> {
    let text = json::text(value, "operator")?;
    match text.to_ascii_lowercase().as_str() {
        "and" => Ok(true),
        "or" => Ok(false),
        _ => Err(EsError::illegal(format!(
            "operator needs to be either AND or OR, but not [{text}]"
        ))),
    }
}

fn read_empty(value: &Value) -> Result<bool, EsError> {
    let text = json::text(value, "zero_terms_query")?;
    match text.to_ascii_lowercase().as_str() {
        "all" => Ok(true),
        "none" => Ok(false),
        _ => Err(EsError::parsing(format!("Unsupported zero_terms_query value [{text}]"))),
    }
}

fn read_slop(value: &Value) -> Result<u32, EsError> {
    let slop = json::integer(value, "slop")?;
    u32::try_from(slop)
        .ok()
        .filter(|&slop| slop <= i32::MAX as u32)
        .ok_or_else(|| EsError::illegal("No negative slop allowed."))
}

fn refuse_fuzziness(value: &Value) -> Result<(), EsError> {
    match json::text(value, "fuzziness")?.as_str() {
        "0" | "0.0" => Ok(()),
        other => Err(EsError::illegal(format!(
            "[fuzziness] of [{other}] is not supported by Clerestory; leave it out or set it to [0]"
        ))),
    }
}

/// There is one analyser; the names of Elasticsearch's that cut the same way are taken.
fn read_analyzer(value: &Value) -> Result<(), EsError> {
    match json::text(value, "analyzer")?.as_str() {
        "standard" | "default" | "simple" => Ok(()),
        other => Err(EsError::illegal(format!(
            "[analyzer] [{other}] not found; texts are cut by the analyzer [standard]"
        ))),
    }
}

fn bearable(text: Literal) -> Result<Literal, EsError> {
    match &text {
        Literal::Text(long) if long.len() > TEXT_BYTES_MAX => Err(EsError::illegal(format!(
            "the text of a query may have at most {TEXT_BYTES_MAX} bytes but has {}",
            long.len()
        ))),
        _ => Ok(text),
    }
}

/// `["title^2", "body", "user.*"]`
fn read_fields(value: &Value) -> Result<Vec<Weighted>, EsError> {
    json::texts(value, "fields")?.iter().map(|text| weighted(text)).collect()
}

/// `title^2`
pub(in super::super) fn weighted(text: &str) -> Result<Weighted, EsError> {
    let Some((field, boost)) = text.rsplit_once('^') else {
        return Ok(Weighted { field: text.to_owned(), boost: 1.0 });
    };
    let boost = json::boost(&Value::from(boost))?;
    Ok(Weighted { field: field.to_owned(), boost })
}

pub(super) fn multi_match(body: &Value) -> Result<Query, EsError> {
    let name = "multi_match";
    let (mut text, mut fields, mut kind) = (None, Vec::new(), "best_fields".to_owned());
    let (mut slop, mut boost, mut tie_breaker) = (0, 1.0, None);
    let mut words = Words::default();
    for (key, value) in json::object(body, name)? {
        match key.as_str() {
            "query" => text = Some(bearable(literal(value, name)?)?),
            "fields" => fields = read_fields(value)?,
            "type" => kind = json::text(value, key)?,
            "slop" => slop = read_slop(value)?,
            "boost" => boost = json::boost(value)?,
            "tie_breaker" => tie_breaker = Some(json::boost(value)?),
            _ => word_option(name, key, value, &mut words)?,
        }
    }
    let text = text.ok_or_else(|| EsError::parsing("No text specified for multi_match query"))?;
    let (style, across, usual) = combination(&kind, slop)?;
    if fields.is_empty() {
        words.lenient = true;
    }
    let tie_breaker = tie_breaker.unwrap_or(usual);
    let all = MultiMatch { fields, text, style, across, tie_breaker, words };
    Ok(Query { node: Node::MultiMatch(Box::new(all)), boost })
}

/// What a `type` means, and its tie breaker.
fn combination(kind: &str, slop: u32) -> Result<(Style, Across, f32), EsError> {
    Ok(match kind {
        "best_fields" => (Style::Anywhere, Across::Best, 0.0),
        "most_fields" => (Style::Anywhere, Across::Most, 1.0),
        "cross_fields" => (Style::Anywhere, Across::Cross, 0.0),
        "phrase" => (Style::Phrase { slop }, Across::Best, 0.0),
        "phrase_prefix" => (Style::PhrasePrefix { slop }, Across::Best, 0.0),
        "bool_prefix" => (Style::BoolPrefix, Across::Most, 1.0),
        other => {
            return Err(EsError::parsing(format!(
                "failed to parse [multi_match] query type [{other}]. unknown type."
            )));
        }
    })
}

pub(super) fn query_string(parser: &mut Parser, body: &Value) -> Result<Query, EsError> {
    let name = "query_string";
    let (mut text, mut boost) = (None, 1.0);
    let mut found = empty_text_query();
    let mut lenient = None;
    let mut wildcard_first = true;
    for (key, value) in json::object(body, name)? {
        match key.as_str() {
            "query" => text = Some(json::text(value, key)?),
            "default_field" => found.fields = vec![weighted(&json::text(value, key)?)?],
            "fields" => found.fields = read_fields(value)?,
            "lenient" => lenient = Some(json::boolean(value, key)?),
            "phrase_slop" => found.slop = read_slop(value)?,
            "time_zone" => found.zone = Some(Zone::parse(&json::text(value, key)?)?),
            "allow_leading_wildcard" => wildcard_first = json::boolean(value, key)?,
            "type" => {
                let (_, across, usual) = combination(&json::text(value, key)?, 0)?;
                (found.across, found.tie_breaker) = (across, usual);
            }
            "tie_breaker" => found.tie_breaker = json::boost(value)?,
            "boost" => boost = json::boost(value)?,
            "analyze_wildcard"
            | "quote_analyzer"
            | "quote_field_suffix"
            | "escape"
            | "enable_position_increments"
            | "fuzzy_max_expansions"
            | "fuzzy_prefix_length"
            | "max_determinized_states"
            | "rewrite" => {}
            _ => word_option(name, key, value, &mut found.words)?,
        }
    }
    let text =
        text.ok_or_else(|| EsError::parsing("[query_string] must be provided with a [query]"))?;
    let Literal::Text(text) = bearable(Literal::Text(text))? else {
        unreachable!("a text stays one")
    };
    found.words.lenient = lenient.unwrap_or_else(|| asks_everything(&found.fields));
    let dialect = if wildcard_first { Dialect::Full } else { Dialect::NoLeadingWildcard };
    found.tree = query_string::parse(&text, dialect, found.words.all)?;
    parser.count(found.tree.leaves())?;
    Ok(Query { node: Node::Text(Box::new(found)), boost })
}

pub(super) fn simple_query_string(parser: &mut Parser, body: &Value) -> Result<Query, EsError> {
    let name = "simple_query_string";
    let (mut text, mut boost, mut lenient) = (None, 1.0, None);
    let mut found = empty_text_query();
    for (key, value) in json::object(body, name)? {
        match key.as_str() {
            "query" => text = Some(json::text(value, key)?),
            "fields" => found.fields = read_fields(value)?,
            "lenient" => lenient = Some(json::boolean(value, key)?),
            "boost" => boost = json::boost(value)?,
            "flags"
            | "analyze_wildcard"
            | "quote_field_suffix"
            | "fuzzy_prefix_length"
            | "fuzzy_max_expansions" => {}
            _ => word_option(name, key, value, &mut found.words)?,
        }
    }
    let text = text.ok_or_else(|| EsError::parsing("[simple_query_string] query text missing"))?;
    let Literal::Text(text) = bearable(Literal::Text(text))? else {
        unreachable!("a text stays one")
    };
    found.words.lenient = lenient.unwrap_or_else(|| asks_everything(&found.fields));
    found.across = Across::Most;
    found.tree = query_string::parse_simple(&text, found.words.all)?;
    parser.count(found.tree.leaves())?;
    Ok(Query { node: Node::Text(Box::new(found)), boost })
}

fn asks_everything(fields: &[Weighted]) -> bool {
    fields.is_empty() || fields.iter().any(|weighted| weighted.field == "*")
}

fn empty_text_query() -> TextQuery {
    TextQuery {
        fields: Vec::new(),
        tree: query_string::Tree::Nothing,
        across: Across::Best,
        tie_breaker: 0.0,
        slop: 0,
        zone: None,
        words: Words::default(),
    }
}
