//! Rulings: the fields that wait for a person, and one field with its past and its next ruling.

mod field;
mod own;
mod queue;

pub(in crate::ui) use field::{page, rule};
pub(in crate::ui) use queue::{agree, list};

use super::badge;
use super::link::Link;
use maud::{Markup, html};
use model::Class;

/// The parameters of the queue.
pub(in crate::ui) const QUEUE: &[&str] = &["table", "agreed"];
/// The parameters of one field: the ruling that somebody is about to make.
pub(in crate::ui) const FIELD: &[&str] = &["class", "kind", "why", "ruled"];

/// Where one field is ruled on.
pub(in crate::ui) fn link_to(table: &str, field: &str) -> Link {
    Link::to("/_ui/rulings").part(table).part(field)
}

/// The badge of what a field is: a class, `withheld` or `unruled`.
fn state(word: &str) -> Markup {
    match (word.parse::<Class>(), word) {
        (Ok(class), _) => badge::class(class),
        (_, "withheld") => html! {
            span.badge.class-withheld title="Sealed and unread until a guardian rules on it." { "withheld" }
        },
        _ => html! {
            span.badge.class-none title="No value was seen yet, so nothing is ruled." { "not ruled" }
        },
    }
}
