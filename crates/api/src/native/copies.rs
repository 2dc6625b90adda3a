//! Copies of production data: planned, proposed, signed, run, looked at; and what opens sources.

use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use copy::{Difference, PlanRequest};
use engine::Caller;
use serde_json::json;
use zeroize::Zeroizing;

/// `GET /_clerestory/copies`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    let copies = call.app.copies.list(caller).map_err(ApiError::from)?;
    Ok(Reply::json(json!({ "copies": copies })))
}

/// `PUT /_clerestory/copies`: a copy file, to be signed.
pub(crate) fn propose(call: &Call<'_>, caller: &Caller) -> Answer {
    let proposed = call.app.copies.propose(caller, call.request.text()?);
    Ok(Reply::json(proposed.map_err(ApiError::from)?))
}

/// `POST /_clerestory/copies/_plan`: a file with a name and a source becomes a whole one. With
/// `purpose` and `until` columns that no metric uses are copied, too.
pub(crate) fn plan(call: &Call<'_>, caller: &Caller) -> Answer {
    let purpose = match (call.request.param("purpose"), call.request.param("until")) {
        (None, None) => None,
        (Some(purpose), Some(until)) => Some((purpose, until)),
        _ => return Err(ApiError::illegal_argument("[purpose] and [until] go together")),
    };
    let request = PlanRequest { yaml: call.request.text()?, purpose };
    let planned = call.app.copies.plan(caller, &request).map_err(ApiError::from)?;
    Ok(Reply::json(json!({
        "yaml": planned.yaml,
        "page": planned.page,
        "differences": planned.differences.iter().map(Difference::to_json).collect::<Vec<_>>(),
        "summary": planned.summary,
    })))
}

/// `GET /_clerestory/copies/{name}`: how it is, its newest file and the page to sign.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    let shown = call.app.copies.show(caller, call.request.part("name"));
    Ok(Reply::json(shown.map_err(ApiError::from)?))
}

/// `POST /_clerestory/copies/{name}/_sign` with the `version` that was read.
pub(crate) fn sign(call: &Call<'_>, caller: &Caller) -> Answer {
    let version = call.request.json()?["version"].as_u64();
    let version = version.and_then(|version| usize::try_from(version).ok()).ok_or_else(|| {
        ApiError::illegal_argument("[version] is the number of the version that was read")
    })?;
    let signed = call.app.copies.sign(caller, call.request.part("name"), version);
    Ok(Reply::json(signed.map_err(ApiError::from)?))
}

/// `POST /_clerestory/copies/{name}/_run`.
pub(crate) fn run(call: &Call<'_>, caller: &Caller) -> Answer {
    let running = call.app.copies.run(caller, call.request.part("name"));
    Ok(Reply::json(running.map_err(ApiError::from)?))
}

/// `POST /_clerestory/copies/{name}/_pause`.
pub(crate) fn pause(call: &Call<'_>, caller: &Caller) -> Answer {
    let paused = call.app.copies.pause(caller, call.request.part("name"));
    Ok(Reply::json(paused.map_err(ApiError::from)?))
}

/// `POST /_clerestory/copies/{name}/_resnapshot`, with `table` for one of its tables.
pub(crate) fn resnapshot(call: &Call<'_>, caller: &Caller) -> Answer {
    let table = call.request.param("table");
    let begun = call.app.copies.resnapshot(caller, call.request.part("name"), table);
    Ok(Reply::json(begun.map_err(ApiError::from)?))
}

/// `POST /_clerestory/copies/{name}/_verify`.
pub(crate) fn verify(call: &Call<'_>, caller: &Caller) -> Answer {
    let verified = call.app.copies.verify(caller, call.request.part("name"));
    Ok(Reply::json(verified.map_err(ApiError::from)?))
}

/// `DELETE /_clerestory/copies/{name}`, with `force` also if its source does not answer.
pub(crate) fn remove(call: &Call<'_>, caller: &Caller) -> Answer {
    let force = call.request.param("force").is_some_and(|force| force != "false");
    let removed = call.app.copies.remove(caller, call.request.part("name"), force);
    Ok(Reply::json(removed.map_err(ApiError::from)?))
}

/// `GET /_clerestory/source-secrets`: their names.
pub(crate) fn secrets(call: &Call<'_>, caller: &Caller) -> Answer {
    let names = call.app.engine.source_secrets(caller).map_err(ApiError::from)?;
    Ok(Reply::json(json!({ "secrets": names })))
}

/// `PUT /_clerestory/source-secrets/{name}` with the `secret`. It is never shown again.
pub(crate) fn put_secret(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let secret = body["secret"].as_str().map(|secret| Zeroizing::new(secret.to_owned()));
    let secret = secret.ok_or_else(|| ApiError::illegal_argument("[secret] is a text"))?;
    let kept =
        call.app.engine.put_source_secret(caller, call.request.part("name"), secret.as_bytes());
    kept.map_err(ApiError::from)?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}

/// `DELETE /_clerestory/source-secrets/{name}`.
pub(crate) fn remove_secret(call: &Call<'_>, caller: &Caller) -> Answer {
    let removed = call.app.engine.remove_source_secret(caller, call.request.part("name"));
    removed.map_err(ApiError::from)?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}
