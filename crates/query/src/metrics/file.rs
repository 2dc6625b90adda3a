//! The YAML of a file of metrics, and where in it things stand.

use super::condition::{Condition, Literal};
use super::expression::Expression;
use super::join::JoinedTable;
use super::lines::Lines;
use super::model::{
    Aggregate, Conversion, Empty, Entities, Grain, Measured, Metric, MetricKind, ModelError, Reach,
    Retained, Step,
};
use super::span::Span;
use super::tests_of::MetricTest;
use crate::PERIODS_MAX;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// The largest file, in bytes.
const FILE_MAX: usize = 1 << 20;
/// The most steps of a funnel.
const STEPS_MAX: usize = 12;
/// The most tests of a file: each is a question.
const TESTS_MAX: usize = 100;
/// The last period that a retention may ask for.
const PERIOD_MAX: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    version: Option<u32>,
    #[serde(default)]
    measures: Vec<FileMeasure>,
    #[serde(default)]
    metrics: Vec<FileMetric>,
    #[serde(default)]
    joins: Vec<FileJoin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJoin {
    name: String,
    table: String,
    on: String,
    key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMeasure {
    name: String,
    table: String,
    time: Option<String>,
    agg: Agg,
    field: Option<String>,
    quantile: Option<f64>,
    #[serde(alias = "where")]
    filter: Option<FileCondition>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Agg {
    Count,
    #[serde(alias = "distinct")]
    CountDistinct,
    Sum,
    #[serde(alias = "average", alias = "mean")]
    Avg,
    Min,
    Max,
    Median,
    #[serde(alias = "percentile")]
    Quantile,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FileCondition {
    Sql(String),
    Fields(BTreeMap<String, OneOrMany>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Literal>),
    One(Literal),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMetric {
    name: String,
    label: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(rename = "type")]
    kind: FileKind,
    measure: Option<String>,
    numerator: Option<String>,
    denominator: Option<String>,
    expression: Option<String>,
    table: Option<String>,
    time: Option<String>,
    entity: Option<String>,
    #[serde(alias = "where")]
    filter: Option<FileCondition>,
    window: Option<String>,
    since: Option<String>,
    steps: Option<Vec<FileStep>>,
    cohort: Option<FileCondition>,
    period: Option<String>,
    periods: Option<Vec<u32>>,
    #[serde(default)]
    grain: Option<String>,
    #[serde(default)]
    dimensions: Vec<String>,
    #[serde(default)]
    empty: FileEmpty,
    #[serde(default)]
    tests: Vec<FileTest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    name: String,
    #[serde(alias = "where")]
    filter: FileCondition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTest {
    #[serde(default)]
    ask: Map<String, Json>,
    expect: Vec<Map<String, Json>>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum FileKind {
    Simple,
    Ratio,
    Derived,
    Cumulative,
    Unique,
    #[serde(alias = "funnel")]
    Conversion,
    Retention,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileEmpty {
    #[default]
    Gap,
    Zero,
}

/// What a file says, and where.
pub(super) struct Read {
    pub(super) measures: Vec<Measured>,
    pub(super) metrics: Vec<Metric>,
    pub(super) joins: Vec<JoinedTable>,
    pub(super) tests: Vec<MetricTest>,
    pub(super) lines: Lines,
}

/// Reads a file.
pub(super) fn read(yaml: &str) -> Result<Read, ModelError> {
    let too_large = yaml.len() > FILE_MAX;
    if too_large {
        let message = "a file of metrics has at most one megabyte".to_owned();
        return Err(ModelError { line: 1, message });
    }
    let file: File = serde_norway::from_str(yaml).map_err(|error| ModelError {
        line: error.location().map_or(1, |location| location.line()),
        message: without_place(&error.to_string()),
    })?;
    let lines = Lines::new(yaml);
    if file.version.is_some_and(|version| version != 1) {
        let message = "this is version 1 of the format; write `version: 1`".to_owned();
        return Err(ModelError { line: lines.top("version"), message });
    }
    let measures = file.measures.into_iter().map(|measure| measured(measure, &lines));
    let mut measures = measures.collect::<Result<Vec<_>, _>>()?;
    let mut metrics = Vec::with_capacity(file.metrics.len());
    let mut tests = Vec::new();
    for mut declared in file.metrics {
        let line = lines.of("metrics", &declared.name, "tests");
        let own = std::mem::take(&mut declared.tests).into_iter().map(|test| MetricTest {
            metric: declared.name.clone(),
            ask: Json::Object(test.ask),
            expect: test.expect,
            line,
        });
        tests.extend(own);
        if tests.len() > TESTS_MAX {
            let message = format!("a file has at most {TESTS_MAX} tests; cut it in two");
            return Err(ModelError { line, message });
        }
        metrics.push(metric(declared, &lines, &mut measures)?);
    }
    let joins = file.joins.into_iter().map(|join| JoinedTable {
        key: join.key.unwrap_or_else(|| join.on.clone()),
        name: join.name,
        table: join.table,
        on: join.on,
    });
    Ok(Read { measures, metrics, joins: joins.collect(), tests, lines })
}

/// The text of a YAML error without its own ` at line 3 column 5`.
fn without_place(text: &str) -> String {
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

fn measured(measure: FileMeasure, lines: &Lines) -> Result<Measured, ModelError> {
    let FileMeasure { name, table, time, agg, field, quantile, filter, _description } = measure;
    let wrong = |key: &str, message: &str| {
        Err(lines.error("measures", &name, key, format!("measure `{name}` {message}")))
    };
    let aggregate = match (agg, field) {
        (Agg::Count, None) => Aggregate::Count,
        (Agg::Count, Some(field)) => Aggregate::CountOf(field),
        (_, None) => return wrong("agg", "needs a `field`: only `count` goes without"),
        (Agg::CountDistinct, Some(field)) => Aggregate::Distinct(field),
        (Agg::Sum, Some(field)) => Aggregate::Sum(field),
        (Agg::Avg, Some(field)) => Aggregate::Mean(field),
        (Agg::Min, Some(field)) => Aggregate::Min(field),
        (Agg::Max, Some(field)) => Aggregate::Max(field),
        (Agg::Median, Some(field)) => Aggregate::Quantile(field, 0.5),
        (Agg::Quantile, Some(field)) => match quantile {
            Some(rank) if (0.0..=1.0).contains(&rank) => Aggregate::Quantile(field, rank),
            Some(_) => return wrong("quantile", "has a `quantile` that is not from 0 to 1"),
            None => return wrong("agg", "needs `quantile`, such as 0.95"),
        },
    };
    if quantile.is_some() && agg != Agg::Quantile {
        return wrong("quantile", "has a `quantile`, which only `agg: quantile` takes");
    }
    let condition = filter.map(FileCondition::read);
    Ok(Measured { name, table, time, aggregate, condition })
}

impl FileCondition {
    fn read(self) -> Condition {
        match self {
            FileCondition::Sql(text) => Condition::Sql(text),
            FileCondition::Fields(fields) => {
                let many = |values| match values {
                    OneOrMany::Many(values) => values,
                    OneOrMany::One(value) => vec![value],
                };
                Condition::Fields(fields.into_iter().map(|(name, v)| (name, many(v))).collect())
            }
        }
    }
}

/// The keys that only some types have, and which of them are written.
fn written(metric: &FileMetric) -> Vec<&'static str> {
    let keys = [
        ("measure", metric.measure.is_some()),
        ("numerator", metric.numerator.is_some()),
        ("denominator", metric.denominator.is_some()),
        ("expression", metric.expression.is_some()),
        ("table", metric.table.is_some()),
        ("time", metric.time.is_some()),
        ("entity", metric.entity.is_some()),
        ("filter", metric.filter.is_some()),
        ("window", metric.window.is_some()),
        ("since", metric.since.is_some()),
        ("steps", metric.steps.is_some()),
        ("cohort", metric.cohort.is_some()),
        ("period", metric.period.is_some()),
        ("periods", metric.periods.is_some()),
    ];
    keys.into_iter().filter(|(_, is_written)| *is_written).map(|(key, _)| key).collect()
}

impl FileKind {
    /// The keys that it needs, and those that it may have.
    fn keys(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            FileKind::Simple => (&["measure"], &[]),
            FileKind::Ratio => (&["numerator", "denominator"], &[]),
            FileKind::Derived => (&["expression"], &[]),
            FileKind::Cumulative => (&["measure"], &["window", "since"]),
            FileKind::Unique => (&["table", "entity"], &["time", "filter", "window"]),
            FileKind::Conversion => (&["table", "entity", "steps", "window"], &["time", "filter"]),
            FileKind::Retention => {
                (&["table", "entity", "periods"], &["time", "filter", "cohort", "period"])
            }
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            FileKind::Simple => "simple",
            FileKind::Ratio => "ratio",
            FileKind::Derived => "derived",
            FileKind::Cumulative => "cumulative",
            FileKind::Unique => "unique",
            FileKind::Conversion => "conversion",
            FileKind::Retention => "retention",
        }
    }
}

/// Reads a metric; a unique one adds its own measure to `measures`.
fn metric(
    mut metric: FileMetric,
    lines: &Lines,
    measures: &mut Vec<Measured>,
) -> Result<Metric, ModelError> {
    let name = metric.name.clone();
    let wrong = |key: &str, message: String| lines.error("metrics", &name, key, message);
    let (needed, allowed) = metric.kind.keys();
    let kind_name = metric.kind.as_str();
    let written = written(&metric);
    if let Some(missing) = needed.iter().find(|key| !written.contains(key)) {
        let all = needed.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
        let message = format!("{kind_name} metric `{name}` needs {all}; `{missing}` is missing");
        return Err(wrong("type", message));
    }
    if let Some(other) = written.iter().find(|key| !needed.contains(key) && !allowed.contains(key))
    {
        return Err(wrong(other, format!("{kind_name} metric `{name}` takes no `{other}`")));
    }
    let grain = |word: &str, key: &str| {
        Grain::parse(word)
            .ok_or_else(|| wrong(key, format!("`{word}` is no grain: {}", Grain::WORDS)))
    };
    let span = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => Span::parse(text).map(Some).ok_or_else(|| {
            wrong("window", format!("`{text}` is no length of time, such as 30m, 24h, 7d, 4w, 1M"))
        }),
    };
    let window = span(&metric.window)?;
    let measure = metric.measure.take().unwrap_or_default();
    let filter = metric.filter.take().map(FileCondition::read);
    let entities = Entities {
        table: metric.table.take().unwrap_or_default(),
        time: metric.time.take(),
        entity: metric.entity.take().unwrap_or_default(),
        condition: filter,
    };
    let kind = match metric.kind {
        FileKind::Simple => MetricKind::Simple { measure },
        FileKind::Ratio => MetricKind::Ratio {
            numerator: metric.numerator.take().unwrap_or_default(),
            denominator: metric.denominator.take().unwrap_or_default(),
        },
        FileKind::Derived => {
            let text = metric.expression.take().unwrap_or_default();
            let expression =
                Expression::parse(&text).map_err(|message| wrong("expression", message))?;
            MetricKind::Derived { expression }
        }
        FileKind::Cumulative => {
            let reach = match (window, metric.since.as_deref()) {
                (None, None) => Reach::Beginning,
                (Some(window), None) => Reach::Window(window),
                (None, Some(word)) => match grain(word, "since")? {
                    Grain::Total => Reach::Beginning,
                    unit => Reach::Since(unit),
                },
                (Some(_), Some(_)) => {
                    let message = "takes `window` or `since`, not both";
                    return Err(wrong("since", format!("cumulative metric `{name}` {message}")));
                }
            };
            MetricKind::Cumulative { measure, reach }
        }
        FileKind::Unique => {
            // No file can write a name with a dot.
            let measure = format!("{name}.entities");
            let Entities { table, time, entity, condition } = entities;
            let aggregate = Aggregate::Distinct(entity);
            measures.push(Measured { name: measure.clone(), table, time, aggregate, condition });
            MetricKind::Unique { measure, window }
        }
        FileKind::Conversion => {
            let Some(window) = window.filter(|window| window.fixed_ms().is_some()) else {
                let message = "the `window` of a conversion is at most weeks long, such as 7d";
                return Err(wrong("window", message.to_owned()));
            };
            let steps = steps(metric.steps.take().unwrap_or_default())
                .map_err(|message| wrong("steps", message))?;
            MetricKind::Conversion(Conversion { rows: entities, steps, window })
        }
        FileKind::Retention => {
            let unit = grain(metric.period.as_deref().unwrap_or("day"), "period")?;
            if !matches!(unit, Grain::Hour | Grain::Day | Grain::Week | Grain::Month) {
                let message = "the `period` of a retention is hour, day, week or month";
                return Err(wrong("period", message.to_owned()));
            }
            let mut periods = metric.periods.take().unwrap_or_default();
            periods.sort_unstable();
            periods.dedup();
            let is_fine = !periods.is_empty()
                && periods.len() <= PERIODS_MAX
                && periods.last().is_some_and(|last| *last <= PERIOD_MAX);
            if !is_fine {
                let message = format!(
                    "`periods` lists 1 to {PERIODS_MAX} numbers up to {PERIOD_MAX}, such as [1, 7, 30]"
                );
                return Err(wrong("periods", message));
            }
            let born = metric.cohort.take().map(FileCondition::read);
            MetricKind::Retention(Retained { rows: entities, born, unit, periods })
        }
    };
    let grain = match metric.grain.as_deref() {
        None => Grain::Day,
        Some(word) => grain(word, "grain")?,
    };
    let empty = match metric.empty {
        FileEmpty::Gap => Empty::Gap,
        FileEmpty::Zero => Empty::Zero,
    };
    let FileMetric { label, description, dimensions, .. } = metric;
    let label = label.unwrap_or_else(|| name.clone());
    Ok(Metric { name, label, description, kind, grain, dimensions, empty })
}

fn steps(steps: Vec<FileStep>) -> Result<Vec<Step>, String> {
    if !(2..=STEPS_MAX).contains(&steps.len()) {
        return Err(format!("a conversion has 2 to {STEPS_MAX} steps"));
    }
    let mut read: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        if step.name.is_empty() || read.iter().any(|known| known.name == step.name) {
            return Err("each step has a name of its own".to_owned());
        }
        read.push(Step { name: step.name, condition: step.filter.read() });
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::super::MetricModel;
    use super::*;

    const GOOD: &str = "\
measures:
  - name: all
    table: events
    agg: count
  - name: some
    table: events
    agg: quantile
    field: ms
    quantile: 0.95
    filter: {kind: [a, b], ok: true}
metrics:
  - name: share
    type: ratio
    numerator: some
    denominator: all
    grain: hour
    dimensions: [model]
    empty: zero
";

    #[test]
    fn a_file_is_read() {
        let model = MetricModel::parse(GOOD).unwrap();
        let share = model.metric("share").unwrap();
        assert_eq!(share.grain, Grain::Hour);
        assert_eq!(share.label, "share");
        assert_eq!(share.empty, Empty::Zero);
        let measures = model.measures_of(share);
        assert_eq!(measures[0].aggregate, Aggregate::Quantile("ms".to_owned(), 0.95));
        assert_eq!(measures[1].aggregate, Aggregate::Count);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let error = |from: &str, to: &str| {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from} stands in the file");
            MetricModel::parse(&text).unwrap_err()
        };
        let check = |from: &str, to: &str, line: usize, part: &str| {
            let error = error(from, to);
            assert!(error.message.contains(part), "{error}");
            assert_eq!(error.line, line, "{error}");
        };
        check("denominator: all", "denominator: alle", 15, "did you mean `all`");
        check("grain: hour", "grain: second", 16, "no grain");
        check("quantile: 0.95", "quantile: 95", 9, "from 0 to 1");
        check("    field: ms\n", "", 7, "needs a `field`");
        check("name: some", "name: all", 5, "two measures");
        check("    numerator: some\n", "", 13, "needs `numerator`");
        check("numerator: some", "measure: some", 13, "`numerator` is missing");
        check("type: ratio", "type: simple\n    measure: all", 15, "takes no `numerator`");
        assert!(error("grain: hour", "gain: hour").message.contains("unknown field"));
        assert!(error("agg: count", "agg: cound").message.contains("unknown variant"));
        assert_eq!(error("    table: events\n    agg: count", "    table: [").line, 3);
    }

    #[test]
    fn the_files_of_others_are_refused_gently() {
        for text in ["", "[]", "42", "measures: 7", "a: &a [*a]", "\u{0}", "metrics: [{}]"] {
            let _ = MetricModel::parse(text);
        }
    }
}
