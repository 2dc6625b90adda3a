//! Makes segments: from rows in memory, and from older segments.

use super::bloom::Bloom;
use super::layout::{self, Layout};
use super::pack::PackWriter;
use super::rows::{self, PreparedRows, RowAddress, RowDocument, Rows};
use crate::StoreError;
use crate::sealed_file::SealedWriter;
use model::Table;
use roaring::RoaringBitmap;
use std::sync::Arc;
use tantivy::directory::OwnedBytes;
use tantivy::directory::RamDirectory;
use tantivy::fastfield::{AliveBitSet, write_alive_bitset};
use tantivy::indexer::{SingleSegmentIndexWriter, merge_filtered_segments};
use tantivy::store::{Compressor, ZstdCompressor};
use tantivy::{BitSet, Index, IndexSettings, IndexSortByField, Order};

/// Memory for Tantivy's arena while a segment is built; it grows with the rows anyway.
const ARENA_BYTES: usize = 64 * 1024 * 1024;

/// What a new segment is, beside its file.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) rows: u32,
    pub(crate) min_seq: u64,
    pub(crate) max_seq: u64,
    pub(crate) has_given_ids: bool,
}

fn settings(sort: Option<IndexSortByField>) -> IndexSettings {
    IndexSettings {
        sort_by_field: sort,
        docstore_compression: Compressor::Zstd(ZstdCompressor { compression_level: Some(3) }),
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

fn add_rows(
    writer: &mut SingleSegmentIndexWriter<RowDocument>,
    table: &Table,
    layout: &Layout,
    batches: &[Arc<Rows>],
    order: &[RowAddress],
) -> Result<(), StoreError> {
    let prepared: Vec<Arc<PreparedRows>> =
        batches.iter().map(|batch| Arc::new(PreparedRows::new(batch, table, layout))).collect();
    for address in order {
        let source = &prepared[address.batch as usize];
        writer.add_document(RowDocument::new(source, address.row))?;
    }
    Ok(())
}

/// Builds a segment in memory over `order`: a searchable chunk of the buffer.
pub(crate) fn build_in_memory(
    table: &Table,
    layout: &Layout,
    batches: &[Arc<Rows>],
    order: &[RowAddress],
) -> Result<Index, StoreError> {
    let mut writer = Index::builder()
        .schema(layout.schema.clone())
        .settings(settings(None))
        .tokenizers(layout::tokenizers())
        .fast_field_tokenizers(layout::tokenizers())
        .single_segment_index_writer(RamDirectory::create(), ARENA_BYTES)?;
    add_rows(&mut writer, table, layout, batches, order)?;
    let mut index = writer.finalize()?;
    index.set_tokenizers(layout::tokenizers());
    Ok(index)
}

/// Builds a segment file over `order`, durable when this returns.
pub(crate) fn build_file(
    table: &Table,
    layout: &Layout,
    batches: &[Arc<Rows>],
    order: &[RowAddress],
    sealed: SealedWriter,
) -> Result<Written, StoreError> {
    let pack = PackWriter::new(sealed);
    let mut writer = Index::builder()
        .schema(layout.schema.clone())
        .settings(settings(None))
        .tokenizers(layout::tokenizers())
        .fast_field_tokenizers(layout::tokenizers())
        .single_segment_index_writer(pack.clone(), ARENA_BYTES)?;
    add_rows(&mut writer, table, layout, batches, order)?;
    let index = writer.finalize()?;
    let numbers = || order.iter().map(|at| batches[at.batch as usize].seqs[at.row as usize]);
    let given: Vec<&str> = order
        .iter()
        .filter_map(|at| batches[at.batch as usize].batch.rows[at.row as usize].id.as_deref())
        .collect();
    let bloom = (!given.is_empty()).then(|| {
        let mut bloom = Bloom::with_room_for(given.len());
        given.iter().for_each(|id| bloom.insert(id));
        bloom.to_bytes()
    });
    pack.finish(&segment_name(&index)?, order.len() as u32, bloom.as_deref())?;
    Ok(Written {
        rows: order.len() as u32,
        min_seq: numbers().min().unwrap_or(0),
        max_seq: numbers().max().unwrap_or(0),
        has_given_ids: bloom.is_some(),
    })
}

/// One segment that goes into a merge: its index under today's schema, and its dead rows.
pub(crate) struct MergeInput {
    pub(crate) index: Index,
    pub(crate) rows: u32,
    pub(crate) dead: Arc<RoaringBitmap>,
    /// The hashes of the given ids of the live rows; empty if it has none.
    pub(crate) given_ids: Vec<u64>,
    pub(crate) min_seq: u64,
    pub(crate) max_seq: u64,
    pub(crate) has_sort_column: bool,
}

/// Merges segments into one file in the order of the table, without their dead rows.
pub(crate) fn merge_files(
    table: &Table,
    layout: &Layout,
    inputs: &[MergeInput],
    sealed: SealedWriter,
) -> Result<Written, StoreError> {
    let sort = rows::sort_field(table).filter(|_| inputs.iter().all(|input| input.has_sort_column));
    let sort = sort.and_then(|(field, descending)| {
        let number = layout.slots(field).number?;
        Some(IndexSortByField {
            field: layout.column(number).to_owned(),
            order: if descending { Order::Desc } else { Order::Asc },
        })
    });
    let mut segments = Vec::with_capacity(inputs.len());
    let mut alive = Vec::with_capacity(inputs.len());
    let mut rows = 0_u64;
    for input in inputs {
        segments.extend(input.index.searchable_segments()?);
        alive.push(match input.dead.is_empty() {
            true => None,
            false => Some(alive_set(input.rows, &input.dead)?),
        });
        rows += u64::from(input.rows) - input.dead.len();
    }
    let pack = PackWriter::new(sealed);
    let index = merge_filtered_segments(&segments, settings(sort), alive, pack.clone())?;
    let given: usize = inputs.iter().map(|input| input.given_ids.len()).sum();
    let bloom = (given > 0).then(|| {
        let mut bloom = Bloom::with_room_for(given);
        let hashes = inputs.iter().flat_map(|input| &input.given_ids);
        hashes.for_each(|&hash| bloom.insert_hash(hash));
        bloom.to_bytes()
    });
    let rows = u32::try_from(rows).map_err(|_| StoreError::internal("merge of too many rows"))?;
    pack.finish(&segment_name(&index)?, rows, bloom.as_deref())?;
    Ok(Written {
        rows,
        min_seq: inputs.iter().map(|input| input.min_seq).min().unwrap_or(0),
        max_seq: inputs.iter().map(|input| input.max_seq).max().unwrap_or(0),
        has_given_ids: bloom.is_some(),
    })
}

fn alive_set(rows: u32, dead: &RoaringBitmap) -> Result<AliveBitSet, StoreError> {
    let mut alive = BitSet::with_max_value_and_full(rows);
    dead.iter().for_each(|row| alive.remove(row));
    let mut bytes = Vec::new();
    write_alive_bitset(&alive, &mut bytes)?;
    Ok(AliveBitSet::open(OwnedBytes::new(bytes)))
}

fn segment_name(index: &Index) -> Result<String, StoreError> {
    let segments = index.searchable_segment_ids()?;
    let id = segments.first().ok_or_else(|| StoreError::internal("an empty segment was built"))?;
    Ok(id.uuid_string())
}
