//! `_bulk`: lines of JSON on the way in, one item for each on the way out.

mod answer;
mod parse;

#[cfg(test)]
mod tests;

pub use answer::{ActionKind, BulkAnswer, BulkItem, ItemError, WriteResult};
pub(crate) use parse::{UpdateBody, check, parse};

use std::borrow::Cow;

/// The largest body that is taken, in bytes.
pub(crate) const BULK_BYTES_MAX: usize = 100 * 1024 * 1024;
/// The most actions of one request: each takes memory beyond its bytes.
pub(crate) const ACTIONS_MAX: usize = 500_000;
/// The longest `_id`, in bytes.
pub(crate) const ID_BYTES_MAX: usize = 512;

/// What the URL of a bulk request says beside the table.
#[derive(Clone, Debug, Default)]
pub struct BulkOptions {
    /// `pipeline`: there are none, so naming one refuses every item; `_none` is fine.
    pub pipeline: Option<String>,
    /// `require_alias`: not supported, so asking for it refuses every item.
    pub require_alias: bool,
}

/// What the URL of a write of one document says.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// `if_seq_no`: only over the row with this number.
    pub if_seq_no: Option<u64>,
    /// `if_primary_term`: goes with it.
    pub if_primary_term: Option<u64>,
    /// `retry_on_conflict`, for updates.
    pub retry_on_conflict: u32,
    /// `pipeline` and `require_alias`.
    pub bulk: BulkOptions,
}

/// One document to write or delete, not checked against any table yet.
#[derive(Debug)]
pub(crate) struct Action<'a> {
    pub(crate) kind: ActionKind,
    pub(crate) index: Cow<'a, str>,
    pub(crate) id: Option<Cow<'a, str>>,
    /// The line behind the action; empty for a delete.
    pub(crate) source: &'a [u8],
    /// `if_seq_no`: write only over this row.
    pub(crate) if_seq_no: Option<u64>,
    /// How often an update that lost a race is tried again.
    pub(crate) retry_on_conflict: u32,
    /// Why this action is refused whatever the table says.
    pub(crate) refused: Option<ItemError>,
}
