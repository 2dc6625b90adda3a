//! A funnel: how many reach each step, and how many of those before.

use maud::{Markup, html};

const WIDTH: f64 = 640.0;
/// Where the bars begin.
const LEFT: f64 = 170.0;
/// Room for the numbers behind the longest bar.
const RIGHT: f64 = 170.0;
const ROW: f64 = 46.0;
const BAR: f64 = 28.0;
/// Longer names are cut.
const NAME_CHARS_MAX: usize = 24;

/// A step of a funnel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// What people do.
    pub(crate) name: String,
    /// How many did, of those who did all before.
    pub(crate) count: f64,
}

/// The steps from top to bottom, each as wide as so many reach it.
pub(crate) fn funnel(label: &str, steps: &[Step], written: &dyn Fn(f64) -> String) -> Markup {
    let first = steps.first().map_or(0.0, |step| step.count);
    let room = WIDTH - LEFT - RIGHT;
    let wide = |count: f64| if first > 0.0 { (count / first).clamp(0.0, 1.0) * room } else { 0.0 };
    let height = ROW * steps.len().max(1) as f64;
    html! {
        svg.drawing.drawing-funnel viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label=(label) {
            @for (at, step) in steps.iter().enumerate() {
                @let y = ROW * at as f64 + (ROW - BAR) / 2.0;
                @let width = wide(step.count);
                @let middle = y + BAR / 2.0 + 4.0;
                text x=(LEFT - 12.0) y=(middle) text-anchor="end" { (short(&step.name)) }
                rect.draw-back x=(LEFT) y=(y) width=(room) height=(BAR) rx="3" {}
                rect.draw-0 x=(LEFT) y=(y) width=(tenth(width.max(1.0))) height=(BAR) rx="3" {}
                @if at > 0 {
                    @let before = wide(steps[at - 1].count);
                    @let top = ROW * at as f64 - (ROW - BAR) / 2.0;
                    polygon.draw-fall points={ (LEFT) "," (top) " " (tenth(LEFT + before)) "," (top) " " (tenth(LEFT + width)) "," (y) " " (LEFT) "," (y) } {}
                }
                text x=(WIDTH - RIGHT + 12.0) y=(middle - 7.0) { (written(step.count)) }
                text.draw-soft x=(WIDTH - RIGHT + 12.0) y=(middle + 9.0) { (told(steps, at)) }
            }
        }
    }
}

fn told(steps: &[Step], at: usize) -> String {
    let share = |of: f64| if of > 0.0 { steps[at].count / of * 100.0 } else { 0.0 };
    match at {
        0 => "100 %".to_owned(),
        1 => format!("{:.1} %", share(steps[0].count)),
        _ => format!("{:.1} %, step {:.1} %", share(steps[0].count), share(steps[at - 1].count)),
    }
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    let cut: String = name.chars().take(NAME_CHARS_MAX - 1).collect();
    format!("{cut}…")
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_as_wide_as_it_is_reached() {
        let step = |name: &str, count: f64| Step { name: name.to_owned(), count };
        let steps = [step("opened", 200.0), step("paired", 100.0), step("online & happy", 25.0)];
        let drawn = funnel("setup", &steps, &|count| format!("{count}")).into_string();
        assert!(drawn.contains(r#"width="300" height="28" rx="3""#), "{drawn}");
        assert!(drawn.contains(r#"width="150""#) && drawn.contains(r#"width="37.5""#), "{drawn}");
        assert!(drawn.contains("12.5 %, step 25.0 %") && drawn.contains("online &amp; happy"));
    }

    #[test]
    fn a_funnel_that_nobody_entered_divides_by_nothing() {
        let steps =
            [Step { name: "a".repeat(40), count: 0.0 }, Step { name: "b".to_owned(), count: 0.0 }];
        let drawn = funnel("empty", &steps, &|count| format!("{count}")).into_string();
        assert!(drawn.contains("0.0 %") && drawn.contains('…') && !drawn.contains("NaN"));
    }
}
