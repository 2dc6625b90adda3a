use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// What a bar counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counting {
    /// Documents out of a known number.
    Documents,
    /// Bytes of files.
    Bytes,
    /// Thousandths of something that says by itself how far it is.
    Share,
}

/// A bar on a terminal; nothing in a pipe.
pub(crate) fn bar(counting: Counting, total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    }
    let template = match counting {
        Counting::Documents => "{msg:>12} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
        Counting::Bytes => "{msg:>12} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        Counting::Share => "{wide_bar} {msg}",
    };
    let style = ProgressStyle::with_template(template)
        .expect("the template is fixed")
        .progress_chars("━╸─");
    ProgressBar::new(total).with_style(style)
}

/// A bar of so many characters for a line of text, filled up to this part.
pub(crate) fn drawn(part: f64, width: usize) -> String {
    let filled = ((part.clamp(0.0, 1.0) * width as f64) as usize).min(width);
    format!("{}{}", "━".repeat(filled), "─".repeat(width - filled))
}

/// A number with a comma at every thousand.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_drawn() {
        let bars: Vec<String> = [-1.0, 0.0, 0.5, 0.99, 1.0, 2.0].map(|part| drawn(part, 4)).into();
        assert_eq!(bars, ["────", "────", "━━──", "━━━─", "━━━━", "━━━━"]);
    }

    #[test]
    fn thousands_are_grouped() {
        let texts: Vec<String> = [0, 999, 1_000, 2_000_000].map(grouped).into();
        assert_eq!(texts, ["0", "999", "1,000", "2,000,000"]);
    }
}
