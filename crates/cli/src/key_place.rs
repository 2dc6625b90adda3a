//! Where the key of a data folder lies: never in the folder, never beside it.
//!
//! `init` and `demo` write the place (not the key) into the folder as `key-place`, so that `serve`
//! finds it again. A thief of the folder learns a path or the name of a key on a machine that was
//! not stolen.

use crate::arguments::UnlockWith;
use crate::environment::{self, AwsEnvironment, VaultEnvironment};
use crate::failure::{Doing, Failure, Result};
use crate::outside::HttpOutside;
use engine::{AwsKms, Unlock, VaultTransit};
use model::SystemClock;
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

const NOTE: &str = "key-place";

/// What opens a ring, and where that is.
#[derive(Debug)]
pub(crate) struct KeyPlace {
    pub(crate) unlock: Unlock,
    /// What stands in the note; a passphrase has none.
    noted: Option<String>,
}

impl KeyPlace {
    /// For people: where the key is kept.
    pub(crate) fn words(&self) -> String {
        match (&self.unlock, &self.noted) {
            (Unlock::KeyFile(file), _) => format!("key file    {}", file.display()),
            (_, Some(noted)) => format!("key service {noted}"),
            _ => "key         your passphrase".to_owned(),
        }
    }

    /// Notes the place in the folder; takes away what was noted if there is none.
    pub(crate) fn note(&self, dir: &Path) -> Result<()> {
        let path = dir.join(NOTE);
        let written = match &self.noted {
            Some(place) => fs::write(&path, format!("{place}\n")),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        written.doing(|| format!("cannot write `{}`", path.display()))
    }
}

/// What opens the ring of a folder that is to be made, or is to be sealed anew.
pub(crate) fn for_new_folder(dir: &Path, with: &UnlockWith) -> Result<KeyPlace> {
    if let Some(file) = &with.passphrase_file {
        return Ok(KeyPlace { unlock: read_passphrase(file, true)?, noted: None });
    }
    if let Some(service) = &with.key_service {
        return Ok(KeyPlace { unlock: key_service(service)?, noted: Some(service.clone()) });
    }
    let key_file = match &with.key_file {
        Some(file) => file.clone(),
        None => default_key_file(dir)?,
    };
    let absolute = std::path::absolute(&key_file)
        .doing(|| format!("cannot find the folder of `{}`", key_file.display()))?;
    let noted = Some(absolute.display().to_string());
    Ok(KeyPlace { unlock: Unlock::KeyFile(absolute), noted })
}

/// What opens the ring of a folder that is there.
pub(crate) fn for_known_folder(dir: &Path, with: &UnlockWith) -> Result<Unlock> {
    if let Some(file) = &with.passphrase_file {
        return read_passphrase(file, false);
    }
    if let Some(file) = &with.key_file {
        return Ok(Unlock::KeyFile(file.clone()));
    }
    if let Some(service) = &with.key_service {
        return key_service(service);
    }
    match fs::read_to_string(dir.join(NOTE)) {
        Ok(text) => match text.trim_end() {
            service if is_service(service) => key_service(service),
            file => Ok(Unlock::KeyFile(PathBuf::from(file))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::new(format!("do not know where the key of `{}` lies", dir.display()))
                .hint("give --key-file F, --passphrase-file F or --key-service S"))
        }
        Err(error) => Err(Failure::from(error).while_doing("cannot read the place of the key")),
    }
}

fn is_service(text: &str) -> bool {
    ["systemd:", "vault:", "aws:"].iter().any(|service| text.starts_with(service))
}

/// `systemd:NAME`, `vault:MOUNT/KEY`, `aws:KEY`.
fn key_service(text: &str) -> Result<Unlock> {
    match text.split_once(':') {
        Some(("systemd", name)) => {
            Ok(Unlock::Systemd { name: name.to_owned(), folder: environment::credentials_folder() })
        }
        Some(("vault", place)) => {
            let vault = VaultEnvironment::read()?;
            let (mount, key) = place.rsplit_once('/').unwrap_or(("transit", place));
            let outside = Arc::new(HttpOutside::trusting(vault.ca.as_deref())?);
            let VaultEnvironment { address, token, namespace, .. } = vault;
            let vault = VaultTransit::new(outside, &address, mount, key, token, namespace);
            Ok(Unlock::vault(vault?))
        }
        Some(("aws", key)) => {
            let aws = AwsEnvironment::read()?;
            let outside = Arc::new(HttpOutside::trusting(None)?);
            let endpoint = aws.endpoint.as_deref();
            let clock = Arc::new(SystemClock);
            let (region, credentials) = (&aws.region, aws.credentials);
            Ok(Unlock::aws(AwsKms::new(outside, clock, endpoint, region, key, credentials)?))
        }
        _ => Err(Failure::wrong_use(format!("`{text}` names no key service"))
            .hint("systemd:NAME, vault:MOUNT/KEY or aws:KEY")),
    }
}

/// In the folder for settings of this person, named after the data folder.
fn default_key_file(dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir).doing(|| "cannot find the data folder".to_owned())?;
    let config = environment::variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| environment::variable("HOME").map(|home| PathBuf::from(home).join(".config")))
        .ok_or_else(|| {
            Failure::new("there is no home folder to keep the key in")
                .hint("give --key-file F, outside the data folder")
        })?;
    let name = dir.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy());
    let file = format!("{name}-{:016x}.key", path_hash(&dir));
    Ok(config.join("clerestory").join("keys").join(file))
}

/// FNV-1a: tells folders of the same name apart, and is the same at every start.
fn path_hash(path: &Path) -> u64 {
    path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn read_passphrase(file: &Path, is_new: bool) -> Result<Unlock> {
    if file != Path::new("-") {
        return first_line(file).map(Unlock::Passphrase);
    }
    let passphrase = Zeroizing::new(rpassword::prompt_password("Passphrase of the key ring: ")?);
    if is_new {
        let again = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
        if passphrase != again {
            return Err(Failure::new("the two passphrases differ"));
        }
    }
    Ok(Unlock::Passphrase(passphrase))
}

/// The first line of a file that holds a secret; the rest is never kept.
pub(crate) fn first_line(path: &Path) -> Result<Zeroizing<String>> {
    let doing = || format!("cannot read `{}`", path.display());
    let mut reader = io::BufReader::new(fs::File::open(path).doing(doing)?);
    let mut line = Zeroizing::new(String::with_capacity(256));
    reader.read_line(&mut line).doing(doing)?;
    let kept = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(kept);
    if line.is_empty() {
        return Err(Failure::new(format!("the first line of `{}` is empty", path.display())));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_one_name_have_keys_of_their_own() {
        assert_ne!(path_hash(Path::new("/a/data")), path_hash(Path::new("/b/data")));
        assert_eq!(path_hash(Path::new("/a/data")), path_hash(Path::new("/a/data")));
    }

    #[test]
    fn a_service_must_be_one() {
        for wrong in ["", "vault", "none:x", "/etc/key"] {
            assert_eq!(key_service(wrong).unwrap_err().exit_code(), 2, "{wrong}");
            assert!(!is_service(wrong));
        }
        assert!(matches!(key_service("systemd:root"), Ok(Unlock::Systemd { .. })));
    }

    #[test]
    fn a_passphrase_leaves_no_note() {
        let folder = tempfile::tempdir().unwrap();
        let place = |with: &UnlockWith| for_new_folder(folder.path(), with).unwrap();
        let file = UnlockWith { key_file: Some("/k".into()), ..UnlockWith::default() };
        place(&file).note(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(NOTE)).unwrap(), "/k\n");
        let words = folder.path().join("words");
        fs::write(&words, "correct horse battery\n").unwrap();
        let words = UnlockWith { passphrase_file: Some(words), ..UnlockWith::default() };
        place(&words).note(folder.path()).unwrap();
        assert!(!folder.path().join(NOTE).try_exists().unwrap());
    }

    #[test]
    fn the_first_line_is_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "correct horse\r\nsecond line\n").unwrap();
        assert_eq!(first_line(&file).unwrap().as_str(), "correct horse");
        fs::write(&file, "\n").unwrap();
        assert!(first_line(&file).is_err());
    }
}
