use std::fmt;
use std::sync::Arc;

/// What is to be done with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// Put it, over an older one if there is one.
    Index,
    /// Put it if there is none.
    Create,
    /// Change the one that is there.
    Update,
    /// Remove it.
    Delete,
}

impl ActionKind {
    /// Elasticsearch's word.
    pub fn as_str(self) -> &'static str {
        match self {
            ActionKind::Index => "index",
            ActionKind::Create => "create",
            ActionKind::Update => "update",
            ActionKind::Delete => "delete",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteResult {
    /// The first of its `_id`.
    Created,
    /// Over an older one.
    Updated,
    /// Removed.
    Deleted,
    /// There was none to remove.
    NotFound,
    /// An update that changed nothing.
    Noop,
}

impl WriteResult {
    /// Elasticsearch's word.
    pub fn as_str(self) -> &'static str {
        match self {
            WriteResult::Created => "created",
            WriteResult::Updated => "updated",
            WriteResult::Deleted => "deleted",
            WriteResult::NotFound => "not_found",
            WriteResult::Noop => "noop",
        }
    }

    /// The status of the item.
    pub fn status(self) -> u16 {
        match self {
            WriteResult::Created => 201,
            WriteResult::NotFound => 404,
            WriteResult::Updated | WriteResult::Deleted | WriteResult::Noop => 200,
        }
    }
}

/// Why one document was refused. Carries no value of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemError {
    /// The status of the item.
    pub status: u16,
    /// Elasticsearch's `error.type`.
    pub kind: String,
    /// What is wrong and what to do.
    pub reason: String,
}

impl ItemError {
    pub(crate) fn new(status: u16, kind: &str, reason: impl Into<String>) -> ItemError {
        ItemError { status, kind: kind.to_owned(), reason: reason.into() }
    }

    pub(crate) fn illegal(reason: impl Into<String>) -> ItemError {
        ItemError::new(400, "illegal_argument_exception", reason)
    }
}

/// The answer to one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkItem {
    /// What was asked.
    pub action: ActionKind,
    /// In which table.
    pub index: Arc<str>,
    /// The `_id` under which it is found; a pseudonym if the given one was personal.
    pub id: Option<String>,
    /// How many times this `_id` was written.
    pub version: Option<u64>,
    /// What became of it; `None` if it was refused.
    pub result: Option<WriteResult>,
    /// The number of the row.
    pub seq_no: Option<u64>,
    /// The status of the item.
    pub status: u16,
    /// Why it was refused.
    pub error: Option<ItemError>,
}

impl BulkItem {
    pub(crate) fn refused(
        action: ActionKind,
        index: Arc<str>,
        id: Option<String>,
        error: ItemError,
    ) -> BulkItem {
        let status = error.status;
        let (version, result, seq_no) = (None, None, None);
        BulkItem { action, index, id, version, result, seq_no, status, error: Some(error) }
    }
}

/// The answer to a bulk request: one item for each action, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkAnswer {
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Whether any item was refused.
    pub errors: bool,
    /// One for each action.
    pub items: Vec<BulkItem>,
}
