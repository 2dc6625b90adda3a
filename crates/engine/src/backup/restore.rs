//! A backup becomes a data folder again.
//!
//! Whoever restores gains nothing by it that was taken away since. An old backup has an old policy,
//! old people and their old keys, and persons who were erased after it; so
//!
//! * all API keys and sessions are forgotten, because nobody knows which were taken back since;
//! * everybody is disabled but guardians and administrators, and of these whoever the record says
//!   was disabled since: letting somebody in again takes two people, as always;
//! * the record of the backup, which is as new as the newest set, goes on, so that it says what was
//!   done after the moment that came back, and that it came back;
//! * sets from before an erasure are not restored, if the folder was reached by it: they are gone
//!   from it (`Alone::clean`).

use super::set::{self, Set};
use crate::offline::{AuditEvidence, verify_audit, verify_store};
use crate::open::{Engine, OpenError, Settings};
use model::{Clock, Seq, SystemClock, TableId, Timestamp};
use protection::RecordError;
use protection::audit::{Event, EventKind};
use protection::caller::forget_credentials;
use protection::keys::{KeyError, KeyRing, Unlock};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use storage::catalog::{Catalog, CatalogError, Edit};

/// Row numbers go on so far behind those of the backup: rows that were written after it, and that
/// the record knows by number, are not taken for rows that are written now.
const SEQ_GAP: u64 = 1 << 40;
/// Marks a folder that is not whole yet, so that it may be removed.
const UNFINISHED: &str = "restoring";

/// What is restored, and where to.
#[derive(Debug)]
pub struct RestoreSettings {
    /// The folder of the backup.
    pub from: PathBuf,
    /// Which set; `None`: the newest.
    pub set: Option<u64>,
    /// The data folder; must not be there, or be empty.
    pub dir: PathBuf,
    /// What opens the key ring.
    pub unlock: Unlock,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Which set.
    pub set: u64,
    /// The moment that came back.
    pub made_at: Timestamp,
    /// Segments, all of whose bytes were read and authentic.
    pub segments: u64,
    /// Records of the audit, which hold together.
    pub audit_records: u64,
    /// API keys and sessions that were forgotten.
    pub credentials_forgotten: u64,
    /// Accounts that were disabled.
    pub disabled: Vec<String>,
    /// Guardians and administrators whose password or factors changed after the backup: the old
    /// ones count again.
    pub old_passwords: Vec<String>,
    /// Erasures that were finished after it: their rows may be back.
    pub erasures_since: u64,
}

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It is no backup.
    #[error("{} is no backup of Clerestory", .0.display())]
    NoBackup(PathBuf),
    /// There is no such set.
    #[error("the backup has no set {0}; it has {1}")]
    NoSet(u64, String),
    /// There is something in the place of the data folder.
    #[error("{} is there already; restore into a new folder", .0.display())]
    Exists(PathBuf),
    /// A file is missing, changed, or from another set.
    #[error("`{0}` of the backup is not what was backed up")]
    Changed(String),
    /// Everything is there, but something in it does not read.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The key ring does not open.
    #[error("cannot open the key ring of the backup")]
    Keys(#[from] KeyError),
    /// The node does not open.
    #[error("cannot open what was restored")]
    Open(#[from] OpenError),
    /// The catalog of the backup does not open.
    #[error("cannot use the catalog of the backup")]
    Catalog(#[from] CatalogError),
    /// A record cannot be changed.
    #[error("cannot use the catalog of the backup")]
    Records(#[from] RecordError),
    /// A disk failed.
    #[error("cannot read the backup or write the data folder")]
    Io(#[from] io::Error),
}

/// Reads everything of a backup and says whether it could be restored; changes nothing.
///
/// # Errors
/// If anything of it is missing, changed or does not read.
pub fn check_backup(
    from: &Path,
    set: Option<u64>,
    unlock: &Unlock,
) -> Result<Restored, RestoreError> {
    let folder = std::env::temp_dir().join(format!("clerestory-check-{}", std::process::id()));
    let part = Part::make(&folder)?;
    let (set, _) = part.fill(from, set, unlock, &link)?;
    let (segments, audit_records) = part.verify(unlock)?;
    Ok(Restored {
        set: set.number,
        made_at: Timestamp(set.made_at),
        segments,
        audit_records,
        credentials_forgotten: 0,
        disabled: Vec::new(),
        old_passwords: Vec::new(),
        erasures_since: 0,
    })
}

/// Makes a data folder of a set of a backup, after reading everything of it.
///
/// # Errors
/// If the folder is there, or anything of the set is missing, changed or does not read: there is no
/// data folder then.
pub fn restore(settings: &RestoreSettings) -> Result<Restored, RestoreError> {
    let RestoreSettings { from, set, dir, unlock } = settings;
    let is_free = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error.into()),
    };
    if !is_free {
        return Err(RestoreError::Exists(dir.clone()));
    }
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    let part = Part::make(&dir.with_file_name(name))?;
    let (set, keys) = part.fill(from, *set, unlock, &copy)?;
    let (segments, audit_records) = part.verify(unlock)?;
    let mut restored = part.settle(&set, &keys, unlock)?;
    drop(keys);
    restored.segments = segments;
    restored.audit_records = audit_records;
    part.finish(dir)?;
    Ok(restored)
}

/// A data folder that is not whole yet; removed unless it is finished.
struct Part {
    folder: PathBuf,
    is_finished: std::cell::Cell<bool>,
}

impl Part {
    fn make(folder: &Path) -> Result<Part, RestoreError> {
        if folder.try_exists()? {
            // Left by a crash of ours, or somebody's.
            if !folder.join(UNFINISHED).try_exists()? {
                return Err(RestoreError::Exists(folder.to_owned()));
            }
            fs::remove_dir_all(folder)?;
        }
        // Not one that somebody else made meanwhile.
        fs::create_dir(folder)?;
        set::only_for_owner(folder)?;
        fs::write(folder.join(UNFINISHED), b"")?;
        Ok(Part { folder: folder.to_owned(), is_finished: std::cell::Cell::new(false) })
    }

    /// Brings the files of a set in, each checked against what the set says of it.
    fn fill(
        &self,
        from: &Path,
        wanted: Option<u64>,
        unlock: &Unlock,
        bring: &dyn Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<(Set, KeyRing), RestoreError> {
        let ring = set::ring_of(from).ok().flatten();
        let ring = ring.ok_or_else(|| RestoreError::NoBackup(from.to_owned()))?;
        let numbers = set::numbers(from)?;
        let number = match wanted {
            None => numbers.last().copied(),
            Some(wanted) => Some(wanted).filter(|wanted| numbers.contains(wanted)),
        };
        let all = || numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let number = number.ok_or_else(|| RestoreError::NoSet(wanted.unwrap_or(1), all()))?;
        let folder = set::folder_of(from, number);
        let changed = |name: &str| RestoreError::Changed(name.to_owned());

        copy(&folder.join("keyring"), &self.folder.join("keyring"))
            .map_err(|_| changed("keyring"))?;
        let keys = KeyRing::open(&self.folder.join("keyring"), unlock, &self.folder)?;
        let (set, json) = Set::read_unproven(&folder).map_err(|_| changed("set.json"))?;
        let is_proven = Set::is_proven(&folder, &json, &keys).map_err(|_| changed("set.mac"))?;
        if !is_proven || set.number != number || set.ring != ring || keys.id() != ring {
            return Err(changed("set.json"));
        }
        for file in &set.files {
            let bytes = fs::read(folder.join(&file.name)).map_err(|_| changed(&file.name))?;
            if set::prove(&keys, &file.name, &bytes) != file.proof {
                return Err(changed(&file.name));
            }
            let target = self.folder.join(&file.name);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            set::write_durably(&target, &bytes)?;
        }
        let segments = set.segments.iter();
        let segments = segments.map(|file| ("segments", &file.kept_as, &file.name, file.bytes));
        let audit = set.audit.iter().map(|file| ("audit", &file.name, &file.name, file.bytes));
        for (kind, kept_as, name, bytes) in segments.chain(audit) {
            let path = from.join(kind).join(kept_as);
            let length = fs::metadata(&path).map_err(|_| changed(name))?.len();
            // The record may have grown since.
            if length < bytes || kind == "segments" && length != bytes {
                return Err(changed(name));
            }
            fs::create_dir_all(self.folder.join(kind))?;
            bring(&path, &self.folder.join(kind).join(name))?;
        }
        // What the record got after the set belongs to its story, too.
        fs::create_dir_all(self.folder.join("audit"))?;
        for entry in fs::read_dir(from.join("audit"))? {
            let entry = entry?;
            let target = self.folder.join("audit").join(entry.file_name());
            let is_whole = target.extension().is_some_and(|extension| extension == "audit");
            if is_whole && !target.try_exists()? {
                bring(&entry.path(), &target)?;
            }
        }
        fs::create_dir_all(self.folder.join("segments"))?;
        fs::create_dir_all(self.folder.join("log"))?;
        Ok((set, keys))
    }

    /// Opens every frame of every segment, every row of the catalog and every record of the audit.
    fn verify(&self, unlock: &Unlock) -> Result<(u64, u64), RestoreError> {
        let store = verify_store(&self.folder, unlock)?;
        if let Some(problem) = store.problems.first() {
            return Err(RestoreError::Damaged(problem.clone()));
        }
        let audit = verify_audit(&self.folder, unlock, &AuditEvidence::default())?;
        if let Some(problem) = audit.problem {
            return Err(RestoreError::Damaged(problem));
        }
        Ok((store.segments as u64, audit.records))
    }

    /// Takes away what nobody may gain by an old backup.
    fn settle(&self, set: &Set, keys: &KeyRing, unlock: &Unlock) -> Result<Restored, RestoreError> {
        let clock = SystemClock;
        let catalog = Catalog::open(&self.folder.join("catalog.db"), keys)?;
        let credentials_forgotten = forget_credentials(&catalog)?;
        leave_a_gap(&catalog)?;
        drop(catalog);

        let engine = Engine::open(&Settings::new(&self.folder, unlock.clone()))?;
        let mut since = Since::default();
        let walked = engine.audit.walk(Timestamp(set.made_at), &mut |record| {
            if record.at.0 >= set.made_at {
                since.see(&record.event);
            }
        });
        walked.map_err(OpenError::from)?;
        let disabled = engine.policies.shut_out_after_restore(&since.disabled, clock.now())?;
        let decides = |name: &String| !disabled.contains(name);
        let old_passwords: Vec<String> = since.changed.into_iter().filter(decides).collect();
        let event = Event {
            subject: format!("set {} of {}", set.number, Timestamp(set.made_at).to_rfc3339()),
            outcome: format!("{} accounts disabled", disabled.len()),
            ..Event::new(EventKind::Restored)
        };
        engine.audit.append_durable(&event).map_err(OpenError::from)?;
        engine.close();
        Ok(Restored {
            set: set.number,
            made_at: Timestamp(set.made_at),
            segments: 0,
            audit_records: 0,
            credentials_forgotten,
            disabled,
            old_passwords,
            erasures_since: since.erasures,
        })
    }

    fn finish(&self, dir: &Path) -> Result<(), RestoreError> {
        fs::remove_file(self.folder.join(UNFINISHED))?;
        fs::File::open(&self.folder)?.sync_all()?;
        // An empty folder may be there.
        let _ = fs::remove_dir(dir);
        set::rename(&self.folder, dir)?;
        self.is_finished.set(true);
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_finished.get()
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            tracing::warn!(%error, "what was not restored stays");
        }
    }
}

/// What the record says of the time after the backup.
#[derive(Default)]
struct Since {
    disabled: BTreeSet<String>,
    changed: BTreeSet<String>,
    erasures: u64,
}

impl Since {
    fn see(&mut self, event: &Event) {
        match event.kind {
            EventKind::PersonDisabled => drop(self.disabled.insert(event.subject.clone())),
            EventKind::PersonChanged => drop(self.changed.insert(event.subject.clone())),
            EventKind::ErasureDone => self.erasures += 1,
            _ => {}
        }
    }
}

/// Raises the numbers of rows that come.
fn leave_a_gap(catalog: &Catalog) -> Result<(), CatalogError> {
    let mut last: BTreeMap<TableId, u64> = BTreeMap::new();
    for (table, seq) in catalog.flushed()? {
        last.insert(table, seq.0);
    }
    let highest = last.values().copied().max().unwrap_or(0);
    let highest = catalog.segments()?.iter().map(|record| record.max_seq.0).fold(highest, u64::max);
    let next = Seq(highest.saturating_add(SEQ_GAP));
    let mut edit = Edit::default();
    edit.flushed.extend(catalog.tables()?.into_iter().map(|table| (table.id, next)));
    catalog.commit(&edit)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    fs::File::open(to)?.sync_all()
}

/// For looking only: where links are to be had, nothing large is copied.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(from.canonicalize()?, to);
    #[cfg(not(unix))]
    copy(from, to)
}
