//! What a binary log can look like: less of a row, transactions of other kinds, compressed ones.

use super::changes::error_of;
use super::database::{Brand, Database, PASSWORD, numbers, run};
use crate::testing::{Target, wanted};
use crate::{Event, Follow, Marks, Source, SourceError};
use mysql_async::prelude::Queryable;

/// A database with three rows, read and followed.
struct Followed {
    database: Database,
    root: mysql_async::Conn,
    target: Target,
    follow: Box<dyn Follow>,
}

impl Followed {
    async fn start(brand: Brand, test: &str, options: &[&str]) -> Option<Followed> {
        let database = Database::start(brand, test, options).await?;
        let mut root = database.root().await;
        run(
            &mut root,
            &[
                "CREATE TABLE items (id INT PRIMARY KEY, v VARCHAR(100), body TEXT, \
                 n INT DEFAULT 7, doc JSON)",
                "INSERT INTO items VALUES (1, 'a', 'long a', 1, '{}'), (2, 'b', 'long b', 2, '{}'), \
                 (3, 'c', 'long c', 3, '{}')",
                "CREATE DATABASE elsewhere",
                "CREATE TABLE elsewhere.items (id INT PRIMARY KEY)",
            ],
        )
        .await;
        let (target, follow) = anew(&database).await;
        Some(Followed { database, root, target, follow })
    }

    async fn until(&mut self, enough: impl FnMut(&Target) -> bool) {
        self.target.follow_until(&mut *self.follow, &["id"], enough).await;
    }

    /// The log cannot be followed over what these say; a new snapshot can.
    async fn is_lost_by(&mut self, statements: &[&str], why: &str) {
        run(&mut self.root, statements).await;
        let error = error_of(&mut *self.follow).await;
        assert!(matches!(&error, SourceError::Lost(said) if said.contains(why)), "{error}");
        (self.target, self.follow) = anew(&self.database).await;
    }
}

async fn anew(database: &Database) -> (Target, Box<dyn Follow>) {
    let source = database.source(PASSWORD);
    let all = [wanted("items", &["id"])];
    let mut target = Target::default();
    target.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["id"]).await;
    let start = target.reached.clone().unwrap();
    let follow = source.follow(&all, &start, &target.marks).await.unwrap();
    (target, follow)
}

fn value<'t>(target: &'t Target, id: &str, column: &str) -> &'t str {
    target.rows.get(id).map_or("no row", |row| row[column].as_str())
}

/// What the log leaves out of an update is what it was; of a new row it is nothing.
pub(super) async fn rows_without_their_unchanged_blobs(brand: Brand, test: &str) {
    let options = ["--binlog-row-image=NOBLOB"];
    let Some(mut items) = Followed::start(brand, test, &options).await else { return };
    run(
        &mut items.root,
        &[
            "UPDATE items SET v = 'changed' WHERE id = 1",
            "UPDATE items SET body = 'changed' WHERE id = 2",
            "DELETE FROM items WHERE id = 3",
            "INSERT INTO items (id) VALUES (4)",
        ],
    )
    .await;
    items.until(|t| t.rows.contains_key("4")).await;
    let told = |id, column| value(&items.target, id, column);
    assert_eq!((told("1", "v"), told("1", "body")), ("changed", "long a"));
    assert_eq!((told("2", "v"), told("2", "body")), ("b", "changed"));
    assert_eq!((told("4", "body"), told("4", "n")), ("NULL", "7"));
    assert_eq!(told("3", "v"), "no row");
}

/// Sessions may write less than the server is set to. What is missing cannot be made up: a new row
/// would lack its defaults.
pub(super) async fn what_the_log_says_in_part_is_copied_anew(brand: Brand, test: &str) {
    let Some(mut items) = Followed::start(brand, test, &[]).await else { return };
    let set = "SET SESSION binlog_row_image = MINIMAL";
    let why = "binlog_row_image = FULL";
    items.is_lost_by(&[set, "INSERT INTO items (id) VALUES (4)"], why).await;
    items.is_lost_by(&["UPDATE items SET v = 'z' WHERE id = 1"], why).await;
    run(&mut items.root, &["SET SESSION binlog_row_image = FULL"]).await;
    let set = "SET SESSION binlog_format = STATEMENT";
    items.is_lost_by(&[set, "UPDATE items SET n = 9 WHERE id = 1"], "binlog_format = ROW").await;
    run(&mut items.root, &["SET SESSION binlog_format = ROW", "DELETE FROM items WHERE id = 2"])
        .await;
    items.until(|t| !t.rows.contains_key("2")).await;
    assert_eq!(value(&items.target, "4", "n"), "7");
    assert_eq!((value(&items.target, "1", "v"), value(&items.target, "1", "n")), ("z", "9"));
}

const PREPARE: [&str; 2] = ["XA END 'a', 'b'", "XA PREPARE 'a', 'b'"];

/// XA: rows count when they are prepared; what is then taken back is copied anew.
pub(super) async fn transactions_in_two_phases(brand: Brand, test: &str) {
    let Some(mut items) = Followed::start(brand, test, &[]).await else { return };
    let begin = "XA START 'a', 'b'";
    let insert = "INSERT INTO items (id) VALUES (4), (5)";
    run(&mut items.root, &[begin, insert, PREPARE[0], PREPARE[1], "XA COMMIT 'a', 'b'"]).await;
    let one_phase = "XA COMMIT 'a', 'b' ONE PHASE";
    run(&mut items.root, &[begin, "INSERT INTO items (id) VALUES (6)", PREPARE[0], one_phase])
        .await;
    items.until(|t| t.rows.contains_key("6")).await;
    assert_eq!(items.target.rows.len(), 6);

    let elsewhere = "INSERT INTO elsewhere.items VALUES (1)";
    let back = "XA ROLLBACK 'a', 'b'";
    run(&mut items.root, &[begin, elsewhere, PREPARE[0], PREPARE[1], back]).await;
    let insert = "INSERT INTO items (id) VALUES (7)";
    let taken_back = [begin, insert, PREPARE[0], PREPARE[1], back];
    items.is_lost_by(&taken_back, "rolled back").await;
    assert_eq!(items.target.rows.len(), 6, "and the other did not concern us");

    run(&mut items.root, &[begin, insert, PREPARE[0], PREPARE[1]]).await;
    (items.target, items.follow) = anew(&items.database).await;
    assert_eq!(items.target.rows.len(), 6, "no view has it yet");
    items.is_lost_by(&["XA COMMIT 'a', 'b'"], "prepared before").await;
    assert_eq!(items.target.rows.len(), 7);
}

/// `CREATE TABLE … SELECT` is one transaction of a statement and rows. Cut off amid the rows, the
/// others come when it is followed again.
pub(super) async fn a_table_made_of_a_query_comes_whole(brand: Brand, test: &str) {
    let Some(mut items) = Followed::start(brand, test, &[]).await else { return };
    let make = format!(
        "CREATE TABLE items (id INT PRIMARY KEY, v VARCHAR(100), body TEXT) \
         SELECT seq AS id, 'v' AS v, 'b' AS body FROM {}",
        numbers(1, 30_000)
    );
    run(&mut items.root, &["DROP TABLE items", &make]).await;
    loop {
        match items.follow.next().await.unwrap() {
            Event::Rows(piece) => {
                items.target.take(piece, &["id"]);
                break;
            }
            Event::Reached(position) => items.target.reached = Some(position),
            _ => {}
        }
    }
    assert!(items.target.rows.len() < 30_000, "cut off amid the rows");
    let all = [wanted("items", &["id"])];
    let source = items.database.source(PASSWORD);
    let from = items.target.reached.clone().unwrap();
    items.follow = source.follow(&all, &from, &items.target.marks).await.unwrap();
    items.until(|t| t.rows.len() == 30_000).await;
}

/// The whole transaction is one event, compressed.
pub(super) async fn compressed_transactions(brand: Brand, test: &str) {
    let options = ["--binlog-transaction-compression=ON"];
    let Some(mut items) = Followed::start(brand, test, &options).await else { return };
    let insert = format!(
        "INSERT INTO items SELECT seq, CONCAT('v', seq), REPEAT('long', 50), seq, '[]' FROM {}",
        numbers(10, 20_009)
    );
    run(
        &mut items.root,
        &[
            "UPDATE items SET v = 'changed' WHERE id = 1",
            "BEGIN",
            &insert,
            "DELETE FROM items WHERE id BETWEEN 3 AND 100",
            "COMMIT",
            "ALTER TABLE items ADD COLUMN k INT DEFAULT 5",
            "INSERT INTO items (id) VALUES (100000)",
        ],
    )
    .await;
    let events: Vec<mysql_async::Row> = items.root.query("SHOW BINLOG EVENTS").await.unwrap();
    let kinds: Vec<String> = events.iter().map(|event| event.get(2).unwrap()).collect();
    assert!(kinds.iter().any(|kind| kind == "Transaction_payload"), "{kinds:?}");
    items.until(|t| t.rows.contains_key("100000")).await;
    assert_eq!(items.target.rows.len(), 2 + 20_000 - 91 + 1);
    assert_eq!(value(&items.target, "1", "v"), "changed");
    assert_eq!(value(&items.target, "20009", "n"), "20009");
    assert_eq!(value(&items.target, "100000", "k"), "5");
    // The place behind a compressed transaction is one to go on from.
    items.until(|t| t.reached.is_some()).await;
    (items.follow, items.target.told) = {
        let source = items.database.source(PASSWORD);
        let from = items.target.reached.clone().unwrap();
        let all = [wanted("items", &["id"])];
        (source.follow(&all, &from, &items.target.marks).await.unwrap(), Vec::new())
    };
    run(&mut items.root, &["DELETE FROM items WHERE id >= 10"]).await;
    items.until(|t| t.rows.len() == 2).await;
}

/// A server that writes only what changed inside of JSON is named, and so is a session that does.
pub(super) async fn parts_of_json_are_refused(brand: Brand, test: &str) {
    let Some(mut items) = Followed::start(brand, test, &[]).await else { return };
    let fill = "UPDATE items SET doc = JSON_OBJECT('k', 1, 'long', REPEAT('x', 1000))";
    let change = "UPDATE items SET doc = JSON_SET(doc, '$.k', 2) WHERE id = 1";
    let set = "SET SESSION binlog_row_value_options = PARTIAL_JSON";
    items.is_lost_by(&[fill, set, change], "binlog_row_value_options").await;
    assert!(value(&items.target, "1", "doc").contains("\"k\": 2"));
    run(&mut items.root, &["SET GLOBAL binlog_row_value_options = PARTIAL_JSON"]).await;
    let source = items.database.source(PASSWORD);
    let error = source.snapshot(&[wanted("items", &["id"])], &[]).await.map(drop).unwrap_err();
    assert!(
        matches!(&error, SourceError::Refused(why) if why.contains("binlog_row_value_options = ''")),
        "{error}"
    );
}

/// GTIDs with tags, which came with 8.3.
#[expect(clippy::print_stdout, reason = "says what is skipped")]
pub(super) async fn tags_are_refused(brand: Brand, test: &str) {
    let Some(mut items) = Followed::start(brand, test, &[]).await else { return };
    if items.root.query_drop("SET SESSION gtid_next = 'AUTOMATIC:tag'").await.is_err() {
        println!("SKIPPED {test}: this server has no tags");
        return;
    }
    run(&mut items.root, &["INSERT INTO items (id) VALUES (4)"]).await;
    let error = error_of(&mut *items.follow).await;
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("tag")), "{error}");
    let source = items.database.source(PASSWORD);
    let all = [wanted("items", &["id"])];
    let error = source.snapshot(&all, &[]).await.map(drop).unwrap_err();
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("tag")), "{error}");
    let start = items.target.reached.clone().unwrap();
    let mut follow = source.follow(&all, &start, &Marks::default()).await.unwrap();
    let error = error_of(&mut *follow).await;
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("tag")), "{error}");
}
