use super::*;
use crate::EngineError;

fn parsed(body: &str) -> Vec<Action<'_>> {
    parse(body.as_bytes(), Some("t"), &BulkOptions::default()).unwrap()
}

#[track_caller]
fn refused(body: &[u8], default_index: Option<&str>, status: u16, expected: &str) {
    let error: EngineError = parse(body, default_index, &BulkOptions::default()).unwrap_err();
    assert_eq!(error.status, status);
    let said = format!("{}: {}", error.kind, error.reason);
    assert!(said.contains(expected), "{said}");
    assert!(!said.contains("secret-value"), "{said}");
}

#[test]
fn all_four_actions() {
    let actions = parsed(concat!(
        "{\"index\":{}}\n{\"a\":1}\n",
        "{\"create\":{\"_index\":\"u\",\"_id\":7,\"routing\":\"x\"}}\r\n{\"a\":2}\r\n",
        "\n",
        "{\"update\":{\"_id\":\"\\u0061b\",\"retry_on_conflict\":3}}\n{\"doc\":{}}\n",
        "{\"delete\":{\"_id\":\"c\",\"if_seq_no\":4,\"if_primary_term\":1}}\n",
        "{\"index\":{\"op_type\":\"create\"}}\n{}\n",
    ));
    let shown: Vec<String> = actions
        .iter()
        .map(|a| {
            let source = String::from_utf8_lossy(a.source);
            format!(
                "{} {} {:?} {} {:?}",
                a.kind,
                a.index,
                a.id.as_deref(),
                source.trim(),
                a.if_seq_no
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "index t None {\"a\":1} None",
            "create u Some(\"7\") {\"a\":2} None",
            "update t Some(\"ab\") {\"doc\":{}} None",
            "delete t Some(\"c\")  Some(4)",
            "create t None {} None",
        ]
    );
    assert!(actions.iter().all(|action| action.refused.is_none()));
    assert_eq!(actions[2].retry_on_conflict, 3);
}

#[test]
fn a_broken_frame_refuses_the_request() {
    let end = "illegal_argument_exception: The bulk request must be terminated by a newline [\\n]";
    refused(b"", None, 400, "request body is required");
    refused(b"\n \n", Some("t"), 400, "no requests added");
    refused(b"{\"index\":{}}\n{}", Some("t"), 400, end);
    refused(b"{\"index\":{}}\n", Some("t"), 400, "line [1]: its document is missing");
    refused(b"{\"index\":{}}\n{}\n", None, 400, "index is missing");
    for line in [
        "secret-value",
        "\"secret-value\"",
        "{}",
        "[]",
        "{\"secret-value\":{}}",
        "{\"index\":\"secret-value\"}",
        "{\"index\":{},\"secret-value\":1}",
        "{\"index\":{}}}",
        "{\"index\":[]}",
        "{\"index\":{\"_id\":true}}",
    ] {
        let body = format!("{{\"index\":{{}}}}\n{{}}\n{line}\n{{}}\n");
        refused(body.as_bytes(), Some("t"), 400, "Malformed action/metadata line [3]");
    }
    refused(b"\xff\n", Some("t"), 400, "Malformed action/metadata line [1]");
    for key in ["_type", "version", "secret-value"] {
        let body = format!("{{\"index\":{{\"{key}\":1}}}}\n{{}}\n");
        refused(body.as_bytes(), Some("t"), 400, "line [1] contains an unknown parameter");
    }
    let body = vec![b'\n'; BULK_BYTES_MAX + 1];
    refused(&body, Some("t"), 413, "content_too_long_exception");
    let body = b"{\"index\":{}}\n{}\n".repeat(ACTIONS_MAX + 1);
    refused(&body, Some("t"), 413, "more than 500000 actions");
}

#[test]
fn a_bad_action_refuses_only_itself() {
    let long = "i".repeat(513);
    for (line, expected) in [
        (r#"{"index":{"_id":""}}"#.to_owned(), "must not be empty"),
        (format!(r#"{{"index":{{"_id":"{long}"}}}}"#), "no longer than 512 bytes but was: 513"),
        (r#"{"index":{"_id":"\u0000"}}"#.to_owned(), "control character"),
        (r#"{"index":{"_id":"a","if_seq_no":1}}"#.to_owned(), "go together"),
        (r#"{"update":{}}"#.to_owned(), "id is missing"),
        (r#"{"index":{"pipeline":"p"}}"#.to_owned(), "no ingest pipelines"),
        (r#"{"index":{"require_alias":true}}"#.to_owned(), "require_alias"),
        (
            r#"{"create":{"_id":"a","if_seq_no":1,"if_primary_term":1}}"#.to_owned(),
            "if_seq_no needs",
        ),
    ] {
        let body = format!("{line}\n{{}}\n{{\"index\":{{}}}}\n{{}}\n");
        let actions = parsed(&body);
        let error = actions[0].refused.as_ref().unwrap();
        assert!(error.reason.contains(expected), "{}", error.reason);
        assert!(actions[1].refused.is_none());
    }
}

#[test]
fn update_bodies() {
    let body = UpdateBody::parse(br#"{"doc":{"a":1},"doc_as_upsert":true}"#).unwrap();
    assert_eq!(body.doc.unwrap().get(), "{\"a\":1}");
    assert!(body.doc_as_upsert);
    for (source, expected) in [
        (&b"{"[..], "malformed body: EOF"),
        (b"[]", "malformed body"),
        (b"{}", "script or doc is missing"),
        (b"{\"script\":\"secret-value\"}", "scripts are not supported"),
        (b"{\"secret-value\":1}", "unknown field"),
        (b"{\"doc\":{},\"doc_as_upsert\":\"secret-value\"}", "malformed body"),
    ] {
        let error = UpdateBody::parse(source).err().unwrap();
        assert!(error.reason.contains(expected), "{}", error.reason);
        assert!(!error.reason.contains("secret-value"));
    }
}
