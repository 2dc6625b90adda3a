//! Backups of the running node.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use serde_json::{Value, json};

/// `GET /_clerestory/backups`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    let backups = backend::backups(&call.app.engine, caller)?;
    Ok(Reply::json(json!({ "backups": backups })))
}

/// `POST /_clerestory/backups` with `to`, a folder that the policy names, and `keep`, how many sets
/// stay.
pub(crate) fn create(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let to = body["to"]
        .as_str()
        .ok_or_else(|| ApiError::illegal_argument("[to] is required, the path of a folder"))?;
    let keep = match &body["keep"] {
        Value::Null => None,
        keep => {
            let keep = keep.as_u64().and_then(|keep| usize::try_from(keep).ok());
            Some(keep.ok_or_else(|| ApiError::illegal_argument("[keep] is a number of sets"))?)
        }
    };
    backend::back_up(&call.app.engine, caller, to, keep).map(Reply::json)
}
