//! Rows as a stream of batches.

use super::exec::sized_batch;
use super::{Place, fetch};
use crate::{Limits, QueryError, Scope};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use storage::{Filter, Selection};

/// How many rows a batch has at most: DataFusion's own size.
const BATCH_ROWS: usize = 8192;

/// Batch by batch the rows that match, view by view.
pub(super) struct Rows {
    scope: Scope,
    places: std::vec::IntoIter<Place>,
    filter: Filter,
    columns: fetch::Columns,
    left: usize,
    limits: Limits,
    schema: SchemaRef,
    /// The view at hand, its rows, and how many of them were given.
    current: Option<(Place, Arc<Selection>, usize)>,
    failed: bool,
}

impl Rows {
    /// The rows of `places` that match.
    pub(super) fn new(
        scope: Scope,
        places: Vec<Place>,
        filter: Filter,
        columns: fetch::Columns,
        limit: Option<usize>,
        limits: Limits,
        schema: SchemaRef,
    ) -> Rows {
        Rows {
            scope,
            places: places.into_iter(),
            filter,
            columns,
            left: limit.unwrap_or(usize::MAX),
            limits,
            schema,
            current: None,
            failed: false,
        }
    }

    fn step(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        while self.left > 0 {
            self.limits.check()?;
            let Some((place, selection, given)) = &mut self.current else {
                let Some(place) = self.places.next() else { return Ok(None) };
                let selection = place.view.select(&self.filter)?;
                self.current = Some((place, selection, 0));
                continue;
            };
            let take = (selection.len() - *given).min(BATCH_ROWS).min(self.left);
            if take == 0 {
                self.current = None;
                continue;
            }
            let rows = slice(selection, *given, take);
            *given += take;
            self.left -= take;
            let columns = self.columns.fetch(&self.scope, &self.filter, place, &rows)?;
            return sized_batch(&self.schema, columns, rows.len()).map(Some);
        }
        Ok(None)
    }
}

/// `len` rows of a selection from place `from`.
pub(super) fn slice(selection: &Selection, from: usize, len: usize) -> Vec<u32> {
    match selection {
        Selection::All(_) => (from as u32..(from + len) as u32).collect(),
        Selection::Run(run) => (run.start + from as u32..run.start + (from + len) as u32).collect(),
        Selection::Rows(rows) => rows[from..from + len].to_vec(),
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
