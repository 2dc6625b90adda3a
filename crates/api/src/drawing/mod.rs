//! Drawings of numbers as SVG: funnels, cohorts, stacked bars, lines.
//!
//! Plain functions from numbers to SVG. They know no page, so that reports draw with them too:
//! in a page their colours come from the style sheet, by class; [`standalone`] puts the colours
//! into the drawing itself. A drawing never is the only place of a number: whoever places one
//! puts a table beside it.

mod bars;
mod cohorts;
mod funnel;
mod lines;
mod scale;

pub(crate) use cohorts::{Cohort, cohorts};
pub(crate) use funnel::{Step, funnel};
pub(crate) use scale::Scale;

use maud::Markup;

/// So many colours; a further series has the colour of the first again.
pub(crate) const COLOURS: usize = 8;

/// Numbers over time, to be drawn as bars or as lines.
pub(crate) struct Chart<'a> {
    /// What it shows, in a sentence, for who cannot see it.
    pub(crate) label: &'a str,
    /// About how wide it will be shown, in pixels: texts are then as large as others.
    pub(crate) width: f64,
    /// What stands under each place.
    pub(crate) times: &'a [String],
    /// Bars: from the bottom up.
    pub(crate) series: &'a [DrawnSeries<'a>],
    /// How numbers are written.
    pub(crate) written: &'a dyn Fn(f64) -> String,
}

/// The numbers of one group.
pub(crate) struct DrawnSeries<'a> {
    /// What it is called.
    pub(crate) name: &'a str,
    /// One for each time.
    pub(crate) values: &'a [Option<f64>],
}

/// The colours of the style sheet, for drawings that stand alone. Kept equal to `data.css` by a
/// test.
const LIGHT: [&str; COLOURS] =
    ["#4456c7", "#1f8a70", "#c2791b", "#c23a4b", "#7a4fc0", "#2484b5", "#8a8f1f", "#6b7280"];
const DARK: [&str; COLOURS] =
    ["#8b9bff", "#4cc9a4", "#f0b35c", "#ff8a94", "#c39bff", "#64c2ee", "#d0d55a", "#a7adba"];

/// A drawing that needs no style sheet: a file, or a part of a report.
pub(crate) fn standalone(drawing: &Markup) -> String {
    let colours = |colours: [&str; COLOURS]| -> String {
        let rule = |(at, colour): (usize, &str)| {
            format!(".draw-{at}{{fill:{colour}}}.draw-line-{at}{{stroke:{colour}}}")
        };
        colours.into_iter().enumerate().map(rule).collect()
    };
    let style = format!(
        "<style>text{{font:12px system-ui,sans-serif;fill:#1b1d23}}.draw-soft{{fill:#5b5f6b}}\
         .draw-rule{{stroke:#e4e5e9}}.draw-back{{fill:#f0f1f4}}.draw-cell{{fill:#4456c7}}\
         .draw-on{{fill:#fff}}{}@media(prefers-color-scheme:dark){{text{{fill:#e7e8ec}}\
         .draw-soft{{fill:#a3a7b3}}.draw-rule{{stroke:#2a2c33}}.draw-back{{fill:#22242a}}\
         .draw-cell{{fill:#8b9bff}}.draw-on{{fill:#12131c}}{}}}</style>",
        colours(LIGHT),
        colours(DARK),
    );
    let drawing = drawing.0.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1);
    drawing.replacen('>', &format!(">{style}"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use maud::html;

    #[test]
    fn the_colours_are_those_of_the_style_sheet() {
        let sheet = include_str!("../ui/assets/data.css");
        for (at, (light, dark)) in LIGHT.iter().zip(DARK).enumerate() {
            let rule = format!("--series-{at}: light-dark({light}, {dark})");
            assert!(sheet.contains(&rule), "{rule}");
        }
    }

    #[test]
    fn a_drawing_alone_brings_its_colours() {
        let alone = standalone(&html! { svg viewBox="0 0 1 1" { rect class="draw-0" {} } });
        assert!(alone.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox"));
        assert!(alone.contains("><style>") && alone.contains(".draw-0{fill:#4456c7}"));
        assert!(alone.ends_with("</svg>"));
    }
}
