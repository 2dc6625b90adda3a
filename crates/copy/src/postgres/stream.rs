//! Large transactions while they still run: put aside until they are committed.
//!
//! The server streams a transaction that outgrows its `logical_decoding_work_mem`, instead of
//! writing it to its own disk. Here it is sealed and put aside ([`engine::Aside`]); nothing of it
//! is stored before its commit. Its position is that of its commit, and its rows are counted as if
//! it had come in one go, so it makes no difference which way it comes after a crash.

use super::pgoutput::inside_stream;
use crate::SourceError;
use engine::{Aside, AsideReader, Asides};
use std::collections::{HashMap, HashSet};
use std::io;

/// What is put aside of all transactions, unless the copy file says otherwise: 4 GiB.
pub(crate) const STREAM_BYTES_MAX: u64 = 4 << 30;

/// The transactions that run and are streamed.
pub(crate) struct Streams {
    asides: Asides,
    bytes_max: u64,
    kept: HashMap<u32, Streamed>,
    /// The transaction that messages belong to now.
    open: Option<u32>,
}

struct Streamed {
    aside: Aside,
    /// Subtransactions that were rolled back.
    aborted: HashSet<u32>,
}

/// A streamed transaction that was committed.
pub(crate) struct Replay {
    reader: AsideReader,
    aborted: HashSet<u32>,
    /// Behind its commit.
    pub(crate) end: u64,
}

impl Streams {
    pub(crate) fn new(asides: Asides, bytes_max: u64) -> Streams {
        Streams { asides, bytes_max, kept: HashMap::new(), open: None }
    }

    /// Whether messages belong to a streamed transaction now.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether more is put aside than may be.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.values().map(|one| one.aside.bytes()).sum::<u64>() > self.bytes_max
    }

    pub(crate) fn start(&mut self, transaction: u32, is_first: bool) -> Result<(), SourceError> {
        if is_first {
            let aside = self.asides.make().map_err(|error| disk(&error))?;
            self.kept.insert(transaction, Streamed { aside, aborted: HashSet::new() });
        } else if !self.kept.contains_key(&transaction) {
            return Err(SourceError::Broken("a part of a transaction without its start".into()));
        }
        self.open = Some(transaction);
        Ok(())
    }

    pub(crate) fn stop(&mut self) {
        self.open = None;
    }

    /// Puts a message aside.
    pub(crate) fn keep(&mut self, message: &[u8]) -> Result<(), SourceError> {
        let cut = || SourceError::Broken("a message of a streamed transaction that is cut".into());
        let (part, kind, rest) = inside_stream(message).ok_or_else(cut)?;
        let Some(streamed) = self.open.and_then(|open| self.kept.get_mut(&open)) else {
            return Err(cut());
        };
        streamed.aside.push(&[&part.to_be_bytes(), kind, rest]).map_err(|error| disk(&error))
    }

    /// Forgets what was rolled back: all of a transaction, or a subtransaction.
    pub(crate) fn abort(&mut self, transaction: u32, part: u32) {
        if transaction == part {
            self.kept.remove(&transaction);
        } else if let Some(streamed) = self.kept.get_mut(&transaction) {
            streamed.aborted.insert(part);
        }
    }

    /// Gives a committed transaction back; `None` if nothing of it was streamed.
    pub(crate) fn commit(&mut self, transaction: u32, end: u64) -> Option<Replay> {
        let Streamed { aside, aborted } = self.kept.remove(&transaction)?;
        Some(Replay { reader: aside.into_reader(), aborted, end })
    }
}

impl Replay {
    /// The next message, as it is outside of a stream; `None` after the last.
    pub(crate) fn next_message(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        loop {
            let record = self.reader.next_record().map_err(|error| disk(&error))?;
            let Some(mut record) = record else { return Ok(None) };
            let Some(part) = record.first_chunk::<4>().map(|part| u32::from_be_bytes(*part)) else {
                return Err(SourceError::Broken("a record that was put aside is cut".into()));
            };
            // How a table looks is said once, also where that happened to be in a subtransaction
            // that was rolled back; if it changed there, it is said again afterwards.
            if !self.aborted.contains(&part) || record.get(4) == Some(&b'R') {
                record.drain(..4);
                return Ok(Some(record));
            }
        }
    }
}

fn disk(error: &io::Error) -> SourceError {
    SourceError::Unreachable(format!(
        "a large transaction cannot be put aside on this node's disk: {}; make room, or set \
         `stream_bytes_max: 0` in the copy file, which leaves it at the source",
        error.kind()
    ))
}
