//! Our secret at the company's identity provider. Who that is and what its groups may do here stands
//! in the policy.

use crate::backend::not_done;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use serde_json::{Value, json};

/// `PUT /_clerestory/oidc/_secret` with `secret`; null forgets it.
pub(crate) fn set_secret(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let secret = match &body["secret"] {
        Value::Null => None,
        Value::String(secret) if !secret.is_empty() => Some(secret.as_str()),
        _ => return Err(ApiError::illegal_argument("[secret] is a text, or null to forget it")),
    };
    call.app.engine.set_oidc_secret(caller, secret).map_err(not_done)?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}
