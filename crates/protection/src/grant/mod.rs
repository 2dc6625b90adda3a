//! Who may do what, and up to which class.
//!
//! A [`Grant`] says who, which tables, which action, up to which class, until when. Grants form a
//! partial order, component by component: [`Grant::covers`] asks it, [`Grant::meet`] is the
//! greatest grant below two. A role is nothing but a name for a few grants.
//!
//! | | analyst | engineer | guardian | administrator |
//! |---|---|---|---|---|
//! | read rows, up to personal (pseudonyms) | yes | yes | yes | – |
//! | count and aggregate, up to special | yes | yes | yes, secret too | – |
//! | define metrics | yes | yes | – | – |
//! | write, make and drop tables | – | yes | – | – |
//! | rule, approve, read the audit record, incidents | – | – | yes | – |
//! | manage people and the keys of others | – | – | – | yes |

mod policy;

pub use policy::Policy;
pub(crate) use policy::grants_of;

use crate::caller::Role;
use model::{Class, TableName, Timestamp};
use std::fmt;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// How many rows.
    Count,
    /// Groups and measures, no row.
    Aggregate,
    /// Rows.
    Read,
    /// Rows in bulk, to be kept elsewhere.
    Export,
    /// Documents in, changed or removed.
    Write,
    /// Make a table or add to its mapping.
    CreateTable,
    /// Drop a table.
    DropTable,
    /// Say what class a field has.
    Rule,
    /// Be the second person.
    Approve,
    /// Read the audit record.
    Audit,
    /// Work on an incident.
    Incident,
    /// Make, change and disable accounts.
    ManagePeople,
    /// See and revoke the API keys of others.
    ManageKeys,
    /// Declare or change a metric.
    DefineMetric,
}

impl Action {
    /// All actions, in the order of the manual.
    pub const ALL: [Action; 14] = [
        Action::Count,
        Action::Aggregate,
        Action::Read,
        Action::Export,
        Action::Write,
        Action::CreateTable,
        Action::DropTable,
        Action::Rule,
        Action::Approve,
        Action::Audit,
        Action::Incident,
        Action::ManagePeople,
        Action::ManageKeys,
        Action::DefineMetric,
    ];

    /// The word that people type and read.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Count => "count",
            Action::Aggregate => "aggregate",
            Action::Read => "read",
            Action::Export => "export",
            Action::Write => "write",
            Action::CreateTable => "create_table",
            Action::DropTable => "drop_table",
            Action::Rule => "rule",
            Action::Approve => "approve",
            Action::Audit => "audit",
            Action::Incident => "incident",
            Action::ManagePeople => "manage_people",
            Action::ManageKeys => "manage_keys",
            Action::DefineMetric => "define_metric",
        }
    }

    /// The action with this word.
    pub fn parse(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// Whether stored values come out, in whatever form.
    pub fn is_reading(self) -> bool {
        self.reach().is_some()
    }

    /// Count below aggregate below read below export; `None` for what does not read.
    fn reach(self) -> Option<u8> {
        match self {
            Action::Count => Some(0),
            Action::Aggregate => Some(1),
            Action::Read => Some(2),
            Action::Export => Some(3),
            _ => None,
        }
    }

    /// Whether whoever may do this may also do `other`.
    pub fn covers(self, other: Action) -> bool {
        match (self.reach(), other.reach()) {
            (Some(own), Some(other)) => own >= other,
            _ => self == other,
        }
    }

    /// The greatest action that both cover.
    fn meet(self, other: Action) -> Option<Action> {
        if self.covers(other) {
            Some(other)
        } else if other.covers(self) {
            Some(self)
        } else {
            None
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// To whom a grant is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Everybody with this role.
    Role(Role),
    /// One person and the keys of that person.
    Person(String),
}

/// Which tables a grant is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub who: Who,
    /// Where.
    pub tables: Tables,
    /// What, and what it covers.
    pub action: Action,
    /// Up to which class of field; says nothing for actions that do not read.
    pub class_max: Class,
    /// Until when; `None`: until it is taken back.
    pub until: Option<Timestamp>,
}

impl Grant {
    /// Whether everything that `other` allows is allowed by this one.
    pub fn covers(&self, other: &Grant) -> bool {
        self.who == other.who
            && self.tables.covers(&other.tables)
            && self.action.covers(other.action)
            && (!other.action.is_reading() || self.class_max >= other.class_max)
            && self.until.is_none_or(|own| other.until.is_some_and(|other| other <= own))
    }

    /// The greatest grant that both cover; `None` if they have nothing in common.
    pub fn meet(&self, other: &Grant) -> Option<Grant> {
        if self.who != other.who {
            return None;
        }
        Some(Grant {
            who: self.who.clone(),
            tables: self.tables.meet(&other.tables)?,
            action: self.action.meet(other.action)?,
            class_max: self.class_max.min(other.class_max),
            until: match (self.until, other.until) {
                (Some(own), Some(other)) => Some(own.min(other)),
                (own, other) => own.or(other),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_grant() -> impl Strategy<Value = Grant> {
        let table = |name: &str| Tables::Named(TableName::parse(name).unwrap());
        let who = prop_oneof![Just(Who::Role(Role::Analyst)), Just(Who::Person("ada".into()))];
        let tables = prop_oneof![
            Just(Tables::All),
            Just(Tables::Prefix("log".into())),
            Just(Tables::Prefix("logs-a".into())),
            Just(table("logs-app")),
            Just(table("events")),
        ];
        let action = (0..Action::ALL.len()).prop_map(|at| Action::ALL[at]);
        let class = (0..4usize).prop_map(|at| Class::ALL[at]);
        let until = prop::option::of((0..3i64).prop_map(Timestamp));
        (who, tables, action, class, until).prop_map(|(who, tables, action, class_max, until)| {
            Grant { who, tables, action, class_max, until }
        })
    }

    proptest! {
        #[test]
        fn grants_are_a_partial_order_with_meets(
            one in any_grant(), two in any_grant(), three in any_grant()
        ) {
            prop_assert!(one.covers(&one));
            if one.covers(&two) && two.covers(&three) {
                prop_assert!(one.covers(&three));
            }
            match one.meet(&two) {
                Some(meet) => {
                    prop_assert!(one.covers(&meet) && two.covers(&meet));
                    if one.covers(&three) && two.covers(&three) {
                        prop_assert!(meet.covers(&three));
                    }
                }
                None => prop_assert!(!(one.covers(&three) && two.covers(&three))),
            }
        }
    }

    #[test]
    fn an_expiring_grant_never_covers_a_lasting_one() {
        let lasting = Grant {
            who: Who::Role(Role::Analyst),
            tables: Tables::All,
            action: Action::Read,
            class_max: Class::Personal,
            until: None,
        };
        let expiring = Grant { until: Some(Timestamp(5)), ..lasting.clone() };
        assert!(lasting.covers(&expiring));
        assert!(!expiring.covers(&lasting));
    }

    #[test]
    fn words_are_read_back() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
        }
        assert_eq!(Action::parse("fly"), None);
    }
}
