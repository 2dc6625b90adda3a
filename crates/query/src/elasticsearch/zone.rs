//! Time zones as Elasticsearch names them: `Europe/Berlin`, `+01:00`, `Z`.

use super::EsError;
use chrono::{NaiveDate, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

/// Where the days of a question begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// A zone with a name.
    Named(Tz),
    /// Seconds east of Greenwich.
    Fixed(i32),
}

/// Greenwich.
pub(super) const UTC: Zone = Zone::Fixed(0);

impl Zone {
    /// Reads a `time_zone`.
    pub(super) fn parse(text: &str) -> Result<Zone, EsError> {
        if let Some(seconds) = parse_offset(text) {
            return Ok(Zone::Fixed(seconds));
        }
        if matches!(text, "UTC" | "GMT" | "UT") {
            return Ok(UTC);
        }
        text.parse()
            .map(Zone::Named)
            .map_err(|_| EsError::illegal(format!("Unknown time-zone ID: [{text}]")))
    }

    /// The wall clock at a moment, and how many seconds it is ahead of Greenwich.
    pub(super) fn local(self, millis: i64) -> Option<(NaiveDateTime, i32)> {
        let utc = chrono::DateTime::from_timestamp_millis(millis)?.naive_utc();
        let seconds = match self {
            Zone::Fixed(seconds) => seconds,
            Zone::Named(tz) => {
                chrono::Offset::fix(&tz.offset_from_utc_datetime(&utc)).local_minus_utc()
            }
        };
        Some((utc.checked_add_signed(TimeDelta::seconds(i64::from(seconds)))?, seconds))
    }

    /// The moment when a wall clock shows this: the first of two, and after a gap its end.
    pub(super) fn moment(self, local: NaiveDateTime) -> Option<i64> {
        let tz = match self {
            Zone::Fixed(seconds) => {
                return local
                    .and_utc()
                    .timestamp_millis()
                    .checked_sub(i64::from(seconds).checked_mul(1000)?);
            }
            Zone::Named(tz) => tz,
        };
        if let Some(time) = tz.from_local_datetime(&local).earliest() {
            return Some(time.timestamp_millis());
        }
        // The clock jumped over it: as much later as the jump is wide.
        let before = local.checked_sub_signed(TimeDelta::hours(3))?;
        let start = tz.from_local_datetime(&before).earliest()?.timestamp_millis();
        start.checked_add(3 * 3_600_000)
    }

    /// The named zone and the shift of interval starts, in milliseconds, that `query`'s date
    /// groups take: a fixed offset is Greenwich with starts moved by that much.
    pub(super) fn for_groups(self) -> (Tz, i64) {
        match self {
            Zone::Named(tz) => (tz, 0),
            Zone::Fixed(seconds) => (Tz::UTC, -i64::from(seconds) * 1000),
        }
    }
}

/// `Z`, `+01`, `+0130`, `+01:30`, in seconds; at most 18 hours.
pub(super) fn parse_offset(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    if !rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let (hours, minutes) = match (rest.len(), rest.split_once(':')) {
        (4 | 5, Some((hours, minutes))) => (hours, minutes),
        (4, None) => rest.split_at(2),
        (1 | 2, None) => (rest, "0"),
        _ => return None,
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// `+01:00`, or `Z` at Greenwich.
pub(super) fn print_offset(seconds: i32) -> String {
    if seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// The start of the day `days_back` before this one.
pub(super) fn midnight(date: NaiveDate) -> NaiveDateTime {
    date.and_time(chrono::NaiveTime::MIN)
}
