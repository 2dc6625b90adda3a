//! Decoded columns of segments, shared by all readers, bounded in bytes.
//!
//! What lies here is what is stored: pseudonyms, tags and open values, never a value that only
//! some callers may see. Permits are checked before a column is asked for.

use crate::segment::Column;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tantivy::columnar::Column as TantivyColumn;

type Key = (u64, u32);

#[derive(Clone)]
enum Entry {
    Column(Option<Column>),
    Counter(Option<Arc<TantivyColumn<u64>>>),
}

/// A bounded cache; the column that was used longest ago goes first.
pub(crate) struct ColumnCache {
    bytes_max: usize,
    next_key: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, (Entry, usize, u64)>,
    bytes: usize,
    clock: u64,
}

impl ColumnCache {
    pub(crate) fn new(bytes_max: usize) -> ColumnCache {
        ColumnCache { bytes_max, next_key: AtomicU64::new(0), state: Mutex::default() }
    }

    /// A key that no other segment has.
    pub(crate) fn new_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    /// The column if it is here; the inner `None` says that the segment has no such column.
    pub(crate) fn get(&self, key: Key) -> Option<Option<Column>> {
        match self.touch(key)? {
            Entry::Column(column) => Some(column),
            Entry::Counter(_) => None,
        }
    }

    pub(crate) fn put(&self, key: Key, column: Option<Column>, bytes: usize) {
        self.insert(key, Entry::Column(column), bytes);
    }

    pub(crate) fn get_counter(&self, key: Key) -> Option<Option<Arc<TantivyColumn<u64>>>> {
        match self.touch(key)? {
            Entry::Counter(column) => Some(column),
            Entry::Column(_) => None,
        }
    }

    pub(crate) fn put_counter(
        &self,
        key: Key,
        column: Option<Arc<TantivyColumn<u64>>>,
        bytes: usize,
    ) {
        self.insert(key, Entry::Counter(column), bytes);
    }

    /// Forgets all columns of a segment that is gone.
    pub(crate) fn forget(&self, segment_key: u64) {
        let mut state = self.state.lock();
        let mut freed = 0;
        state.entries.retain(|&(segment, _), (_, bytes, _)| {
            let keep = segment != segment_key;
            freed += if keep { 0 } else { *bytes };
            keep
        });
        state.bytes -= freed;
    }

    fn touch(&self, key: Key) -> Option<Entry> {
        let mut state = self.state.lock();
        state.clock += 1;
        let clock = state.clock;
        let (entry, _, used) = state.entries.get_mut(&key)?;
        *used = clock;
        Some(entry.clone())
    }

    fn insert(&self, key: Key, entry: Entry, bytes: usize) {
        let mut state = self.state.lock();
        state.clock += 1;
        let clock = state.clock;
        if let Some((_, old, _)) = state.entries.insert(key, (entry, bytes, clock)) {
            state.bytes -= old;
        }
        state.bytes += bytes;
        while state.bytes > self.bytes_max && state.entries.len() > 1 {
            let oldest = state.entries.iter().min_by_key(|(_, (_, _, used))| *used);
            let Some((&oldest, _)) = oldest else { break };
            if let Some((_, bytes, _)) = state.entries.remove(&oldest) {
                state.bytes -= bytes;
            }
        }
    }
}
