//! Looks for texts in every file of the store, to prove that something is gone.

use crate::StoreError;
use crate::log::{Log, LogFrame};
use crate::segment::Segment;
use crate::store::Store;
use std::collections::BTreeSet;

/// Texts to look for, in whatever case.
pub(crate) struct Needles {
    lower: Vec<Vec<u8>>,
}

impl Needles {
    fn new(texts: &[&str]) -> Needles {
        let texts = texts.iter().filter(|text| !text.is_empty());
        Needles { lower: texts.map(|text| text.to_ascii_lowercase().into_bytes()).collect() }
    }

    /// Whether any of them stands in `bytes`.
    pub(crate) fn are_in(&self, bytes: &[u8]) -> bool {
        let lower = bytes.to_ascii_lowercase();
        self.lower.iter().any(|needle| lower.windows(needle.len()).any(|part| part == needle))
    }
}

impl Store {
    /// Decrypts and reads every segment and the whole log, also rows that are deleted, and names
    /// the files that hold any of `texts`: `segments/…`, `log`. A file of segments that no table
    /// has is named as well. Texts that are sealed value by value are not seen. Nothing is flushed,
    /// merged or rewritten meanwhile.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn files_with(&self, texts: &[&str]) -> Result<Vec<String>, StoreError> {
        let needles = Needles::new(texts);
        let mut found = BTreeSet::new();
        let mut known = BTreeSet::new();
        let tables = self.inner().all();
        let _owners: Vec<_> = tables.iter().map(|table| table.owner.lock()).collect();
        let _working: Vec<_> = tables.iter().map(|table| table.working.lock()).collect();
        for table in &tables {
            let (segments, shadows) = {
                let state = table.state.lock();
                (state.segments.clone(), state.shadows.values().cloned().collect::<Vec<_>>())
            };
            for live in segments.into_iter().chain(shadows) {
                // Tiles hold numbers in the place of strings, but for the literals of what is declared.
                if let Some(tiles) = live.segment.tiles() {
                    let name = crate::store::tiles_name(live.record.id);
                    if tiles.mention(&needles)? {
                        found.insert(format!("segments/{name}"));
                    }
                    known.insert(name);
                }
                let name = crate::store::file_name(live.record.id);
                if live.segment.mentions(&needles)? {
                    found.insert(format!("segments/{name}"));
                }
                known.insert(name);
            }
        }
        let settings = &self.inner().settings;
        for name in settings.disk.list(&settings.dir.join("segments"))? {
            let name = name.to_string_lossy().into_owned();
            if !known.contains(&name) {
                found.insert(format!("segments/{name}"));
            }
        }
        let see = |frame: LogFrame| {
            if needles.are_in(&frame.payload) {
                found.insert("log".to_owned());
            }
            Ok::<(), StoreError>(())
        };
        Log::read(&*settings.disk, &settings.dir.join("log"), &settings.keys, see)?;
        Ok(found.into_iter().collect())
    }
}

impl Segment {
    /// Whether a term, a distinct string of a column or a stored value holds a needle.
    fn mentions(&self, needles: &Needles) -> Result<bool, StoreError> {
        let mut found = false;
        self.each_text(&mut |bytes| found |= needles.are_in(bytes))?;
        Ok(found)
    }
}
