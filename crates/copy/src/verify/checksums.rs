//! Counts and keyed checksums of the names of rows, range by range: where both sides have the same
//! names, nothing more has to be looked at.

use std::hash::{BuildHasher, RandomState};

/// The names of rows are divided into so many ranges.
const RANGES: usize = 4_096;

/// How names are divided, and summed up: by keys that are made anew for each verification.
#[derive(Default)]
pub(super) struct Keys {
    range: RandomState,
    sum: RandomState,
}

/// What stands for the names of one side.
#[derive(Clone)]
pub(super) struct Checksums(Vec<(u64, u64)>);

impl Keys {
    /// The range of a name.
    pub(super) fn range_of(&self, id: &str) -> usize {
        self.range.hash_one(id) as usize % RANGES
    }

    /// Adds a name to one side.
    pub(super) fn add(&self, id: &str, to: &mut Checksums) {
        let (count, sum) = &mut to.0[self.range_of(id)];
        *count += 1;
        *sum = sum.wrapping_add(self.sum.hash_one(id));
    }
}

impl Default for Checksums {
    fn default() -> Checksums {
        Checksums(vec![(0, 0); RANGES])
    }
}

impl Checksums {
    /// Which ranges hold other names than the other side's, as far as these ranges have no more than
    /// `names_max` together; and whether there are more.
    pub(super) fn suspected(&self, other: &Checksums, names_max: u64) -> (Vec<bool>, bool) {
        let (mut names, mut is_cut) = (0, false);
        let ranges = self.0.iter().zip(&other.0).map(|(one, other)| {
            if one == other || one.0 == 0 {
                return false;
            }
            names += one.0;
            is_cut |= names > names_max;
            names <= names_max
        });
        (ranges.collect(), is_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_more_or_another_is_seen_in_its_range_alone() {
        let keys = Keys::default();
        let (mut one, mut other) = (Checksums::default(), Checksums::default());
        for number in 0..10_000 {
            let (here, there) = (format!("id{number}"), format!("id{}", 9_999 - number));
            keys.add(&here, &mut one);
            keys.add(&there, &mut other);
        }
        let differing = |one: &Checksums, other: &Checksums| one.suspected(other, 20_000).0;
        assert!(!differing(&one, &other).contains(&true), "their order does not count");
        let mut more = one.clone();
        keys.add("extra", &mut more);
        let found = differing(&more, &one);
        assert_eq!(found.iter().filter(|differs| **differs).count(), 1);
        assert!(found[keys.range_of("extra")]);
        // As many in the range, and another name.
        let other = (0..)
            .map(|n| format!("other{n}"))
            .find(|name| keys.range_of(name) == keys.range_of("extra"));
        let mut swapped = one.clone();
        keys.add(&other.unwrap(), &mut swapped);
        assert!(differing(&swapped, &more)[keys.range_of("extra")]);
        // Where nothing is here, nothing is ours alone; and too much is not looked at.
        assert!(!differing(&Checksums::default(), &more).contains(&true));
        let (found, is_cut) = more.suspected(&Checksums::default(), 100);
        assert!(is_cut && found.contains(&true) && found.contains(&false));
    }
}
