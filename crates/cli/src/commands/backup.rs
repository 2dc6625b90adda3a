//! `backup`: the running node into a folder.

use crate::arguments::Backup;
use crate::client::{Body, Client};
use crate::failure::{Doing, Result};
use crate::progress::grouped;
use crate::table;
use serde_json::{Value, json};

const ROOT: &str = "/_clerestory/backups";

pub(super) fn run(typed: &Backup) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let Some(to) = &typed.to else { return list(&client, typed.json) };
    let to = std::path::absolute(to).doing(|| format!("cannot find `{}`", to.display()))?;
    let body = json!({ "to": to.to_string_lossy(), "keep": typed.keep });
    let made = client.json("POST", ROOT, Body::Json(&body))?;
    if typed.json {
        println!("{made}");
        return Ok(());
    }
    let number = |name: &str| grouped(made[name].as_u64().unwrap_or(0));
    println!(
        "set {}: {} segments, {} bytes, of which {} were copied now",
        made["set"],
        number("segments"),
        number("bytes"),
        number("bytes_copied")
    );
    eprintln!("hint: clerestory restore --from {} --check reads everything of it", to.display());
    Ok(())
}

fn list(client: &Client, as_json: bool) -> Result<()> {
    let answer = client.json("GET", ROOT, Body::Nothing)?;
    if as_json {
        println!("{answer}");
        return Ok(());
    }
    let columns = ["folder", "set", "made_at", "made_by", "bytes"];
    let rows: Vec<Vec<Value>> = answer["backups"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|backup| columns.iter().map(|name| backup[*name].clone()).collect())
        .collect();
    print!("{}", table::render(&columns.map(str::to_owned), &rows));
    Ok(())
}
