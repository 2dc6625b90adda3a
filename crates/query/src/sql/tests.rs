//! SQL end to end: what comes out, what is pushed down, and what never stands in a plan.

use crate::testing::{Document, House, START_MS, lines, long, text};
use crate::{Limits, QueryError};
use model::{Table, Value};
use protection::grant::Action;
use std::sync::{Arc, LazyLock};

static HOUSE: LazyLock<House> = LazyLock::new(House::new);
static TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| {
    let table = HOUSE.table(true);
    for part in 0..3 {
        let rows: Vec<Document> = (part * 40..part * 40 + 40).map(row).collect();
        HOUSE.put(&table, &rows);
        HOUSE.store.flush().unwrap();
    }
    table
});

fn row(n: i64) -> Document {
    let mut document = vec![
        ("at", long(START_MS + n * 3_600_000)),
        ("kind", text(["connect", "failed", "ping"][n as usize % 3])),
        ("ms", long(n)),
        ("load", vec![Value::Double(n as f64 / 4.0)]),
        ("ok", vec![Value::Bool(n % 2 == 0)]),
        ("message", text(&format!("door {n} is {}", if n % 5 == 0 { "open" } else { "shut" }))),
        ("user.email", text(&format!("person{}@example.org", n % 7))),
        ("deviceId", text(&format!("d-{:02}", n % 11))),
    ];
    if n % 4 == 0 {
        document.push(("pulse", long(60 + n)));
    }
    if n % 6 != 0 {
        document.push(("tags", text(["red", "green"][n as usize % 2])));
    }
    document
}

fn plan(sql: &str) -> Result<super::SqlPlan, QueryError> {
    let sql = sql.replace("events", TABLE.name.as_str());
    super::plan(&sql, &[Arc::clone(&TABLE)], &HOUSE.pseudonyms)
}

fn run(sql: &str) -> Result<Vec<String>, QueryError> {
    let plan = plan(sql)?;
    let scope = HOUSE.scope(plan.tables(), plan.fields());
    let (_, batches) = plan.run(&scope, &Limits::standard())?;
    Ok(batches.iter().flat_map(lines).collect())
}

fn explained(sql: &str) -> String {
    let plan = plan(sql).unwrap();
    let scope = HOUSE.scope(plan.tables(), plan.fields());
    plan.explain(&scope, &Limits::standard()).unwrap().replace(TABLE.name.as_str(), "events")
}

/// The answer, and a word of the leaf that has to stand in the plan.
#[track_caller]
fn check(sql: &str, pushed: &str, expected: &[&str]) {
    let explained = explained(sql);
    assert!(explained.contains(pushed), "{sql}\n{explained}");
    assert_eq!(run(sql).unwrap(), expected, "{sql}\n{explained}");
}

/// The same number of rows whether the condition is pushed down or not.
#[track_caller]
fn same_without_push_down(condition: &str) {
    let pushed = format!("SELECT count(*) FROM events WHERE {condition}");
    assert!(explained(&pushed).contains("fold"), "{condition}\n{}", explained(&pushed));
    let rows = format!("SELECT sum(CASE WHEN {condition} THEN 1 ELSE 0 END) FROM events");
    assert!(explained(&rows).contains("rows columns"), "{}", explained(&rows));
    assert_eq!(run(&pushed).unwrap(), run(&rows).unwrap(), "{condition}");
}

#[test]
fn aggregates_are_folded() {
    check("SELECT count(*) FROM events", "fold groups=[] measures=[rows]", &["120"]);
    check(
        "SELECT kind, count(*) AS n, avg(load), max(ms) FROM events GROUP BY kind ORDER BY kind",
        "fold groups=[kind] measures=[rows, mean(load), max(ms)]",
        &["connect | 40 | 14.625 | 117", "failed | 40 | 14.875 | 118", "ping | 40 | 15.125 | 119"],
    );
    check(
        "SELECT date_trunc('day', at) AS day, count(DISTINCT \"deviceId\") FROM events \
         WHERE kind = 'failed' GROUP BY 1 ORDER BY 1 LIMIT 2",
        "fold groups=[day(at)] measures=[distinct(deviceId)] filter=kind=…",
        &["2026-03-01T00:00:00Z | 8", "2026-03-02T00:00:00Z | 8"],
    );
    check(
        "SELECT tags, count(*) FROM events GROUP BY tags ORDER BY tags",
        "fold groups=[tags]",
        &["green | 60", "red | 40", "- | 20"],
    );
    check(
        "SELECT count(*) FILTER (WHERE kind = 'failed'), count(tags), sum(ms) FROM events",
        "rows where kind=…, values(tags), sum(ms)",
        &["40 | 100 | 7140"],
    );
    check(
        "SELECT kind, sum(CASE WHEN ok THEN 1 ELSE 0 END) s, median(ms) FROM events \
         GROUP BY kind ORDER BY kind",
        "rows where ok=…, 1 quantiles(ms)",
        &["connect | 20 | 58.5", "failed | 20 | 59.5", "ping | 20 | 60.5"],
    );
    check(
        "SELECT kind FROM events GROUP BY kind HAVING count(*) FILTER (WHERE ms > 100) > 6 \
         ORDER BY kind",
        "fold groups=[kind]",
        &["ping"],
    );
    check("SELECT DISTINCT kind FROM events ORDER BY 1", "fold", &["connect", "failed", "ping"]);
    check(
        "SELECT date_bin(INTERVAL '2 days', at) b, min(at) FROM events GROUP BY b ORDER BY b",
        "fold groups=[fixed(172800000)(at)] measures=[min(at)]",
        &[
            "2026-02-28T00:00:00Z | 2026-03-01T00:00:00Z",
            "2026-03-02T00:00:00Z | 2026-03-02T00:00:00Z",
            "2026-03-04T00:00:00Z | 2026-03-04T00:00:00Z",
        ],
    );
    check(
        "SELECT approx_percentile_cont(0.25) WITHIN GROUP (ORDER BY load) FROM events",
        "quantiles(load)",
        &["7.4375"],
    );
    check(
        "SELECT count(*) FROM events WHERE at < now() AND at > now() - INTERVAL '40 years'",
        "fold groups=[] measures=[rows] filter=(range(at) and range(at))",
        &["120"],
    );
    check(
        "SELECT n, count(*) FROM (SELECT kind AS n, ms FROM events WHERE ms < 10) GROUP BY n \
         ORDER BY n",
        "fold groups=[kind] measures=[rows] filter=range(ms)",
        &["connect | 4", "failed | 3", "ping | 3"],
    );
}

#[test]
fn what_the_leaf_cannot_fold_is_computed_from_rows() {
    check(
        "SELECT upper(kind) k, count(*) FROM events WHERE ms < 6 GROUP BY k ORDER BY k",
        "rows columns=[kind] filter=range(ms)",
        &["CONNECT | 2", "FAILED | 2", "PING | 2"],
    );
    check(
        "SELECT kind, sum(ms * 2) FROM events WHERE ms < 6 GROUP BY kind ORDER BY kind",
        "rows columns=[kind, ms]",
        &["connect | 6", "failed | 10", "ping | 14"],
    );
    check(
        "SELECT a.ms FROM events a JOIN events b ON a.ms = b.ms + 1 WHERE b.ms < 2 ORDER BY 1",
        "rows columns=[ms]",
        &["1", "2"],
    );
}

#[test]
fn an_order_with_a_limit_reads_few_rows() {
    check(
        "SELECT ms, kind FROM events WHERE kind <> 'ping' ORDER BY at DESC LIMIT 3",
        "top keys=[at desc]",
        &["118 | failed", "117 | connect", "115 | failed"],
    );
    check(
        "SELECT ms AS m FROM events ORDER BY tags NULLS FIRST, ms DESC LIMIT 2",
        "top keys=[tags, ms desc]",
        &["114", "108"],
    );
    check(
        "SELECT ms FROM events ORDER BY load DESC LIMIT 2 OFFSET 3",
        "top keys=[load desc]",
        &["116", "115"],
    );
}

#[test]
fn conditions_mean_the_same_pushed_down_or_not() {
    for condition in [
        "kind = 'failed'",
        "kind <> 'failed'",
        "tags <> 'red'",
        "NOT (tags = 'red')",
        "NOT (tags = 'red' OR ms > 50)",
        "NOT (tags = 'red' AND ms > 50)",
        "tags IS NULL",
        "tags IS NOT NULL AND NOT ok",
        "tags IN ('red', 'blue')",
        "tags NOT IN ('red', 'blue')",
        "ms BETWEEN 10 AND 20",
        "ms NOT BETWEEN 10 AND 20",
        "load > 3.1 AND load <= 7",
        "load < 3",
        "ms < 3",
        "ms < -1 OR load > 1000",
        "ms > 3.5",
        "ms = 3.5",
        "ms >= 3.5 AND ms < 7.5",
        "kind LIKE 'f%'",
        "kind LIKE '%n%'",
        "kind NOT LIKE '_i%'",
        "kind ILIKE 'F%D'",
        "\"deviceId\" LIKE 'd-0_'",
        "at >= '2026-03-02' AND at < '2026-03-03T12:00:00Z'",
        "at > TIMESTAMP '2026-03-02 06:30:00.0001'",
        "at = '2026-03-02T01:00:00Z'",
        "ok",
        "ok = false",
        "ok IS NOT TRUE",
        "user.email = 'person3@example.org'",
        "user.email IN ('person3@example.org', 'person4@example.org')",
        "user.email <> 'person3@example.org'",
    ] {
        same_without_push_down(condition);
    }
}

#[test]
fn words_are_searched_in_texts() {
    check(
        "SELECT count(*) FROM events WHERE match(message, 'open window')",
        "filter=words(message)",
        &["24"],
    );
    check(
        "SELECT ms FROM events WHERE match_phrase('message', '15 is open')",
        "filter=phrase(message)",
        &["15"],
    );
    check(
        "SELECT count(*) FROM events WHERE NOT match(message, 'open') AND ms < 10",
        "not words(message)",
        &["8"],
    );
    check("SELECT ms FROM events WHERE message = 'door 7 is shut'", "words(message)", &["7"]);
    let error = run("SELECT match(message, 'open') FROM events").unwrap_err();
    assert!(error.to_string().contains("answered from the index"), "{error}");
}

#[test]
fn no_plan_holds_a_personal_value() {
    for sql in [
        "SELECT count(*) FROM events WHERE user.email = 'person3@example.org'",
        "SELECT upper(kind) FROM events WHERE lower(user.email) = 'person3@example.org'",
        "SELECT CASE user.email WHEN 'person3@example.org' THEN 1 ELSE 0 END FROM events",
        "SELECT count(*) FROM (SELECT user.email AS e FROM events) WHERE e = 'person3@example.org'",
        "SELECT count(*) FROM events a WHERE EXISTS \
         (SELECT 1 FROM events b WHERE b.user.email = 'person3@example.org' AND a.ms = b.ms)",
    ] {
        let plan = plan(sql).unwrap();
        assert!(!plan.shape().contains("person3"), "{}", plan.shape());
        assert!(plan.shape().contains("user.email:"), "{}", plan.shape());
        let explained = explained(sql);
        // DataFusion's display of a projection may name a column as it was written.
        let filters: Vec<&str> =
            explained.lines().filter(|line| !line.contains("ProjectionExec")).collect();
        assert!(!filters.join("\n").contains("person3"), "{explained}");
    }
    let found = run("SELECT count(*) FROM events WHERE user.email = ' Person3@Example.org'");
    assert_eq!(found.unwrap(), ["17"], "the literal is normalised like the value was");
    let error = run("SELECT 1 FROM events WHERE user.email LIKE '%@example.org'").unwrap_err();
    assert!(error.to_string().contains("pseudonyms"), "{error}");
}

#[test]
fn special_fields_are_counted_only() {
    let ask = |sql: &str| {
        let plan = plan(sql)?;
        let scope = HOUSE.scope_for(Action::Aggregate, plan.tables(), Vec::new());
        let (_, batches) = plan.run(&scope, &Limits::standard())?;
        Ok::<_, QueryError>(batches.iter().flat_map(lines).collect::<Vec<_>>())
    };
    let sql = "SELECT kind, count(pulse) FROM events GROUP BY kind ORDER BY kind";
    assert_eq!(ask(sql).unwrap(), [""; 0], "no kind has twenty people");
    for sql in
        ["SELECT count(*) FROM events WHERE pulse IS NOT NULL", "SELECT count(pulse) FROM events"]
    {
        let refused = ask(sql);
        assert!(matches!(refused, Err(QueryError::TooFewSubjects { least: 20 })), "{refused:?}");
    }
    for sql in [
        "SELECT pulse FROM events",
        "SELECT min(pulse) FROM events",
        "SELECT count(*) FROM events WHERE pulse = '77'",
        "SELECT kind FROM events ORDER BY pulse LIMIT 1",
        "SELECT max(length(pulse)) FROM events",
    ] {
        let refused = ask(sql);
        assert!(matches!(refused, Err(QueryError::NotPermitted { .. })), "{sql}: {refused:?}");
    }
    let starred = run("SELECT * FROM events WHERE ms = 4").unwrap();
    assert!(!starred[0].contains("64"), "a star means what may be shown: {starred:?}");
}

#[test]
fn uses_say_what_is_done_with_each_field() {
    let shape = |sql: &str| {
        let shape = plan(sql).unwrap().shape();
        shape.replace(TABLE.name.as_str(), "events")
    };
    assert_eq!(
        shape("SELECT kind, avg(ms) FROM events WHERE load > 1 GROUP BY kind ORDER BY 2"),
        "sql select events(kind:group kind:output load:filter ms:measure)"
    );
    assert_eq!(
        shape("SELECT k FROM (SELECT kind k, ok FROM events) ORDER BY k LIMIT 1"),
        "sql select events(kind:sort kind:output)"
    );
    assert_eq!(shape("SELECT count(pulse) FROM events"), "sql select events(pulse:values)");
    assert_eq!(
        shape("SELECT ms FROM events WHERE kind IN (SELECT kind FROM events WHERE ok)"),
        "sql select events(kind:filter ms:output ok:filter)"
    );
}

#[test]
fn aggregates_are_told_from_rows() {
    for (sql, only) in [
        ("SELECT count(*) FROM events", true),
        ("SELECT kind, count(pulse) FROM events GROUP BY kind ORDER BY 2 LIMIT 1", true),
        ("SELECT max(n) FROM (SELECT kind, count(*) AS n FROM events GROUP BY kind)", true),
        ("SELECT kind FROM events WHERE ms > (SELECT avg(ms) FROM events)", false),
        ("SELECT a.kind FROM events a JOIN (SELECT max(ms) m FROM events) b ON a.ms = b.m", false),
        ("SELECT count(*), (SELECT kind FROM events LIMIT 1) FROM events", false),
        ("SHOW TABLES", true),
    ] {
        assert_eq!(plan(sql).unwrap().only_aggregates(), only, "{sql}");
    }
}

#[test]
fn mistakes_are_answered_with_a_hint() {
    let error = |sql: &str| run(sql).unwrap_err().to_string();
    assert_eq!(error("SELECT knd FROM events"), "unknown column `knd`; did you mean `kind`");
    assert!(error("SELECT kind FROM").contains("expected"), "{}", error("SELECT kind FROM"));
    assert!(error("DELETE FROM events").starts_with("only SELECT"));
    let error = run("SELECT CAST(kind AS BIGINT) FROM events").unwrap_err().to_string();
    assert!(error.contains("try_cast") && !error.contains("connect"), "{error}");
    let error = run("SELECT sum(kind) FROM events").unwrap_err().to_string();
    assert!(error.starts_with("no function matches") && error.len() < 100, "{error}");
    let error = run("SELECT 1 / (ms - ms) FROM events").unwrap_err().to_string();
    assert!(error.contains("division by zero"), "{error}");
}

#[test]
fn tables_are_described() {
    assert_eq!(run("SHOW TABLES").unwrap(), [TABLE.name.as_str()]);
    let described = run("DESCRIBE events").unwrap();
    assert!(described.contains(&"user.email | keyword | personal".to_owned()), "{described:?}");
    let explained = run("EXPLAIN SELECT count(*) FROM events").unwrap().join("\n");
    assert!(explained.contains("ClerestoryLeaf: fold"), "{explained}");
}
