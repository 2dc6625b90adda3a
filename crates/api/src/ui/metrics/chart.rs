//! A metric's numbers as a drawing, for its page and for panels.

use super::answer::{CHART_SERIES_MAX, Numbers, step_name};
use super::ask::Asked;
use super::declared::Declared;
use super::question::{Chart, MetricQuestion};
use crate::drawing::{self, DrawnSeries};
use crate::ui::alerts::Watching;
use crate::ui::link::Link;
use crate::ui::number;
use maud::{Markup, html};
use serde_json::{Value, json};

/// How wide a drawing is on a page of its own, in pixels.
pub(in crate::ui) const PAGE_WIDTH: f64 = 960.0;

/// The drawing that was asked for, about so many pixels wide.
pub(in crate::ui) fn draw(
    metric: &Declared,
    question: &MetricQuestion,
    asked: &Asked,
    width: f64,
) -> Markup {
    draw_watched(metric, question, asked, width, None)
}

/// The same, with the alerts that look at it.
pub(super) fn draw_watched(
    metric: &Declared,
    question: &MetricQuestion,
    asked: &Asked,
    width: f64,
    watching: Option<&Watching>,
) -> Markup {
    match question.chart {
        Chart::Line => lines(metric, question, asked, watching),
        Chart::Bars => bars(metric, &asked.numbers, width),
        Chart::Number => newest(metric, question, asked),
        Chart::Table => html! {},
    }
}

fn lines(
    metric: &Declared,
    question: &MetricQuestion,
    asked: &Asked,
    watching: Option<&Watching>,
) -> Markup {
    let mut told = told(metric, asked);
    if let Some(watching) = watching {
        watching.put_into(&mut told);
    }
    let label = format!("{} over time, as lines", metric.label);
    let file = question.put_into(Link::to("/_ui/metrics").part(&metric.name).part("svg"));
    html! {
        div.chart role="img" aria-label=(label) data-chart=(told) {}
        noscript { img.drawing src=(file) alt=(label); }
    }
}

/// What the script draws.
fn told(metric: &Declared, asked: &Asked) -> Value {
    let numbers = &asked.numbers;
    let series = numbers.series.iter().take(CHART_SERIES_MAX).map(|series| {
        let before = asked.before(&series.group).map(|before| &before.values);
        json!({ "name": series.name(metric), "values": series.values, "before": before })
    });
    json!({
        "percent": metric.is_ratio(),
        "times": numbers.times.iter().map(|at| at / 1000).collect::<Vec<i64>>(),
        "series": series.collect::<Vec<Value>>(),
    })
}

fn bars(metric: &Declared, numbers: &Numbers, width: f64) -> Markup {
    html! { div.scroll-x { (drawing(metric, numbers, Chart::Bars, width)) } }
}

/// The numbers as a drawing without a script.
fn drawing(metric: &Declared, numbers: &Numbers, how: Chart, width: f64) -> Markup {
    let times: Vec<String> = numbers.times.iter().map(|at| step_name(numbers, *at)).collect();
    let names: Vec<String> = numbers.series.iter().map(|series| series.name(metric)).collect();
    let series: Vec<DrawnSeries<'_>> = numbers
        .series
        .iter()
        .zip(&names)
        .take(CHART_SERIES_MAX)
        .map(|(series, name)| DrawnSeries { name, values: &series.values })
        .collect();
    let label = format!("{} over time", metric.label);
    let written = |value: f64| metric.written(Some(value));
    let drawn =
        drawing::Chart { label: &label, width, times: &times, series: &series, written: &written };
    match how {
        Chart::Bars => drawn.bars(),
        _ => drawn.lines(),
    }
}

/// The numbers as a file that needs no page: for a report, or a browser without scripts.
pub(super) fn alone(metric: &Declared, question: &MetricQuestion, asked: &Asked) -> String {
    drawing::standalone(&drawing(metric, &asked.numbers, question.chart, PAGE_WIDTH))
}

/// The newest whole number of each group, and how it stands to the one before.
fn newest(metric: &Declared, question: &MetricQuestion, asked: &Asked) -> Markup {
    html! {
        div.big-numbers {
            @for series in asked.numbers.series.iter().take(CHART_SERIES_MAX) {
                div {
                    @if !question.by.is_empty() { span.hint { (series.name(metric)) } }
                    strong.big-number { (metric.written(series.last())) }
                    @let before = asked.before(&series.group).and_then(|before| before.last());
                    @if let Some((now, before)) = series.last().zip(before) {
                        span.hint { (number::change(before, now)) " on " (metric.written(Some(before))) }
                    }
                }
            }
        }
    }
}
