use crate::audit::{AuditError, AuditLog, Event, EventKind, FieldTouched, RecordId};
use crate::caller::Caller;
use crate::grant::{Action, Policy};
use model::{Class, Clock, Field, Table, TableId};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Authorises reads: the only way to a [`Permit`], and so the only way to stored rows.
#[derive(Debug)]
pub struct Guard {
    log: Arc<AuditLog>,
    policy: Arc<Policy>,
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
    /// What for, in the caller's words; may be empty.
    pub purpose: String,
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
    /// The caller's credential ended or was taken back.
    #[error("the credential has expired or was revoked; log in again")]
    Expired,
    /// Without a record there is no answer.
    #[error("the audit record cannot be written, so nothing is answered; try again later")]
    AuditUnavailable(#[source] AuditError),
}

impl Guard {
    /// A guard that asks `policy` and writes to `log`.
    pub fn new(log: Arc<AuditLog>, policy: Arc<Policy>, clock: Arc<dyn Clock>) -> Guard {
        Guard { log, policy, clock }
    }

    /// Checks a read, and makes its intent durable in the audit record.
    ///
    /// # Errors
    /// [`Denied`]; a refusal is recorded too. If the intent cannot be recorded:
    /// [`Denied::AuditUnavailable`].
    pub fn authorise(&self, caller: &Caller, intent: ReadIntent) -> Result<Permit, Denied> {
        let checked = self.check(caller, &intent);
        let fields = fields_touched(&intent);
        let event = Event {
            policy: self.policy.version(),
            action: Some(intent.action),
            tables: intent.tables.iter().map(|table| table.name.as_str().to_owned()).collect(),
            shape: intent.shape,
            fields,
            purpose: intent.purpose,
            ..Event::by(EventKind::ReadIntent, caller)
        };
        let tables = match checked {
            Ok(tables) => tables,
            Err(denied) => {
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
        Ok(Permit {
            record,
            caller: caller.clone(),
            action: intent.action,
            tables,
            log: Arc::clone(&self.log),
            ended: AtomicBool::new(false),
        })
    }

    fn check(&self, caller: &Caller, intent: &ReadIntent) -> Result<Vec<Covered>, Denied> {
        let now = self.clock.now();
        if caller.is_expired(now) {
            return Err(Denied::Expired);
        }
        let class_max = |action, table| self.policy.class_max(caller, action, table, now);
        if !intent.action.is_reading() || class_max(intent.action, None).is_none() {
            return Err(Denied::Action {
                action: intent.action,
                caller: caller.name().to_owned(),
                roles: caller
                    .roles()
                    .iter()
                    .map(|role| role.as_str())
                    .collect::<Vec<_>>()
                    .join(","),
            });
        }
        let mut covered = Vec::with_capacity(intent.tables.len());
        for table in &intent.tables {
            let name = Some(&table.name);
            let Some(counted) = class_max(intent.action, name) else {
                return Err(Denied::NotFound { table: table.name.as_str().to_owned() });
            };
            let values = class_max(Action::Read, name).unwrap_or(Class::Open);
            covered.push(Covered { table: table.id, values: values.min(counted), counted });
        }
        for (id, used) in &intent.fields {
            let of_table = |covered: &&Covered| covered.table == *id;
            let table = intent.tables.iter().find(|table| table.id == *id);
            let (Some(table), Some(covered)) = (table, covered.iter().find(of_table)) else {
                return Err(Denied::NotFound { table: id.0.to_string() });
            };
            // Of "all fields" the permit hides what may not be read.
            let hides = used.how == Use::Output && used.field.contains('*');
            for field in fields_meant(table, &used.field).filter(|_| !hides) {
                covered.check(field, used.how, intent.action)?;
            }
        }
        Ok(covered)
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
fn fits(pattern: &[u8], text: &[u8]) -> bool {
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

fn fields_touched(intent: &ReadIntent) -> Vec<FieldTouched> {
    let touched = |(id, used): &(TableId, FieldUse)| {
        let table = intent.tables.iter().find(|table| table.id == *id);
        FieldTouched {
            table: table.map_or_else(|| id.0.to_string(), |table| table.name.as_str().to_owned()),
            field: used.field.clone(),
            class: table.and_then(|table| {
                fields_meant(table, &used.field).filter_map(|field| field.class).max()
            }),
            how: Some(used.how),
        }
    };
    intent.fields.iter().map(touched).collect()
}

/// What a permit covers of one table.
#[derive(Clone, Copy, Debug)]
struct Covered {
    table: TableId,
    /// Values up to this class come out.
    values: Class,
    /// Fields up to this class are counted and computed from.
    counted: Class,
}

impl Covered {
    fn check(&self, field: &Field, how: Use, action: Action) -> Result<(), Denied> {
        let name = || field.name.as_str().to_owned();
        if field.withheld {
            return Err(Denied::Withheld { field: name() });
        }
        let class = field.class.unwrap_or(Class::Open);
        let only_counts = matches!(how, Use::Filter | Use::Measure)
            && matches!(action, Action::Count | Action::Aggregate);
        if class <= self.values || (only_counts && class <= self.counted) {
            Ok(())
        } else {
            Err(Denied::Field { field: name(), class })
        }
    }
}

/// The right to one read. Made by [`Guard::authorise`] alone, when its intent is durable.
///
/// Dropped without [`Permit::release`], it records that nothing was given out.
pub struct Permit {
    record: RecordId,
    caller: Caller,
    action: Action,
    tables: Vec<Covered>,
    log: Arc<AuditLog>,
    ended: AtomicBool,
}

impl Permit {
    /// Whether values of `field` of `table` may be read and given out: as an output, a group, an
    /// order or a filter.
    pub fn may_read(&self, table: TableId, field: &Field) -> bool {
        self.may_use(table, field, Use::Output)
    }

    /// Whether a question may do this with `field` of `table`.
    pub fn may_use(&self, table: TableId, field: &Field, how: Use) -> bool {
        self.covered(table).is_some_and(|covered| covered.check(field, how, self.action).is_ok())
    }

    /// Whether `table` may be read at all.
    pub fn covers_table(&self, table: TableId) -> bool {
        self.covered(table).is_some()
    }

    fn covered(&self, table: TableId) -> Option<&Covered> {
        self.tables.iter().find(|covered| covered.table == table)
    }

    /// What may come out.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The audit record of the intent.
    pub fn record_id(&self) -> RecordId {
        self.record
    }

    /// Who reads.
    pub fn caller_name(&self) -> &str {
        self.caller.name()
    }

    /// Records that `rows` rows and `bytes` bytes go out, and lets `value` go.
    ///
    /// The end record follows within a fraction of a second; a read without one counts as read
    /// in full, so nothing is lost if it never comes.
    pub fn release<T>(&self, value: T, rows: u64, bytes: u64) -> Released<T> {
        self.end("released", rows, bytes);
        Released(value)
    }

    fn end(&self, outcome: &str, rows: u64, bytes: u64) {
        self.ended.store(true, Ordering::Relaxed);
        let event = Event {
            rows: Some(rows),
            bytes: Some(bytes),
            refers_to: Some(self.record),
            outcome: outcome.to_owned(),
            ..Event::by(EventKind::ReadEnd, &self.caller)
        };
        if let Err(error) = self.log.append(&event) {
            tracing::warn!(%error, record = self.record.0, "the end of a read is not recorded");
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !*self.ended.get_mut() {
            self.end("nothing released", 0, 0);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit(record {}, {} tables)", self.record, self.tables.len())
    }
}

/// An answer that may leave the house. Made by [`Permit::release`] alone.
pub struct Released<T>(T);

impl<T> Released<T> {
    /// The answer.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The answer.
    pub fn get(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Released<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Released(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditFilter, Record};
    use crate::caller::Role;
    use crate::keys::KeyRing;
    use expect_test::{Expect, expect};
    use model::{
        FieldName, FieldType, Intake, ManualClock, Schema, TableKind, TableName, Timestamp,
    };
    use std::fmt::Write;

    fn table() -> Arc<Table> {
        let field = |name: &str, class| {
            let mut field =
                Field::new(FieldName::parse(name).unwrap(), FieldType::Keyword, "keyword");
            field.class = class;
            field
        };
        let mut held = field("held", Some(Class::Open));
        held.withheld = true;
        let fields = vec![
            field("status", Some(Class::Open)),
            field("user.email", Some(Class::Personal)),
            field("weight", Some(Class::Special)),
            field("token", Some(Class::Secret)),
            field("fresh", None),
            held,
        ];
        Arc::new(Table {
            id: TableId(1),
            name: TableName::parse("events").unwrap(),
            kind: TableKind::Events,
            intake: Intake::Classified,
            time_field: None,
            sort: None,
            retention_ms: None,
            dynamic: true,
            schema: Schema::from_fields(fields),
        })
    }

    struct House {
        _dir: tempfile::TempDir,
        log: Arc<AuditLog>,
        guard: Guard,
        clock: Arc<ManualClock>,
    }

    fn house() -> House {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp(1000)));
        let ring = Arc::new(KeyRing::in_memory());
        let clock_too: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let log = AuditLog::open(&dir.path().join("audit"), ring, Arc::clone(&clock_too));
        let log = Arc::new(log.unwrap());
        let guard = Guard::new(Arc::clone(&log), Arc::new(Policy::standard()), clock_too);
        House { _dir: dir, log, guard, clock }
    }

    fn intent(action: Action, fields: &[(&str, Use)]) -> ReadIntent {
        let used =
            |&(field, how): &(&str, Use)| (TableId(1), FieldUse { field: field.to_owned(), how });
        ReadIntent {
            action,
            tables: vec![table()],
            shape: "term(?)".into(),
            fields: fields.iter().map(used).collect(),
            purpose: String::new(),
        }
    }

    fn records(house: &House) -> Vec<Record> {
        house.log.close();
        house.log.read(&AuditFilter::default()).unwrap()
    }

    #[test]
    fn who_may_do_what_with_which_class() {
        let house = house();
        let mut table = String::new();
        for role in Role::ALL {
            let caller = Caller::for_test("ada", &[role]);
            for action in [Action::Count, Action::Aggregate, Action::Read, Action::Export] {
                write!(table, "{role:14}{action:10}").unwrap();
                for field in ["status", "user.email", "weight", "token", "fresh", "held"] {
                    let uses = Use::ALL.into_iter().filter(|&how| {
                        house.guard.authorise(&caller, intent(action, &[(field, how)])).is_ok()
                    });
                    let letters: String = uses.map(|how| &how.as_str()[..1]).collect();
                    write!(table, " {field}={letters:5}").unwrap();
                }
                table.push('\n');
            }
        }
        check(
            &table,
            &expect![[r#"
                analyst       count      status=fsgmo user.email=fsgmo weight=fm    token=      fresh=fsgmo held=     
                analyst       aggregate  status=fsgmo user.email=fsgmo weight=fm    token=      fresh=fsgmo held=     
                analyst       read       status=fsgmo user.email=fsgmo weight=      token=      fresh=fsgmo held=     
                analyst       export     status=      user.email=      weight=      token=      fresh=      held=     
                engineer      count      status=fsgmo user.email=fsgmo weight=fm    token=      fresh=fsgmo held=     
                engineer      aggregate  status=fsgmo user.email=fsgmo weight=fm    token=      fresh=fsgmo held=     
                engineer      read       status=fsgmo user.email=fsgmo weight=      token=      fresh=fsgmo held=     
                engineer      export     status=      user.email=      weight=      token=      fresh=      held=     
                guardian      count      status=fsgmo user.email=fsgmo weight=fm    token=fm    fresh=fsgmo held=     
                guardian      aggregate  status=fsgmo user.email=fsgmo weight=fm    token=fm    fresh=fsgmo held=     
                guardian      read       status=fsgmo user.email=fsgmo weight=      token=      fresh=fsgmo held=     
                guardian      export     status=      user.email=      weight=      token=      fresh=      held=     
                administrator count      status=      user.email=      weight=      token=      fresh=      held=     
                administrator aggregate  status=      user.email=      weight=      token=      fresh=      held=     
                administrator read       status=      user.email=      weight=      token=      fresh=      held=     
                administrator export     status=      user.email=      weight=      token=      fresh=      held=     
            "#]],
        );
    }

    #[track_caller]
    fn check(actual: &str, expected: &Expect) {
        expected.assert_eq(actual);
    }

    #[test]
    fn a_name_that_stands_for_more_is_looked_through() {
        let house = house();
        let analyst = Caller::for_test("ada", &[Role::Analyst]);
        let denied = |field: &str, how| {
            let asked = house.guard.authorise(&analyst, intent(Action::Read, &[(field, how)]));
            asked.err().map(|denied| denied.to_string())
        };
        assert_eq!(denied("*", Use::Output), None, "the permit hides the rest");
        assert!(denied("*", Use::Filter).unwrap().contains("[weight] is special"));
        assert!(denied("w*t", Use::Filter).unwrap().contains("[weight]"));
        assert_eq!(denied("s*us", Use::Filter), None);
        assert!(denied("weight.keyword", Use::Sort).unwrap().contains("[weight]"));
        assert_eq!(denied("user", Use::Filter), None);
        assert_eq!(denied("nowhere", Use::Filter), None, "finds nothing, says nothing");
        assert!(denied("held", Use::Output).unwrap().contains("until a guardian rules"));
    }

    #[test]
    fn a_permit_is_for_its_tables_and_classes() {
        let house = house();
        let analyst = Caller::for_test("ada", &[Role::Analyst]);
        let permit = house.guard.authorise(&analyst, intent(Action::Aggregate, &[])).unwrap();
        let table = table();
        let may =
            |name: &str, how| permit.may_use(table.id, table.schema.find(name).unwrap().1, how);
        assert!(may("user.email", Use::Output));
        assert!(!may("weight", Use::Output) && may("weight", Use::Measure));
        assert!(!may("held", Use::Measure));
        assert!(permit.covers_table(table.id) && !permit.covers_table(TableId(2)));
        let status = table.schema.find("status").unwrap().1;
        assert!(!permit.may_read(TableId(2), status));
        assert_eq!(permit.caller_name(), "ada");
    }

    #[test]
    fn every_read_leaves_its_records() {
        let house = house();
        let analyst = Caller::for_test("ada", &[Role::Analyst]);
        let asked = intent(Action::Read, &[("user.email", Use::Filter)]);
        let permit = house.guard.authorise(&analyst, asked).unwrap();
        let first = permit.record_id();
        assert_eq!(permit.release(7, 3, 99).into_inner(), 7);
        drop(permit);
        let permit = house.guard.authorise(&analyst, intent(Action::Count, &[])).unwrap();
        drop(permit);
        let refused = intent(Action::Read, &[("weight", Use::Filter)]);
        assert!(house.guard.authorise(&analyst, refused).is_err());
        let mut lines = String::new();
        for Record { id, event, .. } in records(&house).into_iter().rev() {
            let refers_to = event.refers_to.map(|id| id.0);
            let classes: Vec<_> = event.fields.iter().map(|field| field.class).collect();
            writeln!(
                lines,
                "{id} {} {} {:?} {classes:?} {:?} {refers_to:?} {}",
                event.kind, event.who, event.tables, event.rows, event.outcome
            )
            .unwrap();
        }
        assert_eq!(first.0, 1);
        check(
            &lines,
            &expect![[r#"
            1 read_intent ada ["events"] [Some(Personal)] None None allowed
            2 read_end ada [] [] Some(3) Some(1) released
            3 read_intent ada ["events"] [] None None allowed
            4 read_end ada [] [] Some(0) Some(3) nothing released
            5 read_denied ada ["events"] [Some(Special)] None None denied: field [weight] is special: its values are not given out, only counted in groups without rows
        "#]],
        );
    }

    #[test]
    fn without_a_record_there_is_no_answer() {
        let house = house();
        house.log.close();
        let analyst = Caller::for_test("ada", &[Role::Analyst]);
        let denied = house.guard.authorise(&analyst, intent(Action::Count, &[])).unwrap_err();
        assert!(matches!(denied, Denied::AuditUnavailable(_)), "{denied}");
    }

    #[test]
    fn who_may_not_read_learns_nothing() {
        let house = house();
        let ask = |caller: &Caller| house.guard.authorise(caller, intent(Action::Count, &[]));
        let administrator = Caller::for_test("root", &[Role::Administrator]);
        let denied = ask(&administrator).unwrap_err().to_string();
        assert!(!denied.contains("events"), "{denied}");
        let gone = Caller::for_test("ada", &[Role::Analyst]).until(Timestamp(2000));
        assert!(ask(&gone).is_ok());
        house.clock.advance(1000);
        assert!(matches!(ask(&gone), Err(Denied::Expired)));
        let mut foreign = intent(Action::Count, &[]);
        foreign.fields.push((TableId(9), FieldUse { field: "x".into(), how: Use::Sort }));
        let analyst = Caller::for_test("ada", &[Role::Analyst]);
        let denied = house.guard.authorise(&analyst, foreign);
        assert!(matches!(denied, Err(Denied::NotFound { .. })), "a table outside the intent");
        let writes = intent(Action::Write, &[]);
        assert!(matches!(house.guard.authorise(&analyst, writes), Err(Denied::Action { .. })));
    }
}
