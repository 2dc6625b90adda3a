//! The first rows of an order, early: a bounded heap over columns for each view, and values only
//! for the rows that win.

mod code;

use super::field::{self, Kind};
use super::work::in_parallel;
use super::{Job, Place, fetch};
use crate::{OutColumn, QueryError, SortBy, SortKey};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use code::{Code, Key, Source, coded, is_full, number_of_double};
use model::{Table, Value};
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use storage::{BLOCK, Block, Column, Filter, Selection, View};

/// What is asked for.
pub(super) struct Order<'a> {
    /// Most significant first.
    pub(super) keys: &'a [SortKey],
    /// How many rows.
    pub(super) limit: usize,
    /// Only rows after this place.
    pub(super) after: Option<&'a [Option<Value>]>,
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
    let best = job.scope.snapshot.top_scored(filter, limit, job.limits.threads)?;
    Ok(best.into_iter().map(winner).collect())
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
        if let (Some([Some(after)]), [key]) = (order.after, keys)
            && key.is_behind(&place.view, after)?
        {
            continue;
        }
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
