//! Forgetting a person: rows are found and deleted at once, taken out of every file within a
//! deadline, and a signed receipt says so.
//!
//! What has to be done is a record of the catalog before anything is: the numbers of the rows,
//! never who they were about. A restart goes on from there.

mod request;
mod steward;

pub use request::EraseRequest;
pub(crate) use steward::{RunningSteward, Steward};

use crate::Engine;
use crate::error::{EngineError, chain};
use model::{Class, Field, FieldId, FieldType, Table, Value};
use protection::audit::{Event, EventKind};
use protection::caller::Caller;
use protection::grant::Action;
use protection::{SealError, Sealer, Subject};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use steward::{Erasure, Missing, TableErasure};
use storage::{Filter, FoundRows, Trace};

/// Rows that one batch of deletions takes.
const DELETIONS_AT_ONCE: usize = 10_000;

/// A person, looked for in one table.
struct Wanted<'a> {
    sealer: &'a Sealer,
    subject: &'a Subject,
    /// Only this field.
    field: Option<&'a str>,
    /// The `_id` that the person has in the table, if its ids are persons.
    id: String,
}

impl Wanted<'_> {
    fn looks_at(&self, field: &Field) -> bool {
        self.field.is_none_or(|only| field.name.as_str() == only)
    }

    fn pseudonyms(&self) -> Vec<Value> {
        self.subject.pseudonyms().map(|text| Value::Str(text.to_owned())).collect()
    }

    /// Rows whose text has any pseudonym of the person among its words.
    fn in_words(&self, name: &str) -> Vec<Filter> {
        let phrase = |pseudonym: &str| Filter::Phrase {
            field: name.to_owned(),
            terms: storage::analyze(pseudonym),
            slop: 0,
            last_is_prefix: false,
        };
        self.subject.pseudonyms().map(phrase).collect()
    }

    fn in_field(&self, field: &Field) -> Vec<Filter> {
        let name = field.name.as_str();
        let is_text = field.ty == FieldType::Text;
        match field.class {
            _ if field.withheld || !self.looks_at(field) => Vec::new(),
            Some(Class::Personal | Class::Open) | None if is_text => self.in_words(name),
            Some(Class::Personal) => vec![Filter::Terms(name.to_owned(), self.pseudonyms())],
            _ => Vec::new(),
        }
    }
}

impl Trace for Wanted<'_> {
    fn filter(&self, table: &Table) -> Filter {
        let fields = table.schema.fields().iter();
        Filter::any(fields.flat_map(|field| self.in_field(field)).collect())
    }

    fn searches(&self, field: &Field) -> bool {
        let is_string =
            matches!(field.ty, FieldType::Keyword | FieldType::Ip | FieldType::GeoPoint);
        let is_open = !field.withheld && matches!(field.class, Some(Class::Open) | None);
        is_string && is_open && self.looks_at(field)
    }

    fn is_in(&self, text: &str) -> bool {
        self.subject.is_in(text)
    }

    fn is_in_id(&self, id: &str) -> bool {
        self.field.is_none() && (id == self.id || self.subject.is_in(id))
    }

    fn are_in(&self, table: &Table, sealed: &model::Column) -> Result<Vec<bool>, SealError> {
        if !self.looks_at(table.schema.field(sealed.field)) {
            return Ok(vec![false; sealed.values.len()]);
        }
        self.sealer.speak_of(table, sealed, self.subject)
    }
}

impl Engine {
    /// Forgets a person: finds the rows that bear a pseudonym of the person in any field, `_id` or
    /// text, or speak of the person under a seal, and deletes them. No read sees them when this
    /// returns; the files follow within the deadline, or before this returns if `now` says so.
    ///
    /// # Errors
    /// If the caller may not rule, a table is not there, or nothing can be recorded or written. An
    /// erasure that has begun goes on by itself.
    pub fn erase(&self, caller: &Caller, request: &EraseRequest) -> Result<Json, EngineError> {
        self.may(caller, Action::Rule, None)?;
        request.check(&self.sealer)?;
        // What is found by a pseudonym is deleted by an `_id` that may be one.
        let _epoch = self.store.hold_epoch();
        let tables = match request.tables.as_slice() {
            [] => self.store.tables(),
            named => named
                .iter()
                .map(|name| self.table_for(caller, name))
                .collect::<Result<Vec<_>, _>>()?,
        };
        for table in &tables {
            self.may(caller, Action::Rule, Some(&table.name))?;
        }
        let kinds: Vec<String> = tables
            .iter()
            .flat_map(|table| table.schema.fields())
            .flat_map(|field| field.rulings.iter().map(|ruling| ruling.kind.clone()))
            .chain(tables.iter().flat_map(|t| t.schema.fields()).map(|field| field.kind.clone()))
            .collect();
        let mut subject = self.sealer.subject(&request.person, kinds.iter().map(String::as_str));
        let mut found = self.find_person(&tables, request, &subject)?;
        if !request.also.is_empty() {
            for (table, rows) in &found {
                self.add_linked(table, rows, &request.also, &mut subject)?;
            }
            found = self.find_person(&tables, request, &subject)?;
        }
        let rows: u64 = found.iter().map(|(_, rows)| rows.ids.len() as u64).sum();
        if request.dry_run {
            let tables: Vec<Json> = found
                .iter()
                .map(
                    |(table, rows)| json!({ "table": table.name.as_str(), "rows": rows.ids.len() }),
                )
                .collect();
            return Ok(json!({ "dry_run": true, "rows": rows, "tables": tables }));
        }

        let event = self.audit.append_durable(&Event {
            policy: self.policies.version(),
            action: Some(Action::Rule),
            tables: found.iter().map(|(table, _)| table.name.as_str().to_owned()).collect(),
            rows: Some(rows),
            purpose: request.reference.clone(),
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::ErasureBegun, caller)
        });
        let event = event.map_err(|error| {
            tracing::error!(cause = chain(&error), "audit record not written");
            EngineError::unavailable("the audit record cannot be written, so nothing is erased")
        })?;
        let now = self.clock.now();
        let erasure = Erasure {
            by: caller.name().to_owned(),
            reference: request.reference.clone(),
            subject: self.steward.subject_tag(&request.person),
            everywhere: request.tables.is_empty() && request.field.is_none(),
            requested_at: now.0,
            deadline: now.0.saturating_add(request.deadline_ms),
            begun_record: event.0,
            tables: found
                .iter()
                .filter(|(_, rows)| !rows.seqs.is_empty())
                .map(|(table, rows)| TableErasure::new(table, rows))
                .collect(),
            ..Erasure::default()
        };
        let id = self.steward.begin(&erasure)?;
        for (table, rows) in &found {
            self.delete_found(table, &rows.ids)?;
            self.store.strike(table.id, &rows.seqs)?;
        }
        self.cursors.rows_were_erased();
        tracing::info!(erasure = id, rows, "rows of a person deleted");
        if request.now {
            self.steward.finish(&id, Missing::IsNamed)?;
        }
        let mut shown = self.steward.show(&id)?;
        if request.verify {
            let texts: Vec<&str> =
                subject.pseudonyms().chain(std::iter::once(subject.value())).collect();
            shown["files_with_traces"] = json!(self.store.files_with(&texts)?);
        }
        Ok(shown)
    }

    /// All erasures, newest first, done or not.
    ///
    /// # Errors
    /// If the caller may not rule, or the catalog cannot be read.
    pub fn erasures(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may(caller, Action::Rule, None)?;
        self.steward.list()
    }

    /// One erasure with its receipt.
    ///
    /// # Errors
    /// If the caller may not rule, or there is none with this id.
    pub fn erasure(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        self.may(caller, Action::Rule, None)?;
        self.steward.show(id)
    }

    fn find_person(
        &self,
        tables: &[Arc<Table>],
        request: &EraseRequest,
        subject: &Subject,
    ) -> Result<Vec<(Arc<Table>, FoundRows)>, EngineError> {
        let mut found = Vec::with_capacity(tables.len());
        for table in tables {
            let wanted = Wanted {
                sealer: &self.sealer,
                subject,
                field: request.field.as_deref(),
                id: self.sealer.row_id(&table.name, &request.person),
            };
            found.push((Arc::clone(table), self.store.rows_with(table.id, &wanted)?));
        }
        Ok(found)
    }

    /// The pseudonyms that the found rows have in some other personal fields stand for the same
    /// person.
    fn add_linked(
        &self,
        table: &Table,
        rows: &FoundRows,
        fields: &[String],
        subject: &mut Subject,
    ) -> Result<(), EngineError> {
        let linked: Vec<FieldId> = fields
            .iter()
            .filter_map(|name| table.schema.find(name))
            .filter(|(_, field)| field.class == Some(Class::Personal) && !field.withheld)
            .map(|(id, _)| id)
            .collect();
        if linked.is_empty() {
            return Ok(());
        }
        for ids in rows.ids.chunks(DELETIONS_AT_ONCE) {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            for (batch, ..) in self.store.stored_rows(table.id, &ids)?.into_iter().flatten() {
                for &field in &linked {
                    let pseudonyms = Sealer::pseudonyms_in(&batch, field);
                    pseudonyms.iter().for_each(|pseudonym| subject.add(pseudonym));
                }
            }
        }
        Ok(())
    }

    fn delete_found(&self, table: &Table, ids: &[String]) -> Result<(), EngineError> {
        steward::delete_rows(&self.store, &self.sealer, table.id, ids)
    }
}

#[cfg(test)]
mod tests;
