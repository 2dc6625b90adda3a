//! `canary`: rows that no honest question gives out.

use crate::arguments::{Canary, CanaryMark, Listed};
use crate::client::{Body, Client};
use crate::failure::Result;
use crate::table;
use serde_json::{Value, json};

const ROOT: &str = "/_clerestory/canaries";

pub(super) fn run(typed: &Canary) -> Result<()> {
    match typed {
        Canary::List(typed) => list(typed),
        Canary::Mark(typed) => mark(typed),
    }
}

fn list(typed: &Listed) -> Result<()> {
    let answer = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let names = ["table", "row", "by", "at"];
    let rows: Vec<Vec<Value>> = answer["canaries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|canary| names.map(|name| canary[name].clone()).into())
        .collect();
    print!("{}", table::render(&["table", "row", "marked by", "at"].map(str::to_owned), &rows));
    Ok(())
}

fn mark(typed: &CanaryMark) -> Result<()> {
    let body = json!({ "table": typed.table, "id": typed.id });
    let marked = Client::connect(&typed.connection)?.json("POST", ROOT, Body::Json(&body))?;
    let (row, table) = (&marked["row"], marked["table"].as_str().unwrap_or(""));
    println!("row {row} of {table} is a canary: whoever is given it raises the alarm");
    Ok(())
}
