//! All metrics, each with its last month.

use super::declared::{Declared, declared};
use super::page::{Asked, MetricQuestion, ask, link_to};
use super::spark;
use crate::error::Answer;
use crate::route::Call;
use crate::ui::frame::{self, Page, Section};
use crate::ui::time_range::DAY;
use crate::ui::time_range::at_step;
use engine::Caller;
use maud::{Markup, html};

/// So many cards show numbers; each of them is a question.
const ASKED_MAX: usize = 12;

/// `GET /_ui/metrics`.
pub(in crate::ui) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Metrics, || {
        let metrics = declared(&call.app.engine, caller)?;
        let content = html! {
            div.page-head {
                h1 { "Metrics" }
                p.sub { "Declared once, the same number everywhere: here, in SQL, on the command line." }
            }
            @if metrics.is_empty() {
                (frame::empty("No metric is declared yet", html! {
                    "Declare some in a YAML file: " code { "clerestory metric apply FILE" } "."
                }))
            } @else {
                ul.cards {
                    @for (place, metric) in metrics.iter().enumerate() {
                        li { (card(call, caller, metric, place < ASKED_MAX)) }
                    }
                }
            }
        };
        Ok(Page::new(caller, Section::Metrics, "Metrics").reply(content))
    })
}

fn card(call: &Call<'_>, caller: &Caller, metric: &Declared, with_numbers: bool) -> Markup {
    let mut question = MetricQuestion::usual(metric);
    let answer = with_numbers.then(|| ask(&call.app.engine, caller, metric, &mut question));
    html! {
        a.card href=(link_to(&metric.name)) {
            span.card-head {
                strong { (metric.label) }
                span.badge { (metric.kind) }
            }
            @match answer {
                None => {},
                Some(Err(error)) => span.hint { (error.reason()) },
                Some(Ok(Asked { numbers, .. })) => {
                    @if let Some(series) = numbers.series.first() {
                        span.card-number {
                            (metric.written(series.last()))
                            @if let Some(at) = numbers.times.last() { span.faint { (at_step(*at, DAY)) } }
                        }
                        (spark::line(series))
                    } @else { span.hint { "No numbers yet" } }
                },
            }
            span.hint { code { (metric.name) } @if !metric.dimensions.is_empty() { " by " (metric.dimensions.join(", ")) } }
        }
    }
}
