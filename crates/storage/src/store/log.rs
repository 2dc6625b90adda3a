//! When the log lets go of what it has.

use super::{Inner, TableStore};
use crate::StoreError;
use crate::catalog::Edit;
use crate::log::FrameNumber;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Inner {
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

    pub(super) fn log_is_stale(&self) -> bool {
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
