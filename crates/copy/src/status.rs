//! How a copy is, for people and programs.

use crate::copies::Copy;
use crate::live::{Doing, Live};
use crate::state::{StoredCopy, StoredRange, StoredRun};
use serde_json::{Value as Json, json};
use std::time::Instant;

/// The state of a copy as the API shows it.
pub(crate) fn of(copy: &Copy) -> Json {
    let stored = copy.stored();
    let newest = stored.versions.last();
    let run = stored.run.as_ref();
    let signed = newest.and_then(|version| version.signed.as_ref());
    let mut live = copy.live.lock();
    let rate = live.rate();
    let state = State::of(&stored, &live.doing);
    let snapshot = (state.word == "snapshot").then(|| Progress::of(run, &live));
    let lag_ms = live.lag.time.map(|time| time.as_millis() as u64);
    let told = state.told(&copy.name, snapshot.as_ref(), lag_ms);
    let is_above = matches!(
        (live.lag.waiting, live.lag.waiting_max), (Some(waiting), Some(most)) if waiting > most
    );
    let told = match is_above {
        true => format!("{told}; the source keeps more for it than lag_bytes_max"),
        false => told,
    };
    json!({
        "copy": copy.name,
        "state": state.word,
        "status": told,
        "reason": state.reason,
        "tries_again_in_s": state.again,
        "failed_tries": state.tries,
        "snapshot_part": snapshot.as_ref().map(Progress::part),
        "seconds_left": snapshot.as_ref().and_then(|progress| progress.seconds_left(rate)),
        "rows_per_second": rate.round(),
        "rows_stored": live.rows,
        "lag_ms": lag_ms,
        "lag_waiting": live.lag.waiting,
        "lag_waiting_max": live.lag.waiting_max,
        "lags": live.lags().collect::<Vec<(i64, u64)>>(),
        "tables": tables(run, &live),
        "notes": notes(run),
        "new_tables": run.map(|run| run.came.keys().collect::<Vec<_>>()),
        "version": stored.versions.len(),
        "proposed_by": newest.map(|version| version.by.clone()),
        "signed_by": signed.map(|signed| signed.by.clone()),
        "changes": signed.map(|signed| signed.changes.clone()),
        "running_version": run.map(|run| run.version + 1),
        "started_by": run.map(|run| run.started_by.clone()),
    })
}

/// What it does, in a word and what belongs to it.
struct State {
    word: &'static str,
    reason: Option<String>,
    /// In how many seconds it tries again.
    again: Option<u64>,
    /// How often it failed one after the other.
    tries: Option<u32>,
}

impl State {
    fn of(stored: &StoredCopy, doing: &Doing) -> State {
        let plain = |word| State { word, reason: None, again: None, tries: None };
        let is_signed = stored.versions.last().is_some_and(|version| version.signed.is_some());
        match doing {
            Doing::Nothing if stored.run.is_none() && !is_signed => plain("proposed"),
            Doing::Nothing if stored.run.is_none() => plain("signed"),
            Doing::Nothing => plain("stopped"),
            Doing::Planning => plain("planning"),
            Doing::Snapshot => plain("snapshot"),
            Doing::Following => plain("following"),
            Doing::Waiting { reason, again, tries } => {
                let again = again.saturating_duration_since(Instant::now()).as_secs_f64();
                State {
                    reason: Some(reason.clone()),
                    again: Some(again.ceil() as u64),
                    tries: Some(*tries),
                    ..plain("waiting")
                }
            }
            Doing::Paused { reason } => State { reason: Some(reason.clone()), ..plain("paused") },
        }
    }

    /// In words.
    fn told(&self, name: &str, snapshot: Option<&Progress>, lag_ms: Option<u64>) -> String {
        match (self.word, &self.reason, snapshot, lag_ms) {
            (_, _, Some(progress), _) => format!("snapshot {:.0} %", progress.part() * 100.0),
            ("following", _, _, Some(lag)) => {
                format!("following, lag {:.1} s", lag as f64 / 1000.0)
            }
            ("proposed", ..) => "proposed: waits for a guardian's signature".to_owned(),
            ("signed", ..) => format!("signed: start it with `clerestory copy run {name}`"),
            ("waiting", Some(reason), ..) => {
                format!("waiting, next try in {} s: {reason}", self.again.unwrap_or_default())
            }
            (word, Some(reason), ..) => format!("{word}: {reason}"),
            (word, ..) => word.to_owned(),
        }
    }
}

/// How much of a snapshot was read.
struct Progress {
    /// About how many rows it has.
    all: u64,
    done: u64,
}

impl Progress {
    fn of(run: Option<&StoredRun>, live: &Live) -> Progress {
        let all = ranges(run).map(|range| range.rows.max(1)).sum();
        let whole: u64 =
            ranges(run).filter(|range| range.done).map(|range| range.rows.max(1)).sum();
        // What ended before this run, and what was read since: ranges are estimates, so it may be
        // more than they say.
        let read = live.snapshot.map_or(0, |snapshot| snapshot.before + snapshot.read);
        Progress { all, done: whole.max(read) }
    }

    /// Never the whole: that it is over is a state of its own.
    fn part(&self) -> f64 {
        if self.all == 0 { 0.0 } else { (self.done as f64 / self.all as f64).min(0.99) }
    }

    fn seconds_left(&self, rate: f64) -> Option<f64> {
        let left = self.all as f64 * (1.0 - self.part());
        (rate > 0.0 && self.all > 0).then(|| (left / rate).round())
    }
}

fn ranges(run: Option<&StoredRun>) -> impl Iterator<Item = &StoredRange> {
    run.and_then(|run| run.snapshot.as_ref()).into_iter().flat_map(|snapshot| &snapshot.ranges)
}

fn tables(run: Option<&StoredRun>, live: &Live) -> Vec<Json> {
    let tables = run.into_iter().flat_map(|run| &run.tables);
    let shown = tables.map(|(name, table)| {
        let counts = live.tables.get(name).cloned().unwrap_or_default();
        let of_table = || ranges(run).filter(|range| range.table == *name);
        json!({
            "table": name,
            "copied": table.copied,
            "ranges": of_table().count(),
            "ranges_done": of_table().filter(|range| range.done).count(),
            "rows_expected": of_table().map(|range| range.rows).sum::<u64>(),
            "rows_read": counts.read,
            "rows_stored": counts.rows,
            "rows_refused": counts.refused,
            "refused_because": counts.refused_because,
            "refused": counts.refusals.iter().map(|refusal| {
                json!({ "at": refusal.at, "reason": refusal.reason })
            }).collect::<Vec<Json>>(),
            "values_left_out": counts.left_out,
            "values_unknown": counts.unknown,
        })
    });
    shown.collect()
}

/// What happened to the source's tables, the newest first.
fn notes(run: Option<&StoredRun>) -> Vec<Json> {
    let notes = run.into_iter().flat_map(|run| run.notes.iter().rev());
    let shown = notes.map(|note| {
        let at = model::Timestamp(note.at).to_rfc3339();
        json!({ "at": at, "table": note.table, "what": note.what })
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Reading;
    use crate::state::{StoredSignature, StoredSnapshot, StoredVersion};
    use std::time::Duration;

    fn stored(signed: bool, run: Option<StoredRun>) -> StoredCopy {
        let signature = StoredSignature { by: "gus".into(), at: 0, changes: vec![], narrows: None };
        let signed = signed.then_some(signature);
        let version = StoredVersion { yaml: String::new(), by: "eve".into(), at: 0, signed };
        StoredCopy { made_at: 0, versions: vec![version], run }
    }

    fn snapshot(ranges: &[(u64, bool)]) -> StoredRun {
        let range = |(lane, &(rows, done)): (usize, &(u64, bool))| StoredRange {
            table: "t".into(),
            lane: lane.to_string(),
            bounds: String::new(),
            rows,
            done,
        };
        let ranges = ranges.iter().enumerate().map(range).collect();
        let snapshot = Some(StoredSnapshot { start: String::new(), ranges });
        StoredRun { snapshot, ..StoredRun::default() }
    }

    #[test]
    fn each_state_is_told_with_what_belongs_to_it() {
        let told =
            |stored: &StoredCopy, doing: &Doing, lag| State::of(stored, doing).told("p", None, lag);
        let running = stored(true, Some(StoredRun::default()));
        let nothing = Doing::Nothing;
        let signature = "proposed: waits for a guardian's signature";
        assert_eq!(told(&stored(false, None), &nothing, None), signature);
        assert_eq!(
            told(&stored(true, None), &nothing, None),
            "signed: start it with `clerestory copy run p`"
        );
        assert_eq!(told(&running, &nothing, None), "stopped");
        assert_eq!(told(&running, &Doing::Planning, None), "planning");
        assert_eq!(told(&running, &Doing::Following, Some(1_240)), "following, lag 1.2 s");
        assert_eq!(told(&running, &Doing::Following, None), "following");
        let again = Instant::now() + Duration::from_millis(7_500);
        let waiting = Doing::Waiting { reason: "nobody answers".into(), again, tries: 4 };
        assert_eq!(told(&running, &waiting, None), "waiting, next try in 8 s: nobody answers");
        let paused = Doing::Paused { reason: "by eve".into() };
        assert_eq!(told(&running, &paused, Some(9)), "paused: by eve");
    }

    #[test]
    fn progress_counts_what_an_earlier_run_read() {
        let run = snapshot(&[(300, true), (100, false), (600, false)]);
        let mut live = Live::default();
        let part = |live: &Live| Progress::of(Some(&run), live).part();
        assert!((part(&live) - 0.3).abs() < 1e-9);
        live.snapshot = Some(Reading { before: 300, read: 130 });
        assert!((part(&live) - 0.43).abs() < 1e-9);
        let state = State::of(&stored(true, Some(run.clone())), &Doing::Snapshot);
        let progress = Progress::of(Some(&run), &live);
        assert_eq!(state.told("p", Some(&progress), None), "snapshot 43 %");
        assert_eq!(progress.seconds_left(57.0), Some(10.0));
        assert_eq!(progress.seconds_left(0.0), None);
        // An estimate that was too low is no end.
        live.snapshot = Some(Reading { before: 300, read: 5_000 });
        assert!((part(&live) - 0.99).abs() < 1e-9);
        assert!(part(&Live::default()) < 1.0 && Progress { all: 0, done: 0 }.part() == 0.0);
    }
}
