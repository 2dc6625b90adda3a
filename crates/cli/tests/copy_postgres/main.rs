//! Copying from a real PostgreSQL: the story, kill -9, and what a source can do.
//!
//! `.ci/run` installs PostgreSQL; without it the tests say that they were skipped.
#![expect(clippy::unwrap_used, reason = "tests are free")]

mod control;
mod dba;
mod killed;
mod lost;
mod plans;
mod ranges;
mod speed;
mod story;
mod tls;
mod transactions;
mod types;
mod used;
mod verified;

use conformance::{Caller, Node, Postgres};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Debug builds on a busy machine are slow; a hang must still end.
const WAIT: Duration = Duration::from_secs(240);

/// A house and a database.
struct Pair {
    node: Node,
    source: Postgres,
}

impl Pair {
    fn start(test: &str) -> Option<Pair> {
        Pair::start_with(test, "")
    }

    /// `settings`: lines for the database.
    fn start_with(test: &str, settings: &str) -> Option<Pair> {
        let source = Postgres::start_with(test, settings)?;
        Some(Pair { node: Node::start(&binary()), source })
    }

    /// Plans the copy `name` of all tables, with a purpose for all columns, proposes, signs and
    /// starts it. Gives the plan.
    fn copy(&self, name: &str) -> String {
        self.copy_with(name, &self.source.source())
    }

    /// As [`Pair::copy`], of this `source`.
    fn copy_with(&self, name: &str, source: &str) -> String {
        self.plan(name, source);
        self.run_plan(name);
        std::fs::read_to_string(self.node.program.path("plan.yaml")).unwrap()
    }

    /// Plans the copy `name` into `plan.yaml`.
    fn plan(&self, name: &str, source: &str) {
        let draft = format!("copy: {name}\n{source}");
        std::fs::write(self.node.program.path("draft.yaml"), draft).unwrap();
        let engineer = self.node.caller("engineer");
        let plan = ["copy", "plan", "draft.yaml", "--out", "plan.yaml"];
        let purpose = ["--used-for", "quality of the fleet", "--until", "2099-12-31"];
        self.node.program.run_as(&engineer, &[&plan[..], &purpose[..]].concat());
    }

    /// Has all that is planned be copied in the clear, to compare it.
    fn open_plan(&self) {
        let file = self.node.program.path("plan.yaml");
        let plan = std::fs::read_to_string(&file).unwrap();
        let open: String = plan
            .lines()
            .filter(|line| !line.trim_start().starts_with("kind:"))
            .map(|line| match line.trim_start().starts_with("class:") {
                true => format!("{}class: open\n", &line[..line.len() - line.trim_start().len()]),
                false => format!("{line}\n"),
            })
            .collect();
        std::fs::write(file, open).unwrap();
    }

    /// Runs a command about the copy `name` as the engineer.
    #[track_caller]
    fn command(&self, what: &str, name: &str) {
        self.node.program.run_as(&self.node.caller("engineer"), &["copy", what, name]);
    }

    /// Waits until the state of a copy is this; gives the state in full.
    #[track_caller]
    fn wait_for(&self, name: &str, state: &str) -> Value {
        self.wait_until(name, state, |status| status["state"] == state)
    }

    #[track_caller]
    fn wait_until(&self, name: &str, what: &str, is_there: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let status = self.status(name);
            if is_there(&status) {
                return status;
            }
            assert!(started.elapsed() < WAIT, "not {what}: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Proposes `plan.yaml`, signs and starts it.
    fn run_plan(&self, name: &str) {
        let engineer = self.node.caller("engineer");
        let program = &self.node.program;
        program.run_as(&engineer, &["copy", "run", "plan.yaml"]);
        let version = self.status(name)["version"].as_u64().unwrap().to_string();
        let sign = ["copy", "sign", name, "--version", &version];
        program.run_as(&self.node.caller("guardian"), &sign);
        program.run_as(&engineer, &["copy", "run", name, "--detach"]);
    }

    fn status(&self, name: &str) -> Value {
        self.node.caller("engineer").get(&format!("/_clerestory/copies/{name}")).expect(200)
    }

    /// Waits until what is committed now is stored.
    #[track_caller]
    fn catch_up(&self, name: &str) {
        self.catch_up_by(name, &format!("clerestory_{name}"));
    }

    /// As [`Pair::catch_up`], by a slot of this name.
    #[track_caller]
    fn catch_up_by(&self, name: &str, slot: &str) {
        let marker = self.source.sql("SELECT pg_current_wal_lsn() - '0/0'");
        let marker: f64 = marker.trim().parse().unwrap();
        let started = Instant::now();
        loop {
            let at = self.source.sql(&format!(
                "SELECT coalesce(confirmed_flush_lsn - '0/0', 0) FROM pg_replication_slots \
                 WHERE slot_name = '{slot}'"
            ));
            let status = self.status(name);
            let is_there = at.trim().parse::<f64>().is_ok_and(|at| at >= marker);
            if is_there && status["state"] == "following" {
                return;
            }
            let told = &status["status"];
            assert_ne!(status["state"], "paused", "{told}");
            assert!(started.elapsed() < WAIT, "not caught up: {told}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn count(&self, table: &str) -> u64 {
        let answer = self.node.caller("analyst").get(&format!("/{table}/_count")).expect(200);
        answer["count"].as_u64().unwrap()
    }

    /// The first value of the first row.
    #[track_caller]
    fn ask(&self, sql: &str) -> Value {
        let answer =
            self.node.caller("analyst").post("/_sql?format=json", &json!({ "query": sql }));
        answer.expect(200)["rows"][0][0].clone()
    }
}

/// Has a writer stop, also when what it writes for panics.
struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The program under test: what cargo built, or the one that `CLERESTORY_BINARY` names, such as a
/// release build that is to be measured.
fn binary() -> String {
    let named = std::env::var_os("CLERESTORY_BINARY").and_then(|named| named.into_string().ok());
    named.unwrap_or(env!("CARGO_BIN_EXE_clerestory").to_owned())
}

/// All rows of a table by `_id`, as they are shown.
fn rows(caller: &Caller, table: &str, sort: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut after: Option<Value> = None;
    loop {
        let mut body =
            json!({ "size": 5_000, "sort": [{ sort: "asc" }], "query": { "match_all": {} } });
        if let Some(after) = &after {
            body["search_after"] = json!([after]);
        }
        let answer = caller.post(&format!("/{table}/_search"), &body).expect(200);
        let hits = answer["hits"]["hits"].as_array().unwrap().clone();
        for hit in &hits {
            all.push((hit["_id"].as_str().unwrap().to_owned(), hit["_source"].clone()));
        }
        match hits.last() {
            Some(last) => after = Some(last["sort"][0].clone()),
            None => return all,
        }
    }
}
