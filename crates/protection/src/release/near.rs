//! What each caller was told about, so that two answers that differ by a few people do not tell
//! about these few.
//!
//! Kept in memory, for each person with all of the person's keys: the newest sets up to a number
//! and a size. A restart forgets them, which `docs/protection.md` says.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::fmt;

/// Sets that are remembered for a person …
const SETS_MAX: usize = 1024;
/// … and members of all of these together (4 bytes each).
const MEMBERS_MAX: usize = 4 << 20;

/// Everybody's answers.
#[derive(Default)]
pub(super) struct Answers {
    told: Mutex<HashMap<String, Told>>,
}

/// The groups that one person was told about.
#[derive(Default)]
struct Told {
    /// What was asked, and the people in the answer, ascending. The oldest first.
    sets: VecDeque<(u64, Box<[u32]>)>,
    members: usize,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers(…)")
    }
}

impl Answers {
    /// Whether `subjects` (ascending) are nearly those of an answer to another question: not the
    /// same, but fewer than `least` apart.
    pub(super) fn is_near(
        &self,
        person: &str,
        question: u64,
        subjects: &[u32],
        least: u32,
    ) -> bool {
        let told = self.told.lock();
        let Some(told) = told.get(person) else { return false };
        told.sets.iter().filter(|(asked, _)| *asked != question).any(|(_, set)| {
            let apart = apart(set, subjects, least);
            apart > 0 && apart < least
        })
    }

    /// Remembers that `person` was told about `subjects`, who are ascending.
    pub(super) fn remember(&self, person: &str, question: u64, subjects: &[u32]) {
        let mut all = self.told.lock();
        let told = all.entry(person.to_owned()).or_default();
        if let Some(at) = told.sets.iter().position(|(asked, _)| *asked == question) {
            let (_, old) = told.sets.remove(at).expect("it was just found");
            told.members -= old.len();
        }
        told.members += subjects.len();
        told.sets.push_back((question, subjects.into()));
        while told.sets.len() > SETS_MAX || (told.members > MEMBERS_MAX && told.sets.len() > 1) {
            let Some((_, old)) = told.sets.pop_front() else { break };
            told.members -= old.len();
        }
    }
}

/// In how many members two ascending sets differ; not looked at beyond `enough`.
fn apart(one: &[u32], two: &[u32], enough: u32) -> u32 {
    if one.len().abs_diff(two.len()) >= enough as usize {
        return enough;
    }
    let (mut i, mut j, mut apart) = (0, 0, 0);
    while i < one.len() && j < two.len() && apart < enough {
        match one[i].cmp(&two[j]) {
            std::cmp::Ordering::Equal => {
                i += 1;
                j += 1;
            }
            std::cmp::Ordering::Less => {
                i += 1;
                apart += 1;
            }
            std::cmp::Ordering::Greater => {
                j += 1;
                apart += 1;
            }
        }
    }
    let rest = (one.len() - i + two.len() - j) as u32;
    apart.saturating_add(rest).min(enough)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(of: std::ops::Range<u32>) -> Vec<u32> {
        of.collect()
    }

    #[test]
    fn sets_that_differ_by_few_are_near_and_equal_ones_are_not() {
        let answers = Answers::default();
        answers.remember("ada", 1, &people(0..100));
        assert!(answers.is_near("ada", 2, &people(1..100), 20), "all but one");
        assert!(answers.is_near("ada", 2, &people(0..119), 20), "19 more");
        assert!(answers.is_near("ada", 2, &people(9..109), 20), "others in the place of nine");
        assert!(!answers.is_near("ada", 2, &people(0..120), 20));
        assert!(!answers.is_near("ada", 2, &people(0..100), 20), "the same people");
        assert!(!answers.is_near("ada", 2, &people(500..600), 20), "other people");
        assert!(!answers.is_near("ada", 1, &people(1..100), 20), "the same question later");
        assert!(!answers.is_near("eve", 2, &people(1..100), 20), "somebody else");
    }

    #[test]
    fn memory_is_bounded() {
        let answers = Answers::default();
        for question in 0..(SETS_MAX as u64 + 10) {
            answers.remember("ada", question, &people(0..10));
        }
        answers.remember("ada", 1 << 40, &vec![7; MEMBERS_MAX]);
        let told = answers.told.lock();
        assert!(told["ada"].sets.len() <= SETS_MAX && told["ada"].members <= MEMBERS_MAX + 10);
    }
}
