//! Rows that a copy brings: built as columns, sealed, and appended together with how far they
//! bring the copy.

use super::carry::{Cells, NewRow, batch_of, cells_by_row};
use super::plan::stored_shape;
use crate::document::{BatchBuilder, CellTarget, is_below, shape};
use crate::error::chain;
use crate::{Engine, EngineError};
use model::{
    Batch, Cell, CopiedRows, Field, FieldId, GeneratedId, Op, Seq, Table, TableName, Timestamp,
};
use protection::audit::{Event, EventKind, FieldTouched};
use protection::caller::Caller;
use protection::grant::Action as Right;
use protection::{SealError, SealOutcome, SealedBatch};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::ops::Range;
use storage::{Mark, StoreError};

/// Rows that are deleted at once when a table is emptied.
const DELETED_AT_ONCE: usize = 20_000;

/// Where the cells of one column of copied rows go.
#[derive(Clone, Debug)]
pub struct CopyColumn {
    /// The field, with the type that it gets if it is new; `None`: nowhere.
    pub field: Option<Field>,
    /// Its cells are JSON, whose parts become fields below it.
    pub json: bool,
}

/// Rows of one table that are stored together.
#[derive(Clone, Copy, Debug)]
pub struct CopyPiece<'a> {
    /// The table that gets them; it is there.
    pub table: &'a str,
    /// For each cell of a row. Empty: rows are an `_id` and a JSON document.
    pub columns: &'a [CopyColumn],
    /// The cells that make the `_id`; none: rows get generated ones.
    pub key: &'a [usize],
    /// The rows.
    pub rows: &'a CopiedRows,
    /// Fields that were copied before and are not any more: what is stored of them stays.
    pub ended: &'a [String],
    /// The lane that they come from, and the position after the last of them.
    pub mark: Option<(&'a str, &'a [u8])>,
}

/// What became of a piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyOutcome {
    /// Rows stored, deletions too.
    pub rows: u64,
    /// Values that their field cannot hold, by the place of their column.
    pub left_out: Vec<u64>,
    /// Rows that were left out as a whole, and why the last of them was.
    pub refused: u64,
    /// Never a value.
    pub refused_because: Option<String>,
    /// Values that the source did not send and that are not stored here either.
    pub unknown: u64,
}

impl Engine {
    /// Stores rows that a copy brings, and in the same write how far they bring it.
    ///
    /// # Errors
    /// If the caller may not write to the table, it is gone, or nothing could be stored. Part of
    /// the rows may then be there, but no mark: the copy gives them again.
    pub fn copy_rows(
        &self,
        caller: &Caller,
        piece: &CopyPiece<'_>,
    ) -> Result<CopyOutcome, EngineError> {
        let name = TableName::parse(piece.table)
            .map_err(|error| EngineError::illegal_argument(error.to_string()))?;
        self.may(caller, Right::Write, Some(&name))?;
        let mut outcome =
            CopyOutcome { left_out: vec![0; piece.rows.width()], ..CopyOutcome::default() };
        if piece.rows.is_empty() {
            return Ok(outcome);
        }
        let mut event = Event::by(EventKind::Write, caller);
        event.policy = self.policies.version();
        event.action = Some(Right::Write);
        event.tables = vec![piece.table.to_owned()];
        event.shape = "copy".to_owned();
        event.rows = Some(piece.rows.len() as u64);
        event.bytes = Some(piece.rows.bytes() as u64);
        event.outcome = "allowed".to_owned();
        self.record_change(&event)?;
        self.policies.end_founding().map_err(|error| {
            tracing::error!(cause = chain(&error), "the end of founding is not written down");
            EngineError::unavailable("the catalog cannot be written")
        })?;
        // Rows that are stored and rows that come are of one epoch of pseudonyms.
        let _epoch = self.store.hold_epoch();
        let ids = ids_of(piece);
        let runs = runs(piece, &ids);
        for (number, run) in runs.iter().enumerate() {
            let mark = piece.mark.filter(|_| number + 1 == runs.len());
            Run { engine: self, caller, piece, ids: &ids, name: &name }.write(
                run.clone(),
                mark,
                &mut outcome,
            )?;
        }
        Ok(outcome)
    }

    /// Deletes every row of a table that was written before `before`, and notes how far that
    /// brings the copy.
    ///
    /// # Errors
    /// If the caller may not write to the table, it is gone, or a deletion cannot be stored; those
    /// before it are.
    pub fn copy_delete_before(
        &self,
        caller: &Caller,
        table: &str,
        before: Seq,
        mark: Option<(&str, &[u8])>,
    ) -> Result<u64, EngineError> {
        let found = self.store.table(table).ok_or_else(|| EngineError::no_table(table))?;
        self.may(caller, Right::Write, Some(&found.name))?;
        let mut deleted = 0;
        loop {
            let _epoch = self.store.hold_epoch();
            let ids = self.store.ids_before(found.id, before, DELETED_AT_ONCE)?;
            if ids.is_empty() {
                return Ok(deleted);
            }
            let is_last = ids.len() < DELETED_AT_ONCE;
            let mut event = Event::by(EventKind::Write, caller);
            event.policy = self.policies.version();
            event.action = Some(Right::Write);
            event.tables = vec![table.to_owned()];
            event.shape = "copy, delete what is gone".to_owned();
            event.rows = Some(ids.len() as u64);
            event.outcome = "allowed".to_owned();
            self.record_change(&event)?;
            loop {
                let mut now = Table::clone(&*self.copy_table(table)?);
                let mut builder = BatchBuilder::new(&now);
                for id in &ids {
                    builder.delete(id);
                }
                let sealed = self.sealer.seal(&mut now, builder.finish().batch)?;
                let mark = mark.filter(|_| is_last).map(mark_of);
                match self.store.append_marked(now.id, sealed.batch, &[], mark) {
                    Ok(_) => break,
                    Err(StoreError::Reruled) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            deleted += ids.len() as u64;
        }
    }

    /// The newest mark of each lane of a table; none if there is no such table.
    ///
    /// # Errors
    /// If the table goes meanwhile.
    pub fn copy_marks(&self, table: &str) -> Result<Vec<(String, Vec<u8>)>, EngineError> {
        let Some(table) = self.store.table(table) else { return Ok(Vec::new()) };
        let marks = self.store.marks(table.id)?;
        Ok(marks.into_iter().map(|mark| (mark.lane.into(), mark.position.into())).collect())
    }

    /// Rows written from now on have numbers from here.
    pub fn next_seq(&self) -> Seq {
        self.store.next_seq()
    }

    pub(crate) fn copy_table(&self, name: &str) -> Result<std::sync::Arc<Table>, EngineError> {
        self.store.table(name).ok_or_else(|| EngineError::no_table(name))
    }
}

/// Rows of a piece of which none starts from one of the others.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) caller: &'a Caller,
    pub(super) piece: &'a CopyPiece<'a>,
    /// The `_id` of each row of the piece.
    pub(super) ids: &'a [Option<Box<str>>],
    pub(super) name: &'a TableName,
}

/// What was read, before it is sealed.
pub(super) struct Read {
    pub(super) batch: Batch,
    pub(super) new_fields: Vec<Field>,
    /// The row of the piece behind each row of the batch.
    pub(super) rows: Vec<usize>,
    targets: Vec<CellTarget>,
    left_out: Vec<u64>,
    pub(super) refused: Vec<(usize, String)>,
}

impl Run<'_> {
    fn write(
        &self,
        run: Range<usize>,
        mark: Option<(&str, &[u8])>,
        outcome: &mut CopyOutcome,
    ) -> Result<(), EngineError> {
        let engine = self.engine;
        let mut refused: BTreeSet<usize> = BTreeSet::new();
        let mut because = None;
        let lock = engine.schema_lock(engine.copy_table(self.piece.table)?.id);
        let mut locked = None;
        loop {
            let base = engine.copy_table(self.piece.table)?;
            let read = self.read(&base, run.clone(), &refused)?;
            if let Some((_, reason)) = read.refused.last() {
                because = Some(reason.clone());
            }
            refused.extend(read.refused.iter().map(|(row, _)| *row));
            let adds_fields = !read.new_fields.is_empty();
            let mut table = Table::clone(&base);
            for field in read.new_fields {
                let id = table.schema.push(field);
                engine.withhold_new(&mut table, id, &read.batch);
            }
            let before = self.stored_before(&table, &read.rows)?;
            let Read { batch, rows, targets, left_out, .. } = read;
            let sealed = match engine.sealer.seal(&mut table, batch) {
                Ok(sealed) => sealed,
                Err(SealError::Refused(fields)) => {
                    because = fields.last().map(|field| field.reason.to_string()).or(because);
                    refused.extend(fields.iter().map(|field| rows[field.row as usize]));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let SealOutcome { batch, mut newly_ruled, secrets_seen } = sealed;
            let (batch, unknown) = match before.is_empty() {
                true => (batch, 0),
                false => {
                    self.merge(&mut table, batch, &rows, &targets, &before, &mut newly_ruled)?
                }
            };
            if adds_fields || !newly_ruled.is_empty() {
                if locked.is_none() {
                    locked = Some(lock.lock());
                    if !std::sync::Arc::ptr_eq(&engine.copy_table(self.piece.table)?, &base) {
                        continue;
                    }
                }
                engine.store.put_table(table.clone())?;
            }
            self.record_findings(&table, &newly_ruled, &secrets_seen)?;
            let stored = batch.batch().rows.len() as u64;
            match engine.store.append_marked(table.id, batch, &[], mark.map(mark_of)) {
                Ok(_) => {}
                // A ruling came between: read again under the rulings of now.
                Err(StoreError::Reruled) => continue,
                Err(error) => return Err(error.into()),
            }
            outcome.rows += stored;
            outcome.unknown += unknown;
            outcome.refused += refused.len() as u64;
            outcome.refused_because = because.or(outcome.refused_because.take());
            outcome.left_out.iter_mut().zip(left_out).for_each(|(all, more)| *all += more);
            return Ok(());
        }
    }

    /// Reads rows into columns.
    pub(super) fn read(
        &self,
        base: &Table,
        run: Range<usize>,
        skip: &BTreeSet<usize>,
    ) -> Result<Read, EngineError> {
        let rows = self.piece.rows;
        let mut builder = BatchBuilder::new(base);
        let mut targets = Vec::with_capacity(self.piece.columns.len());
        for column in self.piece.columns {
            let target = match &column.field {
                Some(field) => builder.cell_target(field, column.json),
                None => Ok(CellTarget::Nowhere),
            };
            targets.push(target.map_err(|error| EngineError::illegal_argument(error.reason))?);
        }
        let mut left_out = vec![0; rows.width()];
        let mut kept = Vec::with_capacity(run.len());
        let mut refused = Vec::new();
        for row in run.filter(|row| !skip.contains(row)) {
            let id = self.ids[row].as_deref();
            match rows.op(row) {
                Op::Delete => {
                    builder.delete(id.unwrap_or_default());
                }
                Op::Put if id.is_some_and(|id| GeneratedId::parse(id).is_some()) => {
                    refused.push((row, "its key is spelt as ids are that the store gives".into()));
                    continue;
                }
                Op::Put if self.piece.columns.is_empty() => {
                    let json = rows.text(rows.row(row)[1]).unwrap_or_default();
                    if let Err(error) = builder.put(id, json.as_bytes()) {
                        refused.push((row, error.reason));
                        continue;
                    }
                }
                Op::Put => {
                    builder.put_cells(id, &targets, rows, row, &mut left_out);
                }
            }
            kept.push(row);
        }
        let built = builder.finish();
        Ok(Read {
            batch: built.batch,
            new_fields: built.new_fields,
            rows: kept,
            targets,
            left_out,
            refused,
        })
    }

    /// The stored rows of those that leave something unchanged, by their row of the piece, sealed
    /// as they would be today.
    fn stored_before(
        &self,
        table: &Table,
        rows: &[usize],
    ) -> Result<HashMap<usize, Option<SealedBatch>>, EngineError> {
        let wanted: Vec<usize> =
            rows.iter().copied().filter(|&row| self.leaves_unchanged(row)).collect();
        let mut before = HashMap::with_capacity(wanted.len());
        if wanted.is_empty() {
            return Ok(before);
        }
        let ids: Vec<String> = wanted
            .iter()
            .map(|&row| {
                // Under another key it is stored as before until this write deletes that.
                let stored = if self.piece.rows.is_moved(row) { row - 1 } else { row };
                let id = self.ids[stored].as_deref().unwrap_or_default();
                self.engine.sealer.row_id(self.name, id)
            })
            .collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        for (row, stored) in wanted.into_iter().zip(self.engine.store.stored_rows(table.id, &ids)?)
        {
            let stored = match stored {
                Some((batch, ..)) => {
                    // The store may know fields by now that this copy of the table does not.
                    let mut now = Table::clone(&*self.engine.copy_table(self.piece.table)?);
                    Some(self.engine.sealer.seal(&mut now, batch)?.batch)
                }
                None => None,
            };
            before.insert(row, stored);
        }
        Ok(before)
    }

    fn leaves_unchanged(&self, row: usize) -> bool {
        let cells = self.piece.rows.row(row);
        self.piece.rows.op(row) == Op::Put
            && !self.piece.columns.is_empty()
            && cells.iter().any(|cell| matches!(cell, Cell::Unchanged))
    }

    /// Puts what rows leave unchanged back into them, as it is stored.
    fn merge(
        &self,
        table: &mut Table,
        batch: SealedBatch,
        rows: &[usize],
        targets: &[CellTarget],
        before: &HashMap<usize, Option<SealedBatch>>,
        newly_ruled: &mut Vec<FieldId>,
    ) -> Result<(SealedBatch, u64), EngineError> {
        let defect = || EngineError::internal("a stored row that does not fit its table");
        let new = batch.batch();
        let mut shapes = new.shapes.clone();
        let mut merged: Vec<NewRow<'_>> = new
            .rows
            .iter()
            .cloned()
            .zip(cells_by_row(new))
            .map(|(row, cells)| NewRow { row, cells })
            .collect();
        let mut unknown = 0;
        for (place, row) in rows.iter().enumerate() {
            let Some(before) = before.get(row) else { continue };
            let unchanged = self.unchanged_fields(*row);
            let Some(before) = before else {
                unknown += unchanged.len() as u64;
                continue;
            };
            let before = before.batch();
            let before_cells = cells_by_row(before).swap_remove(0);
            let new_shape = shape_of(table, new, place, &merged[place].cells);
            let mut after = new_shape.clone();
            let before_shape = stored_shape(&table.schema, before, &before_cells);
            for (path, json) in &unchanged {
                carry_shape(&mut after, &before_shape, path);
                for (&id, cells) in &before_cells {
                    let field = table.schema.fields().get(id.0 as usize).ok_or_else(defect)?;
                    let of = field.companion_of.map_or(field, |of| table.schema.field(of));
                    let name = of.name.as_str();
                    if name == *path || (*json && is_below(name, path)) {
                        merged[place].cells.insert(id, cells.clone());
                    }
                }
            }
            merged[place].row.shape = None;
            if !shape::is_plain(&after) {
                merged[place].row.shape = Some(shapes.len() as u32);
                shapes.push(after.to_string());
            }
        }
        debug_assert!(targets.len() == self.piece.columns.len(), "one target for each column");
        let merged = batch_of(&merged, shapes).ok_or_else(defect)?;
        // All of it is sealed already; what is sealed stays as it is.
        let again = self.engine.sealer.seal(table, merged)?;
        newly_ruled.extend(again.newly_ruled);
        Ok((again.batch, unknown))
    }

    /// The paths of the fields that a row leaves unchanged, and whether each is JSON.
    fn unchanged_fields(&self, row: usize) -> Vec<(&str, bool)> {
        let cells = self.piece.rows.row(row).iter().zip(self.piece.columns);
        let unchanged = cells.filter(|(cell, _)| matches!(cell, Cell::Unchanged));
        let fields = unchanged
            .filter_map(|(_, column)| Some((column.field.as_ref()?.name.as_str(), column.json)));
        fields.collect()
    }

    /// Records who got which class now, and which fields brought credentials.
    fn record_findings(
        &self,
        table: &Table,
        newly_ruled: &[FieldId],
        secrets_seen: &[(FieldId, &'static str, u64)],
    ) -> Result<(), EngineError> {
        let touched = |id: FieldId| {
            let field = table.schema.field(id);
            FieldTouched {
                table: table.name.as_str().to_owned(),
                field: field.name.as_str().to_owned(),
                class: field.class,
                how: None,
            }
        };
        if !newly_ruled.is_empty() {
            let mut event = Event::by(EventKind::Ruling, self.caller);
            event.tables = vec![table.name.as_str().to_owned()];
            event.fields = newly_ruled.iter().map(|&id| touched(id)).collect();
            event.outcome = "ruled by the classifier".to_owned();
            self.engine.record_change(&event)?;
        }
        if !secrets_seen.is_empty() {
            let kinds: Vec<String> =
                secrets_seen.iter().map(|(_, kind, count)| format!("{kind} {count}")).collect();
            let mut event = Event::by(EventKind::SecretsSeen, self.caller);
            event.tables = vec![table.name.as_str().to_owned()];
            event.fields = secrets_seen.iter().map(|(id, ..)| touched(*id)).collect();
            event.rows = Some(secrets_seen.iter().map(|(.., count)| count).sum());
            event.subject = kinds.join(", ");
            event.outcome = "not stored".to_owned();
            self.engine.record_change(&event)?;
        }
        Ok(())
    }
}

/// Cuts a piece before every row that leaves something unchanged of a row before it in the piece,
/// also under another key.
fn runs(piece: &CopyPiece<'_>, ids: &[Option<Box<str>>]) -> Vec<Range<usize>> {
    let rows = piece.rows;
    let leaves_unchanged =
        |row: usize| rows.row(row).iter().any(|cell| matches!(cell, Cell::Unchanged));
    let is_patch = |row: usize| rows.op(row) == Op::Put && leaves_unchanged(row);
    if piece.columns.is_empty() || !(0..rows.len()).any(is_patch) {
        return std::iter::once(0..rows.len()).collect();
    }
    let mut runs = Vec::new();
    let mut start = 0;
    let mut seen: HashSet<&str> = HashSet::new();
    for (row, id) in ids.iter().enumerate() {
        let Some(id) = id.as_deref() else { continue };
        // A row that gets another key starts from what stands under the old one, and that goes with
        // it in one write.
        let is_start = match rows.is_moved(row) {
            true => false,
            false if row + 1 < ids.len() && rows.is_moved(row + 1) => is_patch(row + 1),
            false => is_patch(row),
        };
        if is_start && seen.contains(id) {
            runs.push(start..row);
            start = row;
            seen.clear();
        }
        seen.insert(id);
    }
    runs.push(start..rows.len());
    runs
}

/// The `_id` of each row: its key, or the text of cell 0 of a document.
pub(super) fn ids_of(piece: &CopyPiece<'_>) -> Vec<Option<Box<str>>> {
    let rows = piece.rows;
    let key: &[usize] = if piece.columns.is_empty() { &[0] } else { piece.key };
    let mut text = String::new();
    (0..rows.len())
        .map(|row| {
            text.clear();
            for (number, &cell) in key.iter().enumerate() {
                if number > 0 {
                    text.push('|');
                }
                push_key(rows, rows.row(row)[cell], key.len() > 1, &mut text);
            }
            (!text.is_empty()).then(|| text.as_str().into())
        })
        .collect()
}

fn push_key(rows: &CopiedRows, cell: Cell, in_list: bool, out: &mut String) {
    let written = match cell {
        Cell::Null | Cell::Unchanged => Ok(()),
        Cell::Bool(value) => write!(out, "{value}"),
        Cell::Long(value) => write!(out, "{value}"),
        Cell::Double(value) => write!(out, "{value}"),
        Cell::Date(ms) => write!(out, "{}", Timestamp(ms)),
        Cell::Text(..) | Cell::Json(..) => {
            let text = rows.text(cell).unwrap_or_default();
            if in_list && text.contains(['|', '\\']) {
                out.push_str(&text.replace('\\', "\\\\").replace('|', "\\|"));
            } else {
                out.push_str(text);
            }
            Ok(())
        }
    };
    written.expect("a string takes all");
}

/// The shape of a row of a batch, also where it is the plain one.
fn shape_of(table: &Table, batch: &Batch, row: usize, cells: &Cells<'_>) -> Value {
    let written = batch.rows[row].shape.and_then(|shape| batch.shapes.get(shape as usize));
    if let Some(shape) = written.and_then(|shape| serde_json::from_str(shape).ok()) {
        return shape;
    }
    let written = cells.iter().map(|(&id, cells)| (table.schema.field(id), cells.len()));
    let written = written.filter(|(field, _)| field.companion_of.is_none());
    shape::plain(written.map(|(field, cells)| (field.name.as_str(), cells)))
}

/// Puts what stands at `path` in one shape into another.
fn carry_shape(into: &mut Value, from: &Value, path: &str) {
    let found = path.split('.').try_fold(from, |value, key| value.get(key));
    // A renamed column may stand under a key with dots.
    let Some(found) = found.or_else(|| from.get(path)).cloned() else { return };
    let mut place = into;
    for key in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(object) = place else { return };
        place = object.entry(key.to_owned()).or_insert(Value::Null);
    }
    *place = found;
}

fn mark_of((lane, position): (&str, &[u8])) -> Mark {
    Mark { lane: lane.into(), position: position.into() }
}
