//! The audit trail, for those who may read it.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::request::Request;
use crate::route::Call;
use engine::{AuditQuestion, Caller};
use model::Timestamp;
use serde_json::json;

/// So many records unless more are asked for.
const LIMIT: usize = 100;
/// So many records at most.
const LIMIT_MAX: usize = 10_000;

/// `GET /_clerestory/audit`: the newest records that fit.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let text = |name: &str| request.param(name).map(str::to_owned);
    let question = AuditQuestion {
        from: time(request, "from")?,
        to: time(request, "to")?,
        who: text("who"),
        table: text("table"),
        kind: text("kind").or_else(|| text("action")),
        limit: limit(request)?,
    };
    let records = backend::audit(&call.app.engine, caller, &question)?;
    Ok(Reply::json(json!({ "records": records })))
}

fn time(request: &Request, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = request.param(name) else { return Ok(None) };
    let read = chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| time.timestamp_millis())
        .or_else(|_| text.parse::<i64>());
    read.map(|ms| Some(Timestamp(ms))).map_err(|_| {
        ApiError::illegal_argument(format!(
            "[{name}] is a time such as [2026-11-23T08:00:00Z] or milliseconds since 1970"
        ))
    })
}

fn limit(request: &Request) -> Result<usize, ApiError> {
    let Some(text) = request.param("limit") else { return Ok(LIMIT) };
    text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
        ApiError::illegal_argument(format!("[limit] is a number from 1 to {LIMIT_MAX}"))
    })
}
