//! The write-ahead log: what was answered is in it, whatever happens to the machine afterwards.
//!
//! ```text
//! D/log/NNNNNNNN.log      numbered from 1 without gaps; a new one after 64 MiB, after a failed
//!                         write and after every start
//!
//! header   magic          4 bytes   "CLLG"
//!          version        u16       1
//!          key length     u16       bytes of the wrapped key
//!          wrapped key              the file's own key under the key ring's key for `log`
//!          prologue       40 bytes  sealed as frame 0:
//!            previous     u64       number of the file before, 0 if there was none
//!            frames       u64       how many frames of that file count; what follows them does not
//!            next         u64       the lowest log number that can be in this file
//! frames   1 … n          each
//!          kind           u8        1: data, 2: the end of a file that was closed properly
//!          length         u32       bytes of the sealed part
//!          frame          u64       its place in the file
//!          sealed part              payload, log number u64, place in its group u32, tag
//! ```
//!
//! Numbers are little-endian. The sealed part is AES-256-GCM under the file's own key, with its
//! place, whether it is the end, and the identity `log:1:NUMBER` of the file authenticated; the
//! tag has 16 bytes. Log numbers rise; a write that failed leaves a gap.
//!
//! **Groups.** One thread writes. Whatever waits becomes one group: one write, one `fdatasync`,
//! then everybody in it is told. A group begins only after the one before it is durable.
//!
//! **After a crash** the newest file may end in a torn group, which nobody was told to be
//! durable. A frame that does not open is taken for torn, and dropped with all behind it, if no
//! frame of a later group follows it; otherwise acknowledged data was damaged, and opening fails
//! with the file and the frame. In all other files every frame must open and none may be missing,
//! because the prologue of the next file counts them.
//!
//! **A failed write** (full disk) fails all of its group. The file is cut back to its last good
//! frame and never written again, since a frame number must not be sealed twice under one key;
//! the next group starts a new file, so that the log goes on as soon as there is room.
//!
//! What the log cannot see by itself: the newest file cut at the border of two groups or replaced
//! by an older copy of itself. The catalog's `log_released` bounds the other end:
//! [`Replayed::first`] must not be above it.

mod commit;
mod error;
mod format;
mod replay;
mod writer;

pub use error::LogError;

use crate::disk::Disk;
use commit::Shared;
use protection::keys::KeyRing;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The number of one append, from 1; later appends have higher numbers, over all restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(pub u64);

/// One append, found in the log when it was opened.
pub struct LogFrame {
    /// Its number.
    pub number: FrameNumber,
    /// What was appended, authenticated.
    pub payload: Vec<u8>,
}

impl fmt::Debug for LogFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogFrame({}, {} bytes)", self.number.0, self.payload.len())
    }
}

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The lowest number the files that are left can hold; all below were released.
    pub first: FrameNumber,
    /// The number the next append gets.
    pub next: FrameNumber,
    /// How many frames were handed out.
    pub frames: u64,
    /// Bytes of a torn tail that were dropped: writes that were cut off before they were durable.
    pub dropped_bytes: u64,
}

/// The write-ahead log of a node. Used from any thread; its own thread does the writing.
///
/// Dropping it writes what waits and closes the file.
pub struct Log {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens the log in `dir`, which is made if it is not there, and hands every frame that was
    /// not released to `replay`, in order.
    ///
    /// # Errors
    /// If the disk fails, a file is missing, damaged, too new or under another key ring, or
    /// `replay` fails. Nothing is changed then.
    pub fn open<E: From<LogError>>(
        disk: Arc<dyn Disk>,
        dir: &Path,
        keys: Arc<KeyRing>,
        mut replay: impl FnMut(LogFrame) -> Result<(), E>,
    ) -> Result<(Log, Replayed), E> {
        let found = replay::replay(&*disk, dir, &keys, true, &mut replay)?;
        let writer = writer::Writer::new(disk, dir, keys, &found);
        let (shared, thread) = commit::start(writer, found.replayed.next.0)?;
        Ok((Log { shared, thread: Some(thread) }, found.replayed))
    }

    /// Puts a payload in line to be written and returns its number. Numbers are in the order of
    /// the calls. Blocks while too much is waiting (64 MiB).
    ///
    /// # Errors
    /// If the payload is larger than [`PAYLOAD_BYTES_MAX`], or the log was stopped.
    pub fn append(&self, payload: Vec<u8>) -> Result<FrameNumber, LogError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(LogError::TooLarge { bytes: payload.len() });
        }
        self.shared.append(payload)
    }

    /// Blocks until the append with this number is durable.
    ///
    /// # Errors
    /// If it could not be written: it is as if it had never been appended, later ones may succeed.
    pub fn wait(&self, number: FrameNumber) -> Result<(), LogError> {
        self.shared.wait(number)
    }

    /// The number the next append gets.
    pub fn next(&self) -> FrameNumber {
        self.shared.next()
    }

    /// Says that no append below `number` is needed after a restart, and removes the files that
    /// hold nothing else.
    ///
    /// # Errors
    /// If the disk fails; what is left is removed by the next call.
    pub fn release_before(&self, number: FrameNumber) -> Result<(), LogError> {
        self.shared.release_before(number)
    }

    /// Goes on in a new file, under the newest key of the ring. Those there are hold nothing that
    /// is appended from now on, and go when their appends are released.
    ///
    /// # Errors
    /// If the disk fails or the log was stopped.
    pub fn start_file(&self) -> Result<(), LogError> {
        self.shared.start_file()
    }

    /// Hands every frame in the files of the log in `dir` to `take`, also while it is written.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn read<E: From<LogError>>(
        disk: &dyn Disk,
        dir: &Path,
        keys: &KeyRing,
        mut take: impl FnMut(LogFrame) -> Result<(), E>,
    ) -> Result<(), E> {
        replay::replay(disk, dir, keys, false, &mut take).map(drop)
    }

    /// Bytes of all files of the log.
    pub fn file_bytes(&self) -> u64 {
        self.shared.file_bytes()
    }

    /// Writes what waits and closes the file, so that the next start knows that it is whole.
    pub fn close(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told to all who waited.
            let _ = thread.join();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log(next {})", self.next().0)
    }
}

/// The largest payload of one append.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024 * 1024;

#[cfg(test)]
mod tests;
