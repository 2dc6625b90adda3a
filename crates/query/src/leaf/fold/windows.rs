//! Distinct values in windows of time that overlap.
//!
//! As groups by ranges every row would be counted once in each window that it lies in. Here time is
//! cut where any window begins or ends, each piece gets the set of its values once, and a window is
//! the union of its pieces.

use super::dates::Intervals;
use super::merge::Merger;
use super::tile::cover;
use super::{Ground, Kind, Measure, MeasureOf, Piece, Plan, Ready, in_parallel};
use crate::{Group, GroupBy, QueryError};
use arrow::array::ArrayRef;

/// Fewer windows are not worth it.
const WINDOWS_MIN: usize = 4;

/// From when (inclusive) to when (exclusive), in milliseconds; all time without.
pub(super) type Window = (i64, i64);

/// The windows of a question that this answers faster: distinct values by ranges of a date.
pub(super) fn windows_of(plan: &Plan<'_>, measures: &[MeasureOf]) -> Option<Vec<Window>> {
    let (Some(Group { by: GroupBy::Ranges { ranges, .. }, keep_missing: false }), Some(Kind::Date)) =
        (plan.groups.first(), plan.group_kinds.first().copied().flatten())
    else {
        return None;
    };
    let is_distinct = |of: &MeasureOf| matches!(of.measure, Measure::Distinct(_));
    if ranges.len() < WINDOWS_MIN || measures.is_empty() || !measures.iter().all(is_distinct) {
        return None;
    }
    // Whole milliseconds: otherwise a row could lie on the other side of an end.
    let is_whole = |end: &Option<f64>| end.is_none_or(|end| end.fract() == 0.0);
    if !ranges.iter().all(|(from, to)| is_whole(from) && is_whole(to)) {
        return None;
    }
    let window = |(from, to): &(Option<f64>, Option<f64>)| {
        (from.map_or(i64::MIN, |from| from as i64), to.map_or(i64::MAX, |to| to as i64))
    };
    Some(ranges.iter().map(window).collect())
}

/// Group columns, the place of the window first, then the measures.
pub(super) fn fold(
    job: &Ground<'_>,
    mut plan: Plan<'_>,
    measures: &[MeasureOf],
    windows: &[Window],
) -> Result<Vec<ArrayRef>, QueryError> {
    let mut edges: Vec<i64> = windows.iter().flat_map(|(from, to)| [*from, *to]).collect();
    edges.extend([i64::MIN, i64::MAX]);
    edges.sort_unstable();
    edges.dedup();
    plan.pieces = Some(edges);
    let asked: Vec<Measure> = measures.iter().map(|of| of.measure.clone()).collect();
    let counted = plan.measures.iter().map(|planned| planned.shared.clone()).collect();
    let mut merger = Merger::new(plan.shared.clone(), &asked, counted, job.limits.groups);
    let covered = cover(job, &plan)?;
    for partial in covered.partials {
        merger.add(partial)?;
    }
    let ready = in_parallel(job.limits.threads, &covered.rest, |rest| plan.prepare(job, rest))?;
    let pieces: Vec<Piece<'_>> = ready.iter().flat_map(Ready::pieces).collect();
    // Never alone: sets are wanted, not their sizes.
    let partials = in_parallel(job.limits.threads, &pieces, |piece| plan.fold(job, piece, false))?;
    for partial in partials {
        job.limits.check()?;
        merger.add(partial)?;
    }
    let check = || job.limits.check();
    merger.finish_windows(&plan.group_types(), windows, &check)
}

/// The pieces as intervals.
pub(super) fn intervals(edges: &[i64]) -> Intervals {
    Intervals::of(edges.to_vec())
}
