//! The changes that wait, those that were decided, and what everybody was told.

use super::{effect, fate, link_to, state};
use crate::backend;
use crate::error::Answer;
use crate::route::Call;
use crate::ui::frame::{self, Page, Section};
use crate::ui::shown::{list, text, time, whole, with_short_times};
use engine::Caller;
use maud::{Markup, html};
use serde_json::Value;

/// `GET /_ui/changes`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Changes, || {
        let all = backend::changes(&call.app.engine, caller)?;
        let (waiting, decided): (Vec<&Value>, Vec<&Value>) =
            list(&all, "changes").iter().partition(|change| text(change, "state") == "waiting");
        let content = html! {
            div.page-head.with-actions {
                div {
                    h1 { "Changes" }
                    p.sub { "What lets somebody see more waits for a second person, and lapses after a day. What lets somebody see less counts at once." }
                }
                div.actions {
                    a.button.primary href="/_ui/changes/new" { "Propose a change" }
                    a.button href="/_ui/changes/glass" { "Break the glass" }
                }
            }
            section aria-labelledby="waiting" {
                h2 #waiting { "Waiting " span.faint { (waiting.len()) } }
                @if waiting.is_empty() {
                    (frame::empty("Nothing waits", html! { "Who reaches what now is under " a href="/_ui/access" { "Access" } "." }))
                }
                div.change-list { @for change in &waiting { (card(change)) } }
            }
            @if !decided.is_empty() {
                section aria-labelledby="decided" {
                    h2 #decided { "Decided " span.faint { (decided.len()) } }
                    (decided_table(&decided))
                }
            }
            (notices(list(&all, "notices")))
        };
        Ok(Page::new(caller, Section::Changes, "Changes").reply(content))
    })
}

fn card(change: &Value) -> Markup {
    let id = whole(change, "id");
    html! {
        article.panel.change {
            div.change-head {
                h3 { a href=(link_to(id)) { (with_short_times(text(change, "text"))) } }
                a.button href=(link_to(id)) aria-label={ "Look at change " (id) } { "Look" }
            }
            (effect(change))
            p.hint {
                "Change " (id) " of " strong { (text(change, "proposer")) } ", " (time(text(change, "proposed_at")))
                " · " (fate(change))
            }
            p { (text(change, "why")) }
        }
    }
}

fn decided_table(changes: &[&Value]) -> Markup {
    html! {
        div.framed.scroll-x {
            table.grid.roomy.stacks {
                caption.unseen { "Decided changes, newest first" }
                thead { tr {
                    th scope="col" { "Change" } th scope="col" { "What" } th scope="col" { "Proposed by" }
                    th scope="col" { "Why" } th scope="col" { "State" } th scope="col" { "When" }
                } }
                tbody { @for change in changes { tr {
                    th scope="row" { a href=(link_to(whole(change, "id"))) { (whole(change, "id")) } }
                    td.why data-label="What" { (with_short_times(text(change, "text"))) }
                    td data-label="Proposed by" { (text(change, "proposer")) }
                    td.why data-label="Why" { (text(change, "why")) }
                    td data-label="State" { (state(text(change, "state"))) }
                    td data-label="When" { (fate(change)) }
                } } }
            }
        }
    }
}

fn notices(notices: &[Value]) -> Markup {
    html! {
        section aria-labelledby="notices" {
            h2 #notices { "What was told " span.faint { (notices.len()) } }
            @if notices.is_empty() { (frame::empty("Nothing", html! { "Broken glass, time locks and widenings are told here and to the targets of the setting " code { "notify" } "." })) }
            @else {
                ul.panel.alarm-list { @for notice in notices {
                    @let is_bad = !matches!(text(notice, "kind"), "waiting" | "applied" | "alert" | "test");
                    @let change = whole(notice, "change");
                    li {
                        span class={ "dot " (if is_bad { "bad" } else { "warn" }) } {}
                        @if change > 0 { a href=(link_to(change)) { (with_short_times(text(notice, "text"))) } }
                        @else { (with_short_times(text(notice, "text"))) }
                        span.hint {
                            (time(text(notice, "at")))
                            @if text(notice, "delivered_at").is_empty() { " · not delivered" } @else { " · delivered" }
                        }
                    }
                } }
            }
        }
    }
}
