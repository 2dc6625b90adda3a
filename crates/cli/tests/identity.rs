//! No anonymous byte: whoever has no identity gets the same 401 for everything.

use conformance::{Caller, Node};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

#[test]
fn without_identity_everything_is_the_same_401() {
    let node = Node::start(BINARY);
    node.caller("engineer").put("/secret-table", &json!({})).expect(200);
    let paths = [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/_cat/indices"),
        ("GET", "/_cluster/health"),
        ("GET", "/secret-table"),
        ("GET", "/no-such-table"),
        ("POST", "/secret-table/_search"),
        ("POST", "/_bulk"),
        ("POST", "/_sql"),
        ("GET", "/_clerestory/metrics"),
        ("GET", "/_clerestory/people"),
        ("GET", "/no/such/route"),
        ("DELETE", "/secret-table"),
        ("OPTIONS", "/"),
        ("PATCH", "/"),
    ];
    let strangers = [
        Caller::anonymous(node.url()),
        Caller::with_key(node.url(), "bm9ib2R5OmNsc19ub3RoaW5n"),
        Caller::with_password(node.url(), "engineer", "not the password"),
        Caller::with_password(node.url(), "nobody", "not the password"),
        Caller::with_authorization(node.url(), "Bearer junk"),
        Caller::with_authorization(node.url(), "Basic ???"),
        Caller::with_authorization(node.url(), "Negotiate x"),
        Caller::with_authorization(node.url(), ""),
    ];
    let mut seen = Vec::new();
    for stranger in &strangers {
        for (method, path) in paths {
            let answer = stranger.send(method, path, "application/json", b"");
            assert_eq!(answer.status, 401, "{method} {path}");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            for word in ["secret-table", "0.1.0", "9.", "clerestory", "engineer"] {
                assert!(
                    !text.to_lowercase().contains(word),
                    "{method} {path} tells `{word}`: {text}"
                );
            }
            assert!(answer.header("x-elastic-product").is_none(), "{method} {path}");
            assert!(answer.header("server").is_none(), "{method} {path}");
            if method != "HEAD" {
                seen.push(answer.body);
            }
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "every 401 is the same to the byte");
}

#[test]
fn roles_open_what_they_open_and_no_more() {
    let node = Node::start(BINARY);
    let (analyst, engineer) = (node.caller("analyst"), node.caller("engineer"));
    let (guardian, administrator) = (node.caller("guardian"), node.caller("administrator"));
    engineer.put("/things", &json!({})).expect(200);
    engineer.post("/things/_doc", &json!({ "n": 1 })).expect(201);

    analyst.post("/things/_search", &json!({})).expect(200);
    guardian.post("/things/_search", &json!({})).expect(200);
    // To somebody who may see no data a table that is there looks like one that is not.
    let hidden = administrator.post("/things/_search", &json!({}));
    let absent = administrator.post("/no-such/_search", &json!({}));
    assert_eq!(hidden.status, absent.status);
    assert_ne!(hidden.status, 200);

    for caller in [&analyst, &guardian, &administrator] {
        let status = caller.post("/things/_doc", &json!({ "n": 2 })).status;
        assert!(status == 403 || status == 404, "only an engineer writes: {status}");
        let status = caller.put("/other", &json!({})).status;
        assert!(status == 403 || status == 404, "only an engineer makes tables: {status}");
    }
    let audit = |caller: &Caller| caller.get("/_clerestory/audit").status;
    assert_eq!(audit(&guardian), 200);
    for caller in [&analyst, &engineer, &administrator] {
        assert_eq!(audit(caller), 403, "only a guardian reads the record");
    }
    let people = |caller: &Caller| caller.get("/_clerestory/people").status;
    assert_eq!(people(&administrator), 200);
    for caller in [&analyst, &engineer, &guardian] {
        assert_eq!(people(caller), 403, "only an administrator sees accounts");
    }
    let widened =
        analyst.post("/_clerestory/keys", &json!({ "name": "more", "roles": ["engineer"] }));
    assert_eq!(widened.status, 403, "a key has no role that its maker has not");
}

#[test]
fn every_read_leaves_a_record() {
    let node = Node::start(BINARY);
    let (analyst, engineer) = (node.caller("analyst"), node.caller("engineer"));
    engineer.put("/things", &json!({})).expect(200);
    engineer.send("PUT", "/things/_doc/1", "application/json", b"{\"n\":1}").expect(201);
    let records = || {
        let answer = node.caller("guardian").get("/_clerestory/audit?who=analyst&limit=1000");
        answer.expect(200)["records"].as_array().unwrap().len()
    };
    let asks: [&dyn Fn() -> u16; 6] = [
        &|| analyst.post("/things/_search", &json!({})).status,
        &|| analyst.post("/things/_count", &json!({})).status,
        &|| analyst.get("/things/_doc/1").status,
        &|| analyst.post("/_mget", &json!({ "docs": [{ "_index": "things", "_id": "1" }] })).status,
        &|| analyst.post("/_sql", &json!({ "query": "SELECT * FROM things" })).status,
        &|| analyst.get("/_cat/count/things").status,
    ];
    for (number, ask) in asks.iter().enumerate() {
        let before = records();
        assert_eq!(ask(), 200, "way {number}");
        assert!(records() > before, "way {number} leaves a record");
    }
}
