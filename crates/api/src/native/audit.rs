//! The audit trail, for those who may read it.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::request::Request;
use crate::route::Call;
use engine::{AuditProof, AuditQuestion, Caller};
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
        about: None,
        limit: limit(request)?,
    };
    let records = backend::audit(&call.app.engine, caller, &question)?;
    Ok(Reply::json(json!({ "records": records })))
}

/// `GET /_clerestory/audit/checkpoint`: the last signed checkpoint, and how the folders are.
pub(crate) fn checkpoint(call: &Call<'_>, caller: &Caller) -> Answer {
    let state = backend::audit_state(&call.app.engine, caller)?;
    let sink = |(folder, trouble): &(String, Option<String>)| json!({ "folder": folder, "trouble": trouble });
    Ok(Reply::json(json!({
        "checkpoint": state.checkpoint,
        "verifier": state.verifier,
        "sinks": state.sinks.iter().map(sink).collect::<Vec<_>>(),
    })))
}

/// `GET /_clerestory/audit/proof`: with `old` and `new` that an older checkpoint still holds, with
/// `record` and `size` that a record is among the first.
pub(crate) fn proof(call: &Call<'_>, caller: &Caller) -> Answer {
    let number = |name: &str| -> Result<Option<u64>, ApiError> {
        let Some(text) = call.request.param(name) else { return Ok(None) };
        let wrong = |_| ApiError::illegal_argument(format!("[{name}] is a number of records"));
        text.parse().map(Some).map_err(wrong)
    };
    let asked = match (number("old")?, number("new")?, number("record")?, number("size")?) {
        (Some(old), Some(new), None, None) => AuditProof::Consistency { old, new },
        (None, None, Some(record), Some(size)) => AuditProof::Inclusion { record, size },
        _ => {
            return Err(ApiError::illegal_argument("give [old] and [new], or [record] and [size]"));
        }
    };
    let (leaf, proof) = backend::audit_proof(&call.app.engine, caller, asked)?;
    Ok(Reply::json(json!({ "leaf": leaf, "proof": proof })))
}

fn time(request: &Request, name: &str) -> Result<Option<Timestamp>, ApiError> {
    request.param(name).map(|text| time_of(name, text)).transpose()
}

/// A time as people and programs write it: a moment, a day, or milliseconds.
pub(super) fn time_of(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    let day = || Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"));
    let read = Timestamp::parse_rfc3339(text).or_else(day);
    read.or_else(|| text.parse().ok().map(Timestamp)).ok_or_else(|| {
        ApiError::illegal_argument(format!(
            "[{name}] is a time such as [2026-11-23T08:00:00Z], a day such as [2026-11-23], or \
             milliseconds since 1970"
        ))
    })
}

fn limit(request: &Request) -> Result<usize, ApiError> {
    let Some(text) = request.param("limit") else { return Ok(LIMIT) };
    text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
        ApiError::illegal_argument(format!("[limit] is a number from 1 to {LIMIT_MAX}"))
    })
}
