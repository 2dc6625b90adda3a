//! What a start brings back: segments as the catalog names them, then what the log holds beyond.

use super::entry::Entry;
use super::files::{file_name, open_segment, remove_orphans, tiles_name};
use super::{Inner, Store, StoreSettings, TableStore};
use crate::StoreError;
use crate::catalog::Catalog;
use crate::column_cache::ColumnCache;
use crate::log::{Log, LogFrame};
use crate::point::Points;
use crate::sealed_file::FrameCache;
use crate::worker::Workers;
use model::{Seq, TableId};
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

impl Store {
    /// Opens the store in its folder and brings back what the log holds.
    ///
    /// # Errors
    /// If a file is damaged, missing, too new or under another key.
    pub fn open(settings: StoreSettings) -> Result<Store, StoreError> {
        let disk = Arc::clone(&settings.disk);
        disk.create_dir_all(&settings.dir)?;
        let segments_dir = settings.dir.join("segments");
        disk.create_dir_all(&segments_dir)?;
        // SQLite is always on the real disk.
        std::fs::create_dir_all(&settings.dir)?;
        let catalog = Arc::new(Catalog::open(&settings.dir.join("catalog.db"), &settings.keys)?);
        let epoch = catalog.epoch()?;
        if !settings.sealer.pseudonyms().enter(&settings.keys, epoch) {
            return Err(StoreError::NoEpochKey(epoch));
        }
        let columns = Arc::new(ColumnCache::new(settings.column_cache_bytes));
        let frames = Arc::new(FrameCache::new(settings.frame_cache_bytes));

        let mut tables = BTreeMap::new();
        for table in catalog.tables()? {
            tables.insert(table.id, Arc::new(TableStore::new(table)));
        }
        let records = catalog.segments()?;
        let known: HashSet<OsString> = records
            .iter()
            .flat_map(|record| [file_name(record.id).into(), tiles_name(record.id).into()])
            .collect();
        let mut next_seq = 1;
        for record in records {
            next_seq = next_seq.max(record.max_seq.0 + 1);
            let Some(table) = tables.get(&record.table) else { continue };
            let mut state = table.state.lock();
            let live = open_segment(&settings, &state.table, record, &columns, &frames)?;
            match live.record.shadow_of {
                Some(of) => drop(state.shadows.insert(of, live)),
                None => state.segments.push(live),
            }
        }
        let flushed: HashMap<TableId, Seq> = catalog.flushed()?.into_iter().collect();
        next_seq = flushed.values().map(|seq| seq.0 + 1).fold(next_seq, u64::max);

        for (table, marks) in catalog.marks()? {
            let Some(table) = tables.get(&table) else { continue };
            let mut state = table.state.lock();
            state.marks = marks.clone();
            state.saved_marks = marks;
        }

        let mut log_is_stale = false;
        let replay = |frame: LogFrame| -> Result<(), StoreError> {
            let entry = Entry::decode(&frame.payload)?;
            let last = entry.first_seq + entry.batch.batch().rows.len() as u64;
            next_seq = next_seq.max(last);
            let Some(table) = tables.get(&entry.table) else { return Ok(()) };
            log_is_stale |= entry.batch.rules() != table.state.lock().table.schema.rules();
            log_is_stale |= entry.batch.epoch() != epoch;
            if flushed.get(&entry.table).is_some_and(|flushed| last <= flushed.0 + 1) {
                return Ok(());
            }
            if entry.batch.epoch() != epoch {
                return Err(StoreError::internal("the log has rows of another epoch"));
            }
            let mut state = table.state.lock();
            let Entry { batch, first_seq, skipped, mark, .. } = entry;
            state.publish(batch, first_seq, &skipped, frame.number.0, mark)?;
            Ok(())
        };
        let log_dir = settings.dir.join("log");
        let (log, replayed) =
            Log::open(Arc::clone(&disk), &log_dir, Arc::clone(&settings.keys), replay)?;
        // The log knows by itself when a file in its middle is missing, but not when its oldest are.
        if catalog.log_released()?.unwrap_or(1) < replayed.first.0 {
            return Err(StoreError::LogMissing { dir: log_dir });
        }
        // Last, when catalog and log fit together: beside a catalog of another day the files that
        // it does not name may be the only ones there are.
        remove_orphans(&*disk, &segments_dir, &known)?;

        let background = settings.background;
        let inner = Arc::new(Inner {
            settings,
            catalog,
            log,
            tables: RwLock::new(tables),
            next_seq: AtomicU64::new(next_seq),
            columns,
            frames,
            points: Points::default(),
            tile_maker: RwLock::new(None),
            stopping: AtomicBool::new(false),
            wake: Condvar::new(),
            wake_lock: Mutex::new(()),
            epoch: AtomicU32::new(epoch),
            held: RwLock::new(()),
            writing: RwLock::new(()),
            reading: RwLock::new(()),
            leavings: Mutex::default(),
            keeping: AtomicU64::new(0),
            releasing: Mutex::new(()),
            log_stale: AtomicU64::new(u64::from(log_is_stale)),
            log_cleaned: AtomicU64::new(0),
        });
        let workers = background.then(|| Workers::start(&inner)).transpose()?;
        Ok(Store { inner, workers: Mutex::new(workers) })
    }
}
