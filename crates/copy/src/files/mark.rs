//! How far a file is stored: the position in its lane.
//!
//! 24 bytes, big-endian: bytes read (unpacked; of Parquet: rows), lines or rows read, and the size
//! of the file as it lies once all of it was read, before that 0. Later is greater.

use crate::Position;

/// How far a file is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// Bytes that were read, unpacked; rows of Parquet.
    pub(super) offset: u64,
    /// Lines that were read; rows of Parquet.
    pub(super) line: u64,
    /// The size of the file when its end was reached; 0: not yet.
    pub(super) whole: u64,
}

impl Mark {
    pub(super) fn to_position(self) -> Position {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.offset.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.line.to_be_bytes());
        bytes[16..].copy_from_slice(&self.whole.to_be_bytes());
        Position::new(&bytes)
    }

    pub(super) fn from_position(position: &Position) -> Option<Mark> {
        let bytes: &[u8; 24] = position.bytes().try_into().ok()?;
        let number = |at: usize| {
            let bytes: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
            u64::from_be_bytes(bytes)
        };
        Some(Mark { offset: number(0), line: number(8), whole: number(16) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_ordered_as_their_bytes() {
        let marks = [
            Mark::default(),
            Mark { offset: 1, line: 1, whole: 0 },
            Mark { offset: 256, line: 2, whole: 0 },
            Mark { offset: 256, line: 2, whole: 99 },
            Mark { offset: 300, line: 3, whole: 0 },
        ];
        assert!(marks.iter().map(|mark| mark.to_position()).is_sorted());
        for mark in marks {
            assert_eq!(Mark::from_position(&mark.to_position()), Some(mark));
        }
        assert_eq!(Mark::from_position(&Position::number(3)), None);
    }
}
