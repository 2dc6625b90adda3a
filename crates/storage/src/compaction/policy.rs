//! Which segments to merge: a pure decision.
//!
//! Segments fall into levels by size, each eight times the one below. Eight neighbours in time on
//! one level become one segment, so that a table of n rows has about 8 · log₈ n segments and each
//! row is written about log₈ n times. A segment that is mostly deletes is rewritten alone.

use model::SegmentId;

/// Segments merged at once.
const FAN_IN: usize = 8;
/// Smaller segments all count as the lowest level.
const LEVEL_0_ROWS: u64 = 40_000;
/// A segment of this size is not merged further.
const ROWS_MAX: u64 = 12_000_000;

/// What the policy knows of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: SegmentId,
    pub(crate) rows: u64,
    pub(crate) dead: u64,
    /// The time of its first row; the order in which segments are neighbours.
    pub(crate) starts: i64,
}

fn level(rows: u64) -> u32 {
    (rows / LEVEL_0_ROWS).checked_ilog2().map_or(0, |log| log / 3 + 1)
}

/// The segments to merge next, if any.
pub(crate) fn plan(segments: &[Candidate]) -> Option<Vec<SegmentId>> {
    if let Some(mostly_dead) = segments.iter().find(|segment| segment.dead * 2 > segment.rows) {
        return Some(vec![mostly_dead.id]);
    }
    let highest = segments.iter().map(|segment| level(segment.rows)).max()?;
    for wanted in 0..=highest {
        let mut same: Vec<&Candidate> = segments
            .iter()
            .filter(|segment| level(segment.rows) == wanted && segment.rows * 2 <= ROWS_MAX)
            .collect();
        if same.len() >= FAN_IN {
            same.sort_by_key(|segment| (segment.starts, segment.id));
            let mut rows = 0;
            let fitting = same.iter().take(FAN_IN).take_while(|segment| {
                rows += segment.rows;
                rows <= ROWS_MAX
            });
            return Some(fitting.map(|segment| segment.id).collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: u64, rows: u64) -> Candidate {
        Candidate { id: SegmentId(id), rows, dead: 0, starts: id as i64 }
    }

    #[test]
    fn the_number_of_segments_stays_logarithmic() {
        let mut segments: Vec<Candidate> = Vec::new();
        let mut written = 0_u64;
        for id in 0..2_000 {
            segments.push(candidate(id, 10_000));
            while let Some(chosen) = plan(&segments) {
                let rows = segments.iter().filter(|s| chosen.contains(&s.id)).map(|s| s.rows).sum();
                written += rows;
                let starts = segments.iter().find(|s| s.id == chosen[0]).unwrap().starts;
                segments.retain(|s| !chosen.contains(&s.id));
                segments.push(Candidate { starts, ..candidate(id + 10_000, rows) });
            }
            assert!(segments.len() <= 40, "{} segments after {id} flushes", segments.len());
        }
        assert_eq!(segments.iter().map(|s| s.rows).sum::<u64>(), 20_000_000);
        assert!(written < 20_000_000 * 5, "each row is written a few times, not {written}");
    }

    #[test]
    fn a_segment_of_deletes_is_rewritten() {
        let mut segments = vec![candidate(1, 100), candidate(2, 100)];
        assert_eq!(plan(&segments), None);
        segments[1].dead = 51;
        assert_eq!(plan(&segments), Some(vec![SegmentId(2)]));
    }
}
