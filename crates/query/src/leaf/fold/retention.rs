//! How many entities come back in the periods after that of their birth.
//!
//! One pass finds the row with which each entity is born. A second one goes over the rows with
//! which entities are active and sets, for each entity, one bit for each wanted period: however
//! often somebody comes, it is one bit.

use super::super::disclosure::Rule;
use super::block::Slots;
use super::cohort::{Cohort, NO_TIME, Start, Wanted, Whose};
use super::dates::{Intervals, Rounding};
use super::{Job, Place, in_parallel};
use crate::{PERIODS_MAX, QueryError, Question, Retention};
use arrow::array::{ArrayRef, UInt32Array, UInt64Array};
use model::Value;
use std::ops::Bound;
use std::sync::Arc;
use storage::{Column, Filter, MISSING};

/// An entity that was not born, or does not count.
const UNBORN: u32 = u32::MAX;
/// A period that is not wanted.
const UNWANTED: u8 = u8::MAX;

/// Answers the question: group columns, period, entities that were active in it, entities that
/// could have been.
pub(in super::super) fn retention(
    job: &Job<'_>,
    question: &Question,
    retention: &Retention,
    rule: Option<&Rule>,
) -> Result<Vec<ArrayRef>, QueryError> {
    if retention.periods.len() > PERIODS_MAX {
        let message = format!("a retention has at most {PERIODS_MAX} periods");
        return Err(QueryError::Invalid(message));
    }
    let wanted = Wanted {
        entity: &retention.entity,
        time: &retention.time,
        rows: &retention.born,
        counts: Some(&retention.among),
        only_first: true,
        groups: &retention.groups,
    };
    let cohort = Cohort::find(job, &wanted, rule)?;
    let births = births(&cohort);
    let (periods, activity) = match Periods::between(job, retention, &births)? {
        Some(periods) => {
            let activity = activity(job, retention, &cohort, &births, &periods)?;
            (Some(periods), activity)
        }
        None => (None, Activity { bits: Vec::new(), last: NO_TIME }),
    };
    let last_period = match &periods {
        Some(periods) if activity.last != NO_TIME => periods.intervals.number(activity.last),
        _ => 0,
    };
    let empty = Group::new(retention.periods.len(), rule.is_some());
    let mut groups = vec![empty; cohort.groups()];
    for birth in births.iter().flatten() {
        let Some(periods) = &periods else { break };
        let born = periods.intervals.number(birth.time);
        let bits = activity.bits.get(birth.entity as usize).copied().unwrap_or(0);
        let group = &mut groups[birth.group as usize];
        group.note_all(birth.subject);
        for (at, &period) in retention.periods.iter().enumerate() {
            let is_seen = born.checked_add(period).is_some_and(|then| then <= last_period);
            if is_seen {
                group.note(at, bits >> at & 1 == 1, birth.subject);
            }
        }
    }
    answer(job, question, retention, &cohort, groups, rule)
}

/// The birth of each entity that counts, by its number.
fn births(cohort: &Cohort) -> Vec<Option<Start>> {
    let mut births: Vec<Option<Start>> =
        vec![None; cohort.entities.with_terms(|terms| terms.len())];
    for start in &cohort.starts {
        let known = &mut births[start.entity as usize];
        if known.is_none_or(|known| start.time < known.time) {
            *known = Some(*start);
        }
    }
    // Only now: an earlier row that does not count makes a later one no birth.
    for birth in &mut births {
        *birth = birth.filter(|birth| birth.counts);
    }
    births
}

/// The periods between the first birth and the last row.
struct Periods {
    intervals: Intervals,
    /// The last moment that counts.
    last: i64,
}

impl Periods {
    fn between(
        job: &Job<'_>,
        retention: &Retention,
        births: &[Option<Start>],
    ) -> Result<Option<Periods>, QueryError> {
        let times = births.iter().flatten().map(|birth| birth.time);
        let (Some(first), Some(last_birth)) = (times.clone().min(), times.max()) else {
            return Ok(None);
        };
        let mut last = last_birth;
        for place in job.places {
            if let Some(Column::Long(column)) = place.view.column(&retention.time)? {
                last = last.max(column.max());
            }
        }
        if let Some(until) = retention.until {
            last = last.min(until.saturating_sub(1)).max(last_birth);
        }
        let rounding =
            Rounding { interval: retention.unit, time_zone: retention.time_zone, offset_ms: 0 };
        match Intervals::between(&rounding, first, last, job.limits.buckets) {
            Some(intervals) => Ok(Some(Periods { intervals, last })),
            None => Err(QueryError::TooManyGroups { limit: job.limits.buckets }),
        }
    }
}

struct Activity {
    /// For each entity a bit for each wanted period.
    bits: Vec<u64>,
    /// The last row with which anybody was active.
    last: i64,
}

fn activity(
    job: &Job<'_>,
    retention: &Retention,
    cohort: &Cohort,
    births: &[Option<Start>],
    periods: &Periods,
) -> Result<Activity, QueryError> {
    let born: Vec<u32> = births
        .iter()
        .map(|birth| birth.map_or(UNBORN, |birth| periods.intervals.number(birth.time)))
        .collect();
    let longest = retention.periods.last().copied().unwrap_or(0) as usize;
    let mut places = vec![UNWANTED; longest + 1];
    for (at, &period) in (0..).zip(&retention.periods) {
        places[period as usize] = at;
    }
    let filter = retention.active.clone().and(Filter::Range {
        field: retention.time.clone(),
        from: Bound::Included(Value::Long(periods.intervals.start(0))),
        to: Bound::Included(Value::Long(periods.last)),
    });
    let look = Look { job, retention, cohort, born: &born, places: &places, periods };
    let found = in_parallel(job.limits.threads, job.places, |place| look.at(place, &filter))?;
    let mut all = Activity { bits: vec![0; born.len()], last: NO_TIME };
    for (bits, last) in found {
        all.last = all.last.max(last);
        bits.into_iter().for_each(|(entity, bits)| all.bits[entity as usize] |= bits);
    }
    Ok(all)
}

struct Look<'a> {
    job: &'a Job<'a>,
    retention: &'a Retention,
    cohort: &'a Cohort,
    born: &'a [u32],
    places: &'a [u8],
    periods: &'a Periods,
}

impl Look<'_> {
    /// The bits of each entity of a view, and the time of its last row.
    fn at(&self, place: &Place, filter: &Filter) -> Result<(Vec<(u32, u64)>, i64), QueryError> {
        self.job.limits.check()?;
        let mut slots = Slots::default();
        let Retention { entity, time, .. } = self.retention;
        let opened = Whose::open(place, &mut slots, &self.cohort.entities, entity, time)?;
        let Some(mut whose) = opened else { return Ok((Vec::new(), NO_TIME)) };
        let born: Vec<u32> = (0..whose.cardinality() as u32)
            .map(|ord| self.born.get(whose.entity(ord) as usize).copied().unwrap_or(UNBORN))
            .collect();
        let mut bits = vec![0_u64; born.len()];
        self.job.memory.take(born.len() * 12)?;
        let mut last = NO_TIME;
        let mut cursor = self.periods.intervals.cursor();
        for (number, block) in place.view.select(filter)?.blocks().enumerate() {
            if number % 16 == 0 {
                self.job.limits.check()?;
            }
            slots.next_block();
            whose.load(block, &mut slots);
            for (&ord, &time) in whose.ords.iter().zip(&whose.times) {
                last = last.max(time);
                if ord == MISSING || time == NO_TIME || born[ord as usize] == UNBORN {
                    continue;
                }
                let Some(age) = cursor.number(time).checked_sub(born[ord as usize]) else {
                    continue;
                };
                let place = self.places.get(age as usize).copied().unwrap_or(UNWANTED);
                if place != UNWANTED {
                    bits[ord as usize] |= 1 << place;
                }
            }
        }
        let some = (0..).zip(bits).filter(|(_, bits)| *bits != 0);
        Ok((some.map(|(ord, bits)| (whose.entity(ord), bits)).collect(), last))
    }
}

/// The entities of one group.
#[derive(Clone)]
struct Group {
    /// For each period those that were active, and those that could have been.
    counts: Vec<(u64, u64)>,
    /// Whom the group is about: all, then for each period who was active and who was not. Empty
    /// without a rule.
    parts: Vec<Vec<u32>>,
}

impl Group {
    fn new(periods: usize, under_rule: bool) -> Group {
        let parts = if under_rule { vec![Vec::new(); 2 * periods + 1] } else { Vec::new() };
        Group { counts: vec![(0, 0); periods], parts }
    }

    fn note_all(&mut self, subject: u32) {
        if let Some(all) = self.parts.first_mut().filter(|_| subject != 0) {
            all.push(subject);
        }
    }

    fn note(&mut self, at: usize, is_active: bool, subject: u32) {
        self.counts[at].0 += u64::from(is_active);
        self.counts[at].1 += 1;
        let part = 2 * at + if is_active { 1 } else { 2 };
        if let Some(part) = self.parts.get_mut(part).filter(|_| subject != 0) {
            part.push(subject);
        }
    }
}

fn answer(
    job: &Job<'_>,
    question: &Question,
    retention: &Retention,
    cohort: &Cohort,
    mut groups: Vec<Group>,
    rule: Option<&Rule>,
) -> Result<Vec<ArrayRef>, QueryError> {
    let told = match rule {
        Some(rule) => {
            let parts: Vec<Vec<Vec<u32>>> = cohort
                .order
                .iter()
                .map(|&group| std::mem::take(&mut groups[group as usize].parts))
                .collect();
            rule.told_of_entities(job, question, &cohort.keys, &parts)?
        }
        None => vec![true; cohort.groups()],
    };
    let (mut rows, mut numbers, mut entities, mut of) = (vec![], vec![], vec![], vec![]);
    for (row, &group) in cohort.order.iter().enumerate().filter(|(row, _)| told[*row]) {
        let counts = groups[group as usize].counts.iter();
        for (&period, &(active, all)) in retention.periods.iter().zip(counts) {
            if all > 0 {
                rows.push(row as u32);
                numbers.push(period);
                entities.push(active);
                of.push(all);
            }
        }
    }
    let mut columns = cohort.keys_of(rows)?;
    columns.push(Arc::new(UInt32Array::from(numbers)));
    columns.push(Arc::new(UInt64Array::from(entities)));
    columns.push(Arc::new(UInt64Array::from(of)));
    Ok(columns)
}
