//! One truth: the same question by Elasticsearch's query language, SQL and a declared metric gives
//! the same number, and it is the number that the generator of the demo counts.

use conformance::question::{all, assert_same};
use conformance::{DemoNode, DemoSize};
use demo::Oracle;
use serde_json::json;
use std::collections::BTreeMap;

const SIZE: DemoSize = DemoSize { devices: 300, days: 4, events: 12_000 };

#[test]
fn every_question_has_one_answer() {
    let node = DemoNode::start(env!("CARGO_BIN_EXE_clerestory"), SIZE);
    let fleet = SIZE.fleet();
    let first_day = fleet.settings().first_day_ms;
    let (analyst, engineer) = (node.caller("analyst"), node.caller("engineer"));
    let questions = all(&fleet);
    assert!(questions.len() >= 30, "thirty questions at least");
    for (number, question) in questions.iter().enumerate() {
        let truth = question.truth(&fleet);
        assert!(!truth.is_empty(), "{}: there is something to compare", question.title);

        let answer = analyst.post("/events/_search", &question.to_search(first_day)).expect(200);
        assert_same(question.title, "search", &question.of_search(&answer), &truth);

        let statement = json!({ "query": question.to_sql(first_day) });
        let answer = analyst.post("/_sql", &statement).expect(200);
        assert_same(question.title, "sql", &question.of_rows(&answer), &truth);

        let name = format!("question_{number}");
        let yaml = question.to_metric(&name, first_day);
        engineer
            .send("PUT", "/_clerestory/metrics", "application/yaml", yaml.as_bytes())
            .expect(200);
        let path = format!("/_clerestory/metrics/{name}");
        let answer = analyst.post(&path, &question.to_metric_query()).expect(200);
        assert_same(question.title, "metric", &question.of_rows(&answer), &truth);
    }
}

/// The metrics of the demo itself, with the dimensions and grains that its users ask for.
#[test]
fn the_demo_s_metrics_are_right() {
    let size = DemoSize { devices: 600, days: 30, events: 40_000 };
    let node = DemoNode::start(env!("CARGO_BIN_EXE_clerestory"), size);
    let fleet = size.fleet();
    let oracle = Oracle::of(&fleet);
    let analyst = node.caller("analyst");
    let ask = |name: &str, body| {
        let answer = analyst.post(&format!("/_clerestory/metrics/{name}"), &body).expect(200);
        let rows = answer["rows"].as_array().unwrap();
        conformance::question::cells_of_rows(name, rows, true)
    };

    let activations = ask("activations", json!({ "grain": "day", "dimensions": ["model"] }));
    let expected = oracle.activations.iter();
    let expected = expected.map(|((day, model), count)| (key(*day, Some(model)), *count as f64));
    assert_same("activations", "metric", &activations, &expected.collect());

    let body = json!({ "grain": "hour", "dimensions": ["firmware"] });
    let rates = ask("failed_connection_rate", body);
    let expected: BTreeMap<_, _> = oracle
        .connections
        .iter()
        .map(|((hour, firmware), tries)| {
            (key(*hour, Some(firmware)), tries.failed as f64 / tries.all as f64)
        })
        .collect();
    assert_same("failed_connection_rate", "metric", &rates, &expected);

    let active = ask("active_devices", json!({ "grain": "day" }));
    let expected = oracle.active_devices.iter();
    let expected = expected.map(|(day, count)| (key(*day, None), *count as f64));
    assert_same("active_devices", "metric", &active, &expected.collect());

    let body = json!({ "grain": "day", "dimensions": ["firmware"] });
    let daily = ask("failed_connection_rate", body);
    let bad_day = fleet.settings().first_day_ms + i64::from(fleet.bad_day()) * 86_400_000;
    let mean = |is_after: bool| {
        let of_bad = daily.iter().filter(|(key, _)| key[1] == demo::BAD_FIRMWARE);
        let rates: Vec<f64> = of_bad
            .filter(|(key, _)| (key[0].parse::<i64>().unwrap() >= bad_day) == is_after)
            .map(|(_, rate)| *rate)
            .collect();
        rates.iter().sum::<f64>() / rates.len() as f64
    };
    assert!(mean(true) > 3.0 * mean(false), "the planted firmware is visible");
}

fn key(time: i64, value: Option<&str>) -> Vec<String> {
    std::iter::once(time.to_string()).chain(value.map(str::to_owned)).collect()
}
