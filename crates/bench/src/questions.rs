use crate::server::Server;
use anyhow::{Context, Result};
use demo::Fleet;
use serde_json::{Value, json};
use std::time::Instant;

/// One measured question.
struct Question {
    name: &'static str,
    /// What it should take at most, in milliseconds.
    aim_ms: f64,
    path: &'static str,
    body: Value,
}

/// Asks each question with `only` in its name until it is hot, then `repeat` times, and prints the
/// medians.
pub(crate) fn run(server: &Server, fleet: &Fleet, repeat: usize, only: &str) -> Result<()> {
    let authorization = server.authorization("analyst")?;
    println!("\n{:<52} {:>9} {:>9} {:>8}", "question, hot", "median ms", "worst ms", "aim ms");
    for question in all(fleet).into_iter().filter(|question| question.name.contains(only)) {
        let body = question.body.to_string();
        let ask = || -> Result<f64> {
            let start = Instant::now();
            server
                .post(question.path, &authorization, "application/json", body.as_bytes())
                .with_context(|| format!("question `{}`", question.name))?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        };
        for _ in 0..3 {
            ask()?;
        }
        let mut times = (0..repeat.max(1)).map(|_| ask()).collect::<Result<Vec<f64>>>()?;
        times.sort_by(f64::total_cmp);
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        let mark = if median <= question.aim_ms { "" } else { "  over" };
        println!("{:<52} {median:>9.1} {worst:>9.1} {:>8.0}{mark}", question.name, question.aim_ms);
    }
    Ok(())
}

fn all(fleet: &Fleet) -> Vec<Question> {
    let question = |name, aim_ms, path, body| Question { name, aim_ms, path, body };
    let device = &fleet.devices()[fleet.devices().len() / 3].id;
    let email = &fleet.users()[fleet.users().len() / 2].email;
    vec![
        question(
            "metric: activations per day by model",
            150.0,
            "/_clerestory/metrics/activations",
            json!({ "grain": "day", "dimensions": ["model"] }),
        ),
        question(
            "metric: failed connections per hour by firmware",
            150.0,
            "/_clerestory/metrics/failed_connection_rate",
            json!({ "grain": "hour", "dimensions": ["firmware"] }),
        ),
        question(
            "metric: active devices per day, exact",
            150.0,
            "/_clerestory/metrics/active_devices",
            json!({ "grain": "day" }),
        ),
        question(
            "count by kind",
            10.0,
            "/events/_search",
            json!({ "size": 0, "aggs": { "k": { "terms": { "field": "kind" } } } }),
        ),
        question(
            "sql: model x region x status with averages",
            150.0,
            "/_sql",
            json!({ "query": "SELECT model, region, status, count(*) AS n, avg(latency_ms) AS latency, \
                              avg(rssi) AS signal FROM events GROUP BY model, region, status" }),
        ),
        question(
            "sql: the ten busiest devices",
            150.0,
            "/_sql",
            json!({ "query": "SELECT device_id, count(*) AS n FROM events \
                              GROUP BY device_id ORDER BY n DESC LIMIT 10" }),
        ),
        question(
            "latency percentiles by model",
            150.0,
            "/events/_search",
            json!({ "size": 0, "aggs": { "m": { "terms": { "field": "model" },
                "aggs": { "p": { "percentiles": { "field": "latency_ms", "percents": [50, 95, 99] } } } } } }),
        ),
        question(
            "text: handshake timed out, best ten",
            20.0,
            "/events/_search",
            json!({ "size": 10, "query": { "match": { "message": {
                "query": "camera handshake timed out", "operator": "and" } } } }),
        ),
        question(
            "text: the phrase \"flash page worn out\"",
            20.0,
            "/events/_search",
            json!({ "size": 10, "query": { "match_phrase": { "message": "flash page worn out" } } }),
        ),
        question(
            "the newest twenty failed connections",
            20.0,
            "/events/_search",
            json!({ "size": 20, "query": { "term": { "kind": "connect_failed" } },
                "sort": [{ "@timestamp": "desc" }] }),
        ),
        question(
            "look-up: the newest ten events of a device",
            10.0,
            "/events/_search",
            json!({ "size": 10, "query": { "term": { "device_id": device } },
                "sort": [{ "@timestamp": "desc" }] }),
        ),
        question(
            "look-up: a user by the real e-mail address",
            10.0,
            "/users/_search",
            json!({ "query": { "term": { "email": email } } }),
        ),
    ]
}
