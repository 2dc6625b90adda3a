//! URL parameters of `_search` and `_count`.

use super::hits::HitsSpec;
use super::parse::{Parser, Query};
use super::{EsError, json};
use serde_json::{Map, Value};

/// Parameters that change nothing here: those of every request, and those about shards.
const IGNORED: [&str; 22] = [
    "pretty",
    "human",
    "error_trace",
    "filter_path",
    "format",
    "ignore_unavailable",
    "allow_no_indices",
    "expand_wildcards",
    "ignore_throttled",
    "routing",
    "preference",
    "search_type",
    "batched_reduce_size",
    "ccs_minimize_roundtrips",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "request_cache",
    "allow_partial_search_results",
    "include_named_queries_score",
    "force_synthetic_source",
    "project_routing",
    "terminate_after",
];

/// Parameters that belong to `q`.
const OF_Q: [&str; 6] = ["q", "df", "default_operator", "lenient", "analyzer", "analyze_wildcard"];

/// The refusal of a parameter that no one knows.
pub(super) fn unrecognized(path: &str, name: &str) -> EsError {
    EsError::illegal(format!("request [{path}] contains unrecognized parameter: [{name}]"))
}

/// Whether a parameter needs no further look.
pub(super) fn is_passed_over(name: &str) -> bool {
    IGNORED.contains(&name) || OF_Q.contains(&name) || name.starts_with("source_")
}

/// The query of `q=…`, if there is one.
pub(super) fn query(
    parser: &mut Parser,
    params: &[(String, String)],
) -> Result<Option<Query>, EsError> {
    let mut options = Map::new();
    for (name, value) in params.iter().filter(|(name, _)| OF_Q.contains(&name.as_str())) {
        let option = match name.as_str() {
            "q" => "query",
            "df" => "default_field",
            other => other,
        };
        options.insert(option.to_owned(), Value::from(value.as_str()));
    }
    if !options.contains_key("query") {
        return Ok(None);
    }
    let mut outer = Map::new();
    outer.insert("query_string".to_owned(), Value::Object(options));
    parser.query(&Value::Object(outer)).map(Some)
}

/// A body that stands in the parameter `source`.
pub(super) fn source(params: &[(String, String)]) -> Result<Option<Value>, EsError> {
    let Some((_, text)) = params.iter().find(|(name, _)| name == "source") else {
        return Ok(None);
    };
    serde_json::from_str(text)
        .map(Some)
        .map_err(|_| EsError::bad("x_content_parse_exception", "the parameter [source] is no JSON"))
}

/// Takes a parameter about the rows that are shown; false: it is none.
pub(super) fn take_hits(spec: &mut HitsSpec, name: &str, value: &str) -> Result<bool, EsError> {
    let list = || Value::from_iter(value.split(',').map(str::trim).filter(|part| !part.is_empty()));
    match name {
        "from" | "size" => spec.take(name, &Value::from(value)),
        "sort" | "stored_fields" | "docvalue_fields" => spec.take(name, &list()),
        "version" | "seq_no_primary_term" | "track_scores" | "explain" => {
            spec.take(name, &Value::from(json::flag(value)?))
        }
        "_source" if matches!(value, "true" | "false" | "") => {
            spec.source.on = value != "false";
            Ok(true)
        }
        "_source" | "_source_includes" | "_source_include" => {
            spec.source.on = true;
            spec.source.include = json::texts(&list(), name)?;
            Ok(true)
        }
        "_source_excludes" | "_source_exclude" => {
            spec.source.exclude = json::texts(&list(), name)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}
