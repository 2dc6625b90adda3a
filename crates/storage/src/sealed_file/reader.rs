use super::{
    FIXED_HEADER_BYTES, FOOTER_BYTES, FRAME_BYTES, FrameCache, MAGIC, SealedError, TAG_BYTES,
    VERSION, WRAPPED_BYTES_MAX, authenticated,
};
use crate::disk::{Disk, DiskRead};
use protection::FileCipher;
use protection::keys::KeyRing;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads longer than this do not go through the cache: they would push everything else out.
const CACHED_BYTES_MAX: u64 = 256 * 1024;
/// How much of a long read is fetched from the disk at once.
const READ_FRAMES_MAX: u64 = 64;
/// Fetched together with the fixed part of the header.
const USUAL_HEADER_BYTES: usize = 256;

/// Reads one sealed file by range, from any number of threads at once.
pub struct SealedReader {
    file: Arc<dyn DiskRead>,
    path: PathBuf,
    cipher: FileCipher,
    identity: Vec<u8>,
    cache: Arc<FrameCache>,
    /// Of this reader among all that use the cache.
    cache_key: u64,
    frames_start: u64,
    frames: u64,
    content_bytes: u64,
}

impl SealedReader {
    /// Opens a file that was written with the same `purpose` and `identity`, and checks that
    /// nothing was cut off or added. Its frames are checked when they are read.
    ///
    /// # Errors
    /// If it is not there, not ours, too new, under another key, or of another length.
    pub fn open(
        disk: &Arc<dyn Disk>,
        path: &Path,
        keys: &KeyRing,
        purpose: &str,
        identity: &str,
        cache: Arc<FrameCache>,
    ) -> Result<SealedReader, SealedError> {
        let io = |source| SealedError::Io { path: path.to_owned(), source };
        let file = disk.open(path).map_err(io)?;
        let size = file.size().map_err(io)?;
        let header = read_header(&*file, path, size)?;
        let cipher = keys
            .open_file_key(purpose, &header.wrapped)
            .map_err(|source| SealedError::Key { path: path.to_owned(), source })?;
        let mut reader = SealedReader {
            file,
            path: path.to_owned(),
            cipher,
            identity: authenticated(purpose, identity),
            cache_key: cache.new_key(),
            cache,
            frames_start: header.bytes,
            frames: 0,
            content_bytes: 0,
        };
        reader.read_footer(size)?;
        Ok(reader)
    }

    /// Bytes of content.
    pub fn len(&self) -> u64 {
        self.content_bytes
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.content_bytes == 0
    }

    /// Where the file was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a range; only the frames that hold it are read and opened.
    ///
    /// # Errors
    /// If the range reaches beyond the end, the disk fails, or a frame is not what was written.
    pub fn read_range(&self, range: Range<u64>) -> Result<Vec<u8>, SealedError> {
        if range.start > range.end || range.end > self.content_bytes {
            return Err(SealedError::OutOfRange { path: self.path.clone() });
        }
        let len = range.end - range.start;
        if len == 0 {
            return Ok(Vec::new());
        }
        let mut content = Vec::with_capacity(usize::try_from(len).expect("a range fits in memory"));
        if len <= CACHED_BYTES_MAX {
            self.read_cached(&range, &mut content)?;
        } else {
            self.read_long(&range, &mut content)?;
        }
        Ok(content)
    }

    fn read_cached(&self, range: &Range<u64>, content: &mut Vec<u8>) -> Result<(), SealedError> {
        for frame in frames_of(range) {
            let key = (self.cache_key, frame);
            let opened = match self.cache.get(key) {
                Some(opened) => opened,
                None => {
                    let mut data = self.read_sealed(frame..frame + 1)?;
                    self.open_frame(frame, &mut data)?;
                    let opened: Arc<[u8]> = data.into();
                    self.cache.insert(key, Arc::clone(&opened));
                    opened
                }
            };
            content.extend_from_slice(&opened[part_of(frame, range)]);
        }
        Ok(())
    }

    fn read_long(&self, range: &Range<u64>, content: &mut Vec<u8>) -> Result<(), SealedError> {
        let frames = frames_of(range);
        let mut data = Vec::with_capacity(FRAME_BYTES + TAG_BYTES);
        let mut start = frames.start;
        while start < frames.end {
            let end = frames.end.min(start + READ_FRAMES_MAX);
            let sealed = self.read_sealed(start..end)?;
            for (frame, bytes) in (start..end).zip(sealed.chunks(FRAME_BYTES + TAG_BYTES)) {
                data.clear();
                data.extend_from_slice(bytes);
                self.open_frame(frame, &mut data)?;
                content.extend_from_slice(&data[part_of(frame, range)]);
            }
            start = end;
        }
        Ok(())
    }

    /// Neighbouring frames as they lie on the disk.
    fn read_sealed(&self, frames: Range<u64>) -> Result<Vec<u8>, SealedError> {
        let content = self.content_bytes.min(frames.end * FRAME_BYTES as u64)
            - frames.start * FRAME_BYTES as u64;
        let sealed = content + (frames.end - frames.start) * TAG_BYTES as u64;
        let mut data = vec![0; usize::try_from(sealed).expect("a read is short")];
        self.read_at(&mut data, self.frame_start(frames.start))?;
        Ok(data)
    }

    fn read_at(&self, data: &mut [u8], offset: u64) -> Result<(), SealedError> {
        self.file.read_exact_at(data, offset).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => SealedError::Length { path: self.path.clone() },
            _ => SealedError::Io { path: self.path.clone(), source },
        })
    }

    fn open_frame(&self, frame: u64, data: &mut Vec<u8>) -> Result<(), SealedError> {
        self.cipher
            .open_frame(&self.identity, frame, false, data)
            .map_err(|_| SealedError::Damaged { path: self.path.clone(), frame })
    }

    fn frame_start(&self, frame: u64) -> u64 {
        self.frames_start + frame * (FRAME_BYTES + TAG_BYTES) as u64
    }

    /// Learns from the size of the file what its length must be, and has the footer confirm it.
    fn read_footer(&mut self, size: u64) -> Result<(), SealedError> {
        let length = || SealedError::Length { path: self.path.clone() };
        let frames_bytes =
            size.checked_sub(self.frames_start + FOOTER_BYTES as u64).ok_or_else(length)?;
        let frames = frames_bytes.div_ceil((FRAME_BYTES + TAG_BYTES) as u64);
        let content_bytes =
            frames_bytes.checked_sub(frames * TAG_BYTES as u64).ok_or_else(length)?;
        let mut footer = vec![0; FOOTER_BYTES];
        self.read_at(&mut footer, size - FOOTER_BYTES as u64)?;
        self.cipher.open_frame(&self.identity, frames, true, &mut footer).map_err(|_| length())?;
        let mut expected = content_bytes.to_le_bytes().to_vec();
        expected.extend_from_slice(&frames.to_le_bytes());
        if footer != expected {
            return Err(length());
        }
        self.frames = frames;
        self.content_bytes = content_bytes;
        Ok(())
    }
}

impl fmt::Debug for SealedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "SealedReader({path}, {} bytes in {} frames)", self.content_bytes, self.frames)
    }
}

/// The start of a sealed file.
pub(super) struct Header {
    pub(super) wrapped: Vec<u8>,
    bytes: u64,
}

pub(super) fn read_header(
    file: &dyn DiskRead,
    path: &Path,
    size: u64,
) -> Result<Header, SealedError> {
    let not_sealed = || SealedError::NotSealed { path: path.to_owned() };
    let mut start = vec![0; USUAL_HEADER_BYTES.min(usize::try_from(size).unwrap_or(usize::MAX))];
    let io = |source| SealedError::Io { path: path.to_owned(), source };
    file.read_exact_at(&mut start, 0).map_err(io)?;
    if !start.starts_with(MAGIC) || start.len() < FIXED_HEADER_BYTES {
        return Err(not_sealed());
    }
    match u16::from_le_bytes([start[4], start[5]]) {
        VERSION => {}
        0 => return Err(not_sealed()),
        version => return Err(SealedError::TooNew { path: path.to_owned(), version }),
    }
    let wrapped_bytes = usize::from(u16::from_le_bytes([start[6], start[7]]));
    let bytes = FIXED_HEADER_BYTES + wrapped_bytes;
    if wrapped_bytes > WRAPPED_BYTES_MAX {
        return Err(not_sealed());
    }
    if size < (bytes + FOOTER_BYTES) as u64 {
        return Err(SealedError::Length { path: path.to_owned() });
    }
    if start.len() < bytes {
        start.resize(bytes, 0);
        file.read_exact_at(&mut start, 0).map_err(io)?;
    }
    let wrapped = start[FIXED_HEADER_BYTES..bytes].to_vec();
    Ok(Header { wrapped, bytes: bytes as u64 })
}

/// The frames that hold a range that is not empty.
fn frames_of(range: &Range<u64>) -> Range<u64> {
    range.start / FRAME_BYTES as u64..range.end.div_ceil(FRAME_BYTES as u64)
}

/// Which bytes of a frame belong to a range.
fn part_of(frame: u64, range: &Range<u64>) -> Range<usize> {
    let start = frame * FRAME_BYTES as u64;
    let within = |place: u64| place.saturating_sub(start).min(FRAME_BYTES as u64) as usize;
    within(range.start)..within(range.end)
}
