//! Where the key of a data folder lies: never in the folder, never beside it.
//!
//! `init` and `demo` write the place (not the key) into the folder as `key-place`, so that `serve`
//! finds it again. A thief of the folder learns a path on a machine that was not stolen.

use crate::arguments::UnlockWith;
use crate::failure::{Doing, Failure, Result};
use engine::Unlock;
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const NOTE: &str = "key-place";

/// What opens the ring of a folder that is to be made; the place is noted in it.
pub(crate) fn for_new_folder(dir: &Path, with: &UnlockWith) -> Result<Unlock> {
    if let Some(file) = &with.passphrase_file {
        return read_passphrase(file, true);
    }
    let key_file = match &with.key_file {
        Some(file) => file.clone(),
        None => default_key_file(dir)?,
    };
    let absolute = std::path::absolute(&key_file)
        .doing(|| format!("cannot find the folder of `{}`", key_file.display()))?;
    Ok(Unlock::KeyFile(absolute))
}

/// Notes the place of the key file in the folder; a passphrase has none.
pub(crate) fn note(dir: &Path, unlock: &Unlock) -> Result<()> {
    if let Unlock::KeyFile(file) = unlock {
        let text = format!("{}\n", file.display());
        let path = dir.join(NOTE);
        fs::write(&path, text).doing(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

/// What opens the ring of a folder that is there.
pub(crate) fn for_known_folder(dir: &Path, with: &UnlockWith) -> Result<Unlock> {
    if let Some(file) = &with.passphrase_file {
        return read_passphrase(file, false);
    }
    if let Some(file) = &with.key_file {
        return Ok(Unlock::KeyFile(file.clone()));
    }
    match fs::read_to_string(dir.join(NOTE)) {
        Ok(text) => Ok(Unlock::KeyFile(PathBuf::from(text.trim_end()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::new(format!("do not know where the key of `{}` lies", dir.display()))
                .hint("give --key-file F or --passphrase-file F"))
        }
        Err(error) => Err(Failure::from(error).while_doing("cannot read the place of the key")),
    }
}

/// In the folder for settings of this person, named after the data folder.
fn default_key_file(dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir).doing(|| "cannot find the data folder".to_owned())?;
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let config = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")))
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
    fn the_first_line_is_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "correct horse\r\nsecond line\n").unwrap();
        assert_eq!(first_line(&file).unwrap().as_str(), "correct horse");
        fs::write(&file, "\n").unwrap();
        assert!(first_line(&file).is_err());
    }
}
