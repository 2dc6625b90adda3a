//! The result of a fold over one view, with values in the place of ordinals.

use super::block::Slots;
use super::group::{Keys, Numbering};
use super::measure::{Accumulator, State};
use super::quantile::Sample;
use crate::QueryError;
use roaring::RoaringBitmap;
use storage::Column;

/// Groups and measures of one view, or of a part of it.
pub(super) struct Partial {
    /// The distinct values of each dimension.
    pub(super) keys: Vec<Keys>,
    /// For each group and dimension 0 for missing, otherwise 1 + the place in `keys`.
    pub(super) codes: Vec<u32>,
    /// Rows of each group.
    pub(super) rows: Vec<u64>,
    /// Each measure, group by group.
    pub(super) measures: Vec<Part>,
}

/// One measure.
pub(super) enum Part {
    /// No value.
    Nothing,
    /// Rows, values, or distinct values if nothing else will be merged.
    Counts(Vec<u64>),
    /// Sums of integers with the number of values.
    LongSums(Vec<i128>, Vec<u64>),
    /// Sums of floats, or of squares.
    DoubleSums(Vec<f64>, Vec<u64>),
    /// Smallest or largest integers.
    LongEnds(Vec<i64>, Vec<u64>),
    /// Smallest or largest floats.
    DoubleEnds(Vec<f64>, Vec<u64>),
    /// Smallest or largest strings.
    StringEnds(Vec<Option<String>>),
    /// The distinct values, and for each group the places of those it has.
    Sets(Keys, Vec<Vec<u32>>),
    /// For each group its distinct keywords, by the numbers that all views share.
    Bitmaps(Vec<RoaringBitmap>),
    /// Values for quantiles.
    Samples(Vec<Sample>),
}

/// Turns accumulators into values. `alone`: there is no other partial to merge with.
pub(super) fn finish(
    numbering: &Numbering,
    slots: &Slots,
    rows: &[u64],
    accumulators: Vec<Accumulator>,
    alone: bool,
) -> Result<Partial, QueryError> {
    let used: Vec<u32> = (1..).zip(&rows[1..]).filter(|(_, r)| **r > 0).map(|(g, _)| g).collect();
    let rows: Vec<u64> = used.iter().map(|&group| rows[group as usize]).collect();
    let width = numbering.dimensions().len();
    let mut codes = vec![0; used.len() * width];
    if width > 0 {
        for (&group, codes) in used.iter().zip(codes.chunks_exact_mut(width)) {
            numbering.codes_of(group - 1, codes);
        }
    }
    let mut keys = Vec::with_capacity(width);
    for (place, dimension) in numbering.dimensions().iter().enumerate() {
        let mut here: Vec<u32> = codes.iter().skip(place).step_by(width).copied().collect();
        here.sort_unstable();
        here.dedup();
        if here.first() == Some(&0) {
            here.remove(0);
        }
        for code in codes.iter_mut().skip(place).step_by(width).filter(|code| **code != 0) {
            *code = here.binary_search(code).map_or(0, |place| place as u32 + 1);
        }
        keys.push(dimension.keys(slots, &here)?);
    }
    let measures = accumulators
        .into_iter()
        .map(|accumulator| part(accumulator, &used, &rows, slots, alone))
        .collect::<Result<_, _>>()?;
    Ok(Partial { keys, codes, rows, measures })
}

fn part(
    accumulator: Accumulator,
    used: &[u32],
    rows: &[u64],
    slots: &Slots,
    alone: bool,
) -> Result<Part, QueryError> {
    let slot = accumulator.slot();
    let shared = accumulator.shared.as_deref();
    let seen = match accumulator.seen {
        Some(seen) => pick(&seen, used),
        None => rows.to_vec(),
    };
    Ok(match accumulator.state {
        State::Nothing => Part::Nothing,
        State::Rows | State::Seen => Part::Counts(seen),
        State::LongSum(sums) => {
            let (sums, seen) = used.iter().map(|&group| sums.of(group)).unzip();
            Part::LongSums(sums, seen)
        }
        State::DoubleSum(sums) | State::Squares(sums) => {
            let (sums, seen) = used.iter().map(|&group| sums.of(group)).unzip();
            Part::DoubleSums(sums, seen)
        }
        State::LongEnd { ends, .. } => Part::LongEnds(pick(&ends, used), seen),
        State::DoubleEnd { ends, .. } => Part::DoubleEnds(pick(&ends, used), seen),
        State::OrdEnd { ends, .. } => {
            let ends = used
                .iter()
                .zip(&seen)
                .map(|(&group, &seen)| if seen > 0 { Some(ends[group as usize]) } else { None });
            let ends: Vec<Option<u32>> = ends.collect();
            Part::StringEnds(strings(slots, slot, &ends)?)
        }
        State::Bits { bits, words, .. } if alone => {
            let count = |&group: &u32| {
                let bits = &bits[group as usize * words..][..words];
                bits.iter().map(|word| u64::from(word.count_ones())).sum()
            };
            Part::Counts(used.iter().map(count).collect())
        }
        State::Bits { bits, words, first } => {
            let sets: Vec<Vec<u32>> =
                used.iter().map(|&g| ones(&bits[g as usize * words..][..words])).collect();
            let mut union = vec![0u64; words];
            for &group in used {
                let group = &bits[group as usize * words..][..words];
                union.iter_mut().zip(group).for_each(|(all, bits)| *all |= bits);
            }
            let values: Vec<u64> =
                ones(&union).into_iter().map(|code| decoded(first, code)).collect();
            let place = places(&union);
            let sets = sets.into_iter().map(|set| set.into_iter().map(&place).collect()).collect();
            Part::Sets(keys_of(slots, slot, shared, &values)?, sets)
        }
        State::Set(set) => {
            let mut number_of = vec![u32::MAX; used.last().map_or(0, |last| *last as usize + 1)];
            for (place, &group) in (0..).zip(used) {
                number_of[group as usize] = place;
            }
            if alone {
                let mut counts = vec![0; used.len()];
                for (group, _) in &set {
                    counts[number_of[*group as usize] as usize] += 1;
                }
                return Ok(Part::Counts(counts));
            }
            let mut values: Vec<u64> = set.iter().map(|(_, value)| *value).collect();
            values.sort_unstable();
            values.dedup();
            let mut sets = vec![Vec::new(); used.len()];
            for (group, value) in set {
                if let Ok(place) = values.binary_search(&value) {
                    sets[number_of[group as usize] as usize].push(place as u32);
                }
            }
            Part::Sets(keys_of(slots, slot, shared, &values)?, sets)
        }
        State::Samples(mut samples) => Part::Samples(
            used.iter().map(|&group| std::mem::take(&mut samples[group as usize])).collect(),
        ),
    })
}

fn pick<T: Copy>(values: &[T], used: &[u32]) -> Vec<T> {
    used.iter().map(|&group| values[group as usize]).collect()
}

fn decoded(first: i64, code: u32) -> u64 {
    first.wrapping_add(i64::from(code)) as u64
}

/// The places of the bits that are set.
fn ones(words: &[u64]) -> Vec<u32> {
    let count = words.iter().map(|word| word.count_ones() as usize).sum();
    let mut ones = Vec::with_capacity(count);
    for (place, &word) in (0u32..).zip(words) {
        let mut rest = word;
        while rest != 0 {
            ones.push(place * 64 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    ones
}

/// For each bit that is set, how many are set before it.
fn places(words: &[u64]) -> impl Fn(u32) -> u32 {
    let mut before = Vec::with_capacity(words.len());
    let mut sum = 0;
    for word in words {
        before.push(sum);
        sum += word.count_ones();
    }
    let words = words.to_vec();
    move |code| {
        let word = code as usize / 64;
        before[word] + (words[word] & ((1 << (code % 64)) - 1)).count_ones()
    }
}

/// Distinct raw values (ordinals, integers, bits of floats), ascending, as keys.
fn keys_of(
    slots: &Slots,
    slot: Option<usize>,
    shared: Option<&[u32]>,
    values: &[u64],
) -> Result<Keys, QueryError> {
    let Some(slot) = slot else { return Ok(Keys::Longs(Vec::new())) };
    let slot = slots.get(slot);
    Ok(match (slot.column(), shared) {
        (Column::Keyword(_), Some(shared)) => {
            Keys::Shared(values.iter().map(|&value| shared[value as usize]).collect())
        }
        (Column::Keyword(column), None) => {
            let ords: Vec<u32> = values.iter().map(|&value| value as u32).collect();
            Keys::Strings(column.terms(&ords)?)
        }
        _ if slot.has_doubles() => Keys::Doubles(values.to_vec()),
        _ => Keys::Longs(values.iter().map(|&value| value as i64).collect()),
    })
}

/// The strings of some ordinals in any order.
fn strings(
    slots: &Slots,
    slot: Option<usize>,
    ords: &[Option<u32>],
) -> Result<Vec<Option<String>>, QueryError> {
    let Some(slot) = slot else { return Ok(vec![None; ords.len()]) };
    let Column::Keyword(column) = slots.get(slot).column() else {
        return Err(QueryError::Internal("the smallest of ordinals".to_owned()));
    };
    let mut distinct: Vec<u32> = ords.iter().flatten().copied().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let terms = column.terms(&distinct)?;
    let term = |ord: u32| distinct.binary_search(&ord).ok().map(|place| terms[place].clone());
    Ok(ords.iter().map(|ord| ord.and_then(term)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_listed_and_ranked() {
        let words = [0b1001, 0, 1 << 63];
        assert_eq!(ones(&words), [0, 3, 191]);
        let place = places(&words);
        assert_eq!([place(0), place(3), place(191)], [0, 1, 2]);
    }
}
