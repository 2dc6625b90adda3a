//! The company's own rules: what they find, and the changes that add and remove them.

use crate::backend;
use crate::route::Call;
use crate::ui::frame;
use crate::ui::link::Link;
use crate::ui::shown::{list, text, texts};
use engine::{Action, Caller};
use maud::{Markup, html};
use serde_json::Value;

/// The rules, for those who may see them; else nothing.
pub(super) fn section(call: &Call<'_>, caller: &Caller) -> Markup {
    match backend::rules(&call.app.engine, caller) {
        Ok(rules) => section_of(list(&rules, "own"), backend::may(caller, Action::Rule)),
        Err(_) => html! {},
    }
}

fn section_of(rules: &[Value], may_change: bool) -> Markup {
    html! {
        section aria-labelledby="own-rules" {
            h2 #own-rules { "Rules of your own " span.faint { (rules.len()) } }
            p.hint.lead { "What they find is hidden beside what the standard rules find, in every row that is written from now on." }
            @if rules.is_empty() {
                (frame::empty("None yet", html! { "The standard rules know e-mail addresses, tokens, names and the like. Your customer numbers they do not know." }))
            } @else {
                div.framed.scroll-x { table.grid.roomy.stacks {
                    caption.unseen { "Rules of your own" }
                    thead { tr {
                        th scope="col" { "Rule" } th scope="col" { "Finds" } th scope="col" { "Class" }
                        th scope="col" { "Where" } th scope="col" { "Looks like" }
                        th scope="col" { span.unseen { "Remove" } }
                    } }
                    tbody { @for rule in rules { (row(rule, may_change)) } }
                } }
            }
            @if may_change {
                p { a.button href=(Link::to("/_ui/changes/new").with("do", "add_rules")) { "Add rules" } }
            }
        }
    }
}

fn row(rule: &Value, may_change: bool) -> Markup {
    let name = text(rule, "name");
    let remove = Link::to("/_ui/changes/new").with("do", "remove_rule").with("name", name);
    html! {
        tr {
            th scope="row" { (name) }
            td data-label="Finds" { code { (text(rule, "kind")) } }
            td data-label="Class" { (super::state(text(rule, "class"))) }
            td data-label="Where" {
                @if text(rule, "on") == "text" { "in text" }
                @else { "in " span.mono { (texts(rule, "fields").join(", ")) } }
            }
            td data-label="Looks like" {
                @if text(rule, "looks_like").is_empty() { span.faint { "anything" } }
                @else { code { (text(rule, "looks_like")) } }
            }
            td.narrow { @if may_change { a.button href=(remove) aria-label={ "Remove the rule " (name) } { "Remove" } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_is_shown_with_its_way_out_and_escaped() {
        let rules = [json!({ "name": "<b>", "kind": "loyalty", "class": "personal", "on": "text",
                             "fields": [], "looks_like": r"\bLC-\d+" })];
        let shown = section_of(&rules, true).into_string();
        assert!(shown.contains("do=remove_rule&amp;name=%3cb%3e"), "{shown}");
        assert!(shown.contains("do=add_rules") && !shown.contains("<b>"), "{shown}");
        assert!(!section_of(&rules, false).into_string().contains("do="));
    }
}
