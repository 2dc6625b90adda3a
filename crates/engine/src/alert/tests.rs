use super::*;
use crate::{BulkOptions, Settings, Unlock};
use model::ManualClock;
use protection::audit::AuditFilter;
use protection::caller::{Credential, Role};
use protection::notice::NoticeKind;
use std::sync::Arc;

const HOUR: i64 = 3_600_000;
/// Midnight, so that hours have round numbers.
const START: i64 = 1_792_800_000_000;
const PASSWORD: &str = "correct horse battery staple";

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
    empty: zero
"#;

const ALERT: &str = "
alerts:
  - name: too_many
    label: Too many orders
    metric: orders
    grain: hour
    by: [shop]
    when: { above: 3, clear: 1 }
    delay: 0s
    every: 5m
    history: 24h
";

struct House {
    settings: Settings,
    clock: Arc<ManualClock>,
    engine: Engine,
    _dir: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        let house = House::founded();
        house.begin();
        house
    }

    /// A house without a row: whoever has a say changes the policy at once.
    fn founded() -> House {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        let key = Unlock::KeyFile(dir.path().join("outside").join("key"));
        let clock = Arc::new(ManualClock::at(Timestamp(START)));
        let settings = Settings {
            clock: Arc::<ManualClock>::clone(&clock),
            ..Settings::new(&dir.path().join("data"), key)
        };
        Engine::init(&settings).unwrap();
        let engine = Engine::open(&settings).unwrap();
        let people: [(&str, &str, &[Role]); 4] = [
            ("eve", PASSWORD, &[Role::Engineer]),
            ("ann", PASSWORD, &[Role::Analyst]),
            ("bob", PASSWORD, &[Role::Analyst]),
            ("adm", PASSWORD, &[Role::Administrator]),
        ];
        engine.directory.bootstrap(&people).unwrap();
        let house = House { settings, clock, engine, _dir: dir };
        let mapping = json!({ "mappings": { "properties": {
            "@timestamp": { "type": "date" }, "shop": { "type": "keyword" } } } });
        house.engine.create_table(&house.caller("eve"), "orders", &mapping).unwrap();
        house
    }

    fn begin(&self) {
        self.sell("blue-heron", 1);
        self.engine.apply_metrics(&self.caller("ann"), METRICS).unwrap();
    }

    fn caller(&self, name: &str) -> Caller {
        let credential = Credential::Password { name, password: PASSWORD, network: None };
        self.engine.authenticate(credential, None).unwrap()
    }

    /// So many orders of a shop, now.
    fn sell(&self, shop: &str, times: usize) {
        let at = self.clock.now().to_rfc3339();
        let line = format!("{{\"index\":{{}}}}\n{{\"@timestamp\":\"{at}\",\"shop\":\"{shop}\"}}\n");
        let (lines, options) = (line.repeat(times), BulkOptions::default());
        let answer =
            self.engine.bulk(&self.caller("eve"), Some("orders"), lines.as_bytes(), &options);
        assert!(!answer.unwrap().errors);
    }

    fn after(&self, hours: i64) {
        self.clock.advance(hours * HOUR);
        self.engine.evaluate_due_alerts();
    }

    /// The texts of notices about alerts, oldest first.
    fn told(&self) -> Vec<String> {
        let notices = self.engine.notices.list(usize::MAX).into_iter().rev();
        notices.filter(|one| one.kind == NoticeKind::Alert).map(|one| one.text).collect()
    }

    fn state(&self, as_whom: &str) -> Json {
        self.engine.alert(&self.caller(as_whom), "too_many").unwrap()
    }

    fn again(self) -> House {
        let House { settings, clock, engine, _dir } = self;
        engine.close();
        drop(engine);
        let engine = Engine::open(&settings).unwrap();
        House { settings, clock, engine, _dir }
    }
}

use model::Clock;

#[test]
fn it_fires_once_survives_a_restart_and_is_well_again() {
    let house = House::new();
    house.engine.apply_alerts(&house.caller("ann"), ALERT).unwrap();
    house.after(1);
    assert_eq!(house.state("ann")["state"], "quiet");
    assert!(house.told().is_empty());

    house.sell("blue-heron", 5);
    house.sell("red-kite", 2);
    house.engine.evaluate_due_alerts();
    assert!(house.told().is_empty(), "the hour is not over, and it is not time");
    house.after(1);
    let told = house.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("alert too_many fires (Too many orders): 1 new, 1 of 2 groups"));
    assert!(!told[0].contains("heron"), "a group's name is a value: {}", told[0]);
    assert!(told[0].ends_with("See: /_ui/alerts/too_many or clerestory alert show too_many"));

    let house = house.again();
    house.engine.is_reached_at("https://clerestory.example.org/");
    let state = house.state("ann");
    assert_eq!(state["since"], json!(Timestamp(START + 2 * HOUR).to_rfc3339()));
    let worst = json!({ "group": ["blue-heron"], "value": 5.0, "expected": 3.0 });
    assert_eq!(state["worst"], worst);
    assert!(house.state("bob")["worst"].is_null(), "what was read as ann is hers");
    assert_eq!((state["state"].as_str(), state["firing"].as_u64()), (Some("firing"), Some(1)));
    assert_eq!(state["groups_now"][0]["group"], json!(["blue-heron"]));
    assert_eq!(
        (&state["groups_now"][0]["value"], &state["events"][0]["event"]),
        (&json!(5.0), &json!("fires"))
    );
    house.sell("blue-heron", 2);
    house.after(1);
    assert_eq!(house.told().len(), 1, "2 is neither well nor new");
    house.after(1);
    let told = house.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].contains("1 well again, 0 of 2 groups"), "{}", told[1]);
    assert!(told[1].contains("See: https://clerestory.example.org/_ui/alerts/too_many or"));
    assert_eq!(house.state("ann")["state"], "quiet");
}

#[test]
fn it_looks_as_its_author_and_stops_with_the_right() {
    let house = House::new();
    house.engine.apply_alerts(&house.caller("ann"), ALERT).unwrap();
    house.after(1);
    let filter = AuditFilter { who: Some("ann".into()), limit: 5, ..AuditFilter::default() };
    let looked = house.engine.audit.read(&filter).unwrap();
    let intent = looked.iter().find(|one| one.event.kind == EventKind::ReadIntent).unwrap();
    assert_eq!(intent.event.credential, "alert:too_many");
    assert_eq!(intent.event.purpose, "alert too_many");

    house.engine.disable_person(&house.caller("adm"), "ann").unwrap();
    house.sell("blue-heron", 9);
    house.after(1);
    let state = house.state("bob");
    assert_eq!(state["state"], "stopped");
    assert!(state["trouble"].as_str().unwrap().contains("ann may not be asked for any more"));
    let told = house.told();
    assert!(told.len() == 1 && told[0].starts_with("alert too_many looks no more"), "{told:?}");
    let before = house.engine.audit.len();
    house.after(1);
    assert_eq!(house.engine.audit.len(), before, "it reads no more");

    // Somebody else takes it over, and it begins anew.
    house.sell("blue-heron", 9);
    house.engine.apply_alerts(&house.caller("bob"), ALERT).unwrap();
    house.after(1);
    assert_eq!((house.state("bob")["state"].as_str(), house.told().len()), (Some("firing"), 2));
    let history = house.state("bob")["history"].clone();
    assert_eq!((&history[0]["by"], &history[1]["by"]), (&json!("bob"), &json!("ann")));
}

#[test]
fn who_sees_and_who_changes_an_alert() {
    let house = House::new();
    let refused = house.engine.apply_alerts(&house.caller("adm"), ALERT).unwrap_err();
    assert_eq!(refused.status, 403);
    let apply = |yaml: &str| house.engine.apply_alerts(&house.caller("ann"), yaml);
    let unknown = apply(&ALERT.replace("metric: orders", "metric: sales")).unwrap_err();
    assert!(unknown.reason.contains("alert [too_many]: there is no metric [sales]"), "{unknown}");
    let by = apply(&ALERT.replace("[shop]", "[town]")).unwrap_err();
    assert_eq!(by.status, 400, "{by}");
    let target = apply(&format!("{ALERT}    notify: [ops]\n")).unwrap_err();
    assert!(target.reason.contains("there is no target [ops]"), "{target}");
    apply(ALERT).unwrap();
    house.sell("blue-heron", 9);
    house.after(1);
    // Others are not shown what was read as ann.
    let seen = house.state("bob").to_string();
    assert!(!seen.contains("heron") && seen.contains("\"firing\":1"), "{seen}");
    assert!(house.state("ann").to_string().contains("heron"));
    assert_eq!(house.engine.alerts(&house.caller("adm")).unwrap_err().status, 403);

    let bob = house.caller("bob");
    assert_eq!(house.engine.remove_alert(&bob, "too_many").unwrap_err().status, 403);
    assert_eq!(house.engine.evaluate_alert_now(&bob, "too_many").unwrap_err().status, 403);
    assert_eq!(house.engine.silence_alert(&bob, "too_many", None, "x").unwrap_err().status, 403);
    assert_eq!(house.engine.alert(&bob, "other").unwrap_err().status, 404);
    let (adm, until) = (house.caller("adm"), Timestamp(house.clock.now().0 + HOUR));
    let silenced = house.engine.silence_alert(&adm, "too_many", Some(until), "a sale").unwrap();
    assert_eq!(silenced, json!({ "acknowledged": true }), "done, and nothing is shown");
    assert_eq!(house.state("ann")["silence"]["by"], "adm");
    house.engine.remove_alert(&house.caller("ann"), "too_many").unwrap();
    assert_eq!(house.engine.alert(&bob, "too_many").unwrap_err().status, 404);
    let house = house.again();
    assert_eq!(house.engine.alerts(&house.caller("bob")).unwrap(), json!({ "alerts": [] }));
}

#[test]
fn who_sees_some_rows_is_not_told_what_all_say() {
    let house = House::founded();
    let grant = json!({ "who": "person:bob", "tables": "orders", "action": "aggregate",
                        "classes": ["open"], "rows": [{ "field": "shop", "in": ["red-kite"] }] });
    let edits =
        json!([{ "drop_role": { "person": "bob", "role": "analyst" } }, { "grant": grant }]);
    let body = json!({ "edits": edits, "why": "one shop" });
    let applied = house.engine.propose(&house.caller("adm"), &body).unwrap();
    assert_eq!(applied["applied"], true);
    house.begin();
    house.engine.apply_alerts(&house.caller("ann"), ALERT).unwrap();
    house.sell("blue-heron", 9);
    house.after(1);
    assert_eq!(house.state("ann")["state"], "firing");
    let seen = house.state("bob");
    assert_eq!(
        (&seen["state"], &seen["firing"], &seen["groups"]),
        (&json!("hidden"), &Json::Null, &Json::Null)
    );
    let list = house.engine.alerts(&house.caller("bob")).unwrap();
    assert!(!list.to_string().contains("firing\":1"), "{list}");
    let (from, to) = (Timestamp(START), house.clock.now());
    let tried = house.engine.try_alert(&house.caller("bob"), "too_many", from, to).unwrap();
    assert_eq!(tried["events"], json!([]), "of the rows that exist for bob");
}

#[test]
fn a_silence_keeps_the_state_and_tells_nobody() {
    let house = House::new();
    let ann = house.caller("ann");
    house.engine.apply_alerts(&ann, ALERT).unwrap();
    let until = Timestamp(START + 3 * HOUR);
    let far = Timestamp(START + 40 * 24 * HOUR);
    let silence = |until, why| house.engine.silence_alert(&ann, "too_many", until, why);
    assert_eq!(silence(Some(far), "long").unwrap_err().status, 400);
    assert_eq!(silence(Some(until), " ").unwrap_err().status, 400);
    assert_eq!(silence(Some(until), "a sale").unwrap()["silence"]["why"], "a sale");
    let house = house.again();
    house.sell("blue-heron", 9);
    house.after(1);
    let state = house.state("ann");
    assert_eq!(
        (&state["state"], &state["events"][0]["silenced"]),
        (&json!("firing"), &json!(true))
    );
    assert!(house.told().is_empty());
    house.after(1);
    house.after(1);
    assert_eq!(house.state("ann")["silence"], Json::Null, "it is over");
    house.sell("blue-heron", 9);
    house.after(1);
    assert_eq!(house.told().len(), 1);
}

#[test]
fn the_past_is_walked_through_without_telling_anybody() {
    let house = House::new();
    house.engine.apply_alerts(&house.caller("ann"), ALERT).unwrap();
    for times in [1, 9, 9, 0, 0, 7] {
        house.clock.advance(HOUR);
        if times > 0 {
            house.sell("blue-heron", times);
        }
    }
    house.clock.advance(HOUR);
    let (from, to) = (Timestamp(START), house.clock.now());
    let tried = house.engine.try_alert(&house.caller("bob"), "too_many", from, to).unwrap();
    let events: Vec<String> = tried["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            format!("{} {}", event["at"].as_str().unwrap(), event["event"].as_str().unwrap())
        })
        .collect();
    let at = |hours: i64| Timestamp(START + hours * HOUR).to_rfc3339();
    assert_eq!(
        events,
        [format!("{} fires", at(3)), format!("{} well", at(5)), format!("{} fires", at(7))]
    );
    assert!(house.told().is_empty());
    let wide = Timestamp(START - 10_000 * HOUR);
    let refused = house.engine.try_alert(&house.caller("bob"), "too_many", wide, to).unwrap_err();
    assert_eq!(refused.status, 400);
}

/// Where each group fires, as `group from..to`, in hours.
fn spans(chart: &Json) -> Vec<String> {
    let hour = |at: &Json| (at.as_i64().unwrap() - START) / HOUR;
    let of = |series: &Json| {
        let group = series["group"][0].as_str().unwrap().to_owned();
        let spans = series["spans"].as_array().unwrap().clone().into_iter();
        spans
            .map(|span| format!("{group} {}..{}", hour(&span["from"]), hour(&span["to"])))
            .collect::<Vec<String>>()
    };
    chart["series"].as_array().unwrap().iter().flat_map(of).collect()
}

#[test]
fn a_chart_shows_where_it_fires_over_the_rows_of_whoever_looks() {
    let house = House::founded();
    let grant = json!({ "who": "person:bob", "tables": "orders", "action": "aggregate",
                        "classes": ["open"], "rows": [{ "field": "shop", "in": ["red-kite"] }] });
    let edits =
        json!([{ "drop_role": { "person": "bob", "role": "analyst" } }, { "grant": grant }]);
    house.engine.propose(&house.caller("adm"), &json!({ "edits": edits, "why": "x" })).unwrap();
    house.begin();
    house.engine.apply_alerts(&house.caller("ann"), ALERT).unwrap();
    for (heron, kite) in [(1, 1), (9, 1), (9, 1), (1, 7), (1, 1)] {
        house.clock.advance(HOUR);
        house.sell("blue-heron", heron);
        house.sell("red-kite", kite);
    }
    house.clock.advance(HOUR);
    let (from, to) = (Timestamp(START), house.clock.now());
    let as_whom =
        |name: &str| house.engine.alert_chart(&house.caller(name), "too_many", from, to).unwrap();
    let chart = as_whom("ann");
    assert_eq!(spans(&chart), ["blue-heron 2..4", "red-kite 4..5"]);
    assert_eq!((&chart["threshold"], &chart["clear"]), (&json!(3.0), &json!(1.0)));
    assert_eq!(chart["times"].as_array().unwrap().len(), 6, "the hour that goes on is not shown");
    assert!(chart["sql"].as_str().unwrap().contains("orders"), "{chart}");
    let bob = as_whom("bob");
    assert_eq!(spans(&bob), ["red-kite 4..5"]);
    assert!(!bob.to_string().contains("heron"), "no group that does not exist for bob");
    assert!(house.told().is_empty(), "looking tells nobody");

    // What is not declared can be looked at, too, with what is usual and how far is too far.
    let when = "{ change: { direction: up, at_least: 4, season: none } }";
    let yaml = ALERT.replace("{ above: 3, clear: 1 }", when).replace("too_many", "other");
    let tried = house.engine.preview_alert(&house.caller("bob"), &yaml, from, to).unwrap();
    let kite = &tried["series"][0];
    assert_eq!(kite["expected"].as_array().unwrap().len(), 6);
    assert_eq!(kite["values"][4], json!(7.0));
    let error = house.engine.preview_alert(&house.caller("bob"), "alerts: []", from, to);
    assert_eq!(error.unwrap_err().status, 400);
    assert_eq!(
        house.engine.alert_chart(&house.caller("adm"), "too_many", from, to).unwrap_err().status,
        403
    );
    assert_eq!(house.engine.alert_targets(&house.caller("adm")).unwrap_err().status, 403);
    assert_eq!(house.engine.alert_targets(&house.caller("ann")).unwrap(), json!({ "targets": [] }));
}

#[test]
fn what_fires_since_before_the_chart_begins_is_shaded() {
    let house = House::new();
    house.engine.apply_alerts(&house.caller("ann"), ALERT).unwrap();
    house.clock.advance(HOUR);
    for _ in 0..6 {
        house.sell("blue-heron", 9);
        house.after(1);
    }
    assert_eq!(house.state("ann")["state"], "firing");
    let to = house.clock.now();
    let from = Timestamp(to.0 - 2 * HOUR);
    let chart = house.engine.alert_chart(&house.caller("ann"), "too_many", from, to).unwrap();
    assert_eq!(spans(&chart), ["blue-heron 5..7"]);
    assert_eq!(chart["series"][0]["spans"][0]["is_over"], json!(false));
}
