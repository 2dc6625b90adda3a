//! A request as handlers see it: path, parameters, headers, the whole body.

use crate::error::ApiError;
use bytes::Bytes;
use hyper::{HeaderMap, Method, Uri};
use serde_json::Value;
use std::net::IpAddr;

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Reads.
    Get,
    /// Reads the head of an answer.
    Head,
    /// Does something.
    Post,
    /// Makes or replaces something.
    Put,
    /// Changes a part of something.
    Patch,
    /// Removes something.
    Delete,
}

impl Verb {
    /// All verbs.
    #[cfg(test)]
    pub(crate) const ALL: [Verb; 6] =
        [Verb::Get, Verb::Head, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete];

    /// The verb of an HTTP method; `None` for methods that no route has.
    pub(crate) fn of(method: &Method) -> Option<Verb> {
        Some(match *method {
            Method::GET => Verb::Get,
            Method::HEAD => Verb::Head,
            Method::POST => Verb::Post,
            Method::PUT => Verb::Put,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => return None,
        })
    }

    /// As HTTP writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Head => "HEAD",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
        }
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The address at the other end of the connection. No header can change it.
    pub(crate) address: IpAddr,
    /// Whether the connection is encrypted.
    pub(crate) secure: bool,
}

/// One request.
pub(crate) struct Request {
    /// What is wanted.
    pub(crate) verb: Verb,
    /// Path and parameters as they were sent.
    pub(crate) uri: String,
    /// The path as it was sent.
    pub(crate) path: String,
    /// The parts of the path that the route names, decoded.
    pub(crate) captured: Vec<(&'static str, String)>,
    /// The parameters, decoded, in the order they were sent.
    pub(crate) params: Vec<(String, String)>,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body, decompressed.
    pub(crate) body: Bytes,
    /// Where it comes from.
    pub(crate) peer: Peer,
}

impl Request {
    /// A part of the path that the route names.
    ///
    /// # Panics
    /// If the route has no such part: a mistake in the table of routes.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.part_if_any(name).expect("the handler asks for a part that its route names")
    }

    /// A part of the path that some routes of a handler name and others do not.
    pub(crate) fn part_if_any(&self, name: &str) -> Option<&str> {
        self.captured.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter; the last one if it was sent twice.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is on or off; on if it was sent without a value.
    ///
    /// # Errors
    /// If it has another value, in Elasticsearch's words.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.param(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(ApiError::illegal_argument(format!(
                "Failed to parse value [{other}] as only [true] or [false] are allowed."
            ))),
        }
    }

    /// The body as JSON; `None` if there is no body.
    ///
    /// # Errors
    /// If it is not one JSON document.
    pub(crate) fn json_if_any(&self) -> Result<Option<Value>, ApiError> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        read_json(&self.body).map(Some)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If there is none or it is not one JSON document.
    pub(crate) fn json(&self) -> Result<Value, ApiError> {
        self.json_if_any()?.ok_or_else(|| ApiError::unreadable_body("request body is required"))
    }

    /// The body as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub(crate) fn text(&self) -> Result<&str, ApiError> {
        std::str::from_utf8(&self.body).map_err(|error| {
            let at = error.valid_up_to();
            ApiError::unreadable_body(format!("the body is not UTF-8 from byte [{at}] on"))
        })
    }
}

/// Reads one JSON document. The error names the place, never the text.
pub(crate) fn read_json(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "the document ends too early",
            _ if error.to_string().starts_with("recursion limit") => {
                "the document is nested deeper than 128 levels"
            }
            _ => "the document is not valid JSON",
        };
        let (line, column) = (error.line(), error.column());
        ApiError::new(
            hyper::StatusCode::BAD_REQUEST,
            "x_content_parse_exception",
            format!("[{line}:{column}] {what}"),
        )
    })
}

/// The parameters of a URI or a form, decoded.
///
/// # Errors
/// If an escape is broken or does not make UTF-8.
pub(crate) fn read_params(text: &str) -> Result<Vec<(String, String)>, ApiError> {
    let mut params = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(&name.replace('+', " "))?;
        params.push((name, decode(&value.replace('+', " "))?));
    }
    Ok(params)
}

/// Path and parameters of a URI as they were sent. HTTP/2 and proxies send whole URIs; only this
/// part of them matters.
pub(crate) fn path_and_query(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(|| uri.path().to_owned(), |both| both.as_str().to_owned())
}

/// Replaces `%XX`.
///
/// # Errors
/// If an escape is broken or the bytes are not UTF-8.
pub(crate) fn decode(text: &str) -> Result<String, ApiError> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let broken = || ApiError::illegal_argument("the uri has a broken escape; write `%` as `%25`");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let digit = |at: usize| tail.get(at).and_then(|&digit| (digit as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(broken()) };
        bytes.push((high * 16 + low) as u8);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(decode("a%2Fb%20c").unwrap(), "a/b c");
        assert_eq!(decode("%C3%A9").unwrap(), "é");
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert!(decode(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn parameters() {
        let params = read_params("q=a+b%2B&pretty&x=1=2&").unwrap();
        let expected = [("q", "a b+"), ("pretty", ""), ("x", "1=2")];
        let expected: Vec<(String, String)> =
            expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert_eq!(params, expected);
    }

    #[test]
    fn broken_json_is_named_by_its_place_only() {
        let error = read_json(b"{\n \"password\": hunter2 }").unwrap_err();
        let text = error.member().to_string();
        assert!(text.contains("[2:14]") && !text.contains("hunter2"), "{text}");
        let deep = "[".repeat(5000);
        assert!(read_json(deep.as_bytes()).unwrap_err().member().to_string().contains("nested"));
    }
}
