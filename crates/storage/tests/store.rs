//! What goes in comes out: over the buffer, over segments, over a restart.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Event, House, START, batch, delete, events_table};
use model::Value;
use protection::keys::KeyRing;
use std::ops::Bound;
use std::sync::Arc;
use storage::disk::RealDisk;
use storage::{Column, Expect, Filter, Outcome, Selection};

fn new_house(dir: &tempfile::TempDir) -> House {
    House::open(dir.path(), Arc::new(RealDisk), Arc::new(KeyRing::in_memory())).unwrap()
}

fn event<'a>(id: Option<&'a str>, n: i64, kind: &'a str, message: &'a str) -> Event<'a> {
    Event { id, at: START + (n * 7919) % 10_007, kind, message, n }
}

#[test]
fn rows_are_seen_in_the_buffer_after_a_flush_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let house = new_house(&dir);
    let table = house.store.create_table(events_table()).unwrap();
    let check = |house: &House, what: &str| {
        let kinds =
            |kind: &str| house.count(&table, &Filter::Term("kind".into(), Value::Str(kind.into())));
        assert_eq!((kinds("a"), kinds("b"), kinds("c")), (67, 66, 0), "{what}");
        let words = |words: &[&str], at_least| Filter::Words {
            field: "message".into(),
            terms: words.iter().map(|&word| word.to_owned()).collect(),
            at_least,
        };
        assert_eq!(house.count(&table, &words(&["hello", "number"], 2)), 133, "{what}");
        assert_eq!(house.count(&table, &words(&["17", "18"], 1)), 2, "{what}");
        let phrase = Filter::Phrase {
            field: "message".into(),
            terms: vec![(0, "hello".into()), (1, "number".into()), (2, "5".into())],
            slop: 0,
            last_is_prefix: false,
        };
        assert_eq!(house.count(&table, &phrase), 1, "{what}");
        let range = |from, to| Filter::Range {
            field: "n".into(),
            from: Bound::Included(Value::Long(from)),
            to: Bound::Excluded(Value::Long(to)),
        };
        assert_eq!(house.count(&table, &range(10, 20)), 10, "{what}");
        let early = Filter::Range {
            field: "@timestamp".into(),
            from: Bound::Unbounded,
            to: Bound::Excluded(Value::Long(START + 5_000)),
        };
        let expected = (0..133).filter(|n| (n * 7919) % 10_007 < 5_000).count() as u64;
        assert_eq!(house.count(&table, &early), expected, "{what}");
        let both = early.and(range(0, 50));
        let expected = (0..50).filter(|n| (n * 7919) % 10_007 < 5_000).count() as u64;
        assert_eq!(house.count(&table, &both), expected, "{what}");
        let prefix =
            Filter::Prefix { field: "kind".into(), prefix: "a".into(), ignore_case: false };
        assert_eq!(house.count(&table, &prefix.negate()), 66, "{what}");
        let documents = house.documents(&table);
        assert_eq!(documents.len(), 133, "{what}");
        assert!(
            documents.iter().any(|(_, _, json)| json.contains("\"message\":\"hello number 5\""))
        );
    };
    for start in [0, 50, 100] {
        let messages: Vec<String> =
            (start..(start + 50).min(133)).map(|n| format!("hello number {n}")).collect();
        let events: Vec<Event<'_>> = messages
            .iter()
            .zip(start..)
            .map(|(message, n)| event(None, n, if n % 2 == 0 { "a" } else { "b" }, message))
            .collect();
        let outcomes =
            house.store.append(table.id, house.seal(&table, batch(&events)), &[]).unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.outcome == Outcome::Created));
    }
    check(&house, "in the buffer");
    let before = house.documents(&table);
    house.store.flush().unwrap();
    check(&house, "in a segment");
    assert_eq!(house.documents(&table), before, "the same documents under the same ids");
    let keys = Arc::clone(&house.keys);
    drop(house);
    let house = House::open(dir.path(), Arc::new(RealDisk), keys).unwrap();
    check(&house, "after a restart");
    assert_eq!(house.documents(&table), before);
}

#[test]
fn rows_of_a_segment_stand_in_the_order_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let house = new_house(&dir);
    let table = house.store.create_table(events_table()).unwrap();
    for round in 0..9 {
        let events: Vec<Event<'_>> =
            (0..100).map(|n| event(None, round * 100 + n, "a", "x")).collect();
        house.store.append(table.id, house.seal(&table, batch(&events)), &[]).unwrap();
        house.store.flush().unwrap();
    }
    house.store.compact().unwrap();
    assert!(house.store.stats(table.id).unwrap().segments <= 2);
    let snapshot = house.snapshot(&table);
    let mut rows = 0;
    for view in snapshot.views() {
        assert_eq!(view.sorted_by("@timestamp"), Some(false));
        let Some(Column::Long(times)) = view.column("@timestamp").unwrap() else { panic!() };
        for block in Selection::All(view.rows()).blocks() {
            let mut values = Vec::new();
            times.values(block, &mut values);
            assert!(values.is_sorted());
            rows += values.len();
        }
    }
    assert_eq!(rows, 900);
}

#[test]
fn the_newest_row_of_an_id_wins_wherever_the_older_one_lies() {
    let dir = tempfile::tempdir().unwrap();
    let house = new_house(&dir);
    let table = house.store.create_table(events_table()).unwrap();
    let put = |id: &str, n: i64| {
        let sealed = house.seal(&table, batch(&[event(Some(id), n, "a", "x")]));
        house.store.append(table.id, sealed, &[]).unwrap()[0]
    };
    assert_eq!(put("one", 1).outcome, Outcome::Created);
    assert_eq!(put("two", 2).outcome, Outcome::Created);
    let updated = put("one", 3);
    assert_eq!((updated.outcome, updated.version), (Outcome::Updated, 2));
    house.store.flush().unwrap();
    let updated = put("one", 4);
    assert_eq!((updated.outcome, updated.version), (Outcome::Updated, 3));
    let gone = house.store.append(table.id, house.seal(&table, delete(&["two", "three"])), &[]);
    let outcomes: Vec<Outcome> = gone.unwrap().iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [Outcome::Deleted, Outcome::NotFound]);
    let expected = |documents: Vec<(String, u64, String)>, what: &str| {
        assert_eq!(documents.len(), 1, "{what}");
        assert_eq!((documents[0].0.as_str(), documents[0].1), ("one", 3), "{what}");
        assert!(documents[0].2.contains("\"n\":4"), "{what}");
    };
    expected(house.documents(&table), "buffer over segment");
    house.store.flush().unwrap();
    expected(house.documents(&table), "segment over segment");
    house.store.compact().unwrap();
    expected(house.documents(&table), "merged");
    let keys = Arc::clone(&house.keys);
    drop(house);
    let house = House::open(dir.path(), Arc::new(RealDisk), keys).unwrap();
    expected(house.documents(&table), "after a restart");
}

#[test]
fn a_row_that_must_not_be_there_yet_is_left_out_alone() {
    let dir = tempfile::tempdir().unwrap();
    let house = new_house(&dir);
    let table = house.store.create_table(events_table()).unwrap();
    let rows = [
        event(Some("a"), 1, "a", "x"),
        event(Some("b"), 2, "a", "x"),
        event(Some("a"), 3, "a", "x"),
    ];
    let sealed = house.seal(&table, batch(&rows));
    let outcomes = house.store.append(table.id, sealed, &[Expect::Absent; 3]).unwrap();
    let outcomes: Vec<Outcome> = outcomes.iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [Outcome::Created, Outcome::Created, Outcome::Conflict]);
    let ids: Vec<String> = house.documents(&table).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids, ["a", "b"]);
    let keys = Arc::clone(&house.keys);
    drop(house);
    let house = House::open(dir.path(), Arc::new(RealDisk), keys).unwrap();
    let documents = house.documents(&table);
    assert_eq!(documents.len(), 2, "the conflict is no row after a replay either");
    assert!(documents[0].2.contains("\"n\":1"));
}

#[test]
fn a_generated_id_finds_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let house = new_house(&dir);
    let table = house.store.create_table(events_table()).unwrap();
    let rows = [event(None, 1, "a", "x"), event(None, 2, "a", "y")];
    house.store.append(table.id, house.seal(&table, batch(&rows)), &[]).unwrap();
    for flushed in [false, true] {
        if flushed {
            house.store.flush().unwrap();
        }
        let ids: Vec<String> = house.documents(&table).into_iter().map(|(id, ..)| id).collect();
        assert_eq!(house.count(&table, &Filter::Ids(vec![ids[1].clone()])), 1);
        let found = house.store.stored_rows(table.id, &[&ids[0], "nobody"]).unwrap();
        assert!(found[0].is_some() && found[1].is_none());
    }
    let ids: Vec<String> = house.documents(&table).into_iter().map(|(id, ..)| id).collect();
    let gone = house.store.append(table.id, house.seal(&table, delete(&[&ids[0]])), &[]).unwrap();
    assert_eq!(gone[0].outcome, Outcome::Deleted);
    assert_eq!(house.documents(&table).len(), 1);
}
