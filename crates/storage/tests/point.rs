//! Points: a moment of a table that is read on while rows are written, merged and erased.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Event, House, Office, START, batch, delete, events_table};
use model::{Clock, Table, Timestamp};
use protection::keys::KeyRing;
use roaring::RoaringTreemap;
use std::sync::Arc;
use storage::disk::RealDisk;
use storage::{Filter, Point, Snapshot, Store, StoreError, StoreSettings};

const FAR: Timestamp = Timestamp(START + 1_000_000);

fn put(house: &House, table: &Arc<Table>, ids: &[&str]) {
    let events: Vec<Event<'_>> = ids
        .iter()
        .zip(0..)
        .map(|(id, n)| Event { id: Some(id), at: START + n, kind: "k", message: id, n })
        .collect();
    house.store.append(table.id, house.seal(table, batch(&events)), &[]).unwrap();
}

/// Two rows in a segment, two in the buffer.
fn filled(dir: &std::path::Path) -> (House, Arc<Table>) {
    let house = House::open(dir, Arc::new(RealDisk), Arc::new(KeyRing::in_memory())).unwrap();
    let table = house.store.create_table(events_table()).unwrap();
    put(&house, &table, &["a", "b"]);
    house.store.flush().unwrap();
    put(&house, &table, &["c", "d"]);
    (house, table)
}

fn ids(snapshot: &Snapshot) -> Vec<String> {
    let mut ids = Vec::new();
    for view in snapshot.views() {
        let rows = house::rows_of(&view.select(&Filter::All).unwrap());
        ids.extend(view.ids(&rows).unwrap());
    }
    ids.sort();
    ids
}

fn at(house: &House, table: &Arc<Table>, point: &Point) -> Result<Vec<String>, StoreError> {
    house.store.snapshot_at(point, &house.permit(table)).map(|snapshot| ids(&snapshot))
}

#[test]
fn what_happens_later_is_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (house, table) = filled(dir.path());
    let point = house.store.hold(&[table.id], FAR).unwrap();
    put(&house, &table, &["e", "a"]);
    house.store.append(table.id, house.seal(&table, delete(&["c"])), &[]).unwrap();
    house.store.flush().unwrap();
    house.store.compact().unwrap();
    assert_eq!(at(&house, &table, &point).unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(ids(&house.snapshot(&table)), ["a", "b", "d", "e"]);
    point.let_go();
    assert!(matches!(at(&house, &table, &point), Err(StoreError::PointGone)));
}

#[test]
fn a_point_ends_with_its_time_and_with_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let (house, table) = filled(dir.path());
    let [short, long] = [START + 1000, START + 5000]
        .map(|until| house.store.hold(&[table.id], Timestamp(until)).unwrap());
    house.clock.advance(1000);
    assert!(matches!(at(&house, &table, &short), Err(StoreError::PointGone)));
    assert!(at(&house, &table, &long).is_ok());
    // Also if nobody asks for it.
    house.clock.advance(4000);
    let other = house.store.hold(&[table.id], FAR).unwrap();
    assert!(!long.is_held());
    assert!(house.clock.now() < FAR);
    house.store.drop_table(table.id).unwrap();
    assert!(!other.is_held());
}

#[test]
fn erased_rows_leave_every_point_and_then_its_files_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (house, table) = filled(dir.path());
    let point = house.store.hold(&[table.id], FAR).unwrap();
    let empty = house.store.hold(&[], FAR).unwrap();
    let mut erased = RoaringTreemap::new();
    // Row numbers begin with 1: "b" in the segment, "c" in the buffer.
    erased.extend([2, 3]);
    house.store.append(table.id, house.seal(&table, delete(&["b", "c"])), &[]).unwrap();
    house.store.strike(table.id, &erased).unwrap();
    assert_eq!(at(&house, &table, &point).unwrap(), ["a", "d"]);
    house.store.expunge(table.id, &erased).unwrap();
    assert!(!point.is_held(), "it would keep a file open that holds them");
    assert!(empty.is_held(), "others go on");
}

#[test]
fn what_points_keep_alive_is_bounded_and_the_oldest_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Arc::new(KeyRing::in_memory());
    let office = Office::new(Arc::clone(&keys));
    let clock = Arc::new(model::ManualClock::at(Timestamp(START)));
    let as_clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let mut settings =
        StoreSettings::new(dir.path(), Arc::new(RealDisk), Arc::clone(&keys), as_clock);
    settings.background = false;
    settings.sealer = Arc::clone(&office.sealer);
    settings.held_memory_bytes = 3 * 400;
    settings.held_file_bytes = 0;
    let house = House { store: Store::open(settings).unwrap(), keys, clock, office };
    let table = house.store.create_table(events_table()).unwrap();
    let hold = || {
        house.clock.advance(1);
        house.store.hold(&[table.id], FAR).unwrap()
    };
    put(&house, &table, &["a", "b"]);
    let first = hold();
    assert!(hold().is_held() && first.is_held(), "live rows cost nothing");
    house.store.flush().unwrap();
    put(&house, &table, &["c", "d"]);
    let second = hold();
    house.store.flush().unwrap();
    let third = hold();
    assert!(!first.is_held(), "four rows in memory are one too many");
    assert!(second.is_held() && third.is_held());
    // The segments of the third are merged: no byte of replaced files may be kept.
    put(&house, &table, &["a", "b", "c", "d"]);
    house.store.flush().unwrap();
    house.store.compact().unwrap();
    drop(hold());
    assert!(!third.is_held());
}
