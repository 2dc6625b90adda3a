use super::*;
use crate::audit::{AuditFilter, AuditLog};
use crate::caller::{Caller, PresenceProof};
use crate::classify::Classifier;
use crate::grant::{Action, Classes, Member, Policies, Policy, RowFilter, Tables, Who};
use crate::keys::KeyRing;
use crate::notice::{NoticeKind, Notices};
use crate::records::{MemoryRecords, RecordStore};
use model::{Clock, ManualClock, TableName};
use std::fmt::Write;
use std::sync::Arc;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_700_000_000_000;

struct House {
    _dir: tempfile::TempDir,
    records: Arc<MemoryRecords>,
    policies: Arc<Policies>,
    log: Arc<AuditLog>,
    clock: Arc<ManualClock>,
    notices: Arc<Notices>,
    changes: Changes,
}

/// A node past its founding: adm manages people, gua and gus approve, ana asks.
fn house() -> House {
    house_of(&[
        ("adm", &[Role::Administrator]),
        ("ana", &[Role::Analyst]),
        ("gua", &[Role::Guardian]),
        ("gus", &[Role::Guardian]),
    ])
}

fn house_of(people: &[(&str, &[Role])]) -> House {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp(START)));
    let records = Arc::new(MemoryRecords::new());
    let as_records = Arc::<MemoryRecords>::clone(&records) as Arc<dyn RecordStore>;
    let policies = Arc::new(Policies::open(as_records, clock.now()).unwrap());
    let made: Result<_, RecordError> = policies.update("set-up", clock.now(), |policy| {
        for (name, roles) in people {
            policy.set_member(name, Some(Member::with_roles(roles)));
        }
        Ok(())
    });
    made.unwrap();
    policies.end_founding().unwrap();
    let as_clock = Arc::<ManualClock>::clone(&clock) as Arc<dyn Clock>;
    let ring = Arc::new(KeyRing::in_memory());
    let log = AuditLog::open(&dir.path().join("audit"), ring, as_clock);
    let log = Arc::new(log.unwrap());
    let notices = notices(&policies, &records, &clock);
    let changes = open(&policies, &log, &records, &clock, &notices);
    House { _dir: dir, records, policies, log, clock, notices, changes }
}

fn notices(
    policies: &Arc<Policies>,
    records: &Arc<MemoryRecords>,
    clock: &Arc<ManualClock>,
) -> Arc<Notices> {
    let records = Arc::<MemoryRecords>::clone(records) as Arc<dyn RecordStore>;
    let clock = Arc::<ManualClock>::clone(clock) as Arc<dyn Clock>;
    let ring = Arc::new(KeyRing::in_memory());
    Arc::new(Notices::open(records, Arc::clone(policies), ring, clock).unwrap())
}

fn open(
    policies: &Arc<Policies>,
    log: &Arc<AuditLog>,
    records: &Arc<MemoryRecords>,
    clock: &Arc<ManualClock>,
    notices: &Arc<Notices>,
) -> Changes {
    let records = Arc::<MemoryRecords>::clone(records) as Arc<dyn RecordStore>;
    let clock = Arc::<ManualClock>::clone(clock) as Arc<dyn Clock>;
    let (policies, log) = (Arc::clone(policies), Arc::clone(log));
    Changes::open(policies, log, records, clock, Arc::clone(notices)).unwrap()
}

impl House {
    fn caller(&self, name: &str) -> Caller {
        Caller::for_test_of(&self.policies, name)
    }

    fn propose(&self, by: &str, edit: Edit) -> Result<Outcome, ChangeError> {
        self.changes.propose(&self.caller(by), vec![edit], "ticket 12")
    }

    fn waiting(&self, by: &str, edit: Edit) -> ChangeId {
        match self.propose(by, edit).unwrap() {
            Outcome::Waiting(change) => change.id,
            Outcome::Applied(_) => panic!("it should wait"),
        }
    }

    fn proof(&self, name: &str, id: ChangeId) -> PresenceProof {
        PresenceProof::for_test(name, &id.presence(), self.clock.now())
    }

    fn mark(&self, id: ChangeId) -> String {
        self.changes.show(&self.caller("adm"), id).unwrap().1
    }

    fn approve(&self, by: &str, id: ChangeId) -> Result<Decided, ChangeError> {
        let mark = self.mark(id);
        self.changes.approve(&self.caller(by), id, &mark, self.proof(by, id))
    }

    fn state(&self, id: ChangeId) -> &'static str {
        self.changes.show(&self.caller("adm"), id).unwrap().0.state.as_str()
    }

    fn reaches(&self, person: &str, class: Class) -> Option<Action> {
        let table = TableName::parse("events").unwrap();
        self.policies.current().reach(person, &table, class, self.clock.now()).action()
    }
}

fn special_for(person: &str) -> Edit {
    let who = Who::Person(person.into());
    let classes = Classes::up_to(Class::Special);
    Edit::Grant(Grant::new(who, Tables::All, Action::Read, classes))
}

fn role(person: &str, role: Role) -> Edit {
    Edit::Role { person: person.into(), role, until: None }
}

#[test]
fn a_widening_waits_for_a_second_person_and_ends() {
    let house = house();
    let id = house.waiting("adm", special_for("ana"));
    assert_eq!(house.reaches("ana", Class::Special), Some(Action::Aggregate), "not yet");
    let change = house.changes.show(&house.caller("gua"), id).unwrap().0;
    assert_eq!(
        change.effect,
        ["+ ana: read *, up to special, until 2023-12-14T22:13:20.000Z"],
        "30 days where nothing is said"
    );
    assert_eq!(change.beneficiaries.into_iter().collect::<Vec<_>>(), ["ana"]);
    let decided = house.approve("gua", id).unwrap().change;
    assert!(matches!(decided.state, State::Applied { version: Some(3), .. }), "{decided:?}");
    assert_eq!(house.reaches("ana", Class::Special), Some(Action::Read));
    house.clock.advance(30 * DAY - 1);
    assert_eq!(house.reaches("ana", Class::Special), Some(Action::Read));
    house.clock.advance(1);
    assert_eq!(house.reaches("ana", Class::Special), Some(Action::Aggregate));
    assert_eq!(house.policies.current().made_by(), "change 1");
}

#[test]
fn a_tightening_is_instant() {
    let house = house();
    let dropped =
        house.propose("adm", Edit::DropRole { person: "ana".into(), role: Role::Analyst });
    assert!(matches!(dropped, Ok(Outcome::Applied(_))));
    assert_eq!(house.reaches("ana", Class::Open), None);
    let off = Edit::Setting { setting: Setting::BreakGlass, value: SettingValue::Flag(false) };
    assert!(matches!(house.propose("gua", off), Ok(Outcome::Applied(_))));
    let on = Edit::Setting { setting: Setting::BreakGlass, value: SettingValue::Flag(true) };
    house.waiting("gua", on);
}

#[test]
fn who_may_not_decide() {
    let house = house();
    let said = |by: &str, id| house.approve(by, id).unwrap_err().to_string();
    let id = house.waiting("gua", special_for("ana"));
    assert!(said("gua", id).contains("you proposed this change"));
    assert!(said("adm", id).contains("only a person who may approve"));
    let id = house.waiting("adm", role("gus", Role::Administrator));
    assert!(said("gus", id).contains("you gain by this change"));
    let id = house.waiting("adm", special_for("ana"));
    let key = house.caller("gua").with_key();
    let with_key = house.changes.approve(&key, id, &house.mark(id), house.proof("gua", id));
    assert!(matches!(with_key, Err(ChangeError::NotAPerson)));
    let ana = house.caller("ana");
    assert!(matches!(house.changes.list(&ana), Err(ChangeError::MayNotDecide)));
    assert!(matches!(house.propose("ana", special_for("ana")), Err(ChangeError::MayNotPropose)));
    assert!(matches!(house.changes.reject(&ana, id, "no"), Err(ChangeError::MayNotDecide)));
    assert_eq!(house.state(id), "waiting");
    assert_eq!(house.reaches("ana", Class::Special), Some(Action::Aggregate));
}

#[test]
fn a_proof_is_of_this_person_for_this_change_and_fresh() {
    let house = house();
    let first = house.waiting("adm", special_for("ana"));
    let second = house.waiting("adm", role("ana", Role::Engineer));
    let gua = house.caller("gua");
    let mark = house.mark(second);
    for proof in [house.proof("gus", second), house.proof("gua", first)] {
        let refused = house.changes.approve(&gua, second, &mark, proof);
        assert!(matches!(refused, Err(ChangeError::NotPresent)));
    }
    let old = house.proof("gua", second);
    house.clock.advance(PresenceProof::FRESH_MS + 1);
    let refused = house.changes.approve(&gua, second, &mark, old);
    assert!(matches!(refused, Err(ChangeError::NotPresent)));
    let refused =
        house.changes.approve(&gua, second, &house.mark(first), house.proof("gua", second));
    assert!(matches!(refused, Err(ChangeError::NotWhatWasSeen)), "the mark of another change");
    assert!(house.approve("gua", second).is_ok());
}

#[test]
fn a_change_does_what_was_shown_or_nothing() {
    let house = house();
    let grant = house.waiting("adm", special_for("ana"));
    // Something else happens that has nothing to do with it.
    let elsewhere = house.waiting("adm", role("gus", Role::Engineer));
    house.approve("gua", elsewhere).unwrap();
    assert_eq!(house.state(grant), "waiting");
    // And something that has: ana could approve changes too, if this went through now.
    let Outcome::Applied(_) =
        house.propose("adm", Edit::DropRole { person: "ana".into(), role: Role::Analyst }).unwrap()
    else {
        panic!()
    };
    assert_eq!(house.state(grant), "waiting", "a grant by name does the same as before");
    let to_role = Edit::Grant(Grant::new(
        Who::Role(Role::Guardian),
        Tables::All,
        Action::Write,
        Classes::NONE,
    ));
    // gus alone would not gain.
    let refused = house.propose("gua", to_role.clone());
    assert!(matches!(refused, Err(ChangeError::NobodyToApprove)), "{refused:?}");
    let role_change = house.waiting("adm", role("ana", Role::Engineer));
    let Outcome::Applied(_) = house.propose("adm", Edit::Revoke(GrantId(6))).unwrap() else {
        panic!()
    };
    assert_eq!(house.state(role_change), "stale", "an engineer is something else by now");
    assert!(matches!(house.approve("gua", role_change), Err(ChangeError::NotWaiting { .. })));
}

#[test]
fn undecided_is_over_after_a_day() {
    let house = house();
    let id = house.waiting("adm", special_for("ana"));
    house.clock.advance(DAY - 1);
    assert_eq!(house.state(id), "waiting");
    house.clock.advance(1);
    assert_eq!(house.state(id), "expired");
    let refused = house.approve("gua", id).unwrap_err().to_string();
    assert!(refused.contains("change 1 is expired; propose it again"), "{refused}");
}

#[test]
fn no_is_said_by_whoever_has_a_say() {
    let house = house();
    let [one, two, three] = ["a", "b", "c"].map(|_| house.waiting("adm", special_for("ana")));
    house.changes.reject(&house.caller("gua"), one, "not needed").unwrap();
    assert!(matches!(
        house.changes.withdraw(&house.caller("gua"), two),
        Err(ChangeError::NotProposer(_))
    ));
    house.changes.withdraw(&house.caller("adm"), two).unwrap();
    assert_eq!((house.state(one), house.state(two)), ("rejected", "withdrawn"));
    assert!(house.approve("gua", one).is_err() && house.approve("gua", two).is_err());
    assert!(house.changes.reject(&house.caller("gua"), three, " ").is_err(), "says why");
    assert!(house.approve("gua", three).is_ok());
}

#[test]
fn one_person_alone_waits_a_day_in_which_others_are_told() {
    let house = house_of(&[("adm", &[Role::Administrator, Role::Guardian]), ("ana", &[])]);
    house.clock.advance(8 * DAY);
    let id = house.waiting("adm", role("ana", Role::Analyst));
    let notice = &house.notices.list(1)[0];
    assert_eq!(notice.kind, NoticeKind::TimeLock);
    assert!(notice.text.contains("adm may confirm it from"), "{}", notice.text);
    let early = house.approve("adm", id).unwrap_err();
    assert!(matches!(early, ChangeError::TooEarly(at) if at.0 == house.clock.now().0 + DAY));
    house.clock.advance(DAY);
    assert_eq!(house.state(id), "waiting");
    let without_proof = PresenceProof::for_test("adm", "something", house.clock.now());
    let adm = house.caller("adm");
    assert!(house.changes.approve(&adm, id, &house.mark(id), without_proof).is_err());
    house.approve("adm", id).unwrap();
    assert_eq!(house.reaches("ana", Class::Open), Some(Action::Read));
    let again = house.waiting("adm", role("ana", Role::Engineer));
    house.clock.advance(2 * DAY);
    assert_eq!(house.state(again), "expired", "a day to confirm, and no more");
}

#[test]
fn who_gets_rid_of_the_others_is_not_alone_at_once() {
    let house = house_of(&[("adm", &[Role::Administrator]), ("gua", &[Role::Guardian])]);
    house.clock.advance(30 * DAY);
    let Outcome::Applied(_) = house
        .propose("adm", Edit::DropRole { person: "gua".into(), role: Role::Guardian })
        .unwrap()
    else {
        panic!()
    };
    let left_at = house.clock.now().0;
    house.clock.advance(DAY);
    let id = house.waiting("adm", role("adm", Role::Analyst));
    house.clock.advance(2 * DAY);
    let early = house.approve("adm", id).unwrap_err();
    assert!(matches!(early, ChangeError::TooEarly(at) if at.0 == left_at + 7 * DAY), "{early}");
    house.clock.advance(4 * DAY);
    house.approve("adm", id).unwrap();
}

#[test]
fn somebody_who_comes_meanwhile_is_the_second_person() {
    let house = house_of(&[("adm", &[Role::Administrator, Role::Guardian]), ("bob", &[])]);
    let bob = house.waiting("adm", role("bob", Role::Guardian));
    let other = house.waiting("adm", role("adm", Role::Analyst));
    house.clock.advance(7 * DAY);
    house.clock.advance(-6 * DAY);
    house.approve("adm", bob).unwrap();
    assert!(matches!(house.approve("adm", other), Err(ChangeError::OwnProposal)));
    house.approve("bob", other).unwrap();
}

#[test]
fn ends_are_limited_where_something_widens() {
    let house = house();
    let now = house.clock.now().0;
    let until = |end: i64| {
        let Edit::Grant(grant) = special_for("ana") else { unreachable!() };
        Edit::Grant(Grant { until: Some(Timestamp(end)), ..grant })
    };
    assert!(matches!(
        house.propose("adm", until(now + 91 * DAY)),
        Err(ChangeError::TooLong { days: 90 })
    ));
    assert!(matches!(house.propose("adm", until(now)), Err(ChangeError::EndInPast)));
    house.waiting("adm", until(now + 90 * DAY));
    let id = house.waiting("adm", role("ana", Role::Engineer));
    let change = house.changes.show(&house.caller("adm"), id).unwrap().0;
    let Edit::Role { until, .. } = &change.edits[0] else { panic!() };
    assert_eq!(until.unwrap().0, now + 366 * DAY);
    // A grant below one that is there needs no end: nothing widens.
    let mut narrow = Grant::new(
        Who::Role(Role::Analyst),
        Tables::Prefix("logs-".into()),
        Action::Read,
        Classes::up_to(Class::Open),
    );
    narrow.rows = RowFilter::all();
    let done = house.propose("adm", Edit::Grant(narrow));
    assert!(matches!(done, Ok(Outcome::Applied(_))), "a wider one is there already");
    // One for somebody who is shut out gains nothing today, and ends all the same.
    let shut_out: Result<_, RecordError> = house.policies.update("x", Timestamp(now), |policy| {
        let member = Member { disabled: true, ..policy.members()["ana"].clone() };
        policy.set_member("ana", Some(member));
        Ok(())
    });
    shut_out.unwrap();
    assert!(matches!(house.propose("adm", special_for("ana")), Ok(Outcome::Applied(_))));
    let policy = house.policies.current();
    let grant = policy.grants().values().last().unwrap();
    assert_eq!(grant.until.unwrap().0, now + 30 * DAY);
    let dropped = Edit::DropRole { person: "ana".into(), role: Role::Analyst };
    assert!(matches!(house.propose("adm", dropped), Ok(Outcome::Applied(_))), "before she is back");
}

#[test]
fn glass_is_broken_alone_for_an_hour_once_a_day() {
    let house = house_of(&[("eng", &[Role::Engineer]), ("adm", &[Role::Administrator])]);
    let eng = house.caller("eng");
    let glass = |tables: Tables, class_max| Glass { tables, class_max };
    let events = || Tables::Prefix("events".into());
    let proof = || PresenceProof::for_test("eng", Glass::PRESENCE, house.clock.now());
    let smash = |glass: &Glass| house.changes.break_glass(&eng, glass, "outage", proof());
    assert!(matches!(smash(&glass(Tables::All, Class::Open)), Err(ChangeError::GlassTooWide)));
    assert!(matches!(smash(&glass(events(), Class::Secret)), Err(ChangeError::GlassTooWide)));
    let adm = house.caller("adm");
    let of_adm = PresenceProof::for_test("adm", Glass::PRESENCE, house.clock.now());
    let special = glass(events(), Class::Special);
    assert!(matches!(
        house.changes.break_glass(&adm, &special, "why", of_adm),
        Err(ChangeError::NoGlass)
    ));
    let change = smash(&special).unwrap();
    assert_eq!(change.state.as_str(), "break-glass");
    assert_eq!(house.reaches("eng", Class::Special), Some(Action::Read), "read, never export");
    let notice = &house.notices.list(10)[0];
    assert_eq!(notice.kind, NoticeKind::BrokenGlass);
    assert!(matches!(smash(&special), Err(ChangeError::GlassAgain)));
    house.clock.advance(HOUR);
    assert_eq!(house.reaches("eng", Class::Special), Some(Action::Aggregate));
    house.clock.advance(DAY - HOUR);
    smash(&special).unwrap();
    let off = Edit::Setting { setting: Setting::BreakGlass, value: SettingValue::Flag(false) };
    house.propose("adm", off).unwrap();
    house.clock.advance(DAY);
    assert!(matches!(smash(&special), Err(ChangeError::NoGlass)));
}

#[test]
fn a_ruling_or_password_is_carried_out_elsewhere_once_approved() {
    let house = house();
    let reset = Edit::PasswordReset { person: "ana".into() };
    let both = vec![reset.clone(), special_for("ana")];
    let mixed = house.changes.propose(&house.caller("adm"), both, "x");
    assert!(matches!(mixed, Err(ChangeError::Mixed)));
    let id = house.waiting("adm", reset);
    assert!(house.changes.to_carry_out().is_empty());
    house.approve("gua", id).unwrap();
    let again = open(&house.policies, &house.log, &house.records, &house.clock, &house.notices);
    assert_eq!(again.to_carry_out()[0].id, id, "also after a crash");
    house.changes.carried_out(id).unwrap();
    assert_eq!(house.state(id), "applied");
    assert!(house.changes.carried_out(id).is_err());
    let rule = Edit::Rule {
        table: "events".into(),
        field: "nick".into(),
        before: "withheld".into(),
        class: Class::Open,
        kind: None,
        why: "a product name".into(),
    };
    assert!(matches!(house.propose("adm", rule.clone()), Err(ChangeError::MayNotPropose)));
    house.waiting("gua", rule);
}

#[test]
fn changes_outlive_a_restart_also_in_the_middle() {
    let house = house();
    let waiting = house.waiting("adm", special_for("ana"));
    let applied = house.waiting("adm", role("ana", Role::Engineer));
    house.approve("gua", applied).unwrap();
    // The policy was written, what became of the change was not.
    let change = house.changes.show(&house.caller("adm"), applied).unwrap().0;
    let half = Change { state: State::Approved { by: "gua".into(), at: Timestamp(1) }, ..change };
    record::put(&*house.records, &half).unwrap();
    // And here neither.
    let change = house.changes.show(&house.caller("adm"), waiting).unwrap().0;
    let half = Change { state: State::Approved { by: "gua".into(), at: Timestamp(1) }, ..change };
    record::put(&*house.records, &half).unwrap();
    let again = open(&house.policies, &house.log, &house.records, &house.clock, &house.notices);
    let states: Vec<_> =
        again.list(&house.caller("adm")).unwrap().iter().map(|one| one.state.as_str()).collect();
    assert_eq!(states, ["applied", "waiting"]);
    let kept = notices(&house.policies, &house.records, &house.clock);
    assert_eq!((kept.list(9).len(), kept.list(9)), (3, house.notices.list(9)));
}

#[test]
fn before_the_first_row_everything_is_instant() {
    let house = house();
    let records = Arc::new(MemoryRecords::new());
    let policies = Policies::open(records, house.clock.now()).unwrap();
    assert!(policies.is_founding());
    let done: Result<_, RecordError> = policies.update("set-up", house.clock.now(), |policy| {
        policy.set_member("adm", Some(Member::with_roles(&[Role::Administrator])));
        Ok(())
    });
    done.unwrap();
    let policies = Arc::new(policies);
    let records = Arc::new(MemoryRecords::new());
    let notices = notices(&policies, &records, &house.clock);
    let changes = open(&policies, &house.log, &records, &house.clock, &notices);
    let adm = Caller::for_test_of(&policies, "adm");
    let now_analyst = changes.propose(&adm, vec![role("adm", Role::Analyst)], "set-up").unwrap();
    assert!(matches!(now_analyst, Outcome::Applied(_)));
    policies.end_founding().unwrap();
    let waits = changes.propose(&adm, vec![role("adm", Role::Engineer)], "later").unwrap();
    assert!(matches!(waits, Outcome::Waiting(_)));
}

#[test]
fn without_a_record_nothing_widens_and_everything_tightens() {
    let house = house();
    let id = house.waiting("adm", special_for("ana"));
    house.log.close();
    assert!(matches!(house.approve("gua", id), Err(ChangeError::NotRecorded)));
    assert!(matches!(house.propose("adm", special_for("ana")), Err(ChangeError::NotRecorded)));
    assert_eq!(house.reaches("ana", Class::Special), Some(Action::Aggregate));
    let drop_role = Edit::DropRole { person: "ana".into(), role: Role::Analyst };
    assert!(house.propose("adm", drop_role).is_ok());
    assert_eq!(house.reaches("ana", Class::Open), None);
}

#[test]
fn somebody_has_to_manage_people() {
    let house = house();
    let last = Edit::DropRole { person: "adm".into(), role: Role::Administrator };
    assert!(matches!(house.propose("gua", last), Err(ChangeError::LastAdministrator)));
    assert!(matches!(
        house.propose("adm", role("nobody", Role::Analyst)),
        Err(ChangeError::NoPerson(_))
    ));
    assert!(matches!(
        house.propose("adm", Edit::Revoke(GrantId(99))),
        Err(ChangeError::NoGrant(_))
    ));
    let none = house.changes.propose(&house.caller("adm"), Vec::new(), "why");
    assert!(matches!(none, Err(ChangeError::NoEdit)));
    assert!(matches!(house.propose("adm", role("ana", Role::Analyst)), Err(ChangeError::NoEffect)));
}

#[test]
fn everything_is_recorded_without_values() {
    let house = house();
    let Edit::Grant(grant) = special_for("ana") else { unreachable!() };
    let secret = crate::grant::Literal::Text("hunter2".into());
    let test = crate::grant::Test::Among([secret].into());
    let rows = RowFilter::of(vec![crate::grant::Condition { field: "region".into(), test }]);
    let id = house.waiting("adm", Edit::Grant(Grant { rows, ..grant }));
    let seen = house.changes.show(&house.caller("gua"), id).unwrap().0.effect;
    assert!(seen[0].contains("hunter2"), "who decides sees it all: {seen:?}");
    house.approve("gua", id).unwrap();
    house.log.close();
    let mut lines = String::new();
    for record in house.log.read(&AuditFilter::default()).unwrap().iter().rev() {
        let event = &record.event;
        writeln!(lines, "{} {} {} {}", event.kind, event.who, event.subject, event.outcome)
            .unwrap();
        assert!(!format!("{event:?}").contains("hunter2"));
        assert!(event.shape.contains("where region …"), "{}", event.shape);
    }
    assert_eq!(
        lines,
        "change_proposed adm change 1 begun\nchange_proposed adm change 1 done\n\
         change_approved gua change 1 begun\nchange_approved gua change 1 done\n"
    );
}

#[test]
fn an_edit_is_read_back() {
    let edits = [
        special_for("ana"),
        Edit::Revoke(GrantId(3)),
        role("ana", Role::Guardian),
        Edit::DropRole { person: "ana".into(), role: Role::Guardian },
        Edit::Enable { person: "ana".into() },
        Edit::Setting { setting: Setting::GrantDaysMax, value: SettingValue::Number(5) },
        Edit::PasswordReset { person: "ana".into() },
    ];
    for edit in edits {
        let text = serde_json::to_string(&EditForm::from(&edit)).unwrap();
        let form: EditForm = serde_json::from_str(&text).unwrap();
        assert_eq!(form.to_edit().unwrap(), edit, "{text}");
    }
    let text = r#"{"setting":{"name":"tls","value":false}}"#;
    let form: EditForm = serde_json::from_str(text).unwrap();
    assert!(form.to_edit().unwrap_err().to_string().contains("tls_on_loopback"));
}

#[test]
fn a_disabled_account_comes_back_through_two_people() {
    let house = house();
    let done: Result<_, RecordError> = house.policies.update("x", house.clock.now(), |policy| {
        let member = policy.members()["ana"].clone();
        policy.set_member("ana", Some(Member { disabled: true, ..member }));
        Ok(())
    });
    done.unwrap();
    let _: &Policy = &house.policies.current();
    let id = house.waiting("adm", Edit::Enable { person: "ana".into() });
    assert_eq!(house.reaches("ana", Class::Open), None);
    house.approve("gua", id).unwrap();
    assert_eq!(house.reaches("ana", Class::Open), Some(Action::Read));
}

const LOYALTY: &str = r"
texts:
  - name: loyalty number
    kind: loyalty
    class: personal
    pattern: '\bLC-[0-9]{8}\b'
    takes: ['paid with ‹LC-20190426›']
";

/// Whether the number of a loyalty card is found.
fn finds(classifier: &Classifier) -> bool {
    let mut found = Vec::new();
    classifier.find_in_text("refund to LC-20190427", &mut found);
    !found.is_empty()
}

#[test]
fn a_rule_of_ones_own_is_added_at_once_and_removed_by_two() {
    let house = house();
    let classifier = Classifier::standard();
    house.policies.classify_with(&classifier);
    let rules = OwnRules::parse(LOYALTY).unwrap();
    let add = || Edit::AddRules(rules.clone());
    assert!(matches!(house.propose("adm", add()), Err(ChangeError::MayNotPropose)));
    assert!(!finds(&classifier));
    assert!(matches!(house.propose("gua", add()), Ok(Outcome::Applied(_))));
    assert!(finds(&classifier), "at once");
    assert!(matches!(house.propose("gua", add()), Err(ChangeError::NoEffect)));
    // The next start knows it, too.
    let records = Arc::<MemoryRecords>::clone(&house.records) as Arc<dyn RecordStore>;
    let again = Policies::open(records, house.clock.now()).unwrap();
    let other = Classifier::standard();
    again.classify_with(&other);
    assert!(finds(&other) && *again.current().rules() == *house.policies.current().rules());

    let unknown = Edit::RemoveRule("loyalty".into());
    assert!(matches!(house.propose("gua", unknown), Err(ChangeError::Rules(_))));
    let id = house.waiting("gua", Edit::RemoveRule("loyalty number".into()));
    let change = house.changes.show(&house.caller("gus"), id).unwrap().0;
    let line = r"rule loyalty number: loyalty, personal, in text, \bLC-[0-9]{8}\b -> none";
    assert_eq!(change.effect, [line]);
    assert!(finds(&classifier), "nobody agreed yet");
    house.approve("gus", id).unwrap();
    assert!(!finds(&classifier) && house.policies.current().rules().is_empty());

    // To change one is to remove it and to add another, in one step that waits.
    house.propose("gua", add()).unwrap();
    let changed = OwnRules::parse(&LOYALTY.replace("{8}", "{8,}")).unwrap();
    let edits = vec![Edit::RemoveRule("loyalty number".into()), Edit::AddRules(changed)];
    let outcome = house.changes.propose(&house.caller("gua"), edits, "longer numbers").unwrap();
    assert!(matches!(outcome, Outcome::Waiting(change) if change.effect.len() == 2));
}
