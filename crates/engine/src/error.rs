use protection::{Denied, SealError};
use query::QueryError;
use storage::{ReadError, StoreError};

/// Why a request was not answered, in the words of Elasticsearch's API.
///
/// `reason` goes to the caller and carries no value of a document; `detail` is for the server's
/// log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EngineError {
    /// The HTTP status.
    pub status: u16,
    /// Elasticsearch's `error.type`.
    pub kind: String,
    /// What failed and what to do.
    pub reason: String,
    /// What only the log may know.
    pub detail: Option<String>,
}

impl EngineError {
    /// An error with everything a caller may know.
    pub fn new(status: u16, kind: &str, reason: impl Into<String>) -> EngineError {
        EngineError { status, kind: kind.to_owned(), reason: reason.into(), detail: None }
    }

    /// 400: the request cannot be what was meant.
    pub fn illegal_argument(reason: impl Into<String>) -> EngineError {
        EngineError::new(400, "illegal_argument_exception", reason)
    }

    /// 404: no such table, or none that this caller may know of.
    pub fn no_table(name: &str) -> EngineError {
        EngineError::new(404, "index_not_found_exception", format!("no such index [{name}]"))
    }

    /// 403.
    pub fn forbidden(reason: impl Into<String>) -> EngineError {
        EngineError::new(403, "security_exception", reason)
    }

    /// 503: it may work later.
    pub fn unavailable(reason: impl Into<String>) -> EngineError {
        EngineError::new(503, "unavailable_exception", reason)
    }

    /// 500: a bug of ours or a damaged file.
    pub fn internal(detail: impl Into<String>) -> EngineError {
        EngineError {
            status: 500,
            kind: "internal_error".to_owned(),
            reason: "internal error; the server's log has the details".to_owned(),
            detail: Some(detail.into()),
        }
    }

    fn with_detail(mut self, detail: impl Into<String>) -> EngineError {
        self.detail = Some(detail.into());
        self
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> EngineError {
        let detail = chain(&error);
        if error.is_disk_full() {
            let reason =
                "the disk of the data folder is full; make room and send the request again";
            return EngineError::new(507, "disk_full_exception", reason).with_detail(detail);
        }
        match error {
            StoreError::NoTable => {
                EngineError::new(404, "index_not_found_exception", "no such index")
            }
            StoreError::TableExists => EngineError::new(
                400,
                "resource_already_exists_exception",
                "an index of this name exists already",
            ),
            StoreError::PointGone => {
                EngineError::new(404, "search_context_missing_exception", error.to_string())
            }
            StoreError::Busy => {
                EngineError::new(429, "es_rejected_execution_exception", error.to_string())
            }
            StoreError::Reruled | StoreError::EpochEnded => {
                EngineError::unavailable(error.to_string())
            }
            StoreError::Closed => EngineError::unavailable("the server is stopping"),
            StoreError::Read(read) => read.into(),
            StoreError::Log(_) | StoreError::Disk(_) => EngineError::unavailable(
                "the data folder cannot be written; nothing of this request was kept",
            )
            .with_detail(detail),
            _ => EngineError::internal(detail),
        }
    }
}

impl From<ReadError> for EngineError {
    fn from(error: ReadError) -> EngineError {
        match &error {
            ReadError::Filter(reason) => EngineError::illegal_argument(reason.clone()),
            ReadError::NotPermitted => EngineError::forbidden(error.to_string()),
            _ => EngineError::internal(chain(&error)),
        }
    }
}

impl From<QueryError> for EngineError {
    fn from(error: QueryError) -> EngineError {
        let (status, kind) = (error.status(), error.kind());
        if status >= 500 {
            let hidden = EngineError::internal(chain(&error));
            return EngineError { status, kind: kind.to_owned(), ..hidden };
        }
        EngineError::new(status, kind, error.to_string())
    }
}

impl From<SealError> for EngineError {
    fn from(error: SealError) -> EngineError {
        EngineError::internal(chain(&error))
    }
}

impl From<Denied> for EngineError {
    fn from(denied: Denied) -> EngineError {
        let reason = denied.to_string();
        match denied {
            Denied::NotFound { .. } => EngineError::new(404, "index_not_found_exception", reason),
            Denied::AuditUnavailable(cause) => EngineError::unavailable(
                "the audit record cannot be written, so nothing is read; free its disk",
            )
            .with_detail(chain(&cause)),
            Denied::AlarmUnavailable(cause) => EngineError::unavailable(
                "an alarm cannot be written down, so nothing is read; free the disk",
            )
            .with_detail(chain(&cause)),
            Denied::MeterUnavailable(cause) => EngineError::unavailable(
                "the quota cannot be counted, so nothing is read; free the disk",
            )
            .with_detail(chain(&cause)),
            Denied::Quota { .. } => EngineError::new(429, "quota_exceeded_exception", reason),
            Denied::Expired => EngineError::new(401, "security_exception", reason),
            _ => EngineError::forbidden(reason),
        }
    }
}
