//! The key ring on disk: JSON, so that a person who finds it sees what it is.
//!
//! ```text
//! { "clerestory_keyring": 2,          version
//!   "id": "…32 hex…",
//!   "kms": "key_file" | "passphrase" | "systemd" | "vault" | "aws",
//!   "root": "…",                      the root key, as its keeper wrapped it
//!   "sealed": "…hex…",                the keys, AES-256-GCM-SIV under the root key, bound to version and id
//!   "checksum": "…hex…" }             SHA-256 over all of the above: tells damage from a wrong key
//! ```
//!
//! Each key: family u8, generation u32, made at i64 (ms), id (16 bytes), key (32); big-endian.

use super::durable::replace;
use super::family::Keys;
use super::kms::{Kms, KmsKind, RootKey};
use super::ring::RING_ID_BYTES;
use super::{KeyError, bytes_from_hex, from_hex, hex};
use crate::cipher::ValueCipher;
use aws_lc_rs::{digest, rand};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const VERSION: u32 = 2;
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A ring file as it was read or is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RingFile {
    clerestory_keyring: u32,
    id: String,
    kms: String,
    root: String,
    sealed: String,
    checksum: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Version {
    clerestory_keyring: u32,
}

/// A ring file with what changing it needs.
pub(super) struct Sealed {
    pub(super) path: PathBuf,
    pub(super) root: RootKey,
    pub(super) file: RingFile,
}

/// A ring that was read.
pub(super) struct Opened {
    pub(super) id: [u8; RING_ID_BYTES],
    pub(super) keys: Keys,
    pub(super) home: Sealed,
}

/// Writes a ring file under a fresh root key.
pub(super) fn seal(path: &Path, id: &str, keys: &Keys, kms: &dyn Kms) -> Result<Sealed, KeyError> {
    let (root, file) = sealed(id, keys, kms)?;
    file.write(path)?;
    Ok(Sealed { path: path.to_owned(), root, file })
}

/// The text of a ring file under a fresh root key, for somebody to take away.
pub(super) fn sealed_text(id: &str, keys: &Keys, kms: &dyn Kms) -> Result<String, KeyError> {
    Ok(sealed(id, keys, kms)?.1.to_text())
}

fn sealed(id: &str, keys: &Keys, kms: &dyn Kms) -> Result<(RootKey, RingFile), KeyError> {
    let mut root = RootKey::default();
    rand::fill(root.as_mut_slice()).expect("the system gives random bytes");
    let wrapped = kms.wrap(&root, id)?;
    let file = RingFile {
        clerestory_keyring: VERSION,
        id: id.to_owned(),
        kms: kms.kind().as_str().to_owned(),
        root: wrapped,
        sealed: String::new(),
        checksum: String::new(),
    };
    let file = file.with_keys(&root, keys);
    Ok((root, file))
}

/// Reads and opens a ring file.
pub(super) fn open(path: &Path, kms: &dyn Kms) -> Result<Opened, KeyError> {
    let damaged = || KeyError::RingDamaged(path.to_owned());
    let file = read(path)?;
    let id: [u8; RING_ID_BYTES] = from_hex(&file.id).ok_or_else(damaged)?;
    let sealed = bytes_from_hex(&file.sealed, FILE_BYTES_MAX as usize).ok_or_else(damaged)?;
    KmsKind::parse(&file.kms).ok_or_else(damaged)?;
    file.refuse_other(kms)?;
    let root = kms.unwrap(&file.root, &file.id).map_err(|error| match error {
        KeyError::WrappedKey => damaged(),
        other => other,
    })?;
    let opened = ValueCipher::new(&root).open_bound(file.place().as_bytes(), &sealed);
    let opened = Zeroizing::new(opened.map_err(|_| damaged())?);
    let keys = Keys::from_bytes(&opened).ok_or_else(damaged)?;
    Ok(Opened { id, keys, home: Sealed { path: path.to_owned(), root, file } })
}

impl RingFile {
    /// What the keys are bound to.
    fn place(&self) -> String {
        format!("clerestory keyring {} {}", self.clerestory_keyring, self.id)
    }

    fn checksum(&self) -> String {
        let text = format!("{} {} {} {}", self.place(), self.kms, self.root, self.sealed);
        hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
    }

    /// What seals it.
    pub(super) fn sealed_by(&self) -> KmsKind {
        KmsKind::parse(&self.kms).expect("checked when it was read")
    }

    /// The root key as its keeper wrapped it.
    pub(super) fn wrapped(&self) -> &str {
        &self.root
    }

    /// The same with other keys under the same root key.
    pub(super) fn with_keys(&self, root: &RootKey, keys: &Keys) -> RingFile {
        let sealed = ValueCipher::new(root).seal_bound(self.place().as_bytes(), &keys.to_bytes());
        let mut file = RingFile { sealed: hex(&sealed), ..self.clone() };
        file.checksum = file.checksum();
        file
    }

    /// The same with the same root key wrapped anew.
    pub(super) fn with_wrapped(&self, wrapped: String) -> RingFile {
        let mut file = RingFile { root: wrapped, ..self.clone() };
        file.checksum = file.checksum();
        file
    }

    /// Refuses a keeper of another kind than the one that sealed this.
    pub(super) fn refuse_other(&self, kms: &dyn Kms) -> Result<(), KeyError> {
        let (sealed_by, given) = (self.sealed_by(), kms.kind());
        if sealed_by == given { Ok(()) } else { Err(KeyError::OtherKms { sealed_by, given }) }
    }

    /// Refuses to go on if the file on disk is not this one any more.
    pub(super) fn refuse_changed(&self, path: &Path) -> Result<(), KeyError> {
        let now = read(path)?.checksum;
        if now == self.checksum { Ok(()) } else { Err(KeyError::RingChanged(path.to_owned())) }
    }

    fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers only") + "\n"
    }

    /// Puts it in the place of what is there, durably and whole.
    pub(super) fn write(&self, path: &Path) -> Result<(), KeyError> {
        replace(path, self.to_text().as_bytes())
            .map_err(|source| KeyError::io("write the key ring", path, source))
    }
}

fn read(path: &Path) -> Result<RingFile, KeyError> {
    let damaged = || KeyError::RingDamaged(path.to_owned());
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyError::NoRing(path.to_owned()),
        _ => KeyError::io("read the key ring", path, source),
    })?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(damaged());
    }
    let bytes = fs::read(path).map_err(|source| KeyError::io("read the key ring", path, source))?;
    let version: Version = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    match version.clerestory_keyring {
        VERSION => {}
        1 => return Err(KeyError::RingTooOld(path.to_owned())),
        0 => return Err(damaged()),
        _ => return Err(KeyError::RingTooNew(path.to_owned())),
    }
    let file: RingFile = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    if file.checksum != file.checksum() || KmsKind::parse(&file.kms).is_none() {
        return Err(damaged());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::vault::tests::{Transit, vault};
    use crate::keys::{Family, KeyRing, PassphraseCost, Unlock};
    use model::Timestamp;

    /// A data folder and a place for keys beside it.
    struct House {
        _root: tempfile::TempDir,
        data: PathBuf,
        ring: PathBuf,
        key: PathBuf,
    }

    fn house() -> House {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        fs::create_dir(&data).unwrap();
        let (ring, key) = (data.join("keyring"), root.path().join("keys/node.key"));
        House { _root: root, data, ring, key }
    }

    impl House {
        fn create(&self, unlock: &Unlock) -> Result<KeyRing, KeyError> {
            let now = Timestamp(1);
            KeyRing::create_with(&self.ring, unlock, &self.data, now, PassphraseCost::TEST)
        }

        fn open(&self, unlock: &Unlock) -> Result<KeyRing, KeyError> {
            KeyRing::open(&self.ring, unlock, &self.data)
        }

        #[track_caller]
        fn refuses(&self, unlock: &Unlock, expected: &str) {
            let error = KeyRing::open(&self.ring, unlock, &self.data).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    fn passphrase(text: &str) -> Unlock {
        Unlock::Passphrase(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn a_ring_opens_with_its_key_file_only() {
        let house = house();
        let unlock = Unlock::KeyFile(house.key.clone());
        house.refuses(&unlock, "run `clerestory init` first");
        let made = house.create(&unlock).unwrap();
        let opened = KeyRing::open(&house.ring, &unlock, &house.data).unwrap();
        assert_eq!(made.id(), opened.id());
        assert_eq!(made.mac_key("x").sign(b"x"), opened.mac_key("x").sign(b"x"));
        assert_eq!(made.verifying_key(), opened.verifying_key());

        assert!(matches!(house.create(&unlock), Err(KeyError::RingExists(_))));
        house.refuses(&passphrase("correct horse battery"), "give the key file");
        fs::write(&house.key, format!("{}\n", "ab".repeat(32))).unwrap();
        house.refuses(&unlock, "but the key ring is sealed by key");
        fs::write(&house.key, "ab").unwrap();
        house.refuses(&unlock, "64 hexadecimal characters");
        fs::remove_file(&house.key).unwrap();
        house.refuses(&unlock, "but there is no key file");
    }

    #[test]
    fn a_ring_opens_with_its_passphrase_only() {
        let house = house();
        assert!(matches!(house.create(&passphrase("short")), Err(KeyError::PassphraseTooShort)));
        let made = house.create(&passphrase("correct horse battery")).unwrap();
        let unlock = passphrase("correct horse battery");
        assert_eq!(KeyRing::open(&house.ring, &unlock, &house.data).unwrap().id(), made.id());
        house.refuses(&passphrase("correct horse batterie"), "wrong passphrase");
        house.refuses(&Unlock::KeyFile(house.key.clone()), "give the passphrase");
    }

    #[test]
    fn every_change_and_cut_of_the_ring_is_named_as_damage() {
        let house = house();
        let unlock = passphrase("correct horse battery");
        house.create(&unlock).unwrap();
        let whole = fs::read(&house.ring).unwrap();
        let mut changed = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&house.ring, &bytes).unwrap();
            match KeyRing::open(&house.ring, &unlock, &house.data) {
                Err(KeyError::RingDamaged(_)) => changed += 1,
                // The version number itself.
                Err(KeyError::RingTooNew(_)) => {}
                Err(error) => panic!("{error}"),
                Ok(_) => panic!("a change at byte {at} was not noticed"),
            }
            fs::write(&house.ring, &whole[..at]).unwrap();
            if at + 1 < whole.len() {
                house.refuses(&unlock, "is damaged");
            }
        }
        assert!(changed > 1000, "{changed}");
    }

    #[test]
    fn a_newer_ring_is_not_called_damaged() {
        let house = house();
        fs::write(&house.ring, r#"{"clerestory_keyring": 9, "new_thing": true}"#).unwrap();
        house.refuses(&passphrase("correct horse battery"), "written by a newer version");
        fs::write(&house.ring, r#"{"clerestory_keyring": 1, "old_thing": true}"#).unwrap();
        house.refuses(&passphrase("correct horse battery"), "before the first release");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let house = house();
        let unlock = Unlock::KeyFile(house.key.clone());
        house.create(&unlock).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&house.key), mode(&house.ring)), (0o600, 0o600));
        fs::set_permissions(&house.key, fs::Permissions::from_mode(0o640)).unwrap();
        house.refuses(&unlock, "chmod 600");
    }

    #[test]
    fn a_key_file_in_the_data_folder_is_refused_and_not_made() {
        let house = house();
        for path in [house.data.join("node.key"), house.data.join("deep/er/node.key")] {
            let error = house.create(&Unlock::KeyFile(path.clone())).unwrap_err();
            assert!(matches!(error, KeyError::KeyFileInDataDir(_)), "{error}");
            assert!(!path.try_exists().unwrap());
        }
    }

    #[test]
    fn rotation_is_durable_and_a_crash_leaves_one_ring_or_the_other() {
        let house = house();
        let unlock = Unlock::KeyFile(house.key.clone());
        let ring = house.create(&unlock).unwrap();
        let (_, old) = ring.new_file_key("segment");
        let before = fs::read(&house.ring).unwrap();
        assert_eq!(ring.rotate(Family::File, Timestamp(5)).unwrap(), 2);
        let (_, new) = ring.new_file_key("segment");
        let after = house.open(&unlock).unwrap();
        assert_eq!(after.generations(Family::File), ring.generations(Family::File));
        assert!(after.open_file_key("segment", &old).is_ok());
        assert!(after.open_file_key("segment", &new).is_ok());

        // Killed while the next ring was being written: the old one, and what is left is in no way.
        let unfinished = house.data.join("keyring.new");
        fs::write(&unfinished, &fs::read(&house.ring).unwrap()[..100]).unwrap();
        fs::write(&house.ring, &before).unwrap();
        let recovered = house.open(&unlock).unwrap();
        assert_eq!(recovered.generations(Family::File).len(), 1);
        assert!(recovered.open_file_key("segment", &old).is_ok());
        assert_eq!(recovered.rotate(Family::File, Timestamp(6)).unwrap(), 2);
        recovered.destroy(Family::File, 1).unwrap();
        let last = house.open(&unlock).unwrap();
        assert!(matches!(last.open_file_key("segment", &old), Err(KeyError::OtherRing { .. })));
    }

    #[test]
    fn two_processes_do_not_undo_each_other() {
        let house = house();
        let unlock = Unlock::KeyFile(house.key.clone());
        let one = house.create(&unlock).unwrap();
        let two = house.open(&unlock).unwrap();
        one.rotate(Family::Value, Timestamp(5)).unwrap();
        let error = two.rotate(Family::Value, Timestamp(6)).unwrap_err();
        assert!(matches!(error, KeyError::RingChanged(_)), "{error}");
        assert_eq!(two.generations(Family::Value).len(), 1, "nothing changed in memory either");
        let lock = crate::keys::durable::Lock::take(&house.ring).unwrap();
        assert!(matches!(one.rotate(Family::Value, Timestamp(7)), Err(KeyError::RingBusy(_))));
        drop(lock);
        assert_eq!(one.rotate(Family::Value, Timestamp(8)).unwrap(), 3);
    }

    #[test]
    fn a_ring_that_cannot_be_written_is_not_rotated() {
        let house = house();
        let unlock = Unlock::KeyFile(house.key.clone());
        let ring = house.create(&unlock).unwrap();
        // In the way of the new file.
        fs::create_dir(house.data.join("keyring.new")).unwrap();
        assert!(matches!(ring.rotate(Family::File, Timestamp(5)), Err(KeyError::Io { .. })));
        assert_eq!(ring.generations(Family::File).len(), 1);
    }

    #[test]
    fn a_ring_moves_from_keeper_to_keeper() {
        let house = house();
        let (key_file, words) =
            (Unlock::KeyFile(house.key.clone()), passphrase("correct horse battery"));
        let ring = house.create(&key_file).unwrap();
        let old = fs::read(&house.ring).unwrap();
        let signed = ring.mac_key("x").sign(b"x");

        ring.rewrap(&words, &house.data).unwrap();
        house.refuses(&key_file, "give the passphrase");
        let ring = house.open(&words).unwrap();
        assert_eq!(ring.mac_key("x").sign(b"x"), signed);

        let transit = Transit::default();
        let server = transit.serve();
        let service = Unlock::vault(vault(&server.url()));
        ring.rewrap(&service, &house.data).unwrap();
        house.refuses(&words, "give the key: --key-service vault:MOUNT/KEY");
        transit.rotate();
        assert!(ring.refresh(&service, &house.data).unwrap());
        assert!(fs::read_to_string(&house.ring).unwrap().contains("vault:v2:"));
        let ring = house.open(&service).unwrap();
        assert_eq!(ring.mac_key("x").sign(b"x"), signed);
        assert_eq!(ring.rotate(Family::Mac, Timestamp(9)).unwrap(), 2, "no keeper is asked");

        drop(server);
        let error = house.open(&service).unwrap_err().to_string();
        assert!(error.contains("Vault's transit key transit/node at 127.0.0.1"), "{error}");
        assert!(ring.rewrap(&service, &house.data).is_err());
        assert_eq!(ring.sealed_by(), Some(KmsKind::Vault), "the former keeper stays");
        ring.rewrap(&words, &house.data).unwrap();

        // An old copy of the ring holds the old keys under the old key file, and nothing newer.
        let (_, new) = ring.new_file_key("segment");
        ring.rotate(Family::File, Timestamp(10)).unwrap();
        let (_, newest) = ring.new_file_key("segment");
        fs::write(&house.ring, old).unwrap();
        let stolen = house.open(&key_file).unwrap();
        assert!(stolen.open_file_key("segment", &new).is_ok());
        assert!(stolen.open_file_key("segment", &newest).is_err());
    }
}
