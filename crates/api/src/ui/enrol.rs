//! The first administrator, with the code that was shown at the first start.

use super::login::frame;
use crate::backend;
use crate::error::Answer;
use crate::reply::Reply;
use crate::request::read_params;
use crate::route::Call;
use maud::{Markup, html};

/// `GET /_ui/enrol`. The same page whether somebody has enrolled or not.
pub(crate) fn page(_call: &Call<'_>) -> Answer {
    Ok(Reply::page(frame("Enrol", form(None))))
}

/// `POST /_ui/enrol`: makes the account and goes on to the login, or says what is wrong.
pub(crate) fn enrol(call: &Call<'_>) -> Answer {
    let fields = read_params(call.request.text()?)?;
    let field = |name: &str| {
        fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    };
    let code = field("code").trim();
    match backend::enrol(&call.app.engine, code, field("name").trim(), field("password")) {
        Ok(()) => Ok(Reply::see_other("/_ui/login")),
        Err(error) if error.status().is_client_error() => {
            let status = error.status();
            let page = Reply::page(frame("Enrol", form(Some(error.reason()))));
            Ok(page.with_status(status))
        }
        Err(error) => Err(error),
    }
}

fn form(wrong: Option<&str>) -> Markup {
    html! {
        @if let Some(wrong) = wrong {
            p.wrong role="alert" { (wrong) }
        }
        form method="post" action="/_ui/enrol" {
            label for="code" { "Enrolment code" }
            input id="code" name="code" autocomplete="one-time-code" spellcheck="false" required
                autofocus;
            label for="name" { "Name" }
            input id="name" name="name" autocomplete="username" autocapitalize="none"
                spellcheck="false" required;
            label for="password" { "Password" }
            input id="password" name="password" type="password" autocomplete="new-password"
                minlength="10" required;
            button type="submit" { "Make the first administrator" }
        }
        p { a href="/_ui/login" { "Log in" } }
    }
}
