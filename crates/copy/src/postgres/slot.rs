//! The replication slot: what the source keeps for us, and how much that may be.

use super::connect::{Address, ask, literal};
use super::describe::{number, text};
use crate::SourceError;
use pg_walstream::PgReplicationConnection;
use std::time::Duration;
use tokio_postgres::Client;

/// What a slot may keep at the source, unless the copy file says otherwise: 10 GiB.
pub(crate) const LAG_BYTES_MAX: u64 = 10 << 30;

/// A slot as the server has it.
pub(crate) struct Slot {
    pub(crate) confirmed: u64,
    /// Bytes of its log that the server keeps because of it.
    pub(crate) retained: u64,
    status: String,
}

impl Slot {
    /// Whether what we need is still there.
    pub(crate) fn check(&self, name: &str) -> Result<(), SourceError> {
        match self.status.as_str() {
            "lost" => Err(lost(
                name,
                "was invalidated: it kept more than max_slot_wal_keep_size of the source, which \
                 removed what it still needed",
            )),
            _ => Ok(()),
        }
    }
}

/// How much a slot may keep, and whether it is ours to drop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) bytes_max: u64,
    /// False: the DBA made the slot, and drops it.
    pub(crate) manage: bool,
}

/// What a look at a slot came to.
pub(crate) enum Kept {
    /// So many bytes are kept.
    Bytes(u64),
    /// It was too much, and the slot was dropped.
    Dropped(String),
}

impl Bound {
    /// Looks how much a slot keeps. Above the bound it is dropped, so that the source's disk does
    /// not fill; one that the DBA made is left, and the state of the copy says how much it keeps.
    pub(crate) async fn check(
        self,
        client: &Client,
        address: &Address,
        name: &str,
    ) -> Result<Kept, SourceError> {
        let Some(kept) = slot(client, name).await? else { return Err(lost(name, "was dropped")) };
        kept.check(name)?;
        if !self.manage || kept.retained <= self.bytes_max {
            return Ok(Kept::Bytes(kept.retained));
        }
        end_reader(client, name).await?;
        drop_slot(address, name).await?;
        Ok(Kept::Dropped(format!(
            "kept {} bytes at the source, above lag_bytes_max {}, and was dropped so that the \
             source's disk does not fill",
            kept.retained, self.bytes_max
        )))
    }

    /// Drops a slot whose changes cannot be used any more, where it is ours.
    pub(crate) async fn give_up(
        self,
        client: &Client,
        address: &Address,
        name: &str,
        why: &str,
    ) -> Result<SourceError, SourceError> {
        end_reader(client, name).await?;
        if !self.manage {
            let made = how_made(name);
            return Ok(SourceError::Refused(format!(
                "replication slot `{name}` {why}; let the DBA make it anew: SELECT \
                 pg_drop_replication_slot('{name}'); {made}"
            )));
        }
        drop_slot(address, name).await?;
        Ok(lost(name, why))
    }
}

/// What is read, and where.
pub(crate) struct Reading {
    pub(crate) address: Address,
    pub(crate) slot: String,
    pub(crate) bound: Bound,
    /// Quoted, with commas between them.
    pub(crate) publications: String,
}

impl Reading {
    /// Has the server send what happens after `start`.
    pub(crate) async fn connect(
        &self,
        start: u64,
        streams: bool,
    ) -> Result<PgReplicationConnection, SourceError> {
        let mut connection = self.address.replication().await?;
        let (slot, publications) = (self.slot.clone(), self.publications.clone());
        let begun = tokio::task::spawn_blocking(move || {
            let mut options =
                vec![("proto_version", "1"), ("publication_names", publications.as_str())];
            if streams {
                options[0].1 = "2";
                options.push(("streaming", "on"));
            }
            connection.start_replication(&slot, start, &options).map(|()| connection)
        });
        let begun = begun.await.map_err(|_| SourceError::Broken("replicating panicked".into()))?;
        begun.map_err(|_| {
            // Whoever used it before may not have noticed yet that its connection is gone.
            SourceError::Unreachable(format!("slot `{}` cannot be read from now", self.slot))
        })
    }
}

/// Looks a slot up; `None` if there is none.
pub(crate) async fn slot(client: &Client, name: &str) -> Result<Option<Slot>, SourceError> {
    let sql = format!(
        "SELECT coalesce(pg_wal_lsn_diff(confirmed_flush_lsn, '0/0'), 0)::int8, \
                coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::int8, \
                coalesce(wal_status, ''), plugin, \
                database = current_database() \
         FROM pg_replication_slots WHERE slot_name = {}",
        literal(name)
    );
    let rows = ask(client, "looking at the slot", &sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    if text(row, 3) != "pgoutput" || text(row, 4) != "t" {
        let what = format!("slot `{name}` is not a slot of pgoutput in this database");
        return Err(SourceError::Refused(format!("{what}; name another one")));
    }
    Ok(Some(Slot { confirmed: number(row, 0), retained: number(row, 1), status: text(row, 2) }))
}

/// Ends the connection that reads from a slot, if there is one.
pub(crate) async fn end_reader(client: &Client, name: &str) -> Result<(), SourceError> {
    let sql = format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
         WHERE slot_name = {} AND active_pid IS NOT NULL",
        literal(name)
    );
    ask(client, "ending the replication", &sql).await?;
    Ok(())
}

/// Drops a slot; none is good, too.
pub(crate) async fn drop_slot(address: &Address, name: &str) -> Result<(), SourceError> {
    let client = address.client(true).await?;
    let sql = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
         WHERE slot_name = {}",
        literal(name)
    );
    // The walsender that was just ended may hold it for a moment.
    for _ in 0..20 {
        match ask(&client, "dropping the slot", &sql).await {
            Ok(_) => return Ok(()),
            Err(SourceError::Broken(_)) => tokio::time::sleep(Duration::from_millis(250)).await,
            Err(error) => return Err(error),
        }
    }
    Err(SourceError::Unreachable(format!("slot `{name}` is in use and could not be dropped")))
}

pub(crate) fn lost(slot: &str, why: &str) -> SourceError {
    SourceError::Lost(format!("replication slot `{slot}` {why}"))
}

/// What stands in the way of a slot: something that somebody has to change, or only this moment,
/// as when the source was just restarted or its connections broke.
pub(crate) async fn why_none(client: &Client, name: &str) -> SourceError {
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

/// What the DBA runs to make a slot.
pub(crate) fn how_made(name: &str) -> String {
    format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
}
