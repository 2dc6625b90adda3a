use crate::FieldId;
use std::fmt;

/// Many rows as columns. Raw on the way in, sealed once `protection` wraps it.
///
/// A column is sparse and multi-valued: value `i` belongs to row `rows[i]`, and `rows` never
/// falls. That is how documents are, and how the segment writer wants them; Arrow's nested lists
/// with validity would say the same at more cost.
#[derive(Clone, Default, PartialEq)]
pub struct Batch {
    /// One per row, in the order of arrival.
    pub rows: Vec<Row>,
    /// At most one per field.
    pub columns: Vec<Column>,
    /// Distinct shapes of documents that the plain rule does not rebuild; see [`Row::shape`].
    pub shapes: Vec<String>,
}

/// What is to happen to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// It becomes the newest row of its `_id`.
    Put,
    /// The row of this `_id` goes; a row without values stands for it.
    Delete,
}

/// What stands beside the values of a row.
#[derive(Clone, PartialEq)]
pub struct Row {
    /// The `_id` its writer gave; `None` lets the store generate one from the row's number.
    pub id: Option<Box<str>>,
    /// Put or delete.
    pub op: Op,
    /// Index into [`Batch::shapes`]; `None`: fields nest by their dots in the order of the
    /// schema, one value stands alone, several stand in an array.
    ///
    /// A shape is the document as JSON with every value replaced by a placeholder string that
    /// says how to write the next value of that path: `"v"` as it is; `"s"` a number or boolean
    /// that was written as a string; `"n"` text that was written as a number or
    /// boolean; `"k"` a date written as a number of milliseconds; `"z"` a
    /// date with `+00:00` in the place of `Z`. `null`, `[]` and `{}` stand for themselves.
    pub shape: Option<u32>,
}

/// The values of one field.
#[derive(Clone, PartialEq)]
pub struct Column {
    /// Which field.
    pub field: FieldId,
    /// The row of each value; never falls, every number below the number of rows.
    pub rows: Vec<u32>,
    /// The values, as many as `rows`.
    pub values: Values,
}

/// Values of one type.
#[derive(Clone, PartialEq)]
pub enum Values {
    /// Text, keywords, pseudonyms, tags.
    Strings(Strings),
    /// Integers; dates in milliseconds.
    Longs(Vec<i64>),
    /// Floats; never NaN or infinite.
    Doubles(Vec<f64>),
    /// Booleans.
    Bools(Vec<bool>),
    /// Sealed values: ciphertexts.
    Bytes(Vec<Box<[u8]>>),
}

impl Values {
    /// How many values.
    pub fn len(&self) -> usize {
        match self {
            Values::Strings(strings) => strings.ids.len(),
            Values::Longs(values) => values.len(),
            Values::Doubles(values) => values.len(),
            Values::Bools(values) => values.len(),
            Values::Bytes(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Strings with each distinct one kept once, so that classifying, replacing and hashing happen
/// once per distinct string of a batch.
#[derive(Clone, Default, PartialEq)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
    /// For each value the number of its distinct string.
    pub ids: Vec<u32>,
}

impl Strings {
    /// Adds a distinct string and returns its number. The caller knows that it is new.
    pub fn push_distinct(&mut self, text: &str) -> u32 {
        self.text.push_str(text);
        self.ends.push(u32::try_from(self.text.len()).expect("a batch holds less than 4 GiB"));
        (self.ends.len() - 1) as u32
    }

    /// How many distinct strings.
    pub fn distinct_len(&self) -> usize {
        self.ends.len()
    }

    /// The distinct string with this number.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn distinct(&self, number: u32) -> &str {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.text[start..self.ends[number] as usize]
    }

    /// All distinct strings in the order of their numbers.
    pub fn iter_distinct(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|number| self.distinct(number))
    }

    /// The string of value `index`.
    pub fn get(&self, index: usize) -> &str {
        self.distinct(self.ids[index])
    }

    /// All distinct strings one after another, and where each ends.
    pub fn parts(&self) -> (&str, &[u32]) {
        (&self.text, &self.ends)
    }

    /// Strings out of [`Strings::parts`] and the number of each value; `None` if an end does not
    /// lie on a character of `text`, the ends fall, or a number has no string.
    pub fn from_parts(text: String, ends: Vec<u32>, ids: Vec<u32>) -> Option<Strings> {
        let mut start = 0;
        for &end in &ends {
            if end < start || !text.is_char_boundary(end as usize) {
                return None;
            }
            start = end;
        }
        let known = ids.iter().all(|&id| (id as usize) < ends.len());
        (start as usize == text.len() && known).then_some(Strings { text, ends, ids })
    }

    /// How many bytes all distinct strings take.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }
}

impl fmt::Debug for Batch {
    /// Counts only: values never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} rows, {} columns)", self.rows.len(), self.columns.len())
    }
}
