//! A slot that is gone: dropped, or invalidated because it kept too much. It is named, and
//! everything is read again while what was copied stays readable.

use super::{Pair, rows};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ROWS: u64 = 30_000;

fn schema() -> String {
    format!(
        "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);
         CREATE TABLE lines (n int NOT NULL);
         CREATE TABLE noise (text text);
         INSERT INTO items SELECT i, i FROM generate_series(1, {ROWS}) i;
         INSERT INTO lines SELECT i FROM generate_series(1, 500) i;
         ANALYZE;"
    )
}

/// Fills the log of the server.
fn make_noise(pair: &Pair, mib: u64) {
    pair.source.sql(&format!(
        "INSERT INTO noise SELECT repeat(md5(i::text), 32) FROM generate_series(1, {mib} * 1024) i"
    ));
    pair.source.sql("SELECT pg_switch_wal(); CHECKPOINT;");
}

/// What happens while nobody follows: rows go, come, change.
fn change_unseen(pair: &Pair) {
    pair.source.sql(&format!(
        "DELETE FROM items WHERE id % 3 = 0; UPDATE items SET n = -n WHERE id % 5 = 0;
         INSERT INTO items SELECT i, i FROM generate_series({ROWS} + 1, {ROWS} + 100) i;
         DELETE FROM lines WHERE n <= 100; INSERT INTO lines SELECT generate_series(501, 520);"
    ));
}

/// Resumes, asks all the while, and compares at the end.
fn resume_and_compare(pair: &Pair, name: &str, before: u64) {
    pair.command("resume", name);
    let started = Instant::now();
    let mut looked = 0;
    loop {
        let status = pair.status(name);
        if status["state"] == "snapshot" {
            // Old rows stay until all is read; new ones come.
            let count = pair.count("items");
            if is_reading(&pair.status(name)) {
                assert!((before..=before + 100).contains(&count), "{count} of {before}");
                looked += 1;
            }
        }
        if status["state"] == "following" {
            break;
        }
        assert_ne!(status["state"], "paused", "{status}");
        assert!(started.elapsed() < super::WAIT, "{status}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(looked >= 2, "it was looked at while it was read again: {looked}");
    pair.catch_up(name);
    let expected = pair.source.sql("SELECT id, n FROM items");
    let expected: BTreeMap<String, String> = expected
        .lines()
        .map(|line| {
            let (id, n) = line.split_once('|').unwrap();
            (id.to_owned(), n.to_owned())
        })
        .collect();
    let analyst = pair.node.caller("analyst");
    let found: BTreeMap<String, String> = rows(&analyst, "items", "id")
        .into_iter()
        .map(|(id, row)| (id, row["n"].to_string()))
        .collect();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "every row is as at the source");
    let lines = pair.source.sql("SELECT count(*), sum(n) FROM lines");
    let (count, sum) = lines.trim().split_once('|').unwrap();
    assert_eq!(pair.count("lines").to_string(), count, "lines");
    assert_eq!(pair.ask("SELECT sum(n) FROM lines").to_string(), sum);
}

/// Whether ranges are left to read, so that nothing was taken away yet.
fn is_reading(status: &Value) -> bool {
    let mut tables = status["tables"].as_array().unwrap().iter();
    tables.any(|table| table["ranges_done"].as_u64() < table["ranges"].as_u64())
}

#[track_caller]
fn noted(status: &Value, words: &str) {
    assert!(status["notes"].to_string().contains(words), "{words}: {}", status["notes"]);
}

fn begin(test: &str, name: &str, settings: &str, more: &str) -> Option<Pair> {
    let pair = Pair::start_with(test, settings)?;
    pair.source.sql(&schema());
    pair.plan(name, &format!("{}    range_rows: 1000\n{more}", pair.source.source()));
    pair.open_plan();
    let file = pair.node.program.path("plan.yaml");
    let plan = std::fs::read_to_string(&file).unwrap();
    let (start, rest) = plan.split_once("  public.noise:").unwrap();
    let rest = rest.lines().skip(1).skip_while(|line| line.starts_with("   ") || line.is_empty());
    let rest: Vec<&str> = rest.collect();
    std::fs::write(&file, format!("{start}{}\n", rest.join("\n"))).unwrap();
    pair.run_plan(name);
    pair.catch_up(name);
    assert_eq!(pair.count("items"), ROWS);
    Some(pair)
}

#[test]
fn a_dropped_slot_is_mended_while_rows_stay_readable() {
    let name = "a_dropped_slot_is_mended_while_rows_stay_readable";
    let Some(mut pair) = begin(name, "dropped", "", "") else { return };
    // Once while it is paused, once while the server is down.
    pair.command("pause", "dropped");
    pair.source.sql("SELECT pg_drop_replication_slot('clerestory_dropped')");
    change_unseen(&pair);
    resume_and_compare(&pair, "dropped", ROWS);
    noted(&pair.status("dropped"), "slot `clerestory_dropped` ");

    pair.command("pause", "dropped");
    pair.node.kill();
    pair.source.sql(
        "SELECT pg_drop_replication_slot('clerestory_dropped'); DELETE FROM items WHERE id % 2 = 0;
         DELETE FROM lines WHERE n % 2 = 0",
    );
    pair.node.serve();
    let before = pair.count("items");
    resume_and_compare(&pair, "dropped", before);

    // A person may ask for it, too, and be cut off in the midst.
    pair.source.sql("UPDATE items SET n = 7 WHERE id < 50");
    pair.command("resnapshot", "dropped");
    pair.wait_for("dropped", "snapshot");
    pair.node.kill();
    pair.node.serve();
    pair.wait_for("dropped", "following");
    pair.catch_up("dropped");
    pair.command("verify", "dropped");
    let lines = pair.source.sql("SELECT count(*) FROM lines");
    assert_eq!(pair.count("lines").to_string(), lines.trim());
}

#[test]
fn an_invalidated_slot_is_named_and_mended() {
    let name = "an_invalidated_slot_is_named_and_mended";
    let settings = "max_slot_wal_keep_size = 32MB\nmin_wal_size = 32MB\nwal_keep_size = 0";
    let Some(pair) = begin(name, "invalid", settings, "") else { return };
    pair.command("pause", "invalid");
    change_unseen(&pair);
    let started = Instant::now();
    loop {
        make_noise(&pair, 24);
        let status = pair.source.sql("SELECT wal_status FROM pg_replication_slots");
        if status.trim() == "lost" {
            break;
        }
        assert!(started.elapsed() < super::WAIT, "the slot is {status}");
    }
    // Known before anybody resumes it.
    pair.wait_until("invalid", "known to be lost", |status| {
        status["state"] == "paused" && status["notes"].to_string().contains("was invalidated")
    });
    resume_and_compare(&pair, "invalid", ROWS);
    noted(&pair.status("invalid"), "max_slot_wal_keep_size");
}

#[test]
fn what_the_source_keeps_is_shown_and_bounded() {
    let name = "what_the_source_keeps_is_shown_and_bounded";
    let Some(pair) = begin(name, "bounded", "", "    lag_bytes_max: 64MB\n") else { return };
    let status = pair.wait_until("bounded", "looked at", |status| status["lag_waiting"].is_u64());
    assert_eq!(status["lag_waiting_max"], json!(64 << 20));
    pair.command("pause", "bounded");
    change_unseen(&pair);
    make_noise(&pair, 20);
    // It grows, and is told; nothing happens to it below the bound.
    pair.wait_until("bounded", "told", |status| status["lag_waiting"].as_u64() > Some(20 << 20));
    let told =
        pair.node.program.run_as(&pair.node.caller("engineer"), &["copy", "status", "bounded"]);
    assert!(told.contains("bytes for it, of at most 67,108,864"), "{told}");
    assert_eq!(pair.source.sql("SELECT count(*) FROM pg_replication_slots").trim(), "1");
    make_noise(&pair, 80);
    let status = pair.wait_until("bounded", "given up", |status| {
        status["notes"].to_string().contains("above lag_bytes_max 67108864")
    });
    assert_eq!(status["state"], "paused");
    assert_eq!(pair.source.sql("SELECT count(*) FROM pg_replication_slots").trim(), "0");
    assert_eq!(pair.count("items"), ROWS);
    resume_and_compare(&pair, "bounded", ROWS);
}

#[test]
fn a_snapshot_that_has_the_source_keep_too_much_pauses() {
    let name = "a_snapshot_that_has_the_source_keep_too_much_pauses";
    let Some(pair) = begin(name, "slow", "", "    lag_bytes_max: 64MB\n") else { return };
    pair.command("resnapshot", "slow");
    pair.wait_until("slow", "reading", |status| {
        status["state"] == "snapshot" && is_reading(status)
    });
    std::thread::scope(|scope| {
        // Nobody reads the table meanwhile.
        let lock = "BEGIN; LOCK TABLE items; SELECT pg_sleep(40); COMMIT;";
        let locked = scope.spawn(|| pair.source.sql(lock));
        make_noise(&pair, 80);
        let status = pair.wait_for("slow", "paused");
        let reason = status["reason"].as_str().unwrap();
        assert!(reason.contains("above lag_bytes_max 67108864"), "{reason}");
        assert!(reason.contains("clerestory copy resume slow"), "{reason}");
        // Also that of the view, which goes with its connection.
        let started = Instant::now();
        while pair.source.sql("SELECT count(*) FROM pg_replication_slots").trim() != "0" {
            assert!(started.elapsed() < Duration::from_secs(5), "a slot is left");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(!locked.is_finished(), "whoever reads waits for the lock still");
        locked.join().unwrap();
    });
    change_unseen(&pair);
    resume_and_compare(&pair, "slow", ROWS);
}
