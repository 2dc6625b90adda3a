//! The columns of a view, loaded block by block and only once for all who need them.

use super::super::field::Kind;
use crate::QueryError;
use storage::{Block, Column, MISSING, Selection, View};

/// The columns that one fold needs of one view.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
}

/// One column and its values in the block at hand.
pub(super) struct Slot {
    name: String,
    kind: Kind,
    column: Column,
    loaded: bool,
    longs: Vec<i64>,
    doubles: Vec<f64>,
    ords: Vec<u32>,
    bools: Vec<bool>,
    present: Vec<bool>,
    rows: Vec<u32>,
}

/// The values of a block.
#[derive(Clone, Copy)]
pub(super) enum Loaded<'a, T> {
    /// One for each row.
    Full(&'a [T]),
    /// One for each row, of which only those marked are there; the others are values that the
    /// column may have.
    Some(&'a [T], &'a [bool]),
    /// Each with the place of its row; places never fall.
    Many(&'a [u32], &'a [T]),
}

impl Slots {
    /// The slot of a field; `None` if this view has no value of this kind.
    pub(super) fn open(
        &mut self,
        view: &View,
        name: &str,
        kind: Kind,
    ) -> Result<Option<usize>, QueryError> {
        if let Some(known) = self.find(name, kind) {
            return Ok(Some(known));
        }
        let Some(column) = view.column(name)? else { return Ok(None) };
        let fits = match &column {
            Column::Keyword(_) => kind == Kind::Keyword,
            Column::Long(_) => matches!(kind, Kind::Long | Kind::Date | Kind::Double),
            Column::Double(_) => kind == Kind::Double,
            Column::Bool(_) => kind == Kind::Bool,
        };
        if !fits {
            return Ok(None);
        }
        self.slots.push(Slot {
            name: name.to_owned(),
            kind,
            column,
            loaded: false,
            longs: Vec::new(),
            doubles: Vec::new(),
            ords: Vec::new(),
            bools: Vec::new(),
            present: Vec::new(),
            rows: Vec::new(),
        });
        Ok(Some(self.slots.len() - 1))
    }

    /// The slot of a field that was opened with this kind.
    pub(super) fn find(&self, name: &str, kind: Kind) -> Option<usize> {
        self.slots.iter().position(|slot| slot.name == name && slot.kind == kind)
    }

    /// Forgets the values of the last block.
    pub(super) fn next_block(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.loaded = false);
    }

    /// The slot, without loading it.
    pub(super) fn get(&self, slot: usize) -> &Slot {
        &self.slots[slot]
    }

    /// The slot with the values of `block`.
    pub(super) fn load(&mut self, slot: usize, block: Block<'_>) -> &Slot {
        let slot = &mut self.slots[slot];
        if !slot.loaded {
            slot.load(block);
            slot.loaded = true;
        }
        slot
    }
}

impl Slot {
    /// The column itself.
    pub(super) fn column(&self) -> &Column {
        &self.column
    }

    /// Whether every row has exactly one value.
    pub(super) fn is_full(&self) -> bool {
        match &self.column {
            Column::Keyword(column) => column.is_full(),
            Column::Long(column) => column.is_full(),
            Column::Double(column) => column.is_full(),
            Column::Bool(column) => column.is_full(),
        }
    }

    fn is_single(&self) -> bool {
        match &self.column {
            Column::Keyword(column) => column.is_single(),
            Column::Long(column) => column.is_single(),
            Column::Double(column) => column.is_single(),
            Column::Bool(column) => column.is_single(),
        }
    }

    /// Whether values come as floats ([`Slot::doubles`]), as integers ([`Slot::longs`]), or, if
    /// neither, as ordinals ([`Slot::ords`]).
    pub(super) fn has_doubles(&self) -> bool {
        self.kind == Kind::Double
    }

    /// Whether values come as ordinals.
    pub(super) fn has_ords(&self) -> bool {
        matches!(self.column, Column::Keyword(_))
    }

    /// Integers, dates and booleans of the block.
    pub(super) fn longs(&self) -> Loaded<'_, i64> {
        self.shaped(&self.longs)
    }

    /// Floats of the block.
    pub(super) fn doubles(&self) -> Loaded<'_, f64> {
        self.shaped(&self.doubles)
    }

    /// Ordinals of the block.
    pub(super) fn ords(&self) -> Loaded<'_, u32> {
        self.shaped(&self.ords)
    }

    fn shaped<'a, T>(&'a self, values: &'a [T]) -> Loaded<'a, T> {
        match (self.is_full(), self.is_single()) {
            (true, _) => Loaded::Full(values),
            (false, true) => Loaded::Some(values, &self.present),
            (false, false) => Loaded::Many(&self.rows, values),
        }
    }

    fn load(&mut self, block: Block<'_>) {
        let (full, single) = (self.is_full(), self.is_single());
        let Slot { present, rows, longs, doubles, ords, bools, .. } = self;
        match &self.column {
            Column::Keyword(column) => {
                if !full && !single {
                    column.all_ords(block, rows, ords);
                    once_each(rows, ords);
                    return;
                }
                column.first_ords(block, ords);
                if !full {
                    present.clear();
                    present.extend(ords.iter().map(|&ord| ord != MISSING));
                    // What is not there still has to be a place in tables of ordinals.
                    ords.iter_mut().for_each(|ord| *ord = if *ord == MISSING { 0 } else { *ord });
                }
            }
            Column::Long(column) => {
                match (full, single) {
                    (true, _) => column.values(block, longs),
                    (false, true) => column.first(block, longs, present),
                    (false, false) => column.all(block, rows, longs),
                }
                if self.kind == Kind::Double {
                    doubles.clear();
                    doubles.extend(longs.iter().map(|&value| value as f64));
                }
            }
            Column::Double(column) => match (full, single) {
                (true, _) => column.values(block, doubles),
                (false, true) => column.first(block, doubles, present),
                (false, false) => column.all(block, rows, doubles),
            },
            Column::Bool(column) => {
                match (full, single) {
                    (true, _) => column.values(block, bools),
                    (false, true) => column.first(block, bools, present),
                    (false, false) => column.all(block, rows, bools),
                }
                longs.clear();
                longs.extend(bools.iter().map(|&value| i64::from(value)));
            }
        }
    }
}

/// Keywords of a row are a set, as in Elasticsearch: an equal one counts once.
fn once_each(rows: &mut Vec<u32>, ords: &mut Vec<u32>) {
    let (mut kept, mut start) = (0, 0);
    for at in 0..rows.len() {
        if kept > 0 && rows[kept - 1] != rows[at] {
            start = kept;
        }
        if ords[start..kept].contains(&ords[at]) {
            continue;
        }
        (rows[kept], ords[kept]) = (rows[at], ords[at]);
        kept += 1;
    }
    rows.truncate(kept);
    ords.truncate(kept);
}

/// Which rows of a view match a filter, one bit each.
pub(super) struct Mask {
    /// Every row.
    all: bool,
    words: Vec<u64>,
}

impl Mask {
    /// The bits of a selection over a view of `rows` rows.
    pub(super) fn new(selection: &Selection, rows: u32) -> Mask {
        if let Selection::All(_) = selection {
            return Mask { all: true, words: Vec::new() };
        }
        let mut words = vec![0u64; (rows as usize).div_ceil(64)];
        let mut set = |row: u32| words[row as usize / 64] |= 1 << (row % 64);
        match selection {
            Selection::All(_) => {}
            Selection::Run(run) => run.clone().for_each(set),
            Selection::Rows(rows) => rows.iter().for_each(|&row| set(row)),
        }
        Mask { all: false, words }
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// Whether the row matches.
    #[inline]
    pub(super) fn has(&self, row: u32) -> bool {
        self.all || self.words[row as usize / 64] >> (row % 64) & 1 == 1
    }

    /// Whether every row matches.
    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    /// For each row of the block whether it matches.
    pub(super) fn fill(&self, block: Block<'_>, out: &mut Vec<bool>) {
        out.clear();
        out.extend((0..block.len()).map(|place| self.has(block.row(place))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keywords_of_a_row_are_one() {
        let (mut rows, mut ords) = (vec![0, 0, 0, 2, 3, 3], vec![5, 6, 5, 5, 5, 5]);
        once_each(&mut rows, &mut ords);
        assert_eq!(rows, [0, 0, 2, 3]);
        assert_eq!(ords, [5, 6, 5, 5]);
    }
}
