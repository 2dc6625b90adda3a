//! Who is told what, out of band: webhooks, Slack's form, letters; through the binary, over a crash.
#![expect(clippy::unwrap_used, reason = "tests are free")]

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance::{Caller, Hook, MailPeer, Node, PASSWORD, Receiver, totp_code};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");
const SECRET: &str = "a secret that signs webhooks";
/// Of a row; told to nobody.
const PLANTED: &str = "chartreuse-heron";

/// Leaves a secret with the node; gives its mark.
fn keep_secret(node: &Node, secret: &str) -> String {
    fs::write(node.program.path("secret"), secret).unwrap();
    let keep = ["notice", "secret", "--file", "secret"];
    let said = node.program.run_as(&node.caller("administrator"), &keep);
    said.trim().strip_prefix("secret=").unwrap().to_owned()
}

/// Names the targets, while the house is founded and nobody has to agree.
fn tell(node: &Node, targets: &[String]) {
    let body = json!({ "edits": [{ "setting": { "name": "notify", "value": targets } }],
                       "why": "somebody has to know" });
    let told = node.caller("administrator").post("/_clerestory/changes", &body).expect(200);
    assert_eq!(told["applied"], true, "{told}");
}

fn webhook(node: &Node, receiver: &Receiver) -> String {
    format!("ops=webhook:{}/hook secret={}", receiver.url(), keep_secret(node, SECRET))
}

/// A house that tells a webhook, with a row in it.
fn house(receiver: &Receiver) -> Node {
    let node = Node::start(BINARY);
    tell(&node, &[webhook(&node, receiver)]);
    let row = json!({ "colour": PLANTED, "email": "ada.quillmoor@example.org" });
    node.caller("engineer").post("/things/_doc", &row).expect(201);
    node
}

/// Checks what a receiver checks, as the specification of Standard Webhooks says.
#[track_caller]
fn is_ours(hook: &Hook) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signed = format!("{}.{}.", hook.header("webhook-id"), hook.header("webhook-timestamp"));
    let tag = hmac::sign(&key, &[signed.as_bytes(), &hook.body].concat());
    assert_eq!(hook.header("webhook-signature"), format!("v1,{}", STANDARD.encode(tag)));
    let text = String::from_utf8_lossy(&hook.body).into_owned();
    for word in [PLANTED, "quillmoor", SECRET, PASSWORD] {
        assert!(!text.contains(word), "a value left the house: {text}");
    }
}

fn propose(caller: &Caller, edits: Value) -> Value {
    caller.post("/_clerestory/changes", &json!({ "edits": edits, "why": "ticket 12" })).expect(200)
}

#[test]
fn one_notice_goes_three_ways() {
    let node = Node::start(BINARY);
    let (receiver, mail) = (Receiver::start(), MailPeer::start("post a password of a mail server"));
    let word = keep_secret(&node, "a password of a mail server");
    let end = keep_secret(&node, "T0/B0/the-secret-end");
    tell(
        &node,
        &[
            webhook(&node, &receiver),
            format!("chat=slack:{}/services secret={end}", receiver.url()),
            format!(
                "mail=email:guardian@example.org smtp=smtp://post@{} from=node@example.org secret={word}",
                mail.address()
            ),
        ],
    );
    let said = node.program.run_as(&node.caller("administrator"), &["notice", "test"]);
    for name in ["chat at ", "mail at ", "ops at "] {
        assert!(said.contains(name), "{name}: {said}");
    }
    let hook = receiver.wait_for("\"kind\":\"test\"");
    is_ours(&hook);
    assert_eq!((hook.path.as_str(), hook.header("content-type")), ("/hook", "application/json"));
    let chat = receiver.wait_for("*Clerestory* administrator asks whether this arrives");
    assert_eq!(chat.path, "/services/T0/B0/the-secret-end");
    assert_eq!(chat.json().as_object().unwrap().len(), 1);
    let letter = mail.wait_for("administrator asks whether this arrives");
    assert_eq!(letter.login, "post a password of a mail server");
    assert_eq!(
        (letter.from.as_str(), letter.to.join(",")),
        ("node@example.org", "guardian@example.org".into())
    );
    assert!(letter.data.contains("Subject: [clerestory] test"), "{}", letter.data);

    // Nobody who looks at the policy or the log learns a secret.
    let policy = node.caller("guardian").get("/_clerestory/policy").expect(200).to_string();
    let log = fs::read_to_string(node.program.log()).unwrap();
    for secret in [SECRET, "the-secret-end", "a password of a mail server"] {
        assert!(!policy.contains(secret) && !log.contains(secret), "{secret}");
    }
    let sent = node.caller("guardian").get("/_clerestory/audit?kind=notice_sent").expect(200);
    assert_eq!(sent["records"].as_array().unwrap().len(), 3, "{sent}");
}

#[test]
fn targets_take_two_people_and_have_a_form() {
    let receiver = Receiver::start();
    let node = house(&receiver);
    let administrator = node.caller("administrator");
    let set = |targets: Value| {
        let edits = json!([{ "setting": { "name": "notify", "value": targets } }]);
        let body = json!({ "edits": edits, "why": "x" });
        administrator.post("/_clerestory/changes", &body)
    };
    for wrong in ["ops@example.org", "ops=webhook:https://ops.example.org/x", "a=slack:ftp://x"] {
        let said = String::from_utf8_lossy(&set(json!([wrong])).body).into_owned();
        assert!(said.contains("NAME=webhook:https://HOST/PATH secret=MARK"), "{said}");
    }
    let unknown = format!("ops=webhook:{}/x secret=0123456789abcdef", receiver.url());
    let said = set(json!([unknown])).expect(400).to_string();
    assert!(said.contains("the secret of the target [ops] is not there"), "{said}");
    // Telling nobody any more hides something: those who are told now hear of it first.
    let waiting = set(json!([])).expect(200);
    assert_eq!(waiting["state"], "waiting", "{waiting}");
    is_ours(&receiver.wait_for("waits for approval"));
    // A secret that nobody agreed on serves nothing, and an analyst leaves none.
    let mark = keep_secret(&node, "another secret, for later");
    assert_eq!(mark.len(), 16);
    let leave = json!({ "secret": "another secret, for later" });
    node.caller("analyst").post("/_clerestory/notices/_secret", &leave).expect(403);
    node.caller("analyst").send("POST", "/_clerestory/notices/_test", "", b"").expect(403);
    let short = administrator.post("/_clerestory/notices/_secret", &json!({ "secret": "short" }));
    assert!(short.expect(400).to_string().contains("openssl rand"));
}

#[test]
fn a_notice_survives_a_crash_and_a_target_that_is_down() {
    let receiver = Receiver::start();
    receiver.answer_with(503);
    let mut node = house(&receiver);
    let grant = json!([{ "grant": { "who": "person:analyst", "tables": "things", "action": "export",
                                    "classes": ["open"] } }]);
    propose(&node.caller("administrator"), grant);
    receiver.wait_for("change 1 of administrator waits for approval");
    let list = || {
        let answer = node.caller("guardian").get("/_clerestory/notices").expect(200);
        answer["notices"][0].clone()
    };
    let start = Instant::now();
    while list()["targets"]["ops"]["tries"] == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", list());
        std::thread::sleep(Duration::from_millis(100));
    }
    let trouble = list()["targets"]["ops"]["trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("answered with status 503"), "{trouble}");
    node.kill();
    receiver.answer_with(204);
    let before = receiver.taken().len();
    node.serve();
    let start = Instant::now();
    while receiver.taken().len() == before {
        assert!(start.elapsed() < Duration::from_secs(30), "it comes after the crash");
        std::thread::sleep(Duration::from_millis(100));
    }
    let hook = receiver.taken().pop().unwrap();
    is_ours(&hook);
    assert_eq!(hook.header("webhook-id"), receiver.taken()[0].header("webhook-id"), "the same");
    let said = node.program.run_as(&node.caller("guardian"), &["notice", "list"]);
    assert!(said.contains("ops at 20"), "{said}");
}

#[test]
fn who_breaks_the_glass_and_who_is_alone_is_told_outside() {
    let receiver = Receiver::start();
    let node = house(&receiver);
    let (engineer, secret) = person(&node, "engineer", PASSWORD);
    let smash = json!({ "tables": "things", "class": "special", "why": "outage 7",
                        "present": { "code": totp_code(&secret, 1) } });
    engineer.post("/_clerestory/break-glass", &smash).expect(200);
    let hook = receiver.wait_for("engineer broke the glass");
    is_ours(&hook);
    assert_eq!(hook.json()["kind"], "broken_glass");

    // The only other guardian goes: that tightens, and leaves one alone.
    let drop = json!([{ "drop_role": { "person": "guardian", "role": "guardian" } }]);
    assert_eq!(propose(&node.caller("administrator"), drop)["applied"], true);
    let root =
        Caller::with_password(node.url(), "root-of-the-test", "a long password for the test 1");
    let role = json!([{ "role": { "person": "analyst", "role": "engineer" } }]);
    let waiting = propose(&root, role);
    assert!(waiting["confirm_from"].is_string(), "{waiting}");
    let hook = receiver.wait_for("has nobody else to approve it");
    is_ours(&hook);
    let told = hook.json();
    assert_eq!(
        (told["kind"].as_str(), told["change"].as_u64()),
        (Some("time_lock"), waiting["id"].as_u64())
    );
    assert!(told["text"].as_str().unwrap().contains("clerestory change reject"));
}

#[test]
fn many_refused_log_ins_are_told_once() {
    let receiver = Receiver::start();
    let node = house(&receiver);
    for number in 0..30 {
        let guess =
            Caller::with_password(node.url(), "analyst", &format!("wrong password {number}"));
        assert_eq!(guess.get("/").status, 401);
    }
    let hook = receiver.wait_for("log-ins were refused within a minute");
    is_ours(&hook);
    assert_eq!(hook.json()["kind"], "refused_log_ins");
    let text = hook.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("1 accounts, 1 networks") && !text.contains("wrong"), "{text}");
}

#[test]
fn an_audit_folder_that_fails_is_told() {
    let receiver = Receiver::start();
    let node = Node::start(BINARY);
    let second = node.program.path("second");
    let sinks =
        json!({ "setting": { "name": "audit_sinks", "value": [second.to_str().unwrap()] } });
    tell(&node, &[webhook(&node, &receiver)]);
    assert_eq!(propose(&node.caller("administrator"), json!([sinks]))["applied"], true);
    let row = json!({ "colour": PLANTED });
    node.caller("engineer").post("/things/_doc", &row).expect(201);
    node.caller("analyst").post("/things/_search", &json!({})).expect(200);
    let start = Instant::now();
    while !second.join("00000001.audit").try_exists().unwrap() {
        assert!(start.elapsed() < Duration::from_secs(20), "the copy is made");
        std::thread::sleep(Duration::from_millis(100));
    }
    fs::remove_dir_all(&second).unwrap();
    fs::write(&second, "no folder").unwrap();
    let search = node.caller("analyst").post("/things/_search", &json!({}));
    assert_eq!(search.status, 200, "the record goes on in the other folder");
    let hook = receiver.wait_for("an audit folder fails");
    is_ours(&hook);
    assert_eq!(hook.json()["kind"], "audit_sink");
}

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
