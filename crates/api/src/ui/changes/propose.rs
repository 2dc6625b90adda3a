//! Proposing: a form for each kind of edit, and breaking the glass.

use super::link_to;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use crate::ui::badge;
use crate::ui::form::{self, Form};
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::present;
use crate::ui::shown::{list, text, whole, words};
use engine::Caller;
use maud::{Markup, html};
use model::Class;
use serde_json::{Value, json};

/// What a link may fill in.
pub(super) const FIELDS: &[&str] =
    &["do", "who", "person", "role", "until", "grant", "name", "value", "tables", "why"];

/// The kinds of edits that have a tab; the others are reached from what they undo.
const TABS: &[(&str, &str)] = &[
    ("grant", "Give a grant"),
    ("role", "Give a role"),
    ("setting", "Change a setting"),
    ("password_reset", "Reset a password"),
    ("add_rules", "Add rules"),
];
const RULES_EXAMPLE: &str = r"texts:
  - name: loyalty number
    kind: loyalty
    class: personal
    pattern: '\bLC-[0-9]{8}\b'
    takes: ['paid with ‹LC-20190426›']
    leaves: ['LC-2019']";
const ROLES: [&str; 4] = ["analyst", "engineer", "guardian", "administrator"];
/// What a grant may allow on data; and what people with a duty need.
const ACTIONS: &[&str] = &[
    "count",
    "aggregate",
    "read",
    "export",
    "write",
    "create_table",
    "drop_table",
    "rule",
    "approve",
    "audit",
    "manage_people",
    "manage_keys",
    "define_metric",
    "break_glass",
];

/// `GET /_ui/changes/new`, of the kind `do`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Changes, || {
        render(call, caller, &Form::of_link(call.request), None)
    })
}

/// `POST /_ui/changes/new`: puts it in force if it widens nothing, else has it wait.
pub(in crate::ui) fn propose(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Changes, || {
        let form = Form::read(call.request)?;
        let proposed = read_edit(call, caller, &form).and_then(|edit| {
            let body = json!({ "edits": [edit], "why": form.text("why") });
            backend::propose(&call.app.engine, caller, &body)
        });
        match proposed {
            Ok(done) if done["applied"] == true => {
                form::go_to(&Link::to("/_ui/access").with("done", "1"))
            }
            Ok(change) => form::go_to(&link_to(whole(&change, "id")).with("done", "proposed")),
            Err(error) => render(call, caller, &form, Some(&error)),
        }
    })
}

fn render(
    call: &Call<'_>,
    caller: &Caller,
    form: &Form,
    error: Option<&ApiError>,
) -> Result<Reply, ApiError> {
    let kind = form.word("do").unwrap_or("grant");
    let fields = match kind {
        "grant" => grant_fields(form),
        "role" => role_fields(form),
        "setting" => setting_fields(call, caller, form),
        "revoke" => revoke_fields(call, caller, form),
        "add_rules" => rules_fields(form),
        "remove_rule" => html! {
            input type="hidden" name="name" value=(form.text("name"));
            p.change-text { "Remove the rule " (form.text("name")) ": what it finds is not hidden any more in what is written from then on" }
        },
        "drop_role" | "enable" | "password_reset" => person_fields(kind, form),
        _ => return Err(ApiError::not_found("There is no such kind of change.")),
    };
    let content = html! {
        div.page-head {
            p.crumbs { a href="/_ui/changes" { "Changes" } }
            h1 { "Propose a change" }
            p.sub { "If it lets nobody see more, it counts at once. Else you are shown what it would do, and a second person decides." }
        }
        nav.segments aria-label="Kind of change" {
            @for (of, name) in TABS {
                a href=(Link::to("/_ui/changes/new").with("do", *of)) aria-current=[(*of == kind).then_some("page")] { (name) }
            }
        }
        @if let Some(error) = error { (frame::failure(error)) }
        form.panel.stack.narrow-form method="post" action="/_ui/changes/new" {
            input type="hidden" name="do" value=(kind);
            (fields)
            label { span { "Why" }
                textarea name="why" rows="3" maxlength="1000" required placeholder="for whom, for what, who asked for it" { (form.text("why")) }
            }
            div { button.button.primary type="submit" { "Propose" } }
        }
    };
    let reply = Page::new(caller, Section::Changes, "Propose a change").reply(content);
    Ok(match error {
        Some(error) => reply.with_status(error.status()),
        None => reply,
    })
}

fn input(label: &str, name: &str, form: &Form, placeholder: &str, is_required: bool) -> Markup {
    html! {
        label { span { (label) @if !is_required { " " span.faint { "(optional)" } } }
            input name=(name) value=(form.text(name)) placeholder=(placeholder) required[is_required]
                autocomplete="off" spellcheck="false" autocapitalize="none";
        }
    }
}

fn until(form: &Form) -> Markup {
    html! {
        label { span { "Until " span.faint { "(optional: as the settings say)" } }
            input type="date" name="until" value=(form.text("until"));
        }
    }
}

fn choose(label: &str, name: &str, from: &[&str], form: &Form, usual: &str) -> Markup {
    let picked = form.word(name).unwrap_or(usual);
    html! {
        label { span { (label) }
            select name=(name) {
                @for one in from { option value=(one) selected[*one == picked] { (words(one)) } }
            }
        }
    }
}

fn grant_fields(form: &Form) -> Markup {
    let ticked: Vec<&str> = form.all("class").collect();
    html! {
        (input("Who", "who", form, "person:ada or role:analyst", true))
        div.pair-of-fields {
            (choose("May", "action", ACTIONS, form, "read"))
            (input("Tables", "tables", form, "users, logs-* or *", true))
        }
        fieldset.choice {
            legend { "Fields of class" }
            div.ticks { @for class in Class::ALL {
                label.tick-label { input type="checkbox" name="class" value=(class.as_str())
                    checked[ticked.contains(&class.as_str()) || (ticked.is_empty() && class == Class::Open)];
                    (badge::class(class)) }
            } }
        }
        (until(form))
        details {
            summary { "Narrow it down" }
            div.stack {
                div.pair-of-fields {
                    (input("Only rows where", "rows_field", form, "region", false))
                    (input("is one of", "rows_in", form, "eu-west, eu-north", false))
                }
                div.pair-of-fields {
                    (input("Least group of people", "least_group", form, "20", false))
                    (input("Rows a day", "quota_rows", form, "10000", false))
                }
                (input("From networks", "networks", form, "192.0.2.0/24, 2001:db8::/32", false))
                label.tick-label { input type="checkbox" name="purpose" value="required" checked[form.text("purpose") == "required"]; "Has to state a purpose with every question" }
            }
        }
    }
}

fn role_fields(form: &Form) -> Markup {
    html! {
        (input("Who", "person", form, "ada", true))
        (choose("Becomes", "role", &ROLES, form, "analyst"))
        (until(form))
    }
}

fn setting_fields(call: &Call<'_>, caller: &Caller, form: &Form) -> Markup {
    let policy = backend::policy(&call.app.engine, caller).unwrap_or_default();
    let names: Vec<&str> =
        list(&policy, "settings").iter().map(|setting| text(setting, "name")).collect();
    html! {
        (choose("Setting", "name", &names, form, ""))
        label { span { "Value" }
            textarea name="value" rows="4" spellcheck="false" placeholder="true or false, a number, or a line for each entry" { (form.text("value")) }
        }
    }
}

fn rules_fields(form: &Form) -> Markup {
    html! {
        label { span { "Rules, as YAML" }
            textarea name="yaml" rows="14" spellcheck="false" required placeholder=(RULES_EXAMPLE) { (form.text("yaml")) }
        }
        p.hint { "Each rule is held to its own examples before it counts. It can only hide more: nothing that is hidden becomes readable by it." }
    }
}

fn revoke_fields(call: &Call<'_>, caller: &Caller, form: &Form) -> Markup {
    let grants = backend::grants(&call.app.engine, caller).unwrap_or_default();
    let wanted = form.text("grant");
    let number = wanted.parse::<u64>().ok();
    let is_wanted = |grant: &&Value| number.is_some() && grant["id"].as_u64() == number;
    let grant = list(&grants, "grants").iter().find(is_wanted);
    html! {
        input type="hidden" name="grant" value=(wanted);
        p.change-text { "Revoke grant " (wanted) @if let Some(grant) = grant { ": " (text(grant, "text")) } }
    }
}

fn person_fields(kind: &str, form: &Form) -> Markup {
    let (person, role) = (form.text("person"), form.text("role"));
    html! {
        @match kind {
            "drop_role" => {
                input type="hidden" name="person" value=(person);
                input type="hidden" name="role" value=(role);
                p.change-text { (person) " is " (role) " no more" }
            },
            "enable" => {
                input type="hidden" name="person" value=(person);
                p.change-text { (person) " is let in again" }
            },
            _ => {
                (input("Whose", "person", form, "ada", true))
                p.hint { "Once approved, you may set another password for this account, within a day." }
            },
        }
    }
}

/// The edit that a form describes, as the API takes it.
fn read_edit(call: &Call<'_>, caller: &Caller, form: &Form) -> Result<Value, ApiError> {
    let person = form.text("person").trim();
    Ok(match form.text("do") {
        "grant" => json!({ "grant": read_grant(form)? }),
        "role" => {
            let mut edit = json!({ "person": person, "role": form.text("role") });
            put(&mut edit, "until", form.word("until").map(end_of));
            json!({ "role": edit })
        }
        "drop_role" => json!({ "drop_role": { "person": person, "role": form.text("role") } }),
        "enable" => json!({ "enable": { "person": person } }),
        "password_reset" => json!({ "password_reset": { "person": person } }),
        "add_rules" => json!({ "add_rules": form.text("yaml") }),
        "remove_rule" => json!({ "remove_rule": form.text("name") }),
        "revoke" => json!({ "revoke": number("the grant", form.text("grant"))? }),
        "setting" => {
            let policy = backend::policy(&call.app.engine, caller)?;
            let name = form.text("name");
            let mut settings = list(&policy, "settings").iter();
            let now = settings.find(|setting| text(setting, "name") == name);
            let value = read_value(now.map_or(&Value::Null, |now| &now["value"]), form)?;
            json!({ "setting": { "name": name, "value": value } })
        }
        _ => return Err(ApiError::illegal_argument("there is no such kind of change")),
    })
}

fn read_grant(form: &Form) -> Result<Value, ApiError> {
    let mut grant = json!({
        "who": form.text("who").trim(),
        "tables": form.text("tables").trim(),
        "action": form.text("action"),
        "classes": form.all("class").collect::<Vec<&str>>(),
    });
    put(&mut grant, "until", form.word("until").map(end_of));
    if let Some(field) = form.word("rows_field") {
        grant["rows"] = json!([{ "field": field, "in": pieces(form.text("rows_in")) }]);
    }
    if let Some(group) = form.word("least_group") {
        grant["least_group"] = json!(number("the least group", group)?);
    }
    if let Some(rows) = form.word("quota_rows") {
        grant["quota"] = json!({ "rows": number("the rows a day", rows)? });
    }
    let networks = pieces(form.text("networks"));
    if !networks.is_empty() {
        grant["networks"] = json!(networks);
    }
    put(&mut grant, "purpose", form.word("purpose").map(str::to_owned));
    Ok(grant)
}

fn put(into: &mut Value, name: &str, value: Option<String>) {
    if let Some(value) = value {
        into[name] = json!(value);
    }
}

fn number(what: &str, text: &str) -> Result<u64, ApiError> {
    text.trim().parse().map_err(|_| ApiError::illegal_argument(format!("{what} is a number")))
}

/// What stands between commas.
fn pieces(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

/// A day ends where it ends, not where it begins.
fn end_of(day: &str) -> String {
    if day.contains('T') { day.to_owned() } else { format!("{day}T23:59:59Z") }
}

/// A value of the same type as the setting has now.
fn read_value(now: &Value, form: &Form) -> Result<Value, ApiError> {
    let typed = form.text("value").trim();
    Ok(match now {
        Value::Bool(_) => match typed {
            "true" | "yes" => json!(true),
            "false" | "no" => json!(false),
            _ => return Err(ApiError::illegal_argument("the setting takes true or false")),
        },
        Value::Number(_) => json!(number("the setting", typed)?),
        _ => {
            let entries = typed.lines().map(str::trim).filter(|line| !line.is_empty());
            json!(entries.collect::<Vec<&str>>())
        }
    })
}

/// `GET /_ui/changes/glass`.
pub(in crate::ui) fn glass(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Changes, || {
        glass_page(call, caller, &Form::of_link(call.request), None)
    })
}

/// `POST /_ui/changes/glass`.
pub(in crate::ui) fn break_glass(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Changes, || {
        let form = Form::read(call.request)?;
        let body = json!({
            "tables": form.text("tables").trim(),
            "class": form.text("class"),
            "why": form.text("why"),
        });
        let broken = present::needed(call.request, &form).and_then(|shown| {
            backend::break_glass(&call.app.engine, caller, &body, shown.answer())
        });
        match broken {
            Ok(change) => form::go_to(&link_to(whole(&change, "id")).with("done", "glass")),
            Err(error) => glass_page(call, caller, &form, Some(&error)),
        }
    })
}

fn glass_page(
    call: &Call<'_>,
    caller: &Caller,
    form: &Form,
    error: Option<&ApiError>,
) -> Result<Reply, ApiError> {
    let engine = &call.app.engine;
    let able = backend::factors(engine, caller).ok().filter(present::is_able);
    let content = html! {
        div.page-head {
            p.crumbs { a href="/_ui/changes" { "Changes" } }
            h1 { "Break the glass" }
            p.sub { "You read alone, for one hour, once a day, never in bulk. Everybody is told, and every read is on record." }
        }
        @if let Some(error) = error { (frame::failure(error)) }
        form.panel.stack.narrow-form method="post" action="/_ui/changes/glass" {
            (input("Tables", "tables", form, "users or logs-2026-*", true))
            (choose("Fields up to class", "class", &["open", "personal", "special"], form, "personal"))
            label { span { "What happened" }
                textarea name="why" rows="3" maxlength="1000" required placeholder="the emergency, and where it is written down" { (form.text("why")) }
            }
            @if let Some(factors) = &able {
                (present::fields(factors, Some(backend::presence_for_glass(engine))))
                div { button.button.primary.danger type="submit" { "Break the glass" } }
            } @else {
                p.hint { "It takes a code of an app, or a key. " a href="/_ui/account" { "Set one up" } " first." }
            }
        }
    };
    let reply = Page::new(caller, Section::Changes, "Break the glass").reply(content);
    Ok(match error {
        Some(error) => reply.with_status(error.status()),
        None => reply,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Form {
        Form::of(
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn a_form_becomes_a_grant() {
        let grant = read_grant(&form(&[
            ("who", " person:ada "),
            ("tables", "users"),
            ("action", "read"),
            ("class", "open"),
            ("class", "personal"),
            ("until", "2026-12-01"),
            ("rows_field", "region"),
            ("rows_in", "eu-west, eu-north"),
            ("least_group", "20"),
            ("quota_rows", "100"),
            ("networks", "192.0.2.0/24"),
            ("purpose", "required"),
        ]));
        let expected = json!({
            "who": "person:ada", "tables": "users", "action": "read",
            "classes": ["open", "personal"], "until": "2026-12-01T23:59:59Z",
            "rows": [{ "field": "region", "in": ["eu-west", "eu-north"] }], "least_group": 20,
            "quota": { "rows": 100 }, "networks": ["192.0.2.0/24"], "purpose": "required",
        });
        assert_eq!(grant.unwrap(), expected);
        let short =
            read_grant(&form(&[("who", "role:analyst"), ("tables", "*"), ("action", "count")]));
        assert_eq!(
            short.unwrap(),
            json!({ "who": "role:analyst", "tables": "*", "action": "count", "classes": [] })
        );
        assert!(read_grant(&form(&[("least_group", "many")])).is_err());
    }

    #[test]
    fn a_setting_keeps_its_type() {
        let read = |now: Value, typed: &str| read_value(&now, &form(&[("value", typed)]));
        assert_eq!(read(json!(false), "true").unwrap(), json!(true));
        assert!(read(json!(false), "90").is_err());
        assert_eq!(read(json!(90), " 30 ").unwrap(), json!(30));
        assert_eq!(read(json!(["/a"]), "/a\n\n /b").unwrap(), json!(["/a", "/b"]));
        assert_eq!(read(json!([]), "").unwrap(), json!([]));
    }
}
