//! A row filter is right if nobody can tell it from a table without the other rows: every
//! question gets the same answer from a filtered table and from one that never held the rest.

use crate::{BulkOptions, Engine, EngineError, Settings, Unlock};
use protection::caller::{Caller, Credential, Role};
use serde_json::{Value as Json, json};

const PASSWORD: &str = "correct horse battery staple";

struct House {
    engine: Engine,
    engineer: Caller,
    admin: Caller,
    _dir: tempfile::TempDir,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("outside")).unwrap();
    let key = Unlock::KeyFile(dir.path().join("outside").join("key"));
    let settings = Settings::new(&dir.path().join("data"), key);
    Engine::init(&settings).unwrap();
    let engine = Engine::open(&settings).unwrap();
    let people: [(&str, &str, &[Role]); 3] = [
        ("eve", PASSWORD, &[Role::Engineer]),
        ("bob", PASSWORD, &[Role::Analyst]),
        ("adm", PASSWORD, &[Role::Administrator]),
    ];
    engine.bootstrap(&people).unwrap();
    let (engineer, admin) = (log_in(&engine, "eve"), log_in(&engine, "adm"));
    House { engine, engineer, admin, _dir: dir }
}

fn log_in(engine: &Engine, name: &str) -> Caller {
    let credential = Credential::Password { name, password: PASSWORD, network: None };
    engine.authenticate(credential, None).unwrap()
}

/// Forty rows of four regions; the words of the other regions are also words of ours.
fn rows() -> Vec<Json> {
    (0..40)
        .map(|n| {
            let region = ["eu", "us", "cn", "br"][n % 4];
            let kinds = ["ping", "error", "connect"];
            json!({
                "_id": format!("id{n}"),
                "region": region,
                "kind": kinds[n % 3],
                "latency": n * 7 % 50,
                "ratio": n as f64 / 8.0,
                "ok": n % 5 != 0,
                "at": format!("2026-11-{:02}T08:00:00Z", 1 + n % 28),
                "tags": [region, kinds[n % 3]],
                "note": format!("the {} of a {} in row {}", kinds[n % 3], region, "x ".repeat(n % 6)),
            })
        })
        .collect()
}

impl House {
    fn fill(&self, table: &str, keep: impl Fn(&Json) -> bool) {
        let body = json!({ "mappings": { "properties": {
            "region": { "type": "keyword" }, "kind": { "type": "keyword" },
            "latency": { "type": "long" }, "ratio": { "type": "double" },
            "ok": { "type": "boolean" }, "at": { "type": "date" },
            "tags": { "type": "keyword" }, "note": { "type": "text" },
        }}});
        self.engine.create_table(&self.engineer, table, &body).unwrap();
        for (number, mut row) in rows().into_iter().filter(|row| keep(row)).enumerate() {
            let id = row.as_object_mut().unwrap().remove("_id").unwrap();
            let lines = format!("{}\n{row}\n", json!({ "index": { "_id": id } }));
            let options = BulkOptions::default();
            let done = self.engine.bulk(&self.engineer, Some(table), lines.as_bytes(), &options);
            assert!(!done.unwrap().errors);
            // Rows in segments and rows in the buffer.
            if number == 5 {
                self.engine.flush().unwrap();
            }
        }
    }

    fn propose(&self, edits: &Json) {
        let body = json!({ "edits": edits, "why": "set-up" });
        let done = self.engine.propose(&self.admin, &body).unwrap();
        assert_eq!(done["applied"], json!(true), "{done}");
    }
}

/// Bob reads all of `eu_only`, and of `all` the rows of the region eu.
fn house_with_filter() -> (House, Caller) {
    let house = house();
    let grant = |tables: &str, rows: Json| {
        json!({ "grant": { "who": "person:bob", "tables": tables, "action": "read",
                           "classes": ["open", "personal"], "rows": rows } })
    };
    house.propose(&json!([
        { "drop_role": { "person": "bob", "role": "analyst" } },
        grant("eu_only", json!([])),
        grant("all", json!([{ "field": "region", "in": ["eu"] }])),
    ]));
    house.fill("all", |_| true);
    house.fill("eu_only", |row| row["region"] == "eu");
    let bob = log_in(&house.engine, "bob");
    (house, bob)
}

fn comparable(answer: Result<Json, EngineError>) -> Json {
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => json!({ "status": error.status, "reason": error.reason }),
    };
    forget(&mut answer);
    serde_json::from_str(&answer.to_string().replace("\"all\"", "\"eu_only\"")).unwrap()
}

/// What differs between two tables that hold the same rows.
fn forget(answer: &mut Json) {
    match answer {
        Json::Object(members) => {
            for name in ["took", "_seq_no", "_shards", "profile"] {
                members.remove(name);
            }
            members.values_mut().for_each(forget);
        }
        Json::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

#[test]
fn a_filtered_table_cannot_be_told_from_one_without_the_other_rows() {
    let (house, bob) = house_with_filter();
    let engine = &house.engine;
    let sorted = json!([{ "latency": "asc" }, { "at": "desc" }]);
    let questions = [
        json!({ "size": 100, "sort": sorted }),
        json!({ "size": 3, "sort": sorted, "query": { "range": { "latency": { "gte": 10 } } } }),
        json!({ "size": 100, "query": { "match": { "note": "error us row" } } }),
        json!({ "size": 100, "query": { "match_phrase": { "note": "of a eu" } } }),
        json!({ "size": 100, "query": { "term": { "region": "us" } } }),
        json!({ "size": 100, "query": { "bool": { "must_not": { "term": { "region": "eu" } } } } }),
        json!({ "size": 100, "query": { "wildcard": { "tags": "*" } }, "sort": sorted }),
        json!({ "size": 100, "query": { "ids": { "values": ["id0", "id1", "id4"] } } }),
        json!({ "size": 100, "query": { "exists": { "field": "region" } }, "sort": sorted }),
        json!({ "size": 0, "track_total_hits": true }),
        json!({ "size": 0, "aggs": { "a": { "terms": { "field": "region", "min_doc_count": 0 } } } }),
        json!({ "size": 0, "aggs": { "a": { "terms": { "field": "tags", "size": 50 } } } }),
        json!({ "size": 0, "aggs": { "a": { "cardinality": { "field": "region" } },
                                     "b": { "cardinality": { "field": "kind" } } } }),
        json!({ "size": 0, "aggs": { "a": { "stats": { "field": "latency" } },
                                     "b": { "extended_stats": { "field": "ratio" } },
                                     "c": { "percentiles": { "field": "latency" } },
                                     "d": { "value_count": { "field": "tags" } },
                                     "e": { "missing": { "field": "region" } } } }),
        json!({ "size": 0, "aggs": { "a": { "min": { "field": "at" } }, "b": { "max": { "field": "at" } } } }),
        json!({ "size": 0, "aggs": { "a": {
            "date_histogram": { "field": "at", "calendar_interval": "day", "min_doc_count": 0 },
            "aggs": { "b": { "avg": { "field": "latency" } } } } } }),
        json!({ "size": 0, "aggs": { "a": {
            "histogram": { "field": "latency", "interval": 5, "min_doc_count": 0 } } } }),
        json!({ "size": 0, "aggs": { "a": { "filters": { "filters": {
            "us": { "term": { "region": "us" } }, "eu": { "term": { "region": "eu" } } } } } } }),
        json!({ "size": 0, "aggs": { "a": { "global": {},
            "aggs": { "b": { "value_count": { "field": "region" } } } } } }),
        json!({ "size": 0, "aggs": { "a": { "terms": { "field": "ok" },
            "aggs": { "b": { "top_hits": { "size": 2, "sort": sorted } } } } } }),
        json!({ "size": 2, "sort": sorted, "search_after": [14, 0] }),
        json!({ "size": 100, "query": { "query_string": { "query": "note:error OR region:us" } } }),
    ];
    for question in &questions {
        let ask = |table| engine.search(&bob, table, question, &[]).map(|one| one.into_inner());
        let (filtered, expected) = (comparable(ask("all")), comparable(ask("eu_only")));
        assert_eq!(filtered, expected, "{question}");
    }
    for query in [json!({}), json!({ "query": { "term": { "region": "us" } } })] {
        let count = |table| engine.count(&bob, table, &query, &[]).map(|one| one.into_inner());
        assert_eq!(comparable(count("all")), comparable(count("eu_only")), "{query}");
    }
    for (id, found) in [("id0", true), ("id4", true), ("id1", false), ("id99", false)] {
        let get = engine.get_document(&bob, "all", id, &[], &[]).unwrap().into_inner();
        assert_eq!(get["found"], json!(found), "{id}");
    }
    for statement in [
        "SELECT count(*), count(DISTINCT region), min(latency), max(latency), avg(ratio) FROM t",
        "SELECT region, kind, count(*) FROM t GROUP BY region, kind ORDER BY 1, 2",
        "SELECT region FROM t WHERE latency > 5 OR region = 'us' ORDER BY latency, at",
        "SELECT DISTINCT region FROM t",
        "SELECT a.region, count(*) FROM t a JOIN t b ON a.kind = b.kind GROUP BY 1 ORDER BY 1",
        "SELECT count(*) FROM t WHERE match(note, 'us')",
        "SELECT kind, approx_distinct(region) FROM t GROUP BY kind ORDER BY kind",
    ] {
        let ask = |table: &str| {
            let text = statement.replace(" t", &format!(" \"{table}\""));
            engine.sql(&bob, &text, &[]).map(|one| one.into_inner().rows).map_err(|e| e.status)
        };
        assert_eq!(ask("all"), ask("eu_only"), "{statement}");
    }
    let size = |table| engine.table_stats(&bob, table).unwrap().rows;
    assert_eq!((size("all"), size("eu_only")), (10, 10));
}

#[test]
fn a_filter_that_names_nothing_shows_nothing() {
    let house = house();
    let rows = json!([{ "field": "no.such.field", "in": ["x"] }]);
    house.propose(&json!([
        { "drop_role": { "person": "bob", "role": "analyst" } },
        { "grant": { "who": "person:bob", "tables": "all", "action": "read", "classes": ["open"],
                     "rows": rows } },
    ]));
    house.fill("all", |_| true);
    let bob = log_in(&house.engine, "bob");
    let answer = house.engine.search(&bob, "all", &json!({}), &[]).unwrap().into_inner();
    assert_eq!(answer["hits"]["total"]["value"], json!(0));
}

#[test]
fn two_filters_add_up_row_by_row() {
    let house = house();
    let grant = |classes: Json, region: &str| {
        json!({ "grant": { "who": "person:bob", "tables": "all", "action": "read",
            "classes": classes, "rows": [{ "field": "region", "in": [region] }] } })
    };
    house.propose(&json!([
        { "drop_role": { "person": "bob", "role": "analyst" } },
        grant(json!(["open"]), "eu"),
        grant(json!(["open"]), "us"),
    ]));
    house.fill("all", |_| true);
    let bob = log_in(&house.engine, "bob");
    let answer = house.engine.count(&bob, "all", &json!({}), &[]).unwrap().into_inner();
    assert_eq!(answer["count"], json!(20));
}

#[test]
fn a_quota_ends_a_day_and_a_purpose_is_asked_for() {
    let house = house();
    house.propose(&json!([
        { "drop_role": { "person": "bob", "role": "analyst" } },
        { "grant": { "who": "person:bob", "tables": "all", "action": "read", "classes": ["open"],
                     "purpose": ["support"], "quota": { "rows": 15 } } },
    ]));
    house.fill("all", |_| true);
    let bob = log_in(&house.engine, "bob");
    let search = |caller: &Caller| {
        let ten = json!({ "size": 10, "_source": ["region"] });
        house.engine.search(caller, "all", &ten, &[]).map(|_| ())
    };
    let refused = search(&bob).unwrap_err();
    assert!(refused.reason.contains("X-Clerestory-Purpose"), "{}", refused.reason);
    assert!(refused.reason.contains("for support"), "{}", refused.reason);
    let bob = bob.for_purpose("support");
    search(&bob).unwrap();
    let refused = search(&bob).unwrap_err();
    assert_eq!((refused.status, refused.kind.as_str()), (429, "quota_exceeded_exception"));
}
