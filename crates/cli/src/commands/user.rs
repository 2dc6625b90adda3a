//! `user`: people who may log in.

use super::change::{Proposal, propose};
use super::factor;
use crate::arguments::{
    Connection, Listed, Named, Reasoned, User, UserCreate, UserPassword, UserRoles,
};
use crate::client::{Body, Client, encoded};
use crate::failure::{Failure, Result};
use crate::key_place::first_line;
use crate::table;
use serde_json::{Value, json};
use std::path::Path;
use zeroize::Zeroizing;

const ROOT: &str = "/_clerestory/people";

pub(super) fn run(typed: &User) -> Result<()> {
    match typed {
        User::List(typed) => list(typed),
        User::Create(typed) => create(typed),
        User::Password(typed) => set_password(typed),
        User::Disable(typed) => disable(typed),
        User::Totp(typed) => factor::run(typed),
        User::Factors(typed) => factor::show(typed),
        User::ResetFactors(typed) => factor::reset(typed),
        User::Enable(typed) => enable(typed),
        User::Roles(typed) => roles(typed),
    }
}

fn list(typed: &Listed) -> Result<()> {
    let answer = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let rows: Vec<Vec<Value>> = answer["people"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|person| {
            let state = if person["enabled"] == json!(false) { "disabled" } else { "" };
            vec![person["name"].clone(), joined(&person["roles"]), Value::from(state)]
        })
        .collect();
    print!("{}", table::render(&["name", "roles", ""].map(str::to_owned), &rows));
    Ok(())
}

/// An array of words as one text.
pub(super) fn joined(words: &Value) -> Value {
    let words: Vec<&str> =
        words.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    Value::from(words.join(", "))
}

fn create(typed: &UserCreate) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let password = new_password(&typed.name, typed.password_file.as_deref())?;
    let person = json!({
        "name": typed.name, "roles": typed.roles, "password": password.as_str(),
    });
    let made = client.json("POST", ROOT, Body::Json(&person))?;
    let (name, roles) = (&typed.name, typed.roles.join(", "));
    match made["change"].as_u64() {
        None => println!("{name} may log in as {roles}"),
        Some(change) => println!(
            "{name} may log in, and becomes {roles} when a second person approves change {change}\n\
             hint: clerestory change show {change}"
        ),
    }
    Ok(())
}

fn roles(typed: &UserRoles) -> Result<()> {
    let with_end = |role: &String| match &typed.until {
        Some(until) => json!({ "role": { "person": typed.name, "role": role, "until": until } }),
        None => json!({ "role": { "person": typed.name, "role": role } }),
    };
    let dropped = |role: &String| json!({ "drop_role": { "person": typed.name, "role": role } });
    // Apart: what is taken away does not wait for what is given.
    for edits in
        [typed.drop.iter().map(dropped).collect(), typed.add.iter().map(with_end).collect()]
    {
        let edits: Vec<Value> = edits;
        if !edits.is_empty() {
            let json = typed.json;
            propose(&typed.connection, &Proposal { edits, why: &typed.why, json })?;
        }
    }
    Ok(())
}

fn enable(typed: &Reasoned) -> Result<()> {
    let edits = vec![json!({ "enable": { "person": typed.name } })];
    propose(&typed.connection, &Proposal { edits, why: &typed.why, json: typed.json })
}

fn set_password(typed: &UserPassword) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let password = new_password(&typed.name, typed.password_file.as_deref())?;
    let path = format!("{ROOT}/{}/_password", encoded(&typed.name));
    client.json("POST", &path, Body::Json(&json!({ "password": password.as_str() })))?;
    println!("{} has a new password", typed.name);
    Ok(())
}

fn disable(typed: &Named) -> Result<()> {
    let answer = post(&typed.connection, &format!("{ROOT}/{}/_disable", encoded(&typed.name)))?;
    if typed.json {
        println!("{answer}");
    } else {
        println!("{} can log in no more; sessions and keys have ended", typed.name);
    }
    Ok(())
}

fn post(connection: &Connection, path: &str) -> Result<Value> {
    Client::connect(connection)?.json("POST", path, Body::Nothing)
}

/// A password from a file, or typed twice.
fn new_password(name: &str, file: Option<&Path>) -> Result<Zeroizing<String>> {
    if let Some(file) = file {
        return first_line(file);
    }
    let password = Zeroizing::new(rpassword::prompt_password(format!("New password of {name}: "))?);
    let again = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
    if password == again { Ok(password) } else { Err(Failure::new("the two passwords differ")) }
}
