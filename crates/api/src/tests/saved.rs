//! What people save, over HTTP.

use super::house::House;
use serde_json::{Value, json};

#[test]
fn a_dashboard_is_saved_shared_and_deleted() {
    let house = House::open();
    let mut wanted = json!({ "name": "Mine", "body": { "panels": [{ "metric": "m" }] } });
    let save = |method: &str, path: &str, body: &Value| {
        house.ask_as(House::ANALYST, method, path, &body.to_string())
    };
    let made = save("POST", "/_clerestory/saved/dashboard", &wanted);
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!(
        (&made["version"], &made["shared"], &made["owner"]),
        (&json!(1), &json!(false), &json!("ann"))
    );
    let path = format!("/_clerestory/saved/dashboard/{}", made["id"].as_str().unwrap());
    let status = |login: &str| house.ask_as(login, "GET", &path, "").status;
    assert_eq!((status(House::ANALYST), status(House::LOGIN)), (200, 404));

    wanted["shared"] = json!(true);
    assert_eq!(save("PUT", &path, &wanted).status, 400, "which version was looked at?");
    wanted["version"] = json!(1);
    assert_eq!(save("PUT", &path, &wanted).status, 200);
    assert_eq!(save("PUT", &path, &wanted).status, 409);
    assert_eq!((status(House::LOGIN), status(House::ADMINISTRATOR)), (200, 403));
    let first = house.ask_as(House::LOGIN, "GET", &format!("{path}?version=1"), "").json();
    assert_eq!(first["history"].as_array().unwrap().len(), 2);
    let listed = house.ask("GET", "/_clerestory/saved/dashboard", "").json();
    assert_eq!(listed["saved"][0]["name"], json!("Mine"));
    assert!(listed["saved"][0].get("body").is_none());

    let foreign = json!({ "name": "x", "version": 2, "body": { "panels": [] } }).to_string();
    assert_eq!(house.ask("PUT", &path, &foreign).status, 403);
    assert_eq!(house.ask("DELETE", &path, "").status, 403);
    assert_eq!(house.ask_as(House::ANALYST, "DELETE", &path, "").status, 200);
    assert_eq!(status(House::ANALYST), 404);
    assert_eq!(house.ask("GET", "/_clerestory/saved/picture", "").status, 404);
    assert_eq!(save("POST", "/_clerestory/saved/dashboard", &json!({ "name": 1 })).status, 400);
}

#[test]
fn pages_of_what_others_keep_private_are_not_there() {
    let house = House::open();
    let wanted = json!({ "name": "Salaries", "body": { "panels": [] } }).to_string();
    let made = house.ask_as(House::ANALYST, "POST", "/_clerestory/saved/dashboard", &wanted).json();
    let page = format!("/_ui/dashboards/{}", made["id"].as_str().unwrap());
    for path in [page.clone(), format!("{page}/panels/0")] {
        let answer = house.ask("GET", &path, "");
        assert!(!answer.text().contains("Salaries"), "{path}");
    }
    assert_eq!(house.ask("GET", &page, "").status, 404);
    let mine = house.ask_as(House::ANALYST, "GET", &page, "");
    assert!(mine.status == 200 && mine.text().contains("Salaries"));
    assert!(!house.ask("GET", "/_ui/dashboards", "").text().contains("Salaries"));
}
