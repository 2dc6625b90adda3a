//! From JSON documents to a [`Batch`] of columns.
//!
//! A [`BatchBuilder`] belongs to one table and one request. Each document is read once, without
//! building it as a tree of values; its values wait in a small list and enter the columns only
//! when the whole document is good, so that a bad one leaves nothing behind: no value, no field.

mod cells;
mod coerce;
mod columns;
mod date;
mod error;
mod geo;
mod reader;
pub(crate) mod shape;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use cells::CellTarget;
pub(crate) use date::parse_date;
pub(crate) use error::DocumentError;
pub(crate) use shape::is_below;
pub(crate) use tree::{DEPTH_MAX, FIELDS_MAX, METADATA_FIELDS};

use columns::ColumnBuilder;
use hashbrown::HashMap;
use model::{Batch, Field, FieldId, Op, Row, Table};
use reader::{Raw, Reader};
use tree::Tree;

/// Documents of one table while they become a batch.
pub(crate) struct BatchBuilder {
    tree: Tree,
    dynamic: bool,
    rows: Vec<Row>,
    columns: Vec<Option<ColumnBuilder>>,
    shapes: Vec<String>,
    shape_by_events: HashMap<Box<[u32]>, u32, foldhash::fast::RandomState>,
    objects: u64,
    // What one document needs while it is read, kept for the next.
    values: Vec<(FieldId, Raw<'static>)>,
    copied: String,
    events: Vec<u32>,
}

/// What the documents of a batch came to.
pub(crate) struct Built {
    /// The rows, raw.
    pub(crate) batch: Batch,
    /// The fields that the documents added; their ids follow those of the schema.
    pub(crate) new_fields: Vec<Field>,
}

impl BatchBuilder {
    pub(crate) fn new(table: &Table) -> BatchBuilder {
        BatchBuilder {
            tree: Tree::new(&table.schema),
            dynamic: table.dynamic,
            rows: Vec::new(),
            columns: Vec::new(),
            shapes: Vec::new(),
            shape_by_events: HashMap::default(),
            objects: 0,
            values: Vec::new(),
            copied: String::new(),
            events: Vec::new(),
        }
    }

    /// Adds a document and returns its row.
    pub(crate) fn put(&mut self, id: Option<&str>, json: &[u8]) -> Result<u32, DocumentError> {
        let plain = self.read(json)?;
        let shape = if plain { None } else { Some(self.shape()) };
        Ok(self.push(Row { id: id.map(Into::into), op: Op::Put, shape }))
    }

    /// Adds a part of a document, to be put over a stored one. Returns its row, which has no
    /// shape yet, and the shape of the part.
    pub(crate) fn patch(
        &mut self,
        id: &str,
        json: &[u8],
    ) -> Result<(u32, serde_json::Value), DocumentError> {
        self.read(json)?;
        let shape = shape::render(&self.events, &self.tree);
        let shape = serde_json::from_str(&shape).expect("a shape is JSON");
        Ok((self.push(Row { id: Some(id.into()), op: Op::Put, shape: None }), shape))
    }

    /// Adds the order to delete an `_id` and returns its row.
    pub(crate) fn delete(&mut self, id: &str) -> u32 {
        self.push(Row { id: Some(id.into()), op: Op::Delete, shape: None })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn finish(self) -> Built {
        let columns = self.columns.into_iter().enumerate();
        let batch = Batch {
            rows: self.rows,
            columns: columns
                .filter_map(|(field, column)| column?.finish(FieldId(field as u32)))
                .collect(),
            shapes: self.shapes,
        };
        Built { batch, new_fields: self.tree.into_new_fields() }
    }

    /// Reads a document into the columns of the next row; the events of it stay for its shape.
    /// Returns whether the plain rule rebuilds it.
    fn read(&mut self, json: &[u8]) -> Result<bool, DocumentError> {
        let json = std::str::from_utf8(json).map_err(|error| {
            let at = error.valid_up_to();
            DocumentError::parsing(format!("failed to parse: invalid UTF-8 at byte {at}"))
        })?;
        self.copied.clear();
        self.events.clear();
        let mark = self.tree.mark();
        let mut reader = Reader {
            tree: &mut self.tree,
            dynamic: self.dynamic,
            values: recycle(std::mem::take(&mut self.values)),
            copied: &mut self.copied,
            events: &mut self.events,
            objects: &mut self.objects,
            plain: true,
            failure: None,
        };
        let read = reader.read(json);
        let plain = reader.plain;
        let values = reader.values;
        match &read {
            Ok(()) => self.commit(&values),
            Err(_) => self.tree.go_back(mark),
        }
        self.values = recycle(values);
        read.map(|()| plain)
    }

    fn commit(&mut self, values: &[(FieldId, Raw<'_>)]) {
        let row = self.rows.len() as u32;
        for (field, raw) in values {
            let copied = std::mem::take(&mut self.copied);
            let column = self.column(*field);
            match raw {
                Raw::Text(text) => column.push_text(row, text),
                Raw::Copied(range) => column.push_text(row, &copied[range.clone()]),
                Raw::Long(value) => column.push_long(row, *value),
                Raw::Double(value) => column.push_double(row, *value),
                Raw::Bool(value) => column.push_bool(row, *value),
            }
            self.copied = copied;
        }
    }

    /// The column of a field, made when its first value comes.
    fn column(&mut self, field: FieldId) -> &mut ColumnBuilder {
        let place = field.0 as usize;
        if place >= self.columns.len() {
            self.columns.resize_with(place + 1, || None);
        }
        let ty = self.tree.rule(field).ty;
        self.columns[place].get_or_insert_with(|| ColumnBuilder::new(ty))
    }

    fn push(&mut self, row: Row) -> u32 {
        self.rows.push(row);
        self.rows.len() as u32 - 1
    }

    /// The number of the shape of the document that was just read.
    fn shape(&mut self) -> u32 {
        if let Some(&number) = self.shape_by_events.get(self.events.as_slice()) {
            return number;
        }
        let number = self.shapes.len() as u32;
        self.shapes.push(shape::render(&self.events, &self.tree));
        self.shape_by_events.insert(self.events.as_slice().into(), number);
        number
    }
}

/// Empties a list and keeps its memory, for values that live elsewhere.
fn recycle<'a>(mut values: Vec<(FieldId, Raw<'_>)>) -> Vec<(FieldId, Raw<'a>)> {
    values.clear();
    values.into_iter().map(|_| unreachable!("the list is empty")).collect()
}
