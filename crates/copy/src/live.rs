//! What a copy is doing now, for those who look.

use crate::{Lag, Refusal};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Rates are those of so long.
const WINDOW: Duration = Duration::from_secs(10);
/// So many points are kept for a chart of the lag, one every two seconds: half an hour.
const POINTS_MAX: usize = 900;
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
    /// When the snapshot began, and how many of its rows were read by then.
    pub(crate) snapshot: Option<(Instant, u64)>,
    recent: VecDeque<(Instant, u64)>,
    /// Milliseconds of lag, oldest first, and when the last was noted.
    pub(crate) lags: VecDeque<u64>,
    noted: Option<Instant>,
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
            noted: None,
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

    pub(crate) fn note_lag(&mut self, lag: Lag) {
        self.lag = lag;
        if self.noted.is_some_and(|noted| noted.elapsed() < Duration::from_secs(2)) {
            return;
        }
        self.noted = Some(Instant::now());
        self.lags.push_back(lag.time.map_or(0, |time| time.as_millis() as u64));
        if self.lags.len() > POINTS_MAX {
            self.lags.pop_front();
        }
    }

    fn forget(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.recent.pop_front();
        }
    }
}
