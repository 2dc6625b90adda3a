//! `_sql` in Elasticsearch's shapes: JSON, CSV, TSV, text.

use super::cat::aligned;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::media::{self, Accepted};
use crate::reply::{Body, Reply};
use crate::request::Request;
use crate::route::Call;
use engine::{Caller, SqlAnswer, SqlColumn};
use hyper::StatusCode;
use serde_json::{Value, json};

/// What `_sql` reads of its body. Members that change nothing here are named, too: all others are
/// refused.
const MEMBERS: &[&str] = &[
    "query",
    "params",
    "fetch_size",
    "time_zone",
    "columnar",
    "mode",
    "client_id",
    "version",
    "request_timeout",
    "page_timeout",
    "binary_format",
    "allow_partial_search_results",
    "field_multi_value_leniency",
];

/// `POST /_sql`.
pub(crate) fn sql(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    let format = format(request)?;
    let body = request.json()?;
    let Some(members) = body.as_object() else {
        return Err(ApiError::unreadable_body("the body is an object such as {\"query\": \"…\"}"));
    };
    if let Some(unknown) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        let reason = format!("[sql/query] unknown field [{unknown}]");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "x_content_parse_exception", reason));
    }
    let text = body["query"]
        .as_str()
        .ok_or_else(|| ApiError::illegal_argument("one of [query] is required, as text"))?;
    let params = match &body["params"] {
        Value::Null => Vec::new(),
        Value::Array(params) => params.clone(),
        _ => return Err(ApiError::illegal_argument("[params] is an array of values")),
    };
    let rows = backend::sql(&call.app.engine, caller, text, &params)?;
    Ok(match format {
        Format::Json if body["columnar"] == json!(true) => Reply::json(columnar(&rows)),
        Format::Json => Reply::json(json!({ "columns": column_list(&rows), "rows": rows.rows })),
        Format::Text => Reply::text(as_text(&rows)),
        Format::Csv => {
            separated(&rows, delimiter(request)?, "text/csv; charset=utf-8; header=present")?
        }
        Format::Tsv => separated(&rows, b'\t', "text/tab-separated-values; charset=utf-8")?,
    })
}

/// `POST /_sql/close`: answers are never paged, so there is nothing to close.
pub(crate) fn close(_call: &Call<'_>, _caller: &Caller) -> Answer {
    Ok(Reply::json(json!({ "succeeded": false })))
}

/// How rows are written.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Text,
    Csv,
    Tsv,
}

fn format(request: &Request) -> Result<Format, ApiError> {
    match request.param("format").map(str::to_ascii_lowercase).as_deref() {
        Some("json" | "yaml") => Ok(Format::Json),
        Some("txt" | "text") => Ok(Format::Text),
        Some("csv") => Ok(Format::Csv),
        Some("tsv") => Ok(Format::Tsv),
        Some(_) => Err(ApiError::illegal_argument("[format] is one of json, yaml, txt, csv, tsv")),
        None => Ok(match media::accepted(&request.headers)? {
            Accepted::Text => Format::Text,
            Accepted::Csv => Format::Csv,
            Accepted::Json(_) | Accepted::Yaml | Accepted::Arrow | Accepted::Any => Format::Json,
        }),
    }
}

fn delimiter(request: &Request) -> Result<u8, ApiError> {
    match request.param("delimiter").map(str::as_bytes) {
        None => Ok(b','),
        Some([one]) if !b"\"\r\n\t".contains(one) => Ok(*one),
        Some(_) => Err(ApiError::illegal_argument("[delimiter] is one plain character")),
    }
}

fn column_list(rows: &SqlAnswer) -> Value {
    let columns = rows.columns.iter();
    columns.map(|column| json!({ "name": column.name, "type": column.ty })).collect()
}

fn columnar(rows: &SqlAnswer) -> Value {
    let values: Vec<Vec<Value>> = (0..rows.columns.len())
        .map(|at| rows.rows.iter().map(|row| row[at].clone()).collect())
        .collect();
    json!({ "columns": column_list(rows), "values": values })
}

/// A cell as text: strings without quotes, null as nothing.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Rows with a separator between their cells, their names first.
pub(crate) fn separated(rows: &SqlAnswer, delimiter: u8, media_type: &'static str) -> Answer {
    let mut writer = csv::WriterBuilder::new()
        .delimiter(delimiter)
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let failed = |error: csv::Error| ApiError::internal(format!("writing rows: {error}"));
    writer.write_record(rows.columns.iter().map(|column| &column.name)).map_err(failed)?;
    for row in &rows.rows {
        writer.write_record(row.iter().map(cell)).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(Reply::of(StatusCode::OK, Body::Plain(bytes.into(), media_type)))
}

fn as_text(rows: &SqlAnswer) -> String {
    let mut lines: Vec<Vec<String>> = vec![rows.columns.iter().map(|c| c.name.clone()).collect()];
    lines.extend(rows.rows.iter().map(|row| row.iter().map(cell).collect()));
    let widths: Vec<usize> = (0..rows.columns.len())
        .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0))
        .collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    lines.insert(1, rule);
    let are_numbers: Vec<bool> = rows.columns.iter().map(is_number).collect();
    aligned(&are_numbers, &lines)
}

/// Whether the cells of a column stand to the right.
fn is_number(column: &SqlColumn) -> bool {
    matches!(
        column.ty.as_str(),
        "byte" | "short" | "integer" | "long" | "unsigned_long" | "half_float" | "float" | "double"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> SqlAnswer {
        let column = |name: &str, ty: &str| SqlColumn { name: name.to_owned(), ty: ty.to_owned() };
        SqlAnswer {
            columns: vec![column("model", "keyword"), column("n", "long")],
            rows: vec![vec![json!("a,b"), json!(7)], vec![json!("c\"d"), Value::Null]],
        }
    }

    #[test]
    fn text_has_a_rule_under_the_names() {
        let expected = "model n\n----- -\na,b   7\nc\"d    \n";
        assert_eq!(as_text(&rows()), expected);
    }

    #[test]
    fn csv_quotes_what_it_must() {
        let reply = separated(&rows(), b',', "text/csv").unwrap();
        let Body::Plain(bytes, _) = reply.body else { panic!("rows are text") };
        assert_eq!(bytes, "model,n\r\n\"a,b\",7\r\n\"c\"\"d\",\r\n");
    }

    #[test]
    fn columns_may_be_turned() {
        let turned = columnar(&rows());
        assert_eq!(turned["values"], json!([["a,b", "c\"d"], [7, null]]));
    }
}
