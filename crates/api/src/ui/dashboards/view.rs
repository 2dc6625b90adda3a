//! One dashboard: its frame, its range and variables, and the places of its panels.

use super::edit;
use super::{USUAL_FROM, content, link_to};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::request::Request;
use crate::route::Call;
use crate::ui::form::asked;
use crate::ui::frame::{self, Page, Section};
use crate::ui::icon;
use crate::ui::link::Link;
use crate::ui::shown::{list, text, time};
use crate::ui::time_range::TimeRange;
use engine::{Caller, Dashboard, Engine, Panel, PanelShows, Saved, SavedKind};
use maud::{Markup, html};
use model::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

/// How often panels are asked again: what stands in the URL, and what people call it.
const REFRESH: [(&str, &str); 4] =
    [("", "Off"), ("30s", "30 seconds"), ("60s", "1 minute"), ("300s", "5 minutes")];
/// More values of a variable are typed on the metric's page.
const VALUES_MAX: usize = 200;

/// What the URL of a dashboard's page asks.
pub(super) struct View {
    pub(super) range: TimeRange,
    /// The variables with the values that count now; empty: all.
    pub(super) variables: Vec<(String, String)>,
    /// Whether it is being changed.
    is_edited: bool,
    is_full: bool,
    refresh: &'static str,
    /// An older version, if one was asked for.
    version: Option<u32>,
}

impl View {
    /// Reads a URL; what it does not say is as the dashboard says.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn read(request: &Request, dashboard: &Dashboard) -> Result<View, String> {
        let now = SystemClock.now().0;
        let from = asked(request, "from");
        let to = asked(request, "to").or(match from {
            None => Some(dashboard.to.as_str()),
            Some(_) => None,
        });
        let usual = Some(dashboard.from.as_str()).filter(|from| !from.is_empty());
        let range = TimeRange::read(from, to, usual.unwrap_or(USUAL_FROM), now)?;
        let range = TimeRange { is_chosen: from.is_some(), ..range };
        let chosen: Vec<(&str, &str)> = request
            .params
            .iter()
            .filter(|(name, _)| name == "where")
            .filter_map(|(_, text)| text.split_once(':'))
            .collect();
        let value = |name: &str, usual: &str| {
            let chosen = chosen.iter().rev().find(|(chosen, _)| *chosen == name);
            chosen.map_or(usual, |(_, value)| *value).to_owned()
        };
        let variables = dashboard.variables.iter();
        let refresh = asked(request, "refresh").unwrap_or("");
        Ok(View {
            range: range.starting_with_its_day(),
            variables: variables
                .map(|one| (one.name.clone(), value(&one.name, &one.value)))
                .collect(),
            is_edited: asked(request, "edit").is_some(),
            is_full: asked(request, "full").is_some(),
            refresh: REFRESH
                .iter()
                .find(|(word, _)| *word == refresh)
                .map_or("", |(word, _)| *word),
            version: asked(request, "version").and_then(|version| version.parse().ok()),
        })
    }

    /// The link with all of it.
    fn put_into(&self, link: Link) -> Link {
        let mut link = self.questions(link).with("refresh", self.refresh);
        if self.is_full {
            link = link.with("full", "1");
        }
        link
    }

    /// The link with what panels have to know.
    fn questions(&self, mut link: Link) -> Link {
        for (name, value) in &self.variables {
            link = link.and("where", format!("{name}:{value}"));
        }
        let version = self.version.map(|version| version.to_string());
        self.range.put_into(link.with("version", version.unwrap_or_default()))
    }
}

/// `GET /_ui/dashboards/{id}`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Dashboards, || render(call, caller))
}

fn render(call: &Call<'_>, caller: &Caller) -> Answer {
    let engine = &call.app.engine;
    let version = asked(call.request, "version").and_then(|version| version.parse().ok());
    let id = call.request.part("id");
    let saved = backend::saved_object(engine, caller, SavedKind::Dashboard, id, version)?;
    let dashboard = content(&saved)?;
    let mut view = View::read(call.request, &dashboard).map_err(ApiError::illegal_argument)?;
    let is_mine = saved.owner == backend::who(caller).name;
    view.is_edited &= is_mine && view.version.is_none();
    let title = format!("{} · Dashboards", saved.name);
    let content = html! {
        (head(&saved, &view, is_mine))
        @if asked(call.request, "done").is_some() {
            p.notice.good role="status" { "Saved." }
        }
        @if let Some(version) = view.version { (older(&saved, version, is_mine)) }
        (bar(engine, caller, &dashboard, &saved, &view))
        @if dashboard.panels.is_empty() && !view.is_edited { (no_panels(&saved, is_mine)) }
        div.board {
            @for (place, panel) in dashboard.panels.iter().enumerate() {
                (frame_of(&saved, &view, panel, place, dashboard.panels.len()))
            }
        }
        @if view.is_edited { (edit::forms(call, caller, &saved, &dashboard)) }
    };
    let page = Page::new(caller, Section::Dashboards, &title);
    Ok(Page { has_chart: true, is_full: view.is_full, ..page }.reply(content))
}

fn head(saved: &Saved, view: &View, is_mine: bool) -> Markup {
    let here = view.put_into(link_to(&saved.id));
    html! {
        div.page-head.with-actions {
            div {
                @if !view.is_full { p.crumbs { a href="/_ui/dashboards" { "Dashboards" } } }
                h1 { (saved.name) }
                p.sub {
                    span.badge { @if saved.is_shared { "shared" } @else { "private" } }
                    span.faint { (saved.owner) ", " (time(&saved.at.to_rfc3339())) }
                }
                @if !saved.description.is_empty() { p.hint { (saved.description) } }
            }
            div.actions {
                @if view.is_edited {
                    a.button.primary href=(here) { "Done" }
                } @else {
                    @if is_mine && view.version.is_none() { a.button href=(here.clone().with("edit", "1")) { (icon::edit()) "Edit" } }
                    @if !is_mine {
                        form method="post" action=(link_to(&saved.id).part("copy")) { button.button type="submit" { "Save a copy" } }
                    }
                    button.button type="button" data-copy-link title=[(!saved.is_shared).then_some("Only you can open it: it is private")] { (icon::link()) "Copy link" }
                    @if view.is_full {
                        a.button href=(here.clone().without("full")) data-leave-full { "Leave full screen" }
                    } @else {
                        a.button href=(here.with("full", "1")) { (icon::full_screen()) "Full screen" }
                    }
                }
            }
        }
    }
}

fn older(saved: &Saved, version: u32, is_mine: bool) -> Markup {
    html! {
        div.notice.warn role="status" {
            p.notice-title { "This is version " (version) "." }
            div.form-foot {
                a.button href=(link_to(&saved.id)) { "Show the newest" }
                @if is_mine {
                    form method="post" action=(link_to(&saved.id).part("restore")) {
                        input type="hidden" name="version" value=(version);
                        button.button type="submit" { "Make it the newest again" }
                    }
                }
            }
        }
    }
}

/// What counts for all panels: variables, how often they are asked, and the range.
fn bar(
    engine: &Engine,
    caller: &Caller,
    dashboard: &Dashboard,
    saved: &Saved,
    view: &View,
) -> Markup {
    let here = view.put_into(link_to(&saved.id));
    let kept = here.clone().without("where").without("refresh");
    let kept = if view.is_edited { kept.with("edit", "1") } else { kept };
    html! {
        div.bar.controls {
            form.variables method="get" action=(kept.path()) {
                @for (name, value) in kept.params() { input type="hidden" name=(name) value=(value); }
                @for (name, value) in &view.variables {
                    label {
                        span { (name) }
                        select name="where" data-submit {
                            option value={ (name) ":" } { "all" }
                            @for one in values(engine, caller, dashboard, name, value, &view.range) {
                                option value={ (name) ":" (one) } selected[one == *value] { (one) }
                            }
                        }
                    }
                }
                label {
                    span { "Refresh" }
                    select name="refresh" data-submit {
                        @for (word, label) in REFRESH { option value=(word) selected[word == view.refresh] { (label) } }
                    }
                }
                noscript { button.button type="submit" { "Apply" } }
            }
            (view.range.picker(&if view.is_edited { here.with("edit", "1") } else { here }))
        }
    }
}

/// The values that a variable may take: those of the first panel's metric that has the dimension.
fn values(
    engine: &Engine,
    caller: &Caller,
    dashboard: &Dashboard,
    name: &str,
    chosen: &str,
    range: &TimeRange,
) -> Vec<String> {
    let has_it = |metric: &str| {
        let declared = backend::metric(engine, caller, metric).ok()?;
        list(&declared, "dimensions").iter().any(|one| one == name).then_some(())
    };
    let mut metrics = dashboard.panels.iter().filter_map(|panel| match &panel.shows {
        PanelShows::Metric { metric, .. } => Some(metric),
        PanelShows::Search { .. } => None,
    });
    let known = metrics.find(|metric| has_it(metric).is_some());
    let mut values = known.map_or(Vec::new(), |metric| {
        let mut body = json!({ "grain": "total", "dimensions": [name] });
        if let Some((start, end)) = range.span {
            body["from"] = json!(Timestamp(start).to_rfc3339());
            body["to"] = json!(Timestamp(end).to_rfc3339());
        }
        let answer = backend::query_metric(engine, caller, metric, &body).unwrap_or(Value::Null);
        column(&answer, name)
    });
    if !chosen.is_empty() && !values.iter().any(|value| value == chosen) {
        values.push(chosen.to_owned());
    }
    values.sort();
    values.truncate(VALUES_MAX);
    values
}

/// The texts of a column of an answer.
fn column(answer: &Value, name: &str) -> Vec<String> {
    let columns = list(answer, "columns");
    let place = columns.iter().position(|column| text(column, "name") == name);
    let Some(place) = place else { return Vec::new() };
    let texts = list(answer, "rows").iter().filter_map(|row| row[place].as_str());
    let mut texts: Vec<String> = texts.map(str::to_owned).collect();
    texts.dedup();
    texts
}

fn no_panels(saved: &Saved, is_mine: bool) -> Markup {
    frame::empty(
        "No panel yet",
        html! {
            @if is_mine {
                a href=(link_to(&saved.id).with("edit", "1")) { "Add one here" }
                ", or open a " a href="/_ui/metrics" { "metric" } " and choose " em { "Add to dashboard" } "."
            } @else { "Its owner has not put anything on it." }
        },
    )
}

/// The place of a panel; what it shows is asked for once it is there.
fn frame_of(saved: &Saved, view: &View, panel: &Panel, place: usize, count: usize) -> Markup {
    let address = view.questions(link_to(&saved.id).part("panels").part(&place.to_string()));
    // Panels of a version that was changed meanwhile would not be those of this page.
    let address = address.with("version", saved.version.to_string());
    let trigger = match view.refresh {
        "" => "load".to_owned(),
        every => format!("load, every {every}"),
    };
    html! {
        section class={ "panel board-panel span-" (panel.width) } {
            div.panel-body hx-get=(address) hx-trigger=(trigger) hx-swap="innerHTML" {
                div.loading role="status" {
                    span { "Asking…" }
                    button.button.small type="button" data-cancel { "Cancel" }
                }
                noscript { a href=(address) { "Show this panel" } }
            }
            @if view.is_edited { (edit::panel_forms(saved, panel, place, count)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_their_column() {
        let answer = json!({
            "columns": [{ "name": "model" }, { "name": "n" }],
            "rows": [["a", 1], ["b", 2], [null, 3]],
        });
        assert_eq!(column(&answer, "model"), ["a", "b"]);
        assert!(column(&answer, "region").is_empty());
    }
}
