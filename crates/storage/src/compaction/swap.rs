//! One segment takes the place of others, whatever happened to their rows meanwhile.

use super::to_bytes;
use crate::StoreError;
use crate::catalog::Edit;
use crate::store::{Inner, LiveSegment, State, TableStore};
use model::SegmentId;
use roaring::RoaringBitmap;
use std::sync::Arc;

impl Inner {
    /// Puts `made`, which holds the rows of `inputs` but for those that were saved as deleted when
    /// it was begun, in their place; says whether it did. It does not if one of them went
    /// meanwhile, by retention or with its table. Called by the owner of the segments.
    ///
    /// If it does not, or fails, the file of `made` is removed.
    pub(super) fn swap(
        &self,
        store: &TableStore,
        inputs: &[LiveSegment],
        made: Option<LiveSegment>,
    ) -> Result<bool, StoreError> {
        let id = made.as_ref().map(|live| live.record.id);
        if let Some(live) = &made {
            let table = Arc::clone(&store.state.lock().table);
            self.tile_new(&table, live);
        }
        match self.swap_in(store, inputs, made) {
            // Readers that have a file open go on reading it.
            Ok(Some(shadows)) => {
                self.remove_files(inputs)?;
                self.remove_files(&shadows)?;
                Ok(true)
            }
            not_swapped => {
                id.into_iter().for_each(|id| self.discard(id));
                not_swapped.map(|_| false)
            }
        }
    }

    /// Gives the shadows of the inputs, which go with them; `None` if nothing was done.
    fn swap_in(
        &self,
        store: &TableStore,
        inputs: &[LiveSegment],
        made: Option<LiveSegment>,
    ) -> Result<Option<Vec<LiveSegment>>, StoreError> {
        // A flush saves what it saw dead when it began, so it has to end first.
        let _working = store.working.lock();
        let mut state = store.state.lock();
        let gone: Vec<SegmentId> = inputs.iter().map(|live| live.record.id).collect();
        let is_there = |id: &SegmentId| state.segments.iter().any(|live| live.record.id == *id);
        if state.dropped || !gone.iter().all(is_there) {
            return Ok(None);
        }
        let made = made.map(|live| with_deletes(inputs, &state, live)).transpose()?;
        let shadows = state.shadows_of(&gone);
        let shadow_ids = shadows.iter().map(|live| live.record.id);
        self.catalog.commit(&Edit {
            add_segments: made.iter().map(|live| live.record.clone()).collect(),
            remove_segments: gone.iter().copied().chain(shadow_ids).collect(),
            ..Edit::default()
        })?;
        state.forget_segments(&gone);
        state.segments.extend(made);
        Ok(Some(shadows))
    }
}

impl State {
    /// What stands for these segments under the next epoch.
    pub(super) fn shadows_of(&self, segments: &[SegmentId]) -> Vec<LiveSegment> {
        segments.iter().filter_map(|id| self.shadows.get(id)).cloned().collect()
    }

    /// Takes segments that the catalog names no more out of memory, with their shadows.
    pub(super) fn forget_segments(&mut self, gone: &[SegmentId]) {
        self.segments.retain(|live| !gone.contains(&live.record.id));
        self.shadows.retain(|of, _| !gone.contains(of));
    }
}

/// The new segment with what was killed in its inputs since they were read.
fn with_deletes(
    inputs: &[LiveSegment],
    state: &State,
    mut made: LiveSegment,
) -> Result<LiveSegment, StoreError> {
    let (mut saved, mut dead) = (Vec::new(), Vec::new());
    for before in inputs {
        let now = state.segments.iter().find(|live| live.record.id == before.record.id);
        let Some(now) = now else { continue };
        for (now, seqs) in [(&now.saved, &mut saved), (&now.dead, &mut dead)] {
            if !Arc::ptr_eq(now, &before.saved) {
                let newly: Vec<u32> = (&**now - &*before.saved).iter().collect();
                seqs.extend(before.segment.seqs(&newly)?);
            }
        }
    }
    let rows_of = |mut seqs: Vec<u64>| -> Result<RoaringBitmap, StoreError> {
        seqs.sort_unstable();
        Ok(made.segment.rows_with_seqs(&seqs)?)
    };
    let (saved, dead) = (rows_of(saved)?, rows_of(dead)?);
    made.record.deletes = to_bytes(&saved);
    made.saved = Arc::new(saved);
    // Shared when both are the same, so that the next flush knows that nothing is new.
    made.dead = match dead == *made.saved {
        true => Arc::clone(&made.saved),
        false => Arc::new(dead),
    };
    Ok(made)
}
