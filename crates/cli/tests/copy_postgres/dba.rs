//! A source where the DBA makes slot and publication, and the account may only read.

use super::Pair;
use serde_json::{Value, json};

const SCHEMA: &str = "
CREATE TABLE devices (id int PRIMARY KEY, model text);
CREATE TABLE readings (id int, day date, n int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE readings_1 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE readings_2 PARTITION OF readings FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
CREATE TABLE lines (n int, text text);
CREATE TABLE hidden (id int PRIMARY KEY);
INSERT INTO devices SELECT i, 'cam' FROM generate_series(1, 200) i;
INSERT INTO readings SELECT i, '2026-01-01'::date + i, i FROM generate_series(1, 300) i;
INSERT INTO lines SELECT i, 'l' FROM generate_series(1, 40) i;
CREATE ROLE copier LOGIN REPLICATION;
GRANT SELECT ON devices, readings, lines TO copier;
ANALYZE;
";

fn source(pair: &Pair) -> String {
    let port = pair.source.port();
    format!(
        "source:\n  postgres:\n    host: 127.0.0.1\n    port: {port}\n    database: postgres\n    \
         user: copier\n    manage: false\n    slot: given\n    publication: given\n    lag_bytes_max: 20MB\n"
    )
}

/// Waits until the copy pauses, and gives the reason.
fn paused(pair: &Pair) -> String {
    let status = pair.wait_for("given", "paused");
    status["reason"].as_str().unwrap().to_owned()
}

#[test]
fn slot_and_publication_are_given_by_the_dba() {
    let Some(pair) = Pair::start("slot_and_publication_are_given_by_the_dba") else { return };
    pair.source.sql(SCHEMA);
    let plan = pair.copy_with("given", &source(&pair));
    assert!(!plan.contains("public.hidden"), "what the account may not read is not planned");

    // Every step says the SQL of the next, which the DBA runs as it stands there.
    let reason = paused(&pair);
    let (_, sql) = reason.split_once("CREATE PUBLICATION").unwrap_or_else(|| panic!("{reason}"));
    // As many have it: all in one, and without a thought of partitions.
    assert!(sql.contains("publish_via_partition_root = true"), "{reason}");
    pair.source.sql("CREATE PUBLICATION given FOR ALL TABLES");
    pair.command("resume", "given");
    let reason = paused(&pair);
    let (_, sql) = reason.split_once(": ALTER").unwrap_or_else(|| panic!("{reason}"));
    pair.source.sql(&format!("ALTER{sql}"));
    pair.command("resume", "given");
    let reason = paused(&pair);
    let (_, sql) = reason.split_once("let the DBA make it: ").unwrap_or_else(|| panic!("{reason}"));
    pair.source.sql(sql);
    // Before the snapshot, and after the slot.
    pair.source.sql(
        "UPDATE devices SET model = 'bulb' WHERE id <= 10; INSERT INTO lines VALUES (41, 'between');
         DELETE FROM readings WHERE id = 7;",
    );
    pair.command("resume", "given");
    pair.catch_up_by("given", "given");
    same(&pair);

    pair.source.sql(
        "UPDATE devices SET model = 'plug' WHERE id > 190; DELETE FROM devices WHERE id = 5;
         UPDATE readings SET day = '2026-12-24', n = -1 WHERE id = 9;
         INSERT INTO lines VALUES (42, 'after');",
    );
    pair.catch_up_by("given", "given");
    same(&pair);
    assert_eq!(pair.ask("SELECT count(*) FROM readings WHERE n = -1"), json!(1));

    // Nothing was made beside what the DBA made.
    let made = pair.source.sql(
        "SELECT slot_name FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication",
    );
    assert_eq!(made, "given\ngiven\n");
    above_the_bound(&pair);
    lost_slot(&pair);
    parts_that_are_not_published(&pair);

    // What the DBA made, the DBA removes.
    pair.command("remove", "given");
    assert_eq!(pair.source.sql("SELECT slot_name FROM pg_replication_slots"), "given\n");
}

/// What the DBA made is not ours to drop, but it is told how much it keeps.
fn above_the_bound(pair: &Pair) {
    pair.command("pause", "given");
    for _ in 0..3 {
        pair.source.sql("INSERT INTO hidden SELECT coalesce(max(id), 0) + 1 FROM hidden");
        pair.source.sql("SELECT pg_switch_wal()");
    }
    let status = pair.wait_until("given", "told", |status| {
        status["status"].as_str().unwrap().contains("keeps more for it than lag_bytes_max")
    });
    assert!(status["lag_waiting"].as_u64() > status["lag_waiting_max"].as_u64(), "{status}");
    pair.command("resume", "given");
    pair.catch_up_by("given", "given");
    same(pair);
}

/// The DBA drops the slot: nobody else makes one; then everything is read again.
fn lost_slot(pair: &Pair) {
    pair.command("pause", "given");
    pair.source.sql(
        "SELECT pg_drop_replication_slot('given'); DELETE FROM devices WHERE id BETWEEN 20 AND 40;
         INSERT INTO lines VALUES (43, 'unseen');",
    );
    pair.command("resume", "given");
    let reason = paused(pair);
    assert!(reason.contains("there is no slot `given`"), "{reason}");
    assert_eq!(pair.count("devices"), 199, "what is there stays readable");
    let (_, sql) = reason.split_once("let the DBA make it: ").unwrap_or_else(|| panic!("{reason}"));
    pair.source.sql(sql);
    pair.command("resume", "given");
    pair.catch_up_by("given", "given");
    same(pair);
}

/// What a publication leaves out, the stream would not say: the copy does not run with it.
fn parts_that_are_not_published(pair: &Pair) {
    let version = pair.source.sql("SHOW server_version_num");
    if version.trim().parse::<u32>().unwrap() < 150_000 {
        return;
    }
    for (table, expected) in [
        ("devices WHERE (id > 100)", "a row filter on `public.devices`"),
        ("devices (id)", "does not publish column `model` of `public.devices`"),
    ] {
        pair.command("pause", "given");
        pair.source.sql(&format!(
            "DROP PUBLICATION given; CREATE PUBLICATION given FOR TABLE readings, lines, {table}
               WITH (publish_via_partition_root = true)"
        ));
        pair.command("resume", "given");
        let reason = paused(pair);
        assert!(reason.contains(expected), "{reason}");
    }
}

fn same(pair: &Pair) {
    for table in ["devices", "readings", "lines"] {
        let sql = format!("SELECT count(*) FROM {table}");
        assert_eq!(pair.count(table).to_string(), pair.source.sql(&sql).trim(), "{table}");
    }
    let sql = "SELECT count(*) FROM devices WHERE model = 'bulb'";
    let expected: Value = serde_json::from_str(pair.source.sql(sql).trim()).unwrap();
    assert_eq!(pair.ask(sql), expected);
}

#[test]
fn a_table_whose_policies_hide_rows_is_refused() {
    let Some(pair) = Pair::start("a_table_whose_policies_hide_rows_is_refused") else { return };
    pair.source.sql(
        "CREATE TABLE devices (id int PRIMARY KEY, model text);
         INSERT INTO devices SELECT i, 'cam' FROM generate_series(1, 20) i;
         ALTER TABLE devices ENABLE ROW LEVEL SECURITY;
         CREATE POLICY few ON devices USING (id <= 5);
         CREATE ROLE copier LOGIN REPLICATION; GRANT SELECT ON devices TO copier; ANALYZE;",
    );
    std::fs::write(pair.node.program.path("draft.yaml"), format!("copy: given\n{}", source(&pair)))
        .unwrap();
    let engineer = pair.node.caller("engineer");
    let planned =
        pair.node.program.output_as(&engineer, &["copy", "plan", "draft.yaml", "--out", "p.yaml"]);
    let said = String::from_utf8_lossy(&planned.stderr);
    assert!(!planned.status.success() && said.contains("may not do this"), "{said}");
    pair.source.sql("ALTER ROLE copier BYPASSRLS");
    pair.node.program.run_as(&engineer, &["copy", "plan", "draft.yaml", "--out", "p.yaml"]);
}
