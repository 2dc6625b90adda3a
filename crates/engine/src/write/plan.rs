//! From actions to one sealed batch, without changing anything yet.

use super::carry::{Cells, NewRow, batch_of, cells_by_row};
use crate::bulk::{Action, ActionKind, ItemError, UpdateBody};
use crate::document::{BatchBuilder, is_below, shape};
use model::{Batch, FieldId, GeneratedId, Row, Schema, Seq, Table};
use protection::{SealError, SealedBatch, Sealer};
use serde_json::Value;
use std::collections::HashMap;
use storage::Expect;

/// A stored row that an update starts from.
pub(super) struct StoredRow {
    pub(super) batch: Batch,
    pub(super) seq: Seq,
    pub(super) version: u64,
}

/// The actions of one table on their way to one batch.
#[derive(Default)]
pub(super) struct Plan {
    /// For each row of the batch the place of its action.
    pub(super) places: Vec<usize>,
    /// For each row what must hold when it is written.
    pub(super) expects: Vec<Expect>,
    /// Actions that need no row.
    pub(super) settled: Vec<(usize, Settled)>,
    patches: Vec<Patch>,
}

/// Why an action needs no row.
pub(super) enum Settled {
    /// It is refused.
    Refused(ItemError),
    /// An update that changes nothing.
    Noop { seq: Seq, version: u64 },
}

/// A row that is put over a stored one.
struct Patch {
    row: usize,
    place: usize,
    shape: Value,
    detect_noop: bool,
}

/// A plan with its batch.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    /// The table as the batch needs it.
    pub(super) table: Table,
    /// Whether that differs from what is stored.
    pub(super) table_changed: bool,
    /// `None` if there is no row to write.
    pub(super) sealed: Option<SealedBatch>,
    pub(super) newly_ruled: Vec<FieldId>,
    pub(super) secrets_seen: Vec<(FieldId, &'static str, u64)>,
}

/// What sealing came to, over all its passes.
struct Sealed {
    batch: Option<SealedBatch>,
    newly_ruled: Vec<FieldId>,
    secrets_seen: Vec<(FieldId, &'static str, u64)>,
}

/// Rows that may not be sealed, or nothing at all can.
enum NotSealed {
    Rows(Vec<(usize, ItemError)>),
    All(ItemError),
}

/// Plans the actions at `todo` against `base`. `stored` holds what their updates start from.
pub(super) fn prepare(
    sealer: &Sealer,
    base: &Table,
    actions: &[Action<'_>],
    todo: &[usize],
    stored: &HashMap<usize, StoredRow>,
) -> Result<Prepared, ItemError> {
    let mut refused: HashMap<usize, ItemError> = HashMap::new();
    loop {
        let mut plan = Plan::default();
        let mut builder = BatchBuilder::new(base);
        for &place in todo {
            let added = match refused.get(&place) {
                Some(error) => Err(error.clone()),
                None => plan.add(&mut builder, place, &actions[place], stored.get(&place)),
            };
            if let Err(error) = added {
                plan.settled.push((place, Settled::Refused(error)));
            }
        }
        let is_empty = builder.is_empty();
        let built = builder.finish();
        let mut table = base.clone();
        let adds_fields = !built.new_fields.is_empty();
        for field in built.new_fields {
            table.schema.push(field);
        }
        if is_empty {
            let (newly_ruled, secrets_seen) = (Vec::new(), Vec::new());
            let table_changed = false;
            return Ok(Prepared {
                plan,
                table,
                table_changed,
                sealed: None,
                newly_ruled,
                secrets_seen,
            });
        }
        match plan.seal(sealer, &mut table, built.batch, stored) {
            Ok(sealed) => {
                return Ok(Prepared {
                    plan,
                    table_changed: adds_fields || !sealed.newly_ruled.is_empty(),
                    table,
                    sealed: sealed.batch,
                    newly_ruled: sealed.newly_ruled,
                    secrets_seen: sealed.secrets_seen,
                });
            }
            // Each round refuses at least one more action, so this ends.
            Err(NotSealed::Rows(rows)) => refused.extend(rows),
            Err(NotSealed::All(error)) => return Err(error),
        }
    }
}

impl Plan {
    fn add(
        &mut self,
        builder: &mut BatchBuilder,
        place: usize,
        action: &Action<'_>,
        stored: Option<&StoredRow>,
    ) -> Result<(), ItemError> {
        let id = action.id.as_deref();
        if stored.is_none() && names_a_row_to_be(action) {
            let reason = "ids that begin with _seq-00 are given by the store; leave the _id out";
            return Err(ItemError::illegal(reason));
        }
        let mut expect = match action.if_seq_no {
            Some(seq) => Expect::Seq(Seq(seq)),
            None => Expect::Any,
        };
        match action.kind {
            ActionKind::Index => {
                builder.put(id, action.source)?;
            }
            ActionKind::Create => {
                builder.put(id, action.source)?;
                if id.is_some() {
                    expect = Expect::Absent;
                }
            }
            ActionKind::Delete => {
                builder.delete(id.unwrap_or_default());
            }
            ActionKind::Update => {
                let id = id.unwrap_or_default();
                let body = UpdateBody::parse(action.source)?;
                let seq = self.add_update(builder, place, id, &body, stored)?;
                if expect == Expect::Any {
                    expect = seq.map_or(Expect::Absent, Expect::Seq);
                }
            }
        }
        self.places.push(place);
        self.expects.push(expect);
        Ok(())
    }

    /// Returns the number of the row that is changed; `None` if there is none.
    fn add_update(
        &mut self,
        builder: &mut BatchBuilder,
        place: usize,
        id: &str,
        body: &UpdateBody<'_>,
        stored: Option<&StoredRow>,
    ) -> Result<Option<Seq>, ItemError> {
        let doc = body.doc.map_or("{}", |doc| doc.get()).as_bytes();
        let Some(stored) = stored else {
            let whole = match body.upsert {
                Some(upsert) => upsert.get().as_bytes(),
                None if body.doc_as_upsert => doc,
                None => {
                    let reason = "document missing; to make it, send upsert or doc_as_upsert";
                    return Err(ItemError::new(404, "document_missing_exception", reason));
                }
            };
            builder.put(Some(id), whole)?;
            return Ok(None);
        };
        let (row, shape) = builder.patch(id, doc)?;
        let detect_noop = body.detect_noop.unwrap_or(true);
        self.patches.push(Patch { row: row as usize, place, shape, detect_noop });
        Ok(Some(stored.seq))
    }

    fn seal(
        &mut self,
        sealer: &Sealer,
        table: &mut Table,
        batch: Batch,
        stored: &HashMap<usize, StoredRow>,
    ) -> Result<Sealed, NotSealed> {
        let outcome = sealer.seal(table, batch).map_err(|error| self.not_sealed(error, None))?;
        let mut sealed = Sealed {
            batch: Some(outcome.batch),
            newly_ruled: outcome.newly_ruled,
            secrets_seen: outcome.secrets_seen,
        };
        if self.patches.is_empty() {
            return Ok(sealed);
        }
        let patched = sealed.batch.take().expect("it was just put there");
        let mut started_from = Vec::with_capacity(self.patches.len());
        for patch in &self.patches {
            // Under the rulings of now, which can be stricter than those it was stored under.
            let row = stored[&patch.place].batch.clone();
            let row =
                sealer.seal(table, row).map_err(|error| self.not_sealed(error, Some(patch)))?;
            sealed.newly_ruled.extend(row.newly_ruled);
            started_from.push(row.batch);
        }
        let merged = self.merge(&table.schema, patched.batch(), &started_from, stored)?;
        if merged.rows.is_empty() {
            return Ok(sealed);
        }
        // All of it is sealed already; what is sealed stays as it is.
        let again = sealer.seal(table, merged).map_err(|error| self.not_sealed(error, None))?;
        sealed.newly_ruled.extend(again.newly_ruled);
        sealed.batch = Some(again.batch);
        Ok(sealed)
    }

    /// Puts the patched rows over those they started from, and takes out those that change nothing.
    fn merge(
        &mut self,
        schema: &Schema,
        patched: &Batch,
        started_from: &[SealedBatch],
        stored: &HashMap<usize, StoredRow>,
    ) -> Result<Batch, NotSealed> {
        let mut shapes = patched.shapes.clone();
        let mut cells: Vec<Option<Cells<'_>>> =
            cells_by_row(patched).into_iter().map(Some).collect();
        let mut rows: Vec<Row> = patched.rows.clone();
        for (patch, before) in std::mem::take(&mut self.patches).iter().zip(started_from) {
            let before = before.batch();
            let before_cells = cells_by_row(before).swap_remove(0);
            let before_shape = stored_shape(schema, before, &before_cells);
            let mut shape = before_shape.clone();
            let mut replaced = Vec::new();
            shape::merge(&mut shape, &patch.shape, &mut replaced);
            let mut after = before_cells.clone();
            after.retain(|&field, _| {
                let name = schema.field(field).name.as_str();
                !replaced.iter().any(|path| name == path || is_below(name, path))
            });
            after.extend(cells[patch.row].take().unwrap_or_default());
            if patch.detect_noop && after == before_cells && shape == before_shape {
                let StoredRow { seq, version, .. } = stored[&patch.place];
                self.settled.push((patch.place, Settled::Noop { seq, version }));
                continue;
            }
            cells[patch.row] = Some(after);
            if !shape::is_plain(&shape) {
                rows[patch.row].shape = Some(shapes.len() as u32);
                shapes.push(shape.to_string());
            }
        }
        let mut kept = Vec::with_capacity(rows.len());
        let (places, expects) =
            (std::mem::take(&mut self.places), std::mem::take(&mut self.expects));
        for (number, (row, cells)) in rows.into_iter().zip(cells).enumerate() {
            if let Some(cells) = cells {
                self.places.push(places[number]);
                self.expects.push(expects[number]);
                kept.push(NewRow { row, cells });
            }
        }
        batch_of(&kept, shapes).ok_or_else(|| NotSealed::All(defect()))
    }

    fn not_sealed(&self, error: SealError, patch: Option<&Patch>) -> NotSealed {
        let SealError::Refused(rows) = error else { return NotSealed::All(defect()) };
        let place_of =
            |row: u32| patch.map_or_else(|| self.places[row as usize], |patch| patch.place);
        let refuse = |row: &protection::RefusedField| {
            (place_of(row.row), ItemError::illegal(row.reason.to_string()))
        };
        NotSealed::Rows(rows.iter().map(refuse).collect())
    }
}

/// Whether an action puts a document under an id that the store gives to rows by their number:
/// good for a row that is there, but one that is not may come with the next write.
pub(super) fn names_a_row_to_be(action: &Action<'_>) -> bool {
    let generated = action.id.as_deref().is_some_and(|id| GeneratedId::parse(id).is_some());
    generated && action.kind != ActionKind::Delete
}

/// The shape of a stored row, also where it is the plain one.
pub(super) fn stored_shape(schema: &Schema, batch: &Batch, cells: &Cells<'_>) -> Value {
    let written = batch.rows[0].shape.and_then(|shape| batch.shapes.get(shape as usize));
    if let Some(shape) = written.and_then(|shape| serde_json::from_str(shape).ok()) {
        return shape;
    }
    let written = cells.iter().map(|(&id, cells)| (schema.field(id), cells.len()));
    let written = written.filter(|(field, _)| field.companion_of.is_none());
    let paths = written.map(|(field, cells)| (field.name.as_str(), cells));
    shape::plain(paths)
}

fn defect() -> ItemError {
    let reason = "the document does not fit its table; this is a defect, please report it";
    ItemError::new(500, "illegal_state_exception", reason)
}

impl From<crate::document::DocumentError> for ItemError {
    fn from(error: crate::document::DocumentError) -> ItemError {
        ItemError::new(400, error.kind, error.reason)
    }
}
