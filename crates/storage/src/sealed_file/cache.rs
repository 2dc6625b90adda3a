use foldhash::HashMap;
use parking_lot::Mutex;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which reader, which frame.
type Key = (u64, u64);

/// What a frame takes beside its bytes: key, slot, map entry.
const OVERHEAD_BYTES: usize = 128;
/// A part of the cache with its own lock is not smaller than this.
const SHARD_BYTES_MIN: usize = 1024 * 1024;
const SHARDS_MAX: usize = 16;

/// Opened frames of sealed files, so that small reads need neither disk nor decryption.
///
/// Bounded in bytes; when it is full, frames go that were not read since the last round (CLOCK).
/// One cache serves all readers of a store.
pub struct FrameCache {
    shards: Box<[Mutex<Shard>]>,
    shard_bytes_max: usize,
    hasher: foldhash::fast::FixedState,
    next_key: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How a cache did since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStats {
    /// Frames that were there.
    pub hits: u64,
    /// Frames that had to be read and opened.
    pub misses: u64,
    /// Bytes it takes now.
    pub bytes: usize,
}

#[derive(Default)]
struct Shard {
    places: HashMap<Key, usize>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    hand: usize,
    bytes: usize,
}

struct Slot {
    key: Key,
    data: Arc<[u8]>,
    /// Read since the hand was here.
    read: bool,
}

impl FrameCache {
    /// An empty cache that takes up to `bytes_max` bytes; 0: it keeps nothing.
    pub fn new(bytes_max: usize) -> FrameCache {
        let shards = (bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        FrameCache {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            shard_bytes_max: bytes_max / shards,
            hasher: foldhash::fast::FixedState::default(),
            next_key: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// How it did.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.shards.iter().map(|shard| shard.lock().bytes).sum(),
        }
    }

    /// A number for a new reader: never given twice, so that frames of a file that is gone are
    /// never taken for those of another.
    pub(super) fn new_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn get(&self, key: Key) -> Option<Arc<[u8]>> {
        let found = self.shard(key).lock().get(key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(super) fn insert(&self, key: Key, data: Arc<[u8]>) {
        self.shard(key).lock().insert(key, data, self.shard_bytes_max);
    }

    fn shard(&self, key: Key) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % self.shards.len()]
    }
}

impl Shard {
    fn get(&mut self, key: Key) -> Option<Arc<[u8]>> {
        let place = *self.places.get(&key)?;
        let slot = self.slots[place].as_mut().expect("the map names filled slots only");
        slot.read = true;
        Some(Arc::clone(&slot.data))
    }

    fn insert(&mut self, key: Key, data: Arc<[u8]>, bytes_max: usize) {
        let bytes = data.len() + OVERHEAD_BYTES;
        if bytes > bytes_max || self.places.contains_key(&key) {
            return;
        }
        while self.bytes + bytes > bytes_max {
            self.turn_hand();
        }
        let slot = Some(Slot { key, data, read: false });
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.places.insert(key, place);
        self.bytes += bytes;
    }

    /// Looks at one slot: a frame that was read gets another round, another goes.
    fn turn_hand(&mut self) {
        self.hand = (self.hand + 1) % self.slots.len();
        match &mut self.slots[self.hand] {
            Some(slot) if slot.read => slot.read = false,
            Some(slot) => {
                self.bytes -= slot.data.len() + OVERHEAD_BYTES;
                self.places.remove(&slot.key);
                self.slots[self.hand] = None;
                self.free.push(self.hand);
            }
            None => {}
        }
    }
}

impl fmt::Debug for FrameCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameCache({:?})", self.stats())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_its_bytes_and_keeps_what_is_read() {
        let bytes_max = 10 * (1000 + OVERHEAD_BYTES);
        let cache = FrameCache::new(bytes_max);
        let frame: Arc<[u8]> = vec![7; 1000].into();
        cache.insert((0, 0), Arc::clone(&frame));
        for number in 1..1000 {
            assert_eq!(cache.get((0, 0)).as_deref(), Some(&frame[..]), "before {number}");
            assert!(cache.get((1, number)).is_none());
            cache.insert((1, number), Arc::clone(&frame));
            assert!(cache.stats().bytes <= bytes_max);
        }
        assert!(cache.get((1, 999)).is_some());
        assert!(cache.get((1, 1)).is_none());
        assert_eq!(cache.stats(), CacheStats { hits: 1000, misses: 1000, bytes: bytes_max });
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let cache = FrameCache::new(100);
        cache.insert((0, 0), vec![0; 1000].into());
        FrameCache::new(0).insert((0, 0), Arc::default());
        assert_eq!(cache.stats().bytes, 0);
    }
}
