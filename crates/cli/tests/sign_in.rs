//! How people prove who they are, and how fast somebody is shut out, through the binary.

use conformance::{Caller, Node, totp_code};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");
/// Of every person that [`Node`] makes.
const PASSWORD: &str = "a long password for the test 2";

fn guardian(node: &Node) -> Caller {
    Caller::with_password(node.url(), "guardian", PASSWORD)
}

/// What `POST` with a body answers, and its status.
fn post(caller: &Caller, path: &str, body: &Value) -> (u16, Value) {
    let answer = caller.post(path, body);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[test]
fn a_second_factor_closes_the_way_with_a_password_alone() {
    let node = Node::start(BINARY);
    fs::write(node.program.path("words"), PASSWORD).unwrap();
    let url = node.url().to_owned();
    let login = ["--url", &url, "--login", "guardian", "--login-password-file", "words"];
    let run = |arguments: &[&str]| node.program.run(&[arguments, &login[..]].concat());
    let well = |arguments: &[&str]| node.program.run_well(&[arguments, &login[..]].concat());

    assert!(well(&["user", "factors"]).contains("app for codes: none"));
    let offered: Value = serde_json::from_str(&well(&["user", "totp", "enrol", "--json"])).unwrap();
    let secret = offered["secret"].as_str().unwrap();
    assert!(offered["uri"].as_str().unwrap().starts_with("otpauth://totp/Clerestory:guardian?"));
    let wrong = run(&["user", "totp", "confirm", "000000"]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("the code is not valid") && said.contains("check the clock"), "{said}");
    let shown = well(&["user", "totp", "confirm", &totp_code(secret, 0)]);
    let recovery: Vec<&str> = shown.lines().collect();
    assert_eq!(recovery.len(), 10, "{shown}");

    let closed = run(&["user", "factors"]);
    let said = String::from_utf8_lossy(&closed.stderr).into_owned();
    assert!(!closed.status.success() && said.contains("--login-code"), "{said}");
    let nobody = Caller::anonymous(&url).get("/").body;
    assert_eq!(guardian(&node).get("/").body, nobody, "told nothing that others are not told");
    let form = format!("name=guardian&password={}", PASSWORD.replace(' ', "+"));
    let browser = |more: &str| {
        let body = format!("{form}{more}");
        let kind = "application/x-www-form-urlencoded";
        Caller::anonymous(&url).send("POST", "/_ui/login", kind, body.as_bytes()).status
    };
    assert_eq!(browser(""), 401);
    let later = totp_code(secret, 1);
    assert!(well(&["user", "factors", "--login-code", &later]).contains("app for codes: set up"));
    let again = run(&["user", "factors", "--login-code", &later]);
    assert!(!again.status.success(), "a code counts once");
    assert_eq!(browser(&format!("&code={}", recovery[0])), 303);
    assert_eq!(browser(&format!("&code={}", recovery[0])), 401, "on paper, too");
    // Programs go on with their keys.
    node.caller("guardian").get("/_clerestory/audit?limit=1").expect(200);

    let reset =
        node.program.run_as(&node.caller("administrator"), &["user", "reset-factors", "guardian"]);
    assert!(reset.contains("no second factor any more"), "{reset}");
    assert!(well(&["user", "factors"]).contains("it can approve from"));
    let records = node.caller("guardian").get("/_clerestory/audit?kind=person_changed&limit=100");
    let records = records.expect(200).to_string();
    for what in ["app offered", "app set up", "all removed"] {
        assert!(records.contains(what), "{what}: {records}");
    }
    let log = fs::read_to_string(node.program.log()).unwrap();
    for value in [secret, recovery[0], recovery[9], PASSWORD, later.as_str()] {
        assert!(!log.contains(value) && !records.contains(value), "a secret in log or record");
    }
}

#[test]
fn scripts_of_a_browser_are_asked_for_a_key() {
    let node = Node::start(BINARY);
    let by_address = post(&guardian(&node), "/_clerestory/factors/keys/_begin", &json!({}));
    assert_eq!(by_address.0, 400);
    assert!(by_address.1.to_string().contains("open this server by its name"), "{}", by_address.1);
    let url = node.url().replace("127.0.0.1", "localhost");
    let here = Caller::with_password(&url, "guardian", PASSWORD);
    let (status, options) = post(&here, "/_clerestory/factors/keys/_begin", &json!({}));
    assert_eq!((status, &options["publicKey"]["rp"]["id"]), (200, &json!("localhost")));
    let junk = json!({ "name": "x", "clientDataJSON": "e30", "attestationObject": "AA" });
    let (status, refused) = post(&here, "/_clerestory/factors/keys", &junk);
    assert_eq!(status, 403);
    assert!(refused.to_string().contains("use a current browser"), "{refused}");
    let (status, refused) = post(&here, "/_clerestory/presence/_ask", &json!({ "about": "x" }));
    assert_eq!(status, 403);
    assert!(refused.to_string().contains("there is no second factor"), "{refused}");
    let program = Caller::with_key(&url, node.caller("guardian").api_key());
    let (status, refused) = post(&program, "/_clerestory/factors/keys/_begin", &json!({}));
    assert_eq!(status, 403, "{refused}");
    assert!(refused.to_string().contains("log in, an API key cannot do this"), "{refused}");
    // Nobody learns from the page whether an account has a key.
    let nobody = Caller::anonymous(&url).get("/").body;
    let kind = "application/x-www-form-urlencoded";
    for form in ["name=guardian&password=wrong", "name=nobody&password=x", ""] {
        let answer = Caller::anonymous(&url).send("POST", "/_ui/login/key", kind, form.as_bytes());
        assert_eq!((answer.status, &answer.body), (401, &nobody), "{form}");
    }
    // No provider is set up: the log-in page again, and nothing of what is missing.
    let away = Caller::anonymous(&url).get("/_ui/oidc");
    assert_eq!((away.status, away.header("location")), (303, Some("/_ui/login")));
    assert_eq!(Caller::anonymous(&url).get("/_ui/oidc/callback?state=a&code=b").status, 401);
}

#[test]
fn the_companys_directory_adds_people_and_shuts_them_out_at_once() {
    let node = Node::start(BINARY);
    let key = node.caller("administrator").api_key().to_owned();
    let scim = Caller::with_authorization(node.url(), &format!("Bearer {key}"));
    let users = "/_clerestory/scim/v2/Users";
    let send = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = scim.send(method, path, "application/scim+json", &body);
        let kind = answer.header("content-type").unwrap_or("").to_owned();
        if !answer.body.is_empty() {
            assert_eq!(kind, "application/scim+json", "{method} {path}");
        }
        (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap_or_default())
    };
    let ada = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "Ada@example.org", "externalId": "00u1", "active": true,
        "name": { "givenName": "Ada" },
    });
    let (status, made) = send("POST", users, &ada);
    assert_eq!(
        (status, &made["id"], &made["active"]),
        (201, &json!("ada@example.org"), &json!(true))
    );
    let (status, twice) = send("POST", users, &ada);
    assert_eq!((status, &twice["scimType"]), (409, &json!("uniqueness")));
    let (_, found) =
        send("GET", &format!("{users}?filter=userName%20eq%20%22ada@example.org%22"), &Value::Null);
    assert_eq!(
        (&found["totalResults"], &found["Resources"][0]["externalId"]),
        (&json!(1), &json!("00u1"))
    );
    let (_, none) =
        send("GET", &format!("{users}?filter=userName+eq+%22guardian%22"), &Value::Null);
    assert_eq!(none["totalResults"], 0, "people of our own are not the directory's");
    let (status, wrong) = send("GET", &format!("{users}?filter=name+sw+%22a%22"), &Value::Null);
    assert_eq!((status, &wrong["scimType"]), (400, &json!("invalidFilter")));
    assert_eq!(send("GET", "/_clerestory/scim/v2/ServiceProviderConfig", &Value::Null).0, 200);

    let one = format!("{users}/ada@example.org");
    let off = json!({ "Operations": [{ "op": "Replace", "path": "active", "value": "False" }] });
    let (status, shut) = send("PATCH", &one, &off);
    assert_eq!((status, &shut["active"]), (200, &json!(false)));
    let on = json!({ "Operations": [{ "op": "replace", "value": { "active": true } }] });
    let (status, waits) = send("PATCH", &one, &on);
    assert_eq!(status, 403);
    assert!(waits["detail"].as_str().unwrap().contains("waits for a second person"), "{waits}");
    let renamed = json!({ "userName": "bob", "active": false });
    assert_eq!(send("PUT", &one, &renamed).1["scimType"], json!("mutability"));
    let kept = json!({ "userName": "ada@example.org", "active": false, "externalId": "00u2" });
    assert_eq!(send("PUT", &one, &kept).1["externalId"], json!("00u2"));
    assert_eq!(send("DELETE", &one, &Value::Null).0, 204);
    assert_eq!(send("GET", &one, &Value::Null).0, 404);
    assert_eq!(send("DELETE", &one, &Value::Null).0, 404);

    for role in ["analyst", "engineer", "guardian"] {
        let key = node.caller(role).api_key().to_owned();
        let caller = Caller::with_authorization(node.url(), &format!("Bearer {key}"));
        assert_eq!(caller.get(users).status, 403, "{role}");
    }
}

#[test]
fn somebody_who_is_disabled_is_out_on_every_path_at_once() {
    let node = Node::start(BINARY);
    let lines: String = (0..50).map(|n| format!("{{\"index\":{{}}}}\n{{\"n\":{n}}}\n")).collect();
    node.caller("engineer").bulk("/numbers/_bulk?refresh=true", lines.as_bytes()).expect(200);
    let by_password = Caller::with_password(node.url(), "analyst", PASSWORD);
    let by_key = node.caller("analyst");
    let token = by_password.send("POST", "/_clerestory/session", "", b"").expect(201);
    let token = token["token"].as_str().unwrap().to_owned();
    let by_session = Caller::with_authorization(node.url(), &format!("Bearer {token}"));
    let form = format!("name=analyst&password={}", PASSWORD.replace(' ', "+"));
    let kind = "application/x-www-form-urlencoded";
    let page = Caller::anonymous(node.url()).send("POST", "/_ui/login", kind, form.as_bytes());
    assert_eq!(page.status, 303);
    let ways = [("password", &by_password), ("key", &by_key), ("session", &by_session)];
    let question = json!({ "size": 0, "aggs": { "n": { "sum": { "field": "n" } } } });
    for (way, caller) in ways {
        assert_eq!(caller.post("/numbers/_search", &question).status, 200, "{way}");
    }
    // Asks without a pause, so that questions are under way when the account is disabled.
    let (ends, started) = std::thread::scope(|scope| {
        let threads: Vec<_> = ways
            .iter()
            .map(|(_, caller)| {
                let (caller, question) = (*caller, &question);
                scope.spawn(move || {
                    let began = Instant::now();
                    let mut last_good = began;
                    while began.elapsed() < Duration::from_secs(6) {
                        let asked = Instant::now();
                        if caller.post("/numbers/_search", question).status == 200 {
                            last_good = Instant::now();
                        } else if asked.elapsed() < Duration::from_secs(1) {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                    }
                    last_good
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        node.program.run_as(&node.caller("administrator"), &["user", "disable", "analyst"]);
        let disabled = Instant::now();
        let ends: Vec<Instant> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        (ends, disabled)
    });
    for (end, (way, caller)) in ends.iter().zip(ways) {
        let late = end.saturating_duration_since(started);
        assert!(late < Duration::from_secs(1), "{way}: an answer {late:?} after disabling");
        assert_eq!(caller.get("/").status, 401, "{way}");
    }
    let page = Caller::anonymous(node.url()).send("POST", "/_ui/login", kind, form.as_bytes());
    assert_eq!(page.status, 401);
}
