//! `_bulk`: many writes, one answer each.

use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::{Body, Reply};
use crate::request::Request;
use crate::route::Call;
use engine::{BulkAnswer, BulkItem, BulkOptions, Caller};
use hyper::StatusCode;

/// `POST /_bulk` and `POST /{index}/_bulk`.
pub(crate) fn bulk(call: &Call<'_>, caller: &Caller) -> Answer {
    let request = call.request;
    if request.body.is_empty() {
        return Err(ApiError::unreadable_body("request body is required"));
    }
    let default_index = request.part_if_any("index");
    let options = options(request)?;
    let answer = backend::bulk(&call.app.engine, caller, default_index, &request.body, &options)?;
    let mut out = Vec::with_capacity(64 + answer.items.len() * 160);
    write_answer(&answer, &mut out);
    Ok(Reply::of(StatusCode::OK, Body::Written(out)))
}

/// The parameters that would change what is stored. Those about shards and refreshing mean nothing
/// here: a write that was answered is durable and searchable.
pub(crate) fn options(request: &Request) -> Result<BulkOptions, ApiError> {
    Ok(BulkOptions {
        pipeline: request.param("pipeline").filter(|name| !name.is_empty()).map(str::to_owned),
        require_alias: request.flag("require_alias")?,
    })
}

/// Writes the answer by hand: a bulk of many thousand items is answered in microseconds.
fn write_answer(answer: &BulkAnswer, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"errors\":");
    out.extend_from_slice(if answer.errors { b"true" } else { b"false" });
    out.extend_from_slice(b",\"took\":");
    write_number(answer.took_ms, out);
    out.extend_from_slice(b",\"items\":[");
    for (number, item) in answer.items.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_item(item, out);
    }
    out.extend_from_slice(b"]}");
}

fn write_item(item: &BulkItem, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(item.action.as_str().as_bytes());
    out.extend_from_slice(b"\":{");
    write_members(item, out);
    out.extend_from_slice(b",\"status\":");
    write_number(u64::from(item.status), out);
    if let Some(error) = &item.error {
        out.extend_from_slice(b",\"error\":{\"type\":");
        write_string(&error.kind, out);
        out.extend_from_slice(b",\"reason\":");
        write_string(&error.reason, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"}}");
}

/// Writes what became of one document, as single writes answer it.
pub(crate) fn write_written(item: &BulkItem, out: &mut Vec<u8>) {
    out.push(b'{');
    write_members(item, out);
    out.push(b'}');
}

fn write_members(item: &BulkItem, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"_index\":");
    write_string(&item.index, out);
    out.extend_from_slice(b",\"_id\":");
    match &item.id {
        Some(id) => write_string(id, out),
        None => out.extend_from_slice(b"null"),
    }
    if let Some(version) = item.version {
        out.extend_from_slice(b",\"_version\":");
        write_number(version, out);
    }
    let Some(result) = item.result else { return };
    out.extend_from_slice(b",\"result\":\"");
    out.extend_from_slice(result.as_str().as_bytes());
    out.extend_from_slice(b"\",\"_shards\":{\"total\":1,\"successful\":1,\"failed\":0}");
    if let Some(seq_no) = item.seq_no {
        out.extend_from_slice(b",\"_seq_no\":");
        write_number(seq_no, out);
    }
    out.extend_from_slice(b",\"_primary_term\":1");
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Writes a JSON string; almost none needs an escape.
fn write_string(text: &str, out: &mut Vec<u8>) {
    let needs_escape = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if text.bytes().any(needs_escape) {
        serde_json::to_writer(out, text).expect("writing to memory does not fail");
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{ActionKind, ItemError, WriteResult};

    #[test]
    fn items_are_written_as_elasticsearch_writes_them() {
        let written = BulkItem {
            action: ActionKind::Index,
            index: "logs".into(),
            id: Some("a\"\n1".to_owned()),
            version: Some(12),
            result: Some(WriteResult::Updated),
            seq_no: Some(u64::MAX),
            status: 200,
            error: None,
        };
        let refused = BulkItem {
            action: ActionKind::Create,
            id: None,
            version: None,
            result: None,
            seq_no: None,
            status: 400,
            error: Some(ItemError {
                status: 400,
                kind: "document_parsing_exception".to_owned(),
                reason: "no".to_owned(),
            }),
            ..written.clone()
        };
        let answer = BulkAnswer { took_ms: 0, errors: true, items: vec![written, refused] };
        let mut out = Vec::new();
        write_answer(&answer, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"errors":true,"took":0,"items":[{"index":{"_index":"logs","_id":"a\"\n1","#,
                r#""_version":12,"result":"updated","#,
                r#""_shards":{"total":1,"successful":1,"failed":0},"#,
                r#""_seq_no":18446744073709551615,"_primary_term":1,"status":200}},"#,
                r#"{"create":{"_index":"logs","_id":null,"status":400,"#,
                r#""error":{"type":"document_parsing_exception","reason":"no"}}}]}"#,
            )
        );
    }
}
