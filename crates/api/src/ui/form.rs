//! What a form of ours sends, and where a browser goes after it.
//!
//! That a form comes from our own pages is checked before any handler, for every request that
//! changes something: [`is_from_our_pages`](crate::caller::is_from_our_pages). The session's cookie
//! is `SameSite=Strict` besides.

use super::link::Link;
use crate::error::ApiError;
use crate::reply::{Body, Reply};
use crate::request::{Request, read_params};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION};

/// The fields of a form, as they were typed.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the form in the body of a request.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn read(request: &Request) -> Result<Form, ApiError> {
        read_params(request.text()?).map(Form)
    }

    /// What a link fills in beforehand.
    pub(super) fn of_link(request: &Request) -> Form {
        Form(request.params.clone())
    }

    /// A form of these fields.
    #[cfg(test)]
    pub(super) fn of(fields: Vec<(String, String)>) -> Form {
        Form(fields)
    }

    /// A field, as it was typed; empty if it was not sent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// A field without the blanks around it; `None` if nothing is left.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        Some(self.text(name).trim()).filter(|text| !text.is_empty())
    }

    /// All fields of this name, for boxes that are ticked.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends the browser on to a page of ours, so that reloading it sends nothing again.
///
/// # Errors
/// Never for links of ours: they are escaped.
pub(super) fn go_to(link: &Link) -> Result<Reply, ApiError> {
    let address = HeaderValue::from_str(&link.to_string())
        .map_err(|_| ApiError::internal("a link of ours is no header value"))?;
    Ok(Reply::of(StatusCode::SEE_OTHER, Body::Empty)
        .with(CACHE_CONTROL, "no-store")
        .with_value(LOCATION, address))
}

/// A parameter without the blanks around it; `None` if nothing is left.
pub(super) fn asked<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.param(name).map(str::trim).filter(|text| !text.is_empty())
}
