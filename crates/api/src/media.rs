//! Media types: what a body is, and what an answer is to be.

use crate::error::ApiError;
use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE};

/// The versions of Elasticsearch's API that `compatible-with` may name.
const COMPATIBLE_VERSIONS: [u8; 2] = [8, 9];

/// The media type of a stream of Arrow's IPC format.
pub(crate) const ARROW: &str = "application/vnd.apache.arrow.stream";

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Ndjson,
    /// YAML.
    Yaml,
    /// A form of a web page.
    Form,
    /// Plain text.
    Text,
}

/// What an answer is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// JSON; with a version, under Elasticsearch's own media type, which is echoed.
    Json(Option<u8>),
    /// YAML.
    Yaml,
    /// Plain text.
    Text,
    /// Comma-separated values.
    Csv,
    /// A stream of Arrow's IPC format.
    Arrow,
    /// Nothing in particular.
    Any,
}

/// One media type of a header, without parameters that do not matter here.
struct MediaType<'a> {
    /// Such as `application/json`, lower case.
    name: String,
    compatible_with: Option<&'a str>,
}

impl<'a> MediaType<'a> {
    fn parse(text: &'a str) -> MediaType<'a> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or("").to_ascii_lowercase();
        let compatible_with = parts.find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case("compatible-with").then(|| value.trim())
        });
        MediaType { name, compatible_with }
    }

    /// The version that this type asks for, if it is one that we speak.
    fn version(&self, header: &str) -> Result<Option<u8>, ApiError> {
        let Some(text) = self.compatible_with else { return Ok(None) };
        match text.parse() {
            Ok(version) if COMPATIBLE_VERSIONS.contains(&version) => Ok(Some(version)),
            _ => Err(ApiError::media_type(format!(
                "Invalid media-type value on headers [{header}]: {header} version must be either \
                 version 9 or 8"
            ))),
        }
    }
}

/// What the headers say the body is.
///
/// # Errors
/// 406 as Elasticsearch's if the type is missing or unknown, 400 if it names a version that we
/// do not speak.
pub(crate) fn content(headers: &HeaderMap) -> Result<Content, ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(ApiError::content_type(None));
    };
    let text = value.to_str().map_err(|_| ApiError::content_type(Some("not ASCII")))?;
    let media = MediaType::parse(text);
    media.version("Content-Type")?;
    match media.name.as_str() {
        "application/json" | "application/vnd.elasticsearch+json" | "application/scim+json" => {
            Ok(Content::Json)
        }
        "application/x-ndjson"
        | "application/ndjson"
        | "application/vnd.elasticsearch+x-ndjson" => Ok(Content::Ndjson),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Content::Yaml),
        "application/x-www-form-urlencoded" => Ok(Content::Form),
        "text/plain" => Ok(Content::Text),
        _ => Err(ApiError::content_type(Some(text))),
    }
}

/// What the headers say the answer is to be: the first type of the list that we can write.
///
/// # Errors
/// 400 if there is none, or one names a version that we do not speak.
pub(crate) fn accepted(headers: &HeaderMap) -> Result<Accepted, ApiError> {
    let Some(value) = headers.get(ACCEPT) else { return Ok(Accepted::Any) };
    let text = value.to_str().unwrap_or("");
    if text.trim().is_empty() {
        return Ok(Accepted::Any);
    }
    for part in text.split(',') {
        let media = MediaType::parse(part);
        let version = media.version("Accept")?;
        match media.name.as_str() {
            "application/json" => return Ok(Accepted::Json(None)),
            "application/vnd.elasticsearch+json" => return Ok(Accepted::Json(version)),
            // Answers to streams of lines are JSON, as Elasticsearch's are.
            "application/x-ndjson" => return Ok(Accepted::Json(None)),
            "application/vnd.elasticsearch+x-ndjson" => return Ok(Accepted::Json(version)),
            "application/yaml" | "application/x-yaml" | "text/yaml" => return Ok(Accepted::Yaml),
            "text/plain" | "text/html" => return Ok(Accepted::Text),
            "text/csv" => return Ok(Accepted::Csv),
            ARROW => return Ok(Accepted::Arrow),
            "*/*" | "application/*" | "text/*" | "*" => return Ok(Accepted::Any),
            _ => {}
        }
    }
    Err(ApiError::media_type("Invalid media-type value on headers [Accept]"))
}

/// Whether a browser asks for a page.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.split(',').any(|part| MediaType::parse(part).name == "text/html")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn with(name: hyper::header::HeaderName, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn bodies() {
        let read = |text| content(&with(CONTENT_TYPE, text)).map_err(|error| error.status());
        assert_eq!(read("application/json; charset=UTF-8"), Ok(Content::Json));
        assert_eq!(
            read("application/vnd.elasticsearch+json; compatible-with=9"),
            Ok(Content::Json)
        );
        assert_eq!(
            read("application/vnd.elasticsearch+x-ndjson;compatible-with=8"),
            Ok(Content::Ndjson)
        );
        assert_eq!(read("image/png").unwrap_err(), 406);
        assert_eq!(read("application/vnd.elasticsearch+json;compatible-with=7").unwrap_err(), 400);
        assert_eq!(content(&HeaderMap::new()).unwrap_err().status(), 406);
    }

    #[test]
    fn answers() {
        let read = |text| accepted(&with(ACCEPT, text)).map_err(|error| error.status());
        assert_eq!(
            read("application/vnd.elasticsearch+json; compatible-with=8"),
            Ok(Accepted::Json(Some(8)))
        );
        assert_eq!(read("text/plain,application/json"), Ok(Accepted::Text));
        assert_eq!(read("image/png, */*;q=0.8"), Ok(Accepted::Any));
        assert_eq!(read("image/png").unwrap_err(), 400);
        assert!(wants_page(&with(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")));
        assert!(!wants_page(&with(ACCEPT, "*/*")));
    }
}
