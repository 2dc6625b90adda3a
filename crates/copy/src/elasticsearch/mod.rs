//! An existing Elasticsearch or OpenSearch as a source: a way to leave a cluster that leaks.
//!
//! A table is an index, a data stream, or an alias and all that it stands for. Every shard is a
//! lane, and its documents come in the order of their sequence numbers: so a copy goes on behind the
//! last number that is stored, also in a new point in time, and later documents are found by asking
//! for greater numbers. What an index writes at once becomes visible out of order; so no number
//! counts as passed before the shard says that everything up to it is done and was visible.
//!
//! A deletion leaves nothing to be asked for: it is seen by the next snapshot only.

mod client;
mod follow;
mod indices;
mod page;
mod templates;

#[cfg(test)]
mod tests;

use crate::files::head;
use crate::settings;
use crate::tls::{Trust, check_plain};
use crate::{
    About, CopiedRows, Follow, Layout, Marks, Piece, Position, Range, Snapshot, Source,
    SourceError, SourceTable, Wanted,
};
use client::Client;
use follow::FollowedShards;
use indices::{Shard, about, describe, shards};
use page::{Pages, first_page, piece};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use zeroize::Zeroizing;

/// Documents become visible within this time where an index does not say otherwise.
const VISIBLE_WITHIN: Duration = Duration::from_secs(3);

/// Where a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchPlace {
    /// `https://…`; `http://…` on this machine only.
    pub url: String,
}

/// Who we are to the cluster; it needs the right to read and to view metadata.
#[derive(Clone)]
pub enum ElasticsearchLogin {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// An API key, encoded as the cluster gave it.
    ApiKey(Zeroizing<String>),
}

impl fmt::Debug for ElasticsearchLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ElasticsearchLogin::Password { .. } => "Password(…)",
            ElasticsearchLogin::ApiKey(_) => "ApiKey(…)",
        })
    }
}

/// The `source.elasticsearch` part of a copy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    url: String,
    /// Without a user the secret is an API key.
    user: Option<String>,
    ca_file: Option<String>,
}

/// Opens the source of a copy file; `secret` is the password or the API key.
pub(crate) fn open(
    settings: Settings,
    secret: Option<Zeroizing<Vec<u8>>>,
) -> Result<ElasticsearchSource, String> {
    let login = match (settings.user, secret) {
        (None, None) => None,
        (None, Some(secret)) => Some(ElasticsearchLogin::ApiKey(settings::text(&secret)?)),
        (user, secret) => settings::login(user, secret)?
            .map(|(user, password)| ElasticsearchLogin::Password { user, password }),
    };
    let place = ElasticsearchPlace { url: settings.url };
    let trust = settings::trust(settings.ca_file.as_deref())?;
    ElasticsearchSource::new(&place, login.as_ref(), &trust).map_err(|error| error.to_string())
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct ElasticsearchSource {
    client: Client,
}

impl ElasticsearchSource {
    /// The cluster at `place`.
    ///
    /// # Errors
    /// If another machine would be spoken to without TLS.
    pub fn new(
        place: &ElasticsearchPlace,
        login: Option<&ElasticsearchLogin>,
        trust: &Trust,
    ) -> Result<ElasticsearchSource, SourceError> {
        let url = place.url.trim_end_matches('/');
        if !url.starts_with("https://") && !crate::files::is_loopback(url) {
            let host = url.split_once("://").map_or(url, |(_, rest)| rest);
            check_plain(host.split(['/', ':']).next().unwrap_or_default())?;
        }
        Ok(ElasticsearchSource { client: Client::new(url, login, trust)? })
    }

    async fn shards(&self, tables: &[Wanted]) -> Result<Vec<Shard>, SourceError> {
        let (client, tables) = (self.client.clone(), tables.to_vec());
        blocking(move || shards(&client, &tables)).await
    }
}

/// Runs what waits for the network away from the asynchronous threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| SourceError::Broken("asking the cluster ended in a panic".to_owned()))?
}

#[async_trait::async_trait]
impl Source for ElasticsearchSource {
    async fn describe(&self) -> Result<Vec<SourceTable>, SourceError> {
        let client = self.client.clone();
        blocking(move || describe(&client)).await
    }

    async fn about(&self, table: &SourceTable) -> Result<About, SourceError> {
        let (client, table) = (self.client.clone(), table.name.clone());
        blocking(move || about(&client, &table)).await
    }

    async fn sample(
        &self,
        table: &SourceTable,
        rows: usize,
    ) -> Result<(Arc<Layout>, CopiedRows), SourceError> {
        let (client, name) = (self.client.clone(), table.name.clone());
        let found = blocking(move || first_page(&client, &name, rows.clamp(1, 1_000))).await?;
        Ok((Layout::documents(), head(&found, rows)))
    }

    async fn snapshot(
        &self,
        tables: &[Wanted],
        before: &[Range],
    ) -> Result<Box<dyn Snapshot>, SourceError> {
        let shards = self.shards(tables).await?;
        // What was written before now is visible to the points in time that are opened later.
        tokio::time::sleep(VISIBLE_WITHIN).await;
        let ranges = match before.is_empty() {
            true => shards.iter().map(Shard::to_range).collect(),
            false => before.to_vec(),
        };
        Ok(Box::new(ShardsSnapshot { client: self.client.clone(), shards, ranges }))
    }

    async fn follow(
        &self,
        tables: &[Wanted],
        _from: &Position,
        marks: &Marks,
    ) -> Result<Box<dyn Follow>, SourceError> {
        Ok(Box::new(FollowedShards::start(self.client.clone(), tables, marks)))
    }
}

struct ShardsSnapshot {
    client: Client,
    shards: Vec<Shard>,
    ranges: Vec<Range>,
}

#[async_trait::async_trait]
impl Snapshot for ShardsSnapshot {
    fn start(&self) -> Position {
        // Where following goes on is said by the marks of the shards.
        Position::new(&[])
    }

    fn ranges(&self) -> Vec<Range> {
        self.ranges.clone()
    }

    async fn read(
        &self,
        range: &Range,
        after: Option<&Position>,
        out: &Sender<Piece>,
    ) -> Result<(), SourceError> {
        let of = |shard: &&Shard| shard.table == range.table && shard.lane() == range.lane;
        let Some(shard) = self.shards.iter().find(of).cloned() else {
            return Err(SourceError::Lost(format!("an index of `{}` is gone", range.table)));
        };
        let from = after.and_then(Position::as_number).unwrap_or(0);
        let (client, out, layout) = (self.client.clone(), out.clone(), Layout::documents());
        blocking(move || {
            let mut pages = Pages::open(&client, &shard, from)?;
            while let Some(page) = pages.next_page()? {
                if out.blocking_send(piece(&shard, &layout, page)).is_err() {
                    break;
                }
            }
            pages.close();
            Ok(())
        })
        .await
    }
}
