//! Who may do what, where, up to which class, on which terms.
//!
//! A [`Grant`] is one permission. Grants form a partial order, component by component:
//! [`Grant::covers`] asks it, [`Grant::meet`] is the greatest grant below two. A role is nothing
//! but a name for a few grants. A [`Policy`] is one version of the whole: all grants, who has which
//! role, and the settings of the node; [`Policies`] keeps every version there ever was.
//!
//! [`Difference::between`] says what a new version lets anybody do that the old one did not. If
//! that is nothing, the step is a tightening and takes effect at once; all else is a widening and
//! waits for a second person (see [`change`](crate::change)). The question is decided grant by
//! grant: whatever is called a tightening is one; some tightenings, where several old grants only
//! together cover a new one, are not seen and wait.
//!
//! | | analyst | engineer | guardian | administrator |
//! |---|---|---|---|---|
//! | read rows, up to personal (pseudonyms) | yes | yes | yes | – |
//! | count and aggregate, up to special, groups of 20 | yes | yes | yes, secret too | – |
//! | define metrics | yes | yes | – | – |
//! | write, make and drop tables | – | yes | – | – |
//! | rule, approve, read the audit record, incidents | – | – | yes | – |
//! | manage people and the keys of others | – | – | – | yes |
//! | break the glass: read alone for an hour | – | yes | yes | – |

mod action;
mod classes;
mod difference;
mod form;
mod history;
mod networks;
mod policy;
mod reach;
mod roles;
mod rows;
mod settings;
mod terms;

#[cfg(test)]
mod brute_force;
#[cfg(test)]
mod lattice_tests;

pub use action::Action;
pub use classes::Classes;
pub use difference::{Difference, Gain, Holder, RuleChange, SettingChange};
pub use form::{
    ConditionForm, FormError, GrantForm, MemberForm, PolicyForm, PurposeForm, QuotaForm,
    SettingForm,
};
pub(crate) use history::InForce;
pub use history::{Policies, PolicyHistory, ReachInterval};
pub use networks::{Network, NetworkError, Networks};
pub use policy::{GrantId, Member, Policy};
pub(crate) use reach::clipped;
pub use reach::{MatrixRow, Reach, ReachMatrix, Way};
pub use rows::{Condition, Literal, Renewing, RowFilter, Test};
pub use settings::{Setting, SettingError, SettingValue, Settings};
pub use terms::{Purpose, Quota};

use crate::caller::Role;
use model::{TableName, Timestamp};
use std::fmt;

/// To whom a grant is given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// Everybody with this role.
    Role(Role),
    /// One person and the keys of that person.
    Person(String),
}

impl fmt::Display for Who {
    /// `role:analyst` or `person:ada`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Role(role) => f.pad(&format!("role:{role}")),
            Who::Person(name) => f.pad(&format!("person:{name}")),
        }
    }
}

/// Which tables a grant is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tables {
    /// All, also those to come.
    All,
    /// Those whose name starts with this.
    Prefix(String),
    /// One.
    Named(TableName),
}

impl Tables {
    /// Whether `table` is among them.
    pub fn has(&self, table: &TableName) -> bool {
        match self {
            Tables::All => true,
            Tables::Prefix(prefix) => table.as_str().starts_with(prefix.as_str()),
            Tables::Named(name) => name == table,
        }
    }

    fn covers(&self, other: &Tables) -> bool {
        match (self, other) {
            (Tables::All, _) => true,
            (Tables::Prefix(own), Tables::Prefix(other)) => other.starts_with(own.as_str()),
            (_, Tables::Named(name)) => self.has(name),
            _ => false,
        }
    }

    fn meet(&self, other: &Tables) -> Option<Tables> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }
}

impl fmt::Display for Tables {
    /// `*`, `logs-*` or `events`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tables::All => f.pad("*"),
            Tables::Prefix(prefix) => f.pad(&format!("{prefix}*")),
            Tables::Named(name) => f.pad(name.as_str()),
        }
    }
}

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// To whom.
    pub who: Who,
    /// Where.
    pub tables: Tables,
    /// What, and what it covers.
    pub action: Action,
    /// Of which classes of field; none for actions that do not read.
    pub classes: Classes,
    /// Of which rows.
    pub rows: RowFilter,
    /// The fewest distinct subjects that a group may have, from 1; where rows are read: 1.
    pub least_group: u32,
    /// How much a day.
    pub quota: Quota,
    /// From where.
    pub networks: Networks,
    /// What for.
    pub purpose: Purpose,
    /// From when on; `None`: always.
    pub from: Option<Timestamp>,
    /// Until when; `None`: until it is taken back.
    pub until: Option<Timestamp>,
}

/// Why a grant means nothing, or not what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// A reading grant without a class.
    #[error("a grant to read needs at least one class: open, personal, special or secret")]
    NoClass,
    /// Terms of reading on an action that does not read.
    #[error("the action [{0}] reads nothing: leave out classes, rows, least_group and quota")]
    ReadsNothing(Action),
    /// A group of none.
    #[error("least_group is the number of subjects of the smallest group: at least 1")]
    NoGroup,
    /// Whoever reads rows can make groups of one.
    #[error("least_group is for count and aggregate: whoever may {0} rows can make groups of one")]
    GroupOfRows(Action),
    /// A condition without sense.
    #[error("the condition on [{field}] {fault}")]
    Condition {
        /// Of which field.
        field: String,
        /// What is wrong, in words.
        fault: &'static str,
    },
    /// No network at all.
    #[error("name at least one network, or leave networks out")]
    NoNetwork,
    /// No purpose at all, or an empty one.
    #[error("name at least one purpose of 1 to 200 characters, or leave purpose out")]
    NoPurpose,
    /// Over before it begins.
    #[error("the grant would end before it begins")]
    EndsFirst,
    /// A pattern for all tables that is no pattern.
    #[error("a pattern of tables starts with at least one character; `*` alone names all tables")]
    EmptyPrefix,
}

impl Grant {
    /// A grant without any further term.
    pub fn new(who: Who, tables: Tables, action: Action, classes: Classes) -> Grant {
        Grant {
            who,
            tables,
            action,
            classes,
            rows: RowFilter::all(),
            least_group: 1,
            quota: Quota::NONE,
            networks: Networks::Anywhere,
            purpose: Purpose::NotAsked,
            from: None,
            until: None,
        }
    }

    /// Whether it says something, and one thing only.
    ///
    /// # Errors
    /// [`GrantError`] says what to change.
    pub fn check(&self) -> Result<(), GrantError> {
        let reads_nothing = self.classes.is_empty()
            && self.rows.is_all()
            && self.least_group == 1
            && self.quota == Quota::NONE;
        let bad_purpose = |purpose: &String| {
            purpose.trim() != purpose || purpose.is_empty() || purpose.chars().count() > 200
        };
        match self {
            _ if !self.action.is_reading() && !reads_nothing => {
                Err(GrantError::ReadsNothing(self.action))
            }
            _ if self.action.is_reading() && self.classes.is_empty() => Err(GrantError::NoClass),
            _ if self.least_group == 0 => Err(GrantError::NoGroup),
            _ if self.least_group > 1 && self.action.covers(Action::Read) => {
                Err(GrantError::GroupOfRows(self.action))
            }
            Grant { tables: Tables::Prefix(prefix), .. } if prefix.is_empty() => {
                Err(GrantError::EmptyPrefix)
            }
            Grant { networks: Networks::Among(networks), .. } if networks.is_empty() => {
                Err(GrantError::NoNetwork)
            }
            Grant { purpose: Purpose::OneOf(purposes), .. }
                if purposes.is_empty() || purposes.iter().any(bad_purpose) =>
            {
                Err(GrantError::NoPurpose)
            }
            Grant { from: Some(from), until: Some(until), .. } if from >= until => {
                Err(GrantError::EndsFirst)
            }
            _ => self.rows.conditions().iter().try_for_each(|Condition { field, test }| {
                let fault = if field.is_empty() { Some("names no field") } else { test.fault() };
                fault.map_or(Ok(()), |fault| {
                    Err(GrantError::Condition { field: field.clone(), fault })
                })
            }),
        }
    }

    /// Whether everything that `other` allows is allowed by this one.
    pub fn covers(&self, other: &Grant) -> bool {
        self.who == other.who && self.terms_cover(other)
    }

    /// As [`Grant::covers`], whoever has them.
    pub(crate) fn terms_cover(&self, other: &Grant) -> bool {
        self.tables.covers(&other.tables)
            && self.action.covers(other.action)
            && self.classes.covers(other.classes)
            && self.rows.covers(&other.rows)
            && self.least_group <= other.least_group
            && self.quota.covers(&other.quota)
            && self.networks.covers(&other.networks)
            && self.purpose.covers(&other.purpose)
            && self.from.is_none_or(|own| other.from.is_some_and(|other| own <= other))
            && self.until.is_none_or(|own| other.until.is_some_and(|other| other <= own))
    }

    /// The greatest grant that both cover; `None` if they have nothing in common.
    pub fn meet(&self, other: &Grant) -> Option<Grant> {
        if self.who != other.who {
            return None;
        }
        let classes = self.classes.meet(other.classes);
        let action = self.action.meet(other.action)?;
        let from = self.from.max(other.from);
        let until = self.until.into_iter().chain(other.until).min();
        let is_empty = action.is_reading() && classes.is_empty();
        if is_empty || from.zip(until).is_some_and(|(from, until)| from >= until) {
            return None;
        }
        Some(Grant {
            who: self.who.clone(),
            tables: self.tables.meet(&other.tables)?,
            action,
            classes,
            rows: self.rows.meet(&other.rows),
            least_group: self.least_group.max(other.least_group),
            quota: self.quota.meet(&other.quota),
            networks: self.networks.meet(&other.networks)?,
            purpose: self.purpose.meet(&other.purpose)?,
            from,
            until,
        })
    }

    /// Whether it holds at `now`.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && !self.is_over(now)
    }

    /// Whether it held once and never will again.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl fmt::Display for Grant {
    /// One line in words, with the values of its row filter: for the people who decide on it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} may {} {}", self.who, self.action, self.tables)?;
        write!(f, "{}", Terms::with_values(self))
    }
}

/// The terms of a grant after who, what and where, in words; empty where there is none.
pub(crate) struct Terms<'a> {
    grant: &'a Grant,
    with_values: bool,
}

impl<'a> Terms<'a> {
    /// For the people who decide on a grant.
    pub(crate) fn with_values(grant: &'a Grant) -> Terms<'a> {
        Terms { grant, with_values: true }
    }

    /// For records and logs: of a row filter only the fields.
    pub(crate) fn without_values(grant: &'a Grant) -> Terms<'a> {
        Terms { grant, with_values: false }
    }
}

impl fmt::Display for Terms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grant = self.grant;
        if grant.action.is_reading() {
            write!(f, ", {}", grant.classes)?;
        }
        if !grant.rows.is_all() {
            match self.with_values {
                true => write!(f, ", where {}", grant.rows)?,
                false => {
                    let fields = grant.rows.conditions().iter().map(|one| one.field.as_str());
                    write!(f, ", where {} …", fields.collect::<Vec<_>>().join(", "))?;
                }
            }
        }
        if grant.least_group > 1 {
            write!(f, ", groups of at least {}", grant.least_group)?;
        }
        if grant.quota != Quota::NONE {
            write!(f, ", {}", grant.quota)?;
        }
        if grant.networks != Networks::Anywhere {
            write!(f, ", from {}", grant.networks)?;
        }
        if grant.purpose != Purpose::NotAsked {
            write!(f, ", {}", grant.purpose)?;
        }
        if let Some(from) = grant.from {
            write!(f, ", from {from}")?;
        }
        if let Some(until) = grant.until {
            write!(f, ", until {until}")?;
        }
        Ok(())
    }
}
