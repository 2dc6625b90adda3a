//! PostgreSQL's types, and their text on the way to cells.
//!
//! COPY and logical replication write values the same way, so there is one reader for both. What
//! has no value of ours (NaN, infinity, dates before year 1) becomes null.

use crate::{Cell, ColumnType, CopiedRows};
use std::collections::HashMap;

/// What a text of the server means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PgType {
    Bool,
    Long,
    Double,
    Date,
    Timestamp,
    Keyword,
    Text,
    Inet,
    Point,
    Json,
    Array(Box<PgType>, char),
    Composite(Vec<(String, PgType)>),
}

/// A row of `pg_type`.
#[derive(Clone, Debug)]
pub(crate) struct TypeRow {
    pub(crate) name: String,
    /// `b` base, `c` composite, `d` domain, `e` enum, `r` range, `m` multirange, `p` pseudo.
    pub(crate) kind: char,
    /// `A`: an array.
    pub(crate) category: char,
    pub(crate) element: u32,
    pub(crate) base: u32,
    pub(crate) relation: u32,
    pub(crate) modifier: i32,
    pub(crate) delimiter: char,
}

/// All types of a database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types {
    pub(crate) by_oid: HashMap<u32, TypeRow>,
    /// The attributes of composite types, by their relation.
    pub(crate) attributes: HashMap<u32, Vec<(String, u32, i32)>>,
}

impl Types {
    /// The type of a column.
    pub(crate) fn resolve(&self, oid: u32, modifier: i32) -> PgType {
        self.resolve_within(oid, modifier, 0)
    }

    fn resolve_within(&self, oid: u32, modifier: i32, depth: usize) -> PgType {
        let Some(row) = self.by_oid.get(&oid).filter(|_| depth < 16) else {
            return PgType::Keyword;
        };
        match row.kind {
            'd' => {
                let modifier = if row.modifier >= 0 { row.modifier } else { modifier };
                return self.resolve_within(row.base, modifier, depth + 1);
            }
            'e' => return PgType::Keyword,
            'c' => {
                let attributes = self.attributes.get(&row.relation).cloned().unwrap_or_default();
                let attributes = attributes.into_iter().map(|(name, oid, modifier)| {
                    (name, self.resolve_within(oid, modifier, depth + 1))
                });
                return PgType::Composite(attributes.collect());
            }
            _ => {}
        }
        if row.category == 'A' && row.element != 0 {
            let delimiter = self.by_oid.get(&row.element).map_or(',', |element| element.delimiter);
            let element = self.resolve_within(row.element, modifier, depth + 1);
            return PgType::Array(Box::new(element), delimiter);
        }
        match row.name.as_str() {
            "bool" => PgType::Bool,
            "int2" | "int4" | "int8" | "oid" => PgType::Long,
            "float4" | "float8" => PgType::Double,
            "numeric" => of_numeric(modifier),
            "date" => PgType::Date,
            "timestamp" | "timestamptz" => PgType::Timestamp,
            "text" | "citext" | "xml" | "tsvector" => PgType::Text,
            "inet" => PgType::Inet,
            "point" => PgType::Point,
            "json" | "jsonb" => PgType::Json,
            _ => PgType::Keyword,
        }
    }
}

/// Whole numbers of up to 18 digits stay whole; of others a float keeps 15 digits.
fn of_numeric(modifier: i32) -> PgType {
    if modifier < 4 {
        return PgType::Double;
    }
    let (precision, scale) = ((modifier - 4) >> 16 & 0xffff, (modifier - 4) & 0x7ff);
    if scale == 0 && precision <= 18 { PgType::Long } else { PgType::Double }
}

impl PgType {
    /// What a column of it is for us.
    pub(crate) fn column_type(&self) -> ColumnType {
        match self {
            PgType::Bool => ColumnType::Bool,
            PgType::Long => ColumnType::Long,
            PgType::Double => ColumnType::Double,
            PgType::Date | PgType::Timestamp => ColumnType::Date,
            PgType::Keyword => ColumnType::Keyword,
            PgType::Text => ColumnType::Text,
            PgType::Inet => ColumnType::Ip,
            PgType::Point => ColumnType::Point,
            PgType::Json | PgType::Array(..) | PgType::Composite(_) => ColumnType::Json,
        }
    }

    /// Adds the value that `text` spells to a row.
    pub(crate) fn push(&self, text: &str, rows: &mut CopiedRows) {
        match self {
            PgType::Bool => rows.push(Cell::Bool(text == "t")),
            PgType::Long => match text.parse() {
                Ok(value) => rows.push(Cell::Long(value)),
                // A numeric may be written `12.000` where its scale is not declared.
                Err(_) => rows.push_text(text),
            },
            PgType::Double => match text.parse::<f64>() {
                Ok(value) if value.is_finite() => rows.push(Cell::Double(value)),
                _ => rows.push(Cell::Null),
            },
            PgType::Date | PgType::Timestamp => match parse_moment(text) {
                Some(ms) => rows.push(Cell::Date(ms)),
                None => rows.push(Cell::Null),
            },
            PgType::Keyword | PgType::Text => rows.push_text(text),
            PgType::Inet => rows.push_text(text.split('/').next().unwrap_or(text)),
            PgType::Point => match parse_point(text) {
                Some(point) => rows.push_text(&point),
                None => rows.push(Cell::Null),
            },
            PgType::Json => rows.push_json(text),
            PgType::Array(..) | PgType::Composite(_) => {
                let mut json = String::with_capacity(text.len() + 16);
                match self.write_json(text, &mut json) {
                    Some(()) => rows.push_json(&json),
                    None => rows.push(Cell::Null),
                }
            }
        }
    }

    /// Writes the value as JSON; `None` if the text is not one of this type.
    fn write_json(&self, text: &str, out: &mut String) -> Option<()> {
        match self {
            PgType::Bool => out.push_str(if text == "t" { "true" } else { "false" }),
            PgType::Long if text.parse::<i64>().is_ok() => out.push_str(text),
            PgType::Double => match text.parse::<f64>() {
                Ok(value) if value.is_finite() => {
                    out.push_str(&serde_json::Number::from_f64(value)?.to_string());
                }
                _ => out.push_str("null"),
            },
            PgType::Date | PgType::Timestamp => match parse_moment(text) {
                Some(ms) => write_string(&model::Timestamp(ms).to_rfc3339(), out),
                None => out.push_str("null"),
            },
            PgType::Inet => write_string(text.split('/').next().unwrap_or(text), out),
            PgType::Point => match parse_point(text) {
                Some(point) => write_string(&point, out),
                None => out.push_str("null"),
            },
            PgType::Json => out.push_str(text),
            PgType::Array(element, delimiter) => {
                let text = match text.split_once("={") {
                    Some((bounds, _)) if bounds.starts_with('[') => &text[bounds.len() + 1..],
                    _ => text,
                };
                let mut rest = text.chars().peekable();
                write_array(element, *delimiter, &mut rest, out)?;
                rest.next().is_none().then_some(())?;
            }
            PgType::Composite(attributes) => write_composite(attributes, text, out)?,
            PgType::Long | PgType::Keyword | PgType::Text => write_string(text, out),
        }
        Some(())
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// `{1,NULL,"a \"b\"",{…}}`.
fn write_array(
    element: &PgType,
    delimiter: char,
    rest: &mut Chars<'_>,
    out: &mut String,
) -> Option<()> {
    (rest.next()? == '{').then_some(())?;
    out.push('[');
    if rest.peek() == Some(&'}') {
        rest.next();
        out.push(']');
        return Some(());
    }
    loop {
        match rest.peek()? {
            '{' => write_array(element, delimiter, rest, out)?,
            '"' => {
                rest.next();
                let text = quoted_text(rest, false)?;
                element.write_json(&text, out)?;
            }
            _ => {
                let mut text = String::new();
                while let Some(&next) = rest.peek() {
                    if next == delimiter || next == '}' {
                        break;
                    }
                    rest.next();
                    text.push(if next == '\\' { rest.next()? } else { next });
                }
                match text.as_str() {
                    "NULL" => out.push_str("null"),
                    text => element.write_json(text, out)?,
                }
            }
        }
        match rest.next()? {
            '}' => break,
            next if next == delimiter => out.push(','),
            _ => return None,
        }
    }
    out.push(']');
    Some(())
}

/// `(1,"a ""b""",)`: nothing between two commas is null.
fn write_composite(attributes: &[(String, PgType)], text: &str, out: &mut String) -> Option<()> {
    let mut rest = text.chars().peekable();
    (rest.next()? == '(').then_some(())?;
    out.push('{');
    for (place, (name, ty)) in attributes.iter().enumerate() {
        if place > 0 {
            (rest.next()? == ',').then_some(())?;
            out.push(',');
        }
        write_string(name, out);
        out.push(':');
        let mut value = String::new();
        let mut is_null = true;
        while let Some(&next) = rest.peek() {
            if next == ',' || next == ')' {
                break;
            }
            is_null = false;
            rest.next();
            match next {
                '"' => value.push_str(&quoted_text(&mut rest, true)?),
                '\\' => value.push(rest.next()?),
                next => value.push(next),
            }
        }
        match is_null {
            true => out.push_str("null"),
            false => ty.write_json(&value, out)?,
        }
    }
    out.push('}');
    (rest.next()? == ')' && rest.next().is_none()).then_some(())
}

/// What stands between quotes; the first was read. `doubled`: a quote inside may be doubled.
fn quoted_text(rest: &mut Chars<'_>, doubled: bool) -> Option<String> {
    let mut text = String::new();
    loop {
        match rest.next()? {
            '\\' => text.push(rest.next()?),
            '"' if doubled && rest.peek() == Some(&'"') => {
                rest.next();
                text.push('"');
            }
            '"' => return Some(text),
            next => text.push(next),
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// `(x,y)`, x being the longitude, as `lat,lon`.
fn parse_point(text: &str) -> Option<String> {
    let (x, y) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let (x, y): (f64, f64) = (x.parse().ok()?, y.parse().ok()?);
    let fits = x.abs() <= 180.0 && y.abs() <= 90.0;
    fits.then(|| format!("{y},{x}"))
}

/// `2026-11-29`, `2026-11-29 15:33:01.123456` and the same with `+00`, in milliseconds since 1970;
/// without a zone in UTC. Fractions below a millisecond are cut off.
pub(crate) fn parse_moment(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let year_end = text.find('-').filter(|&end| (4..=6).contains(&end))?;
    let year: i64 = text[..year_end].parse().ok()?;
    let two = |at: usize| -> Option<i64> {
        let (high, low) = (*bytes.get(at)?, *bytes.get(at + 1)?);
        (high.is_ascii_digit() && low.is_ascii_digit())
            .then(|| i64::from(high - b'0') * 10 + i64::from(low - b'0'))
    };
    let (month, day) = (two(year_end + 1)?, two(year_end + 4)?);
    let date_end = year_end + 6;
    let days = days_since_1970(year, month, day)?;
    if bytes.len() == date_end {
        return Some(days * 86_400_000);
    }
    (bytes[date_end] == b' ').then_some(())?;
    let (hour, minute, second) = (two(date_end + 1)?, two(date_end + 4)?, two(date_end + 7)?);
    let mut ms = days * 86_400_000 + (hour * 3_600 + minute * 60 + second) * 1_000;
    let mut at = date_end + 9;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let mut unit = 100;
        while let Some(digit) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
            ms += i64::from(digit - b'0') * unit;
            unit /= 10;
            at += 1;
        }
    }
    let sign = match bytes.get(at) {
        None => return Some(ms),
        Some(b'+') => -1,
        Some(b'-') => 1,
        Some(_) => return None,
    };
    let mut offset = two(at + 1)? * 3_600;
    if bytes.get(at + 3) == Some(&b':') {
        offset += two(at + 4)? * 60;
    }
    Some(ms + sign * offset * 1_000)
}

/// Days of the proleptic Gregorian calendar (Howard Hinnant, `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(())?;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let ms =
            |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        for (text, expected) in [
            ("1970-01-01", 0),
            ("2026-11-29", ms("2026-11-29T00:00:00Z")),
            ("2024-02-29 23:59:59.9999", ms("2024-02-29T23:59:59.999Z")),
            ("1900-03-01 00:00:00+00", ms("1900-03-01T00:00:00Z")),
            ("2026-11-29 15:33:01.5+05:30", ms("2026-11-29T15:33:01.5+05:30")),
            ("2026-11-29 15:33:01-08", ms("2026-11-29T15:33:01-08:00")),
            ("0001-01-01 00:00:00", ms("0001-01-01T00:00:00Z")),
        ] {
            assert_eq!(parse_moment(text), Some(expected), "{text}");
        }
        for text in ["infinity", "-infinity", "", "2026", "2026-13-01", "0044-03-15 BC", "x-y-z"] {
            assert_eq!(parse_moment(text), None, "{text}");
        }
    }

    #[test]
    fn arrays_and_composites_become_json() {
        let array = |element| PgType::Array(Box::new(element), ',');
        let pair = || {
            PgType::Composite(vec![
                ("n".to_owned(), PgType::Long),
                ("t".to_owned(), PgType::Text),
                ("a".to_owned(), array(PgType::Text)),
            ])
        };
        for (ty, text, expected) in [
            (array(PgType::Long), "{1,-2,NULL}", Some("[1,-2,null]")),
            (array(PgType::Long), "{}", Some("[]")),
            (array(PgType::Long), "[0:1]={7,8}", Some("[7,8]")),
            (array(PgType::Long), "{{1,2},{3,4}}", Some("[[1,2],[3,4]]")),
            (
                array(PgType::Text),
                r#"{a,"b \"c\"","NULL",NULL,""}"#,
                Some(r#"["a","b \"c\"","NULL",null,""]"#),
            ),
            (array(PgType::Bool), "{t,f}", Some("[true,false]")),
            (array(PgType::Double), "{1.5,NaN}", Some("[1.5,null]")),
            (
                array(PgType::Timestamp),
                r#"{"2026-01-02 03:04:05"}"#,
                Some(r#"["2026-01-02T03:04:05.000Z"]"#),
            ),
            (
                pair(),
                r#"(1,"a ""b"", c","{x,""y z""}")"#,
                Some(r#"{"n":1,"t":"a \"b\", c","a":["x","y z"]}"#),
            ),
            (pair(), "(,,)", Some(r#"{"n":null,"t":null,"a":null}"#)),
            (
                array(pair()),
                r#"{"(1,x,{})","(2,,)"}"#,
                Some(r#"[{"n":1,"t":"x","a":[]},{"n":2,"t":null,"a":null}]"#),
            ),
            (array(PgType::Long), "{1", None),
            (pair(), "(1", None),
        ] {
            let mut out = String::new();
            let written = ty.write_json(text, &mut out).map(|()| out.as_str());
            assert_eq!(written, expected, "{text}");
        }
    }

    #[test]
    fn numerics_stay_whole_where_they_can() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | scale) + 4;
        assert_eq!(of_numeric(modifier(10, 0)), PgType::Long);
        assert_eq!(of_numeric(modifier(10, 2)), PgType::Double);
        assert_eq!(of_numeric(modifier(38, 0)), PgType::Double);
        assert_eq!(of_numeric(-1), PgType::Double);
    }

    #[test]
    fn points_are_turned() {
        assert_eq!(parse_point("(13.4,52.5)").as_deref(), Some("52.5,13.4"));
        assert_eq!(parse_point("(13.4,99)"), None);
    }
}
