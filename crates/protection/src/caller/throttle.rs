use model::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;

/// Slows down guessing: after some failures each further one doubles the pause.
///
/// Counts per name as it was typed, whether there is such an account or not, and per network.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: HashMap<Source, Failures>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// A keyed hash of the name: what is typed here is now and then a password.
    Name([u8; 16]),
    /// An IPv4 address, or the first 64 bits of an IPv6 address: one household.
    Network([u8; 8]),
    /// Enrolment codes, all together.
    Code,
}

impl Source {
    pub(super) fn network(address: IpAddr) -> Source {
        let mut prefix = [0; 8];
        match address.to_canonical() {
            IpAddr::V4(address) => prefix[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => prefix.copy_from_slice(&address.octets()[..8]),
        }
        Source::Network(prefix)
    }

    /// Failures without a pause: a household shares more fingers than an account.
    fn free(&self) -> u32 {
        match self {
            Source::Name(_) | Source::Code => 5,
            Source::Network(_) => 20,
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
    const PAUSE_MS_MAX: u64 = 60_000;
    /// After this long without a failure all is forgotten.
    const FORGET_MS: i64 = 15 * 60 * 1000;
    const SOURCES_MAX: usize = 100_000;

    /// How long, in milliseconds, until any of the `sources` may try again; `None`: now.
    pub(super) fn wait_ms(&self, sources: &[Source], now: Timestamp) -> Option<u64> {
        sources.iter().filter_map(|source| self.wait_of(source, now)).max()
    }

    fn wait_of(&self, source: &Source, now: Timestamp) -> Option<u64> {
        let failures = self.failures.get(source)?;
        let beyond = failures.count.checked_sub(source.free())?;
        let pause = (Self::PAUSE_MS_FIRST << beyond.min(10)).min(Self::PAUSE_MS_MAX);
        // A clock that was set back must not lock anybody out for long.
        let passed = u64::try_from(now.0.saturating_sub(failures.last.0)).unwrap_or(u64::MAX);
        pause.checked_sub(passed).filter(|&wait| wait > 0)
    }

    /// Counts one failure of each source.
    pub(super) fn failed(&mut self, sources: &[Source], now: Timestamp) {
        if self.failures.len() >= Self::SOURCES_MAX {
            self.make_room(now);
        }
        for source in sources {
            let failures =
                self.failures.entry(source.clone()).or_insert(Failures { count: 0, last: now });
            if now.0.saturating_sub(failures.last.0) > Self::FORGET_MS {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
        }
    }

    /// Forgets the failures of `source` after a success.
    pub(super) fn succeeded(&mut self, source: &Source) {
        self.failures.remove(source);
    }

    /// Old ones go first; if all are young, those that only failed a few times.
    fn make_room(&mut self, now: Timestamp) {
        self.failures
            .retain(|_, failures| now.0.saturating_sub(failures.last.0) <= Self::FORGET_MS);
        if self.failures.len() >= Self::SOURCES_MAX {
            self.failures.retain(|source, failures| failures.count >= source.free());
        }
        if self.failures.len() >= Self::SOURCES_MAX {
            self.failures.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_and_is_forgotten() {
        let name = [Source::Name([1; 16])];
        let mut throttle = Throttle::default();
        for _ in 0..4 {
            throttle.failed(&name, Timestamp(0));
            assert_eq!(throttle.wait_ms(&name, Timestamp(0)), None);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            throttle.failed(&name, Timestamp(0));
            waits.push(throttle.wait_ms(&name, Timestamp(0)).unwrap());
        }
        assert_eq!(waits, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!(throttle.wait_ms(&name, Timestamp(59_000)), Some(1000));
        assert_eq!(throttle.wait_ms(&name, Timestamp(60_000)), None);
        assert_eq!(throttle.wait_ms(&name, Timestamp(-1)), None, "the clock was set back");
        assert_eq!(throttle.wait_ms(&[Source::Name([2; 16])], Timestamp(0)), None);

        throttle.failed(&name, Timestamp(20 * 60 * 1000));
        assert_eq!(throttle.wait_ms(&name, Timestamp(20 * 60 * 1000)), None, "forgotten");
        for _ in 0..5 {
            throttle.failed(&name, Timestamp(20 * 60 * 1000));
        }
        throttle.succeeded(&name[0]);
        assert_eq!(throttle.wait_ms(&name, Timestamp(20 * 60 * 1000)), None);
    }

    #[test]
    fn a_network_is_a_household() {
        let network = |text: &str| Source::network(text.parse().unwrap());
        assert_eq!(network("192.0.2.7"), network("::ffff:192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2::2"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        for number in 0..150_000u32 {
            let mut name = [0; 16];
            name[..4].copy_from_slice(&number.to_le_bytes());
            throttle.failed(&[Source::Name(name)], Timestamp(0));
        }
        assert!(throttle.failures.len() <= Throttle::SOURCES_MAX);
    }
}
