//! What is put aside comes back as it was, is not seen on the disk, and leaves nothing.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::House;
use protection::keys::KeyRing;
use std::sync::Arc;
use storage::disk::{Disk, LossyDisk, RealDisk};

fn house(folder: &std::path::Path, disk: Arc<dyn Disk>) -> House {
    House::open(folder, disk, Arc::new(KeyRing::in_memory())).unwrap()
}

#[test]
fn records_of_all_sizes_come_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(dir.path(), Arc::new(RealDisk));
    // Around the size of a frame, and nothing.
    for sizes in [
        &[][..],
        &[0],
        &[1, 0, 65_531, 65_532, 65_533, 3],
        &[65_532, 65_532],
        &[400_000, 7, 65_536, 65_536],
    ] {
        let mut aside = house.store.aside().unwrap();
        let record = |number: usize, size: usize| vec![number as u8 + 1; size];
        for (number, &size) in sizes.iter().enumerate() {
            let record = record(number, size);
            let (one, other) = record.split_at(size / 3);
            aside.push(&[one, other]).unwrap();
        }
        assert_eq!(aside.bytes(), sizes.iter().map(|size| *size as u64 + 4).sum::<u64>());
        let mut reader = aside.into_reader();
        for (number, &size) in sizes.iter().enumerate() {
            assert_eq!(reader.next_record().unwrap().as_deref(), Some(&*record(number, size)));
        }
        assert_eq!(reader.next_record().unwrap(), None);
        assert_eq!(reader.next_record().unwrap(), None, "and again");
    }
}

#[test]
fn it_has_no_name_and_is_not_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(dir.path(), Arc::new(RealDisk));
    let names = || RealDisk.list(dir.path()).unwrap();
    let before = names();
    let mut aside = house.store.aside().unwrap();
    for _ in 0..5_000 {
        aside.push(&[b"ada@example.org, who lives in the Rue des Lilas 7"]).unwrap();
    }
    assert_eq!(names(), before);
    // The kernel still knows the file, whatever its name was.
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter_map(|entry| {
        let path = entry.ok()?.path();
        let to = std::fs::read_link(&path).ok()?;
        to.to_str()?.starts_with(dir.path().join("aside-").to_str()?).then_some(path)
    });
    let mut looked_at = 0;
    for file in open {
        // One descriptor writes only.
        let Ok(bytes) = std::fs::read(file) else { continue };
        looked_at += bytes.len();
        for word in [&b"ada@example"[..], b"Lilas"] {
            assert!(!bytes.windows(word.len()).any(|window| window == word));
        }
    }
    assert!(looked_at > 200_000, "{looked_at} bytes were looked at");
}

#[test]
fn a_full_disk_is_an_error() {
    let disk = LossyDisk::new();
    let folder = house::folder();
    let house = house(folder.path(), Arc::new(disk.clone()));
    let mut aside = house.store.aside().unwrap();
    disk.set_free(Some(100_000));
    let pushed = (0..10).try_for_each(|_| aside.push(&[&[7; 50_000]]));
    assert!(pushed.is_err());
}
