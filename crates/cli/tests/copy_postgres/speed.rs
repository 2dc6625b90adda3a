//! How fast: rows a second of a snapshot while somebody writes, changes a second afterwards, the
//! lag, and the most memory. It prints what it measured; what it asserts is that all is there and
//! that memory stays bounded.
//!
//! Small by itself. For the real thing, with a quiet machine and a release build of the program:
//! `CLERESTORY_BINARY=target/release/clerestory CLERESTORY_COPY_ROWS=5000000
//! CLERESTORY_COPY_CHANGES=200000 cargo test -p cli --test copy_postgres speed -- --nocapture`.
#![expect(clippy::print_stdout, reason = "says what it measured")]

use super::{Pair, StopOnDrop};
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
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                let id = 1_000_000_000 + written;
                let touched = written * 7_919 % rows;
                pair.source.sql(&format!(
                    "INSERT INTO events SELECT i, 1, 'new', 'cam-1', '4.1', 'eu', 1, now()
                       FROM generate_series({id}, {id} + 9) i;
                     UPDATE events SET latency_ms = latency_ms + 1
                       WHERE id BETWEEN {touched} AND {touched} + 39;"
                ));
                written += 50;
                std::thread::sleep(Duration::from_millis(40));
            }
            written
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
        let written = writer.join().unwrap() as f64 / snapshot.as_secs_f64();
        println!(
            "snapshot: {rows} rows, {:.0} rows/s, with a writer of {written:.0} changes/s",
            rows as f64 / snapshot.as_secs_f64()
        );
    });
    pair.catch_up("speed");

    pair.source
        .sql(&format!("UPDATE events SET latency_ms = latency_ms + 1000 WHERE id <= {changes}"));
    let started = Instant::now();
    pair.catch_up("speed");
    let took = started.elapsed();
    println!("following: {changes} changes, {:.0} changes/s", changes as f64 / took.as_secs_f64());

    let (median, worst) = lag_at_5000_changes_a_second(&pair, rows);
    println!("lag at 5,000 changes/s: {median} ms (median), {worst} ms at most");
    pair.catch_up("speed");
    let memory = pair.node.peak_memory_mib();
    println!("memory: at most {memory} MiB");
    assert!(memory <= 512, "{memory} MiB");

    // All of it, and by groups.
    for question in [
        "SELECT count(*) FROM events",
        "SELECT sum(latency_ms) FROM events",
        "SELECT sum(id) FROM events",
        "SELECT sum(id) FROM events WHERE model = 'cam-7' AND region = 'us' AND firmware = '4.3'",
        "SELECT count(*) FROM events WHERE kind = 'error' AND latency_ms > 1100",
    ] {
        assert_eq!(pair.ask(question).to_string(), pair.source.sql(question).trim(), "{question}");
    }
}

/// How long a row takes from its commit at the source until a question finds it, in milliseconds.
fn lag_at_5000_changes_a_second(pair: &Pair, rows: u64) -> (u128, u128) {
    let seconds = 20;
    let mut lags = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            pair.source.sql(&format!(
                "DO $$ DECLARE started timestamptz := clock_timestamp(); BEGIN
                   FOR round IN 1..{seconds} * 10 LOOP
                     UPDATE events SET latency_ms = latency_ms + 1
                       WHERE id BETWEEN round * 500 % {rows} AND round * 500 % {rows} + 499;
                     COMMIT;
                     PERFORM pg_sleep_until(started + round * interval '100 milliseconds');
                   END LOOP; END $$"
            ));
        });
        let mut lags: Vec<u128> = Vec::new();
        let mut id = 2_000_000_000_u64;
        while !writer.is_finished() {
            id += 1;
            pair.source.sql(&format!("INSERT INTO events (id, latency_ms) VALUES ({id}, 0)"));
            let written = Instant::now();
            while pair.ask(&format!("SELECT count(*) FROM events WHERE id = {id}")) != json!(1) {
                assert!(written.elapsed() < super::WAIT, "row {id} does not come");
                std::thread::sleep(Duration::from_millis(20));
            }
            lags.push(written.elapsed().as_millis());
            std::thread::sleep(Duration::from_millis(300));
        }
        writer.join().expect("the writer goes through");
        lags
    });
    lags.sort_unstable();
    (lags[lags.len() / 2], lags[lags.len() - 1])
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let said = std::env::var_os(variable);
    said.and_then(|said| said.to_str()?.parse().ok()).unwrap_or(otherwise)
}
