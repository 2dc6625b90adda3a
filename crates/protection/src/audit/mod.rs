//! The audit record: who wanted what, and how it ended.
//!
//! Append-only files `00000001.audit`, `00000002.audit`, … in the audit folder; a new one at each
//! start and after 64 MiB. Numbers are big-endian.
//!
//! ```text
//! header   magic "CLSA", version (1), file number (4), file key wrapped by the ring (77),
//!          number of the first record (8), hash before it (32)
//! frame    length (4), frame number (8), sealed: AES-256-GCM with the header as identity
//!   record      1, number (8), time in ms (8), length (4), payload (JSON), hash (32)
//!   checkpoint  2, count (8), time (8), hash (32), Ed25519 signature (64)
//! hash     SHA-256(hash before, number, time, payload); before record 1: SHA-256 of the ring's id
//! ```
//!
//! What is written together and synced once is one frame, so a crash leaves whole groups and at
//! most one unfinished frame, which nobody was told is durable. A frame number is never used
//! twice under one key, also not after a failed write; numbers of frames may have gaps, numbers
//! of records have none.
//!
//! Each second with something new ends in a signed checkpoint, in the file and in the head file
//! beside the folder (`audit.head`: magic "CLSH", version 1, id of the ring, checkpoint). So a
//! tail cut off is missed, up to the last second before a crash. Who has the keys, or puts an
//! older copy of everything back, is not found out by this alone.

mod counted;
mod event;
mod frame;
mod head;
mod read;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use event::{AuditFilter, Event, EventKind, FieldTouched, Record, RecordId};
pub use read::read;
pub use verify::{Verification, verify};

use crate::keys::KeyRing;
use frame::{Chain, Checkpoint, Fault, Scan};
use model::Clock;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use writer::{Options, Queue, Writer};

/// The open audit record. One thread writes; all that wait share one sync of the disk.
pub struct AuditLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    dir: PathBuf,
    ring: Arc<KeyRing>,
    /// Locked while the log is open.
    _lock: File,
}

/// Between those who append and the writer.
struct Shared {
    queue: Mutex<Queue>,
    /// Something is in the queue, or it ends.
    filled: Condvar,
    /// So many records are durable.
    durable: AtomicU64,
}

/// Appends without waiting are refused when so many wait to be written.
const QUEUE_MAX: usize = 100_000;
const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

impl AuditLog {
    /// Opens the audit record in `dir`, or starts one.
    ///
    /// # Errors
    /// If the end of the record was changed, cut or belongs to another ring, another process has
    /// it open, or the folder cannot be read or made.
    pub fn open(
        dir: &Path,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
    ) -> Result<AuditLog, AuditError> {
        AuditLog::open_with(dir, ring, clock, Options::default())
    }

    fn open_with(
        dir: &Path,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<AuditLog, AuditError> {
        fs::create_dir_all(dir).map_err(|source| io_error("make", dir, source))?;
        let lock = lock(dir)?;
        let end = find_end(dir, &ring)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            durable: AtomicU64::new(end.chain.count),
        });
        let writer = Writer::new(Arc::clone(&shared), dir, Arc::clone(&ring), clock, options, &end);
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| io_error("start the writer of", dir, source))?;
        let log = AuditLog {
            shared,
            writer: Mutex::new(Some(thread)),
            dir: dir.to_owned(),
            ring,
            _lock: lock,
        };
        if end.dropped_bytes > 0 {
            let outcome = format!("{} bytes of an unfinished write cut off", end.dropped_bytes);
            log.append_durable(&Event { outcome, ..Event::new(EventKind::TailDropped) })?;
        }
        Ok(log)
    }

    /// Appends an event and returns when it is durable.
    ///
    /// # Errors
    /// If it could not be made durable (the disk is full, the folder is gone): nothing that
    /// depends on the record may happen then. A later call succeeds when the disk is well again.
    pub fn append_durable(&self, event: &Event) -> Result<RecordId, AuditError> {
        let payload = payload_of(event)?;
        let (told, answer) = mpsc::sync_channel(1);
        self.shared.queue.lock().push_durable(payload, told)?;
        self.shared.filled.notify_one();
        answer.recv().map_err(|_| AuditError::Closed)?
    }

    /// Appends an event that is made durable with the next group, within a fraction of a second.
    ///
    /// While the disk is full or the folder gone such events wait; if too many wait, the oldest
    /// are dropped, which is then recorded itself.
    ///
    /// # Errors
    /// If the log is closed or too many wait.
    pub fn append(&self, event: &Event) -> Result<(), AuditError> {
        let payload = payload_of(event)?;
        self.shared.queue.lock().push(payload, QUEUE_MAX)?;
        self.shared.filled.notify_one();
        Ok(())
    }

    /// Appends an event that anybody can cause as often as they like, such as a failed log-in.
    /// Equal ones are counted and become one record, within some seconds.
    ///
    /// # Errors
    /// If the log is closed.
    pub fn append_counted(&self, event: &Event) -> Result<(), AuditError> {
        self.shared.queue.lock().count(event)?;
        self.shared.filled.notify_one();
        Ok(())
    }

    /// The newest records that match, newest first; only what is durable.
    ///
    /// # Errors
    /// If a file cannot be read or was changed.
    pub fn read(&self, filter: &AuditFilter) -> Result<Vec<Record>, AuditError> {
        read::read_up_to(&self.dir, &self.ring, filter, self.len())
    }

    /// How many records are durable.
    pub fn len(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Whether nothing was ever recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what waits, signs a last checkpoint and stops the writer. Also done on drop.
    pub fn close(&self) {
        self.shared.queue.lock().close();
        self.shared.filled.notify_all();
        if let Some(thread) = self.writer.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the audit record ended by a panic");
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditLog({}, {} records)", self.dir.display(), self.len())
    }
}

fn payload_of(event: &Event) -> Result<Vec<u8>, AuditError> {
    let payload = event.to_payload();
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(AuditError::TooLarge);
    }
    Ok(payload)
}

fn lock(dir: &Path) -> Result<File, AuditError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| io_error("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AuditError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path, source)),
    }
}

/// Where the record ends, and what has to be told about that.
struct End {
    chain: Chain,
    file_next: u32,
    head: Option<Checkpoint>,
    dropped_bytes: u64,
}

/// Looks at the head and the last file. Cuts off what a crash left unfinished.
fn find_end(dir: &Path, ring: &KeyRing) -> Result<End, AuditError> {
    let head = head::read(dir, ring)?;
    let mut files = files_of(dir)?;
    let mut dropped_bytes = 0;
    let empty = End { chain: Chain::genesis(ring), file_next: 1, head, dropped_bytes };
    loop {
        let Some((number, path)) = files.pop() else {
            return match head {
                Some(head) if head.chain.count > 0 => Err(damaged(dir, 1, ProblemKind::Missing)),
                _ => Ok(End { dropped_bytes, ..empty }),
            };
        };
        let scan = scan_for(&path, ring)?;
        let Some(head) = head else {
            return Err(damaged(&head::path_of(dir), 0, ProblemKind::Missing));
        };
        if scan.number.is_some_and(|found| found != number) {
            return Err(damaged(&path, scan.chain.count + 1, ProblemKind::Reordered));
        }
        match scan.fault {
            Some(Fault { problem, is_tail: false }) => return Err(AuditError::Damaged(problem)),
            Some(Fault { is_tail: true, .. }) if scan.before.is_none() => {
                // Not even the header was finished: nothing of this file was acknowledged, unless
                // the head says otherwise, which the file before it will show.
                let file_bytes = fs::metadata(&path).map(|metadata| metadata.len());
                dropped_bytes += file_bytes.map_err(|source| io_error("read", &path, source))?;
                fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
                continue;
            }
            _ => {}
        }
        let end = scan.chain;
        if end.count < head.chain.count {
            return Err(damaged(&path, end.count + 1, ProblemKind::Truncated));
        }
        if scan.fault.is_some() {
            dropped_bytes += cut_back(&path, scan.good_bytes)?;
        }
        return Ok(End { chain: end, file_next: number + 1, head: Some(head), dropped_bytes });
    }
}

fn cut_back(path: &Path, good_bytes: u64) -> Result<u64, AuditError> {
    let cut = || -> io::Result<u64> {
        let file = OpenOptions::new().write(true).open(path)?;
        let dropped = file.metadata()?.len() - good_bytes;
        file.set_len(good_bytes)?;
        file.sync_all()?;
        Ok(dropped)
    };
    cut().map_err(|source| io_error("cut back", path, source))
}

fn scan_for(path: &Path, ring: &KeyRing) -> Result<Scan, AuditError> {
    frame::scan(path, ring, &mut |_, _| {}).map_err(|source| io_error("read", path, source))
}

/// The audit files of a folder, by number.
fn files_of(dir: &Path) -> Result<Vec<(u32, PathBuf)>, AuditError> {
    let list = || -> io::Result<Vec<(u32, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let is_audit = path.extension().is_some_and(|extension| extension == "audit");
            if let Some(Ok(number)) = stem.filter(|_| is_audit).map(str::parse) {
                files.push((number, path));
            }
        }
        files.sort();
        Ok(files)
    };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|source| io_error("list", dir, source)),
    }
}

fn path_of(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.audit"))
}

/// What is wrong with the record, and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The first record that is affected; 0 if the file as a whole is.
    pub record: u64,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ProblemKind::Changed => "was changed",
            ProblemKind::Missing => "is missing",
            ProblemKind::Reordered => "stands in the wrong place",
            ProblemKind::Truncated => "and what followed it was cut off",
            ProblemKind::ForeignKey => "was written under another key ring",
        };
        match self.record {
            0 => write!(f, "{} {what}", self.file),
            record => write!(f, "{}: record {record} {what}", self.file),
        }
    }
}

/// What can be wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Its bytes are not those that were written.
    Changed,
    /// It is not there.
    Missing,
    /// It stands before or behind its place, or twice.
    Reordered,
    /// The end of a file was cut off.
    Truncated,
    /// It comes from another data folder.
    ForeignKey,
}

/// Why the audit record was not written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The record does not hold together.
    #[error(
        "the audit record is damaged: {0}; keep the folder as evidence, and restore it from a backup or move it and its head file away to start a new record"
    )]
    Damaged(Problem),
    /// Another process writes there.
    #[error("the audit record in {} is in use by another process; stop that one first", .0.display())]
    InUse(PathBuf),
    /// There is nothing to verify.
    #[error("there is no audit record in {}", .0.display())]
    NoRecord(PathBuf),
    /// The folder is gone, or another was put in its place.
    #[error("the audit file {} is gone; put the audit folder back", .0.display())]
    Gone(PathBuf),
    /// A group could not be made durable. Shared by all that waited for it.
    #[error("cannot write the audit record")]
    NotWritten(#[source] Arc<io::Error>),
    /// Reading or preparing failed.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A record of a kind that this version does not know.
    #[error("record {0} of the audit record was written by a newer version; read it with that one")]
    TooNew(RecordId),
    /// The event is larger than 8 MiB.
    #[error("the event is too large for the audit record; name fewer tables or fields")]
    TooLarge,
    /// Too many wait to be written.
    #[error("the audit record cannot keep up; try again in a moment")]
    Busy,
    /// The log was closed.
    #[error("the audit record is closed")]
    Closed,
}

fn damaged(path: &Path, record: u64, kind: ProblemKind) -> AuditError {
    AuditError::Damaged(Problem { file: frame::file_name(path), record, kind })
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> AuditError {
    AuditError::Io { doing, path: path.to_owned(), source }
}
