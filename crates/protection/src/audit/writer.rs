use super::counted::Counted;
use super::frame::{Chain, Checkpoint, FRAME_BYTES_MAX, Group, Header};
use super::{AuditError, End, Event, EventKind, RecordId, Shared, head, path_of};
use crate::cipher::FileCipher;
use crate::keys::{KeyRing, SigningKey};
use model::Clock;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// How often things happen; other numbers for tests.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// A checkpoint so long after something new at the latest.
    pub(super) checkpoint_after: Duration,
    /// Events that nobody waits for are gathered for so long.
    pub(super) gather_for: Duration,
    pub(super) file_bytes_max: u64,
    /// Set: every write fails half way, as on a full disk.
    #[cfg(test)]
    pub(super) disk_full: Arc<std::sync::atomic::AtomicBool>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            checkpoint_after: Duration::from_secs(1),
            gather_for: Duration::from_millis(100),
            file_bytes_max: 64 * 1024 * 1024,
            #[cfg(test)]
            disk_full: Arc::default(),
        }
    }
}

type Answer = Result<RecordId, AuditError>;

/// What waits to be written.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Vec<Waiting>,
    counted: Counted,
    /// How many of them somebody waits for.
    awaited: usize,
    closed: bool,
}

struct Waiting {
    payload: Vec<u8>,
    /// Who waits; nobody for events that may come with the next group.
    told: Option<SyncSender<Answer>>,
}

impl Queue {
    pub(super) fn push_durable(
        &mut self,
        payload: Vec<u8>,
        told: SyncSender<Answer>,
    ) -> Result<(), AuditError> {
        if self.closed {
            return Err(AuditError::Closed);
        }
        self.waiting.push(Waiting { payload, told: Some(told) });
        self.awaited += 1;
        Ok(())
    }

    pub(super) fn push(&mut self, payload: Vec<u8>, len_max: usize) -> Result<(), AuditError> {
        if self.closed {
            return Err(AuditError::Closed);
        }
        if self.waiting.len() >= len_max {
            return Err(AuditError::Busy);
        }
        self.waiting.push(Waiting { payload, told: None });
        Ok(())
    }

    pub(super) fn count(&mut self, event: &Event) -> Result<(), AuditError> {
        if self.closed {
            return Err(AuditError::Closed);
        }
        self.counted.add(event);
        Ok(())
    }

    /// Moves what was counted to what waits, when it is time.
    fn end_count(&mut self) {
        if self.closed || self.counted.due().is_some_and(|due| due <= Instant::now()) {
            let events = self.counted.take();
            self.waiting
                .extend(events.map(|event| Waiting { payload: event.to_payload(), told: None }));
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }
}

/// Owns the files; runs in its own thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    dir: PathBuf,
    ring: Arc<KeyRing>,
    signing: SigningKey,
    clock: Arc<dyn Clock>,
    options: Options,
    chain: Chain,
    file: Option<OpenFile>,
    file_next: u32,
    /// What the head file says.
    head: Option<Checkpoint>,
    checkpointed_at: Instant,
    /// Events nobody waits for that could not be written yet.
    kept: Vec<Waiting>,
    lost: u64,
    /// Whether the last write failed, so that a failure is logged once.
    failing: bool,
}

struct OpenFile {
    file: File,
    path: PathBuf,
    header: Header,
    cipher: FileCipher,
    frame_next: u64,
    good_bytes: u64,
    /// A write failed: what stands behind `good_bytes` has to go first.
    torn: bool,
}

/// Of events that nobody waits for so many are kept while nothing can be written.
const KEPT_MAX: usize = 10_000;
const GROUP_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;
/// While nothing can be written, the next try comes after this long.
const RETRY_AFTER: Duration = Duration::from_millis(500);

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        dir: &Path,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        options: Options,
        end: &End,
    ) -> Writer {
        Writer {
            shared,
            dir: dir.to_owned(),
            signing: ring.signing_key(),
            ring,
            clock,
            options,
            chain: end.chain,
            file: None,
            file_next: end.file_next,
            head: end.head,
            checkpointed_at: Instant::now(),
            kept: Vec::new(),
            lost: 0,
            failing: false,
        }
    }

    /// Writes groups until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let (waiting, closed) = self.wait();
            self.write(waiting);
            if self.checkpoint_is_due() {
                self.checkpoint();
            }
            if closed && self.shared.queue.lock().waiting.is_empty() {
                if !self.kept.is_empty() {
                    self.write(Vec::new());
                }
                self.checkpoint();
                return;
            }
        }
    }

    /// Waits until there is something to do, and takes what is in the queue.
    fn wait(&self) -> (Vec<Waiting>, bool) {
        let mut queue = self.shared.queue.lock();
        let mut gather_until = None;
        loop {
            if queue.awaited > 0 || queue.closed {
                break;
            }
            let now = Instant::now();
            let mut until: Option<Instant> = None;
            let mut sooner = |at: Instant| until = Some(until.map_or(at, |other| other.min(at)));
            if let Some(due) = queue.counted.due() {
                sooner(due);
            }
            if !queue.waiting.is_empty() {
                sooner(*gather_until.get_or_insert(now + self.options.gather_for));
            }
            if self.has_news() {
                sooner(self.checkpointed_at + self.options.checkpoint_after);
            }
            if !self.kept.is_empty() {
                sooner(gather_until.unwrap_or(now).max(now) + RETRY_AFTER);
            }
            match until {
                Some(until) if until <= now => break,
                Some(until) => {
                    if self.shared.filled.wait_until(&mut queue, until).timed_out() {
                        break;
                    }
                }
                None => self.shared.filled.wait(&mut queue),
            }
        }
        queue.awaited = 0;
        queue.end_count();
        (std::mem::take(&mut queue.waiting), queue.closed)
    }

    fn has_news(&self) -> bool {
        self.head.is_none_or(|head| head.chain.count < self.chain.count)
    }

    fn checkpoint_is_due(&self) -> bool {
        self.has_news() && self.checkpointed_at.elapsed() >= self.options.checkpoint_after
    }

    /// Writes what waits, in groups of bounded size, and tells everybody.
    fn write(&mut self, waiting: Vec<Waiting>) {
        let mut all = std::mem::take(&mut self.kept);
        all.extend(waiting);
        let mut rest = all.into_iter().peekable();
        while rest.peek().is_some() {
            let mut group = Group::after(self.chain);
            let mut members = Vec::new();
            let at = self.clock.now();
            while let Some(next) = rest.peek()
                && (group.is_empty() || group.bytes() + next.payload.len() < GROUP_BYTES_MAX)
            {
                let member = rest.next().expect("just seen");
                let number = group.add(at, &member.payload);
                members.push((RecordId(number), member));
            }
            match self.commit(group) {
                Ok(()) => {
                    for (number, member) in members {
                        if let Some(told) = member.told {
                            // Whoever waited may be gone; the record stands all the same.
                            let _ = told.send(Ok(number));
                        }
                    }
                }
                Err(error) => self.refuse(members.into_iter().map(|(_, member)| member), error),
            }
        }
        self.admit_loss();
    }

    /// Once writing works again, records what could not be written.
    fn admit_loss(&mut self) {
        if self.lost == 0 || self.failing {
            return;
        }
        let outcome = format!("{} end records could not be written", self.lost);
        let event = Event { outcome, ..Event::new(EventKind::RecordsLost) };
        let mut group = Group::after(self.chain);
        group.add(self.clock.now(), &event.to_payload());
        match self.commit(group) {
            Ok(()) => self.lost = 0,
            Err(error) => self.refuse(std::iter::empty(), error),
        }
    }

    fn refuse(&mut self, members: impl Iterator<Item = Waiting>, error: CommitError) {
        if !self.failing {
            self.failing = true;
            tracing::error!(%error, "the audit record cannot be written; reads are refused");
        }
        for member in members {
            match member.told {
                Some(told) => drop(told.send(Err(error.to_audit_error()))),
                None if self.kept.len() < KEPT_MAX => self.kept.push(member),
                None => self.lost += 1,
            }
        }
    }

    /// Makes one group durable: the chain moves on, or nothing happened.
    fn commit(&mut self, group: Group) -> Result<(), CommitError> {
        let chain = group.chain;
        if self.file.as_ref().is_some_and(|file| file.good_bytes >= self.options.file_bytes_max) {
            self.file = None;
        }
        if self.file.is_none() {
            self.file = Some(self.start_file().map_err(CommitError::from)?);
            self.file_next += 1;
        }
        let file = self.file.as_mut().expect("just opened");
        file.check_in_place()?;
        file.mend()?;
        let frame = group.into_frame(&file.header, &file.cipher, file.frame_next);
        // Used up even if the write fails: no frame number is sealed twice.
        file.frame_next += 1;
        file.torn = true;
        #[cfg(test)]
        if self.options.disk_full.load(Ordering::SeqCst) {
            file.file.write_all(&frame[..frame.len() / 2])?;
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        file.file.write_all(&frame)?;
        file.file.sync_data()?;
        file.torn = false;
        file.good_bytes += frame.len() as u64;
        self.chain = chain;
        self.shared.durable.store(chain.count, Ordering::Release);
        if self.failing {
            self.failing = false;
            tracing::info!("the audit record is written again");
        }
        Ok(())
    }

    fn start_file(&mut self) -> io::Result<OpenFile> {
        #[cfg(test)]
        if self.options.disk_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.head.is_none() {
            // Before the first record, so that a record without a head was tampered with.
            let checkpoint = Checkpoint::sign(self.chain, self.clock.now(), &self.signing);
            head::write(&self.dir, &self.ring, &checkpoint)?;
            self.head = Some(checkpoint);
        }
        let (header, cipher) = Header::new(self.file_next, self.chain, &self.ring);
        let path = path_of(&self.dir, self.file_next);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let written = file
            .write_all(&header.bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(&self.dir)?.sync_all());
        if let Err(error) = written {
            // Nothing was acknowledged; the next try takes the same number.
            std::fs::remove_file(&path)?;
            return Err(error);
        }
        let good_bytes = header.bytes.len() as u64;
        Ok(OpenFile { file, path, header, cipher, frame_next: 0, good_bytes, torn: false })
    }

    /// Signs where the chain stands, in the file and in the head. A failure is tried again.
    fn checkpoint(&mut self) {
        self.checkpointed_at = Instant::now();
        if !self.has_news() {
            return;
        }
        let checkpoint = Checkpoint::sign(self.chain, self.clock.now(), &self.signing);
        let mut group = Group::after(self.chain);
        group.add_checkpoint(&checkpoint);
        if let Err(error) = self.commit(group) {
            self.refuse(std::iter::empty(), error);
            return;
        }
        match head::write(&self.dir, &self.ring, &checkpoint) {
            Ok(()) => self.head = Some(checkpoint),
            Err(error) => tracing::warn!(%error, "the head of the audit record is not written"),
        }
    }
}

impl OpenFile {
    /// Whether the file is still where it was opened: writing to a deleted file succeeds.
    fn check_in_place(&self) -> Result<(), CommitError> {
        match is_same_file(&self.file, &self.path) {
            Ok(true) => Ok(()),
            _ => Err(CommitError::Gone(self.path.clone())),
        }
    }

    /// Cuts off what a failed write left.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.good_bytes)?;
            self.file.seek(SeekFrom::Start(self.good_bytes))?;
            self.file.sync_all()?;
            self.torn = false;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (open, there) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

#[cfg(not(unix))]
fn is_same_file(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// Why a group is not durable; told to all of its members.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error("the file {} is gone", .0.display())]
    Gone(PathBuf),
    #[error("{0}")]
    Io(Arc<io::Error>),
}

impl From<io::Error> for CommitError {
    fn from(error: io::Error) -> CommitError {
        CommitError::Io(Arc::new(error))
    }
}

impl CommitError {
    fn to_audit_error(&self) -> AuditError {
        match self {
            CommitError::Gone(path) => AuditError::Gone(path.clone()),
            CommitError::Io(error) => AuditError::NotWritten(Arc::clone(error)),
        }
    }
}
