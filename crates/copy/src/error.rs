/// Why a source could not be read. No variant carries a value of a row or a credential: a
/// database's own words often quote rows, so write what was attempted, and the error's code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It cannot be reached now, or the connection broke: tried again with growing pauses.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody has to act first (a password, a right, a setting of the source): the copy pauses
    /// with these words, which say what to do.
    #[error("{0}")]
    Refused(String),
    /// What the position points to is gone at the source (a dropped slot, a purged log, a topic
    /// that forgot): a new snapshot is needed, which does not interrupt reading.
    #[error("{0}")]
    Lost(String),
    /// The source said what it may not say: a defect of ours or of its own.
    #[error("{0}")]
    Broken(String),
}
