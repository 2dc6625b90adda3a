//! Rows of the binary log: what was there before a change, and what after it.

use super::cells::push_logged;
use super::schema::{ColumnShape, TableShape};
use crate::{Cell, CopiedRows, SourceError, Wanted};
use model::Op;
use mysql_async::binlog::row::BinlogRow;
use mysql_async::binlog::value::BinlogValue;

/// Where the columns of a table lie in the rows of one event; all its rows say the same columns.
pub(super) struct Images {
    before: Vec<Option<usize>>,
    after: Vec<Option<usize>>,
    /// The places of the key's columns in the table's.
    key: Vec<usize>,
}

impl Images {
    /// Looks at the first change of an event; the table had so many `columns` then.
    ///
    /// # Errors
    /// If the log does not say all that is needed.
    pub(super) fn of(
        shape: &TableShape,
        wanted: &Wanted,
        columns: u64,
        before: Option<&BinlogRow>,
        after: Option<&BinlogRow>,
    ) -> Result<Images, SourceError> {
        let places = |row: Option<&BinlogRow>| -> Vec<Option<usize>> {
            shape.columns.iter().map(|column| row.and_then(|row| place_of(row, column))).collect()
        };
        let is_key = |&place: &usize| wanted.key.contains(&shape.columns[place].source.name);
        let key = (0..shape.columns.len()).filter(is_key).collect();
        let images = Images { before: places(before), after: places(after), key };
        // Without a part of the row nothing is known of defaults, nor of what is computed.
        let is_in_part = |row: Option<&BinlogRow>| row.is_some_and(|r| (r.len() as u64) < columns);
        let lacks = |(column, place): (&ColumnShape, &Option<usize>)| {
            place.is_none() && !column.is_left_out_by_noblob()
        };
        let lacks_key = || images.key.iter().any(|&place| images.before[place].is_none());
        if is_in_part(after) && shape.columns.iter().zip(&images.after).any(lacks)
            || is_in_part(before) && lacks_key()
        {
            return Err(SourceError::Lost(format!(
                "somebody wrote only parts of rows of `{}` to the binary log: set \
                 `binlog_row_image = FULL`, for every session",
                shape.name
            )));
        }
        Ok(images)
    }

    /// Adds what became of a row: a key that changed is a deletion and a new row.
    pub(super) fn push(
        &self,
        shape: &TableShape,
        before: Option<&BinlogRow>,
        after: Option<&BinlogRow>,
        rows: &mut CopiedRows,
    ) -> Result<(), SourceError> {
        let old = before.map(|row| Image { row, places: &self.before });
        let new = after.map(|row| Image { row, places: &self.after });
        match (old, new) {
            (Some(old), Some(new)) => {
                let moved = |&place: &usize| {
                    new.value(place).is_some() && old.value(place) != new.value(place)
                };
                if self.key.iter().any(moved) {
                    old.push(Op::Delete, shape, Cell::Null, rows)?;
                }
                // What the log leaves out of an update is what it was.
                new.push(Op::Put, shape, Cell::Unchanged, rows)
            }
            (None, Some(new)) => new.push(Op::Put, shape, Cell::Null, rows),
            (Some(old), None) => old.push(Op::Delete, shape, Cell::Null, rows),
            (None, None) => Ok(()),
        }
    }
}

/// A row of the log.
#[derive(Clone, Copy)]
struct Image<'r> {
    row: &'r BinlogRow,
    places: &'r [Option<usize>],
}

impl<'r> Image<'r> {
    /// The value of a column; `None` if the log does not say it.
    fn value(&self, column: usize) -> Option<&'r BinlogValue<'r>> {
        self.row.as_ref(self.places[column]?)
    }

    /// Adds the row, with `unsaid` for what the log does not say.
    fn push(
        &self,
        op: Op,
        shape: &TableShape,
        unsaid: Cell,
        rows: &mut CopiedRows,
    ) -> Result<(), SourceError> {
        rows.start(op);
        for (place, column) in shape.columns.iter().enumerate() {
            match self.value(place) {
                Some(value) => push_logged(value, column, rows)?,
                None => rows.push(unsaid),
            }
        }
        Ok(())
    }
}

/// Whether the log says the names of the columns; else they are `@0`, `@1`, ….
pub(super) fn is_named(row: &BinlogRow) -> bool {
    row.columns_ref().first().is_some_and(|column| !column.name_ref().starts_with(b"@"))
}

fn place_of(row: &BinlogRow, column: &ColumnShape) -> Option<usize> {
    row.columns_ref().iter().position(|of| {
        let name = of.name_ref();
        match name.strip_prefix(b"@") {
            // Left-out columns are in the log too, so places count all of the table's columns.
            Some(number) => {
                std::str::from_utf8(number).is_ok_and(|number| number.parse() == Ok(column.place))
            }
            None => name == column.source.name.as_bytes(),
        }
    })
}
