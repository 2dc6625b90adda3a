//! Copying from files, from another Clerestory, from MariaDB, MySQL and from a broker of MQTT, with
//! the running binary and kill -9.
//!
//! `.ci/run` installs MariaDB, MySQL and Mosquitto; without them the tests say that they were
//! skipped.
#![expect(clippy::unwrap_used, reason = "tests are free")]
#![expect(clippy::print_stdout, reason = "says what is skipped, and how fast it was")]

mod control;

use conformance::Node;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_clerestory");
/// Debug builds on a busy machine are slow; a hang must still end.
const WAIT: Duration = Duration::from_secs(240);

/// Plans a copy of everything at `source`, has it signed, and starts it. `edit` may change the plan.
fn copy(node: &Node, name: &str, source: &str, edit: impl FnOnce(String) -> String) -> String {
    let path = |name: &str| node.program.path(name);
    fs::write(path("draft.yaml"), format!("copy: {name}\nsource:\n{source}")).unwrap();
    let engineer = node.caller("engineer");
    let plan = [
        "copy",
        "plan",
        "draft.yaml",
        "--out",
        "plan.yaml",
        "--used-for",
        "quality of the fleet",
        "--until",
        "2099-12-31",
    ];
    node.program.run_as(&engineer, &plan);
    let plan = edit(fs::read_to_string(path("plan.yaml")).unwrap());
    fs::write(path("plan.yaml"), &plan).unwrap();
    node.program.run_as(&engineer, &["copy", "run", "plan.yaml"]);
    let version = status(node, name)["version"].as_u64().unwrap().to_string();
    node.program.run_as(&node.caller("guardian"), &["copy", "sign", name, "--version", &version]);
    node.program.run_as(&engineer, &["copy", "run", name, "--detach"]);
    plan
}

fn status(node: &Node, name: &str) -> Value {
    node.caller("engineer").get(&format!("/_clerestory/copies/{name}")).expect(200)
}

fn secret(node: &Node, name: &str, secret: &str) {
    let path = format!("/_clerestory/source-secrets/{name}");
    node.caller("engineer").put(&path, &json!({ "secret": secret })).expect(200);
}

/// The first value of the first row.
fn ask(node: &Node, sql: &str) -> Value {
    let answer = node.caller("analyst").post("/_sql?format=json", &json!({ "query": sql }));
    answer.expect(200)["rows"][0][0].clone()
}

/// Waits until a question has this answer.
#[track_caller]
fn wait_for(node: &Node, copy: &str, sql: &str, expected: &Value) {
    let started = Instant::now();
    loop {
        let status = status(node, copy);
        assert_ne!(status["state"], "paused", "{}", status["status"]);
        let is_there = node.caller("analyst").post("/_sql?format=json", &json!({ "query": sql }));
        if is_there.json()["rows"][0][0] == *expected {
            return;
        }
        let found = is_there.json();
        assert!(started.elapsed() < WAIT, "{sql}: {found}, {}", status["status"]);
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn line(n: u64) -> String {
    format!(
        "{{\"n\":{n},\"email\":\"user{}@example.org\",\"token\":\"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{n:08}.c2lnbmF0dXJl\"}}\n",
        n % 500
    )
}

/// Lines are appended and files come while the server is killed thirty times: every line is one
/// row, though rows have no key; what is no row is named; memory stays bounded.
#[test]
fn files_are_copied_once_through_thirty_kills() {
    let mut node = Node::start(BINARY);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("events")).unwrap();
    let mut log = File::create(folder.path().join("events/live.ndjson")).unwrap();
    let mut written = 0;
    let mut write = |count: u64, log: &mut File| {
        let lines: String = (written..written + count).map(line).collect();
        log.write_all(lines.as_bytes()).unwrap();
        written += count;
        written
    };
    write(20_000, &mut log);
    log.write_all(b"this line is none\n").unwrap();
    let source = format!("  files: {{ folder: {} }}\n", folder.path().display());
    let plan = copy(&node, "logs", &source, |plan| plan);
    assert!(plan.contains("token: \"a credential") && plan.contains("class: personal"), "{plan}");
    let mut all = 0;
    for round in 0..30 {
        all = write(700, &mut log);
        if round % 5 == 0 {
            let name = format!("events/more{round}.ndjson");
            all = write(300, &mut File::create(folder.path().join(name)).unwrap());
        }
        std::thread::sleep(Duration::from_millis(100 + (round * 173) % 900));
        node.kill();
        node.serve();
    }
    wait_for(&node, "logs", "SELECT count(*) FROM events", &json!(all));
    assert_eq!(ask(&node, "SELECT count(DISTINCT n) FROM events"), json!(all));
    assert_eq!(ask(&node, "SELECT count(DISTINCT email) FROM events"), json!(500));
    let log = fs::read_to_string(node.program.log()).unwrap();
    assert!(log.contains("events/live.ndjson:20001"), "the line is named");
    assert!(!log.contains("this line") && !log.contains("example.org"), "and not repeated");
    assert!(node.peak_memory_mib() <= 512, "{} MiB", node.peak_memory_mib());
}

/// A real server that speaks Elasticsearch's API: ours.
#[test]
fn another_clerestory_is_a_source() {
    let old = Node::start(BINARY);
    let engineer = old.caller("engineer");
    let documents = |range: std::ops::Range<u64>| -> String {
        range
            .map(|n| {
                format!(
                    "{{\"index\":{{\"_id\":\"d{n}\"}}}}\n{{\"n\":{n},\"model\":\"m{}\"}}\n",
                    n % 7
                )
            })
            .collect()
    };
    engineer.bulk("/devices/_bulk", documents(0..5_000).as_bytes()).expect(200);
    let node = Node::start(BINARY);
    secret(&node, "old", old.caller("engineer").api_key());
    let source = format!("  elasticsearch: {{ url: '{}' }}\n  secret: old\n", old.url());
    copy(&node, "leave", &source, |plan| plan);
    wait_for(&node, "leave", "SELECT count(*) FROM devices", &json!(5_000));
    assert_eq!(ask(&node, "SELECT sum(n) FROM devices"), json!(4_999 * 5_000 / 2));
    // What comes later is followed; an update is one row.
    engineer.bulk("/devices/_bulk", documents(4_990..5_100).as_bytes()).expect(200);
    wait_for(&node, "leave", "SELECT count(*) FROM devices", &json!(5_100));
    assert_eq!(ask(&node, "SELECT count(DISTINCT n) FROM devices"), json!(5_100));
}

/// A server of the system that ends with the test.
struct Server {
    child: Option<Child>,
    command: Box<dyn Fn() -> Command>,
    port: u16,
    /// Goes after the server.
    _folder: TempDir,
}

impl Server {
    fn serve(&mut self) {
        let mut command = (self.command)();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(120);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "nothing listens");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program(name: &str, test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = path.to_string_lossy().into_owned();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CLERESTORY_CLIENTS_REQUIRED").is_none(), "{name} is missing");
        println!("SKIPPED {test}: {name} is missing; `.ci/run` installs it");
    }
    found
}

/// What `.ci/run` says where it is, by a variable of the environment.
fn installed(variable: &str, test: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        assert!(std::env::var_os("CLERESTORY_CLIENTS_REQUIRED").is_none(), "{variable} is not set");
        println!("SKIPPED {test}: {variable} is not set; `.ci/run` sets it");
    }
    found
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Devices publish while server and broker are killed: every message is one row, by its id.
#[test]
fn messages_are_stored_once_by_their_id() {
    let test = "messages_are_stored_once_by_their_id";
    let (Some(mosquitto), Some(publish)) =
        (program("mosquitto", test), program("mosquitto_pub", test))
    else {
        return;
    };
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let config = folder.path().join("mosquitto.conf");
    let kept = folder.path().display().to_string();
    fs::write(
        &config,
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\nuser root\n\
             persistence_location {kept}/\nautosave_interval 1\nautosave_on_changes true\n\
             max_queued_messages 0\n"
        ),
    )
    .unwrap();
    let command = move || {
        let mut command = Command::new(&mosquitto);
        command.arg("-c").arg(&config);
        command
    };
    let mut broker = Server { child: None, command: Box::new(command), port, _folder: folder };
    broker.serve();
    let mut published = 0;
    let mut send = |count: u64| {
        let mut child = Command::new(&publish)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "fleet/7/telemetry"])
            .args(["-q", "1", "-l"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: String = (published..published + count)
            .map(|n| format!("{{\"id\":\"m{n}\",\"n\":{n}}}\n"))
            .collect();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        published += count;
        published
    };
    let mut node = Node::start(BINARY);
    let source =
        format!("  mqtt: {{ host: 127.0.0.1, port: {port}, topics: ['fleet/+/telemetry'] }}\n");
    // Nothing is published while it is planned, so the file is written by hand.
    let table = "tables:\n  fleet/+/telemetry:\n    to: telemetry\n    key: [id]\n    columns:\n      \
                 n: { class: open, type: long, purpose: quality, until: 2099-12-31 }\n";
    copy(&node, "fleet", &source, |plan| {
        let source = plan.split("tables:").next().unwrap().to_owned();
        format!("{source}{table}")
    });
    let started = Instant::now();
    while status(&node, "fleet")["state"] != "following" {
        assert!(started.elapsed() < WAIT, "{}", status(&node, "fleet")["status"]);
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_secs(1));
    let mut all = 0;
    for round in 0..30 {
        all = send(200);
        if round % 10 == 9 {
            // What the broker wrote to its disk is there again.
            std::thread::sleep(Duration::from_millis(2_500));
            broker.kill();
            broker.serve();
        } else {
            std::thread::sleep(Duration::from_millis((round * 97) % 400));
        }
        node.kill();
        node.serve();
    }
    wait_for(&node, "fleet", "SELECT count(*) FROM telemetry", &json!(all));
    assert_eq!(ask(&node, "SELECT count(DISTINCT n) FROM telemetry"), json!(all));
}

#[test]
fn mariadb_is_followed_through_thirty_kills_of_each() {
    let test = "mariadb_is_followed_through_thirty_kills_of_each";
    let (Some(install), Some(server)) =
        (program("mariadb-install-db", test), program("mariadbd", test))
    else {
        return;
    };
    let mut make = Command::new(install);
    make.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    let options = ["--skip-name-resolve"];
    let Some(client) = program("mariadb", test) else { return };
    let database = Database::start(make, server, client, &options);
    is_followed_through_kills(database, "BINLOG MONITOR");
}

#[test]
fn mysql_is_followed_through_thirty_kills_of_each() {
    let test = "mysql_is_followed_through_thirty_kills_of_each";
    let Some(server) = installed("CLERESTORY_MYSQL", test) else { return };
    let mut make = Command::new(&server);
    make.args(["--no-defaults", "--initialize-insecure"]);
    let options = [
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        "--mysqlx=OFF",
        "--secure-file-priv=NULL",
        "--innodb-buffer-pool-size=64M",
    ];
    let Some(client) = program("mariadb", test) else { return };
    let database = Database::start(make, server, client, &options);
    is_followed_through_kills(database, "REPLICATION CLIENT");
}

/// MariaDB or MySQL with a binary log; `root` has no password.
struct Database {
    server: Server,
    client: PathBuf,
}

impl Database {
    /// `make` makes its folder, and is told which.
    fn start(mut make: Command, server: PathBuf, client: PathBuf, options: &[&str]) -> Database {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let folders = [format!("--datadir={}", path("data")), format!("--tmpdir={}", path(""))];
        let made = make.args(&folders).arg("--user=root").output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let own = [
            format!("--socket={}", path("socket")),
            format!("--pid-file={}", path("pid")),
            format!("--port={port}"),
        ];
        let mut arguments = vec!["--no-defaults".to_owned()];
        arguments.extend(folders.into_iter().chain(own));
        let common = ["--bind-address=127.0.0.1", "--user=root", "--server-id=1", "--log-bin=log"];
        let durable = ["--binlog-format=ROW", "--sync-binlog=1"];
        let given = common.iter().chain(&durable).chain(options);
        arguments.extend(given.map(|&option| option.to_owned()));
        let command = move || {
            let mut command = Command::new(&server);
            command.args(&arguments);
            command
        };
        let mut server = Server { child: None, command: Box::new(command), port, _folder: folder };
        server.serve();
        Database { server, client }
    }

    /// What statements answer; nothing while it is down.
    fn sql(&self, text: &str) -> Option<String> {
        let output = Command::new(&self.client)
            .args(["--no-defaults", "-h", "127.0.0.1", "-P", &self.server.port.to_string()])
            .args(["-u", "root", "-N", "-B", "-e", text])
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Fifty thousand rows, and a user who may copy them.
    fn fill(&self, right: &str) {
        self.sql(&format!(
            "CREATE DATABASE shop; CREATE USER copy@'127.0.0.1' IDENTIFIED BY 'quiet';
             GRANT SELECT ON shop.* TO copy@'127.0.0.1';
             GRANT REPLICATION SLAVE, {right} ON *.* TO copy@'127.0.0.1';
             USE shop; CREATE TABLE items (id INT PRIMARY KEY, n INT, email VARCHAR(100));
             INSERT INTO items VALUES (1, 1, 'user1@example.org');"
        ))
        .unwrap();
        let mut rows = 1;
        while rows < 50_000 {
            let more = rows.min(50_000 - rows);
            self.sql(&format!(
                "INSERT INTO shop.items SELECT id + {rows}, n + {rows},
                 CONCAT('user', (id + {rows}) % 900, '@example.org') FROM shop.items
                 WHERE id <= {more};"
            ))
            .unwrap();
            rows += more;
        }
        self.sql("ANALYZE TABLE shop.items").unwrap();
    }
}

/// A writer runs while both servers are killed: in the end every row is as at the source.
fn is_followed_through_kills(mut database: Database, right: &str) {
    database.fill(right);
    let mut node = Node::start(BINARY);
    secret(&node, "shop", "quiet");
    let port = database.server.port;
    let source = format!(
        "  mysql: {{ host: 127.0.0.1, port: {port}, database: shop, user: copy }}\n  secret: shop\n"
    );
    let plan = copy(&node, "shop", &source, |plan| plan);
    assert!(plan.contains("class: personal"), "{plan}");
    for round in 0..30u64 {
        for step in 0..10 {
            let id = (round * 7_919 + step * 613) % 50_000;
            // Refused while it is down; then it did not happen.
            database.sql(&format!(
                "USE shop; BEGIN; UPDATE items SET n = n + 1 WHERE id BETWEEN {id} AND {id} + 20;
                 DELETE FROM items WHERE id = {id}; REPLACE INTO items VALUES ({id} + 60000, {step}, 'a@b.example');
                 COMMIT;"
            ));
        }
        node.kill();
        node.serve();
        database.server.kill();
        database.server.serve();
    }
    let at_source = |what: &str| -> Value {
        let found = database.sql(&format!("SELECT {what} FROM shop.items")).unwrap();
        json!(found.trim().parse::<u64>().unwrap())
    };
    wait_for(&node, "shop", "SELECT sum(n) FROM items", &at_source("sum(n)"));
    for what in ["count(*)", "count(DISTINCT email)", "sum(id)"] {
        let expected = at_source(what);
        wait_for(&node, "shop", &format!("SELECT {what} FROM items"), &expected);
    }
    node.program.run_as(&node.caller("engineer"), &["copy", "verify", "shop"]);
}
