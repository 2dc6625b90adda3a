use crate::client::{Answer, Body, Client};
use crate::failure::{Failure, Result};
use crate::progress::{Counting, bar};
use demo::{Chunk, Fleet, Oracle};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Large enough that one answer is paid by many documents, small enough to be spread.
const DOCUMENTS_PER_CHUNK: u64 = 8_000;
/// One request is read while another waits for the disk.
const SENDERS: usize = 2;

/// Makes the demo's tables. What a start that was cut off has left of them goes.
pub(super) fn make_tables(engineer: &Client) -> Result<()> {
    for table in demo::tables() {
        let path = format!("/{}", table.name);
        let dropped = engineer.send("DELETE", &path, Body::Nothing)?;
        if dropped.status != 404 {
            dropped.success()?;
        }
        let body: Value = serde_json::from_str(table.body)?;
        engineer.json("PUT", &path, Body::Json(&body))?;
    }
    Ok(())
}

/// Loads everything by `_bulk`.
pub(super) fn load(engineer: &Client, fleet: &Fleet) -> Result<()> {
    let progress = bar(Counting::Documents, fleet.documents());
    let (queue, chunks) = sync_channel::<Chunk>(1);
    let chunks = Mutex::new(chunks);
    let loaded = std::thread::scope(|scope| {
        let senders: Vec<_> =
            (0..SENDERS).map(|_| scope.spawn(|| send_all(engineer, &chunks, &progress))).collect();
        for chunk in fleet.chunks(DOCUMENTS_PER_CHUNK) {
            progress.set_message(chunk.table);
            // Refused only when every sender has failed; their failure is told below.
            if queue.send(chunk).is_err() || senders.iter().any(|sender| sender.is_finished()) {
                break;
            }
        }
        drop(queue);
        senders.into_iter().try_for_each(|sender| {
            sender.join().unwrap_or_else(|_| Err(Failure::new("a sending thread panicked")))
        })
    });
    progress.finish_and_clear();
    loaded
}

fn send_all(
    client: &Client,
    chunks: &Mutex<Receiver<Chunk>>,
    progress: &ProgressBar,
) -> Result<()> {
    loop {
        let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = next else { return Ok(()) };
        let path = format!("/{}/_bulk?filter_path=errors,items.*.error.reason", chunk.table);
        let answer = client.send("POST", &path, Body::Lines(&chunk.body))?;
        refuse_errors(answer, chunk.table)?;
        progress.inc(chunk.documents);
    }
}

fn refuse_errors(answer: Answer, table: &str) -> Result<()> {
    let answer: Value = serde_json::from_slice(&answer.success()?.body)?;
    if answer["errors"] == json!(false) {
        return Ok(());
    }
    let reason = answer["items"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|item| item.as_object().into_iter().flat_map(|item| item.values()))
        .find_map(|action| action["error"]["reason"].as_str())
        .unwrap_or("no reason given");
    Err(Failure::new(format!("the table `{table}` refused a document of the demo: {reason}")))
}

/// Compares what the store counts with what the generator knows.
pub(super) fn check(analyst: &Client, fleet: &Fleet) -> Result<()> {
    for table in demo::tables() {
        let counted = count(analyst, table.name, &json!({ "match_all": {} }))?;
        expect(table.name, counted, fleet.documents_of(table.name))?;
    }
    for (kind, expected) in Oracle::of(fleet).kinds {
        let counted = count(analyst, "events", &json!({ "term": { "kind": kind } }))?;
        expect(kind, counted, expected)?;
    }
    Ok(())
}

fn count(client: &Client, table: &str, query: &Value) -> Result<u64> {
    let body = json!({ "query": query });
    let answer = client.json("POST", &format!("/{table}/_count"), Body::Json(&body))?;
    answer["count"].as_u64().ok_or_else(|| Failure::new("the answer to a count has no count"))
}

fn expect(what: &str, counted: u64, expected: u64) -> Result<()> {
    if counted == expected {
        return Ok(());
    }
    Err(Failure::new(format!("self-check: {counted} of `{what}` are stored, {expected} were made"))
        .hint("please report this; it must never happen"))
}
