use super::KEY_BYTES;
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

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
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret.as_bytes(), salt, key.as_mut_slice())
        .expect("the lengths are right and the memory is there");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

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
