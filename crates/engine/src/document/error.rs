//! Why a document was refused.

/// One refused document, in Elasticsearch's words.
///
/// Never carries a value of the document. A key that is not in the mapping counts as a value, so
/// it is described by its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct DocumentError {
    /// Elasticsearch's `error.type`.
    pub(crate) kind: &'static str,
    /// What is wrong and what to do.
    pub(crate) reason: String,
}

impl DocumentError {
    /// The document does not fit the mapping or is no document at all.
    pub(crate) fn parsing(reason: impl Into<String>) -> DocumentError {
        DocumentError { kind: "document_parsing_exception", reason: reason.into() }
    }

    /// A limit or an argument is wrong.
    pub(crate) fn argument(reason: impl Into<String>) -> DocumentError {
        DocumentError { kind: "illegal_argument_exception", reason: reason.into() }
    }

    /// The mapping takes no new fields.
    pub(crate) fn strict(reason: impl Into<String>) -> DocumentError {
        DocumentError { kind: "strict_dynamic_mapping_exception", reason: reason.into() }
    }

    /// What serde_json says about text that is no JSON: position and rule, never a value.
    pub(crate) fn syntax(error: &serde_json::Error) -> DocumentError {
        if error.is_data() {
            // Messages about data can quote it.
            return DocumentError::parsing("failed to parse: the document is not a JSON object");
        }
        DocumentError::parsing(format!("failed to parse: {error}"))
    }
}
