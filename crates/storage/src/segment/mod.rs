//! One immutable set of rows: a sealed file, or a chunk of the buffer in memory.

mod bloom;
mod columns;
mod layout;
mod matching;
mod pack;
mod presence;
mod rows;
mod scoring;
mod source;
mod writer;

pub use columns::{Column, KeywordColumn, MISSING, NumberColumn};

pub(crate) use layout::Layout;
pub(crate) use rows::{RowAddress, Rows, ordered};
pub(crate) use scoring::Statistics;
pub(crate) use writer::{MergeInput, Written, build_file, build_in_memory, merge_files};

use crate::Filter;
use crate::column_cache::{ColumnCache, DecodedTile};
use crate::ordinals::Ordinals;
use crate::read::{ReadError, Selection};
use crate::sealed_file::SealedReader;
use crate::tiles::TileFile;
use bloom::Bloom;
use model::{FieldId, FieldType, GeneratedId, Seq, StoredType, Table};
use pack::{CachedReads, Pack, PackDirectory};
use parking_lot::RwLock;
use roaring::RoaringBitmap;
use std::sync::Arc;
use tantivy::columnar::{ColumnIndex, DynamicColumn};
use tantivy::schema::{Field as TantivyField, IndexRecordOption};
use tantivy::{DocSet, Index, ReloadPolicy, Searcher, TERMINATED, Term};

/// Ids that are in memory at once while a merge collects their hashes.
const IDS_AT_ONCE: usize = 65_536;

/// A set of rows that never changes.
pub(crate) struct Segment {
    index: Index,
    searcher: Searcher,
    layout: Arc<Layout>,
    rows: u32,
    /// Which given ids it may hold; `None`: ask the index (chunks of the buffer).
    bloom: Option<Bloom>,
    has_given_ids: bool,
    /// The rules under which its rows are stored ([`model::Schema::rules`]).
    rules: u32,
    /// The field and direction that the rows stand in.
    sorted: Option<(FieldId, bool)>,
    /// The key of its columns and stretches in the cache.
    cache_key: u64,
    cache: Arc<ColumnCache>,
    /// What was computed over its rows beforehand; may come later than the segment.
    tiles: RwLock<Option<Arc<TileFile>>>,
    /// The list of wanted tiles that it was last found to have all of.
    has_all_of: RwLock<Option<Arc<[String]>>>,
}

impl Drop for Segment {
    /// Frees its columns: nobody else has their key. A table that is written and read makes a
    /// chunk of the buffer for every read, and each would leave its columns behind.
    fn drop(&mut self) {
        self.cache.forget(self.cache_key);
    }
}

/// Which of a field's columns a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Keyword(TantivyField),
    Text(TantivyField),
    Number(TantivyField, NumberKind),
    /// Stored bytes; the keyword slot marks the rows that have one.
    Sealed(TantivyField),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberKind {
    Long,
    Double,
    Bool,
}

impl Segment {
    /// Opens a segment file whose rows are stored under `rules`, under the table as it is today.
    pub(crate) fn open(
        table: &Table,
        rules: u32,
        sealed: SealedReader,
        cache: &Arc<ColumnCache>,
    ) -> Result<Segment, ReadError> {
        let pack = Arc::new(Pack::open(sealed)?);
        let layout = Arc::new(Layout::of(table));
        let bloom = match pack.bloom()? {
            Some(bytes) => Some(
                Bloom::from_bytes(&bytes)
                    .ok_or_else(|| ReadError::Damaged("its bloom filter is damaged".to_owned()))?,
            ),
            None => None,
        };
        let has_given_ids = bloom.is_some();
        let reads = CachedReads { cache: Arc::clone(cache), segment: cache.new_key() };
        let cache_key = reads.segment;
        let directory = PackDirectory::new(pack, reads, &layout.schema, layout.text_fields())?;
        let mut index = Index::open(directory)?;
        index.set_tokenizers(layout::tokenizers());
        index.set_fast_field_tokenizers(layout::tokenizers());
        let mut segment = Segment::over(index, layout, rules, cache, cache_key)?;
        segment.bloom = bloom;
        segment.has_given_ids = has_given_ids;
        segment.sorted = segment.sort_if_full(table)?;
        Ok(segment)
    }

    /// A chunk of the buffer. Its rows stand in the order of arrival.
    pub(crate) fn in_memory(
        index: Index,
        layout: Arc<Layout>,
        rules: u32,
        cache: &Arc<ColumnCache>,
    ) -> Result<Segment, ReadError> {
        let mut segment = Segment::over(index, layout, rules, cache, cache.new_key())?;
        segment.has_given_ids = true;
        Ok(segment)
    }

    fn over(
        index: Index,
        layout: Arc<Layout>,
        rules: u32,
        cache: &Arc<ColumnCache>,
        cache_key: u64,
    ) -> Result<Segment, ReadError> {
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let searcher = reader.searcher();
        let rows = searcher.segment_readers().first().map_or(0, |reader| reader.max_doc());
        Ok(Segment {
            index,
            searcher,
            layout,
            rows,
            bloom: None,
            has_given_ids: false,
            rules,
            sorted: None,
            cache_key,
            cache: Arc::clone(cache),
            tiles: RwLock::new(None),
            has_all_of: RwLock::new(None),
        })
    }

    fn sort_if_full(&self, table: &Table) -> Result<Option<(FieldId, bool)>, ReadError> {
        let Some((field, descending)) = rows::sort_field(table) else { return Ok(None) };
        let name = table.schema.field(field).name.as_str();
        let full = match self.column(table, name)? {
            Some(Column::Long(column)) => column.is_full(),
            Some(Column::Double(column)) => column.is_full(),
            _ => false,
        };
        Ok(full.then_some((field, descending)))
    }

    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    fn reader(&self) -> &tantivy::SegmentReader {
        self.searcher.segment_reader(0)
    }

    /// The rules under which its rows are stored.
    pub(crate) fn rules(&self) -> u32 {
        self.rules
    }

    /// Whether it may hold values of a field, in whatever form.
    pub(crate) fn holds(&self, id: FieldId) -> Result<bool, ReadError> {
        if id.0 as usize >= self.layout.len() {
            return Ok(false);
        }
        let slots = self.layout.slots(id);
        for field in [Some(slots.keyword), slots.number].into_iter().flatten() {
            let has_value = |column: &Column| match column {
                Column::Keyword(column) => column.cardinality() > 0,
                column => !matches!(index_of(column), ColumnIndex::Empty { .. }),
            };
            if self.column_of(field)?.as_ref().is_some_and(has_value) {
                return Ok(true);
            }
        }
        // A text may have neither a short value nor a word: only a look at every row would tell.
        Ok(slots.text.is_some())
    }

    /// What `name` means in this segment; `None` if the segment has no values of it that can be
    /// read: a ruling hides values that are stored as they were before it, until they are
    /// rewritten.
    pub(crate) fn slot(&self, table: &Table, name: &str) -> Option<Slot> {
        let (id, field, companion) = match table.schema.find(name) {
            Some((id, field)) => (id, field, false),
            None => {
                let (id, field) = table.schema.find(name.strip_suffix(".keyword")?)?;
                (id, field, true)
            }
        };
        if id.0 as usize >= self.layout.len() {
            return None;
        }
        if field.stored_since() > self.rules {
            return None;
        }
        let slots = self.layout.slots(id);
        if companion {
            let exact = field.ty == FieldType::Text && field.keyword_up_to.is_some();
            return (exact && field.stored() != StoredType::Sealed)
                .then_some(Slot::Keyword(slots.keyword));
        }
        Some(match field.stored() {
            StoredType::Keyword => Slot::Keyword(slots.keyword),
            StoredType::Text => Slot::Text(slots.text?),
            StoredType::Long => Slot::Number(slots.number?, NumberKind::Long),
            StoredType::Double => Slot::Number(slots.number?, NumberKind::Double),
            StoredType::Bool => Slot::Number(slots.number?, NumberKind::Bool),
            StoredType::Sealed => Slot::Sealed(slots.keyword),
        })
    }

    /// The column of a field or companion.
    pub(crate) fn column(&self, table: &Table, name: &str) -> Result<Option<Column>, ReadError> {
        match self.slot(table, name) {
            Some(Slot::Keyword(field) | Slot::Number(field, _)) => self.column_of(field),
            Some(Slot::Text(_) | Slot::Sealed(_)) | None => Ok(None),
        }
    }

    /// The column of a Tantivy field, from the cache or read and cached.
    pub(crate) fn column_of(&self, field: TantivyField) -> Result<Option<Column>, ReadError> {
        let (segment, id) = (self.cache_key, field.field_id());
        if let Some(column) = self.cache.get(segment, id) {
            return Ok(column);
        }
        let name = self.layout.column(field);
        let handles = self.reader().fast_fields().dynamic_column_handles(name)?;
        let Some(handle) = handles.into_iter().next() else {
            self.cache.put(segment, id, None, 0);
            return Ok(None);
        };
        let bytes = handle.num_bytes().get_bytes() as usize;
        let column = match handle.open()? {
            DynamicColumn::Str(column) => Column::Keyword(KeywordColumn::new(column)),
            DynamicColumn::I64(column) => Column::Long(NumberColumn::new(column)),
            DynamicColumn::F64(column) => Column::Double(NumberColumn::new(column)),
            DynamicColumn::Bool(column) => Column::Bool(NumberColumn::new(column)),
            _ => return Err(ReadError::internal("a column of an unknown type")),
        };
        self.cache.put(segment, id, Some(column.clone()), bytes);
        Ok(Some(column))
    }

    /// Its tiles, if there are any.
    pub(crate) fn tiles(&self) -> Option<Arc<TileFile>> {
        self.tiles.read().clone()
    }

    pub(crate) fn set_tiles(&self, tiles: Option<Arc<TileFile>>) {
        *self.has_all_of.write() = None;
        *self.tiles.write() = tiles;
    }

    /// Whether it was found to have all tiles of this very list.
    pub(crate) fn has_all_tiles_of(&self, wanted: &Arc<[String]>) -> bool {
        self.has_all_of.read().as_ref().is_some_and(|known| Arc::ptr_eq(known, wanted))
    }

    pub(crate) fn note_all_tiles_of(&self, wanted: &Arc<[String]>) {
        *self.has_all_of.write() = Some(Arc::clone(wanted));
    }

    /// A tile as its reader decoded it, if it is in memory.
    pub(crate) fn decoded_tile(&self, key: &Arc<str>) -> Option<DecodedTile> {
        self.cache.get_tile(self.cache_key, key)
    }

    /// Keeps a decoded tile in memory for the next reader.
    pub(crate) fn keep_tile(&self, key: &Arc<str>, tile: DecodedTile, bytes: usize) {
        self.cache.put_tile(self.cache_key, key, tile, bytes);
    }

    pub(crate) fn ordinals(&self, table: &Table, name: &str) -> Arc<Ordinals> {
        self.cache.ordinals(table.id, name)
    }

    pub(crate) fn translation(
        &self,
        ordinals: &Ordinals,
        column: &KeywordColumn,
    ) -> Result<Arc<[u32]>, ReadError> {
        ordinals.translation(self.cache_key, column)
    }

    /// A column of `_seq` or `_ver`.
    fn counter(
        &self,
        field: TantivyField,
    ) -> Result<Option<Arc<tantivy::columnar::Column<u64>>>, ReadError> {
        let name = self.layout.column(field);
        let (segment, id) = (self.cache_key, field.field_id());
        if let Some(column) = self.cache.get_counter(segment, id) {
            return Ok(column);
        }
        let fast_fields = self.reader().fast_fields();
        let bytes = fast_fields.column_num_bytes(name)?.get_bytes() as usize;
        let column = fast_fields.column_opt::<u64>(name)?.map(Arc::new);
        self.cache.put_counter(segment, id, column.clone(), bytes);
        Ok(column)
    }

    /// Rows of the store that have one of the given `_id`s, dead ones included.
    pub(crate) fn rows_with_id(&self, id: &str) -> Result<Vec<u32>, ReadError> {
        let may_hold = match &self.bloom {
            Some(bloom) => bloom.may_hold(id),
            None => self.has_given_ids,
        };
        let mut rows = Vec::new();
        if may_hold {
            let term = Term::from_field_text(layout::ID, id);
            let index = self.reader().inverted_index(layout::ID)?;
            if let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? {
                while postings.doc() != TERMINATED {
                    rows.push(postings.doc());
                    postings.advance();
                }
            }
        }
        if let Some(GeneratedId(seq)) = GeneratedId::parse(id) {
            rows.extend(self.row_with_seq(seq)?.filter(|_| true));
        }
        Ok(rows)
    }

    /// The row with this number, if it has no given id.
    fn row_with_seq(&self, seq: Seq) -> Result<Option<u32>, ReadError> {
        let Some(seqs) = self.counter(layout::SEQ)? else { return Ok(None) };
        if seq.0 < seqs.min_value() || seq.0 > seqs.max_value() {
            return Ok(None);
        }
        let mut rows = Vec::new();
        seqs.get_docids_for_value_range(seq.0..=seq.0, 0..self.rows, &mut rows);
        let Some(&row) = rows.first() else { return Ok(None) };
        Ok(self.given_id(row)?.is_none().then_some(row))
    }

    fn given_id(&self, row: u32) -> Result<Option<String>, ReadError> {
        Ok(self.given_ids(&[row])?.pop().flatten())
    }

    fn given_ids(&self, rows: &[u32]) -> Result<Vec<Option<String>>, ReadError> {
        let Some(Column::Keyword(column)) = self.column_of(layout::ID)? else {
            return Ok(vec![None; rows.len()]);
        };
        rows.iter()
            .map(|&row| {
                let mut ords = Vec::new();
                column.first_ords(crate::read::Block::Rows(&[row]), &mut ords);
                (ords[0] != MISSING).then(|| column.term(ords[0])).transpose()
            })
            .collect()
    }

    /// Rows with a given id that `is_wanted` wants; asks for each distinct id once.
    pub(crate) fn rows_with_id_like(
        &self,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<RoaringBitmap, ReadError> {
        self.rows_with_term_like(layout::ID, is_wanted)
    }

    /// Rows with a string that `is_wanted` wants in a column of whole strings; asks for each
    /// distinct one once.
    pub(crate) fn rows_with_term_like(
        &self,
        field: TantivyField,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<RoaringBitmap, ReadError> {
        let mut found = RoaringBitmap::new();
        let Some(Column::Keyword(column)) = self.column_of(field)? else {
            return Ok(found);
        };
        let mut wanted = vec![false; column.cardinality() as usize];
        let mut next = 0;
        column.each_term(&mut |id| {
            wanted[next] = is_wanted(id);
            next += 1;
        })?;
        if !wanted.contains(&true) {
            return Ok(found);
        }
        let (mut ords, mut rows) = (Vec::new(), Vec::new());
        for block in Selection::Run(0..self.rows).blocks() {
            column.all_ords(block, &mut rows, &mut ords);
            let hits = rows.iter().zip(&ords).filter(|(_, ord)| wanted[**ord as usize]);
            found.extend(hits.map(|(place, _)| block.row(*place as usize)));
        }
        Ok(found)
    }

    /// The hash of every given id of the rows that are not in `dead`.
    pub(crate) fn given_id_hashes(&self, dead: &RoaringBitmap) -> Result<Vec<u64>, ReadError> {
        let Some(Column::Keyword(column)) = self.column_of(layout::ID)? else {
            return Ok(Vec::new());
        };
        let mut live = vec![false; column.cardinality() as usize];
        let mut ords = Vec::new();
        let mut rows = Vec::new();
        for block in Selection::Run(0..self.rows).blocks() {
            column.all_ords(block, &mut rows, &mut ords);
            for (&place, &ord) in rows.iter().zip(&ords) {
                live[ord as usize] |= !dead.contains(block.row(place as usize));
            }
        }
        let live: Vec<u32> = (0..live.len() as u32).filter(|&ord| live[ord as usize]).collect();
        let mut hashes = Vec::with_capacity(live.len());
        for ords in live.chunks(IDS_AT_ONCE) {
            hashes.extend(column.terms(ords)?.iter().map(|id| bloom::hash(id)));
        }
        Ok(hashes)
    }

    pub(crate) fn ids(&self, rows: &[u32]) -> Result<Vec<String>, ReadError> {
        let seqs = self.seqs(rows)?;
        let given = self.given_ids(rows)?;
        let ids = given.into_iter().zip(seqs);
        Ok(ids.map(|(id, seq)| id.unwrap_or_else(|| GeneratedId(Seq(seq)).to_string())).collect())
    }

    pub(crate) fn seqs(&self, rows: &[u32]) -> Result<Vec<u64>, ReadError> {
        let column = self
            .counter(layout::SEQ)?
            .ok_or_else(|| ReadError::internal("a segment without row numbers"))?;
        Ok(rows.iter().map(|&row| column.first(row).unwrap_or_default()).collect())
    }

    pub(crate) fn seq_bounds(&self) -> Result<(u64, u64), ReadError> {
        let column = self.counter(layout::SEQ)?;
        Ok(column.map_or((0, u64::MAX), |column| (column.min_value(), column.max_value())))
    }

    pub(crate) fn versions(&self, rows: &[u32]) -> Result<Vec<u64>, ReadError> {
        let column = self.counter(layout::VERSION)?;
        let version = |row| column.as_ref().and_then(|column| column.first(row)).unwrap_or(1);
        Ok(rows.iter().map(|&row| version(row)).collect())
    }

    /// The rows whose number is in `seqs`, which is sorted.
    pub(crate) fn rows_with_seqs(&self, seqs: &[u64]) -> Result<RoaringBitmap, ReadError> {
        let mut found = RoaringBitmap::new();
        if seqs.is_empty() {
            return Ok(found);
        }
        let column = self
            .counter(layout::SEQ)?
            .ok_or_else(|| ReadError::internal("a segment without row numbers"))?;
        for row in 0..self.rows {
            if column.first(row).is_some_and(|seq| seqs.binary_search(&seq).is_ok()) {
                found.insert(row);
            }
        }
        Ok(found)
    }

    pub(crate) fn sorted_by(&self, table: &Table, name: &str) -> Option<bool> {
        let (sorted, descending) = self.sorted?;
        let (id, _) = table.schema.find(name)?;
        (id == sorted).then_some(descending)
    }

    pub(crate) fn has_sort_column(&self, table: &Table) -> Result<bool, ReadError> {
        let Some((field, _)) = rows::sort_field(table) else { return Ok(false) };
        Ok(self.column(table, table.schema.field(field).name.as_str())?.is_some())
    }

    /// Rows per keyword from postings.
    pub(crate) fn term_counts(
        &self,
        table: &Table,
        name: &str,
    ) -> Result<Option<Vec<(String, u64)>>, ReadError> {
        let Some(Slot::Keyword(field)) = self.slot(table, name) else { return Ok(None) };
        let index = self.reader().inverted_index(field)?;
        let mut stream = index.terms().stream()?;
        let mut counts = Vec::new();
        while stream.advance() {
            let term = std::str::from_utf8(stream.key())
                .map_err(|_| ReadError::internal("a term that is not UTF-8"))?;
            counts.push((term.to_owned(), u64::from(stream.value().doc_freq)));
        }
        Ok(Some(counts))
    }

    /// Matching rows without counting them one by one; `None` if that is not possible.
    pub(crate) fn quick_count(
        &self,
        table: &Table,
        filter: &Filter,
        dead: &RoaringBitmap,
    ) -> Result<Option<u64>, ReadError> {
        match filter {
            Filter::All => Ok(Some(u64::from(self.rows) - dead.len())),
            Filter::Nothing => Ok(Some(0)),
            Filter::Score(inner, _) | Filter::Boost(inner, _) => {
                self.quick_count(table, inner, dead)
            }
            Filter::Term(name, model::Value::Str(text)) if dead.is_empty() => {
                let (Some(Slot::Keyword(field)) | Some(Slot::Text(field))) = self.slot(table, name)
                else {
                    return Ok(None);
                };
                let term = Term::from_field_text(field, text);
                Ok(Some(u64::from(self.reader().inverted_index(field)?.doc_freq(&term)?)))
            }
            _ => Ok(None),
        }
    }

    /// The rows that match and are not dead.
    pub(crate) fn select(
        &self,
        table: &Table,
        filter: &Filter,
        dead: &RoaringBitmap,
    ) -> Result<Selection, ReadError> {
        let (run, rest) = self.split_sorted_range(table, filter)?;
        let whole = run.len() == self.rows as usize;
        if run.is_empty() || rest == Filter::Nothing {
            return Ok(Selection::Rows(Vec::new()));
        }
        if rest == Filter::All && dead.is_empty() {
            return Ok(if whole { Selection::All(self.rows) } else { Selection::Run(run) });
        }
        if rest == Filter::All {
            return Ok(Selection::Rows(run.filter(|&row| !dead.contains(row)).collect()));
        }
        let query = self.query(table, &rest)?;
        let scoring = tantivy::query::EnableScoring::disabled_from_searcher(&self.searcher);
        let mut scorer = query.weight(scoring)?.scorer(self.reader(), 1.0)?;
        let mut rows = Vec::with_capacity(scorer.size_hint().min(self.rows) as usize);
        if scorer.doc() < run.start {
            scorer.seek(run.start);
        }
        let mut buffer = [0_u32; tantivy::COLLECT_BLOCK_BUFFER_LEN];
        loop {
            let filled = scorer.fill_buffer(&mut buffer);
            let matched = &buffer[..filled];
            match matched.last() {
                Some(&last) if last >= run.end => {
                    let end = matched.partition_point(|&row| row < run.end);
                    rows.extend_from_slice(&matched[..end]);
                    break;
                }
                Some(_) => rows.extend_from_slice(matched),
                None => break,
            }
            if filled < buffer.len() {
                break;
            }
        }
        if !dead.is_empty() {
            rows.retain(|&row| !dead.contains(row));
        }
        if rows.len() == self.rows as usize {
            return Ok(Selection::All(self.rows));
        }
        Ok(Selection::Rows(rows))
    }
}

/// Whether a row has a value, without decoding it.
pub(crate) fn index_of(column: &Column) -> &ColumnIndex {
    match column {
        Column::Keyword(column) => column.index(),
        Column::Long(column) => column.index(),
        Column::Double(column) => column.index(),
        Column::Bool(column) => column.index(),
    }
}
