//! Which rows: the filter of a question, with literals as they are stored.

use model::Value;
use std::ops::Bound;

/// A condition on rows. Field names are those of the schema, or the keyword companion
/// `NAME.keyword`. A field that a table does not have matches no row there.
///
/// Literals stand as they are stored: personal values are already pseudonyms, text is already
/// cut into terms by [`analyze`](crate::analyze).
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every row.
    All,
    /// No row.
    Nothing,
    /// Rows with at least one value of the field.
    Exists(String),
    /// Rows where one value equals; numbers by value, keywords by text; on a text field one term.
    Term(String, Value),
    /// Rows where one value is in the list.
    Terms(String, Vec<Value>),
    /// Rows where one value lies between.
    Range {
        /// Which field.
        field: String,
        /// Lower end.
        from: Bound<Value>,
        /// Upper end.
        to: Bound<Value>,
    },
    /// Keywords (or terms of a text) that start so.
    Prefix {
        /// Which field.
        field: String,
        /// The beginning.
        prefix: String,
        /// Upper and lower case are one.
        ignore_case: bool,
    },
    /// Keywords (or terms of a text) that match a pattern as a whole.
    Pattern {
        /// Which field.
        field: String,
        /// The pattern.
        pattern: Pattern,
        /// Upper and lower case are one.
        ignore_case: bool,
    },
    /// Text that has at least `at_least` of these terms, each once counted.
    Words {
        /// Which text field.
        field: String,
        /// The terms.
        terms: Vec<String>,
        /// 1: any; `terms.len()`: all.
        at_least: usize,
    },
    /// Text that has these terms in this order, up to `slop` moves apart.
    Phrase {
        /// Which text field.
        field: String,
        /// Terms with their positions.
        terms: Vec<(usize, String)>,
        /// 0: exactly.
        slop: u32,
        /// The last term is only a beginning.
        last_is_prefix: bool,
    },
    /// Rows with one of these `_id`s.
    Ids(Vec<String>),
    /// Every one. Empty: every row.
    And(Vec<Filter>),
    /// At least `at_least` of them; their scores add up. Empty: no row.
    Or {
        /// The alternatives.
        of: Vec<Filter>,
        /// 1 unless asked otherwise.
        at_least: usize,
    },
    /// Not.
    Not(Box<Filter>),
    /// Takes part in the score with a factor.
    Boost(Box<Filter>, f32),
    /// Matches like the inner filter; every match scores this much (0: filter context).
    Score(Box<Filter>, f32),
    /// The best score of the alternatives plus `tie_breaker` times the others.
    Best {
        /// The alternatives.
        of: Vec<Filter>,
        /// 0 to 1.
        tie_breaker: f32,
    },
}

/// A pattern over whole terms.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// `*` any characters, `?` one, `\` escapes.
    Wildcard(String),
    /// Lucene's regular expressions, anchored at both ends.
    Regexp(String),
}

impl Filter {
    /// Both; flattens so that plans stay readable.
    pub fn and(self, other: Filter) -> Filter {
        match (self, other) {
            (Filter::All, filter) | (filter, Filter::All) => filter,
            (Filter::And(mut left), Filter::And(right)) => {
                left.extend(right);
                Filter::And(left)
            }
            (Filter::And(mut left), right) => {
                left.push(right);
                Filter::And(left)
            }
            (left, right) => Filter::And(vec![left, right]),
        }
    }

    /// Any one of `of`.
    pub fn any(of: Vec<Filter>) -> Filter {
        Filter::Or { of, at_least: 1 }
    }

    /// Not this.
    pub fn negate(self) -> Filter {
        Filter::Not(Box::new(self))
    }

    /// Calls `see` with the name of every field that this filter mentions.
    pub fn fields(&self, see: &mut dyn FnMut(&str)) {
        match self {
            Filter::All | Filter::Nothing | Filter::Ids(_) => {}
            Filter::Exists(field)
            | Filter::Term(field, _)
            | Filter::Terms(field, _)
            | Filter::Range { field, .. }
            | Filter::Prefix { field, .. }
            | Filter::Pattern { field, .. }
            | Filter::Words { field, .. }
            | Filter::Phrase { field, .. } => see(field),
            Filter::And(of) | Filter::Or { of, .. } | Filter::Best { of, .. } => {
                of.iter().for_each(|filter| filter.fields(see));
            }
            Filter::Not(inner) | Filter::Boost(inner, _) | Filter::Score(inner, _) => {
                inner.fields(see);
            }
        }
    }
}
