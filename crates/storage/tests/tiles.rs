//! Tiles lie beside their segment for as long as they stand for its rows, and no longer.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Event, House, Office, START, Summing, batch, delete, events_table};
use model::{Class, Table};
use protection::keys::KeyRing;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::disk::RealDisk;

fn open(office: &Arc<Office>, dir: &Path) -> House {
    House::open_for(office, dir, Arc::new(RealDisk), false).unwrap()
}

fn put(house: &House, table: &Arc<Table>, ids: &[&str]) {
    let event = |(n, &id)| Event { id: Some(id), at: START + n, kind: "k", message: id, n: n + 1 };
    let events: Vec<Event<'_>> = (0..).zip(ids).map(event).collect();
    house.store.append(table.id, house.seal(table, batch(&events)), &[]).unwrap();
}

fn tile_files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("segments")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "tiles")).collect();
    files.sort();
    files
}

#[test]
fn tiles_are_made_with_merges_and_later_for_what_lacks_them() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let folder = house::folder();
    let house = open(&office, folder.path());
    let table = house.store.create_table(events_table()).unwrap();
    put(&house, &table, &["a", "b"]);
    house.store.flush().unwrap();
    assert_eq!(tile_files(folder.path()).len(), 0, "nobody declared anything");

    house.store.make_tiles_with(Summing::of(&["sum", "worthless"]));
    put(&house, &table, &["c", "d"]);
    house.store.flush().unwrap();
    assert_eq!(house.tiled(&table, "sum"), 0, "a merge may be about to take it");
    house.store.tile().unwrap();
    assert_eq!(house.tiled(&table, "sum"), 2, "of the older one, too");
    assert_eq!(house.tiled(&table, "worthless"), 0);

    // Declared anew: what is not wanted any more goes, what stays is not made again.
    house.store.make_tiles_with(Summing::of(&["other", "sum"]));
    house.store.tile().unwrap();
    assert_eq!((house.tiled(&table, "sum"), house.tiled(&table, "other")), (2, 2));
    drop(house);
    let house = open(&office, folder.path());
    assert_eq!((house.tiled(&table, "sum"), house.tiled(&table, "other")), (2, 2));
}

#[test]
fn deleted_rows_a_ruling_and_a_merge_make_old_tiles_count_no_more() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let folder = house::folder();
    let house = open(&office, folder.path());
    let table = house.store.create_table(events_table()).unwrap();
    house.store.make_tiles_with(Summing::of(&["sum"]));
    put(&house, &table, &["a", "b", "c"]);
    house.store.flush().unwrap();
    put(&house, &table, &["d"]);
    house.store.flush().unwrap();
    house.store.tile().unwrap();
    assert_eq!(house.tiled(&table, "sum"), 2);

    house.store.append(table.id, house.seal(&table, delete(&["a", "b"])), &[]).unwrap();
    assert_eq!(house.tiled(&table, "sum"), 1, "not of the segment with deleted rows");
    house.store.flush().unwrap();
    house.store.compact().unwrap();
    assert_eq!(house.tiled(&table, "sum"), 2, "written anew without them");

    let table = house.store.put_table(house::ruled(&table, "kind", Class::Personal)).unwrap();
    assert_eq!(house.tiled(&table, "sum"), 0, "before the rows are rewritten");
    house.store.rewrite().unwrap();
    assert_eq!(house.tiled(&table, "sum"), 2);
    assert_eq!(tile_files(folder.path()).len(), 2, "tiles go with their segments");
}

#[test]
fn damaged_cut_and_swapped_tiles_are_not_served_and_made_anew() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let folder = house::folder();
    let house = open(&office, folder.path());
    let table = house.store.create_table(events_table()).unwrap();
    house.store.make_tiles_with(Summing::of(&["sum"]));
    for ids in [&["a", "b"], &["c", "d"]] {
        put(&house, &table, ids);
        house.store.flush().unwrap();
    }
    house.store.tile().unwrap();
    let documents = house.documents(&table);
    drop(house);
    let [first, second] = tile_files(folder.path()).try_into().unwrap();
    let whole = fs::read(&first).unwrap();
    let mut damages: Vec<Vec<u8>> = [0, 4, 20, 90, whole.len() / 2, whole.len() - 1]
        .map(|at| {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            damaged
        })
        .to_vec();
    damages.push(whole[..whole.len() - 1].to_vec());
    damages.push(Vec::new());
    damages.push(fs::read(&second).unwrap());
    for damaged in damages {
        fs::write(&first, &damaged).unwrap();
        let house = open(&office, folder.path());
        assert_eq!(house.tiled(&table, "sum"), 1, "only of the other segment");
        assert_eq!(house.documents(&table), documents);
        house.store.make_tiles_with(Summing::of(&["sum"]));
        house.store.tile().unwrap();
        assert_eq!(house.tiled(&table, "sum"), 2, "made anew");
    }
    // What belongs to no segment is removed.
    fs::write(folder.path().join("segments/00000000000000ff.tiles"), b"left over").unwrap();
    let beside = first.with_extension("new.tiles");
    fs::write(&beside, b"torn").unwrap();
    let house = open(&office, folder.path());
    assert_eq!(tile_files(folder.path()).len(), 2);
    assert_eq!(house.tiled(&table, "sum"), 2);
}

/// Waits until as many views have a tile.
fn wait_for_tiles(house: &House, table: &Arc<Table>, wanted: usize) {
    let start = Instant::now();
    while house.tiled(table, "sum") < wanted {
        assert!(start.elapsed() < Duration::from_secs(60), "no tiles were made");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_background_leaves_what_was_flushed_alone_while_rows_pour_in() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let folder = house::folder();
    let busy_for = |quiet: Duration| {
        House::open_with(&office, folder.path(), Arc::new(RealDisk), move |settings| {
            settings.background = true;
            settings.tile_after = quiet;
        })
        .unwrap()
    };
    let house = busy_for(Duration::from_secs(3_600));
    let table = house.store.create_table(events_table()).unwrap();
    house.store.make_tiles_with(Summing::of(&["sum"]));
    // Eight of them become one, which has tiles from the start.
    for n in 0..8 {
        put(&house, &table, &[&format!("row {n}")]);
        house.store.flush().unwrap();
    }
    wait_for_tiles(&house, &table, 1);
    put(&house, &table, &["late"]);
    house.store.flush().unwrap();
    // The background looks five times a second.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(house.tiled(&table, "sum"), 1, "the merged one alone");
    drop(house);

    // Nobody flushes any more: each of them gets its own.
    let house = busy_for(Duration::ZERO);
    let views = house.snapshot(&table).views().len();
    assert_eq!(views, 2);
    house.store.make_tiles_with(Summing::of(&["sum"]));
    wait_for_tiles(&house, &table, views);
}
