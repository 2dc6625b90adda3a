//! The leaf against the plainest way to compute the same.

use crate::testing::{Document, House, START_MS, lines, long, text};
use crate::{
    Ask, Group, GroupBy, Interval, Limits, Measure, MeasureOf, OutColumn, QueryError, Question,
    SortBy, SortKey,
};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt32Type, UInt64Type};
use chrono_tz::Tz;
use model::{Table, Value};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, LazyLock};
use storage::Filter;

static HOUSE: LazyLock<House> = LazyLock::new(House::new);

const KINDS: [&str; 4] = ["connect", "failed", "activation", "ping"];
const TAGS: [&str; 3] = ["red", "green", "blue"];

type Passes = fn(&Doc) -> bool;
type KeysOf = fn(&Doc) -> Vec<String>;
/// For each key of an order whether there is a value, and bytes that sort like it.
type Ranks = Vec<(u8, Vec<u8>)>;

/// A document as the oracle sees it.
#[derive(Clone, Debug)]
struct Doc {
    at: Option<i64>,
    kind: Option<usize>,
    tags: Vec<usize>,
    ms: Vec<i64>,
    load: Option<f64>,
    ok: Option<bool>,
}

impl Doc {
    fn document(&self) -> Document {
        let mut document = Document::new();
        document.extend(self.at.map(|at| ("at", long(at))));
        document.extend(self.kind.map(|kind| ("kind", text(KINDS[kind]))));
        let tags = self.tags.iter().map(|&tag| Value::Str(TAGS[tag].to_owned())).collect();
        document.push(("tags", tags));
        document.push(("ms", self.ms.iter().map(|&ms| Value::Long(ms)).collect()));
        document.extend(self.load.map(|load| ("load", vec![Value::Double(load)])));
        document.extend(self.ok.map(|ok| ("ok", vec![Value::Bool(ok)])));
        document
    }
}

fn doc() -> impl Strategy<Value = Doc> {
    let day = 86_400_000i64;
    (
        prop::option::weighted(0.95, START_MS - 40 * day..START_MS + 40 * day),
        prop::option::weighted(0.9, 0..KINDS.len()),
        prop::collection::vec(0..TAGS.len(), 0..4),
        prop::collection::vec(
            prop_oneof![9 => -50i64..50, 1 => any::<i64>().prop_map(|v| v / 1000)],
            0..3,
        ),
        prop::option::of((-1000i32..1000).prop_map(|v| f64::from(v) / 8.0)),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(at, kind, tags, ms, load, ok)| Doc { at, kind, tags, ms, load, ok })
}

/// Parts of a table that are written and flushed apart.
fn parts() -> impl Strategy<Value = (Vec<Vec<Doc>>, bool, bool)> {
    let parts = prop::collection::vec(prop::collection::vec(doc(), 1..60), 1..4);
    (parts, any::<bool>(), any::<bool>())
}

fn stored(parts: &[Vec<Doc>], sorted: bool, keep_buffer: bool) -> Arc<Table> {
    let table = HOUSE.table(sorted);
    for (place, part) in parts.iter().enumerate() {
        let documents: Vec<Document> = part.iter().map(Doc::document).collect();
        HOUSE.put(&table, &documents);
        if !keep_buffer || place + 1 < parts.len() {
            HOUSE.store.flush().unwrap();
        }
    }
    table
}

/// A filter with its meaning.
fn filters() -> Vec<(Filter, Passes)> {
    let term = |name: &str, value: &str| Filter::Term(name.into(), Value::Str(value.into()));
    vec![
        (Filter::All, |_| true),
        (Filter::Nothing, |_| false),
        (term("kind", "failed"), |doc| doc.kind == Some(1)),
        (term("tags", "red"), |doc| doc.tags.contains(&0)),
        (term("kind", "connect").negate(), |doc| doc.kind != Some(0)),
        (Filter::Exists("load".into()), |doc| doc.load.is_some()),
        (
            Filter::Range {
                field: "at".into(),
                from: Bound::Included(Value::Long(START_MS)),
                to: Bound::Unbounded,
            },
            |doc| doc.at.is_some_and(|at| at >= START_MS),
        ),
        (
            Filter::Terms("kind".into(), vec![Value::Str("ping".into()), Value::Str("no".into())]),
            |doc| doc.kind == Some(3),
        ),
    ]
}

/// A group key with its meaning: the keys of a document, as text.
fn groups() -> Vec<(GroupBy, KeysOf)> {
    let date = |interval, time_zone| GroupBy::Date {
        field: "at".into(),
        interval,
        time_zone,
        offset_ms: 0,
    };
    fn floor(value: i64, step: i64) -> i64 {
        value - value.rem_euclid(step)
    }
    fn berlin(at: i64) -> i64 {
        // In the spring of 2026 clocks went forward on 29 March at one o'clock UTC.
        let offset = if at >= 1_774_746_000_000 { 7_200_000 } else { 3_600_000 };
        let start = floor(at + offset, 86_400_000) - offset;
        if at >= 1_774_746_000_000 && start < 1_774_746_000_000 { start + 3_600_000 } else { start }
    }
    vec![
        (GroupBy::Terms("kind".into()), |doc| {
            doc.kind.iter().map(|&kind| KINDS[kind].to_owned()).collect()
        }),
        (GroupBy::Terms("tags".into()), |doc| {
            doc.tags.iter().map(|&tag| TAGS[tag].to_owned()).collect()
        }),
        (GroupBy::Terms("ok".into()), |doc| doc.ok.iter().map(bool::to_string).collect()),
        (GroupBy::Terms("ms".into()), |doc| doc.ms.iter().map(i64::to_string).collect()),
        (GroupBy::Terms("load".into()), |doc| doc.load.iter().map(|v| format!("{v:?}")).collect()),
        (date(Interval::Hour, Tz::UTC), |doc| {
            doc.at.iter().map(|&at| floor(at, 3_600_000).to_string()).collect()
        }),
        (date(Interval::Day, Tz::Europe__Berlin), |doc| {
            doc.at.iter().map(|&at| berlin(at).to_string()).collect()
        }),
        (date(Interval::Fixed(1), Tz::UTC), |doc| doc.at.iter().map(i64::to_string).collect()),
        (GroupBy::Number { field: "load".into(), interval: 2.5, offset: 0.5 }, |doc| {
            let step = |load: &f64| ((load - 0.5) / 2.5).floor() * 2.5 + 0.5;
            doc.load.iter().map(|load| format!("{:?}", step(load))).collect()
        }),
        (
            GroupBy::Ranges {
                field: "load".into(),
                ranges: vec![(None, Some(0.0)), (Some(-10.0), Some(10.0)), (Some(500.0), None)],
            },
            |doc| {
                let Some(load) = doc.load else { return Vec::new() };
                let inside = [load < 0.0, (-10.0..10.0).contains(&load), load >= 500.0];
                (0..3).filter(|&at: &usize| inside[at]).map(|at| at.to_string()).collect()
            },
        ),
        (
            GroupBy::Filters(vec![
                Filter::Term("kind".into(), Value::Str("failed".into())),
                Filter::Term("tags".into(), Value::Str("red".into())),
            ]),
            |doc| {
                let inside = [doc.kind == Some(1), doc.tags.contains(&0)];
                (0..2).filter(|&at: &usize| inside[at]).map(|at| at.to_string()).collect()
            },
        ),
    ]
}

fn measures() -> Vec<Measure> {
    let mut all = vec![Measure::Rows];
    for name in ["ms", "load", "ok"] {
        all.push(Measure::Values(name.into()));
        all.push(Measure::Sum(name.into()));
        all.push(Measure::Mean(name.into()));
        all.push(Measure::Min(name.into()));
        all.push(Measure::Max(name.into()));
        all.push(Measure::SumOfSquares(name.into()));
        all.push(Measure::Distinct(name.into()));
        all.push(Measure::Quantiles(name.into(), vec![0.0, 0.3, 1.0]));
    }
    for name in ["kind", "tags"] {
        all.push(Measure::Values(name.into()));
        all.push(Measure::Min(name.into()));
        all.push(Measure::Max(name.into()));
        all.push(Measure::Distinct(name.into()));
        all.push(Measure::DistinctApprox(name.into()));
    }
    all
}

/// The numbers of a field of a document.
fn numbers(doc: &Doc, name: &str) -> Vec<f64> {
    match name {
        "ms" => doc.ms.iter().map(|&ms| ms as f64).collect(),
        "load" => doc.load.into_iter().collect(),
        "ok" => doc.ok.iter().map(|&ok| f64::from(u8::from(ok))).collect(),
        _ => Vec::new(),
    }
}

fn words(doc: &Doc, name: &str) -> Vec<&'static str> {
    match name {
        "kind" => doc.kind.iter().map(|&kind| KINDS[kind]).collect(),
        "tags" => {
            // Equal keywords of a document are one value.
            let tags: BTreeSet<&str> = doc.tags.iter().map(|&tag| TAGS[tag]).collect();
            tags.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn expected(measure: &Measure, docs: &[&Doc]) -> String {
    let of = |name: &String| docs.iter().flat_map(|doc| numbers(doc, name)).collect::<Vec<f64>>();
    let words_of =
        |name: &String| docs.iter().flat_map(|doc| words(doc, name)).collect::<Vec<&str>>();
    let number = |number: Option<f64>| number.map_or("-".to_owned(), |n| format!("{n:.3e}"));
    let some = |values: Vec<f64>, sum: f64| (!values.is_empty()).then_some(sum);
    match measure {
        Measure::Rows => number(Some(docs.len() as f64)),
        Measure::Values(name) => number(Some((of(name).len() + words_of(name).len()) as f64)),
        Measure::Sum(name) => number(some(of(name), of(name).iter().sum())),
        Measure::Mean(name) => {
            let values = of(name);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            number(some(values, mean))
        }
        Measure::SumOfSquares(name) => {
            number(some(of(name), of(name).iter().map(|value| value * value).sum()))
        }
        Measure::Min(name) if matches!(name.as_str(), "kind" | "tags") => {
            words_of(name).into_iter().min().unwrap_or("-").to_owned()
        }
        Measure::Max(name) if matches!(name.as_str(), "kind" | "tags") => {
            words_of(name).into_iter().max().unwrap_or("-").to_owned()
        }
        Measure::Min(name) => number(of(name).into_iter().reduce(f64::min)),
        Measure::Max(name) => number(of(name).into_iter().reduce(f64::max)),
        Measure::Distinct(name) | Measure::DistinctApprox(name) => {
            let numbers: BTreeSet<u64> =
                of(name).iter().map(|value| (value + 0.0).to_bits()).collect();
            let words: BTreeSet<&str> = words_of(name).into_iter().collect();
            number(Some((numbers.len() + words.len()) as f64))
        }
        Measure::Quantiles(name, ranks) => {
            let mut values = of(name);
            values.sort_by(f64::total_cmp);
            if values.is_empty() {
                return "-".to_owned();
            }
            let at = |rank: &f64| {
                let place = rank * (values.len() - 1) as f64;
                let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
                format!("{:.3e}", low + (high - low) * place.fract())
            };
            ranks.iter().map(at).collect::<Vec<_>>().join(" ")
        }
    }
}

fn actual(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "-".to_owned();
    }
    match column.data_type() {
        DataType::UInt64 => {
            format!("{:.3e}", column.as_primitive::<UInt64Type>().value(row) as f64)
        }
        DataType::Int64 => format!("{:.3e}", column.as_primitive::<Int64Type>().value(row) as f64),
        DataType::Float64 => format!("{:.3e}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            let values = list.as_primitive::<Float64Type>().values().to_vec();
            values.iter().map(|v| format!("{v:.3e}")).collect::<Vec<_>>().join(" ")
        }
        other => panic!("a measure of type {other}"),
    }
}

fn key(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "-".to_owned();
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).to_string(),
        other => panic!("a key of type {other}"),
    }
}

fn folded(batch: &RecordBatch, groups: usize) -> BTreeMap<Vec<String>, Vec<String>> {
    let row = |row: usize| {
        let keys = (0..groups).map(|at| key(batch.column(at), row)).collect();
        let cells = (groups..batch.num_columns()).map(|at| actual(batch.column(at), row)).collect();
        (keys, cells)
    };
    let found: BTreeMap<_, _> = (0..batch.num_rows()).map(row).collect();
    assert_eq!(found.len(), batch.num_rows(), "no group comes twice");
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn folds_agree_with_an_oracle(
        (parts, sorted, keep_buffer) in parts(),
        filter in 0usize..8,
        chosen in prop::collection::vec((0usize..11, any::<bool>()), 0..4),
        masked in prop::option::of(2usize..8),
    ) {
        let table = stored(&parts, sorted, keep_buffer);
        let (filter, passes) = filters().swap_remove(filter);
        let mask = masked.map(|at| filters().swap_remove(at));
        let keys: Vec<_> = chosen.iter().map(|&(at, keep)| (groups().swap_remove(at), keep)).collect();
        let question = Question {
            filter,
            ask: Ask::Fold {
                groups: keys
                    .iter()
                    .map(|((by, _), keep)| Group { by: by.clone(), keep_missing: *keep })
                    .collect(),
                measures: measures()
                    .into_iter()
                    .map(|measure| MeasureOf { measure, filter: mask.as_ref().map(|m| m.0.clone()) })
                    .collect(),
            },
        };
        let batch = HOUSE.ask(&table, &question).unwrap();
        let mut oracle: BTreeMap<Vec<String>, Vec<&Doc>> = BTreeMap::new();
        if keys.is_empty() {
            oracle.insert(Vec::new(), Vec::new());
        }
        for doc in parts.iter().flatten().filter(|doc| passes(doc)) {
            let mut combined: BTreeSet<Vec<String>> = BTreeSet::from([Vec::new()]);
            for ((_, keys_of), keep) in &keys {
                let mut own = keys_of(doc);
                if own.is_empty() && *keep {
                    own.push("-".to_owned());
                }
                combined = combined
                    .iter()
                    .flat_map(|before| {
                        own.iter().map(|key| [before.clone(), vec![key.clone()]].concat())
                    })
                    .collect();
            }
            for key in combined {
                oracle.entry(key).or_default().push(doc);
            }
        }
        let oracle: BTreeMap<Vec<String>, Vec<String>> = oracle
            .into_iter()
            .map(|(key, docs)| {
                let docs: Vec<&Doc> =
                    docs.into_iter().filter(|doc| mask.as_ref().is_none_or(|m| m.1(doc))).collect();
                (key, measures().iter().map(|measure| expected(measure, &docs)).collect())
            })
            .collect();
        prop_assert_eq!(folded(&batch, keys.len()), oracle);
    }

    #[test]
    fn the_first_rows_agree_with_a_sort(
        (parts, sorted, keep_buffer) in parts(),
        filter in 0usize..8,
        orders in prop::collection::vec((0usize..5, any::<bool>(), any::<bool>()), 1..3),
        limit in 0usize..40,
    ) {
        let table = stored(&parts, sorted, keep_buffer);
        let (filter, passes) = filters().swap_remove(filter);
        let names = ["at", "kind", "ms", "load", "ok"];
        let keys: Vec<SortKey> = orders
            .iter()
            .map(|&(at, descending, missing_first)| SortKey {
                by: SortBy::Field(names[at].to_owned()),
                descending,
                missing_first,
            })
            .collect();
        let ask = |limit, after| Question {
            filter: filter.clone(),
            ask: Ask::Top { keys: keys.clone(), limit, after, columns: vec![OutColumn::Seq] },
        };
        let all: Vec<&Doc> = parts.iter().flatten().collect();
        let rank = |doc: &Doc| -> Ranks {
            keys.iter().map(|key| rank(doc, key)).collect()
        };
        let mut order: Vec<(usize, Ranks)> = (0..all.len())
            .filter(|&at| passes(all[at]))
            .map(|at| (at, rank(all[at])))
            .collect();
        order.sort_by(|left, right| left.1.cmp(&right.1).then(left.0.cmp(&right.0)));
        let batch = HOUSE.ask(&table, &ask(limit, None)).unwrap();
        let seqs = seqs(&table);
        let places = |batch: &RecordBatch| -> Vec<usize> {
            let found = batch.column(0).as_primitive::<UInt64Type>().values().iter();
            found.map(|seq| seqs.binary_search(seq).unwrap()).collect()
        };
        let found = places(&batch);
        let wanted: Vec<usize> = order.iter().take(limit).map(|(at, _)| *at).collect();
        prop_assert_eq!(found, wanted);

        // The next page begins behind the last place of this one.
        if let Some(last) = batch.num_rows().checked_sub(1) {
            let place = (0..keys.len()).map(|at| value(batch.column(1 + at), last)).collect();
            let next = HOUSE.ask(&table, &ask(limit, Some(place))).unwrap();
            let behind = &order[last].1;
            let found = places(&next);
            let wanted: Vec<usize> = order.iter().filter(|(_, rank)| rank > behind)
                .take(limit).map(|(at, _)| *at).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}

/// The numbers of all rows, ascending: other tests write to other tables of the same store.
fn seqs(table: &Arc<Table>) -> Vec<u64> {
    let ask = Ask::Rows { columns: vec![OutColumn::Seq], limit: None };
    let batch = HOUSE.ask(table, &Question { filter: Filter::All, ask }).unwrap();
    let mut seqs = batch.column(0).as_primitive::<UInt64Type>().values().to_vec();
    seqs.sort_unstable();
    seqs
}

/// Bytes that sort as the order wants.
fn rank(doc: &Doc, key: &SortKey) -> (u8, Vec<u8>) {
    let SortBy::Field(name) = &key.by else { panic!("orders are by fields") };
    let long = |value: i64| ((value as u64) ^ (1 << 63)).to_be_bytes().to_vec();
    let ends = |values: Vec<Vec<u8>>| {
        if key.descending { values.into_iter().max() } else { values.into_iter().min() }
    };
    let value = match name.as_str() {
        "at" => doc.at.map(long),
        "kind" => doc.kind.map(|kind| {
            let mut bytes = KINDS[kind].as_bytes().to_vec();
            bytes.resize(16, 0);
            bytes
        }),
        "ms" => ends(doc.ms.iter().map(|&ms| long(ms)).collect()),
        "load" => doc.load.map(|load| long((load * 8.0) as i64)),
        _ => doc.ok.map(|ok| vec![u8::from(ok)]),
    };
    match value {
        None => (if key.missing_first { 0 } else { 2 }, Vec::new()),
        Some(bytes) if key.descending => (1, bytes.iter().map(|byte| !byte).collect()),
        Some(bytes) => (1, bytes),
    }
}

fn value(column: &dyn Array, row: usize) -> Option<Value> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Int64 => Value::Long(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        _ => Value::Str(column.as_string::<i32>().value(row).to_owned()),
    })
}

fn small() -> Arc<Table> {
    let table = HOUSE.table(true);
    let email = |name: &str| ("user.email", text(&format!("{name}@example.org")));
    HOUSE.put(
        &table,
        &[
            vec![("at", long(START_MS)), ("kind", text("connect")), email("ada")],
            vec![("at", long(START_MS + 1)), ("pulse", long(77)), email("bob")],
            vec![("message", text("the door is open")), email("ada")],
        ],
    );
    table
}

fn fold(groups: Vec<GroupBy>, measures: Vec<Measure>) -> Ask {
    Ask::Fold {
        groups: groups.into_iter().map(|by| Group { by, keep_missing: false }).collect(),
        measures: measures.into_iter().map(|measure| MeasureOf { measure, filter: None }).collect(),
    }
}

#[test]
fn persons_are_counted_by_their_pseudonyms() {
    let table = small();
    let ask = fold(vec![], vec![Measure::Distinct("user.email".into()), Measure::Rows]);
    let batch = HOUSE.ask(&table, &Question { filter: Filter::All, ask }).unwrap();
    assert_eq!(lines(&batch), ["2 | 3"]);
}

#[test]
fn special_values_are_counted_and_nothing_else() {
    use protection::grant::Action;
    let table = small();
    let tables = std::slice::from_ref(&table);
    let run = |question: &Question| {
        let scope = HOUSE.scope_for(Action::Aggregate, tables, Vec::new());
        crate::run(&scope, question, &Limits::standard())
    };
    // Counted in groups of people: see `disclosure::tests`; here is one person.
    let count = fold(vec![], vec![Measure::Values("pulse".into())]);
    let exists = Question { filter: Filter::Exists("pulse".into()), ask: Ask::Count };
    for question in [Question { filter: Filter::All, ask: count }, exists] {
        let refused = run(&question);
        assert!(matches!(refused, Err(QueryError::TooFewSubjects { least: 20 })));
    }
    for ask in [
        fold(vec![], vec![Measure::Mean("pulse".into())]),
        fold(vec![GroupBy::Terms("pulse".into())], vec![Measure::Rows]),
        Ask::Rows { columns: vec![OutColumn::Field("pulse".into())], limit: None },
    ] {
        let refused = run(&Question { filter: Filter::All, ask });
        assert!(matches!(refused, Err(QueryError::NotPermitted { .. })));
    }
    let filter = Filter::Term("pulse".into(), Value::Long(77));
    let refused = run(&Question { filter, ask: Ask::Count });
    assert!(matches!(refused, Err(QueryError::NotPermitted { .. })));
}

#[test]
fn texts_are_read_and_not_grouped() {
    let table = small();
    let columns = vec![OutColumn::Field("message".into()), OutColumn::Table, OutColumn::Id];
    let ask = Ask::Rows { columns: columns.clone(), limit: None };
    let filter = Filter::Exists("message".into());
    let batch = HOUSE.ask(&table, &Question { filter, ask }).unwrap();
    assert!(lines(&batch)[0].starts_with(&format!("the door is open | {} | _seq-", table.name)));
    let ask = fold(vec![GroupBy::Terms("message".into())], vec![Measure::Rows]);
    let error = HOUSE.ask(&table, &Question { filter: Filter::All, ask }).unwrap_err();
    assert!(error.to_string().contains("message.keyword"), "{error}");
    let ask = fold(vec![GroupBy::Terms("message.keyword".into())], vec![Measure::Rows]);
    let batch = HOUSE.ask(&table, &Question { filter: Filter::All, ask }).unwrap();
    assert_eq!(lines(&batch), ["the door is open | 1"]);
}

#[test]
fn limits_hold() {
    let table = HOUSE.table(true);
    let row = |n: i64| vec![("at", long(START_MS + n)), ("ms", long(n * 1_000_003))];
    HOUSE.put(&table, &(0..5000).map(row).collect::<Vec<Document>>());
    let tables = std::slice::from_ref(&table);
    let run = |ask: Ask, limits: &Limits| {
        let scope = HOUSE.scope(tables, Vec::new());
        crate::run(&scope, &Question { filter: Filter::All, ask }, limits).map(|_| ())
    };
    let by_ms = || fold(vec![GroupBy::Terms("ms".into())], vec![Measure::Rows]);
    let rows = || Ask::Rows { columns: vec![OutColumn::Id], limit: None };
    assert!(run(by_ms(), &Limits::standard()).is_ok());
    let few = Limits { groups: 100, ..Limits::standard() };
    assert!(matches!(run(by_ms(), &few), Err(QueryError::TooManyGroups { limit: 100 })));
    let few = Limits { rows: 100, ..Limits::standard() };
    assert!(matches!(run(rows(), &few), Err(QueryError::TooManyRows { limit: 100 })));
    let tight = Limits { memory_bytes: 1000, ..Limits::standard() };
    assert!(matches!(run(by_ms(), &tight), Err(QueryError::Memory { .. })));
    let cancelled = Limits::standard();
    cancelled.cancel.cancel();
    for ask in [by_ms(), rows(), Ask::Count] {
        assert!(matches!(run(ask, &cancelled), Err(QueryError::Cancelled)));
    }
}

#[test]
fn the_plan_names_fields_and_no_literal() {
    use super::LeafExec;
    let table = small();
    let question = Question {
        filter: Filter::Term("kind".into(), Value::Str("connect".into())),
        ask: fold(vec![GroupBy::Terms("kind".into())], vec![Measure::Rows]),
    };
    let scope = HOUSE.scope(std::slice::from_ref(&table), Vec::new());
    let leaf = LeafExec::new(&scope, question, &Limits::standard()).unwrap();
    let expected = format!(
        "ClerestoryLeaf: fold groups=[kind] measures=[rows] filter=kind=… tables=[{}] segments=1",
        table.name
    );
    assert_eq!(format!("{leaf:?}"), expected);
}
