//! Every page says what is the matter: nothing is here, it is not for you, it is not there, it went
//! wrong, it is withheld. Each looks different, and each says what to do next.

use super::house::House;
use serde_json::json;

/// What the page of a path says is the matter, each with the words beside it.
#[track_caller]
fn states(house: &House, login: &str, path: &str, status: u16) -> Vec<(String, String)> {
    let answer = house.ask_as(login, "GET", path, "");
    assert_eq!(answer.status, status, "{path}: {}", answer.text());
    let page = answer.text();
    let parts = page.split("data-state=\"").skip(1);
    let read = |part: &str| {
        let (state, rest) = part.split_once('"').unwrap();
        let end = rest.find("</div>").unwrap_or(rest.len());
        (state.to_owned(), without_tags(&rest[..end]))
    };
    parts.map(read).collect()
}

fn without_tags(html: &str) -> String {
    let texts = html.split('<').map(|part| part.split_once('>').map_or("", |(_, text)| text));
    texts.collect::<Vec<&str>>().join(" ")
}

/// The page says this one thing, and at least a sentence more than what is the matter.
#[track_caller]
fn check(house: &House, login: &str, (path, status): (&str, u16), state: &str, next: &str) {
    let told = states(house, login, path, status);
    let found = told.iter().find(|(told, _)| told == state);
    let Some((_, words)) = found else { panic!("{path} does not say `{state}`: {told:?}") };
    assert!(words.contains(next), "{path}: {words}");
}

/// A house with a table of persons and a metric, and a table whose field is withheld.
fn filled() -> House {
    let house = House::open();
    let mapping = json!({
        "mappings": { "properties": {
            "at": { "type": "date" }, "kind": { "type": "keyword" }, "email": { "type": "keyword" },
            "weight_kg": { "type": "double" },
        } },
    });
    assert_eq!(house.ask("PUT", "/t", &mapping.to_string()).status, 200);
    let row = json!({ "at": "2026-11-01T08:00:00Z", "kind": "k", "email": "ann@example.org",
                      "weight_kg": 71.5 });
    let put = house.ask("PUT", "/t/_doc/1", &row.to_string());
    assert_eq!(put.status, 201, "{}", put.text());
    let closed = json!({ "settings": { "index.clerestory.intake": "closed" } }).to_string();
    assert_eq!(house.ask("PUT", "/shut", &closed).status, 200);
    let put = house.ask("PUT", "/shut/_doc/1", r#"{"shade":"mauve"}"#);
    assert_eq!(put.status, 201, "{}", put.text());
    let metric = "measures:\n  - {name: rows, table: t, time: at, agg: count}\n\
                  metrics:\n  - {name: rows, type: simple, measure: rows, grain: day, dimensions: [kind]}\n";
    let yaml = ["content-type: application/yaml"];
    let applied = house.ask_with("PUT", "/_clerestory/metrics", &yaml, metric.as_bytes());
    assert_eq!(applied.status, 200, "{}", applied.text());
    house
}

#[test]
fn an_empty_house_says_where_to_begin() {
    let house = House::open();
    for (path, next) in [
        ("/_ui", "clerestory load"),
        ("/_ui/search", "clerestory load"),
        ("/_ui/sql", "clerestory load"),
        ("/_ui/tables", "clerestory load"),
        ("/_ui/metrics", "clerestory metric apply"),
        ("/_ui/alerts", "clerestory metric apply"),
        ("/_ui/new-alert", "clerestory metric apply"),
        ("/_ui/dashboards", "Add to dashboard"),
    ] {
        check(&house, House::LOGIN, (path, 200), "empty", next);
    }
    for (path, next) in
        [("/_ui/changes", "Access"), ("/_ui/rulings", ""), ("/_ui/audit?who=nobody-at-all", "")]
    {
        check(&house, House::GUARDIAN, (path, 200), "empty", next);
    }
}

#[test]
fn what_is_not_for_somebody_is_not_called_an_error() {
    let house = filled();
    for (path, status) in [
        ("/_ui/search", 200),
        ("/_ui/sql", 200),
        ("/_ui/tables", 200),
        ("/_ui/metrics", 403),
        ("/_ui/metrics/rows", 403),
        ("/_ui/alerts", 403),
        ("/_ui/alerts/some", 403),
        ("/_ui/new-alert", 403),
        ("/_ui/dashboards", 403),
    ] {
        check(&house, House::ADMINISTRATOR, (path, status), "no-permission", "dministrator");
    }
    for path in
        ["/_ui/rulings", "/_ui/rulings/shut/shade", "/_ui/audit", "/_ui/audit/1", "/_ui/exposure"]
    {
        check(&house, House::ANALYST, (path, 403), "no-permission", "dministrator");
    }
}

#[test]
fn what_is_not_there_and_what_went_wrong_are_two_things() {
    let house = filled();
    for path in [
        "/_ui/nowhere",
        "/_ui/tables/nowhere",
        "/_ui/search?table=nowhere",
        "/_ui/metrics/nowhere",
        "/_ui/alerts/nowhere",
        "/_ui/dashboards/000000000000",
    ] {
        check(&house, House::LOGIN, (path, 404), "missing", "Pick one that is listed");
    }
    check(&house, House::GUARDIAN, ("/_ui/changes/99", 404), "missing", "Pick one");
    check(&house, House::GUARDIAN, ("/_ui/audit/99999", 404), "missing", "Pick one");
    for (path, status, next) in [
        ("/_ui/search?table=t&q=%22open&from=all", 200, ""),
        ("/_ui/search?table=t&from=soon", 400, "Change the question"),
        ("/_ui/sql?q=SELEC", 200, "Change the question"),
        ("/_ui/metrics/rows?from=soon", 400, "Change the question"),
        ("/_ui/metrics/rows?by=nothing-like-it", 200, "Change the question"),
        ("/_ui/new-alert?metric=rows&name=a&when=above&at=lots&preview=1", 200, "no number"),
    ] {
        check(&house, House::LOGIN, (path, status), "bad", next);
    }
    let none = "/_ui/metrics/rows?from=1999-01-01&to=1999-02-01";
    check(&house, House::LOGIN, (none, 200), "empty", "Show all time");
    let none = "/_ui/search?table=t&from=all&q=kind:nothing";
    check(&house, House::LOGIN, (none, 200), "empty", "");
    check(&house, House::LOGIN, ("/_ui/sql?q=SELECT+kind+FROM+t+WHERE+kind='x'", 200), "empty", "");
}

#[test]
fn what_is_withheld_says_so_and_persons_are_marked() {
    let house = filled();
    let page = |path: &str| house.ask("GET", path, "").text();
    for (table, field, next) in
        [("shut", "shade", "until a guardian rules"), ("t", "weight_kg", "counted in groups")]
    {
        let values = format!("/_ui/search/values?table={table}&from=all&field={field}");
        check(&house, House::LOGIN, (&values, 200), "withheld", next);
    }
    for (table, class) in [("t", "personal"), ("t", "special"), ("shut", "withheld")] {
        let page = page(&format!("/_ui/tables/{table}"));
        assert!(page.contains(&format!("class-{class}\"")), "{class} has its badge: {page}");
    }
    let shut = page("/_ui/search?table=shut&from=all");
    assert!(!shut.contains("mauve") && shut.contains("class-withheld"), "{shut}");
    for path in ["/_ui/search?table=t&from=all", "/_ui/search?table=t&from=all&columns=email"] {
        let hits = page(path);
        assert!(hits.contains("badge class-personal"), "the field is marked: {path}");
        assert!(hits.contains("token token-personal"), "and so is each value: {path}");
    }
    let sql = page("/_ui/sql?q=SELECT+email+FROM+t");
    assert!(sql.contains("token token-personal"), "also in an answer of SQL: {sql}");
    let ruling = house.ask_as(House::GUARDIAN, "GET", "/_ui/rulings", "").text();
    assert!(ruling.contains("Withheld") && ruling.contains("shade"), "{ruling}");
}

/// A catalog or record that does not answer is no mistake of who asks; see `ui/frame.rs`.
#[test]
fn each_state_has_a_look_of_its_own() {
    let sheets = [
        include_str!("../ui/assets/app.css"),
        include_str!("../ui/assets/data.css"),
        include_str!("../ui/assets/board.css"),
    ]
    .concat();
    for rule in [
        ".notice.bad {",
        ".notice.no-permission {",
        ".notice.missing {",
        ".notice.busy {",
        ".empty {",
        ".empty.no-permission {",
        ".withheld-note {",
        ".loading {",
        ".panel-state.no-permission",
    ] {
        let places: Vec<&str> = sheets.lines().filter(|line| line.starts_with(rule)).collect();
        assert_eq!(places.len(), 1, "{rule}");
    }
}
