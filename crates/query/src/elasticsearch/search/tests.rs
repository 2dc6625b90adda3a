use super::super::stand_in::{Rows, table};
use super::*;

fn rows() -> Rows {
    Rows(
        (0..25)
            .map(|i| json!({"code": 100 + i / 2, "level": if i % 2 == 0 { "info" } else { "warn" }, "at": 1_773_705_600_000_i64 + i}))
            .chain([json!({"level": "none"})])
            .collect(),
    )
}

fn reason(body: Value) -> String {
    match rows().search(&body) {
        Ok(answer) => panic!("{body} was answered: {answer}"),
        Err(error) => {
            assert_eq!(error.status, 400);
            format!("{}: {}", error.kind, error.reason)
        }
    }
}

#[test]
fn an_answer_has_elasticsearchs_shape() {
    let answer =
        rows().search(&json!({"size": 1, "version": true, "seq_no_primary_term": true})).unwrap();
    assert!(answer["took"].is_u64());
    assert_eq!(answer["_shards"], json!({"total": 1, "successful": 1, "skipped": 0, "failed": 0}));
    assert_eq!(
        answer["hits"],
        json!({
            "total": {"value": 26, "relation": "eq"},
            "max_score": 1.0,
            "hits": [{
                "_index": "logs", "_id": "id0", "_version": 0, "_seq_no": 0, "_primary_term": 1, "_score": 1.0,
                "_source": {"code": 100, "level": "info", "at": 1_773_705_600_000_i64}
            }]
        })
    );
    let none = rows().search(&json!({"query": {"match_none": {}}})).unwrap();
    assert_eq!(
        none["hits"],
        json!({"total": {"value": 0, "relation": "eq"}, "max_score": null, "hits": []})
    );
}

#[test]
fn pages_neither_skip_nor_repeat() {
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let mut body = json!({"size": 4, "_source": false, "sort": [{"code": "desc"}, "_seq_no"]});
        if !after.is_null() {
            body["search_after"] = after.clone();
        }
        let answer = rows().search(&body).unwrap();
        assert_eq!(answer["hits"]["total"]["value"], json!(26));
        let hits = answer["hits"]["hits"].as_array().unwrap();
        let Some(last) = hits.last() else { break };
        after = last["sort"].clone();
        assert_eq!(last["_score"], Value::Null);
        seen.extend(hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(seen.len(), 26);
    assert_eq!((seen[0].as_str(), seen[25].as_str()), ("id24", "id25"), "missing comes last");
    let whole = rows().search(&json!({"size": 30, "sort": [{"code": "desc"}, "_seq_no"]})).unwrap();
    let whole: Vec<&str> = whole["hits"]["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| hit["_id"].as_str().unwrap())
        .collect();
    assert_eq!(seen, whole);
    let page = rows().search(&json!({"from": 24, "size": 5, "sort": "at"})).unwrap();
    assert_eq!(page["hits"]["hits"].as_array().unwrap().len(), 2);
}

#[test]
fn totals_are_counted_as_far_as_asked() {
    let total = |body: Value| rows().search(&body).unwrap()["hits"]["total"].clone();
    assert_eq!(total(json!({"track_total_hits": 5})), json!({"value": 5, "relation": "gte"}));
    assert_eq!(total(json!({"track_total_hits": true})), json!({"value": 26, "relation": "eq"}));
    assert_eq!(total(json!({"track_total_hits": false})), Value::Null);
    let old = rows().search_with(&json!({}), &[("rest_total_hits_as_int", "true")]).unwrap();
    assert_eq!(old["hits"]["total"], json!(26));
}

#[test]
fn parameters_win_over_the_body() {
    let params = [
        ("q", "level:warn AND code:<103"),
        ("size", "2"),
        ("sort", "at:desc"),
        ("_source_includes", "code"),
    ];
    let answer =
        rows().search_with(&json!({"size": 9, "query": {"match_all": {}}}), &params).unwrap();
    let ids: Vec<&Value> =
        answer["hits"]["hits"].as_array().unwrap().iter().map(|hit| &hit["_id"]).collect();
    assert_eq!(ids, ["id5", "id3"]);
    assert_eq!(answer["hits"]["total"]["value"], json!(3));
    let error = rows().search_with(&json!({}), &[("colour", "red")]).unwrap_err();
    assert_eq!(error.reason, "request [/_search] contains unrecognized parameter: [colour]");
    let source = [("source", r#"{"size": 1}"#), ("source_content_type", "application/json")];
    let answer = rows().search_with(&Value::Null, &source).unwrap();
    assert_eq!(answer["hits"]["hits"].as_array().unwrap().len(), 1);
}

#[test]
fn fields_are_shown_in_their_format() {
    let body = json!({
        "size": 1, "_source": false, "sort": [{"at": {"order": "asc", "format": "yyyy-MM-dd"}}],
        "fields": ["le*", "nobody"], "post_filter": {"term": {"level": "info"}}
    });
    let answer = rows().search(&body).unwrap();
    assert_eq!(
        answer["hits"]["hits"][0],
        json!({"_index": "logs", "_id": "id0", "_score": null, "fields": {"level": ["info"]}, "sort": ["2026-03-17"]})
    );
    let sort = json!([{"nobody": {"unmapped_type": "long"}}, {"code": {"missing": "_first"}}]);
    let answer = rows().search(&json!({"size": 1, "sort": sort, "track_scores": true})).unwrap();
    assert_eq!(answer["hits"]["hits"][0]["sort"], json!([null, null]));
    assert_eq!(answer["hits"]["max_score"], json!(1.0));
}

#[test]
fn mistakes_are_named() {
    for (body, expected) in [
        (json!([]), "parsing_exception: Expected [START_OBJECT] but found [START_ARRAY]"),
        (json!({"foo": {}}), "parsing_exception: Unknown key for a START_OBJECT in [foo]."),
        (json!({"foo": 1}), "parsing_exception: Unknown key for a VALUE_NUMBER in [foo]."),
        (json!({"query": {"foo": {}}}), "parsing_exception: unknown query [foo]"),
        (
            json!({"size": -1}),
            "illegal_argument_exception: [size] parameter cannot be negative, found [-1]",
        ),
        (
            json!({"from": 9_995, "size": 10}),
            "illegal_argument_exception: Result window is too large, from + size must be less than or equal to: [10000] but was [10005].",
        ),
        (
            json!({"sort": "message"}),
            "illegal_argument_exception: Fielddata is disabled on [message] in [logs].",
        ),
        (
            json!({"sort": "_id"}),
            "illegal_argument_exception: Fielddata access on the _id field is disallowed",
        ),
        (
            json!({"sort": "nobody"}),
            "query_shard_exception: No mapping found for [nobody] in order to sort on",
        ),
        (
            json!({"sort": {"code": {"order": "up"}}}),
            "illegal_argument_exception: Unknown SortOrder [up]",
        ),
        (
            json!({"search_after": [1]}),
            "illegal_argument_exception: Sort must contain at least one field.",
        ),
        (
            json!({"search_after": [1], "sort": ["code", "at"]}),
            "illegal_argument_exception: search_after has 1 value(s) but sort has 2.",
        ),
        (
            json!({"search_after": [1], "sort": "code", "from": 1}),
            "illegal_argument_exception: `from` parameter must be set to 0",
        ),
        (
            json!({"search_after": ["x"], "sort": "load"}),
            "query_shard_exception: failed to create query: For input string: \"x\"",
        ),
        (json!({"explain": true}), "illegal_argument_exception: [explain] is not supported"),
        (json!({"profile": true}), "illegal_argument_exception: [profile] is not supported"),
        (json!({"collapse": {"field": "level"}}), "parsing_exception: [collapse] is not supported"),
        (json!({"knn": {"field": "v"}}), "parsing_exception: [knn] is not supported"),
        (
            json!({"timeout": "soon"}),
            "illegal_argument_exception: failed to parse setting [timeout]",
        ),
        (
            json!({"track_total_hits": -2}),
            "illegal_argument_exception: [track_total_hits] parameter must be positive",
        ),
        (json!({"_source": 5}), "parsing_exception: Expected one of [VALUE_BOOLEAN"),
    ] {
        let found = reason(body.clone());
        assert!(found.starts_with(expected), "{body}: {found}");
    }
}

#[test]
fn every_mentioned_field_is_named_with_its_use() {
    let body = json!({
        "query": {"bool": {
            "must": {"match": {"message": "x"}},
            "filter": [{"query_string": {"query": "level:a AND b", "fields": ["tags"]}}, {"term": {"nobody": 1}}]
        }},
        "sort": "at",
        "_source": ["code"],
        "aggs": {"t": {"terms": {"field": "message.keyword"}, "aggs": {"m": {"avg": {"field": "load"}}}}}
    });
    let request = SearchRequest::parse(&body, &[]).unwrap();
    let uses: Vec<String> = request
        .uses(&[Arc::new(table(7, "logs"))])
        .into_iter()
        .map(|(table, used)| format!("{}:{} {:?}", table.0, used.field, used.how))
        .collect();
    assert_eq!(
        uses,
        [
            "7:message Filter",
            "7:level Filter",
            "7:tags Filter",
            "7:at Sort",
            "7:code* Output",
            "7:message Group",
            "7:load Measure"
        ]
    );
    assert!(request.shows_rows() && request.aggregates());
    let everywhere = SearchRequest::parse(
        &Value::Null,
        &[("q".to_owned(), "x".to_owned()), ("size".to_owned(), "0".to_owned())],
    );
    let tables = [Arc::new(table(7, "logs"))];
    let uses = everywhere.unwrap().uses(&tables);
    let names: Vec<&str> = uses.iter().map(|(_, used)| used.field.as_str()).collect();
    assert!(names.contains(&"message") && !names.contains(&"user.pulse"), "{names:?}");
    let rows = SearchRequest::parse(&json!({"query": {"exists": {"field": "user"}}}), &[]);
    let uses = rows.unwrap().uses(&tables);
    assert_eq!((uses.len(), uses[0].1.field.as_str()), (2, "user.email"));
}

#[test]
fn no_body_panics() {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        proptest::sample::select(vec![
            "level", "code", "at", "message", "now-1d/d", "*", "", "terms", "1d", "desc", "-50%",
            "a OR (b",
        ])
        .prop_map(Value::from),
    ];
    let keys = vec![
        "query",
        "bool",
        "must",
        "should",
        "term",
        "terms",
        "range",
        "match",
        "level",
        "code",
        "at",
        "message",
        "gte",
        "lt",
        "aggs",
        "x",
        "field",
        "size",
        "order",
        "date_histogram",
        "histogram",
        "interval",
        "fixed_interval",
        "filters",
        "filter",
        "sort",
        "from",
        "_source",
        "query_string",
        "composite",
        "sources",
        "multi_match",
        "fields",
        "percentiles",
        "percents",
        "top_hits",
        "ranges",
        "search_after",
        "highlight",
        "minimum_should_match",
        "extended_bounds",
        "min",
        "max",
        "format",
        "time_zone",
        "missing",
        "include",
    ];
    let value = leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((proptest::sample::select(keys.clone()), inner), 0..5)
                .prop_map(|members| {
                    Value::Object(
                        members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                    )
                }),
        ]
    });
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    runner
        .run(&value, |body| {
            let _ = SearchRequest::parse(&body, &[]);
            let _ = CountOrAggs::read(&body);
            Ok(())
        })
        .unwrap();
}

/// Gives a value to each place of a body that it could stand in.
struct CountOrAggs;

impl CountOrAggs {
    fn read(value: &Value) -> Option<()> {
        let wrapped = [
            json!({"query": value}),
            json!({"aggs": {"x": value}}),
            json!({"sort": value}),
            json!({"highlight": value}),
            json!({"aggs": {"x": {"terms": value}}}),
            json!({"aggs": {"x": {"date_histogram": value}}}),
            json!({"aggs": {"x": {"composite": value}}}),
            json!({"query": {"range": {"at": value}}}),
            json!({"query": {"query_string": value}}),
        ];
        for body in wrapped {
            if let Ok(request) = SearchRequest::parse(&body, &[]) {
                let _ = request.uses(&[Arc::new(table(1, "logs"))]);
                let _ = request.shape();
            }
        }
        Some(())
    }
}
