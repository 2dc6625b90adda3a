//! What one question may cost.

use crate::QueryError;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bounds on one request. Made when the request starts, because it carries the moment at which
/// the time is up; all questions of the request share it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes that accumulators, heaps and rows in flight may take.
    pub memory_bytes: usize,
    /// When the time is up.
    pub deadline: Instant,
    /// Groups that one fold may make.
    pub groups: usize,
    /// Buckets that one answer may show (Elasticsearch's `search.max_buckets`).
    pub buckets: usize,
    /// Rows that one answer may have.
    pub rows: usize,
    /// Threads that work on one question.
    pub threads: usize,
    /// Stops the question from outside.
    pub cancel: Cancel,
    /// What the answer was read from.
    pub answered: Answered,
    /// Whether tiles may be read; the answer is the same without.
    pub tiles: bool,
}

impl Limits {
    /// The limits of an interactive request that starts now: 512 MiB, 30 seconds, a million
    /// groups, 100,000 buckets, a million rows, two threads; stopped by the switch of this thread,
    /// if there is one ([`Cancel::during`]).
    pub fn standard() -> Limits {
        Limits {
            memory_bytes: 512 << 20,
            deadline: Instant::now() + Duration::from_secs(30),
            groups: 1_000_000,
            buckets: 100_000,
            rows: 1_000_000,
            threads: 2,
            cancel: Cancel::of_this_thread(),
            answered: Answered::default(),
            tiles: true,
        }
    }

    /// The same limits with `time` from now.
    pub fn within(mut self, time: Duration) -> Limits {
        self.deadline = Instant::now() + time;
        self
    }

    /// The same limits for a question that reads rows alone: it gives the same answer.
    pub fn without_tiles(mut self) -> Limits {
        self.tiles = false;
        self
    }

    /// Fails when the time is up or somebody cancelled. Cheap enough to be called for every
    /// block of rows.
    ///
    /// # Errors
    /// [`QueryError::TimedOut`] or [`QueryError::Cancelled`].
    pub fn check(&self) -> Result<(), QueryError> {
        if self.cancel.is_cancelled() {
            return Err(QueryError::Cancelled);
        }
        if Instant::now() > self.deadline {
            return Err(QueryError::TimedOut);
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::standard()
    }
}

/// What the folds of a question were read from. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Answered(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    tile_segments: AtomicU64,
    tile_rows: AtomicU64,
    stood_for: AtomicU64,
    row_segments: AtomicU64,
    rows: AtomicU64,
    is_hidden: AtomicBool,
}

impl Answered {
    /// A segment (or part of one) was answered from tiles.
    pub(crate) fn by_tiles(&self, tile_rows: u64, stands_for: u64) {
        if tile_rows == 0 {
            return;
        }
        self.0.tile_segments.fetch_add(1, Ordering::Relaxed);
        self.0.tile_rows.fetch_add(tile_rows, Ordering::Relaxed);
        self.0.stood_for.fetch_add(stands_for, Ordering::Relaxed);
    }

    /// A segment, a part of one or a chunk of the buffer was answered from its rows.
    pub(crate) fn by_rows(&self, rows: u64) {
        if rows == 0 {
            return;
        }
        self.0.row_segments.fetch_add(1, Ordering::Relaxed);
        self.0.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// The question is under a rule for groups: how many rows were read would tell about those that
    /// were kept back.
    pub(crate) fn hide(&self) {
        self.0.is_hidden.store(true, Ordering::Relaxed);
    }

    /// Whether the counts must not be told.
    pub fn is_hidden(&self) -> bool {
        self.0.is_hidden.load(Ordering::Relaxed)
    }

    /// Segments that tiles answered for, the rows of tiles that were read, and the rows of the
    /// table that these stand for.
    pub fn from_tiles(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.0.tile_segments), read(&self.0.tile_rows), read(&self.0.stood_for))
    }

    /// Stretches of segments and of the buffer that were answered from rows, and these rows.
    pub fn from_rows(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.0.row_segments), read(&self.0.rows))
    }
}

/// A switch that stops a question: hand a clone to whoever may turn it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

thread_local! {
    /// The switch of the request that this thread works on.
    static OF_THIS_THREAD: RefCell<Option<Cancel>> = const { RefCell::new(None) };
}

impl Cancel {
    /// Does `work`, all of whose questions this switch stops. They are asked on the thread that
    /// does the work, and carry the switch to the threads that help them.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Puts back what was there, also when the work panics.
        struct Back(Option<Cancel>);
        impl Drop for Back {
            fn drop(&mut self) {
                OF_THIS_THREAD.set(self.0.take());
            }
        }
        let _back = Back(OF_THIS_THREAD.replace(Some(self.clone())));
        work()
    }

    /// The switch of this thread; a fresh one if it has none.
    fn of_this_thread() -> Cancel {
        OF_THIS_THREAD.with_borrow(|cancel| cancel.clone().unwrap_or_default())
    }

    /// Stops the question at its next block of rows.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody did.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_or_late_question_stops() {
        let limits = Limits::standard();
        assert!(limits.check().is_ok());
        limits.clone().cancel.cancel();
        assert!(matches!(limits.check(), Err(QueryError::Cancelled)));
        let late = Limits::standard().within(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert!(matches!(late.check(), Err(QueryError::TimedOut)));
    }

    #[test]
    fn a_switch_stops_what_begins_while_it_is_there() {
        let cancel = Cancel::default();
        let inside = cancel.during(|| {
            let other = Cancel::default().during(Limits::standard);
            (Limits::standard(), other)
        });
        cancel.cancel();
        assert!(matches!(inside.0.check(), Err(QueryError::Cancelled)));
        assert!(inside.1.check().is_ok(), "the inner switch was another");
        assert!(Limits::standard().check().is_ok(), "and it is gone afterwards");
    }
}
