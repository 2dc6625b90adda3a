use super::KeyError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The right to change a file; ends when it is dropped or the process ends.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the file at `path`: an empty file beside it, with `.lock` at its end.
    pub(super) fn take(path: &Path) -> Result<Lock, KeyError> {
        let mut place = path.as_os_str().to_owned();
        place.push(".lock");
        let place = PathBuf::from(place);
        let failed = |source| KeyError::io("lock", &place, source);
        fs::create_dir_all(folder_of(path)).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&place).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(KeyError::RingBusy(path.to_owned())),
            // Some network disks have no locks; there the comparison with the file has to do.
            Err(TryLockError::Error(cause)) if cause.kind() == io::ErrorKind::Unsupported => {
                Ok(Lock { _file: file })
            }
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }
}

/// Writes a file that must not be there yet, readable by its owner only, and makes it durable.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder_of(path))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    File::open(folder_of(path))?.sync_all()
}

/// Puts a file with these bytes in the place of what is there, durably: a crash leaves the old
/// file or the new one, whole. Readable by its owner only.
#[expect(clippy::disallowed_methods, reason = "storage::disk::replace is a floor above")]
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_new(unfinished, bytes)?;
    fs::rename(unfinished, path)?;
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
