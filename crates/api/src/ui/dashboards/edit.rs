//! Changing a dashboard: each step is a form and makes a version, so that any can be undone.

use super::{content, link_to};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form::{self, Form};
use crate::ui::frame::{self, Section};
use crate::ui::link::Link;
use crate::ui::metrics;
use crate::ui::shown::time;
use engine::{Caller, Dashboard, NewSaved, Panel, PanelShows, Saved, SavedKind, Variable};
use maud::{Markup, html};
use serde_json::json;
use std::collections::BTreeSet;

/// How wide a panel may be, and what people call it.
const WIDTHS: [(u8, &str); 5] =
    [(3, "quarter"), (4, "third"), (6, "half"), (8, "two thirds"), (12, "whole")];

/// How a search may be shown, and what people call it.
pub(super) const SHOWN: [(&str, &str); 3] =
    [("histogram", "hits over time"), ("rows", "newest hits"), ("count", "number of hits")];

/// The forms under a panel that is being changed.
pub(super) fn panel_forms(saved: &Saved, panel: &Panel, place: usize, count: usize) -> Markup {
    let to = link_to(&saved.id).part("panels").part(&place.to_string());
    html! {
        form.panel-forms method="post" action=(to) {
            input type="hidden" name="version" value=(saved.version);
            label { span { "Title" } input name="title" value=(panel.title) maxlength="120" placeholder="as the metric"; }
            label { span { "Width" }
                select name="width" { @for (width, name) in WIDTHS { option value=(width) selected[width == panel.width] { (name) } } }
            }
            button.button.small type="submit" name="do" value="save" { "Apply" }
            button.button.small type="submit" name="do" value="earlier" disabled[place == 0] aria-label="Move earlier" { "←" }
            button.button.small type="submit" name="do" value="later" disabled[place + 1 == count] aria-label="Move later" { "→" }
            button.button.small type="submit" name="do" value="remove" { "Remove" }
        }
    }
}

/// The forms at the end of a dashboard that is being changed.
pub(super) fn forms(
    call: &Call<'_>,
    caller: &Caller,
    saved: &Saved,
    dashboard: &Dashboard,
) -> Markup {
    html! {
        div.columns {
            section.panel aria-labelledby="add-panel" {
                h2 #add-panel { "Add a panel" }
                (add_form(call, caller, saved))
            }
            section.panel aria-labelledby="settings" {
                h2 #settings { "Settings" }
                (settings_form(saved, dashboard))
                details.code-box {
                    summary { "Versions" }
                    ul.plain { @for (version, at) in &saved.history {
                        li { a href=(link_to(&saved.id).with("version", version.to_string())) { "Version " (version) } " " (time(&at.to_rfc3339())) }
                    } }
                }
                details.code-box {
                    summary { "Delete" }
                    form.form-foot method="post" action=(link_to(&saved.id).part("delete")) {
                        p.hint { "It goes with all its versions; links to it will lead nowhere." }
                        button.button.danger type="submit" { "Delete the dashboard" }
                    }
                }
            }
        }
    }
}

fn add_form(call: &Call<'_>, caller: &Caller, saved: &Saved) -> Markup {
    let engine = &call.app.engine;
    let declared = metrics::declared(engine, caller).unwrap_or_default();
    let searches = backend::saved(engine, caller, SavedKind::Search).unwrap_or_default();
    let dimensions: BTreeSet<&String> =
        declared.iter().flat_map(|metric| &metric.dimensions).collect();
    html! {
        form.stack method="post" action="/_ui/dashboards/add" {
            input type="hidden" name="dashboard" value=(saved.id);
            input type="hidden" name="edit" value="1";
            label { span { "Metric" }
                select name="metric" { @for metric in &declared { option value=(metric.name) { (metric.label) } } }
            }
            div.pair-of-fields {
                label { span { "Split by " span.faint { "dimension" } } input name="by" placeholder="nothing" autocomplete="off" spellcheck="false" list="dimensions"; }
                label { span { "Drawn as" }
                    select name="chart" {
                        option value="line" { "lines" } option value="bars" { "bars" }
                        option value="number" { "newest number" } option value="table" { "table" }
                    }
                }
                label { span { "Width" }
                    select name="width" { @for (width, name) in WIDTHS { option value=(width) selected[width == 6] { (name) } } }
                }
            }
            datalist #dimensions {
                @for name in &dimensions { option value=(name) {} }
            }
            div { button.button.primary type="submit" { "Add the metric" } }
        }
        @if !searches.is_empty() {
            form.stack.says method="post" action="/_ui/dashboards/add" {
                input type="hidden" name="dashboard" value=(saved.id);
                input type="hidden" name="edit" value="1";
                div.pair-of-fields {
                    label { span { "Saved search" }
                        select name="search" { @for search in &searches { option value=(search.id) { (search.name) } } }
                    }
                    label { span { "Shown as" }
                        select name="show" { @for (show, name) in SHOWN { option value=(show) { (name) } } }
                    }
                }
                div { button.button type="submit" { "Add the search" } }
            }
        }
    }
}

fn settings_form(saved: &Saved, dashboard: &Dashboard) -> Markup {
    let names: Vec<&str> = dashboard.variables.iter().map(|one| one.name.as_str()).collect();
    html! {
        form.stack method="post" action=(link_to(&saved.id).part("settings")) {
            input type="hidden" name="version" value=(saved.version);
            label { span { "Name" } input name="name" value=(saved.name) required maxlength="120"; }
            label { span { "What it is for" } textarea name="description" rows="2" maxlength="2000" { (saved.description) } }
            div.pair-of-fields {
                label { span { "Range begins " span.faint { "such as now-30d" } } input name="from" value=(dashboard.from) placeholder="now-30d" spellcheck="false" autocomplete="off"; }
                label { span { "Variables " span.faint { "dimensions, with commas" } } input name="variables" value=(names.join(", ")) placeholder="model, region" spellcheck="false" autocomplete="off"; }
            }
            label.tick-label { input type="checkbox" name="shared" value="1" checked[saved.is_shared]; "Everybody who may ask for data may open it, and your searches on it" }
            div { button.button.primary type="submit" { "Save settings" } }
        }
    }
}

/// `POST /_ui/dashboards`: a new one, empty.
pub(in crate::ui) fn create(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Dashboards, || {
        let form = Form::read(call.request)?;
        let wanted = NewSaved {
            name: form.text("name").to_owned(),
            description: String::new(),
            is_shared: false,
            body: json!({ "panels": [] }),
        };
        let saved = backend::save(&call.app.engine, caller, SavedKind::Dashboard, &wanted)?;
        form::go_to(&link_to(&saved.id).with("edit", "1"))
    })
}

/// `POST /_ui/dashboards/{id}/copy`: one of one's own with the same panels.
pub(in crate::ui) fn copy(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Dashboards, || {
        let engine = &call.app.engine;
        let id = call.request.part("id");
        let saved = backend::saved_object(engine, caller, SavedKind::Dashboard, id, None)?;
        let wanted = NewSaved { is_shared: false, ..again(&saved) };
        let copied = backend::save(engine, caller, SavedKind::Dashboard, &wanted)?;
        form::go_to(&link_to(&copied.id).with("done", "1"))
    })
}

/// `POST /_ui/dashboards/{id}/delete`.
pub(in crate::ui) fn delete(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Dashboards, || {
        let id = call.request.part("id");
        backend::delete_saved(&call.app.engine, caller, SavedKind::Dashboard, id)?;
        form::go_to(&Link::to("/_ui/dashboards"))
    })
}

/// `POST /_ui/dashboards/{id}/restore`: an older version becomes the newest.
pub(in crate::ui) fn restore(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Dashboards, || {
        let engine = &call.app.engine;
        let (kind, id) = (SavedKind::Dashboard, call.request.part("id"));
        let version = Form::read(call.request)?.text("version").parse::<u32>();
        let version = version.map_err(|_| ApiError::illegal_argument("[version] is a number"))?;
        let older = backend::saved_object(engine, caller, kind, id, Some(version))?;
        let newest = backend::saved_object(engine, caller, kind, id, None)?;
        backend::save_again(engine, caller, kind, id, newest.version, &again(&older))?;
        form::go_to(&link_to(id).with("done", "1"))
    })
}

/// `POST /_ui/dashboards/{id}/settings`.
pub(in crate::ui) fn save_settings(call: &Call<'_>, caller: &Caller) -> Answer {
    edit(call, caller, |wanted, dashboard, form| {
        wanted.name = form.text("name").to_owned();
        wanted.description = form.text("description").to_owned();
        wanted.is_shared = form.word("shared").is_some();
        dashboard.from = form.word("from").unwrap_or("").to_owned();
        let names = form.text("variables").split(',').map(str::trim);
        let kept = |name: &str| {
            let known = dashboard.variables.iter().find(|one| one.name == name);
            known.map_or(String::new(), |one| one.value.clone())
        };
        dashboard.variables = names
            .filter(|name| !name.is_empty())
            .map(|name| Variable { name: name.to_owned(), value: kept(name) })
            .collect();
        Ok(())
    })
}

/// `POST /_ui/dashboards/{id}/panels/{place}`: its title and width, its place, or away with it.
pub(in crate::ui) fn change_panel(call: &Call<'_>, caller: &Caller) -> Answer {
    let place = call.request.part("place").parse::<usize>();
    edit(call, caller, |_, dashboard, form| {
        let count = dashboard.panels.len();
        let place = place.clone().ok().filter(|place| *place < count);
        let place = place.ok_or_else(|| ApiError::not_found("There is no such panel."))?;
        match form.text("do") {
            "remove" => {
                dashboard.panels.remove(place);
            }
            "earlier" if place > 0 => dashboard.panels.swap(place - 1, place),
            "later" if place + 1 < count => dashboard.panels.swap(place, place + 1),
            "earlier" | "later" => {}
            _ => {
                let panel = &mut dashboard.panels[place];
                panel.title = form.word("title").unwrap_or("").to_owned();
                panel.width = width(form)?.unwrap_or(panel.width);
            }
        }
        Ok(())
    })
}

/// The width that a form chose.
pub(super) fn width(form: &Form) -> Result<Option<u8>, ApiError> {
    let wrong = |_| ApiError::illegal_argument("[width] is a number of twelfths");
    form.word("width").map(str::parse).transpose().map_err(wrong)
}

/// The same content once more.
fn again(saved: &Saved) -> NewSaved {
    NewSaved {
        name: saved.name.clone(),
        description: saved.description.clone(),
        is_shared: saved.is_shared,
        body: saved.body.clone(),
    }
}

/// One step of editing: the version that the form was made from, changed, is the next one.
fn edit(
    call: &Call<'_>,
    caller: &Caller,
    change: impl FnOnce(&mut NewSaved, &mut Dashboard, &Form) -> Result<(), ApiError>,
) -> Answer {
    frame::guarded(caller, Section::Dashboards, || {
        let engine = &call.app.engine;
        let (kind, id) = (SavedKind::Dashboard, call.request.part("id"));
        let form = Form::read(call.request)?;
        let base = form.text("version").parse::<u32>();
        let base = base.map_err(|_| ApiError::illegal_argument("[version] is a number"))?;
        let newest = backend::saved_object(engine, caller, kind, id, None)?;
        let (mut wanted, mut dashboard) = (again(&newest), content(&newest)?);
        change(&mut wanted, &mut dashboard, &form)?;
        wanted.body = dashboard.to_json();
        backend::save_again(engine, caller, kind, id, base, &wanted)?;
        share_searches(call, caller, wanted.is_shared, &dashboard)?;
        form::go_to(&link_to(id).with("edit", "1"))
    })
}

/// Puts one more panel at the end of a dashboard of the caller's.
pub(super) fn append(
    call: &Call<'_>,
    caller: &Caller,
    id: &str,
    panel: Panel,
) -> Result<Saved, ApiError> {
    let engine = &call.app.engine;
    let kind = SavedKind::Dashboard;
    let newest = backend::saved_object(engine, caller, kind, id, None)?;
    let mut dashboard = content(&newest)?;
    dashboard.panels.push(panel);
    let wanted = NewSaved { body: dashboard.to_json(), ..again(&newest) };
    let saved = backend::save_again(engine, caller, kind, id, newest.version, &wanted)?;
    share_searches(call, caller, wanted.is_shared, &dashboard)?;
    Ok(saved)
}

/// Whoever may open a dashboard may open the searches of its owner that stand on it: a panel of a
/// private one would be empty for everybody else.
fn share_searches(
    call: &Call<'_>,
    caller: &Caller,
    is_shared: bool,
    dashboard: &Dashboard,
) -> Result<(), ApiError> {
    let engine = &call.app.engine;
    let name = backend::who(caller).name;
    for panel in dashboard.panels.iter().filter(|_| is_shared) {
        let PanelShows::Search { search, .. } = &panel.shows else { continue };
        // One that was deleted, or is another's and private, says so on its panel.
        let Ok(saved) = backend::saved_object(engine, caller, SavedKind::Search, search, None)
        else {
            continue;
        };
        if saved.owner == name && !saved.is_shared {
            let wanted = NewSaved { is_shared: true, ..again(&saved) };
            backend::save_again(engine, caller, saved.kind, &saved.id, saved.version, &wanted)?;
        }
    }
    Ok(())
}

/// What a form wants on a panel.
pub(super) fn shows(form: &Form) -> PanelShows {
    let text = |name: &str| form.word(name).unwrap_or("").to_owned();
    if let Some(search) = form.word("search") {
        return PanelShows::Search { search: search.to_owned(), show: text("show") };
    }
    let by = form.text("by").split(',').map(str::trim).filter(|name| !name.is_empty());
    let filters = form.all("where").filter_map(|text| text.split_once(':'));
    PanelShows::Metric {
        metric: text("metric"),
        chart: text("chart"),
        by: by.map(str::to_owned).collect(),
        grain: text("grain"),
        filters: filters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        compare: text("compare"),
    }
}
