//! Which rows have a value, one bit each, with ranks: the way from a row to its value in two loads.
//!
//! Tantivy's own index over such rows is compact and made for single questions; a fold asks about
//! every row, where it costs more than the values themselves. The bits are made when a column is
//! first read and live as long as it does: 1.5 bits a row.

use crate::read::Block;
use tantivy::columnar::Column as TantivyColumn;
use tantivy::columnar::column_index::OptionalIndex;

/// The rows of a column that have a value.
pub(crate) struct Presence {
    words: Vec<u64>,
    /// For each word how many bits are set before it.
    before: Vec<u32>,
}

impl Presence {
    pub(crate) fn of(index: &OptionalIndex) -> Presence {
        let mut words = vec![0_u64; (index.num_docs() as usize).div_ceil(64) + 1];
        for row in index.iter_non_null_docs() {
            words[row as usize / 64] |= 1 << (row % 64);
        }
        let mut sum = 0;
        let before = words.iter().map(|word| {
            let here = sum;
            sum += word.count_ones();
            here
        });
        let before = before.collect();
        Presence { words, before }
    }

    #[inline]
    fn has(&self, row: u32) -> bool {
        self.words[row as usize / 64] >> (row % 64) & 1 == 1
    }

    /// How many rows before this one have a value. `row` may be the number of rows.
    #[inline]
    fn rank(&self, row: u32) -> u32 {
        let below = (1_u64 << (row % 64)) - 1;
        let word = row as usize / 64;
        self.before[word] + (self.words[word] & below).count_ones()
    }

    /// Calls `see` for every row of the block with its value, or with any value and `false`.
    pub(crate) fn each_first<T>(
        &self,
        column: &TantivyColumn<T>,
        block: Block<'_>,
        mut see: impl FnMut(usize, T, bool),
    ) where
        T: PartialOrd + Copy + Default + std::fmt::Debug + Send + Sync + 'static,
    {
        match block {
            Block::Run { start, len } => {
                let (from, to) = (self.rank(start), self.rank(start + len));
                // One more at the end for rows behind the last value: no branch below.
                let mut values = vec![column.values.min_value(); (to - from) as usize + 1];
                let (there, _) = values.split_at_mut((to - from) as usize);
                column.values.get_range(u64::from(from), there);
                let mut at = 0;
                for place in 0..len {
                    let present = self.has(start + place);
                    see(place as usize, values[at], present);
                    at += usize::from(present);
                }
            }
            Block::Rows(rows) => {
                let mut places = Vec::with_capacity(rows.len());
                let mut ranks = Vec::with_capacity(rows.len());
                for (place, &row) in rows.iter().enumerate() {
                    if self.has(row) {
                        places.push(place);
                        ranks.push(self.rank(row));
                    }
                }
                let mut values = vec![T::default(); ranks.len()];
                column.values.get_vals(&ranks, &mut values);
                places.iter().zip(values).for_each(|(&place, value)| see(place, value, true));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_the_rows_before() {
        let present = [0, 5, 63, 64, 127, 128, 299];
        let presence = Presence::of(&OptionalIndex::for_test(300, &present));
        for row in 0..=300 {
            let before = present.iter().filter(|&&other| other < row).count();
            assert_eq!(presence.rank(row) as usize, before, "row {row}");
            assert_eq!(row < 300 && presence.has(row), present.contains(&row), "row {row}");
        }
    }
}
