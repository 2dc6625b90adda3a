//! Whoever goes away is not worked for any more.

use super::house::House;
use crate::Limits;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Rows that are joined with each other, so many times one after the other.
const ROWS: usize = 5_000;
const JOINS: usize = 12;

#[test]
fn a_client_that_goes_away_cancels_its_question() {
    // One question at a time: who comes behind one that nobody wants waits for its end.
    let limits = Limits { questions_max: 1, ..Limits::default() };
    let house = House::listening("127.0.0.1:0", limits);
    let lines: String =
        (0..ROWS).map(|row| format!("{{\"index\":{{}}}}\n{{\"n\":{row}}}\n")).collect();
    let headers = ["content-type: application/x-ndjson"];
    let loaded = house.ask_with("POST", "/rows/_bulk", &headers, lines.as_bytes());
    assert!(loaded.text().contains("\"errors\":false"));
    let join = |part| {
        format!(
            "SELECT COUNT(*) FROM rows a JOIN rows b ON a.n * b.n % 7 = {part} AND a.n > b.n - 9999"
        )
    };
    let joins: Vec<String> = (0..JOINS).map(join).collect();
    let slow = format!("{{\"query\":\"{}\"}}", joins.join(" UNION ALL "));

    let started = Instant::now();
    let whole = house.ask("POST", "/_sql", &slow);
    assert_eq!(whole.status, 200, "{}", whole.text());
    let whole = started.elapsed();

    let mut stream = TcpStream::connect(house.address()).unwrap();
    let head = format!(
        "POST /_sql HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{}\r\ncontent-length: {}\r\n\r\n{slow}",
        House::LOGIN,
        slow.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // Long enough to be planned and to run; then the client is gone.
    std::thread::sleep(whole / 8);
    stream.set_nonblocking(true).unwrap();
    assert!(stream.read(&mut [0; 1]).is_err(), "it is not answered yet");
    drop(stream);
    let started = Instant::now();
    let next = house.ask("POST", "/_sql", r#"{"query":"SELECT 1"}"#);
    assert_eq!(next.status, 200, "{}", next.text());
    let waited = started.elapsed();
    assert!(waited < whole / 2, "waited {waited:?} for an answer of {whole:?} that nobody wants");
    assert!(whole > Duration::from_millis(800), "{whole:?} is too short to be left");
}
