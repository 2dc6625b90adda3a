//! How far the sources of a table were stored: written with the rows, kept by the commit that makes
//! them part of a segment.

use std::collections::BTreeMap;
use std::fmt;

/// A lane of a source and the position after the last stored row of it. Both mean something to the
/// writer alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Mark {
    /// At most 64 KiB.
    pub lane: Box<str>,
    /// At most 64 KiB.
    pub position: Box<[u8]>,
}

impl fmt::Debug for Mark {
    /// A key of a row may be part of a position.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mark({} bytes)", self.position.len())
    }
}

/// The newest mark of each lane of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(BTreeMap<Box<str>, Box<[u8]>>);

impl Marks {
    pub(crate) fn set(&mut self, mark: &Mark) {
        self.0.insert(mark.lane.clone(), mark.position.clone());
    }

    pub(crate) fn all(&self) -> Vec<Mark> {
        let all = self.0.iter();
        all.map(|(lane, position)| Mark { lane: lane.clone(), position: position.clone() })
            .collect()
    }

    /// The marks one after the other, as [`Mark::encode`] writes each.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.all().iter().for_each(|mark| mark.encode(&mut bytes));
        bytes
    }

    /// `None` if the bytes are not those of marks.
    pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<Marks> {
        let mut marks = Marks::default();
        while !bytes.is_empty() {
            let (mark, rest) = Mark::decode(bytes)?;
            marks.set(&mark);
            bytes = rest;
        }
        Some(marks)
    }
}

impl Mark {
    /// Length of the lane u16, lane, length of the position u16, position.
    ///
    /// # Panics
    /// If one of them is too long.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for part in [self.lane.as_bytes(), &self.position] {
            let length = u16::try_from(part.len()).expect("lanes and positions are short");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(part);
        }
    }

    /// A mark at the start of `bytes`, and what follows it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Mark, &[u8])> {
        let (lane, rest) = part(bytes)?;
        let (position, rest) = part(rest)?;
        let lane = std::str::from_utf8(lane).ok()?;
        Some((Mark { lane: lane.into(), position: position.into() }, rest))
    }
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_cuts_are_noticed() {
        let mark =
            |lane: &str, position: &[u8]| Mark { lane: lane.into(), position: position.into() };
        let mut marks = Marks::default();
        for (lane, position) in [("a", &b"1"[..]), ("", b""), ("a", b"22")] {
            marks.set(&mark(lane, position));
        }
        assert_eq!(marks.all(), [mark("", b""), mark("a", b"22")]);
        let bytes = marks.to_bytes();
        assert_eq!(Marks::from_bytes(&bytes), Some(marks));
        for end in [1, 3, 5, bytes.len() - 1] {
            assert_eq!(Marks::from_bytes(&bytes[..end]), None, "{end}");
        }
    }
}
