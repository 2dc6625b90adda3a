//! The alerts that look at a metric, on the page of the metric: listed, and drawn into its chart
//! where they look at what the chart shows.

use super::chart::marks;
use super::draft::Draft;
use super::link_to;
use super::state::{badge, condition};
use crate::backend;
use crate::route::Call;
use crate::ui::icon;
use crate::ui::link::Link;
use crate::ui::metrics::{Asked, Declared, MetricQuestion};
use crate::ui::shown::{list, text, texts};
use crate::ui::time_range::{DAY, HOUR};
use engine::{Action, Caller};
use maud::{Markup, html};
use model::Timestamp;
use serde_json::{Value, json};

/// So many alerts are drawn into one chart; each is a question of its own.
const DRAWN_MAX: usize = 3;

/// The alerts of a metric.
pub(in crate::ui) struct Watching {
    alerts: Vec<Value>,
    /// What went wrong with those that were to be drawn.
    troubles: Vec<String>,
    marks: Vec<Value>,
    spans: Vec<Value>,
}

/// The form for an alert on what somebody looks at; `None` if they may declare none.
pub(in crate::ui) fn create_link(
    caller: &Caller,
    metric: &Declared,
    question: &MetricQuestion,
) -> Option<Link> {
    let grain = question.grain.as_deref().or(metric.grain.as_deref()).unwrap_or("day");
    backend::may(caller, Action::DefineMetric).then(|| super::edit::link(question, grain))
}

impl Watching {
    /// Those of a metric. Nobody who may see the metric is kept from knowing them.
    pub(in crate::ui) fn of(call: &Call<'_>, caller: &Caller, metric: &Declared) -> Watching {
        let all = backend::alerts(&call.app.engine, caller);
        let troubles = all.as_ref().err().map(|error| error.reason().to_owned());
        let all = all.unwrap_or_default();
        let of_metric = list(&all, "alerts").iter();
        let of_metric = of_metric.filter(|alert| text(alert, "metric") == metric.name);
        Watching {
            alerts: of_metric.cloned().collect(),
            troubles: troubles.into_iter().collect(),
            marks: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Draws those that look at what was asked: asked and walked through as the caller.
    pub(in crate::ui) fn draw(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        metric: &Declared,
        question: &MetricQuestion,
        asked: &Asked,
    ) {
        let (Some(first), Some(last)) = (asked.numbers.times.first(), asked.numbers.times.last())
        else {
            return;
        };
        let fitting = self.alerts.iter().filter(|alert| is_of(alert, metric, question));
        for alert in fitting.take(DRAWN_MAX) {
            let step = if text(alert, "grain") == "hour" { HOUR } else { DAY };
            let (from, to) = (Timestamp(*first), Timestamp(*last + step));
            let engine = &call.app.engine;
            match backend::alert_chart(engine, caller, text(alert, "name"), from, to) {
                Err(error) => self.troubles.push(error.reason().to_owned()),
                Ok(chart) => {
                    self.marks.extend(marks(metric, &chart["threshold"], &chart["clear"]));
                    self.spans.extend(spans(&chart, asked));
                }
            }
        }
    }

    /// What the script of the chart draws beside the numbers.
    pub(in crate::ui) fn put_into(&self, told: &mut Value) {
        told["marks"] = json!(self.marks);
        told["spans"] = json!(self.spans);
    }

    /// The list under the chart.
    pub(in crate::ui) fn panel(
        &self,
        caller: &Caller,
        metric: &Declared,
        question: &MetricQuestion,
    ) -> Markup {
        let create = create_link(caller, metric, question);
        html! {
            section.panel aria-labelledby="alerts" {
                h2 #alerts { (icon::bell()) " Alerts" @if !self.alerts.is_empty() { " " span.faint { (self.alerts.len()) } } }
                @for trouble in &self.troubles { p.hint { "An alert is not drawn: " (trouble) } }
                @if self.alerts.is_empty() && self.troubles.is_empty() {
                    p.hint {
                        "Nobody is told when this metric is not where it should be. "
                        @if let Some(create) = &create { a href=(create) { "Create an alert on what is shown" } "." }
                    }
                }
                ul.alarm-list {
                    @for alert in &self.alerts {
                        li {
                            (badge(alert))
                            a href=(link_to(text(alert, "name"))) { (text(alert, "label")) }
                            span.hint { "when it is " (condition(&alert["rule"], Some(metric))) }
                            @if is_of(alert, metric, question) { span.hint { "drawn" } }
                            @else {
                                @let there = MetricQuestion::of_alert(metric, &Draft::of(alert).filters, alert);
                                a.nowrap href=(there.link()) aria-label={ "Show what " (text(alert, "label")) " looks at" } { "show" }
                            }
                        }
                    }
                }
                @if !self.spans.is_empty() { p.hint { "Shaded: where an alert fires, by its rule, over what you may see." } }
            }
        }
    }
}

/// Whether an alert looks at what the page shows.
fn is_of(alert: &Value, metric: &Declared, question: &MetricQuestion) -> bool {
    let grain = question.grain.as_deref().or(metric.grain.as_deref()).unwrap_or("day");
    let sorted = |mut filters: Vec<String>| {
        filters.sort();
        filters
    };
    let asked = question.filters.iter().map(|(name, value)| format!("{name}:{value}"));
    text(alert, "grain") == grain
        && texts(alert, "by") == question.by.iter().map(String::as_str).collect::<Vec<&str>>()
        && sorted(Draft::of(alert).filters) == sorted(asked.collect())
}

/// Where it fires, each beside the line of its group, if that is drawn.
fn spans(chart: &Value, asked: &Asked) -> Vec<Value> {
    let place = |series: &Value| {
        let group = texts(series, "group");
        asked.numbers.series.iter().position(|one| one.group == group)
    };
    let seconds = |value: &Value| value.as_i64().unwrap_or(0) / 1000;
    let of = |series: &Value| {
        let at = place(series);
        let spans = list(series, "spans").iter();
        spans
            .map(|span| json!({ "from": seconds(&span["from"]), "to": seconds(&span["to"]), "series": at }))
            .collect::<Vec<Value>>()
    };
    list(chart, "series").iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_drawn_where_it_looks_at_the_same() {
        let metric = json!({ "name": "rate", "type": "ratio", "dimensions": ["model", "region"] });
        let metric = Declared::read(&metric).unwrap();
        let alert = json!({ "grain": "day", "by": ["model"],
            "rule": { "grain": "day", "by": ["model"], "filters": { "region": ["eu", "us"] } } });
        let of = |url: &str| {
            let params = crate::request::read_params(url).unwrap();
            is_of(&alert, &metric, &MetricQuestion::read(&metric, &params).unwrap())
        };
        assert!(of("grain=day&by=model&where=region:us&where=region:eu"));
        assert!(of("by=model&where=region:eu&where=region:us"), "a day is usual");
        assert!(!of("grain=week&by=model&where=region:us&where=region:eu"));
        assert!(!of("grain=day&by=region&where=region:us&where=region:eu"));
        assert!(!of("grain=day&by=model&where=region:us"));
        let there = MetricQuestion::of_alert(&metric, &Draft::of(&alert).filters, &alert);
        assert!(is_of(&alert, &metric, &there), "the link leads to where it is drawn");
    }
}
