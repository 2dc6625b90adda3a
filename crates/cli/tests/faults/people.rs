//! People: passwords, keys, sessions, roles.

use crate::{BINARY, house, recorded, search};
use conformance::{Caller, Node};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn a_default_or_empty_password() {
    let (node, _) = house();
    for (name, password) in [
        ("elastic", "changeme"),
        ("elastic", ""),
        ("admin", "admin"),
        ("root", ""),
        ("administrator", "administrator"),
        ("analyst", ""),
        ("", ""),
    ] {
        assert_eq!(
            Caller::with_password(node.url(), name, password).get("/").status,
            401,
            "{name}"
        );
    }
    let administrator = node.caller("administrator");
    for password in ["", "short", "password", "carol"] {
        let person = json!({ "name": "carol", "password": password, "roles": ["analyst"] });
        let answer = administrator.post("/_clerestory/people", &person);
        assert_eq!(answer.status, 400, "`{password}` is refused");
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(said.contains("password"), "and says why: {said}");
    }
    // A new house has no account at all, and its code works once.
    let program = conformance::Program::new(BINARY);
    let said = program.run_well(&["init", "--dir", "data", "--key-file", "ring.key"]);
    assert!(said.contains("code") || said.contains("enrol"), "{said}");
}

#[test]
fn a_stolen_key_that_has_expired() {
    let (node, needles) = house();
    let analyst = node.caller("analyst");
    let made = analyst
        .post("/_security/api_key", &json!({ "name": "short", "expiration": "1s" }))
        .expect(200);
    let stolen = Caller::with_key(node.url(), made["encoded"].as_str().unwrap());
    std::thread::sleep(Duration::from_millis(1_200));
    for _ in 0..3 {
        assert_eq!(search(&stolen).status, 401);
    }
    needles.assert_not_in("what the thief heard", &stolen.heard());
    // Refusals are counted together and written a moment later.
    let start = Instant::now();
    while recorded(&node, "login_failed").is_empty() {
        assert!(start.elapsed() < Duration::from_secs(15), "it is in the record");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn an_ex_employees_session() {
    let (node, _) = house();
    let analyst = node.caller("analyst");
    // A session in the browser, a key, and a password that was just checked.
    let session = log_in(&node, "analyst");
    let password = Caller::with_password(node.url(), "analyst", conformance::PASSWORD);
    assert_eq!(search(&password).status, 200);
    assert_eq!(page(&node, &session), 200);
    let administrator = node.caller("administrator");
    let disabled = administrator.send("POST", "/_clerestory/people/analyst/_disable", "", b"");
    assert!(disabled.status < 300, "{}", disabled.status);
    let start = Instant::now();
    loop {
        let open = [search(&analyst).status, search(&password).status, page(&node, &session)];
        if open.iter().all(|&status| status != 200) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "still open after 5 s: {open:?}");
    }
}

/// Logs in as a browser does and gives the cookie.
fn log_in(node: &Node, name: &str) -> String {
    let answer = Caller::anonymous(node.url()).send(
        "POST",
        "/_ui/login",
        "application/x-www-form-urlencoded",
        format!("name={name}&password={}", conformance::PASSWORD.replace(' ', "+")).as_bytes(),
    );
    let cookie = answer.header("set-cookie").expect("a session begins");
    cookie.split(';').next().unwrap().to_owned()
}

/// The status of the home page with this cookie; a redirect to the log-in is not 200.
fn page(node: &Node, cookie: &str) -> u16 {
    let address = node.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("GET /_ui/ HTTP/1.1\r\nhost: x\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    heard[9..12].parse().unwrap()
}

#[test]
fn an_over_broad_role() {
    let (node, needles) = house();
    // The one who makes people gives out roles, and sees no data for it, also not through a key.
    let administrator = node.caller("administrator");
    assert_ne!(search(&administrator).status, 200);
    for roles in [json!(["analyst"]), json!(["guardian"]), json!(["engineer", "administrator"])] {
        let key = administrator.post("/_clerestory/keys", &json!({ "name": "k", "roles": roles }));
        assert_eq!(key.status, 403, "a key has no role that its maker has not: {roles}");
    }
    // An analyst does not write, an engineer does not rule or approve, a guardian makes no table.
    let analyst = node.caller("analyst");
    assert_eq!(analyst.post("/things/_doc", &json!({ "colour": "red" })).status, 403);
    assert_eq!(node.caller("engineer").get("/_clerestory/audit").status, 403);
    assert_eq!(node.caller("guardian").put("/more", &json!({})).status, 403);
    needles.assert_not_in("what the administrator heard", &administrator.heard());
}
