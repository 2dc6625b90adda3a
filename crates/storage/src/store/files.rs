//! The files of segments and of their tiles: where they are, what they are sealed as, how they open.

use super::{Inner, LiveSegment, StoreSettings};
use crate::StoreError;
use crate::catalog::SegmentRecord;
use crate::column_cache::ColumnCache;
use crate::disk::Disk;
use crate::sealed_file::{FrameCache, SealedReader};
use crate::segment::Segment;
use crate::tiles::attach_tiles;
use model::{SegmentId, Table, TableId};
use roaring::RoaringBitmap;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The purpose under which segment keys are wrapped.
pub(crate) const SEGMENT_PURPOSE: &str = "segment";
pub(crate) const SEGMENT_EXTENSION: &str = "segment";
pub(crate) const TILES_EXTENSION: &str = "tiles";

impl Inner {
    /// The path of a segment's file.
    pub(crate) fn segment_path(&self, id: SegmentId) -> PathBuf {
        segment_path(&self.settings.dir, id)
    }

    /// A writer for a new segment's file.
    pub(crate) fn new_segment_file(
        &self,
        table: TableId,
        id: SegmentId,
    ) -> Result<crate::sealed_file::SealedWriter, StoreError> {
        Ok(crate::sealed_file::SealedWriter::create(
            &self.settings.disk,
            &self.segment_path(id),
            &self.settings.keys,
            SEGMENT_PURPOSE,
            &identity(table, id),
        )?)
    }

    /// Opens a segment that was just written.
    pub(crate) fn open_segment(
        &self,
        table: &Table,
        record: SegmentRecord,
    ) -> Result<LiveSegment, StoreError> {
        open_segment(&self.settings, table, record, &self.columns, &self.frames)
    }

    /// A reader of a segment's file, for a merge.
    pub(crate) fn reopen(
        &self,
        table: &Table,
        record: &SegmentRecord,
    ) -> Result<Segment, StoreError> {
        let sealed = sealed_reader(&self.settings, table.id, record.id, &self.frames)?;
        Ok(Segment::open(table, record.rules, sealed, &self.columns)?)
    }
}

fn segment_path(dir: &Path, id: SegmentId) -> PathBuf {
    dir.join("segments").join(file_name(id))
}

pub(crate) fn file_name(id: SegmentId) -> String {
    format!("{id}.{SEGMENT_EXTENSION}")
}

/// Where the tiles of a segment are.
pub(crate) fn tiles_path(dir: &Path, id: SegmentId) -> PathBuf {
    dir.join("segments").join(tiles_name(id))
}

pub(crate) fn tiles_name(id: SegmentId) -> String {
    format!("{id}.{TILES_EXTENSION}")
}

/// What the file of a segment's tiles is for ever.
pub(crate) fn tiles_identity(table: TableId, id: SegmentId) -> String {
    format!("{} tiles", identity(table, id))
}

/// What a segment's file is for ever: it opens for no other table and under no other number.
fn identity(table: TableId, id: SegmentId) -> String {
    format!("table {} segment {id}", table.0)
}

pub(crate) fn sealed_reader(
    settings: &StoreSettings,
    table: TableId,
    id: SegmentId,
    frames: &Arc<FrameCache>,
) -> Result<SealedReader, StoreError> {
    let path = segment_path(&settings.dir, id);
    SealedReader::open(
        &settings.disk,
        &path,
        &settings.keys,
        SEGMENT_PURPOSE,
        &identity(table, id),
        Arc::clone(frames),
    )
    .map_err(|error| crate::ReadError::damaged(&error).into())
}

pub(super) fn open_segment(
    settings: &StoreSettings,
    table: &Table,
    record: SegmentRecord,
    columns: &Arc<ColumnCache>,
    frames: &Arc<FrameCache>,
) -> Result<LiveSegment, StoreError> {
    let sealed = sealed_reader(settings, table.id, record.id, frames)?;
    let segment = Segment::open(table, record.rules, sealed, columns)?;
    let other = |what: &str| {
        let path = segment_path(&settings.dir, record.id);
        crate::ReadError::Damaged(format!("`{}` {what} the catalog says", path.display()))
    };
    if segment.rows() != record.rows {
        return Err(other("has not as many rows as").into());
    }
    let saved = match &record.deletes {
        Some(bytes) => RoaringBitmap::deserialize_from(bytes.as_slice())
            .map_err(|_| other("has not the deletes that"))?,
        None => RoaringBitmap::new(),
    };
    if saved.max().is_some_and(|last| last >= record.rows) {
        return Err(other("has not as many rows as the deletes in").into());
    }
    let saved = Arc::new(saved);
    let dead = Arc::clone(&saved);
    let live = LiveSegment { record, segment: Arc::new(segment), dead, saved };
    attach_tiles(settings, &live, frames);
    Ok(live)
}

/// Removes files of segments, and of their tiles, that no commit names: a crash came between file
/// and commit.
pub(super) fn remove_orphans(
    disk: &dyn Disk,
    dir: &Path,
    known: &HashSet<OsString>,
) -> Result<(), StoreError> {
    for name in disk.list(dir)? {
        let path = dir.join(&name);
        let is_ours = path.extension().is_some_and(|extension| {
            extension == SEGMENT_EXTENSION || extension == TILES_EXTENSION
        });
        if is_ours && !known.contains(&name) {
            disk.remove(&path)?;
        }
    }
    Ok(())
}
