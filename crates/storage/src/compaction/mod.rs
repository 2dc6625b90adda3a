//! Flushing and merging: how rows get from the buffer into few, large, sorted segments.
//!
//! Each step ends in one commit of the catalog; `docs/formats.md` says what a crash between any
//! two steps leaves behind.

mod policy;

use crate::catalog::{Edit, SegmentRecord};
use crate::segment::{self, Layout, MergeInput, RowAddress, Rows, Written};
use crate::store::{Inner, LiveSegment, State, TableStore};
use crate::{Column, Filter, StoreError};
use model::{SegmentId, Seq, Table, Value};
use parking_lot::MutexGuard;
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

/// How long a dropped table can be brought back.
const RESTORABLE_MS: i64 = 7 * 24 * 60 * 60 * 1000;

impl Inner {
    /// Writes a table's buffer into a segment.
    pub(crate) fn flush(&self, store: &TableStore) -> Result<(), StoreError> {
        let _working = store.working.lock();
        let (table, batches, dead_before) = {
            let state = store.state.lock();
            if state.buffer.is_empty() || state.dropped {
                return Ok(());
            }
            let batches: Vec<Arc<Rows>> =
                state.buffer.batches().iter().map(|batch| Arc::clone(&batch.rows)).collect();
            let dead: Vec<Arc<RoaringBitmap>> =
                state.buffer.batches().iter().map(|batch| Arc::clone(&batch.dead)).collect();
            (Arc::clone(&state.table), batches, dead)
        };
        let alive = |batch: u32, row: u32| !dead_before[batch as usize].contains(row);
        let order = segment::ordered(&table, &batches, alive, true);
        let last_seq = batches.iter().filter_map(|rows| rows.seqs.last()).max().copied();

        // 1. The file, durable under a name that no commit knows yet.
        let live = match order.is_empty() {
            true => None,
            false => {
                let id = self.catalog.next_segment_id()?;
                let sealed = self.new_segment_file(table.id, id)?;
                let layout = Layout::of(&table);
                let written = segment::build_file(&table, &layout, &batches, &order, sealed)?;
                let record = self.record(&table, id, &written, 0)?;
                Some(self.open_with_bounds(&table, record)?)
            }
        };

        // 2. The commit, with the deletes of the moment; then memory follows.
        let mut state = store.state.lock();
        if state.dropped {
            return Ok(());
        }
        let live = live.map(|mut live| {
            live.dead = Arc::new(killed_since(&order, &dead_before, &state));
            live
        });
        let mut edit = self.deletes_to_save(&state);
        edit.add_segments.extend(live.iter().map(|live| live.record.clone()));
        edit.set_deletes.extend(live.iter().filter_map(saved_deletes));
        edit.flushed.extend(last_seq.map(|seq| (table.id, Seq(seq))));
        self.catalog.commit(&edit)?;
        let rows = order.len();
        state.buffer.forget(batches.len());
        state.generation += 1;
        state.oldest = (!state.buffer.is_empty()).then(std::time::Instant::now);
        state.segments.iter_mut().for_each(|live| live.dead_saved = true);
        state.segments.extend(live);
        drop(state);
        store.turn.notify_all();
        tracing::info!(table_id = table.id.0, rows, "segment flushed");

        // 3. The log lets go of what is now in segments.
        self.release_log()
    }

    /// Carries out one merge if the policy wants one; says whether it did.
    pub(crate) fn compact(&self, store: &TableStore) -> Result<bool, StoreError> {
        let _working = store.working.lock();
        self.retain(store)?;
        let (table, inputs) = {
            let state = store.state.lock();
            let segments: Vec<policy::Candidate> = state
                .segments
                .iter()
                .map(|live| policy::Candidate {
                    id: live.record.id,
                    rows: u64::from(live.record.rows),
                    dead: live.dead.len(),
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

        let mut state = store.state.lock();
        if state.dropped {
            return Ok(false);
        }
        let merged = match merged {
            Some(mut live) => {
                live.dead = Arc::new(killed_during_merge(&inputs, &state, &live)?);
                Some(live)
            }
            None => None,
        };
        let gone: Vec<SegmentId> = inputs.iter().map(|live| live.record.id).collect();
        let mut edit = self.deletes_to_save(&state);
        edit.set_deletes.retain(|(id, _)| !gone.contains(id));
        edit.add_segments.extend(merged.iter().map(|live| live.record.clone()));
        edit.set_deletes.extend(merged.iter().filter_map(saved_deletes));
        edit.remove_segments.clone_from(&gone);
        self.catalog.commit(&edit)?;
        state.segments.retain(|live| !gone.contains(&live.record.id));
        state.segments.iter_mut().for_each(|live| live.dead_saved = true);
        state.segments.extend(merged);
        drop(state);
        self.remove_files(&inputs)?;
        tracing::info!(table_id = table.id.0, segments = gone.len(), "segments merged");
        Ok(true)
    }

    fn merge(
        &self,
        table: &Table,
        inputs: &[LiveSegment],
    ) -> Result<Option<LiveSegment>, StoreError> {
        let rows: u64 =
            inputs.iter().map(|live| u64::from(live.record.rows) - live.dead.len()).sum();
        if rows == 0 {
            return Ok(None);
        }
        let layout = Layout::of(table);
        let merge_inputs = inputs
            .iter()
            .map(|live| {
                // Opened anew, because the table may have more fields than it had.
                let segment = self.reopen(table, live.record.id)?;
                Ok(MergeInput {
                    index: segment.index().clone(),
                    rows: live.record.rows,
                    dead: Arc::clone(&live.dead),
                    given_ids: match live.record.has_given_ids {
                        true => live.segment.all_given_ids(&live.dead)?,
                        false => Vec::new(),
                    },
                    min_seq: live.record.min_seq.0,
                    max_seq: live.record.max_seq.0,
                    has_sort_column: live.segment.has_sort_column(table)?,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let id = self.catalog.next_segment_id()?;
        let sealed = self.new_segment_file(table.id, id)?;
        let written = segment::merge_files(table, &layout, &merge_inputs, sealed)?;
        let level = inputs.iter().map(|live| live.record.level).max().unwrap_or(0) + 1;
        let record = self.record(table, id, &written, level)?;
        Ok(Some(self.open_with_bounds(table, record)?))
    }

    /// Drops segments that are older than the table's retention as a whole, and kills single rows
    /// that are.
    fn retain(&self, store: &TableStore) -> Result<(), StoreError> {
        let mut state = store.state.lock();
        let (Some(keep_ms), Some(time)) = (state.table.retention_ms, &state.table.time_field)
        else {
            return Ok(());
        };
        let cutoff = self.settings.clock.now().0.saturating_sub(keep_ms);
        let old = Filter::Range {
            field: time.clone(),
            from: Bound::Unbounded,
            to: Bound::Excluded(Value::Long(cutoff)),
        };
        let table = Arc::clone(&state.table);
        let mut changed = false;
        for live in &mut state.segments {
            if live.record.time_min.is_none_or(|first| first >= cutoff) {
                continue;
            }
            let rows = live.segment.select(&table, &old, &live.dead)?;
            if rows.is_empty() {
                continue;
            }
            let dead = Arc::make_mut(&mut live.dead);
            for block in rows.blocks() {
                dead.extend((0..block.len()).map(|place| block.row(place)));
            }
            live.dead_saved = false;
            changed = true;
        }
        if changed {
            let edit = self.deletes_to_save(&state);
            self.catalog.commit(&edit)?;
            state.segments.iter_mut().for_each(|live| live.dead_saved = true);
        }
        let gone: Vec<LiveSegment> = state
            .segments
            .iter()
            .filter(|live| live.dead.len() == u64::from(live.record.rows))
            .cloned()
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let ids: Vec<SegmentId> = gone.iter().map(|live| live.record.id).collect();
        self.catalog.commit(&Edit { remove_segments: ids.clone(), ..Edit::default() })?;
        state.segments.retain(|live| !ids.contains(&live.record.id));
        drop(state);
        self.remove_files(&gone)
    }

    fn record(
        &self,
        table: &Table,
        id: SegmentId,
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
        if let Some(time) = &table.time_field {
            if let Some(Column::Long(column)) = live.segment.column(table, time)? {
                live.record.time_min = Some(column.min());
                live.record.time_max = Some(column.max());
            }
        }
        Ok(live)
    }

    fn deletes_to_save(&self, state: &MutexGuard<'_, State>) -> Edit {
        let changed = state.segments.iter().filter(|live| !live.dead_saved);
        Edit { set_deletes: changed.filter_map(saved_deletes).collect(), ..Edit::default() }
    }

    /// Forgets tables that were dropped more than seven days ago.
    pub(crate) fn purge_dropped(&self) -> Result<(), StoreError> {
        let cutoff = self.settings.clock.now().0 - RESTORABLE_MS;
        for (table, dropped_at) in self.catalog.dropped_tables()? {
            if dropped_at.0 > cutoff {
                continue;
            }
            let mine =
                self.catalog.segments()?.into_iter().filter(|segment| segment.table == table.id);
            let files: Vec<SegmentId> = mine.map(|segment| segment.id).collect();
            self.catalog.commit(&Edit { purge_tables: vec![table.id], ..Edit::default() })?;
            for id in files {
                self.settings.disk.remove(&self.segment_path(id))?;
            }
            tracing::info!(table_id = table.id.0, "dropped table purged");
        }
        Ok(())
    }

    /// Readers that have a file open go on reading it.
    fn remove_files(&self, gone: &[LiveSegment]) -> Result<(), StoreError> {
        for live in gone {
            self.settings.disk.remove(&self.segment_path(live.record.id))?;
            live.segment.forget_columns();
        }
        Ok(())
    }
}

fn saved_deletes(live: &LiveSegment) -> Option<(SegmentId, Vec<u8>)> {
    Some((live.record.id, to_bytes(&live.dead)?))
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

/// Rows of a merged segment that were killed in its inputs while it was written.
fn killed_during_merge(
    inputs: &[LiveSegment],
    state: &State,
    merged: &LiveSegment,
) -> Result<RoaringBitmap, StoreError> {
    let mut seqs = Vec::new();
    for before in inputs {
        let now = state.segments.iter().find(|live| live.record.id == before.record.id);
        let Some(now) = now.filter(|now| !Arc::ptr_eq(&now.dead, &before.dead)) else { continue };
        let newly: Vec<u32> = (&*now.dead - &*before.dead).iter().collect();
        seqs.extend(before.segment.seqs(&newly)?);
    }
    seqs.sort_unstable();
    Ok(merged.segment.rows_with_seqs(&seqs)?)
}
