use super::alarm::Alarm;
use super::cover::{CacheKey, Covered, RowScope, cover};
use super::meter::Meter;
use super::near::Answers;
use super::{Denied, Guard, ReadIntent, Use};
use crate::audit::{AuditLog, Event, EventKind, RecordId, Seen};
use crate::caller::Caller;
use crate::grant::{Action, InForce, Quota};
use model::{Class, Clock, Field, TableId, Timestamp};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The right to one read. Made by [`Guard::authorise`] alone, when its intent is durable.
///
/// Dropped without [`Permit::release`], it records that nothing was given out.
pub struct Permit {
    record: RecordId,
    caller: Caller,
    intent: ReadIntent,
    covered: Vec<Covered>,
    quotas: Vec<Quota>,
    /// The end of the first grant that it stands on.
    until: Option<Timestamp>,
    /// The policy that it was made under.
    policy: u64,
    /// The newest policy that says the same.
    confirmed: AtomicU64,
    log: Arc<AuditLog>,
    policy_now: Arc<InForce>,
    meter: Arc<Meter>,
    answers: Arc<Answers>,
    alarm: Alarm,
    clock: Arc<dyn Clock>,
    seen: Seen,
    ended: AtomicBool,
}

impl Permit {
    pub(super) fn new(
        guard: &Guard,
        caller: Caller,
        intent: ReadIntent,
        record: RecordId,
        policy: u64,
        covered: Vec<Covered>,
    ) -> Permit {
        Permit {
            record,
            caller,
            intent,
            quotas: Covered::quotas(&covered),
            until: Covered::until(&covered),
            covered,
            policy,
            confirmed: AtomicU64::new(policy),
            log: Arc::clone(&guard.log),
            policy_now: Arc::clone(guard.policies.in_force()),
            meter: Arc::clone(&guard.meter),
            answers: Arc::clone(&guard.answers),
            alarm: guard.alarm.clone(),
            clock: Arc::clone(&guard.clock),
            seen: Seen::watching(Arc::clone(&guard.alarm.canaries)),
            ended: AtomicBool::new(false),
        }
    }

    /// Whether values of `field` of `table` may be read and given out: as an output, a group, an
    /// order or a filter.
    pub fn may_read(&self, table: TableId, field: &Field) -> bool {
        self.may_use(table, field, Use::Output)
    }

    /// Whether a question may do this with `field` of `table`.
    pub fn may_use(&self, table: TableId, field: &Field, how: Use) -> bool {
        self.covered(table).is_some_and(|covered| covered.may_use(field, how, self.action()))
    }

    /// Whether `table` may be read at all.
    pub fn covers_table(&self, table: TableId) -> bool {
        self.covered(table).is_some()
    }

    /// The rows of `table` that exist for this permit; `None`: not one.
    pub fn row_scope(&self, table: TableId) -> Option<&RowScope> {
        self.covered(table).map(|covered| &covered.rows)
    }

    /// The fewest distinct subjects that a group may have which tells about `field`; `None`: any
    /// number, its values may be read.
    pub fn least_group(&self, table: TableId, field: &Field) -> Option<u32> {
        let class = Some(field.class.unwrap_or(Class::Open));
        self.covered(table).map_or(Some(u32::MAX), |of| of.least_group(class, self.action()))
    }

    /// The fewest distinct subjects that a group may have of which only the rows are counted;
    /// `None`: any number.
    pub fn least_group_of_rows(&self, table: TableId) -> Option<u32> {
        self.covered(table).map_or(Some(u32::MAX), |of| of.least_group(None, self.action()))
    }

    /// Whether the people behind a group, `subjects` (ascending), are nearly those of a group that
    /// this person was told about in answer to another question: fewer than `least` apart.
    pub fn is_near(&self, question: u64, subjects: &[u32], least: u32) -> bool {
        self.answers.is_near(self.caller.name(), question, subjects, least)
    }

    /// Remembers for [`Permit::is_near`] that this person is told about these people.
    pub fn remember(&self, question: u64, subjects: &[u32]) {
        self.answers.remember(self.caller.name(), question, subjects);
    }

    fn covered(&self, table: TableId) -> Option<&Covered> {
        self.covered.iter().find(|covered| covered.table == table)
    }

    /// What may come out.
    pub fn action(&self) -> Action {
        self.intent.action
    }

    /// The audit record of the intent.
    pub fn record_id(&self) -> RecordId {
        self.record
    }

    /// Where whatever fetches rows notes which, for the end record.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Who reads.
    pub fn caller_name(&self) -> &str {
        self.caller.name()
    }

    /// Under what an answer may be kept for others: see [`CacheKey`].
    pub fn cache_key(&self) -> CacheKey {
        Covered::cache_key(&self.covered, self.policy, self.action())
    }

    /// Whether the read would still be allowed, as it was: the credential is alive, the grants
    /// have not ended, and a newer policy says the same. Cheap; whatever runs or streams for long,
    /// and every cursor that comes back, asks it at least every five seconds.
    ///
    /// # Errors
    /// [`Denied::Expired`] or [`Denied::Withdrawn`].
    pub fn still_valid(&self) -> Result<(), Denied> {
        let now = self.clock.now();
        if self.caller.is_expired(now) {
            return Err(Denied::Expired);
        }
        if self.until.is_some_and(|until| until <= now) {
            return Err(Denied::Withdrawn);
        }
        let newest = self.policy_now.version();
        if self.confirmed.load(Ordering::Acquire) == newest {
            return Ok(());
        }
        let policy = self.policy_now.current();
        // Quotas are checked when an answer is released; here the grants are what counts.
        let again = cover(&policy, &Meter::default(), &self.caller, &self.intent, now);
        let same = again.is_ok_and(|again| {
            again.len() == self.covered.len()
                && again.iter().zip(&self.covered).all(|(again, own)| own.is_within(again))
        });
        if !same {
            return Err(Denied::Withdrawn);
        }
        self.confirmed.store(policy.version(), Ordering::Release);
        Ok(())
    }

    /// Records that `rows` rows and `bytes` bytes go out, counts them, and lets `value` go.
    ///
    /// The end record follows within a fraction of a second; a read without one counts as read
    /// in full, so nothing is lost if it never comes.
    ///
    /// # Errors
    /// If the permit is not valid any more, or the quota of the day does not suffice; then
    /// nothing goes out, and that is recorded.
    pub fn release<T>(&self, value: T, rows: u64, bytes: u64) -> Result<Released<T>, Denied> {
        let name = self.caller.name();
        let now = self.clock.now();
        let checked = self
            .still_valid()
            .and_then(|()| self.meter.charge_answer(name, &self.quotas, rows, bytes, now))
            .and_then(|()| {
                let canaries = self.seen.take_touched();
                self.alarm.canary_read(&self.log, &self.caller, canaries, self.record)
            });
        match checked {
            Ok(()) => {
                self.end("released", rows, bytes);
                Ok(Released(value))
            }
            Err(denied) => {
                self.alarm.quota_tripped(&self.log, &self.caller, &denied, now);
                self.end(&format!("nothing released: {denied}"), 0, 0);
                Err(denied)
            }
        }
    }

    /// Keeps an answer for later instead of letting it go; nothing has left, which is recorded.
    pub fn keep<T>(&self, value: T, rows: u64, bytes: u64) -> Kept<T> {
        let seen = Seen::default();
        seen.add(&self.seen);
        let caller = self.caller.name().into();
        let seen = Box::new(seen);
        let kept = Kept { value, rows, bytes, seen, caller, key: self.cache_key() };
        self.seen.take();
        self.end("kept for its caller, nothing released yet", 0, 0);
        kept
    }

    /// Lets an answer go that an earlier permit for the same question kept, and records it as if
    /// it had been read now.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`] if it was kept for somebody else or under other grants or another
    /// policy; else as [`Permit::release`].
    pub fn release_kept<T: Clone>(&self, kept: &Kept<T>) -> Result<Released<T>, Denied> {
        if !kept.is_for(self) {
            self.end("nothing released: the kept answer is not for this permit", 0, 0);
            return Err(Denied::Withdrawn);
        }
        self.seen.add(&kept.seen);
        self.release(kept.value.clone(), kept.rows, kept.bytes)
    }

    fn end(&self, outcome: &str, rows: u64, bytes: u64) {
        self.ended.store(true, Ordering::Relaxed);
        let (read, subjects) = self.seen.take();
        let event = Event {
            read,
            subjects,
            rows: Some(rows),
            bytes: Some(bytes),
            refers_to: Some(self.record),
            outcome: outcome.to_owned(),
            ..Event::by(EventKind::ReadEnd, &self.caller)
        };
        if let Err(error) = self.log.append(&event) {
            tracing::warn!(%error, record = self.record.0, "the end of a read is not recorded");
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !*self.ended.get_mut() {
            self.end("nothing released", 0, 0);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit(record {}, {} tables)", self.record, self.covered.len())
    }
}

/// An answer that waits for its caller. Nothing of it is seen but through
/// [`Permit::release_kept`], which asks for the same caller, grants and policy.
pub struct Kept<T> {
    value: T,
    rows: u64,
    bytes: u64,
    seen: Box<Seen>,
    caller: Box<str>,
    key: CacheKey,
}

impl<T> Kept<T> {
    /// Whether a permit may release it: the same person under the same grants and policy.
    pub fn is_for(&self, permit: &Permit) -> bool {
        *self.caller == *permit.caller_name() && self.key == permit.cache_key()
    }

    /// How large it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept(…)")
    }
}

/// An answer that may leave the house. Made by [`Permit::release`] alone.
pub struct Released<T>(T);

impl<T> Released<T> {
    /// The answer.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The answer.
    pub fn get(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Released<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Released(…)")
    }
}
