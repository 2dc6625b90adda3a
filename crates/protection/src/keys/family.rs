//! What the keys of a ring are for, and their generations.

use super::memory::SecretKey;
use super::{KEY_BYTES, KeyError, hex};
use aws_lc_rs::rand;
use model::Timestamp;
use zeroize::Zeroizing;

/// What a key of the ring is for. Each family has generations of its own, random and independent,
/// so that destroying one is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Wraps the keys of log, segments and all other files but the audit record.
    File,
    /// Wraps the keys of audit files, which are never written again.
    Audit,
    /// Seals single values.
    Value,
    /// Pseudonyms and tags; a generation is an epoch.
    Pseudonym,
    /// Other keyed hashes: passwords, API keys, sessions.
    Mac,
    /// Small records of the catalog.
    Record,
    /// Signs checkpoints.
    Signature,
}

impl Family {
    /// All families, as they are numbered in the ring file.
    pub const ALL: [Family; 7] = [
        Family::File,
        Family::Audit,
        Family::Value,
        Family::Pseudonym,
        Family::Mac,
        Family::Record,
        Family::Signature,
    ];

    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::File => "file",
            Family::Audit => "audit",
            Family::Value => "value",
            Family::Pseudonym => "pseudonym",
            Family::Mac => "mac",
            Family::Record => "record",
            Family::Signature => "signature",
        }
    }

    /// Which family wraps the keys of files with this purpose: `audit` and what starts with
    /// `audit-` have their own.
    pub(super) fn of_file(purpose: &str) -> Family {
        let is_audit = purpose == "audit" || purpose.starts_with("audit-");
        if is_audit { Family::Audit } else { Family::File }
    }

    fn number(self) -> u8 {
        Family::ALL.iter().position(|&family| family == self).expect("all are listed") as u8
    }
}

/// Bytes of the public id of a key.
pub(super) const KEY_ID_BYTES: usize = 16;

/// What may be known of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// What it is for.
    pub family: Family,
    /// Counted from 1 within the family; never given twice.
    pub number: u32,
    /// Its public name: 32 hexadecimal characters, in every file key that it wraps.
    pub id: String,
    /// When it was made.
    pub made_at: Timestamp,
}

/// One key of the ring.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) family: Family,
    pub(super) number: u32,
    pub(super) id: [u8; KEY_ID_BYTES],
    pub(super) made_at: Timestamp,
    pub(super) secret: SecretKey,
}

impl Key {
    fn random(family: Family, number: u32, made_at: Timestamp) -> Key {
        let mut id = [0; KEY_ID_BYTES];
        rand::fill(&mut id).expect("the system gives random bytes");
        Key { family, number, id, made_at, secret: SecretKey::random() }
    }

    pub(super) fn describe(&self) -> Generation {
        Generation {
            family: self.family,
            number: self.number,
            id: hex(&self.id),
            made_at: self.made_at,
        }
    }
}

/// All keys of a ring. Never empty of any family.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// By family, then number.
    keys: Vec<Key>,
}

impl Keys {
    /// So many keys at most; more would be a mistake in a loop.
    const KEYS_MAX: usize = 500;
    const KEY_BYTES_STORED: usize = 1 + 4 + 8 + KEY_ID_BYTES + KEY_BYTES;

    /// A first generation of every family.
    pub(super) fn random(made_at: Timestamp) -> Keys {
        let first = |&family: &Family| Key::random(family, 1, made_at);
        Keys { keys: Family::ALL.iter().map(first).collect() }
    }

    /// Keys that were read; `None` if a family has none, or two have one number.
    pub(super) fn from_keys(mut keys: Vec<Key>) -> Option<Keys> {
        keys.sort_by_key(|key| (key.family, key.number));
        let twice = keys
            .windows(2)
            .any(|two| (two[0].family, two[0].number) == (two[1].family, two[1].number));
        let has_all = Family::ALL.iter().all(|family| keys.iter().any(|key| key.family == *family));
        (has_all && !twice && keys.len() <= Self::KEYS_MAX).then_some(Keys { keys })
    }

    /// Those of one family, oldest first.
    pub(super) fn of(&self, family: Family) -> impl DoubleEndedIterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.family == family)
    }

    /// The newest of a family.
    pub(super) fn current(&self, family: Family) -> &Key {
        self.of(family).next_back().expect("no family is empty")
    }

    /// The one that a wrapped key names.
    pub(super) fn by_id(&self, family: Family, id: &[u8]) -> Option<&Key> {
        self.of(family).find(|key| key.id == *id)
    }

    /// The same with a next generation of `family`, and its number.
    pub(super) fn rotated(&self, family: Family, now: Timestamp) -> Result<(Keys, u32), KeyError> {
        if self.keys.len() >= Self::KEYS_MAX {
            return Err(KeyError::RingFull);
        }
        let number = self.current(family).number.checked_add(1).ok_or(KeyError::RingFull)?;
        let mut keys = self.keys.clone();
        keys.push(Key::random(family, number, now));
        keys.sort_by_key(|key| (key.family, key.number));
        Ok((Keys { keys }, number))
    }

    /// The same without an old generation of `family`.
    pub(super) fn without(&self, family: Family, number: u32) -> Result<Keys, KeyError> {
        let name = family.as_str();
        if self.current(family).number == number {
            return Err(KeyError::CurrentGeneration { family: name, number });
        }
        let mut keys = self.keys.clone();
        keys.retain(|key| (key.family, key.number) != (family, number));
        if keys.len() == self.keys.len() {
            return Err(KeyError::NoGeneration { family: name, number });
        }
        Ok(Keys { keys })
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // All room at once: a vector that grows leaves copies behind.
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(self.keys.len() * Self::KEY_BYTES_STORED));
        for key in &self.keys {
            bytes.push(key.family.number());
            bytes.extend_from_slice(&key.number.to_be_bytes());
            bytes.extend_from_slice(&key.made_at.0.to_be_bytes());
            bytes.extend_from_slice(&key.id);
            bytes.extend_from_slice(key.secret.bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Keys> {
        let stored = bytes.chunks_exact(Self::KEY_BYTES_STORED);
        if !stored.remainder().is_empty() {
            return None;
        }
        let keys: Option<Vec<Key>> = stored.map(read_key).collect();
        Keys::from_keys(keys?)
    }
}

fn read_key(bytes: &[u8]) -> Option<Key> {
    let (family, rest) = bytes.split_first()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (made_at, rest) = rest.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    let mut secret: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(rest.try_into().ok()?);
    Some(Key {
        family: *Family::ALL.get(usize::from(*family))?,
        number: u32::from_be_bytes(*number),
        made_at: Timestamp(i64::from_be_bytes(*made_at)),
        id: *id,
        secret: SecretKey::take(&mut secret),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_both_ways() {
        let (keys, number) =
            Keys::random(Timestamp(5)).rotated(Family::File, Timestamp(9)).unwrap();
        assert_eq!(number, 2);
        let bytes = keys.to_bytes();
        assert_eq!(bytes.len(), 8 * Keys::KEY_BYTES_STORED);
        let read = Keys::from_bytes(&bytes).unwrap();
        assert_eq!(*read.to_bytes(), *bytes);
        assert_eq!(read.current(Family::File).describe().made_at, Timestamp(9));
        assert!(Keys::from_bytes(&bytes[1..]).is_none());
        assert!(Keys::from_bytes(&bytes[Keys::KEY_BYTES_STORED * 2..]).is_none(), "a family less");
        let twice = [bytes.as_slice(), &bytes[..Keys::KEY_BYTES_STORED]].concat();
        assert!(Keys::from_bytes(&twice).is_none());
    }

    #[test]
    fn the_current_generation_is_never_destroyed() {
        let first = Keys::random(Timestamp(0));
        assert!(matches!(
            first.without(Family::Value, 1),
            Err(KeyError::CurrentGeneration { number: 1, .. })
        ));
        let (two, _) = first.rotated(Family::Value, Timestamp(1)).unwrap();
        assert!(matches!(
            two.without(Family::Value, 3),
            Err(KeyError::NoGeneration { number: 3, .. })
        ));
        let second = two.without(Family::Value, 1).unwrap();
        assert_eq!(second.of(Family::Value).count(), 1);
        let (third, number) = second.rotated(Family::Value, Timestamp(2)).unwrap();
        assert_eq!(
            (number, third.of(Family::Value).count()),
            (3, 2),
            "numbers are not given twice"
        );
    }

    #[test]
    fn a_ring_does_not_grow_without_end() {
        let mut keys = Keys::random(Timestamp(0));
        while let Ok((more, _)) = keys.rotated(Family::File, Timestamp(0)) {
            keys = more;
        }
        assert_eq!(keys.keys.len(), Keys::KEYS_MAX);
        assert!(Keys::from_bytes(&keys.to_bytes()).is_some());
    }
}
