//! The filter of a measure, asked of the rows that are folded anyway.

use super::super::field::{self, Kind};
use super::block::{Loaded, Mask, Slots};
use crate::QueryError;
use model::Value;
use std::ops::Bound;
use std::sync::Arc;
use storage::{Block, Column, Filter, View};

/// Which of the rows of a block pass the filter of a measure.
pub(super) enum Sieve {
    /// Those that the store selected.
    Mask(Arc<Mask>),
    /// Those with one of these ordinals: cheaper than selecting them.
    Ords { field: String, wanted: Wanted },
    /// Those with an integer or date in a range.
    Longs { field: String, kind: Kind, from: i64, to: i64 },
}

/// Some of the ordinals of a column.
pub(super) enum Wanted {
    /// None.
    Nothing,
    /// One.
    One(u32),
    /// Those that are marked.
    Marked(Vec<bool>),
}

impl Sieve {
    /// The cheap way to ask this filter of the rows of a view; `None` if there is none.
    pub(super) fn over(view: &View, filter: &Filter) -> Result<Option<Sieve>, QueryError> {
        Ok(match filter {
            Filter::Term(field, Value::Str(term)) => {
                ords(view, field, std::slice::from_ref(&Value::Str(term.clone())))?
            }
            Filter::Terms(field, values) => ords(view, field, values)?,
            Filter::Term(field, Value::Long(value)) => longs(view, field, *value, *value)?,
            Filter::Range { field, from, to } => {
                let from = match from {
                    Bound::Included(Value::Long(value)) => Some(*value),
                    Bound::Excluded(Value::Long(value)) => value.checked_add(1),
                    Bound::Unbounded => Some(i64::MIN),
                    _ => None,
                };
                let to = match to {
                    Bound::Included(Value::Long(value)) => Some(*value),
                    Bound::Excluded(Value::Long(value)) => value.checked_sub(1),
                    Bound::Unbounded => Some(i64::MAX),
                    _ => None,
                };
                match (from, to) {
                    (Some(from), Some(to)) => longs(view, field, from, to)?,
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// Opens the column that is asked.
    pub(super) fn open(&self, view: &View, slots: &mut Slots) -> Result<(), QueryError> {
        match self {
            Sieve::Mask(_) => {}
            Sieve::Ords { field, .. } => {
                slots.open(view, field, Kind::Keyword)?;
            }
            Sieve::Longs { field, kind, .. } => {
                slots.open(view, field, *kind)?;
            }
        }
        Ok(())
    }

    /// Whether every row passes.
    pub(super) fn is_all(&self) -> bool {
        matches!(self, Sieve::Mask(mask) if mask.is_all())
    }

    /// For each row of the block whether it passes.
    pub(super) fn fill(&self, block: Block<'_>, slots: &mut Slots, keep: &mut Vec<bool>) {
        match self {
            Sieve::Mask(mask) => mask.fill(block, keep),
            Sieve::Ords { field, wanted } => match slots.find(field, Kind::Keyword) {
                Some(slot) => {
                    let ords = slots.load(slot, block).ords();
                    match wanted {
                        Wanted::Nothing => single(ords, block.len(), keep, |_| false),
                        Wanted::One(one) => single(ords, block.len(), keep, |ord| ord == *one),
                        Wanted::Marked(marked) => single(ords, block.len(), keep, |ord| {
                            marked.get(ord as usize).copied().unwrap_or(false)
                        }),
                    }
                }
                None => none(block, keep),
            },
            Sieve::Longs { field, kind, from, to } => match slots.find(field, *kind) {
                Some(slot) => {
                    let values = slots.load(slot, block).longs();
                    single(values, block.len(), keep, |value| (*from..=*to).contains(&value));
                }
                None => none(block, keep),
            },
        }
    }
}

fn none(block: Block<'_>, keep: &mut Vec<bool>) {
    keep.clear();
    keep.resize(block.len(), false);
}

/// Asks the value of each row; without one it does not pass.
fn single<T: Copy>(
    loaded: Loaded<'_, T>,
    len: usize,
    keep: &mut Vec<bool>,
    passes: impl Fn(T) -> bool,
) {
    keep.clear();
    match loaded {
        Loaded::Full(values) => keep.extend(values.iter().map(|&value| passes(value))),
        Loaded::Some(values, present) => {
            let pairs = values.iter().zip(present);
            keep.extend(pairs.map(|(&value, &present)| present && passes(value)));
        }
        Loaded::Many(rows, values) => {
            keep.resize(len, false);
            for (&row, &value) in rows.iter().zip(values) {
                keep[row as usize] |= passes(value);
            }
        }
    }
}

fn kind_here(view: &View, field: &str) -> Option<Kind> {
    field::find(view.table(), field).map(Kind::of)
}

fn ords(view: &View, field: &str, values: &[Value]) -> Result<Option<Sieve>, QueryError> {
    if kind_here(view, field) != Some(Kind::Keyword) {
        return Ok(None);
    }
    let Some(Column::Keyword(column)) = view.column(field)? else { return Ok(None) };
    let mut found = Vec::with_capacity(values.len());
    for value in values {
        let Value::Str(term) = value else { return Ok(None) };
        found.extend(column.ord_of(term)?);
    }
    let wanted = match found.as_slice() {
        [] => Wanted::Nothing,
        [one] => Wanted::One(*one),
        many => {
            let mut marked = vec![false; column.cardinality() as usize];
            many.iter().for_each(|&ord| marked[ord as usize] = true);
            Wanted::Marked(marked)
        }
    };
    Ok(Some(Sieve::Ords { field: field.to_owned(), wanted }))
}

fn longs(view: &View, field: &str, from: i64, to: i64) -> Result<Option<Sieve>, QueryError> {
    let kind = kind_here(view, field).filter(|kind| matches!(kind, Kind::Long | Kind::Date));
    let Some(kind) = kind else { return Ok(None) };
    let Some(Column::Long(_)) = view.column(field)? else { return Ok(None) };
    Ok(Some(Sieve::Longs { field: field.to_owned(), kind, from, to }))
}
