//! Times as the API takes them.

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds since 1970 as RFC 3339 in UTC.
///
/// # Panics
/// If the year has more than six digits.
pub fn rfc3339(at_ms: i64) -> String {
    let at = DateTime::from_timestamp_millis(at_ms).expect("a year of up to six digits");
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}
