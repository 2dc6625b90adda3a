//! Slows down guessing, without letting strangers lock anybody out.
//!
//! A failure counts for the name *from that network*, for the network over all names, and for the
//! name over all networks. The last one holds up only networks from which nobody ever got in under
//! that name: a person who logs in from where they always do is not held up by others' guesses.

use model::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Failures of late, and where people log in from. Memory is bounded: some 20 MB at most.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: HashMap<Source, Failures>,
    /// Where somebody got in under a name, the latest last.
    familiar: HashMap<NameHash, VecDeque<Network>>,
}

/// A keyed hash of a name as it was typed: what is typed there is now and then a password.
pub(super) type NameHash = [u8; 16];

/// Where a request comes from: an IPv4 address, the first 64 bits of an IPv6 address (one
/// household), or nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network([u8; 8]);

impl Network {
    pub(super) fn of(address: Option<IpAddr>) -> Network {
        let mut prefix = [0; 8];
        match address.map(|address| address.to_canonical()) {
            // A prefix of IPv6 that is never given out keeps both kinds apart.
            Some(IpAddr::V4(address)) => {
                prefix[..2].copy_from_slice(&[0x01, 0x04]);
                prefix[4..].copy_from_slice(&address.octets());
            }
            Some(IpAddr::V6(address)) => prefix.copy_from_slice(&address.octets()[..8]),
            None => {}
        }
        Network(prefix)
    }

    /// The larger network around it, which one customer may have: the first 48 bits of IPv6.
    fn around(self) -> Network {
        let Network(mut prefix) = self;
        if prefix[..2] != [0x01, 0x04] {
            prefix[6..].fill(0);
        }
        Network(prefix)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Pair(NameHash, Network),
    Name(NameHash),
    Network(Network),
    Around(Network),
    Code,
}

impl Source {
    /// Failures without a pause: a household shares more fingers than an account.
    fn free(self) -> u32 {
        match self {
            Source::Pair(..) | Source::Code => 5,
            Source::Network(_) => 20,
            Source::Name(_) => 50,
            Source::Around(_) => 200,
        }
    }

    fn pause_ms_max(self) -> u64 {
        match self {
            // Strangers can bring this about: it must stay bearable for who logs in from a new place.
            Source::Name(_) => 60_000,
            // There is one, and who wants in first is at the machine.
            Source::Code => 60_000,
            _ => 15 * 60_000,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Throttle {
    const PAUSE_MS_FIRST: u64 = 1_000;
    /// After this long without a failure all is forgotten.
    const FORGET_MS: i64 = 24 * 60 * 60 * 1000;
    const SOURCES_MAX: usize = 100_000;
    const FAMILIAR_NAMES_MAX: usize = 100_000;
    const FAMILIAR_OF_ONE_MAX: usize = 8;

    /// How long, in milliseconds, until this name may be tried again from this network; `None`:
    /// now.
    pub(super) fn wait_ms(&self, name: NameHash, from: Network, now: Timestamp) -> Option<u64> {
        let is_familiar = self.familiar.get(&name).is_some_and(|known| known.contains(&from));
        sources(name, from)
            .into_iter()
            .filter(|source| !(is_familiar && matches!(source, Source::Name(_))))
            .filter_map(|source| self.wait_of(source, now))
            .max()
    }

    /// How long until an enrolment code may be tried again.
    pub(super) fn code_wait_ms(&self, now: Timestamp) -> Option<u64> {
        self.wait_of(Source::Code, now)
    }

    fn wait_of(&self, source: Source, now: Timestamp) -> Option<u64> {
        let failures = self.failures.get(&source)?;
        let beyond = failures.count.checked_sub(source.free())?;
        let pause = (Self::PAUSE_MS_FIRST << beyond.min(20)).min(source.pause_ms_max());
        // A clock that was set back must not lock anybody out for long.
        let passed = u64::try_from(now.0.saturating_sub(failures.last.0)).unwrap_or(u64::MAX);
        pause.checked_sub(passed).filter(|&wait| wait > 0)
    }

    /// Counts a failure of this name from this network.
    pub(super) fn failed(&mut self, name: NameHash, from: Network, now: Timestamp) {
        for source in sources(name, from) {
            self.count(source, now);
        }
    }

    /// Counts a wrong enrolment code.
    pub(super) fn code_failed(&mut self, now: Timestamp) {
        self.count(Source::Code, now);
    }

    fn count(&mut self, source: Source, now: Timestamp) {
        if self.failures.len() >= Self::SOURCES_MAX && !self.failures.contains_key(&source) {
            self.make_room(now);
        }
        let failures = self.failures.entry(source).or_insert(Failures { count: 0, last: now });
        if now.0.saturating_sub(failures.last.0) > Self::FORGET_MS {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// Somebody got in: forgets what failed under this name from there, and remembers the place.
    pub(super) fn succeeded(&mut self, name: NameHash, from: Network) {
        self.failures.remove(&Source::Pair(name, from));
        if self.familiar.len() >= Self::FAMILIAR_NAMES_MAX && !self.familiar.contains_key(&name) {
            self.familiar.clear();
        }
        let known = self.familiar.entry(name).or_default();
        known.retain(|network| *network != from);
        known.push_back(from);
        if known.len() > Self::FAMILIAR_OF_ONE_MAX {
            known.pop_front();
        }
    }

    /// Old ones go first, then those without a pause, then the older half of the others.
    fn make_room(&mut self, now: Timestamp) {
        self.failures
            .retain(|_, failures| now.0.saturating_sub(failures.last.0) <= Self::FORGET_MS);
        if self.failures.len() >= Self::SOURCES_MAX {
            self.failures.retain(|source, failures| failures.count >= source.free());
        }
        if self.failures.len() >= Self::SOURCES_MAX {
            let mut times: Vec<i64> = self.failures.values().map(|failed| failed.last.0).collect();
            let (_, middle, _) = times.select_nth_unstable(Self::SOURCES_MAX / 2);
            let middle = *middle;
            self.failures.retain(|_, failures| failures.last.0 > middle);
        }
        if self.failures.len() >= Self::SOURCES_MAX {
            self.failures.clear();
        }
    }
}

fn sources(name: NameHash, from: Network) -> Vec<Source> {
    let mut sources = vec![Source::Pair(name, from), Source::Name(name)];
    // Where nobody knows the network there is none to hold up.
    if from != Network::of(None) {
        sources.push(Source::Network(from));
        if from.around() != from {
            sources.push(Source::Around(from.around()));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: NameHash = [1; 16];

    fn network(text: &str) -> Network {
        Network::of(Some(text.parse().unwrap()))
    }

    fn name(number: u32) -> NameHash {
        let mut name = [9; 16];
        name[..4].copy_from_slice(&number.to_be_bytes());
        name
    }

    #[test]
    fn the_pause_grows_and_is_forgotten() {
        let mut throttle = Throttle::default();
        let home = network("192.0.2.7");
        let wait = |throttle: &Throttle, now| throttle.wait_ms(ADA, home, Timestamp(now));
        for _ in 0..4 {
            throttle.failed(ADA, home, Timestamp(0));
            assert_eq!(wait(&throttle, 0), None);
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            throttle.failed(ADA, home, Timestamp(0));
            waits.push(wait(&throttle, 0).unwrap() / 1000);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(wait(&throttle, 899_000), Some(1000));
        assert_eq!(wait(&throttle, 900_000), None);
        assert_eq!(wait(&throttle, -1), None, "the clock was set back");
        throttle.failed(ADA, home, Timestamp(900_000));
        assert_eq!(wait(&throttle, 900_000), Some(900_000), "one more is not free");
        throttle.failed(ADA, home, Timestamp(3 * 24 * 3_600_000));
        assert_eq!(wait(&throttle, 3 * 24 * 3_600_000), None);
    }

    #[test]
    fn strangers_do_not_lock_anybody_out() {
        let mut throttle = Throttle::default();
        let (home, cafe) = (network("192.0.2.7"), network("198.51.100.9"));
        throttle.succeeded(ADA, home);
        let now = Timestamp(0);
        for number in 0..2000_u32 {
            let [_, _, high, low] = number.to_be_bytes();
            throttle.failed(ADA, network(&format!("203.0.{high}.{low}")), now);
        }
        assert_eq!(throttle.wait_ms(ADA, home, now), None, "from where she always logs in");
        let elsewhere = throttle.wait_ms(ADA, cafe, now).unwrap();
        assert!(elsewhere <= 60_000, "from a new place she waits a minute: {elsewhere}");
        assert!(throttle.wait_ms(ADA, network("203.0.0.1"), now).is_some(), "and so do they");
        // Her own wrong passwords at home count at home.
        for _ in 0..5 {
            throttle.failed(ADA, home, now);
        }
        assert_eq!(throttle.wait_ms(ADA, home, now), Some(1000));
        throttle.succeeded(ADA, home);
        assert_eq!(throttle.wait_ms(ADA, home, now), None);
    }

    #[test]
    fn a_network_is_slowed_down_over_all_names() {
        let mut throttle = Throttle::default();
        let now = Timestamp(0);
        for number in 0..20 {
            throttle.failed(name(number), network("2001:db8:1:2::7"), now);
        }
        assert!(throttle.wait_ms(ADA, network("2001:db8:1:2:ffff::1"), now).is_some());
        assert_eq!(throttle.wait_ms(ADA, network("2001:db8:1:3::7"), now), None);
        // Who has a whole /48 tries from one /64 after the other.
        for number in 20..220 {
            throttle.failed(name(number), network(&format!("2001:db8:1:{number:x}::7")), now);
        }
        assert!(throttle.wait_ms(ADA, network("2001:db8:1:ffff::7"), now).is_some());
        assert_eq!(throttle.wait_ms(ADA, network("2001:db8:2::7"), now), None);
        assert_eq!(throttle.wait_ms(ADA, network("192.0.2.8"), now), None);
    }

    #[test]
    fn networks_are_told_apart() {
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_ne!(network("::"), network("0.0.0.0"));
        assert_ne!(network("0.0.0.0"), Network::of(None));
        assert_eq!(network("192.0.2.7").around(), network("192.0.2.7"));
    }

    #[test]
    fn codes_are_slowed_down_all_together() {
        let mut throttle = Throttle::default();
        for _ in 0..5 {
            assert_eq!(throttle.code_wait_ms(Timestamp(0)), None);
            throttle.code_failed(Timestamp(0));
        }
        assert_eq!(throttle.code_wait_ms(Timestamp(0)), Some(1000));
    }

    #[test]
    fn memory_is_bounded_and_those_who_are_held_up_stay() {
        let mut throttle = Throttle::default();
        let attacker = network("192.0.2.66");
        for _ in 0..30 {
            throttle.failed(ADA, attacker, Timestamp(0));
        }
        for number in 0..150_000_u32 {
            let [_, high, middle, low] = number.to_be_bytes();
            let from = network(&format!("10.{high}.{middle}.{low}"));
            throttle.failed(name(number), from, Timestamp(1));
            throttle.succeeded(name(number), from);
        }
        assert!(throttle.failures.len() <= Throttle::SOURCES_MAX + 4);
        assert!(throttle.familiar.len() <= Throttle::FAMILIAR_NAMES_MAX);
        assert!(throttle.wait_ms(ADA, attacker, Timestamp(1)).is_some());
    }
}
