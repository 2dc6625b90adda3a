//! From what a source gives to what a table gets: which columns, under which names, which rows.

use crate::file::{ColumnPlan, TablePlan, field_of, type_for};
use crate::{Cell, ColumnType, CopiedRows, Layout, Piece};
use engine::CopyColumn;
use model::{FieldName, Op, Timestamp};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
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
    /// Of documents the fields, of a JSON cell the parts of it that are not copied.
    dropped: Vec<String>,
    dropped_below: BTreeMap<usize, Vec<String>>,
    /// Fields that were copied before and are not any more.
    pub(crate) ended: Vec<String>,
    /// When the next purpose ends, and other columns are copied.
    good_until: Option<Timestamp>,
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
        let mut dropped_below = BTreeMap::new();
        for (place, column) in layout.columns.iter().enumerate() {
            let planned = plan.columns.iter().find(|p| p.from == column.name && p.value.is_none());
            let below = ended(planned.map_or(&[][..], |planned| &planned.fields), now);
            if !below.is_empty() {
                dropped_below.insert(place, below);
            }
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
        let mut dropped = ended(&plan.columns, now);
        dropped.extend(plan.left_out.iter().map(|(name, _)| name.clone()));
        let all = plan.columns.iter().flat_map(|column| [column].into_iter().chain(&column.fields));
        let over = all.clone().filter(|column| is_over(column, now));
        let mut ended: Vec<String> = over.map(|column| column.to.as_str().to_owned()).collect();
        if layout.documents {
            ended.extend(plan.left_out.iter().map(|(name, _)| name.clone()));
        }
        let ends = all.filter_map(|column| Some(column.purpose.as_ref()?.1));
        let good_until = ends.filter(|end| *end > now).min();
        let (layout, plan) = (Arc::clone(layout), Arc::clone(plan));
        Transform { layout, columns, names, key, plan, dropped, dropped_below, ended, good_until }
    }

    /// Whether it is for pieces of this layout that are stored now.
    pub(crate) fn is_for(&self, layout: &Arc<Layout>, now: Timestamp) -> bool {
        Arc::ptr_eq(&self.layout, layout) && self.good_until.is_none_or(|until| now < until)
    }

    /// The rows of a piece as the table gets them.
    pub(crate) fn rows<'p>(&self, piece: &'p Piece) -> Cow<'p, CopiedRows> {
        let rows = &piece.rows;
        if self.layout.documents {
            return match self.dropped.is_empty() {
                true => Cow::Borrowed(rows),
                false => Cow::Owned(self.trimmed(rows)),
            };
        }
        let is_plain = self.dropped_below.is_empty() && self.plan.filter.is_none();
        if is_plain && made(&self.plan).next().is_none() {
            return Cow::Borrowed(rows);
        }
        let place = |name: &str| self.layout.columns.iter().position(|column| column.name == name);
        let mut out = CopiedRows::new(self.columns.len());
        for row in 0..rows.len() {
            let mut op = rows.op(row);
            if op == Op::Put
                && let Some(filter) = &self.plan.filter
                && !filter.expression.holds(rows, row, &place)
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
            for (place, &cell) in rows.row(row).iter().enumerate() {
                match (self.dropped_below.get(&place), cell) {
                    (Some(paths), Cell::Json(..)) => {
                        out.push_json(&without(rows.text(cell).unwrap_or("null"), paths));
                    }
                    _ => push(rows, cell, &mut out),
                }
            }
            for made in made(&self.plan) {
                match (&made.value, op) {
                    (Some(value), Op::Put) => {
                        value.expression.worth(rows, row, &place).push(&mut out)
                    }
                    _ => out.push(Cell::Null),
                }
            }
        }
        Cow::Owned(out)
    }

    /// Documents without the fields that are left out, or not copied any more.
    fn trimmed(&self, rows: &CopiedRows) -> CopiedRows {
        let mut out = CopiedRows::new(2);
        for row in 0..rows.len() {
            out.start(rows.op(row));
            push(rows, rows.row(row)[0], &mut out);
            let json = rows.text(rows.row(row)[1]).unwrap_or("{}");
            out.push_json(&without(json, &self.dropped));
        }
        out
    }
}

/// JSON without what stands at some paths.
fn without(json: &str, paths: &[String]) -> String {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(mut value) => {
            paths.iter().for_each(|path| remove(&mut value, path));
            value.to_string()
        }
        // What does not read is refused where it is stored, and counted there.
        Err(_) => json.to_owned(),
    }
}

/// The columns whose purpose has ended.
fn ended(columns: &[ColumnPlan], now: Timestamp) -> Vec<String> {
    let ended = columns.iter().filter(|column| is_over(column, now));
    ended.map(|column| column.from.clone()).collect()
}

fn made(plan: &TablePlan) -> impl Iterator<Item = &ColumnPlan> {
    plan.columns.iter().filter(|column| column.value.is_some())
}

/// The columns that are not even read: nothing needs them, or not any more.
pub(crate) fn unread(plan: &TablePlan, key: &[String], now: Timestamp) -> BTreeSet<String> {
    let mut needed: BTreeSet<&str> = key.iter().map(String::as_str).collect();
    let written = plan.filter.iter().chain(made(plan).filter_map(|made| made.value.as_ref()));
    for written in written {
        needed.extend(written.expression.columns());
    }
    let ended = plan.columns.iter().filter(|column| column.value.is_none() && is_over(column, now));
    let names = plan.left_out.iter().map(|(name, _)| name).chain(ended.map(|column| &column.from));
    names.filter(|name| !needed.contains(name.as_str())).cloned().collect()
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
pub(crate) fn new_name(name: &str) -> Option<FieldName> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::CopyFile;
    use crate::{Layout, SourceColumn};

    const FILE: &str = "\
copy: a
source: {files: {folder: /f}}
tables:
  t:
    key: [id]
    where: n > 1
    columns:
      id: {class: open, purpose: x, until: 2020-01-01}
      was: {class: open, purpose: x, until: 2020-01-01}
      j:
        class: open
        fields:
          a.b: {class: open, purpose: x, until: 2020-01-01}
      short: {class: open, value: 'first(name, 2)'}
    left_out: [n, name, other]
";

    fn piece(documents: bool) -> Piece {
        let column = |(name, ty): (&str, ColumnType)| SourceColumn {
            name: name.to_owned(),
            ty,
            native: String::new(),
        };
        let columns = [
            ("id", ColumnType::Long),
            ("was", ColumnType::Keyword),
            ("j", ColumnType::Json),
            ("n", ColumnType::Long),
            ("name", ColumnType::Keyword),
        ];
        let mut rows = CopiedRows::new(if documents { 2 } else { 5 });
        for n in [1, 2] {
            rows.start(Op::Put);
            if documents {
                rows.push_text("x");
                rows.push_json(r#"{"id":1,"was":"w","other":{"k":1},"j":{"a":{"b":1}}}"#);
                continue;
            }
            rows.push(Cell::Long(n));
            rows.push_text("w");
            rows.push_json(r#"{"a":{"b":1,"c":2}}"#);
            rows.push(Cell::Long(n));
            rows.push_text("Grace");
        }
        let layout = match documents {
            true => Layout::documents(),
            false => Layout::columns(columns.map(column).to_vec()),
        };
        let table = "t".to_owned();
        Piece { table, lane: "".into(), layout, rows, refused: Vec::new(), position: None }
    }

    #[test]
    fn what_ended_is_neither_read_nor_stored_and_filters_delete() {
        let plan = Arc::new(CopyFile::parse(FILE).unwrap().tables.remove(0));
        let (key, now) =
            (["id".to_owned()], Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap());
        // Of what is left out `where` and `value` need two; the key names the row all the same.
        let unread: Vec<String> = unread(&plan, &key, now).into_iter().collect();
        assert_eq!(unread, ["other", "was"]);
        let piece = piece(false);
        let transform = Transform::new(&piece.layout, &plan, &key, now);
        let fields: Vec<Option<&str>> = transform
            .columns
            .iter()
            .map(|column| column.field.as_ref().map(|field| field.name.as_str()))
            .collect();
        assert_eq!(fields, [None, None, Some("j"), None, None, Some("short")]);
        let rows = transform.rows(&piece);
        assert_eq!((rows.op(0), rows.op(1)), (Op::Delete, Op::Put));
        assert_eq!(rows.text(rows.row(1)[2]), Some(r#"{"a":{"c":2}}"#));
        assert_eq!(rows.text(rows.row(1)[5]), Some("Gr"));
    }

    #[test]
    fn documents_lose_what_ended_and_what_is_left_out() {
        let plan = Arc::new(CopyFile::parse(FILE).unwrap().tables.remove(0));
        let now = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let piece = piece(true);
        let rows = Transform::new(&piece.layout, &plan, &[], now);
        let rows = rows.rows(&piece);
        assert_eq!(rows.text(rows.row(0)[1]), Some(r#"{"j":{"a":{"b":1}}}"#));
        let before = Timestamp::parse_rfc3339("2019-01-01T00:00:00Z").unwrap();
        let rows = Transform::new(&piece.layout, &plan, &[], before);
        let rows = rows.rows(&piece);
        assert_eq!(rows.text(rows.row(0)[1]), Some(r#"{"id":1,"was":"w","j":{"a":{"b":1}}}"#));
    }
}
