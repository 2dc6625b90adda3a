//! `change`: what would let somebody see more, and waits for a second person.

use crate::arguments::{
    BreakGlass, Change, ChangeApprove, ChangePropose, ChangeReject, ChangeSet, Connection, Listed,
    Numbered,
};
use crate::client::{Body, Client};
use crate::failure::{Doing, Failure, Result};
use crate::table;
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Read, Write};

const ROOT: &str = "/_clerestory/changes";

pub(super) fn run(typed: &Change) -> Result<()> {
    match typed {
        Change::List(typed) => list(typed),
        Change::Show(typed) => show(typed),
        Change::Propose(typed) => propose_file(typed),
        Change::Set(typed) => set(typed),
        Change::Approve(typed) => approve(typed),
        Change::Reject(typed) => reject(typed),
        Change::Withdraw(typed) => withdraw(typed),
        Change::BreakGlass(typed) => break_glass(typed),
    }
}

fn list(typed: &Listed) -> Result<()> {
    let answer = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let of = |list: &str, names: &[&str]| -> Vec<Vec<Value>> {
        let entries = answer[list].as_array().into_iter().flatten();
        entries.map(|entry| names.iter().map(|name| entry[*name].clone()).collect()).collect()
    };
    let names = ["id", "state", "proposer", "text", "decided_by", "decide_by"];
    let columns = ["change", "state", "proposed by", "what", "decided by", "decide by"];
    print!("{}", table::render(&columns.map(str::to_owned), &of("changes", &names)));
    let notices = of("notices", &["at", "text"]);
    if !notices.is_empty() {
        println!();
        print!("{}", table::render(&["notice", ""].map(str::to_owned), &notices));
    }
    Ok(())
}

fn show(typed: &Numbered) -> Result<()> {
    let change = get(&Client::connect(&typed.connection)?, typed.id)?;
    if typed.json {
        println!("{change}");
    } else {
        print!("{}", told(&change));
    }
    Ok(())
}

fn get(client: &Client, id: u64) -> Result<Value> {
    client.json("GET", &format!("{ROOT}/{id}"), Body::Nothing)
}

/// A change in words and tables.
fn told(change: &Value) -> String {
    let word = |name: &str| change[name].as_str().unwrap_or("");
    let mut text = format!("change {} is {}\n", change["id"], word("state"));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:14}{value}\n"));
        }
    };
    line("what", word("text"));
    line("why", word("why"));
    line("proposed by", &format!("{} at {}", word("proposer"), word("proposed_at")));
    match word("state") {
        "waiting" => {
            line("decide by", word("decide_by"));
            line("time lock", word("confirm_from"));
        }
        _ => line("decided by", &format!("{} {}", word("decided_by"), word("decided_at"))),
    }
    line("because", word("rejected_because"));
    let people = change["beneficiaries"].as_array().into_iter().flatten();
    let people: Vec<&str> = people.filter_map(Value::as_str).collect();
    line("who gains", &people.join(", "));
    line("mark", word("mark"));
    text.push('\n');
    for effect in change["effect"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        text.push_str(&format!("{effect}\n"));
    }
    let names = ["person", "table", "class", "before", "after"];
    let cells: Vec<Vec<Value>> = change["cells"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|cell| names.iter().map(|name| cell[*name].clone()).collect())
        .collect();
    if !cells.is_empty() {
        text.push('\n');
        text.push_str(&table::render(&names.map(str::to_owned), &cells));
    }
    text
}

/// Edits that somebody wants.
pub(super) struct Proposal<'a> {
    pub(super) edits: Vec<Value>,
    pub(super) why: &'a str,
    pub(super) json: bool,
}

/// Sends a proposal, and says what became of it.
pub(super) fn propose(connection: &Connection, proposal: &Proposal<'_>) -> Result<()> {
    let client = Client::connect(connection)?;
    let body = json!({ "edits": proposal.edits, "why": proposal.why });
    let answer = client.json("POST", ROOT, Body::Json(&body))?;
    if proposal.json {
        println!("{answer}");
    } else if answer["applied"] == json!(true) {
        println!("in force: version {} of the policy", answer["version"]);
    } else {
        print!("{}", told(&answer));
        let id = &answer["id"];
        println!("\nIt waits for a second person.\nhint: clerestory change approve {id}");
    }
    Ok(())
}

fn propose_file(typed: &ChangePropose) -> Result<()> {
    let edits = match (&typed.reset_password, &typed.file) {
        (Some(name), _) => vec![json!({ "password_reset": { "person": name } })],
        (None, Some(file)) => {
            let mut text = String::new();
            if file.as_os_str() == "-" {
                io::stdin()
                    .read_to_string(&mut text)
                    .doing(|| "cannot read the edits".to_owned())?;
            } else {
                text = std::fs::read_to_string(file)
                    .doing(|| format!("cannot read `{}`", file.display()))?;
            }
            serde_json::from_str(&text).doing(|| "the edits are no JSON array".to_owned())?
        }
        (None, None) => Vec::new(),
    };
    propose(&typed.connection, &Proposal { edits, why: &typed.why, json: typed.json })
}

fn set(typed: &ChangeSet) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let policy = client.json("GET", "/_clerestory/policy", Body::Nothing)?;
    let settings = policy["settings"].as_array().cloned().unwrap_or_default();
    let (Some(name), Some(text)) = (&typed.setting, &typed.value) else {
        let wanted = |setting: &&Value| {
            typed.setting.as_ref().is_none_or(|name| setting["name"] == json!(name))
        };
        let shown: Vec<Value> = settings.iter().filter(wanted).cloned().collect();
        if typed.json {
            println!("{}", Value::Array(shown));
            return Ok(());
        }
        let row = |setting: &Value| {
            vec![setting["name"].clone(), setting["value"].clone(), setting["meaning"].clone()]
        };
        let rows: Vec<Vec<Value>> = shown.iter().map(row).collect();
        print!("{}", table::render(&["setting", "value", "what"].map(str::to_owned), &rows));
        return Ok(());
    };
    let known = settings.iter().find(|setting| setting["name"] == json!(name));
    let value = match known.map(|setting| &setting["value"]) {
        Some(Value::Array(_)) if text == "none" => json!([]),
        Some(Value::Array(_)) => json!(text.split(',').map(str::trim).collect::<Vec<_>>()),
        _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    };
    let edits = vec![json!({ "setting": { "name": name, "value": value } })];
    let why = typed.why.as_deref().unwrap_or("");
    propose(&typed.connection, &Proposal { edits, why, json: typed.json })
}

fn approve(typed: &ChangeApprove) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let mark = match &typed.seen {
        Some(mark) => mark.clone(),
        None => {
            let change = get(&client, typed.id)?;
            eprint!("{}", told(&change));
            asked("\nApprove exactly this? Type yes: ")?;
            change["mark"].as_str().unwrap_or("").to_owned()
        }
    };
    let code = code(typed.present.as_deref())?;
    let body = json!({ "mark": mark, "present": { "code": code } });
    let path = format!("{ROOT}/{}/_approve", typed.id);
    finish(&client.json("POST", &path, Body::Json(&body))?, typed.json)
}

fn asked(question: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Failure::wrong_use("nobody is there to say yes")
            .hint("look at it with `clerestory change show`, and give its mark with --seen"));
    }
    eprint!("{question}");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new("not approved")) }
}

/// A code of an app, typed or asked for.
pub(super) fn code(typed: Option<&str>) -> Result<String> {
    match typed {
        Some(code) => Ok(code.to_owned()),
        None => Ok(rpassword::prompt_password("Code of your app: ")?.trim().to_owned()),
    }
}

fn reject(typed: &ChangeReject) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let path = format!("{ROOT}/{}/_reject", typed.id);
    finish(&client.json("POST", &path, Body::Json(&json!({ "why": typed.why })))?, typed.json)
}

fn withdraw(typed: &Numbered) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let path = format!("{ROOT}/{}/_withdraw", typed.id);
    finish(&client.json("POST", &path, Body::Nothing)?, typed.json)
}

fn break_glass(typed: &BreakGlass) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let code = code(typed.present.as_deref())?;
    let body = json!({
        "tables": typed.tables,
        "class": typed.class,
        "why": typed.why,
        "present": { "code": code },
    });
    let change = client.json("POST", "/_clerestory/break-glass", Body::Json(&body))?;
    if typed.json {
        println!("{change}");
    } else {
        print!("{}", told(&change));
        println!("\nFor one hour. Everybody is told.");
    }
    Ok(())
}

fn finish(change: &Value, json: bool) -> Result<()> {
    if json {
        println!("{change}");
    } else {
        let state = change["state"].as_str().unwrap_or("");
        let version = change["version"].as_u64();
        let version = version.map_or(String::new(), |v| format!(": version {v} of the policy"));
        println!("change {} is {state}{version}", change["id"]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_with_reach_before_and_after() {
        let change = json!({
            "id": 3, "state": "waiting", "text": "grant: …", "why": "ticket 12",
            "proposer": "adm", "proposed_at": "2026-11-23T08:00:00.000Z",
            "decide_by": "2026-11-24T08:00:00.000Z", "mark": "abc", "beneficiaries": ["ana"],
            "effect": ["+ ana: read events, up to special"],
            "cells": [{ "person": "ana", "table": "events", "class": "special",
                        "before": "aggregate, groups of at least 20", "after": "read" }],
        });
        let text = told(&change);
        for part in [
            "change 3 is waiting\n",
            "who gains     ana\n",
            "decide by     2026-11-24",
            "+ ana: read events",
            "ana     events  special  aggregate, groups of at least 20  read\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
