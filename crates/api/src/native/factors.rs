//! Second factors and proofs of presence, for the pages and the command line.

use crate::backend::not_done;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::request::Request;
use crate::route::Call;
use engine::{Assertion, Caller, FactorAnswer, Registration, WebOrigin};
use hyper::StatusCode;
use hyper::header::HOST;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// `POST /_clerestory/session`: a token to send as `Bearer` in the place of a password.
pub(crate) fn start_session(call: &Call<'_>, caller: &Caller) -> Answer {
    let address = call.request.peer.address;
    let token = crate::backend::start_session(&call.app.engine, caller, address)?;
    let shown = json!({ "token": token.as_str(), "expires": token.expires.to_rfc3339() });
    Ok(Reply::json(shown).with_status(StatusCode::CREATED))
}

/// `GET /_clerestory/factors`: what the caller has beside the password.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    let summary = call.app.engine.factors(caller).map_err(not_done)?;
    let keys: Vec<Value> = summary
        .keys
        .iter()
        .map(|(id, name, at)| json!({ "id": id, "name": name, "made": at.to_rfc3339() }))
        .collect();
    Ok(Reply::json(json!({
        "totp": summary.totp,
        "recovery_codes": summary.recovery_codes,
        "keys": keys,
        "approves_from": summary.approves_from.map(|time| time.to_rfc3339()),
    })))
}

/// `POST /_clerestory/factors/totp`, with `present` if there is a second factor: a secret for an
/// app, shown this once.
pub(crate) fn begin_totp(call: &Call<'_>, caller: &Caller) -> Answer {
    let present = present_if_any(call.request)?;
    let enrolment = call.app.engine.begin_totp(caller, present.as_ref().map(Shown::answer));
    let enrolment = enrolment.map_err(not_done)?;
    Ok(Reply::json(json!({
        "secret": enrolment.secret.as_str(),
        "uri": enrolment.uri.as_str(),
    })))
}

/// `POST /_clerestory/factors/totp/_confirm` with `code`: gives recovery codes, shown this once.
pub(crate) fn confirm_totp(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let codes = call.app.engine.confirm_totp(caller, text(&body, "code")?).map_err(not_done)?;
    let codes: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    Ok(Reply::json(json!({ "recovery_codes": codes })))
}

/// `DELETE /_clerestory/factors/totp` with `present`.
pub(crate) fn remove_totp(call: &Call<'_>, caller: &Caller) -> Answer {
    let present = present_if_any(call.request)?;
    let removed = call.app.engine.remove_totp(caller, present.as_ref().map(Shown::answer));
    removed.map_err(not_done)?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}

/// `POST /_clerestory/factors/keys/_begin`, with `present` if there is a second factor: what a
/// script gives to `navigator.credentials.create`, bytes in base64url.
pub(crate) fn begin_key(call: &Call<'_>, caller: &Caller) -> Answer {
    let (present, origin) = (present_if_any(call.request)?, origin(call.request)?);
    let answer = present.as_ref().map(Shown::answer);
    let options = call.app.engine.begin_key(caller, answer, &origin).map_err(not_done)?;
    Ok(Reply::json(options))
}

/// `POST /_clerestory/factors/keys` with `name` and the script's answer: `clientDataJSON` and
/// `attestationObject`, in base64url.
pub(crate) fn finish_key(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let answer: Registration = read(&body, "clientDataJSON and attestationObject")?;
    let origin = origin(call.request)?;
    let name = text(&body, "name")?;
    call.app.engine.finish_key(caller, name, &answer, &origin).map_err(not_done)?;
    Ok(Reply::json(json!({ "acknowledged": true })).with_status(StatusCode::CREATED))
}

/// `DELETE /_clerestory/factors/keys/{id}` with `present`.
pub(crate) fn remove_key(call: &Call<'_>, caller: &Caller) -> Answer {
    let present = present_if_any(call.request)?;
    let answer = present.as_ref().map(Shown::answer);
    let id = call.request.part("id");
    call.app.engine.remove_key(caller, id, answer).map_err(not_done)?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}

/// `POST /_clerestory/presence/_ask` with `about`: what a script gives to
/// `navigator.credentials.get`; without `about` for changing second factors.
pub(crate) fn ask_key(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json_if_any()?.unwrap_or_default();
    let origin = origin(call.request)?;
    let options = call.app.engine.ask_key(caller, body["about"].as_str(), &origin);
    Ok(Reply::json(options.map_err(not_done)?))
}

/// `POST /_clerestory/people/{name}/_reset_factors`, for administrators.
pub(crate) fn reset(call: &Call<'_>, caller: &Caller) -> Answer {
    call.app.engine.reset_factors(caller, call.request.part("name")).map_err(not_done)?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}

/// A second factor as a request shows it.
pub(crate) enum Shown {
    /// A code.
    Code(String),
    /// What a key signed, and where the browser is.
    Key(Box<Assertion>, WebOrigin),
}

impl Shown {
    /// For the engine.
    pub(crate) fn answer(&self) -> FactorAnswer<'_> {
        match self {
            Shown::Code(code) => FactorAnswer::Code(code),
            Shown::Key(answer, origin) => FactorAnswer::Key { answer, origin },
        }
    }

    /// The member `present` of a body: `{"code": "123456"}`, or `{"key": …}` with what a script
    /// got from `navigator.credentials.get`.
    ///
    /// # Errors
    /// If there is none, or it is neither.
    pub(crate) fn read(request: &Request, body: &Value) -> Result<Shown, ApiError> {
        let present = &body["present"];
        if let Some(code) = present["code"].as_str() {
            return Ok(Shown::Code(code.to_owned()));
        }
        if present["key"].is_object() {
            let expected = "id, clientDataJSON, authenticatorData and signature";
            return Ok(Shown::Key(Box::new(read(&present["key"], expected)?), origin(request)?));
        }
        Err(ApiError::illegal_argument(
            "[present] is {\"code\": \"123456\"} of your app, or {\"key\": …} of your key",
        ))
    }
}

fn present_if_any(request: &Request) -> Result<Option<Shown>, ApiError> {
    match request.json_if_any()? {
        Some(body) if !body["present"].is_null() => Shown::read(request, &body).map(Some),
        _ => Ok(None),
    }
}

/// Where the browser is, as it must say itself.
pub(crate) fn origin(request: &Request) -> Result<WebOrigin, ApiError> {
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    WebOrigin::of(host, request.peer.secure).ok_or_else(|| {
        ApiError::illegal_argument(
            "browsers have keys only for names over TLS, or for localhost: open this server by its \
             name, not by its address",
        )
    })
}

/// Reads what a browser's script sent; the error holds nothing of it.
pub(crate) fn read<T: DeserializeOwned>(value: &Value, expected: &str) -> Result<T, ApiError> {
    serde_json::from_value(value.clone())
        .map_err(|_| ApiError::illegal_argument(format!("expected {expected}, in base64url")))
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    let text = body[name].as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| ApiError::illegal_argument(format!("[{name}] is required, as text")))
}
