//! What the policy rules beside grants: the company's own rules, key export, listeners; through the
//! binary.
#![expect(clippy::unwrap_used, reason = "tests are free")]

use conformance::{Caller, Node, PASSWORD, Program, totp_code};
use serde_json::{Value, json};
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

const RULES: &str = r"
texts:
  - name: loyalty number
    kind: loyalty
    class: personal
    pattern: '\bLC-[0-9]{8}\b'
    takes: ['paid with ‹LC-20190426›']
    leaves: ['LC-2019']
fields:
  - name: shelf of a locker
    kind: locker
    class: personal
    fields: [locker_shelf]
    takes: [locker_shelf=B7]
";

/// A person in a session, with a second factor; and its secret.
fn person(node: &Node, name: &str, password: &str) -> (Caller, String) {
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

fn approve(caller: &Caller, secret: &str, id: &Value) -> Value {
    let shown = caller.get(&format!("/_clerestory/changes/{id}")).expect(200);
    let body = json!({ "mark": shown["mark"], "present": { "code": totp_code(secret, 1) } });
    caller.post(&format!("/_clerestory/changes/{id}/_approve"), &body).expect(200)
}

/// The text of the newest row that was put in, as somebody reads it.
fn stored(node: &Node, id: &str, text: &str) -> String {
    let row = json!({ "note": text, "kept": "yes" });
    node.caller("engineer").put(&format!("/visits/_doc/{id}"), &row).expect(201);
    let read = node.caller("analyst").get(&format!("/visits/_doc/{id}")).expect(200);
    read["_source"]["note"].as_str().unwrap().to_owned()
}

#[test]
fn a_company_adds_its_own_rules_and_two_remove_them() {
    let mut node = Node::start(BINARY);
    assert!(stored(&node, "1", "refund to LC-20190001").contains("LC-20190001"));
    fs::write(node.program.path("rules.yaml"), RULES).unwrap();
    let guardian = node.caller("guardian");
    let add = ["rule", "own", "add", "--file", "rules.yaml", "--why", "our loyalty cards"];
    let refused = node.program.output_as(&node.caller("analyst"), &add);
    assert!(!refused.status.success(), "analysts do not rule");
    // A rule that does not do what its examples say is not taken, and no example is quoted.
    let broken = RULES.replace("{8}", "{9}");
    fs::write(node.program.path("broken.yaml"), broken).unwrap();
    let said = node
        .program
        .output_as(&guardian, &["rule", "own", "add", "--file", "broken.yaml", "--why", "x"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("rule `loyalty number` (line 3): example 1 of `takes`"), "{said}");
    assert!(!said.contains("20190426"), "{said}");

    assert!(node.program.run_as(&guardian, &add).contains("in force: version"));
    let hidden = stored(&node, "2", "refund to LC-20190002");
    assert!(hidden.starts_with("refund to loyalty:"), "{hidden}");
    let found = node.caller("analyst").post(
        "/visits/_count",
        &json!({ "query": { "match": { "note": hidden.rsplit(' ').next().unwrap() } } }),
    );
    assert_eq!(found.expect(200)["count"], 1, "the pseudonym is there to be found");
    let engineer = node.caller("engineer");
    engineer.put("/lockers/_doc/1", &json!({ "locker_shelf": "B7" })).expect(201);
    let read = node.caller("analyst").get("/lockers/_doc/1").expect(200);
    let shelf = read["_source"]["locker_shelf"].as_str().unwrap();
    assert!(shelf.starts_with("locker:"), "{shelf}");

    let kinds = node.program.run_as(&guardian, &["rule", "kinds"]);
    assert!(kinds.contains("loyalty") && kinds.contains("email"), "{kinds}");
    let list = node.program.run_as(&guardian, &["rule", "own", "list"]);
    assert!(list.contains("name: loyalty number") && list.contains("LC-[0-9]{8}"), "{list}");

    // It holds after kill -9, before anybody says anything.
    node.kill();
    node.serve();
    let hidden = stored(&node, "3", "refund to LC-20190003");
    assert!(hidden.starts_with("refund to loyalty:"), "{hidden}");

    // Removing lets more be seen: a second guardian has to agree.
    let remove = ["rule", "own", "remove", "loyalty number", "--why", "cards are gone"];
    let told = node.program.run_as(&node.caller("guardian"), &remove);
    for part in
        ["change 1 is waiting", "rule loyalty number: loyalty, personal, in text", "-> none"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(stored(&node, "4", "refund to LC-20190004").starts_with("refund to loyalty:"));
    let (root, secret) = person(&node, "root-of-the-test", "a long password for the test 1");
    assert_eq!(approve(&root, &secret, &json!(1))["state"], "applied");
    assert!(stored(&node, "5", "refund to LC-20190005").contains("LC-20190005"));
    let unknown = ["rule", "own", "remove", "loyalty number", "--why", "again"];
    let said = node.program.output_as(&node.caller("guardian"), &unknown);
    assert!(String::from_utf8_lossy(&said.stderr).contains("there is no rule `loyalty number`"));
    let policy = node.caller("guardian").get("/_clerestory/audit?kind=policy_changed").expect(200);
    assert!(policy.to_string().contains("rules added: shelf of a locker, loyalty number"));
}

#[test]
fn keys_leave_only_if_two_people_agree() {
    let node = Node::start(BINARY);
    stored(&node, "1", "chartreuse-heron");
    let (administrator, app) = person(&node, "administrator", PASSWORD);
    let export = |code: &str, passphrase: &str| {
        let body = json!({ "passphrase": passphrase, "present": { "code": code } });
        administrator.post("/_clerestory/ring/_export", &body)
    };
    let refused = export(&totp_code(&app, 1), "correct horse battery staple").expect(403);
    assert!(refused.to_string().contains("clerestory change set key_export"), "{refused}");
    let edits = json!({ "edits": [{ "setting": { "name": "key_export", "value": true } }],
                        "why": "escrow with the notary" });
    let change = administrator.post("/_clerestory/changes", &edits).expect(200);
    assert_eq!(change["state"], "waiting");
    let (guardian, secret) = person(&node, "guardian", PASSWORD);
    assert_eq!(approve(&guardian, &secret, &change["id"])["state"], "applied");

    for role in ["analyst", "engineer", "guardian"] {
        let body =
            json!({ "passphrase": "correct horse battery staple", "present": { "code": "1" } });
        assert_eq!(
            node.caller(role).post("/_clerestory/ring/_export", &body).status,
            403,
            "{role}"
        );
    }
    assert_eq!(export("000000", "correct horse battery staple").status, 403, "a wrong code");
    // A code counts once: of the next half minute.
    let ring = loop {
        let answer = export(&totp_code(&app, 1), "correct horse battery staple");
        if answer.status == 200 {
            break answer.expect(200)["keyring"].as_str().unwrap().to_owned();
        }
        std::thread::sleep(Duration::from_secs(2));
    };
    let told = node.caller("analyst").get("/_clerestory/notices").expect(200).to_string();
    assert!(told.contains("administrator took the key ring out"), "{told}");
    let recorded = node.caller("guardian").get("/_clerestory/audit?kind=key_ring_changed");
    assert!(recorded.expect(200).to_string().contains("export"));

    // With it, and the passphrase, a copy of the folder opens elsewhere; without, it does not.
    let other = Program::new(BINARY);
    let done = Command::new("cp").arg("-a").args([node.program.data(), other.data()]).status();
    assert!(done.unwrap().success());
    fs::write(other.data().join("keyring"), ring).unwrap();
    fs::write(other.path("right"), "correct horse battery staple").unwrap();
    fs::write(other.path("wrong"), "incorrect horse battery staple").unwrap();
    let verify =
        |words: &str| other.run(&["audit", "verify", "--dir", "data", "--passphrase-file", words]);
    assert!(!verify("wrong").status.success());
    let opened = verify("right");
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
}

/// An address of this machine that others reach, without sending anything.
fn outer_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

#[test]
fn a_listener_that_is_taken_back_shuts_its_door() {
    let mut node = Node::start(BINARY);
    // While the house is founded, whoever starts it says where it listens.
    let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let address = format!("0.0.0.0:{port}");
    node.serve_at(&address);
    let reach = |host: &str| {
        std::net::TcpStream::connect_timeout(
            &format!("{host}:{port}").parse().unwrap(),
            Duration::from_secs(1),
        )
        .is_ok()
    };
    assert!(reach("127.0.0.1"));
    if let Some(outer) = outer_address() {
        assert!(reach(&outer));
    }
    let body = json!({ "edits": [{ "setting": { "name": "listeners", "value": [] } }],
                       "why": "only this machine" });
    fs::write(node.program.path("edits.json"), body["edits"].to_string()).unwrap();
    fs::write(node.program.path("words"), PASSWORD).unwrap();
    let certificate = node.program.data().join("tls/certificate.pem");
    let propose = [
        "change",
        "propose",
        "edits.json",
        "--why",
        "only this machine",
        "--url",
        node.url(),
        "--ca",
        certificate.to_str().unwrap(),
        "--login",
        "administrator",
        "--login-password-file",
        "words",
    ];
    assert!(node.program.run_well(&propose).contains("in force"));
    let start = Instant::now();
    while reach("127.0.0.1") {
        assert!(start.elapsed() < Duration::from_secs(5), "the door is shut within five seconds");
        std::thread::sleep(Duration::from_millis(200));
    }
    // The next start does not open it either, once there is something to see.
    node.serve();
    stored(&node, "1", "chartreuse-heron");
    node.kill();
    let refused = node.program.run(&["serve", "--dir", "data", "--http", &address]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("is not among the listeners"), "{said}");
}
