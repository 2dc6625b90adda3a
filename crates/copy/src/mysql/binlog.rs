//! The binary log, transaction by transaction.

use super::cells::push_logged;
use super::place::{Place, Rank, Seen, rank_of};
use super::schema::{ColumnShape, TableShape};
use super::{MysqlSource, Server, failure, schema, too_many_servers};
use crate::layout::changes;
use crate::{
    Cell, CopiedRows, Event, Follow, Lag, Layout, Marks, Piece, Position, SourceError, Wanted,
};
use futures::StreamExt;
use model::Op;
use mysql_async::binlog::events::{Event as LogEvent, EventData, QueryEvent, RowsEventData};
use mysql_async::binlog::row::BinlogRow;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest};
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
    ready: VecDeque<Event>,
    /// Since when rows wait.
    waiting_since: Option<Instant>,
    /// The last place that was told.
    told: Rank,
    heard: Instant,
    /// When the newest change that was read happened, in seconds since 1970; 0: none waits.
    newest: u32,
}

#[derive(Clone, Copy)]
enum Current {
    Domain { domain: u32, server: u32, number: u64, alone: bool },
    Set { server: [u8; 16], number: u64 },
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
        let stream = open(server, source.place.server_id, &place.seen).await?;
        Ok(FollowedLog {
            source,
            is_maria,
            stream,
            tables: followed,
            place,
            current: None,
            ready: VecDeque::new(),
            waiting_since: None,
            told,
            heard: Instant::now(),
            newest: 0,
        })
    }

    async fn take(&mut self, event: &LogEvent) -> Result<(), SourceError> {
        let header = event.header();
        if header.timestamp() > 0 {
            self.newest = header.timestamp();
        }
        if self.is_maria && header.event_type_raw() == MARIA_GTID {
            return self.begin_maria(event);
        }
        if (165..=171).contains(&header.event_type_raw()) && self.is_maria {
            let reason = "the server compresses its binary log: set `log_bin_compress = OFF`";
            return Err(SourceError::Refused(reason.to_owned()));
        }
        match event.read_data().map_err(|_| unread())? {
            Some(EventData::GtidEvent(gtid)) => {
                if gtid.is_tagged() {
                    let reason = "transactions with tags cannot be followed";
                    return Err(SourceError::Refused(reason.to_owned()));
                }
                self.current = Some(Current::Set { server: gtid.sid(), number: gtid.gno() });
                Ok(())
            }
            Some(EventData::AnonymousGtidEvent(_)) => Err(SourceError::Refused(
                "the server writes transactions without a GTID: set `gtid_mode = ON`".to_owned(),
            )),
            Some(EventData::XidEvent(_)) => self.commit(),
            Some(EventData::QueryEvent(query)) => self.statement(&query),
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
        self.current = Some(Current::Domain {
            domain: u32::from_le_bytes(*domain),
            server: event.header().server_id(),
            number,
            alone: flags & MARIA_STANDALONE != 0,
        });
        Ok(())
    }

    /// The transaction is over: it counts as seen.
    fn commit(&mut self) -> Result<(), SourceError> {
        match self.current.take() {
            Some(Current::Domain { domain, server, number, .. }) => {
                self.place.seen.add_domain(domain, server, number);
            }
            Some(Current::Set { server, number }) => self.place.seen.add_set(server, number),
            None => {}
        }
        self.place.rows = 0;
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    fn statement(&mut self, query: &QueryEvent<'_>) -> Result<(), SourceError> {
        let text = query.query();
        let words = Words::of(&text);
        match words.first() {
            "BEGIN" | "SAVEPOINT" => return Ok(()),
            "ROLLBACK" if words.0.len() > 1 => return Ok(()),
            "COMMIT" | "ROLLBACK" => return self.commit(),
            _ => {}
        }
        let is_ours = query.schema() == self.source.place.database.as_str();
        let database = self.source.place.database.clone();
        let named = |word: &str| -> bool {
            match word.split_once('.') {
                Some((of, _)) => of == database,
                None => is_ours,
            }
        };
        match words.first() {
            "TRUNCATE" => {
                let table = words.0.iter().skip(1).find(|word| !word.eq_ignore_ascii_case("TABLE"));
                if let Some(table) = table.filter(|table| named(table)) {
                    let table = table.rsplit('.').next().unwrap_or_default().to_owned();
                    self.truncate(&table)?;
                }
            }
            "ALTER" | "CREATE" | "DROP" | "RENAME" => {
                // Rows before it lie in the columns of before.
                self.flush()?;
                self.tables.values_mut().for_each(|followed| followed.is_stale = true);
            }
            _ => {}
        }
        // Outside of `BEGIN` and `COMMIT` a statement is a transaction.
        let alone = match self.current {
            Some(Current::Domain { alone, .. }) => alone,
            Some(Current::Set { .. }) => self.place.rows == 0,
            None => false,
        };
        if alone { self.commit() } else { Ok(()) }
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
        let now = followed.shape.columns.len() + followed.wanted.left_out.len();
        for row in rows.rows(map) {
            let (before, after) = row.map_err(|_| unread_row(&name))?;
            self.place.rows += 1;
            if self.place.rank() <= followed.stored {
                continue;
            }
            let sample = after.as_ref().or(before.as_ref());
            let is_named = sample.is_some_and(is_named);
            if !is_named && columns != now as u64 {
                return Err(SourceError::Lost(format!(
                    "table `{name}` had other columns when it was written than it has now, and the \
                     binary log does not name them: set `binlog_row_metadata = FULL`"
                )));
            }
            push_change(followed, before.as_ref(), after.as_ref());
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

/// Whether the log says the names of the columns; else they are `@0`, `@1`, ….
fn is_named(row: &BinlogRow) -> bool {
    row.columns_ref().first().is_some_and(|column| !column.name_ref().starts_with(b"@"))
}

/// Adds what became of a row: a key that changed is a deletion and a new row.
fn push_change(followed: &mut Followed, before: Option<&BinlogRow>, after: Option<&BinlogRow>) {
    let Followed { shape, wanted, rows, .. } = followed;
    let key: Vec<&ColumnShape> =
        shape.columns.iter().filter(|column| wanted.key.contains(&column.source.name)).collect();
    match (before, after) {
        (Some(before), Some(after)) => {
            let moved = key.iter().any(|column| {
                let (old, new) = (cell_of(before, column), cell_of(after, column));
                new.is_some() && old != new
            });
            if moved {
                push_image(shape, Op::Delete, before, None, rows);
            }
            push_image(shape, Op::Put, after, Some(before), rows);
        }
        (None, Some(after)) => push_image(shape, Op::Put, after, None, rows),
        (Some(before), None) => push_image(shape, Op::Delete, before, None, rows),
        (None, None) => {}
    }
}

type Logged<'r> = mysql_async::binlog::value::BinlogValue<'r>;

/// The value of a column in a row of the log; `None` if the row does not say it.
fn cell_of<'r>(row: &'r BinlogRow, column: &ColumnShape) -> Option<&'r Logged<'r>> {
    let place = row.columns_ref().iter().position(|of| {
        let name = of.name_ref();
        match name.strip_prefix(b"@") {
            // Left-out columns are in the log too, so places count all of the table's columns.
            Some(number) => {
                std::str::from_utf8(number).is_ok_and(|number| number.parse() == Ok(column.place))
            }
            None => name == column.source.name.as_bytes(),
        }
    })?;
    row.as_ref(place)
}

/// Adds a row. What the log leaves out of an update is what it was; the key is taken from before.
fn push_image(
    shape: &TableShape,
    op: Op,
    row: &BinlogRow,
    before: Option<&BinlogRow>,
    rows: &mut CopiedRows,
) {
    rows.start(op);
    for column in &shape.columns {
        let is_key = shape.key.contains(&column.source.name);
        let said = cell_of(row, column);
        let said = said.or_else(|| before.filter(|_| is_key).and_then(|row| cell_of(row, column)));
        match said {
            Some(value) => push_logged(value, column, rows),
            None if op == Op::Put && before.is_some() => rows.push(Cell::Unchanged),
            None => rows.push(Cell::Null),
        }
    }
}

/// The first words of a statement, without comments and quotes.
struct Words(Vec<String>);

impl Words {
    fn of(statement: &str) -> Words {
        let mut rest = statement.trim_start();
        loop {
            if let Some(comment) = rest.strip_prefix("/*") {
                rest = comment.split_once("*/").map_or("", |(_, rest)| rest).trim_start();
            } else if rest.starts_with("--") || rest.starts_with('#') {
                rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
            } else {
                break;
            }
        }
        let mut words: Vec<String> = Vec::new();
        let mut word = String::new();
        let mut in_quotes = false;
        for character in rest.chars() {
            match character {
                '`' => in_quotes = !in_quotes,
                _ if in_quotes => word.push(character),
                ';' => break,
                _ if character.is_whitespace() || character == '(' => {
                    if !word.is_empty() {
                        words.push(std::mem::take(&mut word));
                    }
                    if words.len() == 4 {
                        break;
                    }
                }
                _ => word.push(character),
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
        if let Some(first) = words.first_mut() {
            first.make_ascii_uppercase();
        }
        Words(words)
    }

    fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

fn unread() -> SourceError {
    SourceError::Broken("the binary log cannot be read; please report it".to_owned())
}

fn unread_row(table: &str) -> SourceError {
    SourceError::Broken(format!("a row of `{table}` in the binary log cannot be read"))
}

/// Asks the server for its log from behind what was seen.
async fn open(mut server: Server, id: u32, seen: &Seen) -> Result<BinlogStream, SourceError> {
    let conn = &mut server.conn;
    let mut statements = vec!["SET @master_heartbeat_period = 5000000000".to_owned()];
    statements.push("SET @source_heartbeat_period = 5000000000".to_owned());
    if server.is_maria {
        statements.push("SET @mariadb_slave_capability = 4".to_owned());
        // Digits and dashes, read and written by us.
        statements.push(format!("SET @slave_connect_state = '{}'", seen.to_text()));
        statements.push("SET @slave_gtid_strict_mode = 0".to_owned());
        statements.push("SET @slave_gtid_ignore_duplicates = 0".to_owned());
    }
    for statement in statements {
        conn.query_drop(statement).await.map_err(|error| failure(&error))?;
    }
    let request = BinlogStreamRequest::new(id).with_pos(4);
    let request = match server.is_maria {
        true => request,
        false => request.with_gtid().with_gtid_set(seen.to_sids()),
    };
    server.conn.get_binlog_stream(request).await.map_err(|error| match &error {
        // It let us in before, so here the same words mean another thing.
        mysql_async::Error::Server(server) if server.code == 1045 => super::no_right(),
        _ => failure(&error),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_of_statements() {
        let first = |text: &str| Words::of(text).0.into_iter().take(3).collect::<Vec<_>>();
        assert_eq!(first("/* app */ truncate  table `a b`"), ["TRUNCATE", "table", "a b"]);
        assert_eq!(first("TRUNCATE shop.t;"), ["TRUNCATE", "shop.t"]);
        assert_eq!(first("-- x\nALTER TABLE t(a)"), ["ALTER", "TABLE", "t"]);
        assert_eq!(first(""), [] as [&str; 0]);
    }
}
