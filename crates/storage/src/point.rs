//! A moment of some tables that somebody reads on: what a cursor stands on.
//!
//! A [`Point`] holds segments and buffer chunks as they were, also when a merge or a flush has put
//! others in their place. It shows nothing: [`Store::snapshot_at`] makes of it a snapshot for the
//! permit of each page, with the rows and rulings of that permit, not of the one before.
//!
//! What a point keeps from being given back is bounded: in time by its end, in bytes by
//! [`StoreSettings::held_file_bytes`](crate::StoreSettings) and `held_memory_bytes`, for which the
//! oldest points are let go. Rows that were erased are taken out of every point at once, and a
//! point that holds a file which an erasure or a ruling rewrote ends with it. All end when pseudonyms
//! move to another epoch.

use crate::read::{ReadError, Snapshot, View};
use crate::row_scope::restrict;
use crate::segment::Segment;
use crate::store::Inner;
use crate::{Store, StoreError};
use model::{Seq, TableId, Timestamp};
use parking_lot::Mutex;
use protection::Permit;
use roaring::{RoaringBitmap, RoaringTreemap};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

/// What a row of a buffer chunk takes in memory, about: columns, postings and store.
const CHUNK_ROW_BYTES: u64 = 400;

/// The rows of one moment. Nobody sees them without a permit.
pub struct Point {
    opened: Timestamp,
    until: AtomicI64,
    seq_end: Mutex<Seq>,
    /// `None`: not any more.
    held: Mutex<Option<Vec<HeldTable>>>,
}

struct HeldTable {
    id: TableId,
    views: Vec<HeldView>,
}

struct HeldView {
    segment: Arc<Segment>,
    dead: Arc<RoaringBitmap>,
    bytes: u64,
    is_file: bool,
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Point(held: {})", self.is_held())
    }
}

impl Point {
    /// Its tables; empty if it was let go.
    pub fn tables(&self) -> Vec<TableId> {
        let held = self.held.lock();
        held.iter().flatten().map(|table| table.id).collect()
    }

    /// When it was opened.
    pub fn opened(&self) -> Timestamp {
        self.opened
    }

    /// Holds it until another moment.
    pub fn extend(&self, until: Timestamp) {
        self.until.store(until.0, Ordering::Release);
    }

    /// Gives everything back that it holds.
    pub fn let_go(&self) {
        drop(self.held.lock().take());
    }

    /// Whether there is anything left to read.
    pub fn is_held(&self) -> bool {
        self.held.lock().is_some()
    }

    /// What it holds and nobody else: `(address, bytes, is a file)` of each view that is not live.
    fn kept_alive(&self, live: &HashSet<usize>) -> Vec<(usize, u64, bool)> {
        let held = self.held.lock();
        let views = held.iter().flatten().flat_map(|table| &table.views);
        views
            .map(|view| (address(&view.segment), view.bytes, view.is_file))
            .filter(|(at, ..)| !live.contains(at))
            .collect()
    }

    fn holds_any(&self, segments: &HashSet<usize>) -> bool {
        let held = self.held.lock();
        let mut views = held.iter().flatten().flat_map(|table| &table.views);
        views.any(|view| segments.contains(&address(&view.segment)))
    }

    /// Takes rows out of the views of a table; says whether it had any of them.
    fn strike(&self, table: TableId, seqs: &[u64]) -> Result<bool, ReadError> {
        let mut struck = false;
        let mut held = self.held.lock();
        for table in held.iter_mut().flatten().filter(|held| held.id == table) {
            for view in &mut table.views {
                let rows = view.segment.rows_with_seqs(seqs)?;
                if !rows.is_empty() {
                    struck = true;
                    *Arc::make_mut(&mut view.dead) |= rows;
                }
            }
        }
        Ok(struck)
    }
}

fn address(segment: &Arc<Segment>) -> usize {
    Arc::as_ptr(segment) as usize
}

/// All points that somebody has.
#[derive(Default)]
pub(crate) struct Points(Mutex<Vec<Weak<Point>>>);

impl Points {
    fn all(&self) -> Vec<Arc<Point>> {
        let mut points = self.0.lock();
        points.retain(|point| point.strong_count() > 0);
        points.iter().filter_map(Weak::upgrade).collect()
    }

    /// Ends every point over a table that is dropped.
    pub(crate) fn end_of_table(&self, table: TableId) {
        let points = self.all();
        points
            .iter()
            .filter(|point| point.tables().contains(&table))
            .for_each(|point| point.let_go());
    }

    /// Ends every point: pseudonyms of an epoch before would be shown and not be found.
    pub(crate) fn end_all(&self) {
        self.all().iter().for_each(|point| point.let_go());
    }

    /// Ends every point that holds one of these segments: their files are to be gone.
    pub(crate) fn end_with<'a>(&self, segments: impl IntoIterator<Item = &'a Arc<Segment>>) {
        let gone: HashSet<usize> = segments.into_iter().map(address).collect();
        let points = self.all();
        points.iter().filter(|point| point.holds_any(&gone)).for_each(|point| point.let_go());
    }
}

impl Store {
    /// Holds these tables as they are now, until a moment.
    ///
    /// # Errors
    /// If a table is gone or new rows cannot be indexed.
    pub fn hold(&self, tables: &[TableId], until: Timestamp) -> Result<Arc<Point>, StoreError> {
        let inner = self.inner();
        inner.tidy_points();
        let point = Arc::new(Point {
            opened: inner.settings.clock.now(),
            until: AtomicI64::new(until.0),
            seq_end: Mutex::new(Seq(0)),
            held: Mutex::new(None),
        });
        // No epoch begins between two tables.
        let _reading = inner.reading.read();
        // Known to whoever strikes rows before it is filled, and locked until it is: no erasure
        // falls between.
        let mut held = point.held.lock();
        inner.points.0.lock().push(Arc::downgrade(&point));
        let mut all = Vec::with_capacity(tables.len());
        for &id in tables {
            let (_, views) = self.views_of(id)?;
            let files: HashMap<usize, u64> = {
                let store = inner.find(id)?;
                let state = store.state.lock();
                let live = state.segments.iter();
                live.map(|live| (address(&live.segment), live.record.bytes)).collect()
            };
            let hold = |view: &Arc<View>| {
                let file = files.get(&address(&view.segment)).copied();
                HeldView {
                    segment: Arc::clone(&view.segment),
                    dead: Arc::clone(&view.dead),
                    bytes: file.unwrap_or(u64::from(view.rows()) * CHUNK_ROW_BYTES),
                    is_file: file.is_some(),
                }
            };
            all.push(HeldTable { id, views: views.iter().map(hold).collect() });
        }
        // Read last: every row of the views got its number before.
        *point.seq_end.lock() = inner.seq_end();
        *held = Some(all);
        drop(held);
        Ok(point)
    }

    /// What a read sees of the moment that `point` holds: the rows that exist for the permit of
    /// today, under the rulings of today. Tables that the permit does not cover are refused.
    ///
    /// # Errors
    /// [`StoreError::PointGone`] if it was let go; else as [`Store::snapshot`].
    pub fn snapshot_at(&self, point: &Point, permit: &Permit) -> Result<Snapshot, StoreError> {
        // An epoch that begins ends the point first.
        let _reading = self.inner().reading.read();
        let now = self.inner().settings.clock.now();
        if point.until.load(Ordering::Acquire) <= now.0 {
            point.let_go();
        }
        let mut tables = Vec::new();
        {
            let held = point.held.lock();
            for held in held.as_ref().ok_or(StoreError::PointGone)? {
                let table = self.table_by_id(held.id).ok_or(StoreError::NoTable)?;
                let view = |view: &HeldView| {
                    let (segment, dead) = (Arc::clone(&view.segment), Arc::clone(&view.dead));
                    Arc::new(View::new(Arc::clone(&table), segment, dead))
                };
                let views: Vec<Arc<View>> = held.views.iter().map(view).collect();
                tables.push((table, views));
            }
        }
        let (mut named, mut all) = (Vec::new(), Vec::new());
        for (table, views) in tables {
            let scope = permit.row_scope(table.id).ok_or(ReadError::NotPermitted)?;
            all.extend(restrict(&table, views, scope)?);
            named.push(table);
        }
        // Points end with their epoch.
        Ok(Snapshot::new(named, all, *point.seq_end.lock(), self.epoch()))
    }

    /// Takes erased rows out of every point; a page that begins later does not have them.
    ///
    /// # Errors
    /// If a segment cannot be read; the points that hold it are let go.
    pub fn strike(&self, table: TableId, seqs: &RoaringTreemap) -> Result<(), StoreError> {
        let seqs: Vec<u64> = seqs.iter().collect();
        let mut failed = None;
        for point in self.inner().points.all() {
            if let Err(error) = point.strike(table, &seqs) {
                point.let_go();
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Ends every point that holds one of these rows, so that no open file does: called when they
    /// are to be out of every file.
    pub(crate) fn end_points_with(&self, table: TableId, seqs: &[u64]) -> Result<(), StoreError> {
        for point in self.inner().points.all() {
            if point.strike(table, seqs).inspect_err(|_| point.let_go())? {
                point.let_go();
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Lets go of points whose time is over, and of the oldest while all together keep more from
    /// being given back than they may.
    pub(crate) fn tidy_points(&self) {
        let mut points = self.points.all();
        if points.is_empty() {
            return;
        }
        let now = self.settings.clock.now().0;
        let is_over = |point: &Point| point.until.load(Ordering::Acquire) <= now;
        points.iter().filter(|point| is_over(point)).for_each(|point| point.let_go());
        let live = self.live_segments();
        points.sort_by_key(|point| point.opened);
        let kept: Vec<Vec<(usize, u64, bool)>> =
            points.iter().map(|point| point.kept_alive(&live)).collect();
        for from in 0..points.len() {
            let distinct: HashMap<usize, (u64, bool)> = kept[from..]
                .iter()
                .flatten()
                .map(|&(at, bytes, file)| (at, (bytes, file)))
                .collect();
            let sum = |of_files: bool| -> u64 {
                distinct
                    .values()
                    .filter(|(_, file)| *file == of_files)
                    .map(|(bytes, _)| bytes)
                    .sum()
            };
            let fits = sum(true) <= self.settings.held_file_bytes
                && sum(false) <= self.settings.held_memory_bytes;
            if fits {
                return;
            }
            if !kept[from].is_empty() {
                tracing::warn!("a cursor was ended: open cursors held too many replaced files");
                points[from].let_go();
            }
        }
    }

    fn live_segments(&self) -> HashSet<usize> {
        let mut live = HashSet::new();
        for store in self.all() {
            let state = store.state.lock();
            live.extend(state.segments.iter().map(|segment| address(&segment.segment)));
            live.extend(state.buffer.chunks().iter().map(|chunk| address(&chunk.segment)));
        }
        live
    }
}
