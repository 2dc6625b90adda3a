//! What an alert is, as people write it down: YAML.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// So many alerts in one file.
const ALERTS_MAX: usize = 100;
/// So many intervals are looked at, at most.
const POINTS_MAX: i64 = 5_000;

/// One alert, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) label: String,
    /// The declared metric that it is about.
    pub(crate) metric: String,
    pub(crate) grain: Grain,
    /// Each value of these dimensions is a group with a state of its own.
    pub(crate) by: Vec<String>,
    pub(crate) filters: Map<String, Json>,
    pub(crate) when: Condition,
    /// So long it has to hold before anybody is told.
    pub(crate) for_ms: i64,
    /// How often it is looked at.
    pub(crate) every_ms: i64,
    /// An interval counts so long after it is over: rows come late.
    pub(crate) delay_ms: i64,
    /// How far back is looked.
    pub(crate) history_ms: i64,
    /// The names of targets; `None`: all.
    pub(crate) notify: Option<BTreeSet<String>>,
}

/// How long the intervals are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    Hour,
    Day,
}

/// When there is something to tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// The last interval is above or below a number; well again on the other side of `clear`.
    Threshold { side: Side, at: f64, clear: f64 },
    /// The last interval is not as those before it.
    Change { direction: Direction, deviations: f64, at_least: f64, season: Season },
    /// No interval of late has anything.
    Absent { for_ms: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Above,
    Below,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    Up,
    Down,
    Either,
}

/// With which intervals of the past one is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Season {
    /// Those of the same hour of the same weekday; of the same weekday, where intervals are days.
    Week,
    /// Those of the same hour of the day.
    Day,
    /// All.
    None,
}

/// Why a text is no file of alerts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("line {line}: {reason}")]
    Form { line: usize, reason: String },
    #[error("alert `{name}`: {reason}")]
    Alert { name: String, reason: String },
}

impl Grain {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Grain::Hour => "hour",
            Grain::Day => "day",
        }
    }

    pub(crate) fn step_ms(self) -> i64 {
        match self {
            Grain::Hour => HOUR_MS,
            Grain::Day => DAY_MS,
        }
    }
}

impl Rule {
    /// What is asked of the metric, for complete intervals before `end`.
    pub(crate) fn question(&self, start: i64, end: i64) -> Json {
        let mut question = json!({ "grain": self.grain.as_str(), "from": start, "to": end });
        if !self.by.is_empty() {
            question["dimensions"] = json!(self.by);
        }
        if !self.filters.is_empty() {
            question["filters"] = Json::Object(self.filters.clone());
        }
        question
    }

    /// The end of the last interval that counts at `now`.
    pub(crate) fn end(&self, now: i64) -> i64 {
        let step = self.grain.step_ms();
        (now - self.delay_ms).div_euclid(step) * step
    }

    /// What fires it, in words.
    pub(crate) fn condition_text(&self) -> String {
        match &self.when {
            Condition::Threshold { side: Side::Above, at, clear } => {
                format!("above {at}, well again at {clear} and below")
            }
            Condition::Threshold { side: Side::Below, at, clear } => {
                format!("below {at}, well again at {clear} and above")
            }
            Condition::Change { direction, deviations, at_least, season } => {
                let direction = match direction {
                    Direction::Up => "above",
                    Direction::Down => "below",
                    Direction::Either => "away from",
                };
                let season = match season {
                    Season::Week => "the same hour and weekday",
                    Season::Day => "the same hour of the day",
                    Season::None => "all intervals",
                };
                format!(
                    "{at_least} and {deviations} deviations {direction} the median of {season} \
                     before"
                )
            }
            Condition::Absent { for_ms } => {
                format!("nothing for {} h", for_ms / HOUR_MS)
            }
        }
    }
}

impl Rule {
    /// As people write it down: what a form shows, and what declares it again.
    pub(crate) fn written(&self) -> Json {
        let when = match &self.when {
            Condition::Threshold { side, at, clear } => {
                let side = match side {
                    Side::Above => "above",
                    Side::Below => "below",
                };
                json!({ side: at, "clear": clear })
            }
            Condition::Change { direction, deviations, at_least, season } => {
                let direction = match direction {
                    Direction::Up => "up",
                    Direction::Down => "down",
                    Direction::Either => "either",
                };
                let season = match season {
                    Season::Week => "week",
                    Season::Day => "day",
                    Season::None => "none",
                };
                json!({ "change": { "direction": direction, "at_least": at_least,
                                    "deviations": deviations, "season": season } })
            }
            Condition::Absent { for_ms } => json!({ "absent_for": duration_text(*for_ms) }),
        };
        let mut written = json!({
            "name": self.name,
            "label": self.label,
            "metric": self.metric,
            "grain": self.grain.as_str(),
            "by": self.by,
            "filters": self.filters,
            "when": when,
            "for": duration_text(self.for_ms),
            "every": duration_text(self.every_ms),
            "delay": duration_text(self.delay_ms),
            "history": duration_text(self.history_ms),
        });
        if let Some(targets) = &self.notify {
            written["notify"] = json!(targets);
        }
        written
    }
}

/// What [`duration`] reads: in the largest unit of which it is a whole number.
fn duration_text(ms: i64) -> String {
    let units = [(DAY_MS, 'd'), (HOUR_MS, 'h'), (MINUTE_MS, 'm')];
    let fits = |(unit, _): &(i64, char)| ms > 0 && ms % unit == 0;
    let (unit, letter) = units.into_iter().find(fits).unwrap_or((1_000, 's'));
    format!("{}{letter}", ms / unit)
}

/// A file of alerts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    alerts: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    name: String,
    #[serde(default)]
    label: String,
    metric: String,
    grain: String,
    #[serde(default)]
    by: Vec<String>,
    #[serde(default)]
    filters: Map<String, Json>,
    when: WrittenCondition,
    #[serde(rename = "for")]
    for_time: Option<String>,
    every: Option<String>,
    delay: Option<String>,
    history: Option<String>,
    notify: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCondition {
    above: Option<f64>,
    below: Option<f64>,
    clear: Option<f64>,
    change: Option<WrittenChange>,
    absent_for: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenChange {
    direction: Direction,
    /// In the unit of the metric.
    at_least: f64,
    deviations: Option<f64>,
    season: Option<Season>,
}

/// Reads a file of alerts.
pub(crate) fn parse(yaml: &str) -> Result<Vec<Rule>, RuleError> {
    let file: WrittenFile = serde_norway::from_str(yaml).map_err(|error| RuleError::Form {
        line: error.location().map_or(0, |place| place.line()),
        reason: error.to_string(),
    })?;
    let whole = |reason: &str| RuleError::Form { line: 0, reason: reason.to_owned() };
    if file.alerts.is_empty() || file.alerts.len() > ALERTS_MAX {
        return Err(whole(&format!("a file has 1 to {ALERTS_MAX} alerts")));
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(file.alerts.len());
    for written in file.alerts {
        let name = written.name.clone();
        let rule = read(written).map_err(|reason| RuleError::Alert { name, reason })?;
        if rules.iter().any(|other| other.name == rule.name) {
            let reason = "two alerts have this name".to_owned();
            return Err(RuleError::Alert { name: rule.name, reason });
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn read(written: WrittenRule) -> Result<Rule, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if !(1..=64).contains(&written.name.len()) || !written.name.chars().all(is_plain) {
        return Err("`name` is 1 to 64 of a-z, 0-9, - and _".to_owned());
    }
    let label = if written.label.is_empty() { written.name.clone() } else { written.label };
    if label.len() > 200 || label.chars().any(char::is_control) {
        return Err("`label` is one line of at most 200 bytes".to_owned());
    }
    let grain = match written.grain.as_str() {
        "hour" => Grain::Hour,
        "day" => Grain::Day,
        _ => return Err("`grain` is hour or day".to_owned()),
    };
    let or = |text: Option<String>, name: &str, usual: i64| {
        text.map_or(Ok(usual), |text| duration(&text, name))
    };
    let when = condition(written.when, grain)?;
    let rule = Rule {
        name: written.name,
        label,
        metric: written.metric,
        grain,
        by: written.by,
        filters: written.filters,
        when,
        for_ms: or(written.for_time, "for", 0)?,
        every_ms: or(written.every, "every", 5 * MINUTE_MS)?,
        delay_ms: or(written.delay, "delay", 5 * MINUTE_MS)?,
        history_ms: or(written.history, "history", 28 * DAY_MS)?,
        notify: written.notify,
    };
    if rule.every_ms < 10_000 {
        return Err("`every` is at least 10s".to_owned());
    }
    if rule.by.len() > 3 {
        return Err("`by` names three dimensions at most".to_owned());
    }
    let points = rule.history_ms / grain.step_ms();
    if !(1..=POINTS_MAX).contains(&points) {
        return Err(format!("`history` is 1 to {POINTS_MAX} intervals long"));
    }
    if let Condition::Absent { for_ms } = rule.when
        && for_ms >= rule.history_ms
    {
        return Err("`absent_for` is shorter than `history`".to_owned());
    }
    Ok(rule)
}

fn condition(written: WrittenCondition, grain: Grain) -> Result<Condition, String> {
    let WrittenCondition { above, below, clear, change, absent_for } = written;
    let threshold = |side, at: f64| {
        let clear = clear.unwrap_or(at);
        let is_beyond = match side {
            Side::Above => clear > at,
            Side::Below => clear < at,
        };
        match is_beyond || !at.is_finite() || !clear.is_finite() {
            true => Err("`clear` lies on the well side of the threshold".to_owned()),
            false => Ok(Condition::Threshold { side, at, clear }),
        }
    };
    match (above, below, change, absent_for) {
        (Some(at), None, None, None) => threshold(Side::Above, at),
        (None, Some(at), None, None) => threshold(Side::Below, at),
        (None, None, Some(change), None) if clear.is_none() => {
            let deviations = change.deviations.unwrap_or(5.0);
            let usual = if grain == Grain::Day { Season::Week } else { Season::Day };
            let is_amount = change.at_least > 0.0 && change.at_least.is_finite();
            if !is_amount || !(0.5..=100.0).contains(&deviations) {
                return Err("`at_least` is above 0, and `deviations` 0.5 to 100".to_owned());
            }
            Ok(Condition::Change {
                direction: change.direction,
                deviations,
                at_least: change.at_least,
                season: change.season.unwrap_or(usual),
            })
        }
        (None, None, None, Some(time)) if clear.is_none() => {
            let for_ms = duration(&time, "absent_for")?;
            match for_ms >= grain.step_ms() {
                true => Ok(Condition::Absent { for_ms }),
                false => Err("`absent_for` is at least one interval".to_owned()),
            }
        }
        _ => Err("`when` is one of above, below, change and absent_for; `clear` goes with the \
                  first two"
            .to_owned()),
    }
}

/// `90s`, `10m`, `2h` or `7d`, in milliseconds.
pub(crate) fn duration(text: &str, name: &str) -> Result<i64, String> {
    let wrong = || format!("`{name}` is a time such as 90s, 10m, 2h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => MINUTE_MS,
        'h' => HOUR_MS,
        'd' => DAY_MS,
        _ => return Err(wrong()),
    };
    let number: i64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    if !(0..=10_000).contains(&number) {
        return Err(wrong());
    }
    Ok(number * unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &str = "
alerts:
  - name: failing_firmware
    label: Failed connections by firmware
    metric: failed_connection_rate
    grain: day
    by: [firmware]
    filters: { model: [cam-3] }
    when: { change: { direction: up, at_least: 0.1 } }
    for: 10m
    notify: [ops]
";

    #[track_caller]
    fn refused(yaml: &str, expected: &str) {
        let error = parse(yaml).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_file_is_read_with_its_usual_values() {
        let rule = parse(CHANGE).unwrap().remove(0);
        assert_eq!((rule.for_ms, rule.every_ms, rule.history_ms), (600_000, 300_000, 28 * DAY_MS));
        let Condition::Change { deviations, season, .. } = rule.when else { panic!() };
        assert_eq!((deviations, season), (5.0, Season::Week));
        let question = rule.question(0, DAY_MS);
        assert_eq!(
            question,
            json!({ "grain": "day", "from": 0, "to": DAY_MS, "dimensions": ["firmware"],
                    "filters": { "model": ["cam-3"] } })
        );
        // Five minutes after midnight the day before counts.
        assert_eq!(rule.end(DAY_MS + 299_999), 0);
        assert_eq!(rule.end(DAY_MS + 300_000), DAY_MS);
        assert!(rule.condition_text().starts_with("0.1 and 5 deviations above the median"));
    }

    #[test]
    fn what_is_written_declares_the_same() {
        let when =
            |when: &str| CHANGE.replace("{ change: { direction: up, at_least: 0.1 } }", when);
        for yaml in [
            CHANGE.to_owned(),
            when("{ above: 3, clear: 1.5 }"),
            when("{ below: 0.25 }"),
            when("{ absent_for: 49h }"),
            when("{ change: { direction: either, at_least: 2, deviations: 3, season: none } }"),
            CHANGE.replace("for: 10m", "for: 0s\n    every: 90s\n    delay: 26h\n    history: 60d"),
            CHANGE.replace("    notify: [ops]\n", ""),
        ] {
            let rule = parse(&yaml).unwrap().remove(0);
            let again = json!({ "alerts": [rule.written()] }).to_string();
            assert_eq!(parse(&again).unwrap(), [rule], "{again}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        refused("alerts: []", "1 to 100 alerts");
        refused("alerts: [", "line");
        refused(&CHANGE.replace("grain: day", "grain: week"), "`grain` is hour or day");
        refused(&CHANGE.replace("for: 10m", "for: soon"), "`for` is a time such as");
        refused(&CHANGE.replace("at_least: 0.1", "at_least: 0"), "`at_least` is above 0");
        refused(&CHANGE.replace("failing_firmware", "Bad Name"), "`name` is 1 to 64");
        refused(&CHANGE.replace("label:", "colour:"), "unknown field");
        let when =
            |when: &str| CHANGE.replace("{ change: { direction: up, at_least: 0.1 } }", when);
        refused(&when("{ above: 1, below: 0 }"), "`when` is one of");
        refused(&when("{ above: 1, clear: 2 }"), "`clear` lies on the well side");
        refused(&when("{ absent_for: 2h }"), "at least one interval");
        refused(&when("{ absent_for: 30d }"), "shorter than `history`");
        refused(&when("{}"), "`when` is one of");
        let twice = format!("{CHANGE}{}", CHANGE.replace("\nalerts:", ""));
        refused(&twice, "two alerts have this name");
    }
}
