//! Sealed rows with their numbers, on their way into a segment.

use super::layout::{self, Layout, Slots};
use model::{Batch, Column, FieldType, Op, Table, Values};
use std::cmp::Ordering;
use std::sync::Arc;
use tantivy::schema::Field as TantivyField;
use tantivy::schema::document::{Document, ReferenceValue, ReferenceValueLeaf, Value};

/// The rows of one request (or of a segment that is rewritten) in memory.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) batch: Batch,
    /// The number of each row.
    pub(crate) seqs: Vec<u64>,
    /// The version of each row; 1 for a row without a predecessor.
    pub(crate) versions: Vec<u64>,
    /// For each column where the values of each row begin; `None` if value `i` is row `i`'s.
    starts: Vec<Option<Vec<u32>>>,
}

impl Rows {
    pub(crate) fn new(batch: Batch, seqs: Vec<u64>, versions: Vec<u64>) -> Rows {
        let starts = batch.columns.iter().map(|column| starts(column, batch.rows.len())).collect();
        Rows { batch, seqs, versions, starts }
    }

    /// How many rows, deletions included.
    pub(crate) fn len(&self) -> u32 {
        self.batch.rows.len() as u32
    }

    /// Which values of column `column` belong to `row`.
    pub(crate) fn values_of(&self, column: usize, row: u32) -> std::ops::Range<usize> {
        match &self.starts[column] {
            None => row as usize..row as usize + 1,
            Some(starts) => starts[row as usize] as usize..starts[row as usize + 1] as usize,
        }
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let columns: usize = self
            .batch
            .columns
            .iter()
            .map(|column| {
                column.rows.len() * 4
                    + match &column.values {
                        Values::Strings(strings) => {
                            strings.text_bytes() + 4 * (strings.distinct_len() + strings.ids.len())
                        }
                        Values::Longs(values) => 8 * values.len(),
                        Values::Doubles(values) => 8 * values.len(),
                        Values::Bools(values) => values.len(),
                        Values::Bytes(values) => values.iter().map(|v| v.len() + 16).sum(),
                    }
            })
            .sum();
        // Each id also stands in the buffer's map of ids.
        let id_bytes = |id: &str| 2 * id.len() + 64;
        let ids = self.batch.rows.iter().filter_map(|row| row.id.as_deref());
        let ids: usize = ids.map(id_bytes).sum();
        let shapes: usize = self.batch.shapes.iter().map(|shape| shape.len() + 24).sum();
        let starts: usize = self.starts.iter().flatten().map(|starts| starts.len() * 4).sum();
        columns + ids + shapes + starts + self.batch.rows.len() * 40
    }

    fn column_of(&self, field: model::FieldId) -> Option<usize> {
        self.batch.columns.iter().position(|column| column.field == field)
    }
}

fn starts(column: &Column, rows: usize) -> Option<Vec<u32>> {
    let full = column.rows.len() == rows
        && column.rows.iter().enumerate().all(|(place, &row)| place == row as usize);
    if full {
        return None;
    }
    let mut starts = Vec::with_capacity(rows + 1);
    let mut at = 0;
    for row in 0..rows as u32 {
        starts.push(at as u32);
        while column.rows.get(at) == Some(&row) {
            at += 1;
        }
    }
    starts.push(at as u32);
    Some(starts)
}

/// One row of several [`Rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowAddress {
    pub(crate) batch: u32,
    pub(crate) row: u32,
}

/// The rows that `keep` wants, in the order of the table: by its sort field, rows without a value
/// first, ties in the order of arrival.
pub(crate) fn ordered(
    table: &Table,
    batches: &[Arc<Rows>],
    keep: impl Fn(u32, u32) -> bool,
    sorted: bool,
) -> Vec<RowAddress> {
    let mut rows = Vec::with_capacity(batches.iter().map(|batch| batch.len() as usize).sum());
    let sort = sort_field(table).filter(|_| sorted);
    for (number, batch) in batches.iter().enumerate() {
        let column = sort.and_then(|(field, _)| batch.column_of(field));
        for row in 0..batch.len() {
            if batch.batch.rows[row as usize].op == Op::Put && keep(number as u32, row) {
                let key = column.and_then(|column| sort_key(batch, column, row));
                rows.push((key, RowAddress { batch: number as u32, row }));
            }
        }
    }
    if let Some((_, descending)) = sort {
        let compare = |left: &(Option<u64>, RowAddress), right: &(Option<u64>, RowAddress)| {
            if descending { right.0.cmp(&left.0) } else { left.0.cmp(&right.0) }
        };
        if !rows.is_sorted_by(|left, right| compare(left, right) != Ordering::Greater) {
            rows.sort_by(compare);
        }
    }
    rows.into_iter().map(|(_, address)| address).collect()
}

/// The number column that the rows of this table are sorted by.
pub(crate) fn sort_field(table: &Table) -> Option<(model::FieldId, bool)> {
    let (name, descending) = match (&table.sort, &table.time_field) {
        (Some(sort), _) => (sort.field.as_str(), sort.descending),
        (None, Some(time)) => (time.as_str(), false),
        (None, None) => return None,
    };
    let (id, field) = table.schema.find(name)?;
    let stored = matches!(field.stored(), model::StoredType::Long | model::StoredType::Double);
    stored.then_some((id, descending))
}

/// A number that orders as the first value does.
fn sort_key(rows: &Rows, column: usize, row: u32) -> Option<u64> {
    let first = rows.values_of(column, row).next()?;
    match &rows.batch.columns[column].values {
        Values::Longs(values) => Some(order_long(values[first])),
        Values::Doubles(values) => Some(order_double(values[first])),
        _ => None,
    }
}

fn order_long(value: i64) -> u64 {
    (value as u64) ^ (1 << 63)
}

fn order_double(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits ^ (1 << 63) }
}

/// What a column of [`Rows`] becomes.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// Whole strings: column and index.
    Keyword(TantivyField),
    /// A number column.
    Number(TantivyField),
    /// Words; whole up to this many characters, else stored.
    Text(Slots, Option<u32>),
    /// Stored bytes, and a mark in the keyword column that there are some.
    Stored(Slots),
}

/// Rows together with where each column goes.
#[derive(Debug)]
pub(crate) struct PreparedRows {
    rows: Arc<Rows>,
    targets: Vec<Target>,
}

impl PreparedRows {
    pub(crate) fn new(rows: &Arc<Rows>, table: &Table, layout: &Layout) -> PreparedRows {
        let targets = rows
            .batch
            .columns
            .iter()
            .map(|column| {
                let slots = layout.slots(column.field);
                let field = table.schema.field(column.field);
                match &column.values {
                    Values::Bytes(_) => Target::Stored(slots),
                    Values::Strings(_) if field.ty == FieldType::Text => {
                        Target::Text(slots, field.keyword_up_to)
                    }
                    Values::Strings(_) => Target::Keyword(slots.keyword),
                    Values::Longs(_) | Values::Doubles(_) | Values::Bools(_) => {
                        Target::Number(slots.number.expect("a number field has a number column"))
                    }
                }
            })
            .collect();
        PreparedRows { rows: Arc::clone(rows), targets }
    }
}

/// One row as Tantivy's document: borrows everything from its batch.
pub(crate) struct RowDocument {
    source: Arc<PreparedRows>,
    row: u32,
    cells: Vec<(TantivyField, Cell)>,
}

#[derive(Clone, Copy, Debug)]
enum Cell {
    Seq,
    Version,
    Id,
    Shape,
    /// Value `1` of column `0`, as it is.
    Value(u32, u32),
    /// The same as stored bytes.
    Bytes(u32, u32),
    /// The row has a sealed value.
    Mark,
}

impl RowDocument {
    pub(crate) fn new(source: &Arc<PreparedRows>, row: u32) -> RowDocument {
        let rows = &source.rows;
        let head = &rows.batch.rows[row as usize];
        let mut cells = Vec::with_capacity(source.targets.len() + 6);
        cells.push((layout::SEQ, Cell::Seq));
        if head.id.is_some() {
            cells.push((layout::ID, Cell::Id));
        }
        if rows.versions[row as usize] != 1 {
            cells.push((layout::VERSION, Cell::Version));
        }
        if head.shape.is_some() {
            cells.push((layout::SHAPE, Cell::Shape));
        }
        for (column, target) in source.targets.iter().enumerate() {
            let values = rows.values_of(column, row);
            let column = column as u32;
            match *target {
                Target::Keyword(field) | Target::Number(field) => {
                    cells.extend(values.map(|value| (field, Cell::Value(column, value as u32))));
                }
                Target::Stored(slots) => {
                    if !values.is_empty() {
                        cells.push((slots.keyword, Cell::Mark));
                    }
                    let stored =
                        values.map(|value| (slots.stored, Cell::Bytes(column, value as u32)));
                    cells.extend(stored);
                }
                Target::Text(slots, keyword_up_to) => {
                    push_text(&mut cells, rows, column, values, slots, keyword_up_to);
                }
            }
        }
        RowDocument { source: Arc::clone(source), row, cells }
    }
}

/// Text goes into the word index; short text is also a whole string, from which the document is
/// rebuilt. One value that is too long for that puts all values of the row into the store, so that
/// their order is kept.
fn push_text(
    cells: &mut Vec<(TantivyField, Cell)>,
    rows: &Rows,
    column: u32,
    values: std::ops::Range<usize>,
    slots: Slots,
    keyword_up_to: Option<u32>,
) {
    let Values::Strings(strings) = &rows.batch.columns[column as usize].values else { return };
    let limit = keyword_up_to.unwrap_or(0) as usize;
    let is_short = |value: usize| {
        let text = strings.get(value);
        keyword_up_to.is_some() && (text.len() <= limit || text.chars().count() <= limit)
    };
    let store_all = !values.clone().all(is_short);
    for value in values {
        let place = value as u32;
        if let Some(text) = slots.text {
            cells.push((text, Cell::Value(column, place)));
        }
        if is_short(value) {
            cells.push((slots.keyword, Cell::Value(column, place)));
        }
        if store_all {
            cells.push((slots.stored, Cell::Bytes(column, place)));
        }
    }
}

/// A borrowed value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowValue<'a>(Leaf<'a>);

#[derive(Clone, Copy, Debug)]
enum Leaf<'a> {
    Str(&'a str),
    U64(u64),
    I64(i64),
    F64(f64),
    Bool(bool),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> for RowValue<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = std::iter::Empty<(&'a str, Self)>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(match self.0 {
            Leaf::Str(value) => ReferenceValueLeaf::Str(value),
            Leaf::U64(value) => ReferenceValueLeaf::U64(value),
            Leaf::I64(value) => ReferenceValueLeaf::I64(value),
            Leaf::F64(value) => ReferenceValueLeaf::F64(value),
            Leaf::Bool(value) => ReferenceValueLeaf::Bool(value),
            Leaf::Bytes(value) => ReferenceValueLeaf::Bytes(value),
        })
    }
}

impl Document for RowDocument {
    type Value<'a> = RowValue<'a>;
    type FieldsValuesIter<'a> = RowValues<'a>;

    fn iter_fields_and_values(&self) -> RowValues<'_> {
        RowValues { document: self, next: 0 }
    }
}

pub(crate) struct RowValues<'a> {
    document: &'a RowDocument,
    next: usize,
}

impl<'a> Iterator for RowValues<'a> {
    type Item = (TantivyField, RowValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let &(field, cell) = self.document.cells.get(self.next)?;
        self.next += 1;
        let rows = &*self.document.source.rows;
        let row = self.document.row as usize;
        let leaf = match cell {
            Cell::Seq => Leaf::U64(rows.seqs[row]),
            Cell::Version => Leaf::U64(rows.versions[row]),
            Cell::Id => Leaf::Str(rows.batch.rows[row].id.as_deref().unwrap_or_default()),
            Cell::Shape => {
                let shape = rows.batch.rows[row].shape.unwrap_or_default();
                Leaf::Str(rows.batch.shapes.get(shape as usize).map_or("", String::as_str))
            }
            Cell::Mark => Leaf::Str("sealed"),
            Cell::Value(column, value) => {
                let value = value as usize;
                match &rows.batch.columns[column as usize].values {
                    Values::Strings(strings) => Leaf::Str(strings.get(value)),
                    Values::Longs(values) => Leaf::I64(values[value]),
                    Values::Doubles(values) => Leaf::F64(values[value]),
                    Values::Bools(values) => Leaf::Bool(values[value]),
                    Values::Bytes(values) => Leaf::Bytes(&values[value]),
                }
            }
            Cell::Bytes(column, value) => {
                let value = value as usize;
                match &rows.batch.columns[column as usize].values {
                    Values::Strings(strings) => Leaf::Bytes(strings.get(value).as_bytes()),
                    Values::Bytes(values) => Leaf::Bytes(&values[value]),
                    Values::Longs(_) | Values::Doubles(_) | Values::Bools(_) => Leaf::Bytes(&[]),
                }
            }
        };
        Some((field, RowValue(leaf)))
    }
}
