use model::{SegmentId, TableId, TableName};
use protection::RecordError;
use std::path::PathBuf;

/// Why the catalog was not opened, read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// SQLite or the disk under it failed.
    #[error("cannot use the catalog `{path}`; check the disk of the data folder")]
    Database {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file could not be made.
    #[error("cannot make the catalog `{path}`")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the catalog `{path}` is in use; stop the other server on this data folder")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("`{path}` is no catalog of Clerestory")]
    NotCatalog {
        /// Which file.
        path: PathBuf,
    },
    /// A later version wrote it.
    #[error("the catalog `{path}` has version {version}, newer than this program; use a newer one")]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// SQLite's own structure is broken.
    #[error("the file of the catalog `{path}` is damaged; restore it from a backup")]
    Structure {
        /// Which file.
        path: PathBuf,
    },
    /// A row is not what was written there, or was sealed under another key ring.
    #[error(
        "the {section} row {key} of the catalog `{path}` was changed or is from elsewhere; restore the catalog from a backup or use the right key ring"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What kind of row.
        section: &'static str,
        /// Its key: a number for tables and segments, hexadecimal digits for others.
        key: String,
    },
    /// Each row is authentic, but they do not belong together.
    #[error(
        "rows of the catalog `{path}` were removed, added or put back from outside; restore it from a backup"
    )]
    RowsChanged {
        /// Which file.
        path: PathBuf,
    },
    /// Another table has this name.
    #[error("there is a table `{name}` already")]
    NameTaken {
        /// The name.
        name: TableName,
    },
    /// The edit names a table that is not there.
    #[error("the catalog has no table {}", .0.0)]
    UnknownTable(TableId),
    /// The edit names a segment that is not there.
    #[error("the catalog has no segment {0}")]
    UnknownSegment(SegmentId),
    /// All ids were given.
    #[error("there are no ids left")]
    OutOfIds,
    /// A record's id is longer than 65,535 bytes.
    #[error("the id of a record is too long")]
    IdTooLong,
}

impl CatalogError {
    /// Whether the disk is full: the change can be made again when there is room.
    pub fn is_disk_full(&self) -> bool {
        match self {
            CatalogError::Database { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            CatalogError::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

impl From<CatalogError> for RecordError {
    fn from(error: CatalogError) -> RecordError {
        RecordError::Unavailable(Box::new(error))
    }
}
