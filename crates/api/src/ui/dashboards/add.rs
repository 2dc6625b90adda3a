//! "Add to dashboard": what somebody looks at becomes a panel.

use super::{edit, link_to};
use crate::backend;
use crate::error::Answer;
use crate::route::Call;
use crate::ui::form::{self, Form};
use crate::ui::frame::{self, Section};
use crate::ui::icon;
use crate::ui::metrics::{Declared, MetricQuestion};
use engine::{Caller, Dashboard, NewSaved, Panel, Saved, SavedKind};
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

/// The button, for whatever `asked` has as hidden fields. Saved searches use it, too.
pub(in crate::ui) fn add_form(call: &Call<'_>, caller: &Caller, asked: &Markup) -> Markup {
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
        let panel = Panel {
            title: form.word("title").unwrap_or("").to_owned(),
            width: edit::width(&form)?.unwrap_or(6),
            shows: edit::shows(&form),
        };
        let saved = match form.word("dashboard") {
            Some(id) => edit::append(call, caller, id, panel)?,
            None => {
                let board = Dashboard { panels: vec![panel], ..Dashboard::default() };
                let wanted = NewSaved {
                    name: form.text("name").to_owned(),
                    description: String::new(),
                    is_shared: false,
                    body: board.to_json(),
                };
                backend::save(&call.app.engine, caller, SavedKind::Dashboard, &wanted)?
            }
        };
        let link = link_to(&saved.id);
        form::go_to(&match form.word("edit") {
            Some(_) => link.with("edit", "1"),
            None => link.with("done", "1"),
        })
    })
}
