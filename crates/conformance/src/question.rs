//! One question in three languages: Elasticsearch's query language, SQL, and a declared metric; and
//! the right answer, counted from the generator of the demo.

mod languages;
mod list;
mod truth;

pub use list::all;

use serde_json::Value;
use std::collections::BTreeMap;

/// A question about the demo's `events`.
#[derive(Clone, Debug)]
pub struct Question {
    /// What it asks, for people.
    pub title: &'static str,
    /// What is computed for each group.
    pub measure: Measure,
    /// Only events that fit all of these.
    pub filters: Vec<Filter>,
    /// Split by time.
    pub grain: Option<Grain>,
    /// Split by fields.
    pub by: Vec<&'static str>,
}

/// What is computed.
#[derive(Clone, Debug)]
pub enum Measure {
    /// Events.
    Count,
    /// Sum of a field.
    Sum(&'static str),
    /// Mean of a field.
    Mean(&'static str),
    /// Smallest value.
    Min(&'static str),
    /// Largest value.
    Max(&'static str),
    /// Distinct values, exact.
    Distinct(&'static str),
    /// Which share of the events fits this, too.
    Share(Filter),
}

/// A condition.
#[derive(Clone, Debug)]
pub enum Filter {
    /// The field is one of these.
    Is(&'static str, Vec<String>),
    /// The number is at least this.
    AtLeast(&'static str, i64),
    /// From the beginning of this day (counted from 0) on.
    SinceDay(u32),
}

/// Length of a time interval, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// One hour.
    Hour,
    /// One day.
    Day,
}

impl Grain {
    /// The word for it, the same in all three languages.
    pub fn as_str(self) -> &'static str {
        match self {
            Grain::Hour => "hour",
            Grain::Day => "day",
        }
    }
}

/// An answer: for each group (start of the interval in milliseconds if there is a grain, then the
/// fields' values) the number.
pub type Cells = BTreeMap<Vec<String>, f64>;

/// Reads rows whose last column is the number and whose first ones are the group.
///
/// # Panics
/// If a row is not so, or two rows have the same group.
#[track_caller]
pub fn cells_of_rows(title: &str, rows: &[Value], has_time: bool) -> Cells {
    let mut cells = Cells::new();
    for row in rows {
        let row = row.as_array().unwrap_or_else(|| panic!("{title}: a row is an array: {row}"));
        let (number, group) = row.split_last().unwrap_or_else(|| panic!("{title}: an empty row"));
        let mut key = Vec::new();
        for (place, part) in group.iter().enumerate() {
            key.push(if place == 0 && has_time { milliseconds(title, part) } else { plain(part) });
        }
        let number = number.as_f64().unwrap_or_else(|| panic!("{title}: no number in {row:?}"));
        assert!(cells.insert(key, number).is_none(), "{title}: a group comes twice: {group:?}");
    }
    cells
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A time as text or as a number becomes milliseconds since 1970.
#[track_caller]
fn milliseconds(title: &str, value: &Value) -> String {
    if let Some(number) = value.as_i64() {
        return number.to_string();
    }
    let text = value.as_str().unwrap_or_else(|| panic!("{title}: no time: {value}"));
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.timestamp_millis().to_string(),
        Err(error) => panic!("{title}: `{text}` is no time: {error}"),
    }
}

/// Compares two answers; numbers may differ in the last bits of a double, by order of addition.
///
/// # Panics
/// If they differ.
#[track_caller]
pub fn assert_same(title: &str, language: &str, found: &Cells, expected: &Cells) {
    let missing: Vec<_> = expected.keys().filter(|key| !found.contains_key(*key)).take(3).collect();
    let surplus: Vec<_> = found.keys().filter(|key| !expected.contains_key(*key)).take(3).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{title}, {language}: {} groups, expected {}; missing {missing:?}, surplus {surplus:?}",
        found.len(),
        expected.len()
    );
    for (key, expected) in expected {
        let found = found[key];
        let tolerance = 1e-9 * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= tolerance,
            "{title}, {language}: {key:?} is {found}, expected {expected}"
        );
    }
}
