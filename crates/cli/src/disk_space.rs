//! How full the disk of the data folder is.

#![expect(unsafe_code, reason = "a call into the system that the standard library does not have")]

use engine::DiskSpace;
use std::io;
use std::path::Path;

/// The space of the disk that `folder` lies on.
///
/// # Errors
/// If the folder is not there, or the system does not say.
#[cfg(unix)]
pub(crate) fn ask(folder: &Path) -> io::Result<DiskSpace> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: the structure is plain numbers, of which zeros are valid ones.
    let mut told: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: both live through the call, which reads the path to its zero byte and writes `told`.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut told) } != 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(clippy::useless_conversion, reason = "these are 32 bits wide on some systems")]
    let (unit, free, total) =
        (u64::from(told.f_frsize), u64::from(told.f_bavail), u64::from(told.f_blocks));
    Ok(DiskSpace { free: free.saturating_mul(unit), total: total.saturating_mul(unit) })
}

#[cfg(not(unix))]
pub(crate) fn ask(_: &Path) -> io::Result<DiskSpace> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_more_room_than_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let space = ask(dir.path()).unwrap();
        assert!(space.total > 0 && space.free <= space.total);
        assert!(ask(&dir.path().join("nowhere")).is_err());
    }
}
