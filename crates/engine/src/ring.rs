//! The key ring of a running node: what it holds, rotating its file key, destroying an old one.

use crate::error::chain;
use crate::{Engine, EngineError};
use model::Timestamp;
use protection::audit::{Event, EventKind};
use protection::caller::{Caller, PresenceProof};
use protection::grant::{Action as Right, Setting};
use protection::keys::{Family, Generation, KeyError, KmsKind};
use protection::notice::NoticeKind;
use zeroize::Zeroizing;

/// What may be known of a key ring.
#[derive(Clone, Debug)]
pub struct RingStatus {
    /// Its public name.
    pub id: String,
    /// What seals it.
    pub sealed_by: Option<KmsKind>,
    /// The living keys, by family and age; the last of each family is in use.
    pub generations: Vec<Generation>,
    /// Files of log and segments that are still under an older file key.
    pub files_under_older_keys: u64,
}

impl Engine {
    /// What the key ring holds.
    ///
    /// # Errors
    /// If the caller may not manage keys, or the disk fails.
    pub fn ring(&self, caller: &Caller) -> Result<RingStatus, EngineError> {
        self.may(caller, Right::ManageKeys, None)?;
        let generations = Family::ALL.iter().flat_map(|&family| self.keys.generations(family));
        Ok(RingStatus {
            id: self.keys.id(),
            sealed_by: self.keys.sealed_by(),
            generations: generations.collect(),
            files_under_older_keys: self.store.files_under_older_keys()?,
        })
    }

    /// Makes a next file key, which everything new is sealed under from now on, and gives its
    /// number. [`Engine::move_files`] then moves what is there.
    ///
    /// # Errors
    /// If the caller may not manage keys, or neither record nor ring can be written.
    pub fn rotate_file_key(&self, caller: &Caller) -> Result<u32, EngineError> {
        self.may(caller, Right::ManageKeys, None)?;
        self.record_ring(caller, "rotate file")?;
        let number = self.keys.rotate(Family::File, self.clock.now()).map_err(|e| failed(&e))?;
        tracing::info!(generation = number, "file key rotated");
        Ok(number)
    }

    /// Moves log and segments to the newest file key; gives how many files are left. Nothing to do
    /// costs a look at the head of each file. Resumable: the next start goes on.
    ///
    /// # Errors
    /// If the disk is full or fails; what was moved is moved.
    pub fn move_files(&self) -> Result<u64, EngineError> {
        if self.keys.generations(Family::File).len() < 2 {
            return Ok(0);
        }
        let _alone = self.moving_files.lock();
        let moved = self.store.move_to_newest_key()?;
        if moved.segments > 0 || moved.left > 0 {
            tracing::info!(moved = moved.segments, left = moved.left, "files moved to a new key");
        }
        Ok(moved.left)
    }

    /// Destroys an old file key. Backups from before the rotation are noise from then on.
    ///
    /// # Errors
    /// If the caller may not manage keys, the key is in use or not there, files are still under
    /// it, or neither record nor ring can be written.
    pub fn destroy_file_key(&self, caller: &Caller, generation: u32) -> Result<(), EngineError> {
        self.may(caller, Right::ManageKeys, None)?;
        let under_use = |left: u64| {
            let reason =
                format!("{left} files are still under an older key; try again in a minute");
            EngineError::new(409, "status_exception", reason)
        };
        let left = self.move_files()?;
        if left > 0 {
            return Err(under_use(left));
        }
        self.record_ring(caller, &format!("destroy file {generation}"))?;
        let is_unused = || self.store.files_under_older_keys().is_ok_and(|left| left == 0);
        let destroyed = self.keys.destroy_if(Family::File, generation, is_unused);
        if !destroyed.map_err(|error| failed(&error))? {
            return Err(under_use(1));
        }
        tracing::info!(generation, "file key destroyed");
        Ok(())
    }

    /// What a proof of presence for taking the keys out is about.
    pub fn presence_for_export(&self) -> &'static str {
        "key export"
    }

    /// The whole key ring under a passphrase, as a ring file: whoever has both reads every copy of
    /// the data folder. Only where two people agreed on the setting `key_export`; everybody is told.
    ///
    /// # Errors
    /// If that is not so, the caller may not manage keys or does not prove to be there, the
    /// passphrase is too short, or neither record nor notice can be written.
    pub fn export_ring(
        &self,
        caller: &Caller,
        passphrase: Zeroizing<String>,
        proof: PresenceProof,
    ) -> Result<String, EngineError> {
        self.may(caller, Right::ManageKeys, None)?;
        let now = self.clock.now();
        if !self.policies.current().settings().flag(Setting::KeyExport) {
            return Err(EngineError::forbidden(
                "keys do not leave this node; have two people agree: clerestory change set \
                 key_export true",
            ));
        }
        if !proof.covers(caller.name(), self.presence_for_export(), now) {
            return Err(EngineError::forbidden(
                "prove again that you are there, for this very step",
            ));
        }
        self.record_ring(caller, "export")?;
        let text = self.keys.export(passphrase).map_err(|error| match error {
            KeyError::PassphraseTooShort => EngineError::illegal_argument(error.to_string()),
            error => failed(&error),
        })?;
        let who = caller.name();
        let told = format!("{who} took the key ring out, under a passphrase");
        self.notices
            .raise(NoticeKind::KeysExported, who, told)
            .map_err(|error| EngineError::unavailable(error.to_string()))?;
        tracing::warn!("the key ring was taken out under a passphrase");
        Ok(text)
    }

    /// Durable before anything is changed.
    fn record_ring(&self, caller: &Caller, what: &str) -> Result<(), EngineError> {
        let mut event = Event::by(EventKind::KeyRingChanged, caller);
        event.policy = self.policies.version();
        event.subject = what.to_owned();
        event.outcome = "allowed".to_owned();
        self.record(&event)
    }

    /// Seals a small secret that is kept in a file, such as the private key of a certificate, so
    /// that it opens only as `name` and under this ring.
    pub fn seal_secret(&self, name: &str, secret: &[u8]) -> Vec<u8> {
        self.keys.record_cipher(SECRET_PURPOSE).seal_bound(name.as_bytes(), secret)
    }

    /// Opens what [`Engine::seal_secret`] sealed under the same name; `None` if it was changed, is
    /// another's or from another data folder.
    pub fn open_secret(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.keys.record_cipher(SECRET_PURPOSE).open_bound(name.as_bytes(), sealed).ok()
    }

    /// Now, by the clock of the node.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The purpose under which small secrets in files are sealed.
const SECRET_PURPOSE: &str = "secret file";

pub(crate) fn failed(error: &KeyError) -> EngineError {
    match error {
        KeyError::CurrentGeneration { .. } | KeyError::NoGeneration { .. } | KeyError::RingFull => {
            EngineError::illegal_argument(error.to_string())
        }
        KeyError::RingChanged(_) | KeyError::RingBusy(_) => {
            EngineError::new(409, "status_exception", error.to_string())
        }
        _ => {
            tracing::error!(cause = chain(error), "key ring not changed");
            EngineError::unavailable("the key ring cannot be written, so nothing is changed")
        }
    }
}
