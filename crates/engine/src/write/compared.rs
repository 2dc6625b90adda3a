//! Rows of a source beside those that a copy made of them: whether they are the same.

use super::carry::{Cell, Cells, cells_by_row};
use super::copied::{CopyPiece, Run, ids_of};
use crate::document::is_below;
use crate::{Engine, EngineError};
use model::{FieldId, Op, Seq, Table};
use protection::caller::Caller;
use protection::grant::Action as Right;
use protection::{SealError, SealOutcome, SealedBatch};
use std::collections::{BTreeMap, BTreeSet};

/// What a comparison of some rows found. It says nothing of what is stored but whether it is the
/// same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Rows that the source has and the table should have.
    pub rows: u64,
    /// Their `_id`s as they are here: pseudonyms, where a table is of persons. Empty where rows have
    /// no names.
    pub ids: Vec<String>,
    /// Those that are not stored as they would be now.
    pub other: Vec<OtherRow>,
}

/// A row that is stored otherwise than its source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRow {
    /// Its `_id`, as it is here.
    pub id: String,
    /// The row of the piece.
    pub row: usize,
    /// The number of the row that is stored; `None`: none is.
    pub stored: Option<Seq>,
    /// Whether the source, or its filter, has it no more.
    pub is_gone: bool,
}

/// The rows of a piece as they would be stored now.
struct AsNow {
    /// The table, with fields that it does not have yet.
    table: Table,
    sealed: SealedBatch,
    /// The row of the piece behind each of them.
    rows: Vec<usize>,
    /// Rows of the piece that would be refused.
    refused: BTreeSet<usize>,
}

impl Engine {
    /// Compares rows as a source has them with those that are stored.
    ///
    /// # Errors
    /// If the caller may not write to the table, it is gone, or a stored value does not open.
    pub fn compare_copied(
        &self,
        caller: &Caller,
        piece: &CopyPiece<'_>,
    ) -> Result<Compared, EngineError> {
        let table = self.copy_table(piece.table)?;
        self.may(caller, Right::Write, Some(&table.name))?;
        let _epoch = self.store.hold_epoch();
        let ids = ids_of(piece);
        let run = Run { engine: self, caller, piece, ids: &ids, name: &table.name };
        let AsNow { table: now, sealed, rows, refused } = self.seal_as_now(&run, &table)?;
        let expected = sealed.batch();
        let mut compared = Compared::default();
        let expected_cells = cells_by_row(expected);
        let names: Vec<&str> = expected.rows.iter().filter_map(|row| row.id.as_deref()).collect();
        let mut stored = self.store.stored_rows(table.id, &names)?.into_iter();
        for ((row, cells), place) in expected.rows.iter().zip(&expected_cells).zip(&rows) {
            compared.rows += u64::from(row.op == Op::Put);
            let Some(id) = row.id.as_deref() else { continue };
            let stored = stored.next().flatten();
            let is_same = match (row.op, &stored) {
                (Op::Delete, stored) => stored.is_none(),
                (Op::Put, None) => false,
                (Op::Put, Some((stored, ..))) => {
                    let mut stored = cells_by_row(stored).swap_remove(0);
                    // What stays of a column that the source dropped is no difference.
                    stored.retain(|&id, _| is_covered(&now, piece, id));
                    self.is_same(&now, cells, &stored)?
                }
            };
            if row.op == Op::Put {
                compared.ids.push(id.to_owned());
            }
            if !is_same {
                let stored = stored.map(|(_, seq, _)| seq);
                let (id, is_gone) = (id.to_owned(), row.op == Op::Delete);
                compared.other.push(OtherRow { id, row: *place, stored, is_gone });
            }
        }
        self.compare_refused(&table, &ids, &refused, &mut compared)?;
        Ok(compared)
    }

    /// Rows that are refused are not stored: what is here under their names is an older state.
    fn compare_refused(
        &self,
        table: &Table,
        ids: &[Option<Box<str>>],
        refused: &BTreeSet<usize>,
        compared: &mut Compared,
    ) -> Result<(), EngineError> {
        let named = refused.iter().filter_map(|&row| Some((row, ids[row].as_deref()?)));
        let named: BTreeMap<String, usize> =
            named.map(|(row, id)| (self.sealer.row_id(&table.name, id), row)).collect();
        let names: Vec<&str> = named.keys().map(String::as_str).collect();
        for ((id, row), stored) in named.iter().zip(self.store.stored_rows(table.id, &names)?) {
            compared.ids.push(id.clone());
            if let Some((_, seq, _)) = stored {
                let (id, row, stored) = (id.clone(), *row, Some(seq));
                compared.other.push(OtherRow { id, row, stored, is_gone: false });
            }
        }
        Ok(())
    }

    fn seal_as_now(&self, run: &Run<'_>, table: &Table) -> Result<AsNow, EngineError> {
        let mut refused: BTreeSet<usize> = BTreeSet::new();
        loop {
            let read = run.read(table, 0..run.piece.rows.len(), &refused)?;
            refused.extend(read.refused.iter().map(|(row, _)| *row));
            let mut now = Table::clone(table);
            for field in read.new_fields {
                let id = now.schema.push(field);
                self.withhold_new(&mut now, id, &read.batch);
            }
            match self.sealer.seal(&mut now, read.batch) {
                Ok(SealOutcome { batch, .. }) => {
                    return Ok(AsNow { table: now, sealed: batch, rows: read.rows, refused });
                }
                Err(SealError::Refused(fields)) => {
                    refused.extend(fields.iter().map(|field| read.rows[field.row as usize]));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Shows the `_id` and the number of every row of a table that a copy fills.
    ///
    /// # Errors
    /// If the caller may not write to the table, or it is gone.
    pub fn visit_copied_ids(
        &self,
        caller: &Caller,
        table: &str,
        visit: &mut dyn FnMut(&str, Seq),
    ) -> Result<(), EngineError> {
        let table = self.copy_table(table)?;
        self.may(caller, Right::Write, Some(&table.name))?;
        Ok(self.store.visit_ids(table.id, visit)?)
    }

    fn is_same(
        &self,
        table: &Table,
        one: &Cells<'_>,
        other: &Cells<'_>,
    ) -> Result<bool, EngineError> {
        if !one.keys().eq(other.keys()) {
            return Ok(false);
        }
        for ((&field, one), other) in one.iter().zip(other.values()) {
            let sealed = |cells: &[Cell<'_>]| -> Option<Vec<Box<[u8]>>> {
                let bytes = cells.iter().map(|cell| match cell {
                    Cell::Sealed(bytes) => Some((*bytes).into()),
                    _ => None,
                });
                bytes.collect()
            };
            let is_same = match (sealed(one), sealed(other)) {
                (Some(one), Some(other)) => self.sealer.is_same(table, field, &one, &other)?,
                _ => one == other,
            };
            if !is_same {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a field gets its values from one of these columns.
fn is_covered(table: &Table, piece: &CopyPiece<'_>, id: FieldId) -> bool {
    let Some(field) = table.schema.fields().get(id.0 as usize) else { return false };
    let of = field.companion_of.map_or(field, |of| table.schema.field(of));
    let name = of.name.as_str();
    if piece.ended.iter().any(|ended| name == ended || is_below(name, ended)) {
        return false;
    }
    let mut targets =
        piece.columns.iter().filter_map(|column| Some((column.field.as_ref()?, column.json)));
    piece.columns.is_empty()
        || targets.any(|(target, json)| {
            name == target.name.as_str() || (json && is_below(name, target.name.as_str()))
        })
}
