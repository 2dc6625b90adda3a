//! How a change stands: what the policy, the clock and a crash have made of it.

use super::apply::difference;
use super::{Change, ChangeError, ChangeForm, ChangeId, Edit, State, lines_of};
use crate::grant::{Action, Policy, PolicyHistory};
use crate::keys::hex;
use crate::notice::NoticeKind;
use aws_lc_rs::digest;
use model::Timestamp;
use std::collections::BTreeSet;

const REASON_CHARS_MAX: usize = 1000;

/// Who made the version of the policy that breaking the glass makes.
pub(super) fn glass_mark(id: ChangeId) -> String {
    format!("break-glass, {}", id.presence())
}

/// What became of a change that was being put in force when the node stopped: the policy knows.
pub(super) fn finish_after_crash(change: &mut Change, history: &PolicyHistory) {
    let State::Approved { by, at } = change.state.clone() else { return };
    if change.edits.iter().any(Edit::is_elsewhere) {
        return;
    }
    let made_by = |mark: &str| {
        let mut versions = history.versions().map(|(policy, ..)| policy);
        versions.find(|policy| policy.made_by() == mark).map(Policy::version)
    };
    let applied = made_by(&change.id.presence());
    let glass = made_by(&glass_mark(change.id));
    change.state = match (applied, glass) {
        (Some(_), _) => State::Applied { by, at, version: applied },
        (None, Some(version)) => State::BrokenGlass { at, version },
        (None, None) if change.decide_by > change.proposed_at => State::Waiting,
        (None, None) => State::Withdrawn { at },
    };
}

pub(super) fn approvers_beside(
    proposer: &str,
    policy: &Policy,
    now: Timestamp,
) -> BTreeSet<String> {
    let mut approvers = policy.people_who_may(Action::Approve, now);
    approvers.remove(proposer);
    approvers
}

pub(super) fn check_reason(why: &str) -> Result<(), ChangeError> {
    let chars = why.trim().chars().count();
    if (1..=REASON_CHARS_MAX).contains(&chars) { Ok(()) } else { Err(ChangeError::NoReason) }
}

pub(super) fn ended<T>(done: &Result<T, ChangeError>) -> String {
    done.as_ref().err().map_or("done".to_owned(), |error| format!("refused: {error}"))
}

/// A change as it stands at `now`: one that waits may have expired, or do something else by now.
pub(super) fn seen_now(change: Change, policy: &Policy, now: Timestamp) -> Change {
    if change.state != State::Waiting {
        return change;
    }
    if now >= change.decide_by {
        return Change { state: State::Expired, ..change };
    }
    if change.edits.iter().any(Edit::is_elsewhere) {
        return change;
    }
    let same = difference(policy, &change.edits, now).is_ok_and(|difference| {
        lines_of(&difference) == change.effect && difference.beneficiaries == change.beneficiaries
    });
    if same { change } else { Change { state: State::Stale, ..change } }
}

/// The notice about what just became of `change`; `None` where nobody has to be told.
pub(super) fn notice_of(change: &Change) -> Option<(NoticeKind, String)> {
    let (id, proposer) = (change.id, &change.proposer);
    Some(match &change.state {
        State::Waiting => match change.confirm_from {
            Some(from) => (
                NoticeKind::TimeLock,
                format!(
                    "change {id} of {proposer} has nobody else to approve it; {proposer} may \
                     confirm it from {from} on. If nobody knows of it: clerestory change reject {id}"
                ),
            ),
            None => (NoticeKind::Waiting, format!("change {id} of {proposer} waits for approval")),
        },
        State::Applied { by, .. } if by != proposer || change.confirm_from.is_some() => (
            NoticeKind::Applied,
            format!("change {id} of {proposer}, approved by {by}, is in force"),
        ),
        State::BrokenGlass { .. } => (
            NoticeKind::BrokenGlass,
            format!("{proposer} broke the glass (change {id}) and reads alone for an hour"),
        ),
        _ => return None,
    })
}

/// A mark of everything that a change shows to whoever decides.
pub(super) fn mark_of(change: &Change) -> String {
    let form = ChangeForm::from(change);
    let bytes = serde_json::to_vec(&form).expect("strings and numbers only");
    hex(&digest::digest(&digest::SHA256, &bytes).as_ref()[..16])
}
