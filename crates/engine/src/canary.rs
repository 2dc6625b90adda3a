//! Rows that no honest question gives out: marking them, and which they are.

use crate::Engine;
use crate::error::EngineError;
use protection::audit::{Documents, Event, EventKind, TableRead};
use protection::caller::Caller;
use protection::grant::Action;
use serde_json::{Value as Json, json};

impl Engine {
    /// The rows that are marked, for those who may open incidents: nobody else knows.
    ///
    /// # Errors
    /// If the caller may not.
    pub fn canaries(&self, by: &Caller) -> Result<Json, EngineError> {
        self.may(by, Action::Incident, None)?;
        let shown = |canary: &protection::Canary| {
            json!({
                "table": canary.table,
                "row": canary.row,
                "by": canary.by,
                "at": canary.at.to_rfc3339(),
            })
        };
        let canaries: Vec<Json> = self.canaries.list().iter().map(shown).collect();
        Ok(json!({ "canaries": canaries }))
    }

    /// Marks the row that `id` names: from now on whoever is given it raises the alarm. The look at
    /// it is an ordinary read of the caller's. A newer version of the row is another row.
    ///
    /// # Errors
    /// If the caller may not open incidents or read the table, there is no such row (404), or it
    /// cannot be recorded.
    pub fn mark_canary(&self, by: &Caller, table: &str, id: &str) -> Result<Json, EngineError> {
        self.may(by, Action::Incident, None)?;
        let found = self.get_document(by, table, id, &[], &[])?.into_inner();
        let (Some(row), Some(table)) = (found["_seq_no"].as_u64(), found["_index"].as_str()) else {
            let reason = format!("there is no row of this id in [{table}]");
            return Err(EngineError::new(404, "resource_not_found_exception", reason));
        };
        let read = TableRead {
            table: table.to_owned(),
            documents: Documents::Rows([row].into_iter().collect()),
        };
        self.record(&Event {
            policy: self.policies.version(),
            tables: vec![table.to_owned()],
            read: vec![read],
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::CanaryMarked, by)
        })?;
        let marked = self.canaries.mark(by, table, row, self.clock.now());
        let is_new = marked.map_err(|error| EngineError::unavailable(error.to_string()))?;
        Ok(json!({ "table": table, "row": row, "new": is_new }))
    }
}
