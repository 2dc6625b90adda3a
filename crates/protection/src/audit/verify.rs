use super::checkpoint::Checkpoint;
use super::frame::{Entry, State, file_name, origin, scan};
use super::merkle::Hash;
use super::open::first_gap;
use super::{AuditError, Problem, ProblemKind, RecordId, files_of, head, io_error, path_of};
use crate::keys::KeyRing;
use model::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// So many records hold together, from the first on.
    pub records: u64,
    /// The root of the hash tree over them.
    pub root: Hash,
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
    /// Where the clock went back by more than a second. The order of records does not depend on
    /// clocks, but whoever reads their times has to know.
    pub clock_steps: Vec<ClockStep>,
    /// The public key of the signatures, in hexadecimal.
    pub signed_by: String,
}

/// The clock went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// The first record with an earlier time than one before it.
    pub record: RecordId,
    /// The latest time before it.
    pub from: Timestamp,
    /// Its own time.
    pub to: Timestamp,
}

/// What else the record has to agree with: from another folder, a witness, an auditor's drawer.
#[derive(Clone, Debug)]
pub struct Expected {
    /// So many records,
    pub size: u64,
    /// had this root.
    pub root: Hash,
}

impl From<&Checkpoint> for Expected {
    fn from(checkpoint: &Checkpoint) -> Expected {
        Expected { size: checkpoint.size, root: checkpoint.root }
    }
}

impl Verification {
    /// Whether nothing was changed, taken out, moved, cut off or replaced.
    pub fn is_intact(&self) -> bool {
        self.problem.is_none()
    }
}

/// Checks the whole record in `dir`: every frame, the hash tree over all records, every
/// signature, that the last signed checkpoint is reached, and what else was `expected`. `head_of`
/// is the folder whose head file counts: `dir` itself, or the folder it is a copy of. No server
/// may have it open.
///
/// # Errors
/// If there is no record at all or a file cannot be read. A record that was tampered with is not
/// an error but [`Verification::problem`].
pub fn verify(
    dir: &Path,
    head_of: &Path,
    ring: &KeyRing,
    expected: &[Expected],
) -> Result<Verification, AuditError> {
    let mut found = Verification {
        records: 0,
        root: State::start().tree.root(),
        files: 0,
        checkpoints: 0,
        signed: 0,
        unfinished_tail: false,
        problem: None,
        clock_steps: Vec::new(),
        signed_by: ring.verifying_key().to_hex(),
    };
    let files = files_of(dir)?;
    let head = match head::read(head_of, ring) {
        Ok(head) => head,
        Err(AuditError::Damaged(problem)) => {
            found.problem = Some(problem);
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    if files.is_empty() && head.is_none() {
        return Err(AuditError::NoRecord(dir.to_owned()));
    }
    found.signed = head.as_ref().map_or(0, |head| head.size);
    let expected = head.iter().map(Expected::from).chain(expected.iter().cloned());
    let mut walk = Walk { ring, origin: origin(ring), expected: BTreeMap::new(), found };
    for Expected { size, root } in expected {
        walk.expected.entry(size).or_default().push(root);
    }
    let problem = walk.first_problem(dir, &files)?;
    let mut found = walk.found;
    found.problem = problem.or_else(|| match head {
        Some(_) => None,
        None => Some(problem_of(&head::path_of(head_of), 0, ProblemKind::Missing)),
    });
    Ok(found)
}

/// The way through all files of one folder.
struct Walk<'a> {
    ring: &'a KeyRing,
    origin: String,
    /// Roots that were signed or seen elsewhere, by size.
    expected: BTreeMap<u64, Vec<Hash>>,
    found: Verification,
}

impl Walk<'_> {
    fn first_problem(
        &mut self,
        dir: &Path,
        files: &[(u32, PathBuf)],
    ) -> Result<Option<Problem>, AuditError> {
        let mut state = State::start();
        let mut before: Option<&Path> = None;
        for (number, path) in files {
            let expected = self.found.files + 1;
            if *number != expected {
                let missing = first_gap(dir, files).unwrap_or_else(|| path_of(dir, expected));
                return Ok(Some(problem_of(&missing, state.size() + 1, ProblemKind::Missing)));
            }
            let mut wrong = None;
            let scanned =
                scan(path, self.ring, &mut |entry, state| self.see(&entry, state, &mut wrong))
                    .map_err(|source| io_error("read", path, source))?;
            if scanned.number.is_some_and(|found| found != expected) {
                return Ok(Some(problem_of(path, state.size() + 1, ProblemKind::Reordered)));
            }
            if let Some(start) = scanned.before {
                if start.size() > state.size() {
                    let cut = before.unwrap_or(path);
                    return Ok(Some(problem_of(cut, state.size() + 1, ProblemKind::Truncated)));
                }
                if start != state {
                    return Ok(Some(problem_of(path, start.size() + 1, ProblemKind::Forked)));
                }
                state = scanned.state;
            }
            self.found.files += 1;
            self.found.records = state.size();
            self.found.root = state.tree.root();
            if let Some(record) = wrong {
                return Ok(Some(problem_of(path, record, ProblemKind::Forked)));
            }
            if let Some(fault) = scanned.fault {
                let is_last = self.found.files as usize == files.len();
                let was_acknowledged = state.size() < self.reach();
                let Problem { file, record, kind } = fault.problem;
                if !(is_last && kind == ProblemKind::Truncated && !was_acknowledged) {
                    let record = if record == 0 { state.size() + 1 } else { record };
                    return Ok(Some(Problem { file, record, kind }));
                }
                self.found.unfinished_tail = true;
            }
            before = Some(path);
        }
        if state.size() < self.reach() {
            let (path, kind) = match before {
                Some(path) => (path.to_owned(), ProblemKind::Truncated),
                None => (path_of(dir, 1), ProblemKind::Missing),
            };
            return Ok(Some(problem_of(&path, state.size() + 1, kind)));
        }
        Ok(None)
    }

    /// So many records there were at least, as was signed or seen elsewhere.
    fn reach(&self) -> u64 {
        self.expected.last_key_value().map_or(0, |(size, _)| *size)
    }

    /// Notes in `wrong` the first record over which there is a signature of something else.
    fn see(&mut self, entry: &Entry<'_>, state: &State, wrong: &mut Option<u64>) {
        let agrees = match entry {
            Entry::Checkpoint(note) => {
                self.found.checkpoints += 1;
                let keys = self.ring.verifying_keys();
                Checkpoint::from_note(note, &self.origin, &keys).is_some_and(|checkpoint| {
                    checkpoint.size == state.size() && checkpoint.root == state.tree.root()
                })
            }
            Entry::Record { number, at, .. } => {
                self.see_clock(*number, *at, state.latest);
                let expected = self.expected.get(number);
                expected.is_none_or(|roots| roots.iter().all(|root| *root == state.tree.root()))
            }
        };
        if !agrees {
            wrong.get_or_insert(state.size());
        }
    }

    fn see_clock(&mut self, number: u64, to: Timestamp, latest: Timestamp) {
        let is_back = latest.0.saturating_sub(to.0) > super::writer::CLOCK_BACK_MS_MAX;
        let is_same_step = self.found.clock_steps.last().is_some_and(|step| step.from == latest);
        if is_back && !is_same_step {
            let step = ClockStep { record: RecordId(number), from: latest, to };
            self.found.clock_steps.push(step);
        }
    }
}

fn problem_of(path: &Path, record: u64, kind: ProblemKind) -> Problem {
    Problem { file: file_name(path), record, kind }
}
