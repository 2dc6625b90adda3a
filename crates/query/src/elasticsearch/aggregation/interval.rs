//! Reading `calendar_interval`, `fixed_interval` and `offset`.

use super::super::EsError;
use crate::Interval;

/// `1d`, `day`, `month`, …
pub(super) fn calendar(text: &str) -> Result<Interval, EsError> {
    Ok(match text {
        "1m" | "minute" => Interval::Minute,
        "1h" | "hour" => Interval::Hour,
        "1d" | "day" => Interval::Day,
        "1w" | "week" => Interval::Week,
        "1M" | "month" => Interval::Month,
        "1q" | "quarter" => Interval::Quarter,
        "1y" | "year" => Interval::Year,
        "1s" | "second" => Interval::Fixed(1_000),
        _ => {
            return Err(EsError::illegal(format!(
                "The supplied interval [{text}] could not be parsed as a calendar interval."
            )));
        }
    })
}

/// `30s`, `12h`, `5d`, `250ms`
pub(super) fn fixed(text: &str) -> Result<Interval, EsError> {
    match length(text) {
        Some(length) if length > 0 => Ok(Interval::Fixed(length)),
        _ => Err(EsError::illegal(format!(
            "failed to parse setting [date_histogram.fixedInterval] with value [{text}] as a time \
             value: unit is missing or unrecognized"
        ))),
    }
}

/// `+6h`, `-1d`, or a number of milliseconds.
pub(super) fn offset(text: &str) -> Result<i64, EsError> {
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("-", rest)) => (-1, rest),
        Some(("+", rest)) => (1, rest),
        _ => (1, text),
    };
    let millis = rest.parse().ok().or_else(|| length(rest));
    millis.filter(|millis: &i64| *millis >= 0).map(|millis| sign * millis).ok_or_else(|| {
        EsError::illegal(format!(
            "failed to parse setting [date_histogram.offset] with value [{text}] as a time value: \
             unit is missing or unrecognized"
        ))
    })
}

/// Milliseconds of a length such as `90s`.
pub(in super::super) fn length(text: &str) -> Option<i64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" | "H" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_elasticsearch_does() {
        assert_eq!(calendar("1M"), Ok(Interval::Month));
        assert_eq!(
            calendar("2d").unwrap_err().reason,
            "The supplied interval [2d] could not be parsed as a calendar interval."
        );
        assert_eq!(fixed("90m"), Ok(Interval::Fixed(5_400_000)));
        for wrong in ["", "0s", "1M", "m", "1.5h", "99999999999999999999d", "-1d"] {
            assert!(fixed(wrong).is_err(), "{wrong}");
        }
        assert_eq!(offset("-6h"), Ok(-21_600_000));
        assert_eq!(offset("+1d"), Ok(86_400_000));
        assert!(offset("--1d").is_err());
    }
}
