//! The order of buckets: by count, key, or a metric below them.

use super::super::EsError;
use super::super::bind::Binder;
use super::super::columns::Cell;
use super::choose::Bucket;
use super::metric::{Metrics, PlannedMetric};
use super::{Aggregation, Kind, Order, OrderBy};
use crate::{Measure, MeasureOf};
use std::cmp::Ordering;
use std::ops::Range;
use storage::Filter;

/// An order of buckets, and what has to be measured for it.
#[derive(Default)]
pub(super) struct Orders {
    keys: Vec<(By, bool)>,
    /// Measures that only the order needs; their cells follow those of the metrics.
    pub(super) extra: Vec<MeasureOf>,
    /// Metrics that have to be known before buckets are chosen.
    pub(super) needed: Vec<usize>,
}

enum By {
    Count,
    Key,
    /// One of the metrics below the bucket.
    Shared {
        planned: usize,
        property: Option<String>,
    },
    /// A metric deeper down, behind filters.
    Own {
        metric: Box<PlannedMetric>,
        cells: Range<usize>,
        property: Option<String>,
    },
    /// A count behind filters.
    Rows(usize),
}

impl Orders {
    /// Plans an order over buckets that have `below` below them.
    pub(super) fn plan(
        binder: &Binder<'_>,
        orders: &[Order],
        below: &[Aggregation],
        metrics: &Metrics,
    ) -> Result<Orders, EsError> {
        let mut plan = Orders::default();
        for order in orders {
            let by = match &order.by {
                OrderBy::Count => By::Count,
                OrderBy::Key => By::Key,
                OrderBy::Path(path) => plan.path(binder, path, below, metrics)?,
            };
            plan.keys.push((by, order.descending));
        }
        Ok(plan)
    }

    fn path(
        &mut self,
        binder: &Binder<'_>,
        path: &str,
        below: &[Aggregation],
        metrics: &Metrics,
    ) -> Result<By, EsError> {
        let unknown = || {
            EsError::bad(
                "aggregation_execution_exception",
                format!(
                    "Invalid aggregator order path [{path}]. The provided aggregation [{path}] \
                     either does not exist, or is a pipeline aggregation and cannot be used to sort \
                     the buckets."
                ),
            )
        };
        let (mut level, mut filter, mut last) = (below, None::<Filter>, path);
        while let Some((name, rest)) = last.split_once('>') {
            let inner = find(level, name.trim()).ok_or_else(unknown)?;
            filter = Some(narrowed(binder, inner, filter)?.ok_or_else(unknown)?);
            (level, last) = (&inner.below, rest);
        }
        let (aggregation, property) = metric_of(level, last.trim()).ok_or_else(unknown)?;
        let Some(metric) = aggregation.metric() else {
            if !matches!(property.as_deref(), None | Some("_count" | "doc_count")) {
                return Err(unknown());
            }
            let filter = narrowed(binder, aggregation, filter)?.ok_or_else(unknown)?;
            let place = metrics.measures.len() + self.extra.len();
            self.extra.push(MeasureOf { measure: Measure::Rows, filter: Some(filter) });
            return Ok(By::Rows(place));
        };
        let Some(filter) = filter else {
            let own = |(place, ..): &(usize, PlannedMetric, Range<usize>)| {
                std::ptr::eq(&raw const below[*place], aggregation)
            };
            let planned = metrics.planned.iter().position(own).ok_or_else(unknown)?;
            self.needed.push(planned);
            return Ok(By::Shared { planned, property });
        };
        let metric = Box::new(PlannedMetric::plan(binder, metric)?);
        let start = metrics.measures.len() + self.extra.len();
        self.extra.extend(metric.measures.iter().cloned().map(|mut measure| {
            measure.filter = Some(match measure.filter.take() {
                Some(inner) => filter.clone().and(inner),
                None => filter.clone(),
            });
            measure
        }));
        let cells = start..metrics.measures.len() + self.extra.len();
        Ok(By::Own { metric, cells, property })
    }

    /// Puts buckets in order; those that tie stand in the order of their keys, and those
    /// without a value come last.
    pub(super) fn sort(&self, buckets: &mut Vec<Bucket>, metrics: &Metrics) -> Result<(), EsError> {
        let mut rows = Vec::with_capacity(buckets.len());
        for bucket in buckets.drain(..) {
            let values = self.keys.iter().map(|(by, _)| value(by, &bucket, metrics));
            rows.push((values.collect::<Result<Vec<Option<f64>>, EsError>>()?, bucket));
        }
        rows.sort_by(|left, right| self.compare(left, right));
        buckets.extend(rows.into_iter().map(|(_, bucket)| bucket));
        Ok(())
    }

    fn compare(
        &self,
        (left_values, left): &(Vec<Option<f64>>, Bucket),
        (right_values, right): &(Vec<Option<f64>>, Bucket),
    ) -> Ordering {
        for (place, (by, descending)) in self.keys.iter().enumerate() {
            let order = match by {
                By::Count => left.count.cmp(&right.count),
                By::Key => left.keys.cmp(&right.keys),
                _ => match (left_values[place], right_values[place]) {
                    (Some(left), Some(right)) => left.total_cmp(&right),
                    (Some(_), None) => return Ordering::Less,
                    (None, Some(_)) => return Ordering::Greater,
                    (None, None) => Ordering::Equal,
                },
            };
            let order = if *descending { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        left.keys.cmp(&right.keys)
    }
}

fn value(by: &By, bucket: &Bucket, metrics: &Metrics) -> Result<Option<f64>, EsError> {
    let cells =
        |range: &Range<usize>| -> &[Cell] { bucket.cells.get(range.clone()).unwrap_or(&[]) };
    match by {
        By::Count | By::Key => Ok(None),
        By::Shared { planned, property } => {
            let (_, metric, range) = &metrics.planned[*planned];
            metric.value(cells(range), property.as_deref())
        }
        By::Own { metric, cells: range, property } => {
            metric.value(cells(range), property.as_deref())
        }
        By::Rows(place) => Ok(bucket.cells.get(*place).map(|cell| cell.count() as f64)),
    }
}

fn find<'a>(level: &'a [Aggregation], name: &str) -> Option<&'a Aggregation> {
    level.iter().find(|aggregation| aggregation.name == name)
}

/// `name`, `name.property` or `name[property]`.
fn metric_of<'a>(
    level: &'a [Aggregation],
    path: &str,
) -> Option<(&'a Aggregation, Option<String>)> {
    if let Some(found) = find(level, path) {
        return Some((found, None));
    }
    if let Some((name, property)) = path.strip_suffix(']').and_then(|path| path.split_once('[')) {
        return find(level, name).map(|found| (found, Some(property.to_owned())));
    }
    path.match_indices('.').find_map(|(dot, _)| {
        find(level, &path[..dot]).map(|found| (found, Some(path[dot + 1..].to_owned())))
    })
}

/// The rows of a bucket that is a filter, within those of `outer`.
fn narrowed(
    binder: &Binder<'_>,
    aggregation: &Aggregation,
    outer: Option<Filter>,
) -> Result<Option<Filter>, EsError> {
    let own = match &aggregation.kind {
        Kind::Filter(query) => binder.condition(query)?,
        Kind::Missing(field) => Filter::Exists(field.clone()).negate(),
        _ => return Ok(None),
    };
    Ok(Some(match outer {
        Some(outer) => outer.and(own),
        None => own,
    }))
}
