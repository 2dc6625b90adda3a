//! The audit record: who wanted what, and how it ended.
//!
//! Append-only files `00000001.audit`, `00000002.audit`, … in the audit folder, and byte for byte
//! the same in every further folder that was named; a record is durable when one of them has it.
//! All that wait share one write and one sync of the disk: a frame. A crash leaves whole frames
//! and at most one unfinished one, which nobody was told is durable.
//!
//! Over all records grows a hash tree ([`merkle`]). Each second with something new ends in a
//! [`Checkpoint`], a signed note that says how many records there are and what their root is. It
//! stands in the file, and in the head file beside the folder, so that a tail cut off is missed.
//! A checkpoint that was taken elsewhere, or signed by a [`Witness`] there, binds also whoever has
//! the keys: no other record fits it.
//!
//! [`verify`] reads everything again, offline, and names what was changed, removed, cut off,
//! moved, or replaced by another history. `docs/formats.md` has the bytes.

pub mod merkle;

mod checkpoint;
mod counted;
mod documents;
mod event;
mod frame;
mod head;
mod open;
mod proof;
mod read;
mod sink;
mod verify;
mod witness;
mod writer;

#[cfg(test)]
mod copies_tests;
#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, cosigned_at, origin_of, parse_verifier, verifier_text};
pub use documents::{Documents, Seen, TableRead};
pub use event::{AuditFilter, Event, EventKind, FieldTouched, Record, RecordId};
pub use read::read;
pub use verify::{ClockStep, Expected, Verification, verify};
pub use witness::{Witness, WitnessError};

use crate::keys::KeyRing;
use merkle::Hash;
use model::{Clock, Timestamp};
use open::Opened;
use parking_lot::{Condvar, Mutex};
use proof::ProofFile;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use writer::{Options, Queue, Writer};

/// The open audit record. One thread writes; all that wait share one sync of the disk.
pub struct AuditLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    dir: PathBuf,
    ring: Arc<KeyRing>,
    proofs: Mutex<ProofFile>,
    /// The latest time of any record when it was opened.
    latest: Timestamp,
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
    /// The last one that was signed.
    checkpoint: Mutex<Option<Checkpoint>>,
    sinks: Mutex<Vec<SinkStatus>>,
    /// Who is told at once of what nobody asked for.
    watcher: OnceLock<Watcher>,
}

/// Who is told at once; must not block.
type Watcher = Box<dyn Fn(&Event) + Send + Sync>;

impl Shared {
    fn tell(&self, event: &Event) {
        if let Some(watcher) = self.watcher.get() {
            watcher(event);
        }
    }
}

/// How one of the folders of the record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkStatus {
    /// Which folder.
    pub dir: PathBuf,
    /// Whether it holds everything that is durable.
    pub is_complete: bool,
    /// What is wrong with it.
    pub trouble: Option<String>,
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
        AuditLog::open_with(dir, &[], ring, clock, Options::default())
    }

    /// As [`AuditLog::open`], with further folders that shall hold the record too: while one of
    /// them cannot be written the others go on, and it catches up later.
    ///
    /// # Errors
    /// As [`AuditLog::open`], if that is so in all folders.
    pub fn open_with_copies(
        dir: &Path,
        copies: &[PathBuf],
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
    ) -> Result<AuditLog, AuditError> {
        AuditLog::open_with(dir, copies, ring, clock, Options::default())
    }

    fn open_with(
        dir: &Path,
        copies: &[PathBuf],
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<AuditLog, AuditError> {
        fs::create_dir_all(dir).map_err(|source| io_error("make", dir, source))?;
        let lock = lock(dir)?;
        let opened = open::open(dir, copies, &ring)?;
        let dropped_bytes = opened.dropped_bytes;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            durable: AtomicU64::new(opened.state.size()),
            checkpoint: Mutex::new(opened.head.clone()),
            sinks: Mutex::default(),
            watcher: OnceLock::new(),
        });
        let latest = opened.state.latest;
        let writer = Writer::new(Arc::clone(&shared), opened, Arc::clone(&ring), clock, options);
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| io_error("start the writer of", dir, source))?;
        let log = AuditLog {
            shared,
            writer: Mutex::new(Some(thread)),
            dir: dir.to_owned(),
            proofs: Mutex::new(ProofFile::beside(dir)),
            latest,
            ring,
            _lock: lock,
        };
        if dropped_bytes > 0 {
            let outcome = format!("{dropped_bytes} bytes of an unfinished write cut off");
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
        read::read_up_to(&self.folder(), &self.ring, filter, self.len())
    }

    /// Calls `each` with every durable record, oldest first, from the file on that may hold one
    /// of `since`.
    ///
    /// # Errors
    /// If a file cannot be read or was changed.
    pub fn walk(&self, since: Timestamp, each: &mut dyn FnMut(Record)) -> Result<(), AuditError> {
        read::walk(&self.folder(), &self.ring, since, self.len(), each)
    }

    /// The files of the record, oldest first, for a copy; the newest may grow meanwhile.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, AuditError> {
        Ok(files_of(&self.folder())?.into_iter().map(|(_, path)| path).collect())
    }

    /// A folder that holds everything.
    fn folder(&self) -> PathBuf {
        let sinks = self.shared.sinks.lock();
        let complete = sinks.iter().find(|sink| sink.is_complete);
        complete.map_or_else(|| self.dir.clone(), |sink| sink.dir.clone())
    }

    /// Says anew in which further folders the record shall be, beside its own; takes effect at
    /// once. How they get on is in [`AuditLog::sinks`].
    pub fn set_copies(&self, copies: Vec<PathBuf>) {
        self.shared.queue.lock().set_copies(copies);
        self.shared.filled.notify_one();
    }

    /// How the folders are, the data folder's own first.
    pub fn sinks(&self) -> Vec<SinkStatus> {
        self.shared.sinks.lock().clone()
    }

    /// The last checkpoint that was signed; `None` before the first record.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.shared.checkpoint.lock().clone()
    }

    /// The last checkpoint as a signed note.
    pub fn checkpoint_note(&self) -> Option<String> {
        self.checkpoint().map(|checkpoint| checkpoint.to_note())
    }

    /// The public key of the checkpoints, with the name that they carry.
    pub fn verifier(&self) -> String {
        verifier_text(&frame::origin(&self.ring), &self.ring.verifying_key())
    }

    /// Proof that the first `old` records of the first `new` ones are what they were.
    ///
    /// # Errors
    /// If there are not so many signed records, or a file cannot be read.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, AuditError> {
        if old > new || new > self.len() {
            return Err(AuditError::NoSuchRecord(RecordId(new.max(old))));
        }
        let mut proofs = self.proofs.lock();
        proofs.grow(&self.folder(), &self.ring, new)?;
        merkle::consistency_proof(&*proofs, old, new)
    }

    /// The hash of a record, and proof that it is among the first `size`.
    ///
    /// # Errors
    /// If there is no such record, or a file cannot be read.
    pub fn inclusion_proof(
        &self,
        record: RecordId,
        size: u64,
    ) -> Result<(Hash, Vec<Hash>), AuditError> {
        if record.0 == 0 || record.0 > size || size > self.len() {
            return Err(AuditError::NoSuchRecord(record));
        }
        let mut proofs = self.proofs.lock();
        proofs.grow(&self.folder(), &self.ring, size)?;
        let proof = merkle::inclusion_proof(&*proofs, record.0 - 1, size)?;
        Ok((proofs.leaf(record.0 - 1)?, proof))
    }

    /// Has `watcher` hear at once of what the record itself finds: folders that fail or are back,
    /// a clock that was set back, records that were lost, and refused log-ins, counted. It must
    /// not block. Only the first one hears.
    pub fn watch(&self, watcher: impl Fn(&Event) + Send + Sync + 'static) {
        if self.shared.watcher.set(Box::new(watcher)).is_err() {
            tracing::error!("the audit record is watched already");
        }
    }

    /// The latest time of any record when this log was opened; [`Timestamp`] of `i64::MIN` for a
    /// new one.
    pub fn latest_at_start(&self) -> Timestamp {
        self.latest
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

/// The checkpoint of a note, if this ring signed it.
pub fn checkpoint_of(note: &str, ring: &KeyRing) -> Option<Checkpoint> {
    head::parse(note.as_bytes(), ring).ok()
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
            ProblemKind::Forked => "is not the one that was signed: this is another history",
            ProblemKind::OtherVersion => "was written by another version of Clerestory",
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
    /// It is well formed, but there is a signature over another one.
    Forked,
    /// The format is not the one of this version.
    OtherVersion,
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
    /// No proof for what is not there.
    #[error("the audit record does not reach record {0} yet")]
    NoSuchRecord(RecordId),
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
