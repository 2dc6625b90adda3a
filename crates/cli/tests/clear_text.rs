//! Nothing in the clear: not in the data folder, not in a log line, not in an answer to an analyst.
//!
//! The values that are searched for are made up here and in the demo. With
//! `CLERESTORY_SAMPLE_LOGS=FOLDER` the same is asked of real logs, if the folder has them.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests are free, and say what they skip"
)]

use conformance::{Caller, DemoNode, DemoSize, Needles, Node};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

#[test]
fn the_people_of_the_demo_are_nowhere() {
    let size = DemoSize { devices: 200, days: 3, events: 6_000 };
    let node = DemoNode::start(BINARY, size);
    let fleet = size.fleet();
    let mut needles = Needles::new();
    for user in fleet.users() {
        for value in [&user.email, &user.phone, &user.ssid, &user.ip, &user.id, &user.name] {
            needles.add(value);
        }
        if let Some(token) = &user.voice_token {
            needles.add(token);
        }
    }
    for device in fleet.devices() {
        needles.add(&device.mac);
        needles.add(&device.id);
        needles.add(&device.nickname);
    }
    let analyst = node.caller("analyst");
    let user = fleet.users().iter().find(|user| user.voice_token.is_some()).unwrap();
    for (field, value) in [("email", &user.email), ("ssid", &user.ssid), ("user_id", &user.id)] {
        let body = json!({ "query": { "term": { field: value } } });
        let answer = analyst.post("/users/_search", &body).expect(200);
        assert!(hits(&answer) >= 1, "the real {field} finds its row");
    }
    read_everything(&analyst, &["users", "devices", "events", "measurements"]);
    needles.assert_not_in("the answers to the analyst", &analyst.heard());
    needles.assert_not_below(&node.program.data());
    needles.assert_not_in("the log", &fs::read(node.program.log()).unwrap());
}

/// Lines as sshd, sudo and a web server write them, with made-up people.
fn made_up_lines() -> (String, Vec<&'static str>) {
    let lines = [
        "Failed password for invalid user quillmoor from 100.64.7.31 port 51022 ssh2",
        "Invalid user ferngarth from 100.64.7.32",
        "input_userauth_request: invalid user ferngarth [preauth]",
        "Accepted publickey for brindlewick from 100.64.9.250 port 40112 ssh2: RSA 00:11:22:33",
        "pam_unix(sshd:session): session opened for user brindlewick by (uid=0)",
        "Connection closed by 100.64.7.31 [preauth]",
        "Received disconnect from 100.64.9.251: 11: Bye Bye [preauth]",
        "reverse mapping checking getaddrinfo for host [100.64.9.252] failed",
        "brindlewick : TTY=pts/0 ; PWD=/home/brindlewick ; USER=root ; COMMAND=/bin/ls",
        "100.64.9.253 - - [17/May/2015:10:05:03 +0000] \"GET /a?mail=ada.quillmoor@example.org HTTP/1.1\" 200 5",
        "login of ada.quillmoor@example.org with password=hunter2hunter2 refused",
        "Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789",
        "call from 02:0a:0b:0c:0d:0e, key AKIAIOSFODNN7EXAMPLE rejected",
    ];
    let needles = vec![
        "quillmoor",
        "ferngarth",
        "brindlewick",
        "100.64.7.31",
        "100.64.7.32",
        "100.64.9.250",
        "100.64.9.251",
        "100.64.9.252",
        "100.64.9.253",
        "ada.quillmoor@example.org",
        "hunter2hunter2",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "02:0a:0b:0c:0d:0e",
        "AKIAIOSFODNN7EXAMPLE",
    ];
    let text = lines
        .iter()
        .map(|line| {
            let document = json!({
                "@timestamp": "2026-11-01T00:00:00Z", "host": "gate-1", "program": "sshd", "message": line,
            });
            format!("{document}\n")
        })
        .collect();
    (text, needles)
}

#[test]
fn people_in_log_lines_are_nowhere_and_still_found() {
    let node = Node::start(BINARY);
    let (lines, values) = made_up_lines();
    let file = node.program.path("made-up.ndjson");
    fs::write(&file, lines).unwrap();
    let engineer = node.caller("engineer");
    node.program.run_as(&engineer, &["load", "--to", "logs", "made-up.ndjson"]);
    fs::remove_file(&file).unwrap();
    let mut needles = Needles::new();
    for value in values {
        needles.add(value);
    }
    let analyst = node.caller("analyst");
    for (words, expected) in [("100.64.7.31", 2), ("ada.quillmoor@example.org", 2)] {
        let body = json!({ "query": { "match_phrase": { "message": words } } });
        let answer = analyst.post("/logs/_search", &body).expect(200);
        assert_eq!(hits(&answer), expected, "the real value finds its lines");
    }
    read_everything(&analyst, &["logs"]);
    needles.assert_not_in("the answers to the analyst", &analyst.heard());
    needles.assert_not_below(&node.program.data());
    needles.assert_not_in("the log", &fs::read(node.program.log()).unwrap());
}

#[test]
fn real_logs_hold_nobody() {
    let Some(folder) = std::env::var_os("CLERESTORY_SAMPLE_LOGS").map(PathBuf::from) else {
        println!("SKIPPED real_logs_hold_nobody: CLERESTORY_SAMPLE_LOGS names no folder");
        return;
    };
    let node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    for name in ["apache_access", "auth_log"] {
        let file = folder.join(format!("{name}.ndjson"));
        node.program.run_as(&engineer, &["load", "--to", name, file.to_str().unwrap()]);
    }
    let access = documents(&folder.join("apache_access.ndjson"));
    let auth = documents(&folder.join("auth_log.ndjson"));
    let clients: Vec<&str> = access.iter().filter_map(|line| line["client_ip"].as_str()).collect();
    let mut of_access = Needles::new();
    for address in &clients {
        of_access.add(address);
    }
    let mut of_auth = Needles::new();
    for value in addresses(&auth).iter().chain(&user_names(&auth)) {
        of_auth.add(value);
    }
    assert!(of_access.len() > 100 && of_auth.len() > 100, "there is something to look for");

    let analyst = node.caller("analyst");
    let expected = clients.iter().filter(|client| **client == clients[0]).count() as u64;
    for question in [
        json!({ "term": { "client_ip": clients[0] } }),
        json!({ "match_phrase": { "message": clients[0] } }),
    ] {
        let body = json!({ "track_total_hits": true, "query": question });
        let answer = analyst.post("/apache_access/_search", &body).expect(200);
        assert_eq!(hits(&answer), expected, "the real address finds its lines");
    }
    // A caller for each: user names such as `test` are words of other tables.
    for (table, needles) in [("apache_access", &of_access), ("auth_log", &of_auth)] {
        let analyst = node.caller("analyst");
        read_everything(&analyst, &[table]);
        needles.assert_not_in(&format!("the answers about {table}"), &analyst.heard());
        needles.assert_not_below(&node.program.data());
        // A module of ours has the name of a user of that machine.
        let log =
            fs::read_to_string(node.program.log()).unwrap().replace("engine::admin", "engine");
        needles.assert_not_in("the log", log.as_bytes());
    }
    // Names such as `test` and `root` are words of the log, too, so their places are looked at:
    // where the source names somebody, the answer has a pseudonym.
    let body = json!({ "size": 10_000, "query": { "match_all": {} } });
    let answer = node.caller("analyst").post("/auth_log/_search", &body).expect(200);
    let rows = answer["hits"]["hits"].as_array().unwrap();
    assert_eq!(rows.len(), auth.len(), "every line is looked at");
    let mut named = 0;
    for row in rows {
        for name in named_in(&row["_source"]) {
            named += 1;
            assert!(name.starts_with("user:"), "a name is not a pseudonym in `{}`", row["_source"]);
        }
    }
    assert_eq!(named, auth.iter().map(|line| named_in(line).len()).sum::<usize>());
    println!("{named} names in {} lines", rows.len());
}

/// The words in the places where a line names somebody.
fn named_in(document: &Value) -> Vec<String> {
    let message = document["message"].as_str().unwrap_or("");
    let words: Vec<&str> = message.split_whitespace().collect();
    let after_user = words.windows(2).filter(|pair| pair[0] == "user").map(|pair| pair[1]);
    let assigned = words.iter().filter_map(|word| word.strip_prefix("user="));
    // `user unknown`, `user [preauth]` and `user from ADDRESS` name nobody; `user=` may be empty.
    let is_name = |name: &&str| !matches!(*name, "" | "unknown" | "from") && !name.starts_with('[');
    let names = after_user.chain(assigned).filter(is_name);
    names.map(|name| name.trim_matches(['"', '\'']).to_owned()).collect()
}

fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every IPv4 address in a message but those that a server listens on.
fn addresses(documents: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for document in documents {
        let message = document["message"].as_str().unwrap_or("");
        let is_part = |c: char| c.is_ascii_digit() || c == '.';
        for word in message.split(|c| !is_part(c)) {
            let parts: Vec<&str> = word.split('.').collect();
            let is_address = parts.len() == 4
                && parts.iter().all(|part| part.parse::<u8>().is_ok() && !part.is_empty());
            if is_address && word != "0.0.0.0" && word != "127.0.0.1" {
                found.push(word.to_owned());
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Names that sshd and its sisters speak of, but for those that are also words of the log's own.
fn user_names(documents: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut other_words = std::collections::HashSet::new();
    for document in documents {
        let message = document["message"].as_str().unwrap_or("");
        let words: Vec<&str> = message.split_whitespace().collect();
        for (place, word) in words.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| words[before]);
            let named = before == Some("user") || word.starts_with("user=");
            let name = word.trim_start_matches("user=");
            // `user unknown` and `user [preauth]` name nobody.
            let is_name = name.len() >= 4 && name != "unknown" && !name.starts_with('[');
            if named && is_name {
                found.push(name.to_owned());
            } else {
                let parts = word.split(|c: char| !c.is_alphanumeric());
                other_words.extend(parts.map(str::to_lowercase));
            }
        }
        for field in ["program", "host"] {
            other_words.extend(document[field].as_str().map(str::to_lowercase));
        }
    }
    found.sort();
    found.dedup();
    found.retain(|name| !other_words.contains(&name.to_lowercase()));
    found
}

fn hits(answer: &Value) -> u64 {
    answer["hits"]["total"]["value"].as_u64().unwrap()
}

/// Every way in which an analyst can look at rows.
fn read_everything(analyst: &Caller, tables: &[&str]) {
    for table in tables {
        let body = json!({ "size": 10_000, "query": { "match_all": {} }, "fields": ["*"] });
        analyst.post(&format!("/{table}/_search"), &body).expect(200);
        analyst.post("/_sql", &json!({ "query": format!("SELECT * FROM {table}") })).expect(200);
        analyst.get(&format!("/{table}")).expect(200);
        let caps = analyst.get(&format!("/{table}/_field_caps?fields=*")).expect(200);
        for (field, types) in caps["fields"].as_object().unwrap() {
            let is_grouped =
                types.as_object().unwrap().values().any(|ty| ty["aggregatable"] == true);
            if is_grouped && !field.starts_with('_') {
                let aggs = json!({ "v": { "terms": { "field": field, "size": 10_000 } } });
                // A field that may only be counted is refused: that tells nothing either.
                analyst.post(&format!("/{table}/_search"), &json!({ "size": 0, "aggs": aggs }));
            }
        }
    }
}
