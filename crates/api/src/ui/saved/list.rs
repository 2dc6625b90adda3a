//! The saved searches that somebody may open.

use super::{Kept, link_to};
use crate::backend;
use crate::error::Answer;
use crate::route::Call;
use crate::ui::frame::{self, Page, Section};
use crate::ui::shown::time;
use engine::{Caller, Saved, SavedKind};
use maud::{Markup, html};

/// `GET /_ui/saved`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || {
        let all = backend::saved(&call.app.engine, caller, SavedKind::Search)?;
        let name = backend::who(caller).name;
        let (mine, others): (Vec<&Saved>, Vec<&Saved>) =
            all.iter().partition(|saved| saved.owner == name);
        let content = html! {
            div.page-head {
                p.crumbs { a href="/_ui/search" { "Search" } }
                h1 { "Saved searches" }
                p.sub { "They hold questions. Whoever opens one asks it under their own rights." }
            }
            @if all.is_empty() {
                (frame::empty("No saved search yet", html! {
                    a href="/_ui/search" { "Search" } " or " a href="/_ui/sql" { "ask in SQL" } ", and choose " em { "Save" } "."
                }))
            }
            (group("Yours", &mine))
            (group("Shared by others", &others))
        };
        Ok(Page::new(caller, Section::Search, "Saved searches").reply(content))
    })
}

fn group(title: &str, saved: &[&Saved]) -> Markup {
    html! {
        @if !saved.is_empty() {
            section {
                h2 { (title) " " span.faint { (saved.len()) } }
                ul.cards { @for one in saved { li { (card(one)) } } }
            }
        }
    }
}

fn card(saved: &Saved) -> Markup {
    let kept = Kept::of(saved);
    let asks = match (kept.is_sql(), kept.param("q")) {
        (false, "") => format!("everything in {}", kept.param("table")),
        (false, q) => format!("{}: {q}", kept.param("table")),
        (true, statement) => statement.to_owned(),
    };
    html! {
        a.card href=(link_to(&saved.id)) {
            span.card-head {
                strong { (saved.name) }
                span.badge { @if saved.is_shared { "shared" } @else { "private" } }
            }
            @if !saved.description.is_empty() { span.hint { (saved.description) } }
            code.card-question { (asks) }
            span.hint { @if kept.is_sql() { "SQL · " } (saved.owner) " · " (time(&saved.at.to_rfc3339())) }
        }
    }
}
