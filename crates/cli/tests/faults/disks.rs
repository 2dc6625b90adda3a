//! Disks: copies, keys, files that were changed, clocks.

use crate::{BINARY, copy, files, house, search};
use conformance::{Needles, Node, Program};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

/// `serve` over this folder ends by itself with an error that has these words.
#[track_caller]
fn does_not_serve(program: &Program, arguments: &[&str], words: &[&str]) {
    let mut all = vec!["serve", "--http", "127.0.0.1:0"];
    all.extend(arguments);
    let output = bounded(program, &all);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it serves: {said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// Runs the binary for a minute at most.
fn bounded(program: &Program, arguments: &[&str]) -> Output {
    let inner = program.command(arguments);
    let mut command = Command::new("timeout");
    command.arg("60").arg(inner.get_program()).args(inner.get_args());
    command.current_dir(program.path("."));
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().unwrap()
}

/// Stops the server in a way that leaves everything durable.
fn stop(node: &mut Node) {
    node.kill();
}

#[test]
fn a_copy_restored_on_another_machine() {
    let (mut node, needles) = house();
    stop(&mut node);
    // The other machine has the folder and not the key.
    let other = Program::new(BINARY);
    copy(&node.program.data(), &other.data());
    does_not_serve(&other, &["--dir", "data", "--key-file", "ring.key"], &["ring.key"]);
    // Where the key lies stands in the folder, and there is nothing there on the other machine.
    fs::rename(node.program.path("ring.key"), node.program.path("elsewhere.key")).unwrap();
    let looked = other.run(&["doctor", "--dir", "data"]);
    assert!(!looked.status.success());
    needles.assert_not_in("what was said", &[looked.stdout, looked.stderr].concat());
    needles.assert_not_below(&other.data());
}

#[test]
fn a_snapshot_in_an_open_bucket() {
    let (mut node, needles) = house();
    stop(&mut node);
    // Whoever finds it reads every byte.
    let bucket = node.program.path("bucket");
    copy(&node.program.data(), &bucket);
    needles.assert_not_below(&bucket);
    let mut names = Needles::new();
    for word in ["things", "colour", "analyst", "engineer"] {
        names.add(word);
    }
    names.assert_not_below(&bucket);
    for file in files(&bucket) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for word in ["things", "colour", "analyst"] {
            assert!(!name.contains(word), "the name of `{name}` tells");
        }
    }
}

fn newest_audit_file(node: &Node) -> PathBuf {
    let mut found = files(&node.program.data().join("audit"));
    found.retain(|file| file.extension().is_some_and(|extension| extension == "audit"));
    found.into_iter().max().unwrap()
}

#[test]
fn a_deleted_audit_file() {
    let (mut node, needles) = house();
    let before = SystemTime::now();
    assert_eq!(search(&node.caller("analyst")).status, 200);
    // Each second it is signed where the record stands; what lies behind that can be cut off.
    let head = node.program.data().join("audit.head");
    let start = Instant::now();
    while fs::metadata(&head).unwrap().modified().unwrap() < before {
        assert!(start.elapsed() < Duration::from_secs(60), "the read is signed for");
        std::thread::sleep(Duration::from_millis(100));
    }
    stop(&mut node);
    let file = newest_audit_file(&node);
    fs::remove_file(&file).unwrap();
    let verified = node.program.run(&["audit", "verify", "--dir", "data"]);
    assert_eq!(verified.status.code(), Some(1));
    let said = String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()).into_owned();
    assert!(said.contains("cut off") || said.contains("missing"), "it is named: {said}");
    needles.assert_not_in("what was said", said.as_bytes());
}

#[test]
fn a_read_only_audit_disk() {
    // What a file system that turned read-only does to the server: no file can be made or grown.
    let (mut node, needles) = house();
    node.serve_with_limits_as_errors();
    assert_eq!(search(&node.caller("analyst")).status, 200);
    let process = node.process().unwrap().to_string();
    let limited = Command::new("prlimit").args(["--pid", &process, "--fsize=0:"]).status();
    assert!(limited.unwrap().success());
    let analyst = node.caller("analyst");
    let answer = search(&analyst);
    assert_eq!(answer.status, 503);
    needles.assert_not_in("the answer", &answer.body);
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(said.contains("audit"), "it says what is wrong: {said}");
}

#[test]
fn a_wrong_key() {
    let (mut node, _) = house();
    stop(&mut node);
    let other = Program::new(BINARY);
    other.run_well(&["init", "--dir", "data", "--key-file", "ring.key"]);
    fs::copy(other.path("ring.key"), node.program.path("other.key")).unwrap();
    does_not_serve(&node.program, &["--dir", "data", "--key-file", "other.key"], &["key"]);
    // A key inside the folder that it opens is no key.
    fs::copy(node.program.path("ring.key"), node.program.data().join("inside.key")).unwrap();
    does_not_serve(&node.program, &["--dir", "data", "--key-file", "data/inside.key"], &["inside"]);
    fs::remove_file(node.program.data().join("inside.key")).unwrap();
    node.serve();
    assert_eq!(search(&node.caller("analyst")).status, 200, "the right one still opens it");
}

#[test]
fn a_catalog_edited_by_hand() {
    let (mut node, _) = house();
    stop(&mut node);
    let catalog = node.program.data().join("catalog.db");
    let before = fs::read(&catalog).unwrap();
    let mut refused = 0;
    // Somebody who knows SQLite changes one value of each table, as far as it has any.
    for place in (before.len() / 8..before.len()).step_by(before.len() / 8) {
        let mut changed = before.clone();
        changed[place] ^= 0x40;
        fs::write(&catalog, &changed).unwrap();
        let output = bounded(&node.program, &["doctor", "--dir", "data"]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        refused += u32::from(!output.status.success());
    }
    assert!(refused > 0, "a changed value is noticed");
    fs::write(&catalog, &before).unwrap();
    node.serve();
    assert_eq!(search(&node.caller("analyst")).status, 200);
}

#[test]
fn a_segment_swapped_between_tables() {
    let (mut node, _) = house();
    let engineer = node.caller("engineer");
    engineer.put("/others", &json!({})).expect(200);
    engineer.post("/others/_doc", &json!({ "colour": "grey" })).expect(201);
    // Rows become a segment when they have waited for half a minute.
    let segments = node.program.data().join("segments");
    let start = Instant::now();
    while files(&segments).len() < 2 {
        assert!(start.elapsed() < Duration::from_secs(180), "the rows are written to segments");
        std::thread::sleep(Duration::from_millis(500));
    }
    stop(&mut node);
    let found = files(&segments);
    let (one, two) = (&found[0], &found[1]);
    let aside = node.program.path("aside");
    fs::rename(one, &aside).unwrap();
    fs::rename(two, one).unwrap();
    fs::rename(&aside, two).unwrap();
    let output = bounded(&node.program, &["doctor", "--dir", "data"]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{said}");
    does_not_serve(&node.program, &["--dir", "data"], &["segment"]);
    let name = one.file_name().unwrap().to_str().unwrap();
    let other = two.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(name) || said.contains(other), "the file is named: {said}");
}

#[test]
fn a_log_frame_replayed() {
    let (mut node, _) = house();
    let engineer = node.caller("engineer");
    for number in 0..20 {
        engineer.post("/things/_doc", &json!({ "n": number })).expect(201);
    }
    stop(&mut node);
    let logs = files(&node.program.data().join("log"));
    let newest = logs.iter().max().unwrap();
    let bytes = fs::read(newest).unwrap();
    // The second half once more behind its end, and the newest file once more under the next name.
    let again = [&bytes[..], &bytes[bytes.len() / 2..]].concat();
    fs::write(newest, again).unwrap();
    node.serve();
    let answer = node.caller("analyst").post("/things/_count", &json!({})).expect(200);
    assert_eq!(answer["count"], 21, "nothing is lost and nothing is there twice");
}
