//! Which of the groups of a fold become buckets.

use super::super::columns::Cell;
use super::super::{BUCKETS_MAX, EsError};
use super::key::Key;
use super::metric::Metrics;
use super::order::Orders;
use super::{Composite, Histogram, Step, Terms};
use regex::Regex;
use std::collections::{BTreeMap, HashSet};

/// A group of a fold, without the groups around it.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) keys: Vec<Key>,
    pub(super) count: u64,
    pub(super) cells: Vec<Cell>,
}

/// The buckets below one bucket, in their order.
pub(super) struct Chosen {
    pub(super) buckets: Vec<Bucket>,
    /// Rows of the buckets that were left out.
    pub(super) other: u64,
}

/// Which terms may become buckets.
pub(super) enum Allowed {
    Keys(HashSet<Key>),
    Regexp(Regex),
}

impl Allowed {
    fn holds(&self, key: &Key) -> bool {
        match (self, key) {
            (Allowed::Keys(keys), key) => keys.contains(key),
            (Allowed::Regexp(regex), Key::Text(text)) => regex.is_match(text),
            (Allowed::Regexp(_), _) => false,
        }
    }
}

/// `include` and `exclude`.
#[derive(Default)]
pub(super) struct Allowance {
    pub(super) include: Option<Allowed>,
    pub(super) exclude: Option<Allowed>,
}

impl Allowance {
    /// Whether a term may become a bucket.
    pub(super) fn holds(&self, bucket: &Bucket) -> bool {
        let Some(key) = bucket.keys.first() else { return true };
        self.include.as_ref().is_none_or(|allowed| allowed.holds(key))
            && !self.exclude.as_ref().is_some_and(|allowed| allowed.holds(key))
    }
}

fn empty(key: Key) -> Bucket {
    Bucket { keys: vec![key], count: 0, cells: Vec::new() }
}

/// The first terms in their order. `all`: every term there is, for `min_doc_count` of 0.
pub(super) fn terms(
    spec: &Terms,
    allowance: &Allowance,
    orders: &Orders,
    metrics: &Metrics,
    all: &[Key],
    mut found: Vec<Bucket>,
) -> Result<Chosen, EsError> {
    if spec.min_doc_count == 0 {
        let known: HashSet<Key> =
            found.iter().filter_map(|bucket| bucket.keys.first().cloned()).collect();
        found.extend(all.iter().filter(|key| !known.contains(key)).cloned().map(empty));
    }
    found.retain(|bucket| allowance.holds(bucket));
    let rows: u64 = found.iter().map(|bucket| bucket.count).sum();
    found.retain(|bucket| bucket.count >= spec.min_doc_count);
    orders.sort(&mut found, metrics)?;
    found.truncate(spec.size);
    let shown: u64 = found.iter().map(|bucket| bucket.count).sum();
    Ok(Chosen { buckets: found, other: rows - shown })
}

/// The ends of a histogram: those it is stretched to, and those it is cut at.
#[derive(Clone, Copy, Default)]
pub(super) struct Ends {
    pub(super) extended: (Option<f64>, Option<f64>),
    pub(super) hard: (Option<f64>, Option<f64>),
}

/// The buckets of a histogram, the empty ones between them included if asked for.
pub(super) fn histogram(
    spec: &Histogram,
    ends: Ends,
    orders: &Orders,
    metrics: &Metrics,
    found: Vec<Bucket>,
) -> Result<Chosen, EsError> {
    let step = Steps { step: spec.step };
    let number = |key: &Key| match key {
        Key::Long(number) => Some(*number as f64),
        Key::Double(number) => Some(*number),
        _ => None,
    };
    let mut by_place: BTreeMap<i64, Bucket> = BTreeMap::new();
    for bucket in found {
        let Some(start) = bucket.keys.first().and_then(number) else { continue };
        let beyond = |end: Option<f64>| end.and_then(|end| step.floor(end));
        let place = step.place(&bucket.keys[0]);
        if beyond(ends.hard.0).is_some_and(|first| place < first)
            || ends.hard.1.is_some_and(|last| start > last)
        {
            continue;
        }
        by_place.insert(place, bucket);
    }
    if spec.min_doc_count == 0 {
        let within = |place: i64| {
            let low = ends.hard.0.and_then(|end| step.floor(end)).unwrap_or(i64::MIN);
            let high = ends.hard.1.and_then(|end| step.floor(end)).unwrap_or(i64::MAX);
            place.clamp(low, high.max(low))
        };
        let first =
            [by_place.keys().next().copied(), ends.extended.0.and_then(|end| step.floor(end))];
        let last =
            [by_place.keys().last().copied(), ends.extended.1.and_then(|end| step.floor(end))];
        let first = first.into_iter().flatten().min().map(within);
        let last = last.into_iter().flatten().max().map(within);
        if let (Some(first), Some(last)) = (first, last) {
            fill(&step, first, last, &mut by_place)?;
        }
    }
    let mut buckets: Vec<Bucket> =
        by_place.into_values().filter(|bucket| bucket.count >= spec.min_doc_count).collect();
    if !spec.order.is_empty() {
        orders.sort(&mut buckets, metrics)?;
    }
    Ok(Chosen { buckets, other: 0 })
}

/// Puts an empty bucket wherever none is between two places.
fn fill(
    step: &Steps,
    first: i64,
    last: i64,
    buckets: &mut BTreeMap<i64, Bucket>,
) -> Result<(), EsError> {
    let anchors: Vec<i64> = buckets.keys().copied().filter(|place| *place > first).collect();
    let mut anchors = anchors.into_iter().peekable();
    let mut place = first;
    let mut made = 0;
    while place <= last {
        while anchors.next_if(|anchor| *anchor <= place).is_some() {}
        buckets.entry(place).or_insert_with(|| empty(step.key(place)));
        made += 1;
        if made > BUCKETS_MAX {
            return Err(EsError::too_many_buckets(made));
        }
        let Some(next) = step.next(place) else { break };
        // Never step over a bucket that is there, whatever the clocks did.
        place = anchors.peek().map_or(next, |anchor| next.min(*anchor));
    }
    Ok(())
}

/// Histogram buckets by place: milliseconds of dates, whole numbers of intervals else.
struct Steps {
    step: Step,
}

impl Steps {
    fn place(&self, key: &Key) -> i64 {
        match (self.step, key) {
            (Step::Number { interval, offset }, Key::Double(start)) => {
                ((start - offset) / interval).round() as i64
            }
            (Step::Number { interval, offset }, Key::Long(start)) => {
                ((*start as f64 - offset) / interval).round() as i64
            }
            (_, Key::Long(millis)) => *millis,
            _ => 0,
        }
    }

    fn floor(&self, number: f64) -> Option<i64> {
        match self.step {
            Step::Number { interval, offset } => {
                Some(((number - offset) / interval).floor() as i64)
            }
            Step::Date(calendar) => calendar.floor(number as i64),
        }
    }

    fn next(&self, place: i64) -> Option<i64> {
        match self.step {
            Step::Number { .. } => place.checked_add(1),
            Step::Date(calendar) => calendar.next(place),
        }
    }

    fn key(&self, place: i64) -> Key {
        match self.step {
            Step::Number { interval, offset } => Key::Double(place as f64 * interval + offset),
            Step::Date(_) => Key::Long(place),
        }
    }
}

/// One bucket for each of `count` places, empty or not.
pub(super) fn places(count: usize, found: Vec<Bucket>) -> Chosen {
    let mut buckets: Vec<Bucket> = (0..count).map(|place| empty(Key::Long(place as i64))).collect();
    for bucket in found {
        let place = bucket.keys.first().and_then(Key::place);
        if let Some(slot) = place.and_then(|place| buckets.get_mut(place)) {
            *slot = bucket;
        }
    }
    Chosen { buckets, other: 0 }
}

/// The first composite buckets after a place in their order.
pub(super) fn composite(spec: &Composite, after: Option<&[Key]>, mut found: Vec<Bucket>) -> Chosen {
    let compare = |left: &[Key], right: &[Key]| {
        for (source, (left, right)) in spec.sources.iter().zip(left.iter().zip(right)) {
            let order = left.cmp(right);
            let order = if source.descending { order.reverse() } else { order };
            if order.is_ne() {
                return order;
            }
        }
        std::cmp::Ordering::Equal
    };
    if let Some(after) = after {
        found.retain(|bucket| compare(&bucket.keys, after).is_gt());
    }
    found.sort_by(|left, right| compare(&left.keys, &right.keys));
    found.truncate(spec.size);
    Chosen { buckets: found, other: 0 }
}
