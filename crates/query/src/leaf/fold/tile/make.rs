//! Makes the tiles of a segment.

use super::super::group::Keys;
use super::super::partial::Partial;
use super::super::{Piece, Plan, Rest};
use super::definition::Cut;
use super::roll::{Key, roll};
use super::{Dimension, Grain, Members, Tile, TileDefinition, Values};
use crate::leaf::{Ground, Memory, Place};
use crate::{Cancel, Group, GroupBy, Interval, Limits, Measure, MeasureOf, QueryError};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
use model::{Table, TableId};
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use storage::{Column, ReadError, TileMaker, View};

/// A tile is kept if it has at most one byte for so many rows of its segment. A row of a tile takes
/// about six bytes, a value in a set one or two; a row of the segment some fifty.
const ROWS_PER_BYTE: u64 = 2;
/// What making one tile may take.
const MEMORY_BYTES: usize = 512 << 20;
const GROUPS_MAX: usize = 2_000_000;
const TIME: Duration = Duration::from_secs(600);

/// Which measures tiles are kept of; asked again when the table or what is declared changes.
type Declared = dyn Fn(&Arc<Table>) -> Vec<TileDefinition> + Send + Sync;

/// Makes tiles of what is declared.
pub struct TileSmith {
    declared: Box<Declared>,
    asked: Mutex<Asked>,
}

/// What was asked since the last change.
#[derive(Default)]
struct Asked {
    changes: u64,
    known: HashMap<TableId, Arc<Known>>,
}

/// What is wanted of one table as it is.
struct Known {
    table: Arc<Table>,
    /// Those of one family beside each other, with most dimensions first: the tiles of the others
    /// are made of theirs.
    definitions: Vec<TileDefinition>,
    /// The cut of each key, and of which definition it is.
    cuts: Vec<(String, usize, Cut)>,
    keys: Arc<[String]>,
}

impl TileSmith {
    /// `declared` says for a table of which measures tiles are kept.
    pub fn new(
        declared: impl Fn(&Arc<Table>) -> Vec<TileDefinition> + Send + Sync + 'static,
    ) -> TileSmith {
        TileSmith { declared: Box::new(declared), asked: Mutex::default() }
    }

    /// What is declared has changed.
    pub fn forget(&self) {
        let mut asked = self.asked.lock();
        asked.changes += 1;
        asked.known.clear();
    }

    fn known(&self, table: &Arc<Table>) -> Arc<Known> {
        let (changes, known) = {
            let asked = self.asked.lock();
            (asked.changes, asked.known.get(&table.id).cloned())
        };
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.table, table)) {
            return known;
        }
        let known = Arc::new(Known::new(table, (self.declared)(table)));
        let mut asked = self.asked.lock();
        // What was declared meanwhile is not in it.
        if asked.changes == changes {
            asked.known.insert(table.id, Arc::clone(&known));
        }
        known
    }
}

impl Known {
    fn new(table: &Arc<Table>, mut definitions: Vec<TileDefinition>) -> Known {
        let order = |of: &TileDefinition| (of.family(), Reverse(of.dimensions.len()));
        definitions.sort_by_cached_key(order);
        let mut cuts: Vec<(String, usize, Cut)> = Vec::new();
        let all = definitions.iter().enumerate();
        for (number, (key, cut)) in
            all.flat_map(|(n, of)| of.cuts().into_iter().map(move |c| (n, c)))
        {
            if !cuts.iter().any(|(known, _, _)| *known == key) {
                cuts.push((key, number, cut));
            }
        }
        let keys = cuts.iter().map(|(key, _, _)| key.clone()).collect();
        Known { table: Arc::clone(table), definitions, cuts, keys }
    }
}

impl TileMaker for TileSmith {
    fn wanted(&self, table: &Arc<Table>) -> Arc<[String]> {
        Arc::clone(&self.known(table).keys)
    }

    fn make(&self, view: &Arc<View>, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let known = self.known(view.table());
        let mut made: HashMap<&str, Vec<u8>> = HashMap::new();
        let mut tiles: Option<Tiles<'_>> = None;
        for (key, number, cut) in known.cuts.iter().filter(|(key, ..)| keys.contains(key)) {
            let definition = &known.definitions[*number];
            let tiles = match &mut tiles {
                Some(tiles) if tiles.definition.family() == definition.family() => tiles,
                other => other.insert(Tiles { view, definition, made: Vec::new() }),
            };
            let tile = tiles.make(cut)?;
            let worth =
                |bytes: &Vec<u8>| bytes.len() as u64 * ROWS_PER_BYTE <= u64::from(view.rows());
            if let Some(bytes) = tile.map(Tile::to_bytes).filter(worth) {
                made.insert(key, bytes);
            }
        }
        Ok(keys.iter().map(|key| made.remove(key.as_str())).collect())
    }
}

/// The tiles of one family over one view.
struct Tiles<'a> {
    view: &'a Arc<View>,
    /// One of the family: all have its measure, condition and time.
    definition: &'a TileDefinition,
    /// Kept or not: coarser ones are made of finer ones.
    made: Vec<(Cut, Tile)>,
}

impl Tiles<'_> {
    /// The tile of a cut; `None` where it would not say what the rows say, or is far too large.
    fn make(&mut self, cut: &Cut) -> Result<Option<&Tile>, ReadError> {
        if !self.is_single(&cut.time)? {
            return Ok(None);
        }
        for dimension in &cut.dimensions {
            if !self.is_single(dimension)? {
                return Ok(None);
            }
        }
        let tile = match self.out_of_finer(cut) {
            Some(tile) => Some(tile),
            None => match self.out_of_rows(cut) {
                Ok(tile) => tile,
                Err(QueryError::TooManyGroups { .. } | QueryError::Memory { .. }) => None,
                Err(error) => return Err(ReadError::Internal(error.to_string())),
            },
        };
        Ok(tile.map(|tile| {
            self.made.push((cut.clone(), tile));
            &self.made[self.made.len() - 1].1
        }))
    }

    /// Whether no row has two values: such a row would count twice when groups become one.
    fn is_single(&self, field: &str) -> Result<bool, ReadError> {
        Ok(match self.view.column(field)? {
            Some(Column::Keyword(column)) => column.is_single(),
            Some(Column::Long(column)) => column.is_single(),
            Some(Column::Double(column)) => column.is_single(),
            Some(Column::Bool(column)) => column.is_single(),
            None => true,
        })
    }

    fn largest(&self) -> bool {
        matches!(self.definition.measure, Measure::Max(_))
    }

    /// From the smallest of those that have all it needs.
    fn out_of_finer(&self, cut: &Cut) -> Option<Tile> {
        let places = |finer: &Cut| -> Option<Vec<usize>> {
            let place = |name: &String| finer.dimensions.iter().position(|other| other == name);
            cut.dimensions.iter().map(place).collect()
        };
        let finer = self.made.iter().filter(|(finer, _)| finer.grain <= cut.grain);
        let finer = finer.filter_map(|(finer, tile)| Some((tile, places(finer)?)));
        let (tile, kept) = finer.min_by_key(|(tile, _)| tile.rows.len())?;
        tile.coarser(cut.grain, &kept, self.largest())
    }

    fn out_of_rows(&self, cut: &Cut) -> Result<Option<Tile>, QueryError> {
        let interval = match cut.grain {
            Grain::Hour => Interval::Hour,
            Grain::Day => Interval::Day,
        };
        let by = GroupBy::Date {
            field: cut.time.clone(),
            interval,
            time_zone: chrono_tz::UTC,
            offset_ms: 0,
        };
        let mut groups = vec![Group { by, keep_missing: true }];
        let dimensions = cut.dimensions.iter();
        groups.extend(
            dimensions.map(|name| Group { by: GroupBy::Terms(name.clone()), keep_missing: true }),
        );
        let measures = [MeasureOf { measure: self.definition.measure.clone(), filter: None }];
        // Nobody waits for it who could go away.
        let limits = Limits {
            groups: GROUPS_MAX,
            memory_bytes: MEMORY_BYTES,
            cancel: Cancel::default(),
            ..Limits::standard()
        };
        let limits = limits.within(TIME).without_tiles();
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(MEMORY_BYTES));
        let reservation = MemoryConsumer::new("tiles").register(&pool);
        let memory = Memory { reservation, limit: MEMORY_BYTES };

        let tables = [Arc::clone(self.view.table())];
        let places = [Place { view: Arc::clone(self.view) }];
        let ground = Ground { places: &places, tables: &tables, limits: &limits, memory: &memory };
        let plan = Plan::new(&ground, &self.definition.filter, &groups, &measures)?.with_ordinals();
        let ready = plan.prepare(&ground, &Rest::whole(&places[0]))?;
        let to = ready.selection.len();
        // In one piece: its ordinals are those of the segment.
        let partial = plan.fold(&ground, &Piece { view: &ready, from: 0, to }, false)?;
        Ok(tile_of(partial, cut.grain))
    }
}

/// The tile that a partial fold by time and dimensions is.
fn tile_of(partial: Partial, grain: Grain) -> Option<Tile> {
    let Partial { keys, codes, rows, measures } = partial;
    let width = keys.len();
    let column = |place: usize| codes.iter().skip(place).step_by(width).copied();
    let mut keys = keys.into_iter();
    let Some(Keys::Longs(starts)) = keys.next() else { return None };
    let number = |start: &i64| start.div_euclid(grain.ms());
    let first = starts.iter().map(number).min().unwrap_or(0);
    let last = starts.iter().map(number).max().unwrap_or(0);
    let end = u32::try_from(last.checked_sub(first)?).ok()?.checked_add(2)?;
    let code = |start: &i64| (number(start) - first + 1) as u32;
    let time = |place: u32| place.checked_sub(1).map_or(0, |place| code(&starts[place as usize]));
    let times: Vec<u32> = column(0).map(time).collect();
    let mut dimensions = Vec::with_capacity(width - 1);
    for (place, keys) in (1..).zip(keys) {
        let members = match keys {
            Keys::Shared(ords) => Members::Ords(ords),
            Keys::Longs(longs) => Members::Longs(longs),
            Keys::Doubles(bits) => Members::Doubles(bits),
            Keys::Strings(_) => return None,
        };
        dimensions.push(Dimension { members, codes: column(place).collect() });
    }
    let values = Values::from_part(measures.into_iter().next()?)?;
    let unsorted = Tile { grain, first, times, dimensions, rows, values };
    let mut by = vec![Key { codes: &unsorted.times, map: None, end: u64::from(end) }];
    by.extend(unsorted.dimensions.iter().map(Dimension::key));
    let rows: Vec<u32> = (0..unsorted.rows.len() as u32).collect();
    // Every group has one row, so that ends stay what they are.
    let sorted = roll(&unsorted, &by, &rows, true)?;
    Some(sorted.into_tile(grain, first, unsorted.dimensions.iter()))
}
