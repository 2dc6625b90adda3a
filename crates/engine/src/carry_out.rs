//! What a change does outside the policy: rulings and password resets.

use crate::Engine;
use crate::error::{EngineError, chain};
use crate::ruling::{NewRuling, RulingEffect, RulingPlan};
use protection::caller::{Caller, DirectoryError};
use protection::change::{Change, Edit, Outcome, State};
use protection::grant::Setting;

impl Engine {
    /// An edit with what only the node knows filled in: what a field is before a ruling.
    ///
    /// # Errors
    /// If a ruling makes no sense, or takes no second person; or a target's secret is not there.
    pub(crate) fn checked_edit(&self, by: &Caller, edit: Edit) -> Result<Edit, EngineError> {
        if let Edit::Setting { setting: Setting::Notify, value } = &edit {
            self.check_targets(value)?;
        }
        let Some(wanted) = ruling_of(&edit) else { return Ok(edit) };
        let plan = self.propose_ruling(by, &wanted)?;
        match plan.effect {
            RulingEffect::Widens => Ok(rule_edit(&wanted, &plan)),
            _ => Err(EngineError::illegal_argument(
                "this ruling takes no second person; rule at once with: clerestory rule set",
            )),
        }
    }

    /// Has a ruling wait that lets more be seen: the number of the change.
    pub(crate) fn propose_widening(
        &self,
        by: &Caller,
        wanted: &NewRuling,
        plan: &RulingPlan,
    ) -> Result<u64, EngineError> {
        match self.changes.propose(by, vec![rule_edit(wanted, plan)], &plan.reason)? {
            Outcome::Waiting(change) => Ok(change.id.0),
            Outcome::Applied(_) => Err(EngineError::internal("a ruling was taken for a policy")),
        }
    }

    /// Whether a change would still do what it shows.
    ///
    /// # Errors
    /// 409 if a field was ruled on meanwhile.
    pub(crate) fn check_still(&self, by: &Caller, change: &Change) -> Result<(), EngineError> {
        for edit in &change.edits {
            let (Some(wanted), Edit::Rule { before, .. }) = (ruling_of(edit), edit) else {
                continue;
            };
            if self.propose_ruling(by, &wanted).is_ok_and(|plan| plan.before == *before) {
                continue;
            }
            let reason = format!(
                "[{}] of [{}] was ruled on since this was proposed; propose it again",
                wanted.field, wanted.table
            );
            return Err(EngineError::new(409, "status_exception", reason));
        }
        Ok(())
    }

    /// Does one approved edit.
    ///
    /// # Errors
    /// If it cannot be made durable; it is tried again at the next start.
    pub(crate) fn carry_out_edit(
        &self,
        by: &Caller,
        change: &Change,
        edit: &Edit,
    ) -> Result<(), EngineError> {
        if let Edit::PasswordReset { person } = edit {
            return self.directory.allow_reset(person, &change.proposer).map_err(not_done);
        }
        let (Some(wanted), State::Approved { by: approver, .. }) = (ruling_of(edit), &change.state)
        else {
            return Ok(());
        };
        let is_done = self.store.table(&wanted.table).is_some_and(|table| {
            let field = table.schema.find(&wanted.field);
            field.is_some_and(|(_, field)| field.class == Some(wanted.class) && !field.withheld)
        });
        if is_done {
            return Ok(());
        }
        let both = match *approver == change.proposer {
            true => approver.clone(),
            false => format!("{}, {approver}", change.proposer),
        };
        self.carry_out_ruling(by, &both, &wanted)
    }
}

fn ruling_of(edit: &Edit) -> Option<NewRuling> {
    let Edit::Rule { table, field, class, kind, why, .. } = edit else { return None };
    Some(NewRuling {
        table: table.clone(),
        field: field.clone(),
        class: *class,
        kind: kind.clone(),
        reason: why.clone(),
    })
}

fn rule_edit(wanted: &NewRuling, plan: &RulingPlan) -> Edit {
    Edit::Rule {
        table: plan.table.clone(),
        field: plan.field.clone(),
        before: plan.before.clone(),
        class: plan.class,
        kind: wanted.kind.clone(),
        why: plan.reason.clone(),
    }
}

fn not_done(error: DirectoryError) -> EngineError {
    match error {
        DirectoryError::NoPerson(_) => {
            EngineError::new(404, "resource_not_found_exception", error.to_string())
        }
        error => EngineError::unavailable(chain(&error)),
    }
}
