//! How far entities come through steps in order.
//!
//! One pass finds the rows of the first step, a second one those of the other steps, of entities
//! that started at all. Both are sorted by entity and time; then each entity is walked through
//! alone. The latest start is the best one to go on from, so one number for each step is enough.

use super::super::disclosure::Rule;
use super::block::{Mask, Slots};
use super::cohort::{Cohort, NO_TIME, Wanted, Whose, mask};
use super::{Job, Place, in_parallel};
use crate::{Funnel, QueryError, Question};
use arrow::array::{ArrayRef, Float64Array, UInt32Array, UInt64Array};
use std::sync::Arc;
use storage::{Filter, MISSING};

/// A row of a step.
#[derive(Clone, Copy, Default)]
struct Event {
    entity: u32,
    /// The group, for rows of the first step.
    group: u32,
    time: i64,
    step: u32,
    subject: u32,
}

/// What became of the entities of one group.
#[derive(Clone, Default)]
struct Group {
    /// How many reached each step.
    reached: Vec<u64>,
    /// How long it took them, in milliseconds.
    waits: Vec<Vec<i64>>,
    /// Whom the group is about: all, then for each later step who reached it and who did not.
    parts: Vec<Vec<u32>>,
}

/// Answers the question: group columns, step, entities, median of the way.
pub(in super::super) fn funnel(
    job: &Job<'_>,
    question: &Question,
    funnel: &Funnel,
    rule: Option<&Rule>,
) -> Result<Vec<ArrayRef>, QueryError> {
    let wanted = Wanted {
        entity: &funnel.entity,
        time: &funnel.time,
        rows: &funnel.first,
        counts: None,
        only_first: false,
        groups: &funnel.groups,
    };
    let cohort = Cohort::find(job, &wanted, rule)?;
    let steps = funnel.then.len() + 1;
    let mut started = vec![false; cohort.entities.with_terms(|terms| terms.len())];
    for start in &cohort.starts {
        started[start.entity as usize] = true;
    }
    let mut events: Vec<Event> = cohort
        .starts
        .iter()
        .map(|start| Event {
            entity: start.entity,
            group: start.group,
            time: start.time,
            step: 0,
            subject: start.subject,
        })
        .collect();
    let later = in_parallel(job.limits.threads, job.places, |place| {
        later_steps(job, place, funnel, &cohort, &started)
    })?;
    later.into_iter().for_each(|later| events.extend(later));
    job.memory.take(events.len() * size_of::<Event>())?;
    let events = by_entity(events, started.len());
    let mut groups = vec![
        Group {
            reached: vec![0; steps],
            waits: vec![Vec::new(); steps],
            parts: if rule.is_some() { vec![Vec::new(); 2 * steps - 1] } else { Vec::new() },
        };
        cohort.groups()
    ];
    let mut walk = Walk::new(steps, funnel.window_ms);
    for (number, of_one) in events.chunk_by(|a, b| a.entity == b.entity).enumerate() {
        if number % 4096 == 0 {
            job.limits.check()?;
        }
        walk.through(of_one, &mut groups);
    }
    answer(job, question, &cohort, groups, steps, rule)
}

/// The rows of the later steps in one view.
fn later_steps(
    job: &Job<'_>,
    place: &Place,
    funnel: &Funnel,
    cohort: &Cohort,
    started: &[bool],
) -> Result<Vec<Event>, QueryError> {
    let mut events = Vec::new();
    if funnel.then.is_empty() || cohort.starts.is_empty() {
        return Ok(events);
    }
    let first = mask(job, place, &funnel.first)?;
    let masks: Vec<Mask> =
        funnel.then.iter().map(|filter| mask(job, place, filter)).collect::<Result<_, _>>()?;
    let mut slots = Slots::default();
    let opened = Whose::open(place, &mut slots, &cohort.entities, &funnel.entity, &funnel.time)?;
    let Some(mut whose) = opened else { return Ok(events) };
    let selection = place.view.select(&Filter::any(funnel.then.clone()))?;
    for block in selection.blocks() {
        job.limits.check()?;
        slots.next_block();
        whose.load(block, &mut slots);
        for (at, (&ord, &time)) in whose.ords.iter().zip(&whose.times).enumerate() {
            if ord == MISSING || time == NO_TIME {
                continue;
            }
            let entity = whose.entity(ord);
            let row = block.row(at);
            if !started.get(entity as usize).copied().unwrap_or(false) || first.has(row) {
                continue;
            }
            if let Some(step) = masks.iter().position(|mask| mask.has(row)) {
                let step = step as u32 + 1;
                events.push(Event { entity, group: 0, time, step, subject: 0 });
            }
        }
    }
    job.memory.take(events.capacity() * size_of::<Event>())?;
    Ok(events)
}

/// Sorts by entity, then time, then step. Entities are numbers from 0, so they are counted first.
fn by_entity(events: Vec<Event>, entities: usize) -> Vec<Event> {
    let mut ends = vec![0_usize; entities + 1];
    events.iter().for_each(|event| ends[event.entity as usize + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut sorted = vec![Event::default(); events.len()];
    for event in events {
        let end = &mut ends[event.entity as usize];
        sorted[*end] = event;
        *end += 1;
    }
    for of_one in sorted.chunk_by_mut(|a, b| a.entity == b.entity) {
        of_one.sort_unstable_by_key(|event| (event.time, event.step, event.group));
    }
    sorted
}

/// The way of one entity.
struct Walk {
    window_ms: i64,
    /// For each step the latest start from which it was reached.
    latest: Vec<i64>,
    /// For each step how long it took the first time.
    waits: Vec<Option<i64>>,
    /// The groups that the entity starts in, each with its first and last start.
    starts: Vec<(u32, usize, usize)>,
}

impl Walk {
    fn new(steps: usize, window_ms: i64) -> Walk {
        Walk {
            window_ms,
            latest: vec![NO_TIME; steps],
            waits: vec![None; steps],
            starts: Vec::new(),
        }
    }

    /// Notes in each group how far the entity came.
    fn through(&mut self, events: &[Event], groups: &mut [Group]) {
        self.starts.clear();
        for (at, event) in events.iter().enumerate().filter(|(_, event)| event.step == 0) {
            match self.starts.iter_mut().rev().find(|(group, ..)| *group == event.group) {
                Some((_, _, last)) => *last = at,
                None => self.starts.push((event.group, at, at)),
            }
        }
        let starts = std::mem::take(&mut self.starts);
        for &(group, first, last) in &starts {
            let over = events[last].time.saturating_add(self.window_ms);
            let len = events[first..].partition_point(|event| event.time <= over);
            let depth = self.in_group(&events[first..first + len], group);
            groups[group as usize].note(depth, &self.waits, events[first].subject);
        }
        self.starts = starts;
    }

    /// How many steps were reached from a start in `group`.
    fn in_group(&mut self, events: &[Event], group: u32) -> usize {
        self.latest.fill(NO_TIME);
        self.waits.fill(None);
        let mut depth = 0;
        for event in events {
            let step = event.step as usize;
            if step == 0 {
                if event.group == group {
                    self.latest[0] = event.time;
                    depth = depth.max(1);
                }
                continue;
            }
            let start = self.latest[step - 1];
            if start == NO_TIME || event.time - start > self.window_ms {
                continue;
            }
            self.latest[step] = self.latest[step].max(start);
            self.waits[step].get_or_insert(event.time - start);
            depth = depth.max(step + 1);
        }
        depth
    }
}

impl Group {
    fn note(&mut self, depth: usize, waits: &[Option<i64>], subject: u32) {
        for (step, wait) in waits.iter().enumerate().take(depth) {
            self.reached[step] += 1;
            self.waits[step].extend(*wait);
        }
        if self.parts.is_empty() || subject == 0 {
            return;
        }
        self.parts[0].push(subject);
        for step in 1..self.reached.len() {
            // Who reached a step, and who came to the one before it and no further.
            if step < depth {
                self.parts[2 * step - 1].push(subject);
            } else if step == depth {
                self.parts[2 * step].push(subject);
            }
        }
    }
}

fn answer(
    job: &Job<'_>,
    question: &Question,
    cohort: &Cohort,
    mut groups: Vec<Group>,
    steps: usize,
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
    let (mut rows, mut numbers, mut entities, mut medians) = (vec![], vec![], vec![], vec![]);
    for (row, &group) in cohort.order.iter().enumerate().filter(|(row, _)| told[*row]) {
        let group = &mut groups[group as usize];
        if group.reached[0] == 0 && !cohort.keys.is_empty() {
            continue;
        }
        for step in 0..steps {
            rows.push(row as u32);
            numbers.push(step as u32 + 1);
            entities.push(group.reached[step]);
            medians.push(median(&mut group.waits[step]));
        }
    }
    let mut columns = cohort.keys_of(rows)?;
    columns.push(Arc::new(UInt32Array::from(numbers)));
    columns.push(Arc::new(UInt64Array::from(entities)));
    columns.push(Arc::new(medians.into_iter().collect::<Float64Array>()));
    Ok(columns)
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &mut [i64]) -> Option<f64> {
    values.sort_unstable();
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle] as f64),
        _ => Some((values[middle - 1] as f64 + values[middle] as f64) / 2.0),
    }
}
