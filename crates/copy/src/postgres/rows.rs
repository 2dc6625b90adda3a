//! Messages of the change stream as rows.

use super::pgoutput::{Message, Old, Tuple, TupleValue};
use super::types::PgType;
use crate::{Cell, CopiedRows, Layout, Position, SourceColumn, SourceError, Wanted};
use model::Op;
use std::sync::Arc;

/// A table as the rows of the stream have it now.
pub(crate) struct Relation {
    pub(crate) table: String,
    pub(crate) layout: Arc<Layout>,
    /// For each column of the server's row its type; `None`: left out.
    pub(crate) types: Vec<Option<PgType>>,
    /// The columns of the server's row that make the key.
    pub(crate) key: Vec<usize>,
    /// Up to where its rows are stored.
    pub(crate) mark: Option<Position>,
}

/// Adds what a message says of a row.
pub(crate) fn add(
    rows: &mut CopiedRows,
    relation: &Relation,
    message: Message<'_>,
) -> Result<(), SourceError> {
    match message {
        Message::Insert { new, .. } => {
            rows.start(Op::Put);
            put(rows, relation, new, None)
        }
        Message::Update { old, new, .. } => update(rows, relation, old, new),
        Message::Delete { old: (_, old), .. } => delete(rows, relation, old),
        _ => Ok(()),
    }
}

/// Fills the row that was begun; `full` has what the new row leaves unchanged.
fn put(
    rows: &mut CopiedRows,
    relation: &Relation,
    new: Tuple<'_>,
    full: Option<Tuple<'_>>,
) -> Result<(), SourceError> {
    let mut before = full.map(|full| full.values().collect::<Vec<_>>()).unwrap_or_default();
    before.resize(new.columns, TupleValue::Unchanged);
    for ((value, ty), before) in new.values().zip(&relation.types).zip(before) {
        let Some(ty) = ty else { continue };
        let value = if value == TupleValue::Unchanged { before } else { value };
        push(rows, ty, value);
    }
    whole(rows, relation)
}

fn update(
    rows: &mut CopiedRows,
    relation: &Relation,
    old: Option<(Old, Tuple<'_>)>,
    new: Tuple<'_>,
) -> Result<(), SourceError> {
    let Some((kind, old)) = old else {
        rows.start(Op::Put);
        return put(rows, relation, new, None);
    };
    let key = |tuple: Tuple<'_>| -> Vec<Vec<u8>> {
        let values: Vec<TupleValue<'_>> = tuple.values().collect();
        let of_key = relation.key.iter().filter_map(|&place| values.get(place));
        of_key
            .map(|value| match value {
                TupleValue::Text(text) => text.to_vec(),
                TupleValue::Null | TupleValue::Unchanged => Vec::new(),
            })
            .collect()
    };
    if key(old) == key(new) {
        rows.start(Op::Put);
    } else {
        // Under another key; what it leaves unchanged stands under the old one.
        delete(rows, relation, old)?;
        rows.start_moved();
    }
    put(rows, relation, new, (kind == Old::Full).then_some(old))
}

/// Of a deletion only the key counts.
fn delete(rows: &mut CopiedRows, relation: &Relation, old: Tuple<'_>) -> Result<(), SourceError> {
    rows.start(Op::Delete);
    for (place, (value, ty)) in old.values().zip(&relation.types).enumerate() {
        let Some(ty) = ty else { continue };
        match relation.key.contains(&place) {
            true => push(rows, ty, value),
            false => rows.push(Cell::Null),
        }
    }
    whole(rows, relation)
}

fn push(rows: &mut CopiedRows, ty: &PgType, value: TupleValue<'_>) {
    match value {
        TupleValue::Null => rows.push(Cell::Null),
        TupleValue::Unchanged => rows.push(Cell::Unchanged),
        TupleValue::Text(text) => ty.push(&String::from_utf8_lossy(text), rows),
    }
}

/// Every row has a cell for each column, or the stream is not what it said.
fn whole(rows: &CopiedRows, relation: &Relation) -> Result<(), SourceError> {
    match rows.is_whole() && rows.width() == relation.layout.width() {
        true => Ok(()),
        false => Err(SourceError::Broken("a row that does not fit its table".into())),
    }
}

/// What happened to a table, for a person.
pub(crate) fn differences(before: &[SourceColumn], now: &[SourceColumn]) -> Vec<String> {
    let find = |columns: &[SourceColumn], name: &str| {
        columns.iter().find(|column| column.name == name).cloned()
    };
    let mut all = Vec::new();
    for column in now {
        match find(before, &column.name) {
            None => all.push(added(&column.name)),
            Some(old) if old.ty != column.ty => all.push(format!(
                "column `{}` is `{}` now and was `{}`; values that its field cannot hold are left \
                 out",
                column.name, column.native, old.native
            )),
            Some(_) => {}
        }
    }
    for column in before.iter().filter(|column| find(now, &column.name).is_none()) {
        all.push(dropped(&column.name));
    }
    all
}

/// What the signed file does not know of a table, or knows and is not there.
pub(crate) fn news(wanted: &Wanted, now: &[SourceColumn]) -> Vec<String> {
    if wanted.planned.is_empty() {
        return Vec::new();
    }
    let fresh = now.iter().filter(|column| !wanted.planned.contains(&column.name));
    let is_gone = |name: &&String| {
        !wanted.left_out.contains(*name) && !now.iter().any(|column| column.name == **name)
    };
    let gone = wanted.planned.iter().filter(is_gone);
    fresh.map(|column| added(&column.name)).chain(gone.map(|name| dropped(name))).collect()
}

fn added(name: &str) -> String {
    format!("column `{name}` was added; it is withheld")
}

fn dropped(name: &str) -> String {
    format!("column `{name}` was dropped; what was copied of it stays")
}
