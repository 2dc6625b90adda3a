//! Values whose quantiles are asked for: exact while there are few, then counted in buckets that
//! are narrow beside their values.
//!
//! A bucket is the sign, the exponent and the first eleven bits of the mantissa of a float, as in
//! HdrHistogram and DDSketch (Masson et al., VLDB 2019): its width is at most 2⁻¹¹ of its value, so
//! that a quantile is off by less than 0.05 % of itself. Counting takes a shift and an increment,
//! merging adds counts, and neither depends on the order of the rows.

/// How many values a group keeps exactly.
const EXACT_MAX: usize = 1 << 16;
/// Bits of the mantissa that a bucket keeps.
const MANTISSA: u32 = 11;
/// Buckets with the same sign and exponent.
const PAGE: usize = 1 << MANTISSA;
/// Signs and exponents.
const PAGES: usize = 1 << 12;

/// The values of one group.
#[derive(Clone)]
pub(super) enum Sample {
    /// All of them.
    Exact(Vec<f64>),
    /// How many in each bucket.
    Counted(Box<Histogram>),
}

impl Default for Sample {
    fn default() -> Sample {
        Sample::Exact(Vec::new())
    }
}

impl Sample {
    /// Adds a value.
    #[inline]
    pub(super) fn push(&mut self, value: f64) {
        match self {
            Sample::Counted(histogram) => histogram.add(value, 1),
            Sample::Exact(values) if values.len() < EXACT_MAX => values.push(value),
            Sample::Exact(_) => self.histogram().add(value, 1),
        }
    }

    /// Adds the values of another group.
    pub(super) fn merge(&mut self, other: Sample) {
        match (&mut *self, other) {
            (Sample::Exact(mine), Sample::Exact(theirs))
                if mine.len() + theirs.len() <= EXACT_MAX =>
            {
                if mine.is_empty() {
                    *mine = theirs;
                } else {
                    mine.extend_from_slice(&theirs);
                }
            }
            (_, Sample::Exact(theirs)) => {
                let histogram = self.histogram();
                theirs.into_iter().for_each(|value| histogram.add(value, 1));
            }
            (_, Sample::Counted(theirs)) => self.histogram().merge(&theirs),
        }
    }

    fn histogram(&mut self) -> &mut Histogram {
        if let Sample::Exact(values) = self {
            let mut histogram = Histogram::new();
            values.iter().for_each(|&value| histogram.add(value, 1));
            *self = Sample::Counted(Box::new(histogram));
        }
        match self {
            Sample::Counted(histogram) => histogram,
            Sample::Exact(_) => unreachable!("it was just counted"),
        }
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Sample::Exact(values) => values.capacity() * 8,
            Sample::Counted(histogram) => histogram.bytes(),
        }
    }

    /// The value at each rank (0 to 1), between two neighbours in proportion; `None` without
    /// values.
    pub(super) fn quantiles(self, ranks: &[f64]) -> Option<Vec<f64>> {
        match self {
            Sample::Exact(values) if values.is_empty() => None,
            Sample::Exact(mut values) => {
                Some(ranks.iter().map(|&rank| exact(&mut values, rank)).collect())
            }
            Sample::Counted(histogram) => {
                Some(ranks.iter().map(|&rank| histogram.at(rank)).collect())
            }
        }
    }
}

fn exact(values: &mut [f64], rank: f64) -> f64 {
    let place = rank * (values.len() - 1) as f64;
    let below = place.floor() as usize;
    let (_, &mut low, rest) = values.select_nth_unstable_by(below, f64::total_cmp);
    match rest.iter().copied().min_by(f64::total_cmp) {
        Some(high) => low + (high - low) * (place - below as f64),
        None => low,
    }
}

/// Counts of values by sign, exponent and the start of the mantissa.
#[derive(Clone)]
pub(super) struct Histogram {
    /// In the order of the values.
    pages: Vec<Option<Box<[u64; PAGE]>>>,
    count: u64,
    min: f64,
    max: f64,
}

impl Histogram {
    fn new() -> Histogram {
        Histogram { pages: vec![None; PAGES], count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }

    #[inline]
    fn add(&mut self, value: f64, times: u64) {
        let bucket = bucket(value);
        let page = &mut self.pages[bucket / PAGE];
        page.get_or_insert_with(|| Box::new([0; PAGE]))[bucket % PAGE] += times;
        self.count += times;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.pages.iter_mut().zip(&other.pages) {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => {
                    mine.iter_mut().zip(theirs.iter()).for_each(|(mine, theirs)| *mine += theirs);
                }
                (mine @ None, Some(_)) => mine.clone_from(theirs),
                (_, None) => {}
            }
        }
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn bytes(&self) -> usize {
        PAGES * 8 + self.pages.iter().flatten().count() * PAGE * 8
    }

    /// The value at a rank from 0 to 1; inside a bucket values are taken to lie evenly.
    fn at(&self, rank: f64) -> f64 {
        let place = rank * (self.count - 1) as f64;
        if place <= 0.0 {
            return self.min;
        }
        let mut before = 0;
        for (number, page) in self.pages.iter().enumerate() {
            let Some(page) = page else { continue };
            for (offset, &count) in page.iter().enumerate() {
                if count > 0 && place < (before + count) as f64 && place < (self.count - 1) as f64 {
                    let bucket = number * PAGE + offset;
                    let (from, to) = (start(bucket), start(bucket + 1));
                    let inside = (place - before as f64 + 0.5) / count as f64;
                    let value = from + (to - from) * inside.min(1.0);
                    return value.clamp(self.min, self.max);
                }
                before += count;
            }
        }
        self.max
    }
}

/// The bucket of a value; larger values never have smaller buckets.
#[inline]
fn bucket(value: f64) -> usize {
    (ordered(value) >> (52 - MANTISSA)) as usize
}

/// The bits of a float in an order that is the order of the floats.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    bits ^ (((bits as i64 >> 63) as u64) | 1 << 63)
}

/// The smallest value of a bucket.
fn start(bucket: usize) -> f64 {
    let ordered = (bucket as u64) << (52 - MANTISSA);
    let bits = if ordered >> 63 == 1 { ordered ^ 1 << 63 } else { !ordered };
    let value = f64::from_bits(bits);
    // Behind the last finite bucket of either sign.
    if value.is_nan() { f64::MAX.copysign(value) } else { value.clamp(f64::MIN, f64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_groups_are_exact() {
        let mut sample = Sample::default();
        [5.0, 1.0, 3.0, 2.0, 4.0].into_iter().for_each(|value| sample.push(value));
        let quantiles = sample.quantiles(&[0.0, 0.25, 0.5, 0.9, 1.0]).unwrap();
        assert_eq!(quantiles, [1.0, 2.0, 3.0, 4.6, 5.0]);
        assert_eq!(Sample::default().quantiles(&[0.5]), None);
    }

    #[test]
    fn buckets_stand_in_the_order_of_the_values() {
        let mut values = vec![
            f64::MIN,
            -1e300,
            -12.5,
            -1.0,
            -1e-300,
            -f64::MIN_POSITIVE,
            0.0,
            1e-310,
            1e-300,
            0.1,
            1.0,
            1.001,
            7.0,
            1e300,
            f64::MAX,
        ];
        values.sort_by(f64::total_cmp);
        for pair in values.windows(2) {
            assert!(bucket(pair[0]) <= bucket(pair[1]), "{} and {}", pair[0], pair[1]);
        }
        for value in values.into_iter().filter(|value| value.abs() >= f64::MIN_POSITIVE) {
            let (from, to) = (start(bucket(value)), start(bucket(value) + 1));
            assert!(from <= value && value <= to, "{value} in {from} … {to}");
            assert!((to - from) / value.abs() <= 1.0 / 1024.0, "{value} in {from} … {to}");
        }
    }

    #[test]
    fn large_groups_are_close_and_do_not_depend_on_how_they_are_merged() {
        let values: Vec<f64> = (0..300_000_u32)
            .map(|at| f64::from(at.wrapping_mul(2_654_435_761) % 1_000_000))
            .collect();
        let negative = |value: f64| value - 400_000.0;
        for shift in [&(|value| value) as &dyn Fn(f64) -> f64, &negative] {
            let mut sorted: Vec<f64> = values.iter().map(|&value| shift(value)).collect();
            let mut whole = Sample::default();
            sorted.iter().for_each(|&value| whole.push(value));
            let mut merged = Sample::default();
            for part in sorted.chunks(47_011) {
                let mut sample = Sample::default();
                part.iter().for_each(|&value| sample.push(value));
                merged.merge(sample);
            }
            sorted.sort_by(f64::total_cmp);
            let ranks = [0.0, 0.001, 0.01, 0.25, 0.5, 0.95, 0.99, 1.0];
            let quantiles = whole.quantiles(&ranks).unwrap();
            assert_eq!(Some(&quantiles), merged.quantiles(&ranks).as_ref());
            for (quantile, rank) in quantiles.iter().zip(ranks) {
                let expected = sorted[(rank * (sorted.len() - 1) as f64) as usize];
                let off = (quantile - expected).abs();
                assert!(off <= expected.abs() * 0.000_5 + 10.0, "{quantile}, not {expected}");
            }
            assert_eq!(quantiles[0], sorted[0]);
            assert_eq!(quantiles[7], sorted[sorted.len() - 1]);
        }
    }
}
