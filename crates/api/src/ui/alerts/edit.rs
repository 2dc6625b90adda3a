//! The form that declares an alert, with what it would have told of late, and saving it.

use super::chart;
use super::draft::{CONDITIONS, Draft, as_yaml};
use super::link_to;
use super::state::condition;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use crate::ui::form::{self, Form, asked};
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::metrics::{self, Declared, Journey, MetricQuestion};
use crate::ui::shown::{list, text};
use crate::ui::time_range::TimeRange;
use engine::Caller;
use maud::{Markup, html};
use model::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

/// How the past is chosen that an alert is tried on, and what people call it.
const PAST: [(&str, &str); 4] = [
    ("now-7d", "the last 7 days"),
    ("now-30d", "the last 30 days"),
    ("now-90d", "the last 90 days"),
    ("now-365d", "the last year"),
];

/// `GET /_ui/new-alert`: empty, filled in by a link, or with what it would have told.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Alerts, || {
        render(call, caller, &Form::of_link(call.request), None)
    })
}

/// `POST /_ui/new-alert`: declares it.
pub(in crate::ui) fn save(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Alerts, || {
        let form = Form::read(call.request)?;
        let draft = Draft::read(&form);
        match declare(call, caller, &draft) {
            Ok(()) => form::go_to(&link_to(&draft.name).with("done", "saved")),
            Err(error) => render(call, caller, &form, Some(error)),
        }
    })
}

fn declare(call: &Call<'_>, caller: &Caller, draft: &Draft) -> Result<(), ApiError> {
    let engine = &call.app.engine;
    let known = backend::alert(engine, caller, &draft.name);
    match (&known, draft.replaces.is_empty()) {
        (Ok(_), true) => {
            return Err(ApiError::illegal_argument(format!(
                "there is an alert [{}] already; choose another name, or edit that one",
                draft.name
            )));
        }
        (Ok(known), false) if text(known, "applied_at") != draft.base => {
            return Err(ApiError::illegal_argument(format!(
                "{} declared [{}] anew meanwhile; look at it, and edit it as it is now",
                text(known, "author"),
                draft.name
            )));
        }
        _ => {}
    }
    let rule = draft.rule().map_err(ApiError::illegal_argument)?;
    backend::apply_alerts(engine, caller, &as_yaml(&rule))?;
    Ok(())
}

fn render(
    call: &Call<'_>,
    caller: &Caller,
    form: &Form,
    error: Option<ApiError>,
) -> Result<Reply, ApiError> {
    let engine = &call.app.engine;
    let targets = backend::alert_targets(engine, caller)?;
    let draft = Draft::read(form);
    let declared = metrics::declared(engine, caller)?;
    let metric = declared.iter().find(|metric| metric.name == draft.metric);
    let title = if draft.replaces.is_empty() { "New alert" } else { "Edit an alert" };
    let status = error.as_ref().map(ApiError::status);
    let content = html! {
        div.page-head {
            p.crumbs { a href="/_ui/alerts" { "Alerts" } }
            h1 { (title) @if !draft.replaces.is_empty() { " " code { (draft.replaces) } } }
            p.sub { "It looks under your rights, for as long as you have them, and tells people what fires. It tells no group and no number." }
        }
        @if let Some(error) = &error { (frame::failure(error)) }
        @match metric {
            Some(metric) => (with_metric(call, caller, metric, &draft, form, &targets)),
            None => (choose_metric(&declared, &draft)),
        }
    };
    let page = Page { has_chart: true, ..Page::new(caller, Section::Alerts, title) };
    let reply = page.reply(content);
    Ok(match status {
        Some(status) => reply.with_status(status),
        None => reply,
    })
}

fn choose_metric(declared: &[Declared], draft: &Draft) -> Markup {
    let choices: Vec<&Declared> =
        declared.iter().filter(|metric| Journey::of(metric).is_none()).collect();
    html! {
        @if !draft.metric.is_empty() {
            div.notice.bad role="alert" { p.notice-title { "There is no metric “" (draft.metric) "” for you." } p { "Choose another one." } }
        }
        @if choices.is_empty() {
            (frame::empty("No metric is declared yet", html! {
                "An alert looks at a metric. Declare some in a YAML file: " code { "clerestory metric apply FILE" } "."
            }))
        } @else {
            form.panel.stack.narrow-form method="get" action="/_ui/new-alert" {
                label { span { "Metric that it looks at" }
                    select name="metric" { @for metric in &choices { option value=(metric.name) { (metric.label) } } }
                }
                p.hint { "Funnels and retentions are no series over hours or days, and cannot be looked at." }
                div { button.button.primary type="submit" { "Go on" } }
            }
        }
    }
}

fn with_metric(
    call: &Call<'_>,
    caller: &Caller,
    metric: &Declared,
    draft: &Draft,
    form: &Form,
    targets: &Value,
) -> Markup {
    let past = form.word("past").unwrap_or("now-30d");
    let is_other = !PAST.iter().any(|(known, _)| *known == past);
    let is_tried = asked(call.request, "preview").is_some();
    html! {
        @if is_tried { (preview(call, caller, metric, draft, form)) }
        form.panel.stack.alert-form method="get" action="/_ui/new-alert" {
            input type="hidden" name="metric" value=(metric.name);
            @if !draft.replaces.is_empty() {
                input type="hidden" name="replaces" value=(draft.replaces);
                input type="hidden" name="base" value=(draft.base);
            }
            (what(metric, draft))
            (when(metric, draft))
            (how(draft))
            (whom(draft, targets))
            div.form-foot {
                button.button.primary type="submit" formmethod="post" { @if draft.replaces.is_empty() { "Create alert" } @else { "Save alert" } }
                button.button type="submit" name="preview" value="1" { "Try it on" }
                label { span.unseen { "Past that it is tried on" }
                    select name="past" {
                        @if is_other { option value=(past) selected { (past.replace("..", " to ")) } }
                        @for (from, name) in PAST { option value=(from) selected[from == past] { (name) } }
                    }
                }
                span.hint { "Trying changes nothing and tells nobody." }
            }
        }
    }
}

/// What is looked at.
fn what(metric: &Declared, draft: &Draft) -> Markup {
    html! {
        fieldset {
            legend { "What" }
            p { "The metric " a.inline href=(metrics::link_to(&metric.name)) { (metric.label) } " " code { (metric.name) } }
            div.pair-of-fields {
                label { span { "Name " span.faint { "a-z, 0-9, - and _" } }
                    input name="name" value=(draft.name) required maxlength="64" pattern="[a-z0-9_\\-]+" readonly[!draft.replaces.is_empty()] autocomplete="off" spellcheck="false";
                }
                label { span { "What people call it" }
                    input name="label" value=(draft.label) maxlength="200" autocomplete="off" placeholder=(metric.label);
                }
            }
            div.pair-of-fields {
                div.choice role="group" aria-label="Intervals" {
                    span.group-label { "Intervals that are looked at" }
                    div.ticks {
                        @for (grain, name) in [("hour", "hours"), ("day", "days")] {
                            label.tick-label { input type="radio" name="grain" value=(grain) checked[draft.grain == grain]; (name) }
                        }
                    }
                }
                @if !metric.dimensions.is_empty() {
                    div.choice role="group" aria-label="Split by" {
                        span.group-label { "Each value is a group of its own " span.faint { "up to three" } }
                        div.ticks {
                            @for name in &metric.dimensions {
                                label.tick-label { input type="checkbox" name="by" value=(name) checked[draft.by.contains(name)]; (name) }
                            }
                        }
                    }
                }
            }
            @if !metric.dimensions.is_empty() {
                label { span { "Only where " span.faint { "dimension:value, one a line" } }
                    textarea name="where" rows=(draft.filters.len().clamp(1, 6)) spellcheck="false" placeholder={ (metric.dimensions[0]) ":" } { (draft.filters.join("\n")) }
                }
            }
        }
    }
}

/// When it fires. Which fields belong to which choice is the style sheet's to show.
fn when(metric: &Declared, draft: &Draft) -> Markup {
    let example = if metric.is_ratio() { "20 %" } else { "100" };
    let option = |value: &'static str, name: &'static str, chosen: &str| html! { option value=(value) selected[chosen == value] { (name) } };
    html! {
        fieldset.conditions {
            legend { "When it " }
            div.ticks {
                @for (kind, name) in CONDITIONS {
                    label.tick-label { input type="radio" name="when" value=(kind) checked[draft.when == kind]; (name) }
                }
            }
            div.pair-of-fields.of-number {
                label { span { "From which number on" } input name="at" value=(draft.at) placeholder=(example) autocomplete="off"; }
                label { span { "Well again at " span.faint { "the same number, unless said" } } input name="clear" value=(draft.clear) autocomplete="off"; }
            }
            div.pair-of-fields.of-change {
                label { span { "Direction" }
                    select name="direction" {
                        (option("up", "up", &draft.direction)) (option("down", "down", &draft.direction)) (option("either", "either", &draft.direction))
                    }
                }
                label { span { "By at least " span.faint { @if metric.is_ratio() { "percentage points" } @else { "in its unit" } } } input name="at_least" value=(draft.at_least) placeholder=(if metric.is_ratio() { "10 %" } else { "20" }) autocomplete="off"; }
                label { span { "And so many deviations" } input name="deviations" value=(draft.deviations) inputmode="decimal" autocomplete="off"; }
                label { span { "Compared with" }
                    select name="season" {
                        (option("", "the usual season", &draft.season)) (option("week", "the same weekday (and hour)", &draft.season))
                        (option("day", "the same hour of the day", &draft.season)) (option("none", "all intervals before", &draft.season))
                    }
                }
            }
            p.hint.of-change { "The last interval is compared with the median of those before it, and with how far these usually are from it. Five are needed." }
            label.of-absence { span { "For how long nothing, or nothing but zeros" } input name="absent_for" value=(draft.absent_for) placeholder="2d" autocomplete="off" spellcheck="false"; }
        }
    }
}

/// How often and how far back.
fn how(draft: &Draft) -> Markup {
    html! {
        details {
            summary { "How often, and how far back" }
            div.stack {
                div.pair-of-fields {
                    label { span { "It has to hold for" } input name="for" value=(draft.for_time) autocomplete="off" spellcheck="false"; }
                    label { span { "Looked at every" } input name="every" value=(draft.every) autocomplete="off" spellcheck="false"; }
                    label { span { "An interval counts so long after it is over" } input name="delay" value=(draft.delay) autocomplete="off" spellcheck="false"; }
                    label { span { "So far back is looked" } input name="history" value=(draft.history) autocomplete="off" spellcheck="false"; }
                }
                p.hint { "Times such as 90s, 10m, 2h or 7d." }
            }
        }
    }
}

/// Who is told.
fn whom(draft: &Draft, targets: &Value) -> Markup {
    let targets = list(targets, "targets");
    html! {
        fieldset {
            legend { "Who is told" }
            @if targets.is_empty() {
                p { "Nobody outside, for the setting " code { "notify" } " names no target. The alert still is shown here." }
                p.hint { "An administrator or guardian names one: " code { "clerestory change set notify" } "." }
            } @else {
                div.ticks {
                    @for target in targets {
                        @let name = text(target, "name");
                        label.tick-label { input type="checkbox" name="notify" value=(name) checked[draft.notify.iter().any(|one| one == name)]; (name) " " span.badge { (text(target, "kind")) } }
                    }
                }
                p.hint { "None chosen: all of them, also those that are named later." }
            }
        }
    }
}

/// What it would have told of late.
fn preview(
    call: &Call<'_>,
    caller: &Caller,
    metric: &Declared,
    draft: &Draft,
    form: &Form,
) -> Markup {
    let tried = || -> Result<(Value, Value), ApiError> {
        let mut draft = draft.clone();
        if draft.name.is_empty() {
            "untitled".clone_into(&mut draft.name);
        }
        let rule = draft.rule().map_err(ApiError::illegal_argument)?;
        let now = SystemClock.now().0;
        let past = form.word("past").unwrap_or("now-30d");
        let (from, to) = past.split_once("..").unwrap_or((past, "now"));
        let range = TimeRange::read(Some(from), Some(to), from, now);
        let range = range.map_err(ApiError::illegal_argument)?;
        let (from, to) = super::page::span(&range, &draft.grain, now);
        let chart = backend::preview_alert(
            &call.app.engine,
            caller,
            &as_yaml(&rule),
            Timestamp(from),
            Timestamp(to),
        )?;
        Ok((json!(rule), chart))
    };
    html! {
        section.panel aria-labelledby="preview" {
            h2 #preview { "What it would have told" }
            @match tried() {
                Err(error) => (frame::failure(&error)),
                Ok((_, chart)) if chart::is_empty(&chart) => (frame::empty("No numbers in this range", html! { "Try it on a longer past, or change what it looks at." })),
                Ok((rule, chart)) => {
                    p.lead { "It fires when " (metric.label) " is " (condition(&chart["rule"], Some(metric))) "." }
                    (chart::draw(metric, &chart, true))
                    (frame::code_box("As YAML, for clerestory alert apply", &as_yaml(&rule)))
                },
            }
        }
    }
}

/// The form for an alert on what somebody looks at, to be tried on the same range.
pub(super) fn link(question: &MetricQuestion, grain: &str) -> Link {
    let name = question.name.as_str();
    let mut link = Link::to("/_ui/new-alert").with("metric", name).with("name", name);
    link = link.with("grain", if grain == "hour" { "hour" } else { "day" });
    link = question.by.iter().take(3).fold(link, |link, name| link.and("by", name.as_str()));
    for (name, value) in &question.filters {
        link = link.and("where", format!("{name}:{value}"));
    }
    let range = &question.range;
    match range.is_chosen && range.span.is_some() {
        true => link.with("past", format!("{}..{}", range.from, range.to)),
        false => link,
    }
}
