//! The catalog: which tables there are, which segments make them now, and small sealed records.
//!
//! ```text
//! D/catalog.db            a SQLite file, application_id "CLER", user_version 1
//!
//! sealed_row              section INTEGER, key BLOB, value BLOB; primary key (section, key),
//!                         without rowid: rows lie in one tree, and no index can disagree with it
//!   1 counter             key: u8 (1 next table, 2 next segment, 3 log released, 4 epoch of
//!                         pseudonyms, 5 the epoch that is being made or 0); u64
//!   2 table               key: table u32; JSON: settings, fields, rulings, when it was dropped
//!   3 segment             key: segment u64; JSON: everything of a SegmentRecord but the deletes
//!   4 deletes             key: segment u64; the bitmap of deleted rows
//!   5 flushed             key: table u32; u64: rows up to this number are in segments
//!   7 marks               key: table u32; how far its sources were stored, see `crate::mark`
//!   6 record              key: MAC of the kind (16 bytes), MAC of kind and id (16 bytes);
//!                         length of the id u16, id, value
//! digest                  one row, value BLOB: sealed sum over all rows
//! ```
//!
//! Numbers in keys are big-endian, in values little-endian. A value is nonce, ciphertext and tag
//! of AES-256-GCM-SIV under the key ring's record key for `catalog`; section and key of its row
//! are authenticated with it, so a changed value or one moved to another row is noticed and named
//! when the catalog is opened, and again whenever it is read. Nothing but small numbers is
//! readable in the file.
//!
//! The digest is the sum (four lanes of 64 bits) of a keyed hash of every row. It changes in the
//! same transaction as the rows, so that a row that was removed, added or put back to an older
//! state from outside is noticed when the catalog is opened. Only the whole file can be put back
//! to an older state unnoticed.
//!
//! A commit is one transaction. The rollback journal is used and not SQLite's write-ahead log:
//! there, a flipped byte makes committed transactions disappear without a word. One process at a
//! time has the catalog open.

mod error;
mod rows;
mod stored;

pub use error::CatalogError;

use crate::mark::Marks;
use model::{SegmentId, Seq, Table, TableId, TableName, Timestamp};
use parking_lot::Mutex;
use protection::keys::KeyRing;
use protection::{RecordError, RecordStore};
use rows::{Change, Counter, Rows, Section};
use rusqlite::Connection;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// Segment ids that are made durable at once.
const SEGMENT_ID_BLOCK: u64 = 64;

/// One segment of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRecord {
    /// Never used twice.
    pub id: SegmentId,
    /// Whose rows it holds.
    pub table: TableId,
    /// Rows, deleted ones too.
    pub rows: u32,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Lowest number of its rows.
    pub min_seq: Seq,
    /// Highest number of its rows.
    pub max_seq: Seq,
    /// Earliest value of the time field, in milliseconds.
    pub time_min: Option<i64>,
    /// Latest value of the time field, in milliseconds.
    pub time_max: Option<i64>,
    /// How often its rows were merged.
    pub level: u8,
    /// Whether any row has an `_id` that its writer gave.
    pub has_given_ids: bool,
    /// Fields of the schema when it was written.
    pub fields: u32,
    /// The rules under which its rows are stored ([`model::Schema::rules`]).
    pub rules: u32,
    /// The epoch of the pseudonyms in it.
    pub epoch: u32,
    /// The segment whose rows it holds under the next epoch: nobody reads it before that begins.
    pub shadow_of: Option<SegmentId>,
    /// Its deleted rows, as a serialised Roaring bitmap.
    pub deletes: Option<Vec<u8>>,
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// Tables to add or to replace, by id.
    pub put_tables: Vec<Table>,
    /// Tables to drop, and when; they stay restorable until they are purged.
    pub drop_tables: Vec<(TableId, Timestamp)>,
    /// Dropped tables to bring back.
    pub restore_tables: Vec<TableId>,
    /// Tables to forget with all their segments.
    pub purge_tables: Vec<TableId>,
    /// Segments that now belong to their table, or whose record changed.
    pub add_segments: Vec<SegmentRecord>,
    /// Segments that no longer do.
    pub remove_segments: Vec<SegmentId>,
    /// New deletes bitmaps of segments that are there before or are added.
    pub set_deletes: Vec<(SegmentId, Vec<u8>)>,
    /// Rows of these tables up to these numbers are in segments.
    pub flushed: Vec<(TableId, Seq)>,
    /// How far the sources of these tables were stored, with the rows that are now in segments.
    pub(crate) marks: Vec<(TableId, Marks)>,
    /// No frame of the log below this number is needed any more.
    pub log_released: Option<u64>,
    /// The epoch of all pseudonyms from now on; none is being made then.
    pub epoch: Option<u32>,
    /// The epoch that is being made.
    pub next_epoch: Option<u32>,
}

/// The epoch of a store that never had another.
const FIRST_EPOCH: u32 = 1;

/// The catalog of a data folder. Used from any thread, one call at a time.
pub struct Catalog {
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    rows: Rows,
    /// Live tables by name; `None` after a failed commit, read again when needed.
    names: Option<HashMap<TableName, TableId>>,
    /// Segment ids from here …
    segment_next: u64,
    /// … to before here can be handed out.
    segment_end: u64,
}

impl Catalog {
    /// Opens the catalog at `path`, makes it if there is none, and checks every row.
    ///
    /// # Errors
    /// If another process has it open, it is no catalog or too new, the disk fails, or anything in
    /// it was changed from outside.
    pub fn open(path: &Path, keys: &KeyRing) -> Result<Catalog, CatalogError> {
        let rows = Rows::new(path, keys);
        let mut connection = rows.open_file()?;
        rows.verify(&mut connection)?;
        let state = State { connection, rows, names: None, segment_next: 0, segment_end: 0 };
        Ok(Catalog { state: Mutex::new(state) })
    }

    /// All tables that are not dropped, in the order of their ids.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn tables(&self) -> Result<Vec<Table>, CatalogError> {
        let tables = self.state.lock().tables()?;
        Ok(tables.into_iter().filter(|(_, at)| at.is_none()).map(|(table, _)| table).collect())
    }

    /// All dropped tables that were not purged, and when they were dropped.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn dropped_tables(&self) -> Result<Vec<(Table, Timestamp)>, CatalogError> {
        let tables = self.state.lock().tables()?;
        Ok(tables.into_iter().filter_map(|(table, at)| Some((table, at?))).collect())
    }

    /// All segments, also those of dropped tables, in the order of their ids.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn segments(&self) -> Result<Vec<SegmentRecord>, CatalogError> {
        self.state.lock().segments()
    }

    /// Up to which number the rows of each table are in segments.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn flushed(&self) -> Result<Vec<(TableId, Seq)>, CatalogError> {
        let state = self.state.lock();
        let rows = state.rows.list(&state.connection, Section::Flushed, &[])?;
        rows.iter()
            .map(|row| Ok((TableId(state.rows.key_u32(row)?), Seq(state.rows.value_u64(row)?))))
            .collect()
    }

    /// How far the sources of each table were stored with its rows in segments.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub(crate) fn marks(&self) -> Result<Vec<(TableId, Marks)>, CatalogError> {
        let state = self.state.lock();
        let rows = state.rows.list(&state.connection, Section::Marks, &[])?;
        rows.iter()
            .map(|row| {
                let marks = Marks::from_bytes(&row.value).ok_or_else(|| state.rows.damaged(row))?;
                Ok((TableId(state.rows.key_u32(row)?), marks))
            })
            .collect()
    }

    /// The lowest frame of the log that is still needed, as the last commit said.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn log_released(&self) -> Result<Option<u64>, CatalogError> {
        let state = self.state.lock();
        state.rows.counter(&state.connection, Counter::LogReleased)
    }

    /// An id for a new table: durable, never given twice.
    ///
    /// # Errors
    /// If it cannot be made durable, or all 4 billion are used up.
    pub fn next_table_id(&self) -> Result<TableId, CatalogError> {
        let mut state = self.state.lock();
        let next = state.take_ids(Counter::NextTable, 1)?;
        u32::try_from(next).map(TableId).map_err(|_| CatalogError::OutOfIds)
    }

    /// An id for a new segment: never given twice, also if the segment is never committed.
    ///
    /// # Errors
    /// If a new block of ids cannot be made durable.
    pub fn next_segment_id(&self) -> Result<SegmentId, CatalogError> {
        let mut state = self.state.lock();
        if state.segment_next == state.segment_end {
            state.segment_next = state.take_ids(Counter::NextSegment, SEGMENT_ID_BLOCK)?;
            state.segment_end = state.segment_next + SEGMENT_ID_BLOCK;
        }
        state.segment_next += 1;
        Ok(SegmentId(state.segment_next - 1))
    }

    /// The epoch of the pseudonyms in all segments that are read.
    ///
    /// # Errors
    /// If the disk fails or the row is damaged.
    pub fn epoch(&self) -> Result<u32, CatalogError> {
        Ok(self.state.lock().number(Counter::Epoch)?.unwrap_or(FIRST_EPOCH))
    }

    /// The epoch that is being made beside it, if one is.
    ///
    /// # Errors
    /// If the disk fails or the row is damaged.
    pub fn next_epoch(&self) -> Result<Option<u32>, CatalogError> {
        Ok(self.state.lock().number(Counter::NextEpoch)?.filter(|next| *next > 0))
    }

    /// Copies the catalog as it is at one moment to `to`, which must not be there yet, and gives the
    /// segments that it names.
    ///
    /// # Errors
    /// If the disk fails or `to` is there.
    pub fn copy_to(&self, to: &Path) -> Result<Vec<SegmentRecord>, CatalogError> {
        let state = self.state.lock();
        let segments = state.segments()?;
        state.rows.copy_to(&state.connection, to)?;
        Ok(segments)
    }

    /// Carries out an edit, and puts what `renew` makes of them in the place of all small records
    /// but those of the kinds in `kept`, in one transaction. `renew` says `None` of what stays.
    ///
    /// # Errors
    /// As [`Catalog::commit`].
    pub fn commit_renewing(
        &self,
        edit: &Edit,
        kept: &[&str],
        renew: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<(), CatalogError> {
        self.state.lock().commit(edit, |change, rows| {
            let kept: Vec<Vec<u8>> =
                kept.iter().map(|kind| rows.record_key(kind, "")[..16].to_vec()).collect();
            for row in change.list(Section::Record)? {
                if kept.iter().any(|kind| row.key.starts_with(kind)) {
                    continue;
                }
                let key = row.key;
                let (id, value) = stored::read_record(row.value)
                    .ok_or_else(|| change.damaged(Section::Record, &key))?;
                if let Some(renewed) = renew(&value) {
                    let value =
                        stored::write_record(&id, &renewed).ok_or(CatalogError::IdTooLong)?;
                    change.put(Section::Record, &key, &value)?;
                }
            }
            Ok(())
        })
    }

    /// Carries out an edit in one transaction; durable when it returns.
    ///
    /// # Errors
    /// If it names a table or segment that is not there, gives a name that another table has, or
    /// cannot be made durable: nothing of it happened then.
    pub fn commit(&self, edit: &Edit) -> Result<(), CatalogError> {
        self.state.lock().commit(edit, |_, _| Ok(()))
    }
}

impl State {
    fn tables(&self) -> Result<Vec<(Table, Option<Timestamp>)>, CatalogError> {
        let rows = self.rows.list(&self.connection, Section::Table, &[])?;
        rows.iter()
            .map(|row| stored::read_table(&row.value).ok_or_else(|| self.rows.damaged(row)))
            .collect()
    }

    fn segments(&self) -> Result<Vec<SegmentRecord>, CatalogError> {
        let rows = self.rows.list(&self.connection, Section::Segment, &[])?;
        let mut segments = rows
            .iter()
            .map(|row| stored::read_segment(&row.value).ok_or_else(|| self.rows.damaged(row)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut deletes = HashMap::new();
        for row in self.rows.list(&self.connection, Section::Deletes, &[])? {
            deletes.insert(self.rows.key_u64(&row)?, row.value);
        }
        for segment in &mut segments {
            segment.deletes = deletes.remove(&segment.id.0);
        }
        Ok(segments)
    }

    /// Takes `count` ids and returns the first.
    fn take_ids(&mut self, counter: Counter, count: u64) -> Result<u64, CatalogError> {
        let mut change = self.rows.begin(&mut self.connection)?;
        let next = change.counter(counter)?.unwrap_or(1);
        let end = next.checked_add(count).ok_or(CatalogError::OutOfIds)?;
        change.put_counter(counter, end)?;
        change.commit()?;
        Ok(next)
    }

    fn number(&self, counter: Counter) -> Result<Option<u32>, CatalogError> {
        let number = self.rows.counter(&self.connection, counter)?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    fn commit(
        &mut self,
        edit: &Edit,
        also: impl FnOnce(&mut Change<'_>, &Rows) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let names = self.names_after(edit)?;
        let mut change = self.rows.begin(&mut self.connection)?;
        edit_tables(&mut change, edit)?;
        edit_segments(&mut change, edit)?;
        for (table, seq) in &edit.flushed {
            change.put(Section::Flushed, &table.0.to_be_bytes(), &seq.0.to_le_bytes())?;
        }
        for (table, marks) in &edit.marks {
            change.put(Section::Marks, &table.0.to_be_bytes(), &marks.to_bytes())?;
        }
        if let Some(number) = edit.log_released {
            change.put_counter(Counter::LogReleased, number)?;
        }
        if let Some(epoch) = edit.epoch {
            change.put_counter(Counter::Epoch, u64::from(epoch))?;
            change.put_counter(Counter::NextEpoch, 0)?;
        }
        if let Some(next) = edit.next_epoch {
            change.put_counter(Counter::NextEpoch, u64::from(next))?;
        }
        also(&mut change, &self.rows)?;
        change.commit()?;
        self.names = Some(names);
        Ok(())
    }

    /// The names of the live tables once `edit` happened. Leaves [`State::names`] empty.
    fn names_after(&mut self, edit: &Edit) -> Result<HashMap<TableName, TableId>, CatalogError> {
        let changes_tables = !edit.put_tables.is_empty()
            || !edit.drop_tables.is_empty()
            || !edit.restore_tables.is_empty()
            || !edit.purge_tables.is_empty();
        let mut names = match self.names.take() {
            Some(names) => names,
            None => live_names(&self.tables()?),
        };
        if !changes_tables {
            return Ok(names);
        }
        let gone = |id: &TableId| {
            edit.drop_tables.iter().any(|(dropped, _)| dropped == id)
                || edit.purge_tables.contains(id)
                || edit.put_tables.iter().any(|table| table.id == *id)
        };
        names.retain(|_, id| !gone(id));
        let mut restored = Vec::new();
        if !edit.restore_tables.is_empty() {
            restored = self.tables()?;
            restored.retain(|(table, _)| edit.restore_tables.contains(&table.id));
        }
        let added = edit.put_tables.iter().chain(restored.iter().map(|(table, _)| table));
        for table in added {
            let before = names.insert(table.name.clone(), table.id);
            if before.is_some_and(|before| before != table.id) {
                return Err(CatalogError::NameTaken { name: table.name.clone() });
            }
        }
        Ok(names)
    }
}

fn live_names(tables: &[(Table, Option<Timestamp>)]) -> HashMap<TableName, TableId> {
    tables
        .iter()
        .filter(|(_, dropped_at)| dropped_at.is_none())
        .map(|(table, _)| (table.name.clone(), table.id))
        .collect()
}

fn edit_tables(change: &mut Change<'_>, edit: &Edit) -> Result<(), CatalogError> {
    for table in &edit.put_tables {
        let value = stored::write_table(table, None);
        change.put(Section::Table, &table.id.0.to_be_bytes(), &value)?;
    }
    let dropped = edit.drop_tables.iter().map(|&(id, at)| (id, Some(at)));
    let restored = edit.restore_tables.iter().map(|&id| (id, None));
    for (id, dropped_at) in dropped.chain(restored) {
        let key = id.0.to_be_bytes();
        let value = change.get(Section::Table, &key)?.ok_or(CatalogError::UnknownTable(id))?;
        let (table, _) =
            stored::read_table(&value).ok_or_else(|| change.damaged(Section::Table, &key))?;
        change.put(Section::Table, &key, &stored::write_table(&table, dropped_at))?;
    }
    for &id in &edit.purge_tables {
        let key = id.0.to_be_bytes();
        if !change.delete(Section::Table, &key)? {
            return Err(CatalogError::UnknownTable(id));
        }
        change.delete(Section::Flushed, &key)?;
        change.delete(Section::Marks, &key)?;
        for row in change.list(Section::Segment)? {
            let key = row.key;
            let segment = stored::read_segment(&row.value)
                .ok_or_else(|| change.damaged(Section::Segment, &key))?;
            if segment.table == id {
                change.delete(Section::Segment, &key)?;
                change.delete(Section::Deletes, &key)?;
            }
        }
    }
    Ok(())
}

fn edit_segments(change: &mut Change<'_>, edit: &Edit) -> Result<(), CatalogError> {
    for segment in &edit.add_segments {
        if !change.has(Section::Table, &segment.table.0.to_be_bytes())? {
            return Err(CatalogError::UnknownTable(segment.table));
        }
        let key = segment.id.0.to_be_bytes();
        change.put(Section::Segment, &key, &stored::write_segment(segment))?;
        match &segment.deletes {
            Some(deletes) => change.put(Section::Deletes, &key, deletes)?,
            None => {
                change.delete(Section::Deletes, &key)?;
            }
        }
    }
    for (id, deletes) in &edit.set_deletes {
        let key = id.0.to_be_bytes();
        if !change.has(Section::Segment, &key)? {
            return Err(CatalogError::UnknownSegment(*id));
        }
        change.put(Section::Deletes, &key, deletes)?;
    }
    for id in &edit.remove_segments {
        let key = id.0.to_be_bytes();
        if !change.delete(Section::Segment, &key)? {
            return Err(CatalogError::UnknownSegment(*id));
        }
        change.delete(Section::Deletes, &key)?;
    }
    Ok(())
}

impl RecordStore for Catalog {
    fn list(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, RecordError> {
        let state = self.state.lock();
        let prefix = state.rows.record_key(kind, "");
        let rows = state.rows.list(&state.connection, Section::Record, &prefix[..16])?;
        let mut records = rows
            .into_iter()
            .map(|row| stored::read_record(row.value))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| RecordError::Damaged { kind: kind.to_owned() })?;
        records.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(records)
    }

    fn put(&self, kind: &str, id: &str, value: &[u8]) -> Result<(), RecordError> {
        let state = &mut *self.state.lock();
        let value = stored::write_record(id, value).ok_or(CatalogError::IdTooLong)?;
        let key = state.rows.record_key(kind, id);
        let mut change = state.rows.begin(&mut state.connection)?;
        change.put(Section::Record, &key, &value)?;
        Ok(change.commit()?)
    }

    fn delete(&self, kind: &str, id: &str) -> Result<(), RecordError> {
        let state = &mut *self.state.lock();
        let key = state.rows.record_key(kind, id);
        let mut change = state.rows.begin(&mut state.connection)?;
        change.delete(Section::Record, &key)?;
        Ok(change.commit()?)
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalog(…)")
    }
}

#[cfg(test)]
mod tests;
