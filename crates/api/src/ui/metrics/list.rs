//! All metrics, each with its last month.

use super::ask::ask;
use super::declared::{Declared, declared};
use super::journey::{self, Journey};
use super::question::{MetricQuestion, link_to};
use super::spark;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use crate::ui::form::asked;
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::time_range::{DAY, at_step};
use engine::Caller;
use maud::{Markup, html};

/// `GET /_ui/metrics`.
pub(in crate::ui) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Metrics, || {
        let metrics = declared(&call.app.engine, caller)?;
        let words = asked(call.request, "q").unwrap_or("");
        let found: Vec<&Declared> = metrics.iter().filter(|metric| fits(metric, words)).collect();
        let content = html! {
            div.page-head.with-actions {
                div {
                    h1 { "Metrics" }
                    p.sub { "Declared once, the same number everywhere: here, in SQL, on the command line." }
                }
                @if !metrics.is_empty() { (search_box(words)) }
            }
            @if metrics.is_empty() {
                (frame::empty("No metric is declared yet", html! {
                    "Declare some in a YAML file: " code { "clerestory metric apply FILE" } "."
                }))
            } @else {
                div #found {
                    p.unseen role="status" { (found.len()) " of " (metrics.len()) " metrics" }
                    @if found.is_empty() {
                        (frame::empty("No metric fits", html! { a href="/_ui/metrics" { "Show all " (metrics.len()) } "." }))
                    }
                    ul.cards { @for metric in &found { li { (card(metric)) } } }
                }
            }
        };
        Ok(Page::new(caller, Section::Metrics, "Metrics").reply(content))
    })
}

/// Narrows the list while somebody types; without scripts with Enter.
fn search_box(words: &str) -> Markup {
    html! {
        form.find role="search" method="get" action="/_ui/metrics" {
            label.unseen for="find" { "Find a metric" }
            input id="find" name="q" type="search" value=(words) placeholder="Find a metric" data-focus
                autocomplete="off" spellcheck="false" hx-get="/_ui/metrics" hx-trigger="input changed delay:150ms, search"
                hx-target="#found" hx-select="#found" hx-swap="outerHTML" hx-replace-url="true";
        }
    }
}

/// Whether every word stands in a metric's names, description or dimensions.
fn fits(metric: &Declared, words: &str) -> bool {
    let told = [&metric.name, &metric.label, &metric.description, &metric.kind];
    let told = told.into_iter().chain(&metric.dimensions).map(|text| text.to_lowercase());
    let told = told.collect::<Vec<String>>().join(" ");
    words.to_lowercase().split_whitespace().all(|word| told.contains(word))
}

/// A metric with its newest number, which comes once the card is seen.
pub(in crate::ui) fn card(metric: &Declared) -> Markup {
    let numbers = Link::to("/_ui/metrics").part(&metric.name).part("card");
    html! {
        a.card href=(link_to(&metric.name)) {
            span.card-head {
                strong { (metric.label) }
                span.badge { (metric.kind) }
            }
            span.card-body hx-get=(numbers) hx-trigger="revealed" hx-swap="innerHTML" {
                span.card-number.waiting aria-hidden="true" { "…" }
            }
            span.hint { code { (metric.name) } @if !metric.dimensions.is_empty() { " by " (metric.dimensions.join(", ")) } }
        }
    }
}

/// `GET /_ui/metrics/{name}/card`: the newest number and the last month of one metric, for its
/// card.
pub(in crate::ui) fn card_numbers(call: &Call<'_>, caller: &Caller) -> Answer {
    let engine = &call.app.engine;
    let numbers = || -> Result<Markup, ApiError> {
        let declared = backend::metric(engine, caller, call.request.part("name"))?;
        let metric = Declared::read(&declared)
            .ok_or_else(|| ApiError::internal("a declared metric has no name"))?;
        let mut question = MetricQuestion::usual(&metric);
        if let Some(journey) = Journey::of(&metric) {
            question.grain = None;
            let answer = journey::ask(engine, caller, &metric, journey, &question)?;
            let told = journey::headline(&metric, journey, &answer);
            return Ok(match told {
                Some((number, what)) => {
                    html! { span.card-number { (number) } span.hint { (what) } }
                }
                None => html! { span.hint { "No numbers yet" } },
            });
        }
        let asked = ask(engine, caller, &metric, &mut question)?;
        let Some(series) = asked.numbers.series.first() else {
            return Ok(html! { span.hint { "No numbers yet" } });
        };
        Ok(html! {
            span.card-number {
                (metric.written(series.last()))
                @if let Some(at) = asked.numbers.times.last() { span.faint { (at_step(*at, DAY)) } }
            }
            (spark::line(series))
        })
    };
    // A card says what is wrong with itself; the others are still there.
    let content = numbers().unwrap_or_else(|error| html! { span.hint { (error.reason()) } });
    Ok(Reply::page(content.into_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_word_has_to_fit() {
        let declared = json!({
            "name": "failed_rate", "label": "Failed connections", "dimensions": ["firmware"],
        });
        let metric = Declared::read(&declared).unwrap();
        assert!(fits(&metric, "") && fits(&metric, "FAILED firm"));
        assert!(!fits(&metric, "failed battery"));
    }
}
