//! Compares what was copied with its source. Rows change meanwhile, so what differs is looked at
//! again before it is told.

use crate::copies::Copy;
use crate::file::CopyFile;
use crate::runner::Trouble;
use crate::store::Storing;
use crate::{Piece, Range, Source, SourceError, registry};
use engine::EngineError;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// So often what differs is looked at.
const PASSES: usize = 4;
/// So long is waited before it is looked at again.
const PAUSE: Duration = Duration::from_secs(2);
/// So many keys are named for each table.
const KEYS_MAX: usize = 20;

/// What was found of one table.
#[derive(Default)]
struct Found {
    at_source: u64,
    /// The `_id`s that differed every time.
    differing: BTreeSet<String>,
}

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
    let storing = Storing::begin(copy, &file, &version, &described).map_err(told)?;
    let storing = Arc::new(storing);
    let stored_before = copy.live.lock().rows;
    let mut ranges: Option<Vec<Range>> = None;
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for pass in 0..PASSES {
        let differing = look(&*source, &storing, &mut ranges, pass == 0, &mut found).await?;
        if differing.is_empty() {
            break;
        }
        ranges = Some(differing);
        if pass + 1 < PASSES {
            tokio::time::sleep(PAUSE).await;
        }
    }
    // Counts are not of one moment: they may differ by what was stored meanwhile.
    let meanwhile = copy.live.lock().rows - stored_before;
    let mut tables = Vec::new();
    let mut equal = true;
    for (table, found) in &found {
        let here = storing.rows_here(table)?;
        let keys: Vec<&String> = found.differing.iter().take(KEYS_MAX).collect();
        equal &= found.differing.is_empty();
        equal &= !storing.has_key(table) || here.abs_diff(found.at_source) <= meanwhile;
        tables.push(json!({
            "table": table,
            "rows_at_source": found.at_source,
            "rows_here": here,
            "differing": found.differing.len(),
            "keys": keys,
        }));
    }
    Ok(json!({ "equal": equal, "tables": tables }))
}

/// Looks at ranges, the first time at all, and gives those in which something differs.
async fn look(
    source: &dyn Source,
    storing: &Arc<Storing>,
    ranges: &mut Option<Vec<Range>>,
    is_first: bool,
    found: &mut BTreeMap<String, Found>,
) -> Result<Vec<Range>, EngineError> {
    let before = ranges.take().unwrap_or_default();
    let snapshot = source.snapshot(&storing.wanted(), &before).await.map_err(failed)?;
    let now = match is_first {
        true => snapshot.ranges(),
        false => before,
    };
    let snapshot: Arc<dyn crate::Snapshot> = Arc::from(snapshot);
    let mut differing: Vec<Range> = Vec::new();
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for range in now {
        if !storing.has_key(&range.table) {
            continue;
        }
        let (out, mut pieces) = mpsc::channel::<Piece>(2);
        let reading = tokio::spawn({
            let (snapshot, range) = (Arc::clone(&snapshot), range.clone());
            async move { snapshot.read(&range, None, &out).await }
        });
        let mut differ = false;
        while let Some(piece) = pieces.recv().await {
            let storing = Arc::clone(storing);
            let of_table = found.entry(piece.table.clone()).or_default();
            if is_first {
                of_table.at_source += piece.rows.len() as u64;
            }
            let table = piece.table.clone();
            let compared = tokio::task::spawn_blocking(move || storing.compare(&piece)).await;
            let other = compared.map_err(|_| EngineError::internal("comparing panicked"))??;
            differ |= !other.is_empty();
            keys.entry(table).or_default().extend(other);
        }
        let read = reading.await.map_err(|_| EngineError::internal("reading panicked"))?;
        read.map_err(failed)?;
        found.entry(range.table.clone()).or_default();
        if differ {
            differing.push(range);
        }
    }
    for (table, found) in found.iter_mut() {
        let keys = keys.remove(table).unwrap_or_default();
        found.differing = match is_first {
            true => keys,
            false => found.differing.intersection(&keys).cloned().collect(),
        };
    }
    Ok(differing)
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
