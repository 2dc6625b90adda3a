//! Who carries notices outside, listens to what the audit record finds by itself, and keeps how late
//! it is.

use crate::error::chain;
use crate::latest_time::LatestTime;
use parking_lot::Mutex;
use protection::audit::{AuditLog, Event, EventKind};
use protection::notice::{Message, Notice, NoticeKind, Notices, Target, pause};
use protection::outside::Outside;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the herald looks up without being called.
const LOOK: Duration = Duration::from_millis(500);
/// So many refused log-ins within [`BURST_OF`] are more than people who mistype.
const BURST: u64 = 20;
const BURST_OF: Duration = Duration::from_secs(60);

/// What the audit record found, until the herald takes it: its writer must not wait.
#[derive(Default)]
struct Inbox(Mutex<Vec<Event>>);

/// Carries notices outside. Its thread ends with it; what is not delivered then is at the next
/// start.
pub(crate) struct Herald {
    errand: Arc<Errand>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Errand {
    notices: Arc<Notices>,
    outside: Option<Arc<dyn Outside>>,
    audit: Arc<AuditLog>,
    inbox: Arc<Inbox>,
    stopping: AtomicBool,
}

/// What only the thread knows.
#[derive(Default)]
struct Memory {
    /// Refused log-ins of late.
    refusals: VecDeque<(Instant, Event)>,
    /// Targets that did not take something: how often in a row, and until when they are left alone.
    pauses: HashMap<String, (u32, Instant)>,
}

impl Herald {
    /// Begins to listen to `audit` and to carry what `notices` holds. Without `outside` notices
    /// are only kept.
    pub(crate) fn start(
        notices: Arc<Notices>,
        outside: Option<Arc<dyn Outside>>,
        audit: Arc<AuditLog>,
        latest: LatestTime,
    ) -> std::io::Result<Herald> {
        let inbox = Arc::new(Inbox::default());
        let (of_record, to_wake) = (Arc::clone(&inbox), Arc::clone(&notices));
        audit.watch(move |event| {
            of_record.0.lock().push(event.clone());
            to_wake.wake();
        });
        // Folders that failed before anybody listened.
        let failing = audit.sinks().into_iter().filter_map(|sink| {
            let outcome = format!("{}: {}", sink.dir.display(), sink.trouble?);
            Some(Event { outcome, ..Event::new(EventKind::SinkFailed) })
        });
        inbox.0.lock().extend(failing);
        let errand = Errand { notices, outside, audit, inbox, stopping: AtomicBool::new(false) };
        let errand = Arc::new(errand);
        let of_thread = Arc::clone(&errand);
        let thread = std::thread::Builder::new()
            .name("herald".to_owned())
            .spawn(move || of_thread.run(latest))?;
        Ok(Herald { errand, thread: Mutex::new(Some(thread)) })
    }

    /// Stops when what is being sent is sent.
    pub(crate) fn stop(&self) {
        self.errand.stopping.store(true, Ordering::Release);
        self.errand.notices.wake();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that carries notices panicked");
        }
    }
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Errand {
    fn run(&self, mut latest: LatestTime) {
        let mut memory = Memory::default();
        loop {
            self.hear(&mut memory);
            if self.stopping.load(Ordering::Acquire) {
                latest.keep();
                return;
            }
            latest.look();
            self.deliver(&mut memory);
            self.notices.wait(LOOK);
        }
    }

    /// Makes notices of what the audit record found.
    fn hear(&self, memory: &mut Memory) {
        let events = std::mem::take(&mut *self.inbox.0.lock());
        for event in events {
            let outcome = &event.outcome;
            match event.kind {
                EventKind::SinkFailed => self.raise(
                    NoticeKind::AuditSink,
                    outcome,
                    format!("an audit folder fails: {outcome}"),
                ),
                EventKind::SinkBack | EventKind::SinkRemoved | EventKind::RecordsLost => {
                    self.raise(NoticeKind::AuditSink, outcome, format!("audit record: {outcome}"));
                }
                EventKind::ClockBack => self.raise(
                    NoticeKind::Clock,
                    "",
                    format!(
                        "{outcome}; what has ended stays ended, but times in the record are not \
                         to be trusted until it is set right"
                    ),
                ),
                EventKind::LoginFailed => memory.refusals.push_back((Instant::now(), event)),
                _ => {}
            }
        }
        self.hear_refusals(memory);
    }

    fn hear_refusals(&self, memory: &mut Memory) {
        while memory.refusals.front().is_some_and(|(at, _)| at.elapsed() > BURST_OF) {
            memory.refusals.pop_front();
        }
        let times = |event: &Event| event.times.unwrap_or(1);
        let all: u64 = memory.refusals.iter().map(|(_, event)| times(event)).sum();
        if all < BURST {
            return;
        }
        let distinct = |word: fn(&Event) -> &String| {
            let words: BTreeSet<&String> =
                memory.refusals.iter().map(|(_, event)| word(event)).collect();
            words.into_iter().filter(|word| !word.is_empty()).count()
        };
        let text = format!(
            "{all} log-ins were refused within a minute: {} accounts, {} networks. See: \
             clerestory audit show --kind login_failed",
            distinct(|event| &event.who),
            distinct(|event| &event.subject),
        );
        self.raise(NoticeKind::RefusedLogIns, "", text);
        memory.refusals.clear();
    }

    fn raise(&self, kind: NoticeKind, about: &str, text: String) {
        if let Err(error) = self.notices.raise(kind, about, text) {
            tracing::error!(cause = chain(&error), "a notice is not written down");
        }
    }

    /// Sends what is due, those first that failed least.
    fn deliver(&self, memory: &mut Memory) {
        let mut to_send = self.notices.to_send();
        to_send.sort_by_key(|(notice, name)| (notice.targets[name].tries, notice.id));
        let targets = self.notices.targets();
        for (notice, name) in to_send {
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            let Some(target) = targets.iter().find(|target| target.name == name) else {
                self.note(self.notices.gone(notice.id, &name));
                continue;
            };
            let is_left_alone =
                memory.pauses.get(&name).is_some_and(|(_, until)| Instant::now() < *until);
            if !is_left_alone {
                self.deliver_one(memory, &notice, target);
            }
        }
    }

    fn deliver_one(&self, memory: &mut Memory, notice: &Notice, target: &Target) {
        let name = &target.name;
        match self.send(notice, target) {
            Ok(()) => {
                memory.pauses.remove(name);
                self.note(self.notices.sent(notice.id, name));
                self.record(notice, name, "sent".to_owned());
            }
            Err(trouble) => {
                let tries = memory.pauses.get(name).map_or(0, |(tries, _)| *tries);
                let tries = tries.max(notice.targets[name].tries) + 1;
                memory.pauses.insert(name.clone(), (tries, Instant::now() + pause(tries)));
                tracing::warn!(notice = notice.id, target = name, trouble, "notice not taken");
                self.note(self.notices.failed(notice.id, name, &trouble));
                if notice.targets[name].tries == 0 {
                    self.record(notice, name, format!("failed: {trouble}"));
                }
            }
        }
    }

    /// Sends one notice; else why not, without a secret.
    fn send(&self, notice: &Notice, target: &Target) -> Result<(), String> {
        let outside = self.outside.as_ref().ok_or("this program reaches nobody outside")?;
        let message = self.notices.message(notice, target).map_err(|error| chain(&error))?;
        let message = message.ok_or(
            "its secret is not there; leave it with `clerestory notice secret` and propose the \
             target with the mark",
        )?;
        match message {
            Message::Mail(letter) => outside.mail(&letter).map_err(|error| error.0),
            Message::Http(request) => {
                let status = outside.send(&request).map_err(|error| error.0)?.status;
                match status {
                    200..300 => Ok(()),
                    status => Err(format!("{} answered with status {status}", target.host())),
                }
            }
        }
    }

    fn note(&self, written: Result<(), protection::RecordError>) {
        if let Err(error) = written {
            tracing::error!(cause = chain(&error), "what became of a notice is not written down");
        }
    }

    fn record(&self, notice: &Notice, target: &str, outcome: String) {
        let subject = format!("notice {} ({}) to {target}", notice.id, notice.kind.as_str());
        let event = Event { subject, outcome, ..Event::new(EventKind::NoticeSent) };
        if let Err(error) = self.audit.append(&event) {
            tracing::warn!(cause = chain(&error), "the way of a notice is not recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Clock, ManualClock, Timestamp};
    use protection::grant::{Policies, Policy};
    use protection::keys::KeyRing;
    use protection::{MemoryRecords, RecordStore};

    fn notices(clock: &Arc<ManualClock>) -> Arc<Notices> {
        let records: Arc<dyn RecordStore> = Arc::new(MemoryRecords::new());
        let policies = Arc::new(Policies::fixed(Policy::standard()));
        let clock = Arc::<ManualClock>::clone(clock) as Arc<dyn Clock>;
        Arc::new(Notices::open(records, policies, Arc::new(KeyRing::in_memory()), clock).unwrap())
    }

    fn latest(clock: &Arc<ManualClock>) -> LatestTime {
        let records: Arc<dyn RecordStore> = Arc::new(MemoryRecords::new());
        LatestTime::open(records, Arc::<ManualClock>::clone(clock) as Arc<dyn Clock>).unwrap()
    }

    #[test]
    fn what_the_record_finds_becomes_a_notice() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp(1_790_000_000_000)));
        let as_clock = Arc::<ManualClock>::clone(&clock) as Arc<dyn Clock>;
        let ring = Arc::new(KeyRing::in_memory());
        let audit = AuditLog::open(&dir.path().join("audit"), ring, as_clock).unwrap();
        let audit = Arc::new(audit);
        let notices = notices(&clock);
        let latest = latest(&clock);
        let herald = Herald::start(Arc::clone(&notices), None, Arc::clone(&audit), latest).unwrap();
        audit.append_durable(&Event::new(EventKind::Started)).unwrap();
        clock.advance(-3_600_000);
        audit.append_durable(&Event::new(EventKind::Started)).unwrap();
        for number in 0..30 {
            let subject = format!("192.0.2.{}", number % 3);
            let event = Event { subject, ..Event::new(EventKind::LoginFailed) };
            audit.append_counted(&event).unwrap();
        }
        audit.close();
        herald.stop();
        let said: Vec<String> = notices.list(9).into_iter().map(|one| one.text).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        // The record's writer may hand the refusals over in parts: the notice tells of those heard.
        let (many, rest) = said[0].split_once(' ').unwrap();
        assert!((BURST..=30).contains(&many.parse().unwrap()), "{}", said[0]);
        assert!(rest.starts_with("log-ins were refused within a minute: 0 accounts, 3 networks"));
        assert!(said[1].starts_with("the clock went back by 3600000 ms; what has ended stays"));
    }

    #[test]
    fn a_few_refusals_are_people_who_mistype() {
        let clock = Arc::new(ManualClock::at(Timestamp(1)));
        let dir = tempfile::tempdir().unwrap();
        let ring = Arc::new(KeyRing::in_memory());
        let as_clock = Arc::<ManualClock>::clone(&clock) as Arc<dyn Clock>;
        let audit = AuditLog::open(&dir.path().join("audit"), ring, as_clock).unwrap();
        let audit = Arc::new(audit);
        let notices = notices(&clock);
        let latest = latest(&clock);
        let herald = Herald::start(Arc::clone(&notices), None, Arc::clone(&audit), latest).unwrap();
        for _ in 1..BURST {
            audit.append_counted(&Event::new(EventKind::LoginFailed)).unwrap();
        }
        audit.close();
        herald.stop();
        assert!(notices.list(9).is_empty());
    }
}
