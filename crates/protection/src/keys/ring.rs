use super::durable::Lock;
use super::family::{Family, Generation, Keys};
use super::kms::{Kms, KmsKind, RootKey, Unlock};
use super::mac::{MacKey, derive};
use super::ring_file::{self, RingFile};
use super::{KEY_BYTES, KeyError, PassphraseCost, SigningKey, VerifyingKey, hex};
use crate::cipher::{FileCipher, ValueCipher};
use aws_lc_rs::rand;
use model::{FieldId, TableId, Timestamp};
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// An opened key ring. Wiped from memory when it is dropped.
///
/// Shared by everything that seals; rotating takes effect for all at once.
pub struct KeyRing {
    id: [u8; RING_ID_BYTES],
    keys: RwLock<Arc<Keys>>,
    /// Held through a change of the ring.
    home: Mutex<Option<Home>>,
}

/// The file that a ring lives in.
struct Home {
    path: PathBuf,
    root: RootKey,
    file: RingFile,
}

pub(super) const RING_ID_BYTES: usize = 16;

/// Bytes of a wrapped file key: id of the key that wraps it, version, nonce, key, tag.
pub const WRAPPED_KEY_BYTES: usize = RING_ID_BYTES + 1 + 12 + KEY_BYTES + crate::cipher::TAG_BYTES;

impl KeyRing {
    /// The shortest passphrase that is taken.
    pub const PASSPHRASE_CHARS_MIN: usize = 12;

    /// Makes a ring of fresh random keys and writes it to `file`.
    ///
    /// A key file that is not there yet is made (32 random bytes, readable by its owner only).
    ///
    /// # Errors
    /// If there is a ring already, the key file lies inside `data_dir` or is readable by others,
    /// the passphrase is too short, a service does not wrap, or a file cannot be written.
    pub fn create(
        file: &Path,
        unlock: &Unlock,
        data_dir: &Path,
        now: Timestamp,
    ) -> Result<KeyRing, KeyError> {
        KeyRing::create_with(file, unlock, data_dir, now, PassphraseCost::STANDARD)
    }

    /// As [`KeyRing::create`], with what a guess of the passphrase shall cost.
    ///
    /// # Errors
    /// As [`KeyRing::create`].
    pub fn create_with(
        file: &Path,
        unlock: &Unlock,
        data_dir: &Path,
        now: Timestamp,
        cost: PassphraseCost,
    ) -> Result<KeyRing, KeyError> {
        let _lock = Lock::take(file)?;
        if file
            .try_exists()
            .map_err(|source| KeyError::io("look for the key ring", file, source))?
        {
            return Err(KeyError::RingExists(file.to_owned()));
        }
        let ring = KeyRing::with_keys(random_id(), Keys::random(now));
        let kms = unlock.kms(data_dir, cost);
        let home = ring_file::seal(file, &ring.id(), &ring.keys(), &*kms)?;
        *ring.home.lock() = Some(home.into());
        Ok(ring)
    }

    /// Opens the ring in `file`.
    ///
    /// # Errors
    /// If the key or passphrase is not the one that sealed the ring, it is not where it was looked
    /// for, lies inside `data_dir` or is readable by others; if a service does not unwrap; if the
    /// ring is missing, damaged or of a newer version.
    pub fn open(file: &Path, unlock: &Unlock, data_dir: &Path) -> Result<KeyRing, KeyError> {
        let kms = unlock.kms(data_dir, PassphraseCost::STANDARD);
        let opened = ring_file::open(file, &*kms)?;
        let ring = KeyRing::with_keys(opened.id, opened.keys);
        *ring.home.lock() = Some(opened.home.into());
        Ok(ring)
    }

    /// A ring of fresh random keys that is in no file: what is sealed under it is lost with it.
    /// For tests.
    pub fn in_memory() -> KeyRing {
        KeyRing::with_keys(random_id(), Keys::random(Timestamp(0)))
    }

    fn with_keys(id: [u8; RING_ID_BYTES], keys: Keys) -> KeyRing {
        KeyRing { id, keys: RwLock::new(Arc::new(keys)), home: Mutex::default() }
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read())
    }

    /// The ring's public name: 32 hexadecimal characters.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// A fresh key for one file, and the same key wrapped for the file's header
    /// ([`WRAPPED_KEY_BYTES`] bytes).
    pub fn new_file_key(&self, purpose: &str) -> (FileCipher, Vec<u8>) {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(key.as_mut_slice()).expect("the system gives random bytes");
        (FileCipher::new(&key), self.wrap(purpose, &key))
    }

    /// Opens a key that [`KeyRing::new_file_key`] wrapped for the same purpose.
    ///
    /// # Errors
    /// [`KeyError::OtherRing`] if it was wrapped by a key that is not in this ring,
    /// [`KeyError::WrappedKey`] if it was changed, cut, or wrapped for another purpose.
    pub fn open_file_key(&self, purpose: &str, wrapped: &[u8]) -> Result<FileCipher, KeyError> {
        Ok(FileCipher::new(&*self.unwrap(purpose, wrapped)?))
    }

    /// The same file key wrapped by the newest generation; `None` if it is already.
    ///
    /// # Errors
    /// As [`KeyRing::open_file_key`].
    pub fn rewrap_file_key(
        &self,
        purpose: &str,
        wrapped: &[u8],
    ) -> Result<Option<Vec<u8>>, KeyError> {
        let current = self.keys().current(Family::of_file(purpose)).id;
        if wrapped.starts_with(&current) {
            return Ok(None);
        }
        Ok(Some(self.wrap(purpose, &*self.unwrap(purpose, wrapped)?)))
    }

    /// Whether a wrapped key that begins with this id ([`WRAPPED_KEY_BYTES`] has 16 bytes of it)
    /// is under an older generation of [`Family::File`], and not the newest.
    pub fn is_older_file_key(&self, id: &[u8]) -> bool {
        let keys = self.keys();
        keys.by_id(Family::File, id).is_some() && keys.current(Family::File).id != *id
    }

    fn wrap(&self, purpose: &str, file_key: &[u8; KEY_BYTES]) -> Vec<u8> {
        let keys = self.keys();
        let key = keys.current(Family::of_file(purpose));
        let mut wrapped = Vec::with_capacity(WRAPPED_KEY_BYTES);
        wrapped.extend_from_slice(&key.id);
        wrapped.extend(wrapping_cipher(key.secret.bytes(), purpose).seal_bound(&key.id, file_key));
        wrapped
    }

    fn unwrap(
        &self,
        purpose: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
        if wrapped.len() != WRAPPED_KEY_BYTES {
            return Err(KeyError::WrappedKey);
        }
        let (id, sealed) = wrapped.split_at(RING_ID_BYTES);
        let keys = self.keys();
        let key = keys
            .by_id(Family::of_file(purpose), id)
            .ok_or_else(|| KeyError::OtherRing { key: hex(id), ring: self.id() })?;
        let opened = wrapping_cipher(key.secret.bytes(), purpose).open_bound(id, sealed);
        let opened = Zeroizing::new(opened.map_err(|_| KeyError::WrappedKey)?);
        let mut file_key = Zeroizing::new([0; KEY_BYTES]);
        file_key.copy_from_slice(&opened);
        Ok(file_key)
    }

    /// The key for keyed hashes of one purpose: passwords, API keys, sessions. Those of pseudonyms
    /// and tags have epochs; this gives their newest.
    pub fn mac_key(&self, purpose: &str) -> MacKey {
        let is_pseudonym = matches!(purpose, "pseudonym" | "secret-tag");
        let family = if is_pseudonym { Family::Pseudonym } else { Family::Mac };
        MacKey::derived(self.keys().current(family).secret.bytes(), purpose)
    }

    /// The key for pseudonyms (`pseudonym`) or tags (`secret-tag`) of one epoch: a generation of
    /// [`Family::Pseudonym`]. `None` if that was destroyed or never made.
    pub fn pseudonym_key(&self, epoch: u32, purpose: &str) -> Option<MacKey> {
        let keys = self.keys();
        let key = keys.of(Family::Pseudonym).find(|key| key.number == epoch)?;
        Some(MacKey::derived(key.secret.bytes(), purpose))
    }

    /// The cipher for the sealed values of one field: seals under the newest generation, opens
    /// what any living one sealed. Deriving takes microseconds: keep it for a whole column.
    pub fn value_cipher(&self, table: TableId, field: FieldId) -> ValueCipher {
        let mut place = [0; 8];
        place[..4].copy_from_slice(&table.0.to_be_bytes());
        place[4..].copy_from_slice(&field.0.to_be_bytes());
        self.newest_first(Family::Value, "value", &place)
    }

    /// The cipher for small records of one purpose (the catalog); bind each value to its place
    /// with [`ValueCipher::seal_bound`]. Seals under the newest generation, opens what any living
    /// one sealed.
    pub fn record_cipher(&self, purpose: &str) -> ValueCipher {
        self.newest_first(Family::Record, "record", purpose.as_bytes())
    }

    fn newest_first(&self, family: Family, label: &str, purpose: &[u8]) -> ValueCipher {
        let keys = self.keys();
        ValueCipher::newest_first(
            keys.of(family).rev().map(|key| derive(key.secret.bytes(), label, purpose)),
        )
    }

    /// The key that signs checkpoints.
    pub fn signing_key(&self) -> SigningKey {
        let keys = self.keys();
        let key = keys.current(Family::Signature);
        SigningKey::from_seed(&derive(key.secret.bytes(), "signature", b"checkpoint"))
    }

    /// The public half of [`KeyRing::signing_key`].
    pub fn verifying_key(&self) -> VerifyingKey {
        self.signing_key().verifying_key()
    }

    /// The public halves of all living signing keys, oldest first: what one of them signed stays
    /// right when the next one is in use.
    pub fn verifying_keys(&self) -> Vec<VerifyingKey> {
        let keys = self.keys();
        let signing = keys.of(Family::Signature).map(|key| {
            SigningKey::from_seed(&derive(key.secret.bytes(), "signature", b"checkpoint"))
        });
        signing.map(|key| key.verifying_key()).collect()
    }

    /// The living keys of a family, oldest first; the last one is in use.
    pub fn generations(&self, family: Family) -> Vec<Generation> {
        self.keys().of(family).map(|key| key.describe()).collect()
    }

    /// What seals the ring; `None` for a ring in memory.
    pub fn sealed_by(&self) -> Option<KmsKind> {
        self.home.lock().as_ref().map(|home| home.file.sealed_by())
    }

    /// Makes a next generation of `family`, which is used from now on; older ones stay readable.
    /// Gives its number when it is durable. A crash leaves the ring as it was or as it is then.
    ///
    /// # Errors
    /// If the ring file cannot be written or was changed by another process; nothing is changed
    /// then.
    pub fn rotate(&self, family: Family, now: Timestamp) -> Result<u32, KeyError> {
        let mut home = self.home.lock();
        let (keys, number) = self.keys().rotated(family, now)?;
        self.change(&mut home, keys)?;
        Ok(number)
    }

    /// Forgets an old generation: what only it opens is noise from now on. There is no way back.
    ///
    /// # Errors
    /// If it is in use or not there, or the ring file cannot be written or was changed by another
    /// process; nothing is changed then.
    pub fn destroy(&self, family: Family, number: u32) -> Result<(), KeyError> {
        let mut home = self.home.lock();
        let keys = self.keys().without(family, number)?;
        self.change(&mut home, keys)
    }

    /// As [`KeyRing::destroy`], if nothing is under the key: it first opens nothing any more, then
    /// `is_unused` looks, and only then it is destroyed; otherwise it comes back. Gives what
    /// `is_unused` said. Whoever writes a file asks [`KeyRing::is_living`] when it is finished, so
    /// that no file comes to be under a key that is gone.
    ///
    /// # Errors
    /// As [`KeyRing::destroy`].
    pub fn destroy_if(
        &self,
        family: Family,
        number: u32,
        is_unused: impl FnOnce() -> bool,
    ) -> Result<bool, KeyError> {
        let mut home = self.home.lock();
        let before = self.keys();
        let without = before.without(family, number)?;
        *self.keys.write() = Arc::new(without.clone());
        let destroyed =
            if is_unused() { self.change(&mut home, without).map(|()| true) } else { Ok(false) };
        if !matches!(destroyed, Ok(true)) {
            *self.keys.write() = before;
        }
        destroyed
    }

    /// Whether the key that wraps a file's key is still there.
    pub fn is_living(&self, purpose: &str, wrapped: &[u8]) -> bool {
        let id = wrapped.get(..RING_ID_BYTES).unwrap_or(&[]);
        self.keys().by_id(Family::of_file(purpose), id).is_some()
    }

    /// The whole ring sealed under a passphrase, as a ring file: who has both can read every copy
    /// of the data folder. The ring itself stays as it is.
    ///
    /// # Errors
    /// If the passphrase is too short.
    pub fn export(&self, passphrase: Zeroizing<String>) -> Result<String, KeyError> {
        let unlock = Unlock::Passphrase(passphrase);
        let kms = unlock.kms(Path::new(""), PassphraseCost::STANDARD);
        ring_file::sealed_text(&self.id(), &self.keys(), &*kms)
    }

    /// Seals the ring under a fresh root key of another keeper, or of the same one again. From
    /// then on the former keeper opens only older copies of the ring file.
    ///
    /// # Errors
    /// If the keeper does not wrap, or the ring file cannot be written or was changed by another
    /// process; the former keeper then stays.
    pub fn rewrap(&self, unlock: &Unlock, data_dir: &Path) -> Result<(), KeyError> {
        let kms = unlock.kms(data_dir, PassphraseCost::STANDARD);
        let mut home = self.home.lock();
        let Some(known) = home.as_mut() else { return Ok(()) };
        let _lock = Lock::take(&known.path)?;
        known.file.refuse_changed(&known.path)?;
        *known = ring_file::seal(&known.path, &self.id(), &self.keys(), &*kms)?.into();
        Ok(())
    }

    /// Has the keeper wrap the root key by the newest version of its own key. Gives whether the
    /// keeper has versions.
    ///
    /// # Errors
    /// As [`KeyRing::rewrap`].
    pub fn refresh(&self, unlock: &Unlock, data_dir: &Path) -> Result<bool, KeyError> {
        let kms: Arc<dyn Kms> = unlock.kms(data_dir, PassphraseCost::STANDARD);
        let mut home = self.home.lock();
        let Some(known) = home.as_mut() else { return Ok(false) };
        let _lock = Lock::take(&known.path)?;
        known.file.refuse_changed(&known.path)?;
        known.file.refuse_other(&*kms)?;
        let Some(wrapped) = kms.refresh(known.file.wrapped())? else { return Ok(false) };
        known.file = known.file.with_wrapped(wrapped);
        known.file.write(&known.path)?;
        Ok(true)
    }

    /// Makes `keys` durable, then current.
    fn change(&self, home: &mut Option<Home>, keys: Keys) -> Result<(), KeyError> {
        if let Some(home) = home {
            let _lock = Lock::take(&home.path)?;
            home.file.refuse_changed(&home.path)?;
            let file = home.file.with_keys(&home.root, &keys);
            file.write(&home.path)?;
            home.file = file;
        }
        *self.keys.write() = Arc::new(keys);
        Ok(())
    }
}

impl From<ring_file::Sealed> for Home {
    fn from(sealed: ring_file::Sealed) -> Home {
        Home { path: sealed.path, root: sealed.root, file: sealed.file }
    }
}

fn random_id() -> [u8; RING_ID_BYTES] {
    let mut id = [0; RING_ID_BYTES];
    rand::fill(&mut id).expect("the system gives random bytes");
    id
}

fn wrapping_cipher(master: &[u8; KEY_BYTES], purpose: &str) -> ValueCipher {
    ValueCipher::new(&derive(master, "file", purpose.as_bytes()))
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({})", self.id())
    }
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
        let elsewhere = KeyRing::in_memory();
        let foreign = error(&elsewhere, "segment:7", &wrapped);
        let id = &ring.generations(Family::File)[0].id;
        assert!(foreign.contains(id) && foreign.contains(&elsewhere.id()), "{foreign}");
        assert!(error(&ring, "segment:7", &wrapped[1..]).contains("damaged"));
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert!(ring.open_file_key("segment:7", &changed).is_err());
        }
    }

    #[test]
    fn files_are_moved_to_the_next_key_before_the_old_one_is_destroyed() {
        let ring = KeyRing::in_memory();
        let (_, old) = ring.new_file_key("segment");
        assert_eq!(ring.rewrap_file_key("segment", &old).unwrap(), None);
        assert_eq!(ring.rotate(Family::File, Timestamp(7)).unwrap(), 2);
        let generations = ring.generations(Family::File);
        assert_eq!(generations.len(), 2);
        assert_eq!((generations[1].number, generations[1].made_at), (2, Timestamp(7)));
        let (_, new) = ring.new_file_key("segment");
        assert_ne!(old[..16], new[..16]);
        assert!(ring.open_file_key("segment", &old).is_ok(), "no downtime");

        let moved = ring.rewrap_file_key("segment", &old).unwrap().unwrap();
        assert_eq!(ring.rewrap_file_key("segment", &new).unwrap(), None);
        assert!(matches!(
            ring.destroy(Family::File, 2),
            Err(KeyError::CurrentGeneration { number: 2, .. })
        ));
        ring.destroy(Family::File, 1).unwrap();
        assert!(matches!(ring.open_file_key("segment", &old), Err(KeyError::OtherRing { .. })));
        assert!(ring.open_file_key("segment", &moved).is_ok());
    }

    #[test]
    fn a_key_that_is_used_comes_back() {
        let ring = KeyRing::in_memory();
        let (_, old) = ring.new_file_key("segment");
        ring.rotate(Family::File, Timestamp(1)).unwrap();
        let used = ring.destroy_if(Family::File, 1, || {
            assert!(!ring.is_living("segment", &old), "nobody finishes a file under it now");
            false
        });
        assert!(!used.unwrap() && ring.is_living("segment", &old));
        assert!(ring.open_file_key("segment", &old).is_ok());
        assert!(ring.destroy_if(Family::File, 1, || true).unwrap());
        assert!(!ring.is_living("segment", &old));
        assert!(ring.destroy_if(Family::File, 2, || true).is_err());
    }

    #[test]
    fn the_audit_record_keeps_its_key_when_that_of_files_is_destroyed() {
        let ring = KeyRing::in_memory();
        let (_, audit) = ring.new_file_key("audit");
        ring.rotate(Family::File, Timestamp(1)).unwrap();
        ring.destroy(Family::File, 1).unwrap();
        assert!(ring.open_file_key("audit", &audit).is_ok());
        assert_eq!(ring.rewrap_file_key("audit", &audit).unwrap(), None);
    }

    #[test]
    fn old_values_stay_readable_until_their_key_is_destroyed() {
        let ring = KeyRing::in_memory();
        let cipher = || ring.value_cipher(TableId(1), FieldId(2));
        let old = cipher().seal(b"72.5");
        ring.rotate(Family::Value, Timestamp(1)).unwrap();
        let new = cipher().seal(b"80.1");
        assert_eq!(
            (cipher().open(&old).unwrap(), cipher().open(&new).unwrap()),
            (b"72.5".to_vec(), b"80.1".to_vec())
        );
        ring.destroy(Family::Value, 1).unwrap();
        assert!(cipher().open(&old).is_err());
        assert_eq!(cipher().open(&new).unwrap(), b"80.1");
    }

    #[test]
    fn pseudonyms_have_epochs() {
        let ring = KeyRing::in_memory();
        let first = ring.mac_key("pseudonym").sign(b"ada");
        let others = ring.mac_key("api key").sign(b"ada");
        assert_eq!(ring.rotate(Family::Pseudonym, Timestamp(1)).unwrap(), 2);
        let of = |epoch| ring.pseudonym_key(epoch, "pseudonym").map(|key| key.sign(b"ada"));
        assert_eq!(of(1), Some(first));
        assert_eq!(of(2), Some(ring.mac_key("pseudonym").sign(b"ada")));
        assert_ne!(of(1), of(2));
        ring.destroy(Family::Pseudonym, 1).unwrap();
        assert_eq!((of(1), of(3)), (None, None));
        assert_eq!(ring.mac_key("api key").sign(b"ada"), others, "keys still work");
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
    }
}
