//! Messages as they come, held until they are stored.

use super::message::Reader;
use super::{MqttSource, check_granted, failure, subscribe};
use crate::{
    CopiedRows, Event, Follow, Lag, Layout, Marks, Piece, Position, Refusal, SourceError, Wanted,
};
use model::Clock;
use rumqttc::{AsyncClient, Event as Packet, EventLoop, Incoming, Publish};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// Messages that were received and not yet made into rows: so many,
const WAITING: usize = 4_096;
/// and so many bytes.
const WAITING_BYTES: usize = 32 << 20;
/// How long messages wait for others to be stored with.
const GATHER: Duration = Duration::from_millis(20);
/// How long to wait for an event.
const IDLE: Duration = Duration::from_secs(1);
/// The store may be so slow before the broker is told to give everything again later.
const STORE_WAIT: Duration = Duration::from_secs(30);

type Received = Result<(Publish, OwnedSemaphorePermit), SourceError>;

/// The topics of a broker, followed by a task of their own.
pub(super) struct FollowedTopics {
    client: AsyncClient,
    received: Receiver<Received>,
    task: JoinHandle<()>,
    tables: Vec<Wanted>,
    clock: Arc<dyn Clock>,
    layout: Arc<Layout>,
    /// Number of the last message; numbers go on where the marks stand.
    last: u64,
    /// Received, and not made into rows yet.
    gathered: Vec<(Publish, OwnedSemaphorePermit)>,
    /// To be given next.
    ready: VecDeque<Event>,
    /// Given, and not acknowledged.
    held: VecDeque<(u64, Publish)>,
    /// What ended the connection, told when all before it was given.
    failed: Option<SourceError>,
}

impl fmt::Debug for FollowedTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FollowedTopics({} held)", self.held.len())
    }
}

impl FollowedTopics {
    pub(super) async fn start(
        source: &MqttSource,
        tables: &[Wanted],
        marks: &Marks,
    ) -> Result<FollowedTopics, SourceError> {
        let numbers = tables.iter().filter_map(|table| marks.get(&table.table, "")?.as_number());
        let last = numbers.max().unwrap_or(0);
        let (client, broker) = source.connect(&source.place.session, true);
        let (out, received) = channel(WAITING);
        let topics = tables.iter().map(|table| table.table.clone()).collect();
        let task = tokio::spawn(receive(client.clone(), broker, topics, out));
        Ok(FollowedTopics {
            client,
            received,
            task,
            tables: tables.to_vec(),
            clock: Arc::clone(&source.clock),
            layout: Layout::documents(),
            last,
            gathered: Vec::new(),
            ready: VecDeque::new(),
            held: VecDeque::new(),
            failed: None,
        })
    }

    /// Makes pieces of what was gathered: one for each table.
    fn make_pieces(&mut self) {
        let mut pieces: Vec<(CopiedRows, Vec<Refusal>)> =
            self.tables.iter().map(|_| (CopiedRows::new(2), Vec::new())).collect();
        let mut readers: Vec<Reader<'_>> =
            self.tables.iter().map(|table| Reader::new(&table.key, &*self.clock)).collect();
        for (message, _) in self.gathered.drain(..) {
            self.last += 1;
            let fits = |table: &Wanted| rumqttc::matches(&message.topic, &table.table);
            if let Some(place) = self.tables.iter().position(fits) {
                let (rows, refused) = &mut pieces[place];
                if let Err(reason) = readers[place].push(&message, rows) {
                    refused.push(Refusal { at: format!("message {}", self.last), reason });
                }
            }
            self.held.push_back((self.last, message));
        }
        drop(readers);
        for (table, (rows, refused)) in self.tables.iter().zip(pieces) {
            if rows.is_empty() && refused.is_empty() {
                continue;
            }
            self.ready.push_back(Event::Rows(Piece {
                table: table.table.clone(),
                lane: "".into(),
                layout: Arc::clone(&self.layout),
                rows,
                refused,
                position: Some(Position::number(self.last)),
            }));
        }
        self.ready.push_back(Event::Reached(Position::number(self.last)));
    }
}

impl Drop for FollowedTopics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait::async_trait]
impl Follow for FollowedTopics {
    async fn next(&mut self) -> Result<Event, SourceError> {
        if let Some(event) = self.ready.pop_front() {
            return Ok(event);
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.gathered.is_empty() {
            match tokio::time::timeout(IDLE, self.received.recv()).await {
                Ok(Some(received)) => self.gathered.push(received?),
                Ok(None) => {
                    let reason = "the connection to the broker has ended";
                    return Err(SourceError::Unreachable(reason.to_owned()));
                }
                Err(_) => return Ok(Event::Idle),
            }
        }
        // One write for many messages. What was gathered stays if the caller gives up here.
        tokio::time::sleep(GATHER).await;
        while self.gathered.len() < WAITING {
            match self.received.try_recv() {
                Ok(Ok(message)) => self.gathered.push(message),
                Ok(Err(error)) => self.failed = Some(error),
                Err(_) => break,
            }
        }
        self.make_pieces();
        self.ready.pop_front().ok_or_else(|| SourceError::Broken("no event was made".to_owned()))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }

    async fn stored(&mut self, position: &Position) -> Result<(), SourceError> {
        let Some(stored) = position.as_number() else { return Ok(()) };
        while self.held.front().is_some_and(|(number, _)| *number <= stored) {
            let Some((_, message)) = self.held.pop_front() else { break };
            self.client.ack(&message).await.map_err(|_| {
                SourceError::Unreachable("the connection to the broker has ended".to_owned())
            })?;
        }
        Ok(())
    }

    fn lag(&self) -> Lag {
        // How much the broker holds for us is not told by MQTT.
        Lag::default()
    }
}

/// Receives until the connection breaks; then everything that was not acknowledged is given again
/// to the next one. An event loop that connects again by itself could acknowledge a message of the
/// connection before, so it is used for one connection only.
async fn receive(
    client: AsyncClient,
    mut broker: EventLoop,
    topics: Vec<String>,
    out: Sender<Received>,
) {
    let bytes = Arc::new(Semaphore::new(WAITING_BYTES));
    loop {
        let packet = match broker.poll().await {
            Ok(packet) => packet,
            Err(error) => {
                let _ = out.send(Err(failure(&error))).await;
                return;
            }
        };
        let done = match packet {
            Packet::Incoming(Incoming::ConnAck(_)) => subscribe_all(&client, &topics).await,
            Packet::Incoming(Incoming::SubAck(granted)) => check_granted(&granted, &topics),
            Packet::Incoming(Incoming::Publish(message)) => hand_over(message, &bytes, &out).await,
            Packet::Incoming(Incoming::Disconnect) => {
                Err(SourceError::Unreachable("the broker has ended the connection".to_owned()))
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            let _ = out.send(Err(error)).await;
            return;
        }
    }
}

async fn subscribe_all(client: &AsyncClient, topics: &[String]) -> Result<(), SourceError> {
    for topic in topics {
        subscribe(client, topic).await?;
    }
    Ok(())
}

async fn hand_over(
    message: Publish,
    bytes: &Arc<Semaphore>,
    out: &Sender<Received>,
) -> Result<(), SourceError> {
    let size = u32::try_from(message.payload.len() + 256).unwrap_or(u32::MAX);
    let size = size.min(WAITING_BYTES as u32);
    let wait = async {
        let permit = Arc::clone(bytes).acquire_many_owned(size).await.ok()?;
        out.send(Ok((message, permit))).await.ok()
    };
    // While we wait, the connection is not kept alive.
    match tokio::time::timeout(STORE_WAIT, wait).await {
        Ok(Some(())) => Ok(()),
        Ok(None) | Err(_) => Err(SourceError::Unreachable(
            "the store is slower than the devices; the broker keeps what was not stored".to_owned(),
        )),
    }
}
