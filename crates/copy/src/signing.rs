//! Who stands behind a copy: files are proposed, read, signed.
//!
//! A signed file is a ruling. One that copies more than the one before it takes a second person;
//! one that only takes away counts at once.

use crate::copies::{Copies, Copy, wrong};
use crate::file::{CopyFile, FileError};
use crate::plan::{self, widenings};
use crate::state::{StoredCopy, StoredNote, StoredRun, StoredSignature, StoredVersion};
use crate::{registry, store};
use engine::{Caller, EngineError};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// What a file copies more than the last one that was signed.
pub(crate) struct More {
    /// The number of that version, from 1.
    pub(crate) than: usize,
    /// In words; empty: it only takes away.
    pub(crate) what: Vec<String>,
}

/// Who agreed on what is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Their names.
    pub(crate) names: String,
    /// Whether they are two.
    pub(crate) second: bool,
}

impl Copies {
    /// Proposes a file: the first, or a new version. It runs when it is signed and started. One that
    /// only takes away from the signed one is signed by who proposes it, if they could sign it
    /// or it changes no class.
    ///
    /// # Errors
    /// 403 without the right to copy, 400 with the line of the first mistake: also for a column
    /// that nothing uses and that has no purpose.
    pub fn propose(&self, caller: &Caller, yaml: &str) -> Result<Json, EngineError> {
        self.engine.may_copy(caller)?;
        let file = CopyFile::parse(yaml).map_err(wrong)?;
        if file.tables.is_empty() {
            let message = "no table is copied; let `clerestory copy plan` propose some".to_owned();
            return Err(wrong(FileError { line: 1, message }));
        }
        plan::check_purposes(&self.engine, caller, &file).map_err(wrong)?;
        registry::open(&file.kind, &file.settings, &file.name, None)
            .map_err(EngineError::illegal_argument)?;
        self.check_targets(&file)?;
        let targets: Vec<String> = file.tables.iter().map(|table| table.to.clone()).collect();
        self.engine.record_copy(caller, &file.name, "proposed", &targets)?;
        let at = self.engine.now().0;
        let version =
            StoredVersion { yaml: yaml.to_owned(), by: caller.name().to_owned(), at, signed: None };
        let copy = {
            let mut copies = self.copies.lock();
            let copy = copies.entry(file.name.clone()).or_insert_with(|| {
                let stored = StoredCopy { made_at: at, versions: Vec::new(), run: None };
                Arc::new(Copy::new(&self.engine, &file.name, stored))
            });
            Arc::clone(copy)
        };
        let number = copy.edit(|stored| {
            match stored.versions.last_mut() {
                // The same again, or one that nobody signed yet.
                Some(last) if last.yaml == yaml && last.signed.is_some() => {}
                Some(last) if last.signed.is_none() => *last = version,
                _ => stored.versions.push(version),
            }
            stored.versions.len()
        })?;
        let versions = copy.stored().versions;
        let more = more_than_signed(&versions, number - 1, &file)?;
        let is_signed = versions.last().is_some_and(|last| last.signed.is_some());
        if !is_signed && more.as_ref().is_some_and(|more| more.what.is_empty()) {
            self.take_away(caller, &copy, number, &file)?;
        }
        let signed = copy.stored().versions.last().is_some_and(|last| last.signed.is_some());
        let more = more.map(|more| more.what);
        Ok(json!({ "copy": file.name, "version": number, "signed": signed, "more": more }))
    }

    /// Puts a version in force that only takes away, as far as its proposer may.
    fn take_away(
        &self,
        caller: &Caller,
        copy: &Arc<Copy>,
        number: usize,
        file: &CopyFile,
    ) -> Result<(), EngineError> {
        let may_rule =
            file.tables.iter().all(|table| self.engine.may_sign(caller, Some(&table.to)).is_ok());
        if may_rule {
            self.sign(caller, &copy.name, number)?;
            return Ok(());
        }
        let versions = copy.stored().versions;
        let Some(before) = signed_before(&versions, number - 1) else { return Ok(()) };
        let before_file = CopyFile::parse(&versions[before].yaml).map_err(wrong)?;
        // To make a class stricter is a ruling, too.
        if plan::has_same_classes(&before_file, file) {
            let targets: Vec<String> = file.tables.iter().map(|table| table.to.clone()).collect();
            let what = format!("version {number} takes away and is in force");
            self.engine.record_copy(caller, &copy.name, &what, &targets)?;
            self.put_in_force(caller, copy, number, Vec::new())?;
        }
        Ok(())
    }

    /// Signs the newest version: from then on it is a ruling. Whoever proposed the first may sign it,
    /// too, but then whatever lets more be seen than the classifier would waits for a second person.
    ///
    /// # Errors
    /// 403 without the right to rule, or if the caller proposed a version that copies more than the
    /// signed one; 404 if there is no such copy, 409 if `version` is not the newest: somebody
    /// proposed another meanwhile.
    pub fn sign(&self, caller: &Caller, name: &str, version: usize) -> Result<Json, EngineError> {
        self.engine.may_sign(caller, None)?;
        let copy = self.find(name)?;
        let versions = copy.stored().versions;
        let Some(newest) =
            versions.get(version.wrapping_sub(1)).filter(|_| version == versions.len())
        else {
            let reason = format!(
                "version {version} is not the newest of `{name}`: read version {} and sign that",
                versions.len()
            );
            return Err(EngineError::new(409, "status_exception", reason));
        };
        if newest.signed.is_some() {
            return Ok(json!({ "copy": name, "version": version, "signed": true, "changes": [] }));
        }
        let file = CopyFile::parse(&newest.yaml).map_err(wrong)?;
        let targets: Vec<String> = file.tables.iter().map(|table| table.to.clone()).collect();
        for table in &targets {
            self.engine.may_sign(caller, Some(table))?;
        }
        let more = more_than_signed(&versions, version - 1, &file)?;
        if let Some(More { than, what }) = more.filter(|more| !more.what.is_empty())
            && newest.by == caller.name()
            && !self.engine.is_founding()
        {
            return Err(EngineError::forbidden(format!(
                "you proposed version {version}, and it copies more than version {than}: {}. Somebody \
                 else who may rule signs it",
                what.join("; ")
            )));
        }
        self.engine.record_copy(caller, name, &format!("version {version} signed"), &targets)?;
        let mut changes = Vec::new();
        for table in &file.tables {
            // Rulings of fields that are there already; types do not matter for them.
            let found = plan::as_described(table);
            changes
                .extend(self.engine.rule_copied(caller, &store::table_of(table, &found, true)?)?);
        }
        self.put_in_force(caller, &copy, version, changes.clone())?;
        Ok(json!({ "copy": name, "version": version, "signed": true, "changes": changes }))
    }

    fn put_in_force(
        &self,
        caller: &Caller,
        copy: &Arc<Copy>,
        version: usize,
        changes: Vec<u64>,
    ) -> Result<(), EngineError> {
        let (by, at) = (caller.name().to_owned(), self.engine.now().0);
        copy.edit(|stored| {
            let narrows = narrows(&stored.versions, version - 1);
            if let Some(newest) = stored.versions.get_mut(version - 1) {
                newest.signed = Some(StoredSignature { by, at, changes, narrows });
            }
        })?;
        // What runs goes over to the new version.
        if copy.run().is_some_and(|run| run.paused.is_none()) {
            self.stop_one(copy)?;
            copy.go_over_to(version - 1)?;
            self.start(copy)?;
        }
        Ok(())
    }

    /// Two copies do not fill one table.
    fn check_targets(&self, file: &CopyFile) -> Result<(), EngineError> {
        for other in self.copies.lock().values().filter(|other| other.name != file.name) {
            let stored = other.stored();
            let Some(newest) = stored.versions.last() else { continue };
            let Ok(theirs) = CopyFile::parse(&newest.yaml) else { continue };
            if let Some(both) =
                file.tables.iter().find(|ours| theirs.tables.iter().any(|t| t.to == ours.to))
            {
                let reason = format!(
                    "copy `{}` fills table `{}` already; give this one another `to`",
                    other.name, both.to
                );
                return Err(EngineError::illegal_argument(reason));
            }
        }
        Ok(())
    }
}

impl Copy {
    /// Has another version run from now on. Tables whose rows it makes others are read again.
    pub(crate) fn go_over_to(&self, version: usize) -> Result<(), EngineError> {
        let (now, at) = (self.engine.now(), self.engine.now().0);
        let stored = self.stored();
        let file = |version: usize| match stored.versions.get(version) {
            Some(version) => CopyFile::parse(&version.yaml).map_err(wrong).map(Some),
            None => Ok(None),
        };
        let before = match stored.run.as_ref().filter(|run| run.version != version) {
            Some(run) => file(run.version)?,
            None => None,
        };
        let next = file(version)?;
        let mut anew = Vec::new();
        for table in next.iter().flat_map(|next| &next.tables) {
            let known = before.as_ref().and_then(|before| before.table(&table.from));
            if known.is_some_and(|known| plan::reads_anew(known, table, now)) {
                anew.push(table.from.clone());
            }
        }
        self.edit(|stored| {
            let run = stored.run.get_or_insert_with(StoredRun::default);
            run.version = version;
            if anew.is_empty() {
                return;
            }
            run.snapshot = None;
            for table in anew {
                let known = run.tables.entry(table.clone()).or_default();
                (known.copied, known.again) = (false, true);
                let what = "all rows are read again, as the signed file has them now";
                run.notes.push(StoredNote { at, table, what: what.to_owned() });
            }
        })
    }
}

/// The last version before one that was signed.
fn signed_before(versions: &[StoredVersion], version: usize) -> Option<usize> {
    versions.get(..version)?.iter().rposition(|version| version.signed.is_some())
}

/// What a version copies more than the last one before it that was signed; `None` if there is none.
pub(crate) fn more_than_signed(
    versions: &[StoredVersion],
    version: usize,
    file: &CopyFile,
) -> Result<Option<More>, EngineError> {
    let Some(before) = signed_before(versions, version) else { return Ok(None) };
    let signed = CopyFile::parse(&versions[before].yaml).map_err(wrong)?;
    Ok(Some(More { than: before + 1, what: widenings(&signed, file) }))
}

/// The version that this one only takes away from.
fn narrows(versions: &[StoredVersion], version: usize) -> Option<usize> {
    let file = CopyFile::parse(&versions.get(version)?.yaml).ok()?;
    let more = more_than_signed(versions, version, &file).ok()??;
    more.what.is_empty().then(|| more.than - 1)
}

/// Who stands behind a version: who proposed it and who signed it. Behind one that one person made,
/// and that only takes away, still those of the version before it.
pub(crate) fn behind(versions: &[StoredVersion], version: usize) -> Option<Behind> {
    let this = versions.get(version)?;
    let signed = this.signed.as_ref()?;
    if signed.by != this.by {
        return Some(Behind { names: format!("{}, {}", this.by, signed.by), second: true });
    }
    let before = signed.narrows.filter(|before| *before < version);
    match before.and_then(|before| behind(versions, before)) {
        Some(before) => Some(before),
        None => Some(Behind { names: signed.by.clone(), second: false }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(by: &str, signed: Option<(&str, Option<usize>)>) -> StoredVersion {
        let signed = signed.map(|(by, narrows)| {
            let by = by.to_owned();
            StoredSignature { by, at: 0, changes: Vec::new(), narrows }
        });
        StoredVersion { yaml: String::new(), by: by.to_owned(), at: 0, signed }
    }

    #[test]
    fn two_people_stay_behind_what_only_takes_away() {
        let versions = [
            version("eve", Some(("grace", None))),
            version("eve", Some(("eve", Some(0)))),
            version("eve", None),
            version("ann", Some(("ann", None))),
        ];
        let both = Behind { names: "eve, grace".to_owned(), second: true };
        assert_eq!(behind(&versions, 0), Some(both.clone()));
        assert_eq!(behind(&versions, 1), Some(both));
        assert_eq!(behind(&versions, 2), None, "nobody signed it");
        let one = Behind { names: "ann".to_owned(), second: false };
        assert_eq!(behind(&versions, 3), Some(one));
        assert_eq!((signed_before(&versions, 3), signed_before(&versions, 0)), (Some(1), None));
    }
}
