//! Metrics over a store, and the same in SQL.

use super::{MetricModel, MetricQuery, plan};
use crate::testing::{Document, House, START_MS, lines, long, text};
use crate::{Limits, QueryError, sql};
use model::{Table, Timestamp};
use serde_json::{Value as Json, json};
use std::sync::{Arc, LazyLock};

static HOUSE: LazyLock<House> = LazyLock::new(House::new);
static TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| {
    let table = HOUSE.table(true);
    let row = |n: i64| -> Document {
        vec![
            // Four days, of which the third is empty.
            ("at", long(START_MS + n * 3_600_000 + if n >= 48 { 86_400_000 } else { 0 })),
            ("kind", text(["connect", "failed", "ping"][n as usize % 3])),
            ("ms", long(n)),
            ("user.email", text(&format!("person{}@example.org", n % 7))),
            ("deviceId", text(["a", "b"][n as usize % 2])),
        ]
    };
    HOUSE.put(&table, &(0..50).map(row).collect::<Vec<_>>());
    HOUSE.store.flush().unwrap();
    HOUSE.put(&table, &(50..72).map(row).collect::<Vec<_>>());
    table
});

fn model() -> MetricModel {
    let yaml = r#"
measures:
  - name: failed
    table: events
    agg: count
    filter: {kind: failed}
  - name: tried
    table: events
    time: at
    agg: count
    filter: "kind IN ('connect', 'failed')"
  - name: tried_too
    table: events
    agg: count
    filter: "kind IN ('connect', 'failed')"
  - name: people
    table: events
    agg: count_distinct
    field: user.email
  - name: slow
    table: events
    agg: quantile
    field: ms
    quantile: 0.5
metrics:
  - {name: failures, type: simple, measure: failed, dimensions: [deviceId], empty: zero}
  - {name: failure_rate, type: ratio, numerator: failed, denominator: tried_too, dimensions: [deviceId]}
  - {name: failure_rate_apart, type: ratio, numerator: failed, denominator: tried, dimensions: [deviceId]}
  - {name: people, type: simple, measure: people}
  - {name: slow, type: simple, measure: slow, grain: total}
  - {name: known, type: cumulative, measure: people}
  - {name: failures_so_far, type: cumulative, measure: failed, dimensions: [deviceId]}
  - {name: people_2d, type: unique, table: events, entity: user.email, window: 2d}
  - {name: dormant, type: derived, expression: known - people_2d}
  - {name: failures_by_ten, type: derived, expression: "10 * failed / (tried - failed) - 0.5", dimensions: [deviceId]}
"#;
    MetricModel::parse(&yaml.replace("events", TABLE.name.as_str())).unwrap()
}

fn ask(name: &str, body: Json) -> Result<(Vec<String>, String), QueryError> {
    let query = MetricQuery::from_json(&body, Timestamp(START_MS))?;
    let tables = [Arc::clone(&TABLE)];
    let plan = plan(&model(), name, &query, &tables, &HOUSE.pseudonyms)?;
    let scope = HOUSE.scope(plan.tables(), plan.fields());
    let answer = plan.run(&scope, &Limits::standard())?.to_json();
    let cell = |cell: &Json| match cell {
        Json::String(text) => text.replace(".000Z", "Z"),
        Json::Number(number) => format!("{:?}", number.as_f64().unwrap()),
        other => other.to_string().replace("null", "-"),
    };
    let rows = answer["rows"].as_array().unwrap().iter();
    let rows =
        rows.map(|row| row.as_array().unwrap().iter().map(cell).collect::<Vec<_>>().join(" | "));
    Ok((rows.collect(), plan.sql().to_owned()))
}

fn by_sql(text: &str) -> Vec<String> {
    let plan = sql::plan(text, &[Arc::clone(&TABLE)], &HOUSE.pseudonyms).unwrap();
    let scope = HOUSE.scope(plan.tables(), plan.fields());
    let (_, batches) = plan.run(&scope, &Limits::standard()).unwrap();
    let number = |cell: &str| match cell.parse::<f64>() {
        Ok(number) => format!("{number:?}"),
        Err(_) => cell.to_owned(),
    };
    let line = |line: &String| line.split(" | ").map(number).collect::<Vec<_>>().join(" | ");
    batches.iter().flat_map(|batch| lines(batch).iter().map(line).collect::<Vec<_>>()).collect()
}

#[test]
fn metrics_and_sql_give_the_same_rows() {
    let from_to = json!({"from": "2026-03-01", "to": "2026-03-04T12:00:00Z"});
    for name in ["failure_rate", "failure_rate_apart", "people", "slow", "failures_by_ten"] {
        for grain in ["hour", "day", "week", "month", "total"] {
            for dimensions in [json!([]), json!(["deviceId"])] {
                if name == "people" && dimensions != json!([]) || name == "slow" && grain != "total"
                {
                    continue;
                }
                if name == "slow" && dimensions != json!([]) {
                    continue;
                }
                let mut body = from_to.clone();
                body["grain"] = json!(grain);
                body["dimensions"] = dimensions;
                let (rows, text) = ask(name, body).unwrap();
                assert_eq!(rows, by_sql(&text), "{name} by {grain}:\n{text}");
                assert!(!rows.is_empty());
            }
        }
    }
}

#[test]
fn days_without_rows_show_zero_or_nothing() {
    let (rows, _) = ask("failures", json!({})).unwrap();
    assert_eq!(
        rows,
        [
            "2026-03-01T00:00:00Z | 8.0",
            "2026-03-02T00:00:00Z | 8.0",
            "2026-03-03T00:00:00Z | 0.0",
            "2026-03-04T00:00:00Z | 8.0",
        ]
    );
    let (rows, _) = ask("failure_rate", json!({})).unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.ends_with(" | 0.5")), "{rows:?}");
    let body = json!({"dimensions": ["deviceId"], "from": "2026-03-02", "to": "2026-03-04"});
    let (rows, _) = ask("failures", body).unwrap();
    assert_eq!(
        rows,
        [
            "2026-03-02T00:00:00Z | a | 4.0",
            "2026-03-02T00:00:00Z | b | 4.0",
            "2026-03-03T00:00:00Z | a | 0.0",
            "2026-03-03T00:00:00Z | b | 0.0",
        ]
    );
}

#[test]
fn days_begin_where_the_time_zone_says() {
    let (rows, text) = ask("people", json!({"time_zone": "Europe/Berlin"})).unwrap();
    assert!(rows[0].starts_with("2026-02-28T23:00:00Z | "), "{rows:?}");
    assert!(text.contains("AT TIME ZONE 'Europe/Berlin'"), "{text}");
}

#[test]
fn filters_of_a_question_turn_personal_values() {
    let body = json!({"grain": "total", "filters": {"deviceId": "a", "kind": ["failed"]}});
    let (rows, text) = ask("failures", body).unwrap();
    assert_eq!(rows, ["12.0"]);
    assert_eq!(by_sql(&text), ["12.0"]);
    let body = json!({"grain": "total", "filters": {"user.email": "person3@example.org"}});
    let (rows, _) = ask("people", body).unwrap();
    assert_eq!(rows, ["1.0"]);
}

#[test]
fn what_is_wrong_is_named() {
    let error = |name: &str, body: Json| ask(name, body).unwrap_err().to_string();
    assert!(error("failure", json!({})).contains("did you mean `failures`"));
    assert!(error("failures", json!({"dimensions": ["kind"]})).contains("no dimension `kind`"));
    assert!(error("failures", json!({"filters": {"kin": 1}})).contains("did you mean `kind`"));
    let check = |from: &str, to: &str, part: &str| {
        let yaml = format!(
            "measures:\n  - name: a\n    table: {}\n    agg: sum\n    field: ms\n    filter: ms > 1\n\
             metrics:\n  - name: b\n    type: simple\n    measure: a\n    dimensions: [kind]\n",
            TABLE.name
        );
        let model = MetricModel::parse(&yaml.replace(from, to)).unwrap();
        let error = model.check(&[Arc::clone(&TABLE)], &HOUSE.pseudonyms).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check("field: ms", "field: kind", "line 5: field `kind` holds strings");
    check("field: ms", "field: mz", "line 5: unknown column `mz`; did you mean `ms`");
    check("ms > 1", "upper(kind) = 'X'", "line 6: a condition of a measure");
    check("[kind]", "[message]", "line 11: field `message` is a text");
    check("table: ", "table: x", "line 3: unknown table");
}

#[test]
fn metrics_of_metrics_are_arithmetic_over_them() {
    let (known, _) = ask("known", json!({})).unwrap();
    let (people, _) = ask("people_2d", json!({})).unwrap();
    let (dormant, text) = ask("dormant", json!({})).unwrap();
    // 70 hours of 7 people who take turns: all seven are there every day that has rows; the third
    // day has none, so its two days hold those of the second alone.
    assert_eq!(known.len(), 4, "{known:?}");
    assert!(known.iter().chain(&people).all(|row| row.ends_with(" | 7.0")), "{known:?} {people:?}");
    assert!(dormant.iter().all(|row| row.ends_with(" | 0.0")), "{dormant:?}");
    assert!(text.contains("FROM metric('dormant', grain => 'day')"), "{text}");
    let (rows, _) =
        ask("failures_so_far", json!({"from": "2026-03-02", "to": "2026-03-05"})).unwrap();
    assert_eq!(
        rows,
        [
            "2026-03-02T00:00:00Z | 16.0",
            "2026-03-03T00:00:00Z | 16.0",
            "2026-03-04T00:00:00Z | 24.0"
        ]
    );
}

#[test]
fn the_time_before_stands_beside() {
    let body = json!({"from": "2026-03-03", "to": "2026-03-05", "compare": "previous_period"});
    let (rows, _) = ask("failures", body).unwrap();
    assert_eq!(
        rows,
        ["2026-03-03T00:00:00Z | 0.0 | 8.0 | -1.0", "2026-03-04T00:00:00Z | 8.0 | 8.0 | 0.0"]
    );
    let body = json!({
        "from": "2026-03-04", "to": "2026-03-05", "compare": "previous_period", "grain": "total",
        "dimensions": ["deviceId"],
    });
    let (rows, _) = ask("failures", body).unwrap();
    assert_eq!(rows, ["a | 4.0 | - | -", "b | 4.0 | - | -"]);
}

#[test]
fn a_metric_stands_in_sql_like_a_table() {
    let rows = |text: &str| {
        let text = text.to_owned();
        let metric = |name: &str, body: &Json| {
            let query = MetricQuery::from_json(body, Timestamp(START_MS))?;
            plan(&model(), name, &query, &[Arc::clone(&TABLE)], &HOUSE.pseudonyms)
        };
        let plan = sql::plan_with(&text, &[Arc::clone(&TABLE)], &HOUSE.pseudonyms, &metric)?;
        assert!(plan.only_aggregates());
        let scope =
            HOUSE.scope_for(protection::grant::Action::Aggregate, plan.tables(), plan.fields());
        let (_, batches) = plan.run(&scope, &Limits::standard())?;
        Ok::<_, QueryError>(batches.iter().flat_map(lines).collect::<Vec<String>>())
    };
    let all =
        rows("SELECT * FROM metric('failures', grain => 'day', dimensions => 'deviceId')").unwrap();
    assert_eq!(all.len(), 8, "{all:?}");
    let some = rows(
        "SELECT m.\"deviceId\", sum(failures) AS n FROM metric('failures', grain => 'day', \
         dimensions => 'deviceId', \"from\" => '2026-03-02', filters => '{\"deviceId\": \"b\"}') m \
         WHERE time < '2026-03-05' GROUP BY 1 ORDER BY 1",
    );
    assert_eq!(some.unwrap(), ["b | 8"]);
    let error = |text: &str| rows(text).unwrap_err().to_string();
    assert!(error("SELECT * FROM metric('failure')").contains("did you mean `failures`"));
    assert!(
        error("SELECT * FROM metric('failures', gain => 'day')").contains("did you mean `grain`")
    );
    assert!(error("SELECT * FROM metric(failures)").contains("name of a metric"));
    assert!(error("SELECT * FROM metrics('failures')").contains("can stand in FROM"));
}

#[test]
fn a_model_names_what_it_cannot_be_made_of() {
    let error = |metrics: &str| {
        let yaml = format!("measures:\n  - {{name: a, table: t, agg: count}}\nmetrics:\n{metrics}");
        MetricModel::parse(&yaml).unwrap_err().to_string()
    };
    let derived = |name: &str, expression: &str| {
        format!("  - name: {name}\n    type: derived\n    expression: {expression}\n")
    };
    let circle = derived("x", "y + a") + &derived("y", "z") + &derived("z", "x * 2");
    assert_eq!(error(&circle), "line 6: `x` is made of itself");
    assert!(error(&derived("x", "b / a")).contains("line 6: there is no metric or measure `b`"));
    assert!(error(&derived("x", "a +")).contains("line 6: the expression ends too early"));
    let many: String =
        (0..40).map(|n| derived(&format!("m{n}"), &format!("m{0} + m{0}", n + 1))).collect();
    assert!(error(&(many + &derived("m40", "a"))).contains("more than 1000 parts"));
    let funnel = "  - name: f\n    type: conversion\n    table: t\n    entity: e\n    window: 1M\n    \
        steps:\n      - {name: one, filter: x}\n      - {name: two, filter: y}\n";
    assert!(error(funnel).contains("line 8: the `window` of a conversion"), "{}", error(funnel));
    let funnel = funnel.replace("1M", "1d");
    assert!(error(&(funnel.clone() + &derived("x", "f * 2"))).contains("a number for each step"));
    assert!(error(&funnel.replace("two", "one")).contains("a name of its own"));
    let retention =
        "  - name: r\n    type: retention\n    table: t\n    entity: e\n    periods: []\n";
    assert!(error(retention).contains("line 8: `periods` lists"), "{}", error(retention));
}
