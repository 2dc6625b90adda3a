//! Indexes: make, drop, show, map.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::filter_path::matches;
use crate::reply::Reply;
use crate::request::Verb;
use crate::route::Call;
use engine::{Alias, Caller};
use hyper::StatusCode;
use serde_json::{Map, Value, json};

/// `PUT /{index}`.
pub(crate) fn create(call: &Call<'_>, caller: &Caller) -> Answer {
    let name = call.request.part("new");
    let body = call.request.json_if_any()?.unwrap_or_else(|| json!({}));
    backend::create_table(&call.app.engine, caller, name, &body)?;
    Ok(Reply::json(json!({ "acknowledged": true, "shards_acknowledged": true, "index": name })))
}

/// `DELETE /{index}`. A pattern drops nothing: names only, as in Elasticsearch.
pub(crate) fn drop_index(call: &Call<'_>, caller: &Caller) -> Answer {
    let mut names = Vec::new();
    let ignores_missing = call.request.flag("ignore_unavailable")?;
    for name in call.request.part("index").split(',') {
        match backend::tables(&call.app.engine, caller, name) {
            Err(error) if ignores_missing && error.status().as_u16() == 404 => {}
            _ => names.push(name),
        }
    }
    if !names.is_empty() {
        backend::drop_tables(&call.app.engine, caller, &names.join(","))?;
    }
    Ok(Reply::json(json!({ "acknowledged": true })))
}

/// `HEAD /{index}`.
pub(crate) fn exists(call: &Call<'_>, caller: &Caller) -> Answer {
    match backend::tables(&call.app.engine, caller, call.request.part("index")) {
        Ok(_) => Ok(Reply::there(true)),
        Err(error) if error.status().as_u16() == 404 => Ok(Reply::there(false)),
        Err(error) => Err(error),
    }
}

/// `GET /{index}`: mappings and settings.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    let all = backend::tables(&call.app.engine, caller, call.request.part("index"))?;
    let aliases = backend::aliases(&call.app.engine, &all);
    let of = |table: &model::Table| {
        aliases.get(table.name.as_str()).map_or_else(|| json!({}), |of| written(of))
    };
    each(call, caller, |table| {
        json!({
            "aliases": of(table),
            "mappings": backend::mapping(table),
            "settings": backend::settings(table),
        })
    })
}

/// `GET /{index}/_mapping`.
pub(crate) fn mapping(call: &Call<'_>, caller: &Caller) -> Answer {
    each(call, caller, |table| json!({ "mappings": backend::mapping(table) }))
}

/// `GET /{index}/_settings`.
pub(crate) fn settings(call: &Call<'_>, caller: &Caller) -> Answer {
    each(call, caller, |table| json!({ "settings": backend::settings(table) }))
}

/// One member for each table that the path names.
fn each(call: &Call<'_>, caller: &Caller, show: impl Fn(&model::Table) -> Value) -> Answer {
    let expression = call.request.part_if_any("index").unwrap_or("*");
    let tables = backend::tables(&call.app.engine, caller, expression)?;
    let shown: Map<String, Value> =
        tables.iter().map(|table| (table.name.as_str().to_owned(), show(table))).collect();
    Ok(Reply::json(Value::Object(shown)))
}

/// `PUT /{index}/_mapping`.
pub(crate) fn put_mapping(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let expression = call.request.part("index");
    backend::put_mapping(&call.app.engine, caller, expression, &body)?;
    Ok(Reply::json(json!({ "acknowledged": true })))
}

/// `PUT /{index}/_settings`.
pub(crate) fn no_settings(_call: &Call<'_>, _caller: &Caller) -> Answer {
    Err(ApiError::not_supported("the settings of an index are given when it is created"))
}

/// `_refresh`, `_flush`, `_forcemerge`: nothing to wait for. A write that was answered is durable
/// and searchable, and merging goes on by itself.
pub(crate) fn refresh(call: &Call<'_>, caller: &Caller) -> Answer {
    let expression = call.request.part_if_any("index").unwrap_or("*");
    let shards = backend::tables(&call.app.engine, caller, expression)?.len();
    let shards = json!({ "total": shards, "successful": shards, "failed": 0 });
    Ok(Reply::json(json!({ "_shards": shards })))
}

/// `GET` and `HEAD` of `_alias`: those of the tables that the path names and the caller knows.
pub(crate) fn aliases(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let expression = request.part_if_any("index").unwrap_or("*");
    let tables = backend::tables(&call.app.engine, caller, expression)?;
    let asked: Vec<&str> =
        request.part_if_any("name").map(|name| name.split(',').collect()).unwrap_or_default();
    let is_asked = |alias: &Alias| {
        asked.is_empty()
            || asked.iter().any(|asked| *asked == "_all" || matches(asked, &alias.name))
    };
    let mut shown = Map::new();
    let mut found: Vec<String> = Vec::new();
    for (table, aliases) in backend::aliases(&call.app.engine, &tables) {
        let of_table: Vec<Alias> = aliases.into_iter().filter(is_asked).collect();
        // Without a name every table is listed; with one, those that have it.
        if asked.is_empty() || !of_table.is_empty() {
            found.extend(of_table.iter().map(|alias| alias.name.clone()));
            shown.insert(table, json!({ "aliases": written(&of_table) }));
        }
    }
    let missing: Vec<&str> = asked
        .iter()
        .filter(|asked| **asked != "_all" && !asked.contains('*'))
        .filter(|asked| !found.iter().any(|name| name == **asked))
        .copied()
        .collect();
    if request.verb == Verb::Head {
        return Ok(Reply::there(missing.is_empty() && (asked.is_empty() || !found.is_empty())));
    }
    if missing.is_empty() {
        return Ok(Reply::json(Value::Object(shown)));
    }
    shown.insert("error".to_owned(), json!(format!("alias [{}] missing", missing.join(","))));
    shown.insert("status".to_owned(), json!(404));
    Ok(Reply::json(Value::Object(shown)).with_status(StatusCode::NOT_FOUND))
}

fn written(aliases: &[Alias]) -> Value {
    let one = |alias: &Alias| {
        let options =
            if alias.is_write_index { json!({ "is_write_index": true }) } else { json!({}) };
        (alias.name.clone(), options)
    };
    Value::Object(aliases.iter().map(one).collect())
}

/// `POST /_aliases`.
pub(crate) fn update_aliases(call: &Call<'_>, caller: &Caller) -> Answer {
    backend::update_aliases(&call.app.engine, caller, &call.request.json()?)?;
    Ok(Reply::json(json!({ "acknowledged": true, "errors": false })))
}

/// `PUT` and `DELETE` of `/{index}/_alias/{name}`.
pub(crate) fn change_alias(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let mut options = match request.json_if_any()? {
        None => Map::new(),
        Some(Value::Object(options)) => options,
        Some(_) => return Err(ApiError::unreadable_body("the body is an object")),
    };
    options.insert("index".to_owned(), json!(request.part("index")));
    let names: Vec<&str> = request.part("name").split(',').collect();
    options.insert("aliases".to_owned(), json!(names));
    let word = if request.verb == Verb::Delete { "remove" } else { "add" };
    let body = json!({ "actions": [{ word: options }] });
    backend::update_aliases(&call.app.engine, caller, &body)?;
    Ok(Reply::json(json!({ "acknowledged": true, "errors": false })))
}

/// `_template`, `_index_template`, `_component_template`: there are none.
pub(crate) fn no_templates(call: &Call<'_>, _caller: &Caller) -> Answer {
    match (call.request.verb, call.request.part_if_any("name")) {
        (Verb::Head, _) => Ok(Reply::there(false)),
        (Verb::Get, None) if call.request.path.contains("_index_template") => {
            Ok(Reply::json(json!({ "index_templates": [] })))
        }
        (Verb::Get, None) => Ok(Reply::json(json!({}))),
        _ => Err(ApiError::not_supported(
            "templates are not supported; give mappings and settings when an index is created",
        )),
    }
}
