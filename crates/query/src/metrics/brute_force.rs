//! Random data, and what a plain count over it says.

use super::{MetricModel, MetricQuery, plan};
use crate::Limits;
use crate::testing::{Document, House, START_MS, long, text};
use model::{Table, Timestamp, Value};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// One row, as it was written.
#[derive(Clone, Debug)]
struct Row {
    at: i64,
    kind: &'static str,
    who: String,
    tag: &'static str,
    ms: i64,
}

/// SplitMix64: the same rows in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }
}

/// A house with `count` rows over twelve days, in segments and in the buffer.
fn house(seed: u64, count: usize) -> (House, Arc<Table>, Vec<Row>) {
    let house = House::new();
    let table = house.table(seed.is_multiple_of(2));
    let mut random = Random(seed);
    let kinds = ["a", "b", "c", "other", "other"];
    let rows: Vec<Row> = (0..count)
        .map(|_| Row {
            // Whole minutes, so that some rows share their time.
            at: START_MS + random.below(12 * 24 * 60) as i64 * 60_000,
            kind: kinds[random.below(5) as usize],
            who: format!("dev{}", random.below(40)),
            tag: ["x", "y", "z"][random.below(3) as usize],
            ms: random.below(1000) as i64,
        })
        .collect();
    let document = |row: &Row| -> Document {
        vec![
            ("at", long(row.at)),
            ("kind", text(row.kind)),
            ("deviceId", text(&row.who)),
            ("tags", text(row.tag)),
            ("ms", long(row.ms)),
        ]
    };
    let documents: Vec<Document> = rows.iter().map(document).collect();
    for part in documents.chunks(count / 3 + 1).take(2) {
        house.put(&table, part);
        house.store.flush().unwrap();
    }
    for part in documents.chunks(count / 3 + 1).skip(2) {
        house.put(&table, part);
    }
    (house, table, rows)
}

fn ask(house: &House, table: &Arc<Table>, yaml: &str, body: &Json) -> Vec<Vec<Option<Value>>> {
    let model = MetricModel::parse(&yaml.replace("TABLE", table.name.as_str())).unwrap();
    let query = MetricQuery::from_json(body, Timestamp(START_MS + 1000 * DAY_MS)).unwrap();
    let tables = [Arc::clone(table)];
    let plan = plan(&model, "m", &query, &tables, &house.pseudonyms).unwrap();
    let scope = house.scope(plan.tables(), plan.fields());
    plan.run(&scope, &Limits::standard()).unwrap().rows
}

fn longs(row: &[Option<Value>]) -> Vec<i64> {
    row.iter()
        .filter_map(|cell| match cell {
            Some(Value::Long(number)) => Some(*number),
            _ => None,
        })
        .collect()
}

fn day(at: i64) -> i64 {
    START_MS + (at - START_MS).div_euclid(DAY_MS) * DAY_MS
}

/// The longest chain of steps from a row of the first step in `from..to`, by trying all.
fn depth(rows: &[&Row], from: i64, to: i64, window: i64) -> usize {
    let steps = ["a", "b", "c"];
    let starts = rows.iter().filter(|row| row.kind == "a" && (from..to).contains(&row.at));
    let mut best = 0;
    for start in starts {
        let (mut at, mut reached) = (start.at, 1);
        for step in &steps[1..] {
            let next =
                rows.iter().filter(|row| row.kind == *step && row.at >= at).map(|r| r.at).min();
            match next {
                Some(next) if next - start.at <= window => (at, reached) = (next, reached + 1),
                _ => break,
            }
        }
        best = best.max(reached);
    }
    best
}

#[test]
fn a_funnel_is_what_trying_all_ways_finds() {
    let yaml = "metrics:\n  - name: m\n    type: conversion\n    table: TABLE\n    entity: deviceId\n    \
        window: WINDOW\n    steps:\n      - {name: one, filter: {kind: a}}\n      \
        - {name: two, filter: {kind: b}}\n      - {name: three, filter: {kind: c}}\n";
    for (seed, window, window_ms) in
        [(1, "2h", 2 * HOUR_MS), (2, "1d", DAY_MS), (3, "36h", 36 * HOUR_MS), (4, "7d", 7 * DAY_MS)]
    {
        let (house, table, rows) = house(seed, 900);
        let yaml = yaml.replace("WINDOW", window);
        let mut of: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        rows.iter().for_each(|row| of.entry(&row.who).or_default().push(row));
        for body in [json!({}), json!({"from": "2026-03-03", "to": "2026-03-07"})] {
            let got = ask(&house, &table, &yaml, &body);
            let mut expected: BTreeMap<i64, [i64; 3]> = BTreeMap::new();
            let days = if body == json!({}) { 0..12 } else { 2..6 };
            for number in days {
                let from = START_MS + number * DAY_MS;
                for rows in of.values() {
                    for step in 0..depth(rows, from, from + DAY_MS, window_ms) {
                        expected.entry(from).or_default()[step] += 1;
                    }
                }
            }
            let told: BTreeMap<(i64, i64), i64> =
                got.iter().map(|row| longs(row)).map(|n| ((n[0], n[1]), n[2])).collect();
            let wanted: BTreeMap<(i64, i64), i64> = expected
                .into_iter()
                .flat_map(|(day, counts)| (1..).zip(counts).map(move |(s, n)| ((day, s), n)))
                .collect();
            assert_eq!(told, wanted, "seed {seed}, {body}");
        }
    }
}

#[test]
fn a_retention_is_what_a_plain_count_finds() {
    let yaml = "metrics:\n  - name: m\n    type: retention\n    table: TABLE\n    entity: deviceId\n    \
        cohort: {kind: a}\n    filter: \"kind IN ('a', 'b')\"\n    period: day\n    \
        periods: [0, 1, 3, 7]\n    dimensions: [tags]\n";
    for seed in [5, 6, 7] {
        // Few rows, so that not everybody comes every day.
        let (house, table, rows) = house(seed, 200);
        let mut births: BTreeMap<&str, &Row> = BTreeMap::new();
        let mut seen: BTreeSet<(&str, i64)> = BTreeSet::new();
        let mut last = i64::MIN;
        for row in &rows {
            if row.kind == "a" && births.get(row.who.as_str()).is_none_or(|b| row.at < b.at) {
                births.insert(&row.who, row);
            }
            if matches!(row.kind, "a" | "b") {
                seen.insert((&row.who, day(row.at)));
                last = last.max(day(row.at));
            }
        }
        for by_tag in [false, true] {
            let mut expected: BTreeMap<(i64, String, i64), (i64, i64)> = BTreeMap::new();
            for (who, birth) in &births {
                let tag = if by_tag { birth.tag.to_owned() } else { String::new() };
                for period in [0, 1, 3, 7] {
                    let then = day(birth.at) + period * DAY_MS;
                    if then > last {
                        continue;
                    }
                    let cell = expected.entry((day(birth.at), tag.clone(), period)).or_default();
                    cell.0 += i64::from(seen.contains(&(*who, then)));
                    cell.1 += 1;
                }
            }
            let body = if by_tag { json!({"dimensions": ["tags"]}) } else { json!({}) };
            let got: BTreeMap<(i64, String, i64), (i64, i64)> = ask(&house, &table, yaml, &body)
                .iter()
                .map(|row| {
                    let tag = row.iter().flatten().find_map(|cell| match cell {
                        Value::Str(tag) => Some(tag.clone()),
                        _ => None,
                    });
                    let n = longs(row);
                    ((n[0], tag.unwrap_or_default(), n[1]), (n[2], n[3]))
                })
                .collect();
            assert_eq!(got, expected, "seed {seed}, by tag {by_tag}");
        }
    }
}

#[test]
fn what_is_cumulative_is_what_a_plain_count_over_all_before_finds() {
    let measures = "measures:\n  - {name: n, table: TABLE, agg: count, filter: {kind: a}}\n  \
        - {name: s, table: TABLE, agg: sum, field: ms}\n  \
        - {name: d, table: TABLE, agg: distinct, field: deviceId}\n  \
        - {name: x, table: TABLE, agg: max, field: ms}\n";
    let (house, table, rows) = house(8, 400);
    let cases = [
        ("n", "", i64::MAX),
        ("s", "    window: 3d\n", 3 * DAY_MS),
        ("s", "    window: 36h\n", 36 * HOUR_MS),
        ("d", "", i64::MAX),
        ("d", "    window: 2d\n", 2 * DAY_MS),
        ("d", "    window: 30h\n", 30 * HOUR_MS),
        ("x", "    window: 2d\n", 2 * DAY_MS),
    ];
    for (measure, reach, back) in cases {
        let yaml = format!(
            "{measures}metrics:\n  - name: m\n    type: cumulative\n    measure: {measure}\n{reach}    \
             dimensions: [tags]\n"
        );
        for by_tag in [false, true] {
            let body = json!({
                "from": "2026-03-04", "to": "2026-03-09T00:00:00Z",
                "dimensions": if by_tag { vec!["tags"] } else { vec![] },
            });
            let mut expected: BTreeMap<(i64, String), i64> = BTreeMap::new();
            for number in 3..8 {
                let end = START_MS + (number + 1) * DAY_MS;
                for tag in if by_tag { vec!["x", "y", "z"] } else { vec![""] } {
                    let inside: Vec<&Row> = rows
                        .iter()
                        .filter(|row| row.at < end && row.at >= end.saturating_sub(back))
                        .filter(|row| tag.is_empty() || row.tag == tag)
                        .filter(|row| measure != "n" || row.kind == "a")
                        .collect();
                    let distinct = || inside.iter().map(|row| &row.who).collect::<BTreeSet<_>>();
                    let value = match measure {
                        "n" => inside.len() as i64,
                        "s" => inside.iter().map(|row| row.ms).sum(),
                        "x" => inside.iter().map(|row| row.ms).max().unwrap_or(0),
                        _ => distinct().len() as i64,
                    };
                    if !inside.is_empty() {
                        expected.insert((end - DAY_MS, tag.to_owned()), value);
                    }
                }
            }
            let got: BTreeMap<(i64, String), i64> = ask(&house, &table, &yaml, &body)
                .iter()
                .map(|row| {
                    let tag = match row.get(1) {
                        Some(Some(Value::Str(tag))) => tag.clone(),
                        _ => String::new(),
                    };
                    let n = longs(row);
                    ((n[0], tag), n[1])
                })
                .collect();
            assert_eq!(got, expected, "{measure} {reach} by tag {by_tag}");
        }
    }
}

/// Sixty people of whom `second` take a second step on the day of the first; only their having a
/// pulse at all may be asked.
fn people(second: usize) -> (House, Arc<Table>) {
    let house = House::new();
    let table = house.table(false);
    let row = |person: usize, kind: &str, at: i64| -> Document {
        vec![
            ("at", long(at)),
            ("kind", text(kind)),
            ("user.email", text(&format!("person{person}@example.org"))),
            ("pulse", long(60)),
        ]
    };
    let mut documents: Vec<Document> = Vec::new();
    for person in 0..60 {
        let at = START_MS + person as i64 * 60_000;
        documents.push(row(person, "a", at));
        if person < second {
            documents.push(row(person, "b", at + HOUR_MS));
            documents.push(row(person, "b", at + DAY_MS));
        }
    }
    house.put(&table, &documents);
    (house, table)
}

#[test]
fn steps_of_too_few_people_are_kept_back() {
    let yaml = "measures:\n  - {name: n, table: TABLE, agg: count, filter: \"pulse IS NOT NULL\"}\n\
        metrics:\n  - name: funnel\n    type: conversion\n    table: TABLE\n    entity: user.email\n    \
        filter: \"pulse IS NOT NULL\"\n    window: 1d\n    grain: total\n    steps:\n      \
        - {name: one, filter: {kind: a}}\n      - {name: two, filter: {kind: b}}\n  \
        - name: back\n    type: retention\n    table: TABLE\n    entity: user.email\n    \
        filter: \"pulse IS NOT NULL\"\n    cohort: \"pulse IS NOT NULL AND kind = 'a'\"\n    \
        periods: [1]\n    grain: total\n  \
        - {name: rolling, type: cumulative, measure: n, window: 2d}\n  \
        - {name: plain, type: simple, measure: n, empty: zero}\n";
    let ask = |(house, table): &(House, Arc<Table>), name: &str, body: &Json| {
        let model = MetricModel::parse(&yaml.replace("TABLE", table.name.as_str())).unwrap();
        let query = MetricQuery::from_json(body, Timestamp(START_MS + 30 * DAY_MS)).unwrap();
        let plan = plan(&model, name, &query, &[Arc::clone(table)], &house.pseudonyms).unwrap();
        let action = protection::grant::Action::Aggregate;
        let scope = house.scope_for(action, plan.tables(), plan.fields());
        let answer = plan.run(&scope, &Limits::standard());
        answer.map(|answer| answer.rows.iter().map(|row| longs(row)).collect::<Vec<_>>())
    };
    let nothing = json!({});
    // Thirty went on and thirty did not; of 45 and 15 the fifteen are too few, of 15 and 45 too.
    let half = people(30);
    assert_eq!(ask(&half, "funnel", &nothing).unwrap(), [vec![1, 60], vec![2, 30]]);
    assert_eq!(ask(&half, "back", &nothing).unwrap(), [vec![1, 30, 60]]);
    for second in [45, 15] {
        let house = people(second);
        for name in ["funnel", "back"] {
            let error = ask(&house, name, &nothing).unwrap_err();
            assert!(error.to_string().contains("fewer than 20 people"), "{name} {second}: {error}");
        }
    }
    // Nobody left is no one person.
    assert_eq!(ask(&people(60), "funnel", &nothing).unwrap(), [vec![1, 60], vec![2, 60]]);
    let error = ask(&half, "rolling", &json!({"from": "2026-03-01", "to": "2026-03-05"}));
    assert!(error.unwrap_err().to_string().contains("windows that overlap"));
    // What is kept back is no zero: fifteen people on the second day, and with them the first.
    let body = json!({"from": "2026-03-01", "to": "2026-03-04"});
    assert!(ask(&people(15), "plain", &body).unwrap().is_empty());
    assert_eq!(
        ask(&people(30), "plain", &body).unwrap(),
        [[START_MS, 90], [START_MS + DAY_MS, 30]]
    );
}
