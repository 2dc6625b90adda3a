//! `_search`, `_msearch`, `_count`, `_field_caps`.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::request::{Request, read_json};
use crate::route::{COMMON_PARAMS, Call};
use engine::Caller;
use serde_json::{Value, json};
use std::time::Instant;

/// Every table that the caller may know.
const ALL: &str = "_all";
/// So many terms are looked through for `_terms_enum`.
const TERMS_MAX: u64 = 10_000;
/// So many searches in one `_msearch`.
const SEARCHES_MAX: usize = 1000;

/// `GET` and `POST /{index}/_search`.
pub(crate) fn search(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let body = request.json_if_any()?;
    // Of a point in time the tables are known.
    let index = match request.part_if_any("index") {
        None if body.as_ref().is_some_and(names_point) => "",
        _ => index(request),
    };
    let mut found = backend::search(&call.app.engine, caller, index, body, &question(request))?;
    if request.flag("rest_total_hits_as_int")? {
        total_as_number(&mut found);
    }
    Ok(Reply::json(found))
}

fn names_point(body: &Value) -> bool {
    body.get("pit").is_some_and(|pit| !pit.is_null())
}

/// `GET` and `POST /{index}/_count`.
pub(crate) fn count(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let body = request.json_if_any()?;
    let counted =
        backend::count(&call.app.engine, caller, index(request), body, &question(request))?;
    Ok(Reply::json(counted))
}

/// `GET` and `POST /{index}/_field_caps`.
pub(crate) fn field_caps(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let body = request.json_if_any()?;
    let patterns: Vec<String> = match (request.param("fields"), body.as_ref()) {
        (Some(fields), _) => super::document::comma_separated(fields),
        (None, Some(body)) => match &body["fields"] {
            Value::String(field) => vec![field.clone()],
            Value::Array(fields) => {
                fields.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        },
        (None, None) => Vec::new(),
    };
    if patterns.is_empty() {
        let reason = "specify which fields by [fields], such as [fields=*]";
        return Err(ApiError::illegal_argument(reason));
    }
    backend::field_caps(&call.app.engine, caller, index(request), &patterns).map(Reply::json)
}

/// `GET` and `POST /{index}/_terms_enum`: the terms of a field that begin with a string, in their
/// order. Asked as an aggregation, so that it tells what an aggregation tells and no more.
pub(crate) fn terms_enum(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let body = request.json()?;
    let known =
        ["field", "string", "size", "timeout", "case_insensitive", "index_filter", "search_after"];
    let members =
        body.as_object().ok_or_else(|| ApiError::unreadable_body("the body is an object"))?;
    if members.keys().any(|name| !known.contains(&name.as_str())) {
        let reason = format!("[terms_enum] knows the members [{}]", known.join(", "));
        return Err(ApiError::illegal_argument(reason));
    }
    let field =
        body["field"].as_str().ok_or_else(|| ApiError::illegal_argument("[field] is required"))?;
    let start = body["string"].as_str().unwrap_or("");
    let any_case = body["case_insensitive"] == json!(true);
    let size = body["size"].as_u64().unwrap_or(10).clamp(1, TERMS_MAX) as usize;
    let mut filter = Vec::new();
    if !start.is_empty() {
        let prefix = json!({ "value": start, "case_insensitive": any_case });
        filter.push(json!({ "prefix": { field: prefix } }));
    }
    filter.extend(body.get("index_filter").filter(|filter| !filter.is_null()).cloned());
    let asked = json!({
        "size": 0, "track_total_hits": false, "query": { "bool": { "filter": filter } },
        "aggs": { "terms": { "terms": { "field": field, "size": TERMS_MAX, "order": { "_key": "asc" } } } },
    });
    let found = backend::search(&call.app.engine, caller, index(request), Some(asked), &[])?;
    let buckets = found.pointer("/aggregations/terms/buckets").and_then(Value::as_array);
    let fits = |term: &&str| match any_case {
        // A row with several values has others, too.
        true => term.to_lowercase().starts_with(&start.to_lowercase()),
        false => term.starts_with(start),
    };
    let after = body["search_after"].as_str();
    let terms = buckets.into_iter().flatten().filter_map(|bucket| bucket["key"].as_str());
    let terms: Vec<&str> =
        terms.filter(fits).filter(|term| after.is_none_or(|after| *term > after)).collect();
    let is_complete = buckets.is_none_or(|buckets| (buckets.len() as u64) < TERMS_MAX);
    Ok(Reply::json(json!({
        "_shards": { "total": 1, "successful": 1, "failed": 0 },
        "terms": &terms[..terms.len().min(size)],
        "complete": is_complete,
    })))
}

/// The tables that a path names; without a name all of them.
pub(super) fn index(request: &Request) -> &str {
    request.part_if_any("index").filter(|index| *index != "*").unwrap_or(ALL)
}

/// The parameters that belong to the question and not to how its answer is written.
pub(super) fn question(request: &Request) -> Vec<(String, String)> {
    let of_answer = |name: &str| COMMON_PARAMS.contains(&name) || name == "rest_total_hits_as_int";
    request.params.iter().filter(|(name, _)| !of_answer(name)).cloned().collect()
}

/// Old clients want `hits.total` as a number.
pub(super) fn total_as_number(found: &mut Value) {
    if let Some(total) = found.pointer_mut("/hits/total")
        && let Some(value) = total.get_mut("value").map(Value::take)
    {
        *total = value;
    }
}

/// `POST /_msearch`: a header line and a body line for each search; one that fails does not stop
/// the others.
pub(crate) fn msearch(call: &Call<'_>, caller: &Caller) -> Answer {
    let started = Instant::now();
    let request = call.request;
    let as_number = request.flag("rest_total_hits_as_int")?;
    let searches = read_searches(request.text()?, index(request))?;
    let params: Vec<(String, String)> = question(request)
        .into_iter()
        .filter(|(name, _)| !name.starts_with("max_concurrent"))
        .collect();
    let mut responses = Vec::with_capacity(searches.len());
    for One { index, body } in searches {
        let found = backend::search(&call.app.engine, caller, &index, Some(body), &params);
        responses.push(match found {
            Ok(mut found) => {
                if as_number {
                    total_as_number(&mut found);
                }
                found["status"] = json!(200);
                found
            }
            Err(error) => json!({ "error": error.member(), "status": error.status().as_u16() }),
        });
    }
    let took = started.elapsed().as_millis() as u64;
    Ok(Reply::json(json!({ "took": took, "responses": responses })))
}

/// One search of many.
#[derive(Debug, PartialEq)]
struct One {
    index: String,
    body: Value,
}

fn read_searches(text: &str, default_index: &str) -> Result<Vec<One>, ApiError> {
    let mut searches = Vec::new();
    let mut lines = text.lines();
    while let Some(header) = lines.next() {
        // Elasticsearch reads an empty header line as `{}`; empty lines at the end are nothing.
        let Some(body) = lines.next() else {
            if header.trim().is_empty() {
                break;
            }
            return Err(ApiError::illegal_argument("a header line has no body line after it"));
        };
        if header.trim().is_empty() && body.trim().is_empty() {
            continue;
        }
        if searches.len() == SEARCHES_MAX {
            let reason = format!("more than [{SEARCHES_MAX}] searches in one request");
            return Err(ApiError::illegal_argument(reason));
        }
        let header = match header.trim() {
            "" => json!({}),
            header => read_json(header.as_bytes())?,
        };
        let body = read_json(body.as_bytes())?;
        let index = match index_of(&header) {
            Some(index) => index,
            None if default_index == ALL && names_point(&body) => String::new(),
            None => default_index.to_owned(),
        };
        searches.push(One { index, body });
    }
    if searches.is_empty() {
        return Err(ApiError::illegal_argument("no requests added"));
    }
    Ok(searches)
}

fn index_of(header: &Value) -> Option<String> {
    match header.get("index").or_else(|| header.get("indices"))? {
        Value::String(index) if !index.is_empty() => Some(index.clone()),
        Value::Array(names) if !names.is_empty() => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            Some(names.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_come_in_pairs_of_lines() {
        let text = "{\"index\":[\"a\",\"b\"]}\n{\"size\":0}\n{}\n{}\n\n";
        let searches = read_searches(text, "_all").unwrap();
        let indexes: Vec<&str> = searches.iter().map(|one| one.index.as_str()).collect();
        assert_eq!(indexes, ["a,b", "_all"]);
        assert_eq!(searches[0].body, json!({ "size": 0 }));
        assert!(read_searches("{}\n", "_all").is_err(), "no body");
        assert!(read_searches("", "_all").is_err(), "nothing");
        assert!(read_searches("{}\n{broken\n", "_all").is_err());
    }

    #[test]
    fn totals_for_old_clients() {
        let mut found = json!({ "hits": { "total": { "value": 7, "relation": "eq" } } });
        total_as_number(&mut found);
        assert_eq!(found, json!({ "hits": { "total": 7 } }));
    }
}
