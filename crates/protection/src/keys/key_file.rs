use super::durable::write_new;
use super::{KEY_BYTES, KeyError, from_hex, hex};
use aws_lc_rs::rand;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longer than any key file; a wrong path to something huge is not read whole.
const FILE_BYTES_MAX: u64 = 1024;

/// Reads the key file at `path`.
pub(super) fn read(path: &Path, data_dir: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    refuse_inside(path, data_dir)?;
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyError::NoKeyFile(path.to_owned()),
        _ => KeyError::Io { doing: "read the key file", path: path.to_owned(), source },
    })?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(KeyError::KeyFileDamaged(path.to_owned()));
    }
    refuse_exposed(path, &metadata)?;
    let bytes = Zeroizing::new(fs::read(path).map_err(|source| KeyError::Io {
        doing: "read the key file",
        path: path.to_owned(),
        source,
    })?);
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| from_hex(text.trim_ascii_end()))
        .map(Zeroizing::new)
        .ok_or_else(|| KeyError::KeyFileDamaged(path.to_owned()))
}

/// Reads the key file at `path`, or makes it if it is not there.
pub(super) fn read_or_create(
    path: &Path,
    data_dir: &Path,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    match read(path, data_dir) {
        Err(KeyError::NoKeyFile(_)) => create(path),
        read => read,
    }
}

fn create(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(key.as_mut_slice()).expect("the system gives random bytes");
    let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex(key.as_slice()))));
    write_new(path, text.as_bytes()).map_err(|source| KeyError::Io {
        doing: "write the key file",
        path: path.to_owned(),
        source,
    })?;
    Ok(key)
}

/// Compares the real places of both, so that no link and no `..` hides the key in the folder.
fn refuse_inside(path: &Path, data_dir: &Path) -> Result<(), KeyError> {
    let real = |path: &Path| {
        real_place(path).map_err(|source| KeyError::Io {
            doing: "find the folder of",
            path: path.to_owned(),
            source,
        })
    };
    let data_dir = real(data_dir)?;
    let linked_from = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => real(folder)?.join(name),
        _ => return Err(KeyError::KeyFileDamaged(path.to_owned())),
    };
    if linked_from.starts_with(&data_dir) || real(path)?.starts_with(&data_dir) {
        return Err(KeyError::KeyFileInDataDir(path.to_owned()));
    }
    Ok(())
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
