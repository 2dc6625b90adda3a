//! No way lets a row, a value, a word or a count out that is not the caller's.
//!
//! One table, two callers: ann reads the rows of one region, cleo all rows but only open fields. They
//! ask in every way there is. Then somebody with all rights plants a row in the other region, and
//! asks in every way too, so that every cache is warm. Ann's answers have to stay as they were, to
//! the byte; cleo's must not name a value of a class that is not hers.

use super::client::Answer;
use super::house::House;
use crate::request::Verb;
use crate::route::Door;
use crate::routes;
use base64::Engine as _;
use serde_json::{Value, json};

/// What stands in the planted row and nowhere else.
const PLANTED: [&str; 6] =
    ["plantedkind", "plantedword", "plantedtag", "987654321", "1999-09-09", "planted-id"];

struct Way {
    method: &'static str,
    uri: String,
    body: String,
}

fn way(method: &'static str, uri: &str, body: impl ToString) -> Way {
    Way { method, uri: uri.to_owned(), body: body.to_string() }
}

/// The bodies of `_search`: every clause, aggregation and option that touches terms or values.
fn searches() -> Vec<Value> {
    let queries = [
        json!({ "match_all": {} }),
        json!({ "match": { "note": "plantedword row" } }),
        json!({ "match_phrase": { "note": "row of" } }),
        json!({ "match_phrase_prefix": { "note": "row plant" } }),
        json!({ "multi_match": { "query": "plantedword row", "fields": ["note", "kind"] } }),
        json!({ "term": { "kind": "plantedkind" } }),
        json!({ "terms": { "n": [987654321, 4] } }),
        json!({ "prefix": { "kind": "planted" } }),
        json!({ "wildcard": { "kind": "*ed*" } }),
        json!({ "regexp": { "tags": "planted.*|t[0-9]" } }),
        json!({ "range": { "n": { "gt": 50 } } }),
        json!({ "range": { "at": { "lt": "2000-01-01" } } }),
        json!({ "exists": { "field": "kind" } }),
        json!({ "ids": { "values": ["planted-id", "id2"] } }),
        json!({ "query_string": { "query": "note:plantedword OR kind:planted* OR n:>50" } }),
        json!({ "simple_query_string": { "query": "plantedword | row", "fields": ["note"] } }),
        json!({ "bool": { "must_not": { "term": { "kind": "k1" } } } }),
        json!({ "constant_score": { "filter": { "term": { "tags": "plantedtag" } } } }),
    ];
    let terms =
        |field: &str| json!({ "terms": { "field": field, "size": 100, "min_doc_count": 0 } });
    let aggregations = [
        terms("kind"),
        terms("tags"),
        terms("n"),
        json!({ "terms": { "field": "kind", "include": ".*planted.*" } }),
        json!({ "cardinality": { "field": "kind" } }),
        json!({ "value_count": { "field": "n" } }),
        json!({ "extended_stats": { "field": "n" } }),
        json!({ "percentiles": { "field": "n" } }),
        json!({ "min": { "field": "at" } }),
        json!({ "missing": { "field": "kind" } }),
        json!({ "histogram": { "field": "n", "interval": 1000000 } }),
        json!({ "date_histogram": { "field": "at", "calendar_interval": "year", "min_doc_count": 1 } }),
        json!({ "date_range": { "field": "at", "ranges": [{ "to": "2000-01-01" }] } }),
        json!({ "range": { "field": "n", "ranges": [{ "from": 50 }] } }),
        json!({ "filters": { "filters": { "p": { "prefix": { "kind": "planted" } } } } }),
        json!({ "global": {}, "aggs": { "a": terms("kind") } }),
        json!({ "terms": { "field": "region" }, "aggs": { "top": { "top_hits": { "size": 3 } } } }),
    ];
    let all = |query: &Value| {
        json!({ "size": 100, "track_total_hits": true, "track_scores": true, "version": true,
                "query": query, "fields": ["*"], "highlight": { "fields": { "note": {} } } })
    };
    let mut bodies: Vec<Value> = queries.iter().map(all).collect();
    bodies.extend(aggregations.iter().map(|of| json!({ "size": 0, "aggs": { "a": of } })));
    for order in ["kind", "n", "at", "tags", "_score", "_doc"] {
        for direction in ["asc", "desc"] {
            bodies.push(json!({ "size": 3, "sort": [{ order: direction }] }));
        }
    }
    bodies.push(json!({ "size": 100, "sort": [{ "n": "asc" }], "search_after": [4] }));
    bodies
}

const STATEMENTS: [&str; 14] = [
    "SELECT * FROM t ORDER BY n",
    "SELECT count(*), count(DISTINCT kind), min(n), max(n), sum(n), min(at), max(kind) FROM t",
    "SELECT kind, count(*) FROM t GROUP BY kind ORDER BY 1",
    "SELECT DISTINCT tags FROM t ORDER BY 1",
    "SELECT kind FROM t WHERE kind LIKE 'planted%'",
    "SELECT n FROM t WHERE match(note, 'plantedword')",
    "SELECT approx_distinct(n) FROM t",
    // Errors name no value either.
    "SELECT CAST(kind AS INT) FROM t",
    "SELECT 1 / (n - 987654321) FROM t",
    "SELECT to_timestamp(kind) FROM t",
    "EXPLAIN SELECT kind FROM t WHERE n > 50",
    "DESCRIBE t",
    "SHOW TABLES",
    "SELECT a.kind FROM t a LEFT JOIN t b ON a.n = b.n + 987654317 ORDER BY 1",
];

/// Every way to ask. Pages of cursors are asked by [`everything`].
fn ways() -> Vec<Way> {
    let mut ways: Vec<Way> =
        searches().iter().map(|body| way("POST", "/t/_search", body)).collect();
    for path in ["/_search?size=100", "/t/_search?q=plantedword", "/_all/_search?q=kind:planted*"] {
        ways.push(way("GET", path, ""));
    }
    ways.extend(STATEMENTS.map(|query| way("POST", "/_sql", json!({ "query": query }))));
    ways.push(way("POST", "/_sql?format=csv", json!({ "query": STATEMENTS[0] })));
    for path in [
        "/_count",
        "/t/_count",
        "/t/_count?q=kind:plantedkind",
        "/_cat/count",
        "/_cat/count/t",
        "/_cat/indices",
        "/_cat/indices/t?bytes=b",
        "/_cat/health",
        "/_cat",
        "/_cluster/health",
        "/_cluster/health/t",
        "/_cluster/settings",
        "/_nodes",
        "/_nodes/http",
        "/_nodes/_all/http",
        "/",
        "/_license",
        "/_xpack",
        "/_mapping",
        "/t/_mapping",
        "/_settings",
        "/t/_settings",
        "/t",
        "/_alias",
        "/_alias/t",
        "/t/_alias",
        "/t/_alias/t",
        "/_template",
        "/_template/t",
        "/_index_template",
        "/_index_template/t",
        "/_component_template/t",
        "/_refresh",
        "/t/_refresh",
        "/_flush",
        "/t/_flush",
        "/_field_caps?fields=*",
        "/t/_field_caps?fields=*",
        "/t/_doc/planted-id",
        "/t/_doc/id2",
        "/t/_source/planted-id",
        "/t/_source/id2",
        "/_security/_authenticate",
        "/_clerestory/tables",
        "/_clerestory/tables/t",
        "/_clerestory/metrics",
        "/_clerestory/metrics/rows",
        "/_clerestory/metrics/rows/_history",
        "/_clerestory/metrics/_export",
        "/_prometheus/api/v1/query?query=rows&time=1999-09-10T00:00:00Z",
        "/_prometheus/api/v1/query_range?query=rows&start=1999-09-01T00:00:00Z&end=1999-09-30T00:00:00Z&step=1d",
        "/_prometheus/api/v1/labels",
        "/_prometheus/api/v1/series?match[]=rows",
        "/_prometheus/api/v1/label/kind/values?match[]=rows&start=1999-01-01T00:00:00Z&end=2027-01-01T00:00:00Z",
        "/_prometheus/api/v1/metadata",
        "/_clerestory/copies",
        "/_clerestory/copies/none",
        "/_clerestory/source-secrets",
        "/_clerestory/rulings",
        "/_clerestory/rulings/t/kind",
        "/_clerestory/erasures",
        "/_clerestory/reach",
        "/_clerestory/grants",
        "/_clerestory/policy",
        "/_clerestory/changes",
        "/_clerestory/notices",
        "/_clerestory/people",
        "/_clerestory/factors",
        "/_clerestory/ring",
        "/_clerestory/audit/proof",
        "/_clerestory/scim/v2/ServiceProviderConfig",
        "/_clerestory/scim/v2/Users",
    ] {
        ways.push(way("GET", path, ""));
    }
    for string in ["", "plan", "k"] {
        for field in ["kind", "tags", "region"] {
            let body = json!({ "field": field, "string": string, "size": 100 });
            ways.push(way("POST", "/t/_terms_enum", body));
        }
    }
    let two = json!({ "ids": ["planted-id", "id2"] });
    ways.push(way("POST", "/t/_mget", two));
    ways.push(way("POST", "/_mget", json!({ "docs": [{ "_index": "t", "_id": "planted-id" }] })));
    let lines = searches().iter().map(|body| format!("{{}}\n{body}\n")).collect::<String>();
    ways.push(way("POST", "/t/_msearch", &lines));
    ways.push(way("POST", "/_msearch", &lines));
    let days = json!({ "from": "1999-01-01", "to": "2027-01-01", "grain": "year", "dimensions": ["kind"] });
    ways.push(way("POST", "/_clerestory/metrics/rows", &days));
    ways.push(way("POST", "/_metrics/rows", &days));
    ways
}

/// Pages of the web UI; they say what time it is, so only what they must not name is looked for.
const PAGES: [&str; 24] = [
    "/_ui",
    "/_ui/search?table=t&from=1999-01-01&to=2027-01-01",
    "/_ui/search?table=t&from=1999-01-01&to=2027-01-01&q=plantedword&columns=kind,n",
    "/_ui/search/values?table=t&from=1999-01-01&to=2027-01-01&field=kind",
    "/_ui/search/around?table=t&id=id2",
    "/_ui/search/csv?table=t&from=all",
    "/_ui/search/tail?table=t",
    "/_ui/search/tail/rows?table=t&after=0",
    "/_ui/search/complete?table=t&from=all&q=kind:",
    "/_ui/search/complete?table=t&from=all&q=tags:p",
    "/_ui/search/alert?table=t&q=kind:k1",
    "/_ui/saved",
    "/_ui/copies",
    "/_ui/sql?q=SELECT%20*%20FROM%20t",
    "/_ui/sql/csv?q=SELECT%20*%20FROM%20t",
    "/_ui/tables",
    "/_ui/tables/t",
    "/_ui/metrics",
    "/_ui/metrics/rows?from=1999-01-01&to=2027-01-01",
    "/_ui/metrics/rows/card",
    "/_ui/metrics/rows/csv?from=1999-01-01&to=2027-01-01",
    "/_ui/metrics/rows/svg?from=1999-01-01&to=2027-01-01",
    "/_ui/dashboards",
    "/_ui/rulings",
];

pub(super) fn basic(name: &str) -> String {
    let text = format!("{name}:{}", House::PASSWORD);
    format!("authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

fn send(house: &House, login: &str, way: &Way) -> Answer {
    let is_lines = way.uri.contains("_msearch");
    let kind = if is_lines {
        "content-type: application/x-ndjson"
    } else {
        "content-type: application/json"
    };
    super::client::ask(house.address(), way.method, &way.uri, &[kind, login], way.body.as_bytes())
}

/// Every answer to `login`, without what tells the time or a cursor's id.
fn everything(house: &House, login: &str) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let mut tell = |way: &Way| {
        let answer = send(house, login, way);
        let text = comparable(way, &answer);
        told.push((format!("{} {} {}", way.method, way.uri, way.body), text));
        answer
    };
    ways().iter().for_each(|way| drop(tell(way)));
    for body in searches() {
        let page = way("POST", "/t/_search?scroll=1m", &body);
        let first = tell(&page);
        if first.status == 200 {
            let id = first.json()["_scroll_id"].clone();
            tell(&way("POST", "/_search/scroll", json!({ "scroll_id": id })));
            send(house, login, &way("DELETE", "/_search/scroll", json!({ "scroll_id": id })));
        }
        let wait = "wait_for_completion_timeout=30s&keep_on_completion=true";
        let begun = tell(&way("POST", &format!("/t/_async_search?{wait}"), &body));
        if begun.status == 200 {
            let id = begun.json()["id"].as_str().unwrap().to_owned();
            for path in ["", "status/"] {
                tell(&way("GET", &format!("/_async_search/{path}{id}"), ""));
            }
            send(house, login, &way("DELETE", &format!("/_async_search/{id}"), ""));
        }
    }
    let pit = send(house, login, &way("POST", "/t/_pit?keep_alive=1m", "")).json()["id"].clone();
    for mut body in searches() {
        body["pit"] = json!({ "id": pit });
        tell(&way("POST", "/_search", &body));
    }
    send(house, login, &way("DELETE", "/_pit", json!({ "id": pit })));
    for (what, _) in &mut told {
        // The ids of cursors are random.
        if let Some(at) = what.find("/_async_search/").or_else(|| what.find("\"pit\"")) {
            what.truncate(at);
        }
        if what.contains("scroll_id") {
            *what = "the next page".to_owned();
        }
    }
    told
}

/// The answer without what tells the time.
fn comparable(way: &Way, answer: &Answer) -> String {
    let mut text = answer.text();
    if let Ok(mut json) = serde_json::from_str::<Value>(&text) {
        forget(&mut json);
        text = json.to_string();
    } else if way.uri.starts_with("/_cat/health") || way.uri.starts_with("/_cat/count") {
        // The epoch and the time of day.
        text = text.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
    }
    format!("{} {text}", answer.status)
}

fn forget(answer: &mut Value) {
    match answer {
        Value::Object(members) => {
            for name in [
                "took",
                "_scroll_id",
                "pit_id",
                "id",
                "start_time_in_millis",
                "expiration_time_in_millis",
                "completion_time_in_millis",
                "nodes",
                "tree_size",
            ] {
                members.shift_remove(name);
            }
            members.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

/// Rows of two regions; ann sees those of `eu`.
pub(super) fn filled() -> House {
    let house = House::open();
    let administrator = |method, uri, body: Value| {
        let answer = house.ask_as(House::ADMINISTRATOR, method, uri, &body.to_string());
        assert!(answer.status < 300, "{uri}: {}", answer.text());
    };
    let cleo = json!({ "name": "cleo", "password": House::PASSWORD, "roles": ["analyst"] });
    administrator("POST", "/_clerestory/people", cleo);
    let grant = |who: &str, classes: Value, rows: Value| {
        json!({ "grant": { "who": who, "tables": "t", "action": "read", "classes": classes,
                           "rows": rows } })
    };
    let edits = json!({ "why": "a test", "edits": [
        { "drop_role": { "person": "ann", "role": "analyst" } },
        { "drop_role": { "person": "cleo", "role": "analyst" } },
        grant("person:ann", json!(["open", "personal"]), json!([{ "field": "region", "in": ["eu"] }])),
        grant("person:cleo", json!(["open"]), json!([])),
    ]});
    administrator("POST", "/_clerestory/changes", edits);
    let mapping = json!({ "mappings": { "properties": {
        "region": { "type": "keyword" }, "kind": { "type": "keyword" }, "tags": { "type": "keyword" },
        "n": { "type": "long" }, "at": { "type": "date" }, "note": { "type": "text" },
        "email": { "type": "keyword" }, "weight_kg": { "type": "double" },
    }}});
    assert_eq!(house.ask("PUT", "/t", &mapping.to_string()).status, 200);
    let metric = "measures:\n  - {name: rows, table: t, time: at, agg: count}\n\
                  metrics:\n  - {name: rows, type: simple, measure: rows, grain: day, dimensions: [kind]}\n";
    let yaml = house.ask_with(
        "PUT",
        "/_clerestory/metrics",
        &["content-type: application/yaml"],
        metric.as_bytes(),
    );
    assert_eq!(yaml.status, 200, "{}", yaml.text());
    for n in 0..12 {
        let region = if n % 2 == 0 { "eu" } else { "us" };
        let row = json!({
            "region": region, "kind": format!("k{}", n % 3), "tags": [format!("t{n}")],
            "n": n, "at": format!("2026-11-{:02}T08:00:00Z", n + 1),
            "note": format!("row of {}", "x ".repeat(n)), "email": format!("p{n}@example.org"),
            "weight_kg": 60.0 + n as f64,
        });
        let put = house.ask("PUT", &format!("/t/_doc/id{n}"), &row.to_string());
        assert_eq!(put.status, 201, "{}", put.text());
        // Rows in segments and rows in the buffer.
        if n == 7 {
            house.engine.flush().unwrap();
        }
    }
    house
}

pub(super) fn plant(house: &House) {
    let row = json!({
        "region": "us", "kind": "plantedkind", "tags": ["plantedtag"], "n": 987654321,
        "at": "1999-09-09T09:09:09Z", "note": "plantedword in a row of its own", "email": "plant@example.org",
        "weight_kg": 123.456,
    });
    assert_eq!(house.ask("PUT", "/t/_doc/planted-id", &row.to_string()).status, 201);
    // In one segment with rows that everybody may see.
    house.engine.flush().unwrap();
    house.engine.compact().unwrap();
}

#[test]
fn a_planted_row_is_told_to_nobody_whose_it_is_not() {
    let house = filled();
    let (ann, cleo) = (basic("ann"), basic("cleo"));
    let before = everything(&house, &ann);
    let pages =
        |login: &str| PAGES.map(|page| house.ask_as(login, "GET", page, "").text()).to_vec();
    let pages_before = pages(&ann);
    plant(&house);
    // Who may see it finds it in every kind of answer, and warms every cache.
    let all = everything(&house, House::LOGIN);
    for planted in PLANTED {
        assert!(all.iter().any(|(_, told)| told.contains(planted)), "{planted}: the test is blind");
    }
    let after = everything(&house, &ann);
    assert_eq!(before.len(), after.len());
    let mut differ = 0;
    for ((way, before), ((_, after), (_, all))) in before.iter().zip(after.iter().zip(&all)) {
        assert_eq!(before, after, "{way}");
        differ += usize::from(all != after);
    }
    assert!(
        differ > 100,
        "only {differ} of the ways tell the two callers apart: the test is blind"
    );
    for ((page, before), after) in PAGES.iter().zip(&pages_before).zip(pages(&ann)) {
        assert!(!before.is_empty(), "{page}");
        for planted in PLANTED.iter().filter(|word| !page.contains(**word)) {
            assert!(!after.contains(planted), "{page}: {planted}");
        }
        assert!(!after.contains(">13<"), "{page}: thirteen rows");
    }
    // All rows, but neither persons nor what is special.
    let seen =
        house.ask("POST", "/t/_search", r#"{"query":{"ids":{"values":["planted-id"]}}}"#).json();
    let pseudonym = seen.pointer("/hits/hits/0/_source/email").and_then(Value::as_str).unwrap();
    assert!(pseudonym.starts_with("email:"));
    for (way, told) in everything(&house, &cleo) {
        assert!(!told.contains(pseudonym) && !told.contains("email:"), "{way}: {told}");
        assert!(!told.contains("123.456"), "{way}: {told}");
    }
    for body in forbidden_to_cleo(pseudonym) {
        let refused = house.ask_as(&cleo, "POST", "/t/_search", &body.to_string());
        assert!(matches!(refused.status, 400 | 403), "{body}: {}", refused.text());
        assert!(!refused.text().contains(pseudonym), "{body}");
    }
    let terms = house.ask_as(&cleo, "POST", "/t/_terms_enum", r#"{"field":"email"}"#);
    assert_eq!(terms.status, 403, "{}", terms.text());
    for statement in [
        "SELECT email FROM t",
        "SELECT count(DISTINCT email) FROM t",
        "SELECT max(weight_kg) FROM t",
        "SELECT n FROM t WHERE email = 'plant@example.org'",
        "SELECT n FROM t ORDER BY email",
    ] {
        let query = json!({ "query": statement }).to_string();
        let refused = house.ask_as(&cleo, "POST", "/_sql", &query);
        assert!(matches!(refused.status, 400 | 403), "{statement}: {}", refused.text());
    }
}

/// A dashboard of somebody with all rights shows each who opens it what they may see themselves.
#[test]
fn a_shared_dashboard_lends_no_rights() {
    let house = filled();
    let search = json!({ "name": "all", "shared": true, "body": { "params": [["table", "t"], ["from", "all"]] } });
    let kept = |kind: &str, body: &Value| {
        let path = format!("/_clerestory/saved/{kind}");
        house.ask("POST", &path, &body.to_string()).json()["id"].as_str().unwrap().to_owned()
    };
    let search = kept("search", &search);
    let panels = json!([
        { "metric": "rows", "by": ["kind"], "chart": "table", "grain": "day" },
        { "search": search, "show": "rows" },
        { "search": search, "show": "count" },
    ]);
    let body = json!({ "from": "all", "panels": panels, "variables": [{ "name": "kind" }] });
    let board = kept("dashboard", &json!({ "name": "b", "shared": true, "body": body }));
    let told = |login: &str| -> String {
        let page = format!("/_ui/dashboards/{board}");
        let panels = (0..3).map(|place| format!("{page}/panels/{place}"));
        let all = [page.clone()].into_iter().chain(panels);
        all.map(|path| house.ask_as(login, "GET", &path, "").text()).collect()
    };
    let (ann, cleo) = (basic("ann"), basic("cleo"));
    let before = told(&ann);
    plant(&house);
    let all = told(House::LOGIN);
    assert!(all.contains("plantedkind") && all.contains(">13<"), "the test is blind: {all}");
    assert_eq!(told(&ann), before, "not one byte tells of a row that is not hers");
    assert!(!told(&cleo).contains("email:"), "and no value of a class that is not hers");
}

/// An alert of somebody with all rights: its chart, its list and the page of its metric show each
/// who looks what they may see themselves, and not that it fires over rows that are not theirs.
#[test]
fn an_alert_lends_no_rights() {
    let house = filled();
    let alert = "alerts:\n  - { name: odd, label: Odd kinds, metric: rows, grain: day, by: [kind], \
                 every: 10s, history: 4900d, when: { absent_for: 2d } }\n";
    let yaml = ["content-type: application/yaml"];
    let applied = house.ask_with("PUT", "/_clerestory/alerts", &yaml, alert.as_bytes());
    assert_eq!(applied.status, 200, "{}", applied.text());
    plant(&house);
    assert_eq!(house.ask("POST", "/_clerestory/alerts/odd/_evaluate", "").status, 200);
    let days = "from=1999-09-01&to=1999-10-01";
    let pages = [
        "/_ui/alerts".to_owned(),
        "/_ui".to_owned(),
        format!("/_ui/alerts/odd?{days}"),
        format!("/_ui/metrics/rows?grain=day&{days}"),
        "/_clerestory/alerts/odd/_chart?from=1999-09-01T00:00:00Z&to=1999-10-01T00:00:00Z"
            .to_owned(),
        "/_ui/new-alert?metric=rows&name=x&by=kind&when=above&at=0&preview=1&past=1999-09-01..1999-10-01".to_owned(),
    ];
    let told = |login: &str| -> Vec<String> {
        pages.iter().map(|page| house.ask_as(login, "GET", page, "").text()).collect()
    };
    let all = told(House::LOGIN);
    for (page, told) in pages.iter().zip(&all).skip(2) {
        assert!(told.contains("plantedkind"), "{page}: the test is blind");
    }
    assert!(all[2].contains("1999-09-11"), "it fires two days later");
    assert!(all[0].contains("firing</span>") && all[1].contains("“Odd kinds” fires"), "blind");
    for (page, told) in pages.iter().zip(told(&basic("ann"))) {
        for planted in PLANTED {
            assert!(!told.contains(planted), "{page}: {planted}");
        }
        assert!(!told.contains("firing</span>") && !told.contains("“Odd kinds” fires"), "{page}");
    }
}

/// Whatever mentions a field of a class that cleo has not, in whatever role.
fn forbidden_to_cleo(pseudonym: &str) -> Vec<Value> {
    let mut bodies = vec![
        json!({ "query": { "term": { "email": "plant@example.org" } } }),
        json!({ "query": { "terms": { "email": [pseudonym] } } }),
        json!({ "query": { "prefix": { "email": "email:" } } }),
        json!({ "query": { "exists": { "field": "email" } } }),
        json!({ "query": { "query_string": { "query": "email:*" } } }),
        json!({ "post_filter": { "exists": { "field": "email" } } }),
        json!({ "sort": [{ "email": "asc" }] }),
        json!({ "sort": [{ "weight_kg": "asc" }] }),
        json!({ "query": { "range": { "weight_kg": { "gt": 100 } } } }),
    ];
    let of = |kind: &str, field: &str| json!({ "size": 0, "aggs": { "a": { kind: { "field": field } } } });
    for kind in ["terms", "cardinality", "value_count", "missing"] {
        bodies.push(of(kind, "email"));
    }
    for kind in ["avg", "max", "stats", "percentiles"] {
        bodies.push(of(kind, "weight_kg"));
    }
    bodies
}

/// Routes that are asked above, or of which a reason is given why they tell nothing of rows.
#[test]
fn every_route_that_reads_is_asked_or_excused() {
    let asked: Vec<(&str, String)> = ways()
        .into_iter()
        .map(|way| (way.method, way.uri.split('?').next().unwrap().to_owned()))
        .chain(PAGES.map(|page| ("GET", page.split('?').next().unwrap().to_owned())))
        .chain([
            ("POST", "/_search/scroll".to_owned()),
            ("POST", "/t/_async_search".to_owned()),
            ("GET", "/_async_search/x".to_owned()),
            ("GET", "/_async_search/status/x".to_owned()),
            ("POST", "/t/_pit".to_owned()),
        ])
        .collect();
    let mut missing = Vec::new();
    for route in routes::all() {
        let reads = route.verbs.contains(&Verb::Get) || route.work == crate::route::Work::Question;
        let is_asked = || {
            let found = asked.iter().filter_map(|(method, uri)| {
                let verb = if *method == "GET" { Verb::Get } else { Verb::Post };
                crate::route::find(routes::all(), uri, Some(verb)).ok()
            });
            found.into_iter().any(|found| std::ptr::eq(found.route, route))
        };
        if reads
            && matches!(route.door, Door::Known(_))
            && !is_asked()
            && !EXCUSED.iter().any(|(path, _)| *path == route.path)
        {
            missing.push(route.path);
        }
    }
    assert_eq!(missing, Vec::<&str>::new(), "ask these in `ways`, or say in `EXCUSED` why not");
}

/// Routes that tell nothing of rows to callers like ann and cleo, and why.
const EXCUSED: &[(&str, &str)] = &[
    ("/_async_search", "as with an index before it"),
    ("/_search/scroll/{id}", "as with the id in the body"),
    ("/_forcemerge", "as _flush"),
    ("/{index}/_forcemerge", "as _flush"),
    ("/_security/api_key", "keys, no rows"),
    ("/_clerestory/keys", "keys, no rows"),
    ("/_clerestory/erasures", "asked; POST is for guardians only"),
    ("/_clerestory/erasures/{id}", "guardians only; row counts are theirs to know"),
    ("/_clerestory/audit", "guardians only"),
    ("/_clerestory/audit/checkpoint", "hashes"),
    ("/_clerestory/alerts", "how one is is hidden: engine/src/alert/tests.rs"),
    ("/_clerestory/alerts/{name}", "same"),
    ("/_clerestory/alerts/{name}/_evaluate", "for its author only"),
    ("/_clerestory/alerts/{name}/_try", "asks the metric, as the caller"),
    ("/_clerestory/alerts/{name}/_chart", "same; `an_alert_lends_no_rights`"),
    ("/_clerestory/notices/{id}", "no value and no count of rows"),
    ("/_clerestory/canaries", "guardians only"),
    ("/_clerestory/rules", "guardians only; rules, no rows"),
    ("/_clerestory/exposure", "guardians only"),
    ("/_clerestory/changes/{id}", "policy, no rows"),
    ("/_clerestory/scim/v2/Users/{id}", "people, no rows"),
    ("/_clerestory/presence/_ask", "a challenge"),
    ("/_prometheus/api/v1/query", "as with GET"),
    ("/_prometheus/api/v1/query_range", "as with GET"),
    ("/_clerestory/copies/_plan", "a source's columns, for who runs copies; no rows of a table"),
    ("/_clerestory/copies/{name}/_verify", "for who runs copies, of a copy's own table"),
    ("/_clerestory/saved/{kind}", "questions, no rows; who sees which: `saved.rs`"),
    ("/_clerestory/saved/{kind}/{id}", "questions, no rows; who sees which: `saved.rs`"),
    ("/_ui/alerts", "`an_alert_lends_no_rights`"),
    ("/_ui/alerts/{name}", "same"),
    ("/_ui/alerts/{name}/look", "for its author only"),
    ("/_ui/new-alert", "same as a chart of an alert"),
    ("/_ui/dashboards/{id}", "as /_ui/metrics/{name}; the test below"),
    ("/_ui/dashboards/{id}/panels/{place}", "the test below"),
    ("/_clerestory/backups", "administrators only; folders and sizes"),
    ("/_clerestory/rotation", "administrators only; a count of all rows"),
    ("/_ui/saved/{id}", "leads to a page that is asked; `saved_search.rs`"),
    ("/_ui/copies/{name}", "for who runs copies or signs their plans; no rows of a table"),
    ("/_ui/account", "the caller's own account"),
    ("/_ui/access", "policy, no rows"),
    ("/_ui/changes", "policy, no rows"),
    ("/_ui/changes/new", "policy, no rows"),
    ("/_ui/changes/glass", "policy, no rows"),
    ("/_ui/changes/{id}", "policy, no rows"),
    ("/_ui/rulings/{index}/{field}", "guardians only"),
    ("/_ui/audit", "guardians only"),
    ("/_ui/audit/{id}", "guardians only"),
    ("/_ui/exposure", "guardians only"),
    ("/_ui/{page}", "no such page"),
];
