//! One field: what it is, what its values look like, every ruling it had, and the next one, which
//! is shown with what it would do before it is made.

use super::{link_to, state};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::badge;
use crate::ui::form::{self, Form, asked};
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::number;
use crate::ui::shown::{list, text, texts, time, whole};
use engine::{Caller, NewRuling};
use maud::{Markup, html};
use model::Class;
use serde_json::Value;

/// `GET /_ui/rulings/{index}/{field}`; with `class` and `why` also what that ruling would do.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Rulings, || {
        let of = |name| asked(call.request, name).map(str::to_owned);
        let typed = Typed {
            class: of("class").unwrap_or_default(),
            kind: of("kind").unwrap_or_default(),
            why: of("why").unwrap_or_default(),
        };
        render(call, caller, &typed)
    })
}

/// A ruling as somebody typed it.
struct Typed {
    class: String,
    kind: String,
    why: String,
}

impl Typed {
    /// The ruling that was typed.
    fn ruling(&self, table: &str, field: &str) -> Result<NewRuling, ApiError> {
        let class = self.class.parse().map_err(|_| {
            ApiError::illegal_argument("pick a class: open, personal, special or secret")
        })?;
        Ok(NewRuling {
            table: table.to_owned(),
            field: field.to_owned(),
            class,
            kind: Some(self.kind.trim()).filter(|kind| !kind.is_empty()).map(str::to_owned),
            reason: self.why.clone(),
        })
    }
}

fn render(call: &Call<'_>, caller: &Caller, typed: &Typed) -> Answer {
    let (table, field) = (call.request.part("index"), call.request.part("field"));
    let shown = backend::ruling(&call.app.engine, caller, table, field)?;
    // What it would do is shown once a class was picked and a reason was given.
    let is_typed = !typed.class.is_empty() || !typed.why.is_empty();
    let plan = is_typed.then(|| {
        let wanted = typed.ruling(table, field)?;
        backend::rule(&call.app.engine, caller, &wanted, true)
    });
    let title = format!("{field} · Rulings");
    let content = html! {
        div.page-head {
            p.crumbs {
                a href="/_ui/rulings" { "Rulings" } " · "
                a href=(Link::to("/_ui/tables").part(table)) { (table) }
            }
            h1.mono { (field) }
            p.sub {
                (state(text(&shown, "state")))
                span { (text(&shown, "type")) }
                @if !text(&shown, "kind").is_empty() { span { "kind " code { (text(&shown, "kind")) } } }
                span { (number::of(whole(&shown, "rows"), "row", "rows")) " with a value" }
            }
        }
        @if call.request.param("ruled").is_some() {
            div.notice.good role="status" { p.notice-title { "Ruled. It counts for every read from now on." } }
        }
        (progress(&shown))
        div.columns {
            div {
                @match &plan {
                    Some(Ok(plan)) => (preview(call, typed, plan)),
                    Some(Err(error)) => (frame::failure(error)),
                    None => {},
                }
                (ruling_form(table, field, typed, &shown))
            }
            div {
                (looks(&shown))
                (uses(&shown))
            }
        }
        (history(&shown))
    };
    Ok(Page::new(caller, Section::Rulings, &title).reply(content))
}

fn progress(shown: &Value) -> Markup {
    let rows = whole(shown, "rows_to_rewrite");
    let is_log = shown["log_to_rewrite"].as_bool().unwrap_or(false);
    html! {
        @if rows > 0 || is_log {
            div.notice role="status" {
                p.notice-title {
                    "A ruling is being carried out: "
                    @if rows > 0 { (number::of(rows, "row", "rows")) " of this table to go." }
                    @else { "the log still holds the old form." }
                }
                p.hint { "Nobody reads the old form meanwhile. Load the page again to see how far it is." }
            }
        }
    }
}

fn ruling_form(table: &str, field: &str, typed: &Typed, shown: &Value) -> Markup {
    let proposed = text(&shown["proposal"], "class");
    let picked = if typed.class.is_empty() { proposed } else { &typed.class };
    html! {
        section.panel aria-labelledby="rule" {
            h2 #rule { "Rule on it" }
            form.stack method="get" action=(link_to(table, field)) {
                fieldset.choice {
                    legend { "Class" }
                    @for class in Class::ALL {
                        label.radio {
                            input type="radio" name="class" value=(class.as_str()) required
                                checked[class.as_str() == picked];
                            span {
                                (badge::class(class))
                                @if class.as_str() == proposed { span.hint { " as the classifier says" } }
                                span.hint.block { (badge::meaning(class)) }
                            }
                        }
                    }
                }
                label { span { "Kind of value, for pseudonyms that meet across fields " span.faint { "(optional)" } }
                    input name="kind" value=(typed.kind) maxlength="32" placeholder=(kind_hint(shown)) autocomplete="off" spellcheck="false";
                }
                label { span { "Why" }
                    textarea name="why" rows="3" maxlength="1000" required placeholder="what it is, and who says so; no value of it" { (typed.why) }
                }
                div { button.button.primary type="submit" { "See what it would do" } }
            }
        }
    }
}

fn kind_hint(shown: &Value) -> &str {
    [
        text(shown, "kind"),
        text(&shown["proposal"], "kind"),
        "chosen by the classifier, or the field's name",
    ]
    .into_iter()
    .find(|kind| !kind.is_empty())
    .unwrap_or_default()
}

/// What the ruling would do, and the button that makes it.
fn preview(call: &Call<'_>, typed: &Typed, plan: &Value) -> Markup {
    let (table, field) = (call.request.part("index"), call.request.part("field"));
    let widens = text(plan, "effect") == "widens";
    let destroys = text(plan, "stored_values").contains("destroyed");
    html! {
        section.panel.preview aria-labelledby="preview" {
            h2 #preview { "What it would do" }
            dl.pairs.wide {
                dt { "Class" }
                dd { (state(text(plan, "before"))) " → " (state(text(plan, "class"))) @if !text(plan, "kind").is_empty() { " " code { (text(plan, "kind")) } } }
                dt { "For readers" } dd { (effect(text(plan, "effect"))) }
                dt { "Stored values" } dd { (number::of(whole(plan, "rows"), "row", "rows")) ": they " (text(plan, "stored_values")) "." }
                dt { "Metrics" }
                dd { @if texts(plan, "metrics").is_empty() { "none uses it" } @else { (texts(plan, "metrics").join(", ")) } }
                @if !texts(plan, "dashboards").is_empty() {
                    dt { "Dashboards" } dd { (texts(plan, "dashboards").join(", ")) }
                }
                dt { "Why" } dd { (text(plan, "reason")) }
            }
            form.form-foot method="post" action=(link_to(table, field)) {
                input type="hidden" name="class" value=(text(plan, "class"));
                input type="hidden" name="kind" value=(typed.kind);
                input type="hidden" name="why" value=(text(plan, "reason"));
                input type="hidden" name="before" value=(text(plan, "before"));
                @if widens {
                    button.button.primary type="submit" { "Propose it" }
                    p.hint { "More can be seen then, so it takes a second person." }
                } @else {
                    button.button.primary.danger[destroys] type="submit" { "Rule it " (text(plan, "class")) }
                    @if destroys { p.hint { "There is no way back: the values are gone." } }
                }
            }
        }
    }
}

fn effect(word: &str) -> &'static str {
    match word {
        "confirms" => "Nothing changes; a person stands behind it.",
        "tightens" => "Less is seen, from the next read on.",
        _ => "More is seen than now.",
    }
}

fn looks(shown: &Value) -> Markup {
    let proposal = &shown["proposal"];
    let sampled = whole(proposal, "sampled");
    html! {
        section.panel aria-labelledby="looks" {
            h2 #looks { "What values look like" }
            @if list(proposal, "shapes").is_empty() {
                p.hint { "No value to look at: none is stored, or only pseudonyms and tags are." }
            } @else {
                table.shape-list {
                    caption.unseen { "Shapes of values" }
                    tbody { @for shape in list(proposal, "shapes") {
                        tr { td { code { (text(shape, "shape")) } } td.num { (whole(shape, "values")) " of " (sampled) } }
                    } }
                }
                p.hint { code { "a" } " is a small letter, " code { "A" } " a capital, " code { "9" } " a digit. No value is shown, and that you looked is recorded." }
            }
            @if proposal.is_object() {
                p.says { "The classifier says " (state(text(proposal, "class")))
                    @if !text(proposal, "kind").is_empty() { " " code { (text(proposal, "kind")) } }
                    ": " (text(proposal, "reason")) }
            }
        }
    }
}

fn uses(shown: &Value) -> Markup {
    let (metrics, dashboards) = (texts(shown, "metrics"), texts(shown, "dashboards"));
    html! {
        section.panel aria-labelledby="uses" {
            h2 #uses { "What uses it" }
            @if metrics.is_empty() && dashboards.is_empty() {
                p.hint { "No declared metric, and no dashboard that you may open." }
            }
            ul.plain {
                @for metric in metrics {
                    li { a href=(crate::ui::metrics::link_to(metric)) { (metric) } }
                }
                @for dashboard in dashboards { li { "Dashboard: " (dashboard) } }
            }
        }
    }
}

fn history(shown: &Value) -> Markup {
    let rulings = list(shown, "history");
    html! {
        section aria-labelledby="history" {
            h2 #history { "Its rulings " span.faint { (rulings.len()) } }
            @if rulings.is_empty() {
                (frame::empty("No ruling yet", html! { "No value of it was seen." }))
            } @else {
                div.framed.scroll-x {
                    table.grid.roomy.stacks {
                        caption.unseen { "Rulings, newest first" }
                        thead { tr { th scope="col" { "When" } th scope="col" { "By" } th scope="col" { "Class" } th scope="col" { "Kind" } th scope="col" { "Why" } } }
                        tbody { @for ruling in rulings {
                            tr {
                                td data-label="When" { (time(text(ruling, "at"))) }
                                td data-label="By" { (text(ruling, "by")) }
                                td data-label="Class" { (state(text(ruling, "class"))) }
                                td data-label="Kind" { @if text(ruling, "kind").is_empty() { span.faint { "–" } } @else { code { (text(ruling, "kind")) } } }
                                td.why data-label="Why" { (text(ruling, "reason")) }
                            }
                        } }
                    }
                }
            }
        }
    }
}

/// `POST /_ui/rulings/{index}/{field}`: makes the ruling, or has it wait for a second person.
pub(in crate::ui) fn rule(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Rulings, || {
        let form = Form::read(call.request)?;
        let typed = Typed {
            class: form.text("class").to_owned(),
            kind: form.text("kind").to_owned(),
            why: form.text("why").to_owned(),
        };
        let (table, field) = (call.request.part("index"), call.request.part("field"));
        let wanted = typed.ruling(table, field)?;
        let plan = backend::rule(&call.app.engine, caller, &wanted, true)?;
        // Somebody else may have ruled since the page was shown.
        if text(&plan, "before") != form.text("before") {
            let now = text(&plan, "before");
            return Err(ApiError::illegal_argument(format!(
                "the field is {now} by now; look again"
            )));
        }
        let ruled = backend::rule(&call.app.engine, caller, &wanted, false)?;
        form::go_to(&match ruled["change"].as_u64() {
            Some(change) => crate::ui::changes::link_to(change).with("done", "proposed"),
            None => link_to(table, field).with("ruled", "1"),
        })
    })
}
