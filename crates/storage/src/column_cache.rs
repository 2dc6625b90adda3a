//! What readers of segments need again and again, decoded or at least decrypted: columns, and long
//! stretches of postings, positions and norms. Shared by all readers, bounded in bytes.
//!
//! What lies here is what is stored: pseudonyms, tags and open values, never a value that only
//! some callers may see. Permits are checked before a column is asked for.

use crate::ordinals::Ordinals;
use crate::segment::Column;
use model::TableId;
use parking_lot::Mutex;
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tantivy::columnar::Column as TantivyColumn;
use tantivy::directory::OwnedBytes;

/// What part of a segment an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    /// The column of a Tantivy field.
    Column(u32),
    /// A column of `_seq` or `_ver`.
    Counter(u32),
    /// A stretch of one of Tantivy's files.
    Stretch(Arc<str>, Range<usize>),
    /// The tile of a key.
    Tile(Arc<str>),
}

/// A tile as whoever reads tiles decoded it.
pub type DecodedTile = Arc<dyn Any + Send + Sync>;

type Key = (u64, Item);

#[derive(Clone)]
enum Entry {
    Column(Option<Column>),
    Counter(Option<Arc<TantivyColumn<u64>>>),
    Stretch(OwnedBytes),
    Tile(DecodedTile),
}

/// A bounded cache; the entry that was used longest ago goes first.
pub(crate) struct ColumnCache {
    bytes_max: usize,
    next_key: AtomicU64,
    state: Mutex<State>,
    /// The shared numbering of a field of a table.
    ordinals: Mutex<HashMap<(TableId, String), Arc<Ordinals>>>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Held>,
    /// By when they were last used.
    order: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
}

struct Held {
    entry: Entry,
    bytes: usize,
    used: u64,
}

impl ColumnCache {
    pub(crate) fn new(bytes_max: usize) -> ColumnCache {
        let (state, ordinals) = (Mutex::default(), Mutex::default());
        ColumnCache { bytes_max, next_key: AtomicU64::new(0), state, ordinals }
    }

    /// A key that no other segment has.
    pub(crate) fn new_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    /// The column if it is here; the inner `None` says that the segment has no such column.
    pub(crate) fn get(&self, segment: u64, field: u32) -> Option<Option<Column>> {
        match self.touch(&(segment, Item::Column(field)))? {
            Entry::Column(column) => Some(column),
            Entry::Counter(_) | Entry::Stretch(_) | Entry::Tile(_) => None,
        }
    }

    pub(crate) fn put(&self, segment: u64, field: u32, column: Option<Column>, bytes: usize) {
        self.insert((segment, Item::Column(field)), Entry::Column(column), bytes);
    }

    pub(crate) fn get_counter(
        &self,
        segment: u64,
        field: u32,
    ) -> Option<Option<Arc<TantivyColumn<u64>>>> {
        match self.touch(&(segment, Item::Counter(field)))? {
            Entry::Counter(column) => Some(column),
            Entry::Column(_) | Entry::Stretch(_) | Entry::Tile(_) => None,
        }
    }

    pub(crate) fn put_counter(
        &self,
        segment: u64,
        field: u32,
        column: Option<Arc<TantivyColumn<u64>>>,
        bytes: usize,
    ) {
        self.insert((segment, Item::Counter(field)), Entry::Counter(column), bytes);
    }

    /// A stretch of a file of the segment.
    pub(crate) fn get_stretch(
        &self,
        segment: u64,
        file: &Arc<str>,
        range: &Range<usize>,
    ) -> Option<OwnedBytes> {
        match self.touch(&(segment, Item::Stretch(Arc::clone(file), range.clone())))? {
            Entry::Stretch(bytes) => Some(bytes),
            Entry::Column(_) | Entry::Counter(_) | Entry::Tile(_) => None,
        }
    }

    pub(crate) fn put_stretch(
        &self,
        segment: u64,
        file: &Arc<str>,
        range: Range<usize>,
        bytes: OwnedBytes,
    ) {
        let length = bytes.len();
        let key = (segment, Item::Stretch(Arc::clone(file), range));
        self.insert(key, Entry::Stretch(bytes), length);
    }

    /// The decoded tile of a segment.
    pub(crate) fn get_tile(&self, segment: u64, key: &Arc<str>) -> Option<DecodedTile> {
        match self.touch(&(segment, Item::Tile(Arc::clone(key))))? {
            Entry::Tile(tile) => Some(tile),
            Entry::Column(_) | Entry::Counter(_) | Entry::Stretch(_) => None,
        }
    }

    pub(crate) fn put_tile(&self, segment: u64, key: &Arc<str>, tile: DecodedTile, bytes: usize) {
        self.insert((segment, Item::Tile(Arc::clone(key))), Entry::Tile(tile), bytes);
    }

    /// The shared numbering of a field. All of them together take no more than the columns may;
    /// beyond, they begin anew.
    pub(crate) fn ordinals(&self, table: TableId, field: &str) -> Arc<Ordinals> {
        let mut all = self.ordinals.lock();
        if all.values().map(|ordinals| ordinals.bytes()).sum::<usize>() > self.bytes_max {
            all.clear();
        }
        Arc::clone(all.entry((table, field.to_owned())).or_default())
    }

    /// Forgets the strings of a table's fields: some of them must not stay, not even in memory.
    pub(crate) fn forget_strings(&self, table: TableId) {
        self.ordinals.lock().retain(|(of, _), _| *of != table);
    }

    /// Forgets all that is here of a segment that is gone.
    pub(crate) fn forget(&self, segment: u64) {
        self.ordinals.lock().retain(|_, ordinals| !ordinals.forget(segment));
        let mut state = self.state.lock();
        let State { entries, order, bytes, .. } = &mut *state;
        entries.retain(|(of, _), held| {
            let keep = *of != segment;
            if !keep {
                *bytes -= held.bytes;
                order.remove(&held.used);
            }
            keep
        });
    }

    fn touch(&self, key: &Key) -> Option<Entry> {
        let mut state = self.state.lock();
        let State { entries, order, clock, .. } = &mut *state;
        let held = entries.get_mut(key)?;
        *clock += 1;
        if let Some(key) = order.remove(&held.used) {
            order.insert(*clock, key);
        }
        held.used = *clock;
        Some(held.entry.clone())
    }

    fn insert(&self, key: Key, entry: Entry, bytes: usize) {
        let mut state = self.state.lock();
        state.clock += 1;
        let used = state.clock;
        if let Some(old) = state.entries.insert(key.clone(), Held { entry, bytes, used }) {
            state.bytes -= old.bytes;
            state.order.remove(&old.used);
        }
        state.order.insert(used, key);
        state.bytes += bytes;
        while state.bytes > self.bytes_max && state.entries.len() > 1 {
            let Some((_, oldest)) = state.order.pop_first() else { break };
            if let Some(gone) = state.entries.remove(&oldest) {
                state.bytes -= gone.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_used_longest_ago_goes_first_and_a_segment_leaves_nothing() {
        let cache = ColumnCache::new(100);
        let (file, key) = (Arc::from("a.idx"), cache.new_key());
        let bytes = |count: usize| OwnedBytes::new(vec![0_u8; count]);
        cache.put_stretch(key, &file, 0..40, bytes(40));
        cache.put_stretch(key, &file, 40..80, bytes(40));
        assert!(cache.get_stretch(key, &file, &(0..40)).is_some());
        cache.put_stretch(key, &file, 80..120, bytes(40));
        assert!(cache.get_stretch(key, &file, &(40..80)).is_none(), "the oldest is gone");
        assert!(cache.get_stretch(key, &file, &(0..40)).is_some());
        cache.forget(key);
        let state = cache.state.lock();
        assert!(state.bytes == 0 && state.entries.is_empty() && state.order.is_empty());
    }
}
