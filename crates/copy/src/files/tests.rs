//! A folder with files of every kind, and a bucket that speaks S3.

use super::*;
use crate::testing::{Server, Target, free_port, installed, noise, runtime, wait_for, wanted};
use crate::{Event, SourceError};
use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, ListArray, RecordBatch,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use model::SystemClock;
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

fn folder_source(folder: &Path) -> FilesSource {
    FilesSource::new(Place::Folder(folder.to_owned()), Vec::new(), None, Arc::new(SystemClock))
}

/// Writes a file that nobody has touched for a minute.
fn write_old(path: &Path, bytes: &[u8]) {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(path, bytes).unwrap();
    age(path);
}

fn age(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let before = SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms() as u64 - 60_000);
    file.set_modified(before).unwrap();
}

fn now_ms() -> i64 {
    SystemClock.now().0
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

/// `count` rows in row groups of `group`.
fn parquet(first: i32, count: i32, group: usize) -> Vec<u8> {
    let numbers: Vec<i32> = (first..first + count).collect();
    let names: Vec<Option<String>> =
        numbers.iter().map(|n| (n % 3 != 0).then(|| format!("name {n}"))).collect();
    let money =
        Decimal128Array::from_iter_values(numbers.iter().map(|n| i128::from(*n) * 100 + 25))
            .with_precision_and_scale(12, 2)
            .unwrap();
    let at =
        TimestampMicrosecondArray::from_iter_values(numbers.iter().map(|n| i64::from(*n) * 1_500));
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>(
        numbers.iter().map(|n| Some(vec![Some(*n), None])),
    );
    let huge = UInt64Array::from_iter_values(numbers.iter().map(|n| u64::MAX - *n as u64));
    let rate = Float64Array::from_iter(numbers.iter().map(|n| match n % 5 {
        0 => Some(f64::NAN),
        _ => Some(f64::from(*n) / 4.0),
    }));
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(Int32Array::from(numbers.clone())) as ArrayRef),
        ("name", Arc::new(StringArray::from(names))),
        ("money", Arc::new(money)),
        ("at", Arc::new(at)),
        ("tags", Arc::new(tags)),
        ("huge", Arc::new(huge)),
        ("rate", Arc::new(rate)),
        ("on", Arc::new(BooleanArray::from_iter(numbers.iter().map(|n| Some(n % 2 == 0))))),
    ])
    .unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn lines(first: u32, count: u32) -> String {
    (first..first + count).map(|n| format!("{{\"n\":{n},\"id\":\"d{n}\"}}\n")).collect()
}

/// Every kind of file in one folder; what is no row is named, and everything else is there.
#[test]
fn every_kind_of_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_old(&at("events/a.ndjson"), b"{\"n\":1}\nnot json\n\n{\"n\":2}\n[3]\n{\"n\":4}");
    write_old(&at("events/b.ndjson.gz"), &gzip(&lines(10, 3)));
    write_old(&at("events/c.jsonl.zst"), &zstd::encode_all(lines(20, 2).as_bytes(), 1).unwrap());
    write_old(&at("events/broken.ndjson.gz"), b"this is no gzip");
    write_old(&at("events/.hidden.ndjson"), b"{\"n\":99}\n");
    write_old(&at("events/readme.txt"), b"hello");
    let csv = "id,zip,rate,note\n1,01234,0.5,\"two\nlines\"\n2,99,x,\n3,1\nÿ,1,1,1\n4,5,6,7\n";
    let csv: Vec<u8> = csv.chars().map(|c| if c == 'ÿ' { 0xff } else { c as u8 }).collect();
    write_old(&at("people.csv"), &csv);
    write_old(&at("scale.parquet"), &parquet(1, 1_000, 300));
    runtime().block_on(async {
        let source = folder_source(folder.path());
        let tables = source.describe().await.unwrap();
        let told: Vec<_> = tables.iter().map(|t| (t.name.as_str(), t.documents)).collect();
        assert_eq!(told, [("events", true), ("people.csv", false), ("scale.parquet", false)]);
        let types: Vec<_> = tables[1].columns.iter().map(|c| (c.name.as_str(), c.ty)).collect();
        use crate::ColumnType::*;
        assert_eq!(types, [("id", Long), ("zip", Keyword), ("rate", Keyword), ("note", Keyword)]);
        let types: Vec<_> = tables[2].columns.iter().map(|c| c.ty).collect();
        assert_eq!(types, [Long, Keyword, Double, Date, Json, Long, Double, Bool]);
        let (_, sample) = source.sample(&tables[2], 50).await.unwrap();
        assert!((1..=50).contains(&sample.len()));

        let mut events = Target::default();
        let all = [wanted("events", &[])];
        let snapshot = source.snapshot(&all, &[]).await.unwrap();
        events.read_all(&*snapshot, &[]).await;
        assert_eq!(events.rows.len(), 3 + 3 + 2);
        let refused: Vec<String> =
            events.refused.iter().map(|r| format!("{}: {}", r.at, r.reason)).collect();
        assert_eq!(
            refused,
            [
                "events/a.ndjson:2: not a JSON object",
                "events/a.ndjson:5: not a JSON object",
                "events/broken.ndjson.gz: it is cut short or not packed as its name says",
            ]
        );

        let mut people = Target::default();
        let all = [wanted("people.csv", &["id"])];
        people.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["id"]).await;
        assert_eq!(people.rows.len(), 3);
        assert_eq!(people.rows["1"]["zip"], "01234");
        assert_eq!(people.rows["1"]["note"], "two\nlines");
        assert_eq!(people.rows["2"]["note"], "NULL");
        let refused: Vec<&str> = people.refused.iter().map(|r| r.at.as_str()).collect();
        assert_eq!(refused, ["people.csv:5", "people.csv:6"]);

        let mut scale = Target::default();
        let mut all = [wanted("scale.parquet", &["n"])];
        scale.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["n"]).await;
        assert_eq!(scale.rows.len(), 1_000);
        let row = &scale.rows["7"];
        let told: Vec<&str> = ["name", "money", "at", "tags", "huge", "rate", "on"]
            .map(|name| row[name].as_str())
            .into();
        assert_eq!(
            told,
            ["name 7", "7.25", "10", "[7,null]", "18446744073709551608", "1.75", "false"]
        );
        assert_eq!(scale.rows["15"]["rate"], "NULL", "NaN");
        all[0].left_out.insert("name".to_owned());
        let mut trimmed = Target::default();
        trimmed.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["n"]).await;
        assert!(!trimmed.rows["7"].contains_key("name"));
    });
}

/// A copy that is cut off at any place goes on exactly there: no row is lost or comes twice, also
/// where rows have no names.
#[test]
fn a_cut_copy_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows = 100_000;
    write_old(&at("events/a.ndjson"), lines(0, rows).as_bytes());
    write_old(&at("events/b.ndjson.gz"), gzip(&lines(rows, rows)).as_slice());
    let csv: String = (0..rows).map(|n| format!("{n},\"a\n{n}\"\n")).collect();
    write_old(&at("rows.csv.zst"), &zstd::encode_all(format!("n,t\n{csv}").as_bytes(), 1).unwrap());
    write_old(&at("cols.parquet"), &parquet(0, rows as i32, 30_000));
    let tables = [("events", 2 * rows), ("rows.csv.zst", rows), ("cols.parquet", rows)];
    runtime().block_on(async {
        let source = folder_source(folder.path());
        let mut seed = 7;
        for (table, expected) in tables {
            let all = [wanted(table, &[])];
            let mut target = Target::default();
            let (mut cuts, mut idles) = (0, 0);
            loop {
                let from = Position::new(&[]);
                let mut follow = source.follow(&all, &from, &target.marks).await.unwrap();
                let stop_after = target.pieces + 1 + (noise(&mut seed) % 3) as usize;
                let mut is_idle = false;
                while target.pieces < stop_after && !is_idle {
                    match follow.next().await.unwrap() {
                        Event::Rows(piece) => target.take(piece, &[]),
                        // On a busy machine also while a piece is read.
                        Event::Idle => {
                            idles += 1;
                            is_idle = target.given >= expected as usize || idles > 60;
                        }
                        _ => {}
                    }
                }
                if is_idle {
                    break;
                }
                cuts += 1;
            }
            assert!(cuts >= 5, "{table}: {cuts}");
            assert_eq!(target.given, expected as usize, "{table}");
            let mut seen: Vec<&str> = target
                .rows
                .values()
                .map(|row| row.get("n").or(row.get("_source")).unwrap().as_str())
                .collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), expected as usize, "{table}");
        }
    });
}

/// New files are found, lines that are added to a plain file too; half a line waits for its rest; a
/// file that changed otherwise is named.
#[test]
fn a_folder_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_old(&at("log/1.ndjson"), b"{\"n\":1}\n");
    write_old(&at("log/z.ndjson.gz"), &gzip("{\"n\":2}\n"));
    runtime().block_on(async {
        let source = folder_source(folder.path());
        let all = [wanted("log", &["n"])];
        let mut target = Target::default();
        target.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &[]).await;
        assert_eq!(target.rows.len(), 2);
        let start = target.reached.clone().unwrap();
        let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
        // Half a line: it is not taken until it ends.
        let mut open = File::options().append(true).open(at("log/1.ndjson")).unwrap();
        open.write_all(b"{\"n\":3}\n{\"n\"").unwrap();
        target.follow_until(&mut *follow, &[], |t| t.rows.len() == 3).await;
        open.write_all(b":4}\n").unwrap();
        target.follow_until(&mut *follow, &[], |t| t.rows.len() == 4).await;
        write_old(&at("log/deep/0.ndjson"), b"{\"n\":5}\n{\"n\":6}\n");
        target.follow_until(&mut *follow, &[], |t| t.rows.len() == 6).await;
        assert_eq!((target.given, target.refused.len()), (6, 0));
        write_old(&at("log/z.ndjson.gz"), &gzip("{\"n\":2}\n{\"n\":7}\n"));
        target.follow_until(&mut *follow, &[], |t| !t.refused.is_empty()).await;
        assert_eq!(target.refused[0].at, "log/z.ndjson.gz");
        assert!(target.refused[0].reason.contains("changed"), "{}", target.refused[0].reason);
        // Everything is read: nothing waits.
        loop {
            if matches!(follow.next().await.unwrap(), Event::Idle) {
                break;
            }
        }
        assert_eq!(follow.lag().waiting, Some(0));
    });
}

#[test]
fn columns_that_come_and_go_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_old(&at("t/1.csv"), b"id,a\n1,x\n");
    runtime().block_on(async {
        let source = folder_source(folder.path());
        let all = [wanted("t", &["id"])];
        let mut target = Target::default();
        let mut follow = source.follow(&all, &Position::new(&[]), &target.marks).await.unwrap();
        target.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 1).await;
        write_old(&at("t/2.csv"), b"id,b\n2,y\n");
        target.follow_until(&mut *follow, &["id"], |t| t.rows.len() == 2).await;
        assert_eq!(target.told, ["column b was added (text)", "column a was dropped"]);
    });
}

#[test]
fn what_a_person_can_do_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    write_old(&folder.path().join("t/1.csv"), b"id\n1\n");
    write_old(&folder.path().join("t/2.ndjson"), b"{}\n");
    runtime().block_on(async {
        let error = folder_source(folder.path()).describe().await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(why) if why.contains("folder of its own")));
        let gone = folder_source(&folder.path().join("nowhere")).describe().await.unwrap_err();
        assert!(matches!(&gone, SourceError::Refused(why) if why.contains("no folder")), "{gone}");
        let bucket = Place::Bucket {
            bucket: "b".into(),
            prefix: String::new(),
            region: None,
            endpoint: None,
        };
        let source = FilesSource::new(bucket, Vec::new(), None, Arc::new(SystemClock));
        let error = source.describe().await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(why) if why.contains("no key")), "{error}");
    });
    assert!(fits(b"events-*.ndjson", b"events-2026.ndjson"));
    assert!(!fits(b"events-*.ndjson", b"events-x/y.ndjson"));
    assert!(fits(b"a*b*c", b"a-b-b-c") && !fits(b"a*b", b"a-b-c"));
}

/// A bucket: `moto`, which speaks S3 and checks nothing of the signature, so this shows listing,
/// ranges and the position, not that Amazon takes our key.
#[test]
fn a_bucket_is_read_and_followed() {
    let Some(moto) = installed("CLERESTORY_MOTO", "a_bucket_is_read_and_followed") else { return };
    let port = free_port();
    let mut command = Command::new(moto);
    let _server = Server::start(command.args(["-H", "127.0.0.1", "-p", &port.to_string()]));
    wait_for(port);
    let endpoint = format!("http://127.0.0.1:{port}");
    let key = || BucketKey { id: "test".into(), secret: Zeroizing::new("secret".into()) };
    let made = ureq::put(format!("{endpoint}/lake")).send_empty().unwrap();
    assert_eq!(made.status(), 200);
    let place = Place::Bucket {
        bucket: "lake".into(),
        prefix: "raw/".into(),
        region: None,
        endpoint: Some(endpoint.clone()),
    };
    runtime().block_on(async {
        let store = stored::open_bucket("lake", None, Some(&endpoint), Some(&key())).unwrap();
        let put = async |name: &str, bytes: Vec<u8>| {
            store.put(&object_store::path::Path::from(name), bytes.into()).await.unwrap();
        };
        put("raw/events/1.ndjson.gz", gzip(&lines(0, 50_000))).await;
        put("raw/cols.parquet", parquet(0, 20_000, 4_000)).await;
        put("other/2.ndjson", lines(9, 1).into_bytes()).await;
        let source = FilesSource::new(place, Vec::new(), Some(key()), Arc::new(SystemClock));
        let tables = source.describe().await.unwrap();
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["cols.parquet", "events"]);
        let mut cols = Target::default();
        let all = [wanted("cols.parquet", &["n"])];
        cols.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &["n"]).await;
        assert_eq!((cols.rows.len(), cols.given), (20_000, 20_000));
        let mut events = Target::default();
        let all = [wanted("events", &["id"])];
        events.read_all(&*source.snapshot(&all, &[]).await.unwrap(), &[]).await;
        assert_eq!(events.rows.len(), 50_000);
        put("raw/events/0.ndjson.zst", zstd::encode_all(lines(50_000, 10).as_bytes(), 1).unwrap())
            .await;
        let start = Position::new(&[]);
        let mut follow = source.follow(&all, &start, &events.marks).await.unwrap();
        events.follow_until(&mut *follow, &[], |t| t.rows.len() == 50_010).await;
        assert_eq!(events.given, 50_010);
    });
}
