//! Edits on a policy; nothing here asks whether they may be made.

use super::{ChangeError, Edit};
use crate::caller::Role;
use crate::grant::{Action, Difference, Grant, Member, Policy, Setting, Who, clipped};
use model::Timestamp;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How many days a widening lasts that does not say.
const GRANT_DAYS: u64 = 30;

/// Makes the edits on `policy`, one after the other.
pub(super) fn apply(
    policy: &mut Policy,
    edits: &[Edit],
    now: Timestamp,
) -> Result<(), ChangeError> {
    let managers = policy.people_who_may(Action::ManagePeople, now).len();
    for edit in edits {
        apply_one(policy, edit)?;
    }
    if managers > 0 && policy.people_who_may(Action::ManagePeople, now).is_empty() {
        return Err(ChangeError::LastAdministrator);
    }
    Ok(())
}

fn apply_one(policy: &mut Policy, edit: &Edit) -> Result<(), ChangeError> {
    match edit {
        Edit::Grant(grant) => {
            grant.check()?;
            if let Who::Person(person) = &grant.who {
                member(policy, person)?;
            }
            policy.add_grant(grant.clone());
        }
        Edit::Revoke(id) => {
            if !policy.remove_grant(*id) {
                return Err(ChangeError::NoGrant(*id));
            }
        }
        Edit::Role { person, role, until } => {
            let mut member = member(policy, person)?;
            member.roles.insert(*role, *until);
            policy.set_member(person, Some(member));
        }
        Edit::DropRole { person, role } => {
            let mut member = member(policy, person)?;
            if member.roles.remove(role).is_none() {
                return Err(ChangeError::NoRole { person: person.clone(), role: *role });
            }
            policy.set_member(person, Some(member));
        }
        Edit::Enable { person } => {
            let member = member(policy, person)?;
            policy.set_member(person, Some(Member { disabled: false, ..member }));
        }
        Edit::Setting { setting, value } => policy.settings_mut().set(*setting, value.clone())?,
        Edit::PasswordReset { person } => {
            member(policy, person)?;
        }
        Edit::AddRules(more) => policy.set_rules(policy.rules().with(more)?),
        Edit::RemoveRule(name) => policy.set_rules(policy.rules().without(name)?),
        Edit::Rule { .. } => {}
    }
    Ok(())
}

fn member(policy: &Policy, person: &str) -> Result<Member, ChangeError> {
    let member = policy.members().get(person).cloned();
    member.ok_or_else(|| ChangeError::NoPerson(person.to_owned()))
}

/// What `edits` would make of `policy`.
pub(super) fn difference(
    policy: &Policy,
    edits: &[Edit],
    now: Timestamp,
) -> Result<Difference, ChangeError> {
    let mut next = policy.clone();
    apply(&mut next, edits, now)?;
    Ok(Difference::between(policy, &next, now))
}

/// The same edits with an end for everything that gives more: the one that they name, if that is
/// early enough, else the default. What gives nothing new keeps what it says.
pub(super) fn with_ends(
    policy: &Policy,
    edits: Vec<Edit>,
    now: Timestamp,
) -> Result<Vec<Edit>, ChangeError> {
    let grant_days_max = policy.settings().number(Setting::GrantDaysMax);
    let membership_days_max = policy.settings().number(Setting::MembershipDaysMax);
    let mut so_far = policy.clone();
    let mut ended = Vec::with_capacity(edits.len());
    for edit in edits {
        let edit = match edit {
            Edit::Grant(grant) if is_new(&so_far, &grant, now) => {
                let days = GRANT_DAYS.min(grant_days_max);
                let until = Some(end(grant.until, days, grant_days_max, now)?);
                Edit::Grant(Grant { until, ..grant })
            }
            Edit::Role { person, role, until } if is_longer(&so_far, &person, role, until) => {
                let until = Some(end(until, membership_days_max, membership_days_max, now)?);
                Edit::Role { person, role, until }
            }
            edit => edit,
        };
        apply_one(&mut so_far, &edit)?;
        ended.push(edit);
    }
    Ok(ended)
}

/// Whether no grant of the same holder lets do as much, for as long. Asked of the grant itself: its
/// holder may be disabled now, and let in again later.
fn is_new(policy: &Policy, grant: &Grant, now: Timestamp) -> bool {
    let grant = clipped(grant, None, now);
    !policy.grants().values().any(|known| clipped(known, None, now).covers(&grant))
}

/// Whether the account, disabled or not, has the role less long.
fn is_longer(policy: &Policy, person: &str, role: Role, until: Option<Timestamp>) -> bool {
    let held = policy.members().get(person).and_then(|member| member.roles.get(&role));
    held.is_none_or(|held| held.is_some_and(|held| until.is_none_or(|until| until > held)))
}

fn end(
    named: Option<Timestamp>,
    days: u64,
    days_max: u64,
    now: Timestamp,
) -> Result<Timestamp, ChangeError> {
    let after = |days: u64| now.0.saturating_add(DAY_MS.saturating_mul(days as i64));
    match named {
        None => Ok(Timestamp(after(days))),
        Some(end) if end <= now => Err(ChangeError::EndInPast),
        Some(end) if end.0 > after(days_max) => Err(ChangeError::TooLong { days: days_max }),
        Some(end) => Ok(end),
    }
}
