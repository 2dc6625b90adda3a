//! What a person types, and what comes back.

use conformance::{DemoNode, DemoSize, Node, Program};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::Output;

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_use_is_two_and_failure_is_one() {
    let program = Program::new(BINARY);
    assert_eq!(code(&program.run(&["no-such-command"])), 2);
    assert_eq!(code(&program.run(&["load", "--to", "t"])), 2, "a file is needed");
    let output = program.run(&["sql", "SELECT 1"]);
    assert_eq!(code(&output), 2, "nobody asks without identity");
    let text = errors(&output);
    assert!(text.starts_with("error: ") && text.contains("\n\nhint: "), "{text}");

    let output = program.run(&["serve", "--dir", "nothing-here"]);
    assert_eq!(code(&output), 1);
    fs::write(program.path("bad.json"), r#"{"anonymous": true}"#).unwrap();
    let output = program.run(&["serve", "--config", "bad.json"]);
    assert_eq!(code(&output), 2, "a forbidden setting stops the start");
    assert!(errors(&output).contains("anonymous"), "{}", errors(&output));

    let mut command = program.command(&["sql", "SELECT 1"]);
    let output = command
        .env("CLERESTORY_URL", "http://127.0.0.1:1")
        .env("CLERESTORY_API_KEY", "x")
        .output()
        .unwrap();
    assert_eq!(code(&output), 1, "no server");
    assert!(errors(&output).contains("hint: "), "{}", errors(&output));
}

#[test]
fn keys_stay_out_of_the_data_folder() {
    let program = Program::new(BINARY);
    let output = program.run(&["init", "--dir", "data", "--key-file", "data/ring.key"]);
    assert_eq!(code(&output), 1, "a key inside the folder is refused");

    let text = program.run_well(&["init", "--dir", "house"]);
    assert!(text.contains("enrolment code"), "{text}");
    let again = program.run(&["init", "--dir", "house"]);
    assert_eq!(code(&again), 1, "a used folder is left alone");

    program.run_well(&["init", "--dir", "other", "--key-file", "other.key"]);
    let serve = ["serve", "--dir", "house", "--http", "127.0.0.1:0", "--key-file", "other.key"];
    let output = program.run(&serve);
    assert_eq!(code(&output), 1, "the wrong key opens nothing");
    let serve = ["serve", "--dir", "other", "--http", "127.0.0.1:0", "--key-file", "gone.key"];
    assert_eq!(code(&program.run(&serve)), 1, "no key opens nothing");
}

#[test]
fn load_names_every_refused_line() {
    let node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    let mapping = json!({ "mappings": { "properties": { "n": { "type": "long" }, "at": { "type": "date" } } } });
    engineer.put("/lines", &mapping).expect(200);
    let lines = [
        r#"{"n": 1, "at": "2026-11-01T00:00:00Z"}"#,
        r#"{"n": "many"}"#,
        "",
        r#"{"n": 2"#,
        "[1, 2]",
        r#"{"n": 3, "at": "2026-02-30T00:00:00Z"}"#,
        r#"{"n": 4}"#,
    ];
    fs::write(node.program.path("lines.ndjson"), lines.join("\n")).unwrap();
    let output = node.program.output_as(&engineer, &["load", "--to", "lines", "lines.ndjson"]);
    assert_eq!(code(&output), 1, "something was refused");
    let told = errors(&output);
    for line in [2, 4, 5, 6] {
        assert!(told.contains(&format!("lines.ndjson:{line}: ")), "line {line} is named:\n{told}");
    }
    for line in [1, 3, 7] {
        assert!(!told.contains(&format!("lines.ndjson:{line}: ")), "line {line} is well:\n{told}");
    }
    assert!(!told.contains("many"), "no value is repeated: {told}");
    let counted = node.caller("analyst").post("/lines/_count", &json!({})).expect(200);
    assert_eq!(counted["count"], 2);

    fs::write(
        node.program.path("rows.csv"),
        "k,n,note\na,1,first\nb,2,\"two, three\"\na,5,again\nc,6\n",
    )
    .unwrap();
    let load = ["load", "--to", "rows", "--id", "k", "--json", "rows.csv"];
    let output = node.program.output_as(&engineer, &load);
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("rows.csv:5: "), "{}", errors(&output));
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&outcome["loaded"], &outcome["refused"]), (&json!(3), &json!(1)));
    let row = node.caller("analyst").get("/rows/_doc/a").expect(200);
    assert_eq!(row["_source"]["n"], 5, "the later line wins");
}

#[test]
fn sql_prints_tables_csv_and_json() {
    let node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    let body = "{\"create\":{}}\n{\"color\":\"red\",\"n\":1}\n{\"create\":{}}\n{\"color\":\"green\",\"n\":20}\n";
    let mapping = json!({ "mappings": { "properties": { "color": { "type": "keyword" }, "n": { "type": "long" } } } });
    engineer.put("/things", &mapping).expect(200);
    engineer.bulk("/things/_bulk", body.as_bytes()).expect(200);
    let analyst = node.caller("analyst");
    let statement = "SELECT color, n FROM things ORDER BY n";
    let table = node.program.run_as(&analyst, &["sql", statement]);
    assert_eq!(table, "color   n\n─────  ──\nred     1\ngreen  20\n");
    let csv = node.program.run_as(&analyst, &["sql", "--format", "csv", statement]);
    assert_eq!(csv.lines().collect::<Vec<_>>(), ["color,n", "red,1", "green,20"]);
    let text = node.program.run_as(&analyst, &["sql", "--json", statement]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["rows"], json!([["red", 1], ["green", 20]]));

    let mut child = node
        .program
        .command(&["sql"])
        .env("CLERESTORY_URL", analyst.url())
        .env("CLERESTORY_API_KEY", analyst.api_key())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.as_mut().unwrap();
    input
        .write_all(b"SELECT count(*) AS a\nFROM things;\nSELECT sum(n) AS b FROM things;\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a\n─\n2\n b\n──\n21\n");

    let output = node.program.output_as(&analyst, &["sql", "SELECT nonsense FROM things"]);
    assert_eq!(code(&output), 1);
    assert!(errors(&output).starts_with("error: "));
}

#[test]
fn people_and_keys_come_and_go() {
    let node = Node::start(BINARY);
    let administrator = node.caller("administrator");
    fs::write(node.program.path("pw"), "another long password\n").unwrap();
    let create = ["user", "create", "wren", "--role", "analyst", "--password-file", "pw"];
    node.program.run_as(&administrator, &create);
    assert!(node.program.run_as(&administrator, &["user", "list"]).contains("wren"));

    let login = [
        "key",
        "create",
        "of wren",
        "--expires",
        "1d",
        "--login",
        "wren",
        "--login-password-file",
        "pw",
    ];
    let output = node.program.command(&login).env("CLERESTORY_URL", node.url()).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let wren = conformance::Caller::with_key(node.url(), &key);
    wren.get("/").expect(200);

    node.program.run_as(&administrator, &["user", "disable", "wren"]);
    assert_eq!(wren.get("/").status, 401, "keys end with their owner");

    let engineer = node.caller("engineer");
    let made = node.program.run_as(&engineer, &["key", "create", "short-lived", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap();
    assert!(node.program.run_as(&engineer, &["key", "list"]).contains(id));
    node.program.run_as(&engineer, &["key", "revoke", id]);
    let short_lived = conformance::Caller::with_key(node.url(), made["encoded"].as_str().unwrap());
    assert_eq!(short_lived.get("/").status, 401);
}

#[test]
fn the_audit_is_shown_and_verified() {
    let mut node = Node::start(BINARY);
    let engineer = node.caller("engineer");
    engineer.put("/things", &json!({})).expect(200);
    for _ in 0..20 {
        node.caller("analyst").post("/things/_search", &json!({})).expect(200);
    }
    let shown =
        node.program.run_as(&node.caller("guardian"), &["audit", "show", "--who", "analyst"]);
    assert!(shown.contains("things"), "{shown}");
    // A second lets the last checkpoint be signed.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    node.kill();
    let text = node.program.run_well(&["audit", "verify", "--dir", "data"]);
    assert!(text.contains("records"), "{text}");

    let folder = node.program.data().join("audit");
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "audit"));
    files.sort();
    for file in &files {
        let whole = fs::read(file).unwrap();
        for place in [whole.len() / 3, whole.len() / 2, whole.len() - 2] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(file, &changed).unwrap();
            let output = node.program.run(&["audit", "verify", "--dir", "data"]);
            assert_eq!(code(&output), 1, "byte {place} of {} was changed", file.display());
        }
        fs::write(file, &whole[..whole.len() / 2]).unwrap();
        let output = node.program.run(&["audit", "verify", "--dir", "data"]);
        assert_eq!(code(&output), 1, "{} was cut", file.display());
        fs::write(file, &whole).unwrap();
    }
    node.program.run_well(&["audit", "verify", "--dir", "data"]);
}

#[test]
fn the_demo_serves_what_is_there() {
    let size = DemoSize { devices: 50, days: 2, events: 1_000 };
    let node = DemoNode::start(BINARY, size);
    for role in ["analyst", "engineer", "guardian", "administrator"] {
        node.caller(role).get("/").expect(200);
    }
    assert_eq!(
        node.caller("analyst").post("/events/_count", &json!({})).expect(200)["count"],
        1_000
    );
    let logins = node.program.data().join("demo-logins.json");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&logins).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let metrics = node.program.run_as(&node.caller("analyst"), &["metric", "list"]);
    for name in ["activations", "failed_connection_rate", "active_devices"] {
        assert!(metrics.contains(name), "{metrics}");
    }
    let query = [
        "metric",
        "query",
        "failed_connection_rate",
        "--by",
        "firmware",
        "--grain",
        "day",
        "--json",
    ];
    let answer: Value =
        serde_json::from_str(&node.program.run_as(&node.caller("analyst"), &query)).unwrap();
    assert!(!answer["rows"].as_array().unwrap().is_empty());
}

#[test]
fn a_demo_for_scripts_ends_and_can_be_served_again() {
    let program = Program::new(BINARY);
    let demo = [
        "demo",
        "--dir",
        "d",
        "--http",
        "127.0.0.1:0",
        "--devices",
        "20",
        "--days",
        "1",
        "--events",
        "200",
        "--exit-after-load",
    ];
    let first = program.run_well(&demo);
    assert!(first.contains("analyst") && first.contains("http://127.0.0.1:"), "{first}");
    let before: Value =
        serde_json::from_slice(&fs::read(program.path("d/demo-logins.json")).unwrap()).unwrap();
    let second = program.run_well(&demo);
    assert!(second.contains("earlier start"), "{second}");
    let after: Value =
        serde_json::from_slice(&fs::read(program.path("d/demo-logins.json")).unwrap()).unwrap();
    assert_eq!(before["logins"], after["logins"]);

    let output = program.run(&["doctor", "--dir", "d", "--url", "http://127.0.0.1:1"]);
    assert_eq!(code(&output), 0, "{}{}", String::from_utf8_lossy(&output.stdout), errors(&output));
}
