//! Every version of the policy there ever was, and the one in force.

use super::form::PolicyForm;
use super::policy::Member;
use super::{Policy, Reach, Renewing, Setting, SettingValue};
use crate::caller::Role;
use crate::change::ChangeError;
use crate::classify::Classifier;
use crate::pseudonym::Renewal;
use crate::records::{RecordError, RecordStore};
use aws_lc_rs::digest;
use model::{Class, TableName, Timestamp};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The kind of record: one for each version, never overwritten. The id is the version.
const POLICY: &str = "policy";

/// The policy in force and all before it.
///
/// Each version is one sealed record that carries the hash of the one before, so none can be
/// taken out of the middle or changed unseen.
pub struct Policies {
    records: Option<Arc<dyn RecordStore>>,
    in_force: Arc<InForce>,
    history: RwLock<PolicyHistory>,
    /// The hash of the newest record; held while the next one is written.
    last: Mutex<[u8; 32]>,
    /// Whether the node never held a row.
    founding: AtomicBool,
    /// Who finds what the policy's own rules say.
    classifier: OnceLock<Classifier>,
}

/// What made a version that only calls persons by pseudonyms of another epoch.
const RENEWED: &str = "next epoch of pseudonyms";
/// The kind of the record that says that founding is over; there is one or none.
const FOUNDING: &str = "founding";
const OVER: &str = "over";

impl Policies {
    /// A policy that stays as it is.
    pub fn fixed(policy: Policy) -> Policies {
        let policy = Arc::new(policy);
        Policies {
            records: None,
            history: RwLock::new(PolicyHistory { versions: vec![Arc::clone(&policy)] }),
            in_force: Arc::new(InForce::new(policy)),
            last: Mutex::new([0; 32]),
            founding: AtomicBool::new(false),
            classifier: OnceLock::new(),
        }
    }

    /// Has `classifier` know the company's own rules, now and after every change of them: what is
    /// sealed after a change is in force is sealed by it.
    pub fn classify_with(&self, classifier: &Classifier) {
        let known = self.classifier.get_or_init(|| classifier.clone());
        known.adopt(&self.current().rules);
    }

    /// Reads all versions. A node without one begins with [`Policy::standard`].
    ///
    /// # Errors
    /// If the records cannot be read or written, or one is missing or was changed.
    pub fn open(records: Arc<dyn RecordStore>, now: Timestamp) -> Result<Policies, RecordError> {
        let damaged = || RecordError::Damaged { kind: POLICY.to_owned() };
        let mut versions: Vec<Arc<Policy>> = Vec::new();
        let mut last = [0; 32];
        for (place, (id, bytes)) in records.list(POLICY)?.into_iter().enumerate() {
            let form = PolicyForm::from_record(&bytes).map_err(|_| damaged())?;
            let before = versions.last().map(|before| &**before);
            let policy = form.to_policy(before).map_err(|_| damaged())?;
            let follows = form.follows(&last) && policy.version == place as u64 + 1;
            if !follows || id != record_id(policy.version) {
                return Err(damaged());
            }
            last = hash(&bytes);
            versions.push(Arc::new(policy));
        }
        let founding = AtomicBool::new(records.list(FOUNDING)?.is_empty());
        let policies = match versions.last() {
            Some(newest) => Policies {
                records: Some(records),
                in_force: Arc::new(InForce::new(Arc::clone(newest))),
                history: RwLock::new(PolicyHistory { versions }),
                last: Mutex::new(last),
                founding,
                classifier: OnceLock::new(),
            },
            None => {
                let mut start = Policy::standard();
                start.since = now;
                let bytes = PolicyForm::of(&start, &last).to_record();
                records.put(POLICY, &record_id(start.version), &bytes)?;
                let policies =
                    Policies { records: Some(records), founding, ..Policies::fixed(start) };
                *policies.last.lock() = hash(&bytes);
                policies
            }
        };
        Ok(policies)
    }

    /// The version in force.
    pub fn current(&self) -> Arc<Policy> {
        self.in_force.current()
    }

    /// The number of the version in force.
    pub fn version(&self) -> u64 {
        self.in_force.version()
    }

    /// The version in force for those who only ask.
    pub(crate) fn in_force(&self) -> &Arc<InForce> {
        &self.in_force
    }

    /// Whether the node never held a row: then there is nothing that could be widened.
    pub fn is_founding(&self) -> bool {
        self.founding.load(Ordering::Acquire)
    }

    /// Ends the founding for ever; called before the first row is taken.
    ///
    /// # Errors
    /// If that cannot be made durable; then no row may be taken.
    pub fn end_founding(&self) -> Result<(), RecordError> {
        if !self.is_founding() {
            return Ok(());
        }
        if let Some(records) = &self.records {
            records.put(FOUNDING, OVER, b"{}")?;
        }
        self.founding.store(false, Ordering::Release);
        Ok(())
    }

    /// Sets a setting while the node never held a row: whoever starts it decides.
    ///
    /// # Errors
    /// If founding is over, the value is not of the setting's type, or it cannot be written.
    pub fn set_in_founding(
        &self,
        setting: Setting,
        value: SettingValue,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        self.update("first start", now, |policy| {
            if !self.is_founding() {
                return Err(ChangeError::MayNotPropose);
            }
            Ok(policy.settings_mut().set(setting, value)?)
        })
        .map(drop)
    }

    /// Names persons in the row filters of grants as the stored rows do, or are about to: a next
    /// version, if any grant names one. The versions before stay as they were. Nobody sees more or
    /// less by it, because no row has a pseudonym of an epoch that is not the store's.
    ///
    /// # Errors
    /// If the next version cannot be written.
    pub fn renew_rows(
        &self,
        renewal: &Renewal,
        own: &[&str],
        how: Renewing,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        let renewed = |rows: &super::RowFilter| rows.renewed(renewal, own, how);
        if !self.current().grants.values().any(|grant| renewed(&grant.rows).is_some()) {
            return Ok(());
        }
        self.update(RENEWED, now, |policy| {
            for grant in policy.grants.values_mut() {
                if let Some(rows) = renewed(&grant.rows) {
                    grant.rows = rows;
                }
            }
            Ok(())
        })
        .map(drop)
    }

    /// Whether there are versions after this one, and all of them only call persons by pseudonyms of
    /// another epoch: what was refused because the policy is another one may be asked again.
    pub fn was_only_renewed_since(&self, version: u64) -> bool {
        let history = self.history.read();
        let mut since =
            history.versions.iter().rev().take_while(|policy| policy.version > version).peekable();
        since.peek().is_some() && since.all(|policy| policy.made_by == RENEWED)
    }

    /// After the node was restored from a backup, whose policy is an old one: everybody is disabled
    /// who is no guardian or administrator, and all of `also`. Letting somebody in again is widening
    /// and takes two people. Gives who was disabled now.
    ///
    /// # Errors
    /// If the next version cannot be written.
    pub fn shut_out_after_restore(
        &self,
        also: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Vec<String>, RecordError> {
        let decides = |role: &Role| matches!(role, Role::Guardian | Role::Administrator);
        let mut shut_out = Vec::new();
        self.update("restored from a backup", now, |policy| {
            let members: Vec<(String, Member)> = policy
                .members
                .iter()
                .map(|(name, member)| (name.clone(), member.clone()))
                .collect();
            for (name, member) in members {
                let stays = member.roles_at(now).iter().any(decides) && !also.contains(&name);
                if !stays && !member.disabled {
                    policy.set_member(&name, Some(Member { disabled: true, ..member }));
                    shut_out.push(name);
                }
            }
            Ok::<(), RecordError>(())
        })?;
        Ok(shut_out)
    }

    /// All versions so far.
    pub fn history(&self) -> PolicyHistory {
        self.history.read().clone()
    }

    /// Puts the next version in force: what `step` makes of the current one. It is durable before
    /// anybody is judged by it. `made_by` says which change made it.
    ///
    /// # Errors
    /// What `step` says, then nothing was changed; or if the record cannot be written.
    pub(crate) fn update<E: From<RecordError>>(
        &self,
        made_by: &str,
        now: Timestamp,
        step: impl FnOnce(&mut Policy) -> Result<(), E>,
    ) -> Result<Arc<Policy>, E> {
        let mut last = self.last.lock();
        let before = self.current();
        let mut next = Policy::clone(&before);
        step(&mut next)?;
        next.version = before.version + 1;
        // A clock that was set back does not make a version that ended before it began.
        next.since = now.max(before.since);
        made_by.clone_into(&mut next.made_by);
        if let Some(records) = &self.records {
            let bytes = PolicyForm::of(&next, &last).to_record();
            records.put(POLICY, &record_id(next.version), &bytes)?;
            *last = hash(&bytes);
        }
        let next = Arc::new(next);
        if let Some(classifier) = self.classifier.get()
            && next.rules != before.rules
        {
            classifier.adopt(&next.rules);
        }
        self.history.write().versions.push(Arc::clone(&next));
        self.in_force.replace(Arc::clone(&next));
        Ok(next)
    }
}

/// The version in force. Whoever was let in keeps it at hand, without a hold on the records.
pub(crate) struct InForce {
    current: RwLock<Arc<Policy>>,
    /// To be asked without a lock.
    version: AtomicU64,
}

impl InForce {
    fn new(policy: Arc<Policy>) -> InForce {
        InForce { version: AtomicU64::new(policy.version), current: RwLock::new(policy) }
    }

    pub(crate) fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.current.read())
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn replace(&self, next: Arc<Policy>) {
        let version = next.version;
        *self.current.write() = next;
        self.version.store(version, Ordering::Release);
    }
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InForce(version {})", self.version())
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies(version {})", self.version())
    }
}

/// Ids sort as their numbers do.
fn record_id(version: u64) -> String {
    format!("{version:020}")
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// All versions of the policy up to some moment, oldest first: the answer to "who could read".
#[derive(Clone, Debug, Default)]
pub struct PolicyHistory {
    versions: Vec<Arc<Policy>>,
}

/// A time in which the reach of a person did not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachInterval {
    /// From when on.
    pub from: Timestamp,
    /// Until when; not included.
    pub to: Timestamp,
    /// The version in force when it began.
    pub version: u64,
    /// What was reached, and through which grants.
    pub reach: Reach,
}

impl PolicyHistory {
    /// Each version with the time in which it was in force; the last has no end yet.
    pub fn versions(&self) -> impl Iterator<Item = (&Policy, Timestamp, Option<Timestamp>)> {
        self.versions.iter().enumerate().map(|(place, policy)| {
            let next = self.versions.get(place + 1);
            (&**policy, policy.since, next.map(|next| next.since))
        })
    }

    /// The version in force at `time`; `None` before the first.
    pub fn at(&self, time: Timestamp) -> Option<&Policy> {
        let after = self.versions.partition_point(|policy| policy.since <= time);
        after.checked_sub(1).map(|place| &*self.versions[place])
    }

    /// Everybody who ever had an account.
    pub fn people(&self) -> BTreeSet<&str> {
        let mut people = BTreeSet::new();
        let mut seen = None;
        for policy in &self.versions {
            if seen.is_none_or(|seen| !Arc::ptr_eq(seen, &policy.members)) {
                people.extend(policy.members.keys().map(String::as_str));
            }
            seen = Some(&policy.members);
        }
        people
    }

    /// How `person` reached the fields of `class` in `table` between `from` and `to` (not
    /// included), time by time; nothing where nothing was reached. Changes of the policy count,
    /// and so do the beginnings and ends of grants and memberships in between.
    pub fn reach_intervals(
        &self,
        person: &str,
        table: &TableName,
        class: Class,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<ReachInterval> {
        let mut intervals: Vec<ReachInterval> = Vec::new();
        for (policy, since, until) in self.versions() {
            let (begin, end) = (since.max(from), until.unwrap_or(to).min(to));
            if begin >= end {
                continue;
            }
            let mut edges = policy.edges(person);
            edges.retain(|edge| *edge > begin && *edge < end);
            edges.insert(begin);
            let edges: Vec<Timestamp> = edges.into_iter().chain([end]).collect();
            for edge in edges.windows(2) {
                let reach = policy.reach(person, table, class, edge[0]);
                if reach.ways.is_empty() {
                    continue;
                }
                match intervals.last_mut() {
                    Some(last) if last.to == edge[0] && last.reach == reach => last.to = edge[1],
                    _ => intervals.push(ReachInterval {
                        from: edge[0],
                        to: edge[1],
                        version: policy.version,
                        reach,
                    }),
                }
            }
        }
        intervals
    }
}

impl Policy {
    /// When something of `person` begins or ends by itself.
    fn edges(&self, person: &str) -> BTreeSet<Timestamp> {
        let Some(member) = self.members.get(person) else { return BTreeSet::new() };
        let by_role = member.roles.keys().flat_map(|role| self.grants_of_role(*role));
        let grants = by_role.chain(self.grants_of_person(person));
        let of_grants = grants.flat_map(|(_, grant)| grant.from.into_iter().chain(grant.until));
        of_grants.chain(member.roles.values().copied().flatten()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Role;
    use crate::grant::{Action, Classes, Grant, Member, Tables, Who};
    use crate::records::MemoryRecords;

    fn table() -> TableName {
        TableName::parse("events").unwrap()
    }

    fn step(policies: &Policies, now: i64, step: impl Fn(&mut Policy)) {
        let done: Result<_, RecordError> = policies.update("test", Timestamp(now), |policy| {
            step(policy);
            Ok(())
        });
        done.unwrap();
    }

    fn open(records: &Arc<MemoryRecords>) -> Result<Policies, RecordError> {
        let records: Arc<dyn RecordStore> = Arc::<MemoryRecords>::clone(records);
        Policies::open(records, Timestamp(1000))
    }

    fn special_until(until: i64) -> Grant {
        let who = Who::Person("ana".into());
        let classes = Classes::from_iter([Class::Special]);
        let mut grant = Grant::new(who, Tables::Named(table()), Action::Read, classes);
        grant.until = Some(Timestamp(until));
        grant
    }

    /// Version 1 at 1000; ana is an analyst from 1100; reads special from 1200 to 1250, and is
    /// disabled at 1300.
    fn story(policies: &Policies) {
        let ana = Member::with_roles(&[Role::Analyst]);
        step(policies, 1100, |policy| policy.set_member("ana", Some(ana.clone())));
        step(policies, 1200, |policy| {
            policy.add_grant(special_until(1250));
        });
        let disabled = Member { disabled: true, ..ana.clone() };
        step(policies, 1300, |policy| policy.set_member("ana", Some(disabled.clone())));
    }

    fn intervals(history: &PolicyHistory, class: Class) -> Vec<(i64, i64, u64, Option<Action>)> {
        let (from, to) = (Timestamp(0), Timestamp(2000));
        let intervals = history.reach_intervals("ana", &table(), class, from, to).into_iter();
        intervals.map(|one| (one.from.0, one.to.0, one.version, one.reach.action())).collect()
    }

    #[test]
    fn who_could_read_when() {
        let records = Arc::new(MemoryRecords::new());
        story(&open(&records).unwrap());
        let history = open(&records).unwrap().history();
        assert_eq!(history.people().into_iter().collect::<Vec<_>>(), ["ana"]);
        assert_eq!(intervals(&history, Class::Open), [(1100, 1300, 2, Some(Action::Read))]);
        assert_eq!(
            intervals(&history, Class::Special),
            [
                (1100, 1200, 2, Some(Action::Aggregate)),
                (1200, 1250, 3, Some(Action::Read)),
                (1250, 1300, 3, Some(Action::Aggregate)),
            ]
        );
        assert_eq!(intervals(&history, Class::Secret), []);
        assert_eq!(history.at(Timestamp(1250)).unwrap().version(), 3);
        assert!(history.at(Timestamp(999)).is_none());
        let spans: Vec<_> = history.versions().map(|(_, from, to)| (from.0, to)).collect();
        assert_eq!(spans[0], (1000, Some(Timestamp(1100))));
        assert_eq!(spans[3], (1300, None));
    }

    #[test]
    fn every_version_is_read_back() {
        let records = Arc::new(MemoryRecords::new());
        let policies = open(&records).unwrap();
        story(&policies);
        let again = open(&records).unwrap();
        assert_eq!(again.version(), 4);
        assert_eq!(again.current().grants(), policies.current().grants());
        assert_eq!(again.current().members(), policies.current().members());
        assert_eq!(again.current().made_by(), "test");
    }

    #[test]
    fn a_version_that_is_missing_or_was_changed_is_noticed() {
        for damage in 0..3 {
            let records = Arc::new(MemoryRecords::new());
            story(&open(&records).unwrap());
            let third = records.list(POLICY).unwrap().remove(2).1;
            let put = |bytes: &[u8]| records.put(POLICY, &record_id(3), bytes).unwrap();
            match damage {
                0 => records.delete(POLICY, &record_id(3)).unwrap(),
                1 => put(&String::from_utf8(third)
                    .unwrap()
                    .replace("special", "personal")
                    .into_bytes()),
                _ => put(b"{}"),
            }
            assert!(matches!(open(&records), Err(RecordError::Damaged { .. })), "{damage}");
        }
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        let policies = Policies::fixed(Policy::standard());
        let failed: Result<_, RecordError> = policies.update("test", Timestamp(1), |policy| {
            policy.set_member("eve", Some(Member::with_roles(&[Role::Guardian])));
            Err(RecordError::Damaged { kind: "x".into() })
        });
        assert!(failed.is_err());
        assert!(policies.current().members().is_empty() && policies.version() == 1);
    }

    #[test]
    fn a_clock_set_back_does_not_end_a_version_before_it_began() {
        let policies = open(&Arc::new(MemoryRecords::new())).unwrap();
        step(&policies, 10, |_| ());
        assert_eq!(policies.current().since(), Timestamp(1000));
    }
}
