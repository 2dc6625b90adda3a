//! Where keys lie in memory: wiped when they are dropped, and kept out of the swap file where the
//! program says how.

use super::KEY_BYTES;
use std::fmt;
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// Told the address and length of memory that must not be swapped out.
static LOCK: OnceLock<fn(usize, usize)> = OnceLock::new();

/// Says how memory is kept out of the swap file, once, before a ring is opened. This crate has no
/// `unsafe`, so it tells addresses only; without it keys may reach the swap file.
pub fn lock_memory_with(lock: fn(address: usize, bytes: usize)) {
    // A second call would say the same.
    let _ = LOCK.set(lock);
}

/// Thirty-two secret bytes at one place: never moved, wiped when dropped.
#[derive(Clone)]
pub(super) struct SecretKey(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl SecretKey {
    /// Moves the bytes to a place of their own; `bytes` is wiped.
    pub(super) fn take(bytes: &mut [u8; KEY_BYTES]) -> SecretKey {
        let mut key = SecretKey(Box::new(Zeroizing::new([0; KEY_BYTES])));
        if let Some(lock) = LOCK.get() {
            lock(key.0.as_ptr() as usize, KEY_BYTES);
        }
        key.0.copy_from_slice(bytes);
        zeroize::Zeroize::zeroize(bytes);
        key
    }

    /// Fresh random bytes.
    pub(super) fn random() -> SecretKey {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).expect("the system gives random bytes");
        SecretKey::take(&mut bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn the_place_of_a_key_is_told_and_its_source_wiped() {
        static BYTES: AtomicUsize = AtomicUsize::new(0);
        lock_memory_with(|address, bytes| {
            assert_ne!(address, 0);
            BYTES.fetch_add(bytes, Ordering::SeqCst);
        });
        let before = BYTES.load(Ordering::SeqCst);
        let mut source = [7; KEY_BYTES];
        let key = SecretKey::take(&mut source);
        assert_eq!((source, key.bytes()), ([0; KEY_BYTES], &[7; KEY_BYTES]));
        assert!(BYTES.load(Ordering::SeqCst) >= before + KEY_BYTES);
        assert_eq!(format!("{key:?}"), "SecretKey(…)");
    }
}
