use crate::client::{Answer, Body, Client, encoded};
use crate::failure::{Failure, Result};
use crate::table::visible;
use indicatif::ProgressBar;
use serde::Deserialize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A batch is sent when it has this many documents,
const DOCUMENTS_MAX: usize = 5_000;
/// or this many bytes.
const BYTES_MAX: usize = 4 << 20;
/// How often a batch that a busy server refused whole is sent again.
const RETRIES: u32 = 8;

/// Lines on their way to the server.
#[derive(Debug, Default)]
pub(super) struct Batch {
    file: Arc<str>,
    body: Vec<u8>,
    /// Line number of each document.
    lines: Vec<u64>,
}

impl Batch {
    pub(super) fn of(file: &str) -> Batch {
        Batch { file: file.into(), ..Batch::default() }
    }

    /// Adds a document: one JSON object without a line feed.
    pub(super) fn push(&mut self, line: u64, id: Option<&str>, document: &[u8]) {
        match id {
            Some(id) => {
                let id = serde_json::Value::from(id);
                self.body.extend_from_slice(format!("{{\"index\":{{\"_id\":{id}}}}}\n").as_bytes());
            }
            None => self.body.extend_from_slice(b"{\"create\":{}}\n"),
        }
        self.body.extend_from_slice(document);
        self.body.push(b'\n');
        self.lines.push(line);
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= DOCUMENTS_MAX || self.body.len() >= BYTES_MAX
    }

    /// Takes what is there and goes on empty.
    pub(super) fn take(&mut self) -> Batch {
        let file = Arc::clone(&self.file);
        std::mem::replace(self, Batch { file, ..Batch::default() })
    }
}

/// How a load went.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) loaded: u64,
    pub(super) refused: u64,
    /// Why sending stopped early.
    stopped: Option<Failure>,
}

impl Outcome {
    /// Good only if every line was loaded.
    pub(super) fn result(self) -> Result<()> {
        if let Some(failure) = self.stopped {
            return Err(failure);
        }
        if self.refused > 0 {
            return Err(Failure::new(format!("{} lines were refused", self.refused))
                .hint("mend the lines named above and load them alone"));
        }
        Ok(())
    }
}

/// A few threads that send batches.
pub(super) struct Sender {
    queue: Option<SyncSender<Batch>>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    path: String,
    outcome: Mutex<Outcome>,
    progress: ProgressBar,
}

impl Sender {
    pub(super) fn start(
        client: &Client,
        table: &str,
        parallel: usize,
        progress: &ProgressBar,
    ) -> Sender {
        let (queue, batches) = sync_channel(1);
        let batches = Arc::new(Mutex::new(batches));
        let shared = Arc::new(Shared {
            client: client.clone(),
            path: format!("/{}/_bulk", encoded(table)),
            outcome: Mutex::new(Outcome::default()),
            progress: progress.clone(),
        });
        let threads = (0..parallel)
            .map(|_| {
                let (shared, batches) = (Arc::clone(&shared), Arc::clone(&batches));
                std::thread::spawn(move || shared.send_all(&batches))
            })
            .collect();
        Sender { queue: Some(queue), threads, shared }
    }

    /// Hands a batch over; waits while the others are busy. Fails once sending has stopped.
    pub(super) fn send(&self, batch: Batch) -> Result<()> {
        let stopped = || Failure::new("sending has stopped");
        if batch.lines.is_empty() {
            return Ok(());
        }
        if self.shared.has_stopped() {
            return Err(stopped());
        }
        let queue = self.queue.as_ref().expect("the queue is there until `finish`");
        queue.send(batch).map_err(|_| stopped())
    }

    /// Notes a line that cannot be sent at all.
    pub(super) fn refuse(&self, file: &str, line: u64, reason: &str) {
        self.shared.refuse(file, line, reason);
    }

    /// Waits until everything was answered.
    pub(super) fn finish(mut self) -> Outcome {
        drop(self.queue.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared.stop(Failure::new("a sending thread panicked; please report this"));
            }
        }
        std::mem::take(&mut *self.shared.lock())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_stopped(&self) -> bool {
        self.lock().stopped.is_some()
    }

    fn stop(&self, failure: Failure) {
        self.lock().stopped.get_or_insert(failure);
    }

    fn refuse(&self, file: &str, line: u64, reason: &str) {
        self.lock().refused += 1;
        self.progress.suspend(|| eprintln!("{file}:{line}: {}", visible(reason)));
    }

    fn send_all(&self, batches: &Mutex<Receiver<Batch>>) {
        loop {
            let next = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = next else { return };
            // After a failure the queue is emptied, so that the reader does not wait for ever.
            if self.has_stopped() {
                continue;
            }
            if let Err(failure) = self.send_one(&batch) {
                let (first, last) = (batch.lines.first(), batch.lines.last());
                let lines =
                    format!("{}:{}-{}", batch.file, first.unwrap_or(&0), last.unwrap_or(&0));
                self.stop(failure.while_doing(&format!("{lines} and what follows was not loaded")));
            }
        }
    }

    fn send_one(&self, batch: &Batch) -> Result<()> {
        let answer: BulkAnswer = serde_json::from_slice(&self.post(batch)?.body)?;
        if answer.items.len() != batch.lines.len() {
            return Err(Failure::new("the server answered for another number of lines"));
        }
        let mut loaded = 0;
        for (item, line) in answer.items.into_iter().zip(&batch.lines) {
            match item.into_values().next().and_then(|action| action.error) {
                None => loaded += 1,
                Some(error) => self.refuse(&batch.file, *line, &error.reason),
            }
        }
        self.lock().loaded += loaded;
        Ok(())
    }

    fn post(&self, batch: &Batch) -> Result<Answer> {
        let mut wait = Duration::from_millis(200);
        for _ in 0..RETRIES {
            let answer = self.client.send("POST", &self.path, Body::Lines(&batch.body))?;
            // 429 refuses the whole request before anything is written: sending again doubles
            // nothing. After any other failure that is not known.
            if answer.status != 429 {
                return answer.success();
            }
            std::thread::sleep(wait);
            wait *= 2;
        }
        self.client.send("POST", &self.path, Body::Lines(&batch.body))?.success()
    }
}

#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<std::collections::BTreeMap<String, BulkItem>>,
}

#[derive(Deserialize)]
struct BulkItem {
    error: Option<BulkError>,
}

#[derive(Deserialize)]
struct BulkError {
    reason: String,
}
