//! Whether there is something to tell: a pure function of what was, what is measured, and a rule.

use super::rule::{Condition, Direction, Grain, Rule, Season, Side};
use std::collections::{BTreeMap, BTreeSet};

/// The values of the dimensions of one group, in the order of [`Rule::by`].
pub(crate) type Group = Vec<String>;

/// What was measured: for each group its complete intervals, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series(pub(crate) BTreeMap<Group, Vec<Point>>);

/// One interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// When it begins, in milliseconds.
    pub(crate) start: i64,
    /// `None`: nothing to say about it.
    pub(crate) value: Option<f64>,
}

/// How a group is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    Quiet,
    /// It holds since then, but not for long enough.
    Pending(i64),
    /// It holds since then, and was told.
    Firing(i64),
}

/// A group, with what was measured last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GroupState {
    pub(crate) phase: Phase,
    pub(crate) value: Option<f64>,
    /// What was expected: the threshold, or the median of the past.
    pub(crate) expected: Option<f64>,
}

pub(crate) type State = BTreeMap<Group, GroupState>;

/// What is expected of an interval, and between what it may lie; `None`: no bound on that side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usual {
    pub(crate) expected: Option<f64>,
    pub(crate) least: Option<f64>,
    pub(crate) most: Option<f64>,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlertEvent {
    pub(crate) at: i64,
    pub(crate) group: Group,
    /// Else it is well again.
    pub(crate) fires: bool,
    pub(crate) value: Option<f64>,
    pub(crate) expected: Option<f64>,
}

/// What one group says at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Bad,
    /// No longer bad, but not well either: what fires goes on, what waits does not begin.
    Between,
    Well,
    /// Too little to say.
    Unknown,
}

/// Fewer intervals than this make no baseline.
const SAMPLES_MIN: usize = 5;
/// A median absolute deviation of this many is a standard deviation, where values are normal.
const MAD_TO_DEVIATION: f64 = 1.4826;
/// A change is over when it is less than this part of what makes one.
const CHANGE_CLEARS_AT: f64 = 0.5;

/// What follows from `state` by what is measured at `now`.
pub(crate) fn decide(
    rule: &Rule,
    state: &State,
    series: &Series,
    now: i64,
) -> (State, Vec<AlertEvent>) {
    let groups: BTreeSet<&Group> = series.0.keys().chain(state.keys()).collect();
    let (mut next, mut events) = (State::new(), Vec::new());
    for group in groups {
        let points = series.0.get(group).map_or(&[][..], Vec::as_slice);
        let known = state.get(group);
        let before = known.map_or(Phase::Quiet, |known| known.phase);
        let (verdict, value, expected) = judge(rule, known, points, now);
        // What was not seen for the whole history is nobody's concern any more.
        let verdict = if points.is_empty() { Verdict::Well } else { verdict };
        let phase = step(before, verdict, rule.for_ms, now);
        let is_firing = |phase: Phase| matches!(phase, Phase::Firing(_));
        if is_firing(before) != is_firing(phase) {
            let fires = is_firing(phase);
            events.push(AlertEvent { at: now, group: group.clone(), fires, value, expected });
        }
        if !points.is_empty() {
            next.insert(group.clone(), GroupState { phase, value, expected });
        }
    }
    (next, events)
}

fn step(before: Phase, verdict: Verdict, for_ms: i64, now: i64) -> Phase {
    match (before, verdict) {
        (Phase::Firing(_), Verdict::Well) => Phase::Quiet,
        (Phase::Firing(since), _) => Phase::Firing(since),
        (Phase::Pending(since), Verdict::Unknown) => Phase::Pending(since),
        (Phase::Pending(since), Verdict::Bad) if now - since >= for_ms => Phase::Firing(since),
        (Phase::Pending(since), Verdict::Bad) => Phase::Pending(since),
        (Phase::Quiet, Verdict::Bad) if for_ms == 0 => Phase::Firing(now),
        (Phase::Quiet, Verdict::Bad) => Phase::Pending(now),
        (_, _) => Phase::Quiet,
    }
}

fn judge(
    rule: &Rule,
    known: Option<&GroupState>,
    points: &[Point],
    now: i64,
) -> (Verdict, Option<f64>, Option<f64>) {
    let last = points.last().filter(|point| point.start + rule.grain.step_ms() >= rule.end(now));
    let value = last.and_then(|point| point.value);
    match &rule.when {
        Condition::Absent { for_ms } => {
            let has_some = |point: &&Point| point.value.is_some_and(|value| value != 0.0);
            let last = points.iter().rev().find(has_some);
            let since = last.map_or(i64::MIN, |point| point.start + rule.grain.step_ms());
            let is_absent = rule.end(now).saturating_sub(since) >= *for_ms;
            (if is_absent { Verdict::Bad } else { Verdict::Well }, value, None)
        }
        Condition::Threshold { side, at, clear } => {
            let verdict = value.map_or(Verdict::Unknown, |value| match side {
                Side::Above if value > *at => Verdict::Bad,
                Side::Below if value < *at => Verdict::Bad,
                Side::Above if value <= *clear => Verdict::Well,
                Side::Below if value >= *clear => Verdict::Well,
                _ => Verdict::Between,
            });
            (verdict, value, Some(*at))
        }
        Condition::Change { direction, .. } => {
            let (Some(last), Some(value)) = (last, value) else {
                return (Verdict::Unknown, value, None);
            };
            let Some((median, bound)) = past(rule, known, points, last) else {
                return (Verdict::Unknown, Some(value), None);
            };
            let distance = match direction {
                Direction::Up => value - median,
                Direction::Down => median - value,
                Direction::Either => (value - median).abs(),
            };
            let verdict = match distance {
                distance if distance >= bound => Verdict::Bad,
                distance if distance < bound * CHANGE_CLEARS_AT => Verdict::Well,
                _ => Verdict::Between,
            };
            (verdict, Some(value), Some(median))
        }
    }
}

/// What is expected of the last of `points`, for a chart: where a change is looked for, the median
/// of the past, and between what it may lie without being one.
pub(crate) fn usual(rule: &Rule, known: Option<&GroupState>, points: &[Point]) -> Usual {
    let found = points.last().and_then(|last| past(rule, known, points, last));
    let (Condition::Change { direction, .. }, Some((median, bound))) = (&rule.when, found) else {
        return Usual::default();
    };
    let (has_least, has_most) = match direction {
        Direction::Up => (false, true),
        Direction::Down => (true, false),
        Direction::Either => (true, true),
    };
    Usual {
        expected: Some(median),
        least: has_least.then_some(median - bound),
        most: has_most.then_some(median + bound),
    }
}

/// Where a change is looked for: the median of what came before `last`, and how far from it is too
/// far. `None`: too little to say.
fn past(
    rule: &Rule,
    known: Option<&GroupState>,
    points: &[Point],
    last: &Point,
) -> Option<(f64, f64)> {
    let Condition::Change { deviations, at_least, season, .. } = &rule.when else { return None };
    // What is bad must not become what is usual: while it holds, the past ends where it began.
    let usual_until = match known.map(|known| known.phase) {
        Some(Phase::Firing(since) | Phase::Pending(since)) => {
            rule.end(since) - rule.grain.step_ms()
        }
        _ => last.start,
    };
    let is_usual = |point: &&Point| point.start < usual_until.min(last.start);
    let before: Vec<Point> = points.iter().filter(is_usual).copied().collect();
    let from_before = || known.and_then(|known| Some((known.expected?, 0.0)));
    let baseline = baseline(&before, last.start, rule.grain, *season).or_else(from_before);
    let (median, deviation) = baseline?;
    Some((median, at_least.max(deviations * deviation)))
}

/// The median of comparable intervals of the past, and how far from it they usually are: the median
/// absolute deviation, scaled to a standard deviation (Iglewicz and Hoaglin, *How to Detect and
/// Handle Outliers*, 1993). Up to half of the past may be odd without either of them moving far.
/// Where the season has too few, the next coarser one is asked; `None`: too few at all.
fn baseline(before: &[Point], start: i64, grain: Grain, season: Season) -> Option<(f64, f64)> {
    let seasons: &[Season] = match season {
        Season::Week => &[Season::Week, Season::Day, Season::None],
        Season::Day => &[Season::Day, Season::None],
        Season::None => &[Season::None],
    };
    for season in seasons {
        let period = period(grain, *season);
        let is_alike = |point: &&Point| (start - point.start).rem_euclid(period) == 0;
        let mut values: Vec<f64> =
            before.iter().filter(is_alike).filter_map(|point| point.value).collect();
        if values.len() < SAMPLES_MIN {
            continue;
        }
        let middle = median(&mut values);
        let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        return Some((middle, MAD_TO_DEVIATION * median(&mut distances)));
    }
    None
}

/// After how long an interval has its like.
fn period(grain: Grain, season: Season) -> i64 {
    let day = Grain::Day.step_ms();
    match (season, grain) {
        (Season::Week, _) => 7 * day,
        (Season::Day, Grain::Hour) => day,
        (Season::Day, Grain::Day) | (Season::None, _) => grain.step_ms(),
    }
}

/// Of a list that is not empty.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule;
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn rule(grain: &str, when: &str, more: &str) -> Rule {
        let yaml = format!(
            "alerts:\n  - name: a\n    metric: m\n    grain: {grain}\n    delay: 0s\n    when: {when}\n{more}"
        );
        rule::parse(&yaml).unwrap().remove(0)
    }

    fn series(step: i64, values: &[f64]) -> Series {
        let point = |(place, value): (usize, &f64)| Point {
            start: place as i64 * step,
            value: value.is_finite().then_some(*value),
        };
        Series([(Vec::new(), values.iter().enumerate().map(point).collect())].into())
    }

    /// Walks through the intervals as time does; where it begins and ends to fire.
    fn walk(rule: &Rule, values: &[f64]) -> Vec<(usize, bool)> {
        let step = rule.grain.step_ms();
        let (mut state, mut told) = (State::new(), Vec::new());
        for end in 1..=values.len() {
            let now = end as i64 * step;
            let (next, events) = decide(rule, &state, &series(step, &values[..end]), now);
            told.extend(events.iter().map(|event| (end - 1, event.fires)));
            state = next;
        }
        told
    }

    #[test]
    fn a_threshold_has_a_way_in_and_another_way_out() {
        let above = rule("hour", "{ above: 10, clear: 5 }", "");
        assert_eq!(walk(&above, &[1., 11., 9., 6., 12., 5., 9.]), [(1, true), (5, false)]);
        let below = rule("hour", "{ below: 3 }", "");
        assert_eq!(walk(&below, &[4., 2., 3., 1.]), [(1, true), (2, false), (3, true)]);
        let gap = [11., f64::NAN, f64::NAN, 4.];
        assert_eq!(walk(&above, &gap), [(0, true), (3, false)], "no news is no news");
    }

    #[test]
    fn it_has_to_hold_for_as_long_as_it_says() {
        let patient = rule("hour", "{ above: 10 }", "    for: 2h\n");
        assert_eq!(walk(&patient, &[11., 11., 9., 11., 11., 11., 9.]), [(5, true), (6, false)]);
    }

    #[test]
    fn a_change_is_measured_against_the_same_hour() {
        // Busy by day and quiet by night, for two weeks; then a night as busy as a day.
        let usual = |hour: usize| if hour % 24 < 12 { 100. } else { 10. } + (hour * 7 % 5) as f64;
        let mut values: Vec<f64> = (0..14 * 24).map(usual).collect();
        let daily = rule("hour", "{ change: { direction: up, at_least: 20 } }", "");
        assert_eq!(walk(&daily, &values), [], "every day is like the others");
        let night = 13 * 24 + 20;
        values[night] = 100.;
        assert_eq!(walk(&daily, &values), [(night, true), (night + 1, false)]);
        let blind = rule("hour", "{ change: { direction: up, at_least: 20, season: none } }", "");
        assert_eq!(walk(&blind, &values), [], "without the hour nobody would see it");
    }

    #[test]
    fn odd_days_of_the_past_do_not_move_the_baseline() {
        let mut values = vec![0.06, 0.07, 0.05, 0.06, 0.9, 0.06, 0.9, 0.05, 0.07, 0.06];
        values.extend([0.31, 0.30, 0.32]);
        let change = rule("day", "{ change: { direction: up, at_least: 0.1 } }", "");
        let told = walk(&change, &values);
        assert_eq!(told.last(), Some(&(10, true)), "{told:?}");
        let down = rule("day", "{ change: { direction: down, at_least: 0.1 } }", "");
        assert_eq!(walk(&down, &values), []);
    }

    #[test]
    fn what_is_bad_does_not_become_usual() {
        let mut values = vec![0.06, 0.07, 0.05, 0.06, 0.07, 0.05, 0.06];
        values.extend([0.3; 40]);
        let change =
            rule("day", "{ change: { direction: up, at_least: 0.1 } }", "    history: 20d\n");
        assert_eq!(walk(&change, &values), [(7, true)], "forty days later it still is bad");
        values.push(0.06);
        assert_eq!(walk(&change, &values), [(7, true), (47, false)]);
        // Nothing of before is in sight any more: it goes by what was expected last.
        let (mut state, mut told) = (State::new(), Vec::new());
        for end in 1..=values.len() {
            let from = end.saturating_sub(20);
            let mut seen = series(DAY, &values[..end]);
            seen.0.values_mut().for_each(|points| drop(points.drain(..from)));
            let (next, events) = decide(&change, &state, &seen, end as i64 * DAY);
            told.extend(events.iter().map(|event| (end - 1, event.fires)));
            state = next;
        }
        assert_eq!(told, [(7, true), (47, false)]);
    }

    #[test]
    fn too_little_past_says_nothing() {
        let change = rule("day", "{ change: { direction: either, at_least: 0.1 } }", "");
        assert_eq!(walk(&change, &[1., 1., 1., 1., 9.]), []);
        assert_eq!(walk(&change, &[1., 1., 1., 1., 1., 9.]), [(5, true)]);
    }

    #[test]
    fn a_week_is_compared_with_weeks_once_there_are_enough() {
        // Sundays are quiet.
        let values: Vec<f64> = (0..70).map(|day| if day % 7 == 6 { 10. } else { 100. }).collect();
        let weekly =
            rule("day", "{ change: { direction: down, at_least: 20 } }", "    history: 70d\n");
        let told = walk(&weekly, &values);
        assert!(
            told.iter().all(|(day, _)| *day <= 5 * 7),
            "later Sundays are like Sundays: {told:?}"
        );
        assert!(!told.is_empty(), "the first Sundays are not, compared with all days");
    }

    #[test]
    fn silence_is_told_too() {
        let absent = rule("hour", "{ absent_for: 3h }", "    history: 7d\n");
        assert_eq!(walk(&absent, &[5., 4., 0., f64::NAN, 0., 0., 6.]), [(4, true), (6, false)]);
        let never = decide(&absent, &State::new(), &series(HOUR, &[0., 0., 0.]), 3 * HOUR);
        assert_eq!(never.1.len(), 1, "and if there never was anything");
        // No interval at all came any more, as metrics without zeros have it.
        let (_, events) = decide(&absent, &State::new(), &series(HOUR, &[5., 4.]), 9 * HOUR);
        assert!(events[0].fires);
    }

    #[test]
    fn each_group_has_a_state_of_its_own() {
        let above = rule("day", "{ above: 10 }", "    by: [firmware]\n");
        let group = |name: &str, value| {
            (vec![name.to_owned()], vec![Point { start: 0, value: Some(value) }])
        };
        let first = Series([group("a", 11.), group("b", 1.)].into());
        let (state, events) = decide(&above, &State::new(), &first, DAY);
        assert_eq!((events.len(), events[0].group[0].as_str()), (1, "a"));
        assert_eq!(events[0].expected, Some(10.0));
        let (again, events) = decide(&above, &state, &first, DAY);
        assert_eq!((again == state, events.len()), (true, 0), "told once");
        // A group that is gone for the whole history is well, and forgotten.
        let (left, events) = decide(&above, &state, &Series([group("b", 1.)].into()), DAY);
        assert_eq!((left.len(), events.len(), events[0].fires), (1, 1, false));
    }

    #[test]
    fn what_is_usual_has_bounds_where_the_rule_has_them() {
        let values = [10., 12., 11., 10., 12., 11., 10.];
        let points = |rule: &Rule| series(rule.grain.step_ms(), &values).0.remove(&Vec::new());
        let of = |direction: &str| {
            let when = format!("{{ change: {{ direction: {direction}, at_least: 4 }} }}");
            let rule = rule("day", &when, "");
            usual(&rule, None, &points(&rule).unwrap())
        };
        // Before the last: median 11, median absolute deviation 1.
        let either = of("either");
        let bound = 5.0 * MAD_TO_DEVIATION;
        assert_eq!(either.expected, Some(11.0));
        assert_eq!((either.least, either.most), (Some(11.0 - bound), Some(11.0 + bound)));
        assert_eq!(of("up"), Usual { least: None, ..either });
        assert_eq!(of("down"), Usual { most: None, ..either });
        let above = rule("day", "{ above: 3 }", "");
        assert_eq!(usual(&above, None, &points(&above).unwrap()), Usual::default());
    }
}
