//! How rows come in: numbered, made durable, then seen, all rows of a batch at once.

use super::entry::Entry;
use super::{Pending, State, Store, StoreSettings, TableStore};
use crate::StoreError;
use crate::mark::Mark;
use crate::segment::Rows;
use model::{Batch, FieldType, GeneratedId, Op, Seq, Table, TableId, Values};
use parking_lot::MutexGuard;
use protection::SealedBatch;
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Writers stop when the buffer holds so many flushes' worth of rows.
const FLUSHES_WAITING_MAX: usize = 3;
/// How long a row waits in front of a buffer that is nearly full: 10,000 rows a second for each
/// writer.
const PACE_PER_ROW: Duration = Duration::from_micros(100);
/// No request waits longer for this.
const PACE_MAX: Duration = Duration::from_secs(2);

/// What a row's writer expects of the row that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// That there is none (`create`).
    Absent,
    /// That there is one with this number (`if_seq_no`).
    Seq(Seq),
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first row of its `_id`.
    Created,
    /// It took the place of an older one.
    Updated,
    /// The row was deleted.
    Deleted,
    /// There was nothing to delete.
    NotFound,
    /// What was expected did not hold; nothing happened.
    Conflict,
}

/// The answer for one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowOutcome {
    /// The row's number.
    pub seq: Seq,
    /// How many times the row of this `_id` was written; for a conflict that of the row there.
    pub version: u64,
    /// What became of it.
    pub outcome: Outcome,
}

impl Store {
    /// Writes a batch. When this returns, it is durable and every later snapshot has it.
    ///
    /// `expects` says for each row what must hold; an empty slice expects nothing. A row whose
    /// expectation fails is left out alone.
    ///
    /// # Errors
    /// If the log cannot be written (nothing of the batch is kept then), the table is gone or was
    /// ruled on since the batch was sealed, its pseudonyms are of another epoch, or the buffer stays
    /// full for a minute.
    pub fn append(
        &self,
        table: TableId,
        batch: SealedBatch,
        expects: &[Expect],
    ) -> Result<Vec<RowOutcome>, StoreError> {
        self.append_marked(table, batch, expects, None)
    }

    /// Writes a batch and how far it brings the source that it came from, in one: after a crash
    /// both are there or neither. A batch without rows leaves no mark.
    ///
    /// # Errors
    /// As [`Store::append`].
    ///
    /// # Panics
    /// If lane or position are longer than 64 KiB.
    pub fn append_marked(
        &self,
        table: TableId,
        batch: SealedBatch,
        expects: &[Expect],
        mark: Option<Mark>,
    ) -> Result<Vec<RowOutcome>, StoreError> {
        let inner = &self.inner;
        if inner.stopping.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let store = inner.find(table)?;
        let mut payload = Entry::head(table);
        batch.encode(&mut payload);
        let rows = batch.batch().rows.len() as u64;
        if rows == 0 {
            return Ok(Vec::new());
        }
        let ids: Vec<Box<str>> =
            batch.batch().rows.iter().filter_map(|row| row.id.clone()).collect();

        store.keep_pace(&inner.settings, batch.batch().rows.len());
        let _writing = inner.writing.read();
        if batch.epoch() != inner.epoch.load(Ordering::Acquire) {
            return Err(StoreError::EpochEnded);
        }
        let mut state = store.wait_for_room(&inner.settings)?;
        loop {
            state = store.wait_for_ids(state, batch.batch(), expects);
            if state.closing {
                return Err(StoreError::NoTable);
            }
            if batch.rules() != state.table.schema.rules() {
                return Err(StoreError::Reruled);
            }
            // Rows of earlier rules go first: a segment holds rows of one kind of rules.
            if state.pending.iter().any(|pending| pending.rules != batch.rules()) {
                store.turn.wait(&mut state);
            } else if !state.buffer.takes(batch.rules()) {
                drop(state);
                inner.flush(&store)?;
                state = store.state.lock();
            } else {
                break;
            }
        }
        check_columns(&state.table, batch.batch())?;
        let skipped = state.skipped(batch.batch(), expects)?;
        let first_seq = inner.next_seq.fetch_add(rows, Ordering::AcqRel);
        Entry::finish(&mut payload, first_seq, &skipped, mark.as_ref());
        let frame = inner.log.append(payload)?;
        state.pending.push_back(Pending { frame, rules: batch.rules(), ids });
        drop(state);

        let durable = inner.log.wait(frame);

        let mut state = store.state.lock();
        while state.pending.front().is_some_and(|first| first.frame != frame) {
            store.turn.wait(&mut state);
        }
        state.pending.pop_front();
        // Told before anything can fail; they go on when the lock is free.
        store.turn.notify_all();
        let outcomes = match durable {
            Ok(()) => state.publish(batch, first_seq, &skipped, frame.0, mark),
            Err(error) => Err(error.into()),
        };
        let full = state.buffer.rows() >= inner.settings.flush_rows
            || state.buffer.bytes() >= inner.settings.flush_bytes;
        drop(state);
        if full {
            inner.wake_workers();
        }
        outcomes
    }
}

impl TableStore {
    /// Slows a writer down before the buffer is full: the more rows wait for a flush, the longer,
    /// so that every request waits a little instead of a few for a whole flush.
    fn keep_pace(&self, settings: &StoreSettings, rows: usize) {
        if !settings.background {
            return;
        }
        let over = |held: usize, flush: usize| {
            held.saturating_sub(flush) as f64 / (flush * (FLUSHES_WAITING_MAX - 1)) as f64
        };
        let state = self.state.lock();
        let full = over(state.buffer.rows(), settings.flush_rows)
            .max(over(state.buffer.bytes(), settings.flush_bytes));
        drop(state);
        if full > 0.0 {
            std::thread::sleep(PACE_PER_ROW.mul_f64(full.min(1.0) * rows as f64).min(PACE_MAX));
        }
    }

    /// Waits while the buffer holds several flushes' worth of rows.
    fn wait_for_room(&self, settings: &StoreSettings) -> Result<MutexGuard<'_, State>, StoreError> {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        let mut state = self.state.lock();
        while settings.background
            && (state.buffer.rows() >= settings.flush_rows * FLUSHES_WAITING_MAX
                || state.buffer.bytes() >= settings.flush_bytes * FLUSHES_WAITING_MAX)
        {
            if self.turn.wait_until(&mut state, deadline).timed_out() {
                return Err(StoreError::Busy);
            }
        }
        Ok(state)
    }

    /// Waits until no earlier batch that is still on its way to the disk touches an id about
    /// which something is expected.
    fn wait_for_ids<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        batch: &Batch,
        expects: &[Expect],
    ) -> MutexGuard<'a, State> {
        let wanted: Vec<&str> = batch
            .rows
            .iter()
            .zip(expects)
            .filter(|(_, expect)| **expect != Expect::Any)
            .filter_map(|(row, _)| row.id.as_deref())
            .collect();
        if wanted.is_empty() {
            return state;
        }
        let touched = |state: &State| {
            let mut ids = state.pending.iter().flat_map(|pending| &pending.ids);
            ids.any(|id| wanted.contains(&id.as_ref()))
        };
        while touched(&state) {
            self.turn.wait(&mut state);
        }
        state
    }
}

/// Whether the columns of a batch fit the table. One that does not would stop every later flush.
fn check_columns(table: &Table, batch: &Batch) -> Result<(), StoreError> {
    let fits = |column: &model::Column| {
        let Some(field) = table.schema.fields().get(column.field.0 as usize) else { return false };
        let type_fits = match &column.values {
            Values::Strings(_) | Values::Bytes(_) => true,
            Values::Longs(_) => matches!(field.ty, FieldType::Long | FieldType::Date),
            Values::Doubles(_) => field.ty == FieldType::Double,
            Values::Bools(_) => field.ty == FieldType::Boolean,
        };
        type_fits && column.rows.len() == column.values.len()
    };
    match batch.columns.iter().all(fits) {
        true => Ok(()),
        false => Err(StoreError::internal("a batch that does not fit its table")),
    }
}

/// Where the live row of an id stands.
#[derive(Clone, Copy)]
enum Place {
    Buffer((usize, u32)),
    Segment(usize, u32),
}

impl State {
    /// The rows of `batch` whose expectation does not hold.
    fn skipped(&self, batch: &Batch, expects: &[Expect]) -> Result<RoaringBitmap, StoreError> {
        let mut skipped = RoaringBitmap::new();
        // What earlier rows of the same batch do to an id.
        let mut here: HashMap<&str, bool> = HashMap::new();
        for (number, row) in batch.rows.iter().enumerate() {
            let Some(id) = row.id.as_deref() else { continue };
            let expect = expects.get(number).copied().unwrap_or(Expect::Any);
            let holds = match (expect, here.get(id)) {
                (Expect::Any, _) => true,
                (Expect::Absent, Some(&exists)) => !exists,
                (Expect::Absent, None) => self.find(id)?.is_none(),
                (Expect::Seq(_), Some(_)) => false,
                (Expect::Seq(seq), None) => match self.find(id)? {
                    Some(place) => self.seq_and_version(place)?.0 == seq.0,
                    None => false,
                },
            };
            if holds {
                here.insert(id, row.op == Op::Put);
            } else {
                skipped.insert(number as u32);
            }
        }
        Ok(skipped)
    }

    fn find(&self, id: &str) -> Result<Option<Place>, StoreError> {
        if let Some(place) = self.buffer.find(id) {
            return Ok(Some(Place::Buffer(place)));
        }
        if let Some(GeneratedId(seq)) = GeneratedId::parse(id)
            && let Some(place) = self.buffer.find_seq(seq.0)
        {
            return Ok(Some(Place::Buffer(place)));
        }
        for (number, live) in self.segments.iter().enumerate().rev() {
            let rows = live.segment.rows_with_id(id)?;
            if let Some(&row) = rows.iter().find(|&&row| !live.dead.contains(row)) {
                return Ok(Some(Place::Segment(number, row)));
            }
        }
        Ok(None)
    }

    fn seq_and_version(&self, place: Place) -> Result<(u64, u64), StoreError> {
        Ok(match place {
            Place::Buffer((batch, row)) => {
                let rows = &self.buffer.batches()[batch].rows;
                (rows.seqs[row as usize], rows.versions[row as usize])
            }
            Place::Segment(number, row) => {
                let segment = &self.segments[number].segment;
                (segment.seqs(&[row])?[0], segment.versions(&[row])?[0])
            }
        })
    }

    fn kill(&mut self, place: Place) {
        match place {
            Place::Buffer(place) => self.buffer.kill(place),
            Place::Segment(number, row) => {
                let live = &mut self.segments[number];
                Arc::make_mut(&mut live.dead).insert(row);
            }
        }
    }

    /// Makes a durable batch visible, all of it at once.
    pub(super) fn publish(
        &mut self,
        batch: SealedBatch,
        first_seq: u64,
        skipped: &RoaringBitmap,
        frame: u64,
        mark: Option<Mark>,
    ) -> Result<Vec<RowOutcome>, StoreError> {
        let rules = batch.rules();
        if !self.buffer.takes(rules) {
            return Err(StoreError::internal("rows of two kinds of rules in one buffer"));
        }
        let batch = batch.into_batch();
        let mut dead = RoaringBitmap::new();
        let mut versions = vec![1; batch.rows.len()];
        let mut outcomes = Vec::with_capacity(batch.rows.len());
        // The row of this batch that an id has now, or that it has none any more.
        let mut here: HashMap<&str, Option<u32>> = HashMap::new();
        let mut killed = Vec::new();
        for (number, row) in batch.rows.iter().enumerate() {
            let seq = Seq(first_seq + number as u64);
            let number = number as u32;
            let mut outcome =
                |outcome, version| outcomes.push(RowOutcome { seq, version, outcome });
            let Some(id) = row.id.as_deref() else {
                outcome(Outcome::Created, 1);
                continue;
            };
            let before = match here.get(id) {
                Some(&row) => row.map(|row| (versions[row as usize], None, Some(row))),
                None => match self.find(id)? {
                    Some(place) => Some((self.seq_and_version(place)?.1, Some(place), None)),
                    None => None,
                },
            };
            if skipped.contains(number) {
                dead.insert(number);
                outcome(Outcome::Conflict, before.map_or(0, |(version, ..)| version));
                continue;
            }
            let version = before.map_or(1, |(version, ..)| version + 1);
            if let Some((_, place, earlier)) = before {
                killed.extend(place);
                dead.extend(earlier);
            }
            versions[number as usize] = version;
            match row.op {
                Op::Put => {
                    here.insert(id, Some(number));
                    let updated = before.is_some();
                    outcome(if updated { Outcome::Updated } else { Outcome::Created }, version);
                }
                Op::Delete => {
                    here.insert(id, None);
                    dead.insert(number);
                    let found = before.is_some();
                    outcome(if found { Outcome::Deleted } else { Outcome::NotFound }, version);
                }
            }
        }
        for place in killed {
            self.kill(place);
        }
        let seqs = (first_seq..first_seq + batch.rows.len() as u64).collect();
        if let Some(mark) = &mark {
            self.marks.set(mark);
        }
        self.buffer.push(Arc::new(Rows::new(batch, seqs, versions)), rules, dead, frame, mark);
        self.oldest.get_or_insert_with(std::time::Instant::now);
        Ok(outcomes)
    }
}
