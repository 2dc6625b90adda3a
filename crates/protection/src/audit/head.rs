use super::checkpoint::Checkpoint;
use super::frame::{file_name, origin};
use super::{AuditError, Problem, ProblemKind};
use crate::keys::{KeyRing, replace};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The head file of the audit folder `dir`: beside it, so that it outlives the folder.
pub(super) fn path_of(dir: &Path) -> PathBuf {
    dir.with_extension("head")
}

/// The last signed checkpoint; `None` if there is no head file.
pub(super) fn read(dir: &Path, ring: &KeyRing) -> Result<Option<Checkpoint>, AuditError> {
    let path = path_of(dir);
    match fs::read(&path) {
        Ok(bytes) => parse(&bytes, ring).map(Some).map_err(|kind| {
            AuditError::Damaged(Problem { file: file_name(&path), record: 0, kind })
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuditError::Io { doing: "read", path, source }),
    }
}

/// The checkpoint of a note that this ring signed.
pub(super) fn parse(note: &[u8], ring: &KeyRing) -> Result<Checkpoint, ProblemKind> {
    let note = std::str::from_utf8(note).map_err(|_| ProblemKind::Changed)?;
    let origin = origin(ring);
    match super::checkpoint::origin_of(note) {
        Some(found) if found != origin && found.len() == origin.len() => {
            Err(ProblemKind::ForeignKey)
        }
        _ => {
            Checkpoint::from_note(note, &origin, &ring.verifying_keys()).ok_or(ProblemKind::Changed)
        }
    }
}

/// Replaces the head file durably.
pub(super) fn write(dir: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    replace(&path_of(dir), checkpoint.to_note().as_bytes())
}
