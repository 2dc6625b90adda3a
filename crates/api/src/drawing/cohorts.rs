//! Cohorts: who began together, and how many of them are still there after each period.

use maud::{Markup, html};

/// Width of a cell, and of the names at the left.
const CELL: f64 = 54.0;
const LEFT: f64 = 150.0;
const ROW: f64 = 28.0;
/// So many shades.
const SHADES: f64 = 10.0;

/// People or devices that began in the same period.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cohort {
    /// When they began.
    pub(crate) name: String,
    /// How many there are.
    pub(crate) size: f64,
    /// Which share came back in each period; `None`: the period is not over.
    pub(crate) shares: Vec<Option<f64>>,
}

/// One row for each cohort, one of the `columns` for each period, the darker the more are still there.
pub(crate) fn cohorts(
    label: &str,
    columns: &[String],
    cohorts: &[Cohort],
    written: &dyn Fn(f64) -> String,
) -> Markup {
    let periods = columns.len();
    let width = LEFT + CELL * periods as f64;
    let height = ROW * (cohorts.len() + 1) as f64;
    html! {
        svg.drawing.drawing-cohorts viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" aria-label=(label) {
            @for (period, name) in columns.iter().enumerate() {
                text.draw-soft x=(LEFT + CELL * (period as f64 + 0.5)) y=(ROW - 10.0) text-anchor="middle" { (name) }
            }
            @for (row, cohort) in cohorts.iter().enumerate() {
                @let y = ROW * (row + 1) as f64;
                text x="0" y=(y + 18.0) { (cohort.name) }
                text.draw-soft x=(LEFT - 12.0) y=(y + 18.0) text-anchor="end" { (written(cohort.size)) }
                @for (period, share) in cohort.shares.iter().enumerate() {
                    @if let Some(share) = share {
                        @let shade = (share.clamp(0.0, 1.0) * SHADES).round();
                        @let x = LEFT + CELL * period as f64;
                        rect.draw-back x=(x + 1.0) y=(y + 1.0) width=(CELL - 2.0) height=(ROW - 2.0) rx="3" {}
                        rect.draw-cell x=(x + 1.0) y=(y + 1.0) width=(CELL - 2.0) height=(ROW - 2.0) rx="3" fill-opacity=(shade * 0.085) {}
                        text class=[(shade >= 6.0).then_some("draw-on")] x=(x + CELL / 2.0) y=(y + 18.0) text-anchor="middle" { (percent(*share)) }
                    }
                }
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_are_there_the_darker_and_what_is_not_over_is_empty() {
        let cohort = Cohort {
            name: "2026-11-02".to_owned(),
            size: 120.0,
            shares: vec![Some(1.0), Some(0.42), None],
        };
        let columns = ["day 0", "day 1", "day 2"].map(str::to_owned);
        let written = |size: f64| format!("{size}");
        let drawn = cohorts("came back", &columns, &[cohort], &written).into_string();
        assert_eq!(drawn.matches("draw-cell").count(), 2);
        assert!(drawn.contains("42 %") && drawn.contains(">day 2<"), "{drawn}");
        assert!(drawn.contains("draw-on") && drawn.contains(r#"fill-opacity="0.34""#), "{drawn}");
    }
}
