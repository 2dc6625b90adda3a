//! Files where they lie: a folder of this machine, or a bucket.

use super::form::Contents;
use crate::SourceError;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

/// So many bytes are asked for at once.
const RANGE_BYTES: u64 = 4 << 20;

/// Where files lie, as the copy file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine.
    Folder(std::path::PathBuf),
    /// `s3://BUCKET/PREFIX`, in Amazon's cloud or at an endpoint that speaks the same.
    Bucket {
        /// The bucket.
        bucket: String,
        /// What names of files start with; may be empty.
        prefix: String,
        /// The region; `us-east-1` where nobody says.
        region: Option<String>,
        /// Another server than Amazon's: `https://…`, and `http://…` on loopback only.
        endpoint: Option<String>,
    },
}

/// What opens a bucket.
#[derive(Clone)]
pub struct BucketKey {
    /// The name of the key; no secret.
    pub id: String,
    /// The secret half.
    pub secret: Zeroizing<String>,
}

impl fmt::Debug for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketKey({})", self.id)
    }
}

/// An opened [`Place`].
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    store: Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    /// Files appear there whole.
    pub(super) is_atomic: bool,
}

/// A file as it is now.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Below the place, with `/` between folders.
    pub(super) name: String,
    pub(super) path: Path,
    pub(super) bytes: u64,
    /// When it was last written, in milliseconds since 1970.
    pub(super) written_ms: i64,
    pub(super) contents: Contents,
}

impl Shelf {
    /// Opens a place; nothing is asked of it yet.
    pub(super) fn open(place: &Place, key: Option<&BucketKey>) -> Result<Shelf, SourceError> {
        match place {
            Place::Folder(folder) => {
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|_| {
                    let folder = folder.display();
                    SourceError::Refused(format!("`{folder}` is no folder that can be read here"))
                })?;
                Ok(Shelf { store: Arc::new(store), prefix: None, is_atomic: false })
            }
            Place::Bucket { bucket, prefix, region, endpoint } => {
                let store = open_bucket(bucket, region.as_deref(), endpoint.as_deref(), key)?;
                let prefix = Path::parse(prefix.trim_matches('/')).map_err(|_| {
                    SourceError::Refused("the path behind the bucket is no path".to_owned())
                })?;
                let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
                Ok(Shelf { store, prefix, is_atomic: true })
            }
        }
    }

    /// All files whose names say what they hold, in the order of their names. Hidden files and
    /// those in hidden folders are none: that is where others write before they rename.
    pub(super) async fn list(&self) -> Result<Vec<Listed>, SourceError> {
        let mut files = Vec::new();
        let mut objects = self.store.list(self.prefix.as_ref());
        while let Some(object) = objects.try_next().await.map_err(|error| failure(&error))? {
            let name = match &self.prefix {
                Some(prefix) => match object.location.prefix_match(prefix) {
                    Some(parts) => {
                        parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/")
                    }
                    None => continue,
                },
                None => object.location.as_ref().to_owned(),
            };
            let is_hidden = name.split('/').any(|part| part.starts_with(['.', '_']));
            let Some(contents) = Contents::of_name(&name).filter(|_| !is_hidden) else { continue };
            files.push(Listed {
                name,
                path: object.location,
                bytes: object.size,
                written_ms: object.last_modified.timestamp_millis(),
                contents,
            });
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    /// Reads a file; on a blocking thread only.
    pub(super) fn file(&self, listed: &Listed, runtime: &Handle) -> StoredFile {
        StoredFile {
            store: Arc::clone(&self.store),
            path: listed.path.clone(),
            bytes: listed.bytes,
            runtime: runtime.clone(),
        }
    }
}

pub(super) fn open_bucket(
    bucket: &str,
    region: Option<&str>,
    endpoint: Option<&str>,
    key: Option<&BucketKey>,
) -> Result<Arc<dyn ObjectStore>, SourceError> {
    let key = key.ok_or_else(|| {
        SourceError::Refused(format!("there is no key for the bucket `{bucket}`: set one"))
    })?;
    let plain = endpoint.is_some_and(|endpoint| !endpoint.starts_with("https://"));
    if plain && !endpoint.is_some_and(is_loopback) {
        let reason = "the endpoint of the bucket speaks no TLS: give its https:// address";
        return Err(SourceError::Refused(reason.to_owned()));
    }
    let client = ClientOptions::new()
        .with_allow_http(plain)
        .with_timeout(Duration::from_secs(60))
        .with_connect_timeout(Duration::from_secs(10));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region.unwrap_or("us-east-1"))
        .with_access_key_id(&key.id)
        .with_secret_access_key(key.secret.as_str())
        .with_client_options(client);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder.build().map_err(|_| {
        SourceError::Refused(format!("`{bucket}` and its endpoint are no address of a bucket"))
    })?;
    Ok(Arc::new(store))
}

/// Whether a plain `http://` address is on this machine.
pub(crate) fn is_loopback(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Says what went wrong without the words of the server, which may quote anything.
fn failure(error: &object_store::Error) -> SourceError {
    use object_store::Error;
    match error {
        Error::NotFound { .. } => {
            SourceError::Unreachable("a file is gone, or its folder is".into())
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => SourceError::Refused(
            "the bucket refuses the key: it needs the rights to list and to read".into(),
        ),
        _ => SourceError::Unreachable("the files cannot be listed or read now".into()),
    }
}

/// A file that is read by range.
#[derive(Clone, Debug)]
pub(super) struct StoredFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
    runtime: Handle,
}

impl StoredFile {
    fn range(&self, start: u64, end: u64) -> io::Result<Bytes> {
        let range = self.store.get_range(&self.path, start..end);
        self.runtime.block_on(range).map_err(|error| io::Error::other(failure(&error)))
    }

    /// Reads from a byte on to the end that it had when it was listed.
    pub(super) fn from(&self, start: u64) -> FileReader {
        FileReader { file: self.clone(), at: start.min(self.bytes), buffer: Bytes::new() }
    }
}

/// The bytes of a file, a few megabytes ahead.
#[derive(Debug)]
pub(super) struct FileReader {
    file: StoredFile,
    at: u64,
    buffer: Bytes,
}

impl Read for FileReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let taken = ready.len().min(into.len());
        into[..taken].copy_from_slice(&ready[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}

impl BufRead for FileReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffer.is_empty() && self.at < self.file.bytes {
            let end = self.file.bytes.min(self.at + RANGE_BYTES);
            self.buffer = self.file.range(self.at, end)?;
            if self.buffer.is_empty() {
                return Err(io::Error::other("the file is shorter than it was"));
            }
            self.at += self.buffer.len() as u64;
        }
        Ok(&self.buffer)
    }

    fn consume(&mut self, amount: usize) {
        let _ = self.buffer.split_to(amount);
    }
}

impl Length for StoredFile {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for StoredFile {
    type T = FileReader;

    fn get_read(&self, start: u64) -> Result<FileReader, ParquetError> {
        Ok(self.from(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.saturating_add(length as u64);
        if end > self.bytes {
            return Err(ParquetError::EOF("behind the end of the file".to_owned()));
        }
        Ok(self.range(start, end)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine() {
        assert!(is_loopback("http://127.0.0.1:9000"));
        assert!(is_loopback("http://localhost:9000/x"));
        assert!(is_loopback("http://[::1]:9000"));
        for elsewhere in [
            "http://10.0.0.1:9000",
            "http://localhost.example.org",
            "http://127.0.0.1@evil.example",
            "http://user:127.0.0.1@evil.example",
            "ftp://127.0.0.1",
        ] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = BucketKey { id: "AKIA".into(), secret: Zeroizing::new("hunter2".into()) };
        assert_eq!(format!("{key:?}"), "BucketKey(AKIA)");
        let place = Place::Bucket {
            bucket: "b".into(),
            prefix: String::new(),
            region: None,
            endpoint: Some("http://files.example".into()),
        };
        let error = Shelf::open(&place, Some(&key)).unwrap_err().to_string();
        assert!(error.contains("no TLS") && !error.contains("hunter2"), "{error}");
    }
}
