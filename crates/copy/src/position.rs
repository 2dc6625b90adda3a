//! Where a copy stands in its source.

use std::collections::BTreeMap;
use std::fmt;

/// A place in one lane of a source. The bytes mean something to the source alone, but they are
/// ordered: a later place has greater bytes (write numbers big-endian).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(Box<[u8]>);

impl Position {
    /// The longest position, in bytes.
    pub const BYTES_MAX: usize = 4096;

    /// A position of these bytes.
    ///
    /// # Panics
    /// If they are more than [`Position::BYTES_MAX`].
    pub fn new(bytes: &[u8]) -> Position {
        assert!(bytes.len() <= Position::BYTES_MAX, "positions are short");
        Position(bytes.into())
    }

    /// A position that is one number, such as an offset.
    pub fn number(number: u64) -> Position {
        Position::new(&number.to_be_bytes())
    }

    /// The number of [`Position::number`].
    pub fn as_number(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.0.as_ref().try_into().ok()?))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Position {
    /// A key of a row may be part of a position, so only its length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({} bytes)", self.0.len())
    }
}

/// How far each lane of each table is stored. A lane is a sequence of rows of one table that has an
/// order of its own: the change stream, a partition of a topic, a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<(String, String), Position>);

impl Marks {
    /// Up to where the rows of a lane of a table (as the source calls it) are stored: a source
    /// gives only what lies behind it.
    pub fn get(&self, table: &str, lane: &str) -> Option<&Position> {
        self.0.get(&(table.to_owned(), lane.to_owned()))
    }

    /// All lanes of a table.
    pub fn lanes<'m>(&'m self, table: &'m str) -> impl Iterator<Item = (&'m str, &'m Position)> {
        let of_table = self.0.iter().filter(move |((of, _), _)| of == table);
        of_table.map(|((_, lane), position)| (lane.as_str(), position))
    }

    /// Moves a lane forward; never back.
    pub fn raise(&mut self, table: &str, lane: &str, position: Position) {
        let mark = self.0.entry((table.to_owned(), lane.to_owned())).or_insert(position.clone());
        if *mark < position {
            *mark = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_only_rise() {
        let mut marks = Marks::default();
        marks.raise("t", "", Position::number(256));
        marks.raise("t", "", Position::number(2));
        marks.raise("t", "1", Position::number(1));
        assert_eq!(marks.get("t", "").and_then(Position::as_number), Some(256));
        assert_eq!(marks.lanes("t").count(), 2);
        assert_eq!(marks.get("u", ""), None);
    }
}
