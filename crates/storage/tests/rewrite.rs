//! What a ruling does to rows that are stored already.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Event, House, Office, START, batch, delete, events_table, ruled};
use model::{Class, Column, FieldId, Ruling, Schema, Table, Timestamp, Values};
use protection::keys::KeyRing;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::disk::RealDisk;
use storage::{Filter, StoreError};

const KIND: FieldId = FieldId(1);

fn open(dir: &Path, background: bool) -> House {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    House::open_for(&office, dir, Arc::new(RealDisk), background).unwrap()
}

fn put(house: &House, table: &Arc<Table>, ids: &[&str]) {
    let rows: Vec<Event<'_>> = ids
        .iter()
        .zip(0..)
        .map(|(id, n)| Event { id: Some(id), at: START, kind: "kitchen", message: "tea time", n })
        .collect();
    house.store.append(table.id, house.seal(table, batch(&rows)), &[]).unwrap();
}

fn kinds(house: &House, table: &Arc<Table>) -> Vec<String> {
    house
        .documents(table)
        .into_iter()
        .map(|(id, _, json)| {
            let document: serde_json::Value = serde_json::from_str(&json).unwrap();
            let kind = document["kind"].as_str().unwrap_or("–").split(':').next().unwrap();
            format!("{id} {kind}")
        })
        .collect()
}

fn rule(house: &House, table: &Table, class: Class) -> Arc<Table> {
    house.store.put_table(ruled(table, "kind", class)).unwrap()
}

/// The fields of the events table, with `kind` withheld from the beginning.
fn closed_table() -> Table {
    let mut table = events_table();
    let mut fields = table.schema.fields().to_vec();
    fields[1].class = None;
    table.schema = Schema::from_fields(fields);
    let ruling = Ruling {
        by: Ruling::CLASSIFIER.to_owned(),
        at: Timestamp(START),
        reason: "no rule knows it".to_owned(),
        class: None,
        kind: String::new(),
        rules: 0,
    };
    table.schema.rule(KIND, ruling);
    table
}

#[test]
fn a_stricter_ruling_hides_at_once_and_is_carried_out_behind() {
    let dir = house::folder();
    let house = open(dir.path(), false);
    let open_table = house.store.create_table(events_table()).unwrap();
    put(&house, &open_table, &["a", "b"]);
    house.store.flush().unwrap();
    put(&house, &open_table, &["c"]);
    assert_eq!(kinds(&house, &open_table), ["a kitchen", "b kitchen", "c kitchen"]);

    let table = rule(&house, &open_table, Class::Personal);
    assert_eq!(kinds(&house, &table), ["a –", "b –", "c –"], "segment and buffer alike");
    let is_kitchen = Filter::Term("kind".into(), model::Value::Str("kitchen".into()));
    assert_eq!(house.count(&table, &is_kitchen), 0);
    assert_eq!(house.count(&table, &Filter::Exists("kind".into())), 0);
    let snapshot = house.snapshot(&table);
    assert!(snapshot.views().iter().all(|view| view.column("kind").unwrap().is_none()));
    assert!(snapshot.views().iter().all(|view| view.term_counts("kind").unwrap().is_none()));
    assert_eq!(house.store.stale_rows(table.id).unwrap(), 3);

    // New rows are stored as ruled, and shown.
    put(&house, &table, &["d"]);
    assert_eq!(kinds(&house, &table), ["a –", "b –", "c –", "d user"]);
    house.store.rewrite().unwrap();
    assert_eq!(kinds(&house, &table), ["a user", "b user", "c user", "d user"]);
    let counts: Vec<_> =
        house.snapshot(&table).views().iter().map(|view| view.live_rows()).collect();
    assert_eq!(counts.iter().sum::<u32>(), 4);
    let columns = house.snapshot(&table);
    let distinct: Vec<String> = columns
        .views()
        .iter()
        .filter_map(|view| match view.column("kind").unwrap()? {
            storage::Column::Keyword(column) => Some(column.term(0).unwrap()),
            _ => None,
        })
        .collect();
    assert!(distinct.windows(2).all(|two| two[0] == two[1]), "one value, one pseudonym");
    assert_eq!(house.store.files_with(&["kitchen"]).unwrap(), [""; 0]);
}

#[test]
fn a_batch_that_was_sealed_before_a_ruling_is_not_taken_after_it() {
    let dir = house::folder();
    let house = open(dir.path(), false);
    let table = house.store.create_table(events_table()).unwrap();
    let event = Event { id: None, at: START, kind: "kitchen", message: "tea", n: 1 };
    let sealed = house.seal(&table, batch(&[event]));
    rule(&house, &table, Class::Personal);
    let refused = house.store.append(table.id, sealed, &[]).unwrap_err();
    assert!(matches!(refused, StoreError::Reruled), "{refused:?}");
    assert_eq!(house.store.files_with(&["kitchen"]).unwrap(), [""; 0]);
}

#[test]
fn withheld_values_become_readable_or_are_gone() {
    for (class, shown) in [
        (Class::Open, "kitchen"),
        (Class::Personal, "user"),
        (Class::Special, "–"),
        (Class::Secret, "secret-user"),
    ] {
        let dir = house::folder();
        let house = open(dir.path(), false);
        let table = house.store.create_table(closed_table()).unwrap();
        put(&house, &table, &["a"]);
        house.store.flush().unwrap();
        put(&house, &table, &["b"]);
        assert_eq!(kinds(&house, &table), ["a –", "b –"]);
        let (sample, rows) = house.store.sample(table.id, "kind", 10).unwrap();
        assert_eq!((sample.len(), rows), (2, 2));

        let table = rule(&house, &table, class);
        house.store.rewrite().unwrap();
        assert_eq!(kinds(&house, &table), [format!("a {shown}"), format!("b {shown}")], "{class}");
        // What was held is opened only where it was ruled open; of a secret nothing is left.
        let (_, rows) = house.store.sample(table.id, "kind", 10).unwrap();
        assert_eq!(rows, 2);
        let ids = ["a", "b"];
        let stored = house.store.stored_rows(table.id, &ids).unwrap();
        let sealed = stored.iter().flatten().filter(|(batch, ..)| {
            let mut columns = batch.columns.iter();
            let is_sealed = |column: &Column| matches!(column.values, Values::Bytes(_));
            columns.any(|column| column.field == KIND && is_sealed(column))
        });
        assert_eq!(sealed.count(), if class == Class::Special { 2 } else { 0 }, "{class}");
        let files = house.store.files_with(&["kitchen"]).unwrap();
        assert_eq!(!files.is_empty(), class == Class::Open, "{class}: {files:?}");
    }
}

#[test]
fn a_row_that_is_updated_before_its_rewrite_keeps_its_values() {
    let dir = house::folder();
    let house = open(dir.path(), false);
    let table = house.store.create_table(closed_table()).unwrap();
    put(&house, &table, &["a"]);
    house.store.flush().unwrap();
    let table = rule(&house, &table, Class::Open);
    let stored = house.store.stored_rows(table.id, &["a"]).unwrap().remove(0).unwrap().0;
    let kind = stored.columns.iter().find(|column| column.field == KIND).unwrap();
    let Values::Strings(strings) = &kind.values else { panic!("it is open now") };
    assert_eq!(strings.get(0), "kitchen");
}

#[test]
fn rows_that_are_killed_while_a_ruling_waits_stay_dead() {
    let dir = house::folder();
    let house = open(dir.path(), false);
    let table = house.store.create_table(events_table()).unwrap();
    put(&house, &table, &["a", "b", "c"]);
    house.store.flush().unwrap();
    let table = rule(&house, &table, Class::Personal);
    house.store.append(table.id, house.seal(&table, delete(&["a"])), &[]).unwrap();
    put(&house, &table, &["b"]);
    house.store.rewrite().unwrap();
    assert_eq!(kinds(&house, &table), ["b user", "c user"]);
    house.store.flush().unwrap();
    house.store.compact().unwrap();
    assert_eq!(kinds(&house, &table), ["b user", "c user"]);
    let versions: Vec<u64> =
        house.documents(&table).iter().map(|(_, version, _)| *version).collect();
    assert_eq!(versions, [2, 1]);
}

#[test]
fn a_segment_without_the_field_is_not_written_again() {
    let dir = house::folder();
    let house = open(dir.path(), false);
    let table = house.store.create_table(events_table()).unwrap();
    let mut without = batch(&[Event { id: None, at: START, kind: "k", message: "m", n: 1 }]);
    without.columns.retain(|column| column.field != KIND);
    house.store.append(table.id, house.seal(&table, without), &[]).unwrap();
    house.store.flush().unwrap();
    let files = || {
        let names = std::fs::read_dir(dir.path().join("segments")).unwrap();
        names.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    let before = files();
    let table = rule(&house, &table, Class::Special);
    house.store.rewrite().unwrap();
    assert_eq!((files(), house.store.stale_rows(table.id).unwrap()), (before, 0));
}

#[test]
fn many_parts_become_one_segment_again() {
    let dir = house::folder();
    let house = open(dir.path(), false);
    let table = house.store.create_table(events_table()).unwrap();
    let rows: Vec<Event<'_>> = (0..70_000)
        .map(|n| Event { id: None, at: START - n, kind: "kitchen", message: "tea", n })
        .collect();
    house.store.append(table.id, house.seal(&table, batch(&rows)), &[]).unwrap();
    house.store.flush().unwrap();
    let table = rule(&house, &table, Class::Personal);
    house.store.rewrite().unwrap();
    let stats = house.store.stats(table.id).unwrap();
    assert_eq!((stats.rows, stats.segments), (70_000, 1));
    let snapshot = house.snapshot(&table);
    assert_eq!(snapshot.views()[0].sorted_by("@timestamp"), Some(false));
    assert_eq!(house.count(&table, &Filter::Exists("kind".into())), 70_000);
    let files = std::fs::read_dir(dir.path().join("segments")).unwrap().count();
    assert_eq!(files, 1, "the parts are gone");
}

#[test]
fn the_background_carries_a_ruling_out_while_writers_go_on() {
    let dir = house::folder();
    let house = open(dir.path(), true);
    let mut table = house.store.create_table(events_table()).unwrap();
    for round in 0..20 {
        put(&house, &table, &[&format!("id-{round}"), "same"]);
        if round == 10 {
            house.store.flush().unwrap();
            table = rule(&house, &table, Class::Personal);
        }
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while house.store.stale_rows(table.id).unwrap() > 0 || house.store.log_is_stale() {
        assert!(Instant::now() < deadline, "the background does nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(kinds(&house, &table).len(), 21);
    assert!(kinds(&house, &table).iter().all(|kind| kind.ends_with(" user")));
    assert_eq!(house.store.files_with(&["kitchen"]).unwrap(), [""; 0]);
}
