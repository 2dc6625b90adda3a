//! One copy: its state, its tables, its lag, and what can be done with it.

use super::{ASKED_EVERY, lag, link_to, may_act, state};
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form::asked;
use crate::ui::frame::{self, Page, Section};
use crate::ui::number;
use crate::ui::shown::{list, text, time, whole};
use engine::Caller;
use maud::{Markup, html};
use model::{Clock, SystemClock};
use serde_json::Value;

/// `GET /_ui/copies/{name}`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Copies, || {
        let name = call.request.part("name");
        let copy = call.app.copies.show(caller, name).map_err(ApiError::from)?;
        let title = format!("{name} · Copies");
        let content = html! {
            (head(&copy))
            (done(asked(call.request, "done")))
            div #copy-now hx-get=(link_to(name)) hx-select="#copy-now" hx-swap="outerHTML" hx-trigger=(ASKED_EVERY) {
                (now(&copy, may_act(caller)))
            }
            @if may_act(caller) && copy["running_version"].is_u64() { (again(&copy)) }
            (frame::code_box("The newest copy file", text(&copy, "yaml")))
        };
        Ok(Page::new(caller, Section::Copies, &title).reply(content))
    })
}

fn head(copy: &Value) -> Markup {
    let or_nobody = |name: &str| match text(copy, name) {
        "" => "nobody yet".to_owned(),
        known => known.to_owned(),
    };
    html! {
        div.page-head {
            p.crumbs { a href="/_ui/copies" { "Copies" } }
            h1 { (text(copy, "copy")) }
            p.sub {
                span { "version " (whole(copy, "version")) @if let Some(running) = copy["running_version"].as_u64() { ", running " (running) } }
                span { "proposed by " (or_nobody("proposed_by")) }
                span { "signed by " (or_nobody("signed_by")) }
                span { "started by " (or_nobody("started_by")) }
            }
        }
    }
}

fn done(what: Option<&str>) -> Markup {
    let told = match what {
        Some("paused") => "It is paused until somebody resumes it, also over a restart.",
        Some("resumed") => "It goes on where it stopped.",
        Some("again") => "The source is read again; rows that are here stay readable meanwhile.",
        _ => return html! {},
    };
    html! { p.notice.good role="status" { (told) } }
}

/// What changes while somebody looks.
fn now(copy: &Value, may_act: bool) -> Markup {
    html! {
        section.panel aria-labelledby="state" {
            h2 #state { "State" }
            (state::badge(copy))
            (state::sentence(copy))
            @if let Some(tries) = copy["failed_tries"].as_u64().filter(|tries| *tries > 1) {
                p.hint { (tries) " tries failed one after the other." }
            }
            @if let Some(next) = state::next_step(copy) { p.hint { (next) } }
            div.figures {
                (figure(state::lag(copy), "behind the source"))
                (figure(state::pace(copy), "at the moment"))
                (figure(Some(number::count(whole(copy, "rows_stored"))), "rows stored since the server started"))
                @if let Some(waiting) = copy["lag_waiting"].as_u64() {
                    (figure(Some(number::count(waiting)), "bytes or messages wait at the source"))
                }
            }
            @if may_act { (buttons(copy)) }
        }
        section.panel aria-labelledby="lag" {
            h2 #lag { "Lag" }
            (lag::chart(copy, SystemClock.now().0))
        }
        section aria-labelledby="tables" {
            h2 #tables { "Tables " span.faint { (list(copy, "tables").len()) } }
            (tables(copy))
        }
        (notes(copy))
    }
}

fn figure(what: Option<String>, label: &str) -> Markup {
    html! { @if let Some(what) = what { div.figure { strong { (what) } span.hint { (label) } } } }
}

fn buttons(copy: &Value) -> Markup {
    let to = |what: &str| link_to(text(copy, "copy")).part(what);
    html! {
        div.form-foot {
            @match text(copy, "state") {
                "proposed" => {},
                "signed" => form method="post" action=(to("resume")) { button.button.primary type="submit" { "Start" } },
                "paused" | "stopped" => form method="post" action=(to("resume")) { button.button.primary type="submit" { "Resume" } },
                state => {
                    form method="post" action=(to("pause")) { button.button type="submit" { "Pause" } }
                    @if state == "waiting" { form method="post" action=(to("resume")) { button.button type="submit" { "Try now" } } }
                },
            }
        }
    }
}

fn tables(copy: &Value) -> Markup {
    let tables = list(copy, "tables");
    html! {
        @if tables.is_empty() { (frame::empty("No table yet", html! { "They are listed once the copy was started." })) }
        @else {
            div.framed.scroll-x {
                table.grid.roomy.stacks {
                    caption.unseen { "Tables of the source" }
                    thead { tr {
                        th scope="col" { "Table" } th scope="col" { "Read" } th.num scope="col" { "Rows stored" }
                        th.num scope="col" { "Rows left out" } th scope="col" { "What did not fit" }
                    } }
                    tbody { @for table in tables { tr {
                        th scope="row" { (text(table, "table")) }
                        td data-label="Read" { (read(table)) }
                        td.num data-label="Rows stored" { (number::count(whole(table, "rows_stored"))) }
                        td.num data-label="Left out" { (number::count(whole(table, "rows_refused"))) }
                        td.why data-label="Did not fit" { (left_out(table)) }
                    } } }
                }
            }
            p.hint { "Rows are counted since the server started." }
        }
    }
}

/// Whether a table is read, or how much of it.
fn read(table: &Value) -> Markup {
    let (done, all) = (whole(table, "ranges_done"), whole(table, "ranges"));
    html! {
        @if table["copied"] == true { "whole" }
        @else if all == 0 { span.faint { "not yet" } }
        @else {
            (number::count(whole(table, "rows_read"))) " of about " (number::count(whole(table, "rows_expected")))
            span.hint { ", " (done) " of " (number::of(all, "range", "ranges")) }
        }
    }
}

/// What could not be stored: where and why, never a value.
fn left_out(table: &Value) -> Markup {
    let values = table["values_left_out"].as_object();
    let unknown = whole(table, "values_unknown");
    html! {
        @for (column, count) in values.into_iter().flatten() {
            span.block { (number::of(count.as_u64().unwrap_or(0), "value", "values")) " of " (column) " do not fit their field" }
        }
        @if unknown > 0 { span.block { (number::of(unknown, "value", "values")) " unknown" } }
        @if !list(table, "refused").is_empty() {
            details {
                summary { (text(table, "refused_because")) }
                ul.plain { @for refusal in list(table, "refused") { li { code { (text(refusal, "at")) } " " (text(refusal, "reason")) } } }
            }
        } @else { (text(table, "refused_because")) }
    }
}

fn notes(copy: &Value) -> Markup {
    let notes = list(copy, "notes");
    html! {
        @if !notes.is_empty() {
            section aria-labelledby="notes" {
                h2 #notes { "What happened at the source " span.faint { (notes.len()) } }
                ul.panel.alarm-list { @for note in notes {
                    li { span.dot.warn {} span { @if !text(note, "table").is_empty() { strong { (text(note, "table")) } " " } (text(note, "what")) } span.hint { (time(text(note, "at"))) } }
                } }
            }
        }
    }
}

/// Reading everything again: what it does, and that somebody means it.
fn again(copy: &Value) -> Markup {
    html! {
        details.code-box {
            summary { "Read again" }
            form.stack.narrow-form method="post" action=(link_to(text(copy, "copy")).part("resnapshot")) {
                p.hint { "Rows that are here stay readable; those that the source has no more go at the end. It costs the source as much as the first time." }
                label { span { "Table" }
                    select name="table" {
                        option value="" { "all" }
                        @for table in list(copy, "tables") { option value=(text(table, "table")) { (text(table, "table")) } }
                    }
                }
                label.tick-label { input type="checkbox" name="sure" value="1" required; "Read the source again" }
                div { button.button.danger type="submit" { "Read again" } }
            }
        }
    }
}
