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
