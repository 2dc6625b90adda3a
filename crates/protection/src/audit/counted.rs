use super::Event;
use std::time::{Duration, Instant};

/// Equal events of this long become one record.
pub(super) const COUNT_FOR: Duration = Duration::from_secs(5);
/// So many different ones of known accounts in that time; the others are only counted.
const KNOWN_MAX: usize = 32;
/// So many of nobody known: whoever makes names up must not crowd out the rest.
const UNKNOWN_MAX: usize = 8;

/// Events that anybody can cause as often as they like, such as failed log-ins. They are counted,
/// so that a flood of them cannot fill the disk: at most 41 records every five seconds.
#[derive(Default)]
pub(super) struct Counted {
    since: Option<Instant>,
    events: Vec<(Event, u64)>,
    /// Beyond the bounds; the last of them stands for all.
    others: Option<(Event, u64)>,
}

impl Counted {
    pub(super) fn add(&mut self, event: &Event) {
        self.since.get_or_insert_with(Instant::now);
        if let Some((_, times)) = self.events.iter_mut().find(|(known, _)| known == event) {
            *times += 1;
            return;
        }
        let is_known = |event: &Event| !event.who.is_empty();
        let alike = self.events.iter().filter(|(other, _)| is_known(other) == is_known(event));
        let max = if is_known(event) { KNOWN_MAX } else { UNKNOWN_MAX };
        if alike.count() < max {
            self.events.push((event.clone(), 1));
        } else {
            let times = self.others.take().map_or(0, |(_, times)| times);
            let subject = "several, too many to name each".to_owned();
            let other = Event { subject, outcome: event.outcome.clone(), ..Event::new(event.kind) };
            self.others = Some((other, times + 1));
        }
    }

    /// When what was counted has to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + COUNT_FOR)
    }

    /// One event for each that was counted, with how often it came.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Event> {
        let Counted { events, others, .. } = std::mem::take(self);
        events.into_iter().chain(others).map(|(event, times)| Event { times: Some(times), ..event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::EventKind;

    fn failed(who: &str, subject: &str) -> Event {
        Event {
            who: who.to_owned(),
            subject: subject.to_owned(),
            ..Event::new(EventKind::LoginFailed)
        }
    }

    #[test]
    fn a_flood_becomes_few_records_and_hides_nobody() {
        let mut counted = Counted::default();
        assert_eq!(counted.due(), None);
        for number in 0..100_000 {
            counted.add(&failed("", &number.to_string()));
        }
        counted.add(&failed("ada", "192.0.2.7"));
        counted.add(&failed("ada", "192.0.2.7"));
        assert!(counted.due().is_some());
        let taken: Vec<Event> = counted.take().collect();
        assert_eq!(taken.len(), UNKNOWN_MAX + 2);
        assert_eq!(taken.iter().filter_map(|event| event.times).sum::<u64>(), 100_002);
        let of_ada = taken.iter().find(|event| event.who == "ada").unwrap();
        assert_eq!(of_ada.times, Some(2));
        assert_eq!((counted.due(), counted.take().count()), (None, 0));
    }
}
