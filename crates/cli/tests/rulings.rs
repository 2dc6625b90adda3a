//! A field is ruled on through the real binary: what readers see, and what stays on the disk.
#![expect(clippy::unwrap_used, reason = "tests are free")]

use conformance::{Caller, Node};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

fn write(engineer: &Caller, id: &str, document: &Value) {
    let path = format!("/visits/_doc/{id}");
    assert!(engineer.put(&path, document).status < 300, "{document} is written");
}

fn rule_list(node: &Node, guardian: &Caller) -> Value {
    let text = node.program.run_as(guardian, &["rule", "list", "--table", "visits", "--json"]);
    serde_json::from_str::<Value>(&text).unwrap()["fields"].clone()
}

fn settled(node: &Node, guardian: &Caller, field: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = node.program.run_as(guardian, &["rule", "show", "visits", field, "--json"]);
        let shown: Value = serde_json::from_str(&text).unwrap();
        if shown["rows_to_rewrite"] == 0 && shown["log_to_rewrite"] == false {
            return shown;
        }
        assert!(Instant::now() < deadline, "the ruling is not carried out: {shown}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_withheld_field_is_ruled_secret_and_an_open_one_stricter() {
    let mut node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    let guardian = node.caller("guardian");
    let analyst = node.caller("analyst");
    let closed = json!({ "settings": { "index.clerestory.intake": "closed" } });
    engineer.put("/visits", &closed).expect(200);
    for id in ["a", "b"] {
        write(&engineer, id, &json!({ "status": "ok", "shelf": "under the larch" }));
    }

    // It waits, and is shown by its shape alone.
    let waiting = rule_list(&node, &guardian);
    let shelf = &waiting[0];
    assert_eq!((&shelf["field"], &shelf["state"]), (&json!("shelf"), &json!("withheld")));
    assert!(!waiting.to_string().contains("larch"), "{waiting}");
    let table = node.program.run_as(&guardian, &["rule", "list"]);
    assert!(table.contains("shelf") && table.contains("withheld"), "{table}");

    // One person does not open it.
    let set = |class: &str| {
        let arguments =
            ["rule", "set", "visits", "shelf", "--class", class, "--reason", "a test of rulings"];
        node.program.output_as(&guardian, &arguments)
    };
    let waits = set("open");
    let told = String::from_utf8_lossy(&waits.stdout).into_owned();
    assert!(told.contains("change 1 waits for a second person"), "{told}");
    let by_engineer = ["rule", "set", "visits", "shelf", "--class", "secret", "--reason", "mine"];
    assert_eq!(node.program.output_as(&engineer, &by_engineer).status.code(), Some(1));

    // Whoever may count it is not shown it, before and after it is gone.
    let hit = |caller: &Caller| {
        let answer = caller.post("/visits/_search", &json!({})).expect(200);
        answer["hits"]["hits"].to_string()
    };
    assert!(!hit(&analyst).contains("larch"));
    assert!(set("secret").status.success());
    let shown = settled(&node, &guardian, "shelf");
    assert_eq!((&shown["state"], &shown["rows"]), (&json!("secret"), &json!(2)));
    assert_eq!(shown["history"][1]["class"], "withheld");

    // A field that the classifier left open is made personal: at once for readers.
    let open = json!({ "query": { "term": { "status": "ok" } } });
    assert_eq!(analyst.post("/visits/_count", &open).expect(200)["count"], 2);
    let arguments = ["rule", "set", "visits", "status", "--class", "personal", "--reason", "why"];
    let text = node.program.run_as(&guardian, &arguments);
    assert!(text.contains("status of visits is personal"), "{text}");
    assert!(!hit(&analyst).contains("\"ok\""), "{}", hit(&analyst));
    settled(&node, &guardian, "status");
    assert_eq!(analyst.post("/visits/_count", &open).expect(200)["count"], 2, "by the real value");
    assert!(hit(&analyst).contains("status:"), "{}", hit(&analyst));

    // All of it holds after kill -9, and is in the record.
    node.kill();
    node.serve();
    let (guardian, analyst) = (node.caller("guardian"), node.caller("analyst"));
    let shown = settled(&node, &guardian, "status");
    assert_eq!((&shown["state"], &shown["kind"]), (&json!("personal"), &json!("status")));
    assert!(!hit(&analyst).contains("\"ok\""));
    let records = node.program.run_as(&guardian, &["audit", "show", "--limit", "1000", "--json"]);
    assert!(records.contains("withheld to secret") && records.contains("open to personal"));
    assert!(!records.contains("larch"));
}
