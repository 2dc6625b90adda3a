//! The story of 2019: what a maker of cameras, plugs and scales copied, as this plans it.

use super::Pair;
use conformance::Needles;
use serde_json::json;

const PEOPLE: u64 = 400;

const SCHEMA: &str = "
CREATE TYPE plan AS ENUM ('free', 'plus');
CREATE TABLE accounts (id bigserial PRIMARY KEY, email text NOT NULL UNIQUE, name text, phone text,
  password_hash text, plan plan, country text, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE devices (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  account_id bigint REFERENCES accounts, nickname text, mac macaddr, model text, firmware text,
  ip_address inet, activated_at timestamptz);
CREATE TABLE integrations (id bigserial PRIMARY KEY, account_id bigint REFERENCES accounts,
  provider text, access_token text, refresh_token text, created_at timestamptz DEFAULT now());
CREATE TABLE wifi_networks (id bigserial PRIMARY KEY, account_id bigint REFERENCES accounts,
  ssid text, bssid macaddr, signal int);
CREATE TABLE body_measurements (id bigserial PRIMARY KEY, account_id bigint REFERENCES accounts,
  weight double precision, body_fat double precision, heart_rate int, measured_at timestamptz);
CREATE TABLE sessions (id bigserial PRIMARY KEY, account_id bigint REFERENCES accounts,
  session_token text, user_agent text, ip inet, created_at timestamptz DEFAULT now());
CREATE TABLE api_requests (id bigserial PRIMARY KEY, account_id bigint, method text, status int,
  latency_ms int, client_ip inet, authorization_header text, requested_at timestamptz);
INSERT INTO accounts (email, name, phone, password_hash, plan, country)
  SELECT 'customer' || i || '@private-mail.example', 'Vorname' || i || ' Nachname' || i,
    '+49 30 ' || 9000000 + i, '$2b$12$' || md5('p' || i) || md5('q' || i),
    (ARRAY['free', 'plus']::plan[])[1 + i % 2], (ARRAY['DE', 'US', 'FR'])[1 + i % 3]
  FROM generate_series(1, 400) i;
INSERT INTO devices (account_id, nickname, mac, model, firmware, ip_address, activated_at)
  SELECT 1 + i % 400, 'Bedroom of Vorname' || i,
    ('02:0a:0b:' || lpad(to_hex(i / 65536 % 256), 2, '0') || ':' || lpad(to_hex(i / 256 % 256), 2, '0')
      || ':' || lpad(to_hex(i % 256), 2, '0'))::macaddr,
    (ARRAY['cam', 'bulb', 'plug'])[1 + i % 3], '4.9.' || i % 4,
    ('198.51.' || i / 250 % 250 || '.' || 1 + i % 250)::inet, now() - i * interval '1 minute'
  FROM generate_series(1, 900) i;
INSERT INTO integrations (account_id, provider, access_token, refresh_token)
  SELECT i, 'alexa', 'Atza|IwEBI' || md5('t' || i) || md5('u' || i), 'Atzr|IwEBI' || md5('r' || i)
  FROM generate_series(1, 240) i;
INSERT INTO wifi_networks (account_id, ssid, bssid, signal)
  SELECT 1 + i % 400, 'FRITZ!Box of Nachname' || i,
    ('0a:0b:0c:0d:' || lpad(to_hex(i / 256 % 256), 2, '0') || ':' || lpad(to_hex(i % 256), 2, '0'))::macaddr,
    -40 - i % 40
  FROM generate_series(1, 500) i;
INSERT INTO body_measurements (account_id, weight, body_fat, heart_rate, measured_at)
  SELECT 1 + i % 140, 55.125 + i % 40, 18.5 + i % 9, 55 + i % 50, now() - i * interval '1 hour'
  FROM generate_series(1, 1400) i;
INSERT INTO sessions (account_id, session_token, user_agent, ip)
  SELECT 1 + i % 400, 'sess_' || md5('s' || i) || md5('v' || i), 'App/' || i % 5, '203.0.113.7'
  FROM generate_series(1, 600) i;
INSERT INTO api_requests (account_id, method, status, latency_ms, client_ip, authorization_header, requested_at)
  SELECT 1 + i % 400, (ARRAY['GET', 'POST'])[1 + i % 2], (ARRAY[200, 200, 500])[1 + i % 3], i % 300,
    '203.0.113.9', 'Bearer eyJhbGciOiJIUzI1NiJ9.' || md5('a' || i) || '.' || md5('b' || i),
    now() - i * interval '1 second'
  FROM generate_series(1, 3000) i;
ANALYZE;
";

#[test]
fn the_story_is_copied_without_what_made_it_one() {
    let Some(pair) = Pair::start("the_story_is_copied_without_what_made_it_one") else { return };
    pair.source.sql(SCHEMA);
    let plan = pair.copy("story");

    // The plan had proposed all of it by itself.
    let ruling = |table: &str, column: &str| {
        let table = plan.split_once(&format!("  public.{table}:")).unwrap().1;
        let table = table.split("\n  public.").next().unwrap();
        let column = table.split_once(&format!("\n      {column}:")).unwrap().1;
        column.lines().take(2).collect::<Vec<&str>>().join(" ").trim().to_owned()
    };
    for (table, column, expected) in [
        ("accounts", "email", "class: personal"),
        ("accounts", "name", "class: personal"),
        ("accounts", "phone", "class: personal"),
        ("accounts", "password_hash", "a credential"),
        ("devices", "nickname", "class: personal"),
        ("devices", "mac", "class: personal"),
        ("devices", "ip_address", "class: personal"),
        ("integrations", "access_token", "a credential"),
        ("integrations", "refresh_token", "a credential"),
        ("wifi_networks", "ssid", "class: personal"),
        ("wifi_networks", "bssid", "class: personal"),
        ("body_measurements", "weight", "class: special"),
        ("body_measurements", "body_fat", "class: special"),
        ("body_measurements", "heart_rate", "class: special"),
        ("sessions", "session_token", "a credential"),
        ("sessions", "ip", "class: personal"),
        ("api_requests", "authorization_header", "a credential"),
        ("api_requests", "client_ip", "class: personal"),
        ("api_requests", "status", "class: open"),
        ("devices", "model", "class: open"),
    ] {
        let found = ruling(table, column);
        assert!(found.contains(expected), "{table}.{column}: {found}");
    }

    pair.catch_up("story");
    // What changes afterwards is treated the same.
    pair.source.sql(
        "INSERT INTO integrations (account_id, provider, access_token)
           VALUES (7, 'alexa', 'Atza|IwEBIfollowedtokenfollowedtoken77');
         INSERT INTO accounts (email, name, password_hash) VALUES
           ('followed@private-mail.example', 'Folgende Person', 'followedhashfollowedhash99');
         UPDATE body_measurements SET weight = 99.875 WHERE id = 3;",
    );
    pair.catch_up("story");

    let count = |sql: &str| pair.source.sql(sql).trim().parse::<u64>().unwrap();
    for table in [
        "accounts",
        "devices",
        "integrations",
        "wifi_networks",
        "body_measurements",
        "sessions",
        "api_requests",
    ] {
        assert_eq!(pair.count(table), count(&format!("SELECT count(*) FROM {table}")), "{table}");
    }
    // Joins and distinct counts are the source's.
    for sql in [
        "SELECT count(*) FROM devices d JOIN accounts a ON d.account_id = a.id WHERE a.country = 'DE'",
        "SELECT count(DISTINCT d.account_id) FROM devices d JOIN wifi_networks w ON d.account_id = w.account_id",
        "SELECT count(DISTINCT mac) FROM devices",
        "SELECT count(DISTINCT account_id) FROM api_requests WHERE status = 500",
        "SELECT count(DISTINCT email) FROM accounts",
    ] {
        assert_eq!(pair.ask(sql), json!(count(sql)), "{sql}");
    }
    // Somebody is found by what one types, and is a pseudonym where one reads.
    let found =
        pair.ask("SELECT email FROM accounts WHERE email = 'customer17@private-mail.example'");
    assert!(found.as_str().unwrap().starts_with("email:"), "{found}");
    // Body metrics are only counted.
    let analyst = pair.node.caller("analyst");
    let weight = json!({ "query": "SELECT weight FROM body_measurements" });
    assert_eq!(analyst.post("/_sql?format=json", &weight).json()["status"], 403);
    let sql = "SELECT count(weight) FROM body_measurements";
    assert_eq!(pair.ask(sql), json!(count(sql)));

    // No byte of any file.
    let mut needles = Needles::new();
    let secrets = pair.source.sql(
        "SELECT access_token FROM integrations UNION ALL SELECT refresh_token FROM integrations WHERE
           refresh_token IS NOT NULL UNION ALL SELECT session_token FROM sessions UNION ALL
         SELECT password_hash FROM accounts UNION ALL SELECT email FROM accounts UNION ALL
         SELECT name FROM accounts UNION ALL SELECT nickname FROM devices UNION ALL
         SELECT ssid FROM wifi_networks UNION ALL SELECT mac::text FROM devices UNION ALL
         SELECT authorization_header FROM api_requests",
    );
    secrets.lines().for_each(|secret| needles.add(secret));
    assert!(needles.len() as u64 > 5 * PEOPLE);
    needles.assert_not_below(&pair.node.program.data());
    needles.assert_not_in("the log", &std::fs::read(pair.node.program.log()).unwrap());
    // Nor in what anybody is shown.
    for path in ["accounts", "integrations", "sessions", "api_requests", "devices", "wifi_networks"]
    {
        let shown = analyst.get(&format!("/{path}/_search?size=1000"));
        needles.assert_not_in(path, shown.json().to_string().as_bytes());
    }
}
