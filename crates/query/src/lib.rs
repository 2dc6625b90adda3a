//! Turns a question into rows: Elasticsearch's language, SQL and declared metrics over one leaf.
//!
//! * A [`Question`] is one filter and one [`Ask`]: count, rows, the first rows of an order, or a
//!   fold (grouped aggregates).
//! * [`run`] answers it over a [`Scope`]: a frozen [`storage::Snapshot`] and the
//!   [`protection::Permit`] that says which fields may be touched. A question that mentions any
//!   other field, in whatever role, is refused before a value is read.
//! * [`sql`] plans SQL with DataFusion and pushes filters, orders and aggregates down into
//!   questions; [`metrics`] turns declared metrics into questions.
//! * Folds that are asked again and again are kept as tiles beside each segment: [`TileSmith`] makes
//!   them, the leaf reads them where they say the same as the rows ([`Answered`] says what was read).
//! * [`Limits`] bound memory, time, groups and rows; [`Cancel`] stops a question from outside.
//!
//! ```
//! use query::{Ask, Question};
//! let question = Question { filter: storage::Filter::All, ask: Ask::Count };
//! assert!(matches!(question.ask, Ask::Count));
//! ```
//!
//! What never happens here: nothing is written, nothing spills to the disk, no network, and no
//! plan runs whose fields were not checked.

pub mod elasticsearch;
mod error;
mod guard;
mod leaf;
mod limits;
pub mod metrics;
mod question;
pub mod sql;
#[cfg(test)]
mod testing;

pub use error::QueryError;
pub use guard::uses;
pub use leaf::{LeafExec, TileDefinition, TileSmith};
pub use limits::{Answered, Cancel, Limits};
pub use question::{
    Ask, Funnel, Group, GroupBy, Interval, Mapping, Measure, MeasureOf, OutColumn, PERIODS_MAX,
    Question, Retention, SortBy, SortKey,
};

use arrow::record_batch::RecordBatch;
use protection::Permit;
use std::sync::Arc;
use storage::Snapshot;

/// What a question may see: frozen rows, and the permit to look at them.
#[derive(Clone)]
pub struct Scope {
    /// The rows.
    pub snapshot: Arc<Snapshot>,
    /// Which fields of which tables may be touched.
    pub permit: Arc<Permit>,
}

/// Answers one question over every table of the scope.
///
/// The question becomes a DataFusion plan whose only node is [`LeafExec`]; its columns are named
/// as [`Ask`] says. Blocks the calling thread, which must not be a thread that drives an async
/// runtime.
///
/// # Errors
/// [`QueryError`] sorted by whose fault it is; see there.
pub fn run(scope: &Scope, question: &Question, limits: &Limits) -> Result<RecordBatch, QueryError> {
    leaf::run(scope, question, limits)
}
