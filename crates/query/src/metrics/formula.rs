//! Metrics that are made of measures: arithmetic over the cells of grids.

use super::condition::{self, Literal};
use super::expression::{Expression, Operator};
use super::grid::{Axis, Cell, Dimension, Grid, GridQuestion, Order, Range, Window, grid, number};
use super::join::Join;
use super::model::{Grain, Measured, Metric, MetricKind, MetricModel, Reach, find_table};
use super::plan::{Asked, Row};
use super::span::Span;
use crate::leaf;
use crate::{Limits, Measure, MeasureOf, QueryError, Question, Scope, uses};
use model::{Table, TableId, Value};
use protection::{FieldUse, Pseudonyms};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::Filter;

/// How far back the cells of a grid look from the end of each interval.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Back {
    /// Only over the interval.
    Interval,
    /// To the first row.
    Beginning,
    /// So far, and not over the whole interval if that is longer.
    Exactly(Span),
    /// Over the interval, and so far.
    AtLeast(Span),
    /// To the beginning of the unit in which the interval begins.
    Since(Grain),
}

/// One grid.
#[derive(Debug)]
struct Part {
    table: Arc<Table>,
    time: String,
    back: Back,
    dimensions: Vec<Dimension>,
    filter: Filter,
    joined: Vec<(Join, Vec<Literal>)>,
    measures: Vec<MeasureOf>,
}

/// A cell of the formula.
#[derive(Clone, Copy, Debug)]
struct Place {
    part: usize,
    measure: usize,
    /// Whether it is zero where there is no row.
    is_zero_of_nothing: bool,
}

#[derive(Clone, Debug)]
enum Formula {
    Cell(usize),
    Number(f64),
    Negative(Box<Formula>),
    Binary(Operator, Box<Formula>, Box<Formula>),
}

/// A metric made of measures, planned.
#[derive(Debug)]
pub(super) struct FormulaPlan {
    parts: Vec<Part>,
    places: Vec<Place>,
    /// The name of each place's measure and how far back it looks.
    known: Vec<(String, Back)>,
    formula: Formula,
    /// Whether its numbers are whole.
    pub(super) is_whole: bool,
}

/// What is needed to plan.
pub(super) struct Planner<'a> {
    pub(super) model: &'a MetricModel,
    pub(super) tables: &'a [Arc<Table>],
    pub(super) pseudonyms: &'a Pseudonyms,
    pub(super) asked: &'a Asked,
}

impl FormulaPlan {
    /// Plans a metric.
    pub(super) fn new(planner: &Planner<'_>, metric: &Metric) -> Result<FormulaPlan, QueryError> {
        let mut plan = FormulaPlan {
            parts: Vec::new(),
            places: Vec::new(),
            known: Vec::new(),
            formula: Formula::Number(0.0),
            is_whole: false,
        };
        plan.formula = plan.of_metric(planner, metric)?;
        if let Formula::Cell(_) = plan.formula {
            let measures = planner.model.measures_of(metric);
            let one = measures.first().zip(plan.parts.first());
            plan.is_whole = one.is_some_and(|(of, part)| of.aggregate.is_whole(&part.table));
        }
        Ok(plan)
    }

    fn of_metric(&mut self, planner: &Planner<'_>, metric: &Metric) -> Result<Formula, QueryError> {
        Ok(match &metric.kind {
            MetricKind::Simple { measure } => self.cell(planner, measure, Back::Interval)?,
            MetricKind::Unique { measure, window } => {
                let back = window.map_or(Back::Interval, Back::AtLeast);
                self.cell(planner, measure, back)?
            }
            MetricKind::Cumulative { measure, reach } => {
                let back = match reach {
                    Reach::Beginning => Back::Beginning,
                    Reach::Window(span) => Back::Exactly(*span),
                    Reach::Since(unit) => Back::Since(*unit),
                };
                self.cell(planner, measure, back)?
            }
            MetricKind::Ratio { numerator, denominator } => Formula::Binary(
                Operator::Divide,
                Box::new(self.cell(planner, numerator, Back::Interval)?),
                Box::new(self.cell(planner, denominator, Back::Interval)?),
            ),
            MetricKind::Derived { expression } => self.of_expression(planner, expression)?,
            MetricKind::Conversion(_) | MetricKind::Retention(_) => {
                return Err(QueryError::Internal("a metric with steps in a formula".to_owned()));
            }
        })
    }

    fn of_expression(
        &mut self,
        planner: &Planner<'_>,
        expression: &Expression,
    ) -> Result<Formula, QueryError> {
        Ok(match expression {
            Expression::Number(number) => Formula::Number(*number),
            Expression::Negative(inner) => {
                Formula::Negative(Box::new(self.of_expression(planner, inner)?))
            }
            Expression::Binary(operator, left, right) => Formula::Binary(
                *operator,
                Box::new(self.of_expression(planner, left)?),
                Box::new(self.of_expression(planner, right)?),
            ),
            Expression::Name(name) => match planner.model.metric(name) {
                Some(metric) => self.of_metric(planner, metric)?,
                None => self.cell(planner, name, Back::Interval)?,
            },
        })
    }

    fn cell(
        &mut self,
        planner: &Planner<'_>,
        name: &str,
        back: Back,
    ) -> Result<Formula, QueryError> {
        if let Some(known) = self.known.iter().position(|known| known.0 == name && known.1 == back)
        {
            return Ok(Formula::Cell(known));
        }
        let measure = planner
            .model
            .measure(name)
            .ok_or_else(|| QueryError::Internal("a measure of a metric".to_owned()))?;
        let table = find_table(planner.tables, &measure.table)?;
        let time = measure.time_field(table)?;
        let part = self
            .parts
            .iter()
            .position(|part| part.table.id == table.id && part.time == time && part.back == back);
        let part = match part {
            Some(part) => part,
            None => {
                self.parts.push(Part::new(planner, table, time, back)?);
                self.parts.len() - 1
            }
        };
        let measures = &mut self.parts[part].measures;
        measures.push(measure_of(planner, measure, table)?);
        self.places.push(Place {
            part,
            measure: measures.len() - 1,
            is_zero_of_nothing: measure.aggregate.is_zero_of_nothing(),
        });
        self.known.push((name.to_owned(), back));
        Ok(Formula::Cell(self.places.len() - 1))
    }

    /// The tables that rows are read from.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.parts.iter().flat_map(|part| {
            let cut = part.dimensions.iter().filter_map(Dimension::join).map(Join::table);
            let kept = part.joined.iter().map(|(join, _)| join.table());
            std::iter::once(&part.table).chain(cut).chain(kept)
        })
    }

    /// Whether a dimension or filter comes from another table.
    pub(super) fn has_joins(&self) -> bool {
        self.parts.iter().any(|part| {
            !part.joined.is_empty() || part.dimensions.iter().any(|d| d.join().is_some())
        })
    }

    /// Whether every number is one of its own interval.
    pub(super) fn is_of_intervals(&self) -> bool {
        self.parts.iter().all(|part| part.back == Back::Interval)
    }

    /// What it does with which field.
    pub(super) fn fields(&self, asked: &Asked) -> Vec<(TableId, FieldUse)> {
        let mut found = Vec::new();
        for part in &self.parts {
            let tables = std::slice::from_ref(&part.table);
            let axis = asked.axis(Range { from: Some(0), to: Some(1) });
            let mut question = part.question(axis, part.filter.clone());
            found.extend(uses(tables, &question.to_guard()));
            if part.back != Back::Interval {
                question.measures = bounds_of(&part.time);
                found.extend(uses(tables, &question.to_guard()));
            }
            for (join, _) in &part.joined {
                let exists = Filter::Exists(join.on.clone());
                found.extend(uses(tables, &Question { filter: exists, ask: crate::Ask::Count }));
                found.extend(join.uses());
            }
            found.extend(part.dimensions.iter().filter_map(Dimension::join).flat_map(Join::uses));
        }
        found
    }

    /// Tables and filters without literals.
    pub(super) fn shape(&self) -> String {
        let of = |part: &Part| {
            let mut filter = part.filter.clone();
            let conditions: Option<Vec<Filter>> =
                part.measures.iter().map(|measure| measure.filter.clone()).collect();
            if let Some(conditions) = conditions {
                filter = filter.and(Filter::any(conditions));
            }
            format!(" from {} where {}", part.table.name, leaf::filter_name(&filter))
        };
        self.parts.iter().map(of).collect()
    }

    /// The numbers in a range of time.
    pub(super) fn run(
        &self,
        scope: &Scope,
        asked: &Asked,
        range: Range,
        limits: &Limits,
    ) -> Result<Vec<Row>, QueryError> {
        let mut grids = Vec::with_capacity(self.parts.len());
        let mut under_rule = false;
        for part in &self.parts {
            under_rule |= part.is_under_rule(scope);
            grids.push(part.grid(scope, asked, range, limits)?);
        }
        let cells = self.cells(grids, under_rule);
        let whole = |key: Order, cells: Vec<Cell>| Row {
            key: key.0,
            extra: Vec::new(),
            value: self.value(&cells),
        };
        Ok(cells.into_iter().map(|(key, cells)| whole(key, cells)).collect())
    }

    /// Whether the caller is only told about groups of people.
    pub(super) fn is_under_rule(&self, scope: &Scope) -> bool {
        self.parts.iter().any(|part| part.is_under_rule(scope))
    }

    /// For each key the cells of all grids beside each other.
    fn cells(&self, grids: Vec<Grid>, under_rule: bool) -> BTreeMap<Order, Vec<Cell>> {
        let mut all: BTreeMap<Order, Vec<Cell>> = BTreeMap::new();
        for (part, grid) in grids.into_iter().enumerate() {
            for row in grid {
                let cells =
                    all.entry(Order(row.key)).or_insert_with(|| vec![None; self.places.len()]);
                let places = self.places.iter().enumerate().filter(|(_, of)| of.part == part);
                for (place, of) in places {
                    cells[place] = row.values[of.measure].clone();
                }
            }
        }
        // What was kept back is not nothing, and a measure alone is what the leaf says.
        if !under_rule && !matches!(self.formula, Formula::Cell(_)) {
            for cells in all.values_mut() {
                let zero = cells.iter_mut().zip(&self.places);
                zero.filter(|(cell, of)| cell.is_none() && of.is_zero_of_nothing)
                    .for_each(|(cell, _)| *cell = Some(Value::Long(0)));
            }
        }
        all
    }

    fn value(&self, cells: &[Cell]) -> Cell {
        match &self.formula {
            Formula::Cell(place) => cells[*place].clone(),
            formula => formula.of(cells).map(Value::Double),
        }
    }
}

impl Formula {
    fn of(&self, cells: &[Cell]) -> Option<f64> {
        match self {
            Formula::Cell(place) => cells[*place].as_ref().and_then(number),
            Formula::Number(number) => Some(*number),
            Formula::Negative(inner) => inner.of(cells).map(|number| -number),
            Formula::Binary(operator, left, right) => {
                operator.of(left.of(cells)?, right.of(cells)?)
            }
        }
    }
}

fn measure_of(
    planner: &Planner<'_>,
    measure: &Measured,
    table: &Arc<Table>,
) -> Result<MeasureOf, QueryError> {
    let filter = measure
        .condition
        .as_ref()
        .map(|written| condition::filter(written, table, planner.pseudonyms))
        .transpose()?;
    Ok(MeasureOf { measure: measure.aggregate.measure(), filter })
}

impl Part {
    fn new(
        planner: &Planner<'_>,
        table: &Arc<Table>,
        time: &str,
        back: Back,
    ) -> Result<Part, QueryError> {
        let (filter, joined) = planner.asked.filter(planner, table)?;
        Ok(Part {
            table: Arc::clone(table),
            time: time.to_owned(),
            back,
            dimensions: planner.asked.dimensions(planner, table)?,
            filter,
            joined,
            measures: Vec::new(),
        })
    }

    fn question(&self, axis: Axis, filter: Filter) -> GridQuestion {
        GridQuestion {
            table: Arc::clone(&self.table),
            time: self.time.clone(),
            axis,
            dimensions: self.dimensions.clone(),
            filter,
            measures: self.measures.clone(),
        }
    }

    fn is_under_rule(&self, scope: &Scope) -> bool {
        let question = self.question(Axis::Total(Range::default()), self.filter.clone());
        leaf::has_least_group(scope, self.table.id, &question.to_guard())
    }

    fn grid(
        &self,
        scope: &Scope,
        asked: &Asked,
        range: Range,
        limits: &Limits,
    ) -> Result<Grid, QueryError> {
        let mut filter = self.filter.clone();
        for (join, values) in &self.joined {
            filter = filter.and(join.filter(values, scope, limits)?);
        }
        let axis = match self.back {
            Back::Interval => asked.axis(range),
            back => {
                let bounds = self.bounds(scope, range, &filter, limits)?;
                Axis::Windows {
                    windows: windows(back, asked, bounds, range.to, limits)?,
                    time_zone: asked.query.time_zone,
                }
            }
        };
        grid(scope, &self.question(axis, filter), limits)
    }

    /// The range that is asked for, from the first to the last row where nothing was said.
    fn bounds(
        &self,
        scope: &Scope,
        range: Range,
        filter: &Filter,
        limits: &Limits,
    ) -> Result<Range, QueryError> {
        if range.from.is_some() && range.to.is_some() {
            return Ok(range);
        }
        let conditions: Option<Vec<Filter>> =
            self.measures.iter().map(|measure| measure.filter.clone()).collect();
        let conditions = conditions.map_or(Filter::All, Filter::any);
        let mut question = self.question(Axis::Total(range), filter.clone().and(conditions));
        question.dimensions.clear();
        question.measures = bounds_of(&self.time);
        let found = grid(scope, &question, limits)?;
        let cell = |at: usize| match found.first().and_then(|row| row.values[at].clone()) {
            Some(Value::Long(time)) => Some(time),
            _ => None,
        };
        Ok(Range {
            from: range.from.or(cell(0)),
            to: range.to.or(cell(1).map(|last| last.saturating_add(1))),
        })
    }
}

/// The first and the last moment.
fn bounds_of(time: &str) -> Vec<MeasureOf> {
    let of = |measure| MeasureOf { measure, filter: None };
    vec![of(Measure::Min(time.to_owned())), of(Measure::Max(time.to_owned()))]
}

/// The window of each interval of a range, none if there is no row and nothing was said. Nothing
/// counts from `over` on.
fn windows(
    back: Back,
    asked: &Asked,
    range: Range,
    over: Option<i64>,
    limits: &Limits,
) -> Result<Vec<Window>, QueryError> {
    let (Some(first), Some(end)) = (range.from, range.to) else { return Ok(Vec::new()) };
    let zone = asked.query.time_zone;
    let far = |start: i64, end: i64| match back {
        Back::Interval => Some(start),
        Back::Beginning => None,
        Back::Exactly(span) => Some(span.before(end, zone)),
        Back::AtLeast(span) => Some(span.before(end, zone).min(start)),
        Back::Since(unit) => {
            let begin = unit.interval().and_then(|interval| {
                leaf::interval_starts(interval, zone, start, start, limits.buckets)
            });
            begin.and_then(|starts| starts.first().copied())
        }
    };
    let Some(edges) = asked.edges(first, end.saturating_sub(1), limits)? else {
        // The unit is that of the last moment.
        let start = if let Back::Since(_) = back { end.saturating_sub(1) } else { first };
        let range = Range { from: far(start, end), to: Some(end) };
        return Ok(vec![Window { label: None, range }]);
    };
    let window = |pair: &[i64]| Window {
        label: Some(pair[0]),
        range: Range {
            from: far(pair[0], pair[1]),
            to: Some(over.map_or(pair[1], |over| pair[1].min(over))),
        },
    };
    Ok(edges.windows(2).map(window).collect())
}

impl Dimension {
    /// The join, if it is one.
    pub(super) fn join(&self) -> Option<&Join> {
        match self {
            Dimension::Field(_) => None,
            Dimension::Joined(join) => Some(join),
        }
    }
}
