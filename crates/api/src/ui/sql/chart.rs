//! Rows as a chart: numbers over time as lines, numbers by name as bars.

use crate::ui::number;
use chrono::DateTime;
use engine::{SqlAnswer, SqlColumn};
use maud::{Markup, html};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// More lines than colours cannot be told apart.
const SERIES_MAX: usize = 8;
/// More points say no more.
const POINTS_MAX: usize = 5000;
/// More bars are a table.
const BARS_MAX: usize = 40;

/// A chart of an answer.
pub(super) enum Chart {
    /// What `chart.js` draws, as JSON.
    OverTime(String),
    Bars(Markup),
}

/// The chart that rows make: the first column a time or a name, numbers behind it; between them
/// may stand one name, which then makes the lines.
pub(super) fn of(answer: &SqlAnswer) -> Option<Chart> {
    let [first, rest @ ..] = answer.columns.as_slice() else { return None };
    if answer.rows.len() < 2 || rest.is_empty() {
        return None;
    }
    let numbers = rest.iter().all(is_number);
    match first.ty.as_str() {
        "datetime" | "date" if numbers => lines(answer, rest),
        "datetime" | "date" if rest.len() == 2 && is_name(&rest[0]) && is_number(&rest[1]) => {
            lines_by_name(answer)
        }
        _ if numbers && rest.len() == 1 && is_name(first) => bars(answer),
        _ => None,
    }
}

/// Whether the cells of a column are numbers.
pub(super) fn is_number(column: &SqlColumn) -> bool {
    matches!(
        column.ty.as_str(),
        "byte" | "short" | "integer" | "long" | "unsigned_long" | "half_float" | "float" | "double"
    )
}

fn is_name(column: &SqlColumn) -> bool {
    matches!(column.ty.as_str(), "keyword" | "text" | "boolean")
}

fn seconds(value: &Value) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
    Some(time.timestamp())
}

fn told(times: &[i64], series: Vec<(String, Vec<Option<f64>>)>) -> Option<Chart> {
    if times.len() < 2 || times.len() > POINTS_MAX {
        return None;
    }
    let series: Vec<Value> = series
        .into_iter()
        .map(|(name, values)| json!({ "name": name, "values": values }))
        .collect();
    let told = json!({ "times": times, "series": series, "percent": false, "fixed": true });
    Some(Chart::OverTime(told.to_string()))
}

/// One line for each column of numbers.
fn lines(answer: &SqlAnswer, columns: &[SqlColumn]) -> Option<Chart> {
    let mut rows: Vec<(i64, &[Value])> =
        answer.rows.iter().filter_map(|row| Some((seconds(&row[0])?, &row[1..]))).collect();
    rows.sort_by_key(|(at, _)| *at);
    // Two rows of one moment make no line.
    if rows.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    let times: Vec<i64> = rows.iter().map(|(at, _)| *at).collect();
    let series = columns.iter().take(SERIES_MAX).enumerate().map(|(place, column)| {
        (column.name.clone(), rows.iter().map(|(_, row)| row[place].as_f64()).collect())
    });
    told(&times, series.collect())
}

/// One line for each name, the largest first.
fn lines_by_name(answer: &SqlAnswer) -> Option<Chart> {
    let mut by_name: BTreeMap<&str, BTreeMap<i64, f64>> = BTreeMap::new();
    let mut times = Vec::new();
    for row in &answer.rows {
        let (Some(at), Some(value)) = (seconds(&row[0]), row[2].as_f64()) else { continue };
        times.push(at);
        by_name.entry(row[1].as_str().unwrap_or("–")).or_default().insert(at, value);
    }
    times.sort_unstable();
    times.dedup();
    let mut series: Vec<(&str, BTreeMap<i64, f64>)> = by_name.into_iter().collect();
    series.sort_by(|a, b| {
        let sum = |values: &BTreeMap<i64, f64>| values.values().sum::<f64>();
        sum(&b.1).total_cmp(&sum(&a.1))
    });
    let series = series.into_iter().take(SERIES_MAX).map(|(name, values)| {
        (name.to_owned(), times.iter().map(|at| values.get(at).copied()).collect())
    });
    told(&times, series.collect())
}

fn bars(answer: &SqlAnswer) -> Option<Chart> {
    let bars: Vec<(String, f64)> = answer
        .rows
        .iter()
        .filter_map(|row| Some((row[0].as_str().unwrap_or("–").to_owned(), row[1].as_f64()?)))
        .collect();
    let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    if bars.len() > BARS_MAX || most <= 0.0 || bars.iter().any(|(_, value)| *value < 0.0) {
        return None;
    }
    Some(Chart::Bars(html! {
        ol.value-list.sql-bars {
            @for (name, value) in &bars {
                li {
                    span.value-text title=(name) { (name) }
                    span.value-count { (number::plain(*value)) }
                    svg.share viewBox="0 0 1000 4" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                        rect.share-back width="1000" height="4" {}
                        rect.share-bar width=((value / most * 1000.0).round() as i64) height="4" {}
                    }
                }
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[(&str, &str)], rows: Value) -> SqlAnswer {
        let column =
            |(name, ty): &(&str, &str)| SqlColumn { name: (*name).into(), ty: (*ty).into() };
        SqlAnswer {
            columns: columns.iter().map(column).collect(),
            rows: serde_json::from_value(rows).unwrap(),
        }
    }

    fn line_names(chart: Option<Chart>) -> Vec<String> {
        let Some(Chart::OverTime(told)) = chart else { panic!("no lines") };
        let told: Value = serde_json::from_str(&told).unwrap();
        let series = told["series"].as_array().unwrap().iter();
        series.map(|one| format!("{} {}", one["name"].as_str().unwrap(), one["values"])).collect()
    }

    #[test]
    fn rows_make_the_chart_that_fits_them() {
        let days = json!([["2026-11-02T00:00:00Z", 5], ["2026-11-01T00:00:00Z", 3]]);
        let over_time = of(&answer(&[("day", "datetime"), ("n", "long")], days));
        assert_eq!(line_names(over_time), ["n [3.0,5.0]"], "in the order of time");
        let by_kind = json!([
            ["2026-11-01T00:00:00Z", "a", 1],
            ["2026-11-01T00:00:00Z", "b", 9],
            ["2026-11-02T00:00:00Z", "a", 2]
        ]);
        let columns = [("day", "datetime"), ("kind", "keyword"), ("n", "long")];
        assert_eq!(line_names(of(&answer(&columns, by_kind))), ["b [9.0,null]", "a [1.0,2.0]"]);
        let named = json!([["a", 2], ["b", 1]]);
        let columns = [("kind", "keyword"), ("n", "long")];
        assert!(matches!(of(&answer(&columns, named)), Some(Chart::Bars(_))));
        assert!(of(&answer(&columns, json!([["a", -2], ["b", 1]]))).is_none());
        assert!(of(&answer(&columns, json!([["a", 2]]))).is_none(), "one row is a number");
        assert!(
            of(&answer(&[("a", "keyword"), ("b", "keyword")], json!([["a", "b"], ["c", "d"]])))
                .is_none()
        );
    }
}
