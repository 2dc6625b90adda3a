//! From what was typed to a filter: names become fields, literals become stored values.

mod combine;
mod literal;
mod text;

pub(super) use combine::{same_score, unscored};
pub(super) use literal::double as literal_number;

use super::date_format::DateFormat;
use super::date_math::{self, Reading};
use super::fields::{Fields, Found, Kind};
use super::parse::{Bool, Literal, Node, Query, Range};
use super::zone::{UTC, Zone};
use super::{CLAUSES_MAX, EsError, json};
use combine::{all_of, best, boosted, constant, push_should};
use model::{Field, GeneratedId, Timestamp, Value};
use std::ops::Bound;
use storage::{Filter, Pattern};

/// How literals of a question become what is stored: `protection`'s pseudonyms, or a stand-in
/// in tests.
pub(super) trait Literals {
    /// A literal of a question about one field.
    fn literal(&self, field: &Field, literal: &str) -> String;
    /// Free text of a question.
    fn query_text(&self, text: &str) -> String;
}

impl Literals for protection::Pseudonyms {
    fn literal(&self, field: &Field, literal: &str) -> String {
        self.literal(field, literal)
    }

    fn query_text(&self, text: &str) -> String {
        self.query_text(text)
    }
}

/// The lower and the upper end of a range.
type Ends = (Bound<Value>, Bound<Value>);

/// Turns queries into filters.
#[derive(Clone, Copy)]
pub(super) struct Binder<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) literals: &'a dyn Literals,
    pub(super) now: Timestamp,
}

impl<'a> Binder<'a> {
    /// The filter of a query, with its scores.
    pub(super) fn query(&self, query: &Query) -> Result<Filter, EsError> {
        let filter = match &query.node {
            Node::Constant(inner) => {
                let inner = unscored(self.query(inner)?);
                return Ok(Filter::Score(Box::new(inner), query.boost));
            }
            Node::All => Filter::All,
            Node::Nothing => Filter::Nothing,
            Node::Term { field, value, ignore_case } => self.term(field, value, *ignore_case)?,
            Node::Terms { field, values } => self.terms(field, values)?,
            Node::Range(range) => self.range(range)?,
            Node::Exists(field) => self.exists(field)?,
            Node::Ids(ids) => self.ids(ids.iter().cloned()),
            Node::Prefix { field, value, ignore_case } => match self.resolve_searched(field)? {
                Some(found) => self.prefix(&found, value, *ignore_case)?,
                None => Filter::Nothing,
            },
            Node::Wildcard { field, pattern, ignore_case } => {
                self.pattern(field, Pattern::Wildcard(pattern.clone()), *ignore_case)?
            }
            Node::Regexp { field, pattern, ignore_case } => {
                self.pattern(field, Pattern::Regexp(pattern.clone()), *ignore_case)?
            }
            Node::Match(one) => self.match_one(one)?,
            Node::MultiMatch(many) => self.multi_match(many)?,
            Node::Text(text) => self.text_query(text)?,
            Node::Bool(all) => self.bool(all)?,
            Node::Best { queries, tie_breaker } => best(self.queries(queries)?, *tie_breaker),
            Node::Boosting { positive, negative, factor } => {
                self.boosting(positive, negative, *factor)?
            }
        };
        Ok(boosted(filter, query.boost))
    }

    /// The filter of a query whose score nobody asks for.
    pub(super) fn condition(&self, query: &Query) -> Result<Filter, EsError> {
        self.query(query).map(unscored)
    }

    fn queries(&self, queries: &[Query]) -> Result<Vec<Filter>, EsError> {
        queries.iter().map(|query| self.query(query)).collect()
    }

    fn bool(&self, all: &Bool) -> Result<Filter, EsError> {
        let mut parts = self.queries(&all.must)?;
        for query in &all.filter {
            parts.push(Filter::Score(Box::new(self.condition(query)?), 0.0));
        }
        let should = self.queries(&all.should)?;
        let usual = usize::from(parts.is_empty() && !should.is_empty());
        let at_least = all.at_least.as_ref().map_or(usual, |at_least| at_least.of(should.len()));
        if at_least > should.len() {
            return Ok(Filter::Nothing);
        }
        push_should(&mut parts, should, at_least);
        for query in &all.must_not {
            parts.push(self.condition(query)?.negate());
        }
        Ok(all_of(parts))
    }

    /// Rows of `positive`; those that are also in `negative` count less. Their order needs the
    /// scores of both halves, so that each is a set of its own.
    fn boosting(&self, positive: &Query, negative: &Query, factor: f32) -> Result<Filter, EsError> {
        let positive = self.query(positive)?;
        let negative = self.condition(negative)?;
        let less = all_of(vec![
            boosted(positive.clone(), factor),
            Filter::Score(Box::new(negative.clone()), 0.0),
        ]);
        Ok(Filter::any(vec![all_of(vec![positive, negative.negate()]), less]))
    }

    /// The field of a search; `None`: no table has it. Sealed fields are refused.
    fn resolve_searched(&self, name: &str) -> Result<Option<Found<'a>>, EsError> {
        match self.fields.resolve(name)? {
            Some(found) if found.kind == Kind::Sealed => Err(EsError::query(format!(
                "failed to create query: Cannot search on field [{name}] since it is sealed; only \
                 [exists] can be asked of it"
            ))),
            found => Ok(found),
        }
    }

    fn term(&self, field: &str, value: &Literal, ignore_case: bool) -> Result<Filter, EsError> {
        match field {
            "_id" => return Ok(self.ids(std::iter::once(value.to_text()))),
            "_index" => return self.tables_like(&[value.to_text()]),
            _ => {}
        }
        let Some(found) = self.resolve_searched(field)? else { return Ok(Filter::Nothing) };
        self.term_of(&found, value, ignore_case)
    }

    fn terms(&self, field: &str, values: &[Literal]) -> Result<Filter, EsError> {
        match field {
            "_id" => return Ok(self.ids(values.iter().map(Literal::to_text))),
            "_index" => {
                let names: Vec<String> = values.iter().map(Literal::to_text).collect();
                return self.tables_like(&names);
            }
            _ => {}
        }
        let Some(found) = self.resolve_searched(field)? else { return Ok(Filter::Nothing) };
        if found.kind == Kind::Date || found.kind == Kind::Ip {
            let each = values.iter().map(|value| self.term_of(&found, value, false));
            let each = each.collect::<Result<Vec<Filter>, EsError>>()?;
            return Ok(if each.is_empty() { Filter::Nothing } else { constant(Filter::any(each)) });
        }
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            list.extend(self.stored_values(&found, value)?);
        }
        Ok(match list.len() {
            0 => Filter::Nothing,
            _ => constant(Filter::Terms(field.to_owned(), list)),
        })
    }

    /// `_index` in a query: decided for all tables at once.
    fn tables_like(&self, names: &[String]) -> Result<Filter, EsError> {
        let tables = self.fields.tables;
        let matching = tables
            .iter()
            .filter(|table| names.iter().any(|name| json::matches(name, table.name.as_str())));
        match matching.count() {
            0 => Ok(Filter::Nothing),
            count if count == tables.len() => Ok(Filter::All),
            _ => Err(EsError::illegal(
                "[_index] cannot choose among the tables of a question; name them in the path",
            )),
        }
    }

    fn ids(&self, ids: impl Iterator<Item = String>) -> Filter {
        let ids: Vec<String> = ids
            .map(|id| match GeneratedId::parse(&id) {
                Some(_) => id,
                None => self.literals.query_text(&id),
            })
            .collect();
        if ids.is_empty() { Filter::Nothing } else { constant(Filter::Ids(ids)) }
    }

    fn exists(&self, field: &str) -> Result<Filter, EsError> {
        if field.starts_with('_') && self.fields.resolve(field)?.is_none() {
            let always = matches!(field, "_id" | "_index" | "_source" | "_version" | "_seq_no");
            return Ok(if always { constant(Filter::All) } else { Filter::Nothing });
        }
        let mut names = if field.contains('*') {
            self.fields.expand(field)
        } else if self.fields.tables.iter().any(|table| table.schema.find(field).is_some())
            || self.fields.resolve(field)?.is_some()
        {
            vec![field.to_owned()]
        } else {
            self.fields.below(field)
        };
        if names.len() > CLAUSES_MAX {
            return Err(super::parse::too_many_clauses());
        }
        Ok(match names.len() {
            0 => Filter::Nothing,
            1 => constant(Filter::Exists(names.remove(0))),
            _ => constant(Filter::any(names.into_iter().map(Filter::Exists).collect())),
        })
    }

    fn range(&self, range: &Range) -> Result<Filter, EsError> {
        let Some(found) = self.resolve_searched(&range.field)? else { return Ok(Filter::Nothing) };
        self.range_of(&found, range)
    }

    /// A range over one field.
    fn range_of(&self, found: &Found<'_>, range: &Range) -> Result<Filter, EsError> {
        if range.from.is_none() && range.to.is_none() {
            return Ok(constant(Filter::Exists(found.name.clone())));
        }
        if range.format.is_some() && found.kind != Kind::Date {
            return Err(EsError::query(format!(
                "failed to create query: Field [{}] of type [{}] does not support DateTime formats",
                found.name,
                found.kind.as_str()
            )));
        }
        let ends = match found.kind {
            Kind::Date => self.date_ends(range)?,
            Kind::Long => match long_ends(range)? {
                Some(ends) => ends,
                None => return Ok(Filter::Nothing),
            },
            Kind::Double => {
                let end = |end: &Option<(Literal, bool)>| -> Result<Bound<Value>, EsError> {
                    end.as_ref().map_or(Ok(Bound::Unbounded), |(value, included)| {
                        Ok(bound(Value::Double(literal::double(value)?), *included))
                    })
                };
                (end(&range.from)?, end(&range.to)?)
            }
            Kind::Bool => {
                let end = |end: &Option<(Literal, bool)>| -> Result<Bound<Value>, EsError> {
                    end.as_ref().map_or(Ok(Bound::Unbounded), |(value, included)| {
                        Ok(bound(Value::Bool(literal::boolean(value)?), *included))
                    })
                };
                (end(&range.from)?, end(&range.to)?)
            }
            Kind::Keyword if !found.is_pseudonymised() => {
                let end = |end: &Option<(Literal, bool)>| match end {
                    Some((value, included)) => bound(Value::Str(value.to_text()), *included),
                    None => Bound::Unbounded,
                };
                (end(&range.from), end(&range.to))
            }
            _ => {
                let why = if found.is_pseudonymised() {
                    "keeps pseudonyms, which have no order"
                } else {
                    "has no order of its values; use a keyword, number or date"
                };
                return Err(EsError::query(format!(
                    "failed to create query: range cannot be asked of [{}]: it {why}",
                    found.name
                )));
            }
        };
        let (from, to) = ends;
        Ok(constant(Filter::Range { field: found.name.clone(), from, to }))
    }

    fn date_ends(&self, range: &Range) -> Result<Ends, EsError> {
        let format = match &range.format {
            Some(format) => DateFormat::parse(format)?,
            None => DateFormat::default(),
        };
        let zone = range.zone.unwrap_or(UTC);
        let read = |end: &Option<(Literal, bool)>, up: bool| -> Result<Bound<Value>, EsError> {
            let Some((value, included)) = end else { return Ok(Bound::Unbounded) };
            // `gt` and `lte` mean the end of what is named, `gte` and `lt` its beginning.
            let round_up = *included == up;
            let millis = self.date(&value.to_text(), &format, zone, round_up)?;
            Ok(bound(Value::Long(millis), *included))
        };
        Ok((read(&range.from, false)?, read(&range.to, true)?))
    }

    /// Reads a date.
    pub(super) fn date(
        &self,
        text: &str,
        format: &DateFormat,
        zone: Zone,
        round_up: bool,
    ) -> Result<i64, EsError> {
        date_math::read(text, Reading { format, zone, round_up, now: self.now })
    }

    fn prefix(&self, found: &Found<'_>, value: &str, ignore_case: bool) -> Result<Filter, EsError> {
        self.refuse_numbers(found, "prefix", "keyword, text and wildcard")?;
        let prefix = self.beginning(found, value)?;
        Ok(constant(Filter::Prefix { field: found.name.clone(), prefix, ignore_case }))
    }

    fn pattern(&self, field: &str, pattern: Pattern, ignore_case: bool) -> Result<Filter, EsError> {
        if let ("_index", Pattern::Wildcard(text)) = (field, &pattern) {
            return self.tables_like(std::slice::from_ref(text));
        }
        match self.resolve_searched(field)? {
            Some(found) => self.pattern_of(&found, pattern, ignore_case),
            None => Ok(Filter::Nothing),
        }
    }

    fn pattern_of(
        &self,
        found: &Found<'_>,
        pattern: Pattern,
        ignore_case: bool,
    ) -> Result<Filter, EsError> {
        if pattern == Pattern::Wildcard("*".to_owned()) {
            return Ok(constant(Filter::Exists(found.name.clone())));
        }
        let text = match &pattern {
            Pattern::Wildcard(text) => {
                self.refuse_numbers(found, "wildcard", "keyword, text and wildcard")?;
                text
            }
            Pattern::Regexp(text) => {
                self.refuse_numbers(found, "regexp", "keyword and text")?;
                text
            }
        };
        let plain = !text.contains(['*', '?', '\\', '.', '[', '(', '|', '+', '{', '~', '#', '@']);
        if plain && found.kind != Kind::Text && !ignore_case {
            return self.term_of(found, &Literal::Text(text.clone()), false);
        }
        self.beginning(found, text)?;
        Ok(constant(Filter::Pattern { field: found.name.clone(), pattern, ignore_case }))
    }

    fn refuse_numbers(&self, found: &Found<'_>, what: &str, on: &str) -> Result<(), EsError> {
        if !found.kind.is_number() {
            return Ok(());
        }
        Err(EsError::query(format!(
            "failed to create query: Can only use {what} queries on {on} fields - not on [{}] which \
             is of type [{}]",
            found.name,
            found.kind.as_str()
        )))
    }

    /// The beginning of stored values. Nothing can be known about the beginning of what a
    /// pseudonym stands for, but a pseudonym itself has one.
    fn beginning(&self, found: &Found<'_>, text: &str) -> Result<String, EsError> {
        let hidden = found.kind != Kind::Text
            && found.fields.iter().any(|(_, field)| {
                super::fields::pseudonymised(field)
                    && !text
                        .strip_prefix("secret-")
                        .unwrap_or(text)
                        .starts_with(&format!("{}:", field.kind))
            });
        if hidden {
            return Err(EsError::query(format!(
                "failed to create query: [{}] keeps pseudonyms, which can only be found by the whole \
                 value; use [term]",
                found.name
            )));
        }
        Ok(text.to_owned())
    }
}

/// The ends of a range of integers; `None`: no integer lies in it.
fn long_ends(range: &Range) -> Result<Option<Ends>, EsError> {
    let from = match &range.from {
        None => Bound::Unbounded,
        Some((value, included)) => match literal::long_end(value, *included, true)? {
            Some(number) => Bound::Included(Value::Long(number)),
            None => return Ok(None),
        },
    };
    let to = match &range.to {
        None => Bound::Unbounded,
        Some((value, included)) => match literal::long_end(value, *included, false)? {
            Some(number) => Bound::Included(Value::Long(number)),
            None => return Ok(None),
        },
    };
    Ok(Some((from, to)))
}

fn bound(value: Value, included: bool) -> Bound<Value> {
    if included { Bound::Included(value) } else { Bound::Excluded(value) }
}

#[cfg(test)]
mod tests;
