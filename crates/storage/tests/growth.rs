//! Tables whose fields grow while rows come: documents, search, scores and sealed values are the
//! same in the buffer, in a segment, in a merge of old and new segments, and after a restart.

#![expect(clippy::unwrap_used, reason = "tests are free")]

mod house;

use house::{Document, House, Office, START, events_table, rows_of};
use model::{
    Batch, Class, Column, Field, FieldId, FieldName, FieldType, Op, Row, Strings, Table, Values,
};
use protection::keys::KeyRing;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::Filter;
use storage::disk::LossyDisk;

/// Values of one field of one row.
enum Cell<'a> {
    Text(&'a [&'a str]),
    Longs(&'a [i64]),
    Doubles(&'a [f64]),
}

/// Collects rows into a batch.
#[derive(Default)]
struct Maker {
    batch: Batch,
    columns: BTreeMap<u32, (Vec<u32>, Option<Values>)>,
}

impl Maker {
    fn row(mut self, id: &str, shape: Option<&str>, cells: &[(u32, Cell<'_>)]) -> Maker {
        let number = self.batch.rows.len() as u32;
        let shape = shape.map(|shape| {
            self.batch.shapes.push(shape.to_owned());
            self.batch.shapes.len() as u32 - 1
        });
        self.batch.rows.push(Row { id: Some(id.into()), op: Op::Put, shape });
        for (field, cell) in cells {
            let (rows, values) = self.columns.entry(*field).or_default();
            match cell {
                Cell::Text(texts) => {
                    let empty = || Values::Strings(Strings::default());
                    let Values::Strings(strings) = values.get_or_insert_with(empty) else {
                        panic!("mixed values")
                    };
                    for text in *texts {
                        let known = strings.iter_distinct().position(|known| known == *text);
                        let id =
                            known.map_or_else(|| strings.push_distinct(text), |known| known as u32);
                        strings.ids.push(id);
                        rows.push(number);
                    }
                }
                Cell::Longs(longs) => {
                    let empty = || Values::Longs(Vec::new());
                    let Values::Longs(all) = values.get_or_insert_with(empty) else {
                        panic!("mixed values")
                    };
                    all.extend_from_slice(longs);
                    rows.extend(longs.iter().map(|_| number));
                }
                Cell::Doubles(doubles) => {
                    let empty = || Values::Doubles(Vec::new());
                    let Values::Doubles(all) = values.get_or_insert_with(empty) else {
                        panic!("mixed values")
                    };
                    all.extend_from_slice(doubles);
                    rows.extend(doubles.iter().map(|_| number));
                }
            }
        }
        self
    }

    fn finish(mut self) -> Batch {
        let columns = self.columns.into_iter();
        self.batch.columns = columns
            .map(|(field, (rows, values))| Column {
                field: FieldId(field),
                rows,
                values: values.expect("a column has values"),
            })
            .collect();
        self.batch
    }
}

const AT: u32 = 0;
const KIND: u32 = 1;
const MESSAGE: u32 = 2;
const N: u32 = 3;
const NOTE: u32 = 5;
const TAGS: u32 = 6;
const WEIGHT: u32 = 7;
const BODY: u32 = 8;
const INNER: u32 = 9;

fn field(name: &str, ty: FieldType, es_type: &str, class: Class, exact: Option<u32>) -> Field {
    let mut field = Field::new(FieldName::parse(name).unwrap(), ty, es_type);
    field.class = Some(class);
    field.keyword_up_to = exact;
    field
}

fn grow(house: &House, table: &Table, fields: Vec<Field>) -> Arc<Table> {
    let mut table = table.clone();
    for field in fields {
        table.schema.push(field);
    }
    house.store.put_table(table).unwrap()
}

/// What every stage must give.
#[derive(Debug, PartialEq)]
struct Seen {
    documents: Vec<Document>,
    counts: Vec<u64>,
    hits: Vec<(String, String)>,
    sealed: BTreeMap<String, Vec<Box<[u8]>>>,
}

fn words(field: &str, terms: &[&str]) -> Filter {
    Filter::Words {
        field: field.into(),
        terms: terms.iter().map(|&term| term.to_owned()).collect(),
        at_least: 1,
    }
}

fn look(house: &House, table: &Arc<Table>) -> Seen {
    let snapshot = house.snapshot(table);
    let filters = [
        words("message", &["alpha"]),
        words("note", &["short", "quiet"]),
        words("body", &["deep"]),
        Filter::Exists("note".into()),
        Filter::Exists("weight".into()),
        Filter::Term("tags".into(), model::Value::Str("b".into())),
        Filter::Term("note.keyword".into(), model::Value::Str("short note".into())),
    ];
    let counts = filters.iter().map(|filter| house.count(table, filter)).collect();
    let mut hits = Vec::new();
    for filter in &filters[..3] {
        let mut of_filter: Vec<(String, String)> = snapshot
            .top_scored(filter, 100, 2)
            .unwrap()
            .into_iter()
            .map(|hit| {
                let id = snapshot.views()[hit.view as usize].ids(&[hit.row]).unwrap().remove(0);
                (id, format!("{:.4}", hit.score))
            })
            .collect();
        of_filter.sort();
        hits.extend(of_filter);
    }
    let mut sealed = BTreeMap::new();
    for view in snapshot.views() {
        let rows = rows_of(&view.select(&Filter::All).unwrap());
        let values = view.sealed("weight", &rows).unwrap();
        sealed.extend(view.ids(&rows).unwrap().into_iter().zip(values));
    }
    Seen { documents: house.documents(table), counts, hits, sealed }
}

/// Rows of before the table grew.
fn old_rows(round: i64) -> Batch {
    let at = START + 100 - round;
    Maker::default()
        .row(
            &format!("old-{round}"),
            None,
            &[
                (AT, Cell::Longs(&[at])),
                (KIND, Cell::Text(&["z", "a", "z"])),
                (MESSAGE, Cell::Text(&["alpha beta"])),
                (N, Cell::Longs(&[3, 1, 2])),
            ],
        )
        .row(
            &format!("shaped-{round}"),
            Some(r#"{"n":"s","@timestamp":"k","kind":["v"],"gone":null,"empty":{"list":[]}}"#),
            &[(AT, Cell::Longs(&[at])), (KIND, Cell::Text(&["q"])), (N, Cell::Longs(&[round]))],
        )
        .finish()
}

fn new_rows(round: i64) -> Batch {
    let long = "a deep text that is longer than the exact string may be ".repeat(3);
    Maker::default()
        .row(
            &format!("new-{round}"),
            None,
            &[
                (AT, Cell::Longs(&[START + round])),
                (MESSAGE, Cell::Text(&["alpha", "alpha gamma delta epsilon"])),
                (NOTE, Cell::Text(&["short note"])),
                (TAGS, Cell::Text(&["b", "a", "b", "c"])),
                (WEIGHT, Cell::Doubles(&[71.5])),
                (BODY, Cell::Text(&["first", &long, "deep third"])),
                (INNER, Cell::Longs(&[4])),
            ],
        )
        .row(
            &format!("list-{round}"),
            Some(r#"{"list":[{"inner":"v"},{"other":null},{"inner":"s"}],"note":["v","v"]}"#),
            &[
                (NOTE, Cell::Text(&["a quiet but much longer note than fits", "short note"])),
                (INNER, Cell::Longs(&[8, 9])),
                (WEIGHT, Cell::Doubles(&[60.25, 61.0])),
            ],
        )
        .row(&format!("bare-{round}"), None, &[(KIND, Cell::Text(&["bare"]))])
        .finish()
}

#[test]
fn old_and_new_rows_merge_and_stay_what_they_were() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let folder = house::folder();
    let disk = LossyDisk::new();
    let open = || House::open_for(&office, folder.path(), Arc::new(disk.clone()), false).unwrap();
    let house = open();
    let table = house.store.create_table(events_table()).unwrap();
    let append = |table: &Arc<Table>, batch: Batch| {
        house.store.append(table.id, house.seal(table, batch), &[]).unwrap();
    };
    let check = |house: &House, table: &Arc<Table>, before: &Seen, what: &str| {
        let now = look(house, table);
        for (now, before) in now.documents.iter().zip(&before.documents) {
            assert_eq!(now, before, "{what}");
        }
        assert_eq!(&now, before, "{what}");
    };

    for round in 0..4 {
        append(&table, old_rows(round));
        house.store.flush().unwrap();
    }
    // These wait in the buffer while the table grows.
    append(&table, old_rows(4));
    let with_note = grow(
        &house,
        &table,
        vec![
            field("note", FieldType::Text, "text", Class::Open, Some(20)),
            field("tags", FieldType::Keyword, "keyword", Class::Open, None),
            field("weight", FieldType::Double, "double", Class::Special, None),
        ],
    );
    let table = grow(
        &house,
        &with_note,
        vec![
            field("body", FieldType::Text, "text", Class::Open, Some(20)),
            field("list.inner", FieldType::Long, "long", Class::Open, None),
        ],
    );
    append(&table, new_rows(0));
    let in_buffer = look(&house, &table);
    let document = |id: &str| {
        let found = in_buffer.documents.iter().find(|(known, ..)| known == id).unwrap();
        serde_json::from_str::<serde_json::Value>(&found.2).unwrap()
    };
    assert_eq!(
        document("old-4"),
        serde_json::json!({
            "@timestamp": "2023-11-14T22:13:20.096Z",
            "kind": ["z", "a", "z"],
            "message": "alpha beta",
            "n": [3, 1, 2],
        })
    );
    assert_eq!(
        document("shaped-4"),
        serde_json::json!({
            "n": "4", "@timestamp": START + 96, "kind": ["q"], "gone": null, "empty": {"list": []},
        })
    );
    assert_eq!(document("new-0")["tags"], serde_json::json!(["b", "a", "b", "c"]));
    assert_eq!(document("new-0")["body"][0], "first");
    assert_eq!(document("new-0")["body"][2], "deep third");
    assert_eq!(document("new-0")["list"]["inner"], 4);
    assert_eq!(document("new-0").get("weight"), None, "sealed");
    assert_eq!(
        document("list-0"),
        serde_json::json!({
            "list": [{"inner": 8}, {"other": null}, {"inner": "9"}],
            "note": ["a quiet but much longer note than fits", "short note"],
        })
    );
    // message: old-0 … old-4 and new-0; the others have a note, a body, tags or a weight.
    assert_eq!(in_buffer.counts, [6, 2, 1, 2, 2, 1, 2]);
    assert_eq!(in_buffer.sealed.values().flatten().count(), 3);

    house.store.flush().unwrap();
    check(&house, &table, &in_buffer, "in a segment");
    for round in 1..4 {
        append(&table, new_rows(round));
        if round == 2 {
            append(&table, old_rows(5));
        }
        house.store.flush().unwrap();
    }
    let before = look(&house, &table);
    assert_eq!(house.store.stats(table.id).unwrap().segments, 8);
    house.store.compact().unwrap();
    assert_eq!(house.store.stats(table.id).unwrap().segments, 1);
    check(&house, &table, &before, "merged");
    drop(house);
    let house = open();
    let table = house.store.table("events").unwrap();
    check(&house, &table, &before, "after a restart");

    // Nine old rows and the merged segment under a table that grew once more.
    let table =
        grow(&house, &table, vec![field("late", FieldType::Text, "text", Class::Open, None)]);
    check(&house, &table, &before, "with a field that no row has");
    house.store.append(table.id, house.seal(&table, old_rows(0)), &[]).unwrap();
    let updated = look(&house, &table);
    assert_eq!(updated.documents.len(), before.documents.len());
    house.store.flush().unwrap();
    assert_eq!(look(&house, &table).documents, updated.documents, "updated, flushed");
}

#[test]
fn a_batch_that_does_not_fit_its_table_is_refused_before_the_log() {
    let office = Office::new(Arc::new(KeyRing::in_memory()));
    let folder = house::folder();
    let disk = LossyDisk::new();
    let house = House::open_for(&office, folder.path(), Arc::new(disk.clone()), false).unwrap();
    let narrow = house.store.create_table(events_table()).unwrap();
    let mut wide = (*narrow).clone();
    wide.schema.push(field("note", FieldType::Text, "text", Class::Open, None));
    let unknown = Maker::default().row("a", None, &[(NOTE, Cell::Text(&["x"]))]).finish();
    let sealed = house.seal(&wide, unknown);
    let error = house.store.append(narrow.id, sealed, &[]).unwrap_err();
    assert!(error.to_string().contains("does not fit"), "{error}");
    house.store.flush().unwrap();
    drop(house);
    let house = House::open_for(&office, folder.path(), Arc::new(disk), false).unwrap();
    assert!(house.documents(&narrow).is_empty());
}
