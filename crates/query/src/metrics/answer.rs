//! The rows of an answer to a metric.

use super::model::{Aggregate, Empty, Grain};
use super::plan::MetricPlan;
use crate::leaf::{self, field};
use crate::sql::ColumnInfo;
use crate::{Limits, QueryError};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use model::{Timestamp, Value};
use serde_json::{Value as Json, json};
use std::cmp::Ordering;

/// The answer to a metric.
#[derive(Clone, PartialEq)]
pub struct MetricAnswer {
    /// `time` unless the grain is the total, then the dimensions, then the metric.
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
        let rows: Vec<Json> = self
            .rows
            .iter()
            .map(|row| {
                let cells = row.iter().zip(&self.columns);
                cells.map(|(value, column)| cell(value.as_ref(), &column.ty)).collect()
            })
            .collect();
        json!({ "columns": columns, "rows": rows })
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

/// Puts the answers of the leaf together.
pub(super) fn answer(
    plan: &MetricPlan,
    batches: &[RecordBatch],
    limits: &Limits,
) -> Result<MetricAnswer, QueryError> {
    let keys = usize::from(plan.grain != Grain::Total) + plan.query.dimensions.len();
    let mut rows = match batches {
        [one] => rows_of(one, keys, plan.is_ratio())?,
        [upper, lower] => joined(upper, lower, keys)?,
        _ => return Err(QueryError::Internal("a metric of more than two parts".to_owned())),
    };
    if plan.metric.empty == Empty::Zero && plan.grain != Grain::Total {
        fill(plan, &mut rows, limits)?;
    }
    if rows.len() > limits.rows {
        return Err(QueryError::TooManyRows { limit: limits.rows });
    }
    Ok(MetricAnswer { columns: columns(plan, &rows)?, rows })
}

fn columns(plan: &MetricPlan, rows: &[Vec<Option<Value>>]) -> Result<Vec<ColumnInfo>, QueryError> {
    let info = |name: &str, ty: &str| ColumnInfo { name: name.to_owned(), ty: ty.to_owned() };
    let mut columns = Vec::new();
    if plan.grain != Grain::Total {
        columns.push(info("time", "datetime"));
    }
    for dimension in &plan.query.dimensions {
        let kind = field::kind(plan.tables(), dimension)?;
        columns.push(info(
            dimension,
            match kind {
                Some(field::Kind::Long) => "long",
                Some(field::Kind::Double) => "double",
                Some(field::Kind::Bool) => "boolean",
                Some(field::Kind::Date) => "datetime",
                _ => "keyword",
            },
        ));
    }
    let counts = matches!(
        plan.measures[0].aggregate,
        Aggregate::Count | Aggregate::CountOf(_) | Aggregate::Distinct(_)
    );
    let whole = rows.iter().any(|row| matches!(row.last(), Some(Some(Value::Long(_)))));
    let ty = if !plan.is_ratio() && (counts || whole) { "long" } else { "double" };
    columns.push(info(&plan.metric.name, ty));
    Ok(columns)
}

/// Keys, then the measure, or the quotient of two.
fn rows_of(
    batch: &RecordBatch,
    keys: usize,
    ratio: bool,
) -> Result<Vec<Vec<Option<Value>>>, QueryError> {
    (0..batch.num_rows())
        .map(|row| {
            let mut cells =
                (0..keys).map(|at| value(batch.column(at), row)).collect::<Result<Vec<_>, _>>()?;
            let first = value(batch.column(keys), row)?;
            cells.push(match ratio {
                false => first,
                true => quotient(first, value(batch.column(keys + 1), row)?),
            });
            Ok(cells)
        })
        .collect()
}

/// The groups of the lower measure with the upper one of the same group.
fn joined(
    upper: &RecordBatch,
    lower: &RecordBatch,
    keys: usize,
) -> Result<Vec<Vec<Option<Value>>>, QueryError> {
    let upper = rows_of(upper, keys, false)?;
    let mut rows = rows_of(lower, keys, false)?;
    // Both stand in the order of their keys.
    let mut at = 0;
    for row in &mut rows {
        while at < upper.len() && compare(&upper[at][..keys], &row[..keys]).is_lt() {
            at += 1;
        }
        let same = upper.get(at).filter(|other| compare(&other[..keys], &row[..keys]).is_eq());
        let above = match same {
            Some(other) => other[keys].clone(),
            None => Some(Value::Long(0)),
        };
        row[keys] = quotient(above, row[keys].take());
    }
    Ok(rows)
}

fn quotient(upper: Option<Value>, lower: Option<Value>) -> Option<Value> {
    let number = |value: Option<Value>| match value? {
        Value::Long(number) => Some(number as f64),
        Value::Double(number) => Some(number),
        Value::Str(_) | Value::Bool(_) => None,
    };
    let lower = number(lower).filter(|lower| *lower != 0.0)?;
    Some(Value::Double(number(upper)? / lower))
}

/// The order of the leaf: by value, missing last.
fn compare(left: &[Option<Value>], right: &[Option<Value>]) -> Ordering {
    let one = |left: &Option<Value>, right: &Option<Value>| match (left, right) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(Value::Str(left)), Some(Value::Str(right))) => left.cmp(right),
        (Some(Value::Long(left)), Some(Value::Long(right))) => left.cmp(right),
        (Some(Value::Double(left)), Some(Value::Double(right))) => left.total_cmp(right),
        (Some(Value::Bool(left)), Some(Value::Bool(right))) => left.cmp(right),
        (Some(left), Some(right)) => rank(left).cmp(&rank(right)),
    };
    let orders = left.iter().zip(right).map(|(left, right)| one(left, right));
    orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Bool(_) => 0,
        Value::Long(_) => 1,
        Value::Double(_) => 2,
        Value::Str(_) => 3,
    }
}

fn value(column: &ArrayRef, row: usize) -> Result<Option<Value>, QueryError> {
    if column.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match column.data_type() {
        DataType::Utf8 => Value::Str(column.as_string::<i32>().value(row).to_owned()),
        DataType::Int64 => Value::Long(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => {
            let count = column.as_primitive::<UInt64Type>().value(row);
            Value::Long(i64::try_from(count).unwrap_or(i64::MAX))
        }
        DataType::Float64 => Value::Double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::List(_) => {
            let quantiles = column.as_list::<i32>().value(row);
            return value(&quantiles, 0);
        }
        _ => return Err(QueryError::Internal("a value of a metric".to_owned())),
    }))
}

/// Adds zero for every interval without rows, for each combination of dimensions that there is.
fn fill(
    plan: &MetricPlan,
    rows: &mut Vec<Vec<Option<Value>>>,
    limits: &Limits,
) -> Result<(), QueryError> {
    let Some(interval) = plan.grain.interval() else { return Ok(()) };
    let time = |row: &Vec<Option<Value>>| match row.first() {
        Some(Some(Value::Long(time))) => Some(*time),
        _ => None,
    };
    let first = plan.query.from.map(|from| from.0).or_else(|| rows.iter().filter_map(time).min());
    let last = plan
        .query
        .to
        .map(|to| to.0.saturating_sub(1))
        .or_else(|| rows.iter().filter_map(time).max());
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    let too_many = QueryError::TooManyGroups { limit: limits.buckets };
    let starts = leaf::interval_starts(interval, plan.query.time_zone, first, last, limits.buckets);
    let Some(starts) = starts else { return Err(too_many) };
    let keys = 1 + plan.query.dimensions.len();
    let mut groups: Vec<Vec<Option<Value>>> =
        rows.iter().map(|row| row[1..keys].to_vec()).collect();
    groups.sort_by(|left, right| compare(left, right));
    groups.dedup();
    if groups.is_empty() && plan.query.dimensions.is_empty() {
        groups.push(Vec::new());
    }
    if starts.len().saturating_mul(groups.len()) > limits.buckets {
        return Err(too_many);
    }
    let counts = matches!(
        plan.measures[0].aggregate,
        Aggregate::Count | Aggregate::CountOf(_) | Aggregate::Distinct(_)
    );
    let zero = if counts && !plan.is_ratio() { Value::Long(0) } else { Value::Double(0.0) };
    let mut known = std::mem::take(rows).into_iter().peekable();
    for start in starts {
        for group in &groups {
            let mut key = vec![Some(Value::Long(start))];
            key.extend(group.iter().cloned());
            match known.next_if(|row| compare(&row[..keys], &key).is_eq()) {
                Some(row) => rows.push(row),
                None => {
                    key.push(Some(zero.clone()));
                    rows.push(key);
                }
            }
        }
    }
    Ok(())
}
