//! One numbering of the strings of a keyword field for all segments of a table.
//!
//! Every segment numbers its strings by itself. To merge groups of several segments a question
//! would have to fetch and compare the strings behind all numbers, each time again. Here each
//! segment's numbers are translated once, when a question first needs it; later questions merge by
//! number and fetch only the strings that they answer with.

use crate::read::ReadError;
use crate::segment::KeywordColumn;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// The shared numbers of one field of one table. Numbers are given in the order of appearance.
#[derive(Default)]
pub struct Ordinals {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    terms: Terms,
    numbers: HashTable<u32>,
    hasher: FixedState,
    /// The number of each local ordinal, by the key of the segment.
    translations: HashMap<u64, Arc<[u32]>>,
    /// The place of each number in the order of the strings, while no string came after.
    ranks: Option<Arc<[u32]>>,
}

/// Strings one behind the other.
#[derive(Default)]
pub struct Terms {
    text: String,
    ends: Vec<usize>,
}

impl Terms {
    /// The string with this number; empty if there is none.
    pub fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.ends.get(number).map_or("", |&end| &self.text[start..end])
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl State {
    fn number(&mut self, term: &str) -> u32 {
        let State { terms, numbers, hasher, ranks, .. } = self;
        let hash = hasher.hash_one(term);
        let known = numbers.entry(
            hash,
            |&number| terms.get(number) == term,
            |&number| hasher.hash_one(terms.get(number)),
        );
        match known {
            hashbrown::hash_table::Entry::Occupied(known) => *known.get(),
            hashbrown::hash_table::Entry::Vacant(place) => {
                let number = terms.ends.len() as u32;
                terms.text.push_str(term);
                terms.ends.push(terms.text.len());
                place.insert(number);
                *ranks = None;
                number
            }
        }
    }
}

impl Ordinals {
    /// The number of each ordinal of a segment's column.
    pub(crate) fn translation(
        &self,
        segment: u64,
        column: &KeywordColumn,
    ) -> Result<Arc<[u32]>, ReadError> {
        if let Some(known) = self.state.read().translations.get(&segment) {
            return Ok(Arc::clone(known));
        }
        let mut state = self.state.write();
        if let Some(known) = state.translations.get(&segment) {
            return Ok(Arc::clone(known));
        }
        let mut translation = Vec::with_capacity(column.cardinality() as usize);
        column.each_term(&mut |term| translation.push(state.number(term)))?;
        let translation: Arc<[u32]> = translation.into();
        state.translations.insert(segment, Arc::clone(&translation));
        Ok(translation)
    }

    /// The numbers of some strings.
    pub fn numbers(&self, terms: &[String]) -> Vec<u32> {
        let mut state = self.state.write();
        terms.iter().map(|term| state.number(term)).collect()
    }

    /// Lends all strings.
    pub fn with_terms<T>(&self, work: impl FnOnce(&Terms) -> T) -> T {
        work(&self.state.read().terms)
    }

    /// The place of each number in the order of the strings.
    pub fn ranks(&self) -> Arc<[u32]> {
        if let Some(ranks) = &self.state.read().ranks {
            return Arc::clone(ranks);
        }
        let mut state = self.state.write();
        let terms = &state.terms;
        let mut order: Vec<u32> = (0..terms.len() as u32).collect();
        order.sort_unstable_by(|&left, &right| terms.get(left).cmp(terms.get(right)));
        let mut ranks = vec![0; order.len()];
        (0..).zip(order).for_each(|(rank, number)| ranks[number as usize] = rank);
        let ranks: Arc<[u32]> = ranks.into();
        state.ranks = Some(Arc::clone(&ranks));
        ranks
    }

    /// Forgets a segment that is gone. Says whether it is better to begin anew: no segment is
    /// left, or most strings are of segments that are gone.
    pub(crate) fn forget(&self, segment: u64) -> bool {
        let mut state = self.state.write();
        if state.translations.remove(&segment).is_none() {
            return false;
        }
        let living: usize = state.translations.values().map(|numbers| numbers.len()).sum();
        state.terms.len() > 2 * living
    }

    /// Bytes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let state = self.state.read();
        let translated: usize = state.translations.values().map(|numbers| numbers.len() * 4).sum();
        let terms = state.terms.text.capacity() + state.terms.len() * 8;
        terms
            + state.numbers.capacity() * 5
            + translated
            + state.ranks.as_ref().map_or(0, |ranks| ranks.len() * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_ranked_by_their_strings() {
        let ordinals = Ordinals::default();
        let strings = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        assert_eq!(ordinals.numbers(&strings(&["m", "", "z"])), [0, 1, 2]);
        assert_eq!(*ordinals.ranks(), [1, 0, 2]);
        assert_eq!(ordinals.numbers(&strings(&["z", "b"])), [2, 3]);
        assert_eq!(*ordinals.ranks(), [2, 0, 3, 1]);
        ordinals.with_terms(|terms| {
            let all: Vec<&str> = (0..4).map(|number| terms.get(number)).collect();
            assert_eq!(all, ["m", "", "z", "b"]);
        });
    }
}
