//! Every declared metric over the days of the fleet, from tiles and from rows alone.

use crate::server::Server;
use anyhow::{Context, Result, bail};
use demo::Fleet;
use serde_json::{Value, json};
use std::time::Instant;

/// What an answer from tiles should take at most.
const AIM_MS: f64 = 20.0;
/// Sums of floats are added up in another order.
const FLOAT_OFF_MAX: f64 = 1e-9;
const DAY_MS: i64 = 86_400_000;

/// Asks each metric, whole and by its first dimension, hot, and compares both answers.
pub(crate) fn run(server: &Server, fleet: &Fleet, repeat: usize, only: &str) -> Result<()> {
    let authorization = server.authorization("analyst")?;
    let list: Value = serde_json::from_slice(&server.get("/_clerestory/metrics", &authorization)?)?;
    let metrics = list["metrics"].as_array().context("no metric is declared")?;
    let settings = fleet.settings();
    let from = settings.first_day_ms;
    let to = from + i64::from(settings.days) * DAY_MS;
    println!(
        "\n{:<46} {:>9} {:>9} {:>9} {:>10} {:>11}",
        "metric over all days, hot, median",
        "tiles ms",
        "rows ms",
        "times",
        "tile rows",
        "rows left"
    );
    let (mut asked, mut over) = (0, 0);
    for metric in metrics {
        let name = metric["name"].as_str().context("a metric without a name")?;
        if !name.contains(only) {
            continue;
        }
        let first = metric["dimensions"].get(0).and_then(Value::as_str);
        for dimension in [None].into_iter().chain(first.map(Some)) {
            let mut question = json!({ "from": from, "to": to, "explain": true });
            let mut shown = name.to_owned();
            if let Some(dimension) = dimension {
                question["dimensions"] = json!([dimension]);
                shown.push_str(&format!(" by {dimension}"));
            }
            let path = format!("/_clerestory/metrics/{name}");
            let tiled = measured(server, &authorization, &path, &question, repeat);
            let (tiled_ms, tiled) = match tiled {
                Ok(tiled) => tiled,
                Err(error) => {
                    println!("{shown:<46} not answered: {error:#}");
                    continue;
                }
            };
            question["tiles"] = json!(false);
            let (plain_ms, plain) = measured(server, &authorization, &path, &question, repeat)?;
            if !same(&tiled["rows"], &plain["rows"]) {
                bail!("`{shown}`: the answer from tiles is not the answer from rows");
            }
            let count = |path: &str| tiled.pointer(path).and_then(Value::as_u64).unwrap_or(0);
            asked += 1;
            over += u32::from(tiled_ms > AIM_MS);
            println!(
                "{shown:<46} {tiled_ms:>9.1} {plain_ms:>9.1} {:>9.1} {:>10} {:>11}{}",
                plain_ms / tiled_ms,
                count("/explain/tiles/tile_rows"),
                count("/explain/rows/rows"),
                if tiled_ms > AIM_MS { "  over" } else { "" }
            );
        }
    }
    println!("{asked} questions, each with equal answers; {over} over {AIM_MS:.0} ms");
    Ok(())
}

/// The median time in milliseconds, and the answer.
fn measured(
    server: &Server,
    authorization: &str,
    path: &str,
    question: &Value,
    repeat: usize,
) -> Result<(f64, Value)> {
    let body = question.to_string();
    let ask = || server.post(path, authorization, "application/json", body.as_bytes());
    let answer = serde_json::from_slice(&ask()?)?;
    ask()?;
    let mut times = Vec::with_capacity(repeat.max(1));
    for _ in 0..repeat.max(1) {
        let start = Instant::now();
        ask()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], answer))
}

/// Waits until segments get no more tiles, and says how many have some.
pub(crate) fn wait_for_tiles(server: &Server) -> Result<()> {
    let settled = server.settled_disk()?;
    let (segments, tiles) = server.segments_and_tiles()?;
    let bytes = settled.folders.get("segments").copied().unwrap_or(0);
    println!(
        "{segments} segments, {tiles} with tiles (tables without metrics have none); {:.1} MB, of \
         which tiles {:.1} MB",
        bytes as f64 / 1e6,
        server.tile_bytes()? as f64 / 1e6
    );
    Ok(())
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Number(left), Value::Number(right)) if left != right => {
            let pair = left.as_f64().zip(right.as_f64());
            pair.is_some_and(|(l, r)| (l - r).abs() <= FLOAT_OFF_MAX * l.abs().max(r.abs()))
        }
        (left, right) => left == right,
    }
}
