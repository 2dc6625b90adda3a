//! Looking into the audit record; looking is itself recorded.

use crate::Engine;
use crate::error::{EngineError, chain};
use model::Timestamp;
use protection::audit::{AuditFilter, Event, EventKind, Record};
use protection::caller::Caller;
use protection::grant::Action;
use serde_json::{Value as Json, json};

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
        if !self.may_at_all(caller, Action::Audit) {
            return Err(EngineError::forbidden("only a guardian may look into the audit record"));
        }
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
            limit: question.limit,
            ..AuditFilter::default()
        };
        let mut records = self.audit.read(&filter).map_err(|error| {
            tracing::error!(cause = chain(&error), "audit record not readable");
            EngineError::internal(chain(&error))
        })?;
        records.sort_by_key(|record| std::cmp::Reverse(record.id));
        Ok(records.iter().map(to_json).collect())
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
        "refers_to": event.refers_to.map(|id| id.0),
        "outcome": event.outcome,
        "subject": event.subject,
    })
}
