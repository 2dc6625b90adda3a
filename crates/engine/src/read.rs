//! The way out: plan, authorise, run, release.

use crate::Engine;
use crate::error::EngineError;
use model::{Table, TableId, Timestamp};
use protection::caller::Caller;
use protection::grant::Action;
use protection::{FieldUse, Permit, ReadIntent, Released, Use};
use query::elasticsearch::{CountRequest, EsError, FieldCapsRequest, SearchRequest};
use query::{Ask, Limits, OutColumn, Question, Scope};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use storage::{Filter, Point};

/// What a read wants to do, before it is authorised.
pub(crate) struct Wanted<'a> {
    pub(crate) action: Action,
    pub(crate) tables: &'a [Arc<Table>],
    pub(crate) shape: String,
    pub(crate) uses: Vec<(TableId, FieldUse)>,
}

impl Engine {
    /// Answers again if pseudonyms moved to another epoch meanwhile: literals of one epoch are not
    /// found in a snapshot of another. Nobody is given an answer of two.
    pub(crate) fn in_one_epoch<T>(
        &self,
        answer: impl Fn() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        loop {
            let (epoch, policy) = (self.pseudonyms.epoch(), self.policies.version());
            let answer = answer();
            // Epochs are begun by people, so this ends.
            let is_of_one = self.pseudonyms.epoch() == epoch;
            if is_of_one && (answer.is_ok() || !self.policies.was_only_renewed_since(policy)) {
                return answer;
            }
        }
    }

    /// Authorises a read and records it.
    pub(crate) fn authorise(
        &self,
        caller: &Caller,
        wanted: Wanted<'_>,
    ) -> Result<Arc<Permit>, EngineError> {
        let intent = ReadIntent {
            action: wanted.action,
            tables: wanted.tables.to_vec(),
            shape: wanted.shape,
            fields: wanted.uses,
        };
        self.follow_audit_sinks();
        Ok(Arc::new(self.guard.authorise(caller, intent)?))
    }

    /// Authorises a read, records it, and freezes what it sees.
    pub(crate) fn scope(&self, caller: &Caller, wanted: Wanted<'_>) -> Result<Scope, EngineError> {
        let ids: Vec<TableId> = wanted.tables.iter().map(|table| table.id).collect();
        let permit = self.authorise(caller, wanted)?;
        let snapshot = Arc::new(self.store.snapshot(&ids, &permit)?);
        Ok(Scope { snapshot, permit })
    }

    /// The same over rows that are then held for more reads, until a moment.
    pub(crate) fn scope_held(
        &self,
        caller: &Caller,
        wanted: Wanted<'_>,
        until: Timestamp,
    ) -> Result<(Scope, Arc<Point>), EngineError> {
        let ids: Vec<TableId> = wanted.tables.iter().map(|table| table.id).collect();
        let permit = self.authorise(caller, wanted)?;
        let point = self.store.hold(&ids, until)?;
        let snapshot = Arc::new(self.store.snapshot_at(&point, &permit)?);
        Ok((Scope { snapshot, permit }, point))
    }

    /// The same over rows that are held: what the permit of now sees of them.
    pub(crate) fn scope_at(
        &self,
        caller: &Caller,
        wanted: Wanted<'_>,
        point: &Point,
    ) -> Result<Scope, EngineError> {
        let permit = self.authorise(caller, wanted)?;
        let snapshot = Arc::new(self.store.snapshot_at(point, &permit)?);
        Ok(Scope { snapshot, permit })
    }

    /// `_search`: the whole answer of Elasticsearch's API. An empty expression is all tables that the
    /// caller may know, or those of the point in time that the request names.
    ///
    /// # Errors
    /// In the words of Elasticsearch.
    pub fn search(
        &self,
        caller: &Caller,
        expression: &str,
        body: &Json,
        params: &[(String, String)],
    ) -> Result<Released<Json>, EngineError> {
        self.in_one_epoch(|| self.search_once(caller, expression, body, params))
    }

    fn search_once(
        &self,
        caller: &Caller,
        expression: &str,
        body: &Json,
        params: &[(String, String)],
    ) -> Result<Released<Json>, EngineError> {
        let request = SearchRequest::parse(body, params)?;
        if let Some(pit) = request.pit() {
            if !expression.is_empty() {
                return Err(EngineError::new(
                    400,
                    "action_request_validation_exception",
                    "Validation Failed: 1: [indices] cannot be used with point in time. Do not \
                     specify any index with point in time.;",
                ));
            }
            return self.search_at(caller, &request, pit);
        }
        let tables = self.resolve(caller, expression)?;
        if let Some(length) = request.scroll() {
            crate::cursor::check_size(body)?;
            let length = length.to_owned();
            return self.open_scroll(caller, &tables, request, &length);
        }
        // A search that shows no row only counts in groups, which the grant may allow for more.
        let action = if request.shows_rows() { Action::Read } else { Action::Aggregate };
        let scope = self.scope(
            caller,
            Wanted { action, tables: &tables, shape: request.shape(), uses: request.uses(&tables) },
        )?;
        let limits = Limits::standard();
        let answer = request.run(&scope, &self.pseudonyms, &limits, self.clock.wall())?;
        let hits = answer.pointer("/hits/hits").and_then(Json::as_array).map_or(0, Vec::len);
        release(&scope, answer, hits as u64)
    }

    /// `_count`.
    ///
    /// # Errors
    /// In the words of Elasticsearch.
    pub fn count(
        &self,
        caller: &Caller,
        expression: &str,
        body: &Json,
        params: &[(String, String)],
    ) -> Result<Released<Json>, EngineError> {
        self.in_one_epoch(|| self.count_once(caller, expression, body, params))
    }

    fn count_once(
        &self,
        caller: &Caller,
        expression: &str,
        body: &Json,
        params: &[(String, String)],
    ) -> Result<Released<Json>, EngineError> {
        let tables = self.resolve(caller, expression)?;
        let request = CountRequest::parse(body, params)?;
        let scope = self.scope(
            caller,
            Wanted {
                action: Action::Count,
                tables: &tables,
                shape: request.shape(),
                uses: request.uses(&tables),
            },
        )?;
        let limits = Limits::standard();
        let answer = request.run(&scope, &self.pseudonyms, &limits, self.clock.wall())?;
        release(&scope, answer, 1)
    }

    /// `GET _doc`: the document with `found`, or `found: false`.
    ///
    /// # Errors
    /// If there is no such table, or the caller may not read it.
    pub fn get_document(
        &self,
        caller: &Caller,
        index: &str,
        id: &str,
        include: &[String],
        exclude: &[String],
    ) -> Result<Released<Json>, EngineError> {
        self.in_one_epoch(|| self.get_document_once(caller, index, id, include, exclude))
    }

    fn get_document_once(
        &self,
        caller: &Caller,
        index: &str,
        id: &str,
        include: &[String],
        exclude: &[String],
    ) -> Result<Released<Json>, EngineError> {
        let table = self.table_for(caller, index)?;
        // Patterns: what may not be read is hidden, not refused.
        let patterns: Vec<String> = match include {
            [] => vec!["*".to_owned()],
            names => names.iter().map(|name| format!("{name}*")).collect(),
        };
        let output = |field| (table.id, FieldUse { field, how: Use::Output });
        let uses = patterns.into_iter().map(output).collect();
        let scope = self.scope(
            caller,
            Wanted {
                action: Action::Read,
                tables: std::slice::from_ref(&table),
                shape: "get _doc/?".to_owned(),
                uses,
            },
        )?;
        let question = Question {
            filter: Filter::Ids(vec![self.sealer.row_id(&table.name, id)]),
            ask: Ask::Rows {
                columns: vec![
                    OutColumn::Id,
                    OutColumn::Version,
                    OutColumn::Seq,
                    OutColumn::Source { include: include.to_vec(), exclude: exclude.to_vec() },
                ],
                limit: Some(1),
            },
        };
        let batch = query::run(&scope, &question, &Limits::standard())?;
        let mut answer = Map::new();
        answer.insert("_index".to_owned(), json!(table.name.as_str()));
        if batch.num_rows() == 0 {
            answer.insert("_id".to_owned(), json!(id));
            answer.insert("found".to_owned(), json!(false));
            return release(&scope, Json::Object(answer), 0);
        }
        let text = |column: usize| {
            let strings = arrow::array::AsArray::as_string_opt::<i32>(batch.column(column));
            strings.map(|strings| strings.value(0).to_owned()).unwrap_or_default()
        };
        let number = |column: usize| {
            let numbers = arrow::array::AsArray::as_primitive_opt::<arrow::datatypes::UInt64Type>(
                batch.column(column),
            );
            numbers.map_or(0, |numbers| numbers.value(0))
        };
        answer.insert("_id".to_owned(), json!(text(0)));
        answer.insert("_version".to_owned(), json!(number(1)));
        answer.insert("_seq_no".to_owned(), json!(number(2)));
        answer.insert("_primary_term".to_owned(), json!(1));
        answer.insert("found".to_owned(), json!(true));
        let source = serde_json::from_str(&text(3)).unwrap_or_else(|_| json!({}));
        answer.insert("_source".to_owned(), source);
        release(&scope, Json::Object(answer), 1)
    }

    /// `_field_caps`: what can be done with the fields that the caller may know.
    ///
    /// # Errors
    /// If there is no such table.
    pub fn field_caps(
        &self,
        caller: &Caller,
        expression: &str,
        patterns: &[String],
    ) -> Result<Json, EngineError> {
        let tables = self.resolve(caller, expression)?;
        let patterns = match patterns {
            [] => json!({ "fields": ["*"] }),
            patterns => json!({ "fields": patterns }),
        };
        let request = FieldCapsRequest::parse(&patterns, &[])?;
        // Names and types only, and of withheld fields not even those.
        Ok(request.run(&tables, &|_, field| !field.withheld))
    }

    /// How large a table is.
    ///
    /// # Errors
    /// If there is no such table.
    pub fn table_stats(
        &self,
        caller: &Caller,
        index: &str,
    ) -> Result<storage::TableStats, EngineError> {
        let table = self.table_for(caller, index)?;
        let stats = self.store.stats(table.id)?;
        let policy = self.policies.current();
        if !policy.sees_only_some_rows(caller, &table.name, self.clock.now()) {
            return Ok(stats);
        }
        // Whoever sees only some rows is told how many these are, and nothing of the others.
        let count = self.count(caller, table.name.as_str(), &json!({}), &[]);
        let rows = count.map_or(0, |count| count.get()["count"].as_u64().unwrap_or(0));
        Ok(storage::TableStats { rows, ..storage::TableStats::default() })
    }
}

/// The only way from a scope to a caller.
pub(crate) fn release<T: AnswerSize>(
    scope: &Scope,
    answer: T,
    rows: u64,
) -> Result<Released<T>, EngineError> {
    let bytes = answer.bytes();
    Ok(scope.permit.release(answer, rows, bytes)?)
}

/// How large an answer is, for the record.
pub(crate) trait AnswerSize {
    /// Bytes of its values, about.
    fn bytes(&self) -> u64;
}

impl AnswerSize for Json {
    fn bytes(&self) -> u64 {
        match self {
            Json::Null | Json::Bool(_) => 4,
            Json::Number(_) => 8,
            Json::String(text) => text.len() as u64 + 2,
            Json::Array(items) => items.iter().map(AnswerSize::bytes).sum::<u64>() + 2,
            Json::Object(members) => {
                members.iter().map(|(key, value)| key.len() as u64 + 3 + value.bytes()).sum()
            }
        }
    }
}

impl From<EsError> for EngineError {
    fn from(error: EsError) -> EngineError {
        EngineError::new(error.status, &error.kind, error.reason)
    }
}
