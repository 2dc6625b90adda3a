//! What seals a ring: a key that is not in the data folder.

use super::aws::AwsKms;
use super::key_file::KeyFile;
use super::passphrase::Passphrase;
use super::systemd::SystemdCredential;
use super::vault::VaultTransit;
use super::{KEY_BYTES, KeyError, PassphraseCost};
use crate::cipher::ValueCipher;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The key under which a ring is sealed: random, made for each way of keeping it, in memory only.
pub type RootKey = Zeroizing<[u8; KEY_BYTES]>;

/// Keeps what opens a ring: wraps the ring's root key and unwraps it again.
///
/// Called when a ring is made, opened, re-wrapped or refreshed, and never for a file or a value:
/// it may take seconds and be far away. The wrapped key lies in the ring file for everybody to
/// see; what unwraps it must not lie in the data folder.
pub trait Kms: Send + Sync + fmt::Debug {
    /// What kind of keeper this is; stands in the ring file.
    fn kind(&self) -> KmsKind;

    /// Where and under which name the key is kept, for people. Holds no secret.
    fn describe(&self) -> String;

    /// Wraps the root key of the ring with the id `ring`, to one line of text.
    ///
    /// # Errors
    /// If the key is not there, may not be used or the service does not answer; says what to do.
    fn wrap(&self, root: &RootKey, ring: &str) -> Result<String, KeyError>;

    /// Gives back what [`Kms::wrap`] wrapped for the same ring.
    ///
    /// # Errors
    /// As [`Kms::wrap`], and if it was wrapped by another key: names both.
    fn unwrap(&self, wrapped: &str, ring: &str) -> Result<RootKey, KeyError>;

    /// The same root key wrapped by the newest version of the keeper's own key, if the keeper has
    /// versions and can do this without showing the root key.
    ///
    /// # Errors
    /// As [`Kms::wrap`].
    fn refresh(&self, _wrapped: &str) -> Result<Option<String>, KeyError> {
        Ok(None)
    }
}

/// The kinds of keepers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KmsKind {
    /// A file of 32 random bytes outside the data folder.
    KeyFile,
    /// A passphrase, by Argon2id.
    Passphrase,
    /// A credential that the service manager hands in.
    Systemd,
    /// The transit engine of HashiCorp Vault.
    Vault,
    /// The key management service of AWS.
    Aws,
}

impl KmsKind {
    const ALL: [KmsKind; 5] =
        [KmsKind::KeyFile, KmsKind::Passphrase, KmsKind::Systemd, KmsKind::Vault, KmsKind::Aws];

    /// As the ring file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            KmsKind::KeyFile => "key_file",
            KmsKind::Passphrase => "passphrase",
            KmsKind::Systemd => "systemd",
            KmsKind::Vault => "vault",
            KmsKind::Aws => "aws",
        }
    }

    pub(super) fn parse(text: &str) -> Option<KmsKind> {
        KmsKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// For a sentence.
    pub(super) fn words(self) -> &'static str {
        match self {
            KmsKind::KeyFile => "a key file",
            KmsKind::Passphrase => "a passphrase",
            KmsKind::Systemd => "a credential of systemd",
            KmsKind::Vault => "Vault",
            KmsKind::Aws => "AWS KMS",
        }
    }

    /// What is to be typed.
    pub(super) fn how_to_give(self) -> &'static str {
        match self {
            KmsKind::KeyFile => "the key file: --key-file F",
            KmsKind::Passphrase => "the passphrase: --passphrase-file F",
            KmsKind::Systemd => "the credential: --key-service systemd:NAME",
            KmsKind::Vault => "the key: --key-service vault:MOUNT/KEY",
            KmsKind::Aws => "the key: --key-service aws:KEY",
        }
    }
}

/// What opens the key ring. None of it may lie in the data folder.
#[derive(Clone)]
pub enum Unlock {
    /// A file of 32 random bytes in hexadecimal, readable by its owner only.
    KeyFile(PathBuf),
    /// At least [`KeyRing::PASSPHRASE_CHARS_MIN`](super::KeyRing::PASSPHRASE_CHARS_MIN) characters.
    Passphrase(Zeroizing<String>),
    /// A credential that the service manager hands in: its name, and the folder from
    /// `$CREDENTIALS_DIRECTORY` if there is one.
    Systemd {
        /// The name of the credential.
        name: String,
        /// Where the service manager puts credentials.
        folder: Option<PathBuf>,
    },
    /// A service that keeps the key: [`VaultTransit`], [`AwsKms`] or another.
    Service(Arc<dyn Kms>),
}

impl Unlock {
    /// Vault's transit engine.
    pub fn vault(vault: VaultTransit) -> Unlock {
        Unlock::Service(Arc::new(vault))
    }

    /// AWS's key management service.
    pub fn aws(aws: AwsKms) -> Unlock {
        Unlock::Service(Arc::new(aws))
    }

    /// The keeper that this names, for the ring of `data_dir`.
    pub(super) fn kms(&self, data_dir: &Path, cost: PassphraseCost) -> Arc<dyn Kms> {
        let data_dir = data_dir.to_owned();
        match self {
            Unlock::KeyFile(path) => Arc::new(KeyFile { path: path.clone(), data_dir }),
            Unlock::Passphrase(passphrase) => {
                Arc::new(Passphrase { passphrase: passphrase.clone(), cost })
            }
            Unlock::Systemd { name, folder } => {
                Arc::new(SystemdCredential { name: name.clone(), folder: folder.clone(), data_dir })
            }
            Unlock::Service(kms) => Arc::clone(kms),
        }
    }
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unlock::KeyFile(path) => f.debug_tuple("KeyFile").field(path).finish(),
            Unlock::Passphrase(_) => f.write_str("Passphrase(…)"),
            Unlock::Systemd { name, .. } => f.debug_tuple("Systemd").field(name).finish(),
            Unlock::Service(kms) => write!(f, "Service({})", kms.describe()),
        }
    }
}

/// Seals a root key under a key at hand.
pub(super) fn seal_root(key: &[u8; KEY_BYTES], root: &RootKey, ring: &str) -> Vec<u8> {
    ValueCipher::new(key).seal_bound(root_place(ring).as_bytes(), root.as_slice())
}

/// Opens what [`seal_root`] sealed; `None`: another key or another ring.
pub(super) fn open_root(key: &[u8; KEY_BYTES], sealed: &[u8], ring: &str) -> Option<RootKey> {
    let opened = ValueCipher::new(key).open_bound(root_place(ring).as_bytes(), sealed).ok()?;
    root_from(&Zeroizing::new(opened))
}

/// The root key in these bytes.
pub(super) fn root_from(bytes: &[u8]) -> Option<RootKey> {
    let mut root = RootKey::default();
    (bytes.len() == KEY_BYTES).then(|| root.copy_from_slice(bytes))?;
    Some(root)
}

/// Bytes of a root key that [`seal_root`] sealed.
pub(super) const SEALED_ROOT_BYTES: usize = 1 + 12 + KEY_BYTES + crate::cipher::TAG_BYTES;

fn root_place(ring: &str) -> String {
    format!("clerestory root key {ring}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_back() {
        for kind in KmsKind::ALL {
            assert_eq!(KmsKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(KmsKind::parse("none"), None);
    }

    #[test]
    fn debug_shows_no_key() {
        let unlock = Unlock::Passphrase(Zeroizing::new("correct horse battery".into()));
        assert_eq!(format!("{unlock:?}"), "Passphrase(…)");
    }
}
