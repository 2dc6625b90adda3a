//! What a permit is made of when there are several grants with terms of their own.

use super::tests::{House, house_of, intent, table};
use super::*;
use crate::caller::Role;
use crate::grant::{
    Classes, Condition, Grant, Literal, Member, Policy, Quota, RowFilter, Tables, Test, Who,
};

/// Bob, who has no role, with these grants on all tables.
fn house(grants: Vec<Grant>) -> House {
    let mut policy = Policy::standard();
    policy.set_member("bob", Some(Member::default()));
    for grant in grants {
        grant.check().unwrap();
        policy.add_grant(grant);
    }
    house_of(Policies::fixed(policy))
}

fn bob(house: &House) -> Caller {
    Caller::for_test_of(&house.policies, "bob")
}

fn grant(action: Action, classes: Classes) -> Grant {
    Grant::new(Who::Person("bob".into()), Tables::All, action, classes)
}

fn in_region(region: &str) -> RowFilter {
    let test = Test::Among([Literal::Text(region.to_owned())].into());
    RowFilter::of(vec![Condition { field: "region".into(), test }])
}

fn authorise(house: &House, action: Action, fields: &[(&str, Use)]) -> Result<Permit, Denied> {
    house.guard.authorise(&bob(house), intent(action, fields))
}

fn rows_of(permit: &Permit) -> String {
    let scope = permit.row_scope(table().id).unwrap();
    let one_of = |filters: &Vec<RowFilter>| {
        filters.iter().map(RowFilter::to_string).collect::<Vec<_>>().join(" or ")
    };
    scope.alternatives().iter().map(one_of).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_row_is_seen_where_every_field_of_the_question_is_granted() {
    let open = Grant { rows: in_region("us"), ..grant(Action::Read, Classes::up_to(Class::Open)) };
    let personal =
        Grant { rows: in_region("eu"), ..grant(Action::Read, Classes::up_to(Class::Personal)) };
    let house = house(vec![open, personal]);
    let permit = authorise(&house, Action::Read, &[("status", Use::Output)]).unwrap();
    assert_eq!(rows_of(&permit), "region in [us] or region in [eu]");
    let table = table();
    let field = |name| table.schema.find(name).unwrap().1;
    assert!(permit.may_read(table.id, field("status")));
    assert!(!permit.may_read(table.id, field("user.email")), "not in every row that is seen");
    let permit = authorise(&house, Action::Read, &[("user.email", Use::Output)]).unwrap();
    assert_eq!(rows_of(&permit), "region in [eu]");
    assert!(permit.may_read(table.id, field("user.email")));
    let both = [("user.email", Use::Output), ("status", Use::Filter)];
    let permit = authorise(&house, Action::Read, &both).unwrap();
    assert_eq!(rows_of(&permit), "region in [us] or region in [eu]; region in [eu]");
    let all = authorise(&house, Action::Read, &[("*", Use::Output)]).unwrap();
    assert!(!all.may_read(table.id, field("user.email")), "hidden, not narrowed");
    assert!(!all.row_scope(table.id).unwrap().is_all());
    assert!(all.row_scope(TableId(9)).is_none());
}

#[test]
fn terms_come_from_one_grant_and_are_never_mixed() {
    let special = Classes::from_iter([Class::Special]);
    let small_groups = Grant {
        least_group: 5,
        quota: Quota { queries: Some(1), ..Quota::NONE },
        ..grant(Action::Aggregate, special)
    };
    let large_groups = Grant { least_group: 50, ..grant(Action::Aggregate, special) };
    let house = house(vec![large_groups, small_groups]);
    let ask = || authorise(&house, Action::Aggregate, &[("weight", Use::Measure)]).unwrap();
    let table = table();
    let weight = table.schema.find("weight").unwrap().1;
    assert_eq!(ask().least_group(table.id, weight), Some(5), "within its measure");
    assert_eq!(ask().least_group(table.id, weight), Some(50), "the measure is used up");
    assert_eq!(ask().least_group_of_rows(table.id), Some(50));
}

#[test]
fn what_may_be_read_has_groups_of_any_size() {
    let special = Classes::up_to(Class::Special);
    let groups = Grant { least_group: 20, ..grant(Action::Aggregate, special) };
    let of_eu = Grant { rows: in_region("eu"), ..grant(Action::Read, special) };
    let house = house(vec![groups.clone(), of_eu.clone()]);
    let table = table();
    let weight = table.schema.find("weight").unwrap().1;
    let permit = authorise(&house, Action::Aggregate, &[("weight", Use::Measure)]).unwrap();
    assert_eq!(permit.least_group(table.id, weight), Some(20), "only some rows may be read");
    let read = Grant { rows: RowFilter::all(), ..of_eu };
    let house = self::house(vec![groups, read]);
    let permit = authorise(&house, Action::Aggregate, &[("weight", Use::Measure)]).unwrap();
    assert_eq!(permit.least_group(table.id, weight), None);
}

#[test]
fn a_grant_whose_measure_is_not_counted_shows_nothing() {
    let open = grant(Action::Read, Classes::up_to(Class::Open));
    let metered = Grant {
        quota: Quota { rows: Some(10), ..Quota::NONE },
        ..grant(Action::Read, Classes::up_to(Class::Personal))
    };
    let house = house(vec![open, metered]);
    let table = table();
    let email = table.schema.find("user.email").unwrap().1;
    let all = authorise(&house, Action::Read, &[("*", Use::Output)]).unwrap();
    assert!(!all.may_read(table.id, email), "nothing of the metered grant was asked for");
    let named = authorise(&house, Action::Read, &[("user.email", Use::Output)]).unwrap();
    assert!(named.may_read(table.id, email));
    assert!(named.release((), 11, 0).is_err(), "one more than the day has");
    assert!(matches!(named.release((), 11, 0), Err(Denied::Quota { .. })));
    let again = authorise(&house, Action::Read, &[("user.email", Use::Output)]).unwrap();
    assert!(again.release((), 10, 0).is_ok());
    let over = authorise(&house, Action::Read, &[("user.email", Use::Output)]);
    assert!(matches!(over, Err(Denied::Quota { .. })), "{over:?}");
}

#[test]
fn a_permit_ends_with_what_it_stands_on() {
    let house = house(vec![Grant {
        until: Some(Timestamp(2000)),
        ..grant(Action::Read, Classes::up_to(Class::Personal))
    }]);
    let ask = || authorise(&house, Action::Read, &[("status", Use::Output)]).unwrap();
    let step = |step: &dyn Fn(&mut Policy)| {
        let done: Result<_, RecordError> = house.policies.update("x", Timestamp(0), |policy| {
            step(policy);
            Ok(())
        });
        done.unwrap();
    };
    let (permit, key) = (ask(), ask().cache_key());
    assert_eq!(permit.cache_key(), key);
    // Something else changes: the answer may still go out, but shares no cache any more.
    step(&|policy| policy.set_member("eve", Some(Member::with_roles(&[Role::Analyst]))));
    assert!(permit.still_valid().is_ok());
    assert_ne!(ask().cache_key(), key);
    // A narrower grant takes the place of this one.
    let narrow = grant(Action::Read, Classes::up_to(Class::Open));
    step(&|policy| {
        let id = *policy.grants().keys().last().unwrap();
        policy.remove_grant(id);
        policy.add_grant(Grant { until: Some(Timestamp(2000)), ..narrow.clone() });
    });
    assert!(matches!(permit.still_valid(), Err(Denied::Withdrawn)));
    assert!(matches!(permit.release((), 1, 1), Err(Denied::Withdrawn)), "and nothing goes out");
    let permit = ask();
    house.clock.advance(999);
    assert!(permit.still_valid().is_ok());
    house.clock.advance(1);
    assert!(matches!(permit.still_valid(), Err(Denied::Withdrawn)));
    let shut_out = authorise(&house, Action::Read, &[("status", Use::Output)]);
    assert!(shut_out.is_err());
}

#[test]
fn disabling_reaches_a_permit_under_way() {
    let house = house(vec![grant(Action::Read, Classes::up_to(Class::Open))]);
    let permit = authorise(&house, Action::Read, &[("status", Use::Output)]).unwrap();
    let done: Result<_, RecordError> = house.policies.update("x", Timestamp(0), |policy| {
        policy.set_member("bob", Some(Member { disabled: true, ..Member::default() }));
        Ok(())
    });
    done.unwrap();
    assert!(matches!(permit.release((), 1, 1), Err(Denied::Expired)));
}

#[test]
fn a_kept_answer_crosses_to_no_other_caller_grant_or_policy() {
    let house = house(vec![grant(Action::Read, Classes::up_to(Class::Personal))]);
    let step = |step: &dyn Fn(&mut Policy)| {
        let done: Result<_, RecordError> = house.policies.update("x", Timestamp(0), |policy| {
            step(policy);
            Ok(())
        });
        done.unwrap();
    };
    // Somebody else with the very same rights.
    step(&|policy| {
        policy.set_member("eve", Some(Member::default()));
        let same = grant(Action::Read, Classes::up_to(Class::Personal));
        policy.add_grant(Grant { who: Who::Person("eve".into()), ..same });
    });
    let ask = |name: &str, action: Action| {
        let caller = Caller::for_test_of(&house.policies, name);
        house.guard.authorise(&caller, intent(action, &[("status", Use::Output)])).unwrap()
    };
    let first = ask("bob", Action::Read);
    first.seen().rows("t", [4, 5]);
    let kept = first.keep("two rows".to_owned(), 2, 8);
    let again = ask("bob", Action::Read);
    assert_eq!(again.release_kept(&kept).unwrap().into_inner(), "two rows");
    assert!(ask("bob", Action::Read).release_kept(&kept).is_ok(), "as often as it is asked for");
    for other in [ask("eve", Action::Read), ask("bob", Action::Aggregate)] {
        assert!(!kept.is_for(&other));
        assert!(matches!(other.release_kept(&kept), Err(Denied::Withdrawn)));
    }
    // Whatever changed in the policy: the answer is made anew.
    step(&|policy| policy.set_member("zoe", Some(Member::default())));
    assert!(matches!(ask("bob", Action::Read).release_kept(&kept), Err(Denied::Withdrawn)));
}
