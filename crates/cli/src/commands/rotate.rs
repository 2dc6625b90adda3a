//! `rotate`: pseudonyms get a next key.

use crate::arguments::Rotate;
use crate::client::{Body, Client};
use crate::failure::Result;
use crate::progress::{self, Counting, grouped};
use serde_json::{Value, json};
use std::time::Duration;

const ROOT: &str = "/_clerestory/rotation";
/// How often a waiting command looks.
const LOOK: Duration = Duration::from_millis(300);

pub(super) fn run(typed: &Rotate) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let method = if typed.status { "GET" } else { "POST" };
    let mut status = client.json(method, ROOT, Body::Nothing)?;
    if typed.wait {
        status = wait(&client, status)?;
    }
    if typed.json {
        println!("{status}");
        return Ok(());
    }
    println!("{}", told(&status));
    if !typed.status && !typed.wait {
        eprintln!("hint: clerestory rotate --status shows how far it is");
    }
    Ok(())
}

fn wait(client: &Client, mut status: Value) -> Result<Value> {
    let bar = progress::bar(Counting::Documents, 0).with_message("renewed");
    while status["state"] != json!("done") {
        bar.set_length(status["rows"].as_u64().unwrap_or(0));
        bar.set_position(status["rows_renewed"].as_u64().unwrap_or(0));
        std::thread::sleep(LOOK);
        status = client.json("GET", ROOT, Body::Nothing)?;
    }
    bar.finish_and_clear();
    Ok(status)
}

fn told(status: &Value) -> String {
    let number = |name: &str| grouped(status[name].as_u64().unwrap_or(0));
    let epoch = &status["epoch"];
    match status["state"].as_str() {
        Some("renewing") => format!(
            "pseudonyms are of epoch {epoch}; {} of {} rows stand in epoch {} already",
            number("rows_renewed"),
            number("rows"),
            status["next_epoch"]
        ),
        Some("done") => {
            format!("all pseudonyms are of epoch {epoch}; it is the only one with a key")
        }
        _ => format!("all pseudonyms are of epoch {epoch}; the key of the one before is going"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is_is_told_in_words() {
        let mut status = json!({
            "state": "renewing", "epoch": 1, "next_epoch": 2, "rows": 12_000, "rows_renewed": 3_000,
        });
        let expected = "pseudonyms are of epoch 1; 3,000 of 12,000 rows stand in epoch 2 already";
        assert_eq!(told(&status), expected);
        status["state"] = json!("destroying the old key");
        assert!(told(&status).ends_with("is going"));
        status["state"] = json!("done");
        assert!(told(&status).ends_with("the only one with a key"));
    }
}
