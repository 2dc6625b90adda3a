//! The one way in which metrics ask for numbers: measures × time × dimensions over a table.
//!
//! Every metric that is made of measures asks through [`grid`]. What stands below (rows today,
//! pre-aggregated rows where they cover a segment) is decided here and in the leaf, and knows
//! nothing of types of metrics.

use super::join::Join;
use crate::leaf;
use crate::{
    Ask, Group, GroupBy, Interval, Limits, Measure, MeasureOf, QueryError, Question, Scope,
};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use chrono_tz::Tz;
use model::{Table, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use storage::Filter;

/// A cell: a key or a number; `None` where there is none.
pub(super) type Cell = Option<Value>;

/// What is asked of one table.
///
/// A group stands in the answer if at least one row of it counts for at least one measure.
#[derive(Clone, Debug)]
pub(super) struct GridQuestion {
    /// The table.
    pub(super) table: Arc<Table>,
    /// Its date field.
    pub(super) time: String,
    /// How time is cut.
    pub(super) axis: Axis,
    /// How rows are cut.
    pub(super) dimensions: Vec<Dimension>,
    /// Which rows, without the time.
    pub(super) filter: Filter,
    /// What is computed.
    pub(super) measures: Vec<MeasureOf>,
}

/// By what rows are cut.
#[derive(Clone, Debug)]
pub(super) enum Dimension {
    /// A field of the table.
    Field(String),
    /// A field of an entities table, as it is now.
    Joined(Join),
}

/// From when (inclusive) to when (exclusive), in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
}

/// How time is cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Axis {
    /// Not at all: keys have no time.
    Total(Range),
    /// Into intervals, each row in one: keys begin with the start of the interval.
    Intervals { range: Range, interval: Interval, time_zone: Tz, offset_ms: i64 },
    /// Into windows that may overlap: keys begin with the label of the window.
    Windows { windows: Vec<Window>, time_zone: Tz },
}

/// A stretch of time under a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// What its rows are called; `None` for the total: then keys have no time.
    pub(super) label: Option<i64>,
    pub(super) range: Range,
}

/// One group.
#[derive(Clone, PartialEq)]
pub(super) struct GridRow {
    /// Time unless the axis is the total, then the dimensions.
    pub(super) key: Vec<Cell>,
    /// One for each measure.
    pub(super) values: Vec<Cell>,
}

/// The numbers, in the order of their keys.
pub(super) type Grid = Vec<GridRow>;

/// Answers `question`. All numbers of all metrics made of measures come from here.
///
/// # Errors
/// [`QueryError`] sorted by fault; overlapping windows are refused to a caller who is only told
/// about groups of people, because the difference of two of them may be one person.
pub(super) fn grid(
    scope: &Scope,
    question: &GridQuestion,
    limits: &Limits,
) -> Result<Grid, QueryError> {
    match &question.axis {
        Axis::Total(range) => folded(scope, question, None, *range, limits),
        Axis::Intervals { range, interval, time_zone, offset_ms } => {
            let by = GroupBy::Date {
                field: question.time.clone(),
                interval: *interval,
                time_zone: *time_zone,
                offset_ms: *offset_ms,
            };
            folded(scope, question, Some(by), *range, limits)
        }
        Axis::Windows { windows, time_zone } => {
            windowed(scope, question, windows, *time_zone, limits)
        }
    }
}

impl GridQuestion {
    /// The question for the leaf; joins take the place of their dimensions as they are in `mapped`.
    fn to_leaf(&self, time: Option<GroupBy>, range: Range, mapped: &[GroupBy]) -> Question {
        let mut filter = self.filter.clone();
        if range != Range::default() {
            filter = filter.and(range.filter(&self.time));
        }
        let conditions: Option<Vec<Filter>> =
            self.measures.iter().map(|measure| measure.filter.clone()).collect();
        let measures = match (self.measures.as_slice(), conditions) {
            // One condition narrows the rows themselves.
            ([one], Some(mut condition)) => {
                filter = filter.and(condition.swap_remove(0));
                vec![MeasureOf { measure: one.measure.clone(), filter: None }]
            }
            (measures, Some(mut conditions)) => {
                conditions.dedup();
                filter = filter.and(Filter::any(conditions));
                measures.to_vec()
            }
            (measures, None) => measures.to_vec(),
        };
        let mut groups = Vec::new();
        groups.extend(time.map(|by| Group { by, keep_missing: false }));
        groups.extend(mapped.iter().map(|by| Group { by: by.clone(), keep_missing: true }));
        Question { filter, ask: Ask::Fold { groups, measures } }
    }

    /// The question as the guard sees it.
    pub(super) fn to_guard(&self) -> Question {
        let time = GroupBy::Terms(self.time.clone());
        let named = |dimension: &Dimension| {
            GroupBy::Terms(match dimension {
                Dimension::Field(name) => name.clone(),
                Dimension::Joined(join) => join.on.clone(),
            })
        };
        let dimensions: Vec<GroupBy> = self.dimensions.iter().map(named).collect();
        let has_range = match &self.axis {
            Axis::Total(range) | Axis::Intervals { range, .. } => *range != Range::default(),
            Axis::Windows { .. } => true,
        };
        let range = if has_range { Range { from: Some(0), to: None } } else { Range::default() };
        let has_time = !matches!(self.axis, Axis::Total(_));
        self.to_leaf(has_time.then_some(time), range, &dimensions)
    }
}

impl Range {
    /// Rows whose date lies in it.
    pub(super) fn filter(self, time: &str) -> Filter {
        Filter::Range {
            field: time.to_owned(),
            from: self.from.map_or(Bound::Unbounded, |from| Bound::Included(Value::Long(from))),
            to: self.to.map_or(Bound::Unbounded, |to| Bound::Excluded(Value::Long(to))),
        }
    }
}

/// How each dimension groups rows.
pub(super) fn group_by(
    scope: &Scope,
    dimensions: &[Dimension],
    limits: &Limits,
) -> Result<Vec<GroupBy>, QueryError> {
    dimensions
        .iter()
        .map(|dimension| match dimension {
            Dimension::Field(name) => Ok(GroupBy::Terms(name.clone())),
            Dimension::Joined(join) => Ok(GroupBy::Mapped {
                field: join.on.clone(),
                mapping: join.mapping(scope, limits)?,
            }),
        })
        .collect()
}

fn folded(
    scope: &Scope,
    question: &GridQuestion,
    time: Option<GroupBy>,
    range: Range,
    limits: &Limits,
) -> Result<Grid, QueryError> {
    let keys = usize::from(time.is_some()) + question.dimensions.len();
    let mapped = group_by(scope, &question.dimensions, limits)?;
    let asked = question.to_leaf(time, range, &mapped);
    let batch = leaf::run_on(scope, &asked, limits, Some(question.table.id))?;
    rows(&batch, keys)
}

/// Numbers of windows: added up from the pieces that their ends cut time into where the measures
/// can be added up, otherwise each row in all windows that it lies in.
fn windowed(
    scope: &Scope,
    question: &GridQuestion,
    windows: &[Window],
    time_zone: Tz,
    limits: &Limits,
) -> Result<Grid, QueryError> {
    let labelled = |grid: Grid, window: &Window| {
        let label = window.label.map(|label| Some(Value::Long(label)));
        let with = |row: GridRow| GridRow {
            key: label.clone().into_iter().chain(row.key).collect(),
            values: row.values,
        };
        grid.into_iter().map(with).collect::<Grid>()
    };
    match windows {
        [] => return Ok(Vec::new()),
        [one] => {
            let grid = folded(scope, question, None, one.range, limits)?;
            return Ok(labelled(grid, one));
        }
        _ => {}
    }
    let overlap = windows.windows(2).any(|pair| match (pair[0].range.to, pair[1].range.from) {
        (Some(to), Some(from)) => from < to,
        _ => true,
    });
    let by_table = question.to_leaf(None, Range::default(), &[]);
    if leaf::has_least_group(scope, question.table.id, &by_table) {
        if overlap {
            return Err(QueryError::NotPermitted {
                field: question.time.clone(),
                why: "is only told about groups of people, and windows that overlap could be \
                      taken apart: ask for a metric without a window",
            });
        }
        // Pieces of a window may be too small to be told about where the window is not.
        return by_ranges(scope, question, windows, limits);
    }
    let adds_up = |of: &MeasureOf| {
        matches!(
            of.measure,
            Measure::Rows
                | Measure::Values(_)
                | Measure::Sum(_)
                | Measure::Min(_)
                | Measure::Max(_)
        )
    };
    let places = 0..question.measures.len();
    let (added, others): (Vec<usize>, Vec<usize>) =
        places.partition(|place| adds_up(&question.measures[*place]));
    let width = question.measures.len();
    let mut all: BTreeMap<Order, Vec<Cell>> = BTreeMap::new();
    for (places, is_added) in [(added, true), (others, false)] {
        if places.is_empty() {
            continue;
        }
        let measures = places.iter().map(|place| question.measures[*place].clone()).collect();
        let question = GridQuestion { measures, ..question.clone() };
        let grid = match is_added {
            true => added_up(scope, &question, windows, time_zone, limits)?,
            false => by_ranges(scope, &question, windows, limits)?,
        };
        for row in grid {
            let cells = all.entry(Order(row.key)).or_insert_with(|| vec![None; width]);
            for (place, value) in places.iter().zip(row.values) {
                cells[*place] = value;
            }
        }
    }
    Ok(all.into_iter().map(|(key, values)| GridRow { key: key.0, values }).collect())
}

/// Each row in all windows that it lies in.
fn by_ranges(
    scope: &Scope,
    question: &GridQuestion,
    windows: &[Window],
    limits: &Limits,
) -> Result<Grid, QueryError> {
    let ranges: Vec<(Option<f64>, Option<f64>)> = windows
        .iter()
        .map(|window| (window.range.from.map(|ms| ms as f64), window.range.to.map(|ms| ms as f64)))
        .collect();
    let by = GroupBy::Ranges { field: question.time.clone(), ranges };
    let mut grid = folded(scope, question, Some(by), hull(windows), limits)?;
    for row in &mut grid {
        if let Some(Some(Value::Long(place))) = row.key.first() {
            let window = windows.get(*place as usize);
            row.key[0] = window.and_then(|window| window.label).map(Value::Long);
        }
    }
    grid.sort_by(|left, right| compare(&left.key, &right.key));
    Ok(grid)
}

/// From the first beginning to the last end.
fn hull(windows: &[Window]) -> Range {
    let from = windows.iter().map(|window| window.range.from).min().flatten();
    let is_open = windows.iter().any(|window| window.range.to.is_none());
    let to = windows.iter().filter_map(|window| window.range.to).max().filter(|_| !is_open);
    Range { from, to }
}

fn added_up(
    scope: &Scope,
    question: &GridQuestion,
    windows: &[Window],
    time_zone: Tz,
    limits: &Limits,
) -> Result<Grid, QueryError> {
    let mut edges: Vec<i64> =
        windows.iter().flat_map(|window| [window.range.from, window.range.to]).flatten().collect();
    edges.sort_unstable();
    edges.dedup();
    let hull = hull(windows);
    let by = pieces(question, &edges, hull, time_zone, limits);
    let is_ranges = matches!(by, GroupBy::Ranges { .. });
    let grid = folded(scope, question, Some(by), hull, limits)?;
    let width = question.dimensions.len();
    // For each combination of dimensions its pieces in the order of time.
    let mut series: BTreeMap<Order, Vec<(i64, Vec<Cell>)>> = BTreeMap::new();
    for row in grid {
        let Some(Some(Value::Long(piece))) = row.key.first() else { continue };
        let start = match is_ranges {
            // Piece 0 lies before the first edge.
            true => usize::try_from(piece - 1).map_or(i64::MIN, |place| edges[place]),
            false => *piece,
        };
        let group = Order(row.key[1..=width].to_vec());
        series.entry(group).or_default().push((start, row.values));
    }
    let mut rows = Vec::new();
    for window in windows {
        for (group, pieces) in &series {
            limits.check()?;
            let from = window.range.from.unwrap_or(i64::MIN);
            let to = window.range.to.unwrap_or(i64::MAX);
            let first = pieces.partition_point(|(start, _)| *start < from);
            let mut values: Option<Vec<Cell>> = None;
            for (_, piece) in pieces[first..].iter().take_while(|(start, _)| *start < to) {
                values = Some(match values {
                    None => piece.clone(),
                    Some(sum) => {
                        let parts = sum.into_iter().zip(piece).zip(&question.measures);
                        parts.map(|((sum, part), of)| merged(&of.measure, sum, part)).collect()
                    }
                });
            }
            if let Some(values) = values {
                let label = window.label.map(|label| Some(Value::Long(label)));
                let key = label.into_iter().chain(group.0.iter().cloned()).collect();
                rows.push(GridRow { key, values });
            }
        }
    }
    Ok(rows)
}

/// How time is cut at these edges: by days or hours if all edges are such, which costs a row one
/// step; otherwise by ranges. No row lies behind the end of the hull.
fn pieces(
    question: &GridQuestion,
    edges: &[i64],
    hull: Range,
    time_zone: Tz,
    limits: &Limits,
) -> GroupBy {
    let field = question.time.clone();
    if let (Some(&first), Some(&last)) = (edges.first(), edges.last()) {
        for interval in [Interval::Day, Interval::Hour] {
            let starts = leaf::interval_edges(interval, time_zone, first, last, limits.buckets);
            let is_cut = |starts: &Vec<i64>, edge: &i64| {
                Some(*edge) == hull.to || starts.binary_search(edge).is_ok()
            };
            let all = |starts: &Vec<i64>| edges.iter().all(|edge| is_cut(starts, edge));
            if starts.as_ref().is_some_and(all) {
                return GroupBy::Date { field, interval, time_zone, offset_ms: 0 };
            }
        }
    }
    let end = |at: usize| edges.get(at).map(|&edge| edge as f64);
    let ranges = (0..=edges.len()).map(|at| (at.checked_sub(1).and_then(end), end(at))).collect();
    GroupBy::Ranges { field, ranges }
}

/// Two pieces of one measure together.
fn merged(measure: &Measure, left: Cell, right: &Cell) -> Cell {
    let (Some(left), Some(right)) = (&left, right) else { return left.or_else(|| right.clone()) };
    let order = compare(&[Some(left.clone())], &[Some(right.clone())]);
    Some(match measure {
        Measure::Min(_) => if order.is_le() { left } else { right }.clone(),
        Measure::Max(_) => if order.is_ge() { left } else { right }.clone(),
        _ => match (left, right) {
            (Value::Long(left), Value::Long(right)) => match left.checked_add(*right) {
                Some(sum) => Value::Long(sum),
                None => Value::Double(*left as f64 + *right as f64),
            },
            (left, right) => {
                Value::Double(number(left).unwrap_or(0.0) + number(right).unwrap_or(0.0))
            }
        },
    })
}

/// A value as a number, if it is one.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Long(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        Value::Str(_) | Value::Bool(_) => None,
    }
}

/// Keys in the order of [`compare`].
#[derive(Clone, PartialEq)]
pub(super) struct Order(pub(super) Vec<Cell>);

impl Eq for Order {}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Order) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Order {
    fn cmp(&self, other: &Order) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// The order of the leaf: by value, missing last.
pub(super) fn compare(left: &[Cell], right: &[Cell]) -> Ordering {
    let one = |left: &Cell, right: &Cell| match (left, right) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(Value::Str(left)), Some(Value::Str(right))) => left.cmp(right),
        (Some(Value::Long(left)), Some(Value::Long(right))) => left.cmp(right),
        (Some(Value::Double(left)), Some(Value::Double(right))) => left.total_cmp(right),
        (Some(Value::Bool(left)), Some(Value::Bool(right))) => left.cmp(right),
        (Some(left), Some(right)) => rank(left).cmp(&rank(right)),
    };
    let orders = left.iter().zip(right).map(|(left, right)| one(left, right));
    orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Bool(_) => 0,
        Value::Long(_) => 1,
        Value::Double(_) => 2,
        Value::Str(_) => 3,
    }
}

/// The rows of a batch: the first `keys` columns are the key.
pub(super) fn rows(batch: &RecordBatch, keys: usize) -> Result<Grid, QueryError> {
    (0..batch.num_rows())
        .map(|row| {
            let cell = |column: usize| value(batch.column(column), row);
            let key = (0..keys).map(cell).collect::<Result<_, _>>()?;
            let values = (keys..batch.num_columns()).map(cell).collect::<Result<_, _>>()?;
            Ok(GridRow { key, values })
        })
        .collect()
}

fn value(column: &ArrayRef, row: usize) -> Result<Cell, QueryError> {
    if column.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match column.data_type() {
        DataType::Utf8 => Value::Str(column.as_string::<i32>().value(row).to_owned()),
        DataType::Int64 => Value::Long(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt32 => Value::Long(i64::from(column.as_primitive::<UInt32Type>().value(row))),
        DataType::UInt64 => {
            let count = column.as_primitive::<UInt64Type>().value(row);
            Value::Long(i64::try_from(count).unwrap_or(i64::MAX))
        }
        DataType::Float64 => Value::Double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::List(_) => {
            let quantiles = column.as_list::<i32>().value(row);
            return value(&quantiles, 0);
        }
        _ => return Err(QueryError::Internal("a value of a metric".to_owned())),
    }))
}
