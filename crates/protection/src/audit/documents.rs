use crate::release::Canaries;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Which documents of a table a read saw, by the number ([`Seq`](model::Seq)) that a row keeps
/// for its whole life.
#[derive(Clone, Debug, PartialEq)]
pub enum Documents {
    /// These rows went out.
    Rows(RoaringTreemap),
    /// All rows that fit the filter of the intent, among those with numbers below this one: they
    /// were counted or computed with, and none went out as it is.
    AllBelow(u64),
}

/// The documents of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRead {
    /// Its name.
    pub table: String,
    /// Which of its rows.
    pub documents: Documents,
}

/// A larger bitmap is not kept; the rows are then covered by their highest number.
const BITMAP_BYTES_MAX: usize = 4 * 1024 * 1024;
const ALL_BELOW: &str = "below:";

impl Documents {
    /// Both.
    fn join(&mut self, other: Documents) {
        match (&mut *self, other) {
            (Documents::Rows(own), Documents::Rows(other)) => *own |= other,
            (_, other) => *self = Documents::AllBelow(self.end().max(other.end())),
        }
    }

    /// Higher than the number of every row among them.
    pub fn end(&self) -> u64 {
        match self {
            Documents::Rows(rows) => rows.max().map_or(0, |last| last.saturating_add(1)),
            Documents::AllBelow(end) => *end,
        }
    }

    pub(super) fn to_text(&self) -> String {
        match self {
            Documents::Rows(rows) if rows.serialized_size() <= BITMAP_BYTES_MAX => {
                let mut bytes = Vec::with_capacity(rows.serialized_size());
                rows.serialize_into(&mut bytes).expect("memory takes all bytes");
                STANDARD.encode(bytes)
            }
            documents => format!("{ALL_BELOW}{}", documents.end()),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Documents> {
        if let Some(end) = text.strip_prefix(ALL_BELOW) {
            return end.parse().ok().map(Documents::AllBelow);
        }
        let bytes = STANDARD.decode(text).ok()?;
        RoaringTreemap::deserialize_from(bytes.as_slice()).ok().map(Documents::Rows)
    }
}

/// What a read saw so far; noted while it runs, by whatever fetches rows.
#[derive(Debug, Default)]
pub struct Seen {
    /// Rows whose reading raises the alarm; `None`: there are none.
    canaries: Option<Arc<Canaries>>,
    /// Those of them that go out.
    touched: Mutex<BTreeMap<String, RoaringTreemap>>,
    tables: Mutex<BTreeMap<String, Documents>>,
    /// Hashes of the people whose rows went out.
    subjects: Mutex<HashSet<u64>>,
}

impl Seen {
    /// Nothing seen yet; `canaries` are looked out for.
    pub(crate) fn watching(canaries: Arc<Canaries>) -> Seen {
        Seen { canaries: Some(canaries), ..Seen::default() }
    }

    /// Rows that go out, by number.
    pub fn rows(&self, table: &str, numbers: impl IntoIterator<Item = u64>) {
        let rows: RoaringTreemap = numbers.into_iter().collect();
        if let Some(canaries) = self.canaries.as_ref().and_then(|all| all.among(table, &rows)) {
            *self.touched.lock().entry(table.to_owned()).or_default() |= canaries;
        }
        self.note(table, Documents::Rows(rows));
    }

    /// The canaries that go out, by table; empty the next time.
    pub(crate) fn take_touched(&self) -> Vec<TableRead> {
        let touched = std::mem::take(&mut *self.touched.lock());
        let read = |(table, rows)| TableRead { table, documents: Documents::Rows(rows) };
        touched.into_iter().map(read).collect()
    }

    /// All rows below a number that fit the filter are counted or computed with.
    pub fn all_below(&self, table: &str, end: u64) {
        self.note(table, Documents::AllBelow(end));
    }

    /// People whose rows go out, each by any hash of a pseudonym.
    pub fn subjects(&self, hashes: impl IntoIterator<Item = u64>) {
        self.subjects.lock().extend(hashes);
    }

    fn note(&self, table: &str, documents: Documents) {
        let mut tables = self.tables.lock();
        match tables.get_mut(table) {
            Some(known) => known.join(documents),
            None => drop(tables.insert(table.to_owned(), documents)),
        }
    }

    /// Notes all that another read saw.
    pub(crate) fn add(&self, seen: &Seen) {
        for (table, rows) in seen.touched.lock().iter() {
            *self.touched.lock().entry(table.clone()).or_default() |= rows;
        }
        for (table, documents) in &*seen.tables.lock() {
            self.note(table, documents.clone());
        }
        self.subjects(seen.subjects.lock().iter().copied());
    }

    /// What was seen: the documents by table, and of how many people, where rows name them.
    pub(crate) fn take(&self) -> (Vec<TableRead>, Option<u64>) {
        let tables = std::mem::take(&mut *self.tables.lock());
        let read = |(table, documents)| TableRead { table, documents };
        let subjects = self.subjects.lock().len() as u64;
        (tables.into_iter().map(read).collect(), (subjects > 0).then_some(subjects))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_adds_up() {
        let seen = Seen::default();
        seen.rows("a", [5, 1]);
        seen.rows("a", [9]);
        seen.rows("b", [1]);
        seen.all_below("b", 100);
        seen.all_below("c", 7);
        seen.rows("c", [30]);
        seen.subjects([1, 2, 2]);
        let (read, subjects) = seen.take();
        let documents: Vec<Documents> = read.into_iter().map(|read| read.documents).collect();
        assert_eq!(
            documents,
            [
                Documents::Rows([1, 5, 9].into_iter().collect()),
                Documents::AllBelow(100),
                Documents::AllBelow(31),
            ]
        );
        assert_eq!(subjects, Some(2));
        assert_eq!(seen.take().0, []);
    }

    #[test]
    fn a_bitmap_too_large_is_covered_from_above() {
        let rows: RoaringTreemap = (0..3_000_000u64).map(|number| number * 2).collect();
        let text = Documents::Rows(rows).to_text();
        let one = Documents::parse(&text).unwrap();
        assert!(text.len() < 6 * 1024 * 1024);
        let many: RoaringTreemap = (0..5_000u64).map(|number| number << 32).collect();
        let sparse = Documents::Rows(many.clone());
        assert_eq!(Documents::parse(&sparse.to_text()), Some(sparse));
        assert_eq!(one.end(), 5_999_999);
    }
}
