//! MQTT as a source: what devices publish, by a session that the broker keeps for us.
//!
//! Every message is stored before it is acknowledged, so none is lost while the broker keeps the
//! session: at least once in. A broker may give a message again (after a broken connection it
//! must), and MQTT names no message across sessions. So a table whose rows have a key, taken from
//! the message or its topic, holds each message once; without a key a message that is given again
//! is a second row. Messages that were published with quality of service 0 are given at most once
//! by the broker itself.
//!
//! A table is a topic filter, such as `fleet/+/telemetry`. A row is the JSON object of the message
//! with two more members: `mqtt_topic` and `mqtt_received`.

mod follow;
mod message;

#[cfg(test)]
mod tests;

use crate::document::seen_columns;
use crate::files::head;
use crate::settings::{self, TlsMode};
use crate::tls::{Trust, check_plain};
use crate::{
    CopiedRows, Follow, Layout, Marks, Piece, Position, Range, Snapshot, Source, SourceError,
    SourceTable, Wanted,
};
use follow::FollowedTopics;
use model::{Clock, SystemClock};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event as Packet, EventLoop, Incoming,
    MqttOptions, QoS, TlsConfiguration, Transport,
};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long to listen for a sample.
const LISTEN: Duration = Duration::from_secs(3);
/// Messages of a sample.
const SAMPLE: usize = 200;
/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Silence after which both sides take the connection for broken.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Where a broker is, and what of it is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttPlace {
    /// Its name or address.
    pub host: String,
    /// 8883 with TLS, 1883 without.
    pub port: u16,
    /// Without TLS only on this machine.
    pub tls: bool,
    /// The topic filters: each is a table.
    pub topics: Vec<String>,
    /// The name of the session that the broker keeps: no other client may have it.
    pub session: String,
}

/// Who we are to the broker.
#[derive(Clone)]
pub struct MqttLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for MqttLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MqttLogin({})", self.user)
    }
}

/// The `source.mqtt` part of a copy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    host: String,
    port: Option<u16>,
    topics: Vec<String>,
    user: Option<String>,
    session: Option<String>,
    tls: Option<TlsMode>,
    ca_file: Option<String>,
}

/// Opens the source of a copy file; `copy` is its name, `secret` the password.
pub(crate) fn open(
    settings: Settings,
    copy: &str,
    secret: Option<Zeroizing<Vec<u8>>>,
) -> Result<MqttSource, String> {
    let tls = settings::uses_tls(settings.tls, &[&settings.host]);
    let login = settings::login(settings.user, secret)?;
    let place = MqttPlace {
        host: settings.host,
        port: settings.port.unwrap_or(if tls { 8883 } else { 1883 }),
        tls,
        topics: settings.topics,
        session: settings.session.unwrap_or_else(|| format!("clerestory-{copy}")),
    };
    let login = login.map(|(user, password)| MqttLogin { user, password });
    let trust = settings::trust(settings.ca_file.as_deref())?;
    MqttSource::new(place, login, trust, Arc::new(SystemClock)).map_err(|error| error.to_string())
}

/// A broker.
#[derive(Clone)]
pub struct MqttSource {
    place: MqttPlace,
    login: Option<MqttLogin>,
    trust: Trust,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for MqttSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MqttSource").field(&self.place).finish()
    }
}

impl MqttSource {
    /// The broker at `place`.
    ///
    /// # Errors
    /// If a topic filter is none, or another machine would be spoken to without TLS.
    pub fn new(
        place: MqttPlace,
        login: Option<MqttLogin>,
        trust: Trust,
        clock: Arc<dyn Clock>,
    ) -> Result<MqttSource, SourceError> {
        if !place.tls {
            check_plain(&place.host)?;
        }
        match place.topics.iter().find(|topic| !rumqttc::valid_filter(topic)) {
            Some(topic) => {
                Err(SourceError::Refused(format!("`{topic}` is no topic filter of MQTT")))
            }
            None => Ok(MqttSource { place, login, trust, clock }),
        }
    }

    fn connect(&self, session: &str, keep: bool) -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new(session, &self.place.host, self.place.port);
        options
            .set_clean_session(!keep)
            .set_manual_acks(true)
            .set_keep_alive(KEEP_ALIVE)
            .set_max_packet_size(MESSAGE_BYTES_MAX, 64 << 10);
        if let Some(login) = &self.login {
            options.set_credentials(&login.user, login.password.as_str());
        }
        if self.place.tls {
            let config = TlsConfiguration::Rustls(self.trust.config());
            options.set_transport(Transport::tls_with_config(config));
        }
        AsyncClient::new(options, 1_024)
    }

    /// Listens for a while beside the session that is kept, which loses nothing by it.
    async fn listen(&self, topics: &[String]) -> Result<Vec<CopiedRows>, SourceError> {
        let mut heard: Vec<CopiedRows> = topics.iter().map(|_| CopiedRows::new(2)).collect();
        let name = format!("{}-sample-{}", self.place.session, self.clock.now().0);
        let (client, mut broker) = self.connect(&name, false);
        let until = tokio::time::Instant::now() + LISTEN;
        let mut reader = message::Reader::new(&[], &*self.clock);
        while heard.iter().any(|rows| rows.len() < SAMPLE) {
            let Ok(packet) = tokio::time::timeout_at(until, broker.poll()).await else { break };
            match packet.map_err(|error| failure(&error))? {
                Packet::Incoming(Incoming::ConnAck(_)) => {
                    for topic in topics {
                        subscribe(&client, topic).await?;
                    }
                }
                Packet::Incoming(Incoming::SubAck(granted)) => check_granted(&granted, topics)?,
                Packet::Incoming(Incoming::Publish(publish)) => {
                    let of = topics.iter().position(|of| rumqttc::matches(&publish.topic, of));
                    if let Some(rows) = of.and_then(|of| heard.get_mut(of))
                        && rows.len() < SAMPLE
                    {
                        // What is no row has no place in a sample.
                        let _ = reader.push(&publish, rows);
                    }
                }
                _ => {}
            }
        }
        Ok(heard)
    }
}

async fn subscribe(client: &AsyncClient, topic: &str) -> Result<(), SourceError> {
    let asked = client.subscribe(topic, QoS::AtLeastOnce).await;
    asked.map_err(|_| SourceError::Unreachable("the connection to the broker has ended".to_owned()))
}

fn check_granted(granted: &rumqttc::SubAck, topics: &[String]) -> Result<(), SourceError> {
    if granted.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure) {
        let topics = topics.join("`, `");
        return Err(SourceError::Refused(format!(
            "the broker does not let us read one of `{topics}`"
        )));
    }
    Ok(())
}

fn failure(error: &ConnectionError) -> SourceError {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => SourceError::Refused("the broker refuses the user or the password".to_owned()),
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId) => {
            SourceError::Refused("the broker refuses the name of the session".to_owned())
        }
        ConnectionError::Tls(_) => {
            SourceError::Refused("the broker shows a certificate that is not trusted".to_owned())
        }
        _ => SourceError::Unreachable("the broker cannot be reached".to_owned()),
    }
}

#[async_trait::async_trait]
impl Source for MqttSource {
    async fn describe(&self) -> Result<Vec<SourceTable>, SourceError> {
        let heard = self.listen(&self.place.topics).await?;
        let table = |(topic, rows): (&String, CopiedRows)| SourceTable {
            name: topic.clone(),
            columns: seen_columns(&rows),
            key: Vec::new(),
            documents: true,
            rows: None,
        };
        Ok(self.place.topics.iter().zip(heard).map(table).collect())
    }

    async fn sample(
        &self,
        table: &SourceTable,
        rows: usize,
    ) -> Result<(Arc<Layout>, CopiedRows), SourceError> {
        let heard = self.listen(std::slice::from_ref(&table.name)).await?;
        Ok((Layout::documents(), head(&heard[0], rows)))
    }

    async fn snapshot(
        &self,
        _tables: &[Wanted],
        _before: &[Range],
    ) -> Result<Box<dyn Snapshot>, SourceError> {
        Ok(Box::new(NoPast))
    }

    async fn follow(
        &self,
        tables: &[Wanted],
        _from: &Position,
        marks: &Marks,
    ) -> Result<Box<dyn Follow>, SourceError> {
        let followed = FollowedTopics::start(self, tables, marks).await?;
        Ok(Box::new(followed))
    }

    async fn forget(&self) -> Result<(), SourceError> {
        // A clean session under the same name ends the one that is kept.
        let (client, mut broker) = self.connect(&self.place.session, false);
        loop {
            let packet = tokio::time::timeout(LISTEN, broker.poll()).await;
            let packet = packet.map_err(|_| failure(&ConnectionError::NetworkTimeout))?;
            match packet.map_err(|error| failure(&error))? {
                Packet::Incoming(Incoming::ConnAck(_)) => drop(client.disconnect().await),
                Packet::Outgoing(rumqttc::Outgoing::Disconnect) => return Ok(()),
                _ => {}
            }
        }
    }
}

/// A stream that keeps no past: nothing to read before following.
pub(crate) struct NoPast;

#[async_trait::async_trait]
impl Snapshot for NoPast {
    fn start(&self) -> Position {
        Position::new(&[])
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn ranges(&self) -> Vec<Range> {
        Vec::new()
    }

    async fn read(
        &self,
        _range: &Range,
        _after: Option<&Position>,
        _out: &tokio::sync::mpsc::Sender<Piece>,
    ) -> Result<(), SourceError> {
        Ok(())
    }
}
