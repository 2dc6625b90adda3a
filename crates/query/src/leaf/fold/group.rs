//! From the rows of a block to the numbers of their groups.

use super::block::{Loaded, Mask, Slots};
use super::dates::{Intervals, Rounding};
use crate::{Mapping, QueryError};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use storage::{Block, Column};

/// A row that belongs to no group.
const LEFT_OUT: u32 = u32::MAX;

/// The groups of the rows of a block. Groups are numbered from 1; 0 collects what is left out,
/// so that loops need no branch.
pub(super) enum Groups {
    /// All rows are in this one.
    One(u32),
    /// One for each row.
    Each(Vec<u32>),
    /// Pairs of a row's place and a group; places never fall.
    Many {
        /// Places in the block.
        rows: Vec<u32>,
        /// Groups.
        groups: Vec<u32>,
    },
}

impl Groups {
    /// The same groups with only the rows that `keep` marks.
    pub(super) fn only(&self, keep: &[bool]) -> Groups {
        match self {
            Groups::One(group) => {
                Groups::Each(keep.iter().map(|&keep| if keep { *group } else { 0 }).collect())
            }
            Groups::Each(groups) => {
                let only = groups.iter().zip(keep);
                Groups::Each(only.map(|(&group, &keep)| if keep { group } else { 0 }).collect())
            }
            Groups::Many { rows, groups } => {
                let pairs = rows.iter().zip(groups).filter(|(row, _)| keep[**row as usize]);
                let (rows, groups) = pairs.map(|(&row, &group)| (row, group)).unzip();
                Groups::Many { rows, groups }
            }
        }
    }
}

/// Numbers for values in the order of their first appearance.
pub(super) struct Interner<K> {
    numbers: HashMap<K, u32, RandomState>,
    keys: Vec<K>,
}

impl<K: Hash + Eq + Clone> Interner<K> {
    /// Without a value.
    pub(super) fn new() -> Interner<K> {
        Interner { numbers: HashMap::default(), keys: Vec::new() }
    }

    /// The number of a value.
    pub(super) fn number(&mut self, key: K) -> u32 {
        let next = self.keys.len() as u32;
        *self.numbers.entry(key).or_insert_with_key(|key| {
            self.keys.push(key.clone());
            next
        })
    }

    /// The values by number.
    pub(super) fn keys(&self) -> &[K] {
        &self.keys
    }
}

/// The distinct values behind the codes of a dimension.
pub(super) enum Keys {
    /// Keywords.
    Strings(Vec<String>),
    /// Keywords by the numbers that all views share.
    Shared(Vec<u32>),
    /// Integers, dates, booleans.
    Longs(Vec<i64>),
    /// Floats by their bits.
    Doubles(Vec<u64>),
}

/// One group key over one view: rows to codes. Code 0 stands for a missing value, others count
/// from 1.
pub(super) struct Dimension {
    coder: Coder,
    keep_missing: bool,
}

/// How values become codes.
pub(super) enum Coder {
    /// No row has a value.
    Missing,
    /// Ordinals of a keyword; with shared numbers, these are the keys.
    Ords { slot: usize, cardinality: u32, shared: Option<Arc<[u32]>> },
    /// Integers in a small range.
    NearLongs { slot: usize, first: i64, count: u32 },
    /// Any integers.
    Longs { slot: usize, seen: Interner<i64> },
    /// Floats.
    Doubles { slot: usize, seen: Interner<u64> },
    /// Few date intervals.
    Dates { slot: usize, intervals: Intervals, sorted: bool },
    /// Many date intervals.
    FarDates { slot: usize, rounding: Rounding, seen: Interner<i64> },
    /// Few number intervals, by their number from `offset`.
    NearSteps { slot: usize, interval: f64, offset: f64, first: i64, count: u32 },
    /// Many number intervals.
    Steps { slot: usize, interval: f64, offset: f64, seen: Interner<i64> },
    /// Ranges that may overlap.
    Ranges { slot: usize, ranges: Vec<(Option<f64>, Option<f64>)> },
    /// Filters that may overlap.
    Filters { masks: Vec<Arc<Mask>> },
    /// What another table says about a keyword: for each ordinal 0 or 1 + the place of a value.
    Mapped { slot: usize, codes: Vec<u32>, mapping: Arc<Mapping> },
}

/// The codes of a block.
enum Codes {
    One(u32),
    Each(Vec<u32>),
    Many { rows: Vec<u32>, codes: Vec<u32> },
}

impl Dimension {
    /// A group key.
    pub(super) fn new(coder: Coder, keep_missing: bool) -> Dimension {
        Dimension { coder, keep_missing }
    }

    /// How many codes there can be, if that is known beforehand.
    fn cardinality(&self) -> Option<u64> {
        let values = match &self.coder {
            Coder::Missing => 0,
            Coder::Ords { cardinality, .. } => u64::from(*cardinality),
            Coder::NearLongs { count, .. } | Coder::NearSteps { count, .. } => u64::from(*count),
            Coder::Dates { intervals, .. } => intervals.len() as u64,
            Coder::Ranges { ranges, .. } => ranges.len() as u64,
            Coder::Filters { masks } => masks.len() as u64,
            Coder::Mapped { mapping, .. } => mapping.values.len() as u64,
            Coder::Longs { .. }
            | Coder::Doubles { .. }
            | Coder::FarDates { .. }
            | Coder::Steps { .. } => return None,
        };
        Some(values + 1)
    }

    /// The values of these codes, ascending and without 0.
    pub(super) fn keys(&self, slots: &Slots, codes: &[u32]) -> Result<Keys, QueryError> {
        let longs =
            |of: &dyn Fn(u32) -> i64| Keys::Longs(codes.iter().map(|c| of(c - 1)).collect());
        Ok(match &self.coder {
            Coder::Missing => Keys::Longs(Vec::new()),
            Coder::Ords { shared: Some(shared), .. } => {
                Keys::Shared(codes.iter().map(|&code| shared[code as usize - 1]).collect())
            }
            Coder::Ords { slot, .. } => {
                let ords: Vec<u32> = codes.iter().map(|code| code - 1).collect();
                match slots.get(*slot).column() {
                    Column::Keyword(column) => Keys::Strings(column.terms(&ords)?),
                    _ => return Err(QueryError::Internal("a dimension".to_owned())),
                }
            }
            Coder::NearLongs { first, .. } => longs(&|code| first.wrapping_add(i64::from(code))),
            Coder::Longs { seen, .. } | Coder::FarDates { seen, .. } => {
                longs(&|code| seen.keys()[code as usize])
            }
            Coder::Doubles { seen, .. } => {
                Keys::Doubles(codes.iter().map(|&code| seen.keys()[code as usize - 1]).collect())
            }
            Coder::Dates { intervals, .. } => longs(&|code| intervals.start(code as usize)),
            Coder::Steps { interval, offset, seen, .. } => {
                let value = |code: &u32| {
                    let step = seen.keys()[*code as usize - 1];
                    canonical(step as f64 * interval + offset)
                };
                Keys::Doubles(codes.iter().map(value).collect())
            }
            Coder::NearSteps { interval, offset, first, .. } => {
                let value = |code: &u32| {
                    canonical((first + i64::from(code - 1)) as f64 * interval + offset)
                };
                Keys::Doubles(codes.iter().map(value).collect())
            }
            Coder::Ranges { .. } | Coder::Filters { .. } => longs(&i64::from),
            Coder::Mapped { mapping, .. } => {
                let value = |code: &u32| mapping.values[*code as usize - 1].clone();
                Keys::Strings(codes.iter().map(value).collect())
            }
        })
    }

    fn codes(&mut self, block: Block<'_>, slots: &mut Slots) -> Codes {
        let missing = if self.keep_missing { 0 } else { LEFT_OUT };
        match &mut self.coder {
            Coder::Missing => Codes::One(missing),
            Coder::Ords { slot, .. } => {
                coded(slots.load(*slot, block).ords(), block.len(), missing, |ord| ord + 1)
            }
            Coder::NearLongs { slot, first, .. } => {
                let first = first.wrapping_sub(1);
                let code = |value: i64| value.wrapping_sub(first) as u32;
                coded(slots.load(*slot, block).longs(), block.len(), missing, code)
            }
            Coder::Longs { slot, seen } => {
                let code = |value| seen.number(value) + 1;
                coded(slots.load(*slot, block).longs(), block.len(), missing, code)
            }
            Coder::Doubles { slot, seen } => {
                let code = |value| seen.number(canonical(value)) + 1;
                coded(slots.load(*slot, block).doubles(), block.len(), missing, code)
            }
            Coder::Dates { slot, intervals, sorted } => {
                if *sorted && let Some(number) = same_interval(slots, *slot, block, intervals) {
                    return Codes::One(number + 1);
                }
                let mut cursor = intervals.cursor();
                let code = |value| cursor.number(value) + 1;
                coded(slots.load(*slot, block).longs(), block.len(), missing, code)
            }
            Coder::FarDates { slot, rounding, seen } => {
                let code = |value| seen.number(rounding.start(value)) + 1;
                coded(slots.load(*slot, block).longs(), block.len(), missing, code)
            }
            Coder::NearSteps { slot, interval, offset, first, .. } => {
                let code = |value: f64| {
                    ((((value - *offset) / *interval).floor() as i64) - *first + 1) as u32
                };
                let slot = slots.load(*slot, block);
                match slot.has_doubles() {
                    true => coded(slot.doubles(), block.len(), missing, code),
                    false => coded(slot.longs(), block.len(), missing, |v| code(v as f64)),
                }
            }
            Coder::Steps { slot, interval, offset, seen } => {
                let mut code =
                    |value: f64| seen.number(((value - *offset) / *interval).floor() as i64) + 1;
                let slot = slots.load(*slot, block);
                match slot.has_doubles() {
                    true => coded(slot.doubles(), block.len(), missing, code),
                    false => coded(slot.longs(), block.len(), missing, |v| code(v as f64)),
                }
            }
            Coder::Ranges { slot, ranges } => {
                let slot = slots.load(*slot, block);
                match slot.has_doubles() {
                    true => in_ranges(slot.doubles(), block.len(), missing, ranges, |v| v),
                    false => in_ranges(slot.longs(), block.len(), missing, ranges, |v| v as f64),
                }
            }
            Coder::Filters { masks } => in_filters(block, missing, masks),
            Coder::Mapped { slot, codes, .. } => {
                let code = |ord: u32| match codes[ord as usize] {
                    0 => missing,
                    code => code,
                };
                coded(slots.load(*slot, block).ords(), block.len(), missing, code)
            }
        }
    }
}

/// One number for every way to write the same float.
pub(super) fn canonical(value: f64) -> u64 {
    if value == 0.0 { 0 } else { value.to_bits() }
}

/// The interval of a whole block of sorted rows, from its first and last row alone.
fn same_interval(
    slots: &Slots,
    slot: usize,
    block: Block<'_>,
    intervals: &Intervals,
) -> Option<u32> {
    let Column::Long(column) = slots.get(slot).column() else { return None };
    if block.len() < 2 || !column.is_full() {
        return None;
    }
    let mut ends = Vec::with_capacity(2);
    column.values(Block::Rows(&[block.row(0), block.row(block.len() - 1)]), &mut ends);
    let first = intervals.number(ends[0]);
    (first == intervals.number(ends[1])).then_some(first)
}

/// Codes of one value each; of several equal codes of a row one is kept.
fn coded<T: Copy>(
    loaded: Loaded<'_, T>,
    len: usize,
    missing: u32,
    mut code: impl FnMut(T) -> u32,
) -> Codes {
    match loaded {
        Loaded::Full(values) => Codes::Each(values.iter().map(|&value| code(value)).collect()),
        Loaded::Some(values, present) => {
            let pairs = values.iter().zip(present);
            let code =
                |(&value, &present): (&T, &bool)| if present { code(value) } else { missing };
            Codes::Each(pairs.map(code).collect())
        }
        Loaded::Many(rows, values) => {
            let pairs = rows.iter().zip(values).map(|(&row, &value)| (row, code(value)));
            distinct_pairs(pairs, len, missing)
        }
    }
}

/// Pairs of row and code: each once, and one for each row without any if missing ones are kept.
fn distinct_pairs(pairs: impl Iterator<Item = (u32, u32)>, len: usize, missing: u32) -> Codes {
    let (mut rows, mut codes): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut next = 0;
    let mut start = 0;
    let fill = |rows: &mut Vec<u32>, codes: &mut Vec<u32>, from: u32, to: u32| {
        if missing != LEFT_OUT {
            rows.extend(from..to);
            codes.extend((from..to).map(|_| missing));
        }
    };
    for (row, code) in pairs {
        if row >= next {
            fill(&mut rows, &mut codes, next, row);
            next = row + 1;
            start = codes.len();
        }
        if !codes[start..].contains(&code) {
            rows.push(row);
            codes.push(code);
        }
    }
    fill(&mut rows, &mut codes, next, len as u32);
    Codes::Many { rows, codes }
}

fn in_ranges<T: Copy>(
    loaded: Loaded<'_, T>,
    len: usize,
    missing: u32,
    ranges: &[(Option<f64>, Option<f64>)],
    number: impl Fn(T) -> f64,
) -> Codes {
    let inside = |value: f64, range: &(Option<f64>, Option<f64>)| {
        range.0.is_none_or(|from| value >= from) && range.1.is_none_or(|to| value < to)
    };
    let mut pairs = Vec::new();
    let mut see = |row: u32, value: T| {
        let value = number(value);
        let matching = (1..).zip(ranges).filter(|(_, range)| inside(value, range));
        pairs.extend(matching.map(|(code, _)| (row, code)));
    };
    match loaded {
        Loaded::Full(values) => (0..).zip(values).for_each(|(row, &value)| see(row, value)),
        Loaded::Some(values, present) => {
            let there = (0..).zip(values).zip(present).filter(|(_, present)| **present);
            there.for_each(|((row, &value), _)| see(row, value));
        }
        Loaded::Many(rows, values) => {
            rows.iter().zip(values).for_each(|(&row, &value)| see(row, value));
        }
    }
    distinct_pairs(pairs.into_iter(), len, missing)
}

fn in_filters(block: Block<'_>, missing: u32, masks: &[Arc<Mask>]) -> Codes {
    let pairs = (0..block.len() as u32).flat_map(|place| {
        let row = block.row(place as usize);
        let matching = (1..).zip(masks).filter(move |(_, mask)| mask.has(row));
        matching.map(move |(code, _)| (place, code))
    });
    distinct_pairs(pairs, block.len(), missing)
}

/// How the code of one more dimension joins the number of the dimensions before it.
enum Stage {
    /// `before * cardinality + code`.
    Dense { cardinality: u32 },
    /// By a map.
    Mapped(Interner<u64>),
}

/// The numbering of groups over one view.
pub(super) struct Numbering {
    dimensions: Vec<Dimension>,
    stages: Vec<Stage>,
    /// How many groups there can be, while every stage is dense.
    dense: Option<u64>,
}

impl Numbering {
    /// Groups are numbered densely while there can be at most `cells_max` of them.
    pub(super) fn new(dimensions: Vec<Dimension>, cells_max: u64) -> Numbering {
        let mut dense = Some(1u64);
        let mut stages = Vec::new();
        for (place, dimension) in dimensions.iter().enumerate() {
            let cells = match (dense, dimension.cardinality()) {
                // A single key is worth a table of any size: its memory is charged.
                (Some(before), Some(here)) => {
                    before.checked_mul(here).filter(|cells| *cells <= cells_max || place == 0)
                }
                _ => None,
            };
            stages.push(match (cells, dimension.cardinality()) {
                (Some(_), Some(here)) => Stage::Dense { cardinality: here as u32 },
                // The codes of a first dimension are numbers already, found as rows come.
                _ if place == 0 => Stage::Dense { cardinality: u32::MAX },
                _ => Stage::Mapped(Interner::new()),
            });
            dense = cells;
        }
        Numbering { dimensions, stages, dense }
    }

    /// How many groups there can be so far, not counting the one for what is left out.
    pub(super) fn cells(&self) -> usize {
        if let Some(dense) = self.dense {
            return dense as usize;
        }
        match (self.stages.last(), self.dimensions.last().map(|dimension| &dimension.coder)) {
            (Some(Stage::Mapped(seen)), _) => seen.keys().len(),
            (_, Some(Coder::Longs { seen, .. } | Coder::FarDates { seen, .. })) => {
                seen.keys().len() + 1
            }
            (_, Some(Coder::Steps { seen, .. })) => seen.keys().len() + 1,
            (_, Some(Coder::Doubles { seen, .. })) => seen.keys().len() + 1,
            _ => 1,
        }
    }

    /// Whether [`Numbering::cells`] never grows.
    pub(super) fn is_dense(&self) -> bool {
        self.dense.is_some()
    }

    /// The dimensions.
    pub(super) fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// The groups of a block.
    pub(super) fn groups(&mut self, block: Block<'_>, slots: &mut Slots) -> Groups {
        let mut numbers = Codes::One(0);
        for (dimension, stage) in self.dimensions.iter_mut().zip(&mut self.stages) {
            let codes = dimension.codes(block, slots);
            numbers = join(numbers, codes, block.len(), stage);
        }
        // 0 is for what is left out, and LEFT_OUT + 1 is 0.
        let shift = |numbers: Vec<u32>| numbers.into_iter().map(|n| n.wrapping_add(1)).collect();
        match numbers {
            Codes::One(number) => Groups::One(number.wrapping_add(1)),
            Codes::Each(numbers) => Groups::Each(shift(numbers)),
            Codes::Many { rows, codes } => Groups::Many { rows, groups: shift(codes) },
        }
    }

    /// The code of each dimension for a group number (from 0).
    pub(super) fn codes_of(&self, mut number: u32, out: &mut [u32]) {
        for (place, stage) in self.stages.iter().enumerate().rev() {
            match stage {
                Stage::Dense { cardinality } => {
                    out[place] = number % cardinality;
                    number /= cardinality;
                }
                Stage::Mapped(seen) => {
                    let key = seen.keys()[number as usize];
                    out[place] = key as u32;
                    number = (key >> 32) as u32;
                }
            }
        }
    }
}

impl Stage {
    #[inline]
    fn join(&mut self, before: u32, code: u32) -> u32 {
        if before == LEFT_OUT || code == LEFT_OUT {
            return LEFT_OUT;
        }
        match self {
            Stage::Dense { cardinality } => before.wrapping_mul(*cardinality).wrapping_add(code),
            Stage::Mapped(seen) => seen.number(u64::from(before) << 32 | u64::from(code)),
        }
    }
}

fn join(before: Codes, codes: Codes, len: usize, stage: &mut Stage) -> Codes {
    match (before, codes) {
        (Codes::One(before), Codes::One(code)) => Codes::One(stage.join(before, code)),
        // The first dimension of all: its codes are the numbers.
        (Codes::One(0), codes) if matches!(stage, Stage::Dense { .. }) => codes,
        (Codes::One(before), Codes::Each(mut codes)) => {
            codes.iter_mut().for_each(|code| *code = stage.join(before, *code));
            Codes::Each(codes)
        }
        (Codes::Each(mut before), Codes::One(code)) => {
            before.iter_mut().for_each(|number| *number = stage.join(*number, code));
            Codes::Each(before)
        }
        (Codes::Each(mut before), Codes::Each(codes)) => {
            let pairs = before.iter_mut().zip(codes);
            pairs.for_each(|(number, code)| *number = stage.join(*number, code));
            Codes::Each(before)
        }
        (before, codes) => join_many(pairs(before, len), pairs(codes, len), stage),
    }
}

/// Every combination of a row's numbers and codes.
fn join_many(before: Vec<(u32, u32)>, codes: Vec<(u32, u32)>, stage: &mut Stage) -> Codes {
    let (mut rows, mut numbers) = (Vec::new(), Vec::new());
    let mut from = 0;
    for (row, number) in before {
        while from < codes.len() && codes[from].0 < row {
            from += 1;
        }
        for &(_, code) in codes[from..].iter().take_while(|(other, _)| *other == row) {
            let joined = stage.join(number, code);
            if joined != LEFT_OUT {
                rows.push(row);
                numbers.push(joined);
            }
        }
    }
    Codes::Many { rows, codes: numbers }
}

fn pairs(codes: Codes, len: usize) -> Vec<(u32, u32)> {
    match codes {
        Codes::One(code) => (0..len as u32).map(|row| (row, code)).collect(),
        Codes::Each(codes) => (0..).zip(codes).collect(),
        Codes::Many { rows, codes } => rows.into_iter().zip(codes).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_equal_codes_of_a_row_count_once_and_missing_rows_are_filled() {
        let pairs = [(1, 5), (1, 5), (1, 6), (3, 5)];
        let Codes::Many { rows, codes } = distinct_pairs(pairs.into_iter(), 5, 0) else {
            panic!("pairs stay pairs");
        };
        assert_eq!(rows, [0, 1, 1, 2, 3, 4]);
        assert_eq!(codes, [0, 5, 6, 0, 5, 0]);
        let Codes::Many { rows, .. } = distinct_pairs(pairs.into_iter(), 5, LEFT_OUT) else {
            panic!("pairs stay pairs");
        };
        assert_eq!(rows, [1, 1, 3]);
    }

    #[test]
    fn rows_with_several_values_are_combined() {
        let mut stage = Stage::Dense { cardinality: 10 };
        let joined =
            join_many(vec![(0, 1), (0, 2), (2, 3)], vec![(0, 4), (1, 5), (2, 6)], &mut stage);
        let Codes::Many { rows, codes } = joined else { panic!("pairs stay pairs") };
        assert_eq!(rows, [0, 0, 2]);
        assert_eq!(codes, [14, 24, 36]);
    }
}
