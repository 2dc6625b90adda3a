//! API keys, with our roles by name.

use super::people::roles;
use crate::backend::{self, NewKey};
use crate::elasticsearch::security::duration_ms;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use hyper::StatusCode;
use serde_json::{Value, json};

/// `GET /_clerestory/keys`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    let keys: Vec<Value> = backend::keys(&call.app.engine, caller)?
        .iter()
        .map(|key| {
            json!({
                "id": key.id,
                "name": key.name,
                "owner": key.owner,
                "roles": key.roles,
                "created": key.created.to_rfc3339(),
                "expires": key.expires.map(|expires| expires.to_rfc3339()),
                "revoked": key.is_revoked,
            })
        })
        .collect();
    Ok(Reply::json(json!({ "keys": keys })))
}

/// `POST /_clerestory/keys` with `name`, and `roles` and `expires_in` (such as `30d`) if not all
/// roles of its maker and for ever.
pub(crate) fn create(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let name = body["name"].as_str().filter(|name| !name.is_empty());
    let expires_in_ms = match &body["expires_in"] {
        Value::Null => None,
        Value::String(text) => Some(duration_ms(text)?),
        _ => return Err(ApiError::illegal_argument("[expires_in] is a time such as [30d]")),
    };
    let wanted = NewKey {
        name: name.ok_or_else(|| ApiError::illegal_argument("[name] is required"))?.to_owned(),
        roles: roles(&body)?,
        expires_in_ms,
    };
    let made = backend::create_key(&call.app.engine, caller, &wanted)?;
    let shown = json!({
        "id": made.id,
        "name": made.name,
        "secret": made.secret,
        "encoded": made.encoded,
        "expires": made.expires.map(|expires| expires.to_rfc3339()),
    });
    Ok(Reply::json(shown).with_status(StatusCode::CREATED))
}

/// `DELETE /_clerestory/keys/{id}`.
pub(crate) fn revoke(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::revoke_key(&call.app.engine, caller, call.request.part("id"))?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}
