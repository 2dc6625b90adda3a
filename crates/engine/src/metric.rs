//! Declared metrics: applied as files, kept with their history, asked by name.

mod apply;
mod kept;
mod prometheus;

pub use apply::MetricsApplied;
pub(crate) use kept::Metrics;

use crate::Engine;
use crate::error::EngineError;
use crate::read::{Wanted, release};
use crate::sql::{SqlAnswer, SqlColumn};
use arrow::ipc::writer::StreamWriter;
use kept::Applied;
use protection::Released;
use protection::caller::Caller;
use protection::grant::Action;
use query::metrics::{self, Empty, Metric, MetricAnswer, MetricKind, MetricPlan, MetricQuery};
use query::{Limits, Scope};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

impl Engine {
    /// All metrics, by name.
    ///
    /// # Errors
    /// If the caller may not ask for numbers.
    pub fn metrics(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let metrics = self.metrics.read();
        let declared = metrics.names().into_iter().filter_map(|name| {
            let versions = metrics.versions(name);
            let file = versions.last()?;
            Some(describe(file, file.model.metric(name)?, versions.len()))
        });
        Ok(declared.collect())
    }

    /// One metric: how it is declared, by whom, and what it was before. `version` counts from 1;
    /// without it the newest is shown.
    ///
    /// # Errors
    /// 404 if there is none of this name or number.
    pub fn metric(
        &self,
        caller: &Caller,
        name: &str,
        version: Option<usize>,
    ) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let metrics = self.metrics.read();
        let versions = metrics.versions(name);
        if versions.is_empty() {
            return Err(no_metric(name));
        }
        let number = version.unwrap_or(versions.len());
        let file = number.checked_sub(1).and_then(|at| versions.get(at)).ok_or_else(|| {
            let reason = format!("metric [{name}] has versions 1 to {}", versions.len());
            EngineError::new(404, "resource_not_found_exception", reason)
        })?;
        let metric = file.model.metric(name).ok_or_else(|| no_metric(name))?;
        let mut shown = describe(file, metric, number);
        if let Json::Object(shown) = &mut shown {
            shown.insert("yaml".to_owned(), json!(file.yaml));
            shown.insert("history".to_owned(), history(&versions));
            let known = self.known_tables(caller);
            let query = MetricQuery::default();
            let plan = metrics::plan(&file.model, name, &query, &known, &self.pseudonyms);
            shown.insert("sql".to_owned(), plan.map_or(Json::Null, |plan| json!(plan.sql())));
        }
        Ok(shown)
    }

    /// The versions of a metric, the newest first: `[{"version", "by", "at"}]`.
    ///
    /// # Errors
    /// 404 if there is none of this name.
    pub fn metric_history(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let metrics = self.metrics.read();
        match metrics.versions(name).as_slice() {
            [] => Err(no_metric(name)),
            versions => Ok(history(versions)),
        }
    }

    /// All metrics in force in the form of the Open Semantic Interchange (Apache Ossie): YAML. What
    /// that form has no word for stands beside it, and is named in comments at the top.
    ///
    /// # Errors
    /// If the caller may not ask for numbers.
    pub fn export_metrics(&self, caller: &Caller) -> Result<String, EngineError> {
        self.may_ask(caller)?;
        let metrics = self.metrics.read();
        let models = metrics.in_force();
        let newest = |file: &Arc<Applied>| {
            let declared = file.model.metrics().iter();
            let in_force = declared.filter(|metric| {
                metrics.find(&metric.name).is_some_and(|newest| Arc::ptr_eq(newest, file))
            });
            in_force.cloned().collect::<Vec<_>>()
        };
        let models: Vec<(&metrics::MetricModel, Vec<Metric>)> =
            models.iter().map(|file| (&file.model, newest(file))).collect();
        Ok(metrics::to_osi(&models, &self.known_tables(caller))?)
    }

    /// Answers a metric: `{"grain", "dimensions", "filters", "from", "to", "time_zone", "compare",
    /// "explain", "tiles"}`, all optional.
    ///
    /// # Errors
    /// 404 for an unknown metric, 400 for a question it cannot answer, 403 for fields that the
    /// caller may not use.
    pub fn query_metric(
        &self,
        caller: &Caller,
        name: &str,
        body: &Json,
    ) -> Result<Released<Json>, EngineError> {
        self.in_one_epoch(|| {
            let (scope, plan, answer, explain) = self.ask_metric(caller, name, body)?;
            let mut shown = answer.to_json();
            if let Json::Object(shown) = &mut shown {
                shown.extend(explain.map(|explain| ("explain".to_owned(), explain)));
                shown.insert("metric".to_owned(), json!(name));
                shown.insert("sql".to_owned(), json!(plan.sql()));
            }
            release(&scope, shown, answer.rows.len() as u64)
        })
    }

    /// The same answer as columns and rows.
    ///
    /// # Errors
    /// As [`Engine::query_metric`].
    pub fn metric_rows(
        &self,
        caller: &Caller,
        name: &str,
        body: &Json,
    ) -> Result<Released<SqlAnswer>, EngineError> {
        self.in_one_epoch(|| {
            let (scope, _, answer, _) = self.ask_metric(caller, name, body)?;
            let columns = answer.columns.iter();
            let column = |of: &query::sql::ColumnInfo| SqlColumn {
                name: of.name.clone(),
                ty: of.ty.clone(),
            };
            let rows = SqlAnswer { columns: columns.map(column).collect(), rows: answer.to_rows() };
            release(&scope, rows, answer.rows.len() as u64)
        })
    }

    /// The same answer as a stream of Arrow's IPC format.
    ///
    /// # Errors
    /// As [`Engine::query_metric`].
    pub fn metric_arrow(
        &self,
        caller: &Caller,
        name: &str,
        body: &Json,
    ) -> Result<Released<Vec<u8>>, EngineError> {
        self.in_one_epoch(|| self.metric_arrow_once(caller, name, body))
    }

    fn metric_arrow_once(
        &self,
        caller: &Caller,
        name: &str,
        body: &Json,
    ) -> Result<Released<Vec<u8>>, EngineError> {
        let (scope, _, answer, _) = self.ask_metric(caller, name, body)?;
        let batch = answer.to_arrow()?;
        let written = StreamWriter::try_new(Vec::new(), &batch.schema()).and_then(|mut writer| {
            writer.write(&batch)?;
            writer.finish()?;
            writer.into_inner()
        });
        let bytes = written.map_err(|_| EngineError::internal("writing Arrow"))?;
        release(&scope, bytes, answer.rows.len() as u64)
    }

    /// Plans, authorises and runs a question to a metric; says what the answer was read from if
    /// that is asked, too.
    fn ask_metric(
        &self,
        caller: &Caller,
        name: &str,
        body: &Json,
    ) -> Result<(Scope, MetricPlan, MetricAnswer, Option<Json>), EngineError> {
        self.may_ask(caller)?;
        let file = self.metrics.read().find(name).cloned().ok_or_else(|| no_metric(name))?;
        let query = MetricQuery::from_json(body, self.clock.wall())?;
        let limits = Limits { tiles: query.tiles, ..Limits::standard() };
        let (scope, plan, answer) = self.run_metric(caller, &file.model, name, &query, &limits)?;
        Ok((scope, plan, answer, query.explain.then(|| explained(&limits))))
    }

    fn run_metric(
        &self,
        caller: &Caller,
        model: &metrics::MetricModel,
        name: &str,
        query: &MetricQuery,
        limits: &Limits,
    ) -> Result<(Scope, MetricPlan, MetricAnswer), EngineError> {
        let known = self.known_tables(caller);
        let plan = metrics::plan(model, name, query, &known, &self.pseudonyms)?;
        let tables = plan.tables().to_vec();
        let scope = self.scope(
            caller,
            Wanted {
                action: Action::Aggregate,
                tables: &tables,
                shape: plan.shape(),
                uses: plan.fields(),
            },
        )?;
        let answer = plan.run(&scope, limits)?;
        Ok((scope, plan, answer))
    }

    /// Plans a metric that stands in a statement of SQL.
    pub(crate) fn metric_in_sql(
        &self,
        caller: &Caller,
        name: &str,
        body: &Json,
    ) -> Result<MetricPlan, query::QueryError> {
        if !self.may_at_all(caller, Action::Aggregate) {
            return Err(query::QueryError::NotPermitted {
                field: name.to_owned(),
                why: "is asked for as a metric, and your roles do not let you ask for metrics",
            });
        }
        let not_there = || {
            let metrics = self.metrics.read();
            let names = metrics.names().join(", ");
            query::QueryError::Invalid(format!("there is no metric `{name}`; there are {names}"))
        };
        let file = self.metrics.read().find(name).cloned().ok_or_else(not_there)?;
        let query = MetricQuery::from_json(body, self.clock.wall())?;
        let known = self.known_tables(caller);
        metrics::plan(&file.model, name, &query, &known, &self.pseudonyms)
    }

    pub(crate) fn may_ask(&self, caller: &Caller) -> Result<(), EngineError> {
        match self.may_at_all(caller, Action::Aggregate) {
            true => Ok(()),
            false => Err(EngineError::forbidden("your roles do not let you ask for metrics")),
        }
    }
}

impl crate::read::AnswerSize for Vec<u8> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// What an answer was read from. Rows that the caller does not see are in none of these counts.
fn explained(limits: &Limits) -> Json {
    if limits.answered.is_hidden() {
        return json!({ "withheld": "the answer is under a least group" });
    }
    let (segments, tile_rows, rows) = limits.answered.from_tiles();
    let (stretches, read) = limits.answered.from_rows();
    json!({
        "tiles": { "segments": segments, "tile_rows": tile_rows, "stand_for_rows": rows },
        "rows": { "stretches": stretches, "rows": read },
    })
}

fn no_metric(name: &str) -> EngineError {
    let reason =
        format!("there is no metric [{name}]; `clerestory metric list` names those there are");
    EngineError::new(404, "resource_not_found_exception", reason)
}

fn history(versions: &[&Arc<Applied>]) -> Json {
    let shown = (1..).zip(versions).map(
        |(number, file)| json!({ "version": number, "by": file.by, "at": file.at.to_rfc3339() }),
    );
    let mut shown: Vec<Json> = shown.collect();
    shown.reverse();
    Json::Array(shown)
}

fn describe(file: &Applied, metric: &Metric, version: usize) -> Json {
    let measures = file.model.measures_of(metric).into_iter();
    let measures: Vec<&str> =
        measures.filter(|measure| !measure.is_hidden()).map(|m| m.name.as_str()).collect();
    let mut shown = json!({
        "name": metric.name,
        "label": metric.label,
        "description": metric.description,
        "type": metric.kind.as_str(),
        "measures": measures,
        "grain": metric.grain.as_str(),
        "dimensions": metric.dimensions,
        "empty": match metric.empty { Empty::Zero => "zero", Empty::Gap => "gap" },
        "version": version,
        "tests": file.model.tests().iter().filter(|test| test.metric == metric.name).count(),
        "applied_by": file.by,
        "applied_at": file.at.to_rfc3339(),
    });
    let mut more = Map::new();
    match &metric.kind {
        MetricKind::Derived { expression } => {
            more.insert("expression".to_owned(), json!(expression.to_string()));
        }
        MetricKind::Conversion(funnel) => {
            more.insert("steps".to_owned(), json!(funnel.steps()));
            more.insert("entity".to_owned(), json!(funnel.entity()));
        }
        MetricKind::Retention(retained) => {
            more.insert("periods".to_owned(), json!(retained.periods()));
            more.insert("period".to_owned(), json!(retained.unit().as_str()));
            more.insert("entity".to_owned(), json!(retained.entity()));
        }
        _ => {}
    }
    if let Json::Object(shown) = &mut shown {
        shown.extend(more);
    }
    shown
}
