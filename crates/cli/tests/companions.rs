//! What many share of a personal value can be asked in every language, and is no part of a
//! document.

use conformance::{DemoNode, DemoSize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SIZE: DemoSize = DemoSize { devices: 200, days: 3, events: 2_000 };

#[test]
fn mail_providers_are_counted_without_an_address() {
    let node = DemoNode::start(env!("CARGO_BIN_EXE_clerestory"), SIZE);
    let analyst = node.caller("analyst");
    let mut truth: BTreeMap<String, u64> = BTreeMap::new();
    for user in SIZE.fleet().users() {
        let domain = user.email.split('@').nth(1).expect("an address has a domain");
        // A smaller part of the same domain is too rare to be told.
        let is_known = domain.starts_with("example.");
        *truth.entry(if is_known { domain } else { "other" }.to_owned()).or_default() += 1;
    }

    let question = json!({ "size": 1, "aggs": { "by": { "terms": { "field": "email.domain", "size": 50 } } } });
    let answer = analyst.post("/users/_search", &question).expect(200);
    let counted: BTreeMap<String, u64> = answer["aggregations"]["by"]["buckets"]
        .as_array()
        .expect("buckets")
        .iter()
        .map(|bucket| (text(&bucket["key"]), bucket["doc_count"].as_u64().expect("a count")))
        .collect();
    assert_eq!(counted, truth);
    let document = &answer["hits"]["hits"][0]["_source"];
    assert!(text(&document["email"]).starts_with("email:"), "a pseudonym, and no object");
    assert!(document.get("email.domain").is_none());

    let statement =
        json!({ "query": "SELECT email.domain, count(*) FROM users GROUP BY email.domain" });
    let answer = analyst.post("/_sql", &statement).expect(200);
    let rows = answer["rows"].as_array().expect("rows");
    let counted: BTreeMap<String, u64> =
        rows.iter().map(|row| (text(&row[0]), row[1].as_u64().expect("a count"))).collect();
    assert_eq!(counted, truth);

    let one = truth.keys().next().expect("a domain");
    let question = json!({ "query": { "term": { "email.domain": one } } });
    let answer = analyst.post("/users/_count", &question).expect(200);
    assert_eq!(answer["count"].as_u64(), truth.get(one).copied(), "literals are not turned");
    let star =
        analyst.post("/_sql", &json!({ "query": "SELECT * FROM users LIMIT 1" })).expect(200);
    let columns = star["columns"].as_array().expect("columns");
    assert!(columns.iter().all(|column| column["name"] != "email.domain"), "as with `.keyword`");
}

#[test]
fn companions_look_like_multi_fields_and_belong_to_nobody_else() {
    let node = DemoNode::start(env!("CARGO_BIN_EXE_clerestory"), SIZE);
    let engineer = node.caller("engineer");
    let document = json!({ "client_ip": "83.149.9.216", "mac": "b8:27:eb:01:02:03", "n": 1 });
    engineer.post("/visits/_doc/1?refresh=true", &document).expect(201);
    let mapping = engineer.get("/visits/_mapping").expect(200);
    let properties = &mapping["visits"]["mappings"]["properties"];
    assert_eq!(properties["client_ip"]["fields"]["network"]["type"], "keyword");
    assert_eq!(properties["mac"]["fields"]["maker"]["type"], "keyword");
    assert!(properties.get("client_ip.network").is_none());

    let count = |field: &str, value: &str| {
        let question = json!({ "query": { "term": { field: value } } });
        engineer.post("/visits/_count", &question).expect(200)["count"].as_u64()
    };
    assert_eq!(count("client_ip.network", "83.149.9/24"), Some(1));
    assert_eq!(count("mac.maker", "raspberry"), Some(1));

    for forged in
        [json!({ "client_ip": { "network": "here" } }), json!({ "client_ip.network": "here" })]
    {
        engineer.post("/visits/_doc/2", &forged).expect(400);
    }

    // An update that takes the value away takes its companion away; another leaves it.
    engineer.post("/visits/_update/1", &json!({ "doc": { "n": 2 } })).expect(200);
    assert_eq!(count("mac.maker", "raspberry"), Some(1));
    engineer
        .post("/visits/_update/1", &json!({ "doc": { "mac": "00:00:5e:00:53:01" } }))
        .expect(200);
    assert_eq!((count("mac.maker", "raspberry"), count("mac.maker", "other")), (Some(0), Some(1)));
    engineer.post("/visits/_update/1", &json!({ "doc": { "mac": null } })).expect(200);
    assert_eq!(count("mac.maker", "other"), Some(0));
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
