//! Declared metrics: list, show, apply, ask.

use crate::backend;
use crate::error::Answer;
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use serde_json::json;

/// `GET /_clerestory/metrics`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    let metrics = backend::metrics(&call.app.engine, caller)?;
    Ok(Reply::json(json!({ "metrics": metrics })))
}

/// `GET /_clerestory/metrics/{name}`.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::metric(&call.app.engine, caller, call.request.part("name")).map(Reply::json)
}

/// `PUT /_clerestory/metrics`: the YAML of one or more metrics replaces what they were.
pub(crate) fn apply(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::apply_metrics(&call.app.engine, caller, call.request.text()?).map(Reply::json)
}

/// `POST /_clerestory/metrics/{name}`: the numbers, by grain and dimensions.
pub(crate) fn query(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json_if_any()?.unwrap_or_else(|| json!({}));
    let name = call.request.part("name");
    backend::query_metric(&call.app.engine, caller, name, &body).map(Reply::json)
}
