//! What goes wrong at real companies, one test each, through the real binary: the behaviour is the
//! right one, nothing leaks, and somebody is told.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests are free, do to files what others do, and say what they leave out"
)]

mod disks;
mod doors;
mod people;
mod watch;

use conformance::{Caller, Needles, Node};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

/// What the stored row says; found nowhere where it does not belong.
const PLANTED: &str = "chartreuse-heron";

/// A served house with one table of one row, and the words that must not come out.
fn house() -> (Node, Needles) {
    let node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    engineer.put("/things", &json!({})).expect(200);
    let row = json!({ "colour": PLANTED, "email": "ada.quillmoor@example.org" });
    engineer.post("/things/_doc", &row).expect(201);
    let mut needles = Needles::new();
    needles.add(PLANTED);
    needles.add("ada.quillmoor@example.org");
    (node, needles)
}

/// The guardian finds a record of this kind.
fn recorded(node: &Node, kind: &str) -> Vec<Value> {
    let answer = node.caller("guardian").get("/_clerestory/audit?limit=1000").expect(200);
    let records = answer["records"].as_array().unwrap().clone();
    records.into_iter().filter(|record| record["event"] == kind || record["kind"] == kind).collect()
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.unwrap().success());
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// A search of everything as somebody.
fn search(caller: &Caller) -> conformance::Answer {
    caller.post("/things/_search", &json!({}))
}
