//! The bytes of a tile. Numbers are LEB128 varints, signed ones in zigzag, floats their 8 bytes.
//!
//! ```text
//! rows          how many rows
//! first         signed: number of the first interval since 1970
//! times         for each row its code, as the distance from the row before
//! dimensions    how many, then each
//!   kind        u8: 0 ordinals of the segment's column, 1 integers, 2 floats
//!   members     how many, then each as the distance from the one before (floats: their bits)
//!   codes       for each row 0, or 1 + a place in the members
//! counts        for each row how many rows of the segment
//! kind          u8 of the values
//!   0 nothing
//!   1 counts    for each row
//!   2 sums      of integers (signed): for each row the sum and how many values
//!   3 sums      of floats: the same
//!   4 ends      of integers (signed): the same
//!   5 ends      of floats: the same
//!   6 sets      members as those of a dimension, only how many of them for ordinals; then for each
//!               row how many, and the members' places (or ordinals), each as a distance
//!   7 samples   for each row u8 0 and how many different values, then each value (u8 0: bits,
//!               1: as an integer, as the distance from the one before) and how often it is there;
//!               or u8 1, least and greatest value, and how many buckets, then each bucket as the
//!               distance from the one before and how many values it has
//! ```

use super::super::quantile::{Counted, Runs, Sample};
use super::{Dimension, Grain, Members, SetsOf, Tile, Values};
use roaring::RoaringBitmap;

impl Tile {
    /// The tile as bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.number(self.rows.len() as u64);
        out.signed(self.first.into());
        out.rising(self.times.iter().map(|&code| u64::from(code)));
        out.number(self.dimensions.len() as u64);
        for dimension in &self.dimensions {
            out.members(&dimension.members);
            dimension.codes.iter().for_each(|&code| out.number(code.into()));
        }
        self.rows.iter().for_each(|&rows| out.number(rows));
        out.values(&self.values);
        out.0
    }

    /// Reads a tile; `None` if the bytes are not what [`Tile::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8], grain: Grain) -> Option<Tile> {
        let mut from = Reader(bytes);
        let count = from.count()?;
        let first = i64::try_from(from.signed()?).ok()?;
        let times = from.rising(count)?;
        let times: Vec<u32> =
            times.into_iter().map(u32::try_from).collect::<Result<_, _>>().ok()?;
        let dimensions = from.count()?;
        let dimensions = (0..dimensions).map(|_| from.dimension(count)).collect::<Option<_>>()?;
        let rows = from.numbers(count)?;
        let values = from.values(count)?;
        from.0.is_empty().then_some(Tile { grain, first, times, dimensions, rows, values })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.large(number.into());
    }

    fn large(&mut self, mut number: u128) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn signed(&mut self, number: i128) {
        self.large(((number << 1) ^ (number >> 127)) as u128);
    }

    fn float(&mut self, number: f64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn rising(&mut self, numbers: impl Iterator<Item = u64>) {
        let mut before = 0;
        for number in numbers {
            self.number(number - before);
            before = number;
        }
    }

    fn longs(&mut self, numbers: &[i64]) {
        let mut before = 0;
        for &number in numbers {
            self.signed(i128::from(number) - before);
            before = i128::from(number);
        }
    }

    fn members(&mut self, members: &Members) {
        match members {
            Members::Ords(ords) => {
                self.0.push(0);
                self.number(ords.len() as u64);
                self.rising(ords.iter().map(|&ord| u64::from(ord)));
            }
            Members::Longs(longs) => {
                self.0.push(1);
                self.number(longs.len() as u64);
                self.longs(longs);
            }
            Members::Doubles(bits) => {
                self.0.push(2);
                self.number(bits.len() as u64);
                bits.iter().for_each(|bits| self.0.extend_from_slice(&bits.to_le_bytes()));
            }
        }
    }

    fn values(&mut self, values: &Values) {
        match values {
            Values::Nothing => self.0.push(0),
            Values::Counts(counts) => {
                self.0.push(1);
                counts.iter().for_each(|&count| self.number(count));
            }
            Values::LongSums(sums, seen) => {
                self.0.push(2);
                for (&sum, &seen) in sums.iter().zip(seen) {
                    self.signed(sum);
                    self.number(seen);
                }
            }
            Values::LongEnds(ends, seen) => {
                self.0.push(4);
                for (&end, &seen) in ends.iter().zip(seen) {
                    self.signed(end.into());
                    self.number(seen);
                }
            }
            Values::DoubleSums(numbers, seen) | Values::DoubleEnds(numbers, seen) => {
                self.0.push(if matches!(values, Values::DoubleSums(..)) { 3 } else { 5 });
                for (&number, &seen) in numbers.iter().zip(seen) {
                    self.float(number);
                    self.number(seen);
                }
            }
            Values::Sets(of, sets) => {
                self.0.push(6);
                match of {
                    SetsOf::Ords | SetsOf::Shared(_) => self.members(&Members::Ords(Vec::new())),
                    SetsOf::Longs(longs) => self.members(&Members::Longs(longs.clone())),
                    SetsOf::Doubles(bits) => self.members(&Members::Doubles(bits.clone())),
                }
                for set in sets {
                    self.number(set.len());
                    self.rising(set.iter().map(u64::from));
                }
            }
            Values::Samples(samples) => {
                self.0.push(7);
                samples.iter().for_each(|sample| self.sample(sample));
            }
        }
    }

    fn sample(&mut self, sample: &Sample) {
        match sample {
            Sample::Exact(_) => self.sample(&sample.clone().compact()),
            Sample::Runs(runs) => {
                self.0.push(0);
                self.number(runs.iter().len() as u64);
                let mut before = 0;
                for (value, times) in runs.iter() {
                    match as_integer(value) {
                        Some(integer) => {
                            self.0.push(1);
                            self.signed(i128::from(integer) - before);
                            before = i128::from(integer);
                        }
                        None => {
                            self.0.push(0);
                            self.float(value);
                        }
                    }
                    self.number(times);
                }
            }
            Sample::Counted(histogram) => {
                let counted = histogram.counted();
                self.0.push(1);
                self.float(counted.min);
                self.float(counted.max);
                self.number(counted.buckets.len() as u64);
                let mut before = 0;
                for (bucket, count) in counted.buckets {
                    self.number(u64::from(bucket) - before);
                    before = u64::from(bucket);
                    self.number(count);
                }
            }
        }
    }
}

/// The integer that a float is, to the bit.
fn as_integer(value: f64) -> Option<i64> {
    let integer = value as i64;
    let same = (integer as f64).to_bits() == value.to_bits();
    (same && integer.unsigned_abs() < 1 << 53).then_some(integer)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        // Nearly all numbers have one byte.
        match self.0.first() {
            Some(&byte) if byte < 0x80 => {
                self.0 = &self.0[1..];
                Some(byte.into())
            }
            _ => u64::try_from(self.large()?).ok(),
        }
    }

    fn large(&mut self) -> Option<u128> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            number |= u128::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i128> {
        let zigzag = self.large()?;
        Some((zigzag >> 1) as i128 ^ -((zigzag & 1) as i128))
    }

    fn float(&mut self) -> Option<f64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(f64::from_le_bytes(*bytes))
    }

    /// A number of things of which each takes a byte at least: damage must not cost memory.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    fn numbers(&mut self, count: usize) -> Option<Vec<u64>> {
        (0..count).map(|_| self.number()).collect()
    }

    fn rising(&mut self, count: usize) -> Option<Vec<u64>> {
        let mut before = 0_u64;
        let mut next = || {
            before = before.checked_add(self.number()?)?;
            Some(before)
        };
        (0..count).map(|_| next()).collect()
    }

    fn members(&mut self) -> Option<Members> {
        let kind = self.byte()?;
        let count = self.count()?;
        Some(match kind {
            0 => {
                let ords = self.rising(count)?;
                Members::Ords(ords.into_iter().map(u32::try_from).collect::<Result<_, _>>().ok()?)
            }
            1 => {
                let mut before = 0_i128;
                let mut next = || {
                    before = before.checked_add(self.signed()?)?;
                    i64::try_from(before).ok()
                };
                Members::Longs((0..count).map(|_| next()).collect::<Option<_>>()?)
            }
            2 => {
                let bits = (0..count).map(|_| Some(self.float()?.to_bits()));
                Members::Doubles(bits.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    fn dimension(&mut self, rows: usize) -> Option<Dimension> {
        let members = self.members()?;
        let count = members.len() as u64;
        let codes = self.numbers(rows)?;
        let code = |code: u64| (code <= count).then_some(code as u32);
        Some(Dimension { codes: codes.into_iter().map(code).collect::<Option<_>>()?, members })
    }

    fn values(&mut self, rows: usize) -> Option<Values> {
        Some(match self.byte()? {
            0 => Values::Nothing,
            1 => Values::Counts(self.numbers(rows)?),
            2 => {
                let pairs = (0..rows).map(|_| Some((self.signed()?, self.number()?)));
                let (sums, seen) = pairs.collect::<Option<_>>()?;
                Values::LongSums(sums, seen)
            }
            4 => {
                let mut pair = || Some((i64::try_from(self.signed()?).ok()?, self.number()?));
                let (ends, seen) = (0..rows).map(|_| pair()).collect::<Option<_>>()?;
                Values::LongEnds(ends, seen)
            }
            kind @ (3 | 5) => {
                let pairs = (0..rows).map(|_| Some((self.float()?, self.number()?)));
                let (numbers, seen) = pairs.collect::<Option<_>>()?;
                match kind {
                    3 => Values::DoubleSums(numbers, seen),
                    _ => Values::DoubleEnds(numbers, seen),
                }
            }
            6 => self.sets(rows)?,
            7 => Values::Samples((0..rows).map(|_| self.sample()).collect::<Option<_>>()?),
            _ => return None,
        })
    }

    fn sets(&mut self, rows: usize) -> Option<Values> {
        let (of, end) = match self.members()? {
            Members::Ords(_) => (SetsOf::Ords, u64::from(u32::MAX)),
            Members::Longs(longs) => {
                let end = longs.len() as u64;
                (SetsOf::Longs(longs), end)
            }
            Members::Doubles(bits) => {
                let end = bits.len() as u64;
                (SetsOf::Doubles(bits), end)
            }
        };
        let mut set = || {
            let count = self.count()?;
            let members = self.rising(count)?;
            if members.last().is_some_and(|last| *last >= end) {
                return None;
            }
            RoaringBitmap::from_sorted_iter(members.into_iter().map(|member| member as u32)).ok()
        };
        Some(Values::Sets(of, (0..rows).map(|_| set()).collect::<Option<_>>()?))
    }

    fn sample(&mut self) -> Option<Sample> {
        if self.byte()? == 1 {
            let (min, max) = (self.float()?, self.float()?);
            let count = self.count()?;
            let mut before = 0_u64;
            let mut next = || {
                before = before.checked_add(self.number()?)?;
                Some((u32::try_from(before).ok()?, self.number()?))
            };
            let buckets = (0..count).map(|_| next()).collect::<Option<_>>()?;
            return Sample::from_counted(&Counted { min, max, buckets });
        }
        let count = self.count()?;
        let mut before = 0_i128;
        let mut runs = Runs::default();
        for _ in 0..count {
            let value = match self.byte()? {
                0 => self.float()?,
                _ => {
                    before = before.checked_add(self.signed()?)?;
                    before as f64
                }
            };
            let times = self.number()?;
            if !runs.push(value, times) {
                return None;
            }
        }
        Some(Sample::Runs(runs))
    }
}

impl Members {
    /// How many.
    pub(super) fn len(&self) -> usize {
        match self {
            Members::Ords(ords) => ords.len(),
            Members::Longs(longs) => longs.len(),
            Members::Doubles(bits) => bits.len(),
        }
    }
}
