//! Tables and their fields with classes.

use crate::backend;
use crate::error::Answer;
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use model::{Field, Intake, Table, TableKind};
use serde_json::{Value, json};

/// `GET /_clerestory/tables`.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    shown(call, caller, "*")
}

/// `GET /_clerestory/tables/{index}`.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    shown(call, caller, call.request.part("index"))
}

fn shown(call: &Call<'_>, caller: &Caller, expression: &str) -> Answer {
    let mut tables = Vec::new();
    for table in backend::tables(&call.app.engine, caller, expression)? {
        let stats = backend::table_stats(&call.app.engine, caller, &table)?;
        let mut shown = table_json(&table);
        shown["rows"] = json!(stats.rows);
        shown["bytes"] = json!(stats.bytes);
        tables.push(shown);
    }
    Ok(Reply::json(json!({ "tables": tables })))
}

fn table_json(table: &Table) -> Value {
    let kind = match table.kind {
        TableKind::Events => "events",
        TableKind::Entities => "entities",
    };
    let intake = match table.intake {
        Intake::Closed => "closed",
        Intake::Classified => "classified",
    };
    json!({
        "name": table.name.as_str(),
        "kind": kind,
        "intake": intake,
        "time_field": table.time_field,
        "retention_ms": table.retention_ms,
        "fields": table.schema.fields().iter().map(field_json).collect::<Vec<Value>>(),
    })
}

fn field_json(field: &Field) -> Value {
    let mut shown = json!({
        "name": field.name.as_str(),
        "type": field.es_type,
        "class": field.class.map(model::Class::as_str),
        "kind": field.kind,
        "withheld": field.withheld,
    });
    if let Some(ruling) = field.ruling() {
        shown["ruling"] =
            json!({ "by": ruling.by, "at": ruling.at.to_rfc3339(), "reason": ruling.reason });
    }
    shown
}
