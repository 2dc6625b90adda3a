//! The actions of one request on one table.

use super::plan::{Prepared, Settled, StoredRow, names_a_row_to_be, prepare};
use crate::bulk::{Action, ActionKind, BulkItem, ItemError, UpdateBody, WriteResult};
use crate::document::parse_date;
use crate::error::chain;
use crate::mapping::TableSpec;
use crate::{Engine, EngineError};
use model::{FieldId, GeneratedId, TableId, TableName, TableNameError};
use protection::audit::{Event, EventKind, FieldTouched};
use protection::caller::Caller;
use protection::grant::Action as Right;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use storage::{Expect, Outcome, RowOutcome, StoreError};

/// An update that lost a race is tried again at least so often.
const RETRIES_MIN: u32 = 3;

/// The actions of one request on one table, and where their answers go.
pub(super) struct Group<'a> {
    engine: &'a Engine,
    caller: &'a Caller,
    index: Arc<str>,
    name: Result<TableName, TableNameError>,
    /// Why it is not known which table an alias means.
    no_write_table: Option<ItemError>,
    actions: &'a [Action<'a>],
    items: &'a mut [Option<BulkItem>],
}

impl<'a> Group<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        caller: &'a Caller,
        index: &str,
        actions: &'a [Action<'a>],
        items: &'a mut [Option<BulkItem>],
    ) -> Group<'a> {
        let behind = engine.write_table_behind(caller, index);
        let (behind, no_write_table) = match behind {
            Ok(behind) => (behind, None),
            Err(error) => (None, Some(error.into())),
        };
        let index = behind.as_ref().map_or(index, |table| table.name.as_str());
        let name = TableName::parse(index);
        Group { engine, caller, index: index.into(), name, no_write_table, actions, items }
    }

    /// Writes the actions at `places`; each has its item afterwards.
    pub(super) fn write(mut self, places: &[usize]) {
        let mut todo = Vec::with_capacity(places.len());
        for &place in places {
            match &self.actions[place].refused {
                Some(error) => self.refuse(place, error.clone()),
                None => todo.push(place),
            }
        }
        let name = match self.admit(&todo) {
            Ok(name) => name,
            Err(error) => return self.refuse_all(&todo, &error),
        };
        for run in runs(self.actions, &todo, |id| self.engine.sealer.row_id(&name, id)) {
            self.write_run(&name, run, 0);
        }
    }

    /// Checks the name and the right to write, makes the table if it has to, and records the write.
    fn admit(&self, todo: &[usize]) -> Result<TableName, ItemError> {
        let name = self.name.clone().map_err(|error| {
            let reason = format!("Invalid index name [{}], {error}", self.index.escape_debug());
            ItemError::new(400, "invalid_index_name_exception", reason)
        })?;
        if todo.is_empty() {
            return Ok(name);
        }
        if let Some(error) = &self.no_write_table {
            return Err(error.clone());
        }
        self.engine.may(self.caller, Right::Write, Some(&name))?;
        if self.engine.store.table(name.as_str()).is_none() {
            self.create_table(&name, todo)?;
        }
        let mut event = Event::by(EventKind::Write, self.caller);
        event.policy = self.engine.policies.version();
        event.action = Some(Right::Write);
        event.tables = vec![name.as_str().to_owned()];
        event.shape = describe(self.actions, todo);
        event.rows = Some(todo.len() as u64);
        event.bytes = Some(todo.iter().map(|&place| self.actions[place].source.len() as u64).sum());
        event.outcome = "allowed".to_owned();
        self.engine.record_change(&event)?;
        Ok(name)
    }

    fn create_table(&self, name: &TableName, todo: &[usize]) -> Result<(), ItemError> {
        if !todo.iter().any(|&place| makes_table(&self.actions[place])) {
            return Err(no_table(name));
        }
        self.engine.may(self.caller, Right::CreateTable, Some(name))?;
        if self.engine.has_alias(name.as_str()) {
            return Err(no_table(name));
        }
        let has_timestamp = todo.iter().any(|&place| has_timestamp(self.actions[place].source));
        let spec = TableSpec::for_first_write(has_timestamp);
        match self.engine.make_table(self.caller, name, spec) {
            // Another request was faster, which is as good.
            Ok(_) | Err(StoreError::TableExists) => Ok(()),
            Err(error) => Err(EngineError::from(error).into()),
        }
    }

    /// Writes actions of which no update follows another action on its `_id`.
    fn write_run(&mut self, name: &TableName, todo: &[usize], tries: u32) {
        // What is carried over from stored rows is of this epoch.
        let epoch = self.engine.pseudonyms.epoch();
        let prepared = self.prepare_with_table(name, todo);
        let prepared = prepared.and_then(|prepared| {
            self.record_findings(&prepared)?;
            Ok(prepared)
        });
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.refuse_all(todo, &error),
        };
        let Prepared { plan, table, sealed, .. } = prepared;
        for (place, settled) in plan.settled {
            match settled {
                Settled::Refused(error) => self.refuse(place, error),
                Settled::Noop { seq, version } => {
                    let id = self.row_id(place);
                    self.answer(place, id, WriteResult::Noop, version, seq.0);
                }
            }
        }
        let Some(sealed) = sealed else { return };
        if sealed.epoch() != epoch {
            return self.write_run(name, &plan.places, tries);
        }
        let ids: Vec<Option<String>> =
            sealed.batch().rows.iter().map(|row| row.id.as_deref().map(str::to_owned)).collect();
        if let Err(error) = self.engine.policies.end_founding() {
            tracing::error!(cause = chain(&error), "the end of founding is not written down");
            let error = EngineError::unavailable("the catalog cannot be written");
            return self.refuse_all(&plan.places, &error.into());
        }
        let outcomes = match self.engine.store.append(table.id, sealed, &plan.expects) {
            Ok(outcomes) => outcomes,
            // A ruling or an epoch came between: what was sealed before it is sealed again. Both are
            // made by people, so this ends.
            Err(StoreError::Reruled | StoreError::EpochEnded) => {
                return self.write_run(name, &plan.places, tries);
            }
            Err(error) => return self.refuse_all(&plan.places, &EngineError::from(error).into()),
        };
        let mut again = Vec::new();
        for (((place, expect), id), row) in
            plan.places.into_iter().zip(plan.expects).zip(ids).zip(outcomes)
        {
            let id = id.unwrap_or_else(|| GeneratedId(row.seq).to_string());
            let action = &self.actions[place];
            let result = match row.outcome {
                Outcome::Created => WriteResult::Created,
                Outcome::Updated => WriteResult::Updated,
                Outcome::Deleted => WriteResult::Deleted,
                Outcome::NotFound => WriteResult::NotFound,
                Outcome::Conflict if is_race(action) && tries < retries(action) => {
                    again.push(place);
                    continue;
                }
                Outcome::Conflict => {
                    self.refuse(place, conflict(&id, expect, &row));
                    continue;
                }
            };
            self.answer(place, Some(id), result, row.version, row.seq.0);
        }
        if !again.is_empty() {
            self.write_run(name, &again, tries + 1);
        }
    }

    /// Plans a run, and puts what it changes about the table into the catalog.
    fn prepare_with_table(&self, name: &TableName, todo: &[usize]) -> Result<Prepared, ItemError> {
        let engine = self.engine;
        let table = || engine.store.table(name.as_str()).ok_or_else(|| no_table(name));
        let lock = engine.schema_lock(table()?.id);
        let mut locked = None;
        loop {
            // The table is read after the rows, so that it knows all of their fields; the rows lie
            // as the rulings of before say, so a ruling between makes them be read again.
            let before = table()?;
            let stored = self.stored_rows(before.id, todo)?;
            let base = table()?;
            if base.id != before.id || base.schema.rules() != before.schema.rules() {
                continue;
            }
            let prepared = prepare(&engine.sealer, &base, self.actions, todo, &stored)?;
            if !prepared.table_changed {
                return Ok(prepared);
            }
            if locked.is_none() {
                locked = Some(lock.lock());
                if !Arc::ptr_eq(&table()?, &base) {
                    // Somebody else changed the table meanwhile: plan again on theirs.
                    continue;
                }
            }
            engine.store.put_table(prepared.table.clone()).map_err(EngineError::from)?;
            return Ok(prepared);
        }
    }

    /// The rows that a run starts from, by the places of its actions.
    fn stored_rows(
        &self,
        table: TableId,
        todo: &[usize],
    ) -> Result<HashMap<usize, StoredRow>, ItemError> {
        let needs_row = |place: &usize| {
            let action = &self.actions[*place];
            action.kind == ActionKind::Update || names_a_row_to_be(action)
        };
        let places: Vec<usize> = todo.iter().copied().filter(needs_row).collect();
        if places.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<String> =
            places.iter().map(|&place| self.row_id(place).unwrap_or_default()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let rows = self.engine.store.stored_rows(table, &ids).map_err(EngineError::from)?;
        let rows = places.into_iter().zip(rows);
        Ok(rows
            .filter_map(|(place, row)| {
                row.map(|(batch, seq, version)| (place, StoredRow { batch, seq, version }))
            })
            .collect())
    }

    /// Records who got which class now, and which fields brought credentials.
    fn record_findings(&self, prepared: &Prepared) -> Result<(), ItemError> {
        let table = prepared.table.name.as_str();
        let touched = |id: FieldId| {
            let field = prepared.table.schema.field(id);
            FieldTouched {
                table: table.to_owned(),
                field: field.name.as_str().to_owned(),
                class: field.class,
                how: None,
            }
        };
        if !prepared.newly_ruled.is_empty() {
            let mut event = Event::by(EventKind::Ruling, self.caller);
            event.tables = vec![table.to_owned()];
            event.fields = prepared.newly_ruled.iter().map(|&id| touched(id)).collect();
            event.outcome = "ruled by the classifier".to_owned();
            self.engine.record_change(&event)?;
        }
        if !prepared.secrets_seen.is_empty() {
            let seen = &prepared.secrets_seen;
            let kinds: Vec<String> =
                seen.iter().map(|(_, kind, count)| format!("{kind} {count}")).collect();
            let mut event = Event::by(EventKind::SecretsSeen, self.caller);
            event.tables = vec![table.to_owned()];
            event.fields = seen.iter().map(|(id, ..)| touched(*id)).collect();
            event.rows = Some(seen.iter().map(|(.., count)| count).sum());
            event.subject = kinds.join(", ");
            event.outcome = "not stored".to_owned();
            self.engine.record_change(&event)?;
        }
        Ok(())
    }

    /// Under which `_id` an action finds its row; `None` where there is none, or no table.
    fn row_id(&self, place: usize) -> Option<String> {
        let name = self.name.as_ref().ok()?;
        self.actions[place].id.as_deref().map(|id| self.engine.sealer.row_id(name, id))
    }

    fn answer(
        &mut self,
        place: usize,
        id: Option<String>,
        result: WriteResult,
        version: u64,
        seq_no: u64,
    ) {
        self.items[place] = Some(BulkItem {
            action: self.actions[place].kind,
            index: Arc::clone(&self.index),
            id,
            version: Some(version),
            result: Some(result),
            seq_no: Some(seq_no),
            status: result.status(),
            error: None,
        });
    }

    fn refuse(&mut self, place: usize, error: ItemError) {
        let id = self.row_id(place);
        let kind = self.actions[place].kind;
        self.items[place] = Some(BulkItem::refused(kind, Arc::clone(&self.index), id, error));
    }

    fn refuse_all(&mut self, places: &[usize], error: &ItemError) {
        for &place in places {
            self.refuse(place, error.clone());
        }
    }
}

/// Cuts `todo` so that no update follows another action on the same row within its piece: an
/// update starts from what is stored.
fn runs<'t>(
    actions: &[Action<'_>],
    todo: &'t [usize],
    row_id: impl Fn(&str) -> String,
) -> Vec<&'t [usize]> {
    if !todo.iter().any(|&place| actions[place].kind == ActionKind::Update) {
        return vec![todo];
    }
    let mut runs = Vec::new();
    let mut start = 0;
    let mut seen = HashSet::new();
    for (number, &place) in todo.iter().enumerate() {
        let Some(id) = actions[place].id.as_deref().map(&row_id) else { continue };
        if actions[place].kind == ActionKind::Update && seen.contains(&id) {
            runs.push(&todo[start..number]);
            start = number;
            seen.clear();
        }
        seen.insert(id);
    }
    runs.push(&todo[start..]);
    runs
}

/// Whether an action makes the table it writes to.
fn makes_table(action: &Action<'_>) -> bool {
    match action.kind {
        ActionKind::Index | ActionKind::Create => true,
        ActionKind::Update => UpdateBody::parse(action.source)
            .is_ok_and(|body| body.upsert.is_some() || body.doc_as_upsert),
        ActionKind::Delete => false,
    }
}

/// Whether a document has a date at `@timestamp`.
fn has_timestamp(source: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Timed {
        #[serde(rename = "@timestamp")]
        timestamp: Option<serde_json::Value>,
    }
    let timestamp = serde_json::from_slice(source).ok().and_then(|timed: Timed| timed.timestamp);
    timestamp.is_some_and(|timestamp| {
        timestamp.is_i64() || timestamp.as_str().is_some_and(|text| parse_date(text).is_some())
    })
}

/// Whether a conflict is only a lost race: the writer itself expected nothing.
fn is_race(action: &Action<'_>) -> bool {
    action.kind == ActionKind::Update && action.if_seq_no.is_none()
}

fn retries(action: &Action<'_>) -> u32 {
    action.retry_on_conflict.clamp(RETRIES_MIN, 100)
}

fn conflict(id: &str, expect: Expect, row: &RowOutcome) -> ItemError {
    let reason = match expect {
        Expect::Seq(seq) => format!(
            "[{id}]: version conflict, required seqNo [{}], but the document was written since or \
             is gone",
            seq.0
        ),
        _ => format!(
            "[{id}]: version conflict, document already exists (current version [{}])",
            row.version
        ),
    };
    ItemError::new(409, "version_conflict_engine_exception", reason)
}

fn no_table(name: &TableName) -> ItemError {
    ItemError::new(404, "index_not_found_exception", format!("no such index [{name}]"))
}

/// How many of which action, for the record.
fn describe(actions: &[Action<'_>], todo: &[usize]) -> String {
    let kinds = [ActionKind::Index, ActionKind::Create, ActionKind::Update, ActionKind::Delete];
    let counts = kinds.into_iter().filter_map(|kind| {
        let count = todo.iter().filter(|&&place| actions[place].kind == kind).count();
        (count > 0).then(|| format!("{kind} {count}"))
    });
    counts.collect::<Vec<_>>().join(", ")
}
