//! What a frame of the log says.

use crate::StoreError;
use crate::mark::Mark;
use model::TableId;
use protection::SealedBatch;
use roaring::RoaringBitmap;

/// One frame of the log: a batch, its table, its numbers and the rows that were left out.
///
/// ```text
/// first row number u64, table u32, batch (protection's codec) length u64 and bytes,
/// number of rows left out u32, each u32; a mark (see `crate::mark`) or nothing
/// ```
pub(super) struct Entry {
    pub(super) table: TableId,
    pub(super) first_seq: u64,
    pub(super) batch: SealedBatch,
    pub(super) skipped: RoaringBitmap,
    pub(super) mark: Option<Mark>,
}

impl Entry {
    const BATCH_AT: usize = 20;

    pub(super) fn head(table: TableId) -> Vec<u8> {
        let mut payload = vec![0; Self::BATCH_AT];
        payload[8..12].copy_from_slice(&table.0.to_le_bytes());
        payload
    }

    pub(super) fn finish(
        payload: &mut Vec<u8>,
        first_seq: u64,
        skipped: &RoaringBitmap,
        mark: Option<&Mark>,
    ) {
        let batch_bytes = (payload.len() - Self::BATCH_AT) as u64;
        payload[..8].copy_from_slice(&first_seq.to_le_bytes());
        payload[12..20].copy_from_slice(&batch_bytes.to_le_bytes());
        payload.extend_from_slice(&(skipped.len() as u32).to_le_bytes());
        skipped.iter().for_each(|row| payload.extend_from_slice(&row.to_le_bytes()));
        if let Some(mark) = mark {
            mark.encode(payload);
        }
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Entry, StoreError> {
        let damaged = || StoreError::internal("a log frame that is no batch");
        let (first_seq, rest) = payload.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (table, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
        let (batch, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let skipped_bytes = (u32::from_le_bytes(*count) as usize).saturating_mul(4);
        let (skipped, rest) = rest.split_at_checked(skipped_bytes).ok_or_else(damaged)?;
        let mark = match rest {
            [] => None,
            _ => Some(Mark::decode(rest).ok_or_else(damaged)?.0),
        };
        let batch = SealedBatch::decode(batch).map_err(|_| damaged())?;
        let skipped = skipped.as_chunks::<4>().0.iter().map(|row| u32::from_le_bytes(*row));
        Ok(Entry {
            table: TableId(u32::from_le_bytes(*table)),
            first_seq: u64::from_le_bytes(*first_seq),
            batch,
            skipped: skipped.collect(),
            mark,
        })
    }
}
