//! Epochs: the outer layer of pseudonyms and tags, which can be exchanged without the values.
//!
//! The inner code of a value is a MAC under a key that stays. What is stored and shown is that
//! code through a keyed permutation of 128 bits, AES-256 of one block, under the key of the epoch.
//! A permutation can be undone by whoever holds its key, so that pseudonyms of one epoch become
//! those of the next exactly: what was equal stays equal, what differed stays different. When the
//! key of the old epoch is destroyed, nobody can tell which old pseudonym is which new one without
//! the value itself.

use super::{CODE_BYTES, CODE_CHARS, Pseudonyms, digit_of, is_code, is_known, kind_of_pseudonym};
use super::{pseudonym_around, spell};
use crate::keys::KeyRing;
use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use zeroize::Zeroizing;

/// The permutation of one epoch.
pub(super) struct Epoch {
    number: u32,
    forth: EncryptingKey,
    back: DecryptingKey,
}

impl Epoch {
    /// The epoch with this number; `None` if its key was destroyed or never made.
    pub(super) fn of(ring: &KeyRing, number: u32) -> Option<Epoch> {
        let key = Zeroizing::new(ring.pseudonym_key(number, "pseudonym")?.sign(b"permutation"));
        let unbound =
            || UnboundCipherKey::new(&AES_256, key.as_slice()).expect("the key has 32 bytes");
        let forth = EncryptingKey::ecb(unbound()).expect("AES works on blocks");
        let back = DecryptingKey::ecb(unbound()).expect("AES works on blocks");
        Some(Epoch { number, forth, back })
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// From the inner code to what is stored.
    pub(super) fn turn(&self, mut code: [u8; CODE_BYTES]) -> [u8; CODE_BYTES] {
        self.forth.encrypt(&mut code).expect("16 bytes are one block");
        code
    }

    /// From what is stored to the inner code.
    fn turn_back(&self, mut code: [u8; CODE_BYTES]) -> [u8; CODE_BYTES] {
        let context = DecryptionContext::None;
        self.back.decrypt(&mut code, context).expect("16 bytes are one block");
        code
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.number)
    }
}

impl Pseudonyms {
    /// The epoch that these are of.
    pub fn epoch(&self) -> u32 {
        self.number.load(Ordering::Acquire)
    }

    /// Moves to an epoch of `ring`; false, and nothing happened, if its key was destroyed or never
    /// made. Only for a store, when what it holds is of that epoch.
    pub fn enter(&self, ring: &KeyRing, epoch: u32) -> bool {
        if self.epoch() == epoch {
            return true;
        }
        let Some(next) = Epoch::of(ring, epoch) else { return false };
        *self.epoch.write() = Arc::new(next);
        self.number.store(epoch, Ordering::Release);
        // Codes of the epoch before are of no use any more.
        self.shards.iter().for_each(|shard| shard.lock().slots.clear());
        true
    }
}

/// From the pseudonyms and tags of one epoch to those of another, without the values.
#[derive(Debug)]
pub struct Renewal {
    from: Epoch,
    to: Epoch,
}

impl Renewal {
    /// `None` if one of the keys was destroyed or never made.
    pub fn between(ring: &KeyRing, from: u32, to: u32) -> Option<Renewal> {
        Some(Renewal { from: Epoch::of(ring, from)?, to: Epoch::of(ring, to)? })
    }

    /// The epoch that it leads to.
    pub fn epoch(&self) -> u32 {
        self.to.number()
    }

    /// `text`, as it is stored, with every pseudonym and tag in it renewed; `None` if there is
    /// none. They are known by their kinds: those of the classifier, and `own` ones that only
    /// rulings named.
    pub fn text(&self, text: &str, own: &[&str]) -> Option<String> {
        let is_of_kind = |kind: &str| is_known(kind) || own.contains(&kind);
        if let Some(kind) = kind_of_pseudonym(text).filter(|kind| is_of_kind(kind)) {
            let mut out = String::with_capacity(text.len());
            out.push_str(&text[..=kind.len()]);
            self.push(&text[kind.len() + 1..], &mut out);
            return Some(out);
        }
        let mut out = String::new();
        let mut done = 0;
        for (colon, _) in text.match_indices(':') {
            let known = pseudonym_around(text, colon).map(|place| place.start);
            let start = known.or_else(|| own_pseudonym_around(text, colon, own));
            if start.is_none_or(|start| start < done) {
                continue;
            }
            let end = colon + 1 + CODE_CHARS;
            out.push_str(&text[done..=colon]);
            self.push(&text[colon + 1..end], &mut out);
            done = end;
        }
        if done == 0 {
            return None;
        }
        out.push_str(&text[done..]);
        Some(out)
    }

    fn push(&self, code: &str, out: &mut String) {
        match read_code(code) {
            Some(code) => spell(self.to.turn(self.from.turn_back(code)), out),
            None => out.push_str(code),
        }
    }
}

/// Where a pseudonym of one of the `own` kinds begins whose colon is at `colon`.
fn own_pseudonym_around(text: &str, colon: usize, own: &[&str]) -> Option<usize> {
    let code = text.as_bytes().get(colon + 1..colon + 1 + CODE_CHARS)?;
    let goes_on =
        text.as_bytes().get(colon + 1 + CODE_CHARS).is_some_and(u8::is_ascii_alphanumeric);
    if goes_on || !is_code(code) {
        return None;
    }
    let ends_so = own.iter().filter(|kind| !kind.is_empty() && text[..colon].ends_with(**kind));
    ends_so.map(|kind| colon - kind.len()).min()
}

/// The 128 bits that a code spells.
fn read_code(text: &str) -> Option<[u8; CODE_BYTES]> {
    if !is_code(text.as_bytes()) {
        return None;
    }
    let (last, digits) = text.as_bytes().split_last()?;
    debug_assert_eq!(digits.len(), CODE_CHARS - 1);
    let bits = digits.iter().fold(0_u128, |bits, &digit| bits << 5 | u128::from(digit_of(digit)));
    Some((bits << 3 | u128::from(digit_of(*last) >> 2)).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Classifier;
    use crate::keys::Family;
    use model::Timestamp;
    use proptest::prelude::*;

    fn two_epochs() -> (KeyRing, Pseudonyms, Pseudonyms) {
        let ring = KeyRing::in_memory();
        let old = Pseudonyms::new(&ring);
        assert_eq!(ring.rotate(Family::Pseudonym, Timestamp(1)).unwrap(), 2);
        let new = Pseudonyms::new(&ring);
        assert_eq!((old.epoch(), new.epoch()), (1, 2));
        (ring, old, new)
    }

    #[test]
    fn a_renewed_pseudonym_is_that_of_the_value_in_the_new_epoch() {
        let (ring, old, new) = two_epochs();
        let renewal = Renewal::between(&ring, 1, 2).unwrap();
        let renewed = |text: &str| renewal.text(text, &["own-kind"]);
        for (kind, value) in [("email", "ada@example.org"), ("ip", "10.0.0.1"), ("own-kind", "x")] {
            assert_ne!(old.of(kind, value), new.of(kind, value));
            assert_eq!(renewed(&old.of(kind, value)), Some(new.of(kind, value)));
            assert_eq!(renewed(&old.tag(kind, value)), Some(new.tag(kind, value)));
        }
        let (email, ip) = (old.of("email", "ada@example.org"), old.of("ip", "10.0.0.1"));
        let text = format!("from {ip} to <{email}>: 10:30, note:none");
        let (email, ip) = (new.of("email", "ada@example.org"), new.of("ip", "10.0.0.1"));
        let expected = format!("from {ip} to <{email}>: 10:30, note:none");
        assert_eq!(renewed(&text), Some(expected));
        assert_eq!(renewed("nothing: here"), None);
        // Inside a text, such as a record of the catalog, also those of kinds that a ruling named.
        let json = |pseudonyms: &Pseudonyms| {
            format!(r#"{{"who": "{}", "n": 1}}"#, pseudonyms.of("own-kind", "x"))
        };
        assert_eq!(renewed(&json(&old)), Some(json(&new)));
        // What only looks like a pseudonym, of no kind of ours, is somebody's own text.
        let theirs = old.of("order", "x");
        assert_eq!(renewed(&theirs), None);
    }

    #[test]
    fn a_destroyed_epoch_is_gone() {
        let (ring, ..) = two_epochs();
        let classifier = Classifier::standard();
        assert!(Pseudonyms::of_epoch(&ring, &classifier, 1).is_some());
        ring.destroy(Family::Pseudonym, 1).unwrap();
        assert!(Pseudonyms::of_epoch(&ring, &classifier, 1).is_none());
        assert!(Pseudonyms::of_epoch(&ring, &classifier, 3).is_none(), "never made");
        assert_eq!(Pseudonyms::new(&ring).epoch(), 2);
    }

    #[test]
    fn entering_an_epoch_turns_what_comes_from_then_on() {
        let (ring, old, new) = two_epochs();
        let of = |pseudonyms: &Pseudonyms| pseudonyms.of("email", "ada@example.org");
        let (before, after) = (of(&old), of(&new));
        assert_eq!(of(&old), before, "from the cache");
        assert!(old.enter(&ring, 2));
        assert_eq!((old.epoch(), of(&old)), (2, after.clone()));
        ring.destroy(Family::Pseudonym, 1).unwrap();
        assert!(!old.enter(&ring, 1), "its key is gone");
        assert_eq!((old.epoch(), of(&old)), (2, after));
    }

    proptest! {
        /// What was equal stays equal, what differed stays different: joins and counts hold.
        #[test]
        fn renewing_is_one_to_one(codes in proptest::collection::vec(any::<[u8; 16]>(), 1..20)) {
            let (ring, ..) = two_epochs();
            let there = Renewal::between(&ring, 1, 2).unwrap();
            let back = Renewal::between(&ring, 2, 1).unwrap();
            let mut texts = Vec::new();
            for code in codes {
                let mut text = "user:".to_owned();
                spell(code, &mut text);
                prop_assert_eq!(read_code(&text[5..]), Some(code));
                texts.push(text);
            }
            for one in &texts {
                for other in &texts {
                    let renewed = |text: &str| there.text(text, &[]).unwrap();
                    prop_assert_eq!(one == other, renewed(one) == renewed(other));
                    prop_assert_eq!(back.text(&renewed(one), &[]), Some(one.clone()));
                }
            }
        }
    }
}
