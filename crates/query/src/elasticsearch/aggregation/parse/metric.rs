//! Metrics.

use super::super::super::{EsError, json};
use super::super::{Metric, MetricKind};
use super::{Members, format, no_field, unknown_member};
use serde_json::Value;

pub(super) fn metric(word: &'static str, body: &Members) -> Result<Metric, EsError> {
    let (mut field, mut missing, mut written, mut keyed) = (None, None, None, true);
    let (mut sigma, mut percents, mut values) =
        (2.0, vec![1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0], Vec::new());
    for (key, value) in body {
        match key.as_str() {
            "field" => field = Some(json::text(value, key)?),
            "missing" => missing = Some(json::number(value, key)?),
            "format" => written = format(value)?,
            "sigma" if word == "extended_stats" => sigma = json::number(value, key)?,
            "percents" if word == "percentiles" => percents = numbers(value, key)?,
            "values" if word == "percentile_ranks" => values = numbers(value, key)?,
            "keyed" if word.starts_with("percentile") => keyed = json::boolean(value, key)?,
            "tdigest" | "hdr" if word.starts_with("percentile") => {}
            "precision_threshold" | "execution_hint" if word == "cardinality" => {}
            other => return Err(unknown_member(word, other)),
        }
    }
    let what = match word {
        "min" => MetricKind::Min,
        "max" => MetricKind::Max,
        "avg" => MetricKind::Avg,
        "sum" => MetricKind::Sum,
        "stats" => MetricKind::Stats,
        "extended_stats" => MetricKind::ExtendedStats { sigma },
        "value_count" => MetricKind::ValueCount,
        "cardinality" => MetricKind::Cardinality,
        "percentiles" => {
            if percents.iter().any(|percent| !(0.0..=100.0).contains(percent)) {
                return Err(EsError::illegal("[percents] must be between 0 and 100"));
            }
            MetricKind::Percentiles { percents, keyed }
        }
        _ if values.is_empty() => {
            return Err(EsError::illegal("[values] must not be an empty array"));
        }
        _ => MetricKind::PercentileRanks { values, keyed },
    };
    let derived = matches!(
        what,
        MetricKind::Cardinality
            | MetricKind::Percentiles { .. }
            | MetricKind::PercentileRanks { .. }
    );
    if missing.is_some() && derived {
        return Err(EsError::illegal(format!(
            "[missing] is not supported by Clerestory in [{word}]"
        )));
    }
    Ok(Metric { word, what, field: field.ok_or_else(no_field)?, missing, format: written })
}

fn numbers(value: &Value, key: &str) -> Result<Vec<f64>, EsError> {
    match value {
        Value::Array(list) if !list.is_empty() && list.len() <= 1024 => {
            let mut numbers: Vec<f64> =
                list.iter().map(|item| json::number(item, key)).collect::<Result<_, _>>()?;
            numbers.sort_by(f64::total_cmp);
            numbers.dedup();
            Ok(numbers)
        }
        Value::Number(_) => Ok(vec![json::number(value, key)?]),
        _ => Err(EsError::illegal(format!("[{key}] must be an array of 1 to 1024 numbers"))),
    }
}
