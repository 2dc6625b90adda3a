use super::*;
use crate::{Settings, Unlock, WriteResult};
use model::{Column, Intake, Values};
use protection::audit::{AuditFilter, EventKind};
use protection::caller::{Credential, Role};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

struct House {
    engine: Engine,
    engineer: Caller,
    analyst: Caller,
    dir: tempfile::TempDir,
}

fn open(dir: &Path) -> Engine {
    let settings =
        Settings::new(&dir.join("data"), Unlock::KeyFile(dir.join("outside").join("key")));
    if !dir.join("data").try_exists().unwrap() {
        std::fs::create_dir(dir.join("outside")).unwrap();
        Engine::init(&settings).unwrap();
    }
    Engine::open(&settings).unwrap()
}

fn log_in(engine: &Engine, name: &str) -> Caller {
    let password = "correct horse battery staple";
    engine.authenticate(Credential::Password { name, password, network: None }, None).unwrap()
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let password = "correct horse battery staple";
    let people: [(&str, &str, &[Role]); 2] =
        [("eve", password, &[Role::Engineer]), ("ann", password, &[Role::Analyst])];
    engine.bootstrap(&people).unwrap();
    let (engineer, analyst) = (log_in(&engine, "eve"), log_in(&engine, "ann"));
    House { engine, engineer, analyst, dir }
}

impl House {
    fn bulk(&self, body: &str) -> Vec<BulkItem> {
        let options = BulkOptions::default();
        self.engine.bulk(&self.engineer, Some("t"), body.as_bytes(), &options).unwrap().items
    }

    fn index(&self, id: &str, document: Value) -> BulkItem {
        let source = document.to_string();
        let options = WriteOptions::default();
        self.engine
            .index_document(&self.engineer, "t", Some(id), source.as_bytes(), &options)
            .unwrap()
    }

    fn update(&self, id: &str, body: Value) -> Result<BulkItem, EngineError> {
        let source = body.to_string();
        let options = WriteOptions::default();
        self.engine.update_document(&self.engineer, "t", id, source.as_bytes(), &options)
    }

    /// What is stored of a document, field by field; sealed values only counted.
    fn stored(&self, id: &str) -> String {
        let table = self.engine.store.table("t").unwrap();
        let id = self.engine.sealer.row_id(&table.name, id);
        let rows = self.engine.store.stored_rows(table.id, &[&id]).unwrap();
        let Some((batch, ..)) = &rows[0] else { return "none".to_owned() };
        let mut fields: Vec<String> = batch
            .columns
            .iter()
            .map(|column| {
                let name = table.schema.field(column.field).name.as_str();
                format!("{name}={}", show(column))
            })
            .collect();
        fields.sort();
        let mut out = fields.join(" ");
        if let Some(shape) = batch.rows[0].shape {
            write!(out, " {}", batch.shapes[shape as usize]).unwrap();
        }
        out
    }
}

fn show(column: &Column) -> String {
    let count = column.values.len();
    let values: Vec<String> = (0..count)
        .map(|place| match &column.values {
            Values::Strings(strings) => {
                let text = strings.get(place);
                let kind = protection::is_pseudonym(text).then(|| text.split(':').next().unwrap());
                kind.map_or(text.to_owned(), |kind| format!("<{kind}>"))
            }
            Values::Longs(values) => values[place].to_string(),
            Values::Doubles(values) => values[place].to_string(),
            Values::Bools(values) => values[place].to_string(),
            Values::Bytes(_) => "sealed".to_owned(),
        })
        .collect();
    values.join(",")
}

fn said(items: &[BulkItem]) -> Vec<String> {
    items
        .iter()
        .map(|item| match (&item.error, item.result) {
            (Some(error), _) => format!("{} {} {}", item.action, item.status, error.kind),
            (None, Some(result)) => {
                format!(
                    "{} {} {} v{}",
                    item.action,
                    item.status,
                    result.as_str(),
                    item.version.unwrap()
                )
            }
            (None, None) => unreachable!("an item has a result or an error"),
        })
        .collect()
}

#[test]
fn the_four_actions_and_what_they_answer() {
    let house = house();
    let items = house.bulk(concat!(
        "{\"index\":{\"_id\":\"1\"}}\n{\"n\":1}\n",
        "{\"index\":{\"_id\":\"1\"}}\n{\"n\":2}\n",
        "{\"create\":{\"_id\":\"1\"}}\n{\"n\":3}\n",
        "{\"create\":{\"_id\":\"2\"}}\n{\"n\":4}\n",
        "{\"update\":{\"_id\":\"2\"}}\n{\"doc\":{\"m\":5}}\n",
        "{\"update\":{\"_id\":\"2\"}}\n{\"doc\":{\"m\":6}}\n",
        "{\"update\":{\"_id\":\"none\"}}\n{\"doc\":{\"m\":5}}\n",
        "{\"delete\":{\"_id\":\"1\"}}\n",
        "{\"delete\":{\"_id\":\"1\"}}\n",
        "{\"create\":{\"_id\":\"1\"}}\n{\"n\":7}\n",
        "{\"index\":{}}\n{\"n\":8}\n",
    ));
    assert_eq!(
        said(&items),
        [
            "index 201 created v1",
            "index 200 updated v2",
            "create 409 version_conflict_engine_exception",
            "create 201 created v1",
            "update 200 updated v2",
            "update 200 updated v3",
            "update 404 document_missing_exception",
            "delete 200 deleted v3",
            "delete 404 not_found v1",
            "create 201 created v1",
            "index 201 created v1",
        ]
    );
    assert_eq!(house.stored("1"), "n=7");
    assert_eq!(house.stored("2"), "m=6 n=4");
    let seqs: Vec<u64> = items.iter().filter_map(|item| item.seq_no).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    let generated = items[10].id.as_deref().unwrap();
    assert!(generated.starts_with("_seq-00"), "{generated}");
    assert_eq!(house.stored(generated), "n=8");

    assert_eq!(house.index(generated, json!({"n": 9})).version, Some(2));
    assert_eq!(house.stored(generated), "n=9");
    let next = "{\"index\":{\"_id\":\"_seq-000000000000zzz\"}}\n{\"n\":1}\n";
    assert_eq!(said(&house.bulk(next)), ["index 400 illegal_argument_exception"]);
}

#[test]
fn bad_documents_take_nothing_else_down() {
    let house = house();
    house.index("0", json!({"n": 0}));
    let mut body = Vec::new();
    let bad: [&[u8]; 9] = [
        b"{\"n\":\"secret-value\"}",
        b"{\"n\":1",
        b"{\"n\":{\"a\":1}}",
        b"{\"n\":1,\"s\":\"\xff\"}",
        b"{\"new\":1,\"n\":\"x\"}",
        b"[]",
        b"",
        b"{\"ada@example.org\":1}",
        b"{\"n\":18446744073709551615}",
    ];
    for (number, document) in bad.iter().enumerate() {
        body.extend(format!("{{\"index\":{{\"_id\":\"bad{number}\"}}}}\n").bytes());
        body.extend(*document);
        body.extend(format!("\n{{\"index\":{{\"_id\":\"good{number}\"}}}}\n").bytes());
        body.extend(format!("{{\"n\":{number},\"s\":\"word\"}}\n").bytes());
    }
    let options = BulkOptions::default();
    let answer = house.engine.bulk(&house.engineer, Some("t"), &body, &options).unwrap();
    assert!(answer.errors);
    for (number, pair) in answer.items.chunks(2).enumerate() {
        let error = pair[0].error.as_ref().unwrap();
        assert_eq!(pair[0].status, 400, "{}", error.reason);
        assert!(!error.reason.contains("secret-value") && !error.reason.contains("ada@"));
        assert_eq!(pair[1].status, 201);
        assert_eq!(house.stored(&format!("bad{number}")), "none");
        assert_eq!(house.stored(&format!("good{number}")), format!("n={number} s=word"));
    }
    let table = house.engine.store.table("t").unwrap();
    let fields: Vec<&str> = table.schema.fields().iter().map(|f| f.name.as_str()).collect();
    assert_eq!(fields, ["n", "s"], "bad documents add no field");
}

#[test]
fn an_update_keeps_what_it_does_not_name() {
    let house = house();
    house.index(
        "1",
        json!({
            "email": "ada@example.org", "account_id": 4711, "height_cm": 170, "n": 1,
            "at": "2026-11-23T08:00:00+00:00", "a": {"b": 1, "c": [1, 2]}, "list": ["x", "y"],
        }),
    );
    let first = house.stored("1");
    assert!(first.contains("email=<email>") && first.contains("height_cm=sealed"), "{first}");

    let item = house.update("1", json!({"doc": {"n": 2, "a": {"c": [3]}, "list": null}})).unwrap();
    assert_eq!((item.result, item.version), (Some(WriteResult::Updated), Some(2)));
    let second = house.stored("1");
    assert!(second.contains("a.b=1 a.c=3"), "{second}");
    assert!(second.contains(" n=2") && !second.contains("list="), "{second}");
    assert!(second.contains(r#""a":{"b":"v","c":["v"]}"#), "{second}");
    assert!(second.contains(r#""at":"z""#) && second.contains(r#""list":null"#), "{second}");
    for part in first.split(' ').filter(|part| part.starts_with(['e', 'h'])) {
        assert!(second.contains(part), "{part} is kept: {second}");
    }

    let item = house.update("1", json!({"doc": {"n": 2, "email": "ADA@example.org"}})).unwrap();
    assert_eq!(item.result, Some(WriteResult::Noop), "the same pseudonym");
    assert_eq!(item.version, Some(2));
    let item = house.update("1", json!({"doc": {"n": 2}, "detect_noop": false})).unwrap();
    assert_eq!(item.version, Some(3));
    let values = |stored: &str| stored.split(" {").next().map(str::to_owned);
    assert_eq!(values(&house.stored("1")), values(&second));
}

#[test]
fn upserts() {
    let house = house();
    house.index("0", json!({"n": 0}));
    let result = |body: Value| house.update("1", body).map(|item| item.result.unwrap().as_str());
    assert_eq!(result(json!({"doc": {"n": 1}})).unwrap_err().status, 404);
    assert_eq!(result(json!({"doc": {"n": 1}, "upsert": {"m": 2}})).unwrap(), "created");
    assert_eq!(house.stored("1"), "m=2");
    assert_eq!(result(json!({"doc": {"n": 1}, "upsert": {"m": 3}})).unwrap(), "updated");
    assert_eq!(house.stored("1"), "m=2 n=1");
    let item = house.update("2", json!({"doc": {"n": 1}, "doc_as_upsert": true})).unwrap();
    assert_eq!(item.status, 201);
    assert_eq!(house.update("2", json!({"doc": {"n": "x"}})).unwrap_err().status, 400);
    let scripted = house.update("2", json!({"script": "ctx._source.n++"})).unwrap_err();
    assert!(scripted.reason.contains("scripts are not supported"));
}

#[test]
fn writing_only_over_a_known_row() {
    let house = house();
    let first = house.index("1", json!({"n": 1})).seq_no;
    house.index("1", json!({"n": 2}));
    let options = WriteOptions { if_seq_no: first, if_primary_term: Some(1), ..Default::default() };
    let engine = &house.engine;
    let error =
        engine.index_document(&house.engineer, "t", Some("1"), b"{\"n\":3}", &options).unwrap_err();
    assert_eq!((error.status, error.kind.as_str()), (409, "version_conflict_engine_exception"));
    assert_eq!(
        engine.delete_document(&house.engineer, "t", "1", &options).unwrap_err().status,
        409
    );
    let error = engine
        .update_document(&house.engineer, "t", "1", b"{\"doc\":{\"n\":3}}", &options)
        .unwrap_err();
    assert_eq!(error.status, 409);
    assert_eq!(house.stored("1"), "n=2");
}

#[test]
fn who_may_not_write_writes_nothing() {
    let house = house();
    let engine = &house.engine;
    let options = BulkOptions::default();
    let error = engine.bulk(&house.analyst, Some("t"), b"{\"index\":{}}\n{}\n", &options);
    let error = error.unwrap_err();
    assert_eq!((error.status, error.kind.as_str()), (403, "security_exception"));
    assert!(engine.store.table("t").is_none());
    assert_eq!(engine.create_table(&house.analyst, "t", &Value::Null).unwrap_err().status, 403);
    engine.create_table(&house.engineer, "t", &Value::Null).unwrap();
    assert_eq!(engine.drop_table(&house.analyst, "t").unwrap_err().status, 403);
    assert_eq!(engine.put_mapping(&house.analyst, "t", &json!({})).unwrap_err().status, 403);
}

#[test]
fn tables_are_made_by_the_first_document() {
    let house = house();
    let items = house.bulk(concat!(
        "{\"delete\":{\"_index\":\"gone\",\"_id\":\"1\"}}\n",
        "{\"update\":{\"_index\":\"gone\",\"_id\":\"1\"}}\n{\"doc\":{}}\n",
        "{\"index\":{\"_index\":\"Wrong\"}}\n{}\n",
        "{\"index\":{\"_index\":\"logs\"}}\n{\"@timestamp\":\"2026-11-23T08:00:00Z\"}\n",
        "{\"index\":{\"_index\":\"things\"}}\n{\"@timestamp\":\"yesterday\"}\n",
    ));
    assert_eq!(
        said(&items),
        [
            "delete 404 index_not_found_exception",
            "update 404 index_not_found_exception",
            "index 400 invalid_index_name_exception",
            "index 201 created v1",
            "index 201 created v1",
        ]
    );
    let table = |name: &str| house.engine.store.table(name);
    assert_eq!(table("logs").unwrap().time_field.as_deref(), Some("@timestamp"));
    assert_eq!(table("logs").unwrap().intake, Intake::Classified);
    assert_eq!(table("things").unwrap().time_field, None);
    assert!(table("gone").is_none());
}

#[test]
fn tables_by_request() {
    let house = house();
    let (engine, engineer) = (&house.engine, &house.engineer);
    let body = json!({"mappings": {"properties": {"n": {"type": "long"}}}});
    engine.create_table(engineer, "t", &body).unwrap();
    let error = engine.create_table(engineer, "t", &body).unwrap_err();
    assert_eq!(error.kind, "resource_already_exists_exception");
    let error = engine.put_mapping(engineer, "t", &json!({"properties": {"n": {"type": "ip"}}}));
    assert_eq!(error.unwrap_err().reason, "mapper [n] cannot be changed from type [long] to [ip]");
    engine.put_mapping(engineer, "t", &json!({"properties": {"m": {"type": "ip"}}})).unwrap();
    let table = engine.table_for(engineer, "t").unwrap();
    assert_eq!(crate::render_mapping(&table)["properties"]["m"]["type"], "ip");
    assert_eq!(engine.drop_table(engineer, "*").unwrap_err().status, 400);
    assert_eq!(engine.drop_table(engineer, "t,u").unwrap_err().status, 404);
    engine.drop_table(engineer, "t").unwrap();
    assert_eq!(engine.table_for(engineer, "t").unwrap_err().status, 404);
}

#[test]
fn no_field_is_lost_when_two_add_fields_at_once() {
    let house = house();
    house.engine.create_table(&house.engineer, "t", &Value::Null).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let house = &house;
            scope.spawn(move || {
                for number in 0..10 {
                    let mut document = json!({});
                    document[format!("f{thread}x{number}")] = json!(number);
                    house.index(&format!("{thread}-{number}"), document);
                }
            });
        }
    });
    let table = house.engine.store.table("t").unwrap();
    assert_eq!(table.schema.fields().len(), 40);
    for thread in 0..4 {
        for number in 0..10 {
            let stored = house.stored(&format!("{thread}-{number}"));
            assert_eq!(stored, format!("f{thread}x{number}={number}"));
        }
    }
}

#[test]
fn races_for_one_id_have_one_winner() {
    let house = house();
    house.engine.create_table(&house.engineer, "t", &Value::Null).unwrap();
    let created = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (house, created) = (&house, &created);
            scope.spawn(move || {
                let options = WriteOptions { retry_on_conflict: 50, ..Default::default() };
                let (engine, engineer) = (&house.engine, &house.engineer);
                let document = b"{\"made\":true}";
                let made = engine.create_document(engineer, "t", Some("1"), document, &options);
                if made.is_ok() {
                    created.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                let body = format!("{{\"doc\":{{\"f{thread}\":{thread}}}}}");
                engine.update_document(engineer, "t", "1", body.as_bytes(), &options).unwrap();
            });
        }
    });
    assert_eq!(created.into_inner(), 1);
    assert_eq!(house.stored("1"), "f0=0 f1=1 f2=2 f3=3 made=true", "no update is lost");
}

#[test]
fn everything_is_there_after_a_restart() {
    let House { engine, engineer, dir, .. } = house();
    let options = WriteOptions::default();
    let document = b"{\"email\":\"ada@example.org\",\"n\":[null]}";
    engine.index_document(&engineer, "t", Some("ada@example.org"), document, &options).unwrap();
    drop(engine);
    let engine = open(dir.path());
    let (engineer, analyst) = (log_in(&engine, "eve"), log_in(&engine, "ann"));
    let house = House { engine, engineer, analyst, dir };
    assert_eq!(
        house.stored("ada@example.org"),
        "email.domain=example.org email=<email> {\"email\":\"v\",\"n\":[null]}"
    );
    let item = house.update("ADA@example.org", json!({"doc": {"n": 1}})).unwrap();
    assert_eq!(item.version, Some(2), "the same person's row");
    assert!(protection::is_pseudonym(item.id.as_deref().unwrap()));
}

#[test]
fn a_request_leaves_one_record_for_each_table() {
    let house = house();
    house.bulk(concat!(
        "{\"index\":{}}\n{\"n\":1}\n{\"index\":{}}\n{\"token\":\"ghp_0123456789abcdefghijABCDEFGHIJ012345\"}\n",
        "{\"index\":{\"_index\":\"u\"}}\n{\"n\":1}\n",
    ));
    house.engine.audit.append_durable(&Event::new(EventKind::Stopped)).unwrap();
    let records = house.engine.audit.read(&AuditFilter::default()).unwrap();
    let of = |kind: EventKind| records.iter().filter(move |record| record.event.kind == kind);
    let writes: Vec<(&str, Option<u64>)> = of(EventKind::Write)
        .map(|record| (record.event.tables[0].as_str(), record.event.rows))
        .collect();
    assert_eq!(writes, [("u", Some(1)), ("t", Some(2))], "newest first");
    assert_eq!(of(EventKind::TableCreated).count(), 2);
    assert_eq!(of(EventKind::Ruling).count(), 2);
    let seen = of(EventKind::SecretsSeen).next().unwrap();
    assert_eq!(seen.event.fields[0].field, "token");
    assert_eq!(seen.event.who, "eve");
}
