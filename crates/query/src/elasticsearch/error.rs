/// Why a request was refused, in Elasticsearch's words.
///
/// The reason may quote the caller's own request; it never holds a value of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {reason}")]
pub struct EsError {
    /// HTTP status.
    pub status: u16,
    /// Elasticsearch's `error.type`, such as `parsing_exception`.
    pub kind: String,
    /// Elasticsearch's `error.reason`.
    pub reason: String,
}

impl EsError {
    /// An error of the caller with this type and reason: status 400.
    pub fn bad(kind: &str, reason: impl Into<String>) -> EsError {
        EsError { status: 400, kind: kind.to_owned(), reason: reason.into() }
    }

    /// The request does not follow the grammar.
    pub(super) fn parsing(reason: impl Into<String>) -> EsError {
        EsError::bad("parsing_exception", reason)
    }

    /// The request asks for what cannot be.
    pub(super) fn illegal(reason: impl Into<String>) -> EsError {
        EsError::bad("illegal_argument_exception", reason)
    }

    /// The query does not fit the fields it names.
    pub(super) fn query(reason: impl Into<String>) -> EsError {
        EsError::bad("query_shard_exception", reason)
    }

    /// A date or a piece of date math that cannot be read.
    pub(super) fn date(reason: impl Into<String>) -> EsError {
        EsError::bad("parse_exception", reason)
    }

    /// More buckets than one answer may have.
    pub(super) fn too_many_buckets(found: usize) -> EsError {
        EsError::bad(
            "too_many_buckets_exception",
            format!(
                "Trying to create too many buckets. Must be less than or equal to: \
                 [{}] but was [{found}]. This limit can be set by changing the \
                 [search.max_buckets] cluster level setting.",
                super::BUCKETS_MAX
            ),
        )
    }

    /// A sort or an aggregation over the words of a text field.
    pub(super) fn fielddata(field: &str, table: &str) -> EsError {
        EsError::illegal(format!(
            "Fielddata is disabled on [{field}] in [{table}]. Text fields are not optimised for \
             operations that require per-document field data like aggregations and sorting, so \
             these operations are disabled by default. Please use a keyword field instead. \
             Alternatively, set fielddata=true on [{field}] in order to load field data by \
             uninverting the inverted index. Note that this can use significant memory."
        ))
    }
}

impl From<crate::QueryError> for EsError {
    fn from(error: crate::QueryError) -> EsError {
        match error {
            // A regular expression that is none: the caller's fault, not the disk's.
            crate::QueryError::Read(storage::ReadError::Filter(reason)) => EsError::query(reason),
            error => EsError {
                status: error.status(),
                kind: error.kind().to_owned(),
                reason: error.to_string(),
            },
        }
    }
}
