//! The threads that flush and compact behind the writers' backs.

use crate::StoreError;
use crate::store::Inner;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(200);
/// After a failure the next try waits; a full disk is not asked five times a second.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Running threads.
pub(crate) struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn start(inner: &Arc<Inner>) -> Result<Workers, StoreError> {
        let flusher = spawn("flush", inner, |inner| inner.flush_what_is_due())?;
        let compactor = spawn("compact", inner, |inner| {
            for table in inner.all() {
                while !inner.stopping.load(Ordering::Acquire) && inner.compact(&table)? {}
            }
            inner.purge_dropped()
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

fn spawn(
    name: &'static str,
    inner: &Arc<Inner>,
    work: impl Fn(&Inner) -> Result<(), StoreError> + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    let weak: Weak<Inner> = Arc::downgrade(inner);
    let run = move || {
        while let Some(inner) = weak.upgrade() {
            if inner.stopping.load(Ordering::Acquire) {
                return;
            }
            let mut pause = TICK;
            if let Err(error) = work(&inner) {
                tracing::warn!(%error, cause = source(&error), work = name, "storage work failed");
                pause = PAUSE_AFTER_FAILURE;
            }
            let mut guard = inner.wake_lock.lock();
            if !inner.stopping.load(Ordering::Acquire) {
                inner.wake.wait_for(&mut guard, pause);
            }
        }
    };
    Ok(std::thread::Builder::new().name(format!("clerestory-{name}")).spawn(run)?)
}

fn source(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(String::new, |cause| cause.to_string())
}

impl Inner {
    fn flush_what_is_due(&self) -> Result<(), StoreError> {
        for table in self.all() {
            let due = {
                let state = table.state.lock();
                let waited = state
                    .oldest
                    .is_some_and(|oldest| oldest.elapsed() >= self.settings.flush_after);
                state.buffer.rows() >= self.settings.flush_rows
                    || state.buffer.bytes() >= self.settings.flush_bytes
                    || (waited && !state.buffer.is_empty())
            };
            if due {
                self.flush(&table)?;
            }
        }
        Ok(())
    }
}
