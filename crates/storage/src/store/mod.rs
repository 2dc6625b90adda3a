//! The store: appends sealed batches, gives snapshots, flushes and compacts behind them.
//!
//! Which lock before which: a table's `state` before the catalog and the log's queue; `tables` is
//! never held while a `state` is taken for longer than to find it. Those of an epoch come first:
//! `held`, `writing`, then every `working`, then `reading`, then every `state`.

mod append;
mod entry;
mod files;
mod log;
mod open;
mod settings;
mod tables;

pub use append::{Expect, Outcome, RowOutcome};
pub(crate) use files::{
    SEGMENT_EXTENSION, SEGMENT_PURPOSE, TILES_EXTENSION, file_name, sealed_reader, tiles_identity,
    tiles_name, tiles_path,
};
pub use settings::StoreSettings;

use crate::StoreError;
use crate::buffer::{Buffer, index_chunk};
use crate::catalog::{Catalog, SegmentRecord};
use crate::column_cache::ColumnCache;
use crate::log::{FrameNumber, Log};
use crate::mark::{Mark, Marks};
use crate::point::Points;
use crate::read::{Snapshot, View};
use crate::row_scope::restrict;
use crate::sealed_file::FrameCache;
use crate::segment::Segment;
use crate::tiles::TileMaker;
use crate::worker::Workers;
use model::{Batch, SegmentId, Seq, Table, TableId};
use parking_lot::{Condvar, Mutex, RwLock};
use protection::Permit;
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

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

    /// Shows every row of a table that exists now: its `_id` and its number. Nothing else of a row is
    /// read, and nothing of it may reach a caller who may not know that the row exists.
    ///
    /// # Errors
    /// If a segment cannot be read or the table is gone.
    pub fn visit_ids(
        &self,
        table: TableId,
        visit: &mut dyn FnMut(&str, Seq),
    ) -> Result<(), StoreError> {
        const ROWS_AT_ONCE: usize = 8_192;
        let store = self.inner.find(table)?;
        let (_, views) = self.inner.views(&store)?;
        for view in &views {
            let alive: Vec<u32> =
                (0..view.segment.rows()).filter(|&row| !view.dead.contains(row)).collect();
            for rows in alive.chunks(ROWS_AT_ONCE) {
                let seqs = view.segment.seqs(rows)?;
                for (id, seq) in view.segment.ids(rows)?.iter().zip(seqs) {
                    visit(id, Seq(seq));
                }
            }
        }
        Ok(())
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
}
