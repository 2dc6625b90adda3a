//! Which questions tiles answer, and what of each view is left for its rows.

use super::super::dates::{Intervals, Rounding};
use super::super::group::Keys;
use super::super::partial::{Part, Partial};
use super::super::{NEAR_MAX, Plan, measured};
use super::definition::{self, Cut};
use super::roll::{Key, roll};
use super::{Grain, Members, SetsOf, Tile, Values};
use crate::leaf::field::{self, Kind};
use crate::leaf::work::in_parallel;
use crate::leaf::{Ground, Place};
use crate::{GroupBy, Interval, Measure, QueryError};
use chrono_tz::Tz;
use model::Value;
use roaring::RoaringBitmap;
use std::collections::BTreeSet;
use std::ops::{Bound, Range};
use std::sync::Arc;
use storage::{Column, Filter, Ordinals};

/// Conditions on dimensions may be the measure's own or the question's: so many are tried both
/// ways.
const TESTS_MAX: usize = 4;

/// What is left of a view for its rows.
#[derive(Clone)]
pub(in super::super) struct Rest<'p> {
    pub(in super::super) place: &'p Place,
    /// Only these rows; `None`: all.
    pub(in super::super) window: Option<Filter>,
}

impl<'p> Rest<'p> {
    /// All of it.
    pub(in super::super) fn whole(place: &'p Place) -> Rest<'p> {
        Rest { place, window: None }
    }

    /// The condition, of the rows that are left.
    pub(in super::super) fn only(&self, filter: &Filter) -> Filter {
        match &self.window {
            Some(window) => window.clone().and(filter.clone()),
            None => filter.clone(),
        }
    }
}

/// What tiles answered, and what they left.
pub(in super::super) struct Covered<'p> {
    pub(in super::super) partials: Vec<Partial>,
    pub(in super::super) rest: Vec<Rest<'p>>,
}

/// Answers as much as there are tiles for, view by view.
pub(in super::super) fn cover<'p>(
    ground: &Ground<'p>,
    plan: &Plan<'_>,
) -> Result<Covered<'p>, QueryError> {
    let whole = || ground.places.iter().map(Rest::whole).collect();
    let asked = match ground.limits.tiles {
        true => Asked::of(ground, plan),
        false => None,
    };
    let Some(asked) = asked else { return Ok(Covered { partials: Vec::new(), rest: whole() }) };
    let answers = in_parallel(ground.limits.threads, ground.places, |place| {
        ground.limits.check()?;
        asked.over(place, plan)
    })?;
    let mut covered = Covered { partials: Vec::new(), rest: Vec::new() };
    for (place, answer) in ground.places.iter().zip(answers) {
        match answer {
            Some(answer) => {
                ground.limits.answered.by_tiles(answer.tile_rows, answer.stands_for);
                covered.partials.extend(answer.partials);
                let window = |range: Range<i64>| Some(within(&answer.time, range));
                let edges = answer.edges.into_iter();
                covered.rest.extend(edges.map(|range| Rest { place, window: window(range) }));
            }
            None => covered.rest.push(Rest::whole(place)),
        }
    }
    Ok(covered)
}

fn within(field: &str, range: Range<i64>) -> Filter {
    Filter::Range {
        field: field.to_owned(),
        from: Bound::Included(Value::Long(range.start)),
        to: Bound::Excluded(Value::Long(range.end)),
    }
}

/// A question that tiles may answer.
struct Asked<'a> {
    /// The date field of groups and range, if any is named.
    time: Option<String>,
    /// How time is cut, and whether rows without a time are a group.
    date: Option<(Cutting, bool)>,
    /// Group keys: `None` is time.
    groups: Vec<GroupKey<'a>>,
    /// Only times in this range.
    window: Option<Range<i64>>,
    /// For each measure, and for the rows of groups that no measure has a row of.
    wanted: Vec<Wanted<'a>>,
}

/// How time is cut.
enum Cutting {
    /// Into intervals.
    Intervals(Rounding),
    /// At these moments, the first and the last of all among them.
    Pieces(Vec<i64>),
}

struct GroupKey<'a> {
    /// The dimension; `None`: time.
    name: Option<&'a str>,
    keep_missing: bool,
    shared: Option<Arc<Ordinals>>,
}

/// A measure and where it may be found.
struct Wanted<'a> {
    /// Its place in the answer; `None`: only the groups are wanted.
    place: Option<usize>,
    largest: bool,
    /// The numbers that sets are wanted in.
    shared: Option<Arc<Ordinals>>,
    candidates: Vec<Candidate<'a>>,
}

/// What keys begin with, and what is then still to be asked of dimensions.
struct Candidate<'a> {
    prefix: String,
    tests: Vec<(&'a str, &'a [Value])>,
}

impl<'a> Asked<'a> {
    /// What is asked, if it is of a kind that tiles answer.
    fn of(ground: &Ground<'_>, plan: &Plan<'a>) -> Option<Asked<'a>> {
        let [table] = ground.tables else { return None };
        let (mut date, mut time) = (None, None);
        let mut groups = Vec::new();
        for ((group, kind), shared) in plan.groups.iter().zip(&plan.group_kinds).zip(&plan.shared) {
            let keep_missing = group.keep_missing;
            match &group.by {
                GroupBy::Date { field, interval, time_zone, offset_ms } if date.is_none() => {
                    let is_even = !matches!(interval, Interval::Fixed(_)) || *time_zone == Tz::UTC;
                    if *kind != Some(Kind::Date) || !is_even {
                        return None;
                    }
                    let (interval, time_zone, offset_ms) = (*interval, *time_zone, *offset_ms);
                    let rounding = Rounding { interval, time_zone, offset_ms };
                    date = Some((Cutting::Intervals(rounding), keep_missing));
                    time = Some(field.clone());
                    groups.push(GroupKey { name: None, keep_missing, shared: None });
                }
                GroupBy::Ranges { field, .. } if groups.is_empty() => {
                    let pieces = plan.pieces.clone()?;
                    date = Some((Cutting::Pieces(pieces), keep_missing));
                    time = Some(field.clone());
                    groups.push(GroupKey { name: None, keep_missing, shared: None });
                }
                GroupBy::Terms(name) => {
                    if (*kind)? == Kind::Keyword && shared.is_none() {
                        return None;
                    }
                    let shared = shared.clone();
                    groups.push(GroupKey { name: Some(name), keep_missing, shared });
                }
                _ => return None,
            }
        }
        let parts = definition::parts(plan.filter);
        if time.is_none() {
            time = parts.iter().find_map(|part| {
                let (name, _) = range(part)?;
                let kind = Kind::of(field::find(table, name)?);
                (kind == Kind::Date).then(|| name.to_owned())
            });
        }
        let (ranges, parts): (Vec<&Filter>, Vec<&Filter>) = parts
            .into_iter()
            .partition(|part| range(part).is_some_and(|(name, _)| Some(name) == time.as_deref()));
        let window = ranges.into_iter().filter_map(range).map(|(_, range)| range);
        let window = window.reduce(|a, b| a.start.max(b.start)..a.end.min(b.end));
        let wanted = wanted(plan, &parts)?;
        Some(Asked { time, date, groups, window, wanted })
    }

    /// The answer of one view's tiles; `None` if there are none that have all of it.
    fn over(&self, place: &Place, plan: &Plan<'_>) -> Result<Option<Answer>, QueryError> {
        let mut found = Vec::with_capacity(self.wanted.len());
        for wanted in &self.wanted {
            match self.find(place, wanted) {
                Some(tiles) => found.push((wanted, tiles)),
                None => return Ok(None),
            }
        }
        // Measures are of one time field, unless nothing is said about time.
        let times = found.iter().flat_map(|(_, found)| [&found.hour, &found.day]);
        let times: BTreeSet<&str> = times.flatten().map(|(_, cut)| cut.time.as_str()).collect();
        let (Some(time), true) = (times.first(), times.len() == 1) else { return Ok(None) };
        let Some(course) = self.course(place, time, &found)? else { return Ok(None) };
        let mut answer = Answer {
            partials: Vec::new(),
            time: (*time).to_owned(),
            edges: course.edges.clone(),
            tile_rows: 0,
            stands_for: 0,
        };
        for (wanted, found) in &found {
            let mut with_missing = course.with_missing;
            let mut stands_for = 0;
            for (grain, range) in found.steps(&course) {
                let Some((candidate, key)) = found.tile(grain) else { return Ok(None) };
                let Some(tile) = decoded(place, key, grain, wanted.shared.as_ref())? else {
                    return Ok(None);
                };
                let slice = Slice { tile: &tile, range, with_missing };
                with_missing = false;
                let cut = found.cut(grain).ok_or_else(|| lost("a cut"))?;
                match self.rolled(place, plan, wanted, candidate, cut, &slice, &course)? {
                    Some((partial, rows)) => {
                        answer.tile_rows += rows.len() as u64;
                        stands_for += rows.iter().map(|&row| tile.rows[row as usize]).sum::<u64>();
                        answer.partials.push(partial);
                    }
                    None => return Ok(None),
                }
            }
            answer.stands_for = answer.stands_for.max(stands_for);
        }
        Ok(Some(answer))
    }

    /// The smallest tile of each grain that has what is asked.
    fn find<'f>(&self, place: &Place, wanted: &'f Wanted<'a>) -> Option<Found<'f, 'a>> {
        let mut found = Found { hour: None, day: None };
        let mut bytes = [u64::MAX; 2];
        for candidate in &wanted.candidates {
            for (key, length) in place.view.tiles_with(&candidate.prefix) {
                let Some(cut) = Cut::parse(&key[candidate.prefix.len()..]) else { continue };
                let groups = self.groups.iter().filter_map(|group| group.name);
                let mut names = groups.chain(candidate.tests.iter().map(|(name, _)| *name));
                let fits = self.time.as_ref().is_none_or(|time| *time == cut.time)
                    && names.all(|name| cut.dimensions.iter().any(|other| other == name));
                let place = cut.grain as usize;
                if fits && length < bytes[place] {
                    bytes[place] = length;
                    let chosen = Chosen { candidate, key: key.into() };
                    match cut.grain {
                        Grain::Hour => found.hour = Some((chosen, cut)),
                        Grain::Day => found.day = Some((chosen, cut)),
                    }
                }
            }
        }
        (found.hour.is_some() || found.day.is_some()).then_some(found)
    }

    /// Which stretches of time are read from tiles, and which from rows.
    fn course(
        &self,
        place: &Place,
        time: &str,
        found: &[(&Wanted<'a>, Found<'_, 'a>)],
    ) -> Result<Option<Course>, QueryError> {
        let keeps_missing = self.date.as_ref().is_none_or(|(_, keep)| *keep);
        let with_missing = self.window.is_none() && keeps_missing;
        let nothing = Course {
            tiles: 0..0,
            grain: Grain::Hour,
            days: false,
            edges: Vec::new(),
            intervals: None,
            with_missing,
        };
        let Some(Column::Long(column)) = place.view.column(time)? else {
            return Ok(Some(nothing));
        };
        let all = column.min()..column.max().saturating_add(1);
        let window = self.window.clone().unwrap_or(i64::MIN..i64::MAX);
        let asked = all.start.max(window.start)..all.end.min(window.end);
        if asked.is_empty() {
            return Ok(Some(nothing));
        }
        let intervals = match &self.date {
            Some((Cutting::Pieces(edges), _)) => Some(Intervals::of(edges.clone())),
            Some((Cutting::Intervals(rounding), _)) => {
                let last = asked.end - 1;
                match Intervals::between(rounding, asked.start, last, NEAR_MAX) {
                    Some(intervals) => Some(intervals),
                    None => return Ok(None),
                }
            }
            None => None,
        };
        let begins_with = |grain: Grain| {
            let begin = |number| intervals.as_ref().map(|all: &Intervals| all.start(number));
            let count = intervals.as_ref().map_or(0, |all| all.len() + 1);
            // What pieces begin before the segment does, or behind its end, cuts nothing here.
            let cuts = |start: &i64| match self.date {
                Some((Cutting::Pieces(_), _)) => {
                    *start > grain.floor(asked.start) && *start < asked.end
                }
                _ => true,
            };
            (0..count).filter_map(begin).filter(cuts).all(|start| grain.floor(start) == start)
        };
        let all_have = |grain: Grain| found.iter().all(|(_, found)| found.tile(grain).is_some());
        let days_fit = begins_with(Grain::Day);
        let grain = if all_have(Grain::Hour) && begins_with(Grain::Hour) {
            Grain::Hour
        } else if all_have(Grain::Day) && days_fit {
            Grain::Day
        } else {
            return Ok(None);
        };
        // Where the range ends beyond the segment, the last interval is whole.
        let from = if window.start <= all.start { grain.floor(asked.start) } else { asked.start };
        let to = if window.end >= all.end { grain.ceil(asked.end) } else { asked.end };
        let tiles = grain.ceil(from)..grain.floor(to);
        if tiles.is_empty() {
            return Ok(None);
        }
        let edges = [from..tiles.start, tiles.end..to];
        let edges = edges.into_iter().filter(|edge| !edge.is_empty()).collect();
        Ok(Some(Course {
            tiles,
            grain,
            days: days_fit,
            edges,
            intervals: intervals.map(Arc::new),
            with_missing,
        }))
    }

    /// The groups of a slice of a tile, and the rows of the tile that they are made of.
    #[expect(clippy::too_many_arguments, reason = "all are needed, and only here")]
    fn rolled(
        &self,
        place: &Place,
        plan: &Plan<'_>,
        wanted: &Wanted<'a>,
        candidate: &Candidate<'a>,
        cut: &Cut,
        slice: &Slice<'_>,
        course: &Course,
    ) -> Result<Option<(Partial, Vec<u32>)>, QueryError> {
        let tile = slice.tile;
        let Some(tests) = tests(place, candidate, cut, tile)? else { return Ok(None) };
        let mut keys = Vec::with_capacity(self.groups.len());
        let mut members = Vec::with_capacity(self.groups.len());
        let mut present: Vec<&[u32]> = Vec::new();
        for group in &self.groups {
            let Some(name) = group.name else {
                let Some(intervals) = &course.intervals else {
                    // No row has a time: all are in the group without one.
                    let map = Some(vec![0; tile.times.last().map_or(1, |last| *last as usize + 1)]);
                    keys.push(Key { codes: &tile.times, map, end: 1 });
                    members.push(Keys::Longs(Vec::new()));
                    continue;
                };
                keys.push(time_key(tile, intervals, &slice.range));
                let starts = (0..intervals.len()).map(|number| intervals.start(number));
                members.push(Keys::Longs(starts.collect()));
                continue;
            };
            let number = cut.dimensions.iter().position(|other| other == name);
            let number = number.ok_or_else(|| lost("a dimension"))?;
            let dimension = &tile.dimensions[number];
            if !group.keep_missing {
                present.push(&dimension.codes);
            }
            keys.push(dimension.key());
            let Some(keys) = keys_of(place, name, &dimension.members, group.shared.as_ref())?
            else {
                return Ok(None);
            };
            members.push(keys);
        }
        let rows: Vec<u32> = slice
            .rows()
            .filter(|&row| {
                let row = row as usize;
                tests.iter().all(|(codes, passes)| passes[codes[row] as usize])
                    && present.iter().all(|codes| codes[row] > 0)
            })
            .collect();
        let Some(rolled) = roll(tile, &keys, &rows, wanted.largest) else { return Ok(None) };
        let groups = rolled.rows.len();
        let mut value = Some(rolled.values.into_part());
        let measures = (0..plan.measures.len()).map(|at| match wanted.place == Some(at) {
            true => value.take().unwrap_or(Part::Nothing),
            false => Part::Nothing,
        });
        let measures = measures.collect();
        let partial = Partial { keys: members, codes: rolled.codes, rows: rolled.rows, measures };
        debug_assert_eq!(partial.codes.len(), groups * self.groups.len(), "a code for each key");
        Ok(Some((partial, rows)))
    }
}

fn lost(what: &str) -> QueryError {
    QueryError::Internal(format!("{what} of a tile"))
}

/// What of a view is read from which tiles.
#[derive(Clone)]
struct Course {
    /// This time from tiles.
    tiles: Range<i64>,
    /// Its ends are those of intervals of this grain.
    grain: Grain,
    /// The question's intervals begin with days.
    days: bool,
    /// These times from rows.
    edges: Vec<Range<i64>>,
    /// How time is cut.
    intervals: Option<Arc<Intervals>>,
    /// Rows without a time count, too.
    with_missing: bool,
}

/// The tiles of a measure in one view.
struct Found<'f, 'a> {
    hour: Option<(Chosen<'f, 'a>, Cut)>,
    day: Option<(Chosen<'f, 'a>, Cut)>,
}

struct Chosen<'f, 'a> {
    candidate: &'f Candidate<'a>,
    key: Arc<str>,
}

impl<'f, 'a> Found<'f, 'a> {
    fn of(&self, grain: Grain) -> Option<&(Chosen<'f, 'a>, Cut)> {
        match grain {
            Grain::Hour => self.hour.as_ref(),
            Grain::Day => self.day.as_ref(),
        }
    }

    fn tile(&self, grain: Grain) -> Option<(&'f Candidate<'a>, &Arc<str>)> {
        self.of(grain).map(|(chosen, _)| (chosen.candidate, &chosen.key))
    }

    fn cut(&self, grain: Grain) -> Option<&Cut> {
        self.of(grain).map(|(_, cut)| cut)
    }

    /// The stretches of the course with the grain of the tile that each is read from: whole days
    /// from days where that is possible.
    fn steps(&self, course: &Course) -> Vec<(Grain, Range<i64>)> {
        let all = course.tiles.clone();
        let days = Grain::Day.ceil(all.start)..Grain::Day.floor(all.end);
        let steps = match course.grain {
            Grain::Day => vec![(Grain::Day, all.clone())],
            Grain::Hour if course.days && self.day.is_some() && !days.is_empty() => vec![
                (Grain::Day, days.clone()),
                (Grain::Hour, all.start..days.start),
                (Grain::Hour, days.end..all.end),
            ],
            Grain::Hour => vec![(Grain::Hour, all.clone())],
        };
        let mut steps: Vec<(Grain, Range<i64>)> =
            steps.into_iter().filter(|(_, range)| !range.is_empty()).collect();
        if steps.is_empty() && course.with_missing {
            // Only rows without a time: any tile has them.
            let grain = if self.day.is_some() { Grain::Day } else { Grain::Hour };
            steps.push((grain, 0..0));
        }
        steps
    }
}

/// What the tiles of one view answer.
struct Answer {
    partials: Vec<Partial>,
    time: String,
    edges: Vec<Range<i64>>,
    tile_rows: u64,
    stands_for: u64,
}

/// Some rows of a tile: those of a stretch of time.
struct Slice<'t> {
    tile: &'t Tile,
    range: Range<i64>,
    with_missing: bool,
}

impl Slice<'_> {
    fn rows(&self) -> impl Iterator<Item = u32> {
        let (times, tile) = (&self.tile.times, self.tile);
        let missing = times.partition_point(|&code| code == 0);
        let start_of =
            |code: u32| (tile.first + i64::from(code) - 1).saturating_mul(tile.grain.ms());
        let from = times.partition_point(|&code| code == 0 || start_of(code) < self.range.start);
        let to = times.partition_point(|&code| code == 0 || start_of(code) < self.range.end);
        let missing = if self.with_missing { missing } else { 0 };
        (0..missing as u32).chain(from as u32..to.max(from) as u32)
    }
}

/// From the intervals of a tile to those of a question; what lies outside of `range` is not asked.
fn time_key<'t>(tile: &'t Tile, intervals: &Intervals, range: &Range<i64>) -> Key<'t> {
    let last = tile.times.last().copied().unwrap_or(0);
    let code = |code: u32| {
        let start = (tile.first + i64::from(code) - 1).saturating_mul(tile.grain.ms());
        match code > 0 && range.contains(&start) {
            true => intervals.number(start) + 1,
            false => 0,
        }
    };
    let map = (0..=last).map(code).collect();
    Key { codes: &tile.times, map: Some(map), end: intervals.len() as u64 + 1 }
}

/// The codes of a dimension, a row each, and which codes pass a test.
type Test<'t> = (&'t [u32], Vec<bool>);

/// For each test of a dimension its codes, and which of them pass; `None` if a test is of another
/// type than the dimension.
fn tests<'t>(
    place: &Place,
    candidate: &Candidate<'_>,
    cut: &Cut,
    tile: &'t Tile,
) -> Result<Option<Vec<Test<'t>>>, QueryError> {
    let mut tests = Vec::with_capacity(candidate.tests.len());
    for (name, values) in &candidate.tests {
        let number = cut.dimensions.iter().position(|other| other == name);
        let dimension = &tile.dimensions[number.ok_or_else(|| lost("a dimension"))?];
        let mut passes = vec![false; dimension.members.len() + 1];
        // Without a column no row of the segment has a value.
        let column = place.view.column(name)?;
        for value in values.iter().filter(|_| column.is_some()) {
            let code = match (&dimension.members, value, &column) {
                (Members::Ords(ords), Value::Str(text), Some(Column::Keyword(column))) => {
                    column.ord_of(text)?.and_then(|ord| ords.binary_search(&ord).ok())
                }
                (Members::Longs(longs), Value::Long(value), Some(Column::Long(_))) => {
                    longs.iter().position(|long| long == value)
                }
                (Members::Longs(longs), Value::Bool(value), Some(Column::Bool(_))) => {
                    longs.iter().position(|&long| long == i64::from(*value))
                }
                _ => return Ok(None),
            };
            if let Some(code) = code {
                passes[code + 1] = true;
            }
        }
        tests.push((dimension.codes.as_slice(), passes));
    }
    Ok(Some(tests))
}

/// The members of a dimension as keys that all views share.
fn keys_of(
    place: &Place,
    name: &str,
    members: &Members,
    shared: Option<&Arc<Ordinals>>,
) -> Result<Option<Keys>, QueryError> {
    Ok(match (members, shared) {
        (Members::Longs(longs), _) => Some(Keys::Longs(longs.clone())),
        (Members::Doubles(bits), _) => Some(Keys::Doubles(bits.clone())),
        (Members::Ords(ords), Some(shared)) => match place.view.column(name)? {
            Some(Column::Keyword(column)) => {
                let numbers = place.view.translation(shared, &column)?;
                Some(Keys::Shared(ords.iter().map(|&ord| numbers[ord as usize]).collect()))
            }
            _ => None,
        },
        (Members::Ords(_), None) => None,
    })
}

/// The tile under a key, from memory or decoded; `None` if it cannot be read. Sets of ordinals come
/// in the numbers that all views share, which is worth remembering.
fn decoded(
    place: &Place,
    key: &Arc<str>,
    grain: Grain,
    shared: Option<&Arc<Ordinals>>,
) -> Result<Option<Arc<Tile>>, QueryError> {
    let view = &place.view;
    if let Some(known) = view.decoded_tile(key).and_then(|tile| tile.downcast::<Tile>().ok())
        && known.is_in(shared)
    {
        return Ok(Some(known));
    }
    let Some(bytes) = view.tile(key) else { return Ok(None) };
    let Some(mut tile) = Tile::from_bytes(&bytes, grain) else {
        return Err(QueryError::Internal("a tile that is none".to_owned()));
    };
    if let (Values::Sets(of @ SetsOf::Ords, sets), Some(shared)) = (&mut tile.values, shared) {
        let Some(name) = measured_by(key) else { return Ok(None) };
        let Some(Column::Keyword(column)) = view.column(&name)? else { return Ok(None) };
        let numbers = view.translation(shared, &column)?;
        for set in sets.iter_mut() {
            let mut there: Vec<u32> = set.iter().map(|ord| numbers[ord as usize]).collect();
            there.sort_unstable();
            there.dedup();
            *set = RoaringBitmap::from_sorted_iter(there).map_err(|_| lost("a set"))?;
        }
        *of = SetsOf::Shared(Arc::clone(shared));
    }
    let (bytes, tile) = (tile.bytes(), Arc::new(tile));
    view.keep_tile(key, Arc::clone(&tile) as storage::DecodedTile, bytes);
    Ok(Some(tile))
}

/// The field in a key such as `1 distinct("device_id") where …`.
fn measured_by(key: &str) -> Option<String> {
    let (_, from) = key.split_once('(')?;
    let mut texts = serde_json::Deserializer::from_str(from).into_iter::<String>();
    texts.next()?.ok()
}

impl Tile {
    /// Whether its sets are in these numbers, if it has sets of ordinals.
    fn is_in(&self, shared: Option<&Arc<Ordinals>>) -> bool {
        match (&self.values, shared) {
            (Values::Sets(SetsOf::Shared(of), _), Some(shared)) => Arc::ptr_eq(of, shared),
            (Values::Sets(SetsOf::Shared(_) | SetsOf::Ords, _), _) => false,
            _ => true,
        }
    }
}

/// Where each measure may be found, given what all rows have to pass; `None` if one may not.
fn wanted<'a>(plan: &Plan<'a>, parts: &[&'a Filter]) -> Option<Vec<Wanted<'a>>> {
    let filters: Vec<Option<&'a Filter>> =
        plan.measures.iter().map(|planned| Some(*plan.masks.get(planned.mask?)?)).collect();
    let texts: BTreeSet<String> = filters.iter().flatten().map(|f| definition::text(f)).collect();
    // The question's own condition may be that one of the measures' conditions holds.
    let is_any = |part: &&Filter| match part {
        Filter::Or { of, at_least: 1 } => {
            of.iter().map(definition::text).collect::<BTreeSet<_>>() == texts
        }
        _ => false,
    };
    let each_has_one = filters.iter().all(Option::is_some) && !filters.is_empty();
    let any = parts.iter().position(|part| each_has_one && is_any(part));
    let mut wanted = Vec::new();
    for (place, (planned, filter)) in plan.measures.iter().zip(&filters).enumerate() {
        if planned.kind.is_none() && measured(planned.measure).is_some() {
            return None;
        }
        if planned.kind == Some(Kind::Keyword)
            && matches!(planned.measure, Measure::Distinct(_))
            && planned.shared.is_none()
        {
            return None;
        }
        let all =
            parts.iter().enumerate().filter(|(at, _)| Some(*at) != any).map(|(_, part)| *part);
        let all: Vec<&Filter> =
            all.chain(filter.iter().flat_map(|f| definition::parts(f))).collect();
        let largest = matches!(planned.measure, Measure::Max(_));
        let candidates = candidates(planned.measure, &all)?;
        let shared = planned.shared.clone();
        wanted.push(Wanted { place: Some(place), largest, shared, candidates });
    }
    // Where no measure counts a group's rows, something else has to say that there are any.
    if any.is_none() && filters.iter().all(Option::is_some) {
        let candidates = candidates(&Measure::Rows, parts)?;
        wanted.push(Wanted { place: None, largest: false, shared: None, candidates });
    }
    Some(wanted)
}

/// All ways to see the parts of a condition as the measure's own or as tests of dimensions.
fn candidates<'a>(measure: &Measure, parts: &[&'a Filter]) -> Option<Vec<Candidate<'a>>> {
    let test = |part: &'a Filter| match part {
        Filter::Term(name, value) => Some((name.as_str(), std::slice::from_ref(value))),
        Filter::Terms(name, values) => Some((name.as_str(), values.as_slice())),
        _ => None,
    };
    let (tests, own): (Vec<&'a Filter>, Vec<&'a Filter>) =
        parts.iter().copied().partition(|part| test(part).is_some());
    if tests.len() > TESTS_MAX {
        return None;
    }
    let mut candidates = Vec::new();
    for chosen in 0..1_u32 << tests.len() {
        let is_own = |at: usize| chosen >> at & 1 == 1;
        let (mut conditions, mut rest) = (own.clone(), Vec::new());
        for (at, part) in tests.iter().enumerate() {
            match is_own(at) {
                true => conditions.push(part),
                false => rest.extend(test(part)),
            }
        }
        let prefix = definition::prefix(measure, &conditions)?;
        candidates.push(Candidate { prefix, tests: rest });
    }
    Some(candidates)
}

/// The field and the integers of a range of integers, the end excluded.
fn range(filter: &Filter) -> Option<(&str, Range<i64>)> {
    let Filter::Range { field, from, to } = filter else { return None };
    let from = match from {
        Bound::Included(Value::Long(from)) => *from,
        Bound::Excluded(Value::Long(from)) => from.saturating_add(1),
        Bound::Unbounded => i64::MIN,
        _ => return None,
    };
    let to = match to {
        Bound::Included(Value::Long(to)) => to.saturating_add(1),
        Bound::Excluded(Value::Long(to)) => *to,
        Bound::Unbounded => i64::MAX,
        _ => return None,
    };
    Some((field, from..to))
}
