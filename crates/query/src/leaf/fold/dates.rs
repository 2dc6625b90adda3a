//! Where date intervals begin.

use crate::Interval;
use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The first Monday after 1970 began.
const MONDAY_MS: i64 = 4 * DAY_MS;

/// How dates are cut into intervals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounding {
    /// The length.
    pub(super) interval: Interval,
    /// Where days begin.
    pub(super) time_zone: Tz,
    /// Shift of every beginning.
    pub(super) offset_ms: i64,
}

impl Rounding {
    /// The beginning of the interval that `time` lies in.
    pub(super) fn start(&self, time: i64) -> i64 {
        let time = time.saturating_sub(self.offset_ms);
        self.plain_start(time).saturating_add(self.offset_ms)
    }

    /// The first of an even row of beginnings, and their distance, if all are equally long.
    fn even(&self) -> Option<(i64, i64)> {
        let (anchor, step) = match self.interval {
            Interval::Fixed(step) => (0, step.max(1)),
            Interval::Minute => (0, MINUTE_MS),
            Interval::Hour => (0, HOUR_MS),
            Interval::Day => (0, DAY_MS),
            Interval::Week => (MONDAY_MS, 7 * DAY_MS),
            Interval::Month | Interval::Quarter | Interval::Year => return None,
        };
        (self.time_zone == Tz::UTC).then_some((anchor, step))
    }

    fn plain_start(&self, time: i64) -> i64 {
        if let Some((anchor, step)) = self.even() {
            return floor(time.saturating_sub(anchor), step).saturating_add(anchor);
        }
        let Some(utc) = DateTime::from_timestamp_millis(time) else {
            return floor(time, DAY_MS);
        };
        let offset = self.time_zone.offset_from_utc_datetime(&utc.naive_utc()).fix();
        let offset_ms = i64::from(offset.local_minus_utc()) * 1000;
        let local = utc.naive_utc() + chrono::TimeDelta::milliseconds(offset_ms);
        let date = local.date();
        let start = match self.interval {
            Interval::Fixed(step) => {
                return floor(time + offset_ms, step.max(1)) - offset_ms;
            }
            Interval::Minute => return floor(time + offset_ms, MINUTE_MS) - offset_ms,
            Interval::Hour => return floor(time + offset_ms, HOUR_MS) - offset_ms,
            Interval::Day => Some(date),
            Interval::Week => {
                date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday())))
            }
            Interval::Month => NaiveDate::from_ymd_opt(date.year(), date.month(), 1),
            Interval::Quarter => NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1),
            Interval::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
        };
        match start.and_then(|date| self.midnight(date)) {
            Some(start) => start,
            None => floor(time, DAY_MS),
        }
    }

    /// The first moment of a local day, which is not always midnight.
    fn midnight(&self, date: NaiveDate) -> Option<i64> {
        let midnight: NaiveDateTime = date.and_hms_opt(0, 0, 0)?;
        for quarter_hours in 0..=12 {
            let local = midnight + chrono::TimeDelta::minutes(15 * quarter_hours);
            match self.time_zone.from_local_datetime(&local) {
                LocalResult::Single(time) => return Some(time.timestamp_millis()),
                LocalResult::Ambiguous(earlier, _) => return Some(earlier.timestamp_millis()),
                LocalResult::None => {}
            }
        }
        None
    }

    /// A moment that surely lies in the interval after the one that begins at `start`.
    fn inside_next(&self, start: i64) -> i64 {
        let days = |days: i64| days * DAY_MS;
        let step = match self.interval {
            Interval::Fixed(step) => step.max(1),
            Interval::Minute => MINUTE_MS,
            Interval::Hour => HOUR_MS,
            // Half a day more than the shortest unit, less than the longest and half a unit.
            Interval::Day => days(1) + DAY_MS / 2,
            Interval::Week => days(7) + DAY_MS / 2,
            Interval::Month => days(31) + DAY_MS / 2,
            Interval::Quarter => days(92) + DAY_MS / 2,
            Interval::Year => days(366) + DAY_MS / 2,
        };
        start.saturating_add(step)
    }
}

fn floor(time: i64, step: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(step))
}

/// Every interval between two moments.
pub(super) struct Intervals {
    /// Where each begins, ascending; one more than there are intervals.
    starts: Vec<i64>,
    /// Their common length.
    step: Option<i64>,
}

impl Intervals {
    /// The intervals that `first..=last` touches, or `None` if there are more than `most`.
    pub(super) fn between(
        rounding: &Rounding,
        first: i64,
        last: i64,
        most: usize,
    ) -> Option<Intervals> {
        let start = rounding.start(first);
        if let Some((_, step)) = rounding.even() {
            let count = (last.checked_sub(start)? / step).checked_add(1)?;
            let count = usize::try_from(count).ok().filter(|count| *count <= most)?;
            let starts = (0..=count as i64)
                .map(|number| start.checked_add(number.checked_mul(step)?))
                .collect::<Option<_>>()?;
            return Some(Intervals { starts, step: Some(step) });
        }
        let mut starts = vec![start];
        let mut current = start;
        while current <= last {
            let inside = rounding.inside_next(current);
            let next = rounding.start(inside);
            // Where clocks are set by less than the interval, rounding may fall back.
            current = if next > current { next } else { inside };
            if inside == i64::MAX || starts.len() > most {
                return None;
            }
            starts.push(current);
        }
        Some(Intervals { starts, step: None })
    }

    /// Intervals with these ends, ascending; each begins where the one before ends.
    pub(super) fn of(edges: Vec<i64>) -> Intervals {
        Intervals { starts: edges, step: None }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Where interval `number` begins.
    pub(super) fn start(&self, number: usize) -> i64 {
        self.starts[number]
    }

    /// Which interval a moment between the first and the last lies in.
    pub(super) fn number(&self, time: i64) -> u32 {
        match self.step {
            Some(step) => ((time - self.starts[0]) / step) as u32,
            None => {
                let after = self.starts.partition_point(|start| *start <= time);
                after.saturating_sub(1).min(self.starts.len() - 2) as u32
            }
        }
    }

    /// A run of numbers for values that mostly stay in one interval.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { intervals: self, from: i64::MAX, to: i64::MIN, number: 0 }
    }
}

/// Remembers the interval of the last value.
pub(super) struct Cursor<'a> {
    intervals: &'a Intervals,
    from: i64,
    to: i64,
    number: u32,
}

impl Cursor<'_> {
    /// Which interval `time` lies in.
    #[inline]
    pub(super) fn number(&mut self, time: i64) -> u32 {
        if time < self.from || time >= self.to {
            self.number = self.intervals.number(time);
            self.from = self.intervals.starts[self.number as usize];
            self.to = self.intervals.starts[self.number as usize + 1];
        }
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rounding(interval: Interval, time_zone: Tz) -> Rounding {
        Rounding { interval, time_zone, offset_ms: 0 }
    }

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    #[test]
    fn calendar_units_begin_where_the_time_zone_says() {
        let berlin = Tz::Europe__Berlin;
        let check = |interval, tz, time, start| {
            assert_eq!(rounding(interval, tz).start(at(time)), at(start), "{interval:?} {tz}");
        };
        check(Interval::Day, Tz::UTC, "2026-11-23T13:00:00Z", "2026-11-23T00:00:00Z");
        check(Interval::Day, berlin, "2026-11-23T23:30:00Z", "2026-11-24T00:00:00+01:00");
        check(Interval::Day, berlin, "2026-03-29T12:00:00Z", "2026-03-29T00:00:00+01:00");
        check(Interval::Week, Tz::UTC, "2026-11-22T13:00:00Z", "2026-11-16T00:00:00Z");
        check(Interval::Week, berlin, "2026-11-22T23:30:00Z", "2026-11-23T00:00:00+01:00");
        check(Interval::Month, berlin, "2026-11-30T23:30:00Z", "2026-12-01T00:00:00+01:00");
        check(Interval::Quarter, Tz::UTC, "2026-11-30T23:30:00Z", "2026-10-01T00:00:00Z");
        check(Interval::Year, Tz::UTC, "2026-11-30T23:30:00Z", "2026-01-01T00:00:00Z");
        check(Interval::Hour, Tz::Asia__Kolkata, "2026-11-23T13:10:00Z", "2026-11-23T12:30:00Z");
        // Clocks went forward at midnight: the day begins at one.
        check(
            Interval::Day,
            Tz::America__Sao_Paulo,
            "2018-11-04T12:00:00Z",
            "2018-11-04T03:00:00Z",
        );
        // Before 1970 intervals still begin before what lies in them.
        check(Interval::Hour, Tz::UTC, "1969-12-31T23:10:00Z", "1969-12-31T23:00:00Z");
    }

    #[test]
    fn the_longest_day_has_one_interval() {
        let day = rounding(Interval::Day, Tz::Europe__Berlin);
        let (first, last) = (at("2026-10-24T00:00:00+02:00"), at("2026-10-26T12:00:00+01:00"));
        let intervals = Intervals::between(&day, first, last, 100).unwrap();
        assert_eq!(intervals.len(), 3);
        assert_eq!(intervals.start(2) - intervals.start(1), 25 * HOUR_MS);
    }

    proptest! {
        #[test]
        fn intervals_agree_with_rounding(
            first in 0i64..2_000_000_000_000,
            span in 0i64..8_000_000_000,
            part in 0.0f64..=1.0,
            unit in 0usize..8,
            zone in 0usize..5,
        ) {
            let interval = [
                Interval::Fixed(7_200_000), Interval::Minute, Interval::Hour, Interval::Day,
                Interval::Week, Interval::Month, Interval::Quarter, Interval::Year,
            ][unit];
            let zone = [
                Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York, Tz::Asia__Kolkata,
                Tz::America__Sao_Paulo,
            ][zone];
            let rounding = rounding(interval, zone);
            let time = first + (span as f64 * part) as i64;
            let intervals = Intervals::between(&rounding, first, first + span, 1_000_000).unwrap();
            let number = intervals.number(time) as usize;
            prop_assert!(intervals.start(number) <= time);
            prop_assert!(number + 1 == intervals.len() || intervals.start(number + 1) > time);
            if !matches!(interval, Interval::Fixed(_)) {
                prop_assert_eq!(intervals.start(number), rounding.start(time));
            }
            prop_assert_eq!(intervals.cursor().number(time) as usize, number);
        }
    }
}
