//! The store against a map: random writes, flushes, merges, restarts and power cuts, one writer or
//! two, with readers beside them.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Dice, Event, House, Office, START, batch, delete, events_table};
use model::{Batch, GeneratedId, Op, Row, Table};
use protection::keys::KeyRing;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::Outcome;
use storage::disk::{Disk, LossyDisk, Remains};

/// `n` and version by `_id`.
type Model = BTreeMap<String, (i64, u64)>;

fn found(house: &House, table: &Arc<Table>) -> Model {
    let mut found = Model::new();
    for (id, version, json) in house.documents(table) {
        let document: serde_json::Value = serde_json::from_str(&json).unwrap();
        let n = document["n"].as_i64().unwrap();
        assert!(found.insert(id.clone(), (n, version)).is_none(), "{id} is there twice");
    }
    found
}

/// Some ids to write to: given ones, and now and then one that the store made.
fn some_ids(dice: &mut Dice, model: &Model) -> Vec<String> {
    let generated: Vec<&String> = model.keys().filter(|id| id.starts_with("_seq-")).collect();
    (0..1 + dice.below(4))
        .map(|_| match dice.below(5) {
            0 if !generated.is_empty() => {
                generated[dice.below(generated.len() as u64) as usize].clone()
            }
            _ => format!("id-{}", dice.below(10)),
        })
        .collect()
}

fn put(house: &House, table: &Arc<Table>, ids: &[Option<String>], n: i64, model: &mut Model) {
    let events: Vec<Event<'_>> = ids
        .iter()
        .map(|id| Event { id: id.as_deref(), at: START + n % 97, kind: "k", message: "m", n })
        .collect();
    let answers = house.store.append(table.id, house.seal(table, batch(&events)), &[]).unwrap();
    for (id, answer) in ids.iter().zip(answers) {
        let id = id.clone().unwrap_or_else(|| GeneratedId(answer.seq).to_string());
        let before = model.get(&id).map(|(_, version)| *version);
        let expected = if before.is_some() { Outcome::Updated } else { Outcome::Created };
        let version = before.unwrap_or(0) + 1;
        assert_eq!((answer.outcome, answer.version), (expected, version), "{id}");
        model.insert(id, (n, version));
    }
}

fn remove(house: &House, table: &Arc<Table>, ids: &[String], model: &mut Model) {
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let answers = house.store.append(table.id, house.seal(table, delete(&names)), &[]).unwrap();
    for (id, answer) in ids.iter().zip(answers) {
        let there = model.remove(id).is_some();
        assert_eq!(answer.outcome == Outcome::Deleted, there, "{id}");
    }
}

#[test]
fn random_work_leaves_what_a_map_would_hold() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let folder = house::folder();
        let mut disk = LossyDisk::new();
        let open = |disk: &LossyDisk| {
            let disk = Arc::new(disk.clone()) as Arc<dyn Disk>;
            House::open_for(&office, folder.path(), disk, false).unwrap()
        };
        let mut house = open(&disk);
        let table = house.store.create_table(events_table()).unwrap();
        let mut model = Model::new();
        for step in 0..250 {
            match dice.below(20) {
                0..=7 => {
                    let ids = some_ids(&mut dice, &model).into_iter().map(Some).collect::<Vec<_>>();
                    put(&house, &table, &ids, step, &mut model);
                }
                8..=10 => put(&house, &table, &[None, None], step, &mut model),
                11..=12 => {
                    let ids = some_ids(&mut dice, &model);
                    remove(&house, &table, &ids, &mut model);
                }
                13..=15 => house.store.flush().unwrap(),
                16 => house.store.compact().unwrap(),
                17 => {
                    drop(house);
                    house = open(&disk);
                }
                18 => {
                    let left = disk.crash(Remains::Some(seed * 1000 + step as u64));
                    drop(house);
                    disk = left;
                    house = open(&disk);
                }
                // Reading indexes the buffer, which later steps then have to keep right.
                _ => assert_eq!(found(&house, &table), model, "seed {seed}, step {step}"),
            }
        }
        assert_eq!(found(&house, &table), model, "seed {seed}, at the end");
    }
}

#[test]
fn readers_see_each_write_as_a_whole_while_two_writers_race() {
    const BATCHES: i64 = 40;
    let ids: Vec<String> = (0..5).map(|id| format!("id-{id}")).collect();
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let folder = house::folder();
    let disk = LossyDisk::new();
    let as_disk = |disk: &LossyDisk| Arc::new(disk.clone()) as Arc<dyn Disk>;
    let house = House::open_for(&office, folder.path(), as_disk(&disk), false).unwrap();
    let table = house.store.create_table(events_table()).unwrap();
    let write = |n: i64| {
        let events: Vec<Event<'_>> = ids
            .iter()
            .map(|id| Event { id: Some(id), at: START + n, kind: "k", message: "m", n })
            .collect();
        house.store.append(table.id, house.seal(&table, batch(&events)), &[]).unwrap();
    };
    write(0);
    let writing = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let writers: Vec<_> = [1, 2]
            .map(|writer| {
                let write = &write;
                scope.spawn(move || (0..BATCHES).for_each(|n| write(writer * 1000 + n)))
            })
            .into_iter()
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let mut version_before = 0;
                while writing.load(Ordering::Acquire) {
                    let seen = found(&house, &table);
                    assert_eq!(seen.len(), ids.len(), "a row is missing or there twice");
                    let values: BTreeSet<(i64, u64)> = seen.values().copied().collect();
                    assert_eq!(values.len(), 1, "parts of two writes: {values:?}");
                    let version = seen["id-0"].1;
                    assert!(version >= version_before, "an older write came back");
                    version_before = version;
                }
            });
        }
        scope.spawn(|| {
            while writing.load(Ordering::Acquire) {
                house.store.flush().unwrap();
                house.store.compact().unwrap();
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        writing.store(false, Ordering::Release);
    });
    let last = found(&house, &table);
    assert!(last.values().all(|&(_, version)| version == 1 + 2 * BATCHES as u64), "{last:?}");
    let left = disk.crash(Remains::Synced);
    drop(house);
    let house = House::open_for(&office, folder.path(), as_disk(&left), false).unwrap();
    assert_eq!(found(&house, &table), last, "after a power cut");
}

#[test]
fn two_that_create_the_same_id_at_once_make_one_row() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let folder = house::folder();
    let disk = Arc::new(LossyDisk::new());
    let house = House::open_for(&office, folder.path(), disk, false).unwrap();
    let table = house.store.create_table(events_table()).unwrap();
    let rows =
        (0..20).map(|n| Row { id: Some(format!("id-{n}").into()), op: Op::Put, shape: None });
    let rows: Vec<Row> = rows.collect();
    let create = || {
        let mut outcomes = Vec::new();
        for row in &rows {
            let one = Batch { rows: vec![row.clone()], ..Batch::default() };
            let expects = [storage::Expect::Absent];
            let answer = house.store.append(table.id, house.seal(&table, one), &expects).unwrap();
            outcomes.push(answer[0].outcome);
        }
        outcomes
    };
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(create);
        (create(), other.join().unwrap())
    });
    for pair in one.into_iter().zip(other) {
        assert!(
            matches!(
                pair,
                (Outcome::Created, Outcome::Conflict) | (Outcome::Conflict, Outcome::Created)
            ),
            "{pair:?}"
        );
    }
    assert_eq!(house.documents(&table).len(), 20);
}
