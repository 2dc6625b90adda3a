use super::apply::{apply, difference, with_ends};
use super::record::{begin, end, event, has_a_say};
use super::standing::{
    approvers_beside, check_reason, ended, finish_after_crash, mark_of, notice_of, seen_now,
};
use super::{Change, ChangeError, ChangeId, Edit, State, lines_of, record};
use crate::audit::{AuditLog, Event, EventKind};
use crate::caller::{Caller, PresenceProof};
use crate::grant::{Action, Difference, Policies, Policy};
use crate::notice::Notices;
use crate::records::{RecordError, RecordStore};
use model::{Clock, Timestamp};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Who may approve counts for so long after losing that right: see [`Changes::confirm_from`].
const RECENT_MS: i64 = 7 * DAY_MS;
const EDITS_MAX: usize = 100;

/// All changes of a node: proposed, decided, in force.
pub struct Changes {
    pub(super) policies: Arc<Policies>,
    pub(super) log: Arc<AuditLog>,
    records: Arc<dyn RecordStore>,
    notices: Arc<Notices>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Mutex<Known>,
}

pub(super) struct Known {
    pub(super) changes: BTreeMap<ChangeId, Change>,
}

impl Known {
    pub(super) fn next_id(&self) -> ChangeId {
        ChangeId(self.changes.keys().next_back().map_or(0, |id| id.0) + 1)
    }
}

/// What became of a proposal.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is in force: it widens nothing, or there is nothing to widen yet.
    Applied(Arc<Policy>),
    /// It waits for somebody else.
    Waiting(Box<Change>),
}

/// A change that was approved.
#[derive(Clone, Debug)]
pub struct Decided {
    /// What it is now. If it is [`State::Approved`], whoever carries it out says so with
    /// [`Changes::carried_out`].
    pub change: Change,
}

impl Changes {
    /// Reads all changes; who has to know of one is told by `notices`.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub fn open(
        policies: Arc<Policies>,
        log: Arc<AuditLog>,
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        notices: Arc<Notices>,
    ) -> Result<Changes, RecordError> {
        let mut changes = record::list(&*records)?;
        let history = policies.history();
        for change in changes.values_mut() {
            finish_after_crash(change, &history);
        }
        let state = Mutex::new(Known { changes });
        Ok(Changes { policies, log, records, notices, clock, state })
    }

    /// Puts edits in force if they widen nothing, else has them wait for a second person.
    ///
    /// # Errors
    /// [`ChangeError`] says what to do instead.
    pub fn propose(
        &self,
        by: &Caller,
        edits: Vec<Edit>,
        why: &str,
    ) -> Result<Outcome, ChangeError> {
        let now = self.clock.now();
        check_reason(why)?;
        self.check_proposer(by, &edits, now)?;
        let policy = self.policies.current();
        if edits.iter().any(Edit::is_elsewhere) {
            // These never are a tightening: what is one was not proposed but done.
            let effect = edits.iter().map(Edit::to_string).collect();
            difference(&policy, &edits, now)?;
            return self.wait(by, edits, why, effect, BTreeSet::new(), &policy, now);
        }
        let is_founding = self.policies.is_founding();
        let edits = if is_founding { edits } else { with_ends(&policy, edits, now)? };
        let mut next = Policy::clone(&policy);
        apply(&mut next, &edits, now)?;
        if next.says_the_same_as(&policy) {
            return Err(ChangeError::NoEffect);
        }
        let difference = Difference::between(&policy, &next, now);
        if is_founding || difference.is_tightening() {
            return self.apply_at_once(by, &edits, now).map(Outcome::Applied);
        }
        let effect = lines_of(&difference);
        self.wait(by, edits, why, effect, difference.beneficiaries, &policy, now)
    }

    fn check_proposer(
        &self,
        by: &Caller,
        edits: &[Edit],
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        if by.is_expired(now) {
            return Err(ChangeError::CallerExpired);
        }
        if edits.is_empty() || edits.len() > EDITS_MAX {
            return Err(ChangeError::NoEdit);
        }
        if edits.len() > 1 && edits.iter().any(Edit::is_elsewhere) {
            return Err(ChangeError::Mixed);
        }
        let may = |edit: &Edit| match edit {
            Edit::Rule { .. } | Edit::AddRules(_) | Edit::RemoveRule(_) => {
                by.may(Action::Rule, now)
            }
            Edit::PasswordReset { .. } => by.may(Action::ManagePeople, now),
            _ => has_a_say(by, now),
        };
        if edits.iter().all(may) { Ok(()) } else { Err(ChangeError::MayNotPropose) }
    }

    /// Puts in force what widens nothing, whether that can be recorded now or later.
    fn apply_at_once(
        &self,
        by: &Caller,
        edits: &[Edit],
        now: Timestamp,
    ) -> Result<Arc<Policy>, ChangeError> {
        let event = event(EventKind::PolicyChanged, by, edits, None);
        let is_founding = self.policies.is_founding();
        let begun = begin(&self.log, &event);
        if is_founding && begun.is_none() {
            return Err(ChangeError::NotRecorded);
        }
        let made_by = format!("{} with {}", by.name(), by.credential());
        let made = self.policies.update(&made_by, now, |policy| {
            let before = policy.clone();
            apply(policy, edits, now)?;
            // The policy may have moved since it was looked at.
            let still = is_founding || Difference::between(&before, policy, now).is_tightening();
            if still { Ok(()) } else { Err(ChangeError::NotWhatWasSeen) }
        });
        let outcome = ended(&made);
        let version = made.as_ref().map_or(0, |policy| policy.version());
        end(&self.log, Event { policy: version, ..event }, begun, outcome);
        made
    }

    #[expect(clippy::too_many_arguments, reason = "what a change is made of")]
    fn wait(
        &self,
        by: &Caller,
        edits: Vec<Edit>,
        why: &str,
        effect: Vec<String>,
        beneficiaries: BTreeSet<String>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Outcome, ChangeError> {
        let confirm_from = self.confirm_from(by.name(), policy, now);
        let others = approvers_beside(by.name(), policy, now);
        if confirm_from.is_none() && others.is_subset(&beneficiaries) {
            return Err(ChangeError::NobodyToApprove);
        }
        let mut known = self.state.lock();
        let change = Change {
            id: known.next_id(),
            why: why.trim().to_owned(),
            proposer: by.name().to_owned(),
            credential: by.credential().to_owned(),
            proposed_at: now,
            base: policy.version(),
            decide_by: Timestamp(confirm_from.unwrap_or(now).0.saturating_add(DAY_MS)),
            confirm_from,
            effect,
            beneficiaries,
            state: State::Waiting,
            edits,
        };
        let event = Event {
            policy: policy.version(),
            purpose: change.why.clone(),
            ..event(EventKind::ChangeProposed, by, &change.edits, Some(change.id))
        };
        let begun = begin(&self.log, &event).ok_or(ChangeError::NotRecorded)?;
        let kept = self.keep(&mut known, change.clone());
        end(&self.log, event, Some(begun), ended(&kept));
        kept?;
        Ok(Outcome::Waiting(Box::new(change)))
    }

    /// From when on `proposer` may confirm a change alone; `None` where somebody else may approve.
    ///
    /// Whoever could approve within the last seven days counts as if still there, for as long:
    /// else one could get rid of all others, which is a tightening, and be alone.
    fn confirm_from(&self, proposer: &str, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        if !approvers_beside(proposer, policy, now).is_empty() {
            return None;
        }
        let history = self.policies.history();
        let mut from = now.0.saturating_add(DAY_MS);
        let recent = Timestamp(now.0.saturating_sub(RECENT_MS));
        for (version, since, until) in history.versions() {
            let until = until.unwrap_or(now);
            // As seen when it ended: memberships may have ended before.
            let others = approvers_beside(proposer, version, since.max(recent));
            if until > recent && !others.is_empty() {
                from = from.max(until.0.saturating_add(RECENT_MS));
            }
        }
        Some(Timestamp(from))
    }

    /// All changes, the newest first; with what became of those that nobody decided.
    ///
    /// # Errors
    /// If the caller has no say in changes.
    pub fn list(&self, by: &Caller) -> Result<Vec<Change>, ChangeError> {
        let now = self.clock.now();
        self.check_reader(by, now)?;
        let changes: Vec<Change> = self.state.lock().changes.values().rev().cloned().collect();
        let policy = self.policies.current();
        Ok(changes.into_iter().map(|change| seen_now(change, &policy, now)).collect())
    }

    /// One change, and the mark of what it shows: an approval has to carry it.
    ///
    /// # Errors
    /// If the caller has no say in changes, or there is none with this number.
    pub fn show(&self, by: &Caller, id: ChangeId) -> Result<(Change, String), ChangeError> {
        let now = self.clock.now();
        self.check_reader(by, now)?;
        let change = self.state.lock().changes.get(&id).cloned();
        let change =
            seen_now(change.ok_or(ChangeError::NoChange(id))?, &self.policies.current(), now);
        let mark = mark_of(&change);
        Ok((change, mark))
    }

    /// Whether the caller has a say in changes: proposes, decides, looks on.
    fn check_reader(&self, by: &Caller, now: Timestamp) -> Result<(), ChangeError> {
        if by.is_expired(now) {
            return Err(ChangeError::CallerExpired);
        }
        let may = has_a_say(by, now) || by.may(Action::Rule, now) || by.may(Action::Audit, now);
        if may { Ok(()) } else { Err(ChangeError::MayNotDecide) }
    }

    /// Approves a change that `by` has seen as `mark` says, and puts it in force; or confirms
    /// one's own where nobody else can and the time has come.
    ///
    /// # Errors
    /// [`ChangeError`] says who may, or what to do. Nothing is in force then.
    pub fn approve(
        &self,
        by: &Caller,
        id: ChangeId,
        mark: &str,
        proof: PresenceProof,
    ) -> Result<Decided, ChangeError> {
        let now = self.clock.now();
        let mut known = self.state.lock();
        let change = self.waiting(&known, id, now)?;
        self.check_approver(by, &change, now)?;
        // Taken by value: a proof is good for one step.
        let is_proven = proof.covers(by.name(), &id.presence(), now);
        let method = proof.method().as_str();
        drop(proof);
        if !is_proven {
            return Err(ChangeError::NotPresent);
        }
        if mark != mark_of(&change) {
            return Err(ChangeError::NotWhatWasSeen);
        }
        let event = Event {
            policy: self.policies.version(),
            purpose: format!("present by {method}"),
            ..event(EventKind::ChangeApproved, by, &change.edits, Some(id))
        };
        let begun = begin(&self.log, &event).ok_or(ChangeError::NotRecorded)?;
        let decided = self.put_in_force(&mut known, by, change, now);
        end(&self.log, event, Some(begun), ended(&decided));
        decided
    }

    fn check_approver(
        &self,
        by: &Caller,
        change: &Change,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        if by.is_expired(now) {
            return Err(ChangeError::CallerExpired);
        }
        if !by.is_person() {
            return Err(ChangeError::NotAPerson);
        }
        if by.name() == change.proposer {
            let from = change.confirm_from.ok_or(ChangeError::OwnProposal)?;
            // Somebody else may have come meanwhile.
            let alone = approvers_beside(by.name(), &self.policies.current(), now).is_empty();
            return match () {
                () if !alone => Err(ChangeError::OwnProposal),
                () if !has_a_say(by, now) => Err(ChangeError::MayNotDecide),
                () if now < from => Err(ChangeError::TooEarly(from)),
                () => Ok(()),
            };
        }
        if !by.may(Action::Approve, now) {
            return Err(ChangeError::MayNotDecide);
        }
        if change.beneficiaries.contains(by.name()) {
            return Err(ChangeError::OwnGain);
        }
        Ok(())
    }

    fn put_in_force(
        &self,
        known: &mut Known,
        by: &Caller,
        mut change: Change,
        now: Timestamp,
    ) -> Result<Decided, ChangeError> {
        let approver = by.name().to_owned();
        let waiting = change.clone();
        change.state = State::Approved { by: approver.clone(), at: now };
        self.keep(known, change.clone())?;
        if change.edits.iter().any(Edit::is_elsewhere) {
            return Ok(Decided { change });
        }
        let made = self.policies.update(&change.id.presence(), now, |policy| {
            let before = policy.clone();
            apply(policy, &change.edits, now)?;
            let difference = Difference::between(&before, policy, now);
            let same = lines_of(&difference) == change.effect
                && difference.beneficiaries == change.beneficiaries;
            if same { Ok(()) } else { Err(ChangeError::NotWhatWasSeen) }
        });
        let made = made.inspect_err(|_| self.keep_in_force(known, waiting))?;
        change.state = State::Applied { by: approver, at: now, version: Some(made.version()) };
        self.keep_in_force(known, change.clone());
        Ok(Decided { change })
    }

    /// As [`Changes::keep`], where the policy says already what became of the change: if this
    /// cannot be written now, the next start finds it out.
    pub(super) fn keep_in_force(&self, known: &mut Known, change: Change) {
        let id = change.id;
        if let Err(error) = self.keep(known, change.clone()) {
            tracing::error!(%error, change = id.0, "what became of a change is not written down");
            known.changes.insert(id, change);
        }
    }

    /// Says that an approved change was carried out elsewhere.
    ///
    /// # Errors
    /// If there is no such approved change, or it cannot be written down.
    pub fn carried_out(&self, id: ChangeId) -> Result<Change, ChangeError> {
        let now = self.clock.now();
        let mut known = self.state.lock();
        let mut change = known.changes.get(&id).cloned().ok_or(ChangeError::NoChange(id))?;
        let State::Approved { by, .. } = &change.state else {
            return Err(ChangeError::NotWaiting { id, state: change.state.as_str() });
        };
        change.state = State::Applied { by: by.clone(), at: now, version: None };
        self.keep(&mut known, change.clone())?;
        Ok(change)
    }

    /// The changes that were approved and not carried out yet: after a crash they still are to be.
    pub fn to_carry_out(&self) -> Vec<Change> {
        let known = self.state.lock();
        let approved = |change: &&Change| {
            matches!(change.state, State::Approved { .. })
                && change.edits.iter().any(Edit::is_elsewhere)
        };
        known.changes.values().filter(approved).cloned().collect()
    }

    /// Says no. Whoever has a say may, also who gains; it takes no proof, since nothing opens.
    ///
    /// # Errors
    /// If the caller may not, or the change is decided already.
    pub fn reject(&self, by: &Caller, id: ChangeId, why: &str) -> Result<Change, ChangeError> {
        let now = self.clock.now();
        check_reason(why)?;
        if by.is_expired(now) {
            return Err(ChangeError::CallerExpired);
        }
        if !has_a_say(by, now) {
            return Err(ChangeError::MayNotDecide);
        }
        let state = State::Rejected { by: by.name().to_owned(), at: now, why: why.to_owned() };
        self.close(by, id, EventKind::ChangeRejected, state, now)
    }

    /// Takes one's own proposal back.
    ///
    /// # Errors
    /// If it is another's, or decided already.
    pub fn withdraw(&self, by: &Caller, id: ChangeId) -> Result<Change, ChangeError> {
        let now = self.clock.now();
        if by.is_expired(now) {
            return Err(ChangeError::CallerExpired);
        }
        let proposer = self.state.lock().changes.get(&id).map(|change| change.proposer.clone());
        let proposer = proposer.ok_or(ChangeError::NoChange(id))?;
        if proposer != by.name() {
            return Err(ChangeError::NotProposer(proposer));
        }
        self.close(by, id, EventKind::ChangeWithdrawn, State::Withdrawn { at: now }, now)
    }

    fn close(
        &self,
        by: &Caller,
        id: ChangeId,
        kind: EventKind,
        state: State,
        now: Timestamp,
    ) -> Result<Change, ChangeError> {
        let mut known = self.state.lock();
        let change = Change { state, ..self.waiting(&known, id, now)? };
        let event = event(kind, by, &change.edits, Some(id));
        let begun = begin(&self.log, &event);
        let kept = self.keep(&mut known, change.clone());
        end(&self.log, event, begun, ended(&kept));
        kept?;
        Ok(change)
    }

    fn waiting(&self, known: &Known, id: ChangeId, now: Timestamp) -> Result<Change, ChangeError> {
        let change = known.changes.get(&id).cloned().ok_or(ChangeError::NoChange(id))?;
        let change = seen_now(change, &self.policies.current(), now);
        match change.state {
            State::Waiting => Ok(change),
            state => Err(ChangeError::NotWaiting { id, state: state.as_str() }),
        }
    }

    /// Writes a change down, with the notice of what became of it.
    pub(super) fn keep(&self, known: &mut Known, change: Change) -> Result<(), ChangeError> {
        record::put(&*self.records, &change)?;
        if let Some((kind, text)) = notice_of(&change) {
            self.notices.raise_change(kind, change.id, text)?;
        }
        known.changes.insert(change.id, change);
        Ok(())
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.state.lock();
        f.debug_struct("Changes").field("changes", &known.changes.len()).finish_non_exhaustive()
    }
}
