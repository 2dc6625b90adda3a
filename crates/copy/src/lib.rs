//! Copies production data in: reads a source, never writes to it, and keeps following.
//!
//! * A [`Source`] describes its tables, gives a bounded [`sample`](Source::sample) for the plan, a
//!   consistent [`Snapshot`] in ranges, and [`Follow`]s what changes afterwards.
//! * Rows travel as [`CopiedRows`] in [`Piece`]s. A piece carries the [`Position`] after its last
//!   row, and both are stored in one write: a copy that is killed goes on exactly there.
//!
//! What never happens here: nothing is stored but through the engine's door, no value and no
//! credential of a source stands in an error or a log line.

mod copies;
pub mod document;
pub mod elasticsearch;
mod error;
mod expression;
mod file;
pub mod files;
pub mod kafka;
mod layout;
mod live;
pub mod mqtt;
pub mod mysql;
mod noticing;
mod page;
mod plan;
mod position;
mod postgres;
mod registry;
mod runner;
mod settings;
mod signing;
mod source;
mod state;
mod status;
mod store;
#[cfg(test)]
mod testing;
mod tls;
mod transform;
mod value;
mod verify;
mod watch;

pub use copies::Copies;
pub use error::SourceError;
pub use file::FileError;
pub use plan::{Difference, PlanRequest, Planned};
pub use position::{Marks, Position};
pub use source::{
    About, Event, Follow, Lag, Piece, Range, Refusal, Snapshot, Source, Wanted, Watched,
};
pub use tls::Trust;
pub use value::{Cell, ColumnType, CopiedRows, Layout, SourceColumn, SourceTable};
