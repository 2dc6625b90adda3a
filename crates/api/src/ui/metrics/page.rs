//! One metric: its chart, how it is split, compared and since when, its numbers, its definition.

use super::ask::{Asked, ask};
use super::chart;
use super::declared::Declared;
use super::definition;
use super::journey::{self, Journey};
use super::numbers;
use super::question::{Chart, Compare, GRAINS, MetricQuestion, NONE};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::alerts::{self, Watching};
use crate::ui::dashboards;
use crate::ui::frame::{self, Page, Section};
use crate::ui::icon;
use crate::ui::link::Link;
use crate::ui::time_range::TimeRange;
use engine::Caller;
use maud::{Markup, html};

/// `GET /_ui/metrics/{name}`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Metrics, || render(call, caller))
}

fn render(call: &Call<'_>, caller: &Caller) -> Answer {
    let engine = &call.app.engine;
    let declared = backend::metric(engine, caller, call.request.part("name"))?;
    let metric = Declared::read(&declared)
        .ok_or_else(|| ApiError::internal("a declared metric has no name"))?;
    let mut question =
        MetricQuestion::read(&metric, &call.request.params).map_err(ApiError::illegal_argument)?;
    if let Some(journey) = Journey::of(&metric) {
        return render_journey(call, caller, &declared, &metric, journey, &question);
    }
    let answer = ask(engine, caller, &metric, &mut question);
    let mut watching = Watching::of(call, caller, &metric);
    if let Ok(asked) = &answer
        && question.chart == Chart::Line
    {
        watching.draw(call, caller, &metric, &question, asked);
    }
    let title = format!("{} · Metrics", metric.label);
    let content = html! {
        (head(call, caller, &metric, &question))
        (controls(&metric, &question))
        @match &answer {
            Err(error) => (frame::failure(error)),
            Ok(asked) if asked.numbers.is_empty() => (nothing(&question)),
            Ok(asked) => (answered(caller, &metric, &question, asked, &watching)),
        }
        @if !answer.as_ref().is_ok_and(|asked| !asked.numbers.is_empty()) { (watching.panel(caller, &metric, &question)) }
        section.panel aria-labelledby="definition" { (definition::show(&declared)) }
        @if let Ok(asked) = &answer { (frame::code_box("As SQL", asked.sql())) }
        (curl(call, &question))
    };
    let page = Page::new(caller, Section::Metrics, &title);
    Ok(Page { has_chart: true, ..page }.reply(content))
}

/// The page of a funnel, or of cohorts.
fn render_journey(
    call: &Call<'_>,
    caller: &Caller,
    declared: &serde_json::Value,
    metric: &Declared,
    journey: Journey,
    question: &MetricQuestion,
) -> Answer {
    let mut question = question.clone();
    if !question.by_is_chosen {
        question.by.clear();
    }
    let answer = journey::ask(&call.app.engine, caller, metric, journey, &question);
    let title = format!("{} · Metrics", metric.label);
    let content = html! {
        (head(call, caller, metric, &question))
        (controls(metric, &question))
        @match &answer {
            Err(error) => (frame::failure(error)),
            Ok(answer) if journey::is_empty(answer) => (nothing(&question)),
            Ok(answer) => section.panel aria-label="Chart" { (journey::draw(metric, journey, &question, answer)) },
        }
        section.panel aria-labelledby="definition" { (definition::show(declared)) }
        @if let Ok(answer) = &answer { (frame::code_box("As SQL", answer["sql"].as_str().unwrap_or(""))) }
        (curl(call, &question))
    };
    Ok(Page::new(caller, Section::Metrics, &title).reply(content))
}

fn head(call: &Call<'_>, caller: &Caller, metric: &Declared, question: &MetricQuestion) -> Markup {
    let file = |ending| question.put_into(Link::to("/_ui/metrics").part(&metric.name).part(ending));
    let create = alerts::create_link(caller, metric, question);
    let create = create.filter(|_| Journey::of(metric).is_none());
    html! {
        div.page-head.with-actions {
            div {
                p.crumbs { a href="/_ui/metrics" { "Metrics" } }
                h1 { (metric.label) }
                p.sub {
                    code { (metric.name) }
                    span.badge { (metric.kind) }
                    @if !metric.made_of.is_empty() { span.faint { (metric.made_of) } }
                }
                @if !metric.description.is_empty() { p.hint { (metric.description) } }
            }
            div.actions {
                (dashboards::add_metric(call, caller, metric, question))
                @if let Some(create) = &create {
                    a.button href=(create) { (icon::bell()) "Create alert" }
                }
                @if Journey::of(metric).is_none() {
                    a.button href=(file("csv")) download { (icon::download()) "CSV" }
                    a.button href=(file("svg")) download { (icon::download()) "SVG" }
                }
            }
        }
    }
}

fn controls(metric: &Declared, question: &MetricQuestion) -> Markup {
    let link = question.link();
    let grain = question.grain.as_ref().or(metric.grain.as_ref());
    html! {
        div.bar.controls {
            @if !metric.dimensions.is_empty() {
                div.segments role="group" aria-label="Split by" {
                    span.segments-label { "Split by" }
                    a href=(link.clone().with("by", NONE)) aria-current=[question.by.is_empty().then_some("true")] { "nothing" }
                    @for name in &metric.dimensions {
                        a href=(link.clone().with("by", name.as_str())) aria-current=[question.by.contains(name).then_some("true")] { (name) }
                    }
                }
            }
            // A funnel is one number for each step, whatever the time.
            @if Journey::of(metric) != Some(Journey::Funnel) {
                div.segments role="group" aria-label="Step" {
                    span.segments-label { "Per" }
                    @for one in GRAINS {
                        a href=(link.clone().with("grain", *one)) aria-current=[(grain.map(String::as_str) == Some(*one)).then_some("true")] { (one) }
                    }
                }
            }
            @if Journey::of(metric).is_none() { div.segments role="group" aria-label="Compare with" {
                span.segments-label { "Compare" }
                a href=(link.clone().without("compare")) aria-current=[question.compare.is_none().then_some("true")] { "no" }
                @for one in [Compare::Previous, Compare::Year] {
                    a href=(link.clone().with("compare", one.word())) aria-current=[(question.compare == Some(one)).then_some("true")] { (one.name()) }
                }
            } }
            // Shares of different wholes do not stand upon each other.
            @if Journey::of(metric).is_none() && (!metric.is_ratio() || question.by.is_empty()) {
                div.segments role="group" aria-label="Draw as" {
                    span.segments-label { "As" }
                    @for (one, name) in [(Chart::Line, "lines"), (Chart::Bars, "bars")] {
                        a href=(link.clone().with("chart", one.word())) aria-current=[(question.chart == one).then_some("true")] { (name) }
                    }
                }
            }
            (question.range.picker(&link))
        }
        (filters(metric, question))
    }
}

/// The filters that are set, and a form for one more.
fn filters(metric: &Declared, question: &MetricQuestion) -> Markup {
    let link = question.link();
    html! {
        @if !metric.dimensions.is_empty() {
            div.filter-row {
                @if !question.filters.is_empty() {
                    ul.chips aria-label="Filters" {
                        @for (place, (name, value)) in question.filters.iter().enumerate() {
                            li {
                                span { (name) " = " strong { (value) } }
                                a.quiet href=(without(question, place)) title="Remove this filter" aria-label={ "Remove the filter " (name) " = " (value) } { "×" }
                            }
                        }
                    }
                }
                details.popover.add-filter data-popover {
                    summary.button.small { (icon::plus()) "Filter" }
                    form.stack.popover-form method="get" action=(link.path()) {
                        @for (name, value) in link.params() { input type="hidden" name=(name) value=(value); }
                        label { span { "Dimension" }
                            select name="dimension" { @for name in &metric.dimensions { option value=(name) { (name) } } }
                        }
                        label { span { "Is" } input name="value" required autocomplete="off" spellcheck="false"; }
                        button.button.primary type="submit" { "Filter" }
                    }
                }
            }
        }
    }
}

/// The URL without one of the filters.
fn without(question: &MetricQuestion, place: usize) -> Link {
    let mut other = question.clone();
    other.filters.remove(place);
    other.link()
}

fn answered(
    caller: &Caller,
    metric: &Declared,
    question: &MetricQuestion,
    asked: &Asked,
    watching: &Watching,
) -> Markup {
    html! {
        @if asked.is_moved {
            p.notice.quiet-notice role="status" { "Nothing in the last 30 days. Showing the newest 30 days that have numbers." }
        }
        @if question.compare.is_some() && asked.before.is_none() {
            p.notice.quiet-notice role="status" { "All time has nothing before it to compare with. Choose a range." }
        }
        section.panel aria-label="Chart" {
            (chart::draw_watched(metric, question, asked, chart::PAGE_WIDTH, Some(watching)))
            (numbers::summary(metric, question, asked))
        }
        (watching.panel(caller, metric, question))
        section.panel aria-labelledby="all-numbers" {
            h2 #all-numbers { "All numbers" }
            (numbers::table(metric, &asked.numbers))
        }
    }
}

fn nothing(question: &MetricQuestion) -> Markup {
    let everything =
        TimeRange { from: "all".to_owned(), to: String::new(), span: None, is_chosen: true };
    let all_time = everything.put_into(question.link());
    frame::empty(
        "No numbers in this range",
        html! {
            a href=(all_time) { "Show all time" }
            @if !question.filters.is_empty() { " or " a href=(question.link().without("where")) { "drop the filters" } }
            "."
        },
    )
}

fn curl(call: &Call<'_>, question: &MetricQuestion) -> Markup {
    let path = Link::to("/_clerestory/metrics").part(&question.name);
    let request = call.request;
    let host = frame::host(request);
    let body = format!("{:#}", question.body());
    frame::as_curl(&frame::curl(&host, request.peer.secure, "POST", &path, &body))
}
