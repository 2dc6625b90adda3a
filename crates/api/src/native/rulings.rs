//! Rulings: the queue, one field with its history, and ruling on it.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::{Caller, NewRuling};
use serde_json::{Value, json};

/// `GET /_clerestory/rulings`, with `table` for those of one table: fields that wait for a person,
/// and tables that came to the sources of copies.
pub(crate) fn queue(call: &Call<'_>, caller: &Caller) -> Answer {
    let table = call.request.param("table");
    let mut queue = backend::ruling_queue(&call.app.engine, caller, table)?;
    if table.is_none() {
        queue["new_tables"] = json!(call.app.copies.new_tables());
    }
    Ok(Reply::json(queue))
}

/// `GET /_clerestory/rules`: kinds of values, and the company's own rules. They come and go as
/// changes with `add_rules` (YAML) and `remove_rule` (a name).
pub(crate) fn rules(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::rules(&call.app.engine, caller).map(Reply::json)
}

/// `GET /_clerestory/rulings/{index}/{field}`.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    let (table, field) = (call.request.part("index"), call.request.part("field"));
    backend::ruling(&call.app.engine, caller, table, field).map(Reply::json)
}

/// `POST /_clerestory/rulings/{index}/{field}` with `class`, `reason`, `kind` if it is not to be
/// chosen, and `dry_run` to only hear what it would do.
pub(crate) fn rule(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let class = body["class"].as_str().and_then(|class| class.parse().ok());
    let kind = match &body["kind"] {
        Value::Null => None,
        Value::String(kind) => Some(kind.clone()),
        _ => return Err(ApiError::illegal_argument("[kind] is a word such as [email]")),
    };
    let wanted = NewRuling {
        table: call.request.part("index").to_owned(),
        field: call.request.part("field").to_owned(),
        class: class.ok_or_else(|| {
            ApiError::illegal_argument("[class] is one of open, personal, special, secret")
        })?,
        kind,
        reason: body["reason"].as_str().unwrap_or_default().to_owned(),
    };
    let dry_run = body["dry_run"] == json!(true);
    backend::rule(&call.app.engine, caller, &wanted, dry_run).map(Reply::json)
}
