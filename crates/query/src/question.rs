//! What the leaf is asked: one filter, and what to do with the rows that match.
//!
//! The Elasticsearch query language, SQL and declared metrics all become [`Question`]s, so that
//! one number has one way of being computed.

use model::Value;
use storage::Filter;

/// A question to the leaf.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which rows; literals are already turned into pseudonyms where the field is personal.
    pub filter: Filter,
    /// What to do with them.
    pub ask: Ask,
}

/// What to do with the rows that match.
#[derive(Clone, Debug)]
pub enum Ask {
    /// How many: one row, one column `count` (UInt64), from postings where that is enough.
    Count,
    /// Their values, in no promised order.
    Rows {
        /// What to give of each row.
        columns: Vec<OutColumn>,
        /// Stop after this many.
        limit: Option<usize>,
    },
    /// The first `limit` rows by `keys`; only their values are fetched. Rows that tie are ordered by
    /// their sequence number, so that paging never skips or repeats one.
    Top {
        /// Most significant first; never empty.
        keys: Vec<SortKey>,
        /// How many rows at most.
        limit: usize,
        /// Only rows after this place in the order: one value per key, `None` for missing.
        after: Option<Vec<Option<Value>>>,
        /// What to give of each row. The sort values follow as columns `_sort0`, `_sort1`, ….
        columns: Vec<OutColumn>,
    },
    /// Grouped aggregates as a fold over ordinals. One output row per group that has rows; without
    /// groups exactly one row. Columns `g0…` (groups) and `m0…` (measures).
    Fold {
        /// Group keys. A row with several values counts once in the group of each distinct one.
        groups: Vec<Group>,
        /// What is computed for each group.
        measures: Vec<MeasureOf>,
    },
    /// How far entities come through steps in order. One output row per group and step: columns
    /// `g0…`, `step` (UInt32 from 1), `entities` (UInt64), `median_ms` (Float64, from the first
    /// step to this one; null for the first). The filter of the question is not asked.
    Funnel(Funnel),
    /// How many entities come back. One output row per group and period that could be seen: columns
    /// `g0…`, `period` (UInt32), `entities` (UInt64, those that were active in it), `of` (UInt64,
    /// those that could have been). The filter of the question is not asked.
    Retention(Box<Retention>),
}

/// A way of entities through steps. Rows of one entity count in the order of time; of rows with
/// the same time those of earlier steps come first. A row that fits several steps counts for the
/// first of them.
#[derive(Clone, Debug)]
pub struct Funnel {
    /// The keyword that says which entity a row is about.
    pub entity: String,
    /// The date that says when.
    pub time: String,
    /// Groups of rows of the first step. An entity counts once in each group that it starts in.
    pub groups: Vec<Group>,
    /// Rows of the first step.
    pub first: Filter,
    /// Rows of each step after it.
    pub then: Vec<Filter>,
    /// The last step comes at most so long after the first, in milliseconds.
    pub window_ms: i64,
}

/// Entities that are born once and may come back.
#[derive(Clone, Debug)]
pub struct Retention {
    /// The keyword that says which entity a row is about.
    pub entity: String,
    /// The date that says when.
    pub time: String,
    /// Groups of the rows of birth.
    pub groups: Vec<Group>,
    /// An entity is born with its first row of these.
    pub born: Filter,
    /// Only entities whose row of birth fits this.
    pub among: Filter,
    /// Rows with which an entity is active.
    pub active: Filter,
    /// The unit in which periods are counted from that of the birth.
    pub unit: Interval,
    /// Where these units begin.
    pub time_zone: chrono_tz::Tz,
    /// Which periods are wanted, ascending, at most [`PERIODS_MAX`].
    pub periods: Vec<u32>,
    /// Nothing from this moment on was seen yet, in milliseconds since 1970.
    pub until: Option<i64>,
}

/// How many periods one question about retention may want.
pub const PERIODS_MAX: usize = 64;

/// One output column of [`Ask::Rows`] and [`Ask::Top`].
#[derive(Clone, Debug, PartialEq)]
pub enum OutColumn {
    /// A field, or the keyword companion `NAME.keyword`; multi-valued cells give their first value.
    Field(String),
    /// `_id`.
    Id,
    /// The table's name (`_index`).
    Table,
    /// The document as JSON text, with the fields that the permit may read.
    Source {
        /// Patterns with `*`; empty: all.
        include: Vec<String>,
        /// Patterns with `*` taken away again.
        exclude: Vec<String>,
    },
    /// BM25 score (Float32).
    Score,
    /// `_version` (UInt64).
    Version,
    /// `_seq_no` (UInt64).
    Seq,
    /// For each row the values of these fields as one JSON object of arrays (`fields` of a hit).
    Fields(Vec<String>),
}

/// One key of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// By what.
    pub by: SortBy,
    /// Largest first.
    pub descending: bool,
    /// Rows without a value come first.
    pub missing_first: bool,
}

/// By what rows are ordered.
#[derive(Clone, Debug, PartialEq)]
pub enum SortBy {
    /// A field's column (smallest value of several when ascending, largest when descending).
    Field(String),
    /// BM25.
    Score,
    /// The order of arrival.
    Seq,
}

/// One group key.
#[derive(Clone, Debug)]
pub struct Group {
    /// How a row gets its key.
    pub by: GroupBy,
    /// Rows without a value make a group of their own with a null key (SQL); otherwise they are
    /// left out (Elasticsearch).
    pub keep_missing: bool,
}

/// How a row gets its group key, and the type of the key column.
#[derive(Clone, Debug)]
pub enum GroupBy {
    /// The value itself: Utf8, Int64, Float64 or Boolean as the field is.
    Terms(String),
    /// The start of the interval the date lies in: Int64 milliseconds.
    Date {
        /// The date field.
        field: String,
        /// The length.
        interval: Interval,
        /// The time zone that days and longer begin in.
        time_zone: chrono_tz::Tz,
        /// Shift of the beginning, in milliseconds.
        offset_ms: i64,
    },
    /// `floor((value - offset) / interval) * interval + offset`: Float64.
    Number {
        /// The number field.
        field: String,
        /// Greater than zero.
        interval: f64,
        /// Shift.
        offset: f64,
    },
    /// The place of each range the value lies in (they may overlap): UInt32.
    Ranges {
        /// The number or date field.
        field: String,
        /// From (inclusive), to (exclusive); `None` is open.
        ranges: Vec<(Option<f64>, Option<f64>)>,
    },
    /// The place of each filter that the row matches: UInt32.
    Filters(Vec<Filter>),
    /// What another table says about the value: Utf8. Rows whose value it does not know are missing.
    Mapped {
        /// The keyword field.
        field: String,
        /// What is said about it.
        mapping: std::sync::Arc<Mapping>,
    },
}

/// What is known about keywords: to each at most one value.
#[derive(Clone, Default)]
pub struct Mapping {
    /// Where it is from, for people.
    pub name: String,
    /// The distinct values.
    pub values: Vec<String>,
    /// The place of its value for each keyword.
    pub of: std::collections::HashMap<String, u32>,
    /// The fewest people of a group that it makes, where its table is only told about in groups.
    pub least: Option<u32>,
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapping({}, {} values)", self.name, self.values.len())
    }
}

/// Length of a date interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// A fixed number of milliseconds.
    Fixed(i64),
    /// One calendar unit.
    Minute,
    /// One hour.
    Hour,
    /// One day, as long as the time zone makes it.
    Day,
    /// One week from Monday.
    Week,
    /// One month.
    Month,
    /// Three months from January, April, July, October.
    Quarter,
    /// One year.
    Year,
}

/// A measure, over all rows of its group or over those that also match a filter.
#[derive(Clone, Debug)]
pub struct MeasureOf {
    /// What is computed.
    pub measure: Measure,
    /// Only rows that match this.
    pub filter: Option<Filter>,
}

/// What is computed for a group.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// Rows: UInt64.
    Rows,
    /// Values of a field: UInt64.
    Values(String),
    /// Sum: Float64, or Int64 for integer fields when it fits.
    Sum(String),
    /// Smallest: Float64 or Int64; Utf8 for keywords. Null without values.
    Min(String),
    /// Largest.
    Max(String),
    /// Mean: Float64. Null without values.
    Mean(String),
    /// Sum of squares: Float64 (for deviations).
    SumOfSquares(String),
    /// Distinct values, exact: UInt64.
    Distinct(String),
    /// Distinct values, HyperLogLog: UInt64.
    DistinctApprox(String),
    /// Quantiles by linear interpolation (exact up to 65,536 values in a group, then within 0.05 %
    /// of the value): a List of Float64, one for each of these ranks in 0..=1.
    Quantiles(String, Vec<f64>),
}
