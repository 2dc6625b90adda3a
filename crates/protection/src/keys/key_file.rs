//! A key in a file outside the data folder, which no link, no `..`, no second mount and no hard
//! link may bring back inside.

use super::durable::write_new;
use super::kms::{Kms, KmsKind, RootKey, SEALED_ROOT_BYTES, open_root, seal_root};
use super::{KEY_BYTES, KeyError, bytes_from_hex, from_hex, hex};
use aws_lc_rs::{digest, rand};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longer than any key file; a wrong path to something huge is not read whole.
const FILE_BYTES_MAX: u64 = 1024;

/// A file of 32 random bytes in hexadecimal.
#[derive(Debug)]
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    pub(super) data_dir: PathBuf,
}

impl Kms for KeyFile {
    fn kind(&self) -> KmsKind {
        KmsKind::KeyFile
    }

    fn describe(&self) -> String {
        format!("key file {}", self.path.display())
    }

    /// Makes the key file if it is not there.
    fn wrap(&self, root: &RootKey, ring: &str) -> Result<String, KeyError> {
        let key = match read(&self.path, &self.data_dir) {
            Err(KeyError::NoKeyFile(_)) => create(&self.path)?,
            read => read?,
        };
        Ok(wrap_with(&key, root, ring))
    }

    fn unwrap(&self, wrapped: &str, ring: &str) -> Result<RootKey, KeyError> {
        unwrap_with(&self.describe(), wrapped, ring, || read(&self.path, &self.data_dir))
    }
}

/// The public id of a key: enough to tell keys apart, too little to check guesses of 32 bytes by.
fn key_id(key: &[u8; KEY_BYTES]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"clerestory key id\0");
    context.update(key);
    hex(&context.finish().as_ref()[..4])
}

/// `ID:SEALED`.
pub(super) fn wrap_with(key: &[u8; KEY_BYTES], root: &RootKey, ring: &str) -> String {
    format!("{}:{}", key_id(key), hex(&seal_root(key, root, ring)))
}

/// Opens what [`wrap_with`] made; `looked` says where the key was looked for.
pub(super) fn unwrap_with(
    looked: &str,
    wrapped: &str,
    ring: &str,
    read: impl FnOnce() -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError>,
) -> Result<RootKey, KeyError> {
    let (wanted, sealed) = wrapped.split_once(':').ok_or(KeyError::WrappedKey)?;
    let sealed = bytes_from_hex(sealed, SEALED_ROOT_BYTES).ok_or(KeyError::WrappedKey)?;
    let key = read().map_err(|error| match error {
        KeyError::NoKeyFile(_) => {
            KeyError::LostKey { looked: looked.to_owned(), wanted: wanted.to_owned() }
        }
        other => other,
    })?;
    let found = key_id(&key);
    if found != wanted {
        let (looked, wanted) = (looked.to_owned(), wanted.to_owned());
        return Err(KeyError::WrongKey { looked, found, wanted });
    }
    open_root(&key, &sealed, ring).ok_or(KeyError::WrappedKey)
}

/// Reads the key file at `path`.
pub(super) fn read(path: &Path, data_dir: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    refuse_inside(path, data_dir)?;
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyError::NoKeyFile(path.to_owned()),
        _ => KeyError::io("read the key file", path, source),
    })?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(KeyError::KeyFileDamaged(path.to_owned()));
    }
    refuse_exposed(path, &metadata)?;
    read_key(path)
}

/// 64 hexadecimal characters.
pub(super) fn read_key(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let bytes = fs::read(path).map_err(|source| KeyError::io("read the key file", path, source))?;
    let bytes = Zeroizing::new(bytes);
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| from_hex(text.trim_ascii_end()))
        .map(Zeroizing::new)
        .ok_or_else(|| KeyError::KeyFileDamaged(path.to_owned()))
}

fn create(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(key.as_mut_slice()).expect("the system gives random bytes");
    let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex(key.as_slice()))));
    write_new(path, text.as_bytes())
        .map_err(|source| KeyError::io("write the key file", path, source))?;
    Ok(key)
}

/// Refuses a key that lies in the data folder by any path: compares real places, so that no link
/// and no `..` hides it, and the identities of files and folders, so that neither a hard link nor
/// a folder that is mounted twice does.
pub(super) fn refuse_inside(path: &Path, data_dir: &Path) -> Result<(), KeyError> {
    let real = |path: &Path| {
        real_place(path).map_err(|source| KeyError::io("find the folder of", path, source))
    };
    let inside = || Err(KeyError::KeyFileInDataDir(path.to_owned()));
    let data_dir = real(data_dir)?;
    let absolute = std::path::absolute(path)
        .map_err(|source| KeyError::io("find the folder of", path, source))?;
    let linked_from = match (absolute.parent(), absolute.file_name()) {
        (Some(folder), Some(name)) => real(folder)?.join(name),
        _ => return Err(KeyError::KeyFileDamaged(path.to_owned())),
    };
    let place = real(path)?;
    if linked_from.starts_with(&data_dir) || place.starts_with(&data_dir) {
        return inside();
    }
    let failed = |source| KeyError::io("compare the key file with the files in", &data_dir, source);
    if identity::holds(&data_dir, &place).map_err(failed)? { inside() } else { Ok(()) }
}

/// The path without links; of what does not exist yet, the part that exists.
fn real_place(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        match existing.canonicalize() {
            Ok(mut real) => {
                real.extend(missing.iter().rev());
                return Ok(real);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
                    return Err(error);
                };
                missing.push(name);
                existing = parent;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(unix)]
mod identity {
    use std::collections::HashSet;
    use std::fs;
    use std::io;
    use std::os::unix::fs::{DirEntryExt, MetadataExt};
    use std::path::Path;

    /// Device and number: the same for every name of a file or folder.
    type Identity = (u64, u64);

    /// Whether the folder holds the file, or a folder that it lies in, under any name.
    pub(super) fn holds(folder: &Path, file: &Path) -> io::Result<bool> {
        let mut wanted = HashSet::new();
        for place in file.ancestors() {
            wanted.extend(identity(place)?);
        }
        // The root is above everything, also above the data folder.
        for above in folder.ancestors().skip(1) {
            if let Some(above) = identity(above)? {
                wanted.remove(&above);
            }
        }
        let numbers: HashSet<u64> = wanted.iter().map(|(_, number)| *number).collect();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            if identity(&folder)?.is_some_and(|folder| wanted.contains(&folder)) {
                return Ok(true);
            }
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else if numbers.contains(&entry.ino())
                    && identity(&entry.path())?.is_some_and(|file| wanted.contains(&file))
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Of what is there; does not follow a link at the end.
    fn identity(path: &Path) -> io::Result<Option<Identity>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(not(unix))]
mod identity {
    use std::io;
    use std::path::Path;

    /// Here only names are compared.
    pub(super) fn holds(_: &Path, _: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::KeyFileExposed(path.to_owned()));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data folder and a place for keys beside it.
    fn places() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (data, keys) = (root.path().join("data"), root.path().join("keys"));
        fs::create_dir_all(data.join("segments/deep")).unwrap();
        fs::create_dir(&keys).unwrap();
        (root, data, keys)
    }

    #[track_caller]
    fn is_refused(key: &Path, data: &Path) -> bool {
        match refuse_inside(key, data) {
            Ok(()) => false,
            Err(KeyError::KeyFileInDataDir(path)) => path == key,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_key_inside_is_refused_by_any_name() {
        let (_root, data, keys) = places();
        assert!(is_refused(&data.join("node.key"), &data));
        assert!(is_refused(&data.join("not/there/yet/node.key"), &data));
        assert!(is_refused(&keys.join("../data/node.key"), &data));
        assert!(!is_refused(&keys.join("node.key"), &data));
        assert!(!is_refused(&keys.join("node.key"), &data.join("not-made-yet")));
        assert!(!is_refused(Path::new("bare-name.key"), &data));
        assert!(is_refused(Path::new("bare-name.key"), Path::new(".")));
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_hide_it() {
        use std::os::unix::fs::symlink;
        let (_root, data, keys) = places();
        symlink(&data, keys.join("elsewhere")).unwrap();
        assert!(is_refused(&keys.join("elsewhere/node.key"), &data));
        assert!(is_refused(&keys.join("elsewhere/segments/node.key"), &data));

        let hidden = data.join("segments/deep/hidden");
        fs::write(&hidden, "ab").unwrap();
        symlink(&hidden, keys.join("link.key")).unwrap();
        assert!(is_refused(&keys.join("link.key"), &data));
        fs::hard_link(&hidden, keys.join("hard.key")).unwrap();
        assert!(is_refused(&keys.join("hard.key"), &data));
        fs::write(keys.join("own.key"), "ab").unwrap();
        assert!(!is_refused(&keys.join("own.key"), &data));
        // A link in the data folder that leads to the key outside is only a place, like a note.
        symlink(keys.join("own.key"), data.join("place")).unwrap();
        assert!(!is_refused(&keys.join("own.key"), &data));
    }
}
