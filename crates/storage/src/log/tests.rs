use super::format::path_of;
use super::*;
use crate::disk::{LossyDisk, Remains, read};
use std::sync::LazyLock;
use std::thread;

const DIR: &str = "/d/log";
static RING: LazyLock<Arc<KeyRing>> = LazyLock::new(|| Arc::new(KeyRing::in_memory()));

type Frames = Vec<(u64, Vec<u8>)>;

fn open(disk: &LossyDisk) -> Result<(Log, Replayed, Frames), LogError> {
    let mut frames = Vec::new();
    let (log, replayed) = Log::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        Arc::clone(&RING),
        |frame| -> Result<(), LogError> {
            frames.push((frame.number.0, frame.payload));
            Ok(())
        },
    )?;
    assert_eq!(replayed.frames, frames.len() as u64);
    Ok((log, replayed, frames))
}

fn append(log: &Log, payload: &[u8]) -> Result<u64, LogError> {
    let number = log.append(payload.to_vec())?;
    log.wait(number)?;
    Ok(number.0)
}

fn payload(number: u64) -> Vec<u8> {
    format!("payload {number} {}", "x".repeat((number * 37 % 300) as usize)).into_bytes()
}

fn expected(numbers: impl IntoIterator<Item = u64>) -> Frames {
    numbers.into_iter().map(|number| (number, payload(number))).collect()
}

/// Appends so many payloads, each a group of its own.
fn fill(log: &Log, count: u64) {
    for _ in 0..count {
        let number = log.next().0;
        assert_eq!(append(log, &payload(number)).unwrap(), number);
    }
}

fn file(number: u64) -> std::path::PathBuf {
    path_of(Path::new(DIR), number)
}

#[test]
fn what_was_appended_is_replayed_in_order_over_restarts() {
    let disk = LossyDisk::new();
    let (log, replayed, _) = open(&disk).unwrap();
    let first = FrameNumber(1);
    assert_eq!(replayed, Replayed { first, next: first, frames: 0, dropped_bytes: 0 });
    fill(&log, 5);
    append(&log, b"").unwrap();
    log.close();
    let (log, replayed, frames) = open(&disk).unwrap();
    let mut all = expected(1..6);
    all.push((6, Vec::new()));
    assert_eq!(frames, all);
    assert_eq!(replayed.next, FrameNumber(7));
    fill(&log, 2);
    drop(log);
    let after = disk.crash(Remains::Synced);
    all.extend(expected(7..9));
    assert_eq!(open(&after).unwrap().2, all);
    assert_eq!(open(&after).unwrap().2, all, "opening changes nothing");
    assert!(matches!(
        open(&after).unwrap().0.wait(FrameNumber(9)),
        Err(LogError::NeverAppended(9))
    ));
}

#[test]
fn many_threads_share_groups_and_all_survive() {
    let disk = LossyDisk::new();
    let (log, ..) = open(&disk).unwrap();
    let before = disk.operations();
    let mut numbers: Frames = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let log = &log;
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for step in 0..50_u32 {
                        let payload = format!("{writer} {step}").into_bytes();
                        // Several wait for one sync.
                        let number = log.append(payload.clone()).unwrap();
                        mine.push((number.0, payload));
                        if step % 10 == 9 {
                            log.wait(number).unwrap();
                        }
                    }
                    mine
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    numbers.sort();
    assert_eq!(
        numbers.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        (1..401).collect::<Vec<_>>()
    );
    assert!(disk.operations() - before < 800, "not every append has a write and a sync");
    let after = disk.crash(Remains::Synced);
    drop(log);
    assert_eq!(open(&after).unwrap().2, numbers);
}

/// Cuts the power after each number of operations and checks what is there afterwards.
#[test]
fn every_cut_keeps_what_was_acknowledged() {
    let mut cuts_with_loss = 0;
    for cut in 0..60 {
        for seed in 0..6 {
            let disk = LossyDisk::new();
            disk.cut_after(cut);
            let mut acknowledged = Vec::new();
            if let Ok((log, ..)) = open(&disk) {
                while let Ok(number) = append(&log, &payload(acknowledged.len() as u64 + 1)) {
                    acknowledged.push(number);
                    if number == 9 {
                        // Everything below 9 may go; 9 must stay.
                        let _ = log.release_before(FrameNumber(9));
                    }
                    if number == 14 {
                        break;
                    }
                }
            }
            let remains = if seed == 0 { Remains::Synced } else { Remains::Some(seed + cut) };
            let after = disk.crash(remains);
            let (log, replayed, frames) = open(&after).unwrap();
            cuts_with_loss += u32::from(replayed.dropped_bytes > 0);
            let count = frames.len();
            assert!(count == acknowledged.len() || count == acknowledged.len() + 1, "cut {cut}");
            assert_eq!(frames, expected(1..=count as u64));
            fill(&log, 2);
            let again = after.crash(Remains::Synced);
            drop(log);
            assert_eq!(open(&again).unwrap().2, expected(1..=count as u64 + 2));
        }
    }
    assert!(cuts_with_loss > 10, "torn tails were seen");
}

/// A log of three files, the last of them not closed, with groups of three frames.
fn three_files() -> (LossyDisk, Frames) {
    let disk = LossyDisk::new();
    for _ in 0..2 {
        let (log, ..) = open(&disk).unwrap();
        fill(&log, 3);
        log.close();
    }
    let (log, ..) = open(&disk).unwrap();
    fill(&log, 3);
    let copy = disk.copy();
    drop(log);
    (copy, expected(1..10))
}

#[test]
fn every_flipped_byte_is_noticed() {
    let (disk, all) = three_files();
    assert_eq!(open(&disk.copy()).unwrap().2, all);
    for number in 1..=3 {
        let path = file(number);
        let len = read(&disk, &path).unwrap().len() as u64;
        for offset in 0..len {
            let changed = disk.copy();
            changed.flip(&path, offset, 1 << (offset % 8));
            match open(&changed) {
                Err(error) => {
                    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}")
                }
                // The end of a file that is behind what the next file counts is of no meaning;
                // in the newest file a broken last group looks as if it was torn.
                Ok((_, replayed, frames)) if number == 3 => {
                    assert!(replayed.dropped_bytes > 0 && frames == all[..8], "byte {offset}");
                }
                Ok((_, _, frames)) => {
                    assert_eq!(frames, all);
                    assert!(offset >= len - 41, "byte {offset} of {len} in file {number}");
                }
            }
        }
    }
}

#[test]
fn every_cut_before_the_last_group_is_noticed() {
    let (disk, all) = three_files();
    for number in 1..=3 {
        let path = file(number);
        let whole = read(&disk, &path).unwrap();
        for kept in 0..whole.len() {
            let changed = disk.copy();
            changed.overwrite(&path, &whole[..kept]);
            match open(&changed) {
                Err(error) => {
                    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
                    assert!(number < 3);
                }
                Ok((_, replayed, frames)) if number == 3 => {
                    assert!(frames.len() >= 6 && all.starts_with(&frames));
                    assert_eq!(replayed.next.0, frames.len() as u64 + 1);
                }
                Ok((_, _, frames)) => {
                    assert_eq!(frames, all);
                    assert!(kept >= whole.len() - 41, "{kept} of {} in file {number}", whole.len());
                }
            }
        }
    }
}

#[test]
fn damage_names_file_and_frame() {
    let (disk, all) = three_files();
    // The second frame of the newest file: a later group follows, so it was durable.
    let len = |number| read(&disk, &file(number)).unwrap().len() as u64;
    let third_frame = 13 + payload(9).len() as u64 + 12 + 16;
    for (offset, mask) in [(len(3) - third_frame - 5, 1), (len(3) - third_frame - 60, 0x10)] {
        let changed = disk.copy();
        changed.flip(&file(3), offset, mask);
        let error = open(&changed).unwrap_err();
        assert!(matches!(error, LogError::Damaged { frame: 2, .. }), "{error}");
    }
    // A file in the middle is gone; a file stands in another's place; files were swapped.
    let changed = disk.copy();
    changed.remove(&file(2)).unwrap();
    assert!(matches!(open(&changed), Err(LogError::Missing { path }) if path == file(2)));
    let changed = disk.copy();
    changed.overwrite(&file(2), &read(&disk, &file(1)).unwrap());
    assert!(open(&changed).is_err());
    // The oldest file gone is what releasing does; the caller sees where the log begins.
    let changed = disk.copy();
    changed.remove(&file(1)).unwrap();
    let (_, replayed, frames) = open(&changed).unwrap();
    assert_eq!((replayed.first, &frames[..]), (FrameNumber(4), &all[3..]));

    let changed = disk.copy();
    changed.flip(&file(3), 4, 2);
    assert!(matches!(open(&changed), Err(LogError::TooNew { version: 3, .. })));
    let error = Log::open::<LogError>(
        Arc::new(disk.copy()),
        Path::new(DIR),
        Arc::new(KeyRing::in_memory()),
        |_| Ok(()),
    )
    .unwrap_err();
    assert!(matches!(error, LogError::Key { .. }), "{error}");
}

#[test]
fn frames_cannot_be_moved() {
    let disk = LossyDisk::new();
    let (log, ..) = open(&disk).unwrap();
    for _ in 0..3 {
        append(&log, b"same length").unwrap();
    }
    let frame = 13 + 11 + 12 + 16;
    let mut bytes = read(&disk, &file(1)).unwrap();
    let end = bytes.len();
    let second = bytes[end - 2 * frame..end - frame].to_vec();
    bytes.copy_within(end - 3 * frame..end - 2 * frame, end - 2 * frame);
    bytes[end - 3 * frame..end - 2 * frame].copy_from_slice(&second);
    let copy = disk.copy();
    copy.overwrite(&file(1), &bytes);
    assert!(matches!(open(&copy), Err(LogError::Damaged { frame: 1, .. })));
}

#[test]
fn a_full_disk_fails_the_group_and_the_log_goes_on_later() {
    let disk = LossyDisk::new();
    let (log, ..) = open(&disk).unwrap();
    fill(&log, 3);
    let good = read(&disk, &file(1)).unwrap().len();
    disk.set_free(Some(20));
    let failed = log.append(payload(4)).unwrap();
    let error = log.wait(failed).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert_eq!(read(&disk, &file(1)).unwrap().len(), good, "the part was cut off");
    assert!(append(&log, &payload(5)).unwrap_err().is_disk_full());
    assert!(append(&log, &payload(6)).unwrap_err().is_disk_full());
    assert!(!disk.try_exists(&file(2)).unwrap(), "half a header was removed");

    disk.set_free(None);
    assert_eq!(append(&log, &payload(7)).unwrap(), 7);
    assert!(log.wait(failed).unwrap_err().is_disk_full(), "once failed, always failed");
    for number in 1..4 {
        log.wait(FrameNumber(number)).unwrap();
    }
    disk.fail_syncs(1);
    assert!(append(&log, &payload(8)).is_err());
    assert_eq!(append(&log, &payload(9)).unwrap(), 9);
    for remains in [Remains::Synced, Remains::All, Remains::Some(1), Remains::Some(2)] {
        let after = disk.crash(remains);
        assert_eq!(open(&after).unwrap().2, expected([1, 2, 3, 7, 9]));
    }
}

#[test]
fn released_files_go_and_numbers_go_on() {
    let disk = LossyDisk::new();
    let (log, ..) = open(&disk).unwrap();
    fill(&log, 3);
    log.close();
    let (log, ..) = open(&disk).unwrap();
    fill(&log, 3);
    log.release_before(FrameNumber(3)).unwrap();
    assert!(disk.try_exists(&file(1)).unwrap(), "frame 3 is still needed");
    log.release_before(FrameNumber(4)).unwrap();
    assert!(!disk.try_exists(&file(1)).unwrap());
    append(&log, &vec![7; 1 << 20]).unwrap();
    assert!(log.file_bytes() > 1 << 20);
    log.release_before(log.next()).unwrap();
    assert!(log.file_bytes() < 1000, "a large file that nobody needs is replaced");
    log.close();
    let (log, replayed, frames) = open(&disk).unwrap();
    assert_eq!(frames, []);
    assert_eq!((replayed.first, replayed.next), (FrameNumber(8), FrameNumber(8)));
    assert_eq!(append(&log, b"next").unwrap(), 8);
    log.release_before(FrameNumber(8)).unwrap();
    log.close();
    assert_eq!(open(&disk).unwrap().2, [(8, b"next".to_vec())]);
}

#[test]
fn files_end_at_their_size() {
    let disk = LossyDisk::new();
    let (log, ..) = open(&disk).unwrap();
    let block = vec![9; 9 << 20];
    for _ in 0..9 {
        append(&log, &block).unwrap();
    }
    drop(log);
    assert_eq!(disk.list(Path::new(DIR)).unwrap(), ["00000001.log", "00000002.log"]);
    let (_, _, frames) = open(&disk).unwrap();
    assert!(frames.len() == 9 && frames.iter().all(|(_, payload)| *payload == block));
}

#[test]
fn a_failing_replay_is_passed_on_and_a_closed_log_refuses() {
    let (disk, _) = three_files();
    let result =
        Log::open(Arc::new(disk), Path::new(DIR), Arc::clone(&RING), |_| Err(LogError::Stopped));
    assert!(matches!(result, Err(LogError::Stopped)));
    let (log, ..) = open(&LossyDisk::new()).unwrap();
    log.shared.close();
    assert!(matches!(log.append(Vec::new()), Err(LogError::Stopped)));
}
