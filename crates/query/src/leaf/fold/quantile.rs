//! Values whose quantiles are asked for: exact up to a million, then a t-digest.

use datasketches::tdigest::TDigestMut;

/// How many values a group keeps exactly.
const EXACT_MAX: usize = 1_000_000;
/// Size of the digest: errors of about 0.1 % of the rank in the middle, far less at the ends.
const DIGEST_K: u16 = 500;

/// The values of one group.
#[derive(Clone)]
pub(super) enum Sample {
    /// All of them.
    Exact(Vec<f64>),
    /// Their shape.
    Digest(Box<TDigestMut>),
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
            Sample::Exact(values) if values.len() < EXACT_MAX => values.push(value),
            _ => self.digest().update(value),
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
                let digest = self.digest();
                theirs.into_iter().for_each(|value| digest.update(value));
            }
            (_, Sample::Digest(theirs)) => self.digest().merge(&theirs),
        }
    }

    fn digest(&mut self) -> &mut TDigestMut {
        if let Sample::Exact(values) = self {
            let mut digest = TDigestMut::new(DIGEST_K).expect("the size is allowed");
            values.iter().for_each(|&value| digest.update(value));
            *self = Sample::Digest(Box::new(digest));
        }
        match self {
            Sample::Digest(digest) => digest,
            Sample::Exact(_) => unreachable!("it was just turned into a digest"),
        }
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Sample::Exact(values) => values.capacity() * 8,
            Sample::Digest(_) => usize::from(DIGEST_K) * 64,
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
            Sample::Digest(mut digest) => digest.quantiles(ranks).ok().flatten(),
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
    fn large_groups_are_close() {
        let mut sample = Sample::default();
        for value in 0..3_000_000u32 {
            sample.push(f64::from(value.wrapping_mul(2_654_435_761) % 1_000_000));
        }
        assert!(matches!(sample, Sample::Digest(_)));
        let quantiles = sample.quantiles(&[0.01, 0.5, 0.99]).unwrap();
        for (quantile, expected) in quantiles.iter().zip([10_000.0, 500_000.0, 990_000.0]) {
            assert!((quantile - expected).abs() < 2_000.0, "{quantile} is far from {expected}");
        }
    }
}
