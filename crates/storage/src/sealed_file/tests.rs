use super::*;
use crate::disk::{Disk, LossyDisk, Remains, read};
use protection::keys::KeyRing;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, LazyLock};

const PATH: &str = "/d/file";
static RING: LazyLock<Arc<KeyRing>> = LazyLock::new(|| Arc::new(KeyRing::in_memory()));

fn content(len: usize) -> Vec<u8> {
    (0..len as u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn disk() -> (LossyDisk, Arc<dyn Disk>) {
    let lossy = LossyDisk::new();
    lossy.create_dir_all(Path::new("/d")).unwrap();
    (lossy.clone(), Arc::new(lossy))
}

fn write(disk: &Arc<dyn Disk>, path: &str, identity: &str, content: &[u8]) -> io::Result<u64> {
    let mut writer = SealedWriter::create(disk, Path::new(path), &RING, "segment", identity)?;
    writer.write_all(content)?;
    assert_eq!(writer.content_bytes(), content.len() as u64);
    writer.finish()
}

fn open(disk: &Arc<dyn Disk>, path: &str, identity: &str) -> Result<SealedReader, SealedError> {
    let cache = Arc::new(FrameCache::new(1 << 20));
    SealedReader::open(disk, Path::new(path), &RING, "segment", identity, cache)
}

fn read_all(disk: &Arc<dyn Disk>, path: &str, identity: &str) -> Result<Vec<u8>, SealedError> {
    let reader = open(disk, path, identity)?;
    reader.read_range(0..reader.len())
}

#[test]
fn what_was_written_is_read() {
    let frame = FRAME_BYTES;
    for len in [0, 1, 15, 16, frame - 1, frame, frame + 1, 2 * frame, 70 * frame + 5] {
        let (_, disk) = disk();
        let content = content(len);
        let size = write(&disk, PATH, "1", &content).unwrap();
        assert_eq!(size, disk.len(Path::new(PATH)).unwrap());
        let reader = open(&disk, PATH, "1").unwrap();
        assert_eq!(reader.len(), len as u64);
        assert_eq!(reader.is_empty(), len == 0);
        assert!(reader.read_range(0..len as u64).unwrap() == content);
    }
}

#[test]
fn ranges_open_only_their_frames() {
    let (lossy, disk) = disk();
    let content = content(10 * FRAME_BYTES + 77);
    write(&disk, PATH, "1", &content).unwrap();
    let frame = FRAME_BYTES as u64;
    let cache = Arc::new(FrameCache::new(4 << 20));
    let path = Path::new(PATH);
    let reader =
        SealedReader::open(&disk, path, &RING, "segment", "1", Arc::clone(&cache)).unwrap();
    let edges = [0, 1, frame - 1, frame, frame + 1, 3 * frame, 9 * frame + 5, 10 * frame + 77];
    for start in edges {
        for end in edges.into_iter().filter(|&end| end >= start) {
            let expected = &content[start as usize..end as usize];
            assert!(reader.read_range(start..end).unwrap() == expected, "{start}..{end}");
        }
    }
    let before = cache.stats();
    reader.read_range(2 * frame + 5..2 * frame + 9).unwrap();
    reader.read_range(2 * frame + 5..2 * frame + 9).unwrap();
    let after = cache.stats();
    assert_eq!(after.hits + after.misses, before.hits + before.misses + 2);
    assert!(after.hits > before.hits);

    assert!(matches!(reader.read_range(0..u64::MAX), Err(SealedError::OutOfRange { .. })));
    #[expect(clippy::reversed_empty_ranges, reason = "it must be refused")]
    let reversed = reader.read_range(9..3);
    assert!(matches!(reversed, Err(SealedError::OutOfRange { .. })));

    // A changed frame hurts those who read it and nobody else.
    let start = disk.len(path).unwrap() - (10 * (frame + 16) + 77 + 16 + 32);
    lossy.flip(path, start + 4 * (frame + 16) + 100, 1);
    let reader = open(&disk, PATH, "1").unwrap();
    assert!(reader.read_range(0..4 * frame).is_ok());
    assert!(reader.read_range(5 * frame..10 * frame).is_ok());
    for range in [4 * frame..4 * frame + 1, 0..10 * frame] {
        let error = reader.read_range(range).unwrap_err();
        assert!(matches!(error, SealedError::Damaged { frame: 4, .. }), "{error}");
        assert!(error.to_string().contains(PATH));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn every_flip_and_every_cut_is_noticed() {
    let (lossy, disk) = disk();
    write(&disk, PATH, "1", &content(100)).unwrap();
    let path = Path::new(PATH);
    let whole = read(&lossy, path).unwrap();
    for offset in 0..whole.len() {
        for mask in [1, 0x80] {
            lossy.flip(path, offset as u64, mask);
            let error = read_all(&disk, PATH, "1").expect_err("a flipped byte");
            assert!(error.to_string().contains(PATH), "{error}");
            lossy.flip(path, offset as u64, mask);
        }
        lossy.overwrite(path, &whole[..offset]);
        assert!(read_all(&disk, PATH, "1").is_err(), "cut to {offset} bytes");
        lossy.overwrite(path, &whole);
    }
    for more in [1, 15, 16, 32, 100_000] {
        let mut longer = whole.clone();
        longer.resize(whole.len() + more, 0);
        lossy.overwrite(path, &longer);
        assert!(matches!(read_all(&disk, PATH, "1"), Err(SealedError::Length { .. })));
    }
    lossy.overwrite(path, &whole);
    assert!(read_all(&disk, PATH, "1").unwrap() == content(100));
}

#[test]
fn frames_and_files_cannot_be_swapped() {
    let (lossy, disk) = disk();
    let content = content(3 * FRAME_BYTES);
    write(&disk, "/d/a", "1", &content).unwrap();
    write(&disk, "/d/b", "2", &content).unwrap();
    let (a, b) =
        (read(&lossy, Path::new("/d/a")).unwrap(), read(&lossy, Path::new("/d/b")).unwrap());
    let start = a.len() - 32 - 3 * (FRAME_BYTES + 16);
    let frame = |number: usize| {
        start + number * (FRAME_BYTES + 16)..start + (number + 1) * (FRAME_BYTES + 16)
    };
    let mut foreign = a.clone();
    foreign[frame(1)].copy_from_slice(&b[frame(1)]);
    let mut moved = a.clone();
    moved[frame(1)].copy_from_slice(&a[frame(2)]);
    for changed in [foreign, moved] {
        lossy.overwrite(Path::new("/d/a"), &changed);
        let error = read_all(&disk, "/d/a", "1").unwrap_err();
        assert!(matches!(error, SealedError::Damaged { frame: 1, .. }), "{error}");
    }
    // A whole frame taken out of the middle, and a whole file in the place of another.
    let mut shorter = a.clone();
    shorter.drain(frame(1));
    lossy.overwrite(Path::new("/d/a"), &shorter);
    assert!(matches!(read_all(&disk, "/d/a", "1"), Err(SealedError::Length { .. })));
    lossy.overwrite(Path::new("/d/a"), &b);
    assert!(read_all(&disk, "/d/a", "1").is_err());
    assert!(read_all(&disk, "/d/a", "2").unwrap() == content);
}

#[test]
fn a_later_version_and_another_key_are_named() {
    let (lossy, disk) = disk();
    write(&disk, PATH, "1", b"content").unwrap();
    lossy.flip(Path::new(PATH), 4, 2);
    let error = open(&disk, PATH, "1").unwrap_err();
    assert!(matches!(error, SealedError::TooNew { version: 3, .. }), "{error}");
    lossy.flip(Path::new(PATH), 4, 2);

    let cache = || Arc::new(FrameCache::new(0));
    let path = Path::new(PATH);
    let other: KeyRing = KeyRing::in_memory();
    let error = SealedReader::open(&disk, path, &other, "segment", "1", cache()).unwrap_err();
    assert!(matches!(error, SealedError::Key { .. }), "{error}");
    let error = SealedReader::open(&disk, path, &RING, "log", "1", cache()).unwrap_err();
    assert!(matches!(error, SealedError::Key { .. }), "{error}");
}

#[test]
fn a_finished_file_survives_and_an_unfinished_one_leaves_no_trace() {
    let (lossy, disk) = disk();
    write(&disk, PATH, "1", &content(200_000)).unwrap();
    let after: Arc<dyn Disk> = Arc::new(lossy.crash(Remains::Synced));
    assert!(read_all(&after, PATH, "1").unwrap() == content(200_000));

    let (lossy, disk) = self::disk();
    lossy.set_free(Some(1_500_000));
    let error = write(&disk, PATH, "1", &content(3_000_000)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(!disk.try_exists(Path::new(PATH)).unwrap());
    lossy.set_free(None);
    write(&disk, PATH, "1", &content(3_000_000)).unwrap();
    assert_eq!(
        write(&disk, PATH, "1", b"").unwrap_err().kind(),
        io::ErrorKind::AlreadyExists,
        "a file is never written over"
    );
    assert!(disk.try_exists(Path::new(PATH)).unwrap());
}

#[test]
fn many_threads_read_at_once() {
    let (_, disk) = disk();
    let content = content(20 * FRAME_BYTES);
    write(&disk, PATH, "1", &content).unwrap();
    let reader = open(&disk, PATH, "1").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (reader, content) = (&reader, &content);
            scope.spawn(move || {
                for step in 0..200_u64 {
                    let start = (step * 7919 * (thread + 1)) % (content.len() as u64 - 5000);
                    let expected = &content[start as usize..start as usize + 5000];
                    assert!(reader.read_range(start..start + 5000).unwrap() == expected);
                }
            });
        }
    });
}

#[test]
fn a_file_moves_to_the_newest_key_and_stays_what_it_is() {
    let (_, disk) = disk();
    let ring = Arc::new(KeyRing::in_memory());
    let (path, beside) = (Path::new(PATH), Path::new("/d/beside"));
    let content = content(40 * FRAME_BYTES + 7);
    let mut writer = SealedWriter::create(&disk, path, &ring, "segment", "1").unwrap();
    writer.write_all(&content).unwrap();
    writer.finish().unwrap();
    let open = || {
        let cache = Arc::new(FrameCache::new(1 << 20));
        SealedReader::open(&disk, path, &ring, "segment", "1", cache)
    };
    let move_it = || rewrap(&disk, path, beside, &ring, "segment");
    assert!(!move_it().unwrap(), "it is under the newest key");
    let before = open().unwrap();
    ring.rotate(protection::keys::Family::File, model::Timestamp(1)).unwrap();
    // Left by a crash.
    disk.create_new(beside).unwrap();
    assert!(move_it().unwrap() && !move_it().unwrap());
    assert!(!disk.try_exists(beside).unwrap());
    ring.destroy(protection::keys::Family::File, 1).unwrap();
    for reader in [before, open().unwrap()] {
        assert!(reader.read_range(0..reader.len()).unwrap() == content);
    }
    ring.rotate(protection::keys::Family::File, model::Timestamp(2)).unwrap();
    ring.destroy(protection::keys::Family::File, 2).unwrap();
    let lost = move_it().unwrap_err();
    assert!(matches!(lost, SealedError::Key { .. }), "{lost}");
}

#[test]
fn a_disk_that_is_full_leaves_the_file_where_it_is() {
    let (lossy, disk) = disk();
    let ring = Arc::new(KeyRing::in_memory());
    let path = Path::new(PATH);
    let mut writer = SealedWriter::create(&disk, path, &ring, "segment", "1").unwrap();
    writer.write_all(&content(5000)).unwrap();
    writer.finish().unwrap();
    ring.rotate(protection::keys::Family::File, model::Timestamp(1)).unwrap();
    lossy.set_free(Some(100));
    let moved = rewrap(&disk, path, Path::new("/d/beside"), &ring, "segment");
    assert!(matches!(moved, Err(SealedError::Io { .. })), "{moved:?}");
    assert!(!disk.try_exists(Path::new("/d/beside")).unwrap());
    let cache = Arc::new(FrameCache::new(1 << 20));
    let reader = SealedReader::open(&disk, path, &ring, "segment", "1", cache).unwrap();
    assert!(reader.read_range(0..reader.len()).unwrap() == content(5000));
}

#[test]
fn a_file_whose_key_was_destroyed_while_it_was_written_is_not_there() {
    let (_, disk) = disk();
    let ring = Arc::new(KeyRing::in_memory());
    let path = Path::new(PATH);
    let mut writer = SealedWriter::create(&disk, path, &ring, "segment", "1").unwrap();
    writer.write_all(&content(5000)).unwrap();
    ring.rotate(protection::keys::Family::File, model::Timestamp(1)).unwrap();
    ring.destroy(protection::keys::Family::File, 1).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("write it again"));
    assert!(!disk.try_exists(path).unwrap());
}
