use super::frame::{self, Entry};
use super::merkle::{HASH_BYTES, Hash, Subtrees, Tree, places};
use super::{AuditError, files_of, io_error};
use crate::keys::KeyRing;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The hashes of all complete subtrees in a file beside the audit folder, so that a proof does not
/// read the whole record. Nothing depends on it: it can be removed, and whoever is given a proof
/// checks it.
pub(super) struct ProofFile {
    path: PathBuf,
    /// What the file is sure to hold; nothing before the first proof.
    open: Option<(File, Tree)>,
}

impl ProofFile {
    pub(super) fn beside(dir: &Path) -> ProofFile {
        ProofFile { path: dir.with_extension("tree"), open: None }
    }

    /// Adds the hashes of the records of `dir` up to `size`.
    ///
    /// The first time in the life of a process the file is made anew from what it has to agree
    /// with: the record.
    pub(super) fn grow(&mut self, dir: &Path, ring: &KeyRing, size: u64) -> Result<(), AuditError> {
        let (mut file, mut tree) = match self.open.take() {
            Some((file, tree)) if tree.size() >= size => {
                self.open = Some((file, tree));
                return Ok(());
            }
            Some(open) => open,
            None => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(true);
                let made = options.open(&self.path);
                (made.map_err(|source| io_error("make", &self.path, source))?, Tree::default())
            }
        };
        let failed = |source| io_error("write", &self.path, source);
        file.seek(SeekFrom::Start(places(tree.size()) * HASH_BYTES as u64)).map_err(failed)?;
        let mut out = BufWriter::new(&file);
        let mut written = Ok(());
        for (path, behind) in with_ends(dir, ring)? {
            if behind.is_some_and(|behind| behind <= tree.size()) {
                continue;
            }
            frame::scan(&path, ring, &mut |entry, _| {
                let Entry::Record { number, hash, .. } = entry else { return };
                if number == tree.size() + 1 && number <= size && written.is_ok() {
                    tree.push(hash, |hash| {
                        if written.is_ok() {
                            written = out.write_all(hash);
                        }
                    });
                }
            })
            .map_err(|source| io_error("read", &path, source))?;
        }
        written.and_then(|()| out.flush()).map_err(failed)?;
        drop(out);
        let is_enough = tree.size() >= size;
        self.open = Some((file, tree));
        match is_enough {
            true => Ok(()),
            false => Err(AuditError::NoSuchRecord(super::RecordId(size))),
        }
    }

    /// The hash of record `number`, from 0.
    pub(super) fn leaf(&self, number: u64) -> Result<Hash, AuditError> {
        self.hash(places(number))
    }
}

/// The files of a record, and how many records there are behind each; `None`: the last one.
fn with_ends(dir: &Path, ring: &KeyRing) -> Result<Vec<(PathBuf, Option<u64>)>, AuditError> {
    let mut starts = Vec::new();
    for (_, path) in files_of(dir)? {
        let start = frame::read_start(&path, ring);
        let start = start.map_err(|source| io_error("read", &path, source))?;
        starts.push((path, start.map(|start| start.size())));
    }
    let ends: Vec<Option<u64>> = starts.iter().skip(1).map(|(_, start)| *start).collect();
    let ends = ends.into_iter().chain(std::iter::once(None));
    Ok(starts.into_iter().map(|(path, _)| path).zip(ends).collect())
}

impl Subtrees for ProofFile {
    type Error = AuditError;

    fn hash(&self, place: u64) -> Result<Hash, AuditError> {
        let mut hash = [0; HASH_BYTES];
        let failed = |source| io_error("read", &self.path, source);
        let (mut file, _) =
            self.open.as_ref().map(|(file, tree)| (file, tree)).expect("grown first");
        file.seek(SeekFrom::Start(place * HASH_BYTES as u64)).map_err(failed)?;
        std::io::Read::read_exact(&mut file, &mut hash).map_err(failed)?;
        Ok(hash)
    }
}
