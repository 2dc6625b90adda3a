//! Where the record ends, in each of its folders, and which of them to go on from.

use super::checkpoint::Checkpoint;
use super::frame::{self, Fault, Scan, State};
use super::sink::{Sink, is_beginning};
use super::{AuditError, ProblemKind, damaged, files_of, head, io_error, path_of};
use crate::keys::KeyRing;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The record as it was found.
pub(super) struct Opened {
    pub(super) state: State,
    pub(super) file_next: u32,
    pub(super) head: Option<Checkpoint>,
    pub(super) dropped_bytes: u64,
    pub(super) sinks: Vec<Sink>,
}

/// Looks at the head and at the end of every folder, and cuts off what a crash left unfinished.
///
/// The folder that holds most is the record; the others are brought up to it. One that holds
/// something else is left as it is, as evidence, and named.
pub(super) fn open(dir: &Path, copies: &[PathBuf], ring: &KeyRing) -> Result<Opened, AuditError> {
    let head = head::read(dir, ring)?;
    let mut ends = vec![find_end(dir, ring, head.as_ref())];
    let mut others = vec![dir.to_owned()];
    for copy in copies {
        let made = make_copy(copy, &others);
        ends.push(made.and_then(|()| find_end(copy, ring, head.as_ref())));
        others.push(copy.clone());
    }
    let reached = |end: &Result<End, AuditError>| end.as_ref().map_or(0, |end| end.state.size());
    let most = ends.iter().map(reached).max().unwrap_or(0);
    let base = ends.iter().position(|end| end.is_ok() && reached(end) == most);
    let (base, signed) = match (base, head.as_ref().map_or(0, |head| head.size)) {
        (Some(base), signed) if most >= signed => (base, signed),
        // No folder is good, or none reaches what was signed: say what is wrong with the first.
        (_, signed) => {
            let end = ends.swap_remove(0)?;
            return Err(match end.last_file {
                Some(path) => damaged(&path, end.state.size() + 1, ProblemKind::Truncated),
                None => damaged(dir, signed.min(1), ProblemKind::Missing),
            });
        }
    };
    if head.is_none() && most > 0 {
        return Err(damaged(&head::path_of(dir), 0, ProblemKind::Missing));
    }
    debug_assert!(most >= signed, "checked above");
    let dirs: Vec<&Path> =
        std::iter::once(dir).chain(copies.iter().map(PathBuf::as_path)).collect();
    let sinks = ends.iter().enumerate().map(|(place, end)| match place == base {
        true => Sink::new(dirs[place], true),
        false => copy_of(dirs[base], most, dirs[place], end),
    });
    let sinks: Vec<Sink> = sinks.collect();
    let dropped_bytes = ends.iter().flatten().map(|end| end.dropped_bytes).sum();
    let end = ends.swap_remove(base)?;
    Ok(Opened { state: end.state, file_next: end.file_next, head, dropped_bytes, sinks })
}

/// A folder that shall hold what `original` holds, with `most` records: how far it is, or that it
/// is evidence of something else.
pub(super) fn open_copy(
    original: &Path,
    most: u64,
    copy: &Path,
    others: &[PathBuf],
    ring: &KeyRing,
) -> Sink {
    let made = make_copy(copy, others);
    copy_of(original, most, copy, &made.and_then(|()| find_end(copy, ring, None)))
}

/// Makes the folder, which must not be one of the others under another name.
fn make_copy(copy: &Path, others: &[PathBuf]) -> Result<(), AuditError> {
    let failed = |source| io_error("make", copy, source);
    fs::create_dir_all(copy).map_err(failed)?;
    let real = fs::canonicalize(copy).map_err(failed)?;
    let is_same = |other: &PathBuf| fs::canonicalize(other).is_ok_and(|other| other == real);
    match others.iter().any(is_same) {
        true => Err(failed(io::Error::other("it is one of the other folders of the record"))),
        false => Ok(()),
    }
}

fn copy_of(original: &Path, most: u64, copy: &Path, end: &Result<End, AuditError>) -> Sink {
    let mut sink = Sink::new(copy, false);
    match end {
        Ok(end) => match is_beginning(copy, original) {
            Ok(true) if end.state.size() == most => {}
            Ok(true) => sink.trouble = Some(format!("{} records behind", most - end.state.size())),
            Ok(false) => {
                sink.is_evidence = true;
                sink.trouble = Some("it holds another record".to_owned());
            }
            Err(error) => sink.trouble = Some(error.to_string()),
        },
        Err(error) => {
            sink.is_evidence = matches!(error, AuditError::Damaged(_));
            sink.trouble = Some(error.to_string());
        }
    }
    sink
}

/// The end of the record in one folder.
struct End {
    state: State,
    file_next: u32,
    dropped_bytes: u64,
    last_file: Option<PathBuf>,
}

fn find_end(dir: &Path, ring: &KeyRing, head: Option<&Checkpoint>) -> Result<End, AuditError> {
    let mut dropped_bytes = 0;
    let mut files = files_of(dir)?;
    while let Some((number, path)) = files.pop() {
        let (scan, agrees) = scan_file(&path, ring, head)?;
        if scan.number.is_some_and(|found| found != number) {
            return Err(damaged(&path, scan.state.size() + 1, ProblemKind::Reordered));
        }
        match scan.fault {
            Some(Fault { problem, is_tail: false }) => return Err(AuditError::Damaged(problem)),
            Some(Fault { is_tail: true, .. }) if scan.before.is_none() => {
                // Not even the header was finished: nothing of this file was acknowledged, unless
                // the head says otherwise, which the file before it will show.
                let file_bytes = fs::metadata(&path).map(|metadata| metadata.len());
                dropped_bytes += file_bytes.map_err(|source| io_error("read", &path, source))?;
                fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
                continue;
            }
            _ => {}
        }
        let is_cut = head.is_some_and(|head| scan.state.size() < head.size);
        if scan.fault.is_some() && !is_cut {
            dropped_bytes += cut_back(&path, scan.good_bytes)?;
        }
        if !agrees {
            return Err(damaged(&path, scan.state.size(), ProblemKind::Forked));
        }
        let (state, last_file) = (scan.state, Some(path));
        return Ok(End { state, file_next: number + 1, dropped_bytes, last_file });
    }
    Ok(End { state: State::start(), file_next: 1, dropped_bytes, last_file: None })
}

/// Scans a file; also whether it agrees with the head.
fn scan_file(
    path: &Path,
    ring: &KeyRing,
    head: Option<&Checkpoint>,
) -> Result<(Scan, bool), AuditError> {
    let mut agrees = true;
    let mut check = |state: &State| {
        if let Some(head) = head.filter(|head| head.size == state.size()) {
            agrees &= state.tree.root() == head.root;
        }
    };
    let scan = frame::scan(path, ring, &mut |_, state| check(state))
        .map_err(|source| io_error("read", path, source))?;
    if let Some(before) = &scan.before {
        check(before);
    }
    Ok((scan, agrees))
}

fn cut_back(path: &Path, good_bytes: u64) -> Result<u64, AuditError> {
    let cut = || -> io::Result<u64> {
        let file = OpenOptions::new().write(true).open(path)?;
        let dropped = file.metadata()?.len() - good_bytes;
        file.set_len(good_bytes)?;
        file.sync_all()?;
        Ok(dropped)
    };
    cut().map_err(|source| io_error("cut back", path, source))
}

/// The first file that is missing before the last one, if any.
pub(super) fn first_gap(dir: &Path, files: &[(u32, PathBuf)]) -> Option<PathBuf> {
    let expected = 1..;
    let gap = files.iter().zip(expected).find(|((number, _), expected)| number != expected);
    gap.map(|(_, expected)| path_of(dir, expected))
}
