use super::format::{FrameSealer, Prologue, is_under_living_key, new_header, path_of};
use super::replay::Found;
use crate::disk::{Disk, DiskFile};
use protection::keys::KeyRing;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is longer gets no further group.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// The buffer of a group is kept for the next one up to this size.
const BUFFER_BYTES_KEPT: usize = 16 * 1024 * 1024;

/// A payload with its number.
pub(super) type Append = (u64, Vec<u8>);

/// A file that is not written any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct FinishedFile {
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// All its log numbers are below this.
    pub(super) next: u64,
}

/// Writes groups into files. Owned by the log's thread.
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    keys: Arc<KeyRing>,
    current: Option<CurrentFile>,
    /// The file before the next one, and how many of its frames count.
    previous: (u64, u64),
    /// Log numbers below this are in earlier files, or nowhere.
    next: u64,
    buffer: Vec<u8>,
    /// Not yet taken by [`Writer::take_finished`].
    finished: Vec<FinishedFile>,
}

struct CurrentFile {
    number: u64,
    file: Box<dyn DiskFile>,
    sealer: FrameSealer,
    /// Durable frames and where they end.
    frames: u64,
    bytes: u64,
}

impl Writer {
    /// Goes on behind what was found, in a new file: an old one may end in a torn group.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        keys: Arc<KeyRing>,
        found: &Found,
    ) -> Writer {
        let finished = found
            .files
            .iter()
            .map(|file| FinishedFile { number: file.number, bytes: file.bytes, next: file.next })
            .collect();
        Writer {
            disk,
            dir: dir.to_owned(),
            keys,
            current: None,
            previous: found.files.last().map_or((0, 0), |file| (file.number, file.frames)),
            next: found.replayed.next.0,
            buffer: Vec::new(),
            finished,
        }
    }

    /// Makes a group durable. After an error nothing of it counts, and the next group starts a
    /// new file.
    pub(super) fn write(&mut self, group: &mut [Append]) -> io::Result<()> {
        if self.current.as_ref().is_none_or(|current| current.bytes >= FILE_BYTES) {
            self.start_file()?;
        }
        let current = self.current.as_mut().expect("a file was just started");
        self.buffer.clear();
        for (index, (number, payload)) in group.iter_mut().enumerate() {
            let place = current.frames + 1 + index as u64;
            current.sealer.seal(place, *number, index as u32, false, payload, &mut self.buffer);
        }
        let written = current.file.append(&self.buffer).and_then(|()| current.file.sync());
        if let Err(error) = written {
            self.abandon_file();
            return Err(error);
        }
        current.bytes += self.buffer.len() as u64;
        current.frames += group.len() as u64;
        self.next = group.last().map_or(self.next, |(number, _)| number + 1);
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Finishes the current file, if it has frames, and makes a new one.
    pub(super) fn start_file(&mut self) -> io::Result<()> {
        self.finish_file();
        let number = self.previous.0 + 1;
        let path = path_of(&self.dir, number);
        if self.disk.try_exists(&path)? {
            // Left from an earlier attempt of ours: nothing but a header was ever in it.
            self.disk.remove(&path)?;
        }
        let (previous, previous_frames) = self.previous;
        let prologue = Prologue { previous, previous_frames, next: self.next };
        let (sealer, header) = new_header(&self.keys, number, prologue);
        let mut file = self.disk.create_new(&path)?;
        // The header is durable before the first frame is written, so that a file with frames
        // whose header does not read was damaged and is not torn.
        let made = file
            .append(&header)
            .and_then(|()| file.sync())
            .and_then(|()| self.disk.sync_dir(&self.dir))
            // From now on the file is seen by whoever looks what is under a key.
            .and_then(|()| match is_under_living_key(&self.keys, &header) {
                true => Ok(()),
                false => Err(io::Error::other("the key of the file was destroyed; try again")),
            });
        if let Err(error) = made {
            // If it cannot be removed, the next attempt does it.
            let _ = self.disk.remove(&path);
            return Err(error);
        }
        let bytes = header.len() as u64;
        self.current = Some(CurrentFile { number, file, sealer, frames: 0, bytes });
        Ok(())
    }

    /// Bytes and frames of the file that is written now.
    pub(super) fn current_size(&self) -> (u64, u64) {
        self.current.as_ref().map_or((0, 0), |current| (current.bytes, current.frames))
    }

    /// The files finished since the last call.
    pub(super) fn take_finished(&mut self) -> Vec<FinishedFile> {
        std::mem::take(&mut self.finished)
    }

    /// Marks the current file as whole.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        self.buffer.clear();
        let mut empty = Vec::new();
        current.sealer.seal(current.frames + 1, self.next, 0, true, &mut empty, &mut self.buffer);
        current.file.append(&self.buffer)?;
        current.file.sync()
    }

    fn finish_file(&mut self) {
        if let Some(current) = self.current.take() {
            self.previous = (current.number, current.frames);
            let (number, bytes) = (current.number, current.bytes);
            self.finished.push(FinishedFile { number, bytes, next: self.next });
        }
    }

    /// Gives back the room of a group that failed. Best effort: the prologue of the next file
    /// says how many frames count.
    fn abandon_file(&mut self) {
        if let Some(current) = &mut self.current {
            let cut = current.file.truncate(current.bytes).and_then(|()| current.file.sync());
            if let Err(error) = cut {
                tracing::warn!(file = current.number, %error, "failed log write not cut back");
            }
        }
        self.finish_file();
    }
}
