//! Our own leaf of every plan: one question over the views of a snapshot.
//!
//! Three things happen here that a general engine would do slower: filters become Tantivy queries
//! and column ranges (`storage` does it), an order with a limit becomes an early top-k over
//! columns ([`top`]), and grouped aggregates become folds over ordinals ([`fold`]). What is left,
//! rows as Arrow batches, is [`fetch`]. Groups too small to be told about are left out here, too
//! ([`disclosure`]), so that no language has a way around it.

pub(crate) mod field;

mod disclosure;
mod exec;
mod fetch;
mod fold;
mod rows;
#[cfg(test)]
mod tests;
mod top;
mod work;

pub use exec::LeafExec;
pub(crate) use exec::{filter_name, sized_batch};
pub use fold::{TileDefinition, TileSmith};
pub(crate) use fold::{interval_edges, interval_starts};

use crate::{Limits, QueryError, Question, Scope};
use arrow::record_batch::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use model::TableId;
use std::sync::Arc;
use storage::View;

/// Answers one question; see [`crate::run`].
pub(crate) fn run(
    scope: &Scope,
    question: &Question,
    limits: &Limits,
) -> Result<RecordBatch, QueryError> {
    run_on(scope, question, limits, None)
}

/// Answers one question over one table of the scope, or all.
pub(crate) fn run_on(
    scope: &Scope,
    question: &Question,
    limits: &Limits,
    only: Option<TableId>,
) -> Result<RecordBatch, QueryError> {
    let leaf = LeafExec::over(scope, question.clone(), limits, only)?;
    let schema = leaf.schema();
    let failed = |error| QueryError::from_running(error, limits.memory_bytes);
    let context = TaskContext::default().with_runtime(runtime(limits)?);
    let context = Arc::new(context);
    let mut batches = Vec::new();
    let mut rows = 0;
    for partition in 0..leaf.properties().partitioning.partition_count() {
        let mut stream = leaf.execute(partition, Arc::clone(&context)).map_err(failed)?;
        while let Some(batch) = futures::executor::block_on(stream.try_next()).map_err(failed)? {
            rows += batch.num_rows();
            if leaf.gives_rows() && rows > limits.rows {
                return Err(QueryError::TooManyRows { limit: limits.rows });
            }
            batches.push(batch);
        }
    }
    match batches.len() {
        1 => Ok(batches.swap_remove(0)),
        _ => arrow::compute::concat_batches(&schema, &batches)
            .map_err(|_| QueryError::Internal("joining batches".to_owned())),
    }
}

/// Whether the caller is only told about groups of people in answer to a question over this table.
pub(crate) fn has_least_group(scope: &Scope, table: TableId, question: &Question) -> bool {
    let tables: Vec<Arc<model::Table>> =
        scope.snapshot.tables().iter().filter(|known| known.id == table).cloned().collect();
    disclosure::least(&scope.permit, &tables, question).0.is_some()
}

/// What a table says about each of its keys, as it is now. This is not an answer: it only makes
/// groups of the rows of another table, and these are under the rules for groups of both.
pub(crate) fn mapping(
    scope: &Scope,
    table: TableId,
    key: &str,
    value: &str,
    limits: &Limits,
) -> Result<crate::Mapping, QueryError> {
    let by = |name: &str| crate::Group {
        by: crate::GroupBy::Terms(name.to_owned()),
        keep_missing: false,
    };
    let ask = crate::Ask::Fold { groups: vec![by(key), by(value)], measures: Vec::new() };
    let question = Question { filter: storage::Filter::All, ask };
    LeafExec::over(scope, question, limits, Some(table))?.mapping(key, value)
}

/// Where plans run: a bounded pool of memory, and no disk to spill to.
pub(crate) fn runtime(limits: &Limits) -> Result<Arc<RuntimeEnv>, QueryError> {
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    RuntimeEnvBuilder::new()
        .with_disk_manager_builder(disk)
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(limits.memory_bytes)))
        .build_arc()
        .map_err(|_| QueryError::Internal("the runtime environment".to_owned()))
}

/// The memory that one execution of the leaf has taken from the pool.
pub(crate) struct Memory {
    reservation: MemoryReservation,
    limit: usize,
}

impl Memory {
    /// Takes `bytes` more, until the execution ends.
    fn take(&self, bytes: usize) -> Result<(), QueryError> {
        self.reservation.try_grow(bytes).map_err(|_| QueryError::Memory { limit: self.limit })
    }

    /// Gives `bytes` back.
    fn give_back(&self, bytes: usize) {
        self.reservation.shrink(bytes);
    }
}

/// One view that a question goes over.
#[derive(Clone)]
pub(crate) struct Place {
    view: Arc<View>,
}

/// What every part of the leaf works with.
pub(crate) struct Job<'a> {
    scope: &'a Scope,
    ground: Ground<'a>,
}

impl<'a> std::ops::Deref for Job<'a> {
    type Target = Ground<'a>;

    fn deref(&self) -> &Ground<'a> {
        &self.ground
    }
}

/// The rows that are worked on, and what that may cost: all that a fold needs to know.
pub(crate) struct Ground<'a> {
    places: &'a [Place],
    tables: &'a [Arc<model::Table>],
    limits: &'a Limits,
    memory: &'a Memory,
}
