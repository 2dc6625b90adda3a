//! The threads that flush, merge and rewrite behind the writers' backs.

use crate::StoreError;
use crate::store::{Inner, TableStore};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(200);
/// After a failure the next try waits so long, then twice as long, …
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// … up to this, because other tables wait too, …
const FLUSH_PAUSE_MAX: Duration = Duration::from_secs(5);
/// … or this: a merge over a damaged segment is not begun all the time.
const COMPACT_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Running threads.
pub(crate) struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn start(inner: &Arc<Inner>) -> Result<Workers, StoreError> {
        let flusher = spawn("flush", FLUSH_PAUSE_MAX, inner, |inner| {
            inner.tidy_points();
            inner.each_table("flush", |table| match inner.is_due(table) {
                true => inner.flush(table),
                false => Ok(()),
            })
        })?;
        let compactor = spawn("compact", COMPACT_PAUSE_MAX, inner, |inner| {
            let merged = inner.each_table("compact", |table| {
                while !inner.stopping.load(Ordering::Acquire) && inner.compact(table)? {
                    std::hint::spin_loop()
                }
                Ok(())
            });
            let rewritten = inner.each_table("rewrite", |table| {
                inner.flush_stale(table)?;
                while !inner.stopping.load(Ordering::Acquire) && inner.rewrite(table)? {
                    inner.compact(table)?;
                }
                Ok(())
            });
            let tiled = inner.each_table("tile", |table| {
                while !inner.stopping.load(Ordering::Acquire)
                    && inner.tile(table, inner.settings.tile_after)?
                {
                    inner.compact(table)?;
                }
                Ok(())
            });
            let forgotten =
                inner.forget_stale_log().inspect_err(|error| warn("forget the log", None, error));
            let purged = inner.purge_dropped().inspect_err(|error| warn("purge", None, error));
            merged && rewritten && tiled && forgotten.is_ok() && purged.is_ok()
        })?;
        Ok(Workers { threads: vec![flusher, compactor] })
    }

    /// Waits for them; `stopping` was set before.
    pub(crate) fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a storage thread panicked");
            }
        }
    }
}

/// `work` says whether all of it was done.
fn spawn(
    name: &'static str,
    pause_max: Duration,
    inner: &Arc<Inner>,
    work: impl Fn(&Inner) -> bool + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    let weak: Weak<Inner> = Arc::downgrade(inner);
    let run = move || {
        let mut pause = TICK;
        while let Some(inner) = weak.upgrade() {
            if inner.stopping.load(Ordering::Acquire) {
                return;
            }
            // A panic is a bug, but a store that silently flushes no more is worse: what was not
            // committed is done again, and the locks are free.
            let done = catch_unwind(AssertUnwindSafe(|| work(&inner))).unwrap_or_else(|_| {
                tracing::error!(work = name, "storage work panicked; it is tried again");
                false
            });
            pause = match done {
                true => TICK,
                false => (pause * 2).clamp(PAUSE_AFTER_FAILURE, pause_max),
            };
            let until = Instant::now() + pause;
            let mut guard = inner.wake_lock.lock();
            while !inner.stopping.load(Ordering::Acquire)
                && !inner.wake.wait_until(&mut guard, until).timed_out()
                && !done
            {
                std::hint::spin_loop()
            }
        }
    };
    Ok(std::thread::Builder::new().name(format!("clerestory-{name}")).spawn(run)?)
}

fn warn(work: &str, table: Option<u32>, error: &StoreError) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(table_id = table, %error, cause, work, "storage work failed");
}

impl Inner {
    /// Works on every table, also if it fails on one; says whether it failed on none.
    fn each_table(&self, name: &str, work: impl Fn(&TableStore) -> Result<(), StoreError>) -> bool {
        let mut all_done = true;
        for table in self.all() {
            if let Err(error) = work(&table) {
                warn(name, Some(table.state.lock().table.id.0), &error);
                all_done = false;
            }
        }
        all_done
    }

    fn is_due(&self, table: &TableStore) -> bool {
        let state = table.state.lock();
        let waited =
            state.oldest.is_some_and(|oldest| oldest.elapsed() >= self.settings.flush_after);
        state.buffer.rows() >= self.settings.flush_rows
            || state.buffer.bytes() >= self.settings.flush_bytes
            || (waited && !state.buffer.is_empty())
    }
}
