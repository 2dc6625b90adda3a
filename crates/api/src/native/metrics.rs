//! Declared metrics: list, show, apply, ask, export.

use crate::backend;
use crate::elasticsearch::sql::separated;
use crate::error::{Answer, ApiError};
use crate::media::{self, Accepted};
use crate::reply::{Body, Reply};
use crate::request::Request;
use crate::route::Call;
use engine::Caller;
use hyper::StatusCode;
use serde_json::{Value, json};

/// `GET /_clerestory/metrics`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    let metrics = backend::metrics(&call.app.engine, caller)?;
    Ok(Reply::json(json!({ "metrics": metrics })))
}

/// `GET /_clerestory/metrics/{name}`: as it is, or as it was with `version`, which counts from 1.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    let (engine, name) = (&call.app.engine, call.request.part("name"));
    let shown = match call.request.param("version") {
        None => backend::metric(engine, caller, name)?,
        Some(text) => {
            let wrong = |_| ApiError::illegal_argument("[version] is a number, 1 for the first");
            let version = text.parse::<usize>().map_err(wrong)?;
            backend::metric_version(engine, caller, name, version)?
        }
    };
    Ok(Reply::json(shown))
}

/// `GET /_clerestory/metrics/{name}/_history`: its versions, the newest first.
pub(crate) fn history(call: &Call<'_>, caller: &Caller) -> Answer {
    let name = call.request.part("name");
    let versions = backend::metric_history(&call.app.engine, caller, name)?;
    Ok(Reply::json(json!({ "metric": name, "versions": versions })))
}

/// `GET /_clerestory/metrics/_export?form=osi`: all metrics for another program.
pub(crate) fn export(call: &Call<'_>, caller: &Caller) -> Answer {
    match call.request.param("form") {
        Some("osi") | None => {}
        Some(_) => return Err(ApiError::illegal_argument("[form] is osi")),
    }
    let yaml = backend::export_metrics(&call.app.engine, caller)?;
    Ok(Reply::of(StatusCode::OK, Body::Plain(yaml.into(), "application/yaml")))
}

/// `PUT /_clerestory/metrics`: the YAML of one or more metrics replaces what they were, if they
/// answer what their tests expect.
pub(crate) fn apply(call: &Call<'_>, caller: &Caller) -> Answer {
    match backend::apply_metrics(&call.app.engine, caller, call.request.text()?)? {
        Ok(answer) => Ok(Reply::json(answer)),
        Err(tests) => Ok(Reply::json(refused(&tests)).with_status(StatusCode::BAD_REQUEST)),
    }
}

/// In the shape of an error; the reason is the whole difference, for people.
fn refused(tests: &[Value]) -> Value {
    let mut reason = String::from("nothing was changed, because metrics do not answer as expected");
    for test in tests {
        let metric = test["metric"].as_str().unwrap_or("");
        reason.push_str(&format!("\nline {}: a test of `{metric}`:", test["line"]));
        for line in test["differs"].as_array().into_iter().flatten() {
            reason.push_str(&format!("\n  {}", line.as_str().unwrap_or("")));
        }
    }
    json!({
        "error": { "type": "metric_test_failed", "reason": reason, "tests": tests },
        "status": 400,
    })
}

/// How numbers are written.
enum Format {
    Json,
    Csv,
    Arrow,
}

fn format(request: &Request) -> Result<Format, ApiError> {
    match request.param("format").map(str::to_ascii_lowercase).as_deref() {
        Some("json" | "yaml") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some("arrow") => Ok(Format::Arrow),
        Some(_) => Err(ApiError::illegal_argument("[format] is one of json, yaml, csv, arrow")),
        None => Ok(match media::accepted(&request.headers)? {
            Accepted::Csv => Format::Csv,
            Accepted::Arrow => Format::Arrow,
            Accepted::Json(_) | Accepted::Yaml | Accepted::Text | Accepted::Any => Format::Json,
        }),
    }
}

/// `POST /_metrics/{name}`: the numbers, by grain and dimensions.
pub(crate) fn query(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json_if_any()?.unwrap_or_else(|| json!({}));
    let name = call.request.part("name");
    let engine = &call.app.engine;
    match format(call.request)? {
        Format::Json => backend::query_metric(engine, caller, name, &body).map(Reply::json),
        Format::Csv => {
            let rows = backend::metric_rows(engine, caller, name, &body)?;
            separated(&rows, b',', "text/csv; charset=utf-8; header=present")
        }
        Format::Arrow => {
            let bytes = backend::metric_arrow(engine, caller, name, &body)?;
            Ok(Reply::of(StatusCode::OK, Body::Plain(bytes.into(), media::ARROW)))
        }
    }
}
