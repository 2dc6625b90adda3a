//! Prometheus' API, as far as Grafana needs it to draw declared metrics. Under a prefix of its own,
//! `/_prometheus`, which is the URL of the data source.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::request::{Verb, read_params};
use crate::route::Call;
use engine::Caller;
use model::Timestamp;
use serde_json::{Value, json};

/// `query`.
pub(crate) fn instant(call: &Call<'_>, caller: &Caller) -> Answer {
    let params = Params::of(call)?;
    let time = params.moment("time")?;
    data(backend::prometheus_instant(&call.app.engine, caller, params.needed("query")?, time))
}

/// `query_range`.
pub(crate) fn range(call: &Call<'_>, caller: &Caller) -> Answer {
    let params = Params::of(call)?;
    let needed = |name: &str| {
        let missing = || ApiError::illegal_argument(format!("[{name}] is required"));
        params.moment(name)?.ok_or_else(missing)
    };
    let range = (needed("start")?, needed("end")?);
    let step = duration_ms(params.needed("step")?)
        .ok_or_else(|| ApiError::illegal_argument("[step] is seconds, or such as 5m, 1h, 1d"))?;
    let query = params.needed("query")?;
    data(backend::prometheus_range(&call.app.engine, caller, query, range, step))
}

/// `labels`.
pub(crate) fn labels(call: &Call<'_>, caller: &Caller) -> Answer {
    let params = Params::of(call)?;
    data(backend::prometheus_labels(&call.app.engine, caller, &params.all("match[]")))
}

/// `series`.
pub(crate) fn series(call: &Call<'_>, caller: &Caller) -> Answer {
    let params = Params::of(call)?;
    data(backend::prometheus_series(&call.app.engine, caller, &params.all("match[]")))
}

/// `label/{name}/values`.
pub(crate) fn values(call: &Call<'_>, caller: &Caller) -> Answer {
    let params = Params::of(call)?;
    let (engine, label) = (&call.app.engine, call.request.part("name"));
    let matches = params.all("match[]");
    if label == "__name__" {
        let series = backend::prometheus_series(engine, caller, &matches)?;
        let names = series.as_array().into_iter().flatten().map(|one| one["__name__"].clone());
        return data(Ok(names.collect()));
    }
    let range = (params.moment("start")?, params.moment("end")?);
    data(backend::prometheus_values(engine, caller, label, &matches, range))
}

/// `metadata`.
pub(crate) fn metadata(call: &Call<'_>, caller: &Caller) -> Answer {
    data(backend::prometheus_metadata(&call.app.engine, caller))
}

/// In Prometheus' shape, also what went wrong. Who is nobody got another answer long before.
fn data(answer: Result<Value, ApiError>) -> Answer {
    match answer {
        Ok(data) => Ok(Reply::json(json!({ "status": "success", "data": data }))),
        Err(error) => {
            let kind = match error.status().as_u16() {
                400 | 404 => "bad_data",
                408 => "timeout",
                _ => "execution",
            };
            let told = json!({ "status": "error", "errorType": kind, "error": error.reason() });
            Ok(Reply::json(told).with_status(error.status()))
        }
    }
}

/// The parameters of the URI and, for POST, of the form.
struct Params(Vec<(String, String)>);

impl Params {
    fn of(call: &Call<'_>) -> Result<Params, ApiError> {
        let mut params = call.request.params.clone();
        if call.request.verb == Verb::Post {
            params.extend(read_params(call.request.text()?)?);
        }
        Ok(Params(params))
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn needed(&self, name: &str) -> Result<&str, ApiError> {
        self.one(name).ok_or_else(|| ApiError::illegal_argument(format!("[{name}] is required")))
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// Seconds since 1970, or RFC 3339.
    fn moment(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.one(name) else { return Ok(None) };
        let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.abs() < 1e12);
        let ms = seconds.map(|seconds| (seconds * 1000.0).round() as i64);
        let date = || {
            let date = chrono::DateTime::parse_from_rfc3339(text).ok()?;
            Some(date.timestamp_millis())
        };
        match ms.or_else(date) {
            Some(ms) => Ok(Some(Timestamp(ms))),
            None => Err(ApiError::illegal_argument(format!(
                "[{name}] is seconds since 1970, or a date such as 2026-11-23T00:00:00Z"
            ))),
        }
    }
}

/// Seconds, or a number with a unit, in milliseconds.
fn duration_ms(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let unit = match unit {
        "" | "s" => 1_000.0,
        "ms" => 1.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        "w" => 604_800_000.0,
        _ => return None,
    };
    let ms = (number * unit).round();
    (1.0..1e15).contains(&ms).then_some(ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_seconds_or_have_a_unit() {
        assert_eq!(duration_ms("15"), Some(15_000));
        assert_eq!(duration_ms("0.5"), Some(500));
        assert_eq!(duration_ms("1h"), Some(3_600_000));
        for text in ["", "h", "0", "-1", "1y2d", "1e99"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }
}
