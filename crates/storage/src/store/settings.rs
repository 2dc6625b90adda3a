//! How a store is opened.

use crate::disk::Disk;
use model::Clock;
use protection::classify::Classifier;
use protection::keys::KeyRing;
use protection::{Pseudonyms, Sealer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Its folder: the log in `log`, segments in `segments`, the catalog in `catalog.db`.
    pub dir: PathBuf,
    /// The disk for log and segments.
    pub disk: Arc<dyn Disk>,
    /// The opened key ring.
    pub keys: Arc<KeyRing>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Brings stored rows under the rulings of today.
    pub sealer: Arc<Sealer>,
    /// A table's buffer is written to a segment at this many rows …
    pub flush_rows: usize,
    /// … or this many bytes …
    pub flush_bytes: usize,
    /// … or when its oldest row waited this long.
    pub flush_after: Duration,
    /// What was flushed gets its tiles in the background once its table was not flushed for this
    /// long: while rows pour in, a merge is about to take it.
    pub tile_after: Duration,
    /// Decoded columns kept in memory.
    pub column_cache_bytes: usize,
    /// Decrypted frames kept in memory.
    pub frame_cache_bytes: usize,
    /// Bytes of files that were replaced and that cursors may keep from being given back.
    pub held_file_bytes: u64,
    /// The same of rows in memory.
    pub held_memory_bytes: u64,
    /// Whether flushing and compaction run by themselves; tests call them.
    pub background: bool,
}

impl StoreSettings {
    /// What a server uses.
    pub fn new(
        dir: &Path,
        disk: Arc<dyn Disk>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
    ) -> StoreSettings {
        let sealer = Sealer::new(
            Arc::clone(&keys),
            Arc::new(Pseudonyms::new(&keys)),
            Arc::new(Classifier::standard()),
            Arc::clone(&clock),
        );
        StoreSettings {
            dir: dir.to_owned(),
            disk,
            keys,
            clock,
            sealer: Arc::new(sealer),
            flush_rows: 200_000,
            flush_bytes: 96 * 1024 * 1024,
            flush_after: Duration::from_secs(30),
            tile_after: Duration::from_secs(10),
            column_cache_bytes: 1024 * 1024 * 1024,
            frame_cache_bytes: 128 * 1024 * 1024,
            held_file_bytes: 16 << 30,
            held_memory_bytes: 512 << 20,
            background: true,
        }
    }
}
