//! Saved searches in the UI: kept, opened, shared, put on dashboards, counted by metrics.

use super::client::{Answer, ask};
use super::house::House;
use super::planted::{basic, filled, plant};
use serde_json::{Value, json};

/// Sends a form, as a page of ours does.
fn send(house: &House, login: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let form = "content-type: application/x-www-form-urlencoded";
    ask(house.address(), "POST", path, &[form, login], pairs.join("&").as_bytes())
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Where an answer leads.
#[track_caller]
fn to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").unwrap().to_owned()
}

fn page(house: &House, login: &str, path: &str) -> String {
    house.ask_as(login, "GET", path, "").text()
}

/// Keeps a search of `t`; gives the link that opens it.
#[track_caller]
fn keep(house: &House, login: &str, name: &str, q: &str, more: &[(&str, &str)]) -> String {
    let question = [("page", "search"), ("table", "t"), ("from", "all"), ("name", name), ("q", q)];
    to(&send(house, login, "/_ui/saved", &[&question[..], more].concat()))
}

#[test]
fn a_search_is_kept_opened_renamed_and_deleted() {
    let house = filled();
    let link = keep(&house, House::LOGIN, "Kinds", "kind:k1", &[("columns", "kind,n")]);
    let open = || to(&house.ask("GET", &link, ""));
    let id = link.strip_prefix("/_ui/saved/").unwrap();
    let address = format!("/_ui/search?table=t&q=kind:k1&columns=kind,n&from=all&saved={id}");
    assert_eq!(open(), address);
    let opened = page(&house, House::LOGIN, &address);
    assert!(opened.contains("<strong>Kinds</strong>") && opened.contains("private"), "{opened}");
    assert!(!opened.contains("changed here") && opened.contains("Rename or share"));
    let other = page(&house, House::LOGIN, &address.replace("k1", "k2"));
    assert!(other.contains("changed here") && other.contains("Save changes"), "{other}");

    // Renamed and shared, the question stays; then another question under the same name.
    let renamed = [("version", "1"), ("name", "Of one kind"), ("shared", "1")];
    assert_eq!(to(&send(&house, House::LOGIN, &link, &renamed)), link);
    assert_eq!(open(), address);
    let stale = send(&house, House::LOGIN, &link, &renamed);
    assert!(stale.status == 409 && stale.text().contains("open it anew"), "{}", stale.text());
    let changed = [("version", "2"), ("name", "Of one kind"), ("page", "search"), ("table", "t")];
    to(&send(&house, House::LOGIN, &link, &[&changed[..], &[("q", "kind:k2")]].concat()));
    assert_eq!(open(), format!("/_ui/search?table=t&q=kind:k2&saved={id}"));
    assert!(page(&house, House::LOGIN, "/_ui/saved").contains("t: kind:k2"));

    assert_eq!(to(&send(&house, House::LOGIN, &format!("{link}/delete"), &[])), "/_ui/saved");
    assert_eq!(house.ask("GET", &link, "").status, 404);
    assert!(page(&house, House::LOGIN, &address).contains("was deleted"));
    assert!(page(&house, House::LOGIN, "/_ui/saved").contains("No saved search yet"));
}

#[test]
fn a_statement_is_kept_too() {
    let house = filled();
    let question = [("page", "sql"), ("name", "Rows"), ("q", "SELECT count(*) FROM t")];
    let link = to(&send(&house, House::LOGIN, "/_ui/saved", &question));
    let address = to(&house.ask("GET", &link, ""));
    assert!(address.starts_with("/_ui/sql?q=SELECT%20count"), "{address}");
    let opened = page(&house, House::LOGIN, &address);
    assert!(opened.contains("<strong>Rows</strong>") && opened.contains("1 row"), "{opened}");
    let add = [&question[..], &[("title", "x"), ("show", "count")]].concat();
    let refused = send(&house, House::LOGIN, "/_ui/dashboards/add", &add);
    assert!(refused.status == 400 && refused.text().contains("not SQL"), "{}", refused.text());
}

#[test]
fn mistakes_are_told_and_nothing_is_kept() {
    let house = filled();
    for fields in [
        vec![("page", "search"), ("table", "t"), ("name", " ")],
        vec![("page", "audit"), ("name", "x")],
        vec![("page", "search"), ("table", "t"), ("name", "p1@example.org")],
    ] {
        let refused = send(&house, House::LOGIN, "/_ui/saved", &fields);
        assert_eq!(refused.status, 400, "{fields:?}");
        assert!(!refused.text().contains("p1@"), "{}", refused.text());
    }
    // Whoever has no data has no questions.
    let fields = [("page", "search"), ("table", "t"), ("name", "x")];
    assert_eq!(send(&house, House::ADMINISTRATOR, "/_ui/saved", &fields).status, 403);
    assert!(page(&house, House::LOGIN, "/_ui/saved").contains("No saved search yet"));
}

/// What was typed names a person; what is kept, and every link to it, has the pseudonym.
#[test]
fn a_person_in_a_question_is_kept_as_the_pseudonym() {
    let house = filled();
    let link = keep(&house, House::LOGIN, "One", "email:p3@example.org", &[]);
    let address = to(&house.ask("GET", &link, ""));
    assert!(address.contains("email:%22email:") && !address.contains("p3"), "{address}");
    let opened = page(&house, House::LOGIN, &address);
    assert!(opened.contains("<strong>1 hit</strong>"), "{opened}");
    assert!(!opened.contains("p3@") && !page(&house, House::LOGIN, "/_ui/saved").contains("p3@"));
}

/// A shared search shows each who opens it what they may see themselves; a private one nothing.
#[test]
fn a_shared_search_lends_no_rights() {
    let house = filled();
    let (ann, cleo) = (basic("ann"), basic("cleo"));
    let shared = keep(&house, House::LOGIN, "All", "kind:*", &[("shared", "1")]);
    let private = keep(&house, House::LOGIN, "Mine alone", "*", &[]);
    let numbers =
        |page: &str| -> (bool, bool) { (page.contains("6 hits"), page.contains("7 hits")) };
    let before = page(&house, &ann, &to(&house.ask_as(&ann, "GET", &shared, "")));
    assert_eq!(numbers(&before), (true, false), "{before}");
    plant(&house);
    let after = page(&house, &ann, &to(&house.ask_as(&ann, "GET", &shared, "")));
    assert_eq!(numbers(&after), (true, false));
    assert!(!after.contains("planted"), "{after}");
    let all = page(&house, House::LOGIN, &to(&house.ask("GET", &shared, "")));
    assert!(all.contains("plantedkind") && all.contains("13 hits"), "the test is blind: {all}");
    let hers = page(&house, &cleo, &to(&house.ask_as(&cleo, "GET", &shared, "")));
    assert!(hers.contains("13 hits"), "she sees all rows: {hers}");
    let found = hers.find("email:").map(|at| &hers[at.saturating_sub(60)..hers.len().min(at + 80)]);
    assert_eq!(found, None, "no value of a class that is not hers");
    // Shared, and yet only its owner changes it.
    assert!(after.contains("Save a copy") && !after.contains("Rename or share"));
    let name = [("version", "1"), ("name", "Hers")];
    assert_eq!(send(&house, &ann, &shared, &name).status, 403);
    assert_eq!(send(&house, &ann, &format!("{shared}/delete"), &[]).status, 403);
    let copied = to(&send(&house, &ann, &format!("{shared}/copy"), &[]));
    assert_ne!(copied, shared);
    assert_eq!(house.ask("GET", &copied, "").status, 404, "a copy is its maker's alone");
    let answers = [
        house.ask_as(&ann, "GET", &private, ""),
        send(&house, &ann, &private, &name),
        send(&house, &ann, &format!("{private}/copy"), &[]),
        send(&house, &ann, &format!("{private}/delete"), &[]),
    ];
    for answer in answers {
        assert_eq!(answer.status, 404);
        assert!(!answer.text().contains("Mine alone"));
    }
    assert!(!page(&house, &ann, "/_ui/saved").contains("Mine alone"));
}

/// A search becomes a panel; it is shared as its dashboard is.
#[test]
fn a_search_becomes_a_panel() {
    let house = filled();
    let question = [("page", "search"), ("table", "t"), ("q", "kind:k1"), ("from", "all")];
    let panel = |more: &[(&str, &str)]| {
        let fields = [&question[..], &[("title", "Of kind one")], more].concat();
        to(&send(&house, House::LOGIN, "/_ui/dashboards/add", &fields))
    };
    let board = panel(&[("show", "count"), ("name", "Wall")]);
    let board = board.split('?').next().unwrap().to_owned();
    let id = board.strip_prefix("/_ui/dashboards/").unwrap().to_owned();
    panel(&[("show", "rows"), ("dashboard", &id)]);
    let shown =
        |login: &str, place: u32| page(&house, login, &format!("{board}/panels/{place}?from=all"));
    assert!(shown(House::LOGIN, 0).contains("big-number\">4<"), "{}", shown(House::LOGIN, 0));
    assert!(shown(House::LOGIN, 1).contains("4 hits"));
    let is_shared = |name: &str| -> Vec<bool> {
        let all = house.ask("GET", "/_clerestory/saved/search", "").json();
        let of_name = all["saved"].as_array().unwrap().iter().filter(|one| one["name"] == *name);
        of_name.map(|one| one["shared"] == true).collect()
    };
    assert_eq!(is_shared("Of kind one"), [false, false]);
    let settings = [("version", "2"), ("name", "Wall"), ("shared", "1"), ("from", "all")];
    to(&send(&house, House::LOGIN, &format!("{board}/settings"), &settings));
    assert_eq!(is_shared("Of kind one"), [true, true], "a panel of a private one would be empty");
    // Ann sees half of the rows, and on the panel as many.
    assert!(shown(&basic("ann"), 0).contains("big-number\">2<"), "{}", shown(&basic("ann"), 0));
    panel(&[("show", "histogram"), ("dashboard", &id)]);
    assert_eq!(is_shared("Of kind one"), [true, true, true]);
    // What cannot be placed leaves no search behind.
    let lost = [&question[..], &[("title", "Lost"), ("dashboard", "000000000000")]].concat();
    assert_eq!(send(&house, House::LOGIN, "/_ui/dashboards/add", &lost).status, 404);
    assert!(is_shared("Lost").is_empty());
}

/// A search becomes a metric, which alerts look at; no person stands in it.
#[test]
fn a_search_becomes_a_metric() {
    let house = filled();
    let mapping = json!({ "mappings": { "properties": {
        "@timestamp": { "type": "date" }, "kind": { "type": "keyword" },
        "region": { "type": "keyword" }, "email": { "type": "keyword" } } } });
    assert_eq!(house.ask("PUT", "/u", &mapping.to_string()).status, 200);
    for n in 0..6 {
        let row = json!({ "@timestamp": "2026-11-01T08:00:00Z", "kind": format!("k{}", n % 3),
                          "region": "eu", "email": format!("p{n}@example.org") });
        assert_eq!(house.ask("POST", "/u/_doc", &row.to_string()).status, 201);
    }
    let make_of = |login: &str, table: &str, q: &str, metric: &str| {
        let question =
            [("page", "search"), ("table", table), ("columns", "region,email"), ("q", q)];
        let named = [("label", "Of one kind"), ("metric", metric)];
        send(&house, login, "/_ui/search/alert", &[&question[..], &named[..]].concat())
    };
    let make = |q: &str, metric: &str| make_of(House::LOGIN, "u", q, metric);
    let form = page(&house, House::LOGIN, "/_ui/search/alert?table=u&q=kind:k1&columns=region");
    assert!(form.contains("in groups by region") && form.contains("kind = 'k1'"), "{form}");
    let persons = "email:(p1@example.org OR \"p2@example.org\")";
    let made = make(&format!("(kind:k1 OR kind:k2) AND {persons}"), "of_kind");
    assert!(to(&made).contains("of_kind"), "{}", to(&made));
    let declared = house.ask("GET", "/_clerestory/metrics/of_kind", "").json();
    let yaml = declared["yaml"].as_str().unwrap();
    assert!(yaml.contains("email:") && !yaml.contains("example.org"), "{yaml}");
    assert_eq!(declared["dimensions"], json!(["region"]), "a personal column is no group");
    let body = json!({ "grain": "total", "from": "2026-01-01", "to": "2027-01-01" }).to_string();
    let answer = house.ask("POST", "/_metrics/of_kind", &body).json();
    let number = answer["rows"][0].as_array().and_then(|row| row.last()).cloned();
    assert_eq!(number, Some(json!(2)), "{answer}");
    // No metric is replaced by accident, and what is refused leaves no search behind.
    let again = make("kind:k1", "of_kind");
    assert!(again.status == 409 && again.text().contains("another name"), "{}", again.text());
    let words = make("handshake", "words");
    assert!(words.status == 400 && words.text().contains("no SQL form"), "{}", words.text());
    let timeless = make_of(House::LOGIN, "t", "kind:k1", "timeless");
    assert!(timeless.status == 400 && timeless.text().contains("no time"), "{}", timeless.text());
    assert_eq!(make("kind:k1", "no name").status, 400);
    let hers = make_of(&basic("cleo"), "t", "kind:k1", "hers");
    assert_eq!(hers.status, 403, "she may not declare any");
    let kept = house.ask("GET", "/_clerestory/saved/search", "").json();
    assert_eq!(kept["saved"].as_array().unwrap().len(), 1, "{kept}");
    let words = page(&house, House::LOGIN, "/_ui/search/alert?table=u&q=handshake");
    assert!(words.contains("No metric can be made") && words.contains("a field before every word"));
    let may_not = page(&house, &basic("cleo"), "/_ui/search/alert?table=t&q=kind:k1");
    assert!(may_not.contains("Your roles do not declare metrics"), "{may_not}");
}

/// The SQL that the page shows finds as many rows as the search.
#[test]
fn the_sql_of_a_search_finds_the_same() {
    let house = filled();
    plant(&house);
    // Rows that lack fields, and have several values.
    for (id, row) in [("bare", json!({ "n": 7 })), ("two", json!({ "kind": ["k1", "x"], "n": 3 }))]
    {
        let put = house.ask("PUT", &format!("/t/_doc/{id}"), &row.to_string());
        assert_eq!(put.status, 201, "{}", put.text());
    }
    let mut several = 0;
    for q in [
        "kind:k1",
        "NOT kind:k1",
        "kind:k1 AND NOT region:eu",
        "kind:k1 OR kind:k2",
        "NOT (kind:k1 OR region:us)",
        "kind:(k1 OR x) AND n:[1 TO 5]",
        "n:{1 TO 5}",
        "n:>=7",
        "n:[* TO 3]",
        "kind:*",
        "NOT kind:*",
        "kind:plant*",
        "note:row AND NOT note:plantedword",
        "note:\"row of\"",
        "email:p4@example.org OR email:\"p5@example.org\"",
        "(kind:k1 AND region:us) OR tags:t2",
        "n:3 kind:x",
    ] {
        let body = json!({ "size": 0, "track_total_hits": true, "query": {
            "query_string": { "query": q, "default_operator": "AND" } } });
        let found = house.ask("POST", "/t/_search", &body.to_string()).json();
        let hits = found["hits"]["total"]["value"].as_u64().unwrap();
        let shown =
            page(&house, House::LOGIN, &format!("/_ui/search?table=t&from=all&q={}", escaped(q)));
        let sql = open_in_sql(&shown).unwrap_or_else(|| panic!("{q} has no form: {shown}"));
        let (from, _) = sql.split_once("LIMIT").unwrap();
        let (_, from) = from.split_once("FROM").unwrap();
        let from = from.split("ORDER BY").next().unwrap();
        let count = json!({ "query": format!("SELECT count(*) FROM {from}") }).to_string();
        let counted = house.ask("POST", "/_sql?format=json", &count).json();
        assert_eq!(counted["rows"][0][0], json!(hits), "{q}: {sql}: {counted}");
        several += u64::from(hits > 0 && hits < 15);
    }
    assert!(several > 12, "only {several} of the questions find some rows and not all");
}

/// The statement that "Open in SQL" leads to.
fn open_in_sql(page: &str) -> Option<String> {
    let end = page.find("\">Open in SQL")?;
    let start = page[..end].rfind("/_ui/sql?q=")? + "/_ui/sql?q=".len();
    let mut bytes = Vec::new();
    let mut rest = page[start..end].bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Engineers and guardians look at copies; only who may copy acts, and says that they mean it.
#[test]
fn the_page_of_copies_is_for_who_may_look() {
    let house = House::open();
    assert!(page(&house, House::LOGIN, "/_ui/copies").contains("No copy yet"));
    for (login, status) in
        [(House::GUARDIAN, 200), (House::ANALYST, 403), (House::ADMINISTRATOR, 403)]
    {
        assert_eq!(house.ask_as(login, "GET", "/_ui/copies", "").status, status);
    }
    let nav = page(&house, House::ANALYST, "/_ui/tables");
    assert!(!nav.contains("/_ui/copies"), "nothing leads where nobody is let in");
    assert_eq!(house.ask("GET", "/_ui/copies/none", "").status, 404);
    for what in ["pause", "resume"] {
        let path = format!("/_ui/copies/none/{what}");
        assert_eq!(send(&house, House::LOGIN, &path, &[]).status, 404, "{what}");
        assert_eq!(send(&house, House::GUARDIAN, &path, &[]).status, 403, "{what}");
    }
    let again = "/_ui/copies/none/resnapshot";
    let unsure = send(&house, House::LOGIN, again, &[]);
    assert!(unsure.status == 400 && unsure.text().contains("tick"), "{}", unsure.text());
    assert_eq!(send(&house, House::LOGIN, again, &[("sure", "1")]).status, 404);
    assert_eq!(send(&house, House::GUARDIAN, again, &[("sure", "1")]).status, 403);
    let copies: Value = house.ask("GET", "/_clerestory/copies", "").json();
    assert_eq!(copies["copies"], json!([]));
}
