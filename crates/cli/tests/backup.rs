//! Backups through the real binary: made while it runs and while it is killed, brought back
//! elsewhere, cleaned of a person.
#![expect(clippy::unwrap_used, reason = "tests are free")]
#![expect(clippy::disallowed_methods, reason = "folders are moved and looked for as by a person")]

use conformance::{Caller, Node, Noise, PASSWORD, totp_code};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");
const ADA: &str = "ada.quillmoor@example.org";

fn load(engineer: &Caller, from: usize, rows: usize) {
    let mut lines = String::new();
    for number in from..from + rows {
        let email =
            if number % 50 == 7 { ADA.to_owned() } else { format!("p{number}@example.org") };
        writeln!(lines, r#"{{"index":{{}}}}"#).unwrap();
        writeln!(lines, r#"{{"email":"{email}","message":"heliotrope to {email}","n":{number}}}"#)
            .unwrap();
    }
    assert_eq!(engineer.bulk("/mails/_bulk", lines.as_bytes()).expect(200)["errors"], false);
}

fn count(caller: &Caller) -> u64 {
    caller.get("/mails/_count").expect(200)["count"].as_u64().unwrap()
}

/// An empty house whose policy names the folder.
fn node_with_target() -> Node {
    let node = Node::start(BINARY);
    let to = node.program.path("backup");
    let administrator = node.caller("administrator");
    let set = ["change", "set", "backup_targets", to.to_str().unwrap(), "--why", "set-up"];
    node.program.run_as(&administrator, &set);
    node
}

fn back_up(node: &Node) -> Value {
    let to = node.program.path("backup");
    let backup = ["backup", "--to", to.to_str().unwrap(), "--json"];
    let administrator = node.caller("administrator");
    serde_json::from_str(&node.program.run_as(&administrator, &backup)).unwrap()
}

fn check(node: &Node) -> String {
    let check = ["restore", "--from", "backup", "--check", "--key-file", "ring.key"];
    node.program.run_well(&check)
}

#[test]
fn a_backup_is_noise_and_comes_back_on_another_machine_without_who_was_taken_out() {
    let mut node = node_with_target();
    load(&node.caller("engineer"), 0, 500);
    for role in ["analyst", "engineer", "guardian"] {
        let body = json!({ "to": node.program.path("backup").to_str().unwrap() });
        node.caller(role).post("/_clerestory/backups", &body).expect(403);
        node.caller(role).get("/_clerestory/backups").expect(403);
    }
    let elsewhere = ["backup", "--to", "elsewhere"];
    let refused = node.program.output_as(&node.caller("administrator"), &elsewhere);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("clerestory change set backup_targets"), "{said}");

    let first = back_up(&node);
    assert_eq!(first["set"], 1, "{first}");
    load(&node.caller("engineer"), 500, 500);
    let second = back_up(&node);
    assert!(second["bytes_copied"].as_u64() < second["bytes"].as_u64(), "{second}");
    assert!(check(&node).contains("are whole"));
    let list = node.program.run_as(&node.caller("administrator"), &["backup", "--list"]);
    assert!(list.contains("backup") && list.contains("administrator"), "{list}");

    // Nothing of it can be read without the key: no value, no word, not even noise of low entropy.
    let mut noise = Noise::new();
    for value in [ADA, "heliotrope", "administrator"] {
        noise.plant(value);
    }
    for number in [0, 1, 400, 999] {
        noise.plant(&format!("p{number}@example.org"));
    }
    noise.plant(fs::read_to_string(node.program.path("ring.key")).unwrap().trim());
    for folder in ["segments", "audit"] {
        noise.assert_below(&node.program.path("backup").join(folder));
    }
    for set in fs::read_dir(node.program.path("backup").join("sets")).unwrap() {
        let set = set.unwrap().path();
        for file in ["catalog.db", "keyring", "set.json"] {
            let bytes = fs::read(set.join(file)).unwrap();
            let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(!has(ADA) && !has("heliotrope") && !has("mails"), "{file}");
        }
    }

    // The machine is gone; another has the backup and the key.
    let records = node.caller("guardian").get("/_clerestory/audit?kind=backup").expect(200);
    assert!(records["records"].to_string().contains("made"), "{records}");
    node.kill();
    fs::rename(node.program.data(), node.program.path("gone")).unwrap();
    let restore = ["restore", "--from", "backup", "--dir", "data"];
    let wrong = node.program.path("wrong.key");
    fs::write(&wrong, "0".repeat(64)).unwrap();
    let refused = node.program.run(&[&restore[..], &["--key-file", "wrong.key"]].concat());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("key ring"), "{said}");
    assert!(!node.program.data().exists());
    let told = node.program.run_well(&[&restore[..], &["--key-file", "ring.key"]].concat());
    assert!(told.contains("accounts are disabled until two people let them in"), "{told}");
    assert!(told.contains("analyst") && told.contains("engineer"), "{told}");
    let again = node.program.run(&[&restore[..], &["--key-file", "ring.key"]].concat());
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));

    node.serve();
    node.caller("administrator").get("/_clerestory/backups").expect(401);
    Caller::with_password(node.url(), "analyst", PASSWORD).get("/mails/_count").expect(401);
    let administrator = Caller::with_password(node.url(), "administrator", PASSWORD);
    let ask = json!({ "edits": [{ "enable": { "person": "analyst" } }], "why": "she is ours" });
    let proposed = administrator.post("/_clerestory/changes", &ask).expect(200);
    assert_eq!(proposed["applied"], false, "{proposed}");
    // The guardian proves to be there, and the analyst reads what was there.
    let (guardian, secret) = person(&node, "guardian");
    let path = format!("/_clerestory/changes/{}", proposed["id"]);
    let mark = guardian.get(&path).expect(200)["mark"].clone();
    let start = Instant::now();
    loop {
        let body = json!({ "mark": mark, "present": { "code": totp_code(&secret, 1) } });
        let answer = guardian.post(&format!("{path}/_approve"), &body);
        if answer.status == 200 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{}", answer.json());
        std::thread::sleep(Duration::from_secs(2));
    }
    let analyst = Caller::with_password(node.url(), "analyst", PASSWORD);
    assert_eq!(count(&analyst), 1000);
    let hers = json!({ "query": { "term": { "email": ADA } } });
    let found = analyst.post("/mails/_search", &hers).expect(200);
    assert_eq!(found["hits"]["total"]["value"], 20, "found by the real address");
    let records = guardian.get("/_clerestory/audit?kind=restored").expect(200);
    assert!(records["records"][0]["subject"].to_string().contains("set 2 of"), "{records}");
    node.kill();
    let verify = ["audit", "verify", "--dir", "data", "--key-file", "ring.key"];
    node.program.run_well(&verify);
}

/// A person in a session, who sets up a second factor; and its secret.
fn person(node: &Node, name: &str) -> (Caller, String) {
    let by_password = Caller::with_password(node.url(), name, PASSWORD);
    let session = by_password.send("POST", "/_clerestory/session", "", b"").expect(201);
    let bearer = format!("Bearer {}", session["token"].as_str().unwrap());
    let person = Caller::with_authorization(node.url(), &bearer);
    let offered = person.post("/_clerestory/factors/totp", &json!({})).expect(200);
    let secret = offered["secret"].as_str().unwrap().to_owned();
    let first = json!({ "code": totp_code(&secret, 0) });
    person.post("/_clerestory/factors/totp/_confirm", &first).expect(200);
    (person, secret)
}

#[test]
fn a_backup_that_is_killed_leaves_the_one_before() {
    let mut node = node_with_target();
    load(&node.caller("engineer"), 0, 2_000);
    back_up(&node);
    let to = node.program.path("backup");
    let mut rows = 2_000;
    for round in 0..8_u64 {
        load(&node.caller("engineer"), rows, 500);
        rows += 500;
        let mut command = node.program.command(&["backup", "--to", to.to_str().unwrap()]);
        let administrator = node.caller("administrator");
        command
            .env("CLERESTORY_URL", administrator.url())
            .env("CLERESTORY_API_KEY", administrator.api_key())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(5 + 12 * round));
        node.kill();
        child.wait().unwrap();
        assert!(check(&node).contains("are whole"), "round {round}");
        node.serve();
    }
    let made = back_up(&node);
    assert!(check(&node).contains(&format!("set {} of", made["set"])));
    assert_eq!(parts_below(&to), 0, "what was half is gone");
    assert_eq!(count(&node.caller("analyst")), rows as u64);
}

fn parts_below(folder: &Path) -> usize {
    let found = Command::new("find").arg(folder).args(["-name", "*.part"]).output().unwrap();
    String::from_utf8_lossy(&found.stdout).lines().count()
}

#[test]
fn an_erasure_cleans_the_backups_and_the_receipt_names_them() {
    let node = node_with_target();
    load(&node.caller("engineer"), 0, 200);
    back_up(&node);
    load(&node.caller("engineer"), 200, 200);
    back_up(&node);
    let guardian = node.caller("guardian");
    let erase = ["erase", "--person", ADA, "--now", "--verify", "--json"];
    let done: Value = serde_json::from_str(&node.program.run_as(&guardian, &erase)).unwrap();
    let backups = &done["signed"]["receipt"]["backups"];
    assert_eq!(backups[0]["reached"], true, "{done}");
    let sets: Vec<String> = fs::read_dir(node.program.path("backup").join("sets"))
        .unwrap()
        .map(|set| set.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(sets, ["00000003"]);

    let restore =
        ["restore", "--from", "backup", "--dir", "other", "--key-file", "ring.key", "--json"];
    let restored: Value = serde_json::from_str(&node.program.run_well(&restore)).unwrap();
    assert_eq!((&restored["set"], &restored["erasures_since"]), (&json!(3), &json!(0)));
}
