//! Breaking the glass: one person, one hour, everybody is told.

use super::apply::{apply, difference};
use super::record::{begin, end, event};
use super::standing::{check_reason, ended, glass_mark};
use super::workflow::DAY_MS;
use super::{Change, ChangeError, Changes, Edit, State, lines_of};
use crate::audit::{Event, EventKind};
use crate::caller::{Caller, PresenceProof};
use crate::grant::{Action, Classes, Grant, Setting, Tables, Who};
use model::{Class, Timestamp};

const HOUR_MS: i64 = 60 * 60 * 1000;

/// What somebody wants to read by breaking the glass.
#[derive(Clone, Debug)]
pub struct Glass {
    /// Where; not everywhere.
    pub tables: Tables,
    /// Up to which class; special at most.
    pub class_max: Class,
}

impl Glass {
    /// What a [`PresenceProof`] for it is about.
    pub const PRESENCE: &str = "break glass";
}

impl Changes {
    /// Reads alone for an hour, while everybody is told.
    ///
    /// # Errors
    /// If that is switched off or not granted, wants too much, comes twice a day, or cannot be
    /// recorded.
    pub fn break_glass(
        &self,
        by: &Caller,
        glass: &Glass,
        why: &str,
        proof: PresenceProof,
    ) -> Result<Change, ChangeError> {
        let now = self.clock.now();
        check_reason(why)?;
        if by.is_expired(now) {
            return Err(ChangeError::CallerExpired);
        }
        if !by.is_person() {
            return Err(ChangeError::NotAPerson);
        }
        let policy = self.policies.current();
        let is_on = policy.settings().flag(Setting::BreakGlass);
        if !is_on || !by.may(Action::BreakGlass, now) {
            return Err(ChangeError::NoGlass);
        }
        if glass.class_max > Class::Special || glass.tables == Tables::All {
            return Err(ChangeError::GlassTooWide);
        }
        let is_proven = proof.covers(by.name(), Glass::PRESENCE, now);
        drop(proof);
        if !is_proven {
            return Err(ChangeError::NotPresent);
        }
        let mut known = self.state.lock();
        let lately = |change: &Change| matches!(change.state, State::BrokenGlass { at, .. } if now.0 < at.0 + DAY_MS);
        if known.changes.values().any(|change| change.proposer == by.name() && lately(change)) {
            return Err(ChangeError::GlassAgain);
        }
        let who = Who::Person(by.name().to_owned());
        let classes = Classes::up_to(glass.class_max);
        let grant = Grant {
            until: Some(Timestamp(now.0.saturating_add(HOUR_MS))),
            ..Grant::new(who, glass.tables.clone(), Action::Read, classes)
        };
        grant.check()?;
        let edits = vec![Edit::Grant(grant)];
        let shown = difference(&policy, &edits, now)?;
        let mut change = Change {
            id: known.next_id(),
            why: why.trim().to_owned(),
            proposer: by.name().to_owned(),
            credential: by.credential().to_owned(),
            proposed_at: now,
            base: policy.version(),
            decide_by: now,
            confirm_from: None,
            effect: lines_of(&shown),
            beneficiaries: shown.beneficiaries,
            state: State::Waiting,
            edits,
        };
        let event = Event {
            purpose: change.why.clone(),
            ..event(EventKind::GlassBroken, by, &change.edits, Some(change.id))
        };
        let begun = begin(&self.log, &event).ok_or(ChangeError::NotRecorded)?;
        let made_by = glass_mark(change.id);
        change.state = State::Approved { by: change.proposer.clone(), at: now };
        let done = self.keep(&mut known, change.clone()).and_then(|()| {
            self.policies.update(&made_by, now, |policy| apply(policy, &change.edits, now))
        });
        end(&self.log, event, Some(begun), ended(&done));
        change.state = match &done {
            Ok(made) => State::BrokenGlass { at: now, version: made.version() },
            Err(_) => State::Withdrawn { at: now },
        };
        self.keep_in_force(&mut known, change.clone());
        done?;
        tracing::warn!(
            change = change.id.0,
            "somebody broke the glass and reads alone for an hour"
        );
        Ok(change)
    }
}
