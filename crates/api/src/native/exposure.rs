//! Who could read, and who did.

use super::audit::time_of;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::{Caller, WhoRead};
use model::Timestamp;
use serde_json::Value;

/// `POST /_clerestory/exposure` with `table` and `class`, and `person`, `from`, `to` if wanted. A
/// person is not named in a path, because paths are kept by whatever stands in between.
pub(crate) fn ask(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let text = |name: &str| match &body[name] {
        Value::Null => Ok(None),
        Value::String(text) if !text.is_empty() => Ok(Some(text.as_str())),
        _ => Err(ApiError::illegal_argument(format!("[{name}] is a text"))),
    };
    let required = |name: &str| {
        text(name)?.ok_or_else(|| ApiError::illegal_argument(format!("[{name}] is required")))
    };
    let time = |name: &str| -> Result<Option<Timestamp>, ApiError> {
        text(name)?.map(|text| time_of(name, text)).transpose()
    };
    let class = required("class")?.parse().map_err(|_| {
        ApiError::illegal_argument("[class] is one of open, personal, special, secret")
    })?;
    let asked = WhoRead {
        table: required("table")?.to_owned(),
        class,
        person: text("person")?.map(str::to_owned),
        from: time("from")?,
        to: time("to")?,
    };
    backend::exposure(&call.app.engine, caller, &asked).map(Reply::json)
}
