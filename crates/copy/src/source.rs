//! What every source can do. See `docs/copying.md` for how to add one.

use crate::{CopiedRows, Layout, Marks, Position, SourceError, SourceTable};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Something to copy from. It is only read.
///
/// Connections are made in the calls and not before; whatever fails is a [`SourceError`], and the
/// runner decides on it: retry, pause, or a new snapshot.
#[async_trait::async_trait]
pub trait Source: Send + Sync {
    /// The tables there are now, with their columns.
    async fn describe(&self) -> Result<Vec<SourceTable>, SourceError>;

    /// What the source says about a table beside its columns, for the plan.
    async fn about(&self, _table: &SourceTable) -> Result<About, SourceError> {
        Ok(About::default())
    }

    /// Whether [`Source::describe`] may be asked every minute: it looks at no rows.
    fn is_cheap_to_describe(&self) -> bool {
        false
    }

    /// At most `rows` rows of a table, in its layout, for the plan. Not the first ones only, where
    /// that costs no more.
    async fn sample(
        &self,
        table: &SourceTable,
        rows: usize,
    ) -> Result<(Arc<Layout>, CopiedRows), SourceError>;

    /// Opens a consistent view of `tables` to read all of it. `before` are the ranges of a
    /// snapshot that was interrupted: keep to their names, so that what was read counts. Empty:
    /// cut anew. Whatever happens after [`Snapshot::start`] is given by following from there.
    async fn snapshot(
        &self,
        tables: &[Wanted],
        before: &[Range],
    ) -> Result<Box<dyn Snapshot>, SourceError>;

    /// Follows what happens after `from`; of each lane only what lies behind its mark.
    async fn follow(
        &self,
        tables: &[Wanted],
        from: &Position,
        marks: &Marks,
    ) -> Result<Box<dyn Follow>, SourceError>;

    /// Looks how much the source keeps for the copy, which does not follow now: it is paused, waits,
    /// or reads a snapshot. What is above the bound that the copy file states is given up.
    async fn watch(&self) -> Result<Watched, SourceError> {
        Ok(Watched::Nothing)
    }

    /// Removes what the copy left at the source (a replication slot), when a copy is removed.
    async fn forget(&self) -> Result<(), SourceError> {
        Ok(())
    }
}

/// What a source says about a table beside its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// For people; no value of a row.
    pub words: Option<String>,
    /// How long rows stay there, as a copy file writes it: `30d`, `12h`.
    pub retention: Option<String>,
}

/// A table as a copy wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// As the source calls it.
    pub table: String,
    /// The columns that name a row: the source's own key, or what the copy file says.
    pub key: Vec<String>,
    /// Columns that are not copied: not even read where that is possible. All others are given,
    /// also those that come later.
    pub left_out: BTreeSet<String>,
    /// All columns that the signed file knows, also those that are left out; a person is told of
    /// others. Empty: it is not known.
    pub planned: BTreeSet<String>,
}

/// A part of one table that is read in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The table, as the source calls it.
    pub table: String,
    /// Tells it from the other ranges of its table; the lane of its pieces.
    pub lane: String,
    /// What it covers, in a spelling of the source's own.
    pub bounds: String,
    /// About how many rows, for the progress bar.
    pub rows: u64,
}

/// A consistent view of some tables.
#[async_trait::async_trait]
pub trait Snapshot: Send + Sync {
    /// From where following goes on. Kept before the first row is read.
    fn start(&self) -> Position;

    /// The place up to which the view holds all changes; later than [`Snapshot::start`] where an
    /// interrupted snapshot goes on. Only rows without a key need it: theirs are not given twice.
    fn view(&self) -> Position {
        self.start()
    }

    /// Whether its ranges hold all rows that the tables have: rows that a new snapshot does not give
    /// are then gone at the source, and go here. A stream that keeps no past says no.
    fn is_whole(&self) -> bool {
        true
    }

    /// All ranges, also those that were read already. Kept before the first row is read.
    fn ranges(&self) -> Vec<Range>;

    /// Reads one range; several are read at once. `after`: where the last stored piece of it
    /// ended, if its pieces had positions; else what was stored of it is written again.
    ///
    /// Pieces go to `out` one after the other; about 8,192 rows or 4 MiB each. It waits while the
    /// store is busy, and this is the back-pressure: read no further meanwhile.
    async fn read(
        &self,
        range: &Range,
        after: Option<&Position>,
        out: &tokio::sync::mpsc::Sender<Piece>,
    ) -> Result<(), SourceError>;
}

/// Rows of one table that are stored together.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The table, as the source calls it.
    pub table: String,
    /// Its lane; empty where the table has one order only.
    pub lane: Arc<str>,
    /// What its cells are. The same `Arc` as long as nothing changes.
    pub layout: Arc<Layout>,
    /// The rows, in order. A key that changed is a deletion and a new row.
    pub rows: CopiedRows,
    /// What lay between the rows and is none: told to a person, and never in the way of the rows.
    pub refused: Vec<Refusal>,
    /// After the last row; stored with the rows. `None` in a snapshot whose ranges are read again
    /// from their beginning.
    pub position: Option<Position>,
}

/// Something of a source that cannot be read as a row, such as a line that is no JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it stands: `events/2026-11-01.ndjson:17`, `offset 4711`. No value of it.
    pub at: String,
    /// What is wrong with it, without a value of it.
    pub reason: String,
}

/// What happens at a source.
#[derive(Clone, Debug)]
pub enum Event {
    /// Rows were written.
    Rows(Piece),
    /// All rows of a table went.
    Truncate {
        /// The table, as the source calls it.
        table: String,
        /// Its lane.
        lane: Arc<str>,
        /// After this.
        position: Position,
    },
    /// A table is not what it was: columns came, went, or changed their type. Pieces after it have
    /// the new layout. It never stops the copy; a person is told these words.
    Schema {
        /// The table, as the source calls it.
        table: String,
        /// What happened, such as `column imei was added`.
        what: String,
    },
    /// All that happened up to here was given: nothing before it is asked for again.
    Reached(Position),
    /// Nothing happened for a while.
    Idle,
}

/// The change stream of a source.
#[async_trait::async_trait]
pub trait Follow: Send {
    /// The next event; waits for it, at most about a second ([`Event::Idle`]). May be dropped while
    /// it waits without losing anything.
    async fn next(&mut self) -> Result<Event, SourceError>;

    /// Rows up to here are stored. For sources that wait for each message to be acknowledged, and
    /// for which nothing else has to be kept.
    async fn stored(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }

    /// All up to here is durable on our side: the source may forget it.
    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError>;

    /// How far behind the source we are.
    fn lag(&self) -> Lag;
}

/// What a source keeps for a copy that does not follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Nothing that would grow.
    Nothing,
    /// So much, which is below the bound.
    Keeps(Lag),
    /// It was too much, and is kept no more: the copy has to read everything again. Says why.
    GivenUp(String),
}

/// How far a copy is behind its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// How long ago the newest stored change happened, while newer ones are known; zero when there
    /// are none. `None`: not known.
    pub time: Option<Duration>,
    /// Bytes or messages that the source keeps for us. `None`: not known.
    pub waiting: Option<u64>,
    /// How much of that may be kept, as the copy file says. `None`: there is no bound of ours.
    pub waiting_max: Option<u64>,
}
