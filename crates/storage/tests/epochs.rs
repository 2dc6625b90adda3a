//! Pseudonyms move to another epoch while rows come, go and are read, and with the power cut at
//! every step.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Event, House, Office, START, batch, delete, events_table, ruled};
use model::{Class, Table, TableName, Timestamp, Value};
use protection::classify::Classifier;
use protection::keys::{Family, KeyRing};
use protection::{Pseudonyms, Renewal};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use storage::disk::{Disk, LossyDisk, RealDisk, Remains};
use storage::{Filter, StoreError};

const ADA: &str = "ada@example.org";
const TABLES: [&str; 2] = ["events", "users"];

/// What a table should hold: `n` by the id that was given.
type Expected = BTreeMap<String, i64>;

/// A table in which `kind` is a person, named so that its ids are persons or are not.
fn table(name: &str) -> Table {
    let mut table = ruled(&events_table(), "kind", Class::Personal);
    table.name = TableName::parse(name).unwrap();
    table
}

fn make_tables(house: &House) {
    for name in TABLES {
        house.store.create_table(table(name)).unwrap();
    }
}

/// The same rows in both tables.
fn put(house: &House, rows: &[(&str, i64)]) -> Result<(), StoreError> {
    let message = format!("mail to {ADA} bounced");
    for name in TABLES {
        let table = house.store.table(name).unwrap();
        let event = |&(id, n): &(&'static str, i64)| Event {
            id: Some(id),
            at: START + n,
            kind: id,
            message: &message,
            n,
        };
        let rows: Vec<(&'static str, i64)> =
            rows.iter().map(|&(id, n)| (&*Box::leak(id.to_owned().into_boxed_str()), n)).collect();
        let events: Vec<Event<'_>> = rows.iter().map(event).collect();
        house.store.append(table.id, house.seal(&table, batch(&events)), &[])?;
    }
    Ok(())
}

fn remove(house: &House, id: &str) -> Result<(), StoreError> {
    for name in TABLES {
        let table = house.store.table(name).unwrap();
        house.store.append(table.id, house.seal(&table, delete(&[id])), &[])?;
    }
    Ok(())
}

/// Every row of both tables; all pseudonyms must be of the epoch that the store says it has.
fn found(house: &House, keys: &KeyRing) -> [Expected; 2] {
    let epoch = house.store.epoch();
    let pseudonyms = Pseudonyms::of_epoch(keys, &Classifier::standard(), epoch).unwrap();
    let email = pseudonyms.of("email", ADA);
    TABLES.map(|name| {
        let table = house.store.table(name).unwrap();
        let mut rows = Expected::new();
        for (id, _, json) in house.documents(&table) {
            let document: serde_json::Value = serde_json::from_str(&json).unwrap();
            let kind = document["kind"].as_str().unwrap().to_owned();
            let given = ["a", "b", "c", "d", "e"]
                .into_iter()
                .find(|given| pseudonyms.of("user", given) == kind)
                .unwrap_or_else(|| panic!("{name}: a person of another epoch than {epoch}"));
            assert_eq!(document["message"], format!("mail to {email} bounced"), "{name}");
            let expected = if name == "users" { kind } else { given.to_owned() };
            assert_eq!(id, expected, "{name}");
            let n = document["n"].as_i64().unwrap();
            assert!(rows.insert(given.to_owned(), n).is_none(), "{name}: {given} is there twice");
        }
        // By the real values, as a question asks.
        let sealer = &house.office.sealer;
        let literal = sealer.pseudonyms().of("email", ADA);
        let words = Filter::Phrase {
            field: "message".to_owned(),
            terms: storage::analyze(&literal),
            slop: 0,
            last_is_prefix: false,
        };
        assert_eq!(house.count(&table, &words), rows.len() as u64, "{name}: by text");
        for given in rows.keys() {
            let person = Value::Str(sealer.pseudonyms().of("user", given));
            assert_eq!(house.count(&table, &Filter::Term("kind".to_owned(), person)), 1);
            let id = sealer.row_id(&table.name, given);
            assert_eq!(house.count(&table, &Filter::Ids(vec![id])), 1, "{name}: by id");
        }
        rows
    })
}

#[track_caller]
fn check(house: &House, keys: &KeyRing, expected: &[(&str, i64)]) {
    let expected: Expected = expected.iter().map(|&(id, n)| (id.to_owned(), n)).collect();
    assert_eq!(found(house, keys), [expected.clone(), expected]);
}

fn open(office: &Arc<Office>, dir: &Path) -> House {
    House::open_for(office, dir, Arc::new(RealDisk), false).unwrap()
}

fn ring_of_two() -> Arc<KeyRing> {
    let keys = Arc::new(KeyRing::in_memory());
    assert_eq!(keys.rotate(Family::Pseudonym, Timestamp(1)).unwrap(), 2);
    keys
}

fn of_old_epoch(keys: &KeyRing) -> Vec<String> {
    let old = Pseudonyms::of_epoch(keys, &Classifier::standard(), 1).unwrap();
    let mut texts = vec![old.of("email", ADA)];
    texts.extend(["a", "b", "c", "d", "e"].map(|given| old.of("user", given)));
    texts
}

fn begins(house: &House, renewal: &Renewal) -> bool {
    house.store.begin_next_epoch(renewal, &|| Ok(())).unwrap()
}

fn finish(house: &House) {
    house.store.forget_stale_log().unwrap();
    assert!(!house.store.holds_older_epochs().unwrap());
}

#[test]
fn all_tables_move_at_once_while_rows_come_and_go() {
    let dir = house::folder();
    let keys = ring_of_two();
    let office = Office::new(Arc::clone(&keys));
    let house = open(&office, dir.path());
    make_tables(&house);
    put(&house, &[("a", 1), ("b", 1)]).unwrap();
    house.store.flush().unwrap();
    put(&house, &[("b", 2), ("c", 1)]).unwrap();
    house.store.flush().unwrap();
    put(&house, &[("d", 1)]).unwrap();
    check(&house, &keys, &[("a", 1), ("b", 2), ("c", 1), ("d", 1)]);

    house.store.begin_epoch(2).unwrap();
    let renewal = Renewal::between(&keys, 1, 2).unwrap();
    let mut shadows = 0;
    while house.store.renew_one(&renewal).unwrap() {
        shadows += 1;
        check(&house, &keys, &[("a", 1), ("b", 2), ("c", 1), ("d", 1)]);
        let progress = house.store.epoch_progress().unwrap();
        assert_eq!((progress.epoch, progress.next), (1, Some(2)));
        assert!(progress.renewed > 0 && progress.renewed <= progress.rows, "{progress:?}");
    }
    assert_eq!(shadows, 4, "two segments of two tables");

    // Rows that are killed behind a shadow, and those that come.
    remove(&house, "a").unwrap();
    put(&house, &[("c", 2), ("e", 1)]).unwrap();
    let expected = [("b", 2), ("c", 2), ("d", 1), ("e", 1)];
    check(&house, &keys, &expected);
    let (before, sealed) = {
        let table = house.store.table("events").unwrap();
        let event = Event { id: Some("d"), at: START, kind: "d", message: "late", n: 9 };
        (house.snapshot(&table), house.seal(&table, batch(&[event])))
    };
    let events = house.store.table("events").unwrap();
    let until = Timestamp(START + 1_000_000_000);
    let point = house.store.hold(&[events.id], until).unwrap();
    assert!(house.store.snapshot_at(&point, &house.permit(&events)).is_ok());
    assert!(begins(&house, &renewal));
    let gone = house.store.snapshot_at(&point, &house.permit(&events));
    assert!(matches!(gone, Err(StoreError::PointGone)), "cursors end with their epoch");
    assert_eq!((house.store.epoch(), house.store.next_epoch().unwrap()), (2, None));
    check(&house, &keys, &expected);

    let table = house.store.table("events").unwrap();
    let refused = house.store.append(table.id, sealed, &[]).unwrap_err();
    assert!(matches!(refused, StoreError::EpochEnded), "{refused:?}");
    assert_eq!(before.epoch(), 1, "who began before goes on");
    let rows: u64 = before.views().iter().map(|view| view.count(&Filter::All).unwrap()).sum();
    assert_eq!(rows, 4);
    drop(before);

    finish(&house);
    let texts = of_old_epoch(&keys);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(house.store.files_with(&texts).unwrap(), [""; 0]);
    keys.destroy(Family::Pseudonym, 1).unwrap();
    put(&house, &[("a", 5)]).unwrap();
    let expected = [("a", 5), ("b", 2), ("c", 2), ("d", 1), ("e", 1)];
    check(&house, &keys, &expected);
    drop(house);
    let house = open(&office, dir.path());
    check(&house, &keys, &expected);
    house.store.compact().unwrap();
    check(&house, &keys, &expected);
}

#[test]
fn a_shadow_goes_with_its_segment() {
    let dir = house::folder();
    let keys = ring_of_two();
    let office = Office::new(Arc::clone(&keys));
    let house = open(&office, dir.path());
    make_tables(&house);
    put(&house, &[("a", 1), ("b", 1)]).unwrap();
    house.store.flush().unwrap();
    house.store.begin_epoch(2).unwrap();
    let renewal = Renewal::between(&keys, 1, 2).unwrap();
    while house.store.renew_one(&renewal).unwrap() {}
    // A person is erased: what would come to be read has to be without them, too.
    remove(&house, "a").unwrap();
    for name in TABLES {
        let table = house.store.table(name).unwrap();
        house.store.expunge(table.id, &(1..=2).chain(3..=4).collect()).unwrap();
    }
    house.store.forget_log().unwrap();
    for epoch in [1, 2] {
        let pseudonyms = Pseudonyms::of_epoch(&keys, &Classifier::standard(), epoch).unwrap();
        let gone = pseudonyms.of("user", "a");
        assert_eq!(house.store.files_with(&[&gone]).unwrap(), [""; 0], "epoch {epoch}");
    }
    // A ruling rewrites segments, whose shadows are made again.
    let table = house.store.table("events").unwrap();
    house.store.put_table(ruled(&table, "kind", Class::Secret)).unwrap();
    house.store.rewrite().unwrap();
    assert!(house.store.renew_one(&renewal).unwrap());
    assert!(begins(&house, &renewal));
    finish(&house);
    let tagged = Pseudonyms::of_epoch(&keys, &Classifier::standard(), 1).unwrap();
    let old_tag = tagged.tag("user", &tagged.of("user", "b"));
    assert_eq!(house.store.files_with(&[&old_tag]).unwrap(), [""; 0], "tags move as well");
    let rows = house.documents(&house.store.table("events").unwrap());
    assert!(rows.len() == 1 && rows[0].2.contains("secret-user:"), "{rows:?}");
}

#[test]
fn a_dropped_table_comes_along() {
    let dir = house::folder();
    let keys = ring_of_two();
    let office = Office::new(Arc::clone(&keys));
    let house = open(&office, dir.path());
    make_tables(&house);
    put(&house, &[("a", 1), ("b", 1)]).unwrap();
    house.store.flush().unwrap();
    house.store.begin_epoch(2).unwrap();
    let renewal = Renewal::between(&keys, 1, 2).unwrap();
    // One that is dropped when its shadow is there, one before.
    while house.store.renew_one(&renewal).unwrap() {}
    put(&house, &[("b", 2)]).unwrap();
    for name in TABLES {
        let table = house.store.table(name).unwrap();
        house.store.drop_table(table.id).unwrap();
    }
    while house.store.renew_one(&renewal).unwrap() {}
    assert!(begins(&house, &renewal));
    finish(&house);
    let records = house.store.catalog().segments().unwrap();
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| record.epoch == 2 && record.shadow_of.is_none()));
    let dead = records.iter().filter(|record| record.deletes.is_some()).count();
    assert_eq!(dead, 2, "a row that was replaced stays so");
}

#[test]
fn a_store_does_not_open_with_a_ring_that_lacks_its_epoch() {
    let dir = house::folder();
    let keys = ring_of_two();
    let office = Office::new(Arc::clone(&keys));
    let house = open(&office, dir.path());
    make_tables(&house);
    drop(house);
    keys.destroy(Family::Pseudonym, 1).unwrap();
    // The office has pseudonyms of the first epoch in memory; a new one has not.
    let opened = House::open_for(&Office::new(keys), dir.path(), Arc::new(RealDisk), false);
    let error = house::with_causes(&opened.err().unwrap());
    assert!(error.contains("no key for epoch 1 of pseudonyms"), "{error}");
}

/// Rows by acknowledgement, and what was under way when the power went.
struct Told {
    rows: Expected,
    in_doubt: Option<(&'static str, Option<i64>)>,
}

/// Runs a rotation with writes in between until the cut.
fn run(house: &House, renewal: &Renewal) -> Told {
    let mut told = Told { rows: Expected::new(), in_doubt: None };
    let mut work = || -> Result<(), StoreError> {
        let mut write = |id: &'static str, n: Option<i64>| -> Result<(), StoreError> {
            told.in_doubt = Some((id, n));
            match n {
                Some(n) => put(house, &[(id, n)])?,
                None => remove(house, id)?,
            }
            match n {
                Some(n) => drop(told.rows.insert(id.to_owned(), n)),
                None => drop(told.rows.remove(id)),
            }
            told.in_doubt = None;
            Ok(())
        };
        write("a", Some(1))?;
        write("b", Some(1))?;
        house.store.flush()?;
        write("b", Some(2))?;
        write("c", Some(1))?;
        house.store.flush()?;
        write("d", Some(1))?;
        house.store.begin_epoch(2)?;
        house.store.renew_one(renewal)?;
        write("a", None)?;
        while house.store.renew_one(renewal)? {}
        write("c", Some(2))?;
        house.store.begin_next_epoch(renewal, &|| Ok(()))?;
        write("e", Some(1))?;
        house.store.forget_stale_log()?;
        house.store.holds_older_epochs()?;
        write("b", None)
    };
    let _cut = work();
    told
}

#[test]
fn a_cut_at_any_step_leaves_one_epoch_and_the_next_start_goes_on() {
    const VARIANTS: [Remains; 3] = [Remains::Synced, Remains::Some(7), Remains::All];
    let keys = ring_of_two();
    let office = Office::new(Arc::clone(&keys));
    let renewal = Renewal::between(&keys, 1, 2).unwrap();
    let texts = of_old_epoch(&keys);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut operations = 0;
    let mut epochs = [0, 0];
    loop {
        let folder = house::folder();
        let disk = LossyDisk::new();
        let as_disk = Arc::new(disk.clone()) as Arc<dyn Disk>;
        let house = House::open_for(&office, folder.path(), as_disk, false).unwrap();
        make_tables(&house);
        disk.cut_after(operations);
        let told = run(&house, &renewal);
        let was_cut = disk.is_cut();
        let remains = VARIANTS[operations as usize % VARIANTS.len()];
        let left = disk.crash(remains);
        drop(house);

        let house = House::open_for(&office, folder.path(), Arc::new(left), false)
            .unwrap_or_else(|error| panic!("cut after {operations}: {error:?}"));
        epochs[house.store.epoch() as usize - 1] += 1;
        let check = |when: &str| {
            let mut with_doubt = told.rows.clone();
            if let Some((id, n)) = told.in_doubt {
                match n {
                    Some(n) => drop(with_doubt.insert(id.to_owned(), n)),
                    None => drop(with_doubt.remove(id)),
                }
            }
            for found in found(&house, &keys) {
                assert!(
                    found == told.rows || found == with_doubt,
                    "cut after {operations}, {when}: {found:?}, not {:?}",
                    told.rows
                );
            }
        };
        check("at once");
        // As the background does: what was begun is finished.
        if house.store.next_epoch().unwrap().is_some() {
            while house.store.renew_one(&renewal).unwrap() {}
            check("renewed");
            assert!(begins(&house, &renewal));
        }
        if house.store.epoch() == 2 {
            finish(&house);
            assert_eq!(house.store.files_with(&texts).unwrap(), [""; 0], "after {operations}");
        }
        check("finished");
        if !was_cut {
            break;
        }
        operations += 1;
    }
    assert!(operations > 100, "only {operations} steps were cut");
    assert!(epochs.iter().all(|&starts| starts > 10), "{epochs:?}");
}
