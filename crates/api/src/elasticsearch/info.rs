//! What clients ask before anything else.

use super::{CLUSTER, VERSION};
use crate::error::Answer;
use crate::media::wants_page;
use crate::reply::Reply;
use crate::request::Verb;
use crate::route::Call;
use engine::Caller;
use serde_json::json;

/// `GET /`: who is there. Only to callers with identity; a browser goes to the web UI.
pub(crate) fn root(call: &Call<'_>, _caller: &Caller) -> Answer {
    if call.request.verb == Verb::Get && wants_page(&call.request.headers) {
        return Ok(Reply::see_other("/_ui"));
    }
    Ok(Reply::json(json!({
        "name": CLUSTER,
        "cluster_name": CLUSTER,
        "cluster_uuid": "_na_",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": CLUSTER,
            "build_hash": env!("CARGO_PKG_VERSION"),
            "build_date": "2026-01-01T00:00:00.000000000Z",
            "build_snapshot": false,
            "lucene_version": "10.3.1",
            "minimum_wire_compatibility_version": "8.19.0",
            "minimum_index_compatibility_version": "8.0.0",
        },
        "tagline": "You Know, for Search",
    })))
}

/// `GET /_license`: clients and tools look for an active one.
pub(crate) fn license(_call: &Call<'_>, _caller: &Caller) -> Answer {
    Ok(Reply::json(json!({
        "license": {
            "status": "active",
            "uid": CLUSTER,
            "type": "basic",
            "issue_date": "2026-01-01T00:00:00.000Z",
            "issue_date_in_millis": 1_767_225_600_000_u64,
            "max_nodes": 1,
            "issued_to": CLUSTER,
            "issuer": CLUSTER,
            "start_date_in_millis": -1,
        },
    })))
}

/// `GET /_xpack`: which optional parts are there.
pub(crate) fn xpack(_call: &Call<'_>, _caller: &Caller) -> Answer {
    let on = json!({ "available": true, "enabled": true });
    let off = json!({ "available": false, "enabled": false });
    Ok(Reply::json(json!({
        "build": { "hash": env!("CARGO_PKG_VERSION"), "date": "2026-01-01T00:00:00.000Z" },
        "license": { "uid": CLUSTER, "type": "basic", "mode": "basic", "status": "active" },
        "features": {
            "aggregate_metric": off,
            "ilm": off,
            "ml": off,
            "rollup": off,
            "security": on,
            "sql": on,
            "transform": off,
            "watcher": off,
        },
        "tagline": "You know, for X",
    })))
}
