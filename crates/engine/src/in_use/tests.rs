use super::*;
use crate::NewSaved;
use crate::test_house::House;
use model::{FieldName, FieldType};
use serde_json::Value as Json;

const METRICS: &str = "
measures:
  - {name: slow, table: requests, agg: quantile, field: ms, quantile: 0.9, filter: 'CODE >= 500'}
joins:
  - {name: account, table: accounts, on: account_id, key: id}
metrics:
  - {name: slowness, type: simple, measure: slow, dimensions: [route, account.plan]}
  - name: journey
    type: conversion
    table: requests
    entity: account_id
    window: 1d
    steps:
      - {name: first, filter: {route: '/a'}}
      - {name: second, filter: \"route = '/b' AND region = 'eu'\"}
";

fn house() -> House {
    let house = House::open();
    let keyword = json!({ "type": "keyword" });
    let requests = json!({ "mappings": { "properties": {
        "@timestamp": { "type": "date" }, "route": keyword, "region": keyword, "account_id": keyword,
        "agent": keyword, "note": { "type": "text" }, "email": keyword, "unused": keyword,
        "ms": { "type": "long" }, "code": { "type": "long" },
    }}});
    let accounts = json!({
        "settings": { "index.clerestory.kind": "entities" },
        "mappings": { "properties": { "id": keyword, "plan": keyword, "route": keyword } },
    });
    house.engine.create_table(&house.engineer, "requests", &requests).unwrap();
    house.engine.create_table(&house.engineer, "accounts", &accounts).unwrap();
    house.engine.apply_metrics(&house.log_in("ann"), METRICS).unwrap();
    house
}

fn save(
    house: &House,
    person: &str,
    kind: SavedKind,
    name: &str,
    shared: bool,
    body: Json,
) -> String {
    let wanted =
        NewSaved { name: name.to_owned(), description: String::new(), is_shared: shared, body };
    house.engine.save(&house.log_in(person), kind, &wanted).unwrap().id
}

/// `field: users` for each field that is in use.
fn told(house: &House, caller: &Caller, table: &str) -> String {
    let known = house.engine.table_for(caller, table).unwrap();
    let time = known.time_field.as_deref();
    let uses = house.engine.fields_in_use(caller, table, known.schema.fields(), time).unwrap();
    let told = uses.iter().map(|(field, uses)| format!("{field}: {}", uses.told().join(", ")));
    told.collect::<Vec<String>>().join("\n")
}

#[test]
fn metrics_use_what_they_read_of_each_table() {
    let house = house();
    assert_eq!(
        told(&house, &house.engineer, "requests"),
        "@timestamp: journey, slowness\naccount_id: journey, slowness\ncode: slowness\n\
         ms: slowness\nregion: journey\nroute: journey, slowness"
    );
    // A dimension of another table is none of a field of the same name here.
    assert_eq!(told(&house, &house.engineer, "accounts"), "id: slowness\nplan: slowness");
}

#[test]
fn a_table_that_is_not_there_yet_is_matched_by_its_fields_whatever_their_types() {
    let house = house();
    house.engine.drop_table(&house.engineer, "requests").unwrap();
    let fields = ["Ms", "code", "other"]
        .map(|name| Field::new(FieldName::parse(name).unwrap(), FieldType::Keyword, "keyword"));
    let uses = house.engine.fields_in_use(&house.engineer, "requests", &fields, None).unwrap();
    assert_eq!(uses["Ms"].metrics, ["slowness"]);
    assert_eq!(uses["code"].metrics, ["slowness"]);
    assert!(!uses.contains_key("other"));
}

#[test]
fn dashboards_use_what_their_panels_ask_for() {
    let house = house();
    let search = |columns: &str, q: &str, table: &str| json!({ "params": [["table", table], ["q", q], ["columns", columns]] });
    let rows = search("email.domain, agent", "note:broken words", "req*");
    let rows = save(&house, "ann", SavedKind::Search, "broken", true, rows);
    let other = search("unused", "unused:x", "accounts");
    let other = save(&house, "ann", SavedKind::Search, "elsewhere", true, other);
    let mine = search("unused", "", "requests");
    let mine = save(&house, "ann", SavedKind::Search, "mine", false, mine);
    let panels = json!({ "panels": [
        { "search": rows, "show": "rows" }, { "search": other, "show": "rows" },
        { "search": mine, "show": "rows" }, { "metric": "journey" },
    ], "variables": [{ "name": "region" }, { "name": "planet" }] });
    save(&house, "ann", SavedKind::Dashboard, "Fleet", true, panels);
    let private = json!({ "panels": [{ "metric": "slowness" }] });
    save(&house, "ann", SavedKind::Dashboard, "Private", false, private);

    let eve = told(&house, &house.engineer, "requests");
    for line in [
        "agent: dashboard `Fleet`",
        "email: dashboard `Fleet`",
        "note: dashboard `Fleet`",
        "region: journey, dashboard `Fleet`",
        "ms: slowness",
    ] {
        assert!(eve.lines().any(|told| told == line), "{line}\n{eve}");
    }
    // Neither what another table is asked for, nor what only its owner may open.
    assert!(
        !eve.contains("unused") && !eve.contains("planet") && !eve.contains("Private"),
        "{eve}"
    );
    let ann = told(&house, &house.log_in("ann"), "requests");
    assert!(ann.contains("unused: dashboard `Fleet`"), "{ann}");
    assert!(ann.contains("ms: slowness, dashboard `Private`"), "{ann}");
}

#[test]
fn whoever_rules_on_a_field_sees_what_uses_it() {
    let house = house();
    save(
        &house,
        "ann",
        SavedKind::Dashboard,
        "Ways",
        true,
        json!({ "panels": [{ "metric": "journey" }] }),
    );
    let shown = house.engine.ruling(&house.guardian, "requests", "region").unwrap();
    assert_eq!(shown["metrics"], json!(["journey"]), "{shown}");
    assert_eq!(shown["dashboards"], json!(["Ways"]), "{shown}");
    let shown = house.engine.ruling(&house.guardian, "requests", "unused").unwrap();
    assert_eq!((&shown["metrics"], &shown["dashboards"]), (&json!([]), &json!([])));
}
