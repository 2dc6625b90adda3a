//! After the file key of the ring was rotated: log and segments move to the new one, while rows
//! are written and read.
//!
//! Resumable: what a file is sealed under stands in its header, so that moving goes on where it
//! was, also after a crash.

use crate::disk::Disk;
use crate::sealed_file;
use crate::store::{SEGMENT_EXTENSION, SEGMENT_PURPOSE, TILES_EXTENSION, tiles_path};
use crate::{Store, StoreError};
use model::SegmentId;
use std::io;
use std::path::{Path, PathBuf};

/// What moving did, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Segments whose keys were wrapped anew.
    pub segments: u64,
    /// Files of log and segments that are still under an older key. Files of the log go when
    /// their rows are in segments and everything before them has gone.
    pub left: u64,
}

impl Store {
    /// Moves everything to the newest file key of the ring. Writers and readers go on.
    ///
    /// # Errors
    /// If the disk is full or fails, or a file is damaged; what was moved is moved, and the next
    /// call goes on.
    pub fn move_to_newest_key(&self) -> Result<Moved, StoreError> {
        if self.files_under_older_keys()? == 0 {
            return Ok(Moved::default());
        }
        // First a new file, then what is in the old ones: then they can go.
        self.inner.log.start_file()?;
        self.flush()?;
        self.inner.release_log()?;
        let mut moved = 0;
        for record in self.inner.catalog.segments()? {
            moved += u64::from(self.move_segment(record.id)?);
        }
        Ok(Moved { segments: moved, left: self.files_under_older_keys()? })
    }

    /// How many files of log and segments are under an older key of the ring.
    ///
    /// # Errors
    /// If the disk fails, or a file is under a key that the ring does not hold.
    pub fn files_under_older_keys(&self) -> Result<u64, StoreError> {
        let settings = &self.inner.settings;
        let mut left = 0;
        for folder in [self.inner.segments_dir(), settings.dir.join("log")] {
            for name in settings.disk.list(&folder)? {
                left += u64::from(self.is_under_older_key(&folder.join(name))?);
            }
        }
        Ok(left)
    }

    fn is_under_older_key(&self, path: &Path) -> Result<bool, StoreError> {
        let settings = &self.inner.settings;
        let head = match read_head(&*settings.disk, path) {
            // Released or merged a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            head => head?,
        };
        Ok(settings.keys.is_older_file_key(&head))
    }

    /// Whether the segment was moved; one that compaction removed meanwhile stays removed.
    fn move_segment(&self, id: SegmentId) -> Result<bool, StoreError> {
        let inner = &self.inner;
        let path = inner.segment_path(id);
        // Removed at the next start if a crash leaves it: it ends as segments do, and no commit
        // names it.
        let beside = path.with_extension(format!("moving.{SEGMENT_EXTENSION}"));
        let moved = self.move_file(&path, &beside)?;
        let tiles = tiles_path(&inner.settings.dir, id);
        let beside = path.with_extension(format!("moving.{TILES_EXTENSION}"));
        let moved = self.move_file(&tiles, &beside)? || moved;
        // A merge first commits, then removes: what no commit names now may have come back.
        let named = inner.catalog.segments()?.iter().any(|record| record.id == id);
        if moved && !named {
            inner.remove_tiles(id)?;
            match inner.settings.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(moved && named)
    }

    /// Whether a file was moved; one that is not there is none.
    fn move_file(&self, path: &Path, beside: &Path) -> Result<bool, StoreError> {
        let (disk, keys) = (&self.inner.settings.disk, &self.inner.settings.keys);
        match sealed_file::rewrap(disk, path, beside, keys, SEGMENT_PURPOSE) {
            Err(sealed_file::SealedError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(false)
            }
            moved => Ok(moved.map_err(io::Error::from)?),
        }
    }
}

/// Both formats begin with magic, version and length (8 bytes), then the wrapped key, which begins
/// with the id of the key that wraps it.
const WRAPPED_AT: u64 = 8;
const KEY_ID_BYTES: usize = 16;

/// The id of the key that a file is under; what is too short to have one was torn while it was
/// made, and is under none.
fn read_head(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut id = vec![0; KEY_ID_BYTES];
    match file.read_exact_at(&mut id, WRAPPED_AT) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        read => read.map(|()| id),
    }
}

impl crate::store::Inner {
    fn segments_dir(&self) -> PathBuf {
        self.settings.dir.join("segments")
    }
}
