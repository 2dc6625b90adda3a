//! Nobody widens access alone: grants, roles, settings and broken glass through the binary.
#![expect(clippy::unwrap_used, reason = "tests are free")]

use conformance::{Caller, Node, totp_code};
use serde_json::{Value, json};
use std::fs;

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");
/// Of every person that [`Node`] makes.
const PASSWORD: &str = "a long password for the test 2";

/// A node with two rows: one of the region eu, one of us.
fn house() -> Node {
    let node = Node::start(BINARY);
    fs::write(node.program.path("words"), PASSWORD).unwrap();
    let engineer = node.caller("engineer");
    engineer.put("/things", &json!({})).expect(200);
    for (id, region) in [("1", "eu"), ("2", "us")] {
        let row = json!({ "region": region, "status": "ok" });
        engineer.put(&format!("/things/_doc/{id}"), &row).expect(201);
    }
    node
}

/// A person in a session, with a second factor; and its secret.
fn person(node: &Node, name: &str) -> (Caller, String) {
    person_with(node, name, PASSWORD)
}

fn person_with(node: &Node, name: &str, password: &str) -> (Caller, String) {
    let by_password = Caller::with_password(node.url(), name, password);
    let session = by_password.send("POST", "/_clerestory/session", "", b"").expect(201);
    let bearer = format!("Bearer {}", session["token"].as_str().unwrap());
    let person = Caller::with_authorization(node.url(), &bearer);
    let offered = person.post("/_clerestory/factors/totp", &json!({})).expect(200);
    let secret = offered["secret"].as_str().unwrap().to_owned();
    let first = json!({ "code": totp_code(&secret, 0) });
    person.post("/_clerestory/factors/totp/_confirm", &first).expect(200);
    (person, secret)
}

/// Runs a command as the administrator, with a password.
fn as_admin(node: &Node, arguments: &[&str]) -> String {
    let login = ["--url", node.url(), "--login", "administrator", "--login-password-file", "words"];
    node.program.run_well(&[arguments, &login[..]].concat())
}

fn count(node: &Node, purpose: &[&str]) -> Result<i64, String> {
    let statement = ["sql", "--json", "SELECT count(*) FROM things"];
    let output = node.program.output_as(&node.caller("analyst"), &[&statement, purpose].concat());
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    Ok(answer["rows"][0][0].as_i64().unwrap())
}

#[test]
fn a_grant_waits_for_a_second_person_who_is_there() {
    let node = house();
    assert_eq!(count(&node, &[]).unwrap(), 2);

    // Taking away is instant, for keys and sessions too.
    let drop = ["user", "roles", "analyst", "--drop", "analyst", "--why", "moved on"];
    assert!(as_admin(&node, &drop).contains("in force: version"));
    assert!(count(&node, &[]).is_err());

    // Giving waits, and says what it would do.
    let give = [
        "grant",
        "give",
        "--to",
        "person:analyst",
        "--tables",
        "things",
        "--action",
        "read",
        "--class",
        "open",
        "--where",
        "region=eu",
        "--for",
        "support",
        "--why",
        "ticket 12",
    ];
    let told = as_admin(&node, &give);
    for part in [
        "change 1 is waiting",
        "why           ticket 12",
        "who gains     analyst",
        "+ analyst: read things, open, where region in [eu], for support, until",
        "analyst  things  open",
        "clerestory change approve 1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(count(&node, &["--purpose", "support"]).is_err(), "nobody approved");

    // Who may approve, and how.
    let shown = node.caller("guardian").get("/_clerestory/changes/1").expect(200);
    let mark = shown["mark"].as_str().unwrap().to_owned();
    let approve = |caller: &Caller, code: &str| {
        let body = json!({ "mark": mark, "present": { "code": code } });
        caller.post("/_clerestory/changes/1/_approve", &body)
    };
    assert_eq!(approve(&node.caller("guardian"), "123456").status, 403, "a key is no person");
    let by_password = Caller::with_password(node.url(), "guardian", PASSWORD);
    let refused = approve(&by_password, "123456").expect(403).to_string();
    assert!(refused.contains("no second factor"), "a password proves nothing: {refused}");
    let (admin, admin_secret) = person(&node, "administrator");
    let refused = approve(&admin, &totp_code(&admin_secret, 1)).expect(403).to_string();
    assert!(refused.contains("you proposed this change"), "{refused}");
    let (guardian, secret) = person(&node, "guardian");
    assert_eq!(approve(&guardian, "000000").status, 403, "a wrong code");
    let other = json!({ "mark": "0", "present": { "code": totp_code(&secret, 1) } });
    assert_eq!(guardian.post("/_clerestory/changes/1/_approve", &other).status, 409);
    assert_eq!(approve(&guardian, &totp_code(&secret, 1)).status, 403, "a code counts once");
    assert!(count(&node, &["--purpose", "support"]).is_err());
    // The one of the next half minute.
    let approved = loop {
        let answer = approve(&guardian, &totp_code(&secret, 1));
        if answer.status == 200 {
            break answer.expect(200);
        }
        std::thread::sleep(std::time::Duration::from_secs(2));
    };
    assert_eq!(approved["state"], "applied");

    // Rows, purpose and class are those of the grant.
    let refused = count(&node, &[]).unwrap_err();
    assert!(refused.contains("X-Clerestory-Purpose"), "{refused}");
    assert_eq!(count(&node, &["--purpose", "support"]).unwrap(), 1);
    let list = node.program.run_as(&node.caller("guardian"), &["change", "list"]);
    assert!(list.contains("applied") && list.contains("approved by guardian"), "{list}");
    let reach =
        node.program.run_as(&node.caller("guardian"), &["grant", "reach", "--person", "analyst"]);
    assert!(reach.contains("read, where region in [eu], for support, until"), "{reach}");

    // Taken back by its number, at once.
    let grants = node.caller("guardian").get("/_clerestory/grants").expect(200);
    let given = grants["grants"].as_array().unwrap().last().unwrap()["id"].to_string();
    let login = |arguments: &[&str]| {
        let body = json!({ "edits": [{ "revoke": given.parse::<u64>().unwrap() }], "why": "over" });
        assert!(arguments.is_empty());
        admin.post("/_clerestory/changes", &body).expect(200)
    };
    assert_eq!(login(&[])["applied"], true);
    assert!(count(&node, &["--purpose", "support"]).is_err());

    let records = node.caller("guardian").get("/_clerestory/audit?limit=1000").expect(200);
    let kinds: Vec<&str> = records["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["kind"].as_str())
        .collect();
    for kind in ["policy_changed", "change_proposed", "change_approved"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
}

#[test]
fn accounts_settings_and_listeners_take_two() {
    let mut node = house();
    fs::write(node.program.path("new-words"), "another long password").unwrap();
    let create = ["user", "create", "nova", "--role", "analyst", "--password-file", "new-words"];
    let told = as_admin(&node, &create);
    assert!(told.contains("becomes analyst when a second person approves change 1"), "{told}");
    let nova = Caller::with_password(node.url(), "nova", "another long password");
    assert_eq!(nova.get("/things/_search").status, 404, "without a role there is nothing");

    let set = ["change", "set", "listeners", "192.0.2.7:9200", "--why", "a second office"];
    assert!(as_admin(&node, &set).contains("listeners: none -> 192.0.2.7:9200"));
    let shown = as_admin(&node, &["change", "set"]);
    assert!(shown.contains("listeners") && shown.contains("grant_days_max"), "{shown}");
    let tighter = ["change", "set", "break_glass", "false", "--why", "no need"];
    assert!(as_admin(&node, &tighter).contains("in force"));

    let reset = ["user", "password", "analyst", "--password-file", "new-words"];
    let login = ["--url", node.url(), "--login", "administrator", "--login-password-file", "words"];
    let refused = node.program.run(&[&reset[..], &login[..]].concat());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("takes a second person"), "{said}");
    let propose = ["change", "propose", "--reset-password", "analyst", "--why", "forgotten"];
    assert!(as_admin(&node, &propose).contains("a new password for analyst"));
    let withdrawn = as_admin(&node, &["change", "withdraw", "3"]);
    assert!(withdrawn.contains("change 3 is withdrawn"), "{withdrawn}");

    // It is all there after kill -9.
    node.kill();
    node.serve();
    let list = as_admin(&node, &["change", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let states: Vec<&str> = list["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["state"].as_str())
        .collect();
    assert_eq!(states, ["withdrawn", "waiting", "waiting"]);
}

#[test]
fn everybody_is_told_who_breaks_the_glass() {
    let node = house();
    let (engineer, secret) = person(&node, "engineer");
    let smash = |tables: &str, class: &str, code: &str| {
        let body = json!({ "tables": tables, "class": class, "why": "outage 7",
                           "present": { "code": code } });
        engineer.post("/_clerestory/break-glass", &body)
    };
    assert_eq!(smash("things", "special", "000000").status, 403);
    let broken = smash("things", "special", &totp_code(&secret, 1)).expect(200);
    assert_eq!(broken["state"], "break-glass");
    let effect = broken["effect"][0].as_str().unwrap();
    assert!(effect.starts_with("+ engineer: read things, up to special, until"), "{effect}");
    let told = node.caller("analyst").get("/_clerestory/notices").expect(200).to_string();
    assert!(told.contains("engineer broke the glass"), "{told}");
    let records = node.caller("guardian").get("/_clerestory/audit?kind=glass_broken").expect(200);
    assert!(records.to_string().contains("outage 7"), "{records}");
    let log = fs::read_to_string(node.program.log()).unwrap();
    assert!(log.contains("broke the glass"), "the log says so too");
}

#[test]
fn what_two_people_agree_on_is_carried_out() {
    let node = house();
    let engineer = node.caller("engineer");
    let closed = json!({ "settings": { "index.clerestory.intake": "closed" } });
    engineer.put("/visits", &closed).expect(200);
    engineer.put("/visits/_doc/1", &json!({ "shelf": "under the larch" })).expect(201);
    let hit = || node.caller("analyst").post("/visits/_search", &json!({})).expect(200).to_string();
    assert!(!hit().contains("larch"), "withheld");

    // A ruling of one guardian, agreed to by another.
    let second = ("root-of-the-test", "a long password for the test 1");
    fs::write(node.program.path("words"), second.1).unwrap();
    let rule =
        ["rule", "set", "visits", "shelf", "--class", "open", "--reason", "a place in a shop"];
    let told = node.program.run_as(&node.caller("guardian"), &rule);
    assert!(told.contains("change 1 waits for a second person"), "{told}");
    let approve = |caller: &Caller, secret: &str, id: u64| {
        let shown = caller.get(&format!("/_clerestory/changes/{id}")).expect(200);
        let body = json!({ "mark": shown["mark"], "present": { "code": totp_code(secret, 1) } });
        caller.post(&format!("/_clerestory/changes/{id}/_approve"), &body).expect(200)
    };
    let (root, secret) = person_with(&node, second.0, second.1);
    assert_eq!(approve(&root, &secret, 1)["state"], "applied");
    let began = std::time::Instant::now();
    while !hit().contains("larch") {
        assert!(began.elapsed().as_secs() < 30, "{}", hit());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let history = node.caller("guardian").get("/_clerestory/rulings/visits/shelf").expect(200);
    assert_eq!(history["history"][0]["by"], "guardian, root-of-the-test");

    // A password, set by the administrator once.
    fs::write(node.program.path("words"), PASSWORD).unwrap();
    fs::write(node.program.path("new-words"), "another long password").unwrap();
    as_admin(&node, &["change", "propose", "--reset-password", "analyst", "--why", "forgotten"]);
    let (guardian, secret) = person(&node, "guardian");
    assert_eq!(approve(&guardian, &secret, 2)["state"], "applied");
    let set = ["user", "password", "analyst", "--password-file", "new-words"];
    assert!(as_admin(&node, &set).contains("has a new password"));
    Caller::with_password(node.url(), "analyst", "another long password").get("/").expect(200);
    let login = ["--url", node.url(), "--login", "administrator", "--login-password-file", "words"];
    assert!(!node.program.run(&[&set[..], &login[..]].concat()).status.success(), "once");
}
