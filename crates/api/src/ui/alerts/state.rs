//! How an alert is, in words: the same on every page.

use crate::ui::metrics::Declared;
use crate::ui::number;
use crate::ui::shown::{list, text, texts, time, whole};
use maud::{Markup, html};
use serde_json::Value;

/// The badge of a state.
pub(super) fn badge(alert: &Value) -> Markup {
    let word = text(alert, "state");
    let class = match word {
        "firing" => "badge class-secret",
        "pending" => "badge class-personal",
        "stopped" => "badge class-withheld",
        "quiet" => "badge class-applied",
        _ => "badge",
    };
    html! {
        span class=(class) { @if word == "hidden" { "not shown" } @else { (word) } }
        @if alert["silence"].is_object() { " " span.badge { "silenced" } }
    }
}

/// What is to be done about it, if anything.
pub(super) fn next_step(alert: &Value) -> Markup {
    let trouble = text(alert, "trouble");
    html! {
        @match text(alert, "state") {
            "firing" => "Look at its groups; silence it while somebody works on it.",
            "pending" => "It holds, but not yet for as long as the rule says.",
            "stopped" => "It looks no more. Somebody who may ask its question declares it anew: edit and save it.",
            "new" => "It is looked at within seconds.",
            "hidden" => "You see only some rows of what it looks at. Its chart shows what they say.",
            _ if !trouble.is_empty() => "It was not answered, and tries again.",
            _ => "Nothing to do.",
        }
    }
}

/// Until when nobody is told, and why.
pub(super) fn silence(alert: &Value) -> Markup {
    let silence = &alert["silence"];
    html! {
        @if silence.is_object() {
            "Silenced until " (time(text(silence, "until"))) " by " strong { (text(silence, "by")) } ": " (text(silence, "why"))
        }
    }
}

/// A number of the alert's metric; as it is, if the metric is not known any more.
pub(super) fn written(metric: Option<&Declared>, value: Option<f64>) -> String {
    match (metric, value) {
        (Some(metric), value) => metric.written(value),
        (None, Some(value)) => number::plain(value),
        (None, None) => "–".to_owned(),
    }
}

/// What fires it, as a sentence goes on after "when it is".
pub(super) fn condition(rule: &Value, metric: Option<&Declared>) -> String {
    let when = &rule["when"];
    let number = |value: &Value| written(metric, value.as_f64());
    let clear = |at: &Value, side: &str| match when["clear"] == *at {
        true => String::new(),
        false => format!(", and well again at {} and {side}", number(&when["clear"])),
    };
    if !when["above"].is_null() {
        return format!("above {}{}", number(&when["above"]), clear(&when["above"], "below"));
    }
    if !when["below"].is_null() {
        return format!("below {}{}", number(&when["below"]), clear(&when["below"], "above"));
    }
    if when["absent_for"].is_string() {
        return format!("nothing, or nothing but zeros, for {}", text(when, "absent_for"));
    }
    let change = &when["change"];
    let direction = match text(change, "direction") {
        "up" => "above",
        "down" => "below",
        _ => "away from",
    };
    let like = match (text(change, "season"), text(rule, "grain")) {
        ("week", "day") => "the same weekday",
        ("week", _) => "the same hour and weekday",
        ("day", "hour") => "the same hour of the day",
        _ => "all intervals",
    };
    let least = number(&change["at_least"]);
    // A share of a share would be something else.
    let least = match metric.is_some_and(Declared::is_ratio) {
        true => least.replace(" %", " percentage points"),
        false => least,
    };
    format!(
        "at least {least} and {} deviations {direction} the median of {like} before",
        number::plain(change["deviations"].as_f64().unwrap_or(0.0)),
    )
}

/// How many of its groups fire, if the caller may know.
pub(super) fn groups(alert: &Value) -> String {
    if alert["firing"].is_null() {
        return "–".to_owned();
    }
    let (firing, all) = (whole(alert, "firing"), whole(alert, "groups"));
    match list(alert, "by").len() {
        0 if firing > 0 => "yes".to_owned(),
        0 => "no".to_owned(),
        _ => format!("{firing} of {}", number::of(all, "group", "groups")),
    }
}

/// The value of the group that is furthest off, with its name; for the author alone.
pub(super) fn worst(alert: &Value, metric: Option<&Declared>) -> Markup {
    let worst = &alert["worst"];
    html! {
        @if worst.is_object() {
            (written(metric, worst["value"].as_f64()))
            @let group = texts(worst, "group").join(" · ");
            @if !group.is_empty() { " " span.faint { (group) } }
        } @else { "–" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(when: Value) -> Value {
        json!({ "grain": "day", "when": when })
    }

    #[test]
    fn rules_are_sentences() {
        let rate = Declared::read(&json!({ "name": "rate", "type": "ratio" })).unwrap();
        let of = |when| condition(&rule(when), Some(&rate));
        assert_eq!(of(json!({ "above": 0.2, "clear": 0.2 })), "above 20.0 %");
        assert_eq!(
            of(json!({ "below": 0.2, "clear": 0.3 })),
            "below 20.0 %, and well again at 30.0 % and above"
        );
        let change =
            json!({ "direction": "up", "at_least": 0.1, "deviations": 5.0, "season": "week" });
        assert_eq!(
            of(json!({ "change": change })),
            "at least 10.0 percentage points and 5 deviations above the median of the same weekday \
             before"
        );
        let nothing = condition(&rule(json!({ "absent_for": "2h" })), None);
        assert_eq!(nothing, "nothing, or nothing but zeros, for 2h");
    }

    #[test]
    fn every_state_has_its_next_step() {
        let of = |state: &str| {
            let alert = json!({ "state": state });
            (badge(&alert).into_string(), next_step(&alert).into_string())
        };
        let states = ["firing", "pending", "stopped", "new", "hidden", "quiet"];
        let shown: Vec<(String, String)> = states.into_iter().map(of).collect();
        for (at, one) in shown.iter().enumerate() {
            assert!(
                !shown[..at].iter().any(|other| other.0 == one.0 || other.1 == one.1),
                "{one:?}"
            );
        }
        let troubled = json!({ "state": "quiet", "trouble": "the disk is full" });
        assert!(next_step(&troubled).into_string().contains("tries again"));
        let silenced =
            json!({ "state": "firing", "silence": { "until": "", "by": "", "why": "" } });
        assert!(badge(&silenced).into_string().contains("silenced"));
    }

    #[test]
    fn what_is_not_told_is_not_shown() {
        let hidden = json!({ "state": "hidden", "by": ["shop"], "firing": null, "groups": null });
        assert_eq!((groups(&hidden), worst(&hidden, None).into_string()), ("–".into(), "–".into()));
        let told = json!({ "by": ["shop"], "firing": 1, "groups": 12,
                           "worst": { "group": ["heron"], "value": 5.0 } });
        assert_eq!(groups(&told), "1 of 12 groups");
        assert!(worst(&told, None).into_string().contains("heron"));
        assert_eq!(groups(&json!({ "by": [], "firing": 0, "groups": 1 })), "no");
    }
}
