//! Reading the cells of an answer's batch.

use super::EsError;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};

/// One value of an answer.
#[derive(Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    Long(i64),
    Double(f64),
    Text(String),
    List(Vec<Option<f64>>),
}

impl Cell {
    /// The number in it.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Cell::Bool(flag) => Some(f64::from(u8::from(*flag))),
            Cell::Long(number) => Some(*number as f64),
            Cell::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// The count in it; 0 if there is none.
    pub(super) fn count(&self) -> u64 {
        match self {
            Cell::Long(number) => u64::try_from(*number).unwrap_or(0),
            _ => 0,
        }
    }
}

/// One column, brought to one of few types, so that reading a cell is cheap.
pub(super) struct CellColumn(ArrayRef);

impl CellColumn {
    /// The column at `place`.
    pub(super) fn at(batch: &RecordBatch, place: usize) -> Result<CellColumn, EsError> {
        batch.columns().get(place).map_or_else(|| Err(strange()), CellColumn::of)
    }

    /// The column called `name`.
    pub(super) fn named(batch: &RecordBatch, name: &str) -> Result<CellColumn, EsError> {
        batch.column_by_name(name).map_or_else(|| Err(strange()), CellColumn::of)
    }

    fn of(array: &ArrayRef) -> Result<CellColumn, EsError> {
        let target = match array.data_type() {
            DataType::Utf8
            | DataType::Int64
            | DataType::Float64
            | DataType::Boolean
            | DataType::UInt64
            | DataType::Null => return Ok(CellColumn(ArrayRef::clone(array))),
            DataType::List(item) if item.data_type() == &DataType::Float64 => {
                return Ok(CellColumn(ArrayRef::clone(array)));
            }
            DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => DataType::Utf8,
            DataType::Float32 | DataType::Float16 => DataType::Float64,
            _ => DataType::Int64,
        };
        cast(array, &target).map(CellColumn).map_err(|_| strange())
    }

    /// The cell of a row.
    pub(super) fn cell(&self, row: usize) -> Cell {
        let array = &self.0;
        if row >= array.len() || array.is_null(row) {
            return Cell::Null;
        }
        match array.data_type() {
            DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::Int64 => Cell::Long(array.as_primitive::<Int64Type>().value(row)),
            DataType::UInt64 => {
                let number = array.as_primitive::<UInt64Type>().value(row);
                i64::try_from(number).map_or(Cell::Double(number as f64), Cell::Long)
            }
            DataType::Float64 => Cell::Double(array.as_primitive::<Float64Type>().value(row)),
            DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                let items = items.as_primitive::<Float64Type>();
                Cell::List(items.iter().collect())
            }
            _ => Cell::Null,
        }
    }
}

fn strange() -> EsError {
    EsError {
        status: 500,
        kind: "exception".to_owned(),
        reason: "internal error in the shape of an answer; please report it".to_owned(),
    }
}
