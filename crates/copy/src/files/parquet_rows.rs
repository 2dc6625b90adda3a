//! Parquet: row groups of a file, as Arrow batches, as rows.

use crate::{Cell, ColumnType, CopiedRows, SourceColumn};
use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, OffsetSizeTrait, RecordBatch,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, Schema, TimeUnit,
    TimestampMillisecondType, UInt64Type,
};
use arrow::util::display::FormatOptions;
use chrono::{DateTime, SecondsFormat};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

/// Rows that are decoded at once: of wide rows fewer, by what the file says about its size.
const BATCH_ROWS_MAX: usize = 8_192;
/// About so many bytes are decoded at once.
const BATCH_BYTES: i64 = 4 << 20;

/// A row's number, counted from 1, and the row as a JSON object or why it cannot be one.
pub type NumberedDocument = (u64, Result<String, String>);

/// The rows of a Parquet file of this machine, one JSON object each.
#[expect(missing_debug_implementations, reason = "it holds rows")]
pub struct ParquetDocuments {
    batches: ParquetRecordBatchReader,
    names: Vec<String>,
    batch: Option<(Columns, usize)>,
    at: usize,
    /// Number of the row that was given last, counted from 1.
    row: u64,
}

impl ParquetDocuments {
    /// Opens a file.
    ///
    /// # Errors
    /// If it is no whole Parquet file.
    pub fn open(file: std::fs::File) -> Result<ParquetDocuments, ParquetError> {
        let batches = open(file, 0, &BTreeSet::new())?;
        let schema = arrow::array::RecordBatchReader::schema(&batches);
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        Ok(ParquetDocuments { batches, names, batch: None, at: 0, row: 0 })
    }

    /// The number of the next row, and the row without its nulls or why it cannot be written;
    /// `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read any further.
    pub fn next_document(&mut self) -> Result<Option<NumberedDocument>, ParquetError> {
        loop {
            if let Some((columns, rows)) = &self.batch
                && self.at < *rows
            {
                let document = self.document(columns, self.at);
                self.at += 1;
                self.row += 1;
                return Ok(Some((self.row, document)));
            }
            let Some(batch) = self.batches.next() else { return Ok(None) };
            let batch = batch?;
            self.batch = Some((Columns::of(&batch)?, batch.num_rows()));
            self.at = 0;
        }
    }

    fn document(&self, columns: &Columns, row: usize) -> Result<String, String> {
        let misfit =
            |place: usize| format!("column `{}` has a value beyond JSON", self.names[place]);
        let mut cells = CopiedRows::new(self.names.len());
        cells.start(model::Op::Put);
        columns.push(row, &mut cells).map_err(misfit)?;
        let mut json = String::from("{");
        for (place, (name, &cell)) in self.names.iter().zip(cells.row(0)).enumerate() {
            if cell == Cell::Null {
                continue;
            }
            if json.len() > 1 {
                json.push(',');
            }
            write_text(name, &mut json);
            json.push(':');
            write_cell(&cells, cell, &mut json).map_err(|()| misfit(place))?;
        }
        json.push('}');
        Ok(json)
    }
}

/// The columns of a Parquet file.
pub(super) fn columns(schema: &Schema) -> Vec<SourceColumn> {
    let column = |field: &arrow::datatypes::FieldRef| SourceColumn {
        name: field.name().clone(),
        ty: column_type(field.data_type()),
        native: field.data_type().to_string(),
    };
    schema.fields().iter().map(column).collect()
}

/// Reads a file from a row on. Columns in `left_out` are not even decoded.
pub(super) fn open<R: ChunkReader + 'static>(
    file: R,
    first_row: u64,
    left_out: &BTreeSet<String>,
) -> Result<ParquetRecordBatchReader, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let mut skip = usize::try_from(first_row).map_err(|_| beyond())?;
    let mut groups = Vec::new();
    let mut bytes_a_row = 1;
    for (number, group) in builder.metadata().row_groups().iter().enumerate() {
        let rows = usize::try_from(group.num_rows()).map_err(|_| beyond())?;
        if groups.is_empty() && skip >= rows {
            skip -= rows;
            continue;
        }
        groups.push(number);
        bytes_a_row = bytes_a_row.max(group.total_byte_size() / group.num_rows().max(1));
    }
    let batch_rows = (BATCH_BYTES / bytes_a_row.max(1)).clamp(16, BATCH_ROWS_MAX as i64) as usize;
    let kept = builder.schema().fields().iter().enumerate();
    let kept = kept.filter(|(_, field)| !left_out.contains(field.name())).map(|(place, _)| place);
    let mask = ProjectionMask::roots(builder.parquet_schema(), kept);
    builder
        .with_projection(mask)
        .with_row_groups(groups)
        .with_offset(skip)
        .with_batch_size(batch_rows)
        .build()
}

fn beyond() -> ParquetError {
    ParquetError::General("more rows than this machine can count".to_owned())
}

/// What of ours holds such values.
fn column_type(data_type: &DataType) -> ColumnType {
    use DataType::*;
    match data_type {
        Boolean => ColumnType::Bool,
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Duration(_) => {
            ColumnType::Long
        }
        Decimal32(_, 0) | Decimal64(_, 0) => ColumnType::Long,
        Decimal128(digits, 0) if *digits <= 18 => ColumnType::Long,
        Float16 | Float32 | Float64 | Decimal32(..) | Decimal64(..) | Decimal128(..)
        | Decimal256(..) => ColumnType::Double,
        Date32 | Date64 | Timestamp(..) => ColumnType::Date,
        Dictionary(_, values) => column_type(values),
        RunEndEncoded(_, values) => column_type(values.data_type()),
        List(_) | LargeList(_) | FixedSizeList(..) | ListView(_) | LargeListView(_) | Struct(_)
        | Map(..) | Union(..) => ColumnType::Json,
        _ => ColumnType::Keyword,
    }
}

/// A column of a batch in one of a few types.
enum Values {
    Null,
    Bool(ArrayRef),
    Long(ArrayRef),
    /// Beyond `i64` as text.
    Huge(ArrayRef),
    Double(ArrayRef),
    Date(ArrayRef),
    Text(ArrayRef),
    Bytes(ArrayRef),
    Nested(ArrayRef),
}

/// The columns of a batch, ready to be read row by row.
pub(super) struct Columns(Vec<Values>);

impl Columns {
    /// Brings every column into one of a few types, as a whole.
    pub(super) fn of(batch: &RecordBatch) -> Result<Columns, ParquetError> {
        Ok(Columns(batch.columns().iter().map(values).collect::<Result<_, _>>()?))
    }

    /// Adds the cells of a row, or says which column has a value that we cannot hold.
    pub(super) fn push(&self, row: usize, rows: &mut CopiedRows) -> Result<(), usize> {
        for (place, column) in self.0.iter().enumerate() {
            column.push(row, rows).map_err(|()| place)?;
        }
        Ok(())
    }
}

fn values(array: &ArrayRef) -> Result<Values, ParquetError> {
    use DataType::*;
    // What does not fit its new type stops the file instead of becoming null.
    let exact = CastOptions { safe: false, format_options: FormatOptions::default() };
    let to = |to: &DataType| Ok::<_, ParquetError>(cast_with_options(array, to, &exact)?);
    let date = Timestamp(TimeUnit::Millisecond, None);
    Ok(match array.data_type() {
        Null => Values::Null,
        Boolean => Values::Bool(Arc::clone(array)),
        UInt64 => Values::Huge(Arc::clone(array)),
        Dictionary(_, inner) => return values(&to(inner)?),
        RunEndEncoded(_, inner) => return values(&to(inner.data_type())?),
        Date32 | Date64 | Timestamp(_, None) => Values::Date(to(&date)?),
        // The moment is the same whatever the zone that it is shown in.
        Timestamp(unit, Some(_)) => {
            let plain = cast_with_options(array, &Timestamp(*unit, Some("UTC".into())), &exact)?;
            Values::Date(cast_with_options(
                &plain,
                &Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
                &exact,
            )?)
        }
        Utf8 | LargeUtf8 | Utf8View | Time32(_) | Time64(_) | Interval(_) => {
            Values::Text(to(&Utf8)?)
        }
        Binary | LargeBinary | FixedSizeBinary(_) | BinaryView => Values::Bytes(to(&Binary)?),
        other => match column_type(other) {
            ColumnType::Long => Values::Long(to(&Int64)?),
            ColumnType::Double => Values::Double(to(&Float64)?),
            _ => Values::Nested(Arc::clone(array)),
        },
    })
}

impl Values {
    fn push(&self, row: usize, rows: &mut CopiedRows) -> Result<(), ()> {
        let array = match self {
            Values::Null => None,
            Values::Bool(array)
            | Values::Long(array)
            | Values::Huge(array)
            | Values::Double(array)
            | Values::Date(array)
            | Values::Text(array)
            | Values::Bytes(array)
            | Values::Nested(array) => (!array.is_null(row)).then_some(array),
        };
        let Some(array) = array else {
            rows.push(Cell::Null);
            return Ok(());
        };
        match self {
            Values::Null => rows.push(Cell::Null),
            Values::Bool(_) => rows.push(Cell::Bool(array.as_boolean().value(row))),
            Values::Long(_) => rows.push(Cell::Long(array.as_primitive::<Int64Type>().value(row))),
            Values::Huge(_) => {
                let value = array.as_primitive::<UInt64Type>().value(row);
                match i64::try_from(value) {
                    Ok(value) => rows.push(Cell::Long(value)),
                    Err(_) => rows.push_text(&value.to_string()),
                }
            }
            Values::Double(_) => {
                let value = array.as_primitive::<Float64Type>().value(row);
                rows.push(if value.is_finite() { Cell::Double(value) } else { Cell::Null });
            }
            Values::Date(_) => {
                let value = array.as_primitive::<TimestampMillisecondType>().value(row);
                rows.push(Cell::Date(value));
            }
            Values::Text(_) => rows.push_text(array.as_string::<i32>().value(row)),
            Values::Bytes(_) => rows.push_text(&text_of(array.as_binary::<i32>().value(row))),
            Values::Nested(_) => {
                let mut json = String::new();
                write_json(array.as_ref(), row, &mut json)?;
                rows.push_json(&json);
            }
        }
        Ok(())
    }
}

/// Text as it is; other bytes in hex.
pub(crate) fn text_of(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            let mut hex = String::with_capacity(bytes.len() * 2);
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}");
            }
            hex.into()
        }
    }
}

/// Writes a value that has values inside as JSON.
fn write_json(array: &dyn Array, row: usize, json: &mut String) -> Result<(), ()> {
    use DataType::*;
    if array.is_null(row) {
        json.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        List(_) => write_list::<i32>(array.as_list(), row, json),
        LargeList(_) => write_list::<i64>(array.as_list(), row, json),
        FixedSizeList(..) => {
            let list: &FixedSizeListArray = array.as_fixed_size_list();
            write_items(list.value(row).as_ref(), json)
        }
        Struct(fields) => {
            let of = array.as_struct();
            json.push('{');
            for (place, field) in fields.iter().enumerate() {
                if place > 0 {
                    json.push(',');
                }
                write_text(field.name(), json);
                json.push(':');
                write_json(of.column(place).as_ref(), row, json)?;
            }
            json.push('}');
            Ok(())
        }
        Map(..) => {
            let entries = array.as_map().value(row);
            json.push('{');
            for entry in 0..entries.len() {
                if entry > 0 {
                    json.push(',');
                }
                let mut key = String::new();
                write_json(entries.column(0).as_ref(), entry, &mut key)?;
                // A name of a member is a text whatever the key is.
                if key.starts_with('"') {
                    json.push_str(&key)
                } else {
                    write_text(&key, json)
                }
                json.push(':');
                write_json(entries.column(1).as_ref(), entry, json)?;
            }
            json.push('}');
            Ok(())
        }
        Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            write_date(days * 86_400_000, json)
        }
        Decimal128(_, scale) if *scale > 0 => {
            let value = array.as_primitive::<Decimal128Type>().value_as_string(row);
            json.push_str(&value);
            Ok(())
        }
        _ => write_scalar(array, row, json),
    }
}

fn write_scalar(array: &dyn Array, row: usize, json: &mut String) -> Result<(), ()> {
    let one = values(&array.slice(row, 1)).map_err(drop)?;
    if matches!(one, Values::Nested(_)) {
        return Err(());
    }
    let mut cells = CopiedRows::new(1);
    cells.start(model::Op::Put);
    one.push(0, &mut cells)?;
    write_cell(&cells, cells.row(0)[0], json)
}

/// Writes one cell as JSON; dates as text.
fn write_cell(rows: &CopiedRows, cell: Cell, json: &mut String) -> Result<(), ()> {
    match cell {
        Cell::Null | Cell::Unchanged => json.push_str("null"),
        Cell::Bool(value) => json.push_str(if value { "true" } else { "false" }),
        Cell::Long(value) => write!(json, "{value}").map_err(drop)?,
        Cell::Double(value) => json.push_str(&serde_json::to_string(&value).map_err(drop)?),
        Cell::Date(millis) => write_date(millis, json)?,
        Cell::Text(..) => write_text(rows.text(cell).unwrap_or_default(), json),
        Cell::Json(..) => json.push_str(rows.text(cell).unwrap_or("null")),
    }
    Ok(())
}

fn write_date(millis: i64, json: &mut String) -> Result<(), ()> {
    let moment = DateTime::from_timestamp_millis(millis).ok_or(())?;
    write!(json, "\"{}\"", moment.to_rfc3339_opts(SecondsFormat::Millis, true)).map_err(drop)
}

fn write_text(text: &str, json: &mut String) {
    let quoted = serde_json::to_string(text).expect("a text can always be written as JSON");
    json.push_str(&quoted);
}

fn write_list<O: OffsetSizeTrait>(
    list: &GenericListArray<O>,
    row: usize,
    json: &mut String,
) -> Result<(), ()> {
    write_items(list.value(row).as_ref(), json)
}

fn write_items(items: &dyn Array, json: &mut String) -> Result<(), ()> {
    json.push('[');
    for item in 0..items.len() {
        if item > 0 {
            json.push(',');
        }
        write_json(items, item, json)?;
    }
    json.push(']');
    Ok(())
}
