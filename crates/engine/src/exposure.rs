//! Who could read fields of a class, and who did.

use crate::Engine;
use crate::error::{EngineError, chain};
use crate::read::Wanted;
use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;
use model::{Class, Field, FieldType, Table, TableId, Timestamp, Value};
use protection::audit::{Event, EventKind, FieldTouched};
use protection::caller::Caller;
use protection::exposure::{
    CouldRead, ExposureQuestion, FieldPast, Reached, Reader, Readings, could_read, fields_of,
};
use protection::grant::Action;
use protection::{FieldUse, Use, subject_column};
use query::{Ask, Limits, OutColumn, Question};
use roaring::RoaringTreemap;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::Filter;

/// What is asked: who could read, and who did.
#[derive(Clone, Debug)]
pub struct WhoRead {
    /// Fields of which table.
    pub table: String,
    /// And of which class.
    pub class: Class,
    /// Only of this person: an address, an id, or a pseudonym.
    pub person: Option<String>,
    /// From when on; `None`: from the start.
    pub from: Option<Timestamp>,
    /// Until when, not included; `None`: now.
    pub to: Option<Timestamp>,
}

/// Of so many records each reader's are listed; the number of reads is always whole.
const RECORDS_SHOWN_MAX: usize = 1000;
/// The scan for the people behind rows may take longer than a question of every day.
const SCAN_TIME: Duration = Duration::from_secs(300);

impl Engine {
    /// Who could read fields of a class of a table, and who did. Asking is itself recorded.
    ///
    /// # Errors
    /// If the caller may not audit, there is no such table, or something cannot be read.
    pub fn exposure(&self, caller: &Caller, asked: &WhoRead) -> Result<Json, EngineError> {
        let start = Instant::now();
        if !self.may_at_all(caller, Action::Audit) {
            return Err(EngineError::forbidden("only a guardian may ask who was exposed"));
        }
        let table = self.table_for(caller, &asked.table)?;
        let now = self.clock.now();
        let question = ExposureQuestion {
            table: table.name.clone(),
            fields: fields_of(table.schema.fields().iter().map(past_of).collect(), asked.class),
            from: asked.from.unwrap_or(Timestamp(0)),
            // A read of this moment is before the end.
            to: asked.to.unwrap_or(Timestamp(now.0.saturating_add(1))),
        };
        if question.from >= question.to {
            return Err(EngineError::illegal_argument("[from] has to be before [to]"));
        }
        self.record(&Event {
            policy: self.policies.version(),
            action: Some(Action::Audit),
            tables: vec![asked.table.clone()],
            fields: question
                .fields
                .iter()
                .map(|field| touched(&table, asked.class, field))
                .collect(),
            shape: format!("{} – {}", question.from, question.to),
            subject: self.person_in_record(asked),
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::ExposureAsked, caller)
        })?;
        let could = could_read(&self.policies.history(), &question);
        let person = asked.person.as_deref();
        let rows_of = |person| self.in_one_epoch(|| self.rows_of(caller, &table, person));
        let rows = person.map(rows_of).transpose()?;
        let person_rows = rows.as_ref().map(RoaringTreemap::len);
        let mut readings = Readings::new(question.clone(), rows);
        self.audit.walk(question.from, &mut |record| readings.see(record)).map_err(|error| {
            tracing::error!(cause = chain(&error), "audit record not readable");
            EngineError::internal(chain(&error))
        })?;
        let did = readings.finished();
        let (people, gone) = self.people_behind(caller, &table, &did.rows)?;
        Ok(json!({
            "table": asked.table,
            "class": asked.class.as_str(),
            "fields": question.fields.iter().map(|field| &field.name).collect::<Vec<_>>(),
            "from": question.from.to_rfc3339(),
            "to": question.to.to_rfc3339(),
            "rows_of_person": person_rows,
            "could_read": could.iter().map(could_json).collect::<Vec<_>>(),
            "did_read": did.readers.iter().map(|(who, reader)| did_json(who, reader)).collect::<Vec<_>>(),
            "rows_read": did.rows.len(),
            "rows_no_longer_stored": gone,
            "people_read": people,
            "took_ms": start.elapsed().as_millis() as u64,
        }))
    }

    /// The person asked about as the record may hold it: the keyed tag that receipts of erasures
    /// bear. No pseudonym, because records outlive the epochs of those.
    fn person_in_record(&self, asked: &WhoRead) -> String {
        let person = asked.person.as_deref();
        person.map(|person| self.steward.subject_tag(person)).unwrap_or_default()
    }

    /// The rows of a table that name a person, in a field of their own or inside text.
    fn rows_of(
        &self,
        caller: &Caller,
        table: &Arc<Table>,
        person: &str,
    ) -> Result<RoaringTreemap, EngineError> {
        let fields: Vec<&Field> =
            table.schema.fields().iter().filter(|field| names_people(field)).collect();
        let mut of = Vec::new();
        for field in &fields {
            let name = field.name.as_str().to_owned();
            let literal = match field.ty {
                FieldType::Text if field.class != Some(Class::Personal) => {
                    self.pseudonyms.query_text(person)
                }
                _ => self.pseudonyms.literal(field, person),
            };
            of.push(Filter::Term(name, Value::Str(literal)));
        }
        let uses = fields.iter().map(|field| use_of(table.id, field, Use::Filter)).collect();
        let filter = Filter::Or { of, at_least: 1 };
        let found = self.scan(caller, table, "rows of one person", uses, filter, None)?;
        Ok(found.into_iter().map(|(seq, _)| seq).collect())
    }

    /// How many people are behind rows, and how many of the rows are not stored any more; `None`
    /// for people where no field names anybody.
    fn people_behind(
        &self,
        caller: &Caller,
        table: &Arc<Table>,
        rows: &RoaringTreemap,
    ) -> Result<(Option<u64>, u64), EngineError> {
        let Some(subject) = subject_column(table).filter(|_| !rows.is_empty()) else {
            return Ok(((rows.is_empty()).then_some(0), 0));
        };
        let uses = vec![(table.id, FieldUse { field: subject.clone(), how: Use::Measure })];
        let name = Some(subject.as_str());
        let found = self.scan(caller, table, "people behind rows", uses, Filter::All, name)?;
        let mut people = HashSet::new();
        let mut stored = 0;
        for (seq, person) in found {
            if rows.contains(seq) {
                stored += 1;
                people.extend(person);
            }
        }
        Ok((Some(people.len() as u64), rows.len() - stored))
    }

    /// Numbers of rows with one of their fields. Recorded as a computation: none goes out.
    fn scan(
        &self,
        caller: &Caller,
        table: &Arc<Table>,
        shape: &str,
        uses: Vec<(TableId, FieldUse)>,
        filter: Filter,
        field: Option<&str>,
    ) -> Result<Vec<(u64, Option<String>)>, EngineError> {
        let wanted = Wanted {
            action: Action::Aggregate,
            tables: std::slice::from_ref(table),
            shape: format!("exposure: {shape}"),
            uses,
        };
        let scope = self.scope(caller, wanted)?;
        let mut columns = vec![OutColumn::Seq];
        columns.extend(field.map(|field| OutColumn::Field(field.to_owned())));
        let question = Question { filter, ask: Ask::Rows { columns, limit: None } };
        let limits = Limits { rows: usize::MAX, ..Limits::standard() }.within(SCAN_TIME);
        let batch = query::run(&scope, &question, &limits)?;
        let seqs = batch.column(0).as_primitive::<UInt64Type>();
        let texts = field.and_then(|_| batch.column(1).as_string_opt::<i32>());
        let text = |row: usize| {
            texts.filter(|texts| !texts.is_null(row)).map(|texts| texts.value(row).to_owned())
        };
        Ok((0..batch.num_rows()).map(|row| (seqs.value(row), text(row))).collect())
    }
}

/// The classes that a field had.
fn past_of(field: &Field) -> FieldPast {
    let now = if field.withheld { None } else { Some(field.class.unwrap_or(Class::Open)) };
    let ruled = field.rulings.iter().map(|ruling| (ruling.at, ruling.class));
    let classes = match field.rulings.is_empty() {
        true => vec![(Timestamp(0), now)],
        false => ruled.collect(),
    };
    FieldPast { name: field.name.as_str().to_owned(), classes }
}

fn touched(table: &Table, class: Class, field: &FieldPast) -> FieldTouched {
    let (table, field) = (table.name.as_str().to_owned(), field.name.clone());
    FieldTouched { table, field, class: Some(class), how: None }
}

/// Whether values of the field can name a person: as a whole, or inside text.
fn names_people(field: &Field) -> bool {
    let is_text =
        field.ty == FieldType::Text && field.class.is_none_or(|class| class == Class::Open);
    !field.withheld && (field.class == Some(Class::Personal) || is_text)
}

fn use_of(table: TableId, field: &Field, how: Use) -> (TableId, FieldUse) {
    (table, FieldUse { field: field.name.as_str().to_owned(), how })
}

fn could_json(one: &CouldRead) -> Json {
    let time = |time: &Reached| {
        json!({
            "from": time.from.to_rfc3339(),
            "to": time.to.to_rfc3339(),
            "action": time.action.as_str(),
            "policy": time.policy,
        })
    };
    json!({ "who": one.who, "times": one.times.iter().map(time).collect::<Vec<_>>() })
}

fn did_json(who: &str, reader: &Reader) -> Json {
    let uses: Vec<&str> = reader.uses.iter().map(|how| how.as_str()).collect();
    let records: Vec<u64> = reader.records.iter().take(RECORDS_SHOWN_MAX).map(|id| id.0).collect();
    json!({
        "who": who,
        "reads": reader.reads,
        "computations": reader.computations,
        "unfinished": reader.unfinished,
        "rows": reader.rows.len(),
        "computed_below": reader.computed_below,
        "bytes": reader.bytes,
        "uses": uses,
        "credentials": reader.credentials,
        "first": reader.first.map(Timestamp::to_rfc3339),
        "last": reader.last.map(Timestamp::to_rfc3339),
        "records": records,
    })
}
