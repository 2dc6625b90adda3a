//! The numbers of a metric: one row of time, and beside it one series for each group.

use super::declared::Declared;
use crate::ui::time_range::millisecond;
use chrono::DateTime;
use serde_json::Value;
use std::collections::BTreeMap;

/// More lines in one chart cannot be told apart.
pub(in crate::ui) const CHART_SERIES_MAX: usize = 8;
/// More columns in one table cannot be read.
pub(in crate::ui) const TABLE_SERIES_MAX: usize = 24;

/// Numbers over time.
#[derive(Debug, Default, PartialEq)]
pub(in crate::ui) struct Numbers {
    /// Starts of the steps, in milliseconds since 1970, ascending.
    pub(in crate::ui) times: Vec<i64>,
    /// Each with one value for each time.
    pub(in crate::ui) series: Vec<Series>,
    /// Groups that are left out because there are too many.
    pub(in crate::ui) left_out: usize,
}

/// The numbers of one group.
#[derive(Debug, PartialEq)]
pub(in crate::ui) struct Series {
    /// The group's values; empty without groups.
    pub(in crate::ui) group: Vec<String>,
    pub(in crate::ui) values: Vec<Option<f64>>,
}

impl Series {
    /// What people call it.
    pub(in crate::ui) fn name(&self, of: &Declared) -> String {
        if self.group.is_empty() { of.label.clone() } else { self.group.join(" · ") }
    }

    fn known(&self) -> impl Iterator<Item = f64> {
        self.values.iter().flatten().copied()
    }

    /// Its last value.
    pub(in crate::ui) fn last(&self) -> Option<f64> {
        self.values.iter().rev().find_map(|value| *value)
    }

    /// Its smallest value.
    pub(in crate::ui) fn least(&self) -> Option<f64> {
        self.known().reduce(f64::min)
    }

    /// Its largest value.
    pub(in crate::ui) fn most(&self) -> Option<f64> {
        self.known().reduce(f64::max)
    }

    /// The mean of its values.
    pub(in crate::ui) fn mean(&self) -> Option<f64> {
        let (sum, count) = self.known().fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
        (count > 0).then(|| sum / f64::from(count))
    }
}

impl Numbers {
    /// Reads the answer to a question for `metric` by `dimensions`.
    pub(in crate::ui) fn read(metric: &Declared, dimensions: &[String], answer: &Value) -> Numbers {
        let columns: Vec<&str> = answer["columns"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|column| column["name"].as_str().or_else(|| column.as_str()).unwrap_or(""))
            .collect();
        let place = |wanted: &str| columns.iter().position(|column| *column == wanted);
        let groups: Vec<usize> = dimensions.iter().filter_map(|name| place(name)).collect();
        let (Some(time), Some(value)) = (place("time"), place(&metric.name)) else {
            return Numbers::default();
        };

        let mut cells: BTreeMap<Vec<String>, BTreeMap<i64, f64>> = BTreeMap::new();
        let mut times: Vec<i64> = Vec::new();
        for row in answer["rows"].as_array().into_iter().flatten() {
            let Some(at) = moment(&row[time]) else { continue };
            times.push(at);
            let group = groups.iter().map(|place| group_name(&row[*place])).collect();
            let of_group = cells.entry(group).or_default();
            if let Some(number) = row[value].as_f64() {
                of_group.insert(at, number);
            }
        }
        times.sort_unstable();
        times.dedup();
        let series = cells.into_iter().map(|(group, cells)| Series {
            group,
            values: times.iter().map(|at| cells.get(at).copied()).collect(),
        });
        let mut numbers = Numbers { series: series.collect(), times, left_out: 0 };
        numbers.leave_out_the_smallest();
        numbers
    }

    fn leave_out_the_smallest(&mut self) {
        if self.series.len() <= TABLE_SERIES_MAX {
            return;
        }
        let mut sums: Vec<f64> = self.series.iter().map(|series| series.known().sum()).collect();
        sums.sort_by(|a, b| b.total_cmp(a));
        let least = sums[TABLE_SERIES_MAX - 1];
        let before = self.series.len();
        self.series.retain(|series| series.known().sum::<f64>() >= least);
        self.series.truncate(TABLE_SERIES_MAX);
        self.left_out = before - self.series.len();
    }

    /// Whether there is no number at all.
    pub(in crate::ui) fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.last().is_none())
    }

    /// Whether nothing happened: no number, or for counts nothing but zeros.
    pub(in crate::ui) fn is_silent(&self, metric: &Declared) -> bool {
        let is_zero = |series: &Series| series.known().all(|value| value == 0.0);
        self.is_empty() || (!metric.is_ratio() && self.series.iter().all(is_zero))
    }

    /// The largest of all values.
    pub(in crate::ui) fn most(&self) -> f64 {
        self.series.iter().filter_map(Series::most).fold(0.0, f64::max)
    }
}

fn group_name(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn moment(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => {
            let day =
                || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
            let time = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis());
            time.ok().or_else(|| Some(day()?.and_utc().timestamp_millis()))
        }
        other => other.as_i64().or_else(|| other.as_f64().map(|ms| ms as i64)),
    }
}

/// A step as the table names it: a day without hours if all steps are days.
pub(in crate::ui) fn step_name(numbers: &Numbers, at: i64) -> String {
    let text = millisecond(at);
    let is_day = |at: &i64| at.rem_euclid(crate::ui::time_range::DAY) == 0;
    let length = if numbers.times.iter().all(is_day) { 10 } else { 16 };
    text.get(..length).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metric() -> Declared {
        let declared = json!({ "name": "rate", "type": "ratio", "measures": ["a", "b"] });
        Declared::read(&declared).unwrap()
    }

    #[test]
    fn rows_become_series() {
        let answer = json!({
            "columns": [{ "name": "time" }, { "name": "firmware" }, { "name": "rate" }],
            "rows": [
                ["2026-11-01T00:00:00Z", "4.3.0", 0.5],
                ["2026-11-02T00:00:00Z", "4.3.0", null],
                ["2026-11-02T00:00:00Z", "4.2.1", 0.25],
                [1_793_491_200_000_i64, null, 1],
            ],
        });
        let numbers = Numbers::read(&metric(), &["firmware".to_owned()], &answer);
        assert_eq!(numbers.times.len(), 2);
        let names: Vec<String> =
            numbers.series.iter().map(|series| series.name(&metric())).collect();
        assert_eq!(names, ["(none)", "4.2.1", "4.3.0"]);
        assert_eq!(numbers.series[2].values, [Some(0.5), None]);
        assert_eq!((numbers.most(), numbers.is_empty()), (1.0, false));
        assert_eq!(step_name(&numbers, numbers.times[1]), "2026-11-02");
        assert_eq!(metric().made_of, "a ÷ b");
        assert_eq!(metric().written(Some(0.25)), "25.0 %");
    }

    #[test]
    fn too_many_groups_leave_the_smallest_out() {
        let rows: Vec<Value> = (0..30).map(|i| json!([0, format!("g{i:02}"), i])).collect();
        let answer = json!({ "columns": [{ "name": "time" }, { "name": "g" }, { "name": "rate" }], "rows": rows });
        let numbers = Numbers::read(&metric(), &["g".to_owned()], &answer);
        assert_eq!((numbers.series.len(), numbers.left_out), (24, 6));
        assert_eq!(numbers.series[0].group, ["g06"]);
    }

    #[test]
    fn without_groups_there_is_one_series() {
        let columns = json!([{ "name": "time" }, { "name": "rate" }]);
        let answer = json!({ "columns": columns, "rows": [[0, 1], [86_400_000, 3]] });
        let numbers = Numbers::read(&metric(), &[], &answer);
        assert_eq!(numbers.series[0].mean(), Some(2.0));
        assert_eq!(numbers.series[0].name(&metric()), "rate");
    }
}
