//! Files that say everything a file can say, and what grows and shrinks of a signed one.

use super::{Pair, rows};
use conformance::{Answer, Caller, Needles, totp_code};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ROOT: (&str, &str) = ("root-of-the-test", "a long password for the test 1");
const GUARDIAN: (&str, &str) = ("guardian", "a long password for the test 2");

impl Pair {
    /// Proposes a file; gives what was answered.
    fn propose(&self, by: &Caller, yaml: &str) -> Value {
        by.send("PUT", "/_clerestory/copies", "application/yaml", yaml.as_bytes()).expect(200)
    }

    /// Waits until a note or the status of a copy says something.
    #[track_caller]
    fn wait_for_word(&self, name: &str, word: &str) -> Value {
        let started = Instant::now();
        loop {
            let status = self.status(name);
            if status.to_string().contains(word) {
                return status;
            }
            assert!(started.elapsed() < super::WAIT, "{word}: {status}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A person with these roles, by an API key. Made before the first row is stored.
fn person(pair: &Pair, name: &str, roles: &[&str]) -> Caller {
    let (root, words) = ROOT;
    let url = pair.node.url();
    let password = "a long password of somebody else";
    let made = json!({ "name": name, "password": password, "roles": roles });
    Caller::with_password(url, root, words).post("/_clerestory/people", &made).expect(201);
    let key = Caller::with_password(url, name, password)
        .post("/_clerestory/keys", &json!({ "name": "of the test" }))
        .expect(201);
    Caller::with_key(url, key["encoded"].as_str().unwrap())
}

/// A person approves a change, and proves that they are there.
fn approve(pair: &Pair, (name, password): (&str, &str), change: &Value) -> Answer {
    let by_password = Caller::with_password(pair.node.url(), name, password);
    let session = by_password.send("POST", "/_clerestory/session", "", b"").expect(201);
    let bearer = format!("Bearer {}", session["token"].as_str().unwrap());
    let person = Caller::with_authorization(pair.node.url(), &bearer);
    let offered = person.post("/_clerestory/factors/totp", &json!({})).expect(200);
    let secret = offered["secret"].as_str().unwrap().to_owned();
    let first = json!({ "code": totp_code(&secret, 0) });
    person.post("/_clerestory/factors/totp/_confirm", &first).expect(200);
    let shown = person.get(&format!("/_clerestory/changes/{change}")).expect(200);
    let body = json!({ "mark": shown["mark"], "present": { "code": totp_code(&secret, 1) } });
    person.post(&format!("/_clerestory/changes/{change}/_approve"), &body)
}

const ORDERS: &str = "
CREATE TABLE orders (id int PRIMARY KEY, email text, zip text, state text, amount numeric(10,2),
  made_at timestamptz, note text, promised text, meta jsonb);
INSERT INTO orders SELECT i, 'User' || i % 40 || '@Example.org', lpad((i * 37 % 99999)::text, 5, '0'),
  (ARRAY['new', 'paid', 'void'])[1 + i % 3], i * 1.25, '2026-01-01'::timestamptz + i * interval '1 hour',
  'a note', 'soon', jsonb_build_object('ab', i % 2, 'gone', i)
FROM generate_series(1, 300) i;
ANALYZE;
";

/// A file with everything: another table and other names, values that are made, a filter, purposes.
fn everything(pair: &Pair, until: &str) -> String {
    format!(
        "copy: orders\n{}tables:
  public.orders:
    to: sales
    key: [id]
    time: made_at
    where: state != 'void' and amount > 10
    columns:
      id: {{class: open}}
      made_at: {{class: open, to: sold_at}}
      email: {{class: personal, kind: email, to: buyer, purpose: joins with accounts, until: 2099-12-31}}
      amount: {{class: open, purpose: revenue, until: 2099-12-31}}
      promised: {{class: open, purpose: a test of ends, until: {until}}}
      area: {{class: open, value: \"first(zip, 2)\", purpose: maps, until: 2099-12-31}}
      mail: {{class: personal, kind: email, value: lower(email), purpose: joins, until: 2099-12-31}}
      label: {{class: open, value: \"concat(state, '-', month(made_at))\", purpose: words, until: 2099-12-31}}
      meta:
        class: open
        purpose: experiments
        until: 2099-12-31
        fields:
          ab: {{class: open, type: long}}
          gone: {{class: open, type: long, purpose: a test, until: {until}}}
    left_out:
      note: nobody needs it
      zip: only its beginning
      state: only in words
",
        pair.source.source()
    )
}

/// What the source has, as the copy should have it.
const EXPECTED: &str = "SELECT id, to_char(made_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
  amount::float8, left(zip, 2), state || '-' || to_char(made_at AT TIME ZONE 'UTC', 'YYYY-MM') || '-01T00:00:00.000Z',
  meta->>'ab' FROM orders WHERE state <> 'void' AND amount > 10 ORDER BY id";

#[track_caller]
fn same_sales(pair: &Pair) {
    let expected = pair.source.sql(EXPECTED);
    let found: Vec<String> = rows(&pair.node.caller("analyst"), "sales", "id")
        .into_iter()
        .map(|(id, row)| {
            assert_eq!(id, row["id"].to_string());
            for field in ["note", "zip", "state", "email", "made_at"] {
                assert_eq!(row[field], Value::Null, "{field} of {row}");
            }
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            assert!(text("buyer").starts_with("email:") && text("mail") == text("buyer"), "{row}");
            let amount = row["amount"].as_f64().unwrap();
            let ab = row["meta"]["ab"].clone();
            format!("{id}|{}|{amount}|{}|{}|{ab}", text("sold_at"), text("area"), text("label"))
        })
        .collect();
    assert_eq!(found, expected.lines().collect::<Vec<&str>>());
}

#[test]
fn everything_a_file_can_say_is_done() {
    let Some(pair) = Pair::start("everything_a_file_can_say_is_done") else { return };
    pair.source.sql(ORDERS);
    let engineer = pair.node.caller("engineer");
    // What nothing uses needs a purpose, and one that is over is none.
    let refused = |yaml: &str, words: &str| {
        let answer =
            engineer.send("PUT", "/_clerestory/copies", "application/yaml", yaml.as_bytes());
        let told = answer.expect(400).to_string();
        assert!(told.contains(words) && told.contains("line "), "{told}");
    };
    let good = everything(&pair, "2099-01-01");
    refused(
        &good.replace(", purpose: revenue, until: 2099-12-31", ""),
        "uses `amount` of `public.orders`: write its `purpose` and `until`, or move it to `left_out`",
    );
    refused(
        &everything(&pair, "2020-01-01"),
        "the purpose of `promised` of `public.orders` ended on 2020-01-01",
    );

    let until = pair.source.sql(
        "SELECT to_char((now() + interval '90 seconds') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    );
    std::fs::write(pair.node.program.path("plan.yaml"), everything(&pair, until.trim())).unwrap();
    pair.run_plan("orders");
    pair.catch_up("orders");
    same_sales(&pair);
    let promised = |n: u64| {
        let count = json!({ "query": { "exists": { "field": "promised" } } });
        let found = pair.node.caller("analyst").post("/sales/_count", &count).expect(200);
        assert_eq!(found["count"], json!(n), "rows that have it");
    };
    let all = pair.source.sql("SELECT count(*) FROM orders WHERE state <> 'void' AND amount > 10");
    let all: u64 = all.trim().parse().unwrap();
    promised(all);

    // Rows enter the filter and leave it; what they are made of changes.
    pair.source.sql(
        "UPDATE orders SET state = 'void' WHERE id BETWEEN 50 AND 60;
         UPDATE orders SET state = 'paid', zip = '99999' WHERE id BETWEEN 90 AND 100;
         UPDATE orders SET email = 'Other@example.org', meta = '{\"ab\": 7}' WHERE id = 120;
         DELETE FROM orders WHERE id = 130; INSERT INTO orders (id, email, zip, state, amount, made_at,
           meta) VALUES (1000, 'a@b.example', '12345', 'new', 99, '2026-11-29', '{\"ab\": 1}');",
    );
    pair.catch_up("orders");
    same_sales(&pair);
    let verified = pair.node.program.run_as(&engineer, &["copy", "verify", "orders", "--json"]);
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(verified["tables"][0]["rows_at_source"], verified["tables"][0]["rows_here"]);

    // A purpose ends: its column is copied no more, what was copied stays, and somebody is told.
    let status = pair.wait_for_word("orders", "the purpose of `promised` ended on");
    assert!(status.to_string().contains("have it signed, or move it to `left_out`"), "{status}");
    assert!(status.to_string().contains("the purpose of `gone` ended"), "{status}");
    pair.catch_up("orders");
    pair.source.sql(
        "INSERT INTO orders SELECT i, 'n@example.org', '11111', 'paid', 50, '2026-11-29', '', 'late',
           jsonb_build_object('ab', 1, 'gone', i) FROM generate_series(2001, 2020) i;",
    );
    pair.catch_up("orders");
    same_sales(&pair);
    assert_eq!(pair.ask("SELECT count(promised) FROM sales WHERE id > 2000"), json!(0));
    assert_eq!(pair.ask("SELECT count(\"meta.gone\") FROM sales WHERE id > 2000"), json!(0));
    assert_eq!(pair.ask("SELECT count(*) FROM sales WHERE id > 2000"), json!(20));
    pair.node.program.run_as(&engineer, &["copy", "verify", "orders"]);
}

#[test]
fn a_signed_file_takes_a_second_person_to_grow_and_none_to_shrink() {
    let test = "a_signed_file_takes_a_second_person_to_grow_and_none_to_shrink";
    let Some(pair) = Pair::start(test) else { return };
    pair.source.sql(
        "CREATE TABLE items (id int PRIMARY KEY, model text, remark text, city text, spare text);
         INSERT INTO items SELECT i, 'm' || i % 3, 'a remark of Ada', 'Kiel', 'x'
           FROM generate_series(1, 200) i; ANALYZE;",
    );
    let (both, guardian) =
        (person(&pair, "both", &["engineer", "guardian"]), pair.node.caller("guardian"));
    let file = |columns: &str| {
        format!(
            "copy: items\n{}tables:\n  public.items:\n    key: [id]\n    columns:\n      id: {{class: \
             open}}\n{columns}    left_out: {{spare: not needed}}\n",
            pair.source.source()
        )
    };
    let column = |name: &str, class: &str, until: &str| {
        format!("      {name}: {{class: {class}, purpose: a test, until: {until}}}\n")
    };
    let first = [column("model", "open", "2050-01-01"), column("remark", "withheld", "2050-01-01")];
    let version = |yaml: &str| pair.propose(&both, yaml)["version"].clone();
    let sign = |by: &Caller, version: &Value| {
        by.post("/_clerestory/copies/items/_sign", &json!({ "version": version }))
    };
    let left_out = "{spare: not needed, city: not yet}";
    let one = version(&file(&first.concat()).replace("{spare: not needed}", left_out));
    sign(&guardian, &one).expect(200);
    both.send("POST", "/_clerestory/copies/items/_run", "", b"").expect(200);
    pair.catch_up("items");
    assert_eq!(pair.count("items"), 200);

    // One column more, and one that is copied for longer: not by who proposed it.
    let grown = file(
        &[first.concat(), column("city", "open", "2050-01-01")]
            .concat()
            .replacen("2050", "2060", 1),
    );
    let answer = pair.propose(&both, &grown);
    let more = answer["more"].to_string();
    assert!(
        more.contains("column `city`") && more.contains("`model` of `public.items` until 2060")
    );
    assert_eq!(answer["signed"], json!(false));
    let refused = sign(&both, &answer["version"]).expect(403).to_string();
    assert!(refused.contains("you proposed version 2") && refused.contains("column `city`"));
    assert_eq!(pair.status("items")["running_version"], json!(1));
    let page = guardian.get("/_clerestory/copies/items").expect(200)["page"].to_string();
    assert!(page.contains("More than version 1") && page.contains("`city`"), "{page}");
    sign(&guardian, &answer["version"]).expect(200);
    pair.catch_up("items");
    assert_eq!(pair.status("items")["running_version"], json!(2));
    // Also the rows that are there already have it.
    assert_eq!(pair.ask("SELECT count(*) FROM items WHERE city = 'Kiel'"), json!(200));

    // A class that lets more be seen waits as a change: who signs is not who approves.
    let weaker = grown.replace("remark: {class: withheld", "remark: {class: open");
    let answer = pair.propose(&both, &weaker);
    let signed = sign(&guardian, &answer["version"]).expect(200);
    let change = signed["changes"][0].clone();
    assert!(change.is_number(), "{signed}");
    let hidden = json!({ "query": "SELECT count(*) FROM items WHERE remark = 'a remark of Ada'" });
    let analyst = pair.node.caller("analyst");
    assert_ne!(analyst.post("/_sql", &hidden).status, 200, "nobody approved");
    let refused = approve(&pair, GUARDIAN, &change).expect(403).to_string();
    assert!(refused.contains("you proposed this change"), "{refused}");
    assert_ne!(analyst.post("/_sql", &hidden).status, 200, "nobody else approved");
    assert_eq!(approve(&pair, ROOT, &change).expect(200)["state"], "applied");
    // What was sealed is opened, and what comes later flows.
    pair.source.sql("INSERT INTO items VALUES (900, 'm', 'a remark of Ada', 'Kiel', 'x')");
    pair.catch_up("items");
    let sql = "SELECT count(*) FROM items WHERE remark = 'a remark of Ada'";
    assert_eq!(pair.ask(sql), json!(201));

    // Less, or for a shorter time, is in force at once, also by an engineer alone.
    let engineer = pair.node.caller("engineer");
    let less = weaker
        .replace(&column("city", "open", "2050-01-01"), "")
        .replace("{spare: not needed}", "{spare: not needed, city: not any more}")
        .replace("2060", "2055");
    let answer = pair.propose(&engineer, &less);
    assert_eq!((&answer["signed"], &answer["more"]), (&json!(true), &json!([])), "{answer}");
    pair.source.sql("INSERT INTO items VALUES (901, 'm', 'later', 'Kiel', 'x')");
    pair.catch_up("items");
    assert_eq!(pair.ask("SELECT count(*) FROM items"), json!(202));
    assert_eq!(pair.ask("SELECT count(*) FROM items WHERE city = 'Kiel'"), json!(201));
    // To make a class stricter is a ruling: an engineer proposes it, and it waits.
    let stricter = less.replace("model: {class: open", "model: {class: personal");
    assert_eq!(pair.propose(&engineer, &stricter)["signed"], json!(false));
    let answer = pair.propose(&both, &stricter);
    assert_eq!(answer["signed"], json!(true), "who may rule makes it stricter alone: {answer}");
    let model = guardian.get("/_clerestory/rulings/items/model").expect(200);
    assert_eq!(model["state"], "personal", "{model}");
}

#[test]
fn what_is_new_at_the_source_is_withheld_told_and_ruled_on() {
    let Some(pair) = Pair::start("what_is_new_at_the_source_is_withheld_told_and_ruled_on") else {
        return;
    };
    pair.source.sql(
        "CREATE TABLE visits (id int PRIMARY KEY, model text, n int, gone text);
         INSERT INTO visits SELECT i, 'm', i, 'g' FROM generate_series(1, 50) i; ANALYZE;",
    );
    pair.copy("visits");
    pair.catch_up("visits");
    let engineer = pair.node.caller("engineer");
    let diff = |json: bool| {
        let arguments = ["copy", "plan", "plan.yaml", "--diff", "--json"];
        let arguments = &arguments[..arguments.len() - usize::from(!json)];
        let output = pair.node.program.output_as(&engineer, arguments);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(diff(false), (Some(0), "the source is as the file says\n".to_owned()));

    pair.source.sql(
        "ALTER TABLE visits ADD COLUMN place text, ADD COLUMN api_token text;
         CREATE TABLE surprises (id int PRIMARY KEY, email text);
         INSERT INTO surprises VALUES (1, 'somebody@private-mail.example');
         INSERT INTO visits SELECT i, 'm', i, 'g', 'under the larch', 'tok_' || md5(i::text) || md5('x')
           FROM generate_series(51, 100) i; ANALYZE;",
    );
    pair.catch_up("visits");
    // The rest flows; the column stands in the queue, the token nowhere.
    assert_eq!(pair.ask("SELECT sum(n) FROM visits"), json!(100 * 101 / 2));
    pair.node.program.run_as(&engineer, &["copy", "pause", "visits"]);
    pair.node.program.run_as(&engineer, &["copy", "resume", "visits"]);
    let guardian = pair.node.caller("guardian");
    let status = pair.wait_for_word("visits", "public.surprises");
    assert_eq!(status["new_tables"], json!(["public.surprises"]));
    let queue = guardian.get("/_clerestory/rulings").expect(200);
    assert_eq!(queue["new_tables"][0]["table"], "public.surprises", "{}", queue["new_tables"]);
    let page = String::from_utf8(guardian.get("/_ui/rulings").body).unwrap();
    assert!(page.contains("public.surprises") && !page.contains("larch"));
    let waiting = queue["fields"].as_array().unwrap();
    let place = waiting.iter().find(|field| field["field"] == "place").unwrap();
    assert_eq!((&place["table"], &place["state"]), (&json!("visits"), &json!("withheld")));
    let hidden = json!({ "query": "SELECT count(*) FROM visits WHERE place = 'under the larch'" });
    assert_ne!(pair.node.caller("analyst").post("/_sql", &hidden).status, 200);
    let none = guardian.get("/surprises/_count").status;
    assert_eq!(none, 404, "nothing of a new table is copied");
    let mut needles = Needles::new();
    needles.add("under the larch");
    needles.add("somebody@private-mail.example");
    let tokens = pair.source.sql("SELECT api_token FROM visits WHERE api_token IS NOT NULL");
    tokens.lines().for_each(|token| needles.add(token));
    needles.assert_not_below(&pair.node.program.data());
    needles.assert_not_in("the log", &std::fs::read(pair.node.program.log()).unwrap());

    // What it means for the plan, together with what went and changed its type.
    pair.source.sql("ALTER TABLE visits DROP COLUMN gone, ALTER COLUMN n TYPE text");
    let (code, told) = diff(true);
    assert_eq!(code, Some(1));
    let told: Value = serde_json::from_str(&told).unwrap();
    let difference = |what: &str, column: &str| -> Value {
        let all = told["differences"].as_array().unwrap().iter();
        let mut found = all.filter(|one| one["what"] == what && one["column"] == column);
        found.next().unwrap_or_else(|| panic!("{what} {column}: {told}")).clone()
    };
    let means = |difference: &Value| difference["means"].as_str().unwrap().to_owned();
    assert!(means(&difference("column_new", "place")).starts_with("withheld: sealed and unread"));
    assert!(means(&difference("column_new", "api_token")).starts_with("a credential"));
    assert!(means(&difference("column_gone", "gone")).contains("new rows come without"));
    let retyped = difference("column_retyped", "n");
    assert_eq!((&retyped["was"], &retyped["is"]), (&json!("integer"), &json!("text")));
    assert!(means(&retyped).contains("write `type: long`"), "{retyped}");
    assert!(means(&difference("table_new", "")).contains("nothing of it is copied"));
    assert!(!told.to_string().contains("larch"), "no value");
    let (code, text) = diff(false);
    assert_eq!((code, text.lines().count()), (Some(1), 5), "{text}");

    // The file is mended as it said; what a person decided stays in a new plan.
    let path = pair.node.program.path("plan.yaml");
    let plan = std::fs::read_to_string(&path).unwrap();
    let made = "    columns:\n      shout: {class: open, value: upper(model), to: old, purpose: a test, \
                until: 2099-12-31}\n";
    let plan = plan.replace("      \"n\":\n", "      \"n\":\n        type: long\n");
    std::fs::write(&path, plan.replacen("    columns:\n", made, 1)).unwrap();
    pair.node.program.run_as(&engineer, &["copy", "plan", "plan.yaml"]);
    let plan = std::fs::read_to_string(&path).unwrap();
    for line in [
        "value: \"upper(model)\"",
        "to: old",
        "type: long",
        "# Not copied: public.surprises.",
        "api_token: \"a credential: ",
        "place: \"nothing uses it; it would be ",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    assert!(!plan.contains("gone:") && !plan.contains("larch"), "{plan}");

    // A guardian rules, another agrees: what was withheld is rewritten, and more flows.
    let ruling = json!({ "class": "open", "reason": "places of visits are no secret" });
    let ruled = guardian.post("/_clerestory/rulings/visits/place", &ruling).expect(200);
    assert_eq!(approve(&pair, ROOT, &ruled["change"]).expect(200)["state"], "applied", "{ruled}");
    let place = "    columns:\n      place: {class: open, purpose: maps, until: 2099-12-31}\n";
    let lines = plan.lines().filter(|line| !line.trim_start().starts_with("place: \"nothing uses"));
    let plan: String = lines.flat_map(|line| [line, "\n"]).collect();
    let version =
        pair.propose(&engineer, &plan.replacen("    columns:\n", place, 1))["version"].clone();
    let sign = json!({ "version": version });
    guardian.post("/_clerestory/copies/visits/_sign", &sign).expect(200);
    pair.source.sql("INSERT INTO visits VALUES (101, 'm', '101', 'under the larch', NULL)");
    pair.catch_up("visits");
    let sql = "SELECT count(*) FROM visits WHERE place = 'under the larch'";
    assert_eq!(pair.ask(sql), json!(51));
    assert_eq!(pair.ask("SELECT sum(n) FROM visits"), json!(101 * 102 / 2));
    assert_eq!(pair.ask("SELECT count(*) FROM visits WHERE old = 'M'"), json!(101));
}

#[test]
fn the_password_of_a_source_stands_nowhere() {
    let Some(pair) = Pair::start("the_password_of_a_source_stands_nowhere") else { return };
    const WORDS: &str = "xK7-quiet-larch-4471";
    // The account has to show its password; others come in as before.
    let hba = "host all postgres 127.0.0.1/32 trust\nhost replication postgres 127.0.0.1/32 trust\n\
               host all copyist 127.0.0.1/32 scram-sha-256\n\
               host replication copyist 127.0.0.1/32 scram-sha-256";
    let file = pair.source.sql("SHOW hba_file");
    pair.source.sql(&format!(
        "CREATE TABLE items (id int PRIMARY KEY, model text); INSERT INTO items VALUES (1, 'm');
         CREATE ROLE copyist LOGIN REPLICATION SUPERUSER PASSWORD '{WORDS}';
         COPY (SELECT regexp_split_to_table('{hba}', '\\n')) TO '{}';
         SELECT pg_reload_conf();",
        file.trim()
    ));
    let source = pair.source.source().replace("user: postgres", "user: copyist");
    let engineer = pair.node.caller("engineer");
    let plan = |yaml: &str| {
        engineer.send("POST", "/_clerestory/copies/_plan", "application/yaml", yaml.as_bytes())
    };
    // Inside the file it is refused, with what to do; and so is a wrong one, without a word of it.
    let inline = format!("copy: items\n{source}    password: {WORDS}\n");
    let told = plan(&inline).expect(400).to_string();
    assert!(told.contains("line 8") && told.contains("clerestory copy secret NAME"), "{told}");
    assert!(!told.contains(WORDS), "{told}");
    let by_name = format!("copy: items\n{source}  secret: app-db\n");
    let told = plan(&by_name).expect(404).to_string();
    assert!(told.contains("clerestory copy secret app-db --from-file"), "{told}");
    std::fs::write(pair.node.program.path("words"), "wrong-larch-0000\n").unwrap();
    let keep = ["copy", "secret", "app-db", "--from-file", "words"];
    pair.node.program.run_as(&engineer, &keep);
    let refused = plan(&by_name).expect(502).to_string();
    assert!(!refused.contains("wrong-larch"), "{refused}");

    std::fs::write(pair.node.program.path("words"), format!("{WORDS}\n")).unwrap();
    pair.node.program.run_as(&engineer, &keep);
    std::fs::write(pair.node.program.path("draft.yaml"), &by_name).unwrap();
    let mut needles = Needles::new();
    needles.add(WORDS);
    needles.add("wrong-larch-0000");
    let told = pair.node.program.run_as(
        &engineer,
        &[
            "copy",
            "plan",
            "draft.yaml",
            "--out",
            "plan.yaml",
            "--used-for",
            "a test",
            "--until",
            "2099-01-01",
        ],
    );
    needles.assert_not_in("what plan says", told.as_bytes());
    pair.run_plan("items");
    pair.catch_up("items");
    assert_eq!(pair.count("items"), 1);
    pair.source.sql("INSERT INTO items VALUES (2, 'm')");
    pair.catch_up("items");
    pair.node.program.run_as(&engineer, &["copy", "verify", "items"]);
    // The account loses its right while it copies: what is said names no password either.
    pair.source.sql(
        "ALTER ROLE copyist PASSWORD 'another-larch-1111'; SELECT pg_terminate_backend(pid) FROM
           pg_stat_activity WHERE usename = 'copyist';",
    );
    pair.wait_for_word("items", "paused");

    std::fs::remove_file(pair.node.program.path("words")).unwrap();
    needles.assert_not_below(&pair.node.program.data());
    for file in ["plan.yaml", "plan.html", "draft.yaml"] {
        needles.assert_not_in(file, &std::fs::read(pair.node.program.path(file)).unwrap());
    }
    needles.assert_not_in("the log", &std::fs::read(pair.node.program.log()).unwrap());
    for role in ["engineer", "guardian", "administrator"] {
        let caller = pair.node.caller(role);
        for path in [
            "/_clerestory/copies",
            "/_clerestory/copies/items",
            "/_clerestory/source-secrets",
            "/_clerestory/audit?size=1000",
            "/_clerestory/rulings",
        ] {
            needles.assert_not_in(path, caller.get(path).json().to_string().as_bytes());
        }
    }
    let names = engineer.get("/_clerestory/source-secrets").expect(200);
    assert_eq!(names["secrets"], json!(["app-db"]));
}
