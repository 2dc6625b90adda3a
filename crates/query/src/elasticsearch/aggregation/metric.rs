//! Metrics: which measures they need, and how they are shown.

use super::super::EsError;
use super::super::bind::Binder;
use super::super::columns::Cell;
use super::super::date_format::DateFormat;
use super::super::fields::Kind;
use super::super::zone::UTC;
use super::{Aggregation, Metric, MetricKind};
use crate::{Measure, MeasureOf};
use model::Value as Stored;
use serde_json::{Map, Value, json};
use std::ops::{Bound, Range};
use storage::Filter;

/// The metrics directly below a bucket, as measures of its fold.
#[derive(Default)]
pub(super) struct Metrics {
    /// Which aggregation, and which of the measures are its.
    pub(super) planned: Vec<(usize, PlannedMetric, Range<usize>)>,
    pub(super) measures: Vec<MeasureOf>,
}

/// A metric over a field whose type is known.
pub(super) struct PlannedMetric {
    metric: Metric,
    /// `None`: no table has the field.
    kind: Option<Kind>,
    format: DateFormat,
    pub(super) measures: Vec<MeasureOf>,
}

/// The numbers that stats are made of.
struct Summary {
    count: f64,
    min: Option<f64>,
    max: Option<f64>,
    sum: f64,
    squares: f64,
}

impl Metrics {
    /// Plans the metrics among `aggregations`.
    pub(super) fn plan(
        binder: &Binder<'_>,
        aggregations: &[Aggregation],
    ) -> Result<Metrics, EsError> {
        let mut metrics = Metrics::default();
        for (place, aggregation) in aggregations.iter().enumerate() {
            let Some(metric) = aggregation.metric() else { continue };
            let planned = PlannedMetric::plan(binder, metric)?;
            let start = metrics.measures.len();
            metrics.measures.extend(planned.measures.iter().cloned());
            metrics.planned.push((place, planned, start..metrics.measures.len()));
        }
        Ok(metrics)
    }
}

impl PlannedMetric {
    pub(super) fn plan(binder: &Binder<'_>, metric: &Metric) -> Result<PlannedMetric, EsError> {
        let mut planned = PlannedMetric {
            metric: metric.clone(),
            kind: None,
            format: DateFormat::default(),
            measures: Vec::new(),
        };
        let counted = matches!(metric.what, MetricKind::ValueCount | MetricKind::Cardinality);
        if counted && metric.field == "_id" {
            planned.kind = Some(Kind::Keyword);
            planned.measures = vec![MeasureOf { measure: Measure::Rows, filter: None }];
            return Ok(planned);
        }
        let Some(found) = binder.fields.resolve(&metric.field)? else { return Ok(planned) };
        if found.kind == Kind::Text {
            return Err(EsError::fielddata(&found.name, found.table()));
        }
        if !counted && !found.kind.is_number() && found.kind != Kind::Sealed {
            return Err(EsError::illegal(format!(
                "Field [{}] of type [{}] is not supported for aggregation [{}]",
                metric.field,
                found.kind.as_str(),
                metric.word
            )));
        }
        if let Some(format) = &metric.format {
            if found.kind != Kind::Date {
                return Err(EsError::illegal(format!(
                    "[format] on the field [{}] of type [{}] is not supported by Clerestory",
                    metric.field,
                    found.kind.as_str()
                )));
            }
            planned.format = DateFormat::parse(format)?;
        }
        planned.kind = Some(found.kind);
        planned.measures = measures(metric, found.kind);
        Ok(planned)
    }

    /// Whether it is worth computing only for the buckets that are shown.
    pub(super) fn is_heavy(&self) -> bool {
        matches!(self.metric.what, MetricKind::Cardinality | MetricKind::Percentiles { .. })
    }

    /// The number that buckets are ordered by.
    pub(super) fn value(
        &self,
        cells: &[Cell],
        property: Option<&str>,
    ) -> Result<Option<f64>, EsError> {
        let summary = self.summary(cells);
        Ok(match (&self.metric.what, property) {
            (MetricKind::Min | MetricKind::Max, None | Some("value"))
            | (MetricKind::Avg | MetricKind::Sum, None | Some("value"))
            | (MetricKind::ValueCount | MetricKind::Cardinality, None | Some("value")) => {
                self.single(&summary, cells)
            }
            (MetricKind::Stats | MetricKind::ExtendedStats { .. }, Some(property)) => {
                match property {
                    "count" => Some(summary.count),
                    "min" => summary.min,
                    "max" => summary.max,
                    "sum" => Some(summary.sum),
                    "avg" => summary.mean(),
                    "sum_of_squares" => Some(summary.squares),
                    "variance" | "variance_population" => summary.variance(false),
                    "variance_sampling" => summary.variance(true),
                    "std_deviation" | "std_deviation_population" => {
                        summary.variance(false).map(f64::sqrt)
                    }
                    "std_deviation_sampling" => summary.variance(true).map(f64::sqrt),
                    other => return Err(no_property(other)),
                }
            }
            (MetricKind::Percentiles { percents, .. }, Some(property)) => {
                let wanted: f64 = property.parse().map_err(|_| no_property(property))?;
                let place = percents.iter().position(|percent| *percent == wanted);
                let place = place.ok_or_else(|| no_property(property))?;
                quantiles(cells).get(place).copied().flatten()
            }
            (_, property) => return Err(no_property(property.unwrap_or(""))),
        })
    }

    fn single(&self, summary: &Summary, cells: &[Cell]) -> Option<f64> {
        match self.metric.what {
            MetricKind::Min => summary.min,
            MetricKind::Max => summary.max,
            MetricKind::Avg => summary.mean(),
            MetricKind::Sum => Some(summary.sum),
            MetricKind::Cardinality => Some(cells.first().map_or(0.0, |cell| cell.count() as f64)),
            _ => Some(summary.count),
        }
    }

    /// Reads the cells of this metric's measures; none means no row.
    fn summary(&self, cells: &[Cell]) -> Summary {
        let number = |place: usize| cells.get(place).and_then(Cell::number);
        let zero = |place: usize| number(place).unwrap_or(0.0);
        let none = Summary { count: 0.0, min: None, max: None, sum: 0.0, squares: 0.0 };
        let mut summary = match self.metric.what {
            MetricKind::Min => Summary { min: number(0), ..none },
            MetricKind::Max => Summary { max: number(0), ..none },
            MetricKind::Sum => Summary { sum: zero(0), ..none },
            MetricKind::Avg => Summary { sum: zero(0), count: zero(1), ..none },
            MetricKind::ValueCount => Summary { count: zero(0), ..none },
            MetricKind::Stats | MetricKind::ExtendedStats { .. } => Summary {
                count: zero(0),
                min: number(1),
                max: number(2),
                sum: zero(3),
                squares: zero(4),
            },
            _ => none,
        };
        if let (Some(missing), true) = (self.metric.missing, self.kind.is_some()) {
            let rows = cells.last().map_or(0.0, |cell| cell.count() as f64);
            if rows > 0.0 {
                summary.count += rows;
                summary.sum += missing * rows;
                summary.squares += missing * missing * rows;
                summary.min = Some(summary.min.map_or(missing, |min| min.min(missing)));
                summary.max = Some(summary.max.map_or(missing, |max| max.max(missing)));
            }
        }
        summary
    }

    /// The metric as Elasticsearch shows it.
    pub(super) fn render(&self, cells: &[Cell]) -> Map<String, Value> {
        let summary = self.summary(cells);
        let mut out = Map::new();
        match &self.metric.what {
            MetricKind::ValueCount => put(&mut out, "value", json!(summary.count as u64)),
            MetricKind::Cardinality => {
                put(&mut out, "value", json!(cells.first().map_or(0, Cell::count)));
            }
            MetricKind::Stats | MetricKind::ExtendedStats { .. } => self.stats(&summary, &mut out),
            MetricKind::Percentiles { percents, keyed } => {
                let values = quantiles(cells);
                self.ranks(percents, &values, *keyed, &mut out);
            }
            MetricKind::PercentileRanks { values, keyed } => {
                let all = cells.get(values.len()).map_or(0.0, |cell| cell.count() as f64);
                let shares: Vec<Option<f64>> = (0..values.len())
                    .map(|place| cells.get(place).map(|cell| cell.count() as f64 / all * 100.0))
                    .map(|share| share.filter(|share| share.is_finite()))
                    .collect();
                self.ranks(values, &shares, *keyed, &mut out);
            }
            _ => self.number("value", self.single(&summary, cells), &mut out),
        }
        out
    }

    /// A number and, for dates and booleans, its text.
    fn number(&self, name: &str, number: Option<f64>, out: &mut Map<String, Value>) {
        put(out, name, json!(number));
        let text = match (self.kind, number) {
            (Some(Kind::Date), Some(number)) => self.format.write(number as i64, UTC),
            (Some(Kind::Bool), Some(number)) => (number != 0.0).to_string(),
            _ => return,
        };
        put(out, &format!("{name}_as_string"), Value::String(text));
    }

    fn stats(&self, summary: &Summary, out: &mut Map<String, Value>) {
        put(out, "count", json!(summary.count as u64));
        self.number("min", summary.min, out);
        self.number("max", summary.max, out);
        self.number("avg", summary.mean(), out);
        self.number("sum", Some(summary.sum), out);
        let MetricKind::ExtendedStats { sigma } = self.metric.what else { return };
        let any = summary.count > 0.0;
        put(out, "sum_of_squares", if any { json!(summary.squares) } else { Value::Null });
        let (population, sampling) = (summary.variance(false), summary.variance(true));
        for (name, variance) in [
            ("variance", population),
            ("variance_population", population),
            ("variance_sampling", sampling),
        ] {
            put(out, name, json!(variance));
        }
        for (name, variance) in [
            ("std_deviation", population),
            ("std_deviation_population", population),
            ("std_deviation_sampling", sampling),
        ] {
            put(out, name, json!(variance.map(f64::sqrt)));
        }
        let bound = |variance: Option<f64>, sign: f64| {
            Some(summary.mean()? + sign * sigma * variance?.sqrt())
                .filter(|bound| bound.is_finite())
        };
        let bounds = json!({
            "upper": bound(population, 1.0),
            "lower": bound(population, -1.0),
            "upper_population": bound(population, 1.0),
            "lower_population": bound(population, -1.0),
            "upper_sampling": bound(sampling, 1.0),
            "lower_sampling": bound(sampling, -1.0),
        });
        put(out, "std_deviation_bounds", bounds);
    }

    /// Percents with their values, or values with their shares.
    fn ranks(
        &self,
        keys: &[f64],
        values: &[Option<f64>],
        keyed: bool,
        out: &mut Map<String, Value>,
    ) {
        let value = |place: usize| values.get(place).copied().flatten();
        let dates = self.kind == Some(Kind::Date)
            && matches!(self.metric.what, MetricKind::Percentiles { .. });
        let shown = |number: f64| Value::String(self.format.write(number as i64, UTC));
        let rows = if keyed {
            let mut members = Map::new();
            for (place, key) in keys.iter().enumerate() {
                let name = Value::from(*key).to_string();
                put(&mut members, &name, json!(value(place)));
                if let (true, Some(number)) = (dates, value(place)) {
                    put(&mut members, &format!("{name}_as_string"), shown(number));
                }
            }
            Value::Object(members)
        } else {
            let list = keys.iter().enumerate().map(|(place, key)| {
                let mut members = Map::new();
                put(&mut members, "key", json!(key));
                put(&mut members, "value", json!(value(place)));
                if let (true, Some(number)) = (dates, value(place)) {
                    put(&mut members, "value_as_string", shown(number));
                }
                Value::Object(members)
            });
            Value::Array(list.collect())
        };
        put(out, "values", rows);
    }

    /// What `typed_keys` puts before the name.
    pub(super) fn type_word(&self) -> &'static str {
        match self.metric.what {
            MetricKind::Percentiles { .. } => "tdigest_percentiles",
            MetricKind::PercentileRanks { .. } => "tdigest_percentile_ranks",
            _ => self.metric.word,
        }
    }
}

impl Summary {
    fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }

    fn variance(&self, sampling: bool) -> Option<f64> {
        let mean = self.mean()?;
        let spread = (self.squares - self.sum * mean).max(0.0);
        let divisor = if sampling { self.count - 1.0 } else { self.count };
        Some(spread / divisor).filter(|variance| variance.is_finite())
    }
}

fn put(out: &mut Map<String, Value>, name: &str, value: Value) {
    out.insert(name.to_owned(), value);
}

fn no_property(property: &str) -> EsError {
    EsError::illegal(format!("Invalid aggregation order path: unknown metric value [{property}]"))
}

fn quantiles(cells: &[Cell]) -> Vec<Option<f64>> {
    match cells.first() {
        Some(Cell::List(values)) => values.clone(),
        _ => Vec::new(),
    }
}

/// The measures of a metric, in the order in which it reads them.
fn measures(metric: &Metric, kind: Kind) -> Vec<MeasureOf> {
    let field = || metric.field.clone();
    let all: Vec<Measure> = match &metric.what {
        MetricKind::Min => vec![Measure::Min(field())],
        MetricKind::Max => vec![Measure::Max(field())],
        MetricKind::Sum => vec![Measure::Sum(field())],
        MetricKind::Avg => vec![Measure::Sum(field()), Measure::Values(field())],
        MetricKind::ValueCount => vec![Measure::Values(field())],
        MetricKind::Cardinality => vec![Measure::Distinct(field())],
        MetricKind::Percentiles { percents, .. } => {
            vec![Measure::Quantiles(field(), percents.iter().map(|p| p / 100.0).collect())]
        }
        MetricKind::Stats | MetricKind::ExtendedStats { .. } => vec![
            Measure::Values(field()),
            Measure::Min(field()),
            Measure::Max(field()),
            Measure::Sum(field()),
        ],
        MetricKind::PercentileRanks { values, .. } => {
            let up_to = |limit: f64| {
                let limit = match kind {
                    Kind::Long | Kind::Date => Stored::Long(limit.floor() as i64),
                    Kind::Bool => Stored::Bool(limit >= 1.0),
                    _ => Stored::Double(limit),
                };
                let range = Filter::Range {
                    field: field(),
                    from: Bound::Unbounded,
                    to: Bound::Included(limit),
                };
                MeasureOf { measure: Measure::Values(field()), filter: Some(range) }
            };
            let mut measures: Vec<MeasureOf> = values.iter().map(|limit| up_to(*limit)).collect();
            measures.push(MeasureOf { measure: Measure::Values(field()), filter: None });
            return measures;
        }
    };
    let mut measures: Vec<MeasureOf> =
        all.into_iter().map(|measure| MeasureOf { measure, filter: None }).collect();
    if matches!(metric.what, MetricKind::ExtendedStats { .. }) {
        measures.push(MeasureOf { measure: Measure::SumOfSquares(field()), filter: None });
    }
    if metric.missing.is_some() {
        let filter = Some(Filter::Exists(field()).negate());
        measures.push(MeasureOf { measure: Measure::Rows, filter });
    }
    measures
}
