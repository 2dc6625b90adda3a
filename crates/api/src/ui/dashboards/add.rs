//! "Add to dashboard": what somebody looks at becomes a panel.

use super::{edit, link_to};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form::{self, Form};
use crate::ui::frame::{self, Section};
use crate::ui::icon;
use crate::ui::metrics::{Declared, MetricQuestion};
use crate::ui::saved::Kept;
use engine::{Caller, Dashboard, NewSaved, Panel, PanelShows, Saved, SavedKind};
use maud::{Markup, html};

/// The button on a metric's page.
pub(in crate::ui) fn add_metric(
    call: &Call<'_>,
    caller: &Caller,
    metric: &Declared,
    question: &MetricQuestion,
) -> Markup {
    let chart = Some(question.chart.word()).filter(|word| !word.is_empty()).unwrap_or("line");
    let asked = html! {
        input type="hidden" name="metric" value=(metric.name);
        input type="hidden" name="chart" value=(chart);
        input type="hidden" name="by" value=(question.by.join(","));
        input type="hidden" name="grain" value=(question.grain.as_deref().unwrap_or(""));
        @if let Some(compare) = question.compare { input type="hidden" name="compare" value=(compare.word()); }
        @for (name, value) in &question.filters { input type="hidden" name="where" value={ (name) ":" (value) }; }
    };
    add_form(call, caller, &asked)
}

/// The button on the search page.
pub(in crate::ui) fn add_search(call: &Call<'_>, caller: &Caller, kept: &Kept) -> Markup {
    let asked = html! {
        (kept.fields())
        label { span { "Shown as" }
            select name="show" { @for (show, name) in edit::SHOWN { option value=(show) { (name) } } }
        }
        label { span { "Title" } input name="title" value={ "Hits in " (kept.param("table")) } required maxlength="120" autocomplete="off"; }
        p.hint { "The search is saved under this title, and shared as the dashboard is." }
    };
    add_form(call, caller, &asked)
}

/// The button, with the fields of `asked` in its form.
fn add_form(call: &Call<'_>, caller: &Caller, asked: &Markup) -> Markup {
    let all = backend::saved(&call.app.engine, caller, SavedKind::Dashboard).unwrap_or_default();
    let name = backend::who(caller).name;
    let mine: Vec<&Saved> = all.iter().filter(|saved| saved.owner == name).collect();
    html! {
        details.popover data-popover {
            summary.button { (icon::dashboard()) "Add to dashboard" }
            form.stack.popover-form method="post" action="/_ui/dashboards/add" {
                (asked)
                @if !mine.is_empty() {
                    label { span { "Dashboard" }
                        select name="dashboard" {
                            @for saved in &mine { option value=(saved.id) { (saved.name) } }
                            option value="" { "a new one" }
                        }
                    }
                }
                label { span { "Name of a new one" } input name="name" maxlength="120" autocomplete="off" required[mine.is_empty()]; }
                button.button.primary type="submit" { "Add" }
            }
        }
    }
}

/// `POST /_ui/dashboards/add`: a panel at the end of a dashboard, or the first of a new one.
pub(in crate::ui) fn add(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Dashboards, || {
        let form = Form::read(call.request)?;
        let mut panel = Panel {
            title: form.word("title").unwrap_or("").to_owned(),
            width: edit::width(&form)?.unwrap_or(6),
            shows: edit::shows(&form),
        };
        let saved = match form.word("page") {
            None => place(call, caller, &form, panel)?,
            Some(_) => {
                let search = save_search(call, caller, &form)?;
                let show = form.word("show").unwrap_or("histogram").to_owned();
                panel.shows = PanelShows::Search { search: search.clone(), show };
                place(call, caller, &form, panel).inspect_err(|_| {
                    // Nothing shows it.
                    let kind = SavedKind::Search;
                    let gone = backend::delete_saved(&call.app.engine, caller, kind, &search);
                    if let Err(error) = gone {
                        tracing::warn!(status = %error.status(), "a search without a panel stays");
                    }
                })?
            }
        };
        let link = link_to(&saved.id);
        form::go_to(&match form.word("edit") {
            Some(_) => link.with("edit", "1"),
            None => link.with("done", "1"),
        })
    })
}

/// Puts a panel on the dashboard that a form chose, or on a new one.
fn place(call: &Call<'_>, caller: &Caller, form: &Form, panel: Panel) -> Result<Saved, ApiError> {
    if let Some(id) = form.word("dashboard") {
        return edit::append(call, caller, id, panel);
    }
    let board = Dashboard { panels: vec![panel], ..Dashboard::default() };
    let wanted = NewSaved {
        name: form.text("name").to_owned(),
        description: String::new(),
        is_shared: false,
        body: board.to_json(),
    };
    backend::save(&call.app.engine, caller, SavedKind::Dashboard, &wanted)
}

/// Keeps the question of the search page under the title of its panel; gives its id.
fn save_search(call: &Call<'_>, caller: &Caller, form: &Form) -> Result<String, ApiError> {
    let kept = Kept::of_form(form)?;
    if kept.is_sql() {
        return Err(ApiError::illegal_argument("a panel shows a metric or a search, not SQL"));
    }
    let wanted = NewSaved {
        name: form.text("title").to_owned(),
        description: String::new(),
        is_shared: false,
        body: kept.body(),
    };
    Ok(backend::save(&call.app.engine, caller, SavedKind::Search, &wanted)?.id)
}
