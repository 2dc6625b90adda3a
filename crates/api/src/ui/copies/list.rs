//! All copies.

use super::{ASKED_EVERY, link_to, state};
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::frame::{self, Page, Section};
use crate::ui::number;
use crate::ui::shown::{list, text, whole};
use engine::Caller;
use maud::{Markup, html};
use serde_json::Value;

/// `GET /_ui/copies`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Copies, || {
        let copies = call.app.copies.list(caller).map_err(ApiError::from)?;
        let copies = copies.as_array().map(Vec::as_slice).unwrap_or_default();
        let content = html! {
            div.page-head {
                h1 { "Copies" }
                p.sub { "Production data, copied in by signed plans and followed. The source is only read." }
            }
            @if copies.is_empty() {
                (frame::empty("No copy yet", html! {
                    "Write a file with a name and a source, and let " code { "clerestory copy plan FILE" } " complete it; a guardian signs it."
                }))
            } @else {
                div #copies-now hx-get="/_ui/copies" hx-select="#copies-now" hx-swap="outerHTML" hx-trigger=(ASKED_EVERY) {
                    div.framed.scroll-x { (grid(copies)) }
                }
            }
        };
        Ok(Page::new(caller, Section::Copies, "Copies").reply(content))
    })
}

fn grid(copies: &[Value]) -> Markup {
    html! {
        table.grid.roomy.stacks {
            caption.unseen { "Copies and how they are" }
            thead { tr {
                th scope="col" { "Copy" } th scope="col" { "State" } th.num scope="col" { "Lag" }
                th.num scope="col" { "Rows since the start" } th scope="col" { "Tables" } th scope="col" { "Signed by" }
            } }
            tbody { @for copy in copies { tr {
                th scope="row" { a href=(link_to(text(copy, "copy"))) { (text(copy, "copy")) } }
                td.copy-cell data-label="State" {
                    (state::badge(copy)) (state::sentence(copy))
                    @if let Some(pace) = state::pace(copy) { span.hint { (pace) } }
                }
                td.num data-label="Lag" { (state::lag(copy).unwrap_or_else(|| "–".to_owned())) }
                td.num data-label="Rows" { (number::count(whole(copy, "rows_stored"))) }
                td data-label="Tables" { (list(copy, "tables").len()) }
                td data-label="Signed by" { @match text(copy, "signed_by") { "" => span.faint { "nobody yet" }, name => (name) } }
            } } }
        }
    }
}
