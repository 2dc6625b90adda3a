//! How fast: rows a second of a snapshot while somebody writes, changes a second afterwards, the
//! lag, and the most memory. It prints what it measured; what it asserts is that all is there and
//! that memory stays bounded.
//!
//! Small by itself. For the real thing, with a quiet machine:
//! `CLERESTORY_COPY_ROWS=5000000 CLERESTORY_COPY_CHANGES=200000 cargo test --release -p cli --test
//! copy_postgres speed -- --nocapture`.
#![expect(clippy::print_stdout, reason = "says what it measured")]

use super::Pair;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_snapshot_and_changes_measured() {
    let Some(pair) = Pair::start("a_snapshot_and_changes_measured") else { return };
    let rows = number("CLERESTORY_COPY_ROWS", 60_000);
    let changes = number("CLERESTORY_COPY_CHANGES", 10_000);
    pair.source.sql(&format!(
        "CREATE TABLE events (id bigint PRIMARY KEY, account_id bigint, kind text, model text,
           firmware text, region text, latency_ms int, occurred_at timestamptz);
         INSERT INTO events SELECT i, i % 5000, (ARRAY['setup', 'connect', 'error'])[1 + i % 3],
           'cam-' || i % 20, '4.' || i % 9, (ARRAY['eu', 'us'])[1 + i % 2], i % 400,
           now() - i * interval '1 second' FROM generate_series(1, {rows}) i;
         ANALYZE;"
    ));
    let stop = AtomicBool::new(false);
    let mut snapshot = Duration::ZERO;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut id = 1_000_000_000_u64;
            while !stop.load(Ordering::Relaxed) {
                id += 10;
                pair.source.sql(&format!(
                    "INSERT INTO events SELECT i, 1, 'new', 'cam-1', '4.1', 'eu', 1, now()
                       FROM generate_series({id}, {id} + 9) i;
                     UPDATE events SET latency_ms = latency_ms + 1 WHERE id % 10000 = {};",
                    id % 10_000
                ));
            }
        });
        // Also when what follows panics: the writer would go on for ever.
        let _stop = StopOnDrop(&stop);
        pair.copy("speed");
        let started = Instant::now();
        while pair.status("speed")["state"] != "following" {
            std::thread::sleep(Duration::from_millis(50));
        }
        snapshot = started.elapsed();
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
    println!("snapshot: {rows} rows, {:.0} rows/s", rows as f64 / snapshot.as_secs_f64());
    pair.catch_up("speed");

    pair.source
        .sql(&format!("UPDATE events SET latency_ms = latency_ms + 1000 WHERE id <= {changes}"));
    let started = Instant::now();
    pair.catch_up("speed");
    let took = started.elapsed();
    println!("following: {changes} changes, {:.0} changes/s", changes as f64 / took.as_secs_f64());

    // A thousand changes a second, one transaction each hundred.
    let mut worst = 0;
    for round in 0..30 {
        let from = round * 100;
        pair.source.sql(&format!(
            "UPDATE events SET region = 'xx' WHERE id BETWEEN {from} AND {from} + 99"
        ));
        worst = worst.max(pair.status("speed")["lag_ms"].as_u64().unwrap_or_default());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("lag at about 1,000 changes/s: at most {worst} ms");
    pair.catch_up("speed");
    let memory = pair.node.peak_memory_mib();
    println!("memory: at most {memory} MiB");
    assert!(memory <= 512, "{memory} MiB");

    let count = pair.source.sql("SELECT count(*), sum(latency_ms) FROM events");
    let (count, sum) = count.trim().split_once('|').unwrap();
    assert_eq!(json!(pair.count("events")).to_string(), count);
    assert_eq!(pair.ask("SELECT sum(latency_ms) FROM events").to_string(), sum);
}

struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let said = std::env::var_os(variable);
    said.and_then(|said| said.to_str()?.parse().ok()).unwrap_or(otherwise)
}
