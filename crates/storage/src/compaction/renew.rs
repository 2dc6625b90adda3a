//! Pseudonyms move to another epoch: every segment gets a shadow, a segment with the same rows whose
//! pseudonyms are of the next epoch, and all shadows take their places in one commit.
//!
//! Readers and writers go on in the old epoch until that commit, in all tables. A shadow is named by
//! the catalog when it is durable, so that work goes on after a crash where it was; it goes when its
//! segment goes, so that whatever is erased, merged, rewritten or out of its time is so in both.

use super::to_bytes;
use crate::StoreError;
use crate::catalog::{Edit, SegmentRecord};
use crate::store::{Inner, LiveSegment, State, Store, TableStore};
use model::{Batch, SegmentId, Table, TableId};
use parking_lot::{MutexGuard, RwLockReadGuard};
use protection::Renewal;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Kinds of records that are kept as they were: what was agreed on is evidence, and chained.
const KEPT_RECORDS: [&str; 3] = ["policy", "change", "notice"];

/// How far the next epoch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochProgress {
    /// The epoch that is read and written.
    pub epoch: u32,
    /// The one that is being made.
    pub next: Option<u32>,
    /// Rows in segments, also of dropped tables.
    pub rows: u64,
    /// Those of them that stand in the next epoch already.
    pub renewed: u64,
}

/// While it lives, no epoch begins.
pub struct EpochHold<'a>(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'a, ()>);

impl Store {
    /// The epoch of all pseudonyms that are read and written.
    pub fn epoch(&self) -> u32 {
        self.inner().epoch.load(Ordering::Acquire)
    }

    /// Keeps the epoch for work of several steps, such as finding rows and deleting them by their
    /// `_id`s. Reads that can be asked again look at the epoch before and after instead.
    pub fn hold_epoch(&self) -> EpochHold<'_> {
        EpochHold(self.inner().held.read_recursive())
    }

    /// The epoch that is being made, if one is.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub fn next_epoch(&self) -> Result<Option<u32>, StoreError> {
        Ok(self.inner().catalog.next_epoch()?)
    }

    /// From now on the next epoch is being made; durable when this returns.
    ///
    /// # Errors
    /// If the catalog cannot be written.
    pub fn begin_epoch(&self, next: u32) -> Result<(), StoreError> {
        Ok(self.inner().catalog.commit(&Edit { next_epoch: Some(next), ..Edit::default() })?)
    }

    /// How far the next epoch is.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub fn epoch_progress(&self) -> Result<EpochProgress, StoreError> {
        // Not between the commit of an epoch and its beginning in memory.
        let _reading = self.inner().reading.read();
        let mut progress =
            EpochProgress { epoch: self.epoch(), next: self.next_epoch()?, ..Default::default() };
        let records = self.inner().catalog.segments()?;
        let renewed: Vec<SegmentId> =
            records.iter().filter_map(|record| record.shadow_of).collect();
        for record in records.iter().filter(|record| record.shadow_of.is_none()) {
            progress.rows += u64::from(record.rows);
            if renewed.contains(&record.id) {
                progress.renewed += u64::from(record.rows);
            }
        }
        Ok(progress)
    }

    /// Makes the shadow of one segment that has none; says whether there was one.
    ///
    /// # Errors
    /// If the disk or the catalog fails, or a value does not open; what was made stays.
    pub fn renew_one(&self, renewal: &Renewal) -> Result<bool, StoreError> {
        self.inner().renew_one(renewal)
    }

    /// Begins the epoch that `renewal` leads to, in all tables at once, if everything that is stored
    /// has its shadow; says whether it did. Writers wait meanwhile, readers for the last moment of
    /// it. `ready` is called right before: what it does must be right in both epochs.
    ///
    /// # Errors
    /// If the disk or the catalog fails, or `ready` does: the old epoch goes on then.
    pub fn begin_next_epoch(
        &self,
        renewal: &Renewal,
        ready: &dyn Fn() -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        self.inner().begin_next_epoch(renewal, ready)
    }

    /// Removes the files that only an epoch before the store's needed; says whether any file may
    /// still hold pseudonyms of one.
    ///
    /// # Errors
    /// If the disk or the catalog fails; the next call, or the next start, goes on.
    pub fn holds_older_epochs(&self) -> Result<bool, StoreError> {
        self.inner().remove_leavings()?;
        if !self.inner().leavings.lock().is_empty() {
            return Ok(true);
        }
        let epoch = self.epoch();
        let is_older = |record: &SegmentRecord| record.epoch < epoch;
        Ok(self.log_is_stale() || self.inner().catalog.segments()?.iter().any(is_older))
    }
}

/// A segment of a dropped table and what stands for it.
struct Dropped {
    old: LiveSegment,
    shadow: Option<LiveSegment>,
}

impl Inner {
    fn renew_one(&self, renewal: &Renewal) -> Result<bool, StoreError> {
        for store in self.all() {
            let _owner = store.owner.lock();
            if self.renew_segment_of(&store, renewal)? {
                return Ok(true);
            }
        }
        self.renew_dropped(renewal)
    }

    /// Called by the owner of the segments.
    fn renew_segment_of(&self, store: &TableStore, renewal: &Renewal) -> Result<bool, StoreError> {
        let (table, live) = {
            let state = store.state.lock();
            let has_none = |live: &&LiveSegment| !state.shadows.contains_key(&live.record.id);
            let Some(live) = state.segments.iter().find(has_none).filter(|_| !state.dropped) else {
                return Ok(false);
            };
            (Arc::clone(&state.table), live.clone())
        };
        let of = live.record.id;
        let Some(made) = self.shadow(&table, &live, renewal)? else {
            // All of its rows are deleted: it goes, as in a merge.
            self.swap(store, &[live], None)?;
            return Ok(true);
        };
        let mut state = store.state.lock();
        if state.dropped || !state.segments.iter().any(|live| live.record.id == of) {
            drop(state);
            self.discard(made.record.id);
            return Ok(true);
        }
        self.name_shadow(&made)?;
        state.shadows.insert(of, made);
        Ok(true)
    }

    /// Rows of `live` under the next epoch, in a file that no commit names yet.
    fn shadow(
        &self,
        table: &Table,
        live: &LiveSegment,
        renewal: &Renewal,
    ) -> Result<Option<LiveSegment>, StoreError> {
        let sealer = &self.settings.sealer;
        let renew = |batch: &mut Batch| Ok(sealer.renew(table, renewal, batch)?);
        let made = self.rewritten(table, live, &renew)?;
        Ok(made.map(|mut made| {
            made.record.epoch = renewal.epoch();
            made.record.shadow_of = Some(live.record.id);
            made
        }))
    }

    fn name_shadow(&self, made: &LiveSegment) -> Result<(), StoreError> {
        let edit = Edit { add_segments: vec![made.record.clone()], ..Edit::default() };
        let named = self.catalog.commit(&edit);
        if named.is_err() {
            self.discard(made.record.id);
        }
        Ok(named?)
    }

    /// A dropped table can come back for some days, so it comes along.
    fn renew_dropped(&self, renewal: &Renewal) -> Result<bool, StoreError> {
        for (table, of_table) in self.dropped_segments()? {
            for Dropped { old, shadow } in of_table {
                if shadow.is_some() || old.saved.len() == u64::from(old.record.rows) {
                    continue;
                }
                // Nobody else touches them; the table may be purged, and then no commit names it.
                if let Some(made) = self.shadow(&table, &old, renewal)? {
                    self.name_shadow(&made)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn dropped_segments(&self) -> Result<Vec<(Table, Vec<Dropped>)>, StoreError> {
        let dropped = self.catalog.dropped_tables()?;
        if dropped.is_empty() {
            return Ok(Vec::new());
        }
        let records = self.catalog.segments()?;
        let mut all = Vec::with_capacity(dropped.len());
        for (table, _) in dropped {
            let mine = records.iter().filter(|record| record.table == table.id);
            let (shadows, olds): (Vec<_>, Vec<_>) =
                mine.partition(|record| record.shadow_of.is_some());
            let mut of_table = Vec::with_capacity(olds.len());
            for old in olds {
                let shadow = shadows.iter().find(|shadow| shadow.shadow_of == Some(old.id));
                let open = |record: &SegmentRecord| self.open_segment(&table, record.clone());
                let shadow = shadow.map(|shadow| open(shadow)).transpose()?;
                of_table.push(Dropped { old: open(old)?, shadow });
            }
            all.push((table, of_table));
        }
        Ok(all)
    }

    fn begin_next_epoch(
        &self,
        renewal: &Renewal,
        ready: &dyn Fn() -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let _held = self.held.write();
        let _writing = self.writing.write();
        // What came since the last look; no more comes.
        let stores = self.all();
        // Writers are not kept waiting for a merge: it is tried again behind it.
        let owners: Option<Vec<_>> = stores.iter().map(|store| store.owner.try_lock()).collect();
        let Some(_owners) = owners else { return Ok(false) };
        for store in &stores {
            self.flush(store)?;
            while self.renew_segment_of(store, renewal)? {}
        }
        while self.renew_dropped(renewal)? {}
        // From here on no segment comes or goes, and no row is killed.
        let _working: Vec<_> = stores.iter().map(|store| store.working.lock()).collect();
        let dropped = self.dropped_segments()?;
        let Some(mut next) = next_of(&stores, dropped)? else { return Ok(false) };

        let _reading = self.reading.write();
        let mut states: Vec<_> = stores.iter().map(|store| store.state.lock()).collect();
        if states.iter().any(|state| !state.buffer.is_empty() || !state.pending.is_empty()) {
            return Err(StoreError::internal("rows came while an epoch began"));
        }
        // One that was dropped since would have to be taken from the catalog.
        let is_dropped = |state: &&MutexGuard<'_, State>| state.dropped;
        if states.iter().filter(is_dropped).count() != next.dropped_stores {
            return Ok(false);
        }
        ready()?;
        let own: Vec<String> = states.iter().flat_map(|state| kinds_of(&state.table)).collect();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let renew = |value: &[u8]| {
            let text = std::str::from_utf8(value).ok()?;
            renewal.text(text, &own).map(String::into_bytes)
        };
        let edit = Edit { epoch: Some(renewal.epoch()), ..next.edit };
        self.catalog.commit_renewing(&edit, &KEPT_RECORDS, &renew)?;

        for state in &mut states {
            if let Some(segments) = next.segments.remove(&state.table.id) {
                state.segments = segments;
                state.shadows.clear();
                state.generation += 1;
                self.columns.forget_strings(state.table.id);
            }
        }
        self.epoch.store(renewal.epoch(), Ordering::Release);
        let entered = self.settings.sealer.pseudonyms().enter(&self.settings.keys, renewal.epoch());
        assert!(entered, "the renewal was made with the key of this epoch");
        drop(states);
        self.points.end_all();
        self.log_stale.fetch_add(1, Ordering::AcqRel);
        self.leavings.lock().extend(edit.remove_segments);
        Ok(true)
    }
}

/// What the tables consist of when the next epoch begins.
#[derive(Default)]
struct Next {
    segments: BTreeMap<TableId, Vec<LiveSegment>>,
    /// The old segments go, the shadows are segments.
    edit: Edit,
    dropped_stores: usize,
}

/// `None` if a segment has no shadow.
fn next_of(
    stores: &[Arc<TableStore>],
    dropped: Vec<(Table, Vec<Dropped>)>,
) -> Result<Option<Next>, StoreError> {
    let mut next = Next::default();
    for store in stores {
        let (table, segments, shadows, is_dropped) = {
            let state = store.state.lock();
            (state.table.id, state.segments.clone(), state.shadows.clone(), state.dropped)
        };
        if is_dropped {
            next.dropped_stores += 1;
            continue;
        }
        let mut of_table = Vec::with_capacity(segments.len());
        for live in &segments {
            let Some(shadow) = shadows.get(&live.record.id) else { return Ok(None) };
            of_table.push(in_the_place_of(live, shadow.clone())?);
            next.edit.remove_segments.push(live.record.id);
        }
        next.edit.add_segments.extend(of_table.iter().map(|live| live.record.clone()));
        next.segments.insert(table, of_table);
    }
    for Dropped { old, shadow } in dropped.into_iter().flat_map(|(_, of_table)| of_table) {
        next.edit.remove_segments.push(old.record.id);
        match shadow {
            Some(shadow) => next.edit.add_segments.push(in_the_place_of(&old, shadow)?.record),
            None if old.saved.len() == u64::from(old.record.rows) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(next))
}

/// `shadow` as a segment of its table, without the rows of `old` that are deleted by now.
fn in_the_place_of(old: &LiveSegment, mut shadow: LiveSegment) -> Result<LiveSegment, StoreError> {
    let rows_of = |deleted: &RoaringBitmap| -> Result<RoaringBitmap, StoreError> {
        if deleted.is_empty() {
            return Ok(RoaringBitmap::new());
        }
        let deleted: Vec<u32> = deleted.iter().collect();
        let mut seqs = old.segment.seqs(&deleted)?;
        seqs.sort_unstable();
        Ok(shadow.segment.rows_with_seqs(&seqs)?)
    };
    let saved = Arc::new(rows_of(&old.saved)?);
    let dead = match Arc::ptr_eq(&old.dead, &old.saved) {
        true => Arc::clone(&saved),
        false => Arc::new(rows_of(&old.dead)?),
    };
    shadow.record.shadow_of = None;
    shadow.record.deletes = to_bytes(&saved);
    // Shared when both are the same, so that the next flush knows that nothing is new.
    shadow.dead = if *dead == *saved { Arc::clone(&saved) } else { dead };
    shadow.saved = saved;
    Ok(shadow)
}

/// The kinds of personal values that a table's rulings ever named.
fn kinds_of(table: &Table) -> Vec<String> {
    let fields = table.schema.fields().iter();
    let ruled = fields.clone().flat_map(|field| field.rulings.iter().map(|ruling| &ruling.kind));
    let kinds = ruled.chain(fields.map(|field| &field.kind)).filter(|kind| !kind.is_empty());
    kinds.cloned().collect()
}
