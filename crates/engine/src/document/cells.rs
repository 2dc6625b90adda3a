//! Rows that are copied from elsewhere, straight into columns: no JSON is written or read for them,
//! except where a value is JSON itself.

use super::coerce::{Coerced, Rule, Scalar, coerce};
use super::reader::{Reader, event};
use super::{BatchBuilder, DocumentError, recycle};
use model::{Cell, CopiedRows, Field, FieldId, FieldType, Op, Row, Timestamp};

/// What a cell becomes.
#[derive(Clone, Copy)]
pub(crate) enum CellTarget {
    /// Nothing: it is only a part of the key, or is left out.
    Nowhere,
    /// A value of this field.
    Field { id: FieldId, rule: Rule, edge: u32 },
    /// Whatever JSON says, at this node of the tree.
    Json { node: u32, edge: u32 },
}

impl BatchBuilder {
    /// Finds, or makes, the field for a column of copied rows. `field` says its name, and its type
    /// if it has to be made.
    pub(crate) fn cell_target(
        &mut self,
        field: &Field,
        is_json: bool,
    ) -> Result<CellTarget, DocumentError> {
        self.objects += 1;
        let step = self.tree.step(0, field.name.as_str(), 0, self.objects)?;
        if is_json {
            self.tree.check_above(step.node)?;
            return Ok(CellTarget::Json { node: step.node, edge: step.edge });
        }
        let id = self.tree.field_at(step.node, field)?;
        Ok(CellTarget::Field { id, rule: self.tree.rule(id), edge: step.edge })
    }

    /// Adds a row of cells. A value that its field cannot hold is left out and counted in
    /// `left_out`, cell by cell; the row stays.
    pub(crate) fn put_cells(
        &mut self,
        id: Option<&str>,
        targets: &[CellTarget],
        rows: &CopiedRows,
        row: usize,
        left_out: &mut [u64],
    ) -> u32 {
        let mut plain = true;
        self.events.clear();
        self.events.push(event::OPEN_OBJECT);
        for (place, (&cell, target)) in rows.row(row).iter().zip(targets).enumerate() {
            let is_null = matches!(cell, Cell::Json(..)) && rows.text(cell) == Some("null");
            if is_null || matches!(cell, Cell::Null | Cell::Unchanged) {
                continue;
            }
            let fits = match target {
                CellTarget::Nowhere => true,
                CellTarget::Field { id, rule, edge } => {
                    let fits = self.put_cell(*id, rule, cell, rows);
                    if fits {
                        self.events.extend([event::KEY + edge, event::VALUE]);
                    }
                    fits
                }
                CellTarget::Json { node, edge } => {
                    let events = self.events.len();
                    self.events.push(event::KEY + edge);
                    match self.put_json(*node, rows.text(cell).unwrap_or("null")) {
                        Some(is_plain) => {
                            plain &= is_plain;
                            true
                        }
                        None => {
                            self.events.truncate(events);
                            false
                        }
                    }
                }
            };
            left_out[place] += u64::from(!fits);
        }
        self.events.push(event::CLOSE_OBJECT);
        let shape = if plain { None } else { Some(self.shape()) };
        self.push(Row { id: id.map(Into::into), op: Op::Put, shape })
    }

    fn put_cell(&mut self, id: FieldId, rule: &Rule, cell: Cell, rows: &CopiedRows) -> bool {
        let row = self.rows.len() as u32;
        let scalar = match cell {
            Cell::Bool(value) => Scalar::Bool(value),
            Cell::Long(value) => Scalar::Int(value),
            Cell::Double(value) => Scalar::Float(value),
            Cell::Date(ms) if matches!(rule.ty, FieldType::Date | FieldType::Long) => {
                self.column(id).push_long(row, ms);
                return true;
            }
            Cell::Date(ms) => {
                let text = Timestamp(ms).to_rfc3339();
                return self.put_scalar(id, rule, Scalar::Text(&text));
            }
            Cell::Text(..) | Cell::Json(..) => match rows.text(cell) {
                Some(text) => Scalar::Text(text),
                None => return false,
            },
            Cell::Null | Cell::Unchanged => return true,
        };
        self.put_scalar(id, rule, scalar)
    }

    fn put_scalar(&mut self, id: FieldId, rule: &Rule, scalar: Scalar<'_>) -> bool {
        let row = self.rows.len() as u32;
        let Ok((coerced, _)) = coerce(rule, scalar) else { return false };
        let column = self.column(id);
        match (coerced, scalar) {
            (Coerced::SameText, Scalar::Text(text)) => column.push_text(row, text),
            (Coerced::SameText | Coerced::Null, _) => {}
            (Coerced::Text(text), _) => column.push_text(row, &text),
            (Coerced::Long(value), _) => column.push_long(row, value),
            (Coerced::Double(value), _) => column.push_double(row, value),
            (Coerced::Bool(value), _) => column.push_bool(row, value),
        }
        true
    }

    /// Reads one JSON value into the next row. Returns whether the plain rule rebuilds it; `None`
    /// if it does not fit the mapping, and then nothing of it is kept.
    fn put_json(&mut self, node: u32, json: &str) -> Option<bool> {
        let mark = self.tree.mark();
        let copied = self.copied.len();
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
        let read = reader.read_at(node, json);
        let plain = reader.plain;
        let values = reader.values;
        match &read {
            Ok(()) => self.commit(&values),
            Err(_) => self.tree.go_back(mark),
        }
        self.values = recycle(values);
        self.copied.truncate(copied);
        read.ok().map(|()| plain)
    }
}
