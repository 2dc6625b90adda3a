//! One change, exactly as it would be in force, and the decision on it.
//!
//! An approval carries the mark of what the page showed: if the change would do anything else by
//! then, it is refused.

use super::{effect, fate, link_to, state};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::badge;
use crate::ui::form::{self, Form, asked};
use crate::ui::frame::{self, Page, Section};
use crate::ui::present;
use crate::ui::shown::{list, text, texts, time, whole, with_short_times};
use engine::{Action, Caller};
use maud::{Markup, html};
use model::Class;
use serde_json::Value;

/// `GET /_ui/changes/{id}`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Changes, || {
        let change = backend::change(&call.app.engine, caller, id_of(call)?)?;
        let id = whole(&change, "id");
        let title = format!("Change {id} · Changes");
        let content = html! {
            div.page-head {
                p.crumbs { a href="/_ui/changes" { "Changes" } }
                h1 { "Change " (id) }
                p.sub { (state(text(&change, "state"))) span { (fate(&change)) } }
            }
            @if let Some(done) = asked(call.request, "done").and_then(said) {
                div.notice.good role="status" { p.notice-title { (done) } }
            }
            div.columns {
                div { (what(&change)) (cells(&change)) }
                div { (decision(call, caller, &change)) (about(&change)) }
            }
        };
        Ok(Page::new(caller, Section::Changes, &title).reply(content))
    })
}

fn id_of(call: &Call<'_>) -> Result<u64, ApiError> {
    call.request.part("id").parse().map_err(|_| ApiError::not_found("There is no such change."))
}

/// What just happened, in a sentence.
fn said(done: &str) -> Option<&'static str> {
    Some(match done {
        "proposed" => "Proposed. It waits for a second person.",
        "approved" => "Approved, and in force.",
        "rejected" => "Rejected.",
        "withdrawn" => "Withdrawn.",
        "glass" => "You read alone for an hour, and everybody is told.",
        _ => return None,
    })
}

fn what(change: &Value) -> Markup {
    html! {
        section.panel aria-labelledby="what" {
            h2 #what { "What it does" }
            p.change-text { (with_short_times(text(change, "text"))) }
            (effect(change))
            p.hint { code { "+" } " is more than now, " code { "-" } " is less. It does exactly this or nothing: whatever moves meanwhile makes it stale." }
        }
    }
}

/// Who would reach what, before and after, where that differs.
fn cells(change: &Value) -> Markup {
    let cells = list(change, "cells");
    html! {
        @if !cells.is_empty() {
            section aria-labelledby="reach" {
                h2 #reach { "Reach before and after" }
                div.framed.scroll-x {
                    table.grid.roomy.stacks.matrix {
                        caption.unseen { "Reach before and after" }
                        thead { tr { th scope="col" { "Who" } th scope="col" { "Table" } th scope="col" { "Class" } th scope="col" { "Now" } th scope="col" { "Then" } } }
                        tbody { @for cell in cells { tr {
                            th scope="row" { (text(cell, "person")) }
                            td data-label="Table" { (text(cell, "table")) }
                            td data-label="Class" { @if let Ok(class) = text(cell, "class").parse::<Class>() { (badge::class(class)) } }
                            td data-label="Now" { (reach(text(cell, "before"))) }
                            td.moved data-label="Then" { (reach(text(cell, "after"))) }
                        } } }
                    }
                }
            }
        }
    }
}

/// A cell of the matrix of reach.
pub(super) fn reach(words: &str) -> Markup {
    html! { @if words == "-" { span.faint { "nothing" } } @else { (with_short_times(words)) } }
}

fn about(change: &Value) -> Markup {
    let gains = texts(change, "beneficiaries").join(", ");
    html! {
        section.panel aria-labelledby="about" {
            h2 #about { "About it" }
            dl.pairs {
                dt { "Why" } dd { (text(change, "why")) }
                dt { "Proposer" } dd { (text(change, "proposer")) span.hint.block { (text(change, "credential")) } }
                dt { "Proposed" } dd { (time(text(change, "proposed_at"))) }
                dt { "On policy" } dd { "version " (whole(change, "base")) }
                @if !gains.is_empty() { dt { "Gain by it" } dd { (gains) } }
                @if !text(change, "confirm_from").is_empty() { dt { "Time lock" } dd { "until " (time(text(change, "confirm_from"))) } }
                @if !text(change, "rejected_because").is_empty() { dt { "Rejected" } dd { (text(change, "rejected_because")) } }
                @if let Some(version) = change["version"].as_u64() { dt { "Made policy" } dd { "version " (version) } }
            }
        }
    }
}

/// The forms with which this person can decide now.
fn decision(call: &Call<'_>, caller: &Caller, change: &Value) -> Markup {
    if text(change, "state") != "waiting" {
        return html! {};
    }
    let id = whole(change, "id");
    let is_own = text(change, "proposer") == caller.name();
    let gains = texts(change, "beneficiaries").contains(&caller.name());
    let may_confirm = is_own && !text(change, "confirm_from").is_empty();
    let may_decide = backend::may(caller, Action::Approve) || may_confirm;
    html! {
        section.panel.preview aria-labelledby="decide" {
            h2 #decide { "Decide" }
            @match () {
                () if is_own && !may_confirm => p.hint { "You proposed it: somebody else has to approve." },
                () if gains && !is_own => p.hint { "You gain by it: somebody else has to approve." },
                () if !may_decide => p.hint { "A guardian approves. You may look on." },
                () => (approval(call, caller, change, id)),
            }
            @if is_own {
                form.form-foot method="post" action=(link_to(id).part("withdraw")) {
                    button.button type="submit" { "Withdraw" }
                }
            } @else {
                form.form-foot method="post" action=(link_to(id).part("reject")) {
                    label.grow { span { "Why not" }
                        input name="why" maxlength="1000" required autocomplete="off";
                    }
                    button.button type="submit" { "Reject" }
                }
            }
        }
    }
}

fn approval(call: &Call<'_>, caller: &Caller, change: &Value, id: u64) -> Markup {
    let engine = &call.app.engine;
    let about = backend::presence_for_change(engine, id);
    let able = backend::factors(engine, caller).ok().filter(present::is_able);
    html! {
        @if let Some(factors) = &able {
            form.stack method="post" action=(link_to(id).part("approve")) {
                input type="hidden" name="mark" value=(text(change, "mark"));
                (present::fields(factors, Some(&about)))
                div { button.button.primary type="submit" { "Approve" } }
            }
        } @else {
            p.hint { "Approving takes a code of an app, or a key. " a href="/_ui/account" { "Set one up" } " first." }
        }
    }
}

/// `POST /_ui/changes/{id}/approve`.
pub(in crate::ui) fn approve(call: &Call<'_>, caller: &Caller) -> Answer {
    decide(call, caller, "approved", |form, id| {
        let shown = present::needed(call.request, form)?;
        backend::approve(&call.app.engine, caller, id, form.text("mark"), shown.answer())
    })
}

/// `POST /_ui/changes/{id}/reject`.
pub(in crate::ui) fn reject(call: &Call<'_>, caller: &Caller) -> Answer {
    decide(call, caller, "rejected", |form, id| {
        backend::reject(&call.app.engine, caller, id, form.text("why"))
    })
}

/// `POST /_ui/changes/{id}/withdraw`.
pub(in crate::ui) fn withdraw(call: &Call<'_>, caller: &Caller) -> Answer {
    decide(call, caller, "withdrawn", |_, id| backend::withdraw(&call.app.engine, caller, id))
}

fn decide(
    call: &Call<'_>,
    caller: &Caller,
    done: &'static str,
    decide: impl FnOnce(&Form, u64) -> Result<Value, ApiError>,
) -> Answer {
    frame::guarded(caller, Section::Changes, || {
        let form = Form::read(call.request)?;
        let id = id_of(call)?;
        decide(&form, id)?;
        form::go_to(&link_to(id).with("done", done))
    })
}
