//! What is asked of a metric.

use super::condition::{Condition, Literal};
use super::model::Grain;
use crate::{QueryError, elasticsearch};
use chrono_tz::Tz;
use model::Timestamp;
use serde_json::Value as Json;

/// What is asked of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricQuery {
    /// How long intervals are; `None`: as the metric says.
    pub grain: Option<Grain>,
    /// Fields to cut by, of those that the metric names.
    pub dimensions: Vec<String>,
    /// Each field has one of these values.
    pub(super) filters: Option<Condition>,
    /// Only rows from this moment on.
    pub from: Option<Timestamp>,
    /// Only rows before this moment.
    pub to: Option<Timestamp>,
    /// Where days begin.
    pub time_zone: Tz,
}

impl Default for MetricQuery {
    /// Everything as the metric says, in UTC.
    fn default() -> MetricQuery {
        MetricQuery {
            grain: None,
            dimensions: Vec::new(),
            filters: None,
            from: None,
            to: None,
            time_zone: Tz::UTC,
        }
    }
}

impl MetricQuery {
    /// Reads a question:
    /// `{"grain": "day", "dimensions": ["model"], "filters": {"model": ["cam-3"]},
    /// "from": "now-30d/d", "to": "2026-11-23", "time_zone": "Europe/Berlin"}`, all optional.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] that names the key.
    pub fn from_json(body: &Json, now: Timestamp) -> Result<MetricQuery, QueryError> {
        let invalid = |text: String| Err(QueryError::Invalid(text));
        let Json::Object(body) = body else {
            if body.is_null() {
                return Ok(MetricQuery::default());
            }
            return invalid("a question to a metric is a JSON object".to_owned());
        };
        let mut query = MetricQuery::default();
        // The zone first: dates are read in it.
        if let Some(zone) = body.get("time_zone").filter(|zone| !zone.is_null()) {
            let known = zone.as_str().and_then(|name| name.parse().ok());
            query.time_zone = match known {
                Some(zone) => zone,
                None => return invalid("`time_zone` is a name such as `Europe/Berlin`".to_owned()),
            };
        }
        for (key, value) in body.iter().filter(|(_, value)| !value.is_null()) {
            match key.as_str() {
                "time_zone" => {}
                "grain" => match value.as_str().and_then(Grain::parse) {
                    Some(grain) => query.grain = Some(grain),
                    None => {
                        let words = "`grain` is one of hour, day, week, month, total";
                        return invalid(words.to_owned());
                    }
                },
                "dimensions" => query.dimensions = texts(value)?,
                "filters" => query.filters = Some(filters(value)?),
                "from" => query.from = Some(moment(key, value, query.time_zone, now)?),
                "to" => query.to = Some(moment(key, value, query.time_zone, now)?),
                other => {
                    let known = ["grain", "dimensions", "filters", "from", "to", "time_zone"];
                    let hint = crate::error::nearest(other, known.into_iter());
                    return invalid(format!("a question to a metric has no key `{other}`{hint}"));
                }
            }
        }
        if query.from.zip(query.to).is_some_and(|(from, to)| from >= to) {
            return invalid("`from` has to be before `to`".to_owned());
        }
        Ok(query)
    }
}

fn texts(value: &Json) -> Result<Vec<String>, QueryError> {
    let texts: Option<Vec<String>> = match value {
        Json::String(text) => Some(vec![text.clone()]),
        Json::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    texts.ok_or_else(|| QueryError::Invalid("`dimensions` is a list of field names".to_owned()))
}

fn filters(value: &Json) -> Result<Condition, QueryError> {
    let wrong = || {
        QueryError::Invalid(
            "`filters` is an object of fields with values, such as {\"model\": [\"cam-3\"]}"
                .to_owned(),
        )
    };
    let literal = |value: &Json| match value {
        Json::Bool(value) => Ok(Literal::Bool(*value)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Ok(Literal::Long(value)),
            (None, Some(value)) => Ok(Literal::Double(value)),
            (None, None) => Err(wrong()),
        },
        Json::String(text) => Ok(Literal::Text(text.clone())),
        Json::Null | Json::Array(_) | Json::Object(_) => Err(wrong()),
    };
    let Json::Object(fields) = value else { return Err(wrong()) };
    let mut found = Vec::new();
    for (name, value) in fields {
        let values = match value {
            Json::Array(values) => values.iter().map(literal).collect::<Result<Vec<_>, _>>()?,
            one => vec![literal(one)?],
        };
        if values.is_empty() {
            return Err(wrong());
        }
        found.push((name.clone(), values));
    }
    Ok(Condition::Fields(found))
}

fn moment(key: &str, value: &Json, zone: Tz, now: Timestamp) -> Result<Timestamp, QueryError> {
    let read = match value {
        Json::Number(number) => number.as_i64(),
        Json::String(text) => elasticsearch::moment(text, zone, now).ok(),
        _ => None,
    };
    read.map(Timestamp).ok_or_else(|| {
        QueryError::Invalid(format!("`{key}` is a date, such as 2026-11-23 or now-30d/d"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_question_is_read_strictly() {
        let now = Timestamp(1_790_000_000_000);
        let body = json!({
            "grain": "all", "dimensions": ["model"], "filters": {"model": ["a", "b"], "ok": true},
            "from": "2026-01-01", "to": 1_790_000_000_000_i64, "time_zone": "Europe/Berlin",
        });
        let query = MetricQuery::from_json(&body, now).unwrap();
        assert_eq!(query.grain, Some(Grain::Total));
        assert_eq!(query.from.unwrap().to_rfc3339(), "2025-12-31T23:00:00.000Z");
        assert_eq!(query.to, Some(now));
        let error = |body: Json| MetricQuery::from_json(&body, now).unwrap_err().to_string();
        assert!(error(json!({"dimension": []})).contains("did you mean `dimensions`"));
        assert!(error(json!({"grain": "second"})).contains("hour, day"));
        assert!(error(json!({"from": "yesterday"})).contains("from"));
        assert!(error(json!({"from": "now", "to": "now-1d"})).contains("before"));
        assert!(error(json!({"filters": {"a": {}}})).contains("filters"));
    }
}
