use super::KmsKind;
use std::io;
use std::path::PathBuf;

/// Why the key ring or a wrapped key did not open, or was not changed. No variant carries a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no key ring.
    #[error("no key ring at {}; run `clerestory init` first, or restore the file from a backup", .0.display())]
    NoRing(PathBuf),
    /// There is one already.
    #[error("there is a key ring at {} already; a new one would make all data unreadable", .0.display())]
    RingExists(PathBuf),
    /// The file is no key ring, or was cut or changed.
    #[error("the key ring {} is damaged or no key ring; restore it from a backup", .0.display())]
    RingDamaged(PathBuf),
    /// Written by a newer Clerestory.
    #[error("the key ring {} was written by a newer version; run that version", .0.display())]
    RingTooNew(PathBuf),
    /// Written before the first release.
    #[error("the key ring {} was written by a version before the first release, which is not read any more; load the data into a fresh folder", .0.display())]
    RingTooOld(PathBuf),
    /// Another process changed the ring since it was opened.
    #[error(
        "the key ring {} was changed by another process; restart this one, then try again", .0.display()
    )]
    RingChanged(PathBuf),
    /// Another process is changing the ring now.
    #[error("the key ring {} is being changed by another process; try again in a moment", .0.display())]
    RingBusy(PathBuf),
    /// The ring is sealed by another kind of key than what was given.
    #[error("the key ring is sealed by {}, not by {}; give {}", sealed_by.words(), given.words(), sealed_by.how_to_give())]
    OtherKms {
        /// What seals the ring.
        sealed_by: KmsKind,
        /// What was given.
        given: KmsKind,
    },
    /// Another passphrase sealed the ring.
    #[error("wrong passphrase for the key ring")]
    WrongPassphrase,
    /// Another key file sealed the ring.
    #[error(
        "{looked} holds key {found}, but the key ring is sealed by key {wanted}; give that key, or restore it from where its copy is kept"
    )]
    WrongKey {
        /// Where the key was looked for.
        looked: String,
        /// The id of the key that was found there.
        found: String,
        /// The id of the key that seals the ring.
        wanted: String,
    },
    /// Too easy to guess.
    #[error("the passphrase is shorter than 12 characters; take several words")]
    PassphraseTooShort,
    /// The key file is missing.
    #[error("no key file at {}", .0.display())]
    NoKeyFile(PathBuf),
    /// The key that seals the ring is not where it was looked for.
    #[error(
        "key {wanted} seals the key ring, but there is no {looked}; without it the data cannot be read, so restore it from where its copy is kept"
    )]
    LostKey {
        /// Where the key was looked for.
        looked: String,
        /// The id of the key that seals the ring.
        wanted: String,
    },
    /// The service manager handed in no credentials.
    #[error(
        "there is no folder of credentials, so credential `{0}` cannot be read; start by systemd with `LoadCredentialEncrypted={0}`"
    )]
    NoCredentials(String),
    /// The service manager handed in other credentials.
    #[error("there is no credential `{name}` in {}; add `LoadCredentialEncrypted={name}` to the unit", folder.display())]
    NoCredential {
        /// Which is missing.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Not 64 hexadecimal characters.
    #[error("{} is no key file: it must hold 64 hexadecimal characters", .0.display())]
    KeyFileDamaged(PathBuf),
    /// Beside the data, so that whoever takes the folder has the key as well.
    #[error("the key file {} lies inside the data folder; keep it elsewhere, so that a copy of the folder is noise", .0.display())]
    KeyFileInDataDir(PathBuf),
    /// Its mode lets others read it.
    #[error("the key file {} can be read by others; run `chmod 600` on it", .0.display())]
    KeyFileExposed(PathBuf),
    /// A key service was addressed wrongly.
    #[error("{0}")]
    ServiceSettings(String),
    /// A key service did not answer, or refused.
    #[error("{service} did not {doing} the root key: {reason}")]
    Service {
        /// Which service and key, without a secret.
        service: String,
        /// What was asked of it.
        doing: &'static str,
        /// Its reason, with what to do.
        reason: String,
    },
    /// A wrapped key was changed, cut, or belongs to another purpose.
    #[error(
        "the wrapped key is damaged or was made for another purpose; restore the file from a backup"
    )]
    WrappedKey,
    /// Sealed under a key that this ring does not hold.
    #[error(
        "sealed under file key {key}, which is not in key ring {ring}; the file comes from another data folder, or the key was destroyed"
    )]
    OtherRing {
        /// The id of the file key that is wanted.
        key: String,
        /// The id of the ring that was asked.
        ring: String,
    },
    /// No such generation of keys, or it was destroyed.
    #[error("the key ring holds no {family} key of generation {number}")]
    NoGeneration {
        /// Which family.
        family: &'static str,
        /// Which generation.
        number: u32,
    },
    /// The newest generation is in use.
    #[error(
        "the {family} key of generation {number} is the current one; rotate first, then destroy it"
    )]
    CurrentGeneration {
        /// Which family.
        family: &'static str,
        /// Which generation.
        number: u32,
    },
    /// A ring has room for some hundred keys.
    #[error("the key ring is full; destroy old generations first")]
    RingFull,
    /// Reading or writing failed.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl KeyError {
    /// `Io` with its three parts.
    pub(super) fn io(doing: &'static str, path: &std::path::Path, source: io::Error) -> KeyError {
        KeyError::Io { doing, path: path.to_owned(), source }
    }
}
