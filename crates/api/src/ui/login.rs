//! Logging in and out.

use super::frame::document;
use super::icon;
use crate::backend;
use crate::caller;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::request::read_params;
use crate::route::Call;
use engine::Caller;
use hyper::StatusCode;
use hyper::header::SET_COOKIE;
use maud::{Markup, html};

/// `GET /_ui/login`. Tells nothing of the house: no version, no table.
pub(crate) fn page(_call: &Call<'_>) -> Answer {
    Ok(Reply::page(frame("Log in", form(false))))
}

/// `POST /_ui/login`: gives the browser its session, or the page again.
pub(crate) fn log_in(call: &Call<'_>) -> Answer {
    let fields = read_params(call.request.text()?)?;
    let field = |name: &str| {
        fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    };
    let (name, password) = (field("name"), field("password"));
    let peer = call.request.peer;
    let token = match backend::log_in(&call.app.engine, name, password, peer.address) {
        Ok(token) => token,
        Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
            let page = Reply::page(frame("Log in", form(true)));
            return Ok(page.with_status(StatusCode::UNAUTHORIZED));
        }
        Err(error) => return Err(error),
    };
    let cookie = caller::session_cookie(&token, peer)
        .ok_or_else(|| ApiError::internal("a session token is no cookie value"))?;
    Ok(Reply::see_other("/_ui").with_value(SET_COOKIE, cookie))
}

/// `POST /_ui/logout`.
pub(crate) fn log_out(call: &Call<'_>, _caller: &Caller) -> Answer {
    if let Some(token) = caller::session(&call.request.headers) {
        backend::log_out(&call.app.engine, &token)?;
    }
    Ok(Reply::see_other("/_ui/login").with_value(SET_COOKIE, caller::no_session_cookie()))
}

fn form(was_wrong: bool) -> Markup {
    html! {
        @if was_wrong {
            p.wrong role="alert" { "Name or password is wrong, or there were too many tries. Wait a minute and try again." }
        }
        form.stack method="post" action="/_ui/login" {
            label { span { "Name" }
                input name="name" autocomplete="username" autocapitalize="none" spellcheck="false"
                    required autofocus;
            }
            label { span { "Password" }
                input name="password" type="password" autocomplete="current-password" required;
            }
            button.button.primary type="submit" { "Log in" }
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
