//! Bad input: a clear 4xx that names the item, the rest of the batch kept, nothing lost, no panic.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests are free, and say what they saw"
)]

use conformance::{Caller, Node};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

fn start() -> (Node, Caller) {
    let node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    let mapping = json!({ "mappings": { "properties": {
        "n": { "type": "long" }, "x": { "type": "double" }, "yes": { "type": "boolean" },
        "at": { "type": "date" }, "ip": { "type": "ip" }, "word": { "type": "keyword" },
        "message": { "type": "text" }, "place": { "type": "geo_point" },
    } } });
    engineer.put("/bad", &mapping).expect(200);
    (node, engineer)
}

/// No bad input of these tests needs more than this, in a build that is not optimised.
const PEAK_MIB_MAX: u64 = 512;

/// Still there, still right, within its memory, and nobody panicked.
fn is_well(node: &Node, expected: u64) {
    let peak = node.peak_memory_mib();
    assert!(peak <= PEAK_MIB_MAX, "{peak} MiB");
    let analyst = node.caller("analyst");
    assert_eq!(analyst.post("/bad/_count", &json!({})).expect(200)["count"], expected);
    let log = fs::read_to_string(node.program.log()).unwrap();
    assert!(!log.contains("panicked"), "nobody panicked:\n{log}");
}

#[test]
fn a_bad_document_is_refused_alone() {
    let (node, engineer) = start();
    let deep = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    let deep_array = format!("{{\"word\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let fields: Vec<String> = (0..10_000).map(|n| format!("\"field_{n}\":{n}")).collect();
    let many_fields = format!("{{{}}}", fields.join(","));
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("malformed JSON", b"{\"n\": 1".to_vec()),
        ("no JSON", b"hello".to_vec()),
        ("two values", b"{\"n\":1} {\"n\":2}".to_vec()),
        ("an array", b"[1]".to_vec()),
        ("a number", b"7".to_vec()),
        ("text for a long", b"{\"n\": \"many\"}".to_vec()),
        ("an object for a long", b"{\"n\": {\"a\": 1}}".to_vec()),
        ("text for a double", b"{\"x\": \"1,5\"}".to_vec()),
        ("a number for a boolean", b"{\"yes\": 3}".to_vec()),
        ("no address", b"{\"ip\": \"300.1.2.3\"}".to_vec()),
        ("no place", b"{\"place\": \"91,181\"}".to_vec()),
        ("an object for text", b"{\"message\": {\"a\": \"b\"}}".to_vec()),
        ("a day that is none", b"{\"at\": \"2026-02-30T00:00:00Z\"}".to_vec()),
        ("a month that is none", b"{\"at\": \"2026-13-01\"}".to_vec()),
        ("no date", b"{\"at\": \"yesterday\"}".to_vec()),
        ("a long too long", b"{\"n\": 99999999999999999999}".to_vec()),
        ("a double too large", b"{\"x\": 1e400}".to_vec()),
        ("not a number", b"{\"x\": NaN}".to_vec()),
        ("invalid UTF-8", b"{\"word\": \"\xff\xfe\"}".to_vec()),
        ("half a surrogate", b"{\"word\": \"\\ud800\"}".to_vec()),
        ("a name without a name", b"{\"\": 1}".to_vec()),
        ("a name of dots", b"{\"a..b\": 1}".to_vec()),
        ("deep nesting", deep.into_bytes()),
        ("deep arrays", deep_array.into_bytes()),
        ("ten thousand fields", many_fields.into_bytes()),
    ];
    let mut good = 0;
    for (what, document) in &bad {
        let mut body =
            b"{\"create\":{}}\n{\"n\":1,\"word\":\"before\"}\n{\"create\":{}}\n".to_vec();
        body.extend_from_slice(document);
        body.extend_from_slice(b"\n{\"create\":{}}\n{\"n\":2,\"word\":\"after\"}\n");
        let answer = engineer.bulk("/bad/_bulk", &body).expect(200);
        assert_eq!(answer["errors"], true, "{what}");
        let statuses: Vec<u64> = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["create"]["status"].as_u64().unwrap())
            .collect();
        assert_eq!((statuses[0], statuses[2]), (201, 201), "{what}: the neighbours are kept");
        assert!((400..500).contains(&statuses[1]), "{what}: {}", answer["items"][1]);
        let error = &answer["items"][1]["create"]["error"];
        assert!(error["type"].is_string(), "{what}: {error}");
        assert!(error["reason"].as_str().is_some_and(|reason| reason.len() > 8), "{what}: {error}");
        good += 2;
        is_well(&node, good);
    }
}

#[test]
fn odd_documents_are_kept_or_refused_but_never_break_anything() {
    let (node, engineer) = start();
    let odd: [&[u8]; 7] = [
        b"{\"word\": \"a\\u0000b\"}",
        b"{\"message\": \"\\u0000\"}",
        b"{\"word\": \"\"}",
        b"{}",
        b"{\"n\": null, \"word\": []}",
        b"{\"n\": -9223372036854775808, \"x\": 1.7976931348623157e308}",
        b"{\"x\": -0.0, \"word\": \"\xf0\x9f\xa6\x89\"}",
    ];
    let mut good = 0;
    for document in odd {
        let mut body = b"{\"create\":{}}\n".to_vec();
        body.extend_from_slice(document);
        body.push(b'\n');
        let answer = engineer.bulk("/bad/_bulk", &body).expect(200);
        let status = answer["items"][0]["create"]["status"].as_u64().unwrap();
        assert!(status == 201 || (400..500).contains(&status), "{answer}");
        good += u64::from(status == 201);
        is_well(&node, good);
    }
    let answer = node.caller("analyst").post("/bad/_search", &json!({ "size": 100 })).expect(200);
    assert_eq!(answer["hits"]["hits"].as_array().unwrap().len() as u64, good);
}

#[test]
fn bad_action_lines_and_bodies_get_a_clear_answer() {
    let (node, engineer) = start();
    let bodies: [&[u8]; 7] = [
        b"",
        b"\n",
        b"not json\n{\"n\":1}\n",
        b"{\"explode\":{}}\n{\"n\":1}\n",
        b"{\"create\":{}}\n",
        b"{\"create\":{\"_index\":\"Upper Case\"}}\n{\"n\":1}\n",
        b"\xff\xfe\n",
    ];
    for body in bodies {
        let answer = engineer.bulk("/bad/_bulk", body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let refused = (400..500).contains(&answer.status) || answer.json()["errors"] == true;
        assert!(refused, "{:?}: {} {text}", String::from_utf8_lossy(body), answer.status);
        is_well(&node, 0);
    }
}

#[test]
fn bad_questions_get_a_clear_answer() {
    let (node, engineer) = start();
    engineer.post("/bad/_doc", &json!({ "n": 1, "message": "hello" })).expect(201);
    let analyst = node.caller("analyst");
    let mut deep = json!({ "match_all": {} });
    for _ in 0..120 {
        deep = json!({ "bool": { "must": [deep] } });
    }
    let very_deep = format!("{{\"query\":{}", "{\"bool\":{\"must\":".repeat(20_000));
    let many: Vec<Value> = (0..70_000).map(|n| json!(format!("{n}"))).collect();
    let bad = [
        json!({ "query": { "no_such": {} } }),
        json!({ "query": { "term": {} } }),
        json!({ "query": { "range": { "at": { "gte": "someday" } } } }),
        json!({ "query": { "range": { "n": { "gte": "many" } } } }),
        json!({ "query": { "regexp": { "word": "(" } } }),
        json!({ "query": { "terms": { "word": many } } }),
        json!({ "query": [] }),
        json!({ "size": -1 }),
        json!({ "size": 100_000_000 }),
        json!({ "from": 1e18 }),
        json!({ "aggs": { "a": { "no_such": {} } } }),
        json!({ "aggs": { "a": { "date_histogram": { "field": "at", "fixed_interval": "0s" } } } }),
        json!({ "aggs": { "a": { "terms": { "field": "message" } } } }),
        json!({ "no_such_key": 1 }),
        json!({ "sort": [{ "n": "sideways" }] }),
    ];
    for question in &bad {
        let answer = analyst.post("/bad/_search", question);
        let shown = question.to_string().chars().take(80).collect::<String>();
        assert!((400..500).contains(&answer.status), "{shown}: {}", answer.status);
        let body = answer.json();
        assert!(
            body["error"]["type"].is_string() && body["error"]["reason"].is_string(),
            "{shown}: {body}"
        );
        is_well(&node, 1);
    }
    for body in [very_deep.as_bytes(), b"{\"query\":", b"\xff"] {
        let answer = analyst.send("POST", "/bad/_search", "application/json", body);
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
    let status = analyst.post("/bad/_search", &json!({ "query": deep })).status;
    assert!(status == 200 || status == 400, "{status}");
    // A field that is not there matches nothing, as in Elasticsearch.
    let unknown = json!({ "query": { "term": { "no_such_field": "x" } } });
    assert_eq!(analyst.post("/bad/_search", &unknown).expect(200)["hits"]["total"]["value"], 0);
    for (method, path) in
        [("GET", "/_no_such_route"), ("GET", "/bad/_no_such"), ("GET", "/bad/_search?no_such=1")]
    {
        let answer = analyst.send(method, path, "", b"");
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.json()["error"].is_null(), "{path}");
    }
    for statement in [
        "",
        "SELEC 1",
        "SELECT * FROM no_such",
        "SELECT no_such FROM bad",
        "DROP TABLE bad",
        "SELECT 1; SELECT 2",
    ] {
        let answer = analyst.post("/_sql", &json!({ "query": statement }));
        assert!((400..500).contains(&answer.status), "{statement}: {}", answer.status);
    }
    is_well(&node, 1);
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let (node, engineer) = start();
    let address = node.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST /bad/_bulk HTTP/1.1\r\nhost: x\r\nauthorization: ApiKey {}\r\n\
         content-type: application/x-ndjson\r\ncontent-length: 99999999999\r\n\r\n",
        engineer.api_key()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0_u8; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    is_well(&node, 0);
}

/// Zeros by the gigabyte, as a few megabytes of gzip.
fn gzip_bomb() -> Vec<u8> {
    use flate2::{Compression, write::GzEncoder};
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![b'0'; 1 << 20];
    (0..1024).for_each(|_| gzip.write_all(&zeros).unwrap());
    gzip.finish().unwrap()
}

#[test]
fn many_large_bad_bodies_at_once_stay_within_memory() {
    let (node, engineer) = start();
    let refused =
        "{\"create\":{}}\n{\"n\":\"not a number\",\"message\":\"some words that go with it\"}\n";
    let rows = 60_000;
    let body = refused.repeat(rows);
    let deep = format!("{{\"create\":{{}}}}\n{}\n", "{\"a\":".repeat(1_000_000));
    let wide: String = (0..100_000).map(|n| format!("\"f{n}\":{n},")).collect();
    let wide = format!("{{\"create\":{{}}}}\n{{{}\"n\":1}}\n", wide);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let answer = engineer.bulk("/bad/_bulk?filter_path=errors", body.as_bytes());
                assert_eq!(answer.expect(200)["errors"], true);
            });
        }
        for body in [&deep, &wide] {
            scope.spawn(|| {
                let answer = engineer.bulk("/bad/_bulk?filter_path=errors", body.as_bytes());
                let clear = answer.status >= 400 || answer.json()["errors"] == true;
                assert!(clear, "{}", answer.status);
            });
        }
    });
    is_well(&node, 0);
    let address = node.url().strip_prefix("http://").unwrap();
    let bomb = gzip_bomb();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let head = format!(
        "POST /bad/_bulk HTTP/1.1\r\nhost: x\r\nauthorization: ApiKey {}\r\n\
         content-type: application/x-ndjson\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        engineer.api_key(),
        bomb.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // It may answer and hang up before it has read all.
    let _ = stream.write_all(&bomb);
    let mut answer = [0_u8; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    is_well(&node, 0);
    println!("peak memory: {} MiB", node.peak_memory_mib());
}
