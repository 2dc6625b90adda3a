//! The web UI of the running binary in real Chromium.
//!
//! `.ci/run` says where `playwright-core` is: in the folder `CLERESTORY_NODE_MODULES`. Without it
//! or without Chromium the test says that it was skipped; with `CLERESTORY_CLIENTS_REQUIRED` set it
//! fails instead. With `CLERESTORY_UI_PICTURES` set to a folder, every page is photographed.
#![expect(clippy::print_stdout, reason = "says what is skipped, and how long pages took")]

use conformance::{DemoNode, DemoSize};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Large enough that the planted firmware stands out, small enough to load in seconds; thirty days,
/// so that it goes bad on the twentieth.
const SIZE: DemoSize = DemoSize { devices: 500, days: 30, events: 50_000 };

#[test]
fn every_page_works_in_a_browser() {
    run("every_page_works_in_a_browser", "drive.mjs");
}

#[test]
fn search_and_sql_work_in_a_browser() {
    run("search_and_sql_work_in_a_browser", "search.mjs");
}

#[test]
fn people_do_what_they_came_for() {
    run("people_do_what_they_came_for", "tour.mjs");
}

#[test]
fn copies_work_in_a_browser() {
    run("copies_work_in_a_browser", "copies.mjs");
}

#[test]
fn keys_work_in_a_browser() {
    run("keys_work_in_a_browser", "keys.mjs");
}

/// Runs a script of `tests/ui` against a demo of its own.
#[track_caller]
fn run(name: &str, script: &str) {
    let Some(modules) = modules().or_else(|| skipped(name, "playwright-core or axe-core")) else {
        return;
    };
    let Some(chromium) = chromium().or_else(|| skipped(name, "chromium")) else { return };
    let demo = DemoNode::start(env!("CARGO_BIN_EXE_clerestory"), SIZE);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui").join(script);
    let output = Command::new("node")
        .arg(script)
        .env("CLERESTORY_NODE_MODULES", modules)
        .env("CLERESTORY_CHROMIUM", chromium)
        .env("CLERESTORY_URL", demo.url())
        .env("CLERESTORY_EMAIL", &SIZE.fleet().users()[0].email)
        .env("CLERESTORY_LOGINS", demo.program.data().join("demo-logins.json"))
        .output()
        .expect("node can be started");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// The folder with `playwright-core` and `axe-core`, if it was told and they are there.
fn modules() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("CLERESTORY_NODE_MODULES")?);
    let is_there = |name: &str| folder.join(name).is_dir();
    (is_there("playwright-core") && is_there("axe-core")).then_some(folder)
}

fn chromium() -> Option<PathBuf> {
    let told = std::env::var_os("CLERESTORY_CHROMIUM").map(PathBuf::from);
    let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    told.into_iter().chain(usual.map(PathBuf::from)).find(|path| path.is_file())
}

fn skipped(test: &str, missing: &str) -> Option<PathBuf> {
    let must = std::env::var_os("CLERESTORY_CLIENTS_REQUIRED").is_some();
    assert!(!must, "{missing} is missing; `.ci/run` installs it");
    println!("SKIPPED {test}: {missing} is missing; `.ci/run` installs it");
    None
}
