//! Looking into the audit record; looking is itself recorded.

use crate::Engine;
use crate::error::{EngineError, chain};
use model::Timestamp;
use protection::audit::merkle::hash_to_hex;
use protection::audit::{
    AuditError, AuditFilter, Documents, Event, EventKind, Record, RecordId, SinkStatus, TableRead,
};
use protection::caller::Caller;
use protection::grant::{Action, Setting};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Which records are wanted. Empty fields want everything.
#[derive(Clone, Debug, Default)]
pub struct AuditQuestion {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// Of this account.
    pub who: Option<String>,
    /// About this table.
    pub table: Option<String>,
    /// Of this kind, such as `read_intent`.
    pub kind: Option<String>,
    /// Only this record and those that refer to it, by number.
    pub about: Option<u64>,
    /// The newest so many.
    pub limit: usize,
}

impl Engine {
    /// How many records the audit record has; `None` if the caller may not look into it.
    pub fn audit_length(&self, caller: &Caller) -> Option<u64> {
        self.may_at_all(caller, Action::Audit).then(|| self.audit.len())
    }

    /// The newest records that fit, newest first.
    ///
    /// # Errors
    /// If the caller may not audit, a kind is unknown, or the record cannot be read or written.
    pub fn audit_show(
        &self,
        caller: &Caller,
        question: &AuditQuestion,
    ) -> Result<Vec<Json>, EngineError> {
        self.may_audit(caller)?;
        let kind = match &question.kind {
            None => None,
            Some(word) => Some(EventKind::parse(word).ok_or_else(|| {
                EngineError::illegal_argument(format!("there is no audit event of kind [{word}]"))
            })?),
        };
        self.record(&Event {
            policy: self.policies.version(),
            action: Some(Action::Audit),
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::AuditRead, caller)
        })?;
        let filter = AuditFilter {
            since: question.from,
            until: question.to,
            who: question.who.clone(),
            table: question.table.clone(),
            kinds: kind.into_iter().collect(),
            about: question.about.map(RecordId),
            limit: question.limit,
        };
        let mut records = self.audit.read(&filter).map_err(|error| {
            tracing::error!(cause = chain(&error), "audit record not readable");
            EngineError::internal(chain(&error))
        })?;
        records.sort_by_key(|record| std::cmp::Reverse(record.id));
        Ok(records.iter().map(to_json).collect())
    }
}

/// What anybody who watches over the record has to know of it.
#[derive(Clone, Debug)]
pub struct AuditState {
    /// The last checkpoint, a signed note.
    pub checkpoint: Option<String>,
    /// The public key of the checkpoints, with their name.
    pub verifier: String,
    /// Each folder of the record, and what is wrong with it.
    pub sinks: Vec<(String, Option<String>)>,
}

/// What is to be proven.
#[derive(Clone, Copy, Debug)]
pub enum AuditProof {
    /// The first `old` records of the first `new` ones are what they were.
    Consistency {
        /// So many then.
        old: u64,
        /// So many now.
        new: u64,
    },
    /// A record is among the first `size`.
    Inclusion {
        /// Its number.
        record: u64,
        /// So many are looked at.
        size: u64,
    },
}

impl Engine {
    /// How the record is. Nothing of what stands in it, so that is not recorded.
    ///
    /// # Errors
    /// If the caller may not audit.
    pub fn audit_state(&self, caller: &Caller) -> Result<AuditState, EngineError> {
        self.may_audit(caller)?;
        let sink = |sink: SinkStatus| (sink.dir.display().to_string(), sink.trouble);
        Ok(AuditState {
            checkpoint: self.audit.checkpoint_note(),
            verifier: self.audit.verifier(),
            sinks: self.audit.sinks().into_iter().map(sink).collect(),
        })
    }

    /// A proof over the hash tree, in hexadecimal; with the hash of the record if that is asked.
    ///
    /// # Errors
    /// If the caller may not audit, or the record does not reach so far.
    pub fn audit_proof(
        &self,
        caller: &Caller,
        asked: AuditProof,
    ) -> Result<(Option<String>, Vec<String>), EngineError> {
        self.may_audit(caller)?;
        let made = match asked {
            AuditProof::Consistency { old, new } => {
                self.audit.consistency_proof(old, new).map(|proof| (None, proof))
            }
            AuditProof::Inclusion { record, size } => {
                let made = self.audit.inclusion_proof(RecordId(record), size);
                made.map(|(leaf, proof)| (Some(hash_to_hex(&leaf)), proof))
            }
        };
        let (leaf, proof) = made.map_err(|error| match error {
            AuditError::NoSuchRecord(_) => EngineError::illegal_argument(error.to_string()),
            error => EngineError::internal(chain(&error)),
        })?;
        Ok((leaf, proof.iter().map(hash_to_hex).collect()))
    }

    /// Has the record written into the folders that the policy in force names. Asked before every
    /// read, and cheap: it looks at one number.
    pub(crate) fn follow_audit_sinks(&self) {
        let version = self.policies.version();
        if self.audit_follows.swap(version, Ordering::AcqRel) != version {
            let sinks = self.policies.current().settings().entries(Setting::AuditSinks);
            self.audit.set_copies(sinks.into_iter().map(PathBuf::from).collect());
        }
    }

    fn may_audit(&self, caller: &Caller) -> Result<(), EngineError> {
        if self.may_at_all(caller, Action::Audit) {
            return Ok(());
        }
        Err(EngineError::forbidden("only a guardian may look into the audit record"))
    }
}

/// Which documents, in short: how many, or up to which number all that fit.
fn read_json(read: &TableRead) -> Json {
    match &read.documents {
        Documents::Rows(rows) => json!({ "table": read.table, "documents": rows.len() }),
        Documents::AllBelow(end) => json!({ "table": read.table, "all_below": end }),
    }
}

fn to_json(record: &Record) -> Json {
    let event = &record.event;
    let fields: Vec<Json> = event
        .fields
        .iter()
        .map(|touched| {
            json!({
                "table": touched.table,
                "field": touched.field,
                "class": touched.class.map(|class| class.as_str()),
                "how": touched.how.map(|how| how.as_str()),
            })
        })
        .collect();
    json!({
        "id": record.id.0,
        "@timestamp": record.at.to_rfc3339(),
        "kind": event.kind.as_str(),
        "who": event.who,
        "credential": event.credential,
        "policy": event.policy,
        "action": event.action.map(|action| action.as_str()),
        "tables": event.tables,
        "shape": event.shape,
        "fields": fields,
        "rows": event.rows,
        "bytes": event.bytes,
        "times": event.times,
        "read": event.read.iter().map(read_json).collect::<Vec<Json>>(),
        "subjects": event.subjects,
        "refers_to": event.refers_to.map(|id| id.0),
        "purpose": event.purpose,
        "outcome": event.outcome,
        "subject": event.subject,
    })
}
