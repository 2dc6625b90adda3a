//! `metric`: list, show, query, apply, history, export.

use super::sql::as_table;
use crate::arguments::{
    ExportForm, Listed, Metric, MetricApply, MetricExport, MetricQuery, MetricShow, Named,
    OutputFormat,
};
use crate::client::{Body, Client, encoded};
use crate::failure::{Doing, Failure, Result};
use crate::table;
use serde_json::{Map, Value, json};
use std::path::Path;

const ROOT: &str = "/_clerestory/metrics";

pub(super) fn run(typed: &Metric) -> Result<()> {
    match typed {
        Metric::List(typed) => list(typed),
        Metric::Show(typed) => show(typed),
        Metric::Query(typed) => query(typed),
        Metric::Apply(typed) => apply(typed),
        Metric::History(typed) => history(typed),
        Metric::Export(typed) => export(typed),
    }
}

fn list(typed: &Listed) -> Result<()> {
    let answer = Client::connect(&typed.connection)?.json("GET", ROOT, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let metrics = answer["metrics"].as_array().cloned().unwrap_or_default();
    if metrics.is_empty() {
        println!("no metric is declared yet; `clerestory metric apply FILE` declares some");
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let rows: Vec<Vec<Value>> = metrics
        .iter()
        .map(|metric| {
            let dimensions = metric["dimensions"].as_array().cloned().unwrap_or_default();
            let dimensions: Vec<String> = dimensions.iter().map(text).collect();
            vec![
                metric["name"].clone(),
                metric["type"].clone(),
                metric["label"].clone(),
                Value::from(dimensions.join(", ")),
            ]
        })
        .collect();
    let columns = ["name", "type", "label", "dimensions"].map(str::to_owned);
    print!("{}", table::render(&columns, &rows));
    Ok(())
}

fn show(typed: &MetricShow) -> Result<()> {
    let mut path = format!("{ROOT}/{}", encoded(&typed.name));
    if let Some(version) = typed.version {
        path.push_str(&format!("?version={version}"));
    }
    let answer = Client::connect(&typed.connection)?.json("GET", &path, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
    } else {
        println!("{answer:#}");
    }
    Ok(())
}

fn history(typed: &Named) -> Result<()> {
    let path = format!("{ROOT}/{}/_history", encoded(&typed.name));
    let answer = Client::connect(&typed.connection)?.json("GET", &path, Body::Nothing)?;
    if typed.json {
        println!("{answer}");
        return Ok(());
    }
    let versions = answer["versions"].as_array().cloned().unwrap_or_default();
    let row = |version: &Value| ["version", "by", "at"].map(|key| version[key].clone()).to_vec();
    let rows: Vec<Vec<Value>> = versions.iter().map(row).collect();
    print!("{}", table::render(&["version", "by", "at"].map(str::to_owned), &rows));
    Ok(())
}

fn export(typed: &MetricExport) -> Result<()> {
    let ExportForm::Osi = typed.format;
    let path = format!("{ROOT}/_export?form=osi");
    let answer =
        Client::connect(&typed.connection)?.send("GET", &path, Body::Nothing)?.success()?;
    let text = String::from_utf8(answer.body).doing(|| "the answer is no text".to_owned())?;
    print!("{text}");
    Ok(())
}

fn query(typed: &MetricQuery) -> Result<()> {
    let question = question(typed)?;
    let path = format!("{ROOT}/{}", encoded(&typed.name));
    let client = Client::connect(&typed.connection)?;
    let answer = client.json("POST", &path, Body::Json(&question))?;
    match if typed.json { OutputFormat::Json } else { typed.format } {
        OutputFormat::Table => print!("{}", as_table(&answer)),
        OutputFormat::Json => println!("{answer}"),
        OutputFormat::Csv => print!("{}", as_csv(&answer)?),
    }
    if typed.explain && !typed.json && typed.format != OutputFormat::Json {
        // Beside the numbers, so that a pipe gets these alone.
        eprintln!("{}", explained(&answer["explain"]));
    }
    Ok(())
}

/// What the numbers were read from, in a sentence.
fn explained(explain: &Value) -> String {
    if let Some(why) = explain["withheld"].as_str() {
        return format!("what was read is not told: {why}");
    }
    let count = |path: &str| explain.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    format!(
        "from tiles: {} segments, {} rows of tiles for {} rows; from rows: {} stretches, {} rows",
        count("/tiles/segments"),
        count("/tiles/tile_rows"),
        count("/tiles/stand_for_rows"),
        count("/rows/stretches"),
        count("/rows/rows"),
    )
}

/// What was typed, as the server reads it; what was not typed is left to the metric's declaration.
fn question(typed: &MetricQuery) -> Result<Value> {
    let mut question = Map::new();
    let texts = [
        ("grain", &typed.grain),
        ("from", &typed.from),
        ("to", &typed.to),
        ("time_zone", &typed.time_zone),
        ("compare", &typed.compare),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            question.insert(name.to_owned(), json!(text));
        }
    }
    if !typed.by.is_empty() {
        question.insert("dimensions".to_owned(), json!(typed.by));
    }
    if typed.explain {
        question.insert("explain".to_owned(), json!(true));
    }
    if typed.no_tiles {
        question.insert("tiles".to_owned(), json!(false));
    }
    let mut filters = Map::new();
    for filter in &typed.filters {
        let (field, value) = filter.split_once('=').ok_or_else(|| {
            Failure::wrong_use("--where takes FIELD=VALUE").hint("--where model=cam-3")
        })?;
        let values = filters.entry(field.trim()).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(json!(value));
        }
    }
    if !filters.is_empty() {
        question.insert("filters".to_owned(), Value::Object(filters));
    }
    Ok(Value::Object(question))
}

fn as_csv(answer: &Value) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let empty = Vec::new();
    let columns = answer["columns"].as_array().unwrap_or(&empty);
    writer.write_record(columns.iter().map(|column| column["name"].as_str().unwrap_or("")))?;
    for row in answer["rows"].as_array().unwrap_or(&empty) {
        let cells = row.as_array().unwrap_or(&empty).iter().map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        writer.write_record(cells)?;
    }
    let bytes = writer.into_inner().map_err(|error| Failure::new(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn apply(typed: &MetricApply) -> Result<()> {
    let text = if typed.file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())?
    } else {
        std::fs::read_to_string(&typed.file)
            .doing(|| format!("cannot read `{}`", typed.file.display()))?
    };
    let answer = Client::connect(&typed.connection)?.send("PUT", ROOT, Body::Yaml(&text))?;
    if let Some(difference) = difference(&answer.body) {
        return Err(Failure::new(difference));
    }
    let answer: Value = serde_json::from_slice(&answer.success()?.body)
        .doing(|| "the answer is no JSON".to_owned())?;
    println!("{answer}");
    Ok(())
}

/// How the metrics answer otherwise than the file expects, if that is what the server says.
fn difference(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let tests = body["error"]["tests"].as_array()?;
    let mut text =
        String::from("nothing was changed, because metrics do not answer as the file expects");
    for test in tests {
        let metric = table::visible(test["metric"].as_str().unwrap_or(""));
        text.push_str(&format!("\n\nline {}: a test of `{metric}`", test["line"]));
        for line in test["differs"].as_array().into_iter().flatten() {
            text.push_str(&format!("\n  {}", table::visible(line.as_str().unwrap_or(""))));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn asked(line: &str) -> Result<Value> {
        let words = ["clerestory", "metric", "query", "activations"];
        let arguments = crate::arguments::Arguments::parse_from(
            words.into_iter().chain(line.split_whitespace()),
        );
        match arguments.command {
            crate::arguments::Command::Metric(Metric::Query(typed)) => question(&typed),
            _ => unreachable!("the words ask for a metric"),
        }
    }

    #[test]
    fn what_is_typed_becomes_a_question() {
        assert_eq!(asked("").unwrap(), json!({}));
        let full =
            asked("--by model,firmware --grain day --from 2026-11-01 --where model=cam-3 --compare previous_year --tz Asia/Tokyo").unwrap();
        let expected = json!({
            "grain": "day", "from": "2026-11-01", "dimensions": ["model", "firmware"],
            "filters": { "model": ["cam-3"] }, "compare": "previous_year", "time_zone": "Asia/Tokyo",
        });
        assert_eq!(full, expected);
        assert_eq!(asked("--where model").unwrap_err().exit_code(), 2);
        let checked = asked("--explain --no-tiles").unwrap();
        assert_eq!(checked, json!({ "explain": true, "tiles": false }));
    }
}
