//! The key ring: the few random master keys of a data folder, sealed by a key that never lies
//! beside them.
//!
//! ```text
//! key file (outside the data folder) or passphrase (Argon2id)
//!   └ seals D/keyring: five random masters
//!        file       -> one wrapping key per purpose -> a fresh key per file   FileCipher
//!        value      -> one key per table and field                            ValueCipher
//!        mac        -> one key per purpose: pseudonyms, tags, API keys        MacKey
//!        record     -> one key per purpose: small records of the catalog      ValueCipher
//!        signature  -> Ed25519: checkpoints of the audit record               SigningKey
//! ```
//!
//! All derivations are HKDF-SHA256. Everything is wiped from memory when it is dropped.

mod durable;
mod key_file;
mod passphrase;
mod ring_file;
mod sign;

pub use passphrase::PassphraseCost;
pub use sign::{SIGNATURE_BYTES, SigningKey, VerifyingKey};

pub(crate) use durable::replace;
pub(crate) use passphrase::stretch;

use crate::cipher::{FileCipher, ValueCipher};
use aws_lc_rs::{hkdf, hmac, rand};
use model::{FieldId, TableId};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

const KEY_BYTES: usize = 32;

/// An opened key ring. Wiped from memory when it is dropped.
pub struct KeyRing {
    id: [u8; RING_ID_BYTES],
    masters: Masters,
}

const RING_ID_BYTES: usize = 16;

/// What opens the key ring. Neither may lie in the data folder.
#[derive(Clone)]
pub enum Unlock {
    /// A file of 32 random bytes in hexadecimal, readable by its owner only.
    KeyFile(PathBuf),
    /// At least [`KeyRing::PASSPHRASE_CHARS_MIN`] characters.
    Passphrase(Zeroizing<String>),
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unlock::KeyFile(path) => f.debug_tuple("KeyFile").field(path).finish(),
            Unlock::Passphrase(_) => f.write_str("Passphrase(…)"),
        }
    }
}

/// The random keys that everything else is derived from.
struct Masters {
    file: Zeroizing<[u8; KEY_BYTES]>,
    value: Zeroizing<[u8; KEY_BYTES]>,
    mac: Zeroizing<[u8; KEY_BYTES]>,
    record: Zeroizing<[u8; KEY_BYTES]>,
    signature: Zeroizing<[u8; KEY_BYTES]>,
}

impl Masters {
    const BYTES: usize = 5 * KEY_BYTES;

    fn random() -> Masters {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        rand::fill(bytes.as_mut_slice()).expect("the system gives random bytes");
        Masters::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Masters {
        let key = |number: usize| {
            let mut key = Zeroizing::new([0; KEY_BYTES]);
            key.copy_from_slice(&bytes[number * KEY_BYTES..(number + 1) * KEY_BYTES]);
            key
        };
        Masters { file: key(0), value: key(1), mac: key(2), record: key(3), signature: key(4) }
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::BYTES));
        for key in [&self.file, &self.value, &self.mac, &self.record, &self.signature] {
            bytes.extend_from_slice(key.as_slice());
        }
        bytes
    }
}

impl KeyRing {
    /// The shortest passphrase that is taken.
    pub const PASSPHRASE_CHARS_MIN: usize = 12;

    /// Makes a ring of fresh random keys and writes it to `file`.
    ///
    /// A key file that is not there yet is made (32 random bytes, readable by its owner only).
    ///
    /// # Errors
    /// If there is a ring already, the key file lies inside `data_dir` or is readable by others,
    /// the passphrase is too short, or a file cannot be written.
    pub fn create(file: &Path, unlock: &Unlock, data_dir: &Path) -> Result<KeyRing, KeyError> {
        KeyRing::create_with(file, unlock, data_dir, PassphraseCost::STANDARD)
    }

    /// As [`KeyRing::create`], with what a guess of the passphrase shall cost.
    ///
    /// # Errors
    /// As [`KeyRing::create`].
    pub fn create_with(
        file: &Path,
        unlock: &Unlock,
        data_dir: &Path,
        cost: PassphraseCost,
    ) -> Result<KeyRing, KeyError> {
        let ring = KeyRing::in_memory();
        ring_file::create(file, &ring, unlock, data_dir, cost)?;
        Ok(ring)
    }

    /// Opens the ring in `file`.
    ///
    /// # Errors
    /// If the key or passphrase is not the one that sealed the ring, the key file lies inside
    /// `data_dir` or is readable by others, or the ring is missing, damaged or of a newer version.
    pub fn open(file: &Path, unlock: &Unlock, data_dir: &Path) -> Result<KeyRing, KeyError> {
        ring_file::open(file, unlock, data_dir)
    }

    /// A ring of fresh random keys that is in no file: what is sealed under it is lost with it.
    /// For tests.
    pub fn in_memory() -> KeyRing {
        let mut id = [0; RING_ID_BYTES];
        rand::fill(&mut id).expect("the system gives random bytes");
        KeyRing { id, masters: Masters::random() }
    }

    /// The ring's public name: 32 hexadecimal characters, in every wrapped key and audit file.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// A fresh key for one file, and the same key wrapped for the file's header
    /// ([`WRAPPED_KEY_BYTES`] bytes).
    pub fn new_file_key(&self, purpose: &str) -> (FileCipher, Vec<u8>) {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(key.as_mut_slice()).expect("the system gives random bytes");
        let mut wrapped = Vec::with_capacity(WRAPPED_KEY_BYTES);
        wrapped.extend_from_slice(&self.id);
        wrapped.extend(self.wrapping_cipher(purpose).seal_bound(&self.id, key.as_slice()));
        (FileCipher::new(&key), wrapped)
    }

    /// Opens a key that [`KeyRing::new_file_key`] wrapped for the same purpose.
    ///
    /// # Errors
    /// [`KeyError::OtherRing`] if another ring wrapped it, [`KeyError::WrappedKey`] if it was
    /// changed, cut, or wrapped for another purpose.
    pub fn open_file_key(&self, purpose: &str, wrapped: &[u8]) -> Result<FileCipher, KeyError> {
        if wrapped.len() != WRAPPED_KEY_BYTES {
            return Err(KeyError::WrappedKey);
        }
        let (ring, sealed) = wrapped.split_at(RING_ID_BYTES);
        if ring != self.id {
            return Err(KeyError::OtherRing);
        }
        let opened = self.wrapping_cipher(purpose).open_bound(&self.id, sealed);
        let opened = Zeroizing::new(opened.map_err(|_| KeyError::WrappedKey)?);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(&opened);
        Ok(FileCipher::new(&key))
    }

    fn wrapping_cipher(&self, purpose: &str) -> ValueCipher {
        ValueCipher::new(&derive(&self.masters.file, "file", purpose.as_bytes()))
    }

    /// The key for keyed hashes of one purpose: pseudonyms, tags, API keys.
    pub fn mac_key(&self, purpose: &str) -> MacKey {
        let key = derive(&self.masters.mac, "mac", purpose.as_bytes());
        MacKey { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()) }
    }

    /// The cipher for the sealed values of one field. Deriving takes microseconds: keep it for a
    /// whole column.
    pub fn value_cipher(&self, table: TableId, field: FieldId) -> ValueCipher {
        let mut place = [0; 8];
        place[..4].copy_from_slice(&table.0.to_be_bytes());
        place[4..].copy_from_slice(&field.0.to_be_bytes());
        ValueCipher::new(&derive(&self.masters.value, "value", &place))
    }

    /// The cipher for small records of one purpose (the catalog); bind each value to its place
    /// with [`ValueCipher::seal_bound`].
    pub fn record_cipher(&self, purpose: &str) -> ValueCipher {
        ValueCipher::new(&derive(&self.masters.record, "record", purpose.as_bytes()))
    }

    /// The key that signs checkpoints.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(&derive(&self.masters.signature, "signature", b"checkpoint"))
    }

    /// The public half of [`KeyRing::signing_key`].
    pub fn verifying_key(&self) -> VerifyingKey {
        self.signing_key().verifying_key()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({})", self.id())
    }
}

/// Bytes of a wrapped file key: id of the ring, version, nonce, key, tag.
pub const WRAPPED_KEY_BYTES: usize = RING_ID_BYTES + 1 + 12 + KEY_BYTES + crate::cipher::TAG_BYTES;

/// One key per label and purpose. Only the last part varies in length, so no two inputs meet.
fn derive(master: &[u8; KEY_BYTES], label: &str, purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let master = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, master);
    let info: [&[u8]; 4] = [b"clerestory/v1/", label.as_bytes(), b"/", purpose];
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    master
        .expand(&info, hkdf::HKDF_SHA256)
        .and_then(|derived| derived.fill(key.as_mut_slice()))
        .expect("HKDF gives 32 bytes");
    key
}

/// HMAC-SHA256 under the key of one purpose.
#[derive(Clone)]
pub struct MacKey {
    key: hmac::Key,
}

impl MacKey {
    /// The keyed hash of `data`.
    pub fn sign(&self, data: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.key, data);
        tag.as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes")
    }

    /// The keyed hash of all parts in a row, without a separator: the caller keeps the cuts
    /// unambiguous.
    pub fn sign_parts(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(part);
        }
        context.sign().as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes")
    }

    /// Whether `tag` is the keyed hash of `data`, in a time that does not depend on where they
    /// differ.
    pub fn verifies(&self, data: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.key, data, tag).is_ok()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(…)")
    }
}

/// Why the key ring or a wrapped key did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no key ring.
    #[error("no key ring at {}; run `clerestory init` first, or restore the file from a backup", .0.display())]
    NoRing(PathBuf),
    /// There is one already.
    #[error("there is a key ring at {} already; a new one would make all data unreadable", .0.display())]
    RingExists(PathBuf),
    /// The file is no key ring, or was cut or changed.
    #[error("the key ring {} is damaged or no key ring; restore it from a backup", .0.display())]
    RingDamaged(PathBuf),
    /// Written by a newer Clerestory.
    #[error("the key ring {} was written by a newer version; run that version", .0.display())]
    RingTooNew(PathBuf),
    /// The ring is opened by a passphrase, and a key file was given.
    #[error("the key ring is sealed by a passphrase, not by a key file; give the passphrase")]
    NeedsPassphrase,
    /// The ring is opened by a key file, and a passphrase was given.
    #[error("the key ring is sealed by a key file, not by a passphrase; give the key file")]
    NeedsKeyFile,
    /// Another passphrase sealed the ring.
    #[error("wrong passphrase for the key ring")]
    WrongPassphrase,
    /// Another key file sealed the ring.
    #[error("{} is not the key file that seals this key ring; give the one made by its `init`", .0.display())]
    WrongKeyFile(PathBuf),
    /// Too easy to guess.
    #[error("the passphrase is shorter than 12 characters; take several words")]
    PassphraseTooShort,
    /// The key file is missing.
    #[error("no key file at {}; without it the data cannot be read, so restore it from where it is kept", .0.display())]
    NoKeyFile(PathBuf),
    /// Not 64 hexadecimal characters.
    #[error("{} is no key file: it must hold 64 hexadecimal characters", .0.display())]
    KeyFileDamaged(PathBuf),
    /// Beside the data, so that whoever takes the folder has the key as well.
    #[error("the key file {} lies inside the data folder; keep it elsewhere, so that a copy of the folder is noise", .0.display())]
    KeyFileInDataDir(PathBuf),
    /// Its mode lets others read it.
    #[error("the key file {} can be read by others; run `chmod 600` on it", .0.display())]
    KeyFileExposed(PathBuf),
    /// A wrapped key was changed, cut, or belongs to another purpose.
    #[error(
        "the wrapped key is damaged or was made for another purpose; restore the file from a backup"
    )]
    WrappedKey,
    /// Sealed under another ring.
    #[error("sealed under another key ring; the file comes from another data folder")]
    OtherRing,
    /// Reading or writing failed.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads exactly `N` bytes of hexadecimal; `None` if `text` is anything else.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            bytes.zeroize();
            return None;
        };
        *byte = (high * 16 + low) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_key_opens_for_its_purpose_under_its_ring() {
        let ring = KeyRing::in_memory();
        let (cipher, wrapped) = ring.new_file_key("segment:7");
        assert_eq!(wrapped.len(), WRAPPED_KEY_BYTES);
        let mut sealed = b"rows".to_vec();
        cipher.seal_frame(b"id", 0, true, &mut sealed);
        ring.open_file_key("segment:7", &wrapped)
            .unwrap()
            .open_frame(b"id", 0, true, &mut sealed)
            .unwrap();
        assert_eq!(sealed, b"rows");

        let error = |ring: &KeyRing, purpose: &str, wrapped: &[u8]| {
            ring.open_file_key(purpose, wrapped).unwrap_err().to_string()
        };
        assert!(error(&ring, "log", &wrapped).contains("another purpose"));
        assert!(error(&KeyRing::in_memory(), "segment:7", &wrapped).contains("another key ring"));
        assert!(error(&ring, "segment:7", &wrapped[1..]).contains("damaged"));
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert!(ring.open_file_key("segment:7", &changed).is_err());
        }
    }

    #[test]
    fn purposes_do_not_share_keys() {
        let ring = KeyRing::in_memory();
        assert_ne!(ring.mac_key("a").sign(b"x"), ring.mac_key("b").sign(b"x"));
        assert_eq!(ring.mac_key("a").sign(b"xy"), ring.mac_key("a").sign_parts(&[b"x", b"y"]));
        assert!(ring.mac_key("a").verifies(b"x", &ring.mac_key("a").sign(b"x")));
        assert!(!ring.mac_key("a").verifies(b"y", &ring.mac_key("a").sign(b"x")));

        let sealed = ring.value_cipher(TableId(1), FieldId(2)).seal(b"72.5");
        assert!(ring.value_cipher(TableId(1), FieldId(3)).open(&sealed).is_err());
        assert!(ring.value_cipher(TableId(2), FieldId(1)).open(&sealed).is_err());
        assert!(KeyRing::in_memory().value_cipher(TableId(1), FieldId(2)).open(&sealed).is_err());
        assert_eq!(ring.value_cipher(TableId(1), FieldId(2)).open(&sealed).unwrap(), b"72.5");
    }

    #[test]
    fn debug_shows_no_key() {
        let ring = KeyRing::in_memory();
        assert_eq!(format!("{ring:?}"), format!("KeyRing({})", ring.id()));
        let unlock = Unlock::Passphrase(Zeroizing::new("correct horse battery".into()));
        assert_eq!(format!("{unlock:?}"), "Passphrase(…)");
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(from_hex::<3>("001fff"), Some([0, 0x1f, 0xff]));
        assert_eq!(from_hex::<3>("001ff"), None);
        assert_eq!(from_hex::<3>("001fgg"), None);
        assert_eq!(from_hex::<1>("é"), None, "two bytes, no digits");
    }
}
