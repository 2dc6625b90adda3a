//! Declared metrics: applied as files, kept with their history, asked by name.

use crate::Engine;
use crate::error::EngineError;
use crate::read::{Wanted, release};
use model::Timestamp;
use protection::audit::{Event, EventKind};
use protection::caller::Caller;
use protection::grant::Action;
use protection::{RecordStore, Released};
use query::Limits;
use query::metrics::{self, Empty, Metric, MetricKind, MetricModel, MetricQuery};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The kind of the catalog's records that hold applied files.
const RECORDS: &str = "metric_file";

/// An applied file as it is kept.
#[derive(Serialize, Deserialize)]
struct StoredFile {
    by: String,
    at: i64,
    yaml: String,
}

/// One applied file.
struct Applied {
    by: String,
    at: Timestamp,
    yaml: String,
    model: MetricModel,
}

/// All files that were ever applied, oldest first. A metric is what the newest file that declares
/// it says.
pub(crate) struct Metrics {
    files: Vec<Arc<Applied>>,
}

impl Metrics {
    /// Reads them from the catalog.
    pub(crate) fn load(records: &dyn RecordStore) -> Result<Metrics, String> {
        let mut stored = records.list(RECORDS).map_err(|error| error.to_string())?;
        stored.sort();
        let mut files = Vec::with_capacity(stored.len());
        for (number, bytes) in stored {
            let file: StoredFile = serde_json::from_slice(&bytes)
                .map_err(|_| format!("metric file {number} is damaged"))?;
            let model = MetricModel::parse(&file.yaml)
                .map_err(|error| format!("metric file {number}: {error}"))?;
            let at = Timestamp(file.at);
            files.push(Arc::new(Applied { by: file.by, at, yaml: file.yaml, model }));
        }
        Ok(Metrics { files })
    }

    /// The newest file that declares `name`.
    fn find(&self, name: &str) -> Option<&Arc<Applied>> {
        self.files.iter().rev().find(|file| file.model.metric(name).is_some())
    }

    /// The file that declares `name` now.
    pub(crate) fn model_of(&self, name: &str) -> Option<&MetricModel> {
        self.find(name).map(|file| &file.model)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let all = self.files.iter().flat_map(|file| file.model.metrics());
        let mut names: Vec<&str> = all.map(|metric| metric.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Engine {
    /// All metrics, by name.
    ///
    /// # Errors
    /// If the caller may not ask for numbers.
    pub fn metrics(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let metrics = self.metrics.read();
        let declared = metrics.names().into_iter().filter_map(|name| {
            let file = metrics.find(name)?;
            Some(describe(file, file.model.metric(name)?))
        });
        Ok(declared.collect())
    }

    /// One metric: how it is declared, by whom, and what it was before.
    ///
    /// # Errors
    /// 404 if there is none of this name.
    pub fn metric(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let metrics = self.metrics.read();
        let file = metrics.find(name).ok_or_else(|| no_metric(name))?;
        let metric = file.model.metric(name).ok_or_else(|| no_metric(name))?;
        let history: Vec<Json> = metrics
            .files
            .iter()
            .rev()
            .filter(|file| file.model.metric(name).is_some())
            .map(|file| json!({ "by": file.by, "at": file.at.to_rfc3339() }))
            .collect();
        let mut shown = describe(file, metric);
        if let Json::Object(shown) = &mut shown {
            shown.insert("yaml".to_owned(), json!(file.yaml));
            shown.insert("history".to_owned(), Json::Array(history));
            let known = self.known_tables(caller);
            let query = MetricQuery::default();
            let plan = metrics::plan(&file.model, name, &query, &known, &self.pseudonyms);
            shown.insert("sql".to_owned(), plan.map_or(Json::Null, |plan| json!(plan.sql())));
        }
        Ok(shown)
    }

    /// Declares the metrics of a YAML file. Metrics of the same name are replaced; what they were
    /// stays in the history.
    ///
    /// # Errors
    /// 400 with the line of the first mistake; 403 without the right to declare metrics.
    pub fn apply_metrics(&self, caller: &Caller, yaml: &str) -> Result<Json, EngineError> {
        if !self.may_at_all(caller, Action::DefineMetric) {
            return Err(EngineError::forbidden("your roles do not let you declare metrics"));
        }
        let wrong = |error: metrics::ModelError| {
            EngineError::new(400, "parsing_exception", error.to_string())
        };
        let model = MetricModel::parse(yaml).map_err(wrong)?;
        model.check(&self.known_tables(caller), &self.pseudonyms).map_err(wrong)?;
        let names: Vec<String> = model.metrics().iter().map(|metric| metric.name.clone()).collect();

        let mut metrics = self.metrics.write();
        self.record(&Event {
            policy: self.policies.version(),
            action: Some(Action::DefineMetric),
            subject: names.join(", "),
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::MetricDefined, caller)
        })?;
        let at = self.clock.now();
        let stored = StoredFile { by: caller.name().to_owned(), at: at.0, yaml: yaml.to_owned() };
        let bytes = serde_json::to_vec(&stored)
            .map_err(|_| EngineError::internal("a metric file that cannot be written"))?;
        let number = format!("{:08}", metrics.files.len());
        let records: &dyn RecordStore = &**self.store.catalog();
        records
            .put(RECORDS, &number, &bytes)
            .map_err(|error| EngineError::unavailable(error.to_string()))?;
        metrics.files.push(Arc::new(Applied { by: stored.by, at, yaml: stored.yaml, model }));
        Ok(json!({ "acknowledged": true, "metrics": names }))
    }

    /// Answers a metric: `{"grain", "dimensions", "filters", "from", "to", "time_zone"}`, all
    /// optional.
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
        self.may_ask(caller)?;
        let file = self.metrics.read().find(name).cloned().ok_or_else(|| no_metric(name))?;
        let query = MetricQuery::from_json(body, self.clock.now())?;
        let known = self.known_tables(caller);
        let plan = metrics::plan(&file.model, name, &query, &known, &self.pseudonyms)?;
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
        let answer = plan.run(&scope, &Limits::standard())?;
        let rows = answer.rows.len() as u64;
        let mut shown = answer.to_json();
        if let Json::Object(shown) = &mut shown {
            shown.insert("metric".to_owned(), json!(name));
            shown.insert("sql".to_owned(), json!(plan.sql()));
        }
        release(&scope, shown, rows)
    }

    fn may_ask(&self, caller: &Caller) -> Result<(), EngineError> {
        match self.may_at_all(caller, Action::Aggregate) {
            true => Ok(()),
            false => Err(EngineError::forbidden("your roles do not let you ask for metrics")),
        }
    }
}

fn no_metric(name: &str) -> EngineError {
    let reason =
        format!("there is no metric [{name}]; `clerestory metric list` names those there are");
    EngineError::new(404, "resource_not_found_exception", reason)
}

fn describe(file: &Applied, metric: &Metric) -> Json {
    let kind = match metric.kind {
        MetricKind::Simple { .. } => "simple",
        MetricKind::Ratio { .. } => "ratio",
    };
    let measures: Vec<&str> =
        file.model.measures_of(metric).iter().map(|measure| measure.name.as_str()).collect();
    json!({
        "name": metric.name,
        "label": metric.label,
        "description": metric.description,
        "type": kind,
        "measures": measures,
        "grain": metric.grain.as_str(),
        "dimensions": metric.dimensions,
        "empty": match metric.empty { Empty::Zero => "zero", Empty::Gap => "gap" },
        "applied_by": file.by,
        "applied_at": file.at.to_rfc3339(),
    })
}
