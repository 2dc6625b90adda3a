//! Reads everything that a store keeps and says what is not as it was written.

use crate::StoreError;
use crate::catalog::Catalog;
use crate::sealed_file::FrameCache;
use crate::store::{StoreSettings, sealed_reader, tiles_path};
use std::sync::Arc;

/// How much of a file is read at once.
const STRIDE: u64 = 4 << 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Tables that are not dropped.
    pub tables: usize,
    /// Segments that the catalog names.
    pub segments: usize,
    /// Bytes of their content.
    pub bytes: u64,
    /// One sentence for each file that is missing, damaged, or in the place of another.
    pub problems: Vec<String>,
}

/// Opens the catalog, which checks every row of it, and every frame of every segment. Changes
/// nothing. No server may have the store open.
///
/// # Errors
/// If the catalog does not open; damaged segments are named in the answer.
pub fn verify(settings: &StoreSettings) -> Result<Verified, StoreError> {
    let catalog = Catalog::open(&settings.dir.join("catalog.db"), &settings.keys)?;
    let mut found = Verified { tables: catalog.tables()?.len(), ..Verified::default() };
    let frames = Arc::new(FrameCache::new(1 << 20));
    for record in catalog.segments()? {
        found.segments += 1;
        let read = sealed_reader(settings, record.table, record.id, &frames).and_then(|file| {
            for start in (0..file.len()).step_by(STRIDE as usize) {
                let end = (start + STRIDE).min(file.len());
                file.read_range(start..end).map_err(|error| crate::ReadError::damaged(&error))?;
            }
            Ok(file.len())
        });
        match read {
            Ok(bytes) => found.bytes += bytes,
            Err(error) => found.problems.push(with_causes(&error)),
        }
        let tiles = tiles_path(&settings.dir, record.id);
        if settings.disk.try_exists(&tiles)?
            && let Err(error) = crate::tiles::read_all(settings, &record, &frames)
        {
            let why = with_causes(&error);
            found.problems.push(format!("{why}; remove the file, it is made again"));
        }
    }
    Ok(found)
}

/// The error and what caused it, in one line: the inner ones name the file.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
