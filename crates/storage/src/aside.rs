//! What does not fit in memory and is needed once more: sealed, in a file without a name, under a
//! key that only this process has. Nothing of it can be read after the process.
//!
//! The content is records, each its length as `u32`, little-endian, and its bytes; it is cut into
//! frames of 64 KiB, which are sealed as those of a [sealed file](crate::sealed_file).

use crate::Store;
use crate::disk::{DiskFile, DiskRead};
use crate::sealed_file::FRAME_BYTES;
use protection::{FileCipher, TAG_BYTES};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const PURPOSE: &str = "aside";
const SEALED_FRAME_BYTES: usize = FRAME_BYTES + TAG_BYTES;
/// Files that were made by this process, so that each has a name of its own while it has one.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Records that are put aside, in order.
pub struct Aside {
    file: Box<dyn DiskFile>,
    read: Arc<dyn DiskRead>,
    cipher: FileCipher,
    frame: Vec<u8>,
    frames: u64,
    bytes: u64,
}

/// Gives the records of an [`Aside`] back, in order.
pub struct AsideReader {
    read: Arc<dyn DiskRead>,
    cipher: FileCipher,
    /// The last frame, which never went to the disk.
    rest: Option<Vec<u8>>,
    frames: u64,
    next_frame: u64,
    frame: Vec<u8>,
    /// What of `frame` was given.
    given: usize,
}

impl Store {
    /// A place for records that do not fit in memory. It goes when it is dropped, and with the
    /// process.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn aside(&self) -> io::Result<Aside> {
        let settings = &self.inner.settings;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = settings.dir.join(format!("aside-{number}"));
        if settings.disk.try_exists(&path)? {
            // Of a process that ended between making it and taking its name.
            settings.disk.remove(&path)?;
        }
        let file = settings.disk.create_new(&path)?;
        let read = settings.disk.open(&path);
        settings.disk.remove(&path)?;
        // The wrapped key is not kept: nobody opens it again.
        let (cipher, _) = settings.keys.new_file_key(PURPOSE);
        let frame = Vec::with_capacity(SEALED_FRAME_BYTES);
        Ok(Aside { file, read: read?, cipher, frame, frames: 0, bytes: 0 })
    }
}

impl Aside {
    /// Puts a record aside, which is `parts` one after the other.
    ///
    /// # Errors
    /// If the disk is full or fails; what was put aside is of no use then.
    pub fn push(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a record above 4 GiB"))?;
        self.write(&length.to_le_bytes())?;
        parts.iter().try_for_each(|part| self.write(part))
    }

    /// Bytes that were put aside.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends putting aside; the records are given back from the first on.
    pub fn into_reader(self) -> AsideReader {
        AsideReader {
            read: self.read,
            cipher: self.cipher,
            rest: Some(self.frame),
            frames: self.frames,
            next_frame: 0,
            frame: Vec::new(),
            given: 0,
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let (taken, rest) = bytes.split_at(bytes.len().min(FRAME_BYTES - self.frame.len()));
            self.frame.extend_from_slice(taken);
            bytes = rest;
            if self.frame.len() == FRAME_BYTES {
                self.cipher.seal_frame(PURPOSE.as_bytes(), self.frames, false, &mut self.frame);
                self.file.append(&self.frame)?;
                self.frame.clear();
                self.frames += 1;
            }
        }
        Ok(())
    }
}

impl AsideReader {
    /// The next record; `None` after the last.
    ///
    /// # Errors
    /// If the disk fails, or gives back what was not written.
    pub fn next_record(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let mut record = vec![0; u32::from_le_bytes(length) as usize];
        match self.fill(&mut record)? {
            true => Ok(Some(record)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Fills `out`; false if nothing is left, which only the start of a record may meet.
    fn fill(&mut self, mut out: &mut [u8]) -> io::Result<bool> {
        while !out.is_empty() {
            if self.given == self.frame.len() && !self.open_next()? {
                return Ok(false);
            }
            let taken = out.len().min(self.frame.len() - self.given);
            let (now, later) = out.split_at_mut(taken);
            now.copy_from_slice(&self.frame[self.given..self.given + taken]);
            self.given += taken;
            out = later;
        }
        Ok(true)
    }

    fn open_next(&mut self) -> io::Result<bool> {
        self.given = 0;
        if self.next_frame == self.frames {
            self.frame = self.rest.take().unwrap_or_default();
            return Ok(!self.frame.is_empty());
        }
        self.frame.resize(SEALED_FRAME_BYTES, 0);
        self.read.read_exact_at(&mut self.frame, self.next_frame * SEALED_FRAME_BYTES as u64)?;
        self.cipher
            .open_frame(PURPOSE.as_bytes(), self.next_frame, false, &mut self.frame)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a frame was changed"))?;
        self.next_frame += 1;
        Ok(true)
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aside({} bytes)", self.bytes)
    }
}

impl fmt::Debug for AsideReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsideReader(frame {} of {})", self.next_frame, self.frames)
    }
}
