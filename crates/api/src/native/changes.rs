//! Grants, who reaches what, and changes that wait for a second person.

use super::factors::Shown;
use crate::backend::not_done;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use serde_json::Value;

/// `GET /_clerestory/policy`: accounts with their roles, and the settings of the node.
pub(crate) fn policy(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.policy(caller)?))
}

/// `GET /_clerestory/grants`: all for who has a say or audits, else one's own.
pub(crate) fn grants(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.grants(caller)?))
}

/// `GET /_clerestory/reach`, with `person` and `table`: who reaches what.
pub(crate) fn reach(call: &Call<'_>, caller: &Caller) -> Answer {
    let param = |name| call.request.param(name);
    Ok(Reply::json(call.app.engine.reach(caller, param("person"), param("table"))?))
}

/// `GET /_clerestory/changes`: the newest first, and what everybody is told.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.list_changes(caller)?))
}

/// `POST /_clerestory/changes` with `edits` and `why`.
pub(crate) fn propose(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    Ok(Reply::json(call.app.engine.propose(caller, &body)?))
}

/// `GET /_clerestory/changes/{id}`: what it does, and the `mark` that an approval has to carry.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.change(caller, id(call)?)?))
}

/// `POST /_clerestory/changes/{id}/_approve` with the `mark` of what was seen, and `present`: a
/// code, or what a key signed for the words in `present_for`.
pub(crate) fn approve(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let (id, mark) = (id(call)?, text(&body, "mark")?);
    let present = Shown::read(call.request, &body)?;
    let engine = &call.app.engine;
    let about = engine.presence_for_change(id);
    let proof = engine.prove_presence(caller, &about, present.answer()).map_err(not_done)?;
    Ok(Reply::json(engine.approve(caller, id, mark, proof)?))
}

/// `POST /_clerestory/break-glass` with `tables`, `class`, `why` and `present`.
pub(crate) fn break_glass(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let present = Shown::read(call.request, &body)?;
    let engine = &call.app.engine;
    let about = engine.presence_for_glass();
    let proof = engine.prove_presence(caller, about, present.answer()).map_err(not_done)?;
    Ok(Reply::json(engine.break_glass(caller, &body, proof)?))
}

/// `POST /_clerestory/changes/{id}/_reject` with `why`.
pub(crate) fn reject(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let why = text(&body, "why")?;
    Ok(Reply::json(call.app.engine.reject(caller, id(call)?, why)?))
}

/// `POST /_clerestory/changes/{id}/_withdraw`.
pub(crate) fn withdraw(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.withdraw(caller, id(call)?)?))
}

fn id(call: &Call<'_>) -> Result<u64, ApiError> {
    let id = call.request.part("id").parse();
    id.map_err(|_| ApiError::illegal_argument("the number of a change is a number"))
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    let text = body[name].as_str();
    text.ok_or_else(|| ApiError::illegal_argument(format!("[{name}] is required, as text")))
}
