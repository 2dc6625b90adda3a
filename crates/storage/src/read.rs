//! What a read sees: a frozen set of segments and buffer chunks, with their deletes.

use crate::Filter;
use crate::column_cache::DecodedTile;
use crate::ordinals::Ordinals;
use crate::segment::{Column, KeywordColumn, Segment};
use model::{Field, Seq, Table, Value};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// How many rows a [`Block`] has at most.
pub const BLOCK: usize = 2048;

/// Why rows could not be read. Carries no value.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file is damaged, cut short or not readable; it is named with what to do.
    #[error("cannot read a segment: {0}")]
    Damaged(String),
    /// The filter cannot be answered, such as an expression that is no regular expression.
    #[error("{0}")]
    Filter(String),
    /// The permit does not cover what was asked.
    #[error("the permit does not cover this table")]
    NotPermitted,
    /// A bug of ours.
    #[error("internal error while reading: {0}")]
    Internal(String),
}

impl ReadError {
    /// With all causes in one line: the inner ones say what the disk said.
    pub(crate) fn damaged(error: &dyn std::error::Error) -> ReadError {
        let mut what = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !what.contains(&inner_text) {
                what.push_str(": ");
                what.push_str(&inner_text);
            }
            cause = inner.source();
        }
        ReadError::Damaged(what)
    }

    pub(crate) fn internal(what: &str) -> ReadError {
        ReadError::Internal(what.to_owned())
    }
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> ReadError {
        ReadError::damaged(&error)
    }
}

impl From<tantivy::TantivyError> for ReadError {
    fn from(error: tantivy::TantivyError) -> ReadError {
        ReadError::damaged(&error)
    }
}

/// A frozen set of rows over one or more tables.
pub struct Snapshot {
    tables: Vec<Arc<Table>>,
    views: Vec<Arc<View>>,
    seq_end: Seq,
    epoch: u32,
}

impl Snapshot {
    pub(crate) fn new(
        tables: Vec<Arc<Table>>,
        views: Vec<Arc<View>>,
        seq_end: Seq,
        epoch: u32,
    ) -> Snapshot {
        Snapshot { tables, views, seq_end, epoch }
    }

    /// The epoch of all pseudonyms in it: literals of another one are not found.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Higher than the number of every row in it.
    pub fn seq_end(&self) -> Seq {
        self.seq_end
    }

    /// The tables in it.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// Its segments and buffer chunks.
    pub fn views(&self) -> &[Arc<View>] {
        &self.views
    }

    /// The best `limit` rows by BM25 with the statistics of the whole snapshot, best first; ties
    /// in the order of views and rows. Works on up to `threads` threads, the calling one among
    /// them.
    pub fn top_scored(
        &self,
        filter: &Filter,
        limit: usize,
        threads: usize,
    ) -> Result<Vec<Scored>, ReadError> {
        let statistics = crate::segment::Statistics::of(self);
        let (next, cutoff) = (AtomicUsize::new(0), Cutoff::default());
        let work = || -> Result<Vec<Scored>, ReadError> {
            let mut best = BinaryHeap::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(view) = self.views.get(number) else { break };
                view.best_scored(number as u32, &statistics, filter, limit, &cutoff, &mut best)?;
            }
            Ok(best.into_iter().map(|Reverse(scored)| scored).collect())
        };
        let found: Vec<Result<Vec<Scored>, ReadError>> = std::thread::scope(|scope| {
            let helpers = threads.min(self.views.len()).max(1) - 1;
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let mut found = vec![work()];
            found.extend(helpers.into_iter().map(|helper| {
                helper.join().unwrap_or_else(|_| Err(ReadError::internal("a thread of a search")))
            }));
            found
        });
        let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut best: Vec<Scored> = found.into_iter().flatten().collect();
        best.sort_by(|left, right| right.cmp(left));
        best.truncate(limit);
        Ok(best)
    }
}

/// A score that the answer's last row is known to reach, shared by the threads of a search.
struct Cutoff(AtomicU32);

impl Default for Cutoff {
    fn default() -> Cutoff {
        Cutoff(AtomicU32::new(f32::MIN.to_bits()))
    }
}

impl Cutoff {
    fn raise(&self, score: f32) {
        let higher = |known: u32| (score > f32::from_bits(known)).then(|| score.to_bits());
        // An error says that it is as high already.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, higher);
    }

    /// A row with exactly this score may still come first by its place, so the floor for other
    /// threads lies just below.
    fn floor(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed)).next_down()
    }
}

/// A row and its score.
#[derive(Clone, Copy, Debug)]
pub struct Scored {
    /// Which view of the snapshot.
    pub view: u32,
    /// Which row of the view.
    pub row: u32,
    /// BM25; never NaN.
    pub score: f32,
}

impl Ord for Scored {
    /// Larger is better: a higher score, then the earlier place.
    fn cmp(&self, other: &Scored) -> std::cmp::Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.view.cmp(&self.view))
            .then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Scored) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Scored) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scored {}

/// A segment or a chunk of the buffer, with the deletes of its snapshot.
pub struct View {
    table: Arc<Table>,
    pub(crate) segment: Arc<Segment>,
    pub(crate) dead: Arc<RoaringBitmap>,
    /// Whether some of the dead are alive for others: then nothing may be told from statistics
    /// that count them.
    pub(crate) is_restricted: bool,
    /// The last selection: a question's counts, folds and pages often share one filter.
    last: Mutex<Option<(Filter, Arc<Selection>)>>,
}

impl View {
    pub(crate) fn new(table: Arc<Table>, segment: Arc<Segment>, dead: Arc<RoaringBitmap>) -> View {
        View { table, segment, dead, is_restricted: false, last: Mutex::new(None) }
    }

    /// A view for a permit that sees only some rows; all others are among the `dead`.
    pub(crate) fn restricted(
        table: Arc<Table>,
        segment: Arc<Segment>,
        dead: Arc<RoaringBitmap>,
    ) -> View {
        View { is_restricted: true, ..View::new(table, segment, dead) }
    }

    /// The table as it is today; it may have fields that this view has no value of.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Row numbers are below this; some rows may be deleted.
    pub fn rows(&self) -> u32 {
        self.segment.rows()
    }

    /// How many rows are not deleted.
    pub fn live_rows(&self) -> u32 {
        self.segment.rows() - self.dead.len() as u32
    }

    /// The rows that match and are not deleted.
    pub fn select(&self, filter: &Filter) -> Result<Arc<Selection>, ReadError> {
        if let Some((last, selection)) = &*self.last.lock()
            && last == filter
        {
            return Ok(Arc::clone(selection));
        }
        let selection = Arc::new(self.segment.select(&self.table, filter, &self.dead)?);
        *self.last.lock() = Some((filter.clone(), Arc::clone(&selection)));
        Ok(selection)
    }

    /// Puts the best rows of this view into `best`, which holds at most `limit`. The views that
    /// one heap sees have to come in their order: a later row with an equal score loses.
    fn best_scored(
        &self,
        number: u32,
        statistics: &crate::segment::Statistics,
        filter: &Filter,
        limit: usize,
        cutoff: &Cutoff,
        best: &mut BinaryHeap<Reverse<Scored>>,
    ) -> Result<(), ReadError> {
        self.segment.best(statistics, filter, &mut |row, score, floor| {
            if !self.dead.contains(row) {
                best.push(Reverse(Scored { view: number, row, score }));
                if best.len() > limit {
                    best.pop();
                }
            }
            let own = match best.peek() {
                Some(Reverse(worst)) if best.len() >= limit => {
                    cutoff.raise(worst.score);
                    worst.score
                }
                _ => floor,
            };
            own.max(cutoff.floor())
        })
    }

    /// How many rows match, from postings where that is enough.
    pub fn count(&self, filter: &Filter) -> Result<u64, ReadError> {
        match self.segment.quick_count(&self.table, filter, &self.dead)? {
            Some(count) => Ok(count),
            None => Ok(self.select(filter)?.len() as u64),
        }
    }

    /// The BM25 scores of rows that match, ascending row numbers.
    pub fn scores(
        &self,
        snapshot: &Snapshot,
        filter: &Filter,
        rows: &[u32],
    ) -> Result<Vec<f32>, ReadError> {
        self.segment.scores(&crate::segment::Statistics::of(snapshot), filter, rows)
    }

    /// The column of a field, or of the companion `NAME.keyword`; `None` without values here.
    pub fn column(&self, field: &str) -> Result<Option<Column>, ReadError> {
        self.segment.column(&self.table, field)
    }

    /// The numbering of a keyword field that all views of the table share.
    pub fn ordinals(&self, field: &str) -> Arc<Ordinals> {
        self.segment.ordinals(&self.table, field)
    }

    /// The shared number of each ordinal of a column of this view.
    pub fn translation(
        &self,
        ordinals: &Ordinals,
        column: &KeywordColumn,
    ) -> Result<Arc<[u32]>, ReadError> {
        self.segment.translation(ordinals, column)
    }

    /// Rows per distinct keyword from postings; `None` if rows were deleted or there is no index.
    pub fn term_counts(&self, field: &str) -> Result<Option<Vec<(String, u64)>>, ReadError> {
        if !self.dead.is_empty() {
            return Ok(None);
        }
        self.segment.term_counts(&self.table, field)
    }

    /// The first text of each row of a text field.
    pub fn texts(&self, field: &str, rows: &[u32]) -> Result<Vec<Option<String>>, ReadError> {
        self.segment.texts(&self.table, field, rows)
    }

    /// The documents as JSON, with the fields that `keep` wants.
    pub fn documents(
        &self,
        rows: &[u32],
        keep: &dyn Fn(&Field) -> bool,
    ) -> Result<Vec<String>, ReadError> {
        self.segment.documents(&self.table, rows, keep)
    }

    /// The sealed values of each row.
    pub fn sealed(&self, field: &str, rows: &[u32]) -> Result<Vec<Vec<Box<[u8]>>>, ReadError> {
        self.segment.sealed(&self.table, field, rows)
    }

    /// The `_id` of each row.
    pub fn ids(&self, rows: &[u32]) -> Result<Vec<String>, ReadError> {
        self.segment.ids(rows)
    }

    /// The `_version` of each row.
    pub fn versions(&self, rows: &[u32]) -> Result<Vec<u64>, ReadError> {
        self.segment.versions(rows)
    }

    /// The number of each row.
    pub fn seqs(&self, rows: &[u32]) -> Result<Vec<u64>, ReadError> {
        self.segment.seqs(rows)
    }

    /// The lowest and the highest number of its rows, dead ones included.
    pub fn seq_bounds(&self) -> Result<(u64, u64), ReadError> {
        self.segment.seq_bounds()
    }

    /// The keys of tiles that begin with `prefix` and stand for the rows of this view, and how many
    /// bytes each has; see [`View::has_tile`].
    pub fn tiles_with(&self, prefix: &str) -> Vec<(String, u64)> {
        let tiles = self.segment.tiles().filter(|_| self.is_whole());
        tiles.map_or_else(Vec::new, |tiles| tiles.with_prefix(prefix))
    }

    /// Whether there is a tile of this key that stands for the rows of this view: it counts every
    /// row of the segment, as they are stored under the rulings of today, so none may be deleted or
    /// out of the permit's sight.
    pub fn has_tile(&self, key: &str) -> bool {
        self.is_whole() && self.segment.tiles().is_some_and(|tiles| tiles.has(key))
    }

    /// The bytes of that tile; `None` as [`View::has_tile`] says, or if they cannot be read, which
    /// the log then tells: the rows say the same.
    pub fn tile(&self, key: &str) -> Option<Vec<u8>> {
        let tiles = self.segment.tiles().filter(|_| self.is_whole())?;
        match tiles.read(key) {
            Ok(bytes) => bytes,
            Err(error) => {
                let error = ReadError::damaged(&error);
                tracing::error!(%error, "tiles cannot be read; rows are read instead");
                self.segment.set_tiles(None);
                None
            }
        }
    }

    /// The tile of this key as an earlier reader decoded it, if it is still in memory.
    pub fn decoded_tile(&self, key: &Arc<str>) -> Option<DecodedTile> {
        if !self.has_tile(key) {
            return None;
        }
        self.segment.decoded_tile(key)
    }

    /// Keeps a decoded tile of about `bytes` bytes for later readers, as long as there is room.
    pub fn keep_tile(&self, key: &Arc<str>, tile: DecodedTile, bytes: usize) {
        self.segment.keep_tile(key, tile, bytes);
    }

    fn is_whole(&self) -> bool {
        self.dead.is_empty()
            && !self.is_restricted
            && self.segment.rules() == self.table.schema.rules()
    }

    /// Bounds of a number or date column, maybe wider than its values; `None` without values.
    pub fn bounds(&self, field: &str) -> Result<Option<(Value, Value)>, ReadError> {
        Ok(self.column(field)?.and_then(|column| match column {
            Column::Long(column) => Some((Value::Long(column.min()), Value::Long(column.max()))),
            Column::Double(column) => {
                Some((Value::Double(column.min()), Value::Double(column.max())))
            }
            Column::Keyword(_) | Column::Bool(_) => None,
        }))
    }

    /// `Some(descending)` if the rows stand in the order of this field and all have a value.
    pub fn sorted_by(&self, field: &str) -> Option<bool> {
        self.segment.sorted_by(&self.table, field)
    }
}

/// Rows of a view, ascending.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// Every row; none is deleted.
    All(u32),
    /// These, one after the other.
    Run(Range<u32>),
    /// These.
    Rows(Vec<u32>),
}

impl Selection {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Selection::All(rows) => *rows as usize,
            Selection::Run(run) => run.len(),
            Selection::Rows(rows) => rows.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Block by block, in order.
    pub fn blocks(&self) -> Blocks<'_> {
        match self {
            Selection::All(rows) => Blocks::Run(0..*rows),
            Selection::Run(run) => Blocks::Run(run.clone()),
            Selection::Rows(rows) => Blocks::Rows(rows.chunks(BLOCK)),
        }
    }
}

/// The blocks of a [`Selection`].
pub enum Blocks<'a> {
    /// What is left of a run.
    Run(Range<u32>),
    /// What is left of a list.
    Rows(std::slice::Chunks<'a, u32>),
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        match self {
            Blocks::Run(run) if run.start >= run.end => None,
            Blocks::Run(run) => {
                let start = run.start;
                let len = (run.end - start).min(BLOCK as u32);
                run.start += len;
                Some(Block::Run { start, len })
            }
            Blocks::Rows(chunks) => chunks.next().map(Block::Rows),
        }
    }
}

/// At most [`BLOCK`] rows, ascending.
#[derive(Clone, Copy, Debug)]
pub enum Block<'a> {
    /// One after the other.
    Run {
        /// The first.
        start: u32,
        /// How many.
        len: u32,
    },
    /// These.
    Rows(&'a [u32]),
}

impl Block<'_> {
    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Block::Run { len, .. } => *len as usize,
            Block::Rows(rows) => rows.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the row at `place`.
    ///
    /// # Panics
    /// If the block is shorter.
    pub fn row(&self, place: usize) -> u32 {
        match self {
            Block::Run { start, .. } => start + place as u32,
            Block::Rows(rows) => rows[place],
        }
    }
}
