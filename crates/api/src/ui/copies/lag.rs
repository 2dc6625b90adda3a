//! How far behind its source a copy was: a line over the last hours, and its numbers.

use super::state::duration;
use crate::drawing::{Chart, DrawnSeries};
use crate::ui::time_range::HOUR;
use maud::{Markup, html};
use model::Timestamp;
use serde_json::Value;

/// About so many points are drawn.
const POINTS: i64 = 240;
/// A chart of less has no shape.
const SPAN_MIN: i64 = 10 * 60_000;
const WIDTH: f64 = 960.0;
/// How long one point of the copier stands for.
const STEP_MIN: i64 = 20_000;

/// The chart, or why there is none.
pub(super) fn chart(copy: &Value, now: i64) -> Markup {
    let points = points(copy);
    let Some((newest, _)) = points.last() else {
        return html! {
            p.hint {
                "Nothing was measured since the server started. "
                @if let Some(waiting) = copy["lag_waiting"].as_u64() {
                    "The source does not say how old it is what waits; " (crate::ui::number::count(waiting)) " are waiting."
                } @else { "A line appears once the copy follows." }
            }
        };
    };
    let drawn = Drawn::of(&points, now);
    let label = "How far the copy was behind its source, in seconds";
    let series = [DrawnSeries { name: "lag", values: &drawn.values }];
    let written = |seconds: f64| duration((seconds * 1000.0) as u64);
    let chart =
        Chart { label, width: WIDTH, times: &drawn.times, series: &series, written: &written };
    let worst = |since: i64| points.iter().filter(|(at, _)| *at >= since).map(|(_, ms)| *ms).max();
    html! {
        div.scroll-x { (chart.lines()) }
        dl.pairs {
            dt { "Worst in the last hour" } dd { (worst(now - HOUR).map_or("–".to_owned(), duration)) }
            dt { "Worst since " (hour_and_minute(points[0].0)) } dd { (worst(0).map_or("–".to_owned(), duration)) }
            dt { "Last measured" } dd { (hour_and_minute(*newest)) }
        }
        p.hint { "Each point is the worst of its time; where the line is broken nothing was followed. Times are UTC. The line begins with the server's start, at most eight hours ago." }
    }
}

fn points(copy: &Value) -> Vec<(i64, u64)> {
    let points = copy["lags"].as_array().map(Vec::as_slice).unwrap_or_default();
    points.iter().filter_map(|point| Some((point[0].as_i64()?, point[1].as_u64()?))).collect()
}

/// What the chart shows: seconds for each step of time, and a name for it.
struct Drawn {
    times: Vec<String>,
    values: Vec<Option<f64>>,
}

impl Drawn {
    fn of(points: &[(i64, u64)], now: i64) -> Drawn {
        let first = points.first().map_or(now, |(at, _)| *at);
        let start = first.min(now - SPAN_MIN);
        let span = (now - start).max(1);
        let step = (span / POINTS / STEP_MIN + 1) * STEP_MIN;
        let start = start.div_euclid(step) * step;
        let count = (now - start).div_euclid(step) + 1;
        let mut values: Vec<Option<f64>> = vec![None; usize::try_from(count).unwrap_or(1)];
        for (at, ms) in points {
            let place = usize::try_from((at - start).div_euclid(step)).ok();
            if let Some(value) = place.and_then(|place| values.get_mut(place)) {
                *value = Some(value.unwrap_or(0.0).max(*ms as f64 / 1000.0));
            }
        }
        let times = (0..count).map(|place| hour_and_minute(start + place * step)).collect();
        Drawn { times, values }
    }
}

fn hour_and_minute(at: i64) -> String {
    let whole = Timestamp(at).to_rfc3339();
    whole.get(11..16).unwrap_or(&whole).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_worst_of_each_step_is_drawn_and_gaps_stay() {
        let minute = 60_000;
        let points = [(0, 500), (20_000, 2_000), (40 * minute, 1_000), (480 * minute, 9_000)];
        let drawn = Drawn::of(&points, 480 * minute);
        assert!(drawn.values.len() <= POINTS as usize + 2, "{}", drawn.values.len());
        assert_eq!(drawn.times.len(), drawn.values.len());
        assert_eq!((drawn.values[0], drawn.values[1]), (Some(2.0), None));
        assert_eq!(drawn.values.iter().flatten().count(), 3);
        assert_eq!(drawn.values.last(), Some(&Some(9.0)));
        assert_eq!(
            (drawn.times[0].as_str(), drawn.times.last().unwrap().as_str()),
            ("00:00", "07:58")
        );
    }

    #[test]
    fn without_points_it_says_why() {
        let told = |copy: Value| chart(&copy, 0).into_string();
        assert!(told(json!({ "lags": [] })).contains("once the copy follows"));
        assert!(told(json!({ "lags": [], "lag_waiting": 1200 })).contains("1,200 are waiting"));
        let drawn = told(json!({ "lags": [[-20_000, 1_240]] }));
        assert!(drawn.contains("<svg") && drawn.contains("<dd>1.2 s</dd>"), "{drawn}");
    }
}
