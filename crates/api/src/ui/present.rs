//! The proof that somebody is there: a code of their app, or their key, whose script is
//! `assets/keys.js`.

use super::form::Form;
use crate::error::ApiError;
use crate::native::factors::{self, Shown};
use crate::request::{Request, read_json};
use engine::FactorSummary;
use maud::{Markup, html};

/// The fields of a form that proves presence for `about`; without it for changing second factors.
/// Nothing for somebody who has no second factor.
pub(super) fn fields(factors: &FactorSummary, about: Option<&str>) -> Markup {
    html! {
        @if factors.totp {
            label { span { "Code of your app, to prove that you are there" }
                input.code name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="12" spellcheck="false"
                    required[factors.keys.is_empty()];
            }
        }
        @if !factors.keys.is_empty() {
            input type="hidden" name="key" data-key-answer data-about=[about];
            @if !factors.totp { p.hint { "Your browser asks for your key." } }
            @else { p.hint { "Or leave it empty: your browser then asks for your key." } }
        }
    }
}

/// Whether somebody can prove to be there.
pub(super) fn is_able(factors: &FactorSummary) -> bool {
    factors.totp || !factors.keys.is_empty()
}

/// What a form of [`fields`] shows; `None` if it shows nothing.
///
/// # Errors
/// If the answer of a key is none.
pub(super) fn shown(request: &Request, form: &Form) -> Result<Option<Shown>, ApiError> {
    if let Some(code) = form.word("code") {
        return Ok(Some(Shown::Code(code.to_owned())));
    }
    let Some(key) = form.word("key") else { return Ok(None) };
    let answer = factors::read(&read_json(key.as_bytes())?, "the answer of a key")?;
    Ok(Some(Shown::Key(Box::new(answer), factors::origin(request)?)))
}

/// The same, for what is not done without.
///
/// # Errors
/// Also if it shows nothing.
pub(super) fn needed(request: &Request, form: &Form) -> Result<Shown, ApiError> {
    let missing = || ApiError::illegal_argument("a code of your app or your key is needed");
    shown(request, form)?.ok_or_else(missing)
}
