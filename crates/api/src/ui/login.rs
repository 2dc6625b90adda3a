//! Logging in and out.

use super::frame::document;
use super::icon;
use super::link::Link;
use crate::backend;
use crate::caller::{no_session_cookie, session, session_cookie};
use crate::error::{Answer, ApiError};
use crate::native::factors::{self, Shown};
use crate::reply::{Body, Reply};
use crate::request::{read_json, read_params};
use crate::route::Call;
use engine::Caller;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION, SET_COOKIE};
use maud::{Markup, html};

/// Where a browser without identity is sent; after the log-in it goes on to `wanted`.
pub(crate) fn address(wanted: &str) -> String {
    Link::to("/_ui/login").with("next", if is_page(wanted) { wanted } else { "" }).to_string()
}

/// Whether a log-in may lead there: a page of ours, and nothing else.
fn is_page(path: &str) -> bool {
    const BYTES_MAX: usize = 4000;
    let is_door = ["/_ui/login", "/_ui/enrol", "/_ui/assets/"];
    path.starts_with("/_ui/")
        && path.len() <= BYTES_MAX
        && !is_door.iter().any(|door| path.starts_with(door))
}

/// `GET /_ui/login`. Tells nothing of the house: no version, no table.
pub(crate) fn page(call: &Call<'_>) -> Answer {
    let next = call.request.param("next").unwrap_or("");
    Ok(Reply::page(frame("Log in", form(false, next, has_provider(call)))))
}

fn has_provider(call: &Call<'_>) -> bool {
    call.app.engine.has_oidc()
}

/// `POST /_ui/login/key` with name and password, for a script: what it gives to
/// `navigator.credentials.get`. Without a right password, or a key, everybody's 401.
pub(crate) fn ask_key(call: &Call<'_>) -> Answer {
    let fields = read_params(call.request.text()?)?;
    let field = |name: &str| {
        fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    };
    let origin = factors::origin(call.request).map_err(|_| ApiError::unauthenticated())?;
    let address = Some(call.request.peer.address);
    let (name, password) = (field("name"), field("password"));
    let options = call.app.engine.ask_key_to_log_in(name, password, address, &origin);
    Ok(Reply::json(options.map_err(backend::not_done)?).with(CACHE_CONTROL, "no-store"))
}

/// `POST /_ui/login`: gives the browser its session, or the page again.
pub(crate) fn log_in(call: &Call<'_>) -> Answer {
    let fields = read_params(call.request.text()?)?;
    let field = |name: &str| {
        fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    };
    let (name, password, next) = (field("name"), field("password"), field("next"));
    let peer = call.request.peer;
    let shown = match (field("code"), field("key")) {
        ("", "") => None,
        (code, "") => Some(Shown::Code(code.to_owned())),
        // What a script got from `navigator.credentials.get`.
        (_, key) => {
            let key = read_json(key.as_bytes())?;
            let answer = factors::read(&key, "the answer of a key")?;
            Some(Shown::Key(Box::new(answer), factors::origin(call.request)?))
        }
    };
    let factor = shown.as_ref().map(Shown::answer);
    let token = match backend::log_in(&call.app.engine, name, password, factor, peer.address) {
        Ok(token) => token,
        Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
            let page = Reply::page(frame("Log in", form(true, next, has_provider(call))));
            return Ok(page.with_status(StatusCode::UNAUTHORIZED));
        }
        Err(error) => return Err(error),
    };
    let cookie = session_cookie(&token, peer)
        .ok_or_else(|| ApiError::internal("a session token is no cookie value"))?;
    let next = HeaderValue::from_str(next).ok().filter(|_| is_page(next));
    let reply = match next {
        Some(next) => Reply::of(StatusCode::SEE_OTHER, Body::Empty)
            .with(CACHE_CONTROL, "no-store")
            .with_value(LOCATION, next),
        None => Reply::see_other("/_ui"),
    };
    Ok(reply.with_value(SET_COOKIE, cookie))
}

/// `POST /_ui/logout`.
pub(crate) fn log_out(call: &Call<'_>, caller: &Caller) -> Answer {
    if let Some(token) = session(&call.request.headers) {
        backend::log_out(&call.app.engine, caller, &token)?;
    }
    Ok(Reply::see_other("/_ui/login").with_value(SET_COOKIE, no_session_cookie()))
}

fn form(was_wrong: bool, next: &str, has_provider: bool) -> Markup {
    html! {
        @if was_wrong {
            p.wrong role="alert" { "Name, password or code is wrong, or there were too many tries. Wait a minute and try again." }
        }
        form.stack method="post" action="/_ui/login" {
            @if is_page(next) { input type="hidden" name="next" value=(next); }
            label { span { "Name" }
                input name="name" autocomplete="username" autocapitalize="none" spellcheck="false"
                    required autofocus;
            }
            label { span { "Password" }
                input name="password" type="password" autocomplete="current-password" required;
            }
            label { span { "Code, if you have an app for it" }
                input name="code" autocomplete="one-time-code" inputmode="numeric";
            }
            input type="hidden" name="key";
            button.button.primary type="submit" { "Log in" }
            button.button.only-with-keys type="button" data-log-in-key { "Log in with your key" }
        }
        @if has_provider {
            p { a.button href="/_ui/oidc" { "Log in with your company's account" } }
        }
        p.hint { a href="/_ui/enrol" { "I have an enrolment code" } }
    }
}

/// A page for people without identity. It says nothing of the house but its name.
pub(super) fn frame(title: &str, content: Markup) -> String {
    document(
        title,
        false,
        "door",
        html! {
            main.door-card {
                div.brand { (icon::mark()) span { "Clerestory" } }
                h1 { (title) }
                (content)
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_leads_to_our_pages_only() {
        assert_eq!(address("/_ui/tables?a=b"), "/_ui/login?next=%2f_ui%2ftables%3fa%3db");
        for other in
            ["/", "/_ui", "//evil.example/_ui/", "/_uix", "/_ui/login", "https://evil.example/_ui/"]
        {
            assert_eq!(address(other), "/_ui/login", "{other}");
        }
    }
}
