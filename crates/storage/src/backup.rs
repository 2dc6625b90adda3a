//! What a backup copies: a catalog of one moment, and the files that it names, which stay until they
//! are copied.

use crate::StoreError;
use crate::catalog::SegmentRecord;
use crate::store::{Inner, Store, file_name};
use model::SegmentId;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;

/// How much of a file is copied at once.
const STRIDE: usize = 1 << 20;

/// A moment of the store. While it lives, no file that its catalog names is removed.
pub struct Moment<'a> {
    inner: &'a Inner,
    /// The segments that the copied catalog names.
    pub segments: Vec<SegmentRecord>,
}

impl Store {
    /// Puts all rows into segments and copies the catalog of the moment after that to `to`, which
    /// must not be there yet. Writers and readers go on.
    ///
    /// # Errors
    /// If the disk or the catalog fails.
    pub fn moment(&self, to: &Path) -> Result<Moment<'_>, StoreError> {
        self.flush()?;
        self.inner().keeping.fetch_add(1, Ordering::AcqRel);
        // From here on dropping it lets files go again.
        let mut moment = Moment { inner: self.inner(), segments: Vec::new() };
        moment.segments = moment.inner.catalog.copy_to(to)?;
        Ok(moment)
    }
}

impl Moment<'_> {
    /// The name of a segment's file.
    pub fn file_name(id: SegmentId) -> String {
        file_name(id)
    }

    /// How long a segment's file is, and its first bytes, which say under which key it is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn head(&self, id: SegmentId) -> Result<(u64, Vec<u8>), StoreError> {
        let path = self.inner.segment_path(id);
        let file = self.inner.settings.disk.open(&path)?;
        let mut head = vec![0; HEAD_BYTES];
        file.read_exact_at(&mut head, 0)?;
        Ok((self.inner.settings.disk.len(&path)?, head))
    }

    /// Copies a segment's file as it is, sealed, and gives how many bytes it has.
    ///
    /// # Errors
    /// If it cannot be read or `to` cannot be written.
    pub fn copy(&self, id: SegmentId, to: &mut dyn Write) -> Result<u64, StoreError> {
        let path = self.inner.segment_path(id);
        let file = self.inner.settings.disk.open(&path)?;
        let bytes = self.inner.settings.disk.len(&path)?;
        let mut buffer = vec![0; STRIDE];
        let mut at = 0;
        while at < bytes {
            let part = &mut buffer[..STRIDE.min((bytes - at) as usize)];
            file.read_exact_at(part, at)?;
            to.write_all(part)?;
            at += part.len() as u64;
        }
        Ok(bytes)
    }
}

/// Magic, version, length and the wrapped key: what exchanging the file key changes.
pub const HEAD_BYTES: usize = 8 + protection::keys::WRAPPED_KEY_BYTES;

impl Drop for Moment<'_> {
    fn drop(&mut self) {
        if self.inner.keeping.fetch_sub(1, Ordering::AcqRel) == 1
            && let Err(error) = self.inner.remove_leavings()
        {
            tracing::warn!(%error, "files that nobody needs stay until the next start");
        }
    }
}

impl Inner {
    /// Removes files whose removal had to wait, if it need not wait any more.
    pub(crate) fn remove_leavings(&self) -> Result<(), StoreError> {
        while self.keeping.load(Ordering::Acquire) == 0 {
            let Some(id) = self.leavings.lock().pop() else { break };
            if let Err(error) = self.remove_file(id) {
                self.leavings.lock().push(id);
                return Err(error);
            }
        }
        Ok(())
    }
}
