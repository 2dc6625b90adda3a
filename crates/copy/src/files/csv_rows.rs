//! CSV: what the values of a column are written as, and records as cells.

use crate::{Cell, ColumnType, CopiedRows, SourceColumn};
use csv::StringRecord;

/// What the values of a column are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// There was no value.
    Unknown,
    /// Whole numbers.
    Whole,
    /// Numbers.
    Number,
    /// `true` and `false`.
    Boolean,
    /// Anything else.
    Text,
}

impl Written {
    /// A column is a number or a boolean only if every value is.
    pub fn of<'a>(values: impl Iterator<Item = &'a str>) -> Written {
        let mut column = Written::Unknown;
        for text in values.filter(|text| !text.is_empty()) {
            let here = match text {
                "true" | "false" => Written::Boolean,
                _ if is_whole(text) => Written::Whole,
                _ if is_number(text) => Written::Number,
                _ => Written::Text,
            };
            column = match (column, here) {
                (Written::Unknown, here) => here,
                (before, here) if before == here => here,
                (Written::Whole | Written::Number, Written::Whole | Written::Number) => {
                    Written::Number
                }
                _ => return Written::Text,
            };
        }
        column
    }
}

/// A whole number written as JSON writes it. Longer ones, and those with leading zeros or a plus,
/// are names that look like numbers: cards, phones, postal codes.
pub fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty()
        && digits.len() <= 15
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}

/// A number that a float holds exactly enough: at most 15 digits on either side of the point.
pub fn is_number(text: &str) -> bool {
    match text.split_once('.') {
        Some((whole, rest)) => {
            (is_whole(whole) || whole == "-0")
                && !rest.is_empty()
                && rest.len() <= 15
                && rest.bytes().all(|byte| byte.is_ascii_digit())
        }
        None => is_whole(text),
    }
}

/// Texts with spaces in most of them are words to be searched; others are exact.
pub(crate) fn text_type<'a>(values: impl Iterator<Item = &'a str>) -> ColumnType {
    let (mut texts, mut sentences) = (0u32, 0u32);
    for text in values.filter(|text| !text.is_empty()) {
        texts += 1;
        sentences += u32::from(text.split_ascii_whitespace().nth(3).is_some());
    }
    if sentences * 2 > texts { ColumnType::Text } else { ColumnType::Keyword }
}

/// What the first line names, and what the records of a sample say about it.
pub(super) fn columns(names: &[String], sample: &[StringRecord]) -> Vec<SourceColumn> {
    let column = |(place, name): (usize, &String)| {
        let values = || sample.iter().filter_map(move |record| record.get(place));
        let (ty, native) = match Written::of(values()) {
            Written::Whole => (ColumnType::Long, "whole number"),
            Written::Number => (ColumnType::Double, "number"),
            Written::Boolean => (ColumnType::Bool, "true or false"),
            Written::Unknown | Written::Text => (text_type(values()), "text"),
        };
        SourceColumn { name: name.clone(), ty, native: native.to_owned() }
    };
    names.iter().enumerate().map(column).collect()
}

/// Checks the names of the first line.
pub(super) fn check_names(names: &[String]) -> Result<(), String> {
    for (place, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("column {} has no name in the first line", place + 1));
        }
        if names[..place].contains(name) {
            return Err(format!("column {} repeats the name of another", place + 1));
        }
    }
    Ok(())
}

/// Adds the cells of a record. Empty is null; what does not fit its column goes as text, and the
/// field of the target decides.
pub(super) fn push(
    record: &StringRecord,
    columns: &[SourceColumn],
    places: &[usize],
    rows: &mut CopiedRows,
) {
    for (column, place) in columns.iter().zip(places) {
        let text = record.get(*place).unwrap_or_default();
        let cell = match column.ty {
            _ if text.is_empty() => Some(Cell::Null),
            ColumnType::Long => text.parse().ok().map(Cell::Long),
            ColumnType::Double => {
                text.parse().ok().filter(|value: &f64| value.is_finite()).map(Cell::Double)
            }
            ColumnType::Bool => text.parse().ok().map(Cell::Bool),
            _ => None,
        };
        match cell {
            Some(cell) => rows.push(cell),
            None => rows.push_text(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_numbers_only_if_all_values_are() {
        let of = |values: &[&str]| Written::of(values.iter().copied());
        assert_eq!(of(&["1", "-20", ""]), Written::Whole);
        assert_eq!(of(&["1", "2.5"]), Written::Number);
        assert_eq!(of(&["true", "false"]), Written::Boolean);
        assert_eq!(of(&["1", "true"]), Written::Text);
        assert_eq!(of(&["12345", "01234"]), Written::Text, "postal codes");
        assert_eq!(of(&["4111111111111111"]), Written::Text, "card numbers");
        assert_eq!(of(&["+49301234"]), Written::Text, "phones");
        assert_eq!(of(&["1e5", "1."]), Written::Text);
        assert_eq!(of(&["", ""]), Written::Unknown);
    }

    #[test]
    fn words_are_told_from_names() {
        let of = |values: &[&str]| text_type(values.iter().copied());
        assert_eq!(of(&["the door is open", "the lamp is on"]), ColumnType::Text);
        assert_eq!(of(&["kitchen", "my living room"]), ColumnType::Keyword);
        assert_eq!(of(&[]), ColumnType::Keyword);
    }

    #[test]
    fn a_value_that_does_not_fit_goes_as_text() {
        let names = ["n".to_owned(), "s".to_owned()];
        let sample = [StringRecord::from(vec!["1", "a"])];
        let columns = columns(&names, &sample);
        let mut rows = CopiedRows::new(2);
        for record in [["seven", "b"], ["", "c"], ["7", "d"]] {
            rows.start(model::Op::Put);
            push(&StringRecord::from(record.to_vec()), &columns, &[0, 1], &mut rows);
        }
        assert_eq!(rows.text(rows.row(0)[0]), Some("seven"));
        assert_eq!(rows.row(1)[0], Cell::Null);
        assert_eq!(rows.row(2)[0], Cell::Long(7));
        assert_eq!(rows.text(rows.row(2)[1]), Some("d"));
    }
}
