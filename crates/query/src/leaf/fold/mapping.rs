//! What a table of entities says about each of its keys.

use super::block::Slots;
use super::cohort::firsts;
use super::group::Interner;
use super::{Job, Kind, Place};
use crate::leaf::field;
use crate::{Mapping, QueryError};
use storage::{Column, Filter, MISSING};

/// Bytes of a key in the mapping beside its text, about.
const KEY_BYTES: usize = 48;

/// The first value of `value` for each value of `key`; of several rows with one key the last wins.
pub(in super::super) fn mapping(
    job: &Job<'_>,
    key: &str,
    value: &str,
) -> Result<Mapping, QueryError> {
    let name = job.tables.first().map_or(String::new(), |table| format!("{}.{value}", table.name));
    let mut mapping = Mapping { name, ..Mapping::default() };
    let mut values = Interner::new();
    let kind = field::column_kind(job.tables, value)?;
    for place in job.places {
        job.limits.check()?;
        let (Some(kind), Some(keys)) = (kind, Keyed::open(place, key)?) else { continue };
        keys.read(job, place, value, kind, &mut values, &mut mapping)?;
    }
    mapping.values = values.keys().to_vec();
    Ok(mapping)
}

/// The keys of a view.
struct Keyed {
    slots: Slots,
    slot: usize,
    terms: Vec<String>,
}

impl Keyed {
    fn open(place: &Place, key: &str) -> Result<Option<Keyed>, QueryError> {
        let mut slots = Slots::default();
        let Some(slot) = slots.open(&place.view, key, Kind::Keyword)? else { return Ok(None) };
        let Column::Keyword(column) = slots.get(slot).column() else { return Ok(None) };
        let ords: Vec<u32> = (0..column.cardinality()).collect();
        let terms = column.terms(&ords)?;
        Ok(Some(Keyed { slots, slot, terms }))
    }

    fn read(
        mut self,
        job: &Job<'_>,
        place: &Place,
        value: &str,
        kind: Kind,
        values: &mut Interner<String>,
        mapping: &mut Mapping,
    ) -> Result<(), QueryError> {
        let Some(slot) = self.slots.open(&place.view, value, kind)? else { return Ok(()) };
        let words = match self.slots.get(slot).column() {
            Column::Keyword(column) => {
                let ords: Vec<u32> = (0..column.cardinality()).collect();
                column.terms(&ords)?
            }
            _ => Vec::new(),
        };
        let (mut keys, mut ords, mut longs) = (Vec::new(), Vec::new(), Vec::new());
        let mut doubles = Vec::new();
        for block in place.view.select(&Filter::All)?.blocks() {
            job.limits.check()?;
            self.slots.next_block();
            firsts(self.slots.load(self.slot, block).ords(), block.len(), MISSING, &mut keys);
            let loaded = self.slots.load(slot, block);
            let mut bytes = 0;
            if loaded.has_ords() {
                firsts(loaded.ords(), block.len(), MISSING, &mut ords);
            } else if loaded.has_doubles() {
                firsts(loaded.doubles(), block.len(), f64::NAN, &mut doubles);
            } else {
                firsts(loaded.longs(), block.len(), i64::MIN, &mut longs);
            }
            for (at, &key) in keys.iter().enumerate().filter(|(_, key)| **key != MISSING) {
                let text = match kind {
                    Kind::Keyword => words.get(ords[at] as usize).cloned(),
                    Kind::Double => (!doubles[at].is_nan()).then(|| doubles[at].to_string()),
                    Kind::Bool => (longs[at] != i64::MIN).then(|| (longs[at] != 0).to_string()),
                    Kind::Date => {
                        (longs[at] != i64::MIN).then(|| model::Timestamp(longs[at]).to_rfc3339())
                    }
                    _ => (longs[at] != i64::MIN).then(|| longs[at].to_string()),
                };
                let Some(text) = text else { continue };
                let key = &self.terms[key as usize];
                bytes += key.len() + KEY_BYTES;
                mapping.of.insert(key.clone(), values.number(text));
            }
            job.memory.take(bytes)?;
        }
        Ok(())
    }
}
