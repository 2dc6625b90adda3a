//! Keeps the crates on their floors: see `ARCHITECTURE.md`.
//!
//! Only `[dependencies]` count; tests may look at anything.

use std::fs;
use std::path::Path;

/// Each crate with the crates of ours that it may stand on. `incident` joins when it
/// has content.
const FLOOR_PLAN: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("demo", &["model"]),
    ("protection", &["model"]),
    ("storage", &["model", "protection"]),
    ("query", &["model", "protection", "storage"]),
    ("engine", &["model", "protection", "storage", "query"]),
    ("copy", &["model", "engine"]),
    ("api", &["model", "engine", "copy"]),
    ("cli", &["model", "engine", "copy", "api", "demo"]),
    ("bench", &["engine", "demo", "model", "protection"]),
    ("conformance", &["demo"]),
];

#[test]
fn every_crate_stands_on_the_floors_below_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut folders: Vec<String> = fs::read_dir(&crates)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut planned: Vec<&str> = FLOOR_PLAN.iter().map(|(name, _)| *name).collect();
    folders.sort_unstable();
    planned.sort_unstable();
    assert_eq!(folders, planned, "a crate and the floor plan must appear together");

    for (name, allowed) in FLOOR_PLAN {
        let manifest = fs::read_to_string(crates.join(name).join("Cargo.toml")).unwrap();
        assert!(
            !manifest.contains("[dependencies."),
            "`{name}`: one line per dependency, so that this test can read it"
        );
        let uses = manifest
            .split_once("[dependencies]")
            .map_or("", |(_, rest)| rest.split("\n[").next().unwrap_or(rest));
        for line in uses.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or("");
            let ours = planned.contains(&dependency);
            assert!(
                !ours || allowed.contains(&dependency),
                "`{name}` may not depend on `{dependency}`; it may use {allowed:?}"
            );
        }
    }
}

/// The big outside crates, each with the only crate of ours that may name it. `deny.toml` says the
/// same; this test needs nothing installed.
const OUTSIDE: &[(&str, &str)] = &[
    ("datafusion", "query"),
    ("tantivy", "storage"),
    ("hyper", "api"),
    ("rusqlite", "storage"),
    ("tokio-postgres", "copy"),
    ("pg_walstream", "copy"),
    ("mysql_async", "copy"),
    ("rskafka", "copy"),
    ("rumqttc", "copy"),
    ("lettre", "cli"),
];

#[test]
fn every_big_outside_crate_has_one_owner() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    for (name, _) in FLOOR_PLAN {
        let manifest = fs::read_to_string(crates.join(name).join("Cargo.toml")).unwrap();
        for (outside, owner) in OUTSIDE {
            let uses =
                manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(outside));
            assert!(
                !uses || name == owner,
                "`{name}` may not depend on `{outside}`; `{owner}` does"
            );
        }
    }
}
