use super::stored;
use super::target::Target;
use super::{Notice, NoticeKind, Sending};
use crate::change::ChangeId;
use crate::grant::{Policies, Setting};
use crate::keys::KeyRing;
use crate::records::{RecordError, RecordStore};
use model::Clock;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const HOUR_MS: i64 = 60 * 60 * 1000;
/// So many are kept; older ones that are on their way nowhere any more are forgotten.
const KEPT_MAX: usize = 2_000;

/// All notices of a node.
pub struct Notices {
    pub(super) records: Arc<dyn RecordStore>,
    pub(super) policies: Arc<Policies>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) clock: Arc<dyn Clock>,
    /// By number.
    known: Mutex<Vec<Notice>>,
    /// Something was raised, or whoever waits is to look up.
    raised: Condvar,
}

/// Equal notices of this long are one. A quota is used up once a day, and says of which day.
fn equal_for_ms(kind: NoticeKind) -> i64 {
    if kind == NoticeKind::Quota { 24 * HOUR_MS } else { HOUR_MS }
}

/// How long a target is left alone that did not take something `tries` times in a row: five
/// seconds, doubled up to an hour.
pub fn pause(tries: u32) -> Duration {
    Duration::from_secs(5 << tries.saturating_sub(1).min(10)).min(Duration::from_secs(3_600))
}

impl Notices {
    /// Reads all notices.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub fn open(
        records: Arc<dyn RecordStore>,
        policies: Arc<Policies>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
    ) -> Result<Notices, RecordError> {
        let known = Mutex::new(stored::list(&*records)?);
        Ok(Notices { records, policies, keys, clock, known, raised: Condvar::new() })
    }

    /// Writes a notice down, for all targets that the policy names now. One of the same kind about
    /// the same thing within an hour only counts up. Gives whether it is a new one.
    ///
    /// # Errors
    /// If it cannot be made durable; it is then still sent by this process.
    pub fn raise(&self, kind: NoticeKind, about: &str, text: String) -> Result<bool, RecordError> {
        self.put(kind, None, about, text, None)
    }

    /// As [`Notices::raise`], for these of the targets only; `None`: for all.
    ///
    /// # Errors
    /// As there.
    pub fn raise_to(
        &self,
        kind: NoticeKind,
        about: &str,
        text: String,
        targets: Option<&BTreeSet<String>>,
    ) -> Result<bool, RecordError> {
        self.put(kind, None, about, text, targets)
    }

    /// As [`Notices::raise`], about what became of a change; always a new one.
    pub(crate) fn raise_change(
        &self,
        kind: NoticeKind,
        change: ChangeId,
        text: String,
    ) -> Result<bool, RecordError> {
        self.put(kind, Some(change), "", text, None)
    }

    fn put(
        &self,
        kind: NoticeKind,
        change: Option<ChangeId>,
        about: &str,
        text: String,
        wanted: Option<&BTreeSet<String>>,
    ) -> Result<bool, RecordError> {
        let now = self.clock.now();
        let names = self.targets().into_iter().map(|target| target.name);
        let names = names.filter(|name| wanted.is_none_or(|wanted| wanted.contains(name)));
        let mut known = self.known.lock();
        if change.is_none()
            && let Some(equal) = known.iter_mut().rev().find(|notice| {
                notice.kind == kind
                    && notice.about == about
                    && (0..equal_for_ms(kind)).contains(&(now.0 - notice.at.0))
            })
        {
            equal.times += 1;
            // A flood of them writes seldom.
            let is_told = equal.times.is_power_of_two();
            return if is_told { stored::put(&*self.records, equal) } else { Ok(()) }
                .map(|()| false);
        }
        let notice = Notice {
            id: known.last().map_or(0, |last| last.id) + 1,
            at: now,
            kind,
            change,
            about: about.to_owned(),
            text,
            times: 1,
            targets: names.map(|name| (name, Sending::default())).collect(),
        };
        tracing::warn!(notice = notice.id, kind = kind.as_str(), "notice");
        let kept = stored::put(&*self.records, &notice);
        known.push(notice);
        self.raised.notify_all();
        self.forget_old(&mut known);
        kept.map(|()| true)
    }

    fn forget_old(&self, known: &mut Vec<Notice>) {
        while known.len() > KEPT_MAX {
            let is_over = |notice: &Notice| !notice.targets.values().any(Sending::is_open);
            let place = known.iter().position(is_over).unwrap_or(0);
            let old = known.remove(place);
            if let Err(error) = stored::remove(&*self.records, old.id) {
                tracing::warn!(%error, notice = old.id, "an old notice is not removed");
                return;
            }
        }
    }

    /// The newest notices, newest first.
    pub fn list(&self, limit: usize) -> Vec<Notice> {
        self.known.lock().iter().rev().take(limit).cloned().collect()
    }

    /// One notice.
    pub fn find(&self, id: u64) -> Option<Notice> {
        self.known.lock().iter().find(|notice| notice.id == id).cloned()
    }

    /// The targets that the policy names now.
    pub fn targets(&self) -> Vec<Target> {
        let entries = self.policies.current().settings().entries(Setting::Notify);
        entries.iter().filter_map(|entry| Target::parse(entry).ok()).collect()
    }

    /// Notices with targets that have not had them, oldest first.
    pub fn to_send(&self) -> Vec<(Notice, String)> {
        let known = self.known.lock();
        let open = |notice: &Notice| {
            let targets = notice.targets.iter().filter(|(_, sending)| sending.is_open());
            targets.map(|(name, _)| (notice.clone(), name.clone())).collect::<Vec<_>>()
        };
        known.iter().flat_map(open).collect()
    }

    /// Waits until something is raised, or for this long.
    pub fn wait(&self, longest: Duration) {
        self.raised.wait_for(&mut self.known.lock(), longest);
    }

    /// Has whoever waits look up.
    pub fn wake(&self) {
        self.raised.notify_all();
    }

    /// Says that a target has taken a notice.
    ///
    /// # Errors
    /// If that cannot be written down; after a crash it is then sent again.
    pub fn sent(&self, id: u64, target: &str) -> Result<(), RecordError> {
        let now = self.clock.now();
        self.note(id, target, |sending| {
            sending.sent_at = Some(now);
            sending.trouble = None;
        })
    }

    /// Says that a target has not, and why. `trouble` names a host and no secret.
    ///
    /// # Errors
    /// If that cannot be written down; after a crash it is then tried once more.
    pub fn failed(&self, id: u64, target: &str, trouble: &str) -> Result<(), RecordError> {
        self.note(id, target, |sending| {
            sending.tries += 1;
            sending.trouble = Some(trouble.to_owned());
        })
    }

    /// Says that there is no such target any more.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub fn gone(&self, id: u64, target: &str) -> Result<(), RecordError> {
        self.note(id, target, |sending| {
            sending.tries = Sending::TRIES_MAX;
            sending.trouble = Some("the policy names no such target any more".to_owned());
        })
    }

    fn note(
        &self,
        id: u64,
        target: &str,
        what: impl FnOnce(&mut Sending),
    ) -> Result<(), RecordError> {
        let mut known = self.known.lock();
        let notice = known.iter_mut().find(|notice| notice.id == id);
        let Some(notice) = notice else { return Ok(()) };
        let Some(sending) = notice.targets.get_mut(target) else { return Ok(()) };
        what(sending);
        stored::put(&*self.records, notice)
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notices({})", self.known.lock().len())
    }
}
