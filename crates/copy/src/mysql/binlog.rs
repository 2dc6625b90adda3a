//! The binary log, transaction by transaction.

use super::image::{Images, is_named};
use super::place::{Place, Rank, rank_of};
use super::schema::TableShape;
use super::server::{Server, failure, tagged};
use super::statement::{Statement, prepared};
use super::{MysqlSource, schema, too_many_servers};
use crate::layout::changes;
use crate::{CopiedRows, Event, Follow, Lag, Layout, Marks, Piece, Position, SourceError, Wanted};
use futures::StreamExt;
use mysql_async::BinlogStream;
use mysql_async::binlog::events::{Event as LogEvent, EventData, QueryEvent, RowsEventData};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A piece has so many rows,
const PIECE_ROWS: usize = 8_192;
/// or so many bytes.
const PIECE_BYTES: usize = 4 << 20;
/// How long rows wait for others to be stored with.
const GATHER: Duration = Duration::from_millis(100);
/// How long to wait for an event.
const IDLE: Duration = Duration::from_secs(1);
/// Without a word of the server for so long the connection is taken for broken; it is told to speak
/// every five seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// MariaDB's event that begins a transaction: number (8 bytes), domain (4), flags (1).
const MARIA_GTID: u8 = 162;
/// Of these flags: the transaction is this one statement.
const MARIA_STANDALONE: u8 = 1;
/// The event that prepares a transaction in two phases (XA).
const PREPARED: u8 = 38;
/// MySQL's event with a whole transaction, compressed.
const PACKED: u8 = 40;

/// What is known of a followed table.
struct Followed {
    wanted: Wanted,
    shape: TableShape,
    layout: Arc<Layout>,
    /// Up to here its rows are stored.
    stored: Rank,
    rows: CopiedRows,
    /// A statement changed a table of this database: look at the columns again.
    is_stale: bool,
}

impl Followed {
    fn set_shape(&mut self, shape: TableShape) {
        let columns = shape.columns.iter().map(|column| column.source.clone()).collect();
        self.layout = Layout::columns(columns);
        self.rows = CopiedRows::new(self.layout.width());
        self.shape = shape;
    }
}

/// The binary log of a server.
pub(super) struct FollowedLog {
    source: MysqlSource,
    is_maria: bool,
    stream: BinlogStream,
    tables: HashMap<String, Followed>,
    /// The transactions before the current one, and rows of it.
    place: Place,
    /// The transaction that is being read; added to `place` at its end.
    current: Option<Current>,
    /// Transactions in two phases that wait for the second, and whether they have rows of ours.
    prepared: HashMap<String, bool>,
    ready: VecDeque<Event>,
    /// Since when rows wait.
    waiting_since: Option<Instant>,
    /// The last place that was told, and when.
    told: Rank,
    told_at: Instant,
    heard: Instant,
    /// When the newest change that was read happened, in seconds since 1970; 0: none waits.
    newest: u32,
}

struct Current {
    gtid: Gtid,
    /// It has more than the next statement.
    is_open: bool,
    is_packed: bool,
    /// Rows of it are ours.
    has_ours: bool,
}

enum Gtid {
    Maria { domain: u32, server: u32, number: u64 },
    Mysql { server: [u8; 16], number: u64 },
}

impl fmt::Debug for FollowedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FollowedLog({} tables)", self.tables.len())
    }
}

impl FollowedLog {
    pub(super) async fn start(
        source: MysqlSource,
        server: Server,
        tables: &[Wanted],
        shapes: Vec<TableShape>,
        from: Place,
        marks: &Marks,
    ) -> Result<FollowedLog, SourceError> {
        let is_maria = server.is_maria;
        let place = Place { seen: from.seen, rows: 0 };
        let followed = tables.iter().zip(shapes).map(|(wanted, shape)| {
            let stored = marks.get(&wanted.table, "").and_then(rank_of).unwrap_or_default();
            let layout = Layout::columns(shape.columns.iter().map(|c| c.source.clone()).collect());
            let rows = CopiedRows::new(layout.width());
            let wanted = wanted.clone();
            let name = shape.name.clone();
            (name, Followed { wanted, shape, layout, stored, rows, is_stale: false })
        });
        let followed = followed.collect();
        let told = place.rank();
        let stream = server.log_behind(&place.seen, source.place.server_id).await?;
        Ok(FollowedLog {
            source,
            is_maria,
            stream,
            tables: followed,
            place,
            current: None,
            prepared: HashMap::new(),
            ready: VecDeque::new(),
            waiting_since: None,
            told,
            told_at: Instant::now(),
            heard: Instant::now(),
            newest: 0,
        })
    }

    async fn take(&mut self, event: &LogEvent) -> Result<(), SourceError> {
        let header = event.header();
        if header.timestamp() > 0 {
            self.newest = header.timestamp();
        }
        match header.event_type_raw() {
            MARIA_GTID if self.is_maria => return self.begin_maria(event),
            165..=171 if self.is_maria => {
                let reason = "the server compresses its binary log: set `log_bin_compress = OFF`";
                return Err(SourceError::Refused(reason.to_owned()));
            }
            PREPARED => return self.prepare(event.data()),
            PACKED => {
                if let Some(current) = &mut self.current {
                    current.is_packed = true;
                }
                return Ok(());
            }
            _ => {}
        }
        match event.read_data().map_err(|_| unread())? {
            Some(EventData::GtidEvent(gtid)) if gtid.is_tagged() => Err(tagged()),
            Some(EventData::GtidEvent(gtid)) => {
                self.begin(Gtid::Mysql { server: gtid.sid(), number: gtid.gno() }, false)
            }
            Some(EventData::AnonymousGtidEvent(_)) => Err(SourceError::Refused(
                "the server writes transactions without a GTID: set `gtid_mode = ON`".to_owned(),
            )),
            Some(EventData::XidEvent(_)) => self.commit(),
            Some(EventData::QueryEvent(query)) => self.statement(&query),
            Some(EventData::ExecuteLoadQueryEvent(load)) => {
                let database = self.source.place.database.as_str();
                let is_ours = load.schema() == database || load.query().contains(database);
                if is_ours { Err(not_rows()) } else { Ok(()) }
            }
            Some(EventData::RowsEvent(rows)) => self.rows(&rows).await,
            _ => Ok(()),
        }
    }

    fn begin_maria(&mut self, event: &LogEvent) -> Result<(), SourceError> {
        let data = event.data();
        let number = data.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
        let domain = data.get(8..12).and_then(<[u8]>::first_chunk::<4>);
        let (Some(number), Some(domain), Some(flags)) = (number, domain, data.get(12)) else {
            return Err(unread());
        };
        let (domain, server) = (u32::from_le_bytes(*domain), event.header().server_id());
        self.begin(Gtid::Maria { domain, server, number }, flags & MARIA_STANDALONE == 0)
    }

    fn begin(&mut self, gtid: Gtid, is_open: bool) -> Result<(), SourceError> {
        let unended =
            self.current.replace(Current { gtid, is_open, is_packed: false, has_ours: false });
        match unended {
            // The library says nothing where it fails to unpack one, or has no memory for it.
            Some(before) if before.is_packed => Err(SourceError::Refused(
                "a compressed transaction cannot be unpacked: set \
                 `binlog_transaction_compression = OFF`, and copy anew"
                    .to_owned(),
            )),
            Some(before) if before.has_ours => Err(SourceError::Lost(
                "a transaction in the binary log has no end: the server went down while it wrote"
                    .to_owned(),
            )),
            _ => {
                self.place.rows = 0;
                Ok(())
            }
        }
    }

    /// The transaction is over: it counts as seen.
    fn commit(&mut self) -> Result<(), SourceError> {
        match self.current.take().map(|current| current.gtid) {
            Some(Gtid::Maria { domain, server, number }) => {
                self.place.seen.add_domain(domain, server, number);
            }
            Some(Gtid::Mysql { server, number }) => self.place.seen.add_set(server, number),
            None => {}
        }
        self.place.rows = 0;
        // Where others write all the time the place is told too, though no row is ours.
        let is_due = self.told_at.elapsed() >= IDLE;
        if is_due || self.is_full() { self.flush() } else { Ok(()) }
    }

    /// The first of two phases: nearly always the second keeps what is there, so it counts already.
    fn prepare(&mut self, event: &[u8]) -> Result<(), SourceError> {
        if let Some(xid) = prepared(event).ok_or_else(unread)? {
            let has_ours = self.current.as_ref().is_some_and(|current| current.has_ours);
            self.prepared.insert(xid, has_ours);
        }
        self.commit()
    }

    /// The second phase. What was prepared before we followed is in no view and in no row that we
    /// read; what is taken back was given already.
    fn decide(&mut self, xid: &str, is_kept: bool) -> Result<(), SourceError> {
        match (self.prepared.remove(xid), is_kept) {
            (Some(_), true) | (Some(false), false) => self.commit(),
            (None, _) => Err(SourceError::Lost(
                "a transaction in two phases (XA) was prepared before following began".to_owned(),
            )),
            (Some(true), false) => Err(SourceError::Lost(
                "a transaction in two phases (XA) was rolled back after it was prepared".to_owned(),
            )),
        }
    }

    fn statement(&mut self, query: &QueryEvent<'_>) -> Result<(), SourceError> {
        let text = query.query();
        let database = self.source.place.database.clone();
        let is_ours = query.schema() == database.as_str();
        let open = |current: &mut Option<Current>| {
            current.iter_mut().for_each(|current| current.is_open = true);
        };
        match Statement::of(&text) {
            Statement::Begin => open(&mut self.current),
            Statement::Within | Statement::Other => {}
            Statement::End => return self.commit(),
            Statement::Decided { xid, is_kept } => return self.decide(&xid, is_kept),
            Statement::Rows if is_ours || text.contains(&database) => return Err(not_rows()),
            Statement::Rows => {}
            Statement::Truncate(table) => match table.split_once('.') {
                Some((of, table)) if of == database => self.truncate(table)?,
                None if is_ours => self.truncate(&table)?,
                _ => {}
            },
            Statement::Shape { begins } => {
                // Rows before it lie in the columns of before.
                self.flush()?;
                self.tables.values_mut().for_each(|followed| followed.is_stale = true);
                if begins {
                    open(&mut self.current);
                }
            }
        }
        // Outside of `BEGIN` and `COMMIT` a statement is a transaction.
        match &self.current {
            Some(current) if !current.is_open => self.commit(),
            _ => Ok(()),
        }
    }

    fn truncate(&mut self, table: &str) -> Result<(), SourceError> {
        if !self.tables.contains_key(table) {
            return Ok(());
        }
        self.flush()?;
        self.place.rows += 1;
        let position = self.place.to_position().ok_or_else(too_many_servers)?;
        if self.tables[table].stored < self.place.rank() {
            let (table, lane) = (table.to_owned(), "".into());
            self.ready.push_back(Event::Truncate { table, lane, position });
        }
        Ok(())
    }

    async fn rows(&mut self, rows: &RowsEventData<'_>) -> Result<(), SourceError> {
        let Some(map) = self.stream.get_tme(rows.table_id()) else { return Err(unread()) };
        if map.database_name() != self.source.place.database.as_str() {
            return Ok(());
        }
        let name = map.table_name().into_owned();
        let columns = map.columns_count();
        let Some(followed) = self.tables.get(&name) else { return Ok(()) };
        if followed.is_stale {
            self.look_again(&name).await?;
        }
        let (Some(map), Some(followed)) =
            (self.stream.get_tme(rows.table_id()), self.tables.get_mut(&name))
        else {
            return Err(unread());
        };
        if let Some(current) = &mut self.current {
            current.has_ours = true;
        }
        let now = followed.shape.columns.len() + followed.wanted.left_out.len();
        let mut images = None;
        for row in rows.rows(map) {
            let (before, after) = row.map_err(|_| unread_row(&name))?;
            self.place.rows += 1;
            if self.place.rank() <= followed.stored {
                continue;
            }
            let Followed { shape, wanted, rows, .. } = followed;
            let (before, after) = (before.as_ref(), after.as_ref());
            let found = match images.take() {
                Some(found) => found,
                None if columns != now as u64 && !after.or(before).is_some_and(is_named) => {
                    return Err(other_columns(&name));
                }
                None => Images::of(shape, wanted, columns, before, after)?,
            };
            images.insert(found).push(shape, before, after, rows)?;
        }
        self.waiting_since.get_or_insert_with(Instant::now);
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    /// Asks for the columns of a table after a statement that may have changed them.
    async fn look_again(&mut self, name: &str) -> Result<(), SourceError> {
        let mut server = self.source.connect().await?;
        let database = &self.source.place.database;
        let all = schema::tables(&mut server.conn, database, server.is_maria).await?;
        server.conn.disconnect().await.map_err(|error| failure(&error))?;
        let Some(followed) = self.tables.get_mut(name) else { return Ok(()) };
        followed.is_stale = false;
        let Some(mut shape) = all.into_iter().find(|shape| shape.name == name) else {
            // It is gone by now; what the log still says of it lies in the columns that we know.
            return Ok(());
        };
        shape.columns.retain(|column| !followed.wanted.left_out.contains(&column.source.name));
        if shape.columns == followed.shape.columns {
            return Ok(());
        }
        super::check_shape(&shape)?;
        let before = Arc::clone(&followed.layout);
        followed.set_shape(shape);
        for what in changes(&before.columns, &followed.layout.columns) {
            self.ready.push_back(Event::Schema { table: name.to_owned(), what });
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let mut tables = self.tables.values();
        tables.any(|of| of.rows.len() >= PIECE_ROWS || of.rows.bytes() >= PIECE_BYTES)
            || self.waiting_since.is_some_and(|since| since.elapsed() >= GATHER)
    }

    /// Makes pieces of the rows that wait, and says how far that is.
    fn flush(&mut self) -> Result<(), SourceError> {
        self.waiting_since = None;
        self.told_at = Instant::now();
        let rank = self.place.rank();
        if rank == self.told {
            return Ok(());
        }
        let position = self.place.to_position().ok_or_else(too_many_servers)?;
        for (table, followed) in &mut self.tables {
            if followed.rows.is_empty() {
                continue;
            }
            let rows =
                std::mem::replace(&mut followed.rows, CopiedRows::new(followed.layout.width()));
            self.ready.push_back(Event::Rows(Piece {
                table: table.clone(),
                lane: "".into(),
                layout: Arc::clone(&followed.layout),
                rows,
                refused: Vec::new(),
                position: Some(position.clone()),
            }));
        }
        // Following begins at the beginning of a transaction.
        if self.place.rows == 0 {
            self.ready.push_back(Event::Reached(position));
        }
        self.told = rank;
        Ok(())
    }
}

fn unread() -> SourceError {
    SourceError::Broken("the binary log cannot be read; please report it".to_owned())
}

fn not_rows() -> SourceError {
    SourceError::Lost(
        "somebody wrote a statement and not its rows to the binary log: set `binlog_format = ROW`, \
         for every session"
            .to_owned(),
    )
}

fn other_columns(table: &str) -> SourceError {
    SourceError::Lost(format!(
        "table `{table}` had other columns when it was written than it has now, and the binary log \
         does not name them: set `binlog_row_metadata = FULL`"
    ))
}

fn unread_row(table: &str) -> SourceError {
    SourceError::Broken(format!("a row of `{table}` in the binary log cannot be read"))
}

#[async_trait::async_trait]
impl Follow for FollowedLog {
    async fn next(&mut self) -> Result<Event, SourceError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let wait = match self.waiting_since {
                Some(since) => GATHER.saturating_sub(since.elapsed()),
                None => IDLE,
            };
            match tokio::time::timeout(wait, self.stream.next()).await {
                Ok(Some(Ok(event))) => {
                    self.heard = Instant::now();
                    self.take(&event).await?;
                }
                Ok(Some(Err(error))) => return Err(failure(&error)),
                Ok(None) => {
                    let reason = "the server has ended the connection";
                    return Err(SourceError::Unreachable(reason.to_owned()));
                }
                Err(_) if self.heard.elapsed() >= SILENCE => {
                    let reason = "the server does not speak any more";
                    return Err(SourceError::Unreachable(reason.to_owned()));
                }
                Err(_) => {
                    self.flush()?;
                    self.newest = 0;
                    if self.ready.is_empty() {
                        return Ok(Event::Idle);
                    }
                }
            }
        }
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        // The server keeps its log by its own rule, whoever reads it.
        Ok(())
    }

    fn lag(&self) -> Lag {
        let now = u32::try_from(chrono::Utc::now().timestamp()).unwrap_or(u32::MAX);
        let behind = if self.newest == 0 { 0 } else { now.saturating_sub(self.newest) };
        Lag { time: Some(Duration::from_secs(u64::from(behind))), waiting: None, ..Lag::default() }
    }
}
