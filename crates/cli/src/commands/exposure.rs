//! `exposure`: who could read fields of a class, and who did.

use crate::arguments::Exposure;
use crate::client::{Body, Client};
use crate::failure::Result;
use crate::table;
use serde_json::{Value, json};

pub(super) fn run(typed: &Exposure) -> Result<()> {
    let asked = json!({
        "table": typed.table,
        "class": typed.class,
        "person": typed.person,
        "from": typed.from,
        "to": typed.to,
    });
    let client = Client::connect(&typed.connection)?;
    let answer = client.json("POST", "/_clerestory/exposure", Body::Json(&asked))?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    println!("{} fields of {}, {} to {}", text("class"), text("table"), text("from"), text("to"));
    if let Some(rows) = answer["rows_of_person"].as_u64() {
        println!("{rows} rows name the person");
    }
    println!("\ncould read");
    print(&["who", "from", "to", "action", "policy"], &could_rows(&answer));
    println!("\ndid read");
    print(&DID_COLUMNS, &did_rows(&answer));
    let number = |name: &str| answer[name].as_u64().unwrap_or_default();
    let people = answer["people_read"].as_u64();
    let people = people.map_or_else(String::new, |people| format!(" of {people} people"));
    println!("\n{} rows{people} went out, each counted once", number("rows_read"));
    if number("rows_no_longer_stored") > 0 {
        println!("{} of them are not stored any more", number("rows_no_longer_stored"));
    }
    Ok(())
}

const DID_COLUMNS: [&str; 8] =
    ["who", "reads", "computations", "unfinished", "rows", "bytes", "first", "last"];

fn print(columns: &[&str], rows: &[Vec<Value>]) {
    if rows.is_empty() {
        println!("nobody");
        return;
    }
    let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    print!("{}", table::render(&columns, rows));
}

fn list<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}

fn could_rows(answer: &Value) -> Vec<Vec<Value>> {
    let row = |one: &Value, time: &Value| {
        let of_time = ["from", "to", "action", "policy"].iter().map(|name| time[*name].clone());
        std::iter::once(one["who"].clone()).chain(of_time).collect()
    };
    list(answer, "could_read")
        .flat_map(|one| list(one, "times").map(move |time| row(one, time)).collect::<Vec<_>>())
        .collect()
}

fn did_rows(answer: &Value) -> Vec<Vec<Value>> {
    let row = |one: &Value| DID_COLUMNS.iter().map(|name| one[*name].clone()).collect();
    list(answer, "did_read").map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_rows() {
        let times = json!([{"from": "a", "to": "b", "action": "read", "policy": 1}]);
        let answer = json!({
            "could_read": [{"who": "ada", "times": times}],
            "did_read": [{"who": "ada", "reads": 2, "rows": 3}],
        });
        let expected = ["ada", "a", "b", "read"].map(Value::from);
        assert_eq!(could_rows(&answer)[0][..4], expected);
        assert_eq!(did_rows(&answer)[0][1], json!(2));
        assert_eq!(did_rows(&json!({})), Vec::<Vec<Value>>::new());
    }
}
