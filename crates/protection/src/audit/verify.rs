use super::frame::{Chain, Entry, file_name, scan};
use super::{AuditError, Problem, ProblemKind, files_of, head, io_error, path_of};
use crate::keys::KeyRing;
use std::path::{Path, PathBuf};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// So many records hold together, from the first on.
    pub records: u64,
    /// In so many files.
    pub files: u32,
    /// So many signed checkpoints agree with them.
    pub checkpoints: u64,
    /// The last checkpoint in the head file is over so many records.
    pub signed: u64,
    /// A crash left an unfinished write at the end, which nobody was told is durable.
    pub unfinished_tail: bool,
    /// The first problem; `None`: the record is intact.
    pub problem: Option<Problem>,
    /// The public key of the signatures, in hexadecimal.
    pub signed_by: String,
}

impl Verification {
    /// Whether nothing was changed, taken out, moved or cut off.
    pub fn is_intact(&self) -> bool {
        self.problem.is_none()
    }
}

/// Checks the whole record in `dir`: every frame, the chain over all records, every signature,
/// and that the last signed checkpoint is reached. No server may have it open.
///
/// # Errors
/// If there is no record at all or a file cannot be read. A record that was tampered with is not
/// an error but [`Verification::problem`].
pub fn verify(dir: &Path, ring: &KeyRing) -> Result<Verification, AuditError> {
    let mut verification = Verification {
        records: 0,
        files: 0,
        checkpoints: 0,
        signed: 0,
        unfinished_tail: false,
        problem: None,
        signed_by: ring.verifying_key().to_hex(),
    };
    let files = files_of(dir)?;
    let head = match head::read(dir, ring) {
        Ok(head) => head.map(|head| head.chain),
        Err(AuditError::Damaged(problem)) => {
            verification.problem = Some(problem);
            return Ok(verification);
        }
        Err(error) => return Err(error),
    };
    if files.is_empty() && head.is_none() {
        return Err(AuditError::NoRecord(dir.to_owned()));
    }
    verification.signed = head.map_or(0, |head| head.count);
    verification.problem = first_problem(dir, ring, &files, head, &mut verification)?;
    Ok(verification)
}

fn first_problem(
    dir: &Path,
    ring: &KeyRing,
    files: &[(u32, PathBuf)],
    head: Option<Chain>,
    seen: &mut Verification,
) -> Result<Option<Problem>, AuditError> {
    let mut chain = Chain::genesis(ring);
    let mut before: Option<&Path> = None;
    for (position, (number, path)) in files.iter().enumerate() {
        let expected = position as u32 + 1;
        if *number != expected {
            return Ok(problem(&path_of(dir, expected), chain.count + 1, ProblemKind::Missing));
        }
        let mut walk = Walk { ring, head, wrong: None, checkpoints: 0 };
        let scanned = scan(path, ring, &mut |entry, chain| walk.see(&entry, chain))
            .map_err(|source| io_error("read", path, source))?;
        if scanned.number.is_some_and(|found| found != expected) {
            return Ok(problem(path, chain.count + 1, ProblemKind::Reordered));
        }
        if let Some(start) = scanned.before {
            if start.count > chain.count {
                let cut = before.unwrap_or(path);
                return Ok(problem(cut, chain.count + 1, ProblemKind::Truncated));
            }
            if start != chain {
                return Ok(problem(path, start.count + 1, ProblemKind::Changed));
            }
            chain = scanned.chain;
        }
        seen.files += 1;
        seen.records = chain.count;
        seen.checkpoints += walk.checkpoints;
        if let Some(record) = walk.wrong {
            return Ok(problem(path, record, ProblemKind::Changed));
        }
        if let Some(fault) = scanned.fault {
            let is_last = position + 1 == files.len();
            let was_acknowledged = head.is_none_or(|head| chain.count < head.count);
            let Problem { file, record, kind } = fault.problem;
            if !(is_last && kind == ProblemKind::Truncated && !was_acknowledged) {
                let record = if record == 0 { chain.count + 1 } else { record };
                return Ok(Some(Problem { file, record, kind }));
            }
            seen.unfinished_tail = true;
        }
        before = Some(path);
    }
    let Some(head) = head else {
        return Ok(problem(&head::path_of(dir), 0, ProblemKind::Missing));
    };
    if chain.count < head.count {
        let (path, kind) = match before {
            Some(path) => (path.to_owned(), ProblemKind::Truncated),
            None => (path_of(dir, 1), ProblemKind::Missing),
        };
        return Ok(problem(&path, chain.count + 1, kind));
    }
    Ok(None)
}

fn problem(path: &Path, record: u64, kind: ProblemKind) -> Option<Problem> {
    Some(Problem { file: file_name(path), record, kind })
}

/// Checks, along one file, what is signed.
struct Walk<'a> {
    ring: &'a KeyRing,
    head: Option<Chain>,
    /// The first record that a signature disagrees with.
    wrong: Option<u64>,
    checkpoints: u64,
}

impl Walk<'_> {
    fn see(&mut self, entry: &Entry<'_>, chain: Chain) {
        let agrees = match entry {
            Entry::Checkpoint(checkpoint) => {
                self.checkpoints += 1;
                checkpoint.chain == chain && checkpoint.is_signed_by(&self.ring.verifying_key())
            }
            Entry::Record { .. } => {
                self.head.is_none_or(|head| head.count != chain.count || head == chain)
            }
        };
        if !agrees {
            self.wrong.get_or_insert(chain.count);
        }
    }
}
