//! What a source has: tables, columns, and rows of them.

pub use model::{Cell, CopiedRows};
use std::sync::Arc;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// [`Cell::Bool`].
    Bool,
    /// [`Cell::Long`].
    Long,
    /// [`Cell::Double`].
    Double,
    /// [`Cell::Date`].
    Date,
    /// [`Cell::Text`]: short, exact: names, states, ids.
    Keyword,
    /// [`Cell::Text`]: words to be searched.
    Text,
    /// [`Cell::Text`]: an IP address.
    Ip,
    /// [`Cell::Text`]: a position, `lat,lon`.
    Point,
    /// [`Cell::Json`]: an object, an array or any value; its fields get their types as they come.
    Json,
}

/// One column of a table of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    /// As the source calls it.
    pub name: String,
    /// What it holds, in our words.
    pub ty: ColumnType,
    /// What it holds, in the source's words, such as `character varying(64)`.
    pub native: String,
}

/// One table of a source (topic, index, folder).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTable {
    /// As the source calls it, with its schema where there is one: `public.devices`.
    pub name: String,
    /// Its columns in order. Of a table of documents those that were seen.
    pub columns: Vec<SourceColumn>,
    /// The columns that name a row. Empty: rows have no name and are only added.
    pub key: Vec<String>,
    /// Its rows are whole documents: see [`Layout::documents`].
    pub documents: bool,
    /// How many rows, as far as the source knows without counting.
    pub rows: Option<u64>,
}

/// What the cells of a piece are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// One for each cell of a row, in order.
    pub columns: Vec<SourceColumn>,
    /// Rows are documents: cell 0 is the `_id` (text, or null for a generated one), cell 1 the
    /// document, a JSON object; `columns` is empty.
    pub documents: bool,
}

impl Layout {
    /// Rows of these columns.
    pub fn columns(columns: Vec<SourceColumn>) -> Arc<Layout> {
        Arc::new(Layout { columns, documents: false })
    }

    /// Rows that are an `_id` and a JSON object.
    pub fn documents() -> Arc<Layout> {
        Arc::new(Layout { columns: Vec::new(), documents: true })
    }

    /// Cells in each row.
    pub fn width(&self) -> usize {
        if self.documents { 2 } else { self.columns.len() }
    }
}
