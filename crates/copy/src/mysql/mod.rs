//! MySQL 8 and MariaDB 10.6 and later as a source: all rows first, then what the binary log says.
//!
//! A table is one of the database and needs a primary key. The snapshot notes the transactions that
//! the binary log has, and only then opens its views; so each range sees at least these. Following
//! begins behind them, and gives once more what a range has seen already: with a key that comes to
//! the same row, and at the end of it the target is what the source is.
//!
//! Transactions are named by GTID. A server that has purged the binary log that we need is told
//! apart from one that is not there: a new snapshot follows.

mod binlog;
mod cells;
mod place;
mod schema;
mod snapshot;

#[cfg(test)]
mod tests;

use crate::settings::{self, TlsMode};
use crate::tls::{Trust, check_plain};
use crate::{
    CopiedRows, Follow, Layout, Marks, Position, Range, Snapshot, Source, SourceColumn,
    SourceError, SourceTable, Wanted,
};
use binlog::FollowedLog;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row, SslOpts};
use place::{Place, Seen};
use schema::{Charset, Kind, TableShape, quoted};
use serde::Deserialize;
use snapshot::TablesSnapshot;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long to wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(15);

/// Where a server is, and what of it is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlPlace {
    /// Its name or address.
    pub host: String,
    /// 3306.
    pub port: u16,
    /// Without TLS only on this machine.
    pub tls: bool,
    /// The database.
    pub database: String,
    /// Our number among those who read the binary log: no other reader may have it.
    pub server_id: u32,
}

/// Who we are to the server.
#[derive(Clone)]
pub struct MysqlLogin {
    /// The user; it needs `SELECT` on the tables, `REPLICATION SLAVE`, and on MySQL
    /// `REPLICATION CLIENT` too (MariaDB: `BINLOG MONITOR`).
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for MysqlLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MysqlLogin({})", self.user)
    }
}

/// The `source.mysql` part of a copy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    host: String,
    #[serde(default = "port")]
    port: u16,
    database: String,
    user: String,
    tls: Option<TlsMode>,
    ca_file: Option<String>,
    server_id: Option<u32>,
}

fn port() -> u16 {
    3306
}

/// Opens the source of a copy file; `copy` is its name, `secret` the password.
pub(crate) fn open(
    settings: Settings,
    copy: &str,
    secret: Option<Zeroizing<Vec<u8>>>,
) -> Result<MysqlSource, String> {
    let tls = settings::uses_tls(settings.tls, &[&settings.host]);
    let (user, password) = settings::login(Some(settings.user), secret)?
        .ok_or("a database has a `user` and its password")?;
    let place = MysqlPlace {
        host: settings.host,
        port: settings.port,
        tls,
        database: settings.database,
        server_id: settings.server_id.unwrap_or_else(|| server_id(copy)),
    };
    let trust = settings::trust(settings.ca_file.as_deref())?;
    let login = MysqlLogin { user, password };
    MysqlSource::new(place, login, trust).map_err(|error| error.to_string())
}

/// A number far above those that people give to their replicas, the same for a name at any time.
fn server_id(copy: &str) -> u32 {
    // FNV-1a.
    let hash = copy
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash | 0x8000_0000
}

/// A database of a server.
#[derive(Clone, Debug)]
pub struct MysqlSource {
    place: MysqlPlace,
    login: MysqlLogin,
    trust: Trust,
}

impl MysqlSource {
    /// The database at `place`.
    ///
    /// # Errors
    /// If another machine would be spoken to without TLS.
    pub fn new(
        place: MysqlPlace,
        login: MysqlLogin,
        trust: Trust,
    ) -> Result<MysqlSource, SourceError> {
        if !place.tls {
            check_plain(&place.host)?;
        }
        Ok(MysqlSource { place, login, trust })
    }

    /// A connection that speaks UTF-8 and UTC and is told to change nothing.
    async fn connect(&self) -> Result<Server, SourceError> {
        let mut options = OptsBuilder::default()
            .ip_or_hostname(self.place.host.clone())
            .tcp_port(self.place.port)
            .user(Some(self.login.user.clone()))
            .pass(Some(self.login.password.as_str().to_owned()))
            .db_name(Some(self.place.database.clone()))
            .prefer_socket(false)
            .tcp_nodelay(true)
            .setup(vec![
                "SET NAMES utf8mb4".to_owned(),
                "SET SESSION time_zone = '+00:00'".to_owned(),
                "SET SESSION TRANSACTION READ ONLY".to_owned(),
            ]);
        if self.place.tls {
            let roots = self.trust.pem().to_vec().into();
            let tls =
                SslOpts::default().with_root_certs(vec![roots]).with_disable_built_in_roots(true);
            options = options.ssl_opts(tls);
        }
        let connected = tokio::time::timeout(CONNECT_WAIT, Conn::new(Opts::from(options))).await;
        let mut conn = connected
            .map_err(|_| SourceError::Unreachable("the server does not answer".to_owned()))?
            .map_err(|error| failure(&error))?;
        let version: Option<String> =
            conn.query_first("SELECT VERSION()").await.map_err(|error| failure(&error))?;
        let is_maria = version.is_some_and(|version| version.contains("MariaDB"));
        Ok(Server { conn, is_maria })
    }

    /// The wanted tables as they are now.
    async fn shapes(
        &self,
        server: &mut Server,
        tables: &[Wanted],
    ) -> Result<Vec<TableShape>, SourceError> {
        let all = schema::tables(&mut server.conn, &self.place.database, server.is_maria).await?;
        let mut shapes = Vec::new();
        for wanted in tables {
            let found = all.iter().find(|shape| shape.name == wanted.table);
            let mut shape = found.cloned().ok_or_else(|| no_table(&wanted.table))?;
            shape.columns.retain(|column| !wanted.left_out.contains(&column.source.name));
            check_shape(&shape)?;
            shapes.push(shape);
        }
        Ok(shapes)
    }
}

/// A connection, and whose it is.
struct Server {
    conn: Conn,
    is_maria: bool,
}

fn no_table(name: &str) -> SourceError {
    SourceError::Refused(format!("there is no table `{name}`, or we may not read it"))
}

fn check_shape(shape: &TableShape) -> Result<(), SourceError> {
    if shape.key.is_empty() {
        return Err(SourceError::Refused(format!(
            "table `{}` has no primary key, so a changed row cannot be told from a new one: give it \
             one, or leave it out",
            shape.name
        )));
    }
    // The library misreads negative spans with one or two digits of a second.
    let unread = shape.columns.iter().find(|column| {
        matches!(column.kind, Kind::Text(Charset::Other))
            || matches!(column.source.native.as_str(), "time(1)" | "time(2)")
            || column.source.native.to_ascii_lowercase().contains("compressed")
    });
    match unread {
        Some(column) => Err(SourceError::Refused(format!(
            "column `{}` of `{}` is kept in a form that cannot be read from the binary log: leave \
             it out, or keep text as utf8mb4 and not compressed, and spans as time(3)",
            column.source.name, shape.name
        ))),
        None => Ok(()),
    }
}

#[async_trait::async_trait]
impl Source for MysqlSource {
    async fn describe(&self) -> Result<Vec<SourceTable>, SourceError> {
        let mut server = self.connect().await?;
        let shapes =
            schema::tables(&mut server.conn, &self.place.database, server.is_maria).await?;
        let table = |shape: TableShape| SourceTable {
            columns: shape.columns.iter().map(|column| column.source.clone()).collect(),
            name: shape.name,
            key: shape.key,
            documents: false,
            rows: shape.rows,
        };
        Ok(shapes.into_iter().map(table).collect())
    }

    async fn sample(
        &self,
        table: &SourceTable,
        rows: usize,
    ) -> Result<(Arc<Layout>, CopiedRows), SourceError> {
        let mut server = self.connect().await?;
        let all = schema::tables(&mut server.conn, &self.place.database, server.is_maria).await?;
        let shape = all.into_iter().find(|shape| shape.name == table.name);
        let shape = shape.ok_or_else(|| no_table(&table.name))?;
        let columns: Vec<SourceColumn> =
            shape.columns.iter().map(|column| column.source.clone()).collect();
        let mut sample = CopiedRows::new(columns.len());
        // The oldest and the newest, by the key.
        let from = format!("{} FROM {}", snapshot::select(&shape), quoted(&shape.name));
        let half = rows.div_ceil(2).max(1);
        let key: Vec<String> = shape.key.iter().map(|name| quoted(name)).collect();
        let mut statements = vec![format!("{from} LIMIT {half}")];
        if !key.is_empty() {
            let down: Vec<String> = key.iter().map(|name| format!("{name} DESC")).collect();
            statements[0] = format!("{from} ORDER BY {} LIMIT {half}", key.join(","));
            statements.push(format!("{from} ORDER BY {} LIMIT {half}", down.join(",")));
        }
        for statement in statements {
            let found: Vec<Row> =
                server.conn.exec(statement, ()).await.map_err(|error| failure(&error))?;
            for row in &found {
                snapshot::push_row(row, &shape, &mut sample);
            }
        }
        Ok((Layout::columns(columns), sample))
    }

    async fn snapshot(
        &self,
        tables: &[Wanted],
        before: &[Range],
    ) -> Result<Box<dyn Snapshot>, SourceError> {
        let mut server = self.connect().await?;
        check_log(&mut server).await?;
        let shapes = self.shapes(&mut server, tables).await?;
        let start = Place { seen: seen_now(&mut server).await?, rows: 0 };
        let start = start.to_position().ok_or_else(too_many_servers)?;
        let ranges = match before.is_empty() {
            false => before.to_vec(),
            true => snapshot::cut(&mut server, &shapes).await?,
        };
        Ok(Box::new(TablesSnapshot::new(self.clone(), shapes, start, ranges)))
    }

    async fn follow(
        &self,
        tables: &[Wanted],
        from: &Position,
        marks: &Marks,
    ) -> Result<Box<dyn Follow>, SourceError> {
        let mut server = self.connect().await?;
        check_log(&mut server).await?;
        let shapes = self.shapes(&mut server, tables).await?;
        let from = Place::from_position(from, server.is_maria).ok_or_else(|| {
            SourceError::Lost("what is stored is of another kind of server".to_owned())
        })?;
        Ok(Box::new(FollowedLog::start(self.clone(), server, tables, shapes, from, marks).await?))
    }
}

fn too_many_servers() -> SourceError {
    SourceError::Refused(
        "the set of transactions of the server is too long to be kept: it knows too many servers"
            .to_owned(),
    )
}

/// The transactions that are in the binary log and visible.
async fn seen_now(server: &mut Server) -> Result<Seen, SourceError> {
    let unread = || SourceError::Broken("the server's transactions cannot be read".to_owned());
    let conn = &mut server.conn;
    if !server.is_maria {
        // A transaction is added here after its rows are visible.
        let executed: Option<String> = conn
            .query_first("SELECT @@GLOBAL.gtid_executed")
            .await
            .map_err(|error| failure(&error))?;
        return Seen::sets(&executed.unwrap_or_default().replace('\n', "")).ok_or_else(unread);
    }
    // Here it is the other way round, so the place is taken from a view that knows its own.
    for statement in [
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    ] {
        conn.query_drop(statement).await.map_err(|error| failure(&error))?;
    }
    let place: Vec<(String, String)> = conn
        .query("SHOW STATUS LIKE 'binlog_snapshot_%'")
        .await
        .map_err(|error| failure(&error))?;
    let of = |name: &str| {
        place.iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    let file = of("Binlog_snapshot_file").ok_or_else(unread)?;
    let at: u64 =
        of("Binlog_snapshot_position").and_then(|at| at.parse().ok()).ok_or_else(unread)?;
    let gtids: Option<Option<String>> = conn
        .exec_first("SELECT BINLOG_GTID_POS(?, ?)", (file, at))
        .await
        .map_err(|error| failure(&error))?;
    conn.query_drop("COMMIT").await.map_err(|error| failure(&error))?;
    Seen::domains(&gtids.flatten().unwrap_or_default()).ok_or_else(unread)
}

/// Whether the server writes a binary log that can be followed.
async fn check_log(server: &mut Server) -> Result<(), SourceError> {
    let is_maria = server.is_maria;
    let mut variable = async |name: &str| -> Result<String, SourceError> {
        let value: Option<Option<String>> = server
            .conn
            .query_first(format!("SELECT CAST(@@GLOBAL.{name} AS CHAR)"))
            .await
            .map_err(|error| failure(&error))?;
        let value = value.flatten().unwrap_or_default().to_ascii_uppercase();
        Ok(if value == "1" { "ON".to_owned() } else { value })
    };
    let must = |name: &str, value: &str| {
        Err(SourceError::Refused(format!("the server has to be set to `{name} = {value}`")))
    };
    if variable("log_bin").await? != "ON" {
        return must("log_bin", "ON");
    }
    if variable("binlog_format").await? != "ROW" {
        return must("binlog_format", "ROW");
    }
    if is_maria {
        return match variable("log_bin_compress").await?.as_str() {
            "ON" => must("log_bin_compress", "OFF"),
            _ => Ok(()),
        };
    }
    if variable("gtid_mode").await? != "ON" {
        return must("gtid_mode", "ON");
    }
    if variable("binlog_row_value_options").await?.contains("PARTIAL_JSON") {
        return must("binlog_row_value_options", "''");
    }
    Ok(())
}

fn no_right() -> SourceError {
    SourceError::Refused(
        "the user lacks a right: grant SELECT on the tables, and REPLICATION SLAVE and REPLICATION \
         CLIENT (MariaDB: BINLOG MONITOR) on *.*"
            .to_owned(),
    )
}

/// Says what went wrong without the words of the server: they quote rows and statements.
fn failure(error: &mysql_async::Error) -> SourceError {
    use mysql_async::Error;
    match error {
        Error::Server(error) => match error.code {
            1045 | 1044 | 1698 | 1862 => {
                SourceError::Refused("the server refuses the user or the password".to_owned())
            }
            1049 => SourceError::Refused("there is no such database".to_owned()),
            1142 | 1143 | 1227 | 1370 => no_right(),
            1146 => SourceError::Refused("a table is gone".to_owned()),
            1236 => SourceError::Lost(
                "the server has purged the part of the binary log that comes next".to_owned(),
            ),
            1040 | 1053 | 1203 | 1205 | 1213 | 1226 | 1317 | 3024 => {
                SourceError::Unreachable("the server is busy or going down".to_owned())
            }
            code => SourceError::Unreachable(format!("the server answered with error {code}")),
        },
        Error::Io(mysql_async::IoError::Tls(_)) => {
            SourceError::Refused("the server shows a certificate that is not trusted".to_owned())
        }
        Error::Io(_) => SourceError::Unreachable("the connection to the server broke".to_owned()),
        Error::Driver(_) => {
            SourceError::Unreachable("the server did not answer as expected".to_owned())
        }
        _ => SourceError::Broken("the server cannot be spoken to".to_owned()),
    }
}
