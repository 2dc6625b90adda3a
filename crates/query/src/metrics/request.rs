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
    pub(super) filters: Vec<(String, Vec<Literal>)>,
    /// Only rows from this moment on.
    pub from: Option<Timestamp>,
    /// Only rows before this moment.
    pub to: Option<Timestamp>,
    /// Where days begin.
    pub time_zone: Tz,
    /// With what the numbers are compared.
    pub compare: Option<Compare>,
    /// When the question is asked; nothing after it has happened yet.
    pub now: Option<Timestamp>,
    /// Equal intervals in the place of a grain.
    pub steps: Option<Steps>,
    /// Whether the answer says what it was read from.
    pub explain: bool,
    /// Whether tiles may be read; the answer is the same without.
    pub tiles: bool,
}

/// Intervals of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// A moment at which one begins, in milliseconds since 1970.
    pub from_ms: i64,
    /// How long they are, in milliseconds; at least 1.
    pub step_ms: i64,
}

/// With what numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The time as long as the one that is asked for, just before it.
    PreviousPeriod,
    /// The same time a year before; weeks with the week 52 weeks before.
    PreviousYear,
}

impl Compare {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Compare::PreviousPeriod => "previous_period",
            Compare::PreviousYear => "previous_year",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Compare> {
        let all = [Compare::PreviousPeriod, Compare::PreviousYear];
        all.into_iter().find(|compare| compare.as_str() == word)
    }
}

impl Default for MetricQuery {
    /// Everything as the metric says, in UTC.
    fn default() -> MetricQuery {
        MetricQuery {
            grain: None,
            dimensions: Vec::new(),
            filters: Vec::new(),
            from: None,
            to: None,
            time_zone: Tz::UTC,
            compare: None,
            now: None,
            steps: None,
            explain: false,
            tiles: true,
        }
    }
}

impl MetricQuery {
    /// Reads a question:
    /// `{"grain": "day", "dimensions": ["model"], "filters": {"model": ["cam-3"]},
    /// "from": "now-30d/d", "to": "2026-11-23", "time_zone": "Europe/Berlin", "compare":
    /// "previous_period"}`, all optional; also `"explain": true` and `"tiles": false`.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] that names the key.
    pub fn from_json(body: &Json, now: Timestamp) -> Result<MetricQuery, QueryError> {
        let invalid = |text: String| Err(QueryError::Invalid(text));
        let Json::Object(body) = body else {
            if body.is_null() {
                return Ok(MetricQuery { now: Some(now), ..MetricQuery::default() });
            }
            return invalid("a question to a metric is a JSON object".to_owned());
        };
        let mut query = MetricQuery { now: Some(now), ..MetricQuery::default() };
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
                        return invalid(format!("`grain` is one of {}", Grain::WORDS));
                    }
                },
                "dimensions" => query.dimensions = texts(value)?,
                "filters" => query.filters = filters(value)?,
                "compare" => match value.as_str().and_then(Compare::parse) {
                    Some(compare) => query.compare = Some(compare),
                    None => {
                        let words = "`compare` is previous_period or previous_year";
                        return invalid(words.to_owned());
                    }
                },
                "explain" => query.explain = truth(key, value)?,
                "tiles" => query.tiles = truth(key, value)?,
                "from" => query.from = Some(moment(key, value, query.time_zone, now)?),
                "to" => query.to = Some(moment(key, value, query.time_zone, now)?),
                other => {
                    let known = [
                        "grain",
                        "dimensions",
                        "filters",
                        "from",
                        "to",
                        "time_zone",
                        "compare",
                        "explain",
                        "tiles",
                    ];
                    let hint = crate::error::nearest(other, known.into_iter());
                    return invalid(format!("a question to a metric has no key `{other}`{hint}"));
                }
            }
        }
        if query.compare.is_some() {
            if query.from.is_none() {
                return invalid("a comparison needs `from`, such as now-30d/d".to_owned());
            }
            query.to = query.to.or(Some(now));
        }
        if query.from.zip(query.to).is_some_and(|(from, to)| from >= to) {
            return invalid("`from` has to be before `to`".to_owned());
        }
        Ok(query)
    }

    /// The same with one more filter: a field has one of these values.
    pub fn filtered(mut self, field: &str, values: &[String]) -> MetricQuery {
        let values = values.iter().map(|value| Literal::Text(value.clone())).collect();
        self.filters.push((field.to_owned(), values));
        self
    }

    /// The filters as one condition.
    pub(super) fn condition(&self) -> Option<Condition> {
        (!self.filters.is_empty()).then(|| Condition::Fields(self.filters.clone()))
    }
}

fn truth(key: &str, value: &Json) -> Result<bool, QueryError> {
    let wrong = || QueryError::Invalid(format!("`{key}` is true or false"));
    value.as_bool().ok_or_else(wrong)
}

fn texts(value: &Json) -> Result<Vec<String>, QueryError> {
    let texts: Option<Vec<String>> = match value {
        Json::String(text) => Some(vec![text.clone()]),
        Json::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    texts.ok_or_else(|| QueryError::Invalid("`dimensions` is a list of field names".to_owned()))
}

fn filters(value: &Json) -> Result<Vec<(String, Vec<Literal>)>, QueryError> {
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
    Ok(found)
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
        assert!(error(json!({"compare": "previous_year"})).contains("needs `from`"));
        assert!(error(json!({"compare": "year", "from": "now-1d"})).contains("previous_year"));
        assert!(error(json!({"from": "yesterday"})).contains("from"));
        assert!(error(json!({"from": "now", "to": "now-1d"})).contains("before"));
        assert!(error(json!({"filters": {"a": {}}})).contains("filters"));
        assert!(error(json!({"tiles": "no"})).contains("`tiles` is true or false"));
    }
}
