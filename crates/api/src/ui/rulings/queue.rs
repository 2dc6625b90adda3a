//! The queue: what waits, what the classifier proposes, what values look like.

use super::{link_to, own, state};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form::{self, Form, asked};
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::number;
use crate::ui::shown::{list as entries, text, texts, time, whole};
use engine::{Caller, NewRuling};
use maud::{Markup, html};
use serde_json::Value;

/// So many of those that use a field are named; the field's own page names all.
const USERS_SHOWN: usize = 3;

/// `GET /_ui/rulings`, of one table with `table`.
pub(in crate::ui) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Rulings, || {
        let table = asked(call.request, "table");
        let queue = backend::ruling_queue(&call.app.engine, caller, table)?;
        let fields = queue["fields"].as_array().map_or(&[][..], Vec::as_slice);
        let (withheld, ruled): (Vec<&Value>, Vec<&Value>) =
            fields.iter().partition(|field| text(field, "state") == "withheld");
        let new_tables = call.app.copies.new_tables();
        let content = html! {
            div.page-head {
                h1 { "Rulings" }
                p.sub { "A field's class says how its values are stored and who reads them. These fields wait for a person." }
            }
            (agreed(call))
            (rewrites(&queue))
            (of_one_table(table))
            @if table.is_none() && !new_tables.is_empty() { (came(&new_tables)) }
            @if fields.is_empty() {
                (frame::empty("Nothing waits", html! {
                    "Every field was ruled on by a person. Any of them can be ruled on again: pick it under "
                    a href="/_ui/tables" { "Tables" } "."
                }))
            }
            @if !withheld.is_empty() {
                section aria-labelledby="withheld" {
                    h2 #withheld { "Withheld " span.faint { (withheld.len()) } }
                    p.hint.lead { "Sealed and unread until somebody rules; the rest of each row flows." }
                    (table_of(&withheld, false))
                }
            }
            @if !ruled.is_empty() {
                section aria-labelledby="classified" {
                    h2 #classified { "Ruled by the classifier alone " span.faint { (ruled.len()) } }
                    p.hint.lead { "Stored as the classifier says. Agree with it, or rule otherwise." }
                    (agreement(table, &ruled))
                }
            }
            (own::section(call, caller))
        };
        Ok(Page::new(caller, Section::Rulings, "Rulings").reply(content))
    })
}

fn agreed(call: &Call<'_>) -> Markup {
    let fields = asked(call.request, "agreed").and_then(|number| number.parse::<u64>().ok());
    html! {
        @if let Some(fields) = fields {
            div.notice.good role="status" {
                p.notice-title { "Agreed on " (number::of(fields, "field", "fields")) "." }
            }
        }
    }
}

/// The rewrites that are under way.
fn rewrites(queue: &Value) -> Markup {
    html! {
        @for rewrite in entries(queue, "rewrites") {
            div.notice role="status" {
                p.notice-title {
                    (text(rewrite, "table")) ": a ruling is being carried out, "
                    (number::of(whole(rewrite, "rows"), "row", "rows")) " to go."
                }
                p.hint { "Nobody reads the old form meanwhile. Load the page again to see how far it is." }
            }
        }
    }
}

/// Tables that came to the sources of copies.
fn came(tables: &[Value]) -> Markup {
    html! {
        section aria-labelledby="came" {
            h2 #came { "New at a source " span.faint { (tables.len()) } }
            p.hint.lead { "Nothing of them is copied until a signed copy file names them. Plan the copy again, or name them in its " code { "left_out" } "." }
            ul.plain { @for table in tables {
                li { span.mono { (text(table, "table")) } " of copy " span.mono { (text(table, "copy")) } " " span.faint { "since " (time(text(table, "since"))) } }
            } }
        }
    }
}

fn of_one_table(table: Option<&str>) -> Markup {
    html! {
        @if let Some(table) = table {
            ul.chips { li {
                "Only " strong { (table) }
                a.quiet href="/_ui/rulings" aria-label="All tables" { "×" }
            } }
        }
    }
}

fn agreement(table: Option<&str>, ruled: &[&Value]) -> Markup {
    html! {
        form method="post" action="/_ui/rulings" {
            @if let Some(table) = table { input type="hidden" name="table" value=(table); }
            (table_of(ruled, true))
            div.form-foot {
                label.grow { span { "Why you agree" }
                    input name="why" maxlength="1000" required placeholder="looked at the shapes; fits the data catalogue" autocomplete="off";
                }
                button.button.primary type="submit" { "Agree on the ticked fields" }
            }
        }
    }
}

fn table_of(fields: &[&Value], tickable: bool) -> Markup {
    html! {
        div.framed.scroll-x {
            table.grid.roomy.stacks.queue {
                caption.unseen { "Fields" }
                thead { tr {
                    @if tickable { th.narrow scope="col" { span.unseen { "Agree" } } }
                    th scope="col" { "Field" }
                    th scope="col" { "Is" }
                    th scope="col" { "Classifier says" }
                    th scope="col" { "Values look like" }
                    th.num scope="col" { "Rows" }
                    th scope="col" { "Used by" }
                    th scope="col" { span.unseen { "Rule" } }
                } }
                tbody { @for field in fields { (row(field, tickable)) } }
            }
        }
    }
}

fn row(field: &Value, tickable: bool) -> Markup {
    let (table, name) = (text(field, "table"), text(field, "field"));
    let proposal = &field["proposal"];
    let ruling = &field["ruling"];
    let agrees = format!("{}/{table}/{name}", text(field, "state"));
    let dashboards =
        texts(field, "dashboards").into_iter().map(|name| format!("{name} (dashboard)"));
    let users: Vec<String> =
        texts(field, "metrics").into_iter().map(str::to_owned).chain(dashboards).collect();
    html! {
        tr {
            @if tickable {
                td.tick {
                    input type="checkbox" name="agree" value=(agrees) aria-label={ "Agree on " (name) " of " (table) };
                }
            }
            th scope="row" {
                a href=(link_to(table, name)) { span.faint { (table) " · " } span.mono { (name) } }
            }
            td data-label="Is" { (state(text(field, "state"))) }
            td.why data-label="Classifier says" {
                @if proposal.is_object() {
                    (state(text(proposal, "class"))) " "
                    @if !text(proposal, "kind").is_empty() { code { (text(proposal, "kind")) } " " }
                    span.hint { (text(proposal, "reason")) }
                } @else if ruling.is_object() {
                    span.hint { (text(ruling, "reason")) }
                } @else { span.faint { "–" } }
            }
            td data-label="Values look like" { (shapes(proposal)) }
            td.num data-label="Rows" { (number::count(whole(field, "rows"))) }
            td data-label="Used by" {
                @if users.is_empty() { span.faint { "–" } }
                @for (place, user) in users.iter().take(USERS_SHOWN).enumerate() {
                    @if place > 0 { ", " }
                    (user)
                }
                @if users.len() > USERS_SHOWN { span.faint { " and " (users.len() - USERS_SHOWN) " more" } }
            }
            td.narrow { a.button href=(link_to(table, name)) aria-label={ "Rule on " (name) " of " (table) } { "Rule" } }
        }
    }
}

/// The two most frequent shapes; never a value.
fn shapes(proposal: &Value) -> Markup {
    let shapes = entries(proposal, "shapes");
    html! {
        @if shapes.is_empty() { span.faint { "–" } }
        ul.shapes { @for shape in shapes.iter().take(2) { li { code { (text(shape, "shape")) } } } }
    }
}

/// `POST /_ui/rulings`: agrees with the classifier on the ticked fields, one after the other.
pub(in crate::ui) fn agree(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Rulings, || {
        let form = Form::read(call.request)?;
        let mut agreed = 0;
        for ticked in form.all("agree") {
            let wanted = read_ticked(ticked, form.text("why"))?;
            backend::rule(&call.app.engine, caller, &wanted, false)?;
            agreed += 1;
        }
        if agreed == 0 {
            return Err(ApiError::illegal_argument("no field was ticked"));
        }
        let queue = Link::to("/_ui/rulings").with("table", form.text("table"));
        form::go_to(&queue.with("agreed", agreed.to_string()))
    })
}

/// `personal/users/email`: the class that was shown, so that nothing else is agreed to.
fn read_ticked(ticked: &str, why: &str) -> Result<NewRuling, ApiError> {
    let mut parts = ticked.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let class = part().parse().map_err(|_| {
        ApiError::illegal_argument("a field without a class has to be ruled on by itself")
    })?;
    let (table, field) = (part().to_owned(), part().to_owned());
    Ok(NewRuling { table, field, class, kind: None, reason: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Class;
    use serde_json::json;

    #[test]
    fn what_is_ticked_is_what_was_shown() {
        let ruling = read_ticked("personal/users/home/path", "seen").unwrap();
        assert_eq!((ruling.table.as_str(), ruling.field.as_str()), ("users", "home/path"));
        assert_eq!((ruling.class, ruling.reason.as_str()), (Class::Personal, "seen"));
        assert!(read_ticked("withheld/users/email", "seen").is_err());
        assert!(read_ticked("", "seen").is_err());
    }

    #[test]
    fn a_row_shows_shapes_and_escapes_names() {
        let field = json!({
            "table": "users", "field": "<b>", "state": "withheld", "rows": 1200,
            "proposal": { "class": "personal", "kind": "email", "reason": "has an @",
                          "shapes": [{ "shape": "aaa@aaa.aa", "values": 3 }] },
            "metrics": ["a", "b", "c"], "dashboards": ["<i>fleet"],
        });
        let shown = row(&field, false).into_string();
        assert!(shown.contains("aaa@aaa.aa") && shown.contains("1,200"), "{shown}");
        assert!(
            shown.contains("and 1 more") && !shown.contains("<b>") && !shown.contains("<i>"),
            "{shown}"
        );
    }
}
