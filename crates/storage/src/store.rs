//! The store: appends sealed batches, gives snapshots, flushes and compacts behind them.
//!
//! Which lock before which: a table's `state` before the catalog and the log's queue; `tables` is
//! never held while a `state` is taken for longer than to find it. Those of an epoch come first:
//! `held`, `writing`, then every `working`, then `reading`, then every `state`.

use crate::StoreError;
use crate::buffer::{Buffer, index_chunk};
use crate::catalog::{Catalog, Edit, SegmentRecord};
use crate::column_cache::ColumnCache;
use crate::disk::Disk;
use crate::log::{FrameNumber, Log, LogFrame};
use crate::mark::{Mark, Marks};
use crate::point::Points;
use crate::read::{Snapshot, View};
use crate::row_scope::restrict;
use crate::sealed_file::{FrameCache, SealedReader};
use crate::segment::{Rows, Segment};
use crate::tiles::{TileMaker, attach_tiles};
use crate::worker::Workers;
use model::{
    Batch, Clock, FieldType, GeneratedId, Op, SegmentId, Seq, Table, TableId, TableName, Values,
};
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use protection::classify::Classifier;
use protection::keys::KeyRing;
use protection::{Permit, Pseudonyms, SealedBatch, Sealer};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The purpose under which segment keys are wrapped.
pub(crate) const SEGMENT_PURPOSE: &str = "segment";
pub(crate) const SEGMENT_EXTENSION: &str = "segment";
pub(crate) const TILES_EXTENSION: &str = "tiles";

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

/// Writers stop when the buffer holds so many flushes' worth of rows.
const FLUSHES_WAITING_MAX: usize = 3;
/// How long a row waits in front of a buffer that is nearly full: 10,000 rows a second for each
/// writer.
const PACE_PER_ROW: Duration = Duration::from_micros(100);
/// No request waits longer for this.
const PACE_MAX: Duration = Duration::from_secs(2);

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

/// What a row's writer expects of the row that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// That there is none (`create`).
    Absent,
    /// That there is one with this number (`if_seq_no`).
    Seq(Seq),
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first row of its `_id`.
    Created,
    /// It took the place of an older one.
    Updated,
    /// The row was deleted.
    Deleted,
    /// There was nothing to delete.
    NotFound,
    /// What was expected did not hold; nothing happened.
    Conflict,
}

/// The answer for one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowOutcome {
    /// The row's number.
    pub seq: Seq,
    /// How many times the row of this `_id` was written; for a conflict that of the row there.
    pub version: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// A row as it is stored, its number and its version.
pub type StoredRow = (Batch, Seq, u64);

/// How large a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Rows that are not deleted.
    pub rows: u64,
    /// Deleted rows that are still in segments.
    pub deleted_rows: u64,
    /// Bytes of segment files, without their tiles.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Rows in the buffer.
    pub buffered_rows: u64,
}

/// A node's store. Cheap to clone; the last clone to go stops the workers.
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    workers: Mutex<Option<Workers>>,
}

pub(crate) struct Inner {
    pub(crate) settings: StoreSettings,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) log: Log,
    tables: RwLock<BTreeMap<TableId, Arc<TableStore>>>,
    next_seq: AtomicU64,
    pub(crate) columns: Arc<ColumnCache>,
    pub(crate) frames: Arc<FrameCache>,
    /// Makes tiles, once somebody said what is declared.
    pub(crate) tile_maker: RwLock<Option<Arc<dyn TileMaker>>>,
    /// What cursors hold.
    pub(crate) points: Points,
    pub(crate) stopping: AtomicBool,
    pub(crate) wake: Condvar,
    pub(crate) wake_lock: Mutex<()>,
    /// The epoch of the pseudonyms in all that is read and written.
    pub(crate) epoch: AtomicU32,
    /// Held by whoever works with pseudonyms over several steps; the next epoch waits for it.
    pub(crate) held: RwLock<()>,
    /// Held by appends, from looking at the epoch until the rows can be read.
    pub(crate) writing: RwLock<()>,
    /// Held by snapshots until they have all tables.
    pub(crate) reading: RwLock<()>,
    /// Segments of an epoch that ended, whose files are still to be removed.
    pub(crate) leavings: Mutex<Vec<SegmentId>>,
    /// So many work with files of segments: none is removed meanwhile.
    pub(crate) keeping: AtomicU64,
    /// Held while the log is released: a slower release must not set its mark back.
    releasing: Mutex<()>,
    /// Counts reasons for which what the log has now must not stay: rulings, erasures.
    pub(crate) log_stale: AtomicU64,
    /// Up to which of them it went.
    log_cleaned: AtomicU64,
}

/// One table in memory.
pub(crate) struct TableStore {
    pub(crate) state: Mutex<State>,
    /// Told when a pending batch leaves the line, and when a flush made room.
    pub(crate) turn: Condvar,
    /// Held by whoever indexes buffer rows, so that two readers do not do it twice.
    indexing: Mutex<()>,
    /// Held by whoever merges or rewrites segments of this table, for as long as it takes: who
    /// holds it owns them. Taken before all other locks.
    pub(crate) owner: Mutex<()>,
    /// Held from beginning to end by whoever flushes this table, and by an owner of segments while
    /// one takes the place of another. Taken before `state`.
    pub(crate) working: Mutex<Working>,
}

/// What retention remembers of a table.
pub(crate) struct Working {
    /// Rows before this moment were dropped by the table's retention, in milliseconds.
    pub(crate) retained_from: i64,
}

pub(crate) struct State {
    pub(crate) table: Arc<Table>,
    pub(crate) buffer: Buffer,
    /// Counts the times the buffer forgot batches: their places change then.
    pub(crate) generation: u64,
    pub(crate) segments: Vec<LiveSegment>,
    /// Their rows under the next epoch, by the segments they are of.
    pub(crate) shadows: BTreeMap<SegmentId, LiveSegment>,
    pub(crate) pending: VecDeque<Pending>,
    /// How far its sources were stored.
    marks: Marks,
    /// Those of the catalog: of rows that are in segments.
    pub(crate) saved_marks: Marks,
    /// It is being dropped and takes no more rows.
    closing: bool,
    pub(crate) dropped: bool,
    /// When the oldest row in the buffer came.
    pub(crate) oldest: Option<std::time::Instant>,
    /// When the buffer last became a segment.
    pub(crate) flushed: Option<std::time::Instant>,
}

/// A segment of the table now.
#[derive(Clone)]
pub(crate) struct LiveSegment {
    pub(crate) record: SegmentRecord,
    pub(crate) segment: Arc<Segment>,
    pub(crate) dead: Arc<RoaringBitmap>,
    /// Those of `dead` that the catalog has: killed by rows that are flushed, or by retention.
    /// The others are killed again by the log after a crash, so what is saved, and what a merge
    /// leaves out, must be exactly this: a row that is gone too early loses its version.
    pub(crate) saved: Arc<RoaringBitmap>,
}

/// A batch that is in the log's line but not yet durable.
pub(crate) struct Pending {
    frame: FrameNumber,
    rules: u32,
    ids: Vec<Box<str>>,
}

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

    /// A table and its views now, for work that is no read.
    pub(crate) fn views_of(&self, id: TableId) -> Result<(Arc<Table>, Vec<Arc<View>>), StoreError> {
        self.inner.views(&*self.inner.find(id)?)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Has tiles made from now on: with every segment that a merge makes, and in the background for
    /// those that lack some.
    /// Call it again, or [`Store::tiles_changed`], when other tiles are wanted.
    pub fn make_tiles_with(&self, maker: Arc<dyn TileMaker>) {
        *self.inner.tile_maker.write() = Some(maker);
        self.inner.wake_workers();
    }

    /// Says that the maker of tiles wants others than before.
    pub fn tiles_changed(&self) {
        self.inner.wake_workers();
    }

    /// Makes all tiles that segments lack. The background does the same by itself, in time.
    ///
    /// # Errors
    /// If the disk fails or a segment cannot be read.
    pub fn tile(&self) -> Result<(), StoreError> {
        for table in self.inner.all() {
            while self.inner.tile(&table, Duration::ZERO)? {}
        }
        Ok(())
    }

    /// The catalog, for small records of others.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.inner.catalog
    }

    /// All tables by name.
    pub fn tables(&self) -> Vec<Arc<Table>> {
        let mut tables: Vec<Arc<Table>> =
            self.inner.all().iter().map(|table| Arc::clone(&table.state.lock().table)).collect();
        tables.sort_by(|left, right| left.name.cmp(&right.name));
        tables
    }

    /// The table with this name.
    pub fn table(&self, name: &str) -> Option<Arc<Table>> {
        let all = self.inner.all();
        let tables = all.iter().map(|table| Arc::clone(&table.state.lock().table));
        tables.into_iter().find(|table| table.name.as_str() == name)
    }

    /// The table with this id.
    pub fn table_by_id(&self, id: TableId) -> Option<Arc<Table>> {
        self.inner.find(id).ok().map(|table| Arc::clone(&table.state.lock().table))
    }

    /// Makes a table; its id is chosen here.
    ///
    /// # Errors
    /// If a table of this name is there or the catalog fails.
    pub fn create_table(&self, mut table: Table) -> Result<Arc<Table>, StoreError> {
        let mut tables = self.inner.tables.write();
        let taken =
            |name: &TableName| tables.values().any(|other| other.state.lock().table.name == *name);
        if taken(&table.name) {
            return Err(StoreError::TableExists);
        }
        table.id = self.inner.catalog.next_table_id()?;
        let edit = Edit { put_tables: vec![table.clone()], ..Edit::default() };
        self.inner.catalog.commit(&edit)?;
        let id = table.id;
        let store = Arc::new(TableStore::new(table));
        let made = Arc::clone(&store.state.lock().table);
        tables.insert(id, store);
        Ok(made)
    }

    /// Replaces the settings, fields and rulings of a table; durable when this returns.
    ///
    /// A ruling that changes how values are stored counts for every read from now on: rows that
    /// are stored as they were before show no value of the field until the background has
    /// rewritten them.
    ///
    /// # Errors
    /// If the table is gone, fields or rulings were taken away, a field changed its type, or the
    /// catalog fails.
    pub fn put_table(&self, table: Table) -> Result<Arc<Table>, StoreError> {
        let store = self.inner.find(table.id)?;
        let mut state = store.state.lock();
        if state.closing {
            return Err(StoreError::NoTable);
        }
        let kept = state.table.schema.fields().iter().zip(table.schema.fields());
        let same = kept.into_iter().all(|(old, new)| {
            old.name == new.name && old.ty == new.ty && new.rulings.starts_with(&old.rulings)
        });
        if !same
            || table.schema.fields().len() < state.table.schema.fields().len()
            || table.schema.rules() < state.table.schema.rules()
        {
            return Err(StoreError::internal("a table's fields and rulings only grow"));
        }
        let edit = Edit { put_tables: vec![table.clone()], ..Edit::default() };
        self.inner.catalog.commit(&edit)?;
        let is_ruled = table.schema.rules() != state.table.schema.rules();
        state.table = Arc::new(table);
        let table = Arc::clone(&state.table);
        drop(state);
        if is_ruled {
            self.inner.columns.forget_strings(table.id);
            self.inner.log_stale.fetch_add(1, Ordering::AcqRel);
            self.inner.wake_workers();
        }
        Ok(table)
    }

    /// Drops a table. Its data stays restorable for seven days.
    ///
    /// # Errors
    /// If the table is gone, or its rows in the buffer or the drop itself cannot be written; it
    /// stays then.
    pub fn drop_table(&self, id: TableId) -> Result<(), StoreError> {
        let store = self.inner.find(id)?;
        let mut state = store.state.lock();
        if state.closing {
            return Err(StoreError::NoTable);
        }
        state.closing = true;
        while !state.pending.is_empty() {
            store.turn.wait(&mut state);
        }
        drop(state);
        // The log forgets the rows of a dropped table, so they must be in a segment to come back.
        let dropped = self.inner.flush(&store).and_then(|()| {
            let mut state = store.state.lock();
            let now = self.inner.settings.clock.now();
            let edit = Edit { drop_tables: vec![(id, now)], ..Edit::default() };
            self.inner.catalog.commit(&edit)?;
            state.dropped = true;
            Ok(())
        });
        match dropped {
            Ok(()) => {
                drop(self.inner.tables.write().remove(&id));
                self.inner.points.end_of_table(id);
            }
            Err(_) => store.state.lock().closing = false,
        }
        dropped
    }

    /// Writes a batch. When this returns, it is durable and every later snapshot has it.
    ///
    /// `expects` says for each row what must hold; an empty slice expects nothing. A row whose
    /// expectation fails is left out alone.
    ///
    /// # Errors
    /// If the log cannot be written (nothing of the batch is kept then), the table is gone or was
    /// ruled on since the batch was sealed, its pseudonyms are of another epoch, or the buffer stays
    /// full for a minute.
    pub fn append(
        &self,
        table: TableId,
        batch: SealedBatch,
        expects: &[Expect],
    ) -> Result<Vec<RowOutcome>, StoreError> {
        self.append_marked(table, batch, expects, None)
    }

    /// Writes a batch and how far it brings the source that it came from, in one: after a crash
    /// both are there or neither. A batch without rows leaves no mark.
    ///
    /// # Errors
    /// As [`Store::append`].
    ///
    /// # Panics
    /// If lane or position are longer than 64 KiB.
    pub fn append_marked(
        &self,
        table: TableId,
        batch: SealedBatch,
        expects: &[Expect],
        mark: Option<Mark>,
    ) -> Result<Vec<RowOutcome>, StoreError> {
        let inner = &self.inner;
        if inner.stopping.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let store = inner.find(table)?;
        let mut payload = Entry::head(table);
        batch.encode(&mut payload);
        let rows = batch.batch().rows.len() as u64;
        if rows == 0 {
            return Ok(Vec::new());
        }
        let ids: Vec<Box<str>> =
            batch.batch().rows.iter().filter_map(|row| row.id.clone()).collect();

        store.keep_pace(&inner.settings, batch.batch().rows.len());
        let _writing = inner.writing.read();
        if batch.epoch() != inner.epoch.load(Ordering::Acquire) {
            return Err(StoreError::EpochEnded);
        }
        let mut state = store.wait_for_room(&inner.settings)?;
        loop {
            state = store.wait_for_ids(state, batch.batch(), expects);
            if state.closing {
                return Err(StoreError::NoTable);
            }
            if batch.rules() != state.table.schema.rules() {
                return Err(StoreError::Reruled);
            }
            // Rows of earlier rules go first: a segment holds rows of one kind of rules.
            if state.pending.iter().any(|pending| pending.rules != batch.rules()) {
                store.turn.wait(&mut state);
            } else if !state.buffer.takes(batch.rules()) {
                drop(state);
                inner.flush(&store)?;
                state = store.state.lock();
            } else {
                break;
            }
        }
        check_columns(&state.table, batch.batch())?;
        let skipped = state.skipped(batch.batch(), expects)?;
        let first_seq = inner.next_seq.fetch_add(rows, Ordering::AcqRel);
        Entry::finish(&mut payload, first_seq, &skipped, mark.as_ref());
        let frame = inner.log.append(payload)?;
        state.pending.push_back(Pending { frame, rules: batch.rules(), ids });
        drop(state);

        let durable = inner.log.wait(frame);

        let mut state = store.state.lock();
        while state.pending.front().is_some_and(|first| first.frame != frame) {
            store.turn.wait(&mut state);
        }
        state.pending.pop_front();
        // Told before anything can fail; they go on when the lock is free.
        store.turn.notify_all();
        let outcomes = match durable {
            Ok(()) => state.publish(batch, first_seq, &skipped, frame.0, mark),
            Err(error) => Err(error.into()),
        };
        let full = state.buffer.rows() >= inner.settings.flush_rows
            || state.buffer.bytes() >= inner.settings.flush_bytes;
        drop(state);
        if full {
            inner.wake_workers();
        }
        outcomes
    }

    /// The rows of these `_id`s as they are stored, to be written again with changes; `None` for
    /// an id that has no row. This is not a read: nothing of it may reach a caller.
    ///
    /// # Errors
    /// If a segment cannot be read or the table is gone.
    pub fn stored_rows(
        &self,
        table: TableId,
        ids: &[&str],
    ) -> Result<Vec<Option<StoredRow>>, StoreError> {
        let store = self.inner.find(table)?;
        let (table, views) = self.inner.views(&store)?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let mut row = None;
            for view in &views {
                let rows = view.segment.rows_with_id(id)?;
                if let Some(&live) = rows.iter().find(|&&row| !view.dead.contains(row)) {
                    let batch = self.inner.rows_of_today(&table, &view.segment, &[live])?;
                    let seq = view.segment.seqs(&[live])?[0];
                    let version = view.segment.versions(&[live])?[0];
                    row = Some((batch, Seq(seq), version));
                    break;
                }
            }
            found.push(row);
        }
        Ok(found)
    }

    /// What a read sees now: of every table only the rows that exist for the permit.
    ///
    /// # Errors
    /// If the permit does not cover a table, a table is gone, or new rows cannot be indexed.
    pub fn snapshot(&self, tables: &[TableId], permit: &Permit) -> Result<Snapshot, StoreError> {
        let mut all = Vec::new();
        let mut named = Vec::new();
        // No epoch begins between two tables.
        let _reading = self.inner.reading.read();
        for &id in tables {
            let scope = permit.row_scope(id).ok_or(crate::ReadError::NotPermitted)?;
            let store = self.inner.find(id)?;
            let (table, views) = self.inner.views(&store)?;
            all.extend(restrict(&table, views, scope)?);
            named.push(table);
        }
        // Read last: every row of the views got its number before.
        let epoch = self.inner.epoch.load(Ordering::Acquire);
        Ok(Snapshot::new(named, all, self.inner.seq_end(), epoch))
    }

    /// How far the sources of a table were stored: the newest mark of each lane.
    ///
    /// # Errors
    /// If the table is gone.
    pub fn marks(&self, table: TableId) -> Result<Vec<Mark>, StoreError> {
        Ok(self.inner.find(table)?.state.lock().marks.all())
    }

    /// The number that the next row of any table gets at least.
    pub fn next_seq(&self) -> Seq {
        Seq(self.inner.next_seq.load(Ordering::Acquire))
    }

    /// The `_id`s of up to `rows_max` living rows of a table that were written before `end`. This
    /// is not a read: nothing of it may reach a caller.
    ///
    /// # Errors
    /// If a segment cannot be read or the table is gone.
    pub fn ids_before(
        &self,
        table: TableId,
        end: Seq,
        rows_max: usize,
    ) -> Result<Vec<String>, StoreError> {
        let store = self.inner.find(table)?;
        let (_, views) = self.inner.views(&store)?;
        let mut ids = Vec::new();
        for view in &views {
            let wanted = rows_max - ids.len();
            let alive: Vec<u32> =
                (0..view.segment.rows()).filter(|&row| !view.dead.contains(row)).collect();
            let seqs = view.segment.seqs(&alive)?;
            let before = alive.into_iter().zip(seqs).filter(|(_, seq)| *seq < end.0);
            let rows: Vec<u32> = before.map(|(row, _)| row).take(wanted).collect();
            ids.extend(view.segment.ids(&rows)?);
            if ids.len() == rows_max {
                break;
            }
        }
        Ok(ids)
    }

    /// How large a table is.
    ///
    /// # Errors
    /// If the table is gone.
    pub fn stats(&self, table: TableId) -> Result<TableStats, StoreError> {
        let store = self.inner.find(table)?;
        let state = store.state.lock();
        let buffered: u64 = state
            .buffer
            .batches()
            .iter()
            .map(|batch| u64::from(batch.rows.len()) - batch.dead.len())
            .sum();
        let mut stats =
            TableStats { buffered_rows: buffered, rows: buffered, ..Default::default() };
        for live in &state.segments {
            stats.rows += u64::from(live.record.rows) - live.dead.len();
            stats.deleted_rows += live.dead.len();
            stats.bytes += live.record.bytes;
            stats.segments += 1;
        }
        Ok(stats)
    }

    /// Bytes of the log's files.
    pub fn log_bytes(&self) -> u64 {
        self.inner.log.file_bytes()
    }

    /// Writes all buffers into segments.
    ///
    /// # Errors
    /// If the disk or the catalog fails; the rows stay in log and buffer.
    pub fn flush(&self) -> Result<(), StoreError> {
        for table in self.inner.all() {
            self.inner.flush(&table)?;
        }
        Ok(())
    }

    /// Brings all rows under the rulings of today, and lets the log go that has them as they were.
    /// The background does the same by itself.
    ///
    /// # Errors
    /// If the disk or the catalog fails, or a value does not open; what was not done is done later.
    pub fn rewrite(&self) -> Result<(), StoreError> {
        for table in self.inner.all() {
            self.inner.flush_stale(&table)?;
            while self.inner.rewrite(&table)? {}
        }
        self.inner.forget_stale_log()
    }

    /// How much of a table is still stored as it was before its last ruling: rows in segments and
    /// in the buffer.
    ///
    /// # Errors
    /// If the table is gone.
    pub fn stale_rows(&self, table: TableId) -> Result<u64, StoreError> {
        let store = self.inner.find(table)?;
        let state = store.state.lock();
        let rules = state.table.schema.rules();
        let stale = state.segments.iter().filter(|live| live.record.rules != rules);
        let mut rows: u64 = stale.map(|live| u64::from(live.record.rows) - live.dead.len()).sum();
        if !state.buffer.takes(rules) {
            rows += state.buffer.rows() as u64;
        }
        Ok(rows)
    }

    /// Whether the log still has rows as they were stored before a ruling.
    pub fn log_is_stale(&self) -> bool {
        self.inner.log_is_stale()
    }

    /// Up to `rows_max` rows that have a value of a field, newest first, as they are stored, and
    /// how many rows have one. This is not a read: nothing of it may reach a caller.
    ///
    /// # Errors
    /// If a segment cannot be read or the table is gone.
    pub fn sample(
        &self,
        table: TableId,
        field: &str,
        rows_max: usize,
    ) -> Result<(Vec<Batch>, u64), StoreError> {
        let store = self.inner.find(table)?;
        let (table, views) = self.inner.views(&store)?;
        let has_value = crate::Filter::Exists(field.to_owned());
        let (mut batches, mut sampled, mut count) = (Vec::new(), 0, 0);
        for view in views.iter().rev() {
            let selection = view.select(&has_value)?;
            count += selection.len() as u64;
            let wanted = rows_max.saturating_sub(sampled);
            let rows: Vec<u32> = selection
                .blocks()
                .flat_map(|block| (0..block.len()).map(move |place| block.row(place)))
                .take(wanted)
                .collect();
            if !rows.is_empty() {
                sampled += rows.len();
                batches.push(view.segment.rows_as_batch(&table, &rows)?);
            }
        }
        Ok((batches, count))
    }

    /// Merges segments until the policy finds nothing to do.
    ///
    /// # Errors
    /// If the disk or the catalog fails; the old segments stay.
    pub fn compact(&self) -> Result<(), StoreError> {
        for table in self.inner.all() {
            while self.inner.compact(&table)? {}
        }
        Ok(())
    }

    /// Stops the workers. Rows in the buffer stay in the log and come back at the next start.
    pub fn close(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        self.inner.wake_workers();
        if let Some(workers) = self.workers.lock().take() {
            workers.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    pub(crate) fn all(&self) -> Vec<Arc<TableStore>> {
        self.tables.read().values().cloned().collect()
    }

    pub(crate) fn find(&self, id: TableId) -> Result<Arc<TableStore>, StoreError> {
        self.tables.read().get(&id).cloned().ok_or(StoreError::NoTable)
    }

    /// Higher than the number of every row that was appended so far.
    pub(crate) fn seq_end(&self) -> Seq {
        Seq(self.next_seq.load(Ordering::Acquire))
    }

    pub(crate) fn wake_workers(&self) {
        let _guard = self.wake_lock.lock();
        self.wake.notify_all();
    }

    /// Stored rows under the rulings of today, to be written again.
    pub(crate) fn rows_of_today(
        &self,
        table: &Table,
        segment: &Segment,
        rows: &[u32],
    ) -> Result<Batch, StoreError> {
        let rules = segment.rules();
        if rules == table.schema.rules() {
            return Ok(segment.rows_as_batch(table, rows)?);
        }
        let then = Table { schema: table.schema.as_of(rules), ..table.clone() };
        let batch = segment.rows_as_batch(&then, rows)?;
        let rewritten = self.settings.sealer.rewrite(table, rules, batch)?;
        if rewritten.dropped > 0 {
            let values = rewritten.dropped;
            tracing::warn!(table_id = table.id.0, values, "values dropped by a ruling");
        }
        Ok(rewritten.batch.into_batch())
    }

    /// The table and its views now; indexes buffer rows that nobody has read yet.
    fn views(&self, store: &TableStore) -> Result<(Arc<Table>, Vec<Arc<View>>), StoreError> {
        let _indexing = store.indexing.lock();
        let (table, segments, mut chunks, missing, dead, generation, rules) = {
            let state = store.state.lock();
            let missing = state.buffer.uncovered(self.settings.flush_rows);
            let dead: Vec<Arc<RoaringBitmap>> =
                state.buffer.batches().iter().map(|batch| Arc::clone(&batch.dead)).collect();
            (
                Arc::clone(&state.table),
                state.segments.clone(),
                state.buffer.chunks(),
                missing,
                dead,
                state.generation,
                state.buffer.rules(),
            )
        };
        if let Some((batches, rows)) = missing {
            let lengths: Vec<u32> = rows.iter().map(|rows| rows.len()).collect();
            let chunk = index_chunk(&table, &rows, rules, &self.columns)?;
            chunks.retain(|chunk| chunk.batches.end <= batches.start);
            chunks.push(crate::buffer::Chunk {
                batches: batches.clone(),
                lengths: Arc::from(lengths),
                segment: Arc::clone(&chunk),
            });
            let mut state = store.state.lock();
            if state.generation == generation {
                state.buffer.cover(chunks.last().expect("it was just pushed").clone());
            }
        }
        let mut views = Vec::with_capacity(segments.len() + chunks.len());
        for live in segments {
            views.push(Arc::new(View::new(Arc::clone(&table), live.segment, live.dead)));
        }
        for chunk in chunks {
            let gone = Arc::new(chunk.dead(&dead));
            views.push(Arc::new(View::new(Arc::clone(&table), chunk.segment, gone)));
        }
        Ok((table, views))
    }

    /// The path of a segment's file.
    pub(crate) fn segment_path(&self, id: SegmentId) -> PathBuf {
        segment_path(&self.settings.dir, id)
    }

    /// A writer for a new segment's file.
    pub(crate) fn new_segment_file(
        &self,
        table: TableId,
        id: SegmentId,
    ) -> Result<crate::sealed_file::SealedWriter, StoreError> {
        Ok(crate::sealed_file::SealedWriter::create(
            &self.settings.disk,
            &self.segment_path(id),
            &self.settings.keys,
            SEGMENT_PURPOSE,
            &identity(table, id),
        )?)
    }

    /// Opens a segment that was just written.
    pub(crate) fn open_segment(
        &self,
        table: &Table,
        record: SegmentRecord,
    ) -> Result<LiveSegment, StoreError> {
        open_segment(&self.settings, table, record, &self.columns, &self.frames)
    }

    /// A reader of a segment's file, for a merge.
    pub(crate) fn reopen(
        &self,
        table: &Table,
        record: &SegmentRecord,
    ) -> Result<Segment, StoreError> {
        let sealed = sealed_reader(&self.settings, table.id, record.id, &self.frames)?;
        Ok(Segment::open(table, record.rules, sealed, &self.columns)?)
    }

    /// Flushes a table whose buffer holds rows of earlier rules.
    pub(crate) fn flush_stale(&self, store: &TableStore) -> Result<(), StoreError> {
        let is_stale = {
            let state = store.state.lock();
            !state.buffer.takes(state.table.schema.rules())
        };
        if is_stale { self.flush(store) } else { Ok(()) }
    }

    /// Once all rows are stored under the rulings of today, removes the files of the log that have
    /// rows as they were before.
    pub(crate) fn forget_stale_log(&self) -> Result<(), StoreError> {
        // Those that come from here on are for the next time.
        let reasons = self.log_stale.load(Ordering::Acquire);
        if self.log_cleaned.load(Ordering::Acquire) == reasons {
            return Ok(());
        }
        let is_stale = |table: &Arc<TableStore>| {
            let state = table.state.lock();
            let rules = state.table.schema.rules();
            state.segments.iter().any(|live| live.record.rules != rules)
                || !state.buffer.takes(rules)
                || state.pending.iter().any(|pending| pending.rules != rules)
        };
        if !self.all().iter().any(is_stale) {
            self.forget_log()?;
            self.log_cleaned.fetch_max(reasons, Ordering::AcqRel);
        }
        Ok(())
    }

    fn log_is_stale(&self) -> bool {
        self.log_cleaned.load(Ordering::Acquire) != self.log_stale.load(Ordering::Acquire)
    }

    /// Removes every file of the log that there is now: what is in it goes into segments first.
    pub(crate) fn forget_log(&self) -> Result<(), StoreError> {
        let first_kept = self.log.next().0;
        self.log.start_file()?;
        for table in self.all() {
            loop {
                self.flush(&table)?;
                let mut state = table.state.lock();
                // A batch that is on its way to the disk comes into the buffer when it is there.
                let is_older = |frame: u64| frame < first_kept;
                if state.pending.front().is_some_and(|pending| is_older(pending.frame.0)) {
                    table.turn.wait(&mut state);
                } else if !state.buffer.oldest_frame().is_some_and(is_older) {
                    break;
                }
            }
        }
        self.release_log()
    }

    /// Lets the log drop what all tables have in segments.
    pub(crate) fn release_log(&self) -> Result<(), StoreError> {
        let _releasing = self.releasing.lock();
        // Appends that are under way have higher numbers than this.
        let mut oldest = self.log.next().0;
        for table in self.all() {
            let state = table.state.lock();
            let pending = state.pending.front().map(|pending| pending.frame.0);
            oldest = oldest.min(pending.unwrap_or(oldest));
            oldest = oldest.min(state.buffer.oldest_frame().unwrap_or(oldest));
        }
        let edit = Edit { log_released: Some(oldest), ..Edit::default() };
        self.catalog.commit(&edit)?;
        self.log.release_before(FrameNumber(oldest))?;
        Ok(())
    }
}

impl TableStore {
    fn new(table: Table) -> TableStore {
        TableStore {
            state: Mutex::new(State {
                table: Arc::new(table),
                buffer: Buffer::default(),
                generation: 0,
                segments: Vec::new(),
                shadows: BTreeMap::new(),
                pending: VecDeque::new(),
                marks: Marks::default(),
                saved_marks: Marks::default(),
                closing: false,
                dropped: false,
                oldest: None,
                flushed: None,
            }),
            turn: Condvar::new(),
            indexing: Mutex::new(()),
            owner: Mutex::new(()),
            working: Mutex::new(Working { retained_from: i64::MIN }),
        }
    }

    /// Slows a writer down before the buffer is full: the more rows wait for a flush, the longer,
    /// so that every request waits a little instead of a few for a whole flush.
    fn keep_pace(&self, settings: &StoreSettings, rows: usize) {
        if !settings.background {
            return;
        }
        let over = |held: usize, flush: usize| {
            held.saturating_sub(flush) as f64 / (flush * (FLUSHES_WAITING_MAX - 1)) as f64
        };
        let state = self.state.lock();
        let full = over(state.buffer.rows(), settings.flush_rows)
            .max(over(state.buffer.bytes(), settings.flush_bytes));
        drop(state);
        if full > 0.0 {
            std::thread::sleep(PACE_PER_ROW.mul_f64(full.min(1.0) * rows as f64).min(PACE_MAX));
        }
    }

    /// Waits while the buffer holds several flushes' worth of rows.
    fn wait_for_room(&self, settings: &StoreSettings) -> Result<MutexGuard<'_, State>, StoreError> {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        let mut state = self.state.lock();
        while settings.background
            && (state.buffer.rows() >= settings.flush_rows * FLUSHES_WAITING_MAX
                || state.buffer.bytes() >= settings.flush_bytes * FLUSHES_WAITING_MAX)
        {
            if self.turn.wait_until(&mut state, deadline).timed_out() {
                return Err(StoreError::Busy);
            }
        }
        Ok(state)
    }

    /// Waits until no earlier batch that is still on its way to the disk touches an id about
    /// which something is expected.
    fn wait_for_ids<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        batch: &Batch,
        expects: &[Expect],
    ) -> MutexGuard<'a, State> {
        let wanted: Vec<&str> = batch
            .rows
            .iter()
            .zip(expects)
            .filter(|(_, expect)| **expect != Expect::Any)
            .filter_map(|(row, _)| row.id.as_deref())
            .collect();
        if wanted.is_empty() {
            return state;
        }
        let touched = |state: &State| {
            let mut ids = state.pending.iter().flat_map(|pending| &pending.ids);
            ids.any(|id| wanted.contains(&id.as_ref()))
        };
        while touched(&state) {
            self.turn.wait(&mut state);
        }
        state
    }
}

/// Whether the columns of a batch fit the table. One that does not would stop every later flush.
fn check_columns(table: &Table, batch: &Batch) -> Result<(), StoreError> {
    let fits = |column: &model::Column| {
        let Some(field) = table.schema.fields().get(column.field.0 as usize) else { return false };
        let type_fits = match &column.values {
            Values::Strings(_) | Values::Bytes(_) => true,
            Values::Longs(_) => matches!(field.ty, FieldType::Long | FieldType::Date),
            Values::Doubles(_) => field.ty == FieldType::Double,
            Values::Bools(_) => field.ty == FieldType::Boolean,
        };
        type_fits && column.rows.len() == column.values.len()
    };
    match batch.columns.iter().all(fits) {
        true => Ok(()),
        false => Err(StoreError::internal("a batch that does not fit its table")),
    }
}

/// Where the live row of an id stands.
#[derive(Clone, Copy)]
enum Place {
    Buffer((usize, u32)),
    Segment(usize, u32),
}

impl State {
    /// The rows of `batch` whose expectation does not hold.
    fn skipped(&self, batch: &Batch, expects: &[Expect]) -> Result<RoaringBitmap, StoreError> {
        let mut skipped = RoaringBitmap::new();
        // What earlier rows of the same batch do to an id.
        let mut here: HashMap<&str, bool> = HashMap::new();
        for (number, row) in batch.rows.iter().enumerate() {
            let Some(id) = row.id.as_deref() else { continue };
            let expect = expects.get(number).copied().unwrap_or(Expect::Any);
            let holds = match (expect, here.get(id)) {
                (Expect::Any, _) => true,
                (Expect::Absent, Some(&exists)) => !exists,
                (Expect::Absent, None) => self.find(id)?.is_none(),
                (Expect::Seq(_), Some(_)) => false,
                (Expect::Seq(seq), None) => match self.find(id)? {
                    Some(place) => self.seq_and_version(place)?.0 == seq.0,
                    None => false,
                },
            };
            if holds {
                here.insert(id, row.op == Op::Put);
            } else {
                skipped.insert(number as u32);
            }
        }
        Ok(skipped)
    }

    fn find(&self, id: &str) -> Result<Option<Place>, StoreError> {
        if let Some(place) = self.buffer.find(id) {
            return Ok(Some(Place::Buffer(place)));
        }
        if let Some(GeneratedId(seq)) = GeneratedId::parse(id)
            && let Some(place) = self.buffer.find_seq(seq.0)
        {
            return Ok(Some(Place::Buffer(place)));
        }
        for (number, live) in self.segments.iter().enumerate().rev() {
            let rows = live.segment.rows_with_id(id)?;
            if let Some(&row) = rows.iter().find(|&&row| !live.dead.contains(row)) {
                return Ok(Some(Place::Segment(number, row)));
            }
        }
        Ok(None)
    }

    fn seq_and_version(&self, place: Place) -> Result<(u64, u64), StoreError> {
        Ok(match place {
            Place::Buffer((batch, row)) => {
                let rows = &self.buffer.batches()[batch].rows;
                (rows.seqs[row as usize], rows.versions[row as usize])
            }
            Place::Segment(number, row) => {
                let segment = &self.segments[number].segment;
                (segment.seqs(&[row])?[0], segment.versions(&[row])?[0])
            }
        })
    }

    fn kill(&mut self, place: Place) {
        match place {
            Place::Buffer(place) => self.buffer.kill(place),
            Place::Segment(number, row) => {
                let live = &mut self.segments[number];
                Arc::make_mut(&mut live.dead).insert(row);
            }
        }
    }

    /// Makes a durable batch visible, all of it at once.
    fn publish(
        &mut self,
        batch: SealedBatch,
        first_seq: u64,
        skipped: &RoaringBitmap,
        frame: u64,
        mark: Option<Mark>,
    ) -> Result<Vec<RowOutcome>, StoreError> {
        let rules = batch.rules();
        if !self.buffer.takes(rules) {
            return Err(StoreError::internal("rows of two kinds of rules in one buffer"));
        }
        let batch = batch.into_batch();
        let mut dead = RoaringBitmap::new();
        let mut versions = vec![1; batch.rows.len()];
        let mut outcomes = Vec::with_capacity(batch.rows.len());
        // The row of this batch that an id has now, or that it has none any more.
        let mut here: HashMap<&str, Option<u32>> = HashMap::new();
        let mut killed = Vec::new();
        for (number, row) in batch.rows.iter().enumerate() {
            let seq = Seq(first_seq + number as u64);
            let number = number as u32;
            let mut outcome =
                |outcome, version| outcomes.push(RowOutcome { seq, version, outcome });
            let Some(id) = row.id.as_deref() else {
                outcome(Outcome::Created, 1);
                continue;
            };
            let before = match here.get(id) {
                Some(&row) => row.map(|row| (versions[row as usize], None, Some(row))),
                None => match self.find(id)? {
                    Some(place) => Some((self.seq_and_version(place)?.1, Some(place), None)),
                    None => None,
                },
            };
            if skipped.contains(number) {
                dead.insert(number);
                outcome(Outcome::Conflict, before.map_or(0, |(version, ..)| version));
                continue;
            }
            let version = before.map_or(1, |(version, ..)| version + 1);
            if let Some((_, place, earlier)) = before {
                killed.extend(place);
                dead.extend(earlier);
            }
            versions[number as usize] = version;
            match row.op {
                Op::Put => {
                    here.insert(id, Some(number));
                    let updated = before.is_some();
                    outcome(if updated { Outcome::Updated } else { Outcome::Created }, version);
                }
                Op::Delete => {
                    here.insert(id, None);
                    dead.insert(number);
                    let found = before.is_some();
                    outcome(if found { Outcome::Deleted } else { Outcome::NotFound }, version);
                }
            }
        }
        for place in killed {
            self.kill(place);
        }
        let seqs = (first_seq..first_seq + batch.rows.len() as u64).collect();
        if let Some(mark) = &mark {
            self.marks.set(mark);
        }
        self.buffer.push(Arc::new(Rows::new(batch, seqs, versions)), rules, dead, frame, mark);
        self.oldest.get_or_insert_with(std::time::Instant::now);
        Ok(outcomes)
    }
}

/// One frame of the log: a batch, its table, its numbers and the rows that were left out.
///
/// ```text
/// first row number u64, table u32, batch (protection's codec) length u64 and bytes,
/// number of rows left out u32, each u32; a mark (see `crate::mark`) or nothing
/// ```
struct Entry {
    table: TableId,
    first_seq: u64,
    batch: SealedBatch,
    skipped: RoaringBitmap,
    mark: Option<Mark>,
}

impl Entry {
    const BATCH_AT: usize = 20;

    fn head(table: TableId) -> Vec<u8> {
        let mut payload = vec![0; Self::BATCH_AT];
        payload[8..12].copy_from_slice(&table.0.to_le_bytes());
        payload
    }

    fn finish(payload: &mut Vec<u8>, first_seq: u64, skipped: &RoaringBitmap, mark: Option<&Mark>) {
        let batch_bytes = (payload.len() - Self::BATCH_AT) as u64;
        payload[..8].copy_from_slice(&first_seq.to_le_bytes());
        payload[12..20].copy_from_slice(&batch_bytes.to_le_bytes());
        payload.extend_from_slice(&(skipped.len() as u32).to_le_bytes());
        skipped.iter().for_each(|row| payload.extend_from_slice(&row.to_le_bytes()));
        if let Some(mark) = mark {
            mark.encode(payload);
        }
    }

    fn decode(payload: &[u8]) -> Result<Entry, StoreError> {
        let damaged = || StoreError::internal("a log frame that is no batch");
        let (first_seq, rest) = payload.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (table, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (batch, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let skipped_bytes = (u32::from_le_bytes(*count) as usize).saturating_mul(4);
        let (skipped, rest) = rest.split_at_checked(skipped_bytes).ok_or_else(damaged)?;
        let mark = match rest {
            [] => None,
            _ => Some(Mark::decode(rest).ok_or_else(damaged)?.0),
        };
        let batch = SealedBatch::decode(batch).map_err(|_| damaged())?;
        let skipped = skipped.as_chunks::<4>().0.iter().map(|row| u32::from_le_bytes(*row));
        Ok(Entry {
            table: TableId(u32::from_le_bytes(*table)),
            first_seq: u64::from_le_bytes(*first_seq),
            batch,
            skipped: skipped.collect(),
            mark,
        })
    }
}

fn segment_path(dir: &Path, id: SegmentId) -> PathBuf {
    dir.join("segments").join(file_name(id))
}

pub(crate) fn file_name(id: SegmentId) -> String {
    format!("{id}.{SEGMENT_EXTENSION}")
}

/// Where the tiles of a segment are.
pub(crate) fn tiles_path(dir: &Path, id: SegmentId) -> PathBuf {
    dir.join("segments").join(tiles_name(id))
}

pub(crate) fn tiles_name(id: SegmentId) -> String {
    format!("{id}.{TILES_EXTENSION}")
}

/// What the file of a segment's tiles is for ever.
pub(crate) fn tiles_identity(table: TableId, id: SegmentId) -> String {
    format!("{} tiles", identity(table, id))
}

/// What a segment's file is for ever: it opens for no other table and under no other number.
fn identity(table: TableId, id: SegmentId) -> String {
    format!("table {} segment {id}", table.0)
}

pub(crate) fn sealed_reader(
    settings: &StoreSettings,
    table: TableId,
    id: SegmentId,
    frames: &Arc<FrameCache>,
) -> Result<SealedReader, StoreError> {
    let path = segment_path(&settings.dir, id);
    SealedReader::open(
        &settings.disk,
        &path,
        &settings.keys,
        SEGMENT_PURPOSE,
        &identity(table, id),
        Arc::clone(frames),
    )
    .map_err(|error| crate::ReadError::damaged(&error).into())
}

fn open_segment(
    settings: &StoreSettings,
    table: &Table,
    record: SegmentRecord,
    columns: &Arc<ColumnCache>,
    frames: &Arc<FrameCache>,
) -> Result<LiveSegment, StoreError> {
    let sealed = sealed_reader(settings, table.id, record.id, frames)?;
    let segment = Segment::open(table, record.rules, sealed, columns)?;
    let other = |what: &str| {
        let path = segment_path(&settings.dir, record.id);
        crate::ReadError::Damaged(format!("`{}` {what} the catalog says", path.display()))
    };
    if segment.rows() != record.rows {
        return Err(other("has not as many rows as").into());
    }
    let saved = match &record.deletes {
        Some(bytes) => RoaringBitmap::deserialize_from(bytes.as_slice())
            .map_err(|_| other("has not the deletes that"))?,
        None => RoaringBitmap::new(),
    };
    if saved.max().is_some_and(|last| last >= record.rows) {
        return Err(other("has not as many rows as the deletes in").into());
    }
    let saved = Arc::new(saved);
    let dead = Arc::clone(&saved);
    let live = LiveSegment { record, segment: Arc::new(segment), dead, saved };
    attach_tiles(settings, &live, frames);
    Ok(live)
}

/// Removes files of segments, and of their tiles, that no commit names: a crash came between file and commit.
fn remove_orphans(
    disk: &dyn Disk,
    dir: &Path,
    known: &HashSet<OsString>,
) -> Result<(), StoreError> {
    for name in disk.list(dir)? {
        let path = dir.join(&name);
        let is_ours = path.extension().is_some_and(|extension| {
            extension == SEGMENT_EXTENSION || extension == TILES_EXTENSION
        });
        if is_ours && !known.contains(&name) {
            disk.remove(&path)?;
        }
    }
    Ok(())
}
