//! A byte that is not what was written, in any file of a store: named, never served.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Dice, Document, Event, House, Office, START, batch, delete, events_table};
use model::{Table, Value};
use protection::keys::KeyRing;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::disk::RealDisk;
use storage::{Filter, StoreError};

/// Everything that can be asked of the table.
#[derive(Debug, PartialEq)]
struct Answers {
    documents: Vec<Document>,
    counts: Vec<u64>,
    best: Vec<f32>,
}

fn ask(house: &House, table: &Arc<Table>) -> Result<Answers, StoreError> {
    let word = |at_least| Filter::Words {
        field: "message".into(),
        terms: vec!["hello".into(), "fleet".into()],
        at_least,
    };
    let phrase = Filter::Phrase {
        field: "message".into(),
        terms: vec![(0, "hello".into()), (1, "fleet".into())],
        slop: 0,
        last_is_prefix: false,
    };
    let filters = [
        Filter::Term("kind".into(), Value::Str("k3".into())),
        Filter::Prefix { field: "message".into(), prefix: "a".into(), ignore_case: false },
        word(1),
        phrase,
        Filter::Ids(vec!["a".into(), "b".into()]),
        Filter::Term("n".into(), Value::Long(77)),
    ];
    let snapshot = house.store.snapshot(&[table.id], &house.permit(table))?;
    let mut counts = Vec::new();
    for filter in &filters {
        for view in snapshot.views() {
            counts.push(view.count(filter)?);
        }
    }
    let best = snapshot.top_scored(&word(2), 10, 2)?.into_iter().map(|hit| hit.score).collect();
    Ok(Answers { documents: house.try_documents(table)?, counts, best })
}

fn open(office: &Arc<Office>, dir: &Path) -> Result<House, StoreError> {
    House::open_for(office, dir, Arc::new(RealDisk), false)
}

/// A store with segments of one and of many frames, deletes, and rows that only the log has.
fn fill(office: &Arc<Office>, dir: &Path) -> (Arc<Table>, Answers) {
    let house = open(office, dir).unwrap();
    let table = house.store.create_table(events_table()).unwrap();
    let append = |batch| house.store.append(table.id, house.seal(&table, batch), &[]).unwrap();
    let mut dice = Dice(1);
    let messages: Vec<String> = (0..800)
        .map(|n| {
            let words: Vec<String> =
                (0..12).map(|_| format!("w{:x}", dice.below(1 << 40))).collect();
            format!("hello {} {}", if n % 3 == 0 { "fleet" } else { "world" }, words.join(" "))
        })
        .collect();
    let event = |id, n: usize, message| Event {
        id,
        at: START + n as i64,
        kind: ["k1", "k2", "k3"][n % 3],
        message,
        n: n as i64,
    };
    let many: Vec<Event<'_>> =
        messages.iter().enumerate().map(|(n, message)| event(None, n, message)).collect();
    append(batch(&many));
    house.store.flush().unwrap();
    append(batch(&[event(Some("a"), 1, "hello fleet"), event(Some("b"), 2, "hello")]));
    house.store.flush().unwrap();
    append(batch(&[event(Some("a"), 3, "hello again")]));
    append(delete(&["b"]));
    house.store.flush().unwrap();
    for n in 4..9 {
        append(batch(&[event(Some("c"), n, "only in the log")]));
    }
    let answers = ask(&house, &table).unwrap();
    assert_eq!(answers.documents.len(), 802);
    (table, answers)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
}

/// Bytes of the frame that says that a log was closed properly.
const END_MARK: usize = 41;

/// The start and the end of a file, and places between.
fn offsets(length: u64) -> Vec<u64> {
    if length == 0 {
        return Vec::new();
    }
    let mut dice = Dice(length);
    let mut offsets: Vec<u64> = [0, 4, 6, 9, 40, 90, 120, 200]
        .into_iter()
        .chain([1, 10, 17, 40].map(|back| length.saturating_sub(back)))
        .chain((0..28).map(|_| dice.below(length)))
        .filter(|&offset| offset < length)
        .collect();
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

#[test]
fn a_flipped_byte_in_any_file_is_named_and_never_served() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let original = house::folder();
    let (table, answers) = fill(&office, original.path());
    let all = files(original.path());
    let of_kind =
        |ending: &str| all.iter().filter(|path| path.to_string_lossy().ends_with(ending)).count();
    assert!(of_kind(".segment") >= 3 && of_kind(".log") >= 1 && of_kind("catalog.db") == 1);
    for file in &all {
        let bytes = fs::read(file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (mut named, mut unharmed) = (0, 0);
        for offset in offsets(bytes.len() as u64) {
            let folder = house::folder();
            copy(original.path(), folder.path());
            let mut damaged = bytes.clone();
            damaged[offset as usize] ^= 1 << (offset % 8);
            let target = folder.path().join(file.strip_prefix(original.path()).unwrap());
            fs::write(&target, damaged).unwrap();
            let result = catch_unwind(AssertUnwindSafe(|| {
                open(&office, folder.path()).and_then(|house| ask(&house, &table))
            }));
            match result.unwrap_or_else(|_| panic!("byte {offset} of {name} makes a panic")) {
                Ok(found) => {
                    assert!(found == answers, "byte {offset} of {name}: another answer");
                    let end_mark =
                        name.ends_with(".log") && bytes.len() - offset as usize <= END_MARK;
                    unharmed += u32::from(!end_mark);
                }
                Err(error) => {
                    let text = house::with_causes(&error);
                    assert!(text.contains(&name), "byte {offset} of {name} is not named: {text}");
                    named += 1;
                }
            }
        }
        // Free room in the catalog, and what these questions do not read of a segment, may be
        // damaged unseen. Of a log every byte counts, but for the mark at its end: without it the
        // file is read as after a crash, and all rows are there.
        let most_named = match name.rsplit('.').next() {
            Some("log") => unharmed == 0,
            Some("segment") => unharmed * 4 <= named,
            _ => named > 0 || bytes.is_empty(),
        };
        assert!(most_named, "{name}: {named} flips named, {unharmed} unharmed");
    }
}

#[test]
fn a_missing_or_shortened_segment_is_named() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let original = house::folder();
    let (table, _) = fill(&office, original.path());
    for file in files(&original.path().join("segments")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let target = Path::new("segments").join(&name);
        for cut in [None, Some(0), Some(100), Some(fs::metadata(&file).unwrap().len() - 1)] {
            let folder = house::folder();
            copy(original.path(), folder.path());
            match cut {
                None => fs::remove_file(folder.path().join(&target)).unwrap(),
                Some(length) => {
                    let bytes = fs::read(&file).unwrap();
                    fs::write(folder.path().join(&target), &bytes[..length as usize]).unwrap();
                }
            }
            let result = open(&office, folder.path()).and_then(|house| ask(&house, &table));
            let text = house::with_causes(&result.unwrap_err());
            assert!(text.contains(&name), "{cut:?}: {text}");
            let left = files(original.path()).len() - usize::from(cut.is_none());
            assert_eq!(files(folder.path()).len(), left, "nothing is tidied away");
        }
    }
}
