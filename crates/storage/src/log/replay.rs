use super::format::{HEADER_BYTES, Header, HeaderError, number_of, path_of, read_header};
use super::{FrameNumber, LogError, LogFrame, Replayed};
use crate::disk::{Disk, read};
use protection::keys::KeyRing;
use std::io;
use std::path::{Path, PathBuf};

/// Read from each file first; more than any header.
const HEADER_READ_BYTES: u64 = 2048;

/// What the writer has to know of what was there.
pub(super) struct Found {
    pub(super) replayed: Replayed,
    /// All files, oldest first.
    pub(super) files: Vec<FoundFile>,
}

/// One file that was read.
pub(super) struct FoundFile {
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// How many of its frames count.
    pub(super) frames: u64,
    /// All its log numbers are below this.
    pub(super) next: u64,
}

/// Reads all files in order and hands out their frames. `mend`: removes a file that was torn while
/// it was made; never while somebody writes.
pub(super) fn replay<E: From<LogError>>(
    disk: &dyn Disk,
    dir: &Path,
    keys: &KeyRing,
    mend: bool,
    take: &mut impl FnMut(LogFrame) -> Result<(), E>,
) -> Result<Found, E> {
    let headers = read_headers(disk, dir, keys, mend)?;
    let first = headers.first().map_or(1, |file| file.header.prologue.next);
    let mut replayed = Replayed {
        first: FrameNumber(first),
        next: FrameNumber(first),
        frames: 0,
        dropped_bytes: 0,
    };
    let mut files = Vec::with_capacity(headers.len());
    for (index, file) in headers.iter().enumerate() {
        let counted = headers.get(index + 1).map(|next| next.header.prologue.previous_frames);
        let frames = replay_file(disk, file, counted, &mut replayed, take)?;
        let next = replayed.next.0;
        files.push(FoundFile { number: file.number, bytes: file.bytes, frames, next });
    }
    Ok(Found { replayed, files })
}

struct LogFile {
    number: u64,
    path: PathBuf,
    bytes: u64,
    header: Header,
}

impl LogFile {
    fn damaged(&self, frame: u64) -> LogError {
        LogError::Damaged { path: self.path.clone(), frame }
    }
}

/// Finds the files and checks that none is missing between two others.
fn read_headers(
    disk: &dyn Disk,
    dir: &Path,
    keys: &KeyRing,
    mend: bool,
) -> Result<Vec<LogFile>, LogError> {
    let io = |source| LogError::Io { path: dir.to_owned(), source };
    disk.create_dir_all(dir).map_err(io)?;
    let names = disk.list(dir).map_err(io)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let mut files: Vec<LogFile> = Vec::with_capacity(numbers.len());
    for (index, &number) in numbers.iter().enumerate() {
        let path = path_of(dir, number);
        let expected = index.checked_sub(1).map(|before| numbers[before] + 1);
        if let Some(expected) = expected.filter(|&expected| expected != number) {
            return Err(LogError::Missing { path: path_of(dir, expected) });
        }
        let is_newest = index + 1 == numbers.len();
        let Some((header, bytes)) = open_file(disk, &path, keys, number, is_newest)? else {
            if mend {
                remove_torn(disk, dir, &path)?;
            }
            continue;
        };
        let previous = header.prologue.previous;
        if previous + 1 != number || files.last().is_some_and(|file| file.number != previous) {
            return Err(LogError::Damaged { path, frame: 0 });
        }
        files.push(LogFile { number, path, bytes, header });
    }
    Ok(files)
}

/// The header of a file and its size; `None` if it is the newest and was torn while it was made:
/// frames are written only after the header is durable, so there are none then.
fn open_file(
    disk: &dyn Disk,
    path: &Path,
    keys: &KeyRing,
    number: u64,
    is_newest: bool,
) -> Result<Option<(Header, u64)>, LogError> {
    let read = || -> io::Result<(Vec<u8>, u64)> {
        let file = disk.open(path)?;
        let size = file.size()?;
        let mut start = vec![0; size.min(HEADER_READ_BYTES) as usize];
        file.read_exact_at(&mut start, 0)?;
        Ok((start, size))
    };
    let (start, size) = read().map_err(|source| LogError::Io { path: path.to_owned(), source })?;
    match read_header(&start, keys, number) {
        Ok(header) => Ok(Some((header, size))),
        Err(HeaderError::Broken | HeaderError::Key(_))
            if is_newest && size <= HEADER_BYTES as u64 =>
        {
            Ok(None)
        }
        Err(error) => Err(error.at(path)),
    }
}

fn remove_torn(disk: &dyn Disk, dir: &Path, path: &Path) -> Result<(), LogError> {
    tracing::warn!(path = %path.display(), "log file torn while it was made, removed");
    disk.remove(path)
        .and_then(|()| disk.sync_dir(dir))
        .map_err(|source| LogError::Io { path: path.to_owned(), source })
}

/// Hands out the frames of one file and returns how many count. `counted`: how many there must
/// be, if a later file says so.
fn replay_file<E: From<LogError>>(
    disk: &dyn Disk,
    file: &LogFile,
    counted: Option<u64>,
    replayed: &mut Replayed,
    take: &mut impl FnMut(LogFrame) -> Result<(), E>,
) -> Result<u64, E> {
    if file.header.prologue.next < replayed.next.0 {
        return Err(file.damaged(0).into());
    }
    replayed.next = FrameNumber(file.header.prologue.next);
    let bytes = read(disk, &file.path)
        .map_err(|source| LogError::Io { path: file.path.clone(), source })?;
    let sealer = &file.header.sealer;
    let mut at = file.header.bytes;
    let mut frames = 0;
    while counted.map_or(at < bytes.len(), |counted| frames < counted) {
        let place = frames + 1;
        let Some(frame) = sealer.open(&bytes, at, place) else {
            if counted.is_some() || sealer.later_group_follows(&bytes, at, place) {
                return Err(file.damaged(place).into());
            }
            replayed.dropped_bytes = (bytes.len() - at) as u64;
            let dropped_bytes = replayed.dropped_bytes;
            tracing::warn!(path = %file.path.display(), dropped_bytes, "torn end of the log dropped");
            break;
        };
        if frame.is_end {
            if counted.is_some() || frame.next_at != bytes.len() {
                return Err(file.damaged(place).into());
            }
            break;
        }
        if frame.number < replayed.next.0 {
            return Err(file.damaged(place).into());
        }
        replayed.next = FrameNumber(frame.number + 1);
        replayed.frames += 1;
        frames += 1;
        at = frame.next_at;
        take(LogFrame { number: FrameNumber(frame.number), payload: frame.payload })?;
    }
    Ok(frames)
}
