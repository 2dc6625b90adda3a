//! Bad days: a full disk, a dropped table, rows past their time.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Event, House, Office, START, batch, events_table};
use model::Table;
use protection::keys::KeyRing;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::StoreError;
use storage::disk::{Disk, LossyDisk, Remains};

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;

fn office() -> Arc<Office> {
    Office::new(Arc::new(KeyRing::in_memory()))
}

fn open(office: &Arc<Office>, dir: &Path, disk: &LossyDisk) -> House {
    House::open_for(office, dir, Arc::new(disk.clone()), false).unwrap()
}

fn put(house: &House, table: &Arc<Table>, id: &str, at: i64, n: i64) -> Result<(), StoreError> {
    let event = Event { id: Some(id), at, kind: "k", message: "a message of some length", n };
    house.store.append(table.id, house.seal(table, batch(&[event])), &[]).map(drop)
}

fn ids(house: &House, table: &Arc<Table>) -> Vec<String> {
    house.documents(table).into_iter().map(|(id, ..)| id).collect()
}

fn segment_files(disk: &LossyDisk, dir: &Path) -> usize {
    disk.list(&dir.join("segments")).unwrap().len()
}

#[test]
fn a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room() {
    let office = office();
    for free in [0, 50, 500, 1_500, 3_000] {
        let folder = house::folder();
        let disk = LossyDisk::new();
        let house = open(&office, folder.path(), &disk);
        let table = house.store.create_table(events_table()).unwrap();
        for round in 0..7 {
            put(&house, &table, &format!("old-{round}"), START, round).unwrap();
            house.store.flush().unwrap();
        }
        let mut acknowledged: Vec<String> = (0..7).map(|round| format!("old-{round}")).collect();
        disk.set_free(Some(free));
        let refused = (0..1000).find_map(|n| {
            let id = format!("new-{n:04}");
            match put(&house, &table, &id, START, n) {
                Ok(()) => acknowledged.push(id),
                Err(error) => return Some((id, error)),
            }
            None
        });
        let (refused, error) = refused.unwrap();
        assert!(error.is_disk_full(), "{}", house::with_causes(&error));
        acknowledged.sort();
        assert_eq!(ids(&house, &table), acknowledged, "{free} bytes free");

        let files = segment_files(&disk, folder.path());
        if acknowledged.len() > 7 {
            let error = house.store.flush().unwrap_err();
            assert!(error.is_disk_full(), "{}", house::with_causes(&error));
        }
        assert_eq!(segment_files(&disk, folder.path()), files, "half a segment is left");
        assert_eq!(ids(&house, &table), acknowledged, "{free} bytes free, after the flush");

        disk.set_free(None);
        put(&house, &table, &refused, START, 1).unwrap();
        house.store.flush().unwrap();
        acknowledged.push(refused);
        acknowledged.sort();

        // A merge that finds no room leaves the old segments.
        disk.set_free(Some(free));
        let files = segment_files(&disk, folder.path());
        let error = house.store.compact().unwrap_err();
        assert!(error.is_disk_full(), "{}", house::with_causes(&error));
        assert_eq!(segment_files(&disk, folder.path()), files, "half a merge is left");
        assert_eq!(ids(&house, &table), acknowledged);
        disk.set_free(None);
        house.store.compact().unwrap();
        assert_eq!(house.store.stats(table.id).unwrap().segments, 1);

        let left = disk.crash(Remains::Synced);
        drop(house);
        let house = open(&office, folder.path(), &left);
        assert_eq!(ids(&house, &table), acknowledged, "{free} bytes free, after a power cut");
    }
}

#[test]
fn a_failed_sync_is_told_and_the_rows_do_not_come_back() {
    let office = office();
    let folder = house::folder();
    let disk = LossyDisk::new();
    let house = open(&office, folder.path(), &disk);
    let table = house.store.create_table(events_table()).unwrap();
    put(&house, &table, "a", START, 1).unwrap();
    disk.fail_syncs(1);
    let error = put(&house, &table, "a", START, 2).unwrap_err();
    assert!(matches!(error, StoreError::Log(_)), "{error}");
    put(&house, &table, "b", START, 3).unwrap();
    let before = house.documents(&table);
    assert_eq!(ids(&house, &table), ["a", "b"]);
    assert!(before[0].2.contains("\"n\":1"), "the refused write is not seen");
    let left = disk.crash(Remains::All);
    drop(house);
    let house = open(&office, folder.path(), &left);
    assert_eq!(house.documents(&table), before, "after a power cut");
}

#[test]
fn a_dropped_table_stays_seven_days_and_then_its_files_are_gone() {
    let office = office();
    let folder = house::folder();
    let disk = LossyDisk::new();
    let background =
        || House::open_for(&office, folder.path(), Arc::new(disk.clone()), true).unwrap();
    let house = background();
    let table = house.store.create_table(events_table()).unwrap();
    put(&house, &table, "a", START, 1).unwrap();
    house.store.drop_table(table.id).unwrap();
    assert!(matches!(put(&house, &table, "b", START, 1), Err(StoreError::NoTable)));
    assert!(matches!(house.store.drop_table(table.id), Err(StoreError::NoTable)));
    assert!(matches!(house.store.put_table((*table).clone()), Err(StoreError::NoTable)));
    assert_eq!(segment_files(&disk, folder.path()), 1, "rows of the buffer stay restorable too");
    let again = house.store.create_table(events_table()).unwrap();
    assert_ne!(again.id, table.id, "the name is free, the id is not");
    put(&house, &again, "c", START, 1).unwrap();
    house.store.flush().unwrap();

    house.clock.advance(6 * DAY);
    drop(house);
    let house = background();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(segment_files(&disk, folder.path()), 2, "six days later");
    house.clock.advance(DAY + 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while segment_files(&disk, folder.path()) > 1 {
        assert!(Instant::now() < deadline, "the dropped table was not purged");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(house.store.catalog().dropped_tables().unwrap().is_empty());
    assert_eq!(ids(&house, &again), ["c"]);
    drop(house);
    let house = open(&office, folder.path(), &disk);
    assert_eq!(ids(&house, &again), ["c"]);
    assert!(house.store.table_by_id(table.id).is_none());
}

#[test]
fn rows_past_their_time_vanish() {
    let office = office();
    let folder = house::folder();
    let disk = LossyDisk::new();
    let house = open(&office, folder.path(), &disk);
    let mut table = events_table();
    table.retention_ms = Some(DAY);
    let table = house.store.create_table(table).unwrap();
    put(&house, &table, "ancient", START - 3 * DAY, 1).unwrap();
    house.store.flush().unwrap();
    put(&house, &table, "old", START - DAY - 1, 1).unwrap();
    put(&house, &table, "young", START - DAY, 1).unwrap();
    put(&house, &table, "new", START, 1).unwrap();
    house.store.flush().unwrap();
    // A row that was old and is written anew counts by its new time.
    put(&house, &table, "ancient", START, 2).unwrap();
    house.store.compact().unwrap();
    assert_eq!(ids(&house, &table), ["ancient", "new", "young"]);
    house.store.flush().unwrap();
    house.store.compact().unwrap();
    assert_eq!(segment_files(&disk, folder.path()), 2, "a segment of old rows goes as a whole");
    house.clock.advance(HOUR);
    house.store.compact().unwrap();
    assert_eq!(ids(&house, &table), ["ancient", "new"]);
    let before = house.documents(&table);
    assert_eq!(before[0].1, 2, "its version goes on");
    let left = disk.crash(Remains::Synced);
    drop(house);
    let house = open(&office, folder.path(), &left);
    assert_eq!(house.documents(&table), before, "after a power cut");
    house.clock.advance(2 * DAY);
    house.store.compact().unwrap();
    assert_eq!(ids(&house, &table), Vec::<String>::new());
    assert_eq!(segment_files(&left, folder.path()), 0);
}
