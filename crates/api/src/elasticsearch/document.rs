//! Single documents: index, create, update, delete, get, `_mget`.

use super::bulk::{self, write_written};
use crate::backend::{self, Sources, Write};
use crate::error::{Answer, ApiError};
use crate::reply::{Body, Reply};
use crate::request::Request;
use crate::route::Call;
use engine::{ActionKind, Caller, WriteOptions};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::str::FromStr;

/// `PUT /{index}/_doc/{id}` and `POST /{index}/_doc`.
pub(crate) fn index(call: &Call<'_>, caller: &Caller) -> Answer {
    let kind = match call.request.param("op_type") {
        None | Some("index") => ActionKind::Index,
        Some("create") => ActionKind::Create,
        Some(_) => {
            return Err(ApiError::illegal_argument("opType must be 'create' or 'index'"));
        }
    };
    write(call, caller, kind)
}

/// `PUT /{index}/_create/{id}`.
pub(crate) fn create(call: &Call<'_>, caller: &Caller) -> Answer {
    write(call, caller, ActionKind::Create)
}

/// `POST /{index}/_update/{id}`.
pub(crate) fn update(call: &Call<'_>, caller: &Caller) -> Answer {
    write(call, caller, ActionKind::Update)
}

/// `DELETE /{index}/_doc/{id}`.
pub(crate) fn delete(call: &Call<'_>, caller: &Caller) -> Answer {
    write(call, caller, ActionKind::Delete)
}

fn write(call: &Call<'_>, caller: &Caller, kind: ActionKind) -> Answer {
    let request = call.request;
    if request.body.is_empty() && kind != ActionKind::Delete {
        return Err(ApiError::unreadable_body("request body is required"));
    }
    let write = Write {
        kind,
        index: request.part("index"),
        id: request.part_if_any("id"),
        body: &request.body,
        options: WriteOptions {
            if_seq_no: number(request, "if_seq_no")?,
            if_primary_term: number(request, "if_primary_term")?,
            retry_on_conflict: number(request, "retry_on_conflict")?.unwrap_or(0),
            bulk: bulk::options(request)?,
        },
    };
    let written = backend::write(&call.app.engine, caller, &write)?;
    let mut out = Vec::with_capacity(256);
    write_written(&written, &mut out);
    let status = StatusCode::from_u16(written.status).unwrap_or(StatusCode::OK);
    Ok(Reply::of(status, Body::Written(out)))
}

fn number<T: FromStr>(request: &Request, name: &str) -> Result<Option<T>, ApiError> {
    let Some(text) = request.param(name) else { return Ok(None) };
    let read = text.parse().map(Some);
    read.map_err(|_| {
        ApiError::illegal_argument(format!(
            "Failed to parse number parameter [{name}] with value [{text}]"
        ))
    })
}

/// So many documents in one `_mget`.
const DOCUMENTS_MAX: usize = 10_000;

/// `GET /{index}/_doc/{id}`.
pub(crate) fn get(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let (index, id) = (request.part("index"), request.part("id"));
    let sources = sources(request)?;
    let hit = backend::get(&call.app.engine, caller, index, id, &sources)?;
    let is_found = hit["found"] == json!(true);
    let status = if is_found { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Ok(Reply::json(hit).with_status(status))
}

/// `GET /{index}/_source/{id}`: the document alone.
pub(crate) fn source(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let (index, id) = (request.part("index"), request.part("id"));
    let sources = sources(request)?;
    let mut hit = backend::get(&call.app.engine, caller, index, id, &sources)?;
    match hit.get_mut("_source") {
        Some(source) => Ok(Reply::json(source.take())),
        None => Err(ApiError::not_found(format!("Document not found [{index}]/[{id}]"))),
    }
}

/// Which parts of documents the parameters ask for.
fn sources(request: &Request) -> Result<Sources, ApiError> {
    let list = |name: &str| -> Vec<String> {
        request.param(name).map(comma_separated).unwrap_or_default()
    };
    let mut sources = Sources {
        wanted: true,
        include: list("_source_includes"),
        exclude: list("_source_excludes"),
    };
    match request.param("_source") {
        None | Some("" | "true") => {}
        Some("false") => sources.wanted = false,
        Some(fields) => sources.include.extend(comma_separated(fields)),
    }
    if request.param("stored_fields").is_some_and(|fields| !matches!(fields, "" | "_none_")) {
        let reason = "no field is stored apart from the source; use [_source_includes]";
        return Err(ApiError::illegal_argument(reason));
    }
    Ok(sources)
}

/// The names between commas.
pub(crate) fn comma_separated(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// `POST /_mget` and `POST /{index}/_mget`.
pub(crate) fn mget(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let body = request.json()?;
    let shared = sources(request)?;
    let default_index = request.part_if_any("index");
    let wanted = wanted_documents(&body, default_index, &shared)?;
    let mut docs = Vec::with_capacity(wanted.len());
    for Wanted { index, id, sources } in wanted {
        docs.push(match backend::get(&call.app.engine, caller, &index, &id, &sources) {
            Ok(hit) => hit,
            Err(error) if error.status().is_client_error() => {
                json!({ "_index": index, "_id": id, "error": error.member() })
            }
            Err(error) => return Err(error),
        });
    }
    Ok(Reply::json(json!({ "docs": docs })))
}

/// A document that `_mget` asks for.
#[derive(Debug, PartialEq)]
struct Wanted {
    index: String,
    id: String,
    sources: Sources,
}

fn wanted_documents(
    body: &Value,
    default_index: Option<&str>,
    shared: &Sources,
) -> Result<Vec<Wanted>, ApiError> {
    let missing = |what: &str| ApiError::illegal_argument(format!("{what} is missing for doc"));
    let mut wanted = Vec::new();
    for doc in array(body, "docs")? {
        let index = doc.get("_index").and_then(Value::as_str).or(default_index);
        let index = index.ok_or_else(|| missing("index"))?.to_owned();
        let id = doc.get("_id").and_then(id_text).ok_or_else(|| missing("id"))?;
        let sources = match doc.get("_source") {
            Some(filter) => Sources::of(filter)?,
            None => shared.clone(),
        };
        wanted.push(Wanted { index, id, sources });
    }
    for id in array(body, "ids")? {
        let index = default_index.ok_or_else(|| missing("index"))?.to_owned();
        let id = id_text(id).ok_or_else(|| missing("id"))?;
        wanted.push(Wanted { index, id, sources: shared.clone() });
    }
    if wanted.len() > DOCUMENTS_MAX {
        let reason = format!("more than [{DOCUMENTS_MAX}] documents in one request");
        return Err(ApiError::illegal_argument(reason));
    }
    if wanted.is_empty() {
        return Err(ApiError::illegal_argument("no documents to get; give [docs] or [ids]"));
    }
    Ok(wanted)
}

/// The items of a member that may be missing.
fn array<'a>(body: &'a Value, name: &str) -> Result<&'a [Value], ApiError> {
    match body.get(name) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(ApiError::unreadable_body(format!("[{name}] must be an array"))),
    }
}

/// An `_id` may be written as a number.
fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Sources {
    /// Reads `_source` of a body: a flag, a name, names, or what to include and exclude.
    fn of(filter: &Value) -> Result<Sources, ApiError> {
        let all = Sources { wanted: true, include: Vec::new(), exclude: Vec::new() };
        let names = |value: Option<&Value>| -> Option<Vec<String>> {
            match value {
                None => Some(Vec::new()),
                Some(Value::String(name)) => Some(vec![name.clone()]),
                Some(Value::Array(names)) => {
                    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
                }
                Some(_) => None,
            }
        };
        let read = match filter {
            Value::Bool(wanted) => Some(Sources { wanted: *wanted, ..all }),
            Value::Object(parts) => {
                let include = names(parts.get("includes").or_else(|| parts.get("include")));
                let exclude = names(parts.get("excludes").or_else(|| parts.get("exclude")));
                include.zip(exclude).map(|(include, exclude)| Sources { include, exclude, ..all })
            }
            list => names(Some(list)).map(|include| Sources { include, ..all }),
        };
        read.ok_or_else(|| ApiError::unreadable_body("[_source] names fields as text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mget_takes_docs_and_ids() {
        let all = Sources { wanted: true, include: Vec::new(), exclude: Vec::new() };
        let body = json!({ "docs": [{ "_id": 7, "_source": ["a", "b.*"] }], "ids": ["x"] });
        let wanted = wanted_documents(&body, Some("t"), &all).unwrap();
        assert_eq!(wanted.len(), 2);
        assert_eq!((wanted[0].id.as_str(), wanted[1].id.as_str()), ("7", "x"));
        assert_eq!(wanted[0].sources.include, ["a", "b.*"]);
        assert!(wanted_documents(&body, None, &all).is_err(), "no index");
        assert!(wanted_documents(&json!({}), Some("t"), &all).is_err());
        assert!(wanted_documents(&json!({ "ids": [{}] }), Some("t"), &all).is_err());
    }
}
