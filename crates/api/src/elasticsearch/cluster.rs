//! What clients ask about the cluster, which is one node.

use super::{CLUSTER, VERSION};
use crate::backend;
use crate::error::Answer;
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use serde_json::{Map, Value, json};

/// `GET /_cluster/health`: a node that answers is whole.
pub(crate) fn health(call: &Call<'_>, caller: &Caller) -> Answer {
    let expression = call.request.part_if_any("index").unwrap_or("*");
    let tables = backend::tables(&call.app.engine, caller, expression)?;
    let shards = tables.len();
    let mut health = json!({
        "cluster_name": CLUSTER,
        "status": "green",
        "timed_out": false,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": shards,
        "active_shards": shards,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "unassigned_primary_shards": 0,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
    });
    if matches!(call.request.param("level"), Some("indices" | "shards")) {
        let each: Map<String, Value> =
            tables.iter().map(|table| (table.name.as_str().to_owned(), index_health())).collect();
        health["indices"] = Value::Object(each);
    }
    Ok(Reply::json(health))
}

fn index_health() -> Value {
    json!({
        "status": "green",
        "number_of_shards": 1,
        "number_of_replicas": 0,
        "active_primary_shards": 1,
        "active_shards": 1,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "unassigned_primary_shards": 0,
    })
}

/// `GET /_cluster/settings`: nothing can be set at run time.
pub(crate) fn settings(_call: &Call<'_>, _caller: &Caller) -> Answer {
    Ok(Reply::json(json!({ "persistent": {}, "transient": {} })))
}

/// `GET /_nodes`: this one. No address is told: clients keep to the one they know.
pub(crate) fn nodes(_call: &Call<'_>, _caller: &Caller) -> Answer {
    Ok(Reply::json(json!({
        "_nodes": { "total": 1, "successful": 1, "failed": 0 },
        "cluster_name": CLUSTER,
        "nodes": {
            CLUSTER: {
                "name": CLUSTER,
                "version": VERSION,
                "build_flavor": "default",
                "roles": ["data", "ingest", "master"],
                "attributes": {},
            },
        },
    })))
}
