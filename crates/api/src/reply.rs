//! How an answer looks on the wire.

use crate::error::ApiError;
use crate::filter_path::FilterPath;
use crate::media::{self, Accepted};
use crate::request::{Request, Verb};
use crate::yaml::to_yaml;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName,
    HeaderValue, LOCATION,
};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use std::io::Write;

/// Official clients refuse to talk to a server that does not answer with this header.
const PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");
/// Smaller answers are not worth compressing.
const COMPRESSED_BYTES_MIN: usize = 1400;

/// An answer before it is rendered for its caller.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Body,
    /// Errors are whole, whatever `filter_path` says.
    filtered: bool,
}

/// What an answer carries.
pub(crate) enum Body {
    /// Nothing.
    Empty,
    /// A JSON document.
    Json(Value),
    /// A JSON document that is written already.
    Written(Vec<u8>),
    /// Text or bytes with their own media type.
    Plain(Bytes, &'static str),
}

impl Reply {
    /// An answer with this status.
    pub(crate) fn of(status: StatusCode, body: Body) -> Reply {
        Reply { status, headers: Vec::new(), body, filtered: true }
    }

    /// 200 and a JSON document.
    pub(crate) fn json(value: Value) -> Reply {
        Reply::of(StatusCode::OK, Body::Json(value))
    }

    /// 200 and plain text.
    pub(crate) fn text(text: String) -> Reply {
        let body = Body::Plain(text.into(), "text/plain; charset=UTF-8");
        Reply::of(StatusCode::OK, body)
    }

    /// 200 or 404 with nothing else: the answer to "is it there".
    pub(crate) fn there(is_there: bool) -> Reply {
        let status = if is_there { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let body = Body::Plain(Bytes::new(), "text/plain; charset=UTF-8");
        Reply::of(status, body)
    }

    /// A page of the web UI, with the headers that keep foreign code and frames out.
    pub(crate) fn page(html: String) -> Reply {
        let body = Body::Plain(html.into(), "text/html; charset=utf-8");
        Reply::of(StatusCode::OK, body)
            .with(CACHE_CONTROL, "no-store")
            .with(HeaderName::from_static("content-security-policy"), CONTENT_SECURITY_POLICY)
            .with(HeaderName::from_static("x-frame-options"), "DENY")
            // Not `no-referrer`: forms would then send no origin for us to check.
            .with(HeaderName::from_static("referrer-policy"), "same-origin")
    }

    /// Sends a browser to another of our pages.
    pub(crate) fn see_other(path: &'static str) -> Reply {
        Reply::of(StatusCode::SEE_OTHER, Body::Empty)
            .with(LOCATION, path)
            .with(CACHE_CONTROL, "no-store")
    }

    /// The same answer with another header.
    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Reply {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// The same answer with another header whose value was made for it.
    pub(crate) fn with_value(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.headers.push((name, value));
        self
    }

    /// The same answer with another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Reply {
        self.status = status;
        self
    }

    /// The same answer, whole, whatever `filter_path` says.
    pub(crate) fn unfiltered(mut self) -> Reply {
        self.filtered = false;
        self
    }

    /// Renders the answer as `request` wants it: filtered, pretty, as YAML, compressed.
    ///
    /// # Errors
    /// If the request wants what cannot be written.
    pub(crate) fn render(self, request: &Request) -> Result<Response<Full<Bytes>>, ApiError> {
        let accepted = media::accepted(&request.headers)?;
        let pretty = request.flag("pretty")?;
        let filter = match request.param("filter_path") {
            Some(text) if self.filtered => FilterPath::parse(text),
            _ => None,
        };
        let wants_yaml = match request.param("format") {
            Some(format) => format.eq_ignore_ascii_case("yaml"),
            None => accepted == Accepted::Yaml,
        };
        let mut headers = self.headers;
        headers.push((PRODUCT, HeaderValue::from_static("Elasticsearch")));
        let body = match self.body {
            Body::Empty => Bytes::new(),
            Body::Plain(bytes, media_type) => {
                headers.push((CONTENT_TYPE, HeaderValue::from_static(media_type)));
                bytes
            }
            Body::Written(bytes) if filter.is_none() && !pretty && !wants_yaml => {
                headers.push((CONTENT_TYPE, json_type(accepted)));
                bytes.into()
            }
            Body::Written(bytes) => {
                let read = match &filter {
                    Some(filter) => filter.read(&mut serde_json::Deserializer::from_slice(&bytes)),
                    None => serde_json::from_slice(&bytes),
                };
                let value =
                    read.map_err(|error| ApiError::internal(format!("written answer: {error}")))?;
                drop(bytes);
                let (bytes, media_type) = render_json(value, pretty, wants_yaml, accepted);
                headers.push((CONTENT_TYPE, media_type));
                bytes
            }
            Body::Json(value) => {
                let value = match &filter {
                    Some(filter) => filter
                        .read(value)
                        .map_err(|error| ApiError::internal(format!("filtered answer: {error}")))?,
                    None => value,
                };
                let (bytes, media_type) = render_json(value, pretty, wants_yaml, accepted);
                headers.push((CONTENT_TYPE, media_type));
                bytes
            }
        };
        Ok(assemble(self.status, headers, body, request.verb, &request.headers))
    }

    /// Renders the answer without looking at the request: what callers without identity get.
    pub(crate) fn render_plainly(self) -> Response<Full<Bytes>> {
        let bytes = match self.body {
            Body::Empty => Bytes::new(),
            Body::Plain(bytes, _) => bytes,
            Body::Written(bytes) => bytes.into(),
            Body::Json(value) => value.to_string().into(),
        };
        let mut response = Response::new(Full::new(bytes));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        let media_type = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Nothing but our own files; no inline code; no frames.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

fn render_json(
    value: Value,
    pretty: bool,
    wants_yaml: bool,
    accepted: Accepted,
) -> (Bytes, HeaderValue) {
    if wants_yaml {
        return (to_yaml(&value).into(), HeaderValue::from_static("application/yaml"));
    }
    let text = if pretty { format!("{value:#}\n") } else { value.to_string() };
    (text.into(), json_type(accepted))
}

/// JSON under the name that the caller used for it.
fn json_type(accepted: Accepted) -> HeaderValue {
    HeaderValue::from_static(match accepted {
        Accepted::Json(Some(8)) => "application/vnd.elasticsearch+json;compatible-with=8",
        Accepted::Json(Some(_)) => "application/vnd.elasticsearch+json;compatible-with=9",
        _ => "application/json",
    })
}

fn assemble(
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    verb: Verb,
    asked: &HeaderMap,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().append(name, value);
    }
    // What one caller may see must not come back to the next from somebody's cache.
    if !response.headers().contains_key(CACHE_CONTROL) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(HeaderName::from_static("x-content-type-options"), nosniff);
    if verb == Verb::Head {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        return response;
    }
    let body = match compressed(&body, asked) {
        Some(smaller) => {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            smaller
        }
        None => body,
    };
    *response.body_mut() = Full::new(body);
    response
}

/// The body as gzip, if the caller takes it and it is worth it.
fn compressed(body: &Bytes, asked: &HeaderMap) -> Option<Bytes> {
    if body.len() < COMPRESSED_BYTES_MIN {
        return None;
    }
    let encodings = asked.get(ACCEPT_ENCODING)?.to_str().ok()?;
    let takes_gzip = encodings.split(',').any(|encoding| {
        let (name, weight) = encoding.split_once(';').unwrap_or((encoding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && weight.replace(' ', "") != "q=0"
    });
    if !takes_gzip {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).expect("writing to memory does not fail");
    Some(encoder.finish().expect("writing to memory does not fail").into())
}
