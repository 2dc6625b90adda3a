//! How a copy is, as its card and its page show it.

use crate::ui::number;
use crate::ui::shown::text;
use maud::{Markup, html};
use serde_json::Value;

/// The word of its state, with a colour for whether a person has to look.
pub(super) fn badge(copy: &Value) -> Markup {
    let state = text(copy, "state");
    let dot = match state {
        "following" | "snapshot" => "good",
        "paused" => "bad",
        _ => "warn",
    };
    html! { span.copy-state { span class={ "dot " (dot) } {} (state) } }
}

/// Its state in a sentence; while it is read, how much of it.
pub(super) fn sentence(copy: &Value) -> Markup {
    let part = copy["snapshot_part"].as_f64();
    html! {
        p.copy-status { (first_upper(text(copy, "status"))) }
        @if let Some(part) = part {
            progress.copy-progress max="100" value=(format!("{:.0}", part * 100.0)) aria-label="How much was read" {}
        }
    }
}

/// Rows a second, and how long it still takes.
pub(super) fn pace(copy: &Value) -> Option<String> {
    let rate = copy["rows_per_second"].as_f64().filter(|rate| *rate > 0.0)?;
    let mut told = format!("{} rows/s", number::count(rate as u64));
    if let Some(left) = copy["seconds_left"].as_f64() {
        told.push_str(&format!(", {} left", duration((left * 1000.0) as u64)));
    }
    Some(told)
}

/// How far it is behind; `None` where the source does not say it in time.
pub(super) fn lag(copy: &Value) -> Option<String> {
    let is_there = text(copy, "state") == "following";
    copy["lag_ms"].as_u64().filter(|_| is_there).map(duration)
}

/// Milliseconds as people say them.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..=59_999 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..=3_599_999 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// What a person does next, if anything.
pub(super) fn next_step(copy: &Value) -> Option<&'static str> {
    match text(copy, "state") {
        "proposed" => Some("A guardian reads the plan and signs it."),
        "signed" => Some("An engineer starts it."),
        "waiting" => Some(
            "It tries again by itself and goes on where it stopped: nothing is lost. Look at the \
             source, its address and its certificate if it stays.",
        ),
        "paused" => Some(
            "It goes on where it stopped once somebody resumes it. What the reason names has to be \
             mended first. A database keeps its log meanwhile, up to the limit of the plan.",
        ),
        "stopped" => Some("An engineer resumes it; the server's log has the cause."),
        _ => None,
    }
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_copy_in_words() {
        let reading = json!({ "state": "snapshot", "status": "snapshot 43 %", "snapshot_part": 0.43,
                              "rows_per_second": 81234.0, "seconds_left": 72.0, "lag_ms": 5 });
        assert_eq!(pace(&reading).unwrap(), "81,234 rows/s, 1 min 12 s left");
        assert_eq!(lag(&reading), None, "what is not followed is not behind");
        let drawn = sentence(&reading).into_string();
        assert!(drawn.contains("Snapshot 43 %") && drawn.contains("value=\"43\""), "{drawn}");
        let following = json!({ "state": "following", "rows_per_second": 0.0, "lag_ms": 1_240 });
        assert_eq!((lag(&following).as_deref(), pace(&following)), (Some("1.2 s"), None));
        assert!(
            next_step(&following).is_none() && next_step(&json!({ "state": "paused" })).is_some()
        );
        assert_eq!(duration(3_725_000), "1 h 2 min");
    }
}
