//! PostgreSQL 13 and later: a snapshot by COPY, then logical replication.
//!
//! Questions go over `tokio-postgres`, replication over the connection of `pg_walstream`, whose
//! frames are read here: its decoder makes an owned string of every value, ours writes cells.
//!
//! At the source stand a replication slot and up to two publications: one for tables whose rows
//! have a key, and one that publishes only insertions, for tables without: there a publication of
//! updates would make the application's own updates fail.

mod connect;
mod describe;
mod follow;
mod pgoutput;
mod snapshot;
mod types;

use crate::{
    CopiedRows, Follow, Layout, Marks, Position, Range, Snapshot, Source, SourceError, SourceTable,
    Wanted,
};
use connect::{Address, TlsMode, ask, failed, literal, quoted, quoted_table};
use describe::PgTable;
use follow::{PgFollow, State, commit_of, drop_slot, lost, slot};
use futures::StreamExt;
use serde::Deserialize;
use snapshot::{PgSnapshot, TableRead, push_line};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio_postgres::Client;
use zeroize::Zeroizing;

/// The oldest server: 13.
const SERVER_MIN: u32 = 130_000;
/// What a slot may keep at the source, unless the copy file says otherwise: 10 GiB.
const LAG_BYTES_MAX: u64 = 10 << 30;

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
    #[serde(default = "lag_bytes_max")]
    lag_bytes_max: u64,
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

/// A PostgreSQL database.
pub(crate) struct Postgres {
    address: Address,
    slot: String,
    publication: String,
    manage: bool,
    lag_bytes_max: u64,
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
        manage: settings.manage,
        lag_bytes_max: settings.lag_bytes_max,
    })
}

impl Postgres {
    async fn tables(&self, client: &Client) -> Result<Vec<PgTable>, SourceError> {
        let version = ask(client, "asking for the version", "SHOW server_version_num").await?;
        let version: u32 = version.first().map_or(0, |row| describe::number(row, 0));
        if version < SERVER_MIN {
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

    /// The publications and their tables.
    fn publications(&self, tables: &[(&Wanted, PgTable)]) -> Vec<(String, &str, Vec<String>)> {
        let names = |with_key: bool| -> Vec<String> {
            let tables = tables.iter().filter(|(wanted, table)| {
                (table.says_rows() && !wanted.key.is_empty()) == with_key
            });
            tables.map(|(wanted, _)| wanted.table.clone()).collect()
        };
        let all = [
            (self.publication.clone(), "insert, update, delete, truncate", names(true)),
            (format!("{}_append", self.publication), "insert", names(false)),
        ];
        all.into_iter().filter(|(.., tables)| !tables.is_empty()).collect()
    }

    /// Makes the publications, or brings them to these tables.
    async fn publish(&self, tables: &[(&Wanted, PgTable)]) -> Result<(), SourceError> {
        let client = self.address.client(self.manage).await?;
        for (name, publish, tables) in self.publications(tables) {
            let sql = format!(
                "SELECT p.puballtables, t.schemaname || '.' || t.tablename \
                 FROM pg_publication p LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname \
                 WHERE p.pubname = {}",
                literal(&name)
            );
            let found = ask(&client, "looking at the publication", &sql).await?;
            let covers_all = found.first().is_some_and(|row| row.get(0) == Some("t"));
            let covered: BTreeSet<&str> = found.iter().filter_map(|row| row.get(1)).collect();
            let is_missing = |table: &&String| !covered.contains(table.as_str());
            if covers_all || (!found.is_empty() && !tables.iter().any(|table| is_missing(&table))) {
                continue;
            }
            let list: Vec<String> = tables.iter().map(|table| quoted_table(table)).collect();
            let list = list.join(", ");
            let name = quoted(&name);
            let sql = match found.is_empty() {
                true => format!(
                    "CREATE PUBLICATION {name} FOR TABLE {list} WITH (publish = '{publish}', \
                     publish_via_partition_root = true)"
                ),
                false => format!("ALTER PUBLICATION {name} SET TABLE {list}"),
            };
            let by_hand = || {
                SourceError::Refused(format!(
                    "the publication has to be made by the owner of its tables: {sql}"
                ))
            };
            if !self.manage {
                return Err(by_hand());
            }
            match ask(&client, "making the publication", &sql).await {
                Ok(_) => {}
                Err(SourceError::Refused(_)) => return Err(by_hand()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Source for Postgres {
    async fn describe(&self) -> Result<Vec<SourceTable>, SourceError> {
        let client = self.address.client(false).await?;
        Ok(self.tables(&client).await?.into_iter().map(|table| table.table).collect())
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
        let mut known = slot(&client, &self.slot).await?;
        if let Some(slot) = &known
            && slot.check(&self.slot).is_err()
        {
            if !self.manage {
                let name = &self.slot;
                return Err(SourceError::Refused(format!(
                    "slot `{name}` was invalidated; let the DBA drop it and make it again: SELECT \
                     pg_create_logical_replication_slot('{name}', 'pgoutput')"
                )));
            }
            drop_slot(&self.address, &self.slot).await?;
            known = None;
        }
        let mut holder = self.address.replication().await?;
        let (name, kind) = match &known {
            Some(_) => {
                // Another, for the moment: only a new slot comes with a view of just its start.
                let id: u64 = std::process::id().into();
                let unique = chrono::Utc::now().timestamp_micros();
                (format!("clerestory_tmp_{id}_{unique}"), "TEMPORARY LOGICAL")
            }
            None if !self.manage => {
                let name = &self.slot;
                return Err(SourceError::Refused(format!(
                    "there is no slot `{name}`; let the DBA make it: SELECT \
                     pg_create_logical_replication_slot('{name}', 'pgoutput')"
                )));
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
            Err(_) => return Err(why_no_slot(&client, &name).await),
        };
        let (Some(point), Some(exported)) = (made.get_value(0, 1), made.get_value(0, 2)) else {
            return Err(SourceError::Broken("a new slot without a snapshot".into()));
        };
        let point = pg_walstream::parse_lsn(&point)
            .map_err(|_| SourceError::Broken("a slot whose place does not read".into()))?;
        let start = known.map_or(point, |known| known.confirmed);
        let mut ranges = before.to_vec();
        let mut reads = HashMap::new();
        for (wanted, table) in &tables {
            reads.insert(wanted.table.clone(), TableRead::of(table, wanted));
            if !ranges.iter().any(|range| range.table == wanted.table) {
                ranges.extend(snapshot::cut(&client, table, &wanted.key).await?);
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
        self.publish(&tables).await?;
        for (wanted, table) in &tables {
            let full = table.identity == 'f';
            if table.says_rows() && !full && !wanted.key.is_empty() && wanted.key != table.table.key
            {
                let name = &wanted.table;
                return Err(SourceError::Refused(format!(
                    "table `{name}`: deletions say its primary key only; make that the key in the \
                     copy file, or run: ALTER TABLE {} REPLICA IDENTITY FULL",
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
        let publications: Vec<String> =
            self.publications(&tables).iter().map(|(name, ..)| quoted(name)).collect();
        let publications = publications.join(",");
        let types = describe::types(&client).await?;
        let mut connection = self.address.replication().await?;
        let slot_name = self.slot.clone();
        let begun = tokio::task::spawn_blocking(move || {
            let options = [("proto_version", "1"), ("publication_names", publications.as_str())];
            let begun = connection.start_replication(&slot_name, start, &options);
            begun.map(|()| connection)
        });
        let begun = begun.await.map_err(|_| SourceError::Broken("replicating panicked".into()))?;
        let connection = begun.map_err(|_| {
            // Whoever used it before may not have noticed yet that its connection is gone.
            SourceError::Unreachable(format!("slot `{}` cannot be read from now", self.slot))
        })?;
        let wanted = tables.into_iter().map(|(wanted, _)| (wanted.table.clone(), wanted.clone()));
        let mut state = State::default();
        (state.reached, state.told, state.acknowledged) = (start, start, start);
        Ok(Box::new(PgFollow {
            connection,
            client,
            address: self.address.clone(),
            slot: self.slot.clone(),
            lag_bytes_max: self.lag_bytes_max,
            types,
            wanted: wanted.collect(),
            marks: marks.clone(),
            state,
        }))
    }

    async fn forget(&self) -> Result<(), SourceError> {
        if !self.manage {
            return Ok(());
        }
        drop_slot(&self.address, &self.slot).await?;
        let client = self.address.client(true).await?;
        for name in [self.publication.clone(), format!("{}_append", self.publication)] {
            let sql = format!("DROP PUBLICATION IF EXISTS {}", quoted(&name));
            ask(&client, "dropping the publication", &sql).await?;
        }
        Ok(())
    }
}

/// What stands in the way of a slot: something that somebody has to change, or only this moment,
/// as when the source was just restarted or its connections broke.
async fn why_no_slot(client: &Client, name: &str) -> SourceError {
    let able = "SELECT current_setting('wal_level') = 'logical'
        AND (SELECT count(*) FROM pg_replication_slots)
            < current_setting('max_replication_slots')::bigint
        AND (SELECT count(*) FROM pg_stat_replication)
            < current_setting('max_wal_senders')::bigint
        AND (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)";
    match client.query_one(able, &[]).await.map(|row| row.get::<_, Option<bool>>(0)) {
        Ok(Some(true)) | Err(_) => {
            SourceError::Unreachable(format!("slot `{name}` could not be made now"))
        }
        Ok(_) => SourceError::Refused(format!(
            "slot `{name}` could not be made: the source needs wal_level = logical, a free place in \
             max_replication_slots and max_wal_senders, and the account REPLICATION"
        )),
    }
}
