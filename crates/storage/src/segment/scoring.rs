//! BM25 over a whole snapshot: every table is scored with the statistics of all its views, so that
//! a score does not depend on how its rows are spread over segments. Where a permit sees only some
//! rows, only these are counted: else a score would tell how often a word stands in the others.

use super::Segment;
use crate::Filter;
use crate::read::{ReadError, Snapshot, View};
use model::{Table, TableId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tantivy::query::{Bm25StatisticsProvider, EnableScoring};
use tantivy::schema::{Field as TantivyField, IndexRecordOption};
use tantivy::{DocSet, TERMINATED, Term};

/// The views of a snapshot, for their statistics.
pub(crate) struct Statistics {
    views: Vec<Arc<View>>,
    /// In how many rows of a table a word stands: asked once for each, not once for each view.
    frequencies: Mutex<HashMap<(TableId, Term), u64>>,
    tokens: Mutex<HashMap<(TableId, TantivyField), u64>>,
}

impl Statistics {
    pub(crate) fn of(snapshot: &Snapshot) -> Statistics {
        Statistics {
            views: snapshot.views().to_vec(),
            frequencies: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    fn table_of(&self, segment: &Segment) -> Option<&Arc<Table>> {
        let same = |other: &Arc<Segment>| std::ptr::eq(Arc::as_ptr(other), segment);
        self.views.iter().find(|view| same(&view.segment)).map(|view| view.table())
    }
}

/// The statistics of one table.
struct TableStatistics<'a> {
    statistics: &'a Statistics,
    table: TableId,
}

impl TableStatistics<'_> {
    fn sum(&self, of: impl Fn(&View) -> tantivy::Result<u64>) -> tantivy::Result<u64> {
        let views = self.statistics.views.iter().filter(|view| view.table().id == self.table);
        views.map(|view| of(view)).sum()
    }

    /// The same over the segments that show values of a field.
    fn sum_of(
        &self,
        field: TantivyField,
        of: impl Fn(&View) -> tantivy::Result<u64>,
    ) -> tantivy::Result<u64> {
        let shows = |view: &View| {
            let segment = &view.segment;
            segment.layout.has(field) && segment.shows(view.table(), field)
        };
        self.sum(|view| if shows(view) { of(view) } else { Ok(0) })
    }
}

/// How many words the rows have that the permit sees.
fn tokens_seen(view: &View, field: TantivyField) -> tantivy::Result<u64> {
    let Some(lengths) = view.segment.reader().fieldnorms_readers().get_field(field)? else {
        return Ok(0);
    };
    let seen = (0..view.rows()).filter(|row| !view.dead.contains(*row));
    Ok(seen.map(|row| u64::from(lengths.fieldnorm(row))).sum())
}

/// How many rows have the term, of those that the permit sees.
fn rows_seen(view: &View, term: &Term) -> tantivy::Result<u64> {
    let index = view.segment.reader().inverted_index(term.field())?;
    let Some(mut rows) = index.read_postings(term, IndexRecordOption::Basic)? else { return Ok(0) };
    let mut count = 0;
    while rows.doc() != TERMINATED {
        count += u64::from(!view.dead.contains(rows.doc()));
        rows.advance();
    }
    Ok(count)
}

impl Bm25StatisticsProvider for TableStatistics<'_> {
    fn total_num_tokens(&self, field: TantivyField) -> tantivy::Result<u64> {
        let key = (self.table, field);
        if let Some(&known) = self.statistics.tokens.lock().get(&key) {
            return Ok(known);
        }
        let tokens = self.sum_of(field, |view| match view.is_restricted {
            true => tokens_seen(view, field),
            false => Ok(view.segment.reader().inverted_index(field)?.total_num_tokens()),
        })?;
        self.statistics.tokens.lock().insert(key, tokens);
        Ok(tokens)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        self.sum(|view| {
            Ok(u64::from(if view.is_restricted { view.live_rows() } else { view.rows() }))
        })
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        let key = (self.table, term.clone());
        if let Some(&known) = self.statistics.frequencies.lock().get(&key) {
            return Ok(known);
        }
        let rows = self.sum_of(term.field(), |view| match view.is_restricted {
            true => rows_seen(view, term),
            false => {
                let index = view.segment.reader().inverted_index(term.field())?;
                Ok(u64::from(index.doc_freq(term)?))
            }
        })?;
        self.statistics.frequencies.lock().insert(key, rows);
        Ok(rows)
    }
}

impl Segment {
    /// Whether values of a Tantivy field can be read: not those from before a ruling.
    fn shows(&self, table: &Table, field: TantivyField) -> bool {
        let of = self.layout.field_of_words(field).and_then(|id| table.schema.fields().get(id));
        of.is_none_or(|of| of.stored_since() <= self.rules)
    }

    /// Calls `take` with rows and scores that beat the floor it last returned.
    pub(crate) fn best(
        &self,
        statistics: &Statistics,
        filter: &Filter,
        take: &mut dyn FnMut(u32, f32, f32) -> f32,
    ) -> Result<(), ReadError> {
        let Some(table) = statistics.table_of(self) else { return Ok(()) };
        let query = self.query(table, filter)?;
        let of_table = TableStatistics { statistics, table: table.id };
        let scoring = EnableScoring::enabled_from_statistics_provider(&of_table, &self.searcher);
        let weight = query.weight(scoring)?;
        // A score of zero counts too (`filter` alone): the floor starts below it.
        let mut floor = f32::MIN;
        weight.for_each_pruning(floor, self.reader(), &mut |row, score| {
            floor = take(row, score, floor);
            floor
        })?;
        Ok(())
    }

    /// The scores of rows that match, in ascending order of rows; 0 for one that does not.
    pub(crate) fn scores(
        &self,
        statistics: &Statistics,
        filter: &Filter,
        rows: &[u32],
    ) -> Result<Vec<f32>, ReadError> {
        let Some(table) = statistics.table_of(self) else { return Ok(vec![0.0; rows.len()]) };
        let query = self.query(table, filter)?;
        let of_table = TableStatistics { statistics, table: table.id };
        let scoring = EnableScoring::enabled_from_statistics_provider(&of_table, &self.searcher);
        let mut scorer = query.weight(scoring)?.scorer(self.reader(), 1.0)?;
        let mut scores = Vec::with_capacity(rows.len());
        for &row in rows {
            let at = match scorer.doc() {
                TERMINATED => TERMINATED,
                doc if doc < row => scorer.seek(row),
                doc => doc,
            };
            scores.push(if at == row { scorer.score() } else { 0.0 });
        }
        Ok(scores)
    }
}
