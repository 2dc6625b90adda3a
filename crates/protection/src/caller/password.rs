use super::AuthError;
use super::stored::StoredPassword;
use crate::keys::{KeyRing, MacKey, PassphraseCost, from_hex, hex, stretch};
use aws_lc_rs::{constant_time, rand};
use model::Timestamp;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;

const SALT_BYTES: usize = 16;

/// Hashes passwords, checks them, and remembers for a minute which were right.
#[derive(Debug)]
pub(super) struct Passwords {
    cost: PassphraseCost,
    /// Over the Argon2id hash: the records alone, without the ring, do not even allow guessing.
    pepper: MacKey,
    /// Over name and password: what the memory of right passwords is looked up by.
    memory_key: MacKey,
    right: Mutex<HashMap<[u8; 32], Right>>,
    /// Argon2 takes memory and time by design; at most so many run at once.
    running: Mutex<Running>,
    place_free: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct Right {
    since: Timestamp,
    /// The person's generation; a new password is a new one.
    generation: u64,
}

#[derive(Debug, Default)]
struct Running {
    now: u32,
    waiting: u32,
}

impl Passwords {
    pub(super) const CHARS_MIN: usize = 10;
    pub(super) const CHARS_MAX: usize = 1024;
    /// How long a right password is taken again without Argon2.
    const REMEMBERED_MS: i64 = 60_000;
    const REMEMBERED_MAX: usize = 10_000;
    const RUNNING_MAX: u32 = 4;
    const WAITING_MAX: u32 = 64;

    pub(super) fn new(ring: &KeyRing, cost: PassphraseCost) -> Passwords {
        Passwords {
            cost,
            pepper: ring.mac_key("password"),
            memory_key: ring.mac_key("password memory"),
            right: Mutex::default(),
            running: Mutex::default(),
            place_free: Condvar::new(),
        }
    }

    /// Whether `password` may be chosen for the account `name`.
    pub(super) fn is_strong(name: &str, password: &str) -> bool {
        let chars = password.chars().count();
        let same = password.to_lowercase().contains(&name.to_lowercase());
        (Self::CHARS_MIN..=Self::CHARS_MAX).contains(&chars) && !same
    }

    pub(super) fn hash(&self, password: &str) -> StoredPassword {
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt).expect("the system gives random bytes");
        StoredPassword {
            memory_kib: self.cost.memory_kib,
            passes: self.cost.passes,
            salt: hex(&salt),
            hash: hex(&self.peppered(password, &salt, self.cost)),
        }
    }

    fn peppered(&self, password: &str, salt: &[u8], cost: PassphraseCost) -> [u8; 32] {
        self.pepper.sign(stretch(password, salt, cost).as_slice())
    }

    /// Whether this very pair was right within the last minute, without Argon2.
    pub(super) fn is_remembered(
        &self,
        name: &str,
        password: &str,
        generation: u64,
        now: Timestamp,
    ) -> bool {
        let place = self.place(name, password);
        self.right.lock().get(&place).is_some_and(|right| {
            right.generation == generation
                && (0..Self::REMEMBERED_MS).contains(&now.0.saturating_sub(right.since.0))
        })
    }

    pub(super) fn remember(&self, name: &str, password: &str, generation: u64, now: Timestamp) {
        let place = self.place(name, password);
        let mut right = self.right.lock();
        if right.len() >= Self::REMEMBERED_MAX {
            right.clear();
        }
        right.insert(place, Right { since: now, generation });
    }

    fn place(&self, name: &str, password: &str) -> [u8; 32] {
        let name_bytes = (name.len() as u64).to_be_bytes();
        self.memory_key.sign_parts(&[&name_bytes, name.as_bytes(), password.as_bytes()])
    }

    /// Runs Argon2id. Takes as long for a person who does not exist (`None`).
    pub(super) fn verify(&self, stored: Option<&StoredPassword>, password: &str) -> bool {
        if password.chars().count() > Self::CHARS_MAX {
            return false;
        }
        let known = stored.and_then(|stored| {
            let salt: [u8; SALT_BYTES] = from_hex(&stored.salt)?;
            let hash: [u8; 32] = from_hex(&stored.hash)?;
            stored.cost().is_sane().then_some((salt, hash, stored.cost()))
        });
        let is_known = known.is_some();
        let (salt, hash, cost) = known.unwrap_or(([0; SALT_BYTES], [0; 32], self.cost));
        let made = self.peppered(password, &salt, cost);
        constant_time::verify_slices_are_equal(&made, &hash).is_ok() && is_known
    }

    /// Waits for one of the few places where Argon2 may run.
    pub(super) fn place_to_run(&self) -> Result<Place<'_>, AuthError> {
        let mut running = self.running.lock();
        if running.waiting >= Self::WAITING_MAX {
            return Err(AuthError::Busy);
        }
        running.waiting += 1;
        while running.now >= Self::RUNNING_MAX {
            self.place_free.wait(&mut running);
        }
        running.waiting -= 1;
        running.now += 1;
        Ok(Place { passwords: self })
    }
}

/// The right to run one Argon2.
pub(super) struct Place<'a> {
    passwords: &'a Passwords,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.passwords.running.lock().now -= 1;
        self.passwords.place_free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_verifies() {
        let ring = KeyRing::in_memory();
        let passwords = Passwords::new(&ring, PassphraseCost::TEST);
        let stored = passwords.hash("correct horse battery");
        assert!(passwords.verify(Some(&stored), "correct horse battery"));
        assert!(!passwords.verify(Some(&stored), "correct horse batterie"));
        assert!(!passwords.verify(None, "correct horse battery"));
        assert!(!passwords.verify(Some(&stored), &"x".repeat(5000)));
        let elsewhere = Passwords::new(&KeyRing::in_memory(), PassphraseCost::TEST);
        assert!(!elsewhere.verify(Some(&stored), "correct horse battery"), "another ring");
        let mut broken = stored.clone();
        broken.memory_kib = u32::MAX;
        assert!(!passwords.verify(Some(&broken), "correct horse battery"), "no 4 TiB for this");
    }

    #[test]
    fn weak_passwords_are_refused() {
        assert!(Passwords::is_strong("ada", "ten chars!"));
        assert!(!Passwords::is_strong("ada", "nine char"));
        assert!(!Passwords::is_strong("ada", "Ada-2026-11"));
        assert!(!Passwords::is_strong("ada", &"x".repeat(1025)));
    }

    #[test]
    fn the_memory_is_for_a_minute_and_one_generation() {
        let passwords = Passwords::new(&KeyRing::in_memory(), PassphraseCost::TEST);
        passwords.remember("ada", "right", 1, Timestamp(1000));
        let remembered = |name, password, generation, now| {
            passwords.is_remembered(name, password, generation, Timestamp(now))
        };
        assert!(remembered("ada", "right", 1, 60_999));
        assert!(!remembered("ada", "right", 1, 61_000));
        assert!(!remembered("ada", "right", 1, 999), "the clock was set back");
        assert!(!remembered("ada", "right", 2, 2000));
        assert!(!remembered("ada", "wrong", 1, 2000));
        assert!(!remembered("adar", "ight", 1, 2000));
    }
}
