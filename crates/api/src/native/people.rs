//! People: who may log in, and with which roles.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use hyper::StatusCode;
use serde_json::{Value, json};

/// `GET /_clerestory/people`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    let people: Vec<Value> = backend::people(&call.app.engine, caller)?
        .iter()
        .map(|person| {
            json!({ "name": person.name, "roles": person.roles, "enabled": person.is_enabled })
        })
        .collect();
    Ok(Reply::json(json!({ "people": people })))
}

/// `POST /_clerestory/people` with `name`, `password`, `roles`. If the roles have to wait for a
/// second person, `change` is the number of that change.
pub(crate) fn create(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let name = text(&body, "name")?;
    let password = text(&body, "password")?;
    let roles = roles(&body)?
        .ok_or_else(|| ApiError::illegal_argument("[roles] is an array of role names"))?;
    let change = backend::create_person(&call.app.engine, caller, name, password, &roles)?;
    // Roles that wait for a second person are not there yet.
    let roles = if change.is_some() { Vec::new() } else { roles };
    let shown = json!({ "name": name, "roles": roles, "enabled": true, "change": change });
    Ok(Reply::json(shown).with_status(StatusCode::CREATED))
}

/// `POST /_clerestory/people/{name}/_password` with `password`.
pub(crate) fn set_password(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let password = text(&body, "password")?;
    backend::set_password(&call.app.engine, caller, call.request.part("name"), password)?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}

/// `POST /_clerestory/people/{name}/_disable`.
pub(crate) fn disable(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::disable_person(&call.app.engine, caller, call.request.part("name"))?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    let text = body[name].as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| ApiError::illegal_argument(format!("[{name}] is required, as text")))
}

/// The role names of a body; `None` if it names none.
pub(crate) fn roles(body: &Value) -> Result<Option<Vec<String>>, ApiError> {
    let wrong = || {
        ApiError::illegal_argument(
            "[roles] is an array of analyst, engineer, guardian, administrator",
        )
    };
    match &body["roles"] {
        Value::Null => Ok(None),
        Value::Array(roles) => {
            let names: Option<Vec<String>> = roles
                .iter()
                .map(|role| role.as_str().filter(|role| backend::is_role(role)).map(str::to_owned))
                .collect();
            names.filter(|names| !names.is_empty()).map(Some).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}
