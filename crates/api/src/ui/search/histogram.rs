//! How many hits there were over time, as bars.

use super::question::SearchQuestion;
use crate::ui::number;
use crate::ui::time_range::{DAY, HOUR, MINUTE, TimeRange, at_step, tick};
use maud::{Markup, html};
use serde_json::Value;

/// At most so many bars.
const BARS_MAX: i64 = 100;
/// So many labels under the bars.
const TICKS: i64 = 6;
/// The height of the drawing, in its own units.
const HEIGHT: u64 = 100;

/// Steps that people can read off an axis.
const STEPS: &[i64] = &[
    1000,
    5000,
    10_000,
    30_000,
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    7 * DAY,
    30 * DAY,
    90 * DAY,
    365 * DAY,
];

/// The shortest step that does not give too many bars.
pub(super) fn step(span: (i64, i64)) -> i64 {
    let length = span.1 - span.0;
    let fits = |step: &&i64| length / **step < BARS_MAX;
    STEPS.iter().find(fits).copied().unwrap_or(length / BARS_MAX + 1)
}

/// The histogram of an answer. Each bar leads to its own range.
pub(super) fn draw(
    question: &SearchQuestion,
    span: (i64, i64),
    step: i64,
    answer: &Value,
) -> Markup {
    let first = span.0.div_euclid(step) * step;
    let bars = ((span.1 - first).max(1) as u64).div_ceil(step as u64).max(1);
    let mut counts = vec![0_u64; bars as usize];
    for bucket in answer["aggregations"]["over_time"]["buckets"].as_array().into_iter().flatten() {
        let at = bucket["key"].as_i64().or_else(|| bucket["key"].as_f64().map(|key| key as i64));
        let place = at.map(|at| (at - first).div_euclid(step));
        let count = place.and_then(|place| counts.get_mut(usize::try_from(place).ok()?));
        if let Some(count) = count {
            *count += bucket["doc_count"].as_u64().unwrap_or(0);
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let width = bars * 10;
    let link = question.link();
    let ticks: Vec<i64> = (0..TICKS).map(|i| span.0 + (span.1 - span.0) * i / TICKS).collect();
    html! {
        figure.histogram {
            div.histogram-frame {
                span.histogram-most { (number::count(most)) }
                svg data-from=(first) data-step=(step) data-bars=(bars) viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="group"
                    aria-label={ "Hits over time, at most " (number::count(most)) " in " (step_name(step)) } {
                    @for (bar, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                        @let start = first + bar as i64 * step;
                        @let range = TimeRange::between(start.max(span.0), (start + step).min(span.1));
                        @let height = (count * HEIGHT / most.max(1)).max(2);
                        a href=(range.put_into(link.clone())) tabindex="-1" {
                            rect.bar-back x=(bar * 10) y="0" width="10" height=(HEIGHT) {}
                            rect.bar x=(bar * 10 + 1) y=(HEIGHT - height) width="8" height=(height) {
                            }
                            title { (at_step(start, step)) " · " (number::of(count, "hit", "hits")) }
                        }
                    }
                }
            }
            div.ticks aria-hidden="true" {
                @for at in ticks { span { (tick(at, span.1 - span.0)) } }
            }
            figcaption.hint { "Each bar is " (step_name(step)) ". Click a bar, or drag over some, to look into that time. Times are UTC." }
        }
    }
}

/// `5 minutes`
fn step_name(step: i64) -> String {
    let units = [(DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1000, "second")];
    let (unit, name) = units
        .into_iter()
        .find(|(unit, _)| step >= *unit && step % unit == 0)
        .unwrap_or((1, "millisecond"));
    number::of((step / unit) as u64, name, &format!("{name}s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fit_the_range() {
        assert_eq!(step((0, MINUTE)), 1000);
        assert_eq!(step((0, HOUR)), MINUTE);
        assert_eq!(step((0, DAY)), 30 * MINUTE);
        assert_eq!(step((0, 7 * DAY)), 3 * HOUR);
        assert_eq!(step((0, 30 * DAY)), 12 * HOUR);
        assert_eq!(step((0, 200 * 365 * DAY)), 200 * 365 * DAY / 100 + 1);
        assert_eq!(step_name(3 * HOUR), "3 hours");
        assert_eq!(step_name(DAY), "1 day");
    }
}
