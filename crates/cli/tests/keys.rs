//! Where keys are, where they are not, and what happens when they change, through the binary.
#![expect(clippy::unwrap_used, reason = "tests are free")]

use conformance::{Caller, DemoNode, DemoSize, Node, Noise, Program};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

#[test]
fn a_copy_of_the_demo_is_noise() {
    let size = DemoSize { devices: 300, days: 4, events: 20_000 };
    let node = DemoNode::start(BINARY, size);
    let mut noise = Noise::new();
    for user in size.fleet().users() {
        for value in [&user.email, &user.phone, &user.ssid, &user.id, &user.name] {
            if value.len() >= 6 {
                noise.plant(value);
            }
        }
    }
    // Also what is open to every analyst is sealed on the disk.
    for open in ["firmware", "connection", "activation", "@timestamp"] {
        noise.plant(open);
    }
    noise.assert_below(&node.program.data());
}

#[test]
fn a_copy_of_a_node_holds_no_key_and_no_password() {
    let mut node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    let lines: String = (0..2000)
        .map(|n| {
            format!("{{\"index\":{{\"_id\":\"id-of-row-{n}\"}}}}\n{{\"word\":\"heliotrope {n}\",\"n\":{n}}}\n")
        })
        .collect();
    engineer.bulk("/flowers/_bulk", lines.as_bytes()).expect(200);
    let settings = node.program.path("settings.json");
    fs::write(settings, r#"{"tls": {"on_loopback": true}}"#).unwrap();
    let key_file = fs::read_to_string(node.program.path("ring.key")).unwrap();
    let secrets: Vec<String> = ["analyst", "engineer", "administrator"]
        .map(|role| node.caller(role).api_key().to_owned())
        .to_vec();
    node.serve_with(&["--config", "settings.json"], &[]);
    assert!(node.url().starts_with("https://"));
    node.kill();
    let mut noise = Noise::new();
    for value in ["heliotrope", "flowers", "id-of-row-17", "PRIVATE KEY", "administrator"] {
        noise.plant(value);
    }
    noise.plant("a long password for the test 2");
    noise.plant(key_file.trim());
    secrets.iter().for_each(|secret| noise.plant(secret));
    noise.assert_below(&node.program.data());
    let tls = node.program.data().join("tls");
    let mut files: Vec<String> = fs::read_dir(&tls)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["certificate.pem", "key.sealed"]);

    // The same folder under another ring: named, not served.
    fs::write(tls.join("key.sealed"), b"\x01changed").unwrap();
    let serve = ["serve", "--dir", "data", "--http", "127.0.0.1:0", "--config", "settings.json"];
    let refused = node.program.run(&serve);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("key.sealed") && said.contains("a new certificate is made"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_gets_a_core_dump_or_a_look_into_the_memory() {
    use std::os::unix::fs::{MetadataExt, chown};
    use std::os::unix::process::CommandExt;
    /// Without rights of its own, as a server should run.
    const NOBODY: u32 = 65_534;
    let program = Program::new(BINARY);
    let home = program.path("");
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let as_user = |command: &mut std::process::Command| {
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
    };
    if is_root {
        chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut init = program.command(&["init", "--dir", "data", "--key-file", "ring.key"]);
    as_user(&mut init);
    match init.output() {
        Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr)),
        // A checkout in root's own folder.
        Err(error) => {
            assert!(is_root && error.kind() == std::io::ErrorKind::PermissionDenied, "{error}");
            return;
        }
    }
    let mut serve = program.command(&["serve", "--dir", "data", "--http", "127.0.0.1:0"]);
    as_user(&mut serve);
    let mut running = serve.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(running.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert!(url.starts_with("http://"), "it serves");
    let process = running.id();

    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let numbers: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
    // What gcore and debuggers of the same user begin with.
    let mut look = std::process::Command::new("head");
    look.args(["-c", "1", &format!("/proc/{process}/mem")]);
    as_user(&mut look);
    let looked = look.output().unwrap();
    let said = String::from_utf8_lossy(&looked.stderr).into_owned();
    assert!(said.contains("ermission denied"), "{said}");
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let locked = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
    assert!(!locked.contains(" 0 kB"), "keys are kept out of the swap file: {locked}");
    running.kill().unwrap();
    running.wait().unwrap();
}

fn ring(administrator: &Caller) -> Value {
    administrator.get("/_clerestory/ring").expect(200)
}

fn generations(ring: &Value) -> Vec<u64> {
    let keys = ring["keys"].as_array().unwrap().iter();
    keys.filter(|key| key["family"] == "file")
        .map(|key| key["generation"].as_u64().unwrap())
        .collect()
}

fn count(analyst: &Caller) -> u64 {
    analyst.get("/flowers/_count").expect(200)["count"].as_u64().unwrap()
}

fn load(engineer: &Caller, from: u64, rows: u64) {
    let lines: String = (from..from + rows)
        .map(|n| format!("{{\"index\":{{}}}}\n{{\"word\":\"heliotrope\",\"n\":{n}}}\n"))
        .collect();
    engineer.bulk("/flowers/_bulk?refresh=true", lines.as_bytes()).expect(200);
}

#[test]
fn rotation_survives_being_killed_and_the_old_key_is_gone_at_the_end() {
    let mut node = Node::start(BINARY);
    load(&node.caller("engineer"), 0, 500);
    // A restart puts the rows into a file of the log that is not the newest.
    node.serve();
    load(&node.caller("engineer"), 500, 500);
    let stolen = node.program.path("stolen-ring");
    fs::copy(node.program.data().join("keyring"), &stolen).unwrap();

    let administrator = node.caller("administrator");
    for role in ["analyst", "engineer", "guardian"] {
        node.caller(role).get("/_clerestory/ring").expect(403);
        node.caller(role).send("POST", "/_clerestory/ring/_rotate", "", b"").expect(403);
    }
    let made = node.program.run_as(&administrator, &["key", "ring", "rotate", "--json"]);
    assert_eq!(made.trim(), r#"{"family":"file","generation":2}"#);
    node.kill();
    for _ in 0..3 {
        node.serve();
        std::thread::sleep(Duration::from_millis(20));
        node.kill();
    }
    node.serve();
    let (administrator, analyst) = (node.caller("administrator"), node.caller("analyst"));
    assert_eq!(count(&analyst), 1000, "no downtime, nothing lost");
    assert_eq!(generations(&ring(&administrator)), [1, 2]);
    load(&node.caller("engineer"), 1000, 10);
    let start = Instant::now();
    while ring(&administrator)["files_under_older_keys"] != 0 {
        assert!(start.elapsed() < Duration::from_secs(120), "{}", ring(&administrator));
        std::thread::sleep(Duration::from_millis(50));
    }
    let shown = node.program.run_as(&administrator, &["key", "ring", "show"]);
    assert!(shown.contains("sealed by key_file"), "{shown}");

    let refused = node.program.output_as(&administrator, &["key", "ring", "destroy", "2"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("is the current one; rotate first"), "{said}");
    node.program.run_as(&administrator, &["key", "ring", "destroy", "1"]);
    let again = node.program.output_as(&administrator, &["key", "ring", "destroy", "1"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("no file key of generation 1"), "{said}");
    node.serve();
    assert_eq!(count(&node.caller("analyst")), 1010);
    assert_eq!(generations(&ring(&node.caller("administrator"))), [2]);

    let records = node.caller("guardian").get("/_clerestory/audit?kind=key_ring_changed");
    let subjects: Vec<String> = records.expect(200)["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["subject"].as_str().unwrap().to_owned())
        .collect();
    assert!(subjects.contains(&"rotate file".to_owned()), "{subjects:?}");
    assert!(subjects.contains(&"destroy file 1".to_owned()), "{subjects:?}");

    // The ring of yesterday does not open the files of today, and says which key is missing.
    node.kill();
    fs::copy(&stolen, node.program.data().join("keyring")).unwrap();
    let refused = node.program.run(&["serve", "--dir", "data", "--http", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("which is not in key ring"), "{said}");
}

#[track_caller]
fn refused(program: &Program, arguments: &[&str], environment: &[(&str, &str)], expected: &str) {
    let output = program.command(arguments).envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?} did what it was told");
    assert!(said.contains(expected), "{said}\nshould say: {expected}");
}

#[test]
fn a_wrong_or_lost_key_is_named() {
    let program = Program::new(BINARY);
    let serve = ["serve", "--dir", "data", "--http", "127.0.0.1:0"];
    let inside = ["init", "--dir", "data", "--key-file", "data/ring.key"];
    refused(&program, &inside, &[], "lies inside the data folder; keep it elsewhere");
    fs::remove_dir_all(program.data()).unwrap();
    program.run_well(&["init", "--dir", "data", "--key-file", "ring.key"]);

    let key = program.path("ring.key");
    let right = fs::read_to_string(&key).unwrap();
    fs::copy(&key, program.path("elsewhere.key")).unwrap();
    fs::remove_file(&key).unwrap();
    refused(&program, &serve, &[], "seals the key ring, but there is no key file");
    program.run_well(&["init", "--dir", "other", "--key-file", "ring.key"]);
    refused(&program, &serve, &[], "but the key ring is sealed by key");
    fs::write(&key, "no key").unwrap();
    refused(&program, &serve, &[], "it must hold 64 hexadecimal characters");
    fs::write(program.path("words"), "correct horse battery\n").unwrap();
    let words = [&serve[..], &["--passphrase-file", "words"]].concat();
    refused(&program, &words, &[], "sealed by a key file, not by a passphrase");
    fs::hard_link(program.path("elsewhere.key"), program.data().join("inside")).unwrap();
    let linked = [&serve[..], &["--key-file", "elsewhere.key"]].concat();
    refused(&program, &linked, &[], "lies inside the data folder");
    fs::remove_file(program.data().join("inside")).unwrap();
    fs::write(&key, right).unwrap();

    let rewrap = ["key", "ring", "rewrap", "--dir", "data"];
    refused(&program, &rewrap, &[], "give --to-key-file F, --to-passphrase-file F");
    let refresh = ["key", "ring", "refresh", "--dir", "data"];
    refused(&program, &refresh, &[], "has no versions to move to");
    program.run_well(&[&rewrap[..], &["--to-passphrase-file", "words"]].concat());
    assert!(!program.data().join("key-place").try_exists().unwrap());
    refused(&program, &serve, &[], "do not know where the key of `data` lies");
    let file = [&serve[..], &["--key-file", "ring.key"]].concat();
    refused(&program, &file, &[], "give the passphrase: --passphrase-file F");
    fs::write(program.path("wrong"), "correct horse batterie\n").unwrap();
    let wrong = [&serve[..], &["--passphrase-file", "wrong"]].concat();
    refused(&program, &wrong, &[], "wrong passphrase for the key ring");
    let to_file =
        [&rewrap[..], &["--passphrase-file", "words", "--to-key-file", "new.key"]].concat();
    program.run_well(&to_file);
    program.run_well(&["audit", "verify", "--dir", "data"]);
}

#[test]
fn systemd_hands_the_key_in() {
    let program = Program::new(BINARY);
    let credentials = program.path("credentials");
    fs::create_dir(&credentials).unwrap();
    let folder = credentials.to_str().unwrap().to_owned();
    let environment = [("CREDENTIALS_DIRECTORY", folder.as_str())];
    let init = ["init", "--dir", "data", "--key-service", "systemd:ring"];
    refused(&program, &init, &environment, "add `LoadCredentialEncrypted=ring` to the unit");
    fs::remove_dir_all(program.data()).unwrap();
    refused(&program, &init, &[], "start by systemd");
    fs::remove_dir_all(program.data()).unwrap();
    fs::write(credentials.join("ring"), "5e".repeat(32)).unwrap();
    let made = program.command(&init).envs(environment).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let verify = ["audit", "verify", "--dir", "data"];
    let verified = program.command(&verify).envs(environment).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    assert_eq!(fs::read_to_string(program.data().join("key-place")).unwrap(), "systemd:ring\n");
    refused(&program, &verify, &[], "there is no folder of credentials");
}

/// A Vault with the transit key `node` at `transit`, as far as the program asks it.
fn vault() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sealed = Arc::new(Mutex::new(Vec::<String>::new()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap_or("").to_owned();
            let (mut length, mut is_known) = (0, false);
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "x-vault-token" => is_known = value == "hvs.right",
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let mut sealed = sealed.lock().unwrap();
            let number = |text: &Value| text.as_str()?.rsplit(':').next()?.parse::<usize>().ok();
            let known = number(&body["ciphertext"]).and_then(|at| sealed.get(at).cloned());
            let (status, answer) = match (is_known, path.as_str(), known) {
                (false, _, _) => (403, json!({ "errors": ["permission denied"] })),
                (true, "/v1/transit/encrypt/node", _) => {
                    sealed.push(body["plaintext"].as_str().unwrap().to_owned());
                    let name = format!("vault:v1:{}", sealed.len() - 1);
                    (200, json!({ "data": { "ciphertext": name } }))
                }
                (true, "/v1/transit/decrypt/node", Some(plain)) => {
                    (200, json!({ "data": { "plaintext": plain } }))
                }
                (true, "/v1/transit/rewrap/node", Some(plain)) => {
                    sealed.push(plain);
                    let name = format!("vault:v2:{}", sealed.len() - 1);
                    (200, json!({ "data": { "ciphertext": name } }))
                }
                _ => (400, json!({ "errors": ["encryption key not found"] })),
            };
            let text = answer.to_string();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", text.len());
            let _ = stream.write_all(format!("{head}{text}").as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn vault_keeps_the_key_and_the_folder_moves_there_while_it_is_served() {
    let address = vault();
    let environment = [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", "hvs.right")];
    let mut node = Node::start(BINARY);
    load(&node.caller("engineer"), 0, 100);
    let rewrap =
        ["key", "ring", "rewrap", "--dir", "data", "--to-key-service", "vault:transit/node"];
    refused(&node.program, &rewrap, &[], "Vault needs VAULT_ADDR");
    let old = [environment[0], ("VAULT_TOKEN", "hvs.old")];
    refused(&node.program, &rewrap, &old, "the token has expired, or lacks `update`");
    let plain = [("VAULT_ADDR", "http://vault.example.org"), environment[1]];
    refused(&node.program, &rewrap, &plain, "set VAULT_ADDR to an https address");
    let run = |arguments: &[&str]| {
        let output = node.program.command(arguments).envs(environment).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&rewrap);
    assert_eq!(count(&node.caller("analyst")), 100, "the server goes on");
    let place = fs::read_to_string(node.program.data().join("key-place")).unwrap();
    assert_eq!(place, "vault:transit/node\n", "no address: a changed note must not get the token");
    // This process still has the old root key and must not write it back.
    let changed = node.caller("administrator").send("POST", "/_clerestory/ring/_rotate", "", b"");
    assert!(changed.expect(409).to_string().contains("was changed by another process"));
    run(&["key", "ring", "refresh", "--dir", "data"]);
    let ring_file = fs::read_to_string(node.program.data().join("keyring")).unwrap();
    assert!(ring_file.contains("vault:v2:"), "{ring_file}");

    node.kill();
    let serve = ["serve", "--dir", "data", "--http", "127.0.0.1:0"];
    let gone = [("VAULT_ADDR", "http://127.0.0.1:1"), environment[1]];
    refused(
        &node.program,
        &serve,
        &gone,
        "did not unwrap the root key: no answer from 127.0.0.1:1",
    );
    refused(&node.program, &serve, &old, "403 (permission denied)");
    node.serve_with(&[], &environment);
    assert_eq!(count(&node.caller("analyst")), 100);
    let rotated = node.caller("administrator").send("POST", "/_clerestory/ring/_rotate", "", b"");
    assert_eq!(rotated.expect(200)["generation"], 2);
    let log = fs::read_to_string(node.program.log()).unwrap();
    assert!(!log.contains("hvs.right") && !log.contains("hvs.old"), "no token in the log");
}
