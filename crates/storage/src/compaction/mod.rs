//! Flushing and merging: how rows get from the buffer into few, large, sorted segments.
//!
//! Whoever merges or rewrites segments of a table owns them for as long as that takes. Flushes go
//! on meanwhile, and rows are killed: [`swap`] carries over what was.
//!
//! Each step ends in one commit of the catalog; `docs/formats.md` says what a crash between any
//! two steps leaves behind.

mod policy;
mod renew;
mod rewrite;
mod swap;

pub use renew::{EpochHold, EpochProgress};

use crate::catalog::{Edit, SegmentRecord};
use crate::segment::{self, Layout, MergeInput, RowAddress, Rows, Written};
use crate::store::{Inner, LiveSegment, State, TableStore, Working};
use crate::{Column, Filter, StoreError};
use model::{SegmentId, Seq, Table, Value};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long a dropped table can be brought back.
const RESTORABLE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Retention looks again when this part of its time has passed, …
const RETENTION_PART: i64 = 100;
/// … at most an hour.
const RETENTION_STEP_MS_MAX: i64 = 60 * 60 * 1000;

impl Inner {
    /// Writes a table's buffer into a segment.
    pub(crate) fn flush(&self, store: &TableStore) -> Result<(), StoreError> {
        let _working = store.working.lock();
        let (table, batches, rules, dead_before, deletes, marks) = {
            let state = store.state.lock();
            if state.buffer.is_empty() || state.dropped {
                return Ok(());
            }
            // What these rows killed in older segments, and nothing that came later.
            let deletes: Vec<(SegmentId, Arc<RoaringBitmap>)> = state
                .segments
                .iter()
                .filter(|live| !Arc::ptr_eq(&live.dead, &live.saved))
                .map(|live| (live.record.id, Arc::clone(&live.dead)))
                .collect();
            let batches: Vec<Arc<Rows>> =
                state.buffer.batches().iter().map(|batch| Arc::clone(&batch.rows)).collect();
            let dead: Vec<Arc<RoaringBitmap>> =
                state.buffer.batches().iter().map(|batch| Arc::clone(&batch.dead)).collect();
            let mut marks = state.saved_marks.clone();
            let brought = state.buffer.batches().iter().filter_map(|batch| batch.mark.as_ref());
            brought.for_each(|mark| marks.set(mark));
            (Arc::clone(&state.table), batches, state.buffer.rules(), dead, deletes, marks)
        };
        let alive = |batch: u32, row: u32| !dead_before[batch as usize].contains(row);
        let order = segment::ordered(&table, &batches, alive, true);
        let last_seq = batches.iter().filter_map(|rows| rows.seqs.last()).max().copied();

        // 1. The file, durable under a name that no commit knows yet.
        let live = match order.is_empty() {
            true => None,
            false => Some(self.new_segment(&table, |id| {
                let sealed = self.new_segment_file(table.id, id)?;
                let layout = Layout::of(&table);
                let written = segment::build_file(&table, &layout, &batches, &order, sealed)?;
                self.record(&table, id, rules, &written, 0)
            })?),
        };

        // 2. The commit; then memory follows.
        let mut state = store.state.lock();
        let changed_marks = match marks == state.saved_marks {
            true => Vec::new(),
            false => vec![(table.id, marks.clone())],
        };
        let edit = Edit {
            add_segments: live.iter().map(|live| live.record.clone()).collect(),
            set_deletes: deletes
                .iter()
                .filter_map(|(id, dead)| Some((*id, to_bytes(dead)?)))
                .collect(),
            flushed: last_seq.map(|seq| (table.id, Seq(seq))).into_iter().collect(),
            marks: changed_marks,
            ..Edit::default()
        };
        if let Err(error) = self.catalog.commit(&edit) {
            drop(state);
            live.iter().for_each(|live| self.discard(live.record.id));
            return Err(error.into());
        }
        let live = live.map(|mut live| {
            live.dead = Arc::new(killed_since(&order, &dead_before, &state));
            live
        });
        let rows = order.len();
        state.saved_marks = marks;
        state.buffer.forget(batches.len());
        state.generation += 1;
        state.oldest = (!state.buffer.is_empty()).then(std::time::Instant::now);
        state.flushed = Some(std::time::Instant::now());
        for (id, dead) in deletes {
            let mut segments = state.segments.iter_mut();
            if let Some(live) = segments.find(|live| live.record.id == id) {
                live.saved = dead;
            }
        }
        state.segments.extend(live);
        drop(state);
        store.turn.notify_all();
        tracing::info!(table_id = table.id.0, rows, "segment flushed");

        // 3. The log lets go of what is now in segments.
        self.release_log()
    }

    /// Carries out one merge if the policy wants one; says whether it did.
    pub(crate) fn compact(&self, store: &TableStore) -> Result<bool, StoreError> {
        let _owner = store.owner.lock();
        self.retain(store, &mut store.working.lock())?;
        let (table, inputs) = {
            let state = store.state.lock();
            // Values that lie in different forms cannot be merged; the others are rewritten first.
            let rules = state.table.schema.rules();
            let segments: Vec<policy::Candidate> = state
                .segments
                .iter()
                .filter(|live| live.record.rules == rules)
                // What is renewed already would have to be renewed again.
                .filter(|live| !state.shadows.contains_key(&live.record.id))
                .map(|live| policy::Candidate {
                    id: live.record.id,
                    rows: u64::from(live.record.rows),
                    // A merge leaves out no others.
                    dead: live.saved.len(),
                    starts: live.record.time_min.unwrap_or(i64::MIN),
                })
                .collect();
            let Some(chosen) = policy::plan(&segments) else { return Ok(false) };
            let inputs: Vec<LiveSegment> = state
                .segments
                .iter()
                .filter(|live| chosen.contains(&live.record.id))
                .cloned()
                .collect();
            (Arc::clone(&state.table), inputs)
        };
        let merged = self.merge(&table, &inputs)?;
        let swapped = self.swap(store, &inputs, merged)?;
        tracing::info!(table_id = table.id.0, segments = inputs.len(), "segments merged");
        Ok(swapped)
    }

    /// Writes one segment anew that holds any of these rows as deleted; says whether there was one.
    pub(crate) fn expunge_one(&self, store: &TableStore, seqs: &[u64]) -> Result<bool, StoreError> {
        let _owner = store.owner.lock();
        let (table, segments) = {
            let state = store.state.lock();
            (Arc::clone(&state.table), state.segments.clone())
        };
        for live in segments.into_iter().filter(|live| !live.saved.is_empty()) {
            let rows = live.segment.rows_with_seqs(seqs)?;
            if rows.is_disjoint(&live.saved) {
                continue;
            }
            let inputs = [live];
            let made = self.merge(&table, &inputs)?;
            return self.swap(store, &inputs, made).map(|_| true);
        }
        Ok(false)
    }

    /// Whether any of these rows lies deleted in a segment and the catalog does not know it yet.
    pub(crate) fn has_unsaved_deletes_of(
        &self,
        store: &TableStore,
        seqs: &[u64],
    ) -> Result<bool, StoreError> {
        let segments = store.state.lock().segments.clone();
        for live in segments.iter().filter(|live| !Arc::ptr_eq(&live.dead, &live.saved)) {
            let newly = &*live.dead - &*live.saved;
            if !newly.is_empty() && !live.segment.rows_with_seqs(seqs)?.is_disjoint(&newly) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn merge(
        &self,
        table: &Table,
        inputs: &[LiveSegment],
    ) -> Result<Option<LiveSegment>, StoreError> {
        let rows: u64 =
            inputs.iter().map(|live| u64::from(live.record.rows) - live.saved.len()).sum();
        if rows == 0 {
            return Ok(None);
        }
        let layout = Layout::of(table);
        let merge_inputs = inputs
            .iter()
            .map(|live| {
                // Opened anew, because the table may have more fields than it had.
                let segment = self.reopen(table, &live.record)?;
                Ok(MergeInput {
                    index: segment.index().clone(),
                    rows: live.record.rows,
                    dead: Arc::clone(&live.saved),
                    given_ids: match live.record.has_given_ids {
                        true => live.segment.given_id_hashes(&live.saved)?,
                        false => Vec::new(),
                    },
                    min_seq: live.record.min_seq.0,
                    max_seq: live.record.max_seq.0,
                    has_sort_column: live.segment.has_sort_column(table)?,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let level = inputs.iter().map(|live| live.record.level).max().unwrap_or(0);
        let rules = inputs.first().map_or(0, |live| live.record.rules);
        let merged = self.new_segment(table, |id| {
            let sealed = self.new_segment_file(table.id, id)?;
            let written = segment::merge_files(table, &layout, &merge_inputs, sealed)?;
            self.record(table, id, rules, &written, level.saturating_add(1))
        })?;
        Ok(Some(merged))
    }

    /// Writes and opens a new segment; leaves no file behind if that fails.
    fn new_segment(
        &self,
        table: &Table,
        write: impl FnOnce(SegmentId) -> Result<SegmentRecord, StoreError>,
    ) -> Result<LiveSegment, StoreError> {
        let id = self.catalog.next_segment_id()?;
        let made = write(id).and_then(|record| self.open_with_bounds(table, record));
        if made.is_err() {
            self.discard(id);
        }
        made
    }

    /// Removes the file of a segment that was not committed: work that fails is tried again, and
    /// its leavings would fill the disk. Left to the next start when in doubt.
    pub(crate) fn discard(&self, id: SegmentId) {
        let Ok(named) = self.catalog.segments() else { return };
        if named.iter().any(|record| record.id == id) {
            return;
        }
        if let Err(error) = self.remove_file(id) {
            tracing::warn!(segment = %id, %error, "segment that was not committed stays");
        }
    }

    /// Drops segments that are older than the table's retention as a whole, and kills single rows
    /// that are. A row outlives its time by at most a hundredth of it or an hour, so that a busy
    /// table is not looked through, and its deletes written, all the time.
    fn retain(&self, store: &TableStore, working: &mut Working) -> Result<(), StoreError> {
        let (table, segments) = {
            let state = store.state.lock();
            (Arc::clone(&state.table), state.segments.clone())
        };
        let (Some(keep_ms), Some(time)) = (table.retention_ms, &table.time_field) else {
            return Ok(());
        };
        let cutoff = self.settings.clock.now().0.saturating_sub(keep_ms);
        let step = (keep_ms / RETENTION_PART).min(RETENTION_STEP_MS_MAX);
        if cutoff < working.retained_from.saturating_add(step) {
            return Ok(());
        }
        let old = Filter::Range {
            field: time.clone(),
            from: Bound::Unbounded,
            to: Bound::Excluded(Value::Long(cutoff)),
        };
        let mut expired: Vec<(SegmentId, RoaringBitmap)> = Vec::new();
        for live in &segments {
            if live.record.time_min.is_none_or(|first| first >= cutoff) {
                continue;
            }
            let rows = live.segment.select(&table, &old, &live.dead)?;
            let blocks = rows.blocks();
            let rows = blocks.flat_map(|block| (0..block.len()).map(move |place| block.row(place)));
            expired.push((live.record.id, rows.collect()));
        }
        let mut state = store.state.lock();
        let mut edit = Edit::default();
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        for (place, live) in state.segments.iter().enumerate() {
            let expired = expired.iter().find(|(id, _)| *id == live.record.id);
            // A row that a newer one took the place of meanwhile is the flush's to save.
            let newly = expired.map(|(_, rows)| rows - &*live.dead).unwrap_or_default();
            let saved = &newly | &*live.saved;
            if saved.len() == u64::from(live.record.rows) {
                edit.remove_segments.push(live.record.id);
                gone.push(live.clone());
            } else if !newly.is_empty() {
                edit.set_deletes.extend(to_bytes(&saved).map(|bytes| (live.record.id, bytes)));
                changed.push((place, newly, saved));
            }
        }
        let shadows = state.shadows_of(&edit.remove_segments);
        let removed = edit.remove_segments.clone();
        edit.remove_segments.extend(shadows.iter().map(|live| live.record.id));
        if !edit.set_deletes.is_empty() || !edit.remove_segments.is_empty() {
            self.catalog.commit(&edit)?;
        }
        for (place, newly, saved) in changed {
            let live = &mut state.segments[place];
            live.dead = Arc::new(&newly | &*live.dead);
            // Shared when both are the same, so that the next flush knows that nothing is new.
            live.saved = match *live.dead == saved {
                true => Arc::clone(&live.dead),
                false => Arc::new(saved),
            };
        }
        state.forget_segments(&removed);
        drop(state);
        working.retained_from = cutoff;
        self.remove_files(&gone)?;
        self.remove_files(&shadows)
    }

    fn record(
        &self,
        table: &Table,
        id: SegmentId,
        rules: u32,
        written: &Written,
        level: u8,
    ) -> Result<SegmentRecord, StoreError> {
        Ok(SegmentRecord {
            id,
            table: table.id,
            rows: written.rows,
            bytes: self.settings.disk.len(&self.segment_path(id))?,
            min_seq: Seq(written.min_seq),
            max_seq: Seq(written.max_seq),
            time_min: None,
            time_max: None,
            level,
            has_given_ids: written.has_given_ids,
            fields: table.schema.fields().len() as u32,
            rules,
            epoch: self.epoch.load(Ordering::Acquire),
            shadow_of: None,
            deletes: None,
        })
    }

    /// Opens a new segment and notes between which times its rows lie.
    fn open_with_bounds(
        &self,
        table: &Table,
        record: SegmentRecord,
    ) -> Result<LiveSegment, StoreError> {
        let mut live = self.open_segment(table, record)?;
        if let Some(time) = &table.time_field
            && let Some(Column::Long(column)) = live.segment.column(table, time)?
        {
            live.record.time_min = Some(column.min());
            live.record.time_max = Some(column.max());
        }
        Ok(live)
    }

    /// Forgets tables that were dropped more than seven days ago.
    pub(crate) fn purge_dropped(&self) -> Result<(), StoreError> {
        let cutoff = self.settings.clock.now().0 - RESTORABLE_MS;
        self.purge_dropped_before(cutoff).map(drop)
    }

    /// Forgets tables that were dropped up to a moment, in milliseconds; says how many.
    pub(crate) fn purge_dropped_before(&self, cutoff: i64) -> Result<u64, StoreError> {
        let mut purged = 0;
        for (table, dropped_at) in self.catalog.dropped_tables()? {
            if dropped_at.0 > cutoff {
                continue;
            }
            let mine =
                self.catalog.segments()?.into_iter().filter(|segment| segment.table == table.id);
            let files: Vec<SegmentId> = mine.map(|segment| segment.id).collect();
            self.catalog.commit(&Edit { purge_tables: vec![table.id], ..Edit::default() })?;
            for id in files {
                self.remove_file(id)?;
            }
            purged += 1;
            tracing::info!(table_id = table.id.0, "dropped table purged");
        }
        Ok(purged)
    }

    /// Readers that have a file open go on reading it.
    fn remove_files(&self, gone: &[LiveSegment]) -> Result<(), StoreError> {
        for live in gone {
            self.remove_file(live.record.id)?;
        }
        Ok(())
    }

    /// Removes a segment's file, its tiles first: none must lie there without it.
    pub(crate) fn remove_file(&self, id: SegmentId) -> Result<(), StoreError> {
        if self.keeping.load(Ordering::Acquire) > 0 {
            self.leavings.lock().push(id);
            return Ok(());
        }
        self.remove_tiles(id)?;
        match self.settings.disk.remove(&self.segment_path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// `None` for an empty set.
fn to_bytes(dead: &RoaringBitmap) -> Option<Vec<u8>> {
    if dead.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(dead.serialized_size());
    dead.serialize_into(&mut bytes).expect("writing to memory does not fail");
    Some(bytes)
}

/// Rows of a flushed segment that were killed while it was written.
fn killed_since(
    order: &[RowAddress],
    before: &[Arc<RoaringBitmap>],
    state: &State,
) -> RoaringBitmap {
    let now = state.buffer.batches();
    let mut killed: HashMap<(u32, u32), ()> = HashMap::new();
    for (number, dead) in before.iter().enumerate() {
        if !Arc::ptr_eq(dead, &now[number].dead) {
            let newly = now[number].dead.iter().filter(|&row| !dead.contains(row));
            killed.extend(newly.map(|row| ((number as u32, row), ())));
        }
    }
    if killed.is_empty() {
        return RoaringBitmap::new();
    }
    let places = order.iter().enumerate();
    places
        .filter(|(_, at)| killed.contains_key(&(at.batch, at.row)))
        .map(|(place, _)| place as u32)
        .collect()
}
