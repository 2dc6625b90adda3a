//! Pseudonyms get a next key through the real binary, which is killed in the midst of it.
#![expect(clippy::unwrap_used, reason = "tests are free")]

use conformance::{Caller, Node};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");
const PEOPLE: usize = 300;
const ROWS: usize = 6_000;

fn email(number: usize) -> String {
    format!("person{number}@example.org")
}

fn load(engineer: &Caller) {
    let mut users = String::new();
    for number in 0..PEOPLE {
        let email = email(number);
        writeln!(users, r#"{{"index":{{"_id":"{email}"}}}}"#).unwrap();
        writeln!(users, r#"{{"email":"{email}","plan":"free"}}"#).unwrap();
    }
    assert_eq!(engineer.bulk("/users/_bulk", users.as_bytes()).expect(200)["errors"], false);
    let mut events = String::new();
    for number in 0..ROWS {
        let email = email(number % PEOPLE);
        writeln!(events, r#"{{"index":{{}}}}"#).unwrap();
        writeln!(
            events,
            r#"{{"email":"{email}","message":"mail {number} to {email} bounced","n":{number}}}"#
        )
        .unwrap();
    }
    assert_eq!(engineer.bulk("/events/_bulk", events.as_bytes()).expect(200)["errors"], false);
}

fn sql(analyst: &Caller, query: &str) -> Value {
    analyst.post("/_sql?format=json", &json!({ "query": query })).expect(200)["rows"].clone()
}

/// What must be so before, during and after.
fn look(analyst: &Caller) {
    let joined = "SELECT count(*), count(DISTINCT u.email) FROM users u \
                  JOIN events e ON u.email = e.email";
    assert_eq!(sql(analyst, joined), json!([[ROWS, PEOPLE]]));
    assert_eq!(sql(analyst, "SELECT count(DISTINCT email) FROM events"), json!([[PEOPLE]]));
    let one = json!({ "query": { "term": { "email": email(17) } } });
    let found = analyst.post("/events/_search", &one).expect(200);
    assert_eq!(found["hits"]["total"]["value"], ROWS / PEOPLE);
    let words = json!({ "query": { "match_phrase": { "message": email(17) } } });
    let found = analyst.post("/events/_search", &words).expect(200);
    assert_eq!(found["hits"]["total"]["value"], ROWS / PEOPLE);
    analyst.get(&format!("/users/_doc/{}", email(17))).expect(200);
}

fn pseudonym(analyst: &Caller) -> String {
    let one = json!({ "size": 1, "query": { "term": { "email": email(17) } } });
    let found = analyst.post("/users/_search", &one).expect(200);
    found["hits"]["hits"][0]["_source"]["email"].as_str().unwrap().to_owned()
}

fn status(node: &Node) -> Value {
    node.caller("administrator").get("/_clerestory/rotation").expect(200)
}

#[test]
fn a_half_rotated_key_of_pseudonyms_leaves_one_epoch_and_the_next_start_goes_on() {
    let mut node = Node::start(BINARY);
    load(&node.caller("engineer"));
    let analyst = node.caller("analyst");
    look(&analyst);
    let old = pseudonym(&analyst);
    for role in ["analyst", "engineer", "guardian"] {
        node.caller(role).get("/_clerestory/rotation").expect(403);
        node.caller(role).send("POST", "/_clerestory/rotation", "", b"").expect(403);
    }
    let administrator = node.caller("administrator");
    let told = node.program.run_as(&administrator, &["rotate", "--status"]);
    assert!(told.contains("all pseudonyms are of epoch 1"), "{told}");
    let stolen = node.program.path("stolen-ring");
    std::fs::copy(node.program.data().join("keyring"), &stolen).unwrap();

    let begun = node.program.run_as(&administrator, &["rotate", "--json"]);
    let begun: Value = serde_json::from_str(&begun).unwrap();
    assert_eq!(begun["epoch"], 1, "{begun}");
    // Killed again and again, a little later each time, until it is done.
    let mut seen = Vec::new();
    let start = Instant::now();
    for round in 0_u64.. {
        assert!(start.elapsed() < Duration::from_secs(180), "never done: {seen:?}");
        std::thread::sleep(Duration::from_millis(30 * round));
        node.kill();
        node.serve();
        look(&node.caller("analyst"));
        let now = status(&node);
        seen.push(now["state"].as_str().unwrap().to_owned());
        if now["state"] == "done" {
            break;
        }
    }
    assert!(seen.len() > 1, "it was done before it was killed: {seen:?}");
    let analyst = node.caller("analyst");
    look(&analyst);
    let new = pseudonym(&analyst);
    assert_ne!(old, new);
    let by_old = json!({ "query": { "term": { "email": old } } });
    let found = analyst.post("/users/_search", &by_old).expect(200);
    assert_eq!(found["hits"]["total"]["value"], 0, "the old name means nothing any more");

    let ring = node.caller("administrator").get("/_clerestory/ring").expect(200);
    let generations: Vec<&Value> = ring["keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["family"] == "pseudonym")
        .map(|key| &key["generation"])
        .collect();
    assert_eq!(generations, [2]);
    // What is written now joins with what was.
    let engineer = node.caller("engineer");
    let row = json!({ "email": email(17), "message": "hello", "n": 0 });
    assert!(engineer.put("/events/_doc/one-more", &row).status < 300);
    let count = format!("SELECT count(*) FROM events WHERE email = '{}'", email(17));
    assert_eq!(sql(&analyst, &count), json!([[ROWS / PEOPLE + 1]]));
    let records = node.caller("guardian").get("/_clerestory/audit?kind=rotation").expect(200);
    let said = records["records"].to_string();
    assert!(said.contains("begun") && said.contains("key destroyed"), "{said}");

    // A second one, waited for.
    let administrator = node.caller("administrator");
    let told = node.program.run_as(&administrator, &["rotate", "--wait"]);
    assert!(told.contains("all pseudonyms are of epoch 3; it is the only one"), "{told}");

    // The ring of before has no key for what is stored now, and the start says so.
    node.kill();
    std::fs::copy(&stolen, node.program.data().join("keyring")).unwrap();
    let refused = node.program.run(&["serve", "--dir", "data", "--http", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("no key for epoch 3 of pseudonyms"), "{said}");
}
