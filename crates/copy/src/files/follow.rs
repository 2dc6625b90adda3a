//! Following a place: new files, and lines that are added to plain ones.

use super::mark::Mark;
use super::reader::{self, Stopped};
use super::stored::{Listed, Shelf};
use super::{blocking, go_on, grows, is_done, is_settled, of_table, refusal, task};
use crate::layout::changes;
use crate::{Event, Follow, Lag, Marks, Position, SourceColumn, SourceError, Wanted};
use model::{Clock, Timestamp};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// How often a folder is looked at,
const FOLDER_EVERY: Duration = Duration::from_secs(1);
/// and a bucket, where each look costs money.
const BUCKET_EVERY: Duration = Duration::from_secs(10);
/// How long to wait for an event.
const IDLE: Duration = Duration::from_secs(1);

/// The files of some tables, followed by a task of their own.
#[derive(Debug)]
pub(super) struct FollowedFiles {
    events: Receiver<Result<Event, SourceError>>,
    lag: Arc<Mutex<Lag>>,
    task: JoinHandle<()>,
}

impl FollowedFiles {
    pub(super) fn start(
        shelf: Shelf,
        tables: &[Wanted],
        types: BTreeMap<String, Arc<[SourceColumn]>>,
        marks: &Marks,
        clock: Arc<dyn Clock>,
    ) -> FollowedFiles {
        let (out, events) = channel(1);
        let lag = Arc::new(Mutex::new(Lag::default()));
        let mut known = HashMap::new();
        for table in tables {
            for (lane, position) in marks.lanes(&table.table) {
                if let Some(mark) = Mark::from_position(position) {
                    known.insert((table.table.clone(), lane.to_owned()), mark);
                }
            }
        }
        let walk = Walk {
            shelf,
            tables: tables.to_vec(),
            types,
            known,
            bad: HashMap::new(),
            columns: HashMap::new(),
            clock,
            lag: Arc::clone(&lag),
            out,
        };
        FollowedFiles { events, lag, task: tokio::spawn(walk.run()) }
    }
}

impl Drop for FollowedFiles {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait::async_trait]
impl Follow for FollowedFiles {
    async fn next(&mut self) -> Result<Event, SourceError> {
        match tokio::time::timeout(IDLE, self.events.recv()).await {
            Ok(Some(event)) => event,
            Ok(None) => {
                Err(SourceError::Broken("following files has ended; please report it".into()))
            }
            Err(_) => Ok(Event::Idle),
        }
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }

    fn lag(&self) -> Lag {
        *self.lag.lock()
    }
}

/// One look at all files after the other.
struct Walk {
    shelf: Shelf,
    tables: Vec<Wanted>,
    types: BTreeMap<String, Arc<[SourceColumn]>>,
    /// How far the files of each table are given.
    known: HashMap<(String, String), Mark>,
    /// Files that cannot be read, and their size at that time.
    bad: HashMap<(String, String), u64>,
    /// The columns of the newest file of each table.
    columns: HashMap<String, Vec<SourceColumn>>,
    clock: Arc<dyn Clock>,
    lag: Arc<Mutex<Lag>>,
    out: Sender<Result<Event, SourceError>>,
}

impl Walk {
    async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(()) => {}
                Err(None) => return,
                Err(Some(error)) => {
                    let _ = self.out.send(Err(error)).await;
                    return;
                }
            }
            tokio::time::sleep(if self.shelf.is_atomic { BUCKET_EVERY } else { FOLDER_EVERY })
                .await;
        }
    }

    /// Reads all that is new. `Err(None)`: nobody listens any more.
    async fn look(&mut self) -> Result<(), Option<SourceError>> {
        let files = self.shelf.list().await.map_err(Some)?;
        let mut waiting: Vec<(Wanted, Listed)> = Vec::new();
        for table in &self.tables {
            for file in of_table(&files, &table.table) {
                let place = (table.table.clone(), file.name.clone());
                let mark = self.known.get(&place).copied().unwrap_or_default();
                let is_bad = self.bad.get(&place) == Some(&file.bytes);
                if !is_done(&file, mark) && !is_bad {
                    waiting.push((table.clone(), file));
                }
            }
        }
        // In the order in which they were written, names deciding among equals.
        waiting.sort_by_key(|(_, file)| file.written_ms);
        for number in 0..waiting.len() {
            self.tell_lag(&waiting[number..]);
            let (table, file) = &waiting[number];
            self.read(table, file).await?;
        }
        self.tell_lag(&[]);
        Ok(())
    }

    fn tell_lag(&self, waiting: &[(Wanted, Listed)]) {
        let Timestamp(now) = self.clock.now();
        let oldest = waiting.iter().map(|(_, file)| file.written_ms).min();
        let age = oldest.map_or(0, |written| now.saturating_sub(written).max(0));
        let bytes = waiting.iter().map(|(_, file)| file.bytes).sum();
        *self.lag.lock() = Lag {
            time: Some(Duration::from_millis(age.unsigned_abs())),
            waiting: Some(bytes),
            ..Lag::default()
        };
    }

    async fn read(&mut self, table: &Wanted, file: &Listed) -> Result<(), Option<SourceError>> {
        let place = (table.table.clone(), file.name.clone());
        let mark = self.known.get(&place).copied().unwrap_or_default();
        let from = match go_on(file, mark) {
            Ok(from) => from,
            Err(reason) => return self.refuse(place, file.bytes, reason).await,
        };
        let settled = is_settled(&self.shelf, file, self.clock.now());
        if !settled && !grows(file) {
            return Ok(());
        }
        let types = self.types.get(&table.table).cloned().unwrap_or_default();
        let task = task(&self.shelf, file, table, types, settled, from);
        let out = self.out.clone();
        let mut before = self.columns.remove(&table.table);
        let read = blocking(move || {
            let read = reader::read(&task, &mut |piece| {
                let give = |event| out.blocking_send(Ok(event)).map_err(|_| Stopped::Closed);
                if !piece.layout.documents && before.as_ref() != Some(&piece.layout.columns) {
                    for what in
                        before.iter().flat_map(|before| changes(before, &piece.layout.columns))
                    {
                        give(Event::Schema { table: piece.table.clone(), what })?;
                    }
                    before = Some(piece.layout.columns.clone());
                }
                give(Event::Rows(piece))
            });
            (read, before)
        });
        let (read, before) = read.await.map_err(Some)?;
        if let Some(columns) = before {
            self.columns.insert(table.table.clone(), columns);
        }
        match read {
            Ok(mark) => drop(self.known.insert(place, mark)),
            Err(Stopped::Closed) => return Err(None),
            Err(Stopped::Source(error)) => return Err(Some(error)),
            Err(Stopped::Bad(reason)) => return self.refuse(place, file.bytes, reason).await,
        }
        Ok(())
    }

    /// Names a file once, until its size changes.
    async fn refuse(
        &mut self,
        place: (String, String),
        bytes: u64,
        reason: String,
    ) -> Result<(), Option<SourceError>> {
        let piece = refusal(&place.0, &place.1, reason);
        self.bad.insert(place, bytes);
        self.out.send(Ok(Event::Rows(piece))).await.map_err(|_| None)
    }
}
