//! The main job through HTTP: documents in, answers out.

use super::client::ask;
use super::house::House;
use serde_json::{Value, json};

const LINES: &str = concat!(
    "{\"index\":{\"_id\":\"1\"}}\n",
    "{\"@timestamp\":\"2026-11-23T08:00:00Z\",\"kind\":\"boot\",\"n\":1,\"email\":\"ada@example.org\"}\n",
    "{\"create\":{\"_id\":\"2\"}}\n",
    "{\"@timestamp\":\"2026-11-23T09:00:00Z\",\"kind\":\"fail\",\"n\":2,\"email\":\"bob@example.org\"}\n",
    "{\"index\":{\"_id\":\"3\"}}\n",
    "{\"@timestamp\":\"2026-11-23T10:00:00Z\",\"kind\":\"fail\",\"n\":\"three\"}\n",
    "{\"delete\":{\"_id\":\"9\"}}\n",
);

/// A house with two good documents in `logs`.
fn loaded() -> House {
    let house = House::open();
    let mapping = r#"{"mappings":{"properties":{"@timestamp":{"type":"date"},
        "kind":{"type":"keyword"},"n":{"type":"long"},"email":{"type":"keyword"}}}}"#;
    let made = house.ask("PUT", "/logs", mapping);
    assert_eq!(made.status, 200, "{}", made.text());
    let ndjson = ["content-type: application/x-ndjson"];
    let answer = house.ask_with("PUT", "/logs/_bulk", &ndjson, LINES.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["errors"], true);
    let statuses: Vec<i64> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_object().unwrap().values().next().unwrap()["status"].as_i64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 201, 400, 404]);
    house
}

#[test]
fn documents_go_in_and_are_found() {
    let house = loaded();
    let search = |body: &str| house.ask_as(House::ANALYST, "POST", "/logs/_search", body).json();
    let found = search(r#"{"query":{"term":{"email":"Bob@example.org"}}}"#);
    assert_eq!(found["hits"]["total"], json!({ "value": 1, "relation": "eq" }), "{found}");
    let source = &found["hits"]["hits"][0]["_source"];
    assert_eq!(source["n"], 2);
    assert!(source["email"].as_str().unwrap().starts_with("email:"), "{source}");
    let found = search(r#"{"size":0,"aggs":{"k":{"terms":{"field":"kind"}}}}"#);
    assert_eq!(found["aggregations"]["k"]["buckets"].as_array().unwrap().len(), 2, "{found}");
    let counted = house.ask_as(House::ANALYST, "GET", "/logs/_count?q=kind:fail", "").json();
    assert_eq!(counted["count"], 1, "{counted}");
    let many = "{\"index\":\"logs\"}\n{\"size\":0}\n{\"index\":\"none\"}\n{}\n";
    let many = house.ask("POST", "/_msearch", many).json();
    assert_eq!(many["responses"][0]["status"], 200, "{many}");
    assert_eq!(many["responses"][1]["status"], 404);
    let old = house.ask("GET", "/logs/_search?rest_total_hits_as_int=true", "").json();
    assert_eq!(old["hits"]["total"], 2);
}

#[test]
fn single_documents() {
    let house = loaded();
    let made = house.ask("PUT", "/logs/_doc/a%2Fb", r#"{"kind":"x"}"#);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!((&made.json()["_id"], &made.json()["result"]), (&json!("a/b"), &json!("created")));
    assert_eq!(house.ask("PUT", "/logs/_create/a%2Fb", "{}").status, 409);
    assert_eq!(house.ask("POST", "/logs/_doc", r#"{"kind":"y"}"#).status, 201);
    let updated = house.ask("POST", "/logs/_update/a%2Fb", r#"{"doc":{"n":5}}"#);
    assert_eq!((updated.status, &updated.json()["_version"]), (200, &json!(2)));
    let got = house.ask("GET", "/logs/_doc/a%2Fb", "").json();
    assert_eq!((&got["found"], &got["_source"]), (&json!(true), &json!({ "kind": "x", "n": 5 })));
    let got = house.ask("GET", "/logs/_doc/a%2Fb?_source_excludes=n", "").json();
    assert_eq!(got["_source"], json!({ "kind": "x" }));
    assert!(house.ask("GET", "/logs/_doc/a%2Fb?_source=false", "").json().get("_source").is_none());
    let source = house.ask("GET", "/logs/_source/a%2Fb", "").json();
    assert_eq!(source, json!({ "kind": "x", "n": 5 }));
    assert_eq!(house.ask("HEAD", "/logs/_doc/a%2Fb", "").status, 200);
    let docs = house.ask("POST", "/logs/_mget", r#"{"ids":["1","none"]}"#).json();
    assert_eq!(
        (&docs["docs"][0]["found"], &docs["docs"][1]["found"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(house.ask("DELETE", "/logs/_doc/a%2Fb", "").status, 200);
    assert_eq!(house.ask("GET", "/logs/_doc/a%2Fb", "").status, 404);
    assert_eq!(house.ask("DELETE", "/logs/_doc/a%2Fb", "").status, 404);
    assert_eq!(house.ask("HEAD", "/logs/_source/a%2Fb", "").status, 404);
    let wrong = house.ask("PUT", "/logs/_doc/1", r#"{"n":"many"}"#);
    assert_eq!(wrong.status, 400);
    assert!(!wrong.text().contains("many"), "no value in an error: {}", wrong.text());
}

#[test]
fn indexes() {
    let house = loaded();
    assert_eq!(house.ask("HEAD", "/logs", "").status, 200);
    assert_eq!(house.ask("HEAD", "/none", "").status, 404);
    let missing = house.ask("GET", "/none", "");
    assert_eq!(missing.json()["error"]["type"], "index_not_found_exception");
    let again = house.ask("PUT", "/logs", "");
    assert_eq!(again.json()["error"]["type"], "resource_already_exists_exception");
    let wrong = house.ask("PUT", "/_logs", "");
    assert_eq!(wrong.json()["error"]["type"], "invalid_index_name_exception");
    let more = house.ask("PUT", "/logs/_mapping", r#"{"properties":{"w":{"type":"double"}}}"#);
    assert_eq!(more.status, 200, "{}", more.text());
    let mapping = house.ask("GET", "/logs/_mapping", "").json();
    assert_eq!(mapping["logs"]["mappings"]["properties"]["w"]["type"], "double");
    let caps = house.ask("GET", "/logs/_field_caps?fields=k*", "").json();
    assert!(caps["fields"]["kind"]["keyword"].is_object(), "{caps}");
    assert_eq!(house.ask("POST", "/logs/_refresh", "").json()["_shards"]["failed"], 0);
    assert_eq!(house.ask("GET", "/_cluster/health", "").json()["status"], "green");
    let cat = house.ask("GET", "/_cat/indices?h=index,docs.count&v", "").text();
    assert_eq!(cat, "index docs.count\nlogs           2\n");
    let cat = house.ask("GET", "/_cat/indices?format=json", "").json();
    assert_eq!(cat[0]["index"], "logs");
    assert_eq!(house.ask("GET", "/_cat/count/logs?h=count", "").text(), "2\n");
    assert_eq!(house.ask("DELETE", "/l*", "").status, 400, "no pattern drops");
    assert_eq!(house.ask_as(House::ANALYST, "DELETE", "/logs", "").status, 403);
    assert_eq!(house.ask("DELETE", "/logs", "").status, 200);
    assert_eq!(house.ask("HEAD", "/logs", "").status, 404);
}

#[test]
fn roles_are_kept() {
    let house = loaded();
    let write = house.ask_as(House::ANALYST, "PUT", "/logs/_doc/1", "{}");
    assert_eq!((write.status, &write.json()["error"]["type"]), (403, &json!("security_exception")));
    // An administrator sees no data, and not that there is any.
    let read = house.ask_as(House::ADMINISTRATOR, "GET", "/logs/_search", "");
    assert!(matches!(read.status, 403 | 404), "{}", read.text());
    let root = house.ask_as(House::ADMINISTRATOR, "GET", "/_cat/indices", "");
    assert!(!root.text().contains("logs"), "{}", root.text());
}

#[test]
fn sql_in_all_its_shapes() {
    let house = loaded();
    let ask = |uri: &str, body: Value| house.ask_as(House::ANALYST, "POST", uri, &body.to_string());
    let query =
        json!({ "query": "SELECT kind, count(*) AS n FROM logs GROUP BY kind ORDER BY kind" });
    let answer = ask("/_sql", query.clone());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["columns"][1], json!({ "name": "n", "type": "long" }));
    assert_eq!(answer["rows"], json!([["boot", 1], ["fail", 1]]));
    let csv = ask("/_sql?format=csv", query.clone());
    assert_eq!(csv.text(), "kind,n\r\nboot,1\r\nfail,1\r\n");
    assert_eq!(ask("/_sql?format=txt", query).text(), "kind n\n---- -\nboot 1\nfail 1\n");
    let with = json!({ "query": "SELECT n FROM logs WHERE kind = ?", "params": ["fail"] });
    assert_eq!(ask("/_sql", with).json()["rows"], json!([[2]]));
    assert_eq!(ask("/_sql", json!({ "query": "DROP TABLE logs" })).status, 400);
    assert_eq!(ask("/_sql", json!({ "question": "x" })).status, 400);
}

#[test]
fn api_keys_are_made_used_and_revoked() {
    let house = loaded();
    let body = r#"{"name":"loader","expiration":"1d"}"#;
    let made = house.ask("POST", "/_security/api_key", body);
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    let header = format!("authorization: ApiKey {}", made["encoded"].as_str().unwrap());
    let who = house.ask_as(&header, "GET", "/_security/_authenticate", "").json();
    assert_eq!((&who["username"], &who["authentication_type"]), (&json!("eve"), &json!("api_key")));
    assert_eq!(who["api_key"]["id"], made["id"]);
    let listed = house.ask("GET", "/_security/api_key?name=load*", "").json();
    assert_eq!(listed["api_keys"][0]["invalidated"], false);
    assert!(!listed.to_string().contains(made["api_key"].as_str().unwrap()));
    let more = json!({ "name": "more", "role_descriptors": { "administrator": {} } }).to_string();
    assert_eq!(house.ask("POST", "/_security/api_key", &more).status, 403, "more than its maker");
    let body = json!({ "ids": [made["id"]] }).to_string();
    let gone = house.ask("DELETE", "/_security/api_key", &body).json();
    assert_eq!(gone["invalidated_api_keys"], json!([made["id"]]));
    assert_eq!(house.ask_as(&header, "GET", "/", "").status, 401);
}

#[test]
fn people_and_the_audit_trail() {
    let house = loaded();
    let person = r#"{"name":"new","password":"another-long-one","roles":["analyst"]}"#;
    assert_eq!(house.ask("POST", "/_clerestory/people", person).status, 403);
    let make = || house.ask_as(House::ADMINISTRATOR, "POST", "/_clerestory/people", person);
    assert_eq!(make().status, 201);
    assert_eq!(make().status, 409);
    let people = house.ask_as(House::ADMINISTRATOR, "GET", "/_clerestory/people", "").json();
    assert_eq!(people["people"].as_array().unwrap().len(), 5);
    let disable = "/_clerestory/people/new/_disable";
    assert_eq!(house.ask_as(House::ADMINISTRATOR, "POST", disable, "").status, 200);

    house.ask_as(House::ANALYST, "POST", "/logs/_search", r#"{"query":{"match_all":{}}}"#);
    assert_eq!(house.ask("GET", "/_clerestory/audit", "").status, 403);
    let trail = house.ask_as(House::GUARDIAN, "GET", "/_clerestory/audit?who=ann", "").json();
    let kinds: Vec<&str> = trail["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"read_intent") && kinds.contains(&"read_end"), "{kinds:?}");
}

#[test]
fn tables_show_their_classes() {
    let house = loaded();
    let shown = house.ask_as(House::ANALYST, "GET", "/_clerestory/tables/logs", "").json();
    let table = &shown["tables"][0];
    assert_eq!(table["rows"], 2);
    let email = table["fields"].as_array().unwrap().iter().find(|f| f["name"] == "email").unwrap();
    assert_eq!((&email["class"], &email["kind"]), (&json!("personal"), &json!("email")));
}

#[test]
fn a_first_administrator_enrols_once() {
    let (house, code) = House::unborn();
    let form = ["content-type: application/x-www-form-urlencoded"];
    let enrol = |code: &str| {
        let body = format!("code={code}&name=ada&password={}", House::PASSWORD);
        ask(house.address(), "POST", "/_ui/enrol", &form, body.as_bytes())
    };
    assert_eq!(ask(house.address(), "GET", "/_ui/enrol", &[], b"").status, 200);
    assert_eq!(enrol("wrong").status, 400);
    assert_eq!(house.ask_as(House::ADMINISTRATOR, "GET", "/", "").status, 401);
    let answer = enrol(&code);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/_ui/login")));
    assert_eq!(house.ask_as(House::ADMINISTRATOR, "GET", "/", "").status, 200);
    assert_eq!(enrol(&code).status, 400, "the code works once");
}
