//! kill -9 at any moment: every acknowledged document is there after the restart, none twice.
//!
//! A real process in a real folder, killed fifty times while four clients write. Rows without an
//! `_id` must be there exactly once; rows with one must have the newest acknowledged value or a
//! newer one that was under way.
#![expect(clippy::unwrap_used, reason = "tests are free")]

use conformance::{Caller, Node};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const ROUNDS: u64 = 50;
const WRITERS: u64 = 4;
const ROWS_PER_REQUEST: u64 = 40;
const COUNTERS: u64 = 25;

/// What the server has promised, and what it may know beyond that.
#[derive(Default)]
struct Promised {
    /// Numbers of acknowledged rows, by round.
    rows: BTreeMap<u64, Vec<u64>>,
    /// Newest acknowledged value of each counter.
    counters: BTreeMap<String, u64>,
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    let mut node = Node::start(env!("CARGO_BIN_EXE_clerestory"));
    let properties =
        json!({ "n": { "type": "long" }, "round": { "type": "long" }, "text": { "type": "text" } });
    let events = json!({ "mappings": { "properties": properties } });
    node.caller("engineer").put("/kept", &events).expect(200);
    let counters = json!({
        "settings": { "index": { "clerestory": { "kind": "entities" } } },
        "mappings": { "properties": { "value": { "type": "long" } } },
    });
    node.caller("engineer").put("/counters", &counters).expect(200);

    let promised = Mutex::new(Promised::default());
    let next = AtomicU64::new(1);
    for round in 0..ROUNDS {
        let engineer = node.caller("engineer");
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (engineer, promised, next) = (engineer.clone(), &promised, &next);
                    scope.spawn(move || write(&engineer, round, writer, promised, next))
                })
                .collect();
            // Another moment each round, from at once to well into writing and flushing.
            std::thread::sleep(Duration::from_millis(20 + (round * 37) % 400));
            node.kill();
            for writer in writers {
                writer.join().unwrap();
            }
        });
        node.serve();
        let promised = promised.lock().unwrap_or_else(PoisonError::into_inner);
        check_rows(&node.caller("analyst"), round, &promised);
        check_counters(&node.caller("analyst"), &promised);
    }
    let promised = promised.lock().unwrap_or_else(PoisonError::into_inner);
    let acknowledged: usize = promised.rows.values().map(Vec::len).sum();
    assert!(acknowledged > 1_000, "the writers got something done: {acknowledged}");
    for round in 0..ROUNDS {
        check_rows(&node.caller("analyst"), round, &promised);
    }
}

/// Writes until the server is gone.
fn write(engineer: &Caller, round: u64, writer: u64, promised: &Mutex<Promised>, next: &AtomicU64) {
    loop {
        let mut body = String::new();
        let mut rows = Vec::new();
        let mut counters = BTreeMap::new();
        for place in 0..ROWS_PER_REQUEST {
            let n = next.fetch_add(1, Ordering::Relaxed);
            body.push_str("{\"create\":{\"_index\":\"kept\"}}\n");
            let row =
                json!({ "n": n, "round": round, "text": format!("row {n} of round {round}") });
            body.push_str(&format!("{row}\n"));
            rows.push(n);
            if place % 10 == 0 {
                // Each writer has counters of its own: their values only grow.
                let id = format!("counter-{writer}-{}", n % COUNTERS);
                body.push_str(&format!(
                    "{{\"index\":{{\"_index\":\"counters\",\"_id\":\"{id}\"}}}}\n"
                ));
                body.push_str(&format!("{{\"value\":{n}}}\n"));
                counters.insert(id, n);
            }
        }
        let answer = engineer.try_send("POST", "/_bulk", "application/x-ndjson", body.as_bytes());
        let Some(answer) = answer else { return };
        let answer = answer.expect(200);
        assert_eq!(answer["errors"], false, "{answer}");
        let mut promised = promised.lock().unwrap_or_else(PoisonError::into_inner);
        promised.rows.entry(round).or_default().extend(rows);
        promised.counters.extend(counters);
    }
}

fn check_rows(analyst: &Caller, round: u64, promised: &Promised) {
    let mut stored = Vec::new();
    let mut after: Option<Value> = None;
    loop {
        let mut body = json!({
            "size": 5_000, "_source": ["n"], "sort": [{ "n": "asc" }],
            "query": { "term": { "round": round } },
        });
        if let Some(after) = &after {
            body["search_after"] = json!([after]);
        }
        let answer = analyst.post("/kept/_search", &body).expect(200);
        let hits = answer["hits"]["hits"].as_array().unwrap().clone();
        stored.extend(hits.iter().map(|hit| hit["_source"]["n"].as_u64().unwrap()));
        match hits.last() {
            Some(last) => after = Some(last["sort"][0].clone()),
            None => break,
        }
    }
    let count = analyst.post("/kept/_count", &json!({ "query": { "term": { "round": round } } }));
    assert_eq!(
        count.expect(200)["count"],
        json!(stored.len()),
        "round {round}: count and search agree"
    );
    let mut distinct = stored.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), stored.len(), "round {round}: a row is there twice");
    let expected = promised.rows.get(&round).map_or(&[][..], Vec::as_slice);
    let lost: Vec<&u64> = expected.iter().filter(|n| distinct.binary_search(n).is_err()).collect();
    assert!(lost.is_empty(), "round {round}: {} acknowledged rows are lost: {lost:?}", lost.len());
}

fn check_counters(analyst: &Caller, promised: &Promised) {
    let body = json!({ "size": 10_000, "query": { "match_all": {} } });
    let answer = analyst.post("/counters/_search", &body).expect(200);
    let mut stored = BTreeMap::new();
    for hit in answer["hits"]["hits"].as_array().unwrap() {
        let id = hit["_id"].as_str().unwrap().to_owned();
        let value = hit["_source"]["value"].as_u64().unwrap();
        assert!(stored.insert(id, value).is_none(), "a counter is there twice");
    }
    for (id, value) in &promised.counters {
        let found = stored.get(id);
        assert!(found.is_some_and(|found| found >= value), "{id}: {found:?}, acknowledged {value}");
    }
}
