use super::KEY_BYTES;
use aws_lc_rs::{hkdf, hmac};
use std::fmt;
use zeroize::Zeroizing;

/// HKDF-SHA256: one key per label and purpose. Only the last part varies in length, so no two
/// inputs meet.
pub(super) fn derive(
    master: &[u8; KEY_BYTES],
    label: &str,
    purpose: &[u8],
) -> Zeroizing<[u8; KEY_BYTES]> {
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
    pub(super) fn derived(master: &[u8; KEY_BYTES], purpose: &str) -> MacKey {
        let key = derive(master, "mac", purpose.as_bytes());
        MacKey { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()) }
    }

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
