//! Forgetting a person: which rows speak of one, and taking them out of every file.

use crate::segment::{Segment, Slot};
use crate::store::Store;
use crate::{Filter, Selection, StoreError};
use model::{Column, Field, FieldId, StoredType, Table, TableId, Values};
use roaring::{RoaringBitmap, RoaringTreemap};

/// Rows whose sealed values are opened at once.
const ROWS_AT_ONCE: usize = 1_024;

/// How to know the rows that speak of a person. Fields are asked as they were stored: under the
/// table of that time.
pub trait Trace {
    /// The rows that an index finds.
    fn filter(&self, table: &Table) -> Filter;

    /// Whether every distinct string of a field is to be looked into.
    fn searches(&self, field: &Field) -> bool;

    /// Whether a string of such a field speaks of the person.
    fn is_in(&self, text: &str) -> bool;

    /// Whether an `_id` is or holds what stands for the person.
    fn is_in_id(&self, id: &str) -> bool;

    /// Whether a column of sealed values speaks of the person, value by value.
    ///
    /// # Errors
    /// If one does not open.
    fn are_in(&self, table: &Table, sealed: &Column) -> Result<Vec<bool>, protection::SealError>;
}

/// Rows that were found.
#[derive(Debug, Default)]
pub struct FoundRows {
    /// The `_id`s of those that are not deleted.
    pub ids: Vec<String>,
    /// The numbers of all, which stay theirs in whatever segment they come to stand: also of rows
    /// that are deleted or have a newer version, and still lie in a file.
    pub seqs: RoaringTreemap,
}

impl Store {
    /// The rows of a table that bear a trace. This is not a read: nothing of it may reach a
    /// caller.
    ///
    /// # Errors
    /// If a segment cannot be read, a sealed value does not open, or the table is gone.
    pub fn rows_with(&self, table: TableId, trace: &dyn Trace) -> Result<FoundRows, StoreError> {
        let (table, views) = self.views_of(table)?;
        let mut found = FoundRows::default();
        for view in &views {
            let rules = view.segment.rules();
            let then = Table { schema: table.schema.as_of(rules), ..Table::clone(&table) };
            let rows = view.segment.rows_with(&then, trace)?;
            let living: Vec<u32> = (&rows - &*view.dead).iter().collect();
            found.ids.extend(view.segment.ids(&living)?);
            found.seqs.extend(view.segment.seqs(&rows.iter().collect::<Vec<u32>>())?);
        }
        Ok(found)
    }

    /// The `_id`s of those rows of a table that are not deleted.
    ///
    /// # Errors
    /// If a segment cannot be read or the table is gone.
    pub fn living(&self, table: TableId, seqs: &RoaringTreemap) -> Result<Vec<String>, StoreError> {
        let wanted: Vec<u64> = seqs.iter().collect();
        let (_, views) = self.views_of(table)?;
        let mut ids = Vec::new();
        for view in &views {
            let mut rows = view.segment.rows_with_seqs(&wanted)?;
            rows -= &*view.dead;
            ids.extend(view.segment.ids(&rows.iter().collect::<Vec<u32>>())?);
        }
        Ok(ids)
    }

    /// Writes every segment anew that still holds one of these deleted rows, without it. Rows that
    /// are not deleted stay.
    ///
    /// # Errors
    /// If the disk or the catalog fails, or the table is gone; what was done is done.
    pub fn expunge(&self, table: TableId, seqs: &RoaringTreemap) -> Result<(), StoreError> {
        let wanted: Vec<u64> = seqs.iter().collect();
        let store = self.inner().find(table)?;
        loop {
            // Deletes are the catalog's only when what caused them is flushed, and only such rows
            // are left out; a write may delete one right behind a flush.
            self.inner().flush(&store)?;
            while self.inner().expunge_one(&store, &wanted)? {}
            if !self.inner().has_unsaved_deletes_of(&store, &wanted)? {
                break;
            }
        }
        self.end_points_with(table, &wanted)?;
        self.inner().columns.forget_strings(table);
        Ok(())
    }

    /// Puts all rows into segments and removes every file of the log that was there before.
    ///
    /// # Errors
    /// If the disk or the catalog fails.
    pub fn forget_log(&self) -> Result<(), StoreError> {
        // Files that nobody names any more, such as those of an epoch that just ended.
        self.inner().remove_leavings()?;
        self.inner().forget_log()
    }

    /// Removes the files of the log that hold rows as they were before a ruling or an epoch, unless
    /// rows wait to be brought under a ruling: then the background does it after that.
    ///
    /// # Errors
    /// If the disk or the catalog fails.
    pub fn forget_stale_log(&self) -> Result<(), StoreError> {
        self.inner().forget_stale_log()
    }

    /// Forgets dropped tables before their time; says how many.
    ///
    /// # Errors
    /// If the disk or the catalog fails.
    pub fn purge_all_dropped(&self) -> Result<u64, StoreError> {
        self.inner().purge_dropped_before(i64::MAX)
    }
}

impl Segment {
    /// Rows that bear a trace, deleted ones too.
    fn rows_with(&self, table: &Table, trace: &dyn Trace) -> Result<RoaringBitmap, StoreError> {
        let none = RoaringBitmap::new();
        let mut rows = in_order(&self.select(table, &trace.filter(table), &none)?);
        rows |= self.rows_with_id_like(&|id| trace.is_in_id(id))?;
        for (place, field) in table.schema.fields().iter().enumerate() {
            let name = field.name.as_str();
            if trace.searches(field)
                && let Some(Slot::Keyword(column)) = self.slot(table, name)
            {
                rows |= self.rows_with_term_like(column, &|text| trace.is_in(text))?;
            }
            if field.stored() != StoredType::Sealed {
                continue;
            }
            let has_value = self.select(table, &Filter::Exists(name.to_owned()), &none)?;
            let has_value: Vec<u32> = in_order(&has_value).iter().collect();
            for rows_now in has_value.chunks(ROWS_AT_ONCE) {
                let mut column = Column {
                    field: FieldId(place as u32),
                    rows: Vec::new(),
                    values: Values::Bytes(Vec::new()),
                };
                let Values::Bytes(all) = &mut column.values else { continue };
                for (&row, values) in rows_now.iter().zip(self.sealed(table, name, rows_now)?) {
                    column.rows.extend(values.iter().map(|_| row));
                    all.extend(values);
                }
                let hits = trace.are_in(table, &column)?;
                let hits = column.rows.iter().zip(hits).filter(|(_, hit)| *hit);
                rows.extend(hits.map(|(row, _)| *row));
            }
        }
        Ok(rows)
    }
}

fn in_order(selection: &Selection) -> RoaringBitmap {
    let blocks = selection.blocks();
    blocks.flat_map(|block| (0..block.len()).map(move |place| block.row(place))).collect()
}
