//! Canaries: rows that no honest question gives out.
//!
//! Somebody puts a row into a table that stands for nobody and that nobody has a reason to look
//! up, and a guardian marks it. Whoever takes everything takes it, too. It counts like any other
//! row; only that it goes out as it is raises the alarm.

use crate::caller::Caller;
use crate::records::{RecordError, RecordStore};
use model::Timestamp;
use parking_lot::RwLock;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The kind of record; the id is the table's name and the number of the row.
const KIND: &str = "canary";

/// All rows that are marked. Which they are is known to those who may open incidents alone.
#[derive(Default)]
pub struct Canaries {
    records: Option<Arc<dyn RecordStore>>,
    known: RwLock<BTreeMap<String, BTreeMap<u64, Canary>>>,
    /// Asked first, by every read.
    is_empty: AtomicBool,
}

/// A row that is marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// In which table.
    pub table: String,
    /// Its number, which it keeps for its whole life; a newer version of it is another row.
    pub row: u64,
    /// Who marked it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    table: String,
    row: u64,
    by: String,
    at: i64,
}

impl Canaries {
    /// Reads which rows are marked.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub fn open(records: Arc<dyn RecordStore>) -> Result<Canaries, RecordError> {
        let mut known: BTreeMap<String, BTreeMap<u64, Canary>> = BTreeMap::new();
        for (_, bytes) in records.list(KIND)? {
            let damaged = |_| RecordError::Damaged { kind: KIND.to_owned() };
            let Stored { table, row, by, at } = serde_json::from_slice(&bytes).map_err(damaged)?;
            let canary = Canary { table: table.clone(), row, by, at: Timestamp(at) };
            known.entry(table).or_default().insert(row, canary);
        }
        let is_empty = AtomicBool::new(known.is_empty());
        Ok(Canaries { records: Some(records), known: RwLock::new(known), is_empty })
    }

    /// Marks a row; false if it is marked already.
    ///
    /// # Errors
    /// If it cannot be made durable; it is not marked then.
    pub fn mark(
        &self,
        by: &Caller,
        table: &str,
        row: u64,
        now: Timestamp,
    ) -> Result<bool, RecordError> {
        let by = by.name().to_owned();
        let mut known = self.known.write();
        let rows = known.entry(table.to_owned()).or_default();
        if rows.contains_key(&row) {
            return Ok(false);
        }
        let stored = Stored { table: table.to_owned(), row, by: by.clone(), at: now.0 };
        let bytes = serde_json::to_vec(&stored).expect("strings and numbers only");
        if let Some(records) = &self.records {
            records.put(KIND, &format!("{table}/{row:020}"), &bytes)?;
        }
        rows.insert(row, Canary { table: table.to_owned(), row, by, at: now });
        self.is_empty.store(false, Ordering::Release);
        Ok(true)
    }

    /// All rows that are marked, by table and number.
    pub fn list(&self) -> Vec<Canary> {
        self.known.read().values().flat_map(|rows| rows.values().cloned()).collect()
    }

    /// Those of `rows` of a table that are marked; `None`: not one.
    pub(crate) fn among(&self, table: &str, rows: &RoaringTreemap) -> Option<RoaringTreemap> {
        if self.is_empty.load(Ordering::Acquire) {
            return None;
        }
        let known = self.known.read();
        let marked = known.get(table)?.keys().copied().filter(|row| rows.contains(*row));
        let found: RoaringTreemap = marked.collect();
        (!found.is_empty()).then_some(found)
    }
}

impl fmt::Debug for Canaries {
    /// How many there are; never which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canaries({})", self.known.read().values().map(BTreeMap::len).sum::<usize>())
    }
}
