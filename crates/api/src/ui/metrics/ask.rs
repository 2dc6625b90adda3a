//! Asking for a metric, and for the stretch of time that it is compared with.

use super::answer::{Numbers, Series};
use super::declared::Declared;
use super::question::{Compare, MetricQuestion};
use crate::backend;
use crate::error::ApiError;
use crate::ui::time_range::{DAY, HOUR, TimeRange};
use chrono::{DateTime, Datelike, Months};
use engine::{Caller, Engine};
use serde_json::Value;

/// What was answered.
pub(in crate::ui) struct Asked {
    pub(in crate::ui) numbers: Numbers,
    /// The other stretch of time, brought to the times of this one.
    pub(in crate::ui) before: Option<Vec<Series>>,
    /// The whole answer.
    pub(in crate::ui) answer: Value,
    /// Whether the usual range was empty and another was taken.
    pub(in crate::ui) is_moved: bool,
}

impl Asked {
    /// The same question in SQL.
    pub(in crate::ui) fn sql(&self) -> &str {
        self.answer["sql"].as_str().unwrap_or("")
    }

    /// The series of the other stretch for a group of this one.
    pub(in crate::ui) fn before(&self, group: &[String]) -> Option<&Series> {
        self.before.as_ref()?.iter().find(|series| series.group == group)
    }
}

/// Asks; if nobody chose the range and it is empty, asks for the newest days that have numbers.
pub(in crate::ui) fn ask(
    engine: &Engine,
    caller: &Caller,
    metric: &Declared,
    question: &mut MetricQuestion,
) -> Result<Asked, ApiError> {
    let mut asked = once(engine, caller, metric, question)?;
    let is_fixed = question.range.is_chosen || question.range.span.is_none();
    if !is_fixed
        && asked.numbers.is_silent(metric)
        && let Some(newest) = newest(engine, caller, metric, question)?
    {
        question.range = TimeRange::between((newest / DAY - 29) * DAY, (newest / DAY + 1) * DAY);
        asked = Asked { is_moved: true, ..once(engine, caller, metric, question)? };
    }
    if let Some(compare) = question.compare {
        asked.before = before(engine, caller, metric, question, compare, &asked.numbers)?;
    }
    Ok(asked)
}

fn once(
    engine: &Engine,
    caller: &Caller,
    metric: &Declared,
    question: &MetricQuestion,
) -> Result<Asked, ApiError> {
    let answer = backend::query_metric(engine, caller, &metric.name, &question.body())?;
    let numbers = Numbers::read(metric, &question.by, &answer);
    Ok(Asked { numbers, before: None, answer, is_moved: false })
}

/// The newest day with a number, whatever the range.
fn newest(
    engine: &Engine,
    caller: &Caller,
    metric: &Declared,
    question: &MetricQuestion,
) -> Result<Option<i64>, ApiError> {
    let mut everything = question.clone();
    everything.grain.get_or_insert_with(|| "day".to_owned());
    everything.by = Vec::new();
    everything.range.span = None;
    Ok(once(engine, caller, metric, &everything)?.numbers.times.last().copied())
}

/// How far back the other stretch lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Back {
    Ms(i64),
    Months(u32),
}

impl Back {
    /// A whole number of steps, so that Mondays meet Mondays where steps are weeks.
    fn of(compare: Compare, grain: &str, (start, end): (i64, i64)) -> Back {
        let step = match (compare, grain) {
            (Compare::Year, "week") => return Back::Ms(364 * DAY),
            (Compare::Year, _) => return Back::Months(12),
            (Compare::Previous, "month") => return Back::Months(months_over(start, end)),
            (Compare::Previous, "hour") => HOUR,
            (Compare::Previous, "week") => 7 * DAY,
            (Compare::Previous, _) => DAY,
        };
        Back::Ms((end - start + step - 1) / step * step)
    }

    fn from(self, at: i64) -> Option<i64> {
        match self {
            Back::Ms(ms) => Some(at - ms),
            Back::Months(months) => {
                let time = DateTime::from_timestamp_millis(at)?;
                Some(time.checked_sub_months(Months::new(months))?.timestamp_millis())
            }
        }
    }
}

/// Over how many months a stretch goes, also where it begins or ends within one.
fn months_over(start: i64, end: i64) -> u32 {
    let month = |at: i64| {
        let time = DateTime::from_timestamp_millis(at)?;
        Some(time.year() * 12 + time.month0() as i32)
    };
    let over = month(end - 1).zip(month(start)).map_or(0, |(last, first)| last - first);
    over.unsigned_abs() + 1
}

fn before(
    engine: &Engine,
    caller: &Caller,
    metric: &Declared,
    question: &MetricQuestion,
    compare: Compare,
    now: &Numbers,
) -> Result<Option<Vec<Series>>, ApiError> {
    let Some((start, end)) = question.range.span else { return Ok(None) };
    let grain = question.grain.as_deref().or(metric.grain.as_deref()).unwrap_or("day");
    let back = Back::of(compare, grain, (start, end));
    let Some((from, to)) = back.from(start).zip(back.from(end)) else { return Ok(None) };
    let mut other = question.clone();
    other.range = TimeRange::between(from, to);
    let numbers = once(engine, caller, metric, &other)?.numbers;
    let place = |at: &i64| back.from(*at).and_then(|at| numbers.times.binary_search(&at).ok());
    let places: Vec<Option<usize>> = now.times.iter().map(place).collect();
    let brought = numbers.series.into_iter().map(|series| Series {
        values: places.iter().map(|place| place.and_then(|at| series.values[at])).collect(),
        group: series.group,
    });
    Ok(Some(brought.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    #[test]
    fn the_other_stretch_is_whole_steps_away() {
        let month = (ms("2026-10-24T00:00:00Z"), ms("2026-11-23T13:00:00Z"));
        assert_eq!(Back::of(Compare::Previous, "day", month), Back::Ms(31 * DAY));
        assert_eq!(Back::of(Compare::Previous, "week", month), Back::Ms(35 * DAY));
        assert_eq!(Back::of(Compare::Previous, "month", month), Back::Months(2));
        assert_eq!(Back::of(Compare::Year, "week", month), Back::Ms(364 * DAY));
        let leap = ms("2024-02-29T00:00:00Z");
        assert_eq!(Back::Months(12).from(leap), Some(ms("2023-02-28T00:00:00Z")));
        assert_eq!(months_over(ms("2026-01-01T00:00:00Z"), ms("2026-02-01T00:00:00Z")), 1);
    }
}
