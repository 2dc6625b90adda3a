//! How long a cursor is kept, in Elasticsearch's units.

use crate::EngineError;
use model::Timestamp;

/// The longest that a cursor waits for its next page (Elasticsearch's `search.max_keep_alive`).
const KEEP_ALIVE_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// No scroll or point in time gets older, however often it is asked: what it holds is given back
/// one day, and a row outlives its retention by no more.
pub(super) const AGE_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// Elasticsearch's longest and shortest for asynchronous searches.
const BACKGROUND_MS_MAX: i64 = 5 * 24 * 60 * 60 * 1000;
const BACKGROUND_MS_MIN: i64 = 60 * 1000;

/// `1m`, `30s`, `500ms`, … in milliseconds; at least one.
pub(super) fn length(text: &str, setting: &str) -> Result<i64, EngineError> {
    let wrong = |why: &str| {
        let text = text.escape_debug();
        EngineError::illegal_argument(format!(
            "failed to parse setting [{setting}] with value [{text}] as a time value: {why}"
        ))
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: i64 = number.parse().map_err(|_| wrong("a number and a unit, such as 1m"))?;
    let micros = match unit {
        "d" => 24 * 60 * 60 * 1_000_000,
        "h" => 60 * 60 * 1_000_000,
        "m" => 60 * 1_000_000,
        "s" => 1_000_000,
        "ms" => 1000,
        "micros" => 1,
        "nanos" => 0,
        _ => return Err(wrong("unit is missing or unrecognized")),
    };
    let micros = number.checked_mul(micros).ok_or_else(|| wrong("it is too large"))?;
    Ok((micros / 1000).max(1))
}

/// When a scroll or point in time ends that was opened at `opened`.
pub(super) fn until(
    text: &str,
    setting: &str,
    opened: Timestamp,
    now: Timestamp,
) -> Result<Timestamp, EngineError> {
    let length = length(text, setting)?;
    if length > KEEP_ALIVE_MS_MAX {
        let text = text.escape_debug();
        return Err(EngineError::illegal_argument(format!(
            "Keep alive for request ({text}) is too large. It must be less than (1d). This limit \
             can be set by changing the [search.max_keep_alive] cluster level setting."
        )));
    }
    let end = now.0.saturating_add(length).min(opened.0.saturating_add(AGE_MS_MAX));
    Ok(Timestamp(end))
}

/// When an asynchronous search ends.
pub(super) fn until_of_background(text: &str, now: Timestamp) -> Result<Timestamp, EngineError> {
    let length = length(text, "keep_alive")?;
    if !(BACKGROUND_MS_MIN..=BACKGROUND_MS_MAX).contains(&length) {
        let text = text.escape_debug();
        return Err(EngineError::new(
            400,
            "action_request_validation_exception",
            format!(
                "Validation Failed: 1: [keep_alive] must be from one minute to five days, got: [{text}];"
            ),
        ));
    }
    Ok(Timestamp(now.0.saturating_add(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_elasticsearch_does() {
        for (text, expected) in [
            ("1m", 60_000),
            ("500ms", 500),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1500micros", 1),
            ("9nanos", 1),
        ] {
            assert_eq!(length(text, "scroll").unwrap(), expected, "{text}");
        }
        for wrong in
            ["", "5", "m", "1x", "-1m", "1.5m", "99999999999999999999d", "9223372036854775807d"]
        {
            assert_eq!(length(wrong, "scroll").unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn nothing_is_held_longer_than_a_day() {
        let at = |text, opened, now| until(text, "scroll", Timestamp(opened), Timestamp(now));
        assert_eq!(at("1m", 0, 1000).unwrap(), Timestamp(61_000));
        assert_eq!(at("1d", 0, 1000).unwrap(), Timestamp(AGE_MS_MAX), "counted from its beginning");
        assert!(at("25h", 0, 0).unwrap_err().reason.contains("max_keep_alive"));
        assert!(until_of_background("1s", Timestamp(0)).is_err());
        assert!(until_of_background("6d", Timestamp(0)).is_err());
    }
}
