use super::frame::{Checkpoint, take};
use super::{AuditError, Problem, ProblemKind};
use crate::keys::{KeyRing, replace};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 5] = *b"CLSH\x01";
const BYTES: usize = MAGIC.len() + 32 + Checkpoint::BYTES;

/// The head file of the audit folder `dir`: beside it, so that it outlives the folder.
pub(super) fn path_of(dir: &Path) -> PathBuf {
    dir.with_extension("head")
}

/// The last signed checkpoint; `None` if there is no head file.
pub(super) fn read(dir: &Path, ring: &KeyRing) -> Result<Option<Checkpoint>, AuditError> {
    let path = path_of(dir);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AuditError::Io { doing: "read", path, source }),
    };
    let problem = |kind| {
        AuditError::Damaged(Problem { file: super::frame::file_name(&path), record: 0, kind })
    };
    let mut rest = bytes.as_slice();
    let mut parse = || -> Option<([u8; 32], Checkpoint)> {
        let magic: [u8; MAGIC.len()] = take(&mut rest)?;
        let ring_id = take(&mut rest)?;
        let checkpoint = Checkpoint::read(&mut rest)?;
        (magic == MAGIC && rest.is_empty()).then_some((ring_id, checkpoint))
    };
    let (ring_id, checkpoint) = parse().ok_or_else(|| problem(ProblemKind::Changed))?;
    if ring_id != *ring.id().as_bytes() {
        return Err(problem(ProblemKind::ForeignKey));
    }
    if !checkpoint.is_signed_by(&ring.verifying_key()) {
        return Err(problem(ProblemKind::Changed));
    }
    Ok(Some(checkpoint))
}

/// Replaces the head file durably.
pub(super) fn write(dir: &Path, ring: &KeyRing, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(ring.id().as_bytes());
    checkpoint.write(&mut bytes);
    replace(&path_of(dir), &bytes)
}
