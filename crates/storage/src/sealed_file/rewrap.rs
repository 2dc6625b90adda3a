use super::reader::read_header;
use super::{FIXED_HEADER_BYTES, SealedError};
use crate::disk::{Disk, folder_of};
use protection::keys::KeyRing;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Copied at once.
const COPY_BYTES: usize = 1024 * 1024;

/// Moves a file to the newest key of the ring: its own key is wrapped anew, its frames stay as
/// they are. Says whether there was anything to do.
///
/// The file is copied to `beside` and the copy takes its place, so that a crash leaves the old
/// file or the new one, whole; who has the old one open goes on reading it. What a crash leaves at
/// `beside` is written over by the next call.
///
/// # Errors
/// If the file is not sealed, its key does not open, or the disk is full or fails; the file stays
/// then as it is.
pub fn rewrap(
    disk: &Arc<dyn Disk>,
    path: &Path,
    beside: &Path,
    keys: &KeyRing,
    purpose: &str,
) -> Result<bool, SealedError> {
    let io = |source| SealedError::Io { path: path.to_owned(), source };
    let file = disk.open(path).map_err(io)?;
    let size = file.size().map_err(io)?;
    let header = read_header(&*file, path, size)?;
    let wrapped = keys
        .rewrap_file_key(purpose, &header.wrapped)
        .map_err(|source| SealedError::Key { path: path.to_owned(), source })?;
    let Some(wrapped) = wrapped else { return Ok(false) };
    if wrapped.len() != header.wrapped.len() {
        return Err(SealedError::NotSealed { path: path.to_owned() });
    }
    match disk.remove(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let copied = copy(disk, &*file, size, &wrapped, beside).and_then(|()| {
        disk.rename(beside, path)?;
        disk.sync_dir(folder_of(path))
    });
    if let Err(source) = copied {
        // Nobody uses the part; if it cannot be removed either, it only takes room.
        let _ = disk.remove(beside);
        return Err(io(source));
    }
    Ok(true)
}

/// Writes the file with another wrapped key of the same length, durably.
fn copy(
    disk: &Arc<dyn Disk>,
    file: &dyn crate::disk::DiskRead,
    size: u64,
    wrapped: &[u8],
    beside: &Path,
) -> io::Result<()> {
    let mut made = disk.create_new(beside)?;
    let mut fixed = [0; FIXED_HEADER_BYTES];
    file.read_exact_at(&mut fixed, 0)?;
    made.append(&fixed)?;
    made.append(wrapped)?;
    let mut place = (fixed.len() + wrapped.len()) as u64;
    let mut buffer = vec![0; COPY_BYTES];
    while place < size {
        let part = usize::try_from(size - place).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
        file.read_exact_at(&mut buffer[..part], place)?;
        made.append(&buffer[..part])?;
        place += part as u64;
    }
    made.sync()
}
