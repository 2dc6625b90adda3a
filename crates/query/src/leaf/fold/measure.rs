//! Accumulators of one measure over the groups of one view.

use super::block::{Loaded, Slot, Slots};
use super::group::{Groups, canonical};
use super::quantile::Sample;
use crate::Measure;
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use std::ops::AddAssign;
use std::sync::Arc;
use storage::{Block, Column};

/// How many bits a set of distinct ordinals may take before it becomes a hash set: 64 MiB.
const BITS_MAX: u64 = 1 << 29;
/// How many cells a sum has while there are few groups; a power of two …
const LANES: usize = 4;
/// … which is up to this many.
const LANED_MAX: usize = 4096;

/// One measure over one view.
pub(super) struct Accumulator {
    /// Where its values come from; `None` if it counts rows, or the view has no value.
    slot: Option<usize>,
    /// Which mask of the fold its rows have to pass.
    pub(super) mask: Option<usize>,
    /// How many values each group has; `None` if that is the group's own number of rows.
    pub(super) seen: Option<Vec<u64>>,
    /// What is accumulated, one for each group and one at the front for what is left out.
    pub(super) state: State,
    /// The numbers that all views share, by the ordinals of this one.
    pub(super) shared: Option<Arc<[u32]>>,
}

/// What is accumulated.
pub(super) enum State {
    /// Nothing: no row of the view has a value.
    Nothing,
    /// The group's own number of rows.
    Rows,
    /// [`Accumulator::seen`] is the answer: masked rows, or values.
    Seen,
    /// Sums of integers.
    LongSum(Sums<i128>),
    /// Sums of floats.
    DoubleSum(Sums<f64>),
    /// Sums of squares.
    Squares(Sums<f64>),
    /// Smallest or largest integer.
    LongEnd { ends: Vec<i64>, largest: bool },
    /// Smallest or largest float.
    DoubleEnd { ends: Vec<f64>, largest: bool },
    /// Smallest or largest ordinal.
    OrdEnd { ends: Vec<u32>, largest: bool },
    /// Distinct codes, one bit each; a code is an ordinal or the distance from `first`.
    Bits { bits: Vec<u64>, words: usize, first: i64 },
    /// Distinct pairs of group and value.
    Set(HashSet<(u32, u64), RandomState>),
    /// Values.
    Samples(Vec<Sample>),
}

/// Sums with the number of their values. Few groups have several cells each, which take turns:
/// adding to the cell that was just written would wait for it.
pub(super) struct Sums<T> {
    cells: Vec<(T, u64)>,
    lanes: usize,
    turn: usize,
}

impl<T: Copy + Default + AddAssign> Sums<T> {
    /// `cells`: how many groups there can be, if that is known.
    fn new(cells: Option<usize>) -> Sums<T> {
        let lanes = if cells.is_some_and(|cells| cells <= LANED_MAX) { LANES } else { 1 };
        Sums { cells: Vec::new(), lanes, turn: 0 }
    }

    fn grow(&mut self, groups: usize) {
        let len = (groups * self.lanes).max(self.cells.len());
        self.cells.resize(len, (T::default(), 0));
    }

    #[inline]
    fn add(&mut self, group: usize, sum: T, values: u64) {
        self.turn = (self.turn + 1) & (self.lanes - 1);
        let cell = &mut self.cells[group * self.lanes + self.turn];
        cell.0 += sum;
        cell.1 += values;
    }

    /// The sum of a group and the number of its values.
    pub(super) fn of(&self, group: u32) -> (T, u64) {
        let cells = &self.cells[group as usize * self.lanes..][..self.lanes];
        let mut all = (T::default(), 0);
        for (sum, values) in cells {
            all.0 += *sum;
            all.1 += values;
        }
        all
    }

    fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<(T, u64)>()
    }
}

impl Accumulator {
    /// The accumulator of `measure`; `slot` is its field's column, `None` without one.
    pub(super) fn new(
        measure: &Measure,
        slot: Option<usize>,
        mask: Option<usize>,
        slots: &Slots,
        cells: Option<usize>,
    ) -> Accumulator {
        if *measure == Measure::Rows {
            let state = if mask.is_some() { State::Seen } else { State::Rows };
            return Accumulator {
                slot: None,
                mask,
                seen: mask.map(|_| Vec::new()),
                state,
                shared: None,
            };
        }
        let Some(number) = slot else {
            return Accumulator {
                slot: None,
                mask,
                seen: None,
                state: State::Nothing,
                shared: None,
            };
        };
        let slot = slots.get(number);
        let state = State::new(measure, slot, cells);
        let needs_count = !matches!(
            state,
            State::LongSum(_)
                | State::DoubleSum(_)
                | State::Squares(_)
                | State::Bits { .. }
                | State::Set(_)
                | State::Samples(_)
        );
        let counts = mask.is_some() || !slot.is_full() || matches!(state, State::Seen);
        let seen = (needs_count && counts).then(Vec::new);
        Accumulator { slot: Some(number), mask, seen, state, shared: None }
    }

    /// Where its values come from.
    pub(super) fn slot(&self) -> Option<usize> {
        self.slot
    }

    /// Makes room for groups up to `cells`.
    pub(super) fn grow(&mut self, cells: usize) {
        let len = cells + 1;
        if let Some(seen) = &mut self.seen {
            seen.resize(len.max(seen.len()), 0);
        }
        match &mut self.state {
            State::Nothing | State::Rows | State::Seen | State::Set(_) => {}
            State::LongSum(sums) => sums.grow(len),
            State::DoubleSum(sums) | State::Squares(sums) => sums.grow(len),
            State::LongEnd { ends, largest } => {
                ends.resize(len.max(ends.len()), if *largest { i64::MIN } else { i64::MAX });
            }
            State::DoubleEnd { ends, largest } => {
                let worst = if *largest { f64::NEG_INFINITY } else { f64::INFINITY };
                ends.resize(len.max(ends.len()), worst);
            }
            State::OrdEnd { ends, largest } => {
                ends.resize(len.max(ends.len()), if *largest { 0 } else { u32::MAX });
            }
            State::Bits { bits, words, .. } => bits.resize((len * *words).max(bits.len()), 0),
            State::Samples(samples) => samples.resize(len.max(samples.len()), Sample::default()),
        }
    }

    /// How many bytes it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, |seen| seen.capacity() * 8);
        seen + match &self.state {
            State::Nothing | State::Rows | State::Seen => 0,
            State::LongSum(sums) => sums.bytes(),
            State::DoubleSum(sums) | State::Squares(sums) => sums.bytes(),
            State::LongEnd { ends, .. } => ends.capacity() * 8,
            State::DoubleEnd { ends, .. } => ends.capacity() * 8,
            State::OrdEnd { ends, .. } => ends.capacity() * 4,
            State::Bits { bits, .. } => bits.capacity() * 8,
            State::Set(set) => set.capacity() * 18,
            State::Samples(samples) => {
                samples.iter().map(|sample| sample.bytes() + 24).sum::<usize>()
            }
        }
    }

    /// Adds the rows of a block.
    pub(super) fn update(&mut self, block: Block<'_>, groups: &Groups, slots: &mut Slots) {
        let Some(number) = self.slot else {
            if let (State::Seen, Some(seen)) = (&self.state, &mut self.seen) {
                count_rows(seen, groups, block.len());
            }
            return;
        };
        let slot = slots.load(number, block);
        if let Some(seen) = &mut self.seen {
            count_values(seen, slot, groups);
        }
        self.state.update(slot, groups);
    }
}

/// Counts the rows of each group.
pub(super) fn count_rows(counts: &mut [u64], groups: &Groups, len: usize) {
    match groups {
        Groups::One(group) => counts[*group as usize] += len as u64,
        Groups::Each(groups) | Groups::Many { groups, .. } => {
            groups.iter().for_each(|&group| counts[group as usize] += 1);
        }
    }
}

fn count_values(counts: &mut [u64], slot: &Slot, groups: &Groups) {
    fn add<T: Copy>(counts: &mut [u64], loaded: Loaded<'_, T>, groups: &Groups) {
        let one = |counts: &mut &mut [u64], group: usize, _| counts[group] += 1;
        let run = |counts: &mut &mut [u64], group: usize, v: &[T]| counts[group] += v.len() as u64;
        feed(&mut &mut *counts, groups, loaded, one, run);
    }
    if slot.has_ords() {
        add(counts, slot.ords(), groups);
    } else if slot.has_doubles() {
        add(counts, slot.doubles(), groups);
    } else {
        add(counts, slot.longs(), groups);
    }
}

impl State {
    fn new(measure: &Measure, slot: &Slot, cells: Option<usize>) -> State {
        let ends = |largest| {
            if slot.has_ords() {
                State::OrdEnd { ends: Vec::new(), largest }
            } else if slot.has_doubles() {
                State::DoubleEnd { ends: Vec::new(), largest }
            } else {
                State::LongEnd { ends: Vec::new(), largest }
            }
        };
        match measure {
            Measure::Rows => State::Rows,
            Measure::Values(_) => State::Seen,
            Measure::Sum(_) | Measure::Mean(_) if slot.has_doubles() => {
                State::DoubleSum(Sums::new(cells))
            }
            Measure::Sum(_) | Measure::Mean(_) => State::LongSum(Sums::new(cells)),
            Measure::SumOfSquares(_) => State::Squares(Sums::new(cells)),
            Measure::Min(_) => ends(false),
            Measure::Max(_) => ends(true),
            Measure::Distinct(_) | Measure::DistinctApprox(_) => State::distinct(slot, cells),
            Measure::Quantiles(_, _) => State::Samples(Vec::new()),
        }
    }

    fn distinct(slot: &Slot, cells: Option<usize>) -> State {
        let range = match slot.column() {
            Column::Keyword(column) => Some((0, u64::from(column.cardinality().max(1)))),
            Column::Bool(_) => Some((0, 2)),
            Column::Long(column) if !slot.has_doubles() => column
                .max()
                .checked_sub(column.min())
                .and_then(|span| u64::try_from(span).ok()?.checked_add(1))
                .map(|count| (column.min(), count)),
            _ => None,
        };
        let fits = |count: &u64| {
            let cells = cells.map(|cells| cells as u64 + 1);
            cells.and_then(|cells| cells.checked_mul(*count)).is_some_and(|bits| bits <= BITS_MAX)
        };
        match range.filter(|(_, count)| fits(count)) {
            Some((first, count)) => {
                State::Bits { bits: Vec::new(), words: (count as usize).div_ceil(64), first }
            }
            None => State::Set(HashSet::default()),
        }
    }

    fn update(&mut self, slot: &Slot, groups: &Groups) {
        match self {
            State::Nothing | State::Rows | State::Seen => {}
            State::LongSum(sums) => feed(
                sums,
                groups,
                slot.longs(),
                |sums, group, value| sums.add(group, i128::from(value), 1),
                |sums, group, values| sums.add(group, sum_longs(values), values.len() as u64),
            ),
            State::DoubleSum(sums) => feed(
                sums,
                groups,
                slot.doubles(),
                |sums, group, value| sums.add(group, value, 1),
                |sums, group, values| sums.add(group, sum_doubles(values), values.len() as u64),
            ),
            State::Squares(sums) if slot.has_doubles() => feed(
                sums,
                groups,
                slot.doubles(),
                |sums, group, value| sums.add(group, value * value, 1),
                |sums, group, values| {
                    let sum = values.iter().map(|value| value * value).sum();
                    sums.add(group, sum, values.len() as u64);
                },
            ),
            State::Squares(sums) => {
                let square = |value: i64| value as f64 * value as f64;
                feed(
                    sums,
                    groups,
                    slot.longs(),
                    |sums, group, value| sums.add(group, square(value), 1),
                    |sums, group, values| {
                        let sum = values.iter().map(|&value| square(value)).sum();
                        sums.add(group, sum, values.len() as u64);
                    },
                );
            }
            State::LongEnd { ends, largest: false } => {
                each(ends, groups, slot.longs(), |end, value| *end = value.min(*end));
            }
            State::LongEnd { ends, largest: true } => {
                each(ends, groups, slot.longs(), |end, value| *end = value.max(*end));
            }
            State::DoubleEnd { ends, largest: false } => {
                each(ends, groups, slot.doubles(), |end, value| *end = value.min(*end));
            }
            State::DoubleEnd { ends, largest: true } => {
                each(ends, groups, slot.doubles(), |end, value| *end = value.max(*end));
            }
            State::OrdEnd { ends, largest: false } => {
                each(ends, groups, slot.ords(), |end, ord| *end = ord.min(*end));
            }
            State::OrdEnd { ends, largest: true } => {
                each(ends, groups, slot.ords(), |end, ord| *end = ord.max(*end));
            }
            State::Bits { bits, words, first } => {
                let (words, first) = (*words, *first);
                let set = |bits: &mut Vec<u64>, group: usize, code: usize| {
                    bits[group * words + code / 64] |= 1 << (code % 64);
                };
                if slot.has_ords() {
                    feed_each(bits, groups, slot.ords(), |bits, group, ord| {
                        set(bits, group, ord as usize);
                    });
                } else {
                    feed_each(bits, groups, slot.longs(), |bits, group, value| {
                        set(bits, group, value.wrapping_sub(first) as usize);
                    });
                }
            }
            State::Set(set) => {
                let insert = |set: &mut HashSet<_, _>, group: usize, value: u64| {
                    if group != 0 {
                        set.insert((group as u32, value));
                    }
                };
                if slot.has_ords() {
                    feed_each(set, groups, slot.ords(), |set, group, ord| {
                        insert(set, group, u64::from(ord));
                    });
                } else if slot.has_doubles() {
                    feed_each(set, groups, slot.doubles(), |set, group, value| {
                        insert(set, group, canonical(value));
                    });
                } else {
                    feed_each(set, groups, slot.longs(), |set, group, value| {
                        insert(set, group, value as u64);
                    });
                }
            }
            State::Samples(samples) => {
                let push = |samples: &mut Vec<Sample>, group: usize, value: f64| {
                    if group != 0 {
                        samples[group].push(value);
                    }
                };
                if slot.has_doubles() {
                    feed_each(samples, groups, slot.doubles(), push);
                } else {
                    feed_each(samples, groups, slot.longs(), |samples, group, value| {
                        push(samples, group, value as f64);
                    });
                }
            }
        }
    }
}

fn sum_longs(values: &[i64]) -> i128 {
    // Halves are summed apart, so that the loop runs on vectors and never overflows: a block has
    // far fewer than 2^31 values.
    let (mut high, mut low) = (0i64, 0i64);
    for &value in values {
        high += value >> 32;
        low += value & 0xffff_ffff;
    }
    (i128::from(high) << 32) + i128::from(low)
}

fn sum_doubles(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Feeds each value to the cell of its group.
fn each<C, T: Copy>(
    cells: &mut Vec<C>,
    groups: &Groups,
    loaded: Loaded<'_, T>,
    one: impl Fn(&mut C, T),
) {
    feed(
        cells,
        groups,
        loaded,
        |cells, group, value| one(&mut cells[group], value),
        |cells, group, values| values.iter().for_each(|&value| one(&mut cells[group], value)),
    );
}

/// Feeds each value with its group.
fn feed_each<S, T: Copy>(
    state: &mut S,
    groups: &Groups,
    loaded: Loaded<'_, T>,
    one: impl Fn(&mut S, usize, T),
) {
    feed(state, groups, loaded, &one, |state, group, values| {
        values.iter().for_each(|&value| one(state, group, value));
    });
}

/// Feeds the values of a block with their groups: one by one, or a run of one group at once.
/// What is left out or not there comes with group 0: that costs less than a branch.
fn feed<S, T: Copy>(
    state: &mut S,
    groups: &Groups,
    loaded: Loaded<'_, T>,
    one: impl Fn(&mut S, usize, T),
    run: impl Fn(&mut S, usize, &[T]),
) {
    match (groups, loaded) {
        (Groups::One(0), _) => {}
        (Groups::One(group), Loaded::Full(values) | Loaded::Many(_, values)) => {
            run(state, *group as usize, values);
        }
        (Groups::One(group), Loaded::Some(values, present)) => {
            for (&value, &present) in values.iter().zip(present) {
                one(state, if present { *group as usize } else { 0 }, value);
            }
        }
        (Groups::Each(groups), Loaded::Full(values)) => {
            for (&group, &value) in groups.iter().zip(values) {
                one(state, group as usize, value);
            }
        }
        (Groups::Each(groups), Loaded::Some(values, present)) => {
            for ((&group, &value), &present) in groups.iter().zip(values).zip(present) {
                one(state, if present { group as usize } else { 0 }, value);
            }
        }
        (Groups::Each(groups), Loaded::Many(rows, values)) => {
            for (&row, &value) in rows.iter().zip(values) {
                one(state, groups[row as usize] as usize, value);
            }
        }
        (Groups::Many { rows, groups }, Loaded::Full(values)) => {
            for (&row, &group) in rows.iter().zip(groups) {
                one(state, group as usize, values[row as usize]);
            }
        }
        (Groups::Many { rows, groups }, Loaded::Some(values, present)) => {
            for (&row, &group) in rows.iter().zip(groups) {
                if present[row as usize] {
                    one(state, group as usize, values[row as usize]);
                }
            }
        }
        (Groups::Many { rows, groups }, Loaded::Many(places, values)) => {
            let mut from = 0;
            for (&row, &group) in rows.iter().zip(groups) {
                while from < places.len() && places[from] < row {
                    from += 1;
                }
                for place in from..places.len() {
                    if places[place] != row {
                        break;
                    }
                    one(state, group as usize, values[place]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_integers_do_not_overflow() {
        let values = [i64::MAX, i64::MAX, i64::MIN, -1, 7];
        let expected: i128 = values.iter().map(|&value| i128::from(value)).sum();
        assert_eq!(sum_longs(&values), expected);
    }

    #[test]
    fn several_values_meet_several_groups() {
        let groups = Groups::Many { rows: vec![0, 0, 2], groups: vec![1, 2, 1] };
        let loaded = Loaded::Many(&[0, 0, 1, 2], &[1i64, 2, 4, 8]);
        let mut sums = vec![0i64; 3];
        each(&mut sums, &groups, loaded, |sum, value| *sum += value);
        assert_eq!(sums, [0, 11, 3]);
    }
}
