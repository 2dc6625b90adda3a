//! Dates as Elasticsearch reads them by default: `strict_date_optional_time||epoch_millis`.

/// A moment that was written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenDate {
    /// Milliseconds since 1970 in UTC; finer fractions are cut off.
    pub(crate) millis: i64,
    /// It was written with `+00:00`, where we would write `Z`.
    pub(crate) plus_zero: bool,
}

/// Whether a text of a field without a type makes that field a date.
///
/// A bare year could as well be a number, so a `-` is asked for, as Elasticsearch does.
pub(crate) fn looks_like_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 7 && bytes[4] == b'-' && parse_iso(bytes, b"T").is_some()
}

/// Reads the text of a date field: ISO 8601 with optional month, day, time, fraction (1 to 9
/// digits) and offset, a blank in the place of `T`, or a number of milliseconds. `None` for
/// anything else and for days and hours that do not exist.
pub(crate) fn parse_date(text: &str) -> Option<WrittenDate> {
    parse_iso(text.as_bytes(), b"T ").or_else(|| parse_millis(text))
}

fn parse_millis(text: &str) -> Option<WrittenDate> {
    let whole = text.split_once('.').map_or(text, |(whole, fraction)| {
        if fraction.bytes().all(|b| b.is_ascii_digit()) { whole } else { "" }
    });
    if whole.starts_with('+') {
        return None;
    }
    let millis = whole.parse().ok()?;
    Some(WrittenDate { millis, plus_zero: false })
}

fn parse_iso(bytes: &[u8], separators: &[u8]) -> Option<WrittenDate> {
    let mut rest = Cursor(bytes);
    let year = rest.digits(4)?;
    let mut month = 1;
    let mut day = 1;
    let mut time = None;
    if rest.eat(b'-') {
        month = rest.digits(2)?;
        if rest.eat(b'-') {
            day = rest.digits(2)?;
        }
    }
    if rest.0.first().is_some_and(|first| separators.contains(first)) {
        rest.0 = &rest.0[1..];
        time = Some(parse_time(&mut rest)?);
    }
    if !rest.0.is_empty() || !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
        return None;
    }
    let time = time.unwrap_or_default();
    let minutes = days_since_1970(year, month, day) * 1440 - i64::from(time.offset_minutes);
    Some(WrittenDate { millis: minutes * 60_000 + time.millis, plus_zero: time.plus_zero })
}

#[derive(Default)]
struct Time {
    millis: i64,
    offset_minutes: i32,
    plus_zero: bool,
}

fn parse_time(rest: &mut Cursor<'_>) -> Option<Time> {
    let mut time = Time::default();
    let hour = rest.digits(2)?;
    let mut minute = 0;
    let mut second = 0;
    if rest.eat(b':') {
        minute = rest.digits(2)?;
        if rest.eat(b':') {
            second = rest.digits(2)?;
            if rest.eat(b'.') || rest.eat(b',') {
                time.millis = rest.fraction_millis()?;
            }
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    time.millis += i64::from((hour * 60 + minute) * 60 + second) * 1000;
    let sign = match rest.0.first() {
        None => return Some(time),
        Some(b'Z') => {
            rest.0 = &rest.0[1..];
            return Some(time);
        }
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    rest.0 = &rest.0[1..];
    let hours = rest.digits(2)?;
    let colon = rest.eat(b':');
    let minutes = if colon || !rest.0.is_empty() { rest.digits(2)? } else { 0 };
    if hours > 18 || minutes > 59 {
        return None;
    }
    time.offset_minutes = sign * (hours * 60 + minutes);
    time.plus_zero = sign == 1 && time.offset_minutes == 0 && colon;
    Some(time)
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        let there = self.0.first() == Some(&byte);
        if there {
            self.0 = &self.0[1..];
        }
        there
    }

    fn digits(&mut self, count: usize) -> Option<i32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut number = 0;
        for byte in digits {
            number = number * 10 + i32::from(digit(*byte)?);
        }
        self.0 = rest;
        Some(number)
    }

    /// One to nine digits behind the point.
    fn fraction_millis(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return None;
        }
        let mut millis = 0;
        for place in 0..3 {
            let digit = if place < count { self.0[place] - b'0' } else { 0 };
            millis = millis * 10 + i64::from(digit);
        }
        self.0 = &self.0[count..];
        Some(millis)
    }
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

fn days_of(year: i32, month: i32) -> i32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`, <https://howardhinnant.github.io/date_algorithms.html>.
fn days_since_1970(year: i32, month: i32, day: i32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i64::from(era) * 146_097 + i64::from(day_of_era) - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<i64> {
        parse_date(text).map(|date| date.millis)
    }

    #[test]
    fn every_form_of_the_same_moment() {
        let moment = 1_795_420_800_000; // 2026-11-23T08:00:00Z
        for text in [
            "2026-11-23T08:00:00Z",
            "2026-11-23T08:00:00.000Z",
            "2026-11-23T08:00:00,000000000Z",
            "2026-11-23T08:00:00",
            "2026-11-23T08:00Z",
            "2026-11-23T08",
            "2026-11-23T09:00:00+01:00",
            "2026-11-23T09:00:00+0100",
            "2026-11-23T09:00:00+01",
            "2026-11-23T02:30:00-05:30",
            "2026-11-23 08:00:00",
            "1795420800000",
        ] {
            assert_eq!(millis(text), Some(moment), "{text}");
        }
        assert_eq!(millis("2026-11-23"), Some(moment - 8 * 3_600_000));
        assert_eq!(millis("2026-11"), Some(1_793_491_200_000));
        assert_eq!(millis("2026"), Some(1_767_225_600_000), "four digits are a year");
        assert_eq!(millis("2026-11-23T08:00:00.123456789Z"), Some(moment + 123));
        assert_eq!(millis("2026-11-23T08:00:00.5Z"), Some(moment + 500));
        assert_eq!(millis("1969-12-31T23:59:59.999Z"), Some(-1));
        assert_eq!(millis("2000-02-29"), Some(951_782_400_000));
        assert_eq!(millis("-5"), Some(-5));
    }

    #[test]
    fn impossible_dates_are_none() {
        for text in [
            "",
            "x",
            "2026-13-01",
            "2026-02-29",
            "1900-02-29",
            "2026-00-01",
            "2026-01-00",
            "2026-1-1",
            "2026-11-23T24:00:00Z",
            "2026-11-23T08:60:00Z",
            "2026-11-23T08:00:60Z",
            "2026-11-23T08:00:00.Z",
            "2026-11-23T08:00:00.1234567890Z",
            "2026-11-23T08:00:00+19:00",
            "2026-11-23T",
            "2026-11-23Z",
            "2026-11-23T08:00:00ZZ",
            "+1795420800000",
            "12.x",
            "1e9",
            "99999999999999999999",
            "2026-11-23T08:00:00+01:",
            "２０２６",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn what_makes_a_new_field_a_date() {
        for text in ["2026-11-23", "2026-11", "2026-11-23T08:00:00.1+00:00"] {
            assert!(looks_like_date(text), "{text}");
        }
        for text in
            ["2026", "1795420800000", "2026-99-99", "2026-11-23 08:00", "10-20-30", "1234-5678"]
        {
            assert!(!looks_like_date(text), "{text}");
        }
    }

    #[test]
    fn only_plus_zero_with_a_colon_is_remembered() {
        assert!(parse_date("2015-05-17T10:05:03+00:00").unwrap().plus_zero);
        for text in
            ["2015-05-17T10:05:03Z", "2015-05-17T10:05:03-00:00", "2015-05-17T10:05:03+0000"]
        {
            assert!(!parse_date(text).unwrap().plus_zero, "{text}");
        }
    }
}
