//! Signed statements of how long the record is and what its hash is, as notes that other tools
//! read too: [checkpoints](https://c2sp.org/tlog-checkpoint),
//! [signed notes](https://c2sp.org/signed-note) and
//! [cosignatures](https://c2sp.org/tlog-cosignature) of the C2SP.
//!
//! ```text
//! clerestory.audit/5f3a…            whose record: the id of the key ring
//! 1807201457                        how many records
//! 4gLz…=                            root of the tree over them, base64
//! time 2019-12-26T08:00:00.000Z     when it was signed
//!
//! — clerestory.audit/5f3a… Q0h5…=   base64 of key id (4 bytes) and Ed25519 signature (64)
//! ```

use super::merkle::{Hash, Tree};
use crate::keys::{SIGNATURE_BYTES, SigningKey, VerifyingKey};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use std::fmt;

/// How many records there are, and the hash over all of them, at a time; signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose record it is.
    pub origin: String,
    /// How many records.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// When it was signed.
    pub at: Timestamp,
    /// Which key signed it: the ring's may be exchanged.
    key: [u8; KEY_ID_BYTES],
    signature: [u8; SIGNATURE_BYTES],
}

/// Algorithm bytes of signed notes.
const ED25519: u8 = 1;
const COSIGNATURE_V1: u8 = 4;
const KEY_ID_BYTES: usize = 4;
/// No checkpoint of ours is longer, whatever is signed under it.
const NOTE_BYTES_MAX: usize = 16 * 1024;

impl Checkpoint {
    pub(super) fn sign(origin: &str, tree: &Tree, at: Timestamp, key: &SigningKey) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            origin: origin.to_owned(),
            size: tree.size(),
            root: tree.root(),
            at,
            key: key_id(origin, ED25519, &key.verifying_key()),
            signature: [0; SIGNATURE_BYTES],
        };
        checkpoint.signature = key.sign(checkpoint.body().as_bytes());
        checkpoint
    }

    /// What is signed.
    pub fn body(&self) -> String {
        let (origin, size, root) = (&self.origin, self.size, STANDARD.encode(self.root));
        format!("{origin}\n{size}\n{root}\ntime {}\n", self.at.to_rfc3339())
    }

    /// The whole note, signed by the record's own key.
    pub fn to_note(&self) -> String {
        format!("{}\n{}", self.body(), signature_line(&self.origin, self.key, &self.signature))
    }

    /// Reads a note of this origin and checks that one of `keys` signed it. Signatures of others
    /// under it are left alone.
    pub fn from_note(note: &str, origin: &str, keys: &[VerifyingKey]) -> Option<Checkpoint> {
        keys.iter().find_map(|key| Checkpoint::signed_by(note, origin, key))
    }

    fn signed_by(note: &str, origin: &str, verifier: &VerifyingKey) -> Option<Checkpoint> {
        let (body, signatures) = split_note(note)?;
        let mut lines = body.lines();
        if lines.next()? != origin {
            return None;
        }
        let size = lines.next()?.parse().ok()?;
        let root: Hash = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let at = Timestamp::parse_rfc3339(lines.next()?.strip_prefix("time ")?)?;
        let key = key_id(origin, ED25519, verifier);
        let signature = signature_of(signatures, origin, key)?.try_into().ok()?;
        let checkpoint = Checkpoint { origin: origin.to_owned(), size, root, at, key, signature };
        // Written again it must be the same text: one meaning, one spelling.
        let is_right =
            checkpoint.body() == body && verifier.verifies(body.as_bytes(), &checkpoint.signature);
        is_right.then_some(checkpoint)
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint({} records, {})", self.size, self.at)
    }
}

/// Whose record it is, of a note that nobody checked yet.
pub fn origin_of(note: &str) -> Option<&str> {
    split_note(note)?.0.lines().next()
}

/// The line with which a witness signs that it saw this note, at `at`, and none that contradicts
/// it.
pub(super) fn cosignature(
    note: &str,
    name: &str,
    key: &SigningKey,
    at: Timestamp,
) -> Option<String> {
    let (body, _) = split_note(note)?;
    let seconds = u64::try_from(at.0 / 1000).ok()?;
    let signature = key.sign(cosigned(body, seconds).as_bytes());
    let mut bytes = seconds.to_be_bytes().to_vec();
    bytes.extend_from_slice(&signature);
    Some(signature_line(name, key_id(name, COSIGNATURE_V1, &key.verifying_key()), &bytes))
}

/// When the witness `name` signed this note; `None` if it did not.
pub fn cosigned_at(note: &str, name: &str, key: &VerifyingKey) -> Option<Timestamp> {
    let (body, signatures) = split_note(note)?;
    let bytes = signature_of(signatures, name, key_id(name, COSIGNATURE_V1, key))?;
    let (seconds, signature) = bytes.split_first_chunk()?;
    let seconds = u64::from_be_bytes(*seconds);
    key.verifies(cosigned(body, seconds).as_bytes(), signature)
        .then(|| i64::try_from(seconds).ok()?.checked_mul(1000).map(Timestamp))?
}

fn cosigned(body: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{body}")
}

/// A public key as text: `NAME+KEYID+BASE64`.
pub fn verifier_text(name: &str, key: &VerifyingKey) -> String {
    let mut bytes = vec![ED25519];
    bytes.extend_from_slice(key.as_bytes());
    let id = key_id(name, ED25519, key).map(|byte| format!("{byte:02x}")).concat();
    format!("{name}+{id}+{}", STANDARD.encode(bytes))
}

/// Reads what [`verifier_text`] wrote.
pub fn parse_verifier(text: &str) -> Option<(String, VerifyingKey)> {
    let mut parts = text.trim().splitn(3, '+');
    let (name, _id, key) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = STANDARD.decode(key).ok()?;
    let (&kind, key) = bytes.split_first()?;
    let key = VerifyingKey::from_bytes(key.try_into().ok()?);
    (kind == ED25519 && verifier_text(name, &key) == text.trim()).then(|| (name.to_owned(), key))
}

/// Body and signature lines; the body ends with a line feed, an empty line stands between.
fn split_note(note: &str) -> Option<(&str, &str)> {
    let at = note.rfind("\n\n").filter(|_| note.ends_with('\n') && note.len() <= NOTE_BYTES_MAX)?;
    Some((&note[..=at], &note[at + 2..]))
}

fn key_id(name: &str, algorithm: u8, key: &VerifyingKey) -> [u8; KEY_ID_BYTES] {
    let mut bytes = format!("{name}\n").into_bytes();
    bytes.push(algorithm);
    bytes.extend_from_slice(key.as_bytes());
    let hash = digest::digest(&digest::SHA256, &bytes);
    *hash.as_ref().first_chunk().expect("SHA-256 gives 32 bytes")
}

fn signature_line(name: &str, id: [u8; KEY_ID_BYTES], signature: &[u8]) -> String {
    format!("\u{2014} {name} {}\n", STANDARD.encode([&id, signature].concat()))
}

fn signature_of(lines: &str, name: &str, id: [u8; KEY_ID_BYTES]) -> Option<Vec<u8>> {
    lines.lines().find_map(|line| {
        let (by, text) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let bytes = STANDARD.decode(text).ok().filter(|_| by == name)?;
        bytes.strip_prefix(&id).map(<[u8]>::to_vec)
    })
}

#[cfg(test)]
mod tests {
    use super::super::merkle::leaf_hash;
    use super::*;
    use crate::keys::KeyRing;

    fn checkpoint(ring: &KeyRing) -> Checkpoint {
        let mut tree = Tree::default();
        tree.push(leaf_hash(b"one"), |_| ());
        let at = Timestamp(1_577_347_200_123);
        Checkpoint::sign("clerestory.audit/test", &tree, at, &ring.signing_key())
    }

    #[test]
    fn a_note_is_read_back_and_no_changed_one_is() {
        let ring = KeyRing::in_memory();
        let (checkpoint, key) = (checkpoint(&ring), ring.verifying_key());
        let note = checkpoint.to_note();
        let read = |note: &str| Checkpoint::from_note(note, "clerestory.audit/test", &[key]);
        assert_eq!(read(&note), Some(checkpoint.clone()));
        assert_eq!(origin_of(&note), Some("clerestory.audit/test"));
        let bytes = note.as_bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            if let Ok(changed) = String::from_utf8(changed) {
                assert_eq!(read(&changed), None, "byte {at}: {changed}");
            }
            assert_eq!(note.get(..at).and_then(read), None, "cut at {at}");
        }
        assert_eq!(Checkpoint::from_note(&note, "clerestory.audit/other", &[key]), None);
        let other = KeyRing::in_memory().verifying_key();
        assert_eq!(Checkpoint::from_note(&note, "clerestory.audit/test", &[other]), None);
        let both = Checkpoint::from_note(&note, "clerestory.audit/test", &[other, key]);
        assert_eq!(both, Some(checkpoint), "the key was exchanged since");
    }

    #[test]
    fn a_witness_signs_under_the_note() {
        let ring = KeyRing::in_memory();
        let note = checkpoint(&ring).to_note();
        let witness = KeyRing::in_memory();
        let (name, key) = ("witness.example", witness.verifying_key());
        let at = Timestamp(1_577_347_260_999);
        let line = cosignature(&note, name, &witness.signing_key(), at).unwrap();
        let cosigned = format!("{note}{line}");
        let whole_second = Some(Timestamp(1_577_347_260_000));
        assert_eq!(cosigned_at(&cosigned, name, &key), whole_second);
        assert_eq!(cosigned_at(&note, name, &key), None);
        assert_eq!(cosigned_at(&cosigned.replace("\n1\n", "\n2\n"), name, &key), None);
        assert_eq!(cosigned_at(&cosigned, "other.example", &key), None);
        let ours = ring.verifying_key();
        assert!(Checkpoint::from_note(&cosigned, "clerestory.audit/test", &[ours]).is_some());
    }

    #[test]
    fn public_keys_are_text() {
        let key = KeyRing::in_memory().verifying_key();
        let text = verifier_text("clerestory.audit/test", &key);
        assert_eq!(parse_verifier(&text), Some(("clerestory.audit/test".to_owned(), key)));
        assert_eq!(parse_verifier(&text.replace("test", "best")), None);
        assert_eq!(parse_verifier("a+b"), None);
    }
}
