//! Forgetting a person: asking for it, and the receipts.

use crate::backend;
use crate::elasticsearch::security::duration_ms;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::{Caller, EraseRequest};
use serde_json::{Value, json};

/// `GET /_clerestory/erasures`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    let erasures = backend::erasures(&call.app.engine, caller)?;
    Ok(Reply::json(json!({ "erasures": erasures })))
}

/// `GET /_clerestory/erasures/{id}`.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::erasure(&call.app.engine, caller, call.request.part("id")).map(Reply::json)
}

/// `POST /_clerestory/erasures` with `person`, and `tables`, `field`, `also`, `deadline` (such as
/// `72h`), `now`, `verify`, `dry_run`, `reference` where they are not as usual.
pub(crate) fn create(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let person = body["person"].as_str().unwrap_or_default();
    let mut wanted = EraseRequest::of(person);
    wanted.tables = words(&body, "tables")?;
    wanted.also = words(&body, "also")?;
    wanted.field = body["field"].as_str().map(str::to_owned);
    if let Some(deadline) = body["deadline"].as_str() {
        wanted.deadline_ms = duration_ms(deadline)?;
    }
    wanted.now = body["now"] == json!(true);
    wanted.verify = body["verify"] == json!(true);
    wanted.dry_run = body["dry_run"] == json!(true);
    wanted.reference = body["reference"].as_str().unwrap_or_default().to_owned();
    backend::erase(&call.app.engine, caller, &wanted).map(Reply::json)
}

fn words(body: &Value, name: &str) -> Result<Vec<String>, ApiError> {
    let wrong = || ApiError::illegal_argument(format!("[{name}] is an array of names"));
    match &body[name] {
        Value::Null => Ok(Vec::new()),
        Value::Array(words) => {
            words.iter().map(|word| word.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        _ => Err(wrong()),
    }
}
