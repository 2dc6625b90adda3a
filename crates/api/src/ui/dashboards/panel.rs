//! One panel: asked under the rights of whoever looks, drawn, or what stands in the way.

use super::view::View;
use super::{content, search};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use crate::ui::link::Link;
use crate::ui::metrics::{self, Chart, Compare, Declared, Journey, MetricQuestion};
use engine::{Caller, Panel, PanelShows, SavedKind};
use hyper::StatusCode;
use maud::{Markup, html};

/// `GET /_ui/dashboards/{id}/panels/{place}`: the inside of a panel.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    // A panel says what is wrong with itself; the others are still there. Its status is good, or
    // the page would not show it.
    let content = shown(call, caller).unwrap_or_else(|(title, error)| failed(&title, &error));
    Ok(Reply::page(content.into_string()))
}

fn shown(call: &Call<'_>, caller: &Caller) -> Result<Markup, (String, ApiError)> {
    let unnamed = |error: ApiError| ("Panel".to_owned(), error);
    let engine = &call.app.engine;
    let version = call.request.param("version").and_then(|version| version.parse().ok());
    let id = call.request.part("id");
    let saved = backend::saved_object(engine, caller, SavedKind::Dashboard, id, version)
        .map_err(unnamed)?;
    let dashboard = content(&saved).map_err(unnamed)?;
    let place = call.request.part("place").parse::<usize>().ok();
    let panel = place.and_then(|place| dashboard.panels.get(place));
    let panel = panel.ok_or_else(|| unnamed(ApiError::not_found("There is no such panel.")))?;
    let view = View::read(call.request, &dashboard)
        .map_err(|wrong| unnamed(ApiError::illegal_argument(wrong)))?;
    let drawn = match &panel.shows {
        PanelShows::Metric { .. } => metric(call, caller, panel, &view),
        PanelShows::Search { search, show } => {
            search::panel(call, caller, panel, (search, show), &view)
        }
    };
    drawn.map_err(|error| (name_of(panel), error))
}

/// What a panel is called before anything was asked.
fn name_of(panel: &Panel) -> String {
    match &panel.shows {
        _ if !panel.title.is_empty() => panel.title.clone(),
        PanelShows::Metric { metric, .. } => metric.clone(),
        PanelShows::Search { .. } => "Saved search".to_owned(),
    }
}

fn metric(
    call: &Call<'_>,
    caller: &Caller,
    panel: &Panel,
    view: &View,
) -> Result<Markup, ApiError> {
    let PanelShows::Metric { metric, chart, by, grain, filters, compare } = &panel.shows else {
        return Err(ApiError::internal("a panel of a metric has none"));
    };
    let engine = &call.app.engine;
    let declared = backend::metric(engine, caller, metric)?;
    let metric = Declared::read(&declared)
        .ok_or_else(|| ApiError::internal("a declared metric has no name"))?;
    let mut question = MetricQuestion::usual(&metric);
    question.grain = Some(grain.clone()).filter(|grain| !grain.is_empty());
    question.by.clone_from(by);
    question.filters.clone_from(filters);
    question.chart = Chart::parse(chart);
    question.compare = Compare::parse(compare);
    question.range = view.range.clone();
    let mut unused = Vec::new();
    for (name, value) in view.variables.iter().filter(|(_, value)| !value.is_empty()) {
        match metric.dimensions.contains(name) {
            true => question.filters.push((name.clone(), value.clone())),
            false => unused.push(name.as_str()),
        }
    }
    let title = if panel.title.is_empty() { &metric.label } else { &panel.title };
    if let Some(journey) = Journey::of(&metric) {
        let answer = metrics::ask_journey(engine, caller, &metric, journey, &question)?;
        return Ok(html! {
            (head(title, &question.link()))
            @if metrics::is_empty_journey(&answer) { (nothing("No numbers in this range", &question.link())) }
            @else { (metrics::draw_journey(&metric, journey, &question, &answer)) }
        });
    }
    let asked = metrics::ask(engine, caller, &metric, &mut question)?;
    Ok(html! {
        (head(title, &question.link()))
        @if !unused.is_empty() { p.hint { "Not narrowed by " (unused.join(", ")) ": the metric has no such dimension." } }
        @if asked.is_moved { p.hint { "Nothing in this range; the newest 30 days that have numbers." } }
        @if asked.numbers.is_empty() {
            (nothing("No numbers in this range", &question.link()))
        } @else if question.chart == Chart::Table {
            (metrics::summary(&metric, &question, &asked))
        } @else {
            (metrics::draw(&metric, &question, &asked, width(panel)))
            @if question.chart != Chart::Number && !question.by.is_empty() { (metrics::legend(&metric, &asked.numbers)) }
        }
    })
}

/// About how many pixels wide the inside of a panel is.
pub(super) fn width(panel: &Panel) -> f64 {
    f64::from(panel.width) * 88.0 - 36.0
}

/// What stands over a panel, leading to the whole of it.
pub(super) fn head(title: &str, to: &Link) -> Markup {
    html! { h2.panel-title { a href=(to) { (title) } } }
}

/// A panel without an answer, with the next step.
pub(super) fn nothing(title: &str, to: &Link) -> Markup {
    html! { div.panel-state data-state="empty" { p { (title) } p.hint { a href=(to) { "Open it" } " to choose another range." } } }
}

fn failed(title: &str, error: &ApiError) -> Markup {
    let next = match error.status() {
        StatusCode::FORBIDDEN => {
            "Your roles do not cover what it asks. Ask its owner what it needs, and a guardian for it."
        }
        StatusCode::NOT_FOUND => {
            "What it asks for was renamed or removed, or you may not know of it."
        }
        StatusCode::TOO_MANY_REQUESTS => "It will be asked again with the page.",
        StatusCode::REQUEST_TIMEOUT => "Choose a shorter range or a coarser step.",
        status if status.is_client_error() => "Its owner can change it.",
        _ => "The server's log has the cause.",
    };
    if let Some(detail) = error.detail() {
        tracing::error!(detail, "panel failed");
    }
    let state = if error.status() == StatusCode::FORBIDDEN { "no-permission" } else { "bad" };
    html! {
        h2.panel-title { (title) }
        div class={ "panel-state " (state) } data-state=(state) role="alert" { p { (error.reason()) } p.hint { (next) } }
    }
}
