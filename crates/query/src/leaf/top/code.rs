//! Sort values as codes: one number for each, such that a smaller one comes first.

use super::super::field::Kind;
use super::Winner;
use crate::{QueryError, SortBy, SortKey};
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray, UInt64Array,
    new_null_array,
};
use arrow::datatypes::DataType;
use model::Value;
use std::sync::Arc;
use storage::{Block, Column, KeywordColumn, View};

/// A sort value such that a smaller code comes first: missing-first, value, missing-last in the
/// upper half; the value, turned round for descending orders, in the lower.
pub(super) type Code = u128;

const VALUE: Code = 1 << 64;
const MISSING_LAST: Code = 2 << 64;

/// A key with what its field holds.
pub(super) struct Key<'a> {
    /// The key.
    pub(super) key: &'a SortKey,
    /// What its field holds over all tables.
    pub(super) kind: Option<Kind>,
}
/// Where the codes of a key come from.
pub(super) enum Source {
    Missing,
    Column(Column),
    /// One for each selected row.
    Scores(Vec<f32>),
    Seq,
}

/// Whether every row has exactly one value.
pub(super) fn is_full(column: &Column) -> bool {
    match column {
        Column::Keyword(column) => column.is_full(),
        Column::Long(column) => column.is_full(),
        Column::Double(column) => column.is_full(),
        Column::Bool(column) => column.is_full(),
    }
}

impl Source {
    /// The codes of a block that starts at place `from` of the selection.
    pub(super) fn codes(
        &self,
        key: &SortKey,
        view: &View,
        block: Block<'_>,
        from: usize,
        out: &mut Vec<Code>,
    ) -> Result<(), QueryError> {
        out.clear();
        out.resize(block.len(), missing(key));
        let down = key.descending;
        let mut places = Vec::new();
        // Of several values the one that comes first in the order decides.
        let mut see = |place: usize, number: u64| {
            let code = coded(number, down);
            let known = out[place];
            if known >> 64 != 1 || code < known {
                out[place] = code;
            }
        };
        match self {
            Source::Missing => {}
            Source::Column(Column::Long(column)) if column.is_full() => {
                let mut values = Vec::new();
                column.values(block, &mut values);
                let code = |value: i64| coded(number_of_long(value), down);
                out.iter_mut().zip(values).for_each(|(out, value)| *out = code(value));
            }
            Source::Column(Column::Long(column)) => {
                let mut values = Vec::new();
                column.all(block, &mut places, &mut values);
                let pairs = places.iter().zip(values);
                pairs.for_each(|(&place, value)| see(place as usize, number_of_long(value)));
            }
            Source::Column(Column::Double(column)) => {
                let mut values = Vec::new();
                column.all(block, &mut places, &mut values);
                let pairs = places.iter().zip(values);
                pairs.for_each(|(&place, value)| see(place as usize, number_of_double(value)));
            }
            Source::Column(Column::Bool(column)) => {
                let mut values = Vec::new();
                column.all(block, &mut places, &mut values);
                let pairs = places.iter().zip(values);
                pairs.for_each(|(&place, value)| see(place as usize, u64::from(value)));
            }
            Source::Column(Column::Keyword(column)) => {
                let mut ords = Vec::new();
                column.all_ords(block, &mut places, &mut ords);
                let pairs = places.iter().zip(ords);
                pairs.for_each(|(&place, ord)| see(place as usize, number_of_ord(ord)));
            }
            Source::Scores(scores) => {
                let scores = &scores[from..from + block.len()];
                let code = |score: f32| coded(number_of_double(f64::from(score)), down);
                out.iter_mut().zip(scores).for_each(|(out, score)| *out = code(*score));
            }
            Source::Seq => {
                let rows: Vec<u32> = (0..block.len()).map(|place| block.row(place)).collect();
                let seqs = view.seqs(&rows)?;
                out.iter_mut().zip(seqs).for_each(|(out, seq)| *out = coded(seq, down));
            }
        }
        Ok(())
    }
}

pub(super) fn missing(key: &SortKey) -> Code {
    if key.missing_first { 0 } else { MISSING_LAST }
}

pub(super) fn coded(number: u64, descending: bool) -> Code {
    VALUE | Code::from(if descending { !number } else { number })
}

fn number_of_long(value: i64) -> u64 {
    value as u64 ^ (1 << 63)
}

fn long_of_number(number: u64) -> i64 {
    (number ^ (1 << 63)) as i64
}

pub(super) fn number_of_double(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn double_of_number(number: u64) -> f64 {
    f64::from_bits(if number >> 63 == 1 { number & !(1 << 63) } else { !number })
}

/// Odd, so that a string between two ordinals has a number too.
fn number_of_ord(ord: u32) -> u64 {
    u64::from(ord) * 2 + 1
}

impl Key<'_> {
    /// The column of the key's field, if it holds what the tables say.
    pub(super) fn column(&self, view: &View, name: &str) -> Result<Option<Column>, QueryError> {
        let column = view.column(name)?;
        Ok(column.filter(|column| {
            matches!(
                (self.kind, column),
                (Some(Kind::Keyword), Column::Keyword(_))
                    | (Some(Kind::Long | Kind::Date), Column::Long(_))
                    | (Some(Kind::Double), Column::Double(_))
                    | (Some(Kind::Bool), Column::Bool(_))
            )
        }))
    }

    /// The best code that a row of the view can have.
    pub(super) fn best(&self, view: &View) -> Result<Code, QueryError> {
        let name = match &self.key.by {
            SortBy::Field(name) => name,
            SortBy::Score => return Ok(0),
            SortBy::Seq => {
                let (first, last) = view.seq_bounds()?;
                let down = self.key.descending;
                return Ok(coded(if down { last } else { first }, down));
            }
        };
        if self.key.missing_first {
            return Ok(0);
        }
        let end = |first: u64, last: u64| {
            let down = self.key.descending;
            coded(if down { last } else { first }, down)
        };
        Ok(match (self.kind, view.bounds(name)?) {
            (Some(Kind::Long | Kind::Date), Some((Value::Long(first), Value::Long(last)))) => {
                end(number_of_long(first), number_of_long(last))
            }
            (Some(Kind::Double), Some((Value::Double(first), Value::Double(last)))) => {
                end(number_of_double(first), number_of_double(last))
            }
            _ => 0,
        })
    }

    /// Whether every row of the view stands at or before a place in the order of arrival.
    pub(super) fn is_behind(&self, view: &View, after: &Value) -> Result<bool, QueryError> {
        let (SortBy::Seq, Value::Long(after)) = (&self.key.by, after) else { return Ok(false) };
        let (first, last) = view.seq_bounds()?;
        let down = self.key.descending;
        Ok(coded(if down { first } else { last }, down) <= coded(*after as u64, down))
    }

    /// The code of a value that the question gives, in the view of `source`.
    pub(super) fn code_of(
        &self,
        value: Option<&Value>,
        source: &Source,
    ) -> Result<Code, QueryError> {
        let Some(value) = value else { return Ok(missing(self.key)) };
        let number = match (source, value) {
            (Source::Column(Column::Keyword(column)), Value::Str(text)) => place_of(column, text)?,
            (Source::Column(Column::Bool(_)), Value::Bool(truth)) => u64::from(*truth),
            (Source::Column(Column::Bool(_)), Value::Long(number)) => u64::from(*number != 0),
            (Source::Column(Column::Double(_)) | Source::Scores(_), Value::Double(number)) => {
                number_of_double(*number)
            }
            (Source::Column(Column::Double(_)) | Source::Scores(_), Value::Long(number)) => {
                number_of_double(*number as f64)
            }
            (Source::Column(Column::Long(_)), Value::Long(number)) => number_of_long(*number),
            (Source::Column(Column::Long(_)), Value::Double(number)) => {
                number_of_long(*number as i64)
            }
            (Source::Seq, Value::Long(number)) => *number as u64,
            // No row here has a value: any value lies before missing ones that come last, and
            // after those that come first.
            (Source::Missing, _) => 0,
            _ => {
                return Err(QueryError::Invalid(
                    "a place in the order needs values of the types of its keys".to_owned(),
                ));
            }
        };
        Ok(coded(number, self.key.descending))
    }

    /// The sort column of the winners.
    pub(super) fn array(&self, winners: &[Winner], at: usize) -> ArrayRef {
        let number = |winner: &Winner| {
            let code = winner.codes[at];
            let number = code as u64;
            (code >> 64 == 1).then_some(if self.key.descending { !number } else { number })
        };
        let numbers = winners.iter().map(number);
        match (&self.key.by, self.kind) {
            (SortBy::Score, _) => {
                let score = |n: Option<u64>| n.map(|n| double_of_number(n) as f32);
                Arc::new(numbers.map(score).collect::<Float32Array>())
            }
            (SortBy::Seq, _) => Arc::new(numbers.collect::<UInt64Array>()),
            (_, Some(Kind::Long | Kind::Date)) => {
                Arc::new(numbers.map(|n| n.map(long_of_number)).collect::<Int64Array>())
            }
            (_, Some(Kind::Double)) => {
                Arc::new(numbers.map(|n| n.map(double_of_number)).collect::<Float64Array>())
            }
            (_, Some(Kind::Bool)) => {
                Arc::new(numbers.map(|n| n.map(|n| n != 0)).collect::<BooleanArray>())
            }
            (_, Some(Kind::Keyword)) => {
                Arc::new(winners.iter().map(|w| w.texts[at].as_deref()).collect::<StringArray>())
            }
            (_, None | Some(Kind::Text | Kind::Sealed)) => {
                new_null_array(&DataType::Utf8, winners.len())
            }
        }
    }
}

/// The number of a string among the ordinals: odd if it is there, even between its neighbours.
fn place_of(column: &KeywordColumn, text: &str) -> Result<u64, QueryError> {
    if let Some(ord) = column.ord_of(text)? {
        return Ok(number_of_ord(ord));
    }
    let (mut low, mut high) = (0, column.cardinality());
    while low < high {
        let middle = low + (high - low) / 2;
        if column.term(middle)?.as_str() < text {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(u64::from(low) * 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_keep_the_order_of_numbers(left: i64, right: i64) {
            prop_assert_eq!(left.cmp(&right), number_of_long(left).cmp(&number_of_long(right)));
            prop_assert_eq!(long_of_number(number_of_long(left)), left);
            let down = coded(number_of_long(left), true).cmp(&coded(number_of_long(right), true));
            prop_assert_eq!(right.cmp(&left), down);
        }

        #[test]
        fn codes_keep_the_order_of_floats(left in -1e300f64..1e300, right in -1e300f64..1e300) {
            let order = number_of_double(left).cmp(&number_of_double(right));
            prop_assert_eq!(left.partial_cmp(&right), Some(order));
            prop_assert_eq!(double_of_number(number_of_double(left)), left);
        }
    }
}
