use crate::journal::Journal;
use crate::server::Server;
use anyhow::{Result, anyhow, bail};
use demo::{Chunk, Fleet};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What loading took.
pub(crate) struct Ingested {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) request_ms_median: f64,
    pub(crate) request_ms_max: f64,
    /// Of one core, spent on making the bodies.
    pub(crate) making_seconds: f64,
}

/// Bodies made ahead, so that the generator never makes a client wait.
const AHEAD: usize = 8;

/// Sends all events that the journal does not have yet. One thread makes bodies, `clients` threads
/// send them.
pub(crate) fn run(
    server: &Server,
    fleet: &Fleet,
    batch: u64,
    clients: usize,
    journal: &Journal,
) -> Result<Ingested> {
    let authorization = server.authorization("engineer")?;
    let (queue, chunks) = sync_channel::<(u64, Chunk)>(AHEAD);
    let chunks = Mutex::new(chunks);
    let start = Instant::now();
    let sent = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..clients.max(1))
            .map(|_| scope.spawn(|| send_all(server, &authorization, &chunks, journal)))
            .collect();
        let all = fleet.settings().events;
        let mut next = 0;
        let mut making_seconds = 0.0;
        while next < all {
            let end = (next + batch.max(1)).min(all);
            if journal.has(next) {
                next = end;
                continue;
            }
            let making = Instant::now();
            let chunk = fleet.events(next..end);
            making_seconds += making.elapsed().as_secs_f64();
            // Refused only when every client has failed; their error is told below.
            if queue.send((next, chunk)).is_err()
                || senders.iter().any(|sender| sender.is_finished())
            {
                break;
            }
            next = end;
        }
        drop(queue);
        let mut all_sent = Sent { making_seconds, ..Sent::default() };
        for sender in senders {
            let sent = sender.join().map_err(|_| anyhow!("a client panicked"))??;
            all_sent.events += sent.events;
            all_sent.bytes += sent.bytes;
            all_sent.request_ms.extend(sent.request_ms);
        }
        anyhow::Ok(all_sent)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let mut times = sent.request_ms;
    times.sort_by(f64::total_cmp);
    Ok(Ingested {
        events: sent.events,
        bytes: sent.bytes,
        seconds,
        request_ms_median: times.get(times.len() / 2).copied().unwrap_or(0.0),
        request_ms_max: times.last().copied().unwrap_or(0.0),
        making_seconds: sent.making_seconds,
    })
}

#[derive(Default)]
struct Sent {
    events: u64,
    bytes: u64,
    request_ms: Vec<f64>,
    making_seconds: f64,
}

fn send_all(
    server: &Server,
    authorization: &str,
    chunks: &Mutex<Receiver<(u64, Chunk)>>,
    journal: &Journal,
) -> Result<Sent> {
    const PATH: &str = "/events/_bulk?filter_path=errors";
    let mut sent = Sent::default();
    loop {
        let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((first, chunk)) = next else { return Ok(sent) };
        let start = Instant::now();
        let answer = server.post(PATH, authorization, "application/x-ndjson", &chunk.body)?;
        sent.request_ms.push(start.elapsed().as_secs_f64() * 1e3);
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        if answer["errors"] != false {
            bail!("the server refused a document of the demo");
        }
        journal.note(first)?;
        sent.events += chunk.documents;
        sent.bytes += chunk.body.len() as u64;
    }
}
