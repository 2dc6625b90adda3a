//! Lengths of time and calendar arithmetic: `7d`, a month back, the same day last year.

use chrono::{DateTime, Days, LocalResult, Months, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use std::fmt;

/// The longest span, in its unit.
const COUNT_MAX: u32 = 100_000;

/// A length of time in one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// How many, from 1.
    pub count: u32,
    /// Of what.
    pub unit: Unit,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// A day of the calendar, 23 to 25 hours.
    Day,
    /// Seven days of the calendar.
    Week,
    /// A month of the calendar.
    Month,
}

impl Unit {
    fn letter(self) -> &'static str {
        match self {
            Unit::Minute => "m",
            Unit::Hour => "h",
            Unit::Day => "d",
            Unit::Week => "w",
            Unit::Month => "M",
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit.letter())
    }
}

impl Span {
    /// Reads `30m`, `24h`, `7d`, `4w` or `1M`.
    pub fn parse(text: &str) -> Option<Span> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit())?;
        let (count, unit) = text.split_at(split);
        let count: u32 = count.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count))?;
        let all = [Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month];
        let unit = all.into_iter().find(|known| known.letter() == unit)?;
        Some(Span { count, unit })
    }

    /// How long it is if no clock is set meanwhile; months have no length.
    pub fn fixed_ms(self) -> Option<i64> {
        let unit: i64 = match self.unit {
            Unit::Minute => 60_000,
            Unit::Hour => 3_600_000,
            Unit::Day => 86_400_000,
            Unit::Week => 7 * 86_400_000,
            Unit::Month => return None,
        };
        Some(i64::from(self.count) * unit)
    }

    /// The moment that lies so long before `time`; days and longer go by the calendar.
    pub(super) fn before(self, time: i64, zone: Tz) -> i64 {
        let count = i64::from(self.count);
        match self.unit {
            Unit::Minute => time.saturating_sub(count * 60_000),
            Unit::Hour => time.saturating_sub(count * 3_600_000),
            Unit::Day => Shift::Days(count).before(time, zone),
            Unit::Week => Shift::Days(7 * count).before(time, zone),
            Unit::Month => Shift::Months(count).before(time, zone),
        }
    }
}

/// A way back in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    /// So many milliseconds.
    Ms(i64),
    /// The same time of day so many days before.
    Days(i64),
    /// The same day of the month so many months before, or the last one of a shorter month.
    Months(i64),
}

impl Shift {
    /// The moment before `time`.
    pub(super) fn before(self, time: i64, zone: Tz) -> i64 {
        let calendar = |back: &dyn Fn(NaiveDateTime) -> Option<NaiveDateTime>| {
            let local = zone.from_utc_datetime(&DateTime::from_timestamp_millis(time)?.naive_utc());
            resolve(back(local.naive_local())?, zone)
        };
        let moved = match self {
            Shift::Ms(ms) => Some(time.saturating_sub(ms)),
            Shift::Days(days) => {
                calendar(&|local| local.checked_sub_days(Days::new(days.unsigned_abs())))
            }
            Shift::Months(months) => calendar(&|local| {
                local.checked_sub_months(Months::new(u32::try_from(months).ok()?))
            }),
        };
        moved.unwrap_or(i64::MIN)
    }
}

/// The moment of a local time; where the clock jumps over it, the first moment after.
fn resolve(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    for quarter_hours in 0..=12 {
        let later = local + TimeDelta::minutes(15 * quarter_hours);
        match zone.from_local_datetime(&later) {
            LocalResult::Single(time) => return Some(time.timestamp_millis()),
            LocalResult::Ambiguous(earlier, _) => return Some(earlier.timestamp_millis()),
            LocalResult::None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    #[test]
    fn spans_are_read_and_written() {
        for text in ["30m", "24h", "7d", "4w", "1M"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "d", "7", "0d", "7 days", "-1d", "999999d", "7D"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }

    #[test]
    fn days_go_by_the_calendar_where_clocks_are_set() {
        let berlin = Tz::Europe__Berlin;
        let week = Span::parse("7d").unwrap();
        // Clocks went back on 2026-10-25: the seven days are 169 hours.
        let end = at("2026-10-27T00:00:00+01:00");
        assert_eq!(week.before(end, berlin), at("2026-10-20T00:00:00+02:00"));
        let hours = Span::parse("168h").unwrap();
        assert_eq!(hours.before(end, berlin), at("2026-10-20T01:00:00+02:00"));
        // 02:30 did not exist on 2026-03-29.
        let shifted = Shift::Days(1).before(at("2026-03-30T02:30:00+02:00"), berlin);
        assert_eq!(shifted, at("2026-03-29T03:00:00+02:00"));
    }

    #[test]
    fn months_and_years_end_where_the_calendar_ends() {
        let utc = Tz::UTC;
        let month = Shift::Months(1).before(at("2026-03-31T00:00:00Z"), utc);
        assert_eq!(month, at("2026-02-28T00:00:00Z"));
        let year = Shift::Months(12).before(at("2028-02-29T12:00:00Z"), utc);
        assert_eq!(year, at("2027-02-28T12:00:00Z"));
        assert_eq!(Shift::Days(1).before(i64::MIN + 5, utc), i64::MIN);
    }
}
