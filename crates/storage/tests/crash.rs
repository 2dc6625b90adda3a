//! Cuts the power between every two steps of append, flush, commit, compaction, rewriting and the
//! making of tiles.
//!
//! Log and segments lie on a disk in memory that forgets what was not synced; the catalog is
//! SQLite on the real disk, whose commit is one step. After every cut the store is opened again
//! over what is left: every acknowledged row must be there once, in its newest version, and a
//! batch that was never acknowledged must be there as a whole or not at all.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Event, House, Office, START, Summing, batch, delete, events_table};
use model::{Batch, Class, Table};
use protection::keys::KeyRing;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::StoreError;
use storage::disk::{Disk, LossyDisk, Remains};

/// What the table should hold: the value of `n` and the version by the message that names a row.
type Expected = BTreeMap<String, (i64, u64)>;

/// One step of the workload.
#[derive(Clone)]
enum Step {
    /// Rows with generated ids, named by their message.
    Add(Vec<(&'static str, i64)>),
    /// Rows with given ids, named by the id.
    Put(Vec<(&'static str, i64)>),
    Delete(Vec<&'static str>),
    /// A person rules on the field `kind`, whose value is `K`.
    Rule(Class),
    Rewrite,
    Flush,
    Compact,
    /// Tiles are wanted under these keys, and made for the segments that there are.
    Tile(&'static [&'static str]),
}

fn workload() -> Vec<Step> {
    let mut steps = vec![
        Step::Tile(&["first"]),
        Step::Add(vec![("g0", 0), ("g1", 1)]),
        Step::Put(vec![("a", 1), ("b", 1), ("c", 1)]),
        Step::Flush,
        Step::Put(vec![("b", 2), ("d", 1), ("d", 2)]),
        Step::Delete(vec!["a"]),
        Step::Flush,
        Step::Put(vec![("a", 3)]),
        Step::Delete(vec!["d", "nobody"]),
    ];
    for round in [("e", "g2"), ("f", "g3"), ("g", "g4"), ("h", "g5"), ("i", "g6"), ("j", "g7")] {
        steps.push(Step::Put(vec![(round.0, 7), ("c", 5)]));
        steps.push(Step::Add(vec![(round.1, 7)]));
        steps.push(Step::Flush);
    }
    // Other tiles than before, for older segments.
    steps.push(Step::Tile(&["first", "second", "worthless"]));
    steps.push(Step::Put(vec![("e", 8)]));
    steps.push(Step::Compact);
    steps.push(Step::Put(vec![("e", 9)]));
    steps.push(Step::Flush);
    steps.push(Step::Delete(vec!["f", "g", "h"]));

    // A ruling over rows in segments, in the buffer and in the log; writes that come before and
    // after the rewrite; a second ruling before the first is carried out.
    steps.push(Step::Rule(Class::Personal));
    steps.push(Step::Put(vec![("b", 60), ("k", 60)]));
    steps.push(Step::Delete(vec!["e"]));
    steps.push(Step::Rewrite);
    steps.push(Step::Put(vec![("k", 61)]));
    steps.push(Step::Rule(Class::Special));
    steps.push(Step::Delete(vec!["i"]));
    steps.push(Step::Rule(Class::Secret));
    steps.push(Step::Flush);
    steps.push(Step::Delete(vec!["j"]));
    steps.push(Step::Rewrite);
    steps.push(Step::Compact);
    steps
}

fn to_batch(step: &Step) -> Option<Batch> {
    let event = |id, message, n| Event { id, at: START + n, kind: KIND, message, n };
    match step {
        Step::Add(rows) => {
            Some(batch(&rows.iter().map(|&(name, n)| event(None, name, n)).collect::<Vec<_>>()))
        }
        Step::Put(rows) => {
            Some(batch(&rows.iter().map(|&(id, n)| event(Some(id), id, n)).collect::<Vec<_>>()))
        }
        Step::Delete(ids) => Some(delete(ids)),
        Step::Rule(_) | Step::Rewrite | Step::Flush | Step::Compact | Step::Tile(_) => None,
    }
}

fn apply(expected: &mut Expected, step: &Step) {
    match step {
        Step::Add(rows) | Step::Put(rows) => {
            for &(name, n) in rows {
                let version = expected.get(name).map_or(1, |(_, version)| version + 1);
                expected.insert(name.to_owned(), (n, version));
            }
        }
        Step::Delete(ids) => ids.iter().for_each(|&id| {
            expected.remove(id);
        }),
        Step::Rule(_) | Step::Rewrite | Step::Flush | Step::Compact | Step::Tile(_) => {}
    }
}

fn carry_out(house: &House, step: &Step) -> Result<(), StoreError> {
    let table = house.store.table("events").unwrap();
    if let Some(batch) = to_batch(step) {
        return house.store.append(table.id, house.seal(&table, batch), &[]).map(drop);
    }
    match step {
        Step::Rule(class) => house.store.put_table(house::ruled(&table, "kind", *class)).map(drop),
        Step::Rewrite => house.store.rewrite(),
        Step::Flush => house.store.flush(),
        Step::Tile(keys) => {
            house.store.make_tiles_with(Summing::of(keys));
            house.store.tile()
        }
        _ => house.store.compact(),
    }
}

const ALL_TILES: &[&str] = &["first", "second"];

/// The value of every row's `kind`: it must not be seen once it is ruled on.
const KIND: &str = "kitchen";

/// Whether what is shown of `kind` is what its class lets be seen.
fn is_as_ruled(class: Option<Class>, shown: &serde_json::Value) -> bool {
    let is = |prefix: &str| shown.as_str().is_some_and(|text| text.starts_with(prefix));
    match class {
        Some(Class::Personal) => shown.is_null() || is("user:"),
        Some(Class::Secret) => shown.is_null() || is("secret-user:"),
        Some(Class::Special) => shown.is_null(),
        Some(Class::Open) | None => is(KIND),
    }
}

/// What the store holds, by message; panics if a row is there twice.
fn found(house: &House, table: &Arc<Table>) -> Expected {
    let mut found = Expected::new();
    let class = table.schema.find("kind").unwrap().1.class;
    // What tiles there are say what the rows say.
    for key in ALL_TILES {
        let _ = house.tiled(table, key);
    }
    for (_, version, json) in house.documents(table) {
        let document: serde_json::Value = serde_json::from_str(&json).unwrap();
        let name = document["message"].as_str().unwrap().to_owned();
        let n = document["n"].as_i64().unwrap();
        assert!(is_as_ruled(class, &document["kind"]), "{document}");
        assert!(found.insert(name.clone(), (n, version)).is_none(), "row {name} is there twice");
    }
    found
}

/// Runs the workload with a cut after `operations` and checks what is left. Returns false if the
/// workload ended before the cut.
fn cut_at(office: &Arc<Office>, operations: u64, remains: Remains) -> bool {
    let folder = house::folder();
    let dir: &Path = folder.path();
    let disk = LossyDisk::new();
    let as_disk = || Arc::new(disk.clone()) as Arc<dyn Disk>;
    let house = House::open_for(office, dir, as_disk(), false).unwrap();
    house.store.create_table(events_table()).unwrap();
    disk.cut_after(operations);
    let mut acknowledged = Expected::new();
    let mut in_doubt = None;
    for step in workload() {
        match carry_out(&house, &step) {
            Ok(()) => apply(&mut acknowledged, &step),
            Err(_) => {
                in_doubt = Some(step);
                break;
            }
        }
    }
    let was_cut = disk.is_cut();
    if !was_cut {
        let table = house.store.table("events").unwrap();
        assert!(house.tiled(&table, "second") > 0, "the workload makes tiles");
    }
    let left = disk.crash(remains);
    drop(house);

    let house = House::open_for(office, dir, Arc::new(left), false)
        .unwrap_or_else(|error| panic!("cut after {operations}, {remains:?}: {error:?}"));
    let table = house.store.table("events").unwrap();
    let after = found(&house, &table);
    let mut with_doubt = acknowledged.clone();
    if let Some(step) = &in_doubt {
        apply(&mut with_doubt, step);
    }
    assert!(
        after == acknowledged || after == with_doubt,
        "cut after {operations}, {remains:?}: {after:?}\nshould be {acknowledged:?}\nor {with_doubt:?}"
    );

    // The store goes on: it takes rows, flushes and merges.
    let mut expected = after;
    let tile = Step::Tile(ALL_TILES);
    for step in [tile, Step::Put(vec![("a", 50), ("new", 51)]), Step::Flush, Step::Compact] {
        carry_out(&house, &step).unwrap();
        apply(&mut expected, &step);
    }
    assert_eq!(found(&house, &table), expected, "cut after {operations}, {remains:?}, later");

    // And a rewrite that was cut goes on where it was: no file holds what was ruled away.
    house.store.rewrite().unwrap();
    assert_eq!(house.store.stale_rows(table.id).unwrap(), 0);
    assert_eq!(found(&house, &table), expected, "cut after {operations}, {remains:?}, rewritten");
    if table.schema.find("kind").unwrap().1.class != Some(Class::Open) {
        let left = house.store.files_with(&[KIND]).unwrap();
        assert_eq!(left, [""; 0], "cut after {operations}, {remains:?}");
    }
    was_cut
}

#[test]
fn a_power_cut_between_any_two_steps_loses_and_doubles_nothing() {
    const VARIANTS: [Remains; 3] = [Remains::Synced, Remains::Some(7), Remains::All];
    const THREADS: u64 = 2;
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let cut_from = |first: u64| {
        let mut operations = first;
        // The variants take turns, so that neighbouring cuts see different remains.
        while cut_at(&office, operations, VARIANTS[operations as usize % VARIANTS.len()]) {
            operations += THREADS;
            assert!(operations < 5_000, "the workload never ends");
        }
        operations
    };
    let operations = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| {
                scope.spawn({
                    let cut_from = &cut_from;
                    move || cut_from(first)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).min().unwrap()
    });
    assert!(operations > 60, "only {operations} steps were cut");
}
