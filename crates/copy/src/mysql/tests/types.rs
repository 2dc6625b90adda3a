//! Values of every type.

use super::database::{Brand, Database, PASSWORD, run};
use crate::Source;
use crate::testing::{Target, wanted};

const TYPES: &str = "CREATE TABLE types (
    id INT UNSIGNED PRIMARY KEY, tiny TINYINT UNSIGNED, small SMALLINT, medium MEDIUMINT UNSIGNED,
    big BIGINT UNSIGNED, money DECIMAL(12,2), whole DECIMAL(10,0), f FLOAT, d DOUBLE,
    bit1 BIT(1), bit9 BIT(9), day DATE, at DATETIME(3), at6 DATETIME(6), stamp TIMESTAMP(6) NULL,
    stamp0 TIMESTAMP NULL, span TIME(3), y YEAR, c CHAR(5), v VARCHAR(300),
    latin VARCHAR(20) CHARACTER SET latin1, wide VARCHAR(20) CHARACTER SET utf16, body TEXT,
    raw VARBINARY(20), fixed BINARY(4), blobby BLOB, state ENUM('new','it''s','done'),
    flags SET('a','b','c'), doc JSON, place POINT, {own},
    kept INT AS (small + 1) STORED, computed VARCHAR(20) AS (CONCAT(c, '!')) VIRTUAL
) CHARACTER SET utf8mb4";

/// Columns that only one of them has; the JSON is of numbers, moments and bytes that are no text.
fn own(brand: Brand) -> (&'static str, [&'static str; 4]) {
    match brand {
        Brand::Maria => (
            "v6 INET6, guid UUID",
            [
                "'2001:db8::1','123e4567-e89b-12d3-a456-426655440000'",
                "'::','00000000-0000-0000-0000-000000000001'",
                "NULL,NULL",
                "'::ffff:1.2.3.4','ffffffff-ffff-6fff-8fff-ffffffffffff'",
            ],
        ),
        Brand::Mysql => (
            "made JSON, long_one JSON",
            [
                "JSON_OBJECT('price', 12.50, 'cents', 0.05, 'big', 18446744073709551615, 'yes', TRUE, \
                 'at', CAST('2026-11-29 10:11:12.5' AS DATETIME(6)), 'quote', 'a\"b\\\\c\\n', \
                 'day', CAST('2026-11-29' AS DATE), 'span', CAST('10:11:12' AS TIME), \
                 'raw', CAST('ab' AS BINARY), 'deep', JSON_ARRAY(JSON_OBJECT(), JSON_ARRAY()), \
                 'e', 1e300, 'two', 2.0e0, 'none', NULL, 'small', -7),
                 JSON_OBJECT('text', REPEAT('ü', 70000))",
                "'{}', '0'",
                "NULL,NULL",
                "'-0.5', JSON_ARRAY(REPEAT('x', 70000), 1)",
            ],
        ),
    }
}

const VALUES: [&str; 4] = [
    "1,255,-32768,16777215,18446744073709551615,12345.67,9999999999,0.1,2.5,b'1',b'100000001',\
     '2026-11-29','2026-11-29 10:11:12.345','2026-11-29 10:11:12.345678',\
     '2026-11-29 10:11:12.345678','2026-11-29 10:11:12',\
     '-01:02:03.5',2026,'ab','hé😀','café €','wide ü','long text','\\0\\1','ab',x'ff00',\
     'it''s','a,c','{\"a\": [1, null]}',POINT(13.4,52.5)",
    "2,0,0,0,0,0,0,0,0,b'0',b'0','0000-00-00','1970-01-01','1970-01-01','1970-01-01 00:00:01',NULL,\
     '00:00:00',1901,'','','','','','','','','new','','[]',POINT(0,0)",
    "3,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,\
     NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL",
    "4,7,7,7,7,-0.01,-7,1e10,-1e300,b'1',b'11','1000-01-01','9999-12-31 23:59:59.999',\
     '1000-01-01','2038-01-19 03:14:07','2038-01-19 03:14:07','838:59:59',2155,'x  ','y ','z','w','t',\
     'r','abcd','b','done','b','\"s\"',POINT(-1.5,2)",
];

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// Every type says the same in a snapshot as in the binary log; and it says what it should.
pub(super) async fn every_type_reads_the_same_both_ways(brand: Brand, test: &str) {
    let Some(database) = Database::start(brand, test, &["--sql-mode="]).await else { return };
    let mut root = database.root().await;
    let (columns, own) = own(brand);
    run(&mut root, &[&TYPES.replace("{own}", columns)]).await;
    let source = database.source(PASSWORD);
    let all = [wanted("types", &["id"])];
    let empty = source.snapshot(&all, &[]).await.unwrap();
    let mut followed = Target::default();
    followed.read_all(&*empty, &["id"]).await;
    assert!(followed.rows.is_empty());
    let start = followed.reached.clone().unwrap();
    for (values, own) in VALUES.iter().zip(own) {
        run(&mut root, &[&format!("INSERT INTO types VALUES ({values},{own},DEFAULT,DEFAULT)")])
            .await;
    }
    let mut follow = source.follow(&all, &start, &followed.marks).await.unwrap();
    followed.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 4).await;
    let mut read = Target::default();
    read.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["id"]).await;
    assert_eq!(read.rows.len(), 4);
    for (id, row) in &read.rows {
        for (name, value) in row {
            let logged = &followed.rows[id][name];
            match ["doc", "made", "long_one"].contains(&name.as_str()) && value != "NULL" {
                // The two may write a float in two ways.
                true => assert_eq!(json(logged), json(value), "{name} of {id}"),
                false => assert_eq!(logged, value, "{name} of {id}: binary log and result"),
            }
        }
    }
    let row = &read.rows["1"];
    let told = |names: &[&str]| names.iter().map(|name| row[*name].clone()).collect::<Vec<_>>();
    assert_eq!(
        told(&["tiny", "big", "money", "whole", "f", "bit1", "bit9", "y", "kept"]),
        [
            "255",
            "18446744073709551615",
            "12345.67",
            "9999999999",
            "0.1",
            "true",
            "257",
            "2026",
            "-32767"
        ]
    );
    assert_eq!(
        told(&["at", "at6", "stamp", "span", "v", "latin", "wide", "state", "flags", "doc"]),
        [
            "1795947072345",
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
        told(&["place", "fixed", "blobby", "computed"]),
        ["52.5,13.4", "ab\0\0", "ff00", "ab!"]
    );
    match brand {
        Brand::Maria => assert_eq!(
            told(&["v6", "guid"]),
            ["2001:db8::1", "123e4567-e89b-12d3-a456-426655440000"]
        ),
        Brand::Mysql => {
            let made = json(&row["made"]);
            for row in [row, &followed.rows["1"]] {
                assert!(row["made"].contains("\"price\": 12.50"), "{}", row["made"]);
            }
            assert_eq!(made["cents"], 0.05);
            assert_eq!(made["at"], "2026-11-29 10:11:12.500000");
            assert_eq!(made["day"], "2026-11-29");
            assert_eq!(made["quote"], "a\"b\\c\n");
            assert_eq!(made["deep"], serde_json::json!([{}, []]));
        }
    }
    assert_eq!(read.rows["2"]["day"], "NULL", "the zero date is no date");
    let described = source.describe().await.unwrap();
    let (layout, sample) = source.sample(&described[0], 3).await.unwrap();
    assert_eq!(layout.columns, described[0].columns);
    assert_eq!(sample.len(), 4);
}
