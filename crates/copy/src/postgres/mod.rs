//! PostgreSQL 13 and later: a snapshot by COPY, then logical replication.
//!
//! Questions go over `tokio-postgres`, replication over the connection of `pg_walstream`, whose
//! frames are read here: its decoder makes an owned string of every value, ours writes cells.
//!
//! At the source stand a replication slot and up to two publications.

mod connect;
mod describe;
mod follow;
mod pgoutput;
mod publication;
mod rows;
mod slot;
mod snapshot;
mod stream;
mod types;

use crate::{
    CopiedRows, Follow, Lag, Layout, Marks, Position, Range, Snapshot, Source, SourceError,
    SourceTable, Wanted, Watched,
};
use connect::{Address, TlsMode, ask, failed, quoted, quoted_table};
use describe::PgTable;
use engine::Asides;
use follow::{PgFollow, commit_of};
use futures::StreamExt;
use publication::Published;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use slot::{Bound, Kept, LAG_BYTES_MAX, Reading, drop_slot, how_made, lost, slot};
use snapshot::{PgSnapshot, RANGE_ROWS, TableRead, push_line};
use std::collections::HashMap;
use std::sync::Arc;
use stream::STREAM_BYTES_MAX;
use tokio_postgres::Client;
use zeroize::Zeroizing;

/// The oldest server: 13.
const SERVER_MIN: u32 = 130_000;
/// The oldest that streams transactions which still run, and that finds rows by their page.
const SERVER_14: u32 = 140_000;

/// The `source.postgres` part of a copy file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    host: String,
    #[serde(default = "port")]
    port: u16,
    database: String,
    user: String,
    /// Off this machine always `verify`.
    tls: Option<TlsMode>,
    /// A PEM file on the server of Clerestory.
    ca_file: Option<String>,
    slot: Option<String>,
    publication: Option<String>,
    /// False: the DBA made slot and publications; they are not touched.
    #[serde(default = "yes")]
    manage: bool,
    /// Above it the slot is dropped, so that the source's disk does not fill.
    #[serde(default = "lag_bytes_max", deserialize_with = "bytes")]
    lag_bytes_max: u64,
    /// So much of transactions that still run is put aside here; above it, and with 0, they come
    /// when they are committed, and the source keeps them until then.
    #[serde(default = "stream_bytes_max", deserialize_with = "bytes")]
    stream_bytes_max: u64,
    /// About so many rows are a range, which is read again as a whole when it was interrupted.
    #[serde(default = "range_rows")]
    range_rows: u64,
}

fn port() -> u16 {
    5432
}

fn yes() -> bool {
    true
}

fn lag_bytes_max() -> u64 {
    LAG_BYTES_MAX
}

fn stream_bytes_max() -> u64 {
    STREAM_BYTES_MAX
}

fn range_rows() -> u64 {
    RANGE_ROWS
}

/// A number of bytes, or a text such as `10GB`.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    let wrong = || D::Error::custom("bytes are a number, or as `512MB`, `10GB`");
    let text = match Written::deserialize(from).map_err(|_| wrong())? {
        Written::Number(bytes) => return Ok(bytes),
        Written::Text(text) => text,
    };
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "kB" | "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << unit).ok_or_else(wrong)
}

/// A PostgreSQL database.
pub(crate) struct Postgres {
    address: Address,
    slot: String,
    publication: String,
    bound: Bound,
    stream_bytes_max: u64,
    range_rows: u64,
    /// Where transactions that still run are put aside; without, they come when they are committed.
    asides: Option<Asides>,
}

/// Opens the source of a copy file; `copy` is its name, `secret` the password.
pub(crate) fn open(
    settings: Settings,
    copy: &str,
    secret: Option<Zeroizing<Vec<u8>>>,
) -> Result<Postgres, String> {
    let on_loopback = Address::is_loopback(&settings.host);
    let tls = match settings.tls {
        Some(TlsMode::Off) if !on_loopback => {
            return Err("`tls: off` is for a database on this machine; give `ca_file`".to_owned());
        }
        Some(tls) => tls,
        None if on_loopback => TlsMode::Off,
        None => TlsMode::Verify,
    };
    if tls == TlsMode::Verify && settings.ca_file.is_none() {
        return Err("TLS needs `ca_file`: the certificate that signs the server's".to_owned());
    }
    let password = match secret {
        Some(secret) => {
            let text = std::str::from_utf8(&secret).map_err(|_| "the secret is no text")?;
            Some(Arc::new(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())))
        }
        None => None,
    };
    let own: String = copy
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' })
        .collect();
    let slot = settings.slot.unwrap_or_else(|| format!("clerestory_{own}"));
    let is_slot_name = |name: &str| {
        (1..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if !is_slot_name(&slot) {
        return Err("a slot is 1 to 63 small letters, digits and `_`".to_owned());
    }
    Ok(Postgres {
        address: Address {
            host: settings.host,
            port: settings.port,
            database: settings.database,
            user: settings.user,
            password,
            tls,
            ca_file: settings.ca_file,
        },
        publication: settings.publication.unwrap_or_else(|| slot.clone()),
        slot,
        bound: Bound { bytes_max: settings.lag_bytes_max, manage: settings.manage },
        stream_bytes_max: settings.stream_bytes_max,
        range_rows: settings.range_rows.max(1),
        asides: None,
    })
}

impl Postgres {
    /// Has a place for what a transaction that still runs brings.
    pub(crate) fn with_asides(self, asides: Asides) -> Postgres {
        Postgres { asides: Some(asides), ..self }
    }

    async fn tables(&self, client: &Client) -> Result<Vec<PgTable>, SourceError> {
        if version(client).await? < SERVER_MIN {
            let what = "this server is older than PostgreSQL 13, which is the oldest that works";
            return Err(SourceError::Refused(what.to_owned()));
        }
        describe::tables(client, &describe::types(client).await?).await
    }

    /// The wanted tables as they are, in the order that they are wanted in.
    async fn wanted<'w>(
        &self,
        client: &Client,
        wanted: &'w [Wanted],
    ) -> Result<Vec<(&'w Wanted, PgTable)>, SourceError> {
        let mut known: HashMap<String, PgTable> = self
            .tables(client)
            .await?
            .into_iter()
            .map(|table| (table.table.name.clone(), table))
            .collect();
        let mut found = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let Some(table) = known.remove(&wanted.table) else {
                let name = &wanted.table;
                return Err(SourceError::Refused(format!(
                    "table `{name}` is not there any more, or may not be read; take it out of the \
                     copy file, or grant SELECT on it"
                )));
            };
            for key in &wanted.key {
                if !table.table.columns.iter().any(|column| column.name == *key) {
                    let name = &wanted.table;
                    return Err(SourceError::Refused(format!(
                        "table `{name}` has no column `{key}`, which the copy file has as its key"
                    )));
                }
            }
            found.push((wanted, table));
        }
        Ok(found)
    }

    async fn publish(&self, tables: &[(&Wanted, PgTable)]) -> Result<Published, SourceError> {
        let client = self.address.client(self.bound.manage).await?;
        publication::publish(&client, &self.publication, tables, self.bound.manage).await
    }

    /// The slot that is there. One that is of no use any more is dropped, where it is ours.
    async fn usable_slot(&self, client: &Client) -> Result<Option<slot::Slot>, SourceError> {
        let name = &self.slot;
        let by_dba = |what: &str| {
            let made = how_made(name);
            SourceError::Refused(format!("{what}; let the DBA make it: {made}"))
        };
        match slot(client, name).await? {
            Some(known) if known.check(name).is_ok() => Ok(Some(known)),
            Some(_) if !self.bound.manage => Err(by_dba(&format!(
                "slot `{name}` was invalidated: SELECT pg_drop_replication_slot('{name}')"
            ))),
            Some(_) => drop_slot(&self.address, name).await.map(|()| None),
            None if !self.bound.manage => Err(by_dba(&format!("there is no slot `{name}`"))),
            None => Ok(None),
        }
    }
}

async fn version(client: &Client) -> Result<u32, SourceError> {
    let rows = ask(client, "asking for the version", "SHOW server_version_num").await?;
    Ok(rows.first().map_or(0, |row| describe::number(row, 0)))
}

#[async_trait::async_trait]
impl Source for Postgres {
    async fn describe(&self) -> Result<Vec<SourceTable>, SourceError> {
        let client = self.address.client(false).await?;
        Ok(self.tables(&client).await?.into_iter().map(|table| table.table).collect())
    }

    fn is_cheap_to_describe(&self) -> bool {
        true
    }

    async fn sample(
        &self,
        table: &SourceTable,
        rows: usize,
    ) -> Result<(Arc<Layout>, CopiedRows), SourceError> {
        let client = self.address.client(false).await?;
        let types = describe::types(&client).await?;
        let tables = describe::tables(&client, &types).await?;
        let found = tables.into_iter().find(|known| known.table.name == table.name);
        let Some(found) = found else {
            let name = &table.name;
            return Err(SourceError::Refused(format!("table `{name}` is not there any more")));
        };
        let layout = Layout::columns(found.table.columns.clone());
        let mut sampled = CopiedRows::new(layout.width());
        // Pages from all over a large table; of a small one all.
        let known = found.table.rows.unwrap_or(0);
        let percent = (rows as f64 * 400.0 / known.max(1) as f64).min(100.0);
        let from = match known > 10 * rows as u64 && !found.partitioned {
            true => format!("TABLESAMPLE SYSTEM ({percent})"),
            false => String::new(),
        };
        let columns: Vec<String> =
            layout.columns.iter().map(|column| quoted(&column.name)).collect();
        let sql = format!(
            "COPY (SELECT {} FROM {} {from} LIMIT {rows}) TO STDOUT",
            columns.join(", "),
            quoted_table(&table.name)
        );
        let what = "sampling rows";
        let stream = client.copy_out(sql.as_str()).await.map_err(|error| failed(what, &error))?;
        futures::pin_mut!(stream);
        while let Some(line) = stream.next().await {
            push_line(&line.map_err(|error| failed(what, &error))?, &found.types, &mut sampled)?;
        }
        Ok((layout, sampled))
    }

    async fn snapshot(
        &self,
        tables: &[Wanted],
        before: &[Range],
    ) -> Result<Box<dyn Snapshot>, SourceError> {
        let client = self.address.client(false).await?;
        let tables = self.wanted(&client, tables).await?;
        self.publish(&tables).await?;
        let known = self.usable_slot(&client).await?;
        if known.is_none() && !before.is_empty() {
            // What changed since those ranges were read is not known any more.
            return Err(lost(&self.slot, "is not there"));
        }
        let mut holder = self.address.replication().await?;
        let (name, kind) = match &known {
            Some(_) => {
                // Another, for the moment: only a new slot comes with a view of just its start.
                let id: u64 = std::process::id().into();
                let unique = chrono::Utc::now().timestamp_micros();
                (format!("clerestory_tmp_{id}_{unique}"), "TEMPORARY LOGICAL")
            }
            None => (self.slot.clone(), "LOGICAL"),
        };
        let sql =
            format!("CREATE_REPLICATION_SLOT {} {kind} pgoutput EXPORT_SNAPSHOT", quoted(&name));
        let holder = tokio::task::spawn_blocking(move || {
            let made = holder.exec(&sql);
            (holder, made)
        });
        let (holder, made) =
            holder.await.map_err(|_| SourceError::Broken("making a slot panicked".into()))?;
        let made = match made {
            Ok(made) => made,
            Err(_) => return Err(slot::why_none(&client, &name).await),
        };
        let (Some(point), Some(exported)) = (made.get_value(0, 1), made.get_value(0, 2)) else {
            return Err(SourceError::Broken("a new slot without a snapshot".into()));
        };
        let point = pg_walstream::parse_lsn(&point)
            .map_err(|_| SourceError::Broken("a slot whose place does not read".into()))?;
        let start = known.map_or(point, |known| known.confirmed);
        let mut ranges = before.to_vec();
        let mut reads = HashMap::new();
        let can_by_page = version(&client).await? >= SERVER_14;
        for (wanted, table) in &tables {
            reads.insert(wanted.table.clone(), TableRead::of(table, wanted));
            if !ranges.iter().any(|range| range.table == wanted.table) {
                let by_page = can_by_page && !table.partitioned;
                let cut = snapshot::cut(&client, table, &wanted.key, self.range_rows, by_page);
                ranges.extend(cut.await?);
            }
        }
        Ok(Box::new(PgSnapshot {
            address: self.address.clone(),
            start,
            point,
            snapshot: exported,
            _holder: parking_lot::Mutex::new(holder),
            ranges,
            reads,
        }))
    }

    async fn follow(
        &self,
        tables: &[Wanted],
        from: &Position,
        marks: &Marks,
    ) -> Result<Box<dyn Follow>, SourceError> {
        let client = self.address.client(false).await?;
        let tables = self.wanted(&client, tables).await?;
        let published = self.publish(&tables).await?;
        if let Some(table) = published.added.first() {
            // Dropped and made anew, or taken out of the publication by somebody.
            return Err(SourceError::Lost(format!(
                "table `{table}` was not published for a while: changes of it are missing"
            )));
        }
        for (wanted, table) in &tables {
            let said = table.said_by_deletions();
            if table.says_rows() && !wanted.key.iter().all(|column| said.contains(&column)) {
                let name = &wanted.table;
                let said: Vec<&str> = said.into_iter().map(String::as_str).collect();
                return Err(SourceError::Refused(format!(
                    "table `{name}`: deletions say only {}; make that the key in the copy file, or \
                     run: ALTER TABLE {} REPLICA IDENTITY FULL",
                    said.join(", "),
                    quoted_table(name)
                )));
            }
        }
        let start = commit_of(from).unwrap_or(0);
        let Some(known) = slot(&client, &self.slot).await? else {
            return Err(lost(&self.slot, "is not there"));
        };
        known.check(&self.slot)?;
        if known.confirmed > start {
            return Err(lost(&self.slot, "was moved on by somebody else: changes are missing"));
        }
        let publications: Vec<String> = published.names.iter().map(|name| quoted(name)).collect();
        let streams = match &self.asides {
            Some(asides) if self.stream_bytes_max > 0 && version(&client).await? >= SERVER_14 => {
                Some(stream::Streams::new(asides.clone(), self.stream_bytes_max))
            }
            _ => None,
        };
        let types = describe::types(&client).await?;
        let reading = Reading {
            address: self.address.clone(),
            slot: self.slot.clone(),
            bound: self.bound,
            publications: publications.join(","),
        };
        let connection = reading.connect(start, streams.is_some()).await?;
        let wanted = tables.into_iter().map(|(wanted, table)| (table.oid, wanted.clone()));
        let wanted = wanted.collect();
        let following =
            PgFollow::new(reading, connection, client, types, wanted, marks.clone(), start);
        Ok(Box::new(following.with_streams(streams)))
    }

    async fn watch(&self) -> Result<Watched, SourceError> {
        let client = self.address.client(false).await?;
        match self.bound.check(&client, &self.address, &self.slot).await? {
            Kept::Bytes(bytes) => {
                let waiting_max = Some(self.bound.bytes_max);
                Ok(Watched::Keeps(Lag { time: None, waiting: Some(bytes), waiting_max }))
            }
            Kept::Dropped(why) => {
                Ok(Watched::GivenUp(format!("replication slot `{}` {why}", self.slot)))
            }
        }
    }

    async fn forget(&self) -> Result<(), SourceError> {
        if !self.bound.manage {
            return Ok(());
        }
        drop_slot(&self.address, &self.slot).await?;
        publication::drop(&self.address.client(true).await?, &self.publication).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_or_words() {
        let settings = |more: &str| {
            let text = format!("host: h\ndatabase: d\nuser: u\n{more}");
            serde_norway::from_str::<Settings>(&text).map_err(|error| error.to_string())
        };
        let lag = |more: &str| settings(more).unwrap().lag_bytes_max;
        assert_eq!(lag(""), 10 << 30);
        assert_eq!(lag("lag_bytes_max: 17"), 17);
        assert_eq!(lag("lag_bytes_max: 512MB"), 512 << 20);
        assert_eq!(lag("lag_bytes_max: 2 TB"), 2 << 40);
        assert_eq!(settings("stream_bytes_max: 0").unwrap().stream_bytes_max, 0);
        for wrong in ["10 bananas", "GB", "-1", "9999999999TB"] {
            let error = settings(&format!("lag_bytes_max: {wrong}")).unwrap_err();
            assert!(error.contains("`10GB`"), "{wrong}: {error}");
        }
    }
}
