//! Every type of metric over the demo's data, against plain counts over what the generator wrote;
//! the shipped models; and what people do with metrics: apply, test, look back, export, draw.

use conformance::{Caller, DemoNode, DemoSize, Node};
use demo::{Event, Fleet, Kind, MODELS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const DAY_MS: i64 = 86_400_000;
const SIZE: DemoSize = DemoSize { devices: 600, days: 30, events: 40_000 };

struct Demo {
    node: DemoNode,
    fleet: Fleet,
    events: Vec<Event>,
}

impl Demo {
    fn start() -> Demo {
        let node = DemoNode::start(env!("CARGO_BIN_EXE_clerestory"), SIZE);
        let fleet = SIZE.fleet();
        let events = fleet.events_in(0..fleet.settings().events).collect();
        Demo { node, fleet, events }
    }

    fn day(&self, at_ms: i64) -> i64 {
        (at_ms - self.fleet.settings().first_day_ms).div_euclid(DAY_MS)
    }

    fn day_text(&self, day: i64) -> String {
        let at = self.fleet.settings().first_day_ms + day * DAY_MS;
        chrono::DateTime::from_timestamp_millis(at)
            .expect("a day of the demo")
            .format("%Y-%m-%dT%H:%M:%S.000Z")
            .to_string()
    }

    fn model(&self, event: &Event) -> &'static str {
        MODELS[self.fleet.devices()[event.device as usize].model]
    }
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn rows(caller: &Caller, name: &str, body: Value) -> Vec<serde_json::Map<String, Value>> {
    let answer = caller.post(&format!("/_metrics/{name}"), &body).expect(200);
    let names: Vec<&str> =
        list(&answer["columns"]).iter().map(|c| c["name"].as_str().expect("a name")).collect();
    let object = |row: &Value| {
        let cells = list(row).iter().cloned();
        names.iter().map(|name| (*name).to_owned()).zip(cells).collect()
    };
    list(&answer["rows"]).iter().map(object).collect()
}

/// The numbers of a metric by the texts of some columns.
fn numbers(
    caller: &Caller,
    name: &str,
    keys: &[&str],
    column: &str,
    body: Value,
) -> BTreeMap<Vec<String>, f64> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows = rows(caller, name, body);
    rows.iter()
        .filter_map(|row| {
            let key = keys.iter().map(|key| text(&row[*key])).collect();
            Some((key, row[column].as_f64()?))
        })
        .collect()
}

#[track_caller]
fn same(what: &str, got: &BTreeMap<Vec<String>, f64>, expected: &BTreeMap<Vec<String>, f64>) {
    let keys = |of: &BTreeMap<Vec<String>, f64>| of.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(got), keys(expected), "{what}: the groups");
    assert!(!expected.is_empty(), "{what}: there is something to compare");
    for (key, value) in expected {
        let near = (got[key] - value).abs() <= 1e-9 * value.abs().max(1.0);
        assert!(near, "{what}: {key:?} is {} and should be {value}", got[key]);
    }
}

#[test]
fn every_type_gives_what_the_generator_counts() {
    let demo = Demo::start();
    let analyst = demo.node.caller("analyst");
    let one = |day: i64| vec![demo.day_text(day)];
    let days = 0..30_i64;

    // Derived: arithmetic over a count and a sum, by model.
    let mut hours: BTreeMap<(i64, &str), (f64, f64)> = BTreeMap::new();
    for event in &demo.events {
        let cell = hours.entry((demo.day(event.at_ms), demo.model(event))).or_default();
        cell.0 += f64::from(u8::from(event.kind == Kind::Error));
        cell.1 += event.hours_on.unwrap_or(0) as f64;
    }
    let expected = hours
        .iter()
        .filter(|(_, (_, hours))| *hours > 0.0)
        .map(|((day, model), (errors, hours))| {
            (vec![demo.day_text(*day), (*model).to_owned()], 1000.0 * errors / hours)
        })
        .collect();
    let got = numbers(
        &analyst,
        "errors_per_1000_hours",
        &["time", "model"],
        "errors_per_1000_hours",
        json!({ "dimensions": ["model"] }),
    );
    same("errors_per_1000_hours", &got, &expected);

    // Distinct devices by day: those that were there, those that crashed.
    let of_day = |day: i64, keep: &dyn Fn(&Event) -> bool| -> BTreeSet<u32> {
        let here = demo.events.iter().filter(|event| demo.day(event.at_ms) == day && keep(event));
        here.map(|event| event.device).collect()
    };
    let share = |day: i64| {
        let crashed = of_day(day, &|event| event.kind == Kind::Crash).len() as f64;
        1.0 - crashed / of_day(day, &|_| true).len() as f64
    };
    let expected = days.clone().map(|day| (one(day), share(day))).collect();
    let got = numbers(&analyst, "crash_free_devices", &["time"], "crash_free_devices", json!({}));
    same("crash_free_devices", &got, &expected);
    assert!(expected.values().any(|share| *share < 1.0), "something crashed");

    // Cumulative, unique over a window, and the difference of the two.
    let active: Vec<BTreeSet<u32>> = days.clone().map(|day| of_day(day, &|_| true)).collect();
    let union = |from: i64, to: i64| -> f64 {
        let of = active[from.max(0) as usize..=to as usize].iter().flatten();
        of.collect::<BTreeSet<_>>().len() as f64
    };
    let by_day = |of: &dyn Fn(i64) -> f64| days.clone().map(|day| (one(day), of(day))).collect();
    for (name, expected) in [
        ("known_devices", by_day(&|day| union(0, day))),
        ("active_devices_7d", by_day(&|day| union(day - 6, day))),
        ("dormant_devices", by_day(&|day| union(0, day) - union(day - 6, day))),
    ] {
        let got = numbers(&analyst, name, &["time"], name, json!({}));
        same(name, &got, &expected);
    }
    let activated = |day: i64| {
        let before = demo.events.iter().filter(|event| demo.day(event.at_ms) <= day);
        before.filter(|event| event.kind == Kind::Activation).count() as f64
    };
    let got = numbers(&analyst, "activations_total", &["time"], "activations_total", json!({}));
    let since_the_first = days.clone().filter(|day| activated(*day) > 0.0);
    let expected = since_the_first.map(|day| (one(day), activated(day))).collect();
    same("activations_total", &got, &expected);

    // Weeks begin on Monday: the first day is a Saturday.
    let mut weeks: BTreeMap<i64, BTreeSet<u32>> = BTreeMap::new();
    for event in &demo.events {
        let monday = (demo.day(event.at_ms) + 5).div_euclid(7) * 7 - 5;
        weeks.entry(monday).or_default().insert(event.device);
    }
    let expected = weeks.iter().map(|(day, devices)| (one(*day), devices.len() as f64)).collect();
    let got =
        numbers(&analyst, "active_devices", &["time"], "active_devices", json!({"grain": "week"}));
    same("active_devices by week", &got, &expected);

    // The funnel, by trying all ways of each device.
    let step_of = |event: &Event| match event.kind {
        Kind::Setup => event.step,
        Kind::Activation => Some(3),
        _ => None,
    };
    let mut of_device: BTreeMap<u32, Vec<(i64, usize)>> = BTreeMap::new();
    for event in &demo.events {
        if let Some(step) = step_of(event) {
            of_device.entry(event.device).or_default().push((event.at_ms, step));
        }
    }
    let mut reached: BTreeMap<i64, [f64; 4]> = BTreeMap::new();
    for way in of_device.values() {
        let depth = |start: i64| {
            let mut at = start;
            for step in 1..4 {
                let later = way.iter().filter(|(t, s)| *s == step && *t >= at).map(|(t, _)| *t);
                match later.min().filter(|next| next - start <= DAY_MS) {
                    Some(next) => at = next,
                    None => return step,
                }
            }
            4
        };
        let mut best: BTreeMap<i64, usize> = BTreeMap::new();
        for (start, _) in way.iter().filter(|(_, step)| *step == 0) {
            let of_day = best.entry(demo.day(*start)).or_default();
            *of_day = (*of_day).max(depth(*start));
        }
        for (day, best) in best {
            let counts = reached.entry(day).or_default();
            counts[..best].iter_mut().for_each(|count| *count += 1.0);
        }
    }
    let body = json!({ "grain": "day" });
    let got = numbers(&analyst, "setup_funnel", &["time", "step"], "entities", body);
    let expected: BTreeMap<Vec<String>, f64> = reached
        .iter()
        .flat_map(|(day, counts)| (1..).zip(counts).map(move |(step, count)| (*day, step, *count)))
        .map(|(day, step, count): (i64, u32, f64)| {
            (vec![demo.day_text(day), step.to_string()], count)
        })
        .collect();
    same("setup_funnel", &got, &expected);
    let sum = |step: usize| reached.values().map(|counts| counts[step]).sum::<f64>();
    assert!(sum(3) < sum(2) && sum(1) < sum(0), "some give up: {reached:?}");

    // Retention: who was seen on the n-th day after the activation.
    let mut kept: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for event in demo.events.iter().filter(|event| event.kind == Kind::Activation) {
        for period in [1, 7, 30] {
            let day = demo.day(event.at_ms) + period;
            if day < 30 {
                let cell = kept.entry(period).or_default();
                cell.0 += f64::from(u8::from(active[day as usize].contains(&event.device)));
                cell.1 += 1.0;
            }
        }
    }
    let expected = kept.iter().map(|(n, (seen, all))| (vec![n.to_string()], seen / all)).collect();
    let got = numbers(&analyst, "device_retention", &["period"], "device_retention", json!({}));
    same("device_retention", &got, &expected);

    // Joined: what the account is like now.
    let mut plans: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for event in &demo.events {
        let owner = demo.fleet.devices()[event.device as usize].owner;
        plans.entry(demo.fleet.users()[owner as usize].plan).or_default().insert(event.device);
    }
    let expected =
        plans.iter().map(|(plan, devices)| (vec![(*plan).to_owned()], devices.len() as f64));
    let body = json!({ "grain": "total", "dimensions": ["account.plan"] });
    let got = numbers(&analyst, "active_devices", &["account.plan"], "active_devices", body);
    same("active_devices by plan", &got, &expected.collect());
    let body = json!({ "grain": "total", "filters": { "account.plan": "plus" } });
    let got = numbers(&analyst, "active_devices", &[], "active_devices", body);
    assert_eq!(got.values().copied().collect::<Vec<_>>(), [plans["plus"].len() as f64]);

    // Of an entities table: accounts with a voice assistant.
    let linked = demo.fleet.users().iter().filter(|user| user.voice_token.is_some()).count() as f64;
    let all = demo.fleet.users().len() as f64;
    let got = numbers(
        &analyst,
        "linked_integrations",
        &[],
        "linked_integrations",
        json!({"grain": "total"}),
    );
    same("linked_integrations", &got, &BTreeMap::from([(Vec::new(), linked / all)]));

    // The same in SQL, where a metric stands like a table.
    let statement = "SELECT model, max(activations_total) AS n FROM metric('activations_total', \
                     dimensions => 'model') GROUP BY model ORDER BY n DESC";
    let answer = analyst.post("/_sql", &json!({ "query": statement })).expect(200);
    let all: f64 =
        answer["rows"].as_array().unwrap().iter().map(|row| row[1].as_f64().unwrap()).sum();
    assert_eq!(all, activated(29));
}

#[test]
fn every_shipped_metric_answers_in_every_way_it_can_be_asked() {
    let demo = Demo::start();
    let analyst = demo.node.caller("analyst");
    let listed = analyst.get("/_clerestory/metrics").expect(200);
    let listed = listed["metrics"].as_array().unwrap();
    assert!(listed.len() >= 25, "{} metrics", listed.len());
    for metric in listed {
        let name = metric["name"].as_str().unwrap();
        for description in ["label", "description"] {
            assert!(
                !metric[description].as_str().unwrap().is_empty(),
                "{name} has a {description}"
            );
        }
        assert!(!rows(&analyst, name, json!({})).is_empty(), "{name} has an answer");
        for dimension in metric["dimensions"].as_array().unwrap() {
            let body = json!({ "grain": "total", "dimensions": [dimension] });
            assert!(!rows(&analyst, name, body).is_empty(), "{name} by {dimension}");
        }
        // The SQL that is shown for it runs, and gives as many rows but for those filled in.
        let body = json!({ "grain": "month" });
        let answer = analyst.post(&format!("/_metrics/{name}"), &body).expect(200);
        let by_sql = analyst.post("/_sql", &json!({ "query": answer["sql"] })).expect(200);
        let (of_metric, of_sql) =
            (answer["rows"].as_array().unwrap(), by_sql["rows"].as_array().unwrap());
        assert_eq!(of_metric.len(), of_sql.len(), "{name}: {}", answer["sql"]);
        for (ours, theirs) in of_metric.iter().zip(of_sql) {
            let number = |row: &Value| row.as_array().unwrap().last().unwrap().as_f64();
            // Quantiles of SQL are approximate.
            let near = |a: f64, b: f64| (a - b).abs() <= 0.01 * a.abs().max(1e-6);
            let same = match (number(ours), number(theirs)) {
                (Some(a), Some(b)) => near(a, b),
                (a, b) => a == b,
            };
            assert!(same, "{name}: {ours} and in SQL {theirs}: {}", answer["sql"]);
        }
        let export = analyst.get("/_clerestory/metrics/_export?form=osi");
        assert!(export.status == 200);
    }
}

/// What happened in a small web product, invented without a dice.
fn product_events() -> (String, Vec<(i64, &'static str, usize)>) {
    let first: i64 = 1_790_000_000_000 / DAY_MS * DAY_MS;
    let mut told = Vec::new();
    for user in 0..60_usize {
        let joined = first + (user as i64 % 20) * DAY_MS + user as i64 * 60_000;
        told.push((joined, "sign_up", user));
        if user % 2 == 0 {
            told.push((joined + 3_600_000, "project_created", user));
        }
        if user % 6 == 0 {
            // Every other of them too late for the funnel.
            let days = if user % 12 == 0 { 2 } else { 9 };
            told.push((joined + days * DAY_MS, "invited", user));
        }
        for week in 0..4 {
            if user % (week + 1) == 0 {
                told.push((joined + week as i64 * 7 * DAY_MS + 7_200_000, "request", user));
            }
        }
    }
    let line = |(number, (at, event, user)): (usize, &(i64, &str, usize))| {
        let plan = if user % 3 == 0 { "team" } else { "free" };
        let mut row = json!({
            "at": at, "event": event, "user_id": format!("u{user:03}"), "plan": plan,
            "account_id": format!("a{}", user / 2), "country": "DE",
        });
        if *event == "request" {
            row["route"] = json!("/projects");
            row["status_code"] = json!(if number % 5 == 0 { 503 } else { 200 });
            row["duration_ms"] = json!(10 + number % 90);
        }
        format!("{{\"create\":{{}}}}\n{row}\n")
    };
    (told.iter().enumerate().map(line).collect(), told)
}

#[test]
fn a_product_on_the_web_has_a_model_too() {
    let node = Node::start(env!("CARGO_BIN_EXE_clerestory"));
    let engineer = node.caller("engineer");
    let analyst = node.caller("analyst");
    let table = demo::SAAS_TABLE;
    engineer.send("PUT", "/product_events", "application/json", table.body.as_bytes()).expect(200);
    let (body, told) = product_events();
    let answer = engineer.bulk("/product_events/_bulk", body.as_bytes()).expect(200);
    assert_eq!(answer["errors"], false, "{answer}");
    let yaml = demo::SAAS_METRICS.as_bytes();
    engineer.send("PUT", "/_clerestory/metrics", "application/yaml", yaml).expect(200);

    let total = json!({ "grain": "total" });
    let got = numbers(
        &analyst,
        "sign_ups",
        &["plan"],
        "sign_ups",
        json!({"grain": "total", "dimensions": ["plan"]}),
    );
    same(
        "sign_ups",
        &got,
        &BTreeMap::from([(vec!["free".into()], 40.0), (vec!["team".into()], 20.0)]),
    );
    let got = numbers(&analyst, "active_users", &[], "active_users", total.clone());
    same("active_users", &got, &BTreeMap::from([(vec![], 60.0)]));
    let got = numbers(&analyst, "onboarding", &["step_name"], "entities", total.clone());
    let expected = [("signed up", 60.0), ("made a project", 30.0), ("invited somebody", 5.0)];
    let expected = expected.map(|(step, count)| (vec![step.to_owned()], count));
    same("onboarding", &got, &BTreeMap::from(expected));
    let requests = told.iter().enumerate().filter(|(_, (_, event, _))| *event == "request");
    let (failed, all) = requests.fold((0.0, 0.0), |(failed, all), (number, _)| {
        (failed + f64::from(u8::from(number % 5 == 0)), all + 1.0)
    });
    let got = numbers(&analyst, "request_errors", &[], "request_errors", total.clone());
    same("request_errors", &got, &BTreeMap::from([(vec![], failed / all)]));

    // Weeks from Monday, by a plain count over what was told.
    let week = |at: i64| (at.div_euclid(DAY_MS) - 4).div_euclid(7);
    let last = told.iter().map(|(at, ..)| week(*at)).max().unwrap();
    let mut expected = BTreeMap::new();
    for period in [1, 2, 4, 8] {
        let born = told.iter().filter(|(_, event, _)| *event == "sign_up");
        let seen: Vec<bool> = born
            .filter(|(at, ..)| week(*at) + period <= last)
            .map(|(at, _, user)| {
                told.iter().any(|(other, _, who)| who == user && week(*other) == week(*at) + period)
            })
            .collect();
        if !seen.is_empty() {
            let back = seen.iter().filter(|seen| **seen).count() as f64;
            expected.insert(vec![period.to_string()], back / seen.len() as f64);
        }
    }
    let got = numbers(&analyst, "weekly_retention", &["period"], "weekly_retention", json!({}));
    same("weekly_retention", &got, &expected);
}

#[test]
fn a_metric_is_tested_kept_and_given_to_others() {
    let node = Node::start(env!("CARGO_BIN_EXE_clerestory"));
    let (engineer, analyst) = (node.caller("engineer"), node.caller("analyst"));
    let table = demo::SAAS_TABLE;
    engineer.send("PUT", "/product_events", "application/json", table.body.as_bytes()).expect(200);
    engineer.bulk("/product_events/_bulk", product_events().0.as_bytes()).expect(200);
    let file = node.program.path("metrics.yaml");
    let apply = |yaml: &str| {
        std::fs::write(&file, yaml).unwrap();
        let output =
            node.program.output_as(&engineer, &["metric", "apply", file.to_str().unwrap()]);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let yaml = |expected: u32| {
        format!(
            "measures:\n  - {{name: n, table: product_events, agg: count, filter: {{event: sign_up}}}}\n\
             metrics:\n  - name: joined\n    type: simple\n    measure: n\n    dimensions: [plan]\n    \
             tests:\n      - ask: {{grain: total, dimensions: [plan]}}\n        expect:\n          \
             - {{plan: free, joined: {expected}}}\n          - {{plan: team, joined: 20}}\n"
        )
    };
    // A test that fails changes nothing, and says what is different.
    let (applied, said) = apply(&yaml(41));
    assert!(!applied && said.contains("line 8: a test of `joined`"), "{said}");
    assert!(said.contains("- plan: \"free\", joined: 41"), "{said}");
    assert!(said.contains("+ plan: \"free\", joined: 40"), "{said}");
    assert!(said.contains("  plan: \"team\", joined: 20"), "{said}");
    assert_eq!(analyst.get("/_clerestory/metrics/joined").status, 404);
    assert!(apply(&yaml(40)).0);
    let (applied, said) = apply(&yaml(40).replace("measure: n", "measure: m"));
    assert!(!applied && said.contains("line 6: there is no measure `m`"), "{said}");
    let later = yaml(40).replace("    type: simple", "    label: Joined us\n    type: simple");
    assert!(apply(&later).0);
    // An administrator has no data, and no numbers of it.
    let administrator = node.caller("administrator");
    let path = "/_clerestory/metrics";
    let refused = administrator.send("PUT", path, "application/yaml", later.as_bytes());
    assert_eq!(refused.status, 403);
    assert_eq!(administrator.get(&format!("{path}/_export")).status, 403);

    let history = node.program.run_as(&analyst, &["metric", "history", "joined", "--json"]);
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["versions"][0]["version"], 2);
    assert_eq!(history["versions"][1]["by"], history["versions"][0]["by"]);
    let shown = |version: &str| {
        let arguments = ["metric", "show", "joined", "--version", version, "--json"];
        serde_json::from_str::<Value>(&node.program.run_as(&analyst, &arguments)).unwrap()
    };
    assert_eq!(
        (&shown("1")["label"], &shown("2")["label"]),
        (&json!("joined"), &json!("Joined us"))
    );
    assert_eq!(analyst.get("/_clerestory/metrics/joined?version=3").status, 404);
    assert_eq!(analyst.get("/_clerestory/metrics/joined?version=x").status, 400);

    // The same numbers as rows of text and as columns.
    let body = json!({ "grain": "total", "dimensions": ["plan"] });
    let csv = analyst.post("/_metrics/joined?format=csv", &body);
    assert_eq!(String::from_utf8(csv.body).unwrap(), "plan,joined\r\nfree,40\r\nteam,20\r\n");
    let arrow = analyst.post("/_metrics/joined?format=arrow", &body);
    assert_eq!(arrow.header("content-type"), Some("application/vnd.apache.arrow.stream"));
    // Each message of the stream begins so; a schema, a batch, the end.
    assert_eq!(arrow.body[..4], [0xff; 4]);
    assert!(arrow.body.windows(6).any(|bytes| bytes == b"joined"), "the schema names the column");
    assert!(arrow.body.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
    assert_eq!(analyst.post("/_metrics/joined?format=xml", &body).status, 400);

    let export = node.program.run_as(&analyst, &["metric", "export", "--format", "osi"]);
    for part in ["version: 0.2.0.dev0", "semantic_model:", "dialect: ANSI_SQL", "name: joined"] {
        assert!(export.contains(part), "{part}: {export}");
    }

    grafana(&node, &analyst);
}

/// What Grafana's Prometheus data source asks.
fn grafana(node: &Node, analyst: &Caller) {
    let root = "/_prometheus/api/v1";
    let get = |path: &str| analyst.get(&format!("{root}/{path}"));
    assert_eq!(Caller::anonymous(node.url()).get(&format!("{root}/labels")).status, 401);
    let labels = get("labels").expect(200);
    assert_eq!(labels["data"], json!(["__name__", "plan"]));
    assert_eq!(get("label/__name__/values").expect(200)["data"], json!(["joined"]));
    assert_eq!(get("label/plan/values").expect(200)["data"], json!(["free", "team"]));
    assert_eq!(get("series?match[]=joined").expect(200)["data"], json!([{"__name__": "joined"}]));
    assert_eq!(get("metadata").expect(200)["data"]["joined"][0]["type"], "gauge");

    // Five days in steps of one; a point is the number of the day that ends with it.
    let first = 1_790_000_000_000 / DAY_MS * DAY_MS / 1000;
    let range = format!("start={}&end={}&step=1d", first + 86_400, first + 5 * 86_400);
    let query = "query=sum+by+(plan)+(joined)";
    let answer = get(&format!("query_range?{query}&{range}")).expect(200);
    assert_eq!(answer["data"]["resultType"], "matrix");
    let result = list(&answer["data"]["result"]);
    assert_eq!(result[0]["metric"], json!({"__name__": "joined", "plan": "free"}));
    let sum: f64 = result
        .iter()
        .flat_map(|series| list(&series["values"]))
        .map(|point| {
            point[1].as_str().and_then(|text| text.parse::<f64>().ok()).expect("a number as text")
        })
        .sum();
    assert_eq!(sum, 15.0, "three sign-ups a day: {answer}");
    assert_eq!(result[1]["values"][0][0], first + 86_400);
    let form = format!("query=joined{{plan=\"team\"}}&time={}", first + 86_400);
    let sent = analyst.send(
        "POST",
        &format!("{root}/query"),
        "application/x-www-form-urlencoded",
        form.as_bytes(),
    );
    let answer = sent.expect(200);
    assert_eq!(answer["data"]["result"][0]["value"], json!([first + 86_400, "1"]), "{answer}");
    let wrong = get("query?query=rate(joined[5m])");
    assert_eq!((wrong.status, &wrong.json()["status"]), (400, &json!("error")));
    assert_eq!(get("query?query=nothing").status, 404);
    assert_eq!(get(&format!("query_range?{query}&start=0&end=1e9&step=1")).status, 400);
}
