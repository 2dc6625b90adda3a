//! When tiles are made: with a segment that a merge makes, or behind everybody's back for those
//! that were flushed and for older ones.

use super::{TileFile, TileMaker, Tiles};
use crate::StoreError;
use crate::catalog::SegmentRecord;
use crate::read::{ReadError, View};
use crate::sealed_file::{FrameCache, SealedError, SealedReader, SealedWriter};
use crate::store::{
    Inner, LiveSegment, SEGMENT_PURPOSE, StoreSettings, TILES_EXTENSION, TableStore,
    tiles_identity, tiles_path,
};
use model::{SegmentId, Table, TableId};
use std::io;
use std::sync::Arc;
use std::time::Duration;

impl Inner {
    /// Whoever makes tiles, if somebody does.
    fn tile_maker(&self) -> Option<Arc<dyn TileMaker>> {
        self.tile_maker.read().clone()
    }

    /// Makes the tiles of a segment that no commit names yet. A segment without tiles is answered
    /// from its rows, so that nothing that goes wrong here holds the segment up.
    pub(crate) fn tile_new(&self, table: &Arc<Table>, live: &LiveSegment) {
        let Some(maker) = self.tile_maker() else { return };
        if let Err(error) = self.tile_segment(&*maker, table, live) {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            tracing::warn!(segment_id = %live.record.id, %error, cause, "no tiles were made");
        }
    }

    /// Makes the tiles of one segment that lacks some; says whether there was one. Passes over what
    /// was only flushed while the table was flushed less than `quiet` ago.
    pub(crate) fn tile(&self, store: &TableStore, quiet: Duration) -> Result<bool, StoreError> {
        let Some(maker) = self.tile_maker() else { return Ok(false) };
        // The owner's: a segment must not be merged away while its tiles are written.
        let _owner = store.owner.lock();
        let (table, segments) = {
            let state = store.state.lock();
            if state.dropped {
                return Ok(false);
            }
            let is_busy = state.flushed.is_some_and(|flushed| flushed.elapsed() < quiet);
            let segments = state.segments.iter().filter(|live| !is_busy || live.record.level > 0);
            (Arc::clone(&state.table), segments.cloned().collect::<Vec<_>>())
        };
        for live in &segments {
            if self.tile_segment(&*maker, &table, live)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes what the tiles of a segment lack; says whether there was anything.
    ///
    /// A segment with deleted rows gets none, since they count every row; nor does one that is
    /// stored as it was before a ruling, since it is written anew.
    fn tile_segment(
        &self,
        maker: &dyn TileMaker,
        table: &Arc<Table>,
        live: &LiveSegment,
    ) -> Result<bool, StoreError> {
        if !live.dead.is_empty() || live.record.rules != table.schema.rules() {
            return Ok(false);
        }
        let wanted = maker.wanted(table);
        if live.segment.has_all_tiles_of(&wanted) {
            return Ok(false);
        }
        let old = live.segment.tiles();
        let knows = |key: &String| old.as_ref().is_some_and(|old| old.knows(key));
        let missing: Vec<String> = wanted.iter().filter(|key| !knows(key)).cloned().collect();
        if missing.is_empty() {
            live.segment.note_all_tiles_of(&wanted);
            return Ok(false);
        }
        let (rows, dead) = (Arc::clone(&live.segment), Arc::clone(&live.dead));
        let view = Arc::new(View::new(Arc::clone(table), rows, dead));
        let made = maker.make(&view, &missing)?;
        let mut tiles: Tiles = missing.into_iter().zip(made).collect();
        for key in &*wanted {
            if let Some(old) = old.as_ref().filter(|old| old.knows(key)) {
                // A damaged file is given up: the next try makes all of it anew.
                let bytes = old.read(key).inspect_err(|_| live.segment.set_tiles(None))?;
                tiles.insert(key.clone(), bytes);
            }
        }
        self.write_tiles(table.id, live, &tiles)?;
        let kept = tiles.values().flatten();
        let bytes: usize = kept.map(Vec::len).sum();
        tracing::info!(segment_id = %live.record.id, tiles = tiles.len(), bytes, "tiles made");
        Ok(true)
    }

    /// Puts a file of tiles in the place of the one that is there, whole or not at all.
    fn write_tiles(
        &self,
        table: TableId,
        live: &LiveSegment,
        tiles: &Tiles,
    ) -> Result<(), StoreError> {
        let (disk, keys) = (&self.settings.disk, &self.settings.keys);
        let id = live.record.id;
        let path = tiles_path(&self.settings.dir, id);
        // No commit names it: a crash leaves what the next start removes.
        let fresh = path.with_extension(format!("new.{TILES_EXTENSION}"));
        match disk.remove(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let identity = tiles_identity(table, id);
        let sealed = SealedWriter::create(disk, &fresh, keys, SEGMENT_PURPOSE, &identity)?;
        TileFile::write(sealed, live.record.rows, tiles)?;
        disk.rename(&fresh, &path)?;
        disk.sync_dir(crate::disk::folder_of(&path))?;
        attach_tiles(&self.settings, live, &self.frames);
        Ok(())
    }

    /// Removes the tiles of a segment that is gone.
    pub(crate) fn remove_tiles(&self, id: SegmentId) -> io::Result<()> {
        match self.settings.disk.remove(&tiles_path(&self.settings.dir, id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Opens the tiles of a segment.
fn open(
    settings: &StoreSettings,
    record: &SegmentRecord,
    frames: &Arc<FrameCache>,
) -> Result<TileFile, SealedError> {
    let sealed = SealedReader::open(
        &settings.disk,
        &tiles_path(&settings.dir, record.id),
        &settings.keys,
        SEGMENT_PURPOSE,
        &tiles_identity(record.table, record.id),
        Arc::clone(frames),
    )?;
    let path = sealed.path().to_owned();
    TileFile::open(sealed, record.rows).map_err(|source| SealedError::Io { path, source })
}

/// Reads every tile of a segment.
pub(crate) fn read_all(
    settings: &StoreSettings,
    record: &SegmentRecord,
    frames: &Arc<FrameCache>,
) -> Result<(), ReadError> {
    let file = open(settings, record, frames).map_err(|error| ReadError::damaged(&error))?;
    for key in file.keys() {
        file.read(key).map_err(|error| ReadError::damaged(&error))?;
    }
    Ok(())
}

/// Has a segment read the file of its tiles, if there is one. A file that does not open is named
/// in the log and made anew: rows say the same.
pub(crate) fn attach_tiles(settings: &StoreSettings, live: &LiveSegment, frames: &Arc<FrameCache>) {
    match open(settings, &live.record, frames) {
        Ok(file) => live.segment.set_tiles(Some(Arc::new(file))),
        Err(SealedError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let (segment_id, error) = (live.record.id, ReadError::damaged(&error));
            tracing::error!(%segment_id, %error, "tiles do not open; rows are read instead");
        }
    }
}
