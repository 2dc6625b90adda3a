//! Coarser groups made of the rows of a tile.

use super::super::group::Keys;
use super::super::partial::Part;
use super::super::quantile::Sample;
use super::{Dimension, Grain, SetsOf, Tile, Values};
use roaring::RoaringBitmap;

/// Groups are looked up in a table if there can be up to so many.
const TABLE_MAX: u64 = 1 << 20;

/// One key of the coarser groups.
pub(super) struct Key<'a> {
    /// For each row of the tile its code.
    pub(super) codes: &'a [u32],
    /// What a code becomes; `None`: it stays.
    pub(super) map: Option<Vec<u32>>,
    /// Codes are below this afterwards.
    pub(super) end: u64,
}

impl Key<'_> {
    fn code(&self, row: u32) -> u32 {
        let code = self.codes[row as usize];
        self.map.as_ref().map_or(code, |map| map[code as usize])
    }
}

/// The groups that have rows, in the order of their codes.
pub(super) struct Rolled {
    /// For each group and key its code.
    pub(super) codes: Vec<u32>,
    pub(super) rows: Vec<u64>,
    pub(super) values: Values,
}

/// Groups these rows of a tile; `None` if there could be more groups than numbers.
/// `largest`: of ends the largest.
pub(super) fn roll(tile: &Tile, keys: &[Key<'_>], rows: &[u32], largest: bool) -> Option<Rolled> {
    let most = keys.iter().try_fold(1_u64, |most, key| most.checked_mul(key.end))?;
    let mut numbers = vec![0_u64; rows.len()];
    for key in keys {
        for (number, &row) in numbers.iter_mut().zip(rows) {
            *number = *number * key.end + u64::from(key.code(row));
        }
    }
    let (distinct, targets) = ranked(&numbers, most);
    let mut codes = vec![0; distinct.len() * keys.len()];
    if !keys.is_empty() {
        for (&number, codes) in distinct.iter().zip(codes.chunks_exact_mut(keys.len())) {
            let mut rest = number;
            for (code, key) in codes.iter_mut().zip(keys).rev() {
                *code = (rest % key.end) as u32;
                rest /= key.end;
            }
        }
    }
    let groups = distinct.len();
    let pairs = || rows.iter().map(|&row| row as usize).zip(targets.iter().map(|&t| t as usize));
    Some(Rolled {
        codes,
        rows: added(&tile.rows, groups, pairs()),
        values: tile.values.rolled(groups, pairs, largest),
    })
}

/// The distinct numbers, ascending, and for each number its place among them.
fn ranked(numbers: &[u64], end: u64) -> (Vec<u64>, Vec<u32>) {
    if end > TABLE_MAX {
        let mut distinct = numbers.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let place = |number: &u64| distinct.partition_point(|other| other < number) as u32;
        let targets = numbers.iter().map(place).collect();
        return (distinct, targets);
    }
    let mut places = vec![u32::MAX; end as usize];
    numbers.iter().for_each(|&number| places[number as usize] = 0);
    let mut distinct = Vec::new();
    for (number, place) in (0..).zip(&mut places).filter(|(_, place)| **place == 0) {
        *place = distinct.len() as u32;
        distinct.push(number);
    }
    let targets = numbers.iter().map(|&number| places[number as usize]).collect();
    (distinct, targets)
}

fn added<T: Copy + Default + std::ops::AddAssign>(
    from: &[T],
    groups: usize,
    pairs: impl Iterator<Item = (usize, usize)>,
) -> Vec<T> {
    let mut sums = vec![T::default(); groups];
    pairs.for_each(|(row, group)| sums[group] += from[row]);
    sums
}

/// The best end of each group that has values.
fn best<T: Copy + Default>(
    ends: &[T],
    seen: &[u64],
    groups: usize,
    pairs: impl Iterator<Item = (usize, usize)>,
    is_better: impl Fn(T, T) -> bool,
) -> (Vec<T>, Vec<u64>) {
    let (mut best, mut counts) = (vec![T::default(); groups], vec![0; groups]);
    for (row, group) in pairs.filter(|(row, _)| seen[*row] > 0) {
        if counts[group] == 0 || is_better(ends[row], best[group]) {
            best[group] = ends[row];
        }
        counts[group] += seen[row];
    }
    (best, counts)
}

impl Values {
    /// The values of groups of rows; `pairs` are rows and their groups.
    fn rolled<P: Iterator<Item = (usize, usize)>>(
        &self,
        groups: usize,
        pairs: impl Fn() -> P,
        largest: bool,
    ) -> Values {
        match self {
            Values::Nothing => Values::Nothing,
            Values::Counts(counts) => Values::Counts(added(counts, groups, pairs())),
            Values::LongSums(sums, seen) => {
                Values::LongSums(added(sums, groups, pairs()), added(seen, groups, pairs()))
            }
            Values::DoubleSums(sums, seen) => {
                Values::DoubleSums(added(sums, groups, pairs()), added(seen, groups, pairs()))
            }
            Values::LongEnds(ends, seen) => {
                let is_better = |new, old| if largest { new > old } else { new < old };
                let (ends, seen) = best(ends, seen, groups, pairs(), is_better);
                Values::LongEnds(ends, seen)
            }
            Values::DoubleEnds(ends, seen) => {
                let is_better = |new, old| if largest { new > old } else { new < old };
                let (ends, seen) = best(ends, seen, groups, pairs(), is_better);
                Values::DoubleEnds(ends, seen)
            }
            Values::Sets(of, sets) => {
                let mut unions = vec![RoaringBitmap::new(); groups];
                pairs().for_each(|(row, group)| unions[group] |= &sets[row]);
                Values::Sets(of.clone(), unions)
            }
            Values::Samples(samples) => {
                let mut merged = vec![Sample::default(); groups];
                pairs().for_each(|(row, group)| merged[group].merge_from(&samples[row]));
                Values::Samples(merged)
            }
        }
    }

    /// As a part of a partial fold.
    pub(super) fn into_part(self) -> Part {
        match self {
            Values::Nothing => Part::Nothing,
            Values::Counts(counts) => Part::Counts(counts),
            Values::LongSums(sums, seen) => Part::LongSums(sums, seen),
            Values::DoubleSums(sums, seen) => Part::DoubleSums(sums, seen),
            Values::LongEnds(ends, seen) => Part::LongEnds(ends, seen),
            Values::DoubleEnds(ends, seen) => Part::DoubleEnds(ends, seen),
            Values::Sets(SetsOf::Ords | SetsOf::Shared(_), sets) => Part::Bitmaps(sets),
            Values::Sets(SetsOf::Longs(longs), sets) => Part::Sets(Keys::Longs(longs), lists(sets)),
            Values::Sets(SetsOf::Doubles(bits), sets) => {
                Part::Sets(Keys::Doubles(bits), lists(sets))
            }
            Values::Samples(samples) => Part::Samples(samples),
        }
    }

    /// From a part of a partial fold over one segment whose ordinals were left as they are; `None`
    /// for what no tile has.
    pub(super) fn from_part(part: Part) -> Option<Values> {
        Some(match part {
            Part::Nothing => Values::Nothing,
            Part::Counts(counts) => Values::Counts(counts),
            Part::LongSums(sums, seen) => Values::LongSums(sums, seen),
            Part::DoubleSums(sums, seen) => Values::DoubleSums(sums, seen),
            Part::LongEnds(ends, seen) => Values::LongEnds(ends, seen),
            Part::DoubleEnds(ends, seen) => Values::DoubleEnds(ends, seen),
            Part::Sets(Keys::Shared(ords), sets) => {
                let ord = |place: u32| ords[place as usize];
                let sets = sets.into_iter().map(|set| set.into_iter().map(ord).collect());
                Values::Sets(SetsOf::Ords, sets.collect())
            }
            Part::Sets(Keys::Longs(longs), sets) => {
                let sets = sets.into_iter().map(|set| set.into_iter().collect());
                Values::Sets(SetsOf::Longs(longs), sets.collect())
            }
            Part::Sets(Keys::Doubles(bits), sets) => {
                let sets = sets.into_iter().map(|set| set.into_iter().collect());
                Values::Sets(SetsOf::Doubles(bits), sets.collect())
            }
            Part::Samples(samples) => {
                Values::Samples(samples.into_iter().map(Sample::compact).collect())
            }
            Part::Sets(Keys::Strings(_), _) | Part::StringEnds(_) | Part::Bitmaps(_) => {
                return None;
            }
        })
    }
}

fn lists(sets: Vec<RoaringBitmap>) -> Vec<Vec<u32>> {
    sets.into_iter().map(|set| set.into_iter().collect()).collect()
}

impl Tile {
    /// The same rows in longer intervals and by fewer dimensions (places in this tile's own).
    pub(super) fn coarser(&self, grain: Grain, kept: &[usize], largest: bool) -> Option<Tile> {
        let factor = grain.ms() / self.grain.ms();
        let first = self.first.div_euclid(factor);
        let last_code = self.times.last().copied().unwrap_or(0);
        let code = |code: u32| match code {
            0 => 0,
            code => (self.first + i64::from(code) - 1).div_euclid(factor) - first + 1,
        };
        let map: Vec<u32> =
            (0..=last_code).map(code).map(u32::try_from).collect::<Result<_, _>>().ok()?;
        let end = u64::from(map.last().copied().unwrap_or(0)) + 1;
        let mut keys = vec![Key { codes: &self.times, map: Some(map), end }];
        keys.extend(kept.iter().map(|&place| self.dimensions[place].key()));
        let rows: Vec<u32> = (0..self.rows.len() as u32).collect();
        let rolled = roll(self, &keys, &rows, largest)?;
        Some(rolled.into_tile(grain, first, kept.iter().map(|&place| &self.dimensions[place])))
    }
}

impl Dimension {
    /// Groups by this dimension.
    pub(super) fn key(&self) -> Key<'_> {
        Key { codes: &self.codes, map: None, end: self.members.len() as u64 + 1 }
    }
}

impl Rolled {
    /// As a tile: the first key is time, then come the `dimensions`.
    pub(super) fn into_tile<'d>(
        self,
        grain: Grain,
        first: i64,
        dimensions: impl Iterator<Item = &'d Dimension>,
    ) -> Tile {
        let groups = self.rows.len();
        let width = self.codes.len().checked_div(groups).unwrap_or(1);
        let column = |place| self.codes.iter().skip(place).step_by(width).copied().collect();
        let dimensions = dimensions.enumerate().map(|(place, dimension)| Dimension {
            members: dimension.members.clone(),
            codes: column(place + 1),
        });
        Tile {
            grain,
            first,
            times: column(0),
            dimensions: dimensions.collect(),
            rows: self.rows,
            values: self.values,
        }
    }
}
