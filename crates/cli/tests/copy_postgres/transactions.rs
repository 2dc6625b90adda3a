//! Transactions that outgrow the server's memory, rolled back in whole and in part; tables that
//! change while they are followed; partitions that come and go.

use super::{Pair, StopOnDrop, rows};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The server streams what outgrows this.
const SMALL_MEMORY: &str = "logical_decoding_work_mem = 64kB";

const SCHEMA: &str = "
CREATE TABLE items (id int PRIMARY KEY, n bigint, model text, long text);
ALTER TABLE items ALTER COLUMN long SET STORAGE EXTERNAL;
CREATE TABLE lines (n int, model text);
INSERT INTO items SELECT i, i, 'm', repeat('long ', 1000) FROM generate_series(1, 40) i;
INSERT INTO lines SELECT i, 'm' FROM generate_series(1, 40) i;
ANALYZE;
";

/// Subtransactions that are rolled back, one within another, around rows that stay. The rows that go
/// are enough to be streamed before that is known.
fn large(from: u32) -> String {
    let rows = |from: u32, model: &str| {
        format!(
            "INSERT INTO items SELECT i, i, '{model}', 'l' FROM generate_series({from}, {from} + 799) i;
             INSERT INTO lines SELECT i, '{model}' FROM generate_series({from}, {from} + 799) i;"
        )
    };
    format!(
        "{} SAVEPOINT a; {} ROLLBACK TO a; {}
         SAVEPOINT b; {} SAVEPOINT c; {} ROLLBACK TO c; RELEASE c; {} RELEASE b;
         UPDATE items SET n = n + 1, model = 'changed' WHERE id % 10 = 0;
         UPDATE items SET id = id + 500000 WHERE id BETWEEN 1 AND 5;
         DELETE FROM items WHERE id = {from} + 7;",
        rows(from, "kept"),
        rows(from + 1_000, "gone"),
        rows(from + 2_000, "kept"),
        rows(from + 3_000, "kept"),
        rows(from + 4_000, "gone"),
        rows(from + 5_000, "kept"),
    )
}

fn begin(test: &str, name: &str, more: &str) -> Option<Pair> {
    let pair = Pair::start_with(test, SMALL_MEMORY)?;
    pair.source.sql(SCHEMA);
    pair.plan(name, &format!("{}{more}", pair.source.source()));
    pair.open_plan();
    pair.run_plan(name);
    pair.catch_up(name);
    Some(pair)
}

#[track_caller]
fn same(pair: &Pair) {
    let analyst = pair.node.caller("analyst");
    let expected = pair.source.sql("SELECT id, n, model, length(long) FROM items");
    let expected: BTreeMap<String, String> = expected
        .lines()
        .map(|line| {
            let (id, rest) = line.split_once('|').unwrap();
            (id.to_owned(), rest.to_owned())
        })
        .collect();
    let found: BTreeMap<String, String> = rows(&analyst, "items", "id")
        .into_iter()
        .map(|(id, row)| {
            let length = row["long"].as_str().map_or(0, str::len);
            (id, format!("{}|{}|{length}", row["n"], row["model"].as_str().unwrap()))
        })
        .collect();
    for (id, row) in &expected {
        assert_eq!(found.get(id), Some(row), "{id}");
    }
    assert_eq!(found.len(), expected.len());
    let mut found: Vec<u64> =
        rows(&analyst, "lines", "n").iter().map(|(_, row)| row["n"].as_u64().unwrap()).collect();
    found.sort_unstable();
    let expected = pair.source.sql("SELECT n FROM lines ORDER BY n");
    let expected: Vec<u64> = expected.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(found, expected, "each line exactly once");
}

/// How many transactions the server streamed; before PostgreSQL 14 it cannot.
fn streamed(pair: &Pair) -> Option<u64> {
    let version = pair.source.sql("SHOW server_version_num");
    if version.trim().parse::<u32>().unwrap() < 140_000 {
        return None;
    }
    // What a walsender counts is told when it is idle.
    std::thread::sleep(Duration::from_secs(1));
    let said = pair.source.sql("SELECT stream_txns FROM pg_stat_replication_slots");
    Some(said.trim().parse().unwrap())
}

#[test]
fn large_transactions_are_streamed_and_only_what_is_committed_is_stored() {
    let name = "large_transactions_are_streamed_and_only_what_is_committed_is_stored";
    let Some(mut pair) = begin(name, "large", "") else { return };
    pair.source.sql(&format!("BEGIN; {} COMMIT;", large(1_000)));
    pair.catch_up("large");
    same(&pair);
    assert_ne!(streamed(&pair), Some(0), "it was streamed");
    // None of it comes when all is rolled back.
    pair.source.sql(&format!("BEGIN; {} ROLLBACK;", large(10_000)));
    pair.catch_up("large");
    same(&pair);
    assert_eq!(pair.ask("SELECT count(*) FROM items WHERE model = 'gone'"), json!(0));

    // Two at once, small ones between their parts, and the server killed in the midst of them.
    std::thread::scope(|scope| {
        let source = &pair.source;
        let node = &mut pair.node;
        let long = |from: u32, end: &'static str| {
            let (first, second) =
                (large(from), large(from + 7_000).replace("+ 500000", "+ 600000"));
            move || source.sql(&format!("BEGIN; {first} SELECT pg_sleep(4); {second} {end};"))
        };
        // The second waits for rows of the first in its midst.
        let one = scope.spawn(long(20_000, "COMMIT"));
        std::thread::sleep(Duration::from_millis(500));
        let other = scope.spawn(long(50_000, "ROLLBACK"));
        for n in 0..20 {
            source.sql(&format!("INSERT INTO lines VALUES (900000 + {n}, 'small')"));
            std::thread::sleep(Duration::from_millis(50));
        }
        node.kill();
        node.serve();
        for n in 20..40 {
            source.sql(&format!("INSERT INTO lines VALUES (900000 + {n}, 'small')"));
            std::thread::sleep(Duration::from_millis(50));
        }
        one.join().unwrap();
        other.join().unwrap();
    });
    pair.catch_up("large");
    same(&pair);
    // Nothing of them lies about.
    let left = std::fs::read_dir(pair.node.program.data()).unwrap();
    let mut left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.all(|name| !name.starts_with("aside")));
    pair.command("verify", "large");
}

#[test]
fn above_the_bound_transactions_stay_at_the_source_until_they_are_committed() {
    let name = "above_the_bound_transactions_stay_at_the_source_until_they_are_committed";
    let Some(pair) = begin(name, "bound", "    stream_bytes_max: 100kB\n") else { return };
    pair.source.sql(&format!("BEGIN; {} COMMIT;", large(1_000)));
    pair.source.sql("INSERT INTO lines VALUES (900000, 'small')");
    pair.catch_up("bound");
    same(&pair);
    let Some(_) = streamed(&pair) else { return };
    let log = std::fs::read_to_string(pair.node.program.log()).unwrap();
    assert!(log.contains("outgrew stream_bytes_max"), "more was streamed than the bound");
    // And from then on.
    pair.source.sql(&format!("BEGIN; {} COMMIT;", large(10_000).replace("500000", "600000")));
    pair.catch_up("bound");
    same(&pair);
    let status = pair.status("bound");
    assert_eq!(status["state"], "following", "{status}");
}

#[test]
fn tables_change_while_they_are_followed() {
    let name = "tables_change_while_they_are_followed";
    let Some(mut pair) = begin(name, "schema", "") else { return };
    let steps = [
        // Also one of a type that nobody knew, and what is rolled back was not.
        "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TYPE place AS (x int, y int);
         ALTER TABLE items ADD COLUMN mood mood, ADD COLUMN places place[];
         INSERT INTO items VALUES (1001, 1, 'm', 'l', 'good', '{\"(1,2)\",\"(3,4)\"}');",
        "BEGIN; ALTER TABLE items ADD COLUMN mistake int; INSERT INTO items (id, mistake) VALUES (1002, 7);
         ROLLBACK; INSERT INTO items (id, n, model) VALUES (1002, 2, 'm');",
        "ALTER TABLE items RENAME COLUMN model TO kind;
         INSERT INTO items (id, n, kind) VALUES (1003, 3, 'renamed');
         UPDATE items SET n = 33 WHERE id = 3;",
        "ALTER TABLE items ALTER COLUMN n TYPE text USING 'n' || n;
         INSERT INTO items (id, n, kind) VALUES (1004, 'four', 'retyped');",
        "ALTER TABLE items DROP COLUMN kind; INSERT INTO items (id) VALUES (1005);",
        "ALTER TABLE items RENAME TO things; INSERT INTO things (id) VALUES (1006);
         ALTER TABLE things RENAME TO items;",
    ];
    for (number, step) in steps.iter().enumerate() {
        pair.source.sql(step);
        pair.catch_up("schema");
        // It begins with a table that has changed already.
        if number == 0 || number == 4 {
            pair.node.kill();
            pair.node.serve();
        }
    }
    let status = pair.status("schema");
    assert_eq!(status["state"], "following", "{status}");
    let notes = status["notes"].to_string();
    for expected in [
        "column `mood` was added",
        "column `kind` was added",
        "column `model` was dropped",
        "column `n` is `text` now and was `int8`",
        "column `kind` was dropped",
    ] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
    assert!(!notes.contains("mistake"), "{notes}");

    let analyst = pair.node.caller("analyst");
    let found: BTreeMap<String, Value> = rows(&analyst, "items", "id").into_iter().collect();
    assert_eq!(found["1001"]["n"], json!(1));
    assert_eq!(found["1002"]["model"], json!("m"));
    // Under its new name it is a column that nobody ruled on.
    assert_eq!((&found["1003"]["model"], &found["1003"]["kind"]), (&Value::Null, &Value::Null));
    assert_eq!(found["3"]["n"], json!(33), "{}", found["3"]);
    assert_eq!(found["3"]["long"], json!("long ".repeat(1000)), "unchanged at the source");
    // A text is no number: the row is stored without it, and that is counted.
    assert_eq!(found["1004"]["n"], Value::Null);
    assert!(found.contains_key("1005"));
    assert_eq!(found.len().to_string(), pair.source.sql("SELECT count(*) FROM items").trim());
    let guardian = pair.node.caller("guardian");
    for field in ["mood", "kind"] {
        let ruling = guardian.get(&format!("/_clerestory/rulings/items/{field}")).expect(200);
        assert_eq!(ruling["state"], "withheld", "{ruling}");
    }
}

#[test]
fn a_renamed_key_is_named_and_read_again() {
    let Some(pair) = begin("a_renamed_key_is_named_and_read_again", "key", "") else { return };
    pair.source.sql(
        "ALTER TABLE items RENAME COLUMN id TO number; INSERT INTO items (number, n) VALUES (77, 7);
         DELETE FROM items WHERE number = 3;",
    );
    let status = pair.wait_for("key", "paused");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("has no column `id`, which the copy file has as its key"), "{reason}");
    let notes = status["notes"].to_string();
    assert!(notes.contains("without `id`, which names its rows"), "{notes}");
    assert_eq!(pair.count("items"), 40, "what is there stays readable");
    // A new version of the file.
    pair.plan("key", &pair.source.source());
    pair.open_plan();
    pair.run_plan("key");
    pair.catch_up("key");
    assert_eq!(pair.ask("SELECT count(*) FROM items WHERE number = 77"), json!(1));
    assert_eq!(pair.count("items"), 40);
    assert_eq!(pair.count("lines"), 40);
}

#[test]
fn a_table_that_is_made_anew_is_read_again() {
    let Some(pair) = begin("a_table_that_is_made_anew_is_read_again", "anew", "") else { return };
    pair.source.sql(
        "BEGIN; DROP TABLE lines; CREATE TABLE lines (n int, model text);
         INSERT INTO lines SELECT i, 'new' FROM generate_series(1, 7) i; COMMIT;
         INSERT INTO lines VALUES (8, 'new');",
    );
    // Nobody publishes it any more, so nothing of it is in the stream.
    pair.wait_until("anew", "noticed", |status| {
        status["notes"].to_string().contains("`public.lines` was not published for a while")
    });
    pair.catch_up("anew");
    pair.source.sql("INSERT INTO lines VALUES (9, 'newest')");
    pair.catch_up("anew");
    same(&pair);
}

#[test]
fn a_table_is_added_while_others_are_followed() {
    let name = "a_table_is_added_while_others_are_followed";
    let Some(pair) = begin(name, "added", "    range_rows: 1000\n") else { return };
    pair.source.sql(
        "CREATE TABLE more (id int PRIMARY KEY, n int);
         INSERT INTO more SELECT i, i FROM generate_series(1, 8000) i; ANALYZE more;",
    );
    pair.plan("added", &format!("{}    range_rows: 1000\n", pair.source.source()));
    pair.open_plan();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (source, stop) = (&pair.source, &stop);
        let writer = scope.spawn(move || {
            let mut step = 0;
            while !stop.load(Ordering::Relaxed) {
                step += 1;
                source.sql(&format!(
                    "INSERT INTO items VALUES (1000 + {step}, {step}, 'while', 'l');
                     INSERT INTO lines VALUES (1000 + {step}, 'while');
                     UPDATE more SET n = -n WHERE id % 100 = {step} % 100;"
                ));
            }
        });
        let _stop = StopOnDrop(stop);
        pair.run_plan("added");
        pair.wait_for("added", "following");
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
    pair.catch_up("added");
    same(&pair);
    let sums = pair.source.sql("SELECT count(*), sum(n) FROM more");
    let (count, sum) = sums.trim().split_once('|').unwrap();
    assert_eq!(pair.count("more").to_string(), count);
    assert_eq!(pair.ask("SELECT sum(n) FROM more").to_string(), sum);
}

#[test]
fn partitions_come_and_go() {
    let Some(pair) = Pair::start("partitions_come_and_go") else { return };
    pair.source.sql(
        "CREATE TABLE readings (id int, day date, n int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
         CREATE TABLE spring PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')
           PARTITION BY HASH (id);
         CREATE TABLE spring_0 PARTITION OF spring FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE spring_1 PARTITION OF spring FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO readings SELECT i, '2026-01-01'::date + i % 170, i FROM generate_series(1, 3000) i;
         ANALYZE;",
    );
    pair.plan("parts", &format!("{}    range_rows: 500\n", pair.source.source()));
    pair.open_plan();
    let plan = std::fs::read_to_string(pair.node.program.path("plan.yaml")).unwrap();
    assert!(!plan.contains("spring"), "partitions are parts of their table");
    pair.run_plan("parts");
    pair.catch_up("parts");
    let same = || {
        let sql = "SELECT count(*), coalesce(sum(n), 0) FROM readings";
        let expected = pair.source.sql(sql);
        let (count, sum) = expected.trim().split_once('|').unwrap();
        assert_eq!(pair.count("readings").to_string(), count);
        assert_eq!(pair.ask("SELECT sum(n) FROM readings").to_string(), sum);
    };
    same();
    // A new one, one that had rows before it was attached and changes afterwards, rows that move.
    pair.source.sql(
        "CREATE TABLE autumn PARTITION OF readings FOR VALUES FROM ('2026-07-01') TO ('2026-10-01');
         INSERT INTO readings SELECT i, '2026-08-01', i FROM generate_series(4000, 4100) i;
         UPDATE readings SET day = '2026-09-09', n = -n WHERE id BETWEEN 10 AND 60;
         UPDATE readings SET id = id + 100000 WHERE id BETWEEN 70 AND 90;
         DELETE FROM spring_0 WHERE id BETWEEN 100 AND 140;",
    );
    pair.catch_up("parts");
    same();
    // What a detached one had stays here; writing to it is not our table's any more.
    pair.source.sql(
        "ALTER TABLE readings DETACH PARTITION autumn; INSERT INTO autumn VALUES (9999, '2026-08-02', 1);
         ALTER TABLE readings ATTACH PARTITION autumn FOR VALUES FROM ('2026-07-01') TO ('2026-10-01');
         DELETE FROM readings WHERE id = 9999;",
    );
    pair.catch_up("parts");
    same();
    pair.command("verify", "parts");
    pair.source.sql("TRUNCATE readings; INSERT INTO readings VALUES (1, '2026-02-02', 5)");
    pair.catch_up("parts");
    same();
}
