//! Backups: a running node is copied into a folder, as it is on the disk: sealed.
//!
//! ```text
//! TO/clerestory-backup          one line: which key ring's backup this is
//! TO/segments/KEY.ID.segment    each file once, whichever sets need it
//! TO/audit/NNNNNNNN.audit       the audit record, which only grows
//! TO/sets/NNNNNNNN/             one moment: catalog, key ring, …, and `set.json`, which says what
//!                               belongs to it, with `set.mac`
//! ```
//!
//! A set counts when its folder has its final name, which is the last step: a crash leaves the sets
//! before as they were. Nothing in it is readable without the root key of the ring.

mod make;
mod restore;
mod set;

pub use restore::{RestoreError, RestoreSettings, Restored, check_backup, restore};

use crate::Engine;
use crate::error::{EngineError, chain};
use make::Making;
use model::{Clock, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use protection::RecordStore;
use protection::audit::{AuditLog, Event, EventKind};
use protection::caller::Caller;
use protection::grant::{Action, Setting};
use protection::keys::KeyRing;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::Store;

/// The kind of the catalog's records of folders with backups; the id is the folder.
const RECORDS: &str = "backup";
/// The kind of the record that says which sets must go; there is one or none.
const EXPIRED: &str = "backup_expired";
const EXPIRED_ID: &str = "before";
/// So many sets of a folder are kept, if nobody says otherwise.
const SETS_KEPT: usize = 7;

/// A folder with backups, as the catalog keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    set: u64,
    made_at: i64,
    by: String,
    bytes: u64,
}

impl Engine {
    /// Copies the node as it is now into a folder that the policy names: what was copied before and
    /// did not change is not copied again. `keep` sets stay, the newest ones.
    ///
    /// # Errors
    /// If the caller may not manage keys, the policy does not name the folder, it is the backup of
    /// another node, or a disk fails: the sets of before are untouched then.
    pub fn back_up(
        &self,
        caller: &Caller,
        to: &str,
        keep: Option<usize>,
    ) -> Result<Json, EngineError> {
        self.may(caller, Action::ManageKeys, None)?;
        let named = self.policies.current().settings().entries(Setting::BackupTargets);
        if !named.contains(to) {
            let reason = format!(
                "[{}] is no folder for backups; it takes two people to make it one: \
                 clerestory change set backup_targets",
                to.escape_debug()
            );
            return Err(EngineError::forbidden(reason));
        }
        if keep == Some(0) {
            return Err(EngineError::illegal_argument("[keep] is how many sets stay, from 1"));
        }
        let event = |outcome: &str| Event {
            policy: self.policies.version(),
            subject: to.to_owned(),
            outcome: outcome.to_owned(),
            ..Event::by(EventKind::Backup, caller)
        };
        self.record(&event("begun"))?;
        let alone = self.backups.alone();
        let made = alone.make(Path::new(to), caller.name(), keep.unwrap_or(SETS_KEPT));
        let outcome = if made.is_ok() { "made" } else { "failed" };
        self.record(&event(outcome))?;
        made
    }

    /// The folders with backups of this node.
    ///
    /// # Errors
    /// If the caller may not manage keys, or the catalog cannot be read.
    pub fn known_backups(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may(caller, Action::ManageKeys, None)?;
        let shown = self.backups.known()?.into_iter().map(|(folder, known)| {
            json!({
                "folder": folder,
                "set": known.set,
                "made_at": Timestamp(known.made_at).to_rfc3339(),
                "made_by": known.by,
                "bytes": known.bytes,
            })
        });
        Ok(shown.collect())
    }
}

/// Makes backups, and cleans those that were made.
pub(crate) struct Backups {
    dir: PathBuf,
    store: Arc<Store>,
    keys: Arc<KeyRing>,
    audit: Arc<AuditLog>,
    clock: Arc<dyn Clock>,
    /// Held by whoever makes one or takes rows out of every file: a backup that is being made would
    /// carry them on.
    alone: Mutex<()>,
}

/// Nobody else makes a backup or takes rows out of files.
pub(crate) struct Alone<'a> {
    backups: &'a Backups,
    _alone: MutexGuard<'a, ()>,
}

/// What became of one folder when it was cleaned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cleaned {
    pub(crate) folder: String,
    /// `None`: everything from before is gone from it.
    pub(crate) not_reached: Option<String>,
}

/// Where a set of a backup notes what opens its ring: the folder of the newest, or of that number.
///
/// # Errors
/// If there is none.
pub fn folder_of_set(from: &Path, number: Option<u64>) -> Result<PathBuf, RestoreError> {
    let numbers = set::numbers(from).map_err(|_| RestoreError::NoBackup(from.to_owned()))?;
    match number.or(numbers.last().copied()).filter(|number| numbers.contains(number)) {
        Some(number) => Ok(set::folder_of(from, number)),
        None => {
            let all: Vec<String> = numbers.iter().map(u64::to_string).collect();
            Err(RestoreError::NoSet(number.unwrap_or(1), all.join(", ")))
        }
    }
}

impl Backups {
    pub(crate) fn new(
        dir: &Path,
        store: Arc<Store>,
        keys: Arc<KeyRing>,
        audit: Arc<AuditLog>,
        clock: Arc<dyn Clock>,
    ) -> Backups {
        Backups { dir: dir.to_owned(), store, keys, audit, clock, alone: Mutex::new(()) }
    }

    pub(crate) fn alone(&self) -> Alone<'_> {
        Alone { backups: self, _alone: self.alone.lock() }
    }

    fn records(&self) -> &dyn RecordStore {
        &**self.store.catalog()
    }

    fn known(&self) -> Result<Vec<(String, Known)>, EngineError> {
        let records = self.records().list(RECORDS).map_err(|error| unavailable(&error))?;
        let read = |(folder, bytes): (String, Vec<u8>)| {
            let known = serde_json::from_slice(&bytes)
                .map_err(|_| EngineError::internal("a record of a backup that does not read"))?;
            Ok((folder, known))
        };
        records.into_iter().map(read).collect()
    }

    /// Sets from before this moment go with the next backup into their folder.
    fn expired_before(&self) -> Result<i64, EngineError> {
        let records = self.records().list(EXPIRED).map_err(|error| unavailable(&error))?;
        let newest = records.first().and_then(|(_, bytes)| serde_json::from_slice(bytes).ok());
        Ok(newest.unwrap_or(i64::MIN))
    }

    /// From now on no set that is there may stay: it holds what had to be forgotten. Each goes with
    /// the next backup into its folder.
    pub(crate) fn expire_all(&self) -> Result<(), EngineError> {
        let newest = self.known()?.iter().map(|(_, known)| known.made_at).max();
        let before = self.clock.now().0.max(newest.unwrap_or(i64::MIN)).to_string();
        let put = self.records().put(EXPIRED, EXPIRED_ID, before.as_bytes());
        put.map_err(|error| unavailable(&error))
    }
}

impl Alone<'_> {
    /// Makes a set in `to`, then lets older ones go.
    fn make(&self, to: &Path, by: &str, keep: usize) -> Result<Json, EngineError> {
        let Backups { dir, store, keys, audit, clock, .. } = self.backups;
        // Later than what expired, so that it does not go with the next one.
        let expired = self.backups.expired_before()?;
        let now = Timestamp(clock.now().0.max(expired.saturating_add(1)));
        let making = Making { dir, store, keys, audit, now };
        let (set, copied) = making.make(to)?;
        let known =
            Known { set: set.number, made_at: set.made_at, by: by.to_owned(), bytes: set.bytes() };
        let bytes = serde_json::to_vec(&known).expect("text and numbers are always JSON");
        let folder = to.to_string_lossy().into_owned();
        let put = self.backups.records().put(RECORDS, &folder, &bytes);
        put.map_err(|error| unavailable(&error))?;
        let left = making.let_go(to, keep, expired)?;
        tracing::info!(set = set.number, bytes = set.bytes(), copied, "backup made");
        Ok(json!({
            "folder": folder,
            "set": set.number,
            "made_at": Timestamp(set.made_at).to_rfc3339(),
            "segments": set.segments.len(),
            "bytes": set.bytes(),
            "bytes_copied": copied,
            "sets": left,
        }))
    }

    /// Takes what is in no file of the node any more out of all known backups: each gets a new set,
    /// and loses all others with the files that only those needed.
    pub(crate) fn clean(&self) -> Result<Vec<Cleaned>, EngineError> {
        self.backups.expire_all()?;
        let mut cleaned = Vec::new();
        for (folder, known) in self.backups.known()? {
            // A folder that is not there may be a disk that is not plugged in: it is not made.
            let path = Path::new(&folder);
            let done = match set::is_backup(path) {
                true => self.make(path, &known.by, 1).map(drop),
                false => Err(EngineError::unavailable("the folder is not there")),
            };
            let not_reached = done.err().map(|error| {
                tracing::warn!(%error, detail = error.detail, "a backup was not reached");
                error.reason
            });
            cleaned.push(Cleaned { folder, not_reached });
        }
        Ok(cleaned)
    }
}

fn unavailable(error: &protection::RecordError) -> EngineError {
    tracing::error!(cause = chain(error), "the catalog of backups failed");
    EngineError::unavailable("the catalog cannot be read or written; check its disk")
}

#[cfg(test)]
mod tests;
