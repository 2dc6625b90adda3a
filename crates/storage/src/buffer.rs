//! The newest rows of a table, in memory.
//!
//! Rows come as the batches of requests. They become searchable when somebody reads: batches that
//! no chunk covers yet are indexed into one more chunk, and chunks are merged by size, so that a
//! table that is only written to costs nothing here and one that is read after every write pays
//! for each row a logarithmic number of times.

use crate::StoreError;
use crate::column_cache::ColumnCache;
use crate::mark::Mark;
use crate::segment::{self, Layout, RowAddress, Rows, Segment};
use model::{Op, Table};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// One request's rows and which of them are gone.
pub(crate) struct Buffered {
    pub(crate) rows: Arc<Rows>,
    /// Rows that a later row replaced, and rows that stand for a deletion.
    pub(crate) dead: Arc<RoaringBitmap>,
    /// The log frame they came in.
    pub(crate) frame: u64,
    /// How far they bring the source that they came from.
    pub(crate) mark: Option<Mark>,
}

/// Batches that were indexed together; its rows are theirs, one after the other.
#[derive(Clone)]
pub(crate) struct Chunk {
    pub(crate) batches: Range<usize>,
    /// How many rows each batch has.
    pub(crate) lengths: Arc<[u32]>,
    pub(crate) segment: Arc<Segment>,
}

impl Chunk {
    /// The rows of the chunk that are gone, from those of all batches of the buffer.
    pub(crate) fn dead(&self, of_batches: &[Arc<RoaringBitmap>]) -> RoaringBitmap {
        let mut dead = RoaringBitmap::new();
        let mut before = 0;
        for (batch, rows) in of_batches[self.batches.clone()].iter().zip(self.lengths.iter()) {
            dead.extend(batch.iter().map(|row| before + row));
            before += rows;
        }
        dead
    }
}

/// The newest rows of one table.
#[derive(Default)]
pub(crate) struct Buffer {
    batches: Vec<Buffered>,
    chunks: Vec<Chunk>,
    /// Where the newest row of each given id stands: batch and row.
    ids: HashMap<Box<str>, (usize, u32)>,
    rows: usize,
    bytes: usize,
    /// The rules under which its rows were sealed: the same for all.
    rules: u32,
}

impl Buffer {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rules under which its rows were sealed; of no meaning while it is empty.
    pub(crate) fn rules(&self) -> u32 {
        self.rules
    }

    /// Whether a batch that was sealed under `rules` may join. A segment holds rows of one kind
    /// of rules, so others wait until these are flushed.
    pub(crate) fn takes(&self, rules: u32) -> bool {
        self.is_empty() || self.rules == rules
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(crate) fn oldest_frame(&self) -> Option<u64> {
        self.batches.first().map(|batch| batch.frame)
    }

    pub(crate) fn batches(&self) -> &[Buffered] {
        &self.batches
    }

    /// Adds a batch; `dead` are rows of it that another row of the same batch replaced.
    pub(crate) fn push(
        &mut self,
        rows: Arc<Rows>,
        rules: u32,
        dead: RoaringBitmap,
        frame: u64,
        mark: Option<Mark>,
    ) {
        self.rules = rules;
        let number = self.batches.len();
        for (row, head) in rows.batch.rows.iter().enumerate() {
            let Some(id) = &head.id else { continue };
            match head.op {
                Op::Put if !dead.contains(row as u32) => {
                    self.ids.insert(id.clone(), (number, row as u32));
                }
                Op::Put | Op::Delete => {}
            }
        }
        self.rows += rows.len() as usize;
        self.bytes += rows.bytes();
        self.batches.push(Buffered { rows, dead: Arc::new(dead), frame, mark });
    }

    /// The live row of a given id.
    pub(crate) fn find(&self, id: &str) -> Option<(usize, u32)> {
        self.ids.get(id).copied()
    }

    /// The live row with this number and no given id.
    pub(crate) fn find_seq(&self, seq: u64) -> Option<(usize, u32)> {
        let after = self
            .batches
            .partition_point(|batch| batch.rows.seqs.first().is_some_and(|&first| first <= seq));
        let number = after.checked_sub(1)?;
        let batch = &self.batches[number];
        let row = batch.rows.seqs.binary_search(&seq).ok()? as u32;
        let head = &batch.rows.batch.rows[row as usize];
        let live = head.id.is_none() && head.op == Op::Put && !batch.dead.contains(row);
        live.then_some((number, row))
    }

    /// Marks a row as gone.
    pub(crate) fn kill(&mut self, (batch, row): (usize, u32)) {
        let buffered = &mut self.batches[batch];
        Arc::make_mut(&mut buffered.dead).insert(row);
        if let Some(id) = &buffered.rows.batch.rows[row as usize].id
            && self.ids.get(id.as_ref()) == Some(&(batch, row))
        {
            self.ids.remove(id.as_ref());
        }
    }

    /// Batches that no chunk covers yet, and how to name them; none if all are covered.
    pub(crate) fn uncovered(&self, rows_max: usize) -> Option<(Range<usize>, Vec<Arc<Rows>>)> {
        let end = self.batches.len();
        let mut start = self.chunks.last().map_or(0, |chunk| chunk.batches.end);
        if start == end {
            return None;
        }
        // Take smaller chunks along, as long as the new one stays at most twice as large as what
        // it replaces is new: each row is indexed again only when its chunk doubles.
        let count = |range: &Range<usize>| -> usize {
            self.batches[range.clone()].iter().map(|batch| batch.rows.len() as usize).sum()
        };
        let mut rows = count(&(start..end));
        for chunk in self.chunks.iter().rev() {
            let more = count(&chunk.batches);
            if more > rows || rows + more > rows_max {
                break;
            }
            rows += more;
            start = chunk.batches.start;
        }
        let batches = self.batches[start..end].iter().map(|batch| Arc::clone(&batch.rows));
        Some((start..end, batches.collect()))
    }

    /// Takes a chunk in, in the place of those whose batches it covers.
    pub(crate) fn cover(&mut self, chunk: Chunk) {
        self.chunks.retain(|older| older.batches.end <= chunk.batches.start);
        self.chunks.push(chunk);
    }

    /// The chunks there are; [`Buffer::uncovered`] says what they lack.
    pub(crate) fn chunks(&self) -> Vec<Chunk> {
        self.chunks.clone()
    }

    /// Forgets the first `count` batches: they are in a segment now.
    pub(crate) fn forget(&mut self, count: usize) {
        self.batches.drain(..count);
        self.chunks.retain(|chunk| chunk.batches.start >= count);
        for chunk in &mut self.chunks {
            chunk.batches = chunk.batches.start - count..chunk.batches.end - count;
        }
        // A chunk that reached over the border is gone; what it covered behind it must be
        // covered again, from the first batch on.
        if self.chunks.first().is_some_and(|chunk| chunk.batches.start != 0) {
            self.chunks.clear();
        }
        self.ids.retain(|_, (batch, _)| match batch.checked_sub(count) {
            Some(now) => {
                *batch = now;
                true
            }
            None => false,
        });
        self.rows = self.batches.iter().map(|batch| batch.rows.len() as usize).sum();
        self.bytes = self.batches.iter().map(|batch| batch.rows.bytes()).sum();
    }
}

/// Indexes batches into a chunk: every row in the order of arrival, deletions included, so that
/// row numbers of the chunk are those of the batches.
pub(crate) fn index_chunk(
    table: &Table,
    batches: &[Arc<Rows>],
    rules: u32,
    cache: &Arc<ColumnCache>,
) -> Result<Arc<Segment>, StoreError> {
    let layout = Arc::new(Layout::of(table));
    let order: Vec<RowAddress> = batches
        .iter()
        .enumerate()
        .flat_map(|(batch, rows)| {
            (0..rows.len()).map(move |row| RowAddress { batch: batch as u32, row })
        })
        .collect();
    let index = segment::build_in_memory(table, &layout, batches, &order)?;
    Ok(Arc::new(Segment::in_memory(index, layout, rules, cache)?))
}
