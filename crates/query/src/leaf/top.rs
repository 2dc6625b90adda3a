//! The first rows of an order, early: a bounded heap over columns for each view, and values only
//! for the rows that win.

use super::field::{self, Kind};
use super::work::in_parallel;
use super::{Job, Place, fetch};
use crate::{OutColumn, QueryError, SortBy, SortKey};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray,
    UInt64Array, new_null_array,
};
use arrow::datatypes::DataType;
use model::{Table, Value};
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use storage::{BLOCK, Block, Column, Filter, KeywordColumn, Selection, View};

/// What is asked for.
pub(super) struct Order<'a> {
    /// Most significant first.
    pub(super) keys: &'a [SortKey],
    /// How many rows.
    pub(super) limit: usize,
    /// Only rows after this place.
    pub(super) after: Option<&'a [Option<Value>]>,
}

/// A sort value such that a smaller code comes first: missing-first, value, missing-last in the
/// upper half; the value, turned round for descending orders, in the lower.
type Code = u128;

const VALUE: Code = 1 << 64;
const MISSING_LAST: Code = 2 << 64;

/// A key with what its field holds.
struct Key<'a> {
    key: &'a SortKey,
    kind: Option<Kind>,
}

/// A row that may win.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    codes: Vec<Code>,
    seq: u64,
    row: u32,
}

/// A row that won in its view, with its sort values.
struct Winner {
    place: usize,
    row: u32,
    seq: u64,
    codes: Vec<Code>,
    /// For keywords, whose codes mean nothing in another view.
    texts: Vec<Option<String>>,
}

/// The columns asked for, then `_sort0`, `_sort1`, ….
pub(super) fn top(
    job: &Job<'_>,
    filter: &Filter,
    order: &Order<'_>,
    columns: &[OutColumn],
) -> Result<Vec<ArrayRef>, QueryError> {
    let keys = order
        .keys
        .iter()
        .map(|key| {
            let kind = match &key.by {
                SortBy::Field(name) => field::column_kind(job.tables, name)?,
                SortBy::Score | SortBy::Seq => None,
            };
            Ok(Key { key, kind })
        })
        .collect::<Result<Vec<_>, QueryError>>()?;
    if keys.is_empty() || order.after.is_some_and(|after| after.len() != keys.len()) {
        return Err(QueryError::Invalid(
            "an order needs at least one key, and a place in it one value for each key".to_owned(),
        ));
    }
    if order.limit > job.limits.rows {
        return Err(QueryError::TooManyRows { limit: job.limits.rows });
    }
    let winners = match only_by_score(job, order) {
        true => by_score(job, filter, order.limit)?,
        false => by_columns(job, filter, order, &keys)?,
    };
    give(job, filter, columns, &keys, &winners)
}

fn only_by_score(job: &Job<'_>, order: &Order<'_>) -> bool {
    let best_first = matches!(order.keys, [SortKey { by: SortBy::Score, descending: true, .. }]);
    best_first && order.after.is_none() && job.places.len() == job.scope.snapshot.views().len()
}

fn by_score(job: &Job<'_>, filter: &Filter, limit: usize) -> Result<Vec<Winner>, QueryError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let winner = |scored: storage::Scored| Winner {
        place: scored.view as usize,
        row: scored.row,
        seq: 0,
        codes: vec![coded(number_of_double(f64::from(scored.score)), true)],
        texts: vec![None],
    };
    Ok(job.scope.snapshot.top_scored(filter, limit)?.into_iter().map(winner).collect())
}

fn by_columns(
    job: &Job<'_>,
    filter: &Filter,
    order: &Order<'_>,
    keys: &[Key<'_>],
) -> Result<Vec<Winner>, QueryError> {
    // Views that can have the best rows go first, so that the others are skipped early.
    let mut views: Vec<(Code, usize)> = Vec::with_capacity(job.places.len());
    for (number, place) in job.places.iter().enumerate() {
        views.push((keys[0].best(&place.view)?, number));
    }
    views.sort_unstable();
    let cutoff = Mutex::new(Code::MAX);
    let found = in_parallel(job.limits.threads, &views, |&(best, number)| {
        job.limits.check()?;
        if order.limit == 0 || best > *cutoff.lock() {
            return Ok(Vec::new());
        }
        let scan = Scan::new(job, filter, order, keys, &job.places[number])?;
        let heap = scan.run(job, order, &cutoff)?;
        winners(heap, number, keys, &job.places[number])
    })?;
    let mut winners: Vec<Winner> = found.into_iter().flatten().collect();
    winners.sort_unstable_by(|left, right| compare(left, right, keys));
    winners.truncate(order.limit);
    Ok(winners)
}

/// One view being scanned.
struct Scan<'a> {
    view: &'a View,
    selection: Arc<Selection>,
    sources: Vec<Source>,
    after: Option<Vec<Code>>,
    /// Rows stand in the order of the first key, forward or backward: it can end early.
    walk: Walk,
    /// Codes of the first key mean the same in every view.
    comparable: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Walk {
    Forward,
    Backward,
    Everything,
}

/// Where the codes of a key come from.
enum Source {
    Missing,
    Column(Column),
    /// One for each selected row.
    Scores(Vec<f32>),
    Seq,
}

impl<'a> Scan<'a> {
    fn new(
        job: &Job<'_>,
        filter: &Filter,
        order: &Order<'_>,
        keys: &[Key<'_>],
        place: &'a Place,
    ) -> Result<Scan<'a>, QueryError> {
        let view = &place.view;
        let selection = view.select(filter)?;
        let sources = keys
            .iter()
            .map(|key| {
                Ok(match &key.key.by {
                    SortBy::Seq => Source::Seq,
                    SortBy::Score => {
                        let rows = super::rows::slice(&selection, 0, selection.len());
                        job.memory.take(rows.len() * 8)?;
                        Source::Scores(view.scores(&job.scope.snapshot, filter, &rows)?)
                    }
                    SortBy::Field(name) => match key.column(view, name)? {
                        Some(column) => Source::Column(column),
                        None => Source::Missing,
                    },
                })
            })
            .collect::<Result<Vec<_>, QueryError>>()?;
        let after = match order.after {
            Some(after) => Some(
                after
                    .iter()
                    .zip(keys)
                    .zip(&sources)
                    .map(|((value, key), source)| key.code_of(value.as_ref(), source))
                    .collect::<Result<_, _>>()?,
            ),
            None => None,
        };
        let walk = match (&keys[0].key.by, &sources[0]) {
            (SortBy::Field(name), Source::Column(column)) if is_full(column) => {
                match view.sorted_by(name) {
                    Some(down) if down == keys[0].key.descending => Walk::Forward,
                    Some(_) => Walk::Backward,
                    None => Walk::Everything,
                }
            }
            _ => Walk::Everything,
        };
        let comparable = keys[0].kind != Some(Kind::Keyword);
        Ok(Scan { view, selection, sources, after, walk, comparable })
    }

    fn run(
        &self,
        job: &Job<'_>,
        order: &Order<'_>,
        cutoff: &Mutex<Code>,
    ) -> Result<BinaryHeap<Candidate>, QueryError> {
        let mut heap: BinaryHeap<Candidate> = BinaryHeap::new();
        let blocks = self.selection.len().div_ceil(BLOCK);
        job.memory.take(order.limit.min(self.selection.len()) * (48 + 16 * order.keys.len()))?;
        let mut codes: Vec<Vec<Code>> = vec![Vec::new(); self.sources.len()];
        for step in 0..blocks {
            job.limits.check()?;
            let number = if self.walk == Walk::Backward { blocks - 1 - step } else { step };
            let from = number * BLOCK;
            let block = block(&self.selection, from);
            let mut worst = match heap.peek() {
                Some(worst) if heap.len() >= order.limit => worst.codes[0],
                _ => Code::MAX,
            };
            if self.comparable {
                worst = worst.min(*cutoff.lock());
            }
            self.sources[0].codes(&order.keys[0], self.view, block, from, &mut codes[0])?;
            if self.walk != Walk::Everything {
                let best =
                    if self.walk == Walk::Forward { codes[0].first() } else { codes[0].last() };
                if best.is_some_and(|best| *best > worst) {
                    break;
                }
            }
            let mut places: Vec<usize> =
                (0..block.len()).filter(|&place| codes[0][place] <= worst).collect();
            if places.is_empty() {
                continue;
            }
            for ((source, key), codes) in
                self.sources.iter().zip(order.keys).zip(&mut codes).skip(1)
            {
                source.codes(key, self.view, block, from, codes)?;
            }
            if let Some(after) = &self.after {
                places.retain(|&place| {
                    codes.iter().map(|codes| codes[place]).gt(after.iter().copied())
                });
            }
            self.push(&mut heap, order.limit, block, &places, &codes)?;
        }
        if self.comparable && heap.len() >= order.limit {
            let worst = heap.peek().map_or(Code::MAX, |worst| worst.codes[0]);
            let mut cutoff = cutoff.lock();
            *cutoff = worst.min(*cutoff);
        }
        Ok(heap)
    }

    fn push(
        &self,
        heap: &mut BinaryHeap<Candidate>,
        limit: usize,
        block: Block<'_>,
        places: &[usize],
        codes: &[Vec<Code>],
    ) -> Result<(), QueryError> {
        let rows: Vec<u32> = places.iter().map(|&place| block.row(place)).collect();
        let seqs = self.view.seqs(&rows)?;
        for ((&place, row), seq) in places.iter().zip(rows).zip(seqs) {
            if heap.len() >= limit
                && let Some(mut worst) = heap.peek_mut()
            {
                let here = codes.iter().map(|codes| codes[place]);
                let better =
                    here.cmp(worst.codes.iter().copied()).then(seq.cmp(&worst.seq)).is_lt();
                if better {
                    let codes = codes.iter().map(|codes| codes[place]).collect();
                    *worst = Candidate { codes, seq, row };
                }
                continue;
            }
            let codes = codes.iter().map(|codes| codes[place]).collect();
            heap.push(Candidate { codes, seq, row });
        }
        Ok(())
    }
}

/// The block of a selection that starts at place `from`.
fn block(selection: &Selection, from: usize) -> Block<'_> {
    let len = BLOCK.min(selection.len() - from);
    match selection {
        Selection::All(_) => Block::Run { start: from as u32, len: len as u32 },
        Selection::Run(run) => Block::Run { start: run.start + from as u32, len: len as u32 },
        Selection::Rows(rows) => Block::Rows(&rows[from..from + len]),
    }
}

fn is_full(column: &Column) -> bool {
    match column {
        Column::Keyword(column) => column.is_full(),
        Column::Long(column) => column.is_full(),
        Column::Double(column) => column.is_full(),
        Column::Bool(column) => column.is_full(),
    }
}

impl Source {
    /// The codes of a block that starts at place `from` of the selection.
    fn codes(
        &self,
        key: &SortKey,
        view: &View,
        block: Block<'_>,
        from: usize,
        out: &mut Vec<Code>,
    ) -> Result<(), QueryError> {
        out.clear();
        out.resize(block.len(), missing(key));
        let down = key.descending;
        let mut places = Vec::new();
        // Of several values the one that comes first in the order decides.
        let mut see = |place: usize, number: u64| {
            let code = coded(number, down);
            let known = out[place];
            if known >> 64 != 1 || code < known {
                out[place] = code;
            }
        };
        match self {
            Source::Missing => {}
            Source::Column(Column::Long(column)) if column.is_full() => {
                let mut values = Vec::new();
                column.values(block, &mut values);
                let code = |value: i64| coded(number_of_long(value), down);
                out.iter_mut().zip(values).for_each(|(out, value)| *out = code(value));
            }
            Source::Column(Column::Long(column)) => {
                let mut values = Vec::new();
                column.all(block, &mut places, &mut values);
                let pairs = places.iter().zip(values);
                pairs.for_each(|(&place, value)| see(place as usize, number_of_long(value)));
            }
            Source::Column(Column::Double(column)) => {
                let mut values = Vec::new();
                column.all(block, &mut places, &mut values);
                let pairs = places.iter().zip(values);
                pairs.for_each(|(&place, value)| see(place as usize, number_of_double(value)));
            }
            Source::Column(Column::Bool(column)) => {
                let mut values = Vec::new();
                column.all(block, &mut places, &mut values);
                let pairs = places.iter().zip(values);
                pairs.for_each(|(&place, value)| see(place as usize, u64::from(value)));
            }
            Source::Column(Column::Keyword(column)) => {
                let mut ords = Vec::new();
                column.all_ords(block, &mut places, &mut ords);
                let pairs = places.iter().zip(ords);
                pairs.for_each(|(&place, ord)| see(place as usize, number_of_ord(ord)));
            }
            Source::Scores(scores) => {
                let scores = &scores[from..from + block.len()];
                let code = |score: f32| coded(number_of_double(f64::from(score)), down);
                out.iter_mut().zip(scores).for_each(|(out, score)| *out = code(*score));
            }
            Source::Seq => {
                let rows: Vec<u32> = (0..block.len()).map(|place| block.row(place)).collect();
                let seqs = view.seqs(&rows)?;
                out.iter_mut().zip(seqs).for_each(|(out, seq)| *out = coded(seq, down));
            }
        }
        Ok(())
    }
}

fn missing(key: &SortKey) -> Code {
    if key.missing_first { 0 } else { MISSING_LAST }
}

fn coded(number: u64, descending: bool) -> Code {
    VALUE | Code::from(if descending { !number } else { number })
}

fn number_of_long(value: i64) -> u64 {
    value as u64 ^ (1 << 63)
}

fn long_of_number(number: u64) -> i64 {
    (number ^ (1 << 63)) as i64
}

fn number_of_double(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn double_of_number(number: u64) -> f64 {
    f64::from_bits(if number >> 63 == 1 { number & !(1 << 63) } else { !number })
}

/// Odd, so that a string between two ordinals has a number too.
fn number_of_ord(ord: u32) -> u64 {
    u64::from(ord) * 2 + 1
}

impl Key<'_> {
    /// The column of the key's field, if it holds what the tables say.
    fn column(&self, view: &View, name: &str) -> Result<Option<Column>, QueryError> {
        let column = view.column(name)?;
        Ok(column.filter(|column| {
            matches!(
                (self.kind, column),
                (Some(Kind::Keyword), Column::Keyword(_))
                    | (Some(Kind::Long | Kind::Date), Column::Long(_))
                    | (Some(Kind::Double), Column::Double(_))
                    | (Some(Kind::Bool), Column::Bool(_))
            )
        }))
    }

    /// The best code that a row of the view can have.
    fn best(&self, view: &View) -> Result<Code, QueryError> {
        let SortBy::Field(name) = &self.key.by else { return Ok(0) };
        if self.key.missing_first {
            return Ok(0);
        }
        let end = |first: u64, last: u64| {
            let down = self.key.descending;
            coded(if down { last } else { first }, down)
        };
        Ok(match (self.kind, view.bounds(name)?) {
            (Some(Kind::Long | Kind::Date), Some((Value::Long(first), Value::Long(last)))) => {
                end(number_of_long(first), number_of_long(last))
            }
            (Some(Kind::Double), Some((Value::Double(first), Value::Double(last)))) => {
                end(number_of_double(first), number_of_double(last))
            }
            _ => 0,
        })
    }

    /// The code of a value that the question gives, in the view of `source`.
    fn code_of(&self, value: Option<&Value>, source: &Source) -> Result<Code, QueryError> {
        let Some(value) = value else { return Ok(missing(self.key)) };
        let number = match (source, value) {
            (Source::Column(Column::Keyword(column)), Value::Str(text)) => place_of(column, text)?,
            (Source::Column(Column::Bool(_)), Value::Bool(truth)) => u64::from(*truth),
            (Source::Column(Column::Bool(_)), Value::Long(number)) => u64::from(*number != 0),
            (Source::Column(Column::Double(_)) | Source::Scores(_), Value::Double(number)) => {
                number_of_double(*number)
            }
            (Source::Column(Column::Double(_)) | Source::Scores(_), Value::Long(number)) => {
                number_of_double(*number as f64)
            }
            (Source::Column(Column::Long(_)), Value::Long(number)) => number_of_long(*number),
            (Source::Column(Column::Long(_)), Value::Double(number)) => {
                number_of_long(*number as i64)
            }
            (Source::Seq, Value::Long(number)) => *number as u64,
            // No row here has a value: any value lies before missing ones that come last, and
            // after those that come first.
            (Source::Missing, _) => 0,
            _ => {
                return Err(QueryError::Invalid(
                    "a place in the order needs values of the types of its keys".to_owned(),
                ));
            }
        };
        Ok(coded(number, self.key.descending))
    }

    /// The sort column of the winners.
    fn array(&self, winners: &[Winner], at: usize) -> ArrayRef {
        let number = |winner: &Winner| {
            let code = winner.codes[at];
            let number = code as u64;
            (code >> 64 == 1).then_some(if self.key.descending { !number } else { number })
        };
        let numbers = winners.iter().map(number);
        match (&self.key.by, self.kind) {
            (SortBy::Score, _) => {
                let score = |n: Option<u64>| n.map(|n| double_of_number(n) as f32);
                Arc::new(numbers.map(score).collect::<Float32Array>())
            }
            (SortBy::Seq, _) => Arc::new(numbers.collect::<UInt64Array>()),
            (_, Some(Kind::Long | Kind::Date)) => {
                Arc::new(numbers.map(|n| n.map(long_of_number)).collect::<Int64Array>())
            }
            (_, Some(Kind::Double)) => {
                Arc::new(numbers.map(|n| n.map(double_of_number)).collect::<Float64Array>())
            }
            (_, Some(Kind::Bool)) => {
                Arc::new(numbers.map(|n| n.map(|n| n != 0)).collect::<BooleanArray>())
            }
            (_, Some(Kind::Keyword)) => {
                Arc::new(winners.iter().map(|w| w.texts[at].as_deref()).collect::<StringArray>())
            }
            (_, None | Some(Kind::Text | Kind::Sealed)) => {
                new_null_array(&DataType::Utf8, winners.len())
            }
        }
    }
}

/// The number of a string among the ordinals: odd if it is there, even between its neighbours.
fn place_of(column: &KeywordColumn, text: &str) -> Result<u64, QueryError> {
    if let Some(ord) = column.ord_of(text)? {
        return Ok(number_of_ord(ord));
    }
    let (mut low, mut high) = (0, column.cardinality());
    while low < high {
        let middle = low + (high - low) / 2;
        if column.term(middle)?.as_str() < text {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(u64::from(low) * 2)
}

/// The candidates of a view with the strings of their keywords.
fn winners(
    heap: BinaryHeap<Candidate>,
    number: usize,
    keys: &[Key<'_>],
    place: &Place,
) -> Result<Vec<Winner>, QueryError> {
    let mut winners: Vec<Winner> = heap
        .into_iter()
        .map(|candidate| Winner {
            place: number,
            row: candidate.row,
            seq: candidate.seq,
            codes: candidate.codes,
            texts: vec![None; keys.len()],
        })
        .collect();
    for (at, key) in keys.iter().enumerate() {
        let (SortBy::Field(name), Some(Kind::Keyword)) = (&key.key.by, key.kind) else { continue };
        let Some(Column::Keyword(column)) = key.column(&place.view, name)? else { continue };
        let ord = |code: Code| {
            let number = code as u64;
            let number = if key.key.descending { !number } else { number };
            (code >> 64 == 1).then_some((number / 2) as u32)
        };
        let mut ords: Vec<u32> = winners.iter().filter_map(|w| ord(w.codes[at])).collect();
        ords.sort_unstable();
        ords.dedup();
        let terms = column.terms(&ords)?;
        for winner in &mut winners {
            let place = ord(winner.codes[at]).and_then(|ord| ords.binary_search(&ord).ok());
            winner.texts[at] = place.map(|place| terms[place].clone());
        }
    }
    Ok(winners)
}

fn compare(left: &Winner, right: &Winner, keys: &[Key<'_>]) -> Ordering {
    for (at, key) in keys.iter().enumerate() {
        let order = match (&left.texts[at], &right.texts[at]) {
            (Some(left), Some(right)) if key.key.descending => right.cmp(left),
            (Some(left), Some(right)) => left.cmp(right),
            _ if key.kind == Some(Kind::Keyword) => {
                // At least one is missing: the upper half says where it stands.
                (left.codes[at] >> 64).cmp(&(right.codes[at] >> 64))
            }
            _ => left.codes[at].cmp(&right.codes[at]),
        };
        if order.is_ne() {
            return order;
        }
    }
    left.seq.cmp(&right.seq)
}

/// Fetches the values of the winners, view by view, and puts them in order.
fn give(
    job: &Job<'_>,
    filter: &Filter,
    columns: &[OutColumn],
    keys: &[Key<'_>],
    winners: &[Winner],
) -> Result<Vec<ArrayRef>, QueryError> {
    job.memory.take(winners.len() * 64)?;
    let mut arrays = ordered(job.tables, job, filter, columns, winners)?;
    arrays.extend(keys.iter().enumerate().map(|(at, key)| key.array(winners, at)));
    Ok(arrays)
}

fn ordered(
    tables: &[Arc<Table>],
    job: &Job<'_>,
    filter: &Filter,
    columns: &[OutColumn],
    winners: &[Winner],
) -> Result<Vec<ArrayRef>, QueryError> {
    let wanted = fetch::Columns::new(tables, columns)?;
    let mut places: Vec<usize> = winners.iter().map(|winner| winner.place).collect();
    places.sort_unstable();
    places.dedup();
    let mut fetched: Vec<(Vec<u32>, Vec<ArrayRef>)> = Vec::with_capacity(places.len());
    for &place in &places {
        job.limits.check()?;
        let of_place = winners.iter().filter(|winner| winner.place == place);
        let mut rows: Vec<u32> = of_place.map(|winner| winner.row).collect();
        rows.sort_unstable();
        let arrays = wanted.fetch(job.scope, filter, &job.places[place], &rows)?;
        fetched.push((rows, arrays));
    }
    let position = |winner: &Winner| {
        let at = places.binary_search(&winner.place).unwrap_or(0);
        (at, fetched[at].0.binary_search(&winner.row).unwrap_or(0))
    };
    let positions: Vec<(usize, usize)> = winners.iter().map(position).collect();
    (0..columns.len())
        .map(|column| {
            let parts: Vec<&dyn Array> =
                fetched.iter().map(|(_, arrays)| arrays[column].as_ref()).collect();
            if parts.is_empty() {
                return empty(tables, &columns[column]);
            }
            arrow::compute::interleave(&parts, &positions)
                .map_err(|_| QueryError::Internal("ordering rows".to_owned()))
        })
        .collect()
}

/// The column of an answer without rows.
fn empty(tables: &[Arc<Table>], column: &OutColumn) -> Result<ArrayRef, QueryError> {
    let ty = match column {
        OutColumn::Field(name) => field::kind(tables, name)?.map_or(DataType::Utf8, Kind::arrow),
        OutColumn::Score => DataType::Float32,
        OutColumn::Version | OutColumn::Seq => DataType::UInt64,
        OutColumn::Id | OutColumn::Table | OutColumn::Source { .. } | OutColumn::Fields(_) => {
            DataType::Utf8
        }
    };
    Ok(arrow::array::new_empty_array(&ty))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_keep_the_order_of_numbers(left: i64, right: i64) {
            prop_assert_eq!(left.cmp(&right), number_of_long(left).cmp(&number_of_long(right)));
            prop_assert_eq!(long_of_number(number_of_long(left)), left);
            let down = coded(number_of_long(left), true).cmp(&coded(number_of_long(right), true));
            prop_assert_eq!(right.cmp(&left), down);
        }

        #[test]
        fn codes_keep_the_order_of_floats(left in -1e300f64..1e300, right in -1e300f64..1e300) {
            let order = number_of_double(left).cmp(&number_of_double(right));
            prop_assert_eq!(left.partial_cmp(&right), Some(order));
            prop_assert_eq!(double_of_number(number_of_double(left)), left);
        }
    }
}
