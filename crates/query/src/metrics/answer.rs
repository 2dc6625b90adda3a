//! The rows of an answer to a metric.

use super::grid::{Cell, Order, Range, compare, number};
use super::plan::{MetricPlan, Row};
use crate::sql::ColumnInfo;
use crate::{Limits, QueryError};
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use model::{Timestamp, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The answer to a metric.
#[derive(Clone, PartialEq)]
pub struct MetricAnswer {
    /// As [`MetricPlan::columns`] says.
    pub columns: Vec<ColumnInfo>,
    /// In the order of time, then of the dimensions. Times are milliseconds.
    pub rows: Vec<Vec<Option<Value>>>,
}

impl std::fmt::Debug for MetricAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MetricAnswer({} columns, {} rows)", self.columns.len(), self.rows.len())
    }
}

impl MetricAnswer {
    /// `{"columns": [{"name", "type"}], "rows": [[…]]}`, times in RFC 3339.
    pub fn to_json(&self) -> Json {
        let columns: Vec<Json> = self
            .columns
            .iter()
            .map(|column| json!({ "name": column.name, "type": column.ty }))
            .collect();
        json!({ "columns": columns, "rows": self.to_rows() })
    }

    /// Each row as a list, times in RFC 3339.
    pub fn to_rows(&self) -> Vec<Vec<Json>> {
        let row = |row: &Vec<Option<Value>>| {
            let cells = row.iter().zip(&self.columns);
            cells.map(|(value, column)| cell(value.as_ref(), &column.ty)).collect()
        };
        self.rows.iter().map(row).collect()
    }

    /// Each row as an object of its columns.
    pub fn to_objects(&self) -> Vec<Map<String, Json>> {
        let names = || self.columns.iter().map(|column| column.name.clone());
        self.to_rows().into_iter().map(|row| names().zip(row).collect()).collect()
    }

    /// The same as an Arrow batch: times are timestamps in milliseconds, UTC.
    ///
    /// # Errors
    /// [`QueryError::Internal`] if a column holds what it does not say.
    pub fn to_arrow(&self) -> Result<RecordBatch, QueryError> {
        let arrays = self.columns.iter().enumerate().map(|(at, column)| {
            let cells = self.rows.iter().map(move |row| row[at].as_ref());
            array(cells, &column.ty)
        });
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        let (schema, arrays) = (arrow_schema(&self.columns), arrays.collect());
        RecordBatch::try_new_with_options(schema, arrays, &options)
            .map_err(|_| QueryError::Internal("a metric as columns".to_owned()))
    }
}

/// The Arrow schema of such columns.
pub(crate) fn arrow_schema(columns: &[ColumnInfo]) -> SchemaRef {
    let field = |column: &ColumnInfo| {
        let ty = match column.ty.as_str() {
            "datetime" => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            "long" => DataType::Int64,
            "double" => DataType::Float64,
            "boolean" => DataType::Boolean,
            _ => DataType::Utf8,
        };
        Field::new(&column.name, ty, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn array<'a>(cells: impl Iterator<Item = Option<&'a Value>>, ty: &str) -> ArrayRef {
    let long = |value: Option<&Value>| match value? {
        Value::Long(number) => Some(*number),
        _ => None,
    };
    match ty {
        "datetime" => {
            Arc::new(cells.map(long).collect::<TimestampMillisecondArray>().with_timezone("UTC"))
        }
        "long" => Arc::new(cells.map(long).collect::<Int64Array>()),
        "double" => Arc::new(cells.map(|value| value.and_then(number)).collect::<Float64Array>()),
        "boolean" => {
            let truth = |value: Option<&Value>| match value? {
                Value::Bool(truth) => Some(*truth),
                _ => None,
            };
            Arc::new(cells.map(truth).collect::<BooleanArray>())
        }
        _ => {
            let text = |value: Option<&'a Value>| match value? {
                Value::Str(text) => Some(text.as_str()),
                _ => None,
            };
            Arc::new(cells.map(text).collect::<StringArray>())
        }
    }
}

fn cell(value: Option<&Value>, ty: &str) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Str(text)) => json!(text),
        Some(Value::Long(time)) if ty == "datetime" => json!(Timestamp(*time).to_rfc3339()),
        Some(Value::Long(number)) => json!(number),
        Some(Value::Double(number)) => json!(number),
        Some(Value::Bool(truth)) => json!(truth),
    }
}

/// Rows, those of the time before beside them if there are any, as an answer.
pub(super) fn answer(
    plan: &MetricPlan,
    rows: Vec<Row>,
    before: Option<Vec<Row>>,
    limits: &Limits,
) -> Result<MetricAnswer, QueryError> {
    if rows.len() > limits.rows {
        return Err(QueryError::TooManyRows { limit: limits.rows });
    }
    let is_whole = plan.is_whole();
    let typed = |value: Cell| match value {
        Some(Value::Long(number)) if !is_whole => Some(Value::Double(number as f64)),
        Some(Value::Double(number)) if is_whole => Some(Value::Long(number as i64)),
        other => other,
    };
    let before: Option<BTreeMap<Order, Cell>> =
        before.map(|rows| rows.into_iter().map(|row| (Order(row.key), row.value)).collect());
    let rows = rows.into_iter().map(|row| {
        let previous = before.as_ref().map(|known| {
            let previous = known.get(&Order(row.key.clone())).cloned().flatten();
            let change = change(row.value.as_ref(), previous.as_ref());
            [typed(previous), change.map(Value::Double)]
        });
        let mut cells = row.key;
        cells.extend(row.extra);
        cells.push(typed(row.value));
        cells.extend(previous.into_iter().flatten());
        cells
    });
    Ok(MetricAnswer { columns: plan.columns.clone(), rows: rows.collect() })
}

/// By which part of the earlier number it changed.
fn change(value: Option<&Value>, previous: Option<&Value>) -> Option<f64> {
    let (value, previous) = (number(value?)?, number(previous?)?);
    (previous != 0.0).then(|| (value - previous) / previous.abs())
}

/// Adds a row without a number for every group that only the time before has.
pub(super) fn align(rows: &mut Vec<Row>, before: &mut [Row]) {
    let known: BTreeSet<Order> = rows.iter().map(|row| Order(row.key.clone())).collect();
    let only_before = before.iter().filter(|row| !known.contains(&Order(row.key.clone())));
    let missing: Vec<Row> = only_before
        .map(|row| Row { key: row.key.clone(), extra: vec![None; row.extra.len()], value: None })
        .collect();
    rows.extend(missing);
    rows.sort_by(|left, right| compare(&left.key, &right.key));
}

/// Adds zero for every interval without rows, for each combination of dimensions that there is.
pub(super) fn fill(
    plan: &MetricPlan,
    rows: &mut Vec<Row>,
    range: Range,
    limits: &Limits,
) -> Result<(), QueryError> {
    let asked = &plan.asked;
    let time = |row: &Row| match row.key.first() {
        Some(Some(Value::Long(time))) => Some(*time),
        _ => None,
    };
    let first = range.from.or_else(|| rows.iter().filter_map(time).min());
    let last =
        range.to.map(|to| to.saturating_sub(1)).or_else(|| rows.iter().filter_map(time).max());
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    let too_many = QueryError::TooManyGroups { limit: limits.buckets };
    let Some(mut starts) = asked.edges(first, last, limits)? else { return Ok(()) };
    // The last one is where the last interval ends.
    starts.pop();
    let mut groups: Vec<Vec<Cell>> = rows.iter().map(|row| row.key[1..].to_vec()).collect();
    groups.sort_by(|left, right| compare(left, right));
    groups.dedup();
    if groups.is_empty() && asked.query.dimensions.is_empty() {
        groups.push(Vec::new());
    }
    if starts.len().saturating_mul(groups.len()) > limits.buckets {
        return Err(too_many);
    }
    let zero = if plan.is_whole() { Value::Long(0) } else { Value::Double(0.0) };
    let mut known = std::mem::take(rows).into_iter().peekable();
    for start in starts {
        for group in &groups {
            let mut key = vec![Some(Value::Long(start))];
            key.extend(group.iter().cloned());
            match known.next_if(|row| compare(&row.key, &key).is_eq()) {
                Some(row) => rows.push(row),
                None => rows.push(Row { key, extra: Vec::new(), value: Some(zero.clone()) }),
            }
        }
    }
    Ok(())
}
