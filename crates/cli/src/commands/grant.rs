//! `grant`: who may do what, where, on which terms.

use super::change::{Proposal, propose};
use crate::arguments::{Grant, GrantGive, GrantReach, Listed, Reasoned};
use crate::client::{Body, Client, encoded};
use crate::failure::{Failure, Result};
use crate::table;
use serde_json::{Map, Value, json};

pub(super) fn run(typed: &Grant) -> Result<()> {
    match typed {
        Grant::List(typed) => list(typed),
        Grant::Reach(typed) => reach(typed),
        Grant::Give(typed) => give(typed),
        Grant::Revoke(typed) => revoke(typed),
    }
}

fn list(typed: &Listed) -> Result<()> {
    let client = Client::connect(&typed.connection)?;
    let answer = client.json("GET", "/_clerestory/grants", Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let rows: Vec<Vec<Value>> = answer["grants"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|grant| {
            let state = if grant["over"] == json!(true) { "over" } else { "" };
            vec![grant["id"].clone(), grant["text"].clone(), Value::from(state)]
        })
        .collect();
    print!("{}", table::render(&["grant", "who may do what", ""].map(str::to_owned), &rows));
    Ok(())
}

fn reach(typed: &GrantReach) -> Result<()> {
    let mut path = "/_clerestory/reach".to_owned();
    for (name, value) in [("person", &typed.person), ("table", &typed.table)] {
        if let Some(value) = value {
            let sign = if path.contains('?') { '&' } else { '?' };
            path.push_str(&format!("{sign}{name}={}", encoded(value)));
        }
    }
    let answer = Client::connect(&typed.connection)?.json("GET", &path, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    const CLASSES: [&str; 4] = ["open", "personal", "special", "secret"];
    let rows: Vec<Vec<Value>> = answer["reach"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            let cells = CLASSES.map(|class| row[class]["text"].clone());
            [row["person"].clone(), row["table"].clone()].into_iter().chain(cells).collect()
        })
        .collect();
    let columns = ["person", "table"].into_iter().chain(CLASSES).map(str::to_owned);
    print!("{}", table::render(&columns.collect::<Vec<_>>(), &rows));
    Ok(())
}

fn give(typed: &GrantGive) -> Result<()> {
    let mut grant = Map::new();
    let mut put = |name: &str, value: Value| grant.insert(name.to_owned(), value);
    put("who", json!(typed.to));
    put("tables", json!(typed.tables));
    put("action", json!(typed.action));
    if !typed.classes.is_empty() {
        put("classes", json!(typed.classes));
    }
    let conditions: Result<Vec<Value>> =
        typed.conditions.iter().map(|text| condition(text)).collect();
    let conditions = conditions?;
    if !conditions.is_empty() {
        put("rows", json!(conditions));
    }
    if let Some(least_group) = typed.least_group {
        put("least_group", json!(least_group));
    }
    let limits = [
        ("rows", typed.rows_a_day),
        ("bytes", typed.bytes_a_day),
        ("queries", typed.queries_a_day),
    ];
    let quota: Map<String, Value> = limits
        .into_iter()
        .filter_map(|(name, limit)| Some((name.to_owned(), json!(limit?))))
        .collect();
    if !quota.is_empty() {
        put("quota", Value::Object(quota));
    }
    if !typed.networks.is_empty() {
        put("networks", json!(typed.networks));
    }
    if typed.purpose_required {
        put("purpose", json!("required"));
    } else if !typed.purposes.is_empty() {
        put("purpose", json!(typed.purposes));
    }
    for (name, time) in [("from", &typed.from), ("until", &typed.until)] {
        if let Some(time) = time {
            put(name, json!(time));
        }
    }
    let edits = vec![json!({ "grant": grant })];
    propose(&typed.connection, &Proposal { edits, why: &typed.why, json: typed.json })
}

/// `FIELD=A,B` or `FIELD=FROM..TO`; a whole number is a number, `true` and `false` are themselves.
fn condition(text: &str) -> Result<Value> {
    let Some((field, values)) = text.split_once('=').filter(|(field, _)| !field.is_empty()) else {
        return Err(Failure::wrong_use(format!("`{text}` is no condition"))
            .hint("--where region=eu,us, or --where battery=10..50"));
    };
    let literal = |text: &str| match (text.parse::<i64>(), text) {
        (Ok(number), _) => json!(number),
        (_, "true") => json!(true),
        (_, "false") => json!(false),
        _ => json!(text),
    };
    Ok(match values.split_once("..") {
        Some((from, to)) => {
            let mut range = Map::from_iter([("field".to_owned(), json!(field))]);
            for (name, end) in [("from", from), ("to", to)] {
                if !end.is_empty() {
                    range.insert(name.to_owned(), literal(end));
                }
            }
            Value::Object(range)
        }
        None => {
            let values: Vec<Value> = values.split(',').map(literal).collect();
            json!({ "field": field, "in": values })
        }
    })
}

fn revoke(typed: &Reasoned) -> Result<()> {
    let id: u64 = typed.name.parse().map_err(|_| {
        Failure::wrong_use(format!("`{}` is no number of a grant", typed.name))
            .hint("clerestory grant list")
    })?;
    let edits = vec![json!({ "revoke": id })];
    propose(&typed.connection, &Proposal { edits, why: &typed.why, json: typed.json })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        for (text, expected) in [
            ("region=eu,us", json!({ "field": "region", "in": ["eu", "us"] })),
            ("n=5", json!({ "field": "n", "in": [5] })),
            ("n=5..9", json!({ "field": "n", "from": 5, "to": 9 })),
            ("n=..9", json!({ "field": "n", "to": 9 })),
            ("ok=true", json!({ "field": "ok", "in": [true] })),
        ] {
            assert_eq!(condition(text).unwrap(), expected, "{text}");
        }
        assert!(condition("region").is_err() && condition("=eu").is_err());
    }
}
