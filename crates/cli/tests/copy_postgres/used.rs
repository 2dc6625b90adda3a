//! What is used decides what is copied: metrics with their steps and joins, and dashboards.

use super::Pair;
use serde_json::json;

const METRICS: &str = "
measures:
  - {name: failed, table: events, time: happened_at, agg: count, filter: \"code >= 500 AND region = 'eu'\"}
joins:
  - {name: account, table: accounts, on: account_id, key: id}
metrics:
  - {name: failures, type: simple, measure: failed, dimensions: [model, account.plan]}
  - name: set_up
    type: conversion
    table: events
    time: happened_at
    entity: account_id
    window: 1d
    steps:
      - {name: unpacked, filter: {kind: unpacked}}
      - {name: connected, filter: {kind: connected}}
";

#[test]
fn a_plan_copies_what_metrics_and_dashboards_use() {
    let Some(pair) = Pair::start("a_plan_copies_what_metrics_and_dashboards_use") else { return };
    pair.source.sql(
        "CREATE TABLE accounts (id text PRIMARY KEY, plan text, region text, notes text);
         CREATE TABLE events (id bigint PRIMARY KEY, account_id text, kind text, code bigint,
           region text, model text, agent text, firmware text, happened_at timestamptz);
         INSERT INTO accounts SELECT i, 'plus', 'eu', 'n' FROM generate_series(1, 30) i;
         INSERT INTO events SELECT i, i % 30 + 1, (ARRAY['unpacked', 'connected'])[1 + i % 2], 500 + i % 2,
           'eu', 'cam', 'app', '4.' || i % 3, now() FROM generate_series(1, 300) i; ANALYZE;",
    );
    // The tables are there before their rows, so that metrics and dashboards can be declared.
    let (engineer, analyst) = (pair.node.caller("engineer"), pair.node.caller("analyst"));
    let keyword = json!({ "type": "keyword" });
    let closed = |fields: serde_json::Value| {
        json!({ "settings": { "index.clerestory.kind": "entities",
                              "index.clerestory.intake": "closed" },
                "mappings": { "properties": fields } })
    };
    let accounts = json!({ "id": keyword, "plan": keyword });
    let events = json!({ "account_id": keyword, "kind": keyword, "code": { "type": "long" },
                         "region": keyword, "model": keyword, "happened_at": { "type": "date" } });
    engineer.put("/accounts", &closed(accounts)).expect(200);
    engineer.put("/events", &closed(events)).expect(200);
    let applied =
        analyst.send("PUT", "/_clerestory/metrics", "application/yaml", METRICS.as_bytes());
    applied.expect(200);
    let save = |path: &str, name: &str, body: serde_json::Value| {
        let body = json!({ "name": name, "shared": true, "body": body });
        analyst.post(path, &body).expect(201)["id"].as_str().unwrap().to_owned()
    };
    let search = json!({ "params": [["table", "events"], ["q", "agent:app"]] });
    let search = save("/_clerestory/saved/search", "apps", search);
    let panels =
        json!({ "panels": [{ "search": search, "show": "histogram" }, { "metric": "set_up" }] });
    save("/_clerestory/saved/dashboard", "Fleet", panels);

    let draft = format!("copy: used\n{}", pair.source.source());
    std::fs::write(pair.node.program.path("draft.yaml"), draft).unwrap();
    let plan = ["copy", "plan", "draft.yaml", "--out", "plan.yaml"];
    pair.node.program.run_as(&engineer, &plan);
    let plan = std::fs::read_to_string(pair.node.program.path("plan.yaml")).unwrap();
    let (of_accounts, of_events) = plan.split_once("  public.events:").unwrap();
    let used = |table: &str, column: &str| -> String {
        let before = table.split(&format!("\n      {column}:\n")).next().unwrap();
        before.lines().last().unwrap().trim().to_owned()
    };
    for (table, column, expected) in [
        (of_events, "kind", "# used by set_up, dashboard `Fleet`"),
        (of_events, "account_id", "# used by failures, set_up, dashboard `Fleet`"),
        (of_events, "code", "# used by failures"),
        (of_events, "region", "# used by failures"),
        (of_events, "model", "# used by failures"),
        (of_events, "agent", "# used by dashboard `Fleet`"),
        (of_events, "happened_at", "# says when"),
        (of_accounts, "plan", "# used by failures"),
        (of_accounts, "id", "# names the row"),
    ] {
        let found = used(table, column);
        assert!(found.starts_with(expected), "{column}: {found}\n{plan}");
    }
    // A dimension of accounts is none of a field of the same name elsewhere, and the rest is no use.
    for (table, column) in
        [(of_events, "firmware"), (of_accounts, "region"), (of_accounts, "notes")]
    {
        assert!(
            table.contains(&format!("\n      {column}: \"nothing uses it; ")),
            "{column}: {plan}"
        );
    }
    // It is proposed without a purpose for any of them.
    pair.node.program.run_as(&engineer, &["copy", "run", "plan.yaml"]);
    let queue = pair.node.caller("guardian").get("/_clerestory/rulings/events/agent");
    assert_eq!(queue.status, 404, "nothing is copied before it is signed");
}
