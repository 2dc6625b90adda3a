//! Alerts: declared, listed, silenced, tried on the past.

use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use model::Timestamp;
use serde_json::Value;

/// `GET /_clerestory/alerts`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.alerts(caller)?))
}

/// `PUT /_clerestory/alerts`: the YAML of one or more alerts replaces what they were.
pub(crate) fn apply(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.apply_alerts(caller, call.request.text()?)?))
}

/// `GET /_clerestory/alerts/{name}`.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.alert(caller, call.request.part("name"))?))
}

/// `DELETE /_clerestory/alerts/{name}`.
pub(crate) fn remove(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.remove_alert(caller, call.request.part("name"))?))
}

/// `POST /_clerestory/alerts/{name}/_silence` with `until` (RFC 3339; without it the silence ends)
/// and `why`.
pub(crate) fn silence(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let until = match &body["until"] {
        Value::Null => None,
        value => Some(moment(value.as_str(), "until")?),
    };
    let why = body["why"].as_str().unwrap_or("");
    let name = call.request.part("name");
    Ok(Reply::json(call.app.engine.silence_alert(caller, name, until, why)?))
}

/// `POST /_clerestory/alerts/{name}/_evaluate`: now, for its author.
pub(crate) fn evaluate(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.evaluate_alert_now(caller, call.request.part("name"))?))
}

/// `GET /_clerestory/alerts/{name}/_try` with `from` and `to`: what it would have told then.
pub(crate) fn attempt(call: &Call<'_>, caller: &Caller) -> Answer {
    let from = moment(call.request.param("from"), "from")?;
    let to = moment(call.request.param("to"), "to")?;
    Ok(Reply::json(call.app.engine.try_alert(caller, call.request.part("name"), from, to)?))
}

/// `GET /_clerestory/alerts/{name}/_chart` with `from` and `to`: what its page draws, as the caller.
pub(crate) fn chart(call: &Call<'_>, caller: &Caller) -> Answer {
    let from = moment(call.request.param("from"), "from")?;
    let to = moment(call.request.param("to"), "to")?;
    Ok(Reply::json(call.app.engine.alert_chart(caller, call.request.part("name"), from, to)?))
}

fn moment(text: Option<&str>, name: &str) -> Result<Timestamp, ApiError> {
    text.and_then(Timestamp::parse_rfc3339).ok_or_else(|| {
        ApiError::illegal_argument(format!("[{name}] is a time such as 2026-11-29T08:00:00Z"))
    })
}
