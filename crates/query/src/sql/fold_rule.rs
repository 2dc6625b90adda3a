//! Aggregates over one table become a fold of the leaf.

use super::filter::{literal, text, truth};
use super::table::{FoldTable, LeafTable};
use crate::leaf::field::{self, Kind};
use crate::{Group, GroupBy, Interval, Measure, MeasureOf};
use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::{
    Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Projection, TableScan,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use model::Table;
use std::collections::HashMap;
use std::sync::Arc;
use storage::Filter;

/// The name of a fold inside a plan.
const FOLD: &str = "__fold";
/// A fixed day, for intervals that are written in days.
const DAY_MS: i64 = 86_400_000;

/// Replaces an aggregate over a table by the scan of a [`FoldTable`], if the leaf can compute all
/// of it; otherwise nothing changes and DataFusion aggregates the rows.
#[derive(Debug)]
pub(super) struct FoldRule;

impl OptimizerRule for FoldRule {
    fn name(&self) -> &str {
        "clerestory_fold"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        match fold(aggregate)? {
            Some(folded) => Ok(Transformed::yes(folded)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// The table below an aggregate, and what stands between.
struct Base {
    table: Arc<Table>,
    filter: Filter,
    /// What the columns of the input are made from, if not just columns of the table.
    columns: Option<HashMap<String, Expr>>,
}

fn fold(aggregate: &Aggregate) -> Result<Option<LogicalPlan>, DataFusionError> {
    let Some(base) = base(&aggregate.input)? else { return Ok(None) };
    let mut groups = Vec::new();
    for expr in &aggregate.group_expr {
        match group(&base.settled(expr)?, &base.table) {
            Some(by) => groups.push(Group { by, keep_missing: true }),
            None => return Ok(None),
        }
    }
    let mut measures = Vec::new();
    for expr in &aggregate.aggr_expr {
        match measure(&base, expr, !groups.is_empty())? {
            Some(measure) => measures.push(measure),
            None => return Ok(None),
        }
    }
    let names = (0..groups.len())
        .map(|n| format!("g{n}"))
        .chain((0..measures.len()).map(|n| format!("m{n}")));
    let fields: Vec<Field> = names
        .zip(aggregate.schema.fields())
        .map(|(name, field)| Field::new(name, field.data_type().clone(), field.is_nullable()))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let fold = FoldTable::new(base.table, base.filter, groups, measures, Arc::clone(&schema));
    let scan = LogicalPlanBuilder::scan(FOLD, provider_as_source(Arc::new(fold)), None)?.build()?;
    let outputs =
        aggregate.schema.iter().zip(schema.fields()).map(|((relation, field), folded)| {
            Expr::Column(Column::new(Some(FOLD), folded.name()))
                .alias_qualified(relation.cloned(), field.name())
        });
    let projection = Projection::try_new(outputs.collect(), Arc::new(scan))?;
    Ok(Some(LogicalPlan::Projection(projection)))
}

/// Looks through what changes no row: projections, aliases, and filters that can be pushed down.
fn base(plan: &LogicalPlan) -> Result<Option<Base>, DataFusionError> {
    match plan {
        LogicalPlan::TableScan(scan) => scanned(scan),
        LogicalPlan::SubqueryAlias(alias) => base(&alias.input),
        LogicalPlan::Filter(filter) => {
            let Some(mut base) = base(&filter.input)? else { return Ok(None) };
            let condition = base.settled(&filter.predicate)?;
            Ok(truth(&condition, &base.table).map(|filter| {
                base.filter = std::mem::replace(&mut base.filter, Filter::All).and(filter);
                base
            }))
        }
        LogicalPlan::Projection(projection) => {
            let Some(mut base) = base(&projection.input)? else { return Ok(None) };
            let mut columns = HashMap::new();
            for (expr, field) in projection.expr.iter().zip(projection.schema.fields()) {
                let settled = base.settled(expr)?.unalias_nested().data;
                if columns.insert(field.name().clone(), settled).is_some() {
                    return Ok(None);
                }
            }
            base.columns = Some(columns);
            Ok(Some(base))
        }
        _ => Ok(None),
    }
}

fn scanned(scan: &TableScan) -> Result<Option<Base>, DataFusionError> {
    let provider = source_as_provider(&scan.source)?;
    let Some(leaf) = provider.downcast_ref::<LeafTable>() else { return Ok(None) };
    if scan.fetch.is_some() || leaf.has_top() {
        return Ok(None);
    }
    let mut base = Base { table: Arc::clone(leaf.table()), filter: Filter::All, columns: None };
    for condition in &scan.filters {
        match truth(condition, &base.table) {
            Some(filter) => base.filter = base.filter.and(filter),
            None => return Ok(None),
        }
    }
    Ok(Some(base))
}

impl Base {
    /// An expression over the input, over the columns of the table.
    fn settled(&self, expr: &Expr) -> Result<Expr, DataFusionError> {
        let Some(columns) = &self.columns else { return Ok(expr.clone()) };
        let settled = expr.clone().transform_up(|part| match &part {
            Expr::Column(column) => match columns.get(&column.name) {
                Some(made_from) => Ok(Transformed::yes(made_from.clone())),
                None => Ok(Transformed::no(part)),
            },
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(settled.data)
    }
}

/// The field that an expression is, through aliases.
fn plain_column(expr: &Expr, table: &Table) -> Option<(String, Kind)> {
    match expr {
        Expr::Alias(alias) => plain_column(&alias.expr, table),
        Expr::Column(column) => {
            let found = field::find(table, &column.name)?;
            Some((column.name.clone(), Kind::of(found)))
        }
        _ => None,
    }
}

fn group(expr: &Expr, table: &Table) -> Option<GroupBy> {
    if let Some((name, kind)) = plain_column(expr, table) {
        let has_column = !matches!(kind, Kind::Text | Kind::Sealed);
        return has_column.then_some(GroupBy::Terms(name));
    }
    match expr {
        Expr::Alias(alias) => group(&alias.expr, table),
        Expr::ScalarFunction(function) => interval_group(function, table),
        _ => None,
    }
}

/// `date_trunc('hour', field)` and `date_bin(interval, field)`.
fn interval_group(function: &ScalarFunction, table: &Table) -> Option<GroupBy> {
    let length = literal(function.args.first()?)?;
    let (field, kind) = plain_column(same_moment(function.args.get(1)?), table)?;
    if kind != Kind::Date {
        return None;
    }
    let (interval, offset_ms) = match (function.name(), function.args.get(2)) {
        ("date_trunc", None) => {
            let interval = match text(length)?.to_lowercase().as_str() {
                "second" => Interval::Fixed(1000),
                "minute" => Interval::Minute,
                "hour" => Interval::Hour,
                "day" => Interval::Day,
                "week" => Interval::Week,
                "month" => Interval::Month,
                "quarter" => Interval::Quarter,
                "year" => Interval::Year,
                _ => return None,
            };
            (interval, 0)
        }
        ("date_bin", origin) => {
            let step = fixed_ms(length)?;
            let offset = match origin {
                None => 0,
                Some(origin) => moment_ms(literal(origin)?)?.rem_euclid(step),
            };
            (Interval::Fixed(step), offset)
        }
        _ => return None,
    };
    Some(GroupBy::Date { field, interval, time_zone: chrono_tz::UTC, offset_ms })
}

/// What is cast to another unit of time, in UTC as all dates are.
fn same_moment(expr: &Expr) -> &Expr {
    use arrow::datatypes::DataType;
    match expr {
        Expr::Cast(cast) => match cast.field.data_type() {
            DataType::Timestamp(_, Some(zone)) if matches!(&**zone, "UTC" | "+00:00") => &cast.expr,
            _ => expr,
        },
        other => other,
    }
}

/// The length of an interval that is always equally long.
fn fixed_ms(interval: &ScalarValue) -> Option<i64> {
    let (days, nanoseconds) = match interval {
        ScalarValue::IntervalMonthDayNano(Some(value)) if value.months == 0 => {
            (i64::from(value.days), value.nanoseconds)
        }
        ScalarValue::IntervalDayTime(Some(value)) => {
            (i64::from(value.days), i64::from(value.milliseconds).checked_mul(1_000_000)?)
        }
        ScalarValue::DurationMillisecond(Some(value)) => return (*value > 0).then_some(*value),
        ScalarValue::DurationSecond(Some(value)) => {
            return value.checked_mul(1000).filter(|ms| *ms > 0);
        }
        _ => return None,
    };
    if nanoseconds % 1_000_000 != 0 {
        return None;
    }
    let step = days.checked_mul(DAY_MS)?.checked_add(nanoseconds / 1_000_000)?;
    (step > 0).then_some(step)
}

fn moment_ms(moment: &ScalarValue) -> Option<i64> {
    match moment {
        ScalarValue::TimestampSecond(Some(value), _) => value.checked_mul(1000),
        ScalarValue::TimestampMillisecond(Some(value), _) => Some(*value),
        ScalarValue::TimestampMicrosecond(Some(value), _) => {
            (value % 1_000 == 0).then_some(value / 1_000)
        }
        ScalarValue::TimestampNanosecond(Some(value), _) => {
            (value % 1_000_000 == 0).then_some(value / 1_000_000)
        }
        _ => None,
    }
}

fn measure(base: &Base, expr: &Expr, grouped: bool) -> Result<Option<MeasureOf>, DataFusionError> {
    let expr = expr.clone().unalias();
    let Expr::AggregateFunction(AggregateFunction { func, params }) = &expr else {
        return Ok(None);
    };
    let mut filter = match &params.filter {
        None => None,
        Some(condition) => match truth(&base.settled(condition)?, &base.table) {
            Some(filter) => Some(filter),
            None => return Ok(None),
        },
    };
    let args = params.args.iter().map(|arg| base.settled(arg)).collect::<Result<Vec<_>, _>>()?;
    let of = args.first().and_then(|arg| measured(arg, &base.table));
    let measure = match (func.name(), params.distinct, args.as_slice()) {
        ("count", false, []) => Some(Measure::Rows),
        ("count", false, [arg]) => match literal(arg) {
            Some(value) if !value.is_null() => Some(Measure::Rows),
            Some(_) => None,
            None => match plain_column(arg, &base.table) {
                Some((name, _)) => Some(Measure::Values(name)),
                None => counted_case(arg, &mut filter, &base.table),
            },
        },
        ("sum", false, [arg]) if grouped && of.is_none() => {
            summed_case(arg, &mut filter, &base.table)
        }
        ("count", true, [arg]) => plain_column(arg, &base.table)
            .filter(|(_, kind)| !matches!(kind, Kind::Text | Kind::Sealed))
            .map(|(name, _)| Measure::Distinct(name)),
        ("approx_distinct", false, [arg]) => plain_column(arg, &base.table)
            .filter(|(_, kind)| !matches!(kind, Kind::Text | Kind::Sealed))
            .map(|(name, _)| Measure::DistinctApprox(name)),
        ("min" | "max", _, [arg]) => plain_column(arg, &base.table)
            .filter(|(_, kind)| !matches!(kind, Kind::Text | Kind::Sealed | Kind::Bool))
            .map(|(name, _)| match func.name() {
                "min" => Measure::Min(name),
                _ => Measure::Max(name),
            }),
        ("sum", false, [_]) => of.map(Measure::Sum),
        ("avg" | "mean", false, [_]) => of.map(Measure::Mean),
        ("median" | "approx_median", false, [_]) => {
            of.map(|name| Measure::Quantiles(name, vec![0.5]))
        }
        ("approx_percentile_cont" | "percentile_cont" | "quantile_cont", false, [_, rank, ..]) => {
            let falling = params.order_by.first().is_some_and(|key| !key.asc);
            of.zip(rank_of(rank)).map(|(name, rank)| {
                Measure::Quantiles(name, vec![if falling { 1.0 - rank } else { rank }])
            })
        }
        _ => None,
    };
    Ok(measure.map(|measure| MeasureOf { measure, filter }))
}

/// The number field that is computed with, through a cast to float.
fn measured(expr: &Expr, table: &Table) -> Option<String> {
    use arrow::datatypes::DataType;
    match expr {
        Expr::Alias(alias) => measured(&alias.expr, table),
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => {
            measured(&cast.expr, table)
        }
        other => {
            let (name, kind) = plain_column(other, table)?;
            matches!(kind, Kind::Long | Kind::Double).then_some(name)
        }
    }
}

fn rank_of(expr: &Expr) -> Option<f64> {
    let rank = match literal(expr)? {
        ScalarValue::Float64(Some(rank)) => *rank,
        ScalarValue::Float32(Some(rank)) => f64::from(*rank),
        ScalarValue::Int64(Some(rank)) => *rank as f64,
        _ => return None,
    };
    (0.0..=1.0).contains(&rank).then_some(rank)
}

/// `count(CASE WHEN condition THEN 1 END)`: rows that match the condition.
fn counted_case(expr: &Expr, filter: &mut Option<Filter>, table: &Table) -> Option<Measure> {
    let Expr::Case(case) = expr else { return None };
    let [(when, then)] = case.when_then_expr.as_slice() else { return None };
    let otherwise = case.else_expr.as_deref().map(literal);
    let null_otherwise = match otherwise {
        None => true,
        Some(value) => value?.is_null(),
    };
    if case.expr.is_some() || literal(then)?.is_null() || !null_otherwise {
        return None;
    }
    narrow(filter, truth(when, table)?);
    Some(Measure::Rows)
}

/// `sum(CASE WHEN condition THEN 1 ELSE 0 END)` over groups, which always have rows.
fn summed_case(expr: &Expr, filter: &mut Option<Filter>, table: &Table) -> Option<Measure> {
    let Expr::Case(case) = expr else { return None };
    let [(when, then)] = case.when_then_expr.as_slice() else { return None };
    let is = |expr: &Expr, number: i64| matches!(literal(expr), Some(ScalarValue::Int64(Some(value))) if *value == number);
    let zero_otherwise = case.else_expr.as_deref().is_some_and(|expr| is(expr, 0));
    if case.expr.is_some() || filter.is_some() || !is(then, 1) || !zero_otherwise {
        return None;
    }
    narrow(filter, truth(when, table)?);
    Some(Measure::Rows)
}

fn narrow(filter: &mut Option<Filter>, condition: Filter) {
    *filter = Some(match filter.take() {
        Some(before) => before.and(condition),
        None => condition,
    });
}

/// The filter of the fold that a plan became, if it became one.
pub(super) fn fold_filter(plan: &LogicalPlan) -> Option<Filter> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            Some(provider.downcast_ref::<FoldTable>()?.filter().clone())
        }
        LogicalPlan::Projection(projection) => fold_filter(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => fold_filter(&alias.input),
        _ => None,
    }
}
