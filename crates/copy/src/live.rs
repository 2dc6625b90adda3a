//! What a copy is doing now, for those who look.

use crate::{Lag, Refusal};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Rates are those of so long.
const WINDOW: Duration = Duration::from_secs(10);
/// How long one point of the lag stands for, in milliseconds: its worst.
const POINT_MS: i64 = 20_000;
/// So many points are kept: eight hours.
const POINTS_MAX: usize = 1_440;
/// So many things that were no rows are kept by name.
const REFUSALS_MAX: usize = 50;

/// The state of a copy in a word and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Doing {
    /// Not started, or stopped with the server.
    Nothing,
    Planning,
    Snapshot,
    Following,
    /// Something failed for now.
    Waiting {
        reason: String,
        again: Instant,
        /// How often it failed, one after the other.
        tries: u32,
    },
    Paused {
        reason: String,
    },
}

/// What a running copy counts.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) doing: Doing,
    pub(crate) tables: BTreeMap<String, LiveTable>,
    pub(crate) lag: Lag,
    /// Rows stored since the server started.
    pub(crate) rows: u64,
    /// The snapshot that is being read.
    pub(crate) snapshot: Option<Reading>,
    recent: VecDeque<(Instant, u64)>,
    /// When a stretch of time began, and the longest lag in it, in milliseconds; oldest first.
    lags: VecDeque<(i64, u64)>,
}

/// How far reading a snapshot is, in rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// What earlier runs read of it.
    pub(crate) before: u64,
    pub(crate) read: u64,
}

/// Of one table, since the server started.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveTable {
    pub(crate) rows: u64,
    /// Rows of the snapshot.
    pub(crate) read: u64,
    pub(crate) refused: u64,
    pub(crate) refused_because: Option<String>,
    /// The newest things that were no rows: where and why.
    pub(crate) refusals: VecDeque<Refusal>,
    pub(crate) unknown: u64,
    /// Values that their field cannot hold, by column.
    pub(crate) left_out: BTreeMap<String, u64>,
}

impl LiveTable {
    pub(crate) fn refuse(&mut self, refused: &[Refusal]) {
        self.refused += refused.len() as u64;
        let newest = &refused[refused.len().saturating_sub(REFUSALS_MAX)..];
        self.refusals.extend(newest.iter().cloned());
        let excess = self.refusals.len().saturating_sub(REFUSALS_MAX);
        self.refusals.drain(..excess);
        if let Some(last) = refused.last() {
            self.refused_because = Some(format!("{}: {}", last.at, last.reason));
        }
    }
}

impl Default for Live {
    fn default() -> Live {
        Live {
            doing: Doing::Nothing,
            tables: BTreeMap::new(),
            lag: Lag::default(),
            rows: 0,
            snapshot: None,
            recent: VecDeque::new(),
            lags: VecDeque::new(),
        }
    }
}

impl Live {
    pub(crate) fn count(&mut self, rows: u64) {
        let now = Instant::now();
        self.rows += rows;
        self.recent.push_back((now, rows));
        self.forget(now);
    }

    /// Rows a second over the last seconds.
    pub(crate) fn rate(&mut self) -> f64 {
        let now = Instant::now();
        self.forget(now);
        let Some((first, _)) = self.recent.front() else { return 0.0 };
        let rows: u64 = self.recent.iter().map(|(_, rows)| rows).sum();
        rows as f64 / now.duration_since(*first).as_secs_f64().max(1.0)
    }

    /// Notes how far behind the copy is at `now`, in milliseconds since 1970. A time that is not
    /// known leaves a gap.
    pub(crate) fn note_lag(&mut self, lag: Lag, now: i64) {
        self.lag = lag;
        let Some(time) = lag.time else { return };
        let (at, ms) = (now.div_euclid(POINT_MS) * POINT_MS, time.as_millis() as u64);
        match self.lags.back_mut() {
            Some((last, worst)) if *last >= at => *worst = (*worst).max(ms),
            _ => self.lags.push_back((at, ms)),
        }
        if self.lags.len() > POINTS_MAX {
            self.lags.pop_front();
        }
    }

    /// When a stretch of time began, and the longest lag in it; oldest first.
    pub(crate) fn lags(&self) -> impl Iterator<Item = (i64, u64)> {
        self.lags.iter().copied()
    }

    fn forget(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_lag_of_each_stretch_is_kept_and_not_for_ever() {
        let mut live = Live::default();
        let lag =
            |ms| Lag { time: Some(Duration::from_millis(ms)), waiting: None, ..Lag::default() };
        for (now, ms) in [(40_000, 5), (59_999, 900), (50_000, 7), (60_000, 3)] {
            live.note_lag(lag(ms), now);
        }
        live.note_lag(Lag { time: None, waiting: Some(1), ..Lag::default() }, 90_000);
        assert_eq!(live.lags().collect::<Vec<_>>(), [(40_000, 900), (60_000, 3)]);
        for point in 0..2_000 {
            live.note_lag(lag(1), point * POINT_MS);
        }
        assert_eq!(live.lags().count(), POINTS_MAX);
        assert_eq!(live.lags().last(), Some((1_999 * POINT_MS, 1)));
    }
}
