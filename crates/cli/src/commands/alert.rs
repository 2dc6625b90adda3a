//! `alert`: told when a metric is not where it should be.

use crate::arguments::{Alert, AlertApply, AlertSilence, AlertTry, Listed, Named};
use crate::client::{Body, Client, encoded};
use crate::failure::{Doing, Failure, Result};
use crate::table;
use model::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use std::path::Path;

const ROOT: &str = "/_clerestory/alerts";

pub(super) fn run(typed: &Alert) -> Result<()> {
    match typed {
        Alert::List(typed) => list(typed),
        Alert::Show(typed) => show(typed),
        Alert::Apply(typed) => apply(typed),
        Alert::Try(typed) => attempt(typed),
        Alert::Silence(typed) => silence(typed),
        Alert::Remove(typed) => remove(typed),
    }
}

fn path_of(name: &str) -> String {
    format!("{ROOT}/{}", encoded(name))
}

fn list(typed: &Listed) -> Result<()> {
    let answer = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let row = |alert: &Value| {
        let until = alert["silence"]["until"].clone();
        let mut row: Vec<Value> =
            ["name", "state", "firing", "groups", "metric", "author", "evaluated_at"]
                .map(|name| alert[name].clone())
                .into();
        row.push(until);
        row
    };
    let rows: Vec<Vec<Value>> =
        answer["alerts"].as_array().into_iter().flatten().map(row).collect();
    let columns =
        ["alert", "state", "firing", "groups", "metric", "author", "looked at", "silent until"];
    print!("{}", table::render(&columns.map(str::to_owned), &rows));
    Ok(())
}

fn show(typed: &Named) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let alert = client.json("GET", &path_of(&typed.name), Body::Nothing)?;
    match typed.json {
        true => println!("{alert}"),
        false => print!("{}", told(&alert)),
    }
    Ok(())
}

/// An alert in words and tables.
fn told(alert: &Value) -> String {
    let word = |name: &str| alert[name].as_str().unwrap_or("");
    let mut text = format!("{} is {}: {}\n", word("name"), word("state"), word("label"));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:14}{value}\n"));
        }
    };
    line("fires when", &format!("{} is {}", word("metric"), word("condition")));
    line("of", &format!("{}, since {}", word("author"), word("applied_at")));
    line("looked at", word("evaluated_at"));
    line("trouble", word("trouble"));
    let silence = &alert["silence"];
    if silence.is_object() {
        let of = |name: &str| silence[name].as_str().unwrap_or("");
        line("silent", &format!("until {} by {}: {}", of("until"), of("by"), of("why")));
    }
    line("asks", &alert["question"].to_string());
    line("as SQL", word("sql"));
    let groups = |list: &str, names: &[&str]| -> Vec<Vec<Value>> {
        let entries = alert[list].as_array().into_iter().flatten();
        let cell = |entry: &Value, name: &str| match &entry[name] {
            Value::Array(words) => {
                let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                json!(words.join(", "))
            }
            value => value.clone(),
        };
        entries.map(|entry| names.iter().map(|name| cell(entry, name)).collect()).collect()
    };
    for (list, names) in [
        ("groups_now", &["group", "state", "since", "value", "expected"][..]),
        ("events", &["at", "group", "event", "value", "expected"][..]),
    ] {
        let rows = groups(list, names);
        if !rows.is_empty() {
            let columns: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            text.push_str(&format!("\n{}", table::render(&columns, &rows)));
        }
    }
    text
}

fn apply(typed: &AlertApply) -> Result<()> {
    let text = if typed.file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())?
    } else {
        std::fs::read_to_string(&typed.file)
            .doing(|| format!("cannot read `{}`", typed.file.display()))?
    };
    let answer = Client::connect(&typed.connection)?.json("PUT", ROOT, Body::Yaml(&text))?;
    println!("{answer}");
    Ok(())
}

fn attempt(typed: &AlertTry) -> Result<()> {
    let path = format!(
        "{}/_try?from={}&to={}",
        path_of(&typed.name),
        encoded(&typed.from),
        encoded(&typed.to)
    );
    let answer = Client::connect(&typed.connection)?.json("GET", &path, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let rows: Vec<Vec<Value>> = answer["events"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| {
            let group = event["group"].as_array().into_iter().flatten();
            let group: Vec<&str> = group.filter_map(Value::as_str).collect();
            let mut row = vec![event["at"].clone(), json!(group.join(", "))];
            row.extend(["event", "value", "expected"].map(|name| event[name].clone()));
            row
        })
        .collect();
    let columns = ["at", "group", "event", "value", "expected"].map(str::to_owned);
    print!("{}", table::render(&columns, &rows));
    Ok(())
}

fn silence(typed: &AlertSilence) -> Result<()> {
    let until = match (&typed.hours, typed.end) {
        (Some(hours), false) => {
            let after = i64::from(*hours) * 60 * 60 * 1000;
            let until = Timestamp(SystemClock.now().0.saturating_add(after));
            json!(until.to_rfc3339())
        }
        (None, true) => Value::Null,
        _ => {
            return Err(Failure::wrong_use("say for how long")
                .hint("give --hours N, or --end to end a silence"));
        }
    };
    let body = json!({ "until": until, "why": typed.why });
    let path = format!("{}/_silence", path_of(&typed.name));
    let alert = Client::connect(&typed.connection)?.json("POST", &path, Body::Json(&body))?;
    match alert["silence"]["until"].as_str() {
        Some(until) => println!("{} tells nobody until {until}", typed.name),
        None => println!("{} tells again", typed.name),
    }
    Ok(())
}

fn remove(typed: &Named) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    client.json("DELETE", &path_of(&typed.name), Body::Nothing)?;
    println!("{} is removed; its history stays", typed.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_told_with_its_groups() {
        let alert = json!({
            "name": "a", "state": "firing", "label": "Failed", "metric": "m",
            "condition": "above 1, well again at 1 and below", "author": "ana",
            "applied_at": "T", "evaluated_at": "T2", "trouble": null, "question": {},
            "silence": { "until": "T3", "by": "gua", "why": "known" },
            "groups_now": [{ "group": ["4.3.0"], "state": "firing", "since": "T", "value": 0.3,
                             "expected": 0.06 }],
        });
        let text = told(&alert);
        for part in [
            "a is firing: Failed\n",
            "fires when    m is above 1",
            "silent        until T3 by gua: known",
            "4.3.0  firing  T",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
