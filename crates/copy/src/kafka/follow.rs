//! All partitions of some topics, each read by a task of its own.

use super::fetch::{Partition, Reader};
use super::{failure, gone};
use crate::{
    CopiedRows, Event, Follow, Lag, Layout, Marks, Piece, Position, Refusal, SourceError, Wanted,
};
use parking_lot::Mutex;
use rskafka::client::Client;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

/// Partitions that are asked at once: each may hold a megabyte of messages.
const ASKED_AT_ONCE: usize = 32;
/// How often topics are looked at for new partitions.
const PARTITIONS_EVERY: Duration = Duration::from_secs(60);
/// How long to wait for an event.
const IDLE: Duration = Duration::from_secs(1);

/// How far one partition is read: messages that wait, and since when some do.
#[derive(Clone, Copy, Default)]
struct Behind {
    messages: u64,
    newest_read_ms: i64,
    broker_ms: i64,
}

type Behinds = Arc<Mutex<BTreeMap<(String, i32), Behind>>>;

/// The partitions of some topics.
pub(super) struct FollowedPartitions {
    events: Receiver<Result<Event, SourceError>>,
    behind: Behinds,
    /// Dropped with this: all tasks end.
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
    tables: Vec<Wanted>,
    marks: Marks,
    known: HashSet<(String, i32)>,
    looked: Instant,
}

struct Shared {
    client: Client,
    out: Sender<Result<Event, SourceError>>,
    behind: Behinds,
    places: Semaphore,
    layout: Arc<Layout>,
}

impl fmt::Debug for FollowedPartitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FollowedPartitions({})", self.known.len())
    }
}

impl FollowedPartitions {
    pub(super) async fn start(
        client: Client,
        tables: &[Wanted],
        marks: &Marks,
    ) -> Result<FollowedPartitions, SourceError> {
        let (out, events) = channel(1);
        let behind = Behinds::default();
        let places = Semaphore::new(ASKED_AT_ONCE);
        let layout = Layout::documents();
        let shared = Shared { client, out, behind: Arc::clone(&behind), places, layout };
        let mut followed = FollowedPartitions {
            events,
            behind,
            tasks: JoinSet::new(),
            shared: Arc::new(shared),
            tables: tables.to_vec(),
            marks: marks.clone(),
            known: HashSet::new(),
            looked: Instant::now(),
        };
        followed.look().await?;
        Ok(followed)
    }

    /// Starts to read the partitions that are not read yet.
    async fn look(&mut self) -> Result<(), SourceError> {
        let topics = self.shared.client.list_topics().await.map_err(|error| failure(&error))?;
        self.looked = Instant::now();
        for table in &self.tables {
            let topic = topics.iter().find(|topic| topic.name == table.table);
            for &number in &topic.ok_or_else(|| gone(&table.table))?.partitions {
                if !self.known.insert((table.table.clone(), number)) {
                    continue;
                }
                let mark = self.marks.get(&table.table, &number.to_string());
                let from = mark.and_then(Position::as_number);
                let reading = read(Arc::clone(&self.shared), table.clone(), number, from);
                self.tasks.spawn(reading);
            }
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Follow for FollowedPartitions {
    async fn next(&mut self) -> Result<Event, SourceError> {
        match tokio::time::timeout(IDLE, self.events.recv()).await {
            Ok(Some(event)) => return event,
            Ok(None) => return Err(SourceError::Broken("nobody reads the partitions".to_owned())),
            Err(_) => {}
        }
        if self.looked.elapsed() >= PARTITIONS_EVERY {
            self.look().await?;
        }
        Ok(Event::Idle)
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        // Offsets are kept by us; the broker is told none.
        Ok(())
    }

    fn lag(&self) -> Lag {
        let behind = self.behind.lock();
        let waiting = behind.values().map(|of| of.messages).sum();
        let late = behind.values().filter(|of| of.messages > 0);
        let late = late.map(|of| of.broker_ms.saturating_sub(of.newest_read_ms).max(0)).max();
        let time = Duration::from_millis(late.unwrap_or(0).unsigned_abs());
        Lag { time: Some(time), waiting: Some(waiting), ..Lag::default() }
    }
}

/// Reads one partition until nobody listens.
async fn read(shared: Arc<Shared>, table: Wanted, number: i32, from: Option<u64>) {
    let Err(error) = read_on(&shared, &table, number, from).await else { return };
    let _ = shared.out.send(Err(error)).await;
}

async fn read_on(
    shared: &Shared,
    table: &Wanted,
    number: i32,
    from: Option<u64>,
) -> Result<(), SourceError> {
    let mut partition = Partition::open(&shared.client, &table.table, number).await?;
    let first = partition.earliest().await?;
    partition.next = first;
    if let Some(from) = from.and_then(|from| i64::try_from(from).ok()) {
        let end = partition.latest().await?;
        if from > end {
            return Err(SourceError::Lost(format!(
                "partition {number} of `{}` ends before what is stored of it: it was made anew",
                table.table
            )));
        }
        if from < first {
            // A new snapshot would begin at the same message; so we say what is missing and go on.
            let what = format!(
                "messages {from} to {} of partition {number} were deleted by the broker before \
                 they were copied",
                first - 1
            );
            let told = Event::Schema { table: table.table.clone(), what };
            if shared.out.send(Ok(told)).await.is_err() {
                return Ok(());
            }
        }
        partition.next = from.max(first);
    }
    let lane: Arc<str> = number.to_string().into();
    let mut reader = Reader::new(&table.key);
    loop {
        // The place is kept until the rows are handed over: this bounds what is in memory.
        let Ok(_place) = shared.places.acquire().await else { return Ok(()) };
        let messages = partition.fetch().await?;
        let mut rows = CopiedRows::new(2);
        let mut refused = Vec::new();
        for message in &messages {
            if let Err(reason) = reader.push(message, &mut rows) {
                let at = format!("partition {number}, offset {}", message.offset);
                refused.push(Refusal { at, reason });
            }
        }
        let newest = messages.last().map(|message| message.record.timestamp.timestamp_millis());
        tell_behind(shared, table, &partition, newest);
        drop(messages);
        if rows.is_empty() && refused.is_empty() {
            continue;
        }
        let next = u64::try_from(partition.next).unwrap_or(0);
        let piece = Piece {
            table: table.table.clone(),
            lane: Arc::clone(&lane),
            layout: Arc::clone(&shared.layout),
            rows,
            refused,
            position: Some(Position::number(next)),
        };
        if shared.out.send(Ok(Event::Rows(piece))).await.is_err() {
            return Ok(());
        }
    }
}

fn tell_behind(shared: &Shared, table: &Wanted, partition: &Partition, newest_ms: Option<i64>) {
    let mut behind = shared.behind.lock();
    let of = behind.entry((table.table.clone(), partition.number)).or_default();
    of.messages = u64::try_from(partition.end - partition.next).unwrap_or(0);
    of.broker_ms = chrono::Utc::now().timestamp_millis();
    if let Some(newest) = newest_ms {
        of.newest_read_ms = newest;
    }
}
