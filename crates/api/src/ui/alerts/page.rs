//! One alert: its state and chart, what it asks, what it told, and what can be done about it.

use super::chart;
use super::draft::{Draft, as_yaml};
use super::link_to;
use super::state::{badge, condition, groups, next_step, silence as silence_text, written};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form::{self, Form, asked};
use crate::ui::frame::{self, Page, Section};
use crate::ui::icon;
use crate::ui::link::Link;
use crate::ui::metrics::{self, Declared, MetricQuestion};
use crate::ui::shown::{list, text, texts, time};
use crate::ui::time_range::{DAY, HOUR, TimeRange};
use engine::{Action, Caller};
use maud::{Markup, html};
use model::{Clock, SystemClock, Timestamp};
use serde_json::Value;

/// So many intervals are shown of all time.
const INTERVALS_MAX: i64 = 2_000;

/// The first and last moment of a range; of all time the newest that can be walked through.
pub(super) fn span(range: &TimeRange, grain: &str, now: i64) -> (i64, i64) {
    let step = if grain == "hour" { HOUR } else { DAY };
    range.span.unwrap_or((now - INTERVALS_MAX * step, now))
}

/// `GET /_ui/alerts/{name}`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Alerts, || render(call, caller))
}

fn render(call: &Call<'_>, caller: &Caller) -> Answer {
    let engine = &call.app.engine;
    let name = call.request.part("name");
    let alert = backend::alert(engine, caller, name)?;
    let declared = metrics::declared(engine, caller)?;
    let metric = declared.iter().find(|metric| metric.name == text(&alert, "metric"));
    let title = format!("{} · Alerts", text(&alert, "label"));
    let content = html! {
        (head(caller, &alert, metric))
        (news(call, caller, &alert))
        @match metric {
            Some(metric) => (chart_panel(call, caller, &alert, metric)),
            None => (frame::empty("Its metric is gone", html! { "There is no metric " code { (text(&alert, "metric")) } " for you any more. Declare it again, or delete the alert." })),
        }
        (groups_panel(&alert, metric))
        (facts(call, caller, &alert, metric))
        (history(&alert, metric))
        @if let Some(metric) = metric { (the_same_elsewhere(call, &alert, metric)) }
    };
    let page = Page::new(caller, Section::Alerts, &title);
    Ok(Page { has_chart: true, ..page }.reply(content))
}

fn head(caller: &Caller, alert: &Value, metric: Option<&Declared>) -> Markup {
    let name = text(alert, "name");
    html! {
        div.page-head.with-actions {
            div {
                p.crumbs { a href="/_ui/alerts" { "Alerts" } }
                h1 { (text(alert, "label")) }
                p.sub {
                    (badge(alert))
                    @if !text(alert, "since").is_empty() { span { "since " (time(text(alert, "since"))) } }
                    code { (name) }
                }
                p.hint {
                    "Fires when "
                    @match metric {
                        Some(metric) => a href=(metrics::link_to(&metric.name)) { (metric.label) },
                        None => code { (text(alert, "metric")) },
                    }
                    " is " (condition(&alert["rule"], metric)) "."
                }
            }
            div.actions { (actions(caller, alert)) }
        }
    }
}

/// What this person may do about it. The engine decides again.
fn actions(caller: &Caller, alert: &Value) -> Markup {
    let name = text(alert, "name");
    let is_mine = text(alert, "author") == caller.name();
    let any = |actions: &[Action]| actions.iter().any(|action| backend::may(caller, *action));
    let has_a_say = is_mine || any(&[Action::ManagePeople, Action::Approve]);
    html! {
        @if is_mine {
            form method="post" action=(link_to(name).part("look")) {
                button.button type="submit" { (icon::again()) "Look now" }
            }
        }
        @if backend::may(caller, Action::DefineMetric) {
            a.button href=(Draft::of(alert).link()) { (icon::edit()) "Edit" }
        }
        @if has_a_say {
            (silence_form(alert))
            details.popover data-popover {
                summary.button { "Delete" }
                form.stack.popover-form method="post" action=(link_to(name).part("delete")) {
                    p { "It looks no more, and tells nobody. Its history stays on record." }
                    button.button.danger type="submit" { "Delete the alert" }
                }
            }
        }
    }
}

fn silence_form(alert: &Value) -> Markup {
    let action = link_to(text(alert, "name")).part("silence");
    let is_silenced = alert["silence"].is_object();
    html! {
        details.popover data-popover {
            summary.button { @if is_silenced { "Silenced" } @else { "Silence" } }
            form.stack.popover-form method="post" action=(action) {
                @if is_silenced {
                    p { (silence_text(alert)) "." }
                    input type="hidden" name="hours" value="0";
                    label { span { "Why it ends" } input name="why" maxlength="1000" required autocomplete="off"; }
                    button.button.primary type="submit" { "End the silence" }
                } @else {
                    label { span { "For" }
                        select name="hours" {
                            option value="1" { "an hour" } option value="4" selected { "4 hours" } option value="24" { "a day" } option value="168" { "a week" } option value="720" { "30 days" }
                        }
                    }
                    label { span { "Why" } input name="why" maxlength="1000" required autocomplete="off" placeholder="known, ticket 12"; }
                    p.hint { "Its state goes on; nobody is told." }
                    button.button.primary type="submit" { "Silence" }
                }
            }
        }
    }
}

/// What just happened, and what stands in its way.
fn news(call: &Call<'_>, caller: &Caller, alert: &Value) -> Markup {
    let done = match asked(call.request, "done") {
        Some("saved") => "Saved. It is looked at within seconds.",
        Some("looked") => "Looked.",
        Some("silenced") => "Silenced: its state goes on, and nobody is told.",
        Some("ended") => "The silence is over.",
        _ => "",
    };
    let trouble = text(alert, "trouble");
    let tells_nobody = backend::alert_targets(&call.app.engine, caller)
        .is_ok_and(|targets| list(&targets, "targets").is_empty());
    html! {
        @if !done.is_empty() { p.notice.good role="status" { (done) } }
        @if !trouble.is_empty() {
            div.notice.bad role="alert" {
                p.notice-title { "It was not answered: " (trouble) }
                p { (next_step(alert)) }
            }
        }
        @if text(alert, "state") == "hidden" { p.notice.quiet-notice { (next_step(alert)) } }
        @if alert["silence"].is_object() { p.notice.warn { (silence_text(alert)) ". Nobody is told meanwhile." } }
        @if tells_nobody {
            p.notice.quiet-notice { "Nobody outside is told: the setting " code { "notify" } " names no target. An administrator or guardian names one: " code { "clerestory change set notify" } "." }
        }
    }
}

fn chart_panel(call: &Call<'_>, caller: &Caller, alert: &Value, metric: &Declared) -> Markup {
    let grain = text(alert, "grain");
    let usual = if grain == "hour" { "now-7d" } else { "now-30d" };
    let now = SystemClock.now().0;
    let here = link_to(text(alert, "name"));
    let range = TimeRange::read(asked(call.request, "from"), asked(call.request, "to"), usual, now);
    let chart = range.clone().map_err(ApiError::illegal_argument).and_then(|range| {
        let (from, to) = span(&range, grain, now);
        let engine = &call.app.engine;
        backend::alert_chart(engine, caller, text(alert, "name"), Timestamp(from), Timestamp(to))
    });
    let wider = here.clone().with("from", "now-90d");
    html! {
        section.panel aria-labelledby="chart" {
            div.panel-bar {
                h2 #chart { (metric.label) @let by = texts(alert, "by"); @if !by.is_empty() { " by " (by.join(", ")) } }
                @if let Ok(range) = &range { (range.picker(&range.put_into(here))) }
            }
            @match &chart {
                Err(error) => (frame::failure(error)),
                Ok(chart) if chart::is_empty(chart) => (frame::empty("No numbers in this range", html! { a href=(wider) { "Show the last 90 days" } "." })),
                Ok(chart) => (chart::draw(metric, chart, false)),
            }
        }
    }
}

/// The groups as they are; for the author alone.
fn groups_panel(alert: &Value, metric: Option<&Declared>) -> Markup {
    let of = texts(alert, "groups_of").join(" · ");
    let mut all: Vec<&Value> = list(alert, "groups_now").iter().collect();
    let urgency = |group: &Value| match text(group, "state") {
        "firing" => 0,
        "pending" => 1,
        _ => 2,
    };
    all.sort_by_key(|group| urgency(group));
    html! {
        section.panel aria-labelledby="groups" {
            h2 #groups { "How it is now" }
            @if alert["groups_now"].is_null() {
                p { "Fires: " (groups(alert)) ". " span.hint { "Groups and numbers that were read as " strong { (text(alert, "author")) } " are shown to " (text(alert, "author")) " alone. The chart above shows what you may see." } }
            } @else if all.is_empty() {
                p.hint {
                    @if text(alert, "evaluated_at").is_empty() { "It was not looked at yet. " (next_step(alert)) }
                    @else { "There was nothing to look at in all of its history." }
                }
            } @else {
                div.scroll-both tabindex="0" role="region" aria-label="Groups" {
                    table.grid.stacks {
                        caption.unseen { "Groups, those that fire first" }
                        thead { tr {
                            th scope="col" { @if of.is_empty() { "All" } @else { (of) } }
                            th scope="col" { "State" } th scope="col" { "Since" } th.num scope="col" { "Value" } th.num scope="col" { "Expected" }
                        } }
                        tbody { @for group in all {
                            tr {
                                th scope="row" { @let name = texts(group, "group").join(" · "); @if name.is_empty() { (text(alert, "label")) } @else { (name) } }
                                td data-label="State" { (badge(group)) }
                                td data-label="Since" { @if text(group, "since").is_empty() { "–" } @else { (time(text(group, "since"))) } }
                                td.num data-label="Value" { (written(metric, group["value"].as_f64())) }
                                td.num data-label="Expected" { (written(metric, group["expected"].as_f64())) }
                            }
                        } }
                    }
                }
            }
        }
    }
}

/// Who looks how often, and who is told.
fn facts(call: &Call<'_>, caller: &Caller, alert: &Value, metric: Option<&Declared>) -> Markup {
    let rule = &alert["rule"];
    let targets = backend::alert_targets(&call.app.engine, caller).ok();
    let named = texts(alert, "notify");
    let all: Vec<&str> = targets
        .iter()
        .flat_map(|targets| list(targets, "targets"))
        .map(|one| text(one, "name"))
        .collect();
    let held = match text(rule, "for") {
        "0s" => String::new(),
        held => format!(", and that for {held}"),
    };
    html! {
        section.panel aria-labelledby="facts" {
            h2 #facts { "How it looks" }
            dl.pairs.wide {
                dt { "Fires when it is" } dd { (condition(rule, metric)) (held) }
                dt { "Looks" } dd { "every " (text(rule, "every")) ", at each " (text(rule, "grain")) ", " (text(rule, "delay")) " after it is over; " (text(rule, "history")) " back" }
                dt { "Looked at last" } dd { @if text(alert, "evaluated_at").is_empty() { "not yet" } @else { (time(text(alert, "evaluated_at"))) } }
                dt { "Looks as" } dd { strong { (text(alert, "author")) } ", with their rights at that moment" }
                dt { "Tells" } dd {
                    @if !named.is_empty() { (named.join(", ")) @if all.iter().all(|name| !named.contains(name)) && targets.is_some() { span.hint { " – the setting " code { "notify" } " names none of them any more" } } }
                    @else if all.is_empty() { "every target of the setting " code { "notify" } }
                    @else { "all: " (all.join(", ")) }
                }
            }
            (frame::code_box("As YAML, for clerestory alert apply", &as_yaml(rule)))
        }
    }
}

/// What was told, and who declared it when.
fn history(alert: &Value, metric: Option<&Declared>) -> Markup {
    let events = list(alert, "events");
    let declared = list(alert, "history");
    html! {
        section.panel aria-labelledby="told" {
            h2 #told { "History" }
            @if !events.is_empty() {
                div.scroll-both tabindex="0" role="region" aria-label="What was told" {
                    table.grid.stacks {
                        caption.unseen { "What was told, the newest first" }
                        thead { tr {
                            th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Group" }
                            th.num scope="col" { "Value" } th.num scope="col" { "Expected" }
                        } }
                        tbody { @for event in events {
                            tr {
                                th scope="row" { (time(text(event, "at"))) }
                                td data-label="What" { @if text(event, "event") == "fires" { "fires" } @else { "well again" } @if event["silenced"] == true { ", told nobody" } }
                                td data-label="Group" { (texts(event, "group").join(" · ")) }
                                td.num data-label="Value" { (written(metric, event["value"].as_f64())) }
                                td.num data-label="Expected" { (written(metric, event["expected"].as_f64())) }
                            }
                        } }
                    }
                }
            } @else if alert["events"].is_array() { p.hint { "It has told nothing since it was declared." } }
            ul.plain {
                @for version in declared {
                    li.hint { (time(text(version, "at"))) " " @if text(version, "what") == "removed" { "removed" } @else { "declared" } " by " (text(version, "by")) }
                }
            }
        }
    }
}

/// The question that it asks of its metric, for other tools.
fn the_same_elsewhere(call: &Call<'_>, alert: &Value, metric: &Declared) -> Markup {
    let question = &alert["question"];
    let path = Link::to("/_clerestory/metrics").part(&metric.name);
    let host = frame::host(call.request);
    let body = format!("{question:#}");
    let of_metric = MetricQuestion::of_alert(metric, &Draft::of(alert).filters, alert);
    html! {
        p.hint.below { "The same question on " a href=(of_metric.link()) { "the page of its metric" } ", under your own rights." }
        (frame::code_box("As the question to the metric", &body))
        @if !text(alert, "sql").is_empty() { (frame::code_box("As SQL", text(alert, "sql"))) }
        (frame::as_curl(&frame::curl(&host, call.request.peer.secure, "POST", &path, &body)))
    }
}

/// `POST /_ui/alerts/{name}/silence`: for some hours; 0 ends it.
pub(in crate::ui) fn silence(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Alerts, || {
        let form = Form::read(call.request)?;
        let hours =
            form.text("hours").parse::<i64>().ok().filter(|hours| (0..=720).contains(hours));
        let hours =
            hours.ok_or_else(|| ApiError::illegal_argument("a silence is 1 to 720 hours long"))?;
        let name = call.request.part("name");
        // A minute less than what the engine allows, which asks the clock after us.
        let until = SystemClock.now().0 + (hours * HOUR).min(30 * DAY - 60_000);
        let until = (hours > 0).then_some(Timestamp(until));
        backend::silence_alert(&call.app.engine, caller, name, until, form.text("why"))?;
        let done = if hours > 0 { "silenced" } else { "ended" };
        form::go_to(&link_to(name).with("done", done))
    })
}

/// `POST /_ui/alerts/{name}/look`: now, for its author.
pub(in crate::ui) fn look(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Alerts, || {
        let name = call.request.part("name");
        backend::look_at_alert(&call.app.engine, caller, name)?;
        form::go_to(&link_to(name).with("done", "looked"))
    })
}

/// `POST /_ui/alerts/{name}/delete`.
pub(in crate::ui) fn delete(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Alerts, || {
        backend::remove_alert(&call.app.engine, caller, call.request.part("name"))?;
        form::go_to(&Link::to("/_ui/alerts").with("done", "removed"))
    })
}
