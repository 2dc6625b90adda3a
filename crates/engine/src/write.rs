//! The way in, from the documents of a request to their durable rows.
//!
//! Documents are grouped by table. Those of one table become one batch: read, sealed, and
//! appended to the log with one wait. New fields and rulings are in the catalog before the batch
//! is appended, so that a row never speaks of a field that a restart would not know.

mod carry;
mod compared;
mod copied;
mod group;
mod plan;

#[cfg(test)]
mod tests;

pub use compared::{Compared, OtherRow};
pub use copied::{CopyColumn, CopyOutcome, CopyPiece};

use crate::bulk::{
    self, Action, ActionKind, BulkAnswer, BulkItem, BulkOptions, ItemError, WriteOptions,
};
use crate::error::chain;
use crate::{Engine, EngineError};
use model::{TableId, TableName};
use parking_lot::Mutex;
use protection::audit::Event;
use protection::caller::Caller;
use protection::grant::Action as Right;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

impl Engine {
    /// Writes the documents of a `_bulk` body. `default_index` is the table of the path.
    ///
    /// # Errors
    /// If the body as a whole cannot be read or the caller may not write at all. A document that
    /// is refused is an item with an error and takes nothing else down.
    pub fn bulk(
        &self,
        caller: &Caller,
        default_index: Option<&str>,
        body: &[u8],
        options: &BulkOptions,
    ) -> Result<BulkAnswer, EngineError> {
        let started = Instant::now();
        self.may(caller, Right::Write, None)?;
        let actions = bulk::parse(body, default_index, options)?;
        let items = self.write(caller, &actions);
        let errors = items.iter().any(|item| item.error.is_some());
        Ok(BulkAnswer { took_ms: started.elapsed().as_millis() as u64, errors, items })
    }

    /// Puts a document; without `id` under a generated one.
    ///
    /// # Errors
    /// If it is refused or cannot be written.
    pub fn index_document(
        &self,
        caller: &Caller,
        index: &str,
        id: Option<&str>,
        source: &[u8],
        options: &WriteOptions,
    ) -> Result<BulkItem, EngineError> {
        self.write_one(caller, ActionKind::Index, index, id, source, options)
    }

    /// Puts a document unless there is one with this `id`.
    ///
    /// # Errors
    /// If there is one (409), it is refused or cannot be written.
    pub fn create_document(
        &self,
        caller: &Caller,
        index: &str,
        id: Option<&str>,
        source: &[u8],
        options: &WriteOptions,
    ) -> Result<BulkItem, EngineError> {
        self.write_one(caller, ActionKind::Create, index, id, source, options)
    }

    /// Changes a document; `body` is that of Elasticsearch's `_update`, without scripts.
    ///
    /// # Errors
    /// If there is none to change (404), it is refused or cannot be written.
    pub fn update_document(
        &self,
        caller: &Caller,
        index: &str,
        id: &str,
        body: &[u8],
        options: &WriteOptions,
    ) -> Result<BulkItem, EngineError> {
        self.write_one(caller, ActionKind::Update, index, Some(id), body, options)
    }

    /// Removes a document. If there is none, the item says so with status 404.
    ///
    /// # Errors
    /// If `if_seq_no` does not hold (409) or the deletion cannot be written.
    pub fn delete_document(
        &self,
        caller: &Caller,
        index: &str,
        id: &str,
        options: &WriteOptions,
    ) -> Result<BulkItem, EngineError> {
        self.write_one(caller, ActionKind::Delete, index, Some(id), b"", options)
    }
}

impl Engine {
    /// Whether `caller` may do this; to any table if none is named.
    pub(crate) fn may(
        &self,
        caller: &Caller,
        right: Right,
        table: Option<&TableName>,
    ) -> Result<(), EngineError> {
        if caller.is_expired(self.clock.now()) {
            let reason = "the credentials have expired; log in again";
            return Err(EngineError::new(401, "security_exception", reason));
        }
        if self.policies.current().may(caller, right, table, self.clock.now()) {
            return Ok(());
        }
        let of = table.map_or(String::new(), |table| format!(" on table [{table}]"));
        let reason = format!("action [{right}] is unauthorized for user [{}]{of}", caller.name());
        Err(EngineError::forbidden(reason))
    }

    /// Whether `right` is granted on any table.
    pub(crate) fn may_at_all(&self, caller: &Caller, right: Right) -> bool {
        self.may(caller, right, None).is_ok()
    }

    /// The lock under which the fields and rulings of a table are changed, from reading the table
    /// to putting it back.
    pub(crate) fn schema_lock(&self, table: TableId) -> Arc<Mutex<()>> {
        Arc::clone(self.schema_locks.lock().entry(table).or_default())
    }

    /// Writes the event of a change into the audit record.
    pub(crate) fn record_change(&self, event: &Event) -> Result<(), EngineError> {
        self.audit.append(event).map_err(|error| {
            tracing::error!(cause = chain(&error), "audit record not written");
            EngineError::unavailable("the audit record cannot be written, so nothing is changed")
        })
    }

    fn write_one(
        &self,
        caller: &Caller,
        kind: ActionKind,
        index: &str,
        id: Option<&str>,
        source: &[u8],
        options: &WriteOptions,
    ) -> Result<BulkItem, EngineError> {
        self.may(caller, Right::Write, None)?;
        if source.len() > bulk::BULK_BYTES_MAX {
            let reason = format!("the document is longer than {} bytes", bulk::BULK_BYTES_MAX);
            return Err(EngineError::new(413, "content_too_long_exception", reason));
        }
        let action = Action {
            kind,
            index: Cow::Borrowed(index),
            id: id.map(Cow::Borrowed),
            source,
            if_seq_no: options.if_seq_no,
            retry_on_conflict: options.retry_on_conflict,
            refused: bulk::check(kind, id, options),
        };
        let mut items = self.write(caller, &[action]);
        let item = items.pop().expect("one action has one item");
        match item.error {
            Some(error) => Err(EngineError::new(error.status, &error.kind, error.reason)),
            None => Ok(item),
        }
    }

    /// Writes all actions, table by table, and answers them in their order.
    fn write(&self, caller: &Caller, actions: &[Action<'_>]) -> Vec<BulkItem> {
        let mut by_table: HashMap<&str, usize> = HashMap::new();
        let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
        for (place, action) in actions.iter().enumerate() {
            let group = match groups.last() {
                Some((index, _)) if *index == action.index => groups.len() - 1,
                _ => *by_table.entry(&action.index).or_insert_with(|| {
                    groups.push((&action.index, Vec::new()));
                    groups.len() - 1
                }),
            };
            groups[group].1.push(place);
        }
        let mut items: Vec<Option<BulkItem>> = vec![None; actions.len()];
        for (index, places) in groups {
            group::Group::new(self, caller, index, actions, &mut items).write(&places);
        }
        let items: Vec<BulkItem> =
            items.into_iter().map(|item| item.expect("every action is answered")).collect();
        let refused = items.iter().filter(|item| item.error.is_some()).count() as u64;
        self.ingest.count(items.len() as u64 - refused, refused, self.clock.now());
        items
    }
}

impl From<ItemError> for EngineError {
    fn from(error: ItemError) -> EngineError {
        EngineError::new(error.status, &error.kind, error.reason)
    }
}

impl From<EngineError> for ItemError {
    fn from(error: EngineError) -> ItemError {
        if let Some(detail) = error.detail {
            tracing::error!(detail, "documents were not written");
        }
        ItemError { status: error.status, kind: error.kind, reason: error.reason }
    }
}
