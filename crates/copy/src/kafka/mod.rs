//! Kafka as a source: topics of JSON messages, each partition a lane of its own.
//!
//! The offset after the last stored message of each partition is kept by us, in the same write as
//! the messages, and nothing is committed to the broker: at least once in, exactly once stored.
//!
//! A row is the JSON object of a message. With `key: [_key]` its `_id` is the message's key, a
//! later message replaces an earlier one, and a message without a value deletes: that is what a
//! compacted topic means. Without a key every message is a row.

mod fetch;
mod follow;

#[cfg(test)]
mod tests;

use crate::document::seen_columns;
use crate::files::head;
use crate::mqtt::NoPast;
use crate::settings::{self, TlsMode};
use crate::tls::{Trust, check_plain};
use crate::{
    CopiedRows, Follow, Layout, Marks, Position, Range, Snapshot, Source, SourceError, SourceTable,
    Wanted,
};
use fetch::{Partition, Reader};
use follow::FollowedPartitions;
use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use serde::Deserialize;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The key that stands for the key of the message.
pub const MESSAGE_KEY: &str = "_key";
/// Messages of a sample.
const SAMPLE: usize = 200;
/// How long the client tries before it tells us.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the brokers are, and what of them is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaPlace {
    /// Some of them, as `host:port`; they name the others.
    pub brokers: Vec<String>,
    /// Without TLS only on this machine.
    pub tls: bool,
    /// The topics; none: all that are not Kafka's own.
    pub topics: Vec<String>,
}

/// How a password is shown to the brokers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// As it is; within TLS.
    Plain,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

/// Who we are to the brokers.
#[derive(Clone)]
pub struct KafkaLogin {
    /// How the password is shown.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for KafkaLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaLogin({}, {:?})", self.user, self.mechanism)
    }
}

/// The `source.kafka` part of a copy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    brokers: Vec<String>,
    #[serde(default)]
    topics: Vec<String>,
    user: Option<String>,
    mechanism: Option<Mechanism>,
    tls: Option<TlsMode>,
    ca_file: Option<String>,
}

/// Opens the source of a copy file; `secret` is the password.
pub(crate) fn open(
    settings: Settings,
    secret: Option<Zeroizing<Vec<u8>>>,
) -> Result<KafkaSource, String> {
    let hosts: Vec<&str> = settings.brokers.iter().map(|broker| host_of(broker)).collect();
    let tls = settings::uses_tls(settings.tls, &hosts);
    let mechanism = settings.mechanism.unwrap_or(Mechanism::ScramSha512);
    let login = settings::login(settings.user, secret)?;
    let login = login.map(|(user, password)| KafkaLogin { mechanism, user, password });
    let trust = settings::trust(settings.ca_file.as_deref())?;
    let place = KafkaPlace { brokers: settings.brokers, tls, topics: settings.topics };
    KafkaSource::new(place, login, trust).map_err(|error| error.to_string())
}

fn host_of(broker: &str) -> &str {
    broker.rsplit_once(':').map_or(broker, |(host, _)| host)
}

/// Some brokers.
#[derive(Clone, Debug)]
pub struct KafkaSource {
    place: KafkaPlace,
    login: Option<KafkaLogin>,
    trust: Trust,
}

impl KafkaSource {
    /// The brokers at `place`.
    ///
    /// # Errors
    /// If another machine would be spoken to without TLS.
    pub fn new(
        place: KafkaPlace,
        login: Option<KafkaLogin>,
        trust: Trust,
    ) -> Result<KafkaSource, SourceError> {
        if !place.tls {
            for broker in &place.brokers {
                check_plain(host_of(broker))?;
            }
        }
        Ok(KafkaSource { place, login, trust })
    }

    async fn connect(&self) -> Result<Client, SourceError> {
        let patience = BackoffConfig { deadline: Some(PATIENCE), ..BackoffConfig::default() };
        let mut builder = ClientBuilder::new(self.place.brokers.clone())
            .client_id("clerestory")
            .backoff_config(patience);
        if self.place.tls {
            builder = builder.tls_config(self.trust.config());
        }
        if let Some(login) = &self.login {
            let known = Credentials::new(login.user.clone(), login.password.as_str().to_owned());
            builder = builder.sasl_config(match login.mechanism {
                Mechanism::Plain => SaslConfig::Plain(known),
                Mechanism::ScramSha256 => SaslConfig::ScramSha256(known),
                Mechanism::ScramSha512 => SaslConfig::ScramSha512(known),
            });
        }
        // The client itself waits for ever for a broker that does not answer at all.
        let built = tokio::time::timeout(PATIENCE * 2, builder.build()).await;
        built.map_err(|_| unreachable_now())?.map_err(|error| failure(&error))
    }

    /// The topics and their partitions.
    async fn topics(&self, client: &Client) -> Result<Vec<(String, BTreeSet<i32>)>, SourceError> {
        let all = client.list_topics().await.map_err(|error| failure(&error))?;
        let is_wanted = |name: &String| match self.place.topics.is_empty() {
            true => !name.starts_with("__"),
            false => self.place.topics.contains(name),
        };
        let mut topics: Vec<_> = all
            .into_iter()
            .filter(|topic| is_wanted(&topic.name))
            .map(|topic| (topic.name, topic.partitions))
            .collect();
        topics.sort();
        Ok(topics)
    }

    /// Messages of a topic: the newest few of each partition; with how many there are.
    async fn listen(
        &self,
        client: &Client,
        topic: &str,
        partitions: &BTreeSet<i32>,
    ) -> Result<Sample, SourceError> {
        let mut sample = Sample { rows: CopiedRows::new(2), keys: Vec::new(), all: 0 };
        for &number in partitions {
            let mut partition = Partition::open(client, topic, number).await?;
            let (first, end) = (partition.earliest().await?, partition.latest().await?);
            sample.all += u64::try_from(end - first).unwrap_or(0);
            let wanted = (SAMPLE / partitions.len().max(1)).max(1) as i64;
            partition.next = first.max(end - wanted);
            while partition.next < end && sample.rows.len() < SAMPLE {
                let mut reader = Reader::new(&[]);
                for message in partition.fetch().await? {
                    sample.keys.push(message.record.key.clone());
                    // What is no row has no place in a sample.
                    let _ = reader.push(&message, &mut sample.rows);
                }
            }
        }
        Ok(sample)
    }
}

struct Sample {
    rows: CopiedRows,
    keys: Vec<Option<Vec<u8>>>,
    all: u64,
}

impl Sample {
    /// Whether keys name rows: every message has one and none came twice.
    fn keys_name_rows(&self) -> bool {
        let distinct: HashSet<&[u8]> = self.keys.iter().flatten().map(Vec::as_slice).collect();
        self.keys.len() > 1 && distinct.len() == self.keys.len()
    }
}

#[async_trait::async_trait]
impl Source for KafkaSource {
    async fn describe(&self) -> Result<Vec<SourceTable>, SourceError> {
        let client = self.connect().await?;
        let mut tables = Vec::new();
        for (name, partitions) in self.topics(&client).await? {
            let sample = self.listen(&client, &name, &partitions).await?;
            let key =
                if sample.keys_name_rows() { vec![MESSAGE_KEY.to_owned()] } else { Vec::new() };
            let columns = seen_columns(&sample.rows);
            let rows = Some(sample.all);
            tables.push(SourceTable { name, columns, key, documents: true, rows });
        }
        Ok(tables)
    }

    async fn sample(
        &self,
        table: &SourceTable,
        rows: usize,
    ) -> Result<(Arc<Layout>, CopiedRows), SourceError> {
        let client = self.connect().await?;
        let topics = self.topics(&client).await?;
        let Some((name, partitions)) = topics.iter().find(|(name, _)| *name == table.name) else {
            return Err(gone(&table.name));
        };
        let sample = self.listen(&client, name, partitions).await?;
        Ok((Layout::documents(), head(&sample.rows, rows)))
    }

    async fn snapshot(
        &self,
        _tables: &[Wanted],
        _before: &[Range],
    ) -> Result<Box<dyn Snapshot>, SourceError> {
        // All that a topic keeps is given by following it from its first message.
        Ok(Box::new(NoPast))
    }

    async fn follow(
        &self,
        tables: &[Wanted],
        _from: &Position,
        marks: &Marks,
    ) -> Result<Box<dyn Follow>, SourceError> {
        let client = self.connect().await?;
        Ok(Box::new(FollowedPartitions::start(client, tables, marks).await?))
    }
}

fn gone(topic: &str) -> SourceError {
    SourceError::Refused(format!("there is no topic `{topic}`, or we may not read it"))
}

fn unreachable_now() -> SourceError {
    SourceError::Unreachable("the brokers cannot be reached".to_owned())
}

/// Says what went wrong without the words of the broker.
fn failure(error: &Error) -> SourceError {
    match error {
        Error::ServerError { protocol_error, .. } => match protocol_error {
            ProtocolError::SaslAuthenticationFailed => refused_login(),
            ProtocolError::TopicAuthorizationFailed => SourceError::Refused(
                "the brokers do not let us read the topic: it needs the right to read".to_owned(),
            ),
            ProtocolError::UnknownTopicOrPartition => {
                SourceError::Refused("a topic is gone".to_owned())
            }
            other => SourceError::Unreachable(format!("the broker answered {other:?}")),
        },
        Error::Connection(rskafka::ConnectionError::SaslFailed(_)) => refused_login(),
        Error::InvalidResponse(_) => {
            SourceError::Broken("the broker's answer cannot be read".to_owned())
        }
        _ if format!("{error:?}").contains("SaslAuthenticationFailed") => refused_login(),
        _ => unreachable_now(),
    }
}

fn refused_login() -> SourceError {
    SourceError::Refused("the brokers refuse the user or the password".to_owned())
}
