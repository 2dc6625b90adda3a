use super::*;
use crate::testing::{Document, House, START_MS, lines, long, text};
use crate::{
    Ask, Group, GroupBy, Interval, Limits, Measure, MeasureOf, Question, TileDefinition, TileSmith,
    uses,
};
use chrono_tz::Tz;
use model::{Table, Value};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::ops::Bound;
use storage::{Filter, TileMaker};

const HOUR_MS: i64 = 3_600_000;

/// A row by some numbers: when, and what it says.
#[derive(Clone, Debug)]
struct Event {
    /// Half an hour each.
    at: i64,
    kind: usize,
    tag: usize,
    ms: i64,
    ok: bool,
    device: usize,
}

fn event() -> impl Strategy<Value = Event> {
    let at = 0..240_i64;
    (at, 0..3_usize, 0..4_usize, -50..50_i64, any::<bool>(), 0..9_usize)
        .prop_map(|(at, kind, tag, ms, ok, device)| Event { at, kind, tag, ms, ok, device })
}

fn document(event: &Event) -> Document {
    let mut document = vec![
        ("kind", text(["a", "b", "c"][event.kind])),
        ("ms", long(event.ms)),
        ("load", vec![Value::Double(event.ms as f64 / 4.0)]),
        ("ok", vec![Value::Bool(event.ok)]),
        ("deviceId", text(&format!("device-{}", event.device))),
    ];
    // Some rows have no time, some no tag.
    if event.at > 0 {
        document.push(("at", long(START_MS + event.at * HOUR_MS / 2 + event.ms.abs())));
    }
    if event.tag > 0 {
        document.push(("tags", text(["", "x", "y", "z"][event.tag])));
    }
    document
}

fn kind(name: &str) -> Filter {
    Filter::Term("kind".to_owned(), Value::Str(name.to_owned()))
}

fn measure(number: usize) -> Measure {
    let field = |name: &str| name.to_owned();
    match number {
        0 => Measure::Rows,
        1 => Measure::Sum(field("ms")),
        2 => Measure::Mean(field("ms")),
        3 => Measure::Min(field("ms")),
        4 => Measure::Max(field("load")),
        5 => Measure::Distinct(field("deviceId")),
        6 => Measure::Distinct(field("ms")),
        7 => Measure::Quantiles(field("ms"), vec![0.5, 0.95]),
        // Halves and quarters add up to the bit in whatever order.
        8 => Measure::Sum(field("load")),
        _ => Measure::Values(field("tags")),
    }
}

fn condition(number: usize) -> Filter {
    match number {
        0 => Filter::All,
        1 => kind("a"),
        2 => Filter::Terms("kind".to_owned(), ["b", "c"].map(|k| Value::Str(k.into())).to_vec()),
        _ => kind("a").negate().and(Filter::Exists("tags".to_owned())),
    }
}

/// What is declared, and what is asked.
#[derive(Clone, Debug)]
struct Case {
    declared: Vec<(usize, usize)>,
    dimensions: usize,
    interval: Option<usize>,
    zone: usize,
    groups: usize,
    keep_missing: bool,
    window: Option<(i64, i64)>,
    test: usize,
    /// Several measures with a condition each, as a ratio asks.
    together: bool,
}

const DIMENSIONS: [&[&str]; 4] = [&[], &["tags"], &["tags", "ok"], &["kind", "ok", "tags"]];

fn case() -> impl Strategy<Value = Case> {
    let declared = prop::collection::vec((0..10_usize, 0..4_usize), 1..4);
    let interval = prop::option::of(0..5_usize);
    let window = prop::option::of((-10..250_i64, -10..250_i64));
    let rest = (0..4_usize, any::<bool>(), window, 0..5_usize, any::<bool>());
    (declared, 0..4_usize, interval, 0..4_usize, rest).prop_map(
        |(declared, dimensions, interval, zone, (groups, keep_missing, window, test, together))| {
            let window = window.filter(|(from, to)| from < to);
            Case {
                declared,
                dimensions,
                interval,
                zone,
                groups,
                keep_missing,
                window,
                test,
                together,
            }
        },
    )
}

impl Case {
    fn definitions(&self) -> Vec<TileDefinition> {
        let of = |&(of, filter): &(usize, usize)| TileDefinition {
            time: "at".to_owned(),
            measure: measure(of),
            filter: condition(filter),
            dimensions: DIMENSIONS[self.dimensions].iter().map(|&name| name.to_owned()).collect(),
        };
        self.declared.iter().map(of).collect()
    }

    fn questions(&self) -> Vec<Question> {
        let mut filter = Filter::All;
        if let Some((from, to)) = self.window {
            let at = |half_hours: i64| Value::Long(START_MS + half_hours * HOUR_MS / 2);
            let (from, to) = (Bound::Included(at(from)), Bound::Excluded(at(to)));
            filter = filter.and(Filter::Range { field: "at".to_owned(), from, to });
        }
        filter = filter.and(match self.test {
            0 | 1 => Filter::All,
            2 => Filter::Term("tags".to_owned(), Value::Str("x".to_owned())),
            3 => Filter::Term("ok".to_owned(), Value::Bool(true)),
            _ => kind("a"),
        });
        let mut groups = Vec::new();
        let keep_missing = self.keep_missing;
        if let Some(interval) = self.interval {
            let by = GroupBy::Date {
                field: "at".to_owned(),
                interval: [
                    Interval::Hour,
                    Interval::Day,
                    Interval::Week,
                    Interval::Month,
                    Interval::Minute,
                ][interval],
                time_zone: [Tz::UTC, Tz::Europe__Berlin, Tz::Asia__Kolkata, Tz::America__New_York]
                    [self.zone],
                offset_ms: 0,
            };
            groups.push(Group { by, keep_missing });
        } else if self.zone == 1 {
            // Windows that overlap, of which some begin in the midst of a day.
            let at = |hours: i64| Some((START_MS + hours * HOUR_MS) as f64);
            let step = if self.keep_missing { 24 } else { 7 };
            let window = |number: i64| (at((number - 2) * step), at(number * step));
            let ranges = (0..6).map(window).chain([(None, at(48)), (at(24), None)]).collect();
            let by = GroupBy::Ranges { field: "at".to_owned(), ranges };
            groups.push(Group { by, keep_missing: false });
        }
        let dimensions: &[&str] = [&[], &["tags"][..], &["ok", "tags"], &["kind"]][self.groups];
        groups.extend(
            dimensions.iter().map(|&n| Group { by: GroupBy::Terms(n.to_owned()), keep_missing }),
        );
        let ask = |filter: Filter, measures| Question {
            filter,
            ask: Ask::Fold { groups: groups.clone(), measures },
        };
        if self.together {
            let conditions = self.declared.iter().map(|&(_, filter)| condition(filter)).collect();
            let of = |&(of, filter): &(usize, usize)| MeasureOf {
                measure: measure(of),
                filter: Some(condition(filter)),
            };
            let measures = self.declared.iter().map(of).collect();
            return vec![ask(filter.and(Filter::any(conditions)), measures)];
        }
        let one = |&(of, number): &(usize, usize)| {
            let measures = vec![MeasureOf { measure: measure(of), filter: None }];
            ask(filter.clone().and(condition(number)), measures)
        };
        self.declared.iter().map(one).collect()
    }
}

/// The answer with tiles, the same from rows, and how many rows of tiles were read.
fn both(house: &House, table: &Arc<Table>, question: &Question) -> ([Vec<String>; 2], u64) {
    let tables = std::slice::from_ref(table);
    let scope = house.scope(tables, uses(tables, question));
    let limits = Limits::standard();
    let tiled = crate::run(&scope, question, &limits).unwrap();
    let plain = crate::run(&scope, question, &Limits::standard().without_tiles()).unwrap();
    ([lines(&tiled), lines(&plain)], limits.answered.from_tiles().1)
}

fn smith(definitions: Vec<TileDefinition>) -> Arc<TileSmith> {
    Arc::new(TileSmith::new(move |_| definitions.clone()))
}

/// Writes segments and a buffer, and asks every question of the cases both ways; gives how many
/// were answered with the help of tiles.
fn compare(
    house: &House,
    segments: &[Vec<Event>],
    buffered: &[Event],
    cases: &[Case],
    (several, sorted): (bool, bool),
) -> Result<u64, TestCaseError> {
    let table = house.table(sorted);
    // Rows that are there many times make tiles worth keeping.
    for events in segments {
        let mut documents: Vec<Document> = Vec::new();
        for _ in 0..12 {
            documents.extend(events.iter().map(document));
        }
        if several {
            documents.push(vec![("kind", ["a", "b"].map(|k| Value::Str(k.into())).to_vec())]);
        }
        house.put(&table, &documents);
        house.store.flush().unwrap();
    }
    let documents: Vec<Document> = buffered.iter().map(document).collect();
    if !documents.is_empty() {
        house.put(&table, &documents);
    }
    let table = house.store.table_by_id(table.id).unwrap();
    let definitions = cases.iter().flat_map(Case::definitions).collect();
    house.store.make_tiles_with(smith(definitions));
    house.store.tile().unwrap();
    let mut tiled = 0;
    for (case, question) in
        cases.iter().flat_map(|case| case.questions().into_iter().map(move |q| (case, q)))
    {
        let ([with, without], rows) = both(house, &table, &question);
        prop_assert_eq!(with, without, "{:?}", case);
        tiled += u64::from(rows > 0);
    }
    house.store.drop_table(table.id).unwrap();
    Ok(tiled)
}

#[test]
fn tiles_say_what_the_rows_say() {
    let house = House::new();
    let segments = prop::collection::vec(prop::collection::vec(event(), 1..60), 1..4);
    let buffered = prop::collection::vec(event(), 0..8);
    let cases = prop::collection::vec(case(), 6);
    let kinds = (any::<bool>(), any::<bool>());
    let tiled = std::cell::Cell::new(0);
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&(segments, buffered, cases, kinds), |(segments, buffered, cases, kinds)| {
            tiled.set(tiled.get() + compare(&house, &segments, &buffered, &cases, kinds)?);
            Ok(())
        })
        .unwrap();
    assert!(tiled.get() > 100, "only {} answers came from tiles", tiled.get());
}

fn hundreds(house: &House, table: &Arc<Table>, shift: i64) {
    let event = |at: i64| Event {
        at: 1 + (at + shift) % 200,
        kind: (at % 3) as usize,
        tag: (at % 4) as usize,
        ms: at % 7,
        ok: at % 2 == 0,
        device: (at % 9) as usize,
    };
    let documents: Vec<Document> = (0..4_000).map(|at| document(&event(at))).collect();
    house.put(table, &documents);
    house.store.flush().unwrap();
    house.store.tile().unwrap();
}

fn per_day(filter: Filter, measure: Measure) -> Question {
    let by = GroupBy::Date {
        field: "at".to_owned(),
        interval: Interval::Day,
        time_zone: Tz::UTC,
        offset_ms: 0,
    };
    let groups = vec![
        Group { by, keep_missing: false },
        Group { by: GroupBy::Terms("tags".to_owned()), keep_missing: true },
    ];
    Question {
        filter,
        ask: Ask::Fold { groups, measures: vec![MeasureOf { measure, filter: None }] },
    }
}

fn declared(measure: Measure) -> TileDefinition {
    TileDefinition {
        time: "at".to_owned(),
        measure,
        filter: kind("a"),
        dimensions: vec!["tags".to_owned()],
    }
}

/// Without this the property could hold because tiles are never read.
#[test]
fn each_measure_is_read_from_tiles_when_it_is_declared() {
    let house = House::new();
    let table = house.table(true);
    let definitions: Vec<TileDefinition> = (0..10).map(|of| declared(measure(of))).collect();
    house.store.make_tiles_with(smith(definitions));
    hundreds(&house, &table, 0);
    hundreds(&house, &table, 17);
    let table = house.store.table_by_id(table.id).unwrap();
    for of in 0..10 {
        let ([tiled, plain], rows) = both(&house, &table, &per_day(kind("a"), measure(of)));
        assert_eq!(tiled, plain, "{of}");
        assert!(rows > 0, "measure {of} was not read from tiles");
        let ([tiled, plain], rows) = both(&house, &table, &per_day(kind("b"), measure(of)));
        assert_eq!(tiled, plain, "{of}");
        assert_eq!(rows, 0, "no tile has this condition");
    }
    // From the midst of an hour to the midst of another: the ends come from rows.
    let at = |ms: i64| Value::Long(START_MS + ms);
    let window = Filter::Range {
        field: "at".to_owned(),
        from: Bound::Included(at(20 * HOUR_MS + 1_000)),
        to: Bound::Included(at(70 * HOUR_MS + 1_000)),
    };
    let question = per_day(kind("a").and(window), Measure::Distinct("deviceId".to_owned()));
    let ([tiled, plain], rows) = both(&house, &table, &question);
    assert_eq!(tiled, plain);
    assert!(rows > 0);
}

#[test]
fn what_is_gone_or_ruled_on_is_not_answered_by_old_tiles() {
    let house = House::new();
    let table = house.table(true);
    house.store.make_tiles_with(smith(vec![declared(Measure::Rows)]));
    hundreds(&house, &table, 0);
    let table = house.store.table_by_id(table.id).unwrap();
    let question = per_day(kind("a"), Measure::Rows);
    let (_, rows) = both(&house, &table, &question);
    assert!(rows > 0);

    // One deleted row: no tile, and one less.
    let scope = house.scope(std::slice::from_ref(&table), Vec::new());
    let id = scope.snapshot.views()[0].ids(&[0]).unwrap().remove(0);
    house.delete(&table, &id);
    let ([tiled, plain], rows) = both(&house, &table, &question);
    assert_eq!((&tiled, rows), (&plain, 0));
    house.store.flush().unwrap();

    // A ruling hides the field: no tile tells of it.
    let mut ruled = (*house.store.table_by_id(table.id).unwrap()).clone();
    let (field, _) = ruled.schema.find("tags").unwrap();
    ruled.schema.rule(
        field,
        model::Ruling {
            by: "grace".to_owned(),
            at: model::Timestamp(START_MS),
            reason: "a test".to_owned(),
            class: Some(model::Class::Personal),
            kind: "user".to_owned(),
            rules: 0,
        },
    );
    let table = house.store.put_table(ruled).unwrap();
    let ([tiled, plain], rows) = both(&house, &table, &question);
    assert_eq!((&tiled, rows), (&plain, 0));
    assert!(tiled.iter().all(|line| line.contains(" | - | ")), "{tiled:?}");
    house.store.rewrite().unwrap();
    house.store.tile().unwrap();
    let ([tiled, plain], rows) = both(&house, &table, &question);
    assert_eq!(tiled, plain);
    assert!(rows > 0, "the rewritten segment has tiles of its own");
    assert!(tiled.iter().any(|line| line.contains("user:")), "{tiled:?}");
}

#[test]
fn bytes_are_read_as_they_were_written_and_damage_is_noticed() {
    let house = House::new();
    let table = house.table(true);
    let definitions: Vec<TileDefinition> = (0..10).map(|of| declared(measure(of))).collect();
    let smith = smith(definitions);
    hundreds(&house, &table, 0);
    let scope = house.scope(std::slice::from_ref(&table), Vec::new());
    let view = &scope.snapshot.views()[0];
    let keys = smith.wanted(view.table());
    assert_eq!(keys.len(), 9 * 4, "a mean is kept as the sum that it is made of");
    let made = smith.make(view, &keys).unwrap();
    for (key, bytes) in keys.iter().zip(made) {
        let Some(bytes) = bytes else { continue };
        let grain = if key.contains("\"day\"") { Grain::Day } else { Grain::Hour };
        let tile = Tile::from_bytes(&bytes, grain).expect(key);
        assert_eq!(tile.to_bytes(), bytes, "{key}");
        for end in 0..bytes.len() {
            assert!(Tile::from_bytes(&bytes[..end], grain).is_none(), "{key} cut at {end}");
        }
    }
}

#[test]
fn tiles_made_of_those_of_their_family_are_what_the_rows_give() {
    let house = House::new();
    let table = house.table(true);
    hundreds(&house, &table, 0);
    let scope = house.scope(std::slice::from_ref(&table), Vec::new());
    let view = &scope.snapshot.views()[0];
    for of in 0..10 {
        let few = declared(measure(of));
        let many = TileDefinition {
            dimensions: ["kind", "ok", "tags"].map(str::to_owned).to_vec(),
            ..few.clone()
        };
        let alone = smith(vec![few.clone()]);
        let keys = alone.wanted(view.table());
        let of_rows = alone.make(view, &keys).unwrap();
        let both = smith(vec![few, many]);
        let all = both.wanted(view.table());
        assert!(all.len() > keys.len());
        let made = both.make(view, &all).unwrap();
        for (key, of_rows) in keys.iter().zip(of_rows) {
            let place = all.iter().position(|other| other == key).unwrap();
            assert_eq!(made[place], of_rows, "{key}");
        }
    }
}

#[test]
fn a_tile_that_is_hardly_smaller_than_the_rows_is_not_kept() {
    let house = House::new();
    let table = house.table(true);
    let smith = smith(vec![declared(Measure::Distinct("deviceId".to_owned()))]);
    let event =
        |at: usize| Event { at: 1 + at as i64 % 200, kind: 0, tag: 1, ms: 0, ok: true, device: at };
    let documents: Vec<Document> = (0..4_000).map(|at| document(&event(at))).collect();
    house.put(&table, &documents);
    house.store.flush().unwrap();
    let scope = house.scope(std::slice::from_ref(&table), Vec::new());
    let view = &scope.snapshot.views()[0];
    let keys = smith.wanted(view.table());
    let made = smith.make(view, &keys).unwrap();
    assert!(made.iter().all(Option::is_none), "each row has a device of its own");
}
