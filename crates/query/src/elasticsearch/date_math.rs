//! Date math: `now-1d/d`, `2015-05-17||+1M/M`.

use super::EsError;
use super::date_format::DateFormat;
use super::zone::{Zone, midnight};
use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, Timelike};
use model::Timestamp;

/// How a text is to be understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    /// The format of dates.
    pub(super) format: &'a DateFormat,
    /// Where a date without an offset is, and where days begin.
    pub(super) zone: Zone,
    /// Give the last millisecond of what the text names (`lte`, `gt`), not the first.
    pub(super) round_up: bool,
    /// What `now` is.
    pub(super) now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// The moment that `text` names, in milliseconds.
pub(super) fn read(text: &str, reading: Reading<'_>) -> Result<i64, EsError> {
    let unreadable = || {
        EsError::date(format!(
            "failed to parse date field [{text}] with format [{}]",
            reading.format.text()
        ))
    };
    let (start, math) = if let Some(math) = text.strip_prefix("now") {
        (reading.now.0, math)
    } else if let Some((date, math)) = text.split_once("||") {
        (reading.format.read(date, reading.zone, false).ok_or_else(unreadable)?, math)
    } else {
        return reading.format.read(text, reading.zone, reading.round_up).ok_or_else(unreadable);
    };
    compute(start, math, reading)
}

fn compute(start: i64, math: &str, reading: Reading<'_>) -> Result<i64, EsError> {
    let too_far = || EsError::date(format!("date math [{math}] leaves the range of dates"));
    let truncated = || EsError::date(format!("truncated date math [{math}]"));
    let mut millis = start;
    let mut chars = math.chars().peekable();
    while let Some(operator) = chars.next() {
        if !matches!(operator, '+' | '-' | '/') {
            return Err(EsError::date(format!("operator not supported for date math [{math}]")));
        }
        let mut digits = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let unit = chars.next().ok_or_else(truncated)?;
        let unit = Unit::parse(unit).ok_or_else(|| {
            EsError::date(format!("unit [{unit}] not supported for date math [{math}]"))
        })?;
        if operator == '/' {
            if !digits.is_empty() && digits != "1" {
                return Err(EsError::date(format!(
                    "rounding `/` can only be used on single unit types [{math}]"
                )));
            }
            millis = unit.round(millis, reading).ok_or_else(too_far)?;
            continue;
        }
        let count: i64 =
            if digits.is_empty() { 1 } else { digits.parse().map_err(|_| too_far())? };
        let count = if operator == '-' { -count } else { count };
        millis = unit.add(millis, count, reading.zone).ok_or_else(too_far)?;
    }
    Ok(millis)
}

impl Unit {
    fn parse(letter: char) -> Option<Unit> {
        Some(match letter {
            's' => Unit::Second,
            'm' => Unit::Minute,
            'h' | 'H' => Unit::Hour,
            'd' => Unit::Day,
            'w' => Unit::Week,
            'M' => Unit::Month,
            'y' => Unit::Year,
            _ => return None,
        })
    }

    fn fixed(self) -> Option<i64> {
        match self {
            Unit::Second => Some(1_000),
            Unit::Minute => Some(60_000),
            Unit::Hour => Some(3_600_000),
            _ => None,
        }
    }

    fn add(self, millis: i64, count: i64, zone: Zone) -> Option<i64> {
        if let Some(length) = self.fixed() {
            return in_range(millis.checked_add(length.checked_mul(count)?)?);
        }
        let (local, _) = zone.local(millis)?;
        let moved = match self {
            Unit::Week => add_days(local, count.checked_mul(7)?)?,
            Unit::Month => add_months(local, count)?,
            Unit::Year => add_months(local, count.checked_mul(12)?)?,
            _ => add_days(local, count)?,
        };
        in_range(zone.moment(moved)?)
    }

    fn round(self, millis: i64, reading: Reading<'_>) -> Option<i64> {
        let (local, _) = reading.zone.local(millis)?;
        let date = local.date();
        let floor = match self {
            Unit::Second => local.with_nanosecond(0)?,
            Unit::Minute => local.with_nanosecond(0)?.with_second(0)?,
            Unit::Hour => local.with_nanosecond(0)?.with_second(0)?.with_minute(0)?,
            Unit::Day => midnight(date),
            Unit::Week => {
                let back = u64::from(date.weekday().num_days_from_monday());
                midnight(date.checked_sub_days(Days::new(back))?)
            }
            Unit::Month => midnight(date.with_day(1)?),
            Unit::Year => midnight(NaiveDate::from_ymd_opt(date.year(), 1, 1)?),
        };
        let start = reading.zone.moment(floor)?;
        if !reading.round_up {
            return Some(start);
        }
        self.add(start, 1, reading.zone)?.checked_sub(1)
    }
}

fn in_range(millis: i64) -> Option<i64> {
    chrono::DateTime::from_timestamp_millis(millis).map(|_| millis)
}

/// Moves a wall clock by whole days.
pub(super) fn add_days(local: NaiveDateTime, count: i64) -> Option<NaiveDateTime> {
    let days = Days::new(count.unsigned_abs());
    if count < 0 { local.checked_sub_days(days) } else { local.checked_add_days(days) }
}

/// Moves a wall clock by whole months; the 31st becomes the last day of a shorter month.
pub(super) fn add_months(local: NaiveDateTime, count: i64) -> Option<NaiveDateTime> {
    let months = Months::new(u32::try_from(count.unsigned_abs()).ok()?);
    if count < 0 { local.checked_sub_months(months) } else { local.checked_add_months(months) }
}

#[cfg(test)]
mod tests {
    use super::super::zone::UTC;
    use super::*;

    fn at(text: &str, zone: Zone, round_up: bool) -> Result<String, EsError> {
        let format = DateFormat::default();
        let now = Timestamp(format.read("2026-03-18T14:37:21.250Z", UTC, false).unwrap());
        read(text, Reading { format: &format, zone, round_up, now })
            .map(|millis| format.write(millis, UTC))
    }

    #[test]
    fn rounds_down_and_up_as_elasticsearch_does() {
        for (text, down, up) in [
            ("now", "2026-03-18T14:37:21.250Z", "2026-03-18T14:37:21.250Z"),
            ("now-1d/d", "2026-03-17T00:00:00.000Z", "2026-03-17T23:59:59.999Z"),
            ("now/w", "2026-03-16T00:00:00.000Z", "2026-03-22T23:59:59.999Z"),
            ("now/M", "2026-03-01T00:00:00.000Z", "2026-03-31T23:59:59.999Z"),
            ("now/y", "2026-01-01T00:00:00.000Z", "2026-12-31T23:59:59.999Z"),
            ("now+1h/h", "2026-03-18T15:00:00.000Z", "2026-03-18T15:59:59.999Z"),
            ("now-30m", "2026-03-18T14:07:21.250Z", "2026-03-18T14:07:21.250Z"),
            ("2015-05-17||/M", "2015-05-01T00:00:00.000Z", "2015-05-31T23:59:59.999Z"),
            ("2015-01-31||+1M", "2015-02-28T00:00:00.000Z", "2015-02-28T00:00:00.000Z"),
            ("2015-01-31||+1M/d", "2015-02-28T00:00:00.000Z", "2015-02-28T23:59:59.999Z"),
            ("2015-05-17", "2015-05-17T00:00:00.000Z", "2015-05-17T23:59:59.999Z"),
            ("2015-05-17T10", "2015-05-17T10:00:00.000Z", "2015-05-17T10:59:59.999Z"),
            ("2015-05", "2015-05-01T00:00:00.000Z", "2015-05-01T23:59:59.999Z"),
        ] {
            assert_eq!(at(text, UTC, false).as_deref(), Ok(down), "{text} down");
            assert_eq!(at(text, UTC, true).as_deref(), Ok(up), "{text} up");
        }
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        assert_eq!(at("now/d", berlin, false).as_deref(), Ok("2026-03-17T23:00:00.000Z"));
        // The night in which the clocks go forward has 23 hours.
        assert_eq!(at("2026-03-29||/d", berlin, true).as_deref(), Ok("2026-03-29T21:59:59.999Z"));
        let india = Zone::parse("+05:30").unwrap();
        assert_eq!(at("2026-03-18", india, false).as_deref(), Ok("2026-03-17T18:30:00.000Z"));
        assert_eq!(
            at("2026-03-29T02:30", berlin, false).as_deref(),
            Ok("2026-03-29T01:30:00.000Z")
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, reason) in [
            ("now*1d", "operator not supported for date math [*1d]"),
            ("now-1", "truncated date math [-1]"),
            ("now-1x", "unit [x] not supported for date math [-1x]"),
            ("now/2d", "rounding `/` can only be used on single unit types [/2d]"),
            ("now+99999999999999999999d", "leaves the range of dates"),
            ("now+999999999y", "leaves the range of dates"),
            ("yesterday", "failed to parse date field [yesterday] with format"),
        ] {
            let error = at(text, UTC, false).unwrap_err();
            assert!(error.reason.contains(reason), "{text}: {}", error.reason);
            assert_eq!(error.kind, "parse_exception");
        }
    }
}
