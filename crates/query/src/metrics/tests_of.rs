//! What a file says its metrics have to answer.

use super::answer::MetricAnswer;
use serde_json::{Map, Value as Json};

/// How far apart two numbers may be, relative to the larger one: the last bits of a sum depend on
/// the order of adding.
const TOLERANCE: f64 = 1e-9;

/// A question to a metric and the rows that it has to give.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricTest {
    /// The metric.
    pub metric: String,
    /// The question, as it is asked of the API.
    pub ask: Json,
    /// The rows: each names some of the columns.
    pub expect: Vec<Map<String, Json>>,
    /// Where it stands in the file.
    pub line: usize,
}

impl MetricTest {
    /// What is different, line by line: `-` was expected, `+` came. `None` if nothing is.
    pub fn differs(&self, answer: &MetricAnswer) -> Option<Vec<String>> {
        let got = answer.to_objects();
        let fits = |row: &Map<String, Json>, got: &Map<String, Json>| {
            row.iter().all(|(name, value)| got.get(name).is_some_and(|got| same(value, got)))
        };
        let is_same = self.expect.len() == got.len()
            && self.expect.iter().zip(&got).all(|(row, got)| fits(row, got));
        if is_same {
            return None;
        }
        let mut lines = Vec::new();
        let mut left = self.expect.iter().peekable();
        for got in &got {
            if let Some(row) = left.next_if(|row| fits(row, got)) {
                lines.push(format!("  {}", written(row)));
                continue;
            }
            // Rows stand in order: what was expected before a later match did not come.
            if let Some(skipped) = left.clone().position(|row| fits(row, got)) {
                lines.extend(left.by_ref().take(skipped).map(|row| format!("- {}", written(row))));
                lines.extend(left.next().map(|row| format!("  {}", written(row))));
                continue;
            }
            lines.push(format!("+ {}", written(got)));
        }
        lines.extend(left.map(|row| format!("- {}", written(row))));
        Some(lines)
    }
}

fn same(expected: &Json, got: &Json) -> bool {
    match (expected, got) {
        (Json::Number(left), Json::Number(right)) => match (left.as_f64(), right.as_f64()) {
            (Some(left), Some(right)) => {
                (left - right).abs() <= TOLERANCE * left.abs().max(right.abs())
            }
            _ => false,
        },
        // A day may be written for the moment at which it begins.
        (Json::String(left), Json::String(right)) => {
            left == right || right.strip_prefix(left.as_str()) == Some("T00:00:00.000Z")
        }
        (left, right) => left == right,
    }
}

fn written(row: &Map<String, Json>) -> String {
    let cells: Vec<String> = row.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    cells.join(", ")
}
