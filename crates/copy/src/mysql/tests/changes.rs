//! Rows and tables that change while they are followed.

use super::database::{Brand, Database, PASSWORD, numbers, run};
use crate::testing::{Target, noise, wanted};
use crate::{Event, Follow, Marks, Source, SourceError};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Rows of the source as the target should have them.
async fn truth(root: &mut Conn) -> BTreeMap<String, String> {
    let rows: Vec<(u32, String)> = root.query("SELECT id, v FROM items").await.unwrap();
    rows.into_iter().map(|(id, v)| (id.to_string(), v)).collect()
}

fn copied(target: &Target) -> BTreeMap<String, String> {
    target.rows.iter().map(|(id, row)| (id.clone(), row["v"].clone())).collect()
}

/// A writer runs while all is read and followed; the copier is cut off thirty times, the server
/// killed once: at the end the target is what the source is.
#[expect(clippy::print_stdout, reason = "says how fast it was")]
pub(super) async fn the_target_becomes_what_the_source_is(brand: Brand, test: &str) {
    let options = ["--sync-binlog=1"];
    let Some(mut database) = Database::start(brand, test, &options).await else { return };
    let mut root = database.root().await;
    run(
        &mut root,
        &[
            "CREATE TABLE items (id INT PRIMARY KEY, v VARCHAR(100), big TEXT)",
            "CREATE TABLE other (id INT PRIMARY KEY)",
            &format!(
                "INSERT INTO items SELECT seq, CONCAT('v', seq), REPEAT('x', 50) FROM {}",
                numbers(1, 250_000)
            ),
            "ANALYZE TABLE items",
        ],
    )
    .await;
    let source = database.source(PASSWORD);
    let all = [wanted("items", &["id"])];
    let mut target = Target::default();
    let snapshot = source.snapshot(&all, &[]).await.unwrap();
    assert!(snapshot.ranges().len() > 1);
    target.reached = Some(snapshot.start());
    let mut seed = 11;
    write(&mut root, &mut seed, 300).await;
    let begun = Instant::now();
    target.read_all(&*snapshot, &["id"]).await;
    println!("{test}: snapshot: {:.0} rows/s", 250_000.0 / begun.elapsed().as_secs_f64());
    let mut skipped_ok = 0;
    for cut in 0..30 {
        write(&mut root, &mut seed, 40).await;
        let from = target.reached.clone().unwrap();
        let mut follow = source.follow(&all, &from, &target.marks).await.unwrap();
        let stop = target.pieces + 1 + (noise(&mut seed) % 3) as usize;
        let patience = Instant::now();
        while target.pieces < stop && patience.elapsed() < Duration::from_secs(1) {
            match follow.next().await.unwrap() {
                Event::Rows(piece) => target.take(piece, &["id"]),
                // As if killed before it was kept where it stood: the marks alone know.
                Event::Reached(_) if cut % 2 == 0 => skipped_ok += 1,
                Event::Reached(position) => target.reached = Some(position),
                _ => {}
            }
        }
    }
    assert!(skipped_ok > 0);
    database.restart();
    let mut root = database.root().await;
    write(&mut root, &mut seed, 100).await;
    let from = target.reached.clone().unwrap();
    let mut follow = source.follow(&all, &from, &target.marks).await.unwrap();
    let truth_now = truth(&mut root).await;
    target.follow_until(&mut *follow, &["id"], |t| copied(t) == truth_now).await;
    // Two rows in one statement, a key that moves, a table that is emptied.
    root.query_drop("UPDATE items SET id = id + 1000000 WHERE id <= 5").await.unwrap();
    let truth_now = truth(&mut root).await;
    target.follow_until(&mut *follow, &["id"], |t| copied(t) == truth_now).await;
    run(&mut root, &["TRUNCATE TABLE items", "INSERT INTO items VALUES (1, 'again', NULL)"]).await;
    target.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 1).await;
    assert_eq!(target.rows["1"]["v"], "again");

    // Rows a second through the binary log.
    let many = format!("INSERT INTO items SELECT seq, 'n', 'x' FROM {}", numbers(10, 100_009));
    root.query_drop(many).await.unwrap();
    let begun = Instant::now();
    target.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 100_001).await;
    println!("{test}: followed: {:.0} changes/s", 100_000.0 / begun.elapsed().as_secs_f64());
}

/// Inserts, updates and deletes, in transactions of one to a few rows.
async fn write(root: &mut Conn, seed: &mut u64, count: u32) {
    for _ in 0..count {
        root.query_drop("BEGIN").await.unwrap();
        for _ in 0..1 + noise(seed) % 3 {
            let id = noise(seed) % 250_000 + 1;
            let statement = match noise(seed) % 4 {
                0 => format!("DELETE FROM items WHERE id = {id}"),
                1 => format!("REPLACE INTO items VALUES ({id}, 'r{}', NULL)", noise(seed)),
                _ => format!("UPDATE items SET v = 'u{}' WHERE id = {id}", noise(seed)),
            };
            root.query_drop(statement).await.unwrap();
        }
        root.query_drop("INSERT IGNORE INTO other VALUES (1)").await.unwrap();
        root.query_drop("COMMIT").await.unwrap();
    }
}

/// Columns that come and go, also while nobody follows.
pub(super) async fn columns_come_and_go(brand: Brand, test: &str) {
    let options = ["--binlog-row-metadata=FULL"];
    let Some(database) = Database::start(brand, test, &options).await else { return };
    let mut root = database.root().await;
    run(
        &mut root,
        &[
            "CREATE TABLE items (id INT PRIMARY KEY, v VARCHAR(100), n INT UNSIGNED)",
            "INSERT INTO items VALUES (1, 'a', 4000000000), (2, 'b', 2)",
        ],
    )
    .await;
    let source = database.source(PASSWORD);
    let all = [wanted("items", &["id"])];
    let mut target = Target::default();
    target.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["id"]).await;
    let start = target.reached.clone().unwrap();
    let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
    run(
        &mut root,
        &[
            "UPDATE items SET v = 'c' WHERE id = 1",
            "ALTER TABLE items ADD COLUMN imei VARCHAR(20) FIRST, ADD COLUMN k ENUM('x','y')",
            "INSERT INTO items VALUES ('35', 3, 'd', 3, 'y')",
            "ALTER TABLE items DROP COLUMN v",
            "UPDATE items SET imei = '36' WHERE id = 3",
        ],
    )
    .await;
    let is_there =
        |t: &Target| t.rows.get("3").and_then(|row| row.get("imei")) == Some(&"36".into());
    target.follow_until(&mut *follow, &["id"], is_there).await;
    assert_eq!(target.rows["1"]["n"], "4000000000");
    assert_eq!(target.rows["3"]["k"], "y");
    assert!(target.told.iter().any(|told| told == "column imei was added (varchar(20))"));
    assert!(target.told.iter().any(|told| told == "column v was dropped"), "{:?}", target.told);
    drop(follow);
    // From the beginning once more: the columns of the source are now those of the end.
    let mut anew = Target::default();
    let mut follow = source.follow(&all, &start, &Marks::default()).await.unwrap();
    anew.follow_until(&mut *follow, &["id"], is_there).await;
    assert_eq!(anew.rows["1"]["n"], "4000000000");
    assert_eq!(anew.rows["3"]["k"], "y");
}

/// What ends the following.
pub(super) async fn error_of(follow: &mut dyn Follow) -> SourceError {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match follow.next().await {
            Ok(_) => assert!(Instant::now() < until, "no error after a minute"),
            Err(error) => break error,
        }
    }
}

/// A log that was purged, and one that was begun anew: a new snapshot repairs it.
pub(super) async fn a_purged_log_is_told_from_a_server_that_is_away(brand: Brand, test: &str) {
    let Some(mut database) = Database::start(brand, test, &[]).await else { return };
    let mut root = database.root().await;
    run(
        &mut root,
        &["CREATE TABLE items (id INT PRIMARY KEY)", "INSERT INTO items VALUES (1), (2), (3)"],
    )
    .await;
    let source = database.source(PASSWORD);
    let all = [wanted("items", &["id"])];
    let start = source.snapshot(&all, &[]).await.unwrap().start();
    database.restart();
    let mut root = database.root().await;
    run(&mut root, &["FLUSH BINARY LOGS", "INSERT INTO items VALUES (4)", "FLUSH BINARY LOGS"])
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let logs: Vec<mysql_async::Row> = root.query("SHOW BINARY LOGS").await.unwrap();
    let newest: String = logs.last().unwrap().get(0).unwrap();
    run(&mut root, &[&format!("PURGE BINARY LOGS TO '{newest}'")]).await;
    let mut follow = source.follow(&all, &start, &Marks::default()).await.unwrap();
    let error = error_of(&mut *follow).await;
    assert!(matches!(&error, SourceError::Lost(why) if why.contains("purged")), "{error}");
    let mut anew = Target::default();
    anew.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["id"]).await;
    let start = anew.reached.clone().unwrap();
    let mut follow = source.follow(&all, &start, &anew.marks).await.unwrap();
    run(&mut root, &["INSERT INTO items VALUES (5)"]).await;
    anew.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 5).await;

    database.process.kill();
    let error = error_of(&mut *follow).await;
    assert!(matches!(&error, SourceError::Unreachable(_)), "{error}");
    database.restart();
    if brand == Brand::Mysql {
        // All transactions are forgotten, and their numbers are given once more.
        let mut root = database.root().await;
        if root.query_drop("RESET BINARY LOGS AND GTIDS").await.is_err() {
            run(&mut root, &["RESET MASTER"]).await;
        }
        let start = anew.reached.clone().unwrap();
        let mut follow = source.follow(&all, &start, &anew.marks).await.unwrap();
        let error = error_of(&mut *follow).await;
        assert!(matches!(&error, SourceError::Lost(_)), "{error}");
    }
}

/// Where others write all the time and our tables rest, the place goes on all the same: else the
/// log behind it would be purged one day.
pub(super) async fn the_place_goes_on_while_others_write(brand: Brand, test: &str) {
    let Some(database) = Database::start(brand, test, &[]).await else { return };
    let mut root = database.root().await;
    run(
        &mut root,
        &[
            "CREATE TABLE items (id INT PRIMARY KEY)",
            "CREATE DATABASE elsewhere",
            "CREATE TABLE elsewhere.items (id INT PRIMARY KEY AUTO_INCREMENT)",
        ],
    )
    .await;
    let source = database.source(PASSWORD);
    let all = [wanted("items", &["id"])];
    let start = source.snapshot(&all, &[]).await.unwrap().start();
    let mut follow = source.follow(&all, &start, &Marks::default()).await.unwrap();
    let writer = tokio::spawn(async move {
        for _ in 0..100 {
            root.query_drop("INSERT INTO elsewhere.items VALUES ()").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    loop {
        match follow.next().await.unwrap() {
            Event::Reached(place) => {
                assert!(place > start);
                break;
            }
            Event::Rows(_) => panic!("rows of another database"),
            _ => assert!(!writer.is_finished(), "told only when nobody writes any more"),
        }
    }
    assert!(!writer.is_finished(), "told only when nobody writes any more");
    writer.abort();
}
