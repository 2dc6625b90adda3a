//! One's own account: the app whose codes prove that one is there, and what one reaches.

use super::form::{self, Form, asked};
use super::frame::{self, Page, Section};
use super::link::Link;
use super::number;
use super::present;
use super::qr;
use super::shown::time;
use crate::backend;
use crate::error::Answer;
use crate::native::factors::Shown;
use crate::reply::Reply;
use crate::route::Call;
use engine::{Caller, FactorSummary, TotpEnrolment};
use maud::{Markup, html};
use zeroize::Zeroizing;

/// `GET /_ui/account`.
pub(super) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Account, || {
        let factors = backend::factors(&call.app.engine, caller)?;
        Ok(whole(call, caller, second_factor(&factors)))
    })
}

fn whole(call: &Call<'_>, caller: &Caller, content: Markup) -> Reply {
    let who = backend::who(caller);
    let content = html! {
        div.page-head {
            h1 { (who.name) }
            p.sub { @for role in &who.roles { span.badge { (role) } } a href=(Link::to("/_ui/access").with("person", who.name.as_str())) { "What you reach" } }
        }
        @if asked(call.request, "done").is_some() {
            div.notice.good role="status" { p.notice-title { "Done." } }
        }
        (content)
    };
    Page::new(caller, Section::Account, "Account").reply(content)
}

fn second_factor(factors: &FactorSummary) -> Markup {
    html! {
        section.panel aria-labelledby="app" {
            h2 #app { "Codes of an app" }
            @if let Some(from) = factors.approves_from {
                p.notice-title { "An administrator reset this account: it approves nothing until " (time(&from.to_rfc3339())) "." }
            }
            @if factors.totp {
                p { span.dot.good {} "An app is set up. " (number::of(factors.recovery_codes as u64, "recovery code is", "recovery codes are")) " left." }
                div.columns {
                    form.stack method="post" action="/_ui/account/app" {
                        p.hint { "Set up another app; the one you have counts until then." }
                        (present::fields(factors, None))
                        div { button.button type="submit" { "Set up another app" } }
                    }
                    form.stack method="post" action="/_ui/account/app/remove" {
                        p.hint { "Without an app or a key you approve nothing." }
                        (present::fields(factors, None))
                        div { button.button type="submit" { "Take the app away" } }
                    }
                }
            } @else {
                p { "Logging in then takes a code besides the password, and you can approve changes: a code proves that you are there." }
                form.stack method="post" action="/_ui/account/app" {
                    (present::fields(factors, None))
                    div { button.button.primary type="submit" { "Set up an app" } }
                }
            }
        }
        (keys(factors))
    }
}

/// The keys there are, and a form for one more. It needs a script: only the browser can ask a key.
fn keys(factors: &FactorSummary) -> Markup {
    html! {
        section.panel aria-labelledby="keys" {
            h2 #keys { "Keys " span.faint { (factors.keys.len()) } }
            p.lead.hint { "A key signs for this server alone: no page that only looks like it gets anything. It logs you in besides the password, and proves that you are there." }
            @if !factors.keys.is_empty() {
                ul.key-list { @for (id, name, at) in &factors.keys {
                    li {
                        span { strong { (name) } span.hint { " since " (time(&at.to_rfc3339())) } }
                        details.popover data-popover {
                            summary.button.small aria-label={ "Remove the key " (name) } { "Remove" }
                            form.stack.popover-form method="post" action=(Link::to("/_ui/account/keys").part(id).part("remove")) {
                                (present::fields(factors, None))
                                div { button.button.danger type="submit" { "Remove it" } }
                            }
                        }
                    }
                } }
            }
            form.stack.narrow-form.only-with-keys data-add-key method="post" action="/_ui/account" {
                label { span { "What you call the new key" } input name="name" required maxlength="60" placeholder="blue key, laptop" autocomplete="off"; }
                (present::fields(factors, None))
                div { button.button.primary[factors.keys.is_empty()] type="submit" { "Add a key" } }
            }
            p.hint.only-without-keys { "This browser has no keys here. They need JavaScript, and this server's name over TLS, or localhost: not its address." }
        }
    }
}

/// `POST /_ui/account/app`: a secret for an app, shown this once.
pub(super) fn begin(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Account, || {
        let form = Form::read(call.request)?;
        let shown = present::shown(call.request, &form)?;
        let answer = shown.as_ref().map(Shown::answer);
        let enrolment = backend::begin_totp(&call.app.engine, caller, answer)?;
        Ok(whole(call, caller, secret(&enrolment)))
    })
}

fn secret(enrolment: &TotpEnrolment) -> Markup {
    let (secret, uri) = (enrolment.secret.as_str(), enrolment.uri.as_str());
    html! {
        section.panel aria-labelledby="secret" {
            h2 #secret { "Set up an app" }
            ol.steps {
                li { "Take a picture of this with an authenticator app, type the key under it, or " a href=(uri) { "open it there" } ". It is shown this once."
                    (qr::drawing(uri))
                    div.code-frame { button.button.copy type="button" data-copy { "Copy" } pre { code #totp-secret { (in_fours(secret).as_str()) } } }
                }
                li { "Type the code that the app shows."
                    form.form-foot method="post" action="/_ui/account/app/confirm" {
                        label { span { "Code" } input.code name="code" inputmode="numeric" autocomplete="one-time-code" required maxlength="12" spellcheck="false" autofocus; }
                        button.button.primary type="submit" { "Confirm" }
                    }
                }
            }
        }
    }
}

/// In groups, as people type.
fn in_fours(secret: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(secret.len() * 5 / 4 + 1));
    for (place, letter) in secret.chars().enumerate() {
        if place > 0 && place % 4 == 0 {
            text.push(' ');
        }
        text.push(letter);
    }
    text
}

/// `POST /_ui/account/app/confirm`: the app is set up; recovery codes, shown this once.
pub(super) fn confirm(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Account, || {
        let form = Form::read(call.request)?;
        let codes = backend::confirm_totp(&call.app.engine, caller, form.text("code"))?;
        let content = html! {
            section.panel aria-labelledby="recovery" {
                h2 #recovery { "The app is set up" }
                p { "Each of these recovery codes logs you in once without the app. They are shown this once: print them, or keep them where the app is not." }
                div.code-frame { button.button.copy type="button" data-copy { "Copy" } pre { code { @for code in &codes { (code.as_str()) "\n" } } } }
                p { a.button.primary href="/_ui/account" { "I have them" } }
            }
        };
        Ok(whole(call, caller, content))
    })
}

/// `POST /_ui/account/app/remove`.
pub(super) fn remove(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Account, || {
        let form = Form::read(call.request)?;
        let shown = present::shown(call.request, &form)?;
        backend::remove_totp(&call.app.engine, caller, shown.as_ref().map(Shown::answer))?;
        form::go_to(&Link::to("/_ui/account").with("done", "1"))
    })
}

/// `POST /_ui/account/keys/{id}/remove`.
pub(super) fn remove_key(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Account, || {
        let form = Form::read(call.request)?;
        let shown = present::shown(call.request, &form)?;
        let id = call.request.part("id");
        backend::remove_key(&call.app.engine, caller, id, shown.as_ref().map(Shown::answer))?;
        form::go_to(&Link::to("/_ui/account").with("done", "1"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_typed_in_fours() {
        assert_eq!(in_fours("ABCDEFGHIJ").as_str(), "ABCD EFGH IJ");
        assert_eq!(in_fours("").as_str(), "");
    }
}
