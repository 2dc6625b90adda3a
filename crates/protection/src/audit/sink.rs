//! One folder that holds the record. There may be several; all hold the same bytes.

use super::frame::Header;
use super::{files_of, path_of};
use crate::cipher::FileCipher;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that is being written, the same in all folders.
pub(super) struct Current {
    pub(super) header: Header,
    pub(super) cipher: FileCipher,
    pub(super) frame_next: u64,
    /// So many of its bytes are durable somewhere.
    pub(super) good_bytes: u64,
}

/// A folder, and how far it got.
pub(super) struct Sink {
    pub(super) dir: PathBuf,
    /// It holds everything that is durable.
    pub(super) is_complete: bool,
    /// Why it does not; empty while it is well.
    pub(super) trouble: Option<String>,
    /// It holds another record, or a damaged one: evidence, never touched again.
    pub(super) is_evidence: bool,
    open: Option<OpenFile>,
    /// Test: every write fails half way, as on a full disk.
    #[cfg(test)]
    pub(super) full: Arc<parking_lot::Mutex<Vec<PathBuf>>>,
}

struct OpenFile {
    file: File,
    path: PathBuf,
    number: u32,
    /// A write failed: what stands behind the good bytes has to go first.
    is_torn: bool,
}

/// Why a folder did not take a frame; told to all who wait for it.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum SinkError {
    #[error("the file {} is gone", .0.display())]
    Gone(PathBuf),
    #[error("another file stands where {} has to be", .0.display())]
    InTheWay(PathBuf),
    #[error("{0}")]
    Io(Arc<io::Error>),
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> SinkError {
        SinkError::Io(Arc::new(error))
    }
}

impl Sink {
    pub(super) fn new(dir: &Path, is_complete: bool) -> Sink {
        Sink {
            dir: dir.to_owned(),
            is_complete,
            trouble: None,
            is_evidence: false,
            open: None,
            #[cfg(test)]
            full: Arc::default(),
        }
    }

    /// Makes one more frame of the current file durable.
    pub(super) fn append(&mut self, current: &Current, frame: &[u8]) -> Result<(), SinkError> {
        if self.open.as_ref().is_none_or(|open| open.number != current.header.number) {
            self.open = None;
            self.open = Some(self.open_current(current)?);
        }
        #[cfg(test)]
        let is_full = self.is_full();
        let open = self.open.as_mut().expect("just opened");
        open.check_in_place()?;
        open.mend(current.good_bytes)?;
        open.is_torn = true;
        #[cfg(test)]
        if is_full {
            open.file.write_all(&frame[..frame.len() / 2])?;
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        open.file.write_all(frame)?;
        open.file.sync_data()?;
        open.is_torn = false;
        Ok(())
    }

    #[cfg(test)]
    fn is_full(&self) -> bool {
        self.full.lock().contains(&self.dir)
    }

    /// Begins the current file, or goes on behind its good bytes.
    fn open_current(&self, current: &Current) -> Result<OpenFile, SinkError> {
        #[cfg(test)]
        if self.is_full() {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        let number = current.header.number;
        let path = path_of(&self.dir, number);
        let header = &current.header.bytes;
        if current.good_bytes > header.len() as u64 {
            let file = OpenOptions::new().write(true).open(&path)?;
            return Ok(OpenFile { file, path, number, is_torn: true });
        }
        // What a failed attempt left is a part of this very header.
        if path.try_exists()? && !header.starts_with(&fs::read(&path)?) {
            return Err(SinkError::InTheWay(path));
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        file.write_all(header)?;
        file.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        Ok(OpenFile { file, path, number, is_torn: false })
    }

    /// Copies at most `bytes_max` of what `source` has more; whether nothing is left to copy.
    pub(super) fn catch_up(
        &mut self,
        source: &Path,
        current: Option<&Current>,
        mut bytes_max: u64,
    ) -> io::Result<bool> {
        #[cfg(test)]
        if self.is_full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.open = None;
        if self.dir == source || fs::canonicalize(&self.dir)? == fs::canonicalize(source)? {
            return Err(io::Error::other("it is one of the other folders of the record"));
        }
        let list = |dir: &Path| files_of(dir).map_err(|error| io::Error::other(error.to_string()));
        let own_last = list(&self.dir)?.last().map(|(number, _)| *number);
        for (number, path) in list(source)? {
            let wanted = match current.filter(|current| current.header.number == number) {
                Some(current) => current.good_bytes,
                None => fs::metadata(&path)?.len(),
            };
            let copy = path_of(&self.dir, number);
            let is_new = !copy.try_exists()?;
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(false).open(&copy)?;
            let there = file.metadata()?.len();
            if there > wanted && own_last != Some(number) {
                return Err(io::Error::other(format!("{} is longer than it was", copy.display())));
            }
            if there > wanted {
                // What a failed write left.
                file.set_len(wanted)?;
            }
            let (from, more) = (there.min(wanted), wanted.saturating_sub(there).min(bytes_max));
            if more > 0 {
                let mut original = File::open(&path)?;
                original.seek(SeekFrom::Start(from))?;
                file.seek(SeekFrom::Start(from))?;
                io::copy(&mut original.take(more), &mut file)?;
            }
            if more > 0 || there > wanted || is_new {
                file.sync_all()?;
            }
            if is_new {
                File::open(&self.dir)?.sync_all()?;
            }
            bytes_max -= more;
            if from + more < wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl OpenFile {
    /// Whether the file is still where it was opened: writing to a deleted file succeeds.
    fn check_in_place(&self) -> Result<(), SinkError> {
        match is_same_file(&self.file, &self.path) {
            Ok(true) => Ok(()),
            _ => Err(SinkError::Gone(self.path.clone())),
        }
    }

    /// Cuts off what a failed write left.
    fn mend(&mut self, good_bytes: u64) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(good_bytes)?;
            self.file.seek(SeekFrom::Start(good_bytes))?;
            self.file.sync_all()?;
            self.is_torn = false;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (open, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

#[cfg(not(unix))]
fn is_same_file(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// Whether the files of `copy` are the beginning of those of `original`, byte for byte. Whole
/// files are compared by their length alone but for the last one; `audit::verify` reads all.
pub(super) fn is_beginning(copy: &Path, original: &Path) -> io::Result<bool> {
    let list = |dir: &Path| files_of(dir).map_err(|error| io::Error::other(error.to_string()));
    let (copies, originals) = (list(copy)?, list(original)?);
    let count = copies.len();
    for (place, (number, path)) in copies.into_iter().enumerate() {
        let Some((_, other)) = originals.get(place).filter(|(other, _)| *other == number) else {
            return Ok(false);
        };
        let (there, wanted) = (fs::metadata(&path)?.len(), fs::metadata(other)?.len());
        let is_last = place + 1 == count;
        if (is_last && there > wanted) || (!is_last && there != wanted) {
            return Ok(false);
        }
        if is_last && !begins_alike(&path, other, there)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn begins_alike(one: &Path, other: &Path, bytes: u64) -> io::Result<bool> {
    let mut one = io::BufReader::new(File::open(one)?.take(bytes)).bytes();
    let mut other = io::BufReader::new(File::open(other)?.take(bytes)).bytes();
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (one, other) if one != other => return Ok(false),
            _ => {}
        }
    }
}
