//! Logs from outside: NDJSON files, one flat document a line.

use crate::{Share, class_of};
use model::{Class, FieldType};
use protection::classify::{Classifier, Finding};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What was seen in them.
pub(crate) struct Seen {
    /// Open values in which something was found that is nobody's.
    pub(crate) alarms: Share,
    /// User names that sshd and sudo write into messages.
    pub(crate) users: Share,
}

/// Fields of logs that are nobody's.
const OPEN: &[&str] =
    &["method", "path", "protocol", "referrer", "agent", "program", "message", "host"];

/// Where programs name users, written down without a look at the rules: sshd, sudo, cron, useradd.
const USERS: &[&str] = &[
    r"[Ii]nvalid user (\S+) (?:from |\[preauth\])",
    r"(?:Accepted|Failed) \w+ for (?:invalid user )?(\S+) from",
    r"session (?:opened|closed) for user (\w[\w.-]*)",
    r"exceeded for (\S+) from",
    r"^\s*(\S+) : TTY=",
    r"USER=(\S+)",
    r"new user: name=([^,\s]+)",
    r"^\((\S+)\) CMD",
];

/// So many false alarms are shown.
const SHOWN_MAX: u32 = 20;

pub(crate) fn read(folder: &Path, classifier: &Classifier) -> Seen {
    let users: Vec<Regex> =
        USERS.iter().map(|pattern| Regex::new(pattern).expect("a pattern")).collect();
    let mut seen = Seen { alarms: Share::default(), users: Share::default() };
    let mut known: Vec<String> = Vec::new();
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in fs::read_dir(folder).expect("the folder can be read") {
        let path = file.expect("the folder can be read").path();
        if path.extension().is_none_or(|extension| extension != "ndjson") {
            continue;
        }
        for line in fs::read_to_string(path).expect("a log is text").lines() {
            let row: Value = serde_json::from_str(line).expect("each line is a document");
            for (name, value) in row.as_object().expect("each line is a document") {
                if let Value::String(text) = value {
                    columns.entry(name.clone()).or_default().push(text.clone());
                }
            }
        }
    }
    let mut findings = Vec::new();
    for text in columns.get("message").into_iter().flatten() {
        classifier.find_in_text(text, &mut findings);
        for groups in users.iter().filter_map(|pattern| pattern.captures(text)) {
            let name = groups.get(1).expect("each pattern has a group");
            let is_it = |one: &Finding| one.start <= name.start() && one.end >= name.end();
            let found = findings.iter().any(is_it);
            seen.users.add(found);
            if found {
                known.push(name.as_str().to_owned());
            } else {
                println!("user `{}` not found in: {text}", name.as_str());
            }
        }
    }
    known.sort();
    known.dedup();
    for (name, values) in columns.iter().filter(|(name, _)| OPEN.contains(&name.as_str())) {
        let ty = if name == "message" { FieldType::Text } else { FieldType::Keyword };
        let mut sample = values.clone();
        sample.sort();
        sample.dedup();
        if class_of(classifier, name, ty, &sample) != Class::Open {
            println!("{name} is not open");
            values.iter().for_each(|_| seen.alarms.add(true));
            continue;
        }
        for text in values {
            classifier.find_in_text(text, &mut findings);
            let wrong =
                findings.iter().find(|one| !is_somebody(&text[one.start..one.end], one, &known));
            seen.alarms.add(wrong.is_some());
            if let Some(one) = wrong
                && seen.alarms.right <= SHOWN_MAX
            {
                println!("{name}: {} `{}` in {text}", one.kind, &text[one.start..one.end]);
            }
        }
    }
    seen
}

/// Addresses, and names of users that were seen elsewhere as such.
fn is_somebody(value: &str, finding: &Finding, known: &[String]) -> bool {
    match finding.kind {
        "ip" => value.contains(['.', ':', '-']),
        "email" => value.contains('@'),
        // Web pages that put the session into the address.
        "session" => true,
        "user" => known.binary_search_by(|name| name.as_str().cmp(value)).is_ok(),
        _ => false,
    }
}
