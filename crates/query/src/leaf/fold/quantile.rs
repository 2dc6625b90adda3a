//! Values whose quantiles are asked for: exact while there are few, then counted in buckets that
//! are narrow beside their values.
//!
//! A bucket is the sign, the exponent and the first eleven bits of the mantissa of a float, as in
//! HdrHistogram and DDSketch (Masson et al., VLDB 2019): its width is at most 2⁻¹¹ of its value, so
//! that a quantile is off by less than 0.05 % of itself. Counting takes a shift and an increment,
//! merging adds counts, and neither depends on the order of the rows.

use std::cmp::Ordering;

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
    /// All of them, each distinct one with how often it is there, ascending.
    Runs(Runs),
    /// How many in each bucket.
    Counted(Box<Histogram>),
}

/// Distinct values, ascending, at most [`EXACT_MAX`] with all that are equal.
#[derive(Clone, Default)]
pub(super) struct Runs {
    runs: Vec<(f64, u64)>,
    count: usize,
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
            Sample::Exact(_) | Sample::Runs(_) => self.histogram().add(value, 1),
        }
    }

    /// Adds the values of another group.
    pub(super) fn merge(&mut self, other: Sample) {
        match self.is_empty() {
            true => *self = other,
            false => self.merge_from(&other),
        }
    }

    /// Adds the values of another group and leaves it as it is.
    pub(super) fn merge_from(&mut self, other: &Sample) {
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        let fits = match (self.exact_count(), other.exact_count()) {
            (Some(mine), Some(theirs)) => mine + theirs <= EXACT_MAX,
            _ => false,
        };
        match (&mut *self, other) {
            (Sample::Exact(mine), Sample::Exact(theirs)) if fits => mine.extend_from_slice(theirs),
            (Sample::Runs(mine), Sample::Runs(theirs)) if fits => *mine = mine.joined(theirs),
            (Sample::Exact(mine), Sample::Runs(theirs)) if fits => mine.extend(theirs.values()),
            (Sample::Runs(mine), Sample::Exact(theirs)) if fits => {
                let values = mine.values().chain(theirs.iter().copied());
                *self = Sample::Exact(values.collect());
            }
            (_, other) => other.add_to(self.histogram()),
        }
    }

    fn is_empty(&self) -> bool {
        self.exact_count() == Some(0)
    }

    /// How many values, if all are kept.
    fn exact_count(&self) -> Option<usize> {
        match self {
            Sample::Exact(values) => Some(values.len()),
            Sample::Runs(runs) => Some(runs.count),
            Sample::Counted(_) => None,
        }
    }

    fn add_to(&self, histogram: &mut Histogram) {
        match self {
            Sample::Exact(values) => values.iter().for_each(|&value| histogram.add(value, 1)),
            Sample::Runs(runs) => {
                runs.runs.iter().for_each(|&(value, times)| histogram.add(value, times));
            }
            Sample::Counted(theirs) => histogram.merge(theirs),
        }
    }

    fn histogram(&mut self) -> &mut Histogram {
        if !matches!(self, Sample::Counted(_)) {
            let mut histogram = Histogram::new();
            self.add_to(&mut histogram);
            *self = Sample::Counted(Box::new(histogram));
        }
        match self {
            Sample::Counted(histogram) => histogram,
            Sample::Exact(_) | Sample::Runs(_) => unreachable!("it was just counted"),
        }
    }

    /// The same values with equal ones together.
    pub(super) fn compact(self) -> Sample {
        match self {
            Sample::Exact(values) => Sample::Runs(Runs::of(values)),
            other => other,
        }
    }

    /// The values of counted buckets; `None` if they are none of ours.
    pub(super) fn from_counted(counted: &Counted) -> Option<Sample> {
        let mut histogram = Histogram::new();
        for &(bucket, count) in &counted.buckets {
            let (page, place) = (bucket as usize / PAGE, bucket as usize % PAGE);
            let page = histogram.pages.get_mut(page)?;
            histogram.count = histogram.count.checked_add(count)?;
            page.get_or_insert_with(|| Box::new([0; PAGE]))[place] += count;
        }
        (histogram.min, histogram.max) = (counted.min, counted.max);
        Some(Sample::Counted(Box::new(histogram)))
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Sample::Exact(values) => values.capacity() * 8,
            Sample::Runs(runs) => runs.runs.capacity() * 16,
            Sample::Counted(histogram) => histogram.bytes(),
        }
    }

    /// The value at each rank (0 to 1), between two neighbours in proportion; `None` without
    /// values.
    pub(super) fn quantiles(self, ranks: &[f64]) -> Option<Vec<f64>> {
        if self.is_empty() {
            return None;
        }
        Some(match self {
            Sample::Exact(mut values) => {
                ranks.iter().map(|&rank| exact(&mut values, rank)).collect()
            }
            Sample::Runs(runs) => ranks.iter().map(|&rank| runs.at(rank)).collect(),
            Sample::Counted(histogram) => ranks.iter().map(|&rank| histogram.at(rank)).collect(),
        })
    }
}

impl Runs {
    fn of(mut values: Vec<f64>) -> Runs {
        values.sort_unstable_by(f64::total_cmp);
        let same = |left: &f64, right: &f64| left.to_bits() == right.to_bits();
        let runs = values.chunk_by(same).map(|run| (run[0], run.len() as u64)).collect();
        Runs { runs, count: values.len() }
    }

    /// Adds a value that is not smaller than those before, as long as all fit; says whether they do.
    pub(super) fn push(&mut self, value: f64, times: u64) -> bool {
        let fits = times <= (EXACT_MAX - self.count) as u64;
        let follows =
            self.runs.last().is_none_or(|(last, _)| last.total_cmp(&value).is_lt()) && times > 0;
        if fits && follows {
            self.runs.push((value, times));
            self.count += times as usize;
        }
        fits && follows
    }

    /// Each distinct value and how often it is there, ascending.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (f64, u64)> {
        self.runs.iter().copied()
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.runs.iter().flat_map(|&(value, times)| std::iter::repeat_n(value, times as usize))
    }

    fn joined(&self, other: &Runs) -> Runs {
        let (mut left, mut right) = (self.runs.as_slice(), other.runs.as_slice());
        let mut runs = Vec::with_capacity(left.len().max(right.len()));
        while let ([(mine, times), rest @ ..], [(theirs, others), others_rest @ ..]) = (left, right)
        {
            match mine.total_cmp(theirs) {
                Ordering::Less => {
                    runs.push((*mine, *times));
                    left = rest;
                }
                Ordering::Greater => {
                    runs.push((*theirs, *others));
                    right = others_rest;
                }
                Ordering::Equal => {
                    runs.push((*mine, times + others));
                    (left, right) = (rest, others_rest);
                }
            }
        }
        runs.extend_from_slice(left);
        runs.extend_from_slice(right);
        Runs { runs, count: self.count + other.count }
    }

    /// As [`exact`] over all values.
    fn at(&self, rank: f64) -> f64 {
        let place = rank * (self.count - 1) as f64;
        let below = place.floor() as u64;
        let mut before = 0;
        for (number, &(low, times)) in self.runs.iter().enumerate() {
            before += times;
            if below < before {
                let next = self.runs.get(number + 1).map(|(high, _)| *high);
                let high = if below + 1 < before { Some(low) } else { next };
                return high.map_or(low, |high| low + (high - low) * (place - below as f64));
            }
        }
        self.runs.last().map_or(f64::NAN, |(last, _)| *last)
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

/// What a histogram has counted, without the empty buckets.
pub(super) struct Counted {
    pub(super) min: f64,
    pub(super) max: f64,
    /// Buckets and how many values each has, ascending.
    pub(super) buckets: Vec<(u32, u64)>,
}

impl Histogram {
    /// The buckets that have values.
    pub(super) fn counted(&self) -> Counted {
        let pages = self.pages.iter().enumerate();
        let pages = pages.filter_map(|(number, page)| Some((number, page.as_ref()?)));
        let buckets = pages.flat_map(|(number, page)| {
            let first = (number * PAGE) as u32;
            (first..).zip(page.iter().copied()).filter(|(_, count)| *count > 0)
        });
        Counted { min: self.min, max: self.max, buckets: buckets.collect() }
    }

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
    fn runs_say_what_all_values_say() {
        let value = |at: u32| f64::from(at.wrapping_mul(2_654_435_761) % 50) - 20.5;
        let values: Vec<f64> = (0..1_000).map(value).chain([0.0, -0.0]).collect();
        let ranks = [0.0, 0.001, 0.1, 0.25, 0.5, 0.777, 0.999, 1.0];
        for count in [1, 2, 3, 10, 501, values.len()] {
            let sample = |values: &[f64]| Sample::Exact(values.to_vec());
            let expected = sample(&values[..count]).quantiles(&ranks);
            let runs = sample(&values[..count]).compact();
            assert!(matches!(&runs, Sample::Runs(runs) if runs.iter().len() <= count.min(52)));
            assert_eq!(runs.quantiles(&ranks), expected);
            for (left, right) in [(true, true), (true, false), (false, true)] {
                let part = |values: &[f64], compact: bool| match compact {
                    true => sample(values).compact(),
                    false => sample(values),
                };
                let mut merged = part(&values[..count / 3], left);
                merged.merge(part(&values[count / 3..count], right));
                assert_eq!(merged.quantiles(&ranks), expected, "{left} {right}");
            }
        }
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
