//! The disk, as far as durability goes: files that only grow at their end, folders whose entries
//! last once they are synced, reads at any offset.
//!
//! Log, segments and everything else that must survive a power cut go through [`Disk`], so that
//! the crash tests can cut between any two operations: [`RealDisk`] is the file system,
//! [`LossyDisk`] one in memory that forgets what was not synced.
//!
//! What lasts over a power cut:
//!
//! * bytes of a file: those written before the last [`DiskFile::sync`];
//! * a file's name (made, renamed, removed): once [`Disk::sync_dir`] of its folder returned;
//! * a folder: when [`Disk::create_dir_all`] returned.

mod lossy;
mod real;

pub use lossy::{LossyDisk, Remains};
pub use real::RealDisk;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file system. Called from any thread.
pub trait Disk: Send + Sync + Debug {
    /// Makes an empty file, open at its end.
    ///
    /// # Errors
    /// If it is there already ([`io::ErrorKind::AlreadyExists`]), or the folder is not.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there, to go on writing at its end.
    ///
    /// # Errors
    /// If it is not there.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there for reading.
    ///
    /// # Errors
    /// If it is not there.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskRead>>;

    /// Gives a file another name; a file that had that name is gone.
    ///
    /// # Errors
    /// If `from` is not there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Those who have it open can still read it.
    ///
    /// # Errors
    /// If it is not there.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names of the files and folders in a folder, sorted.
    ///
    /// # Errors
    /// If the folder is not there.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// If the folder is not there, or the disk fails.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a folder and those above it, durably. No error if it is there.
    ///
    /// # Errors
    /// If the disk fails or a file is in the way.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Whether a file or folder is there.
    ///
    /// # Errors
    /// If that cannot be told.
    fn try_exists(&self, path: &Path) -> io::Result<bool>;

    /// How many bytes a file has.
    ///
    /// # Errors
    /// If it is not there.
    fn len(&self, path: &Path) -> io::Result<u64>;
}

/// A file open for writing at its end.
pub trait DiskFile: Send + Debug {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// If the disk is full ([`io::ErrorKind::StorageFull`]) or fails. Part of the bytes may then
    /// be in the file; [`DiskFile::truncate`] removes them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all bytes durable (`fdatasync`). After an error nobody knows which are.
    ///
    /// # Errors
    /// If the disk fails.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `len` bytes; writing goes on there.
    ///
    /// # Errors
    /// If the disk fails.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A file open for reading.
pub trait DiskRead: Send + Sync + Debug {
    /// How many bytes it has.
    ///
    /// # Errors
    /// If the disk fails.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// If the file ends before that ([`io::ErrorKind::UnexpectedEof`]) or the disk fails.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Writes a small file so that after a power cut either the old or the new content is there.
///
/// The bytes go to `PATH.new`, which then takes the place of `path`.
///
/// # Errors
/// If the disk is full or fails; the old file is then still there.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    if disk.try_exists(&fresh)? {
        disk.remove(&fresh)?;
    }
    let written = disk.create_new(&fresh).and_then(|mut file| {
        file.append(bytes)?;
        file.sync()
    });
    if let Err(error) = written {
        // Gives the space back; what matters is the first error.
        let _ = disk.remove(&fresh);
        return Err(error);
    }
    disk.rename(&fresh, path)?;
    disk.sync_dir(folder_of(path))
}

/// Reads a whole file.
///
/// # Errors
/// If it is not there or the disk fails.
pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let size = usize::try_from(file.size()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
