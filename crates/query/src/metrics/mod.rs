//! Declared metrics: numbers that everybody computes in the same way.
//!
//! A [`MetricModel`] is a YAML file of *measures* (an aggregate over a table, with a condition) and
//! *metrics* made of them:
//!
//! ```yaml
//! measures:
//!   - name: connections
//!     table: events
//!     time: "@timestamp"          # default: the time field of the table
//!     agg: count                  # count, count_distinct, sum, avg, min, max, median, quantile
//!     filter: "kind IN ('connect', 'connect_failed')"      # SQL, or `{kind: connect}`
//!   - name: failed_connections
//!     table: events
//!     agg: count
//!     filter: {kind: connect_failed}
//!   - name: slow_requests
//!     table: requests
//!     agg: quantile
//!     field: duration_ms          # for every agg but count
//!     quantile: 0.95
//! metrics:
//!   - name: failed_connection_rate
//!     label: Failed connections
//!     description: Share of connection attempts that failed.
//!     type: ratio                 # or `simple` with `measure`
//!     numerator: failed_connections
//!     denominator: connections
//!     grain: hour                 # when a question names none
//!     dimensions: [firmware, model]    # fields it may be cut by
//!     empty: gap                  # or `zero`: what a time without rows shows
//! ```
//!
//! [`plan`] turns a metric and a [`MetricQuery`] (grain, dimensions, filters, range) into questions
//! to the leaf; [`MetricPlan::run`] answers them, [`MetricPlan::sql`] writes the same as SQL.

mod answer;
mod condition;
mod file;
mod model;
mod plan;
mod request;
mod sql_text;
#[cfg(test)]
mod tests;

pub use answer::MetricAnswer;
pub use model::{Aggregate, Empty, Grain, Measured, Metric, MetricKind, MetricModel, ModelError};
pub use plan::{MetricPlan, plan};
pub use request::MetricQuery;
