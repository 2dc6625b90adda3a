//! Aggregations: a tree of buckets and metrics, computed level by level.
//!
//! Each level of buckets is one fold over the groups of its ancestors and its own; all metrics
//! directly below it are measures of that fold. The levels are then put together into the tree
//! that Elasticsearch answers with. Because every level is a fold of its own, rows with several
//! values of a field count once in each of their buckets, on every level.

pub(super) mod calendar;
mod choose;
mod interval;
mod key;
mod metric;
mod order;
mod parse;
mod pipeline;
mod plan;
mod render;
mod run;
mod top_hits;

pub(super) use interval::length;
pub(super) use parse::parse;
pub(super) use run::Runner;

use super::hits::HitsSpec;
use super::parse::{Literal, Query};
use super::zone::Zone;
use calendar::Calendar;
use pipeline::Pipeline;
use serde_json::{Map, Value};

/// One named aggregation and what stands below it.
#[derive(Clone, Debug)]
pub(super) struct Aggregation {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) below: Vec<Aggregation>,
    /// Given back as it came.
    pub(super) meta: Option<Value>,
}

/// What an aggregation computes.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Metric(Metric),
    Terms(Box<Terms>),
    Histogram(Box<Histogram>),
    Ranges(Box<Ranges>),
    Filter(Query),
    Filters(Box<Filters>),
    Missing(String),
    Global,
    Composite(Box<Composite>),
    TopHits(Box<HitsSpec>),
    /// Computed from the buckets of others.
    Pipeline(Pipeline),
}

/// A number about the rows of a bucket.
#[derive(Clone, Debug)]
pub(super) struct Metric {
    pub(super) word: &'static str,
    pub(super) what: MetricKind,
    pub(super) field: String,
    /// The value that rows without one count with.
    pub(super) missing: Option<f64>,
    pub(super) format: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum MetricKind {
    Min,
    Max,
    Avg,
    Sum,
    Stats,
    ExtendedStats { sigma: f64 },
    ValueCount,
    Cardinality,
    Percentiles { percents: Vec<f64>, keyed: bool },
    PercentileRanks { values: Vec<f64>, keyed: bool },
}

/// `terms`.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) field: String,
    pub(super) size: usize,
    pub(super) order: Vec<Order>,
    pub(super) min_doc_count: u64,
    pub(super) missing: Option<Literal>,
    pub(super) include: Option<Choice>,
    pub(super) exclude: Option<Choice>,
    pub(super) format: Option<String>,
    pub(super) show_error: bool,
}

/// `include` and `exclude` of terms.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    Values(Vec<Literal>),
    Regexp(String),
}

/// One key of an order of buckets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) by: OrderBy,
    pub(super) descending: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum OrderBy {
    Count,
    Key,
    /// `filter>metric.property`
    Path(String),
}

/// `date_histogram` and `histogram`.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    pub(super) field: String,
    pub(super) step: Step,
    pub(super) min_doc_count: u64,
    /// Buckets are made at least from here to there.
    pub(super) extended: (Option<Literal>, Option<Literal>),
    /// Buckets are made at most from here to there.
    pub(super) hard: (Option<Literal>, Option<Literal>),
    pub(super) order: Vec<Order>,
    pub(super) keyed: bool,
    pub(super) format: Option<String>,
}

/// How far a bucket of a histogram reaches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Date(Calendar),
    Number { interval: f64, offset: f64 },
}

/// `range` and `date_range`.
#[derive(Clone, Debug)]
pub(super) struct Ranges {
    pub(super) field: String,
    pub(super) dates: bool,
    pub(super) ranges: Vec<RangeOf>,
    pub(super) keyed: bool,
    pub(super) format: Option<String>,
    pub(super) zone: Zone,
}

/// One range: from (inclusive), to (exclusive).
#[derive(Clone, Debug)]
pub(super) struct RangeOf {
    pub(super) key: Option<String>,
    pub(super) from: Option<Literal>,
    pub(super) to: Option<Literal>,
}

/// `filters`.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    /// One for each query; `None`: anonymous.
    pub(super) names: Option<Vec<String>>,
    pub(super) queries: Vec<Query>,
    /// The name of the bucket of all other rows.
    pub(super) other: Option<String>,
    pub(super) keyed: bool,
}

/// `composite`.
#[derive(Clone, Debug)]
pub(super) struct Composite {
    pub(super) sources: Vec<Source>,
    pub(super) size: usize,
    pub(super) after: Option<Map<String, Value>>,
}

/// One source of a composite.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) field: String,
    /// `None`: the value itself.
    pub(super) step: Option<Step>,
    pub(super) descending: bool,
    pub(super) missing_bucket: bool,
    pub(super) format: Option<String>,
}

impl Aggregation {
    /// Calls `see` for this aggregation and all below it.
    pub(super) fn walk<'a>(&'a self, see: &mut dyn FnMut(&'a Aggregation)) {
        see(self);
        self.below.iter().for_each(|below| below.walk(see));
    }

    fn metric(&self) -> Option<&Metric> {
        match &self.kind {
            Kind::Metric(metric) => Some(metric),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
