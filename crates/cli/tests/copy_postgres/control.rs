//! Pausing and reading again, with a writer running.

use super::Pair;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ROWS: u64 = 20_000;

const SCHEMA: &str = "
CREATE TABLE items (id bigint PRIMARY KEY, n bigint NOT NULL, model text, made_at timestamptz);
INSERT INTO items SELECT i, i, 'm' || i % 7, now() FROM generate_series(1, 20000) i;
ANALYZE;
";

/// Ends the writer, also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Rows that went here are named by `verify`, are there again after a new snapshot, and those that
/// are here are readable all the time; what happens while the copy is paused comes afterwards.
#[test]
fn a_new_snapshot_mends_what_is_different() {
    let Some(mut pair) = Pair::start("a_new_snapshot_mends_what_is_different") else { return };
    pair.source.sql(SCHEMA);
    pair.copy("again");
    pair.catch_up("again");
    let engineer = pair.node.caller("engineer");
    for id in [7, 4_711, 19_999] {
        engineer.send("DELETE", &format!("/items/_doc/{id}"), "application/json", b"").expect(200);
    }
    let verify = ["copy", "verify", "again"];
    let found = pair.node.program.output_as(&engineer, &verify);
    let told = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(!found.status.success() && told.contains("4711"), "{told}");

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (source, ends, node) = (&pair.source, Ends(&stop), &mut pair.node);
        let stop = &stop;
        scope.spawn(move || {
            let mut step = 0;
            while !stop.load(Ordering::Relaxed) {
                step += 1;
                source.sql(&format!(
                    "UPDATE items SET n = n + 1 WHERE id % 500 = {}; INSERT INTO items VALUES \
                     ({}, 0, 'new', now())",
                    step % 500,
                    1_000_000 + step
                ));
            }
        });
        node.program.run_as(&engineer, &["copy", "resnapshot", "again"]);
        let started = Instant::now();
        let mut looks = 0;
        loop {
            let caller = node.caller("analyst");
            let count = caller.get("/items/_count").expect(200)["count"].as_u64().unwrap();
            assert!(count >= ROWS - 3, "{count} rows after {looks} looks");
            looks += 1;
            if looks == 2 {
                node.kill();
                node.serve();
            }
            let path = "/_clerestory/copies/again";
            let status = node.caller("engineer").get(path).expect(200);
            assert_ne!(status["state"], json!("paused"), "{}", status["status"]);
            if looks > 2 && status["state"] == json!("following") {
                break;
            }
            assert!(started.elapsed() < super::WAIT, "{}", status["status"]);
            std::thread::sleep(Duration::from_millis(20));
        }
        // Paused, killed, and resumed: the writer goes on meanwhile.
        node.program.run_as(&node.caller("engineer"), &["copy", "pause", "again"]);
        node.kill();
        node.serve();
        std::thread::sleep(Duration::from_millis(1_500));
        let status = node.caller("engineer").get("/_clerestory/copies/again").expect(200);
        assert_eq!(status["state"], json!("paused"));
        node.program.run_as(&node.caller("engineer"), &["copy", "resume", "again"]);
        drop(ends);
    });
    pair.catch_up("again");
    let at_source = pair.source.sql("SELECT count(*) || '|' || sum(n) FROM items");
    let here = format!(
        "{}|{}",
        pair.ask("SELECT count(*) FROM items"),
        pair.ask("SELECT sum(n) FROM items")
    );
    assert_eq!(here, at_source.trim());
    pair.node.program.run_as(&pair.node.caller("engineer"), &verify);
}
