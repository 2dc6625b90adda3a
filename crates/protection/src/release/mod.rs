//! The way out: a [`Guard`] authorises a read, a [`Permit`] carries what it may see, and only what
//! is [`Released`] leaves.
//!
//! Which grants make a permit is decided once, here:
//!
//! * Only grants count that are in force, of the caller's roles or name, for the table, and whose
//!   networks, purpose and quota the caller meets at this moment.
//! * Every field that the question mentions makes a [`Need`](cover::Need): an action on a class.
//!   A row is seen if each need is met there by some grant; all other rows do not exist for this
//!   permit. Where a question asks for "all fields", those are hidden that may not be read in
//!   every row it sees.
//! * Least group, quota and end come from the very grants that were chosen, never mixed from
//!   several.

mod alarm;
mod canary;
mod cover;
mod meter;
mod near;
mod permit;

#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod tests;

pub use canary::{Canaries, Canary};
pub use cover::{CacheKey, RowScope};
pub use permit::{Kept, Permit, Released};

use crate::audit::{AuditError, AuditLog, Event, EventKind, FieldTouched};
use crate::caller::Caller;
use crate::grant::{Action, Policies};
use crate::notice::Notices;
use crate::records::{RecordError, RecordStore};
use alarm::Alarm;
use cover::{Covered, cover};
use meter::Meter;
use model::{Class, Clock, Field, Table, TableId, Timestamp};
use near::Answers;
use std::sync::Arc;

/// Authorises reads: the only way to a [`Permit`], and so the only way to stored rows.
#[derive(Debug)]
pub struct Guard {
    log: Arc<AuditLog>,
    policies: Arc<Policies>,
    meter: Arc<Meter>,
    answers: Arc<Answers>,
    alarm: Alarm,
    clock: Arc<dyn Clock>,
}

/// What somebody wants to read.
#[derive(Clone, Debug)]
pub struct ReadIntent {
    /// What comes out: a count, groups, rows.
    pub action: Action,
    /// From which tables.
    pub tables: Vec<Arc<Table>>,
    /// The question without its literals.
    pub shape: String,
    /// Every field that the question mentions, in whatever role: a filter is a read.
    pub fields: Vec<(TableId, FieldUse)>,
}

/// A field and what a question does with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldUse {
    /// The path; `NAME.keyword` stands for its field, an object for all below it, and `*` in an
    /// output for every field that may be read.
    pub field: String,
    /// What for.
    pub how: Use,
}

/// What a question does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Chooses rows by it; of a special field only by whether there is a value.
    Filter,
    /// Orders rows by it.
    Sort,
    /// Makes groups of its values.
    Group,
    /// Computes from it.
    Measure,
    /// Gives it out.
    Output,
}

impl Use {
    const ALL: [Use; 5] = [Use::Filter, Use::Sort, Use::Group, Use::Measure, Use::Output];

    /// The word in the audit record.
    pub fn as_str(self) -> &'static str {
        match self {
            Use::Filter => "filter",
            Use::Sort => "sort",
            Use::Group => "group",
            Use::Measure => "measure",
            Use::Output => "output",
        }
    }

    /// The use with this word.
    pub fn parse(word: &str) -> Option<Use> {
        Use::ALL.into_iter().find(|how| how.as_str() == word)
    }
}

/// Why a read was refused. Names fields and classes, never a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No such table, or the caller may not know that there is.
    #[error("no such index [{table}]")]
    NotFound {
        /// As the caller called it.
        table: String,
    },
    /// The action is not granted at all.
    #[error("action [{action}] is not granted to [{caller}] with the roles [{roles}]")]
    Action {
        /// What was wanted.
        action: Action,
        /// By whom.
        caller: String,
        /// The roles of the credential.
        roles: String,
    },
    /// The class of a field is above what is granted for this use.
    #[error(
        "field [{field}] is {class}: its values are not given out, only counted in groups without rows"
    )]
    Field {
        /// Which field.
        field: String,
        /// Its class.
        class: Class,
    },
    /// A guardian has not ruled on the field yet.
    #[error("field [{field}] is withheld until a guardian rules on it")]
    Withheld {
        /// Which field.
        field: String,
    },
    /// Granted, but not from where the caller is.
    #[error("[{table}] may not be read from this network")]
    Network {
        /// Of which table.
        table: String,
    },
    /// Granted, but only for a stated purpose.
    #[error(
        "[{table}] is read {purposes}: say so with the header X-Clerestory-Purpose or --purpose"
    )]
    Purpose {
        /// Of which table.
        table: String,
        /// What may be stated, in words.
        purposes: String,
    },
    /// The measure of the day is used up.
    #[error("the quota of {quota} is used up; it begins again at {again}")]
    Quota {
        /// In words.
        quota: String,
        /// When the next day begins.
        again: Timestamp,
    },
    /// The caller's credential ended or was taken back.
    #[error("the credential has expired or was revoked; log in again")]
    Expired,
    /// The grants that this read was allowed by are not in force any more.
    #[error("what allowed this read is not granted any more; ask again")]
    Withdrawn,
    /// Without a record there is no answer.
    #[error("the audit record cannot be written, so nothing is answered; try again later")]
    AuditUnavailable(#[source] AuditError),
    /// Without an alarm no canary leaves.
    #[error("an alarm cannot be written down, so nothing is answered; try again later")]
    AlarmUnavailable(#[source] RecordError),
    /// Without a count there is no quota.
    #[error("the quota cannot be counted, so nothing is answered; try again later")]
    MeterUnavailable(#[source] RecordError),
}

impl Guard {
    /// A guard that asks `policies`, writes to `log`, and counts quotas in memory only.
    pub fn new(log: Arc<AuditLog>, policies: Arc<Policies>, clock: Arc<dyn Clock>) -> Guard {
        let (meter, answers, alarm) = (Arc::default(), Arc::default(), Alarm::default());
        Guard { log, policies, meter, answers, alarm, clock }
    }

    /// The same guard, which looks out for these canaries and tells people outside.
    #[must_use]
    pub fn alarming(self, canaries: Arc<Canaries>, notices: Arc<Notices>) -> Guard {
        Guard { alarm: Alarm { notices: Some(notices), canaries }, ..self }
    }

    /// As [`Guard::new`], with the counts of quotas kept in `records`.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub fn open(
        log: Arc<AuditLog>,
        policies: Arc<Policies>,
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Guard, RecordError> {
        Ok(Guard { meter: Arc::new(Meter::open(records)?), ..Guard::new(log, policies, clock) })
    }

    /// Checks a read, and makes its intent durable in the audit record.
    ///
    /// # Errors
    /// [`Denied`]; a refusal is recorded too. If the intent cannot be recorded:
    /// [`Denied::AuditUnavailable`].
    pub fn authorise(&self, caller: &Caller, intent: ReadIntent) -> Result<Permit, Denied> {
        let now = self.clock.now();
        let policy = self.policies.current();
        let checked = cover(&policy, &self.meter, caller, &intent, now).and_then(|covered| {
            self.meter.charge_query(caller.name(), Covered::quotas(&covered), now)?;
            Ok(covered)
        });
        let event = Event {
            policy: policy.version(),
            action: Some(intent.action),
            tables: intent.tables.iter().map(|table| table.name.as_str().to_owned()).collect(),
            shape: intent.shape.clone(),
            fields: fields_touched(&intent, checked.as_deref().unwrap_or_default()),
            purpose: caller.purpose().to_owned(),
            ..Event::by(EventKind::ReadIntent, caller)
        };
        let covered = match checked {
            Ok(covered) => covered,
            Err(denied) => {
                self.alarm.quota_tripped(&self.log, caller, &denied, now);
                let outcome = format!("denied: {denied}");
                let event = Event { kind: EventKind::ReadDenied, outcome, ..event };
                if let Err(error) = self.log.append(&event) {
                    tracing::error!(%error, "a refused read is not recorded");
                }
                return Err(denied);
            }
        };
        let event = Event { outcome: "allowed".to_owned(), ..event };
        let record = self.log.append_durable(&event).map_err(Denied::AuditUnavailable)?;
        Ok(Permit::new(self, caller.clone(), intent, record, policy.version(), covered))
    }

    /// Writes the counts of quotas down exactly; without it a restart counts a little too much.
    ///
    /// # Errors
    /// If the records cannot be written; the counts on disk are then a little too high.
    pub fn settle(&self) -> Result<(), RecordError> {
        self.meter.settle()
    }
}

/// The fields of `table` that `name` stands for.
fn fields_meant<'a>(table: &'a Table, name: &'a str) -> Box<dyn Iterator<Item = &'a Field> + 'a> {
    let exact = table.schema.find(name);
    let exact = exact.or_else(|| table.schema.find(name.strip_suffix(".keyword")?));
    if let Some((_, field)) = exact {
        return Box::new(std::iter::once(field));
    }
    Box::new(table.schema.fields().iter().filter(move |field| {
        let path = field.name.as_str();
        match name.contains('*') {
            true => fits(name.as_bytes(), path.as_bytes()),
            false => path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')),
        }
    }))
}

/// Whether `text` fits a pattern in which `*` stands for anything.
pub(crate) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((star_at, star_from)) => {
                    star = Some((star_at, star_from + 1));
                    at = star_at + 1;
                    from = star_from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// What is recorded of the fields of a question. A name that stands for several is recorded once
/// for each of their classes; where a permit hides what may not be read, those are left out.
fn fields_touched(intent: &ReadIntent, covered: &[Covered]) -> Vec<FieldTouched> {
    let mut touched = Vec::new();
    for (id, used) in &intent.fields {
        let table = intent.tables.iter().find(|table| table.id == *id);
        let covered = covered.iter().find(|covered| covered.table == *id);
        let hides = used.how == Use::Output && used.field.contains('*');
        let is_seen = |field: &&Field| {
            !hides || covered.is_none_or(|of| of.may_use(field, used.how, intent.action))
        };
        let fields = table.map(|table| fields_meant(table, &used.field).filter(is_seen));
        let mut classes: Vec<Option<Class>> =
            fields.into_iter().flatten().map(|field| field.class).collect();
        classes.sort_unstable();
        classes.dedup();
        if classes.is_empty() {
            classes.push(None);
        }
        let name = table.map_or_else(|| id.0.to_string(), |table| table.name.as_str().to_owned());
        touched.extend(classes.into_iter().map(|class| FieldTouched {
            table: name.clone(),
            field: used.field.clone(),
            class,
            how: Some(used.how),
        }));
    }
    touched
}
