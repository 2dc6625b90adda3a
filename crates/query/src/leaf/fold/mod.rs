//! Grouped aggregates as loops over ordinals.
//!
//! Each view (or, if it is large, each part of it) is folded on its own: rows become group
//! numbers ([`group`]), values are added to dense accumulators under these numbers ([`measure`]),
//! and only then ordinals become values ([`partial`]), which are merged across views ([`merge`]).
//! What was folded beforehand over a whole segment is not folded again ([`tile`]).

mod block;
mod cohort;
mod dates;
mod funnel;
mod group;
mod mapping;
mod measure;
mod merge;
mod partial;
mod quantile;
mod retention;
mod sieve;
mod tile;
mod windows;

pub use tile::{TileDefinition, TileSmith};

pub(super) use funnel::funnel;
pub(super) use mapping::mapping;
pub(super) use retention::retention;

use super::exec::measure_type;
use super::field::{self, Kind};
use super::work::in_parallel;
use super::{Ground, Job, Place};
use crate::{Group, GroupBy, Interval, Measure, MeasureOf, QueryError};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use block::{Mask, Slots};
use dates::{Intervals, Rounding};
use group::{Coder, Dimension, Interner, Keys, Numbering};
use measure::{Accumulator, count_rows};
use merge::Merger;
use partial::{Part, Partial};
use sieve::Sieve;
use std::sync::Arc;
use storage::{BLOCK, Block, Column, Filter, Ordinals, Selection};
use tile::{Rest, cover};

/// Groups are numbered without a map up to this many.
const CELLS_MAX: u64 = 1 << 20;
/// Groups are numbered densely for few rows, too, if there can be only so many …
const CELLS_MIN: u64 = 4096;
/// … or so many for each row.
const CELLS_PER_ROW: u64 = 4;
/// What a cell of a measure takes, about; the larger ones are a text or a pointer to a set.
const MEASURE_BYTES: u64 = 32;
/// What the cells of one thread take at most.
const CELLS_BYTES_MAX: u64 = 64 << 20;
/// A view with more rows than this is folded in parts, so that two threads share it.
const PART_ROWS: usize = 1 << 20;
/// How many codes of numbers and dates are worth a table.
const NEAR_MAX: usize = 1 << 20;
/// Fields with more strings, counted once in each view, are merged by string.
const SHARED_MAX: u64 = 1 << 24;
/// Memory is charged and the clock read once in this many blocks.
const CHECK_BLOCKS: usize = 16;

/// What is folded, looked up once for all views.
struct Plan<'a> {
    filter: &'a Filter,
    groups: &'a [Group],
    group_kinds: Vec<Option<Kind>>,
    measures: Vec<Planned<'a>>,
    /// Distinct filters of measures.
    masks: Vec<&'a Filter>,
    /// Filters that count the values of fields without a column.
    exists: Vec<Filter>,
    /// For each group the numbers that all views share, if it groups by a keyword.
    shared: Vec<Option<Arc<Ordinals>>>,
    /// Where the dates of the first group are cut, in the place of what it says.
    pieces: Option<Vec<i64>>,
    /// Keywords keep the ordinals of their view in the place of shared numbers.
    keeps_ordinals: bool,
}

struct Planned<'a> {
    measure: &'a Measure,
    kind: Option<Kind>,
    /// Place in `masks`.
    mask: Option<usize>,
    /// Place in `exists`: the measure counts rows that have the field.
    exists: Option<usize>,
    /// The numbers that all views share, if it counts distinct keywords.
    shared: Option<Arc<Ordinals>>,
}

/// A view with its rows and masks.
struct Ready<'a> {
    place: &'a Place,
    selection: Arc<Selection>,
    masks: Vec<Sieve>,
    /// For each group key by filters its masks.
    filters: Vec<Vec<Arc<Mask>>>,
}

/// A view, or a part of its rows.
struct Piece<'a> {
    view: &'a Ready<'a>,
    from: usize,
    to: usize,
}

/// Folds the rows that match: group columns, then measures.
pub(super) fn fold(
    job: &Ground<'_>,
    filter: &Filter,
    groups: &[Group],
    measures: &[MeasureOf],
) -> Result<Vec<ArrayRef>, QueryError> {
    let plan = Plan::new(job, filter, groups, measures)?;
    if let Some(windows) = windows::windows_of(&plan, measures) {
        return windows::fold(job, plan, measures, &windows);
    }
    let asked: Vec<Measure> = measures.iter().map(|of| of.measure.clone()).collect();
    let counted = plan.measures.iter().map(|planned| planned.shared.clone()).collect();
    let mut merger = Merger::new(plan.shared.clone(), &asked, counted, job.limits.groups);
    let covered = cover(job, &plan)?;
    let is_tiled = !covered.partials.is_empty();
    for partial in covered.partials {
        merger.add(partial)?;
    }
    if groups.is_empty() && asked.iter().all(|measure| *measure == Measure::Rows) {
        merger.add(plan.only_counts(job, measures, &covered.rest)?)?;
        return finish(job, merger, &plan, measures);
    }
    let (quick, slow) = plan.by_postings(job, covered.rest)?;
    let ready = in_parallel(job.limits.threads, &slow, |rest| plan.prepare(job, rest))?;
    let pieces: Vec<Piece<'_>> = ready.iter().flat_map(Ready::pieces).collect();
    let alone = !is_tiled && quick.is_empty() && pieces.len() == 1;
    let partials = in_parallel(job.limits.threads, &pieces, |piece| plan.fold(job, piece, alone))?;
    for partial in quick.into_iter().chain(partials) {
        job.limits.check()?;
        merger.add(partial)?;
    }
    finish(job, merger, &plan, measures)
}

fn finish(
    job: &Ground<'_>,
    merger: Merger,
    plan: &Plan<'_>,
    measures: &[MeasureOf],
) -> Result<Vec<ArrayRef>, QueryError> {
    let group_types = plan.group_types();
    let measure_types = measures
        .iter()
        .map(|of| measure_type(job.tables, &of.measure))
        .collect::<Result<Vec<_>, _>>()?;
    merger.finish(&group_types, &measure_types)
}

fn group_type(group: &Group, kind: Option<Kind>) -> DataType {
    match group.by {
        GroupBy::Terms(_) => kind.map_or(DataType::Utf8, Kind::arrow),
        GroupBy::Date { .. } => DataType::Int64,
        GroupBy::Number { .. } => DataType::Float64,
        GroupBy::Ranges { .. } | GroupBy::Filters(_) => DataType::UInt32,
        GroupBy::Mapped { .. } => DataType::Utf8,
    }
}

impl<'a> Plan<'a> {
    fn new(
        job: &Ground<'_>,
        filter: &'a Filter,
        groups: &'a [Group],
        measures: &'a [MeasureOf],
    ) -> Result<Plan<'a>, QueryError> {
        let group_kinds = groups
            .iter()
            .map(|group| match &group.by {
                GroupBy::Terms(name)
                | GroupBy::Date { field: name, .. }
                | GroupBy::Number { field: name, .. }
                | GroupBy::Ranges { field: name, .. }
                | GroupBy::Mapped { field: name, .. } => field::column_kind(job.tables, name),
                GroupBy::Filters(_) => Ok(None),
            })
            .collect::<Result<_, _>>()?;
        let mut plan = Plan {
            filter,
            groups,
            group_kinds,
            measures: Vec::new(),
            masks: Vec::new(),
            exists: Vec::new(),
            shared: Vec::new(),
            pieces: None,
            keeps_ordinals: false,
        };
        for (group, kind) in groups.iter().zip(&plan.group_kinds) {
            plan.shared.push(match (&group.by, kind) {
                (GroupBy::Terms(name), Some(Kind::Keyword)) => shared_ordinals(job, name)?,
                _ => None,
            });
        }
        for MeasureOf { measure, filter } in measures {
            let kind = match measured(measure) {
                Some(name) => field::kind(job.tables, name)?,
                None => None,
            };
            let mask = filter.as_ref().map(|filter| {
                let known = plan.masks.iter().position(|known| *known == filter);
                known.unwrap_or_else(|| {
                    plan.masks.push(filter);
                    plan.masks.len() - 1
                })
            });
            let exists = match measure {
                Measure::Values(name) if matches!(kind, Some(Kind::Text | Kind::Sealed)) => {
                    let exists = Filter::Exists(name.clone());
                    let exists = match filter {
                        Some(filter) => exists.and(filter.clone()),
                        None => exists,
                    };
                    plan.exists.push(exists);
                    Some(plan.exists.len() - 1)
                }
                _ => None,
            };
            let shared = match measure {
                Measure::Distinct(name) | Measure::DistinctApprox(name)
                    if kind == Some(Kind::Keyword) =>
                {
                    shared_ordinals(job, name)?
                }
                _ => None,
            };
            plan.measures.push(Planned { measure, kind, mask, exists, shared });
        }
        Ok(plan)
    }

    /// The types of the group columns.
    fn group_types(&self) -> Vec<DataType> {
        self.groups.iter().zip(&self.group_kinds).map(|(g, kind)| group_type(g, *kind)).collect()
    }

    /// The same fold, with the ordinals of its only view in the place of shared numbers.
    fn with_ordinals(self) -> Plan<'a> {
        Plan { keeps_ordinals: true, ..self }
    }

    /// One group and only counts of rows: postings know them.
    fn only_counts(
        &self,
        job: &Ground<'_>,
        measures: &[MeasureOf],
        rest: &[Rest<'_>],
    ) -> Result<Partial, QueryError> {
        let filters: Vec<Filter> = measures
            .iter()
            .map(|of| match &of.filter {
                Some(filter) => self.filter.clone().and(filter.clone()),
                None => self.filter.clone(),
            })
            .collect();
        let counts = in_parallel(job.limits.threads, rest, |rest| {
            job.limits.check()?;
            let counts = filters.iter().map(|filter| rest.place.view.count(&rest.only(filter)));
            let counts = counts.collect::<Result<Vec<u64>, _>>()?;
            job.limits.answered.by_rows(counts.iter().max().copied().unwrap_or(0));
            Ok(counts)
        })?;
        let total = |at: usize| counts.iter().map(|counts| counts[at]).sum::<u64>();
        let measures = (0..filters.len()).map(|at| Part::Counts(vec![total(at)])).collect();
        Ok(Partial { keys: Vec::new(), codes: Vec::new(), rows: vec![1], measures })
    }

    /// Counts by one keyword over all rows need no column; gives also the views that do.
    fn by_postings<'p>(
        &self,
        job: &Ground<'_>,
        rest: Vec<Rest<'p>>,
    ) -> Result<(Vec<Partial>, Vec<Rest<'p>>), QueryError> {
        let rows_only =
            |planned: &Planned<'_>| *planned.measure == Measure::Rows && planned.mask.is_none();
        let name = match (self.filter, self.groups) {
            (Filter::All, [Group { by: GroupBy::Terms(name), keep_missing: false }])
                if self.group_kinds[0] == Some(Kind::Keyword)
                    && self.measures.iter().all(rows_only) =>
            {
                name
            }
            _ => return Ok((Vec::new(), rest)),
        };
        let counted = in_parallel(job.limits.threads, &rest, |rest| {
            job.limits.check()?;
            let view = &rest.place.view;
            let is_keyword = field::find(view.table(), name)
                .is_some_and(|found| Kind::of(found) == Kind::Keyword);
            match is_keyword && rest.window.is_none() {
                true => Ok(view.term_counts(name)?),
                false => Ok(None),
            }
        })?;
        let (mut quick, mut slow) = (Vec::new(), Vec::new());
        for (rest, counts) in rest.into_iter().zip(counted) {
            let Some(counts) = counts else {
                slow.push(rest);
                continue;
            };
            job.limits.answered.by_rows(u64::from(rest.place.view.live_rows()));
            let (terms, rows): (Vec<String>, Vec<u64>) =
                counts.into_iter().filter(|(_, rows)| *rows > 0).unzip();
            quick.push(Partial {
                codes: (1..=terms.len() as u32).collect(),
                keys: vec![Keys::Strings(terms)],
                measures: self.measures.iter().map(|_| Part::Counts(rows.clone())).collect(),
                rows,
            });
        }
        Ok((quick, slow))
    }

    /// Selects the rows of a view and fills the masks.
    fn prepare<'p>(&self, job: &Ground<'_>, rest: &Rest<'p>) -> Result<Ready<'p>, QueryError> {
        job.limits.check()?;
        let place = rest.place;
        let view = &place.view;
        let selection = view.select(&rest.only(self.filter))?;
        job.limits.answered.by_rows(selection.len() as u64);
        let mask = |filter: &Filter| -> Result<Arc<Mask>, QueryError> {
            if selection.is_empty() {
                return Ok(Arc::new(Mask::new(&Selection::Rows(Vec::new()), 0)));
            }
            let mask = Mask::new(&*view.select(&rest.only(filter))?, view.rows());
            job.memory.take(mask.bytes())?;
            Ok(Arc::new(mask))
        };
        let sieve = |filter: &Filter| match Sieve::over(view, filter)? {
            Some(sieve) => Ok(sieve),
            None => mask(filter).map(Sieve::Mask),
        };
        let masks = self.masks.iter().copied().chain(&self.exists).map(sieve);
        let masks = masks.collect::<Result<_, QueryError>>()?;
        let filters = self
            .groups
            .iter()
            .map(|group| match &group.by {
                GroupBy::Filters(filters) => filters.iter().map(mask).collect(),
                _ => Ok(Vec::new()),
            })
            .collect::<Result<_, _>>()?;
        Ok(Ready { place, selection, masks, filters })
    }

    fn fold(
        &self,
        job: &Ground<'_>,
        piece: &Piece<'_>,
        alone: bool,
    ) -> Result<Partial, QueryError> {
        let mut slots = Slots::default();
        let mut numbering = self.numbering(piece.view, &mut slots)?;
        let cells = numbering.is_dense().then(|| numbering.cells());
        let mut accumulators = self.accumulators(piece.view, &mut slots, cells)?;
        let mut rows: Vec<u64> = Vec::new();
        let masks = &piece.view.masks;
        for mask in masks {
            mask.open(&piece.view.place.view, &mut slots)?;
        }
        let mut keep = Vec::new();
        let mut charged = 0;
        for (number, block) in piece.blocks().enumerate() {
            slots.next_block();
            let groups = numbering.groups(block, &mut slots);
            let cells = numbering.cells();
            if cells + 1 > rows.len() {
                // Doubling keeps growth linear where groups are found as rows come.
                let room = if numbering.is_dense() { cells } else { cells.max(64) * 2 };
                rows.resize(room + 1, 0);
                accumulators.iter_mut().for_each(|accumulator| accumulator.grow(room));
            }
            count_rows(&mut rows, &groups, block.len());
            let mut masked: Vec<Option<group::Groups>> = masks.iter().map(|_| None).collect();
            for accumulator in &mut accumulators {
                let groups = match accumulator.mask {
                    Some(mask) if !masks[mask].is_all() => {
                        &*masked[mask].get_or_insert_with(|| {
                            masks[mask].fill(block, &mut slots, &mut keep);
                            groups.only(&keep)
                        })
                    }
                    _ => &groups,
                };
                accumulator.update(block, groups, &mut slots);
            }
            if number % CHECK_BLOCKS == 0 {
                job.limits.check()?;
                let held = rows.capacity() * 8
                    + accumulators.iter().map(Accumulator::bytes).sum::<usize>();
                if held > charged {
                    job.memory.take(held - charged)?;
                    charged = held;
                }
                if !numbering.is_dense() && cells > job.limits.groups.saturating_add(1) {
                    return Err(QueryError::TooManyGroups { limit: job.limits.groups });
                }
            }
        }
        if rows.is_empty() {
            rows.resize(numbering.cells() + 1, 0);
            accumulators.iter_mut().for_each(|accumulator| accumulator.grow(numbering.cells()));
        }
        let partial = partial::finish(&numbering, &slots, &rows, accumulators, alone);
        job.memory.give_back(charged);
        partial
    }

    /// How many cells dense accumulators may have: not many more than there are rows to fill them,
    /// and not more than fit into memory with all measures beside each other.
    fn cells_max(&self, rows: usize) -> u64 {
        let cell_bytes = 8 + self.measures.len() as u64 * MEASURE_BYTES;
        (rows as u64 * CELLS_PER_ROW)
            .max(CELLS_MIN)
            .min(CELLS_BYTES_MAX / cell_bytes)
            .min(CELLS_MAX)
    }

    fn accumulators(
        &self,
        view: &Ready<'_>,
        slots: &mut Slots,
        cells: Option<usize>,
    ) -> Result<Vec<Accumulator>, QueryError> {
        let mut accumulators = Vec::with_capacity(self.measures.len());
        for planned in &self.measures {
            let accumulator = match (planned.exists, measured(planned.measure), planned.kind) {
                (Some(exists), _, _) => {
                    let mask = Some(self.masks.len() + exists);
                    Accumulator::new(&Measure::Rows, None, mask, slots, cells)
                }
                (None, Some(name), Some(kind)) => {
                    let slot = slots.open(&view.place.view, name, kind)?;
                    let mut accumulator =
                        Accumulator::new(planned.measure, slot, planned.mask, slots, cells);
                    accumulator.shared =
                        self.translation(view, slots, slot, planned.shared.as_ref())?;
                    accumulator
                }
                _ => Accumulator::new(planned.measure, None, planned.mask, slots, cells),
            };
            accumulators.push(accumulator);
        }
        Ok(accumulators)
    }

    /// The number of each ordinal of the column in `slot` that groups are merged by.
    fn translation(
        &self,
        view: &Ready<'_>,
        slots: &Slots,
        slot: Option<usize>,
        shared: Option<&Arc<Ordinals>>,
    ) -> Result<Option<Arc<[u32]>>, QueryError> {
        let Some(slot) = slot else { return Ok(None) };
        let Column::Keyword(column) = slots.get(slot).column() else { return Ok(None) };
        if self.keeps_ordinals {
            return Ok(Some((0..column.cardinality()).collect()));
        }
        let Some(shared) = shared else { return Ok(None) };
        Ok(Some(view.place.view.translation(shared, column)?))
    }

    fn numbering(&self, view: &Ready<'_>, slots: &mut Slots) -> Result<Numbering, QueryError> {
        let mut dimensions = Vec::with_capacity(self.groups.len());
        let kinds = self.group_kinds.iter().zip(&self.shared);
        for ((group, (kind, shared)), masks) in self.groups.iter().zip(kinds).zip(&view.filters) {
            let slot = match (&group.by, kind) {
                (
                    GroupBy::Terms(name)
                    | GroupBy::Date { field: name, .. }
                    | GroupBy::Number { field: name, .. }
                    | GroupBy::Ranges { field: name, .. }
                    | GroupBy::Mapped { field: name, .. },
                    Some(kind),
                ) => slots.open(&view.place.view, name, *kind)?,
                _ => None,
            };
            let coder = match (&group.by, slot) {
                (GroupBy::Filters(_), _) => Coder::Filters { masks: masks.clone() },
                (_, None) => Coder::Missing,
                (GroupBy::Terms(_), Some(number)) => {
                    let shared = self.translation(view, slots, slot, shared.as_ref())?;
                    terms_coder(slots, number, shared)
                }
                (GroupBy::Date { field, interval, time_zone, offset_ms }, Some(slot)) => {
                    let rounding = Rounding {
                        interval: *interval,
                        time_zone: *time_zone,
                        offset_ms: *offset_ms,
                    };
                    let sorted = view.place.view.sorted_by(field).is_some();
                    dates_coder(slots, slot, rounding, sorted)
                }
                (GroupBy::Number { interval, offset, .. }, Some(slot)) => {
                    steps_coder(slots, slot, *interval, *offset)
                }
                (GroupBy::Ranges { field, ranges }, Some(slot)) => {
                    match self.pieces.as_ref().filter(|_| dimensions.is_empty()) {
                        Some(edges) => {
                            let sorted = view.place.view.sorted_by(field).is_some();
                            Coder::Dates { slot, intervals: windows::intervals(edges), sorted }
                        }
                        None => Coder::Ranges { slot, ranges: ranges.clone() },
                    }
                }
                (GroupBy::Mapped { mapping, .. }, Some(slot)) => {
                    mapped_coder(slots, slot, mapping)?
                }
            };
            dimensions.push(Dimension::new(coder, group.keep_missing));
        }
        Ok(Numbering::new(dimensions, self.cells_max(view.selection.len())))
    }
}

/// Where the intervals that `first..=last` touches begin; `None` if there are more than `most`.
pub(crate) fn interval_starts(
    interval: Interval,
    time_zone: chrono_tz::Tz,
    first: i64,
    last: i64,
    most: usize,
) -> Option<Vec<i64>> {
    let mut edges = interval_edges(interval, time_zone, first, last, most)?;
    edges.pop();
    Some(edges)
}

/// Where the intervals that `first..=last` touches begin, and where the last of them ends.
pub(crate) fn interval_edges(
    interval: Interval,
    time_zone: chrono_tz::Tz,
    first: i64,
    last: i64,
    most: usize,
) -> Option<Vec<i64>> {
    let rounding = Rounding { interval, time_zone, offset_ms: 0 };
    let intervals = Intervals::between(&rounding, first, last.max(first), most)?;
    Some((0..=intervals.len()).map(|number| intervals.start(number)).collect())
}

/// The field that a measure is about.
fn measured(measure: &Measure) -> Option<&str> {
    match measure {
        Measure::Rows => None,
        Measure::Values(name)
        | Measure::Sum(name)
        | Measure::Min(name)
        | Measure::Max(name)
        | Measure::Mean(name)
        | Measure::SumOfSquares(name)
        | Measure::Distinct(name)
        | Measure::DistinctApprox(name)
        | Measure::Quantiles(name, _) => Some(name),
    }
}

/// The numbers that all views share, where all are views of one table: else a keyword of the one
/// has nothing to do with that of the other.
fn shared_ordinals(job: &Ground<'_>, name: &str) -> Result<Option<Arc<Ordinals>>, QueryError> {
    let ([_], Some(first)) = (job.tables, job.places.first()) else { return Ok(None) };
    let mut strings = 0;
    for place in job.places {
        if let Some(Column::Keyword(column)) = place.view.column(name)? {
            strings += u64::from(column.cardinality());
        }
    }
    Ok((strings <= SHARED_MAX).then(|| first.view.ordinals(name)))
}

fn terms_coder(slots: &Slots, slot: usize, shared: Option<Arc<[u32]>>) -> Coder {
    let opened = slots.get(slot);
    if opened.has_doubles() {
        return Coder::Doubles { slot, seen: Interner::new() };
    }
    match opened.column() {
        Column::Keyword(column) => Coder::Ords { slot, cardinality: column.cardinality(), shared },
        Column::Bool(_) => Coder::NearLongs { slot, first: 0, count: 2 },
        Column::Long(column) => match near(column.min(), column.max()) {
            Some(count) => Coder::NearLongs { slot, first: column.min(), count },
            None => Coder::Longs { slot, seen: Interner::new() },
        },
        Column::Double(_) => Coder::Doubles { slot, seen: Interner::new() },
    }
}

fn dates_coder(slots: &Slots, slot: usize, rounding: Rounding, sorted: bool) -> Coder {
    let far = Coder::FarDates { slot, rounding, seen: Interner::new() };
    let Column::Long(column) = slots.get(slot).column() else { return far };
    match Intervals::between(&rounding, column.min(), column.max(), NEAR_MAX) {
        Some(intervals) => Coder::Dates { slot, intervals, sorted },
        None => far,
    }
}

fn mapped_coder(
    slots: &Slots,
    slot: usize,
    mapping: &Arc<crate::Mapping>,
) -> Result<Coder, QueryError> {
    let Column::Keyword(column) = slots.get(slot).column() else { return Ok(Coder::Missing) };
    let ords: Vec<u32> = (0..column.cardinality()).collect();
    let code = |term: &String| mapping.of.get(term).map_or(0, |place| place + 1);
    let codes = column.terms(&ords)?.iter().map(code).collect();
    Ok(Coder::Mapped { slot, codes, mapping: Arc::clone(mapping) })
}

fn steps_coder(slots: &Slots, slot: usize, interval: f64, offset: f64) -> Coder {
    let step = |value: f64| ((value - offset) / interval).floor() as i64;
    let ends = match slots.get(slot).column() {
        Column::Long(column) => Some((step(column.min() as f64), step(column.max() as f64))),
        Column::Double(column) => Some((step(column.min()), step(column.max()))),
        Column::Bool(_) => Some((step(0.0), step(1.0))),
        Column::Keyword(_) => None,
    };
    match ends.and_then(|(first, last)| Some((first, near(first, last)?))) {
        Some((first, count)) => Coder::NearSteps { slot, interval, offset, first, count },
        None => Coder::Steps { slot, interval, offset, seen: Interner::new() },
    }
}

/// How many integers there are from `first` to `last`, if that is worth a table.
fn near(first: i64, last: i64) -> Option<u32> {
    let span = last.checked_sub(first).filter(|span| (0..NEAR_MAX as i64).contains(span))?;
    u32::try_from(span + 1).ok()
}

impl Ready<'_> {
    /// The view in parts of nearly equal size. Where they are cut depends on the rows alone, so
    /// that sums of floats come out the same every time.
    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let rows = self.selection.len();
        let count = rows.div_ceil(PART_ROWS);
        let size = rows.div_ceil(count.max(1)).next_multiple_of(BLOCK);
        (0..rows).step_by(size.max(1)).map(move |from| Piece {
            view: self,
            from,
            to: (from + size).min(rows),
        })
    }
}

impl Piece<'_> {
    fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let (from, to) = (self.from, self.to);
        (from..to).step_by(BLOCK).map(move |at| {
            let len = BLOCK.min(to - at);
            match &*self.view.selection {
                Selection::All(_) => Block::Run { start: at as u32, len: len as u32 },
                Selection::Run(run) => Block::Run { start: run.start + at as u32, len: len as u32 },
                Selection::Rows(rows) => Block::Rows(&rows[at..at + len]),
            }
        })
    }
}
