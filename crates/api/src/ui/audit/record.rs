//! One record, whole, with the ones that refer to it.

use super::{kind, link_to};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::badge;
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::number;
use crate::ui::shown::{list, text, texts, time, whole, words};
use engine::{AuditQuestion, Caller};
use maud::{Markup, html};
use model::Class;
use serde_json::Value;

/// A record has one end; whatever refers to it beside that is shown up to so many.
const RELATED_MAX: usize = 50;

/// `GET /_ui/audit/{id}`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Audit, || {
        let none = || ApiError::not_found("There is no such record.");
        let id: u64 = call.request.part("id").parse().map_err(|_| none())?;
        let question =
            AuditQuestion { about: Some(id), limit: RELATED_MAX, ..AuditQuestion::default() };
        let found = backend::audit(&call.app.engine, caller, &question)?;
        let record = found.iter().find(|record| whole(record, "id") == id).ok_or_else(none)?;
        let related: Vec<&Value> = found.iter().filter(|other| whole(other, "id") != id).collect();
        let title = format!("Record {id} · Audit");
        let content = html! {
            div.page-head {
                p.crumbs { a href="/_ui/audit" { "Audit" } }
                h1 { "Record " (id) }
                p.sub { (kind(text(record, "kind"))) (time(text(record, "@timestamp"))) }
            }
            section.panel aria-label="Record" { (pairs(record)) }
            (shape(record))
            (fields(record))
            (followed_by(&related))
            (frame::code_box("As JSON", &serde_json::to_string_pretty(record).unwrap_or_default()))
        };
        Ok(Page::new(caller, Section::Audit, &title).reply(content))
    })
}

fn pairs(record: &Value) -> Markup {
    let number = |name: &str| record[name].as_u64();
    let plain = [
        ("Credential", text(record, "credential")),
        ("Outcome", text(record, "outcome")),
        ("Names", text(record, "subject")),
        ("Purpose", text(record, "purpose")),
    ];
    let who = text(record, "who");
    html! {
        dl.pairs.wide {
            dt { "Who" }
            dd { @if who.is_empty() { span.faint { "nobody known" } } @else { a href=(Link::to("/_ui/audit").with("who", who)) { (who) } } }
            @if !text(record, "action").is_empty() { dt { "Action" } dd { (words(text(record, "action"))) } }
            @if !texts(record, "tables").is_empty() {
                dt { "Tables" }
                dd { @for table in texts(record, "tables") { a href=(Link::to("/_ui/audit").with("table", table)) { (table) } " " } }
            }
            @for (name, value) in plain { @if !value.is_empty() { dt { (name) } dd { (value) } } }
            @if let Some(policy) = number("policy").filter(|policy| *policy > 0) { dt { "Policy" } dd { "version " (policy) } }
            @if let Some(rows) = number("rows") { dt { "Rows" } dd { (number::count(rows)) } }
            @if let Some(people) = number("subjects") { dt { "Of people" } dd { (number::count(people)) } }
            @if let Some(bytes) = number("bytes") { dt { "Bytes" } dd { (number::bytes(bytes)) } }
            @if let Some(times) = number("times") { dt { "Counted" } dd { (number::of(times, "time", "times")) } }
            @for read in list(record, "read") {
                dt { "Documents of " (text(read, "table")) }
                dd {
                    @match read["documents"].as_u64() {
                        Some(documents) => (number::count(documents)),
                        None => { "all that fit, below number " (number::count(whole(read, "all_below"))) },
                    }
                }
            }
            @if let Some(of) = number("refers_to") { dt { "Belongs to" } dd { a href=(link_to(of)) { "record " (of) } } }
        }
    }
}

fn shape(record: &Value) -> Markup {
    let shape = text(record, "shape");
    html! {
        @if !shape.is_empty() {
            section aria-labelledby="shape" {
                h2 #shape { "The question, without its literals" }
                div.code-frame { pre.scroll-both tabindex="0" { code { (shape) } } }
            }
        }
    }
}

fn fields(record: &Value) -> Markup {
    let fields = list(record, "fields");
    html! {
        @if !fields.is_empty() {
            section aria-labelledby="touched" {
                h2 #touched { "Fields " span.faint { (fields.len()) } }
                div.framed.scroll-x {
                    table.grid.stacks {
                        caption.unseen { "Fields" }
                        thead { tr { th scope="col" { "Field" } th scope="col" { "Class then" } th scope="col" { "What for" } } }
                        tbody { @for field in fields { tr {
                            th scope="row" { span.faint { (text(field, "table")) " · " } span.mono { (text(field, "field")) } }
                            td data-label="Class then" { @match text(field, "class").parse::<Class>() { Ok(class) => (badge::class(class)), Err(_) => span.faint { "–" } } }
                            td data-label="What for" { @if text(field, "how").is_empty() { span.faint { "–" } } @else { (words(text(field, "how"))) } }
                        } } }
                    }
                }
            }
        }
    }
}

fn followed_by(related: &[&Value]) -> Markup {
    html! {
        @if !related.is_empty() {
            section aria-labelledby="related" {
                h2 #related { "Belongs to it" }
                ul.plain { @for record in related { li {
                    a.inline href=(link_to(whole(record, "id"))) { "Record " (whole(record, "id")) } " "
                    (kind(text(record, "kind"))) " " (time(text(record, "@timestamp"))) " "
                    span.hint { (text(record, "outcome")) }
                } } }
            }
        }
    }
}
