//! One file for one segment: Tantivy's files interleaved in extents, then a footer.
//!
//! ```text
//! plain bytes inside the sealed file:
//!   extents       up to 256 KiB of one Tantivy file each, in the order they filled
//!   bloom filter  over the given `_id`s, if there are any
//!   footer        JSON: {"v": 1, "files": [{"name", "extents": [[offset, length], …]}, …],
//!                 "segment": Tantivy's id, "rows": n, "bloom": [offset, length] or null}
//!   footer length u64, little endian
//! ```
//!
//! Tantivy writes several files at once; interleaving lets a segment of any size be written with
//! bounded memory into one sequential sealed file.

use crate::column_cache::ColumnCache;
use crate::sealed_file::{SealedReader, SealedWriter};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::HasLen;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, FileSlice, Lock, OwnedBytes,
    TerminatingWrite, WatchCallback, WatchHandle, WritePtr,
};

const EXTENT_BYTES: usize = 256 * 1024;
const FOOTER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the parts of a Tantivy file lie.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Extents {
    name: String,
    extents: Vec<(u64, u64)>,
}

/// What the end of the file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Footer {
    v: u32,
    files: Vec<Extents>,
    segment: String,
    rows: u32,
    bloom: Option<(u64, u64)>,
}

/// Takes Tantivy's writes and lays them into one sealed file.
#[derive(Clone)]
pub(crate) struct PackWriter {
    state: Arc<Mutex<PackState>>,
}

struct PackState {
    sealed: Option<SealedWriter>,
    written: u64,
    files: HashMap<PathBuf, Extents>,
    /// Files that Tantivy reads back while it writes, or rewrites: kept in memory.
    small: HashMap<PathBuf, Arc<Vec<u8>>>,
}

impl PackWriter {
    pub(crate) fn new(sealed: SealedWriter) -> PackWriter {
        PackWriter {
            state: Arc::new(Mutex::new(PackState {
                sealed: Some(sealed),
                written: 0,
                files: HashMap::new(),
                small: HashMap::new(),
            })),
        }
    }

    /// Writes the footer and makes the file durable. Returns its plain length.
    pub(crate) fn finish(self, segment: &str, rows: u32, bloom: Option<&[u8]>) -> io::Result<u64> {
        let mut state = self.state.lock();
        let bloom = match bloom {
            Some(bytes) => {
                let at = state.written;
                state.write(bytes)?;
                Some((at, bytes.len() as u64))
            }
            None => None,
        };
        let mut files: Vec<Extents> = state.files.values().cloned().collect();
        files.sort_by(|left, right| left.name.cmp(&right.name));
        let footer = Footer { v: 1, files, segment: segment.to_owned(), rows, bloom };
        let json = serde_json::to_vec(&footer).map_err(io::Error::other)?;
        state.write(&json)?;
        state.write(&(json.len() as u64).to_le_bytes())?;
        let sealed = state.sealed.take().expect("finish is called once");
        sealed.finish()
    }
}

impl PackState {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sealed = self
            .sealed
            .as_mut()
            .ok_or_else(|| io::Error::other("the segment file is already finished"))?;
        sealed.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl fmt::Debug for PackWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PackWriter")
    }
}

/// A file being written.
struct ExtentWriter {
    pack: PackWriter,
    path: PathBuf,
    /// Also kept in memory, because Tantivy reads it back before the segment is finished.
    copy: Option<Vec<u8>>,
}

impl Write for ExtentWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.pack.state.lock();
        let at = state.written;
        state.write(bytes)?;
        let file = state.files.entry(self.path.clone()).or_default();
        match file.extents.last_mut() {
            Some((start, length)) if *start + *length == at => *length += bytes.len() as u64,
            _ => file.extents.push((at, bytes.len() as u64)),
        }
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for ExtentWriter {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        if let Some(copy) = self.copy.take() {
            self.pack.state.lock().small.insert(self.path.clone(), Arc::new(copy));
        }
        Ok(())
    }
}

fn is_read_back(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "fieldnorm")
}

impl Directory for PackWriter {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let state = self.state.lock();
        match state.small.get(path) {
            Some(bytes) => Ok(Arc::new(SharedBytes(Arc::clone(bytes)))),
            None => Err(OpenReadError::FileDoesNotExist(path.to_owned())),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        // A file that Tantivy throws away leaves its extents unused in the pack.
        let mut state = self.state.lock();
        state.small.remove(path);
        state.files.remove(path);
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        let state = self.state.lock();
        Ok(state.small.contains_key(path) || state.files.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let name = path.to_string_lossy().into_owned();
        let extents = Extents { name, extents: Vec::new() };
        if self.state.lock().files.insert(path.to_owned(), extents).is_some() {
            return Err(OpenWriteError::FileAlreadyExists(path.to_owned()));
        }
        let writer = ExtentWriter {
            pack: self.clone(),
            path: path.to_owned(),
            copy: is_read_back(path).then(Vec::new),
        };
        Ok(BufWriter::with_capacity(EXTENT_BYTES, Box::new(writer)))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let state = self.state.lock();
        match state.small.get(path) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(OpenReadError::FileDoesNotExist(path.to_owned())),
        }
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        // Only `meta.json` and `.managed.json`: the reader makes its own.
        self.state.lock().small.insert(path.to_owned(), Arc::new(data.to_vec()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

/// Bytes in memory as a file.
struct SharedBytes(Arc<Vec<u8>>);

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({})", self.0.len())
    }
}

impl HasLen for SharedBytes {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl FileHandle for SharedBytes {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        Ok(OwnedBytes::new(self.0[range].to_vec()))
    }
}

/// A finished pack, read by range.
pub(crate) struct Pack {
    sealed: Arc<SealedReader>,
    footer: Footer,
    files: HashMap<String, Arc<[(u64, u64)]>>,
}

impl Pack {
    /// Opens a pack and checks its footer.
    pub(crate) fn open(sealed: SealedReader) -> io::Result<Pack> {
        let path = sealed.path().to_owned();
        let damaged = |what: &str| {
            let what = format!("`{}` {what}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        let length = sealed.len();
        if length < 8 {
            return Err(damaged("is no segment: it has no footer"));
        }
        let tail = sealed.read_range(length - 8..length).map_err(io::Error::other)?;
        let footer_bytes =
            u64::from_le_bytes(tail.try_into().map_err(|_| damaged("was not read whole"))?);
        if footer_bytes > FOOTER_BYTES_MAX || footer_bytes > length - 8 {
            return Err(damaged("is no segment: its footer has no such length"));
        }
        let footer =
            sealed.read_range(length - 8 - footer_bytes..length - 8).map_err(io::Error::other)?;
        let footer: Footer = serde_json::from_slice(&footer)
            .map_err(|_| damaged("is no segment: its footer cannot be read"))?;
        if footer.v != 1 {
            let what = format!("has segment version {}; use a newer program", footer.v);
            return Err(damaged(&what));
        }
        let files = footer
            .files
            .iter()
            .map(|file| (file.name.clone(), Arc::from(file.extents.as_slice())))
            .collect();
        Ok(Pack { sealed: Arc::new(sealed), footer, files })
    }

    /// Tantivy's id of the segment, 32 hexadecimal digits.
    pub(crate) fn segment(&self) -> &str {
        &self.footer.segment
    }

    /// How many rows.
    pub(crate) fn rows(&self) -> u32 {
        self.footer.rows
    }

    /// The bloom filter over given ids, if there are any.
    pub(crate) fn bloom(&self) -> io::Result<Option<Vec<u8>>> {
        match self.footer.bloom {
            Some((at, length)) => {
                let range = at..at.saturating_add(length);
                self.sealed.read_range(range).map(Some).map_err(io::Error::other)
            }
            None => Ok(None),
        }
    }

    fn file(&self, name: &str) -> Option<PackedFile> {
        let extents = self.files.get(name)?;
        let length = extents.iter().map(|&(_, length)| length as usize).sum();
        Some(PackedFile { sealed: Arc::clone(&self.sealed), extents: Arc::clone(extents), length })
    }
}

/// One Tantivy file inside a pack.
struct PackedFile {
    sealed: Arc<SealedReader>,
    extents: Arc<[(u64, u64)]>,
    length: usize,
}

impl fmt::Debug for PackedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedFile({} bytes)", self.length)
    }
}

impl HasLen for PackedFile {
    fn len(&self) -> usize {
        self.length
    }
}

impl FileHandle for PackedFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let mut bytes = Vec::new();
        let mut position = 0_u64;
        let (wanted_start, wanted_end) = (range.start as u64, range.end as u64);
        for &(at, length) in self.extents.iter() {
            let start = wanted_start.max(position);
            let end = wanted_end.min(position + length);
            if start < end {
                let source = at + (start - position)..at + (end - position);
                let part = self.sealed.read_range(source).map_err(io::Error::other)?;
                if start == wanted_start && end == wanted_end {
                    return Ok(OwnedBytes::new(part));
                }
                bytes.reserve_exact((wanted_end - wanted_start) as usize - bytes.len());
                bytes.extend_from_slice(&part);
            }
            position += length;
            if position >= wanted_end {
                break;
            }
        }
        if bytes.len() != range.len() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "read behind the end of a packed file",
            ));
        }
        Ok(OwnedBytes::new(bytes))
    }
}

/// Where decrypted stretches of a segment's files are kept for the next reader.
#[derive(Clone)]
pub(crate) struct CachedReads {
    pub(crate) cache: Arc<ColumnCache>,
    /// The segment's key in the cache.
    pub(crate) segment: u64,
}

/// A shorter read is served by the cache of frames.
const STRETCH_MIN: usize = 16 * 1024;

/// Postings, positions and norms are read whole by every question about a word; columns have
/// their own entries in the cache, and documents are read once.
fn is_read_again(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("idx" | "pos" | "fieldnorm"))
}

/// A file whose long reads are kept.
struct CachedFile {
    name: Arc<str>,
    file: PackedFile,
    reads: CachedReads,
}

impl fmt::Debug for CachedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedFile({} bytes)", self.file.length)
    }
}

impl HasLen for CachedFile {
    fn len(&self) -> usize {
        self.file.length
    }
}

impl FileHandle for CachedFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.len() < STRETCH_MIN {
            return self.file.read_bytes(range);
        }
        let CachedReads { cache, segment } = &self.reads;
        if let Some(bytes) = cache.get_stretch(*segment, &self.name, &range) {
            return Ok(bytes);
        }
        let bytes = self.file.read_bytes(range.clone())?;
        cache.put_stretch(*segment, &self.name, range, bytes.clone());
        Ok(bytes)
    }
}

/// A pack as a Tantivy directory with the schema that the table has today.
#[derive(Clone)]
pub(crate) struct PackDirectory {
    pack: Arc<Pack>,
    reads: CachedReads,
    meta: Arc<Vec<u8>>,
    /// `.fieldnorm` with empty norms for text fields that were added after this segment.
    norms: Option<Arc<Vec<u8>>>,
}

impl PackDirectory {
    pub(crate) fn new(
        pack: Arc<Pack>,
        reads: CachedReads,
        schema: &tantivy::schema::Schema,
        text_fields: impl Iterator<Item = tantivy::schema::Field>,
    ) -> io::Result<PackDirectory> {
        let meta = serde_json::json!({
            "index_settings": { "docstore_compression": "zstd", "docstore_blocksize": 16384 },
            "segments": [{
                "segment_id": uuid(pack.segment()),
                "max_doc": pack.rows(),
                "deletes": null,
            }],
            "schema": schema,
            "opstamp": 0,
        });
        let meta = Arc::new(serde_json::to_vec(&meta).map_err(io::Error::other)?);
        let mut directory = PackDirectory { pack, reads, meta, norms: None };
        directory.norms = directory.patched_norms(text_fields)?;
        Ok(directory)
    }

    fn patched_norms(
        &self,
        text_fields: impl Iterator<Item = tantivy::schema::Field>,
    ) -> io::Result<Option<Arc<Vec<u8>>>> {
        use tantivy::directory::footer::Footer as FileFooter;
        use tantivy::directory::{CompositeFile, CompositeWrite};
        let name = format!("{}.fieldnorm", self.pack.segment());
        let Some(file) = self.pack.file(&name) else { return Ok(None) };
        let whole = FileSlice::new(Arc::new(file));
        let whole_length = whole.len();
        let (_, body) = FileFooter::extract_footer(whole.clone())?;
        let composite = CompositeFile::open(&body)?;
        let fields: Vec<_> = text_fields.collect();
        if fields.iter().all(|&field| composite.open_read(field).is_some()) {
            return Ok(None);
        }
        let written = VecWriter::default();
        let bytes = Arc::clone(&written.0);
        let mut patched = CompositeWrite::wrap(written);
        let none = vec![0_u8; self.pack.rows() as usize];
        for field in fields {
            let write = patched.for_field(field);
            match composite.open_read(field) {
                Some(norms) => write.write_all(&norms.read_bytes()?)?,
                None => write.write_all(&none)?,
            }
        }
        patched.close()?;
        let mut bytes = std::mem::take(&mut *bytes.lock());
        // Tantivy's own trailer (version and checksum) follows; it is looked at, never recomputed.
        bytes.extend_from_slice(&whole.slice(body.len()..whole_length).read_bytes()?);
        Ok(Some(Arc::new(bytes)))
    }
}

/// Collects what a composite file writes.
#[derive(Default)]
struct VecWriter(Arc<Mutex<Vec<u8>>>);

impl Write for VecWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for VecWriter {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        Ok(())
    }
}

/// Tantivy writes segment ids as UUIDs in `meta.json` and without dashes in file names.
fn uuid(hex: &str) -> String {
    if hex.len() != 32 || !hex.is_ascii() {
        return hex.to_owned();
    }
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

impl fmt::Debug for PackDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackDirectory({})", self.pack.segment())
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a finished segment is never changed")
}

impl Directory for PackDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        if let (Some(norms), true) = (&self.norms, is_read_back(path)) {
            return Ok(Arc::new(SharedBytes(Arc::clone(norms))));
        }
        let name = path.to_string_lossy();
        match self.pack.file(&name) {
            Some(file) if is_read_again(path) => {
                let reads = self.reads.clone();
                Ok(Arc::new(CachedFile { name: Arc::from(name), file, reads }))
            }
            Some(file) => Ok(Arc::new(file)),
            None => Err(OpenReadError::FileDoesNotExist(path.to_owned())),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_owned() })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        let name = path.to_string_lossy();
        Ok(name == "meta.json" || self.pack.files.contains_key(name.as_ref()))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(read_only(), path.to_owned()))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        if path == Path::new("meta.json") {
            return Ok(self.meta.to_vec());
        }
        Err(OpenReadError::FileDoesNotExist(path.to_owned()))
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
