//! Changes: who reaches what now, what somebody wants changed, and the second person's decision.

mod access;
mod change;
mod list;
mod propose;

pub(in crate::ui) use access::page as access;
pub(in crate::ui) use change::{approve, page as show, reject, withdraw};
pub(in crate::ui) use list::page as list;
pub(in crate::ui) use propose::{break_glass, glass, page as new, propose};

use super::link::Link;
use super::shown::text;
use maud::{Markup, html};
use serde_json::Value;

/// The parameters of one change: what just happened to it.
pub(in crate::ui) const SHOW: &[&str] = &["done"];
/// The parameters of the page that says who reaches what.
pub(in crate::ui) const ACCESS: &[&str] = &["person", "table", "done"];
/// The parameters of a proposal that is being written.
pub(in crate::ui) const NEW: &[&str] = propose::FIELDS;

/// Where one change is shown.
pub(in crate::ui) fn link_to(id: u64) -> Link {
    Link::to("/_ui/changes").part(&id.to_string())
}

/// The badge of what became of a change.
fn state(word: &str) -> Markup {
    let class = match word {
        "waiting" => "badge class-personal",
        "applied" | "approved" => "badge class-applied",
        "break-glass" => "badge class-secret",
        _ => "badge",
    };
    html! { span class=(class) { (word) } }
}

/// What a change does, line by line: `+` is more, `-` is less.
fn effect(change: &Value) -> Markup {
    html! {
        ul.effect {
            @for line in super::shown::texts(change, "effect") {
                li class=(side(line)) { (line) }
            }
        }
    }
}

fn side(line: &str) -> &'static str {
    match line.as_bytes().first() {
        Some(b'+') => "more",
        Some(b'-') => "less",
        _ => "other",
    }
}

/// When a change lapses, or what became of it and when.
fn fate(change: &Value) -> Markup {
    let decided = text(change, "decided_at");
    html! {
        @if text(change, "state") == "waiting" {
            "lapses " (super::shown::time(text(change, "decide_by")))
        } @else if !decided.is_empty() {
            (super::shown::time(decided))
            @if !text(change, "decided_by").is_empty() { " by " (text(change, "decided_by")) }
        } @else { span.faint { "–" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_say_by_their_sign_and_colour_what_they_do() {
        let change =
            json!({ "effect": ["+ ann: read users", "- bob: read *", "notify: a -> <b>"] });
        let shown = effect(&change).into_string();
        for class in ["more", "less", "other"] {
            assert!(shown.contains(&format!("class=\"{class}\"")), "{shown}");
        }
        assert!(!shown.contains("<b>"), "{shown}");
    }

    #[test]
    fn a_change_that_waits_says_when_it_lapses() {
        let waiting = json!({ "state": "waiting", "decide_by": "2026-11-24T08:00:00.000Z" });
        assert!(fate(&waiting).into_string().contains("lapses"));
        let done = json!({ "state": "applied", "decided_at": "2026-11-24T08:00:00.000Z", "decided_by": "bob" });
        assert!(fate(&done).into_string().contains("by bob"));
        assert!(state("break-glass").into_string().contains("secret"));
    }
}
