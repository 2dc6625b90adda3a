//! Logging in with the company's identity provider: to it and back.

use super::login::{address, frame};
use crate::backend;
use crate::caller::{cookie, session_cookie};
use crate::error::{Answer, ApiError};
use crate::reply::{Body, Reply};
use crate::request::{Peer, Request};
use crate::route::Call;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HOST, HeaderValue, LOCATION, SET_COOKIE};
use maud::html;

/// What providers send back beside `code` and `state`.
pub(super) const PARAMS: &[&str] = &[
    "code",
    "state",
    "iss",
    "session_state",
    "scope",
    "authuser",
    "hd",
    "prompt",
    "error",
    "error_description",
    "error_uri",
];

/// Ties the way back to the browser that went: a foreign page cannot log somebody in as another.
const STATE_COOKIE: &str = "clerestory_oidc";

/// `GET /_ui/oidc`: sends the browser to the provider.
pub(super) fn begin(call: &Call<'_>) -> Answer {
    let to_login = || Ok(Reply::see_other("/_ui/login"));
    let Some(redirect) = redirect(call.request) else { return to_login() };
    let begun = match call.app.engine.begin_oidc(&redirect) {
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!(%error, "log-in with the identity provider not begun");
            return to_login();
        }
    };
    let broken = |_| ApiError::internal("the identity provider's address is no header value");
    let url = HeaderValue::from_str(&begun.url).map_err(broken)?;
    let cookie = state_cookie(&begun.state, 600, call.request.peer).map_err(broken)?;
    Ok(Reply::of(StatusCode::SEE_OTHER, Body::Empty)
        .with(CACHE_CONTROL, "no-store")
        .with_value(LOCATION, url)
        .with_value(SET_COOKIE, cookie))
}

/// `GET /_ui/oidc/callback`: the browser is back. Whatever is wrong, it sees the log-in page again.
pub(super) fn finish(call: &Call<'_>) -> Answer {
    let request = call.request;
    let param = |name: &str| request.param(name).unwrap_or("");
    let (state, code) = (param("state"), param("code"));
    let ours = cookie(&request.headers, STATE_COOKIE);
    if code.is_empty() || ours.as_deref() != Some(state) {
        return refused();
    }
    let peer = request.peer;
    let token = match call.app.engine.finish_oidc(state, code, Some(peer.address)) {
        Ok(token) => token,
        Err(error) => {
            let error = backend::not_done(error);
            if error.status() != StatusCode::UNAUTHORIZED {
                return Err(error);
            }
            return refused();
        }
    };
    let broken = || ApiError::internal("a session token is no cookie value");
    let session = session_cookie(token.as_str(), peer).ok_or_else(broken)?;
    let over = state_cookie("", 0, peer).map_err(|_| broken())?;
    // A page, no redirect: a browser that comes from another site would not send the session along.
    let page = frame(
        "Logged in",
        html! {
            p { a.button.primary href="/_ui" { "Go on" } }
        },
    );
    Ok(Reply::page(page)
        .with(hyper::header::REFRESH, "0;url=/_ui")
        .with_value(SET_COOKIE, session)
        .with_value(SET_COOKIE, over))
}

fn refused() -> Answer {
    let page = frame(
        "Log in",
        html! {
            p.wrong role="alert" {
                "Your company's account did not let you in. Begin again; if that does not help, ask an \
                 administrator."
            }
            p { a.button href=(address("")) { "To the log-in" } }
        },
    );
    Ok(Reply::page(page).with_status(StatusCode::UNAUTHORIZED))
}

/// Where the provider sends the browser back to; it knows which addresses are ours.
fn redirect(request: &Request) -> Option<String> {
    let host = request.headers.get(HOST)?.to_str().ok()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    if host.is_empty() || !host.chars().all(is_plain) {
        return None;
    }
    let scheme = if request.peer.secure { "https" } else { "http" };
    Some(format!("{scheme}://{host}/_ui/oidc/callback"))
}

/// `Lax`, because the browser comes back from another site.
fn state_cookie(
    state: &str,
    seconds: u32,
    peer: Peer,
) -> Result<HeaderValue, hyper::header::InvalidHeaderValue> {
    let secure = if peer.secure { "; Secure" } else { "" };
    HeaderValue::from_str(&format!(
        "{STATE_COOKIE}={state}; Path=/_ui/oidc; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"
    ))
}
