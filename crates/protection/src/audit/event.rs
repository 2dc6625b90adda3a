use super::documents::{Documents, TableRead};
use crate::caller::Caller;
use crate::grant::Action;
use crate::release::Use;
use model::{Class, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The number of an audit record, from 1, without gaps over all files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u64);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventKind { $($(#[doc = $doc])+ $name,)+ }

        impl EventKind {
            /// All kinds.
            pub const ALL: &[EventKind] = &[$(EventKind::$name,)+];

            /// The word in the record.
            pub fn as_str(self) -> &'static str {
                match self { $(EventKind::$name => $word,)+ }
            }
        }
    };
}

event_kinds! {
    /// A read was authorised and is about to begin.
    ReadIntent = "read_intent",
    /// A read ended; [`Event::refers_to`] names its intent.
    ReadEnd = "read_end",
    /// A read was refused.
    ReadDenied = "read_denied",
    /// Documents were written, changed or deleted.
    Write = "write",
    /// Somebody logged in.
    Login = "login",
    /// Somebody tried.
    LoginFailed = "login_failed",
    /// A session was ended.
    Logout = "logout",
    /// An API key was made.
    KeyCreated = "key_created",
    /// An API key was taken back.
    KeyRevoked = "key_revoked",
    /// A key of the ring was rotated or destroyed; [`Event::subject`] says which.
    KeyRingChanged = "key_ring_changed",
    /// An account was made.
    PersonCreated = "person_created",
    /// The password or roles of an account changed.
    PersonChanged = "person_changed",
    /// An account was disabled.
    PersonDisabled = "person_disabled",
    /// A table was made.
    TableCreated = "table_created",
    /// The mapping or the settings of a table changed.
    TableChanged = "table_changed",
    /// A table was dropped.
    TableDropped = "table_dropped",
    /// A field was given its class, by the classifier or a person.
    Ruling = "ruling",
    /// Fields and what their values look like were shown to somebody who may rule on them.
    RulingShown = "ruling_shown",
    /// A person is to be forgotten: rows were found and deleted.
    ErasureBegun = "erasure_begun",
    /// They are out of every file.
    ErasureDone = "erasure_done",
    /// A backup was made, or could not be; [`Event::subject`] is its folder.
    Backup = "backup",
    /// The node was restored from a backup; what came after that is not in it.
    Restored = "restored",
    /// Pseudonyms are being moved to another epoch, or came there; [`Event::outcome`] says which.
    Rotation = "rotation",
    /// Credentials were seen in a field on the way in; none was stored.
    SecretsSeen = "secrets_seen",
    /// A metric was declared or changed.
    MetricDefined = "metric_defined",
    /// A metric was removed.
    MetricRemoved = "metric_removed",
    /// A dashboard or a search was saved, or saved again.
    Saved = "saved",
    /// A saved one was deleted.
    SavedRemoved = "saved_removed",
    /// The policy was changed by one person: nothing was widened, or nothing was there yet.
    PolicyChanged = "policy_changed",
    /// A widening was proposed and waits.
    ChangeProposed = "change_proposed",
    /// A second person approved it.
    ChangeApproved = "change_approved",
    /// Somebody said no to it.
    ChangeRejected = "change_rejected",
    /// Its proposer took it back.
    ChangeWithdrawn = "change_withdrawn",
    /// Somebody used up what they may be given in a day, for the first time that day.
    QuotaTripped = "quota_tripped",
    /// A row that nobody has a reason to read went out; [`Event::read`] says which.
    CanaryRead = "canary_read",
    /// A row was marked as one that nobody has a reason to read.
    CanaryMarked = "canary_marked",
    /// A target took a notice, or did not for the first time; [`Event::subject`] says which.
    NoticeSent = "notice_sent",
    /// An alert was declared, changed, silenced or removed.
    AlertChanged = "alert_changed",
    /// Somebody reads alone for an hour.
    GlassBroken = "glass_broken",
    /// The audit record was read.
    AuditRead = "audit_read",
    /// The server started.
    Started = "started",
    /// The server stopped in good order.
    Stopped = "stopped",
    /// After a crash an unfinished record, never acknowledged, was cut off the end of a file.
    TailDropped = "tail_dropped",
    /// One of several audit folders cannot be written, or holds something else.
    SinkFailed = "sink_failed",
    /// It holds everything again.
    SinkBack = "sink_back",
    /// The record is not written there any more.
    SinkRemoved = "sink_removed",
    /// The clock stands before the latest record.
    ClockBack = "clock_back",
    /// Somebody asked who could read and who did read.
    ExposureAsked = "exposure_asked",
    /// A copy of production data was planned, signed, started, paused, or removed;
    /// [`Event::subject`] names it.
    Copy = "copy",
    /// What a source is opened with was kept in the key ring, or removed.
    SourceSecret = "source_secret",
    /// End records could not be written while the disk was full or the folder gone.
    RecordsLost = "records_lost",
}

impl EventKind {
    /// The kind with this word.
    pub fn parse(word: &str) -> Option<EventKind> {
        EventKind::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A field that an event touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTouched {
    /// Of which table.
    pub table: String,
    /// Which field; `*` stands for all that may be read.
    pub field: String,
    /// Its class at that moment; `None`: unruled, unknown or many.
    pub class: Option<Class>,
    /// What for; `None` where nothing was read.
    pub how: Option<Use>,
}

/// What is recorded. Never a value of a document, never a literal of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The account; empty where nobody was known.
    pub who: String,
    /// What was shown: see [`Caller::credential`].
    pub credential: String,
    /// The policy in force; 0 where none was asked.
    pub policy: u64,
    /// What was wanted.
    pub action: Option<Action>,
    /// Of which tables, by name.
    pub tables: Vec<String>,
    /// The shape of the question, without its literals.
    pub shape: String,
    /// Which fields it mentions.
    pub fields: Vec<FieldTouched>,
    /// What for, in the caller's words.
    pub purpose: String,
    /// How many rows went out or in.
    pub rows: Option<u64>,
    /// How many bytes.
    pub bytes: Option<u64>,
    /// Which documents were read; of a table that is not named: none.
    pub read: Vec<TableRead>,
    /// Of how many different people rows went out, as far as rows name somebody.
    pub subjects: Option<u64>,
    /// How often it happened, where equal events are counted into one.
    pub times: Option<u64>,
    /// The record that this one belongs to: an end to its intent.
    pub refers_to: Option<RecordId>,
    /// How it ended, such as `allowed`, `denied: …` or `released`.
    pub outcome: String,
    /// What else a reader has to know: the id of a key, the name of an account or metric.
    pub subject: String,
}

impl Event {
    /// An event with everything else empty.
    pub fn new(kind: EventKind) -> Event {
        Event {
            kind,
            who: String::new(),
            credential: String::new(),
            policy: 0,
            action: None,
            tables: Vec::new(),
            shape: String::new(),
            fields: Vec::new(),
            purpose: String::new(),
            rows: None,
            bytes: None,
            read: Vec::new(),
            subjects: None,
            times: None,
            refers_to: None,
            outcome: String::new(),
            subject: String::new(),
        }
    }

    /// An event of this caller.
    pub fn by(kind: EventKind, caller: &Caller) -> Event {
        Event {
            who: caller.name().to_owned(),
            credential: caller.credential().to_owned(),
            ..Event::new(kind)
        }
    }
}

/// An event as it stands in the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number.
    pub id: RecordId,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The payload of a record: JSON, short words, nothing that is empty.
#[derive(Serialize, Deserialize)]
struct Payload {
    kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    who: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    credential: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    policy: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tables: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    shape: String,
    /// Table, field, class, use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<(String, String, String, String)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    purpose: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Table, documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    read: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subjects: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refers_to: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    outcome: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    subject: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Longest text of a question that is kept; a longer one is cut and says so.
const SHAPE_BYTES_MAX: usize = 32 * 1024;
/// The same for what people type beside it.
const WORDS_BYTES_MAX: usize = 2 * 1024;

impl Event {
    pub(super) fn to_payload(&self) -> Vec<u8> {
        let field = |touched: &FieldTouched| {
            let class = touched.class.map_or("", Class::as_str).to_owned();
            let how = touched.how.map_or("", Use::as_str).to_owned();
            (touched.table.clone(), touched.field.clone(), class, how)
        };
        let payload = Payload {
            kind: self.kind.as_str().to_owned(),
            who: self.who.clone(),
            credential: self.credential.clone(),
            policy: self.policy,
            action: self.action.map(|action| action.as_str().to_owned()),
            tables: self.tables.clone(),
            shape: cut(&self.shape, SHAPE_BYTES_MAX),
            fields: self.fields.iter().map(field).collect(),
            purpose: cut(&self.purpose, WORDS_BYTES_MAX),
            rows: self.rows,
            bytes: self.bytes,
            read: self
                .read
                .iter()
                .map(|read| (read.table.clone(), read.documents.to_text()))
                .collect(),
            subjects: self.subjects,
            times: self.times,
            refers_to: self.refers_to.map(|id| id.0),
            outcome: cut(&self.outcome, WORDS_BYTES_MAX),
            subject: cut(&self.subject, WORDS_BYTES_MAX),
        };
        serde_json::to_vec(&payload).expect("strings and numbers only")
    }

    /// `None` if the payload was written by a newer version with a kind that is unknown here.
    pub(super) fn from_payload(bytes: &[u8]) -> Option<Event> {
        let payload: Payload = serde_json::from_slice(bytes).ok()?;
        let field = |(table, field, class, how): (String, String, String, String)| FieldTouched {
            table,
            field,
            class: class.parse().ok(),
            how: Use::parse(&how),
        };
        let read = |(table, documents): (String, String)| {
            Some(TableRead { table, documents: Documents::parse(&documents)? })
        };
        Some(Event {
            kind: EventKind::parse(&payload.kind)?,
            who: payload.who,
            credential: payload.credential,
            policy: payload.policy,
            action: payload.action.as_deref().and_then(Action::parse),
            tables: payload.tables,
            shape: payload.shape,
            fields: payload.fields.into_iter().map(field).collect(),
            purpose: payload.purpose,
            rows: payload.rows,
            bytes: payload.bytes,
            read: payload.read.into_iter().map(read).collect::<Option<_>>()?,
            subjects: payload.subjects,
            times: payload.times,
            refers_to: payload.refers_to.map(RecordId),
            outcome: payload.outcome,
            subject: payload.subject,
        })
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|&end| text.is_char_boundary(end));
    format!("{}… (cut)", &text[..end.unwrap_or(0)])
}

/// Which records to show. All conditions have to hold; the newest come first.
#[derive(Clone, Debug)]
pub struct AuditFilter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Of this account.
    pub who: Option<String>,
    /// Of these kinds; empty: all.
    pub kinds: Vec<EventKind>,
    /// That touched this table.
    pub table: Option<String>,
    /// This record and those that refer to it.
    pub about: Option<RecordId>,
    /// At most so many.
    pub limit: usize,
}

impl Default for AuditFilter {
    /// The newest thousand.
    fn default() -> AuditFilter {
        AuditFilter {
            since: None,
            until: None,
            who: None,
            kinds: Vec::new(),
            table: None,
            about: None,
            limit: 1000,
        }
    }
}

impl AuditFilter {
    /// Whether `record` is wanted.
    pub fn matches(&self, record: &Record) -> bool {
        let event = &record.event;
        self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
            && self.who.as_ref().is_none_or(|who| *who == event.who)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.table.as_ref().is_none_or(|table| event.tables.contains(table))
            && self.about.is_none_or(|id| record.id == id || event.refers_to == Some(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_back() {
        let event = Event {
            who: "ada".into(),
            credential: "key:1".into(),
            policy: 7,
            action: Some(Action::Read),
            tables: vec!["events".into()],
            shape: "term(user.email)".into(),
            fields: vec![FieldTouched {
                table: "events".into(),
                field: "user.email".into(),
                class: Some(Class::Personal),
                how: Some(Use::Filter),
            }],
            purpose: "ticket 12".into(),
            rows: Some(0),
            bytes: Some(12),
            read: vec![
                TableRead { table: "a".into(), documents: Documents::AllBelow(u64::MAX) },
                TableRead {
                    table: "b".into(),
                    documents: Documents::Rows([1, 2, 1 << 40].into_iter().collect()),
                },
            ],
            subjects: Some(1),
            times: Some(2),
            refers_to: Some(RecordId(3)),
            outcome: "allowed".into(),
            subject: "x".into(),
            kind: EventKind::ReadIntent,
        };
        assert_eq!(Event::from_payload(&event.to_payload()), Some(event));
        for &kind in EventKind::ALL {
            let event = Event::new(kind);
            assert_eq!(Event::from_payload(&event.to_payload()), Some(event));
        }
        assert_eq!(Event::from_payload(b"{}"), None);
    }

    #[test]
    fn an_endless_question_is_cut() {
        let event = Event { shape: "é".repeat(40_000), ..Event::new(EventKind::ReadIntent) };
        let read = Event::from_payload(&event.to_payload()).unwrap();
        assert!(read.shape.len() < 33_000 && read.shape.ends_with("é… (cut)"));
    }
}
