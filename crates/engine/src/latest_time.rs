//! How late it was already: kept, so that a clock that is set back while nobody looks brings nothing
//! back to life.

use crate::error::chain;
use model::{Clock, Timestamp};
use protection::{RecordError, RecordStore};
use std::sync::Arc;
use std::time::{Duration, Instant};

const KIND: &str = "clock";
const ID: &str = "latest";
/// So often it is written while all is well; a crash forgets as much.
const USUALLY: Duration = Duration::from_secs(60);
/// And so often while the computer's clock stands behind.
const WHILE_BEHIND: Duration = Duration::from_secs(1);
/// Clocks that are set right by this much are no reason to hurry.
const BEHIND_MS: i64 = 1_000;

/// Keeps the latest time there was.
pub(crate) struct LatestTime {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    kept_at: Option<Instant>,
}

impl LatestTime {
    /// Tells `clock` how late it was at the last look of the run before.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub(crate) fn open(
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<LatestTime, RecordError> {
        let damaged = || RecordError::Damaged { kind: KIND.to_owned() };
        for (_, bytes) in records.list(KIND)? {
            let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
            clock.not_before(Timestamp(text.parse().map_err(|_| damaged())?));
        }
        Ok(LatestTime { records, clock, kept_at: None })
    }

    /// Writes the time down if it is time to.
    pub(crate) fn look(&mut self) {
        let is_behind = self.clock.now().0 - self.clock.wall().0 > BEHIND_MS;
        let pause = if is_behind { WHILE_BEHIND } else { USUALLY };
        if self.kept_at.is_none_or(|at| at.elapsed() >= pause) {
            self.keep();
        }
    }

    /// Writes the time down.
    pub(crate) fn keep(&mut self) {
        self.kept_at = Some(Instant::now());
        let now = self.clock.now().0.to_string();
        if let Err(error) = self.records.put(KIND, ID, now.as_bytes()) {
            tracing::warn!(cause = chain(&error), "how late it is is not written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::SteadyClock;
    use protection::MemoryRecords;

    #[test]
    fn the_next_start_is_not_before_the_last_look() {
        let records: Arc<dyn RecordStore> = Arc::new(MemoryRecords::new());
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::start());
        let mut latest = LatestTime::open(Arc::clone(&records), Arc::clone(&clock)).unwrap();
        let far = Timestamp(clock.now().0 + 7_200_000);
        clock.not_before(far);
        latest.look();
        // The computer's clock stands two hours before that.
        let next: Arc<dyn Clock> = Arc::new(SteadyClock::start());
        assert!(next.now() < far);
        LatestTime::open(Arc::clone(&records), Arc::clone(&next)).unwrap();
        assert!(next.now() >= far);
        records.put(KIND, ID, b"soon").unwrap();
        assert!(LatestTime::open(records, next).is_err());
    }
}
