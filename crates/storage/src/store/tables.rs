//! Tables: made, changed, dropped, named and measured.

use super::{Store, TableStats, TableStore};
use crate::StoreError;
use crate::catalog::Edit;
use model::{Table, TableId, TableName};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Store {
    /// All tables by name.
    pub fn tables(&self) -> Vec<Arc<Table>> {
        let mut tables: Vec<Arc<Table>> =
            self.inner.all().iter().map(|table| Arc::clone(&table.state.lock().table)).collect();
        tables.sort_by(|left, right| left.name.cmp(&right.name));
        tables
    }

    /// The table with this name.
    pub fn table(&self, name: &str) -> Option<Arc<Table>> {
        let all = self.inner.all();
        let tables = all.iter().map(|table| Arc::clone(&table.state.lock().table));
        tables.into_iter().find(|table| table.name.as_str() == name)
    }

    /// The table with this id.
    pub fn table_by_id(&self, id: TableId) -> Option<Arc<Table>> {
        self.inner.find(id).ok().map(|table| Arc::clone(&table.state.lock().table))
    }

    /// Makes a table; its id is chosen here.
    ///
    /// # Errors
    /// If a table of this name is there or the catalog fails.
    pub fn create_table(&self, mut table: Table) -> Result<Arc<Table>, StoreError> {
        let mut tables = self.inner.tables.write();
        let taken =
            |name: &TableName| tables.values().any(|other| other.state.lock().table.name == *name);
        if taken(&table.name) {
            return Err(StoreError::TableExists);
        }
        table.id = self.inner.catalog.next_table_id()?;
        let edit = Edit { put_tables: vec![table.clone()], ..Edit::default() };
        self.inner.catalog.commit(&edit)?;
        let id = table.id;
        let store = Arc::new(TableStore::new(table));
        let made = Arc::clone(&store.state.lock().table);
        tables.insert(id, store);
        Ok(made)
    }

    /// Replaces the settings, fields and rulings of a table; durable when this returns.
    ///
    /// A ruling that changes how values are stored counts for every read from now on: rows that
    /// are stored as they were before show no value of the field until the background has
    /// rewritten them.
    ///
    /// # Errors
    /// If the table is gone, fields or rulings were taken away, a field changed its type, or the
    /// catalog fails.
    pub fn put_table(&self, table: Table) -> Result<Arc<Table>, StoreError> {
        let store = self.inner.find(table.id)?;
        let mut state = store.state.lock();
        if state.closing {
            return Err(StoreError::NoTable);
        }
        let kept = state.table.schema.fields().iter().zip(table.schema.fields());
        let same = kept.into_iter().all(|(old, new)| {
            old.name == new.name && old.ty == new.ty && new.rulings.starts_with(&old.rulings)
        });
        if !same
            || table.schema.fields().len() < state.table.schema.fields().len()
            || table.schema.rules() < state.table.schema.rules()
        {
            return Err(StoreError::internal("a table's fields and rulings only grow"));
        }
        let edit = Edit { put_tables: vec![table.clone()], ..Edit::default() };
        self.inner.catalog.commit(&edit)?;
        let is_ruled = table.schema.rules() != state.table.schema.rules();
        state.table = Arc::new(table);
        let table = Arc::clone(&state.table);
        drop(state);
        if is_ruled {
            self.inner.columns.forget_strings(table.id);
            self.inner.log_stale.fetch_add(1, Ordering::AcqRel);
            self.inner.wake_workers();
        }
        Ok(table)
    }

    /// Drops a table. Its data stays restorable for seven days.
    ///
    /// # Errors
    /// If the table is gone, or its rows in the buffer or the drop itself cannot be written; it
    /// stays then.
    pub fn drop_table(&self, id: TableId) -> Result<(), StoreError> {
        let store = self.inner.find(id)?;
        let mut state = store.state.lock();
        if state.closing {
            return Err(StoreError::NoTable);
        }
        state.closing = true;
        while !state.pending.is_empty() {
            store.turn.wait(&mut state);
        }
        drop(state);
        // The log forgets the rows of a dropped table, so they must be in a segment to come back.
        let dropped = self.inner.flush(&store).and_then(|()| {
            let mut state = store.state.lock();
            let now = self.inner.settings.clock.now();
            let edit = Edit { drop_tables: vec![(id, now)], ..Edit::default() };
            self.inner.catalog.commit(&edit)?;
            state.dropped = true;
            Ok(())
        });
        match dropped {
            Ok(()) => {
                drop(self.inner.tables.write().remove(&id));
                self.inner.points.end_of_table(id);
            }
            Err(_) => store.state.lock().closing = false,
        }
        dropped
    }

    /// How large a table is.
    ///
    /// # Errors
    /// If the table is gone.
    pub fn stats(&self, table: TableId) -> Result<TableStats, StoreError> {
        let store = self.inner.find(table)?;
        let state = store.state.lock();
        let buffered: u64 = state
            .buffer
            .batches()
            .iter()
            .map(|batch| u64::from(batch.rows.len()) - batch.dead.len())
            .sum();
        let mut stats =
            TableStats { buffered_rows: buffered, rows: buffered, ..Default::default() };
        for live in &state.segments {
            stats.rows += u64::from(live.record.rows) - live.dead.len();
            stats.deleted_rows += live.dead.len();
            stats.bytes += live.record.bytes;
            stats.segments += 1;
        }
        Ok(stats)
    }
}
