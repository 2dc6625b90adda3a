//! `copy verify` names exactly the rows that differ, while both sides change.

use super::Pair;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

const SCHEMA: &str = "
CREATE TABLE accounts (id bigint PRIMARY KEY, email text, plan text, n int);
CREATE TABLE lines (n int, model text);
INSERT INTO accounts SELECT i, 'person' || i || '@private-mail.example', 'free', 0
  FROM generate_series(1, 4000) i;
INSERT INTO lines SELECT i, 'm' FROM generate_series(1, 600) i;
ANALYZE;
";

/// Ends the writer.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a comparison named: `key how`.
fn named(table: &Value) -> BTreeSet<String> {
    let keys = table["keys"].as_array().unwrap().iter();
    keys.map(|key| format!("{} {}", key["key"].as_str().unwrap(), key["how"].as_str().unwrap()))
        .collect()
}

#[test]
fn exactly_what_differs_is_named_while_a_writer_runs() {
    let Some(pair) = Pair::start("exactly_what_differs_is_named_while_a_writer_runs") else {
        return;
    };
    pair.source.sql(SCHEMA);
    pair.copy("checked");
    pair.catch_up("checked");
    let engineer = pair.node.caller("engineer");
    let verify = || -> Value {
        let output =
            pair.node.program.output_as(&engineer, &["copy", "verify", "checked", "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.success(), answer["equal"] == json!(true), "{answer}");
        answer
    };
    let of = |answer: &Value, table: &str| -> Value {
        let tables = answer["tables"].as_array().unwrap().iter();
        let mut found = tables.filter(|one| one["table"] == table);
        found.next().unwrap_or_else(|| panic!("{table}: {answer}")).clone()
    };
    // Persons are told by pseudonyms, here and in what differs.
    let analyst = pair.node.caller("analyst");
    let pseudonym = |id: u64| -> String {
        let found = analyst.get(&format!("/accounts/_doc/{id}")).expect(200);
        found["_id"].as_str().unwrap().to_owned()
    };
    let (missing, changed) = (pseudonym(17), pseudonym(18));
    assert!(missing.starts_with("account:") && missing != changed, "{missing}");

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also if something is not as it should be: the writer ends, and so does the test.
        let stopping = Stop(&stop);
        let writer = scope.spawn(|| {
            let mut step = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                step += 1;
                // Rows come, change all the time, change their key, go.
                pair.source.sql(&format!(
                    "INSERT INTO accounts SELECT i, 'new' || i || '@private-mail.example', 'free', 0
                       FROM generate_series({step} * 20 + 100000, {step} * 20 + 100019) i;
                     UPDATE accounts SET n = n + 1 WHERE id BETWEEN 100 AND 160;
                     UPDATE accounts SET n = {step} WHERE id BETWEEN {0} AND {0} + 50;
                     DELETE FROM accounts WHERE id = {1};
                     UPDATE accounts SET id = id + 5000000 WHERE id = {1} + 1;
                     INSERT INTO lines SELECT i, 'm' FROM generate_series(1, 10) i;",
                    1_000 + step * 53 % 2_000,
                    step * 20 + 100_003,
                ));
            }
            step
        });
        let quiet = verify();
        assert_eq!(quiet["equal"], json!(true), "no false difference under change: {quiet}");
        assert_eq!(of(&quiet, "public.lines")["has_key"], json!(false));

        // A row goes here, one becomes another, one comes that the source never had.
        let status = engineer.send("DELETE", "/accounts/_doc/17", "", b"").status;
        assert_eq!(status, 200);
        let plan = json!({ "doc": { "plan": "planted" } });
        engineer.post("/accounts/_update/18", &plan).expect(200);
        engineer.put("/accounts/_doc/99000111", &json!({ "plan": "planted", "n": 1 })).expect(201);
        let extra = pseudonym(99_000_111);
        let found = verify();
        let expected =
            [format!("{missing} missing"), format!("{changed} changed"), format!("{extra} extra")];
        let accounts = of(&found, "public.accounts");
        assert_eq!(named(&accounts), expected.into_iter().collect(), "{accounts}");
        assert_eq!(of(&found, "public.lines")["equal"], json!(true), "{found}");
        assert!(!found.to_string().contains("private-mail"), "no value");
        drop(stopping);
        assert!(writer.join().unwrap() > 20, "the writer got something done");
    });

    // On the terminal, and mended.
    pair.catch_up("checked");
    let output = pair.node.program.output_as(&engineer, &["copy", "verify", "checked"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(&format!("public.accounts {missing} is not here")), "{told}");
    let mend = ["copy", "resnapshot", "checked", "--table", "public.accounts"];
    pair.node.program.run_as(&engineer, &mend);
    pair.catch_up("checked");
    let mended = verify();
    assert_eq!(mended["equal"], json!(true), "{mended}");
    let count = pair.source.sql("SELECT count(*) FROM accounts").trim().parse::<u64>().unwrap();
    let accounts = of(&mended, "public.accounts");
    assert_eq!(
        (&accounts["rows_at_source"], &accounts["rows_here"]),
        (&json!(count), &json!(count))
    );
}
