//! "Alert": the number of a search's hits becomes a declared metric, which is what alerts look at.
//!
//! The search is saved first, and the metric is made of what was kept: so a declared condition never
//! holds a value that says who somebody is, only the pseudonym that stands in the rows.

use super::condition::conditions;
use super::question::SearchQuestion;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form::{self, Form};
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::saved::Kept;
use engine::{Action, Caller, NewSaved, SavedKind};
use hyper::StatusCode;
use maud::{Markup, html};
use model::{Class, FieldType, Table};
use serde_json::json;
use std::sync::Arc;

/// `GET /_ui/search/alert`: what an alert on this search would look at.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || {
        let question = SearchQuestion::read(call.request).map_err(ApiError::illegal_argument)?;
        let table = table(call, caller, &question.table)?;
        let kept = Kept::of_search(call.request, &question.table);
        let metric = Metric::of(&kept, &table, "NAME", "LABEL");
        let content = html! {
            div.page-head {
                p.crumbs { a href=(kept.link()) { "Search " (question.table) } }
                h1 { "Alert on this search" }
                p.sub { "An alert looks at a declared metric. This declares one: how many hits the search has, hour by hour, whatever range the page shows." }
            }
            @match (metric, backend::may(caller, Action::DefineMetric)) {
                (_, false) => (frame::empty("Your roles do not declare metrics", html! {
                    "Ask an analyst to make it, or a guardian for the role. The link of this page says the search."
                })),
                (Err(why), true) => (frame::empty("No metric can be made of this search", html! {
                    (why) " " a href=(kept.link()) { "Change the search" }
                })),
                (Ok(metric), true) => (make_form(&kept, &metric)),
            }
        };
        Ok(Page::new(caller, Section::Search, "Alert on a search").reply(content))
    })
}

fn make_form(kept: &Kept, metric: &Metric) -> Markup {
    html! {
        form.panel.stack.narrow-form method="post" action="/_ui/search/alert" {
            (kept.fields())
            label { span { "What people call it" } input name="label" required maxlength="120" autocomplete="off" placeholder="Failed hand-shakes"; }
            label { span { "Name of the metric " span.faint { "letters, digits, _ and -" } }
                input name="metric" required maxlength="100" pattern="[A-Za-z][A-Za-z0-9_\\-]*" autocomplete="off" spellcheck="false" placeholder="failed_handshakes";
            }
            label.tick-label { input type="checkbox" name="shared" value="1" checked; "Everybody who may ask for data may open the search" }
            p.hint {
                "The search is saved under what people call it, and the metric counts its hits"
                @if metric.dimensions.is_empty() { ". Choose columns on the search page to have groups with an alert each." }
                @else { ", in groups by " (metric.dimensions.join(", ")) " where an alert wants that." }
            }
            div { button.button.primary type="submit" { "Declare it, then choose when to tell" } }
        }
        h2 { "What is declared" }
        (frame::code_frame(&metric.yaml))
    }
}

/// `POST /_ui/search/alert`: saves the search, declares the metric, and leads to the alert's form.
pub(in crate::ui) fn make(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || {
        let engine = &call.app.engine;
        let form = Form::read(call.request)?;
        let kept = Kept::of_form(&form)?;
        let table = table(call, caller, kept.param("table"))?;
        if !backend::may(caller, Action::DefineMetric) {
            return Err(ApiError::forbidden("your roles do not let you declare metrics"));
        }
        let (name, label) = (form.text("metric").trim(), form.text("label").trim());
        if backend::metric(engine, caller, name).is_ok() {
            let reason = format!("there is a metric `{name}` already; give this one another name");
            let kind = "resource_already_exists_exception";
            return Err(ApiError::new(StatusCode::CONFLICT, kind, reason));
        }
        let wanted = NewSaved {
            name: label.to_owned(),
            description: format!("Counted by the metric {name}."),
            is_shared: form.word("shared").is_some(),
            body: kept.body(),
        };
        let saved = backend::save(engine, caller, SavedKind::Search, &wanted)?;
        declare(call, caller, &Kept::of(&saved), &table, name, label).inspect_err(|_| {
            // Nothing counts it.
            let gone = backend::delete_saved(engine, caller, SavedKind::Search, &saved.id);
            if let Err(error) = gone {
                tracing::warn!(status = %error.status(), "a search without a metric stays");
            }
        })?;
        form::go_to(&Link::to("/_ui/new-alert").with("metric", name).with("grain", "hour"))
    })
}

fn declare(
    call: &Call<'_>,
    caller: &Caller,
    kept: &Kept,
    table: &Table,
    name: &str,
    label: &str,
) -> Result<(), ApiError> {
    let metric = Metric::of(kept, table, name, label).map_err(ApiError::illegal_argument)?;
    match backend::apply_metrics(&call.app.engine, caller, &metric.yaml)? {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::internal("a metric without tests failed one")),
    }
}

fn table(call: &Call<'_>, caller: &Caller, name: &str) -> Result<Arc<Table>, ApiError> {
    let tables = backend::tables(&call.app.engine, caller, name)?;
    let first = tables.into_iter().next();
    first.ok_or_else(|| ApiError::not_found("There is no such table."))
}

/// The metric that counts a search's hits.
struct Metric {
    yaml: String,
    /// The chosen columns that rows can be grouped by.
    dimensions: Vec<String>,
}

impl Metric {
    /// # Errors
    /// Why there is none.
    fn of(kept: &Kept, table: &Table, name: &str, label: &str) -> Result<Metric, String> {
        let Some(time) = &table.time_field else {
            return Err("Its rows have no time, so there are no hours to compare.".to_owned());
        };
        let conditions = conditions(kept.param("q"), table)?;
        let groups = |column: &&str| {
            table.schema.find(column).is_some_and(|(_, field)| {
                field.ty == FieldType::Keyword && field.class == Some(Class::Open)
            })
        };
        let columns = kept.param("columns").split(',').map(str::trim).filter(groups);
        let dimensions: Vec<String> = columns.map(str::to_owned).collect();
        // A text of JSON is one of YAML, too.
        let text = |text: &str| json!(text).to_string();
        let mut yaml = format!(
            "measures:\n  - name: hits\n    table: {}\n    time: {}\n    agg: count\n",
            text(table.name.as_str()),
            text(time)
        );
        if !conditions.is_empty() {
            yaml.push_str(&format!("    filter: {}\n", text(&conditions.join(" AND "))));
        }
        yaml.push_str(&format!(
            "metrics:\n  - name: {}\n    label: {}\n    description: {}\n    type: simple\n    \
             measure: hits\n    grain: hour\n    dimensions: {}\n",
            text(name),
            text(label),
            text("Hits of the saved search of this name."),
            json!(dimensions),
        ));
        Ok(Metric { yaml, dimensions })
    }
}
