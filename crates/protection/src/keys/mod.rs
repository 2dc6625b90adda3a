//! The key ring: the random keys of a data folder, sealed by a key that never lies beside them.
//!
//! ```text
//! keeper: key file, passphrase (Argon2id), credential of systemd, Vault, AWS KMS        Kms
//!   └ wraps the root key, which seals D/keyring: random keys in families and generations
//!        file, audit -> one wrapping key per purpose -> a fresh key per file    FileCipher
//!        value       -> one key per table and field                             ValueCipher
//!        pseudonym   -> one key per purpose; a generation is an epoch           MacKey
//!        mac         -> one key per purpose: passwords, API keys, sessions      MacKey
//!        record      -> one key per purpose: small records of the catalog       ValueCipher
//!        signature   -> Ed25519: checkpoints of the audit record                SigningKey
//! ```
//!
//! A next generation is used for what is new; older ones stay readable until they are destroyed.
//! All derivations are HKDF-SHA256. Everything is wiped from memory when it is dropped.

mod aws;
mod durable;
mod error;
mod family;
mod hexadecimal;
mod key_file;
mod kms;
mod mac;
mod memory;
mod passphrase;
mod ring;
mod ring_file;
mod sign;
mod sigv4;
mod systemd;
mod vault;

pub use aws::AwsKms;
pub use error::KeyError;
pub use family::{Family, Generation};
pub use kms::{Kms, KmsKind, RootKey, Unlock};
pub use mac::MacKey;
pub use memory::lock_memory_with;
pub use passphrase::PassphraseCost;
pub use ring::{KeyRing, WRAPPED_KEY_BYTES};
pub use sign::{SIGNATURE_BYTES, SigningKey, VerifyingKey};
pub use sigv4::AwsCredentials;
pub use vault::VaultTransit;

pub(crate) use durable::replace;
pub(crate) use hexadecimal::{bytes_from_hex, from_hex, hex};
pub(crate) use passphrase::stretch;

const KEY_BYTES: usize = 32;
