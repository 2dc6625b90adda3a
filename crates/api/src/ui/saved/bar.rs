//! What the pages Search and SQL show of saved searches: a form that keeps the question, and which
//! saved search is open.

use super::{Kept, link_to};
use crate::backend;
use crate::route::Call;
use crate::ui::icon;
use engine::{Caller, Saved, SavedKind};
use maud::{Markup, html};

/// The button that keeps a question under a name.
pub(in crate::ui) fn save_form(kept: &Kept) -> Markup {
    html! {
        details.popover data-popover {
            summary.button { "Save" }
            form.stack.popover-form method="post" action="/_ui/saved" {
                (kept.fields())
                label { span { "Name" } input name="name" required maxlength="120" autocomplete="off"; }
                (shared_tick(false))
                button.button.primary type="submit" { "Save the search" }
                p.hint { "The question is kept, with pseudonyms in it, and never an answer. " a href="/_ui/saved" { "All saved searches" } }
            }
        }
    }
}

/// Which saved search is open, what is different from it, and what its owner can do with it.
pub(in crate::ui) fn bar(call: &Call<'_>, caller: &Caller, id: &str, now: &Kept) -> Markup {
    let engine = &call.app.engine;
    let Ok(saved) = backend::saved_object(engine, caller, SavedKind::Search, id, None) else {
        return html! {
            p.notice.warn role="status" {
                "The saved search of this link was deleted, or is not shared with you. "
                a href="/_ui/saved" { "Saved searches" }
            }
        };
    };
    let is_mine = saved.owner == backend::who(caller).name;
    let is_changed = Kept::of(&saved) != *now;
    html! {
        div.saved-bar {
            p role="status" {
                a href="/_ui/saved" { "Saved" } " " strong { (saved.name) } " "
                span.badge { @if saved.is_shared { "shared" } @else { "private" } }
                span.faint { " " (saved.owner) @if is_changed { ", changed here" } }
            }
            div.actions {
                @if is_changed {
                    a.button.small href=(link_to(id)) { "As it was saved" }
                    @if is_mine { (save_again(&saved, now)) }
                }
                @if is_mine { (settings(&saved)) } @else { (copy(id)) }
                button.button.small type="button" data-copy-link=(link_to(id)) title=[(!saved.is_shared).then_some("Only you can open it: it is private")] { (icon::link()) "Copy link" }
            }
        }
    }
}

fn copy(id: &str) -> Markup {
    html! { form method="post" action=(link_to(id).part("copy")) { button.button.small type="submit" { "Save a copy" } } }
}

fn save_again(saved: &Saved, now: &Kept) -> Markup {
    html! {
        form method="post" action=(link_to(&saved.id)) {
            (now.fields())
            input type="hidden" name="version" value=(saved.version);
            input type="hidden" name="name" value=(saved.name);
            input type="hidden" name="description" value=(saved.description);
            @if saved.is_shared { input type="hidden" name="shared" value="1"; }
            button.button.small.primary type="submit" { "Save changes" }
        }
    }
}

/// Name, sharing, away with it. The question stays as it was saved.
fn settings(saved: &Saved) -> Markup {
    html! {
        details.popover data-popover {
            summary.button.small { (icon::edit()) "Rename or share" }
            div.popover-form {
                form.stack method="post" action=(link_to(&saved.id)) {
                    input type="hidden" name="version" value=(saved.version);
                    label { span { "Name" } input name="name" value=(saved.name) required maxlength="120" autocomplete="off"; }
                    label { span { "What it is for" } textarea name="description" rows="2" maxlength="2000" { (saved.description) } }
                    (shared_tick(saved.is_shared))
                    button.button.primary type="submit" { "Save" }
                }
                form.says method="post" action=(link_to(&saved.id).part("delete")) {
                    p.hint { "Links to it and panels that show it will lead nowhere." }
                    button.button.danger type="submit" { "Delete the search" }
                }
            }
        }
    }
}

fn shared_tick(is_shared: bool) -> Markup {
    html! {
        label.tick-label { input type="checkbox" name="shared" value="1" checked[is_shared]; "Everybody who may ask for data may open it" }
    }
}
