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
mod image;
mod json;
mod place;
mod schema;
mod server;
mod snapshot;
mod statement;

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
use place::Place;
use schema::{Charset, Kind, TableShape, quoted};
use serde::Deserialize;
use server::{Server, check_log, failure, seen_now};
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
            // The library takes what the process has, and breaks off where nobody chose: two are
            // linked. It fails if somebody chose already, which is as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
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
        if !is_maria {
            // Else it counts rows once a day, and a table that was filled since is one range.
            let counted = "SET SESSION information_schema_stats_expiry = 0";
            conn.query_drop(counted).await.map_err(|error| failure(&error))?;
        }
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

    fn is_cheap_to_describe(&self) -> bool {
        true
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
