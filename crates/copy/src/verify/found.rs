//! What a verification found of one table.

use super::checksums::{Checksums, Keys};
use engine::{Compared, EngineError, OtherRow};
use model::Seq;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// So many keys are named for each table.
const NAMED_MAX: usize = 1_000;
/// Of so many rows of a table is kept that they differ; beyond, the table is only said to differ.
const KEPT_MAX: usize = 100_000;
/// Of so many rows here it is found out whether the source has them, after a first look at all.
const CANDIDATES_MAX: u64 = 1_000_000;

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The source has it, and it is not here.
    Missing,
    /// It is here with other values.
    Changed,
    /// It is here, and the source, or its filter, has it no more.
    Extra,
}

/// A row that differed when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    how: How,
    /// Stands for its values at the source.
    at_source: u64,
    /// The number of the row that is stored.
    stored: Option<Seq>,
}

/// Shows the name and the number of every stored row.
type Visit<'a> = &'a mut dyn FnMut(&str, Seq);

/// One table.
pub(super) struct Found {
    has_key: bool,
    passes: usize,
    /// Rows of the source, of the first look; and rows here before it.
    rows_at_source: u64,
    rows_before: u64,
    keys: Keys,
    at_source: Checksums,
    /// Ranges of names in which rows may be that only we have.
    suspected: Vec<bool>,
    /// Rows here that this look did not find at the source yet.
    candidates: BTreeMap<String, Seq>,
    before: BTreeMap<String, Seen>,
    now: BTreeMap<String, Seen>,
    /// Those that two looks in a row found the same.
    differing: BTreeMap<String, How>,
    /// Lanes of the source in which a row differed.
    lanes: BTreeSet<String>,
    lanes_now: BTreeSet<String>,
    /// There were more than are kept, or than could be looked at.
    is_cut: bool,
}

impl Found {
    pub(super) fn new(has_key: bool, rows_before: u64) -> Found {
        Found {
            has_key,
            passes: 0,
            rows_at_source: 0,
            rows_before,
            keys: Keys::default(),
            at_source: Checksums::default(),
            suspected: Vec::new(),
            candidates: BTreeMap::new(),
            before: BTreeMap::new(),
            now: BTreeMap::new(),
            differing: BTreeMap::new(),
            lanes: BTreeSet::new(),
            lanes_now: BTreeSet::new(),
            is_cut: false,
        }
    }

    /// Before the source is read: which rows here may be ours alone.
    pub(super) fn begin_pass(
        &mut self,
        ids: impl FnOnce(Visit<'_>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.candidates.clear();
        if !self.is_suspected() {
            return Ok(());
        }
        let Found { keys, suspected, candidates, .. } = self;
        ids(&mut |id, seq| {
            if suspected[keys.range_of(id)] {
                candidates.insert(id.to_owned(), seq);
            }
        })
    }

    /// Whether the rows of a lane are to be looked at.
    pub(super) fn wants(&self, lane: &str) -> bool {
        // A row that only we have is told from the others when all of them were read.
        self.passes == 0 || self.is_suspected() || self.lanes.contains(lane)
    }

    /// Rows of the source, and those of them that differ.
    pub(super) fn take(&mut self, lane: &str, compared: &Compared, other: Vec<(OtherRow, u64)>) {
        if self.passes == 0 {
            self.rows_at_source += compared.rows;
            compared.ids.iter().for_each(|id| self.keys.add(id, &mut self.at_source));
        }
        for id in &compared.ids {
            self.candidates.remove(id);
        }
        if !other.is_empty() {
            self.lanes_now.insert(lane.to_owned());
        }
        for (row, at_source) in other {
            let how = match row.stored {
                _ if row.is_gone => How::Extra,
                None => How::Missing,
                Some(_) => How::Changed,
            };
            self.see(row.id, Seen { how, at_source, stored: row.stored });
        }
    }

    fn see(&mut self, id: String, seen: Seen) {
        match self.now.len() < KEPT_MAX {
            true => drop(self.now.insert(id, seen)),
            false => self.is_cut = true,
        }
    }

    /// After the source was read.
    pub(super) fn end_pass(
        &mut self,
        ids: impl FnOnce(Visit<'_>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        for (id, seq) in std::mem::take(&mut self.candidates) {
            self.see(id, Seen { how: How::Extra, at_source: 0, stored: Some(seq) });
        }
        if self.passes == 0 && self.has_key {
            let mut here = Checksums::default();
            ids(&mut |id, _| self.keys.add(id, &mut here))?;
            (self.suspected, self.is_cut) = here.suspected(&self.at_source, CANDIDATES_MAX);
        }
        let now = std::mem::take(&mut self.now);
        for (id, seen) in &now {
            // The same row beside the same stored one: no change of it was on its way.
            if self.before.get(id) == Some(seen) {
                self.differing.insert(id.clone(), seen.how);
            }
        }
        // What was mended meanwhile differs no more.
        self.differing.retain(|id, _| now.contains_key(id));
        let looked_for_extra = self.passes > 0;
        if looked_for_extra && !now.values().any(|seen| seen.how == How::Extra) {
            self.suspected.clear();
        }
        self.before = now;
        self.lanes = std::mem::take(&mut self.lanes_now);
        self.passes += 1;
        Ok(())
    }

    fn is_suspected(&self) -> bool {
        self.suspected.contains(&true)
    }

    /// Whether another look would tell nothing more.
    pub(super) fn is_settled(&self) -> bool {
        let is_open = |(id, seen): (&String, &Seen)| self.differing.get(id) != Some(&seen.how);
        match self.has_key {
            true => {
                let looked_for_extra = self.passes > 1 || !self.is_suspected();
                looked_for_extra && !self.before.iter().any(is_open)
            }
            // Rows were counted before and after the source's, with time to catch up between.
            false => self.passes > 1,
        }
    }

    /// `here`: how many rows are here now.
    pub(super) fn to_json(&self, table: &str, here: u64) -> Json {
        let (at_source, before) = (self.rows_at_source, self.rows_before);
        let is_equal = match self.has_key {
            true => self.differing.is_empty() && !self.is_cut,
            // Rows are only added: those of the source lie between what was here before and after.
            false => before <= at_source && at_source <= here,
        };
        let named = self.differing.iter().take(NAMED_MAX).map(|(id, how)| {
            let how = match how {
                How::Missing => "missing",
                How::Changed => "changed",
                How::Extra => "extra",
            };
            json!({ "key": id, "how": how })
        });
        let unsettled = self.before.keys().filter(|id| !self.differing.contains_key(*id)).count();
        json!({
            "table": table,
            "equal": is_equal,
            "has_key": self.has_key,
            "rows_at_source": at_source,
            "rows_here": here,
            "differing": self.differing.len(),
            "differing_is_cut": self.is_cut,
            "changing": unsettled,
            "keys": named.collect::<Vec<Json>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the table has, by name, and the numbers of its rows.
    type Here = BTreeMap<&'static str, u64>;

    /// One look: the source has `at_source`, of which `other` differ.
    fn pass(
        found: &mut Found,
        here: &Here,
        at_source: &[&str],
        other: &[(&str, Option<u64>, u64)],
    ) {
        let visit = |visit: Visit<'_>| {
            here.iter().for_each(|(id, seq)| visit(id, Seq(*seq)));
            Ok(())
        };
        found.begin_pass(visit).unwrap();
        if found.wants("0") {
            let compared = Compared {
                rows: at_source.len() as u64,
                ids: at_source.iter().map(|id| (*id).to_owned()).collect(),
                other: Vec::new(),
            };
            let other = other.iter().map(|(id, stored, print)| {
                let stored = stored.map(Seq);
                (OtherRow { id: (*id).to_owned(), row: 0, stored, is_gone: false }, *print)
            });
            found.take("0", &compared, other.collect());
        }
        found.end_pass(visit).unwrap();
    }

    fn told(found: &Found) -> String {
        let json = found.to_json("t", 0);
        let keys = json["keys"].as_array().unwrap().iter();
        let keys = keys.map(|key| {
            format!("{} {}", key["key"].as_str().unwrap(), key["how"].as_str().unwrap())
        });
        keys.collect::<Vec<String>>().join(", ")
    }

    #[test]
    fn exactly_what_stays_different_is_named() {
        let mut found = Found::new(true, 3);
        let here = Here::from([("same", 1), ("changed", 2), ("extra", 3)]);
        let source = ["same", "changed", "missing"];
        let other = [("changed", Some(2), 7), ("missing", None, 8)];
        pass(&mut found, &here, &source, &other);
        assert!(!found.is_settled() && told(&found).is_empty());
        pass(&mut found, &here, &source, &other);
        assert!(!found.is_settled(), "the extra one was seen once");
        pass(&mut found, &here, &source, &other);
        assert!(found.is_settled());
        assert_eq!(told(&found), "changed changed, extra extra, missing missing");
    }

    #[test]
    fn what_is_on_its_way_is_no_difference() {
        let mut found = Found::new(true, 2);
        // Changed at the source after it was stored, again and again; one comes, one goes.
        let here = Here::from([("busy", 1), ("going", 2)]);
        pass(&mut found, &here, &["busy", "coming"], &[("busy", Some(1), 1), ("coming", None, 5)]);
        let here = Here::from([("busy", 4), ("coming", 5)]);
        pass(&mut found, &here, &["busy", "coming"], &[("busy", Some(4), 2)]);
        let here = Here::from([("busy", 6), ("coming", 5)]);
        pass(&mut found, &here, &["busy", "coming"], &[("busy", Some(6), 3)]);
        assert_eq!(told(&found), "");
        let json = found.to_json("t", 2);
        assert_eq!((&json["equal"], &json["changing"]), (&json!(true), &json!(1)), "{json}");
        pass(&mut found, &here, &["busy", "coming"], &[]);
        assert!(found.is_settled());
    }

    #[test]
    fn what_was_mended_between_two_looks_is_taken_back() {
        let mut found = Found::new(true, 1);
        let here = Here::from([("a", 1)]);
        let other = [("a", Some(1), 7)];
        pass(&mut found, &here, &["a"], &other);
        pass(&mut found, &here, &["a"], &other);
        assert_eq!(told(&found), "a changed");
        pass(&mut found, &Here::from([("a", 2)]), &["a"], &[]);
        assert_eq!(told(&found), "");
    }

    #[test]
    fn rows_without_names_are_counted() {
        let found = |at_source| {
            let mut found = Found::new(false, 10);
            found.rows_at_source = at_source;
            found
        };
        assert_eq!(found(11).to_json("t", 12)["equal"], json!(true));
        assert_eq!(found(9).to_json("t", 12)["equal"], json!(false), "rows that are ours alone");
        assert_eq!(found(13).to_json("t", 12)["equal"], json!(false), "rows that did not come");
    }
}
