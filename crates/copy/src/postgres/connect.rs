//! Connections to a PostgreSQL server: one kind for questions, one for replication.

use crate::SourceError;
use pg_walstream::PgReplicationConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, SimpleQueryMessage, SimpleQueryRow};
use zeroize::Zeroizing;

const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// So that every value is written the same way, whatever the server's own settings are, and so that
/// a table whose policies would hide rows is refused: the stream of changes knows no policies.
const SESSION: &str = "SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; \
                       SET intervalstyle = 'iso_8601'; SET extra_float_digits = 1; \
                       SET bytea_output = 'hex'; SET client_encoding = 'UTF8'; \
                       SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
                       SET row_security = off";

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TlsMode {
    /// TLS, and the server's certificate is checked.
    Verify,
    /// In the clear; on this machine only.
    Off,
}

/// Where the server is and who asks.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password: Option<Arc<Zeroizing<String>>>,
    pub(crate) tls: TlsMode,
    pub(crate) ca_file: Option<String>,
}

impl Address {
    /// Whether the host is this machine, however it is written.
    pub(crate) fn is_loopback(host: &str) -> bool {
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// A connection for questions. It may only read, whatever the account may do, until
    /// `may_write` is set: to make a publication.
    pub(crate) async fn client(&self, may_write: bool) -> Result<Client, SourceError> {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .dbname(&self.database)
            .user(&self.user)
            .application_name("clerestory")
            .connect_timeout(CONNECT_WAIT)
            .keepalives_idle(Duration::from_secs(30));
        if let Some(password) = &self.password {
            config.password(password.as_bytes());
        }
        let client = match self.tls {
            TlsMode::Off => {
                config.ssl_mode(tokio_postgres::config::SslMode::Disable);
                let (client, connection) =
                    config.connect(tokio_postgres::NoTls).await.map_err(|e| self.refused(&e))?;
                tokio::spawn(async move { drop(connection.await) });
                client
            }
            TlsMode::Verify => {
                config.ssl_mode(tokio_postgres::config::SslMode::Require);
                let tls = Tls { config: Arc::new(self.tls_config()?) };
                let (client, connection) =
                    config.connect(tls).await.map_err(|e| self.refused(&e))?;
                tokio::spawn(async move { drop(connection.await) });
                client
            }
        };
        ask(&client, "the session's settings", SESSION).await?;
        if !may_write {
            let only = "SET default_transaction_read_only = on";
            ask(&client, "the session's settings", only).await?;
        }
        Ok(client)
    }

    /// A connection that replicates. Blocks while it is made.
    pub(crate) async fn replication(&self) -> Result<PgReplicationConnection, SourceError> {
        let mode = match self.tls {
            TlsMode::Off => "disable",
            TlsMode::Verify => "verify-full",
        };
        let mut text = Zeroizing::new(String::new());
        let mut add = |key: &str, value: &str| {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            text.push_str(&format!("{key}='{value}' "));
        };
        add("host", &self.host);
        add("port", &self.port.to_string());
        add("dbname", &self.database);
        add("user", &self.user);
        add("replication", "database");
        add("sslmode", mode);
        add("connect_timeout", "10");
        if let Some(ca) = &self.ca_file {
            add("sslrootcert", ca);
        }
        if let Some(password) = &self.password {
            add("password", password);
        }
        let made = tokio::task::spawn_blocking({
            let handle = tokio::runtime::Handle::current();
            move || {
                let _runtime = handle.enter();
                let mut connection = PgReplicationConnection::connect(&text)?;
                for setting in SESSION.split(';') {
                    connection.exec(setting.trim())?;
                }
                Ok(connection)
            }
        });
        let made = made.await.map_err(|_| SourceError::Broken("connecting panicked".into()))?;
        made.map_err(|error: pg_walstream::ReplicationError| {
            let whom = format!("{}:{} as {}", self.host, self.port, self.user);
            let what = format!("cannot replicate from {whom}");
            match error {
                pg_walstream::ReplicationError::Authentication(_)
                | pg_walstream::ReplicationError::Config(_) => SourceError::Refused(format!(
                    "{what}: it was refused; the account needs REPLICATION, and pg_hba.conf must \
                     let it in"
                )),
                _ => SourceError::Unreachable(what),
            }
        })
    }

    fn tls_config(&self) -> Result<rustls::ClientConfig, SourceError> {
        let refused = |why: &str| SourceError::Refused(why.to_owned());
        let Some(file) = &self.ca_file else {
            return Err(refused(
                "`tls: verify` needs `ca_file`: the certificate that signs the server's",
            ));
        };
        let mut roots = rustls::RootCertStore::empty();
        let unreadable = || SourceError::Refused(format!("cannot read certificates from `{file}`"));
        for certificate in CertificateDer::pem_file_iter(file).map_err(|_| unreadable())? {
            roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| refused("no version of TLS"))?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// What the server says while nobody is let in yet holds no row.
    fn refused(&self, error: &tokio_postgres::Error) -> SourceError {
        let whom = format!("{}:{} as {}", self.host, self.port, self.user);
        match error.as_db_error() {
            // Starting up, shutting down, too many connections.
            Some(db) if db.code().code().starts_with("57") || db.code().code() == "53300" => {
                SourceError::Unreachable(format!("cannot connect to {whom}: {}", db.message()))
            }
            Some(db) => SourceError::Refused(format!("cannot connect to {whom}: {}", db.message())),
            None if is_about_tls(error) => {
                let why = why_no_tls(error);
                SourceError::Refused(format!(
                    "cannot connect to {whom} with TLS: {why}; the server needs `ssl = on` and a \
                     certificate for `host` that one in `ca_file` signs"
                ))
            }
            None => SourceError::Unreachable(format!("cannot connect to {whom}")),
        }
    }
}

/// Whether a connection failed because of TLS, and not because the network broke meanwhile.
fn is_about_tls(error: &tokio_postgres::Error) -> bool {
    let is_broken = causes(error).any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.get_ref().is_none())
    });
    !is_broken && error.to_string().starts_with("error performing TLS handshake")
}

/// What TLS does not like: about certificates and versions, never a value.
fn why_no_tls(error: &tokio_postgres::Error) -> String {
    let inner = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref());
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("its certificate is not accepted ({why:?})")
        }
        Some(why) => why.to_string(),
        None => "the server does not speak it".to_owned(),
    }
}

fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |cause| cause.source())
}

/// Asks a question; `what` is for the error, which holds the server's code and no word of it.
pub(crate) async fn ask(
    client: &Client,
    what: &str,
    sql: &str,
) -> Result<Vec<SimpleQueryRow>, SourceError> {
    let answered = client.simple_query(sql).await.map_err(|error| failed(what, &error))?;
    let rows = answered.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

/// The server's words may quote rows, so only its code is told.
pub(crate) fn failed(what: &str, error: &tokio_postgres::Error) -> SourceError {
    let Some(code) = error.code().map(|code| code.code().to_owned()) else {
        return SourceError::Unreachable(format!("the connection broke during {what}"));
    };
    match code.as_str() {
        "42501" => SourceError::Refused(format!(
            "the source's account may not do this: {what} (code {code}); grant it the right"
        )),
        code if code.starts_with("57") || code.starts_with("08") || code.starts_with("53") => {
            SourceError::Unreachable(format!("{what} failed for now (code {code})"))
        }
        code => SourceError::Broken(format!("{what} failed (code {code})")),
    }
}

/// A name as SQL writes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub(crate) fn literal(text: &str) -> String {
    if text.contains('\\') {
        return format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// `schema.table` as the two names.
pub(crate) fn split_name(table: &str) -> (&str, &str) {
    table.split_once('.').unwrap_or(("public", table))
}

/// `schema.table` as SQL writes it.
pub(crate) fn quoted_table(table: &str) -> String {
    let (schema, name) = split_name(table);
    format!("{}.{}", quoted(schema), quoted(name))
}

/// TLS for questions.
#[derive(Clone)]
struct Tls {
    config: Arc<rustls::ClientConfig>,
}

struct TlsTo {
    config: Arc<rustls::ClientConfig>,
    host: String,
}

impl MakeTlsConnect<tokio_postgres::Socket> for Tls {
    type Stream = EncryptedSocket;
    type TlsConnect = TlsTo;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<TlsTo, io::Error> {
        Ok(TlsTo { config: Arc::clone(&self.config), host: host.to_owned() })
    }
}

struct EncryptedSocket(tokio_rustls::client::TlsStream<tokio_postgres::Socket>);

impl TlsConnect<tokio_postgres::Socket> for TlsTo {
    type Stream = EncryptedSocket;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<EncryptedSocket, io::Error>> + Send>>;

    fn connect(self, stream: tokio_postgres::Socket) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a server's name"))?;
            let connector = tokio_rustls::TlsConnector::from(self.config);
            Ok(EncryptedSocket(connector.connect(name, stream).await?))
        })
    }
}

impl TlsStream for EncryptedSocket {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for EncryptedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for EncryptedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
