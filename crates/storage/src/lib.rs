//! Where rows live: from the log over the buffer to segments, and back.
//!
//! * [`Store`] takes sealed batches. [`Store::append`] returns when the log is durable; from then
//!   on every [`Snapshot`] has the rows.
//! * The newest rows stand in the buffer, in memory, and are made searchable when somebody reads.
//!   A flush writes them into a segment: one sealed file with Tantivy's columns, postings and
//!   store, in the order of the table. The [`catalog::Catalog`] says which segments make a table.
//! * Beside a segment lie its tiles, which whoever declares measures has made ([`TileMaker`]):
//!   answers over all of its rows, that a [`View`] gives as long as they stand for them.
//! * [`Snapshot`] freezes what a read sees: [`View`]s of segments and buffer chunks, asked with a
//!   [`Filter`] and read by [`Column`]s. A [`Point`] holds a moment for the pages of a cursor.
//! * An [`Aside`] keeps what does not fit in memory for as long as the process needs it.
//!
//! What never happens here: a row that is not a `SealedBatch` is not taken, a snapshot is not
//! given without a `Permit`, a segment is not changed once it is written.

pub mod catalog;
pub mod disk;
pub mod log;
pub mod sealed_file;

mod aside;
mod backup;
mod buffer;
mod column_cache;
mod compaction;
mod erase;
mod error;
mod filter;
mod inspect;
mod mark;
mod ordinals;
mod point;
mod read;
mod rewrap;
mod row_scope;
mod segment;
mod store;
mod text;
mod tiles;
mod verify;
mod worker;

pub use aside::{Aside, AsideReader};
pub use backup::{HEAD_BYTES, Moment};
pub use column_cache::DecodedTile;
pub use compaction::{EpochHold, EpochProgress};
pub use erase::{FoundRows, Trace};
pub use error::StoreError;
pub use filter::{Filter, Pattern};
pub use mark::Mark;
pub use ordinals::{Ordinals, Terms};
pub use point::Point;
pub use read::{BLOCK, Block, Blocks, ReadError, Scored, Selection, Snapshot, View};
pub use rewrap::Moved;
pub use segment::{Column, KeywordColumn, MISSING, NumberColumn};
pub use store::{Expect, Outcome, RowOutcome, Store, StoreSettings, StoredRow, TableStats};
pub use text::analyze;
pub use tiles::TileMaker;
pub use verify::{Verified, verify};
