//! More than one folder, and more than one pair of eyes.

use super::merkle::{is_consistent, is_included};
use super::tests::{House, event, house};
use super::*;
use crate::audit::frame::{Entry, scan};
use model::{ManualClock, Timestamp};
use std::time::Duration;

impl House {
    fn copy(&self) -> PathBuf {
        self.root.path().join("elsewhere").join("copy")
    }

    fn open_both(&self, clock: &Arc<ManualClock>) -> AuditLog {
        let clock = Arc::<ManualClock>::clone(clock);
        let ring = Arc::clone(&self.ring);
        AuditLog::open_with(&self.dir(), &[self.copy()], ring, clock, self.options.clone()).unwrap()
    }

    fn write_both(&self, records: u64) {
        let log = self.open_both(&clock());
        for _ in 0..records {
            log.append_durable(&event("ada")).unwrap();
        }
    }

    /// Both folders hold the same bytes, and each is whole.
    #[track_caller]
    fn check_both(&self, records: u64) {
        for dir in [self.dir(), self.copy()] {
            let found = verify(&dir, &self.dir(), &self.ring, &[]).unwrap();
            assert_eq!(found.problem, None, "{}", dir.display());
            assert_eq!(found.records, records, "{}", dir.display());
        }
        for (number, path) in files_of(&self.dir()).unwrap() {
            let copy = fs::read(path_of(&self.copy(), number)).unwrap();
            assert!(fs::read(path).unwrap() == copy, "file {number}");
        }
    }

    fn kinds(&self) -> Vec<EventKind> {
        let all = read(&self.dir(), &self.ring, &AuditFilter::default()).unwrap();
        all.iter().rev().map(|record| record.event.kind).collect()
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)))
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited for: {what}");
}

#[test]
fn two_folders_hold_the_same() {
    let house = house();
    house.write_both(3);
    house.write_both(2);
    house.check_both(5);
    // One that is named later gets everything from the start.
    fs::remove_dir_all(house.copy()).unwrap();
    house.write_both(1);
    house.check_both(8);
    assert_eq!(house.kinds().last(), Some(&EventKind::Write));
    assert!(house.kinds().contains(&EventKind::SinkBack), "and that is recorded");
}

#[test]
fn one_full_disk_is_named_and_stops_nothing_two_do() {
    let house = house();
    let log = house.open_both(&clock());
    log.append_durable(&event("a")).unwrap();
    *house.options.full.lock() = vec![house.dir()];
    log.append_durable(&event("b")).unwrap();
    let own = log.sinks().remove(0);
    assert!(!own.is_complete && own.trouble.is_some(), "{own:?}");
    assert_eq!(log.read(&AuditFilter::default()).unwrap().len(), 2, "read from the other one");
    *house.options.full.lock() = vec![house.dir(), house.copy()];
    assert!(matches!(log.append_durable(&event("c")), Err(AuditError::NotWritten(_))));
    *house.options.full.lock() = vec![house.dir()];
    log.append_durable(&event("d")).unwrap();
    house.options.full.lock().clear();
    wait_until("the first folder is complete", || log.sinks()[0].is_complete);
    // Now the other one alone takes what comes.
    *house.options.full.lock() = vec![house.copy()];
    log.append_durable(&event("e")).unwrap();
    house.options.full.lock().clear();
    wait_until("the second folder is complete", || log.sinks()[1].is_complete);
    log.append_durable(&event("f")).unwrap();
    drop(log);
    let kinds = house.kinds();
    let count = |kind| kinds.iter().filter(|found| **found == kind).count();
    assert_eq!(count(EventKind::Write), 5, "{kinds:?}");
    assert_eq!((count(EventKind::SinkFailed), count(EventKind::SinkBack)), (2, 2), "{kinds:?}");
    house.check_both(kinds.len() as u64);
}

#[cfg(unix)]
#[test]
fn the_same_folder_under_another_name_is_no_copy() {
    let house = house();
    fs::create_dir_all(house.dir()).unwrap();
    fs::create_dir(house.root.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(house.dir(), house.copy()).unwrap();
    let log = house.open_both(&clock());
    log.append_durable(&event("a")).unwrap();
    log.append_durable(&event("b")).unwrap();
    let copy = log.sinks().remove(1);
    assert!(!copy.is_complete && copy.trouble.is_some(), "{copy:?}");
    drop(log);
    assert!(house.verify().is_intact());
}

#[test]
fn folders_come_and_go_while_it_is_open() {
    let house = house();
    let log = house.try_open().unwrap();
    for _ in 0..5 {
        log.append_durable(&event("ada")).unwrap();
    }
    log.set_copies(vec![house.copy()]);
    wait_until("the copy is complete", || log.sinks().get(1).is_some_and(|sink| sink.is_complete));
    log.append_durable(&event("ada")).unwrap();
    log.set_copies(Vec::new());
    wait_until("the copy is let go", || log.sinks().len() == 1);
    let kept = fs::read(path_of(&house.copy(), 1)).unwrap();
    log.append_durable(&event("ada")).unwrap();
    drop(log);
    assert_eq!(fs::read(path_of(&house.copy(), 1)).unwrap(), kept);
    assert!(house.kinds().contains(&EventKind::SinkRemoved));
    house.write_both(0);
    house.check_both(house.kinds().len() as u64);
}

#[test]
fn a_record_that_lost_its_end_gets_it_back_from_its_copy() {
    let house = house();
    house.write_both(3);
    fs::remove_dir_all(house.dir()).unwrap();
    house.write_both(1);
    assert!(house.kinds().contains(&EventKind::SinkBack));
    house.check_both(house.kinds().len() as u64);
}

#[test]
fn another_history_is_named_wherever_it_is_put() {
    let house = house();
    house.write_both(3);
    // Somebody with the keys writes the whole record again, with another event in it.
    let other = House { ring: Arc::clone(&house.ring), ..self::house() };
    {
        let log = other.try_open().unwrap();
        for name in ["ada", "somebody else", "ada"] {
            log.append_durable(&event(name)).unwrap();
        }
    }
    let (own, copy) = (fs::read(house.file(1)).unwrap(), path_of(&house.copy(), 1));
    fs::copy(other.file(1), &copy).unwrap();
    let problem = verify(&house.copy(), &house.dir(), &house.ring, &[]).unwrap().problem.unwrap();
    assert_eq!(problem.kind, ProblemKind::Forked);
    {
        // It is not written on, not repaired and not served: evidence.
        let log = house.open_both(&clock());
        log.append_durable(&event("ada")).unwrap();
        let status = log.sinks().remove(1);
        assert!(!status.is_complete && status.trouble.is_some(), "{status:?}");
        assert_eq!(log.read(&AuditFilter::default()).unwrap().len(), 5);
    }
    assert_eq!(fs::read(&copy).unwrap(), fs::read(other.file(1)).unwrap());
    assert!(house.kinds().contains(&EventKind::SinkFailed));

    // And with the head of the other one too nothing in the folder shows it, but a checkpoint
    // that was taken elsewhere does.
    let kept = head::read(&house.dir(), &house.ring).unwrap().unwrap();
    fs::remove_file(house.file(2)).unwrap();
    fs::copy(other.file(1), house.file(1)).unwrap();
    fs::copy(head::path_of(&other.dir()), head::path_of(&house.dir())).unwrap();
    assert!(house.verify().is_intact());
    let expected = [Expected::from(&kept)];
    let found = verify(&house.dir(), &house.dir(), &house.ring, &expected).unwrap();
    assert_eq!(found.problem.map(|problem| problem.kind), Some(ProblemKind::Truncated));
    let early = scan_roots(&own, &house);
    let found = verify(&house.dir(), &house.dir(), &house.ring, &[early]).unwrap();
    assert_eq!(found.problem.map(|problem| problem.kind), Some(ProblemKind::Forked));
}

/// What the file of bytes says about its first two records.
fn scan_roots(bytes: &[u8], house: &House) -> Expected {
    let path = house.root.path().join("kept.audit");
    fs::write(&path, bytes).unwrap();
    let mut expected = None;
    scan(&path, &house.ring, &mut |entry, state| {
        if matches!(entry, Entry::Record { number: 2, .. }) {
            expected = Some(Expected { size: 2, root: state.tree.root() });
        }
    })
    .unwrap();
    expected.unwrap()
}

#[test]
fn a_clock_set_back_is_recorded_and_named() {
    let house = house();
    let clock = clock();
    let log = house.open_both(&clock);
    log.append_durable(&event("a")).unwrap();
    clock.advance(-900);
    log.append_durable(&event("b")).unwrap();
    clock.advance(-3_600_000);
    log.append_durable(&event("c")).unwrap();
    log.append_durable(&event("d")).unwrap();
    clock.advance(7_200_000);
    log.append_durable(&event("e")).unwrap();
    drop(log);
    let kinds = house.kinds();
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::ClockBack).count(), 1, "{kinds:?}");
    let found = house.verify();
    assert!(found.is_intact());
    assert_eq!(found.clock_steps.len(), 1, "{:?}", found.clock_steps);
    assert_eq!(found.clock_steps[0].record, RecordId(3));
}

#[test]
fn proofs_and_witnesses() {
    let house = house();
    let (name, seed) = ("witness.example", [7; 32]);
    let witness = |log: &AuditLog| {
        let (origin, key) = parse_verifier(&log.verifier()).unwrap();
        Witness::new(name, &seed, &origin, key)
    };
    let now = Timestamp(1_700_000_100_000);
    let log = house.open_both(&clock());
    for _ in 0..5 {
        log.append_durable(&event("ada")).unwrap();
    }
    log.close();
    let first = log.checkpoint_note().unwrap();
    let cosigned = witness(&log).cosign(None, &first, &[], now).unwrap();
    let key = witness(&log).verifying_key();
    assert_eq!(cosigned_at(&cosigned, name, &key), Some(now));
    let last = witness(&log).read(&cosigned).unwrap();
    drop(log);

    let log = house.open_both(&clock());
    for _ in 0..8 {
        log.append_durable(&event("bob")).unwrap();
    }
    log.close();
    let new = log.checkpoint().unwrap();
    let note = log.checkpoint_note().unwrap();
    let proof = log.consistency_proof(last.size, new.size).unwrap();
    assert!(is_consistent((last.size, &last.root), (new.size, &new.root), &proof));
    for record in 1..=new.size {
        let (leaf, proof) = log.inclusion_proof(RecordId(record), new.size).unwrap();
        assert!(is_included(&leaf, record - 1, new.size, &new.root, &proof), "record {record}");
    }
    assert!(log.inclusion_proof(RecordId(0), 3).is_err());
    assert!(log.consistency_proof(2, new.size + 1).is_err());
    let witness = witness(&log);
    witness.cosign(Some(&last), &note, &proof, now).unwrap();
    let wrong = witness.cosign(Some(&last), &note, &proof[1..], now);
    assert_eq!(wrong, Err(WitnessError::Forked(5)));
    let wrong = witness.cosign(Some(&new), &first, &[], now);
    assert_eq!(wrong, Err(WitnessError::WentBack { before: 13, now: 5 }));
    let unsigned = note.replace("\n13\n", "\n14\n");
    assert!(matches!(
        witness.cosign(Some(&last), &unsigned, &proof, now),
        Err(WitnessError::NotSigned(_))
    ));
}
