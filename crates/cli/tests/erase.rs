//! A person is forgotten through the real binary.

use conformance::Node;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

#[test]
fn a_person_is_forgotten_and_a_receipt_says_so() {
    let mut node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    let guardian = node.caller("guardian");
    for (id, email) in [("1", "ada.quillmoor@example.org"), ("2", "bob@example.org")] {
        let row = json!({ "email": email, "message": format!("mail to {email} bounced") });
        assert!(engineer.put(&format!("/mails/_doc/{id}"), &row).status < 300);
    }
    let person = ["--person", "ada.quillmoor@example.org"];
    let dry = [&["erase"], &person[..], &["--dry-run"]].concat();
    assert!(node.program.run_as(&guardian, &dry).contains("mails: 1 rows\nnothing was erased"));
    let now = ["--now", "--verify", "--reference", "ticket 4711", "--json"];
    let erase = [&["erase"], &person[..], &now].concat();
    assert_eq!(node.program.output_as(&engineer, &erase).status.code(), Some(1), "not hers");
    let done: Value = serde_json::from_str(&node.program.run_as(&guardian, &erase)).unwrap();
    assert_eq!((&done["state"], &done["files_with_traces"]), (&json!("done"), &json!([])));

    node.kill();
    node.serve();
    let (guardian, analyst) = (node.caller("guardian"), node.caller("analyst"));
    let rows = analyst.post("/mails/_search", &json!({})).expect(200);
    assert_eq!(rows["hits"]["total"]["value"], 1);
    let list = node.program.run_as(&guardian, &["erase", "--list"]);
    assert!(list.contains("ticket 4711") && list.contains("done"), "{list}");
    let id = done["id"].as_str().unwrap();
    let receipt = node.program.run_as(&guardian, &["erase", "--receipt", id]);
    assert!(receipt.contains("signature") && !receipt.contains("quillmoor"), "{receipt}");
    let records = node.program.run_as(&guardian, &["audit", "show", "--limit", "1000", "--json"]);
    assert!(records.contains("erasure_begun") && records.contains("erasure_done"));
    assert!(!records.contains("quillmoor"));
}
