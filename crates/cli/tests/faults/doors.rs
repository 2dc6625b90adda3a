//! Doors: listeners, headers, routes, settings.

use crate::{BINARY, PLANTED, house, search};
use conformance::{Caller, Node, Program};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// `serve` with these settings does not start, says why, and leaves with the code of wrong use.
#[track_caller]
fn does_not_start(program: &Program, settings: &str) -> String {
    fs::write(program.path("settings.json"), settings).unwrap();
    let output = program.run(&["serve", "--config", "settings.json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{settings}: {said}");
    said
}

#[test]
fn security_switched_off_in_the_settings() {
    let (mut node, _) = house();
    node.kill();
    for (settings, named) in [
        (r#"{"dir": "data", "security": {"enabled": false}}"#, "security"),
        (r#"{"dir": "data", "xpack.security.enabled": false}"#, "xpack.security.enabled"),
        (r#"{"dir": "data", "anonymous": {"roles": ["analyst"]}}"#, "anonymous"),
        (r#"{"dir": "data", "audit": false}"#, "audit"),
        (r#"{"dir": "data", "tls": {"enabled": false}}"#, "enabled"),
    ] {
        let said = does_not_start(&node.program, settings);
        assert!(said.contains(named), "the setting is named: {said}");
        assert!(said.contains("nothing turns identity, encryption or the audit off"), "{said}");
    }
    // The environment turns nothing off either.
    let output = node
        .program
        .command(&["doctor", "--dir", "data"])
        .env("CLERESTORY_ANONYMOUS", "true")
        .env("ELASTIC_SECURITY_ENABLED", "false")
        .output()
        .unwrap();
    assert!(output.status.success());
    node.serve();
    assert_eq!(Caller::anonymous(node.url()).get("/").status, 401);
}

/// Speaks plain HTTP to an address and gives what comes back.
fn plainly(address: &str) -> Vec<u8> {
    let Ok(mut stream) = TcpStream::connect(address) else { return Vec::new() };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    // It may hang up in the middle: that is an answer, too.
    let _ = stream.read_to_end(&mut heard);
    heard
}

/// An address of this machine that is not its loopback.
fn outside() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only says which address it would use.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn bound_to_every_address() {
    // Where there is data, nobody opens a door to the network alone.
    let (mut node, _) = house();
    node.kill();
    let output = node.program.run(&["serve", "--dir", "data", "--http", "0.0.0.0:0"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("clerestory change set listeners"), "{said}");
    node.serve();
    let mut node = Node::start(BINARY);
    node.serve_at("0.0.0.0:0");
    assert!(node.url().starts_with("https://"), "off loopback only TLS is spoken: {}", node.url());
    let port = node.url().rsplit(':').next().unwrap().to_owned();
    let mut addresses = vec![format!("127.0.0.1:{port}")];
    addresses.extend(outside().map(|address| format!("{address}:{port}")));
    for address in addresses {
        let heard = plainly(&address);
        let text = String::from_utf8_lossy(&heard);
        assert!(!text.contains("200 OK") && !text.contains("X-Elastic"), "{address}: {text}");
        assert!(!text.contains(PLANTED));
    }
}

#[test]
fn a_second_port() {
    let (node, _) = house();
    let process = node.process().unwrap();
    let listening = listeners(process);
    let own: u16 = node.url().rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(listening, [own], "nothing listens but what was asked for");
    // A second server over the same folder would be a second door with other settings.
    let second = node.program.run(&["serve", "--dir", "data", "--http", "127.0.0.1:0"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("data"), "{said}");
    assert_eq!(search(&node.caller("analyst")).status, 200, "the first goes on");
}

/// The TCP ports that a process listens on, as Linux tells them.
fn listeners(process: u32) -> Vec<u16> {
    let mut inodes = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/fd")).unwrap() {
        let Ok(target) = fs::read_link(entry.unwrap().path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(inode.map(str::to_owned));
    }
    let mut ports = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let columns: Vec<&str> = line.split_whitespace().collect();
            if columns[3] == "0A" && inodes.iter().any(|inode| inode == columns[9]) {
                let port = columns[1].rsplit(':').next().unwrap();
                ports.push(u16::from_str_radix(port, 16).unwrap());
            }
        }
    }
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// One request as a proxy would send it: with these header lines.
fn with_headers(node: &Node, headers: &str) -> (u16, String) {
    let address = node.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request =
        format!("GET /things/_search HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    (heard[9..12].parse().unwrap(), heard)
}

#[test]
fn forwarded_identity_headers() {
    let (node, _) = house();
    for headers in [
        "x-forwarded-user: engineer\r\n",
        "x-remote-user: engineer\r\n",
        "remote-user: engineer\r\nx-remote-group: analyst\r\n",
        "x-auth-request-user: analyst\r\nx-auth-request-email: a@b.c\r\n",
        "es-security-runas-user: analyst\r\n",
        "x-webauth-user: analyst\r\n",
        "x-amzn-oidc-identity: analyst\r\nx-amzn-oidc-data: e30.e30.x\r\n",
        "x-client-cert: -----BEGIN\r\nx-ssl-client-s-dn: CN=analyst\r\n",
        "forwarded: for=127.0.0.1;by=engineer\r\n",
        "authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmFseXN0In0.\r\n",
    ] {
        let (status, heard) = with_headers(&node, headers);
        assert_eq!(status, 401, "{headers}");
        assert!(!heard.contains(PLANTED));
    }
    // With an identity, such a header changes nothing: neither who it is nor from where.
    let key = node.caller("analyst").api_key().to_owned();
    let headers = format!("authorization: ApiKey {key}\r\nes-security-runas-user: engineer\r\n");
    let (status, _) = with_headers(&node, &headers);
    assert_eq!(status, 200);
    let answer = node.caller("guardian").get("/_clerestory/audit?who=analyst&limit=10").expect(200);
    assert!(!answer["records"].as_array().unwrap().is_empty(), "the analyst read, nobody else");
}

#[test]
fn a_proxy_that_strips_the_credentials() {
    let (node, _) = house();
    // The proxy terminates and forwards without the header, from the trusted side.
    let (status, heard) = with_headers(&node, "x-forwarded-for: 10.0.0.1\r\nvia: 1.1 proxy\r\n");
    assert_eq!(status, 401);
    let anonymous = Caller::anonymous(node.url()).get("/things/_search");
    let body = heard.split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(body.as_bytes(), anonymous.body, "the same answer as for anybody");
}

#[test]
fn a_route_that_nobody_registered() {
    let (node, needles) = house();
    let paths = [
        "/_all",
        "/_snapshot",
        "/_nodes/stats",
        "/_plugins/_security/api/account",
        "/.kibana",
        "/_debug/pprof",
        "/metrics",
        "/health",
        "/actuator/env",
        "/..%2f..%2fetc/passwd",
        "/things/_search/../../_clerestory/audit",
        "//things//_search",
        "/%00",
        "/_cat/../things",
        "/server-status",
        "/favicon.ico",
        "/robots.txt",
        "/.env",
        "/.git/config",
    ];
    let anonymous = Caller::anonymous(node.url());
    let first = anonymous.get("/").body;
    for path in paths {
        let answer = anonymous.get(path);
        assert_eq!((answer.status, &answer.body), (401, &first), "{path}");
    }
    let administrator = node.caller("administrator");
    for path in paths.into_iter().filter(|path| *path != "/_all") {
        let answer = administrator.get(path);
        assert!(answer.status >= 400, "{path}: {}", answer.status);
    }
    needles.assert_not_in("the answers", &administrator.heard());
}

#[test]
fn errors_that_say_too_much() {
    let (node, needles) = house();
    let (analyst, engineer) = (node.caller("analyst"), node.caller("engineer"));
    engineer
        .put("/typed", &json!({ "mappings": { "properties": { "n": { "type": "long" } } } }))
        .expect(200);
    let bad = format!(
        "{{\"create\":{{}}}}\n{{\"n\":\"{PLANTED}\"}}\n{{\"create\":{{}}}}\n{{\"n\":{{\"x\":\"ada.quillmoor@example.org\"}}}}\n"
    );
    engineer.bulk("/typed/_bulk", bad.as_bytes()).expect(200);
    for body in [
        json!({ "query": { "range": { "n": { "gte": PLANTED } } } }),
        json!({ "query": { "regexp": { "colour": format!("({PLANTED}") } } }),
    ] {
        let answer = analyst.post("/typed,things/_search", &body);
        assert!(answer.status < 500, "{}", answer.status);
    }
    analyst
        .post("/_sql", &json!({ "query": format!("SELECT * FROM things WHERE n = '{PLANTED}'") }));
    analyst.post("/_sql", &json!({ "query": format!("SELECT '{PLANTED}' +") }));
    // The caller's own literal may come back to the caller; nothing of it is in a log, and no
    // answer has a path, a backtrace or a line of source.
    needles.assert_not_in("the log", &fs::read(node.program.log()).unwrap());
    for caller in [&analyst, &engineer] {
        let heard = String::from_utf8_lossy(&caller.heard()).into_owned();
        let data = node.program.data();
        for word in [data.to_str().unwrap(), ".rs:", "panicked", "stack backtrace", "/root/"] {
            assert!(!heard.contains(word), "an answer has `{word}`");
        }
    }
}

#[test]
fn secrets_in_the_log() {
    let (mut node, mut needles) = house();
    let secret = "AKIAIOSFODNN7EXAMPLE";
    let engineer = node.caller("engineer");
    let person =
        json!({ "name": "eve", "password": "correct horse battery", "roles": ["analyst"] });
    node.caller("administrator").post("/_clerestory/people", &person);
    engineer.post("/things/_doc", &json!({ "note": format!("key {secret}") })).expect(201);
    Caller::with_password(node.url(), "eve", "not the right horse").get("/");
    Caller::with_password(node.url(), "eve", "correct horse battery").get("/");
    Caller::with_authorization(node.url(), "Bearer someones-real-token-0123456789").get("/");
    engineer.get(&format!("/things/_search?q=note:{secret}"));
    needles.add(secret);
    for word in [
        "correct horse battery",
        "not the right horse",
        "someones-real-token-0123456789",
        engineer.api_key(),
    ] {
        needles.add(word);
    }
    node.kill();
    needles.assert_not_in("the log", &fs::read(node.program.log()).unwrap());
    needles.assert_not_below(&node.program.data());
    let shown = Program::new(BINARY).run(&["--help"]);
    assert!(shown.status.success());
}

#[test]
fn a_cached_answer_for_somebody_else() {
    let (node, needles) = house();
    let analyst = node.caller("analyst");
    for _ in 0..3 {
        assert_eq!(search(&analyst).status, 200);
    }
    let body = json!({ "query": { "match_all": {} } });
    analyst.post("/things/_search?request_cache=true", &body).expect(200);
    let administrator = node.caller("administrator");
    assert_ne!(search(&administrator).status, 200, "the same question, a moment later");
    assert_ne!(administrator.post("/things/_search?request_cache=true", &body).status, 200);
    assert_ne!(administrator.post("/things/_count", &json!({})).status, 200);
    needles.assert_not_in("what the administrator heard", &administrator.heard());
    for caller in [&analyst, &administrator] {
        let answer = caller.get("/things/_search");
        let cache = answer.header("cache-control").unwrap_or_default();
        assert!(cache.contains("no-store"), "no proxy keeps an answer: `{cache}`");
    }
}
