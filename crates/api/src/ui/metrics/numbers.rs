//! The numbers under the chart: one line for each series, and the whole table.

use super::answer::{CHART_SERIES_MAX, Numbers, step_name};
use super::ask::Asked;
use super::declared::Declared;
use super::question::MetricQuestion;
use crate::ui::number;
use maud::{Markup, html};

/// So many steps of time, the newest; a narrower range shows the others.
const ROWS_MAX: usize = 1000;

/// Last, least, mean and most of each series; the legend of the chart.
pub(in crate::ui) fn summary(
    metric: &Declared,
    question: &MetricQuestion,
    asked: &Asked,
) -> Markup {
    let numbers = &asked.numbers;
    html! {
        div.scroll-x {
            table.grid.legend {
                caption.unseen { "Series of the chart" }
                thead { tr {
                    th scope="col" { @if question.by.is_empty() { "Series" } @else { (question.by.join(" · ")) } }
                    th.num scope="col" { "Last" }
                    th.num scope="col" { "Least" }
                    th.num scope="col" { "Mean" }
                    th.num scope="col" { "Most" }
                    @if let Some(compare) = question.compare.filter(|_| asked.before.is_some()) {
                        th.num scope="col" { "Mean, " (compare.name()) }
                        th.num scope="col" { "Change" }
                    }
                    @if !question.by.is_empty() { th scope="col" { span.unseen { "Narrow down" } } }
                } }
                tbody {
                    @for (place, series) in numbers.series.iter().enumerate() {
                        tr {
                            th scope="row" {
                                @if place < CHART_SERIES_MAX { span class={ "swatch series-" (place) } {} }
                                (series.name(metric))
                            }
                            td.num { (metric.written(series.last())) }
                            td.num { (metric.written(series.least())) }
                            td.num { (metric.written(series.mean())) }
                            td.num { (metric.written(series.most())) }
                            @if asked.before.is_some() {
                                @let before = asked.before(&series.group).and_then(|before| before.mean());
                                td.num { (metric.written(before)) }
                                td.num { (before.zip(series.mean()).map_or("–".to_owned(), |(before, now)| number::change(before, now))) }
                            }
                            @if !question.by.is_empty() {
                                td.narrow {
                                    @if let Some(link) = question.only_link(&series.group) { a href=(link) aria-label={ "Only " (series.name(metric)) } { "only" } }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if numbers.series.len() > CHART_SERIES_MAX {
            p.hint { "The chart shows the first " (CHART_SERIES_MAX) "; pick " em { "only" } " to see another." }
        }
        @if numbers.left_out > 0 {
            p.hint { (number::of(numbers.left_out as u64, "smaller group is", "smaller groups are")) " left out. Filter, or ask by curl." }
        }
    }
}

/// Which colour is which group, where there is no room for more.
pub(in crate::ui) fn legend(metric: &Declared, numbers: &Numbers) -> Markup {
    html! {
        ul.swatches {
            @for (place, series) in numbers.series.iter().take(CHART_SERIES_MAX).enumerate() {
                li { span class={ "swatch series-" (place) } {} (series.name(metric)) }
            }
            @if numbers.series.len() > CHART_SERIES_MAX { li.faint { "and " (numbers.series.len() - CHART_SERIES_MAX) " more" } }
        }
    }
}

/// Every number, the newest first.
pub(in crate::ui) fn table(metric: &Declared, numbers: &Numbers) -> Markup {
    let most = numbers.most();
    let heat = |value: Option<f64>| match value {
        // Shades compare groups; one alone has nobody to stand out from.
        Some(value) if most > 0.0 && numbers.series.len() > 1 => {
            ((value / most * 5.0).round().clamp(0.0, 5.0)) as u32
        }
        _ => 0,
    };
    let rows = numbers.times.len();
    html! {
        div.scroll-both tabindex="0" role="region" aria-label="All numbers" {
            table.grid.numbers #numbers {
                caption.unseen { (metric.label) ", all numbers, the newest first" }
                thead { tr {
                    th scope="col" { "Time (UTC)" }
                    @for series in &numbers.series { th.num scope="col" { (series.name(metric)) } }
                } }
                tbody {
                    @for row in (0..rows).rev().take(ROWS_MAX) {
                        tr {
                            th scope="row" { (step_name(numbers, numbers.times[row])) }
                            @for series in &numbers.series {
                                @let value = series.values[row];
                                td class={ "num heat-" (heat(value)) } { (metric.written(value)) }
                            }
                        }
                    }
                }
            }
        }
        @if rows > ROWS_MAX {
            p.hint { "The newest " (number::count(ROWS_MAX as u64)) " of " (number::count(rows as u64)) " steps. A coarser grain or a shorter range shows them all." }
        }
    }
}
