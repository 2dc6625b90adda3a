//! Values of a result or of the binary log as cells. The two differ: an enum is a label in the one
//! and a number in the other, text is in our character set in the one and in its own in the other.

use super::json;
use super::place::uuid;
use super::schema::{Charset, ColumnShape, Kind};
use crate::files::text_of;
use crate::{Cell, CopiedRows, SourceError};
use chrono::NaiveDate;
use mysql_async::Value;
use mysql_async::binlog::value::BinlogValue;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Adds a value of a result.
pub(super) fn push_result(value: &Value, column: &ColumnShape, rows: &mut CopiedRows) {
    match (value, &column.kind) {
        // Results give these as text.
        (Value::Bytes(text), Kind::Text(_) | Kind::Enum(_) | Kind::Set(_)) => {
            rows.push_text(&String::from_utf8_lossy(text));
        }
        (Value::Bytes(text), Kind::Inet4 | Kind::Inet6 | Kind::Uuid) => {
            rows.push_text(&String::from_utf8_lossy(text));
        }
        (Value::Bytes(text), Kind::Json) => push_json(&String::from_utf8_lossy(text), rows),
        _ => push_common(value, column, rows),
    }
}

/// Adds a value of the binary log.
///
/// # Errors
/// If the log does not say the value.
pub(super) fn push_logged(
    value: &BinlogValue<'_>,
    column: &ColumnShape,
    rows: &mut CopiedRows,
) -> Result<(), SourceError> {
    let name = &column.source.name;
    match value {
        BinlogValue::Value(value) => push_plain(value, column, rows),
        BinlogValue::Jsonb(json) => {
            let text = json::text_of(json).map_err(|_| {
                SourceError::Broken(format!("JSON of `{name}` in the binary log cannot be read"))
            })?;
            rows.push_json(&text);
        }
        BinlogValue::JsonDiff(_) => {
            return Err(SourceError::Lost(format!(
                "somebody wrote only parts of the JSON in `{name}` to the binary log: set \
                 `binlog_row_value_options = ''`, for every session"
            )));
        }
    }
    Ok(())
}

fn push_plain(value: &Value, column: &ColumnShape, rows: &mut CopiedRows) {
    match (value, &column.kind) {
        (Value::Bytes(text), Kind::Text(charset)) => rows.push_text(&decoded(text, *charset)),
        (Value::Bytes(text), Kind::Json) => push_json(&decoded(text, Charset::Utf8), rows),
        (Value::Int(number), Kind::Enum(labels)) => {
            let place = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1));
            rows.push_text(place.and_then(|place| labels.get(place)).map_or("", String::as_str));
        }
        (Value::Bytes(bits), Kind::Set(labels)) => {
            let is_in =
                |place: usize| bits.get(place / 8).is_some_and(|b| b >> (place % 8) & 1 == 1);
            let some = labels.iter().enumerate().filter(|(place, _)| is_in(*place));
            let some: Vec<&str> = some.map(|(_, label)| label.as_str()).collect();
            rows.push_text(&some.join(","));
        }
        (Value::Bytes(bytes), Kind::Inet4) => {
            rows.push_text(&Ipv4Addr::from(padded::<4>(bytes)).to_string());
        }
        (Value::Bytes(bytes), Kind::Inet6) => {
            rows.push_text(&Ipv6Addr::from(padded::<16>(bytes)).to_string());
        }
        (Value::Bytes(bytes), Kind::Uuid) => rows.push_text(&uuid(&padded(bytes))),
        (Value::Bytes(text), Kind::Timestamp) => push_seconds(text, rows),
        (Value::Int(seconds), Kind::Timestamp) => match seconds {
            0 => rows.push(Cell::Null),
            seconds => rows.push(Cell::Date(seconds * 1_000)),
        },
        _ => push_common(value, column, rows),
    }
}

fn push_common(value: &Value, column: &ColumnShape, rows: &mut CopiedRows) {
    match (value, &column.kind) {
        (Value::NULL, _) => rows.push(Cell::Null),
        (Value::Int(number), Kind::Int { bits, unsigned: true }) if *number < 0 => {
            // The binary log may not say that a column has no sign.
            let number = i128::from(*number) + (1i128 << bits);
            push_number(number, rows);
        }
        (Value::Int(number), _) => rows.push(Cell::Long(*number)),
        (Value::UInt(number), _) => push_number(i128::from(*number), rows),
        (Value::Float(number), _) => {
            // As it is written, and not with the noise of a wider type.
            push_double(number.to_string().parse().unwrap_or(f64::from(*number)), rows);
        }
        (Value::Double(number), _) => push_double(*number, rows),
        (Value::Date(year, month, day, hour, minute, second, micros), _) => {
            let date =
                NaiveDate::from_ymd_opt(i32::from(*year), u32::from(*month), u32::from(*day));
            let moment = date.and_then(|date| {
                date.and_hms_micro_opt(
                    u32::from(*hour),
                    u32::from(*minute),
                    u32::from(*second),
                    *micros,
                )
            });
            // `0000-00-00` and its like are no date.
            rows.push(moment.map_or(Cell::Null, |at| Cell::Date(at.and_utc().timestamp_millis())));
        }
        (Value::Time(negative, days, hours, minutes, seconds, micros), _) => {
            let hours = u64::from(*days) * 24 + u64::from(*hours);
            let sign = if *negative { "-" } else { "" };
            let mut text = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}");
            if *micros > 0 {
                let _ = write!(text, ".{micros:06}");
                text.truncate(text.trim_end_matches('0').len());
            }
            rows.push_text(&text);
        }
        (Value::Bytes(bytes), kind) => push_bytes(bytes, kind, rows),
    }
}

fn push_bytes(bytes: &[u8], kind: &Kind, rows: &mut CopiedRows) {
    let text = || std::str::from_utf8(bytes).unwrap_or_default();
    match kind {
        Kind::Decimal { whole: true } | Kind::Int { .. } | Kind::Year => {
            match text().parse::<i128>() {
                Ok(number) => push_number(number, rows),
                Err(_) => rows.push_text(text()),
            }
        }
        Kind::Decimal { whole: false } | Kind::Float => match text().parse() {
            Ok(number) => push_double(number, rows),
            Err(_) => rows.push_text(text()),
        },
        Kind::Bits { count } => {
            let number = bytes.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
            match count {
                1 => rows.push(Cell::Bool(number != 0)),
                _ => push_number(number as i128, rows),
            }
        }
        Kind::Geometry => match point(bytes) {
            Some((longitude, latitude)) => rows.push_text(&format!("{latitude},{longitude}")),
            None => rows.push(Cell::Null),
        },
        // Trailing zeros of a fixed length are not in the binary log.
        Kind::Bytes { length } if bytes.len() < *length => {
            let mut bytes = bytes.to_vec();
            bytes.resize(*length, 0);
            rows.push_text(&text_of(&bytes));
        }
        _ => rows.push_text(&text_of(bytes)),
    }
}

/// What is beyond our whole numbers goes as text; the field of the target decides.
fn push_number(number: i128, rows: &mut CopiedRows) {
    match i64::try_from(number) {
        Ok(number) => rows.push(Cell::Long(number)),
        Err(_) => rows.push_text(&number.to_string()),
    }
}

fn push_double(number: f64, rows: &mut CopiedRows) {
    rows.push(if number.is_finite() { Cell::Double(number) } else { Cell::Null });
}

fn push_json(text: &str, rows: &mut CopiedRows) {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        rows.push_json(text);
    } else {
        rows.push(Cell::Null);
    }
}

/// `1764000000.250000`.
fn push_seconds(text: &[u8], rows: &mut CopiedRows) {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    match (seconds.parse::<i64>(), fraction.parse::<i64>()) {
        (Ok(0), Ok(0)) | (Err(_), _) | (_, Err(_)) => rows.push(Cell::Null),
        (Ok(seconds), Ok(micros)) => rows.push(Cell::Date(seconds * 1_000 + micros / 1_000)),
    }
}

fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    let kept = bytes.len().min(N);
    all[..kept].copy_from_slice(&bytes[..kept]);
    all
}

/// A point: four bytes of the reference system, then well-known binary.
fn point(bytes: &[u8]) -> Option<(f64, f64)> {
    let (order, rest) = bytes.get(4..)?.split_first()?;
    let number = |at: usize| -> Option<f64> {
        let bytes = rest.get(at..at + 8)?.try_into().ok()?;
        Some(if *order == 1 { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
    };
    let kind: [u8; 4] = rest.get(..4)?.try_into().ok()?;
    let kind = if *order == 1 { u32::from_le_bytes(kind) } else { u32::from_be_bytes(kind) };
    (kind == 1 && rest.len() == 20).then_some((number(4)?, number(12)?))
}

/// Text of the binary log in our character set.
fn decoded(bytes: &[u8], charset: Charset) -> String {
    match charset {
        Charset::Utf8 | Charset::Other => String::from_utf8_lossy(bytes).into_owned(),
        Charset::Latin1 => bytes.iter().map(|byte| latin1(*byte)).collect(),
        Charset::Utf16 => {
            let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|character| character.unwrap_or('\u{fffd}')).collect()
        }
        Charset::Utf32 => {
            let codes = bytes
                .chunks_exact(4)
                .map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
            codes.map(|code| char::from_u32(code).unwrap_or('\u{fffd}')).collect()
        }
    }
}

/// Windows' code page 1252; its five holes are what MySQL makes of them.
fn latin1(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnType, SourceColumn};
    use model::Op;

    fn of(kind: Kind) -> ColumnShape {
        let ty = ColumnType::Keyword;
        ColumnShape {
            source: SourceColumn { name: "c".into(), ty, native: String::new() },
            place: 0,
            kind,
        }
    }

    fn logged(value: Value, kind: Kind) -> (Cell, Option<String>) {
        let mut rows = CopiedRows::new(1);
        rows.start(Op::Put);
        push_logged(&BinlogValue::Value(value), &of(kind), &mut rows).unwrap();
        let cell = rows.row(0)[0];
        (cell, rows.text(cell).map(str::to_owned))
    }

    #[test]
    fn numbers_without_a_sign_are_read_so() {
        let of = |bits, number| logged(Value::Int(number), Kind::Int { bits, unsigned: true });
        assert_eq!(of(8, -1).0, Cell::Long(255));
        assert_eq!(of(24, -1).0, Cell::Long(16_777_215));
        assert_eq!(of(64, -1).1.as_deref(), Some("18446744073709551615"));
        let signed = logged(Value::Int(-1), Kind::Int { bits: 8, unsigned: false });
        assert_eq!(signed.0, Cell::Long(-1));
    }

    #[test]
    fn decimals_bits_and_floats() {
        let decimal =
            |text: &str, whole| logged(Value::Bytes(text.into()), Kind::Decimal { whole });
        assert_eq!(decimal("12.50", false).0, Cell::Double(12.5));
        assert_eq!(decimal("-7", true).0, Cell::Long(-7));
        assert!(decimal("99999999999999999999", true).1.is_some());
        assert_eq!(logged(Value::Bytes(vec![1]), Kind::Bits { count: 1 }).0, Cell::Bool(true));
        assert_eq!(logged(Value::Bytes(vec![1, 0]), Kind::Bits { count: 9 }).0, Cell::Long(256));
        assert_eq!(logged(Value::Float(0.1), Kind::Float).0, Cell::Double(0.1));
    }

    #[test]
    fn labels_are_looked_up() {
        let labels = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(logged(Value::Int(2), Kind::Enum(labels.clone())).1.as_deref(), Some("b"));
        assert_eq!(logged(Value::Int(0), Kind::Enum(labels.clone())).1.as_deref(), Some(""));
        let set = logged(Value::Bytes(vec![0b101]), Kind::Set(labels));
        assert_eq!(set.1.as_deref(), Some("a,c"));
    }

    #[test]
    fn moments_that_are_none_are_null() {
        let date = |value| logged(value, Kind::Moment).0;
        assert_eq!(date(Value::Date(0, 0, 0, 0, 0, 0, 0)), Cell::Null);
        assert_eq!(date(Value::Date(1970, 1, 1, 0, 0, 1, 500_000)), Cell::Date(1_500));
        let stamp = |text: &str| logged(Value::Bytes(text.into()), Kind::Timestamp).0;
        assert_eq!(stamp("1.250000"), Cell::Date(1_250));
        assert_eq!(stamp("0"), Cell::Null);
        let time = logged(Value::Time(true, 1, 2, 3, 4, 500_000), Kind::Time);
        assert_eq!(time.1.as_deref(), Some("-26:03:04.5"));
    }

    #[test]
    fn text_comes_in_its_character_set() {
        let text =
            |bytes: &[u8], charset| logged(Value::Bytes(bytes.into()), Kind::Text(charset)).1;
        assert_eq!(text(b"caf\xe9 \x80", Charset::Latin1).as_deref(), Some("café €"));
        assert_eq!(text(b"\x00A\xd8\x3d\xde\x00", Charset::Utf16).as_deref(), Some("A😀"));
        assert_eq!(text("ü".as_bytes(), Charset::Utf8).as_deref(), Some("ü"));
    }

    #[test]
    fn points_and_bytes() {
        let mut wkb = vec![0, 0, 0, 0, 1, 1, 0, 0, 0];
        wkb.extend(13.4f64.to_le_bytes());
        wkb.extend(52.5f64.to_le_bytes());
        assert_eq!(logged(Value::Bytes(wkb), Kind::Geometry).1.as_deref(), Some("52.5,13.4"));
        let bytes = logged(Value::Bytes(vec![0xff]), Kind::Bytes { length: 2 });
        assert_eq!(bytes.1.as_deref(), Some("ff00"));
    }
}
