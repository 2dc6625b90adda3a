//! A real MariaDB.

use super::*;
use crate::testing::{
    Server as Process, Target, free_port, noise, program, runtime, wait_for, wanted,
};
use crate::{Event, Marks};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

const PASSWORD: &str = "a quiet password";

struct Database {
    process: Process,
    port: u16,
    folder: TempDir,
    options: Vec<String>,
}

impl Database {
    /// A fresh server with a binary log, and a user who may read and follow.
    async fn start(test: &str, options: &[&str]) -> Option<Database> {
        let install = program("mariadb-install-db", test)?;
        program("mariadbd", test)?;
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new(install)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .arg(format!("--tmpdir={}", folder.path().display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--user=root"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let process = Database::run(&folder, port, &options);
        let database = Database { process, port, folder, options };
        let mut root = database.root().await;
        for statement in [
            "CREATE DATABASE shop CHARACTER SET utf8mb4".to_owned(),
            format!("CREATE USER copy@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"),
            "GRANT SELECT ON shop.* TO copy@'127.0.0.1'".to_owned(),
            "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO copy@'127.0.0.1'".to_owned(),
            "USE shop".to_owned(),
        ] {
            root.query_drop(statement).await.unwrap();
        }
        Some(database)
    }

    fn run(folder: &TempDir, port: u16, options: &Vec<String>) -> Process {
        let mut command = Command::new(program("mariadbd", "").unwrap());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let process = Process::start(
            command
                .arg("--no-defaults")
                .arg(format!("--datadir={}", path("data")))
                .arg(format!("--socket={}", path("socket")))
                .arg(format!("--pid-file={}", path("pid")))
                .arg(format!("--tmpdir={}", folder.path().display()))
                .arg(format!("--port={port}"))
                .args(["--bind-address=127.0.0.1", "--user=root", "--server-id=1"])
                .args(["--log-bin=log", "--binlog-format=ROW", "--skip-name-resolve"])
                .args(options),
        );
        wait_for(port);
        process
    }

    async fn root(&self) -> Conn {
        let options = || {
            OptsBuilder::default()
                .ip_or_hostname("127.0.0.1")
                .tcp_port(self.port)
                .user(Some("root"))
                .prefer_socket(false)
                .setup(vec!["SET NAMES utf8mb4", "SET time_zone = '+00:00'"])
        };
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            match Conn::new(Opts::from(options())).await {
                Ok(mut conn) => {
                    let _ = conn.query_drop("USE shop").await;
                    return conn;
                }
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn source(&self, password: &str) -> MysqlSource {
        let place = MysqlPlace {
            host: "127.0.0.1".into(),
            port: self.port,
            tls: false,
            database: "shop".into(),
            server_id: 4711,
        };
        let login =
            MysqlLogin { user: "copy".into(), password: Zeroizing::new(password.to_owned()) };
        MysqlSource::new(place, login, Trust::of_system().unwrap()).unwrap()
    }
}

const TYPES: &str = "CREATE TABLE types (
    id INT UNSIGNED PRIMARY KEY, tiny TINYINT UNSIGNED, small SMALLINT, medium MEDIUMINT UNSIGNED,
    big BIGINT UNSIGNED, money DECIMAL(12,2), whole DECIMAL(10,0), f FLOAT, d DOUBLE,
    bit1 BIT(1), bit9 BIT(9), day DATE, at DATETIME(3), stamp TIMESTAMP(6) NULL, stamp0 TIMESTAMP NULL,
    span TIME(3), y YEAR, c CHAR(5), v VARCHAR(300), latin VARCHAR(20) CHARACTER SET latin1,
    wide VARCHAR(20) CHARACTER SET utf16, body TEXT, raw VARBINARY(20), fixed BINARY(4), blobby BLOB,
    state ENUM('new','it''s','done'), flags SET('a','b','c'), doc JSON, v6 INET6, guid UUID, place POINT
) CHARACTER SET utf8mb4";

const VALUES: [&str; 4] = [
    "(1,255,-32768,16777215,18446744073709551615,12345.67,9999999999,0.1,2.5,b'1',b'100000001',\
     '2026-11-29','2026-11-29 10:11:12.345','2026-11-29 10:11:12.345678','2026-11-29 10:11:12',\
     '-01:02:03.5',2026,'ab','hé😀','café €','wide ü','long text','\\0\\1','ab',x'ff00',\
     'it''s','a,c','{\"a\": [1, null]}','2001:db8::1','123e4567-e89b-12d3-a456-426655440000',\
     POINT(13.4,52.5))",
    "(2,0,0,0,0,0,0,0,0,b'0',b'0','0000-00-00','1970-01-01','1970-01-01 00:00:01',NULL,\
     '00:00:00',1901,'','','','','','','','','new','','[]','::','00000000-0000-0000-0000-000000000001',\
     POINT(0,0))",
    "(3,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,\
     NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL)",
    "(4,7,7,7,7,-0.01,-7,1e10,-1e300,b'1',b'11','1000-01-01','9999-12-31 23:59:59.999',\
     '2038-01-19 03:14:07','2038-01-19 03:14:07','838:59:59',2155,'x  ','y ','z','w','t','r','abcd','b',\
     'done','b','\"s\"','::ffff:1.2.3.4','ffffffff-ffff-6fff-8fff-ffffffffffff',POINT(-1.5,2))",
];

/// Every type says the same in a snapshot as in the binary log; and it says what it should.
#[test]
fn every_type_reads_the_same_both_ways() {
    runtime().block_on(async {
        let test = "every_type_reads_the_same_both_ways";
        let Some(database) = Database::start(test, &["--sql-mode="]).await else { return };
        let mut root = database.root().await;
        root.query_drop(TYPES).await.unwrap();
        let source = database.source(PASSWORD);
        let all = [wanted("types", &["id"])];
        let empty = source.snapshot(&all, &[]).await.unwrap();
        let mut followed = Target::default();
        followed.read_all(&*empty, &["id"]).await;
        assert!(followed.rows.is_empty());
        let start = followed.reached.clone().unwrap();
        for values in VALUES {
            root.query_drop(format!("INSERT INTO types VALUES {values}")).await.unwrap();
        }
        let mut follow = source.follow(&all, &start, &followed.marks).await.unwrap();
        followed.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 4).await;
        let mut read = Target::default();
        read.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["id"]).await;
        for (id, row) in &read.rows {
            for (name, value) in row {
                assert_eq!(
                    followed.rows[id][name], *value,
                    "{name} of {id}: binary log and result"
                );
            }
        }
        let row = &read.rows["1"];
        let told = |names: &[&str]| names.iter().map(|name| row[*name].clone()).collect::<Vec<_>>();
        assert_eq!(
            told(&["tiny", "big", "money", "whole", "f", "bit1", "bit9", "y"]),
            ["255", "18446744073709551615", "12345.67", "9999999999", "0.1", "true", "257", "2026"]
        );
        assert_eq!(
            told(&["at", "stamp", "span", "v", "latin", "wide", "state", "flags", "doc"]),
            [
                "1795947072345",
                "1795947072345",
                "-01:02:03.5",
                "hé😀",
                "café €",
                "wide ü",
                "it's",
                "a,c",
                "{\"a\": [1, null]}"
            ]
        );
        assert_eq!(
            told(&["v6", "guid", "place", "fixed", "blobby"]),
            ["2001:db8::1", "123e4567-e89b-12d3-a456-426655440000", "52.5,13.4", "ab\0\0", "ff00"]
        );
        assert_eq!(read.rows["2"]["day"], "NULL", "the zero date is no date");
        let (layout, sample) =
            source.sample(&source.describe().await.unwrap()[0], 3).await.unwrap();
        assert_eq!((layout.columns.len(), sample.len()), (31, 4));
    });
}

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
#[test]
#[expect(clippy::print_stdout, reason = "says how fast it was")]
fn the_target_becomes_what_the_source_is() {
    runtime().block_on(async {
        let test = "the_target_becomes_what_the_source_is";
        let Some(mut database) = Database::start(test, &["--sync-binlog=1"]).await else { return };
        let mut root = database.root().await;
        root.query_drop("CREATE TABLE items (id INT PRIMARY KEY, v VARCHAR(100), big TEXT)")
            .await
            .unwrap();
        root.query_drop("CREATE TABLE other (id INT PRIMARY KEY)").await.unwrap();
        root.query_drop(
            "INSERT INTO items SELECT seq, CONCAT('v', seq), REPEAT('x', 50) FROM seq_1_to_250000",
        )
        .await
        .unwrap();
        root.query_drop("ANALYZE TABLE items").await.unwrap();
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
        println!("snapshot: {:.0} rows/s", 250_000.0 / begun.elapsed().as_secs_f64());
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
        database.process.kill();
        database.process = Database::run(&database.folder, database.port, &database.options);
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
        root.query_drop("TRUNCATE TABLE items").await.unwrap();
        root.query_drop("INSERT INTO items VALUES (1, 'again', NULL)").await.unwrap();
        target.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 1).await;
        assert_eq!(target.rows["1"]["v"], "again");

        // Rows a second through the binary log.
        root.query_drop("INSERT INTO items SELECT seq, 'n', 'x' FROM seq_10_to_100009")
            .await
            .unwrap();
        let begun = Instant::now();
        target.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 100_001).await;
        println!("followed: {:.0} changes/s", 100_000.0 / begun.elapsed().as_secs_f64());
    });
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

/// Columns that come and go, also while nobody follows; and a log that was purged.
#[test]
fn changes_of_the_schema_and_a_purged_log() {
    runtime().block_on(async {
        let test = "changes_of_the_schema_and_a_purged_log";
        let options = ["--binlog-row-image=MINIMAL", "--binlog-row-metadata=FULL"];
        let Some(database) = Database::start(test, &options).await else { return };
        let mut root = database.root().await;
        root.query_drop("CREATE TABLE items (id INT PRIMARY KEY, v VARCHAR(100), n INT UNSIGNED)")
            .await
            .unwrap();
        root.query_drop("INSERT INTO items VALUES (1, 'a', 4000000000), (2, 'b', 2)")
            .await
            .unwrap();
        let source = database.source(PASSWORD);
        let all = [wanted("items", &["id"])];
        let mut target = Target::default();
        target.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["id"]).await;
        let start = target.reached.clone().unwrap();
        let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
        for statement in [
            // Only what changed is in the log.
            "UPDATE items SET v = 'c' WHERE id = 1",
            "ALTER TABLE items ADD COLUMN imei VARCHAR(20) FIRST, ADD COLUMN k ENUM('x','y')",
            "INSERT INTO items VALUES ('35', 3, 'd', 3, 'y')",
            "ALTER TABLE items DROP COLUMN v",
            "UPDATE items SET imei = '36' WHERE id = 3",
        ] {
            root.query_drop(statement).await.unwrap();
        }
        target
            .follow_until(&mut *follow, &["id"], |t| {
                t.rows.get("3").and_then(|row| row.get("imei")).is_some_and(|imei| imei == "36")
            })
            .await;
        assert_eq!(
            target.rows["1"]["n"], "4000000000",
            "left out of the log, so it is what it was"
        );
        assert_eq!(target.rows["3"]["k"], "y");
        assert!(target.told.iter().any(|told| told == "column imei was added (varchar(20))"));
        assert!(target.told.iter().any(|told| told == "column v was dropped"), "{:?}", target.told);
        drop(follow);

        root.query_drop("FLUSH BINARY LOGS").await.unwrap();
        root.query_drop("INSERT INTO items VALUES (NULL, 4, 4, 'x')").await.unwrap();
        root.query_drop("FLUSH BINARY LOGS").await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let logs: Vec<(String, u64)> = root.query("SHOW BINARY LOGS").await.unwrap();
        let newest = &logs.last().unwrap().0;
        root.query_drop(format!("PURGE BINARY LOGS TO '{newest}'")).await.unwrap();
        let mut follow = source.follow(&all, &start, &Marks::default()).await.unwrap();
        let error = loop {
            match follow.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, SourceError::Lost(why) if why.contains("purged")), "{error}");
        // A new snapshot repairs it.
        let mut anew = Target::default();
        anew.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["id"]).await;
        let mut follow =
            source.follow(&all, &anew.reached.clone().unwrap(), &anew.marks).await.unwrap();
        root.query_drop("INSERT INTO items VALUES (NULL, 5, 5, 'x')").await.unwrap();
        anew.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 5).await;
    });
}

#[test]
fn what_a_person_can_do_wrong_is_said() {
    runtime().block_on(async {
        let test = "what_a_person_can_do_wrong_is_said";
        let options = ["--binlog-format=MIXED"];
        let Some(database) = Database::start(test, &options).await else { return };
        let mut root = database.root().await;
        root.query_drop("CREATE TABLE keyless (id INT)").await.unwrap();
        root.query_drop("CREATE TABLE t (id INT PRIMARY KEY, g VARCHAR(9) CHARACTER SET greek)")
            .await
            .unwrap();
        let source = database.source(PASSWORD);
        let refused = async |table: &str| {
            let error =
                source.snapshot(&[wanted(table, &["id"])], &[]).await.map(drop).unwrap_err();
            assert!(matches!(error, SourceError::Refused(_)), "{error}");
            error.to_string()
        };
        assert!(refused("t").await.contains("binlog_format = ROW"));
        root.query_drop("SET GLOBAL binlog_format = ROW").await.unwrap();
        assert!(refused("t").await.contains("column `g`"));
        root.query_drop("CREATE TABLE spans (id INT PRIMARY KEY, span TIME(2))").await.unwrap();
        assert!(refused("spans").await.contains("column `span`"));
        assert!(refused("keyless").await.contains("no primary key"));
        assert!(refused("gone").await.contains("no table `gone`"));
        root.query_drop("REVOKE REPLICATION SLAVE ON *.* FROM copy@'127.0.0.1'").await.unwrap();
        let mut all = [wanted("t", &["id"])];
        all[0].left_out.insert("g".to_owned());
        let snapshot = source.snapshot(&all, &[]).await.unwrap();
        let follow = source.follow(&all, &snapshot.start(), &Marks::default()).await;
        let error = match follow {
            Ok(mut follow) => follow.next().await.map(drop).unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(&error, SourceError::Refused(why) if why.contains("right")), "{error}");
        let stranger = database.source("hunter2");
        let error = stranger.describe().await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(why) if why.contains("password")), "{error}");
        assert!(!format!("{error} {stranger:?}").contains("hunter2"));
    });
}
