//! Elasticsearch's search language over the one leaf.
//!
//! * [`SearchRequest`], [`CountRequest`] and [`FieldCapsRequest`] are what was typed: the body and
//!   the URL parameters as typed values. Parsing knows no table and reads no row.
//! * [`SearchRequest::uses`] says which fields of which tables it mentions, for the permit;
//!   [`SearchRequest::shape`] is the request without its literals, for the audit record.
//! * [`SearchRequest::run`] turns names into fields and literals into what is stored, asks
//!   [`Question`](crate::Question)s, and puts the answers together as Elasticsearch shows them.
//!
//! ```
//! use query::elasticsearch::SearchRequest;
//! let body = serde_json::json!({"query": {"match": {"message": "login failed"}}});
//! let request = SearchRequest::parse(&body, &[]).unwrap();
//! assert_eq!(request.shape(), r#"{"query":{"match":{"message":"?"}}}"#);
//! let wrong = serde_json::json!({"query": {"mtch": {}}});
//! assert_eq!(SearchRequest::parse(&wrong, &[]).unwrap_err().kind, "parsing_exception");
//! ```
//!
//! Where Elasticsearch is approximate, Clerestory is exact: `doc_count_error_upper_bound` is
//! always 0, `cardinality` counts, and there is one shard.

mod aggregation;
mod bind;
mod columns;
mod count;
mod date_format;
mod date_math;
mod error;
mod field_caps;
mod fields;
mod hits;
mod json;
mod params;
mod parse;
mod query_string;
mod search;
mod shape;
mod uses;
mod zone;

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod store_tests;

pub use count::CountRequest;
pub use error::EsError;
pub use field_caps::FieldCapsRequest;
pub use hits::Place;
pub use search::{Pit, SearchRequest};

/// How deep queries and aggregations may nest.
const DEPTH_MAX: usize = 30;

/// The most clauses of one request.
const CLAUSES_MAX: usize = 1024;

/// The most rows that can be paged through with `from` and `size`.
const WINDOW_MAX: usize = 10_000;

/// The most buckets of one answer.
const BUCKETS_MAX: usize = 65_535;

/// How many rows are counted exactly unless asked otherwise.
const TOTAL_EXACT_UP_TO: u64 = 10_000;

/// The moment that a text names (`2026-11-01`, `now-30d/d`, milliseconds), for metrics.
pub(crate) fn moment(
    text: &str,
    time_zone: chrono_tz::Tz,
    now: model::Timestamp,
) -> Result<i64, EsError> {
    let format = date_format::DateFormat::default();
    let zone = zone::Zone::Named(time_zone);
    date_math::read(text, date_math::Reading { format: &format, zone, round_up: false, now })
}
