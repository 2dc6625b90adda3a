//! Folds that were made beforehand, over all rows of a segment, and answer many questions.
//!
//! A tile is the fold of one measure, with its condition, by hours or days (of UTC) and some
//! dimensions. Since a day is made of hours, and the rows of a model of those of its regions, a
//! tile answers every question whose intervals begin where its own do, whose groups and further
//! conditions are among its dimensions, and whose rows are those of its condition ([`cover`]).
//! What a tile cannot say (the first minutes of a range that begins in the midst of an hour, a
//! segment with deleted rows, the buffer) is read from rows and merged with it, as partial folds
//! always are: so both give the same numbers, to the bit for counts, sums of integers, distinct
//! counts, ends and quantiles. Sums of floats are added up in another order and may differ in
//! their last bits.
//!
//! [`definition`] says what is kept and under which key, [`make`] makes it, [`codec`] has its
//! bytes, [`roll`] makes coarser folds of finer ones, for readers and makers alike.

mod codec;
mod cover;
mod definition;
mod make;
mod roll;

pub(super) use cover::{Rest, cover};
pub use definition::TileDefinition;
pub use make::TileSmith;

use super::quantile::Sample;
use roaring::RoaringBitmap;
use std::sync::Arc;
use storage::Ordinals;

/// How long the intervals of a tile are: they begin at whole multiples since 1970, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grain {
    Hour,
    Day,
}

impl Grain {
    fn ms(self) -> i64 {
        match self {
            Grain::Hour => 3_600_000,
            Grain::Day => 86_400_000,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Grain::Hour => "hour",
            Grain::Day => "day",
        }
    }

    /// The last beginning of an interval up to `time`.
    fn floor(self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.ms()))
    }

    /// The first beginning of an interval from `time` on.
    fn ceil(self, time: i64) -> i64 {
        match time.rem_euclid(self.ms()) {
            0 => time,
            past => time.saturating_add(self.ms() - past),
        }
    }
}

/// A fold by time and dimensions, in the order of time; rows without a time come first.
#[derive(Clone)]
struct Tile {
    grain: Grain,
    /// The number of the interval (since 1970) that has the code 1.
    first: i64,
    /// For each row 0 without a time, otherwise 1 + its interval from `first` on; never falls.
    times: Vec<u32>,
    /// In the order of the key.
    dimensions: Vec<Dimension>,
    /// How many rows of the segment each row stands for.
    rows: Vec<u64>,
    values: Values,
}

/// One dimension of a tile.
#[derive(Clone)]
struct Dimension {
    members: Members,
    /// For each row 0 without a value, otherwise 1 + the place in `members`.
    codes: Vec<u32>,
}

/// Distinct values, ascending.
#[derive(Clone, Debug, PartialEq)]
enum Members {
    /// Ordinals of the segment's column.
    Ords(Vec<u32>),
    Longs(Vec<i64>),
    /// Bits of floats.
    Doubles(Vec<u64>),
}

/// The measure, row by row.
#[derive(Clone)]
enum Values {
    /// No row of the segment has a value.
    Nothing,
    Counts(Vec<u64>),
    LongSums(Vec<i128>, Vec<u64>),
    DoubleSums(Vec<f64>, Vec<u64>),
    LongEnds(Vec<i64>, Vec<u64>),
    DoubleEnds(Vec<f64>, Vec<u64>),
    Sets(SetsOf, Vec<RoaringBitmap>),
    Samples(Vec<Sample>),
}

/// What the numbers in sets stand for.
#[derive(Clone)]
enum SetsOf {
    /// Ordinals of the segment's column.
    Ords,
    /// Numbers that all segments of the table share: translated when the tile was decoded.
    Shared(Arc<Ordinals>),
    /// Places among these.
    Longs(Vec<i64>),
    /// Places among these.
    Doubles(Vec<u64>),
}

impl Tile {
    /// Bytes in memory, about.
    fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::Nothing => 0,
            Values::Counts(counts) => counts.len() * 8,
            Values::LongSums(sums, _) => sums.len() * 24,
            Values::DoubleSums(sums, _) | Values::DoubleEnds(sums, _) => sums.len() * 16,
            Values::LongEnds(ends, _) => ends.len() * 16,
            Values::Sets(of, sets) => {
                let members = match of {
                    SetsOf::Ords | SetsOf::Shared(_) => 0,
                    SetsOf::Longs(members) => members.len() * 8,
                    SetsOf::Doubles(members) => members.len() * 8,
                };
                members + sets.iter().map(|set| set.serialized_size() + 64).sum::<usize>()
            }
            Values::Samples(samples) => samples.iter().map(|sample| sample.bytes() + 32).sum(),
        };
        self.rows.len() * (12 + self.dimensions.len() * 4) + values + 256
    }
}

#[cfg(test)]
mod tests;
