//! Following: the change stream of a replication slot, as pieces for each table.

use super::connect::{Address, ask, literal};
use super::describe::{number, text};
use super::pgoutput::{Message, Old, RelationMessage, Tuple, TupleValue};
use super::snapshot::{PIECE_BYTES, PIECE_ROWS};
use super::types::{PgType, Types};
use crate::{
    Cell, CopiedRows, Event, Follow, Lag, Layout, Marks, Piece, Position, SourceColumn,
    SourceError, Wanted,
};
use model::Op;
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
    pub(crate) connection: PgReplicationConnection,
    pub(crate) client: Client,
    pub(crate) address: Address,
    pub(crate) slot: String,
    pub(crate) lag_bytes_max: u64,
    pub(crate) types: Types,
    pub(crate) wanted: HashMap<String, Wanted>,
    pub(crate) marks: Marks,
    pub(crate) state: State,
}

/// What is known of the stream.
#[derive(Default)]
pub(crate) struct State {
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
    /// Behind the last whole transaction.
    pub(crate) reached: u64,
    pub(crate) told: u64,
    pub(crate) acknowledged: u64,
    received: u64,
    /// When the newest transaction was committed, in microseconds since 1970.
    newest: Option<i64>,
    waiting: Option<u64>,
    caught_up: bool,
    status_at: Option<Instant>,
    looked_at: Option<Instant>,
}

struct Relation {
    table: String,
    layout: Arc<Layout>,
    /// For each column of the server's row its type; `None`: left out.
    types: Vec<Option<PgType>>,
    /// The columns of the server's row that make the key.
    key: Vec<usize>,
    mark: Option<Position>,
}

struct Gathered {
    layout: Arc<Layout>,
    rows: CopiedRows,
    position: Position,
}

impl PgFollow {
    fn push(&mut self, frame: &[u8]) -> Result<bool, SourceError> {
        let broken = || SourceError::Broken("a message that is not pgoutput's".into());
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
                return Ok(frame.get(17) == Some(&1));
            }
            Some(b'w') => {}
            _ => return Err(broken()),
        }
        let end = long(9).ok_or_else(broken)?;
        self.state.received = self.state.received.max(end);
        self.state.caught_up = false;
        let message = Message::read(frame.get(25..).unwrap_or_default()).ok_or_else(broken)?;
        match message {
            Message::Begin { commit, at } => {
                self.state.commit = commit;
                self.state.counts.clear();
                self.state.in_transaction = true;
                self.state.newest = Some(at + EPOCH_2000);
            }
            Message::Commit { end, .. } => {
                self.state.in_transaction = false;
                self.state.reached = self.state.reached.max(end);
            }
            Message::Relation(relation) => self.relation(relation),
            Message::Insert { relation, new } => {
                self.rows(relation, |rows, relation| put(rows, relation, new, None))?;
            }
            Message::Update { relation, old, new } => {
                self.rows(relation, |rows, relation| update(rows, relation, old, new))?;
            }
            Message::Delete { relation, old: (_, old) } => {
                self.rows(relation, |rows, relation| delete(rows, relation, old))?;
            }
            Message::Truncate { relations } => {
                for relation in relations {
                    self.truncate(relation);
                }
            }
            Message::Other => {}
        }
        Ok(false)
    }

    /// The place after the next row of a relation, if it is wanted and not stored yet.
    fn next_position(&mut self, id: u32) -> Option<Position> {
        let count = self.state.counts.entry(id).or_default();
        *count += 1;
        let relation = self.state.relations.get(&id)?.as_ref()?;
        let position = position_of(self.state.commit, *count);
        relation.mark.as_ref().is_none_or(|mark| position > *mark).then_some(position)
    }

    fn rows(
        &mut self,
        id: u32,
        add: impl FnOnce(&mut CopiedRows, &Relation) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
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
        add(&mut gathered.rows, relation)?;
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
        self.state.ready.push_back(Event::Truncate { table, lane: "".into(), position });
    }

    fn relation(&mut self, message: RelationMessage) {
        let RelationMessage { id, name, columns, .. } = message;
        let Some(wanted) = self.wanted.get(&name) else {
            self.state.relations.insert(id, None);
            return;
        };
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
                if let Some(before) = before {
                    for what in differences(&before.columns, &layout.columns) {
                        self.state.ready.push_back(Event::Schema { table: name.clone(), what });
                    }
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
        let kept = slot(&self.client, &self.slot).await?;
        let Some(kept) = kept else { return Err(lost(&self.slot, "was dropped")) };
        kept.check(&self.slot)?;
        self.state.waiting = Some(kept.behind);
        if kept.retained > self.lag_bytes_max {
            let sql = format!("SELECT pg_terminate_backend({})", kept.pid);
            if kept.pid != 0 {
                ask(&self.client, "ending the replication", &sql).await?;
            }
            drop_slot(&self.address, &self.slot).await?;
            let why = format!(
                "kept {} bytes at the source, above lag_bytes_max {}, and was dropped so that the \
                 source's disk does not fill",
                kept.retained, self.lag_bytes_max
            );
            return Err(lost(&self.slot, &why));
        }
        Ok(())
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
                let wait = if self.state.gathered.is_empty() { WAIT } else { LINGER };
                // What was read so far lies in the connection's own buffer, so that giving up
                // waiting loses nothing.
                let never = CancellationToken::new();
                let frame = self.connection.get_copy_data_async(&never);
                match tokio::time::timeout(wait, frame).await {
                    Ok(Ok(frame)) => {
                        if self.push(&frame)? {
                            self.tell_status().await?;
                        }
                    }
                    Ok(Err(error)) => return Err(broke(&error)),
                    Err(_) => break,
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
        if let Some(commit) = commit_of(position) {
            self.state.acknowledged = self.state.acknowledged.max(commit);
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
        Lag { time, waiting: self.state.waiting }
    }
}

/// Adds the row of an insert or an update; `full` fills what the new row leaves unchanged.
fn put(
    rows: &mut CopiedRows,
    relation: &Relation,
    new: Tuple<'_>,
    full: Option<Tuple<'_>>,
) -> Result<(), SourceError> {
    rows.start(Op::Put);
    let mut before = full.map(|full| full.values().collect::<Vec<_>>()).unwrap_or_default();
    before.resize(new.columns, TupleValue::Unchanged);
    for ((value, ty), before) in new.values().zip(&relation.types).zip(before) {
        let Some(ty) = ty else { continue };
        let value = if value == TupleValue::Unchanged { before } else { value };
        push(rows, ty, value);
    }
    whole(rows, relation)
}

fn update(
    rows: &mut CopiedRows,
    relation: &Relation,
    old: Option<(Old, Tuple<'_>)>,
    new: Tuple<'_>,
) -> Result<(), SourceError> {
    let Some((kind, old)) = old else { return put(rows, relation, new, None) };
    let key = |tuple: Tuple<'_>| -> Vec<Vec<u8>> {
        let values: Vec<TupleValue<'_>> = tuple.values().collect();
        let of_key = relation.key.iter().filter_map(|&place| values.get(place));
        of_key
            .map(|value| match value {
                TupleValue::Text(text) => text.to_vec(),
                TupleValue::Null | TupleValue::Unchanged => Vec::new(),
            })
            .collect()
    };
    if key(old) != key(new) {
        delete(rows, relation, old)?;
    }
    put(rows, relation, new, (kind == Old::Full).then_some(old))
}

/// Of a deletion only the key counts.
fn delete(rows: &mut CopiedRows, relation: &Relation, old: Tuple<'_>) -> Result<(), SourceError> {
    rows.start(Op::Delete);
    for (place, (value, ty)) in old.values().zip(&relation.types).enumerate() {
        let Some(ty) = ty else { continue };
        match relation.key.contains(&place) {
            true => push(rows, ty, value),
            false => rows.push(Cell::Null),
        }
    }
    whole(rows, relation)
}

fn push(rows: &mut CopiedRows, ty: &PgType, value: TupleValue<'_>) {
    match value {
        TupleValue::Null => rows.push(Cell::Null),
        TupleValue::Unchanged => rows.push(Cell::Unchanged),
        TupleValue::Text(text) => ty.push(&String::from_utf8_lossy(text), rows),
    }
}

/// Every row has a cell for each column, or the stream is not what it said.
fn whole(rows: &CopiedRows, relation: &Relation) -> Result<(), SourceError> {
    match rows.is_whole() && rows.width() == relation.layout.width() {
        true => Ok(()),
        false => Err(SourceError::Broken("a row that does not fit its table".into())),
    }
}

/// What happened to a table, for a person.
fn differences(before: &[SourceColumn], now: &[SourceColumn]) -> Vec<String> {
    let find = |columns: &[SourceColumn], name: &str| {
        columns.iter().find(|column| column.name == name).cloned()
    };
    let mut all = Vec::new();
    for column in now {
        match find(before, &column.name) {
            None => all.push(format!("column `{}` was added; it is withheld", column.name)),
            Some(old) if old.ty != column.ty => all.push(format!(
                "column `{}` is `{}` now and was `{}`; values that its field cannot hold are left \
                 out",
                column.name, column.native, old.native
            )),
            Some(_) => {}
        }
    }
    for column in before.iter().filter(|column| find(now, &column.name).is_none()) {
        all.push(format!("column `{}` was dropped; what was copied of it stays", column.name));
    }
    all
}

/// A slot as the server has it.
pub(crate) struct Slot {
    pub(crate) confirmed: u64,
    /// Bytes that the server keeps because of it.
    retained: u64,
    /// Bytes that we have not acknowledged.
    behind: u64,
    status: String,
    /// Who reads from it; 0: nobody.
    pid: i64,
}

impl Slot {
    /// Whether what we need is still there.
    pub(crate) fn check(&self, name: &str) -> Result<(), SourceError> {
        match self.status.as_str() {
            "lost" => Err(lost(name, "was invalidated: the server removed what it still needed")),
            _ => Ok(()),
        }
    }
}

/// Looks a slot up; `None` if there is none.
pub(crate) async fn slot(client: &Client, name: &str) -> Result<Option<Slot>, SourceError> {
    let sql = format!(
        "SELECT coalesce(pg_wal_lsn_diff(confirmed_flush_lsn, '0/0'), 0)::int8, \
                coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::int8, \
                coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::int8, \
                coalesce(wal_status, ''), coalesce(active_pid, 0), plugin, \
                database = current_database() \
         FROM pg_replication_slots WHERE slot_name = {}",
        literal(name)
    );
    let rows = ask(client, "looking at the slot", &sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    if text(row, 5) != "pgoutput" || text(row, 6) != "t" {
        let what = format!("slot `{name}` is not a slot of pgoutput in this database");
        return Err(SourceError::Refused(format!("{what}; name another one")));
    }
    Ok(Some(Slot {
        confirmed: number(row, 0),
        retained: number(row, 1),
        behind: number(row, 2),
        status: text(row, 3),
        pid: number(row, 4),
    }))
}

/// Drops a slot; none is good, too.
pub(crate) async fn drop_slot(address: &Address, name: &str) -> Result<(), SourceError> {
    let client = address.client(true).await?;
    let sql = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
         WHERE slot_name = {}",
        literal(name)
    );
    // The walsender that was just ended may hold it for a moment.
    for _ in 0..20 {
        match ask(&client, "dropping the slot", &sql).await {
            Ok(_) => return Ok(()),
            Err(SourceError::Broken(_)) => tokio::time::sleep(Duration::from_millis(250)).await,
            Err(error) => return Err(error),
        }
    }
    Err(SourceError::Unreachable(format!("slot `{name}` is in use and could not be dropped")))
}

pub(crate) fn lost(slot: &str, why: &str) -> SourceError {
    SourceError::Lost(format!("replication slot `{slot}` {why}"))
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
