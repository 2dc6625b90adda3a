//! Rotation: all pseudonyms and tags get a new key, behind readers and writers.
//!
//! What is under way is seen from what there is, so that a crash at any step changes nothing: the
//! catalog names the epoch that is being made, a segment with a shadow is renewed, and a ring with
//! a key of an epoch before the store's has one to destroy.

use crate::Engine;
use crate::alert::Alerts;
use crate::backup::Backups;
use crate::error::{EngineError, chain};
use crate::metric::Metrics;
use crate::saved::SavedObjects;
use model::Clock;
use parking_lot::{Condvar, Mutex, RwLock};
use protection::Renewal;
use protection::audit::{AuditLog, Event, EventKind};
use protection::caller::Caller;
use protection::grant::{Action, Policies, Renewing};
use protection::keys::{Family, KeyRing};
use query::TileSmith;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use storage::{Store, StoreError};

/// How often the rotator looks whether something is left to do.
const LOOK: Duration = Duration::from_secs(5);

impl Engine {
    /// Begins to move all pseudonyms and tags to a key of their own age; the background carries it
    /// out, and destroys the old key at the end. Answers as [`Engine::rotation`].
    ///
    /// # Errors
    /// If the caller may not manage keys, a rotation is under way, or record, ring or catalog cannot
    /// be written.
    pub fn rotate_pseudonyms(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may(caller, Action::ManageKeys, None)?;
        self.rotator.begin(caller, self.policies.version())?;
        self.rotator.status()
    }

    /// Which epoch the pseudonyms are of, and how far the next one is.
    ///
    /// # Errors
    /// If the caller may not manage keys, or the catalog cannot be read.
    pub fn rotation(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may(caller, Action::ManageKeys, None)?;
        self.rotator.status()
    }
}

/// What is in memory of records of the catalog that may name persons.
pub(crate) struct Declared {
    pub(crate) metrics: Arc<RwLock<Metrics>>,
    pub(crate) saved: Arc<RwLock<SavedObjects>>,
    pub(crate) alerts: Arc<RwLock<Alerts>>,
    pub(crate) tiles: Arc<TileSmith>,
}

/// Carries rotations out.
pub(crate) struct Rotator {
    store: Arc<Store>,
    keys: Arc<KeyRing>,
    policies: Arc<Policies>,
    audit: Arc<AuditLog>,
    clock: Arc<dyn Clock>,
    declared: Declared,
    backups: Arc<Backups>,
    /// Held by whoever begins a rotation or goes on with one.
    working: Mutex<()>,
    stopping: Mutex<bool>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A rotator whose thread ends with it.
pub(crate) struct RunningRotator(Arc<Rotator>);

impl std::ops::Deref for RunningRotator {
    type Target = Rotator;

    fn deref(&self) -> &Rotator {
        &self.0
    }
}

impl Drop for RunningRotator {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Rotator {
    /// Goes on with what is under way, if anything is.
    pub(crate) fn start(
        store: Arc<Store>,
        keys: Arc<KeyRing>,
        policies: Arc<Policies>,
        audit: Arc<AuditLog>,
        clock: Arc<dyn Clock>,
        declared: Declared,
        backups: Arc<Backups>,
    ) -> std::io::Result<RunningRotator> {
        let rotator = Arc::new(Rotator {
            store,
            keys,
            policies,
            audit,
            clock,
            declared,
            backups,
            working: Mutex::new(()),
            stopping: Mutex::new(false),
            wake: Condvar::new(),
            thread: Mutex::new(None),
        });
        let of_thread = Arc::clone(&rotator);
        let thread = std::thread::Builder::new()
            .name("clerestory-rotate".to_owned())
            .spawn(move || of_thread.run())?;
        *rotator.thread.lock() = Some(thread);
        Ok(RunningRotator(rotator))
    }

    /// Ends the thread; what was under way goes on at the next start.
    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.wake.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that rotates panicked");
        }
    }

    fn run(&self) {
        let mut stopping = self.stopping.lock();
        while !*stopping {
            drop(stopping);
            if let Err(error) = self.go_on() {
                let detail = error.detail.as_deref();
                tracing::warn!(%error, detail, "rotation not finished; it is tried again");
            }
            stopping = self.stopping.lock();
            if !*stopping {
                self.wake.wait_for(&mut stopping, LOOK);
            }
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.lock()
    }

    fn begin(&self, caller: &Caller, policy: u64) -> Result<(), EngineError> {
        let running = || {
            let reason =
                "a rotation is under way; `clerestory rotate --status` shows how far it is";
            EngineError::new(409, "status_exception", reason)
        };
        if self.store.next_epoch()?.is_some() || !self.older_epochs().is_empty() {
            return Err(running());
        }
        let _working = self.working.lock();
        let from = self.store.epoch();
        if self.store.next_epoch()?.is_some() {
            return Err(running());
        }
        self.record(&Event {
            policy,
            subject: format!("pseudonyms of epoch {from}"),
            outcome: "begun".to_owned(),
            ..Event::by(EventKind::Rotation, caller)
        })?;
        // A crash after the key was made leaves one that nothing is under yet.
        let newest = self.keys.generations(Family::Pseudonym).last().map(|key| key.number);
        let next = match newest.filter(|newest| *newest > from) {
            Some(unused) => unused,
            None => {
                let made = self.keys.rotate(Family::Pseudonym, self.clock.now());
                made.map_err(|error| crate::ring::failed(&error))?
            }
        };
        self.store.begin_epoch(next)?;
        tracing::info!(from, next, "rotation of pseudonyms begun");
        self.wake.notify_all();
        Ok(())
    }

    /// Does what is to be done now.
    fn go_on(&self) -> Result<(), EngineError> {
        let _working = self.working.lock();
        if let Some(next) = self.store.next_epoch()? {
            self.renew(next)?;
        }
        self.finish()
    }

    fn renew(&self, next: u32) -> Result<(), EngineError> {
        let from = self.store.epoch();
        let renewal = Renewal::between(&self.keys, from, next).ok_or_else(|| {
            EngineError::internal("a rotation without its keys; open the folder with its own ring")
        })?;
        // The rows of the moment the last ones are renewed in are few: writers wait for those.
        for _ in 0..2 {
            while self.store.renew_one(&renewal)? {
                if self.is_stopping() {
                    return Ok(());
                }
            }
            self.store.flush()?;
        }
        let own = self.own_kinds();
        let ready = || self.renew_policy(&renewal, &own, Renewing::Both);
        if self.store.begin_next_epoch(&renewal, &ready)? {
            self.read_anew()?;
            tracing::info!(epoch = next, "pseudonyms are of the next epoch");
        }
        Ok(())
    }

    /// What is in memory of records that name persons. None is written between reading and putting
    /// in place.
    fn read_anew(&self) -> Result<(), EngineError> {
        let records = &**self.store.catalog();
        let mut metrics = self.declared.metrics.write();
        *metrics = Metrics::load(records).map_err(EngineError::internal)?;
        let mut saved = self.declared.saved.write();
        *saved = SavedObjects::load(records).map_err(EngineError::internal)?;
        let mut alerts = self.declared.alerts.write();
        *alerts = Alerts::load(records).map_err(|error| EngineError::internal(chain(&error)))?;
        drop((metrics, saved, alerts));
        // Tiles are kept under keys with literals in them.
        self.declared.tiles.forget();
        self.store.tiles_changed();
        Ok(())
    }

    /// Once no file has anything of an epoch before, destroys its key.
    fn finish(&self) -> Result<(), EngineError> {
        let epoch = self.store.epoch();
        let older = self.older_epochs();
        if older.is_empty() {
            return Ok(());
        }
        for &old in &older {
            if let Some(renewal) = Renewal::between(&self.keys, old, epoch) {
                self.renew_policy(&renewal, &self.own_kinds(), Renewing::New)?;
            }
        }
        self.store.forget_stale_log()?;
        if self.store.holds_older_epochs()? {
            return Ok(());
        }
        // A set from before has the old key in its ring; it goes with the next backup.
        self.backups.expire_all()?;
        for old in older {
            self.record(&Event {
                subject: format!("pseudonyms of epoch {old}"),
                outcome: "key destroyed".to_owned(),
                ..Event::new(EventKind::Rotation)
            })?;
            let destroyed = self.keys.destroy(Family::Pseudonym, old);
            destroyed.map_err(|error| crate::ring::failed(&error))?;
            tracing::info!(epoch = old, "key of pseudonyms destroyed");
        }
        Ok(())
    }

    /// The kinds of personal values that fields have now.
    fn own_kinds(&self) -> Vec<String> {
        let tables = self.store.tables();
        let fields = tables.iter().flat_map(|table| table.schema.fields());
        fields.map(|field| field.kind.clone()).filter(|kind| !kind.is_empty()).collect()
    }

    fn renew_policy(
        &self,
        renewal: &Renewal,
        own: &[String],
        how: Renewing,
    ) -> Result<(), StoreError> {
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let renewed = self.policies.renew_rows(renewal, &own, how, self.clock.now());
        renewed.map_err(StoreError::Records)
    }

    fn older_epochs(&self) -> Vec<u32> {
        let epoch = self.store.epoch();
        let generations = self.keys.generations(Family::Pseudonym);
        generations.iter().map(|key| key.number).filter(|number| *number < epoch).collect()
    }

    fn record(&self, event: &Event) -> Result<(), EngineError> {
        self.audit.append_durable(event).map(drop).map_err(|error| {
            tracing::error!(cause = chain(&error), "audit record not written");
            EngineError::unavailable("the audit record cannot be written, so nothing is changed")
        })
    }

    fn status(&self) -> Result<Json, EngineError> {
        let progress = self.store.epoch_progress()?;
        let state = match (progress.next, self.older_epochs().is_empty()) {
            (Some(_), _) => "renewing",
            (None, false) => "destroying the old key",
            (None, true) => "done",
        };
        Ok(json!({
            "state": state,
            "epoch": progress.epoch,
            "next_epoch": progress.next,
            "rows": progress.rows,
            "rows_renewed": progress.renewed,
        }))
    }
}

#[cfg(test)]
mod tests;
