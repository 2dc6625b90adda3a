//! Changes in the record store, and in the audit record.

use super::{Change, ChangeForm, ChangeId, Edit};
use crate::audit::{AuditLog, Event, EventKind, RecordId};
use crate::caller::Caller;
use crate::grant::{Action, Terms};
use crate::records::{RecordError, RecordStore};
use std::collections::BTreeMap;

/// The kind of record; the id is the number, in twenty digits.
const KIND: &str = "change";

pub(super) fn put(records: &dyn RecordStore, change: &Change) -> Result<(), RecordError> {
    let form = ChangeForm::from(change);
    let bytes = serde_json::to_vec(&form).expect("strings and numbers only");
    records.put(KIND, &format!("{:020}", change.id.0), &bytes)
}

pub(super) fn list(records: &dyn RecordStore) -> Result<BTreeMap<ChangeId, Change>, RecordError> {
    let damaged = || RecordError::Damaged { kind: KIND.to_owned() };
    let read = |(_, bytes): (String, Vec<u8>)| {
        let form: ChangeForm = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let change = form.to_change().map_err(|_| damaged())?;
        Ok((change.id, change))
    };
    records.list(KIND)?.into_iter().map(read).collect()
}

/// What the audit record says about edits: everything but the values of row filters.
fn shape_of(edits: &[Edit]) -> String {
    let one = |edit: &Edit| match edit {
        Edit::Grant(grant) => {
            let (who, action, tables) = (&grant.who, grant.action, &grant.tables);
            format!("grant: {who} may {action} {tables}{}", Terms::without_values(grant))
        }
        edit => edit.to_string(),
    };
    edits.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// An event about edits, or about a change where there is one already.
pub(super) fn event(kind: EventKind, by: &Caller, edits: &[Edit], id: Option<ChangeId>) -> Event {
    let tables = edits.iter().filter_map(|edit| match edit {
        Edit::Grant(grant) => Some(grant.tables.to_string()),
        Edit::Rule { table, .. } => Some(table.clone()),
        _ => None,
    });
    Event {
        tables: tables.collect(),
        shape: shape_of(edits),
        subject: id.map_or_else(String::new, ChangeId::presence),
        ..Event::by(kind, by)
    }
}

/// Makes it durable that something is about to happen.
pub(super) fn begin(log: &AuditLog, event: &Event) -> Option<RecordId> {
    let event = Event { outcome: "begun".to_owned(), ..event.clone() };
    match log.append_durable(&event) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(%error, kind = %event.kind, "a change is not recorded");
            None
        }
    }
}

/// Records how it ended; while the disk is full the record waits for room.
pub(super) fn end(log: &AuditLog, event: Event, begun: Option<RecordId>, outcome: String) {
    if let Err(error) = log.append(&Event { refers_to: begun, outcome, ..event }) {
        tracing::error!(%error, "the end of a change is not recorded");
    }
}

/// Whether the caller has a say in changes at all.
pub(super) fn has_a_say(by: &Caller, now: model::Timestamp) -> bool {
    by.may(Action::ManagePeople, now) || by.may(Action::Approve, now)
}
