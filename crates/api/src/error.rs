//! The one place where an error meets a caller.

use crate::reply::{Body, Reply};
use engine::EngineError;
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};
use std::borrow::Cow;

/// What a handler gives back.
pub(crate) type Answer = Result<Reply, ApiError>;

/// An error as Elasticsearch writes it: `error.type`, `error.reason` and a status.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: Cow<'static, str>,
    /// Sent to the caller. Never holds a value of a document.
    reason: String,
    /// Logged under the request's id, never sent.
    detail: Option<String>,
    /// Elasticsearch writes a few errors as one flat string instead of an object.
    flat: bool,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl ApiError {
    /// An error with Elasticsearch's own word for it.
    pub(crate) fn new(
        status: StatusCode,
        kind: impl Into<Cow<'static, str>>,
        reason: impl Into<String>,
    ) -> ApiError {
        let (kind, reason) = (kind.into(), reason.into());
        ApiError { status, kind, reason, detail: None, flat: false, header: None }
    }

    /// 400 `illegal_argument_exception`.
    pub(crate) fn illegal_argument(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "illegal_argument_exception", reason)
    }

    /// 400 `parse_exception`: the body is not what the route expects.
    pub(crate) fn unreadable_body(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "parse_exception", reason)
    }

    /// 400: something of Elasticsearch that is deliberately not there.
    pub(crate) fn not_supported(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "unsupported_operation_exception", reason)
    }

    /// 403 `security_exception`.
    pub(crate) fn forbidden(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "security_exception", reason)
    }

    /// 404 `resource_not_found_exception`.
    pub(crate) fn not_found(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "resource_not_found_exception", reason)
    }

    /// 413: the body is larger than the server takes.
    pub(crate) fn too_large(limit_bytes: usize) -> ApiError {
        let reason = format!(
            "the request body is larger than [{limit_bytes}] bytes, also after decompression; \
             send it in smaller parts"
        );
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "content_too_long_exception", reason)
    }

    /// 429: every place is taken; the caller may come back.
    pub(crate) fn busy(reason: impl Into<String>) -> ApiError {
        let mut error =
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "es_rejected_execution_exception", reason);
        error.header = Some(Box::new((RETRY_AFTER, HeaderValue::from_static("1"))));
        error
    }

    /// 500: our fault. `detail` goes to the log only.
    pub(crate) fn internal(detail: impl Into<String>) -> ApiError {
        let reason = "the server failed to answer this request; see its log for the request id";
        let mut error =
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", reason);
        error.detail = Some(detail.into());
        error
    }

    /// 503: a part of the house does not answer. `detail` goes to the log only.
    pub(crate) fn unavailable(detail: impl Into<String>) -> ApiError {
        let reason = "the catalog of the server is unavailable; see its log";
        let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "status_exception", reason);
        error.detail = Some(detail.into());
        error
    }

    /// 400 for a path that no route has, in Elasticsearch's words.
    pub(crate) fn no_handler(uri: &str, method: &str) -> ApiError {
        let reason = format!("no handler found for uri [{uri}] and method [{method}]");
        let mut error = ApiError::new(StatusCode::BAD_REQUEST, "no_handler", reason);
        error.flat = true;
        error
    }

    /// 405 for a path that has routes for other methods, in Elasticsearch's words.
    pub(crate) fn wrong_method(uri: &str, method: &str, allowed: &[&str]) -> ApiError {
        let reason = format!(
            "Incorrect HTTP method for uri [{uri}] and method [{method}], allowed: [{}]",
            allowed.join(", ")
        );
        let mut error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", reason);
        error.flat = true;
        let allow = HeaderValue::from_str(&allowed.join(",")).ok();
        error.header = allow.map(|value| Box::new((ALLOW, value)));
        error
    }

    /// 406 for a `Content-Type` that the route does not read.
    pub(crate) fn content_type(sent: Option<&str>) -> ApiError {
        let reason = match sent {
            Some(sent) => format!("Content-Type header [{sent}] is not supported"),
            None => "Content-Type header is missing".to_owned(),
        };
        let mut error = ApiError::new(StatusCode::NOT_ACCEPTABLE, "content_type", reason);
        error.flat = true;
        error
    }

    /// 400 for media types that cannot be met, such as a version we do not speak.
    pub(crate) fn media_type(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "media_type_header_exception", reason)
    }

    /// The answer to everybody without identity: the same bytes for every route and method.
    pub(crate) fn unauthenticated() -> ApiError {
        let reason =
            "unable to authenticate this request; send Basic, ApiKey or Bearer credentials";
        let mut error = ApiError::new(StatusCode::UNAUTHORIZED, "security_exception", reason);
        let challenge = HeaderValue::from_static(r#"Basic realm="clerestory", ApiKey"#);
        error.header = Some(Box::new((WWW_AUTHENTICATE, challenge)));
        error
    }

    /// What goes to the log only, if there is anything.
    pub(crate) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// What the caller is told.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The status code.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The body of the `error` member, as it also stands inside an item of a bulk or `_msearch`
    /// answer.
    pub(crate) fn member(&self) -> Value {
        if self.flat {
            return Value::String(self.reason.clone());
        }
        json!({
            "root_cause": [{ "type": self.kind, "reason": self.reason }],
            "type": self.kind,
            "reason": self.reason,
        })
    }

    /// The reply that is sent.
    pub(crate) fn into_reply(self) -> Reply {
        let mut body = json!({ "error": self.member() });
        // Elasticsearch leaves the status out of this one error.
        if self.kind != "no_handler" {
            body["status"] = json!(self.status.as_u16());
        }
        let mut reply = Reply::of(self.status, Body::Json(body)).unfiltered();
        reply.headers.extend(self.header.map(|header| *header));
        reply
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> ApiError {
        let status =
            StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        ApiError { detail: error.detail, ..ApiError::new(status, error.kind, error.reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: ApiError, status: u16, expected: &str) {
        let reply = error.into_reply();
        assert_eq!(reply.status.as_u16(), status);
        let Body::Json(body) = reply.body else { panic!("an error is JSON") };
        assert_eq!(body.to_string(), expected);
    }

    #[test]
    fn errors_have_the_shape_of_elasticsearch() {
        check(
            ApiError::illegal_argument("no"),
            400,
            r#"{"error":{"root_cause":[{"type":"illegal_argument_exception","reason":"no"}],"type":"illegal_argument_exception","reason":"no"},"status":400}"#,
        );
        check(
            ApiError::no_handler("/_x?pretty", "GET"),
            400,
            r#"{"error":"no handler found for uri [/_x?pretty] and method [GET]"}"#,
        );
        check(
            ApiError::wrong_method("/_bulk", "GET", &["POST", "PUT"]),
            405,
            r#"{"error":"Incorrect HTTP method for uri [/_bulk] and method [GET], allowed: [POST, PUT]","status":405}"#,
        );
    }

    #[test]
    fn details_are_not_sent() {
        let error = ApiError::internal("the secret cause");
        assert_eq!(error.detail(), Some("the secret cause"));
        let Body::Json(body) = error.into_reply().body else { panic!("an error is JSON") };
        assert!(!body.to_string().contains("secret cause"));
    }
}
