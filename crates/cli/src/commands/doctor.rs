//! `doctor`: looks for what is wrong. Reads only; tells no value of any document.

use crate::arguments::Doctor;
use crate::client::{Body, Client};
use crate::failure::{Failure, Result};
use crate::{key_place, node};
use engine::Unlock;
use serde_json::{Value, json};
use std::path::Path;

/// What was looked at, and what was found.
struct Finding {
    what: &'static str,
    state: State,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Could not be looked at.
    Unknown,
    Bad,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Good => "ok",
            State::Unknown => "skipped",
            State::Bad => "WRONG",
        }
    }
}

pub(super) fn run(typed: &Doctor) -> Result<()> {
    let mut findings = vec![folder(&typed.dir)];
    findings.extend(ring_and_audit(typed));
    findings.push(anonymous(typed));
    let bad = findings.iter().filter(|finding| finding.state == State::Bad).count();
    if typed.json {
        let shown: Vec<Value> = findings
            .iter()
            .map(|finding| {
                json!({ "what": finding.what, "state": finding.state.as_str(), "detail": finding.detail })
            })
            .collect();
        println!("{}", json!({ "findings": shown }));
    } else {
        for finding in &findings {
            println!("{:>7}  {:<22} {}", finding.state.as_str(), finding.what, finding.detail);
        }
    }
    match bad {
        0 => Ok(()),
        1 => Err(Failure::new("one thing is wrong")),
        _ => Err(Failure::new(format!("{bad} things are wrong"))),
    }
}

fn finding(what: &'static str, state: State, detail: impl Into<String>) -> Finding {
    Finding { what, state, detail: detail.into() }
}

fn folder(dir: &Path) -> Finding {
    const WHAT: &str = "data folder";
    let metadata = match std::fs::metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) => return finding(WHAT, State::Bad, format!("{}: {error}", dir.display())),
    };
    if !metadata.is_dir() {
        return finding(WHAT, State::Bad, format!("{} is no folder", dir.display()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o077 != 0 {
            let detail = format!("others may look into {0}; chmod 700 {0}", dir.display());
            return finding(WHAT, State::Bad, detail);
        }
    }
    finding(WHAT, State::Good, dir.display().to_string())
}

fn ring_and_audit(typed: &Doctor) -> Vec<Finding> {
    const RING: &str = "key ring";
    const AUDIT: &str = "audit record";
    let opened = key_place::for_known_folder(&typed.dir, &typed.unlock)
        .and_then(|unlock| node::check_key_ring(&typed.dir, &unlock).map(|()| unlock));
    let unlock = match opened {
        Ok(unlock) => unlock,
        Err(failure) => {
            let skipped = finding(AUDIT, State::Unknown, "needs the key ring");
            return vec![finding(RING, State::Bad, failure.message()), skipped];
        }
    };
    let audit = match node::verify_audit(&typed.dir, &unlock, &engine::AuditEvidence::default()) {
        Ok(found) => match found.problem {
            None => finding(AUDIT, State::Good, format!("{} records, whole", found.records)),
            Some(problem) => finding(AUDIT, State::Bad, problem),
        },
        // A running server has it open.
        Err(failure) => finding(AUDIT, State::Unknown, failure.message()),
    };
    let mut found = vec![finding(RING, State::Good, "opens with its key"), audit];
    found.extend(store(typed, &unlock));
    found
}

/// The catalog, and every byte of every segment.
fn store(typed: &Doctor, unlock: &Unlock) -> Vec<Finding> {
    const CATALOG: &str = "catalog";
    const SEGMENTS: &str = "segments";
    match node::verify_store(&typed.dir, unlock) {
        Ok(Some(found)) => {
            let mut all = vec![finding(CATALOG, State::Good, format!("{} tables", found.tables))];
            let read = format!("{} read to the last byte", found.segments);
            all.extend(match found.problems.is_empty() {
                true => vec![finding(SEGMENTS, State::Good, read)],
                false => found
                    .problems
                    .into_iter()
                    .map(|problem| finding(SEGMENTS, State::Bad, problem))
                    .collect(),
            });
            all
        }
        Ok(None) => vec![finding(CATALOG, State::Unknown, "a server has it open")],
        Err(failure) => vec![finding(CATALOG, State::Bad, failure.message())],
    }
}

/// Asks as anybody would and expects nothing.
fn anonymous(typed: &Doctor) -> Finding {
    const WHAT: &str = "request without identity";
    let asked = Client::anonymous(&typed.url, typed.ca.as_deref())
        .and_then(|client| client.send("GET", "/", Body::Nothing));
    match asked {
        Ok(answer) if answer.status == 401 => {
            finding(WHAT, State::Good, format!("{} answers 401 and nothing else", typed.url))
        }
        Ok(answer) => finding(
            WHAT,
            State::Bad,
            format!("{} answers {} without identity", typed.url, answer.status),
        ),
        Err(failure) => finding(WHAT, State::Unknown, failure.message()),
    }
}
