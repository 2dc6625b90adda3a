//! Declared metrics as Prometheus' API reads them, so that Grafana draws them. Only reading, only
//! over declared metrics.

use super::no_metric;
use crate::Engine;
use crate::error::EngineError;
use crate::read::release;
use model::{Timestamp, Value};
use protection::Released;
use protection::caller::Caller;
use query::Limits;
use query::metrics::{Grain, MetricAnswer, MetricQuery, Selector, Steps};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// The most points of one series, as in Prometheus.
const POINTS_MAX: i64 = 11_000;
/// What the names of labels and metrics are asked with.
const NAME: &str = "__name__";

impl Engine {
    /// `query_range`: each point is the number of the step that ends with it.
    ///
    /// # Errors
    /// 400 for what is no selector of a declared metric, and what [`Engine::query_metric`] says.
    pub fn prometheus_range(
        &self,
        caller: &Caller,
        expression: &str,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<Released<Json>, EngineError> {
        if step_ms < 1 || end < start {
            return Err(EngineError::illegal_argument(
                "[step] is positive, [end] not before [start]",
            ));
        }
        if (end.0 - start.0) / step_ms >= POINTS_MAX {
            return Err(EngineError::illegal_argument(format!(
                "more than {POINTS_MAX} points in a series; use a longer step"
            )));
        }
        let selector = read(expression)?;
        let points = (end.0 - start.0) / step_ms;
        let mut query = self.prometheus_query(&selector);
        query.from = Some(Timestamp(start.0.saturating_sub(step_ms)));
        query.to = Some(Timestamp(start.0.saturating_add(points * step_ms)));
        query.steps = Some(Steps { from_ms: start.0, step_ms });
        let (scope, plan, answer) = self.ask_selected(caller, &selector, &query)?;
        let series = series(&selector, plan.columns(), &answer, Some(step_ms));
        let result: Vec<Json> = series
            .into_iter()
            .map(|(labels, points)| json!({ "metric": labels, "values": points }))
            .collect();
        let rows = answer.rows.len() as u64;
        release(&scope, json!({ "resultType": "matrix", "result": result }), rows)
    }

    /// `query`: the number of the time that ends with `time` and is as long as the grain of the
    /// metric; for the total, of all time before.
    ///
    /// # Errors
    /// As [`Engine::prometheus_range`].
    pub fn prometheus_instant(
        &self,
        caller: &Caller,
        expression: &str,
        time: Option<Timestamp>,
    ) -> Result<Released<Json>, EngineError> {
        let selector = read(expression)?;
        let time = time.unwrap_or_else(|| self.clock.wall());
        let hours = match self.grain_of(&selector.metric)? {
            Grain::Minute | Grain::Hour => Some(1),
            Grain::Day => Some(24),
            Grain::Week => Some(7 * 24),
            Grain::Month => Some(30 * 24),
            Grain::Quarter => Some(91 * 24),
            Grain::Year => Some(365 * 24),
            Grain::Total => None,
        };
        let from = hours.map(|hours| Timestamp(time.0.saturating_sub(hours * 3_600_000)));
        let mut query = self.prometheus_query(&selector);
        (query.grain, query.from, query.to) = (Some(Grain::Total), from, Some(time));
        let (scope, plan, answer) = self.ask_selected(caller, &selector, &query)?;
        let result: Vec<Json> = series(&selector, plan.columns(), &answer, None)
            .into_iter()
            .filter_map(|(labels, mut points)| {
                let value = points.pop()?[1].clone();
                Some(json!({ "metric": labels, "value": [seconds(time.0), value] }))
            })
            .collect();
        let rows = answer.rows.len() as u64;
        release(&scope, json!({ "resultType": "vector", "result": result }), rows)
    }

    /// `labels`: the name, and the dimensions of the metrics that `matches` select, of all without.
    ///
    /// # Errors
    /// If the caller may not ask for numbers.
    pub fn prometheus_labels(
        &self,
        caller: &Caller,
        matches: &[String],
    ) -> Result<Vec<String>, EngineError> {
        let mut labels = BTreeSet::from([NAME.to_owned()]);
        for (_, dimensions) in self.selected(caller, matches)? {
            labels.extend(dimensions);
        }
        Ok(labels.into_iter().collect())
    }

    /// `series`: the metrics that `matches` select, by name alone.
    ///
    /// # Errors
    /// If the caller may not ask for numbers.
    pub fn prometheus_series(
        &self,
        caller: &Caller,
        matches: &[String],
    ) -> Result<Vec<Json>, EngineError> {
        let selected = self.selected(caller, matches)?;
        Ok(selected.into_iter().map(|(name, _)| json!({ NAME: name })).collect())
    }

    /// `label/…/values`: the names of metrics, or the values of a dimension in the first metric
    /// that `matches` select and that has it.
    ///
    /// # Errors
    /// As [`Engine::query_metric`].
    pub fn prometheus_values(
        &self,
        caller: &Caller,
        label: &str,
        matches: &[String],
        range: (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Option<Released<Json>>, EngineError> {
        let selected = self.selected(caller, matches)?;
        let Some((name, _)) =
            selected.iter().find(|(_, dimensions)| dimensions.iter().any(|known| known == label))
        else {
            return Ok(None);
        };
        let selector =
            Selector { metric: name.clone(), by: vec![label.to_owned()], ..Selector::default() };
        let mut query = self.prometheus_query(&selector);
        (query.grain, query.from, query.to) = (Some(Grain::Total), range.0, range.1);
        let (scope, _, answer) = self.ask_selected(caller, &selector, &query)?;
        let values: BTreeSet<String> =
            answer.rows.iter().filter_map(|row| text(row.first()?.as_ref())).collect();
        let rows = values.len() as u64;
        release(&scope, json!(values), rows).map(Some)
    }

    /// `metadata`: each metric with what it means.
    ///
    /// # Errors
    /// If the caller may not ask for numbers.
    pub fn prometheus_metadata(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let metrics = self.metrics.read();
        let of = |name: &str| {
            let metric = metrics.find(name)?.model.metric(name)?;
            let help =
                if metric.description.is_empty() { &metric.label } else { &metric.description };
            Some((name.to_owned(), json!([{ "type": "gauge", "help": help, "unit": "" }])))
        };
        Ok(Json::Object(metrics.names().into_iter().filter_map(of).collect()))
    }

    fn prometheus_query(&self, selector: &Selector) -> MetricQuery {
        let mut query = MetricQuery::default();
        query.dimensions.clone_from(&selector.by);
        query.now = Some(self.clock.wall());
        for (label, values) in &selector.filters {
            query = query.filtered(label, values);
        }
        query
    }

    fn grain_of(&self, name: &str) -> Result<Grain, EngineError> {
        let metrics = self.metrics.read();
        let file = metrics.find(name).ok_or_else(|| no_metric(name))?;
        file.model.metric(name).map(|metric| metric.grain).ok_or_else(|| no_metric(name))
    }

    fn ask_selected(
        &self,
        caller: &Caller,
        selector: &Selector,
        query: &MetricQuery,
    ) -> Result<(query::Scope, query::metrics::MetricPlan, MetricAnswer), EngineError> {
        self.may_ask(caller)?;
        let name = &selector.metric;
        let file = self.metrics.read().find(name).cloned().ok_or_else(|| no_metric(name))?;
        self.run_metric(caller, &file.model, name, query, &Limits::standard())
    }

    /// The metrics that any of the selectors means, all without one, with their dimensions.
    fn selected(
        &self,
        caller: &Caller,
        matches: &[String],
    ) -> Result<Vec<(String, Vec<String>)>, EngineError> {
        self.may_ask(caller)?;
        let wanted = matches
            .iter()
            .map(|text| read(text).map(|selector| selector.metric))
            .collect::<Result<Vec<_>, _>>()?;
        let metrics = self.metrics.read();
        let of = |name: &str| {
            let metric = metrics.find(name)?.model.metric(name)?;
            Some((name.to_owned(), metric.dimensions.clone()))
        };
        let names = metrics.names().into_iter();
        let is_wanted = |name: &&str| wanted.is_empty() || wanted.iter().any(|w| w == name);
        Ok(names.filter(is_wanted).filter_map(of).collect())
    }
}

fn read(expression: &str) -> Result<Selector, EngineError> {
    Selector::parse(expression).map_err(EngineError::illegal_argument)
}

/// Labels of a series, and its points: seconds and the number as text.
type Series = (Map<String, Json>, Vec<[Json; 2]>);

/// The rows of an answer by their labels. With a step, time is the first column.
fn series(
    selector: &Selector,
    columns: &[query::sql::ColumnInfo],
    answer: &MetricAnswer,
    step_ms: Option<i64>,
) -> Vec<Series> {
    let Some(number_at) = columns.iter().position(|column| column.name == selector.metric) else {
        return Vec::new();
    };
    let is_label = |(at, column): &(usize, &query::sql::ColumnInfo)| {
        selector.by.contains(&column.name)
            || (*at < number_at && matches!(column.name.as_str(), "step_name" | "period"))
    };
    let labels: Vec<(usize, &str)> = columns
        .iter()
        .enumerate()
        .filter(is_label)
        .map(|(at, column)| (at, if column.name == "step_name" { "step" } else { &column.name }))
        .collect();
    let mut found: BTreeMap<Vec<String>, Vec<[Json; 2]>> = BTreeMap::new();
    for row in &answer.rows {
        let number = match &row[number_at] {
            Some(Value::Long(number)) => number.to_string(),
            Some(Value::Double(number)) => number.to_string(),
            _ => continue,
        };
        let at = match (step_ms, row.first()) {
            (Some(step), Some(Some(Value::Long(start)))) => start.saturating_add(step),
            (None, _) => 0,
            _ => continue,
        };
        let key = labels.iter().map(|(at, _)| text(row[*at].as_ref()).unwrap_or_default());
        found.entry(key.collect()).or_default().push([seconds(at), json!(number)]);
    }
    let fixed = selector.filters.iter().filter_map(|(label, values)| match values.as_slice() {
        [value] => Some((label.clone(), json!(value))),
        _ => None,
    });
    let fixed: Map<String, Json> =
        std::iter::once((NAME.to_owned(), json!(selector.metric))).chain(fixed).collect();
    let whole = |(key, points): (Vec<String>, Vec<[Json; 2]>)| {
        let mut all = fixed.clone();
        let named = labels.iter().zip(key).filter(|(_, value)| !value.is_empty());
        all.extend(named.map(|((_, label), value)| ((*label).to_owned(), json!(value))));
        (all, points)
    };
    found.into_iter().map(whole).collect()
}

/// Seconds since 1970, as Prometheus writes them.
fn seconds(ms: i64) -> Json {
    match ms % 1000 {
        0 => json!(ms / 1000),
        _ => json!(ms as f64 / 1000.0),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    Some(match value? {
        Value::Str(text) => text.clone(),
        Value::Long(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
    })
}
