//! What a tile is of, and the key that says so.
//!
//! A key is text, so that a person who looks into a file sees what it is:
//!
//! ```text
//! 1 sum("latency_ms") where "kind"="connect" by ["day","@timestamp","model"]
//! ```
//!
//! Version of the tile's bytes, measure, condition, and as JSON the grain, the time field and the
//! dimensions. Equal conditions have equal texts, whatever the order of their parts.

use super::Grain;
use crate::Measure;
use model::Value;
use std::ops::Bound;
use storage::{Filter, Pattern};

/// The version of the bytes of a tile.
const VERSION: u32 = 1;
/// Of so many dimensions or more, each is kept by itself, too.
const SEVERAL: usize = 2;

/// A measure that tiles are kept of.
#[derive(Clone, Debug, PartialEq)]
pub struct TileDefinition {
    /// The date field.
    pub time: String,
    /// What is computed.
    pub measure: Measure,
    /// Of which rows; literals as they are stored.
    pub filter: Filter,
    /// What it may be cut and filtered by.
    pub dimensions: Vec<String>,
}

/// The intervals and dimensions of one tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) grain: Grain,
    pub(super) time: String,
    pub(super) dimensions: Vec<String>,
}

impl TileDefinition {
    /// Measure, condition and time: of the tiles of one family some can be made of others.
    pub(super) fn family(&self) -> (Option<String>, String) {
        (prefix(&self.measure, &[&self.filter]), self.time.clone())
    }

    /// What is kept of it, finer ones before coarser ones; nothing if the measure has no tiles.
    pub(super) fn cuts(&self) -> Vec<(String, Cut)> {
        let Some(prefix) = prefix(&self.measure, &[&self.filter]) else { return Vec::new() };
        let mut dimensions = self.dimensions.clone();
        dimensions.sort();
        dimensions.dedup();
        let mut kept = vec![dimensions.clone()];
        if dimensions.len() >= SEVERAL {
            kept.extend(dimensions.iter().map(|one| vec![one.clone()]));
        }
        if !dimensions.is_empty() {
            kept.push(Vec::new());
        }
        let cut = |(grain, dimensions): (Grain, &Vec<String>)| {
            let cut = Cut { grain, time: self.time.clone(), dimensions: dimensions.clone() };
            (format!("{prefix}{}", cut.text()), cut)
        };
        kept.iter().flat_map(|kept| [(Grain::Hour, kept), (Grain::Day, kept)]).map(cut).collect()
    }
}

impl Cut {
    fn text(&self) -> String {
        let mut parts = vec![self.grain.as_str(), self.time.as_str()];
        parts.extend(self.dimensions.iter().map(String::as_str));
        serde_json::Value::from(parts).to_string()
    }

    /// Reads what follows the prefix of a key.
    pub(super) fn parse(text: &str) -> Option<Cut> {
        let mut parts = serde_json::from_str::<Vec<String>>(text).ok()?.into_iter();
        let grain = match parts.next()?.as_str() {
            "hour" => Grain::Hour,
            "day" => Grain::Day,
            _ => return None,
        };
        Some(Cut { grain, time: parts.next()?, dimensions: parts.collect() })
    }
}

/// What the keys of all tiles begin with that are of this measure over the rows that pass all of
/// `conditions`; `None` if there are none of this measure.
pub(super) fn prefix(measure: &Measure, conditions: &[&Filter]) -> Option<String> {
    let measure = match measure {
        Measure::Rows => "rows".to_owned(),
        Measure::Values(name) => format!("values({})", quoted(name)),
        // A mean is a sum and a number of values, which a sum has, too.
        Measure::Sum(name) | Measure::Mean(name) => format!("sum({})", quoted(name)),
        Measure::SumOfSquares(name) => format!("squares({})", quoted(name)),
        Measure::Min(name) => format!("min({})", quoted(name)),
        Measure::Max(name) => format!("max({})", quoted(name)),
        Measure::Distinct(name) => format!("distinct({})", quoted(name)),
        // Whatever the ranks.
        Measure::Quantiles(name, _) => format!("sample({})", quoted(name)),
        Measure::DistinctApprox(_) => return None,
    };
    Some(format!("{VERSION} {measure} where {} by ", all(conditions.iter().copied())))
}

/// The parts of a condition that all have to hold.
pub(super) fn parts(filter: &Filter) -> Vec<&Filter> {
    match filter {
        Filter::All => Vec::new(),
        Filter::And(of) => of.iter().flat_map(parts).collect(),
        Filter::Boost(inner, _) | Filter::Score(inner, _) => parts(inner),
        other => vec![other],
    }
}

fn all<'f>(filters: impl Iterator<Item = &'f Filter>) -> String {
    let mut texts: Vec<String> = filters.flat_map(parts).map(text).collect();
    texts.sort();
    texts.dedup();
    match texts.as_slice() {
        [] => "all".to_owned(),
        [one] => one.clone(),
        many => format!("({})", many.join(" and ")),
    }
}

/// A condition as text; two that differ in what they let through have two texts.
pub(super) fn text(filter: &Filter) -> String {
    match filter {
        Filter::All | Filter::And(_) | Filter::Boost(..) | Filter::Score(..) => {
            all(std::iter::once(filter))
        }
        Filter::Nothing => "nothing".to_owned(),
        Filter::Exists(name) => format!("exists({})", quoted(name)),
        Filter::Term(name, term) => format!("{}={}", quoted(name), value(term)),
        Filter::Terms(name, terms) => match terms.as_slice() {
            [one] => format!("{}={}", quoted(name), value(one)),
            many => format!("{} in [{}]", quoted(name), list(many.iter().map(value).collect())),
        },
        Filter::Range { field, from, to } => {
            let from = match from {
                Bound::Included(from) => format!("[{}", value(from)),
                Bound::Excluded(from) => format!("({}", value(from)),
                Bound::Unbounded => "(".to_owned(),
            };
            let to = match to {
                Bound::Included(to) => format!("{}]", value(to)),
                Bound::Excluded(to) => format!("{})", value(to)),
                Bound::Unbounded => ")".to_owned(),
            };
            format!("{} in {from};{to}", quoted(field))
        }
        Filter::Prefix { field, prefix, ignore_case } => {
            format!("prefix({},{},{ignore_case})", quoted(field), quoted(prefix))
        }
        Filter::Pattern { field, pattern, ignore_case } => {
            let (kind, pattern) = match pattern {
                Pattern::Wildcard(pattern) => ("wildcard", pattern),
                Pattern::Regexp(pattern) => ("regexp", pattern),
            };
            format!("{kind}({},{},{ignore_case})", quoted(field), quoted(pattern))
        }
        Filter::Words { field, terms, at_least } => {
            let terms = list(terms.iter().map(|term| quoted(term)).collect());
            format!("words({},[{terms}],{at_least})", quoted(field))
        }
        Filter::Phrase { field, terms, slop, last_is_prefix } => {
            let terms: Vec<String> =
                terms.iter().map(|(at, term)| format!("{at}:{}", quoted(term))).collect();
            let terms = terms.join(",");
            format!("phrase({},[{terms}],{slop},{last_is_prefix})", quoted(field))
        }
        Filter::Ids(ids) => format!("ids[{}]", list(ids.iter().map(|id| quoted(id)).collect())),
        Filter::Or { of, at_least } => {
            format!("at_least({at_least},[{}])", list(of.iter().map(text).collect()))
        }
        Filter::Best { of, .. } => {
            format!("at_least(1,[{}])", list(of.iter().map(text).collect()))
        }
        Filter::Not(inner) => format!("not({})", text(inner)),
    }
}

fn list(mut texts: Vec<String>) -> String {
    texts.sort();
    texts.join(",")
}

fn value(value: &Value) -> String {
    match value {
        Value::Str(text) => quoted(text),
        Value::Long(number) => number.to_string(),
        Value::Double(number) => format!("d{:016x}", number.to_bits()),
        Value::Bool(truth) => truth.to_string(),
    }
}

/// As JSON: no text of a value can look like the end of it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(name: &str, text: &str) -> Filter {
        Filter::Term(name.to_owned(), Value::Str(text.to_owned()))
    }

    #[test]
    fn equal_conditions_have_equal_keys_and_different_ones_do_not() {
        let (a, b) = (term("kind", "a"), term("model", "b"));
        let key = |filters: &[&Filter]| prefix(&Measure::Rows, filters).unwrap();
        assert_eq!(key(&[&a.clone().and(b.clone())]), key(&[&b, &a]));
        assert_eq!(key(&[&Filter::All, &a]), key(&[&a]));
        assert_eq!(key(&[&a, &a]), key(&[&a]));
        let different = [
            Filter::All,
            a.clone(),
            b.clone(),
            term("kind", "a\" and \"model\"=\"b"),
            Filter::any(vec![a.clone(), b.clone()]),
            Filter::Or { of: vec![a.clone(), b.clone()], at_least: 2 },
            a.clone().negate(),
            Filter::Term("kind".to_owned(), Value::Long(1)),
            Filter::Term("kind".to_owned(), Value::Double(1.0)),
            Filter::Term("kind".to_owned(), Value::Str("1".to_owned())),
            Filter::Exists("kind".to_owned()),
            Filter::Nothing,
        ];
        let keys: std::collections::BTreeSet<String> =
            different.iter().map(|filter| key(&[filter])).collect();
        assert_eq!(keys.len(), different.len());
    }

    #[test]
    fn a_cut_is_read_from_the_key_that_it_wrote() {
        let definition = TileDefinition {
            time: "@timestamp".to_owned(),
            measure: Measure::Mean("ms".to_owned()),
            filter: term("kind", "a"),
            dimensions: ["model", "region", "a \"b\"", "model"].map(str::to_owned).to_vec(),
        };
        let cuts = definition.cuts();
        assert_eq!(cuts.len(), 10);
        assert_eq!(cuts[0].1.dimensions, ["a \"b\"", "model", "region"]);
        let prefix = prefix(&Measure::Sum("ms".to_owned()), &[&term("kind", "a")]).unwrap();
        for (key, cut) in cuts {
            assert_eq!(Cut::parse(key.strip_prefix(&prefix).unwrap()), Some(cut));
        }
    }
}
