//! `rule kinds` and `rule own`: what is found in values, and what a company has found beside it.

use super::change::{Proposal, propose};
use crate::arguments::{Listed, OwnRules, OwnRulesAdd, Reasoned};
use crate::client::{Body, Client};
use crate::failure::{Doing, Result};
use crate::table;
use serde_json::{Value, json};
use std::io::Read;

const ROOT: &str = "/_clerestory/rules";

pub(super) fn run(typed: &OwnRules) -> Result<()> {
    match typed {
        OwnRules::List(typed) => list(typed),
        OwnRules::Add(typed) => add(typed),
        OwnRules::Remove(typed) => remove(typed),
    }
}

pub(super) fn kinds(typed: &Listed) -> Result<()> {
    let answer = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{}", answer["kinds"]);
        return Ok(());
    }
    let row = |kind: &Value| {
        let rules = match kind["rules"].as_u64() {
            Some(0) | None => json!("by its shape"),
            Some(rules) => json!(rules),
        };
        vec![kind["kind"].clone(), kind["class"].clone(), rules]
    };
    let rows: Vec<Vec<Value>> = answer["kinds"].as_array().into_iter().flatten().map(row).collect();
    print!("{}", table::render(&["kind", "class at most", "rules"].map(str::to_owned), &rows));
    Ok(())
}

fn list(typed: &Listed) -> Result<()> {
    let answer = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{}", answer["own"]);
        return Ok(());
    }
    // As it is written, so that it can be kept beside other files and changed.
    match answer["yaml"].as_str() {
        None | Some("") => println!("no rule of your own"),
        Some(yaml) => print!("{yaml}"),
    }
    Ok(())
}

fn add(typed: &OwnRulesAdd) -> Result<()> {
    let mut yaml = String::new();
    if typed.file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut yaml).doing(|| "cannot read the rules".to_owned())?;
    } else {
        yaml = std::fs::read_to_string(&typed.file)
            .doing(|| format!("cannot read `{}`", typed.file.display()))?;
    }
    let edits = vec![json!({ "add_rules": yaml })];
    propose(&typed.connection, &Proposal { edits, why: &typed.why, json: typed.json })
}

fn remove(typed: &Reasoned) -> Result<()> {
    let edits = vec![json!({ "remove_rule": typed.name })];
    propose(&typed.connection, &Proposal { edits, why: &typed.why, json: typed.json })
}
