//! `audit`: the record of who read what, and whether it is whole.

use super::user::joined;
use crate::arguments::{Audit, AuditShow, AuditVerify};
use crate::client::{Body, Client, encoded};
use crate::failure::{Failure, Result};
use crate::{key_place, node, table};
use engine::AuditEvidence;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

pub(super) fn run(typed: &Audit) -> Result<()> {
    match typed {
        Audit::Show(typed) => show(typed),
        Audit::Verify(typed) => verify(typed),
        Audit::Witness(typed) => super::witness::run(typed),
    }
}

fn show(typed: &AuditShow) -> Result<()> {
    let mut path = format!("/_clerestory/audit?limit={}", typed.limit);
    let wanted = [
        ("from", &typed.from),
        ("to", &typed.to),
        ("who", &typed.who),
        ("table", &typed.table),
        ("action", &typed.action),
        ("kind", &typed.kind),
    ];
    for (name, text) in wanted {
        if let Some(text) = text {
            path.push_str(&format!("&{name}={}", encoded(text)));
        }
    }
    let answer = Client::connect(&typed.connection)?.json("GET", &path, Body::Nothing)?;
    let records = answer["records"].as_array().cloned().unwrap_or_default();
    if typed.json {
        for record in records {
            println!("{record}");
        }
        return Ok(());
    }
    let (columns, rows) = as_rows(&records);
    print!("{}", table::render(&columns, &rows));
    Ok(())
}

/// What fits on a terminal; `--json` has the rest.
const COLUMNS: [&str; 9] =
    ["id", "@timestamp", "kind", "who", "action", "tables", "shape", "rows", "outcome"];

fn as_rows(records: &[Value]) -> (Vec<String>, Vec<Vec<Value>>) {
    let cell = |value: &Value| match value {
        Value::Array(_) => joined(value),
        other => other.clone(),
    };
    let rows = records
        .iter()
        .map(|record| COLUMNS.iter().map(|name| cell(&record[*name])).collect())
        .collect();
    (COLUMNS.map(str::to_owned).to_vec(), rows)
}

fn verify(typed: &AuditVerify) -> Result<()> {
    let unlock = key_place::for_known_folder(&typed.dir, &typed.unlock)?;
    let read = |file: &PathBuf| {
        fs::read_to_string(file).map_err(|error| {
            Failure::from(error).while_doing(&format!("cannot read `{}`", file.display()))
        })
    };
    let evidence = AuditEvidence {
        copies: typed.copies.clone(),
        checkpoints: typed.checkpoints.iter().map(read).collect::<Result<_>>()?,
    };
    let found = node::verify_audit(&typed.dir, &unlock, &evidence)?;
    if typed.json {
        let answer = json!({
            "whole": found.problem.is_none(),
            "records": found.records,
            "signed": found.signed,
            "unfinished_tail": found.unfinished_tail,
            "problem": found.problem,
            "clock_steps": found.clock_steps,
            "root": found.root,
        });
        println!("{answer}");
    }
    if let Some(problem) = found.problem {
        return Err(Failure::new(format!("the audit record is not whole: {problem}"))
            .hint("keep the folder as it is, as evidence, and find out who could write to it"));
    }
    if !typed.json {
        println!("{} records: none was changed, moved or taken away", found.records);
        for step in &found.clock_steps {
            println!("{step}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_rows() {
        let (columns, rows) = as_rows(&[json!({"who": "ada", "rows": 3, "tables": ["a", "b"]})]);
        assert_eq!(columns.len(), rows[0].len());
        assert_eq!(rows[0][3..6], [json!("ada"), json!(null), json!("a, b")]);
    }
}
