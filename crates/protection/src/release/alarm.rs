//! What is raised when somebody takes more than they have a reason to.

use super::Denied;
use super::canary::Canaries;
use crate::audit::{AuditLog, Event, EventKind, RecordId, TableRead};
use crate::caller::Caller;
use crate::notice::{NoticeKind, Notices};
use model::Timestamp;
use std::fmt;
use std::sync::Arc;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Who raises the alarm: in the audit record, in the log, and by a notice.
#[derive(Clone, Default)]
pub(super) struct Alarm {
    /// `None`: only record and log.
    pub(super) notices: Option<Arc<Notices>>,
    pub(super) canaries: Arc<Canaries>,
}

impl Alarm {
    /// Tells that a canary goes out. Durable before the answer leaves.
    ///
    /// # Errors
    /// If record or notice cannot be made durable; then nothing may leave.
    pub(super) fn canary_read(
        &self,
        log: &AuditLog,
        caller: &Caller,
        read: Vec<TableRead>,
        intent: RecordId,
    ) -> Result<(), Denied> {
        if read.is_empty() {
            return Ok(());
        }
        let tables: Vec<String> = read.iter().map(|read| read.table.clone()).collect();
        let who = caller.name();
        let text = format!(
            "{who} was given a canary of {} (audit record {intent}): nobody has a reason to read \
             it. See: clerestory audit show --who {who}",
            tables.join(", ")
        );
        tracing::error!(record = intent.0, "a canary is given out");
        let event = Event {
            tables,
            read,
            refers_to: Some(intent),
            outcome: "released".to_owned(),
            ..Event::by(EventKind::CanaryRead, caller)
        };
        log.append_durable(&event).map_err(Denied::AuditUnavailable)?;
        match &self.notices {
            None => Ok(()),
            Some(notices) => notices
                .raise(NoticeKind::Canary, who, text)
                .map(drop)
                .map_err(Denied::AlarmUnavailable),
        }
    }

    /// Tells that somebody used up a quota, once for each day.
    pub(super) fn quota_tripped(
        &self,
        log: &AuditLog,
        caller: &Caller,
        denied: &Denied,
        now: Timestamp,
    ) {
        let Denied::Quota { quota, .. } = denied else { return };
        let who = caller.name();
        let is_new = self.notices.as_ref().is_none_or(|notices| {
            let about = format!("{who}, day {}", now.0.div_euclid(DAY_MS));
            let text = format!(
                "{who} used up a quota of {quota}, and asks for more. See: clerestory audit show \
                 --who {who}"
            );
            notices.raise(NoticeKind::Quota, &about, text).unwrap_or_else(|error| {
                tracing::error!(%error, "the notice of a used-up quota is not written down");
                true
            })
        });
        if !is_new {
            return;
        }
        tracing::warn!("a quota is used up");
        let outcome = format!("{quota} used up");
        let event = Event { outcome, ..Event::by(EventKind::QuotaTripped, caller) };
        if let Err(error) = log.append(&event) {
            tracing::error!(%error, "a used-up quota is not recorded");
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alarm({:?})", self.canaries)
    }
}
