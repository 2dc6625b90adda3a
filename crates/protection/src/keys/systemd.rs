//! A key that systemd decrypts and hands in: `LoadCredentialEncrypted=NAME`, see systemd.exec(5).
//!
//! It is made once with
//! `openssl rand -hex 32 | systemd-creds encrypt --name=NAME - /etc/credstore.encrypted/NAME`,
//! bound to the machine's TPM where there is one, and is never on a disk in the clear.

use super::key_file::{read_key, refuse_inside, unwrap_with, wrap_with};
use super::kms::{Kms, KmsKind, RootKey};
use super::{KEY_BYTES, KeyError};
use std::io;
use std::path::PathBuf;
use zeroize::Zeroizing;

#[derive(Debug)]
pub(super) struct SystemdCredential {
    pub(super) name: String,
    /// `$CREDENTIALS_DIRECTORY`.
    pub(super) folder: Option<PathBuf>,
    pub(super) data_dir: PathBuf,
}

impl SystemdCredential {
    fn read(&self) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(is_plain) {
            return Err(KeyError::ServiceSettings(
                "the name of a credential has letters, digits, `-`, `_` and `.` only".to_owned(),
            ));
        }
        let folder =
            self.folder.as_ref().ok_or_else(|| KeyError::NoCredentials(self.name.clone()))?;
        let path = folder.join(&self.name);
        refuse_inside(&path, &self.data_dir)?;
        read_key(&path).map_err(|error| match error {
            KeyError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                KeyError::NoCredential { name: self.name.clone(), folder: folder.clone() }
            }
            other => other,
        })
    }
}

impl Kms for SystemdCredential {
    fn kind(&self) -> KmsKind {
        KmsKind::Systemd
    }

    fn describe(&self) -> String {
        format!("credential {} of systemd", self.name)
    }

    fn wrap(&self, root: &RootKey, ring: &str) -> Result<String, KeyError> {
        Ok(wrap_with(&*self.read()?, root, ring))
    }

    fn unwrap(&self, wrapped: &str, ring: &str) -> Result<RootKey, KeyError> {
        unwrap_with(&self.describe(), wrapped, ring, || self.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_credential_is_read_and_every_lack_named() {
        let root = tempfile::tempdir().unwrap();
        let (folder, data_dir) = (root.path().join("credentials"), root.path().join("data"));
        fs::create_dir_all(&data_dir).unwrap();
        fs::create_dir(&folder).unwrap();
        let of = |name: &str, folder: Option<&PathBuf>| SystemdCredential {
            name: name.to_owned(),
            folder: folder.cloned(),
            data_dir: data_dir.clone(),
        };
        let key = RootKey::new([7; KEY_BYTES]);
        let fails = |kms: &SystemdCredential| kms.wrap(&key, "ring").unwrap_err().to_string();

        let kms = of("root", Some(&folder));
        assert!(fails(&kms).contains("add `LoadCredentialEncrypted=root` to the unit"));
        assert!(fails(&of("root", None)).contains("start by systemd"));
        assert!(fails(&of("../root", Some(&folder))).contains("letters, digits"));
        assert!(fails(&of("root", Some(&data_dir))).contains("inside the data folder"));

        fs::write(folder.join("root"), "ab".repeat(32)).unwrap();
        let wrapped = kms.wrap(&key, "ring").unwrap();
        assert_eq!(kms.unwrap(&wrapped, "ring").unwrap(), key);
        assert!(kms.unwrap(&wrapped, "other").is_err());
        fs::write(folder.join("root"), "cd".repeat(32)).unwrap();
        let error = kms.unwrap(&wrapped, "ring").unwrap_err().to_string();
        assert!(error.contains("credential root of systemd holds key"), "{error}");
        fs::write(folder.join("root"), "a word").unwrap();
        assert!(fails(&kms).contains("64 hexadecimal characters"));
    }
}
