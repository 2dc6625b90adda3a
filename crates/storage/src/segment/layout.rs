//! Which Tantivy fields a table's fields become.
//!
//! The numbering depends on the list of fields and their declared types alone, and that list only
//! grows. So a segment that was written when the table had fewer fields opens with today's schema:
//! the fields it does not know are simply empty in it, and segments of any age can be merged.
//!
//! ```text
//! 0 _seq    u64   column                       number of the row
//! 1 _id     str   column, index                 only for ids that a writer gave
//! 2 _ver    u64   column                       only when it is not 1
//! 3 _shape  str   column                       only when the plain rule does not rebuild it
//! then for each field of the table, in order
//!   text      T  index with positions and norms, named as the field
//!   number    N  column (i64, f64 or bool), named as the field
//!   always    K  column and index of whole strings: `field` or, for text, `field.keyword`
//!   always    S  stored bytes: long text, sealed values
//! ```

use crate::text::{StandardTokenizer, TOKENIZER};
use model::{FieldId, FieldType, Table};
use tantivy::schema::{
    BytesOptions, Field as TantivyField, IndexRecordOption, NumericOptions, Schema,
    TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::TokenizerManager;

pub(crate) const SEQ: TantivyField = TantivyField::from_field_id(0);
pub(crate) const ID: TantivyField = TantivyField::from_field_id(1);
pub(crate) const VERSION: TantivyField = TantivyField::from_field_id(2);
pub(crate) const SHAPE: TantivyField = TantivyField::from_field_id(3);

/// The Tantivy fields of one field of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    pub(crate) text: Option<TantivyField>,
    pub(crate) number: Option<TantivyField>,
    pub(crate) keyword: TantivyField,
    pub(crate) stored: TantivyField,
}

/// Tantivy's view of a table.
#[derive(Clone)]
pub(crate) struct Layout {
    pub(crate) schema: Schema,
    slots: Vec<Slots>,
}

impl Layout {
    pub(crate) fn of(table: &Table) -> Layout {
        let mut builder = Schema::builder();
        let column = NumericOptions::default().set_fast();
        let whole = TextFieldIndexing::default()
            .set_tokenizer("raw")
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::Basic);
        let keyword = TextOptions::default().set_fast("raw").set_indexing_options(whole.clone());
        let words = TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(TOKENIZER)
                .set_fieldnorms(true)
                .set_index_option(IndexRecordOption::WithFreqsAndPositions),
        );
        builder.add_u64_field("_seq", column.clone());
        builder.add_text_field("_id", keyword.clone());
        builder.add_u64_field("_ver", column.clone());
        builder.add_text_field("_shape", TextOptions::default().set_fast("raw"));
        let mut slots = Vec::with_capacity(table.schema.fields().len());
        for field in table.schema.fields() {
            // A name of ours starts with `_`; a user's field could too, so all get a prefix.
            let name = column_name(field.name.as_str());
            let text = (field.ty == FieldType::Text)
                .then(|| builder.add_text_field(&format!("{name}~t"), words.clone()));
            let number = match field.ty {
                FieldType::Long | FieldType::Date => {
                    Some(builder.add_i64_field(&format!("{name}~n"), column.clone()))
                }
                FieldType::Double => {
                    Some(builder.add_f64_field(&format!("{name}~n"), column.clone()))
                }
                FieldType::Boolean => {
                    Some(builder.add_bool_field(&format!("{name}~n"), column.clone()))
                }
                FieldType::Keyword | FieldType::Text | FieldType::Ip | FieldType::GeoPoint => None,
            };
            let keyword = builder.add_text_field(&format!("{name}~k"), keyword.clone());
            let stored =
                builder.add_bytes_field(&format!("{name}~s"), BytesOptions::default().set_stored());
            slots.push(Slots { text, number, keyword, stored });
        }
        Layout { schema: builder.build(), slots }
    }

    pub(crate) fn slots(&self, field: FieldId) -> Slots {
        self.slots[field.0 as usize]
    }

    /// How many fields of the table it knows.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it knows a Tantivy field.
    pub(crate) fn has(&self, field: TantivyField) -> bool {
        (field.field_id() as usize) < self.schema.num_fields()
    }

    /// Tantivy's fields whose values are counted for scores.
    pub(crate) fn text_fields(&self) -> impl Iterator<Item = TantivyField> + '_ {
        self.slots.iter().filter_map(|slots| slots.text)
    }

    /// The place of the field whose words or whole strings a Tantivy field holds.
    pub(crate) fn field_of_words(&self, field: TantivyField) -> Option<usize> {
        self.slots.iter().position(|slots| slots.keyword == field || slots.text == Some(field))
    }

    /// Which field of the table a Tantivy field of stored bytes belongs to.
    pub(crate) fn field_of_stored(&self, stored: TantivyField) -> Option<FieldId> {
        let place =
            self.slots.binary_search_by_key(&stored.field_id(), |slots| slots.stored.field_id());
        place.ok().map(|place| FieldId(place as u32))
    }

    /// The name of a column in Tantivy's columnar file.
    pub(crate) fn column(&self, field: TantivyField) -> &str {
        self.schema.get_field_name(field)
    }
}

/// Tantivy splits names at dots to look for JSON paths; ours are plain.
fn column_name(name: &str) -> String {
    name.replace('.', "\u{1f}")
}

/// The tokenizers that the schema names.
pub(crate) fn tokenizers() -> TokenizerManager {
    let manager = TokenizerManager::new();
    // Tantivy asks for `default` for fields without text, and never uses it.
    manager.register("default", tantivy::tokenizer::RawTokenizer::default());
    manager.register("raw", tantivy::tokenizer::RawTokenizer::default());
    manager.register(TOKENIZER, StandardTokenizer::default());
    manager
}
