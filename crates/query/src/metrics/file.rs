//! The YAML of a file of metrics, and where in it things stand.

use super::condition::{Condition, Literal};
use super::model::{Aggregate, Empty, Grain, Measured, Metric, MetricKind, ModelError};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The largest file, in bytes.
const FILE_MAX: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    version: Option<u32>,
    #[serde(default)]
    measures: Vec<FileMeasure>,
    #[serde(default)]
    metrics: Vec<FileMetric>,
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
    #[serde(default)]
    grain: Option<String>,
    #[serde(default)]
    dimensions: Vec<String>,
    #[serde(default)]
    empty: FileEmpty,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileKind {
    Simple,
    Ratio,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileEmpty {
    #[default]
    Gap,
    Zero,
}

/// Reads a file: measures, metrics, and where they stand.
pub(super) fn read(yaml: &str) -> Result<(Vec<Measured>, Vec<Metric>, Lines), ModelError> {
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
    let measures = file
        .measures
        .into_iter()
        .map(|measure| measured(measure, &lines))
        .collect::<Result<_, _>>()?;
    let metrics = file.metrics.into_iter().map(|m| metric(m, &lines)).collect::<Result<_, _>>()?;
    Ok((measures, metrics, lines))
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
    let condition = filter.map(|filter| match filter {
        FileCondition::Sql(text) => Condition::Sql(text),
        FileCondition::Fields(fields) => {
            let many = |values| match values {
                OneOrMany::Many(values) => values,
                OneOrMany::One(value) => vec![value],
            };
            Condition::Fields(fields.into_iter().map(|(name, v)| (name, many(v))).collect())
        }
    });
    Ok(Measured { name, table, time, aggregate, condition })
}

fn metric(metric: FileMetric, lines: &Lines) -> Result<Metric, ModelError> {
    let FileMetric { name, label, description, kind, measure, numerator, denominator, .. } = metric;
    let wrong = |key: &str, message: String| Err(lines.error("metrics", &name, key, message));
    let kind = match (kind, measure, numerator, denominator) {
        (FileKind::Simple, Some(measure), None, None) => MetricKind::Simple { measure },
        (FileKind::Ratio, None, Some(numerator), Some(denominator)) => {
            MetricKind::Ratio { numerator, denominator }
        }
        (FileKind::Simple, ..) => {
            return wrong(
                "type",
                format!("simple metric `{name}` needs `measure` and nothing else"),
            );
        }
        (FileKind::Ratio, ..) => {
            let message = format!("ratio `{name}` needs `numerator` and `denominator`");
            return wrong("type", message);
        }
    };
    let grain = match metric.grain.as_deref() {
        None => Grain::Day,
        Some(word) => match Grain::parse(word) {
            Some(grain) => grain,
            None => {
                let message = format!("`{word}` is no grain: hour, day, week, month or total");
                return wrong("grain", message);
            }
        },
    };
    let empty = match metric.empty {
        FileEmpty::Gap => Empty::Gap,
        FileEmpty::Zero => Empty::Zero,
    };
    let label = label.unwrap_or_else(|| name.clone());
    Ok(Metric { name, label, description, kind, grain, dimensions: metric.dimensions, empty })
}

/// Where the parts of a file stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lines {
    items: Vec<Item>,
    tops: Vec<(String, usize)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Item {
    section: String,
    name: String,
    /// The line of each key.
    keys: Vec<(String, usize)>,
}

impl Lines {
    /// Finds sections, items and keys by their indentation. The file was parsed before, so this
    /// only has to be right for files that are written one key a line; others get the section.
    fn new(yaml: &str) -> Lines {
        let mut lines = Lines::default();
        let mut section = String::new();
        let mut item: Vec<(String, usize)> = Vec::new();
        let mut name = None;
        for (number, line) in (1..).zip(yaml.lines()) {
            let text = line.trim_start();
            let starts_item = text.starts_with("- ");
            let is_top = line.len() == text.len() && !starts_item;
            let text = text.trim_start_matches("- ").trim_start();
            let Some((key, value)) = text.split_once(':') else { continue };
            let key = key.trim_matches(['"', '\'', ' ']).to_owned();
            if (starts_item || is_top) && !item.is_empty() {
                lines.push(&section, name.take(), std::mem::take(&mut item));
            }
            if is_top {
                lines.tops.push((key.clone(), number));
                section = key;
                continue;
            }
            if key == "name" {
                let value = value.split(" #").next().unwrap_or(value);
                name = Some(value.trim().trim_matches(['"', '\'']).to_owned());
            }
            item.push((key, number));
        }
        lines.push(&section, name, item);
        lines
    }

    fn push(&mut self, section: &str, name: Option<String>, keys: Vec<(String, usize)>) {
        let (section, name) = (section.to_owned(), name.unwrap_or_default());
        self.items.push(Item { section, name, keys });
    }

    fn top(&self, key: &str) -> usize {
        self.tops.iter().find(|(top, _)| top == key).map_or(1, |(_, line)| *line)
    }

    /// An error at a key of an item, or at the item if the key is not written.
    pub(super) fn error(
        &self,
        section: &str,
        name: &str,
        key: &str,
        message: String,
    ) -> ModelError {
        let item = self.items.iter().find(|item| item.section == section && item.name == name);
        let line = item.and_then(|item| {
            let exact = item.keys.iter().find(|(written, _)| written == key);
            exact.or_else(|| item.keys.first()).map(|(_, line)| *line)
        });
        ModelError { line: line.unwrap_or_else(|| self.top(section)), message }
    }

    /// An error at the last item of a name that comes twice.
    pub(super) fn error_at_last(&self, section: &str, name: &str, message: String) -> ModelError {
        let mut last_first = self.items.iter().rev();
        let item = last_first.find(|item| item.section == section && item.name == name);
        let line = item.and_then(|item| item.keys.first()).map(|(_, line)| *line);
        ModelError { line: line.unwrap_or_else(|| self.top(section)), message }
    }
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
