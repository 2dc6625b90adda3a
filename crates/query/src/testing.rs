//! A store with a table of every kind of field, for tests.

use crate::{Limits, Question, Scope, uses};
use model::{
    Batch, Class, Clock, Column, Field, FieldName, FieldType, Intake, ManualClock, Op, Row, Schema,
    SortOrder, Strings, Table, TableId, TableKind, TableName, Timestamp, Value, Values,
};
use protection::audit::AuditLog;
use protection::caller::{Caller, Credential, Directory, Role};
use protection::classify::Classifier;
use protection::grant::Action;
use protection::keys::{KeyRing, PassphraseCost};
use protection::{FieldUse, Guard, MemoryRecords, Pseudonyms, ReadIntent, Sealer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use storage::{Store, StoreSettings};

/// 2026-03-01T00:00:00Z.
pub(crate) const START_MS: i64 = 1_772_323_200_000;

/// A store, and the doors around it.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) pseudonyms: Arc<Pseudonyms>,
    sealer: Sealer,
    guard: Guard,
    caller: Caller,
    next: AtomicU32,
    _dir: tempfile::TempDir,
}

/// The fields of one document, each with its values.
pub(crate) type Document = Vec<(&'static str, Vec<Value>)>;

pub(crate) fn text(text: &str) -> Vec<Value> {
    vec![Value::Str(text.to_owned())]
}

pub(crate) fn long(number: i64) -> Vec<Value> {
    vec![Value::Long(number)]
}

impl House {
    pub(crate) fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(START_MS)));
        let ring = Arc::new(KeyRing::in_memory());
        let pseudonyms = Arc::new(Pseudonyms::new(&ring));
        let classifier = Arc::new(Classifier::standard());
        let sealer =
            Sealer::new(Arc::clone(&ring), Arc::clone(&pseudonyms), classifier, Arc::clone(&clock));
        let log = AuditLog::open(&dir.path().join("audit"), Arc::clone(&ring), Arc::clone(&clock));
        let records = Arc::new(MemoryRecords::default());
        let cost = PassphraseCost::TEST;
        let directory = Directory::open_with(records, &ring, Arc::clone(&clock), cost).unwrap();
        let policies = Arc::clone(directory.policies());
        let guard = Guard::new(Arc::new(log.unwrap()), policies, Arc::clone(&clock));
        let password = "a long enough password";
        directory.bootstrap(&[("ana", password, &[Role::Analyst])]).unwrap();
        let credential = Credential::Password { name: "ana", password, network: None };
        let caller = directory.authenticate(credential).unwrap();
        let mut settings =
            StoreSettings::new(dir.path(), Arc::new(storage::disk::RealDisk), ring, clock);
        settings.background = false;
        let store = Store::open(settings).unwrap();
        let next = AtomicU32::new(0);
        House { store, pseudonyms, sealer, guard, caller, next, _dir: dir }
    }

    /// A new table of events with a field of each kind, in the order of `at` if `sorted`.
    pub(crate) fn table(&self, sorted: bool) -> Arc<Table> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let field = |name: &str, ty, es_type: &str, class| {
            let mut field = Field::new(FieldName::parse(name).unwrap(), ty, es_type);
            field.class = Some(class);
            field
        };
        let mut message = field("message", FieldType::Text, "text", Class::Open);
        message.keyword_up_to = Some(256);
        let mut email = field("user.email", FieldType::Keyword, "keyword", Class::Personal);
        email.kind = "email".to_owned();
        let open = Class::Open;
        let fields = vec![
            field("at", FieldType::Date, "date", open),
            field("kind", FieldType::Keyword, "keyword", open),
            field("tags", FieldType::Keyword, "keyword", open),
            field("ms", FieldType::Long, "long", open),
            field("load", FieldType::Double, "double", open),
            field("ok", FieldType::Boolean, "boolean", open),
            message,
            email,
            field("pulse", FieldType::Long, "long", Class::Special),
            field("deviceId", FieldType::Keyword, "keyword", open),
        ];
        let sort = sorted.then(|| SortOrder { field: "at".to_owned(), descending: false });
        let table = Table {
            id: TableId(0),
            name: TableName::parse(&format!("events{number}")).unwrap(),
            kind: TableKind::Events,
            intake: Intake::Classified,
            time_field: Some("at".to_owned()),
            sort,
            retention_ms: None,
            dynamic: true,
            schema: Schema::from_fields(fields),
        };
        self.store.create_table(table).unwrap()
    }

    /// Writes documents as one batch.
    pub(crate) fn put(&self, table: &Arc<Table>, documents: &[Document]) {
        let rows = documents.iter().map(|_| Row { id: None, op: Op::Put, shape: None }).collect();
        let mut columns = Vec::new();
        for (number, field) in (0..).zip(table.schema.fields()) {
            let mut rows = Vec::new();
            let mut values = Vec::new();
            for (row, document) in (0..).zip(documents) {
                let here = document.iter().filter(|(name, _)| *name == field.name.as_str());
                for value in here.flat_map(|(_, values)| values) {
                    rows.push(row);
                    values.push(value.clone());
                }
            }
            if !rows.is_empty() {
                let field = model::FieldId(number);
                columns.push(Column { field, rows, values: typed(values) });
            }
        }
        let batch = Batch { rows, columns, shapes: Vec::new() };
        let mut table = (**table).clone();
        let sealed = self.sealer.seal(&mut table, batch).unwrap();
        if !sealed.newly_ruled.is_empty() {
            self.store.put_table(table.clone()).unwrap();
        }
        self.store.append(table.id, sealed.batch, &[]).unwrap();
    }

    /// Deletes a row.
    pub(crate) fn delete(&self, table: &Arc<Table>, id: &str) {
        let rows = vec![Row { id: Some(id.into()), op: Op::Delete, shape: None }];
        let batch = Batch { rows, ..Batch::default() };
        let sealed = self.sealer.seal(&mut (**table).clone(), batch).unwrap();
        self.store.append(table.id, sealed.batch, &[]).unwrap();
    }

    /// Leave to read everything that an analyst may.
    pub(crate) fn scope(&self, tables: &[Arc<Table>], fields: Vec<(TableId, FieldUse)>) -> Scope {
        self.scope_for(Action::Read, tables, fields)
    }

    pub(crate) fn scope_for(
        &self,
        action: Action,
        tables: &[Arc<Table>],
        fields: Vec<(TableId, FieldUse)>,
    ) -> Scope {
        let intent =
            ReadIntent { action, tables: tables.to_vec(), shape: "test".to_owned(), fields };
        let permit = self.guard.authorise(&self.caller, intent).unwrap();
        let ids: Vec<TableId> = tables.iter().map(|table| table.id).collect();
        let snapshot = self.store.snapshot(&ids, &permit).unwrap();
        Scope { snapshot: Arc::new(snapshot), permit: Arc::new(permit) }
    }

    /// Answers a question over one table.
    pub(crate) fn ask(
        &self,
        table: &Arc<Table>,
        question: &Question,
    ) -> Result<arrow::array::RecordBatch, crate::QueryError> {
        let tables = std::slice::from_ref(table);
        let scope = self.scope(tables, uses(tables, question));
        crate::run(&scope, question, &Limits::standard())
    }
}

fn typed(values: Vec<Value>) -> Values {
    match &values[0] {
        Value::Str(_) => {
            let mut strings = Strings::default();
            let mut known: Vec<String> = Vec::new();
            for value in values {
                let Value::Str(text) = value else { panic!("a column has one type") };
                let id = known.iter().position(|other| *other == text).unwrap_or_else(|| {
                    strings.push_distinct(&text);
                    known.push(text);
                    known.len() - 1
                });
                strings.ids.push(id as u32);
            }
            Values::Strings(strings)
        }
        Value::Long(_) => Values::Longs(
            values.iter().map(|v| if let Value::Long(v) = v { *v } else { panic!() }).collect(),
        ),
        Value::Double(_) => Values::Doubles(
            values.iter().map(|v| if let Value::Double(v) = v { *v } else { panic!() }).collect(),
        ),
        Value::Bool(_) => Values::Bools(
            values.iter().map(|v| if let Value::Bool(v) = v { *v } else { panic!() }).collect(),
        ),
    }
}

/// The batch as text, one row a line.
pub(crate) fn lines(batch: &arrow::array::RecordBatch) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("-");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" | "))
        .collect()
}
