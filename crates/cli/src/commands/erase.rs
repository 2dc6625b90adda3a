//! `erase`: forget a person.

use crate::arguments::Erase;
use crate::client::{Body, Client, encoded};
use crate::failure::{Failure, Result};
use crate::table;
use serde_json::{Value, json};

const ROOT: &str = "/_clerestory/erasures";

pub(super) fn run(typed: &Erase) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    if let Some(id) = &typed.receipt {
        let answer = client.json("GET", &format!("{ROOT}/{}", encoded(id)), Body::Nothing)?;
        println!("{}", if typed.json { answer.to_string() } else { format!("{answer:#}") });
        return Ok(());
    }
    let Some(person) = &typed.person else { return list(&client, typed.json) };
    let person = match person.as_str() {
        "-" => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line)?;
            line.trim().to_owned()
        }
        typed => typed.to_owned(),
    };
    let body = json!({
        "person": person,
        "tables": typed.tables,
        "field": typed.field,
        "also": typed.also,
        "deadline": typed.deadline,
        "now": typed.now,
        "verify": typed.verify,
        "dry_run": typed.dry_run,
        "reference": typed.reference,
    });
    let answer = client.json("POST", ROOT, Body::Json(&body))?;
    if typed.json {
        println!("{answer}");
    } else {
        print!("{}", told(&answer));
    }
    match answer["files_with_traces"].as_array() {
        Some(files) if !files.is_empty() => {
            Err(Failure::new(format!("traces are left in {}", answer["files_with_traces"]))
                .hint("rows written since, or values that another name was given to; erase again"))
        }
        _ => Ok(()),
    }
}

fn list(client: &Client, as_json: bool) -> Result<()> {
    let answer = client.json("GET", ROOT, Body::Nothing)?;
    if as_json {
        println!("{answer}");
        return Ok(());
    }
    let columns = ["id", "requested_at", "by", "reference", "rows", "deadline", "state"];
    let rows: Vec<Vec<Value>> = answer["erasures"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|erasure| columns.iter().map(|name| erasure[*name].clone()).collect())
        .collect();
    print!("{}", table::render(&columns.map(str::to_owned), &rows));
    Ok(())
}

/// What became of it, in words.
fn told(answer: &Value) -> String {
    let mut told = String::new();
    for table in answer["tables"].as_array().into_iter().flatten() {
        let name = table["table"].as_str().unwrap_or_default();
        told.push_str(&format!("{name}: {} rows\n", table["rows"]));
    }
    if answer["dry_run"] == json!(true) {
        told.push_str("nothing was erased\n");
        return told;
    }
    let id = answer["id"].as_str().unwrap_or_default();
    match answer["signed"].is_null() {
        true => {
            let deadline = answer["deadline"].as_str().unwrap_or_default();
            told.push_str(&format!(
                "erasure {id}: no read sees them any more; out of every file by {deadline}\n"
            ));
        }
        false => told.push_str(&format!(
            "erasure {id}: out of every file; `clerestory erase --receipt {id}` shows the receipt\n"
        )),
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_is_told_in_words() {
        let tables = json!([{ "table": "users", "rows": 1 }]);
        let dry = told(&json!({ "dry_run": true, "tables": tables }));
        assert_eq!(dry, "users: 1 rows\nnothing was erased\n");
        let done = told(&json!({ "id": "00000001", "tables": [], "signed": {} }));
        assert!(done.starts_with("erasure 00000001: out of every file"), "{done}");
    }
}
