//! The dashboards that somebody may open.

use super::{content, link_to};
use crate::backend;
use crate::error::Answer;
use crate::route::Call;
use crate::ui::frame::{self, Page, Section};
use crate::ui::number;
use crate::ui::shown::time;
use engine::{Caller, Saved, SavedKind};
use maud::{Markup, html};

/// `GET /_ui/dashboards`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Dashboards, || {
        let all = backend::saved(&call.app.engine, caller, SavedKind::Dashboard)?;
        let name = backend::who(caller).name;
        let (mine, others): (Vec<&Saved>, Vec<&Saved>) =
            all.iter().partition(|saved| saved.owner == name);
        let content = html! {
            div.page-head.with-actions {
                div {
                    h1 { "Dashboards" }
                    p.sub { "They hold questions. Whoever opens one asks them under their own rights." }
                }
                (new_form(all.is_empty()))
            }
            @if all.is_empty() {
                (frame::empty("No dashboard yet", html! {
                    "Name one above, or open a " a href="/_ui/metrics" { "metric" } " and choose " em { "Add to dashboard" } "."
                }))
            }
            (group("Yours", &mine))
            (group("Shared by others", &others))
        };
        Ok(Page::new(caller, Section::Dashboards, "Dashboards").reply(content))
    })
}

fn new_form(is_first: bool) -> Markup {
    html! {
        form.inline-form method="post" action="/_ui/dashboards" {
            label.unseen for="new-name" { "Name of a new dashboard" }
            input id="new-name" name="name" placeholder="Name of a new dashboard" required maxlength="120" autocomplete="off";
            button.button.primary[is_first] type="submit" { "New dashboard" }
        }
    }
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
    let panels = content(saved).map_or(0, |dashboard| dashboard.panels.len());
    html! {
        a.card href=(link_to(&saved.id)) {
            span.card-head {
                strong { (saved.name) }
                span.badge { @if saved.is_shared { "shared" } @else { "private" } }
            }
            @if !saved.description.is_empty() { span.hint { (saved.description) } }
            span.hint { (number::of(panels as u64, "panel", "panels")) " · " (saved.owner) " · " (time(&saved.at.to_rfc3339())) }
        }
    }
}
