use super::super::stand_in::Rows;
use serde_json::{Value, json};

const HOUR: i64 = 3_600_000;
/// Midnight of 17 March 2026 in Greenwich.
const START: i64 = 1_773_705_600_000;

fn rows() -> Rows {
    Rows(vec![
        json!({"at": START, "level": "info", "code": 200, "load": 0.5, "ok": true, "tags": ["a", "b"]}),
        json!({"at": START + HOUR, "level": "info", "code": 200, "load": 1.5, "ok": true, "tags": ["a"]}),
        json!({"at": START + HOUR, "level": "warn", "code": 404, "load": 2.5, "ok": false, "tags": ["b"]}),
        json!({"at": START + 4 * HOUR, "level": "info", "code": 500, "ok": false}),
        json!({"at": START + 26 * HOUR, "level": "error", "code": 500, "load": 4.5, "ok": false, "tags": ["b", "b"]}),
    ])
}

fn aggregated(aggs: Value) -> Value {
    let body = json!({"size": 0, "aggs": aggs});
    match rows().search(&body) {
        Ok(answer) => answer["aggregations"].clone(),
        Err(error) => json!(format!("{}: {}", error.kind, error.reason)),
    }
}

#[test]
fn metrics_are_shown_as_numbers() {
    let found = aggregated(json!({
        "least": {"min": {"field": "load"}},
        "first": {"min": {"field": "at"}},
        "mean": {"avg": {"field": "load"}},
        "filled": {"avg": {"field": "load", "missing": 1}},
        "total": {"sum": {"field": "code"}},
        "all": {"stats": {"field": "load"}},
        "distinct": {"cardinality": {"field": "level"}},
        "values": {"value_count": {"field": "tags"}},
        "middle": {"percentiles": {"field": "code", "percents": [50]}},
        "share": {"percentile_ranks": {"field": "code", "values": [404], "keyed": false}},
        "nothing": {"max": {"field": "nobody"}}
    }));
    assert_eq!(found["least"], json!({"value": 0.5}));
    assert_eq!(
        found["first"],
        json!({"value": START as f64, "value_as_string": "2026-03-17T00:00:00.000Z"})
    );
    assert_eq!(found["mean"], json!({"value": 2.25}));
    assert_eq!(found["filled"], json!({"value": 2.0}));
    assert_eq!(found["total"], json!({"value": 1804.0}));
    assert_eq!(found["all"], json!({"count": 4, "min": 0.5, "max": 4.5, "avg": 2.25, "sum": 9.0}));
    assert_eq!(found["distinct"], json!({"value": 3}));
    assert_eq!(found["values"], json!({"value": 6}));
    assert_eq!(found["middle"], json!({"values": {"50.0": 404.0}}));
    assert_eq!(found["share"], json!({"values": [{"key": 404.0, "value": 60.0}]}));
    assert_eq!(found["nothing"], json!({"value": null}));
}

#[test]
fn extended_stats_have_deviations() {
    let found = aggregated(json!({"spread": {"extended_stats": {"field": "code", "sigma": 1}}}));
    let spread = &found["spread"];
    assert_eq!(spread["sum_of_squares"], json!(743_216.0));
    let variance = 743_216.0 / 5.0 - (1804.0_f64 / 5.0).powi(2);
    assert!((spread["variance"].as_f64().unwrap() - variance).abs() < 1e-6);
    let upper = 360.8 + variance.sqrt();
    assert!((spread["std_deviation_bounds"]["upper"].as_f64().unwrap() - upper).abs() < 1e-6);
}

#[test]
fn terms_are_counted_ordered_and_cut() {
    let found = aggregated(json!({"levels": {"terms": {"field": "level", "size": 1}}}));
    assert_eq!(
        found["levels"],
        json!({
            "doc_count_error_upper_bound": 0,
            "sum_other_doc_count": 2,
            "buckets": [{"key": "info", "doc_count": 3}]
        })
    );
    let keys = |terms: Value| -> Vec<Value> {
        let found = aggregated(json!({"t": terms}));
        let buckets = found["t"]["buckets"].as_array().unwrap_or_else(|| panic!("{found}"));
        buckets.iter().map(|bucket| bucket["key"].clone()).collect()
    };
    assert_eq!(keys(json!({"terms": {"field": "level"}})), ["info", "error", "warn"]);
    assert_eq!(
        keys(json!({"terms": {"field": "level", "order": {"_key": "desc"}}})),
        ["warn", "info", "error"]
    );
    assert_eq!(
        keys(
            json!({"terms": {"field": "level", "order": {"m.max": "desc"}}, "aggs": {"m": {"stats": {"field": "load"}}}})
        ),
        ["error", "warn", "info"]
    );
    assert_eq!(
        keys(json!({
            "terms": {"field": "level", "order": [{"bad>n": "desc"}, {"_key": "asc"}]},
            "aggs": {"bad": {"filter": {"term": {"ok": false}}, "aggs": {"n": {"value_count": {"field": "code"}}}}}
        })),
        ["error", "info", "warn"]
    );
    assert_eq!(
        keys(json!({"terms": {"field": "level", "include": "(i|w).*", "exclude": ["warn"]}})),
        ["info"]
    );
    assert_eq!(keys(json!({"terms": {"field": "level", "min_doc_count": 2}})), ["info"]);
    assert_eq!(keys(json!({"terms": {"field": "tags", "missing": "none"}})), ["b", "a", "none"]);
    assert_eq!(
        keys(json!({"terms": {"field": "code", "order": {"_key": "asc"}}})),
        [200, 404, 500]
    );
    assert_eq!(keys(json!({"terms": {"field": "nobody"}})), Vec::<Value>::new());
    let found = aggregated(json!({"t": {"terms": {"field": "ok"}}}));
    assert_eq!(
        found["t"]["buckets"][0],
        json!({"key": 0, "key_as_string": "false", "doc_count": 3})
    );
}

#[test]
fn terms_without_rows_are_shown_when_asked_for() {
    let body = json!({
        "size": 0,
        "query": {"term": {"level": "warn"}},
        "aggs": {"t": {"terms": {"field": "level", "min_doc_count": 0}, "aggs": {"n": {"sum": {"field": "code"}}}}}
    });
    let found = rows().search(&body).unwrap();
    assert_eq!(
        found["aggregations"]["t"]["buckets"],
        json!([
            {"key": "warn", "doc_count": 1, "n": {"value": 404.0}},
            {"key": "error", "doc_count": 0, "n": {"value": 0.0}},
            {"key": "info", "doc_count": 0, "n": {"value": 0.0}}
        ])
    );
}

#[test]
fn levels_nest_under_values_that_come_twice() {
    let found = aggregated(json!({"t": {
        "terms": {"field": "tags", "order": {"_key": "asc"}},
        "aggs": {
            "l": {
                "terms": {"field": "level", "order": {"_key": "asc"}},
                "aggs": {"d": {"cardinality": {"field": "code"}}, "m": {"max": {"field": "load"}}}
            },
            "bad": {"filter": {"term": {"ok": false}}, "aggs": {"n": {"value_count": {"field": "code"}}}}
        }
    }}));
    assert_eq!(
        found["t"]["buckets"],
        json!([
            {
                "key": "a", "doc_count": 2,
                "l": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [
                    {"key": "info", "doc_count": 2, "d": {"value": 1}, "m": {"value": 1.5}}
                ]},
                "bad": {"doc_count": 0, "n": {"value": 0}}
            },
            {
                "key": "b", "doc_count": 3,
                "l": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [
                    {"key": "error", "doc_count": 1, "d": {"value": 1}, "m": {"value": 4.5}},
                    {"key": "info", "doc_count": 1, "d": {"value": 1}, "m": {"value": 0.5}},
                    {"key": "warn", "doc_count": 1, "d": {"value": 1}, "m": {"value": 2.5}}
                ]},
                "bad": {"doc_count": 2, "n": {"value": 2}}
            }
        ])
    );
}

#[test]
fn histograms_fill_their_gaps() {
    let found = aggregated(json!({
        "hours": {
            "date_histogram": {"field": "at", "fixed_interval": "1h", "hard_bounds": {"max": "2026-03-17T12:00:00Z"}},
            "aggs": {"n": {"sum": {"field": "code"}}}
        },
        "days": {"date_histogram": {"field": "at", "calendar_interval": "day", "time_zone": "+01:00", "format": "yyyy-MM-dd"}},
        "loads": {"histogram": {"field": "load", "interval": 2, "extended_bounds": {"min": -1, "max": 7}}},
        "keyed": {"histogram": {"field": "load", "interval": 2, "min_doc_count": 1, "keyed": true}}
    }));
    let hours = found["hours"]["buckets"].as_array().unwrap();
    assert_eq!(hours.len(), 5, "{found}");
    assert_eq!(
        hours[2],
        json!({"key_as_string": "2026-03-17T02:00:00.000Z", "key": START + 2 * HOUR, "doc_count": 0, "n": {"value": 0.0}})
    );
    assert_eq!(
        found["days"]["buckets"],
        json!([
            {"key_as_string": "2026-03-17", "key": START - HOUR, "doc_count": 4},
            {"key_as_string": "2026-03-18", "key": START + 23 * HOUR, "doc_count": 1}
        ])
    );
    assert_eq!(
        found["loads"]["buckets"],
        json!([
            {"key": -2.0, "doc_count": 0}, {"key": 0.0, "doc_count": 2}, {"key": 2.0, "doc_count": 1},
            {"key": 4.0, "doc_count": 1}, {"key": 6.0, "doc_count": 0}
        ])
    );
    assert_eq!(found["keyed"]["buckets"]["2.0"], json!({"key": 2.0, "doc_count": 1}));
}

#[test]
fn ranges_and_filters_always_have_all_their_buckets() {
    let found = aggregated(json!({
        "loads": {"range": {"field": "load", "ranges": [{"from": 2}, {"to": 1}, {"key": "some", "from": 1, "to": 2}]}},
        "days": {"date_range": {"field": "at", "format": "yyyy-MM-dd", "ranges": [{"to": "2026-03-18"}, {"from": "2026-03-18||/d"}]}},
        "named": {"filters": {"filters": {"bad": {"term": {"ok": false}}, "none": {"match_none": {}}}, "other_bucket_key": "rest"}},
        "plain": {"filters": {"filters": [{"match_all": {}}]}},
        "gone": {"missing": {"field": "tags"}, "aggs": {"n": {"max": {"field": "code"}}}},
        "unknown": {"range": {"field": "nobody", "ranges": [{"to": 1}], "keyed": true}}
    }));
    assert_eq!(
        found["loads"]["buckets"],
        json!([
            {"key": "*-1.0", "to": 1.0, "doc_count": 1},
            {"key": "some", "from": 1.0, "to": 2.0, "doc_count": 1},
            {"key": "2.0-*", "from": 2.0, "doc_count": 2}
        ])
    );
    assert_eq!(found["days"]["buckets"][1]["key"], json!("2026-03-18-*"));
    assert_eq!(found["days"]["buckets"][0]["doc_count"], json!(4));
    assert_eq!(
        found["named"]["buckets"],
        json!({"bad": {"doc_count": 3}, "none": {"doc_count": 0}, "rest": {"doc_count": 2}})
    );
    assert_eq!(found["plain"]["buckets"], json!([{"doc_count": 5}]));
    assert_eq!(found["gone"], json!({"doc_count": 1, "n": {"value": 500.0}}));
    assert_eq!(found["unknown"]["buckets"], json!({"*-1.0": {"to": 1.0, "doc_count": 0}}));
}

#[test]
fn composites_are_paged_through() {
    let page = |after: Value| {
        let mut composite = json!({
            "size": 2,
            "sources": [
                {"level": {"terms": {"field": "level"}}},
                {"code": {"terms": {"field": "code", "order": "desc"}}}
            ]
        });
        if !after.is_null() {
            composite["after"] = after;
        }
        aggregated(json!({"c": {"composite": composite}}))["c"].clone()
    };
    let first = page(Value::Null);
    assert_eq!(
        first["buckets"],
        json!([
            {"key": {"level": "error", "code": 500}, "doc_count": 1},
            {"key": {"level": "info", "code": 500}, "doc_count": 1}
        ])
    );
    let second = page(first["after_key"].clone());
    assert_eq!(
        second["buckets"][0],
        json!({"key": {"level": "info", "code": 200}, "doc_count": 2})
    );
    assert_eq!(second["buckets"][1]["key"]["level"], "warn");
    assert_eq!(page(second["after_key"].clone())["buckets"], json!([]));
}

#[test]
fn top_hits_stand_in_their_bucket() {
    let found = aggregated(json!({"l": {
        "terms": {"field": "level", "size": 1},
        "aggs": {"newest": {"top_hits": {"size": 1, "sort": {"at": "desc"}, "_source": false}}}
    }}));
    assert_eq!(
        found["l"]["buckets"][0]["newest"]["hits"],
        json!({
            "total": {"value": 3, "relation": "eq"},
            "max_score": null,
            "hits": [{"_index": "logs", "_id": "id3", "_score": null, "sort": [START + 4 * HOUR]}]
        })
    );
}

#[test]
fn names_can_carry_their_type() {
    let body = json!({"size": 0, "aggs": {
        "l": {"terms": {"field": "level"}, "meta": {"color": "red"}, "aggs": {"m": {"max": {"field": "code"}}}},
        "all": {"global": {}, "aggs": {"p": {"percentiles": {"field": "code"}}}}
    }});
    let found = rows().search_with(&body, &[("typed_keys", "true")]).unwrap();
    let found = &found["aggregations"];
    assert_eq!(found["sterms#l"]["meta"], json!({"color": "red"}));
    assert!(found["sterms#l"]["buckets"][0]["max#m"].is_object());
    assert!(found["global#all"]["tdigest_percentiles#p"]["values"].is_object());
}

#[test]
fn mistakes_are_named() {
    for (aggs, expected) in [
        (
            json!({"a": {"trems": {}}}),
            "parsing_exception: Unknown aggregation type [trems] did you mean [terms]?",
        ),
        (
            json!({"a": {"bucket_script": {}}}),
            "parsing_exception: aggregation [bucket_script] is not supported by Clerestory",
        ),
        (json!({"a": {}}), "parsing_exception: Missing definition for aggregation [a]"),
        (
            json!({"a": {"terms": {}}}),
            "illegal_argument_exception: Required one of fields [field, script], but none were specified. ",
        ),
        (
            json!({"a": {"terms": {"field": "level", "size": 0}}}),
            "illegal_argument_exception: [size] must be greater than 0. Found [0] in [a]",
        ),
        (
            json!({"a": {"terms": {"field": "message"}}}),
            "illegal_argument_exception: Fielddata is disabled on [message] in [logs].",
        ),
        (
            json!({"a": {"terms": {"field": "user.pulse"}}}),
            "illegal_argument_exception: [user.pulse] is sealed",
        ),
        (
            json!({"a": {"avg": {"field": "level"}}}),
            "illegal_argument_exception: Field [level] of type [keyword] is not supported for aggregation [avg]",
        ),
        (
            json!({"a": {"date_histogram": {"field": "at", "calendar_interval": "2d"}}}),
            "illegal_argument_exception: The supplied interval [2d] could not be parsed as a calendar interval.",
        ),
        (
            json!({"a": {"date_histogram": {"field": "code", "fixed_interval": "1d"}}}),
            "illegal_argument_exception: Field [code] of type [long] is not supported for aggregation [date_histogram]",
        ),
        (
            json!({"a": {"histogram": {"field": "load", "interval": 0}}}),
            "illegal_argument_exception: [interval] must be >0 for histogram aggregation [a]",
        ),
        (
            json!({"a": {"histogram": {"field": "load", "interval": 1e-9}}}),
            "too_many_buckets_exception: Trying to create too many buckets.",
        ),
        (
            json!({"a": {"date_histogram": {"field": "at", "fixed_interval": "1ms"}}}),
            "too_many_buckets_exception: Trying to create too many buckets.",
        ),
        (
            json!({"a": {"max": {"field": "code"}, "aggs": {"b": {"max": {"field": "code"}}}}}),
            "aggregation_initialization_exception: Aggregator [a] of type [max] cannot accept sub-aggregations",
        ),
        (
            json!({"a": {"terms": {"field": "level", "order": {"x": "asc"}}}}),
            "aggregation_execution_exception: Invalid aggregator order path [x].",
        ),
        (
            json!({"a": {"terms": {"field": "level", "include": "("}}}),
            "illegal_argument_exception: failed to parse the regular expression [(]",
        ),
        (
            json!({"a>b": {"max": {"field": "code"}}}),
            "parsing_exception: Invalid aggregation name [a>b].",
        ),
    ] {
        let found = aggregated(aggs.clone());
        let found = found.as_str().unwrap_or_else(|| panic!("{aggs} was answered: {found}"));
        assert!(found.starts_with(expected), "{aggs}: {found}");
    }
    let mut deep = json!({"terms": {"field": "level"}});
    for _ in 0..60 {
        deep = json!({"terms": {"field": "level"}, "aggs": {"x": deep}});
    }
    assert!(aggregated(json!({"x": deep})).as_str().unwrap().contains("nest at most 30"));
}

#[test]
fn pipelines_are_computed_from_buckets() {
    let hours = json!({
        "date_histogram": {"field": "at", "fixed_interval": "1h", "min_doc_count": 1},
        "aggs": {
            "load": {"sum": {"field": "load"}},
            "all": {"cumulative_sum": {"buckets_path": "_count"}},
            "change": {"derivative": {"buckets_path": "load"}},
            "mean": {"moving_fn": {"buckets_path": "_count", "window": 2, "shift": 1,
                                   "script": "MovingFunctions.unweightedAvg(values)"}}
        }
    });
    let found = aggregated(json!({
        "hours": hours,
        "most": {"max_bucket": {"buckets_path": "hours>load"}},
        "total": {"sum_bucket": {"buckets_path": "hours>_count"}},
        "spread": {"stats_bucket": {"buckets_path": "hours>_count"}},
        "changes": {"avg_bucket": {"buckets_path": "hours>change"}}
    }));
    let buckets = found["hours"]["buckets"].as_array().unwrap();
    let column = |name: &str| -> Vec<Value> {
        buckets.iter().map(|bucket| bucket[name]["value"].clone()).collect()
    };
    assert_eq!(json!(column("all")), json!([1.0, 3.0, 4.0, 5.0]));
    assert_eq!(json!(column("change")), json!([null, 3.5, -4.0, 4.5]));
    assert!(buckets[0].get("change").is_none(), "the first has none");
    assert_eq!(json!(column("mean")), json!([1.0, 1.5, 1.5, 1.0]));
    assert_eq!(found["most"], json!({"value": 4.5, "keys": ["2026-03-18T02:00:00.000Z"]}));
    assert_eq!(found["total"], json!({"value": 5.0}));
    assert_eq!(
        found["spread"],
        json!({"count": 4, "min": 1.0, "max": 2.0, "avg": 1.25, "sum": 5.0})
    );
    let levels = aggregated(json!({"levels": {
        "terms": {"field": "level", "size": 10},
        "aggs": {
            "load": {"max": {"field": "load"}},
            "largest": {"bucket_sort": {"sort": [{"load": {"order": "desc"}}], "size": 2}}
        }
    }}));
    let keys: Vec<&Value> =
        levels["levels"]["buckets"].as_array().unwrap().iter().map(|one| &one["key"]).collect();
    assert_eq!(json!(keys), json!(["error", "warn"]));
}

#[test]
fn pipelines_out_of_place_are_refused() {
    for (aggs, why) in [
        (json!({"a": {"derivative": {"buckets_path": "_count"}}}), "inside of another"),
        (
            json!({"a": {"terms": {"field": "level"}, "aggs": {"b": {"cumulative_sum": {"buckets_path": "_count"}}}}}),
            "in a histogram",
        ),
        (json!({"a": {"avg_bucket": {"buckets_path": "nobody>_count"}}}), "No aggregation found"),
        (json!({"a": {"avg_bucket": {}}}), "Missing required field [buckets_path]"),
        (
            json!({"a": {"avg_bucket": {"buckets_path": "x", "gap_policy": "insert_zeros"}}}),
            "not supported",
        ),
    ] {
        let refused = aggregated(aggs.clone());
        assert!(refused.as_str().is_some_and(|text| text.contains(why)), "{aggs}: {refused}");
    }
}
