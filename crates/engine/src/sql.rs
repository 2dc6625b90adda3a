//! SQL: `POST /_sql` and the command line.

use crate::Engine;
use crate::error::EngineError;
use crate::read::{AnswerSize, Wanted, release};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::{Table, Timestamp};
use protection::Released;
use protection::caller::Caller;
use protection::grant::Action;
use query::Limits;
use serde_json::Value as Json;
use std::sync::Arc;

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlColumn {
    /// Its name or alias.
    pub name: String,
    /// Elasticsearch's word for its type.
    pub ty: String,
}

/// The rows of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlAnswer {
    /// Its columns.
    pub columns: Vec<SqlColumn>,
    /// Its rows: one value per column.
    pub rows: Vec<Vec<Json>>,
}

impl AnswerSize for SqlAnswer {
    fn bytes(&self) -> u64 {
        self.rows.iter().flatten().map(AnswerSize::bytes).sum()
    }
}

impl Engine {
    /// Answers one `SELECT`, `EXPLAIN`, `SHOW TABLES` or `DESCRIBE`. `params` take the places of
    /// `?`, in order.
    ///
    /// # Errors
    /// 400 for what is no such statement or names what is not there, 403 for fields that the
    /// caller may not use, and limits of time, memory and rows.
    pub fn sql(
        &self,
        caller: &Caller,
        text: &str,
        params: &[Json],
    ) -> Result<Released<SqlAnswer>, EngineError> {
        let text = with_params(text, params)?;
        self.in_one_epoch(|| self.sql_once(caller, &text))
    }

    fn sql_once(&self, caller: &Caller, text: &str) -> Result<Released<SqlAnswer>, EngineError> {
        let known = self.known_tables(caller);
        let metric = |name: &str, body: &Json| self.metric_in_sql(caller, name, body);
        let plan = query::sql::plan_with(text, &known, &self.pseudonyms, &metric)?;
        let tables: Vec<Arc<Table>> = plan.tables().to_vec();
        let scope = self.scope(
            caller,
            Wanted {
                action: if plan.only_aggregates() { Action::Aggregate } else { Action::Read },
                tables: &tables,
                shape: plan.shape(),
                uses: plan.fields(),
            },
        )?;
        let (columns, batches) = plan.run(&scope, &Limits::standard())?;
        let columns = columns.into_iter();
        let columns =
            columns.map(|column| SqlColumn { name: column.name, ty: column.ty }).collect();
        let mut rows = Vec::new();
        for batch in &batches {
            append_rows(batch, &mut rows)?;
        }
        let count = rows.len() as u64;
        release(&scope, SqlAnswer { columns, rows }, count)
    }
}

/// Puts literals in the places of `?` outside strings, quoted names and comments.
fn with_params(text: &str, params: &[Json]) -> Result<String, EngineError> {
    if params.is_empty() {
        return Ok(text.to_owned());
    }
    let mut left = params.iter();
    let mut out = String::with_capacity(text.len() + 32);
    let mut quote: Option<char> = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) => {
                quote = (character != open).then_some(open);
                out.push(character);
            }
            (None, '\'' | '"') => {
                quote = Some(character);
                out.push(character);
            }
            (None, '-') if characters.peek() == Some(&'-') => {
                // A comment ends with its line; 'quote' until then.
                quote = Some('\n');
                out.push(character);
            }
            (None, '?') => {
                let value = left.next().ok_or_else(|| {
                    EngineError::illegal_argument("there are more ? in the query than params")
                })?;
                out.push_str(&literal(value)?);
            }
            (None, other) => out.push(other),
        }
    }
    match left.next() {
        None => Ok(out),
        Some(_) => Err(EngineError::illegal_argument("there are more params than ? in the query")),
    }
}

fn literal(value: &Json) -> Result<String, EngineError> {
    match value {
        Json::Null => Ok("NULL".to_owned()),
        Json::Bool(value) => Ok(value.to_string()),
        Json::Number(number) => Ok(number.to_string()),
        Json::String(text) => Ok(format!("'{}'", text.replace('\'', "''"))),
        Json::Array(_) | Json::Object(_) => {
            Err(EngineError::illegal_argument("a param is a string, a number, a boolean or null"))
        }
    }
}

/// Rows of a batch as JSON values.
pub(crate) fn append_rows(
    batch: &RecordBatch,
    rows: &mut Vec<Vec<Json>>,
) -> Result<(), EngineError> {
    let before = rows.len();
    rows.resize_with(before + batch.num_rows(), || Vec::with_capacity(batch.num_columns()));
    for column in batch.columns() {
        let cells = cells(column)?;
        for (row, cell) in rows[before..].iter_mut().zip(cells) {
            row.push(cell);
        }
    }
    Ok(())
}

fn cells(column: &ArrayRef) -> Result<Vec<Json>, EngineError> {
    macro_rules! numbers {
        ($type:ty) => {
            column
                .as_primitive::<$type>()
                .iter()
                .map(|value| value.map_or(Json::Null, Json::from))
                .collect()
        };
    }
    macro_rules! dates {
        ($type:ty, $to_ms:expr) => {
            column
                .as_primitive::<$type>()
                .iter()
                .map(|value| value.map_or(Json::Null, |value| date($to_ms(value))))
                .collect()
        };
    }
    Ok(match column.data_type() {
        DataType::Null => vec![Json::Null; column.len()],
        DataType::Utf8 => column.as_string::<i32>().iter().map(text).collect(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().map(text).collect(),
        DataType::Utf8View => column.as_string_view().iter().map(text).collect(),
        DataType::Boolean => {
            column.as_boolean().iter().map(|value| value.map_or(Json::Null, Json::from)).collect()
        }
        DataType::Int8 => numbers!(Int8Type),
        DataType::Int16 => numbers!(Int16Type),
        DataType::Int32 => numbers!(Int32Type),
        DataType::Int64 => numbers!(Int64Type),
        DataType::UInt8 => numbers!(UInt8Type),
        DataType::UInt16 => numbers!(UInt16Type),
        DataType::UInt32 => numbers!(UInt32Type),
        DataType::UInt64 => numbers!(UInt64Type),
        DataType::Float32 => numbers!(Float32Type),
        DataType::Float64 => numbers!(Float64Type),
        DataType::Timestamp(TimeUnit::Second, _) => dates!(TimestampSecondType, |s: i64| s * 1000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => dates!(TimestampMillisecondType, |ms| ms),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            dates!(TimestampMicrosecondType, |us: i64| us.div_euclid(1000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            dates!(TimestampNanosecondType, |ns: i64| ns.div_euclid(1_000_000))
        }
        DataType::List(_) => column
            .as_list::<i32>()
            .iter()
            .map(|list| match list {
                Some(list) => Ok(Json::Array(cells(&list)?)),
                None => Ok(Json::Null),
            })
            .collect::<Result<_, EngineError>>()?,
        _ => formatted(column)?,
    })
}

fn text(value: Option<&str>) -> Json {
    value.map_or(Json::Null, Json::from)
}

fn date(milliseconds: i64) -> Json {
    Json::from(Timestamp(milliseconds).to_rfc3339())
}

fn formatted(column: &ArrayRef) -> Result<Vec<Json>, EngineError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)
        .map_err(|_| EngineError::internal("a column type without a JSON form"))?;
    let cell = |row| match column.is_null(row) {
        true => Json::Null,
        false => Json::from(formatter.value(row).to_string()),
    };
    Ok((0..column.len()).map(cell).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn params_take_the_places_of_question_marks() {
        let filled = with_params(
            "select '?' from t -- why?\nwhere a = ? and b > ? and \"c?\" = ?",
            &[json!("O'Hara"), json!(3), json!(null)],
        );
        assert_eq!(
            filled.unwrap(),
            "select '?' from t -- why?\nwhere a = 'O''Hara' and b > 3 and \"c?\" = NULL"
        );
        assert!(with_params("select ?", &[json!(1), json!(2)]).is_err());
        assert!(with_params("select ?, ?", &[json!(1)]).is_err());
        assert!(with_params("select ?", &[json!([1])]).is_err());
    }
}
