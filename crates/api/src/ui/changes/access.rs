//! Who reaches what now: cell by cell, by which grants, in which roles, under which settings. Each
//! line leads to the change that would take it away.

use super::change::reach;
use crate::backend;
use crate::error::Answer;
use crate::route::Call;
use crate::ui::badge;
use crate::ui::form::asked;
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::shown::{list, text, time, whole, with_short_times};
use engine::{Action, Caller};
use maud::{Markup, html};
use model::Class;
use serde_json::Value;

/// `GET /_ui/access`, of one person with `person`, in one table with `table`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Access, || {
        let engine = &call.app.engine;
        let (person, table) = (asked(call.request, "person"), asked(call.request, "table"));
        let matrix = backend::reach(engine, caller, person, table)?;
        let grants = backend::grants(engine, caller)?;
        // Those without a say see their own reach and grants, and no policy.
        let policy = backend::policy(engine, caller).ok();
        let may_propose = [Action::ManagePeople, Action::Approve]
            .into_iter()
            .any(|action| backend::may(caller, action));
        let content = html! {
            div.page-head.with-actions {
                div {
                    h1 { "Access" }
                    p.sub {
                        "Who reaches what now."
                        @if let Some(policy) = &policy {
                            span { "Policy version " (whole(policy, "version")) " (" (text(policy, "made_by")) "), since " (time(text(policy, "since"))) }
                        }
                    }
                }
                @if may_propose { div.actions { a.button.primary href="/_ui/changes/new" { "Propose a change" } } }
            }
            @if asked(call.request, "done").is_some() {
                div.notice.good role="status" { p.notice-title { "In force: nobody sees more by it." } }
            }
            @if policy.as_ref().is_some_and(|policy| policy["founding"] == true) {
                div.notice.warn { p.notice-title { "This house is being founded: until the first row is written, changes count at once." } }
            }
            (matrix_of(&matrix, person, table))
            (grants_of(list(&grants, "grants"), may_propose))
            @if let Some(policy) = &policy {
                (members(policy, may_propose))
                (settings(list(policy, "settings"), may_propose))
            }
        };
        Ok(Page::new(caller, Section::Access, "Access").reply(content))
    })
}

fn matrix_of(matrix: &Value, person: Option<&str>, table: Option<&str>) -> Markup {
    let here = Link::to("/_ui/access")
        .with("person", person.unwrap_or_default())
        .with("table", table.unwrap_or_default());
    let rows = list(matrix, "reach");
    html! {
        section aria-labelledby="matrix" {
            h2 #matrix { "Reach" }
            @if person.is_some() || table.is_some() {
                ul.chips {
                    @if let Some(person) = person { li { "Only " strong { (person) } a.quiet href=(here.clone().without("person")) aria-label="Everybody" { "×" } } }
                    @if let Some(table) = table { li { "Only " strong { (table) } a.quiet href=(here.clone().without("table")) aria-label="All tables" { "×" } } }
                }
            }
            @if rows.is_empty() { (frame::empty("Nothing to reach", html! { "There is no table yet, or nobody." })) }
            @else {
                div.framed.scroll-x { table.grid.roomy.stacks.matrix {
                    caption.unseen { "Who reaches which class of fields in which table" }
                    thead { tr {
                        th scope="col" { "Who" } th scope="col" { "Table" }
                        @for class in Class::ALL { th scope="col" { (badge::class(class)) } }
                    } }
                    tbody { @for row in rows { tr {
                        th scope="row" { a href=(here.clone().with("person", text(row, "person"))) { (text(row, "person")) } }
                        td data-label="Table" { a href=(here.clone().with("table", text(row, "table"))) { (text(row, "table")) } }
                        @for class in Class::ALL {
                            td data-label=(class.as_str()) { (reach(text(&row[class.as_str()], "text"))) }
                        }
                    } } }
                } }
            }
        }
    }
}

fn grants_of(grants: &[Value], may_propose: bool) -> Markup {
    html! {
        section aria-labelledby="grants" {
            h2 #grants { "Grants " span.faint { (grants.len()) } }
            @if grants.is_empty() { (frame::empty("No grant", html! { "Nobody gave you anything." })) }
            @else {
                div.framed.scroll-x { table.grid.roomy.stacks {
                    caption.unseen { "Grants" }
                    thead { tr { th.num scope="col" { "No." } th scope="col" { "Grant" } th scope="col" { "Ends" } th scope="col" { span.unseen { "Revoke" } } } }
                    tbody { @for grant in grants {
                        @let id = whole(grant, "id");
                        tr {
                            td.num data-label="No." { (id) }
                            td.why data-label="Grant" { (with_short_times(text(grant, "text"))) }
                            td data-label="Ends" {
                                @match (text(grant, "until"), grant["over"] == true) {
                                    (_, true) => span.badge { "over" },
                                    ("", _) => span.faint { "never" },
                                    (until, _) => (time(until)),
                                }
                            }
                            td.narrow { @if may_propose && grant["over"] != true {
                                a.button href=(Link::to("/_ui/changes/new").with("do", "revoke").with("grant", id.to_string())) aria-label={ "Revoke grant " (id) } { "Revoke" }
                            } }
                        }
                    } }
                } }
            }
        }
    }
}

fn members(policy: &Value, may_propose: bool) -> Markup {
    let members = policy["members"].as_object();
    html! {
        section aria-labelledby="members" {
            h2 #members { "People and their roles " span.faint { (members.map_or(0, serde_json::Map::len)) } }
            div.framed.scroll-x { table.grid.roomy.stacks {
                caption.unseen { "People and their roles" }
                thead { tr { th scope="col" { "Who" } th scope="col" { "Roles" } th scope="col" { span.unseen { "Change" } } } }
                tbody { @for (name, member) in members.into_iter().flatten() { tr {
                    th scope="row" { a href=(Link::to("/_ui/access").with("person", name.as_str())) { (name) } @if member["disabled"] == true { " " span.badge { "disabled" } } }
                    td data-label="Roles" {
                        @for (role, until) in member["roles"].as_object().into_iter().flatten() {
                            span.role {
                                span.badge { (role) }
                                @if let Some(until) = until.as_str() { span.hint { " until " (time(until)) } }
                                @if may_propose {
                                    " " a.icon-button href=(Link::to("/_ui/changes/new").with("do", "drop_role").with("person", name.as_str()).with("role", role.as_str()))
                                        title="Take this role away" aria-label={ "Take the role " (role) " from " (name) } { "×" }
                                }
                            }
                        }
                        @if member["roles"].as_object().is_none_or(serde_json::Map::is_empty) { span.faint { "none" } }
                    }
                    td.narrow { @if may_propose {
                        @if member["disabled"] == true {
                            a.button href=(Link::to("/_ui/changes/new").with("do", "enable").with("person", name.as_str())) { "Let in again" }
                        } @else {
                            a.button href=(Link::to("/_ui/changes/new").with("do", "role").with("person", name.as_str())) aria-label={ "Give a role to " (name) } { "Give a role" }
                        }
                    } }
                } } }
            } }
        }
    }
}

fn settings(settings: &[Value], may_propose: bool) -> Markup {
    html! {
        section aria-labelledby="settings" {
            h2 #settings { "Settings" }
            p.hint.lead { "What protection hangs on stands here and in no file, so that nobody changes it alone." }
            div.framed.scroll-x { table.grid.roomy.stacks {
                caption.unseen { "Settings" }
                thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "What it is" } th scope="col" { span.unseen { "Change" } } } }
                tbody { @for setting in settings {
                    @let name = text(setting, "name");
                    tr {
                        th scope="row" { code { (name) } }
                        td data-label="Value" { (value(&setting["value"])) }
                        td.why data-label="What it is" { (text(setting, "meaning")) }
                        td.narrow { @if may_propose {
                            a.button href=(Link::to("/_ui/changes/new").with("do", "setting").with("name", name).with("value", typed(&setting["value"]))) aria-label={ "Change " (name) } { "Change" }
                        } }
                    }
                } }
            } }
        }
    }
}

fn value(value: &Value) -> Markup {
    html! {
        @match value {
            Value::Bool(true) => "yes",
            Value::Bool(false) => "no",
            Value::Array(entries) if entries.is_empty() => span.faint { "none" },
            Value::Array(entries) => ul { @for entry in entries.iter().filter_map(Value::as_str) { li { code { (entry) } } } },
            other => (other.to_string()),
        }
    }
}

/// The value as a form takes it: a list has a line for each entry.
fn typed(value: &Value) -> String {
    match value {
        Value::Array(entries) => {
            entries.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_settings_are_shown_and_typed() {
        assert_eq!(typed(&json!(["/a", "/b"])), "/a\n/b");
        assert_eq!(typed(&json!(90)), "90");
        assert!(value(&json!([])).into_string().contains("none"));
        assert!(value(&json!(true)).into_string().contains("yes"));
    }
}
