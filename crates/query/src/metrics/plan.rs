//! From a metric and what is asked of it to questions to the leaf.

use super::answer::{self, MetricAnswer};
use super::compare::Before;
use super::condition::{self, Condition, Literal};
use super::formula::{FormulaPlan, Planner};
use super::grid::{Axis, Cell, Dimension, Range};
use super::join::Join;
use super::journey::JourneyPlan;
use super::model::{Aggregate, Empty, Grain, Metric, MetricModel, check_dimension};
use super::request::{MetricQuery, Steps};
use super::sql_text;
use crate::leaf::field::{self, Kind};
use crate::sql::ColumnInfo;
use crate::{Interval, Limits, Measure, QueryError, Scope, leaf};
use chrono_tz::Tz;
use model::{Table, TableId};
use protection::{FieldUse, Pseudonyms};
use std::sync::Arc;
use storage::Filter;

/// A metric, planned, waiting for its permit.
#[derive(Debug)]
pub struct MetricPlan {
    pub(super) metric: Metric,
    pub(super) asked: Asked,
    body: Body,
    tables: Vec<Arc<Table>>,
    pub(super) columns: Vec<ColumnInfo>,
    sql: String,
}

/// The question to a metric, with what the metric says where the question says nothing.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) query: MetricQuery,
    pub(super) grain: Grain,
}

#[derive(Debug)]
enum Body {
    Formula(FormulaPlan),
    Journey(Box<JourneyPlan>),
}

/// The filters of a question in a table: its own fields, and those of joined tables with the values
/// that they may have.
pub(super) type Filters = (Filter, Vec<(Join, Vec<Literal>)>);

/// One row of an answer.
#[derive(Clone, PartialEq)]
pub(super) struct Row {
    /// Time unless the grain is the total, the dimensions, then the step or period if there is one.
    pub(super) key: Vec<Cell>,
    /// What is told beside the number.
    pub(super) extra: Vec<Cell>,
    /// The number.
    pub(super) value: Cell,
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
    for (place, dimension) in query.dimensions.iter().enumerate() {
        if !metric.dimensions.contains(dimension) {
            let known = metric.dimensions.iter().map(String::as_str);
            return Err(QueryError::Invalid(format!(
                "metric `{name}` has no dimension `{dimension}`{}",
                crate::error::nearest(dimension, known)
            )));
        }
        if query.dimensions[..place].contains(dimension) {
            let message = format!("dimension `{dimension}` is named twice");
            return Err(QueryError::Invalid(message));
        }
    }
    let asked = Asked { query: query.clone(), grain: query.grain.unwrap_or(metric.grain) };
    let planner = Planner { model, tables, pseudonyms, asked: &asked };
    let body = match metric.kind.has_steps() {
        false => Body::Formula(FormulaPlan::new(&planner, metric)?),
        true => Body::Journey(Box::new(JourneyPlan::new(&planner, metric)?)),
    };
    let mut found: Vec<Arc<Table>> = Vec::new();
    for table in body.tables() {
        if !found.iter().any(|known| known.id == table.id) {
            found.push(Arc::clone(table));
        }
    }
    let sql = match &body {
        Body::Formula(plan) if plan.is_of_intervals() && !plan.has_joins() => {
            sql_text::write(model, metric, &asked, tables)?
        }
        _ => sql_text::call(metric, &asked),
    };
    let columns = body.columns(metric, &asked, &found, model, tables)?;
    Ok(MetricPlan { metric: metric.clone(), asked, body, tables: found, columns, sql })
}

impl Asked {
    /// How time is cut.
    pub(super) fn axis(&self, range: Range) -> Axis {
        let time_zone = self.query.time_zone;
        if let Some(steps) = self.query.steps {
            let interval = Interval::Fixed(steps.step_ms);
            let offset_ms = steps.from_ms.rem_euclid(steps.step_ms.max(1));
            // Multiples of a fixed length are counted from 1970 in UTC.
            return Axis::Intervals { range, interval, time_zone: Tz::UTC, offset_ms };
        }
        match self.grain.interval() {
            None => Axis::Total(range),
            Some(interval) => Axis::Intervals { range, interval, time_zone, offset_ms: 0 },
        }
    }

    /// Whether keys begin with a time.
    pub(super) fn has_time(&self) -> bool {
        self.query.steps.is_some() || self.grain != Grain::Total
    }

    /// Where the intervals that `first..=last` touches begin, and where the last of them ends;
    /// `None` for the total.
    ///
    /// # Errors
    /// [`QueryError::TooManyGroups`] if there are more than an answer may show.
    pub(super) fn edges(
        &self,
        first: i64,
        last: i64,
        limits: &Limits,
    ) -> Result<Option<Vec<i64>>, QueryError> {
        let most = limits.buckets;
        let edges = match (self.query.steps, self.grain.interval()) {
            (Some(steps), _) => steps.edges(first, last, most),
            (None, None) => return Ok(None),
            (None, Some(interval)) => {
                leaf::interval_edges(interval, self.query.time_zone, first, last, most)
            }
        };
        edges.map(Some).ok_or(QueryError::TooManyGroups { limit: most })
    }

    /// The range that was asked for.
    pub(super) fn range(&self) -> Range {
        Range { from: self.query.from.map(|from| from.0), to: self.query.to.map(|to| to.0) }
    }

    /// The dimensions of the question in a table.
    pub(super) fn dimensions(
        &self,
        planner: &Planner<'_>,
        table: &Arc<Table>,
    ) -> Result<Vec<Dimension>, QueryError> {
        let of = |name: &String| {
            let join = check_dimension(table, name, planner.model.joins(), planner.tables)?;
            Ok(join.map_or_else(|| Dimension::Field(name.clone()), Dimension::Joined))
        };
        self.query.dimensions.iter().map(of).collect()
    }

    /// The filters of the question in a table: its own fields, and those of joined tables.
    pub(super) fn filter(
        &self,
        planner: &Planner<'_>,
        table: &Arc<Table>,
    ) -> Result<Filters, QueryError> {
        let (mut own, mut joined) = (Vec::new(), Vec::new());
        for (name, values) in &self.query.filters {
            match Join::of(name, planner.model.joins(), table, planner.tables)? {
                Some(join) if field::find(table, name).is_none() => {
                    joined.push((join, values.clone()));
                }
                _ => own.push((name.clone(), values.clone())),
            }
        }
        let filter = match own.is_empty() {
            true => Filter::All,
            false => condition::filter(&Condition::Fields(own), table, planner.pseudonyms)?,
        };
        Ok((filter, joined))
    }
}

impl Steps {
    fn edges(self, first: i64, last: i64, most: usize) -> Option<Vec<i64>> {
        let step = self.step_ms.max(1);
        let before = first.checked_sub(self.from_ms)?.rem_euclid(step);
        let start = first.checked_sub(before)?;
        let count = last.checked_sub(start)? / step + 1;
        let count = usize::try_from(count).ok().filter(|count| *count <= most)?;
        (0..=count as i64).map(|number| start.checked_add(number.checked_mul(step)?)).collect()
    }
}

impl Body {
    fn tables(&self) -> Box<dyn Iterator<Item = &Arc<Table>> + '_> {
        match self {
            Body::Formula(plan) => Box::new(plan.tables()),
            Body::Journey(plan) => Box::new(plan.tables()),
        }
    }

    fn columns(
        &self,
        metric: &Metric,
        asked: &Asked,
        found: &[Arc<Table>],
        model: &MetricModel,
        tables: &[Arc<Table>],
    ) -> Result<Vec<ColumnInfo>, QueryError> {
        let info = |name: &str, ty: &str| ColumnInfo { name: name.to_owned(), ty: ty.to_owned() };
        let mut columns = Vec::new();
        if asked.has_time() {
            columns.push(info("time", "datetime"));
        }
        // The first table is that of the rows; all others have the same dimensions.
        let own = found.first().map_or(&[][..], std::slice::from_ref);
        for dimension in &asked.query.dimensions {
            let is_joined = match own {
                [table] => check_dimension(table, dimension, model.joins(), tables)?.is_some(),
                _ => false,
            };
            let kind = if is_joined { None } else { field::kind(own, dimension)? };
            columns.push(info(
                dimension,
                match kind {
                    Some(Kind::Long) => "long",
                    Some(Kind::Double) => "double",
                    Some(Kind::Bool) => "boolean",
                    Some(Kind::Date) => "datetime",
                    _ => "keyword",
                },
            ));
        }
        let ty = match self {
            Body::Formula(plan) if plan.is_whole => "long",
            Body::Formula(_) => "double",
            Body::Journey(plan) => {
                columns.extend(plan.columns());
                "double"
            }
        };
        columns.push(info(&metric.name, ty));
        if asked.query.compare.is_some() {
            columns.push(info("previous", ty));
            columns.push(info("change", "double"));
        }
        Ok(columns)
    }
}

impl Grain {
    /// The interval of the leaf; `None` for the total.
    pub(super) fn interval(self) -> Option<Interval> {
        Some(match self {
            Grain::Minute => Interval::Minute,
            Grain::Hour => Interval::Hour,
            Grain::Day => Interval::Day,
            Grain::Week => Interval::Week,
            Grain::Month => Interval::Month,
            Grain::Quarter => Interval::Quarter,
            Grain::Year => Interval::Year,
            Grain::Total => return None,
        })
    }
}

impl Aggregate {
    /// What the leaf computes.
    pub(super) fn measure(&self) -> Measure {
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
    /// The tables that it reads, that of the rows first.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// Its columns: `time` unless the grain is the total, the dimensions, those of steps or
    /// periods, the metric, and with a comparison `previous` and `change`.
    pub fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    /// Its columns as [`MetricAnswer::to_arrow`] gives them.
    pub(crate) fn schema(&self) -> arrow::datatypes::SchemaRef {
        answer::arrow_schema(&self.columns)
    }

    /// What it does with which field.
    pub fn fields(&self) -> Vec<(TableId, FieldUse)> {
        match &self.body {
            Body::Formula(plan) => plan.fields(&self.asked),
            Body::Journey(plan) => plan.fields(&self.asked),
        }
    }

    /// The question without its literals.
    pub fn shape(&self) -> String {
        let mut shape = format!("metric {} by {}", self.metric.name, self.asked.grain.as_str());
        for dimension in &self.asked.query.dimensions {
            shape.push_str(&format!(", {dimension}"));
        }
        shape.push_str(&match &self.body {
            Body::Formula(plan) => plan.shape(),
            Body::Journey(plan) => plan.shape(),
        });
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
        let range = self.asked.range();
        let mut rows = self.numbers(scope, range, limits)?;
        let mut compared = None;
        if let Some(compare) = self.asked.query.compare {
            let before = Before::of(compare, &self.asked, range, limits)?;
            compared = Some(before.rows(self.numbers(scope, before.range(), limits)?));
        }
        if let Some(before) = &mut compared {
            answer::align(&mut rows, before);
        }
        answer::answer(self, rows, compared, limits)
    }

    /// The rows of a range, with zeros where the metric wants them.
    fn numbers(
        &self,
        scope: &Scope,
        range: Range,
        limits: &Limits,
    ) -> Result<Vec<Row>, QueryError> {
        let mut rows = match &self.body {
            Body::Formula(plan) => plan.run(scope, &self.asked, range, limits)?,
            Body::Journey(plan) => return plan.run(scope, &self.asked, range, limits),
        };
        // What was kept back is not nothing.
        let is_told = match &self.body {
            Body::Formula(plan) => !plan.is_under_rule(scope),
            Body::Journey(plan) => !plan.is_under_rule(scope, &self.asked),
        };
        if self.metric.empty == Empty::Zero && self.asked.has_time() && is_told {
            answer::fill(self, &mut rows, range, limits)?;
        }
        Ok(rows)
    }

    /// Whether its numbers are whole.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.body, Body::Formula(plan) if plan.is_whole)
    }
}
