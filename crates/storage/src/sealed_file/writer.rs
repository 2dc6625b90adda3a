use super::{FRAME_BYTES, MAGIC, TAG_BYTES, VERSION, authenticated};
use crate::disk::{Disk, DiskFile, folder_of};
use protection::FileCipher;
use protection::keys::KeyRing;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sealed frames that are handed to the disk in one write.
const WRITE_BYTES: usize = 16 * (FRAME_BYTES + TAG_BYTES);

/// Writes one sealed file from front to back.
///
/// A writer that is dropped before [`finish`](SealedWriter::finish) removes its file.
pub struct SealedWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    cipher: FileCipher,
    identity: Vec<u8>,
    /// Content of the frame that is being filled.
    frame: Vec<u8>,
    next_frame: u64,
    content_bytes: u64,
    /// Sealed and not yet on the disk.
    sealed: Vec<u8>,
    file_bytes: u64,
    finished: bool,
    keys: Arc<KeyRing>,
    purpose: String,
    wrapped: Vec<u8>,
}

impl SealedWriter {
    /// Makes a file that is not there yet, with a fresh key of its own.
    ///
    /// `purpose` chooses the key of the ring that wraps the file's key; `identity` names the file
    /// for ever, whatever its path: it opens only with the same two.
    ///
    /// # Errors
    /// If the file is there, or the disk is full or fails.
    pub fn create(
        disk: &Arc<dyn Disk>,
        path: &Path,
        keys: &Arc<KeyRing>,
        purpose: &str,
        identity: &str,
    ) -> io::Result<SealedWriter> {
        let (cipher, wrapped) = keys.new_file_key(purpose);
        let wrapped_bytes = u16::try_from(wrapped.len()).expect("a wrapped key is short");
        let mut sealed = Vec::with_capacity(WRITE_BYTES + FRAME_BYTES);
        sealed.extend_from_slice(MAGIC);
        sealed.extend_from_slice(&VERSION.to_le_bytes());
        sealed.extend_from_slice(&wrapped_bytes.to_le_bytes());
        sealed.extend_from_slice(&wrapped);
        Ok(SealedWriter {
            disk: Arc::clone(disk),
            path: path.to_owned(),
            file: disk.create_new(path)?,
            cipher,
            identity: authenticated(purpose, identity),
            frame: Vec::with_capacity(FRAME_BYTES + TAG_BYTES),
            next_frame: 0,
            content_bytes: 0,
            sealed,
            file_bytes: 0,
            finished: false,
            keys: Arc::clone(keys),
            purpose: purpose.to_owned(),
            wrapped,
        })
    }

    /// Bytes of content so far.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Writes what is left and the footer and makes file and name durable. Returns how many
    /// bytes the file takes on the disk.
    ///
    /// # Errors
    /// If the disk is full or fails; the file is then removed.
    pub fn finish(mut self) -> io::Result<u64> {
        if !self.frame.is_empty() {
            self.seal_frame(false);
        }
        let frames = self.next_frame;
        self.frame.extend_from_slice(&self.content_bytes.to_le_bytes());
        self.frame.extend_from_slice(&frames.to_le_bytes());
        self.seal_frame(true);
        self.write_out()?;
        self.file.sync()?;
        self.disk.sync_dir(folder_of(&self.path))?;
        // From now on the file is seen by whoever looks what is under a key; before, it was not.
        if !self.keys.is_living(&self.purpose, &self.wrapped) {
            return Err(io::Error::other("the key of the file was destroyed; write it again"));
        }
        self.finished = true;
        Ok(self.file_bytes)
    }

    fn seal_frame(&mut self, last: bool) {
        self.cipher.seal_frame(&self.identity, self.next_frame, last, &mut self.frame);
        self.sealed.extend_from_slice(&self.frame);
        self.frame.clear();
        self.next_frame += 1;
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.append(&self.sealed)?;
        self.file_bytes += self.sealed.len() as u64;
        self.sealed.clear();
        Ok(())
    }
}

impl Write for SealedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.sealed.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        let taken = bytes.len().min(FRAME_BYTES - self.frame.len());
        self.frame.extend_from_slice(&bytes[..taken]);
        self.content_bytes += taken as u64;
        if self.frame.len() == FRAME_BYTES {
            self.seal_frame(false);
        }
        Ok(taken)
    }

    /// Does nothing: a part of a file is of no use, [`SealedWriter::finish`] makes it whole.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SealedWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody can use the part; if it cannot be removed either, it only takes room.
            let _ = self.disk.remove(&self.path);
        }
    }
}

impl fmt::Debug for SealedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedWriter({}, {} bytes)", self.path.display(), self.content_bytes)
    }
}
