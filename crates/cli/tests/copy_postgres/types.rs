//! What PostgreSQL can do with rows, tables and values.

use super::{Pair, rows};
use serde_json::json;

const SCHEMA: &str = "
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN score AS int CHECK (VALUE >= 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE kinds (id int PRIMARY KEY, b bool, i2 smallint, i8 bigint, f double precision,
  whole numeric(12,0), amount numeric(10,2), t text, v varchar(20), d date, at timestamptz,
  mood mood, score score, pair pair, ints int[], texts text[], j jsonb, ip inet, u uuid, long text);
ALTER TABLE kinds ALTER COLUMN long SET STORAGE EXTERNAL;
INSERT INTO kinds VALUES (1, true, -3, 9007199254740993, 1.5, 123456789012, 12.34, E'a\\tb\\nc\\\\',
  'v', '2026-11-29', '2026-11-29 15:33:01.123+02', 'good', 7, '(1,\"x y\")', '{1,2}', '{a,\"b c\"}',
  '{\"k\": 1, \"deep\": {\"w\": [\"p\", \"q\"]}}', '10.1.2.3/24', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  repeat('toast ', 2000));
INSERT INTO kinds (id, f, at, d) VALUES (2, 'NaN', 'infinity', NULL);
CREATE TABLE parts (id int, day date, n int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO parts SELECT i, '2026-01-01'::date + i, i FROM generate_series(1, 300) i;
CREATE TABLE whole (id int PRIMARY KEY, model text, long text);
ALTER TABLE whole REPLICA IDENTITY FULL;
INSERT INTO whole SELECT i, 'm', repeat('x', 10) FROM generate_series(1, 50) i;
CREATE TABLE emptied (id int PRIMARY KEY, model text);
INSERT INTO emptied SELECT i, 'm' FROM generate_series(1, 100) i;
ANALYZE;
";

#[test]
fn all_kinds_of_values_tables_and_changes() {
    let Some(pair) = Pair::start("all_kinds_of_values_tables_and_changes") else { return };
    pair.source.sql(SCHEMA);
    // Everything in the clear, to compare it.
    pair.plan("kinds", &pair.source.source());
    pair.open_plan();
    pair.run_plan("kinds");
    pair.catch_up("kinds");

    let analyst = pair.node.caller("analyst");
    let engineer = pair.node.caller("engineer");
    let kinds = rows(&analyst, "kinds", "id");
    let row = &kinds[0].1;
    for (field, expected) in [
        ("b", json!(true)),
        ("i2", json!(-3)),
        ("i8", json!(9_007_199_254_740_993_i64)),
        ("f", json!(1.5)),
        ("whole", json!(123_456_789_012_i64)),
        ("amount", json!(12.34)),
        ("t", json!("a\tb\nc\\")),
        ("d", json!("2026-11-29T00:00:00Z")),
        ("at", json!("2026-11-29T13:33:01.123Z")),
        ("mood", json!("good")),
        ("score", json!(7)),
        ("pair", json!({ "a": 1, "b": "x y" })),
        ("ints", json!([1, 2])),
        ("texts", json!(["a", "b c"])),
        ("j", json!({ "k": 1, "deep": { "w": ["p", "q"] } })),
        ("ip", json!("10.1.2.3")),
        ("u", json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("long", json!("toast ".repeat(2000))),
    ] {
        assert_eq!(row[field], expected, "{field}");
    }
    assert_eq!(kinds[1].1, json!({ "id": 2 }), "what has no value of ours is null");

    // A long value that an update left alone stays, beside JSON that changes; a key changes; rows
    // move between partitions; all of a row is its identity; a table is emptied and filled again.
    pair.source.sql(
        "UPDATE kinds SET i2 = 4, j = '{\"k\": 2}' WHERE id = 1;
         BEGIN; UPDATE kinds SET i2 = 5 WHERE id = 1; UPDATE kinds SET i8 = 6 WHERE id = 1; COMMIT;
         UPDATE kinds SET id = 22 WHERE id = 2;
         BEGIN; UPDATE kinds SET id = 11, i2 = 7 WHERE id = 1; UPDATE kinds SET id = 1, i2 = 5 WHERE id = 11;
         COMMIT;
         UPDATE parts SET day = '2026-12-24', n = -1 WHERE id = 5;
         DELETE FROM parts WHERE id = 6;
         UPDATE whole SET model = 'n' WHERE id <= 10; DELETE FROM whole WHERE id = 50;
         TRUNCATE emptied; INSERT INTO emptied VALUES (7, 'after');",
    );
    pair.catch_up("kinds");
    let kinds = rows(&analyst, "kinds", "id");
    assert_eq!(kinds.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["1", "22"]);
    let row = &kinds[0].1;
    assert_eq!(row["long"], json!("toast ".repeat(2000)), "unchanged at the source");
    assert_eq!((&row["i2"], &row["i8"], &row["j"]), (&json!(5), &json!(6), &json!({ "k": 2 })));
    assert_eq!(pair.count("parts"), 299);
    assert_eq!(pair.ask("SELECT count(*) FROM parts WHERE n = -1"), json!(1));
    assert_eq!(pair.ask("SELECT count(*) FROM whole WHERE model = 'n'"), json!(10));
    assert_eq!(pair.count("whole"), 49);
    let emptied = rows(&analyst, "emptied", "id");
    assert_eq!(emptied, [("7".to_owned(), json!({ "id": 7, "model": "after" }))]);

    pair.node.program.run_as(&engineer, &["copy", "verify", "kinds"]);

    // A new column is withheld while the rest flows; one that is retyped or dropped stops nothing.
    pair.source.sql(
        "ALTER TABLE whole ADD COLUMN remark text DEFAULT 'seen';
         INSERT INTO whole VALUES (60, 'new', 'y', 'a remark about somebody');
         ALTER TABLE emptied ALTER COLUMN id TYPE bigint, DROP COLUMN model;
         INSERT INTO emptied VALUES (8);",
    );
    pair.catch_up("kinds");
    assert_eq!(pair.count("whole"), 50);
    assert_eq!(pair.count("emptied"), 2);
    let whole = pair.node.caller("guardian").get("/_clerestory/rulings/whole/remark").expect(200);
    assert_eq!(whole["state"], "withheld", "{whole}");
    let notes = pair.status("kinds")["notes"].to_string();
    assert!(
        notes.contains("`remark` was added") && notes.contains("`model` was dropped"),
        "{notes}"
    );
    // A default fills old rows without a word in the stream: only a comparison finds that.
    let verified = pair.node.program.output_as(&engineer, &["copy", "verify", "kinds", "--json"]);
    let verified: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    let whole =
        verified["tables"].as_array().unwrap().iter().find(|t| t["table"] == "public.whole");
    assert_eq!(whole.unwrap()["differing"], 49, "{verified}");
    assert_eq!(verified["equal"], false);

    // A slot that is gone is named, and mended by a new snapshot while everything stays readable.
    let paused = ["copy", "pause", "kinds"];
    pair.node.program.run_as(&engineer, &paused);
    pair.source.sql(
        "SELECT pg_drop_replication_slot('clerestory_kinds'); DELETE FROM whole WHERE id <= 20;
         UPDATE whole SET model = 'z' WHERE id = 30;",
    );
    assert_eq!(pair.count("whole"), 50);
    pair.node.program.run_as(&engineer, &["copy", "resume", "kinds"]);
    pair.catch_up("kinds");
    let notes = pair.status("kinds")["notes"].to_string();
    assert!(notes.contains("slot `clerestory_kinds` is not there"), "{notes}");
    assert_eq!(pair.count("whole"), 30);
    assert_eq!(pair.ask("SELECT count(*) FROM whole WHERE model = 'z'"), json!(1));
}
