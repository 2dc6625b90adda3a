//! The first administrator, with the code that was shown at the first start.

use super::form::Form;
use super::login::frame;
use crate::backend;
use crate::error::Answer;
use crate::reply::Reply;
use crate::route::Call;
use maud::{Markup, html};

/// `GET /_ui/enrol`. The same page whether somebody has enrolled or not.
pub(crate) fn page(_call: &Call<'_>) -> Answer {
    Ok(Reply::page(frame("Enrol", fields(None))))
}

/// `POST /_ui/enrol`: makes the account and goes on to the login, or says what is wrong.
pub(crate) fn enrol(call: &Call<'_>) -> Answer {
    let form = Form::read(call.request)?;
    let (code, name) = (form.text("code").trim(), form.text("name").trim());
    match backend::enrol(&call.app.engine, code, name, form.text("password")) {
        Ok(()) => Ok(Reply::see_other("/_ui/login")),
        Err(error) if error.status().is_client_error() => {
            let status = error.status();
            let page = Reply::page(frame("Enrol", fields(Some(error.reason()))));
            Ok(page.with_status(status))
        }
        Err(error) => Err(error),
    }
}

fn fields(wrong: Option<&str>) -> Markup {
    html! {
        @if let Some(wrong) = wrong {
            p.wrong role="alert" { (wrong) }
        }
        p.hint { "The code was shown once, when the data folder was made. It makes the first administrator." }
        form.stack method="post" action="/_ui/enrol" {
            label { span { "Enrolment code" }
                input name="code" autocomplete="one-time-code" spellcheck="false" required autofocus;
            }
            label { span { "Name" }
                input name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required;
            }
            label { span { "Password" }
                input name="password" type="password" autocomplete="new-password" minlength="10" required;
            }
            button.button.primary type="submit" { "Make the first administrator" }
        }
        p.hint { a href="/_ui/login" { "Log in" } }
    }
}
