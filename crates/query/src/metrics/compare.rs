//! The same question about an earlier time.

use super::grid::Range;
use super::model::Grain;
use super::plan::{Asked, Row};
use super::request::Compare;
use super::span::Shift;
use crate::leaf;
use crate::{Limits, QueryError};
use chrono_tz::Tz;
use model::Value;
use std::collections::HashMap;

/// An earlier time, and which of its intervals stand for which of the later ones.
pub(super) struct Before {
    range: Range,
    /// The later interval for each earlier one; empty for the total.
    later: HashMap<i64, i64>,
    is_total: bool,
}

impl Before {
    /// The time that a range is compared with.
    pub(super) fn of(
        compare: Compare,
        asked: &Asked,
        range: Range,
        limits: &Limits,
    ) -> Result<Before, QueryError> {
        let (Some(from), Some(to)) = (range.from, range.to) else {
            return Err(QueryError::Invalid("a comparison needs `from` and `to`".to_owned()));
        };
        if asked.query.steps.is_some() {
            return Err(QueryError::Unsupported("steps are not compared".to_owned()));
        }
        let zone = asked.query.time_zone;
        let too_many = || QueryError::TooManyGroups { limit: limits.buckets };
        let starts = |interval, first, last| {
            leaf::interval_starts(interval, zone, first, last, limits.buckets).ok_or_else(too_many)
        };
        let interval = asked.grain.interval();
        let now = match interval {
            Some(interval) => starts(interval, from, to - 1)?,
            None => Vec::new(),
        };
        let shift = shift(compare, asked.grain, zone, (from, to), now.len() as i64);
        let mut later = HashMap::with_capacity(now.len());
        if let Some(interval) = interval {
            for start in now {
                let before = shift.before(start, zone);
                let begins = starts(interval, before, before)?;
                // Where clocks are set, two may meet one: the first has it.
                later.entry(begins.first().copied().unwrap_or(before)).or_insert(start);
            }
        }
        let range =
            Range { from: Some(shift.before(from, zone)), to: Some(shift.before(to, zone)) };
        Ok(Before { range, later, is_total: interval.is_none() })
    }

    /// The earlier time.
    pub(super) fn range(&self) -> Range {
        self.range
    }

    /// Rows of the earlier time under the intervals that they are compared with.
    pub(super) fn rows(&self, rows: Vec<Row>) -> Vec<Row> {
        if self.is_total {
            return rows;
        }
        let moved = |mut row: Row| {
            let Some(Some(Value::Long(time))) = row.key.first() else { return None };
            row.key[0] = Some(Value::Long(*self.later.get(time)?));
            Some(row)
        };
        rows.into_iter().filter_map(moved).collect()
    }
}

/// How far back a comparison lies: whole intervals, so that they stand beside each other.
fn shift(compare: Compare, grain: Grain, zone: Tz, (from, to): (i64, i64), count: i64) -> Shift {
    match (compare, grain) {
        // Weeks stand beside weeks.
        (Compare::PreviousYear, Grain::Week) => Shift::Days(52 * 7),
        (Compare::PreviousYear, _) => Shift::Months(12),
        (Compare::PreviousPeriod, Grain::Day) => Shift::Days(count),
        (Compare::PreviousPeriod, Grain::Week) => Shift::Days(7 * count),
        (Compare::PreviousPeriod, Grain::Month) => Shift::Months(count),
        (Compare::PreviousPeriod, Grain::Quarter) => Shift::Months(3 * count),
        (Compare::PreviousPeriod, Grain::Year) => Shift::Months(12 * count),
        (Compare::PreviousPeriod, Grain::Minute) => Shift::Ms(60_000 * count),
        (Compare::PreviousPeriod, Grain::Hour) => Shift::Ms(3_600_000 * count),
        (Compare::PreviousPeriod, Grain::Total) => whole_days(from, to, zone),
    }
}

/// Days if the range begins and ends with one, so that a day on which clocks are set is one.
fn whole_days(from: i64, to: i64, zone: Tz) -> Shift {
    let days = (to - from + 43_200_000) / 86_400_000;
    match Shift::Days(days).before(to, zone) == from {
        true => Shift::Days(days),
        false => Shift::Ms(to - from),
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::MetricQuery;
    use super::*;
    use chrono::DateTime;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    #[track_caller]
    fn check(compare: Compare, grain: Grain, range: (&str, &str), before: (&str, &str)) {
        let query = MetricQuery { time_zone: Tz::Europe__Berlin, ..MetricQuery::default() };
        let asked = Asked { query, grain };
        let range = Range { from: Some(at(range.0)), to: Some(at(range.1)) };
        let found = Before::of(compare, &asked, range, &Limits::standard()).unwrap();
        let expected = Range { from: Some(at(before.0)), to: Some(at(before.1)) };
        assert_eq!(found.range(), expected);
    }

    #[test]
    fn the_time_before_is_as_long_by_the_calendar() {
        // A week with the day on which clocks go back, and the one before it.
        let week = ("2026-10-20T00:00:00+02:00", "2026-10-27T00:00:00+01:00");
        let before = ("2026-10-13T00:00:00+02:00", "2026-10-20T00:00:00+02:00");
        check(Compare::PreviousPeriod, Grain::Day, week, before);
        check(Compare::PreviousPeriod, Grain::Total, week, before);
        let month = ("2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00");
        let before = ("2026-02-01T00:00:00+01:00", "2026-03-01T00:00:00+01:00");
        check(Compare::PreviousPeriod, Grain::Month, month, before);
        let before = ("2025-03-01T00:00:00+01:00", "2025-04-01T00:00:00+02:00");
        check(Compare::PreviousYear, Grain::Day, month, before);
        // Mondays stand beside Mondays.
        let weeks = ("2026-11-02T00:00:00+01:00", "2026-11-16T00:00:00+01:00");
        let before = ("2025-11-03T00:00:00+01:00", "2025-11-17T00:00:00+01:00");
        check(Compare::PreviousYear, Grain::Week, weeks, before);
    }
}
