//! Saved objects: dashboards and searches that somebody keeps.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::{Caller, NewSaved, Saved, SavedKind};
use hyper::StatusCode;
use serde_json::{Value, json};

/// `GET /_clerestory/saved/{kind}`: one's own and the shared ones, without their content.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    let all = backend::saved(&call.app.engine, caller, kind(call)?)?;
    let listed: Vec<Value> = all
        .iter()
        .map(|saved| {
            let mut shown = shown(saved);
            if let Some(members) = shown.as_object_mut() {
                members.shift_remove("body");
                members.shift_remove("history");
            }
            shown
        })
        .collect();
    Ok(Reply::json(json!({ "saved": listed })))
}

/// `POST /_clerestory/saved/{kind}` with `name`, `body`, and perhaps `description`, `shared`.
pub(crate) fn create(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let saved = backend::save(&call.app.engine, caller, kind(call)?, &wanted(&body)?)?;
    Ok(Reply::json(shown(&saved)).with_status(StatusCode::CREATED))
}

/// `GET /_clerestory/saved/{kind}/{id}`, with `version` for an older one.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    let wrong = |_| ApiError::illegal_argument("[version] is a number");
    let version = call.request.param("version").map(str::parse).transpose().map_err(wrong)?;
    let id = call.request.part("id");
    let saved = backend::saved_object(&call.app.engine, caller, kind(call)?, id, version)?;
    Ok(Reply::json(shown(&saved)))
}

/// `PUT /_clerestory/saved/{kind}/{id}`: the next version after `version`, which is the one that
/// was looked at.
pub(crate) fn save_again(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let base = body["version"].as_u64().and_then(|version| u32::try_from(version).ok());
    let base = base.ok_or_else(|| {
        ApiError::illegal_argument("[version] is required: the number of the version you changed")
    })?;
    let id = call.request.part("id");
    let saved =
        backend::save_again(&call.app.engine, caller, kind(call)?, id, base, &wanted(&body)?)?;
    Ok(Reply::json(shown(&saved)))
}

/// `DELETE /_clerestory/saved/{kind}/{id}`.
pub(crate) fn delete(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::delete_saved(&call.app.engine, caller, kind(call)?, call.request.part("id"))?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}

fn kind(call: &Call<'_>) -> Result<SavedKind, ApiError> {
    let known = SavedKind::parse(call.request.part("kind"));
    known.ok_or_else(|| ApiError::not_found("what is saved is a dashboard or a search"))
}

fn wanted(body: &Value) -> Result<NewSaved, ApiError> {
    let text = |name: &str| match &body[name] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(ApiError::illegal_argument(format!("[{name}] is a text"))),
    };
    let is_shared = match &body["shared"] {
        Value::Null => false,
        Value::Bool(is_shared) => *is_shared,
        _ => return Err(ApiError::illegal_argument("[shared] is true or false")),
    };
    let (name, description) = (text("name")?, text("description")?);
    Ok(NewSaved { name, description, is_shared, body: body["body"].clone() })
}

fn shown(saved: &Saved) -> Value {
    let history = saved.history.iter();
    let history = history.map(|(version, at)| json!({ "version": version, "at": at.to_rfc3339() }));
    json!({
        "kind": saved.kind.as_str(),
        "id": saved.id,
        "name": saved.name,
        "description": saved.description,
        "owner": saved.owner,
        "shared": saved.is_shared,
        "version": saved.version,
        "at": saved.at.to_rfc3339(),
        "body": saved.body,
        "history": history.collect::<Vec<Value>>(),
    })
}
