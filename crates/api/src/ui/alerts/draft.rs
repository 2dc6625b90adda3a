//! An alert as it is being written: what stands in the URL, in the form, and in YAML.

use crate::ui::form::Form;
use crate::ui::link::Link;
use crate::ui::shown::text;
use serde_json::{Value, json};

/// What a link may fill in; the same names as in the form.
pub(in crate::ui) const FIELDS: &[&str] = &[
    "metric",
    "name",
    "label",
    "grain",
    "by",
    "where",
    "when",
    "at",
    "clear",
    "direction",
    "at_least",
    "deviations",
    "season",
    "absent_for",
    "for",
    "every",
    "delay",
    "history",
    "notify",
    "replaces",
    "base",
    "preview",
    "past",
];

/// The ways to be bad, as `when` names them, and what people call them.
pub(super) const CONDITIONS: [(&str, &str); 4] = [
    ("change", "is not as usual"),
    ("above", "is above a number"),
    ("below", "is below a number"),
    ("absent", "is absent"),
];

/// What is typed into the form, as it was typed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Draft {
    pub(super) metric: String,
    pub(super) name: String,
    pub(super) label: String,
    pub(super) grain: String,
    pub(super) by: Vec<String>,
    /// Each `dimension:value`.
    pub(super) filters: Vec<String>,
    pub(super) when: String,
    pub(super) at: String,
    pub(super) clear: String,
    pub(super) direction: String,
    pub(super) at_least: String,
    pub(super) deviations: String,
    pub(super) season: String,
    pub(super) absent_for: String,
    pub(super) for_time: String,
    pub(super) every: String,
    pub(super) delay: String,
    pub(super) history: String,
    /// Names of targets; none: all.
    pub(super) notify: Vec<String>,
    /// The alert that is edited; empty: it is a new one.
    pub(super) replaces: String,
    /// When the alert that is edited was declared as the form shows it.
    pub(super) base: String,
}

impl Draft {
    /// Reads what was typed, or what a link fills in.
    pub(super) fn read(form: &Form) -> Draft {
        let word = |name: &str| form.word(name).unwrap_or("").to_owned();
        let or = |name: &str, usual: &str| form.word(name).unwrap_or(usual).to_owned();
        let words = |name: &str, split: char| -> Vec<String> {
            let parts = form.all(name).flat_map(|text| text.split(split)).map(str::trim);
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let replaces = word("replaces");
        let metric = word("metric");
        // Other steps of a metric's page are not compared with each other.
        let grain = Some(or("grain", "day")).filter(|grain| grain == "hour");
        Draft {
            name: if replaces.is_empty() { word("name") } else { replaces.clone() },
            label: word("label"),
            grain: grain.unwrap_or_else(|| "day".to_owned()),
            by: words("by", ',').into_iter().filter(|name| name != "none").collect(),
            filters: words("where", '\n'),
            when: or("when", "change"),
            at: word("at"),
            clear: word("clear"),
            direction: or("direction", "up"),
            at_least: word("at_least"),
            deviations: or("deviations", "5"),
            season: word("season"),
            absent_for: or("absent_for", "2d"),
            for_time: or("for", "0s"),
            every: or("every", "5m"),
            delay: or("delay", "5m"),
            history: or("history", "28d"),
            notify: words("notify", ','),
            base: word("base"),
            metric,
            replaces,
        }
    }

    /// An alert that is declared, to be edited.
    pub(super) fn of(alert: &Value) -> Draft {
        let rule = &alert["rule"];
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().map(plain).collect()
        };
        let members = rule["filters"].as_object();
        let filters = members.into_iter().flatten().flat_map(|(name, values)| {
            let values = match values {
                Value::Array(_) => texts(values),
                one => vec![plain(one)],
            };
            values.into_iter().map(move |value| format!("{name}:{value}"))
        });
        let when = &rule["when"];
        let change = &when["change"];
        let number =
            |value: &Value| if value.is_null() { String::new() } else { value.to_string() };
        let side = ["above", "below"].into_iter().find(|side| !when[*side].is_null());
        let kind = match side {
            Some(side) => side,
            None if change.is_object() => "change",
            None => "absent",
        };
        let at = side.map_or(String::new(), |side| number(&when[side]));
        let name = text(rule, "name").to_owned();
        let or = |text: &str, usual: &str| {
            if text.is_empty() { usual.to_owned() } else { text.to_owned() }
        };
        Draft {
            metric: text(rule, "metric").to_owned(),
            label: text(rule, "label").to_owned(),
            grain: text(rule, "grain").to_owned(),
            by: texts(&rule["by"]),
            filters: filters.collect(),
            when: kind.to_owned(),
            clear: Some(number(&when["clear"])).filter(|clear| *clear != at).unwrap_or_default(),
            at,
            direction: or(text(change, "direction"), "up"),
            at_least: number(&change["at_least"]),
            deviations: or(&number(&change["deviations"]), "5"),
            season: text(change, "season").to_owned(),
            absent_for: or(text(when, "absent_for"), "2d"),
            for_time: text(rule, "for").to_owned(),
            every: text(rule, "every").to_owned(),
            delay: text(rule, "delay").to_owned(),
            history: text(rule, "history").to_owned(),
            notify: texts(&rule["notify"]),
            replaces: name.clone(),
            base: text(alert, "applied_at").to_owned(),
            name,
        }
    }

    /// The form with all of this filled in.
    pub(super) fn link(&self) -> Link {
        let mut link = Link::to("/_ui/new-alert");
        for (name, value) in [
            ("metric", &self.metric),
            ("name", &self.name),
            ("label", &self.label),
            ("grain", &self.grain),
            ("when", &self.when),
            ("at", &self.at),
            ("clear", &self.clear),
            ("direction", &self.direction),
            ("at_least", &self.at_least),
            ("deviations", &self.deviations),
            ("season", &self.season),
            ("absent_for", &self.absent_for),
            ("for", &self.for_time),
            ("every", &self.every),
            ("delay", &self.delay),
            ("history", &self.history),
            ("replaces", &self.replaces),
            ("base", &self.base),
        ] {
            link = link.with(name, value.as_str());
        }
        let lists = [("by", &self.by), ("where", &self.filters), ("notify", &self.notify)];
        for (name, values) in lists {
            link = values.iter().fold(link, |link, value| link.and(name, value.as_str()));
        }
        link
    }

    /// What declares it.
    ///
    /// # Errors
    /// The first number or filter that is none, for people. What else is wrong the engine says.
    pub(super) fn rule(&self) -> Result<Value, String> {
        let mut rule = json!({ "name": self.name });
        if !self.label.is_empty() {
            rule["label"] = json!(self.label);
        }
        rule["metric"] = json!(self.metric);
        rule["grain"] = json!(self.grain);
        if !self.by.is_empty() {
            rule["by"] = json!(self.by);
        }
        for filter in &self.filters {
            let (name, value) = filter.split_once(':').ok_or_else(|| {
                format!(
                    "“{filter}” is no filter. Write a dimension and a value, such as model:cam-3."
                )
            })?;
            let values = &mut rule["filters"][name.trim()];
            match values {
                Value::Array(values) => values.push(json!(value.trim())),
                _ => *values = json!([value.trim()]),
            }
        }
        rule["when"] = self.condition()?;
        for (name, value) in [
            ("for", &self.for_time),
            ("every", &self.every),
            ("delay", &self.delay),
            ("history", &self.history),
        ] {
            rule[name] = json!(value);
        }
        if !self.notify.is_empty() {
            rule["notify"] = json!(self.notify);
        }
        Ok(rule)
    }

    fn condition(&self) -> Result<Value, String> {
        match self.when.as_str() {
            side @ ("above" | "below") => {
                let mut when = json!({ side: number(&self.at, "From which number on")? });
                if !self.clear.is_empty() {
                    when["clear"] = json!(number(&self.clear, "Where it is well again")?);
                }
                Ok(when)
            }
            "absent" => Ok(json!({ "absent_for": self.absent_for })),
            _ => {
                let mut change = json!({
                    "direction": self.direction,
                    "at_least": number(&self.at_least, "The least change")?,
                    "deviations": number(&self.deviations, "How many deviations")?,
                });
                if !self.season.is_empty() {
                    change["season"] = json!(self.season);
                }
                Ok(json!({ "change": change }))
            }
        }
    }
}

/// A value of a filter as it is typed.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A number as people type it: `0.2`, `20 %`.
fn number(typed: &str, what: &str) -> Result<f64, String> {
    let (digits, unit) = match typed.trim().strip_suffix('%') {
        Some(share) => (share.trim_end(), 0.01),
        None => (typed.trim(), 1.0),
    };
    let wrong = || match typed.is_empty() {
        true => format!("{what} is missing. Write a number such as 0.2, or 20 % for a share."),
        false => format!("{what}: “{typed}” is no number. Write 0.2, or 20 % for a share."),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    if number.is_finite() { Ok(number * unit) } else { Err(wrong()) }
}

/// A rule as YAML that people read: what `clerestory alert apply` takes.
pub(super) fn as_yaml(rule: &Value) -> String {
    let mut yaml = String::from("alerts:\n");
    for (at, (name, value)) in rule.as_object().into_iter().flatten().enumerate() {
        let is_empty = value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty);
        if is_empty {
            continue;
        }
        let lead = if at == 0 { "  - " } else { "    " };
        yaml.push_str(&format!("{lead}{name}: {}\n", flow(value)));
    }
    yaml
}

/// A value on one line. Names and times stand as they are, all other texts in quotes.
fn flow(value: &Value) -> String {
    let is_plain = |text: &str| {
        let is_time = || {
            let digits = text.trim_end_matches(['s', 'm', 'h', 'd']);
            digits.len() + 1 == text.len() && digits.chars().all(|c| c.is_ascii_digit())
        };
        let is_word = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            // Words that YAML takes for something else.
            && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text);
        is_word || is_time()
    };
    let written = |text: &str| {
        if is_plain(text) { text.to_owned() } else { Value::from(text).to_string() }
    };
    match value {
        Value::String(text) => written(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<String>>().join(", "))
        }
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, value)| format!("{}: {}", written(name), flow(value)));
            format!("{{ {} }}", members.collect::<Vec<String>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::read_params;

    fn typed(text: &str) -> Draft {
        Draft::read(&Form::of(read_params(text).unwrap()))
    }

    #[test]
    fn what_is_typed_becomes_a_rule() {
        let draft = typed(
            "metric=rate&name=bad&by=firmware&by=model&where=region:eu%0Aregion:us&at_least=10+%25",
        );
        let rule = draft.rule().unwrap();
        assert_eq!(rule["filters"], json!({ "region": ["eu", "us"] }));
        assert_eq!(
            rule["when"],
            json!({ "change": { "direction": "up", "at_least": 0.1, "deviations": 5.0 } })
        );
        assert_eq!(
            as_yaml(&rule),
            "alerts:\n  - name: bad\n    metric: rate\n    grain: day\n    by: [firmware, model]\n    \
             filters: { region: [eu, us] }\n    when: { change: { direction: up, at_least: 0.1, \
             deviations: 5.0 } }\n    for: 0s\n    every: 5m\n    delay: 5m\n    history: 28d\n"
        );
        let above = typed("metric=m&name=a&when=above&at=3&clear=1&notify=ops&label=A+%22b%22:+c");
        let rule = above.rule().unwrap();
        assert_eq!(
            (&rule["when"], &rule["notify"]),
            (&json!({"above":3.0,"clear":1.0}), &json!(["ops"]))
        );
        assert!(as_yaml(&rule).contains(r#"label: "A \"b\": c""#), "{}", as_yaml(&rule));
    }

    #[test]
    fn what_is_no_number_or_filter_is_said() {
        for (params, said) in [
            ("when=above&at=lots", "“lots” is no number"),
            ("when=above", "From which number on is missing"),
            ("when=below&at=1&clear=x", "Where it is well again"),
            ("at_least=inf", "The least change"),
            ("at_least=1&where=eu", "“eu” is no filter"),
        ] {
            let error = typed(params).rule().unwrap_err();
            assert!(error.contains(said), "{params}: {error}");
        }
    }

    #[test]
    fn an_alert_is_edited_as_it_was_declared() {
        for params in [
            "metric=m&name=a&label=A&grain=hour&by=x&where=d:1&where=d:2&when=below&at=0.5&clear=0.75&notify=ops",
            "metric=m&name=a&label=A&when=absent&absent_for=49h&for=10m",
            "metric=m&name=a&label=A&at_least=0.1&deviations=3&season=none&direction=either",
        ] {
            let draft = typed(params);
            let alert = json!({ "rule": draft.rule().unwrap(), "applied_at": "t" });
            let again = Draft::of(&alert);
            assert_eq!(again.rule().unwrap(), draft.rule().unwrap(), "{params}");
            let edited =
                Form::of(read_params(again.link().to_string().split_once('?').unwrap().1).unwrap());
            assert_eq!(Draft::read(&edited), again, "the link says everything");
            assert_eq!((again.replaces.as_str(), again.base.as_str()), ("a", "t"));
        }
    }
}
