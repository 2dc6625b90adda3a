use super::*;
use std::collections::BTreeSet;

/// The behaviour that both disks share.
fn check(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(dir).unwrap();
    disk.create_dir_all(dir).unwrap();
    let path = dir.join("a");
    let mut file = disk.create_new(&path).unwrap();
    assert_eq!(disk.create_new(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    file.append(b"hello").unwrap();
    file.append(b" world").unwrap();
    file.truncate(6).unwrap();
    file.append(b"there").unwrap();
    file.sync().unwrap();
    disk.sync_dir(dir).unwrap();
    assert_eq!(read(disk, &path).unwrap(), b"hello there");
    let mut again = disk.open_append(&path).unwrap();
    again.append(b"!").unwrap();
    assert_eq!(disk.len(&path).unwrap(), 12);

    let reader = disk.open(&path).unwrap();
    let mut part = [0; 5];
    reader.read_exact_at(&mut part, 6).unwrap();
    assert_eq!(&part, b"there");
    assert_eq!(
        reader.read_exact_at(&mut part, 10).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );

    replace(disk, &dir.join("b"), b"one").unwrap();
    replace(disk, &dir.join("b"), b"two").unwrap();
    assert_eq!(read(disk, &dir.join("b")).unwrap(), b"two");
    assert_eq!(disk.list(dir).unwrap(), ["a", "b"]);
    disk.rename(&path, &dir.join("c")).unwrap();
    disk.remove(&dir.join("c")).unwrap();
    reader.read_exact_at(&mut part, 0).unwrap();
    assert_eq!(disk.list(dir).unwrap(), ["b"]);
    assert!(!disk.try_exists(&path).unwrap());
    for missing in [
        disk.open(&path).unwrap_err(),
        disk.open_append(&path).unwrap_err(),
        disk.remove(&path).unwrap_err(),
        disk.rename(&path, &dir.join("d")).unwrap_err(),
        disk.len(&path).unwrap_err(),
        disk.list(&dir.join("nowhere")).unwrap_err(),
        disk.create_new(&dir.join("nowhere/x")).unwrap_err(),
    ] {
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}

#[test]
fn the_real_disk_and_the_lossy_one_agree() {
    let folder = tempfile::tempdir().unwrap();
    check(&RealDisk, &folder.path().join("x/y"));
    check(&LossyDisk::new(), Path::new("/data/x/y"));
}

const PATH: &str = "/d/file";

fn written() -> LossyDisk {
    let disk = LossyDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    let mut file = disk.create_new(Path::new(PATH)).unwrap();
    file.append(b"synced").unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.append(b" and not").unwrap();
    disk
}

#[test]
fn a_power_cut_takes_what_was_not_synced() {
    let path = Path::new(PATH);
    let disk = written();
    assert_eq!(read(&disk, path).unwrap(), b"synced and not");
    let after = disk.crash(Remains::Synced);
    assert_eq!(read(&after, path).unwrap(), b"synced");
    assert!(read(&disk, path).is_err(), "the old disk has no power");
    assert_eq!(read(&disk.crash(Remains::All), path).unwrap(), b"synced and not");
    let mut lens = BTreeSet::new();
    for seed in 0..200 {
        let left = read(&disk.crash(Remains::Some(seed)), path).unwrap();
        assert!(left.starts_with(b"synced"));
        assert!(left.len() <= 14);
        lens.insert(left.len());
    }
    assert_eq!(lens.len(), 9, "each length comes up");
}

#[test]
fn names_last_once_their_folder_is_synced() {
    let disk = written();
    disk.rename(Path::new(PATH), Path::new("/d/new")).unwrap();
    let after = disk.crash(Remains::Synced);
    assert_eq!(after.list(Path::new("/d")).unwrap(), ["file"]);

    let disk = written();
    disk.rename(Path::new(PATH), Path::new("/d/new")).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.remove(Path::new("/d/new")).unwrap();
    let after = disk.crash(Remains::Synced);
    assert_eq!(after.list(Path::new("/d")).unwrap(), ["new"]);
}

#[test]
fn replacing_leaves_the_old_or_the_new_at_every_cut() {
    let path = Path::new("/d/settings");
    let (mut old, mut new) = (0, 0);
    for cut in 0..20 {
        for seed in 0..8 {
            let disk = LossyDisk::new();
            disk.create_dir_all(Path::new("/d")).unwrap();
            replace(&disk, path, b"old").unwrap();
            disk.cut_after(cut);
            let done = replace(&disk, path, b"the new one").is_ok();
            let remains = if seed == 0 { Remains::Synced } else { Remains::Some(seed) };
            let after = disk.crash(remains);
            match read(&after, path).unwrap().as_slice() {
                b"old" => old += 1,
                b"the new one" => new += 1,
                other => panic!("{} bytes of neither", other.len()),
            }
            assert!(!done || read(&after, path).unwrap() == b"the new one");
            replace(&after, path, b"again").unwrap();
        }
    }
    assert!(old > 0 && new > 0);
}

#[test]
fn a_full_disk_keeps_a_part() {
    let disk = written();
    disk.set_free(Some(3));
    let mut file = disk.open_append(Path::new(PATH)).unwrap();
    assert_eq!(file.append(b"12345").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(read(&disk, Path::new(PATH)).unwrap(), b"synced and not123");
    disk.set_free(None);
    file.truncate(6).unwrap();
    file.append(b".").unwrap();
    disk.fail_syncs(1);
    assert!(file.sync().is_err());
    assert_eq!(read(&disk.crash(Remains::Synced), Path::new(PATH)).unwrap(), b"synced");
}
