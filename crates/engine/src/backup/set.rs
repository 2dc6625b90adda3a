//! One moment of a node in a backup: which files belong to it, and proof that they are those.

use crate::error::EngineError;
use protection::keys::KeyRing;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Names a folder as a backup, before the id of the ring.
const FIRST_LINE: &str = "clerestory backup 1 of key ring ";
const MARK: &str = "clerestory-backup";
const VERSION: u32 = 1;
/// The purpose of the key that proves a set.
const PROOF: &str = "backup";

/// What belongs to one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Set {
    v: u32,
    pub(super) ring: String,
    pub(super) number: u64,
    /// Milliseconds since 1970.
    pub(super) made_at: i64,
    pub(super) segments: Vec<SetSegment>,
    /// Files in the folder of the set.
    pub(super) files: Vec<SetFile>,
    /// Files of the audit record, which may have grown since.
    pub(super) audit: Vec<SetAudit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SetSegment {
    /// In the data folder.
    pub(super) name: String,
    /// In the backup: with the key that wraps its own, so that sets from before and after that key
    /// was exchanged have each what their ring opens.
    pub(super) kept_as: String,
    pub(super) bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SetFile {
    /// Relative to the data folder.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Keyed hash, in hexadecimal.
    pub(super) proof: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SetAudit {
    pub(super) name: String,
    pub(super) bytes: u64,
}

impl Set {
    pub(super) fn new(ring: String, number: u64, made_at: i64) -> Set {
        Set {
            v: VERSION,
            ring,
            number,
            made_at,
            segments: Vec::new(),
            files: Vec::new(),
            audit: Vec::new(),
        }
    }

    /// Bytes of everything in it.
    pub(super) fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let audit: u64 = self.audit.iter().map(|file| file.bytes).sum();
        segments + audit + self.files.iter().map(|file| file.bytes).sum::<u64>()
    }

    /// Writes it into its folder, with the proof.
    pub(super) fn write(&self, folder: &Path, keys: &KeyRing) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(self).expect("text and numbers are always JSON");
        write_durably(&folder.join("set.json"), &json)?;
        write_durably(&folder.join("set.mac"), prove(keys, "set.json", &json).as_bytes())
    }

    /// Reads one without looking at its proof, which takes the ring.
    pub(super) fn read_unproven(folder: &Path) -> io::Result<(Set, Vec<u8>)> {
        let json = fs::read(folder.join("set.json"))?;
        let set: Set = serde_json::from_slice(&json).map_err(io::Error::other)?;
        if set.v != VERSION {
            let reason = format!("the set has version {}; run the version that made it", set.v);
            return Err(io::Error::other(reason));
        }
        Ok((set, json))
    }

    /// Whether `json`, which the set was read from, is what was written under the ring.
    pub(super) fn is_proven(folder: &Path, json: &[u8], keys: &KeyRing) -> io::Result<bool> {
        let proof = fs::read_to_string(folder.join("set.mac"))?;
        Ok(proof == prove(keys, "set.json", json))
    }
}

/// The keyed hash of a file under its name.
pub(super) fn prove(keys: &KeyRing, name: &str, bytes: &[u8]) -> String {
    let proof = keys.mac_key(PROOF).sign_parts(&[name.as_bytes(), &[0], bytes]);
    proof.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of a set.
pub(super) fn folder_of(backup: &Path, number: u64) -> PathBuf {
    backup.join("sets").join(format!("{number:08}"))
}

/// The numbers of all whole sets, oldest first.
pub(super) fn numbers(backup: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(backup.join("sets"))? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.len() >= 8 && name.bytes().all(|byte| byte.is_ascii_digit()) {
            numbers.extend(name.parse::<u64>());
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Whether the folder is the backup of any node.
pub(super) fn is_backup(folder: &Path) -> bool {
    folder.join(MARK).is_file()
}

/// Makes the folder a backup of the node with this ring, or finds that it is one.
pub(super) fn claim(folder: &Path, ring: &str) -> Result<(), EngineError> {
    let mark = folder.join(MARK);
    let expected = format!("{FIRST_LINE}{ring}\n");
    let made = || -> io::Result<Option<String>> {
        fs::create_dir_all(folder)?;
        match fs::read_to_string(&mark) {
            Ok(found) => return Ok(Some(found)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        if fs::read_dir(folder)?.next().is_some() {
            return Ok(Some(String::new()));
        }
        only_for_owner(folder)?;
        for name in ["segments", "audit", "sets"] {
            fs::create_dir_all(folder.join(name))?;
        }
        // Last: a folder that bears it is whole.
        write_durably(&mark, expected.as_bytes())?;
        Ok(None)
    };
    match made().map_err(|error| not_written(&error))? {
        None => Ok(()),
        Some(found) if found == expected => Ok(()),
        Some(found) if found.starts_with(FIRST_LINE) => Err(EngineError::illegal_argument(
            "the folder holds the backup of another node; give a folder of its own",
        )),
        Some(_) => Err(EngineError::illegal_argument(
            "the folder holds something else than a backup; give an empty one",
        )),
    }
}

/// The id of the ring whose node was backed up there.
pub(super) fn ring_of(folder: &Path) -> io::Result<Option<String>> {
    let mark = fs::read_to_string(folder.join(MARK))?;
    Ok(mark.strip_prefix(FIRST_LINE).map(|id| id.trim_end().to_owned()))
}

pub(super) fn not_written(error: &io::Error) -> EngineError {
    EngineError::unavailable(format!("the backup cannot be written: {error}"))
}

/// Writes a whole file: under another name first, so that nobody finds half of it.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_durably(path, &mut |file| file.write_all(bytes))
}

/// The same with what `write` writes.
pub(super) fn put_durably(
    path: &Path,
    write: &mut dyn FnMut(&mut fs::File) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = fs::File::create(&part)?;
    write(&mut file)?;
    file.sync_all()?;
    rename(&part, path)
}

/// Gives a file or folder, whose bytes are durable, its name, durably.
#[expect(clippy::disallowed_methods, reason = "folders, too; the parent is synced here")]
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_parent(to)
}

/// Makes the name of a file or folder durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        // Of a name alone.
        Some(parent) if parent.as_os_str().is_empty() => fs::File::open(".")?.sync_all(),
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

pub(super) fn only_for_owner(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
