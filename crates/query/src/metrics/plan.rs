//! From a metric and what is asked of it to questions to the leaf.

use super::answer::{self, MetricAnswer};
use super::condition;
use super::model::{
    Aggregate, Grain, Measured, Metric, MetricKind, MetricModel, check_dimension, find_table,
};
use super::request::MetricQuery;
use super::sql_text;
use crate::leaf;
use crate::{
    Ask, Group, GroupBy, Interval, Limits, Measure, MeasureOf, QueryError, Question, Scope, uses,
};
use model::{Table, TableId, Value};
use protection::{FieldUse, Pseudonyms};
use std::ops::Bound;
use std::sync::Arc;
use storage::Filter;

/// A metric, planned, waiting for its permit.
#[derive(Debug)]
pub struct MetricPlan {
    pub(super) metric: Metric,
    pub(super) query: MetricQuery,
    pub(super) grain: Grain,
    /// One, or two for a ratio over two tables.
    pub(super) parts: Vec<Part>,
    /// How many measures stand in the parts, all together: 1 or 2.
    pub(super) measures: Vec<Measured>,
    tables: Vec<Arc<Table>>,
    sql: String,
}

/// A question to one table.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) table: Arc<Table>,
    pub(super) question: Question,
}

/// Plans a metric of `model`. `tables` are those that the caller may know.
///
/// # Errors
/// [`QueryError::Invalid`] for an unknown metric or a dimension that it does not have, and what is
/// wrong with tables, fields and filters.
pub fn plan(
    model: &MetricModel,
    name: &str,
    query: &MetricQuery,
    tables: &[Arc<Table>],
    pseudonyms: &Pseudonyms,
) -> Result<MetricPlan, QueryError> {
    let metric = model.metric(name).ok_or_else(|| {
        let known = model.metrics().iter().map(|metric| metric.name.as_str());
        QueryError::Invalid(format!(
            "there is no metric `{name}`{}",
            crate::error::nearest(name, known)
        ))
    })?;
    for dimension in &query.dimensions {
        if !metric.dimensions.contains(dimension) {
            let known = metric.dimensions.iter().map(String::as_str);
            return Err(QueryError::Invalid(format!(
                "metric `{name}` has no dimension `{dimension}`{}",
                crate::error::nearest(dimension, known)
            )));
        }
    }
    let grain = query.grain.unwrap_or(metric.grain);
    let measures: Vec<Measured> = model.measures_of(metric).into_iter().cloned().collect();
    let mut parts: Vec<Part> = Vec::new();
    let mut found: Vec<Arc<Table>> = Vec::new();
    let same = measures
        .iter()
        .all(|measure| measure.table == measures[0].table && measure.time == measures[0].time);
    if same {
        let table = find_table(tables, &measures[0].table)?;
        parts.push(part(table, &measures, query, grain, pseudonyms)?);
        found.push(Arc::clone(table));
    } else {
        for measure in &measures {
            let table = find_table(tables, &measure.table)?;
            let measure = std::slice::from_ref(measure);
            parts.push(part(table, measure, query, grain, pseudonyms)?);
            if !found.iter().any(|known| known.id == table.id) {
                found.push(Arc::clone(table));
            }
        }
    }
    let sql = sql_text::write(metric, &measures, query, grain, &found)?;
    Ok(MetricPlan {
        metric: metric.clone(),
        query: query.clone(),
        grain,
        parts,
        measures,
        tables: found,
        sql,
    })
}

fn part(
    table: &Arc<Table>,
    measures: &[Measured],
    query: &MetricQuery,
    grain: Grain,
    pseudonyms: &Pseudonyms,
) -> Result<Part, QueryError> {
    let time = measures[0].time_field(table)?.to_owned();
    let mut filter = Filter::All;
    if query.from.is_some() || query.to.is_some() {
        filter = filter.and(Filter::Range {
            field: time.clone(),
            from: query.from.map_or(Bound::Unbounded, |from| Bound::Included(Value::Long(from.0))),
            to: query.to.map_or(Bound::Unbounded, |to| Bound::Excluded(Value::Long(to.0))),
        });
    }
    if let Some(filters) = &query.filters {
        filter = filter.and(condition::filter(filters, table, pseudonyms)?);
    }
    let conditions = measures
        .iter()
        .map(|measure| match &measure.condition {
            Some(written) => condition::filter(written, table, pseudonyms).map(Some),
            None => Ok(None),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let asked = match (measures, conditions.as_slice()) {
        // One condition narrows the rows themselves.
        ([measure], [Some(condition)]) => {
            filter = filter.and(condition.clone());
            vec![MeasureOf { measure: measure.aggregate.measure(), filter: None }]
        }
        (measures, conditions) => {
            if let Some(all) = conditions.iter().cloned().collect::<Option<Vec<_>>>() {
                filter = filter.and(Filter::any(all));
            }
            let asked = measures.iter().zip(conditions).map(|(measure, condition)| MeasureOf {
                measure: measure.aggregate.measure(),
                filter: condition.clone(),
            });
            asked.collect()
        }
    };
    let mut groups = Vec::new();
    if let Some(interval) = grain.interval() {
        let by = GroupBy::Date { field: time, interval, time_zone: query.time_zone, offset_ms: 0 };
        groups.push(Group { by, keep_missing: false });
    }
    for dimension in &query.dimensions {
        check_dimension(table, dimension)?;
        groups.push(Group { by: GroupBy::Terms(dimension.clone()), keep_missing: true });
    }
    Ok(Part {
        table: Arc::clone(table),
        question: Question { filter, ask: Ask::Fold { groups, measures: asked } },
    })
}

impl Grain {
    /// The interval of the leaf; `None` for the total.
    pub(super) fn interval(self) -> Option<Interval> {
        match self {
            Grain::Hour => Some(Interval::Hour),
            Grain::Day => Some(Interval::Day),
            Grain::Week => Some(Interval::Week),
            Grain::Month => Some(Interval::Month),
            Grain::Total => None,
        }
    }
}

impl Aggregate {
    fn measure(&self) -> Measure {
        match self {
            Aggregate::Count => Measure::Rows,
            Aggregate::CountOf(field) => Measure::Values(field.clone()),
            Aggregate::Distinct(field) => Measure::Distinct(field.clone()),
            Aggregate::Sum(field) => Measure::Sum(field.clone()),
            Aggregate::Mean(field) => Measure::Mean(field.clone()),
            Aggregate::Min(field) => Measure::Min(field.clone()),
            Aggregate::Max(field) => Measure::Max(field.clone()),
            Aggregate::Quantile(field, rank) => Measure::Quantiles(field.clone(), vec![*rank]),
        }
    }
}

impl MetricPlan {
    /// The tables that it reads.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// What it does with which field.
    pub fn fields(&self) -> Vec<(TableId, FieldUse)> {
        let of = |part: &Part| uses(std::slice::from_ref(&part.table), &part.question);
        self.parts.iter().flat_map(of).collect()
    }

    /// The question without its literals.
    pub fn shape(&self) -> String {
        let mut shape = format!("metric {} by {}", self.metric.name, self.grain.as_str());
        for dimension in &self.query.dimensions {
            shape.push_str(&format!(", {dimension}"));
        }
        for part in &self.parts {
            let filter = leaf::filter_name(&part.question.filter);
            shape.push_str(&format!(" from {} where {filter}", part.table.name));
        }
        shape
    }

    /// The same question in SQL, with the caller's own literals.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Answers it: rows in the order of time, then of the dimensions.
    ///
    /// # Errors
    /// [`QueryError`] sorted by fault.
    pub fn run(&self, scope: &Scope, limits: &Limits) -> Result<MetricAnswer, QueryError> {
        let batches = self
            .parts
            .iter()
            .map(|part| leaf::run_on(scope, &part.question, limits, Some(part.table.id)))
            .collect::<Result<Vec<_>, _>>()?;
        answer::answer(self, &batches, limits)
    }

    /// Whether the metric is a quotient.
    pub(super) fn is_ratio(&self) -> bool {
        matches!(self.metric.kind, MetricKind::Ratio { .. })
    }
}
