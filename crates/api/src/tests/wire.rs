//! What official clients look at: shapes, headers, limits.

use super::client::ask;
use super::house::House;
use crate::Limits;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::json;
use std::io::{Read, Write};

#[test]
fn the_root_is_elasticsearch_to_clients() {
    let house = House::open();
    let answer = house.ask("GET", "/", "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some());
    assert!(answer.json()["version"]["number"].as_str().unwrap().starts_with("9."));
    let head = house.ask("HEAD", "/", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for version in ["8", "9"] {
        let media = format!("application/vnd.elasticsearch+json; compatible-with={version}");
        let answer = house.ask_with("GET", "/", &[&format!("accept: {media}")], b"");
        assert_eq!(answer.header("content-type"), Some(media.replace("; ", ";").as_str()));
    }
    let answer = house.ask_with(
        "GET",
        "/",
        &["accept: application/vnd.elasticsearch+json; compatible-with=7", "x-opaque-id: me"],
        b"",
    );
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("x-opaque-id"), Some("me"));
}

#[test]
fn answers_are_filtered_pretty_and_yaml() {
    let house = House::open();
    let answer = house.ask("GET", "/?filter_path=version.number,tag*", "");
    let keys: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["version", "tagline"]);
    assert!(house.ask("GET", "/?pretty", "").text().starts_with("{\n  \"name\""));
    let yaml = house.ask("GET", "/?format=yaml&filter_path=name", "");
    assert_eq!(yaml.text(), "---\n\"name\": \"clerestory\"\n");
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
    let error = house.ask("GET", "/_sql?pretty&filter_path=nothing", "");
    assert_eq!(error.status, 400);
    assert!(error.json()["error"]["type"].is_string(), "errors are whole");
}

#[test]
fn wrong_ways_are_named_as_elasticsearch_names_them() {
    let house = House::open();
    let check = |method: &str, uri: &str, status: u16, reason: &str| {
        let answer = house.ask(method, uri, "");
        assert_eq!(answer.status, status, "{method} {uri}");
        let body = answer.json();
        let error = &body["error"];
        let text = error.as_str().or_else(|| error["reason"].as_str()).unwrap();
        assert_eq!(text, reason, "{method} {uri}");
    };
    check(
        "GET",
        "/_nothing?pretty",
        400,
        "no handler found for uri [/_nothing?pretty] and method [GET]",
    );
    check(
        "DELETE",
        "/_bulk",
        405,
        "Incorrect HTTP method for uri [/_bulk] and method [DELETE], allowed: [POST, PUT]",
    );
    check(
        "GET",
        "/some/_search?foo=1&sizes=2&pretty",
        400,
        "request [/some/_search] contains unrecognized parameters: [foo], [sizes]",
    );
    check("GET", "/?foo", 400, "request [/] contains unrecognized parameter: [foo]");
    check("GET", "/?x=%", 400, "the uri has a broken escape; write `%` as `%25`");
    assert_eq!(house.ask("GET", "/_bulk", "").header("allow"), Some("POST,PUT"));
    let options = house.ask("OPTIONS", "/_bulk", "");
    assert_eq!((options.status, options.header("allow")), (200, Some("POST,PUT")));
    assert_eq!(house.ask("PATCH", "/_bulk", "").status, 405);
}

#[test]
fn bodies_are_checked() {
    let house = House::open();
    let form = ["content-type: application/x-www-form-urlencoded"];
    let answer = house.ask_with("POST", "/_search", &form, b"{}");
    assert_eq!(answer.status, 406);
    assert_eq!(
        answer.text(),
        r#"{"error":"Content-Type header [application/x-www-form-urlencoded] is not supported","status":406}"#
    );
    assert_eq!(house.ask_with("POST", "/_search", &[], b"{}").status, 406);
    let answer = house.ask("POST", "/_search", "{\"query\":");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["type"], "x_content_parse_exception");
    assert_eq!(house.ask("GET", "/_cat/health", "{}").status, 400, "no body here");
    let deep = "[".repeat(100_000);
    assert_eq!(house.ask("POST", "/_search", &deep).status, 400);
}

#[test]
fn bodies_are_limited_also_when_they_are_packed() {
    let limits = Limits { body_bytes_max: 10_000, ..Limits::default() };
    let house = House::listening("127.0.0.1:0", limits);
    let large = format!("{{\"query\":\"{}\"}}", "x".repeat(10_000));
    let answer = house.ask("POST", "/_sql", &large);
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["error"]["type"], "content_too_long_exception");
    let headers = ["content-type: application/json", "content-encoding: gzip"];
    let answer = house.ask_with("POST", "/_sql", &headers, &gzip(large.as_bytes()));
    assert_eq!(answer.status, 413);
    assert_eq!(house.ask_with("POST", "/_sql", &headers, b"no gzip").status, 400);
    let chunked = ["content-type: application/json", "transfer-encoding: chunked"];
    let mut body = format!("{:x}\r\n{large}\r\n", large.len());
    body.push_str("0\r\n\r\n");
    let mut headers = chunked.to_vec();
    headers.push(House::LOGIN);
    let answer = super::client::ask_as_it_is(house.address(), "POST", "/_sql", &headers, &body);
    assert_eq!(answer.status, 413);
}

#[test]
fn gzip_goes_both_ways() {
    let house = House::open();
    let body = gzip(br#"{"size":0}"#);
    let headers = ["content-type: application/json", "content-encoding: gzip"];
    let answer = house.ask_with("POST", "/_msearch", &headers, &body);
    assert_eq!(answer.json()["error"]["reason"], "a header line has no body line after it");
    let packed = ["accept-encoding: br, gzip"];
    assert_eq!(house.ask_with("GET", "/", &packed, b"").header("content-encoding"), None);
    let long = format!("/_nothing/{}", "x".repeat(2000));
    let answer = house.ask_with("GET", &long, &packed, b"");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.body.len() < 500);
    let mut text = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.contains("no handler found"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_not_there_says_so() {
    let house = House::open();
    for (method, uri) in [("PUT", "/_index_template/x"), ("PUT", "/_template/x")] {
        let answer = house.ask(method, uri, "{}");
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"]["type"], "unsupported_operation_exception");
    }
    assert_eq!(house.ask("HEAD", "/_index_template/x", "").status, 404);
    assert_eq!(house.ask("GET", "/_cluster/settings", "").json()["transient"], json!({}));
}

#[test]
fn stopping_lets_requests_finish() {
    let house = House::open();
    let address = house.address();
    assert_eq!(ask(address, "GET", "/", &[House::LOGIN], b"").status, 200);
    house.server.stop();
    assert!(std::net::TcpStream::connect(address).is_err());
}
