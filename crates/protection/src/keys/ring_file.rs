//! The key ring on disk: JSON, so that a person who finds it sees what it is.
//!
//! ```text
//! { "clerestory_keyring": 1,          version
//!   "id": "…32 hex…",                 in every wrapped key
//!   "unlock": {"key_file": {}} | {"passphrase": {"memory_kib", "passes", "salt": "…hex…"}},
//!   "key_check": "…hex…",             HMAC-SHA256 under the unlocking key: tells a wrong key from damage
//!   "sealed": "…hex…",                the masters, AES-256-GCM-SIV, bound to all of the above
//!   "checksum": "…hex…" }             SHA-256 over all of the above: finds damage before anything is tried
//! ```

use super::durable::replace;
use super::{
    KEY_BYTES, KeyError, KeyRing, Masters, PassphraseCost, RING_ID_BYTES, Unlock, from_hex, hex,
    key_file, stretch,
};
use crate::cipher::ValueCipher;
use aws_lc_rs::{digest, hmac, rand};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

const VERSION: u32 = 1;
const SALT_BYTES: usize = 16;
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFile {
    clerestory_keyring: u32,
    id: String,
    unlock: UnlockedBy,
    key_check: String,
    sealed: String,
    checksum: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Version {
    clerestory_keyring: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum UnlockedBy {
    KeyFile {},
    Passphrase { memory_kib: u32, passes: u32, salt: String },
}

impl RingFile {
    /// What the masters are bound to.
    fn header(&self) -> String {
        let unlock = match &self.unlock {
            UnlockedBy::KeyFile {} => "key_file".to_owned(),
            UnlockedBy::Passphrase { memory_kib, passes, salt } => {
                format!("passphrase {memory_kib} {passes} {salt}")
            }
        };
        format!("clerestory keyring {} {} {unlock}", self.clerestory_keyring, self.id)
    }

    fn checksum(&self) -> String {
        let text = format!("{} {} {}", self.header(), self.key_check, self.sealed);
        hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
    }
}

pub(super) fn create(
    file: &Path,
    ring: &KeyRing,
    unlock: &Unlock,
    data_dir: &Path,
    cost: PassphraseCost,
) -> Result<(), KeyError> {
    if file.try_exists().map_err(|source| io_error("look for the key ring", file, source))? {
        return Err(KeyError::RingExists(file.to_owned()));
    }
    let (unlock, key) = match unlock {
        Unlock::KeyFile(path) => {
            (UnlockedBy::KeyFile {}, key_file::read_or_create(path, data_dir)?)
        }
        Unlock::Passphrase(passphrase) => {
            if passphrase.chars().count() < KeyRing::PASSPHRASE_CHARS_MIN {
                return Err(KeyError::PassphraseTooShort);
            }
            let mut salt = [0; SALT_BYTES];
            rand::fill(&mut salt).expect("the system gives random bytes");
            let PassphraseCost { memory_kib, passes } = cost;
            let unlocked_by = UnlockedBy::Passphrase { memory_kib, passes, salt: hex(&salt) };
            (unlocked_by, stretch(passphrase, &salt, cost))
        }
    };
    let mut ring_file = RingFile {
        clerestory_keyring: VERSION,
        id: ring.id(),
        unlock,
        key_check: String::new(),
        sealed: String::new(),
        checksum: String::new(),
    };
    let header = ring_file.header();
    ring_file.key_check = hex(key_check(&key, &header).as_ref());
    let sealed = ValueCipher::new(&key).seal_bound(header.as_bytes(), &ring.masters.to_bytes());
    ring_file.sealed = hex(&sealed);
    ring_file.checksum = ring_file.checksum();
    let text = serde_json::to_string_pretty(&ring_file).expect("strings and numbers only") + "\n";
    replace(file, text.as_bytes()).map_err(|source| io_error("write the key ring", file, source))
}

pub(super) fn open(file: &Path, unlock: &Unlock, data_dir: &Path) -> Result<KeyRing, KeyError> {
    let damaged = || KeyError::RingDamaged(file.to_owned());
    let ring_file = read(file)?;
    let header = ring_file.header();
    let (key, wrong) = match (&ring_file.unlock, unlock) {
        (UnlockedBy::KeyFile {}, Unlock::KeyFile(path)) => {
            (key_file::read(path, data_dir)?, KeyError::WrongKeyFile(path.clone()))
        }
        (UnlockedBy::Passphrase { memory_kib, passes, salt }, Unlock::Passphrase(passphrase)) => {
            let cost = PassphraseCost { memory_kib: *memory_kib, passes: *passes };
            let salt: [u8; SALT_BYTES] = from_hex(salt).ok_or_else(damaged)?;
            if !cost.is_sane() {
                return Err(damaged());
            }
            (stretch(passphrase, &salt, cost), KeyError::WrongPassphrase)
        }
        (UnlockedBy::KeyFile {}, Unlock::Passphrase(_)) => return Err(KeyError::NeedsKeyFile),
        (UnlockedBy::Passphrase { .. }, Unlock::KeyFile(_)) => {
            return Err(KeyError::NeedsPassphrase);
        }
    };
    let stored_check: [u8; 32] = from_hex(&ring_file.key_check).ok_or_else(damaged)?;
    let mac = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
    if hmac::verify(&mac, key_check_text(&header).as_bytes(), &stored_check).is_err() {
        return Err(wrong);
    }
    let id: [u8; RING_ID_BYTES] = from_hex(&ring_file.id).ok_or_else(damaged)?;
    const SEALED_BYTES: usize = 1 + 12 + Masters::BYTES + 16;
    let sealed: [u8; SEALED_BYTES] = from_hex(&ring_file.sealed).ok_or_else(damaged)?;
    let opened = ValueCipher::new(&key).open_bound(header.as_bytes(), &sealed);
    let opened = Zeroizing::new(opened.map_err(|_| damaged())?);
    let masters = opened.as_slice().try_into().map_err(|_| damaged())?;
    Ok(KeyRing { id, masters: Masters::from_bytes(masters) })
}

fn read(file: &Path) -> Result<RingFile, KeyError> {
    let damaged = || KeyError::RingDamaged(file.to_owned());
    let metadata = fs::metadata(file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyError::NoRing(file.to_owned()),
        _ => io_error("read the key ring", file, source),
    })?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(damaged());
    }
    let bytes = fs::read(file).map_err(|source| io_error("read the key ring", file, source))?;
    let version: Version = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    if version.clerestory_keyring > VERSION {
        return Err(KeyError::RingTooNew(file.to_owned()));
    }
    let ring_file: RingFile = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    if ring_file.checksum != ring_file.checksum() {
        return Err(damaged());
    }
    Ok(ring_file)
}

fn key_check_text(header: &str) -> String {
    format!("key check for {header}")
}

fn key_check(key: &[u8; KEY_BYTES], header: &str) -> hmac::Tag {
    let mac = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&mac, key_check_text(header).as_bytes())
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

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
            KeyRing::create_with(&self.ring, unlock, &self.data, PassphraseCost::TEST)
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
        house.refuses(&unlock, "is not the key file that seals this key ring");
        fs::write(&house.key, "ab").unwrap();
        house.refuses(&unlock, "64 hexadecimal characters");
        fs::remove_file(&house.key).unwrap();
        house.refuses(&unlock, "no key file at");
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
                Err(error) => assert!(matches!(error, KeyError::RingTooNew(_)), "{error}"),
                Ok(_) => panic!("a change at byte {at} was not noticed"),
            }
            fs::write(&house.ring, &whole[..at]).unwrap();
            if at + 1 < whole.len() {
                house.refuses(&unlock, "is damaged");
            }
        }
        assert!(changed > 500, "{changed}");
    }

    #[test]
    fn a_newer_ring_is_not_called_damaged() {
        let house = house();
        fs::write(&house.ring, r#"{"clerestory_keyring": 9, "new_thing": true}"#).unwrap();
        house.refuses(&passphrase("correct horse battery"), "written by a newer version");
    }

    #[test]
    fn a_ring_cannot_ask_for_all_memory() {
        let house = house();
        let unlock = passphrase("correct horse battery");
        house.create(&unlock).unwrap();
        let mut ring_file = read(&house.ring).unwrap();
        ring_file.unlock =
            UnlockedBy::Passphrase { memory_kib: u32::MAX, passes: 1, salt: hex(&[0; SALT_BYTES]) };
        ring_file.checksum = ring_file.checksum();
        fs::write(&house.ring, serde_json::to_string(&ring_file).unwrap()).unwrap();
        house.refuses(&unlock, "is damaged");
    }

    #[test]
    fn a_key_file_in_the_data_folder_is_refused() {
        let house = house();
        let inside = [
            house.data.join("node.key"),
            house.data.join("deep/er/node.key"),
            house.key.parent().unwrap().join("../data/node.key"),
        ];
        fs::create_dir(house.key.parent().unwrap()).unwrap();
        for path in inside {
            let error = house.create(&Unlock::KeyFile(path.clone())).unwrap_err();
            assert!(matches!(error, KeyError::KeyFileInDataDir(_)), "{error}");
            assert!(!path.try_exists().unwrap(), "and is not made");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_hide_a_key_file_in_the_data_folder() {
        use std::os::unix::fs::symlink;
        let house = house();
        let keys = house.key.parent().unwrap();
        fs::create_dir(keys).unwrap();
        symlink(&house.data, keys.join("elsewhere")).unwrap();
        let through_folder = Unlock::KeyFile(keys.join("elsewhere/node.key"));
        assert!(matches!(house.create(&through_folder), Err(KeyError::KeyFileInDataDir(_))));

        let hidden = house.data.join("hidden");
        fs::write(&hidden, "ab".repeat(32)).unwrap();
        symlink(&hidden, &house.key).unwrap();
        let through_file = Unlock::KeyFile(house.key.clone());
        assert!(matches!(house.create(&through_file), Err(KeyError::KeyFileInDataDir(_))));
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
}
