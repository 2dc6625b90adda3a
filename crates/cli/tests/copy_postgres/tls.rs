//! A source on another machine, as far as one machine can play it: TLS, a password, certificates.

use super::Pair;
use serde_json::json;
use std::path::Path;

fn source(pair: &Pair, ca_file: &Path) -> String {
    format!(
        "source:\n  postgres:\n    host: 127.0.0.1\n    port: {}\n    database: postgres\n    \
         user: copier\n    tls: verify\n    ca_file: {}\n  secret: production-db\n",
        pair.source.port(),
        ca_file.display()
    )
}

#[test]
fn certificates_are_checked_and_the_password_goes_encrypted() {
    let name = "certificates_are_checked_and_the_password_goes_encrypted";
    let Some(pair) = Pair::start(name) else { return };
    pair.source.sql(
        "CREATE ROLE copier LOGIN REPLICATION PASSWORD 'a password of the source';
         CREATE TABLE devices (id int PRIMARY KEY, model text);
         INSERT INTO devices SELECT i, 'cam' FROM generate_series(1, 200) i;
         ALTER TABLE devices OWNER TO copier; GRANT CREATE ON DATABASE postgres TO copier; ANALYZE;",
    );
    let engineer = pair.node.caller("engineer");
    std::fs::write(pair.node.program.path("password"), "a password of the source\n").unwrap();
    let secret = ["copy", "secret", "production-db", "--from-file", "password"];
    pair.node.program.run_as(&engineer, &secret);
    let refused = |ca_file: &Path, expected: &str| {
        let draft = format!("copy: tls\n{}", source(&pair, ca_file));
        std::fs::write(pair.node.program.path("draft.yaml"), draft).unwrap();
        let planned = pair.node.program.output_as(&engineer, &["copy", "plan", "draft.yaml"]);
        let said = String::from_utf8_lossy(&planned.stderr).into_owned();
        assert!(!planned.status.success() && said.contains(expected), "{said}");
    };

    let nobody = pair.node.program.path("nobody.pem");
    refused(&nobody, "cannot read certificates");
    // A name that the certificate does not have.
    let ca = pair.source.speak_tls("DNS:db.example", "copier");
    refused(&ca, "with TLS: its certificate is not accepted");
    // An authority that did not sign it.
    let other = pair.node.program.path("other.pem");
    std::fs::copy(&ca, &other).unwrap();
    let ca = pair.source.speak_tls("IP:127.0.0.1", "copier");
    refused(&other, "with TLS: its certificate is not accepted");

    pair.copy_with("tls", &source(&pair, &ca));
    pair.catch_up("tls");
    pair.source.sql("INSERT INTO devices VALUES (201, 'after'); DELETE FROM devices WHERE id = 1");
    pair.catch_up("tls");
    assert_eq!(pair.count("devices"), 200);
    let connections = "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_ssl \
                       JOIN pg_stat_activity USING (pid) WHERE usename = 'copier'";
    let said = pair.source.sql(connections);
    let (all, encrypted) = said.trim().split_once('|').unwrap();
    assert!(all == encrypted && all != "0", "{said}");
    // The replication, too.
    let replicating = pair
        .source
        .sql("SELECT count(*) FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) WHERE ssl");
    assert_eq!(replicating.trim(), "1");

    let log = std::fs::read_to_string(pair.node.program.log()).unwrap();
    assert!(!log.contains("a password of the source"));

    // A wrong password pauses the copy and says whose.
    pair.source.sql("ALTER ROLE copier PASSWORD 'another'");
    pair.command("pause", "tls");
    pair.command("resume", "tls");
    let status = pair.wait_for("tls", "paused");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("as copier") && reason.contains("password"), "{reason}");
    assert_eq!(status["tables"][0]["copied"], json!(true));
}
