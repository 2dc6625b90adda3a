//! Who looks at alerts when their time comes.

use crate::Engine;
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether an alert is due.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at the alerts of an engine until it is dropped.
#[derive(Debug)]
pub struct AlertClock {
    stopping: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl AlertClock {
    /// Begins to look. Does not keep the engine alive.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(engine: &Arc<Engine>) -> std::io::Result<AlertClock> {
        let stopping = Arc::new((Mutex::new(false), Condvar::new()));
        let (engine, of_thread) = (Arc::downgrade(engine), Arc::clone(&stopping));
        let thread = std::thread::Builder::new()
            .name("alerts".to_owned())
            .spawn(move || run(&engine, &of_thread))?;
        Ok(AlertClock { stopping, thread: Some(thread) })
    }
}

fn run(engine: &Weak<Engine>, (stopping, wake): &(Mutex<bool>, Condvar)) {
    loop {
        let Some(engine) = engine.upgrade() else { return };
        engine.evaluate_due_alerts();
        drop(engine);
        let mut stopping = stopping.lock();
        if !*stopping {
            wake.wait_for(&mut stopping, LOOK);
        }
        if *stopping {
            return;
        }
    }
}

impl Drop for AlertClock {
    fn drop(&mut self) {
        *self.stopping.0.lock() = true;
        self.stopping.1.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that looks at alerts panicked");
        }
    }
}
