//! Columns of a segment, read block by block.

use super::presence::Presence;
use crate::read::{Block, ReadError};
use std::sync::{Arc, OnceLock};
use tantivy::columnar::{Column as TantivyColumn, ColumnIndex, StrColumn};

/// The ordinal of a row without a value.
pub const MISSING: u32 = u32::MAX;

/// A column of a view. Cheap to clone.
#[derive(Clone)]
pub enum Column {
    /// Whole strings by ordinals: keywords, pseudonyms, tags.
    Keyword(KeywordColumn),
    /// Integers; dates in milliseconds.
    Long(NumberColumn<i64>),
    /// Floats.
    Double(NumberColumn<f64>),
    /// Booleans.
    Bool(NumberColumn<bool>),
}

/// Strings as ordinals into a sorted dictionary.
#[derive(Clone)]
pub struct KeywordColumn {
    column: Arc<StrColumn>,
    presence: Arc<OnceLock<Presence>>,
}

impl KeywordColumn {
    pub(crate) fn new(column: StrColumn) -> KeywordColumn {
        KeywordColumn { column: Arc::new(column), presence: Arc::default() }
    }

    pub(crate) fn index(&self) -> &ColumnIndex {
        &self.column.ords().index
    }

    /// How many distinct strings: ordinals are below, in the order of the strings' bytes.
    pub fn cardinality(&self) -> u32 {
        self.column.num_terms() as u32
    }

    /// No row has two values.
    pub fn is_single(&self) -> bool {
        !matches!(self.column.ords().index, ColumnIndex::Multivalued(_))
    }

    /// Every row has exactly one value.
    pub fn is_full(&self) -> bool {
        matches!(self.column.ords().index, ColumnIndex::Full)
    }

    /// The ordinal of each row's first value, [`MISSING`] without one. Replaces `out`.
    pub fn first_ords(&self, block: Block<'_>, out: &mut Vec<u32>) {
        out.clear();
        let ords = self.column.ords();
        if self.is_full() {
            with_full(ords, block, |values| out.extend(values.iter().map(|&ord| ord as u32)));
            return;
        }
        out.resize(block.len(), MISSING);
        each_first(ords, &self.presence, block, |place, ord, present| {
            out[place] = if present { ord as u32 } else { MISSING };
        });
    }

    /// The ordinal of every value; `rows[i]` is the place of its row in the block.
    pub fn all_ords(&self, block: Block<'_>, rows: &mut Vec<u32>, ords: &mut Vec<u32>) {
        rows.clear();
        ords.clear();
        each_value(self.column.ords(), block, |place, ord| {
            rows.push(place as u32);
            ords.push(ord as u32);
        });
    }

    /// The string with this ordinal.
    pub fn term(&self, ord: u32) -> Result<String, ReadError> {
        let mut term = String::new();
        if self.column.ord_to_str(u64::from(ord), &mut term)? {
            return Ok(term);
        }
        Err(ReadError::internal("an ordinal that the dictionary does not have"))
    }

    /// The strings of these ordinals, which never fall.
    pub fn terms(&self, ords: &[u32]) -> Result<Vec<String>, ReadError> {
        let wanted: Vec<u64> = ords.iter().map(|&ord| u64::from(ord)).collect();
        let mut terms = Vec::with_capacity(ords.len());
        let mut valid = true;
        let all = self.column.dictionary().sorted_ords_to_term_cb(&wanted, |term| {
            match std::str::from_utf8(term) {
                Ok(term) => terms.push(term.to_owned()),
                Err(_) => valid = false,
            }
        })?;
        if !all || !valid {
            return Err(ReadError::internal("an ordinal that the dictionary does not have"));
        }
        Ok(terms)
    }

    /// Every string, in the order of the ordinals.
    pub(crate) fn each_term(&self, see: &mut dyn FnMut(&str)) -> Result<(), ReadError> {
        let mut stream = self.column.dictionary().stream()?;
        while stream.advance() {
            let term = std::str::from_utf8(stream.key())
                .map_err(|_| ReadError::internal("a term that is not UTF-8"))?;
            see(term);
        }
        Ok(())
    }

    /// The ordinal of a string, if any row of the segment has it.
    pub fn ord_of(&self, term: &str) -> Result<Option<u32>, ReadError> {
        Ok(self.column.dictionary().term_ord(term)?.map(|ord| ord as u32))
    }
}

/// Numbers.
#[derive(Clone)]
pub struct NumberColumn<T: PartialOrd> {
    column: Arc<TantivyColumn<T>>,
    presence: Arc<OnceLock<Presence>>,
}

impl<T> NumberColumn<T>
where
    T: PartialOrd + Copy + Default + std::fmt::Debug + Send + Sync + 'static,
{
    pub(crate) fn new(column: TantivyColumn<T>) -> NumberColumn<T> {
        NumberColumn { column: Arc::new(column), presence: Arc::default() }
    }

    pub(crate) fn index(&self) -> &ColumnIndex {
        &self.column.index
    }

    pub(crate) fn inner(&self) -> &TantivyColumn<T> {
        &self.column
    }

    /// No row has two values.
    pub fn is_single(&self) -> bool {
        !matches!(self.column.index, ColumnIndex::Multivalued(_))
    }

    /// Every row has exactly one value.
    pub fn is_full(&self) -> bool {
        matches!(self.column.index, ColumnIndex::Full)
    }

    /// No value is smaller; may be lower than the smallest.
    pub fn min(&self) -> T {
        self.column.min_value()
    }

    /// No value is larger; may be higher than the largest.
    pub fn max(&self) -> T {
        self.column.max_value()
    }

    /// The value of each row of a column that [is full](Self::is_full). Replaces `out`.
    ///
    /// # Panics
    /// If the column is not full.
    pub fn values(&self, block: Block<'_>, out: &mut Vec<T>) {
        assert!(self.is_full(), "values() is for full columns");
        out.clear();
        with_full(&self.column, block, |values| out.extend_from_slice(values));
    }

    /// The first value of each row and whether there is one; a row without one gets any value
    /// that the column may have. Replaces both.
    pub fn first(&self, block: Block<'_>, out: &mut Vec<T>, present: &mut Vec<bool>) {
        present.clear();
        if self.is_full() {
            self.values(block, out);
            present.resize(block.len(), true);
            return;
        }
        out.clear();
        out.resize(block.len(), self.min());
        present.resize(block.len(), false);
        each_first(&self.column, &self.presence, block, |place, value, there| {
            out[place] = value;
            present[place] = there;
        });
    }

    /// Every value; `rows[i]` is the place of its row in the block. Replaces both.
    pub fn all(&self, block: Block<'_>, rows: &mut Vec<u32>, values: &mut Vec<T>) {
        rows.clear();
        values.clear();
        each_value(&self.column, block, |place, value| {
            rows.push(place as u32);
            values.push(value);
        });
    }

    /// The value of one row of a full column.
    pub(crate) fn at(&self, row: u32) -> Option<T> {
        self.column.first(row)
    }
}

/// Decodes the values of a full column for a block.
fn with_full<T>(column: &TantivyColumn<T>, block: Block<'_>, use_values: impl FnOnce(&[T]))
where
    T: PartialOrd + Copy + Default + std::fmt::Debug + Send + Sync + 'static,
{
    let mut values = vec![T::default(); block.len()];
    match block {
        Block::Run { start, .. } => column.values.get_range(u64::from(start), &mut values),
        Block::Rows(rows) => column.values.get_vals(rows, &mut values),
    }
    use_values(&values);
}

/// Calls `see` with the place of a row in the block, its first value and whether it has one. Rows
/// without one are left out or come with the value of another row.
fn each_first<T>(
    column: &TantivyColumn<T>,
    presence: &OnceLock<Presence>,
    block: Block<'_>,
    mut see: impl FnMut(usize, T, bool),
) where
    T: PartialOrd + Copy + Default + std::fmt::Debug + Send + Sync + 'static,
{
    if let ColumnIndex::Optional(index) = &column.index {
        let presence = presence.get_or_init(|| Presence::of(index));
        presence.each_first(column, block, see);
        return;
    }
    let mut last = usize::MAX;
    each_value(column, block, |place, value| {
        if place != last {
            last = place;
            see(place, value, true);
        }
    });
}

/// Calls `see` with the place of the row in the block and the value, for every value in order.
fn each_value<T>(column: &TantivyColumn<T>, block: Block<'_>, mut see: impl FnMut(usize, T))
where
    T: PartialOrd + Copy + Default + std::fmt::Debug + Send + Sync + 'static,
{
    match (&column.index, block) {
        (ColumnIndex::Empty { .. }, _) => {}
        (ColumnIndex::Full, _) => with_full(column, block, |values| {
            values.iter().enumerate().for_each(|(place, &value)| see(place, value));
        }),
        (ColumnIndex::Optional(_) | ColumnIndex::Multivalued(_), _) => {
            let mut places = Vec::new();
            let mut value_rows = Vec::new();
            match block {
                Block::Rows(rows) => column.row_ids_for_docs(rows, &mut places, &mut value_rows),
                Block::Run { start, len } => {
                    let rows: Vec<u32> = (start..start + len).collect();
                    column.row_ids_for_docs(&rows, &mut places, &mut value_rows);
                }
            }
            let mut values = vec![T::default(); value_rows.len()];
            column.values.get_vals(&value_rows, &mut values);
            // `places` holds row numbers that never fall; turn them into places in the block.
            let mut place = 0;
            for (&row, &value) in places.iter().zip(&values) {
                while block.row(place) != row {
                    place += 1;
                }
                see(place, value);
            }
        }
    }
}
