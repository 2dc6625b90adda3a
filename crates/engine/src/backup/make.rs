//! Makes one set of a backup, and lets older ones go.

use super::set::{
    self, Set, SetAudit, SetFile, SetSegment, claim, not_written, only_for_owner, put_durably,
};
use crate::error::{EngineError, chain};
use model::{SegmentId, Timestamp};
use protection::audit::AuditLog;
use protection::keys::KeyRing;
use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use storage::{HEAD_BYTES, Moment, Store};

/// Files of the data folder that a set has beside the catalog, if they are there. Never the log:
/// its rows are in segments by then.
const FILES: [&str; 4] = ["keyring", "key-place", "tls/certificate.pem", "tls/key.sealed"];

/// What a set is made of.
pub(super) struct Making<'a> {
    pub(super) dir: &'a Path,
    pub(super) store: &'a Store,
    pub(super) keys: &'a KeyRing,
    pub(super) audit: &'a AuditLog,
    pub(super) now: Timestamp,
}

impl Making<'_> {
    /// Makes the next set in `to`; gives it, and how many bytes had to be copied.
    pub(super) fn make(&self, to: &Path) -> Result<(Set, u64), EngineError> {
        self.refuse_inside(to)?;
        claim(to, &self.keys.id())?;
        let io = |error: io::Error| not_written(&error);
        remove_parts(to).map_err(io)?;
        let number = set::numbers(to).map_err(io)?.last().map_or(1, |last| last + 1);
        let mut made = Set::new(self.keys.id(), number, self.now.0);
        let part = to.join("sets").join(format!("{number:08}.part"));
        fs::create_dir(&part).map_err(io)?;
        only_for_owner(&part).map_err(io)?;

        let moment = self.store.moment(&part.join("catalog.db"))?;
        let mut copied = self.copy_segments(&moment, to, &mut made)?;
        drop(moment);
        copied += self.copy_files(&part, &mut made).map_err(io)?;
        copied += self.copy_audit(to, &mut made)?;
        made.write(&part, self.keys).map_err(io)?;
        let whole = set::folder_of(to, number);
        let name = || -> io::Result<()> {
            fs::File::open(&part)?.sync_all()?;
            set::rename(&part, &whole)
        };
        name().map_err(io)?;
        Ok((made, copied))
    }

    /// A backup inside the data folder falls with it, and the data folder inside a backup grows for
    /// ever.
    fn refuse_inside(&self, to: &Path) -> Result<(), EngineError> {
        let resolved = |path: &Path| -> PathBuf {
            let known = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
            match known {
                Some((part, whole)) => whole.join(path.strip_prefix(part).unwrap_or(Path::new(""))),
                None => path.to_owned(),
            }
        };
        let (own, to) = (resolved(self.dir), resolved(to));
        if to.starts_with(&own) || own.starts_with(&to) {
            let reason = "the folder of a backup lies outside the data folder, on another disk";
            return Err(EngineError::illegal_argument(reason));
        }
        Ok(())
    }

    fn copy_segments(
        &self,
        moment: &Moment<'_>,
        to: &Path,
        made: &mut Set,
    ) -> Result<u64, EngineError> {
        let io = |error: io::Error| not_written(&error);
        let mut copied = 0;
        for record in &moment.segments {
            let name = Moment::file_name(record.id);
            loop {
                // Segments never change, but the key that wraps theirs may be exchanged.
                let (bytes, head) = moment.head(record.id)?;
                let kept_as = format!("{}.{name}", key_of(&head));
                let target = to.join("segments").join(&kept_as);
                if !begins_with(&target, bytes, &head).map_err(io)? {
                    copied += copy_segment(moment, record.id, &target)?;
                }
                // It was exchanged between the two looks.
                if begins_with(&target, bytes, &head).map_err(io)? {
                    made.segments.push(SetSegment { name, kept_as, bytes });
                    break;
                }
                fs::remove_file(&target).map_err(io)?;
            }
        }
        Ok(copied)
    }

    fn copy_files(&self, part: &Path, made: &mut Set) -> io::Result<u64> {
        let mut copied = 0;
        // The head before the record that it is about, which only grows.
        for name in FILES.iter().chain(["audit.head"].iter()) {
            let bytes = match fs::read(self.dir.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes?,
            };
            let target = part.join(name);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder)?;
            }
            set::write_durably(&target, &bytes)?;
            copied += self.add(made, name, &bytes);
        }
        let catalog = fs::read(part.join("catalog.db"))?;
        copied += self.add(made, "catalog.db", &catalog);
        Ok(copied)
    }

    fn add(&self, made: &mut Set, name: &str, bytes: &[u8]) -> u64 {
        let length = bytes.len() as u64;
        let proof = set::prove(self.keys, name, bytes);
        made.files.push(SetFile { name: name.to_owned(), bytes: length, proof });
        length
    }

    /// The record only grows: a file of it that is there is the beginning of what there is now.
    fn copy_audit(&self, to: &Path, made: &mut Set) -> Result<u64, EngineError> {
        let io = |error: io::Error| not_written(&error);
        let mut copied = 0;
        let files = self.audit.files().map_err(|error| EngineError::internal(chain(&error)))?;
        for (place, path) in files.iter().enumerate() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let target = to.join("audit").join(&name);
            let bytes = fs::metadata(path).map_err(io)?.len();
            let there = Head::of(&target).map_err(io)?;
            if there.is_another_than(&Head::of(path).map_err(io)?) {
                let reason = "the folder holds the record of another history of this node: one of \
                              the two was restored from a backup; give a new folder";
                return Err(EngineError::illegal_argument(reason));
            }
            let is_newest = place + 1 == files.len();
            let mut now = bytes;
            if is_newest || there.bytes != bytes {
                let content = fs::read(path).map_err(io)?;
                now = content.len() as u64;
                set::write_durably(&target, &content).map_err(io)?;
                copied += now.saturating_sub(there.bytes);
            }
            made.audit.push(SetAudit { name, bytes: now });
        }
        Ok(copied)
    }

    /// Removes all sets but the newest `keep`, and all from before `expired`, with the segments that
    /// no other set needs. Gives the numbers of those that are left.
    pub(super) fn let_go(
        &self,
        to: &Path,
        keep: usize,
        expired: i64,
    ) -> Result<Vec<u64>, EngineError> {
        let work = || -> io::Result<Vec<u64>> {
            let numbers = set::numbers(to)?;
            let newest = numbers.last().copied().unwrap_or(0);
            let (mut left, mut needed) = (Vec::new(), HashSet::new());
            for (place, &number) in numbers.iter().enumerate() {
                let folder = set::folder_of(to, number);
                let set = Set::read_unproven(&folder).map(|(set, _)| set);
                let is_one_of_the_last = numbers.len() - place <= keep;
                // The newest was made after whatever expired.
                let stays = |set: &Set| number == newest || set.made_at > expired;
                match set {
                    Ok(set) if is_one_of_the_last && stays(&set) => {
                        needed.extend(set.segments.into_iter().map(|segment| segment.kept_as));
                        left.push(number);
                    }
                    // One that does not read holds nothing that could be brought back.
                    _ => {
                        let going = folder.with_extension("part");
                        set::rename(&folder, &going)?;
                        fs::remove_dir_all(&going)?;
                    }
                }
            }
            set::sync_parent(&set::folder_of(to, newest))?;
            for entry in fs::read_dir(to.join("segments"))? {
                let entry = entry?;
                if !needed.contains(&*entry.file_name().to_string_lossy()) {
                    fs::remove_file(entry.path())?;
                }
            }
            fs::File::open(to.join("segments"))?.sync_all()?;
            Ok(left)
        };
        work().map_err(|error| not_written(&error))
    }
}

/// The beginning of a file of the record, where its own key stands wrapped.
#[derive(Default)]
struct Head {
    bytes: u64,
    first: Vec<u8>,
}

impl Head {
    fn of(path: &Path) -> io::Result<Head> {
        let file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Head::default()),
            file => file?,
        };
        let bytes = file.metadata()?.len();
        let mut first = Vec::new();
        file.take(HEAD_BYTES as u64).read_to_end(&mut first)?;
        Ok(Head { bytes, first })
    }

    fn is_another_than(&self, other: &Head) -> bool {
        self.first.len() == HEAD_BYTES
            && other.first.len() == HEAD_BYTES
            && self.first != other.first
    }
}

/// What a crash left of sets and files that were never whole.
fn remove_parts(to: &Path) -> io::Result<()> {
    for folder in ["sets", "segments", "audit"] {
        for entry in fs::read_dir(to.join(folder))? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "part") {
                continue;
            }
            match path.is_dir() {
                true => fs::remove_dir_all(&path)?,
                false => fs::remove_file(&path)?,
            }
        }
    }
    Ok(())
}

/// The id of the key that wraps the file's own, shortened: it follows magic, version and length.
fn key_of(head: &[u8]) -> String {
    head[8..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn copy_segment(moment: &Moment<'_>, id: SegmentId, target: &Path) -> Result<u64, EngineError> {
    let mut copied = Ok(0);
    let put = put_durably(target, &mut |file| {
        copied = moment.copy(id, file);
        match &copied {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("a segment was not copied")),
        }
    });
    let copied = copied?;
    put.map(|()| copied).map_err(|error| not_written(&error))
}

/// Whether there is a file of this size that begins so.
fn begins_with(path: &Path, bytes: u64, head: &[u8]) -> io::Result<bool> {
    let mut file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    if file.metadata()?.len() != bytes {
        return Ok(false);
    }
    let mut found = vec![0; HEAD_BYTES];
    file.read_exact(&mut found)?;
    Ok(found == head)
}

/// Shared by tests that look at a whole backup.
#[cfg(test)]
pub(super) fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}
