//! Carries a copy out: snapshot, then following; pausing, retrying, beginning anew.

#[cfg(test)]
mod tests;

use crate::copies::Copy;
use crate::file::CopyFile;
use crate::live::Doing;
use crate::state::{StoredNote, StoredRange, StoredSnapshot, StoredTable, from_hex, to_hex};
use crate::store::Storing;
use crate::watch::{watch_paused, watch_snapshot};
use crate::{
    Event, Follow, Marks, Piece, Position, Range, Snapshot, Source, SourceError, registry,
};
use engine::EngineError;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Ranges that are read at once.
const READERS: usize = 2;
/// Pieces between a reader and its writer.
const PIECES_WAITING: usize = 2;
/// Events are stored together up to so many bytes.
const GATHERED_BYTES: usize = 16 << 20;
/// Where a copy stands is kept so often.
const KEEP_EVERY: Duration = Duration::from_secs(2);
/// So often a source is asked which tables it has, where that costs little.
const DESCRIBE_EVERY: Duration = Duration::from_secs(60);
/// After a failure the next try waits so long, then twice as long, …
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Notes that are kept.
pub(crate) const NOTES_MAX: usize = 100;

/// Why a run ended.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Somebody asked it to.
    Stopped,
    /// It may work later.
    Later(String),
    /// Somebody has to act first.
    Pause(String),
    /// A new snapshot is needed.
    Anew(String),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Trouble {
        match error {
            SourceError::Unreachable(why) => Trouble::Later(why),
            SourceError::Refused(why) | SourceError::Broken(why) => Trouble::Pause(why),
            SourceError::Lost(why) => Trouble::Anew(why),
        }
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Trouble {
        match error.status {
            409 | 429 | 503 | 507 => Trouble::Later(error.reason),
            _ => {
                if let Some(detail) = error.detail {
                    tracing::error!(detail, "a copy cannot store");
                }
                Trouble::Pause(error.reason)
            }
        }
    }
}

/// The life of a copy, until it is paused or the server stops.
pub(crate) async fn live(copy: Arc<Copy>) {
    let mut tries = 0;
    loop {
        let started = Instant::now();
        let trouble = match Run::begin(&copy).await {
            Ok(mut run) => run.go_on().await,
            Err(trouble) => trouble,
        };
        if started.elapsed() > PAUSE_MAX {
            tries = 0;
        }
        tries += 1;
        let pause = pause_after(tries);
        let name = copy.name.as_str();
        match trouble {
            Trouble::Stopped => return copy.do_now(Doing::Nothing),
            Trouble::Pause(reason) => {
                tracing::error!(copy = name, reason, "copy paused");
                copy.pause_by_itself(&reason);
                return watch_paused(copy).await;
            }
            Trouble::Anew(reason) => {
                tracing::warn!(copy = name, reason, "copy begins anew");
                copy.begin_anew(&reason);
                copy.do_now(Doing::Waiting { reason, again: Instant::now() + pause, tries });
            }
            Trouble::Later(reason) => {
                tracing::warn!(copy = name, reason, "copy waits");
                copy.do_now(Doing::Waiting { reason, again: Instant::now() + pause, tries });
            }
        }
        if copy.stopped_within(pause).await {
            return copy.do_now(Doing::Nothing);
        }
    }
}

/// How long to wait after so many tries failed, one after the other.
fn pause_after(tries: u32) -> Duration {
    let doubled = 1 << tries.saturating_sub(1).min(16);
    (PAUSE_MIN * doubled).min(PAUSE_MAX)
}

struct Run {
    copy: Arc<Copy>,
    file: Arc<CopyFile>,
    source: Arc<dyn Source>,
    storing: Arc<Storing>,
}

impl Run {
    /// Connects, checks the tables, and makes those that are missing here.
    async fn begin(copy: &Arc<Copy>) -> Result<Run, Trouble> {
        copy.do_now(Doing::Planning);
        let version = copy.version_to_run().map_err(Trouble::Pause)?;
        let file = CopyFile::parse(&version.yaml)
            .map_err(|error| Trouble::Pause(format!("the copy file, {error}")))?;
        let file = Arc::new(file);
        let secret = match &file.secret {
            Some(name) => Some(copy.engine.source_secret(name)?),
            None => None,
        };
        let asides = copy.engine.asides();
        let source =
            registry::open_to_follow(&file.kind, &file.settings, &file.name, secret, asides)
                .map_err(Trouble::Pause)?;
        let described = source.describe().await?;
        copy.tell_new_tables(&file, &described)?;
        copy.tell_ended(&file)?;
        let storing = {
            let (copy, file) = (Arc::clone(copy), Arc::clone(&file));
            blocking(move || Storing::begin(&copy, &file, &described)).await??
        };
        Ok(Run { copy: Arc::clone(copy), file, source, storing: Arc::new(storing) })
    }

    async fn go_on(&mut self) -> Trouble {
        if let Err(trouble) = self.read_all().await {
            return trouble;
        }
        match self.follow().await {
            Ok(()) => Trouble::Stopped,
            Err(trouble) => trouble,
        }
    }

    /// Reads the tables that were not read yet.
    async fn read_all(&mut self) -> Result<(), Trouble> {
        let missing = self.copy.change(|run| {
            let file = &self.file;
            run.tables.retain(|table, _| file.table(table).is_some());
            for table in &file.tables {
                run.tables.entry(table.from.clone()).or_default();
            }
            let missing = run.tables.iter().filter(|(_, table)| !table.copied);
            missing.map(|(name, _)| name.clone()).collect::<Vec<String>>()
        })?;
        if missing.is_empty() {
            return Ok(());
        }
        self.copy.do_now(Doing::Snapshot);
        let wanted: Vec<_> = self
            .storing
            .wanted()
            .into_iter()
            .filter(|wanted| missing.contains(&wanted.table))
            .collect();
        self.begin_tables(&missing).await?;
        let kept = self.copy.run().and_then(|run| run.snapshot);
        let before: Vec<Range> = kept
            .iter()
            .flat_map(|kept| &kept.ranges)
            .filter(|range| missing.contains(&range.table))
            .map(StoredRange::range)
            .collect();
        let snapshot: Arc<dyn Snapshot> = Arc::from(self.source.snapshot(&wanted, &before).await?);
        let is_whole = snapshot.is_whole();
        self.copy.change(|run| {
            // Of a stream there is nothing to read again.
            for table in run.tables.values_mut().filter(|table| table.again) {
                table.again = false;
                table.anew += u32::from(is_whole);
            }
        })?;
        let ranges = self.keep_snapshot(&*snapshot)?;
        let read = ranges.iter().filter(|range| range.done).map(|range| range.rows.max(1));
        self.copy.begin_snapshot(read.sum());
        tokio::select! {
            read = self.read_ranges(&snapshot, ranges) => read?,
            trouble = watch_snapshot(&self.copy, &*self.source) => return Err(trouble),
        }
        self.end_tables(&missing, &*snapshot).await
    }

    async fn read_ranges(
        &self,
        snapshot: &Arc<dyn Snapshot>,
        ranges: Vec<StoredRange>,
    ) -> Result<(), Trouble> {
        let marks = self.storing.marks()?;
        let mut reading = futures::stream::iter(ranges.into_iter().filter(|range| !range.done))
            .map(|range| {
                let range = range.range();
                let after = marks.get(&range.table, &range.lane).cloned();
                self.read_range(Arc::clone(snapshot), range, after)
            })
            .buffer_unordered(READERS);
        while let Some(read) = reading.next().await {
            let range = read?;
            self.copy.change(|run| {
                let ranges = run.snapshot.iter_mut().flat_map(|snapshot| &mut snapshot.ranges);
                ranges
                    .filter(|known| known.table == range.table && known.lane == range.lane)
                    .for_each(|known| known.done = true);
            })?;
        }
        Ok(())
    }

    /// Rows without a key cannot be put over those that are there: what an earlier try left goes.
    async fn begin_tables(&self, missing: &[String]) -> Result<(), Trouble> {
        for table in missing {
            let Some(known) = self.copy.run().and_then(|run| run.tables.get(table).cloned()) else {
                continue;
            };
            if self.storing.has_key(table) || !self.storing.begins_anew(table) {
                continue;
            }
            let begun = known.fresh_from.is_some();
            let has_older = known.again || known.anew > 0;
            self.copy.change(|run| {
                let ranges = run.snapshot.iter_mut().flat_map(|snapshot| &mut snapshot.ranges);
                ranges.filter(|range| range.table == *table).for_each(|range| range.done = false);
                // Rows of before an earlier try stay readable until this one is through; what it
                // brought itself goes with them.
                if has_older {
                    run.tables.entry(table.clone()).or_default().fresh_from = None;
                }
            })?;
            if begun && !has_older {
                let (storing, table) = (Arc::clone(&self.storing), table.clone());
                blocking(move || storing.empty(&table, None, None)).await??;
            }
        }
        let next = self.copy.engine.next_seq().0;
        self.copy.change(|run| {
            for table in missing {
                let table = run.tables.entry(table.clone()).or_default();
                table.fresh_from.get_or_insert(next);
            }
        })
    }

    fn keep_snapshot(&self, snapshot: &dyn Snapshot) -> Result<Vec<StoredRange>, Trouble> {
        self.copy.change(|run| {
            let before = run.snapshot.take();
            let is_done = |range: &Range| {
                let known = before.iter().flat_map(|before| &before.ranges);
                let mut known = known.filter(|k| k.table == range.table && k.lane == range.lane);
                known.next().is_some_and(|known| known.done)
            };
            let ranges: Vec<StoredRange> = snapshot
                .ranges()
                .iter()
                .map(|range| StoredRange { done: is_done(range), ..StoredRange::of(range) })
                .collect();
            let start = match &before {
                Some(before) => before.start.clone(),
                None => to_hex(&snapshot.start()),
            };
            // What is followed already goes on where it is.
            run.reached.get_or_insert(start.clone());
            run.snapshot = Some(StoredSnapshot { start, ranges: ranges.clone() });
            ranges
        })
    }

    async fn read_range(
        &self,
        snapshot: Arc<dyn Snapshot>,
        range: Range,
        after: Option<Position>,
    ) -> Result<Range, Trouble> {
        let (out, mut pieces) = mpsc::channel::<Piece>(PIECES_WAITING);
        let mut read = EndedWithUs(tokio::spawn({
            let range = range.clone();
            async move { snapshot.read(&range, after.as_ref(), &out).await }
        }));
        while let Some(piece) = pieces.recv().await {
            if self.copy.is_stopped() {
                return Err(Trouble::Stopped);
            }
            let storing = Arc::clone(&self.storing);
            let rows = piece.rows.len() as u64;
            let table = piece.table.clone();
            blocking(move || storing.store(&piece)).await??;
            self.copy.count_read(&table, rows);
        }
        let read =
            (&mut read.0).await.map_err(|_| Trouble::Pause("reading a range panicked".into()))?;
        read?;
        Ok(range)
    }

    /// Rows of an earlier snapshot that this one did not have are gone at the source.
    async fn end_tables(&self, missing: &[String], snapshot: &dyn Snapshot) -> Result<(), Trouble> {
        let view = snapshot.view();
        for table in missing {
            let known = self.copy.run().and_then(|run| run.tables.get(table).cloned());
            let fresh = known.as_ref().and_then(|table| table.fresh_from);
            let is_ours = known.is_some_and(|table| table.anew > 0);
            let had_rows = snapshot.is_whole() && self.storing.had_rows(table);
            if had_rows && (self.storing.has_key(table) || is_ours) {
                let (storing, table) = (Arc::clone(&self.storing), table.clone());
                blocking(move || storing.empty(&table, fresh.map(model::Seq), None)).await??;
            }
        }
        let floors: BTreeMap<&String, bool> =
            missing.iter().map(|table| (table, self.storing.has_key(table))).collect();
        self.copy.change(|run| {
            for (table, has_key) in floors {
                let table = run.tables.entry(table.clone()).or_default();
                table.floor = (!has_key).then(|| to_hex(&view));
                table.copied = true;
                table.fresh_from = None;
            }
            run.snapshot = None;
        })
    }

    async fn follow(&mut self) -> Result<(), Trouble> {
        let run = self.copy.run().ok_or(Trouble::Stopped)?;
        let from = run.reached.as_deref().and_then(from_hex);
        let from = from.ok_or_else(|| Trouble::Anew("where it stood was not kept".into()))?;
        let marks = self.floors(self.storing.marks()?, &run.tables);
        let mut following = self.source.follow(&self.storing.wanted(), &from, &marks).await?;
        self.copy.do_now(Doing::Following);
        let mut keeping = Keeping { reached: from.clone(), kept: from, at: Instant::now() };
        let mut gathered: Vec<Event> = Vec::new();
        let mut bytes = 0;
        let mut described = Instant::now();
        loop {
            let event = tokio::select! {
                event = following.next() => event?,
                () = self.copy.stopped() => {
                    return self.keep(&mut *following, &mut keeping).await;
                }
            };
            let is_barrier = matches!(event, Event::Reached(_) | Event::Idle);
            if let Event::Schema { table, what } = &event {
                self.note(table, what)?;
            } else if !is_barrier {
                if let Event::Rows(piece) = &event {
                    bytes += piece.rows.bytes();
                }
                gathered.push(event);
                if gathered.len() < 64 && bytes < GATHERED_BYTES {
                    continue;
                }
                bytes = 0;
                self.store_all(std::mem::take(&mut gathered)).await?;
                self.copy.note_lag(following.lag());
                continue;
            }
            bytes = 0;
            self.store_all(std::mem::take(&mut gathered)).await?;
            if let Event::Reached(position) = event {
                following.stored(&position).await?;
                keeping.reached = keeping.reached.max(position);
            }
            self.copy.note_lag(following.lag());
            if keeping.at.elapsed() >= KEEP_EVERY {
                self.keep(&mut *following, &mut keeping).await?;
                if self.source.is_cheap_to_describe() && described.elapsed() >= DESCRIBE_EVERY {
                    described = Instant::now();
                    let tables = self.source.describe().await?;
                    self.copy.tell_new_tables(&self.file, &tables)?;
                }
                if self.copy.is_over(&self.file) {
                    return Err(Trouble::Later("the purpose of a column has ended".into()));
                }
            }
        }
    }

    /// Keeps where it stands, and only then lets the source forget.
    async fn keep(&self, following: &mut dyn Follow, keeping: &mut Keeping) -> Result<(), Trouble> {
        keeping.at = Instant::now();
        if keeping.kept < keeping.reached {
            let reached = to_hex(&keeping.reached);
            let copy = Arc::clone(&self.copy);
            blocking(move || copy.change(|run| run.reached = Some(reached))).await??;
            keeping.kept = keeping.reached.clone();
        }
        following.acknowledge(&keeping.kept).await?;
        Ok(())
    }

    /// Stores events: of one table in order, of several tables at once.
    async fn store_all(&self, events: Vec<Event>) -> Result<(), Trouble> {
        let mut by_table: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        for event in events {
            let table = match &event {
                Event::Rows(piece) => piece.table.clone(),
                Event::Truncate { table, .. } => table.clone(),
                Event::Schema { .. } | Event::Reached(_) | Event::Idle => continue,
            };
            by_table.entry(table).or_default().push(event);
        }
        let storing = by_table.into_values().map(|events| {
            let storing = Arc::clone(&self.storing);
            blocking(move || -> Result<(), EngineError> {
                for event in events {
                    match event {
                        Event::Rows(piece) => storing.store(&piece)?,
                        Event::Truncate { table, lane, position } => {
                            storing.empty(&table, None, Some((&lane, &position)))?;
                        }
                        Event::Schema { .. } | Event::Reached(_) | Event::Idle => {}
                    }
                }
                Ok(())
            })
        });
        for stored in futures::future::join_all(storing).await {
            stored??;
        }
        Ok(())
    }

    fn floors(&self, mut marks: Marks, tables: &BTreeMap<String, StoredTable>) -> Marks {
        for (name, table) in tables {
            if let Some(floor) = table.floor.as_deref().and_then(from_hex) {
                marks.raise(name, "", floor);
            }
        }
        marks
    }

    fn note(&self, table: &str, what: &str) -> Result<(), Trouble> {
        // Told anew with each start: what is new to the file stays so until a new version.
        let about = |what: &str| what.split('`').nth(1).map(str::to_owned);
        let known = self.copy.run().is_some_and(|run| {
            let mut notes = run.notes.iter().rev();
            let last = notes.find(|note| note.table == table && about(&note.what) == about(what));
            last.is_some_and(|note| note.what == what)
        });
        if known {
            return Ok(());
        }
        tracing::warn!(copy = self.copy.name, table, what, "the source changed");
        let at = self.copy.engine.now().0;
        let note = StoredNote { at, table: table.to_owned(), what: what.to_owned() };
        self.copy.change(|run| {
            run.notes.push(note);
            let excess = run.notes.len().saturating_sub(NOTES_MAX);
            run.notes.drain(..excess);
        })
    }
}

/// A task that ends with whoever waits for it: one that reads keeps the source's view open.
struct EndedWithUs<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for EndedWithUs<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far it is kept where a copy stands.
struct Keeping {
    reached: Position,
    kept: Position,
    at: Instant,
}

/// Work for a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Trouble::Pause("storing panicked; this is a defect, please report it".into()))
}
