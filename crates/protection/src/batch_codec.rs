//! A sealed batch as bytes, for the frames of the log. All numbers are little-endian.
//!
//! ```text
//! version        u8      3
//! rules          u32     the table's number of rules under which it was sealed
//! epoch          u32     the epoch of its pseudonyms; not in version 2, which knew only the first
//! rows           u32     then per row: flags u8 (1 delete, 2 has id, 4 has shape),
//!                        id as text if flagged, shape u32 if flagged
//! shapes         u32     then each as text
//! columns        u32     then per column:
//!   field        u32
//!   values       u32     how many
//!   rows         u8      0: one value in every row, in order; 1: u32 each
//!   type         u8      0 strings, 1 longs, 2 doubles, 3 booleans, 4 sealed
//!   strings      u32 distinct, u32 end each, text; width u8 (1, 2, 4) and the number of each value
//!   longs        i64 each          doubles   f64 each
//!   booleans     u8 each           sealed    u32 length each, then all bytes
//! text           u32 length, then UTF-8
//! ```
//!
//! [`decode`] never panics and never allocates more than a small multiple of its input, but it is
//! for bytes that the log has authenticated: it checks form, not meaning.

use model::{Batch, Column, FieldId, Op, Row, Strings, Values};

const VERSION: u8 = 3;
const VERSION_WITHOUT_EPOCHS: u8 = 2;
const FIRST_EPOCH: u32 = 1;

const IS_DELETE: u8 = 1;
const HAS_ID: u8 = 2;
const HAS_SHAPE: u8 = 4;

const STRINGS: u8 = 0;
const LONGS: u8 = 1;
const DOUBLES: u8 = 2;
const BOOLS: u8 = 3;
const SEALED: u8 = 4;

/// Why bytes are no sealed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by a newer version.
    #[error("the batch was written by a newer version; run that version")]
    TooNew,
    /// Ends too early, or has bytes left.
    #[error("the batch is cut short or has bytes too many; restore the log from a backup")]
    Length,
    /// A number that means nothing, text that is not UTF-8, a row that is not there.
    #[error("the batch contradicts itself; restore the log from a backup")]
    Contradiction,
}

/// Appends `batch` and the rules and the epoch under which it was sealed to `out`.
pub(crate) fn encode(batch: &Batch, rules: u32, epoch: u32, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_u32(rules, out);
    put_u32(epoch, out);
    put_len(batch.rows.len(), out);
    for row in &batch.rows {
        let flags = if row.op == Op::Delete { IS_DELETE } else { 0 }
            | if row.id.is_some() { HAS_ID } else { 0 }
            | if row.shape.is_some() { HAS_SHAPE } else { 0 };
        out.push(flags);
        if let Some(id) = &row.id {
            put_text(id, out);
        }
        if let Some(shape) = row.shape {
            put_u32(shape, out);
        }
    }
    put_len(batch.shapes.len(), out);
    for shape in &batch.shapes {
        put_text(shape, out);
    }
    put_len(batch.columns.len(), out);
    for column in &batch.columns {
        put_column(column, batch.rows.len(), out);
    }
}

fn put_column(column: &Column, rows: usize, out: &mut Vec<u8>) {
    put_u32(column.field.0, out);
    put_len(column.rows.len(), out);
    let is_dense = column.rows.len() == rows
        && column.rows.iter().enumerate().all(|(at, &row)| at == row as usize);
    out.push(u8::from(!is_dense));
    if !is_dense {
        put_u32s(&column.rows, out);
    }
    match &column.values {
        Values::Strings(strings) => {
            out.push(STRINGS);
            put_strings(strings, out);
        }
        Values::Longs(values) => {
            out.push(LONGS);
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Values::Doubles(values) => {
            out.push(DOUBLES);
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Values::Bools(values) => {
            out.push(BOOLS);
            out.extend(values.iter().map(|&value| u8::from(value)));
        }
        Values::Bytes(values) => {
            out.push(SEALED);
            values.iter().for_each(|value| put_len(value.len(), out));
            values.iter().for_each(|value| out.extend_from_slice(value));
        }
    }
}

fn put_strings(strings: &Strings, out: &mut Vec<u8>) {
    let (text, ends) = strings.parts();
    put_len(ends.len(), out);
    put_u32s(ends, out);
    out.extend_from_slice(text.as_bytes());
    match ends.len() {
        0..=0x100 => {
            out.push(1);
            out.extend(strings.ids.iter().map(|&id| id as u8));
        }
        0x101..=0x1_0000 => {
            out.push(2);
            out.extend(strings.ids.iter().flat_map(|&id| (id as u16).to_le_bytes()));
        }
        _ => {
            out.push(4);
            put_u32s(&strings.ids, out);
        }
    }
}

fn put_u32(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_u32s(numbers: &[u32], out: &mut Vec<u8>) {
    out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

fn put_len(length: usize, out: &mut Vec<u8>) {
    put_u32(u32::try_from(length).expect("a batch holds less than 4 GiB"), out);
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_len(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// Reads what [`encode`] wrote; all of `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Batch, u32, u32), DecodeError> {
    let mut reader = Reader { bytes };
    let has_epoch = match reader.u8()? {
        VERSION => true,
        VERSION_WITHOUT_EPOCHS => false,
        0 | 1 => return Err(DecodeError::Contradiction),
        _ => return Err(DecodeError::TooNew),
    };
    let rules = reader.u32()?;
    let epoch = if has_epoch { reader.u32()? } else { FIRST_EPOCH };
    let rows = reader.counted(1, |reader| {
        let flags = reader.u8()?;
        if flags & !(IS_DELETE | HAS_ID | HAS_SHAPE) != 0 {
            return Err(DecodeError::Contradiction);
        }
        let id = if flags & HAS_ID != 0 { Some(reader.text()?.into()) } else { None };
        let shape = if flags & HAS_SHAPE != 0 { Some(reader.u32()?) } else { None };
        let op = if flags & IS_DELETE != 0 { Op::Delete } else { Op::Put };
        Ok(Row { id, op, shape })
    })?;
    let shapes = reader.counted(4, |reader| Ok(reader.text()?.to_owned()))?;
    let row_count = rows.len();
    let columns = reader.counted(10, |reader| reader.column(row_count))?;
    if !reader.bytes.is_empty() {
        return Err(DecodeError::Length);
    }
    let known = |row: &Row| row.shape.is_none_or(|shape| (shape as usize) < shapes.len());
    if !rows.iter().all(known) {
        return Err(DecodeError::Contradiction);
    }
    Ok((Batch { rows, columns, shapes }, rules, epoch))
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(DecodeError::Length)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// So many items of so many bytes.
    fn take_items(&mut self, count: usize, item_bytes: usize) -> Result<&'a [u8], DecodeError> {
        self.take(count.checked_mul(item_bytes).ok_or(DecodeError::Length)?)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes were taken")))
    }

    fn len(&mut self) -> Result<usize, DecodeError> {
        Ok(self.u32()? as usize)
    }

    fn u32s(&mut self, count: usize) -> Result<Vec<u32>, DecodeError> {
        let bytes = self.take_items(count, 4)?.chunks_exact(4);
        Ok(bytes.map(|four| u32::from_le_bytes(four.try_into().expect("four bytes"))).collect())
    }

    fn words(&mut self, count: usize) -> Result<impl Iterator<Item = [u8; 8]>, DecodeError> {
        let bytes = self.take_items(count, 8)?.chunks_exact(8);
        Ok(bytes.map(|eight| eight.try_into().expect("eight bytes")))
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.len()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Contradiction)
    }

    /// A count and so many items of at least `bytes_min` bytes.
    fn counted<T>(
        &mut self,
        bytes_min: usize,
        mut item: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.len()?;
        if count > self.bytes.len() / bytes_min {
            return Err(DecodeError::Length);
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn column(&mut self, row_count: usize) -> Result<Column, DecodeError> {
        let field = FieldId(self.u32()?);
        let count = self.len()?;
        let rows = match self.u8()? {
            0 if count == row_count => (0..count as u32).collect(),
            1 => self.u32s(count)?,
            _ => return Err(DecodeError::Contradiction),
        };
        let in_order =
            rows.is_sorted() && rows.last().is_none_or(|&row| (row as usize) < row_count);
        if !in_order {
            return Err(DecodeError::Contradiction);
        }
        let values = match self.u8()? {
            STRINGS => Values::Strings(self.strings(count)?),
            LONGS => Values::Longs(self.words(count)?.map(i64::from_le_bytes).collect()),
            DOUBLES => Values::Doubles(self.words(count)?.map(f64::from_le_bytes).collect()),
            BOOLS => Values::Bools(self.take(count)?.iter().map(|&value| value != 0).collect()),
            SEALED => {
                let lengths = self.u32s(count)?;
                let take = |length: &u32| Ok(self.take(*length as usize)?.into());
                Values::Bytes(lengths.iter().map(take).collect::<Result<_, _>>()?)
            }
            _ => return Err(DecodeError::Contradiction),
        };
        Ok(Column { field, rows, values })
    }

    fn strings(&mut self, count: usize) -> Result<Strings, DecodeError> {
        let distinct = self.len()?;
        let ends = self.u32s(distinct)?;
        let text = self.take(ends.last().map_or(0, |&end| end as usize))?;
        let text = std::str::from_utf8(text).map_err(|_| DecodeError::Contradiction)?;
        let ids = match self.u8()? {
            1 => self.take(count)?.iter().map(|&id| u32::from(id)).collect(),
            2 => {
                let pairs = self.take_items(count, 2)?.chunks_exact(2);
                pairs.map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))).collect()
            }
            4 => self.u32s(count)?,
            _ => return Err(DecodeError::Contradiction),
        };
        Strings::from_parts(text.to_owned(), ends, ids).ok_or(DecodeError::Contradiction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Values {
        let mut strings = Strings::default();
        for value in values {
            let known = strings.iter_distinct().position(|distinct| distinct == *value);
            let id = known.map_or_else(|| strings.push_distinct(value), |id| id as u32);
            strings.ids.push(id);
        }
        Values::Strings(strings)
    }

    fn row(id: Option<&str>, op: Op, shape: Option<u32>) -> Row {
        Row { id: id.map(Into::into), op, shape }
    }

    fn some_batch() -> Batch {
        let column = |field, rows: &[u32], values| Column {
            field: FieldId(field),
            rows: rows.into(),
            values,
        };
        Batch {
            rows: vec![
                row(None, Op::Put, None),
                row(Some("ü-1"), Op::Put, Some(1)),
                row(Some(""), Op::Delete, None),
            ],
            columns: vec![
                column(0, &[0, 1, 2], strings(&["a", "日本", "a"])),
                column(7, &[1, 1], Values::Longs(vec![i64::MIN, -1])),
                column(3, &[0, 2], Values::Doubles(vec![0.5, -0.0])),
                column(4, &[2], Values::Bools(vec![true])),
                column(5, &[0, 1], Values::Bytes(vec![[1, 2, 3].into(), [].into()])),
                column(6, &[], strings(&[])),
            ],
            shapes: vec!["{}".into(), r#"{"a":["v"]}"#.into()],
        }
    }

    fn encoded(batch: &Batch) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(batch, 7, 9, &mut bytes);
        bytes
    }

    #[test]
    fn a_batch_comes_back() {
        for batch in [Batch::default(), some_batch()] {
            assert!(decode(&encoded(&batch)).unwrap() == (batch, 7, 9));
        }
    }

    #[test]
    fn numbers_of_strings_take_the_width_they_need() {
        for (distinct, width) in [(3, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4)] {
            let mut all = Strings::default();
            for number in 0..distinct {
                let id = all.push_distinct(&number.to_string());
                all.ids.push(id);
            }
            let rows: Vec<u32> = (0..distinct).collect();
            let batch = Batch {
                rows: rows.iter().map(|_| row(None, Op::Put, None)).collect(),
                columns: vec![Column {
                    field: FieldId(0),
                    rows,
                    values: Values::Strings(all.clone()),
                }],
                shapes: Vec::new(),
            };
            let bytes = encoded(&batch);
            let ids = width * distinct as usize;
            assert_eq!(bytes[bytes.len() - ids - 1] as usize, width);
            assert!(decode(&bytes).unwrap() == (batch, 7, 9));
        }
    }

    #[test]
    fn a_batch_from_before_there_were_epochs_is_of_the_first() {
        let mut bytes = encoded(&some_batch());
        bytes[0] = VERSION_WITHOUT_EPOCHS;
        bytes.drain(5..9);
        assert!(decode(&bytes).unwrap() == (some_batch(), 7, 1));
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = encoded(&some_batch());
        for kept in 0..bytes.len() {
            assert!(decode(&bytes[..kept]).is_err(), "{kept} bytes");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode(&longer).err(), Some(DecodeError::Length));
    }

    #[test]
    fn no_change_makes_it_panic_or_allocate() {
        let bytes = encoded(&some_batch());
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 3, 4, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                if let Ok((batch, ..)) = decode(&changed) {
                    assert!(batch.rows.len() <= changed.len());
                }
            }
        }
        assert_eq!(decode(&[4]).err(), Some(DecodeError::TooNew));
        assert_eq!(decode(&[2, 0, 0, 0, 0, 255, 255, 255, 255]).err(), Some(DecodeError::Length));
    }
}
