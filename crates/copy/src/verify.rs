//! Compares what was copied with its source.
//!
//! Every row of the source is compared with the one that is stored; counts and keyed checksums of
//! names, range by range, say where rows may be that only we have. Rows change meanwhile, so what
//! differs is looked at again, after the copy had time to catch up. It is told if the row and what
//! is stored of it stayed as they were between two looks: then no change was on its way.

mod checksums;
mod found;

use crate::copies::Copy;
use crate::file::CopyFile;
use crate::live::Doing;
use crate::runner::Trouble;
use crate::store::Storing;
use crate::{Piece, Range, Snapshot, Source, SourceError, registry};
use engine::EngineError;
use found::Found;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// So often what differs is looked at.
const PASSES: usize = 5;
/// So long is waited before it is looked at again, …
const PAUSE: Duration = Duration::from_secs(2);
/// … and up to so long for the copy to store what happened before.
const CATCH_UP: Duration = Duration::from_secs(30);

/// All tables of a copy.
pub(crate) async fn all(copy: &Arc<Copy>) -> Result<Json, EngineError> {
    let version = copy.version_to_run().map_err(EngineError::illegal_argument)?;
    let file = CopyFile::parse(&version.yaml)
        .map_err(|error| EngineError::illegal_argument(error.to_string()))?;
    let secret = match &file.secret {
        Some(name) => Some(copy.engine.source_secret(name)?),
        None => None,
    };
    let source = registry::open(&file.kind, &file.settings, &file.name, secret)
        .map_err(EngineError::illegal_argument)?;
    let described = source.describe().await.map_err(failed)?;
    let storing = Arc::new(Storing::begin(copy, &file, &described).map_err(told)?);
    let mut looking = Looking { source, storing, ranges: Vec::new(), found: BTreeMap::new() };
    for table in looking.storing.names() {
        let here = looking.storing.rows_here(table)?;
        let has_key = looking.storing.has_key(table);
        looking.found.insert(table.clone(), Found::new(has_key, here));
    }
    for pass in 0..PASSES {
        looking.look(pass == 0).await?;
        if looking.found.values().all(Found::is_settled) {
            break;
        }
        if pass + 1 < PASSES {
            catch_up(copy).await;
        }
    }
    let tables: Vec<Json> = looking
        .found
        .iter()
        .map(|(table, found)| Ok(found.to_json(table, looking.storing.rows_here(table)?)))
        .collect::<Result<_, EngineError>>()?;
    let equal = tables.iter().all(|table| table["equal"] == json!(true));
    Ok(json!({ "equal": equal, "following": is_following(copy), "tables": tables }))
}

/// Waits until what happened at the source before now is stored, if the copy follows.
async fn catch_up(copy: &Copy) {
    let since = Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        let lag = copy.live.lock().lag.time.unwrap_or_default();
        let has_caught_up = since.elapsed() > lag + PAUSE / 2;
        if has_caught_up || !is_following(copy) || since.elapsed() > CATCH_UP {
            return;
        }
    }
}

fn is_following(copy: &Copy) -> bool {
    copy.live.lock().doing == Doing::Following
}

/// One verification.
struct Looking {
    source: Arc<dyn Source>,
    storing: Arc<Storing>,
    /// All ranges of the source.
    ranges: Vec<Range>,
    found: BTreeMap<String, Found>,
}

impl Looking {
    /// Looks at all rows, or again at those of ranges in which something differed.
    async fn look(&mut self, is_first: bool) -> Result<(), EngineError> {
        for (table, found) in &mut self.found {
            let storing = &self.storing;
            found.begin_pass(|visit| storing.visit_ids(table, visit))?;
        }
        let snapshot = self.source.snapshot(&self.storing.wanted(), &self.ranges).await;
        let snapshot: Arc<dyn Snapshot> = Arc::from(snapshot.map_err(failed)?);
        if is_first {
            self.ranges = snapshot.ranges();
        }
        for range in &self.ranges {
            let Some(found) = self.found.get_mut(&range.table) else { continue };
            if found.wants(&range.lane) {
                read(&self.storing, &snapshot, range, found).await?;
            }
        }
        for (table, found) in &mut self.found {
            let storing = &self.storing;
            found.end_pass(|visit| storing.visit_ids(table, visit))?;
        }
        Ok(())
    }
}

/// Compares the rows of one range.
async fn read(
    storing: &Arc<Storing>,
    snapshot: &Arc<dyn Snapshot>,
    range: &Range,
    found: &mut Found,
) -> Result<(), EngineError> {
    let (out, mut pieces) = mpsc::channel::<Piece>(2);
    let reading = tokio::spawn({
        let (snapshot, range) = (Arc::clone(snapshot), range.clone());
        async move { snapshot.read(&range, None, &out).await }
    });
    while let Some(piece) = pieces.recv().await {
        let storing = Arc::clone(storing);
        let compared = tokio::task::spawn_blocking(move || storing.compare(&piece)).await;
        let (compared, other) =
            compared.map_err(|_| EngineError::internal("comparing panicked"))??;
        found.take(&range.lane, &compared, other);
    }
    let read = reading.await.map_err(|_| EngineError::internal("reading panicked"))?;
    read.map_err(failed)
}

fn failed(error: SourceError) -> EngineError {
    EngineError::new(502, "source_exception", error.to_string())
}

fn told(trouble: Trouble) -> EngineError {
    match trouble {
        Trouble::Later(why) | Trouble::Pause(why) | Trouble::Anew(why) => {
            EngineError::unavailable(why)
        }
        Trouble::Stopped => EngineError::unavailable("the copy stopped"),
    }
}
