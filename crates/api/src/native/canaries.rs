//! Rows that no honest question gives out.

use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;

/// `GET /_clerestory/canaries`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.canaries(caller)?))
}

/// `POST /_clerestory/canaries` with `table` and `id`: marks that row.
pub(crate) fn mark(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let text = |name: &str| {
        let text = body[name].as_str();
        text.ok_or_else(|| ApiError::illegal_argument(format!("[{name}] is required, as text")))
    };
    Ok(Reply::json(call.app.engine.mark_canary(caller, text("table")?, text("id")?)?))
}
