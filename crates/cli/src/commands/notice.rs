//! `notice`: what people are told, here and outside.

use crate::arguments::{Listed, Notice, NoticeSecret};
use crate::client::{Body, Client};
use crate::failure::{Failure, Result};
use crate::key_place::first_line;
use crate::table;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ROOT: &str = "/_clerestory/notices";
/// A target that takes longer is told of as on its way.
const TEST_WAIT: Duration = Duration::from_secs(30);

pub(super) fn run(typed: &Notice) -> Result<()> {
    match typed {
        Notice::List(typed) => list(typed),
        Notice::Test(typed) => test(typed),
        Notice::Secret(typed) => secret(typed),
    }
}

fn list(typed: &Listed) -> Result<()> {
    let answer = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let rows: Vec<Vec<Value>> = answer["notices"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|notice| {
            let mut row: Vec<Value> =
                ["id", "at", "kind", "times", "text"].map(|name| notice[name].clone()).into();
            row.push(json!(way(notice)));
            row
        })
        .collect();
    let columns = ["notice", "at", "kind", "times", "what", "where it went"].map(str::to_owned);
    print!("{}", table::render(&columns, &rows));
    if let Some(targets) = answer["targets"].as_array() {
        let rows: Vec<Vec<Value>> = targets
            .iter()
            .map(|target| ["name", "kind", "host"].map(|name| target[name].clone()).into())
            .collect();
        println!();
        print!("{}", table::render(&["target", "kind", "host"].map(str::to_owned), &rows));
        if rows.is_empty() {
            eprintln!("hint: nobody outside is told; clerestory change set notify …");
        }
    }
    Ok(())
}

/// Where a notice went, target by target.
fn way(notice: &Value) -> String {
    let targets = notice["targets"].as_object().into_iter().flatten();
    let one = |(name, far): (&String, &Value)| match (far["sent_at"].as_str(), &far["trouble"]) {
        (Some(at), _) => format!("{name} at {at}"),
        (None, Value::String(trouble)) => format!("{name}: {trouble} ({} tries)", far["tries"]),
        (None, _) => format!("{name}: on its way"),
    };
    targets.map(one).collect::<Vec<_>>().join("; ")
}

fn test(typed: &Listed) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let raised = client.json("POST", &format!("{ROOT}/_test"), Body::Nothing)?;
    let path = format!("{ROOT}/{}", raised["id"]);
    let start = Instant::now();
    let mut notice = raised;
    let is_open = |notice: &Value| {
        let mut targets = notice["targets"].as_object().into_iter().flatten();
        targets.any(|(_, far)| far["sent_at"].is_null() && far["trouble"].is_null())
    };
    while is_open(&notice) && start.elapsed() < TEST_WAIT {
        std::thread::sleep(Duration::from_millis(300));
        notice = client.json("GET", &path, Body::Nothing)?;
    }
    match typed.json {
        true => println!("{notice}"),
        false => println!("{}", way(&notice)),
    }
    if notice["delivered_at"].is_null() {
        return Err(Failure::new("not every target has it")
            .hint("it is tried again for some days; see: clerestory notice list"));
    }
    Ok(())
}

fn secret(typed: &NoticeSecret) -> Result<()> {
    let secret = first_line(&typed.file)?;
    let client = Client::connect(&typed.connection)?;
    let body = json!({ "secret": secret.as_str() });
    let answer = client.json("POST", &format!("{ROOT}/_secret"), Body::Json(&body))?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let mark = answer["mark"].as_str().unwrap_or("");
    println!("secret={mark}");
    eprintln!("hint: clerestory change set notify 'ops=webhook:https://HOST/PATH secret={mark}'");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_a_notice_in_words() {
        let notice = json!({ "targets": {
            "a": { "sent_at": "2026-11-29T08:00:00.000Z", "tries": 1, "trouble": null },
            "b": { "sent_at": null, "tries": 2, "trouble": "no answer from h" },
            "c": { "sent_at": null, "tries": 0, "trouble": null },
        }});
        let said = "a at 2026-11-29T08:00:00.000Z; b: no answer from h (2 tries); c: on its way";
        assert_eq!(way(&notice), said);
        assert_eq!(way(&json!({})), "");
    }
}
