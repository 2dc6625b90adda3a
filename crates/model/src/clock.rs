use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// RFC 3339 with milliseconds and `Z`, such as `2026-11-23T08:00:00.000Z`; years outside
    /// ±262,000 are written as the bare number of milliseconds.
    pub fn to_rfc3339(self) -> String {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            None => self.0.to_string(),
        }
    }

    /// Reads RFC 3339; fractions below a millisecond are cut off.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
        Some(Timestamp(time.timestamp_millis()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now, in UTC. May stand still or jump; whoever needs order uses sequence numbers.
    fn now(&self) -> Timestamp;

    /// What the computer's clock says, wherever `now` says something else: for what is compared
    /// with other people's clocks, and for the question whether the clock was set back.
    fn wall(&self) -> Timestamp {
        self.now()
    }

    /// Says that it was `time` already; a clock that never goes back is not before it from then on.
    fn not_before(&self, time: Timestamp) {
        let _ = time;
    }
}

/// The computer's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(chrono::Utc::now().timestamp_millis())
    }
}

/// The computer's clock, but never back: what has ended stays ended, whoever sets the clock.
///
/// Where the computer's clock falls behind what this one said, time goes on from there at the pace
/// of a clock that nobody sets.
#[derive(Debug)]
pub struct SteadyClock {
    /// The latest time there was, and when that was by the clock that nobody sets.
    latest: Mutex<(Timestamp, Instant)>,
}

impl SteadyClock {
    /// A clock that begins with the computer's time.
    pub fn start() -> SteadyClock {
        SteadyClock { latest: Mutex::new((SystemClock.now(), Instant::now())) }
    }

    fn at(&self, wall: Timestamp, now: Instant) -> Timestamp {
        // A thread that panicked here left two numbers that belong together.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, since) = *latest;
        let passed = now.saturating_duration_since(since).as_millis();
        let on = Timestamp(time.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX)));
        if wall < on {
            return on;
        }
        *latest = (wall, now);
        wall
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        self.at(self.wall(), Instant::now())
    }

    fn wall(&self) -> Timestamp {
        SystemClock.now()
    }

    fn not_before(&self, time: Timestamp) {
        self.at(time, Instant::now());
    }
}

/// A clock that only moves when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> ManualClock {
        ManualClock(AtomicI64::new(start.0))
    }

    /// Moves the clock by `milliseconds`; a negative number moves it back.
    pub fn advance(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clock_that_is_set_back_goes_on_from_where_it_was() {
        let clock = SteadyClock::start();
        let (start, since) = *clock.latest.lock().unwrap();
        let at = |wall: i64, seconds: u64| {
            clock.at(Timestamp(start.0 + wall), since + Duration::from_secs(seconds)).0 - start.0
        };
        assert_eq!(at(5_000, 5), 5_000);
        assert_eq!(at(-7_200_000, 6), 6_000, "an hour's grant does not live two hours longer");
        assert_eq!(at(-7_190_000, 16), 16_000);
        assert_eq!(at(20_000, 17), 20_000, "forward is believed");
        clock.not_before(Timestamp(start.0 + 90_000_000));
        assert!(clock.now().0 - start.0 >= 90_000_000, "as after a restart");
        assert!(clock.wall().0 - start.0 < 90_000_000);
    }
}
