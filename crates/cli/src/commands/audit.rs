//! `audit`: the record of who read what, and whether it is whole.

use crate::arguments::{Audit, AuditShow, AuditVerify};
use crate::client::{Body, Client, encoded};
use crate::failure::{Failure, Result};
use crate::{key_place, node, table};
use serde_json::{Value, json};

pub(super) fn run(typed: &Audit) -> Result<()> {
    match typed {
        Audit::Show(typed) => show(typed),
        Audit::Verify(typed) => verify(typed),
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

/// One column for each member that any record has, in the order in which they first come.
fn as_rows(records: &[Value]) -> (Vec<String>, Vec<Vec<Value>>) {
    let mut columns: Vec<String> = Vec::new();
    for record in records {
        for name in record.as_object().into_iter().flat_map(|members| members.keys()) {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
    }
    let rows = records
        .iter()
        .map(|record| columns.iter().map(|name| record[name].clone()).collect())
        .collect();
    (columns, rows)
}

fn verify(typed: &AuditVerify) -> Result<()> {
    let unlock = key_place::for_known_folder(&typed.dir, &typed.unlock)?;
    let found = node::verify_audit(&typed.dir, &unlock)?;
    if typed.json {
        let answer = json!({
            "whole": found.problem.is_none(),
            "records": found.records,
            "signed": found.signed,
            "unfinished_tail": found.unfinished_tail,
            "problem": found.problem,
        });
        println!("{answer}");
    }
    if let Some(problem) = found.problem {
        return Err(Failure::new(format!("the audit record is not whole: {problem}"))
            .hint("keep the folder as it is, as evidence, and find out who could write to it"));
    }
    if !typed.json {
        println!("{} records: none was changed, moved or taken away", found.records);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_rows() {
        let (columns, rows) =
            as_rows(&[json!({"who": "ada", "rows": 3}), json!({"who": "bo", "table": "t"})]);
        assert_eq!(columns, ["who", "rows", "table"]);
        assert_eq!(rows[1], [json!("bo"), json!(null), json!("t")]);
    }
}
