//! Rotating the file key while the store lives, and with the power cut at every step.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Event, House, Office, START, Summing, batch, events_table};
use model::{Table, Timestamp};
use protection::keys::{Family, KeyRing};
use std::path::Path;
use std::sync::Arc;
use storage::disk::{Disk, LossyDisk, RealDisk, Remains};

fn put(house: &House, table: &Arc<Table>, ids: &[&str]) {
    let events: Vec<Event<'_>> = ids
        .iter()
        .zip(0..)
        .map(|(id, n)| Event { id: Some(id), at: START + n, kind: "k", message: id, n })
        .collect();
    house.store.append(table.id, house.seal(table, batch(&events)), &[]).unwrap();
}

/// Rows in two segments, in the log and in the buffer.
fn fill(house: &House) -> Arc<Table> {
    let table = house.store.create_table(events_table()).unwrap();
    house.store.make_tiles_with(Summing::of(&["sum"]));
    put(house, &table, &["a", "b"]);
    house.store.flush().unwrap();
    put(house, &table, &["c", "a"]);
    house.store.flush().unwrap();
    house.store.tile().unwrap();
    put(house, &table, &["d"]);
    table
}

#[test]
fn everything_moves_to_the_new_key_while_rows_come_and_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let house =
        House::open(dir.path(), Arc::new(RealDisk), Arc::new(KeyRing::in_memory())).unwrap();
    let table = fill(&house);
    let before = house.documents(&table);
    assert_eq!(house.store.move_to_newest_key().unwrap(), storage::Moved::default());
    let reading = house.snapshot(&table);

    assert_eq!(house.keys.rotate(Family::File, Timestamp(1)).unwrap(), 2);
    assert!(house.store.files_under_older_keys().unwrap() >= 3, "two segments and the log");
    assert_eq!(house.documents(&table), before, "no downtime");
    put(&house, &table, &["e"]);
    let moved = house.store.move_to_newest_key().unwrap();
    assert_eq!((moved.segments, moved.left), (2, 0));
    house.keys.destroy(Family::File, 1).unwrap();

    let rows: u64 =
        reading.views().iter().map(|view| view.count(&storage::Filter::All).unwrap()).sum();
    assert_eq!(rows, 4, "who began before goes on");
    put(&house, &table, &["f"]);
    let after = house.documents(&table);
    assert_eq!(after.len(), 6);
    let keys = Arc::clone(&house.keys);
    drop((reading, house));
    let house = House::open(dir.path(), Arc::new(RealDisk), keys).unwrap();
    assert_eq!(house.documents(&table), after);
    house.store.compact().unwrap();
    assert_eq!(house.documents(&table), after);
}

#[test]
fn a_cut_at_any_step_of_moving_loses_nothing_and_the_next_start_goes_on() {
    let mut operations = 0;
    loop {
        let folder = house::folder();
        let dir: &Path = folder.path();
        let disk = LossyDisk::new();
        let office = Office::new(Arc::new(KeyRing::in_memory()));
        let as_disk = || Arc::new(disk.clone()) as Arc<dyn Disk>;
        let house = House::open_for(&office, dir, as_disk(), false).unwrap();
        let table = fill(&house);
        let before = house.documents(&table);
        let keys = Arc::clone(&house.keys);
        keys.rotate(Family::File, Timestamp(1)).unwrap();
        disk.cut_after(operations);
        let moved = house.store.move_to_newest_key();
        let was_cut = disk.is_cut();
        assert!(was_cut || moved.unwrap().left == 0, "not cut after {operations}");
        let remains = if operations % 2 == 0 { Remains::Synced } else { Remains::All };
        let left = disk.crash(remains);
        drop(house);

        let house = House::open_for(&office, dir, Arc::new(left), false)
            .unwrap_or_else(|error| panic!("cut after {operations}, {remains:?}: {error:?}"));
        assert_eq!(house.documents(&table), before, "cut after {operations}, {remains:?}");
        // The start wrote a new file of the log at the latest with the next row.
        put(&house, &table, &["e"]);
        assert_eq!(house.store.move_to_newest_key().unwrap().left, 0, "cut after {operations}");
        keys.destroy(Family::File, 1).unwrap();
        assert_eq!(house.documents(&table).len(), 5);
        if !was_cut {
            break;
        }
        operations += 1;
    }
    assert!(operations > 10, "only {operations} steps were cut");
}
