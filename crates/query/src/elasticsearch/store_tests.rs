//! Requests over a real store: the way in, the permit, the leaf and the answer together.

use super::{CountRequest, EsError, FieldCapsRequest, SearchRequest};
use crate::{Limits, Scope};
use model::{
    Batch, Class, Clock, Column, Field, FieldId, FieldName, FieldType, Intake, ManualClock, Op,
    Row, Schema, Strings, Table, TableId, TableKind, TableName, Timestamp, Values,
};
use protection::audit::AuditLog;
use protection::caller::{Caller, Credential, Directory, Role};
use protection::classify::Classifier;
use protection::grant::Action;
use protection::keys::{KeyRing, PassphraseCost};
use protection::{Guard, MemoryRecords, Pseudonyms, ReadIntent, Sealer};
use serde_json::{Value, json};
use std::sync::Arc;
use storage::disk::RealDisk;
use storage::{Store, StoreSettings};

/// Midnight of 17 March 2026 in Greenwich.
const START: i64 = 1_773_705_600_000;

const HOUR: i64 = 3_600_000;

struct House {
    store: Store,
    clock: Arc<ManualClock>,
    pseudonyms: Pseudonyms,
    guard: Guard,
    caller: Caller,
    table: Arc<Table>,
    _dir: tempfile::TempDir,
}

fn field(name: &str, ty: FieldType, class: Class) -> Field {
    let mut field = Field::new(FieldName::parse(name).unwrap(), ty, "keyword");
    field.class = Some(class);
    if class == Class::Personal {
        field.kind = "email".to_owned();
    }
    if ty == FieldType::Text {
        field.keyword_up_to = Some(256);
    }
    field
}

impl House {
    /// Ninety rows, one every hour, a third of them still in the buffer.
    fn open() -> House {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(KeyRing::in_memory());
        let clock = Arc::new(ManualClock::at(Timestamp(START + 90 * HOUR)));
        let as_clock = || Arc::clone(&clock) as Arc<dyn Clock>;
        let mut settings =
            StoreSettings::new(dir.path(), Arc::new(RealDisk), Arc::clone(&keys), as_clock());
        settings.background = false;
        let store = Store::open(settings).unwrap();
        let audit =
            AuditLog::open(&dir.path().join("audit"), Arc::clone(&keys), as_clock()).unwrap();
        let records = Arc::new(MemoryRecords::new());
        let directory =
            Directory::open_with(records, &keys, as_clock(), PassphraseCost::TEST).unwrap();
        directory.bootstrap(&[("ada", "a long password", &[Role::Analyst])]).unwrap();
        let credential =
            Credential::Password { name: "ada", password: "a long password", network: None };
        let caller = directory.authenticate(credential).unwrap();
        let guard = Guard::new(Arc::new(audit), Arc::clone(directory.policies()), as_clock());
        let table = store.create_table(logs()).unwrap();
        let sealer = Sealer::new(
            Arc::clone(&keys),
            Arc::new(Pseudonyms::new(&keys)),
            Arc::new(Classifier::standard()),
            as_clock(),
        );
        let mut sealed_table = (*table).clone();
        for part in 0..3 {
            let sealed = sealer.seal(&mut sealed_table, rows(part * 30..part * 30 + 30)).unwrap();
            if !sealed.newly_ruled.is_empty() {
                store.put_table(sealed_table.clone()).unwrap();
            }
            store.append(table.id, sealed.batch, &[]).unwrap();
            if part < 2 {
                store.flush().unwrap();
            }
        }
        let pseudonyms = Pseudonyms::new(&keys);
        House { store, clock, pseudonyms, guard, caller, table, _dir: dir }
    }

    fn scope(&self, action: Action, fields: Vec<(TableId, protection::FieldUse)>) -> Scope {
        let tables = vec![Arc::clone(&self.table)];
        let intent = ReadIntent { action, tables, shape: String::new(), fields };
        let permit = self.guard.authorise(&self.caller, intent).unwrap();
        let snapshot = Arc::new(self.store.snapshot(&[self.table.id], &permit).unwrap());
        Scope { snapshot, permit: Arc::new(permit) }
    }

    fn try_search(&self, body: &Value) -> Result<Value, EsError> {
        let request = SearchRequest::parse(body, &[])?;
        let action = if request.shows_rows() { Action::Read } else { Action::Aggregate };
        let scope = self.scope(action, request.uses(&[Arc::clone(&self.table)]));
        request.run(&scope, &self.pseudonyms, &Limits::standard(), self.clock.now())
    }

    fn search(&self, body: Value) -> Value {
        self.try_search(&body).unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    fn ids(&self, body: Value) -> Vec<String> {
        let answer = self.search(body);
        let hits = answer["hits"]["hits"].as_array().unwrap();
        hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()).collect()
    }
}

fn logs() -> Table {
    Table {
        id: TableId(0),
        name: TableName::parse("logs").unwrap(),
        kind: TableKind::Events,
        intake: Intake::Classified,
        time_field: Some("at".to_owned()),
        sort: None,
        retention_ms: None,
        dynamic: true,
        schema: Schema::from_fields(vec![
            field("at", FieldType::Date, Class::Open),
            field("message", FieldType::Text, Class::Open),
            field("level", FieldType::Keyword, Class::Open),
            field("code", FieldType::Long, Class::Open),
            field("load", FieldType::Double, Class::Open),
            field("ok", FieldType::Boolean, Class::Open),
            field("email", FieldType::Keyword, Class::Personal),
        ]),
    }
}

fn strings(values: impl Iterator<Item = String>) -> Values {
    let mut strings = Strings::default();
    for value in values {
        let known = strings.iter_distinct().position(|known| known == value);
        let id = known.map_or_else(|| strings.push_distinct(&value), |known| known as u32);
        strings.ids.push(id);
    }
    Values::Strings(strings)
}

fn level(i: i64) -> &'static str {
    ["info", "info", "warn", "error"][i as usize % 4]
}

fn rows(range: std::ops::Range<i64>) -> Batch {
    let count = (range.end - range.start) as u32;
    let each = || range.clone();
    let row = |i| Row { id: Some(format!("r{i}").into()), op: Op::Put, shape: None };
    let all: Vec<u32> = (0..count).collect();
    // Every third row has no load.
    let with_load: Vec<u32> =
        (0..count).filter(|row| (range.start + i64::from(*row)) % 3 != 0).collect();
    let loads = with_load.iter().map(|row| (range.start + i64::from(*row)) as f64 / 2.0).collect();
    let column =
        |field, rows: &[u32], values| Column { field: FieldId(field), rows: rows.to_vec(), values };
    Batch {
        rows: each().map(row).collect(),
        columns: vec![
            column(0, &all, Values::Longs(each().map(|i| START + i * HOUR).collect())),
            column(
                1,
                &all,
                strings(each().map(|i| format!("Request {i} from the {} path", level(i)))),
            ),
            column(2, &all, strings(each().map(|i| level(i).to_owned()))),
            column(3, &all, Values::Longs(each().map(|i| i % 7).collect())),
            column(4, &with_load, Values::Doubles(loads)),
            column(5, &all, Values::Bools(each().map(|i| i % 2 == 0).collect())),
            column(6, &all, strings(each().map(|i| format!("user{}@example.org", i % 5)))),
        ],
        shapes: Vec::new(),
    }
}

#[test]
fn rows_are_found_and_shown() {
    let house = House::open();
    let answer = house.search(json!({
        "query": {"bool": {
            "must": {"match": {"message": "WARN path"}},
            "filter": {"range": {"at": {"gte": "now-30h"}}}
        }},
        "size": 2,
        "fields": [{"field": "at", "format": "yyyy-MM-dd HH:mm"}],
        "_source": ["level", "code"],
        "highlight": {"fields": {"*": {}}}
    }));
    assert_eq!(answer["hits"]["total"], json!({"value": 30, "relation": "eq"}));
    let hit = &answer["hits"]["hits"][0];
    assert_eq!(hit["_source"]["level"], "warn", "the rarer word comes first: {answer}");
    assert_eq!(hit["highlight"]["message"][0].as_str().unwrap().matches("<em>").count(), 2);
    assert_eq!(hit["fields"]["at"][0].as_str().unwrap().len(), 16);
    assert!(answer["hits"]["max_score"].as_f64().unwrap() > 0.0);

    assert_eq!(
        house.ids(json!({"query": {"term": {"code": 3}}, "sort": [{"at": "desc"}], "size": 3})),
        ["r87", "r80", "r73"]
    );
    assert_eq!(
        house.ids(json!({"query": {"ids": {"values": ["r5", "r88"]}}, "sort": "at"})),
        ["r5", "r88"]
    );
    assert_eq!(
        house.ids(json!({"query": {"query_string": {"query": "level:error AND code:[5 TO 6] AND NOT ok:true"}}, "sort": "at", "size": 2})),
        ["r19", "r27"]
    );
    assert_eq!(house.ids(json!({"query": {"match_phrase": {"message": "request 42"}}})), ["r42"]);
    assert_eq!(
        house.ids(
            json!({"query": {"regexp": {"message.keyword": "Request 4[23] .*"}}, "sort": "at"})
        ),
        ["r42", "r43"]
    );
}

#[test]
fn a_real_address_finds_its_rows_and_is_not_shown() {
    let house = House::open();
    let answer =
        house.search(json!({"query": {"term": {"email": "User3@example.org"}}, "size": 100}));
    assert_eq!(answer["hits"]["total"]["value"], json!(18));
    assert!(!answer.to_string().contains("example.org"), "{answer}");
    let anywhere =
        house.search(json!({"query": {"query_string": {"query": "user3@example.org"}}, "size": 0}));
    assert_eq!(anywhere["hits"]["total"]["value"], json!(18));
    let groups = house.search(json!({"size": 0, "aggs": {"who": {"terms": {"field": "email"}}}}));
    assert_eq!(groups["aggregations"]["who"]["buckets"].as_array().unwrap().len(), 5);
}

#[test]
fn pages_over_buffer_and_segments_neither_skip_nor_repeat() {
    let house = House::open();
    let mut seen = Vec::new();
    let mut after = Value::Null;
    for _ in 0..20 {
        let mut body = json!({"size": 11, "_source": false, "sort": [{"load": "desc"}, {"level": "asc"}, "_seq_no"]});
        if !after.is_null() {
            body["search_after"] = after.clone();
        }
        let answer = house.search(body);
        let hits = answer["hits"]["hits"].as_array().unwrap();
        let Some(last) = hits.last() else { break };
        after = last["sort"].clone();
        seen.extend(hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()));
    }
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((seen.len(), distinct.len(), seen[0].as_str()), (90, 90, "r89"));
}

#[test]
fn aggregations_agree_with_counting_by_hand() {
    let house = House::open();
    let answer = house.search(json!({
        "size": 0,
        "query": {"range": {"at": {"lt": "2026-03-20"}}},
        "aggs": {
            "days": {
                "date_histogram": {"field": "at", "calendar_interval": "1d", "time_zone": "Europe/Berlin"},
                "aggs": {
                    "levels": {
                        "terms": {"field": "level", "order": {"load.sum": "desc"}},
                        "aggs": {"load": {"stats": {"field": "load"}}, "who": {"cardinality": {"field": "email"}}}
                    },
                    "fine": {"filter": {"term": {"ok": true}}, "aggs": {"codes": {"avg": {"field": "code"}}}}
                }
            },
            "unloaded": {"missing": {"field": "load"}},
            "middle": {"percentiles": {"field": "code", "percents": [50]}},
            "codes": {"histogram": {"field": "code", "interval": 3}},
            "truth": {"terms": {"field": "ok"}}
        }
    }));
    let found = &answer["aggregations"];
    let days = found["days"]["buckets"].as_array().unwrap();
    let by_day = |day: i64| -> Vec<i64> {
        // Berlin is an hour ahead of Greenwich.
        (0..72).filter(|i| (i + 1) / 24 == day).collect()
    };
    assert_eq!(days.len(), 4);
    for (day, bucket) in days.iter().enumerate() {
        let rows = by_day(day as i64);
        assert_eq!(bucket["doc_count"], json!(rows.len()));
        let fine: Vec<i64> = rows.iter().copied().filter(|i| i % 2 == 0).collect();
        assert_eq!(bucket["fine"]["doc_count"], json!(fine.len()));
        let found = bucket["fine"]["codes"]["value"].as_f64();
        let sum = fine.iter().map(|i| i % 7).sum::<i64>() as f64;
        let expected = (!fine.is_empty()).then(|| sum / fine.len() as f64);
        assert_eq!(found.is_some(), expected.is_some());
        assert!(found.zip(expected).is_none_or(|(found, mean)| (found - mean).abs() < 1e-9));
        let mut last = f64::INFINITY;
        for inner in bucket["levels"]["buckets"].as_array().unwrap() {
            let own: Vec<i64> = rows
                .iter()
                .copied()
                .filter(|i| level(*i) == inner["key"].as_str().unwrap())
                .collect();
            assert_eq!(inner["doc_count"], json!(own.len()));
            let loads: Vec<f64> =
                own.iter().filter(|i| *i % 3 != 0).map(|i| *i as f64 / 2.0).collect();
            assert_eq!(inner["load"]["count"], json!(loads.len()));
            let sum: f64 = loads.iter().sum();
            assert!((inner["load"]["sum"].as_f64().unwrap() - sum).abs() < 1e-9);
            assert!(sum <= last, "ordered by the sum");
            last = sum;
            let mut who: Vec<i64> = own.iter().map(|i| i % 5).collect();
            who.sort_unstable();
            who.dedup();
            assert_eq!(inner["who"]["value"], json!(who.len()));
        }
    }
    assert_eq!(found["unloaded"]["doc_count"], json!(24));
    assert_eq!(found["middle"]["values"]["50.0"], json!(3.0));
    let codes: Vec<u64> = found["codes"]["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["doc_count"].as_u64().unwrap())
        .collect();
    assert_eq!(codes, [32, 30, 10]);
    assert_eq!(
        found["truth"]["buckets"][1],
        json!({"key": 1, "key_as_string": "true", "doc_count": 36})
    );
}

#[test]
fn counts_and_field_lists_see_what_the_permit_covers() {
    let house = House::open();
    let count =
        CountRequest::parse(&json!({"query": {"match": {"message": "error"}}}), &[]).unwrap();
    let scope = house.scope(Action::Count, count.uses(&[Arc::clone(&house.table)]));
    let answer =
        count.run(&scope, &house.pseudonyms, &Limits::standard(), house.clock.now()).unwrap();
    assert_eq!(answer["count"], json!(22));
    let caps = FieldCapsRequest::parse(&Value::Null, &[("fields".to_owned(), "m*,at".to_owned())])
        .unwrap();
    let answer =
        caps.run(scope.snapshot.tables(), &|table, field| scope.permit.may_read(table, field));
    let names: Vec<&String> = answer["fields"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["at", "message", "message.keyword"]);
    assert_eq!(answer["fields"]["message"]["text"]["aggregatable"], json!(false));
}

#[test]
fn a_wrong_expression_is_the_callers_mistake() {
    let house = House::open();
    let error = house.try_search(&json!({"query": {"regexp": {"level": "(((."}}})).unwrap_err();
    assert_eq!((error.status, error.kind.as_str()), (400, "query_shard_exception"), "{error}");
}
