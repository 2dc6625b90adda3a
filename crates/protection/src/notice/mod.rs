//! What somebody outside is told: a durable list of notices, and where each of them has to go.
//!
//! * [`Notices::raise`] writes a notice down, with the [targets](Target) that the setting
//!   [`Notify`](crate::grant::Setting::Notify) names at that moment. Equal ones within an hour are
//!   one notice that counts.
//! * Whoever has a network takes them from [`Notices::to_send`], makes a [`Message`] for a target,
//!   sends it, and says with [`Notices::sent`] or [`Notices::failed`] what became of it.
//!
//! After a crash a notice is there and still has to go where it was not; so it may arrive twice,
//! under the same number, and never not at all. It is tried for some days, with growing pauses.
//!
//! What never happens here: a value of a document in a text. A notice names people, tables, fields,
//! changes and numbers of things.

mod message;
mod outbox;
mod secrets;
mod stored;
mod target;

#[cfg(test)]
mod tests;

pub use message::{Message, signature_of};
pub use outbox::{Notices, pause};
pub use secrets::SecretError;
pub use target::{Target, TargetError, TargetKind};

use crate::change::ChangeId;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that people have to know. Names people and things, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number.
    pub id: u64,
    /// Since when.
    pub at: Timestamp,
    /// What happened.
    pub kind: NoticeKind,
    /// To which change, if to one.
    pub change: Option<ChangeId>,
    /// What makes it equal to others of its kind: an account, a folder, an alert.
    pub about: String,
    /// In words.
    pub text: String,
    /// How often it happened within the hour.
    pub times: u64,
    /// Where it goes, by the name of the target, and how far that is.
    pub targets: BTreeMap<String, Sending>,
}

impl Notice {
    /// When the last of its targets had it; `None`: not yet everywhere, or it goes nowhere.
    pub fn delivered_at(&self) -> Option<Timestamp> {
        let all: Option<Vec<Timestamp>> =
            self.targets.values().map(|sending| sending.sent_at).collect();
        all?.into_iter().max()
    }
}

/// How far a notice is on its way to one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    /// When the target took it.
    pub sent_at: Option<Timestamp>,
    /// How often it did not.
    pub tries: u32,
    /// Why not, the last time.
    pub trouble: Option<String>,
}

impl Sending {
    /// So often a notice is tried: for about three days, since pauses grow to an hour.
    pub const TRIES_MAX: u32 = 80;

    /// Whether there is something left to do.
    pub fn is_open(&self) -> bool {
        self.sent_at.is_none() && self.tries < Sending::TRIES_MAX
    }
}

/// What a notice is about, and so whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// Somebody used up what they may be given in a day.
    Quota,
    /// A planted row that nobody has a reason to read was given out.
    Canary,
    /// Many log-ins were refused within a minute.
    RefusedLogIns,
    /// A folder of the audit record fails, or all of them.
    AuditSink,
    /// The computer's clock was set back.
    Clock,
    /// Keys left the node.
    KeysExported,
    /// A metric is where it should not be, or is again where it should.
    Alert,
    /// Somebody wants to see whether notices arrive.
    Test,
}

impl NoticeKind {
    /// The word in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeKind::Waiting => "waiting",
            NoticeKind::TimeLock => "time_lock",
            NoticeKind::Applied => "applied",
            NoticeKind::BrokenGlass => "broken_glass",
            NoticeKind::Quota => "quota",
            NoticeKind::Canary => "canary",
            NoticeKind::RefusedLogIns => "refused_log_ins",
            NoticeKind::AuditSink => "audit_sink",
            NoticeKind::Clock => "clock",
            NoticeKind::KeysExported => "keys_exported",
            NoticeKind::Alert => "alert",
            NoticeKind::Test => "test",
        }
    }

    /// Whether everybody with an account is told; the others are for those with a say.
    pub fn is_for_everybody(self) -> bool {
        matches!(
            self,
            NoticeKind::Waiting
                | NoticeKind::TimeLock
                | NoticeKind::Applied
                | NoticeKind::BrokenGlass
                | NoticeKind::KeysExported
        )
    }
}
