//! Epochs: the outer layer of pseudonyms and tags, which can be exchanged without the values.
//!
//! The inner code of a value is a MAC under a key that stays. What is stored and shown is that
//! code through a keyed permutation of 128 bits, AES-256 of one block, under the key of the epoch.
//! A permutation can be undone by whoever holds its key, so that pseudonyms of one epoch become
//! those of the next exactly: what was equal stays equal, what differed stays different. When the
//! key of the old epoch is destroyed, nobody can tell which old pseudonym is which new one without
//! the value itself.

use super::{CODE_BYTES, CODE_CHARS, Pseudonyms, digit_of, kind_of_pseudonym, pseudonym_around};
use super::{is_code, spell};
use crate::keys::KeyRing;
use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};
use std::fmt;
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
        self.epoch.number()
    }

    /// `text`, as it is stored, with every pseudonym and tag of the epoch `before` as one of this
    /// epoch: a whole value of any kind, or those inside that are known by sight.
    pub fn renewed(&self, before: &Pseudonyms, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        if let Some(kind) = kind_of_pseudonym(text) {
            out.push_str(&text[..=kind.len()]);
            self.push_renewed(before, &text[kind.len() + 1..], &mut out);
            return out;
        }
        let mut done = 0;
        for (colon, _) in text.match_indices(':') {
            let Some(place) = pseudonym_around(text, colon).filter(|place| place.start >= done)
            else {
                continue;
            };
            out.push_str(&text[done..=colon]);
            self.push_renewed(before, &text[colon + 1..place.end], &mut out);
            done = place.end;
        }
        out.push_str(&text[done..]);
        out
    }

    fn push_renewed(&self, before: &Pseudonyms, code: &str, out: &mut String) {
        match read_code(code) {
            Some(code) => spell(self.epoch.turn(before.epoch.turn_back(code)), out),
            None => out.push_str(code),
        }
    }
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
        let (_, old, new) = two_epochs();
        for (kind, value) in [("email", "ada@example.org"), ("ip", "10.0.0.1"), ("own-kind", "x")] {
            assert_ne!(old.of(kind, value), new.of(kind, value));
            assert_eq!(new.renewed(&old, &old.of(kind, value)), new.of(kind, value));
            assert_eq!(new.renewed(&old, &old.tag(kind, value)), new.tag(kind, value));
        }
        let (email, ip) = (old.of("email", "ada@example.org"), old.of("ip", "10.0.0.1"));
        let text = format!("from {ip} to <{email}>: 10:30, note:none");
        let (email, ip) = (new.of("email", "ada@example.org"), new.of("ip", "10.0.0.1"));
        let expected = format!("from {ip} to <{email}>: 10:30, note:none");
        assert_eq!(new.renewed(&old, &text), expected);
        assert_eq!(new.renewed(&old, "nothing: here"), "nothing: here");
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

    proptest! {
        /// What was equal stays equal, what differed stays different: joins and counts hold.
        #[test]
        fn renewing_is_one_to_one(codes in proptest::collection::vec(any::<[u8; 16]>(), 1..20)) {
            let (_, old, new) = two_epochs();
            let mut texts = Vec::new();
            for code in codes {
                let mut text = "user:".to_owned();
                spell(code, &mut text);
                prop_assert_eq!(read_code(&text[5..]), Some(code));
                texts.push(text);
            }
            for one in &texts {
                for other in &texts {
                    let renewed = |text: &str| new.renewed(&old, text);
                    prop_assert_eq!(one == other, renewed(one) == renewed(other));
                    prop_assert_eq!(old.renewed(&new, &renewed(one)), one.clone());
                }
            }
        }
    }
}
