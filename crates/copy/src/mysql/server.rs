//! A server: how it is set, where its binary log stands, and what its errors mean.

use super::place::Seen;
use crate::SourceError;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn};

/// A connection, and whose it is.
pub(super) struct Server {
    pub(super) conn: Conn,
    pub(super) is_maria: bool,
}

impl Server {
    /// Asks for the binary log from behind what was seen, as the replica with this number.
    pub(super) async fn log_behind(
        mut self,
        seen: &Seen,
        id: u32,
    ) -> Result<BinlogStream, SourceError> {
        let mut statements = vec!["SET @master_heartbeat_period = 5000000000".to_owned()];
        statements.push("SET @source_heartbeat_period = 5000000000".to_owned());
        if self.is_maria {
            statements.push("SET @mariadb_slave_capability = 4".to_owned());
            // Digits and dashes, read and written by us.
            statements.push(format!("SET @slave_connect_state = '{}'", seen.to_text()));
            statements.push("SET @slave_gtid_strict_mode = 0".to_owned());
            statements.push("SET @slave_gtid_ignore_duplicates = 0".to_owned());
        }
        for statement in statements {
            self.conn.query_drop(statement).await.map_err(|error| failure(&error))?;
        }
        let request = BinlogStreamRequest::new(id).with_pos(4);
        let request = match self.is_maria {
            true => request,
            false => request.with_gtid().with_gtid_set(seen.to_sids()),
        };
        self.conn.get_binlog_stream(request).await.map_err(|error| match &error {
            // It let us in before, so here the same words mean another thing.
            mysql_async::Error::Server(server) if server.code == 1045 => no_right(),
            _ => failure(&error),
        })
    }
}

/// The transactions that are in the binary log and visible.
pub(super) async fn seen_now(server: &mut Server) -> Result<Seen, SourceError> {
    let unread = || SourceError::Broken("the server's transactions cannot be read".to_owned());
    let conn = &mut server.conn;
    if !server.is_maria {
        // A transaction is added here after its rows are visible.
        let executed: Option<String> = conn
            .query_first("SELECT @@GLOBAL.gtid_executed")
            .await
            .map_err(|error| failure(&error))?;
        return Seen::sets(&executed.unwrap_or_default()).ok_or_else(tagged);
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

/// What a server has to be set to; the first of the values is the one to recommend.
const SETTINGS: [(&str, &[&str]); 3] = [
    ("log_bin", &["ON"]),
    ("binlog_format", &["ROW"]),
    // With less, a new row lacks its defaults, and MariaDB's a changed one what is computed of it.
    ("binlog_row_image", &["FULL", "NOBLOB"]),
];
const SETTINGS_OF_MARIA: [(&str, &[&str]); 1] = [("log_bin_compress", &["OFF"])];
const SETTINGS_OF_MYSQL: [(&str, &[&str]); 2] =
    [("gtid_mode", &["ON"]), ("binlog_row_value_options", &["''"])];

/// Whether the server writes a binary log that can be followed.
pub(super) async fn check_log(server: &mut Server) -> Result<(), SourceError> {
    let own = if server.is_maria { &SETTINGS_OF_MARIA[..] } else { &SETTINGS_OF_MYSQL[..] };
    for (name, values) in SETTINGS.iter().chain(own) {
        let asked = format!("SELECT CAST(@@GLOBAL.{name} AS CHAR)");
        let value: Option<Option<String>> =
            server.conn.query_first(asked).await.map_err(|error| failure(&error))?;
        let value = match value.flatten().unwrap_or_default().to_ascii_uppercase().as_str() {
            "1" => "ON".to_owned(),
            "0" => "OFF".to_owned(),
            "" => "''".to_owned(),
            other => other.to_owned(),
        };
        if !values.contains(&value.as_str()) {
            return Err(SourceError::Refused(format!(
                "the server has to be set to `{name} = {}`",
                values[0]
            )));
        }
    }
    Ok(())
}

pub(super) fn no_right() -> SourceError {
    SourceError::Refused(
        "the user lacks a right: grant SELECT on the tables, and REPLICATION SLAVE and REPLICATION \
         CLIENT (MariaDB: BINLOG MONITOR) on *.*"
            .to_owned(),
    )
}

pub(super) fn tagged() -> SourceError {
    SourceError::Refused(
        "the server has transactions whose GTID has a tag, and these cannot be followed".to_owned(),
    )
}

fn untrusted() -> SourceError {
    SourceError::Refused(
        "the server shows a certificate that is not trusted: name who signed it with `ca_file`"
            .to_owned(),
    )
}

fn another_has_our_number() -> SourceError {
    SourceError::Refused(
        "another replica has our number: give this copy another `server_id`".to_owned(),
    )
}

/// Says what went wrong without the words of the server: they quote rows and statements.
pub(super) fn failure(error: &mysql_async::Error) -> SourceError {
    use mysql_async::Error;
    match error {
        Error::Server(error) => match error.code {
            1045 | 1044 | 1698 => SourceError::Refused(
                "the server refuses the user or the password (MariaDB says that also where it asks \
                 for TLS)"
                    .to_owned(),
            ),
            1820 | 1862 => {
                SourceError::Refused("the password has expired: set a new one".to_owned())
            }
            3118 | 4151 => SourceError::Refused("the user is locked: unlock it".to_owned()),
            3159 => SourceError::Refused("the server asks for TLS: set `tls: true`".to_owned()),
            1049 => SourceError::Refused("there is no such database".to_owned()),
            1142 | 1143 | 1227 | 1370 => no_right(),
            1146 => SourceError::Refused("a table is gone".to_owned()),
            4052 => another_has_our_number(),
            // MySQL's number for this is that of a purged log.
            1236 if error.message.contains("same server_uuid/server_id") => {
                another_has_our_number()
            }
            1236 => SourceError::Lost(
                "the server has purged the part of the binary log that comes next".to_owned(),
            ),
            1040 | 1053 | 1203 | 1205 | 1213 | 1226 | 1317 | 3024 => {
                SourceError::Unreachable("the server is busy or going down".to_owned())
            }
            code => SourceError::Unreachable(format!("the server answered with error {code}")),
        },
        Error::Io(mysql_async::IoError::Tls(_)) => untrusted(),
        Error::Io(mysql_async::IoError::Io(error))
            if error.get_ref().is_some_and(|error| error.is::<rustls::Error>()) =>
        {
            untrusted()
        }
        Error::Io(_) => SourceError::Unreachable("the connection to the server broke".to_owned()),
        Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer) => {
            SourceError::Refused("the server speaks no TLS: give it a certificate".to_owned())
        }
        Error::Driver(_) => {
            SourceError::Unreachable("the server did not answer as expected".to_owned())
        }
        _ => SourceError::Broken("the server cannot be spoken to".to_owned()),
    }
}
