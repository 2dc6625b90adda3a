//! Notices as they stand in the catalog: kind `notice`, the id is the number, in twenty digits.

use super::{Notice, NoticeKind, Sending};
use crate::change::ChangeId;
use crate::records::{RecordError, RecordStore};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const KIND: &str = "notice";

#[derive(Serialize, Deserialize)]
struct Stored {
    at: i64,
    kind: NoticeKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    about: String,
    text: String,
    #[serde(default = "once")]
    times: u64,
    #[serde(default)]
    targets: BTreeMap<String, StoredSending>,
}

#[derive(Serialize, Deserialize)]
struct StoredSending {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent_at: Option<i64>,
    #[serde(default)]
    tries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

fn once() -> u64 {
    1
}

fn record_id(id: u64) -> String {
    format!("{id:020}")
}

pub(super) fn put(records: &dyn RecordStore, notice: &Notice) -> Result<(), RecordError> {
    let targets = notice.targets.iter().map(|(name, sending)| {
        let stored = StoredSending {
            sent_at: sending.sent_at.map(|at| at.0),
            tries: sending.tries,
            trouble: sending.trouble.clone(),
        };
        (name.clone(), stored)
    });
    let stored = Stored {
        at: notice.at.0,
        kind: notice.kind,
        change: notice.change.map(|change| change.0),
        about: notice.about.clone(),
        text: notice.text.clone(),
        times: notice.times,
        targets: targets.collect(),
    };
    let bytes = serde_json::to_vec(&stored).expect("strings and numbers only");
    records.put(KIND, &record_id(notice.id), &bytes)
}

pub(super) fn remove(records: &dyn RecordStore, id: u64) -> Result<(), RecordError> {
    records.delete(KIND, &record_id(id))
}

pub(super) fn list(records: &dyn RecordStore) -> Result<Vec<Notice>, RecordError> {
    let damaged = || RecordError::Damaged { kind: KIND.to_owned() };
    let read = |(id, bytes): (String, Vec<u8>)| {
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let targets = stored.targets.into_iter().map(|(name, sending)| {
            let sent_at = sending.sent_at.map(Timestamp);
            (name, Sending { sent_at, tries: sending.tries, trouble: sending.trouble })
        });
        Ok(Notice {
            id: id.parse().map_err(|_| damaged())?,
            at: Timestamp(stored.at),
            kind: stored.kind,
            change: stored.change.map(ChangeId),
            about: stored.about,
            text: stored.text,
            times: stored.times,
            targets: targets.collect(),
        })
    };
    records.list(KIND)?.into_iter().map(read).collect()
}
