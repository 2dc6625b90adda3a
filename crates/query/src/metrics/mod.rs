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
//! joins:                          # tables of entities, as they are now
//!   - {name: account, table: users, on: user_id, key: user_id}
//! metrics:
//!   - name: failed_connection_rate
//!     label: Failed connections
//!     description: Share of connection attempts that failed.
//!     type: ratio                 # or `simple` with `measure`
//!     numerator: failed_connections
//!     denominator: connections
//!     grain: hour                 # when a question names none
//!     dimensions: [firmware, model, account.plan]    # what it may be cut by
//!     empty: gap                  # or `zero`: what a time without rows shows
//!     tests:                      # checked when the file is applied
//!       - ask: {grain: total, from: 2026-10-24, to: 2026-10-25}
//!         expect: [{failed_connection_rate: 0.05}]
//! ```
//!
//! | `type` | needs | gives |
//! |---|---|---|
//! | `simple` | `measure` | the measure |
//! | `ratio` | `numerator`, `denominator` | their quotient; nothing where the lower one is zero |
//! | `derived` | `expression` | arithmetic over metrics and measures |
//! | `cumulative` | `measure`, maybe `window: 28d` or `since: month` | the measure over all before |
//! | `unique` | `table`, `entity`, maybe `filter`, `window: 28d` | distinct entities |
//! | `conversion` | `table`, `entity`, `steps`, `window`, maybe `filter` | a row for each step |
//! | `retention` | `table`, `entity`, `periods`, maybe `period`, `cohort`, `filter` | a row for each period |
//!
//! [`plan`] turns a metric and a [`MetricQuery`] (grain, dimensions, filters, range, comparison)
//! into questions to the leaf; [`MetricPlan::run`] answers them, [`MetricPlan::sql`] writes the
//! same as SQL; [`MetricModel::tiles`] says what is kept beforehand. All numbers of measures come through one function, `grid::grid`: what answers
//! faster than rows plugs in below it and knows no types of metrics.

mod answer;
#[cfg(test)]
mod brute_force;
mod check;
mod compare;
mod condition;
mod expression;
mod file;
mod formula;
mod grid;
mod join;
mod journey;
mod lines;
mod model;
mod osi;
mod plan;
mod promql;
mod reads;
mod request;
mod span;
mod sql_text;
#[cfg(test)]
mod tests;
mod tests_of;
mod tile;

pub use answer::MetricAnswer;
pub use expression::{Expression, Operator};
pub use join::JoinedTable;
pub use model::{
    Aggregate, Conversion, Empty, Entities, Grain, Measured, Metric, MetricKind, MetricModel,
    ModelError, Reach, Retained, Step,
};
pub use osi::to_osi;
pub use plan::{MetricPlan, plan};
pub use promql::Selector;
pub use reads::TableReads;
pub use request::{Compare, MetricQuery, Steps};
pub use span::{Span, Unit};
pub use tests_of::MetricTest;
