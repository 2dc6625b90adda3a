use super::kms::{Kms, KmsKind, RootKey, SEALED_ROOT_BYTES, open_root, seal_root};
use super::{KEY_BYTES, KeyError, KeyRing, bytes_from_hex, from_hex, hex};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::rand;
use std::fmt;
use zeroize::Zeroizing;

const SALT_BYTES: usize = 16;

/// A passphrase that somebody remembers.
pub(super) struct Passphrase {
    pub(super) passphrase: Zeroizing<String>,
    /// For wrapping; what is unwrapped says itself what it cost.
    pub(super) cost: PassphraseCost,
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

impl Kms for Passphrase {
    fn kind(&self) -> KmsKind {
        KmsKind::Passphrase
    }

    fn describe(&self) -> String {
        "passphrase".to_owned()
    }

    /// `argon2id:KIB:PASSES:SALT:SEALED`.
    fn wrap(&self, root: &RootKey, ring: &str) -> Result<String, KeyError> {
        if self.passphrase.chars().count() < KeyRing::PASSPHRASE_CHARS_MIN {
            return Err(KeyError::PassphraseTooShort);
        }
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt).expect("the system gives random bytes");
        let PassphraseCost { memory_kib, passes } = self.cost;
        let key = stretch(&self.passphrase, &salt, self.cost);
        let sealed = hex(&seal_root(&key, root, ring));
        Ok(format!("argon2id:{memory_kib}:{passes}:{}:{sealed}", hex(&salt)))
    }

    fn unwrap(&self, wrapped: &str, ring: &str) -> Result<RootKey, KeyError> {
        let (cost, salt, sealed) = parse(wrapped).ok_or(KeyError::WrappedKey)?;
        let key = stretch(&self.passphrase, &salt, cost);
        open_root(&key, &sealed, ring).ok_or(KeyError::WrongPassphrase)
    }
}

fn parse(wrapped: &str) -> Option<(PassphraseCost, [u8; SALT_BYTES], Vec<u8>)> {
    let mut parts = wrapped.split(':');
    let is_ours = parts.next()? == "argon2id";
    let memory_kib = parts.next()?.parse().ok()?;
    let passes = parts.next()?.parse().ok()?;
    let salt = from_hex(parts.next()?)?;
    let sealed = bytes_from_hex(parts.next()?, SEALED_ROOT_BYTES)?;
    let cost = PassphraseCost { memory_kib, passes };
    (is_ours && parts.next().is_none() && cost.is_sane()).then_some((cost, salt, sealed))
}

/// What one guess of a password or passphrase costs: the parameters of Argon2id, one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl PassphraseCost {
    /// For a key ring, opened once per start: 64 MiB, three passes.
    pub const STANDARD: PassphraseCost = PassphraseCost { memory_kib: 64 * 1024, passes: 3 };
    /// For a person who logs in: OWASP's 19 MiB, with one pass more than its two.
    pub const LOGIN: PassphraseCost = PassphraseCost { memory_kib: 19 * 1024, passes: 3 };
    /// No protection; for tests that log in a hundred times.
    pub const TEST: PassphraseCost = PassphraseCost { memory_kib: 8, passes: 1 };

    /// Limits for what a file may ask of us: at most 4 GiB and 64 passes.
    pub(crate) fn is_sane(self) -> bool {
        (8..=4 * 1024 * 1024).contains(&self.memory_kib) && (1..=64).contains(&self.passes)
    }
}

/// Argon2id: turns what a person can remember into a key.
///
/// # Panics
/// If `cost` is not sane or the salt has fewer than 8 bytes; the callers check what they read.
pub(crate) fn stretch(
    secret: &str,
    salt: &[u8],
    cost: PassphraseCost,
) -> Zeroizing<[u8; KEY_BYTES]> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(KEY_BYTES))
        .expect("the cost was checked");
    // Ours, so that it is wiped: what Argon2 leaves there follows from the secret.
    let mut memory = Zeroizing::new(vec![Block::default(); params.block_count()]);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(
            secret.as_bytes(),
            salt,
            key.as_mut_slice(),
            memory.as_mut_slice(),
        )
        .expect("the lengths are right and the memory is there");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_opens_what_it_wrapped() {
        let of = |text: &str| Passphrase {
            passphrase: Zeroizing::new(text.to_owned()),
            cost: PassphraseCost::TEST,
        };
        let root = RootKey::new([7; KEY_BYTES]);
        let kms = of("correct horse battery");
        let wrapped = kms.wrap(&root, "ring").unwrap();
        assert!(wrapped.starts_with("argon2id:8:1:"));
        assert_ne!(wrapped, kms.wrap(&root, "ring").unwrap(), "a salt of its own");
        assert_eq!(kms.unwrap(&wrapped, "ring").unwrap(), root);
        let wrong = of("correct horse batterie").unwrap(&wrapped, "ring");
        assert!(matches!(wrong, Err(KeyError::WrongPassphrase)));
        assert!(matches!(of("short").wrap(&root, "ring"), Err(KeyError::PassphraseTooShort)));
        let greedy = wrapped.replacen(":8:", ":4294967295:", 1);
        for damaged in [greedy.as_str(), "", "argon2id", "argon2id:8:1:00:00", "x:8:1:00:00"] {
            let error = kms.unwrap(damaged, "ring");
            assert!(matches!(error, Err(KeyError::WrappedKey)), "{damaged}");
        }
        assert_eq!(format!("{kms:?}"), "Passphrase(…)");
    }

    #[test]
    fn argon2id_is_that_of_its_reference() {
        // From the tests of the reference implementation (phc-winner-argon2, test.c): version 0x13,
        // Argon2id, 2 passes over 65536 KiB, one lane.
        let key = stretch("password", b"somesalt", PassphraseCost { memory_kib: 65536, passes: 2 });
        let expected = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
        assert_eq!(hex(key.as_slice()), expected);
    }

    #[test]
    fn salt_cost_and_secret_all_count() {
        let key = stretch("secret", b"salt-salt", PassphraseCost::TEST);
        assert_eq!(key, stretch("secret", b"salt-salt", PassphraseCost::TEST));
        assert_ne!(key, stretch("secret", b"salt-sal2", PassphraseCost::TEST));
        assert_ne!(key, stretch("Secret", b"salt-salt", PassphraseCost::TEST));
        let dearer = PassphraseCost { memory_kib: 8, passes: 2 };
        assert_ne!(key, stretch("secret", b"salt-salt", dearer));
        assert!(!PassphraseCost { memory_kib: 0, passes: 1 }.is_sane());
        assert!(!PassphraseCost { memory_kib: u32::MAX, passes: 1 }.is_sane());
    }
}
