//! Metrics answered from tiles: the same numbers, for those who see all rows as they are today.

use crate::{BulkOptions, Engine, EraseRequest, Settings, Unlock};
use protection::caller::{Caller, Credential, Role};
use serde_json::{Value as Json, json};
use std::fmt::Write;

const PASSWORD: &str = "correct horse battery staple";
const METRICS: &str = "
measures:
  - name: failed
    table: things
    agg: count
    filter: {kind: failed}
  - name: tries
    table: things
    agg: count
    filter: \"kind IN ('ok', 'failed')\"
  - name: owners
    table: things
    agg: count_distinct
    field: email
  - name: latency
    table: things
    agg: quantile
    field: ms
    quantile: 0.9
metrics:
  - {name: failed_rate, type: ratio, numerator: failed, denominator: tries, grain: hour, dimensions: [region]}
  - {name: owners, type: simple, measure: owners, grain: day, dimensions: [region]}
  - {name: latency, type: simple, measure: latency, grain: total, dimensions: [region]}
";

struct House {
    engine: Engine,
    engineer: Caller,
    guardian: Caller,
    admin: Caller,
    _dir: tempfile::TempDir,
}

fn log_in(engine: &Engine, name: &str) -> Caller {
    let credential = Credential::Password { name, password: PASSWORD, network: None };
    engine.authenticate(credential, None).unwrap()
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("outside")).unwrap();
    let key = Unlock::KeyFile(dir.path().join("outside").join("key"));
    let settings = Settings::new(&dir.path().join("data"), key);
    Engine::init(&settings).unwrap();
    let engine = Engine::open(&settings).unwrap();
    let people: [(&str, &str, &[Role]); 5] = [
        ("eve", PASSWORD, &[Role::Engineer]),
        ("ann", PASSWORD, &[Role::Analyst]),
        ("bob", PASSWORD, &[Role::Analyst]),
        ("grace", PASSWORD, &[Role::Guardian]),
        ("adm", PASSWORD, &[Role::Administrator]),
    ];
    engine.bootstrap(&people).unwrap();
    let (engineer, guardian) = (log_in(&engine, "eve"), log_in(&engine, "grace"));
    let admin = log_in(&engine, "adm");
    House { engine, engineer, guardian, admin, _dir: dir }
}

impl House {
    /// Three days of events of ten people, in two segments.
    fn fill(&self) {
        let body = json!({ "mappings": { "properties": {
            "@timestamp": { "type": "date" }, "kind": { "type": "keyword" },
            "region": { "type": "keyword" }, "email": { "type": "keyword" },
            "ms": { "type": "long" },
        }}});
        self.engine.create_table(&self.engineer, "things", &body).unwrap();
        for part in 0..2 {
            let mut lines = String::new();
            for n in 0..3_000 {
                let kind = ["ok", "failed", "other"][n as usize % 3];
                let region = ["eu", "us"][n as usize % 2];
                let row = json!({
                    "@timestamp": 1_790_000_000_000_i64 + i64::from(n) * 80_000 + part,
                    "kind": kind,
                    "region": region,
                    "email": format!("person{}@example.org", n % 10),
                    "ms": n % 13,
                });
                writeln!(lines, "{{\"create\":{{}}}}\n{row}").unwrap();
            }
            let options = BulkOptions::default();
            let done = self.engine.bulk(&self.engineer, Some("things"), lines.as_bytes(), &options);
            assert!(!done.unwrap().errors);
            self.engine.flush().unwrap();
        }
    }

    fn ask(&self, caller: &Caller, metric: &str, question: &Json) -> Json {
        self.engine.query_metric(caller, metric, question).unwrap().into_inner()
    }

    /// The rows of every metric, which are the same with and without tiles, and how many rows of
    /// tiles they were read from.
    fn answers(&self, caller: &Caller) -> (Vec<Json>, u64) {
        let (mut answers, mut tile_rows) = (Vec::new(), 0);
        for metric in ["failed_rate", "owners", "latency"] {
            for mut question in [json!({}), json!({ "dimensions": ["region"] })] {
                question["explain"] = json!(true);
                let tiled = self.ask(caller, metric, &question);
                question["tiles"] = json!(false);
                let plain = self.ask(caller, metric, &question);
                assert_eq!(tiled["rows"], plain["rows"], "{metric} {question}");
                assert_eq!(plain["explain"]["tiles"]["segments"], json!(0));
                tile_rows += tiled["explain"]["tiles"]["tile_rows"].as_u64().unwrap();
                answers.push(tiled["rows"].clone());
            }
        }
        (answers, tile_rows)
    }

    fn propose(&self, edits: &Json) {
        let body = json!({ "edits": edits, "why": "set-up" });
        let done = self.engine.propose(&self.admin, &body).unwrap();
        assert_eq!(done["applied"], json!(true), "{done}");
    }
}

#[test]
fn tiles_answer_declared_metrics_also_over_older_segments() {
    let house = house();
    house.fill();
    let ann = log_in(&house.engine, "ann");
    house.engine.apply_metrics(&house.engineer, METRICS).unwrap();
    let (before, _) = house.answers(&ann);
    house.engine.store.tile().unwrap();
    let (answers, tile_rows) = house.answers(&ann);
    assert_eq!(answers, before);
    assert!(tile_rows > 0);
    let explained = house.ask(&ann, "failed_rate", &json!({ "explain": true }));
    let count = |path: &str| explained.pointer(path).and_then(Json::as_u64).unwrap();
    assert_eq!(count("/explain/tiles/segments"), 2);
    assert_eq!(count("/explain/tiles/stand_for_rows"), 4_000, "of `ok` and `failed`");
    assert_eq!(count("/explain/rows/rows"), 0);
    assert!(house.ask(&ann, "owners", &json!({})).get("explain").is_none());

    // From the midst of an hour: a part comes from rows.
    let from = 1_790_000_000_000_i64 + 11_000_000;
    let question = json!({ "from": from, "explain": true });
    let tiled = house.ask(&ann, "failed_rate", &question);
    assert!(tiled["explain"]["tiles"]["tile_rows"].as_u64() > Some(0), "{}", tiled["explain"]);
    assert!(tiled["explain"]["rows"]["rows"].as_u64() > Some(0), "{}", tiled["explain"]);
    let plain = house.ask(&ann, "failed_rate", &json!({ "from": from, "tiles": false }));
    assert_eq!(tiled["rows"], plain["rows"]);
}

#[test]
fn who_sees_only_some_rows_is_never_answered_from_tiles() {
    let house = house();
    house.propose(&json!([
        { "drop_role": { "person": "bob", "role": "analyst" } },
        { "grant": { "who": "person:bob", "tables": "things", "action": "read",
                     "classes": ["open", "personal"],
                     "rows": [{ "field": "region", "in": ["eu"] }] } },
    ]));
    house.fill();
    house.engine.apply_metrics(&house.engineer, METRICS).unwrap();
    house.engine.store.tile().unwrap();
    let (ann, bob) = (log_in(&house.engine, "ann"), log_in(&house.engine, "bob"));
    let (all, tile_rows) = house.answers(&ann);
    assert!(tile_rows > 0);
    let (some, tile_rows) = house.answers(&bob);
    assert_eq!(tile_rows, 0);
    assert_ne!(all, some);
    let regions = house.ask(&bob, "owners", &json!({ "dimensions": ["region"] }));
    let rows = regions["rows"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row[1] == "eu"), "{regions}");
}

#[test]
fn an_erased_person_is_in_no_tile() {
    let house = house();
    house.fill();
    house.engine.apply_metrics(&house.engineer, METRICS).unwrap();
    house.engine.store.tile().unwrap();
    let ann = log_in(&house.engine, "ann");
    let owners = |house: &House| house.ask(&ann, "owners", &json!({ "grain": "total" }));
    assert_eq!(owners(&house)["rows"], json!([[10]]));
    let mut request = EraseRequest::of("person3@example.org");
    request.now = true;
    house.engine.erase(&house.guardian, &request).unwrap();
    assert_eq!(owners(&house)["rows"], json!([[9]]));
    house.engine.store.tile().unwrap();
    let (_, tile_rows) = house.answers(&ann);
    assert!(tile_rows > 0, "the segments that were written anew have tiles of their own");
    let explained = house.ask(&ann, "owners", &json!({ "grain": "total", "explain": true }));
    assert_eq!(explained["rows"], json!([[9]]));
    assert!(explained["explain"]["tiles"]["segments"].as_u64() > Some(0), "{explained}");
}
