use super::{Change, ChangeId, State};
use crate::records::{RecordError, RecordStore};
use model::Timestamp;
use serde::{Deserialize, Serialize};

const KIND: &str = "notice";

/// What somebody outside has to be told. Names people and changes, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number.
    pub id: u64,
    /// Since when it waits.
    pub at: Timestamp,
    /// What happened.
    pub kind: NoticeKind,
    /// To which change.
    pub change: ChangeId,
    /// In words.
    pub text: String,
    /// When it was delivered to the targets of the setting `notify`; `None`: not yet.
    pub delivered_at: Option<Timestamp>,
}

/// What a notice is about, and so whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A change waits: for those who may approve.
    Waiting,
    /// A change waits for nobody: for the contact outside, who can have it rejected.
    TimeLock,
    /// A widening is in force: for those who may approve.
    Applied,
    /// Somebody broke the glass: for everybody.
    BrokenGlass,
}

impl NoticeKind {
    /// The word in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeKind::Waiting => "waiting",
            NoticeKind::TimeLock => "time_lock",
            NoticeKind::Applied => "applied",
            NoticeKind::BrokenGlass => "broken_glass",
        }
    }
}

/// The id is the number, in twenty digits.
#[derive(Serialize, Deserialize)]
struct Stored {
    at: i64,
    kind: NoticeKind,
    change: u64,
    text: String,
    delivered_at: Option<i64>,
}

/// The notice about what just became of `change`; `None` where nobody has to be told.
pub(super) fn about(change: &Change) -> Option<(NoticeKind, String)> {
    let (id, proposer) = (change.id, &change.proposer);
    Some(match &change.state {
        State::Waiting => match change.confirm_from {
            Some(from) => (
                NoticeKind::TimeLock,
                format!(
                    "change {id} of {proposer} has nobody else to approve it; {proposer} may \
                     confirm it from {from} on. If nobody knows of it: clerestory change reject {id}"
                ),
            ),
            None => (NoticeKind::Waiting, format!("change {id} of {proposer} waits for approval")),
        },
        State::Applied { by, .. } if by != proposer || change.confirm_from.is_some() => (
            NoticeKind::Applied,
            format!("change {id} of {proposer}, approved by {by}, is in force"),
        ),
        State::BrokenGlass { .. } => (
            NoticeKind::BrokenGlass,
            format!("{proposer} broke the glass (change {id}) and reads alone for an hour"),
        ),
        _ => return None,
    })
}

pub(super) fn put(records: &dyn RecordStore, notice: &Notice) -> Result<(), RecordError> {
    let stored = Stored {
        at: notice.at.0,
        kind: notice.kind,
        change: notice.change.0,
        text: notice.text.clone(),
        delivered_at: notice.delivered_at.map(|at| at.0),
    };
    let bytes = serde_json::to_vec(&stored).expect("strings and numbers only");
    records.put(KIND, &format!("{:020}", notice.id), &bytes)
}

pub(super) fn list(records: &dyn RecordStore) -> Result<Vec<Notice>, RecordError> {
    let damaged = || RecordError::Damaged { kind: KIND.to_owned() };
    let read = |(id, bytes): (String, Vec<u8>)| {
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        Ok(Notice {
            id: id.parse().map_err(|_| damaged())?,
            at: Timestamp(stored.at),
            kind: stored.kind,
            change: ChangeId(stored.change),
            text: stored.text,
            delivered_at: stored.delivered_at.map(Timestamp),
        })
    };
    records.list(KIND)?.into_iter().map(read).collect()
}
