//! Where the buckets of a date histogram begin.

use super::super::date_math::{add_days, add_months};
use super::super::zone::{Zone, midnight};
use crate::{GroupBy, Interval};
use chrono::{Datelike, Days, NaiveDate};

/// An interval of dates, where its days begin, and how far starts are shifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Calendar {
    pub(in super::super) interval: Interval,
    pub(in super::super) zone: Zone,
    pub(in super::super) offset_ms: i64,
}

impl Calendar {
    /// The group of a fold that puts rows into these buckets.
    pub(super) fn group(self, field: &str) -> GroupBy {
        let (time_zone, shift_ms) = self.zone.for_groups();
        GroupBy::Date {
            field: field.to_owned(),
            interval: self.interval,
            time_zone,
            offset_ms: self.offset_ms.saturating_add(shift_ms),
        }
    }

    /// How long a bucket is if all have the same length.
    fn fixed(self) -> Option<i64> {
        match self.interval {
            Interval::Fixed(length) => Some(length),
            Interval::Minute => Some(60_000),
            Interval::Hour => Some(3_600_000),
            _ => None,
        }
    }

    /// The start of the bucket that a moment lies in.
    pub(in super::super) fn floor(self, millis: i64) -> Option<i64> {
        let moment = millis.checked_sub(self.offset_ms)?;
        let start = match self.fixed() {
            Some(length) => {
                let (_, seconds) = self.zone.local(moment)?;
                let local = moment.checked_add(i64::from(seconds) * 1000)?;
                moment.checked_sub(local.rem_euclid(length))?
            }
            None => {
                let date = self.zone.local(moment)?.0.date();
                let first = match self.interval {
                    Interval::Day => date,
                    Interval::Week => {
                        let back = u64::from(date.weekday().num_days_from_monday());
                        date.checked_sub_days(Days::new(back))?
                    }
                    Interval::Month => date.with_day(1)?,
                    Interval::Quarter => {
                        NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1)?
                    }
                    _ => NaiveDate::from_ymd_opt(date.year(), 1, 1)?,
                };
                self.zone.moment(midnight(first))?
            }
        };
        start.checked_add(self.offset_ms)
    }

    /// The start of the bucket after the one that begins at `start`.
    pub(super) fn next(self, start: i64) -> Option<i64> {
        if let Some(length) = self.fixed() {
            return start.checked_add(length);
        }
        // A day whose midnight the clocks jumped over begins later; the next one does not.
        let first = midnight(self.zone.local(start.checked_sub(self.offset_ms)?)?.0.date());
        let next = match self.interval {
            Interval::Day => add_days(first, 1)?,
            Interval::Week => add_days(first, 7)?,
            Interval::Month => add_months(first, 1)?,
            Interval::Quarter => add_months(first, 3)?,
            _ => add_months(first, 12)?,
        };
        self.zone.moment(next)?.checked_add(self.offset_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::date_format::DateFormat;
    use super::super::super::zone::UTC;
    use super::*;

    fn steps(interval: Interval, zone: &str, from: &str, offset_ms: i64) -> Vec<String> {
        let zone = Zone::parse(zone).unwrap();
        let calendar = Calendar { interval, zone, offset_ms };
        let format = DateFormat::default();
        let mut at = calendar.floor(format.read(from, UTC, false).unwrap()).unwrap();
        let mut out = Vec::new();
        for _ in 0..3 {
            assert_eq!(calendar.floor(at), Some(at), "a start is its own start");
            out.push(format.write(at, zone));
            at = calendar.next(at).unwrap();
        }
        out
    }

    #[test]
    fn days_are_as_long_as_the_zone_makes_them() {
        assert_eq!(
            steps(Interval::Day, "Europe/Berlin", "2026-03-28T12:00:00Z", 0),
            [
                "2026-03-28T00:00:00.000+01:00",
                "2026-03-29T00:00:00.000+01:00",
                "2026-03-30T00:00:00.000+02:00"
            ]
        );
        assert_eq!(
            steps(Interval::Quarter, "+05:30", "2026-05-01", 0)[1],
            "2026-07-01T00:00:00.000+05:30"
        );
        assert_eq!(steps(Interval::Week, "UTC", "2026-03-18", 0)[0], "2026-03-16T00:00:00.000Z");
        assert_eq!(
            steps(Interval::Day, "UTC", "2026-03-18T05:00:00Z", 6 * 3_600_000)[0],
            "2026-03-17T06:00:00.000Z"
        );
        assert_eq!(
            steps(Interval::Fixed(5 * 60_000), "UTC", "2026-03-18T05:03:00Z", 0)[1],
            "2026-03-18T05:05:00.000Z"
        );
    }
}
