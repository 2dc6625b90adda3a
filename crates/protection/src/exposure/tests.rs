//! The story, replayed: 200,000 customers, 22 days, one window that stood open.

use super::*;
use crate::audit::{
    AuditLog, Documents, Event, EventKind, FieldTouched, Record, RecordId, TableRead,
};
use crate::grant::Action;
use crate::keys::KeyRing;
use crate::release::Use;
use model::{Clock, ManualClock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_575_417_600_000; // 4 December 2019
const CUSTOMERS: u64 = 200_000;
const ROWS: u64 = 5 * CUSTOMERS;

fn at(day: i64, hour: i64) -> Timestamp {
    Timestamp(START + day * DAY + hour * HOUR)
}

/// For each account from when to when it reached which class, how.
#[derive(Default)]
struct Windows(BTreeMap<String, Vec<(Timestamp, Timestamp, Class, Action)>>);

impl PolicyPast for Windows {
    fn people(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn reached(
        &self,
        person: &str,
        _: &TableName,
        class: Class,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<Reached> {
        let windows = self.0[person].iter().filter(|window| window.2 == class);
        let cut = windows.map(|(begin, end, _, action)| Reached {
            from: (*begin).max(from),
            to: (*end).min(to),
            action: *action,
            policy: 1,
        });
        cut.filter(|one| one.from < one.to).collect()
    }
}

fn question(from: Timestamp, to: Timestamp) -> ExposureQuestion {
    let always = |name: &str, class| FieldPast {
        name: name.to_owned(),
        classes: vec![(Timestamp(0), Some(class))],
    };
    let mut email = always("email", Class::Personal);
    // Ruled open by mistake for the thirteenth day.
    email.classes.push((at(12, 0), Some(Class::Open)));
    email.classes.push((at(13, 0), Some(Class::Personal)));
    let fields = vec![always("model", Class::Open), always("ssid", Class::Personal), email];
    let fields = fields_of(fields, Class::Personal);
    ExposureQuestion { table: TableName::parse("users").unwrap(), fields, from, to }
}

/// A small generator of the same numbers on every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

fn touched(field: &str, class: Class) -> FieldTouched {
    let (table, field) = ("users".to_owned(), field.to_owned());
    FieldTouched { table, field, class: Some(class), how: Some(Use::Output) }
}

/// What the replay knows to be true, written down while it happens.
#[derive(Default)]
struct Truth {
    rows: BTreeMap<String, BTreeSet<u64>>,
    reads: BTreeMap<String, u64>,
    computations: BTreeMap<String, u64>,
}

/// Twenty analysts count and read devices all day; three of a service desk read customers in the
/// open window alone, and one more on the day on which the e-mail was open.
fn replay(log: &AuditLog, clock: &ManualClock, truth: &mut Truth) -> u64 {
    let mut dice = Dice(2019);
    let mut records = log.len();
    let mut queries = 0;
    for hour in 0..22 * 24 {
        let now = at(0, hour);
        clock.advance(now.0 - clock.now().0);
        let is_open_window = now >= at(9, 10) && now < at(9, 16);
        let is_mistake = now >= at(12, 0) && now < at(13, 0);
        for _ in 0..100 {
            let analyst = format!("analyst-{}", dice.below(20));
            let kind = dice.below(10);
            let (who, action, field, rows) = match kind {
                0 if is_open_window => (
                    format!("desk-{}", dice.below(3)),
                    Action::Read,
                    touched("ssid", Class::Personal),
                    200,
                ),
                1 if is_mistake => {
                    ("intern".to_owned(), Action::Read, touched("*", Class::Open), 50)
                }
                2 => (analyst, Action::Aggregate, touched("email", Class::Personal), 0),
                _ => (analyst, Action::Read, touched("model", Class::Open), 20),
            };
            let exposes = kind <= 2 && field.field != "model";
            let numbers: BTreeSet<u64> = (0..rows).map(|_| 1 + dice.below(ROWS)).collect();
            if exposes && action == Action::Read {
                truth.rows.entry(who.clone()).or_default().extend(&numbers);
                *truth.reads.entry(who.clone()).or_default() += 1;
            } else if exposes {
                *truth.computations.entry(who.clone()).or_default() += 1;
            }
            let intent = Event {
                who: who.clone(),
                credential: "session:1".to_owned(),
                action: Some(action),
                tables: vec!["users".to_owned()],
                shape: "SELECT ? FROM users WHERE ? = ?".to_owned(),
                fields: vec![field],
                outcome: "allowed".to_owned(),
                ..Event::new(EventKind::ReadIntent)
            };
            log.append(&intent).unwrap();
            records += 1;
            let documents = match action {
                Action::Read => Documents::Rows(numbers.into_iter().collect()),
                _ => Documents::AllBelow(ROWS + 1),
            };
            let end = Event {
                who,
                refers_to: Some(RecordId(records)),
                outcome: "released".to_owned(),
                rows: Some(rows),
                bytes: Some(rows * 100),
                read: vec![TableRead { table: "users".to_owned(), documents }],
                ..Event::new(EventKind::ReadEnd)
            };
            log.append(&end).unwrap();
            records += 1;
            queries += 1;
        }
        log.append_durable(&Event::new(EventKind::Write)).unwrap();
        records += 1;
    }
    queries
}

#[test]
#[expect(clippy::print_stdout, reason = "a figure that somebody looks at")]
fn the_answer_is_the_ground_truth() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(at(0, 0)));
    let as_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let ring = Arc::new(KeyRing::in_memory());
    let log = AuditLog::open(&dir.path().join("audit"), ring, as_clock).unwrap();
    let mut truth = Truth::default();
    let queries = replay(&log, &clock, &mut truth);

    let mut past = Windows::default();
    for number in 0..20 {
        let whole = (at(0, 0), at(22, 0));
        past.0.insert(
            format!("analyst-{number}"),
            vec![
                (whole.0, whole.1, Class::Open, Action::Read),
                (whole.0, whole.1, Class::Personal, Action::Aggregate),
            ],
        );
    }
    for number in 0..3 {
        let window = (at(9, 10), at(9, 16), Class::Personal, Action::Read);
        past.0.insert(format!("desk-{number}"), vec![window]);
    }
    past.0.insert("intern".to_owned(), vec![(at(0, 0), at(22, 0), Class::Open, Action::Read)]);

    let question = question(at(0, 0), at(22, 0));
    let start = Instant::now();
    let could = could_read(&past, &question);
    let mut readings = Readings::new(question.clone(), None);
    log.walk(question.from, &mut |record| readings.see(record)).unwrap();
    let did = readings.finished();
    let customers: BTreeSet<u64> = did.rows.iter().map(|row| row % CUSTOMERS).collect();
    let elapsed = start.elapsed();
    println!("{queries} queries, {} records, answered in {elapsed:?}", log.len());

    let read: Vec<(&str, Vec<(Timestamp, Timestamp)>)> = could
        .iter()
        .map(|one| {
            let reads = one.times.iter().filter(|time| time.action == Action::Read);
            (one.who.as_str(), reads.map(|time| (time.from, time.to)).collect())
        })
        .filter(|(_, times): &(&str, Vec<_>)| !times.is_empty())
        .collect();
    let mistake = vec![(at(12, 0), at(13, 0))];
    let window = vec![(at(9, 10), at(9, 16))];
    let of_analysts = read.iter().filter(|(who, _)| who.starts_with("analyst"));
    assert_eq!(of_analysts.clone().count(), 20);
    assert!(of_analysts.clone().all(|(_, times)| *times == mistake));
    let others: Vec<_> = read.iter().filter(|(who, _)| !who.starts_with("analyst")).collect();
    assert_eq!(
        others[..3],
        [&("desk-0", window.clone()), &("desk-1", window.clone()), &("desk-2", window),]
    );
    assert_eq!(others[3..], [&("intern", mistake)]);

    let mut true_customers = BTreeSet::new();
    for (who, rows) in &truth.rows {
        let reader = &did.readers[who];
        assert!(reader.rows.iter().eq(rows.iter().copied()), "{who}");
        assert_eq!(reader.reads, truth.reads[who], "{who}");
        true_customers.extend(rows.iter().map(|row| row % CUSTOMERS));
    }
    for (who, count) in &truth.computations {
        assert_eq!(did.readers[who].computations, *count, "{who}");
        assert!(did.readers[who].rows.is_empty() || truth.rows.contains_key(who));
    }
    let everybody: BTreeSet<&String> = truth.rows.keys().chain(truth.computations.keys()).collect();
    assert!(did.readers.keys().eq(everybody));
    assert_eq!(customers, true_customers);

    // One customer: only the reads that saw one of the five rows.
    let rows: Vec<u64> = truth.rows["desk-0"].iter().take(1).copied().collect();
    let mut readings = Readings::new(question.clone(), Some(rows.iter().copied().collect()));
    log.walk(question.from, &mut |record| readings.see(record)).unwrap();
    let did = readings.finished();
    let readers: Vec<&String> =
        did.readers.iter().filter(|(_, reader)| reader.reads > 0).map(|(who, _)| who).collect();
    let truly = truth.rows.iter().filter(|(_, seen)| seen.contains(&rows[0])).map(|(who, _)| who);
    assert!(readers.into_iter().eq(truly));
}

fn intent(id: u64, at: Timestamp, who: &str) -> Record {
    let event = Event {
        who: who.to_owned(),
        action: Some(Action::Read),
        fields: vec![touched("email", Class::Personal)],
        ..Event::new(EventKind::ReadIntent)
    };
    Record { id: RecordId(id), at, event }
}

fn end(id: u64, refers_to: u64, at: Timestamp, outcome: &str) -> Record {
    let event = Event {
        refers_to: Some(RecordId(refers_to)),
        outcome: outcome.to_owned(),
        ..Event::new(EventKind::ReadEnd)
    };
    Record { id: RecordId(id), at, event }
}

#[test]
fn what_has_no_end_counts_as_read_and_a_clock_hides_nothing() {
    let mut readings = Readings::new(question(at(2, 0), at(3, 0)), None);
    for record in [
        intent(1, at(1, 23), "before"),
        intent(2, at(2, 0), "unfinished"),
        intent(3, at(2, 1), "gave-nothing"),
        end(4, 3, at(2, 1), "nothing released"),
        end(5, 1, at(2, 2), "released"),
        // The clock is set back by a day to look as if nothing was read on this one.
        intent(6, at(1, 2), "clever"),
        end(7, 6, at(1, 2), "released"),
        intent(8, at(3, 0), "after"),
        end(9, 8, at(3, 0), "released"),
    ] {
        readings.see(record);
    }
    let did = readings.finished();
    assert!(did.readers.keys().eq(["clever", "unfinished"]));
    assert_eq!(did.readers["unfinished"].unfinished, 1);
    assert_eq!(did.readers["clever"].reads, 1);
}
