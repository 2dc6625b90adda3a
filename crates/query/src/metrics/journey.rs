//! Metrics about the way of entities: conversion and retention.
//!
//! Dimensions and filters of a question speak of the row with which an entity starts: that of the
//! first step, or that of the birth.

use super::condition::{self, Literal};
use super::formula::Planner;
use super::grid::{self, Axis, Cell, Dimension, Grid, Range};
use super::join::Join;
use super::model::{Conversion, Entities, Metric, MetricKind, Retained, find_table};
use super::plan::{Asked, Row};
use crate::leaf;
use crate::sql::ColumnInfo;
use crate::{Ask, Funnel, Group, GroupBy, Limits, QueryError, Question, Retention, Scope, uses};
use model::{Table, TableId, Value};
use protection::FieldUse;
use std::sync::Arc;
use storage::Filter;

/// A funnel or a retention, planned.
#[derive(Debug)]
pub(super) struct JourneyPlan {
    table: Arc<Table>,
    entity: String,
    time: String,
    dimensions: Vec<Dimension>,
    /// What the question says about the first row.
    filter: Filter,
    joined: Vec<(Join, Vec<Literal>)>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Funnel { names: Vec<String>, steps: Vec<Filter>, window_ms: i64 },
    Retention { born: Filter, active: Filter, retained: Box<Retained> },
}

impl JourneyPlan {
    /// Plans a metric.
    pub(super) fn new(planner: &Planner<'_>, metric: &Metric) -> Result<JourneyPlan, QueryError> {
        let rows = match &metric.kind {
            MetricKind::Conversion(funnel) => &funnel.rows,
            MetricKind::Retention(retained) => &retained.rows,
            _ => return Err(QueryError::Internal("a metric without steps".to_owned())),
        };
        let table = find_table(planner.tables, &rows.table)?;
        let kind = match &metric.kind {
            MetricKind::Conversion(funnel) => Kind::funnel(planner, funnel, table)?,
            MetricKind::Retention(retained) => Kind::retention(planner, retained, table)?,
            _ => return Err(QueryError::Internal("a metric without steps".to_owned())),
        };
        let (filter, joined) = planner.asked.filter(planner, table)?;
        Ok(JourneyPlan {
            table: Arc::clone(table),
            entity: rows.entity.clone(),
            time: rows.time_field(table)?.to_owned(),
            dimensions: planner.asked.dimensions(planner, table)?,
            filter,
            joined,
            kind,
        })
    }

    /// The tables that rows are read from.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        let cut = self.dimensions.iter().filter_map(Dimension::join).map(Join::table);
        let kept = self.joined.iter().map(|(join, _)| join.table());
        std::iter::once(&self.table).chain(cut).chain(kept)
    }

    /// What it does with which field.
    pub(super) fn fields(&self, asked: &Asked) -> Vec<(TableId, FieldUse)> {
        let tables = std::slice::from_ref(&self.table);
        let mut found = uses(tables, &self.to_guard(asked));
        for join in self.dimensions.iter().filter_map(Dimension::join) {
            found.extend(join.uses());
        }
        for (join, _) in &self.joined {
            let exists = Filter::Exists(join.on.clone());
            found.extend(uses(tables, &Question { filter: exists, ask: Ask::Count }));
            found.extend(join.uses());
        }
        found
    }

    fn to_guard(&self, asked: &Asked) -> Question {
        let name = |dimension: &Dimension| match dimension {
            Dimension::Field(name) => GroupBy::Terms(name.clone()),
            Dimension::Joined(join) => GroupBy::Terms(join.on.clone()),
        };
        let mapped: Vec<GroupBy> = self.dimensions.iter().map(name).collect();
        let range = Range { from: Some(0), to: Some(1) };
        self.question(asked, range, &mapped, self.filter.clone())
    }

    /// Tables and filters without literals.
    pub(super) fn shape(&self) -> String {
        let filters: Vec<String> = match &self.kind {
            Kind::Funnel { steps, .. } => steps.iter().map(leaf::filter_name).collect(),
            Kind::Retention { born, active, .. } => {
                vec![leaf::filter_name(born), leaf::filter_name(active)]
            }
        };
        let (table, own) = (&self.table.name, leaf::filter_name(&self.filter));
        format!(" of {} from {table} where {own} steps {}", self.entity, filters.join(", "))
    }

    /// The columns between the dimensions and the metric: those of the key first.
    pub(super) fn columns(&self) -> Vec<ColumnInfo> {
        let info = |(name, ty): (&str, &str)| ColumnInfo { name: name.into(), ty: ty.into() };
        let columns: &[(&str, &str)] = match &self.kind {
            Kind::Funnel { .. } => &[
                ("step", "long"),
                ("step_name", "keyword"),
                ("entities", "long"),
                ("median_seconds", "double"),
            ],
            Kind::Retention { .. } => &[("period", "long"), ("entities", "long"), ("of", "long")],
        };
        columns.iter().copied().map(info).collect()
    }

    /// Whether the caller is only told about groups of people.
    pub(super) fn is_under_rule(&self, scope: &Scope, asked: &Asked) -> bool {
        leaf::has_least_group(scope, self.table.id, &self.to_guard(asked))
    }

    /// The numbers of those that start in a range of time.
    pub(super) fn run(
        &self,
        scope: &Scope,
        asked: &Asked,
        range: Range,
        limits: &Limits,
    ) -> Result<Vec<Row>, QueryError> {
        let mapped = grid::group_by(scope, &self.dimensions, limits)?;
        let mut filter = self.filter.clone();
        for (join, values) in &self.joined {
            filter = filter.and(join.filter(values, scope, limits)?);
        }
        let question = self.question(asked, range, &mapped, filter);
        let batch = leaf::run_on(scope, &question, limits, Some(self.table.id))?;
        let keys = batch.num_columns() - 2;
        let grid: Grid = grid::rows(&batch, keys)?;
        let rows = grid.into_iter().map(|row| match &self.kind {
            Kind::Funnel { names, .. } => (row.key, row.values, Some(names.as_slice())),
            Kind::Retention { .. } => (row.key, row.values, None),
        });
        let mut first = 0.0;
        let mut answer = Vec::new();
        for (key, values, names) in rows {
            answer.push(match names {
                Some(names) => step(key, &values, names, &mut first),
                None => period(key, &values),
            });
        }
        Ok(answer)
    }

    fn question(
        &self,
        asked: &Asked,
        range: Range,
        mapped: &[GroupBy],
        filter: Filter,
    ) -> Question {
        let mut groups = Vec::new();
        if let Axis::Intervals { interval, time_zone, offset_ms, .. } = asked.axis(range) {
            let field = self.time.clone();
            let by = GroupBy::Date { field, interval, time_zone, offset_ms };
            groups.push(Group { by, keep_missing: false });
        }
        groups.extend(mapped.iter().map(|by| Group { by: by.clone(), keep_missing: true }));
        let in_range = match range == Range::default() {
            true => filter,
            false => range.filter(&self.time).and(filter),
        };
        let (entity, time) = (self.entity.clone(), self.time.clone());
        let ask = match &self.kind {
            Kind::Funnel { steps, window_ms, .. } => {
                let later = Range {
                    from: range.from,
                    to: range.to.map(|to| to.saturating_add(*window_ms)),
                };
                let later = match later == Range::default() {
                    true => Filter::All,
                    false => later.filter(&self.time),
                };
                Ask::Funnel(Funnel {
                    entity,
                    time,
                    groups,
                    first: steps[0].clone().and(in_range),
                    then: steps[1..].iter().map(|step| step.clone().and(later.clone())).collect(),
                    window_ms: *window_ms,
                })
            }
            Kind::Retention { born, active, retained } => Ask::Retention(Box::new(Retention {
                entity,
                time,
                groups,
                born: born.clone(),
                among: in_range,
                active: active.clone(),
                unit: retained.unit.interval().unwrap_or(crate::Interval::Day),
                time_zone: asked.query.time_zone,
                periods: retained.periods.clone(),
                until: asked.query.now.map(|now| now.0),
            })),
        };
        Question { filter: Filter::All, ask }
    }
}

/// Key and step; name, entities, median; share of those of the first step.
fn step(key: Vec<Cell>, values: &[Cell], names: &[String], first: &mut f64) -> Row {
    let step = match key.last() {
        Some(Some(Value::Long(step))) => *step,
        _ => 0,
    };
    let entities = values[0].as_ref().and_then(grid::number).unwrap_or(0.0);
    if step == 1 {
        *first = entities;
    }
    let name = usize::try_from(step - 1).ok().and_then(|at| names.get(at)).cloned();
    let median = values[1].as_ref().and_then(grid::number);
    let extra =
        vec![name.map(Value::Str), values[0].clone(), median.map(|ms| Value::Double(ms / 1000.0))];
    let share = (*first > 0.0).then(|| Value::Double(entities / *first));
    Row { key, extra, value: share }
}

/// Key and period; active entities, all entities; their share.
fn period(key: Vec<Cell>, values: &[Cell]) -> Row {
    let active = values[0].as_ref().and_then(grid::number).unwrap_or(0.0);
    let all = values[1].as_ref().and_then(grid::number).unwrap_or(0.0);
    let share = (all > 0.0).then(|| Value::Double(active / all));
    Row { key, extra: values.to_vec(), value: share }
}

impl Kind {
    fn funnel(
        planner: &Planner<'_>,
        funnel: &Conversion,
        table: &Arc<Table>,
    ) -> Result<Kind, QueryError> {
        let own = own(planner, &funnel.rows, table)?;
        let steps = funnel
            .steps
            .iter()
            .map(|step| {
                let step = condition::filter(&step.condition, table, planner.pseudonyms)?;
                Ok(own.clone().and(step))
            })
            .collect::<Result<_, QueryError>>()?;
        let names = funnel.steps().into_iter().map(str::to_owned).collect();
        let window_ms = funnel.window.fixed_ms().unwrap_or(i64::MAX);
        Ok(Kind::Funnel { names, steps, window_ms })
    }

    fn retention(
        planner: &Planner<'_>,
        retained: &Retained,
        table: &Arc<Table>,
    ) -> Result<Kind, QueryError> {
        let active = own(planner, &retained.rows, table)?;
        let born = match &retained.born {
            Some(born) => condition::filter(born, table, planner.pseudonyms)?,
            None => active.clone(),
        };
        Ok(Kind::Retention { born, active, retained: Box::new(retained.clone()) })
    }
}

/// The condition on all rows of the metric.
fn own(planner: &Planner<'_>, rows: &Entities, table: &Arc<Table>) -> Result<Filter, QueryError> {
    match &rows.condition {
        Some(written) => condition::filter(written, table, planner.pseudonyms),
        None => Ok(Filter::All),
    }
}
