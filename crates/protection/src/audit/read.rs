use super::frame::{self, Entry};
use super::{AuditError, AuditFilter, Event, Record, RecordId, files_of, io_error};
use crate::keys::KeyRing;
use model::Timestamp;
use std::path::Path;

/// The newest records in `dir` that match, newest first. For a folder that no server has open.
///
/// # Errors
/// If a file cannot be read or was changed.
pub fn read(dir: &Path, ring: &KeyRing, filter: &AuditFilter) -> Result<Vec<Record>, AuditError> {
    read_up_to(dir, ring, filter, u64::MAX)
}

/// As [`read()`], without the records behind number `durable`.
pub(super) fn read_up_to(
    dir: &Path,
    ring: &KeyRing,
    filter: &AuditFilter,
    durable: u64,
) -> Result<Vec<Record>, AuditError> {
    let mut newest_first = Vec::new();
    for (_, path) in files_of(dir)?.into_iter().rev() {
        if newest_first.len() >= filter.limit {
            break;
        }
        let mut found = Vec::new();
        read_file(&path, ring, durable, &mut |record| {
            if filter.matches(&record) {
                found.push(record);
            }
        })?;
        newest_first.extend(found.into_iter().rev());
    }
    newest_first.truncate(filter.limit);
    Ok(newest_first)
}

/// Every record up to number `durable`, oldest first. Files that hold nothing as late as `since`
/// are left out.
pub(super) fn walk(
    dir: &Path,
    ring: &KeyRing,
    since: Timestamp,
    durable: u64,
    each: &mut dyn FnMut(Record),
) -> Result<(), AuditError> {
    let mut files = Vec::new();
    for (_, path) in files_of(dir)?.into_iter().rev() {
        let start = frame::read_start(&path, ring);
        let start = start.map_err(|source| io_error("read", &path, source))?;
        files.push(path);
        // No record before this file is later than what its header says.
        if start.is_some_and(|start| start.latest < since) {
            break;
        }
    }
    files.iter().rev().try_for_each(|path| read_file(path, ring, durable, each))
}

fn read_file(
    path: &Path,
    ring: &KeyRing,
    durable: u64,
    each: &mut dyn FnMut(Record),
) -> Result<(), AuditError> {
    let mut too_new = None;
    let scan = frame::scan(path, ring, &mut |entry, _| {
        let Entry::Record { number, at, payload, .. } = entry else { return };
        let id = RecordId(number);
        if number > durable {
            return;
        }
        match Event::from_payload(payload) {
            Some(event) => each(Record { id, at, event }),
            None => too_new = too_new.or(Some(id)),
        }
    });
    let scan = scan.map_err(|source| io_error("read", path, source))?;
    if let Some(fault) = scan.fault
        // The end of the last file may just be being written.
        && !(fault.is_tail && (durable != u64::MAX && scan.state.size() >= durable))
    {
        return Err(AuditError::Damaged(fault.problem));
    }
    too_new.map_or(Ok(()), |id| Err(AuditError::TooNew(id)))
}
