//! What has to be noticed: a clock that is set back, and somebody who takes everything.

use crate::{BINARY, PLANTED, recorded, search};
use conformance::{Caller, Needles, Node, Receiver};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where Debian puts it (package `faketime`).
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// The library that lies about the time of day; without it the test is left out, and says so.
fn faketime() -> Option<PathBuf> {
    let found = FAKETIME.iter().map(PathBuf::from).find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CLERESTORY_CLIENTS_REQUIRED").is_none(), "no faketime");
        println!("SKIPPED: a_clock_set_back needs the package faketime");
    }
    found
}

/// Serves with a clock that is off by what stands in the file `offset`, now and later.
fn serve_with_clock(node: &mut Node, library: &Path) {
    let offset = node.program.path("offset");
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // Only the time of day: a machine's own count of seconds cannot be set.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    node.serve_with(&[], &environment);
}

/// A webhook that is told, named while the house is founded.
fn tell(node: &Node, receiver: &Receiver) {
    let administrator = node.caller("administrator");
    let secret = json!({ "secret": "a secret that signs webhooks" });
    let mark = administrator.post("/_clerestory/notices/_secret", &secret).expect(200);
    let target = format!("w=webhook:{} secret={}", receiver.url(), mark["mark"].as_str().unwrap());
    let body = json!({ "edits": [{ "setting": { "name": "notify", "value": [target] } }],
                       "why": "somebody has to know" });
    administrator.post("/_clerestory/changes", &body).expect(200);
}

#[test]
fn a_clock_set_back() {
    let Some(library) = faketime() else { return };
    let mut node = Node::start(BINARY);
    let receiver = Receiver::start();
    tell(&node, &receiver);
    node.caller("engineer").post("/things/_doc", &json!({ "colour": PLANTED })).expect(201);
    fs::write(node.program.path("offset"), "+0").unwrap();
    serve_with_clock(&mut node, &library);

    // A key that is over.
    let made = node
        .caller("analyst")
        .post("/_security/api_key", &json!({ "name": "short", "expiration": "2s" }))
        .expect(200);
    let over = |node: &Node| Caller::with_key(node.url(), made["encoded"].as_str().unwrap());
    assert_eq!(search(&over(&node)).status, 200);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(search(&over(&node)).status, 401);

    // The clock goes back by two hours under the running server: the key stays over.
    fs::write(node.program.path("offset"), "-2h").unwrap();
    for _ in 0..3 {
        assert_eq!(search(&over(&node)).status, 401, "what has ended stays ended");
    }
    let mut needles = Needles::new();
    needles.add(PLANTED);
    needles.assert_not_in("what the key's owner heard", &over(&node).heard());
    assert_eq!(search(&node.caller("analyst")).status, 200, "the others go on");
    // A new key with an end has it in time that goes on.
    let made_later =
        node.caller("analyst").post("/_security/api_key", &json!({ "name": "later" })).expect(200);
    let later = Caller::with_key(node.url(), made_later["encoded"].as_str().unwrap());
    assert_eq!(search(&later).status, 200);

    // It is in the record, in the log, and told outside.
    let start = Instant::now();
    while recorded(&node, "clock_back").is_empty() {
        assert!(start.elapsed() < Duration::from_secs(15), "it is in the record");
        std::thread::sleep(Duration::from_millis(200));
    }
    let outcome = recorded(&node, "clock_back")[0]["outcome"].as_str().unwrap().to_owned();
    assert!(outcome.starts_with("the clock went back by 7"), "{outcome}");
    let hook = receiver.wait_for("the clock went back by");
    assert_eq!(hook.json()["kind"], "clock");
    needles.assert_not_in("the webhook", &hook.body);

    // After kill -9 the next start knows how late it was already.
    node.kill();
    serve_with_clock(&mut node, &library);
    assert_eq!(search(&over(&node)).status, 401, "and after a restart");
    assert_eq!(search(&node.caller("analyst")).status, 200);
    node.kill();
    let verified = node.program.run_well(&["audit", "verify", "--dir", "data"]);
    assert!(verified.contains("clock"), "whoever verifies is told: {verified}");
}

fn canary_alarms(node: &Node) -> Vec<Value> {
    recorded(node, "canary_read")
}

#[test]
fn bulk_export_unnoticed() {
    let node = Node::start(BINARY);
    let receiver = Receiver::start();
    tell(&node, &receiver);
    // Somebody who may be given 50 rows a day; agreed to while there is nothing to see.
    let grant = json!({ "who": "person:analyst", "tables": "things", "action": "read",
                        "classes": ["open", "personal"], "quota": { "rows": 50 } });
    let edits = json!([{ "drop_role": { "person": "analyst", "role": "analyst" } },
                       { "grant": grant }]);
    let body = json!({ "edits": edits, "why": "a contractor" });
    assert_eq!(
        node.caller("administrator").post("/_clerestory/changes", &body).expect(200)["applied"],
        true
    );
    let engineer = node.caller("engineer");
    let mut lines = String::new();
    for number in 0..200 {
        let row = json!({ "number": number, "colour": PLANTED, "at": "2026-11-01T08:00:00Z" });
        lines.push_str(&format!("{{\"index\":{{\"_id\":\"{number}\"}}}}\n{row}\n"));
    }
    engineer.bulk("/things/_bulk?refresh=true", lines.as_bytes()).expect(200);
    let canary =
        json!({ "number": 1_000_000, "colour": "nobody-grey", "at": "1999-01-01T00:00:00Z" });
    engineer.put("/things/_doc/k7", &canary).expect(201);
    let marked = node.program.run_as(&node.caller("guardian"), &["canary", "mark", "things", "k7"]);
    assert!(marked.contains("is a canary"), "{marked}");
    for role in ["analyst", "engineer", "administrator"] {
        assert_eq!(node.caller(role).get("/_clerestory/canaries").status, 403, "{role}");
    }

    // Honest questions: of a time, of a number, of how many there are.
    let recent = json!({ "query": { "range": { "at": { "gte": "2026-01-01" } } }, "size": 200 });
    engineer.post("/things/_search", &recent).expect(200);
    engineer.post("/things/_search", &json!({ "query": { "term": { "number": 7 } } })).expect(200);
    engineer.post("/things/_count", &json!({})).expect(200);
    let by_colour =
        json!({ "size": 0, "aggs": { "c": { "terms": { "field": "colour.keyword" } } } });
    engineer.post("/things/_search", &by_colour).expect(200);
    assert!(canary_alarms(&node).is_empty(), "nobody did anything wrong");
    assert!(receiver.taken().is_empty());

    // Everything: each way of taking it raises the alarm.
    engineer.post("/things/_search", &json!({ "size": 1000 })).expect(200);
    let hook = receiver.wait_for("engineer was given a canary of things");
    assert_eq!(hook.json()["kind"], "canary");
    node.program.run_as(&engineer, &["sql", "--json", "SELECT number, colour FROM things"]);
    assert_eq!(canary_alarms(&node).len(), 2);
    let notices = node.program.run_as(&node.caller("guardian"), &["notice", "list"]);
    assert!(notices.contains("engineer was given a canary"), "{notices}");
    let told = engineer.get("/_clerestory/notices").expect(200).to_string();
    assert!(!told.contains("canary"), "whoever was caught is not warned: {told}");

    // And who asks for more than the day's measure gets nothing more, and is told of.
    let analyst = node.caller("analyst");
    let page = |from: u32| {
        analyst.post("/things/_search", &json!({ "size": 25, "from": from, "sort": ["number"] }))
    };
    assert_eq!((page(0).status, page(25).status), (200, 200));
    for from in [50, 75, 100] {
        assert_eq!(page(from).status, 429);
    }
    let hook = receiver.wait_for("analyst used up a quota of 50 rows a day");
    assert_eq!(hook.json()["kind"], "quota");
    assert_eq!(recorded(&node, "quota_tripped").len(), 1, "once a day");

    // Nothing of any row is in what left the house.
    let mut needles = Needles::new();
    needles.add(PLANTED);
    needles.add("nobody-grey");
    for hook in receiver.taken() {
        needles.assert_not_in("a webhook", &hook.body);
    }
    let log = fs::read(node.program.log()).unwrap();
    needles.assert_not_in("the log", &log);
}
