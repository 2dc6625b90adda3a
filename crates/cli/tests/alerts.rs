//! Alerts over the demo's thirty days, and over a crash, through the binary.

use conformance::{DemoNode, DemoSize, Node, Receiver, now_ms, rfc3339};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");
const DAY_MS: i64 = 86_400_000;

const FIRMWARE: &str = "
alerts:
  - name: failing_firmware
    label: Failed connections by firmware
    metric: failed_connection_rate
    grain: day
    by: [firmware]
    when: { change: { direction: up, at_least: 0.1 } }
";

/// What the demo plants: one firmware begins to fail on the twentieth day, and nothing else happens.
#[test]
fn the_planted_regression_fires_within_one_evaluation_and_nothing_else() {
    let size = DemoSize { devices: 1_500, days: 30, events: 150_000 };
    let fleet = size.fleet();
    let node = DemoNode::start(BINARY, size);
    let analyst = node.caller("analyst");
    fs::write(node.program.path("alerts.yaml"), FIRMWARE).unwrap();
    node.program.run_as(&analyst, &["alert", "apply", "alerts.yaml"]);
    let first = fleet.settings().first_day_ms;
    let time = |day: u32| rfc3339(first + i64::from(day) * DAY_MS);
    let tried = node.program.run_as(
        &analyst,
        &["alert", "try", "failing_firmware", "--from", &time(0), "--to", &time(30), "--json"],
    );
    let tried: Value = serde_json::from_str(&tried).unwrap();
    let events = tried["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "one firmware, once: {tried}");
    assert_eq!(events[0]["group"], json!(["4.3.0"]));
    assert_eq!(events[0]["event"], "fires");
    // The first look after the first bad day is over, five minutes after midnight.
    let midnight = time(fleet.bad_day() + 1);
    let day = &midnight[..10];
    assert_eq!(events[0]["at"].as_str().unwrap(), format!("{day}T00:05:00.000Z"));
    let (value, expected) =
        (events[0]["value"].as_f64().unwrap(), events[0]["expected"].as_f64().unwrap());
    assert!(value > 0.25 && expected < 0.1, "{tried}");

    let shown = node.program.run_as(&analyst, &["alert", "show", "failing_firmware"]);
    for part in ["0.1 and 5 deviations above the median", "as SQL", "\"grain\":\"day\""] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

const METRICS: &str = r#"
measures:
  - name: orders
    table: orders
    time: "@timestamp"
    agg: count
metrics:
  - name: orders
    type: simple
    measure: orders
    grain: hour
    dimensions: [shop]
"#;

const ALERTS: &str = "
alerts:
  - name: many_orders
    label: Many orders of a shop
    metric: orders
    grain: hour
    by: [shop]
    when: { above: 3 }
    delay: 0s
    every: 10s
    history: 48h
    notify: [ops]
";

#[test]
fn an_alert_is_told_to_its_target_and_survives_kill_nine() {
    let mut node = Node::start(BINARY);
    let receiver = Receiver::start();
    let administrator = node.caller("administrator");
    let secret = json!({ "secret": "a secret that signs webhooks" });
    let mark = administrator.post("/_clerestory/notices/_secret", &secret).expect(200);
    let target = |name: &str| {
        format!(
            "{name}=webhook:{}/{name} secret={}",
            receiver.url(),
            mark["mark"].as_str().unwrap()
        )
    };
    let body = json!({ "edits": [{ "setting": { "name": "notify",
                       "value": [target("ops"), target("other")] } }], "why": "x" });
    administrator.post("/_clerestory/changes", &body).expect(200);
    let engineer = node.caller("engineer");
    let before = rfc3339(now_ms() - 3_600_000);
    let mapping = json!({ "mappings": { "properties": {
            "@timestamp": { "type": "date" }, "shop": { "type": "keyword" } } } });
    engineer.put("/orders", &mapping).expect(200);
    for number in 0..5 {
        let row = json!({ "@timestamp": before, "shop": "chartreuse-heron", "number": number });
        engineer.post("/orders/_doc", &row).expect(201);
    }
    let analyst = node.caller("analyst");
    fs::write(node.program.path("metrics.yaml"), METRICS).unwrap();
    fs::write(node.program.path("alerts.yaml"), ALERTS).unwrap();
    node.program.run_as(&analyst, &["metric", "apply", "metrics.yaml"]);
    node.program.run_as(&analyst, &["alert", "apply", "alerts.yaml"]);

    let hook = receiver.wait_for("alert many_orders fires");
    assert_eq!((hook.path.as_str(), hook.json()["kind"].as_str()), ("/ops", Some("alert")));
    let text = String::from_utf8_lossy(&hook.body).into_owned();
    assert!(!text.contains("heron"), "a group's name is a value: {text}");
    let page = format!("{}/_ui/alerts/many_orders", node.url());
    assert!(text.contains(&page), "who is told finds the chart and the question: {text}");
    let list = || analyst_list(&node.program, &node.caller("analyst"));
    let start = Instant::now();
    while !list().contains("firing") {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", list());
        std::thread::sleep(Duration::from_millis(200));
    }
    node.kill();
    node.serve();
    let shown = node.program.run_as(&node.caller("analyst"), &["alert", "show", "many_orders"]);
    assert!(
        shown.contains("many_orders is firing") && shown.contains("chartreuse-heron"),
        "{shown}"
    );
    // The page says so, too, with the chart, the question and where it fires; its group is the
    // author's to see.
    let page = |role: &str, path: &str| {
        let answer = node.caller(role).get(path);
        assert_eq!(answer.status, 200, "{path}");
        String::from_utf8(answer.body).unwrap()
    };
    let mine = page("analyst", "/_ui/alerts/many_orders");
    for part in
        ["firing</span>", "data-chart", "fires at 3", "chartreuse-heron", "it goes on", "As curl"]
    {
        assert!(mine.contains(part), "{part}: {mine}");
    }
    let other = page("engineer", "/_ui/alerts/many_orders");
    assert!(other.contains("firing</span>"), "who sees all rows sees that it fires: {other}");
    assert!(page("analyst", "/_ui/alerts").contains("firing</span>"));
    assert!(page("analyst", "/_ui").contains("The alert “Many orders of a shop” fires."));
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(receiver.taken().len(), 1, "told once, to one target: {:?}", receiver.taken());
    let silence = ["alert", "silence", "many_orders", "--hours", "2", "--why", "a sale"];
    let said = node.program.run_as(&node.caller("analyst"), &silence);
    assert!(said.contains("tells nobody until"), "{said}");
    let removed = node.program.run_as(&node.caller("analyst"), &["alert", "remove", "many_orders"]);
    assert!(removed.contains("is removed"), "{removed}");
    let answers = ["/_clerestory/alerts", "/_clerestory/alerts/many_orders"];
    for path in answers {
        assert_eq!(conformance::Caller::anonymous(node.url()).get(path).status, 401);
    }
}

fn analyst_list(program: &conformance::Program, analyst: &conformance::Caller) -> String {
    program.run_as(analyst, &["alert", "list"])
}
