//! kill -9 of the server and of the source at random moments: nothing lost, nothing doubled.

use super::{Pair, rows};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const ROUNDS: u64 = 30;

const SCHEMA: &str = "
CREATE TABLE items (id bigint PRIMARY KEY, n bigint NOT NULL, model text, made_at timestamptz);
CREATE TABLE lines (n bigint NOT NULL, model text);
INSERT INTO items SELECT i, i, 'm' || i % 7, now() FROM generate_series(1, 30000) i;
INSERT INTO lines SELECT i, 'm' || i % 7 FROM generate_series(1, 5000) i;
ANALYZE;
";

#[test]
fn every_row_is_as_at_the_source_after_thirty_kills_of_each() {
    let name = "every_row_is_as_at_the_source_after_thirty_kills_of_each";
    let Some(mut pair) = Pair::start(name) else { return };
    pair.source.sql(SCHEMA);
    pair.copy("killed");
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let source = &pair.source;
        let (stop, done) = (&stop, &done);
        let node = &mut pair.node;
        let writer = scope.spawn(move || {
            let mut step = 0;
            while !stop.load(Ordering::Relaxed) {
                step += 1;
                // Refused while the source is down; then the step did not happen.
                if source.try_sql(&change(step)).is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for round in 0..ROUNDS {
            std::thread::sleep(Duration::from_millis(100 + (round * 173) % 1_700));
            node.kill();
            node.serve();
            std::thread::sleep(Duration::from_millis(50 + (round * 97) % 900));
            source.kill();
            source.serve();
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
    assert!(done.load(Ordering::Relaxed) > 50, "the writer got something done");
    pair.catch_up("killed");

    let expected = pair.source.sql("SELECT id, n, model FROM items ORDER BY id");
    let expected: BTreeMap<String, String> = expected
        .lines()
        .map(|line| {
            let (id, rest) = line.split_once('|').unwrap();
            (id.to_owned(), rest.to_owned())
        })
        .collect();
    let found: BTreeMap<String, String> = rows(&pair.node.caller("analyst"), "items", "id")
        .into_iter()
        .map(|(id, row)| (id, format!("{}|{}", row["n"], row["model"].as_str().unwrap())))
        .collect();
    assert_eq!(found.len(), expected.len());
    for (id, row) in &expected {
        assert_eq!(found.get(id), Some(row), "item {id}");
    }
    // Rows without a key: each exactly once.
    let expected = pair.source.sql("SELECT n FROM lines ORDER BY n");
    let mut expected: Vec<u64> = expected.lines().map(|line| line.parse().unwrap()).collect();
    let mut found: Vec<u64> = rows(&pair.node.caller("analyst"), "lines", "n")
        .into_iter()
        .map(|(_, row)| row["n"].as_u64().unwrap())
        .collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found.len(), expected.len(), "lines");
    assert_eq!(found, expected);
    pair.node.program.run_as(&pair.node.caller("engineer"), &["copy", "verify", "killed"]);
}

/// One transaction: rows come, change, change their key, go.
fn change(step: u64) -> String {
    let from = 100_000 + step * 20;
    let touched = step * 7 % 29_000;
    format!(
        "BEGIN;
         INSERT INTO items SELECT i, i, 'new', now() FROM generate_series({from}, {from} + 19) i;
         UPDATE items SET n = n + {step}, model = 'u' || {step}
           WHERE id BETWEEN {touched} AND {touched} + 30;
         DELETE FROM items WHERE id = {from} + 3 OR id = {touched} + 7;
         UPDATE items SET id = id + 50000000 WHERE id = {from} + 5;
         INSERT INTO lines SELECT {from} + i, 'l' FROM generate_series(0, 9) i;
         COMMIT;"
    )
}
