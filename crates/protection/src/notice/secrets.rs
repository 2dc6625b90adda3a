//! Secrets of targets: sealed under the key ring, and known by a mark.

use super::Notices;
use crate::grant::{PolicyHistory, Setting};
use crate::keys::{bytes_from_hex, hex};
use crate::records::RecordError;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The kind of record; the id is the mark.
const KIND: &str = "target_secret";
/// The purpose of the keys that seal and mark them.
const PURPOSE: &str = "target secret";
const BYTES_MAX: usize = 1_000;
const SECRETS_MAX: usize = 100;
/// A secret that no version of the policy ever named is forgotten after this long.
const UNUSED_FOR_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Why a secret was not kept. Carries nothing of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Not of a useful length.
    #[error(
        "a secret has 16 to {BYTES_MAX} characters on one line; make one with: openssl rand -base64 32"
    )]
    Form,
    /// As many are kept as may be.
    #[error(
        "{SECRETS_MAX} secrets are kept already; those that no target ever used go after a week"
    )]
    TooMany,
    /// The catalog failed.
    #[error(transparent)]
    Records(#[from] RecordError),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    at: i64,
    /// Hexadecimal, bound to the mark.
    sealed: String,
}

impl Notices {
    /// Keeps a secret and gives its mark, by which a target names it. It serves nobody until a
    /// target of the policy does.
    ///
    /// # Errors
    /// If it is too short or too long, too many are kept, or the catalog cannot be written.
    pub fn keep_secret(&self, secret: &str) -> Result<String, SecretError> {
        let is_one_line = !secret.chars().any(char::is_control);
        if !(16..=BYTES_MAX).contains(&secret.len()) || !is_one_line {
            return Err(SecretError::Form);
        }
        let mark = hex(&self.keys.mac_key(PURPOSE).sign(secret.as_bytes())[..8]);
        if self.forget_unused(&self.policies.history())? >= SECRETS_MAX {
            return Err(SecretError::TooMany);
        }
        let cipher = self.keys.record_cipher(PURPOSE);
        let sealed = hex(&cipher.seal_bound(mark.as_bytes(), secret.as_bytes()));
        let stored = Stored { at: self.clock.now().0, sealed };
        let bytes = serde_json::to_vec(&stored).expect("strings and numbers only");
        self.records.put(KIND, &mark, &bytes)?;
        Ok(mark)
    }

    /// Whether a secret with this mark is kept.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub fn has_secret(&self, mark: &str) -> Result<bool, RecordError> {
        Ok(self.secret(mark)?.is_some())
    }

    /// The secret with this mark; `None` if there is none, or it was changed.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub(super) fn secret(&self, mark: &str) -> Result<Option<Zeroizing<String>>, RecordError> {
        let found = self.records.list(KIND)?.into_iter().find(|(id, _)| id == mark);
        let opened = found.and_then(|(_, bytes)| {
            let stored: Stored = serde_json::from_slice(&bytes).ok()?;
            let sealed = bytes_from_hex(&stored.sealed, 4 * BYTES_MAX)?;
            let opened = self.keys.record_cipher(PURPOSE).open_bound(mark.as_bytes(), &sealed);
            String::from_utf8(opened.ok()?).ok().map(Zeroizing::new)
        });
        Ok(opened)
    }

    /// Forgets old secrets that no version of the policy ever named; gives how many are left.
    fn forget_unused(&self, history: &PolicyHistory) -> Result<usize, RecordError> {
        let now = self.clock.now().0;
        let mut left = 0;
        for (mark, bytes) in self.records.list(KIND)? {
            let at = serde_json::from_slice::<Stored>(&bytes).map_or(0, |stored| stored.at);
            let names = |entry: &String| entry.contains(&format!("secret={mark}"));
            let is_used = history
                .versions()
                .any(|(policy, ..)| policy.settings().entries(Setting::Notify).iter().any(names));
            if is_used || now.saturating_sub(at) < UNUSED_FOR_MS {
                left += 1;
            } else {
                self.records.delete(KIND, &mark)?;
            }
        }
        Ok(left)
    }
}
