//! Rows with which entities start: who, when, and in which group.

use super::super::disclosure::{Rule, subject_hash};
use super::block::{Loaded, Mask, Slots};
use super::group::Groups;
use super::merge::Merger;
use super::partial::{self, Partial};
use super::tile::Rest;
use super::{Job, Kind, Piece, Place, Plan, Ready, in_parallel, shared_ordinals};
use crate::{Group, QueryError};
use arrow::array::{ArrayRef, UInt32Array};
use std::sync::Arc;
use storage::{Block, Column, Filter, MISSING, Ordinals};

/// A time that a row does not have.
pub(super) const NO_TIME: i64 = i64::MIN;
/// Bytes of a start, for the memory that is charged.
const START_BYTES: usize = size_of::<Start>();

/// One row with which an entity starts.
#[derive(Clone, Copy)]
pub(super) struct Start {
    /// The number of the entity that all views share.
    pub(super) entity: u32,
    /// The group of the row.
    pub(super) group: u32,
    /// When.
    pub(super) time: i64,
    /// Whom the row is about; 0 if nobody is named or no rule asks.
    pub(super) subject: u32,
    /// Whether the row fits the second filter, too.
    pub(super) counts: bool,
}

/// What is asked of the rows.
pub(super) struct Wanted<'a> {
    /// The keyword that tells entities apart.
    pub(super) entity: &'a str,
    /// The date.
    pub(super) time: &'a str,
    /// Which rows.
    pub(super) rows: &'a Filter,
    /// Which of them count.
    pub(super) counts: Option<&'a Filter>,
    /// Only the first row of each entity; with several groups, in the first of them.
    pub(super) only_first: bool,
    /// The groups.
    pub(super) groups: &'a [Group],
}

/// The rows with which entities start, over all views.
pub(super) struct Cohort {
    /// In the order of views.
    pub(super) starts: Vec<Start>,
    /// The numbers of the entities.
    pub(super) entities: Arc<Ordinals>,
    /// The group columns, in the order of their keys.
    pub(super) keys: Vec<ArrayRef>,
    /// For each row of `keys` the number of its group in `starts`.
    pub(super) order: Vec<u32>,
}

impl Cohort {
    /// Finds them.
    pub(super) fn find(
        job: &Job<'_>,
        wanted: &Wanted<'_>,
        rule: Option<&Rule>,
    ) -> Result<Cohort, QueryError> {
        let entities = entities(job, wanted.entity)?;
        let plan = Plan::new(job, wanted.rows, wanted.groups, &[])?;
        let ready = in_parallel(job.limits.threads, job.places, |place| {
            let ready = plan.prepare(job, &Rest::whole(place))?;
            let mask = wanted.counts.map(|filter| mask(job, place, filter)).transpose()?;
            Ok((ready, mask))
        })?;
        let subject = rule.map(|rule| rule.subject().unwrap_or(wanted.entity));
        let pieces: Vec<(Piece<'_>, Option<&Mask>)> = ready
            .iter()
            .flat_map(|(ready, mask): &(Ready<'_>, Option<Mask>)| {
                ready.pieces().map(move |piece| (piece, mask.as_ref()))
            })
            .collect();
        let search = Search { job, wanted, plan: &plan, entities: &entities, subject };
        let found =
            in_parallel(job.limits.threads, &pieces, |(piece, mask)| search.piece(piece, *mask))?;
        let mut merger = Merger::new(plan.shared.clone(), &[], Vec::new(), job.limits.groups);
        let mut starts = Vec::new();
        for (here, partial) in found {
            let groups = merger.add(partial)?;
            starts.extend(
                here.into_iter()
                    .map(|start| Start { group: groups[start.group as usize], ..start }),
            );
        }
        let (keys, order) = merger.finish_groups(&plan.group_types());
        Ok(Cohort { starts, entities, keys, order })
    }

    /// How many groups there are.
    pub(super) fn groups(&self) -> usize {
        self.order.len()
    }

    /// The group columns with each row of `rows` as many times as it is listed.
    pub(super) fn keys_of(&self, rows: Vec<u32>) -> Result<Vec<ArrayRef>, QueryError> {
        let rows = UInt32Array::from(rows);
        let keys = self.keys.iter().map(|column| arrow::compute::take(column, &rows, None));
        keys.collect::<Result<_, _>>()
            .map_err(|_| QueryError::Internal("the keys of groups".to_owned()))
    }
}

/// The numbers of the entities, which all views share.
pub(super) fn entities(job: &Job<'_>, name: &str) -> Result<Arc<Ordinals>, QueryError> {
    if job.places.is_empty() {
        return Ok(Arc::default());
    }
    shared_ordinals(job, name)?.ok_or_else(|| {
        QueryError::Unsupported(format!(
            "`{name}` has too many values, or is not of one table: entities cannot be followed"
        ))
    })
}

/// Which rows of a view fit.
pub(super) fn mask(job: &Job<'_>, place: &Place, filter: &Filter) -> Result<Mask, QueryError> {
    job.limits.check()?;
    let mask = Mask::new(&*place.view.select(filter)?, place.view.rows());
    job.memory.take(mask.bytes())?;
    Ok(mask)
}

/// The first value of each row of a block, `missing` without one.
pub(super) fn firsts<T: Copy>(loaded: Loaded<'_, T>, len: usize, missing: T, out: &mut Vec<T>) {
    out.clear();
    match loaded {
        Loaded::Full(values) => out.extend_from_slice(values),
        Loaded::Some(values, present) => {
            let there = |(&value, &present): (&T, &bool)| if present { value } else { missing };
            out.extend(values.iter().zip(present).map(there));
        }
        Loaded::Many(rows, values) => {
            out.resize(len, missing);
            // From the end, so that the first one stays.
            for (&row, &value) in rows.iter().zip(values).rev() {
                out[row as usize] = value;
            }
        }
    }
}

/// The entity and the time of each row of a view.
pub(super) struct Whose {
    entity: usize,
    time: usize,
    translation: Arc<[u32]>,
    /// For each row of the block the entity's ordinal in this view.
    pub(super) ords: Vec<u32>,
    /// For each row of the block its time.
    pub(super) times: Vec<i64>,
}

impl Whose {
    /// Opens the columns; `None` if no row of the view has both.
    pub(super) fn open(
        place: &Place,
        slots: &mut Slots,
        entities: &Ordinals,
        entity: &str,
        time: &str,
    ) -> Result<Option<Whose>, QueryError> {
        let opened = (
            slots.open(&place.view, entity, Kind::Keyword)?,
            slots.open(&place.view, time, Kind::Date)?,
        );
        let (Some(entity), Some(time)) = opened else { return Ok(None) };
        let Column::Keyword(column) = slots.get(entity).column() else { return Ok(None) };
        let translation = place.view.translation(entities, column)?;
        Ok(Some(Whose { entity, time, translation, ords: Vec::new(), times: Vec::new() }))
    }

    /// Loads a block.
    pub(super) fn load(&mut self, block: Block<'_>, slots: &mut Slots) {
        firsts(slots.load(self.entity, block).ords(), block.len(), MISSING, &mut self.ords);
        firsts(slots.load(self.time, block).longs(), block.len(), NO_TIME, &mut self.times);
    }

    /// The shared number of an ordinal of this view.
    pub(super) fn entity(&self, ord: u32) -> u32 {
        self.translation[ord as usize]
    }

    /// How many ordinals this view has.
    pub(super) fn cardinality(&self) -> usize {
        self.translation.len()
    }
}

struct Search<'a> {
    job: &'a Job<'a>,
    wanted: &'a Wanted<'a>,
    plan: &'a Plan<'a>,
    entities: &'a Ordinals,
    /// Whom rows are about, if a rule asks.
    subject: Option<&'a str>,
}

impl Search<'_> {
    /// The starts of a piece, with the places of their groups in the partial.
    fn piece(
        &self,
        piece: &Piece<'_>,
        mask: Option<&Mask>,
    ) -> Result<(Vec<Start>, Partial), QueryError> {
        let Wanted { entity, time, only_first, .. } = *self.wanted;
        let mut slots = Slots::default();
        let mut numbering = self.plan.numbering(piece.view, &mut slots)?;
        let mut rows: Vec<u64> = vec![0];
        let mut starts: Vec<Start> = Vec::new();
        let whose = Whose::open(piece.view.place, &mut slots, self.entities, entity, time)?;
        if let Some(mut whose) = whose {
            let subjects = Subjects::open(self.subject, piece.view.place, &mut slots)?;
            let mut first_of =
                if only_first { vec![u32::MAX; whose.cardinality()] } else { vec![] };
            let mut subject_ords = Vec::new();
            let mut charged = 0;
            for block in piece.blocks() {
                self.job.limits.check()?;
                slots.next_block();
                let groups = numbering.groups(block, &mut slots);
                whose.load(block, &mut slots);
                subjects.load(block, &mut slots, &mut subject_ords);
                rows.resize((numbering.cells() + 1).max(rows.len()), 0);
                let mut last_row = u32::MAX;
                each(&groups, block.len(), |row, group| {
                    let (ord, at) = (whose.ords[row as usize], whose.times[row as usize]);
                    if group == 0 || ord == MISSING || at == NO_TIME {
                        return;
                    }
                    if only_first && last_row == row {
                        return;
                    }
                    last_row = row;
                    let start = Start {
                        entity: whose.entity(ord),
                        group,
                        time: at,
                        subject: subjects.of(&subject_ords, row),
                        counts: mask.is_none_or(|mask| mask.has(block.row(row as usize))),
                    };
                    match first_of.get_mut(ord as usize) {
                        Some(place) if *place != u32::MAX => {
                            let known = &mut starts[*place as usize];
                            if at < known.time {
                                *known = start;
                            }
                        }
                        Some(place) => {
                            *place = starts.len() as u32;
                            starts.push(start);
                        }
                        None => starts.push(start),
                    }
                });
                let held = starts.capacity() * START_BYTES;
                if held > charged {
                    self.job.memory.take(held - charged)?;
                    charged = held;
                }
            }
        }
        for start in &starts {
            rows[start.group as usize] += 1;
        }
        // From the number of a group in this view to its place among those that have rows.
        let mut place = 0;
        let places: Vec<u32> = rows
            .iter()
            .enumerate()
            .map(|(group, rows)| {
                let here = place;
                place += u32::from(group > 0 && *rows > 0);
                here
            })
            .collect();
        starts.iter_mut().for_each(|start| start.group = places[start.group as usize]);
        let partial = partial::finish(&numbering, &slots, &rows, Vec::new(), false)?;
        Ok((starts, partial))
    }
}

/// Calls `see` for every row and group of a block.
fn each(groups: &Groups, len: usize, mut see: impl FnMut(u32, u32)) {
    match groups {
        Groups::One(group) => (0..len as u32).for_each(|row| see(row, *group)),
        Groups::Each(groups) => (0..).zip(groups).for_each(|(row, &group)| see(row, group)),
        Groups::Many { rows, groups } => {
            rows.iter().zip(groups).for_each(|(&row, &group)| see(row, group));
        }
    }
}

/// Whom the rows of a view are about, as short hashes.
struct Subjects {
    slot: Option<usize>,
    hashes: Vec<u32>,
}

impl Subjects {
    fn open(name: Option<&str>, place: &Place, slots: &mut Slots) -> Result<Subjects, QueryError> {
        let nobody = Subjects { slot: None, hashes: Vec::new() };
        let Some(name) = name else { return Ok(nobody) };
        let Some(slot) = slots.open(&place.view, name, Kind::Keyword)? else { return Ok(nobody) };
        let Column::Keyword(column) = slots.get(slot).column() else { return Ok(nobody) };
        let ords: Vec<u32> = (0..column.cardinality()).collect();
        let hashes = column.terms(&ords)?.iter().map(|term| subject_hash(term)).collect();
        Ok(Subjects { slot: Some(slot), hashes })
    }

    fn load(&self, block: Block<'_>, slots: &mut Slots, out: &mut Vec<u32>) {
        if let Some(slot) = self.slot {
            firsts(slots.load(slot, block).ords(), block.len(), MISSING, out);
        }
    }

    fn of(&self, ords: &[u32], row: u32) -> u32 {
        let ord = ords.get(row as usize).copied().filter(|_| self.slot.is_some());
        ord.and_then(|ord| self.hashes.get(ord as usize)).copied().unwrap_or(0)
    }
}
