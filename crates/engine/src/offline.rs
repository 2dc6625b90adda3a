//! What can be asked of a data folder that no server has open.

use crate::open::OpenError;
use protection::audit::{self, ClockStep, Expected};
use protection::keys::{KeyRing, Unlock};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a check of the audit record found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCheck {
    /// So many records hold together, from the first on.
    pub records: u64,
    /// Over so many of them there is a signature.
    pub signed: u64,
    /// A crash left an unfinished write at the end, which nobody was told is durable.
    pub unfinished_tail: bool,
    /// The first record that was changed, moved, taken away or replaced, in words; `None`: it is
    /// whole.
    pub problem: Option<String>,
    /// Where the clock went back, in words.
    pub clock_steps: Vec<String>,
    /// The root of the hash tree over all records, in hexadecimal.
    pub root: String,
}

/// What the audit record of a data folder has to agree with.
#[derive(Clone, Debug, Default)]
pub struct AuditEvidence {
    /// Folders that hold a copy of the record.
    pub copies: Vec<PathBuf>,
    /// Checkpoints that were kept elsewhere, as notes.
    pub checkpoints: Vec<String>,
}

/// Whether the key ring of a data folder opens.
///
/// # Errors
/// If it does not, with the reason.
pub fn check_key_ring(dir: &Path, unlock: &Unlock) -> Result<(), OpenError> {
    open_ring(dir, unlock).map(|_| ())
}

/// Seals the key ring of a data folder under another keeper. A server that has the folder open
/// goes on; it must be restarted before it can rotate or destroy keys.
///
/// # Errors
/// If the ring does not open with `unlock`, the new keeper does not wrap, or the ring file cannot
/// be written; the former keeper then stays.
pub fn rewrap_key_ring(dir: &Path, unlock: &Unlock, to: &Unlock) -> Result<(), OpenError> {
    Ok(open_ring(dir, unlock)?.rewrap(to, dir)?)
}

/// Has the keeper of the key ring wrap its root key by the newest version of the keeper's own key;
/// gives whether it has versions.
///
/// # Errors
/// As [`rewrap_key_ring`].
pub fn refresh_key_ring(dir: &Path, unlock: &Unlock) -> Result<bool, OpenError> {
    Ok(open_ring(dir, unlock)?.refresh(unlock, dir)?)
}

/// Checks the whole audit record of a data folder: every frame, the hash tree, every signature,
/// that its end was not cut off, and that it agrees with what is kept elsewhere. No server may
/// have it open.
///
/// # Errors
/// If the key ring does not open, there is no record at all, or a file cannot be read.
pub fn verify_audit(
    dir: &Path,
    unlock: &Unlock,
    evidence: &AuditEvidence,
) -> Result<AuditCheck, OpenError> {
    let ring = open_ring(dir, unlock)?;
    let own = dir.join("audit");
    let mut problem = None;
    let mut expected = Vec::new();
    for note in &evidence.checkpoints {
        match audit::checkpoint_of(note, &ring) {
            Some(checkpoint) => expected.push(Expected::from(&checkpoint)),
            None => problem = Some("a checkpoint is not signed by this data folder's key".into()),
        }
    }
    let witnessed = expected.clone();
    for copy in &evidence.copies {
        let found = audit::verify(copy, &own, &ring, &witnessed)?;
        if let Some(found) = found.problem {
            problem.get_or_insert_with(|| format!("{}: {found}", copy.display()));
        }
        expected.push(Expected { size: found.records, root: found.root });
    }
    let found = audit::verify(&own, &own, &ring, &expected)?;
    let step = |step: &ClockStep| {
        format!("record {}: the clock went back from {} to {}", step.record, step.from, step.to)
    };
    Ok(AuditCheck {
        records: found.records,
        signed: found.signed,
        unfinished_tail: found.unfinished_tail,
        problem: found.problem.map(|problem| problem.to_string()).or(problem),
        clock_steps: found.clock_steps.iter().map(step).collect(),
        root: found.root.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// Reads the catalog and every byte of every segment of a data folder. No server may have it open.
///
/// # Errors
/// If the key ring or the catalog does not open.
pub fn verify_store(dir: &Path, unlock: &Unlock) -> Result<storage::Verified, OpenError> {
    let keys = Arc::new(open_ring(dir, unlock)?);
    let disk = Arc::new(storage::disk::RealDisk);
    let settings = storage::StoreSettings::new(dir, disk, keys, Arc::new(model::SystemClock));
    Ok(storage::verify(&settings)?)
}

fn open_ring(dir: &Path, unlock: &Unlock) -> Result<KeyRing, OpenError> {
    let file = dir.join("keyring");
    if !file.try_exists()? {
        return Err(OpenError::NotInitialised(dir.to_owned()));
    }
    Ok(KeyRing::open(&file, unlock, dir)?)
}
