//! Following: the change stream of a replication slot, as pieces for each table.

use super::describe;
use super::pgoutput::{Message, RelationMessage};
use super::rows::{Relation, add, differences, news};
use super::slot::{self, Kept, Reading};
use super::snapshot::{PIECE_BYTES, PIECE_ROWS};
use super::stream::{Replay, Streams};
use super::types::Types;
use crate::{
    CopiedRows, Event, Follow, Lag, Layout, Marks, Piece, Position, SourceColumn, SourceError,
    Wanted,
};
use pg_walstream::{CancellationToken, PgReplicationConnection, ReplicationError};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// So long rows wait for more of them.
const LINGER: Duration = Duration::from_millis(10);
/// So long an event is waited for.
const WAIT: Duration = Duration::from_millis(500);
/// The server hears from us so often.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// The slot is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// So long the slot may be held by a connection that was given up.
const RECONNECT_WAIT: Duration = Duration::from_secs(30);
/// Microseconds from 1970 to 2000, from where PostgreSQL counts.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// A place in the stream: a transaction's commit, and how many rows of the table come with it.
pub(crate) fn position_of(commit: u64, rows: u64) -> Position {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&commit.to_be_bytes());
    bytes[8..].copy_from_slice(&rows.to_be_bytes());
    Position::new(&bytes)
}

/// The commit of a position.
pub(crate) fn commit_of(position: &Position) -> Option<u64> {
    Some(u64::from_be_bytes(*position.bytes().first_chunk::<8>()?))
}

pub(crate) struct PgFollow {
    reading: Reading,
    connection: PgReplicationConnection,
    client: Client,
    types: Types,
    /// By the number of the table, which stays when it gets another name.
    wanted: HashMap<u32, Wanted>,
    marks: Marks,
    state: State,
    /// Transactions that still run; `None`: they come when they are committed.
    streams: Option<Streams>,
}

/// What is known of the stream.
#[derive(Default)]
struct State {
    /// Relations by their number; `None`: not wanted.
    relations: HashMap<u32, Option<Relation>>,
    layouts: HashMap<String, Arc<Layout>>,
    gathered: BTreeMap<String, Gathered>,
    gathered_rows: usize,
    gathered_bytes: usize,
    ready: VecDeque<Event>,
    commit: u64,
    /// Rows of each table in the transaction that is being read.
    counts: HashMap<u32, u64>,
    in_transaction: bool,
    /// A transaction that was streamed and is committed.
    replay: Option<Replay>,
    /// Behind the last whole transaction.
    reached: u64,
    told: u64,
    acknowledged: u64,
    received: u64,
    /// When the newest transaction was committed, in microseconds since 1970.
    newest: Option<i64>,
    waiting: Option<u64>,
    caught_up: bool,
    status_at: Option<Instant>,
    looked_at: Option<Instant>,
}

struct Gathered {
    layout: Arc<Layout>,
    rows: CopiedRows,
    position: Position,
}

impl PgFollow {
    /// Follows what happens after `start` on a connection that begins there.
    pub(crate) fn new(
        reading: Reading,
        connection: PgReplicationConnection,
        client: Client,
        types: Types,
        wanted: HashMap<u32, Wanted>,
        marks: Marks,
        start: u64,
    ) -> PgFollow {
        let state = State { reached: start, told: start, acknowledged: start, ..State::default() };
        PgFollow { reading, connection, client, types, wanted, marks, state, streams: None }
    }

    /// Puts transactions that still run aside.
    pub(crate) fn with_streams(self, streams: Option<Streams>) -> PgFollow {
        PgFollow { streams, ..self }
    }

    /// Takes a frame of the connection; says whether the server waits for an answer.
    async fn push(&mut self, frame: &[u8]) -> Result<bool, SourceError> {
        let broken = || SourceError::Broken("a frame that is not replication's".into());
        let long = |at: usize| -> Option<u64> {
            Some(u64::from_be_bytes(*frame.get(at..)?.first_chunk::<8>()?))
        };
        match frame.first() {
            Some(b'k') => {
                let end = long(1).ok_or_else(broken)?;
                self.state.received = self.state.received.max(end);
                if !self.state.in_transaction && self.state.gathered.is_empty() {
                    self.state.reached = self.state.reached.max(end);
                    self.state.caught_up = true;
                }
                Ok(frame.get(17) == Some(&1))
            }
            Some(b'w') => {
                let end = long(9).ok_or_else(broken)?;
                self.state.received = self.state.received.max(end);
                let message = frame.get(25..).unwrap_or_default();
                match &mut self.streams {
                    Some(streams) if streams.is_open() && message != b"E" => {
                        streams.keep(message)?;
                        if streams.is_full() {
                            self.go_on_without_streams().await?;
                        }
                    }
                    _ => self.take(message).await?,
                }
                Ok(false)
            }
            _ => Err(broken()),
        }
    }

    /// Takes a message that is outside of a stream, or of one that is committed.
    async fn take(&mut self, message: &[u8]) -> Result<(), SourceError> {
        let broken = || SourceError::Broken("a message that is not pgoutput's".into());
        let message = Message::read(message).ok_or_else(broken)?;
        match message {
            Message::Begin { commit, at } => self.begin(commit, at),
            Message::Commit { end, .. } => self.end(end),
            Message::Relation(relation) => {
                self.know_types(&relation).await?;
                self.check_key(&relation).await?;
                self.relation(relation);
            }
            Message::Insert { relation, .. }
            | Message::Update { relation, .. }
            | Message::Delete { relation, .. } => self.row(relation, message)?,
            Message::Truncate { relations } => {
                relations.into_iter().for_each(|relation| self.truncate(relation));
            }
            Message::Other => {}
            Message::StreamStart { .. }
            | Message::StreamStop
            | Message::StreamCommit { .. }
            | Message::StreamAbort { .. } => self.stream(message)?,
        }
        Ok(())
    }

    /// Rows that have lost the column which names them cannot be told apart.
    async fn check_key(&mut self, relation: &RelationMessage) -> Result<(), SourceError> {
        let Some(wanted) = self.wanted.get(&relation.id) else { return Ok(()) };
        let is_there = |key: &&String| relation.columns.iter().any(|column| column.name == **key);
        let Some(missing) = wanted.key.iter().find(|key| !is_there(key)) else { return Ok(()) };
        let why =
            format!("has changes of `{}` without `{missing}`, which names its rows", wanted.table);
        let Reading { address, slot, bound, .. } = &self.reading;
        Err(bound.give_up(&self.client, address, slot, &why).await?)
    }

    fn begin(&mut self, commit: u64, at: i64) {
        self.state.commit = commit;
        self.state.counts.clear();
        self.state.in_transaction = true;
        self.state.caught_up = false;
        self.state.newest = Some(at + EPOCH_2000);
    }

    fn end(&mut self, end: u64) {
        self.state.in_transaction = false;
        self.state.reached = self.state.reached.max(end);
    }

    /// Takes a message about a transaction that is streamed.
    fn stream(&mut self, message: Message<'_>) -> Result<(), SourceError> {
        let Some(streams) = &mut self.streams else {
            return Err(SourceError::Broken("a stream that nobody asked for".into()));
        };
        match message {
            Message::StreamStart { transaction, is_first } => {
                streams.start(transaction, is_first)?;
            }
            Message::StreamStop => streams.stop(),
            Message::StreamAbort { transaction, part } => streams.abort(transaction, part),
            Message::StreamCommit { transaction, commit, end, at } => {
                match streams.commit(transaction, end) {
                    Some(replay) => {
                        self.state.replay = Some(replay);
                        self.begin(commit, at);
                    }
                    None => self.end(end),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Too much is put aside: from here on transactions come when they are committed, and the
    /// server keeps them until then.
    async fn go_on_without_streams(&mut self) -> Result<(), SourceError> {
        tracing::warn!(
            slot = self.reading.slot,
            "transactions that still run outgrew stream_bytes_max; they stay at the source"
        );
        self.streams = None;
        self.give();
        self.state.relations.clear();
        self.state.in_transaction = false;
        let started = Instant::now();
        loop {
            let start = self.state.acknowledged;
            match self.reading.connect(start, false).await {
                Ok(connection) => {
                    self.connection = connection;
                    return Ok(());
                }
                Err(error) if started.elapsed() > RECONNECT_WAIT => return Err(error),
                // The connection that is given up still holds the slot.
                Err(SourceError::Unreachable(_)) => self.end_reader().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends whoever reads from the slot: a connection of ours that is of no use any more.
    async fn end_reader(&mut self) -> Result<(), SourceError> {
        slot::end_reader(&self.client, &self.reading.slot).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    /// Looks the types up again if a table has one that is not known: it was made meanwhile.
    async fn know_types(&mut self, relation: &RelationMessage) -> Result<(), SourceError> {
        let is_known = |ty: u32| self.types.by_oid.contains_key(&ty);
        if !relation.columns.iter().all(|column| is_known(column.ty)) {
            self.types = describe::types(&self.client).await?;
        }
        Ok(())
    }

    /// The place after the next row of a relation, if it is wanted and not stored yet.
    fn next_position(&mut self, id: u32) -> Option<Position> {
        let count = self.state.counts.entry(id).or_default();
        *count += 1;
        let relation = self.state.relations.get(&id)?.as_ref()?;
        let position = position_of(self.state.commit, *count);
        relation.mark.as_ref().is_none_or(|mark| position > *mark).then_some(position)
    }

    fn row(&mut self, id: u32, message: Message<'_>) -> Result<(), SourceError> {
        let Some(position) = self.next_position(id) else { return Ok(()) };
        let state = &mut self.state;
        let Some(Some(relation)) = state.relations.get(&id) else { return Ok(()) };
        if !state.gathered.contains_key(&relation.table) {
            let rows = CopiedRows::new(relation.layout.width());
            let layout = Arc::clone(&relation.layout);
            let fresh = Gathered { layout, rows, position: position.clone() };
            state.gathered.insert(relation.table.clone(), fresh);
        }
        let Some(gathered) = state.gathered.get_mut(&relation.table) else { return Ok(()) };
        let (rows, bytes) = (gathered.rows.len(), gathered.rows.bytes());
        add(&mut gathered.rows, relation, message)?;
        gathered.position = position;
        state.gathered_rows += gathered.rows.len() - rows;
        state.gathered_bytes += gathered.rows.bytes() - bytes;
        Ok(())
    }

    fn truncate(&mut self, id: u32) {
        let Some(position) = self.next_position(id) else { return };
        let Some(Some(relation)) = self.state.relations.get(&id) else { return };
        let table = relation.table.clone();
        self.give();
        self.marks.raise(&table, "", position.clone());
        self.state.ready.push_back(Event::Truncate { table, lane: "".into(), position });
    }

    fn relation(&mut self, message: RelationMessage) {
        let RelationMessage { id, columns, .. } = message;
        let Some(wanted) = self.wanted.get(&id).cloned() else {
            self.state.relations.insert(id, None);
            return;
        };
        let name = wanted.table.clone();
        let mut kept = Vec::with_capacity(columns.len());
        let mut types = Vec::with_capacity(columns.len());
        let mut key = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            let is_key = wanted.key.contains(&column.name);
            if is_key {
                key.push(place);
            }
            if wanted.left_out.contains(&column.name) && !is_key {
                types.push(None);
                continue;
            }
            let ty = self.types.resolve(column.ty, column.modifier);
            let native = self.types.by_oid.get(&column.ty).map(|ty| ty.name.clone());
            kept.push(SourceColumn {
                name: column.name.clone(),
                ty: ty.column_type(),
                native: native.unwrap_or_default(),
            });
            types.push(Some(ty));
        }
        let before = self.state.layouts.get(&name).cloned();
        let layout = match before {
            Some(before) if before.columns == kept => before,
            before => {
                self.give();
                let layout = Layout::columns(kept);
                let differences = match before {
                    Some(before) => differences(&before.columns, &layout.columns),
                    None => news(&wanted, &layout.columns),
                };
                for what in differences {
                    self.state.ready.push_back(Event::Schema { table: name.clone(), what });
                }
                self.state.layouts.insert(name.clone(), Arc::clone(&layout));
                layout
            }
        };
        let mark = self.marks.get(&name, "").cloned();
        let relation = Relation { table: name, layout, types, key, mark };
        self.state.relations.insert(id, Some(relation));
    }

    /// What was gathered becomes events.
    fn give(&mut self) {
        for (table, gathered) in std::mem::take(&mut self.state.gathered) {
            let Gathered { layout, rows, position } = gathered;
            self.marks.raise(&table, "", position.clone());
            let position = Some(position);
            let piece =
                Piece { table, lane: "".into(), layout, rows, refused: Vec::new(), position };
            self.state.ready.push_back(Event::Rows(piece));
        }
        self.state.gathered_rows = 0;
        self.state.gathered_bytes = 0;
        if self.state.reached > self.state.told {
            self.state.told = self.state.reached;
            self.state.ready.push_back(Event::Reached(position_of(self.state.reached, 0)));
        }
    }

    async fn tell_status(&mut self) -> Result<(), SourceError> {
        let State { received, acknowledged, .. } = self.state;
        self.state.status_at = Some(Instant::now());
        let told = self
            .connection
            .send_standby_status_update(received, acknowledged, acknowledged, false)
            .await;
        told.map_err(|error| broke(&error))
    }

    /// How much the server keeps for us, and whether it still does.
    async fn look_at_slot(&mut self) -> Result<(), SourceError> {
        self.state.looked_at = Some(Instant::now());
        let Reading { address, slot, bound, .. } = &self.reading;
        match bound.check(&self.client, address, slot).await? {
            Kept::Bytes(bytes) => self.state.waiting = Some(bytes),
            Kept::Dropped(why) => return Err(slot::lost(slot, &why)),
        }
        let known = describe::known(&self.client, self.wanted.keys().copied()).await?;
        match self.wanted.iter().find(|(oid, _)| !known.contains(oid)) {
            // The next try says what there is to do, or finds another of its name.
            Some((_, wanted)) => {
                let table = &wanted.table;
                Err(SourceError::Unreachable(format!("table `{table}` was dropped at the source")))
            }
            None => Ok(()),
        }
    }

    /// The next message: of a committed transaction that was streamed, or of the connection. False
    /// if there is none for a moment.
    async fn read_one(&mut self) -> Result<bool, SourceError> {
        if let Some(replay) = &mut self.state.replay {
            match replay.next_message()? {
                Some(message) => self.take(&message).await?,
                None => {
                    let end = replay.end;
                    self.state.replay = None;
                    self.end(end);
                }
            }
            return Ok(true);
        }
        let wait = if self.state.gathered.is_empty() { WAIT } else { LINGER };
        // What was read so far lies in the connection's own buffer, so that giving up waiting
        // loses nothing.
        let never = CancellationToken::new();
        let frame = self.connection.get_copy_data_async(&never);
        match tokio::time::timeout(wait, frame).await {
            Ok(Ok(frame)) => {
                if self.push(&frame).await? {
                    self.tell_status().await?;
                }
                Ok(true)
            }
            Ok(Err(error)) => Err(broke(&error)),
            Err(_) => Ok(false),
        }
    }
}

#[async_trait::async_trait]
impl Follow for PgFollow {
    async fn next(&mut self) -> Result<Event, SourceError> {
        loop {
            if let Some(event) = self.state.ready.pop_front() {
                return Ok(event);
            }
            let is_due =
                |at: Option<Instant>, every: Duration| at.is_none_or(|at| at.elapsed() >= every);
            if is_due(self.state.status_at, STATUS_EVERY) {
                self.tell_status().await?;
            }
            if is_due(self.state.looked_at, LOOK_EVERY) {
                self.look_at_slot().await?;
            }
            let started = Instant::now();
            loop {
                let is_full = self.state.gathered_rows >= PIECE_ROWS
                    || self.state.gathered_bytes >= PIECE_BYTES;
                if is_full || started.elapsed() >= WAIT || !self.state.ready.is_empty() {
                    break;
                }
                if !self.read_one().await? {
                    break;
                }
            }
            self.give();
            if self.state.ready.is_empty() {
                self.state.caught_up |= !self.state.in_transaction;
                return Ok(Event::Idle);
            }
        }
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError> {
        let commit = commit_of(position).unwrap_or_default();
        if commit > self.state.acknowledged {
            self.state.acknowledged = commit;
            // At once: what the server keeps for us is on its disk.
            self.tell_status().await?;
        }
        Ok(())
    }

    fn lag(&self) -> Lag {
        let now = chrono::Utc::now().timestamp_micros();
        let time = match (self.state.caught_up, self.state.newest) {
            (true, _) => Some(Duration::ZERO),
            (false, Some(newest)) => {
                Some(Duration::from_micros(u64::try_from(now - newest).unwrap_or(0)))
            }
            (false, None) => None,
        };
        Lag { time, waiting: self.state.waiting, waiting_max: Some(self.reading.bound.bytes_max) }
    }
}

fn broke(error: &ReplicationError) -> SourceError {
    // Its text may quote rows.
    let what = match error {
        ReplicationError::Authentication(_) => "was refused",
        ReplicationError::Protocol(_) => "sent what cannot be read",
        _ => "broke",
    };
    SourceError::Unreachable(format!("the replication connection {what}"))
}
