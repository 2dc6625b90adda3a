//! What is kept of a copy in the catalog, sealed as every record there: its files with who signed
//! them, and where it stands.

use crate::{Marks, Position, Range};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A copy as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredCopy {
    /// When it was made, in milliseconds: tells it from an earlier one of the same name.
    pub(crate) made_at: i64,
    /// Every file that was proposed, oldest first.
    pub(crate) versions: Vec<StoredVersion>,
    /// `None`: it was never started.
    pub(crate) run: Option<StoredRun>,
}

/// A file that was proposed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredVersion {
    pub(crate) yaml: String,
    pub(crate) by: String,
    pub(crate) at: i64,
    pub(crate) signed: Option<StoredSignature>,
}

/// Who signed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredSignature {
    pub(crate) by: String,
    pub(crate) at: i64,
    /// The changes that wait for a second person.
    pub(crate) changes: Vec<u64>,
    /// The version, from 0, that this one only takes away from.
    #[serde(default)]
    pub(crate) narrows: Option<usize>,
}

/// Where a copy stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredRun {
    /// The version that runs, from 0.
    pub(crate) version: usize,
    pub(crate) started_by: String,
    /// Why it does not run; `None`: it does.
    pub(crate) paused: Option<String>,
    pub(crate) tables: BTreeMap<String, StoredTable>,
    /// The snapshot that is being read.
    pub(crate) snapshot: Option<StoredSnapshot>,
    /// All up to here is stored; hexadecimal.
    pub(crate) reached: Option<String>,
    /// What happened to the source's tables, the newest last.
    #[serde(default)]
    pub(crate) notes: Vec<StoredNote>,
    /// The tables that the source was seen to have; `None`: not yet.
    #[serde(default)]
    pub(crate) seen: Option<BTreeSet<String>>,
    /// Those that came later and that no signed file names, each with when it was seen.
    #[serde(default)]
    pub(crate) came: BTreeMap<String, i64>,
}

/// What is known of one table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredTable {
    /// All of its ranges were read.
    pub(crate) copied: bool,
    /// Rows of before this number are of an earlier snapshot, and go when this one is read.
    pub(crate) fresh_from: Option<u64>,
    /// Changes up to here are in the snapshot; hexadecimal. For rows without a key.
    pub(crate) floor: Option<String>,
    /// How often it was begun anew: marks of before count no more.
    #[serde(default)]
    pub(crate) anew: u32,
    /// A person asked for it to be read again.
    #[serde(default)]
    pub(crate) again: bool,
}

/// A snapshot that is being read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredSnapshot {
    pub(crate) start: String,
    pub(crate) ranges: Vec<StoredRange>,
}

/// A range of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredRange {
    pub(crate) table: String,
    pub(crate) lane: String,
    pub(crate) bounds: String,
    pub(crate) rows: u64,
    pub(crate) done: bool,
}

/// Something that a person should know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredNote {
    pub(crate) at: i64,
    pub(crate) table: String,
    pub(crate) what: String,
}

impl StoredRange {
    pub(crate) fn of(range: &Range) -> StoredRange {
        let Range { table, lane, bounds, rows } = range.clone();
        StoredRange { table, lane, bounds, rows, done: false }
    }

    pub(crate) fn range(&self) -> Range {
        let StoredRange { table, lane, bounds, rows, .. } = self.clone();
        Range { table, lane, bounds, rows }
    }
}

pub(crate) fn to_hex(position: &Position) -> String {
    position.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Position> {
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    bytes.filter(|bytes| bytes.len() <= Position::BYTES_MAX).map(|bytes| Position::new(&bytes))
}

/// The name of a lane where marks are kept: of which copy and table it is. `anew`: how often the
/// table was begun anew.
pub(crate) fn lane_name(copy: &str, made_at: i64, anew: u32, table: &str, lane: &str) -> String {
    format!("{}{table}\n{lane}", prefix(copy, made_at, anew))
}

fn prefix(copy: &str, made_at: i64, anew: u32) -> String {
    match anew {
        0 => format!("{copy}\n{made_at}\n"),
        anew => format!("{copy}\n{made_at}.{anew}\n"),
    }
}

/// Adds the marks of a copy among those that a table has.
pub(crate) fn add_marks(
    copy: &str,
    made_at: i64,
    anew: u32,
    kept: &[(String, Vec<u8>)],
    marks: &mut Marks,
) {
    let prefix = prefix(copy, made_at, anew);
    for (lane, position) in kept {
        let Some((table, lane)) = lane.strip_prefix(&prefix).and_then(|rest| rest.split_once('\n'))
        else {
            continue;
        };
        if position.len() <= Position::BYTES_MAX {
            marks.raise(table, lane, Position::new(position));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_lanes_come_back() {
        let position = Position::new(&[0, 15, 255]);
        assert_eq!(to_hex(&position), "000fff");
        assert_eq!(from_hex("000fff"), Some(position.clone()));
        assert_eq!(from_hex("0g"), None);
        let kept = [
            (lane_name("a", 7, 0, "public.t", "x\ny"), vec![1]),
            (lane_name("a", 8, 0, "public.t", ""), vec![2]),
            (lane_name("a", 7, 1, "public.t", ""), vec![3]),
        ];
        let mut marks = Marks::default();
        add_marks("a", 7, 0, &kept, &mut marks);
        assert_eq!(marks.get("public.t", "x\ny"), Some(&Position::new(&[1])));
        assert_eq!(marks.get("public.t", ""), None, "of an earlier copy");
        let mut anew = Marks::default();
        add_marks("a", 7, 1, &kept, &mut anew);
        assert_eq!(anew.lanes("public.t").count(), 1, "begun anew, earlier marks do not count");
    }
}
