use crate::catalog::CatalogError;
use crate::log::LogError;
use crate::read::ReadError;
use std::io;

/// Why the store could not do what it was asked. Carries no value of a document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The write-ahead log could not be written or read.
    #[error("the write-ahead log failed")]
    Log(#[from] LogError),
    /// The catalog could not be written or read.
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
    /// A segment could not be read.
    #[error("a segment cannot be read")]
    Read(#[from] ReadError),
    /// The disk failed.
    #[error("the disk failed")]
    Disk(#[from] io::Error),
    /// Tantivy failed to write a segment.
    #[error("a segment cannot be written")]
    Segment(#[from] tantivy::TantivyError),
    /// Files of the log that are still needed are gone.
    #[error("files are missing from {}; bring them back or restore a backup", dir.display())]
    LogMissing {
        /// The folder of the log.
        dir: std::path::PathBuf,
    },
    /// The table's rulings are not those under which the batch was sealed.
    #[error("the table was ruled on since these rows were sealed; seal them again")]
    Reruled,
    /// The pseudonyms of the batch are of another epoch than the store's.
    #[error("pseudonyms moved to another epoch since these rows were sealed; seal them again")]
    EpochEnded,
    /// The key of the epoch that the stored rows are of is not in the ring.
    #[error(
        "the key ring has no key for epoch {0} of pseudonyms, which the stored rows are of; open the \
         folder with the ring that belongs to it"
    )]
    NoEpochKey(u32),
    /// Stored rows could not be brought under the rulings of today.
    #[error("stored rows cannot be rewritten")]
    Rewrite(#[from] protection::SealError),
    /// What a cursor stands on is not held any more: its time is over, or too much was held.
    #[error("this point in time is not held any more; begin again")]
    PointGone,
    /// A small record could not be written.
    #[error("a record of the catalog cannot be written")]
    Records(#[source] protection::RecordError),
    /// There is no such table (any more).
    #[error("no such table")]
    NoTable,
    /// A table of this name is there.
    #[error("a table of this name exists already")]
    TableExists,
    /// Memory for new rows is used up because they cannot be written to disk as fast.
    #[error("the store is busy writing; send the request again later")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A bug of ours.
    #[error("internal error of the store: {0}")]
    Internal(String),
}

impl StoreError {
    pub(crate) fn internal(what: &str) -> StoreError {
        StoreError::Internal(what.to_owned())
    }

    /// Whether the disk is full: the request can be sent again when there is room.
    pub fn is_disk_full(&self) -> bool {
        match self {
            StoreError::Log(error) => error.is_disk_full(),
            StoreError::Disk(error) => is_full(error),
            StoreError::Segment(tantivy::TantivyError::IoError(error)) => is_full(error),
            StoreError::Segment(tantivy::TantivyError::OpenWriteError(
                tantivy::directory::error::OpenWriteError::IoError { io_error, .. },
            )) => is_full(io_error),
            StoreError::Catalog(error) => error.is_disk_full(),
            _ => false,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull
}
