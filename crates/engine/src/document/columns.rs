//! Columns while they grow.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model::{Column, FieldId, FieldType, Strings, Values};
use std::hash::BuildHasher;

/// The column of one field of a batch.
pub(super) struct ColumnBuilder {
    pub(super) rows: Vec<u32>,
    values: Values,
    /// The distinct strings by their hash.
    by_text: HashTable<u32>,
    hasher: RandomState,
}

impl ColumnBuilder {
    pub(super) fn new(ty: FieldType) -> ColumnBuilder {
        let values = match ty {
            FieldType::Keyword | FieldType::Text | FieldType::Ip | FieldType::GeoPoint => {
                Values::Strings(Strings::default())
            }
            FieldType::Long | FieldType::Date => Values::Longs(Vec::new()),
            FieldType::Double => Values::Doubles(Vec::new()),
            FieldType::Boolean => Values::Bools(Vec::new()),
        };
        ColumnBuilder {
            rows: Vec::new(),
            values,
            by_text: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    pub(super) fn push_text(&mut self, row: u32, text: &str) {
        let Values::Strings(strings) = &mut self.values else { mismatch() };
        let id = match strings.ids.last() {
            // Neighbours are often equal; comparing is cheaper than hashing.
            Some(&last) if strings.distinct(last) == text => last,
            _ => intern(strings, &mut self.by_text, &self.hasher, text),
        };
        strings.ids.push(id);
        self.rows.push(row);
    }

    pub(super) fn push_long(&mut self, row: u32, value: i64) {
        let Values::Longs(values) = &mut self.values else { mismatch() };
        values.push(value);
        self.rows.push(row);
    }

    pub(super) fn push_double(&mut self, row: u32, value: f64) {
        let Values::Doubles(values) = &mut self.values else { mismatch() };
        values.push(value);
        self.rows.push(row);
    }

    pub(super) fn push_bool(&mut self, row: u32, value: bool) {
        let Values::Bools(values) = &mut self.values else { mismatch() };
        values.push(value);
        self.rows.push(row);
    }

    /// `None` if there is no value.
    pub(super) fn finish(self, field: FieldId) -> Option<Column> {
        (!self.rows.is_empty()).then_some(Column { field, rows: self.rows, values: self.values })
    }
}

fn intern(
    strings: &mut Strings,
    by_text: &mut HashTable<u32>,
    hasher: &RandomState,
    text: &str,
) -> u32 {
    let hash = hasher.hash_one(text);
    if let Some(&id) = by_text.find(hash, |&id| strings.distinct(id) == text) {
        return id;
    }
    let id = strings.push_distinct(text);
    by_text.insert_unique(hash, id, |&id| hasher.hash_one(strings.distinct(id)));
    id
}

fn mismatch() -> ! {
    unreachable!("values are coerced to the type of their field before they are put")
}
