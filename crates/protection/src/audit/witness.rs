//! A witness elsewhere: it signs a checkpoint only if it agrees with the last one it saw.

use super::checkpoint::{self, Checkpoint};
use super::merkle::{Hash, is_consistent};
use crate::keys::{SigningKey, VerifyingKey};
use aws_lc_rs::rand;
use model::Timestamp;
use std::fmt;
use zeroize::Zeroizing;

/// Signs checkpoints of one record, under its own name.
pub struct Witness {
    name: String,
    key: SigningKey,
    /// Whose checkpoints, and their key.
    origin: String,
    verifier: VerifyingKey,
}

/// Why a witness did not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// Not a note of this record, or its signature is not right.
    #[error("the checkpoint is not signed by the key of {0}")]
    NotSigned(String),
    /// There are fewer records than there were.
    #[error(
        "the record went back from {before} to {now} records: something was cut off, or an older copy was put back; keep both checkpoints as evidence"
    )]
    WentBack {
        /// In the checkpoint that was seen before.
        before: u64,
        /// In this one.
        now: u64,
    },
    /// The records that were seen before are not the beginning of those of now.
    #[error(
        "the record is not the one that was seen before: its first {0} records are others now; keep both checkpoints as evidence"
    )]
    Forked(u64),
    /// The clock of the record stands before that of the last checkpoint.
    #[error("the checkpoint is older than the one before: its clock went back to {0}")]
    ClockBack(Timestamp),
    /// The clock of the witness is wrong.
    #[error("the witness's clock stands before 1970; set it right")]
    Clock,
}

impl Witness {
    /// A witness called `name` for the record that signs as `origin` with `verifier`.
    pub fn new(name: &str, seed: &[u8; 32], origin: &str, verifier: VerifyingKey) -> Witness {
        let (name, origin) = (name.to_owned(), origin.to_owned());
        Witness { name, key: SigningKey::from_seed(seed), origin, verifier }
    }

    /// A seed for a new one.
    pub fn new_seed() -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; 32]);
        rand::fill(seed.as_mut_slice()).expect("the system gives random bytes");
        seed
    }

    /// The public half of its key.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// The checkpoint of a note, if the record signed it.
    ///
    /// # Errors
    /// [`WitnessError::NotSigned`].
    pub fn read(&self, note: &str) -> Result<Checkpoint, WitnessError> {
        Checkpoint::from_note(note, &self.origin, &[self.verifier])
            .ok_or_else(|| WitnessError::NotSigned(self.origin.clone()))
    }

    /// The note with the witness's signature under it, if it agrees with the checkpoint that was
    /// signed last; `proof` shows that.
    ///
    /// # Errors
    /// [`WitnessError`]: the record contradicts itself. The last checkpoint is the evidence.
    pub fn cosign(
        &self,
        last: Option<&Checkpoint>,
        note: &str,
        proof: &[Hash],
        now: Timestamp,
    ) -> Result<String, WitnessError> {
        let new = self.read(note)?;
        if let Some(last) = last {
            if new.size < last.size {
                return Err(WitnessError::WentBack { before: last.size, now: new.size });
            }
            if !is_consistent((last.size, &last.root), (new.size, &new.root), proof) {
                return Err(WitnessError::Forked(last.size));
            }
            if new.at.0 < last.at.0.saturating_sub(super::writer::CLOCK_BACK_MS_MAX) {
                return Err(WitnessError::ClockBack(new.at));
            }
        }
        let own = new.to_note();
        let line = checkpoint::cosignature(&own, &self.name, &self.key, now);
        Ok(own + &line.ok_or(WitnessError::Clock)?)
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Witness({} of {})", self.name, self.origin)
    }
}
