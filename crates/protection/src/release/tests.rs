use super::*;
use crate::audit::{AuditFilter, Record};
use crate::caller::Role;
use crate::grant::Policy;
use crate::keys::KeyRing;
use crate::notice::NoticeKind;
use crate::records::MemoryRecords;
use expect_test::{Expect, expect};
use model::{FieldName, FieldType, Intake, ManualClock, Schema, TableKind, TableName, Timestamp};
use std::fmt::Write;

pub(super) fn table() -> Arc<Table> {
    let field = |name: &str, class| {
        let mut field = Field::new(FieldName::parse(name).unwrap(), FieldType::Keyword, "keyword");
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

pub(super) struct House {
    _dir: tempfile::TempDir,
    log: Arc<AuditLog>,
    pub(super) policies: Arc<Policies>,
    pub(super) guard: Guard,
    pub(super) clock: Arc<ManualClock>,
}

fn house() -> House {
    house_of(Policies::fixed(Policy::standard()))
}

pub(super) fn house_of(policies: Policies) -> House {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp(1000)));
    let ring = Arc::new(KeyRing::in_memory());
    let clock_too: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let log = AuditLog::open(&dir.path().join("audit"), ring, Arc::clone(&clock_too));
    let log = Arc::new(log.unwrap());
    let policies = Arc::new(policies);
    let guard = Guard::new(Arc::clone(&log), Arc::clone(&policies), clock_too);
    House { _dir: dir, log, policies, guard, clock }
}

pub(super) fn intent(action: Action, fields: &[(&str, Use)]) -> ReadIntent {
    let used =
        |&(field, how): &(&str, Use)| (TableId(1), FieldUse { field: field.to_owned(), how });
    ReadIntent {
        action,
        tables: vec![table()],
        shape: "term(?)".into(),
        fields: fields.iter().map(used).collect(),
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
    let may = |name: &str, how| permit.may_use(table.id, table.schema.find(name).unwrap().1, how);
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
    assert_eq!(permit.release(7, 3, 99).unwrap().into_inner(), 7);
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

/// A house whose guard tells of canaries and quotas.
fn alarming_house(policies: Policies) -> (House, Arc<Canaries>, Arc<Notices>) {
    let house = house_of(policies);
    let records: Arc<dyn RecordStore> = Arc::new(MemoryRecords::new());
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&house.clock);
    let canaries = Arc::new(Canaries::open(Arc::clone(&records)).unwrap());
    let (policies, ring) = (Arc::clone(&house.policies), Arc::new(KeyRing::in_memory()));
    let notices = Arc::new(Notices::open(records, policies, ring, clock).unwrap());
    let House { _dir, log, policies, guard, clock } = house;
    let guard = guard.alarming(Arc::clone(&canaries), Arc::clone(&notices));
    (House { _dir, log, policies, guard, clock }, canaries, notices)
}

#[test]
fn a_canary_that_goes_out_is_told_before_it_leaves() {
    let (house, canaries, notices) = alarming_house(Policies::fixed(Policy::standard()));
    let (ada, gua) =
        (Caller::for_test("ada", &[Role::Analyst]), Caller::for_test("gua", &[Role::Guardian]));
    assert!(canaries.mark(&gua, "events", 7, Timestamp(1)).unwrap());
    assert!(!canaries.mark(&gua, "events", 7, Timestamp(2)).unwrap(), "once");
    let read = |rows: &[u64]| {
        let wanted = intent(Action::Read, &[("status", Use::Output)]);
        let permit = house.guard.authorise(&ada, wanted).unwrap();
        permit.seen().rows("events", rows.iter().copied());
        permit.release((), rows.len() as u64, 0).unwrap();
    };
    read(&[1, 2, 3]);
    assert!(notices.list(9).is_empty());
    // Counted with, and not given out.
    let permit =
        house.guard.authorise(&ada, intent(Action::Aggregate, &[("status", Use::Group)])).unwrap();
    permit.seen().all_below("events", 100);
    permit.release((), 1, 0).unwrap();
    assert!(notices.list(9).is_empty());
    read(&[6, 7, 8]);
    // An answer that is kept goes out when it is released.
    let permit = || {
        let wanted = intent(Action::Read, &[("status", Use::Output)]);
        house.guard.authorise(&ada, wanted).unwrap()
    };
    let first = permit();
    first.seen().rows("events", [7]);
    let kept = first.keep((), 1, 0);
    assert_eq!(notices.list(9)[0].times, 1);
    permit().release_kept(&kept).unwrap();
    let notice = notices.list(9).remove(0);
    assert_eq!((notice.kind, notice.times), (NoticeKind::Canary, 2));
    assert!(notice.text.starts_with("ada was given a canary of events"), "{}", notice.text);
    assert_eq!(format!("{canaries:?}"), "Canaries(1)");
    let told: Vec<Record> = records(&house)
        .into_iter()
        .filter(|record| record.event.kind == EventKind::CanaryRead)
        .collect();
    assert_eq!((told.len(), told[0].event.who.as_str()), (2, "ada"));
}

#[test]
fn a_quota_that_is_used_up_is_told_once_a_day() {
    let mut policy = Policy::standard().with_member("ada", &[]);
    let mut grant = crate::grant::Grant::new(
        crate::grant::Who::Person("ada".into()),
        crate::grant::Tables::All,
        Action::Read,
        crate::grant::Classes::up_to(Class::Open),
    );
    grant.quota.rows = Some(2);
    policy.add_grant(grant);
    let (house, _, notices) = alarming_house(Policies::fixed(policy));
    let ada = Caller::for_test("ada", &[]);
    let read = |rows: u64| {
        let wanted = intent(Action::Read, &[("status", Use::Output)]);
        house.guard.authorise(&ada, wanted).and_then(|permit| permit.release((), rows, 0).map(drop))
    };
    assert!(read(2).is_ok() && notices.list(9).is_empty());
    assert!(read(1).is_err() && read(1).is_err());
    let notice = notices.list(9).remove(0);
    assert_eq!((notice.kind, notice.times), (NoticeKind::Quota, 2));
    assert!(notice.text.contains("ada used up a quota of 2 rows a day"), "{}", notice.text);
    let told = |record: &&Record| record.event.kind == EventKind::QuotaTripped;
    assert_eq!(records(&house).iter().filter(told).count(), 1);
}
