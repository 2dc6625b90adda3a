//! `rule`: which class a field has, and why.

use super::own_rules;
use super::user::joined;
use crate::arguments::{Rule, RuleList, RuleSet, RuleShow};
use crate::client::{Body, Client, encoded};
use crate::failure::Result;
use crate::table;
use serde_json::{Value, json};

const ROOT: &str = "/_clerestory/rulings";

pub(super) fn run(typed: &Rule) -> Result<()> {
    match typed {
        Rule::List(typed) => list(typed),
        Rule::Show(typed) => show(typed),
        Rule::Set(typed) => set(typed),
        Rule::Kinds(typed) => own_rules::kinds(typed),
        Rule::Own(typed) => own_rules::run(typed),
    }
}

fn list(typed: &RuleList) -> Result<()> {
    let mut path = ROOT.to_owned();
    if let Some(table) = &typed.table {
        path.push_str(&format!("?table={}", encoded(table)));
    }
    let answer = Client::connect(&typed.connection)?.json("GET", &path, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let fields = answer["fields"].as_array().cloned().unwrap_or_default();
    for new in answer["new_tables"].as_array().into_iter().flatten() {
        let word = |name: &str| table::visible(new[name].as_str().unwrap_or_default());
        println!(
            "table {} came to the source of copy {}: nothing of it is copied",
            word("table"),
            word("copy")
        );
    }
    if fields.is_empty() {
        println!("no field waits for a ruling");
        return Ok(());
    }
    let columns = ["table", "field", "type", "now", "proposed", "because", "looks like", "rows"];
    let rows: Vec<Vec<Value>> = fields.iter().map(as_row).collect();
    print!("{}", table::render(&columns.map(str::to_owned), &rows));
    Ok(())
}

fn as_row(field: &Value) -> Vec<Value> {
    let proposal = &field["proposal"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let proposed = match word(&proposal["kind"]).as_str() {
        "" => word(&proposal["class"]),
        kind => format!("{} ({kind})", word(&proposal["class"])),
    };
    let because = match proposal.is_null() {
        true => word(&field["ruling"]["reason"]),
        false => word(&proposal["reason"]),
    };
    let shape = word(&proposal["shapes"][0]["shape"]);
    vec![
        field["table"].clone(),
        field["field"].clone(),
        field["type"].clone(),
        field["state"].clone(),
        Value::from(proposed),
        Value::from(because),
        Value::from(shape),
        field["rows"].clone(),
    ]
}

fn show(typed: &RuleShow) -> Result<()> {
    let path = format!("{ROOT}/{}/{}", encoded(&typed.table), encoded(&typed.field));
    let answer = Client::connect(&typed.connection)?.json("GET", &path, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let word = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    println!("{} of {} is {}", word("field"), word("table"), word("state"));
    println!("{} rows have a value", answer["rows"]);
    if answer["metrics"].as_array().is_some_and(|metrics| !metrics.is_empty()) {
        println!("used by the metrics {}", joined(&answer["metrics"]).as_str().unwrap_or(""));
    }
    if answer["dashboards"].as_array().is_some_and(|dashboards| !dashboards.is_empty()) {
        let dashboards = joined(&answer["dashboards"]);
        println!("used by the dashboards {}", table::visible(dashboards.as_str().unwrap_or("")));
    }
    if answer["rows_to_rewrite"] != json!(0) || answer["log_to_rewrite"] == json!(true) {
        println!("{} rows of the table are still to be rewritten", answer["rows_to_rewrite"]);
    }
    let rows: Vec<Vec<Value>> = answer["history"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|ruling| ["at", "class", "kind", "by", "reason"].map(|name| ruling[name].clone()))
        .map(Vec::from)
        .collect();
    let columns = ["since", "class", "kind", "by", "because"];
    print!("{}", table::render(&columns.map(str::to_owned), &rows));
    Ok(())
}

fn set(typed: &RuleSet) -> Result<()> {
    let path = format!("{ROOT}/{}/{}", encoded(&typed.table), encoded(&typed.field));
    let body = json!({
        "class": typed.class,
        "reason": typed.reason,
        "kind": typed.kind,
        "dry_run": typed.dry_run,
    });
    let answer = Client::connect(&typed.connection)?.json("POST", &path, Body::Json(&body))?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    println!("{}", told(&answer, typed.dry_run));
    Ok(())
}

/// What a ruling does, in words.
fn told(answer: &Value, dry_run: bool) -> String {
    let word = |name: &str| answer[name].as_str().unwrap_or_default();
    if let Some(change) = answer["change"].as_u64() {
        return format!(
            "{} of {} would be {}: that lets more be seen, so change {change} waits for a second \
             person\nhint: clerestory change show {change}",
            word("field"),
            word("table"),
            word("class")
        );
    }
    let (is, values) = match dry_run {
        true => ("would be", "stored values would follow: they"),
        false => ("is", "stored values follow in the background: they"),
    };
    let mut told = format!("{} of {} {is} {}", word("field"), word("table"), word("class"));
    if answer["rows"] != json!(0) {
        told.push_str(&format!("; {values} {}", word("stored_values")));
    }
    if dry_run && word("effect") == "widens" {
        told.push_str("; this takes a second person");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruling_is_told_in_words() {
        let answer = json!({
            "field": "nick", "table": "users", "class": "secret", "rows": 3,
            "stored_values": "are destroyed", "effect": "tightens",
        });
        let is =
            "nick of users is secret; stored values follow in the background: they are destroyed";
        assert_eq!(told(&answer, false), is);
        let none =
            json!({ "field": "f", "table": "t", "class": "open", "rows": 0, "effect": "widens" });
        assert_eq!(told(&none, true), "f of t would be open; this takes a second person");
    }

    #[test]
    fn a_field_that_waits_is_one_line() {
        let field = json!({
            "table": "t", "field": "f", "type": "keyword", "state": "withheld", "rows": 2,
            "proposal": { "class": "personal", "kind": "email", "reason": "values",
                          "shapes": [{ "shape": "aa@aa.aa", "values": 2 }] },
        });
        let row = as_row(&field);
        assert_eq!(
            row[4..],
            [json!("personal (email)"), json!("values"), json!("aa@aa.aa"), json!(2)]
        );
    }
}
