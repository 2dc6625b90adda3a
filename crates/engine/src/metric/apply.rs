//! A file of metrics comes into force, if it answers what it says it does.

use super::kept::Applied;
use crate::Engine;
use crate::error::EngineError;
use crate::read::release;
use protection::audit::{Event, EventKind};
use protection::caller::Caller;
use protection::grant::Action;
use protection::{RecordStore, Released};
use query::Limits;
use query::metrics::{MetricModel, MetricQuery, MetricTest, ModelError};
use serde_json::{Value as Json, json};

/// What became of a file of metrics.
#[derive(Debug)]
pub enum MetricsApplied {
    /// It is in force: `{"acknowledged": true, "metrics": […], "tests": 3}`.
    Applied(Json),
    /// Nothing changed, because a metric does not answer what the file expects. For each such test
    /// `{"metric", "line", "ask", "differs": […]}`; the lines of `differs` begin with `-` for what
    /// was expected and with `+` for what came.
    Refused(Vec<Released<Json>>),
}

impl Engine {
    /// Declares the metrics of a YAML file. Metrics of the same name are replaced; what they were
    /// stays in the history. The tests of the file are asked as the caller first.
    ///
    /// # Errors
    /// 400 with the line of the first mistake; 403 without the right to declare metrics, or to ask
    /// what a test asks.
    pub fn apply_metrics(
        &self,
        caller: &Caller,
        yaml: &str,
    ) -> Result<MetricsApplied, EngineError> {
        if !self.may_at_all(caller, Action::DefineMetric) {
            return Err(EngineError::forbidden("your roles do not let you declare metrics"));
        }
        let wrong =
            |error: ModelError| EngineError::new(400, "parsing_exception", error.to_string());
        let model = MetricModel::parse(yaml).map_err(wrong)?;
        model.check(&self.known_tables(caller), &self.pseudonyms).map_err(wrong)?;
        let refused = model
            .tests()
            .iter()
            .filter_map(|test| self.test_metric(caller, &model, test).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        if !refused.is_empty() {
            return Ok(MetricsApplied::Refused(refused));
        }
        let names: Vec<String> = model.metrics().iter().map(|metric| metric.name.clone()).collect();
        let tests = model.tests().len();

        let mut metrics = self.metrics.write();
        self.record(&Event {
            policy: self.policies.version(),
            action: Some(Action::DefineMetric),
            subject: names.join(", "),
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::MetricDefined, caller)
        })?;
        let (by, yaml) = (caller.name().to_owned(), yaml.to_owned());
        let records: &dyn RecordStore = &**self.store.catalog();
        metrics.keep(records, Applied { by, at: self.clock.now(), yaml, model })?;
        drop(metrics);
        // Older segments get theirs in the background; until then they are answered from rows.
        self.tiles.forget();
        self.store.tiles_changed();
        Ok(MetricsApplied::Applied(
            json!({ "acknowledged": true, "metrics": names, "tests": tests }),
        ))
    }

    /// What is different from what a test expects, if anything is.
    fn test_metric(
        &self,
        caller: &Caller,
        model: &MetricModel,
        test: &MetricTest,
    ) -> Result<Option<Released<Json>>, EngineError> {
        let at_line = |error: EngineError| EngineError {
            reason: format!("line {}: a test of `{}`: {}", test.line, test.metric, error.reason),
            ..error
        };
        let query = MetricQuery::from_json(&test.ask, self.clock.wall())
            .map_err(|error| at_line(error.into()))?;
        let limits = Limits::standard();
        let (scope, _, answer) =
            self.run_metric(caller, model, &test.metric, &query, &limits).map_err(at_line)?;
        let Some(differs) = test.differs(&answer) else {
            // Nothing goes out but that it is so; the record says what was looked at.
            release(&scope, Json::Null, 0)?;
            return Ok(None);
        };
        let told = json!({
            "metric": test.metric,
            "line": test.line,
            "ask": test.ask,
            "differs": differs,
        });
        release(&scope, told, answer.rows.len() as u64).map(Some)
    }
}
