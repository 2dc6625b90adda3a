//! What people can do wrong.

use super::changes::error_of;
use super::database::{Brand, Database, PASSWORD, run};
use crate::testing::wanted;
use crate::{Marks, Source, SourceError};

pub(super) async fn what_a_person_can_do_wrong_is_said(brand: Brand, test: &str) {
    let options = ["--binlog-format=MIXED"];
    let Some(database) = Database::start(brand, test, &options).await else { return };
    let mut root = database.root().await;
    run(
        &mut root,
        &[
            "CREATE TABLE keyless (id INT)",
            "CREATE TABLE t (id INT PRIMARY KEY, g VARCHAR(9) CHARACTER SET greek)",
            "CREATE TABLE spans (id INT PRIMARY KEY, span TIME(2))",
        ],
    )
    .await;
    let source = database.source(PASSWORD);
    let refused = async |table: &str| {
        let error = source.snapshot(&[wanted(table, &["id"])], &[]).await.map(drop).unwrap_err();
        assert!(matches!(error, SourceError::Refused(_)), "{error}");
        error.to_string()
    };
    assert!(refused("t").await.contains("binlog_format = ROW"));
    run(&mut root, &["SET GLOBAL binlog_format = ROW", "SET GLOBAL binlog_row_image = MINIMAL"])
        .await;
    assert!(refused("t").await.contains("binlog_row_image = FULL"));
    run(&mut root, &["SET GLOBAL binlog_row_image = FULL"]).await;
    if brand == Brand::Mysql {
        run(&mut root, &["SET GLOBAL gtid_mode = ON_PERMISSIVE"]).await;
        assert!(refused("t").await.contains("gtid_mode = ON"));
        run(&mut root, &["SET GLOBAL gtid_mode = ON"]).await;
    }
    assert!(refused("t").await.contains("column `g`"));
    assert!(refused("spans").await.contains("column `span`"));
    assert!(refused("keyless").await.contains("no primary key"));
    assert!(refused("gone").await.contains("no table `gone`"));
    run(&mut root, &["REVOKE REPLICATION SLAVE ON *.* FROM copy@'127.0.0.1'"]).await;
    let mut all = [wanted("t", &["id"])];
    all[0].left_out.insert("g".to_owned());
    let snapshot = source.snapshot(&all, &[]).await.unwrap();
    let error = match source.follow(&all, &snapshot.start(), &Marks::default()).await {
        Ok(mut follow) => error_of(&mut *follow).await,
        Err(error) => error,
    };
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("right")), "{error}");
}

/// The server ends the connection of a replica whose number another one has. Its number for that
/// is the same as for a purged log, and a new snapshot would not help.
pub(super) async fn another_replica_with_our_number_is_named(brand: Brand, test: &str) {
    let Some(database) = Database::start(brand, test, &[]).await else { return };
    let mut root = database.root().await;
    run(&mut root, &["CREATE TABLE items (id INT PRIMARY KEY)"]).await;
    let source = database.source(PASSWORD);
    let all = [wanted("items", &["id"])];
    let start = source.snapshot(&all, &[]).await.unwrap().start();
    let mut ours = source.follow(&all, &start, &Marks::default()).await.unwrap();
    ours.next().await.unwrap();
    let mut other = source.follow(&all, &start, &Marks::default()).await.unwrap();
    other.next().await.unwrap();
    let error = error_of(&mut *ours).await;
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("server_id")), "{error}");
}
