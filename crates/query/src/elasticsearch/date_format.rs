//! Elasticsearch's date formats: built-in names, Java patterns, and alternatives with `||`.

use super::EsError;
use super::zone::{Zone, parse_offset, print_offset};
use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};

/// The format of a date field whose mapping names none.
pub(super) const DEFAULT: &str = "strict_date_optional_time||epoch_millis";

/// How dates are read and written: alternatives; the first one writes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DateFormat {
    text: String,
    ways: Vec<Way>,
}

#[derive(Clone, Debug, PartialEq)]
enum Way {
    OptionalTime { strict: bool, nanos: bool },
    EpochMillis,
    EpochSecond,
    Pattern(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Letter(char, usize),
    Literal(String),
}

/// What a text said; parts it did not say are `None`.
#[derive(Default)]
struct Parts {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    hour: Option<u32>,
    half: Option<bool>,
    minute: Option<u32>,
    second: Option<u32>,
    milli: Option<u32>,
    zone: Option<Zone>,
}

impl Default for DateFormat {
    fn default() -> DateFormat {
        DateFormat {
            text: DEFAULT.to_owned(),
            ways: vec![Way::OptionalTime { strict: true, nanos: false }, Way::EpochMillis],
        }
    }
}

impl DateFormat {
    /// Reads a `format`.
    pub(super) fn parse(text: &str) -> Result<DateFormat, EsError> {
        if text.len() > 512 {
            return Err(EsError::illegal("a date [format] may have at most 512 characters"));
        }
        let ways = text.split("||").map(Way::parse).collect::<Result<Vec<Way>, EsError>>()?;
        Ok(DateFormat { text: text.to_owned(), ways })
    }

    /// The format as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The moment that `text` names, in milliseconds. Parts of the time that it leaves out are
    /// zero, or the last possible with `round_up`; `zone` holds where it names none.
    pub(super) fn read(&self, text: &str, zone: Zone, round_up: bool) -> Option<i64> {
        self.ways.iter().find_map(|way| way.read(text, zone, round_up))
    }

    /// The text for a moment as the clocks of `zone` show it.
    pub(super) fn write(&self, millis: i64, zone: Zone) -> String {
        let way = &self.ways[0];
        match (way, zone.local(millis)) {
            (Way::EpochMillis, _) | (_, None) => millis.to_string(),
            (Way::EpochSecond, _) if millis % 1000 == 0 => (millis / 1000).to_string(),
            (Way::EpochSecond, _) => format!("{}", millis as f64 / 1000.0),
            (Way::OptionalTime { .. }, Some((local, offset))) => format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}{}",
                local.year(),
                local.month(),
                local.day(),
                local.hour(),
                local.minute(),
                local.second(),
                local.nanosecond() / 1_000_000,
                print_offset(offset)
            ),
            (Way::Pattern(pieces), Some((local, offset))) => {
                pieces.iter().map(|piece| piece.write(&local, offset, zone)).collect()
            }
        }
    }
}

impl Way {
    fn parse(name: &str) -> Result<Way, EsError> {
        let plain = name.strip_prefix("strict_").unwrap_or(name);
        let pattern = match plain {
            "date_optional_time" | "dateOptionalTime" | "iso8601" | "date_optional_time_nanos" => {
                let nanos = plain.ends_with("nanos");
                return Ok(Way::OptionalTime {
                    strict: plain != name || plain == "iso8601",
                    nanos,
                });
            }
            "rfc3339_lenient" => return Ok(Way::OptionalTime { strict: true, nanos: false }),
            "epoch_millis" => return Ok(Way::EpochMillis),
            "epoch_second" => return Ok(Way::EpochSecond),
            "date" | "year_month_day" => "yyyy-MM-dd",
            "year_month" => "yyyy-MM",
            "year" => "yyyy",
            "date_time" => "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "date_time_no_millis" => "yyyy-MM-dd'T'HH:mm:ssXXX",
            "date_hour" => "yyyy-MM-dd'T'HH",
            "date_hour_minute" => "yyyy-MM-dd'T'HH:mm",
            "date_hour_minute_second" => "yyyy-MM-dd'T'HH:mm:ss",
            "date_hour_minute_second_millis" | "date_hour_minute_second_fraction" => {
                "yyyy-MM-dd'T'HH:mm:ss.SSS"
            }
            "basic_date" => "yyyyMMdd",
            "basic_date_time" => "yyyyMMdd'T'HHmmss.SSSX",
            "basic_date_time_no_millis" => "yyyyMMdd'T'HHmmssX",
            _ => name,
        };
        Way::parse_pattern(pattern)
    }

    fn parse_pattern(pattern: &str) -> Result<Way, EsError> {
        let invalid = |why: &str| EsError::illegal(format!("Invalid format: [{pattern}]: {why}"));
        let mut pieces: Vec<Piece> = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' {
                let mut literal = String::new();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(other) => literal.push(other),
                        None => {
                            return Err(invalid("Pattern ends with an incomplete string literal"));
                        }
                    }
                }
                pieces.push(Piece::Literal(if literal.is_empty() {
                    "'".to_owned()
                } else {
                    literal
                }));
            } else if c.is_ascii_alphabetic() {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                if !"yuMdHhmsSaEXxZzV".contains(c) {
                    return Err(invalid(&format!("Unknown pattern letter: {c}")));
                }
                pieces.push(Piece::Letter(c, count));
            } else {
                pieces.push(Piece::Literal(c.to_string()));
            }
        }
        if pieces.is_empty() {
            return Err(invalid("No date pattern provided"));
        }
        Ok(Way::Pattern(pieces))
    }

    fn read(&self, text: &str, zone: Zone, round_up: bool) -> Option<i64> {
        match self {
            Way::EpochMillis => text.parse::<i64>().ok().or_else(|| {
                let (whole, fraction) = text.split_once('.')?;
                fraction.bytes().all(|byte| byte.is_ascii_digit()).then(|| whole.parse().ok())?
            }),
            Way::EpochSecond => {
                let seconds: f64 = text.parse().ok()?;
                let millis = seconds * 1000.0;
                (millis.abs() < 9e15).then_some(millis.round() as i64)
            }
            Way::OptionalTime { strict, .. } => {
                read_optional_time(text, *strict)?.moment(zone, round_up)
            }
            Way::Pattern(pieces) => {
                let mut parts = Parts::default();
                let mut rest = text;
                for (place, piece) in pieces.iter().enumerate() {
                    let tight = matches!(pieces.get(place + 1), Some(Piece::Letter(..)));
                    rest = piece.read(rest, tight, &mut parts)?;
                }
                if !rest.is_empty() {
                    return None;
                }
                parts.moment(zone, round_up)
            }
        }
    }
}

/// Cuts a number of `least..=most` digits off the front.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (number, rest) = text.split_at(count);
    Some((number.parse().ok()?, rest))
}

/// `yyyy[-MM[-dd['T'[HH[:mm[:ss[.SSS]]]][offset]]]]`
fn read_optional_time(text: &str, strict: bool) -> Option<Parts> {
    let least = if strict { 2 } else { 1 };
    let mut parts = Parts::default();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (year, mut rest) = if strict { digits(text, 4, 4)? } else { digits(text, 1, 9)? };
    let year = i32::try_from(year).ok()?;
    parts.year = Some(if negative { -year } else { year });
    for part in [&mut parts.month, &mut parts.day] {
        let Some(tail) = rest.strip_prefix('-') else { break };
        let (number, tail) = digits(tail, least, 2)?;
        (*part, rest) = (Some(number), tail);
    }
    if let Some(tail) = rest.strip_prefix('T') {
        parts.day?;
        rest = tail;
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            rest = read_time(rest, least, &mut parts)?;
        }
        if !rest.is_empty() {
            parts.zone = Some(read_zone(rest)?);
            rest = "";
        }
    }
    rest.is_empty().then_some(parts)
}

fn read_time<'a>(text: &'a str, least: usize, parts: &mut Parts) -> Option<&'a str> {
    let (hour, mut rest) = digits(text, least, 2)?;
    parts.hour = Some(hour);
    for part in [&mut parts.minute, &mut parts.second] {
        let Some(tail) = rest.strip_prefix(':') else { return Some(rest) };
        let (number, tail) = digits(tail, least, 2)?;
        (*part, rest) = (Some(number), tail);
    }
    if let Some(tail) = rest.strip_prefix(['.', ',']) {
        (parts.milli, rest) = read_fraction(tail, 1, 9)?;
    }
    Some(rest)
}

/// A fraction of a second as milliseconds; digits beyond the third are cut off.
fn read_fraction(text: &str, least: usize, most: usize) -> Option<(Option<u32>, &str)> {
    let (_, rest) = digits(text, least, most)?;
    let written = &text[..text.len() - rest.len()];
    let millis: String = written.chars().chain("000".chars()).take(3).collect();
    Some((millis.parse().ok(), rest))
}

fn read_zone(text: &str) -> Option<Zone> {
    match parse_offset(text) {
        Some(seconds) => Some(Zone::Fixed(seconds)),
        None => text.parse().ok().map(Zone::Named),
    }
}

impl Parts {
    fn moment(&self, zone: Zone, round_up: bool) -> Option<i64> {
        let last = |most: u32| if round_up { most } else { 0 };
        let date = NaiveDate::from_ymd_opt(
            self.year.unwrap_or(1970),
            self.month.unwrap_or(1),
            self.day.unwrap_or(1),
        )?;
        let hour = match (self.hour, self.half) {
            (Some(hour), Some(afternoon)) => hour % 12 + if afternoon { 12 } else { 0 },
            (Some(hour), None) => hour,
            (None, _) => last(23),
        };
        let local: NaiveDateTime = date.and_hms_milli_opt(
            hour,
            self.minute.unwrap_or_else(|| last(59)),
            self.second.unwrap_or_else(|| last(59)),
            self.milli.unwrap_or_else(|| last(999)),
        )?;
        self.zone.unwrap_or(zone).moment(local)
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Piece {
    /// Reads this piece off the front of `text`; `tight`: another letter follows at once, so that
    /// a number has exactly as many digits as letters.
    fn read<'a>(&self, text: &'a str, tight: bool, parts: &mut Parts) -> Option<&'a str> {
        let (letter, count) = match self {
            Piece::Literal(literal) => return text.strip_prefix(literal.as_str()),
            Piece::Letter(letter, count) => (*letter, *count),
        };
        let most = |loose: usize| if tight { count } else { loose.max(count) };
        let mut number = |part: fn(&mut Parts) -> &mut Option<u32>| {
            let (value, rest) = digits(text, count.min(2), most(2))?;
            *part(parts) = Some(value);
            Some(rest)
        };
        match letter {
            'M' if count >= 3 => {
                let month = MONTHS.iter().position(|name| {
                    let name = if count == 3 { &name[..3] } else { name };
                    text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                })?;
                parts.month = Some(month as u32 + 1);
                let length = if count == 3 { 3 } else { MONTHS[month].len() };
                Some(&text[length..])
            }
            'M' => number(|parts| &mut parts.month),
            'd' => number(|parts| &mut parts.day),
            'H' | 'h' => number(|parts| &mut parts.hour),
            'm' => number(|parts| &mut parts.minute),
            's' => number(|parts| &mut parts.second),
            'y' | 'u' => {
                let (year, rest) =
                    digits(text, count.min(4), if count == 2 { 2 } else { most(4) })?;
                let year = i32::try_from(year).ok()?;
                parts.year = Some(if count == 2 { 2000 + year } else { year });
                Some(rest)
            }
            'S' => {
                let (milli, rest) = read_fraction(text, 1, if tight { count } else { 9 })?;
                parts.milli = milli;
                Some(rest)
            }
            'a' => {
                let half = text.get(..2)?;
                parts.half = Some(half.eq_ignore_ascii_case("pm"));
                (half.eq_ignore_ascii_case("am") || parts.half == Some(true)).then(|| &text[2..])
            }
            'E' => Some(text.trim_start_matches(|c: char| c.is_ascii_alphabetic())),
            _ => {
                let end = text
                    .find(|c: char| !(c.is_ascii_alphanumeric() || "+-:/_".contains(c)))
                    .unwrap_or(text.len());
                parts.zone = Some(read_zone(&text[..end])?);
                Some(&text[end..])
            }
        }
    }

    fn write(&self, local: &NaiveDateTime, offset: i32, zone: Zone) -> String {
        let (letter, count) = match self {
            Piece::Literal(literal) => return literal.clone(),
            Piece::Letter(letter, count) => (*letter, *count),
        };
        let padded = |number: u32| format!("{number:0count$}");
        match letter {
            'y' | 'u' if count == 2 => format!("{:02}", local.year().rem_euclid(100)),
            'y' | 'u' => format!("{:0count$}", local.year()),
            'M' if count == 3 => MONTHS[local.month0() as usize][..3].to_owned(),
            'M' if count > 3 => MONTHS[local.month0() as usize].to_owned(),
            'M' => padded(local.month()),
            'd' => padded(local.day()),
            'H' => padded(local.hour()),
            'h' => padded(local.hour12().1),
            'm' => padded(local.minute()),
            's' => padded(local.second()),
            'S' => {
                let nanos = format!("{:09}", local.nanosecond());
                nanos.chars().chain(std::iter::repeat('0')).take(count).collect()
            }
            'a' => (if local.hour() < 12 { "AM" } else { "PM" }).to_owned(),
            'E' if count > 3 => local.format("%A").to_string(),
            'E' => local.format("%a").to_string(),
            'V' => match zone {
                Zone::Named(tz) => tz.name().to_owned(),
                Zone::Fixed(seconds) => print_offset(seconds),
            },
            'X' if offset == 0 => "Z".to_owned(),
            _ => {
                let text = print_offset(offset);
                let text = if offset == 0 { "+00:00".to_owned() } else { text };
                if count >= 3 && letter != 'Z' { text } else { text.replace(':', "") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::zone::UTC;
    use super::*;

    fn read(format: &str, text: &str) -> Option<String> {
        let format = DateFormat::parse(format).unwrap();
        format.read(text, UTC, false).map(|millis| DateFormat::default().write(millis, UTC))
    }

    #[test]
    fn the_default_reads_iso_and_milliseconds() {
        for (text, expected) in [
            ("2015", "2015-01-01T00:00:00.000Z"),
            ("2015-05", "2015-05-01T00:00:00.000Z"),
            ("2015-05-17", "2015-05-17T00:00:00.000Z"),
            ("2015-05-17T08:05", "2015-05-17T08:05:00.000Z"),
            ("2015-05-17T08:05:04.123456789Z", "2015-05-17T08:05:04.123Z"),
            ("2015-05-17T08:05:04.5+02:00", "2015-05-17T06:05:04.500Z"),
            ("2015-05-17T08:05:04-0130", "2015-05-17T09:35:04.000Z"),
            ("1431857104000", "2015-05-17T10:05:04.000Z"),
            ("-1", "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(read(DEFAULT, text).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "2015-13", "2015-02-30", "2015-5-1", "2015-05-17T25", "May", "2015-05-17 08"]
        {
            assert_eq!(read(DEFAULT, text), None, "{text}");
        }
    }

    #[test]
    fn patterns_read_and_write() {
        for (format, text, expected) in [
            ("dd/MM/yyyy", "17/05/2015", "2015-05-17T00:00:00.000Z"),
            ("yyyyMMddHHmmss", "20150517080504", "2015-05-17T08:05:04.000Z"),
            ("dd/MMM/yyyy:HH:mm:ss Z", "17/May/2015:08:05:04 +0200", "2015-05-17T06:05:04.000Z"),
            ("yyyy-MM-dd hh:mm a", "2015-05-17 12:05 AM", "2015-05-17T00:05:00.000Z"),
            ("epoch_second", "1431857104", "2015-05-17T10:05:04.000Z"),
            ("basic_date", "20150517", "2015-05-17T00:00:00.000Z"),
        ] {
            assert_eq!(read(format, text).as_deref(), Some(expected), "{format}");
            let parsed = DateFormat::parse(format).unwrap();
            let millis = parsed.read(text, UTC, false).unwrap();
            let zone = if format.ends_with('Z') { Zone::Fixed(7200) } else { UTC };
            assert_eq!(parsed.write(millis, zone), text);
        }
        assert!(DateFormat::parse("yyyy-QQ").is_err());
        assert!(DateFormat::parse("yyyy-'T").is_err());
    }
}
