//! `user totp` and its sisters: what people show beside their password.

use crate::arguments::{Listed, Named, Totp, TotpCode, TotpEnrol};
use crate::client::{Body, Client, encoded};
use crate::failure::Result;
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};

const ROOT: &str = "/_clerestory/factors";

pub(super) fn run(typed: &Totp) -> Result<()> {
    match typed {
        Totp::Enrol(typed) => enrol(typed),
        Totp::Confirm(typed) => confirm(typed),
        Totp::Remove(typed) => remove(typed),
    }
}

fn enrol(typed: &TotpEnrol) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let present = typed.code.as_ref().map_or(Value::Null, |code| json!({ "code": code }));
    let body = json!({ "present": present });
    let offered = client.json("POST", &format!("{ROOT}/totp"), Body::Json(&body))?;
    if typed.json {
        println!("{offered}");
        return Ok(());
    }
    let text = |name: &str| offered[name].as_str().unwrap_or("").to_owned();
    println!("secret {}\n{}", text("secret"), text("uri"));
    eprintln!("\nGive the secret, or the address as a QR code, to the app. It is not shown again.");
    if !io::stdin().is_terminal() {
        eprintln!("hint: clerestory user totp confirm CODE");
        return Ok(());
    }
    print!("First code: ");
    io::stdout().flush()?;
    let mut code = String::new();
    io::stdin().read_line(&mut code)?;
    let codes = send_code(&client, code.trim())?;
    print_codes(&codes);
    Ok(())
}

fn confirm(typed: &TotpCode) -> Result<()> {
    let codes = send_code(&Client::connect(&typed.connection)?, &typed.code)?;
    if typed.json {
        println!("{codes}");
    } else {
        print_codes(&codes);
    }
    Ok(())
}

fn send_code(client: &Client, code: &str) -> Result<Value> {
    client.json("POST", &format!("{ROOT}/totp/_confirm"), Body::Json(&json!({ "code": code })))
}

fn print_codes(codes: &Value) {
    for code in codes["recovery_codes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        println!("{code}");
    }
    eprintln!(
        "\nEach of these recovery codes lets you in once without the app. Keep them on paper."
    );
    eprintln!("From now on a password alone does not let you in; programs use API keys.");
}

fn remove(typed: &TotpCode) -> Result<()> {
    let body = json!({ "present": { "code": typed.code } });
    let client = Client::connect(&typed.connection)?;
    let answer = client.json("DELETE", &format!("{ROOT}/totp"), Body::Json(&body))?;
    if typed.json {
        println!("{answer}");
    } else {
        println!("the app is removed; the password alone lets you in");
    }
    Ok(())
}

pub(super) fn show(typed: &Listed) -> Result<()> {
    let shown = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{shown}");
        return Ok(());
    }
    let app = if shown["totp"] == json!(true) { "set up" } else { "none" };
    println!("app for codes: {app}; recovery codes left: {}", shown["recovery_codes"]);
    for key in shown["keys"].as_array().into_iter().flatten() {
        println!(
            "key {} ({})",
            key["name"].as_str().unwrap_or(""),
            key["id"].as_str().unwrap_or("")
        );
    }
    if let Some(time) = shown["approves_from"].as_str() {
        println!("an administrator reset this account; it can approve from {time} on");
    }
    Ok(())
}

pub(super) fn reset(typed: &Named) -> Result<()> {
    let path = format!("/_clerestory/people/{}/_reset_factors", encoded(&typed.name));
    let answer = Client::connect(&typed.connection)?.json("POST", &path, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
    } else {
        println!("{} has no second factor any more; sessions have ended", typed.name);
    }
    Ok(())
}
