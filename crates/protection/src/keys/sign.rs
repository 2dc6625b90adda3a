use super::{KEY_BYTES, hex};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Signs with Ed25519.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl SigningKey {
    pub(crate) fn from_seed(seed: &[u8; KEY_BYTES]) -> SigningKey {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed");
        SigningKey { pair }
    }

    /// The signature over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        let public = self.pair.public_key().as_ref();
        VerifyingKey { public: public.try_into().expect("an Ed25519 public key has 32 bytes") }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Checks what a [`SigningKey`] signed. Public: may be given to an auditor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey {
    public: [u8; KEY_BYTES],
}

impl VerifyingKey {
    /// Whether `signature` was made over `message` by the other half of this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(message, signature).is_ok()
    }

    /// The key with these bytes.
    pub fn from_bytes(public: [u8; KEY_BYTES]) -> VerifyingKey {
        VerifyingKey { public }
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    /// As 64 hexadecimal characters.
    pub fn to_hex(&self) -> String {
        hex(&self.public)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_belongs_to_its_message_and_key() {
        let key = SigningKey::from_seed(&[1; KEY_BYTES]);
        let signature = key.sign(b"head");
        assert!(key.verifying_key().verifies(b"head", &signature));
        assert!(!key.verifying_key().verifies(b"tail", &signature));
        assert!(!key.verifying_key().verifies(b"head", &signature[1..]));
        let other = SigningKey::from_seed(&[2; KEY_BYTES]).verifying_key();
        assert!(!other.verifies(b"head", &signature));
    }
}
