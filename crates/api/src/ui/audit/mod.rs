//! The audit record: its state, its newest entries, one entry whole; and who was exposed.

mod exposure;
mod list;
mod record;
mod state;

pub(in crate::ui) use exposure::{ask as ask_exposure, page as exposure};
pub(in crate::ui) use list::page as list;
pub(in crate::ui) use record::page as record;
pub(in crate::ui) use state::checkpoint_of;

use super::link::Link;
use super::shown::{text, texts, words};
use maud::{Markup, html};
use serde_json::Value;

/// The parameters of the list.
pub(in crate::ui) const LIST: &[&str] = &["from", "to", "who", "table", "kind", "limit"];
/// The parameters of the question who was exposed. Never the person: addresses are kept.
pub(in crate::ui) const EXPOSURE: &[&str] = &["table", "class", "from", "to"];

/// Where one record is shown whole.
pub(in crate::ui) fn link_to(id: u64) -> Link {
    Link::to("/_ui/audit").part(&id.to_string())
}

/// Kinds that somebody should look at.
const BAD: &[&str] = &[
    "read_denied",
    "login_failed",
    "secrets_seen",
    "tail_dropped",
    "sink_failed",
    "sink_removed",
    "clock_back",
    "records_lost",
    "glass_broken",
];

/// The badge of a kind of record.
fn kind(word: &str) -> Markup {
    let class = if BAD.contains(&word) { "badge class-secret" } else { "badge" };
    html! { span class=(class) { (words(word)) } }
}

/// What a record is about, in short: action, tables, and what else it names.
fn about(record: &Value) -> Markup {
    let (action, subject) = (text(record, "action"), text(record, "subject"));
    let tables = texts(record, "tables").join(", ");
    let of = record["refers_to"].as_u64();
    html! {
        @if !action.is_empty() { (words(action)) " " }
        @if !tables.is_empty() { strong { (tables) } " " }
        @if !subject.is_empty() { span.hint { (subject) } }
        @if let Some(of) = of { span.hint { "to " a href=(link_to(of)) { "record " (of) } } }
        @if action.is_empty() && tables.is_empty() && subject.is_empty() && of.is_none() { span.faint { "–" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::EventKind;
    use serde_json::json;

    #[test]
    fn kinds_are_spelt_as_the_record_spells_them() {
        let known = EventKind::ALL;
        let missing: Vec<&&str> =
            BAD.iter().filter(|bad| !known.iter().any(|kind| kind.as_str() == **bad)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_record_says_what_it_is_about() {
        let record = json!({ "action": "read", "tables": ["a", "b"], "subject": "<x>" });
        let shown = about(&record).into_string();
        assert!(shown.contains("read <strong>a, b</strong>") && !shown.contains("<x>"), "{shown}");
        assert!(about(&json!({})).into_string().contains('–'));
    }
}
