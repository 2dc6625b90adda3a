//! `copy`: production data in, planned, signed, followed.

use crate::arguments::{
    Copy, CopyNamed, CopyPlan, CopyRemove, CopyResnapshot, CopyRun, CopySecret, CopySign,
    CopyStatus,
};
use crate::client::{Body, Client, encoded};
use crate::failure::{Doing, Failure, Result};
use crate::key_place::first_line;
use crate::progress::{Counting, bar, drawn, grouped};
use crate::table;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

const ROOT: &str = "/_clerestory/copies";
const SECRETS: &str = "/_clerestory/source-secrets";
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many rows that differ are named for each table on a terminal.
const KEYS_SHOWN: usize = 20;
/// How wide the bar of a snapshot is, in characters.
const BAR_CHARS: usize = 40;

pub(super) fn run(typed: &Copy) -> Result<()> {
    match typed {
        Copy::Plan(typed) => plan(typed),
        Copy::Run(typed) => start(typed),
        Copy::Sign(typed) => sign(typed),
        Copy::Status(typed) => status(typed),
        Copy::Pause(typed) => act(typed, "_pause"),
        Copy::Resume(typed) => act(typed, "_run"),
        Copy::Resnapshot(typed) => resnapshot(typed),
        Copy::Verify(typed) => verify(typed),
        Copy::Show(typed) => show(typed),
        Copy::Remove(typed) => remove(typed),
        Copy::Secret(typed) => secret(typed),
    }
}

fn plan(typed: &CopyPlan) -> Result<()> {
    let yaml = read(&typed.file)?;
    let mut path = format!("{ROOT}/_plan");
    if let (Some(purpose), Some(until)) = (&typed.used_for, &typed.until) {
        path.push_str(&format!("?purpose={}&until={}", encoded(purpose), encoded(until)));
    }
    let client = Client::connect(&typed.connection)?;
    let answer = client.json("POST", &path, Body::Yaml(&yaml))?;
    if typed.diff {
        return diff(&answer, typed.json);
    }
    let out = typed.out.as_deref().unwrap_or(&typed.file);
    let page = out.with_extension("html");
    write(out, answer["yaml"].as_str().unwrap_or_default())?;
    write(&page, answer["page"].as_str().unwrap_or_default())?;
    if typed.json {
        println!("{}", json!({ "summary": answer["summary"], "file": out, "page": page }));
        return Ok(());
    }
    let summary = &answer["summary"];
    println!(
        "{} tables: {} columns are copied, {} are not\n{}\n{}\nhint: read both, then: clerestory \
         copy run {}",
        summary["tables"],
        summary["copied"],
        summary["not_copied"],
        out.display(),
        page.display(),
        out.display()
    );
    Ok(())
}

fn diff(answer: &Value, as_json: bool) -> Result<()> {
    let differences = answer["differences"].as_array().cloned().unwrap_or_default();
    if as_json {
        println!("{}", json!({ "differences": differences }));
    } else {
        for line in &differences {
            println!("{}", table::visible(line["text"].as_str().unwrap_or_default()));
        }
    }
    match differences.is_empty() {
        true if as_json => Ok(()),
        true => {
            println!("the source is as the file says");
            Ok(())
        }
        false => Err(Failure::new("the source is not as the file says")
            .hint("plan again, read what is new, propose and sign it")),
    }
}

fn start(typed: &CopyRun) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let mut name = typed.what.clone();
    let file = Path::new(&typed.what);
    if file.is_file() {
        let proposed = client.json("PUT", ROOT, Body::Yaml(&read(file)?))?;
        name = proposed["copy"].as_str().unwrap_or_default().to_owned();
        if proposed["signed"] != json!(true) {
            if typed.json {
                println!("{proposed}");
                return Ok(());
            }
            let more = proposed["more"].as_array().cloned().unwrap_or_default();
            for what in &more {
                println!(
                    "more than is signed: {}",
                    table::visible(what.as_str().unwrap_or_default())
                );
            }
            println!(
                "version {} of `{name}` is proposed\nhint: a guardian reads and signs it: \
                 clerestory copy sign {name}; then: clerestory copy run {name}",
                proposed["version"]
            );
            return Ok(());
        }
    }
    let path = format!("{ROOT}/{}/_run", encoded(&name));
    let answer = client.json("POST", &path, Body::Nothing)?;
    if typed.detach || typed.json {
        tell(&answer, typed.json);
        return Ok(());
    }
    watch(&client, &name)
}

/// Shows the progress of a copy until it follows, or stops.
fn watch(client: &Client, name: &str) -> Result<()> {
    let progress = bar(Counting::Share, 1_000);
    let path = format!("{ROOT}/{}", encoded(name));
    loop {
        let answer = client.json("GET", &path, Body::Nothing)?;
        let state = answer["state"].as_str().unwrap_or_default();
        let pace = pace(&answer).map(|pace| format!(", {pace}")).unwrap_or_default();
        progress.set_message(format!("{}{pace}", table::visible(word(&answer["status"]))));
        if let Some(part) = answer["snapshot_part"].as_f64() {
            progress.set_position((part * 1_000.0) as u64);
        }
        match state {
            "following" | "paused" | "stopped" => {
                progress.finish_and_clear();
                tell(&answer, false);
                return match state {
                    "following" => Ok(()),
                    _ => Err(Failure::new(format!("copy `{name}` does not run"))),
                };
            }
            _ => std::thread::sleep(LOOK_EVERY),
        }
    }
}

fn sign(typed: &CopySign) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let path = format!("{ROOT}/{}", encoded(&typed.name));
    let version = match typed.version {
        Some(version) => version,
        None => {
            let shown = client.json("GET", &path, Body::Nothing)?;
            println!("{}", shown["yaml"].as_str().unwrap_or_default());
            for what in shown["more"].as_array().into_iter().flatten() {
                println!(
                    "# more than is signed: {}",
                    table::visible(what.as_str().unwrap_or_default())
                );
            }
            let version = shown["version"].as_u64().unwrap_or_default();
            return Err(Failure::wrong_use("say which version was read")
                .hint(format!("clerestory copy sign {} --version {version}", typed.name)));
        }
    };
    let body = json!({ "version": version });
    let answer = client.json("POST", &format!("{path}/_sign"), Body::Json(&body))?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    println!("version {version} of `{}` is signed", typed.name);
    for change in answer["changes"].as_array().into_iter().flatten() {
        println!("change {change} lets more be seen and waits for a second person");
    }
    Ok(())
}

fn status(typed: &CopyStatus) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    if let Some(name) = &typed.name {
        let path = format!("{ROOT}/{}", encoded(name));
        let mut answer = client.json("GET", &path, Body::Nothing)?;
        if let Value::Object(answer) = &mut answer {
            answer.shift_remove("yaml");
            answer.shift_remove("page");
        }
        tell(&answer, typed.json);
        return Ok(());
    }
    let answer = client.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let copies = answer["copies"].as_array().cloned().unwrap_or_default();
    if copies.is_empty() {
        println!("there is no copy\nhint: clerestory copy plan FILE");
        return Ok(());
    }
    let columns = ["copy", "status", "rows_stored", "rows_per_second", "signed_by"];
    let rows: Vec<Vec<Value>> =
        copies.iter().map(|copy| columns.map(|name| copy[name].clone()).into()).collect();
    print!("{}", table::render(&columns.map(str::to_owned), &rows));
    Ok(())
}

fn act(typed: &CopyNamed, what: &str) -> Result<()> {
    let path = format!("{ROOT}/{}/{what}", encoded(&typed.name));
    let answer = Client::connect(&typed.connection)?.json("POST", &path, Body::Nothing)?;
    tell(&answer, typed.json);
    Ok(())
}

fn resnapshot(typed: &CopyResnapshot) -> Result<()> {
    let mut path = format!("{ROOT}/{}/_resnapshot", encoded(&typed.name));
    if let Some(table) = &typed.table {
        path.push_str(&format!("?table={}", encoded(table)));
    }
    let answer = Client::connect(&typed.connection)?.json("POST", &path, Body::Nothing)?;
    tell(&answer, typed.json);
    Ok(())
}

fn verify(typed: &CopyNamed) -> Result<()> {
    let path = format!("{ROOT}/{}/_verify", encoded(&typed.name));
    let answer = Client::connect(&typed.connection)?.json("POST", &path, Body::Nothing)?;
    match typed.json {
        true => println!("{answer}"),
        false => print!("{}", compared(&answer)),
    }
    match answer["equal"] == json!(true) {
        true => Ok(()),
        false => Err(Failure::new("what was copied is not what the source has")
            .hint(format!("clerestory copy resnapshot {}", typed.name))),
    }
}

fn show(typed: &CopyNamed) -> Result<()> {
    let path = format!("{ROOT}/{}", encoded(&typed.name));
    let answer = Client::connect(&typed.connection)?.json("GET", &path, Body::Nothing)?;
    match typed.json {
        true => println!("{answer}"),
        false => print!("{}", answer["yaml"].as_str().unwrap_or_default()),
    }
    Ok(())
}

fn remove(typed: &CopyRemove) -> Result<()> {
    let mut path = format!("{ROOT}/{}", encoded(&typed.name));
    if typed.force {
        path.push_str("?force=true");
    }
    let answer = Client::connect(&typed.connection)?.json("DELETE", &path, Body::Nothing)?;
    match typed.json {
        true => println!("{answer}"),
        false => println!("copy `{}` is removed; its tables stay", typed.name),
    }
    Ok(())
}

fn secret(typed: &CopySecret) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let path = format!("{SECRETS}/{}", encoded(&typed.name));
    if typed.remove {
        client.json("DELETE", &path, Body::Nothing)?;
        println!("secret `{}` is forgotten", typed.name);
        return Ok(());
    }
    let secret = match typed.from_file.to_str() {
        Some("-") => {
            Zeroizing::new(rpassword::prompt_password(format!("Secret `{}`: ", typed.name))?)
        }
        _ => first_line(&typed.from_file)?,
    };
    client.json("PUT", &path, Body::Json(&json!({ "secret": &*secret })))?;
    println!("secret `{}` is kept", typed.name);
    Ok(())
}

fn tell(answer: &Value, as_json: bool) {
    match as_json {
        true => println!("{answer}"),
        false => print!("{}", told(answer)),
    }
}

/// What a verification found, in words.
fn compared(answer: &Value) -> String {
    let tables = answer["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let columns = ["table", "rows_at_source", "rows_here", "differing", "changing"];
    let rows: Vec<Vec<Value>> =
        tables.iter().map(|one| columns.map(|name| one[name].clone()).into()).collect();
    let mut told = table::render(&columns.map(str::to_owned), &rows);
    for one in tables {
        let name = table::visible(one["table"].as_str().unwrap_or_default());
        let keys = one["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        for key in keys.iter().take(KEYS_SHOWN) {
            let how = match key["how"].as_str().unwrap_or_default() {
                "missing" => "is not here",
                "extra" => "is here and not at the source",
                _ => "is here with other values",
            };
            let key = table::visible(key["key"].as_str().unwrap_or_default());
            told.push_str(&format!("{name} {key} {how}\n"));
        }
        let differing = one["differing"].as_u64().unwrap_or_default() as usize;
        let shown = keys.len().min(KEYS_SHOWN);
        if differing > shown {
            told.push_str(&format!(
                "{name}: {} more differ; --json names 1,000\n",
                differing - shown
            ));
        }
        if one["differing_is_cut"] == json!(true) {
            told.push_str(&format!("{name}: too much differs, or changes, to name all of it\n"));
        }
        if one["has_key"] == json!(false) {
            told.push_str(&format!("{name}: its rows have no key, so they are only counted\n"));
        }
    }
    if answer["following"] == json!(false) {
        told.push_str("the copy does not follow now: what changed at the source since differs\n");
    }
    told
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Rows a second and the time that is left, where something is read.
fn pace(answer: &Value) -> Option<String> {
    let rate = answer["rows_per_second"].as_f64().filter(|rate| *rate > 0.0)?;
    let mut told = format!("{} rows/s", grouped(rate as u64));
    if let Some(left) = answer["seconds_left"].as_f64() {
        let (minutes, seconds) = (left as u64 / 60, left as u64 % 60);
        told.push_str(&match minutes {
            0 => format!(", {seconds} s left"),
            minutes => format!(", {minutes} min {seconds} s left"),
        });
    }
    Some(told)
}

/// How a copy is, in words.
fn told(answer: &Value) -> String {
    let word = |value: &Value| table::visible(word(value));
    let mut told = format!("{}: {}\n", word(&answer["copy"]), word(&answer["status"]));
    if let Some(tries) = answer["failed_tries"].as_u64().filter(|tries| *tries > 1) {
        told.push_str(&format!("{tries} tries failed one after the other\n"));
    }
    let bar = answer["snapshot_part"].as_f64().map(|part| drawn(part, BAR_CHARS));
    let parts: Vec<String> = bar.into_iter().chain(pace(answer)).collect();
    if !parts.is_empty() {
        told.push_str(&format!("{}\n", parts.join(" ")));
    }
    if let (Some(kept), Some(most)) =
        (answer["lag_waiting"].as_u64(), answer["lag_waiting_max"].as_u64())
    {
        told.push_str(&format!(
            "the source keeps {} bytes for it, of at most {}\n",
            grouped(kept),
            grouped(most)
        ));
    }
    for one in answer["tables"].as_array().into_iter().flatten() {
        told.push_str(&table_told(one));
    }
    for note in answer["notes"].as_array().into_iter().flatten().take(5) {
        let (at, table, what) = (word(&note["at"]), word(&note["table"]), word(&note["what"]));
        told.push_str(&format!("  {at} {table} {what}\n"));
    }
    told
}

/// How one table of a copy is, on one line.
fn table_told(one: &Value) -> String {
    let word = |value: &Value| table::visible(word(value));
    let number = |value: &Value| grouped(value.as_u64().unwrap_or_default());
    let mut line =
        format!("  {}: {} rows stored", word(&one["table"]), number(&one["rows_stored"]));
    if one["copied"] != json!(true) && one["ranges"].as_u64().unwrap_or_default() > 0 {
        line.push_str(&format!(
            ", {} of about {} read, {} of {} ranges",
            number(&one["rows_read"]),
            number(&one["rows_expected"]),
            one["ranges_done"],
            one["ranges"]
        ));
    }
    if one["rows_refused"].as_u64().unwrap_or_default() > 0 {
        let why = word(&one["refused_because"]);
        line.push_str(&format!(", {} rows left out: {why}", number(&one["rows_refused"])));
    }
    for (column, count) in one["values_left_out"].as_object().into_iter().flatten() {
        line.push_str(&format!(", {} values of {column} do not fit", number(count)));
    }
    if one["values_unknown"].as_u64().unwrap_or_default() > 0 {
        line.push_str(&format!(", {} values unknown", number(&one["values_unknown"])));
    }
    line.push('\n');
    line
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).doing(|| format!("cannot read `{}`", file.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).doing(|| format!("cannot write `{}`", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_in_words() {
        let answer = json!({
            "copy": "p", "status": "snapshot 43 %", "rows_per_second": 81000.0, "seconds_left": 72.0,
            "snapshot_part": 0.43, "lag_waiting": 16777216, "lag_waiting_max": 10737418240_u64,
            "tables": [{ "table": "public.t", "copied": false, "ranges": 4, "ranges_done": 1,
                         "rows_stored": 1234567, "rows_read": 1234567, "rows_expected": 5000000,
                         "values_left_out": { "n": 2 } }],
            "notes": [],
        });
        let bar = "━".repeat(17) + &"─".repeat(23);
        let expected = format!(
            "p: snapshot 43 %\n{bar} 81,000 rows/s, 1 min 12 s left\nthe source keeps 16,777,216 \
             bytes for it, of at most 10,737,418,240\n  public.t: 1,234,567 rows stored, 1,234,567 \
             of about 5,000,000 read, 1 of 4 ranges, 2 values of n do not fit\n"
        );
        assert_eq!(told(&answer), expected);
        let answer = json!({ "copy": "p", "status": "waiting, next try in 8 s: it is away",
                             "failed_tries": 4, "rows_per_second": 0.0, "tables": [], "notes": [] });
        let expected =
            "p: waiting, next try in 8 s: it is away\n4 tries failed one after the other\n";
        assert_eq!(told(&answer), expected);
    }

    #[test]
    fn what_differs_is_told_in_words() {
        let key = |key: &str, how: &str| json!({ "key": key, "how": how });
        let answer = json!({ "following": true, "tables": [
            { "table": "public.t", "rows_at_source": 3, "rows_here": 3, "differing": 30,
              "changing": 1, "has_key": true, "differing_is_cut": false,
              "keys": [key("a\u{1b}", "missing"), key("b", "extra"), key("c", "changed")] },
            { "table": "public.log", "rows_at_source": 3, "rows_here": 3, "differing": 0,
              "changing": 0, "has_key": false, "differing_is_cut": false, "keys": [] },
        ] });
        let told = compared(&answer);
        for line in [
            "public.t a\\u{1b} is not here",
            "public.t b is here and not at the source",
            "public.t c is here with other values",
            "public.t: 27 more differ; --json names 1,000",
            "public.log: its rows have no key, so they are only counted",
        ] {
            assert!(told.lines().any(|known| known == line), "{line}\n{told}");
        }
        assert!(!told.contains("does not follow"));
    }
}
