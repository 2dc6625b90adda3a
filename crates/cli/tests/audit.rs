//! No answer without a record: what happens to the server when the audit record cannot be written.

use conformance::{Answer, Caller, Node};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

/// A house with a table of one row.
fn house() -> Node {
    let node = Node::start(BINARY);
    node.caller("engineer").put("/things", &json!({})).expect(200);
    node.caller("engineer").post("/things/_doc", &json!({ "colour": "green" })).expect(201);
    node
}

fn search(node: &Node) -> Answer {
    node.caller("analyst").post("/things/_search", &json!({}))
}

/// Every way to read is refused, and tells nothing of what is stored.
fn check_nothing_is_read(node: &Node) {
    let analyst = node.caller("analyst");
    let statement = json!({ "query": "SELECT colour FROM things" });
    for answer in [
        search(node),
        analyst.post("/things/_count", &json!({})),
        analyst.post("/_sql", &statement),
        node.caller("guardian").get("/_clerestory/audit"),
    ] {
        assert_eq!(answer.status, 503, "{}", String::from_utf8_lossy(&answer.body));
        assert!(!String::from_utf8_lossy(&answer.body).contains("green"));
    }
    let wanted = json!({ "name": "new", "password": "a long password", "roles": ["analyst"] });
    assert_eq!(node.caller("administrator").post("/_clerestory/people", &wanted).status, 503);
}

/// The server goes on by itself, and the record is whole.
fn check_all_is_well(node: &mut Node) {
    let start = Instant::now();
    while search(node).status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "the server does not go on");
        std::thread::sleep(Duration::from_millis(100));
    }
    node.kill();
    node.program.run_well(&["audit", "verify", "--dir", "data"]);
    node.serve();
    assert_eq!(search(node).status, 200);
}

fn newest_file(node: &Node) -> PathBuf {
    let folder = node.program.data().join("audit");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of the record is there")
        .map(|entry| entry.expect("the folder of the record is there").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "audit"));
    files.into_iter().max().expect("the folder of the record is there")
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_reads_and_nothing_else() {
    let mut node = house();
    node.serve_with_limits_as_errors();
    assert_eq!(search(&node).status, 200);
    let process = node.process().expect("the server runs").to_string();
    // No file of the process may grow beyond what the audit file is now.
    let limit = |limit: &str| {
        let done = Command::new("prlimit").args(["--pid", &process, limit]).status();
        assert!(done.expect("prlimit can be run").success());
    };
    let bytes = fs::metadata(newest_file(&node)).expect("the folder of the record is there").len();
    limit(&format!("--fsize={bytes}:"));
    check_nothing_is_read(&node);
    limit("--fsize=unlimited:");
    check_all_is_well(&mut node);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the folder is moved as by a person")]
fn a_folder_taken_away_stops_reads_until_it_is_back() {
    let mut node = house();
    let folder = node.program.data().join("audit");
    let aside = node.program.path("aside");
    fs::rename(&folder, &aside).expect("the folder of the record is there");
    check_nothing_is_read(&node);
    fs::create_dir(&folder).expect("the folder of the record is there");
    check_nothing_is_read(&node);
    fs::remove_dir(&folder).expect("the folder of the record is there");
    // Somebody shuts a thief out meanwhile; the record of it comes later.
    let revoked = node.caller("analyst");
    let id = revoked.get("/_security/_authenticate").expect(200)["api_key"]["id"].clone();
    let id = id.as_str().expect("the id of a key").to_owned();
    let administrator = node.caller("administrator");
    administrator.send("DELETE", &format!("/_clerestory/keys/{id}"), "application/json", b"");
    assert_eq!(revoked.post("/things/_search", &json!({})).status, 401);
    fs::rename(&aside, &folder).expect("the folder of the record is there");
    let guardian = node.caller("guardian");
    let start = Instant::now();
    while guardian.get("/_clerestory/audit").status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "the server does not go on");
        std::thread::sleep(Duration::from_millis(100));
    }
    let found = guardian.get("/_clerestory/audit?kind=key_revoked").expect(200);
    assert_eq!(found["records"][0]["subject"], json!(id));
    assert_eq!(found["records"][0]["outcome"], json!("done"));
    node.kill();
    node.program.run_well(&["audit", "verify", "--dir", "data"]);
}

#[test]
fn log_ins_are_recorded_and_what_was_typed_is_not() {
    let node = Node::start(BINARY);
    for _ in 0..3 {
        let wrong = Caller::with_password(node.url(), "analyst", "wrong-password-of-ann");
        assert_eq!(wrong.get("/").status, 401);
        let typed = Caller::with_password(node.url(), "swordfish-in-the-wrong-box", "x");
        assert_eq!(typed.get("/").status, 401);
    }
    let guardian = node.caller("guardian");
    let failed = || {
        let found = guardian.get("/_clerestory/audit?kind=login_failed").expect(200);
        found["records"].as_array().cloned().unwrap_or_default()
    };
    let start = Instant::now();
    while failed().len() < 2 {
        assert!(start.elapsed() < Duration::from_secs(30), "failed log-ins are not recorded");
        std::thread::sleep(Duration::from_millis(250));
    }
    let text = Value::from(failed()).to_string();
    assert!(!text.contains("wrong-password") && !text.contains("swordfish"), "{text}");
    let times = |who: &str| -> u64 {
        let of = failed().into_iter().filter(|record| record["who"] == who);
        of.filter_map(|record| record["times"].as_u64()).sum()
    };
    assert_eq!((times("analyst"), times("")), (3, 3));
    let made = guardian.get("/_clerestory/audit?kind=person_created").expect(200);
    assert!(made["records"].as_array().is_some_and(|made| made.len() == 2 * 5), "{made}");
}

#[test]
fn a_witness_signs_what_agrees_and_names_what_does_not() {
    let mut node = house();
    let witness = ["audit", "witness", "--key", "witness.key"];
    let wait_for = |node: &Node| {
        // A checkpoint follows within a second.
        std::thread::sleep(Duration::from_millis(1500));
        node.program.output_as(&node.caller("guardian"), &witness)
    };
    let first = wait_for(&node);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let output = node.program.output_as(&node.caller("analyst"), &witness);
    assert!(!output.status.success(), "an analyst is no witness");
    for _ in 0..5 {
        assert_eq!(search(&node).status, 200);
    }
    let second = wait_for(&node);
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_ne!(first.stdout, second.stdout);
    node.kill();
    let seen = fs::read_to_string(node.program.path("witness.key.seen")).expect("a note");
    assert!(seen.contains("clerestory.witness "), "{seen}");
    let verify = ["audit", "verify", "--dir", "data", "--checkpoint", "witness.key.seen"];
    node.program.run_well(&verify);

    // Somebody throws the record away, and the server begins another one under the same keys.
    fs::remove_dir_all(node.program.data().join("audit")).expect("the folder is there");
    fs::remove_file(node.program.data().join("audit.head")).expect("the head is there");
    node.serve();
    assert_eq!(search(&node).status, 200);
    let output = wait_for(&node);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("went back"), "{text}");
    node.kill();
    node.program.run_well(&["audit", "verify", "--dir", "data"]);
    let output = node.program.run(&verify);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("cut off"), "{text}");
}

#[test]
fn who_was_exposed_is_answered_and_recorded() {
    let node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    for (id, email) in
        [("1", "ada@example.org"), ("2", "bob@example.org"), ("3", "ada@example.org")]
    {
        let document = json!({ "email": email, "colour": "green", "at": id });
        engineer.put(&format!("/people/_doc/{id}"), &document).expect(201);
    }
    let analyst = node.caller("analyst");
    let of = |email: &str| json!({ "query": { "term": { "email": email } } });
    analyst.post("/people/_search", &of("ada@example.org")).expect(200);
    engineer.post("/people/_search", &of("bob@example.org")).expect(200);
    analyst.post("/people/_count", &of("ada@example.org")).expect(200);
    // No personal field is touched here.
    let colours = json!({ "_source": ["colour"], "query": { "term": { "colour": "green" } } });
    engineer.post("/people/_search", &colours).expect(200);

    let guardian = node.caller("guardian");
    let ask = |asked: &Value| {
        // End records follow within a fraction of a second.
        std::thread::sleep(Duration::from_millis(500));
        guardian.post("/_clerestory/exposure", asked).expect(200)
    };
    let all = ask(&json!({ "table": "people", "class": "personal" }));
    let reader = |answer: &Value, who: &str| {
        let readers = answer["did_read"].as_array().cloned().unwrap_or_default();
        readers.into_iter().find(|reader| reader["who"] == who).unwrap_or_default()
    };
    assert_eq!(reader(&all, "analyst")["rows"], json!(2), "{all:#}");
    assert_eq!(reader(&all, "analyst")["reads"], json!(1), "{all:#}");
    assert_eq!(reader(&all, "analyst")["computations"], json!(1), "{all:#}");
    assert_eq!(reader(&all, "engineer")["rows"], json!(1), "{all:#}");
    assert_eq!((&all["rows_read"], &all["people_read"]), (&json!(3), &json!(2)), "{all:#}");
    let could: Vec<&str> = all["could_read"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["who"].as_str())
        .collect();
    assert!(could.contains(&"analyst") && !could.contains(&"administrator"), "{all:#}");

    let ends = guardian.get("/_clerestory/audit?kind=read_end&who=analyst").expect(200);
    let subjects = ends["records"].as_array().into_iter().flatten();
    let subjects: Vec<u64> = subjects.filter_map(|end| end["subjects"].as_u64()).collect();
    assert_eq!(subjects, [1], "two rows, one person: {ends:#}");

    let ada = ask(&json!({ "table": "people", "class": "personal", "person": "ada@example.org" }));
    assert_eq!(ada["rows_of_person"], json!(2), "{ada:#}");
    assert_eq!(reader(&ada, "analyst")["rows"], json!(2), "{ada:#}");
    assert_eq!(reader(&ada, "engineer"), Value::Null, "the engineer read bob: {ada:#}");
    let found = guardian.get("/_clerestory/audit?kind=exposure_asked").expect(200);
    assert_eq!(found["records"].as_array().map(Vec::len), Some(2));
    assert!(!found.to_string().contains("ada@example.org"), "{found}");
    assert_eq!(analyst.post("/_clerestory/exposure", &json!({})).status, 400);
    let asked = json!({ "table": "people", "class": "personal" });
    assert_eq!(analyst.post("/_clerestory/exposure", &asked).status, 403);

    let text = node.program.run_as(
        &guardian,
        &["exposure", "--table", "people", "--class", "personal", "--from", "2020-01-01"],
    );
    assert!(text.contains("could read") && text.contains("3 rows of 2 people went out"), "{text}");
}

#[test]
fn a_second_folder_is_named_by_the_policy_and_holds_the_same() {
    let mut node = Node::start(BINARY);
    let copy = node.program.path("elsewhere");
    let folder = copy.to_str().expect("a path that is text").to_owned();
    let set = ["change", "set", "audit_sinks", &folder, "--why", "another disk"];
    node.program.run_as(&node.caller("guardian"), &set);
    node.caller("engineer").put("/things", &json!({})).expect(200);
    node.caller("engineer").post("/things/_doc", &json!({ "colour": "green" })).expect(201);
    assert_eq!(search(&node).status, 200);
    let guardian = node.caller("guardian");
    let state = || guardian.get("/_clerestory/audit/checkpoint").expect(200);
    let start = Instant::now();
    while state()["sinks"].as_array().is_none_or(|sinks| sinks.len() < 2)
        || !state()["sinks"][1]["trouble"].is_null()
    {
        assert!(start.elapsed() < Duration::from_secs(30), "no second folder: {:#}", state());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(search(&node).status, 200);
    node.kill();
    let verify = ["audit", "verify", "--dir", "data", "--copy", &folder];
    node.program.run_well(&verify);

    // The record is taken away; the copy has it, and the next start goes on from there.
    fs::remove_dir_all(node.program.data().join("audit")).expect("the folder is there");
    node.serve();
    assert_eq!(search(&node).status, 200);
    node.kill();
    node.program.run_well(&verify);

    // A byte of the copy is turned: named, and the server goes on without it.
    let file = copy.join("00000001.audit");
    let mut bytes = fs::read(&file).expect("the copy is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("the copy can be written");
    let output = node.program.run(&verify);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("was changed"), "{text}");
}
