//! Rebuilds documents from columns and store, by their shape.

use super::{Column, MISSING, Segment, Slot, layout};
use crate::read::{Block, ReadError};
use model::{
    Batch, Field, FieldId, FieldType, Op, Row, StoredType, Strings, Table, Timestamp, Values,
};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use tantivy::DocAddress;
use tantivy::schema::Value as _;
use tantivy::schema::document::TantivyDocument;

/// What the store holds of one row.
type StoredValues = Vec<(FieldId, Vec<u8>)>;

/// The values of one field for a list of rows: value `i` belongs to the row at `places[i]`.
struct FieldValues {
    places: Vec<u32>,
    values: Values,
}

impl Segment {
    /// The documents of rows as JSON, with the fields that `keep` wants.
    pub(crate) fn documents(
        &self,
        table: &Table,
        rows: &[u32],
        keep: &dyn Fn(&Field) -> bool,
    ) -> Result<Vec<String>, ReadError> {
        let stored = self.stored(table, rows, keep)?;
        let mut kept: Vec<(&Field, Vec<Vec<Json>>)> = Vec::new();
        for (number, field) in table.schema.fields().iter().enumerate() {
            let is_told = field.stored() != StoredType::Sealed && field.companion_of.is_none();
            if !is_told || !keep(field) {
                continue;
            }
            let values = self.field_values(table, FieldId(number as u32), rows, &stored)?;
            if values.values.is_empty() {
                continue;
            }
            let mut by_row: Vec<Vec<Json>> = vec![Vec::new(); rows.len()];
            for (index, &place) in values.places.iter().enumerate() {
                by_row[place as usize].push(to_json(field, &values.values, index));
            }
            kept.push((field, by_row));
        }
        let shapes = self.shapes(rows)?;
        let mut documents = Vec::with_capacity(rows.len());
        for (place, shape) in shapes.into_iter().enumerate() {
            let shape = shape.and_then(|shape| serde_json::from_str::<Json>(&shape).ok());
            let document = match shape {
                None => by_dots(&mut kept, place),
                Some(shape) => by_shape(&mut kept, place, shape),
            };
            documents.push(document.to_string());
        }
        Ok(documents)
    }

    /// Rows as a batch, as they are stored: to write them again. Row numbers are not part of it.
    pub(crate) fn rows_as_batch(&self, table: &Table, rows: &[u32]) -> Result<Batch, ReadError> {
        let stored = self.stored(table, rows, &|_| true)?;
        let mut batch = Batch::default();
        let mut known: HashMap<String, u32> = HashMap::new();
        let ids = self.given_ids(rows)?;
        for (id, shape) in ids.into_iter().zip(self.shapes(rows)?) {
            let shape = shape.map(|shape| {
                let next = batch.shapes.len() as u32;
                *known.entry(shape.clone()).or_insert_with(|| {
                    batch.shapes.push(shape);
                    next
                })
            });
            batch.rows.push(Row { id: id.map(String::into_boxed_str), op: Op::Put, shape });
        }
        for number in 0..table.schema.fields().len() {
            let field = FieldId(number as u32);
            let values = self.field_values(table, field, rows, &stored)?;
            if !values.values.is_empty() {
                batch.columns.push(model::Column {
                    field,
                    rows: values.places,
                    values: values.values,
                });
            }
        }
        Ok(batch)
    }

    /// The first text of each row.
    pub(crate) fn texts(
        &self,
        table: &Table,
        name: &str,
        rows: &[u32],
    ) -> Result<Vec<Option<String>>, ReadError> {
        let mut texts = vec![None; rows.len()];
        let (Some((field, _)), Some(Slot::Text(_))) =
            (table.schema.find(name), self.slot(table, name))
        else {
            return Ok(texts);
        };
        let stored = self.stored(table, rows, &|field| field.name.as_str() == name)?;
        let values = self.field_values(table, field, rows, &stored)?;
        if let Values::Strings(strings) = &values.values {
            for (index, &place) in values.places.iter().enumerate().rev() {
                texts[place as usize] = Some(strings.get(index).to_owned());
            }
        }
        Ok(texts)
    }

    /// The sealed values of each row.
    pub(crate) fn sealed(
        &self,
        table: &Table,
        name: &str,
        rows: &[u32],
    ) -> Result<Vec<Vec<Box<[u8]>>>, ReadError> {
        let mut sealed = vec![Vec::new(); rows.len()];
        let (Some((field, _)), Some(Slot::Sealed(_))) =
            (table.schema.find(name), self.slot(table, name))
        else {
            return Ok(sealed);
        };
        let stored = self.stored(table, rows, &|field| field.name.as_str() == name)?;
        for (place, row) in stored.into_iter().enumerate() {
            let mine = row.into_iter().filter(|(of, _)| *of == field);
            sealed[place].extend(mine.map(|(_, bytes)| bytes.into_boxed_slice()));
        }
        Ok(sealed)
    }

    /// Shows every text of the segment, also those of deleted rows: the terms of its indexes, the
    /// dictionaries of its columns, and what its store keeps.
    pub(crate) fn each_text(&self, see: &mut dyn FnMut(&[u8])) -> Result<(), ReadError> {
        let reader = self.reader();
        for (field, entry) in self.layout.schema.fields() {
            if entry.is_indexed() {
                let index = reader.inverted_index(field)?;
                let mut terms = index.terms().stream()?;
                while terms.advance() {
                    see(terms.key());
                }
            }
            if let Ok(Some(column)) = reader.fast_fields().str(self.layout.column(field)) {
                let mut terms = column.dictionary().stream()?;
                while terms.advance() {
                    see(terms.key());
                }
            }
        }
        for row in 0..self.rows {
            let document: TantivyDocument = self.searcher.doc(DocAddress::new(0, row))?;
            for (_, value) in document.field_values() {
                see(value.as_bytes().unwrap_or_default());
            }
        }
        Ok(())
    }

    fn shapes(&self, rows: &[u32]) -> Result<Vec<Option<String>>, ReadError> {
        let Some(Column::Keyword(column)) = self.column_of(layout::SHAPE)? else {
            return Ok(vec![None; rows.len()]);
        };
        let mut ords = Vec::new();
        column.first_ords(Block::Rows(rows), &mut ords);
        let mut terms: HashMap<u32, String> = HashMap::new();
        for &ord in &ords {
            if ord != MISSING && !terms.contains_key(&ord) {
                terms.insert(ord, column.term(ord)?);
            }
        }
        Ok(ords.into_iter().map(|ord| terms.get(&ord).cloned()).collect())
    }

    /// What the store holds of each row. Empty, and without a look, if no wanted field uses it.
    fn stored(
        &self,
        table: &Table,
        rows: &[u32],
        keep: &dyn Fn(&Field) -> bool,
    ) -> Result<Vec<StoredValues>, ReadError> {
        let uses_store = |field: &&Field| {
            matches!(field.stored(), StoredType::Text | StoredType::Sealed) && keep(field)
        };
        if !table.schema.fields().iter().any(|field| uses_store(&field)) {
            return Ok(vec![Vec::new(); rows.len()]);
        }
        rows.iter()
            .map(|&row| {
                let document: TantivyDocument = self.searcher.doc(DocAddress::new(0, row))?;
                let mut values = Vec::new();
                for (slot, value) in document.field_values() {
                    let field = self
                        .layout
                        .field_of_stored(slot)
                        .ok_or_else(|| ReadError::internal("a stored value without a field"))?;
                    let bytes = value.as_bytes().unwrap_or_default();
                    values.push((field, bytes.to_vec()));
                }
                Ok(values)
            })
            .collect()
    }

    fn field_values(
        &self,
        table: &Table,
        id: FieldId,
        rows: &[u32],
        stored: &[StoredValues],
    ) -> Result<FieldValues, ReadError> {
        let field = table.schema.field(id);
        let mut places = Vec::new();
        let mut in_block = Vec::new();
        let empty = Values::Longs(Vec::new());
        let Some(slot) = self.slot(table, field.name.as_str()) else {
            return Ok(FieldValues { places, values: empty });
        };
        match slot {
            Slot::Sealed(_) => {
                let mut sealed = Vec::new();
                for (place, row) in stored.iter().enumerate() {
                    for (_, bytes) in row.iter().filter(|(of, _)| *of == id) {
                        places.push(place as u32);
                        sealed.push(bytes.clone().into_boxed_slice());
                    }
                }
                Ok(FieldValues { places, values: Values::Bytes(sealed) })
            }
            Slot::Text(_) => self.text_values(id, rows, stored),
            Slot::Keyword(column) => {
                let mut strings = Interned::default();
                if let Some(Column::Keyword(column)) = self.column_of(column)? {
                    self.keyword_values(&column, rows, &mut places, &mut strings)?;
                }
                Ok(FieldValues { places, values: Values::Strings(strings.strings) })
            }
            Slot::Number(column, _) => {
                let column = self.column_of(column)?;
                let mut values = match &column {
                    Some(Column::Double(_)) => Values::Doubles(Vec::new()),
                    Some(Column::Bool(_)) => Values::Bools(Vec::new()),
                    _ => empty,
                };
                for (number, chunk) in rows.chunks(crate::read::BLOCK).enumerate() {
                    let block = Block::Rows(chunk);
                    match (&column, &mut values) {
                        (Some(Column::Long(column)), Values::Longs(values)) => {
                            let mut found = Vec::new();
                            column.all(block, &mut in_block, &mut found);
                            values.extend(found);
                        }
                        (Some(Column::Double(column)), Values::Doubles(values)) => {
                            let mut found = Vec::new();
                            column.all(block, &mut in_block, &mut found);
                            values.extend(found);
                        }
                        (Some(Column::Bool(column)), Values::Bools(values)) => {
                            let mut found = Vec::new();
                            column.all(block, &mut in_block, &mut found);
                            values.extend(found);
                        }
                        _ => in_block.clear(),
                    }
                    let before = (number * crate::read::BLOCK) as u32;
                    places.extend(in_block.iter().map(|place| before + place));
                }
                Ok(FieldValues { places, values })
            }
        }
    }

    /// Stored text where the row has any, else whole strings from the companion column.
    fn text_values(
        &self,
        id: FieldId,
        rows: &[u32],
        stored: &[StoredValues],
    ) -> Result<FieldValues, ReadError> {
        let mut short_places = Vec::new();
        let mut short = Interned::default();
        if let Some(Column::Keyword(column)) = self.column_of(self.layout.slots(id).keyword)? {
            self.keyword_values(&column, rows, &mut short_places, &mut short)?;
        }
        let mut places = Vec::new();
        let mut strings = Interned::default();
        let mut next = 0;
        for (place, row) in stored.iter().enumerate() {
            let mut from_store = false;
            for (_, bytes) in row.iter().filter(|(of, _)| *of == id) {
                let text = std::str::from_utf8(bytes)
                    .map_err(|_| ReadError::internal("a stored text that is not UTF-8"))?;
                strings.push(text);
                places.push(place as u32);
                from_store = true;
            }
            while short_places.get(next) == Some(&(place as u32)) {
                if !from_store {
                    strings.push(short.strings.get(next));
                    places.push(place as u32);
                }
                next += 1;
            }
        }
        Ok(FieldValues { places, values: Values::Strings(strings.strings) })
    }

    fn keyword_values(
        &self,
        column: &super::KeywordColumn,
        rows: &[u32],
        places: &mut Vec<u32>,
        strings: &mut Interned,
    ) -> Result<(), ReadError> {
        let mut in_block = Vec::new();
        let mut ords = Vec::new();
        let mut all = Vec::new();
        for (number, chunk) in rows.chunks(crate::read::BLOCK).enumerate() {
            column.all_ords(Block::Rows(chunk), &mut in_block, &mut ords);
            let before = (number * crate::read::BLOCK) as u32;
            places.extend(in_block.iter().map(|place| before + place));
            all.extend_from_slice(&ords);
        }
        let mut distinct = all.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let terms = column.terms(&distinct)?;
        let first = strings.strings.distinct_len() as u32;
        terms.iter().for_each(|term| {
            strings.strings.push_distinct(term);
        });
        for ord in all {
            let place = distinct.binary_search(&ord).unwrap_or_default() as u32;
            strings.strings.ids.push(first + place);
        }
        Ok(())
    }
}

/// Strings with their numbers, while they are collected.
#[derive(Default)]
struct Interned {
    strings: Strings,
    known: HashMap<String, u32>,
}

impl Interned {
    fn push(&mut self, text: &str) {
        let id = match self.known.get(text) {
            Some(&id) => id,
            None => {
                let id = self.strings.push_distinct(text);
                self.known.insert(text.to_owned(), id);
                id
            }
        };
        self.strings.ids.push(id);
    }
}

fn to_json(field: &Field, values: &Values, index: usize) -> Json {
    match values {
        Values::Strings(strings) => Json::from(strings.get(index)),
        Values::Longs(values) if field.ty == FieldType::Date => Json::from(date(values[index])),
        Values::Longs(values) => Json::from(values[index]),
        Values::Doubles(values) => Json::from(values[index]),
        Values::Bools(values) => Json::from(values[index]),
        Values::Bytes(_) => Json::Null,
    }
}

/// A date as it is written: without a fraction when it has none.
fn date(milliseconds: i64) -> String {
    let text = Timestamp(milliseconds).to_rfc3339();
    match text.strip_suffix(".000Z") {
        Some(whole) => format!("{whole}Z"),
        None => text,
    }
}

/// One value stands alone, several in an array; dots nest.
fn by_dots(kept: &mut [(&Field, Vec<Vec<Json>>)], place: usize) -> Json {
    let mut document = Map::new();
    for (field, by_row) in kept {
        let mut values = std::mem::take(&mut by_row[place]);
        let value = match values.len() {
            0 => continue,
            1 => values.remove(0),
            _ => Json::Array(values),
        };
        insert(&mut document, field.name.as_str(), value);
    }
    Json::Object(document)
}

fn insert(object: &mut Map<String, Json>, path: &str, value: Json) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = object.entry(head).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Fills the placeholders of a shape with the values of their paths, in order.
fn by_shape(kept: &mut [(&Field, Vec<Vec<Json>>)], place: usize, shape: Json) -> Json {
    let mut values: HashMap<String, std::vec::IntoIter<Json>> = kept
        .iter_mut()
        .map(|(field, by_row)| {
            (field.name.as_str().to_owned(), std::mem::take(&mut by_row[place]).into_iter())
        })
        .collect();
    fill(shape, "", &mut values).unwrap_or_else(|| Json::Object(Map::new()))
}

/// `None` if nothing of it is to be shown.
fn fill(
    shape: Json,
    path: &str,
    values: &mut HashMap<String, std::vec::IntoIter<Json>>,
) -> Option<Json> {
    match shape {
        Json::String(how) => {
            let value = values.get_mut(path)?.next()?;
            Some(written_as(&how, value))
        }
        Json::Array(items) if items.is_empty() => Some(Json::Array(items)),
        Json::Array(items) => {
            let items: Vec<Json> =
                items.into_iter().filter_map(|item| fill(item, path, values)).collect();
            (!items.is_empty()).then_some(Json::Array(items))
        }
        Json::Object(members) if members.is_empty() => Some(Json::Object(members)),
        Json::Object(members) => {
            let mut object = Map::new();
            for (key, member) in members {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                if let Some(member) = fill(member, &below, values) {
                    object.insert(key, member);
                }
            }
            (!object.is_empty() || path.is_empty()).then_some(Json::Object(object))
        }
        other => Some(other),
    }
}

/// See `model::Row::shape`.
fn written_as(how: &str, value: Json) -> Json {
    match (how, value) {
        ("s", Json::Number(number)) => Json::from(number.to_string()),
        ("s", Json::Bool(value)) => Json::from(value.to_string()),
        ("n", Json::String(text)) => match serde_json::from_str(&text) {
            Ok(value @ (Json::Number(_) | Json::Bool(_))) => value,
            _ => Json::String(text),
        },
        ("k", Json::String(date)) => chrono_millis(&date).map_or(Json::String(date), Json::from),
        ("z", Json::String(date)) => match date.strip_suffix('Z') {
            Some(moment) => Json::from(format!("{moment}+00:00")),
            None => Json::String(date),
        },
        (_, value) => value,
    }
}

fn chrono_millis(date: &str) -> Option<i64> {
    Timestamp::parse_rfc3339(date).map(|timestamp| timestamp.0)
}
