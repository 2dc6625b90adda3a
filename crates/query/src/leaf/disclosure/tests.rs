use crate::testing::{Document, House, START_MS, lines, long, text};
use crate::{
    Ask, Group, GroupBy, Limits, Measure, MeasureOf, OutColumn, QueryError, Question, SortBy,
    SortKey, uses,
};
use model::{Table, Value};
use protection::grant::Action;
use std::ops::Bound;
use std::sync::Arc;
use storage::Filter;

const HOUR: i64 = 3_600_000;

fn person(number: u32) -> String {
    format!("person{number}@example.org")
}

/// One row with a pulse of a person.
fn row(number: u32, kind: &'static str) -> Document {
    let at = START_MS + i64::from(number) * HOUR;
    vec![
        ("at", long(at)),
        ("kind", text(kind)),
        ("user.email", text(&person(number))),
        ("pulse", long(60)),
    ]
}

/// A house with one row of each of so many people in each kind.
fn house(kinds: &[(&'static str, u32)]) -> (House, Arc<Table>) {
    let house = House::new();
    let table = house.table(true);
    let mut number = 0;
    let mut rows = Vec::new();
    for &(kind, people) in kinds {
        rows.extend((number..number + people).map(|number| row(number, kind)));
        number += people;
    }
    house.put(&table, &rows);
    (house, table)
}

fn ask(house: &House, table: &Arc<Table>, question: &Question) -> Result<Vec<String>, QueryError> {
    let tables = std::slice::from_ref(table);
    let scope = house.scope_for(Action::Aggregate, tables, uses(tables, question));
    crate::run(&scope, question, &Limits::standard()).map(|batch| lines(&batch))
}

fn pulses_by_kind(filter: Filter) -> Question {
    let group = Group { by: GroupBy::Terms("kind".to_owned()), keep_missing: false };
    let measure = MeasureOf { measure: Measure::Values("pulse".to_owned()), filter: None };
    Question { filter, ask: Ask::Fold { groups: vec![group], measures: vec![measure] } }
}

fn with_pulse(filter: Filter) -> Question {
    Question { filter: Filter::Exists("pulse".to_owned()).and(filter), ask: Ask::Count }
}

fn is(house: &House, number: u32) -> Filter {
    let pseudonym = house.pseudonyms.of("email", &person(number));
    Filter::Term("user.email".to_owned(), Value::Str(pseudonym))
}

#[track_caller]
fn check_kept_back(found: Result<Vec<String>, QueryError>) {
    assert!(matches!(found, Err(QueryError::TooFewSubjects { least: 20 })), "{found:?}");
}

#[test]
fn small_groups_are_kept_back_and_cannot_be_computed_from_the_rest() {
    // 5 people alone would be the total less the others: the next smallest is kept back, too.
    let (house, table) = house(&[("a", 25), ("b", 5), ("c", 30)]);
    assert_eq!(ask(&house, &table, &pulses_by_kind(Filter::All)).unwrap(), ["c | 30"]);
}

#[test]
fn groups_kept_back_together_are_enough() {
    let (house, table) = house(&[("a", 25), ("b", 5), ("c", 30), ("d", 17)]);
    assert_eq!(ask(&house, &table, &pulses_by_kind(Filter::All)).unwrap(), ["a | 25", "c | 30"]);
}

#[test]
fn many_rows_of_few_people_are_a_small_group() {
    let (house, table) = house(&[("a", 30)]);
    let many: Vec<Document> = (0..100).map(|number| row(100 + number % 19, "b")).collect();
    house.put(&table, &many);
    assert_eq!(ask(&house, &table, &pulses_by_kind(Filter::All)).unwrap(), [""; 0]);
    let (house, table) = self::house(&[("a", 30), ("c", 30)]);
    house.put(&table, &many);
    let found = ask(&house, &table, &pulses_by_kind(Filter::All)).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_group_that_one_person_makes_is_kept_back() {
    let (house, table) = house(&[("a", 40), ("b", 40), ("c", 40)]);
    let many: Vec<Document> = (0..60).map(|_| row(50, "b")).collect();
    house.put(&table, &many);
    let found = ask(&house, &table, &pulses_by_kind(Filter::All)).unwrap();
    assert_eq!(found, ["a | 40", "c | 40"]);
}

#[test]
fn all_but_one_is_not_told_after_all() {
    let (house, table) = house(&[("a", 60)]);
    assert_eq!(ask(&house, &table, &with_pulse(Filter::All)).unwrap(), ["60"]);
    let all_but_one = with_pulse(Filter::Not(Box::new(is(&house, 7))));
    check_kept_back(ask(&house, &table, &all_but_one));
    let most = (0..19)
        .fold(Filter::All, |filter, number| filter.and(Filter::Not(Box::new(is(&house, number)))));
    check_kept_back(ask(&house, &table, &with_pulse(most)));
    assert_eq!(ask(&house, &table, &with_pulse(Filter::All)).unwrap(), ["60"], "asked again");
    check_kept_back(ask(&house, &table, &with_pulse(is(&house, 7))));
}

#[test]
fn a_group_and_its_parts_are_not_told_if_they_nearly_match() {
    let (house, table) = house(&[("a", 40), ("b", 3)]);
    assert_eq!(ask(&house, &table, &with_pulse(Filter::All)).unwrap(), ["43"]);
    // 43 are known: 40 of kind `a` would tell of 3 of kind `b`.
    let a = Filter::Term("kind".to_owned(), Value::Str("a".to_owned()));
    check_kept_back(ask(&house, &table, &with_pulse(a)));
}

#[test]
fn rows_are_not_told_for_what_is_only_counted() {
    let (house, table) = house(&[("a", 60)]);
    let keys = vec![SortKey { by: SortBy::Seq, descending: false, missing_first: false }];
    let ask_rows = Ask::Top { keys, limit: 5, after: None, columns: vec![OutColumn::Id] };
    let question = Question { filter: Filter::Exists("pulse".to_owned()), ask: ask_rows };
    let refused = ask(&house, &table, &question);
    assert!(matches!(refused, Err(QueryError::NotPermitted { .. })), "{refused:?}");
}

#[test]
fn what_is_open_is_under_no_rule() {
    let (house, table) = house(&[("a", 3), ("b", 1)]);
    let group = Group { by: GroupBy::Terms("kind".to_owned()), keep_missing: false };
    let rows = MeasureOf { measure: Measure::Rows, filter: None };
    let question = Question {
        filter: Filter::All,
        ask: Ask::Fold { groups: vec![group], measures: vec![rows] },
    };
    assert_eq!(ask(&house, &table, &question).unwrap(), ["a | 3", "b | 1"]);
}

/// Not stopped, and `docs/protection.md` says so: two stretches of time that differ by one person.
/// A dashboard asks about moving stretches all day; keeping these back would keep all back.
#[test]
fn two_stretches_of_time_are_not_compared() {
    let (house, table) = house(&[("a", 60)]);
    let until = |hours: i64| Filter::Range {
        field: "at".to_owned(),
        from: Bound::Unbounded,
        to: Bound::Excluded(Value::Long(START_MS + hours * HOUR)),
    };
    assert_eq!(ask(&house, &table, &with_pulse(until(40))).unwrap(), ["40"]);
    assert_eq!(ask(&house, &table, &with_pulse(until(41))).unwrap(), ["41"]);
}
