use super::*;
use model::{
    Class, Field, FieldId, FieldName, FieldType, Intake, Ruling, Schema, SortOrder, TableKind,
};
use std::path::PathBuf;
use std::sync::LazyLock;
use tempfile::TempDir;

static RING: LazyLock<KeyRing> = LazyLock::new(KeyRing::in_memory);

struct Place {
    _folder: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    Place { _folder: folder, path }
}

fn open(place: &Place) -> Result<Catalog, CatalogError> {
    Catalog::open(&place.path, &RING)
}

fn table(id: u32, name: &str) -> Table {
    let email = Field::new(FieldName::parse("user.email").unwrap(), FieldType::Keyword, "keyword");
    let mut text = Field::new(FieldName::parse("message").unwrap(), FieldType::Text, "text");
    text.keyword_up_to = Some(256);
    text.withheld = true;
    let time = Field::new(FieldName::parse("@timestamp").unwrap(), FieldType::Date, "date");
    let mut schema = Schema::from_fields(vec![email, text, time]);
    let classes = [(None, ""), (Some(Class::Open), ""), (Some(Class::Personal), "email")];
    for (at, (class, kind)) in (1_700_000_000_000..).zip(classes) {
        schema.rule(
            FieldId(0),
            Ruling {
                by: "grace".to_owned(),
                at: Timestamp(at),
                reason: "the name says e-mail".to_owned(),
                class,
                kind: kind.to_owned(),
                rules: 0,
            },
        );
    }
    Table {
        id: TableId(id),
        name: TableName::parse(name).unwrap(),
        kind: TableKind::Events,
        intake: Intake::Closed,
        time_field: Some("@timestamp".to_owned()),
        sort: Some(SortOrder { field: "@timestamp".to_owned(), descending: true }),
        retention_ms: Some(86_400_000),
        dynamic: true,
        schema,
    }
}

fn segment(id: u64, table: u32) -> SegmentRecord {
    SegmentRecord {
        id: SegmentId(id),
        table: TableId(table),
        rows: 1000,
        bytes: 76_000,
        min_seq: Seq(1),
        max_seq: Seq(u64::MAX),
        time_min: Some(-5),
        time_max: None,
        level: 2,
        has_given_ids: true,
        fields: 3,
        rules: 2,
        epoch: 3,
        shadow_of: (id == 11).then_some(SegmentId(10)),
        deletes: id.is_multiple_of(2).then(|| vec![1, 2, 3]),
    }
}

/// Two tables, two segments, a record.
fn filled() -> Place {
    let place = place();
    let catalog = open(&place).unwrap();
    catalog
        .commit(&Edit {
            put_tables: vec![table(1, "logs"), table(2, "users")],
            add_segments: vec![segment(10, 1), segment(11, 2)],
            flushed: vec![(TableId(1), Seq(77))],
            log_released: Some(5),
            ..Edit::default()
        })
        .unwrap();
    catalog.put("person", "ada", b"a hash").unwrap();
    place
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let place = filled();
    let catalog = open(&place).unwrap();
    assert_eq!(catalog.tables().unwrap(), [table(1, "logs"), table(2, "users")]);
    assert_eq!(catalog.segments().unwrap(), [segment(10, 1), segment(11, 2)]);
    assert_eq!(catalog.flushed().unwrap(), [(TableId(1), Seq(77))]);
    assert_eq!(catalog.log_released().unwrap(), Some(5));
    catalog
        .commit(&Edit {
            remove_segments: vec![SegmentId(10)],
            set_deletes: vec![(SegmentId(11), vec![9])],
            flushed: vec![(TableId(1), Seq(78)), (TableId(2), Seq(1))],
            ..Edit::default()
        })
        .unwrap();
    drop(catalog);
    let catalog = open(&place).unwrap();
    let expected = SegmentRecord { deletes: Some(vec![9]), ..segment(11, 2) };
    assert_eq!(catalog.segments().unwrap(), [expected]);
    assert_eq!(catalog.flushed().unwrap(), [(TableId(1), Seq(78)), (TableId(2), Seq(1))]);
    assert_eq!(catalog.log_released().unwrap(), Some(5));
}

#[test]
fn an_edit_happens_wholly_or_not_at_all() {
    let place = filled();
    let catalog = open(&place).unwrap();
    let valid = || Edit {
        put_tables: vec![table(3, "new")],
        add_segments: vec![segment(12, 3)],
        flushed: vec![(TableId(1), Seq(100))],
        log_released: Some(50),
        ..Edit::default()
    };
    let edits = [
        Edit { remove_segments: vec![SegmentId(99)], ..valid() },
        Edit { set_deletes: vec![(SegmentId(99), vec![1])], ..valid() },
        Edit { drop_tables: vec![(TableId(99), Timestamp(1))], ..valid() },
        Edit { restore_tables: vec![TableId(99)], ..valid() },
        Edit { purge_tables: vec![TableId(99)], ..valid() },
        Edit { add_segments: vec![segment(12, 3), segment(13, 99)], ..valid() },
        Edit { put_tables: vec![table(3, "new"), table(4, "logs")], ..valid() },
    ];
    for edit in edits {
        let error = catalog.commit(&edit).unwrap_err();
        assert!(
            matches!(
                error,
                CatalogError::UnknownTable(TableId(99))
                    | CatalogError::UnknownSegment(SegmentId(99))
                    | CatalogError::NameTaken { .. }
            ),
            "{error}"
        );
        assert_eq!(catalog.tables().unwrap().len(), 2);
        assert_eq!(catalog.segments().unwrap().len(), 2);
        assert_eq!(catalog.log_released().unwrap(), Some(5));
        assert_eq!(catalog.flushed().unwrap(), [(TableId(1), Seq(77))]);
    }
    catalog.commit(&valid()).unwrap();
    drop(catalog);
    let catalog = open(&place).unwrap();
    assert_eq!(catalog.tables().unwrap().len(), 3);
    assert_eq!(catalog.log_released().unwrap(), Some(50));
}

#[test]
fn dropped_tables_come_back_until_they_are_purged() {
    let place = filled();
    let catalog = open(&place).unwrap();
    let drop_logs = Edit { drop_tables: vec![(TableId(1), Timestamp(7))], ..Edit::default() };
    catalog.commit(&drop_logs).unwrap();
    assert_eq!(catalog.tables().unwrap(), [table(2, "users")]);
    assert_eq!(catalog.dropped_tables().unwrap(), [(table(1, "logs"), Timestamp(7))]);
    // Its name is free now, so it cannot come back while another has it.
    catalog.commit(&Edit { put_tables: vec![table(3, "logs")], ..Edit::default() }).unwrap();
    let restore = Edit { restore_tables: vec![TableId(1)], ..Edit::default() };
    assert!(matches!(catalog.commit(&restore), Err(CatalogError::NameTaken { .. })));
    catalog.commit(&Edit { put_tables: vec![table(3, "logs-2")], ..Edit::default() }).unwrap();
    catalog.commit(&restore).unwrap();
    assert_eq!(catalog.tables().unwrap().len(), 3);
    assert_eq!(catalog.segments().unwrap().len(), 2);

    catalog.commit(&drop_logs).unwrap();
    catalog.commit(&Edit { purge_tables: vec![TableId(1)], ..Edit::default() }).unwrap();
    drop(catalog);
    let catalog = open(&place).unwrap();
    assert_eq!(catalog.dropped_tables().unwrap(), []);
    assert_eq!(catalog.segments().unwrap(), [segment(11, 2)]);
    assert_eq!(catalog.flushed().unwrap(), []);
}

#[test]
fn ids_are_never_given_twice() {
    let place = place();
    let mut tables = Vec::new();
    let mut segments = Vec::new();
    for _ in 0..3 {
        let catalog = open(&place).unwrap();
        tables.extend([catalog.next_table_id().unwrap().0, catalog.next_table_id().unwrap().0]);
        segments.extend((0..100).map(|_| catalog.next_segment_id().unwrap().0));
    }
    assert_eq!(tables, [1, 2, 3, 4, 5, 6]);
    assert!(segments.is_sorted_by(|one, other| one < other), "{segments:?}");
    assert_eq!(segments[0], 1);
}

#[test]
fn records_are_kept_by_kind_and_id() {
    let place = place();
    let catalog = open(&place).unwrap();
    for (kind, id, value) in
        [("person", "bob", "1"), ("person", "ada", "2"), ("personal", "ada", "3"), ("", "", "")]
    {
        catalog.put(kind, id, value.as_bytes()).unwrap();
    }
    catalog.put("person", "bob", b"new").unwrap();
    catalog.delete("personal", "ada").unwrap();
    catalog.delete("person", "nobody").unwrap();
    assert!(catalog.put("person", &"x".repeat(70_000), b"").is_err());
    drop(catalog);
    let catalog = open(&place).unwrap();
    let people = [("ada".to_owned(), b"2".to_vec()), ("bob".to_owned(), b"new".to_vec())];
    assert_eq!(catalog.list("person").unwrap(), people);
    assert_eq!(catalog.list("personal").unwrap(), []);
    assert_eq!(catalog.list("").unwrap(), [(String::new(), Vec::new())]);
}

/// Changes the file as somebody with SQLite would, and says how opening ends.
fn after_edit(sql: &str) -> CatalogError {
    let place = filled();
    let connection = Connection::open(&place.path).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
    drop(connection);
    open(&place).expect_err(sql)
}

#[test]
fn whatever_is_edited_by_hand_is_found_and_named() {
    let named = [
        (
            "UPDATE sealed_row SET value = zeroblob(80) WHERE section = 2 AND key = x'00000001'",
            "the table row 1 ",
        ),
        (
            "UPDATE sealed_row SET value = substr(value, 1, length(value) - 1) WHERE section = 3",
            "the segment row 000000000000000a ",
        ),
        // Rows that stand in each other's place.
        (
            "UPDATE sealed_row SET value = (SELECT value FROM sealed_row WHERE section = 2 AND key = x'00000002') WHERE section = 2 AND key = x'00000001'",
            "the table row 1 ",
        ),
        ("UPDATE sealed_row SET key = x'00000009' WHERE section = 5", "the flushed row 9 "),
        ("UPDATE sealed_row SET section = 4 WHERE section = 5", "the deletes row 1 "),
        ("INSERT INTO sealed_row VALUES (6, x'00', x'00')", "the record row 00 "),
        ("UPDATE digest SET value = zeroblob(61)", "the digest row 1 "),
        ("DELETE FROM digest", "the digest row 1 "),
    ];
    for (sql, words) in named {
        let error = after_edit(sql);
        assert!(matches!(error, CatalogError::Damaged { .. }), "{sql}: {error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let error =
        after_edit("DELETE FROM sealed_row WHERE section = 3 AND key = x'000000000000000b'");
    assert!(matches!(error, CatalogError::RowsChanged { .. }), "{error}");
    let error = after_edit("DELETE FROM sealed_row WHERE section = 6");
    assert!(matches!(error, CatalogError::RowsChanged { .. }), "{error}");
}

#[test]
fn a_row_put_back_to_an_older_state_is_found() {
    let place = filled();
    let select = "SELECT value FROM sealed_row WHERE section = 6";
    let connection = Connection::open(&place.path).unwrap();
    let old: Vec<u8> = connection.query_row(select, [], |row| row.get(0)).unwrap();
    drop(connection);
    open(&place).unwrap().put("person", "ada", b"another hash").unwrap();
    assert!(open(&place).is_ok());
    let connection = Connection::open(&place.path).unwrap();
    connection.execute("UPDATE sealed_row SET value = ?1 WHERE section = 6", [old]).unwrap();
    drop(connection);
    assert!(matches!(open(&place), Err(CatalogError::RowsChanged { .. })));
}

/// A flipped byte anywhere either changes nothing that is read or stops the opening.
#[test]
fn flipped_bytes_never_change_what_is_read() {
    let source = filled();
    let whole = std::fs::read(&source.path).unwrap();
    let place = place();
    let mut refused = 0;
    for offset in (0..whole.len()).step_by(23) {
        let mut changed = whole.clone();
        changed[offset] ^= 0x41;
        std::fs::write(&place.path, &changed).unwrap();
        match open(&place) {
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains(place.path.to_str().unwrap()), "{error}");
            }
            Ok(catalog) => {
                assert_eq!(catalog.tables().unwrap(), [table(1, "logs"), table(2, "users")]);
                assert_eq!(catalog.segments().unwrap(), [segment(10, 1), segment(11, 2)]);
                assert_eq!(catalog.list("person").unwrap().len(), 1);
            }
        }
    }
    assert!(refused > 50, "{refused} of {} refused", whole.len() / 23);
}

#[test]
fn nothing_but_numbers_is_readable_in_the_file() {
    let place = filled();
    let bytes = std::fs::read(&place.path).unwrap();
    for secret in ["logs", "users", "email", "message", "ada", "person", "hash", "classifier"] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret}");
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&place.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_not_ours_is_refused() {
    let place = filled();
    let catalog = open(&place).unwrap();
    assert!(matches!(open(&place), Err(CatalogError::InUse { .. })), "one process at a time");
    drop(catalog);
    let other = Catalog::open(&place.path, &KeyRing::in_memory());
    assert!(matches!(other, Err(CatalogError::Damaged { .. })), "another key ring");
    let connection = Connection::open(&place.path).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    assert!(matches!(open(&place), Err(CatalogError::TooNew { version: 2, .. })));

    let foreign = self::place();
    let connection = Connection::open(&foreign.path).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(connection);
    assert!(matches!(open(&foreign), Err(CatalogError::NotCatalog { .. })));
    std::fs::write(&foreign.path, "a text that is longer than a page header".repeat(30)).unwrap();
    assert!(matches!(open(&foreign), Err(CatalogError::NotCatalog { .. })));
}
