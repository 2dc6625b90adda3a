use super::format::path_of;
use super::writer::{Append, FinishedFile, Writer};
use super::{FrameNumber, LogError};
use crate::disk::Disk;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Waiting payloads beyond this make [`Shared::append`] block.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A group takes no further payload once it has this many bytes.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// A file that holds nothing needed is replaced by an empty one if it is at least this long.
const RENEW_BYTES: u64 = 256 * 1024;

/// What the log's thread shares with all who append, wait and release.
pub(super) struct Shared {
    state: Mutex<State>,
    /// For the thread: there is something to do.
    work: Condvar,
    /// For all others: something was done.
    done: Condvar,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Held while files are removed, so that they go in order.
    removing: Mutex<()>,
}

struct State {
    queue: VecDeque<Append>,
    queued_bytes: usize,
    /// The number of the next append.
    next: u64,
    /// Every append below this is durable or failed.
    decided: u64,
    /// Appends that failed: first number to last number and why.
    failed: BTreeMap<u64, (u64, Arc<io::Error>)>,
    finished: VecDeque<FinishedFile>,
    current_bytes: u64,
    current_frames: u64,
    renew: bool,
    /// Why the last renewal failed.
    renewal: Option<Arc<io::Error>>,
    closing: bool,
    stopped: bool,
}

/// Starts the thread of the log.
pub(super) fn start(
    mut writer: Writer,
    next: u64,
) -> Result<(Arc<Shared>, JoinHandle<()>), LogError> {
    let state = State {
        queue: VecDeque::new(),
        queued_bytes: 0,
        next,
        decided: next,
        failed: BTreeMap::new(),
        finished: writer.take_finished().into(),
        current_bytes: 0,
        current_frames: 0,
        renew: false,
        renewal: None,
        closing: false,
        stopped: false,
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        work: Condvar::new(),
        done: Condvar::new(),
        disk: Arc::clone(&writer.disk),
        dir: writer.dir.clone(),
        removing: Mutex::new(()),
    });
    let of_thread = Arc::clone(&shared);
    let thread = thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || of_thread.run(writer))
        .map_err(|source| LogError::Io { path: shared.dir.clone(), source })?;
    Ok((shared, thread))
}

impl Shared {
    pub(super) fn append(&self, payload: Vec<u8>) -> Result<FrameNumber, LogError> {
        let mut state = self.state.lock();
        while !state.has_room_for(payload.len()) && !state.stopped && !state.closing {
            self.done.wait(&mut state);
        }
        if state.stopped || state.closing {
            return Err(LogError::Stopped);
        }
        let number = state.next;
        state.next += 1;
        state.queued_bytes += payload.len();
        state.queue.push_back((number, payload));
        self.work.notify_one();
        Ok(FrameNumber(number))
    }

    pub(super) fn wait(&self, number: FrameNumber) -> Result<(), LogError> {
        let mut state = self.state.lock();
        if number.0 >= state.next {
            return Err(LogError::NeverAppended(number.0));
        }
        while number.0 >= state.decided {
            if state.stopped {
                return Err(LogError::Stopped);
            }
            self.done.wait(&mut state);
        }
        match state.failed.range(..=number.0).next_back() {
            Some((_, (last, error))) if *last >= number.0 => {
                Err(LogError::Write(Arc::clone(error)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn next(&self) -> FrameNumber {
        FrameNumber(self.state.lock().next)
    }

    pub(super) fn file_bytes(&self) -> u64 {
        let state = self.state.lock();
        state.current_bytes + state.finished.iter().map(|file| file.bytes).sum::<u64>()
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        self.work.notify_one();
        self.done.notify_all();
    }

    pub(super) fn release_before(&self, number: FrameNumber) -> Result<(), LogError> {
        self.renew_file(number);
        let _in_order = self.removing.lock();
        loop {
            let Some(file) = self.released_file(number) else { return Ok(()) };
            let path = path_of(&self.dir, file.number);
            // Each removal lasts before the next begins: a gap between files is an error.
            let removed = match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => self.disk.sync_dir(&self.dir),
            };
            removed.map_err(|source| LogError::Io { path, source })?;
            self.state.lock().finished.pop_front();
        }
    }

    /// The oldest file, if nothing in it is needed. The newest file always stays: it carries the
    /// numbers on.
    fn released_file(&self, number: FrameNumber) -> Option<FinishedFile> {
        let mut state = self.state.lock();
        state.forget_failures_below(number.0);
        let has_newer = state.finished.len() > 1 || state.current_bytes > 0;
        state.finished.front().filter(|file| has_newer && file.next <= number.0).copied()
    }

    /// If everything ever appended is released, lets the thread start a new file, so that the
    /// current one can go.
    fn renew_file(&self, number: FrameNumber) {
        let mut state = self.state.lock();
        let newest_bytes = if state.current_bytes > 0 {
            if state.current_frames == 0 { 0 } else { state.current_bytes }
        } else {
            state.finished.back().map_or(0, |file| file.bytes)
        };
        if number.0 < state.next || state.decided < state.next || newest_bytes < RENEW_BYTES {
            return;
        }
        self.renew(&mut state);
    }

    /// Lets the thread start a new file, which gets the newest key.
    pub(super) fn start_file(&self) -> Result<(), LogError> {
        let mut state = self.state.lock();
        self.renew(&mut state);
        if state.stopped || state.closing {
            return Err(LogError::Stopped);
        }
        match &state.renewal {
            Some(error) => Err(LogError::Write(Arc::clone(error))),
            None => Ok(()),
        }
    }

    /// Waits until the thread has tried to start a new file.
    fn renew(&self, state: &mut MutexGuard<'_, State>) {
        state.renew = true;
        self.work.notify_one();
        while state.renew && !state.stopped && !state.closing {
            self.done.wait(state);
        }
    }

    /// The life of the thread.
    fn run(&self, mut writer: Writer) {
        let stop = StopOnDrop(self);
        loop {
            let (mut group, renew) = match self.next_work() {
                Work::Write(group) => (group, false),
                Work::Renew => (Vec::new(), true),
                Work::Close => break,
            };
            let written = if renew { writer.start_file() } else { writer.write(&mut group) };
            if let Err(error) = &written {
                tracing::error!(%error, appends = group.len(), "log write failed");
            }
            self.report(&mut writer, &group, written);
        }
        if let Err(error) = writer.close() {
            tracing::warn!(%error, "log not closed properly; what was acknowledged is safe");
        }
        drop(stop);
    }

    fn next_work(&self) -> Work {
        let mut state = self.state.lock();
        loop {
            // Before what waits: writers that never pause must not keep an old file alive.
            if state.renew && !state.closing {
                return Work::Renew;
            }
            if !state.queue.is_empty() {
                return Work::Write(state.take_group());
            }
            if state.closing {
                return Work::Close;
            }
            self.work.wait(&mut state);
        }
    }

    /// Tells everybody what became of a group.
    fn report(&self, writer: &mut Writer, group: &[Append], written: io::Result<()>) {
        let mut state = self.state.lock();
        match group {
            [] => {
                state.renew = false;
                state.renewal = written.err().map(Arc::new);
            }
            [(first, _), ..] => {
                let next = first + group.len() as u64;
                if let Err(error) = written {
                    state.note_failure(*first, next - 1, error);
                }
                state.decided = next;
            }
        }
        state.finished.extend(writer.take_finished());
        (state.current_bytes, state.current_frames) = writer.current_size();
        self.done.notify_all();
    }
}

enum Work {
    Write(Vec<Append>),
    Renew,
    Close,
}

impl State {
    /// A payload that is larger than the whole queue may wait alone.
    fn has_room_for(&self, bytes: usize) -> bool {
        self.queue.is_empty() || self.queued_bytes + bytes <= QUEUE_BYTES_MAX
    }

    fn take_group(&mut self) -> Vec<Append> {
        let mut bytes = 0;
        let mut count = 0;
        for (_, payload) in &self.queue {
            if count > 0 && bytes + payload.len() > GROUP_BYTES {
                break;
            }
            bytes += payload.len();
            count += 1;
        }
        self.queued_bytes -= bytes;
        self.queue.drain(..count).collect()
    }

    fn note_failure(&mut self, first: u64, last: u64, error: io::Error) {
        if let Some((_, (last_before, _))) = self.failed.range_mut(..first).next_back()
            && *last_before + 1 == first
        {
            *last_before = last;
            return;
        }
        self.failed.insert(first, (last, Arc::new(error)));
    }

    /// Nobody waits any more for what was released.
    fn forget_failures_below(&mut self, number: u64) {
        while let Some(entry) = self.failed.first_entry() {
            if entry.get().0 >= number {
                break;
            }
            entry.remove();
        }
    }
}

/// Whatever ends the thread, nobody waits for it for ever.
struct StopOnDrop<'s>(&'s Shared);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.state.lock().stopped = true;
        self.0.done.notify_all();
    }
}
