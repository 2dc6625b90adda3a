//! Who carries erasures out when their time comes, and keeps their receipts.

use crate::backup::{Backups, Cleaned};
use crate::error::{EngineError, chain};
use model::{Clock, Table, TableId, Timestamp};
use parking_lot::{Condvar, Mutex};
use protection::audit::{AuditLog, Event, EventKind};
use protection::keys::KeyRing;
use protection::{RecordStore, Sealer};
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use storage::{FoundRows, Store, StoreError};

/// The kind of the catalog's records of erasures.
const RECORDS: &str = "erasure";
/// What a receipt's signature is over, before its JSON.
const RECEIPT: &[u8] = b"clerestory erasure receipt v1\n";
/// How often the steward looks whether an erasure is due.
const LOOK: Duration = Duration::from_secs(10);
/// A backup that is not reached is waited for until so long before the deadline.
const LAST_MOMENT_MS: i64 = 10 * 60 * 1000;
const DELETIONS_AT_ONCE: usize = 10_000;

/// An erasure, as it is kept. Of the person it holds a keyed tag and nothing else.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Erasure {
    pub(super) by: String,
    pub(super) reference: String,
    /// Says whether two erasures were of the same typed value, to whoever has the ring.
    pub(super) subject: String,
    pub(super) everywhere: bool,
    pub(super) requested_at: i64,
    pub(super) deadline: i64,
    pub(super) begun_record: u64,
    pub(super) tables: Vec<TableErasure>,
    pub(super) receipt: Option<Receipt>,
}

/// What an erasure does about a backup that it does not reach.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is tried again until the deadline.
    IsWaitedFor,
    /// The receipt names it.
    IsNamed,
}

/// The rows of one table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TableErasure {
    id: u32,
    name: String,
    rows: u64,
    /// Their numbers, until they are out of every file.
    seqs: Vec<u8>,
}

/// What was done, signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// JSON, as it was signed.
    text: String,
    /// Ed25519 over [`RECEIPT`] and the text, in hexadecimal.
    signature: String,
}

impl TableErasure {
    pub(super) fn new(table: &Table, rows: &FoundRows) -> TableErasure {
        let mut seqs = Vec::with_capacity(rows.seqs.serialized_size());
        rows.seqs.serialize_into(&mut seqs).expect("writing to memory does not fail");
        let name = table.name.as_str().to_owned();
        TableErasure { id: table.id.0, name, rows: rows.ids.len() as u64, seqs }
    }
}

/// Carries erasures out.
pub(crate) struct Steward {
    backups: Arc<Backups>,
    store: Arc<Store>,
    sealer: Arc<Sealer>,
    keys: Arc<KeyRing>,
    audit: Arc<AuditLog>,
    clock: Arc<dyn Clock>,
    /// Held by whoever finishes one.
    finishing: Mutex<()>,
    stopping: Mutex<bool>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A steward whose thread ends with it.
pub(crate) struct RunningSteward(Arc<Steward>);

impl std::ops::Deref for RunningSteward {
    type Target = Steward;

    fn deref(&self) -> &Steward {
        &self.0
    }
}

impl Drop for RunningSteward {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Steward {
    /// Begins to look for what is due.
    pub(crate) fn start(
        backups: Arc<Backups>,
        store: Arc<Store>,
        sealer: Arc<Sealer>,
        keys: Arc<KeyRing>,
        audit: Arc<AuditLog>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<RunningSteward> {
        let steward = Arc::new(Steward {
            backups,
            store,
            sealer,
            keys,
            audit,
            clock,
            finishing: Mutex::new(()),
            stopping: Mutex::new(false),
            wake: Condvar::new(),
            thread: Mutex::new(None),
        });
        let of_thread = Arc::clone(&steward);
        let thread = std::thread::Builder::new()
            .name("clerestory-erase".to_owned())
            .spawn(move || of_thread.run())?;
        *steward.thread.lock() = Some(thread);
        Ok(RunningSteward(steward))
    }

    /// Stops looking; an erasure under way goes on at the next start.
    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.wake.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that erases panicked");
        }
    }

    fn run(&self) {
        let mut stopping = self.stopping.lock();
        while !*stopping {
            drop(stopping);
            self.finish_due();
            stopping = self.stopping.lock();
            if !*stopping {
                self.wake.wait_for(&mut stopping, LOOK);
            }
        }
    }

    /// Finishes what has waited half of its time: a few erasures of one day rewrite a segment once.
    fn finish_due(&self) {
        let now = self.clock.now().0;
        let is_due = |erasure: &Erasure| {
            erasure.receipt.is_none()
                && now >= erasure.requested_at + (erasure.deadline - erasure.requested_at) / 2
        };
        let all = match self.all() {
            Ok(all) => all,
            Err(error) => return tracing::error!(%error, "erasures cannot be read"),
        };
        for (id, _) in all.iter().filter(|(_, erasure)| is_due(erasure)) {
            if let Err(error) = self.finish(id, Missing::IsWaitedFor) {
                tracing::error!(erasure = id, %error, detail = error.detail, "erasure not finished");
            }
        }
    }

    /// What stands for the person in receipts: nobody without the ring can tell whom.
    pub(crate) fn subject_tag(&self, person: &str) -> String {
        let tag = self.keys.mac_key("erasure").sign(person.trim().to_lowercase().as_bytes());
        hex(&tag[..16])
    }

    /// Makes an erasure last, before anything of it is done; gives its id.
    pub(super) fn begin(&self, erasure: &Erasure) -> Result<String, EngineError> {
        let _alone = self.finishing.lock();
        let id = format!("{:08}", self.all()?.len() + 1);
        self.put(&id, erasure)?;
        Ok(id)
    }

    /// Takes the rows of an erasure out of every file and every known backup, and signs the receipt.
    pub(super) fn finish(&self, id: &str, missing: Missing) -> Result<(), EngineError> {
        let _alone = self.finishing.lock();
        // A backup that is being made would carry on what goes now.
        let backups = self.backups.alone();
        let mut erasure = self.get(id)?;
        if erasure.receipt.is_some() {
            return Ok(());
        }
        for table in &erasure.tables {
            let seqs = RoaringTreemap::deserialize_from(table.seqs.as_slice())
                .map_err(|_| EngineError::internal("an erasure whose rows do not read"))?;
            let of = TableId(table.id);
            match self.expunge(of, &seqs) {
                // Dropped meanwhile: purged below.
                Err(error) if error.status == 404 => {}
                done => done?,
            }
        }
        let purged = match erasure.everywhere {
            true => self.store.purge_all_dropped()?,
            false => 0,
        };
        self.store.forget_log()?;
        let cleaned = backups.clean()?;
        let all_reached = cleaned.iter().all(|backup| backup.not_reached.is_none());
        let is_late = self.clock.now().0 >= erasure.deadline - LAST_MOMENT_MS;
        if missing == Missing::IsWaitedFor && !all_reached && !is_late {
            return Err(EngineError::unavailable(
                "a backup is not reached; it is tried until the deadline",
            ));
        }
        let rows: u64 = erasure.tables.iter().map(|table| table.rows).sum();
        let event = Event {
            who: erasure.by.clone(),
            tables: erasure.tables.iter().map(|table| table.name.clone()).collect(),
            rows: Some(rows),
            purpose: erasure.reference.clone(),
            subject: id.to_owned(),
            refers_to: Some(protection::audit::RecordId(erasure.begun_record)),
            outcome: outcome_of(&cleaned).to_owned(),
            ..Event::new(EventKind::ErasureDone)
        };
        let record = self.audit.append_durable(&event).map_err(|error| {
            tracing::error!(cause = chain(&error), "audit record not written");
            EngineError::unavailable("the audit record cannot be written")
        })?;
        let done_at = self.clock.now();
        let text = json!({
            "erasure": id,
            "by": erasure.by,
            "reference": erasure.reference,
            "subject": erasure.subject,
            "rows": rows,
            "tables": erasure.tables.iter().map(|table| {
                json!({ "table": table.name, "rows": table.rows })
            }).collect::<Vec<Json>>(),
            "dropped_tables_purged": purged,
            "backups": cleaned.iter().map(|backup| json!({
                "folder": backup.folder,
                "reached": backup.not_reached.is_none(),
                "why_not": backup.not_reached,
            })).collect::<Vec<Json>>(),
            "requested_at": Timestamp(erasure.requested_at).to_rfc3339(),
            "deleted_from_reads_at": Timestamp(erasure.requested_at).to_rfc3339(),
            "out_of_every_file_at": done_at.to_rfc3339(),
            "in_time": done_at.0 <= erasure.deadline,
            "audit_records": [erasure.begun_record, record.0],
            "signed_by": self.keys.verifying_key().to_hex(),
        })
        .to_string();
        let signature = self.keys.signing_key().sign(&signed(&text));
        erasure.receipt = Some(Receipt { text, signature: hex(&signature) });
        erasure.tables.iter_mut().for_each(|table| table.seqs.clear());
        self.put(id, &erasure)?;
        tracing::info!(erasure = id, rows, "rows of a person are out of every file");
        Ok(())
    }

    /// As the steward's thread does when an erasure is due.
    #[cfg(test)]
    pub(crate) fn finish_waiting(&self, id: &str) -> Result<(), EngineError> {
        self.finish(id, Missing::IsWaitedFor)
    }

    fn expunge(&self, table: TableId, seqs: &RoaringTreemap) -> Result<(), EngineError> {
        let _epoch = self.store.hold_epoch();
        // A crash may have come before they were deleted.
        let living = self.store.living(table, seqs)?;
        delete_rows(&self.store, &self.sealer, table, &living)?;
        Ok(self.store.expunge(table, seqs)?)
    }

    pub(super) fn list(&self) -> Result<Json, EngineError> {
        let all = self.all()?;
        Ok(all.iter().rev().map(|(id, erasure)| describe(id, erasure)).collect())
    }

    pub(super) fn show(&self, id: &str) -> Result<Json, EngineError> {
        Ok(describe(id, &self.get(id)?))
    }

    fn all(&self) -> Result<Vec<(String, Erasure)>, EngineError> {
        let records = self.store.catalog().list(RECORDS).map_err(unavailable)?;
        let read = |(id, bytes): (String, Vec<u8>)| {
            let erasure = serde_json::from_slice(&bytes)
                .map_err(|_| EngineError::internal("a record of an erasure that does not read"))?;
            Ok((id, erasure))
        };
        records.into_iter().map(read).collect()
    }

    fn get(&self, id: &str) -> Result<Erasure, EngineError> {
        let found = self.all()?.into_iter().find(|(of, _)| of == id);
        found.map(|(_, erasure)| erasure).ok_or_else(|| {
            let reason = format!("there is no erasure [{}]", id.escape_debug());
            EngineError::new(404, "resource_not_found_exception", reason)
        })
    }

    fn put(&self, id: &str, erasure: &Erasure) -> Result<(), EngineError> {
        let bytes = serde_json::to_vec(erasure).expect("strings and numbers only");
        self.store.catalog().put(RECORDS, id, &bytes).map_err(unavailable)
    }
}

/// Deletes rows by their `_id`s, as they are stored.
pub(super) fn delete_rows(
    store: &Store,
    sealer: &Sealer,
    table: TableId,
    ids: &[String],
) -> Result<(), EngineError> {
    for ids in ids.chunks(DELETIONS_AT_ONCE) {
        loop {
            let known = store.table_by_id(table).ok_or(StoreError::NoTable)?;
            match store.append(table, sealer.deletions(&known, ids), &[]) {
                Err(StoreError::Reruled) => {}
                done => {
                    done?;
                    break;
                }
            }
        }
    }
    Ok(())
}

fn describe(id: &str, erasure: &Erasure) -> Json {
    let receipt = erasure.receipt.as_ref().map(|receipt| {
        let text: Json = serde_json::from_str(&receipt.text).unwrap_or(Json::Null);
        json!({ "receipt": text, "signed_text": receipt.text, "signature": receipt.signature })
    });
    json!({
        "id": id,
        "state": if erasure.receipt.is_some() { "done" } else { "deleted, files follow" },
        "by": erasure.by,
        "reference": erasure.reference,
        "requested_at": Timestamp(erasure.requested_at).to_rfc3339(),
        "deadline": Timestamp(erasure.deadline).to_rfc3339(),
        "rows": erasure.tables.iter().map(|table| table.rows).sum::<u64>(),
        "tables": erasure.tables.iter().map(|table| {
            json!({ "table": table.name, "rows": table.rows })
        }).collect::<Vec<Json>>(),
        "signed": receipt,
    })
}

fn outcome_of(cleaned: &[Cleaned]) -> &'static str {
    match cleaned.iter().all(|backup| backup.not_reached.is_none()) {
        true => "out of every file",
        false => "out of every file but those of backups that were not reached",
    }
}

/// What the signature of a receipt is over.
pub(super) fn signed(text: &str) -> Vec<u8> {
    [RECEIPT, text.as_bytes()].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unavailable(error: protection::RecordError) -> EngineError {
    tracing::error!(cause = chain(&error), "the catalog of erasures failed");
    EngineError::unavailable("the catalog cannot be read or written; check its disk")
}
