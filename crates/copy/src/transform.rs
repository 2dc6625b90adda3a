//! From what a source gives to what a table gets: which columns, under which names, which rows.

use crate::file::{ColumnPlan, TablePlan, field_of, type_for};
use crate::{Cell, ColumnType, CopiedRows, Layout, Piece};
use engine::CopyColumn;
use model::{FieldName, Op, Timestamp};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How the pieces of one layout become rows of a table.
pub(crate) struct Transform {
    layout: Arc<Layout>,
    /// For each cell of a transformed row.
    pub(crate) columns: Vec<CopyColumn>,
    /// Their names, for the state of the copy.
    pub(crate) names: Vec<String>,
    pub(crate) key: Vec<usize>,
    plan: Arc<TablePlan>,
}

impl Transform {
    /// `key` are the columns that name a row.
    pub(crate) fn new(
        layout: &Arc<Layout>,
        plan: &Arc<TablePlan>,
        key: &[String],
        now: Timestamp,
    ) -> Transform {
        let mut columns = Vec::with_capacity(layout.columns.len());
        let mut names = Vec::with_capacity(layout.columns.len());
        for column in &layout.columns {
            let planned = plan.columns.iter().find(|p| p.from == column.name && p.value.is_none());
            let is_left_out = plan.left_out.iter().any(|(name, _)| *name == column.name);
            let field = match planned {
                Some(planned) if is_over(planned, now) => None,
                Some(planned) => Some(planned.field(column)),
                None if is_left_out => None,
                // It came after the plan was signed.
                None => new_name(&column.name).map(|name| field_of(name, type_for(column.ty))),
            };
            columns.push(CopyColumn { field, json: column.ty == ColumnType::Json });
            names.push(column.name.clone());
        }
        for made in made(plan) {
            let ty = made.ty.unwrap_or(model::FieldType::Keyword);
            let field = (!is_over(made, now)).then(|| field_of(made.to.clone(), ty));
            columns.push(CopyColumn { field, json: false });
            names.push(made.from.clone());
        }
        let place = |name: &String| layout.columns.iter().position(|column| column.name == *name);
        let key =
            if layout.documents { Vec::new() } else { key.iter().filter_map(place).collect() };
        let columns = if layout.documents { Vec::new() } else { columns };
        Transform { layout: Arc::clone(layout), columns, names, key, plan: Arc::clone(plan) }
    }

    /// Whether it is for pieces of this layout.
    pub(crate) fn is_for(&self, layout: &Arc<Layout>) -> bool {
        Arc::ptr_eq(&self.layout, layout)
    }

    /// The rows of a piece as the table gets them.
    pub(crate) fn rows<'p>(&self, piece: &'p Piece) -> Cow<'p, CopiedRows> {
        let rows = &piece.rows;
        if self.layout.documents {
            return match self.plan.left_out.is_empty() {
                true => Cow::Borrowed(rows),
                false => Cow::Owned(self.trimmed(rows)),
            };
        }
        if self.plan.filter.is_none() && made(&self.plan).next().is_none() {
            return Cow::Borrowed(rows);
        }
        let place = |name: &str| self.layout.columns.iter().position(|column| column.name == name);
        let mut out = CopiedRows::new(self.columns.len());
        for row in 0..rows.len() {
            let mut op = rows.op(row);
            if op == Op::Put
                && let Some(filter) = &self.plan.filter
                && !filter.holds(rows, row, &place)
            {
                // It may have been a row before it changed.
                if self.key.is_empty() {
                    continue;
                }
                op = Op::Delete;
            }
            match op == Op::Put && rows.is_moved(row) {
                true => out.start_moved(),
                false => out.start(op),
            }
            for &cell in rows.row(row) {
                push(rows, cell, &mut out);
            }
            for made in made(&self.plan) {
                match (&made.value, op) {
                    (Some(value), Op::Put) => value.worth(rows, row, &place).push(&mut out),
                    _ => out.push(Cell::Null),
                }
            }
        }
        Cow::Owned(out)
    }

    /// Documents without the fields that are left out.
    fn trimmed(&self, rows: &CopiedRows) -> CopiedRows {
        let mut out = CopiedRows::new(2);
        for row in 0..rows.len() {
            out.start(rows.op(row));
            push(rows, rows.row(row)[0], &mut out);
            let json = rows.text(rows.row(row)[1]).unwrap_or("{}");
            match serde_json::from_str::<serde_json::Value>(json) {
                Ok(mut document) => {
                    for (path, _) in &self.plan.left_out {
                        remove(&mut document, path);
                    }
                    out.push_json(&document.to_string());
                }
                // What does not read is refused where it is stored, and counted there.
                Err(_) => out.push_json(json),
            }
        }
        out
    }
}

fn made(plan: &TablePlan) -> impl Iterator<Item = &ColumnPlan> {
    plan.columns.iter().filter(|column| column.value.is_some())
}

/// The columns that are not even read: nothing needs them.
pub(crate) fn unread(plan: &TablePlan) -> BTreeSet<String> {
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    let expressions = plan.filter.iter().chain(made(plan).filter_map(|made| made.value.as_ref()));
    for expression in expressions {
        needed.extend(expression.columns());
    }
    let names = plan.left_out.iter().map(|(name, _)| name.clone());
    names.filter(|name| !needed.contains(name.as_str())).collect()
}

/// All columns of the source that a file knows.
pub(crate) fn planned(plan: &TablePlan) -> BTreeSet<String> {
    let copied = plan.columns.iter().filter(|column| column.value.is_none());
    let left_out = plan.left_out.iter().map(|(name, _)| name.clone());
    copied.map(|column| column.from.clone()).chain(left_out).collect()
}

/// Whether the purpose for which a column is copied has ended.
pub(crate) fn is_over(column: &ColumnPlan, now: Timestamp) -> bool {
    column.purpose.as_ref().is_some_and(|(_, until)| *until <= now)
}

fn push(rows: &CopiedRows, cell: Cell, out: &mut CopiedRows) {
    match cell {
        Cell::Text(..) => out.push_text(rows.text(cell).unwrap_or_default()),
        Cell::Json(..) => out.push_json(rows.text(cell).unwrap_or("null")),
        cell => out.push(cell),
    }
}

/// A name of a source that cannot be a field's gets one that can.
fn new_name(name: &str) -> Option<FieldName> {
    let name = match name.starts_with('_') {
        true => format!("source{name}"),
        false => name.to_owned(),
    };
    FieldName::parse(&name).or_else(|_| FieldName::parse(&name.replace('.', "_"))).ok()
}

/// Removes the value at a path, also in each element of an array.
fn remove(value: &mut serde_json::Value, path: &str) {
    match value {
        serde_json::Value::Array(all) => all.iter_mut().for_each(|one| remove(one, path)),
        serde_json::Value::Object(object) => {
            if object.shift_remove(path).is_some() {
                return;
            }
            if let Some((first, rest)) = path.split_once('.')
                && let Some(inside) = object.get_mut(first)
            {
                remove(inside, rest);
            }
        }
        _ => {}
    }
}
