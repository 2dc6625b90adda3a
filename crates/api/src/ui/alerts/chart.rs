//! The chart of an alert: its numbers, what is usual, its threshold, and where it fires.

use super::state::written;
use crate::ui::metrics::Declared;
use crate::ui::shown::{list, texts, whole};
use crate::ui::time_range::{HOUR, millisecond};
use maud::{Markup, html};
use serde_json::{Value, json};

/// More lines in one chart cannot be told apart.
const SERIES_MAX: usize = 8;
/// More bands in one chart cannot be told apart.
const BANDS_MAX: usize = 2;

/// Whether there is no number at all.
pub(super) fn is_empty(chart: &Value) -> bool {
    let has_some = |series: &Value| list(series, "values").iter().any(Value::is_number);
    !list(chart, "series").iter().any(has_some)
}

/// The drawing, with a table of where it fires. `is_fixed`: no range is chosen by dragging.
pub(super) fn draw(metric: &Declared, chart: &Value, is_fixed: bool) -> Markup {
    let label = format!("{} over time, with where the alert fires", metric.label);
    html! {
        div.chart role="img" aria-label=(label) data-chart=(told(metric, chart, is_fixed)) {}
        noscript { p.hint { "The chart needs scripts; its numbers stand below." } }
        (legend(metric, chart))
        (spans(metric, chart))
    }
}

/// What the script draws.
fn told(metric: &Declared, chart: &Value, is_fixed: bool) -> Value {
    let all = &list(chart, "series")[..list(chart, "series").len().min(SERIES_MAX)];
    let fires = |series: &Value| !list(series, "spans").is_empty();
    let mut bands = 0;
    let series = all.iter().map(|series| {
        // Bounds of their own have those that fire, or the one that is alone.
        let has_band = (all.len() == 1 || fires(series)) && bands < BANDS_MAX && is_known(series);
        bands += usize::from(has_band);
        let mut told = json!({ "name": name(metric, series), "values": series["values"] });
        if has_band {
            told["band"] = json!({
                "expected": series["expected"], "least": series["least"], "most": series["most"],
            });
        }
        told
    });
    let series: Vec<Value> = series.collect();
    let seconds = |value: &Value| value.as_i64().unwrap_or(0) / 1000;
    let spans = all.iter().enumerate().flat_map(|(at, series)| {
        let spans = list(series, "spans").iter();
        spans.map(move |span| {
            json!({ "from": seconds(&span["from"]), "to": seconds(&span["to"]), "series": at })
        })
    });
    json!({
        "percent": metric.is_ratio(),
        "fixed": is_fixed,
        "times": list(chart, "times").iter().map(seconds).collect::<Vec<i64>>(),
        "series": series,
        "spans": spans.collect::<Vec<Value>>(),
        "marks": marks(metric, &chart["threshold"], &chart["clear"]),
    })
}

/// The lines of a threshold.
pub(super) fn marks(metric: &Declared, threshold: &Value, clear: &Value) -> Vec<Value> {
    let mark = |value: f64, what: &str| json!({ "value": value, "name": format!("{what} {}", metric.written(Some(value))) });
    let clear = clear.as_f64().filter(|_| clear != threshold);
    let threshold = threshold.as_f64().map(|value| mark(value, "fires at"));
    threshold.into_iter().chain(clear.map(|value| mark(value, "well at"))).collect()
}

fn is_known(series: &Value) -> bool {
    list(series, "expected").iter().any(Value::is_number)
}

/// What people call a group.
fn name(metric: &Declared, series: &Value) -> String {
    let group = texts(series, "group");
    if group.is_empty() { metric.label.clone() } else { group.join(" · ") }
}

fn legend(metric: &Declared, chart: &Value) -> Markup {
    let all = list(chart, "series");
    let more = all.len().saturating_sub(SERIES_MAX) as u64 + whole(chart, "left_out");
    html! {
        @if all.len() > 1 {
            ul.swatches {
                @for (at, series) in all.iter().take(SERIES_MAX).enumerate() {
                    li { span class={ "swatch series-" (at) } {} (name(metric, series)) }
                }
                @if more > 0 { li.faint { "and " (more) " more; those that fire come first" } }
            }
        }
        @if all.iter().any(is_known) {
            p.hint { "Dotted: the median of the past. Dashed, with the band between: how far from it is too far. Shaded: where it fires, by its rule." }
        } @else {
            p.hint { "Dashed: the threshold. Shaded: where it fires, by its rule." }
        }
    }
}

/// Where it fires, line by line: what is shaded is told to everybody.
fn spans(metric: &Declared, chart: &Value) -> Markup {
    let is_daily =
        list(chart, "times").iter().all(|at| at.as_i64().is_some_and(|at| at % (24 * HOUR) == 0));
    let at = |value: &Value| {
        let text = value.as_i64().map(millisecond).unwrap_or_default();
        text.get(..if is_daily { 10 } else { 16 }).unwrap_or(&text).to_owned()
    };
    let all: Vec<(&Value, &Value)> = list(chart, "series")
        .iter()
        .flat_map(|series| list(series, "spans").iter().map(move |span| (series, span)))
        .collect();
    html! {
        @if all.is_empty() {
            p.lead-out { "It does not fire within this range." }
        } @else {
            div.scroll-x {
                table.grid.stacks.fires {
                    caption.unseen { "Where the alert fires within the range" }
                    thead { tr {
                        th scope="col" { "Fires for" } th scope="col" { "From (UTC)" } th scope="col" { "Until" }
                        th.num scope="col" { "As it began" } th.num scope="col" { "Expected" }
                    } }
                    tbody { @for (series, span) in all {
                        tr {
                            th scope="row" { (name(metric, series)) }
                            td data-label="From (UTC)" { (at(&span["from"])) }
                            td data-label="Until" { @if span["is_over"] == true { (at(&span["to"])) } @else { "it goes on" } }
                            td.num data-label="As it began" { (written(Some(metric), span["value"].as_f64())) }
                            td.num data-label="Expected" { (written(Some(metric), span["expected"].as_f64().or(chart["threshold"].as_f64()))) }
                        }
                    } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric() -> Declared {
        Declared::read(&json!({ "name": "rate", "type": "ratio", "label": "Rate" })).unwrap()
    }

    fn chart() -> Value {
        let day = 24 * HOUR;
        let calm = json!({ "group": ["a"], "values": [0.1, 0.1], "expected": [0.1, 0.1],
                           "least": [null, null], "most": [0.2, 0.2], "spans": [] });
        let bad = json!({ "group": ["b"], "values": [0.1, 0.4], "expected": [null, 0.1],
                          "least": [null, null], "most": [null, 0.2],
                          "spans": [{ "from": day, "to": 2 * day, "is_over": false,
                                      "value": 0.4, "expected": 0.1 }] });
        json!({ "times": [0, day], "series": [bad, calm], "left_out": 3 })
    }

    #[test]
    fn who_fires_has_a_band_and_is_told() {
        let told = told(&metric(), &chart(), false);
        assert_eq!(told["spans"], json!([{ "from": 86_400, "to": 172_800, "series": 0 }]));
        assert!(told["series"][0]["band"].is_object() && told["series"][1]["band"].is_null());
        let page = draw(&metric(), &chart(), false).into_string();
        for part in ["1970-01-02", "it goes on", "40.0 %", "10.0 %", "and 3 more"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let calm = json!({ "times": [0], "series": [{ "group": [], "values": [1], "spans": [] }] });
        assert!(draw(&metric(), &calm, true).into_string().contains("does not fire"));
        assert!(!is_empty(&calm) && is_empty(&json!({ "series": [{ "values": [null] }] })));
    }

    #[test]
    fn a_threshold_and_where_it_is_well_again_are_lines() {
        let names = |clear: f64| -> Vec<String> {
            let marks = marks(&metric(), &json!(0.2), &json!(clear));
            marks.iter().map(|mark| mark["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(0.1), ["fires at 20.0 %", "well at 10.0 %"]);
        assert_eq!(names(0.2), ["fires at 20.0 %"]);
        assert!(marks(&metric(), &Value::Null, &Value::Null).is_empty());
    }
}
