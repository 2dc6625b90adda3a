//! Tables of many ranges, read side by side while somebody writes, and killed in their midst.

use super::{Pair, rows};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A key of one column, one of two with what a spelling has to survive, and none.
const SCHEMA: &str = "
CREATE TABLE big (id bigint PRIMARY KEY, n bigint NOT NULL, model text);
CREATE TABLE named (a text, b int, n int NOT NULL, PRIMARY KEY (a, b));
CREATE TABLE lines (n bigint NOT NULL, model text);
INSERT INTO big SELECT i * 3, i, 'm' || i % 7 FROM generate_series(1, 60000) i;
INSERT INTO named SELECT (ARRAY['it''s', 'back\\slash', 'a\"b', 'ünder', ' '])[1 + i % 5] || i / 50, i % 10, i
  FROM generate_series(1, 15000) i ON CONFLICT DO NOTHING;
INSERT INTO lines SELECT i, 'm' || i % 7 FROM generate_series(1, 20000) i;
ANALYZE;
";

const KILLS: u64 = 8;

#[test]
fn a_snapshot_of_many_ranges_goes_on_after_kills_while_somebody_writes() {
    let name = "a_snapshot_of_many_ranges_goes_on_after_kills_while_somebody_writes";
    let Some(mut pair) = Pair::start(name) else { return };
    pair.source.sql(SCHEMA);
    pair.plan("ranges", &format!("{}    range_rows: 1500\n", pair.source.source()));
    pair.open_plan();
    pair.run_plan("ranges");

    let stop = AtomicBool::new(false);
    let mut kills: Vec<u64> = Vec::new();
    std::thread::scope(|scope| {
        let (source, stop) = (&pair.source, &stop);
        let writer = scope.spawn(move || {
            let mut step = 0;
            while !stop.load(Ordering::Relaxed) {
                step += 1;
                source.sql(&change(step));
            }
            step
        });
        let _stop = super::StopOnDrop(stop);
        for _ in 0..KILLS {
            let Some(done) = more_ranges(&pair, kills.last().copied().unwrap_or(0)) else { break };
            pair.node.kill();
            pair.node.serve();
            kills.push(done);
        }
        more_ranges(&pair, kills.last().copied().unwrap_or(0));
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 5, "the writer got something done");
    });
    assert!(kills.len() > 3, "it was killed in the midst of the snapshot: {kills:?}");
    pair.catch_up("ranges");

    let analyst = pair.node.caller("analyst");
    let found = by_id(rows(&analyst, "big", "id"), |row| {
        format!("{}|{}", row["n"], row["model"].as_str().unwrap())
    });
    assert_same(&found, &source_rows(&pair, "SELECT id, n, model FROM big"));
    let found = by_id(rows(&analyst, "named", "n"), |row| row["n"].to_string());
    let escaped = "replace(replace(a, '\\', '\\\\'), '|', '\\|') || '|' || b";
    let sql = format!("SELECT translate({escaped}, '|', '/'), n FROM named");
    let found = found.into_iter().map(|(id, row)| (id.replace('|', "/"), row)).collect();
    assert_same(&found, &source_rows(&pair, &sql));
    // Rows without a key: each exactly once.
    let mut found: Vec<u64> =
        rows(&analyst, "lines", "n").iter().map(|(_, row)| row["n"].as_u64().unwrap()).collect();
    found.sort_unstable();
    let expected = pair.source.sql("SELECT n FROM lines ORDER BY n");
    let expected: Vec<u64> = expected.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(found.len(), expected.len(), "lines");
    assert_eq!(found, expected);
    pair.command("verify", "ranges");
}

/// Waits until more ranges of the tables with a key are read than `before`; `None` if all are.
fn more_ranges(pair: &Pair, before: u64) -> Option<u64> {
    let started = Instant::now();
    loop {
        let status = pair.status("ranges");
        let (done, all) = ranges(&status);
        if status["state"] == "following" || (all > 0 && done == all) {
            return None;
        }
        assert!(all == 0 || done >= before, "what was read counts: {done} after {before}");
        if done > before + 2 {
            return Some(done);
        }
        assert!(started.elapsed() < super::WAIT, "no range is read: {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many ranges of the tables with a key are read, and how many there are.
fn ranges(status: &Value) -> (u64, u64) {
    let tables = status["tables"].as_array().unwrap();
    let keyed = tables.iter().filter(|table| table["table"] != "public.lines");
    let count = |name: &str| keyed.clone().map(|table| table[name].as_u64().unwrap()).sum();
    (count("ranges_done"), count("ranges"))
}

fn by_id(rows: Vec<(String, Value)>, tell: impl Fn(&Value) -> String) -> BTreeMap<String, String> {
    rows.into_iter().map(|(id, row)| (id, tell(&row))).collect()
}

/// The rows of a question by what stands in its first column.
fn source_rows(pair: &Pair, sql: &str) -> BTreeMap<String, String> {
    let said = pair.source.sql(sql);
    let rows = said.lines().map(|line| {
        let (id, rest) = line.split_once('|').unwrap();
        (id.to_owned(), rest.to_owned())
    });
    rows.collect()
}

#[track_caller]
fn assert_same(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) {
    for (id, row) in expected {
        assert_eq!(found.get(id), Some(row), "{id}");
    }
    assert_eq!(found.len(), expected.len(), "rows that the source does not have");
}

/// One transaction all over the tables: behind and before what is being read.
fn change(step: u64) -> String {
    let touched = step * 7_919 % 170_000;
    format!(
        "BEGIN;
         INSERT INTO big SELECT {step} * 100 + i * 3 + 1, {step}, 'new' FROM generate_series(1, 9) i
           ON CONFLICT (id) DO UPDATE SET n = excluded.n;
         UPDATE big SET n = n + 1000000 WHERE id BETWEEN {touched} AND {touched} + 60;
         DELETE FROM big WHERE id BETWEEN {touched} + 90 AND {touched} + 99;
         UPDATE big SET id = id + 900000000 WHERE id = {touched} - {touched} % 3 + 150;
         UPDATE named SET n = n + 1000000 WHERE b = {step} % 10 AND n % 97 = {step} % 97;
         DELETE FROM named WHERE n % 1009 = {step} % 1009 AND n < 1000000;
         INSERT INTO lines SELECT 1000000 + {step} * 10 + i, 'l' FROM generate_series(0, 9) i;
         COMMIT;"
    )
}
