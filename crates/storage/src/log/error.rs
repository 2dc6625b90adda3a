use protection::keys::KeyError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the log was not opened, written or released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The disk failed while the log was opened or released.
    #[error("cannot use the log file or folder `{path}`")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The group of this append could not be made durable.
    #[error("cannot write the log; nothing of this request was kept")]
    Write(#[source] Arc<io::Error>),
    /// More than one append can hold.
    #[error("a write of {bytes} bytes is too large for the log; send it in parts")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// The log was closed, or its thread failed.
    #[error("the log is closed; restart the server")]
    Stopped,
    /// No append has this number.
    #[error("frame {0} was never appended")]
    NeverAppended(u64),
    /// It does not start as a log file does.
    #[error("`{path}` is not a log file or its start was changed; restore it from a backup")]
    NotLog {
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
    /// An acknowledged frame is not what was written, or is gone.
    #[error("frame {frame} of `{path}` was changed or cut off; restore the file from a backup")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Its place in the file; 0 is the prologue.
        frame: u64,
    },
    /// A file between two others is gone.
    #[error("the log file `{path}` is missing; restore it from a backup")]
    Missing {
        /// Which file.
        path: PathBuf,
    },
}

impl LogError {
    /// Whether the disk is full: the same write can succeed once there is room.
    pub fn is_disk_full(&self) -> bool {
        let kind = match self {
            LogError::Write(source) => source.kind(),
            LogError::Io { source, .. } => source.kind(),
            _ => return false,
        };
        matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}
