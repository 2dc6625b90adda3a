//! The record as a whole: it goes on after every stop, and no tampering stays unseen.

use super::*;
use model::{ManualClock, Timestamp};
use std::time::Duration;

pub(super) struct House {
    pub(super) root: tempfile::TempDir,
    pub(super) ring: Arc<KeyRing>,
    pub(super) options: Options,
}

pub(super) fn house() -> House {
    House {
        root: tempfile::tempdir().unwrap(),
        ring: Arc::new(KeyRing::in_memory()),
        options: Options {
            checkpoint_after: Duration::from_secs(3600),
            gather_for: Duration::from_millis(1),
            ..Options::default()
        },
    }
}

impl House {
    pub(super) fn dir(&self) -> PathBuf {
        self.root.path().join("audit")
    }

    pub(super) fn file(&self, number: u32) -> PathBuf {
        path_of(&self.dir(), number)
    }

    pub(super) fn try_open(&self) -> Result<AuditLog, AuditError> {
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        AuditLog::open_with(&self.dir(), &[], Arc::clone(&self.ring), clock, self.options.clone())
    }

    /// Opens, appends so many records and closes.
    fn write(&self, records: u64) {
        let log = self.try_open().unwrap();
        for _ in 0..records {
            log.append_durable(&event("ada")).unwrap();
        }
    }

    pub(super) fn verify(&self) -> Verification {
        verify(&self.dir(), &self.dir(), &self.ring, &[]).unwrap()
    }

    #[track_caller]
    fn check_problem(&self, expected: &str) {
        let problem = self.verify().problem.map(|problem| problem.to_string());
        assert_eq!(problem.as_deref(), Some(expected));
    }

    #[track_caller]
    fn check_refused(&self, expected: &str) {
        let error = self.try_open().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

pub(super) fn event(who: &str) -> Event {
    Event { who: who.to_owned(), ..Event::new(EventKind::Write) }
}

/// Where the frames of a file are, each with its prefix.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut frames = Vec::new();
    let mut at = frame::HEADER_BYTES_MIN;
    while at < bytes.len() {
        let sealed = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        frames.push(at..at + 12 + sealed);
        at += 12 + sealed;
    }
    frames
}

#[test]
fn records_are_read_back_over_restarts() {
    let house = house();
    assert!(matches!(
        verify(&house.dir(), &house.dir(), &house.ring, &[]),
        Err(AuditError::NoRecord(_))
    ));
    for restart in 0..3u64 {
        let log = house.try_open().unwrap();
        assert_eq!(log.len(), restart * 3);
        log.append(&event("bob")).unwrap();
        let id = log.append_durable(&event("ada")).unwrap();
        assert_eq!(id, RecordId(restart * 3 + 2));
        log.append(&event("cleo")).unwrap();
        log.close();
        assert!(matches!(log.append_durable(&event("late")), Err(AuditError::Closed)));
        assert!(matches!(log.append(&event("late")), Err(AuditError::Closed)));
    }
    let all = read(&house.dir(), &house.ring, &AuditFilter::default()).unwrap();
    let ids: Vec<u64> = all.iter().map(|record| record.id.0).collect();
    assert_eq!(ids, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let of_ada = AuditFilter { who: Some("ada".into()), limit: 2, ..AuditFilter::default() };
    let found = read(&house.dir(), &house.ring, &of_ada).unwrap();
    assert_eq!(found.iter().map(|record| record.id.0).collect::<Vec<_>>(), [8, 5]);

    let verification = house.verify();
    assert!(verification.is_intact(), "{:?}", verification.problem);
    assert_eq!((verification.records, verification.signed, verification.files), (9, 9, 3));
    assert_eq!(verification.checkpoints, 3);
}

#[test]
fn many_threads_share_one_record() {
    let house = house();
    let log = house.try_open().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                let mut last = RecordId(0);
                for _ in 0..50 {
                    let id = log.append_durable(&event(&thread.to_string())).unwrap();
                    assert!(id > last && log.len() >= id.0);
                    last = id;
                }
            });
        }
    });
    let filter = AuditFilter { who: Some("3".into()), ..AuditFilter::default() };
    assert_eq!(log.read(&filter).unwrap().len(), 50, "also while it is open");
    drop(log);
    assert_eq!(house.verify().records, 400);
}

#[test]
fn a_full_file_is_followed_by_the_next() {
    let mut house = house();
    house.options.file_bytes_max = 300;
    house.write(10);
    let verification = house.verify();
    assert!(verification.is_intact(), "{:?}", verification.problem);
    assert!(verification.files > 3);
    house.write(1);
    assert_eq!(house.verify().records, 11);
    let all = read(&house.dir(), &house.ring, &AuditFilter::default()).unwrap();
    assert_eq!(all.len(), 11);
}

#[test]
fn a_second_process_is_refused() {
    let house = house();
    let log = house.try_open().unwrap();
    assert!(matches!(house.try_open(), Err(AuditError::InUse(_))));
    drop(log);
    house.write(1);
}

#[test]
fn every_flipped_byte_is_found_and_its_record_named() {
    let house = house();
    house.write(4);
    let path = house.file(1);
    let whole = fs::read(&path).unwrap();
    let frames = frames(&whole);
    assert_eq!(frames.len(), 5, "four records and a checkpoint");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let found = house.verify();
        let Some(problem) = found.problem else {
            // A longer length of the very last frame looks like a write that a crash cut short;
            // that frame is the checkpoint behind all records.
            assert!(found.unfinished_tail && found.records == 4, "byte {at} is not seen");
            assert!((frames[4].start..frames[4].start + 4).contains(&at), "byte {at}");
            continue;
        };
        let frame = frames.iter().position(|frame| frame.contains(&at)).unwrap_or(0);
        assert_eq!(problem.record, frame as u64 + 1, "byte {at}: {problem}");
        assert_eq!(problem.file, "00000001.audit");
    }
    fs::write(&path, &whole).unwrap();
    assert!(house.verify().is_intact());
}

#[test]
fn every_cut_of_what_was_signed_is_found() {
    let house = house();
    house.write(4);
    let whole = fs::read(house.file(1)).unwrap();
    let frames = frames(&whole);
    for kept in 0..frames[3].end {
        fs::write(house.file(1), &whole[..kept]).unwrap();
        let problem = house.verify().problem.unwrap_or_else(|| panic!("{kept} bytes"));
        assert_eq!(problem.kind, ProblemKind::Truncated, "{kept} bytes");
        let whole_frames = frames.iter().filter(|frame| frame.end <= kept).count();
        assert_eq!(problem.record, whole_frames as u64 + 1, "{kept} bytes");
        if kept >= frame::HEADER_BYTES_MIN {
            house.check_refused("was cut off");
        }
    }
}

#[test]
fn removed_and_swapped_records_are_named() {
    let house = house();
    house.write(5);
    let path = house.file(1);
    let whole = fs::read(&path).unwrap();
    let frames = frames(&whole);
    let put_together = |order: &[usize]| {
        let mut bytes = whole[..frame::HEADER_BYTES_MIN].to_vec();
        for &number in order {
            bytes.extend_from_slice(&whole[frames[number].clone()]);
        }
        fs::write(&path, bytes).unwrap();
    };
    put_together(&[0, 1, 3, 4, 5]);
    house.check_problem("00000001.audit: record 3 is missing");
    put_together(&[0, 2, 1, 3, 4, 5]);
    house.check_problem("00000001.audit: record 2 stands in the wrong place");
    house.check_refused("record 2 stands in the wrong place");
    put_together(&[0, 1, 1, 2, 3, 4, 5]);
    house.check_problem("00000001.audit: record 3 stands in the wrong place");
    put_together(&[0, 1, 2, 3]);
    house.check_problem("00000001.audit: record 5 and what followed it was cut off");
    put_together(&[0, 1, 2, 3, 4, 5]);
    assert!(house.verify().is_intact());
}

#[test]
fn missing_moved_and_foreign_files_are_named() {
    let house = house();
    for _ in 0..3 {
        house.write(2);
    }
    let (second, third) = (fs::read(house.file(2)).unwrap(), fs::read(house.file(3)).unwrap());
    fs::remove_file(house.file(2)).unwrap();
    house.check_problem("00000002.audit: record 3 is missing");
    fs::write(house.file(2), &third).unwrap();
    fs::write(house.file(3), &second).unwrap();
    house.check_problem("00000002.audit: record 3 stands in the wrong place");
    house.check_refused("stands in the wrong place");
    fs::write(house.file(2), &second).unwrap();
    fs::remove_file(house.file(3)).unwrap();
    house.check_problem("00000002.audit: record 5 and what followed it was cut off");
    house.check_refused("record 5 and what followed it was cut off");

    let elsewhere = self::house();
    for _ in 0..3 {
        elsewhere.write(2);
    }
    fs::copy(elsewhere.file(3), house.file(3)).unwrap();
    house.check_problem("00000003.audit: record 5 was written under another key ring");
    house.check_refused("under another key ring");
    fs::write(house.file(3), &third).unwrap();
    assert!(house.verify().is_intact());
    fs::copy(head::path_of(&elsewhere.dir()), head::path_of(&house.dir())).unwrap();
    house.check_problem("audit.head was written under another key ring");
}

#[test]
fn a_file_of_the_same_ring_from_another_time_is_found() {
    let house = house();
    house.write(2);
    house.write(2);
    // Another record under the same ring: same numbers, same names, other events.
    let other = House { root: tempfile::tempdir().unwrap(), ..self::house() };
    let other = House { ring: Arc::clone(&house.ring), ..other };
    {
        let log = other.try_open().unwrap();
        for _ in 0..2 {
            log.append_durable(&event("somebody else")).unwrap();
        }
    }
    fs::copy(other.file(1), house.file(1)).unwrap();
    house.check_problem(
        "00000002.audit: record 3 is not the one that was signed: this is another history",
    );
}

#[test]
fn the_head_is_guarded_too() {
    let house = house();
    house.write(3);
    let path = head::path_of(&house.dir());
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(house.verify().problem.unwrap().file, "audit.head", "byte {at}");
        assert!(house.try_open().is_err());
    }
    fs::remove_file(&path).unwrap();
    house.check_problem("audit.head is missing");
    house.check_refused("audit.head is missing");
    fs::write(&path, &whole).unwrap();
    fs::remove_dir_all(house.dir()).unwrap();
    house.check_problem("00000001.audit: record 1 is missing");
    house.check_refused("is missing");
}

#[test]
fn an_unfinished_write_is_cut_off_and_that_is_recorded() {
    let house = house();
    house.write(2);
    for torn in [&[1, 2, 3][..], &[0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 9, 7, 7], &[0; 4096]] {
        let path = files_of(&house.dir()).unwrap().pop().unwrap().1;
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(torn);
        fs::write(&path, &bytes).unwrap();
        let log = house.try_open().unwrap();
        let newest = AuditFilter { limit: 1, ..AuditFilter::default() };
        let record = log.read(&newest).unwrap().remove(0);
        assert_eq!(record.event.kind, EventKind::TailDropped);
        assert!(record.event.outcome.contains(&torn.len().to_string()));
    }
    let verification = house.verify();
    assert!(verification.is_intact(), "{:?}", verification.problem);
    assert_eq!(verification.records, 5);

    // A file whose header was not even finished.
    fs::write(house.file(5), b"CLSA").unwrap();
    house.write(1);
    assert_eq!(house.verify().records, 7, "the cut is recorded, then one more");
}

#[test]
fn an_unfinished_tail_is_no_tampering() {
    let house = house();
    house.write(2);
    let mut bytes = fs::read(house.file(1)).unwrap();
    bytes.extend_from_slice(&[0, 0, 1, 0, 5]);
    fs::write(house.file(1), &bytes).unwrap();
    let verification = house.verify();
    assert!(verification.is_intact() && verification.unfinished_tail);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let house = house();
    let disk_full = |is_full: bool| {
        *house.options.full.lock() = if is_full { vec![house.dir()] } else { Vec::new() };
    };
    disk_full(true);
    let log = house.try_open().unwrap();
    assert!(matches!(log.append_durable(&event("a")), Err(AuditError::NotWritten(_))));
    disk_full(false);
    assert_eq!(log.append_durable(&event("b")).unwrap(), RecordId(1));
    disk_full(true);
    for _ in 0..3 {
        assert!(matches!(log.append_durable(&event("c")), Err(AuditError::NotWritten(_))));
    }
    log.append(&event("kept")).unwrap();
    assert!(log.append_durable(&event("d")).is_err());
    assert_eq!(log.len(), 1);
    disk_full(false);
    log.append_durable(&event("e")).unwrap();
    drop(log);
    let all = read(&house.dir(), &house.ring, &AuditFilter::default()).unwrap();
    let who: Vec<&str> = all.iter().rev().map(|record| record.event.who.as_str()).collect();
    assert_eq!(who, ["b", "kept", "e"], "what nobody waited for came later");
    assert!(house.verify().is_intact());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the folder is moved as by a person")]
fn a_missing_folder_refuses_and_recovers() {
    let house = house();
    let log = house.try_open().unwrap();
    log.append_durable(&event("a")).unwrap();
    let aside = house.root.path().join("aside");
    fs::rename(house.dir(), &aside).unwrap();
    assert!(matches!(log.append_durable(&event("b")), Err(AuditError::Gone(_))));
    fs::create_dir(house.dir()).unwrap();
    assert!(matches!(log.append_durable(&event("c")), Err(AuditError::Gone(_))), "another folder");
    fs::remove_dir(house.dir()).unwrap();
    fs::rename(&aside, house.dir()).unwrap();
    assert_eq!(log.append_durable(&event("d")).unwrap(), RecordId(2));
    drop(log);
    assert!(house.verify().is_intact());
}

#[test]
fn a_checkpoint_follows_without_a_close() {
    let mut house = house();
    house.options.checkpoint_after = Duration::from_millis(20);
    let log = house.try_open().unwrap();
    log.append_durable(&event("a")).unwrap();
    let signed = || head::read(&house.dir(), &house.ring).unwrap().map(|head| head.size);
    for _ in 0..500 {
        if signed() == Some(1) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(signed(), Some(1));
    drop(log);
}

#[test]
fn nothing_readable_lies_on_the_disk() {
    let house = house();
    {
        let log = house.try_open().unwrap();
        log.append_durable(&event("ada-the-analyst")).unwrap();
    }
    let bytes = fs::read(house.file(1)).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds("ada-the-analyst") && !holds("write") && !holds("kind"));
}

#[test]
fn too_large_an_event_is_refused_alone() {
    let house = house();
    let log = house.try_open().unwrap();
    let tables = vec!["x".repeat(1000); 9000];
    let large = Event { tables, ..Event::new(EventKind::Write) };
    assert!(matches!(log.append_durable(&large), Err(AuditError::TooLarge)));
    log.append_durable(&event("a")).unwrap();
}

#[test]
fn what_was_signed_stays_signed_when_the_key_is_exchanged() {
    let house = house();
    house.write(2);
    house.ring.rotate(crate::keys::Family::Signature, Timestamp(1_700_000_000_001)).unwrap();
    house.write(2);
    let verification = house.verify();
    assert_eq!(verification.problem, None);
    assert_eq!((verification.records, verification.checkpoints), (4, 2));
}
