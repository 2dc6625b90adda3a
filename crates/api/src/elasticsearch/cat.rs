//! `_cat`: tables for people, also as JSON.

use super::CLUSTER;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::filter_path::matches;
use crate::media::{self, Accepted};
use crate::reply::Reply;
use crate::request::Request;
use crate::route::Call;
use engine::Caller;
use model::{Clock, SystemClock, Timestamp};
use serde_json::{Map, Value};

/// A column: its name, other names it is asked by, whether it is a number, whether it is shown
/// unless something else is asked for.
struct Column {
    name: &'static str,
    aliases: &'static [&'static str],
    is_number: bool,
    is_shown: bool,
}

const fn column(
    name: &'static str,
    aliases: &'static [&'static str],
    is_number: bool,
    is_shown: bool,
) -> Column {
    Column { name, aliases, is_number, is_shown }
}

const INDICES: &[Column] = &[
    column("health", &["h"], false, true),
    column("status", &["s"], false, true),
    column("index", &["i", "idx"], false, true),
    column("uuid", &["id"], false, true),
    column("pri", &["p", "shards.primary"], true, true),
    column("rep", &["r", "shards.replica"], true, true),
    column("docs.count", &["dc", "docsCount"], true, true),
    column("docs.deleted", &["dd", "docsDeleted"], true, true),
    column("store.size", &["ss", "storeSize"], true, true),
    column("pri.store.size", &[], true, true),
    column("dataset.size", &[], true, true),
];

const COUNT: &[Column] = &[
    column("epoch", &["t", "time"], true, true),
    column("timestamp", &["ts", "hms"], false, true),
    column("count", &["dc", "docs.count"], true, true),
];

const HEALTH: &[Column] = &[
    column("epoch", &["t", "time"], true, true),
    column("timestamp", &["ts", "hms"], false, true),
    column("cluster", &["cl"], false, true),
    column("status", &["st"], false, true),
    column("node.total", &["nt"], true, true),
    column("node.data", &["nd"], true, true),
    column("shards", &["sh"], true, true),
    column("pri", &["p"], true, true),
    column("relo", &["r"], true, true),
    column("init", &["i"], true, true),
    column("unassign", &["u"], true, true),
    column("unassign.pri", &[], true, true),
    column("pending_tasks", &["pt"], true, true),
    column("max_task_wait_time", &["mtwt"], false, true),
    column("active_shards_percent", &["asp"], true, true),
];

/// `GET /_cat`.
pub(crate) fn help(_call: &Call<'_>, _caller: &Caller) -> Answer {
    let text = "=^.^=\n/_cat/count\n/_cat/count/{index}\n/_cat/health\n/_cat/indices\n\
                /_cat/indices/{index}\n";
    Ok(Reply::text(text.to_owned()))
}

/// `GET /_cat/indices`.
pub(crate) fn indices(call: &Call<'_>, caller: &Caller) -> Answer {
    let expression = call.request.part_if_any("index").unwrap_or("*");
    let wants_bytes = call.request.param("bytes").is_some();
    let mut rows = Vec::new();
    for table in backend::tables(&call.app.engine, caller, expression)? {
        let size = backend::table_stats(&call.app.engine, caller, &table)?;
        let bytes = if wants_bytes { size.bytes.to_string() } else { readable_bytes(size.bytes) };
        rows.push(vec![
            "green".to_owned(),
            "open".to_owned(),
            table.name.to_string(),
            backend::uuid(&table),
            "1".to_owned(),
            "0".to_owned(),
            size.rows.to_string(),
            size.deleted_rows.to_string(),
            bytes.clone(),
            bytes.clone(),
            bytes,
        ]);
    }
    answer(call.request, INDICES, rows)
}

/// `GET /_cat/count`.
pub(crate) fn count(call: &Call<'_>, caller: &Caller) -> Answer {
    let expression = call.request.part_if_any("index").unwrap_or("_all");
    let counted = backend::count(&call.app.engine, caller, expression, None, &[])?;
    let [epoch, time] = now();
    answer(call.request, COUNT, vec![vec![epoch, time, counted["count"].to_string()]])
}

/// `GET /_cat/health`.
pub(crate) fn health(call: &Call<'_>, caller: &Caller) -> Answer {
    let shards = backend::tables(&call.app.engine, caller, "*")?.len().to_string();
    let [epoch, time] = now();
    let rest = ["green", "1", "1", &shards, &shards, "0", "0", "0", "0", "0", "-", "100.0%"];
    let mut row = vec![epoch, time, CLUSTER.to_owned()];
    row.extend(rest.map(str::to_owned));
    answer(call.request, HEALTH, vec![row])
}

/// Seconds since 1970 and the time of day.
fn now() -> [String; 2] {
    let Timestamp(now) = SystemClock.now();
    let time = Timestamp(now).to_rfc3339();
    [(now / 1000).to_string(), time.get(11..19).unwrap_or("").to_owned()]
}

/// Sizes as people read them: `1.2mb`.
fn readable_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["b", "kb", "mb", "gb", "tb"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        return format!("{bytes}b");
    }
    let tenths = (size * 10.0).floor() / 10.0;
    format!("{tenths}{}", UNITS[unit])
}

/// Picks and sorts as `h` and `s` say, and writes the rows as text or JSON.
fn answer(request: &Request, columns: &[Column], mut rows: Vec<Vec<String>>) -> Answer {
    if request.flag("help")? {
        let lines: Vec<Vec<String>> = columns
            .iter()
            .map(|column| vec![column.name.to_owned(), format!("| {}", column.aliases.join(","))])
            .collect();
        return Ok(Reply::text(aligned(&[false, false], &lines)));
    }
    sort(request, columns, &mut rows)?;
    let picked = pick(request, columns);
    if wants_json(request)? {
        let objects: Vec<Value> = rows
            .iter()
            .map(|row| {
                let members: Map<String, Value> = picked
                    .iter()
                    .map(|&at| (columns[at].name.to_owned(), row[at].clone().into()))
                    .collect();
                Value::Object(members)
            })
            .collect();
        return Ok(Reply::json(Value::Array(objects)));
    }
    let mut lines: Vec<Vec<String>> = Vec::with_capacity(rows.len() + 1);
    if request.flag("v")? {
        lines.push(picked.iter().map(|&at| columns[at].name.to_owned()).collect());
    }
    for row in &rows {
        lines.push(picked.iter().map(|&at| row[at].clone()).collect());
    }
    let are_numbers: Vec<bool> = picked.iter().map(|&at| columns[at].is_number).collect();
    Ok(Reply::text(aligned(&are_numbers, &lines)))
}

fn wants_json(request: &Request) -> Result<bool, ApiError> {
    match request.param("format") {
        Some(format) if ["json", "yaml"].contains(&format.to_ascii_lowercase().as_str()) => {
            Ok(true)
        }
        Some(format) if ["text", "txt"].contains(&format.to_ascii_lowercase().as_str()) => {
            Ok(false)
        }
        Some(_) => Err(ApiError::illegal_argument("[format] is one of text, json, yaml")),
        None => {
            let accepted = media::accepted(&request.headers)?;
            Ok(matches!(accepted, Accepted::Json(_) | Accepted::Yaml))
        }
    }
}

/// The columns that `h` names, in its order.
fn pick(request: &Request, columns: &[Column]) -> Vec<usize> {
    let Some(names) = request.param("h") else {
        return (0..columns.len()).filter(|&at| columns[at].is_shown).collect();
    };
    let mut picked = Vec::new();
    for name in names.split(',').map(str::trim) {
        let fits = |column: &Column| matches(name, column.name) || column.aliases.contains(&name);
        let new: Vec<usize> =
            (0..columns.len()).filter(|at| fits(&columns[*at]) && !picked.contains(at)).collect();
        picked.extend(new);
    }
    picked
}

fn sort(request: &Request, columns: &[Column], rows: &mut [Vec<String>]) -> Result<(), ApiError> {
    let Some(keys) = request.param("s") else { return Ok(()) };
    // The last key first: the sort is stable.
    for key in keys.split(',').rev() {
        let (name, order) = key.split_once(':').unwrap_or((key, "asc"));
        let at = columns
            .iter()
            .position(|column| column.name == name || column.aliases.contains(&name))
            .ok_or_else(|| {
                ApiError::illegal_argument(format!("Unable to sort by unknown sort key `{name}`"))
            })?;
        rows.sort_by(|a, b| match (a[at].parse::<f64>(), b[at].parse::<f64>()) {
            (Ok(a), Ok(b)) => a.total_cmp(&b),
            _ => a[at].cmp(&b[at]),
        });
        if order == "desc" {
            rows.reverse();
        }
    }
    Ok(())
}

/// Lines with their columns below each other, numbers to the right.
pub(crate) fn aligned(are_numbers: &[bool], lines: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..are_numbers.len())
        .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        for (at, cell) in line.iter().enumerate() {
            let space = " ".repeat(widths[at] - cell.chars().count());
            if at > 0 {
                text.push(' ');
            }
            if are_numbers[at] {
                text.push_str(&space);
                text.push_str(cell);
            } else {
                text.push_str(cell);
                // No blanks at the end of a line.
                if at + 1 < line.len() {
                    text.push_str(&space);
                }
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expected) in
            [(0, "0b"), (1023, "1023b"), (1024, "1kb"), (1_300_000, "1.2mb"), (1 << 31, "2gb")]
        {
            assert_eq!(readable_bytes(bytes), expected);
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let lines = [vec!["index".to_owned(), "docs".to_owned()], vec!["a".into(), "7".into()]];
        assert_eq!(aligned(&[false, true], &lines), "index docs\na        7\n");
    }
}
