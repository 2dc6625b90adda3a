//! Rows that lie as they were before a ruling are written again, segment by segment.
//!
//! What is to be done is not written down anywhere: a segment whose rules are not those of its
//! table is to be rewritten, and the history of each field says how. So a crash loses nothing but
//! the segment that was under way, and a ruling in the midst of it is no special case.

use crate::StoreError;
use crate::catalog::{Edit, SegmentRecord};
use crate::segment::{self, Layout, Rows};
use crate::store::{Inner, LiveSegment, TableStore};
use model::{Batch, FieldId, Table};
use std::sync::Arc;

/// Rows that are in memory at once.
const PART_ROWS: usize = 65_536;

impl Inner {
    /// Brings one segment under the rulings of today; says whether there was one that was not.
    pub(crate) fn rewrite(&self, store: &TableStore) -> Result<bool, StoreError> {
        let _owner = store.owner.lock();
        let (table, live) = {
            let state = store.state.lock();
            let rules = state.table.schema.rules();
            let stale = state.segments.iter().find(|live| live.record.rules != rules);
            let Some(live) = stale.filter(|_| !state.dropped) else { return Ok(false) };
            (Arc::clone(&state.table), live.clone())
        };
        if !self.has_stale_values(&table, &live)? {
            self.mark_as_current(store, &table, &live)?;
            return Ok(true);
        }
        let made = self.rewritten(&table, &live, &|_| Ok(()))?;
        let rows = live.record.rows;
        let before = [live];
        self.swap(store, &before, made)?;
        self.points.end_with(before.iter().map(|live| &live.segment));
        self.columns.forget_strings(table.id);
        tracing::info!(table_id = table.id.0, rows, "segment rewritten after a ruling");
        Ok(true)
    }

    /// Whether a segment may hold a value that is stored otherwise today.
    fn has_stale_values(&self, table: &Table, live: &LiveSegment) -> Result<bool, StoreError> {
        for (place, field) in table.schema.fields().iter().enumerate() {
            let place = place as u32;
            if place < live.record.fields
                && field.stored_since() > live.record.rules
                && live.segment.holds(FieldId(place))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// No value of it changes: only its record does.
    fn mark_as_current(
        &self,
        store: &TableStore,
        table: &Table,
        live: &LiveSegment,
    ) -> Result<(), StoreError> {
        let _working = store.working.lock();
        let mut state = store.state.lock();
        let id = live.record.id;
        let Some(place) = state.segments.iter().position(|live| live.record.id == id) else {
            return Ok(());
        };
        let deletes = super::to_bytes(&state.segments[place].saved);
        let rules = table.schema.rules();
        let record = SegmentRecord { rules, deletes, ..live.record.clone() };
        let segment = Arc::new(self.reopen(table, &record)?);
        // No value of it changed, so its tiles say the same.
        segment.set_tiles(state.segments[place].segment.tiles());
        let edit = Edit { add_segments: vec![record.clone()], ..Edit::default() };
        self.catalog.commit(&edit)?;
        let live = &mut state.segments[place];
        live.record = record;
        live.segment = segment;
        Ok(())
    }

    /// A new segment with the same rows as they are stored today, and as `change` makes them; `None`
    /// if all are deleted.
    pub(super) fn rewritten(
        &self,
        table: &Table,
        live: &LiveSegment,
        change: &dyn Fn(&mut Batch) -> Result<(), StoreError>,
    ) -> Result<Option<LiveSegment>, StoreError> {
        let rows: Vec<u32> =
            (0..live.record.rows).filter(|&row| !live.saved.contains(row)).collect();
        let mut parts = Parts { inner: self, made: Vec::new() };
        for rows in rows.chunks(PART_ROWS) {
            let part = self.rewritten_part(table, live, rows, change)?;
            parts.made.push(part);
        }
        if parts.made.len() <= 1 {
            return Ok(parts.made.pop());
        }
        self.merge(table, &parts.made)
    }

    fn rewritten_part(
        &self,
        table: &Table,
        live: &LiveSegment,
        rows: &[u32],
        change: &dyn Fn(&mut Batch) -> Result<(), StoreError>,
    ) -> Result<LiveSegment, StoreError> {
        let mut batch = self.rows_of_today(table, &live.segment, rows)?;
        change(&mut batch)?;
        let seqs = live.segment.seqs(rows)?;
        let versions = live.segment.versions(rows)?;
        let batches = [Arc::new(Rows::new(batch, seqs, versions))];
        let order = segment::ordered(table, &batches, |_, _| true, true);
        self.new_segment(table, |id| {
            let sealed = self.new_segment_file(table.id, id)?;
            let layout = Layout::of(table);
            let written = segment::build_file(table, &layout, &batches, &order, sealed)?;
            self.record(table, id, table.schema.rules(), &written, live.record.level)
        })
    }
}

/// Parts of a segment, which are in its place only together.
struct Parts<'a> {
    inner: &'a Inner,
    made: Vec<LiveSegment>,
}

impl Drop for Parts<'_> {
    fn drop(&mut self) {
        self.made.iter().for_each(|part| self.inner.discard(part.record.id));
    }
}
