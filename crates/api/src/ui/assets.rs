//! Style sheets and scripts, in the binary.

use crate::error::{Answer, ApiError};
use crate::reply::{Body, Reply};
use crate::route::Call;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::CACHE_CONTROL;

/// Each file with its media type.
const FILES: &[(&str, &str, &[u8])] =
    &[("login.css", "text/css; charset=utf-8", include_bytes!("assets/login.css"))];

/// `GET /_ui/assets/{file}`. Open to anyone: the login page needs them.
pub(crate) fn file(call: &Call<'_>) -> Answer {
    let wanted = call.request.part("file");
    let Some((_, media_type, bytes)) = FILES.iter().find(|(name, _, _)| *name == wanted) else {
        return Err(ApiError::not_found("no such file"));
    };
    let reply = Reply::of(StatusCode::OK, Body::Plain(Bytes::from_static(bytes), media_type));
    Ok(reply.with(CACHE_CONTROL, "public, max-age=3600"))
}
