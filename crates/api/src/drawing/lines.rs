//! Lines over time, one for each series.

use super::bars::{ABOVE, BELOW, HEIGHT, LEFT, round};
use super::{COLOURS, Chart, Scale};
use maud::{Markup, html};

impl Chart<'_> {
    /// The numbers as lines. Where one is missing the line is broken.
    pub(crate) fn lines(&self) -> Markup {
        let known = self.series.iter().flat_map(|series| series.values.iter().flatten());
        let scale = Scale::up_to(known.copied().fold(0.0, f64::max));
        let (room, tall) = (self.width - LEFT - 8.0, HEIGHT - ABOVE - BELOW);
        let step = room / self.times.len().saturating_sub(1).max(1) as f64;
        let every = self.every();
        html! {
            svg.drawing.drawing-lines viewBox={ "0 0 " (self.width) " " (HEIGHT) } role="img" aria-label=(self.label) {
                (self.axis(&scale, tall))
                @for (at, time) in self.times.iter().enumerate().filter(|(at, _)| at % every == 0) {
                    text.draw-soft x=(round(LEFT + step * at as f64)) y=(HEIGHT - 6.0) text-anchor=(if at == 0 { "start" } else { "middle" }) { (time) }
                }
                @for (colour, series) in self.series.iter().enumerate() {
                    path class={ "draw-line draw-line-" (colour % COLOURS) } fill="none" stroke-width="1.75" stroke-linejoin="round"
                        d=(path(series.values, step, &|value| ABOVE + tall - scale.place(value, tall))) {
                        title { (series.name) }
                    }
                }
            }
        }
    }
}

fn path(values: &[Option<f64>], step: f64, place: &dyn Fn(f64) -> f64) -> String {
    let mut path = String::with_capacity(values.len() * 12);
    let mut is_open = false;
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_open = false;
            continue;
        };
        let (x, y) = (round(LEFT + step * at as f64), round(place(*value)));
        path.push_str(&format!("{}{x} {y}", if is_open { 'L' } else { 'M' }));
        is_open = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::DrawnSeries;
    use super::*;

    #[test]
    fn a_line_is_broken_where_nothing_is_known() {
        let times = ["a", "b", "c", "d"].map(str::to_owned);
        let values = [Some(0.0), Some(4.0), None, Some(2.0)];
        let series = [DrawnSeries { name: "x", values: &values }];
        let written = |value: f64| format!("{value}");
        let chart =
            Chart { label: "l", width: 960.0, times: &times, series: &series, written: &written };
        let drawn = chart.lines().into_string();
        assert!(drawn.contains("d=\"M52 236L352 10M952 123\""), "{drawn}");
    }
}
