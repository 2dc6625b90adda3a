//! Hits as CSV: the same search under the same grants and quotas, with more rows and no page.

use super::question::SearchQuestion;
use super::value;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::{Body, Reply};
use crate::route::Call;
use engine::Caller;
use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use model::Table;
use serde_json::{Value, json};

/// Elasticsearch's window; whoever wants more pages with a point in time.
const ROWS_MAX: u64 = 10_000;
const MEDIA_TYPE: &str = "text/csv; charset=utf-8; header=present";

/// `GET /_ui/search/csv`.
pub(in crate::ui) fn download(call: &Call<'_>, caller: &Caller) -> Answer {
    let question = SearchQuestion::read(call.request).map_err(ApiError::illegal_argument)?;
    let tables = backend::tables(&call.app.engine, caller, &question.table)?;
    let table = tables.first().ok_or_else(|| ApiError::not_found("There is no such table."))?;
    let mut body = question.body(table, None);
    body["size"] = json!(ROWS_MAX);
    body["track_total_hits"] = json!(false);
    for unneeded in ["highlight", "from"] {
        body.as_object_mut().map(|members| members.shift_remove(unneeded));
    }
    let answer = backend::search(&call.app.engine, caller, &question.table, Some(body), &[])?;
    let hits = answer["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
    attachment(written(&question, table, hits)?, table.name.as_str())
}

/// A file that the browser saves under the name of a table.
pub(in crate::ui) fn attachment(bytes: Vec<u8>, name: &str) -> Answer {
    let safe: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
        .collect();
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{safe}.csv\""))
        .map_err(|_| ApiError::internal("a file name that is no header"))?;
    let reply = Reply::of(StatusCode::OK, Body::Plain(bytes.into(), MEDIA_TYPE));
    Ok(reply.with_value(CONTENT_DISPOSITION, disposition))
}

fn written(question: &SearchQuestion, table: &Table, hits: &[Value]) -> Result<Vec<u8>, ApiError> {
    let documents: Vec<_> = hits.iter().map(|hit| value::flatten(table, &hit["_source"])).collect();
    let mut columns: Vec<String> = table.time_field.iter().cloned().collect();
    match question.columns.is_empty() {
        false => columns.extend(question.columns.iter().cloned()),
        true => {
            columns.extend(table.schema.fields().iter().map(|field| field.name.as_str().to_owned()))
        }
    }
    let mut seen = Vec::new();
    columns.retain(|column| {
        !seen.contains(column) && {
            seen.push(column.clone());
            true
        }
    });
    let has_value = |column: &String| documents.iter().flatten().any(|shown| shown.name == *column);
    columns.retain(|column| question.columns.contains(column) || has_value(column));
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let failed = |error: csv::Error| ApiError::internal(format!("writing rows: {error}"));
    writer
        .write_record(std::iter::once("_id").chain(columns.iter().map(String::as_str)))
        .map_err(failed)?;
    for (hit, document) in hits.iter().zip(&documents) {
        let cell = |column: &String| {
            let shown = document.iter().find(|shown| shown.name == *column);
            shown.map_or_else(String::new, |shown| cell(&shown.values.join(", ")))
        };
        let id = hit["_id"].as_str().unwrap_or("").to_owned();
        writer.write_record(std::iter::once(id).chain(columns.iter().map(cell))).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| failed(error.into_error().into()))
}

/// A cell that no spreadsheet takes for a formula: what begins like one and is no number begins
/// with an apostrophe.
pub(in crate::ui) fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula && text.parse::<f64>().is_err() { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("@SUM(A1)"), "'@SUM(A1)");
        assert_eq!(cell("-3.5"), "-3.5");
        assert_eq!(cell("-x"), "'-x");
        assert_eq!(cell("a=b"), "a=b");
    }
}
