use super::checkpoint::Checkpoint;
use super::counted::Counted;
use super::frame::{FRAME_BYTES_MAX, Group, Header, State, origin};
use super::open::open_copy;
use super::sink::{Current, Sink, SinkError};
use super::{AuditError, Event, EventKind, Opened, RecordId, Shared, SinkStatus, head};
use crate::keys::KeyRing;
use model::{Clock, Timestamp};
use std::path::PathBuf;
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
    /// Folders in which every write fails half way, as on a full disk.
    #[cfg(test)]
    pub(super) full: Arc<parking_lot::Mutex<Vec<PathBuf>>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            checkpoint_after: Duration::from_secs(1),
            gather_for: Duration::from_millis(100),
            file_bytes_max: 64 * 1024 * 1024,
            #[cfg(test)]
            full: Arc::default(),
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
    /// Further folders, if they shall be others from now on.
    copies: Option<Vec<PathBuf>>,
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

    pub(super) fn set_copies(&mut self, copies: Vec<PathBuf>) {
        self.copies = Some(copies);
    }

    pub(super) fn count(&mut self, event: &Event) -> Result<(), AuditError> {
        if self.closed {
            return Err(AuditError::Closed);
        }
        self.counted.add(event);
        Ok(())
    }

    /// Moves what was counted to what waits, when it is time; gives it.
    fn end_count(&mut self) -> Vec<Event> {
        let is_due = self.counted.due().is_some_and(|due| due <= Instant::now());
        if !self.closed && !is_due {
            return Vec::new();
        }
        let events: Vec<Event> = self.counted.take().collect();
        let waiting = |event: &Event| Waiting { payload: event.to_payload(), told: None };
        self.waiting.extend(events.iter().map(waiting));
        events
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }
}

/// Owns the folders; runs in its own thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// The first is the data folder's own.
    sinks: Vec<Sink>,
    ring: Arc<KeyRing>,
    origin: String,
    clock: Arc<dyn Clock>,
    options: Options,
    state: State,
    current: Option<Current>,
    file_next: u32,
    /// What the head file says.
    head: Option<Checkpoint>,
    checkpointed_at: Instant,
    /// When something that had failed was last tried again.
    tried_at: Instant,
    /// Events nobody waits for that could not be written yet.
    kept: Vec<Waiting>,
    lost: u64,
    /// Whether the last write failed, so that a failure is logged once.
    failing: bool,
    /// Whether the clock stands before the latest record, so that this is recorded once.
    clock_is_back: bool,
}

/// Of events that nobody waits for so many are kept while nothing can be written.
const KEPT_MAX: usize = 10_000;
const GROUP_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;
/// While nothing can be written, the next try comes after this long.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A folder that lagged behind is brought up to date in pieces of this size.
const CATCH_UP_BYTES: u64 = 16 * 1024 * 1024;
/// A clock may go back so far without a word, as clocks do when they are set right.
pub(super) const CLOCK_BACK_MS_MAX: i64 = 1_000;

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        opened: Opened,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Writer {
        let Opened { state, file_next, head, mut sinks, .. } = opened;
        for sink in &mut sinks {
            #[cfg(test)]
            {
                sink.full = Arc::clone(&options.full);
            }
            if let Some(trouble) = &sink.trouble {
                tracing::error!(folder = %sink.dir.display(), trouble, "an audit folder fails");
            }
        }
        let mut writer = Writer {
            shared,
            sinks,
            origin: origin(&ring),
            ring,
            clock,
            options,
            state,
            current: None,
            file_next,
            head,
            checkpointed_at: Instant::now(),
            tried_at: Instant::now(),
            kept: Vec::new(),
            lost: 0,
            failing: false,
            clock_is_back: false,
        };
        let failing: Vec<String> = writer.sinks.iter().filter_map(Sink::complaint).collect();
        for complaint in failing {
            writer.keep(&Event { outcome: complaint, ..Event::new(EventKind::SinkFailed) });
        }
        writer.catch_up();
        writer
    }

    /// Writes groups until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let (waiting, closed) = self.wait();
            self.write(waiting);
            let copies = self.shared.queue.lock().copies.take();
            if let Some(copies) = copies {
                self.set_copies(&copies);
            }
            if self.tried_at.elapsed() >= RETRY_AFTER {
                self.catch_up();
            }
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
            if queue.awaited > 0 || queue.closed || queue.copies.is_some() {
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
            if !self.kept.is_empty() || self.sinks.iter().any(Sink::is_behind) {
                sooner(self.tried_at + RETRY_AFTER);
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
        let counted = queue.end_count();
        let (waiting, closed) = (std::mem::take(&mut queue.waiting), queue.closed);
        drop(queue);
        counted.iter().for_each(|event| self.shared.tell(event));
        (waiting, closed)
    }

    fn has_news(&self) -> bool {
        self.head.as_ref().is_none_or(|head| head.size < self.state.size())
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
            let mut group = Group::after(&self.state);
            let mut members = Vec::new();
            let at = self.clock.wall();
            self.admit_clock(&mut group, at);
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
                Err(error) => self.refuse(members.into_iter().map(|(_, member)| member), &error),
            }
        }
        self.admit_loss();
    }

    /// Records, once, that the clock went back: whoever sets it back hides nothing by that.
    fn admit_clock(&mut self, group: &mut Group, at: Timestamp) {
        let back_ms = self.state.latest.0.saturating_sub(at.0);
        if back_ms <= CLOCK_BACK_MS_MAX {
            self.clock_is_back = false;
        } else if !std::mem::replace(&mut self.clock_is_back, true) {
            tracing::error!(back_ms, "the clock went back; is somebody hiding something?");
            let outcome = format!("the clock went back by {back_ms} ms");
            let event = Event { outcome, ..Event::new(EventKind::ClockBack) };
            group.add(at, &event.to_payload());
            self.shared.tell(&event);
        }
    }

    /// Once writing works again, records what could not be written.
    fn admit_loss(&mut self) {
        if self.lost == 0 || self.failing {
            return;
        }
        let outcome = format!("{} end records could not be written", self.lost);
        let event = Event { outcome, ..Event::new(EventKind::RecordsLost) };
        let mut group = Group::after(&self.state);
        group.add(self.clock.wall(), &event.to_payload());
        match self.commit(group) {
            Ok(()) => {
                self.lost = 0;
                self.shared.tell(&event);
            }
            Err(error) => self.refuse(std::iter::empty(), &error),
        }
    }

    fn refuse(&mut self, members: impl Iterator<Item = Waiting>, error: &SinkError) {
        self.tried_at = Instant::now();
        if !self.failing {
            self.failing = true;
            tracing::error!(%error, "the audit record cannot be written; reads are refused");
            let outcome = format!("the record cannot be written, so reads are refused: {error}");
            self.shared.tell(&Event { outcome, ..Event::new(EventKind::SinkFailed) });
        }
        for member in members {
            match member.told {
                Some(told) => drop(told.send(Err(to_audit_error(error)))),
                None if self.kept.len() < KEPT_MAX => self.kept.push(member),
                None => self.lost += 1,
            }
        }
    }

    fn keep(&mut self, event: &Event) {
        self.shared.tell(event);
        self.kept.push(Waiting { payload: event.to_payload(), told: None });
    }

    /// Makes one group durable in at least one folder: the record moves on, or nothing happened.
    fn commit(&mut self, group: Group) -> Result<(), SinkError> {
        let state = group.state.clone();
        let current = self.current_file()?;
        let frame = group.into_frame(&current.header, &current.cipher, current.frame_next);
        // Used up even if the write fails: no frame number is sealed twice.
        current.frame_next += 1;
        let current = self.current.as_ref().expect("just asked for");
        let complete = self.sinks.iter_mut().filter(|sink| sink.is_complete);
        let outcomes: Vec<Result<(), SinkError>> =
            complete.map(|sink| sink.append(current, &frame)).collect();
        if outcomes.iter().all(Result::is_err) {
            let failed = outcomes.into_iter().next().expect("one folder always holds everything");
            return failed;
        }
        let current = self.current.as_mut().expect("just asked for");
        current.good_bytes += frame.len() as u64;
        self.state = state;
        self.shared.durable.store(self.state.size(), Ordering::Release);
        self.note_failures(outcomes);
        if self.failing {
            self.failing = false;
            tracing::info!("the audit record is written again");
        }
        Ok(())
    }

    /// Folders that missed a frame that another one took have to catch up.
    fn note_failures(&mut self, outcomes: Vec<Result<(), SinkError>>) {
        let complete = self.sinks.iter_mut().filter(|sink| sink.is_complete);
        let mut complaints = Vec::new();
        for (sink, outcome) in complete.zip(outcomes) {
            if let Err(error) = outcome {
                sink.is_complete = false;
                sink.trouble = Some(error.to_string());
                tracing::error!(%error, folder = %sink.dir.display(), "an audit folder fails");
                complaints.extend(sink.complaint());
            }
        }
        if complaints.is_empty() {
            return;
        }
        for outcome in complaints {
            self.keep(&Event { outcome, ..Event::new(EventKind::SinkFailed) });
        }
        self.tell_status();
    }

    /// Brings folders that lag behind closer to those that hold everything.
    fn catch_up(&mut self) {
        self.tried_at = Instant::now();
        let source = self.sinks.iter().find(|sink| sink.is_complete).map(|sink| sink.dir.clone());
        let source = source.expect("one folder always holds everything");
        let mut back = Vec::new();
        for sink in self.sinks.iter_mut().filter(|sink| sink.is_behind()) {
            match sink.catch_up(&source, self.current.as_ref(), CATCH_UP_BYTES) {
                Ok(false) => {}
                Ok(true) => {
                    sink.is_complete = true;
                    if let Some(trouble) = sink.trouble.take() {
                        let dir = sink.dir.display();
                        tracing::info!(folder = %dir, "an audit folder holds everything again");
                        back.push(format!("{dir} holds everything again; it was: {trouble}"));
                    }
                }
                Err(error) => sink.trouble = Some(error.to_string()),
            }
        }
        for outcome in back {
            self.keep(&Event { outcome, ..Event::new(EventKind::SinkBack) });
        }
        self.tell_status();
    }

    /// Takes new folders in and lets others go; the first one stays.
    fn set_copies(&mut self, copies: &[PathBuf]) {
        let holds = self.sinks.iter().find(|sink| sink.is_complete).map(|sink| sink.dir.clone());
        let original = holds.expect("one folder always holds everything");
        let is_wanted = |dir: &PathBuf, own: &PathBuf| dir == own || copies.contains(dir);
        let own = self.sinks[0].dir.clone();
        let mut gone: Vec<String> = Vec::new();
        self.sinks.retain(|sink| {
            // The only one that holds everything goes when another one does.
            let stays = is_wanted(&sink.dir, &own) || sink.dir == original;
            if !stays {
                gone.push(format!("{} is no folder of the record any more", sink.dir.display()));
            }
            stays
        });
        for outcome in gone {
            self.keep(&Event { outcome, ..Event::new(EventKind::SinkRemoved) });
        }
        for copy in copies {
            if !self.sinks.iter().any(|sink| sink.dir == *copy) {
                let others: Vec<PathBuf> = self.sinks.iter().map(|sink| sink.dir.clone()).collect();
                let sink = open_copy(&original, self.state.size(), copy, &others, &self.ring);
                if let Some(outcome) = sink.complaint().filter(|_| sink.is_evidence) {
                    tracing::error!(trouble = outcome, "an audit folder fails");
                    self.keep(&Event { outcome, ..Event::new(EventKind::SinkFailed) });
                }
                self.sinks.push(sink);
                #[cfg(test)]
                if let Some(sink) = self.sinks.last_mut() {
                    sink.full = Arc::clone(&self.options.full);
                }
            }
        }
        self.catch_up();
    }

    fn tell_status(&self) {
        let status = self.sinks.iter().map(|sink| SinkStatus {
            dir: sink.dir.clone(),
            is_complete: sink.is_complete,
            trouble: sink.trouble.clone(),
        });
        *self.shared.sinks.lock() = status.collect();
    }

    /// The file to write to; a new one at the start and when the last one is large enough.
    fn current_file(&mut self) -> Result<&mut Current, SinkError> {
        let is_full = |current: &Current| current.good_bytes >= self.options.file_bytes_max;
        if self.current.as_ref().is_none_or(is_full) {
            if self.head.is_none() {
                // Before the first record, so that a record without a head was tampered with.
                let checkpoint = Checkpoint::sign(
                    &self.origin,
                    &self.state.tree,
                    self.clock.wall(),
                    &self.ring.signing_key(),
                );
                head::write(&self.sinks[0].dir, &checkpoint)?;
                self.head = Some(checkpoint);
            }
            let (header, cipher) = Header::new(self.file_next, self.state.clone(), &self.ring);
            let good_bytes = header.bytes.len() as u64;
            self.current = Some(Current { header, cipher, frame_next: 0, good_bytes });
            self.file_next += 1;
        }
        Ok(self.current.as_mut().expect("just made"))
    }

    /// Signs where the record stands, in the file and in the head. A failure is tried again.
    fn checkpoint(&mut self) {
        self.checkpointed_at = Instant::now();
        if !self.has_news() {
            return;
        }
        let checkpoint = Checkpoint::sign(
            &self.origin,
            &self.state.tree,
            self.clock.wall(),
            &self.ring.signing_key(),
        );
        let mut group = Group::after(&self.state);
        group.add_checkpoint(&checkpoint);
        if let Err(error) = self.commit(group) {
            self.refuse(std::iter::empty(), &error);
            return;
        }
        *self.shared.checkpoint.lock() = Some(checkpoint.clone());
        match head::write(&self.sinks[0].dir, &checkpoint) {
            Ok(()) => self.head = Some(checkpoint),
            Err(error) => tracing::warn!(%error, "the head of the audit record is not written"),
        }
    }
}

impl Sink {
    /// Whether it can become complete again.
    fn is_behind(&self) -> bool {
        !self.is_complete && !self.is_evidence
    }

    fn complaint(&self) -> Option<String> {
        self.trouble.as_ref().map(|trouble| format!("{}: {trouble}", self.dir.display()))
    }
}

fn to_audit_error(error: &SinkError) -> AuditError {
    match error {
        SinkError::Gone(path) | SinkError::InTheWay(path) => AuditError::Gone(path.clone()),
        SinkError::Io(error) => AuditError::NotWritten(Arc::clone(error)),
    }
}
