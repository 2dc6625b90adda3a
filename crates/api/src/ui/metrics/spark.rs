//! A line without axes, for cards.

use super::answer::Series;
use maud::{Markup, html};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 44.0;

/// The series as a small line with the area under it.
pub(super) fn line(series: &Series) -> Markup {
    let most = series.most().filter(|most| *most > 0.0).unwrap_or(1.0);
    let last = series.values.len().saturating_sub(1).max(1) as f64;
    let points: Vec<String> = series
        .values
        .iter()
        .enumerate()
        .filter_map(|(place, value)| {
            let (x, y) =
                (place as f64 / last * WIDTH, HEIGHT - 2.0 - (*value)? / most * (HEIGHT - 4.0));
            Some(format!("{x:.1} {y:.1}"))
        })
        .collect();
    let (Some(first), Some(end)) = (points.first(), points.last()) else { return html! {} };
    let x_of = |point: &String| point.split(' ').next().unwrap_or("0").to_owned();
    let line = format!("M{}", points.join("L"));
    let area = format!("{line}L{} {HEIGHT}L{} {HEIGHT}Z", x_of(end), x_of(first));
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            path.spark-area d=(area) {}
            path.spark-line d=(line) {}
        }
    }
}
