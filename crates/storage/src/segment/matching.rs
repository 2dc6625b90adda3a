//! From a filter to Tantivy's queries: words and keywords by the inverted index, numbers by their
//! columns.

use super::{Column, NumberKind, Segment, Slot, index_of, layout};
use crate::Filter;
use crate::filter::Pattern;
use crate::read::ReadError;
use model::{GeneratedId, Table, Value};
use std::fmt;
use std::ops::{Bound, Range, RangeInclusive};
use tantivy::columnar::{Column as TantivyColumn, ColumnIndex};
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, ConstScorer, DisjunctionMaxQuery,
    EmptyQuery, EnableScoring, Explanation, InvertedIndexRangeQuery, Occur, PhrasePrefixQuery,
    PhraseQuery, Query, RegexQuery, Scorer, TermQuery, TermSetQuery, Weight,
};
use tantivy::schema::{Field as TantivyField, IndexRecordOption};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED, Term};

impl Segment {
    /// Takes the ranges over the field that the rows are sorted by out of a filter.
    pub(crate) fn split_sorted_range(
        &self,
        table: &Table,
        filter: &Filter,
    ) -> Result<(Range<u32>, Filter), ReadError> {
        let mut run = 0..self.rows;
        let Some((sorted, descending)) = self.sorted else { return Ok((run, filter.clone())) };
        let name = table.schema.field(sorted).name.as_str();
        let parts = match filter {
            Filter::And(parts) => parts.as_slice(),
            Filter::Score(inner, _) => return self.split_sorted_range(table, inner),
            one => std::slice::from_ref(one),
        };
        let mut rest = Filter::All;
        for part in parts {
            let part = unscored(part);
            match part {
                Filter::Range { field, from, to } if field == name => {
                    let found = self.run_of(table, name, from, to, descending)?;
                    run = run.start.max(found.start)..run.end.min(found.end).max(run.start);
                }
                _ => rest = rest.and(part.clone()),
            }
        }
        Ok((run.start..run.end.max(run.start), rest))
    }

    fn run_of(
        &self,
        table: &Table,
        name: &str,
        from: &Bound<Value>,
        to: &Bound<Value>,
        descending: bool,
    ) -> Result<Range<u32>, ReadError> {
        let find = |before: &dyn Fn(u32) -> bool| partition_point(self.rows, before);
        match self.column(table, name)? {
            Some(Column::Long(column)) => {
                let Some(range) = long_range(from, to) else { return Ok(0..0) };
                let at = |row: u32| column.at(row).unwrap_or_default();
                Ok(match descending {
                    false => {
                        find(&|row| at(row) < *range.start())..find(&|row| at(row) <= *range.end())
                    }
                    true => {
                        find(&|row| at(row) > *range.end())..find(&|row| at(row) >= *range.start())
                    }
                })
            }
            Some(Column::Double(column)) => {
                let Some(range) = double_range(from, to) else { return Ok(0..0) };
                let at = |row: u32| column.at(row).unwrap_or_default();
                Ok(match descending {
                    false => {
                        find(&|row| at(row) < *range.start())..find(&|row| at(row) <= *range.end())
                    }
                    true => {
                        find(&|row| at(row) > *range.end())..find(&|row| at(row) >= *range.start())
                    }
                })
            }
            _ => Ok(0..0),
        }
    }

    /// The filter as a query over this segment.
    pub(crate) fn query(
        &self,
        table: &Table,
        filter: &Filter,
    ) -> Result<Box<dyn Query>, ReadError> {
        Ok(match filter {
            Filter::All => Box::new(AllQuery),
            Filter::Nothing => Box::new(EmptyQuery),
            Filter::Exists(name) => self.exists(table, name)?,
            Filter::Term(name, value) => self.term(table, name, value)?,
            Filter::Terms(name, values) => self.terms(table, name, values)?,
            Filter::Range { field, from, to } => self.range(table, field, from, to)?,
            Filter::Prefix { field, prefix, ignore_case } => {
                self.prefix(table, field, prefix, *ignore_case)?
            }
            Filter::Pattern { field, pattern, ignore_case } => {
                self.pattern(table, field, pattern, *ignore_case)?
            }
            Filter::Words { field, terms, at_least } => self.words(table, field, terms, *at_least),
            Filter::Phrase { field, terms, slop, last_is_prefix } => {
                self.phrase(table, field, terms, *slop, *last_is_prefix)
            }
            Filter::Ids(ids) => self.ids_query(ids),
            Filter::And(parts) => self.conjunction(table, parts)?,
            Filter::Or { of, at_least } => {
                let queries =
                    of.iter().map(|part| self.query(table, part)).collect::<Result<_, _>>()?;
                any_of(queries, *at_least)
            }
            Filter::Not(inner) => {
                let inner = self.query(table, inner)?;
                Box::new(BooleanQuery::new(vec![
                    (Occur::Must, Box::new(AllQuery) as Box<dyn Query>),
                    (Occur::MustNot, inner),
                ]))
            }
            Filter::Boost(inner, factor) => {
                Box::new(BoostQuery::new(self.query(table, inner)?, *factor))
            }
            Filter::Score(inner, score) => {
                Box::new(ConstScoreQuery::new(self.query(table, inner)?, *score))
            }
            Filter::Best { of, tie_breaker } => {
                let queries =
                    of.iter().map(|part| self.query(table, part)).collect::<Result<_, _>>()?;
                Box::new(DisjunctionMaxQuery::with_tie_breaker(queries, *tie_breaker))
            }
        })
    }

    /// Every part; parts that say "not" exclude instead of walking over all other rows.
    fn conjunction(&self, table: &Table, parts: &[Filter]) -> Result<Box<dyn Query>, ReadError> {
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::with_capacity(parts.len() + 1);
        for part in parts {
            match part {
                Filter::Not(inner) => clauses.push((Occur::MustNot, self.query(table, inner)?)),
                part => clauses.push((Occur::Must, self.query(table, part)?)),
            }
        }
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            let all: Box<dyn Query> = Box::new(AllQuery);
            clauses.push((Occur::Must, Box::new(ConstScoreQuery::new(all, 0.0))));
        }
        Ok(Box::new(BooleanQuery::new(clauses)))
    }

    fn exists(&self, table: &Table, name: &str) -> Result<Box<dyn Query>, ReadError> {
        let slot = match self.slot(table, name) {
            Some(slot) => slot,
            None if matches!(name, "_id" | "_index" | "_seq_no" | "_version") => {
                return Ok(Box::new(AllQuery));
            }
            None => return self.exists_below(table, name),
        };
        match slot {
            Slot::Keyword(field) | Slot::Number(field, _) | Slot::Sealed(field) => {
                Ok(match self.column_of(field)? {
                    None => Box::new(EmptyQuery),
                    Some(column) if matches!(index_of(&column), ColumnIndex::Full) => {
                        Box::new(AllQuery)
                    }
                    Some(column) => Box::new(ColumnQuery(Check::Has(index_of(&column).clone()))),
                })
            }
            // A text has a norm above zero if it has a word; texts without words are rare enough
            // to be told apart by the word index alone.
            Slot::Text(field) => Ok(Box::new(ConstScoreQuery::new(
                Box::new(InvertedIndexRangeQuery::new(
                    Bound::Included(Term::from_field_text(field, "")),
                    Bound::Unbounded,
                )),
                1.0,
            ))),
        }
    }

    /// `exists` on an object: any field below it.
    fn exists_below(&self, table: &Table, name: &str) -> Result<Box<dyn Query>, ReadError> {
        let prefix = format!("{name}.");
        let below = table.schema.fields().iter().filter(|f| f.name.as_str().starts_with(&prefix));
        let queries = below
            .map(|field| self.exists(table, field.name.as_str()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(any_of(queries, 1))
    }

    fn term(&self, table: &Table, name: &str, value: &Value) -> Result<Box<dyn Query>, ReadError> {
        let Some(slot) = self.slot(table, name) else { return Ok(Box::new(EmptyQuery)) };
        match (slot, value) {
            (Slot::Keyword(field), Value::Str(text)) => {
                let term = Term::from_field_text(field, text);
                Ok(Box::new(TermQuery::new(term, IndexRecordOption::Basic)))
            }
            (Slot::Text(field), Value::Str(text)) => {
                let term = Term::from_field_text(field, text);
                Ok(Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)))
            }
            (Slot::Number(..), value) => {
                let bound = Bound::Included(value.clone());
                self.range(table, name, &bound, &bound)
            }
            (Slot::Keyword(_) | Slot::Text(_) | Slot::Sealed(_), _) => Ok(Box::new(EmptyQuery)),
        }
    }

    fn terms(
        &self,
        table: &Table,
        name: &str,
        values: &[Value],
    ) -> Result<Box<dyn Query>, ReadError> {
        match self.slot(table, name) {
            Some(Slot::Keyword(field) | Slot::Text(field)) => {
                let terms = values.iter().filter_map(|value| match value {
                    Value::Str(text) => Some(Term::from_field_text(field, text)),
                    _ => None,
                });
                Ok(Box::new(TermSetQuery::new(terms)))
            }
            Some(Slot::Number(..)) => {
                let queries = values
                    .iter()
                    .map(|value| self.term(table, name, value))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(any_of(queries, 1))
            }
            Some(Slot::Sealed(_)) | None => Ok(Box::new(EmptyQuery)),
        }
    }

    fn range(
        &self,
        table: &Table,
        name: &str,
        from: &Bound<Value>,
        to: &Bound<Value>,
    ) -> Result<Box<dyn Query>, ReadError> {
        let Some(slot) = self.slot(table, name) else { return Ok(Box::new(EmptyQuery)) };
        match slot {
            Slot::Keyword(field) | Slot::Text(field) => {
                let (Some(from), Some(to)) = (term_bound(field, from), term_bound(field, to))
                else {
                    return Ok(Box::new(EmptyQuery));
                };
                if matches!((&from, &to), (Bound::Unbounded, Bound::Unbounded)) {
                    return self.exists(table, name);
                }
                Ok(Box::new(InvertedIndexRangeQuery::new(from, to)))
            }
            Slot::Number(field, kind) => {
                let check = match (self.column_of(field)?, kind) {
                    (None, _) => None,
                    (Some(Column::Long(column)), NumberKind::Long) => {
                        long_range(from, to).map(|range| Check::Long(column.inner().clone(), range))
                    }
                    (Some(Column::Double(column)), NumberKind::Double) => double_range(from, to)
                        .map(|range| Check::Double(column.inner().clone(), range)),
                    (Some(Column::Bool(column)), NumberKind::Bool) => {
                        bool_range(from, to).map(|range| Check::Bool(column.inner().clone(), range))
                    }
                    _ => return Err(ReadError::internal("a column of another type")),
                };
                Ok(match check {
                    Some(check) => Box::new(ColumnQuery(check)),
                    None => Box::new(EmptyQuery),
                })
            }
            Slot::Sealed(_) => Ok(Box::new(EmptyQuery)),
        }
    }

    fn prefix(
        &self,
        table: &Table,
        name: &str,
        prefix: &str,
        ignore_case: bool,
    ) -> Result<Box<dyn Query>, ReadError> {
        if ignore_case {
            let pattern = format!("{}.*", escape(prefix));
            return self.pattern(table, name, &Pattern::Regexp(pattern), true);
        }
        let Some(Slot::Keyword(field) | Slot::Text(field)) = self.slot(table, name) else {
            return Ok(Box::new(EmptyQuery));
        };
        let end = match after_prefix(prefix) {
            Some(end) => Bound::Excluded(Term::from_field_text(field, &end)),
            None => Bound::Unbounded,
        };
        let start = Bound::Included(Term::from_field_text(field, prefix));
        let range: Box<dyn Query> = Box::new(InvertedIndexRangeQuery::new(start, end));
        Ok(Box::new(ConstScoreQuery::new(range, 1.0)))
    }

    fn pattern(
        &self,
        table: &Table,
        name: &str,
        pattern: &Pattern,
        ignore_case: bool,
    ) -> Result<Box<dyn Query>, ReadError> {
        let Some(Slot::Keyword(field) | Slot::Text(field)) = self.slot(table, name) else {
            return Ok(Box::new(EmptyQuery));
        };
        let regex = match pattern {
            Pattern::Regexp(regex) => regex.clone(),
            Pattern::Wildcard(wildcard) => wildcard_to_regex(wildcard),
        };
        let regex = if ignore_case { format!("(?i){regex}") } else { regex };
        let query = RegexQuery::from_pattern(&regex, field).map_err(|_| {
            ReadError::Filter("the pattern is no valid regular expression".to_owned())
        })?;
        Ok(Box::new(query))
    }

    fn words(
        &self,
        table: &Table,
        name: &str,
        terms: &[String],
        at_least: usize,
    ) -> Box<dyn Query> {
        let (field, record) = match self.slot(table, name) {
            Some(Slot::Text(field)) => (field, IndexRecordOption::WithFreqs),
            Some(Slot::Keyword(field)) => (field, IndexRecordOption::Basic),
            _ => return Box::new(EmptyQuery),
        };
        let query = |term: &String| -> Box<dyn Query> {
            Box::new(TermQuery::new(Term::from_field_text(field, term), record))
        };
        match terms {
            [] => Box::new(EmptyQuery),
            [term] => query(term),
            terms if at_least >= terms.len() => {
                let clauses = terms.iter().map(|term| (Occur::Must, query(term))).collect();
                Box::new(BooleanQuery::new(clauses))
            }
            terms => any_of(terms.iter().map(query).collect(), at_least.max(1)),
        }
    }

    fn phrase(
        &self,
        table: &Table,
        name: &str,
        terms: &[(usize, String)],
        slop: u32,
        last_is_prefix: bool,
    ) -> Box<dyn Query> {
        let Some(Slot::Text(field)) = self.slot(table, name) else { return Box::new(EmptyQuery) };
        let positions: Vec<(usize, Term)> = terms
            .iter()
            .map(|(position, term)| (*position, Term::from_field_text(field, term)))
            .collect();
        match (positions.as_slice(), last_is_prefix) {
            ([], _) => Box::new(EmptyQuery),
            ([(_, term)], false) => {
                Box::new(TermQuery::new(term.clone(), IndexRecordOption::WithFreqs))
            }
            ([_], true) => {
                let prefix = &terms[0].1;
                self.prefix(table, name, prefix, false).unwrap_or_else(|_| Box::new(EmptyQuery))
            }
            (_, true) => Box::new(PhrasePrefixQuery::new_with_offset(positions)),
            (_, false) => Box::new(PhraseQuery::new_with_offset_and_slop(positions, slop)),
        }
    }

    fn ids_query(&self, ids: &[String]) -> Box<dyn Query> {
        let terms = ids.iter().map(|id| Term::from_field_text(layout::ID, id));
        let mut queries: Vec<Box<dyn Query>> = Vec::new();
        if self.has_given_ids {
            queries.push(Box::new(TermSetQuery::new(terms)));
        }
        for id in ids {
            let row = GeneratedId::parse(id).and_then(|id| self.row_with_seq(id.0).ok().flatten());
            if let Some(row) = row {
                queries.push(Box::new(ColumnQuery(Check::Row(row))));
            }
        }
        let matching = any_of(queries, 1);
        Box::new(ConstScoreQuery::new(matching, 1.0))
    }
}

fn unscored(filter: &Filter) -> &Filter {
    match filter {
        Filter::Score(inner, _) => unscored(inner),
        filter => filter,
    }
}

fn any_of(mut queries: Vec<Box<dyn Query>>, at_least: usize) -> Box<dyn Query> {
    if queries.len() < at_least || queries.is_empty() {
        return Box::new(EmptyQuery);
    }
    if queries.len() == 1 {
        return queries.pop().expect("there is one");
    }
    let clauses = queries.into_iter().map(|query| (Occur::Should, query)).collect();
    Box::new(BooleanQuery::with_minimum_required_clauses(clauses, at_least.max(1)))
}

fn partition_point(rows: u32, before: &dyn Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Bounds on integers as an inclusive range; `None` if nothing can lie between.
pub(crate) fn long_range(from: &Bound<Value>, to: &Bound<Value>) -> Option<RangeInclusive<i64>> {
    let low = match from {
        Bound::Unbounded => i64::MIN,
        Bound::Included(value) => ceil(value)?,
        Bound::Excluded(Value::Long(value)) => value.checked_add(1)?,
        Bound::Excluded(value) => floor(value)?.checked_add(1)?,
    };
    let high = match to {
        Bound::Unbounded => i64::MAX,
        Bound::Included(value) => floor(value)?,
        Bound::Excluded(Value::Long(value)) => value.checked_sub(1)?,
        Bound::Excluded(value) => ceil(value)?.checked_sub(1)?,
    };
    (low <= high).then_some(low..=high)
}

fn ceil(value: &Value) -> Option<i64> {
    match value {
        Value::Long(value) => Some(*value),
        Value::Double(value) if *value <= i64::MAX as f64 => Some(value.ceil() as i64),
        _ => None,
    }
}

fn floor(value: &Value) -> Option<i64> {
    match value {
        Value::Long(value) => Some(*value),
        Value::Double(value) if *value >= i64::MIN as f64 => Some(value.floor() as i64),
        _ => None,
    }
}

fn double_range(from: &Bound<Value>, to: &Bound<Value>) -> Option<RangeInclusive<f64>> {
    let number = |value: &Value| match value {
        Value::Long(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        Value::Str(_) | Value::Bool(_) => None,
    };
    let low = match from {
        Bound::Unbounded => f64::NEG_INFINITY,
        Bound::Included(value) => number(value)?,
        Bound::Excluded(value) => number(value)?.next_up(),
    };
    let high = match to {
        Bound::Unbounded => f64::INFINITY,
        Bound::Included(value) => number(value)?,
        Bound::Excluded(value) => number(value)?.next_down(),
    };
    (low <= high).then_some(low..=high)
}

fn bool_range(from: &Bound<Value>, to: &Bound<Value>) -> Option<RangeInclusive<bool>> {
    let as_bool = |value: &Value| match value {
        Value::Bool(value) => Some(*value),
        Value::Str(_) | Value::Long(_) | Value::Double(_) => None,
    };
    let low = match from {
        Bound::Unbounded => false,
        Bound::Included(value) => as_bool(value)?,
        Bound::Excluded(value) => match as_bool(value)? {
            true => return None,
            false => true,
        },
    };
    let high = match to {
        Bound::Unbounded => true,
        Bound::Included(value) => as_bool(value)?,
        Bound::Excluded(value) => match as_bool(value)? {
            true => false,
            false => return None,
        },
    };
    (low <= high).then_some(low..=high)
}

fn term_bound(field: TantivyField, bound: &Bound<Value>) -> Option<Bound<Term>> {
    let term = |value: &Value| match value {
        Value::Str(text) => Some(Term::from_field_text(field, text)),
        Value::Long(_) | Value::Double(_) | Value::Bool(_) => None,
    };
    Some(match bound {
        Bound::Included(value) => Bound::Included(term(value)?),
        Bound::Excluded(value) => Bound::Excluded(term(value)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

/// The smallest text behind all texts that start with `prefix`; `None` if there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32);
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn wildcard_to_regex(wildcard: &str) -> String {
    let mut regex = String::with_capacity(wildcard.len() + 8);
    let mut characters = wildcard.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' => regex.push_str("(?s:.*)"),
            '?' => regex.push_str("(?s:.)"),
            '\\' => regex.push_str(&escape(&characters.next().unwrap_or('\\').to_string())),
            other => regex.push_str(&escape(&other.to_string())),
        }
    }
    regex
}

/// What a column is asked about a row.
#[derive(Clone)]
enum Check {
    Long(TantivyColumn<i64>, RangeInclusive<i64>),
    Double(TantivyColumn<f64>, RangeInclusive<f64>),
    Bool(TantivyColumn<bool>, RangeInclusive<bool>),
    Has(ColumnIndex),
    Row(u32),
}

impl Check {
    /// Adds the rows of `run` that match to `out`, ascending.
    fn fill(&self, run: Range<u32>, out: &mut Vec<u32>) {
        match self {
            Check::Long(column, range) => fill(column, range, run, out),
            Check::Double(column, range) => fill(column, range, run, out),
            Check::Bool(column, range) => fill(column, range, run, out),
            Check::Has(index) => out.extend(run.filter(|&row| index.has_value(row))),
            Check::Row(row) => out.extend(run.contains(row).then_some(*row)),
        }
    }
}

fn fill<T>(
    column: &TantivyColumn<T>,
    range: &RangeInclusive<T>,
    run: Range<u32>,
    out: &mut Vec<u32>,
) where
    T: PartialOrd + Copy + fmt::Debug + Send + Sync + 'static,
{
    // Tantivy's bit-packed columns take a range that ends below their smallest value for one that
    // ends at it.
    if *range.end() < column.values.min_value() || *range.start() > column.values.max_value() {
        return;
    }
    match column.index {
        ColumnIndex::Full => {
            column.values.get_row_ids_for_value_range(range.clone(), run, out);
        }
        _ => out.extend(
            run.filter(|&row| column.values_for_doc(row).any(|value| range.contains(&value))),
        ),
    }
}

/// A query that is answered by a column of one segment.
#[derive(Clone)]
struct ColumnQuery(Check);

impl fmt::Debug for ColumnQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ColumnQuery")
    }
}

impl Query for ColumnQuery {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for ColumnQuery {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let rows = ColumnRows {
            check: self.0.clone(),
            end: reader.max_doc(),
            scanned: 0,
            found: Vec::new(),
            at: 0,
            stride: STRIDE_MIN,
        };
        Ok(Box::new(ConstScorer::new(rows.start(), boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("column", 1.0))
    }
}

const STRIDE_MIN: u32 = 64;
const STRIDE_MAX: u32 = 8192;

/// Walks over the rows that match, looking at a stretch of the column at a time: short after a
/// jump, longer while rows are taken one after the other.
struct ColumnRows {
    check: Check,
    end: u32,
    scanned: u32,
    found: Vec<u32>,
    at: usize,
    stride: u32,
}

impl ColumnRows {
    fn start(mut self) -> ColumnRows {
        self.refill();
        self
    }

    fn refill(&mut self) {
        self.found.clear();
        self.at = 0;
        while self.found.is_empty() && self.scanned < self.end {
            let run = self.scanned..(self.scanned + self.stride).min(self.end);
            self.check.fill(run.clone(), &mut self.found);
            self.scanned = run.end;
            self.stride = (self.stride * 2).min(STRIDE_MAX);
        }
    }
}

impl DocSet for ColumnRows {
    fn advance(&mut self) -> DocId {
        self.at += 1;
        if self.at >= self.found.len() {
            self.refill();
        }
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if target >= self.scanned {
            self.scanned = target.min(self.end);
            self.stride = STRIDE_MIN;
            self.refill();
        } else {
            self.at +=
                self.found[self.at.min(self.found.len())..].partition_point(|&row| row < target);
            if self.at >= self.found.len() {
                self.refill();
            }
        }
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.found.get(self.at).copied().unwrap_or(TERMINATED)
    }

    fn size_hint(&self) -> u32 {
        match self.check {
            Check::Row(_) => 1,
            _ => self.end / 2,
        }
    }
}
