use super::frame::{Entry, scan};
use super::{AuditError, AuditFilter, Event, Record, RecordId, files_of, io_error};
use crate::keys::KeyRing;
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
        let mut too_new = None;
        let mut each = |entry: Entry<'_>, _| {
            let Entry::Record { number, at, payload } = entry else { return };
            let id = RecordId(number);
            match Event::from_payload(payload) {
                _ if number > durable => {}
                None => too_new = too_new.or(Some(id)),
                Some(event) => {
                    let record = Record { id, at, event };
                    if filter.matches(&record) {
                        found.push(record);
                    }
                }
            }
        };
        let scan =
            scan(&path, ring, &mut each).map_err(|source| io_error("read", &path, source))?;
        if let Some(fault) = scan.fault
            // The end of the last file may just be being written.
            && !(fault.is_tail && (durable != u64::MAX && scan.chain.count >= durable))
        {
            return Err(AuditError::Damaged(fault.problem));
        }
        if let Some(id) = too_new {
            return Err(AuditError::TooNew(id));
        }
        newest_first.extend(found.into_iter().rev());
    }
    newest_first.truncate(filter.limit);
    Ok(newest_first)
}
