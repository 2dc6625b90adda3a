//! The one encrypted file format: written once from front to back, read by range.
//!
//! ```text
//! header   magic          4 bytes   "CLSF"
//!          version        u16       1
//!          key length     u16       bytes of the wrapped key
//!          wrapped key              the file's own key under the key ring's key for its purpose
//! frames   0 … n-1                  each 65,536 bytes of content (the last one: what is left)
//!                                   and a tag of 16 bytes
//! footer   frame n, marked last:    content length u64, number of frames u64; and the tag
//! ```
//!
//! Numbers are little-endian. Every frame is AES-256-GCM under the file's own key; its number,
//! whether it is the last, and the identity `sealed-file:1:PURPOSE:IDENTITY` are authenticated.
//! So a frame opens only in its own place of its own file, and since the footer says how long the
//! file is, a file that was cut short or added to is noticed when it is opened. A file without
//! content has no frame but the footer.
//!
//! A frame number is sealed once under a key: the writer never goes back, and a file that was not
//! finished is removed, never continued.

mod cache;
mod reader;
mod rewrap;
mod writer;

pub use cache::{CacheStats, FrameCache};
pub use reader::SealedReader;
pub use rewrap::rewrap;
pub use writer::SealedWriter;

use protection::TAG_BYTES;
use protection::keys::KeyError;
use std::io;
use std::path::PathBuf;

/// Bytes of content in a frame.
pub const FRAME_BYTES: usize = 64 * 1024;

const MAGIC: &[u8; 4] = b"CLSF";
const VERSION: u16 = 1;
/// Magic, version, length of the wrapped key.
const FIXED_HEADER_BYTES: usize = 8;
/// A longer one is no header of ours.
const WRAPPED_BYTES_MAX: usize = 1024;
const FOOTER_BYTES: usize = 16 + TAG_BYTES;

/// What is authenticated with each frame.
fn authenticated(purpose: &str, identity: &str) -> Vec<u8> {
    format!("sealed-file:{VERSION}:{purpose}:{identity}").into_bytes()
}

/// Why a sealed file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The disk failed.
    #[error("cannot read `{path}`")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// It does not start as a sealed file does.
    #[error("`{path}` is not a sealed file or its start was changed; restore it from a backup")]
    NotSealed {
        /// Which file.
        path: PathBuf,
    },
    /// A later version wrote it.
    #[error("`{path}` has format version {version}, newer than this program; use a newer one")]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// The file's own key does not open: changed, of another file or under another key ring.
    #[error("the key of `{path}` does not open; restore the file or use the right key ring")]
    Key {
        /// Which file.
        path: PathBuf,
        /// What the key ring said.
        #[source]
        source: KeyError,
    },
    /// Shorter or longer than it was written.
    #[error("`{path}` was cut short or added to; restore it from a backup")]
    Length {
        /// Which file.
        path: PathBuf,
    },
    /// A frame is not what was written there.
    #[error(
        "frame {frame} of `{path}` was changed or is from elsewhere; restore the file from a backup"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which frame.
        frame: u64,
    },
    /// The range asked for reaches beyond the content.
    #[error("a range beyond the end of `{path}` was asked for")]
    OutOfRange {
        /// Which file.
        path: PathBuf,
    },
}

impl From<SealedError> for io::Error {
    fn from(error: SealedError) -> io::Error {
        let kind = match &error {
            SealedError::Io { source, .. } => source.kind(),
            SealedError::OutOfRange { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests;
