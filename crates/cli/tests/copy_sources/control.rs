//! What people do with a copy that runs: pausing, resuming, reading again; and a source that is away.

use super::{BINARY, ask, copy, free_port, line, secret, status, wait_for};
use conformance::Node;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// New files are followed when nobody wrote to them for five seconds.
const FOLLOWED: Duration = Duration::from_secs(8);

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(line).collect()
}

fn folder_source(folder: &Path) -> String {
    format!("  files: {{ folder: {} }}\n", folder.display())
}

/// What somebody paused stays paused, also over kill -9, and misses nothing once it is resumed.
#[test]
fn a_paused_copy_stays_paused_over_kill_nine() {
    let mut node = Node::start(BINARY);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("events")).unwrap();
    let mut log = File::create(folder.path().join("events/live.ndjson")).unwrap();
    log.write_all(lines(0..5_000).as_bytes()).unwrap();
    copy(&node, "logs", &folder_source(folder.path()), |plan| plan);
    let count = "SELECT count(*) FROM events";
    wait_for(&node, "logs", count, &json!(5_000));

    let engineer = node.caller("engineer");
    let refused = node.program.output_as(&node.caller("analyst"), &["copy", "pause", "logs"]);
    assert!(!refused.status.success(), "an analyst pauses nothing");
    let told = node.program.run_as(&engineer, &["copy", "pause", "logs"]);
    assert!(told.starts_with("logs: paused: by engineer\n"), "{told}");
    log.write_all(lines(5_000..6_000).as_bytes()).unwrap();
    fs::write(folder.path().join("events/more.ndjson"), lines(6_000..6_500)).unwrap();
    for _ in 0..3 {
        node.kill();
        node.serve();
        let status = status(&node, "logs");
        assert_eq!(
            (&status["state"], &status["reason"]),
            (&json!("paused"), &json!("by engineer"))
        );
    }
    std::thread::sleep(FOLLOWED);
    assert_eq!(ask(&node, count), json!(5_000), "nothing came while it was paused");
    let listed = node.program.run_as(&node.caller("engineer"), &["copy", "status"]);
    assert!(listed.contains("paused: by engineer"), "{listed}");

    node.program.run_as(&node.caller("engineer"), &["copy", "resume", "logs"]);
    wait_for(&node, "logs", count, &json!(6_500));
    assert_eq!(ask(&node, "SELECT count(DISTINCT n) FROM events"), json!(6_500));
    assert_eq!(status(&node, "logs")["state"], json!("following"));
}

/// While everything is read again, also over kill -9, what is here is readable at every moment; in
/// the end it is what the source has.
#[test]
fn rows_stay_readable_while_they_are_read_again() {
    let mut node = Node::start(BINARY);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("events")).unwrap();
    fs::write(folder.path().join("events/kept.ndjson"), lines(0..20_000)).unwrap();
    fs::write(folder.path().join("events/gone.ndjson"), lines(20_000..22_000)).unwrap();
    copy(&node, "logs", &folder_source(folder.path()), |plan| plan);
    wait_for(&node, "logs", "SELECT count(*) FROM events", &json!(22_000));
    fs::remove_file(folder.path().join("events/gone.ndjson")).unwrap();
    // Somebody writes to it just now.
    let mut kept_file =
        File::options().append(true).open(folder.path().join("events/kept.ndjson")).unwrap();
    kept_file.write_all(lines(30_000..30_001).trim_end().as_bytes()).unwrap();

    let kept = "SELECT count(DISTINCT n) FROM events WHERE n < 20000";
    let again = ["copy", "resnapshot", "logs"];
    node.program.run_as(&node.caller("engineer"), &again);
    let started = Instant::now();
    let mut looks = 0;
    loop {
        assert_eq!(ask(&node, kept), json!(20_000), "rows are missing after {looks} looks");
        looks += 1;
        if looks == 3 {
            node.kill();
            node.serve();
        }
        if looks > 3 && ask(&node, "SELECT count(*) FROM events") == json!(20_001) {
            break;
        }
        let status = status(&node, "logs");
        assert!(started.elapsed() < super::WAIT, "{}", status["status"]);
    }
    // The half line came when nobody wrote to the file any more.
    wait_for(&node, "logs", "SELECT count(*) FROM events", &json!(20_001));
    let missing = ["copy", "resnapshot", "logs", "--table", "nowhere"];
    let refused = node.program.output_as(&node.caller("engineer"), &missing);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("copies no such table"), "{told}");
}

/// A source that is away is tried again after growing pauses; the state says when, and what came
/// meanwhile is copied once it is back.
#[test]
fn a_source_that_is_away_is_tried_again_after_growing_pauses() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut old = Node::start(BINARY);
    old.serve_at(&address);
    let write = |old: &Node, range: std::ops::Range<u64>| {
        let document = |n| format!("{{\"index\":{{\"_id\":\"d{n}\"}}}}\n{{\"n\":{n}}}\n");
        let documents: String = range.map(document).collect();
        old.caller("engineer").bulk("/devices/_bulk", documents.as_bytes()).expect(200);
    };
    write(&old, 0..1_000);
    let node = Node::start(BINARY);
    secret(&node, "old", old.caller("engineer").api_key());
    let source = format!("  elasticsearch: {{ url: 'http://{address}' }}\n  secret: old\n");
    copy(&node, "leave", &source, |plan| plan);
    wait_for(&node, "leave", "SELECT count(*) FROM devices", &json!(1_000));

    old.kill();
    let mut pauses: BTreeMap<u64, u64> = BTreeMap::new();
    let started = Instant::now();
    while !pauses.contains_key(&4) {
        let status = status(&node, "leave");
        assert_ne!(status["state"], json!("paused"), "{}", status["status"]);
        if let (Some(tries), Some(again)) =
            (status["failed_tries"].as_u64(), status["tries_again_in_s"].as_u64())
        {
            let longest = pauses.entry(tries).or_default();
            *longest = again.max(*longest);
            let told = status["status"].as_str().unwrap();
            assert!(told.contains(&format!("waiting, next try in {again} s")), "{told}");
        }
        assert!(started.elapsed() < super::WAIT, "{pauses:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = node.program.run_as(&node.caller("engineer"), &["copy", "status", "leave"]);
    assert!(told.contains("next try in") && told.contains("4 tries failed"), "{told}");
    // Seen a moment after they began; the first may be over before anybody looks.
    for (tries, seconds) in [(2, 2), (3, 4), (4, 8)] {
        let seen = pauses.get(&tries).copied().unwrap_or_default();
        assert!(seen <= seconds && seen > seconds / 2, "{pauses:?}");
    }
    let rows: Value = ask(&node, "SELECT count(*) FROM devices");
    assert_eq!(rows, json!(1_000), "what was copied stays readable");

    old.serve_at(&address);
    write(&old, 1_000..1_200);
    wait_for(&node, "leave", "SELECT count(*) FROM devices", &json!(1_200));
    let status = status(&node, "leave");
    assert_eq!((&status["state"], &status["failed_tries"]), (&json!("following"), &Value::Null));
}
