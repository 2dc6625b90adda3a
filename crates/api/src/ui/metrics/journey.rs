//! Metrics about the way of entities: funnels and cohorts.
//!
//! Their answers have more columns than a time and a number: a funnel has `step`, `step_name`,
//! `entities` and `median_seconds`; a retention has `period`, `entities` and `of`.

use super::declared::Declared;
use super::question::MetricQuestion;
use crate::backend;
use crate::drawing::{Cohort, Step, cohorts, funnel};
use crate::error::ApiError;
use crate::ui::number;
use crate::ui::shown::{list, text};
use engine::{Caller, Engine};
use maud::{Markup, html};
use serde_json::Value;
use std::collections::BTreeMap;

/// More groups are not drawn one under the other.
const GROUPS_MAX: usize = 6;
/// So many cohorts, the newest.
const COHORTS_MAX: usize = 40;

/// Which of the two a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) enum Journey {
    Funnel,
    Cohorts,
}

impl Journey {
    /// `None`: it is a metric over time.
    pub(in crate::ui) fn of(metric: &Declared) -> Option<Journey> {
        match metric.kind.as_str() {
            "conversion" => Some(Journey::Funnel),
            "retention" => Some(Journey::Cohorts),
            _ => None,
        }
    }
}

/// What was answered, by column.
pub(in crate::ui) struct Table<'a> {
    columns: Vec<&'a str>,
    rows: &'a [Value],
}

impl<'a> Table<'a> {
    fn of(answer: &'a Value) -> Table<'a> {
        let columns = list(answer, "columns").iter().map(|column| text(column, "name")).collect();
        Table { columns, rows: list(answer, "rows") }
    }

    fn cell(&self, row: &'a Value, name: &str) -> &'a Value {
        const NONE: &Value = &Value::Null;
        let place = self.columns.iter().position(|column| *column == name);
        place.map_or(NONE, |place| &row[place])
    }

    fn number(&self, row: &'a Value, name: &str) -> Option<f64> {
        self.cell(row, name).as_f64()
    }

    fn text(&self, row: &'a Value, name: &str) -> String {
        match self.cell(row, name) {
            Value::Null => "(none)".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Asks for a funnel over the whole range, or for cohorts by their step of time.
pub(in crate::ui) fn ask(
    engine: &Engine,
    caller: &Caller,
    metric: &Declared,
    journey: Journey,
    question: &MetricQuestion,
) -> Result<Value, ApiError> {
    let mut question = question.clone();
    match journey {
        Journey::Funnel => question.grain = Some("total".to_owned()),
        // All cohorts at once are one row: who looks wants to compare them.
        Journey::Cohorts if metric.grain.as_deref() == Some("total") => {
            question.grain.get_or_insert_with(|| "week".to_owned());
        }
        Journey::Cohorts => {}
    }
    backend::query_metric(engine, caller, &metric.name, &question.body())
}

/// One number that stands for all: which share reaches the last step, or is still there in the
/// last period.
pub(in crate::ui) fn headline(
    metric: &Declared,
    journey: Journey,
    answer: &Value,
) -> Option<(String, String)> {
    let table = Table::of(answer);
    match journey {
        Journey::Funnel => {
            let last = table.rows.last()?;
            let share = table.number(last, &metric.name)?;
            Some((number::percent(share), format!("reach {}", table.text(last, "step_name"))))
        }
        Journey::Cohorts => {
            let period = |row: &&Value| table.number(row, "period").unwrap_or(0.0) as i64;
            let last = table.rows.iter().map(|row| period(&row)).max()?;
            let of_last = || table.rows.iter().filter(|row| period(row) == last);
            let sum = |name: &str| of_last().filter_map(|row| table.number(row, name)).sum::<f64>();
            let of = sum("of");
            (of > 0.0).then(|| {
                (number::percent(sum("entities") / of), format!("still there in period {last}"))
            })
        }
    }
}

/// The drawing, and the same numbers in a table.
pub(in crate::ui) fn draw(
    metric: &Declared,
    journey: Journey,
    question: &MetricQuestion,
    answer: &Value,
) -> Markup {
    let table = Table::of(answer);
    let mut groups: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for row in table.rows {
        let names: Vec<String> = question.by.iter().map(|name| table.text(row, name)).collect();
        groups.entry(names.join(" · ")).or_default().push(row);
    }
    let left_out = groups.len().saturating_sub(GROUPS_MAX);
    html! {
        @for (name, rows) in groups.iter().take(GROUPS_MAX) {
            @if !name.is_empty() { h3.group-title { (name) } }
            @match journey {
                Journey::Funnel => (one_funnel(metric, &table, rows, name)),
                Journey::Cohorts => (one_of_cohorts(metric, &table, rows, name)),
            }
        }
        @if left_out > 0 { p.hint { (number::of(left_out as u64, "further group is", "further groups are")) " not drawn. Filter, or ask by curl." } }
    }
}

/// Whether there is anything to draw.
pub(in crate::ui) fn is_empty(answer: &Value) -> bool {
    let table = Table::of(answer);
    let counted = |row: &Value| table.number(row, "entities").is_some_and(|count| count > 0.0);
    !table.rows.iter().any(counted)
}

fn one_funnel(metric: &Declared, table: &Table<'_>, rows: &[&Value], group: &str) -> Markup {
    let step = |row: &&Value| Step {
        name: table.text(row, "step_name"),
        count: table.number(row, "entities").unwrap_or(0.0),
    };
    let steps: Vec<Step> = rows.iter().map(step).collect();
    let label = format!("{} {group}: how many reach each step", metric.label);
    html! {
        div.scroll-x { (funnel(&label, &steps, &number::plain)) }
        details.code-box {
            summary { "The same as a table" }
            div.scroll-x { table.grid.numbers {
                thead { tr { th scope="col" { "Step" } th.num scope="col" { "Reached" } th.num scope="col" { "Share" } th.num scope="col" { "Half of them within" } } }
                tbody { @for row in rows { tr {
                    th scope="row" { (table.text(row, "step_name")) }
                    td.num { (table.number(row, "entities").map_or("–".to_owned(), number::plain)) }
                    td.num { (table.number(row, &metric.name).map_or("–".to_owned(), number::percent)) }
                    td.num { (table.number(row, "median_seconds").map_or("–".to_owned(), lasting)) }
                } } }
            } }
        }
    }
}

fn one_of_cohorts(metric: &Declared, table: &Table<'_>, rows: &[&Value], group: &str) -> Markup {
    let mut by_time: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for row in rows {
        by_time.entry(table.text(row, "time")).or_default().push(row);
    }
    let periods: Vec<i64> = {
        let mut all: Vec<i64> =
            rows.iter().filter_map(|row| table.number(row, "period")).map(|at| at as i64).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let cohort = |(time, rows): (&String, &Vec<&Value>)| {
        let of = |period: i64| {
            rows.iter().find(|row| table.number(row, "period") == Some(period as f64))
        };
        let size = rows.iter().filter_map(|row| table.number(row, "of")).fold(0.0, f64::max);
        let share = |period: &i64| of(*period).and_then(|row| table.number(row, &metric.name));
        Cohort {
            name: time.get(..10).unwrap_or(time).to_owned(),
            size,
            shares: periods.iter().map(share).collect(),
        }
    };
    let all: Vec<Cohort> = by_time.iter().map(cohort).collect();
    let shown = &all[all.len().saturating_sub(COHORTS_MAX)..];
    let columns: Vec<String> = periods.iter().map(i64::to_string).collect();
    let label = format!("{} {group}: which share of each cohort is still there", metric.label);
    html! {
        div.scroll-x tabindex="0" role="region" aria-label="Cohorts" { (cohorts(&label, &columns, shown, &number::plain)) }
        details.code-box {
            summary { "The same as a table" }
            div.scroll-x { table.grid.numbers {
                thead { tr { th scope="col" { "Began" } th.num scope="col" { "How many" } @for period in &columns { th.num scope="col" { "after " (period) } } } }
                tbody { @for cohort in shown { tr {
                    th scope="row" { (cohort.name) }
                    td.num { (number::plain(cohort.size)) }
                    @for share in &cohort.shares { td.num { (share.map_or("–".to_owned(), number::percent)) } }
                } } }
            } }
        }
    }
}

/// Seconds as people say them.
fn lasting(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "min")];
    match units.into_iter().find(|(unit, _)| seconds >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", seconds / unit),
        None => format!("{seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metric(kind: &str) -> Declared {
        Declared::read(&json!({ "name": "m", "type": kind, "dimensions": ["model"] })).unwrap()
    }

    #[test]
    fn a_funnel_is_drawn_and_told() {
        let answer = json!({
            "columns": [{ "name": "step" }, { "name": "step_name" }, { "name": "entities" }, { "name": "median_seconds" }, { "name": "m" }],
            "rows": [[1, "opened", 200, null, 1.0], [2, "paired", 50, 5400.0, 0.25]],
        });
        let metric = metric("conversion");
        let mut question = MetricQuestion::usual(&metric);
        question.by.clear();
        let journey = Journey::of(&metric).unwrap();
        let drawn = draw(&metric, journey, &question, &answer).into_string();
        assert!(drawn.contains("drawing-funnel") && drawn.contains("1.5 h"), "{drawn}");
        let told = headline(&metric, journey, &answer).unwrap();
        assert_eq!(told, ("25.0 %".to_owned(), "reach paired".to_owned()));
        assert!(!is_empty(&answer));
        assert!(is_empty(&json!({ "columns": [], "rows": [] })));
    }

    #[test]
    fn cohorts_are_drawn_by_time_and_period() {
        let columns = json!([{ "name": "time" }, { "name": "period" }, { "name": "entities" }, { "name": "of" }, { "name": "m" }]);
        let answer = json!({ "columns": columns, "rows": [
            ["2026-11-02T00:00:00Z", 1, 60, 100, 0.6],
            ["2026-11-02T00:00:00Z", 7, 30, 100, 0.3],
            ["2026-11-03T00:00:00Z", 1, 10, 20, 0.5],
        ] });
        let metric = metric("retention");
        let question = MetricQuestion::usual(&metric);
        let journey = Journey::of(&metric).unwrap();
        let drawn = draw(&metric, journey, &question, &answer).into_string();
        assert_eq!(drawn.matches("draw-cell").count(), 3, "what is not over is empty");
        assert!(drawn.contains("2026-11-03") && drawn.contains("60 %"));
        assert_eq!(headline(&metric, journey, &answer).unwrap().0, "30.0 %");
    }
}
