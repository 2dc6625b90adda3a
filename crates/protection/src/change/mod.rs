//! Nobody widens access alone.
//!
//! An [`Edit`] is one step on the policy, on what a field is, or on an account. [`Changes`] decides
//! what becomes of it:
//!
//! * A tightening takes effect at once: see [`Difference`].
//! * Everything else becomes a [`Change`] that waits. It shows exactly what would be different, and
//!   is good for exactly that: if the policy moves on so that it would do anything else, it is
//!   stale and has to be proposed again. Undecided it ends after 24 hours.
//! * It is approved by a person with [`Action::Approve`](crate::grant::Action::Approve) who neither
//!   proposed it nor gains by it, who has seen the difference as it is, and who proves to be there
//!   with a code or a key ([`PresenceProof`](crate::caller::PresenceProof)).
//! * Where nobody else may approve, and nobody did in the last seven days, it may be confirmed by
//!   its proposer after 24 hours in which the contact outside was told; any person with a say can
//!   reject it meanwhile. Who gets rid of all others first waits seven days more.
//! * What a widening grants ends: after 30 days unless it says otherwise, after
//!   [`Setting::GrantDaysMax`] at the latest. A role lasts for
//!   [`Setting::MembershipDaysMax`]: people join a team
//!   for longer than they need a special field. Settings and rulings have no end: they are no
//!   access of somebody, and undoing them takes the same way back or none.
//! * [`Changes::break_glass`]: one person, one hour, everybody is told, never in bulk, once a day.
//!
//! A node that never held a row has nothing to show: until the first one
//! ([`Policies::end_founding`](crate::grant::Policies::end_founding)) every edit takes effect at
//! once.
//!
//! Whatever happens is in the audit record: a widening before it is in force, a tightening in any
//! case.

mod apply;
mod form;
mod glass;
mod record;
mod standing;
mod workflow;

#[cfg(test)]
mod tests;

pub use form::{ChangeForm, EditForm};
pub use glass::Glass;
pub use workflow::{Changes, Decided, Outcome};

use crate::caller::Role;
use crate::classify::{OwnRules, RulesError};
use crate::grant::{
    Difference, Grant, GrantError, GrantId, Policy, Setting, SettingError, SettingValue,
};
use crate::records::RecordError;
use model::{Class, Timestamp};
use std::collections::BTreeSet;
use std::fmt;

/// One step that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Give a grant.
    Grant(Grant),
    /// Take a grant back.
    Revoke(GrantId),
    /// Give an account a role, or a later end of it.
    Role {
        /// Which account.
        person: String,
        /// Which role.
        role: Role,
        /// Until when; `None`: as long as the settings allow.
        until: Option<Timestamp>,
    },
    /// Take a role from an account.
    DropRole {
        /// Which account.
        person: String,
        /// Which role.
        role: Role,
    },
    /// Let a disabled account in again, with the roles and grants that it still has.
    Enable {
        /// Which account.
        person: String,
    },
    /// Change a setting of the node.
    Setting {
        /// Which.
        setting: Setting,
        /// To what.
        value: SettingValue,
    },
    /// Find more in what is written from now on: rules of the company.
    AddRules(OwnRules),
    /// Find what a rule of the company finds no more; by its name.
    RemoveRule(String),
    /// Rule on a field so that more is seen of it. Carried out by the engine.
    Rule {
        /// Of which table.
        table: String,
        /// Its path.
        field: String,
        /// What it was when this was proposed, in a word.
        before: String,
        /// The class that it gets.
        class: Class,
        /// The kind of its values; `None`: as it is.
        kind: Option<String>,
        /// Why, for the record of the ruling.
        why: String,
    },
    /// Let the proposer set another's password once, within 24 hours. Carried out by the engine.
    PasswordReset {
        /// Whose.
        person: String,
    },
}

impl Edit {
    /// Whether it is no step on the policy, but is carried out elsewhere once it is approved.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Edit::Rule { .. } | Edit::PasswordReset { .. })
    }
}

impl fmt::Display for Edit {
    /// In words, with the values of row filters: for the people who decide.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Grant(grant) => write!(f, "grant: {grant}"),
            Edit::Revoke(id) => write!(f, "revoke grant {id}"),
            Edit::Role { person, role, until: None } => write!(f, "{person} becomes {role}"),
            Edit::Role { person, role, until: Some(until) } => {
                write!(f, "{person} becomes {role} until {until}")
            }
            Edit::DropRole { person, role } => write!(f, "{person} is {role} no more"),
            Edit::Enable { person } => write!(f, "{person} is let in again"),
            Edit::Setting { setting, value } => write!(f, "{} = {value}", setting.as_str()),
            Edit::Rule { table, field, before, class, .. } => {
                write!(f, "field {field} of {table} becomes {class}, is {before}")
            }
            Edit::PasswordReset { person } => write!(f, "a new password for {person}"),
            Edit::AddRules(rules) => {
                let names: Vec<&str> = rules.names().collect();
                write!(f, "rules added: {}", names.join(", "))
            }
            Edit::RemoveRule(name) => write!(f, "rule removed: {name}"),
        }
    }
}

/// The number of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub u64);

impl ChangeId {
    /// What a [`PresenceProof`](crate::caller::PresenceProof) for deciding on it is about.
    pub fn presence(self) -> String {
        format!("change {self}")
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Edits that somebody proposed, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub id: ChangeId,
    /// What it does.
    pub edits: Vec<Edit>,
    /// Why, in the proposer's words.
    pub why: String,
    /// Who wants it.
    pub proposer: String,
    /// With which credential.
    pub credential: String,
    /// Since when.
    pub proposed_at: Timestamp,
    /// The version of the policy that it was proposed on.
    pub base: u64,
    /// Until when it can be decided.
    pub decide_by: Timestamp,
    /// From when on its proposer may confirm it; `None`: somebody else has to approve.
    pub confirm_from: Option<Timestamp>,
    /// What it changes, line by line. Bound: it does exactly this or nothing.
    pub effect: Vec<String>,
    /// Who gains by it.
    pub beneficiaries: BTreeSet<String>,
    /// What became of it.
    pub state: State,
}

impl Change {
    /// What `policy` would be with it.
    ///
    /// # Errors
    /// If it cannot be made any more.
    pub fn on(&self, policy: &Policy, now: Timestamp) -> Result<Policy, ChangeError> {
        let mut next = policy.clone();
        apply::apply(&mut next, &self.edits, now)?;
        Ok(next)
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has decided yet.
    Waiting,
    /// Approved, and about to be carried out elsewhere.
    Approved {
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// In force.
    Applied {
        /// Who approved it; the proposer where nobody had to, or nobody else could.
        by: String,
        /// Since when.
        at: Timestamp,
        /// The version of the policy that it made; `None`: it changed something else.
        version: Option<u64>,
    },
    /// Somebody said no.
    Rejected {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
        /// Why.
        why: String,
    },
    /// The proposer thought better of it.
    Withdrawn {
        /// When.
        at: Timestamp,
    },
    /// Undecided in time.
    Expired,
    /// It would do something else by now.
    Stale,
    /// Broken glass: in force at once, for an hour.
    BrokenGlass {
        /// Since when.
        at: Timestamp,
        /// The version of the policy that it made.
        version: u64,
    },
}

impl State {
    /// The word in lists.
    pub fn as_str(&self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Approved { .. } => "approved",
            State::Applied { .. } => "applied",
            State::Rejected { .. } => "rejected",
            State::Withdrawn { .. } => "withdrawn",
            State::Expired => "expired",
            State::Stale => "stale",
            State::BrokenGlass { .. } => "break-glass",
        }
    }
}

/// Why a change was not proposed or decided. Carries no value of a row filter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The caller's credential has ended.
    #[error("the credential has expired or was revoked; log in again")]
    CallerExpired,
    /// The caller may not propose this.
    #[error("only an administrator or guardian may propose this")]
    MayNotPropose,
    /// The caller may not decide.
    #[error("only a person who may approve decides on a change")]
    MayNotDecide,
    /// A program cannot be the second person.
    #[error("a change is decided by a person who logs in, not with an API key")]
    NotAPerson,
    /// The proof of presence is of somebody else, about something else, or old.
    #[error("prove again that you are there, with a code or a key, for this very step")]
    NotPresent,
    /// The same person twice.
    #[error("you proposed this change: somebody else has to approve it")]
    OwnProposal,
    /// Whoever gains does not decide.
    #[error("you gain by this change: somebody else has to approve it")]
    OwnGain,
    /// Nobody is left who could decide.
    #[error("everybody who may approve would gain by this; make it smaller, or for fewer people")]
    NobodyToApprove,
    /// Time lock.
    #[error("nobody else can approve this, so it waits: confirm it from {0} on")]
    TooEarly(Timestamp),
    /// There is no such change.
    #[error("there is no change {0}")]
    NoChange(ChangeId),
    /// It is decided, withdrawn, expired or stale.
    #[error("change {id} is {state}; propose it again if it is still wanted")]
    NotWaiting {
        /// Which.
        id: ChangeId,
        /// What became of it.
        state: &'static str,
    },
    /// The approver has seen something else.
    #[error("this is not what you were shown; look at the change again")]
    NotWhatWasSeen,
    /// Only the proposer withdraws.
    #[error("only {0} may withdraw it; you may reject it")]
    NotProposer(String),
    /// It says why to those who decide.
    #[error("say why, in 1 to 1000 characters")]
    NoReason,
    /// It does nothing.
    #[error("name at least one edit, and at most 100")]
    NoEdit,
    /// Rulings and passwords are decided one at a time.
    #[error("a ruling or a password is a change of its own")]
    Mixed,
    /// Nothing would be different.
    #[error("nothing would be different")]
    NoEffect,
    /// No such account.
    #[error("there is no account `{0}`")]
    NoPerson(String),
    /// No such grant.
    #[error("there is no grant {0}")]
    NoGrant(GrantId),
    /// The account does not have the role.
    #[error("`{person}` is not {role}")]
    NoRole {
        /// Which account.
        person: String,
        /// Which role.
        role: Role,
    },
    /// Lasts too long.
    #[error("it would last longer than {days} days; name an earlier end, or none for the default")]
    TooLong {
        /// What the settings allow.
        days: u64,
    },
    /// Over already.
    #[error("it would be over already; name an end in the future")]
    EndInPast,
    /// Nobody could manage people any more.
    #[error("nobody could manage people any more; make another administrator first")]
    LastAdministrator,
    /// Broken glass is switched off, or not for this caller.
    #[error("breaking the glass is not granted to you here; propose a change")]
    NoGlass,
    /// Once a day.
    #[error("you broke the glass less than a day ago; propose a change")]
    GlassAgain,
    /// More than broken glass can give.
    #[error("broken glass reads up to special, and only named tables or beginnings of names")]
    GlassTooWide,
    /// Without a record nothing is widened.
    #[error("the audit record cannot be written, so nothing is changed; free its disk")]
    NotRecorded,
    /// The grant says nothing, or too much.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The setting is none.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A rule makes no sense, or is not there.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The catalog failed.
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// The lines of a difference, with the values of row filters. Two differences with the same lines
/// do the same; a grant's beginning plays no role, since it may pass while a change waits.
fn lines_of(difference: &Difference) -> Vec<String> {
    let side = |sign: char, gains: &[crate::grant::Gain]| {
        let line = |gain: &crate::grant::Gain| {
            let grant = Grant { from: None, ..gain.way.grant.clone() };
            let terms = crate::grant::Terms::with_values(&grant);
            let (action, tables) = (grant.action, &grant.tables);
            format!("{sign} {}: {action} {tables}{terms}", gain.holder)
        };
        let mut lines: Vec<String> = gains.iter().map(line).collect();
        lines.sort();
        lines
    };
    let mut lines = side('+', &difference.gains);
    lines.extend(side('-', &difference.losses));
    lines.extend(
        difference
            .settings
            .iter()
            .map(|change| format!("{}: {} -> {}", change.setting.as_str(), change.old, change.new)),
    );
    lines.extend(difference.rules.iter().map(|rule| match rule.is_added {
        true => format!("rule {}: none -> {}", rule.name, rule.finds),
        false => format!("rule {}: {} -> none", rule.name, rule.finds),
    }));
    lines
}
