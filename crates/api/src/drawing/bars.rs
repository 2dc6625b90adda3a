//! Bars over time, one series upon the other.

use super::{COLOURS, Chart, Scale};
use maud::{Markup, html};

pub(super) const HEIGHT: f64 = 260.0;
/// Room for the numbers at the left and the times below.
pub(super) const LEFT: f64 = 52.0;
pub(super) const BELOW: f64 = 24.0;
pub(super) const ABOVE: f64 = 10.0;
/// So much room each time below takes.
const TIME_WIDTH: f64 = 92.0;

impl Chart<'_> {
    fn value(&self, series: usize, at: usize) -> f64 {
        let value = self.series[series].values.get(at).copied().flatten();
        value.filter(|value| value.is_finite() && *value > 0.0).unwrap_or(0.0)
    }

    fn sum(&self, at: usize) -> f64 {
        (0..self.series.len()).map(|series| self.value(series, at)).sum()
    }

    /// The numbers as bars, one series upon the other; none of them is negative.
    pub(crate) fn bars(&self) -> Markup {
        let most = (0..self.times.len()).map(|at| self.sum(at)).fold(0.0, f64::max);
        let scale = Scale::up_to(most);
        let (room, tall) = (self.width - LEFT, HEIGHT - ABOVE - BELOW);
        let slot = room / self.times.len().max(1) as f64;
        let width = (slot * 0.78).max(0.5);
        let every = self.every();
        html! {
            svg.drawing.drawing-bars viewBox={ "0 0 " (self.width) " " (HEIGHT) } role="img" aria-label=(self.label) {
                (self.axis(&scale, tall))
                @for at in 0..self.times.len() {
                    @let x = LEFT + slot * at as f64 + (slot - width) / 2.0;
                    g {
                        title { (self.told(at)) }
                        (self.bar(at, x, width, &scale, tall))
                    }
                    @if at % every == 0 {
                        text.draw-soft x=(round(x + width / 2.0)) y=(HEIGHT - 6.0) text-anchor="middle" { (self.times[at]) }
                    }
                }
            }
        }
    }

    /// Every so many times one is written below.
    pub(super) fn every(&self) -> usize {
        let fit = ((self.width - LEFT) / TIME_WIDTH).max(1.0) as usize;
        self.times.len().div_ceil(fit).max(1)
    }

    /// Rules at the marks of a scale, with their numbers.
    pub(super) fn axis(&self, scale: &Scale, tall: f64) -> Markup {
        html! {
            @for mark in &scale.marks {
                @let y = ABOVE + tall - scale.place(*mark, tall);
                line.draw-rule x1=(LEFT) x2=(self.width) y1=(round(y)) y2=(round(y)) {}
                text.draw-soft x=(LEFT - 8.0) y=(round(y + 4.0)) text-anchor="end" { ((self.written)(*mark)) }
            }
        }
    }

    fn bar(&self, at: usize, x: f64, width: f64, scale: &Scale, tall: f64) -> Markup {
        let mut below = 0.0;
        let mut parts = Vec::new();
        for series in 0..self.series.len() {
            let value = self.value(series, at);
            let (from, to) = (scale.place(below, tall), scale.place(below + value, tall));
            below += value;
            if to > from {
                parts.push((series % COLOURS, ABOVE + tall - to, to - from));
            }
        }
        html! {
            @for (colour, y, height) in parts {
                rect class={ "draw-" (colour) } x=(round(x)) y=(round(y)) width=(round(width)) height=(round(height)) {}
            }
        }
    }

    /// What stands where the pointer rests.
    fn told(&self, at: usize) -> String {
        let mut lines = vec![self.times[at].clone()];
        for (series, one) in self.series.iter().enumerate() {
            let value = self.value(series, at);
            if value > 0.0 {
                lines.push(format!("{}: {}", one.name, (self.written)(value)));
            }
        }
        lines.join("\n")
    }
}

/// A tenth of a unit is finer than anybody sees.
pub(super) fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::super::DrawnSeries;
    use super::*;

    #[test]
    fn bars_stand_upon_each_other() {
        let times = ["Mon".to_owned(), "Tue".to_owned()];
        let written = |value: f64| format!("{value}");
        let (a, b) = ([Some(1.0), None], [Some(3.0), Some(2.0)]);
        let series = [DrawnSeries { name: "a", values: &a }, DrawnSeries { name: "b", values: &b }];
        let chart = Chart {
            label: "both",
            width: 960.0,
            times: &times,
            series: &series,
            written: &written,
        };
        let drawn = chart.bars().into_string();
        assert_eq!(drawn.matches("<rect").count(), 3, "what is nothing is not drawn");
        // 226 units tall for 4: the second stands on the first.
        assert!(
            drawn.contains(r#"class="draw-0" x="101.9" y="179.5" width="354.1" height="56.5""#),
            "{drawn}"
        );
        assert!(
            drawn.contains(r#"class="draw-1" x="101.9" y="10" width="354.1" height="169.5""#),
            "{drawn}"
        );
        assert!(drawn.contains("<title>Mon\na: 1\nb: 3</title>"));
        assert!(drawn.contains(r#"aria-label="both""#));
    }

    #[test]
    fn nothing_is_drawn_as_an_empty_axis() {
        let written = |value: f64| format!("{value}");
        let chart =
            Chart { label: "none", width: 960.0, times: &[], series: &[], written: &written };
        assert_eq!(chart.bars().into_string().matches("<rect").count(), 0);
    }
}
