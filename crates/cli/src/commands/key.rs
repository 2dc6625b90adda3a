//! `key`: API keys.

use super::user::joined;
use crate::arguments::{Key, KeyCreate, Listed, Named};
use crate::client::{Body, Client, encoded};
use crate::failure::Result;
use crate::table;
use serde_json::{Map, Value, json};

const ROOT: &str = "/_clerestory/keys";

pub(super) fn run(typed: &Key) -> Result<()> {
    match typed {
        Key::List(typed) => list(typed),
        Key::Create(typed) => create(typed),
        Key::Revoke(typed) => revoke(typed),
        Key::Ring(typed) => super::ring::run(typed),
    }
}

fn list(typed: &Listed) -> Result<()> {
    let answer = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let rows: Vec<Vec<Value>> = answer["keys"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|key| {
            let state = if key["revoked"] == json!(true) { "revoked" } else { "" };
            vec![
                key["id"].clone(),
                key["name"].clone(),
                key["owner"].clone(),
                joined(&key["roles"]),
                key["expires"].clone(),
                Value::from(state),
            ]
        })
        .collect();
    let columns = ["id", "name", "owner", "roles", "expires", ""].map(str::to_owned);
    print!("{}", table::render(&columns, &rows));
    Ok(())
}

fn create(typed: &KeyCreate) -> Result<()> {
    let mut wanted = Map::new();
    wanted.insert("name".to_owned(), json!(typed.name));
    if !typed.roles.is_empty() {
        wanted.insert("roles".to_owned(), json!(typed.roles));
    }
    if let Some(expires) = &typed.expires {
        wanted.insert("expires_in".to_owned(), json!(expires));
    }
    let client = Client::connect(&typed.connection)?;
    let made = client.json("POST", ROOT, Body::Json(&Value::Object(wanted)))?;
    if typed.json {
        println!("{made}");
        return Ok(());
    }
    let text = |name: &str| made[name].as_str().unwrap_or("").to_owned();
    println!("{}", text("encoded"));
    let expires = made["expires"].as_str().map_or("never".to_owned(), |time| format!("at {time}"));
    eprintln!("\nKey {} (`{}`), ends {expires}. It is not shown again.", text("id"), text("name"));
    eprintln!("hint: export CLERESTORY_API_KEY=…, or send `Authorization: ApiKey …`");
    Ok(())
}

fn revoke(typed: &Named) -> Result<()> {
    let path = format!("{ROOT}/{}", encoded(&typed.name));
    let answer = Client::connect(&typed.connection)?.json("DELETE", &path, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
    } else {
        println!("key {} has ended", typed.name);
    }
    Ok(())
}
