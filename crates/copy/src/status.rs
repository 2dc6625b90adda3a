//! How a copy is, for people and programs.

use crate::copies::Copy;
use crate::live::Doing;
use serde_json::{Value as Json, json};
use std::time::Instant;

/// The state of a copy as the API shows it.
pub(crate) fn of(copy: &Copy) -> Json {
    let stored = copy.stored();
    let newest = stored.versions.last();
    let run = stored.run.as_ref();
    let mut live = copy.live.lock();
    let rate = live.rate();
    let ranges: Vec<_> = run
        .and_then(|run| run.snapshot.as_ref())
        .map(|snapshot| snapshot.ranges.iter().collect())
        .unwrap_or_default();
    let (mut all, mut done) = (0, 0);
    for range in &ranges {
        all += range.rows.max(1);
        done += if range.done { range.rows.max(1) } else { 0 };
    }
    let read = live.snapshot.map_or(0, |(_, read)| read);
    let part = if all == 0 { 1.0 } else { (done.max(read) as f64 / all as f64).min(0.999) };
    let left = (rate > 0.0 && all > 0).then(|| (all as f64 * (1.0 - part) / rate).round());
    let lag_ms = live.lag.time.map(|time| time.as_millis() as u64);
    let signed = newest.and_then(|version| version.signed.as_ref());
    let (state, reason) = match &live.doing {
        Doing::Nothing if run.is_none() && signed.is_none() => ("proposed", None),
        Doing::Nothing if run.is_none() => ("signed", None),
        Doing::Nothing => ("stopped", None),
        Doing::Planning => ("planning", None),
        Doing::Snapshot => ("snapshot", None),
        Doing::Following => ("following", None),
        Doing::Waiting { reason, .. } => ("waiting", Some(reason.clone())),
        Doing::Paused { reason } => ("paused", Some(reason.clone())),
    };
    let again = match &live.doing {
        Doing::Waiting { again, .. } => {
            Some(again.saturating_duration_since(Instant::now()).as_secs())
        }
        _ => None,
    };
    let told = match state {
        "snapshot" => format!("snapshot {:.0} %", part * 100.0),
        "following" => match lag_ms {
            Some(lag) => format!("following, lag {:.1} s", lag as f64 / 1000.0),
            None => "following".to_owned(),
        },
        "proposed" => "proposed: waits for a guardian's signature".to_owned(),
        "signed" => format!("signed: start it with `clerestory copy run {}`", copy.name),
        state => match &reason {
            Some(reason) => format!("{state}: {reason}"),
            None => state.to_owned(),
        },
    };
    let tables: Vec<Json> = run
        .map(|run| run.tables.iter().collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .map(|(name, table)| {
            let counts = live.tables.get(name).cloned().unwrap_or_default();
            let of_table = ranges.iter().filter(|range| range.table == *name);
            json!({
                "table": name,
                "copied": table.copied,
                "ranges": of_table.clone().count(),
                "ranges_done": of_table.filter(|range| range.done).count(),
                "rows_stored": counts.rows,
                "rows_refused": counts.refused,
                "refused_because": counts.refused_because,
                "refused": counts.refusals.iter().map(|refusal| {
                    json!({ "at": refusal.at, "reason": refusal.reason })
                }).collect::<Vec<Json>>(),
                "values_left_out": counts.left_out,
                "values_unknown": counts.unknown,
            })
        })
        .collect();
    let notes: Vec<Json> = run
        .map(|run| run.notes.iter().rev().collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .map(|note| {
            let at = model::Timestamp(note.at).to_rfc3339();
            json!({ "at": at, "table": note.table, "what": note.what })
        })
        .collect();
    let is_above = match (live.lag.waiting, live.lag.waiting_max) {
        (Some(waiting), Some(most)) => waiting > most,
        _ => false,
    };
    let told = match is_above {
        true => format!("{told}; the source keeps more for it than lag_bytes_max"),
        false => told,
    };
    json!({
        "copy": copy.name,
        "state": state,
        "status": told,
        "reason": reason,
        "tries_again_in_s": again,
        "snapshot_part": (state == "snapshot").then_some(part),
        "seconds_left": (state == "snapshot").then_some(left).flatten(),
        "rows_per_second": rate.round(),
        "rows_stored": live.rows,
        "lag_ms": lag_ms,
        "lag_waiting": live.lag.waiting,
        "lag_waiting_max": live.lag.waiting_max,
        "lags_ms": live.lags,
        "tables": tables,
        "notes": notes,
        "new_tables": run.map(|run| run.came.keys().collect::<Vec<_>>()),
        "version": stored.versions.len(),
        "proposed_by": newest.map(|version| version.by.clone()),
        "signed_by": signed.map(|signed| signed.by.clone()),
        "changes": signed.map(|signed| signed.changes.clone()),
        "running_version": run.map(|run| run.version + 1),
        "started_by": run.map(|run| run.started_by.clone()),
    })
}
