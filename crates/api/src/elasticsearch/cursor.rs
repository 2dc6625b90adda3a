//! `_search/scroll`, `_pit`, `_async_search`.

use super::search;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::request::Request;
use crate::route::Call;
use engine::{BackgroundOptions, Caller};
use hyper::StatusCode;
use serde_json::{Map, Value, json};

/// Ids in one request that closes scrolls.
const IDS_MAX: usize = 1000;

/// `GET` and `POST /_search/scroll`.
pub(crate) fn scroll(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let body = members(request, &["scroll", "scroll_id", "rest_total_hits_as_int"])?;
    let told = |name: &str| {
        let in_body = body.get(name).and_then(Value::as_str);
        in_body.or_else(|| request.param(name)).map(str::to_owned)
    };
    let in_path = request.part_if_any("id").map(str::to_owned);
    let id = in_path.or_else(|| told("scroll_id")).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| invalid("scrollId is missing"))?;
    let mut page = backend::scroll(&call.app.engine, caller, &id, told("scroll").as_deref())?;
    if request.flag("rest_total_hits_as_int")? {
        search::total_as_number(&mut page);
    }
    Ok(Reply::json(page))
}

/// `DELETE /_search/scroll`: ids in the path or the body, or `_all` of the caller's.
pub(crate) fn close_scrolls(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let ids: Vec<String> = match request.part_if_any("id") {
        Some(ids) => ids.split(',').map(str::to_owned).collect(),
        None => match members(request, &["scroll_id"])?.get("scroll_id") {
            Some(Value::String(id)) => vec![id.clone()],
            Some(Value::Array(ids)) => {
                ids.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        },
    };
    if ids.is_empty() {
        return Err(invalid("no scroll ids specified"));
    }
    if ids.len() > IDS_MAX {
        return Err(ApiError::illegal_argument(format!(
            "more than [{IDS_MAX}] ids in one request"
        )));
    }
    let freed = backend::close_scrolls(&call.app.engine, caller, &ids);
    closed(freed)
}

/// `POST /{index}/_pit`.
pub(crate) fn open_pit(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let length =
        request.param("keep_alive").ok_or_else(|| invalid("[keep_alive] is not specified"))?;
    let body = members(request, &["index_filter"])?;
    if body.contains_key("index_filter") {
        return Err(ApiError::not_supported("[index_filter] is not supported"));
    }
    let engine = &call.app.engine;
    let id = backend::open_pit(engine, caller, request.part("index"), length)?;
    let shards = json!({ "total": 1, "successful": 1, "skipped": 0, "failed": 0 });
    Ok(Reply::json(json!({ "id": id, "_shards": shards })))
}

/// `DELETE /_pit`.
pub(crate) fn close_pit(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = members(call.request, &["id"])?;
    let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
    if id.is_empty() {
        return Err(ApiError::illegal_argument("point in time id is not provided"));
    }
    closed(usize::from(backend::close_pit(&call.app.engine, caller, id)))
}

/// Elasticsearch says 404 if nothing was freed.
fn closed(freed: usize) -> Answer {
    let reply = Reply::json(json!({ "succeeded": true, "num_freed": freed }));
    Ok(if freed > 0 { reply } else { reply.with_status(StatusCode::NOT_FOUND) })
}

/// Parameters of an asynchronous search that are not of the search in it.
const OF_BACKGROUND: [&str; 3] =
    ["wait_for_completion_timeout", "keep_on_completion", "keep_alive"];

/// `POST /{index}/_async_search`.
pub(crate) fn begin_search(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let body = request.json_if_any()?.unwrap_or_else(|| json!({}));
    let mut params = search::question(request);
    params.retain(|(name, _)| !OF_BACKGROUND.contains(&name.as_str()));
    let options = BackgroundOptions {
        wait: request.param("wait_for_completion_timeout").map(str::to_owned),
        keep_alive: request.param("keep_alive").map(str::to_owned),
        keep_on_completion: request.flag("keep_on_completion")?,
    };
    let index = search::index(request);
    let engine = &call.app.engine;
    backend::begin_search(engine, caller, index, &body, &params, &options).map(Reply::json)
}

/// `GET /_async_search/{id}`.
pub(crate) fn show_search(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let (wait, keep_alive) =
        (request.param("wait_for_completion_timeout"), request.param("keep_alive"));
    let id = request.part("id");
    backend::background_search(&call.app.engine, caller, id, wait, keep_alive).map(Reply::json)
}

/// `GET /_async_search/status/{id}`.
pub(crate) fn search_status(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::background_status(&call.app.engine, caller, call.request.part("id")).map(Reply::json)
}

/// `DELETE /_async_search/{id}`.
pub(crate) fn delete_search(call: &Call<'_>, caller: &Caller) -> Answer {
    match backend::delete_background(&call.app.engine, caller, call.request.part("id")) {
        true => Ok(Reply::json(json!({ "acknowledged": true }))),
        false => Err(ApiError::not_found("no such asynchronous search, or it is not yours")),
    }
}

/// The members of a body; only these are known.
fn members(request: &Request, known: &[&str]) -> Result<Map<String, Value>, ApiError> {
    let body = match request.json_if_any()? {
        None => return Ok(Map::new()),
        Some(Value::Object(members)) => members,
        Some(_) => {
            return Err(ApiError::illegal_argument("Malformed content, must start with an object"));
        }
    };
    match body.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(body),
        Some(_) => Err(ApiError::illegal_argument(format!(
            "Unknown parameter in request body or parameter is of the wrong type; known are [{}]",
            known.join(", ")
        ))),
    }
}

fn invalid(why: &str) -> ApiError {
    let reason = format!("Validation Failed: 1: {why};");
    ApiError::new(StatusCode::BAD_REQUEST, "action_request_validation_exception", reason)
}
